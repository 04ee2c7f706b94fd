"""Decisions of any network: for dependent tasks, other activations, and with or without an encoder.

``offload_gym.inference`` makes the same decisions in less time where tasks are independent.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from offload_gym.delay import new_problem, place, start_schedule, view_problem
from offload_gym.instances import CORES
from offload_gym.observation import (
    fill_links,
    links_of,
    open_epoch,
    row_size,
    state_size,
    write_observation,
    write_row,
    write_state,
)
from offload_gym.solvers.local_search import NO_REFINEMENT, refine_decision


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
