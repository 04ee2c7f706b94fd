"""What is known of a running stream's arrivals from those that have been, and futures drawn from it.

A future is what may come, drawn from the scenario's process and never read from what will come. The rate of arrivals,
where the scenario draws it, and whether a device is in a burst are not known either: they are drawn from what the
arrivals so far make of them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.arrivals import BURSTY, PERIODIC
from offload_gym.compilation import kernel, record
from offload_gym.lending import lent
from offload_gym.random_numbers import uniform
from offload_gym.streams.arrivals import SOURCE, burst_share, calm_rate_per_s, resume_source
from offload_gym.streams.jobs import fill_jobs
from offload_gym.streams.parameters import ARRIVING, JOBS, MACHINES, numbers_for, numbers_of_device

#: What is known of the arrivals at one device.
KNOWN = record(
    [
        ("count", np.int64),
        ("first_s", np.float64),
        ("last_s", np.float64),  # 0 where there was none
        # Where the last frame was before it was moved: anywhere between these alike, where the rate is known.
        ("least_nominal_s", np.float64),
        ("most_nominal_s", np.float64),
    ]
)


class Belief(NamedTuple):
    """What is known of the arrivals of one stream; R rates are told apart (``StreamParameters.rates_per_s``)."""

    devices: NDArray[np.void]  # (m,) of the dtype KNOWN
    log_weights: NDArray[np.float64]  # (R,) logarithm of how likely each rate is
    burst: NDArray[np.float64]  # (m, R) probability that the device was in a burst after its last arrival, at that rate


@kernel
def new_belief(parameters, num_devices):
    """A ``Belief`` at time 0."""
    num_rates = len(parameters.rates_per_s)
    belief = Belief(np.empty(num_devices, dtype=KNOWN), np.empty(num_rates), np.empty((num_devices, num_rates)))
    start_belief(parameters, belief)
    return belief


@kernel
def start_belief(parameters, belief):
    """Set a ``Belief`` to what is known at time 0."""
    process = parameters.process[0]
    belief.log_weights[:] = 0.0
    belief.burst[:] = burst_share(process)
    period_s = 1.0 / parameters.rates_per_s[0]
    for d in range(len(belief.devices)):
        known = belief.devices[d]
        known.count, known.first_s, known.last_s = 0, 0.0, 0.0
        _bound_first_frame(process, known, period_s)


@kernel
def _bound_first_frame(process, known, period_s):
    """No frame yet: the one before the first was within the period before the earliest time of the first."""
    known.most_nominal_s = 0.5 * process.jitter * period_s
    known.least_nominal_s = known.most_nominal_s - period_s


@kernel
def observe_arrival(parameters, belief, d, arrival_s):
    """Add to a ``Belief`` that a job has arrived at device ``d``; arrivals are given in their order."""
    process, rates_per_s, known = parameters.process[0], parameters.rates_per_s, belief.devices[d]
    silent_s = arrival_s - known.last_s
    for r in range(len(rates_per_s)):
        if process.arrivals == BURSTY:
            probability, log_silent = burst_belief(process, rates_per_s[r], belief.burst[d, r], silent_s)
            calm_per_s = calm_rate_per_s(process, rates_per_s[r])
            in_burst = probability * calm_per_s * process.burst_ratio
            arrive_per_s = in_burst + (1.0 - probability) * calm_per_s
            belief.burst[d, r] = in_burst / arrive_per_s
            belief.log_weights[r] += log_silent + math.log(arrive_per_s)
        else:
            belief.log_weights[r] += math.log(rates_per_s[r]) - rates_per_s[r] * silent_s
    if known.count == 0:
        known.first_s = arrival_s
    known.count += 1
    known.last_s = arrival_s
    period_s = 1.0 / rates_per_s[0]
    reach_s = 0.5 * process.jitter * period_s
    least_s = max(known.least_nominal_s + period_s, arrival_s - reach_s)
    most_s = min(known.most_nominal_s + period_s, arrival_s + reach_s)
    if least_s > most_s:  # by rounding
        least_s = most_s = 0.5 * (least_s + most_s)
    known.least_nominal_s, known.most_nominal_s = least_s, most_s


@kernel
def observe_jobs(parameters, belief, jobs, first, last):
    """Add to a ``Belief`` the arrivals of ``jobs`` (J,) from ``first`` to ``last - 1``."""
    for j in range(first, last):
        observe_arrival(parameters, belief, jobs[j].device, jobs[j].arrival_s)


@kernel
def burst_belief(process, rate_per_s, probability, silent_s):
    """After a time without arrivals: (probability of a burst, logarithm of how likely that silence was).

    ``probability`` is that of a burst before it. With the matrix D of two states, switches less arrivals, and mean and
    root of its eigenvalues' sum and difference: exp(D t) = exp(mean t) (cosh(root t) + sinh(root t) (D - mean) / root).
    """
    calm_per_s = calm_rate_per_s(process, rate_per_s)
    to_calm, to_burst = 1.0 / process.burst_s, 1.0 / process.calm_s
    leave_burst, leave_calm = to_calm + calm_per_s * process.burst_ratio, to_burst + calm_per_s
    mean, half = -0.5 * (leave_burst + leave_calm), -0.5 * (leave_burst - leave_calm)
    root = math.sqrt(half**2 + to_calm * to_burst)
    shrunk = math.exp(-2.0 * root * silent_s)  # cosh and sinh are divided by exp(root t)
    cosh, sinh = 0.5 * (1.0 + shrunk), 0.5 * (1.0 - shrunk) / root
    calm = 1.0 - probability
    in_burst = probability * cosh + sinh * (probability * half + calm * to_burst)
    in_calm = calm * cosh + sinh * (probability * to_calm - calm * half)
    return in_burst / (in_burst + in_calm), (mean + root) * silent_s + math.log(in_burst + in_calm)


@kernel
def draw_future_jobs(parameters, start, belief, now_s, batch, b, first, last):
    """Fill jobs ``first`` to ``last - 1`` of stream ``b`` with what may arrive after ``now_s``.

    Args:
        parameters: ``StreamParameters`` of the scenario.
        start: 64 bits, from which all random numbers follow; equal ones give the same future.
        belief: ``Belief`` from all arrivals until ``now_s``.
        now_s: the present, at or after the last of these arrivals.
        batch: ``StreamBatch``; only these jobs, their tasks and edges are written. Devices, servers and ``common`` of
            the stream are read, and, for deadlines, its rates: draw the future's first (``draw_future_rates``).
        b: row of it.
        first: the first job.
        last: the job after the last one.
    """
    parameters, batch, belief = lent(parameters), lent(batch), lent(belief)
    process, num_devices = parameters.process[0], len(belief.devices)
    r, rate_per_s = _draw_rate(parameters, numbers_for(start, MACHINES), belief, now_s)
    sources, known = np.zeros(num_devices, dtype=SOURCE), np.empty(1, dtype=KNOWN)
    for d in range(num_devices):
        sources[d].start, sources[d].rate_per_s = numbers_of_device(start, d, ARRIVING), rate_per_s
        known[0], burst = belief.devices[d], 0.0
        if process.arrivals == BURSTY:
            silent_s = now_s - known[0].last_s
            burst, _ = burst_belief(process, parameters.rates_per_s[r], belief.burst[d, r], silent_s)
        elif process.arrivals == PERIODIC and len(parameters.rates_per_s) > 1:
            _bound_frame(process, known[0], 1.0 / rate_per_s)
        resume_source(process, parameters.recorded_arrivals, known[0], burst, now_s, sources[d])
    fill_jobs(parameters, sources, numbers_for(start, JOBS), batch, b, first, last)


@kernel
def _bound_frame(process, known, period_s):
    """Where the last frame was before it was moved, by its own time alone, as the period is an estimate."""
    if known.count == 0:
        _bound_first_frame(process, known, period_s)
    else:
        known.least_nominal_s = known.last_s - 0.5 * process.jitter * period_s
        known.most_nominal_s = known.last_s + 0.5 * process.jitter * period_s


@kernel
def _draw_rate(parameters, start, belief, now_s):
    """Draw the rate of arrivals: (its number among those told apart, the rate).

    That of frames is the estimate of the device with most of them, (frames - 1) / (last - first), once there are two.
    """
    process, rates_per_s = parameters.process[0], parameters.rates_per_s
    low, high, num_rates = process.rate_low_per_s, process.rate_high_per_s, len(rates_per_s)
    if num_rates == 1:
        return 0, low
    which, within = uniform(start, 0), uniform(start, 1)
    if process.arrivals == PERIODIC:
        most = belief.devices[0]
        for d in range(1, len(belief.devices)):
            if belief.devices[d].count > most.count:
                most = belief.devices[d]
        if most.count > 1:
            return 0, min(max((most.count - 1) / (most.last_s - most.first_s), low), high)
        return 0, low * (high / low) ** which
    weights = np.empty(num_rates)
    for r in range(num_rates):
        weights[r] = belief.log_weights[r]
        for d in range(len(belief.devices)):
            silent_s = now_s - belief.devices[d].last_s
            if process.arrivals == BURSTY:
                weights[r] += burst_belief(process, rates_per_s[r], belief.burst[d, r], silent_s)[1]
            else:
                weights[r] -= rates_per_s[r] * silent_s
    weights = np.exp(weights - weights.max())
    left, r = which * weights.sum(), 0
    while r < num_rates - 1 and left >= weights[r]:
        left -= weights[r]
        r += 1
    return r, rates_per_s[r] * (high / low) ** ((within - 0.5) / num_rates)
