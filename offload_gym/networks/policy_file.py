"""Policy files: trained networks as arrays.

A policy file is in the safetensors format (an 8-byte header length, a JSON header, raw little-endian arrays), so
reading one runs nothing from it. Its tensors are ``encoder.<i>.weight`` (outputs, inputs), ``encoder.<i>.bias``, and
the same for ``head``; its metadata say how the network is used:

- form "sequential": the network is asked once a task and sees the schedule so far; "joint": one pass decides all tasks.
- with an encoder, each task row is encoded, and the head reads [the joint form only: sum of the encodings of earlier
  tasks], sum of the encodings of later tasks, the task's row, and the state. Such a network takes any number of tasks.
- without one, the head reads the plain observation vector. Such a network takes the number of tasks it was trained for.
- dependent "1" or "0": whether rows and states are those for dependent tasks. Such a network takes independent tasks,
  too, but not the other way round.
- roll_outs "1" (also where it is missing) or "0": whether the head reads the whole state, or what comes before the
  roll-outs, which then need not be made.
- all that ``Network`` says of its training, where the file says so.
"""

from __future__ import annotations

import json
import math
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import quoted
from offload_gym.delay import OBJECTIVES
from offload_gym.estimates import MAX_NOISE, check_noise
from offload_gym.layers import Layers
from offload_gym.networks.graph_network import GraphNetwork
from offload_gym.networks.trained_range import Bounds, TrainedRange
from offload_gym.observation import row_size, state_size
from offload_gym.observation_layout import observation_size
from offload_gym.scenario import Scenario, difference
from offload_gym.tensor_files import (
    ACTIVATIONS,
    COUNT,
    FLAG,
    JSON_OBJECT,
    Fields,
    chain,
    count,
    one_of,
    read_policy_file,
    safetensors_bytes,
)
from offload_gym.tensor_files import POLICY as FORMAT

FORMS = ("sequential", "joint")


class Network(NamedTuple):
    """A network as the compiled runtime reads it."""

    form: str  # one of FORMS
    activation: str  # one of ACTIVATIONS, after each layer but the head's last
    cores: tuple[int, ...]  # (K,) cores of the locations it was trained with
    num_tasks: int  # that it was trained for, where it has no encoder; 0: any
    encoder: Layers
    head: Layers
    metadata: dict[str, str]  # everything else the file says of itself
    dependent: bool = False  # whether rows and states are those for dependent tasks
    roll_outs: bool = True  # whether the head reads the roll-outs in the state
    # What it was trained for and on. Where a file does not say so, it was the makespan and the truth, as at the time
    # when there was nothing else, and the rest is not known.
    objective: str = "makespan"
    observation_noise: float | str = 0.0
    trained_tasks: tuple[int, int] | None = None  # the fewest and the most tasks of an instance
    trained_range: TrainedRange = TrainedRange()
    scenario: str = "unknown"  # its short name, for people: scenarios of one name may differ
    scenario_fields: dict[str, Any] | None = None  # as ``offload_gym.scenario.described`` gives them
    learning_curve: tuple[tuple[float, float], ...] = ()  # (seconds of training, gap on validation) of each check

    @property
    def num_parameters(self) -> int:
        """Weights and biases."""
        return sum(weight.size + bias.size for weight, bias in self.encoder + self.head)


def other_training(
    network: Network | GraphNetwork, scenario: Scenario, objective: str, observation_noise: float | str | None = None
) -> str:
    """What a network was trained for, where that is not this scenario in any number of tasks, and this objective.

    None as the observation noise: any. Empty where it was trained for this; a network whose file does not say all
    fields of its scenario was trained for another one, whatever its name.
    """
    if network.scenario != scenario.label:
        return f"the scenario {quoted(network.scenario)}, not {quoted(scenario.label)}"
    if network.scenario_fields is None:
        return f"a scenario {quoted(network.scenario)} whose fields its file does not say"
    if found := difference(network.scenario_fields, scenario, but=("num_tasks", "max_tasks")):
        name, there, here = found
        return f"the {name} {quoted(there)}, not {quoted(here)}"
    if network.objective != objective:
        return f"the objective {quoted(network.objective)}, not {quoted(objective)}"
    if observation_noise not in (None, network.observation_noise):
        return f"the observation_noise {quoted(network.observation_noise)}, not {quoted(observation_noise)}"
    return ""


