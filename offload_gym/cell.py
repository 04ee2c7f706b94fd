"""Several devices in one cell: they share its uplink and its servers. The one place where this model is written.

A cell is a batch of m instances, one a device, decided at the same moment. Each device has its own tasks (n of them,
without dependencies), CPU, link rates and radio; the servers are the same ones for all. What a device would wait for
alone is as in ``offload_gym.delay``; what the devices share is:

- Uplink. The radio of a device sends its remote tasks one at a time in index order, the first from its
  ``radio_backlog_s`` on. The devices that send at a moment share the spectrum in equal parts (processor sharing): a
  device that alone would send at ``uplink_bps[k]`` sends at ``uplink_bps[k]`` over the number of devices that send at
  that moment, whatever locations they send to. A radio that waits for its backlog to end takes no part of it.
- Servers. A task arrives at its location when the wired path has brought it, ``input_bits / wired_bps[k] +
  propagation_s[k]`` after it was sent. A location takes tasks by their turn: the latest arrival among the task itself
  and the tasks with lower indices of the same device there. The earliest turn comes first; on a tie the lower device,
  then the lower task. A task taken gets the core that is free first (the lowest-numbered one on a tie) and starts when
  both it and the core are there: ``start = max(arrival, core)``.
- Not shared: each device's own CPU, which takes its local tasks in index order, wired paths, and downlinks.

Turns, not arrivals, order a queue because ``offload_gym.delay`` serves a location in index order, and a small task can
overtake a larger one of lower index on the wired path: the one sent first arrives later where its bits are more than
``1 + wired_bps / uplink_bps`` times those of the other. With turns, the tasks of one device keep their index order at
each location, and a cell of one device is exactly the single-device model. As there, an overtaking task may start
before its turn where the core that is its own is idle.

Other devices never make a device faster for the same decisions: its latency alone is a lower bound of that in a cell.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from offload_gym.checks import quoted
from offload_gym.compilation import inlined, kernel
from offload_gym.delay import (
    COMPLETION_OBJECTIVES,
    PATH,
    RETURN,
    RUN,
    SEND,
    check_decisions,
    first_core,
    objective_code,
    outcome,
    paces,
    stage_times,
    start_schedule,
    value_of,
)
from offload_gym.instances import CORES, CPU, LOCATION_FIELDS, Batch, Instances

STAGES = ("send", "path", "run", "return")  # of stage times, in their order


class Cell(NamedTuple):
    """A cell as durations in seconds: m devices with up to n tasks, K locations, M the most cores of one."""

    times: NDArray[np.float64]  # (m, n, K, 4) stage times, as in ``offload_gym.delay``
    counts: NDArray[np.int64]  # (m,) tasks of each device
    radio_backlog_s: NDArray[np.float64]  # (m,)
    free_s: NDArray[np.float64]  # (m, K, M) when each core is free, infinite where there is none; servers in row 0


class Scratch(NamedTuple):
    """Room for one evaluation of a cell."""

    ready_s: NDArray[np.float64]  # (m, n) when a task has arrived at its location
    at: NDArray[np.int64]  # (m,) the task of each device that is next
    due: NDArray[np.float64]  # (m,) what decides whose is next
    core_s: NDArray[np.float64]  # (K, M)


@kernel
def new_scratch(cell):
    """A ``Scratch`` for a cell."""
    m, n, num_locations, _ = cell.times.shape
    return Scratch(
        np.empty((m, n)),
        np.empty(m, dtype=np.int64),
        np.empty(m),
        np.empty((num_locations, cell.free_s.shape[2])),
    )


@inlined
def _next_sent(decision, first, count):
    """The first task from ``first`` on that is not local; ``count`` where there is none."""
    i = first
    while i < count and decision[i] == 0:
        i += 1
    return i


@inlined
def _next_at(decision, first, count, k):
    """The first task from ``first`` on at location ``k``; ``count`` where there is none."""
    i = first
    while i < count and decision[i] != k:
        i += 1
    return i


@kernel
def _send(cell, decisions, scratch):
    """Fill ``scratch.ready_s`` of remote tasks by sending their inputs over the shared uplink.

    A virtual clock advances by 1 / (number of devices that send) a second, so a task that takes ``send_s`` alone is
    sent when the clock has advanced by ``send_s``, however many devices come and go. ``due`` is that reading of the
    clock for each device that sends.
    """
    times, counts, radio_backlog_s, _ = cell
    at, due, ready_s = scratch.at, scratch.due, scratch.ready_s
    m = len(counts)
    waiting, num_sending, now_s, clock = 0, 0, 0.0, 0.0
    for d in range(m):
        at[d] = _next_sent(decisions[d], 0, counts[d])
        due[d] = np.inf  # it does not send yet, or no more
        if at[d] < counts[d]:
            waiting += 1
        else:
            at[d] = -1  # it never sends
    while waiting + num_sending > 0:
        next_due, join_s = np.inf, np.inf
        for d in range(m):
            next_due = min(next_due, due[d])
            if at[d] >= 0 and due[d] == np.inf:
                join_s = min(join_s, radio_backlog_s[d])
        end_s = now_s + (next_due - clock) * num_sending if num_sending > 0 else np.inf
        if join_s <= end_s:
            if num_sending > 0:
                clock += (join_s - now_s) / num_sending
            now_s = join_s
            for d in range(m):
                if at[d] >= 0 and due[d] == np.inf and radio_backlog_s[d] == join_s:
                    due[d] = clock + times[d, at[d], decisions[d, at[d]], SEND]
                    waiting -= 1
                    num_sending += 1
            continue
        now_s, clock = end_s, next_due
        for d in range(m):
            if due[d] == next_due:
                i = at[d]
                k = decisions[d, i]
                ready_s[d, i] = now_s + times[d, i, k, PATH]
                at[d] = _next_sent(decisions[d], i + 1, counts[d])
                if at[d] < counts[d]:
                    due[d] = clock + times[d, at[d], decisions[d, at[d]], SEND]
                else:
                    at[d], due[d] = -1, np.inf
                    num_sending -= 1


@kernel
def evaluate_cell(cell, decisions, scratch, completion_s):
    """Fill ``completion_s`` (m, n) of the tasks there are for ``decisions`` (m, n)."""
    times, counts, _, free_s = cell
    at, turn_s, ready_s, core_s = scratch.at, scratch.due, scratch.ready_s, scratch.core_s
    m, num_locations, max_cores = free_s.shape
    _send(cell, decisions, scratch)
    for d in range(m):
        for c in range(max_cores):
            core_s[0, c] = free_s[d, 0, c]
        for i in range(counts[d]):
            if decisions[d, i] == 0:
                core, start_s = first_core(core_s, 0, max_cores)
                completion_s[d, i] = core_s[0, core] = start_s + times[d, i, 0, RUN]
    # Queues are merged: a task that overtook comes up when the one before it has been taken, and goes at once, as its
    # own arrival is earlier still than that turn.
    for k in range(1, num_locations):
        for c in range(max_cores):
            core_s[k, c] = free_s[0, k, c]
        for d in range(m):
            at[d] = _next_at(decisions[d], 0, counts[d], k)
            turn_s[d] = ready_s[d, at[d]] if at[d] < counts[d] else np.inf
        while True:
            d = 0  # whose turn it is; strictly earlier, so that the lowest device has it on a tie
            for other in range(1, m):
                if turn_s[other] < turn_s[d]:
                    d = other
            if turn_s[d] == np.inf:
                break
            i = at[d]
            core, start_s = first_core(core_s, k, max_cores)
            end_s = max(ready_s[d, i], start_s) + times[d, i, k, RUN]
            core_s[k, core] = end_s
            completion_s[d, i] = end_s + times[d, i, k, RETURN]
            at[d] = _next_at(decisions[d], i + 1, counts[d], k)
            turn_s[d] = ready_s[d, at[d]] if at[d] < counts[d] else np.inf


@kernel
def _fill_cell(tasks, locations, backlog_s, counts, times, free_s):
    m, n, num_locations, _ = times.shape
    for d in range(m):
        start_schedule(locations[d], backlog_s[d], free_s[d])
        for k in range(num_locations):
            pace = paces(locations[d], k)
            for i in range(n):
                row = times[d, i, k]
                row[SEND], row[PATH], row[RUN], row[RETURN] = stage_times(tasks[d], i, k, pace, True, True)


def as_cell(instances: Instances) -> Cell:
    """The cell of m devices that a batch of m instances stands for.

    Raises:
        ValueError: tasks depend on each other, the servers are not the same for all devices, or a time is infinite.
    """
    if instances.edge_start[:, -1].any():
        raise ValueError(
            f"the instances have up to {instances.edge_start[:, -1].max()} dependencies; a cell is for independent "
            "tasks"
        )
    if len(instances) == 0:
        raise ValueError("the batch has 0 instances; a cell has 1 device or more")
    for column in (CPU, CORES):
        _check_same(LOCATION_FIELDS[column], instances.locations[:, 1:, column])
    m, n, num_locations = len(instances), instances.num_tasks, instances.num_locations
    times = np.zeros((m, n, num_locations, 4))
    free_s = np.empty((m, num_locations, instances.max_cores))
    batch = Batch(*instances.arrays)
    _fill_cell(batch.tasks, batch.locations, batch.core_backlog_s, batch.task_counts, times, free_s)
    _check_same("backlog_s", free_s[:, 1:])
    bad = np.argwhere(~np.isfinite(times))
    if len(bad):
        d, i, k, stage = bad[0].tolist()
        raise ValueError(
            f"the {STAGES[stage]} time of task {i} of device {d} at location {k} is {times[d, i, k, stage]} s; it must "
            "be finite"
        )
    return Cell(times, batch.task_counts, batch.radio_backlog_s, free_s)


def _check_same(field: str, values: NDArray[np.float64]) -> None:
    """ValueError where a field (m, K - 1, ...) of the servers differs between devices."""
    bad = np.argwhere(values != values[:1])
    if len(bad):
        d, k, *rest = bad[0].tolist()
        raise ValueError(
            f"{field} of location {k + 1} is {values[(d, k, *rest)]:g} for device {d} and {values[(0, k, *rest)]:g} "
            "for device 0; the servers of a cell must be the same for all devices"
        )


def cell_objective(objective: str) -> int:
    """The kernels' number of an objective that cells have; ValueError for others."""
    if objective not in COMPLETION_OBJECTIVES:
        raise ValueError(
            f"objective is {quoted(objective)}; in a cell it must be one of {', '.join(COMPLETION_OBJECTIVES)}"
        )
    return objective_code(objective)


