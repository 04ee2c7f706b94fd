"""Checks of arrays that callers give: numbers of a shape and within bounds, or one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from offload_gym.checks import is_whole, quoted, shortened

# A schedule keeps a time for each core, and of n tasks none needs more than n cores of a location.
MAX_CORES = 10_000

Bound = tuple[Callable[[NDArray], NDArray], str]  # whether each number is within it, and how a sentence says it


def check_count(name: str, value: Any) -> None:
    """ValueError where ``value`` is not a whole number, at least 1."""
    if not is_whole(value) or value < 1:
        raise ValueError(f"{name} is {quoted(value)}; it must be a whole number, at least 1")


def numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """An array of float64; ValueError where there is something else than numbers."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biufO":  # numpy would make numbers of texts and dates, too
            raise ValueError(f"it has the type {array.dtype}")
        return np.asarray(array, dtype=np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers, but {shortened(str(error))}") from None


def not_negative(array: NDArray) -> NDArray:
    """Whether each number is finite and at least 0."""
    return np.isfinite(array) & (array >= 0)


def positive(array: NDArray) -> NDArray:
    """Whether each number is finite and above 0."""
    return np.isfinite(array) & (array > 0)


def positive_or_infinite(array: NDArray) -> NDArray:
    """Whether each number is above 0, infinity too."""
    return array > 0


def whole(array: NDArray) -> NDArray:
    """Whether each number is whole and at least 1."""
    return np.isfinite(array) & (array == np.floor(array)) & (array >= 1)


def core_count(array: NDArray) -> NDArray:
    """Whether each number is one of cores."""
    return whole(array) & (array <= MAX_CORES)


def require(name: str, array: NDArray, good: NDArray, bound: str) -> None:
    """ValueError on the first element that is not good, with its index, value and bound."""
    if not good.all():
        index = tuple(int(j) for j in np.argwhere(~good)[0])
        raise ValueError(f"{name}{list(index)} is {float(array[index])}; it must be {bound}")


NOT_NEGATIVE: Bound = (not_negative, "finite and at least 0")
POSITIVE: Bound = (positive, "finite and above 0")
POSITIVE_OR_INFINITE: Bound = (positive_or_infinite, "above 0 (infinite is allowed)")
CORE_COUNT: Bound = (core_count, f"a whole number from 1 to {MAX_CORES:,}")