def layer_sizes(network: Network) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sizes of inputs and outputs along the encoder and the head, checked against the form."""
    if network.form not in FORMS or network.activation not in ACTIVATIONS:
        form, activation = quoted(network.form), quoted(network.activation)
        raise ValueError(f"a network of form {form} and activation {activation} is not known")
    if network.num_tasks < (0 if network.encoder else 1):
        raise ValueError(f"num_tasks is {network.num_tasks}; without an encoder it must be at least 1, else at least 0")
    if len(network.cores) < 2 or min(network.cores) < 1:
        raise ValueError(f"cores is {network.cores}; it must have two locations or more, each with at least 1 core")
    joint = network.form == "joint"
    num_locations = len(network.cores)
    row = row_size(num_locations, network.dependent)
    state = state_size(sum(network.cores), num_locations, network.dependent, network.roll_outs)
    encoder_sizes = chain("encoder", network.encoder, row - 1) if network.encoder else []
    if network.encoder:
        head_sizes = chain("head", network.head, (1 + joint) * encoder_sizes[-1] + row - 1 + state)
        outputs = num_locations
    else:
        head_sizes = chain("head", network.head, observation_size(network.num_tasks, network.cores, network.dependent))
        outputs = num_locations * (network.num_tasks if joint else 1)
    if len(head_sizes) < 2 or head_sizes[-1] != outputs:
        raise ValueError(f"the head has {head_sizes[-1]} outputs; it must have {outputs}")
    return np.array(encoder_sizes, dtype=np.int64), np.array(head_sizes, dtype=np.int64)


def _noise(text: str) -> float | str:
    noise = text if text == "last" else float(text)
    check_noise("observation_noise", noise)
    return noise


def _bounds(text: str) -> Bounds:
    low, high = map(float, text.split())
    if not low <= high:
        raise ValueError
    return Bounds(low, high)


def _curve(text: str) -> tuple[tuple[float, float], ...]:
    points = []
    for point in text.split(";"):
        seconds, gap = map(float, point.split())
        if not (math.isfinite(seconds) and math.isfinite(gap)):
            raise ValueError
        points.append((seconds, gap))
    return tuple(points)


_RANGE = "trained_range_"  # what the names of its bounds begin with
_FIELDS: Fields = {
    "form": one_of(FORMS),
    "activation": one_of(ACTIVATIONS),
    "cores": (lambda text: tuple(map(count, text.split(","))), "whole numbers with commas between them"),
    "num_tasks": COUNT,
    "dependent": FLAG,
    "roll_outs": FLAG,
    "objective": one_of(OBJECTIVES),
    "observation_noise": (_noise, f"a number from 0 to {MAX_NOISE:g}, or last"),
    "trained_fewest_tasks": COUNT,
    "trained_num_tasks": COUNT,
    **{f"{_RANGE}{name}": (_bounds, "two numbers, low and high") for name in TrainedRange._fields},
    "scenario": (str, "a name"),
    "scenario_fields": JSON_OBJECT,
    "learning_curve": (_curve, "pairs of seconds and a gap, with semicolons between them"),
}
_NEEDED = ("form", "activation", "cores", "num_tasks")


def _with_ranges(path: str | Path | Traversable, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of ``Network``, from those of the file."""
    bounds = {name: fields.pop(_RANGE + name) for name in TrainedRange._fields if _RANGE + name in fields}
    fields["trained_range"] = TrainedRange(**bounds)
    most = fields.pop("trained_num_tasks", None)
    fewest = fields.pop("trained_fewest_tasks", most)
    if fewest is not None:
        if most is None or fewest > most:
            raise ValueError(
                f"{path} has the trained_fewest_tasks {fewest}; it must be at most its trained_num_tasks, {most}"
            )
        fields["trained_tasks"] = fewest, most
    return fields


def metadata_of(network: Network) -> dict[str, str]:
    """All that a policy file says of a network beside its weights, as ``load_network`` reads it."""
    said = network.metadata | {
        "format": FORMAT,
        "form": network.form,
        "activation": network.activation,
        "cores": ",".join(map(str, network.cores)),
        "num_tasks": str(network.num_tasks),
        "dependent": str(int(network.dependent)),
        "roll_outs": str(int(network.roll_outs)),
        "objective": network.objective,
        "observation_noise": str(network.observation_noise),
        "scenario": network.scenario,
    }
    if network.trained_tasks is not None:
        said["trained_fewest_tasks"], said["trained_num_tasks"] = map(str, network.trained_tasks)
    for name, bounds in zip(TrainedRange._fields, network.trained_range, strict=True):
        if bounds != Bounds():
            said[_RANGE + name] = f"{bounds.low} {bounds.high}"
    if network.scenario_fields is not None:
        said["scenario_fields"] = json.dumps(network.scenario_fields)
    if network.learning_curve:
        said["learning_curve"] = ";".join(f"{seconds} {gap}" for seconds, gap in network.learning_curve)
    return said


def network_bytes(network: Network) -> bytes:
    """The policy file of a network: equal networks give the same bytes."""
    return safetensors_bytes(metadata_of(network), {"encoder": network.encoder, "head": network.head})


def load_network(path: str | Path | Traversable) -> Network:
    """Read a policy file; ValueError where it is something else."""
    fields, (encoder, head), metadata = read_policy_file(path, FORMAT, _FIELDS, _NEEDED, ("encoder", "head"))
    fields = _with_ranges(path, fields)
    return Network(encoder=encoder, head=head, metadata=metadata, **fields)
