"""What dominance saves: partial schedules made by the exact solver, and nodes of a plain branch and bound, at K = 5."""

from __future__ import annotations

import time

import numpy as np
from numba import njit

from benchmarks.speed.rows import Row, Side, Target, compared
from benchmarks.speed.timing import Effort
from offload_gym.delay import MAKESPAN, copy_table, new_workspace, open_instance
from offload_gym.instances import Batch, Instances
from offload_gym.sampling import sample_instances
from offload_gym.seeds import seed_for
from offload_gym.solvers.branch_and_bound import branch_and_bound
from offload_gym.solvers.exact import solve
from offload_gym.solvers.greedy import complete_greedily
from offload_gym.solvers.local_search import improve
from offload_gym.solvers.stopping import new_budget

NUM_EDGES = 3
MAX_NODES = 2_000_000  # of one instance
TARGETS = {n: (Target("fewer_nodes", 10.0),) for n in (8, 10, 12)} | {16: (), 24: (), 32: (), 48: (), 64: ()}
MAX_INSTANCES = 20


def measure_nodes(effort: Effort, seed: int) -> list[Row]:
    """The rows of the group "nodes"; beyond the sizes with a target they show where exactness ends."""
    return [_row(n, targets, effort, seed) for n, targets in TARGETS.items()]


def _row(n: int, targets: tuple[Target, ...], effort: Effort, seed: int) -> Row:
    scenario = {"name": "default", "num_tasks": n, "num_edges": NUM_EDGES}
    size = min(effort.num_instances, MAX_INSTANCES)
    instances = sample_instances(scenario, size, seed_for("test", seed, 3, n))
    ours_s, theirs_s, nodes, nodes_without, proven = [], [], [], [], 0
    for b in range(-1, size):  # the first one compiles
        one = instances[max(b, 0) : max(b, 0) + 1]
        start = time.perf_counter()
        solutions = solve(one, "makespan", MAX_NODES, num_threads=1)
        middle = time.perf_counter()
        without = plain_nodes(one, MAX_NODES)
        end = time.perf_counter()
        if b >= 0:
            ours_s.append(middle - start)
            theirs_s.append(end - middle)
            nodes.append(int(solutions.nodes[0]))
            nodes_without.append(without)
            proven += bool(solutions.optimal[0])
    stopped = sum(count >= MAX_NODES for count in nodes_without)
    figures = {
        "fewer_nodes": float(np.median(np.divide(nodes_without, nodes))),
        "nodes": float(np.median(nodes)),
        "time_s": float(np.median(ours_s)),
        "proven_share": proven / size,
    }
    note = f"{size} instances"
    if stopped:
        note += f", {stopped} stopped at {MAX_NODES:,} nodes without dominance: fewer nodes is a lower bound"
    ours = Side(f"exact, makespan, K = {NUM_EDGES + 2}, n = {n}", 1, ours_s)
    theirs = Side("branch and bound without dominance", 1, theirs_s)
    return compared(ours, theirs, "instances", targets, figures, note)


def plain_nodes(instance: Instances, max_nodes: int) -> int:
    """Nodes of a depth-first branch and bound with the critical path as its bound, from the same first decision."""
    return int(_plain_nodes(instance.arrays, new_budget(max_nodes)))


@njit
def _plain_nodes(arrays, budget):
    batch = Batch(*arrays)
    work = new_workspace(batch)
    problem, start = open_instance(batch, 0, work)
    decision = np.empty(batch.tasks.shape[1], dtype=np.int64)
    copy_table(start.core_s, work.room.free_s)
    complete_greedily(problem, decision, 0, start.radio_s, work.room)
    best_s = improve(problem, decision, start, MAKESPAN, work.room)
    _, nodes, _ = branch_and_bound(problem, decision, best_s, start, MAKESPAN, budget, work.room)
    return nodes
