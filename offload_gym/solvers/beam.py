"""Beam search: keep the ``width`` most promising partial schedules, task by task.

A partial schedule's score is its objective so far plus a price on the resources it has used: the radio, and each
location's cores (their mean free time, weighted by the location's share of what its cores could still do). Without a
price the beam prefers schedules that are short so far because they spent the radio first.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offload_gym.delay import MAKESPAN, all_stage_times, objective_code, place, start_schedule
from offload_gym.instances import CORES, Instances

# Price of a second of the radio, and of a second of the mean core of a location, in seconds of the objective so far.
# Chosen on validation instances (see `python -m benchmarks tune-beam`).
RADIO_PRICE = 0.3
CORE_PRICE = 0.3


@njit(cache=True, nogil=True)
def beam_kernel(
    tasks, locations, backlog_s, radio_backlog_s, max_cores, objective, width, radio_price, core_price, decisions
):
    """Fill ``decisions`` (B, n)."""
    n, num_locations = tasks.shape[1], locations.shape[1]
    times = np.empty((n, num_locations, 4))
    start_s = np.empty((num_locations, max_cores))
    # Two generations of states, read and written in turn.
    free_s = np.empty((2, width, num_locations, max_cores))
    radio_s = np.empty((2, width))
    value_s = np.empty((2, width))
    choices = np.empty((2, width, n), dtype=np.int64)
    scores = np.empty(width * num_locations)
    for b in range(len(tasks)):
        all_stage_times(tasks[b], locations[b], times)
        start_schedule(locations[b], backlog_s[b], start_s)
        old = 0
        free_s[old, 0] = start_s
        radio_s[old, 0] = radio_backlog_s[b]
        value_s[old, 0] = 0.0
        kept = 1
        for i in range(n):
            new = 1 - old
            # Weighted by tasks left: what is used now is missing for each of those.
            left = (n - 1 - i) / n
            for s in range(kept):
                shared = radio_price * left
                cores_s = 0.0
                for k in range(num_locations):
                    for m in range(int(locations[b, k, CORES])):
                        cores_s += free_s[old, s, k, m] / locations[b, k, CORES]
                for k in range(num_locations):
                    sent_s, core, _, finish_s, completion_s = place(
                        times[i, k], k, 0.0, radio_s[old, s], free_s[old, s, k]
                    )
                    value = (
                        max(value_s[old, s], completion_s) if objective == MAKESPAN else value_s[old, s] + completion_s
                    )
                    used_s = cores_s + (finish_s - free_s[old, s, k, core]) / locations[b, k, CORES]
                    scores[s * num_locations + k] = value + shared * sent_s + core_price * left * used_s
            candidates = kept * num_locations
            kept = min(width, candidates)
            for place_in_beam in range(kept):
                best = 0
                for c in range(1, candidates):
                    if scores[c] < scores[best]:
                        best = c
                scores[best] = np.inf
                s, k = best // num_locations, best % num_locations
                sent_s, core, _, finish_s, completion_s = place(times[i, k], k, 0.0, radio_s[old, s], free_s[old, s, k])
                free_s[new, place_in_beam] = free_s[old, s]
                free_s[new, place_in_beam, k, core] = finish_s
                radio_s[new, place_in_beam] = sent_s
                value_s[new, place_in_beam] = (
                    max(value_s[old, s], completion_s) if objective == MAKESPAN else value_s[old, s] + completion_s
                )
                choices[new, place_in_beam, :i] = choices[old, s, :i]
                choices[new, place_in_beam, i] = k
            old = new
        best = 0
        for s in range(1, kept):
            if value_s[old, s] < value_s[old, best]:
                best = s
        decisions[b] = choices[old, best]


def beam_search(instances: Instances, width: int, objective: str = "makespan") -> NDArray[np.int64]:
    """Decisions (B, n) of a beam search with ``width`` partial schedules, at least 1."""
    code = objective_code(objective)
    if width < 1:
        raise ValueError(f"width is {width}; it must be at least 1")
    decisions = np.empty((len(instances), instances.num_tasks), dtype=np.int64)
    beam_kernel(*instances.arrays, instances.max_cores, code, width, RADIO_PRICE, CORE_PRICE, decisions)
    return decisions
