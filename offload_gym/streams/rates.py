"""The rates of a device's radio from slot to slot, and what they may be later."""

from __future__ import annotations

import math

from offload_gym.compilation import kernel
from offload_gym.lending import lent
from offload_gym.random_numbers import fill_normal, stream, uniform
from offload_gym.sampling import gaussian_cdf, latent_of
from offload_gym.streams.failures import draw_future_failures
from offload_gym.streams.parameters import CONSTANT, MACHINES, RANDOM, RATES, numbers_for, numbers_of_device
from offload_gym.streams.roaming import roam_on

# Among how many places of a recording a future begins: a fiftieth of them, and at least some.
FEW_PLACES, PLACES_SHARE = 16, 50


@kernel
def rate_of(process, latent):
    """The log-uniform uplink rate of a standard normal number."""
    return process.least_bps * math.exp(process.log_span * gaussian_cdf(latent))


@kernel
def draw_rates(parameters, start, downlink_ratio, uplink_bps, downlink_bps):
    """Fill the rates of one device in all slots (slots,), from random numbers that begin at ``start``."""
    process = parameters.process[0]
    if process.radio == CONSTANT:
        fill_normal(start, 0, uplink_bps[:1])
        uplink_bps[:] = rate_of(process, uplink_bps[0])
    elif process.radio == RANDOM:
        fill_normal(start, 0, uplink_bps)
        latent = uplink_bps[0]
        uplink_bps[0] = rate_of(process, latent)
        go_on(process, latent, uplink_bps[1:])
        cut_outages(process, start, uniform(stream(start, 1, 1), 0) < process.outage_share, uplink_bps)
    else:
        first = int(uniform(start, 0) * len(parameters.recorded_bps))
        play_recording(parameters.recorded_bps, first, downlink_ratio, uplink_bps, downlink_bps)
        return
    for s in range(len(uplink_bps)):
        downlink_bps[s] = uplink_bps[s] * downlink_ratio


@kernel
def go_on(process, latent, uplink_bps):
    """Fill rates that follow a latent number, in the place of the standard normal innovations that stand there."""
    correlation = process.slot_correlation
    rest = math.sqrt(1.0 - correlation**2)
    for s in range(len(uplink_bps)):
        latent = correlation * latent + rest * uplink_bps[s]
        uplink_bps[s] = rate_of(process, latent)


@kernel
def cut_outages(process, start, out, uplink_bps):
    """Take the rates from slots in an outage, but for the last one, as its rate holds for ever after.

    Args:
        process: of the dtype ``PROCESS``.
        start: 64 bits, from which the random numbers follow; not those of the rates.
        out: whether the slot before was in an outage.
        uplink_bps: (slots,).
    """
    if process.outage_begins == 0.0:
        return
    chances = stream(start, 1, 0)
    for s in range(len(uplink_bps) - 1):
        chance = uniform(chances, s)
        out = chance >= process.outage_ends if out else chance < process.outage_begins
        if out:
            uplink_bps[s] = 0.0


@kernel
def play_recording(recorded_bps, first, downlink_ratio, uplink_bps, downlink_bps):
    """Fill rates with those of the recording from a slot on; after its last slot comes its first.

    The last slot's rates hold for ever after, so where they are outages they are the next rates above 0.
    """
    count = len(recorded_bps)
    for s in range(len(uplink_bps)):
        uplink, downlink = recorded_bps[(first + s) % count]
        uplink_bps[s] = uplink
        downlink_bps[s] = downlink if downlink >= 0.0 else uplink * downlink_ratio
    at = first + len(uplink_bps) - 1
    for column in range(2):
        ahead = at
        while recorded_bps[ahead % count, column] == 0.0:
            ahead += 1
        later_bps = recorded_bps[ahead % count, column]
        if column == 0:
            uplink_bps[-1] = later_bps
        elif later_bps > 0.0:
            downlink_bps[-1] = later_bps
        else:
            downlink_bps[-1] = uplink_bps[-1] * downlink_ratio


