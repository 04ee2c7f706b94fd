"""The delay model: the one place where it is written.

Times are in seconds from the decision. A task at a remote location passes four stages, whose durations
``stage_times`` computes: the device's one radio sends it (SEND), it crosses the wired path (PATH), it runs on a core
(RUN), and its result comes back (RETURN). On the device only RUN is not zero. ``place`` adds one task to a schedule;
every kernel of the package (latency, environments, observation, solvers) is a loop over these two functions.

A schedule under construction is ``free_s`` (K, max_cores), when each core becomes free (infinite where the location
has fewer cores), and ``radio_s``, when the radio does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from offload_gym.instances import CORES, CPU, DOWNLINK, INPUT, OUTPUT, PROPAGATION, UPLINK, WIRED, WORKLOAD, Instances

SEND, PATH, RUN, RETURN = range(4)

OBJECTIVES = ("makespan", "mean")
MAKESPAN, MEAN = range(2)


def objective_code(objective: str) -> int:
    """The kernels' number of an objective; ValueError where the name is unknown."""
    if objective not in OBJECTIVES:
        raise ValueError(f"objective is {objective!r}; it must be one of {', '.join(OBJECTIVES)}")
    return OBJECTIVES.index(objective)


@njit(cache=True, nogil=True)
def stage_times(task, location, k):
    """Durations (send, path, run, return) in seconds of one task at location ``k``."""
    run_s = task[WORKLOAD] / location[CPU]
    if k == 0:
        return 0.0, 0.0, run_s, 0.0
    send_s = task[INPUT] / location[UPLINK]
    path_s = task[INPUT] / location[WIRED] + location[PROPAGATION]
    return_s = task[OUTPUT] / location[DOWNLINK] + task[OUTPUT] / location[WIRED] + location[PROPAGATION]
    return send_s, path_s, run_s, return_s


@njit(cache=True, nogil=True)
def place(times, k, ready_to_send_s, radio_s, free_s):
    """Add a task with these stage ``times`` (4 values) at location ``k``, whose cores are free from ``free_s``.

    Changes nothing: the caller stores ``finish_s`` as the core's free time. Returns
    (radio free, core, start, finish, completion).
    """
    ready_s = 0.0
    if k > 0:
        radio_s = max(radio_s, ready_to_send_s) + times[SEND]
        ready_s = radio_s + times[PATH]
    core = 0
    for m in range(1, len(free_s)):
        if free_s[m] < free_s[core]:
            core = m
    start_s = max(ready_s, free_s[core])
    finish_s = start_s + times[RUN]
    return radio_s, core, start_s, finish_s, finish_s + times[RETURN]


@njit(cache=True, nogil=True)
def all_stage_times(tasks, locations, times):
    """Fill ``times`` (n, K, 4) with the stage times of every task of one instance at every location."""
    for i in range(times.shape[0]):
        for k in range(times.shape[1]):
            send_s, path_s, run_s, return_s = stage_times(tasks[i], locations[k], k)
            times[i, k, SEND] = send_s
            times[i, k, PATH] = path_s
            times[i, k, RUN] = run_s
            times[i, k, RETURN] = return_s


@njit(cache=True, nogil=True)
def start_schedule(locations, backlog_s, free_s):
    """Fill ``free_s`` (K, max_cores) with the backlog of one instance: the schedule before its first task."""
    per_core = backlog_s.shape[1] > 1
    for k in range(free_s.shape[0]):
        cores = int(locations[k, CORES])
        for m in range(free_s.shape[1]):
            if m >= cores:
                free_s[k, m] = np.inf
            else:
                free_s[k, m] = backlog_s[k, m] if per_core else backlog_s[k, 0]


@njit(cache=True, nogil=True)
def evaluate(times, decision, objective, radio_s, start_s, free_s):
    """Latency in seconds of one instance's ``decision``, from a schedule ``start_s``; ``free_s`` is scratch space."""
    free_s[:] = start_s
    latency_s = 0.0
    n = len(decision)
    for i in range(n):
        k = decision[i]
        radio_s, core, _, finish_s, completion_s = place(times[i, k], k, 0.0, radio_s, free_s[k])
        free_s[k, core] = finish_s
        latency_s = max(latency_s, completion_s) if objective == MAKESPAN else latency_s + completion_s / n
    return latency_s


@njit(cache=True, nogil=True)
def _schedules(tasks, locations, backlog_s, radio_backlog_s, max_cores, decisions, cores, events):
    """Fill ``cores`` (B, n) and ``events`` (B, n, 5): send start, send end, start, finish, completion."""
    num_instances, n = decisions.shape
    free_s = np.empty((locations.shape[1], max_cores))
    for b in range(num_instances):
        start_schedule(locations[b], backlog_s[b], free_s)
        radio_s = radio_backlog_s[b]
        for i in range(n):
            k = decisions[b, i]
            if k < 0:  # not placed yet
                cores[b, i] = -1
                events[b, i] = np.nan
                continue
            times = stage_times(tasks[b, i], locations[b, k], k)
            sent_s, core, start_s, finish_s, completion_s = place(times, k, 0.0, radio_s, free_s[k])
            cores[b, i] = core
            events[b, i, 0] = radio_s if k > 0 else np.nan
            events[b, i, 1] = sent_s if k > 0 else np.nan
            events[b, i, 2] = start_s
            events[b, i, 3] = finish_s
            events[b, i, 4] = completion_s
            radio_s = sent_s
            free_s[k, core] = finish_s


