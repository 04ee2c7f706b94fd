"""Local search: flip (move one task) and swap (let two tasks trade places), always the one that helps most.

Kernels that decide can end with it: they take the number of an objective and that of a kind of moves. "flip": flips
until none helps; "swap": the same, and swaps are tried whenever no flip helps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from offload_gym.checks import quoted
from offload_gym.compilation import inlined, kernel
from offload_gym.delay import (
    MAKESPAN,
    OBJECTIVES,
    PATH,
    RETURN,
    RUN,
    SEND,
    Room,
    Start,
    accumulate,
    adds,
    check_decisions,
    copy_table,
    energy_price,
    evaluate,
    extend,
    is_priced,
    new_workspace,
    objective_code,
    open_instance,
    place,
    take,
)
from offload_gym.instances import Batch, Instances
from offload_gym.lending import lent
from offload_gym.solvers.bounds import TOLERANCE
from offload_gym.solvers.parallel import for_each_chunk
from offload_gym.solvers.stopping import new_stop, raise_signals

MOVES = ("flip", "swap")
NO_MOVES, FLIP, SWAP = range(3)
_KINDS = dict(zip((None, *MOVES), range(3), strict=True))
_CODES = {(name, moves): (objective_code(name), kind) for name in OBJECTIVES for moves, kind in _KINDS.items()}
CHUNK = 256  # instances that a thread improves at a time
STEPS = 4  # about as many as a task that is placed takes


def search_codes(objective: str, moves: str | None) -> tuple[int, int]:
    """The kernels' numbers of an objective and of a kind of moves; ValueError where one of them is unknown."""
    try:
        return _CODES[objective, moves]
    except (KeyError, TypeError):
        objective_code(objective)  # which says what is wrong with it
        raise ValueError(f"moves is {quoted(moves)}; it must be {' or '.join(map(repr, MOVES))}, or None") from None


@kernel
def fill_tails(problem, decision, first, tail_s):
    """Fill ``tail_s`` (n,) of tasks ``first``, ...: how long what follows a task's finish takes at the least.

    That is the longest way to the end of the application, or its own return, as if nothing waited for radio or cores.
    """
    n = len(decision)
    for i in range(first, n):
        tail_s[i] = problem.times[i, decision[i], RETURN]
    for i in range(n - 1, first, -1):
        k = decision[i]
        own_s = problem.times[i, k, RUN] + tail_s[i]
        for e in range(problem.edge_start[i], problem.edge_start[i + 1]):
            parent = problem.edge_parent[e]
            if parent >= first:
                move = problem.moves[e, decision[parent], k]
                tail_s[parent] = max(tail_s[parent], move[SEND] + move[PATH] + own_s)


@kernel
def fill_tail_table(problem, decision, first, tail_s, table_s):
    """``fill_tails``, and in ``table_s`` (n, K) what they are if the task alone is somewhere else."""
    n, num_locations = problem.times.shape[:2]
    for i in range(first, n):
        for k in range(num_locations):
            table_s[i, k] = problem.times[i, k, RETURN]
    for i in range(n - 1, first - 1, -1):
        k = decision[i]
        tail_s[i] = table_s[i, k]
        own_s = problem.times[i, k, RUN] + tail_s[i]
        for e in range(problem.edge_start[i], problem.edge_start[i + 1]):
            parent = problem.edge_parent[e]
            if parent >= first:
                for source in range(num_locations):
                    move = problem.moves[e, source, k]
                    table_s[parent, source] = max(table_s[parent, source], move[SEND] + move[PATH] + own_s)


@inlined
def _cannot_help(problem, decision, i, k, rest, limit_s, table_s, before):
    """Whether the way on from task ``i`` at ``k`` is too long, whatever waits on it: most moves are told so."""
    placed = place(problem, decision, i, k, rest.radio_s, before)
    return (placed.finish_s + table_s[i, k]) * TOLERANCE >= limit_s


@inlined
def value_within(problem, decision, start, objective, limit_s, tail_s, last, room):
    """``evaluate``, but given up early, and then infinite, where the value is not below ``limit_s``.

    What is above it by rounding alone may come back as it is. ``tail_s`` holds the tails of the tasks behind ``last``;
    of the sum of completions they say nothing.
    """
    copy_table(start.core_s, room.free_s)
    radio_s, value_s, paid_s = start.radio_s, start.value_s, 0.0
    for i in range(start.first, len(decision)):
        k = decision[i]
        placed = place(problem, decision, i, k, radio_s, room)
        take(room, i, k, placed)
        radio_s = placed.radio_s
        value_s = accumulate(objective, value_s, placed.completion_s)
        least_s = value_s
        if i > last:
            least_s = max(least_s, placed.finish_s + tail_s[i])
        if is_priced(objective):
            paid_s += energy_price(problem, decision, i, k)
        if (least_s + paid_s) * TOLERANCE >= limit_s:
            return np.inf
    if is_priced(objective):  # added as ``evaluate`` does, to the last bit
        for i in range(start.first, len(decision)):
            value_s += energy_price(problem, decision, i, decision[i])
    return value_s


