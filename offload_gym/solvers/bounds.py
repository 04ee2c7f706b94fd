"""Bounds of the branch and bound: what any completion of a partial schedule costs at least.

All objectives start from the soonest finish of each remaining task at each location, as if only its parents came
before it: radio and cores are only ever busier later. Along the dependencies this is a critical path. On top of that:

- makespan: to finish all remaining tasks before a limit T, the work put on each resource (the radio, and each
  location's cores together) must fit between the resource's free time and T. With any weights >= 0 on the
  resources, the cheapest weighted work of the remaining tasks must fit the weighted room (a Lagrangian relaxation of
  the choice). The weights come from a multiplicative-weights method at the root and at two nodes along the incumbent;
  their sums over the remaining tasks are tabulated, so that the test costs a node a few operations. A core that is busy
  beyond T has no room, not negative room.
- mean, independent tasks: if r of the remaining tasks go through the radio and the others run on the device, each send
  delays all later sends and, on a device with a single core, each run all later runs. The least sum of completions for
  each r does not depend on the node but for the two free times, so it is tabulated too.

The objective "cost" is the makespan plus the price of energy: its bounds are those of the makespan, below a limit from
which the price so far and the least price of each remaining task are taken.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offload_gym.delay import COST, MEAN, PATH, RETURN, RUN, SEND, place

# A node is cut when its bound is within this factor of the incumbent, so that rounding never keeps equals alive.
TOLERANCE = 1.0 - 1e-12
WEIGHT_ROUNDS = 24


class Bounds(NamedTuple):
    """Tables over the remaining tasks ``i, ..., n - 1``, for i = 0..n."""

    first_arrival_s: NDArray  # (n + 1, K) least send + path: no input arrives sooner after the radio is free
    least_return_s: NDArray  # (n + 1, K)
    least_after_send_s: NDArray  # (n + 1,) least path + run + return after an input was sent
    weights: NDArray  # (sets, K + 1) weight of each location's cores, and of the radio (last)
    weighted_work: NDArray  # (sets, n + 1) cheapest weighted work of the remaining tasks
    sum_by_remote_s: NDArray  # (n + 1, n + 1) least sum of completions with r remote tasks, free times taken as 0
    least_price_s: NDArray  # (n + 1,) least price of the energy of the remaining tasks
    least_finish_s: NDArray  # (n, K) scratch space: what each remaining task can finish at, at the soonest


@njit(cache=True, nogil=True)
def _room(tables, i, limit_s, radio_s, free_s, room_s):
    """Fill ``room_s`` (K + 1) with the time that cores and radio have until ``limit_s`` for tasks ``i`` and later."""
    num_locations, max_cores = free_s.shape
    for k in range(num_locations):
        last_s = limit_s - tables.least_return_s[i, k]
        first_s = 0.0 if k == 0 else radio_s + tables.first_arrival_s[i, k]
        room = 0.0
        for m in range(max_cores):
            room += max(0.0, last_s - max(first_s, free_s[k, m]))
        room_s[k] = room
    room_s[num_locations] = max(0.0, limit_s - tables.least_after_send_s[i] - radio_s)


@njit(cache=True, nogil=True)
def _find_weights(times, allowed, first, room_s, weights):
    """Fill ``weights`` (K + 1) so that the weighted work of the tasks from ``first`` on is large against the room."""
    n, num_locations = allowed.shape
    share = np.full(num_locations + 1, 1.0 / (num_locations + 1))
    price = np.empty(num_locations + 1)
    load = np.empty(num_locations + 1)
    best = -1.0
    for _ in range(WEIGHT_ROUNDS):
        for r in range(num_locations + 1):
            price[r] = share[r] / max(room_s[r], 1e-12)
        load[:] = 0.0
        work = 0.0
        for j in range(first, n):
            cheapest = np.inf
            cheapest_k = 0
            for k in range(num_locations):
                if allowed[j, k]:
                    cost = price[k] * times[j, k, RUN] + price[num_locations] * times[j, k, SEND]
                    if cost < cheapest:
                        cheapest = cost
                        cheapest_k = k
            work += cheapest
            load[cheapest_k] += times[j, cheapest_k, RUN]
            load[num_locations] += times[j, cheapest_k, SEND]
        if work > best:
            best = work
            weights[:] = price
        total = 0.0
        for r in range(num_locations + 1):
            share[r] *= np.exp(0.7 * min(4.0, load[r] / max(room_s[r], 1e-12)))
            total += share[r]
        share /= total


@njit(cache=True, nogil=True)
def _first_free(free_s, first_free_s):
    """Fill ``first_free_s`` (K) with when each location's first core is free."""
    for k in range(len(free_s)):
        first_free_s[k] = free_s[k].min()


