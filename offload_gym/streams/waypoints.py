"""Random waypoints in a rectangle: straight to a random place, a pause, on to the next one."""

from __future__ import annotations

import math

import numpy as np

from offload_gym.compilation import kernel
from offload_gym.streams.movers import draw, within

DIRECTIONS = 64  # at most, that are tried for a way of which nothing is known but a place


@kernel
def _anywhere(numbers, mover):
    """A uniform point of the rectangle."""
    x_m = numbers.left_m + draw(mover) * numbers.width_m
    return x_m, numbers.bottom_m + draw(mover) * numbers.height_m


@kernel
def _set_out(numbers, mover):
    """Begin the way to the next waypoint."""
    mover.to_x_m, mover.to_y_m = _anywhere(numbers, mover)
    mover.m_per_s = within(numbers.least_m_per_s, numbers.most_m_per_s, draw(mover))


@kernel
def _speed_on_the_way(numbers, mover):
    """The speed of a way at a random moment: slow ones take longer, in inverse proportion to the speed."""
    mover.m_per_s = numbers.least_m_per_s * (numbers.most_m_per_s / numbers.least_m_per_s) ** draw(mover)


@kernel
def _rest(numbers, mover):
    """What is left of a pause at a random moment of it: long ones are met more often, at any of their moments alike."""
    low, high = numbers.least_pause_s, numbers.most_pause_s
    pause_s = math.sqrt(within(low * low, high * high, draw(mover)))
    mover.pause_s = pause_s * (1.0 - draw(mover))
    if mover.pause_s == 0.0:
        _set_out(numbers, mover)


@kernel
def begin_between(numbers, mover):
    """The steady state of random waypoints (Navidi and Camp, IEEE Trans. Mobile Computing 3(1), 2004).

    A pause is met as often as it takes time. Else long ways are met more often, at any of their points alike, and slow
    ones, in inverse proportion to the speed.
    """
    if draw(mover) < numbers.pausing_share:
        mover.x_m, mover.y_m = _anywhere(numbers, mover)
        _rest(numbers, mover)
        return
    longest_m = math.hypot(numbers.width_m, numbers.height_m)
    while True:
        from_x_m, from_y_m = _anywhere(numbers, mover)
        mover.to_x_m, mover.to_y_m = _anywhere(numbers, mover)
        if draw(mover) * longest_m < math.hypot(mover.to_x_m - from_x_m, mover.to_y_m - from_y_m):
            break
    share = draw(mover)
    mover.x_m, mover.y_m = within(from_x_m, mover.to_x_m, share), within(from_y_m, mover.to_y_m, share)
    _speed_on_the_way(numbers, mover)


@kernel
def move_between(numbers, mover, seconds):
    """Let a mover go on for a time."""
    while True:
        if mover.pause_s > 0.0:
            if mover.pause_s > seconds:
                mover.pause_s -= seconds
                return
            seconds -= mover.pause_s
            mover.pause_s = 0.0
            _set_out(numbers, mover)
        away_m = math.hypot(mover.to_x_m - mover.x_m, mover.to_y_m - mover.y_m)
        reach_m = mover.m_per_s * seconds
        if reach_m < away_m:
            mover.x_m += (mover.to_x_m - mover.x_m) * reach_m / away_m
            mover.y_m += (mover.to_y_m - mover.y_m) * reach_m / away_m
            return
        seconds -= away_m / mover.m_per_s
        mover.x_m, mover.y_m = mover.to_x_m, mover.to_y_m
        mover.pause_s = within(numbers.least_pause_s, numbers.most_pause_s, draw(mover))
        if mover.pause_s == 0.0:
            _set_out(numbers, mover)


@kernel
def resume_between(numbers, mover, before_m, slot_s):
    """Go on in the direction of the last slot for a length drawn given place and direction.

    The ways through a place in a direction begin a metres behind it and end b metres ahead with a density in proportion
    to a + b: ways through a point are met by their length, and points lie as far away in a plane. In the first slot
    direction and speed are drawn, too, as they are met.
    """
    x_m, y_m = mover.x_m - before_m[0], mover.y_m - before_m[1]
    moved_m = math.hypot(x_m, y_m)
    if moved_m == 0.0:
        if numbers.pausing_share > 0.0 and (slot_s > 0.0 or draw(mover) < numbers.pausing_share):
            _rest(numbers, mover)
            return
        if slot_s > 0.0:
            _set_out(numbers, mover)
            return
        x, y = _direction_on_the_way(numbers, mover)
        _speed_on_the_way(numbers, mover)
    else:
        x, y = x_m / moved_m, y_m / moved_m
        mover.m_per_s = min(max(moved_m / slot_s, numbers.least_m_per_s), numbers.most_m_per_s)
    behind_m, ahead_m = _to_edge(numbers, mover, -x, -y), _to_edge(numbers, mover, x, y)
    least = draw(mover) * (ahead_m * ahead_m + behind_m * ahead_m)
    length_m = 0.5 * (math.sqrt(behind_m * behind_m + 4.0 * least) - behind_m)
    mover.to_x_m, mover.to_y_m = mover.x_m + x * length_m, mover.y_m + y * length_m


@kernel
def _direction_on_the_way(numbers, mover):
    """The direction (x, y) of length 1 of a way through the place of a mover.

    With the edge A metres behind and B ahead, the ways through the place have the density A B (A + B): the integral of
    that of ``resume_between``. Directions to or from a uniform point have A^2 + B^2, and are kept with a probability in
    proportion to the quotient. At an edge there may be none; the last one that was tried is as good as any there.
    """
    longest_m, x, y = math.hypot(numbers.width_m, numbers.height_m), 1.0, 0.0
    for _ in range(DIRECTIONS):
        to_x_m, to_y_m = _anywhere(numbers, mover)
        away_m = math.hypot(to_x_m - mover.x_m, to_y_m - mover.y_m)
        side = 1.0 if draw(mover) < 0.5 else -1.0
        if away_m > 0.0:
            x, y = side * (to_x_m - mover.x_m) / away_m, side * (to_y_m - mover.y_m) / away_m
        behind_m, ahead_m = _to_edge(numbers, mover, -x, -y), _to_edge(numbers, mover, x, y)
        squares = behind_m * behind_m + ahead_m * ahead_m
        if draw(mover) * squares * longest_m < 2.0 * behind_m * ahead_m * (behind_m + ahead_m):
            break
    return x, y


@kernel
def _to_edge(numbers, mover, x, y):
    """How far the edge of the rectangle is in a direction of length 1."""
    far_m = np.inf
    if x != 0.0:
        far_m = min(far_m, (numbers.left_m + (numbers.width_m if x > 0.0 else 0.0) - mover.x_m) / x)
    if y != 0.0:
        far_m = min(far_m, (numbers.bottom_m + (numbers.height_m if y > 0.0 else 0.0) - mover.y_m) / y)
    return max(far_m, 0.0)
