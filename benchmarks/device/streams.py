"""What happens to a device of played streams, as a device in C is told of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import kernel
from offload_gym.instances import INPUT, OUTPUT, TASK_FIELDS, WORKLOAD
from offload_gym.lending import lent
from offload_gym.streams.deciding import Plan
from offload_gym.streams.engine import RECORD, SEND, Records, admit, advance
from offload_gym.streams.outlook import look, new_outlook, put, weigh
from offload_gym.streams.playing import play
from offload_gym.streams.policies import PlanPolicy
from offload_gym.streams.spectrum import share_by_now_s
from offload_gym.streams.streams import NONE, StreamBatch, Streams
from offload_gym.streams.system import DROPPED, System, begin, new_system, system_of, world_of
from offload_gym.streams.uptime import slot_at

#: What is seen of a device when a job arrives there.
SEEN = (
    "now_s",
    "uplink_bps",  # of the moment; 0 in an outage
    "downlink_bps",
    "last_uplink_bps",  # the last that was not 0
    "last_downlink_bps",
    "num_others",
    "report_s",  # moment of the last report
    "sending",  # the task that is being sent, or NONE
    "left_bits",  # of it
)
#: Columns of the rows that a harness reads.
TICK, ARRIVE, DONE, PASS, REPORT, START = range(6)
ROW = (
    "kind",
    "passed",
    "sent_bits",
    "uplink_bps",
    "downlink_bps",
    "input_bits",
    "output_bits",
    "workload_cycles",
    "deadline",
    "num_others",
    "age",
    "expected",
    "last_uplink_bps",  # told before the rates of now, as in an outage the device had seen it
    "last_downlink_bps",
)


class Happenings(NamedTuple):
    """What happens in one stream."""

    seen: NDArray[Any]  # (J, len(SEEN)) of each job's device, when it arrives
    core_free_s: NDArray[Any]  # (J, S, cores) as the last report has them
    decisions: NDArray[Any]  # (J,)
    records: NDArray[Any]  # (J,) of the dtype RECORD
    sends: NDArray[Any]  # (J,) of the dtype SEND


def happenings(streams: Streams, plan: Plan) -> list[Happenings]:
    """The ``Happenings`` of each stream of one-task jobs that a plan decides."""
    systems = new_system(streams)
    decisions = play(streams, PlanPolicy(plan, "a test's"), 1).decisions
    size, num_jobs, num_edges = len(streams), streams.num_jobs, streams.batch.edge_bits.shape[2]
    assert num_edges == 0
    seen = np.zeros((size, num_jobs, len(SEEN)))
    cores = np.zeros((size, num_jobs, streams.num_locations - 1, systems.core_free_s.shape[2]))
    records = np.zeros((size, num_jobs), dtype=RECORD)
    sends = np.zeros((size, num_jobs), dtype=SEND)
    for array in (records, sends):
        for name in array.dtype.names or ():
            array[name] = np.nan if array.dtype[name].kind == "f" else -1
    _happen(streams.arrays, tuple(systems), decisions, seen, cores, records, sends)
    return [Happenings(*(part[b] for part in (seen, cores, decisions[:, :, 0], records, sends))) for b in range(size)]


@kernel
def _happen(arrays, systems, decisions, seen, cores, records, sends):
    batch, system = lent(StreamBatch(*arrays)), lent(system_of(System(*systems), 0))
    memory = new_outlook(batch.servers.shape[1] + 1, system.core_free_s.shape[1], batch.tasks.shape[2])
    for b in range(len(seen)):
        world, outlook, record = lent(world_of(batch, b)), lent(memory), lent(Records(records[b], sends[b]))
        begin(world, system)
        fresh = world.common[0].report_s == 0.0
        for j in range(len(world.jobs)):
            job, d, row = world.jobs[j], world.jobs[j].device, seen[b, j]
            advance(world, system, job.arrival_s, record)
            look(world, system, d, outlook)
            clock, foreseen, radio = system.clock[0], outlook.foreseen[0], system.radios[d]
            slot = slot_at(world, clock.now_s)
            row[0] = clock.now_s
            row[1], row[2] = world.uplink_bps[d, slot], world.downlink_bps[d, slot]
            row[3], row[4] = foreseen.uplink_bps * (foreseen.num_others + 1), foreseen.downlink_bps
            row[5] = foreseen.num_others
            row[6] = clock.now_s if fresh else clock.report_s
            row[7] = NONE
            if radio.busy:
                link = system.links[radio.first]
                row[7], left_bits = link.task, radio.left_bits
                if radio.due_s < np.inf:
                    share_s = share_by_now_s(clock, system.sites[radio.site])
                    left_bits = max(radio.due_s - share_s, 0.0) * world.uplink_bps[d, clock.slot]
                row[8] = left_bits * world.servers[link.server - 1].rate_ratio
            for k in range(cores.shape[2]):
                free_s = system.core_free_s[len(world.devices) + k] if fresh else system.reported_free_s[k]
                for c in range(cores.shape[3]):
                    cores[b, j, k, c] = free_s[c]
            weigh(world, outlook, j, 0)
            if decisions[b, j, 0] != DROPPED:
                put(world, system, outlook, j, 0, decisions[b, j, 0])
            admit(world, system, j, decisions[b, j])
        advance(world, system, np.inf, record)


def rows_of(
    stream: Streams, happened: Happenings, device: int, in_whole: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows (N, len(ROW)) of what a device is told, and (N, S, cores) when cores are free, from the report on.

    Args:
        stream: one of ``Streams``.
        happened: its ``Happenings``.
        device: which one.
        in_whole: whether times are whole microseconds.
    """
    batch = stream.batch
    jobs = [int(j) for j in np.flatnonzero(batch.jobs["device"][0] == device)]
    events = [(float(batch.jobs["arrival_s"][0, j]), ARRIVE, j) for j in jobs]
    for j in jobs:
        record, send = happened.records[j], happened.sends[j]
        if happened.decisions[j] > 0 and send["finish_s"] < np.inf:
            events.append((send["finish_s"], TICK, j))
        if happened.decisions[j] != DROPPED and record["completion_s"] < np.inf:
            events.append((record["completion_s"], DONE, j))
    if in_whole:  # no time in whole microseconds is longer than some minutes
        last_s = max(event[0] for event in events)
        events += [(float(at_s), PASS, NONE) for at_s in range(1000, int(last_s), 1000)]
    # What has happened at the moment of an arrival comes before it.
    events.sort(key=lambda event: (event[0], event[1] == ARRIVE))
    rows, cores, now = np.zeros((len(events), len(ROW))), [], 0.0

    def time(seconds: float) -> float:
        return min(np.rint(seconds * 1e6), 2.0**30 - 1) if in_whole else seconds

    left: dict[int, float] = {}
    for row, (at_s, kind, j) in zip(rows, events, strict=True):
        seen = happened.seen[j]  # of the last job where nothing but time passes
        row[0], row[1] = kind, (np.rint(at_s * 1e6) - now if in_whole else at_s - now)
        now = np.rint(at_s * 1e6) if in_whole else at_s
        free_s = happened.core_free_s[j] - seen[6]
        if kind == TICK:
            row[2] = left.pop(j)
        if kind == ARRIVE:
            sending = int(seen[7])
            if sending != NONE and sending in left:
                told = np.rint(seen[8])
                row[2], left[sending] = max(left[sending] - told, 0.0), min(told, left[sending])
            row[3:5], row[12:14] = seen[1:3], seen[3:5]
            row[5:8] = np.rint(batch.tasks[0, j, 0, [INPUT, OUTPUT, WORKLOAD]])
            deadline_s = batch.jobs["deadline_s"][0, j]
            row[8] = (2.0**30 - 1 if in_whole else np.inf) if deadline_s == np.inf else time(deadline_s)
            row[9], row[10] = seen[5], time(at_s - seen[6])
            row[11] = happened.decisions[j] if happened.decisions[j] != DROPPED else -1
            if happened.decisions[j] > 0:
                left[j] = row[5]
        cores.append(np.clip(np.rint(free_s * 1e6), -(2**30) + 1, 2**30 - 1) if in_whole else free_s)
    return rows, np.array(cores)