@njit(cache=True, nogil=True)
def _least_finish(problem, j, i, radio_s, first_free_s, decision, finish_s, least_s):
    """Fill ``least_s[j]`` (K): task ``j``, not placed, cannot finish sooner at each location.

    Tasks before ``i`` are placed; ``least_s`` of those between is known. Data that has still to be sent finds the radio
    free from ``radio_s`` at the soonest.
    """
    num_locations = len(first_free_s)
    first, last = problem.edge_start[j], problem.edge_start[j + 1]
    for k in range(num_locations):
        ready_s = 0.0
        if k > 0 and first == last:
            ready_s = radio_s + problem.times[j, k, SEND] + problem.times[j, k, PATH]
        for e in range(first, last):
            parent = problem.edge_parent[e]
            soonest_s = np.inf
            for source in range(num_locations):
                if parent < i and source != decision[parent]:
                    continue
                arrival_s = finish_s[parent] if parent < i else least_s[parent, source]
                if source == 0 and k > 0:
                    arrival_s = max(arrival_s, radio_s) + problem.moves[e, source, k, SEND]
                soonest_s = min(soonest_s, arrival_s + problem.moves[e, source, k, PATH])
            ready_s = max(ready_s, soonest_s)
        least_s[j, k] = max(ready_s, first_free_s[k]) + problem.times[j, k, RUN]


@njit(cache=True, nogil=True)
def critical_path(problem, i, radio_s, decision, finish_s, free_s, first_free_s, soonest_s):
    """What the tasks from ``i`` on cannot be below: their largest completion, and the sum of their completions.

    ``first_free_s`` (K,) and ``soonest_s`` (n, K) are scratch space.
    """
    _first_free(free_s, first_free_s)
    largest_s = total_s = 0.0
    for j in range(i, len(problem.times)):
        _least_finish(problem, j, i, radio_s, first_free_s, decision, finish_s, soonest_s)
        least_s = np.inf
        for k in range(len(first_free_s)):
            least_s = min(least_s, soonest_s[j, k] + problem.times[j, k, RETURN])
        largest_s = max(largest_s, least_s)
        total_s += least_s
    return largest_s, total_s


@njit(cache=True, nogil=True)
def tabulate(problem, first, radio_s, finish_s, free_s, objective, incumbent, incumbent_s, num_sets):
    """The tables of the subtree below a schedule of the tasks before ``first``."""
    times, edge_start, edge_parent = problem.times, problem.edge_start, problem.edge_parent
    n, num_locations = times.shape[:2]
    tables = Bounds(
        np.full((n + 1, num_locations), np.inf),
        np.full((n + 1, num_locations), np.inf),
        np.full(n + 1, np.inf),
        np.zeros((num_sets, num_locations + 1)),
        np.zeros((num_sets, n + 1)),
        np.full((n + 1, n + 1), np.inf),
        np.zeros(n + 1),
        np.empty((n, num_locations)),
    )
    if objective == COST:
        for i in range(n - 1, first - 1, -1):
            # Data may already be where a task with parents goes; an entry task's must be sent.
            remote_s = problem.times[i, 1, SEND]
            for k in range(2, num_locations):
                remote_s = min(remote_s, problem.times[i, k, SEND])
            price_s = min(problem.prices[0] * problem.times[i, 0, RUN], problem.prices[1] * remote_s)
            tables.least_price_s[i] = tables.least_price_s[i + 1] + price_s
    incumbent_s -= tables.least_price_s[first]
    allowed = np.ones((n, num_locations), dtype=np.bool_)
    if objective != MEAN:
        first_free_s = np.empty(num_locations)
        _first_free(free_s, first_free_s)
        for j in range(first, n):
            _least_finish(problem, j, first, radio_s, first_free_s, incumbent, finish_s, tables.least_finish_s)
            for k in range(num_locations):
                allowed[j, k] = tables.least_finish_s[j, k] + times[j, k, RETURN] < incumbent_s
    for i in range(n - 1, first - 1, -1):
        is_entry = edge_start[i] == edge_start[i + 1]
        tables.least_after_send_s[i] = tables.least_after_send_s[i + 1]
        for k in range(num_locations):
            tables.first_arrival_s[i, k] = tables.first_arrival_s[i + 1, k]
            tables.least_return_s[i, k] = tables.least_return_s[i + 1, k]
            if allowed[i, k]:
                # A child may find its data at k already, whatever the radio does.
                arrival_s = times[i, k, SEND] + times[i, k, PATH] if is_entry else -np.inf
                tables.first_arrival_s[i, k] = min(tables.first_arrival_s[i, k], arrival_s)
                tables.least_return_s[i, k] = min(tables.least_return_s[i, k], times[i, k, RETURN])
                if k > 0 and is_entry:
                    after_s = times[i, k, PATH] + times[i, k, RUN] + times[i, k, RETURN]
                    tables.least_after_send_s[i] = min(tables.least_after_send_s[i], after_s)
    if objective != MEAN:
        _tabulate_weighted_work(problem, allowed, first, radio_s, finish_s, free_s, incumbent, incumbent_s, tables)
    elif len(edge_parent) == 0:
        _tabulate_sums(times, first, free_s, tables.sum_by_remote_s)
    else:
        tables.sum_by_remote_s[:] = -np.inf  # not known for dependent tasks: excludes nothing
    return tables


