"""Heterogeneous earliest finish time (HEFT): greedy earliest completion, most urgent task first.

Topcuoglu, Hariri and Wu, "Performance-effective and low-complexity task scheduling for heterogeneous computing", IEEE
Transactions on Parallel and Distributed Systems 13(3), 2002. A task's upward rank is its mean run time plus the
longest way, over mean data transfers and mean run times, to the end of the application. HEFT chooses locations in the
order of falling ranks. The delay model then serves the tasks in index order, as it does for every policy, and without
filling gaps between tasks, so the paper's insertion has no counterpart here.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offload_gym.delay import (
    RETURN,
    RUN,
    copy_table,
    fill_prices,
    new_problem,
    open_problem,
    place,
    start_schedule,
)
from offload_gym.instances import Instances
from offload_gym.solvers.local_search import refine_decision, refinement_code


@njit(cache=True, nogil=True, error_model="numpy")
def upward_ranks(problem, rank_s):
    """Fill ``rank_s`` (n,) with the upward rank of each task in seconds; an exit task's includes its mean return."""
    times, moves = problem.times, problem.moves
    rank_s[:] = 0.0
    for i in range(len(rank_s) - 1, -1, -1):
        # What stands in rank_s[i] so far is the longest way from the task's end on.
        rank_s[i] += times[i, :, RUN].mean() + times[i, :, RETURN].mean()
        for e in range(problem.edge_start[i], problem.edge_start[i + 1]):
            parent = problem.edge_parent[e]
            move_s = moves[e].sum() / moves.shape[1] ** 2
            rank_s[parent] = max(rank_s[parent], move_s + rank_s[i])


@njit(cache=True, nogil=True, error_model="numpy")
def heft_kernel(
    tasks, locations, backlog_s, radio_backlog_s, task_counts, edge_start, edge_parent, edge_bits, max_cores,
    power, refine, decisions,
):  # fmt: skip
    """Fill ``decisions`` (B, n)."""
    n, num_locations = tasks.shape[1], locations.shape[1]
    room = new_problem(n, num_locations, edge_parent.shape[1])
    start_s = np.empty((num_locations, max_cores))
    free_s = np.empty_like(start_s)
    finish_s, rank_s = np.empty(n), np.empty(n)
    for b in range(len(tasks)):
        problem = open_problem(b, tasks, locations, task_counts, edge_start, edge_parent, edge_bits, room)
        fill_prices(power[b], locations[b], problem)
        start_schedule(locations[b], backlog_s[b], start_s)
        copy_table(start_s, free_s)
        radio_s = radio_backlog_s[b]
        decision = decisions[b, : task_counts[b]]
        decisions[b, task_counts[b] :] = 0  # padding
        upward_ranks(problem, rank_s[: task_counts[b]])
        # Stable: of equal ranks the lower index comes first, and a parent's rank is never below its child's.
        for i in np.argsort(-rank_s[: task_counts[b]], kind="mergesort"):
            best_s = np.inf
            for k in range(num_locations):
                completion_s = place(problem, i, k, decision, finish_s, radio_s, free_s)[4]
                if completion_s < best_s:
                    best_s = completion_s
                    decision[i] = k
            k = decision[i]
            radio_s, core, _, finish_s[i], _, _ = place(problem, i, k, decision, finish_s, radio_s, free_s)
            free_s[k, core] = finish_s[i]
        refine_decision(problem, decision, refine, radio_backlog_s[b], start_s, finish_s, free_s)


def heft(instances: Instances, refine: str | None = None) -> NDArray[np.int64]:
    """Decisions (B, n) by HEFT, the same rule for every objective; ``refine`` as in ``greedy``."""
    code = refinement_code(refine)
    decisions = np.empty((len(instances), instances.num_tasks), dtype=np.int64)
    heft_kernel(*instances.arrays, instances.max_cores, instances.power, code, decisions)
    return decisions
