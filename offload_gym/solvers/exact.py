"""Exact decisions, with proof.

All solvers start from greedy earliest completion, improved by one-flip local search. Independent tasks are solved by
dynamic programming over the Pareto frontier of partial schedules (``offload_gym.solvers.pareto``), dependent ones by
branch and bound (``offload_gym.solvers.branch_and_bound``), and the makespan of a chain by a dynamic program that is
polynomial (``offload_gym.solvers.chain``).
"""

from __future__ import annotations

import time
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.array_checks import check_count
from offload_gym.checks import checked_number
from offload_gym.compilation import inlined, kernel
from offload_gym.delay import (
    MAKESPAN,
    copy_table,
    evaluate,
    latency,
    new_workspace,
    objective_code,
    open_decision,
    open_instance,
    seconds,
)
from offload_gym.instances import INTEGER, Batch, Instances, check_instances
from offload_gym.lending import lent
from offload_gym.solvers.annealing import anneal, compile_annealing
from offload_gym.solvers.bounds import TOLERANCE, lower_bound
from offload_gym.solvers.branch_and_bound import branch_and_bound
from offload_gym.solvers.chain import is_chain, solve_chain
from offload_gym.solvers.greedy import complete_greedily
from offload_gym.solvers.local_search import improve, settle
from offload_gym.solvers.parallel import check_threads, for_each_chunk
from offload_gym.solvers.pareto import FIRST_WIDTH, pareto_search
from offload_gym.solvers.portfolio import ranked_portfolio
from offload_gym.solvers.stopping import Budget, new_stop, raise_pending

CHUNK = 16  # instances that a thread solves at a time
UNLIMITED = np.iinfo(np.int64).max
# Of a limit of time, for independent and for dependent tasks. The search for the former begins with the best of many.
EXACT_SHARES = (0.8, 0.2)
MOST_FLIPPED = 64  # tasks; with more, flips take longer than annealing needs to be better


class Solutions(NamedTuple):
    """Result of ``solve`` for B instances of n tasks.

    Attributes:
        decisions: (B, n) integers, the location of each task.
        latency_s: (B,) value of the objective in seconds.
        lower_bound_s: (B,) no decision is below it; equal to ``latency_s`` where proven optimal.
        optimal: (B,) whether optimality is proven, to a relative 1e-12.
        nodes: (B,) partial schedules made; within a limit of time, by the last of several searches.
    """

    decisions: NDArray[np.int64]
    latency_s: NDArray[np.float64]
    lower_bound_s: NDArray[np.float64]
    optimal: NDArray[np.bool_]
    nodes: NDArray[np.int64]


class Limits(NamedTuple):
    """What ``solve`` may spend on an instance."""

    max_nodes: int
    time_limit_s: float


