"""Trained networks without torch: features, network and choice in one compiled call.

A policy file is in the safetensors format (an 8-byte header length, a JSON header, raw little-endian arrays), so
reading one runs nothing from it. Its tensors are ``encoder.<i>.weight`` (outputs, inputs), ``encoder.<i>.bias``, and
the same for ``head``; its metadata say how the network is used:

- form "sequential": the network is asked once a task and sees the schedule so far; "joint": one pass decides all tasks.
- with an encoder, each task row is encoded, and the head reads [the joint form only: sum of the encodings of earlier
  tasks], sum of the encodings of later tasks, the task's row, and the state. Such a network takes any number of tasks.
- without one, the head reads the plain observation vector. Such a network takes the number of tasks it was trained for.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offload_gym.delay import all_stage_times, place, start_schedule
from offload_gym.instances import CORES, Instances
from offload_gym.observation import row_size, state_size, time_scale, write_observation, write_row, write_state

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

    @property
    def num_parameters(self) -> int:
        """Weights and biases."""
        return sum(weight.size + bias.size for weight, bias in self.encoder + self.head)


@njit(cache=True, nogil=True)
def _layers(weights, at, sizes, tanh, last_linear, x, y):
    """Run fully connected layers on ``x`` in place, with ``y`` as scratch; returns where the next weights are.

    A layer's weights are stored input by input, so that the inner loop runs over outputs that lie side by side, and an
    input of zero (after relu, about half of them) costs nothing.
    """
    for layer in range(len(sizes) - 1):
        inputs, outputs = sizes[layer], sizes[layer + 1]
        bias = at + inputs * outputs
        for o in range(outputs):
            y[o] = weights[bias + o]
        for j in range(inputs):
            value = x[j]
            if value != 0.0:
                row = weights[at + j * outputs : at + (j + 1) * outputs]
                for o in range(outputs):
                    y[o] += value * row[o]
        at = bias + outputs
        linear = last_linear and layer == len(sizes) - 2
        for o in range(outputs):
            value = y[o]
            if not linear:
                value = np.tanh(value) if tanh else max(value, np.float32(0.0))
            x[o] = value
    return at


@njit(cache=True, nogil=True)
def _argmax(values, start, count):
    best = 0
    for k in range(1, count):
        if values[start + k] > values[start + best]:
            best = k
    return best


@njit(cache=True, nogil=True)
def decide_kernel(
    tasks, locations, backlog_s, radio_backlog_s, max_cores, encoder_sizes, head_sizes, weights, tanh, joint,
    known_cores, decisions,
):  # fmt: skip
    """Fill ``decisions`` (B, n); returns whether all instances have the cores that the network knows."""
    num_instances, n = decisions.shape
    num_locations = locations.shape[1]
    features = 1 + 4 * (num_locations - 1)  # a row without its leading 1
    has_encoder = len(encoder_sizes) > 0
    code = encoder_sizes[-1] if has_encoder else 0
    encoder_end = 0
    for layer in range(len(encoder_sizes) - 1):
        encoder_end += (encoder_sizes[layer] + 1) * encoder_sizes[layer + 1]
    width = max(head_sizes.max(), encoder_sizes.max() if has_encoder else 0)
    times = np.empty((n, num_locations, 4))
    free_s = np.empty((num_locations, max_cores))
    scratch = np.empty(n, dtype=np.int64)
    rows = np.empty((n, features + 1), dtype=np.float32)
    later = np.zeros((n + 1, code), dtype=np.float32)  # sum of the encodings of the tasks from i on
    x = np.empty(width, dtype=np.float32)
    y = np.empty(width, dtype=np.float32)
    for b in range(num_instances):
        all_stage_times(tasks[b], locations[b], times)
        start_schedule(locations[b], backlog_s[b], free_s)
        radio_s = radio_backlog_s[b]
        scale_s = time_scale(times, radio_s, free_s, scratch)
        start_schedule(locations[b], backlog_s[b], free_s)
        cores = locations[b, :, CORES]
        for k in range(num_locations):
            if cores[k] != known_cores[k]:
                return False
        makespan_s = 0.0
        if has_encoder:
            for i in range(n - 1, -1, -1):
                write_row(times[i], scale_s, rows[i])
                x[:features] = rows[i, 1:]
                _layers(weights, 0, encoder_sizes, tanh, False, x, y)
                for e in range(code):
                    later[i, e] = later[i + 1, e] + x[e]
        elif joint:
            write_observation(times, 0, radio_s, 0.0, free_s, cores, scale_s, x)
            _layers(weights, encoder_end, head_sizes, tanh, True, x, y)
            for i in range(n):
                decisions[b, i] = _argmax(x, i * num_locations, num_locations)
            continue
        for i in range(n):
            if has_encoder:
                at = 0
                if joint:
                    for e in range(code):
                        x[e] = later[0, e] - later[i, e]
                    at = code
                x[at : at + code] = later[i + 1]
                x[at + code : at + code + features] = rows[i, 1:]
                at += code + features
                write_state(times, 0 if joint else i, radio_s, makespan_s, free_s, cores, scale_s, x[at:])
            else:
                write_observation(times, i, radio_s, makespan_s, free_s, cores, scale_s, x)
            _layers(weights, encoder_end, head_sizes, tanh, True, x, y)
            k = _argmax(x, 0, num_locations)
            decisions[b, i] = k
            if not joint:
                radio_s, core, _, finish_s, completion_s = place(times[i, k], k, 0.0, radio_s, free_s[k])
                free_s[k, core] = finish_s
                makespan_s = max(makespan_s, completion_s)
    return True


class NetworkPolicy:
    """A trained network as a policy: ``decide(instances)`` gives (B, n) decisions.

    Args:
        network: the network; its layer sizes must fit its form.

    Raises:
        ValueError: a layer does not fit.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.num_parameters = network.num_parameters
        self._encoder_sizes, self._head_sizes = _layer_sizes(network)
        parts = [p for weight, bias in network.encoder + network.head for p in (weight.T.ravel(), bias)]
        self._weights = np.concatenate(parts).astype(np.float32)
        self._tanh = network.activation == "tanh"
        self._joint = network.form == "joint"
        self._cores = np.array(network.cores, dtype=np.float64)

    def decide(self, instances: Instances) -> NDArray[np.int64]:
        """Decisions (B, n); ValueError where the instances are not of the shape the network was trained for."""
        decisions = np.empty((len(instances), instances.num_tasks), dtype=np.int64)
        fits = (
            instances.num_locations == len(self._cores)
            and self.network.num_tasks in (0, instances.num_tasks)
            and decide_kernel(
                *instances.arrays, instances.max_cores, self._encoder_sizes, self._head_sizes, self._weights,
                self._tanh, self._joint, self._cores, decisions,
            )
        )  # fmt: skip
        if not fits:
            tasks = f"{self.network.num_tasks} tasks" if self.network.num_tasks else "any number of tasks"
            cores = sorted({tuple(int(count) for count in row) for row in instances.cores})
            raise ValueError(
                f"this policy is for {tasks} and locations with {self.network.cores} cores; the instances have "
                f"{instances.num_tasks} tasks and locations with {' or '.join(map(str, cores[:3]))} cores"
            )
        return decisions


