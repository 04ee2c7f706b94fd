"""From where a device is to the rates of its radio: path loss, shadow fading, the site it is attached to.

- Path loss: 3GPP TR 38.901, table 7.4.1-1, UMi street canyon without line of sight, in decibels, with the carrier in
  GHz and the distance of the antennas d3D in metres: ``35.3 log10(d3D) + 22.4 + 21.3 log10(carrier)``, for a device
  1.5 m and a site 10 m above the street. (The table takes the loss with line of sight where that is larger, which
  between 10 m and 5 km it never is.) A distance in the plane below 10 m counts as 10 m.
- Shadow fading: normal in decibels, for each pair of a device and a site, with the correlation
  ``exp(-d / shadowing_m)`` over a way of d metres (Gudmundson, Electronics Letters 27(23), 1991).
- Noise: ``-174 dBm/Hz`` over the bandwidth, and a noise figure of 5 dB. Sites do not disturb each other.
- Rate: 3GPP TR 36.942, annex A.2, the uplink's attenuated and truncated Shannon bound: ``0.4 log2(1 + SNR)`` bit/s/Hz,
  at most 2.0, and none below an SNR of -10 dB.
"""

from __future__ import annotations

import math

import numpy as np

from offload_gym.compilation import kernel
from offload_gym.random_numbers import fill_normal, stream, uniform
from offload_gym.sampling import gaussian_cdf, latent_of
from offload_gym.scenario import Scenario

HEIGHT_M = 10.0 - 1.5  # of a site's antenna above a device's
LEAST_DISTANCE_M = 10.0
LOSS_PER_DECADE_DB, LOSS_DB, LOSS_PER_CARRIER_DB = 35.3, 22.4, 21.3
NOISE_DBM_PER_HZ, NOISE_FIGURE_DB = -174.0, 5.0
ATTENUATION, MOST_BPS_PER_HZ, LEAST_SNR_DB = 0.4, 2.0, -10.0
#: What the radio of a moving scenario's devices needs, in the dtype MOVEMENT of ``offload_gym.streams.mobility``.
LINK_FIELDS = (
    ("near_snr_db", np.float64),  # at a distance of 1 m by the formula, without shadow fading
    ("bandwidth_hz", np.float64),
    ("shadowing_db", np.float64),
    ("shadowing_m", np.float64),
    ("hysteresis_db", np.float64),
)


def link_numbers(scenario: Scenario) -> dict[str, float]:
    """The numbers of LINK_FIELDS."""
    sent_dbm = 10.0 * math.log10(scenario.transmit_w * 1e3)
    noise_dbm = NOISE_DBM_PER_HZ + 10.0 * math.log10(scenario.bandwidth_hz) + NOISE_FIGURE_DB
    loss_db = LOSS_DB + LOSS_PER_CARRIER_DB * math.log10(scenario.carrier_hz / 1e9)
    return {
        "near_snr_db": sent_dbm - noise_dbm - loss_db,
        "bandwidth_hz": scenario.bandwidth_hz,
        "shadowing_db": scenario.shadowing_db,
        "shadowing_m": scenario.shadowing_m,
        "hysteresis_db": scenario.handover_hysteresis_db,
    }


@kernel
def mean_snr_db(numbers, x_m, y_m):
    """The SNR at a distance (x, y) in the plane from a site, without shadow fading."""
    squared = max(x_m * x_m + y_m * y_m, LEAST_DISTANCE_M * LEAST_DISTANCE_M) + HEIGHT_M * HEIGHT_M
    return numbers.near_snr_db - 0.5 * LOSS_PER_DECADE_DB * math.log10(squared)


@kernel
def rate_of_snr(numbers, snr_db):
    """The uplink rate; 0 is an outage."""
    if snr_db < LEAST_SNR_DB:
        return 0.0
    bps_per_hz = ATTENUATION * math.log2(1.0 + 10.0 ** (0.1 * snr_db))
    return numbers.bandwidth_hz * min(bps_per_hz, MOST_BPS_PER_HZ)


@kernel
def _snr_of_rate(numbers, rate_bps):
    return 10.0 * math.log10(2.0 ** (rate_bps / (numbers.bandwidth_hz * ATTENUATION)) - 1.0)


@kernel
def draw_shadows(numbers, start, shadows_db):
    """Fill the shadow fading of one device at its first position, to each site (A,)."""
    fill_normal(stream(start, 1, 0), 0, shadows_db)
    for a in range(len(shadows_db)):
        shadows_db[a] *= numbers.shadowing_db


