"""Local search: flip (move one task) and swap (let two tasks trade places), always the one that helps most.

Kernels that decide can end with it: they take ``refine``, what ``refinement_code`` makes of a string: an objective,
improved by flips until none helps; the same with "+swap" behind it, where swaps are tried whenever no flip helps.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from offload_gym.delay import (
    COST,
    MEAN,
    OBJECTIVES,
    check_decisions,
    copy_table,
    energy_price,
    evaluate,
    fill_prices,
    new_problem,
    objective_code,
    open_problem,
    place,
    start_schedule,
)
from offload_gym.instances import Instances
from offload_gym.solvers.parallel import for_each_chunk

NO_REFINEMENT = -1
SWAP = "+swap"
CHUNK = 256  # instances that a thread improves at a time


def refinement_code(refine: str | None) -> int:
    """The kernels' number for refining by flips ("makespan"), by flips and swaps ("makespan+swap"), or not (None)."""
    if refine is None:
        return NO_REFINEMENT
    objective = refine.removesuffix(SWAP)
    return objective_code(objective) + (len(OBJECTIVES) if objective != refine else 0)


@njit(cache=True, nogil=True, error_model="numpy")
def improve(problem, first, decision, objective, value_s, radio_s, start_s, finish_s, free_s):
    """Best-improvement one-flip search over the tasks from ``first`` on, in place; returns the value reached.

    The arguments are those of ``evaluate``: the schedule before ``first``, and scratch space.
    """
    n, num_locations = problem.times.shape[:2]
    best_s = evaluate(problem, first, decision, objective, value_s, radio_s, start_s, finish_s, free_s)
    before_s = np.empty_like(start_s)  # when the cores are free before task i
    while True:
        flip_i = -1
        flip_k = 0
        copy_table(start_s, before_s)
        sent_s, reached_s, paid_s = radio_s, value_s, 0.0
        for i in range(first, n):
            here = decision[i]
            for k in range(num_locations):
                if k != here:
                    decision[i] = k
                    flipped_s = paid_s + evaluate(
                        problem, i, decision, objective, reached_s, sent_s, before_s, finish_s, free_s
                    )
                    if flipped_s < best_s:
                        best_s = flipped_s
                        flip_i = i
                        flip_k = k
            decision[i] = here
            sent_s, core, _, finish_s[i], completion_s, _ = place(
                problem, i, here, decision, finish_s, sent_s, before_s
            )
            before_s[here, core] = finish_s[i]
            reached_s = reached_s + completion_s if objective == MEAN else max(reached_s, completion_s)
            if objective == COST:
                paid_s += energy_price(problem, i, here, decision)
        if flip_i < 0:
            return best_s
        decision[flip_i] = flip_k


@njit(cache=True, nogil=True, error_model="numpy")
def _swap(problem, decision, objective, best_s, radio_s, start_s, finish_s, free_s):
    """Let the two tasks trade places whose swap helps most, in place; returns whether one does."""
    n = len(decision)
    before_s = start_s.copy()  # when the cores are free before task i
    value_s = paid_s = 0.0
    swap_i = swap_j = -1
    # Sums in another order differ by rounding: without a margin, equal tasks could trade places for ever.
    best_s *= 1.0 - 1e-12
    for i in range(n):
        here = decision[i]
        for j in range(i + 1, n):
            if decision[j] != here:
                decision[i], decision[j] = decision[j], here
                swapped_s = paid_s + evaluate(
                    problem, i, decision, objective, value_s, radio_s, before_s, finish_s, free_s
                )
                decision[i], decision[j] = here, decision[i]
                if swapped_s < best_s:
                    best_s, swap_i, swap_j = swapped_s, i, j
        radio_s, core, _, finish_s[i], completion_s, _ = place(problem, i, here, decision, finish_s, radio_s, before_s)
        before_s[here, core] = finish_s[i]
        value_s = value_s + completion_s if objective == MEAN else max(value_s, completion_s)
        if objective == COST:
            paid_s += energy_price(problem, i, here, decision)
    if swap_i >= 0:
        decision[swap_i], decision[swap_j] = decision[swap_j], decision[swap_i]
    return swap_i >= 0


@njit(cache=True, nogil=True, error_model="numpy")
def refine_decision(problem, decision, refine, radio_s, start_s, finish_s, free_s):
    """Improve one instance's ``decision`` in place as ``refine`` says; returns its value (infinity: not refined)."""
    if refine == NO_REFINEMENT:
        return np.inf
    objective = refine % len(OBJECTIVES)
    best_s = improve(problem, 0, decision, objective, 0.0, radio_s, start_s, finish_s, free_s)
    while refine >= len(OBJECTIVES):
        if not _swap(problem, decision, objective, best_s, radio_s, start_s, finish_s, free_s):
            break
        best_s = improve(problem, 0, decision, objective, 0.0, radio_s, start_s, finish_s, free_s)
    return best_s


