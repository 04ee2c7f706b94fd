"""Greedy earliest completion: each task, in order, goes where it completes first given those placed before it."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offload_gym.delay import copy_table, fill_prices, new_problem, open_problem, place, start_schedule
from offload_gym.instances import Instances
from offload_gym.solvers.local_search import refine_decision, refinement_code


@njit(cache=True, nogil=True, error_model="numpy")
def complete_greedily(problem, first, radio_s, finish_s, free_s, decision):
    """Place tasks ``first``, ... of one instance greedily, writing ``decision``, ``finish_s`` and ``free_s``.

    Returns the largest completion and the sum of the completions of these tasks.
    """
    n, num_locations = problem.times.shape[:2]
    largest_s = 0.0
    total_s = 0.0
    for i in range(first, n):
        best_s, best_k, best_core, best_end_s, best_sent_s = np.inf, 0, 0, 0.0, 0.0
        for k in range(num_locations):
            sent_s, core, _, end_s, completion_s, _ = place(problem, i, k, decision, finish_s, radio_s, free_s)
            if completion_s < best_s:
                best_s, best_k, best_core, best_end_s, best_sent_s = completion_s, k, core, end_s, sent_s
        radio_s = best_sent_s
        free_s[best_k, best_core] = finish_s[i] = best_end_s
        decision[i] = best_k
        largest_s = max(largest_s, best_s)
        total_s += best_s
    return largest_s, total_s


@njit(cache=True, nogil=True, error_model="numpy")
def greedy_kernel(
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
    """Fill ``decisions`` (B, n)."""
    n, num_locations = tasks.shape[1], locations.shape[1]
    room = new_problem(n, num_locations, edge_parent.shape[1])
    start_s = np.empty((num_locations, max_cores))
    free_s = np.empty_like(start_s)
    finish_s = np.empty(n)
    for b in range(len(tasks)):
        problem = open_problem(b, tasks, locations, task_counts, edge_start, edge_parent, edge_bits, room)
        fill_prices(power[b], locations[b], problem)
        decision = decisions[b, : task_counts[b]]
        decisions[b, task_counts[b] :] = 0  # padding
        start_schedule(locations[b], backlog_s[b], start_s)
        copy_table(start_s, free_s)
        complete_greedily(problem, 0, radio_backlog_s[b], finish_s, free_s, decision)
        refine_decision(problem, decision, refine, radio_backlog_s[b], start_s, finish_s, free_s)


def greedy(instances: Instances, refine: str | None = None) -> NDArray[np.int64]:
    """Decisions (B, n) by greedy earliest completion; the same rule for every objective.

    Args:
        instances: B instances of n tasks.
        refine: local search behind it: "makespan" by flips, "makespan+swap" by flips and swaps, the same for the other
            objectives, or None for greedy alone.
    """
    code = refinement_code(refine)
    decisions = np.empty((len(instances), instances.num_tasks), dtype=np.int64)
    greedy_kernel(*instances.arrays, instances.max_cores, instances.power, code, decisions)
    return decisions