@kernel
def follow_way(mobility, start, at, positions_m, uplink_bps, sites):
    """Fill the rates of one device, and the sites that it is attached to, in the slots in which it is at positions.

    The site of a slot is decided at its beginning: the one before, or the best one where that is received with more
    than the hysteresis above it. The last slot, whose rate may hold for ever after, is never an outage: its SNR counts
    as the least one that has a rate.

    Args:
        mobility: ``Mobility``.
        start: 64 bits, from which the random numbers follow.
        at: (position (2,), shadows_db (A,), site) in the slot before; the site is -1 where there is none, and the
            position that of the first slot then.
        positions_m: (slots, 2).
        uplink_bps: (slots,).
        sites: (slots,).
    """
    numbers, sites_m, (before_m, shadows_db, site) = mobility.numbers[0], mobility.sites_m, at
    num_sites = len(sites_m)
    stride = num_sites + num_sites % 2  # two normal numbers are made of two uniform ones
    innovations = np.empty(num_sites)
    x_m, y_m = before_m[0], before_m[1]
    for s in range(len(positions_m)):
        moved_m = math.hypot(positions_m[s, 0] - x_m, positions_m[s, 1] - y_m)
        x_m, y_m = positions_m[s, 0], positions_m[s, 1]
        if moved_m > 0.0 and numbers.shadowing_db > 0.0:
            correlation = math.exp(-moved_m / numbers.shadowing_m)
            rest_db = math.sqrt(1.0 - correlation * correlation) * numbers.shadowing_db
            fill_normal(start, s * stride, innovations)
            for a in range(num_sites):
                shadows_db[a] = correlation * shadows_db[a] + rest_db * innovations[a]
        best, best_db, own_db = 0, -np.inf, -np.inf
        for a in range(num_sites):
            snr_db = mean_snr_db(numbers, x_m - sites_m[a, 0], y_m - sites_m[a, 1]) + shadows_db[a]
            if snr_db > best_db:
                best, best_db = a, snr_db
            if a == site:
                own_db = snr_db
        if site < 0 or best_db > own_db + numbers.hysteresis_db:
            site, own_db = best, best_db
        sites[s], uplink_bps[s] = site, rate_of_snr(numbers, own_db)
    uplink_bps[-1] = max(uplink_bps[-1], rate_of_snr(numbers, LEAST_SNR_DB))


@kernel
def _below(bound, share):
    """A standard normal number that is below a bound: the one with that share of those below it under it."""
    return min(latent_of(max(share, 1e-300) * gaussian_cdf(bound)), bound)


@kernel
def infer_shadows(mobility, start, position_m, uplink_bps, site, margin_db, shadows_db):
    """Fill the shadow fading of one device (A,) with what it may be, given where it is, its rate and its site.

    The rate says what it is to the site: exactly, or where it is cut off at the top, or in an outage, as a bound. The
    other sites are received with at most ``margin_db`` more than this one: the hysteresis, or 0 in the first slot.
    """
    numbers, sites_m, shares = mobility.numbers[0], mobility.sites_m, stream(start, 1, 1)
    deviation_db = numbers.shadowing_db
    if deviation_db == 0.0:
        shadows_db[:] = 0.0
        return
    own_db = mean_snr_db(numbers, position_m[0] - sites_m[site, 0], position_m[1] - sites_m[site, 1])
    most_bps = numbers.bandwidth_hz * MOST_BPS_PER_HZ
    if uplink_bps >= most_bps:
        least = (_snr_of_rate(numbers, most_bps) - own_db) / deviation_db
        shadows_db[site] = -deviation_db * _below(-least, uniform(shares, site))
    elif uplink_bps > 0.0:
        shadows_db[site] = _snr_of_rate(numbers, uplink_bps) - own_db
    else:
        shadows_db[site] = deviation_db * _below((LEAST_SNR_DB - own_db) / deviation_db, uniform(shares, site))
    bound_db = own_db + shadows_db[site] + margin_db
    for a in range(len(shadows_db)):
        if a != site:
            mean_db = mean_snr_db(numbers, position_m[0] - sites_m[a, 0], position_m[1] - sites_m[a, 1])
            shadows_db[a] = deviation_db * _below((bound_db - mean_db) / deviation_db, uniform(shares, a))
