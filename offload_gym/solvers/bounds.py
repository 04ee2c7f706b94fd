"""Bounds: what no decision can be below.

- Critical path, of a partial schedule: the soonest finish of each remaining task at each location, as if only its
  parents came before it; radio and cores are only ever busier later.
- Price of energy: each remaining task's least one.
- Queues, of the sum of completions of independent tasks: each send delays all later ones, and each run on the device
  all later runs there, if it has a single core. The least sum depends on how many tasks are remote, task by task a
  dynamic program over their number.
- Pools of time, of a whole instance: to finish all tasks by T, the work put on each resource (the radio, and each
  location's cores together) must fit the room between the resource's free time and T. A core that is busy beyond T has
  no room, not negative room. With any weights >= 0 on the resources, T plus the price of energy is at least
  T + price + weighted work - weighted room (a Lagrangian relaxation), of which each task takes the least it can. As the
  room is convex in T, T - weighted room is least at the least or the largest T that is of interest. The weights come
  from subgradient ascent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import inlined, kernel
from offload_gym.delay import COST, MAKESPAN, MEAN, PATH, RETURN, RUN, SEND, accumulate, is_priced

# A partial schedule is given up when its bound is within this factor of the best decision known, so that rounding
# never keeps equals alive.
TOLERANCE = 1.0 - 1e-12
ASCENT_ROUNDS = 200
MOST_TABULATED = 5_000  # tasks that a table of the queues' sums is made for, of 200 MB
MOST_SUMMED = 20_000  # tasks whose sums are worth their time, some 0.2 s, which grows with the square of their number


class Scratch(NamedTuple):
    """Scratch space of a critical path."""

    first_free_s: NDArray[np.float64]  # (K,) when each location's first core is free
    soonest_s: NDArray[np.float64]  # (n, K) the soonest finish of each task at each location


@kernel
def new_scratch(problem):
    """``Scratch`` for a problem."""
    n, num_locations = problem.times.shape[:2]
    return Scratch(np.empty(num_locations), np.empty((n, num_locations)))


@kernel
def first_free(free_s, first_free_s):
    """Fill ``first_free_s`` (K) with when each location's first core is free."""
    for k in range(len(free_s)):
        first_free_s[k] = free_s[k].min()


@inlined
def least_finish(problem, decision, finish_s, j, start, first_free_s, least_s):
    """Fill ``least_s[j]`` (K): task ``j``, not placed, cannot finish sooner at each location.

    Tasks before ``start.first`` are placed; ``least_s`` of those between is known. Data that has still to be sent finds
    the radio free from ``start.radio_s`` at the soonest.
    """
    num_locations = len(first_free_s)
    first, last = problem.edge_start[j], problem.edge_start[j + 1]
    for k in range(num_locations):
        ready_s = 0.0
        if k > 0 and first == last:
            ready_s = start.radio_s + problem.times[j, k, SEND] + problem.times[j, k, PATH]
        for e in range(first, last):
            parent = problem.edge_parent[e]
            soonest_s = np.inf
            for source in range(num_locations):
                if parent < start.first and source != decision[parent]:
                    continue
                arrival_s = finish_s[parent] if parent < start.first else least_s[parent, source]
                if source == 0 and k > 0:
                    arrival_s = max(arrival_s, start.radio_s) + problem.moves[e, source, k, SEND]
                soonest_s = min(soonest_s, arrival_s + problem.moves[e, source, k, PATH])
            ready_s = max(ready_s, soonest_s)
        least_s[j, k] = max(ready_s, first_free_s[k]) + problem.times[j, k, RUN]


@kernel
def critical_path(problem, decision, finish_s, start, scratch):
    """What the tasks behind ``start`` cannot be below: their largest completion, and the sum of their completions.

    ``decision`` and ``finish_s`` (n,) hold the tasks before it.
    """
    first_free(start.core_s, scratch.first_free_s)
    largest_s = total_s = 0.0
    for j in range(start.first, len(problem.times)):
        least_s = _least_completion(problem, decision, finish_s, j, start, scratch)
        largest_s = max(largest_s, least_s)
        total_s += least_s
    return largest_s, total_s


