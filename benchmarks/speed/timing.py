"""Timing calls against each other on a noisy machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Effort(NamedTuple):
    """How much work a run is."""

    num_rounds: int  # of each comparison
    round_s: float  # that one side of a comparison takes in a round, at least one call
    num_instances: int  # that the exact solver is timed on
    limit_s: float  # for the reference solver and one instance
    reference_budget_s: float  # for the reference solver and one row of the table


FULL = Effort(num_rounds=15, round_s=0.1, num_instances=100, limit_s=60.0, reference_budget_s=40.0)
QUICK = Effort(num_rounds=3, round_s=0.005, num_instances=3, limit_s=5.0, reference_budget_s=1.0)


def interleaved(calls: Sequence[Callable[[], object]], effort: Effort) -> NDArray[np.float64]:
    """Seconds of one call: (rounds, calls), where all calls take their turn in each round.

    So a noisy second of the machine falls on all of them alike. Every second round goes backwards. Each call is made
    once before, which compiles.
    """
    repeats = []
    for call in calls:
        call()
        repeats.append(max(1, round(effort.round_s / max(_seconds(call, 1), 1e-9))))
    seconds = np.empty((effort.num_rounds, len(calls)))
    for timing_round in range(effort.num_rounds):
        order = range(len(calls)) if timing_round % 2 == 0 else reversed(range(len(calls)))
        for index in order:
            seconds[timing_round, index] = _seconds(calls[index], repeats[index]) / repeats[index]
    return seconds


def _seconds(call: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return time.perf_counter() - start
