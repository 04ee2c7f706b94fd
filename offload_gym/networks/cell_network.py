"""Trained networks of devices that share a cell, and their files.

A file of such a network is a safetensors file with the tensors ``encoder.<i>.weight`` (outputs, inputs),
``encoder.<i>.bias``, and the same for ``head``. The network is one of the sequential form of
``offload_gym.networks.policy_file`` without roll-outs, whose head reads ``COMPANY`` more numbers behind the state. Its
metadata say what ``CellNetwork`` has beside the layers.
"""

from __future__ import annotations

import json
import math
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple

from offload_gym.checks import quoted
from offload_gym.delay import COMPLETION_OBJECTIVES
from offload_gym.files import replacing
from offload_gym.layers import Layers
from offload_gym.networks.cell_kernel import COMPANY
from offload_gym.observation import row_size, state_size
from offload_gym.tensor_files import (
    CELL_POLICY,
    JSON_OBJECT,
    Fields,
    chain,
    count,
    one_of,
    read_policy_file,
    safetensors_bytes,
)


class CellNetwork(NamedTuple):
    """A network that decides for one device of a cell, told how much company there is."""

    cores: tuple[int, ...]  # (K,) cores of the locations it was trained with
    encoder: Layers
    head: Layers
    share: float  # by 1 + share * (devices - 1) its uplink is divided in what it sees
    metadata: dict[str, str]  # everything else the file says of itself
    # What it was trained for and on.
    objective: str = "makespan"
    num_devices: tuple[int, ...] = ()  # sizes of the cells
    scenario: str = "unknown"  # its short name, for people
    scenario_fields: dict[str, Any] | None = None  # as ``offload_gym.scenario.described`` gives them

    @property
    def num_parameters(self) -> int:
        """Weights and biases."""
        return sum(weight.size + bias.size for weight, bias in self.encoder + self.head)


def _share(text: str) -> float:
    share = float(text)
    if not (math.isfinite(share) and share >= 0.0):
        raise ValueError
    return share


def _counts(text: str) -> tuple[int, ...]:
    return tuple(map(count, text.split(",")))


_COUNTS = _counts, "whole numbers with commas between them"
_FIELDS: Fields = {
    "cores": _COUNTS,
    "share": (_share, "a number of at least 0"),
    "objective": one_of(COMPLETION_OBJECTIVES),
    "num_devices": _COUNTS,
    "scenario": (str, "a name"),
    "scenario_fields": JSON_OBJECT,
}
_NEEDED = ("cores", "share", "objective")


def check_cell_network(network: CellNetwork) -> None:
    """ValueError where this package cannot run a network: one sentence."""
    if not isinstance(network, CellNetwork):
        raise ValueError(f"network is a {type(network).__name__}; it must be a CellNetwork")
    if len(network.cores) < 2 or min(network.cores) < 1:
        raise ValueError(f"cores is {network.cores}; it must have two locations or more, each with at least 1 core")
    if network.objective not in COMPLETION_OBJECTIVES:
        known = ", ".join(COMPLETION_OBJECTIVES)
        raise ValueError(f"objective is {quoted(network.objective)}; it must be one of {known}")
    if not network.encoder or not network.head:
        raise ValueError("the network has no encoder or no head; it must have both")
    num_locations = len(network.cores)
    row = row_size(num_locations) - 1
    state = state_size(sum(network.cores), num_locations, False, False) + COMPANY
    code = chain("encoder", network.encoder, row)[-1]
    outputs = chain("head", network.head, code + row + state)[-1]
    if outputs != num_locations:
        raise ValueError(f"the head has {outputs} outputs; it must have {num_locations}")


def save_cell_policy(path: str | Path, network: CellNetwork) -> None:
    """Write a network into a file that ``load_cell_policy`` reads; equal networks give the same bytes.

    Args:
        path: where to write; missing folders are made, an existing file is replaced.
        network: the network.

    Raises:
        ValueError: this package could not run it.
    """
    check_cell_network(network)
    said = network.metadata | {
        "format": CELL_POLICY,
        "cores": ",".join(map(str, network.cores)),
        "share": repr(network.share),
        "objective": network.objective,
        "num_devices": ",".join(map(str, network.num_devices)),
        "scenario": network.scenario,
    }
    if network.scenario_fields is not None:
        said["scenario_fields"] = json.dumps(network.scenario_fields)
    with replacing(path) as temporary:
        temporary.write_bytes(safetensors_bytes(said, {"encoder": network.encoder, "head": network.head}))


def load_cell_network(path: str | Path | Traversable) -> CellNetwork:
    """Read the file of a network, without torch; nothing in it is run. ValueError where it is something else."""
    fields, (encoder, head), metadata = read_policy_file(path, CELL_POLICY, _FIELDS, _NEEDED, ("encoder", "head"))
    network = CellNetwork(encoder=encoder, head=head, metadata=metadata, **fields)
    try:
        check_cell_network(network)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return network
