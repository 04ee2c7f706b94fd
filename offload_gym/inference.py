"""Decisions of a network for independent tasks, as fast as this package can make them.

``offload_gym.general_inference`` builds on the functions that all kernels share. Here the same decisions are made with
less work: cores that are alike need no names, so a location is the ascending times at which its cores are free; all
times are divided by the scale once, not when they are shown to the network; the roll-out of the choice that greedy
would make is known from the step before; and layers are written in vector instructions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from offload_gym.delay import PATH, RETURN, RUN, SEND, Problem, Room, Start, paces, stage_times, value_of
from offload_gym.instances import CORES
from offload_gym.observation import squash, state_size
from offload_gym.solvers.local_search import NO_MOVES, refine_decision

LANES = 8  # outputs of a layer that are computed at a time; its outputs are padded to a multiple
CHAINS = 4  # sums that are kept apart, as an addition has to wait for the one before; inputs are padded to a multiple

# A plan is a network as integers: how it is used (0 or 1: one pass decides all tasks; the best schedule is kept; codes
# of roll-outs and objective, and of the objective and the moves of local search), the numbers of an encoding and of
# layers, then the cores of each location, then for each layer where its weights begin, its padded inputs and outputs.
NUM_LOCATIONS, IS_JOINT, KEEP_BEST, ROLL_OUTS, OBJECTIVE, SEARCHED, MOVES = range(7)
CODE, ENCODER_LAYERS, HEAD_LAYERS, FIRST_CORES = range(7, 11)
NOT_TRIED, TRIED, SHOWN = range(3)  # roll-outs: TRIED ones may be kept, the network reads those that are SHOWN

Layers = Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]


@intrinsic
def _layer(typing_context, weights, at, inputs, outputs, values, source, target, rectified):
    """A layer from ``values[source:]`` to ``values[target:]``: ``x @ W + b``, then max(0, .) where ``rectified``.

    W and b begin at ``weights[at]``. Both vectors are in one array, as passing arrays on costs more than a small layer.
    """
    flat = types.Array(types.float32, 1, "C")  # what the generated code takes the memory for
    if not all(isinstance(kind, types.Array) and kind.copy(readonly=False) == flat for kind in (weights, values)):
        return None
    signature = types.void(weights, *[types.intp] * 3, values, *[types.intp] * 2, types.boolean)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        weights, at, inputs, outputs, values, source, target, rectified = arguments
        vector, whole = ir.VectorType(ir.FloatType(), LANES), at.type
        none, zeros = ir.Constant(vector, ir.Undefined), ir.Constant(vector, [0.0] * LANES)
        first = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{LANES}f32"
        )
        weights, values = (
            context.make_array(kind)(context, builder, value).data
            for kind, value in ((signature.args[0], weights), (signature.args[4], values))
        )
        x, y = (builder.gep(values, [index]) for index in (source, target))

        def lanes(data: Any, index: Any) -> Any:
            return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())

        def load(data: Any, index: Any) -> Any:
            value = builder.load(lanes(data, index))
            value.align = 4
            return value

        bias = builder.add(at, builder.mul(inputs, outputs))
        with cgutils.for_range_slice(builder, whole(0), outputs, whole(LANES)) as (o, _):
            sums = [cgutils.alloca_once(builder, vector) for _ in range(CHAINS)]
            for chain in sums:
                builder.store(zeros, chain)
            builder.store(load(weights, builder.add(bias, o)), sums[0])
            with cgutils.for_range_slice(builder, whole(0), inputs, whole(CHAINS)) as (j, _):
                for c, chain in enumerate(sums):
                    index = builder.add(j, whole(c))
                    one = builder.insert_element(none, builder.load(builder.gep(x, [index])), ir.IntType(32)(0))
                    row = builder.add(at, builder.add(builder.mul(index, outputs), o))
                    factors = builder.shuffle_vector(one, none, first), load(weights, row)
                    builder.store(builder.call(multiply_add, [*factors, builder.load(chain)]), chain)
            totals = [builder.load(chain) for chain in sums]
            while len(totals) > 1:
                totals = [builder.fadd(a, b) for a, b in zip(totals[::2], totals[1::2], strict=True)]
            positive = builder.select(builder.fcmp_ordered(">", totals[0], zeros), totals[0], zeros)
            builder.store(builder.select(rectified, positive, totals[0]), lanes(y, o)).align = 4

    return signature, generate


def _padded(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def make_plan(
    cores: Sequence[int],
    joint: bool,
    encoder: Layers,
    head: Layers,
    keep_best: bool,
    objective: int,
    search: tuple[int, int],
    roll_outs: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """A network as two arrays, what ``decide_independent`` takes: integers and padded weights.

    ``search`` is the objective of local search behind it and its moves. Without layers each task goes where the
    roll-out is best.
    """
    code = len(encoder[-1][1]) if encoder else 0
    plan = [len(cores), joint, keep_best, roll_outs, objective, *search, code, len(encoder), len(head), *cores]
    parts: list[NDArray[np.float32]] = [np.empty(0, dtype=np.float32)]
    at = 0
    for weight, bias in (*encoder, *head):
        outputs, inputs = weight.shape
        padded = np.zeros((_padded(inputs, CHAINS) + 1, _padded(outputs, LANES)), dtype=np.float32)
        padded[:inputs, :outputs], padded[-1, :outputs] = weight.T, bias
        plan += [at, len(padded) - 1, padded.shape[1]]
        parts.append(padded.ravel())
        at += padded.size
    return np.array(plan, dtype=np.int64), np.concatenate(parts)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _run(plan, first, last, rectify_last, weights, values, source, scratch):
    """Run the layers ``first``, ..., ``last - 1`` on ``values[source:]``; returns where the result begins.

    From ``scratch`` on there is room for two layers.
    """
    both = 2 * scratch + (len(values) - scratch) // 2  # where one begins plus where the other begins
    target = scratch
    for layer in range(first, last):
        at = FIRST_CORES + plan[NUM_LOCATIONS] + 3 * layer
        rectified = rectify_last or layer < last - 1
        _layer(weights, plan[at], plan[at + 1], plan[at + 2], values, source, target, rectified)
        source, target = target, both - target
    return source


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _move(values, source, target, count):
    """Copy ``count`` of the values. Indices are unsigned, as numba looks whether others count from the end."""
    source, target = np.uint64(source), np.uint64(target)
    for f in range(np.uint64(count)):
        values[target + f] = values[source + f]


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _try(times, i, k, radio_s, free_s):
    """Finish and completion of task ``i`` if it is placed at ``k`` next."""
    ready_s = (radio_s + times[i, k, SEND]) + times[i, k, PATH] if k > 0 else 0.0
    finish_s = max(ready_s, free_s[k, 0]) + times[i, k, RUN]
    return finish_s, finish_s + times[i, k, RETURN]


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _take(free_s, k, cores, finish_s):
    """The core of ``k`` that is free first is taken until ``finish_s``; the times stay ascending."""
    m = 1
    while m < cores and free_s[k, m] < finish_s:
        free_s[k, m - 1] = free_s[k, m]
        m += 1
    free_s[k, m - 1] = finish_s


@njit(cache=True, nogil=True, error_model="numpy")
def _complete(times, first, count, plan, radio_s, free_s, decision):
    """Greedy earliest completion from task ``first`` on; returns the largest completion and the sum of them."""
    if first < 0:
        return 0.0, 0.0
    largest_s = total_s = 0.0
    for i in range(first, count):
        best_s, best_k, best_finish_s = np.inf, 0, 0.0
        for k in range(times.shape[1]):
            finish_s, completion_s = _try(times, i, k, radio_s, free_s)
            if completion_s < best_s:
                best_s, best_k, best_finish_s = completion_s, k, finish_s
        radio_s += times[i, best_k, SEND]
        _take(free_s, best_k, plan[FIRST_CORES + best_k], best_finish_s)
        decision[i] = best_k
        largest_s = max(largest_s, best_s)
        total_s += best_s
    return largest_s, total_s


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _copy_free(source, target, plan):
    for k in range(len(source)):
        for m in range(plan[FIRST_CORES + k]):
            target[k, m] = source[k, m]


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _open(task, location, backlog_s, count, plan, times, start_s):
    """Fill the stage ``times`` of one instance and the ascending times ``start_s`` at which its cores are free.

    Returns whether its locations have the cores that the network knows.
    """
    for k in range(len(location)):
        cores = plan[FIRST_CORES + k]
        if location[k, CORES] != cores:
            return False
        for m in range(cores):
            value_s = backlog_s[k, m if backlog_s.shape[1] > 1 else 0]
            at = m
            while at > 0 and start_s[k, at - 1] > value_s:
                start_s[k, at] = start_s[k, at - 1]
                at -= 1
            start_s[k, at] = value_s
        pace = paces(location, k)
        for i in range(count):
            times[i, k, SEND], times[i, k, PATH], times[i, k, RUN], times[i, k, RETURN] = stage_times(
                task, i, k, pace, True, True
            )
    return True


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _subtract(values, from_at, what_at, target, count):
    """Fill ``count`` of the values with differences of others."""
    from_at, what_at, target = np.uint64(from_at), np.uint64(what_at), np.uint64(target)
    for f in range(np.uint64(count)):
        values[target + f] = values[from_at + f] - values[what_at + f]


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _show(values, row, features, i, count, n, target):
    """Fill the rows of the plain observation: those of the tasks from ``i`` on, with a leading 1, then zeros."""
    for j in range(i, count):
        at = target + (j - i) * (1 + features)
        values[np.uint64(at)] = 1.0
        _move(values, j * row, at + 1, features)
    end = np.uint64(target + n * (1 + features))
    for f in range(np.uint64(target + (count - i) * (1 + features)), end):
        values[f] = 0.0


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _encode(times, count, plan, weights, values, row, later, scratch):
    """Fill the task rows, of ``row`` values each, and the sums of the encodings from each task on."""
    code = plan[CODE]
    for e in range(code):
        values[np.uint64(later + count * code) + np.uint64(e)] = 0.0
    for i in range(count - 1, -1, -1):
        at = np.uint64(i * row)
        values[at] = squash(times[i, 0, RUN])
        for k in range(1, times.shape[1]):
            for stage in range(4):
                at += np.uint64(1)
                values[at] = squash(times[i, k, stage])
        encoding = np.uint64(_run(plan, 0, plan[ENCODER_LAYERS], True, weights, values, i * row, scratch))
        here, next_one = np.uint64(later + i * code), np.uint64(later + (i + 1) * code)
        for e in range(np.uint64(code)):
            values[here + e] = values[next_one + e] + values[encoding + e]


@njit(cache=True, nogil=True, error_model="numpy")
def _refine(times, plan, radio_s, start_s, free_s, own, best):
    """Improve the decision ``best`` by local search, and ``own`` where it is another; the better one is in ``best``."""
    num_locations, count = times.shape[1], len(best)
    own_differs = False
    for i in range(count):
        own_differs = own_differs or best[i] != own[i]
    for k in range(num_locations):
        for m in range(plan[FIRST_CORES + k], start_s.shape[1]):
            start_s[k, m] = np.inf
    problem = Problem(
        times, np.zeros(count + 1, dtype=np.int64), np.empty(0, dtype=np.int64), np.zeros(count, dtype=np.bool_),
        np.empty((0, num_locations, num_locations, 2)), np.zeros(2),
    )  # fmt: skip
    start, room = Start(0, radio_s, 0.0, start_s), Room(np.empty(count), free_s)
    value = refine_decision(problem, best, start, plan[SEARCHED], plan[MOVES], room)
    # From the worse start the better end may be reached.
    if own_differs and refine_decision(problem, own, start, plan[SEARCHED], plan[MOVES], room) < value:
        best[:] = own


@njit(cache=True, nogil=True, error_model="numpy")
def decide_independent(tasks, locations, backlog_s, radio_backlog_s, task_counts, plan, weights, decisions):
    """Fill ``decisions`` (B, n); returns whether all instances have the cores that the network knows.

    A network of the sequential form is asked once a task. With ``KEEP_BEST`` the decision is the best of all schedules
    that were tried: greedy's, what the choices of the network lead to, and the greedy completions of all choices where
    they are made ("fortified" roll-outs, Bertsekas, Tsitsiklis and Wu 1997), so that it is never worse than greedy.
    """
    num_locations, n = locations.shape[1], tasks.shape[1]
    if plan[NUM_LOCATIONS] != num_locations:
        return False
    joint, keep_best, objective = plan[IS_JOINT] > 0, plan[KEEP_BEST] > 0, plan[OBJECTIVE]
    has_head = plan[HEAD_LAYERS] > 0
    flat = has_head and plan[ENCODER_LAYERS] == 0
    tried, shown = plan[ROLL_OUTS] != NOT_TRIED, plan[ROLL_OUTS] == SHOWN
    widest = 0  # inputs or outputs of a layer
    for layer in range(plan[ENCODER_LAYERS] + plan[HEAD_LAYERS]):
        at = FIRST_CORES + num_locations + 3 * layer
        widest = max(widest, plan[at + 1], plan[at + 2])
    max_cores, total_cores = 0, 0
    for k in range(num_locations):
        max_cores = max(max_cores, plan[FIRST_CORES + k])
        total_cores += plan[FIRST_CORES + k]

    times = np.empty((n, num_locations, 4))
    all_free_s = np.empty((3, num_locations, max_cores))
    start_s, free_s, trial_free_s = all_free_s[0], all_free_s[1], all_free_s[2]
    # What layers read begins with the task rows, then come the sums of encodings from each task on, the input of the
    # head (sums, row, state; without an encoder the plain observation), and room for two layers. Where rows and input
    # are padded there are zeros for good.
    code, features = plan[CODE], 1 + 4 * (num_locations - 1)
    row = -(-features // CHAINS) * CHAINS
    later = n * row
    head = later + (n + 1) * code
    row_at = head + (2 if joint else 1) * code
    state_at = head + n * (1 + features) if flat else row_at + features
    scratch = state_at + state_size(total_cores, num_locations, False, shown) + CHAINS
    # Vectors that lie across two cache lines are slow.
    scratch, widest = -(-scratch // LANES) * LANES, -(-widest // LANES) * LANES
    values = np.zeros(scratch + 2 * widest, dtype=np.float32)
    choices = np.empty((2, n), dtype=np.int64)
    decision, trial = choices[0], choices[1]
    finishes_s, largest_s, totals_s = np.empty((3, num_locations))

    for b in range(len(tasks)):
        count = task_counts[b]
        if not _open(tasks[b], locations[b], backlog_s[b], count, plan, times, start_s):
            return False
        best = decisions[b]
        for i in range(count, n):
            best[i] = 0  # padding
        _copy_free(start_s, free_s, plan)
        makespan_s, total_s = _complete(times, 0, count, plan, radio_backlog_s[b], free_s, best)

        # From here on times are in terms of the scale.
        per_s = 1.0 / makespan_s if makespan_s > 0.0 else 1.0
        greedy_largest_s, greedy_total_s = makespan_s * per_s, total_s * per_s
        best_value = value_of(objective, greedy_largest_s, greedy_total_s)
        for i in range(count):
            for k in range(num_locations):
                for stage in range(4):
                    times[i, k, stage] *= per_s
        for k in range(num_locations):
            for m in range(plan[FIRST_CORES + k]):
                start_s[k, m] *= per_s
                free_s[k, m] = start_s[k, m]

        if has_head:
            _encode(times, count, plan, weights, values, row, later, scratch)
        radio_s = radio_backlog_s[b] * per_s
        makespan_s = total_s = 0.0
        scores = np.uint64(0)
        for i in range(count):
            if i == 0 or not joint:
                at = np.uint64(state_at)
                if has_head:
                    values[at] = squash(radio_s)
                    values[at + np.uint64(1)] = squash(makespan_s)
                    values[at + np.uint64(2)] = (count - i) / count
                    at += np.uint64(3)
                    for k in range(num_locations):
                        for m in range(plan[FIRST_CORES + k]):
                            values[at] = squash(free_s[k, m])
                            at += np.uint64(1)
                greedy_k, least_s = 0, np.inf
                for k in range(num_locations):
                    finishes_s[k], completion_s = _try(times, i, k, radio_s, free_s)
                    largest_s[k], totals_s[k] = max(makespan_s, completion_s), total_s + completion_s
                    if has_head:
                        values[at] = squash(completion_s)
                        at += np.uint64(1)
                    if completion_s < least_s:
                        greedy_k, least_s = k, completion_s
                if i == 0:  # times in other units may break a tie in another way
                    greedy_k = best[0]
                for k in range(num_locations if tried else 0):
                    placed_largest_s, placed_total_s = largest_s[k], totals_s[k]
                    if k == greedy_k:
                        reached_s, reached_total_s = greedy_largest_s, greedy_total_s
                    else:
                        _copy_free(free_s, trial_free_s, plan)
                        _take(trial_free_s, k, plan[FIRST_CORES + k], finishes_s[k])
                        later_s, later_total_s = _complete(
                            times, i + 1, count, plan, radio_s + times[i, k, SEND], trial_free_s, trial
                        )
                        reached_s, reached_total_s = max(placed_largest_s, later_s), placed_total_s + later_total_s
                        value = value_of(objective, reached_s, reached_total_s)
                        if keep_best and value < best_value:
                            best_value = value
                            for j in range(i):
                                best[j] = decision[j]
                            best[i] = k
                            for j in range(i + 1, count):
                                best[j] = trial[j]
                    largest_s[k], totals_s[k] = reached_s, reached_total_s
                    if shown:
                        values[at] = squash(reached_s)
                        values[at + np.uint64(num_locations)] = squash(reached_total_s / count)
                        at += np.uint64(1)

            chosen = 0
            if has_head:
                if i == 0 or not (joint and flat):
                    if flat:
                        _show(values, row, features, i, count, n, head)
                    else:
                        if joint:
                            _subtract(values, later, later + i * code, head, code)
                        _move(values, later + (i + 1) * code, row_at - code, code)
                        _move(values, i * row, row_at, features)
                    first = plan[ENCODER_LAYERS]
                    last = first + plan[HEAD_LAYERS]
                    scores = np.uint64(_run(plan, first, last, False, weights, values, head, scratch))
                else:  # one pass gives the scores of all tasks
                    scores += np.uint64(num_locations)
                highest = values[scores]
                for k in range(1, num_locations):
                    score = values[scores + np.uint64(k)]
                    if score > highest:
                        chosen, highest = k, score
            else:
                reached = value_of(objective, largest_s, totals_s)
                for k in range(1, num_locations):
                    if reached[k] < reached[chosen]:
                        chosen = k
            decision[i] = chosen
            if not joint:
                greedy_largest_s, greedy_total_s = largest_s[chosen], totals_s[chosen]
                finish_s, completion_s = _try(times, i, chosen, radio_s, free_s)
                radio_s += times[i, chosen, SEND]
                makespan_s = max(makespan_s, completion_s)
                total_s += completion_s
                _take(free_s, chosen, plan[FIRST_CORES + chosen], finish_s)
        if joint and keep_best:  # not known yet
            radio_s = radio_backlog_s[b] * per_s
            for i in range(count):
                k = decision[i]
                finish_s, completion_s = _try(times, i, k, radio_s, free_s)
                radio_s += times[i, k, SEND]
                makespan_s = max(makespan_s, completion_s)
                total_s += completion_s
                _take(free_s, k, plan[FIRST_CORES + k], finish_s)
        # What the network chose is one of the roll-outs of its last choice.
        if not keep_best or ((joint or not tried) and value_of(objective, makespan_s, total_s) < best_value):
            for i in range(count):
                best[i] = decision[i]
        if plan[MOVES] != NO_MOVES:
            radio_s = radio_backlog_s[b] * per_s
            _refine(times[:count], plan, radio_s, start_s, trial_free_s, decision[:count], best[:count])
    return True
