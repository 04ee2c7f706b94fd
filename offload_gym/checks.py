"""Checks of what callers give, and how the sentences about it quote it."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

LONGEST = 120  # characters that a sentence quotes
LONGEST_SENTENCE = 600  # characters of one about names in a file, which may be of any length
MAX_COUNT = 1_000_000  # of what a scenario counts, such as tasks and edge servers: more are a mistake


def quoted(value: object) -> str:
    """What a sentence quotes of a value: its ``repr``, in one line and cut where it is long."""
    if isinstance(value, int) and abs(value) >= 10**LONGEST:
        return f"a whole number of {int(math.log10(abs(value))) + 1:,} digits"
    try:
        return shortened(repr(value))
    except (RecursionError, ValueError):  # nested too deeply, or with a number that Python does not write
        return f"a {type(value).__name__}"


def shortened(text: str, longest: int = LONGEST) -> str:
    """A text in one line, cut where it is long."""
    line = " ".join(text.split()) if "\n" in text else text
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def is_whole(value: object) -> bool:
    """Whether a value is a whole number of Python or numpy; True and False are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def check_flag(name: str, value: object) -> None:
    """ValueError where ``value`` is neither True nor False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} is {quoted(value)}; it must be True or False")


def as_path(path: object) -> Path:
    """The path that a caller gives of a file or a folder; ValueError where it is none."""
    if not isinstance(path, str | os.PathLike) or path == "":
        raise ValueError(f"path is {quoted(path)}; it must be the path of a file or a folder")
    return Path(path)


def is_number(value: object) -> bool:
    """Whether a value is a number that a float can hold."""
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return isinstance(value, float | np.integer | np.floating)


def checked_number(name: str, value: Any, bound: str, holds: Callable[[float], bool]) -> float:
    """A number as a float; ValueError where it is none, or not what the bound says."""
    if not (is_number(value) and holds(value)):
        raise ValueError(f"{name} is {quoted(value)}; it must be {bound}")
    return float(value)


def checked_count(name: str, value: Any, lowest: int, highest: int = MAX_COUNT) -> int:
    """A whole number within bounds; ValueError where it is none."""
    if not is_whole(value) or value < lowest:
        raise ValueError(f"{name} is {quoted(value)}; it must be a whole number, at least {lowest}")
    if value > highest:
        raise ValueError(f"{name} is {quoted(value)}; it must be at most {highest:,}")
    return int(value)
