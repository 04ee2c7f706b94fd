"""Exact decisions, with proof.

All solvers start from greedy earliest completion, improved by one-flip local search. Independent tasks are solved by
dynamic programming over the Pareto frontier of partial schedules (``offload_gym.solvers.pareto``), dependent ones by
branch and bound (``offload_gym.solvers.branch_and_bound``), and the makespan of a chain by a dynamic program that is
polynomial (``offload_gym.solvers.chain``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import kernel
from offload_gym.delay import (
    MAKESPAN,
    copy_table,
    latency,
    new_workspace,
    objective_code,
    open_decision,
    open_instance,
    seconds,
)
from offload_gym.instances import INTEGER, Batch, Instances, check_count, check_instances
from offload_gym.lending import lent
from offload_gym.solvers.bounds import lower_bound
from offload_gym.solvers.branch_and_bound import branch_and_bound
from offload_gym.solvers.chain import is_chain, solve_chain
from offload_gym.solvers.greedy import complete_greedily
from offload_gym.solvers.local_search import improve, settle
from offload_gym.solvers.parallel import check_threads, for_each_chunk
from offload_gym.solvers.pareto import FIRST_WIDTH, pareto_search

CHUNK = 16  # instances that a thread solves at a time
UNLIMITED = np.iinfo(np.int64).max


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


def _new_solutions(instances: Instances) -> Solutions:
    size = len(instances.tasks)
    return Solutions(
        decisions=np.empty((size, instances.num_tasks), INTEGER),
        latency_s=np.empty(size),
        lower_bound_s=np.empty(size),
        optimal=np.empty(size, dtype=np.bool_),
        nodes=np.empty(size, INTEGER),
    )


@kernel
def solve_one(problem, decision, start, objective, max_nodes, room):
    """Fill ``decision`` behind ``start``; ``decision`` and ``room.finish_s`` hold the tasks before ``start.first``.

    A chain's makespan is solved to the end whatever ``max_nodes`` says.

    Returns the value reached, with the price of the tasks from ``start.first`` on; the number of partial schedules
    made; and whether the decision is proven optimal.
    """
    n, num_locations = problem.times.shape[:2]
    if objective == MAKESPAN and n > 1 and is_chain(problem):
        value_s = solve_chain(problem, decision, start, room.finish_s)
        return value_s, (n - start.first) * num_locations, True
    copy_table(start.core_s, room.free_s)
    complete_greedily(problem, decision, start.first, start.radio_s, room)
    best_s = improve(problem, decision, start, objective, room)
    if len(problem.edge_parent) > 0:
        return branch_and_bound(problem, decision, best_s, start, objective, max_nodes, room)
    best_s, nodes, proven = pareto_search(problem, decision, best_s, start, objective, max_nodes, FIRST_WIDTH)
    if start.first == 0 and objective == MAKESPAN:
        settle(problem, decision, best_s, start, room)
    return best_s, nodes, proven


@kernel
def exact_kernel(arrays, objective, max_nodes, first, last, found):
    """Fill ``found``, the arrays of a ``Solutions``, for the instances ``first``, ..., ``last - 1``."""
    batch, found = lent(Batch(*arrays)), lent(Solutions(*found))
    memory = new_workspace(batch)
    for b in range(first, last):
        work = lent(memory)
        problem, start = open_instance(batch, b, work)
        decision = open_decision(batch, b, found.decisions)
        value_s, found.nodes[b], found.optimal[b] = solve_one(problem, decision, start, objective, max_nodes, work.room)
        bound_s = value_s if found.optimal[b] else lower_bound(problem, start, objective, value_s)
        found.lower_bound_s[b] = seconds(objective, bound_s, len(decision), batch.power[b])


def exact(instances: Instances, objective: str = "makespan") -> NDArray[np.int64]:
    """Optimal decisions (B, n) alone, as ``solve`` without limits finds them: a policy is asked for no more."""
    code = objective_code(objective)
    solutions = _new_solutions(instances)
    found = tuple(solutions)

    def work(rows: slice) -> None:
        exact_kernel(instances.arrays, code, UNLIMITED, rows.start, rows.stop, found)

    for_each_chunk(work, len(instances), None, CHUNK)
    return solutions.decisions


def solve(
    instances: Instances, objective: str = "makespan", max_nodes: int | None = None, num_threads: int | None = None
) -> Solutions:
    """Optimal decisions, or the best ones that a limited search finds, with a lower bound.

    Often several decisions have the least makespan. Of independent tasks one is returned whose mean completion no move
    of a single task lowers.

    Args:
        instances: B instances of n tasks and K locations.
        objective: one of ``offload_gym.OBJECTIVES``.
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
    check_instances(instances)
    code = objective_code(objective)
    check_threads(num_threads)
    if max_nodes is not None:
        check_count("max_nodes", max_nodes)
    solutions = _new_solutions(instances)
    limit = UNLIMITED if max_nodes is None else max_nodes

    def work(rows: slice) -> None:
        exact_kernel(instances.arrays, code, limit, rows.start, rows.stop, tuple(solutions))

    for_each_chunk(work, len(instances), num_threads, CHUNK)
    # From the decisions, so that it is to the last bit what latency() says of them.
    latency_s = latency(instances, solutions.decisions, objective)
    bound_s = np.where(solutions.optimal, latency_s, solutions.lower_bound_s)
    return solutions._replace(latency_s=latency_s, lower_bound_s=bound_s)
