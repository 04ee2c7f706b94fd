"""What all readers share: the options of a file, what they return, and checks of a number where it stands in a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from offload_gym.applications.attributes import Rename
from offload_gym.applications.task_graph import Edge, Task
from offload_gym.checks import checked_number, quoted

BITS_PER_BYTE = 8
# A second of run time is 10^9 cycles: WorkflowSim, too, makes 1,000 million instructions of a second in a DAX file, and
# its machines run 1,000 million a second (https://github.com/WorkflowSim/WorkflowSim-1.0, WorkflowParser.java).
REFERENCE_HZ = 1e9
UNIT_BITS = 8e6  # 1 MB


class Options(NamedTuple):
    """What a file leaves open; None where the caller says nothing. See ``offload_gym.load_application``."""

    reference_hz: float | None = None
    unit_bits: float | None = None
    dimensions: Mapping[str, int] | None = None
    rename: Rename | None = None

    @property
    def hz(self) -> float:
        """The reference speed."""
        return REFERENCE_HZ if self.reference_hz is None else self.reference_hz

    @property
    def bits(self) -> float:
        """Bits of a unit of data."""
        return UNIT_BITS if self.unit_bits is None else self.unit_bits


class Parts(NamedTuple):
    """The tasks and edges of an application in the order of its file; ``name`` is None where the file has none."""

    name: str | None
    tasks: list[Task]
    edges: list[Edge]


def amount(label: str, value: Any) -> float:
    """A size, a time or a cost of a file; ValueError where it is not a number, finite and at least 0."""
    return checked_number(label, value, "a number, finite and at least 0", lambda number: 0 <= number < math.inf)


def amount_in(label: str, text: str) -> float:
    """The same of a text."""
    try:
        return amount(label, float(text))
    except ValueError:
        raise ValueError(f"{label} is {quoted(text)}; it must be a number, finite and at least 0") from None


def rows(where: str, data: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The list of objects that stands under ``key`` of an object of JSON; ValueError where none does."""
    found = data.get(key)
    if not isinstance(found, list):
        raise ValueError(f"{where} has {quoted(found)} as its {key}; it must be a list")
    for i, row in enumerate(found):
        if not isinstance(row, dict):
            raise ValueError(f"{key}[{i}] of {where} is {quoted(row)}; it must be an object")
    return found


def needed(label: str, data: Mapping[str, Any], key: str) -> Any:
    """What stands under ``key``; ValueError where nothing does."""
    if key not in data:
        raise ValueError(f"{label} has no {key!r}")
    return data[key]


def name_in(label: str, data: Mapping[str, Any], key: str) -> str:
    """The string that stands under ``key``."""
    found = needed(label, data, key)
    if not isinstance(found, str):
        raise ValueError(f"{key} of {label} is {quoted(found)}; it must be a string")
    return found
