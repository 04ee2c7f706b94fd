"""Seeds of test, training and validation instances, which never meet."""

from __future__ import annotations

from collections.abc import Iterable

from numpy.random import BitGenerator, Generator, RandomState, SeedSequence

from offload_gym.checks import is_whole, quoted

PURPOSES = ("test", "training", "validation")
#: Bits of a seed. SeedSequence writes the key of the purpose behind the seed, from this bit on at the earliest: a seed
#: with more bits could say there what is the key of another purpose.
SEED_BITS = 128


def seed_for(purpose: str, seed: int, *further: int) -> SeedSequence:
    """The seed of one purpose: streams of different purposes differ, also where ``seed`` is the same.

    Args:
        purpose: "test", "training" or "validation".
        seed: chosen by the user, at least 0 and below 2**128.
        *further: numbers that tell several draws of one purpose apart.
    """
    if purpose not in PURPOSES:
        raise ValueError(f"purpose is {quoted(purpose)}; it must be one of {', '.join(PURPOSES)}")
    _check_apart(seed, "a whole number")
    return SeedSequence(seed, spawn_key=(PURPOSES.index(purpose), *further))


def as_seed_sequence(seed: int | SeedSequence) -> SeedSequence:
    """A seed whose children may be drawn: a plain number is a stream of its own, apart from those of the purposes."""
    if isinstance(seed, SeedSequence):
        return seed
    _check_apart(seed, "a whole number or a SeedSequence")
    return SeedSequence(int(seed), spawn_key=(len(PURPOSES),))


def check_seed(seed: object) -> None:
    """ValueError where a seed is something that ``numpy.random.default_rng`` does not take."""
    if seed is None or isinstance(seed, SeedSequence | Generator | BitGenerator | RandomState):
        return
    for part in seed if isinstance(seed, Iterable) and not isinstance(seed, str | bytes) else (seed,):
        _check_whole(part, "a whole number, several of them, a SeedSequence or a Generator")


def _check_apart(seed: object, wanted: str) -> None:
    """ValueError where a seed is none, or is so large that purposes could meet."""
    _check_whole(seed, wanted)
    if int(seed) >> SEED_BITS:  # type: ignore[call-overload]
        raise ValueError(f"seed is {quoted(seed)}; it must be below 2**{SEED_BITS}, so that purposes never meet")


def _check_whole(seed: object, wanted: str) -> None:
    if not is_whole(seed):
        raise ValueError(f"seed is {quoted(seed)}; it must be {wanted}")
    if seed < 0:  # type: ignore[operator]
        raise ValueError(f"seed is {quoted(seed)}; it must be at least 0")
