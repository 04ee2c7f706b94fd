"""Labels for networks of graphs: what each choice along a pass costs, by search or by the network's own roll-outs."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import kernel
from offload_gym.delay import MAKESPAN, Room, copy_row, copy_table, evaluate, new_workspace, open_instance, place, take
from offload_gym.instances import Batch
from offload_gym.lending import lent
from offload_gym.networks.graph_kernel import (
    Plan,
    best_fixed,
    better_draft,
    new_memory,
    open_draft,
    open_memory,
    part_of,
    run_pass,
    score,
)
from offload_gym.networks.graph_view import INPUTS, pull_children, write_inputs
from offload_gym.random_numbers import stream, uniform
from offload_gym.solvers.local_search import flip_sweep

NOT_TRIED = np.inf  # cost of a choice that was not tried


class Pass(NamedTuple):
    """Along which pass labels are made."""

    start: int  # its first draft is the fixed place that is better than all but so many
    number: int  # of the pass: of those before it the better ones are its drafts
    noise: float  # Gumbel noise on the scores, whose best choice is the step that is taken; 0: none
    margin: float  # choices whose score is so far below the best one are not tried
    seed: int


class Walk(NamedTuple):
    """A pass so far: the schedule of the tasks before one."""

    decision: NDArray[np.int64]  # (n,)
    pull_s: NDArray[np.float64]  # (n, K) see ``pull_children``
    here: Room
    radio_s: float
    value_s: float


class Trial(NamedTuple):
    """Scratch of a roll-out."""

    decision: NDArray[np.int64]  # (n,)
    tail_s: NDArray[np.float64]  # (n,)
    before_s: NDArray[np.float64]  # (K, max cores)


@kernel
def _roll_out(problem, walk, i, k, start, plan, trial, memory, room):
    """The value of the schedule if task ``i`` goes to ``k`` and the network goes on by itself, sweeps included."""
    copy_row(walk.decision, trial.decision)
    room.finish_s[:i] = walk.here.finish_s[:i]
    copy_table(walk.here.free_s, room.free_s)
    memory.pull_s[: len(walk.decision)] = walk.pull_s[: len(walk.decision)]
    placed = place(problem, trial.decision, i, k, walk.radio_s, room)
    take(room, i, k, placed)
    trial.decision[i] = k
    pull_children(memory.graph, i, k, memory.pull_s)
    value_s = max(walk.value_s, placed.completion_s)
    value_s = run_pass(problem, trial.decision, i + 1, value_s, placed.radio_s, plan, memory, room)
    before = Room(room.finish_s, trial.before_s)
    for _ in range(plan.num_sweeps):
        swept_s = flip_sweep(problem, trial.decision, value_s, start, trial.tail_s, memory.table_s, before, room)
        if swept_s >= value_s:
            break
        value_s = swept_s
    return value_s


@kernel
def _fill_costs(problem, walk, i, scores, margin, start, plan, work, costs):
    """Fill ``costs`` (K,) of the choices for task ``i``; ``work`` are the trial, the memory and the room."""
    trial, memory, room = work
    best, near, least_s = scores.max(), 0, np.inf
    for k in range(len(scores)):
        near += scores[k] >= best - margin
        costs[k] = NOT_TRIED
    for k in range(len(scores)):
        if near == 1 and scores[k] == best:
            costs[k] = 0.0
        elif near > 1 and scores[k] >= best - margin:
            costs[k] = _roll_out(problem, walk, i, k, start, plan, trial, memory, room)
            least_s = min(least_s, costs[k])
    if near > 1:
        for k in range(len(scores)):
            if least_s > 0.0:
                costs[k] = costs[k] / least_s - 1.0
            elif costs[k] < NOT_TRIED:
                costs[k] = 0.0


@kernel
def _open_pass(problem, decision, start, plan, labelled, memory, room):
    """Make the draft of the pass that is labelled."""
    draft = memory.draft
    open_memory(problem, decision, start, memory, room)
    draft.decision[:] = best_fixed(memory.fixed_s, labelled.start % len(memory.fixed_s))
    open_draft(problem, start, draft, room)
    for _ in range(labelled.number):
        better = better_draft(problem, decision, start, plan, memory, room)
        open_draft(problem, start, draft, room)
        if not better:
            break


@kernel
def label_kernel(arrays, plan, labelled, given, stop, inputs, costs):
    """Fill ``inputs`` (B, n, K, INPUTS) and ``costs`` (B, n, K) along one pass of each instance.

    The steps taken are ``given`` (B, n), or where that is -1 by the network with noise. The cost of a choice is what
    the schedule has more, if the network goes on by itself, than with the best choice, in terms of the latter;
    ``NOT_TRIED`` for all but one where none came near the best score. ``labelled`` are the fields of ``Pass``. After
    ``stop`` no instance is begun.
    """
    batch, plan, labelled = lent(Batch(*arrays)), lent(Plan(*plan)), Pass(*labelled)
    workspace = new_workspace(batch)
    whole = new_memory(plan.layers, batch, workspace.core_s)
    most, num_locations = costs.shape[1:]
    all_pull_s, here_s, core_s = np.empty((most, num_locations)), np.empty(most), np.empty_like(workspace.core_s)
    room_for_trials = Trial(np.empty(most, np.int64), np.empty(most), np.empty_like(workspace.core_s))
    decided, scores = np.empty(most, np.int64), np.empty(num_locations, np.float32)
    for b in range(len(costs)):
        if stop[0]:
            break
        work, n = lent(workspace), batch.task_counts[b]
        memory = part_of(lent(whole), n, batch.locations[b])
        problem, start = open_instance(batch, b, work)
        decision, trial = decided[:n], lent(room_for_trials)
        trial = Trial(trial.decision[:n], trial.tail_s, trial.before_s)
        _open_pass(problem, decision, start, plan, labelled, memory, work.room)
        here = Room(here_s, core_s)  # the schedule so far
        copy_table(start.core_s, core_s)
        all_pull_s[:n] = 0.0
        draws, radio_s, value_s = stream(labelled.seed, b, 0), start.radio_s, 0.0
        for i in range(n):
            write_inputs(problem, decision, i, radio_s, all_pull_s, memory, here)
            score(plan.layers, plan.weights, memory.values, memory.scores)
            most_noisy, chosen = -np.inf, 0
            for k in range(num_locations):
                scores[k] = memory.scores[k]
                inputs[b, i, k] = memory.values[k * INPUTS : (k + 1) * INPUTS]
                drawn = uniform(draws, i * num_locations + k)
                noisy = scores[k] - labelled.noise * math.log(-math.log(1.0 - drawn) + 1e-300)  # Gumbel
                if noisy > most_noisy:
                    most_noisy, chosen = noisy, k
            walk = Walk(decision, all_pull_s, here, radio_s, value_s)
            rooms = (trial, memory, work.room)
            _fill_costs(problem, walk, i, scores, labelled.margin, start, plan, rooms, costs[b, i])
            if given[b, i] >= 0:
                chosen = given[b, i]
            placed = place(problem, decision, i, chosen, radio_s, here)
            take(here, i, chosen, placed)
            pull_children(memory.graph, i, chosen, all_pull_s)
            decision[i] = chosen
            radio_s, value_s = placed.radio_s, max(value_s, placed.completion_s)


@kernel
def flip_costs(arrays, decisions, costs):
    """Fill ``costs`` (B, n, K): by which share moving a single task to each location lengthens ``decisions`` (B, n)."""
    batch = lent(Batch(*arrays))
    workspace = new_workspace(batch)
    for b in range(len(decisions)):
        work = lent(workspace)
        problem, start = open_instance(batch, b, work)
        decision = decisions[b, : batch.task_counts[b]]
        value_s = evaluate(problem, decision, start, MAKESPAN, work.room)
        for i in range(len(decision)):
            here = decision[i]
            for k in range(costs.shape[2]):
                decision[i] = k
                moved_s = evaluate(problem, decision, start, MAKESPAN, work.room)
                costs[b, i, k] = moved_s / value_s - 1.0 if value_s > 0.0 else 0.0
            decision[i] = here
