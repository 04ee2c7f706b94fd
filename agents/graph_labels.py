"""Labels for networks of graphs: what each choice along a pass costs, by search or by the network's own roll-outs."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

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


@kernel
def label_kernel(arrays, plan, labelled, given, inputs, costs):
    """Fill ``inputs`` (B, n, K, INPUTS) and ``costs`` (B, n, K) along one pass of each instance.

    The steps taken are ``given`` (B, n), or where that is -1 by the network with noise. The cost of a choice is what
    the schedule has more, if the network goes on by itself, than with the best choice, in terms of the latter;
    ``NOT_TRIED`` for all but one where none came near the best score. ``labelled`` are the fields of ``Pass``.
    """
    batch, plan, labelled = lent(Batch(*arrays)), lent(Plan(*plan)), Pass(*labelled)
    workspace = new_workspace(batch)
    whole = new_memory(plan.layers, batch, workspace.core_s)
    n_most, num_locations = costs.shape[1:]
    pull_s, here_s = np.empty((n_most, num_locations)), np.empty(n_most)
    core_s, before_s, tail_s = np.empty_like(workspace.core_s), np.empty_like(workspace.core_s), np.empty(n_most)
    decided, tried, scores = np.empty(n_most, np.int64), np.empty(n_most, np.int64), np.empty(num_locations, np.float32)
    for b in range(len(costs)):
        work, n = lent(workspace), batch.task_counts[b]
        memory, location = part_of(lent(whole), n), batch.locations[b]
        problem, start = open_instance(batch, b, work)
        room, decision, trial = work.room, decided[:n], tried[:n]
        draft = memory.draft
        open_memory(problem, location, start, decision, memory, room)
        draft.decision[:] = best_fixed(memory.fixed_s, labelled.start % num_locations)
        open_draft(problem, start, draft, room)
        for _ in range(labelled.number):
            if not better_draft(problem, location, start, plan, decision, memory, room):
                break
            open_draft(problem, start, draft, room)
        open_draft(problem, start, draft, room)
        here = Room(here_s, core_s)  # the schedule so far
        copy_table(start.core_s, core_s)
        pull_s[:n] = 0.0
        draws, radio_s, value_s = stream(labelled.seed, b, 0), start.radio_s, 0.0
        for i in range(n):
            write_inputs(
                problem,
                memory.graph,
                draft,
                location,
                decision,
                i,
                radio_s,
                pull_s,
                here,
                memory.values,
                memory.end_s,
            )
            score(plan.layers, plan.weights, memory.values, memory.scores)
            best = most = -np.inf
            chosen, near = 0, 0
            for k in range(num_locations):
                scores[k] = memory.scores[k]
                inputs[b, i, k] = memory.values[k * INPUTS : (k + 1) * INPUTS]
                best = max(best, scores[k])
                noise = labelled.noise * math.log(-math.log(1.0 - uniform(draws, i * num_locations + k) + 1e-300))
                if scores[k] - noise > most:
                    most, chosen = scores[k] - noise, k
            for k in range(num_locations):
                near += scores[k] > best - labelled.margin
                costs[b, i, k] = NOT_TRIED
            if near == 1:
                for k in range(num_locations):
                    if scores[k] == best:
                        costs[b, i, k] = 0.0
            else:
                least_s = np.inf
                for k in range(num_locations):
                    if scores[k] <= best - labelled.margin:
                        continue
                    copy_row(decision, trial)
                    room.finish_s[:i] = here_s[:i]
                    copy_table(core_s, room.free_s)
                    memory.pull_s[:n] = pull_s[:n]
                    placed = place(problem, trial, i, k, radio_s, room)
                    take(room, i, k, placed)
                    trial[i] = k
                    pull_children(memory.graph, i, k, memory.pull_s)
                    behind_s = max(value_s, placed.completion_s)
                    rolled_s = run_pass(
                        problem,
                        location,
                        trial,
                        i + 1,
                        behind_s,
                        placed.radio_s,
                        plan,
                        memory,
                        room,
                    )
                    for _ in range(plan.num_sweeps):
                        before = Room(room.finish_s, before_s)
                        swept_s = flip_sweep(problem, trial, rolled_s, start, tail_s, memory.table_s, before, room)
                        if swept_s >= rolled_s:
                            break
                        rolled_s = swept_s
                    costs[b, i, k] = rolled_s
                    least_s = min(least_s, rolled_s)
                for k in range(num_locations):
                    if least_s > 0.0:
                        costs[b, i, k] = costs[b, i, k] / least_s - 1.0
                    elif costs[b, i, k] < NOT_TRIED:
                        costs[b, i, k] = 0.0
            if given[b, i] >= 0:
                chosen = given[b, i]
            placed = place(problem, decision, i, chosen, radio_s, here)
            take(here, i, chosen, placed)
            pull_children(memory.graph, i, chosen, pull_s)
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
