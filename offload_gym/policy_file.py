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
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.observation import row_size, state_size
from offload_gym.observation_layout import observation_size

FORMAT = "offload_gym.policy/1"
FORMS = ("sequential", "joint")
ACTIVATIONS = ("relu", "tanh")
MAX_HEADER_BYTES = 1_000_000


class Network(NamedTuple):
    """A network as the compiled runtime reads it."""

    form: str  # one of FORMS
    activation: str  # one of ACTIVATIONS, after each layer but the head's last
    cores: tuple[int, ...]  # (K,) cores of the locations it was trained with
    num_tasks: int  # that it was trained for, where it has no encoder; 0: any
    encoder: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]  # layers (weight (outputs, inputs), bias)
    head: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
    metadata: dict[str, str]  # everything else the file says of itself
    dependent: bool = False  # whether rows and states are those for dependent tasks
    roll_outs: bool = True  # whether the head reads the roll-outs in the state

    @property
    def num_parameters(self) -> int:
        """Weights and biases."""
        return sum(weight.size + bias.size for weight, bias in self.encoder + self.head)


def layer_sizes(network: Network) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sizes of inputs and outputs along the encoder and the head, checked against the form."""
    if network.form not in FORMS or network.activation not in ACTIVATIONS:
        raise ValueError(f"a network of form {network.form!r} and activation {network.activation!r} is not known")
    if network.num_tasks < (0 if network.encoder else 1):
        raise ValueError(f"num_tasks is {network.num_tasks}; without an encoder it must be at least 1, else at least 0")
    if len(network.cores) < 2 or min(network.cores) < 1:
        raise ValueError(f"cores is {network.cores}; it must have two locations or more, each with at least 1 core")
    joint = network.form == "joint"
    num_locations = len(network.cores)
    row = row_size(num_locations, network.dependent)
    state = state_size(sum(network.cores), num_locations, network.dependent, network.roll_outs)
    encoder_sizes = _chain("encoder", network.encoder, row - 1)
    if network.encoder:
        head_sizes = _chain("head", network.head, (1 + joint) * encoder_sizes[-1] + row - 1 + state)
        outputs = num_locations
    else:
        head_sizes = _chain("head", network.head, observation_size(network.num_tasks, network.cores, network.dependent))
        outputs = num_locations * (network.num_tasks if joint else 1)
    if len(head_sizes) < 2 or head_sizes[-1] != outputs:
        raise ValueError(f"the head has {head_sizes[-1]} outputs; it must have {outputs}")
    return np.array(encoder_sizes, dtype=np.int64), np.array(head_sizes, dtype=np.int64)


def _chain(part: str, layers: Sequence[tuple[NDArray, NDArray]], inputs: int) -> list[int]:
    """Inputs, then the outputs of each layer; empty for an encoder without layers."""
    sizes = [inputs]
    for i, (weight, bias) in enumerate(layers):
        if weight.ndim != 2 or weight.shape[1] != sizes[-1] or bias.shape != weight.shape[:1]:
            raise ValueError(
                f"{part}.{i} has a weight of shape {weight.shape} and a bias of shape {bias.shape}; it must take "
                f"{sizes[-1]} inputs"
            )
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise ValueError(f"{part}.{i} has a weight or bias that is not finite")
        sizes.append(weight.shape[0])
    return sizes if layers or part == "head" else []


def read_safetensors(path: str | Path) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
    """Tensors and metadata of a safetensors file of float32 arrays; ValueError where it is not one, or cut short."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    problem = f"{path} is not a complete safetensors file of float32 arrays"
    if len(data) < 8:
        raise ValueError(f"{problem}: it has {len(data)} bytes")
    (length,) = struct.unpack("<Q", data[:8])
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"{problem}: it does not begin with the size of a header")
    if length > len(data) - 8:
        raise ValueError(f"{problem}: its header should have {length} bytes")
    body = data[8 + length :]
    tensors, used = {}, 0
    try:
        header: dict[str, Any] = json.loads(data[8 : 8 + length])
        metadata = {str(key): str(value) for key, value in header.pop("__metadata__", {}).items()}
        for name, entry in header.items():
            start, end = entry["data_offsets"]
            shape = tuple(int(size) for size in entry["shape"])
            if entry["dtype"] != "F32" or not 0 <= start <= end <= len(body) or end - start != 4 * np.prod(shape):
                raise ValueError(f"tensor {name!r} is {entry}, and the file holds {len(body)} bytes of data")
            tensors[name] = np.frombuffer(body[start:end], dtype="<f4").reshape(shape).astype(np.float32)
            used += end - start
        if used != len(body):
            raise ValueError(f"its tensors have {used} bytes, and the file holds {len(body)} bytes of data")
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{problem}: {error}") from None
    return tensors, metadata


def load_network(path: str | Path) -> Network:
    """Read a policy file; ValueError where it is something else."""
    tensors, metadata = read_safetensors(path)
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} has the format {metadata.get('format')!r}; a policy file has {FORMAT!r}")
    layers: dict[str, list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = {"encoder": [], "head": []}
    try:
        for part, found in layers.items():
            while f"{part}.{len(found)}.weight" in tensors:
                at = f"{part}.{len(found)}"
                found.append((tensors.pop(f"{at}.weight"), tensors.pop(f"{at}.bias")))
        if tensors:  # such as a later layer whose turn never came because one before it is missing
            raise ValueError(f"the tensors {sorted(tensors)} have no place in it")
        return Network(
            form=metadata.pop("form"),
            activation=metadata.pop("activation"),
            cores=tuple(int(count) for count in metadata.pop("cores").split(",")),
            num_tasks=int(metadata.pop("num_tasks")),
            dependent=bool(int(metadata.pop("dependent", "0"))),
            roll_outs=bool(int(metadata.pop("roll_outs", "1"))),
            encoder=tuple(layers["encoder"]),
            head=tuple(layers["head"]),
            metadata=metadata,
        )
    except KeyError as error:
        raise ValueError(f"{path} is not a complete policy file: {error} is missing") from None
    except ValueError as error:
        raise ValueError(f"{path} is not a complete policy file: {error}") from None
