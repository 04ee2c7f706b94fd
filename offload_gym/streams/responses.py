"""Responses of streams whose jobs are decided already."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from offload_gym.array_checks import numbers
from offload_gym.compilation import kernel
from offload_gym.lending import lent
from offload_gym.solvers.parallel import for_each_chunk
from offload_gym.streams.engine import RECORD, SEND, Records, admit_here, advance_here
from offload_gym.streams.streams import StreamBatch, Streams, check_streams
from offload_gym.streams.system import DROPPED, System, begin, new_system, read_fates, system_of, world_of

CHUNK = 16  # streams that a thread takes at a time


class Outcome(NamedTuple):
    """What became of the jobs of B streams."""

    decisions: NDArray[np.int64]  # (B, J, n) locations, DROPPED in all tasks of a job that was dropped
    response_s: NDArray[np.float64]  # (B, J) completion minus arrival, infinite where dropped or lost
    late: NDArray[np.bool_]  # (B, J) whether the response is longer than the deadline, or the job was dropped or lost
    energy_j: NDArray[np.float64]  # (B, J) of the job's tasks on the device and of its transmissions
    lost: NDArray[np.bool_]  # (B, J) whether a task of the job was lost, as its server failed


@kernel
def run_streams(arrays, systems, decisions, first, response_s, energy_j, records):
    """Fill responses and energies of the streams from ``first`` on, as many as ``response_s`` has.

    Args:
        arrays: ``StreamBatch`` as a plain tuple.
        systems: ``System`` with an axis of 1 in front, as a plain tuple: scratch space.
        decisions: (B, J, n).
        first: number of the first stream.
        response_s: (some streams, J); NaN where a job was lost.
        energy_j: (some streams, J).
        records: ``Records`` of these streams as a plain tuple, with no columns where nothing is recorded.
    """
    batch, system = lent(StreamBatch(*arrays)), lent(system_of(System(*systems), 0))
    for row in range(len(response_s)):
        b = first + row
        world = lent(world_of(batch, b))
        record = lent(Records(records[0][row], records[1][row]))
        begin(world, system)
        num_jobs = len(world.jobs)
        for j in range(num_jobs + 1):  # one call of ``advance_here``, as its body stands in its place
            advance_here(world, system, world.jobs[j].arrival_s if j < num_jobs else np.inf, record)
            if j < num_jobs:
                admit_here(world, system, j, decisions[b, j])
        read_fates(world, system, response_s[row], energy_j[row])


def no_records(num_streams: int) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """What ``run_streams`` takes where nothing is recorded: the same types, so that the engine is compiled once."""
    return np.empty((num_streams, 0), dtype=RECORD), np.empty((num_streams, 0), dtype=SEND)


def check_stream_decisions(streams: Streams, decisions: ArrayLike) -> NDArray[np.int64]:
    """Decisions as kernels take them.

    Raises:
        ValueError: they have another shape, a number is no location, or a job is dropped in part.
    """
    check_streams(streams)
    given = numbers("decisions", decisions)
    shape = (len(streams), streams.num_jobs, streams.num_tasks)
    if given.shape != shape:
        raise ValueError(f"decisions has the shape {given.shape}; it must be {shape}, (B, J, n)")
    good = (given >= DROPPED) & (given <= streams.num_servers) & (given == np.floor(given)) | ~streams.present
    if not good.all():
        index = np.argwhere(~good)[0].tolist()
        raise ValueError(
            f"decisions{index} is {given[tuple(index)]:g}; it must be a location from 0 to {streams.num_servers}, or "
            f"{DROPPED} in all tasks of a job that is dropped"
        )
    dropped = (given == DROPPED) & streams.present
    partly = np.argwhere(dropped.any(axis=2) & (dropped != streams.present).any(axis=2))
    if len(partly):
        b, j = partly[0].tolist()
        row = given[b, j].astype(int).tolist()
        raise ValueError(f"decisions[{b}, {j}] is {row}; a job is dropped with {DROPPED} in all its tasks")
    return np.where(streams.present, given, 0).astype(np.int64)


def check_completion(streams: Streams, response_s: NDArray[np.float64], gone: NDArray[np.bool_]) -> None:
    """ValueError where a job that was neither dropped nor lost never completes."""
    never = np.argwhere(~np.isfinite(response_s) & ~gone)
    if len(never):
        b, j = never[0].tolist()
        d = int(streams.device[b, j])
        up_bps, down_bps = streams.batch.uplink_bps[b, d, -1], streams.batch.downlink_bps[b, d, -1]
        if min(up_bps, down_bps) > 0.0:
            raise ValueError(
                f"job {j} of stream {b} never completes: its response is more than a number holds, as a size, a rate, "
                "a speed or propagation_s is out of all proportion"
            )
        raise ValueError(
            f"job {j} of stream {b} never completes: uplink_bps[{b}, {d}, -1] is {up_bps:g} and "
            f"downlink_bps[{b}, {d}, -1] is {down_bps:g}; the last slot holds for ever, and must be above 0 where "
            "data are still to be sent"
        )


def check_can_lose(can_lose: bool, objective: str) -> None:
    """ValueError where jobs can be lost, and the objective counts their responses, which have no end."""
    if can_lose and objective != "late":
        raise ValueError(
            f"objective is {objective!r}, and a job that is lost has no response; where servers fail and failure_tasks "
            "is 'lost' it must be 'late'"
        )


def as_outcome(
    streams: Streams, decisions: NDArray[np.int64], response_s: NDArray[np.float64], energy_j: NDArray[np.float64]
) -> Outcome:
    """An ``Outcome`` of what kernels filled, the responses of jobs that were lost with NaN, which become infinite.

    Raises:
        ValueError: a job that was neither dropped nor lost never completes.
    """
    lost = np.isnan(response_s)
    response_s[lost] = np.inf
    check_completion(streams, response_s, lost | (decisions[:, :, 0] == DROPPED))
    return Outcome(decisions, response_s, late_jobs(response_s, streams.deadline_s), energy_j, lost)


def late_jobs(response_s: NDArray[np.float64], deadline_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which jobs are late: after their deadline, or dropped or lost, whose response is infinite."""
    late: NDArray[np.bool_] = (response_s > deadline_s) | np.isinf(response_s)
    return late


