"""How devices move: a scenario's mobility as arrays, and where a device is from slot to slot.

A mover makes the positions of one device, one after the other, from random numbers by position. All that is random
begins in its steady state, so that the first seconds of an episode are like any others.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import kernel, record
from offload_gym.mobility import MOBILITY as KINDS
from offload_gym.mobility import ROADS, STAY, WAYPOINT, load_tracks, sites_of
from offload_gym.random_numbers import stream
from offload_gym.scenario import Scenario
from offload_gym.streams.propagation import LINK_FIELDS, link_numbers
from offload_gym.streams.roads import begin_on_road, move_on_road, resume_on_road
from offload_gym.streams.tracks import begin_track, follow_track, resume_track
from offload_gym.streams.waypoints import begin_between, move_between, resume_between

#: The numbers of a scenario's mobility.
MOVEMENT = record(
    [
        ("kind", np.int64),  # number in ``offload_gym.mobility.MOBILITY``
        ("left_m", np.float64),  # the rectangle in which devices move
        ("bottom_m", np.float64),
        ("width_m", np.float64),
        ("height_m", np.float64),
        ("least_m_per_s", np.float64),
        ("most_m_per_s", np.float64),
        ("least_pause_s", np.float64),
        ("most_pause_s", np.float64),
        ("pausing_share", np.float64),  # of the time
        ("block_m", np.float64),  # of roads
        ("columns", np.int64),  # blocks beside each other
        ("rows", np.int64),
        *LINK_FIELDS,
    ]
)
# What the random numbers of a moving stream are for. They lie beside those of ``offload_gym.streams.parameters``, which
# are those of episode 0 of the same start.
MOVING, SHADOWING, STANDING = 1, 2, 3


class Mobility(NamedTuple):
    """How devices move among A sites."""

    numbers: NDArray[np.void]  # (1,) of the dtype MOVEMENT
    sites_m: NDArray[np.float64]  # (A, 2) x and y
    tracks: NDArray[np.float64]  # (rows, 3), see ``offload_gym.mobility.Tracks``
    track_start: NDArray[np.int64]


def mobility_of(scenario: Scenario) -> Mobility | None:
    """The mobility of a scenario as arrays; None where devices do not move."""
    kind = KINDS.index(scenario.mobility)
    if kind == STAY:
        return None
    sites = sites_of(scenario.to_dict())
    numbers = np.zeros(1, dtype=MOVEMENT)
    numbers["kind"] = kind
    low, high = sites.xy_m.min(axis=0), sites.xy_m.max(axis=0)
    centre, size = 0.5 * (low + high), scenario.area_m or high - low + scenario.site_spacing_m
    blocks = np.maximum(np.round(np.array(size) / scenario.road_spacing_m), 1.0)
    if kind == ROADS:
        size = blocks * scenario.road_spacing_m
    (width_m, height_m), (least, most), (least_pause_s, most_pause_s) = size, scenario.speed_m_per_s, scenario.pause_s
    trip_s = mean_distance(width_m, height_m) * (
        math.log(most / least) / (most - least) if most > least else 1.0 / most
    )
    mean_pause_s = 0.5 * (least_pause_s + most_pause_s)
    given = {
        "left_m": centre[0] - 0.5 * width_m,
        "bottom_m": centre[1] - 0.5 * height_m,
        "width_m": width_m,
        "height_m": height_m,
        "least_m_per_s": least,
        "most_m_per_s": most,
        "least_pause_s": least_pause_s,
        "most_pause_s": most_pause_s,
        "pausing_share": mean_pause_s / (mean_pause_s + trip_s),
        "block_m": scenario.road_spacing_m,
        "columns": blocks[0],
        "rows": blocks[1],
        **link_numbers(scenario),
    }
    for name, value in given.items():
        numbers[name] = value
    rows, start = np.zeros((0, 3)), np.zeros(1, dtype=np.int64)
    if scenario.positions_path is not None:
        rows, start = load_tracks(scenario.positions_path, sites.origin)
    return Mobility(numbers, np.ascontiguousarray(sites.xy_m), rows, start)


def mean_distance(width_m: float, height_m: float) -> float:
    """Mean distance of two points that are uniform in a rectangle (Ghosh, Bull. Calcutta Math. Soc. 43, 1951)."""
    longer_m, ratio = max(width_m, height_m), min(width_m, height_m) / max(width_m, height_m)
    d = math.hypot(1.0, ratio)
    # The difference of 1 / ratio^2 and d / ratio^2 is 1 / (d + 1), which has all its digits in thin rectangles.
    logs = ratio * ratio * math.log((1.0 + d) / ratio) + math.asinh(ratio) / ratio
    return longer_m * (ratio**3 - 1.0 / (d + 1.0) + d * (3.0 - ratio * ratio) + 2.5 * logs) / 15.0


@kernel
def numbers_of_mover(start, purpose, d):
    """Where the random numbers of device ``d`` for one of MOVING, SHADOWING and STANDING begin."""
    return stream(start, purpose, d)


@kernel
def begin_mover(mobility, mover):
    """Put a mover whose ``start`` is given at its place at time 0."""
    numbers, mover.number = mobility.numbers[0], 0
    mover.pause_s = mover.off_x_m = mover.off_y_m = mover.turn_y = 0.0
    mover.turn_x = 1.0
    if numbers.kind == WAYPOINT:
        begin_between(numbers, mover)
    elif numbers.kind == ROADS:
        begin_on_road(numbers, mover)
    else:
        begin_track(mobility, mover)


@kernel
def move(mobility, mover, seconds):
    """Let a mover go on for a time."""
    numbers = mobility.numbers[0]
    if numbers.kind == WAYPOINT:
        move_between(numbers, mover, seconds)
    elif numbers.kind == ROADS:
        move_on_road(numbers, mover, seconds)
    else:
        mover.track_s += seconds
        follow_track(mobility, mover)


@kernel
def resume_mover(mobility, mover, now_m, before_m, slot_s):
    """Put a mover whose ``start`` is given at a position as it may go on, given the position a slot before.

    Speed and direction are what the two positions say; all else is drawn. Where they are the same, the device pauses.
    In the first slot nothing is known of either.

    Args:
        mobility: ``Mobility``.
        mover: of the dtype MOVER.
        now_m: (2,) x and y.
        before_m: (2,) the same in the first slot.
        slot_s: seconds between the two, 0 in the first slot.
    """
    numbers, mover.number = mobility.numbers[0], 0
    mover.pause_s = mover.off_x_m = mover.off_y_m = mover.turn_y = 0.0
    mover.turn_x = 1.0
    mover.x_m, mover.y_m = now_m[0], now_m[1]
    if numbers.kind == WAYPOINT:
        resume_between(numbers, mover, before_m, slot_s)
    elif numbers.kind == ROADS:
        resume_on_road(numbers, mover, before_m, slot_s)
    else:
        resume_track(mobility, mover, before_m, slot_s)
