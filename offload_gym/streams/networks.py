"""Trained networks that decide streams, and their files.

A file of a stream network is a safetensors file with the tensors ``layers.<i>.weight`` (outputs, inputs) and
``layers.<i>.bias``. The network reads the observation of ``offload_gym.streams.observing``, and gives a score to each
location, and a last one to dropping the job where it was trained to do so; the highest score is chosen. Its metadata
say what ``StreamNetwork`` has beside the layers.
"""

from __future__ import annotations

import json
import math
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from offload_gym.checks import check_flag, checked_count, quoted
from offload_gym.files import replacing
from offload_gym.layers import Layers, packed
from offload_gym.streams.deciding import CLASSES, NETWORK, TERMS, Plan
from offload_gym.streams.observing import OBSERVATION_VERSION, size_of
from offload_gym.tensor_files import (
    ACTIVATIONS,
    COUNT,
    FLAG,
    JSON_OBJECT,
    STREAM_POLICY,
    Fields,
    chain,
    one_of,
    read_policy_file,
    safetensors_bytes,
)

OBJECTIVES = ("response", "late", "cost")


class StreamNetwork(NamedTuple):
    """A network that decides where the next task of a stream goes."""

    layers: Layers
    activation: str  # one of ACTIVATIONS, behind each layer but the last
    num_locations: int
    can_drop: bool  # whether one more output drops the job
    metadata: dict[str, str]  # everything else the file says of itself
    observation_version: int = OBSERVATION_VERSION
    # What it was trained for and on.
    objective: str = "response"
    scenario: str = "unknown"  # its short name, for people
    scenario_fields: dict[str, Any] | None = None  # as ``offload_gym.scenario.described`` gives them

    @property
    def num_parameters(self) -> int:
        """Weights and biases."""
        return sum(weight.size + bias.size for weight, bias in self.layers)


_FIELDS: Fields = {
    "activation": one_of(ACTIVATIONS),
    "num_locations": COUNT,
    "can_drop": FLAG,
    "observation_version": COUNT,
    "objective": one_of(OBJECTIVES),
    "scenario": (str, "a name"),
    "scenario_fields": JSON_OBJECT,
}
_NEEDED = ("activation", "num_locations", "can_drop", "observation_version", "objective")


def check_network(network: StreamNetwork) -> None:
    """ValueError where this package cannot run a network: one sentence."""
    if not isinstance(network, StreamNetwork):
        raise ValueError(f"network is a {type(network).__name__}; it must be a StreamNetwork")
    for name, allowed in (("activation", ACTIVATIONS), ("objective", OBJECTIVES)):
        if (given := getattr(network, name)) not in allowed:
            raise ValueError(f"{name} is {quoted(given)}; it must be one of {', '.join(allowed)}")
    if network.observation_version != OBSERVATION_VERSION:
        raise ValueError(
            f"the network reads version {network.observation_version} of the observation of streams; this package has "
            f"version {OBSERVATION_VERSION}, and the network must be trained anew"
        )
    checked_count("num_locations", network.num_locations, 2)
    check_flag("can_drop", network.can_drop)
    for name in ("scenario", "metadata"):
        given = getattr(network, name)
        texts = [given] if name == "scenario" else [*given, *given.values()] if isinstance(given, dict) else [given]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{name} is {quoted(given)}; it must be {'texts' if name == 'metadata' else 'a text'}")
    if not network.layers:
        raise ValueError("the network has 0 layers; it must have at least 1")
    if not all(isinstance(array, np.ndarray) for layer in network.layers for array in layer):
        raise ValueError("layers has something else than arrays; it must hold pairs of arrays (weight, bias)")
    outputs, wanted = chain("layers", network.layers, size_of(network.num_locations))[-1], num_outputs(network)
    if outputs != wanted:
        raise ValueError(f"the network has {outputs} outputs; it must have {wanted}")


def num_outputs(network: StreamNetwork) -> int:
    """A score for each location, and one for dropping the job."""
    return network.num_locations + int(network.can_drop)


def network_plan(network: StreamNetwork) -> Plan:
    """How a kernel decides as a network does; ValueError where it cannot."""
    check_network(network)
    unused = np.zeros((len(CLASSES), len(TERMS)))
    return Plan(NETWORK, unused, math.inf, *packed(network.layers), network.activation == "tanh", num_outputs(network))


def metadata_of(network: StreamNetwork) -> dict[str, str]:
    """All that a file says of a network beside its weights, as ``load_stream_network`` reads it."""
    said = network.metadata | {
        "format": STREAM_POLICY,
        "activation": network.activation,
        "num_locations": str(network.num_locations),
        "can_drop": str(int(network.can_drop)),
        "observation_version": str(network.observation_version),
        "objective": network.objective,
        "scenario": network.scenario,
    }
    if network.scenario_fields is not None:
        said["scenario_fields"] = json.dumps(network.scenario_fields)
    return said


def save_stream_policy(path: str | Path, network: StreamNetwork) -> None:
    """Write a network into a file that ``offload_gym.load_stream_policy`` reads; equal networks give the same bytes.

    Args:
        path: where to write; missing folders are made, an existing file is replaced.
        network: the network.

    Raises:
        ValueError: this package could not run it.
    """
    check_network(network)
    with replacing(path) as temporary:
        temporary.write_bytes(safetensors_bytes(metadata_of(network), {"layers": network.layers}))


def load_stream_network(path: str | Path | Traversable) -> StreamNetwork:
    """Read the file of a network, without torch; nothing in it is run. ValueError where it is something else."""
    fields, (layers,), metadata = read_policy_file(path, STREAM_POLICY, _FIELDS, _NEEDED, ("layers",))
    network = StreamNetwork(layers=layers, metadata=metadata, **fields)
    try:
        check_network(network)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return network
