"""Decisions by a network of graphs: passes over a draft, each followed by sweeps of single moves.

A pass goes through the tasks in order and places each where the network gives the highest score; what it reads is
written by ``offload_gym.networks.graph_view``. A sweep goes through them again and moves a task wherever that shortens
the schedule at once. What came out is the next draft if it is better; the first drafts are fixed places, the best one
first. So a decision is never worse than the best fixed place.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import inlined, kernel
from offload_gym.delay import (
    MAKESPAN,
    Room,
    copy_row,
    copy_table,
    evaluate,
    new_workspace,
    open_decision,
    open_instance,
    place,
    take,
)
from offload_gym.instances import Batch
from offload_gym.layers import AT, INPUTS, OUTPUTS, run_layer
from offload_gym.lending import lent
from offload_gym.networks.graph_view import INPUTS as VIEW_INPUTS
from offload_gym.networks.graph_view import (
    Draft,
    Graph,
    fill_draft,
    fill_graph,
    new_draft,
    new_graph,
    pull_children,
    write_inputs,
)
from offload_gym.solvers.local_search import fill_tails, flip_sweep


class Plan(NamedTuple):
    """A network as numbers, and how it is used."""

    layers: NDArray[np.int64]  # (L, 3) where each layer's weights begin, its padded inputs and outputs
    weights: NDArray[np.float32]
    num_starts: int  # fixed places that drafts begin with, the best first
    num_passes: int  # from each of them, at most
    num_sweeps: int  # of single moves behind a pass, at most


class Memory(NamedTuple):
    """What deciding an instance of n tasks and K locations takes."""

    graph: Graph
    draft: Draft
    location: NDArray[np.float64]  # (K, 6) of the instance
    values: NDArray[np.float32]  # what the network reads for all locations, and behind it those of two of its layers
    pull_s: NDArray[np.float64]  # (n, K)
    end_s: NDArray[np.float64]  # (K, 3) scratch
    fixed_s: NDArray[np.float64]  # (K,) value of each fixed place
    scores: NDArray[np.float32]  # (K,)
    table_s: NDArray[np.float64]  # (n, K) scratch of sweeps
    free_s: NDArray[np.float64]  # (K, max cores) scratch of sweeps


@inlined
def new_memory(layers, batch, core_s):
    """``Memory`` for the instances of a ``Batch`` whose cores are as many as those of ``core_s`` (K, max cores)."""
    n, num_locations = batch.tasks.shape[1], batch.locations.shape[1]
    widest = 0
    for layer in range(len(layers)):
        widest = max(widest, layers[layer, OUTPUTS])
    return Memory(
        new_graph(n, num_locations, batch.edge_parent.shape[1]),
        new_draft(n, num_locations),
        batch.locations[0],
        np.zeros(num_locations * VIEW_INPUTS + 2 * widest, dtype=np.float32),
        np.empty((n, num_locations)),
        np.empty((num_locations, 3)),
        np.empty(num_locations),
        np.empty(num_locations, dtype=np.float32),
        np.empty((n, num_locations)),
        np.empty_like(core_s),
    )


@inlined
def score(layers, weights, values, scores):
    """Fill ``scores`` (K,) from the numbers of each location, which ``values`` begins with."""
    num_locations, last = len(scores), len(layers) - 1
    begin = num_locations * VIEW_INPUTS
    both = 2 * begin + (len(values) - begin) // 2  # where one layer begins plus where the other begins
    for k in range(num_locations):
        source, target = k * VIEW_INPUTS, begin
        for layer in range(last + 1):
            at, inputs, outputs = layers[layer, AT], layers[layer, INPUTS], layers[layer, OUTPUTS]
            run_layer(weights, at, inputs, outputs, values, source, target, layer < last)
            source, target = target, both - target
        scores[k] = values[source]


@kernel
def run_pass(problem, decision, first, value_s, radio_s, plan, memory, room):
    """Place tasks ``first``, ... behind the schedule in ``room``, each where its score is highest; returns the value.

    ``memory.draft`` is gone through; ``decision`` (n,), ``room`` and ``memory.pull_s`` hold the tasks before ``first``
    and are written.
    """
    scores = memory.scores
    for i in range(first, len(decision)):
        write_inputs(problem, decision, i, radio_s, memory.pull_s, memory, room)
        score(plan.layers, plan.weights, memory.values, scores)
        k = 0
        for other in range(1, len(scores)):
            if scores[other] > scores[k]:
                k = other
        placed = place(problem, decision, i, k, radio_s, room)
        take(room, i, k, placed)
        pull_children(memory.graph, i, k, memory.pull_s)
        decision[i] = k
        radio_s = placed.radio_s
        value_s = max(value_s, placed.completion_s)
    return value_s


@kernel
def open_memory(problem, decision, start, memory, room):
    """Fill the graph of an instance and the values of its fixed places; ``decision`` (n,) is scratch."""
    n, num_locations = problem.times.shape[:2]
    best_s = np.inf
    for k in range(num_locations):
        for i in range(n):
            decision[i] = k
        memory.fixed_s[k] = evaluate(problem, decision, start, MAKESPAN, room)
        best_s = min(best_s, memory.fixed_s[k])
    fill_graph(problem, memory.location, best_s, memory.graph)


@kernel
def open_draft(problem, start, draft, room):
    """Fill all that is known of the schedule of ``draft.decision``."""
    value_s = evaluate(problem, draft.decision, start, MAKESPAN, room)
    fill_tails(problem, draft.decision, 0, draft.tail_s)
    fill_draft(problem, draft, room.finish_s, value_s)


@kernel
def best_fixed(fixed_s, num_before):
    """The place whose value is the least but for ``num_before`` others; of equals, the lower one comes first."""
    for k in range(len(fixed_s)):
        better = 0
        for other in range(len(fixed_s)):
            better += fixed_s[other] < fixed_s[k] or (fixed_s[other] == fixed_s[k] and other < k)
        if better == num_before:
            return k
    return 0


@kernel
def better_draft(problem, decision, start, plan, memory, room):
    """A pass over the draft and sweeps behind it; the draft is replaced where that is better, and then True."""
    draft = memory.draft
    memory.pull_s[: len(decision)] = 0.0
    copy_table(start.core_s, room.free_s)
    value_s = run_pass(problem, decision, 0, 0.0, start.radio_s, plan, memory, room)
    before = Room(room.finish_s, memory.free_s)
    for _ in range(plan.num_sweeps):
        swept_s = flip_sweep(problem, decision, value_s, start, draft.tail_s, memory.table_s, before, room)
        if swept_s >= value_s:
            break
        value_s = swept_s
    if value_s >= draft.value_s[0]:
        return False
    copy_row(decision, draft.decision)
    draft.value_s[0] = value_s
    return True


@kernel
def decide_instance(problem, decision, best, start, plan, memory, room):
    """Fill ``best`` (n,) with what the network decides; ``decision`` (n,) is scratch. Returns its value."""
    open_memory(problem, decision, start, memory, room)
    num_starts, best_s = min(plan.num_starts, len(memory.fixed_s)), np.inf
    for number in range(num_starts):
        draft = memory.draft
        draft.decision[: len(best)] = best_fixed(memory.fixed_s, number)
        for _ in range(plan.num_passes):
            open_draft(problem, start, draft, room)
            if not better_draft(problem, decision, start, plan, memory, room):
                break
        if number == 0 or draft.value_s[0] < best_s:  # the first one also where it takes for ever
            best_s = draft.value_s[0]
            copy_row(draft.decision, best)
    return best_s


@inlined
def part_of(memory, n, location):
    """The part of ``memory`` that an instance of ``n`` tasks takes, whose locations (K, 6) are given."""
    graph, draft = memory.graph, memory.draft
    return Memory(
        graph,
        Draft(draft.decision[:n], draft.finish_s, draft.tail_s, draft.run_left_s, draft.radio_left_s, draft.value_s),
        location,
        memory.values,
        memory.pull_s,
        memory.end_s,
        memory.fixed_s,
        memory.scores,
        memory.table_s,
        memory.free_s,
    )


@kernel
def decide_graphs(arrays, plan, decisions):
    """Fill ``decisions`` (B, n); ``plan`` are the fields of ``Plan``."""
    batch, plan = lent(Batch(*arrays)), lent(Plan(*plan))
    workspace = new_workspace(batch)
    memory = new_memory(plan.layers, batch, workspace.core_s)
    scratch = np.empty(decisions.shape[1], dtype=np.int64)
    for b in range(len(decisions)):
        work, count = lent(workspace), batch.task_counts[b]
        problem, start = open_instance(batch, b, work)
        decision = open_decision(batch, b, decisions)
        own = part_of(lent(memory), count, batch.locations[b])
        decide_instance(problem, scratch[:count], decision, start, plan, own, work.room)