@njit(cache=True, nogil=True)
def _tabulate_weighted_work(problem, allowed, first, radio_s, finish_s, free_s, incumbent, incumbent_s, tables):
    """One set of weights for the root and further ones for nodes along the incumbent: deeper nodes have other needs."""
    times = problem.times
    n, num_locations = allowed.shape
    num_sets = len(tables.weights)
    room_s = np.empty(num_locations + 1)
    finish_s = finish_s.copy()
    free_s = free_s.copy()
    depth = first
    for chosen in range(num_sets):
        start = first + chosen * (n - first) // (num_sets + 1)
        while depth < start:
            k = incumbent[depth]
            radio_s, core, _, finish_s[depth], _, _ = place(problem, depth, k, incumbent, finish_s, radio_s, free_s)
            free_s[k, core] = finish_s[depth]
            depth += 1
        _room(tables, depth, incumbent_s, radio_s, free_s, room_s)
        weights = tables.weights[chosen]
        _find_weights(times, allowed, depth, room_s, weights)
        work = tables.weighted_work[chosen]
        for i in range(n - 1, first - 1, -1):
            cheapest = np.inf
            for k in range(num_locations):
                if allowed[i, k]:
                    cost = weights[k] * times[i, k, RUN] + weights[num_locations] * times[i, k, SEND]
                    cheapest = min(cheapest, cost)
            work[i] = work[i + 1] + cheapest


@njit(cache=True, nogil=True)
def _tabulate_sums(times, first, free_s, sums):
    """Fill ``sums`` (n + 1, n + 1): least sum of completions of the tasks from i on if r of them are remote."""
    n, num_locations = times.shape[:2]
    single = np.isinf(free_s[0, 1:]).all()
    sums[n, 0] = 0.0
    for i in range(n - 1, first - 1, -1):
        after_s = np.inf
        for k in range(1, num_locations):
            after_s = min(after_s, times[i, k, PATH] + times[i, k, RUN] + times[i, k, RETURN])
        send_s = np.inf
        for k in range(1, num_locations):
            send_s = min(send_s, times[i, k, SEND])
        for r in range(n - i + 1):
            local = n - i - r  # including this task, where it is local
            if r <= n - i - 1:
                sums[i, r] = sums[i + 1, r] + times[i, 0, RUN] * (local if single else 1)
            if r > 0:
                sums[i, r] = min(sums[i, r], sums[i + 1, r - 1] + send_s * r + after_s)


@njit(cache=True, nogil=True)
def can_beat(problem, tables, i, limit_s, radio_s, decision, finish_s, free_s, value_s, objective, room_s):
    """Whether the bounds leave room for a completion of this node that is better than ``limit_s``.

    ``value_s`` is the largest completion so far, or their sum; ``limit_s`` is in the same terms, under the objective
    "cost" less the price of energy so far.
    """
    limit_s -= tables.least_price_s[i]
    n, num_locations = problem.times.shape[:2]
    if objective != MEAN:
        _room(tables, i, limit_s, radio_s, free_s, room_s)
        for chosen in range(len(tables.weights)):
            room = 0.0
            for r in range(num_locations + 1):
                room += tables.weights[chosen, r] * room_s[r]
            if tables.weighted_work[chosen, i] * TOLERANCE > room:
                return False
    else:
        device_s = free_s[0].min()
        least_s = np.inf
        for r in range(n - i + 1):
            least_s = min(least_s, tables.sum_by_remote_s[i, r] + r * radio_s + (n - i - r) * device_s)
        if value_s + least_s >= limit_s * TOLERANCE:
            return False
    first_free_s = room_s[:num_locations]
    _first_free(free_s, first_free_s)
    for j in range(i, n):
        _least_finish(problem, j, i, radio_s, first_free_s, decision, finish_s, tables.least_finish_s)
        soonest_s = np.inf
        for k in range(num_locations):
            soonest_s = min(soonest_s, tables.least_finish_s[j, k] + problem.times[j, k, RETURN])
        value_s = value_s + soonest_s if objective == MEAN else max(value_s, soonest_s)
        if value_s >= limit_s * TOLERANCE:
            return False
    return True
