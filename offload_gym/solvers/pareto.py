"""Exact decisions for independent tasks: dynamic programming over the Pareto frontier of partial schedules.

Tasks are placed in index order, all partial schedules of the first tasks at once. One of them is dominated when another
one has a value, a price of energy, a radio and cores (location by location, in the order in which they become free)
that are nowhere later: whatever comes next, the other one stays at least as good, as the delay model starts nothing
later when something is free sooner. Only schedules that none dominates are kept, and of these only those that a bound
leaves a chance against the best decision known (the incumbent).

Differences that cannot matter are levelled first, so that more schedules are comparable:

- A core that is free before any input can arrive counts as free when the first one can.
- A core that is free too late for any task to be complete before the incumbent is counts as free when the incumbent is
  complete, and so does one that no task is left for: of m tasks, none needs more than the m first cores of a location.
  No better decision puts a task there, so it does not matter that the time may be less than the true one.
- A makespan below a lower bound of the result counts as that bound.

The frontier is searched in passes. A pass keeps at most ``width`` schedules of each number of tasks, those of the least
weighted sum of all times; a pass that had to drop none proves its result, and otherwise the next one is wider and
starts from a better incumbent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import inlined, kernel
from offload_gym.delay import (
    COST,
    MAKESPAN,
    MEAN,
    PATH,
    RETURN,
    RUN,
    SEND,
    accumulate,
    energy_price,
    is_priced,
    latest_completion,
    take_sorted,
    try_sorted,
)
from offload_gym.solvers.bounds import MOST_TABULATED, TOLERANCE, least_prices, least_sum, tabulate_sums
from offload_gym.solvers.stopping import is_stopped

FIRST_WIDTH = 64
WIDENING = 4
WEIGHT_ROUNDS = 8
# Columns of a state; the cores of all locations follow. States differ most in the radio, so it is compared first.
RADIO, VALUE, PRICE, FIRST_CORE = range(4)


class Root(NamedTuple):
    """The schedule that a search starts from."""

    first: int  # the task that comes next
    state: NDArray[np.float64]  # (size,)
    core_at: NDArray[np.int64]  # (K + 1,) the cores of location k are columns core_at[k], ..., core_at[k + 1] - 1


class Limits(NamedTuple):
    """What a pass gives schedules up by, and keeps them by."""

    limit_s: float  # a value, with its price, that is no better than the incumbent's
    price_s: NDArray[np.float64]  # (n + 1,) see ``least_prices``
    sums_s: NDArray[np.float64]  # (n + 1, n + 1) see ``tabulate_sums``, for the objective "mean", or empty
    arrival_s: NDArray[np.float64]  # (n + 1, K) see ``_tabulate_arrivals``
    tail_s: NDArray[np.float64]  # (n + 1, K)
    weights: NDArray[np.float64]  # (size,) see ``_weights``


@kernel
def _tabulate_arrivals(times, first, root, core_at, limit_s, arrival_s, tail_s):
    """Fill ``arrival_s`` (n + 1, K) and ``tail_s`` (n + 1, K) for the tasks from i on that can still be at k.

    Send and path time of the input that arrives first, and run and return time of the task for which they are least;
    infinite where no such task can be complete at k before ``limit_s``.
    """
    n, num_locations = times.shape[:2]
    for k in range(num_locations):
        arrival_s[n, k] = tail_s[n, k] = np.inf
    for i in range(n - 1, first - 1, -1):
        for k in range(num_locations):
            arrival_s[i, k], tail_s[i, k] = arrival_s[i + 1, k], tail_s[i + 1, k]
            _, _, completion_s = try_sorted(times, i, k, root[RADIO], root[core_at[k]])
            if completion_s < limit_s:
                arrival_s[i, k] = min(arrival_s[i, k], times[i, k, SEND] + times[i, k, PATH])
                tail_s[i, k] = min(tail_s[i, k], times[i, k, RUN] + times[i, k, RETURN])


@kernel
def _can_beat(times, i, state, core_at, limit_s, objective, sums_s):
    """Whether the bounds leave a state whose next task is ``i`` a completion that is better than ``limit_s``."""
    n, num_locations = times.shape[:2]
    value_s = state[VALUE]
    # "mean" has a table, unless there are too many tasks.
    if len(sums_s) > 0 and value_s + least_sum(sums_s, i, n - i, state[RADIO], state[FIRST_CORE]) >= limit_s:
        return False
    for j in range(i, n):
        soonest_s = np.inf
        for k in range(num_locations):
            _, _, completion_s = try_sorted(times, j, k, state[RADIO], state[core_at[k]])
            soonest_s = min(soonest_s, completion_s)
        value_s = accumulate(objective, value_s, soonest_s)
        if value_s >= limit_s:
            return False
    return True


@kernel
def _dominated(states, kept, child):
    """Whether one of the ``kept`` states dominates ``child``; the last ones are most like it, so they come first."""
    for s in range(kept - 1, -1, -1):
        dominates = True
        for column in range(len(child)):
            if states[s, column] > child[column]:
                dominates = False
                break
        if dominates:
            return True
    return False


@inlined
def _level(state, core_at, tasks_left, arrival_s, tail_s, left_s, limit_s, weights):
    """Level the cores of a state whose next tasks have the least times ``arrival_s`` and ``tail_s`` (K,).

    A task that is complete from ``left_s`` on makes the state worthless; a core that is free from ``limit_s`` on is of
    no use to any state. Returns the weighted sum of radio and cores.
    """
    total = weights[RADIO] * state[RADIO]
    for k in range(len(arrival_s)):
        # Less by a rounding error, so that a levelled core never delays a task.
        sooner_s = (state[RADIO] + arrival_s[k]) * TOLERANCE if k > 0 else 0.0
        for c in range(core_at[k], core_at[k + 1]):
            core_s = max(state[c], sooner_s)
            if core_s + tail_s[k] >= left_s or c >= core_at[k] + tasks_left:
                core_s = limit_s
            state[c] = core_s
            total += weights[c] * core_s
    return total


@kernel
def _resource_weights(times, first, room_s, weights):
    """Fill ``weights`` (K + 1,) of locations and radio: the weighted work of the tasks is large against the room.

    ``room_s`` (K + 1,) is the time of the resources that the tasks from ``first`` on may take. By the method of
    multiplicative weights.
    """
    n, num_locations = times.shape[:2]
    share = np.full(num_locations + 1, 1.0 / (num_locations + 1))
    price = np.empty(num_locations + 1)
    load_s = np.empty(num_locations + 1)
    best = -1.0
    for _ in range(WEIGHT_ROUNDS):
        for r in range(num_locations + 1):
            price[r] = share[r] / max(room_s[r], 1e-12)
        for r in range(num_locations + 1):
            load_s[r] = 0.0
        work = 0.0
        for j in range(first, n):
            cheapest, chosen = np.inf, 0
            for k in range(num_locations):
                cost = price[k] * times[j, k, RUN] + price[num_locations] * times[j, k, SEND]
                if cost < cheapest:
                    cheapest, chosen = cost, k
            work += cheapest
            load_s[chosen] += times[j, chosen, RUN]
            load_s[num_locations] += times[j, chosen, SEND]
        if work > best:
            best = work
            for r in range(num_locations + 1):
                weights[r] = price[r]
        total = 0.0
        for r in range(num_locations + 1):
            share[r] *= np.exp(0.7 * min(4.0, load_s[r] / max(room_s[r], 1e-12)))
            total += share[r]
        share /= total


@kernel
def _weights(times, first, root, core_at, best_s):
    """(size,) weights of radio and cores in the sum that says which states a pass keeps.

    Those of a relaxation that takes each resource as one pool of time: a state with a small weighted sum has used
    little of what is scarce.
    """
    num_locations = len(core_at) - 1
    room_s, price = np.empty(num_locations + 1), np.empty(num_locations + 1)
    room_s[num_locations] = best_s - root[RADIO]
    for k in range(num_locations):
        room_s[k] = 0.0
        for c in range(core_at[k], core_at[k + 1]):
            room_s[k] += max(0.0, best_s - (max(root[c], root[RADIO]) if k > 0 else root[c]))
    _resource_weights(times, first, room_s, price)
    total = price[num_locations]
    for k in range(num_locations):
        total += price[k] * (core_at[k + 1] - core_at[k])
    weights = np.zeros(len(root))
    weights[RADIO] = price[num_locations] / total
    for k in range(num_locations):
        # A little more, so that a state that another one dominates never comes before it.
        for c in range(core_at[k], core_at[k + 1]):
            weights[c] = price[k] / total + 1e-3 / len(root)
    return weights


@inlined
def pareto_search(problem, best, best_s, start, objective, budget, width):
    """Improve the decision ``best`` (n,), of value ``best_s``, of independent tasks in place behind ``start``.

    The first pass keeps ``width`` schedules of each number of tasks. Returns the best value, the number of partial
    schedules made, and whether it is proven that no decision is better.
    """
    times, first = problem.times, start.first
    n, num_locations = times.shape[:2]
    root = _root(start)
    state, core_at = root.state, root.core_at
    price_s = least_prices(problem, first) if is_priced(objective) else np.zeros(n + 1)
    sums_s = np.empty((0, 0))
    if objective == MEAN and n <= MOST_TABULATED:
        sums_s = np.empty((n + 1, n + 1))
        tabulate_sums(times, first, core_at[1] == core_at[0] + 1, sums_s)
    elif objective in (MAKESPAN, COST):  # a makespan below this one makes no difference
        for j in range(first, n):
            soonest_s = np.inf
            for k in range(num_locations):
                _, _, completion_s = try_sorted(times, j, k, start.radio_s, state[core_at[k]])
                soonest_s = min(soonest_s, completion_s)
            state[VALUE] = max(state[VALUE], soonest_s)
    arrival_s, tail_s = np.empty((n + 1, num_locations)), np.empty((n + 1, num_locations))
    nodes = 1
    while True:
        limit_s = best_s * TOLERANCE
        if not _can_beat(times, first, state, core_at, limit_s - price_s[first], objective, sums_s):
            return best_s, nodes, True
        width = min(width, (budget.max_nodes - nodes) // (num_locations * (n - first)))
        if width < 1 or budget.stop[0]:
            return best_s, nodes, False
        left_s = latest_completion(objective, limit_s - price_s[first], state[VALUE])
        _tabulate_arrivals(times, first, state, core_at, left_s, arrival_s, tail_s)
        weights = _weights(times, first, state, core_at, latest_completion(objective, best_s, 0.0))
        limits = Limits(limit_s, price_s, sums_s, arrival_s, tail_s, weights)
        best_s, made, complete = _pass(problem, best, best_s, root, objective, limits, budget, width)
        nodes += made
        if complete:
            return best_s, nodes, True
        width *= WIDENING


@kernel
def _root(start):
    """A ``Start`` as the state that the search starts from."""
    num_locations, max_cores = start.core_s.shape
    core_at = np.empty(num_locations + 1, dtype=np.int64)
    core_at[0] = FIRST_CORE
    for k in range(num_locations):
        cores = 0
        for m in range(max_cores):
            cores += start.core_s[k, m] < np.inf
        core_at[k + 1] = core_at[k] + cores
    state = np.empty(core_at[num_locations])
    state[VALUE], state[PRICE], state[RADIO] = start.value_s, 0.0, start.radio_s
    for k in range(num_locations):
        for m in range(max_cores):  # by insertion: of few numbers, and numba takes long to compile a sort
            c = core_at[k] + m
            if c < core_at[k + 1]:
                state[c] = np.inf
            core_s = start.core_s[k, m]
            for place in range(core_at[k], min(c + 1, core_at[k + 1])):
                if core_s < state[place]:
                    state[place], core_s = core_s, state[place]
    return Root(start.first, state, core_at)


@kernel
def _pass(problem, best, best_s, root, objective, limits, budget, width):
    """One pass over the frontier; returns the best value, the number of schedules made, and whether none was dropped.

    ``best`` is improved in place.
    """
    times, first, core_at = problem.times, root.first, root.core_at
    limit_s, price_s, sums_s, arrival_s, tail_s, weights = limits
    latest_s = latest_completion(objective, limit_s, 0.0)  # no completion of a better schedule is later
    n, num_locations = times.shape[:2]
    size, bound_steps = len(root.state), n * num_locations
    states, new_states = np.empty((width, size)), np.empty((width, size))
    children = np.empty((width * num_locations, size))
    key = np.empty(width * num_locations)
    origin = np.empty((width * num_locations, 2), dtype=np.int32)
    trail = np.empty((n - first, width, 2), dtype=np.int32)  # the state that each one kept extends, and the location
    for c in range(size):
        states[0, c] = root.state[c]
    kept, nodes, complete = 1, 0, True
    for i in range(first, n):
        made = 0
        for s in range(kept):
            if is_stopped(budget, num_locations * size):
                return best_s, nodes, False
            state = states[s]
            for k in range(num_locations):
                nodes += 1
                radio_s, finish_s, completion_s = try_sorted(times, i, k, state[RADIO], state[core_at[k]])
                value_s = accumulate(objective, state[VALUE], completion_s)
                paid_s = state[PRICE] + (energy_price(problem, best, i, k) if is_priced(objective) else 0.0)
                if value_s + paid_s + price_s[i + 1] >= limit_s:
                    continue
                child = children[made]
                child[RADIO], child[VALUE], child[PRICE] = radio_s, value_s, paid_s
                if i + 1 < n:
                    for c in range(FIRST_CORE, size):
                        child[c] = state[c]
                    take_sorted(child, core_at[k], core_at[k + 1], finish_s)
                    left_s = latest_completion(objective, limit_s - (paid_s + price_s[i + 1]), value_s)
                    used_s = _level(
                        child, core_at, n - i - 1, arrival_s[i + 1], tail_s[i + 1], left_s, latest_s, weights
                    )
                    key[made] = value_s + paid_s + used_s
                origin[made, 0], origin[made, 1] = s, k
                made += 1
        if i + 1 == n:
            break
        kept = 0
        for c in np.argsort(key[:made]):
            child = children[c]
            if is_stopped(budget, 4 * kept + bound_steps):  # the states kept come out of memory
                return best_s, nodes, False
            if _dominated(new_states, kept, child):
                continue
            # Bounds of the largest completion cost more time than the schedules they would save.
            if objective == MEAN and not _can_beat(times, i + 1, child, core_at, limit_s, objective, sums_s):
                continue
            if kept == width:
                complete = False
                break
            for column in range(size):
                new_states[kept, column] = child[column]
            trail[i - first, kept, 0], trail[i - first, kept, 1] = origin[c, 0], origin[c, 1]
            kept += 1
        states, new_states = new_states, states
    chosen = -1
    for c in range(made):
        if children[c, VALUE] + children[c, PRICE] < best_s:
            best_s, chosen = children[c, VALUE] + children[c, PRICE], c
    if chosen >= 0:
        s, best[n - 1] = origin[chosen, 0], origin[chosen, 1]
        for j in range(n - 2, first - 1, -1):
            best[j] = trail[j - first, s, 1]
            s = trail[j - first, s, 0]
    return best_s, nodes, complete
