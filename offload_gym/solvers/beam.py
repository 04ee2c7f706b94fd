"""Beam search: keep the ``width`` most promising partial schedules, task by task.

A partial schedule's score is its objective so far plus a price on what it has used up: when the radio is free, and when
the cores are free, averaged within each location. The price falls with the share of tasks left, as what is used
now is missing for those. Without a price the beam prefers schedules that are short so far because they spent the radio
first.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offload_gym.delay import (
    COST,
    MEAN,
    energy_price,
    fill_prices,
    new_problem,
    objective_code,
    open_problem,
    place,
    start_schedule,
)
from offload_gym.instances import CORES, Instances, check_count
from offload_gym.solvers.local_search import refine_decision, refinement_code

# Prices of a second of the radio and of a second of a location's mean core, in seconds of the objective, for makespan,
# mean and cost (as for makespan). Chosen on validation instances, n = 8 and 12, by `python -m benchmarks tune-beam`: on
# the scenario "default" for independent tasks, and on "dag" for dependent ones, where the radio may wait for a task and
# its free time says little.
# By objective and then for (independent, dependent) tasks.
RADIO_PRICES = ((5.0, 0.0), (0.1, 0.0), (5.0, 0.0))
CORE_PRICES = ((2.0, 1.0), (0.2, 0.1), (2.0, 1.0))


@njit(cache=True, nogil=True, error_model="numpy")
def _expand(
    problem,
    i,
    objective,
    radio_price,
    core_price,
    cores,
    radio_s,
    value_s,
    price_s,
    finish_s,
    free_s,
    choices,
    children,
    score,
):
    """Fill ``children`` (candidates, 5: radio free, core, finish, value, price of energy) and their ``score``.

    Candidate ``s * K + k`` is state s with task ``i`` at location k. ``cores`` (K,) are numbers of cores.
    """
    num_locations = len(cores)
    for s in range(len(radio_s)):
        used_s = 0.0
        for k in range(num_locations):
            for m in range(int(cores[k])):
                used_s += free_s[s, k, m] / cores[k]
        for k in range(num_locations):
            c = s * num_locations + k
            sent_s, core, _, end_s, completion_s, _ = place(
                problem, i, k, choices[s], finish_s[s], radio_s[s], free_s[s]
            )
            reached_s = value_s[s] + completion_s if objective == MEAN else max(value_s[s], completion_s)
            children[c, 4] = price_s[s]
            if objective == COST:
                children[c, 4] += energy_price(problem, i, k, choices[s])
            added_s = (end_s - free_s[s, k, core]) / cores[k]
            children[c, 0] = sent_s
            children[c, 1] = core
            children[c, 2] = end_s
            children[c, 3] = reached_s
            score[c] = reached_s + children[c, 4] + radio_price * sent_s + core_price * (used_s + added_s)


@njit(cache=True, nogil=True, error_model="numpy")
def beam_kernel(
    tasks, locations, backlog_s, radio_backlog_s, task_counts, edge_start, edge_parent, edge_bits, max_cores,
    power, objective, width, radio_prices, core_prices, refine, decisions,
):  # fmt: skip
    """Fill ``decisions`` (B, n); prices are pairs for instances of independent and of dependent tasks."""
    n, num_locations = tasks.shape[1], locations.shape[1]
    room = new_problem(n, num_locations, edge_parent.shape[1])
    start_s = np.empty((num_locations, max_cores))
    # Two generations of states, read and written in turn.
    free_s = np.empty((2, width, num_locations, max_cores))
    finish_s = np.empty((2, width, n))
    radio_s = np.empty((2, width))
    value_s, price_s = np.empty((2, width)), np.empty((2, width))
    choices = np.empty((2, width, n), dtype=np.int64)
    children = np.empty((width * num_locations, 5))
    score = np.empty(width * num_locations)
    for b in range(len(tasks)):
        problem = open_problem(b, tasks, locations, task_counts, edge_start, edge_parent, edge_bits, room)
        fill_prices(power[b], locations[b], problem)
        count = task_counts[b]
        dependent = 1 if edge_start[b, count] > 0 else 0
        per_value = count if objective == MEAN else 1  # values are sums of completions during the search
        start_schedule(locations[b], backlog_s[b], start_s)
        free_s[0, 0] = start_s
        radio_s[0, 0] = radio_backlog_s[b]
        value_s[0, 0] = price_s[0, 0] = 0.0
        old, kept = 0, 1
        for i in range(count):
            new = 1 - old
            weight = per_value * (count - 1 - i) / count
            _expand(
                problem, i, objective, weight * radio_prices[dependent], weight * core_prices[dependent],
                locations[b, :, CORES], radio_s[old, :kept], value_s[old, :kept], price_s[old, :kept],
                finish_s[old], free_s[old], choices[old], children, score,
            )  # fmt: skip
            candidates = kept * num_locations
            kept = min(width, candidates)
            for rank in range(kept):
                best = score[:candidates].argmin()
                score[best] = np.inf
                s, k = best // num_locations, best % num_locations
                free_s[new, rank] = free_s[old, s]
                free_s[new, rank, k, int(children[best, 1])] = children[best, 2]
                finish_s[new, rank, :i] = finish_s[old, s, :i]
                finish_s[new, rank, i] = children[best, 2]
                radio_s[new, rank] = children[best, 0]
                value_s[new, rank] = children[best, 3]
                price_s[new, rank] = children[best, 4]
                choices[new, rank, :i] = choices[old, s, :i]
                choices[new, rank, i] = k
            old = new
        decision = decisions[b, :count]
        decision[:] = choices[old, (value_s[old, :kept] + price_s[old, :kept]).argmin(), :count]
        decisions[b, count:] = 0  # padding
        refine_decision(problem, decision, refine, radio_backlog_s[b], start_s, finish_s[0, 0], free_s[0, 0])


def beam_search(
    instances: Instances, width: int, objective: str = "makespan", refine: str | None = None
) -> NDArray[np.int64]:
    """Decisions (B, n) by beam search.

    Args:
        instances: B instances of n tasks.
        width: partial schedules kept, at least 1.
        objective: "makespan", "mean" or "cost".
        refine: local search behind it, as in ``offload_gym.solvers.greedy.greedy``.
    """
    code = objective_code(objective)
    check_count("width", width)
    refine_code = refinement_code(refine)
    prices = RADIO_PRICES[code], CORE_PRICES[code]
    decisions = np.empty((len(instances), instances.num_tasks), dtype=np.int64)
    beam_kernel(*instances.arrays, instances.max_cores, instances.power, code, width, *prices, refine_code, decisions)
    return decisions