def cell_completion_times(instances: Instances, decisions: ArrayLike) -> NDArray[np.float64]:
    """When the result of each task is on its device, where the devices share uplink and servers.

    Args:
        instances: m instances, one a device, whose servers are the same: cores, speed and backlog of the locations
            from 1 on.
        decisions: (m, n) integers from 0 to K - 1, the location of each task.

    Returns:
        (m, n) seconds after the decision; NaN for padding, where a device has fewer than n tasks.

    Raises:
        ValueError: tasks depend on each other, servers differ, or the decisions do not fit.
    """
    checked, cell = check_decisions(instances, decisions), as_cell(instances)
    completion_s = np.full(checked.shape, np.nan)
    evaluate_cell(cell, checked, new_scratch(cell), completion_s)
    return completion_s


def cell_latency(instances: Instances, decisions: ArrayLike, objective: str = "makespan") -> NDArray[np.float64]:
    """Latency of each device, where the devices share uplink and servers.

    Args:
        instances: m instances, one a device, as ``cell_completion_times`` takes them.
        decisions: (m, n) integers from 0 to K - 1, the location of each task.
        objective: "makespan", a device's largest completion time, or "mean", the mean over its tasks.

    Returns:
        (m,) seconds.

    Raises:
        ValueError: as ``cell_completion_times``; or the objective is another one.
    """
    code = cell_objective(objective)
    completion_s = cell_completion_times(instances, decisions)
    value_s = value_of(code, np.nanmax(completion_s, axis=1), np.nansum(completion_s, axis=1))
    latency_s: NDArray[np.float64] = outcome(code, value_s, instances.task_counts, 0.0)
    return latency_s
