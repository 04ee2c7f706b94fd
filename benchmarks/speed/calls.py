"""What it takes to hand the arrays of a batch to a compiled function, in three forms."""

from __future__ import annotations

import numpy as np
from numba import njit

from benchmarks.speed.rows import Row, Side, Target, compared
from benchmarks.speed.timing import Effort, interleaved
from offload_gym.sampling import sample_instances
from offload_gym.seeds import seed_for


@njit
def _take_tuple(arrays):
    return len(arrays[0]) + len(arrays[8])


@njit
def _take_arguments(a, b, c, d, e, f, g, h, i):
    return len(a) + len(i)


def measure_calls(effort: Effort, seed: int) -> list[Row]:
    """The rows of the group "calls": a plain tuple, as kernels take it, against arguments and a tuple with names.

    Arguments are handed over a little sooner, which is what the names in kernels cost.
    """
    batch = sample_instances("default", 1, seed_for("test", seed)).batch
    arrays = tuple(batch)
    calls = (lambda: _take_tuple(arrays), lambda: _take_arguments(*arrays), lambda: _take_tuple(batch))
    seconds = interleaved(calls, effort)
    medians = np.median(seconds, axis=0)
    ours = Side(f"handing {len(arrays)} arrays to a compiled function, in a plain tuple", 1, seconds[:, 0])
    figures = {"time_s": float(medians[0])}
    arguments, named = Side("as arguments", 1, seconds[:, 1]), Side("in a tuple with names", 1, seconds[:, 2])
    return [
        compared(ours, arguments, "calls", [Target("ratio", 0.5)], figures),
        compared(ours, named, "calls", [Target("ratio", 2.0)], figures),
    ]
