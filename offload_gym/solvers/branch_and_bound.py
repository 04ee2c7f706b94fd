"""Exact decisions for dependent tasks, by depth-first branch and bound.

Tasks are placed in index order, so a node of the tree is a schedule of the first tasks. A node is given up when its
critical path, with the least price of energy, leaves no completion that is better than the best decision known.
"""

from __future__ import annotations

import numpy as np

from offload_gym.compilation import kernel
from offload_gym.delay import Start, accumulate, copy_table, energy_price, is_priced, place, take
from offload_gym.lending import lent
from offload_gym.solvers.bounds import TOLERANCE, least_prices, new_scratch, path_can_beat
from offload_gym.solvers.stopping import is_stopped


@kernel
def branch_and_bound(problem, best, best_s, start, objective, budget, room):
    """Improve the decision ``best`` (n,), of value ``best_s``, in place behind ``start``, by branch and bound.

    ``best`` and ``room.finish_s`` hold the tasks before ``start.first``.

    Returns the best value, the number of nodes, and whether it is proven that no decision is better.
    """
    n, num_locations = problem.times.shape[:2]
    first, radio_s, value_s, free_s = start.first, start.radio_s, start.value_s, room.free_s
    price_left_s = least_prices(problem, first) if is_priced(objective) else np.zeros(n + 1)
    completion_s, memory = np.empty(num_locations), new_scratch(problem)
    limit_s = best_s - price_left_s[first]
    if not path_can_beat(problem, best, room.finish_s, limit_s, start, objective, memory):
        return best_s, 1, True
    copy_table(start.core_s, free_s)
    # The stack: per depth, the children in the order to try them, and what undoes the one in force.
    order = np.empty((n, num_locations), dtype=np.int64)
    position = np.zeros(n, dtype=np.int64)
    radio_before, value_before, free_before, price_before = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    core_changed = np.zeros(n, dtype=np.int64)
    current = best.copy()
    nodes, depth, entered, max_nodes = 1, first, True, budget.max_nodes
    steps = problem.times.size + problem.moves.size  # of a node's critical path, or somewhat more
    price_s = 0.0  # of the energy of the tasks from first on
    while depth >= first:
        if entered:
            _rank_children(problem, current, depth, radio_s, room, completion_s, order[depth])
            position[depth] = 0
            radio_before[depth], value_before[depth], price_before[depth] = radio_s, value_s, price_s
            entered = False
        else:  # came back: take the child in force out again
            free_s[current[depth], core_changed[depth]] = free_before[depth]
            radio_s, value_s, price_s = radio_before[depth], value_before[depth], price_before[depth]
        if position[depth] == num_locations or nodes >= max_nodes:
            depth -= 1
            continue
        k = order[depth, position[depth]]
        position[depth] += 1
        current[depth] = k
        placed = place(problem, current, depth, k, radio_s, room)
        core_changed[depth], free_before[depth] = placed.core, free_s[k, placed.core]
        take(room, depth, k, placed)
        radio_s = placed.radio_s
        value_s = accumulate(objective, value_s, placed.completion_s)
        if is_priced(objective):
            price_s += energy_price(problem, current, depth, k)
        nodes += 1
        if is_stopped(budget, steps):
            max_nodes = nodes
        if value_s + price_s >= best_s * TOLERANCE:
            continue
        if depth == n - 1:
            best_s = value_s + price_s
            best[first:] = current[first:]
            continue
        here, limit_s = Start(depth + 1, radio_s, value_s, free_s), best_s - price_s - price_left_s[depth + 1]
        if path_can_beat(problem, current, room.finish_s, limit_s, here, objective, lent(memory)):
            depth += 1
            entered = True
    return best_s, nodes, nodes < max_nodes


@kernel
def _rank_children(problem, decision, i, radio_s, room, completion_s, order):
    """Fill ``order`` (K,) with the locations of a task by its completion; ``completion_s`` is scratch space."""
    for k in range(len(order)):
        completion_s[k] = place(problem, decision, i, k, radio_s, room).completion_s
        rank = k
        while rank > 0 and completion_s[order[rank - 1]] > completion_s[k]:
            order[rank] = order[rank - 1]
            rank -= 1
        order[rank] = k
