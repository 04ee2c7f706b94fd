"""Decisions of a network for independent tasks, as fast as this package can make them.

``offload_gym.networks.general_kernel`` builds on the functions that all kernels share. Here the same decisions are made
with less work: cores that are alike need no names, so a location is the ascending times at which its cores are free;
all times are divided by the scale once, not when they are shown to the network; the roll-out of the choice that greedy
would make is known from the step before; and layers are written in vector instructions.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import inlined, kernel
from offload_gym.delay import (
    PATH,
    RETURN,
    RUN,
    SEND,
    Problem,
    Room,
    Start,
    copy_row,
    paces,
    stage_times,
    take_sorted,
    try_sorted,
    value_of,
)
from offload_gym.instances import CORES
from offload_gym.layers import CHAINS, LANES, Layers, packed, run_layer
from offload_gym.lending import lent
from offload_gym.observation import BEFORE_CORES, squash, state_size
from offload_gym.solvers.local_search import refine_decision

NOT_TRIED, TRIED, SHOWN = range(3)  # roll-outs: TRIED ones may be kept, the network reads those that are SHOWN


class Plan(NamedTuple):
    """A network and how it is used; K locations, L layers. The kernels unpack it from what ``make_plan`` returns."""

    num_locations: int
    is_joint: bool  # one pass decides all tasks
    keep_best: bool  # the decision is the best of all schedules that were tried
    roll_outs: int  # NOT_TRIED, TRIED or SHOWN
    objective: int
    code: int  # numbers in an encoding
    encoder_layers: int
    head_layers: int
    further: int  # numbers that the head reads behind the state
    core_at: NDArray[np.int64]  # (K + 1,) the cores of location k are core_at[k], ..., core_at[k + 1] - 1
    layers: NDArray[np.int64]  # (3 L,) of each: where its weights begin, its padded inputs, its padded outputs
    weights: NDArray[np.float32]


CORE_AT = Plan._fields.index("core_at")  # where it begins in the array: one number for each field before it


def make_plan(
    cores: Sequence[int],
    joint: bool,
    encoder: Layers,
    head: Layers,
    keep_best: bool,
    objective: int,
    roll_outs: int,
    further: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """A network as two arrays, what ``decide_independent`` takes: the integers of a ``Plan`` and padded weights.

    Without layers each task goes where the roll-out is best. An array of integers reaches a kernel in a fraction of the
    time that a named tuple takes.
    """
    code = len(encoder[-1][1]) if encoder else 0
    layers, weights = packed((*encoder, *head))
    numbers = [len(cores), joint, keep_best, roll_outs, objective, code, len(encoder), len(head), further]
    return np.array([*numbers, *itertools.accumulate(cores, initial=0), *layers.ravel()], dtype=np.int64), weights


@inlined
def unpack_plan(numbers, weights):
    """The ``Plan`` that ``make_plan`` wrote."""
    layers_at = CORE_AT + numbers[0] + 1
    return Plan(
        numbers[0],
        numbers[1] > 0,
        numbers[2] > 0,
        numbers[3],
        numbers[4],
        numbers[5],
        numbers[6],
        numbers[7],
        numbers[8],
        lent(numbers[CORE_AT:layers_at]),
        lent(numbers[layers_at:]),
        lent(weights),
    )


class Layout(NamedTuple):
    """Where things are in ``Memory.values``: the plan's integers that need the number of tasks n."""

    features: int  # numbers that the network reads of a task
    row: int  # numbers from one task row to the next; the rows come first
    later: int  # (n + 1, code) sums of the encodings from each task on
    head: int  # the input of the head: sums, row and state, or without an encoder the plain observation
    row_at: int  # the row in the input of the head
    state_at: int
    options_at: int  # in the state: (3, K) completion, makespan and mean; the last two where roll-outs are shown
    further_at: int  # behind the state
    scratch: int  # two layers of the same size


