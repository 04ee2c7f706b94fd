"""Means, intervals and profiles over instances and training seeds: pure functions of arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BOOTSTRAP_SAMPLES = 2000
ENDS = (0.025, 0.975)  # of a 95 % interval
NORMAL_QUANTILE = 1.960
#: 97.5 % quantiles of Student's t distribution with 1, 2, ... degrees of freedom; of more, the last, which is larger.
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
#: Where profiles are kept: how much worse than the best, as a share of it.
TAUS = (0.0, *(round(10 ** (k / 8 - 3), 5) for k in range(25)))  # 0, 0.1 %, ..., 100 %
ROUNDING = 1e-9  # of a share that is 0


def bootstrap_interval(values: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of ``values``: (N,) of instances, or (S, N) of seeds, too.

    Of several training seeds, each sample draws S of the seeds with replacement and, apart from them, N of the
    instances, the same for each seed drawn: all networks meet the same instances, so that seeds and instances cross
    (Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2), 2007). Drawing instances anew within each seed
    would take S x N values for as many instances, and give too narrow an interval. What belongs to one seed and one
    instance alone is counted up to three times, so that the interval is rather too wide. That few seeds say little is
    in ``widened``. Agarwal, Schwarzer, Castro, Courville and Bellemare ("Deep reinforcement learning at the edge of the
    statistical precipice", NeurIPS 2021) draw runs within each of a few tasks, which stay as they are; here the
    instances are a sample themselves.

    The ends are means of samples, as they are drawn, so that an infinite value leaves finite ones as they are.
    """
    of_seeds = widened(np.atleast_2d(values))
    num_seeds, size = of_seeds.shape
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, num_seeds, (BOOTSTRAP_SAMPLES, num_seeds))
    means = [of_seeds[seeds].mean(axis=0)[rng.integers(0, size, size)].mean() for seeds in drawn]
    low, high = np.quantile(means, ENDS, method="inverted_cdf")
    return float(low), float(high)


def ratio_interval(costs: NDArray[np.float64], reference: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of how much the mean of ``costs`` is above that of ``reference``, as a share.

    The costs are (B,) of streams, or (S, B) of training seeds, too, which are drawn as in ``bootstrap_interval``; the
    reference (B,) is of the same streams, which are drawn in pairs.
    """
    of_seeds = widened(np.atleast_2d(costs))
    num_seeds, size = of_seeds.shape
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(size, np.full(size, 1.0 / size), BOOTSTRAP_SAMPLES)
    shares = rng.multinomial(num_seeds, np.full(num_seeds, 1.0 / num_seeds), BOOTSTRAP_SAMPLES) / num_seeds
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (shares * (counts @ of_seeds.T)).sum(axis=1) / (counts @ reference) - 1.0
    low, high = np.quantile(ratios, ENDS)
    return float(low), float(high)


def widened(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (S, N) whose deviations of seeds are larger, so that few seeds give as wide an interval as they should.

    The means of S seeds that are drawn from S have a variance that is too small by (S - 1) / S, and their percentiles
    are those of a normal distribution where Student's has S - 1 degrees of freedom: of 5 seeds alone a 95 % interval
    would hold the mean 83 % of the time (Hesterberg, "What teachers should know about the bootstrap", The American
    Statistician 69(4), 2015, who moves the percentiles instead). Here the deviations of the seeds' means are multiplied
    by the ratio of the two widths, and those of the instances stay as they are, as there are many. Where a value is
    infinite nothing is widened: the means of the seeds are infinite then.
    """
    num_seeds = len(values)
    if num_seeds == 1 or not np.isfinite(values).all():
        return values
    quantile = T_QUANTILES[min(num_seeds - 1, len(T_QUANTILES)) - 1]
    factor = quantile / NORMAL_QUANTILE * np.sqrt(num_seeds / (num_seeds - 1))
    return values + (factor - 1.0) * (values.mean(axis=1, keepdims=True) - values.mean())


def interquartile_mean(values: NDArray[np.float64]) -> float:
    """The mean without the lowest and the highest quarter of ``values``: one instance among many moves it little.

    Values of several training seeds count together (Agarwal and others, as in ``bootstrap_interval``).
    """
    ordered = np.sort(values, axis=None)
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def profile(excess: NDArray[np.float64]) -> list[float]:
    """The share of ``excess`` that is at most each of ``TAUS``: a performance profile.

    ``excess`` is how much worse than the best a policy was on each instance (of each training seed), as a share of the
    best: a gap, or the ratio of Dolan and More minus 1 ("Benchmarking optimization software with performance profiles",
    Mathematical Programming 91, 2002; Agarwal and others 2021 draw the same of scores).
    """
    return [float((excess <= tau + ROUNDING).mean()) for tau in TAUS]
