"""Seeds of test, training and validation instances, which never meet."""

from __future__ import annotations

import numpy as np
from numpy.random import SeedSequence

PURPOSES = ("test", "training", "validation")


def seed_for(purpose: str, seed: int, *further: int) -> SeedSequence:
    """The seed of one purpose: streams of different purposes differ, also where ``seed`` is the same.

    Args:
        purpose: "test", "training" or "validation".
        seed: chosen by the user, at least 0.
        *further: numbers that tell several draws of one purpose apart.
    """
    if purpose not in PURPOSES:
        raise ValueError(f"purpose is {purpose!r}; it must be one of {', '.join(PURPOSES)}")
    check_seed(seed)
    return SeedSequence(seed, spawn_key=(PURPOSES.index(purpose), *further))


def as_seed_sequence(seed: int | SeedSequence) -> SeedSequence:
    """A seed whose children may be drawn: a plain number is a stream of its own, apart from those of the purposes."""
    if isinstance(seed, SeedSequence):
        return seed
    check_seed(seed)
    return SeedSequence(int(seed), spawn_key=(len(PURPOSES),))


def check_seed(seed: object) -> None:
    """ValueError where a whole number is given as a seed and is negative."""
    if isinstance(seed, int | np.integer) and seed < 0:
        raise ValueError(f"seed is {seed}; it must be at least 0")