@kernel
def draw_future_rates(parameters, start, batch, b, from_slot, to_slot):
    """Fill the rates of stream ``b`` after a slot, and its servers' failures, with what they may be, given that slot.

    A random radio goes on from the rate of the slot, in an outage from the last one before it; a constant one stays;
    a recording is played from a random one of the places with about that uplink rate. Devices that move go on from
    where they are in the direction in which they do, and what their rates and sites follow from is drawn anew, given
    the present ones.

    Args:
        parameters: ``StreamParameters`` of the scenario.
        start: 64 bits, from which all random numbers follow; equal ones give the same future.
        batch: ``StreamBatch``; of its rates those until ``from_slot`` are read, and all later ones are written; where
            devices move so are its sites and positions.
        b: row of it.
        from_slot: the slot of the present.
        to_slot: slots from here on have the rates of the one before, so that fewer need be drawn; all servers are up.
    """
    parameters, batch = lent(parameters), lent(batch)
    from_slot = min(from_slot, batch.uplink_bps.shape[2] - 1)
    to_slot = min(max(to_slot, from_slot + 2), batch.uplink_bps.shape[2])
    for d in range(batch.devices.shape[1]):
        uplink_bps, downlink_bps = batch.uplink_bps[b, d], batch.downlink_bps[b, d]
        if from_slot + 1 < to_slot:
            rates = numbers_of_device(start, d, RATES)
            ratio = _downlink_ratio(parameters.ranges[0].downlink_ratio, uplink_bps, downlink_bps, from_slot)
            if roam_on(parameters.mobility, start, ratio, batch, (b, d), from_slot, to_slot):
                continue
            until = uplink_bps[: from_slot + 1]
            later = slice(from_slot + 1, to_slot)
            _draw_later(parameters, rates, until, ratio, uplink_bps[later], downlink_bps[later])
            uplink_bps[to_slot:] = uplink_bps[to_slot - 1]
            downlink_bps[to_slot:] = downlink_bps[to_slot - 1]
    draw_future_failures(parameters.process[0], numbers_for(start, MACHINES), batch, b, from_slot, to_slot)


@kernel
def _downlink_ratio(bounds, uplink_bps, downlink_bps, slot):
    """Downlink over uplink, as the last slot with a rate shows it; the mean where none does."""
    for s in range(slot, -1, -1):
        if uplink_bps[s] > 0.0:
            return downlink_bps[s] / uplink_bps[s]
    return 0.5 * (bounds.low + bounds.high)


@kernel
def _draw_later(parameters, start, until_bps, downlink_ratio, uplink_bps, downlink_bps):
    """Fill the rates of one device in later slots, given its uplink rates ``until_bps`` to the present slot."""
    process, now_bps = parameters.process[0], until_bps[-1]
    if process.radio == CONSTANT:
        uplink_bps[:] = now_bps
    elif process.radio == RANDOM:
        _go_on_from(process, start, until_bps, uplink_bps)
        cut_outages(process, start, now_bps == 0.0, uplink_bps)
    else:
        place = _place_like(parameters.recorded_bps, parameters.recorded_order, now_bps, uniform(start, 0))
        play_recording(parameters.recorded_bps, place + 1, downlink_ratio, uplink_bps, downlink_bps)
        return
    for s in range(len(uplink_bps)):
        downlink_bps[s] = uplink_bps[s] * downlink_ratio


@kernel
def _go_on_from(process, start, until_bps, uplink_bps):
    """Fill rates that follow the last one that was seen, which an outage leaves as it would have been."""
    if process.log_span == 0.0:
        uplink_bps[:] = process.least_bps
        return
    last = len(until_bps) - 1
    while last > 0 and until_bps[last] == 0.0:
        last -= 1
    latent = correlation = 0.0  # where none was seen yet it may be any
    if until_bps[last] > 0.0:
        latent = latent_of(math.log(until_bps[last] / process.least_bps) / process.log_span)
        correlation = process.slot_correlation ** (len(until_bps) - 1 - last)
    rest = math.sqrt(1.0 - correlation**2)
    fill_normal(start, 0, uplink_bps)
    go_on(process, correlation * latent + rest * latent_of(uniform(stream(start, 1, 1), 0)), uplink_bps)


@kernel
def _place_like(recorded_bps, order, rate_bps, share):
    """One of the slots of a recording whose uplink is that rate, or of the nearest ones where few are."""
    count = len(order)
    first, last = _rank(recorded_bps, order, rate_bps, False), _rank(recorded_bps, order, rate_bps, True)
    few = min(count, max(FEW_PLACES, count // PLACES_SHARE))
    if last - first < few:
        first = min(max((first + last - few) // 2, 0), count - few)
        last = first + few
    return order[first + int(share * (last - first))]


@kernel
def _rank(recorded_bps, order, rate_bps, equal):
    """How many slots have a lower uplink, or an equal one."""
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        here = recorded_bps[order[middle], 0]
        if here < rate_bps or (equal and here == rate_bps):
            low = middle + 1
        else:
            high = middle
    return low
