"""Exact decisions, with proof.

All solvers start from greedy earliest completion, improved by one-flip local search. Independent tasks are solved by
dynamic programming over the Pareto frontier of partial schedules (``offload_gym.solvers.pareto``), dependent ones by
branch and bound (``offload_gym.solvers.branch_and_bound``), and the makespan of a chain by a dynamic program that is
polynomial (``offload_gym.solvers.chain``).
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.array_checks import check_count
from offload_gym.compilation import inlined, kernel
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
from offload_gym.instances import INTEGER, Batch, Instances, check_instances
from offload_gym.lending import lent
from offload_gym.solvers.bounds import TOLERANCE, lower_bound
from offload_gym.solvers.branch_and_bound import branch_and_bound
from offload_gym.solvers.chain import is_chain, solve_chain
from offload_gym.solvers.greedy import complete_greedily
from offload_gym.solvers.heuristics import cheap_decisions
from offload_gym.solvers.local_search import improve, settle
from offload_gym.solvers.parallel import check_threads, for_each_chunk
from offload_gym.solvers.pareto import FIRST_WIDTH, pareto_search
from offload_gym.solvers.stopping import Budget, new_stop, raise_pending

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


class Interrupted(KeyboardInterrupt):
    """A search was interrupted; ``solutions`` is the best so far."""

    def __init__(self, instances: Instances, objective: str, found: Solutions) -> None:
        optimal, not_begun = int(found.optimal.sum()), int((found.nodes == 0).sum())
        stopped = len(found.nodes) - optimal - not_begun
        super().__init__(
            f"interrupted; of {len(found.nodes):,} searches {optimal:,} found and proved the optimum, {stopped:,} were "
            f"stopped before that, and {not_begun:,} had not begun"
        )
        self._given = instances, found, objective

    @cached_property
    def solutions(self) -> Solutions:
        """The best so far, of all instances.

        One whose search has not begun has ``nodes`` 0, all tasks on the device and the lower bound 0.
        """
        # Not before it is asked for: the interrupt is not to wait for it.
        instances, found, objective = self._given
        return _measured(instances, _bounded(instances, objective_code(objective), None, found), objective)


def _new_solutions(instances: Instances) -> Solutions:
    """What is said of instances whose search has not begun."""
    size = len(instances.tasks)
    return Solutions(
        decisions=np.zeros((size, instances.num_tasks), INTEGER),
        latency_s=np.zeros(size),
        lower_bound_s=np.zeros(size),
        optimal=np.zeros(size, dtype=np.bool_),
        nodes=np.zeros(size, INTEGER),
    )


@inlined
def solve_one(problem, decision, start, objective, budget, graphs, room):
    """Fill ``decision`` behind ``start``; ``decision`` and ``room.finish_s`` hold the tasks before ``start.first``.

    A chain's makespan is solved to the end whatever the ``budget`` allows. ``graphs`` is that of the budget, named here
    as numba leaves out what is behind an argument that is None.

    Returns the value reached, with the price of the tasks from ``start.first`` on; the number of partial schedules
    made; and whether the decision is proven optimal.
    """
    n, num_locations = problem.times.shape[:2]
    # "is not None" stands alone, as numba leaves out what is behind it only there.
    if graphs is not None:  # noqa: SIM102
        if objective == MAKESPAN and n > 1 and is_chain(problem):
            value_s = solve_chain(problem, decision, start, room.finish_s)
            return value_s, (n - start.first) * num_locations, True
    copy_table(start.core_s, room.free_s)
    complete_greedily(problem, decision, start.first, start.radio_s, room)
    best_s = improve(problem, decision, start, objective, room)
    if graphs is not None:  # noqa: SIM102
        if len(problem.edge_parent) > 0:
            return branch_and_bound(problem, decision, best_s, start, objective, budget, room)
    best_s, nodes, proven = pareto_search(problem, decision, best_s, start, objective, budget, FIRST_WIDTH)
    if start.first == 0 and objective == MAKESPAN and not budget.stop[0]:
        settle(problem, decision, best_s, start, room)
    return best_s, nodes, proven


@kernel
def exact_kernel(arrays, objective, max_nodes, graphs, stop, first, last, found):
    """Fill ``found``, the arrays of a ``Solutions``, for the instances ``first``, ..., ``last - 1`` until ``stop``.

    ``found.latency_s`` is then the value of the objective as ``evaluate`` returns it. The bounds are left out.
    """
    batch, found = lent(Batch(*arrays)), lent(Solutions(*found))
    memory, steps = new_workspace(batch), np.zeros(1, np.int64)
    for b in range(first, last):
        if stop[0]:
            break
        work, budget = lent(memory), lent(Budget(max_nodes, stop, steps, graphs))
        problem, start = open_instance(batch, b, work)
        decision = open_decision(batch, b, found.decisions)
        found.latency_s[b], found.nodes[b], found.optimal[b] = solve_one(
            problem, decision, start, objective, budget, graphs, work.room
        )
    if stop[0]:
        raise_pending()


@kernel
def bound_kernel(arrays, objective, first, last, found):
    """Fill ``found.lower_bound_s`` behind ``exact_kernel``, where a search was stopped."""
    batch, found = lent(Batch(*arrays)), lent(Solutions(*found))
    memory = new_workspace(batch)
    for b in range(first, last):
        if found.nodes[b] > 0 and not found.optimal[b]:
            problem, start = open_instance(batch, b, lent(memory))
            bound_s = lower_bound(problem, start, objective, found.latency_s[b])
            found.lower_bound_s[b] = seconds(objective, bound_s, batch.task_counts[b], batch.power[b])


def exact(instances: Instances, objective: str = "makespan") -> NDArray[np.int64]:
    """Optimal decisions (B, n) alone, as ``solve`` without limits finds them: a policy is asked for no more."""
    solutions = _new_solutions(instances)
    _search(instances, objective_code(objective), UNLIMITED, None, solutions)
    return solutions.decisions


def _search(
    instances: Instances, objective: int, max_nodes: int, num_threads: int | None, solutions: Solutions
) -> None:
    """Fill ``solutions`` as ``exact_kernel`` does."""
    found, stop, graphs = tuple(solutions), new_stop(), True if instances.batch.edge_parent.shape[1] else None

    def work(rows: slice) -> None:
        exact_kernel(instances.arrays, objective, max_nodes, graphs, stop, rows.start, rows.stop, found)

    for_each_chunk(work, len(instances), num_threads, CHUNK, stop)


def _bounded(instances: Instances, objective: int, num_threads: int | None, found: Solutions) -> Solutions:
    """What ``_search`` found, with bounds where a search was stopped."""
    if not found.optimal.all():

        def work(rows: slice) -> None:
            bound_kernel(instances.arrays, objective, rows.start, rows.stop, tuple(found))

        for_each_chunk(work, len(instances), num_threads, CHUNK)
    return found


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
            that the search or a cheap heuristic finds (all tasks at one location, greedy, HEFT, beams of width 4 and
            16, each with flips behind it), and ``optimal`` is False; ``python -m benchmarks large-n`` shows how far it
            then is from the bound. The makespan of a chain is always solved to the end.
        num_threads: threads to share the instances; None takes one a core.

    Returns:
        Solutions; the same whatever the number of threads.

    Raises:
        ValueError: the objective is unknown, or ``max_nodes`` or ``num_threads`` is not a whole number above 0.
        KeyboardInterrupt: Ctrl-C, within a fraction of a second. It is an ``offload_gym.solvers.exact.Interrupted``,
            whose ``solutions`` are the best ones so far.
    """
    check_instances(instances)
    code = objective_code(objective)
    check_threads(num_threads)
    if max_nodes is not None:
        check_count("max_nodes", max_nodes)
    found = _new_solutions(instances)
    try:
        _search(instances, code, UNLIMITED if max_nodes is None else max_nodes, num_threads, found)
        solutions = _measured(instances, _bounded(instances, code, num_threads, found), objective)
        if not solutions.optimal.all():
            solutions = _improved(instances, solutions, objective, num_threads)
    except KeyboardInterrupt:
        raise Interrupted(instances, objective, found) from None
    return solutions