#: The C types of sizes and times, and numpy's.
TYPES = {"double": ("double", "f8", "double", "f8"), "float": ("float", "f4", "float", "f4")}
TYPES["fixed"] = ("uint64_t", "u8", "int32_t", "i4")


def record_type(numbers: str, num_locations: int, max_cores: int) -> np.dtype[np.void]:
    """``moment`` of ``stream.h``: numpy aligns as the boards do, 8-byte numbers to 8 bytes."""
    _, size, _, time = TYPES[numbers]
    task = [(name, size) for name in TASK_FIELDS] + [("deadline", time)]
    server: list[Any] = [("cpu_hz", size), ("wired_bps", size), ("propagation", time)]
    server.append(("rate_ratio", "u4" if numbers == "fixed" else size))
    whole: list[Any] = [(name, size) for name in ("device_hz", "sent_bits", "uplink_bps", "downlink_bps")]
    whole += [("task", np.dtype(task, align=True)), ("servers", np.dtype(server, align=True), (num_locations - 1,))]
    whole += [("passed", time), ("age", time), ("core_free", time, (num_locations - 1, max_cores))]
    whole += [("cores", "i4", (num_locations,))]
    whole += [(name, "i4") for name in ("kind", "num_devices", "num_others", "expected")]
    return np.dtype(whole, align=True)