class Memory(NamedTuple):
    """What the phases fill for one instance of up to n tasks; C cores at K locations.

    A location is the ascending times at which its cores are free. Times are in seconds until ``start_scaled`` divides
    them by the scale.
    """

    num_tasks: int  # of the instance
    layout: Layout
    values: NDArray[np.float32]  # all that layers read and write
    times: NDArray[np.float64]  # (n, K, 4)
    core_s: NDArray[np.float64]  # (C,) when cores are free before the first task
    free_s: NDArray[np.float64]  # (C,) after the tasks that are placed
    trial_free_s: NDArray[np.float64]  # (C,) the same in a roll-out
    decision: NDArray[np.int64]  # (n,) what the network itself chose
    trial: NDArray[np.int64]  # (n,) what a roll-out chose
    # Of each location (K,), if the next task goes there:
    finishes_s: NDArray[np.float64]
    largest_s: NDArray[np.float64]  # the makespan so far, once roll-outs are tried that of the whole schedule
    totals_s: NDArray[np.float64]  # the same for the sum of completions


class Ends(NamedTuple):
    """A schedule in two numbers."""

    largest_s: float  # largest completion
    total_s: float  # sum of completions


class SoFar(NamedTuple):
    """The schedule of the tasks that are placed; when cores are free then is in ``Memory.free_s``."""

    radio_s: float
    largest_s: float
    total_s: float
    greedy: Ends  # of the schedule in which greedy earliest completion places the later tasks
    best_value: float  # of all whole schedules that were tried


