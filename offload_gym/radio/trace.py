"""Recorded rates as samples in time."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_S = 1e7  # some 115 days: what lasts longer has its times in another unit than it seems
# Digits of a second. Times in floating point are rounded: what is left of a sample in the next second would end an
# outage there.
ROUNDED = 6


class Trace(NamedTuple):
    """A recorded rate. S samples, which need not be equally far apart.

    Args:
        taken_for: what the file was taken for, in words.
        num_samples: rows of the file that hold a rate, or packets.
        start_s: (S,), seconds from the beginning of the trace, ascending from 0. A sample holds until the next one.
        rate_bps: (S,), bits a second; 0 is an outage.
        duration_s: when the last sample ends.
    """

    taken_for: str
    num_samples: int
    start_s: NDArray[np.float64]
    rate_bps: NDArray[np.float64]
    duration_s: float

    def rates_bps(self, step_s: float = 1.0) -> NDArray[np.float64]:
        """The mean rate in each step: (steps,), bits a second.

        The number of steps is the duration in steps, rounded to a whole number and at least 1; a last step that the
        trace does not fill has the mean over the part that it fills.
        """
        steps = max(1, math.floor(self.duration_s / step_s + 0.5))
        edges_s = np.round(np.arange(steps + 1) * step_s, ROUNDED)
        if np.array_equal(edges_s[:-1], self.start_s):
            return self.rate_bps
        edges_s[-1] = min(edges_s[-1], self.duration_s)
        times_s = np.append(self.start_s, self.duration_s)
        bits = np.append(0.0, np.cumsum(self.rate_bps * np.diff(times_s)))
        rates_bps: NDArray[np.float64] = np.diff(np.interp(edges_s, times_s, bits)) / np.diff(edges_s)
        return rates_bps

    @property
    def summary(self) -> str:
        """What the file was taken for, in one line: a mistake shows in the seconds, or in the rates."""
        mbps = self.rates_bps() / 1e6
        outages = f", {np.mean(mbps == 0):.1%} of the seconds in an outage" if (mbps == 0).any() else ""
        return (
            f"{self.taken_for}: {self.num_samples:,} samples, {self.duration_s:,.6g} s, {mbps.mean():.4g} Mbit/s in "
            f"the mean and {mbps.max():.4g} in the best second{outages}"
        )
