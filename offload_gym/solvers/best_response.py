"""Best responses in a cell: devices improve their decisions in turn, each for itself or all for their mean.

A device moves one task, or two of its tasks at once, to other locations, by the move that lowers its own latency most
while the others stay as they are, until no move does; then it is the next one's turn. Where a whole round changes
nothing, the decisions are a pure Nash equilibrium with respect to these moves. Processor sharing in time and queues in
the order of arrival give no potential function that would make an equilibrium certain, so the rounds are limited.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from offload_gym.array_checks import check_count
from offload_gym.cell import as_cell, cell_objective, evaluate_cell, new_scratch
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
