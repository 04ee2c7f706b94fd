"""Which number of an observation is what: the one table behind its flat form and its form of named fields.

The flat vector is one row of numbers; ``observation="dict"`` cuts the same vector into fields with a name and a shape.
Times are given in scales: seconds over the epoch's scale (``env.unwrapped.scale_s``), and then
``offload_gym.observation.squash``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, MultiBinary
from numpy.typing import NDArray

from offload_gym.checks import quoted
from offload_gym.scenario import Scenario, as_scenario

HIGH = 3.0  # bound of every number of an observation; the low bound is 0
FORMS = ("flat", "dict")
SCALE, ONE = "scale", "1"  # units
MASK = "task_mask"

Describe = Callable[..., tuple[str, str]]  # unit and meaning of the number at an index
Observation = Any  # an array of float32, or a dict of arrays: what the argument of the environment says
# Where the fields lie in memory: shape, offset and strides in bytes. Unlike fields they can be pickled.
Views = dict[str, tuple[tuple[int, ...], int, tuple[int, ...]]]


class Field(NamedTuple):
    """A part of the flat vector: the number at ``index`` stands at ``start + sum(index * steps)``."""

    name: str
    start: int
    shape: tuple[int, ...]
    steps: tuple[int, ...]  # one for each axis
    describe: Describe


@dataclass(frozen=True)
class Column:
    """One number of the flat vector, and where the dict has it: ``observation[field][index]``."""

    field: str
    index: tuple[int, ...]
    unit: str  # "scale": seconds over the epoch's scale, squashed; "1": no unit; those of streams say theirs
    meaning: str

    @property
    def name(self) -> str:
        """The expression that reads it from the dict, such as ``tasks[0, 3]``."""
        return f"{self.field}[{', '.join(map(str, self.index))}]"


def observation_fields(
    num_tasks: int, cores: Sequence[int], dependent: bool = False, priced: bool = False, roll_outs: bool = True
) -> list[Field]:
    """The fields in the order of the flat vector.

    Args:
        num_tasks: n, the number of task rows.
        cores: (K,) cores of each location.
        dependent: whether tasks can depend on each other.
        priced: whether the objective is "cost".
        roll_outs: whether the options look beyond the next task.
    """
    n, K = num_tasks, len(cores)
    row = ["run time on the device"]
    for k in range(1, K):
        row += [
            f"send time on the radio to remote location {k}",
            f"path time to remote location {k}: wired path and propagation",
            f"run time at remote location {k}",
            f"return time of the result from remote location {k}",
        ]
    options = [
        "completion of the task of row 0, placed at location {}",
        "makespan if greedy places all later tasks after location {}",
        "mean completion if greedy places all later tasks after location {}",
    ]
    if dependent:
        row += [
            "upward rank: mean time from its start to the end",
            "mean transfer time of all its incoming data",
            "mean transfer time of all its outgoing data",
        ]
        options += [
            "least makespan if later tasks go to one location after location {}",
            "least mean completion if later tasks go to one location after location {}",
            "makespan that the critical path leaves possible after location {}",
            "mean completion that the critical path leaves possible after location {}",
        ]
    if not roll_outs:
        options = options[:1]
    links = [
        "uplink time of the reference data to remote location {}",
        "downlink time of the reference data from remote location {}",
        "wired-path time of the reference data to remote location {}",
        "propagation time to remote location {}",
    ]
    prices = [
        "what a second of run time on the device costs, in seconds of makespan",
        "what a second of sending costs, in seconds of makespan",
    ]
    of_cores = [f"when core {m} of location {k} is free, earliest first" for k in range(K) for m in range(cores[k])]
    width = 1 + len(row)
    fields = [
        Field(MASK, 0, (n,), (width,), lambda i: (ONE, f"1: row {i} holds a task; 0: it is padding")),
        Field("tasks", 1, (n, width - 1), (width, 1), lambda i, c: (SCALE, f"row {i}: {row[c]}")),
    ]
    rest: list[tuple[str, tuple[int, ...], Describe]] = [
        ("radio", (1,), lambda _: (SCALE, "when the radio is free")),
        ("makespan", (1,), lambda _: (SCALE, "makespan of the tasks placed so far")),
        ("share_left", (1,), lambda _: (ONE, "share of the epoch's tasks that are not placed")),
        ("cores", (len(of_cores),), lambda c: (SCALE, of_cores[c])),
        ("options", (K, len(options)), lambda k, c: (SCALE, options[c].format(k))),
    ]
    if dependent:
        rest += [
            ("links", (K - 1, 4), lambda k, c: (SCALE, links[c].format(k + 1))),
            ("arrivals", (n, K), lambda i, k: (SCALE, f"when data for row {i} from placed parents is at location {k}")),
            ("adjacency", (n, n), lambda i, j: (SCALE, f"send time to location 1 of the data from row {i} to row {j}")),
        ]
    if priced:
        rest.append(("prices", (2,), lambda c: (ONE, prices[c])))
    at = n * width
    for name, shape, describe in rest:
        # Options lie in the vector location by location, everything else row by row.
        steps = (1, K) if name == "options" else (*shape[1:], 1)
        fields.append(Field(name, at, shape, steps, describe))
        at += math.prod(shape)
    return fields


def observation_size(
    num_tasks: int, cores: Sequence[int], dependent: bool = False, priced: bool = False, roll_outs: bool = True
) -> int:
    """Numbers in an observation of ``num_tasks`` rows and locations with as many ``cores``."""
    return sum(math.prod(field.shape) for field in observation_fields(num_tasks, cores, dependent, priced, roll_outs))


def observation_space(
    num_tasks: int, cores: Sequence[int], dependent: bool = False, priced: bool = False, roll_outs: bool = True
) -> Box:
    """The space of flat observations."""
    return Box(0.0, HIGH, (observation_size(num_tasks, cores, dependent, priced, roll_outs),), np.float32)


def columns(
    scenario: str | Mapping[str, Any] | Scenario = "default", objective: str = "makespan", roll_outs: bool = True
) -> list[Column]:
    """What each number of the flat vector is, in its order.

    Args:
        scenario: a preset's name, a dict with "name" and what to change in it, or a ``Scenario``.
        objective: of the environment; "cost" adds two columns.
        roll_outs: of the environment.
    """
    scenario = as_scenario(scenario)
    fields = observation_fields(scenario.most_tasks, scenario.cores, scenario.dependent, objective == "cost", roll_outs)
    return columns_of(fields)


def columns_of(fields: Sequence[Field]) -> list[Column]:
    """What each number of the flat vector is, in its order."""
    placed = {}
    for field in fields:
        for index in product(*map(range, field.shape)):
            position = field.start + sum(i * step for i, step in zip(index, field.steps, strict=True))
            placed[position] = Column(field.name, index, *field.describe(*index))
    return [placed[position] for position in range(len(placed))]


def observed(scenario: Scenario, priced: bool, form: str, roll_outs: bool) -> tuple[gym.Space, Views | None, int]:
    """Space of an environment's observations, what ``shown`` makes them with, and how many numbers they have.

    Args:
        scenario: of the environment.
        priced: whether its objective is "cost".
        form: "flat" or "dict".
        roll_outs: whether the observations hold them.

    Raises:
        ValueError: the form is another one.
    """
    check_form(form)
    shape = scenario.most_tasks, scenario.cores, scenario.dependent, priced, roll_outs
    flat = observation_space(*shape)
    if form == "flat":
        return flat, None, flat.shape[0]
    fields = observation_fields(*shape)
    space = Dict({field.name: _space_of(field) for field in fields})
    return space, views_of(fields, space), flat.shape[0]


def check_form(form: object) -> None:
    """ValueError where the form of an observation is unknown."""
    if not isinstance(form, str) or form not in FORMS:
        raise ValueError(f"observation is {quoted(form)}; it must be 'flat' or 'dict'")


def _space_of(field: Field) -> gym.Space:
    return MultiBinary(field.shape[0]) if field.name == MASK else Box(0.0, HIGH, field.shape, np.float32)


def views_of(fields: Sequence[Field], space: Dict) -> Views:
    """Where fields lie in memory, in the order of their space."""
    size = np.dtype(np.float32).itemsize
    views = {field.name: (field.shape, size * field.start, tuple(size * s for s in field.steps)) for field in fields}
    return {name: views[name] for name in space}


def shown(flat: NDArray[np.float32], views: Views | None) -> Observation:
    """Flat observations (size,) or (N, size), contiguous, in the form of the environment.

    The fields of a dict are views of them, but for the mask, which is made of other numbers (int8).
    """
    if views is None:
        return flat
    batch, rows = flat.shape[:-1], flat.strides[:-1]
    fields: dict[str, NDArray] = {
        name: np.ndarray(batch + shape, np.float32, flat, offset, rows + strides)
        for name, (shape, offset, strides) in views.items()
    }
    if MASK in fields:
        fields[MASK] = fields[MASK].astype(np.int8)
    return fields
