"""Functions of two numbers on a grid, linear in between, that stay below what they stand for when they are shifted."""

from __future__ import annotations

import numpy as np

from offload_gym.compilation import inlined, kernel
from offload_gym.lending import lent


@inlined
def _within(at, size):
    return min(max(at, 0), size - 1)


@kernel
def shift_radio(values, by, shifted):
    """Fill ``shifted`` (X, W) so that it is, linear in between, nowhere above ``values`` at ``max(0, x + by)``.

    Both stand for functions that are linear between their points, of distance 1, and constant after the last one.
    Between two points of the shifted function there is one bend; it is below the straight line by ``f * (1 - f)``
    times the second difference there, where that is positive.
    """
    values, shifted = lent(values), lent(shifted)
    size, width = values.shape
    by = min(max(by, -2.0 * size), 2.0 * size)
    floor = int(np.floor(by))
    f = by - floor
    g = f * (1.0 - f)
    for x in range(size):
        m = x + floor
        p, a, b, c = _within(m - 1, size), _within(m, size), _within(m + 1, size), _within(m + 2, size)
        for w in range(width):
            left, right = values[a, w], values[b, w]
            bend = max(values[p, w] - 2.0 * left + right, left - 2.0 * right + values[c, w])
            shifted[x, w] = (1.0 - f) * left + f * right - g * max(bend, 0.0)


@kernel
def shift_cores(values, by, shifted, line):
    """As ``shift_radio``, along the other axis; ``line`` (W + 3,) is scratch space."""
    values, shifted, line = lent(values), lent(shifted), lent(line)
    size, width = values.shape
    by = min(max(by, -2.0 * width), 2.0 * width)
    floor = int(np.floor(by))
    f = by - floor
    g = f * (1.0 - f)
    for x in range(size):
        for at in range(width + 3):
            line[at] = values[x, _within(at + floor - 1, width)]
        for w in range(width):
            left, right = line[w + 1], line[w + 2]
            bend = max(line[w] - 2.0 * left + right, left - 2.0 * right + line[w + 3])
            shifted[x, w] = (1.0 - f) * left + f * right - g * max(bend, 0.0)


@inlined
def between(table, x, w):
    """The value of a table between its points."""
    a, b = int(min(x, table.shape[0] - 1.0)), int(min(w, table.shape[1] - 1.0))
    f, g = min(x - a, 1.0), min(w - b, 1.0)
    c, e = min(a + 1, table.shape[0] - 1), min(b + 1, table.shape[1] - 1)
    return (1.0 - f) * ((1.0 - g) * table[a, b] + g * table[a, e]) + f * ((1.0 - g) * table[c, b] + g * table[c, e])
