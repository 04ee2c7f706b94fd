"""Beam search: keep the ``width`` most promising partial schedules, task by task.

A partial schedule's score is its objective so far plus a price on what it has used up: when the radio is free, and when
the cores are free, averaged within each location. The price falls with the share of tasks left, as what is used
now is missing for those. Without a price the beam prefers schedules that are short so far because they spent the radio
first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.array_checks import check_count
from offload_gym.compilation import inlined, kernel
from offload_gym.delay import (
    Room,
    accumulate,
    adds,
    copy_row,
    copy_table,
    energy_price,
    is_priced,
    new_workspace,
    open_decision,
    open_instance,
    place,
)
from offload_gym.instances import CORES, INTEGER, Batch, Instances
from offload_gym.lending import lent
from offload_gym.solvers.local_search import refine_decision, search_codes
from offload_gym.solvers.stopping import is_stopped, new_budget, raise_pending

# Prices of a second of the radio and of a second of a location's mean core, in seconds of the objective, for makespan,
# mean and cost (as for makespan). Chosen on validation instances, n = 8 and 12, by `python -m benchmarks tune-beam`: on
# the scenario "default" for independent tasks, and on "dag" for dependent ones, where the radio may wait for a task and
# its free time says little.
# By objective and then for (independent, dependent) tasks.
RADIO_PRICES = {"makespan": (5.0, 0.0), "mean": (0.1, 0.0), "cost": (5.0, 0.0)}
CORE_PRICES = {"makespan": (2.0, 1.0), "mean": (0.2, 0.1), "cost": (2.0, 1.0)}


MAX_WIDTH = 1_000_000


class Prices(NamedTuple):
    """What a second costs, for instances of independent and of dependent tasks."""

    radio: tuple[float, float]
    core: tuple[float, float]


class States(NamedTuple):
    """Partial schedules of the same tasks, up to W of them."""

    choices: NDArray[np.int64]  # (W, n)
    finish_s: NDArray[np.float64]  # (W, n)
    free_s: NDArray[np.float64]  # (W, K, max_cores)
    radio_s: NDArray[np.float64]  # (W,)
    value_s: NDArray[np.float64]  # (W,) without a price
    price_s: NDArray[np.float64]  # (W,) of energy


class Children(NamedTuple):
    """States with one more task; that of state s with it at location k is number s * K + k, of C = W * K."""

    score: NDArray[np.float64]  # (C,)
    radio_s: NDArray[np.float64]  # (C,)
    core: NDArray[np.int64]  # (C,)
    finish_s: NDArray[np.float64]  # (C,) of the task
    value_s: NDArray[np.float64]  # (C,)
    price_s: NDArray[np.float64]  # (C,)


@kernel
def _new_states(width, n, core_s):
    choices = np.empty((width, n), dtype=np.int64)
    free_s = np.empty((width, *core_s.shape))
    return States(choices, np.empty((width, n)), free_s, np.empty(width), np.empty(width), np.empty(width))


@kernel
def _new_children(size):
    core = np.empty(size, dtype=np.int64)
    return Children(np.empty(size), np.empty(size), core, np.empty(size), np.empty(size), np.empty(size))


@inlined
def _expand(problem, states, kept, i, objective, cores, radio_price, core_price, children):
    """Fill ``children`` with those of the first ``kept`` states; ``cores`` (K,) are numbers of cores."""
    num_locations = len(cores)
    for s in range(kept):
        used_s = 0.0
        for k in range(num_locations):
            for m in range(int(cores[k])):
                used_s += states.free_s[s, k, m] / cores[k]
        room = Room(states.finish_s[s], states.free_s[s])
        for k in range(num_locations):
            c = s * num_locations + k
            placed = place(problem, states.choices[s], i, k, states.radio_s[s], room)
            price_s = states.price_s[s]
            if is_priced(objective):
                price_s += energy_price(problem, states.choices[s], i, k)
            value_s = accumulate(objective, states.value_s[s], placed.completion_s)
            added_s = (placed.finish_s - room.free_s[k, placed.core]) / cores[k]
            children.radio_s[c], children.core[c], children.finish_s[c] = placed.radio_s, placed.core, placed.finish_s
            children.value_s[c], children.price_s[c] = value_s, price_s
            children.score[c] = value_s + price_s + radio_price * placed.radio_s + core_price * (used_s + added_s)


@inlined
def _keep(old, i, children, candidates, budget, new):
    """Fill ``new`` with the best of the ``candidates``, as many as it has room for; returns how many those are."""
    num_locations = old.free_s.shape[1]
    kept = min(len(new.radio_s), candidates)
    for rank in range(kept):
        if is_stopped(budget, candidates):
            break
        best = children.score[:candidates].argmin()
        children.score[best] = np.inf
        s, k = best // num_locations, best % num_locations
        copy_table(old.free_s[s], new.free_s[rank])
        new.free_s[rank, k, children.core[best]] = children.finish_s[best]
        copy_row(old.finish_s[s], new.finish_s[rank, :i])
        new.finish_s[rank, i] = children.finish_s[best]
        new.radio_s[rank] = children.radio_s[best]
        new.value_s[rank] = children.value_s[best]
        new.price_s[rank] = children.price_s[best]
        copy_row(old.choices[s], new.choices[rank, :i])
        new.choices[rank, i] = k
    return kept


@kernel
def beam_kernel(arrays, objective, width, prices, moves, decisions):
    """Fill ``decisions`` (B, n); ``prices`` are those of ``Prices``."""
    batch, prices = lent(Batch(*arrays)), Prices(*prices)
    memory = new_workspace(batch)
    n, num_locations = decisions.shape[1], batch.locations.shape[1]
    # Two generations of states, read and written in turn.
    old, new = _new_states(width, n, memory.core_s), _new_states(width, n, memory.core_s)
    children = _new_children(width * num_locations)
    own = new_budget(width)
    for b in range(len(decisions)):
        work, budget = lent(memory), lent(own)
        problem, start = open_instance(batch, b, work)
        decision = open_decision(batch, b, decisions)
        count = len(decision)
        dependent = 1 if len(problem.edge_parent) > 0 else 0
        num_values = count if adds(objective) else 1  # completions that a value adds up
        copy_table(start.core_s, old.free_s[0])
        old.radio_s[0] = start.radio_s
        old.value_s[0] = old.price_s[0] = 0.0
        kept = 1
        for i in range(count):
            weight = num_values * (count - 1 - i) / count
            radio_price, core_price = weight * prices.radio[dependent], weight * prices.core[dependent]
            states, tried = lent(old), lent(children)
            _expand(problem, states, kept, i, objective, batch.locations[b, :, CORES], radio_price, core_price, tried)
            kept = _keep(states, i, tried, kept * num_locations, budget, lent(new))
            old, new = new, old
            if budget.stop[0]:
                break
        if budget.stop[0]:
            break
        copy_row(old.choices[(old.value_s[:kept] + old.price_s[:kept]).argmin()], decision)
        refine_decision(problem, decision, start, objective, moves, work.room)
    if own.stop[0]:
        raise_pending()


def beam_search(
    instances: Instances, width: int, objective: str = "makespan", moves: str | None = None
) -> NDArray[np.int64]:
    """Decisions (B, n) by beam search.

    Args:
        instances: B instances of n tasks.
        width: partial schedules kept, from 1 to ``MAX_WIDTH``.
        objective: one of ``offload_gym.OBJECTIVES``.
        moves: local search behind it, as in ``offload_gym.solvers.greedy.greedy``.
    """
    code, kind = search_codes(objective, moves)
    check_count("width", width)
    if width > MAX_WIDTH:
        raise ValueError(f"width is {width}; it must be at most {MAX_WIDTH:,}")
    prices = RADIO_PRICES[objective], CORE_PRICES[objective]
    decisions = np.empty((len(instances.tasks), instances.num_tasks), INTEGER)
    beam_kernel(instances.arrays, code, width, prices, kind, decisions)
    return decisions