@njit(cache=True, nogil=True, error_model="numpy")
def settle(problem, decision, makespan_s, radio_s, start_s, finish_s, free_s):
    """Among decisions of one makespan, move towards a small mean completion, one task at a time, in place.

    Often many decisions have the least makespan. This makes the one that is reported depend little on the search that
    found it, which labels to be learned need. ``finish_s`` and ``free_s`` are scratch space.
    """
    n, num_locations = problem.times.shape[:2]
    least_s = _sum_within(problem, 0, decision, makespan_s, 0.0, radio_s, start_s, finish_s, free_s)
    before_s = np.empty_like(start_s)  # when the cores are free before task i
    unmoved = 0  # tasks in a row that no move of helps
    while unmoved < n:
        copy_table(start_s, before_s)
        sent_s, sum_s = radio_s, 0.0
        for i in range(n):
            here = decision[i]
            for k in range(num_locations):
                if k != here:
                    decision[i] = k
                    total_s = _sum_within(problem, i, decision, makespan_s, sum_s, sent_s, before_s, finish_s, free_s)
                    if total_s < least_s:
                        least_s, here, unmoved = total_s, k, -1
            decision[i] = here
            unmoved += 1
            if unmoved == n:
                break
            sent_s, core, _, finish_s[i], completion_s, _ = place(
                problem, i, here, decision, finish_s, sent_s, before_s
            )
            before_s[here, core] = finish_s[i]
            sum_s += completion_s


@njit(cache=True, nogil=True, error_model="numpy")
def _sum_within(problem, first, decision, makespan_s, total_s, radio_s, start_s, finish_s, free_s):
    """Sum of the completions, ``total_s`` before ``first``; infinite where one from there on exceeds ``makespan_s``."""
    copy_table(start_s, free_s)
    for i in range(first, len(decision)):
        k = decision[i]
        radio_s, core, _, finish_s[i], completion_s, _ = place(problem, i, k, decision, finish_s, radio_s, free_s)
        if completion_s > makespan_s:
            return np.inf
        free_s[k, core] = finish_s[i]
        total_s += completion_s
    return total_s


@njit(cache=True, nogil=True, error_model="numpy")
def local_search_kernel(
    tasks,
    locations,
    backlog_s,
    radio_backlog_s,
    task_counts,
    edge_start,
    edge_parent,
    edge_bits,
    max_cores,
    power,
    refine,
    decisions,
):
    """Improve ``decisions`` (B, n) in place."""
    n, num_locations = tasks.shape[1], locations.shape[1]
    room = new_problem(n, num_locations, edge_parent.shape[1])
    start_s = np.empty((num_locations, max_cores))
    free_s = np.empty_like(start_s)
    finish_s = np.empty(n)
    for b in range(len(tasks)):
        problem = open_problem(b, tasks, locations, task_counts, edge_start, edge_parent, edge_bits, room)
        fill_prices(power[b], locations[b], problem)
        start_schedule(locations[b], backlog_s[b], start_s)
        decision = decisions[b, : task_counts[b]]
        refine_decision(problem, decision, refine, radio_backlog_s[b], start_s, finish_s, free_s)


def local_search(
    instances: Instances,
    decisions: ArrayLike,
    objective: str = "makespan",
    num_threads: int | None = None,
    swaps: bool = False,
) -> NDArray[np.int64]:
    """Improve decisions by best-improvement local search.

    Args:
        instances: B instances of n tasks.
        decisions: (B, n) where to start; left as they are.
        objective: "makespan", "mean" or "cost".
        num_threads: threads that share the instances; None takes one a core.
        swaps: whether two tasks trade places where no move of a single task helps.

    Returns:
        (B, n) decisions that no move of a single task improves, with ``swaps`` no trade of two either.
    """
    objective_code(objective)  # its error names the objectives alone
    code = refinement_code(objective + SWAP if swaps else objective)
    improved = check_decisions(instances, decisions).copy()

    def work(rows: slice) -> None:
        part = instances if len(instances) <= CHUNK else instances[rows]
        local_search_kernel(*part.arrays, instances.max_cores, part.power, code, improved[rows])

    for_each_chunk(work, len(instances), num_threads, CHUNK)
    return improved
