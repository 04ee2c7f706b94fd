"""What a network of graphs sees of the next task: ``INPUTS`` numbers for each location where it could go.

The network goes through the tasks of an application in order and gives each location a score. It never decides from
nothing: there is a draft, a complete decision with its schedule, which it goes through and betters. So it sees what a
pass from front to back cannot know, where the children of a task will probably run and how much is still to come for
each core and for the radio. The first draft is the best of the fixed places; what a pass decides is the draft of the
next.

All times are divided by one of two times of the instance: by its unit, the mean time that a task takes to run and to
get its data, where locations are compared, and by the value of the draft, where it is about the whole schedule. So
instances that differ by a factor in all their times look alike, and so do graphs of different sizes. ``_bounded`` keeps
every number between -1 and 1.

Besides completions, the view has two tails: how long what follows a task takes at the least, for each location where
the task may be. One is optimistic, as if every later task could choose its location with nothing in its way (the table
of ``offload_gym.solvers.peft``); in the other the children stay where the draft has them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import inlined, kernel
from offload_gym.delay import PATH, RETURN, RUN, SEND, place
from offload_gym.instances import CORES
from offload_gym.solvers.peft import fill_least_tails

VIEW_VERSION = 1  # goes up when a number comes to mean something else
SHARED = 16  # numbers that are the same for all locations
OWN = 16  # numbers of a location
INPUTS = SHARED + OWN
FOR_TASK = 8  # those of the shared numbers that say what the task is: they stay the same in all passes
LEAST_S = 1e-300  # of the unit: what is shorter is nothing, as its inverse would be infinite
MANY_TASKS = 50.0  # half way between one task and infinitely many, as the network sees them


class Graph(NamedTuple):
    """What an instance of n tasks, K locations and E edges is, for all passes."""

    child_start: NDArray[np.int64]  # (n + 1,) the children of task i are child[child_start[i]], ...
    child: NDArray[np.int64]  # (E,)
    child_edge: NDArray[np.int64]  # (E,) the edge that leads to it
    together_s: NDArray[np.float64]  # (E,) what its ends save by being at one place: its data on the first link
    least_tail_s: NDArray[np.float64]  # (n, K) the optimistic tail behind a task at each location
    of_task: NDArray[np.float32]  # (n, FOR_TASK)
    scale_s: NDArray[np.float64]  # (2,) the unit, and the value of the best fixed place


UNIT, FIXED = range(2)  # of Graph.scale_s


class Draft(NamedTuple):
    """A complete decision and its schedule."""

    decision: NDArray[np.int64]  # (n,)
    finish_s: NDArray[np.float64]  # (n,) of each task
    tail_s: NDArray[np.float64]  # (n,) from a task's finish to the end, as ``fill_tails`` has it
    run_left_s: NDArray[np.float64]  # (n, K) run times of the tasks behind a task at each location
    radio_left_s: NDArray[np.float64]  # (n,) what the radio sends for the tasks behind a task
    value_s: NDArray[np.float64]  # (1,)


@inlined
def new_graph(n, num_locations, num_edges):
    """A ``Graph`` with room for one instance of up to ``n`` tasks and ``num_edges`` edges."""
    return Graph(
        np.empty(n + 1, np.int64),
        np.empty(num_edges, np.int64),
        np.empty(num_edges, np.int64),
        np.empty(num_edges),
        np.empty((n, num_locations)),
        np.empty((n, FOR_TASK), np.float32),
        np.empty(2),
    )


@inlined
def new_draft(n, num_locations):
    """A ``Draft`` with room for one instance of up to ``n`` tasks."""
    return Draft(
        np.empty(n, np.int64), np.empty(n), np.empty(n), np.empty((n, num_locations)), np.empty(n), np.empty(1)
    )


@inlined
def _bounded(x):
    """``x`` between -1 and 1: half way at 1."""
    return x / (1.0 + abs(x))


@kernel
def fill_children(problem, graph):
    """Fill who follows from whom."""
    n = len(problem.times)
    child_start = graph.child_start
    for i in range(n + 1):
        child_start[i] = 0
    for e in range(problem.edge_start[n]):
        child_start[problem.edge_parent[e] + 1] += 1
    for i in range(n):
        child_start[i + 1] += child_start[i]
    # Backwards, from the end of each task's children on, so that child_start is left at their beginning.
    for i in range(n - 1, -1, -1):
        for e in range(problem.edge_start[i + 1] - 1, problem.edge_start[i] - 1, -1):
            parent = problem.edge_parent[e]
            child_start[parent + 1] -= 1
            graph.child[child_start[parent + 1]] = i
            graph.child_edge[child_start[parent + 1]] = e
    for i in range(n):
        child_start[i] = child_start[i + 1]
    child_start[n] = problem.edge_start[n]


@kernel
def fill_graph(problem, location, fixed_s, graph):
    """Fill the ``graph`` of an instance with locations (K, 6), whose best fixed place has the value ``fixed_s``."""
    times, moves = problem.times, problem.moves
    n, num_locations = times.shape[:2]
    last_k = num_locations - 1
    fill_children(problem, graph)
    fill_least_tails(problem, graph.least_tail_s[:n])
    of_task = graph.of_task
    run_s = moved_s = sent_s = on_device_s = 0.0
    for i in range(n):
        for k in range(num_locations):
            run_s += times[i, k, RUN] / num_locations
        on_device_s += times[i, 0, RUN]
        for column in range(FOR_TASK):
            of_task[i, column] = 0.0
    for i in range(n - 1, -1, -1):
        first, last = problem.edge_start[i], problem.edge_start[i + 1]
        if first == last:
            sent_s += times[i, 1, SEND]
        for e in range(first, last):
            parent = problem.edge_parent[e]
            graph.together_s[e] = moves[e, 0, 1, SEND] + moves[e, 0, 1, PATH]
            move_s = 0.5 * (graph.together_s[e] + moves[e, last_k, 0, PATH])
            moved_s += move_s
            of_task[i, 0] += 1.0
            of_task[parent, 1] += 1.0
            of_task[i, 2] += move_s
            of_task[parent, 3] += move_s
    unit_s = (run_s + moved_s) / n
    unit_s = unit_s if unit_s > LEAST_S else 1.0
    graph.scale_s[UNIT], graph.scale_s[FIXED] = unit_s, fixed_s
    whole_s = fixed_s if fixed_s > LEAST_S else 1.0
    sent, on_device = _bounded(sent_s / whole_s), _bounded(on_device_s / (whole_s * location[0, CORES]))
    for i in range(n):
        of_task[i, 6] = 1.0 if of_task[i, 0] == 0.0 else 0.0
        of_task[i, 0] = _bounded(0.5 * of_task[i, 0])
        of_task[i, 1] = _bounded(0.5 * of_task[i, 1])
        of_task[i, 2] = _bounded(of_task[i, 2] / unit_s)
        of_task[i, 3] = _bounded(of_task[i, 3] / unit_s)
        of_task[i, 4], of_task[i, 5], of_task[i, 7] = sent, on_device, n / (n + MANY_TASKS)


@kernel
def fill_draft(problem, draft, finish_s, value_s):
    """Fill what the view needs of the schedule of ``draft.decision``, whose tails are there, with these finishes."""
    n, num_locations = problem.times.shape[:2]
    decision, run_left_s, radio_left_s = draft.decision, draft.run_left_s, draft.radio_left_s
    draft.value_s[0] = value_s
    for k in range(num_locations):
        run_left_s[n - 1, k] = 0.0
    radio_left_s[n - 1] = 0.0
    for i in range(n - 1, -1, -1):
        draft.finish_s[i] = finish_s[i]
        if i == 0:
            break
        k = decision[i]
        for other in range(num_locations):
            run_left_s[i - 1, other] = run_left_s[i, other]
        run_left_s[i - 1, k] += problem.times[i, k, RUN]
        radio_left_s[i - 1] = radio_left_s[i] + problem.times[i, k, SEND]
        if k > 0:
            for e in range(problem.edge_start[i], problem.edge_start[i + 1]):
                if decision[problem.edge_parent[e]] == 0:
                    radio_left_s[i - 1] += problem.moves[e, 0, k, SEND]


@inlined
def pull_children(graph, i, k, pull_s):
    """Task ``i`` is placed at ``k``: its children are drawn there. ``pull_s`` (n, K) is what each is drawn by."""
    for c in range(graph.child_start[i], graph.child_start[i + 1]):
        pull_s[graph.child[c], k] += graph.together_s[graph.child_edge[c]]


@inlined
def write_inputs(problem, decision, i, radio_s, pull_s, memory, room):
    """Fill ``memory.values`` with the ``INPUTS`` numbers of each location for task ``i``, next in a schedule.

    Args:
        problem: the instance.
        decision: (n,) of which the tasks before ``i`` are placed.
        i: the task.
        radio_s: when the radio is free.
        pull_s: (n, K) see ``pull_children``, of all tasks before ``i``.
        memory: a ``graph_kernel.Memory``, of which graph, draft and location are read.
        room: the schedule so far.
    """
    graph, draft, location, x, end_s = memory.graph, memory.draft, memory.location, memory.values, memory.end_s
    times, decided = problem.times, draft.decision
    n, num_locations = times.shape[:2]
    per_unit, value_s = 1.0 / graph.scale_s[UNIT], draft.value_s[0]
    per_value = 1.0 / value_s if value_s > LEAST_S else 1.0
    first_child, last_child = graph.child_start[i], graph.child_start[i + 1]
    soonest_s = least_tail_s = least_end_s = least_drafted_s = now_s = np.inf
    for k in range(num_locations):
        placed = place(problem, decision, i, k, radio_s, room)
        drafted_s = times[i, k, RETURN]
        for c in range(first_child, last_child):
            child = graph.child[c]
            move = problem.moves[graph.child_edge[c], k, decided[child]]
            after_s = times[child, decided[child], RUN] + draft.tail_s[child]
            drafted_s = max(drafted_s, move[SEND] + move[PATH] + after_s)
        end_s[k, 0] = placed.completion_s
        end_s[k, 1] = placed.finish_s + graph.least_tail_s[i, k]
        end_s[k, 2] = placed.finish_s + drafted_s
        soonest_s, least_end_s = min(soonest_s, end_s[k, 0]), min(least_end_s, end_s[k, 1])
        least_drafted_s, now_s = min(least_drafted_s, end_s[k, 2]), min(now_s, placed.start_s)
        least_tail_s = min(least_tail_s, graph.least_tail_s[i, k])
        x[k * INPUTS + SHARED + 6] = _bounded((placed.radio_s - radio_s) * per_unit)
        x[k * INPUTS + SHARED + 9] = 0.0
        x[k * INPUTS + SHARED + 10] = 0.0
        x[k * INPUTS + SHARED + 12] = 0.0
    _write_shares(problem, graph, decision, decided, i, pull_s, x)
    slack_s = value_s - draft.finish_s[i] - draft.tail_s[i]
    for column in range(FOR_TASK):
        x[column] = graph.of_task[i, column]
    x[FOR_TASK] = (n - i) / n
    x[FOR_TASK + 1] = _bounded(max(radio_s - now_s, 0.0) * per_unit)
    x[FOR_TASK + 2] = _bounded(least_end_s * per_value)
    x[FOR_TASK + 3] = _bounded(now_s * per_value)
    x[FOR_TASK + 4] = _bounded(slack_s * per_unit)
    x[FOR_TASK + 5] = _bounded((radio_s + draft.radio_left_s[i]) * per_value)
    x[FOR_TASK + 6] = _bounded((graph.scale_s[FIXED] * per_value - 1.0) * 4.0)
    x[FOR_TASK + 7] = _bounded(slack_s * per_value * 4.0)
    for k in range(num_locations):
        at = k * INPUTS
        if k > 0:
            for column in range(SHARED):
                x[at + column] = x[column]
        at += SHARED
        cores, busy_s = int(location[k, CORES]), 0.0
        for m in range(cores):
            busy_s += room.free_s[k, m]
        per_core = per_value / cores
        x[at] = 1.0 if k == 0 else 0.0
        x[at + 1] = 1.0 if k == num_locations - 1 else 0.0
        x[at + 2] = _bounded((end_s[k, 0] - soonest_s) * per_unit)
        x[at + 3] = _bounded((graph.least_tail_s[i, k] - least_tail_s) * per_unit)
        x[at + 4] = _bounded((end_s[k, 1] - least_end_s) * per_unit)
        x[at + 5] = _bounded(times[i, k, RUN] * per_unit)
        x[at + 7] = _bounded(end_s[k, 1] * per_value)
        x[at + 8] = _bounded(busy_s * per_core)
        x[at + 11] = 1.0 if decided[i] == k else 0.0
        x[at + 13] = _bounded((busy_s + draft.run_left_s[i, k]) * per_core)
        x[at + 14] = _bounded((end_s[k, 2] - value_s) * per_unit)
        x[at + 15] = _bounded((end_s[k, 2] - least_drafted_s) * per_unit)


@inlined
def _write_shares(problem, graph, decision, decided, i, pull_s, x):
    """Write how much of the data of task ``i`` is, or will be, at each location.

    That is: of its parents, of other parents of its children, and of its children in the draft. The columns are 0.
    """
    num_locations = problem.times.shape[1]
    first, last = problem.edge_start[i], problem.edge_start[i + 1]
    total_s = 0.0
    for e in range(first, last):
        x[decision[problem.edge_parent[e]] * INPUTS + SHARED + 9] += graph.together_s[e]
        total_s += graph.together_s[e]
    others_s = children_s = 0.0
    for c in range(graph.child_start[i], graph.child_start[i + 1]):
        child, together_s = graph.child[c], graph.together_s[graph.child_edge[c]]
        x[decided[child] * INPUTS + SHARED + 12] += together_s
        children_s += together_s
        for k in range(num_locations):
            x[k * INPUTS + SHARED + 10] += pull_s[child, k]
            others_s += pull_s[child, k]
    per_total = 1.0 / total_s if total_s > 0.0 else 0.0
    per_other = 1.0 / others_s if others_s > 0.0 else 0.0
    per_child = 1.0 / children_s if children_s > 0.0 else 0.0
    for k in range(num_locations):
        at = k * INPUTS + SHARED
        x[at + 9] *= per_total
        x[at + 10] *= per_other
        x[at + 12] *= per_child
