"""CMA-ES: the minimum of a function of a few numbers that has no slopes and some noise.

After the tutorial of N. Hansen (arXiv 1604.00772) with its default settings, without negative weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def minimise(
    function: Callable[[NDArray[np.float64]], float],
    start: NDArray[np.float64],
    num_evaluations: int,
    seed: int,
    step: float = 0.5,
) -> tuple[NDArray[np.float64], float]:
    """The best point that was found, and its value.

    Args:
        function: of (n,) numbers, n at least 1.
        start: (n,) where the search begins; it is evaluated, too.
        num_evaluations: after which no further generation begins.
        seed: of what is drawn.
        step: standard deviation of the first steps, in all directions.
    """
    n = len(start)
    rng = np.random.default_rng(seed)
    population = 4 + int(3 * math.log(n))
    weights = np.log((population + 1) / 2) - np.log(np.arange(1, population // 2 + 1))
    weights /= weights.sum()
    effective = 1.0 / (weights**2).sum()
    path_rate = (4 + effective / n) / (n + 4 + 2 * effective / n)
    step_rate = (effective + 2) / (n + effective + 5)
    one_rate = 2 / ((n + 1.3) ** 2 + effective)
    many_rate = min(1 - one_rate, 2 * (effective - 2 + 1 / effective) / ((n + 2) ** 2 + effective))
    damping = 1 + 2 * max(0.0, math.sqrt((effective - 1) / (n + 1)) - 1) + step_rate
    expected = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))

    mean, covariance = np.array(start, dtype=np.float64), np.eye(n)
    path, step_path = np.zeros(n), np.zeros(n)
    best, least, count = mean.copy(), function(mean), 1
    while count < num_evaluations:
        variances, axes = np.linalg.eigh(covariance)
        lengths = np.sqrt(np.maximum(variances, 1e-20))
        moves = rng.normal(size=(population, n)) * lengths @ axes.T
        values = np.array([function(mean + step * move) for move in moves])
        count += population
        order = np.argsort(values, kind="stable")
        if values[order[0]] < least:
            best, least = mean + step * moves[order[0]], float(values[order[0]])
        chosen = moves[order[: len(weights)]]
        move = weights @ chosen
        mean = mean + step * move
        step_path = (1 - step_rate) * step_path + math.sqrt(step_rate * (2 - step_rate) * effective) * (
            axes @ (axes.T @ move / lengths)
        )
        length = float(np.linalg.norm(step_path))
        # Where the step grows fast the path waits, as it would make the covariance too long.
        steady = length < (1.4 + 2 / (n + 1)) * expected
        path = (1 - path_rate) * path + steady * math.sqrt(path_rate * (2 - path_rate) * effective) * move
        covariance = (
            (1 - one_rate - many_rate) * covariance
            + one_rate * np.outer(path, path)
            + many_rate * (chosen.T * weights) @ chosen
        )
        step *= math.exp(step_rate / damping * (length / expected - 1))
    return best, least
