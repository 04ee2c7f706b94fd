"""Trained networks without torch: features, network and choice in one compiled call.

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
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offload_gym.delay import new_problem, objective_code, place, start_schedule, view_problem
from offload_gym.inference import NOT_TRIED, SHOWN, TRIED, decide_independent, make_plan
from offload_gym.instances import CORES, Instances
from offload_gym.observation import (
    check_independent,
    fill_links,
    links_of,
    new_links,
    open_epoch,
    row_size,
    state_size,
    write_observation,
    write_row,
    write_state,
)
from offload_gym.observation_layout import observation_size
from offload_gym.solvers.local_search import NO_REFINEMENT, SWAP, refine_decision, refinement_code
from offload_gym.solvers.parallel import for_each_chunk
from offload_gym.trained_range import unlike_trained

FORMAT = "offload_gym.policy/1"
FORMS = ("sequential", "joint")
ACTIVATIONS = ("relu", "tanh")
MAX_HEADER_BYTES = 1_000_000
CHUNK = 1024  # instances that a thread decides at a time
INTEGER = np.dtype(np.int64)  # made once: np.empty then takes half the time
ROLL_OUT = "roll-out"
REFINEMENTS = (None, ROLL_OUT, "flip", "swap", "makespan", "mean", "makespan+swap", "mean+swap")


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


@njit(cache=True, nogil=True, error_model="numpy")
def _layers(weights, at, sizes, tanh, last_linear, x, y):
    """Run fully connected layers on ``x`` in place, with ``y`` as scratch; returns where the next weights are.

    A layer's weights are stored input by input, so that the inner loop runs over outputs that lie side by side.
    """
    for layer in range(len(sizes) - 1):
        # Unsigned: numba then need not look for indices that count from the end.
        inputs, outputs = np.uint64(sizes[layer]), np.uint64(sizes[layer + 1])
        first = np.uint64(at)
        bias = first + inputs * outputs
        for o in range(outputs):
            y[o] = weights[bias + o]
        j = np.uint64(0)
        while j + np.uint64(4) <= inputs:  # four inputs at a time: fewer passes over the outputs
            a, b, c, d = x[j], x[j + np.uint64(1)], x[j + np.uint64(2)], x[j + np.uint64(3)]
            row = first + j * outputs
            for o in range(outputs):
                y[o] += (
                    a * weights[row + o]
                    + b * weights[row + outputs + o]
                    + c * weights[row + np.uint64(2) * outputs + o]
                    + d * weights[row + np.uint64(3) * outputs + o]
                )
            j += np.uint64(4)
        while j < inputs:
            for o in range(outputs):
                y[o] += x[j] * weights[first + j * outputs + o]
            j += np.uint64(1)
        at += (sizes[layer] + 1) * sizes[layer + 1]
        if last_linear and layer == len(sizes) - 2:
            for o in range(outputs):
                x[o] = y[o]
        elif tanh:
            for o in range(outputs):
                x[o] = np.tanh(y[o])
        else:
            for o in range(outputs):
                x[o] = max(y[o], np.float32(0.0))
    return at


@njit(cache=True, nogil=True, error_model="numpy")
def _argmax(values, start, count):
    best = 0
    for k in range(1, count):
        if values[start + k] > values[start + best]:
            best = k
    return best


@njit(cache=True, nogil=True, error_model="numpy")
def _encode(times, links, scale_s, weights, sizes, tanh, rows, later, x, y):
    """Fill the task ``rows`` (n, row size) and ``later`` (n + 1, code): sums of the encodings from task i on."""
    features = rows.shape[1] - 1  # the encoder does not read the leading 1
    later[len(times)] = 0.0
    for i in range(len(times) - 1, -1, -1):
        write_row(times, links, i, scale_s, rows[i], 0)
        x[:features] = rows[i, 1:]
        _layers(weights, 0, sizes, tanh, False, x, y)
        for e in range(later.shape[1]):
            later[i, e] = later[i + 1, e] + x[e]


@njit(cache=True, nogil=True, error_model="numpy")
def _write_head_input(rows, later, i, joint, state, x):
    """Fill ``x`` with the head's input for task ``i``: sums of encodings, row, state."""
    code = later.shape[1]
    at = 0
    if joint:
        for e in range(code):
            x[e] = later[0, e] - later[i, e]
        at = code
    for values in (later[i + 1], rows[i, 1:], state):
        x[at : at + len(values)] = values
        at += len(values)