def outcome_of(streams: Streams, decisions: ArrayLike) -> Outcome:
    """What becomes of all jobs for decisions that are given.

    Args:
        streams: B streams of J jobs of up to n tasks.
        decisions: (B, J, n) locations from 0 to S, all -1 for a job that is dropped; of padding they are ignored.

    Raises:
        ValueError: the decisions do not fit, or a job never completes.
    """
    checked = check_stream_decisions(streams, decisions)
    response_s, energy_j = np.empty((2, len(streams), streams.num_jobs))

    def work(rows: slice) -> None:
        system: tuple[Any, ...] = tuple(new_system(streams))
        filled = response_s[rows], energy_j[rows], no_records(rows.stop - rows.start)
        run_streams(streams.arrays, system, checked, rows.start, *filled)

    for_each_chunk(work, len(streams), None, CHUNK)
    shown = np.where(streams.present, checked, 0)
    shown[checked[:, :, 0] == DROPPED] = DROPPED
    return as_outcome(streams, shown, response_s, energy_j)


def response_times(streams: Streams, decisions: ArrayLike) -> NDArray[np.float64]:
    """Response time of each job: from its arrival until its last result is on its device.

    Args:
        streams: B streams of J jobs of up to n tasks.
        decisions: (B, J, n) locations from 0 to S, all -1 for a job that is dropped; of padding they are ignored.

    Returns:
        (B, J) seconds; infinite where a job is dropped or lost.

    Raises:
        ValueError: the decisions do not fit, or a job never completes.
    """
    return outcome_of(streams, decisions).response_s


def job_energy(streams: Streams, decisions: ArrayLike) -> NDArray[np.float64]:
    """Joules that each job costs its device: its tasks there, and its radio while it sends for the job.

    Args:
        streams: B streams of J jobs of up to n tasks.
        decisions: as in ``response_times``.

    Returns:
        (B, J) joules. What a device takes while it idles is not in it, as it does whatever is decided.

    Raises:
        ValueError: as ``response_times``.
    """
    return outcome_of(streams, decisions).energy_j


def timelines(streams: Streams, decisions: ArrayLike) -> NDArray[np.void]:
    """What happens to each task.

    Args:
        streams: B streams of J jobs of up to n tasks.
        decisions: as in ``response_times``.

    Returns:
        (B, J, n) of the dtype ``RECORD``: core, and the seconds since time 0 at which a task is ready, starts and
        finishes, and its result is on the device (of a task with children: at which it finishes). NaN and core -1 for
        padding and jobs that are dropped. A task that is lost when its server fails, or as that is down, has that
        moment in ``lost_s``, which is NaN elsewhere, and no finish; one that waits for it has neither.

    Raises:
        ValueError: as ``response_times``.
    """
    checked = check_stream_decisions(streams, decisions)
    return histories(streams, checked).tasks.reshape(checked.shape)


def histories(streams: Streams, decisions: NDArray[np.int64]) -> Records:
    """What happens to each task, and when each transmission is sent, for decisions that were checked."""
    batch = streams.batch
    num_jobs, n = batch.tasks.shape[1:3]
    made = Records(
        np.empty((len(streams), num_jobs * n), dtype=RECORD),
        np.empty((len(streams), num_jobs * (n + batch.edge_bits.shape[2])), dtype=SEND),
    )
    for array in made:
        for name in array.dtype.names or ():
            array[name] = -1 if name == "core" else np.nan
    response_s, energy_j = np.empty((2, len(streams), num_jobs))
    run_streams(streams.arrays, tuple(new_system(streams)), decisions, 0, response_s, energy_j, tuple(made))
    return made


def completion_times(streams: Streams, decisions: ArrayLike) -> NDArray[np.float64]:
    """When the result of each task is on its device; of a task with children, when it finishes.

    Args:
        streams: B streams of J jobs of up to n tasks.
        decisions: as in ``response_times``.

    Returns:
        (B, J, n) seconds since time 0; NaN for padding, jobs that are dropped, and tasks that never finish as one was
        lost.

    Raises:
        ValueError: as ``response_times``.
    """
    completion_s: NDArray[np.float64] = timelines(streams, decisions)["completion_s"]
    return completion_s


def stream_costs(streams: Streams, outcome: Outcome, objective: str) -> NDArray[np.float64]:
    """What the objective counts of each stream.

    Args:
        streams: B streams of J jobs.
        outcome: what became of them.
        objective: "response": the sum of the responses; "late": the share of the jobs that are late, dropped or lost;
            "cost": the sum of the responses and of what the energy is worth.

    Returns:
        (B,) seconds, or shares.

    Raises:
        ValueError: jobs can be lost, and the objective is not "late".
    """
    check_can_lose(streams.can_lose, objective)
    if objective == "late":
        shares: NDArray[np.float64] = outcome.late.mean(axis=1)
        return shares
    worth = streams.batch.common["energy_weight_s_per_j"] * (objective == "cost")
    costs: NDArray[np.float64] = outcome.response_s.sum(axis=1) + worth * outcome.energy_j.sum(axis=1)
    return costs