@inlined
def _least_completion(problem, decision, finish_s, j, start, scratch):
    """The least completion of task ``j``, not placed, wherever it goes; see ``least_finish``."""
    least_finish(problem, decision, finish_s, j, start, scratch.first_free_s, scratch.soonest_s)
    least_s = np.inf
    for k in range(len(scratch.first_free_s)):
        least_s = min(least_s, scratch.soonest_s[j, k] + problem.times[j, k, RETURN])
    return least_s


@kernel
def path_can_beat(problem, decision, finish_s, limit_s, start, objective, scratch):
    """Whether the critical path leaves the schedule ``start`` a value, without a price, better than ``limit_s``."""
    first_free(start.core_s, scratch.first_free_s)
    value_s = start.value_s
    for j in range(start.first, len(problem.times)):
        least_s = _least_completion(problem, decision, finish_s, j, start, scratch)
        value_s = accumulate(objective, value_s, least_s)
        if value_s >= limit_s * TOLERANCE:
            return False
    return True


@kernel
def least_prices(problem, first):
    """(n + 1,) least price of the energy of the tasks from i on, in terms of a second of makespan."""
    n, num_locations = problem.times.shape[:2]
    price_s = np.zeros(n + 1)
    for i in range(n - 1, first - 1, -1):
        # Data may already be where a task with parents goes; an entry task's must be sent.
        remote_s = problem.times[i, 1, SEND]
        for k in range(2, num_locations):
            remote_s = min(remote_s, problem.times[i, k, SEND])
        least_s = min(problem.prices[0] * problem.times[i, 0, RUN], problem.prices[1] * remote_s)
        price_s[i] = price_s[i + 1] + least_s
    return price_s


@kernel
def add_sums(times, i, single, after_s, sums_s):
    """Fill ``sums_s`` (n + 1,): least sum of completions of the tasks from ``i`` on if r of them are remote.

    ``after_s`` is that of the tasks behind ``i``, which may be the same array. The free times of radio and device are
    taken as 0. Each send delays all later sends, and each run on the device all later runs there where its CPU has a
    ``single`` core.
    """
    n, num_locations = times.shape[:2]
    remote_s = send_s = np.inf
    for k in range(1, num_locations):
        remote_s = min(remote_s, times[i, k, PATH] + times[i, k, RUN] + times[i, k, RETURN])
        send_s = min(send_s, times[i, k, SEND])
    for r in range(n - i, -1, -1):
        local = n - i - r  # including this task, where it is local
        least_s = np.inf
        if local > 0:
            least_s = after_s[r] + times[i, 0, RUN] * (local if single else 1) + times[i, 0, RETURN]
        if r > 0:
            least_s = min(least_s, after_s[r - 1] + send_s * r + remote_s)
        sums_s[r] = least_s


@kernel
def tabulate_sums(times, first, single, sums_s):
    """Fill ``sums_s`` (n + 1, n + 1) with the sums of ``add_sums`` of the tasks from each i on."""
    n = len(times)
    sums_s[:] = np.inf
    sums_s[n, 0] = 0.0
    for i in range(n - 1, first - 1, -1):
        add_sums(times, i, single, sums_s[i + 1], sums_s[i])


@kernel
def least_sum(sums_s, row, left, radio_s, device_s):
    """Least sum of completions of the last ``left`` tasks, where the radio and a core of the device are free then.

    Those are in that ``row`` of ``sums_s``.
    """
    least_s = np.inf
    for r in range(left + 1):
        least_s = min(least_s, sums_s[row, r] + r * radio_s + (left - r) * device_s)
    return least_s


