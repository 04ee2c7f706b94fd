"""Exact decisions by depth-first branch and bound, with proof.

Tasks are placed in index order, so a node of the tree is a schedule of the first tasks. A node is cut when no
completion of it can be better than the best decision known (the incumbent); ``offload_gym.solvers.bounds`` says how
that is known. The first incumbent is greedy, improved by one-flip local search. A chain needs no tree for makespan:
``offload_gym.solvers.chain`` solves it by dynamic programming.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offload_gym.delay import (
    COST,
    MAKESPAN,
    MEAN,
    cost_per_makespan,
    energy_price,
    fill_prices,
    latency,
    new_problem,
    objective_code,
    open_problem,
    place,
    start_schedule,
)
from offload_gym.instances import Instances, check_count
from offload_gym.solvers.bounds import TOLERANCE, can_beat, tabulate
from offload_gym.solvers.chain import is_chain, solve_chain
from offload_gym.solvers.greedy import complete_greedily
from offload_gym.solvers.local_search import improve
from offload_gym.solvers.parallel import for_each_chunk

UNLIMITED = np.iinfo(np.int64).max


@njit(cache=True, nogil=True)
def search(problem, first, radio_s, finish_s, free_s, value_s, objective, max_nodes, best, best_s):
    """Branch and bound below a schedule of the tasks before ``first``.

    ``free_s`` is restored before the return. ``value_s`` is the largest completion of the tasks before ``first``
    (makespan) or the sum of their completions (mean). ``best`` (n,) is a decision to improve in place from ``first``
    on, and ``best_s`` its value in the terms of ``value_s``, under the objective "cost" with the price of energy from
    ``first`` on. ``finish_s`` is written from ``first`` on.

    Returns the best value, the number of nodes, and a value that no decision can be below.
    """
    n, num_locations = problem.times.shape[:2]
    num_sets = 1 if n - first < 7 else 3
    tables = tabulate(problem, first, radio_s, finish_s, free_s, objective, best, best_s, num_sets)
    room_s = np.empty(num_locations + 1)
    if not can_beat(problem, tables, first, best_s, radio_s, best, finish_s, free_s, value_s, objective, room_s):
        return best_s, 1, best_s
    root_radio_s, root_value_s = radio_s, value_s
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
            _rank_children(problem, depth, current, finish_s, radio_s, free_s, room_s, order[depth])
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
        elif can_beat(
            problem, tables, depth + 1, best_s - price_s, radio_s, current, finish_s, free_s, value_s, objective, room_s
        ):
            depth += 1
            entered = True
    if nodes < max_nodes:
        return best_s, nodes, best_s
    return (
        best_s,
        nodes,
        _largest_excluded(
            problem, tables, first, best_s, root_radio_s, best, finish_s, free_s, root_value_s, objective, room_s
        ),
    )


@njit(cache=True, nogil=True)
def _largest_excluded(problem, tables, first, high_s, radio_s, decision, finish_s, free_s, value_s, objective, room_s):
    """The largest value, up to ``high_s``, that the bounds of a search's root exclude, by bisection."""
    low_s = 0.0
    for _ in range(50):
        limit_s = 0.5 * (low_s + high_s)
        if can_beat(problem, tables, first, limit_s, radio_s, decision, finish_s, free_s, value_s, objective, room_s):
            high_s = limit_s
        else:
            low_s = limit_s
    return low_s


@njit(cache=True, nogil=True)
def _rank_children(problem, i, decision, finish_s, radio_s, free_s, completion_s, order):
    """Fill ``order`` (K,) with the locations of a task by its completion; ``completion_s`` is scratch space."""
    for k in range(len(order)):
        completion_s[k] = place(problem, i, k, decision, finish_s, radio_s, free_s)[4]
        rank = k
        while rank > 0 and completion_s[order[rank - 1]] > completion_s[k]:
            order[rank] = order[rank - 1]
            rank -= 1
        order[rank] = k


@njit(cache=True, nogil=True)
def solve_one(problem, first, radio_s, finish_s, free_s, value_s, objective, max_nodes, decision):
    """Fill ``decision`` from ``first`` on; ``decision`` and ``finish_s`` hold the tasks before ``first``.

    By ``search`` from greedy completion improved by one-flip local search; for the makespan of a chain, by
    ``solve_chain``, which is polynomial and needs no ``max_nodes``. Returns what ``search`` does, with states as nodes.
    """
    n, num_locations = problem.times.shape[:2]
    if objective == MAKESPAN and n > 1 and is_chain(problem):
        value_s = solve_chain(problem, first, radio_s, finish_s, free_s, value_s, decision)
        return value_s, (n - first) * num_locations, value_s
    start_s = free_s.copy()
    complete_greedily(problem, first, radio_s, finish_s, free_s, decision)
    best_s = improve(problem, first, decision, objective, value_s, radio_s, start_s, finish_s, free_s)
    free_s[:] = start_s
    return search(problem, first, radio_s, finish_s, free_s, value_s, objective, max_nodes, decision, best_s)


