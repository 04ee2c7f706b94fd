"""Simulated annealing: better decisions of many tasks than heuristics have, in a time that can be chosen.

A sweep goes through the tasks in the order in which they are served. At each it tries one of three moves: the task goes
to a random location alone, or with some of what follows from it (its children, their children and so on, breadth first,
a random number of tasks), or it trades places with a later one. Data between two places costs, so that moving one task
of a group that belongs together helps nobody, and moving the group does. A move that lengthens the schedule is taken
with a probability that falls with what it adds and with the temperature (Kirkpatrick, Gelatt and Vecchi, "Optimization
by simulated annealing", Science 220, 1983). Several starts are annealed in rounds; after each, half of them go on.

The schedule before the task at hand is there already, so that a move costs no more than the tasks behind it, and less
where a task ends so late that the way from it to the end of the application is too long (``value_within``): what is
random about whether a move is taken is drawn before it is tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import inlined, kernel
from offload_gym.delay import (
    Problem,
    Room,
    Start,
    adds,
    copy_row,
    energy_price,
    evaluate,
    extend,
    is_priced,
    new_workspace,
    objective_code,
    open_instance,
)
from offload_gym.instances import Batch, Instances
from offload_gym.lending import lent
from offload_gym.random_numbers import stream, uniform
from offload_gym.solvers.local_search import fill_tails, value_within
from offload_gym.solvers.stopping import Budget, is_stopped, new_stop, raise_pending

STEPS = 20  # temperatures of a walk in a round
MOST_MOVES = 100_000  # the same, at most
MOVES_BETWEEN_LOOKS = 1024  # at whether to stop
LEAST_MOVES = 256  # between two looks at what is spent, or a sweep where that is less, unless they take too long:
PROBE_WORK = 1 << 19  # tasks and edges of the moves before the first look, at most ten milliseconds;
LOOK_SHARE = 0.05  # of what may be spent, for the moves between two later looks
LEAST_SWEEPS = 8  # of a start in the first round; there are fewer starts where more may not be spent


class Settings(NamedTuple):
    """What moves are like, and how readily a worse decision is taken.

    Chosen on validation graphs of 50 and 200 tasks (``python -m benchmarks tune-annealing``): those of "dag", wider
    ones, ones with little data, and ones with one and with four edge servers.
    """

    swap_share: float = 0.5  # of the moves that let two tasks trade places
    group_share: float = 0.35  # of those that take a group of tasks; the rest move a single one
    group_size: float = 1 / 3  # of all tasks, at most; the logarithm of a group's size is uniform
    # Temperatures at the beginning and at the end of a round, in terms of the value that it begins with over the number
    # of tasks: of many tasks, each one changes less. With temperatures that do not depend on that number, 200 tasks end
    # 0.5 % (standard error 0.1 %) higher after 20,000 moves on further validation graphs.
    hot: float = 1.0
    cold: float = 0.05


class Walk(NamedTuple):
    """A decision that changes, and the best one that it has been."""

    decision: NDArray[np.int64]  # (n,)
    best: NDArray[np.int64]  # (n,)
    value_s: NDArray[np.float64]  # (2,) of the two, as ``evaluate`` returns it
    counts: NDArray[np.int64]  # (4,) random numbers drawn, moves tried, the walk's own number, the task to go on with
    settings: Settings


CHOSEN = Settings()
DRAWN, MOVES, NUMBER, NEXT = range(4)  # of Walk.counts


class Kin(NamedTuple):
    """Who follows from whom, and room for a group of tasks."""

    child_start: NDArray[np.int64]  # (n + 1,) the children of task i are child_start[i], ..., child_start[i + 1] - 1
    child: NDArray[np.int64]  # (E,)
    group: NDArray[np.int64]  # (n,) its tasks
    before: NDArray[np.int64]  # (n,) where they were
    is_in: NDArray[np.bool_]  # (n,) whether a task is in the group; all False between two moves
    tail_s: NDArray[np.float64]  # (n,) tails of the tasks, see ``fill_tails``; empty where they say nothing
    num_locations: int


class Opened(NamedTuple):
    """An instance, and memory for the moves of one walk at a time."""

    problem: Problem
    start: Start  # before the first task
    kin: Kin
    room: Room


@kernel
def new_kin(problem, objective):
    """``Kin`` of a problem."""
    n, num_locations = problem.times.shape[:2]
    num_edges = len(problem.edge_parent)
    child_start, child = np.zeros(n + 1, np.int64), np.empty(num_edges, np.int64)
    tail_s = np.empty(n if num_edges > 0 and not adds(objective) else 0)
    for e in range(num_edges):
        child_start[problem.edge_parent[e] + 1] += 1
    for i in range(n):
        child_start[i + 1] += child_start[i]
    filled = child_start[:n].copy()
    for i in range(n):
        for e in range(problem.edge_start[i], problem.edge_start[i + 1]):
            parent = problem.edge_parent[e]
            child[filled[parent]] = i
            filled[parent] += 1
    return Kin(
        child_start, child, np.empty(n, np.int64), np.empty(n, np.int64), np.zeros(n, np.bool_), tail_s, num_locations
    )


@inlined
def _gather(kin, i, most):
    """Fill ``kin.group`` with task ``i`` and what follows from it, up to ``most`` tasks; returns how many."""
    kin.group[0] = i
    kin.is_in[i] = True
    size, read = 1, 0
    while read < size and size < most:
        parent = kin.group[read]
        for c in range(kin.child_start[parent], kin.child_start[parent + 1]):
            if size < most and not kin.is_in[kin.child[c]]:
                kin.is_in[kin.child[c]] = True
                kin.group[size] = kin.child[c]
                size += 1
        read += 1
    for j in range(size):
        kin.is_in[kin.group[j]] = False
    return size


@inlined
def _propose(walk, kin, i, draws):
    """Change ``walk.decision`` by a random move of task ``i`` and later ones.

    Returns the last task that moves, -1 where none does, and how many ``kin.group`` holds, whose locations were
    ``kin.before``.
    """
    decision, drawn, settings = walk.decision, walk.counts[DRAWN], walk.settings
    n = len(decision)
    kind, where, which = uniform(draws, drawn), uniform(draws, drawn + 1), uniform(draws, drawn + 2)
    size, target = 1, int(where * kin.num_locations)
    kin.group[0] = i
    if kind < settings.swap_share and i + 1 < n:
        size, kin.group[1] = 2, i + 1 + int(which * (n - i - 1))
        target = -1
    elif kind < settings.swap_share + settings.group_share:
        size = _gather(kin, i, int(max(settings.group_size * n, 1.0) ** which))
    last = -1
    for j in range(size):
        kin.before[j] = decision[kin.group[j]]
    for j in range(size):
        task, k = kin.group[j], target if target >= 0 else kin.before[1 - j]
        if decision[task] != k:
            decision[task] = k
            last = max(last, task)
    return last, size


@kernel
def _try_moves(problem, walk, start, objective, temperature_s, last, draws, kin, room):
    """Try a move of each task in turn, see above, from ``walk.counts[NEXT]`` up to ``last``, not included.

    ``draws`` is where the random numbers begin.
    """
    decision, value_s = walk.decision, walk.value_s[0]
    n, first, tail_s = len(decision), walk.counts[NEXT], kin.tail_s
    has_tails = len(tail_s) > 0
    if has_tails:
        fill_tails(problem, decision, start.first, tail_s)
    before = Room(room.finish_s, start.core_s.copy())  # the schedule before task i
    rest, paid_s = Start(start.first, start.radio_s, start.value_s, before.free_s), 0.0
    for i in range(start.first, last):
        if i >= first:
            latest, size = _propose(walk, kin, i, draws)
            if latest >= 0:
                limit_s = value_s - temperature_s * math.log(1.0 - uniform(draws, walk.counts[DRAWN] + 3))
                known = latest if has_tails else n
                moved_s = value_within(problem, decision, rest, objective, limit_s - paid_s, tail_s, known, room)
                moved_s += paid_s
                if moved_s < limit_s:
                    value_s = moved_s
                    if has_tails:
                        fill_tails(problem, decision, i, tail_s)
                else:
                    for j in range(size):
                        decision[kin.group[j]] = kin.before[j]
            walk.counts[DRAWN] += 4
            walk.counts[MOVES] += 1
        rest = extend(problem, decision, rest, objective, before)
        if is_priced(objective):
            paid_s += energy_price(problem, decision, i, decision[i])
    walk.value_s[0] = value_s
    walk.counts[NEXT] = last % n


@kernel
def open_kernel(arrays, objective):
    """``Opened`` of a batch of one instance."""
    batch = Batch(*arrays)
    work = new_workspace(batch)
    problem, start = open_instance(batch, 0, work)
    return Opened(problem, start, new_kin(problem, objective), work.room)


@kernel
def anneal_kernel(opened, objective, temperature_s, num_moves, seed, stop, walk):
    """Try so many moves at a temperature; ``walk.best`` is then the best decision so far.

    A ``walk`` whose values are infinite begins.
    """
    (problem, start, kin, room), walk = lent(opened), lent(walk)
    n, num_edges = len(walk.decision), len(problem.edge_parent)
    draws, budget = stream(seed, walk.counts[NUMBER], 0), Budget(0, stop, np.zeros(1, np.int64), True)
    if walk.value_s[0] == np.inf:
        walk.value_s[:] = evaluate(problem, walk.decision, start, objective, room)
    while num_moves > 0:
        tried = min(num_moves, n - walk.counts[NEXT], MOVES_BETWEEN_LOOKS)
        if is_stopped(budget, tried * (n + num_edges)):
            break
        last = walk.counts[NEXT] + tried
        _try_moves(problem, walk, start, objective, temperature_s, last, draws, kin, room)
        num_moves -= tried
        if walk.value_s[0] < walk.value_s[1]:
            walk.value_s[1] = walk.value_s[0]
            copy_row(walk.decision, walk.best)
    if stop[0]:
        raise_pending()


def anneal(
    instance: Instances,
    decisions: NDArray[np.int64],
    objective: str,
    spent: Callable[[int], float],
    stop: NDArray[np.bool_] | None = None,
    seed: int = 0,
    settings: Settings = CHOSEN,
) -> Iterator[NDArray[np.int64]]:
    """Anneal until all that may be spent is; yields the best decision (n,) so far now and then, and in the end.

    Args:
        instance: a batch of one instance of n tasks.
        decisions: (S, n) where to begin, the best first; of padding, which is left out of what is yielded, anything.
        objective: one of ``offload_gym.OBJECTIVES``.
        spent: from how many moves were tried to the share of what may be spent, of moves or of time, that is spent.
        stop: (1,) a flag that ends it.
        seed: of the random numbers.
        settings: of moves and temperatures.
    """
    code, n = objective_code(objective), int(instance.task_counts[0])
    opened = open_kernel(instance.arrays, code)  # once, as that can take longer than hundreds of moves
    stop = new_stop() if stop is None else stop
    walks = [_new_walk(decision[:n], number, settings) for number, decision in enumerate(decisions)]

    def go_on(walk: Walk, num_moves: int, temperature: float) -> float:
        """Moves of one of the walks at a temperature in terms of its value, see above; the share that is spent."""
        temperature_s = temperature * walk.value_s[1] / n if num_moves else 0.0
        anneal_kernel(opened, code, temperature_s, num_moves, seed, stop, walk)
        return spent(sum(int(each.counts[MOVES]) for each in walks))

    share = go_on(walks[0], 0, 0.0)  # its value
    probe = min(n, LEAST_MOVES, PROBE_WORK // (n + len(opened.problem.edge_parent)) + 1)
    before, share = share, go_on(walks[0], probe, settings.cold)
    yield walks[0].best
    a_sweep = max((share - before) * (n / probe), 1e-9)
    least = max(min(n, LEAST_MOVES, int(LOOK_SHARE / a_sweep * n)), probe)
    going = walks[: _num_starts(len(walks), a_sweep)]
    for walk in going[1:]:
        share = go_on(walk, 0, 0.0)
    first, num_rounds = share, math.ceil(math.log2(len(going))) + 1
    for r in range(num_rounds):
        for j, walk in enumerate(going):
            _go_back(walk)
            begun, end = share, first + (1.0 - first) * (r + (j + 1) / len(going)) / num_rounds
            hot = settings.hot * 0.5**r
            while share < end and not stop[0]:
                temperature = hot * (settings.cold / hot) ** ((share - begun) / (end - begun))
                num_sweeps = min((end - begun) / STEPS / a_sweep, (end - share) / a_sweep, MOST_MOVES / n)
                # Whole sweeps, unless one takes too long.
                num_moves = max(int(num_sweeps) * n, min(int(num_sweeps * n), n), least)
                share = go_on(walk, num_moves, temperature)
                yield min(walks, key=_best_s).best
        going = sorted(going, key=_best_s)[: (len(going) + 1) // 2]


def compile_annealing(instance: Instances, objective: int) -> None:
    """Compile what ``anneal`` runs for a batch of one instance, where that has not been done."""
    walk = _new_walk(np.zeros(int(instance.task_counts[0]), np.int64), 0, CHOSEN)
    anneal_kernel(open_kernel(instance.arrays, objective), objective, 0.0, 0, 0, new_stop(), walk)


def _new_walk(decision: NDArray[np.int64], number: int, settings: Settings) -> Walk:
    return Walk(decision.copy(), decision.copy(), np.full(2, np.inf), np.array([0, 0, number, 0]), settings)


def _best_s(walk: Walk) -> float:
    return float(walk.value_s[1])


def _go_back(walk: Walk) -> None:
    """Go on from the best decision so far."""
    walk.decision[:], walk.value_s[0] = walk.best, walk.value_s[1]


def _num_starts(num_given: int, a_sweep: float) -> int:
    """How many of the starts are begun with, where a sweep spends that share."""
    num_starts = 2 ** int(math.log2(num_given))
    while num_starts > 1 and num_starts * LEAST_SWEEPS * (math.log2(num_starts) + 1) * a_sweep > 1.0:
        num_starts //= 2
    return num_starts
