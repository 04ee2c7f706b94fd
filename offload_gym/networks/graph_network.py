"""Trained networks of graphs, and their files.

A file of such a network is a safetensors file with the tensors ``layers.<i>.weight`` (outputs, inputs) and
``layers.<i>.bias``. The network reads what ``offload_gym.networks.graph_view`` writes for one task at one location, and
gives one number, its score. So it takes any number of tasks, of locations and of cores. Its metadata say what
``GraphNetwork`` has beside the layers.
"""

from __future__ import annotations

import json
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from offload_gym.checks import checked_count, quoted
from offload_gym.files import replacing
from offload_gym.layers import Layers
from offload_gym.networks.graph_view import INPUTS, VIEW_VERSION
from offload_gym.tensor_files import (
    COUNT,
    GRAPH_POLICY,
    JSON_OBJECT,
    Fields,
    chain,
    one_of,
    read_policy_file,
    safetensors_bytes,
)

MOST = 1_000  # starts, passes and sweeps


class GraphNetwork(NamedTuple):
    """A network that scores locations for the tasks of applications, and how often it is used for one decision."""

    layers: Layers  # max(0, .) behind each but the last, which has one output
    num_starts: int  # fixed places that drafts begin with, the best first
    num_passes: int  # over the tasks from each of them, at most
    num_sweeps: int  # of single moves behind each pass, at most
    metadata: dict[str, str]  # everything else the file says of itself
    view_version: int = VIEW_VERSION
    # What it was trained for and on.
    objective: str = "makespan"
    trained_tasks: tuple[int, int] | None = None  # the fewest and the most tasks of an application
    scenario: str = "unknown"  # its short name, for people
    scenario_fields: dict[str, Any] | None = None  # as ``offload_gym.scenario.described`` gives them

    @property
    def observation_noise(self) -> float:
        """What it knew of rates and backlogs in its training: the truth."""
        return 0.0

    @property
    def num_parameters(self) -> int:
        """Weights and biases."""
        return sum(weight.size + bias.size for weight, bias in self.layers)


def _tasks(text: str) -> tuple[int, int]:
    fewest, most = (COUNT[0](part) for part in text.split(","))
    if not 1 <= fewest <= most:
        raise ValueError
    return fewest, most


_FIELDS: Fields = {
    "num_starts": COUNT,
    "num_passes": COUNT,
    "num_sweeps": COUNT,
    "view_version": COUNT,
    "objective": one_of(("makespan",)),
    "trained_tasks": (_tasks, "two whole numbers with a comma between them, the fewest and the most"),
    "scenario": (str, "a name"),
    "scenario_fields": JSON_OBJECT,
}
_NEEDED = ("num_starts", "num_passes", "num_sweeps", "view_version", "objective")


def check_graph_network(network: GraphNetwork) -> None:
    """ValueError where this package cannot run a network: one sentence."""
    if not isinstance(network, GraphNetwork):
        raise ValueError(f"network is a {type(network).__name__}; it must be a GraphNetwork")
    if network.view_version != VIEW_VERSION:
        raise ValueError(
            f"the network reads version {network.view_version} of the view of graphs; this package has version "
            f"{VIEW_VERSION}, and the network must be trained anew"
        )
    if network.objective != "makespan":
        raise ValueError(f"objective is {quoted(network.objective)}; networks of graphs are for 'makespan' alone")
    for name, least in (("num_starts", 1), ("num_passes", 1), ("num_sweeps", 0)):
        if checked_count(name, getattr(network, name), least) > MOST:
            raise ValueError(f"{name} is {getattr(network, name)}; it must be at most {MOST}")
    if network.trained_tasks is not None and not 1 <= network.trained_tasks[0] <= network.trained_tasks[1]:
        raise ValueError(f"trained_tasks is {network.trained_tasks}; it must be the fewest, at least 1, and the most")
    if not network.layers:
        raise ValueError("the network has 0 layers; it must have at least 1")
    if not all(isinstance(array, np.ndarray) for layer in network.layers for array in layer):
        raise ValueError("layers has something else than arrays; it must hold pairs of arrays (weight, bias)")
    if (outputs := chain("layers", network.layers, INPUTS)[-1]) != 1:
        raise ValueError(f"the network has {outputs} outputs; it must have 1")


def save_graph_policy(path: str | Path, network: GraphNetwork) -> None:
    """Write a network into a file that ``offload_gym.load_policy`` reads; equal networks give the same bytes.

    Args:
        path: where to write; an existing file is replaced once the new one is whole.
        network: the network.

    Raises:
        ValueError: this package could not run it.
    """
    check_graph_network(network)
    said = network.metadata | {
        "format": GRAPH_POLICY,
        "num_starts": str(network.num_starts),
        "num_passes": str(network.num_passes),
        "num_sweeps": str(network.num_sweeps),
        "view_version": str(network.view_version),
        "objective": network.objective,
        "scenario": network.scenario,
    }
    if network.trained_tasks is not None:
        said["trained_tasks"] = ",".join(map(str, network.trained_tasks))
    if network.scenario_fields is not None:
        said["scenario_fields"] = json.dumps(network.scenario_fields)
    with replacing(path) as temporary:
        temporary.write_bytes(safetensors_bytes(said, {"layers": network.layers}))


def load_graph_network(path: str | Path | Traversable) -> GraphNetwork:
    """Read the file of a network, without torch; nothing in it is run. ValueError where it is something else."""
    fields, (layers,), metadata = read_policy_file(path, GRAPH_POLICY, _FIELDS, _NEEDED, ("layers",))
    network = GraphNetwork(layers=layers, metadata=metadata, **fields)
    try:
        check_graph_network(network)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return network
