"""Recorded ways, followed forth and back."""

from __future__ import annotations

import math

import numpy as np

from offload_gym.compilation import kernel
from offload_gym.streams.movers import draw, within

PLACES = 256  # rows of recorded positions that are drawn, to go on at the nearest of them


@kernel
def begin_track(mobility, mover):
    """Any of the tracks, at any of its moments."""
    mover.track = int(draw(mover) * (len(mobility.track_start) - 1))
    mover.track_s = draw(mover) * 2.0 * _duration_s(mobility, mover.track)
    follow_track(mobility, mover)


@kernel
def _duration_s(mobility, track):
    return mobility.tracks[mobility.track_start[track + 1] - 1, 0] - mobility.tracks[mobility.track_start[track], 0]


@kernel
def _on_track(mobility, track, track_s):
    """Where a track is after a time: forth, back the same way, and so on; straight between two of its rows."""
    first, last = mobility.track_start[track], mobility.track_start[track + 1] - 1
    duration_s = _duration_s(mobility, track)
    if duration_s > 0.0:
        track_s %= 2.0 * duration_s
        track_s = min(track_s, 2.0 * duration_s - track_s)
    at_s = mobility.tracks[first, 0] + track_s
    while last - first > 1:
        middle = (first + last) // 2
        if mobility.tracks[middle, 0] <= at_s:
            first = middle
        else:
            last = middle
    before, after = mobility.tracks[first], mobility.tracks[last]
    share = (at_s - before[0]) / (after[0] - before[0]) if last > first else 0.0
    return within(before[1], after[1], share), within(before[2], after[2], share)


@kernel
def follow_track(mobility, mover):
    """Put a mover where its track is."""
    x_m, y_m = _on_track(mobility, mover.track, mover.track_s)
    mover.x_m, mover.y_m = x_m + mover.off_x_m, y_m + mover.off_y_m


@kernel
def resume_track(mobility, mover, before_m):
    """Go on as a recorded position near the present one did, at a constant distance from it.

    The nearest of some positions that are drawn; back where the device moved the other way.
    """
    nearest_m, found = np.inf, 0
    for _ in range(PLACES):
        row = int(draw(mover) * len(mobility.tracks))
        away_m = math.hypot(mobility.tracks[row, 1] - mover.x_m, mobility.tracks[row, 2] - mover.y_m)
        if away_m < nearest_m:
            nearest_m, found = away_m, row
    track = 0
    while mobility.track_start[track + 1] <= found:
        track += 1
    first, last = mobility.track_start[track], mobility.track_start[track + 1] - 1
    mover.track, mover.track_s = track, mobility.tracks[found, 0] - mobility.tracks[first, 0]
    one, other = mobility.tracks[max(found - 1, first)], mobility.tracks[min(found + 1, last)]
    x_m, y_m = mover.x_m - before_m[0], mover.y_m - before_m[1]
    if (other[1] - one[1]) * x_m + (other[2] - one[2]) * y_m < 0.0:
        mover.track_s = 2.0 * _duration_s(mobility, track) - mover.track_s
    at_x_m, at_y_m = _on_track(mobility, track, mover.track_s)
    mover.off_x_m, mover.off_y_m = mover.x_m - at_x_m, mover.y_m - at_y_m
