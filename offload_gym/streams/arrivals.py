"""When jobs arrive at a device: the processes, and what is known of one that runs.

A source makes the arrivals of one device, one after the other, from random numbers by position.
"""

from __future__ import annotations

import math

import numpy as np

from offload_gym.arrivals import BURSTY, PERIODIC, POISSON, RECORDED
from offload_gym.compilation import inlined, kernel, record
from offload_gym.random_numbers import uniform
from offload_gym.streams.parameters import GAP

#: What makes the arrivals of one device.
SOURCE = record(
    [
        ("next_s", np.float64),  # when the next job arrives
        ("rate_per_s", np.float64),
        ("start", np.uint64),  # of its random numbers
        ("number", np.int64),  # how many of them were drawn
        ("bursting", np.int64),
        ("nominal_s", np.float64),  # of the next frame, before it is moved
        ("row", np.int64),  # of the next job in the recording
        ("left", np.int64),  # rows until the recording goes on at another place
    ]
)
WHOLE = 1 << 62  # rows of a recording that does not jump
BLOCK = 20  # rows of a recording that a future takes from one place
TRIES = 16  # draws of what must not come before a moment, until it comes at that moment


@inlined
def _exponential(start, number, rate_per_s):
    return -math.log(1.0 - uniform(start, number)) / rate_per_s


@kernel
def calm_rate_per_s(process, rate_per_s):
    """The rate between bursts of a process whose mean rate is given."""
    return rate_per_s * (process.burst_s + process.calm_s) / (process.burst_ratio * process.burst_s + process.calm_s)


@kernel
def burst_share(process):
    """The share of the time that bursts take."""
    return process.burst_s / (process.burst_s + process.calm_s)


@kernel
def begin_source(process, recorded, source):
    """Draw the first arrival after time 0 of a source that has a start and a rate.

    ``process`` and ``recorded`` are ``StreamParameters.process[0]`` and ``.recorded_arrivals``: numba hands a tuple of
    many arrays over by copying it, which takes longer than the draw.
    """
    source.next_s, source.number, source.row, source.left = 0.0, 1, 0, WHOLE
    first = uniform(source.start, 0)
    if process.arrivals == BURSTY:
        source.bursting = first < burst_share(process)
        advance(process, recorded, source)
    elif process.arrivals == PERIODIC:
        # Not before half a jitter, so that no frame is moved to before time 0.
        source.nominal_s = (first + 0.5 * process.jitter) / source.rate_per_s
        _move_frame(process, source)
    elif process.arrivals == POISSON:
        source.number = 0
        advance(process, recorded, source)
    else:
        # The episode begins somewhere between the row before and a random one.
        source.row = int(first * len(recorded))
        since = uniform(source.start, 1) * recorded[source.row, GAP]
        source.next_s, source.number = since / source.rate_per_s, 2


@kernel
def advance(process, recorded, source):
    """Draw the arrival after the next one, which then is the next."""
    if process.arrivals == POISSON:
        source.next_s += _exponential(source.start, source.number, source.rate_per_s)
        source.number += 1
    elif process.arrivals == BURSTY:
        _advance_bursts(process, source)
    elif process.arrivals == PERIODIC:
        source.nominal_s += 1.0 / source.rate_per_s
        _move_frame(process, source)
    else:
        source.left -= 1
        source.row = (source.row + 1) % len(recorded)
        if source.left == 0:
            jump(recorded, source)
        source.next_s += recorded[source.row, GAP] / source.rate_per_s


@kernel
def _advance_bursts(process, source):
    """The first arrival of a Poisson process whose rate switches: what comes first, an arrival or a switch."""
    calm_per_s = calm_rate_per_s(process, source.rate_per_s)
    while True:
        arrive_per_s = calm_per_s * (process.burst_ratio if source.bursting else 1.0)
        switch_per_s = 1.0 / (process.burst_s if source.bursting else process.calm_s)
        source.next_s += _exponential(source.start, source.number, arrive_per_s + switch_per_s)
        arrives = uniform(source.start, source.number + 1) * (arrive_per_s + switch_per_s) < arrive_per_s
        source.number += 2
        if arrives:
            return
        source.bursting = 1 - source.bursting


@kernel
def _move_frame(process, source):
    """Move the next frame from its nominal time; never to before the frame before it, also not by rounding."""
    moved = (uniform(source.start, source.number) - 0.5) * process.jitter
    source.next_s = max(source.next_s, source.nominal_s + moved / source.rate_per_s)
    source.number += 1


@inlined
def sink(sources, order, at):
    """Move the source at a place of a heap to where it belongs: those below it arrive later, or are of higher numbers.

    ``order`` (m,) are the numbers of ``sources`` as a heap, of which only the place ``at`` may be wrong.
    """
    d = order[at]
    while True:
        below = 2 * at + 1
        if below >= len(order):
            break
        if below + 1 < len(order) and _arrives_before(sources, order[below + 1], order[below]):
            below += 1
        if not _arrives_before(sources, order[below], d):
            break
        order[at] = order[below]
        at = below
    order[at] = d


@inlined
def _arrives_before(sources, d, other):
    next_s, other_s = sources[d].next_s, sources[other].next_s
    return next_s < other_s or (next_s == other_s and d < other)


@kernel
def jump(recorded, source):
    """Go on at a random row of the recording, for the rows of a block."""
    source.row = int(uniform(source.start, source.number) * len(recorded))
    source.number += 1
    source.left = BLOCK


@kernel
def resume_source(process, recorded, known, burst_probability, now_s, source):
    """Draw the first arrival after now of a source that has a start and a rate, from what is known of a device.

    ``known`` is of the dtype KNOWN (``offload_gym.streams.beliefs``); the device has had no arrival since the last one
    that is known. A recording goes on at random places, a block of rows at each.
    """
    source.next_s, source.number, source.row, source.left = now_s, 0, 0, WHOLE
    if process.arrivals == PERIODIC:
        period_s = 1.0 / source.rate_per_s
        for _ in range(TRIES):
            share = uniform(source.start, source.number)
            moved = (uniform(source.start, source.number + 1) - 0.5) * process.jitter
            source.number += 2
            last_nominal_s = known.least_nominal_s + share * (known.most_nominal_s - known.least_nominal_s)
            source.nominal_s = last_nominal_s + period_s
            source.next_s = source.nominal_s + moved * period_s
            if source.next_s >= now_s:
                return
        source.next_s = now_s
    elif process.arrivals == RECORDED:
        for _ in range(TRIES):
            jump(recorded, source)
            source.next_s = known.last_s + recorded[source.row, GAP] / source.rate_per_s
            if source.next_s >= now_s:
                return
        source.next_s = now_s
    else:
        if process.arrivals == BURSTY:
            source.bursting = uniform(source.start, 0) < burst_probability
            source.number = 1
        advance(process, recorded, source)