@njit(cache=True, nogil=True, error_model="numpy")
def decide_kernel(
    tasks, locations, backlog_s, radio_backlog_s, task_counts, edge_start, edge_parent, edge_bits, max_cores,
    encoder_sizes, head_sizes, weights, tanh, joint, all_links, known_cores, refine, decisions,
):  # fmt: skip
    """Fill ``decisions`` (B, n); returns whether all instances have the cores that the network knows."""
    n, num_locations = tasks.shape[1], locations.shape[1]
    encoded = len(encoder_sizes) > 0
    head_at = 0  # where the head's weights begin
    for layer in range(len(encoder_sizes) - 1):
        head_at += (encoder_sizes[layer] + 1) * encoder_sizes[layer + 1]
    room = new_problem(n, num_locations, edge_parent.shape[1])
    free_s = np.empty((num_locations, max_cores))
    finish_s = np.empty(n)
    scratch = np.empty(n, dtype=np.int64)
    dependent = all_links is not None
    rows = np.empty((n, row_size(num_locations, dependent)), dtype=np.float32)
    state = np.empty(state_size(int(known_cores.sum()), num_locations, dependent), dtype=np.float32)
    later = np.empty((n + 1, encoder_sizes[-1] if encoded else 0), dtype=np.float32)
    x = np.empty(max(head_sizes.max(), encoder_sizes.max() if encoded else 0), dtype=np.float32)
    y = np.empty_like(x)
    for b in range(len(tasks)):
        cores = locations[b, :, CORES]
        for k in range(num_locations):
            if cores[k] != known_cores[k]:
                return False
        count = task_counts[b]
        problem = view_problem(count, edge_start[b], edge_parent[b], room)
        links = links_of(all_links, 0, count)
        radio_s = radio_backlog_s[b]
        scale_s = open_epoch(
            tasks[b], locations[b], backlog_s[b], radio_s, edge_bits[b], problem, finish_s, free_s, scratch
        )
        fill_links(problem, links)
        decision = decisions[b, :count]
        decisions[b, count:] = 0  # padding
        makespan_s = 0.0
        if encoded:
            _encode(problem.times, links, scale_s, weights, encoder_sizes, tanh, rows, later, x, y)
        for i in range(count):
            if i == 0 or not joint:
                if encoded:
                    write_state(
                        problem, locations[b], links, i, decision, finish_s, radio_s, makespan_s, free_s, scale_s, state
                    )  # fmt: skip
                else:
                    write_observation(
                        problem, locations[b], links, i, n, decision, finish_s, radio_s, makespan_s, free_s, scale_s, x
                    )
            if encoded:
                _write_head_input(rows, later, i, joint, state, x)
            if encoded or i == 0 or not joint:
                _layers(weights, head_at, head_sizes, tanh, True, x, y)
            # Without an encoder, the joint form's one pass gives the scores of all tasks.
            k = _argmax(x, 0 if encoded or not joint else i * num_locations, num_locations)
            decision[i] = k
            if not joint:
                radio_s, core, _, finish_s[i], completion_s, _ = place(
                    problem, i, k, decision, finish_s, radio_s, free_s
                )
                free_s[k, core] = finish_s[i]
                makespan_s = max(makespan_s, completion_s)
        if refine != NO_REFINEMENT:
            start_s = np.empty_like(free_s)
            start_schedule(locations[b], backlog_s[b], start_s)
            refine_decision(problem, decision, refine, radio_backlog_s[b], start_s, finish_s, free_s)
    return True


