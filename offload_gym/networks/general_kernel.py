"""Decisions of any network: for dependent tasks, other activations, and with or without an encoder.

``offload_gym.networks.independent_kernel`` makes the same decisions in less time where tasks are independent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import kernel
from offload_gym.delay import MAKESPAN, extend, new_workspace, open_decision
from offload_gym.instances import CORES, Batch
from offload_gym.lending import lent
from offload_gym.observation import (
    links_of,
    open_epoch,
    row_size,
    state_size,
    write_observation,
    write_row,
    write_state,
)


class Nets(NamedTuple):
    """A network as numbers: an encoder, where it has one, and a head."""

    encoder_sizes: NDArray[np.int64]  # inputs, then the outputs of each layer; empty without an encoder
    head_sizes: NDArray[np.int64]
    weights: NDArray[np.float32]  # of the encoder's layers, then of the head's, input by input, each before its bias
    cores: NDArray[np.float64]  # (K,) of the locations that it knows
    tanh: bool
    joint: bool


class Buffers(NamedTuple):
    """What a network reads and writes."""

    rows: NDArray[np.float32]  # (n, row size) of the tasks
    state: NDArray[np.float32]
    later: NDArray[np.float32]  # (n + 1, code) sums of the encodings from task i on
    x: NDArray[np.float32]  # the input of a layer, and its output
    y: NDArray[np.float32]  # scratch space


@kernel
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


@kernel
def _argmax(values, start, count):
    best = 0
    for k in range(1, count):
        if values[start + k] > values[start + best]:
            best = k
    return best


@kernel
def _new_buffers(nets, n, dependent):
    """``Buffers`` for instances of up to ``n`` tasks; whether rows and states are those for ``dependent`` tasks."""
    num_locations = len(nets.cores)
    widest, code = nets.head_sizes.max(), 0
    if len(nets.encoder_sizes) > 0:
        widest, code = max(widest, nets.encoder_sizes.max()), nets.encoder_sizes[-1]
    rows = np.empty((n, row_size(num_locations, dependent)), dtype=np.float32)
    state = np.empty(state_size(int(nets.cores.sum()), num_locations, dependent), dtype=np.float32)
    later = np.empty((n + 1, code), dtype=np.float32)
    return Buffers(rows, state, later, np.empty(widest, dtype=np.float32), np.empty(widest, dtype=np.float32))


@kernel
def _encode(times, links, scale_s, nets, buffers):
    """Fill the task rows and the sums of their encodings."""
    rows, _, later, x, y = buffers
    features = rows.shape[1] - 1  # the encoder does not read the leading 1
    later[len(times)] = 0.0
    for i in range(len(times) - 1, -1, -1):
        write_row(times, links, i, scale_s, rows[i], 0)
        x[:features] = rows[i, 1:]
        _layers(nets.weights, 0, nets.encoder_sizes, nets.tanh, False, x, y)
        for e in range(later.shape[1]):
            later[i, e] = later[i + 1, e] + x[e]


@kernel
def _write_head_input(i, joint, buffers):
    """Write the head's input for task ``i``: sums of encodings, row, state."""
    rows, state, later, x, _ = buffers
    code = later.shape[1]
    at = 0
    if joint:
        for e in range(code):
            x[e] = later[0, e] - later[i, e]
        at = code
    for values in (later[i + 1], rows[i, 1:], state):
        x[at : at + len(values)] = values
        at += len(values)


@kernel
def _knows(cores, location):
    """Whether the locations (K, 6) have the cores (K,) that the network knows."""
    num_other = 0
    for k in range(len(cores)):
        num_other += location[k, CORES] != cores[k]
    return num_other == 0


@kernel
def _decide(problem, decision, start, epoch, links, room, nets, buffers):
    """Fill ``decision`` by one pass for all tasks (joint), or by one a task that sees the schedule so far."""
    num_locations, num_rows = len(nets.cores), len(buffers.rows)
    encoded = len(nets.encoder_sizes) > 0
    head_at = 0  # where the head's weights begin
    for layer in range(len(nets.encoder_sizes) - 1):
        head_at += (nets.encoder_sizes[layer] + 1) * nets.encoder_sizes[layer + 1]
    if encoded:
        _encode(problem.times, links, epoch.scale_s, nets, buffers)
    for i in range(len(decision)):
        if i == 0 or not nets.joint:
            if encoded:
                write_state(problem, decision, start, epoch, links, room.finish_s, buffers.state)
            else:
                write_observation(problem, decision, start, epoch, links, room.finish_s, num_rows, buffers.x)
        if encoded:
            _write_head_input(i, nets.joint, buffers)
        if encoded or i == 0 or not nets.joint:
            _layers(nets.weights, head_at, nets.head_sizes, nets.tanh, True, buffers.x, buffers.y)
        # Without an encoder, the joint form's one pass gives the scores of all tasks.
        decision[i] = _argmax(buffers.x, 0 if encoded or not nets.joint else i * num_locations, num_locations)
        if not nets.joint:
            start = extend(problem, decision, start, MAKESPAN, room)


@kernel
def decide_kernel(arrays, nets, all_links, decisions):
    """Fill ``decisions`` (B, n); returns whether all instances have the cores that the network knows.

    ``nets`` are the fields of ``Nets``, and ``all_links`` (1, n, 3), or None, room for links.
    """
    batch, nets = lent(Batch(*arrays)), lent(Nets(*nets))
    memory, buffers = new_workspace(batch), _new_buffers(nets, decisions.shape[1], all_links is not None)
    scratch = np.empty(decisions.shape[1], dtype=np.int64)
    for b in range(len(decisions)):
        if not _knows(nets.cores, batch.locations[b]):
            return False
        work, links = lent(memory), links_of(all_links, 0, batch.task_counts[b])
        problem, start, epoch = open_epoch(batch, b, links, work, scratch)
        decision = open_decision(batch, b, decisions)
        _decide(problem, decision, start, epoch, links, work.room, nets, lent(buffers))
    return True
