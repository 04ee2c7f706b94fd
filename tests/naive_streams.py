"""The stream model in the plainest Python there is: the independent twin that the fast kernel is tested against.

It is slow on purpose and shares no code with the package: it reads the arrays of ``Streams`` into lists and dicts, and
jumps from one moment at which something happens to the next.

The world: jobs arrive at devices. A job is some tasks, perhaps with edges that carry bits from a parent to a child.
Each task was decided to run at a place: 0, the job's own device, or a server k = 1..S. A job whose tasks are all -1 is
dropped: it uses nothing, its response is infinite, its energy 0 and its times NaN.

1. Data. A task without parents needs its input, which is on the device. Other tasks need the bits of each edge into
   them, which are where the parent ran, once it has ended. A task without children has a result, which must get to the
   device. Data that is where it is needed is there at once, whatever its size. Otherwise it goes

   - from a device to a server over the device's radio, where it may have to queue, and then over the server's wired
     path, ``bits / wired_bps + propagation_s``;
   - from a server to a device over the wired path of the server, and then down at the device's ``downlink_bps`` of the
     slots in which it falls times the server's ``rate_ratio``; nothing else slows it. 0 bits go down at once, also in
     an outage;
   - from a server to another over both wired paths.

   Devices are attached to sites, to one in each slot. Between a server that stands at a site and that site there is no
   wired path, but only ``home_propagation_s``. The site is that of the device at the moment at which data begins with
   the wired path: when it is sent, when a task ends.

2. Radios. Each device has one, which sends one transmission at a time, to its end. The next one is the one that has
   waited longest; of those that wait since the same moment, the one with the lowest (job, task to which it goes,
   parent from which it comes), where the input of a task counts as coming from a parent -1. The devices that are
   sending at a site share its spectrum: each sends ``uplink_bps[device, slot] * rate_ratio[server] / number of them``
   bits a second. A device in an outage (its uplink is 0 in this slot) keeps its transmission and is not counted. 0 bits
   are sent at once, also in an outage. Slot s is from ``s * slot_s`` (included) to ``(s + 1) * slot_s`` (excluded), and
   the last slot has no end. A device takes its transmission along from site to site.

3. Cores. A task is ready when the last of its data is there, a task without parents on the device when the job
   arrives. Each place has equal cores; a task takes one to its end, ``workload_cycles / hz`` seconds. They are given
   out in the order in which tasks become ready; at the same moment the lowest (job, task) goes first. In some slots a
   server is down: its cores do nothing. What the server sends or gets on the wired path does not wait. What becomes of
   its tasks is one of two things, the same for all servers of a stream:

   - They wait. A task keeps its core, and what it has done; it ends when the seconds in which its server was up since
     it was given the core are those that it takes, at once where it takes none.
   - They are lost. When a server goes down all tasks there are lost that are ready and have not ended by then, at that
     moment included, and its cores are free. So is a task that becomes ready there while the server is down. What was
     lost never starts if it has not, nor does it finish, and the tasks that need its data never become ready. The other
     tasks of the job, and all its data, go on as if nothing was lost.

4. A job is complete when the last of its results is on the device. One of which a task was lost never is: its response
   is infinite.

5. Energy of a job: ``kappa * hz**2`` joules for each cycle on the device, and ``transmit_w`` times the seconds in which
   its transmissions are sent, outages not counted.

Within a moment: first everything happens that was timed for it (transmissions and tasks end, data arrives, the slot
changes, jobs arrive), then idle radios take what they send next, then one ready task is given its core; if it also
ends at this moment, as it has no work, what follows from that comes first (its data, the radios), then comes the next
ready task. Whatever takes no time happens in the same moment.

What nothing ever sends, as its device's last slot is an outage, makes the stream wrong: ValueError.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

INPUT = -1  # what stands for the parent in a transmission of a task's input


class NaiveResult(NamedTuple):
    """What happened in one stream of J jobs of up to n tasks; times in seconds of the stream.

    Infinite response, energy 0 and times NaN for a job that was dropped; times NaN for padding, and where it never came
    to that as a task was lost.
    """

    response_s: list[float]  # (J,)
    energy_j: list[float]  # (J,)
    ready_s: list[list[float]]  # (J, n) when the last data of a task was where it runs
    start_s: list[list[float]]  # (J, n) when it was given a core
    finish_s: list[list[float]]  # (J, n) when it ended
    completion_s: list[list[float]]  # (J, n) when its result was on the device; its finish where it has children


def read_stream(streams: Any, b: int) -> dict[str, Any]:
    """Stream ``b`` of a batch as a dict of numbers and lists, and a list of dicts, one a job."""
    batch = streams.batch
    stream: dict[str, Any] = {name: float(batch.common[name][b]) for name in ("slot_s", "kappa", "transmit_w")}
    stream["device_hz"], stream["device_cores"] = batch.devices["hz"][b].tolist(), batch.devices["cores"][b].tolist()
    for name in ("cpu_hz", "cores", "wired_bps", "propagation_s", "rate_ratio", "site", "home_propagation_s"):
        stream[name] = [math.nan, *batch.servers[name][b].tolist()]  # at index k, the server's; 0 is no server
    stream["uplink_bps"], stream["downlink_bps"] = batch.uplink_bps[b].tolist(), batch.downlink_bps[b].tolist()
    stream["down"] = [[], *np.diff(batch.down_slots[b], axis=1).astype(bool).tolist()]  # of server k, in each slot
    stream["loses"] = bool(batch.common["loses_tasks"][b] == 1)  # whether what a server has is lost when it goes down
    stream["sites"] = batch.sites[b].tolist()  # of each device in each slot, or in all of them
    stream["jobs"] = [read_job(streams, b, j) for j in range(streams.num_jobs)]
    return stream


def read_job(streams: Any, b: int, j: int) -> dict[str, Any]:
    """A job: its arrival, device and tasks, and for each task its parents and its children with the bits between."""
    batch = streams.batch
    row = batch.jobs[b, j]
    count, graph = int(row["num_tasks"]), int(row["graph"])
    job: dict[str, Any] = {"arrival_s": float(row["arrival_s"]), "device": int(row["device"]), "count": count}
    for column, name in enumerate(("input_bits", "output_bits", "workload_cycles")):
        job[name] = batch.tasks[b, j, :count, column].tolist()
    job["parents"], job["children"] = [[] for _ in range(count)], [[] for _ in range(count)]
    starts, edges = streams.graphs.start[graph, :, 0].tolist(), streams.graphs.edges[graph, :, :2].tolist()
    for child in range(count):
        for e in range(starts[child], starts[child + 1]):
            parent, bits = edges[e][0], float(batch.edge_bits[b, j, e])
            job["parents"][child].append(parent)
            job["children"][parent].append((child, bits))
    return job


class NaiveStream:
    """One stream as it happens. ``run`` plays it, and the lists of ``NaiveResult`` are filled on the way."""

    def __init__(self, stream: dict[str, Any], decision: list[list[int]], n: int) -> None:
        self.stream, self.jobs, self.decision = stream, stream["jobs"], decision
        num_jobs, num_devices = len(self.jobs), len(stream["device_hz"])
        self.response_s, self.energy_j = [math.inf] * num_jobs, [0.0] * num_jobs
        self.ready_s, self.start_s, self.finish_s, self.completion_s = (
            [[math.nan] * n for _ in range(num_jobs)] for _ in range(4)
        )
        self.missing = [[max(1, len(parents)) for parents in job["parents"]] for job in self.jobs]  # data of each task
        # What happens later: (time, running number, function, arguments); the number keeps heapq from comparing more.
        self.calendar: list[tuple[float, int, Any, tuple[int, ...]]] = []
        self.count = 0
        self.ready: list[tuple[int, int]] = []  # (job, task) without a core yet
        self.waiting: list[list[dict[str, Any]]] = [[] for _ in range(num_devices)]  # transmissions of each radio
        self.sending: list[dict[str, Any] | None] = [None] * num_devices
        self.core_free_s = [[0.0] * cores for cores in stream["cores"][1:]]  # of each server, each core
        self.device_core_free_s = [[0.0] * cores for cores in stream["device_cores"]]
        self.at_server: list[set[tuple[int, int]]] = [set() for _ in stream["cores"]]  # ready there, and not ended

    def run(self) -> None:
        for j, job in enumerate(self.jobs):
            if self.decision[j][: job["count"]] != [-1] * job["count"]:
                self.at(job["arrival_s"], self.job_arrives, j)
        for k, down in enumerate(self.stream["down"]):
            for slot in range(1, len(down)):
                if self.stream["loses"] and down[slot] and not down[slot - 1]:
                    self.at(slot * self.stream["slot_s"], self.server_fails, k)
        now = 0.0
        while True:
            then = self.next_moment(now)
            if then == math.inf:
                break
            self.send_until(now, then)
            now = then
            self.what_is_timed(now)
            self.settle(now)
        for transmission in self.sending:
            if transmission is not None:
                raise ValueError(
                    f"job {transmission['key'][1]} never completes: its device is in an outage without end"
                )

    def at(self, time: float, function: Any, *arguments: int) -> None:
        self.count += 1
        heapq.heappush(self.calendar, (time, self.count, function, arguments))

    def slot_of(self, time: float) -> int:
        slot = 0
        while slot < self.last_slot and (slot + 1) * self.stream["slot_s"] <= time:
            slot += 1
        return slot

    @property
    def last_slot(self) -> int:
        return len(self.stream["uplink_bps"][0]) - 1

    def next_moment(self, now: float) -> float:
        """When something happens next: what the calendar has, a transmission ends, or a slot in which one is left."""
        moments = [self.calendar[0][0]] if self.calendar else []
        rates = self.rates_bps(now)
        for d, transmission in enumerate(self.sending):
            if transmission is not None:
                transmission["end_s"] = now + transmission["left_bits"] / rates[d] if rates[d] > 0 else math.inf
                moments.append(transmission["end_s"])
        slot = self.slot_of(now)
        if slot < self.last_slot and any(transmission is not None for transmission in self.sending):
            moments.append((slot + 1) * self.stream["slot_s"])
        return min(moments, default=math.inf)

    def what_is_timed(self, now: float) -> None:
        for d, transmission in enumerate(self.sending):
            if transmission is not None and transmission["end_s"] <= now:
                self.sending[d] = None
                self.is_sent(now, transmission)
        while self.calendar and self.calendar[0][0] <= now:
            _, _, function, arguments = heapq.heappop(self.calendar)
            function(now, *arguments)

    def settle(self, now: float) -> None:
        """Radios and cores take what is there, until there is nothing more to take at this moment."""
        while True:
            self.radios_take(now)
            if not self.ready:
                return
            self.take_core(now, *min(self.ready))

    def job_arrives(self, now: float, j: int) -> None:
        job = self.jobs[j]
        self.response_s[j] = 0.0
        for i in range(job["count"]):
            if not job["parents"][i]:
                self.move(now, j, 0, self.decision[j][i], job["input_bits"][i], (i, INPUT))

    def move(self, now: float, j: int, source: int, target: int, bits: float, ends: tuple[int, int]) -> None:
        """Data for task ``ends[0]`` of job j, which comes from task ``ends[1]`` or is its input, leaves ``source``."""
        task, parent = ends
        if source == target:
            self.data_arrives(now, j, task)
        elif source == 0:
            self.waiting[self.jobs[j]["device"]].append(
                {"key": (now, j, task, parent), "server": target, "bits": bits, "left_bits": bits}
            )
        elif target == 0:
            self.deliver(now, self.downloaded_s(now, j, source, bits), j, task)
        else:
            paths = self.path_s(now, j, source, bits) + self.path_s(now, j, target, bits)
            self.deliver(now, now + paths, j, task)

    def site_of(self, d: int, now: float) -> int:
        sites = self.stream["sites"][d]
        return sites[self.slot_of(now)] if len(sites) > 1 else sites[0]

    def path_s(self, now: float, j: int, k: int, bits: float) -> float:
        """Seconds between server k and the site at which the device of job j is now."""
        if self.stream["site"][k] == self.site_of(self.jobs[j]["device"], now):
            return self.stream["home_propagation_s"][k]
        return bits / self.stream["wired_bps"][k] + self.stream["propagation_s"][k]

    def is_sent(self, now: float, transmission: dict[str, Any]) -> None:
        """The radio has sent all of a transmission, which now crosses the wired path."""
        k, bits, (_, j, task, _) = transmission["server"], transmission["bits"], transmission["key"]
        self.deliver(now, now + self.path_s(now, j, k, bits), j, task)

    def deliver(self, now: float, time: float, j: int, task: int) -> None:
        if time == now:
            self.data_arrives(now, j, task)
        else:
            self.at(time, self.data_arrives, j, task)

    def data_arrives(self, now: float, j: int, task: int) -> None:
        self.missing[j][task] -= 1
        if self.missing[j][task] == 0:
            self.ready_s[j][task] = now
            self.ready.append((j, task))

    def downloaded_s(self, now: float, j: int, k: int, bits: float) -> float:
        """When bits that leave server k now are on the device of job j."""
        d, slot_s, ratio = self.jobs[j]["device"], self.stream["slot_s"], self.stream["rate_ratio"][k]
        time = now + self.path_s(now, j, k, bits)
        if bits == 0:
            return time
        for slot in range(self.slot_of(time), self.last_slot):
            rate, end = self.stream["downlink_bps"][d][slot] * ratio, (slot + 1) * slot_s
            if rate > 0 and time + bits / rate <= end:
                return time + bits / rate
            bits -= rate * (end - time)
            time = end
        rate = self.stream["downlink_bps"][d][-1] * ratio
        if rate == 0:
            raise ValueError(f"job {j} never completes: its device is in an outage without end")
        return time + bits / rate

    def rates_bps(self, now: float) -> list[float]:
        """What each device sends a second from now on; 0 where it does not."""
        slot = self.slot_of(now)
        rates = [self.stream["uplink_bps"][d][slot] if self.sending[d] else 0.0 for d in range(len(self.sending))]
        at = [self.site_of(d, now) for d in range(len(rates))]
        number = [sum(rate > 0 and at[e] == site for e, rate in enumerate(rates)) for site in at]
        for d, transmission in enumerate(self.sending):
            if transmission is not None:
                rates[d] = rates[d] * self.stream["rate_ratio"][transmission["server"]] / max(1, number[d])
        return rates

    def send_until(self, now: float, then: float) -> None:
        for rate, transmission in zip(self.rates_bps(now), self.sending, strict=True):
            if transmission is not None and rate > 0:
                transmission["left_bits"] -= rate * (then - now)
                self.energy_j[transmission["key"][1]] += self.stream["transmit_w"] * (then - now)

    def radios_take(self, now: float) -> None:
        for d, queue in enumerate(self.waiting):
            while self.sending[d] is None and queue:
                transmission = min(queue, key=lambda one: one["key"])
                queue.remove(transmission)
                if transmission["bits"] == 0:
                    self.is_sent(now, transmission)
                else:
                    self.sending[d] = transmission

    def take_core(self, now: float, j: int, i: int) -> None:
        self.ready.remove((j, i))
        job, k = self.jobs[j], self.decision[j][i]
        free_s = self.device_core_free_s[job["device"]] if k == 0 else self.core_free_s[k - 1]
        hz = self.stream["device_hz"][job["device"]] if k == 0 else self.stream["cpu_hz"][k]
        if k > 0 and self.stream["loses"]:
            self.at_server[k].add((j, i))
            if self.stream["down"][k] and self.stream["down"][k][self.slot_of(now)]:
                self.lose(now, k)
                return
        core = free_s.index(min(free_s))
        self.start_s[j][i] = max(now, free_s[core])
        free_s[core] = self.finish_s[j][i] = self.worked_s(self.start_s[j][i], k, job["workload_cycles"][i] / hz)
        if k == 0:
            self.energy_j[j] += self.stream["kappa"] * hz**2 * job["workload_cycles"][i]
        if free_s[core] == now:
            self.task_ends(now, j, i)
        else:
            self.at(free_s[core], self.task_ends, j, i)

    def worked_s(self, now: float, k: int, run_s: float) -> float:
        """When place k has worked for so long from now on."""
        down = self.stream["down"][k]
        if self.stream["loses"] or not any(down) or run_s == 0:
            return now + run_s
        slot = self.slot_of(now)
        while slot < self.last_slot:
            end = (slot + 1) * self.stream["slot_s"]
            if not down[slot]:
                if now + run_s <= end:
                    break
                run_s -= end - now
            now, slot = end, slot + 1
        return now + run_s

    def server_fails(self, now: float, k: int) -> None:
        self.lose(now, k)
        self.core_free_s[k - 1] = [min(now, free_s) for free_s in self.core_free_s[k - 1]]

    def lose(self, now: float, k: int) -> None:
        """Lose what is at server k and does not end now."""
        for j, i in {(j, i) for j, i in self.at_server[k] if not self.finish_s[j][i] <= now}:
            self.at_server[k].remove((j, i))
            self.response_s[j], self.finish_s[j][i] = math.inf, math.nan
            if not self.start_s[j][i] < now:
                self.start_s[j][i] = math.nan

    def task_ends(self, now: float, j: int, i: int) -> None:
        job, k = self.jobs[j], self.decision[j][i]
        if math.isnan(self.finish_s[j][i]):  # it was lost meanwhile
            return
        self.at_server[k].discard((j, i))
        for child, bits in job["children"][i]:
            self.move(now, j, k, self.decision[j][child], bits, (child, i))
        inner = bool(job["children"][i])
        done_s = now if inner or k == 0 else self.downloaded_s(now, j, k, job["output_bits"][i])
        self.completion_s[j][i] = done_s
        self.response_s[j] = max(self.response_s[j], done_s - job["arrival_s"])


def naive_stream(streams: Any, b: int, decisions: Sequence[Any]) -> NaiveResult:
    """What happens in stream ``b`` of a batch under decisions (B, J, n), of which row ``b`` is read.

    Raises:
        ValueError: a job never completes, as its device is in an outage without end.
    """
    decision = [[int(k) for k in row] for row in decisions[b]]
    assert all(len(row) == streams.num_tasks for row in decision)
    played = NaiveStream(read_stream(streams, b), decision, streams.num_tasks)
    played.run()
    return NaiveResult(*(getattr(played, name) for name in NaiveResult._fields))
