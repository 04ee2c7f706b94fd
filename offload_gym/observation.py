"""What a policy sees: one vector, the same for environments and networks.

The vector holds times only, divided by one time of the instance (its scale, the makespan of greedy earliest
completion), so that two instances that differ by a factor in all their times look alike. It is made of n task rows and
a state:

- task row, ``1 + 1 + 4 (K - 1)`` numbers: 1 (present); run time on the device; then for each remote location: send
  time on the radio, path time (wired path and propagation), run time, and return time of the result. Row 0 is the task
  to be placed next, row 1 the one after it; rows beyond the last task are zero.
- state, ``3 + (cores of all locations) + K`` numbers: when the radio is free; the makespan of the tasks placed so far;
  the share of tasks not placed; when each core is free, earliest first within a location; and when the next task
  would complete at each location.

At the start of an epoch this is all that the delay model reads, so the optimal decision is a function of it; later in
the epoch it is all that the remaining decisions depend on. ``squash`` bounds each number; it keeps numbers apart that
32-bit floats can keep apart, so that times below about a thousand scales are still told from each other.
"""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box
from numba import njit
from numpy.typing import NDArray

from offload_gym.delay import (
    PATH,
    RETURN,
    RUN,
    SEND,
    check_decisions,
    fill_problem,
    new_problem,
    place,
    start_schedule,
)
from offload_gym.instances import CORES, Instances
from offload_gym.solvers.greedy import complete_greedily

HIGH = 3.0  # bound of every number of an observation; the low bound is 0


@njit(cache=True, nogil=True)
def row_size(num_locations):
    """Numbers in a task row."""
    return 2 + 4 * (num_locations - 1)


def state_size(total_cores: int, num_locations: int) -> int:
    """Numbers in the state."""
    return 3 + total_cores + num_locations


def observation_size(num_tasks: int, cores: tuple[int, ...]) -> int:
    """Numbers in an observation of ``num_tasks`` tasks and locations with as many ``cores``."""
    return num_tasks * row_size(len(cores)) + state_size(sum(cores), len(cores))


def observation_space(num_tasks: int, cores: tuple[int, ...]) -> Box:
    """The space of observations."""
    return Box(0.0, HIGH, (observation_size(num_tasks, cores),), np.float32)


@njit(cache=True, nogil=True)
def squash(x):
    """``x`` itself up to 2, and on to 3 for larger ones: increasing, continuous in value and slope, below ``HIGH``."""
    return x if x <= 2.0 else 3.0 - 1.0 / (x - 1.0)


@njit(cache=True, nogil=True)
def open_epoch(task, location, backlog_s, radio_s, edge_bits, problem, finish_s, free_s, scratch):
    """Prepare one instance: its ``problem`` and the schedule ``free_s`` before its first task.

    ``scratch`` is (n,) integers. Returns the instance's scale in seconds: the makespan of greedy earliest completion, 1
    where that is 0.
    """
    fill_problem(task, location, edge_bits, problem)
    start_schedule(location, backlog_s, free_s)
    makespan_s, _ = complete_greedily(problem, 0, radio_s, finish_s, free_s, scratch)
    start_schedule(location, backlog_s, free_s)
    return makespan_s if makespan_s > 0.0 else 1.0


@njit(cache=True, nogil=True)
def write_row(times_i, scale_s, row):
    """Fill a task row from the stage times (K, 4) of the task."""
    row[0] = 1.0
    row[1] = squash(times_i[0, RUN] / scale_s)
    for k in range(1, len(times_i)):
        at = 4 * k - 2
        row[at] = squash(times_i[k, SEND] / scale_s)
        row[at + 1] = squash(times_i[k, PATH] / scale_s)
        row[at + 2] = squash(times_i[k, RUN] / scale_s)
        row[at + 3] = squash(times_i[k, RETURN] / scale_s)


