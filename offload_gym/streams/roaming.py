"""Devices that move, drawn: where they are in each slot, to which site they are attached and at what rates.

What is drawn here has random numbers of its own, beside those of streams whose devices stay where they are. The
functions do nothing where the scenario has no mobility, which numba knows when it compiles them.
"""

from __future__ import annotations

import numpy as np

from offload_gym.compilation import kernel
from offload_gym.random_numbers import uniform
from offload_gym.sampling import between
from offload_gym.streams.mobility import (
    MOVING,
    SHADOWING,
    STANDING,
    begin_mover,
    move,
    numbers_of_mover,
    resume_mover,
)
from offload_gym.streams.movers import MOVER
from offload_gym.streams.propagation import draw_shadows, follow_way, infer_shadows


@kernel
def place_servers(mobility, ranges, start, machines, servers):
    """Let the edge servers stand at sites that are drawn, each at another one as long as there are any.

    From its own site a server is reached in the propagation time of the first edge server, from others over the wired
    path of further ones.

    Args:
        mobility: ``Mobility``, or None: servers stay as they are.
        ranges: of the dtype RANGES.
        start: where the random numbers of the stream begin.
        machines: where those of its machines begin, which draw propagation and wired paths.
        servers: (S,) the edge servers, then the cloud server, which is at no site.
    """
    if mobility is None:
        return
    numbers, order = numbers_of_mover(start, STANDING, 0), np.arange(len(mobility.sites_m))
    for i in range(len(servers) - 1):
        at = i % len(order)
        if i < len(order):  # the next step of a shuffle (Fisher and Yates)
            other = at + int(uniform(numbers, i) * (len(order) - at))
            order[at], order[other] = order[other], order[at]
        server, k = servers[i], i + 1
        server.site = order[at]
        server.home_propagation_s = between(ranges.edge_propagation_s, uniform(machines, 1))
        further_s = between(ranges.further_edge_propagation_s, uniform(machines, 3 * k + 2))
        server.propagation_s = server.home_propagation_s + further_s
        server.wired_bps = between(ranges.further_edge_wired_bps, uniform(machines, 3 * k + 1))


@kernel
def roam(mobility, start, downlink_ratio, batch, b, d):
    """Fill positions, sites and rates of device ``d`` of stream ``b``; returns whether the scenario has mobility.

    ``start`` is where the random numbers of the stream begin.
    """
    if mobility is None:
        return False
    positions_m, slot_s = batch.positions[b, d], batch.common[b].slot_s
    movers, shadows_db = np.zeros(1, dtype=MOVER), np.empty(len(mobility.sites_m))
    movers[0].start = numbers_of_mover(start, MOVING, d)
    begin_mover(mobility, movers[0])
    _fill_way(mobility, movers[0], slot_s, positions_m)
    shadowing = numbers_of_mover(start, SHADOWING, d)
    draw_shadows(mobility.numbers[0], shadowing, shadows_db)
    at = positions_m[0], shadows_db, -1
    follow_way(mobility, shadowing, at, positions_m, batch.uplink_bps[b, d], batch.sites[b, d])
    for s in range(len(positions_m)):
        batch.downlink_bps[b, d, s] = batch.uplink_bps[b, d, s] * downlink_ratio
    return True


@kernel
def _fill_way(mobility, mover, slot_s, positions_m):
    """Fill positions (slots, 2), each a slot after the one before, of which the first is where the mover is."""
    for s in range(len(positions_m)):
        if s > 0:
            move(mobility, mover, slot_s)
        positions_m[s, 0], positions_m[s, 1] = mover.x_m, mover.y_m


@kernel
def roam_on(mobility, start, downlink_ratio, batch, row, from_slot, to_slot):
    """Fill what may come of a device after a slot, given that slot and the position in the one before.

    Returns whether the scenario has mobility.

    Args:
        mobility: ``Mobility``, or None.
        start: where the random numbers of the future begin.
        downlink_ratio: downlink over uplink.
        batch: ``StreamBatch``.
        row: (stream, device).
        from_slot: the slot of the present.
        to_slot: from here on all is as in the slot before.
    """
    if mobility is None:
        return False
    positions_m, uplink_bps = batch.positions[row[0], row[1]], batch.uplink_bps[row[0], row[1]]
    downlink_bps, sites = batch.downlink_bps[row[0], row[1]], batch.sites[row[0], row[1]]
    slot_s, before = batch.common[row[0]].slot_s, max(from_slot - 1, 0)
    movers, shadows_db = np.zeros(1, dtype=MOVER), np.empty(len(mobility.sites_m))
    movers[0].start = numbers_of_mover(start, MOVING, row[1])
    resume_mover(mobility, movers[0], positions_m[from_slot], positions_m[before], slot_s * (from_slot - before))
    _fill_way(mobility, movers[0], slot_s, positions_m[from_slot:to_slot])
    shadowing, site = numbers_of_mover(start, SHADOWING, row[1]), sites[from_slot]
    margin_db = mobility.numbers[0].hysteresis_db if from_slot > 0 else 0.0
    infer_shadows(mobility, shadowing, positions_m[from_slot], uplink_bps[from_slot], site, margin_db, shadows_db)
    later = slice(from_slot + 1, to_slot)
    at = positions_m[from_slot], shadows_db, site
    follow_way(mobility, shadowing, at, positions_m[later], uplink_bps[later], sites[later])
    for s in range(from_slot + 1, len(uplink_bps)):
        last = min(s, to_slot - 1)
        positions_m[s, 0], positions_m[s, 1] = positions_m[last, 0], positions_m[last, 1]
        uplink_bps[s], sites[s] = uplink_bps[last], sites[last]
        downlink_bps[s] = uplink_bps[s] * downlink_ratio
    return True
