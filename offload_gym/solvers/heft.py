"""Heterogeneous earliest finish time (HEFT): greedy earliest completion, most urgent task first.

Topcuoglu, Hariri and Wu, "Performance-effective and low-complexity task scheduling for heterogeneous computing", IEEE
Transactions on Parallel and Distributed Systems 13(3), 2002. A task's upward rank is its mean run time plus the
longest way, over mean data transfers and mean run times, to the end of the application. HEFT chooses locations in the
order of falling ranks. The delay model then serves the tasks in index order, as it does for every policy, and without
filling gaps between tasks, so the paper's insertion has no counterpart here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import kernel
from offload_gym.delay import (
    RETURN,
    RUN,
    copy_table,
    new_workspace,
    open_decision,
    open_instance,
    place,
    take,
)
from offload_gym.instances import INTEGER, Batch, Instances
from offload_gym.lending import lent
from offload_gym.solvers.local_search import STEPS, refine_decision, search_codes
from offload_gym.solvers.stopping import raise_signals


@kernel
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


@kernel
def heft_kernel(arrays, objective, moves, decisions):
    """Fill ``decisions`` (B, n)."""
    batch = lent(Batch(*arrays))
    memory = new_workspace(batch)
    all_rank_s = np.empty(decisions.shape[1])
    steps = 0  # of many instances; local search counts those of one
    for b in range(len(decisions)):
        work = lent(memory)
        problem, start = open_instance(batch, b, work)
        room, decision = work.room, open_decision(batch, b, decisions)
        steps = raise_signals(steps + STEPS * len(decision) ** 2)
        copy_table(start.core_s, room.free_s)
        radio_s, rank_s = start.radio_s, all_rank_s[: len(decision)]
        upward_ranks(problem, rank_s)
        # Stable: of equal ranks the lower index comes first, and a parent's rank is never below its child's.
        for i in np.argsort(-rank_s, kind="mergesort"):
            best_s = np.inf
            for k in range(len(start.core_s)):
                completion_s = place(problem, decision, i, k, radio_s, room).completion_s
                if completion_s < best_s:
                    best_s = completion_s
                    decision[i] = k
            placed = place(problem, decision, i, decision[i], radio_s, room)
            take(room, i, decision[i], placed)
            radio_s = placed.radio_s
        refine_decision(problem, decision, start, objective, moves, room)


def heft(instances: Instances, *, objective: str = "makespan", moves: str | None = None) -> NDArray[np.int64]:
    """Decisions (B, n) by HEFT, the same rule for every objective; local search behind it as in ``greedy``."""
    code, kind = search_codes(objective, moves)
    decisions = np.empty((len(instances.tasks), instances.num_tasks), INTEGER)
    heft_kernel(instances.arrays, code, kind, decisions)
    return decisions