def _numbers(values: NDArray[np.float64], scale: float, numbers: str) -> NDArray[Any]:
    """Values of a server in the numbers of a header."""
    if numbers != "fixed":
        return values
    endless = values >= 1e18
    whole = np.rint(np.where(endless, 0.0, values) * scale).astype(np.uint64)
    whole[endless] = np.iinfo(np.uint64).max
    return whole


def pack(streams: Streams, plan: Plan, numbers: str, max_cores: int) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Records of the first device of each stream, and where the plan sends the job of each that is one that arrives."""
    records, expected = [], []
    kind = record_type(numbers, streams.num_locations, max_cores)
    for b, happened in enumerate(happenings(streams, plan)):
        stream = streams[b : b + 1]
        rows, cores_free = rows_of(stream, happened, 0, numbers == "fixed")
        begin, batch = np.zeros((), dtype=kind), stream.batch
        begin["kind"], begin["num_devices"], begin["device_hz"] = START, stream.num_devices, batch.devices["hz"][0, 0]
        begin["cores"] = [batch.devices["cores"][0, 0], *batch.servers["cores"][0]]
        for name, scale in (("cpu_hz", 1), ("wired_bps", 1), ("propagation_s", 1e6), ("rate_ratio", 1000)):
            begin["servers"][name.removesuffix("_s")] = _numbers(batch.servers[name][0], scale, numbers)
        records.append(begin)
        for row, free in zip(rows, cores_free, strict=True):
            steps = [row[0]] if row[0] in (TICK, PASS) else [TICK, DONE]
            if row[0] == ARRIVE:
                steps = [TICK, TICK, TICK, REPORT, ARRIVE]
            for number, step in enumerate(steps):
                record = np.zeros((), dtype=kind)
                record["kind"], record["num_others"], record["age"] = step, row[9], row[10]
                record["expected"] = row[11]
                if number == 0:
                    record["passed"], record["sent_bits"] = row[1:3]
                # The last rates are told before those of now: in an outage the device had seen them.
                record["uplink_bps"], record["downlink_bps"] = row[12:14] if number == 1 else row[3:5]
                for name, value in zip((*TASK_FIELDS, "deadline"), row[5:9], strict=True):
                    record["task"][name] = value
                record["core_free"][:, : free.shape[1]] = np.where(np.isfinite(free), free, 0.0)
                records.append(record)
            if row[0] == ARRIVE:
                expected.append(int(row[11]))
    return np.array(records, dtype=kind), np.array(expected)