NO_LIMITS = Limits(UNLIMITED, np.inf)


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
        return _measured(instances, _bounded(instances, objective_code(objective), found), objective)


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
def solve_one(problem, decision, start, objective, budget, graphs, quick, room):
    """Fill ``decision`` behind ``start``; ``decision`` and ``room.finish_s`` hold the tasks before ``start.first``.

    A chain's makespan is solved to the end whatever the ``budget`` allows. ``graphs`` is that of the budget, named here
    as numba leaves out what is behind an argument that is None. Where it must be ``quick``, flips before the search and
    moves between equals after it are left out for many tasks; the flips are for many dependent ones in any case.

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
    many = n - start.first > MOST_FLIPPED
    if many and (quick or len(problem.edge_parent) > 0):
        best_s = evaluate(problem, decision, start, objective, room)
    else:
        best_s = improve(problem, decision, start, objective, room)
    if graphs is not None:  # noqa: SIM102
        if len(problem.edge_parent) > 0:
            return branch_and_bound(problem, decision, best_s, start, objective, budget, room)
    best_s, nodes, proven = pareto_search(problem, decision, best_s, start, objective, budget, FIRST_WIDTH)
    if start.first == 0 and objective == MAKESPAN and not budget.stop[0] and not (quick and many):
        settle(problem, decision, best_s, start, room)
    return best_s, nodes, proven


@kernel
def exact_kernel(arrays, objective, max_nodes, graphs, quick, stop, first, last, found):
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
            problem, decision, start, objective, budget, graphs, quick, work.room
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
    _search(instances, objective_code(objective), NO_LIMITS, None, solutions)
    return solutions.decisions


def _search(
    instances: Instances, objective: int, limits: Limits, num_threads: int | None, solutions: Solutions
) -> None:
    """Fill ``solutions`` as ``exact_kernel`` does."""
    stop = new_stop()

    def work(rows: slice) -> None:
        _search_rows(instances, objective, limits, stop, rows, solutions)

    for_each_chunk(work, len(instances), num_threads, CHUNK, stop)


def _search_rows(
    instances: Instances, objective: int, limits: Limits, stop: NDArray[np.bool_], rows: slice, solutions: Solutions
) -> None:
    graphs, quick = True if instances.batch.edge_parent.shape[1] else None, limits.time_limit_s < np.inf
    found = tuple(solutions)
    exact_kernel(instances.arrays, objective, limits.max_nodes, graphs, quick, stop, rows.start, rows.stop, found)


def _bounded(instances: Instances, objective: int, found: Solutions) -> Solutions:
    """What ``_search`` found, with bounds where a search was stopped."""
    if not found.optimal.all():
        bound_kernel(instances.arrays, objective, 0, len(instances), tuple(found))
    return found


def _search_on(
    instances: Instances, objective: str, limits: Limits, num_threads: int | None, found: Solutions
) -> Solutions:
    """Find better decisions where the exact search was stopped or, if time is limited, has not begun."""
    rows, stop = np.flatnonzero(~found.optimal), new_stop()

    def work(part: slice) -> None:
        for b in rows[part]:
            _search_one_on(instances, int(b), objective, limits, stop, found)

    for_each_chunk(work, len(rows), num_threads, 1, stop)
    return _measured(instances, found, objective)


def _search_one_on(
    instances: Instances, b: int, objective: str, limits: Limits, stop: NDArray[np.bool_], found: Solutions
) -> None:
    one, at, code = instances[b : b + 1], slice(b, b + 1), objective_code(objective)
    timed, dependent = limits.time_limit_s < np.inf, one.edge_start[0, -1] > 0
    unflipped = timed or (dependent and one.task_counts[0] > MOST_FLIPPED)
    starts = ranked_portfolio(one, objective, None if unflipped else "flip")
    begun_s = time.perf_counter()
    if timed:
        found.decisions[at] = starts[:1]
        begun_s = _search_in_time(one, b, objective, limits, stop, found)
    bound_kernel(instances.arrays, code, b, b + 1, tuple(found))
    if found.optimal[b]:
        return
    if latency(one, starts[:1], objective) < latency(one, found.decisions[at], objective):
        found.decisions[at] = starts[:1]
    else:
        starts = np.concatenate((found.decisions[at], starts))

    def spent(moves: int) -> float:
        return max(moves / limits.max_nodes, (time.perf_counter() - begun_s) / limits.time_limit_s)

    def reaches_bound() -> bool:
        return bool(latency(one, found.decisions[at], objective)[0] * TOLERANCE <= found.lower_bound_s[b])

    found.optimal[b] = reaches_bound()
    # Independent tasks have a search that goes on from a limit of nodes as well as annealing does.
    if found.optimal[b] or spent(0) >= 1.0 or not (timed or dependent):
        return
    for decision in anneal(one, starts, objective, spent, stop):
        if not np.array_equal(found.decisions[b, : len(decision)], decision):
            found.decisions[b, : len(decision)] = decision
            found.optimal[b] = reaches_bound()
            if found.optimal[b]:
                break


def _search_in_time(
    one: Instances, b: int, objective: str, limits: Limits, stop: NDArray[np.bool_], found: Solutions
) -> float:
    """The exact search of instance ``b``, ``one``, for its share of the time; returns when that began.

    What is better than the decision in ``found`` is kept there.
    """
    code, dependent = objective_code(objective), one.edge_start[0, -1] > 0
    tried, nothing, n = _new_solutions(one), slice(0, 0), int(one.task_counts[0])
    # What may have to be compiled, first.
    _search_rows(one, code, limits, stop, nothing, tried)
    bound_kernel(one.arrays, code, 0, 0, tuple(tried))
    compile_annealing(one, code)
    begun_s = time.perf_counter()
    left_s = EXACT_SHARES[int(dependent)] * limits.time_limit_s
    nodes = 1 if dependent else n * one.num_locations  # for one pass of the dynamic program
    while not tried.optimal[0] and not stop[0]:
        before_s = time.perf_counter()
        _search_rows(one, code, limits._replace(max_nodes=min(nodes, limits.max_nodes)), stop, slice(0, 1), tried)
        taken_s = time.perf_counter() - before_s
        found.latency_s[b], found.nodes[b], found.optimal[b] = tried.latency_s[0], tried.nodes[0], tried.optimal[0]
        better = latency(one, tried.decisions, objective) < latency(one, found.decisions[b : b + 1], objective)
        if tried.optimal[0] or better:
            found.decisions[b] = tried.decisions[0]
        # It begins anew each time, but with eight times the nodes, so that most of the time goes into the last search.
        left_s -= taken_s
        if nodes >= limits.max_nodes or 8 * taken_s > left_s:
            break
        nodes *= 8
    return begun_s


def solve(
    instances: Instances,
    objective: str = "makespan",
    max_nodes: int | None = None,
    num_threads: int | None = None,
    *,
    time_limit_s: float | None = None,
) -> Solutions:
    """Optimal decisions, or the best ones that a limited search finds, with a lower bound.

    Often several decisions have the least makespan. Of independent tasks one is returned whose mean completion no move
    of a single task lowers.

    Args:
        instances: B instances of n tasks and K locations.
        objective: one of ``offload_gym.OBJECTIVES``.
        max_nodes: how many partial schedules may be made for each instance; None searches until optimality is proven,
            which the time and the memory for it must allow. An instance that reaches the limit goes on from the best
            decision that the search or the portfolio (all tasks at one location, greedy, HEFT, beams of width 4 and 16,
            each with flips behind it unless more than 64 tasks depend on each other) finds. Where tasks are dependent,
            that is simulated annealing of as many moves. ``optimal`` is then False unless the bound is reached.
            ``python -m benchmarks large-n`` and ``large-graphs`` show how far it is from the bound, and from the best
            that is known. The makespan of a chain is always solved to the end.
        num_threads: threads to share the instances; None takes one a core.
        time_limit_s: about how many seconds an instance may take: the exact search has a fifth of it (four fifths where
            tasks are independent), annealing from the portfolio without flips the rest. The portfolio comes on top,
            some milliseconds for 200 tasks and a second for 10,000 that depend on each other. What is found depends on
            the machine.

    Returns:
        Solutions; the same whatever the number of threads, without a limit of time.

    Raises:
        ValueError: the objective is unknown, ``max_nodes`` or ``num_threads`` is not a whole number above 0, or
            ``time_limit_s`` is not a number above 0.
        KeyboardInterrupt: Ctrl-C, within a fraction of a second. It is an ``offload_gym.solvers.exact.Interrupted``,
            whose ``solutions`` are the best ones so far.
    """
    check_instances(instances)
    code = objective_code(objective)
    check_threads(num_threads)
    if max_nodes is not None:
        check_count("max_nodes", max_nodes)
    if time_limit_s is not None:
        checked_number(
            "time_limit_s", time_limit_s, "a number, finite and above 0", lambda limit_s: 0 < limit_s < np.inf
        )
    limits = Limits(max_nodes or UNLIMITED, time_limit_s or np.inf)
    found = _new_solutions(instances)
    try:
        if time_limit_s is None:
            _search(instances, code, limits, num_threads, found)
        return _search_on(instances, objective, limits, num_threads, found)
    except KeyboardInterrupt:
        raise Interrupted(instances, objective, found) from None


def _measured(instances: Instances, solutions: Solutions, objective: str) -> Solutions:
    # From the decisions, so that it is to the last bit what latency() says of them.
    latency_s = latency(instances, solutions.decisions, objective)
    bound_s = np.where(solutions.optimal, latency_s, solutions.lower_bound_s)
    return solutions._replace(latency_s=latency_s, lower_bound_s=bound_s)
