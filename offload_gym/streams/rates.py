"""The rates of a device's radio from slot to slot, and what they may be later."""

from __future__ import annotations

import math

from offload_gym.compilation import kernel
from offload_gym.random_numbers import fill_normal, uniform
from offload_gym.sampling import gaussian_cdf
from offload_gym.streams.parameters import CONSTANT, RANDOM


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