def _measured(instances: Instances, solutions: Solutions, objective: str) -> Solutions:
    # From the decisions, so that it is to the last bit what latency() says of them.
    latency_s = latency(instances, solutions.decisions, objective)
    bound_s = np.where(solutions.optimal, latency_s, solutions.lower_bound_s)
    return solutions._replace(latency_s=latency_s, lower_bound_s=bound_s)


def _improved(instances: Instances, solutions: Solutions, objective: str, num_threads: int | None) -> Solutions:
    """The solutions, but where a cheap heuristic has a better decision than a search that was stopped."""
    stopped = np.flatnonzero(~solutions.optimal)
    decisions, latency_s, stop = solutions.decisions[stopped], solutions.latency_s[stopped], new_stop()

    def work(rows: slice) -> None:
        few = instances[stopped[rows]]
        for tried in cheap_decisions(few, objective):
            if stop[0]:
                break
            tried_s = latency(few, tried, objective)
            better = tried_s < latency_s[rows]
            decisions[rows][better], latency_s[rows][better] = tried[better], tried_s[better]

    for_each_chunk(work, len(stopped), num_threads, CHUNK, stop)
    optimal = solutions.optimal.copy()
    optimal[stopped] = latency_s * TOLERANCE <= solutions.lower_bound_s[stopped]
    solutions.decisions[stopped] = decisions
    return _measured(instances, solutions._replace(optimal=optimal), objective)
