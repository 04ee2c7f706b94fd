"""The names of the fields of instances in files: what each file must have, and what a wrong name was meant to be."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable, Sequence

from offload_gym.checks import quoted
from offload_gym.instances import Instances

_PARAMETERS = inspect.signature(Instances).parameters.values()
REQUIRED_FIELDS = tuple(p.name for p in _PARAMETERS if p.default is p.empty)
OPTIONAL_FIELDS = tuple(p.name for p in _PARAMETERS if p.default is not p.empty)

UNITS = {
    "bits": "bits (a byte is 8 bits, a kB 8,000)",
    "cycles": "CPU cycles (a Gcycle is 1e9)",
    "hz": "hertz (a GHz is 1e9)",
    "bps": "bits a second (a Mbit/s is 1e6)",
    "s": "seconds (a ms is 0.001)",
    "w": "watts (a mW is 0.001)",
}


def check_names(
    source: str, what: str, given: Sequence[str], required: Sequence[str], optional: Iterable[str] = ()
) -> None:
    """One sentence about the first name that is missing, misspelled, unknown, or in another unit.

    Args:
        source: where the names stand.
        what: what they name: "column" or "field".
        given: the names.
        required: names that must be there.
        optional: names that may.

    Raises:
        ValueError: the sentence.
    """
    known = (*required, *optional)
    missing = [name for name in required if name not in given]
    unknown = [name for name in given if name not in known]
    for name in unknown:
        meant = _meant(name, [candidate for candidate in known if candidate not in given])
        if meant is not None:
            unit = UNITS.get(meant.rpartition("_")[2])
            hint = f", in {unit}" if unit and "_" in meant else ""
            raise ValueError(f"{source} has the {what} {quoted(name)} where {meant} is expected{hint}")
    if missing:
        raise ValueError(f"{source} has no {what} {missing[0]}; it must have {', '.join(required)}")
    if unknown:
        raise ValueError(f"{source} has the unknown {what} {quoted(unknown[0])}; it may have {', '.join(known)}")
    for name in given:
        if given.count(name) > 1:
            raise ValueError(f"{source} has the {what} {name} more than once")


def _meant(name: str, candidates: Sequence[str]) -> str | None:
    """The name that another one stands for: with another unit or without one, or misspelled."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    for candidate in candidates:
        stem = candidate.rpartition("_")[0]
        if plain == candidate or (stem and (plain == stem or plain.startswith(f"{stem}_"))):
            return candidate
    return next(iter(difflib.get_close_matches(plain, candidates, n=1, cutoff=0.75)), None)
