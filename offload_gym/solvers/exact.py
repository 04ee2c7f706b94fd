"""Exact decisions, with proof.

All solvers start from greedy earliest completion, improved by one-flip local search. Independent tasks are solved by
dynamic programming over the Pareto frontier of partial schedules (``offload_gym.solvers.pareto``), dependent ones by
branch and bound (``offload_gym.solvers.branch_and_bound``), and the makespan of a chain by a dynamic program that is
polynomial (``offload_gym.solvers.chain``).
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
    copy_table,
    cost_per_makespan,
    fill_prices,
    latency,
    new_problem,
    objective_code,
    open_problem,
    start_schedule,
)
from offload_gym.instances import Instances, check_count
from offload_gym.solvers.bounds import lower_bound
from offload_gym.solvers.branch_and_bound import branch_and_bound
from offload_gym.solvers.chain import is_chain, solve_chain
from offload_gym.solvers.greedy import complete_greedily
from offload_gym.solvers.local_search import improve, settle
from offload_gym.solvers.parallel import for_each_chunk
from offload_gym.solvers.pareto import FIRST_WIDTH, pareto_search

CHUNK = 16  # instances that a thread solves at a time
UNLIMITED = np.iinfo(np.int64).max


@njit(cache=True, nogil=True, error_model="numpy")
def solve_one(problem, first, radio_s, finish_s, free_s, value_s, objective, max_nodes, decision):
    """Fill ``decision`` from ``first`` on; ``decision`` and ``finish_s`` hold the tasks before ``first``.

    ``free_s`` and ``radio_s`` are of the schedule before ``first``, and ``value_s`` is the largest completion in it
    (makespan, cost) or the sum of its completions (mean); ``free_s`` is left as it was. A chain's makespan is solved to
    the end whatever ``max_nodes`` says.

    Returns the value reached, under the objective "cost" with the price of energy from ``first`` on; the number of
    partial schedules made; and whether the decision is proven optimal.
    """
    n, num_locations = problem.times.shape[:2]
    if objective == MAKESPAN and n > 1 and is_chain(problem):
        value_s = solve_chain(problem, first, radio_s, finish_s, free_s, value_s, decision)
        return value_s, (n - first) * num_locations, True
    start_s = free_s.copy()
    complete_greedily(problem, first, radio_s, finish_s, free_s, decision)
    best_s = improve(problem, first, decision, objective, value_s, radio_s, start_s, finish_s, free_s)
    copy_table(start_s, free_s)
    if len(problem.edge_parent) == 0:
        best_s, nodes, proven = pareto_search(
            problem, first, radio_s, free_s, value_s, objective, max_nodes, FIRST_WIDTH, decision, best_s
        )
        if first == 0 and objective == MAKESPAN:
            settle(problem, decision, best_s, radio_s, start_s, finish_s, free_s)
            copy_table(start_s, free_s)
        return best_s, nodes, proven
    return branch_and_bound(problem, first, radio_s, finish_s, free_s, value_s, objective, max_nodes, decision, best_s)


@njit(cache=True, nogil=True, error_model="numpy")
def exact_kernel(
    tasks, locations, backlog_s, radio_backlog_s, task_counts, edge_start, edge_parent, edge_bits, max_cores,
    power, objective, max_nodes, start, stop, decisions, bound_s, optimal, nodes,
):  # fmt: skip
    """Fill ``decisions`` (B, n), ``bound_s``, ``optimal`` and ``nodes`` (B,) of the instances start, ..., stop - 1."""
    n, num_locations = tasks.shape[1], locations.shape[1]
    room = new_problem(n, num_locations, edge_parent.shape[1])
    free_s = np.empty((num_locations, max_cores))
    finish_s = np.empty(n)
    for b in range(start, stop):
        problem = open_problem(b, tasks, locations, task_counts, edge_start, edge_parent, edge_bits, room)
        fill_prices(power[b], locations[b], problem)
        start_schedule(locations[b], backlog_s[b], free_s)
        decisions[b, task_counts[b] :] = 0  # padding
        radio_s, decision = radio_backlog_s[b], decisions[b, : task_counts[b]]
        value_s, nodes[b], optimal[b] = solve_one(
            problem, 0, radio_s, finish_s, free_s, 0.0, objective, max_nodes, decision
        )
        bound_s[b] = value_s if optimal[b] else lower_bound(problem, radio_s, free_s, objective, value_s)
        if objective == MEAN:
            bound_s[b] /= task_counts[b]
        if objective == COST:
            bound_s[b] *= cost_per_makespan(power[b])


class Solutions(NamedTuple):
    """Result of ``solve`` for B instances of n tasks.

    Attributes:
        decisions: (B, n) integers, the location of each task.
        latency_s: (B,) value of the objective in seconds.
        lower_bound_s: (B,) no decision is below it; equal to ``latency_s`` where proven optimal.
        optimal: (B,) whether optimality is proven, to a relative 1e-12.
        nodes: (B,) partial schedules made.
    """

    decisions: NDArray[np.int64]
    latency_s: NDArray[np.float64]
    lower_bound_s: NDArray[np.float64]
    optimal: NDArray[np.bool_]
    nodes: NDArray[np.int64]


def exact(instances: Instances, objective: str = "makespan") -> NDArray[np.int64]:
    """Optimal decisions (B, n) alone, as ``solve`` without limits finds them: a policy is asked for no more."""
    code = objective_code(objective)
    size = len(instances)
    decisions = np.empty((size, instances.num_tasks), dtype=np.int64)
    unused = (np.empty(size), np.empty(size, dtype=np.bool_), np.empty(size, dtype=np.int64))

    def work(rows: slice) -> None:
        batch = (*instances.arrays, instances.max_cores, instances.power)
        exact_kernel(*batch, code, UNLIMITED, rows.start, rows.stop, decisions, *unused)

    for_each_chunk(work, size, None, CHUNK)
    return decisions


def solve(
    instances: Instances, objective: str = "makespan", max_nodes: int | None = None, num_threads: int | None = None
) -> Solutions:
    """Optimal decisions, or the best ones that a limited search finds, with a lower bound.

    Often several decisions have the least makespan. Of independent tasks one is returned whose mean completion no move
    of a single task lowers.

    Args:
        instances: B instances of n tasks and K locations.
        objective: "makespan", "mean" or "cost".
        max_nodes: how many partial schedules may be made for each instance; None searches until optimality is proven,
            which the time and the memory for it must allow. An instance that reaches the limit keeps the best decision
            found, and ``optimal`` is False; ``python -m benchmarks large-n`` shows how far it then is from the bound.
            The makespan of a chain is always solved to the end.
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
            *instances.arrays,
            instances.max_cores,
            instances.power,
            code,
            UNLIMITED if max_nodes is None else max_nodes,
            rows.start,
            rows.stop,
            decisions,
            bound_s,
            optimal,
            nodes,
        )

    for_each_chunk(work, size, num_threads, CHUNK)
    # From the decisions, so that it is to the last bit what latency() says of them.
    latency_s = latency(instances, decisions, objective)
    return Solutions(decisions, latency_s, np.where(optimal, latency_s, bound_s), optimal, nodes)
