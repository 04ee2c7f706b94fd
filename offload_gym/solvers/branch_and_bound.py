"""Exact decisions for dependent tasks, by depth-first branch and bound.

Tasks are placed in index order, so a node of the tree is a schedule of the first tasks. A node is given up when its
critical path, with the least price of energy, leaves no completion that is better than the best decision known.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from offload_gym.delay import COST, MEAN, RETURN, energy_price, place
from offload_gym.solvers.bounds import TOLERANCE, first_free, least_finish, least_prices


@njit(cache=True, nogil=True, error_model="numpy")
def branch_and_bound(problem, first, radio_s, finish_s, free_s, value_s, objective, max_nodes, best, best_s):
    """Branch and bound below a schedule of the tasks before ``first``.

    ``free_s`` is restored before the return. ``value_s`` is the largest completion of the tasks before ``first``
    (makespan) or the sum of their completions (mean). ``best`` (n,) is a decision to improve in place from ``first``
    on, and ``best_s`` its value in the terms of ``value_s``, under the objective "cost" with the price of energy from
    ``first`` on. ``finish_s`` is written from ``first`` on.

    Returns the best value, the number of nodes, and whether it is proven that no decision is better.
    """
    n, num_locations = problem.times.shape[:2]
    price_left_s = least_prices(problem, first) if objective == COST else np.zeros(n + 1)
    completion_at, soonest_s = np.empty(num_locations), np.empty((n, num_locations))  # scratch space
    if not _can_beat(
        problem, first, best_s - price_left_s[first], radio_s, best, finish_s, free_s, value_s, objective,
        completion_at, soonest_s,
    ):  # fmt: skip
        return best_s, 1, True
    # The stack: per depth, the children in the order to try them, and what undoes the one in force.
    order = np.empty((n, num_locations), dtype=np.int64)
    position = np.zeros(n, dtype=np.int64)
    radio_before, value_before, free_before, price_before = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    core_changed = np.zeros(n, dtype=np.int64)
    current = best.copy()
    nodes, depth, entered = 1, first, True
    price_s = 0.0  # of the energy of the tasks from first on
    while depth >= first:
        if entered:
            _rank_children(problem, depth, current, finish_s, radio_s, free_s, completion_at, order[depth])
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
        radio_s, core, _, end_s, completion_s, _ = place(problem, depth, k, current, finish_s, radio_s, free_s)
        core_changed[depth], free_before[depth] = core, free_s[k, core]
        free_s[k, core] = finish_s[depth] = end_s
        value_s = value_s + completion_s if objective == MEAN else max(value_s, completion_s)
        if objective == COST:
            price_s += energy_price(problem, depth, k, current)
        nodes += 1
        if value_s + price_s >= best_s * TOLERANCE:
            continue
        if depth == n - 1:
            best_s = value_s + price_s
            best[first:] = current[first:]
        elif _can_beat(
            problem, depth + 1, best_s - price_s - price_left_s[depth + 1], radio_s, current, finish_s, free_s, value_s,
            objective, completion_at, soonest_s,
        ):  # fmt: skip
            depth += 1
            entered = True
    return best_s, nodes, nodes < max_nodes


@njit(cache=True, nogil=True, error_model="numpy")
def _rank_children(problem, i, decision, finish_s, radio_s, free_s, completion_s, order):
    """Fill ``order`` (K,) with the locations of a task by its completion; ``completion_s`` is scratch space."""
    for k in range(len(order)):
        completion_s[k] = place(problem, i, k, decision, finish_s, radio_s, free_s)[4]
        rank = k
        while rank > 0 and completion_s[order[rank - 1]] > completion_s[k]:
            order[rank] = order[rank - 1]
            rank -= 1
        order[rank] = k


@njit(cache=True, nogil=True, error_model="numpy")
def _can_beat(problem, i, limit_s, radio_s, decision, finish_s, free_s, value_s, objective, first_free_s, soonest_s):
    """Whether the critical path leaves a schedule of the tasks before ``i`` a completion better than ``limit_s``.

    ``value_s`` is the largest completion so far, or their sum; ``first_free_s`` (K,) and ``soonest_s`` (n, K) are
    scratch space.
    """
    n, num_locations = problem.times.shape[:2]
    first_free(free_s, first_free_s)
    for j in range(i, n):
        least_finish(problem, j, i, radio_s, first_free_s, decision, finish_s, soonest_s)
        least_s = np.inf
        for k in range(num_locations):
            least_s = min(least_s, soonest_s[j, k] + problem.times[j, k, RETURN])
        value_s = value_s + least_s if objective == MEAN else max(value_s, least_s)
        if value_s >= limit_s * TOLERANCE:
            return False
    return True