@kernel
def _pooled_value(problem, start, run_price, send_price, low_s, high_s, target_s):
    """What makespan and price of energy together cannot be below, where the makespan is from ``low_s`` to ``high_s``.

    The prices are those of a second of run time on the device and of a second of sending. The ascent ends where it
    reaches ``target_s``.
    """
    times = problem.times
    n, num_locations = times.shape[:2]
    arrival_s, return_s = np.full(num_locations, np.inf), np.full(num_locations, np.inf)  # the least of all tasks
    after_send_s = np.inf
    for i in range(n):
        is_entry = problem.edge_start[i] == problem.edge_start[i + 1]
        for k in range(num_locations):
            # A child may find its data at k already, whatever the radio does.
            sent_s = times[i, k, SEND] + times[i, k, PATH] if is_entry else -np.inf
            arrival_s[k] = min(arrival_s[k], sent_s)
            return_s[k] = min(return_s[k], times[i, k, RETURN])
            if k > 0 and is_entry:
                after_send_s = min(after_send_s, times[i, k, PATH] + times[i, k, RUN] + times[i, k, RETURN])
    low_room_s, high_room_s = np.empty(num_locations + 1), np.empty(num_locations + 1)
    _pools(low_s, start, arrival_s, return_s, after_send_s, low_room_s)
    _pools(high_s, start, arrival_s, return_s, after_send_s, high_room_s)
    # Resources with much room are weighted, and their weights are moved, less.
    size = np.maximum(high_room_s / max(high_s, 1e-300), 1e-2)
    weights = 1.0 / (size * (num_locations + 1))
    load_s = np.empty(num_locations + 1)
    best_s, step, stale = -np.inf, 1.0, 0
    for _ in range(ASCENT_ROUNDS):
        load_s[:] = 0.0
        work_s = 0.0
        for i in range(n):
            cheapest_s, chosen = np.inf, 0
            for k in range(num_locations):
                run_s, send_s = times[i, k, RUN], times[i, k, SEND]
                cost_s = weights[k] * run_s + weights[num_locations] * send_s
                cost_s += run_price * run_s if k == 0 else send_price * send_s
                if cost_s < cheapest_s:
                    cheapest_s, chosen = cost_s, k
            work_s += cheapest_s
            load_s[chosen] += times[i, chosen, RUN]
            load_s[num_locations] += times[i, chosen, SEND]
        at_low_s, at_high_s = low_s - (weights * low_room_s).sum(), high_s - (weights * high_room_s).sum()
        room_s = low_room_s if at_low_s < at_high_s else high_room_s
        value_s = work_s + min(at_low_s, at_high_s)
        value_s -= (1.0 - TOLERANCE) * (work_s + (weights * room_s).sum())  # what rounding may have added
        if value_s > best_s:
            best_s, stale = value_s, 0
        else:
            stale += 1
            if stale == 8:
                step, stale = 0.7 * step, 0
        slope = (load_s - room_s) / size
        steepness = (slope**2).sum()
        if best_s >= target_s or steepness == 0.0:
            break
        # Towards a little more than the target, which need not be in reach.
        weights = np.maximum(0.0, weights + step * (1.02 * target_s - value_s) / steepness * slope / size)
    return best_s


@kernel
def _pools(limit_s, start, arrival_s, return_s, after_send_s, room_s):
    """Fill ``room_s`` (K + 1,) with the time of cores and radio until ``limit_s``."""
    num_locations, max_cores = start.core_s.shape
    for k in range(num_locations):
        first_s = 0.0 if k == 0 else start.radio_s + arrival_s[k]
        room_s[k] = 0.0
        for m in range(max_cores):
            room_s[k] += max(0.0, limit_s - return_s[k] - max(first_s, start.core_s[k, m]))
    room_s[num_locations] = max(0.0, limit_s - after_send_s - start.radio_s)


@kernel
def lower_bound(problem, start, objective, high_s):
    """A value, up to ``high_s``, that no decision of a whole instance is below, in the terms of ``evaluate``."""
    no_decision, no_finish_s = np.empty(0, dtype=np.int64), np.empty(0)
    scratch = new_scratch(problem)
    largest_s, total_s = critical_path(problem, no_decision, no_finish_s, start, scratch)
    if objective == MEAN:
        n = len(problem.times)
        if len(problem.edge_parent) == 0 and n <= MOST_SUMMED:
            sums_s, single = np.full((1, n + 1), np.inf), (start.core_s[0] < np.inf).sum() == 1
            sums_s[0, 0] = 0.0
            for i in range(n - 1, -1, -1):
                add_sums(problem.times, i, single, sums_s[0], sums_s[0])
            total_s = max(total_s, least_sum(sums_s, 0, n, start.radio_s, scratch.first_free_s[0]))
        return min(total_s, high_s)
    if objective not in (MAKESPAN, COST):
        return 0.0
    price_s = run_price = send_price = 0.0
    if is_priced(objective):
        price_s = least_prices(problem, 0)[0]
        run_price, send_price = problem.prices
    pooled_s = _pooled_value(problem, start, run_price, send_price, largest_s, max(largest_s, high_s - price_s), high_s)
    return min(max(largest_s + price_s, pooled_s), high_s)
