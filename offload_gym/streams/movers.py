"""A device on its way, and its random numbers."""

from __future__ import annotations

import numpy as np

from offload_gym.compilation import kernel, record
from offload_gym.random_numbers import uniform

#: A device on its way.
MOVER = record(
    [
        ("x_m", np.float64),
        ("y_m", np.float64),
        ("to_x_m", np.float64),  # next waypoint, or the next crossing
        ("to_y_m", np.float64),
        ("m_per_s", np.float64),
        ("pause_s", np.float64),  # that is left; 0 on the way
        ("heading", np.int64),  # on roads: EAST, NORTH, WEST or SOUTH
        ("column", np.int64),  # of the next crossing
        ("row", np.int64),
        ("track", np.int64),  # that is followed
        ("track_s", np.float64),  # since its beginning, forth and back
        ("turn_x", np.float64),  # the track is turned and stretched by this complex factor, 1 where it is as recorded
        ("turn_y", np.float64),
        ("off_x_m", np.float64),  # and moved by this
        ("off_y_m", np.float64),
        ("start", np.uint64),  # of the random numbers
        ("number", np.int64),  # how many of them were drawn
    ]
)


@kernel
def draw(mover):
    """The next uniform random number of a mover."""
    mover.number += 1
    return uniform(mover.start, mover.number - 1)


@kernel
def within(low, high, u):
    """What is at a share of the way from one number to another."""
    return low + u * (high - low)
