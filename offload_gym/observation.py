"""What a policy sees: one vector, the same for environments and networks.

The vector holds times only, divided by one time of the instance (its scale, the makespan of greedy earliest
completion), so that two instances that differ by a factor in all their times look alike. It is made of n task rows
(row 0 is the task to be placed next, row 1 the one after it; rows beyond the last task are zero), a state, where tasks
depend on each other the graph, and two prices under the objective "cost". ``offload_gym.observation_layout`` says what
each number is, as the table of ``JointEnv`` does.

At the start of an epoch this is all that the delay model reads, so the optimal decision is a function of it; later in
the epoch it is all that the remaining decisions depend on, but for how the sends of several placed parents share the
radio. ``squash`` bounds each number; it keeps numbers apart that 32-bit floats can keep apart, so that times below
about a thousand scales are still told from each other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import inlined, kernel
from offload_gym.delay import (
    MAKESPAN,
    PATH,
    RETURN,
    RUN,
    SEND,
    Room,
    Start,
    check_decisions,
    copy_table,
    extend,
    new_workspace,
    open_instance,
    place,
    take,
)
from offload_gym.instances import CORES, DOWNLINK, PROPAGATION, UPLINK, WIRED, Batch, Instances
from offload_gym.lending import lent
from offload_gym.solvers.bounds import critical_path, new_scratch
from offload_gym.solvers.greedy import complete_greedily
from offload_gym.solvers.heft import upward_ranks

BEFORE_CORES = 3  # numbers of the state before the cores: radio, makespan, share of tasks left
REFERENCE_SHARE = 0.1  # of the scale: send time of the data whose moves describe the links


class Epoch(NamedTuple):
    """What an observation shows of an instance besides its ``Problem``, its schedule and its links."""

    location: NDArray[np.float64]  # (K, 6)
    scale_s: float  # what 1 stands for
    roll_outs: bool  # whether it looks beyond the next task, at what simple ways of placing the later ones lead to


@kernel
def row_size(num_locations, dependent=False):
    """Numbers in a task row."""
    return 2 + 4 * (num_locations - 1) + (3 if dependent else 0)


@kernel
def num_options(dependent, roll_outs):
    """Numbers in the state for each location of the next task: its completion there, with roll-outs what follows."""
    if not roll_outs:
        return 1
    return 7 if dependent else 3


@kernel
def state_size(total_cores, num_locations, dependent=False, roll_outs=True):
    """Numbers in the state, with or without roll-outs."""
    size = BEFORE_CORES + total_cores + num_options(dependent, roll_outs) * num_locations
    return size + (4 * (num_locations - 1) if dependent else 0)


@inlined
def squash(x):
    """``x`` itself up to 2, and on to 3 for larger ones: increasing, continuous in value and slope, below 3."""
    return x if x <= 2.0 else 3.0 - 1.0 / (x - 1.0)


@kernel
def epoch_scale(problem, radio_s, core_s, scratch, room):
    """The scale of an instance in seconds: the makespan of greedy earliest completion, 1 where that is 0.

    ``core_s`` (K, max_cores) is when its cores are free; ``scratch`` (n,) integers and ``room`` are written.
    """
    copy_table(core_s, room.free_s)
    makespan_s, _ = complete_greedily(problem, scratch, 0, radio_s, room)
    return makespan_s if makespan_s > 0.0 else 1.0


def new_links(num_instances: int, num_tasks: int, dependent: bool) -> NDArray[np.float64] | None:
    """Room for the links (B, n, 3) of instances of dependent tasks; None where tasks are independent.

    The type tells the kernels so: for None, numba compiles nothing of what dependent tasks need.
    """
    return np.zeros((num_instances, num_tasks, 3)) if dependent else None


@kernel
def links_of(links, b, count):
    """The links of the ``count`` tasks of instance ``b``, or None."""
    if links is None:
        return None
    return links[b, :count]


@kernel
def fill_links(problem, links):
    """Fill ``links`` (n, 3): upward rank, mean transfer time of all incoming and of all outgoing data of each task."""
    if links is None:
        return
    upward_ranks(problem, links[:, 0])
    links[:, 1:] = 0.0
    for i in range(len(problem.times)):
        for e in range(problem.edge_start[i], problem.edge_start[i + 1]):
            move_s = problem.moves[e].sum() / problem.moves.shape[1] ** 2
            links[i, 1] += move_s
            links[problem.edge_parent[e], 2] += move_s


@kernel
def write_row(times, links, i, scale_s, out, at):
    """Fill the task row of task ``i`` from the stage times (n, K, 4) and ``links``; it begins at ``out[at]``."""
    per_s = 1.0 / scale_s
    out[at] = 1.0
    out[at + 1] = squash(times[i, 0, RUN] * per_s)
    at += 2
    for k in range(1, times.shape[1]):
        for stage in range(4):
            out[at + stage] = squash(times[i, k, stage] * per_s)
        at += 4
    if links is not None:
        for column in range(3):
            out[at + column] = squash(links[i, column] * per_s)


@kernel
def write_state(problem, decision, start, epoch, links, finish_s, state):
    """Fill the state before task ``start.first`` is placed; the value of the schedule so far is its makespan.

    ``decision`` and ``finish_s`` (n,) hold the tasks that are placed; ``links`` are those of ``fill_links``.
    """
    n, num_locations = problem.times.shape[:2]
    per_s = 1.0 / epoch.scale_s
    state[0] = squash(start.radio_s * per_s)
    state[1] = squash(start.value_s * per_s)
    state[2] = (n - start.first) / n
    at = BEFORE_CORES
    for k in range(num_locations):
        cores = int(epoch.location[k, CORES])
        for m in range(cores):
            # Insertion sort: which core of a location is free does not matter, only when.
            value = squash(start.core_s[k, m] * per_s)
            position = at + m
            while position > at and state[position - 1] > value:
                state[position] = state[position - 1]
                position -= 1
            state[position] = value
        at += cores
    _write_options(problem, decision, start, epoch, links, finish_s, state[at:])
    if links is not None:
        _write_links(epoch, state[at + num_options(True, epoch.roll_outs) * num_locations :])


@kernel
def _write_links(epoch, out):
    """Fill ``out`` (4 (K - 1)) with the times that the reference data takes on each link."""
    scale_s, location = epoch.scale_s, epoch.location
    reference_bits = REFERENCE_SHARE * scale_s * location[1, UPLINK]
    at = 0
    for k in range(1, len(location)):
        for column in (UPLINK, DOWNLINK, WIRED):
            out[at] = squash(reference_bits / location[k, column] / scale_s)
            at += 1
        out[at] = squash(location[k, PROPAGATION] / scale_s)
        at += 1


@kernel
def _complete_at(problem, decision, first, k, radio_s, room):
    """Place tasks ``first``, ... at ``k``; returns their largest completion and the sum of them."""
    largest_s = total_s = 0.0
    for i in range(first, len(problem.times)):
        placed = place(problem, decision, i, k, radio_s, room)
        take(room, i, k, placed)
        radio_s = placed.radio_s
        decision[i] = k
        largest_s = max(largest_s, placed.completion_s)
        total_s += placed.completion_s
    return largest_s, total_s


@kernel
def _write_options(problem, decision, start, epoch, links, finish_s, state):
    """Fill ``state`` with the completion of the next task at each location (K), and with roll-outs with what follows.

    What follows (2 K numbers, 6 K with links) is what simple ways of placing the later tasks lead to.
    """
    n, num_locations = problem.times.shape[:2]
    i, per_s = start.first, 1.0 / epoch.scale_s
    so_far = trial_room = Room(finish_s, start.core_s)
    trial = decision
    placed_s = 0.0  # sum of the completions of the tasks before i
    if epoch.roll_outs:
        trial, trial_room = decision.copy(), Room(finish_s.copy(), np.empty_like(start.core_s))
        for j in range(i):
            placed_s += finish_s[j] + problem.times[j, decision[j], RETURN]
    if links is not None:
        scratch = new_scratch(problem)
    for k in range(num_locations):
        placed = place(problem, decision, i, k, start.radio_s, so_far)
        state[k] = squash(placed.completion_s * per_s)
        if not epoch.roll_outs:
            continue
        trial[i] = k
        copy_table(start.core_s, trial_room.free_s)
        take(trial_room, i, k, placed)
        so_far_s, total_so_far_s = max(start.value_s, placed.completion_s), placed_s + placed.completion_s
        largest_s, total_s = complete_greedily(problem, trial, i + 1, placed.radio_s, trial_room)
        state[num_locations + k] = squash(max(so_far_s, largest_s) * per_s)
        state[2 * num_locations + k] = squash((total_so_far_s + total_s) / n * per_s)
        if links is None:
            continue
        least_s = least_total_s = np.inf
        for later_k in range(num_locations):
            copy_table(start.core_s, trial_room.free_s)
            take(trial_room, i, k, placed)
            largest_s, total_s = _complete_at(problem, trial, i + 1, later_k, placed.radio_s, trial_room)
            least_s, least_total_s = min(least_s, max(so_far_s, largest_s)), min(least_total_s, total_s)
        state[3 * num_locations + k] = squash(least_s * per_s)
        state[4 * num_locations + k] = squash((total_so_far_s + least_total_s) / n * per_s)
        copy_table(start.core_s, trial_room.free_s)
        take(trial_room, i, k, placed)
        with_it = Start(i + 1, placed.radio_s, so_far_s, trial_room.free_s)
        largest_s, total_s = critical_path(problem, trial, trial_room.finish_s, with_it, scratch)
        state[5 * num_locations + k] = squash(max(so_far_s, largest_s) * per_s)
        state[6 * num_locations + k] = squash((total_so_far_s + total_s) / n * per_s)


@kernel
def _write_graph(problem, decision, start, epoch, finish_s, num_rows, out):
    """Fill ``out`` (num_rows (K + num_rows)) with arrivals and edges, row 0 for the next task."""
    n, num_locations = problem.times.shape[:2]
    i, scale_s = start.first, epoch.scale_s
    out[:] = 0.0
    edges_at = num_rows * num_locations
    for j in range(i, n):
        for e in range(problem.edge_start[j], problem.edge_start[j + 1]):
            parent = problem.edge_parent[e]
            if parent >= i:
                out[edges_at + (parent - i) * num_rows + j - i] = squash(problem.moves[e, 0, 1, SEND] / scale_s)
                continue
            for k in range(num_locations):
                move = problem.moves[e, decision[parent], k]
                at = (j - i) * num_locations + k
                out[at] = max(out[at], squash((finish_s[parent] + move[SEND] + move[PATH]) / scale_s))


@kernel
def write_observation(problem, decision, start, epoch, links, finish_s, num_rows, out):
    """Fill ``out`` with the observation of ``num_rows`` rows before task ``start.first``; see ``write_state``."""
    n, num_locations = problem.times.shape[:2]
    i = start.first
    size = row_size(num_locations, links is not None)
    for j in range(num_rows):
        if i + j < n:
            write_row(problem.times, links, i + j, epoch.scale_s, out, j * size)
        else:
            for column in range(j * size, (j + 1) * size):
                out[column] = 0.0
    state = out[num_rows * size :]
    write_state(problem, decision, start, epoch, links, finish_s, state)
    if links is not None:
        rest = state[state_size(int(epoch.location[:, CORES].sum()), num_locations, True, epoch.roll_outs) :]
        _write_graph(problem, decision, start, epoch, finish_s, num_rows, rest)


@kernel
def write_prices(problem, out):
    """Fill the end of an observation under the objective "cost"."""
    out[-2] = squash(problem.prices[0])
    out[-1] = squash(problem.prices[1])


@kernel
def open_epoch(batch, b, links, work, scratch):
    """Instance ``b`` of a batch in a workspace: its ``Problem``, the ``Start`` before its first task, its ``Epoch``.

    Its ``links`` are filled; ``scratch`` (n,) are integers. The cores of the start are those of ``work.room``, where a
    schedule of it can go on.
    """
    problem, start = open_instance(batch, b, work)
    scale_s = epoch_scale(problem, start.radio_s, start.core_s, scratch, work.room)
    copy_table(start.core_s, work.room.free_s)
    fill_links(problem, links)
    return problem, Start(0, start.radio_s, 0.0, work.room.free_s), Epoch(batch.locations[b], scale_s, True)


@kernel
def _epoch_observations(arrays, all_links, prefixes, rows, states):
    """Fill ``rows`` (B, n, row size) and ``states`` (B, n, state size) of all steps along ``prefixes`` (B, n)."""
    batch = lent(Batch(*arrays))
    memory = new_workspace(batch)
    scratch = np.empty(prefixes.shape[1], dtype=np.int64)
    rows[:] = 0.0
    states[:] = 0.0
    for b in range(len(prefixes)):
        work, links = lent(memory), links_of(all_links, 0, batch.task_counts[b])
        problem, start, epoch = open_epoch(batch, b, links, work, scratch)
        prefix = prefixes[b, : batch.task_counts[b]]
        for i in range(len(prefix)):
            write_row(problem.times, links, i, epoch.scale_s, rows[b, i], 0)
            write_state(problem, prefix, start, epoch, links, work.room.finish_s, states[b, i])
            start = extend(problem, prefix, start, MAKESPAN, work.room)


def epoch_observations(
    instances: Instances, prefixes: NDArray[np.int64], dependent: bool = False
) -> tuple[NDArray, NDArray]:
    """Task rows and states of all steps of each epoch, where task ``i`` is placed after ``prefixes[:, :i]``.

    Args:
        instances: B instances of n tasks and K locations, all with the same cores.
        prefixes: (B, n) locations of the tasks.
        dependent: whether rows and states are those for dependent tasks.

    Returns:
        rows (B, n, row_size) and states (B, n, state_size), float32, 0 for padding. The observation at step i begins
        with rows i, ..., n - 1, then zero rows, then state i.

    Raises:
        ValueError: the instances have different cores, or dependencies that independent observations do not show.
    """
    num_locations = instances.num_locations
    shape = (len(instances), instances.num_tasks)
    cores = instances.locations[:, :, CORES]
    check_independent(instances, dependent)
    if (cores != cores[0]).any():
        raise ValueError("the instances of one batch must have the same cores to be observed together")
    rows = np.empty((*shape, row_size(num_locations, dependent)), dtype=np.float32)
    states = np.empty((*shape, state_size(int(cores[0].sum()), num_locations, dependent)), dtype=np.float32)
    prefixes = check_decisions(instances, prefixes)
    links = new_links(1, instances.num_tasks, dependent)
    _epoch_observations(instances.arrays, links, prefixes, rows, states)
    return rows, states


def check_independent(instances: Instances, dependent: bool, what: str = "this observation") -> None:
    """ValueError where tasks depend on each other and ``what`` is not ``dependent``, the one that takes that in."""
    # The width is looked at first, as it takes no time; instances cut from a larger batch may have room for edges.
    if not dependent and instances.edge_parent.shape[1] and instances.edge_start[:, -1].any():
        raise ValueError(
            f"the instances have up to {instances.edge_start[:, -1].max()} dependencies; {what} is for independent "
            "tasks"
        )