class NetworkPolicy:
    """A trained network as a policy: ``decide(instances)`` gives (B, n) decisions.

    Args:
        network: the network; its layer sizes must fit its form.
        refine: what is done behind the network. "roll-out", for networks that do not read roll-outs: they are tried
            nevertheless. "flip" or "swap": local search by flips, or by flips and swaps, for the objective that the
            network was trained for; "makespan", "mean", "makespan+swap" or "mean+swap": for that objective. None.
        keep_best: whether the decision is the best of all schedules that were tried: greedy's, the network's own, and
            the roll-outs, if the network reads them or ``refine`` is given. A roll-out places one task at each location
            in turn and completes the schedule greedily: every task in the sequential form, the first one in the joint
            form. With local search both that best schedule and what the network itself decided are improved, and the
            better one is taken. Only for relu networks, independent tasks and the objectives makespan and mean; None:
            yes for these, unless they were trained on estimates.

    Raises:
        ValueError: a layer does not fit, the objective is unknown, or the network cannot be used in this way.
    """

    def __init__(self, network: Network, refine: str | None = None, keep_best: bool | None = None) -> None:
        self.network = network
        self.num_parameters = network.num_parameters
        if refine not in REFINEMENTS:
            raise ValueError(f"refine is {refine!r}; it must be one of {', '.join(map(str, REFINEMENTS))}")
        if refine in ("flip", "swap"):
            refine = network.metadata.get("objective", "makespan") + (SWAP if refine == "swap" else "")
        self.refine = refine
        self._refine = NO_REFINEMENT if refine == ROLL_OUT else refinement_code(refine)
        self._encoder_sizes, self._head_sizes = _layer_sizes(network)
        parts = [p for weight, bias in network.encoder + network.head for p in (weight.T.ravel(), bias)]
        self._weights = np.concatenate(parts).astype(np.float32)
        self._tanh = network.activation == "tanh"
        self._joint = network.form == "joint"
        self._cores = np.array(network.cores, dtype=np.float64)
        objective = network.metadata.get("objective", "makespan")
        tries = not (network.dependent or self._tanh) and objective != "cost"
        if not (network.roll_outs or (tries and network.encoder)):
            raise ValueError(
                "roll_outs is False; it must be True for all but relu networks with an encoder, for independent tasks "
                "and the objective makespan or mean"
            )
        if keep_best is None:
            keep_best = tries and network.metadata.get("observation_noise", "0.0") in ("0", "0.0")
        elif keep_best and not tries:
            raise ValueError("keep_best is True; it must be False or None for this network, which tries no schedules")
        if refine == ROLL_OUT and (network.roll_outs or not keep_best):
            raise ValueError(
                f"refine is {refine!r}; it is for networks that do not read roll-outs, where the best schedule is kept"
            )
        self.keep_best = keep_best
        self.roll_outs = SHOWN if network.roll_outs else TRIED if keep_best and refine else NOT_TRIED
        self._num_tasks = network.num_tasks
        # Unlimited where the file does not say what the network was trained on, or once that was told.
        self._fewest_tasks, self._most_tasks = 0, sys.maxsize
        most = network.metadata.get("trained_num_tasks", "")
        if most.isdigit():
            fewest = network.metadata.get("trained_fewest_tasks", most)
            self._fewest_tasks, self._most_tasks = int(fewest) if fewest.isdigit() else int(most), int(most)
        self._first_call = True
        self._plan = None
        if tries:
            self._plan, self._padded_weights = make_plan(
                network.cores, self._joint, network.encoder, network.head, keep_best, objective_code(objective),
                self._refine, self.roll_outs,
            )  # fmt: skip

    def decide(self, instances: Instances) -> NDArray[np.int64]:
        """Decisions (B, n); ValueError where the instances are not of the shape the network was trained for."""
        # A call takes about as long as placing a task does, so there are few of them on this way.
        size, num_tasks, arrays = len(instances.tasks), instances.num_tasks, instances.arrays
        if not self._fewest_tasks <= num_tasks <= self._most_tasks:
            self._tell_range(num_tasks)
        if instances.edge_parent.size:
            check_independent(instances, self.network.dependent)
        if self._first_call and size:
            self._first_call = False
            if outside := unlike_trained(self.network.metadata, instances):
                warnings.warn(f"the policy was trained on {outside}; it may decide worse here", stacklevel=2)
        decisions = np.empty((size, num_tasks), INTEGER)
        if size <= CHUNK and self._plan is not None and self._num_tasks in (0, num_tasks):
            fits = decide_independent(*arrays[:5], self._plan, self._padded_weights, decisions)
        elif size <= CHUNK:
            fits = self._fill(instances, decisions)
        else:
            done: list[bool] = []
            for_each_chunk(lambda rows: done.append(self._fill(instances[rows], decisions[rows])), size, None, CHUNK)
            fits = all(done)
        if not fits:
            tasks = f"{self.network.num_tasks} tasks" if self.network.num_tasks else "any number of tasks"
            cores = sorted({tuple(int(count) for count in row) for row in instances.cores})
            raise ValueError(
                f"this policy is for locations with {self.network.cores} cores and {tasks}; the instances have "
                f"locations with {' or '.join(map(str, cores[:3]))} cores and {instances.num_tasks} tasks"
            )
        return decisions

    def _tell_range(self, num_tasks: int) -> None:
        """Warn, once, that instances are unlike those that the network was trained on."""
        trained = f"{self._most_tasks} tasks"
        if self._fewest_tasks != self._most_tasks:
            trained = f"{self._fewest_tasks} to {trained}"
        self._fewest_tasks, self._most_tasks = 0, sys.maxsize
        warnings.warn(
            f"the policy was trained on instances of {trained}; with {num_tasks} it may decide worse", stacklevel=3
        )

    def _fill(self, instances: Instances, decisions: NDArray[np.int64]) -> bool:
        """Fill the decisions (B, n); returns whether the instances are of the shape the network was trained for."""
        if self.network.num_tasks not in (0, instances.num_tasks):
            return False
        if self._plan is not None:
            return bool(decide_independent(*instances.arrays[:5], self._plan, self._padded_weights, decisions))
        if instances.num_locations != len(self._cores):
            return False
        links = new_links(1, instances.num_tasks, self.network.dependent)
        return bool(
            decide_kernel(
                *instances.arrays, instances.max_cores, self._encoder_sizes, self._head_sizes, self._weights,
                self._tanh, self._joint, links, self._cores, self._refine, decisions,
            )
        )  # fmt: skip


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