@njit(cache=True, nogil=True)
def exact_kernel(
    tasks, locations, backlog_s, radio_backlog_s, task_counts, edge_start, edge_parent, edge_bits, max_cores,
    power, objective, max_nodes, decisions, bound_s, optimal, nodes,
):  # fmt: skip
    """Fill ``decisions`` (B, n), ``bound_s``, ``optimal`` and ``nodes`` (B,)."""
    n, num_locations = tasks.shape[1], locations.shape[1]
    room = new_problem(n, num_locations, edge_parent.shape[1])
    free_s = np.empty((num_locations, max_cores))
    finish_s = np.empty(n)
    for b in range(len(tasks)):
        problem = open_problem(b, tasks, locations, task_counts, edge_start, edge_parent, edge_bits, room)
        fill_prices(power[b], locations[b], problem)
        start_schedule(locations[b], backlog_s[b], free_s)
        decisions[b, task_counts[b] :] = 0  # padding
        value_s, nodes[b], low_s = solve_one(
            problem, 0, radio_backlog_s[b], finish_s, free_s, 0.0, objective, max_nodes, decisions[b, : task_counts[b]]
        )
        optimal[b] = low_s >= value_s
        bound_s[b] = low_s / task_counts[b] if objective == MEAN else low_s
        if objective == COST:
            bound_s[b] *= cost_per_makespan(power[b])


class Solutions(NamedTuple):
    """Result of ``solve`` for B instances of n tasks."""

    decisions: NDArray[np.int64]  # (B, n)
    latency_s: NDArray[np.float64]  # (B,) value of the objective in seconds
    lower_bound_s: NDArray[np.float64]  # (B,) no decision is below it; equal to latency_s where proven optimal
    optimal: NDArray[np.bool_]  # (B,) whether optimality is proven, to a relative 1e-12
    nodes: NDArray[np.int64]  # (B,) nodes of the search tree, or states of the dynamic program


def exact(instances: Instances, objective: str = "makespan") -> NDArray[np.int64]:
    """Optimal decisions (B, n) alone, on the calling thread: ``solve`` as a policy is asked for it."""
    code = objective_code(objective)
    size = len(instances)
    decisions = np.empty((size, instances.num_tasks), dtype=np.int64)
    unused = (np.empty(size), np.empty(size, dtype=np.bool_), np.empty(size, dtype=np.int64))
    exact_kernel(*instances.arrays, instances.max_cores, instances.power, code, UNLIMITED, decisions, *unused)
    return decisions


def solve(
    instances: Instances, objective: str = "makespan", max_nodes: int | None = None, num_threads: int | None = None
) -> Solutions:
    """Optimal decisions by branch and bound, and for the makespan of a chain of tasks by dynamic programming.

    Args:
        instances: B instances of n tasks and K locations.
        objective: "makespan", "mean" or "cost".
        max_nodes: bound on the nodes searched for each instance; None searches until optimality is proven. An
            instance that reaches it keeps the best decision found, and ``optimal`` is False. The dynamic program always
            runs to its end.
        num_threads: threads to share the instances; None takes one a core.

    Returns:
        Solutions; the same whatever the number of threads.

    Raises:
        ValueError: the objective is unknown, or ``max_nodes`` or ``num_threads`` is not a whole number above 0.
    """
    code = objective_code(objective)
    for name, value in (("max_nodes", max_nodes), ("num_threads", num_threads)):
        if value is not None:
            check_count(name, value)
    size = len(instances)
    decisions = np.empty((size, instances.num_tasks), dtype=np.int64)
    bound_s = np.empty(size)
    optimal = np.empty(size, dtype=np.bool_)
    nodes = np.empty(size, dtype=np.int64)

    def work(rows: slice) -> None:
        exact_kernel(
            *instances[rows].arrays,
            instances.max_cores,
            instances.power[rows],
            code,
            UNLIMITED if max_nodes is None else max_nodes,
            decisions[rows],
            bound_s[rows],
            optimal[rows],
            nodes[rows],
        )

    for_each_chunk(work, size, num_threads, chunk=16)
    # From the decisions, so that it is to the last bit what latency() says of them.
    latency_s = latency(instances, decisions, objective)
    return Solutions(decisions, latency_s, np.where(optimal, latency_s, bound_s), optimal, nodes)
