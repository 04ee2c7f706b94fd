"""Predict earliest finish time (PEFT): greedy, with an eye to what follows.

Arabnejad and Barbosa, "List scheduling algorithm for heterogeneous systems by an optimistic cost table", IEEE
Transactions on Parallel and Distributed Systems 25(3), 2014. A task goes where its finish and the least time that what
follows takes from there are least together: as if each later task could choose its location with nothing in its way.
The paper takes tasks in the order of that table's means; here they are taken, as they are served, in index order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import kernel
from offload_gym.delay import (
    PATH,
    RETURN,
    RUN,
    SEND,
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
def fill_least_tails(problem, tail_s):
    """Fill ``tail_s`` (n, K): what follows a task at each location takes so long at the least, its return included."""
    times, moves = problem.times, problem.moves
    n, num_locations = times.shape[:2]
    for i in range(n):
        for k in range(num_locations):
            tail_s[i, k] = times[i, k, RETURN]
    for i in range(n - 1, -1, -1):
        for e in range(problem.edge_start[i], problem.edge_start[i + 1]):
            parent = problem.edge_parent[e]
            for source in range(num_locations):
                least_s = np.inf
                for k in range(num_locations):
                    move = moves[e, source, k]
                    least_s = min(least_s, move[SEND] + move[PATH] + times[i, k, RUN] + tail_s[i, k])
                tail_s[parent, source] = max(tail_s[parent, source], least_s)


@kernel
def peft_kernel(arrays, objective, moves, decisions):
    """Fill ``decisions`` (B, n)."""
    batch = lent(Batch(*arrays))
    memory = new_workspace(batch)
    all_tail_s = np.empty((decisions.shape[1], batch.locations.shape[1]))
    steps = 0  # of many instances; local search counts those of one
    for b in range(len(decisions)):
        work = lent(memory)
        problem, start = open_instance(batch, b, work)
        room, decision = work.room, open_decision(batch, b, decisions)
        tail_s = all_tail_s[: len(decision)]
        fill_least_tails(problem, tail_s)
        steps = raise_signals(steps + STEPS * len(decision) ** 2)
        copy_table(start.core_s, room.free_s)
        radio_s = start.radio_s
        for i in range(len(decision)):
            least_s, best_k, best = np.inf, 0, Placed(radio_s, 0, 0.0, 0.0, np.inf, np.inf)
            for k in range(len(start.core_s)):
                placed = place(problem, decision, i, k, radio_s, room)
                if placed.finish_s + tail_s[i, k] < least_s:
                    least_s, best_k, best = placed.finish_s + tail_s[i, k], k, placed
            take(room, i, best_k, best)
            radio_s = best.radio_s
            decision[i] = best_k
        refine_decision(problem, decision, start, objective, moves, room)


def peft(instances: Instances, *, objective: str = "makespan", moves: str | None = None) -> NDArray[np.int64]:
    """Decisions (B, n) by PEFT, the same rule for every objective; local search behind it as in ``greedy``."""
    code, kind = search_codes(objective, moves)
    decisions = np.empty((len(instances.tasks), instances.num_tasks), INTEGER)
    peft_kernel(instances.arrays, code, kind, decisions)
    return decisions
