"""Greedy earliest completion: each task, in order, goes where it completes first given those placed before it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import kernel
from offload_gym.delay import (
    Placed,
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
def complete_greedily(problem, decision, first, radio_s, room):
    """Place tasks ``first``, ... greedily behind the schedule in ``room``, whose radio is free from ``radio_s``.

    ``decision`` and ``room`` are written. Returns the largest completion and the sum of the completions of these tasks.
    """
    n, num_locations = problem.times.shape[:2]
    largest_s = 0.0
    total_s = 0.0
    for i in range(first, n):
        best_k, best = 0, Placed(radio_s, 0, 0.0, 0.0, np.inf, np.inf)
        for k in range(num_locations):
            placed = place(problem, decision, i, k, radio_s, room)
            if placed.completion_s < best.completion_s:
                best_k, best = k, placed
        take(room, i, best_k, best)
        radio_s = best.radio_s
        decision[i] = best_k
        largest_s = max(largest_s, best.completion_s)
        total_s += best.completion_s
    return largest_s, total_s


@kernel
def greedy_kernel(arrays, objective, moves, decisions):
    """Fill ``decisions`` (B, n)."""
    batch = lent(Batch(*arrays))
    memory = new_workspace(batch)
    steps = 0  # of many instances; local search counts those of one
    for b in range(len(decisions)):
        work = lent(memory)
        problem, start = open_instance(batch, b, work)
        decision = open_decision(batch, b, decisions)
        steps = raise_signals(steps + STEPS * len(decision) ** 2)
        copy_table(start.core_s, work.room.free_s)
        complete_greedily(problem, decision, 0, start.radio_s, work.room)
        refine_decision(problem, decision, start, objective, moves, work.room)


def greedy(instances: Instances, *, objective: str = "makespan", moves: str | None = None) -> NDArray[np.int64]:
    """Decisions (B, n) by greedy earliest completion, the same rule for every objective.

    Args:
        instances: B instances of n tasks.
        objective: what local search behind it minimises.
        moves: local search behind it by these moves, "flip" or "swap" (see ``local_search``), or None.
    """
    code, kind = search_codes(objective, moves)
    decisions = np.empty((len(instances.tasks), instances.num_tasks), INTEGER)
    greedy_kernel(instances.arrays, code, kind, decisions)
    return decisions