@kernel
def improve(problem, decision, start, objective, room):
    """Best-improvement one-flip search behind ``start``, in place; returns the value reached, as ``evaluate`` does."""
    n, num_locations = problem.times.shape[:2]
    best_s = evaluate(problem, decision, start, objective, room)
    before = Room(room.finish_s, np.empty_like(start.core_s))  # the schedule before task i
    has_tails = len(problem.edge_parent) > 0 and not adds(objective)
    tail_s, table_s = np.empty(n if has_tails else 0), np.empty((n if has_tails else 0, num_locations))
    steps = 0
    while True:
        if has_tails:
            fill_tail_table(problem, decision, start.first, tail_s, table_s)
        flip_i = -1
        flip_k = 0
        copy_table(start.core_s, before.free_s)
        rest, paid_s = Start(start.first, start.radio_s, start.value_s, before.free_s), 0.0
        for i in range(start.first, n):
            steps = raise_signals(steps + STEPS * num_locations * (n - i))
            here = decision[i]
            for k in range(num_locations):
                if k != here:
                    if has_tails and _cannot_help(problem, decision, i, k, rest, best_s - paid_s, table_s, before):
                        continue
                    decision[i] = k
                    last = i if has_tails else n
                    flipped_s = paid_s + value_within(
                        problem, decision, rest, objective, best_s - paid_s, tail_s, last, room
                    )
                    if flipped_s < best_s:
                        best_s, flip_i, flip_k = flipped_s, i, k
            decision[i] = here
            rest = extend(problem, decision, rest, objective, before)
            if is_priced(objective):
                paid_s += energy_price(problem, decision, i, here)
        if flip_i < 0:
            return best_s
        decision[flip_i] = flip_k


@kernel
def flip_sweep(problem, decision, value_s, start, tail_s, table_s, before, room):
    """Go through the tasks once and move each wherever that shortens the schedule, in place; returns the makespan.

    Quicker than ``improve``, which looks at all moves before it makes one. ``value_s`` is the makespan of the
    ``decision`` so far. ``tail_s`` (n,), ``table_s`` (n, K), ``before``, the schedule before a task, and ``room`` are
    written.
    """
    n, num_locations = problem.times.shape[:2]
    # Moves of earlier tasks do not change the tails of later ones, and only those are read.
    fill_tail_table(problem, decision, start.first, tail_s, table_s)
    copy_table(start.core_s, before.free_s)
    rest = Start(start.first, start.radio_s, start.value_s, before.free_s)
    for i in range(start.first, n):
        here = decision[i]
        for k in range(num_locations):
            if k != here and not _cannot_help(problem, decision, i, k, rest, value_s, table_s, before):
                decision[i] = k
                moved_s = value_within(problem, decision, rest, MAKESPAN, value_s, tail_s, i, room)
                if moved_s < value_s:
                    value_s, here = moved_s, k
        decision[i] = here
        rest = extend(problem, decision, rest, MAKESPAN, before)
    return value_s


@kernel
def _swap(problem, decision, best_s, start, objective, room):
    """Let the two tasks trade places whose swap helps most, in place; returns whether one does."""
    n = len(decision)
    before = Room(room.finish_s, start.core_s.copy())  # the schedule before task i
    rest, paid_s = Start(start.first, start.radio_s, start.value_s, before.free_s), 0.0
    swap_i = swap_j = -1
    steps = 0
    # Sums in another order differ by rounding: without a margin, equal tasks could trade places for ever.
    best_s *= TOLERANCE
    has_tails = len(problem.edge_parent) > 0 and not adds(objective)
    tail_s = np.empty(n if has_tails else 0)
    if has_tails:
        fill_tails(problem, decision, start.first, tail_s)
    for i in range(n):
        here = decision[i]
        for j in range(i + 1, n):
            steps = raise_signals(steps + STEPS * (n - i))
            if decision[j] != here:
                decision[i], decision[j] = decision[j], here
                last = j if has_tails else n
                swapped_s = paid_s + value_within(
                    problem, decision, rest, objective, best_s - paid_s, tail_s, last, room
                )
                decision[i], decision[j] = here, decision[i]
                if swapped_s < best_s:
                    best_s, swap_i, swap_j = swapped_s, i, j
        rest = extend(problem, decision, rest, objective, before)
        if is_priced(objective):
            paid_s += energy_price(problem, decision, i, here)
    if swap_i >= 0:
        decision[swap_i], decision[swap_j] = decision[swap_j], decision[swap_i]
    return swap_i >= 0


