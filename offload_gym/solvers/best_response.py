"""Best responses in a cell: devices improve their decisions in turn, each for itself or all for their mean.

A device moves one task, or two of its tasks at once, to other locations, by the move that lowers its own latency most
while the others stay as they are, until no move does; then it is the next one's turn. Where a whole round changes
nothing, the decisions are a pure Nash equilibrium with respect to these moves. Processor sharing in time and queues in
the order of arrival give no potential function that would make an equilibrium certain, so the rounds are limited.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from offload_gym.array_checks import check_count
from offload_gym.cell import as_cell, cell_latency, cell_objective, evaluate_cell, new_scratch
from offload_gym.checks import check_flag
from offload_gym.compilation import kernel
from offload_gym.delay import accumulate, check_decisions, outcome
from offload_gym.instances import Instances

MAX_ROUNDS = 100
LEAST_GAIN = 1e-12  # relative; less is rounding, which could move devices back and forth for ever


class Responses(NamedTuple):
    """Where the devices of a cell end.

    Attributes:
        decisions: (m, n) integers, the location of each task.
        settled: whether no device has a move that helps.
        num_rounds: including the last one, in which nothing changed.
    """

    decisions: NDArray[np.int64]
    settled: bool
    num_rounds: int


@kernel
def _value(cell, decisions, first, last, objective, scratch, completion_s):
    """The sum of the latencies of the devices ``first``, ..., ``last - 1``."""
    evaluate_cell(cell, decisions, scratch, completion_s)
    value_s = 0.0
    for d in range(first, last):
        device_s = 0.0
        for i in range(cell.counts[d]):
            device_s = accumulate(objective, device_s, completion_s[d, i])
        value_s += outcome(objective, device_s, cell.counts[d], 0.0)
    return value_s


@kernel
def _respond(cell, d, decisions, first, last, objective, scratch, completion_s):
    """Improve the decision of device ``d`` in place for the devices from ``first`` to ``last``; whether it changed."""
    n, num_locations = cell.counts[d], cell.times.shape[2]
    mine = decisions[d]
    value_s = _value(cell, decisions, first, last, objective, scratch, completion_s)
    changed = False
    while True:
        best_s, best_i, best_k, best_j, best_l = value_s * (1.0 - LEAST_GAIN), -1, 0, 0, 0
        for i in range(n):
            was_i = mine[i]
            for k in range(num_locations):
                if k == was_i:
                    continue
                mine[i] = k
                for j in range(i, n):
                    was_j = mine[j]
                    for other in range(num_locations):
                        # j = i stands for the move of task i alone.
                        if (other == was_j) != (j == i):
                            continue
                        mine[j] = other
                        trial_s = _value(cell, decisions, first, last, objective, scratch, completion_s)
                        if trial_s < best_s:
                            best_s, best_i, best_k, best_j, best_l = trial_s, i, k, j, other
                    mine[j] = was_j
            mine[i] = was_i
        if best_i < 0:
            return changed
        mine[best_i] = best_k
        mine[best_j] = best_l
        value_s, changed = best_s, True


@kernel
def _respond_in_turn(cell, decisions, together, objective, max_rounds):
    """Rounds of responses in place; how many there were, and whether the last one changed nothing."""
    scratch, completion_s = new_scratch(cell), np.empty(decisions.shape)
    m = len(decisions)
    for number in range(max_rounds):
        changed = False
        for d in range(m):
            first, last = (0, m) if together else (d, d + 1)
            changed |= _respond(cell, d, decisions, first, last, objective, scratch, completion_s)
        if not changed:
            return number + 1, True
    return max_rounds, False


@kernel
def _try_alternatives(cell, decisions, alternatives, objective, values_s):
    """Fill ``values_s`` (m, A) with the sum of all latencies where one device decides otherwise."""
    scratch, completion_s = new_scratch(cell), np.empty(decisions.shape)
    m = len(decisions)
    for d in range(m):
        own = decisions[d].copy()
        for a in range(alternatives.shape[1]):
            decisions[d] = alternatives[d, a]
            values_s[d, a] = _value(cell, decisions, 0, m, objective, scratch, completion_s)
        decisions[d] = own


def alternative_latency(
    instances: Instances, decisions: ArrayLike, alternatives: ArrayLike, objective: str = "makespan"
) -> NDArray[np.float64]:
    """What all devices have of it where one of them decides otherwise and the others do not.

    Args:
        instances: m instances, one a device, as ``offload_gym.cell`` takes them.
        decisions: (m, n) of all devices.
        alternatives: (m, A, n) what each device could decide instead.
        objective: "makespan" or "mean", of each device.

    Returns:
        (m, A) seconds, the mean of all devices' latencies.

    Raises:
        ValueError: the instances are no cell, or decisions do not fit.
    """
    code, cell = cell_objective(objective), as_cell(instances)
    kept = check_decisions(instances, decisions).copy()
    tried = np.asarray(alternatives)
    if tried.ndim != 3:
        raise ValueError(f"alternatives has the shape {tried.shape}; it must be (m, A, n), with m and n of the cell")
    checked = [check_decisions(instances, tried[:, a]) for a in range(tried.shape[1])]
    values_s = np.empty(tried.shape[:2])
    _try_alternatives(cell, kept, np.stack(checked, axis=1), code, values_s)
    return values_s / len(instances)


def best_response(
    instances: Instances,
    decisions: ArrayLike,
    objective: str = "makespan",
    together: bool = False,
    max_rounds: int = MAX_ROUNDS,
) -> Responses:
    """Let the devices of a cell improve their decisions in turn.

    A device's move looks at O(n^2 K^2) decisions, each of which takes a schedule of all m devices: a second for 16
    devices of 16 tasks.

    Args:
        instances: m instances, one a device, as ``offload_gym.cell`` takes them.
        decisions: (m, n) where to start; left as they are.
        objective: "makespan" or "mean", of each device.
        together: whether a device moves for the mean of all devices' latencies; otherwise for its own.
        max_rounds: rounds at most, at least 1.

    Returns:
        The decisions, whether they settled, and the number of rounds.

    Raises:
        ValueError: the instances are no cell, the decisions do not fit, or an argument is out of its bounds.
    """
    check_count("max_rounds", max_rounds)
    check_flag("together", together)
    code, cell = cell_objective(objective), as_cell(instances)
    reached = check_decisions(instances, decisions).copy()
    num_rounds, settled = _respond_in_turn(cell, reached, bool(together), code, max_rounds)
    return Responses(reached, settled, num_rounds)


def coordinated(
    instances: Instances, starts: Sequence[ArrayLike], objective: str = "makespan", max_rounds: int = MAX_ROUNDS
) -> NDArray[np.int64]:
    """The decisions with the least mean latency that local search finds from several starts; not proven optimal.

    Args:
        instances: m instances, one a device, as ``offload_gym.cell`` takes them.
        starts: decisions (m, n) to begin with, at least one.
        objective: "makespan" or "mean", of each device.
        max_rounds: of each search.

    Returns:
        (m, n) the location of each task.

    Raises:
        ValueError: as ``best_response``; or there is no start.
    """
    if not starts:
        raise ValueError("starts is empty; there must be at least one")
    reached = [best_response(instances, start, objective, True, max_rounds).decisions for start in starts]
    return min(reached, key=lambda decisions: float(cell_latency(instances, decisions, objective).mean()))