@njit(cache=True, nogil=True)
def write_state(problem, i, decision, finish_s, radio_s, makespan_s, free_s, cores, scale_s, state):
    """Fill the state before task ``i`` is placed; ``cores`` (K,) says how many cores each location has."""
    n, num_locations = problem.times.shape[:2]
    state[0] = squash(radio_s / scale_s)
    state[1] = squash(makespan_s / scale_s)
    state[2] = (n - i) / n
    at = 3
    for k in range(num_locations):
        for m in range(int(cores[k])):
            # Insertion sort: which core of a location is free does not matter, only when.
            value = squash(free_s[k, m] / scale_s)
            position = at + m
            while position > at and state[position - 1] > value:
                state[position] = state[position - 1]
                position -= 1
            state[position] = value
        at += int(cores[k])
    for k in range(num_locations):
        completion_s = place(problem, i, k, decision, finish_s, radio_s, free_s[k])[4]
        state[at + k] = squash(completion_s / scale_s)


@njit(cache=True, nogil=True)
def write_observation(problem, i, decision, finish_s, radio_s, makespan_s, free_s, cores, scale_s, out):
    """Fill ``out`` with the observation before task ``i`` of one instance is placed."""
    n, num_locations = problem.times.shape[:2]
    size = row_size(num_locations)
    for j in range(n):
        row = out[j * size : (j + 1) * size]
        if i + j < n:
            write_row(problem.times[i + j], scale_s, row)
        else:
            row[:] = 0.0
    write_state(problem, i, decision, finish_s, radio_s, makespan_s, free_s, cores, scale_s, out[n * size :])


@njit(cache=True, nogil=True)
def _epoch_observations(
    tasks, locations, backlog_s, radio_backlog_s, edge_start, edge_parent, edge_bits, max_cores, prefixes, rows, states
):
    num_instances, n = prefixes.shape
    num_locations = locations.shape[1]
    problem = new_problem(n, num_locations, edge_start, edge_parent)
    free_s = np.empty((num_locations, max_cores))
    finish_s = np.empty(n)
    scratch = np.empty(n, dtype=np.int64)
    for b in range(num_instances):
        radio_s = radio_backlog_s[b]
        scale_s = open_epoch(
            tasks[b], locations[b], backlog_s[b], radio_s, edge_bits[b], problem, finish_s, free_s, scratch
        )
        makespan_s = 0.0
        cores = locations[b, :, CORES]
        for i in range(n):
            write_row(problem.times[i], scale_s, rows[b, i])
            write_state(problem, i, prefixes[b], finish_s, radio_s, makespan_s, free_s, cores, scale_s, states[b, i])
            k = prefixes[b, i]
            radio_s, core, _, finish_s[i], completion_s = place(
                problem, i, k, prefixes[b], finish_s, radio_s, free_s[k]
            )
            free_s[k, core] = finish_s[i]
            makespan_s = max(makespan_s, completion_s)


def check_independent(instances: Instances) -> None:
    """ValueError where tasks depend on each other: the observation does not show dependencies yet."""
    if len(instances.edge_parent):
        raise ValueError(
            f"the instances have {len(instances.edge_parent)} dependencies; networks and observations take independent "
            "tasks only"
        )


def epoch_observations(instances: Instances, prefixes: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
    """Task rows and states of all steps of each epoch, where task ``i`` is placed after ``prefixes[:, :i]``.

    Args:
        instances: B instances of n tasks and K locations, all with the same cores.
        prefixes: (B, n) locations of the tasks.

    Returns:
        rows (B, n, row_size) and states (B, n, state_size), float32. The observation at step i is rows i, ..., n - 1,
        then zero rows, then state i.
    """
    num_locations = instances.num_locations
    shape = (len(instances), instances.num_tasks)
    cores = instances.locations[:, :, CORES]
    check_independent(instances)
    if (cores != cores[0]).any():
        raise ValueError("the instances of one batch must have the same cores to be observed together")
    rows = np.empty((*shape, row_size(num_locations)), dtype=np.float32)
    states = np.empty((*shape, state_size(int(cores[0].sum()), num_locations)), dtype=np.float32)
    _epoch_observations(*instances.arrays, instances.max_cores, check_decisions(instances, prefixes), rows, states)
    return rows, states
