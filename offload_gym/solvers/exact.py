"""Exact decisions by depth-first branch and bound, with proof.

Tasks are placed in index order, so a node of the tree is a schedule of the first tasks. A node is cut when no
completion of it can be better than the best decision known (the incumbent). Bounds for both objectives start from what
each remaining task would cost if it were placed next: radio and cores are only ever busier later. On top of that:

- makespan: to finish all remaining tasks before the incumbent's latency T, the work put on each resource (the radio,
  and each location's cores together) must fit between the resource's free time and T. With any weights >= 0 on
  the resources, the cheapest weighted work of the remaining tasks must fit the weighted room (a Lagrangian relaxation
  of the choice). The weights come from a multiplicative-weights method at the root; their sums over the remaining
  tasks are tabulated, so that the test costs a node a few operations. A core that is busy beyond T has no room, not
  negative room.
- mean: if r of the remaining tasks go through the radio and the others run on the device, each send delays all later
  sends and, on a device with a single core, each run all later runs. The least sum of completions for each r does not
  depend on the node but for the two free times, so it is tabulated too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offload_gym.delay import (
    MAKESPAN,
    MEAN,
    PATH,
    RETURN,
    RUN,
    SEND,
    all_stage_times,
    latency,
    objective_code,
    place,
    start_schedule,
)
from offload_gym.instances import Instances, check_count
from offload_gym.solvers.greedy import complete_greedily
from offload_gym.solvers.local_search import improve

# A node is cut when its bound is within this factor of the incumbent, so that rounding never keeps equals alive.
TOLERANCE = 1.0 - 1e-12
WEIGHT_ROUNDS = 24
UNLIMITED = np.iinfo(np.int64).max


class _Bounds(NamedTuple):
    """Tables over the remaining tasks ``i, ..., n - 1``, for i = 0..n."""

    first_arrival_s: NDArray  # (n + 1, K) least send + path: nothing arrives sooner after the radio is free
    least_return_s: NDArray  # (n + 1, K)
    least_after_send_s: NDArray  # (n + 1,) least path + run + return of a remote placement
    weights: NDArray  # (sets, K + 1) weight of each location's cores, and of the radio (last)
    weighted_work: NDArray  # (sets, n + 1) cheapest weighted work of the remaining tasks
    sum_by_remote_s: NDArray  # (n + 1, n + 1) least sum of completions with r remote tasks, free times taken as 0


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
def _tabulate(times, first, radio_s, free_s, objective, incumbent, incumbent_s, num_sets):
    """The ``_Bounds`` of the subtree below a schedule of the tasks before ``first``."""
    n, num_locations = times.shape[:2]
    allowed = np.ones((n, num_locations), dtype=np.bool_)
    if objective == MAKESPAN:
        for j in range(first, n):
            for k in range(num_locations):
                allowed[j, k] = place(times[j, k], k, 0.0, radio_s, free_s[k])[4] < incumbent_s
    tables = _Bounds(
        np.full((n + 1, num_locations), np.inf),
        np.full((n + 1, num_locations), np.inf),
        np.full(n + 1, np.inf),
        np.zeros((num_sets, num_locations + 1)),
        np.zeros((num_sets, n + 1)),
        np.full((n + 1, n + 1), np.inf),
    )
    for i in range(n - 1, first - 1, -1):
        tables.least_after_send_s[i] = tables.least_after_send_s[i + 1]
        for k in range(num_locations):
            tables.first_arrival_s[i, k] = tables.first_arrival_s[i + 1, k]
            tables.least_return_s[i, k] = tables.least_return_s[i + 1, k]
            if allowed[i, k]:
                arrival_s = times[i, k, SEND] + times[i, k, PATH]
                tables.first_arrival_s[i, k] = min(tables.first_arrival_s[i, k], arrival_s)
                tables.least_return_s[i, k] = min(tables.least_return_s[i, k], times[i, k, RETURN])
                if k > 0:
                    after_s = times[i, k, PATH] + times[i, k, RUN] + times[i, k, RETURN]
                    tables.least_after_send_s[i] = min(tables.least_after_send_s[i], after_s)
    if objective == MAKESPAN:
        _tabulate_weighted_work(times, allowed, first, radio_s, free_s, incumbent, incumbent_s, tables)
    else:
        _tabulate_sums(times, first, free_s, tables.sum_by_remote_s)
    return tables


@njit(cache=True, nogil=True)
def _tabulate_weighted_work(times, allowed, first, radio_s, free_s, incumbent, incumbent_s, tables):
    """One set of weights for the root and further ones for nodes along the incumbent: deeper nodes have other needs."""
    n, num_locations = allowed.shape
    num_sets = len(tables.weights)
    room_s = np.empty(num_locations + 1)
    free_s = free_s.copy()
    depth = first
    for chosen in range(num_sets):
        start = first + chosen * (n - first) // (num_sets + 1)
        while depth < start:
            k = incumbent[depth]
            radio_s, core, _, finish_s, _ = place(times[depth, k], k, 0.0, radio_s, free_s[k])
            free_s[k, core] = finish_s
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
def _can_beat(times, tables, i, limit_s, radio_s, free_s, value_s, objective, room_s):
    """Whether the bounds leave room for a completion of this node that is better than ``limit_s``.

    ``value_s`` is the largest completion so far, or their sum; ``limit_s`` is in the same terms.
    """
    n, num_locations = times.shape[:2]
    if objective == MAKESPAN:
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
    for k in range(num_locations):
        room_s[k] = free_s[k].min()
    for j in range(i, n):
        soonest_s = np.inf
        for k in range(num_locations):
            ready_s = 0.0 if k == 0 else radio_s + times[j, k, SEND] + times[j, k, PATH]
            soonest_s = min(soonest_s, max(ready_s, room_s[k]) + times[j, k, RUN] + times[j, k, RETURN])
        value_s = max(value_s, soonest_s) if objective == MAKESPAN else value_s + soonest_s
        if value_s >= limit_s * TOLERANCE:
            return False
    return True


@njit(cache=True, nogil=True)
def search(times, first, radio_s, free_s, value_s, objective, max_nodes, best, best_s):
    """Branch and bound below a schedule of the tasks before ``first``.

    Args:
        times: (n, K, 4) stage times.
        first: first task to place.
        radio_s: when the radio is free.
        free_s: (K, max_cores) when each core is; restored before the return.
        value_s: largest completion of the tasks before ``first`` (makespan), or the sum of their completions (mean).
        objective: code of the objective.
        max_nodes: stop after as many nodes.
        best: (n,) decision to improve in place, whose entries from ``first`` on are valid.
        best_s: its value, in the terms of ``value_s``.

    Returns:
        The best value, the number of nodes, and a value that no decision can be below.
    """
    n, num_locations = times.shape[:2]
    if first == n:
        return best_s, 0, best_s
    num_sets = 1 if n - first < 7 else 3
    tables = _tabulate(times, first, radio_s, free_s, objective, best, best_s, num_sets)
    room_s = np.empty(num_locations + 1)
    if not _can_beat(times, tables, first, best_s, radio_s, free_s, value_s, objective, room_s):
        return best_s, 1, best_s
    root_radio_s = radio_s
    root_value_s = value_s
    root_s = best_s
    # The stack: per depth, the children in the order to try them, and what undoes the one in force.
    order = np.empty((n, num_locations), dtype=np.int64)
    child_s = np.empty((n, num_locations))
    position = np.zeros(n, dtype=np.int64)
    radio_before = np.empty(n)
    value_before = np.empty(n)
    core_changed = np.zeros(n, dtype=np.int64)
    free_before = np.empty(n)
    current = best.copy()
    nodes = 1
    depth = first
    fresh = True
    while depth >= first:
        if fresh:  # entered from above: rank the children by their completion
            for k in range(num_locations):
                completion_s = place(times[depth, k], k, 0.0, radio_s, free_s[k])[4]
                child_s[depth, k] = completion_s
                rank = k
                while rank > 0 and child_s[depth, order[depth, rank - 1]] > completion_s:
                    order[depth, rank] = order[depth, rank - 1]
                    rank -= 1
                order[depth, rank] = k
            position[depth] = 0
            radio_before[depth] = radio_s
            value_before[depth] = value_s
            fresh = False
        else:  # came back: take the child in force out again
            k = current[depth]
            free_s[k, core_changed[depth]] = free_before[depth]
            radio_s = radio_before[depth]
            value_s = value_before[depth]
        if position[depth] == num_locations or nodes >= max_nodes:
            depth -= 1
            continue
        k = order[depth, position[depth]]
        position[depth] += 1
        current[depth] = k
        sent_s, core, _, finish_s, completion_s = place(times[depth, k], k, 0.0, radio_s, free_s[k])
        core_changed[depth] = core
        free_before[depth] = free_s[k, core]
        free_s[k, core] = finish_s
        radio_s = sent_s
        value_s = max(value_s, completion_s) if objective == MAKESPAN else value_s + completion_s
        nodes += 1
        if value_s >= best_s * TOLERANCE:
            continue
        if depth == n - 1:
            best_s = value_s
            best[first:] = current[first:]
        elif _can_beat(times, tables, depth + 1, best_s, radio_s, free_s, value_s, objective, room_s):
            depth += 1
            fresh = True
    if nodes < max_nodes:
        return best_s, nodes, best_s
    # Cut short: the largest value that the root's bounds exclude, by bisection.
    low_s, high_s = 0.0, best_s
    for _ in range(50):
        middle_s = 0.5 * (low_s + high_s)
        if _can_beat(times, tables, first, middle_s, root_radio_s, free_s, root_value_s, objective, room_s):
            high_s = middle_s
        else:
            low_s = middle_s
    return best_s, nodes, min(low_s, root_s)


@njit(cache=True, nogil=True)
def solve_one(times, first, radio_s, free_s, value_s, objective, max_nodes, decision):
    """``search`` from greedy completion improved by one-flip local search; fills ``decision`` from ``first`` on."""
    n = len(times)
    start_s = free_s.copy()
    largest_s, total_s = complete_greedily(times, first, radio_s, free_s, decision)
    free_s[:] = start_s
    best_s = max(value_s, largest_s) if objective == MAKESPAN else value_s + total_s
    rest = decision[first:]
    if n - first > 1:
        improved_s = improve(times[first:], rest, objective, radio_s, start_s, free_s)
        best_s = max(value_s, improved_s) if objective == MAKESPAN else value_s + improved_s * (n - first)
        free_s[:] = start_s
    return search(times, first, radio_s, free_s, value_s, objective, max_nodes, decision, best_s)


@njit(cache=True, nogil=True)
def exact_kernel(
    tasks, locations, backlog_s, radio_backlog_s, max_cores, objective, max_nodes, decisions, bound_s, optimal, nodes
):
    """Fill ``decisions`` (B, n), ``bound_s``, ``optimal`` and ``nodes`` (B,)."""
    n, num_locations = tasks.shape[1], locations.shape[1]
    times = np.empty((n, num_locations, 4))
    free_s = np.empty((num_locations, max_cores))
    for b in range(len(tasks)):
        all_stage_times(tasks[b], locations[b], times)
        start_schedule(locations[b], backlog_s[b], free_s)
        value_s, nodes[b], low_s = solve_one(
            times, 0, radio_backlog_s[b], free_s, 0.0, objective, max_nodes, decisions[b]
        )
        optimal[b] = low_s >= value_s
        bound_s[b] = low_s / n if objective == MEAN else low_s


class Solutions(NamedTuple):
    """Result of ``solve`` for B instances of n tasks."""

    decisions: NDArray[np.int64]  # (B, n)
    latency_s: NDArray[np.float64]  # (B,) latency of the decisions in seconds
    lower_bound_s: NDArray[np.float64]  # (B,) no decision is below it; equal to latency_s where proven optimal
    optimal: NDArray[np.bool_]  # (B,) whether optimality is proven
    nodes: NDArray[np.int64]  # (B,) nodes of the search tree


def solve(
    instances: Instances, objective: str = "makespan", max_nodes: int | None = None, num_threads: int | None = None
) -> Solutions:
    """Optimal decisions by branch and bound.

    Args:
        instances: B instances of n tasks and K locations.
        objective: "makespan" or "mean".
        max_nodes: bound on the nodes searched for each instance; None searches until optimality is proven. An
            instance that reaches it keeps the best decision found, and ``optimal`` is False.
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
            *(array[rows] for array in instances.arrays),
            instances.max_cores,
            code,
            UNLIMITED if max_nodes is None else max_nodes,
            decisions[rows],
            bound_s[rows],
            optimal[rows],
            nodes[rows],
        )

    for_each_chunk(work, size, num_threads, chunk=64)
    # From the decisions, so that it is to the last bit what latency() says of them.
    latency_s = latency(instances, decisions, objective)
    return Solutions(decisions, latency_s, np.where(optimal, latency_s, bound_s), optimal, nodes)


def for_each_chunk(work: Callable[[slice], None], size: int, num_threads: int | None, chunk: int) -> None:
    """Call ``work(rows)`` for slices that cover range(size), on threads: the kernels release the interpreter lock."""
    slices = [slice(start, min(start + chunk, size)) for start in range(0, size, chunk)]
    workers = min(num_threads or os.cpu_count() or 1, len(slices))
    if workers == 1:
        for rows in slices:
            work(rows)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(work, slices):
            pass