@njit(cache=True, nogil=True)
def _completion_times(tasks, locations, backlog_s, radio_backlog_s, max_cores, decisions, completion_s):
    num_instances, n = decisions.shape
    free_s = np.empty((locations.shape[1], max_cores))
    for b in range(num_instances):
        start_schedule(locations[b], backlog_s[b], free_s)
        radio_s = radio_backlog_s[b]
        for i in range(n):
            k = decisions[b, i]
            times = stage_times(tasks[b, i], locations[b, k], k)
            radio_s, core, _, finish_s, completion_s[b, i] = place(times, k, 0.0, radio_s, free_s[k])
            free_s[k, core] = finish_s


def check_decisions(instances: Instances, decisions: ArrayLike) -> NDArray[np.int64]:
    """``decisions`` as an integer array (B, n); ValueError where a shape or a value does not fit ``instances``."""
    array = np.asarray(decisions)
    shape = (len(instances), instances.num_tasks)
    if array.dtype.kind not in "iu":
        raise ValueError(f"decisions has the type {array.dtype}; it must hold integers")
    if array.shape != shape:
        raise ValueError(f"decisions has the shape {array.shape}; it must be {shape}, one location a task")
    wrong = (array < 0) | (array >= instances.num_locations)
    if wrong.any():
        b, i = np.argwhere(wrong)[0]
        raise ValueError(f"decisions[{b}, {i}] is {array[b, i]}; it must be from 0 to {instances.num_locations - 1}")
    return np.ascontiguousarray(array, dtype=np.int64)


def completion_times(instances: Instances, decisions: ArrayLike) -> NDArray[np.float64]:
    """When the result of each task is on the device.

    Args:
        instances: B instances of n tasks and K locations.
        decisions: (B, n) integers from 0 to K - 1, the location of each task.

    Returns:
        (B, n) seconds after the decision.

    Raises:
        ValueError: the decisions have another shape or a value out of range.
    """
    checked = check_decisions(instances, decisions)
    completion_s = np.empty(checked.shape)
    _completion_times(*instances.arrays, instances.max_cores, checked, completion_s)
    return completion_s


def latency(instances: Instances, decisions: ArrayLike, objective: str = "makespan") -> NDArray[np.float64]:
    """Latency of decisions under an objective.

    Args:
        instances: B instances of n tasks and K locations.
        decisions: (B, n) integers from 0 to K - 1, the location of each task.
        objective: "makespan", the largest completion time, or "mean", the mean over the tasks.

    Returns:
        (B,) seconds.

    Raises:
        ValueError: the decisions have another shape or a value out of range, or the objective is unknown.
    """
    code = objective_code(objective)
    completion_s = completion_times(instances, decisions)
    return completion_s.max(axis=1) if code == MAKESPAN else completion_s.mean(axis=1)


def optimality_gap(latency_s: NDArray[np.float64], optimum_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Latency over the optimum, minus 1; where the optimum is 0, 0 if it is reached and infinite if not.

    Args:
        latency_s: (..., B) seconds.
        optimum_s: (B,) seconds.
    """
    gap = latency_s / np.where(optimum_s > 0, optimum_s, 1.0) - 1
    return np.where(optimum_s > 0, gap, np.where(latency_s > 0, np.inf, 0.0))


class Schedule(NamedTuple):
    """What happens when in one instance; n tasks, K locations, seconds after the decision.

    A task that is not placed yet has location and core -1 and times NaN. Sending times are NaN on the device.
    """

    location: NDArray[np.int64]  # (n,)
    core: NDArray[np.int64]  # (n,)
    send_start_s: NDArray[np.float64]  # (n,)
    send_end_s: NDArray[np.float64]  # (n,)
    start_s: NDArray[np.float64]  # (n,)
    finish_s: NDArray[np.float64]  # (n,)
    completion_s: NDArray[np.float64]  # (n,)
    backlog_s: NDArray[np.float64]  # (K, max_cores), infinite where the location has fewer cores
    radio_backlog_s: float


def schedule(instances: Instances, decision: ArrayLike, index: int = 0) -> Schedule:
    """The schedule of one instance.

    Args:
        instances: a batch of instances.
        decision: (n,) integers; -1 leaves a task out.
        index: which instance of the batch.

    Raises:
        ValueError: the decision has another shape or a value out of range, or there is no such instance.
    """
    if not 0 <= index < len(instances):
        raise ValueError(f"index is {index}; it must be from 0 to {len(instances) - 1}")
    one = instances[index : index + 1]
    given = np.asarray(decision)[None]
    unplaced = given == -1
    row = np.where(unplaced, -1, check_decisions(one, np.where(unplaced, 0, given)))
    cores = np.empty(row.shape, dtype=np.int64)
    events = np.empty((*row.shape, 5))
    _schedules(*one.arrays, one.max_cores, row, cores, events)
    backlog_s = np.empty((one.num_locations, one.max_cores))
    start_schedule(one.locations[0], one.core_backlog_s[0], backlog_s)
    return Schedule(row[0], cores[0], *events[0].T, backlog_s, float(one.radio_backlog_s[0]))  # type: ignore[call-arg]
