"""Which number of a stream's observation is what, in its flat form and in its form of named fields.

The table itself stands beside the kernel, in ``offload_gym.streams.observing``. A number is ``scaled`` there: the root
of what the column counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict

from offload_gym.observation_layout import Column, Field, Views, check_form, columns_of, views_of
from offload_gym.scenario import Scenario, as_scenario
from offload_gym.streams.observing import HIGH, LOCATION_COLUMNS, OF_LOCATION, STREAM_COLUMNS, size_of


def _of_location(unit: str, meaning: str, k: int) -> tuple[str, str]:
    return unit, f"location {k}: {meaning}"


def _of_stream(unit: str, meaning: str, _: int) -> tuple[str, str]:
    return unit, meaning


def stream_fields(num_locations: int) -> list[Field]:
    """The fields of an observation with K locations: (K,) for each column of locations, and (1,) for each other."""
    fields = [
        Field(name, c, (num_locations,), (OF_LOCATION,), partial(_of_location, unit, meaning))
        for c, (name, unit, meaning) in enumerate(LOCATION_COLUMNS)
    ]
    first = OF_LOCATION * num_locations
    return fields + [
        Field(name, first + c, (1,), (1,), partial(_of_stream, unit, meaning))
        for c, (name, unit, meaning) in enumerate(STREAM_COLUMNS)
    ]


def stream_columns(scenario: str | Mapping[str, Any] | Scenario = "stream") -> list[Column]:
    """What each number of the flat vector is, in its order.

    Args:
        scenario: a preset's name, a dict with "name" and what to change in it, or a ``Scenario``.
    """
    return columns_of(stream_fields(as_scenario(scenario, "stream").num_locations))


def stream_observed(num_locations: int, form: str) -> tuple[gym.Space, Views | None, int]:
    """Space of the observations, what ``observation_layout.shown`` makes them with, and how many numbers they have.

    Args:
        num_locations: K.
        form: "flat" or "dict".

    Raises:
        ValueError: the form is another one.
    """
    check_form(form)
    size = size_of(num_locations)
    if form == "flat":
        return Box(0.0, HIGH, (size,), np.float32), None, size
    fields = stream_fields(num_locations)
    space = Dict({field.name: Box(0.0, HIGH, field.shape, np.float32) for field in fields})
    return space, views_of(fields, space), size


def column_table() -> str:
    """The table in Markdown: a row for each column."""
    rows = [(name, "k", f"{OF_LOCATION} k + {c}", *rest) for c, (name, *rest) in enumerate(LOCATION_COLUMNS)]
    rows += [(name, "0", f"{OF_LOCATION} K + {c}", *rest) for c, (name, *rest) in enumerate(STREAM_COLUMNS)]
    lines = [f"| {name}[{index}] | {at} | {unit} | {meaning} |" for name, index, at, unit, meaning in rows]
    return "\n".join(["| dict | flat | unit | content |", "|---|---|---|---|", *lines])