@kernel
def refine_decision(problem, decision, start, objective, moves, room):
    """Improve one instance's ``decision`` in place by the ``moves``; returns its value (infinity: NO_MOVES)."""
    if moves == NO_MOVES:
        return np.inf
    best_s = improve(problem, decision, start, objective, room)
    while moves == SWAP:
        if not _swap(problem, decision, best_s, start, objective, room):
            break
        best_s = improve(problem, decision, start, objective, room)
    return best_s


@kernel
def settle(problem, decision, makespan_s, start, room):
    """Among decisions of one makespan, move towards a small mean completion, one task at a time, in place.

    Often many decisions have the least makespan. This makes the one that is reported depend little on the search that
    found it, which labels to be learned need. ``start`` is that of a whole instance.
    """
    n, num_locations = problem.times.shape[:2]
    least_s = _sum_within(problem, decision, makespan_s, start, room)
    before = Room(room.finish_s, np.empty_like(start.core_s))  # the schedule before task i
    unmoved = 0  # tasks in a row that no move of helps
    steps = 0
    while unmoved < n:
        copy_table(start.core_s, before.free_s)
        radio_s, sum_s = start.radio_s, 0.0
        for i in range(n):
            steps = raise_signals(steps + STEPS * num_locations * (n - i))
            here = decision[i]
            rest = Start(i, radio_s, sum_s, before.free_s)
            for k in range(num_locations):
                if k != here:
                    decision[i] = k
                    total_s = _sum_within(problem, decision, makespan_s, rest, room)
                    if total_s < least_s:
                        least_s, here, unmoved = total_s, k, -1
            decision[i] = here
            unmoved += 1
            if unmoved == n:
                break
            placed = place(problem, decision, i, here, radio_s, before)
            take(before, i, here, placed)
            radio_s = placed.radio_s
            sum_s += placed.completion_s


@kernel
def _sum_within(problem, decision, makespan_s, start, room):
    """Sum of all completions, that of a start being its value; infinite where one behind it exceeds ``makespan_s``."""
    copy_table(start.core_s, room.free_s)
    radio_s, total_s = start.radio_s, start.value_s
    for i in range(start.first, len(decision)):
        k = decision[i]
        placed = place(problem, decision, i, k, radio_s, room)
        take(room, i, k, placed)
        if placed.completion_s > makespan_s:
            return np.inf
        radio_s = placed.radio_s
        total_s += placed.completion_s
    return total_s


@kernel
def local_search_kernel(arrays, objective, moves, stop, decisions):
    """Improve ``decisions`` (B, n) in place, until ``stop``."""
    batch = lent(Batch(*arrays))
    memory = new_workspace(batch)
    for b in range(len(decisions)):
        if stop[0]:
            break
        work = lent(memory)
        problem, start = open_instance(batch, b, work)
        refine_decision(problem, decisions[b, : batch.task_counts[b]], start, objective, moves, work.room)


def local_search(
    instances: Instances,
    decisions: ArrayLike,
    objective: str = "makespan",
    *,
    moves: str = "flip",
    num_threads: int | None = None,
) -> NDArray[np.int64]:
    """Improve decisions by best-improvement local search.

    Args:
        instances: B instances of n tasks.
        decisions: (B, n) where to start; left as they are.
        objective: one of ``offload_gym.OBJECTIVES``.
        moves: "flip": one task moves; "swap": two tasks trade places, too, where no flip helps.
        num_threads: threads that share the instances; None takes one a core.

    Returns:
        (B, n) decisions that no move of a single task improves, with "swap" no trade of two either.

    Raises:
        ValueError: the objective or the moves are unknown, or the decisions do not fit.
    """
    codes = search_codes(objective, moves)
    if moves is None:
        raise ValueError(f"moves is None; it must be {' or '.join(map(repr, MOVES))}")
    improved, stop = check_decisions(instances, decisions).copy(), new_stop()

    def work(rows: slice) -> None:
        part = instances if len(instances) <= CHUNK else instances[rows]
        local_search_kernel(part.arrays, *codes, stop, improved[rows])

    for_each_chunk(work, len(instances), num_threads, CHUNK, stop)
    return improved