def _layer_sizes(network: Network) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sizes of inputs and outputs along the encoder and the head, checked against the form."""
    if network.form not in FORMS or network.activation not in ACTIVATIONS:
        raise ValueError(f"a network of form {network.form!r} and activation {network.activation!r} is not known")
    if network.num_tasks < (0 if network.encoder else 1):
        raise ValueError(f"num_tasks is {network.num_tasks}; without an encoder it must be at least 1, else at least 0")
    if len(network.cores) < 2 or min(network.cores) < 1:
        raise ValueError(f"cores is {network.cores}; it must have two locations or more, each with at least 1 core")
    joint = network.form == "joint"
    num_locations = len(network.cores)
    row, state = row_size(num_locations), state_size(sum(network.cores), num_locations)
    encoder_sizes = _chain("encoder", network.encoder, row - 1)
    if network.encoder:
        head_sizes = _chain("head", network.head, (1 + joint) * encoder_sizes[-1] + row - 1 + state)
        outputs = num_locations
    else:
        head_sizes = _chain("head", network.head, network.num_tasks * row + state)
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
    if length > min(MAX_HEADER_BYTES, len(data) - 8):
        raise ValueError(f"{problem}: its header should have {length} bytes")
    body = data[8 + length :]
    tensors = {}
    try:
        header: dict[str, Any] = json.loads(data[8 : 8 + length])
        metadata = {str(key): str(value) for key, value in header.pop("__metadata__", {}).items()}
        for name, entry in header.items():
            start, end = entry["data_offsets"]
            shape = tuple(int(size) for size in entry["shape"])
            if entry["dtype"] != "F32" or not 0 <= start <= end <= len(body) or end - start != 4 * np.prod(shape):
                raise ValueError(f"tensor {name!r} is {entry}, and the file holds {len(body)} bytes of data")
            tensors[name] = np.frombuffer(body[start:end], dtype="<f4").reshape(shape).astype(np.float32)
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
            encoder=tuple(layers["encoder"]),
            head=tuple(layers["head"]),
            metadata=metadata,
        )
    except KeyError as error:
        raise ValueError(f"{path} is not a complete policy file: {error} is missing") from None
    except ValueError as error:
        raise ValueError(f"{path} is not a complete policy file: {error}") from None