@inlined
def lay_out(n, plan):
    """The ``Layout`` for n tasks. Where rows and inputs are padded there are zeros for good."""
    num_locations = plan.num_locations
    features = 1 + 4 * (num_locations - 1)
    row = -(-features // CHAINS) * CHAINS
    later = n * row
    head = later + (n + 1) * plan.code
    row_at = head + (2 if plan.is_joint else 1) * plan.code
    state_at = row_at + features if plan.encoder_layers > 0 or plan.head_layers == 0 else head + n * (1 + features)
    total_cores = plan.core_at[num_locations]
    further_at = state_at + state_size(total_cores, num_locations, False, plan.roll_outs == SHOWN)
    scratch = further_at + plan.further + CHAINS
    # Vectors that lie across two cache lines are slow.
    scratch = -(-scratch // LANES) * LANES
    options_at = state_at + BEFORE_CORES + total_cores
    return Layout(features, row, later, head, row_at, state_at, options_at, further_at, scratch)


@inlined
def allocate(n, layout, plan):
    """The arrays of a ``Memory``: few, since it takes as long to make a small one as a large one."""
    widest = 0  # inputs or outputs of a layer
    for layer in range(plan.encoder_layers + plan.head_layers):
        widest = max(widest, plan.layers[3 * layer + 1], plan.layers[3 * layer + 2])
    values = np.zeros(layout.scratch + 2 * (-(-widest // LANES) * LANES), dtype=np.float32)
    times, options_s = np.empty((n, plan.num_locations, 4)), np.empty((3, plan.num_locations))
    free_s, choices = np.empty((3, plan.core_at[plan.num_locations])), np.empty((2, n), dtype=np.int64)
    return values, times, free_s, choices, options_s


@inlined
def new_memory(num_tasks, layout, arrays):
    """The ``Memory`` of an instance of ``num_tasks`` tasks in the arrays of ``allocate``, which the caller keeps."""
    values, times, free_s, choices, options_s = arrays
    free_s, choices, options_s = lent(free_s), lent(choices), lent(options_s)
    return Memory(
        num_tasks,
        layout,
        lent(values),
        lent(times),
        free_s[0],
        free_s[1],
        free_s[2],
        choices[0],
        choices[1],
        options_s[0],
        options_s[1],
        options_s[2],
    )


@inlined
def run_layers(plan, first, last, rectify_last, values, source, scratch):
    """Run the layers ``first``, ..., ``last - 1`` on ``values[source:]``; returns where the result begins.

    From ``scratch`` on there is room for two layers.
    """
    both = 2 * scratch + (len(values) - scratch) // 2  # where one begins plus where the other begins
    target = scratch
    for layer in range(first, last):
        at, inputs, outputs = plan.layers[3 * layer], plan.layers[3 * layer + 1], plan.layers[3 * layer + 2]
        run_layer(plan.weights, at, inputs, outputs, values, source, target, rectify_last or layer < last - 1)
        source, target = target, both - target
    return source


@inlined
def _move(values, source, target, count):
    """Copy ``count`` of the values. Indices are unsigned, as numba looks whether others count from the end."""
    source, target = np.uint64(source), np.uint64(target)
    for f in range(np.uint64(count)):
        values[target + f] = values[source + f]


@inlined
def _subtract(values, from_at, what_at, target, count):
    """Fill ``count`` of the values with differences of others."""
    from_at, what_at, target = np.uint64(from_at), np.uint64(what_at), np.uint64(target)
    for f in range(np.uint64(count)):
        values[target + f] = values[from_at + f] - values[what_at + f]


@kernel
def _complete(times, first, count, core_at, radio_s, free_s, decision):
    """Greedy earliest completion from task ``first`` on; returns the largest completion and the sum of them."""
    if first < 0:
        return 0.0, 0.0
    largest_s = total_s = 0.0
    for i in range(first, count):
        best_s, best_k, best_finish_s = np.inf, 0, 0.0
        for k in range(times.shape[1]):
            _, finish_s, completion_s = try_sorted(times, i, k, radio_s, free_s[core_at[k]])
            if completion_s < best_s:
                best_s, best_k, best_finish_s = completion_s, k, finish_s
        radio_s += times[i, best_k, SEND]
        take_sorted(free_s, core_at[best_k], core_at[best_k + 1], best_finish_s)
        decision[i] = best_k
        largest_s = max(largest_s, best_s)
        total_s += best_s
    return largest_s, total_s


@inlined
def fill_times(task, location, backlog_s, plan, memory):
    """Fill the stage times of one instance and the times at which its cores are free.

    Returns whether its locations have the cores that the network knows.
    """
    times, core_s = memory.times, memory.core_s
    for k in range(plan.num_locations):
        first, last = plan.core_at[k], plan.core_at[k + 1]
        if location[k, CORES] != last - first:
            return False
        for c in range(first, last):
            value_s = backlog_s[k, c - first if backlog_s.shape[1] > 1 else 0]
            at = c
            while at > first and core_s[at - 1] > value_s:
                core_s[at] = core_s[at - 1]
                at -= 1
            core_s[at] = value_s
        pace = paces(location, k)
        for i in range(memory.num_tasks):
            times[i, k, SEND], times[i, k, PATH], times[i, k, RUN], times[i, k, RETURN] = stage_times(
                task, i, k, pace, True, True
            )
    return True


@inlined
def start_scaled(radio_s, best, plan, memory):
    """Fill ``best`` with greedy earliest completion, and divide all times by its makespan, the scale.

    Returns what is ``SoFar`` before the first task, and one over the scale.
    """
    times, core_s, free_s, count = memory.times, memory.core_s, memory.free_s, memory.num_tasks
    for i in range(count, len(best)):
        best[i] = 0  # padding
    copy_row(core_s, free_s)
    makespan_s, total_s = _complete(times, 0, count, plan.core_at, radio_s, free_s, best)
    per_s = 1.0 / makespan_s if makespan_s > 0.0 else 1.0
    for i in range(count):
        for k in range(plan.num_locations):
            for stage in range(4):
                times[i, k, stage] *= per_s
    for c in range(len(core_s)):
        core_s[c] *= per_s
        free_s[c] = core_s[c]
    greedy = Ends(makespan_s * per_s, total_s * per_s)
    best_value = value_of(plan.objective, greedy.largest_s, greedy.total_s)
    return SoFar(radio_s * per_s, 0.0, 0.0, greedy, best_value), per_s


@inlined
def encode_tasks(plan, memory):
    """Fill the task rows and the sums of the encodings from each task on."""
    layout, values, times, code = memory.layout, memory.values, memory.times, plan.code
    count = memory.num_tasks
    for e in range(code):
        values[np.uint64(layout.later + count * code) + np.uint64(e)] = 0.0
    for i in range(count - 1, -1, -1):
        at = np.uint64(i * layout.row)
        values[at] = squash(times[i, 0, RUN])
        for k in range(1, plan.num_locations):
            for stage in range(4):
                at += np.uint64(1)
                values[at] = squash(times[i, k, stage])
        source = i * layout.row
        encoding = np.uint64(run_layers(plan, 0, plan.encoder_layers, True, values, source, layout.scratch))
        here, next_one = np.uint64(layout.later + i * code), np.uint64(layout.later + (i + 1) * code)
        for e in range(np.uint64(code)):
            values[here + e] = values[next_one + e] + values[encoding + e]


@inlined
def _write_state(i, so_far, memory):
    """Fill the state before task ``i`` is placed, up to the options."""
    values, free_s = memory.values, memory.free_s
    at = np.uint64(memory.layout.state_at)
    values[at] = squash(so_far.radio_s)
    values[at + np.uint64(1)] = squash(so_far.largest_s)
    values[at + np.uint64(2)] = (memory.num_tasks - i) / memory.num_tasks
    for c in range(np.uint64(len(free_s))):
        values[at + np.uint64(BEFORE_CORES) + c] = squash(free_s[c])


@inlined
def _try_next(i, so_far, plan, memory):
    """Try task ``i`` at each location next; returns where it is complete first.

    Fills the ends of the schedules up to ``i``, and shows the completions to the network.
    """
    at = np.uint64(memory.layout.options_at)
    soonest_k, soonest_s = 0, np.inf
    for k in range(plan.num_locations):
        core_s = memory.free_s[plan.core_at[k]]
        _, memory.finishes_s[k], completion_s = try_sorted(memory.times, i, k, so_far.radio_s, core_s)
        memory.largest_s[k] = max(so_far.largest_s, completion_s)
        memory.totals_s[k] = so_far.total_s + completion_s
        if plan.head_layers > 0:
            memory.values[at] = squash(completion_s)
            at += np.uint64(1)
        if completion_s < soonest_s:
            soonest_k, soonest_s = k, completion_s
    return soonest_k


@inlined
def _roll_out(i, k, so_far, plan, memory):
    """The ends of the schedule where task ``i`` goes to ``k`` and greedy earliest completion places the later tasks."""
    times, free_s = memory.times, memory.trial_free_s
    copy_row(memory.free_s, free_s)
    take_sorted(free_s, plan.core_at[k], plan.core_at[k + 1], memory.finishes_s[k])
    radio_s = so_far.radio_s + times[i, k, SEND]
    later_s, later_total_s = _complete(times, i + 1, memory.num_tasks, plan.core_at, radio_s, free_s, memory.trial)
    return Ends(max(memory.largest_s[k], later_s), memory.totals_s[k] + later_total_s)


@inlined
def _try_choices(i, soonest_k, best, so_far, plan, memory):
    """Try each location for task ``i`` with greedy earliest completion behind it; returns the best value so far.

    What placing it at ``soonest_k`` leads to is known. Replaces the ends of the options, and shows them to the network.
    """
    at, num_locations = np.uint64(memory.layout.options_at), np.uint64(plan.num_locations)
    best_value = so_far.best_value
    for k in range(plan.num_locations):
        ends = so_far.greedy
        if k != soonest_k:
            ends = _roll_out(i, k, so_far, plan, memory)
            value = value_of(plan.objective, ends.largest_s, ends.total_s)
            if plan.keep_best and value < best_value:
                best_value = value
                for j in range(i):
                    best[j] = memory.decision[j]
                best[i] = k
                for j in range(i + 1, memory.num_tasks):
                    best[j] = memory.trial[j]
        memory.largest_s[k], memory.totals_s[k] = ends
        if plan.roll_outs == SHOWN:
            shown_at = at + num_locations + np.uint64(k)
            memory.values[shown_at] = squash(ends.largest_s)
            memory.values[shown_at + num_locations] = squash(ends.total_s / memory.num_tasks)
    return best_value


@inlined
def _show(i, memory):
    """Fill the rows of the plain observation: those of the tasks from ``i`` on, with a leading 1, then zeros."""
    values, features, target = memory.values, memory.layout.features, memory.layout.head
    count, n = memory.num_tasks, len(memory.decision)
    for j in range(i, count):
        at = target + (j - i) * (1 + features)
        values[np.uint64(at)] = 1.0
        _move(values, j * memory.layout.row, at + 1, features)
    end = np.uint64(target + n * (1 + features))
    for f in range(np.uint64(target + (count - i) * (1 + features)), end):
        values[f] = 0.0


@inlined
def _score(i, scores, plan, memory):
    """Run the head for task ``i``; returns where its scores begin in the values, given where those before it did."""
    layout, values, code = memory.layout, memory.values, plan.code
    if plan.encoder_layers > 0:
        if plan.is_joint:
            _subtract(values, layout.later, layout.later + i * code, layout.head, code)
        _move(values, layout.later + (i + 1) * code, layout.row_at - code, code)
        _move(values, i * layout.row, layout.row_at, layout.features)
    elif plan.is_joint and i > 0:  # one pass gave the scores of all tasks
        return scores + np.uint64(plan.num_locations)
    else:
        _show(i, memory)
    last = plan.encoder_layers + plan.head_layers
    return np.uint64(run_layers(plan, plan.encoder_layers, last, False, values, layout.head, layout.scratch))


@inlined
def _highest(values, at, count):
    """Which of the ``count`` values from ``at`` on is highest, the first on a tie."""
    chosen, highest = 0, values[at]
    for k in range(1, count):
        value = values[at + np.uint64(k)]
        if value > highest:
            chosen, highest = k, value
    return chosen


@inlined
def _lowest(values):
    chosen = 0
    for k in range(1, len(values)):
        if values[k] < values[chosen]:
            chosen = k
    return chosen


@inlined
def _extend(i, k, so_far, greedy, best_value, plan, memory):
    """Place task ``i`` at ``k``; returns what is ``SoFar`` then, with these ``greedy`` and ``best_value``."""
    first = plan.core_at[k]
    radio_s, finish_s, completion_s = try_sorted(memory.times, i, k, so_far.radio_s, memory.free_s[first])
    take_sorted(memory.free_s, first, plan.core_at[k + 1], finish_s)
    largest_s, total_s = max(so_far.largest_s, completion_s), so_far.total_s + completion_s
    return SoFar(radio_s, largest_s, total_s, greedy, best_value)


@inlined
def choose_all(best, so_far, plan, memory, leaning):
    """Fill ``Memory.decision`` with the choices of the network, and keep the best schedule that is tried in ``best``.

    ``leaning`` is None or (n, K), what is added to the scores. Returns what is ``SoFar`` then. In the joint form no
    task is placed.
    """
    scores = np.uint64(0)
    for i in range(memory.num_tasks):
        best_value = so_far.best_value
        if i == 0 or not plan.is_joint:
            if plan.head_layers > 0:
                _write_state(i, so_far, memory)
            soonest_k = _try_next(i, so_far, plan, memory)
            if i == 0:  # times in other units may break a tie in another way
                soonest_k = best[0]
            if plan.roll_outs != NOT_TRIED:
                best_value = _try_choices(i, soonest_k, best, so_far, plan, memory)
        if plan.head_layers > 0:
            scores = _score(i, scores, plan, memory)
            if leaning is not None:
                for k in range(plan.num_locations):
                    memory.values[scores + np.uint64(k)] += leaning[i, k]
            k = _highest(memory.values, scores, plan.num_locations)
        else:
            k = _lowest(value_of(plan.objective, memory.largest_s, memory.totals_s))
        memory.decision[i] = k
        if plan.is_joint:
            so_far = SoFar(so_far.radio_s, so_far.largest_s, so_far.total_s, so_far.greedy, best_value)
        else:
            so_far = _extend(i, k, so_far, Ends(memory.largest_s[k], memory.totals_s[k]), best_value, plan, memory)
    return so_far


@inlined
def _commit(best, so_far, plan, memory):
    """Put what the network chose into ``best``, unless the best schedule is kept and another one is better."""
    takes = not plan.keep_best
    # In the sequential form, with roll-outs, it is one of those of the last choice.
    if plan.keep_best and (plan.is_joint or plan.roll_outs == NOT_TRIED):
        if plan.is_joint:
            for i in range(memory.num_tasks):
                so_far = _extend(i, memory.decision[i], so_far, so_far.greedy, so_far.best_value, plan, memory)
        takes = value_of(plan.objective, so_far.largest_s, so_far.total_s) < so_far.best_value
    if takes:
        for i in range(memory.num_tasks):
            best[i] = memory.decision[i]


@kernel
def _refine(times, own, best, radio_s, core_s, plan, search):
    """Improve the decision ``best`` by local search, and ``own`` where it is another; the better one is in ``best``."""
    count, num_locations, core_at = len(best), plan.num_locations, plan.core_at
    own_differs, max_cores = False, 0
    for i in range(count):
        own_differs = own_differs or best[i] != own[i]
    for k in range(num_locations):
        max_cores = max(max_cores, core_at[k + 1] - core_at[k])
    table_s, free_s = np.empty((num_locations, max_cores)), np.empty((num_locations, max_cores))
    for k in range(num_locations):
        for m in range(max_cores):
            table_s[k, m] = core_s[core_at[k] + m] if core_at[k] + m < core_at[k + 1] else np.inf
    problem = Problem(
        times,
        np.zeros(count + 1, dtype=np.int64),
        np.empty(0, dtype=np.int64),
        np.zeros(count, dtype=np.bool_),
        np.empty((0, num_locations, num_locations, 2)),
        np.zeros(2),
    )
    start, room = Start(0, radio_s, 0.0, table_s), Room(np.empty(count), free_s)
    objective, moves = search
    value = refine_decision(problem, best, start, objective, moves, room)
    # From the worse start the better end may be reached.
    if own_differs and refine_decision(problem, own, start, objective, moves, room) < value:
        copy_row(own, best)


@kernel
def decide_independent(tasks, locations, backlog_s, radio_backlog_s, task_counts, plan, weights, search, decisions):
    """Fill ``decisions`` (B, n); returns whether all instances have the cores that the network knows.

    ``plan`` and ``weights`` come from ``make_plan``. ``search`` is the objective and the moves of local search behind
    the network, or None, and then numba compiles none. A network of the sequential form is asked once a task. Where the
    best schedule is kept, it is the best of all that were tried: greedy's, what the choices of the network lead to, and
    the greedy completions of all choices where they are made ("fortified" roll-outs, Bertsekas, Tsitsiklis and Wu
    1997), so that it is never worse than greedy.
    """
    n = tasks.shape[1]
    plan = unpack_plan(plan, weights)
    if plan.num_locations != locations.shape[1]:
        return False
    layout = lay_out(n, plan)
    arrays = allocate(n, layout, plan)
    for b in range(len(tasks)):
        # Made here, so that the memory is needed, and not freed, as long as there may be a next instance.
        memory = new_memory(task_counts[b], layout, arrays)
        if not fill_times(lent(tasks[b]), lent(locations[b]), lent(backlog_s[b]), plan, memory):
            return False
        best = lent(decisions[b])
        start, _ = start_scaled(radio_backlog_s[b], best, plan, memory)
        if plan.head_layers > 0:
            encode_tasks(plan, memory)
        so_far = choose_all(best, start, plan, memory, None)
        _commit(best, so_far, plan, memory)
        if search is not None:
            times, own = memory.times[: memory.num_tasks], memory.decision[: memory.num_tasks]
            _refine(times, own, best[: memory.num_tasks], start.radio_s, memory.core_s, plan, search)
    return True
