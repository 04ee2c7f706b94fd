"""Recorded ways, followed forth and back."""

from __future__ import annotations

import math

import numpy as np

from offload_gym.compilation import kernel
from offload_gym.streams.movers import draw

PLACES = 256  # recorded places that are drawn for a future
FEW_PLACES = 16  # of these, the most similar ones, at any of which it goes on
LIKE_S = 10.0  # a difference of 1 m/s in velocity counts as one of so many metres in place
REST_M_PER_S = 0.1  # below it a device rests
FAR_M = 1e9
MOST_STRETCH = 8.0


@kernel
def begin_track(mobility, mover):
    """Any of the tracks, at any of its moments."""
    mover.track, mover.track_s = _any_place(mobility, mover)
    follow_track(mobility, mover)


@kernel
def _any_place(mobility, mover):
    track = int(draw(mover) * (len(mobility.track_start) - 1))
    return track, draw(mover) * 2.0 * _duration_s(mobility, track)


@kernel
def _duration_s(mobility, track):
    return mobility.tracks[mobility.track_start[track + 1] - 1, 0] - mobility.tracks[mobility.track_start[track], 0]


@kernel
def _on_track(mobility, track, track_s):
    """Where a track is after a time, and its velocity: forth, back the same way, and so on; straight between its rows.

    Returns x and y in metres, then in metres a second.
    """
    first, last = mobility.track_start[track], mobility.track_start[track + 1] - 1
    duration_s, sign = _duration_s(mobility, track), 1.0
    if duration_s > 0.0:
        track_s %= 2.0 * duration_s
        if track_s > duration_s:
            track_s, sign = 2.0 * duration_s - track_s, -1.0
    at_s = mobility.tracks[first, 0] + track_s
    while last - first > 1:
        middle = (first + last) // 2
        if mobility.tracks[middle, 0] <= at_s:
            first = middle
        else:
            last = middle
    before, after = mobility.tracks[first], mobility.tracks[last]
    rest_s = after[0] - before[0] if last > first else np.inf
    share, x_m, y_m = (at_s - before[0]) / rest_s, after[1] - before[1], after[2] - before[2]
    return before[1] + share * x_m, before[2] + share * y_m, sign * x_m / rest_s, sign * y_m / rest_s


@kernel
def follow_track(mobility, mover):
    """Put a mover where its track is."""
    x_m, y_m, _, _ = _on_track(mobility, mover.track, mover.track_s)
    mover.x_m = mover.turn_x * x_m - mover.turn_y * y_m + mover.off_x_m
    mover.y_m = mover.turn_y * x_m + mover.turn_x * y_m + mover.off_y_m


@kernel
def resume_track(mobility, mover, before_m, slot_s):
    """Go on as a device did at a recorded place like the present one, from here and with the present velocity.

    Any of the FEW_PLACES that are most like the present one, of PLACES that are drawn as those are at which devices
    begin: by their distance, and by the difference in velocity times LIKE_S, where the velocity is known; where one of
    both rests and the other does not, after all others. The nearest one alone would be, with few tracks, the way that
    the device really takes. What is left of the difference in velocity turns and stretches the way.
    """
    unlike_m, found = np.full(FEW_PLACES, np.inf), np.zeros((FEW_PLACES, 4))  # ascending; track, time, velocity
    like_s, vx, vy = 0.0, 0.0, 0.0
    if slot_s > 0.0:
        like_s, vx, vy = LIKE_S, (mover.x_m - before_m[0]) / slot_s, (mover.y_m - before_m[1]) / slot_s
    rests = math.hypot(vx, vy) < REST_M_PER_S
    for _ in range(PLACES):
        track, track_s = _any_place(mobility, mover)
        x_m, y_m, x, y = _on_track(mobility, track, track_s)
        other_m = math.hypot(x_m - mover.x_m, y_m - mover.y_m) + like_s * math.hypot(x - vx, y - vy)
        if slot_s > 0.0 and rests != (math.hypot(x, y) < REST_M_PER_S):
            other_m += FAR_M
        if other_m < unlike_m[-1]:
            at = FEW_PLACES - 1
            while at > 0 and unlike_m[at - 1] > other_m:
                unlike_m[at], found[at] = unlike_m[at - 1], found[at - 1]
                at -= 1
            unlike_m[at], found[at, 0], found[at, 1] = other_m, track, track_s
            found[at, 2], found[at, 3] = x, y
    chosen = found[int(draw(mover) * FEW_PLACES)]
    mover.track, mover.track_s = int(chosen[0]), chosen[1]
    x, y = chosen[2], chosen[3]
    squared = x * x + y * y
    if not rests and squared >= REST_M_PER_S * REST_M_PER_S:
        mover.turn_x, mover.turn_y = (vx * x + vy * y) / squared, (vy * x - vx * y) / squared
        stretch = math.hypot(mover.turn_x, mover.turn_y)
        least = min(max(stretch, 1.0 / MOST_STRETCH), MOST_STRETCH) / stretch
        mover.turn_x, mover.turn_y = mover.turn_x * least, mover.turn_y * least
    here_x_m, here_y_m = mover.x_m, mover.y_m
    follow_track(mobility, mover)
    mover.off_x_m, mover.off_y_m = here_x_m - mover.x_m, here_y_m - mover.y_m
    mover.x_m, mover.y_m = here_x_m, here_y_m
