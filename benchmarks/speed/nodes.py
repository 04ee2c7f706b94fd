"""What the resource bound saves: nodes of the branch and bound with it and without it, at K = 5."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks.speed.rows import Row, Target, compared
from benchmarks.speed.timing import Effort
from offload_gym.sampling import sample_instances
from offload_gym.seeds import seed_for
from offload_gym.solvers import exact

NUM_EDGES = 3
MAX_NODES = 2_000_000  # of one instance
TARGETS = {n: (Target("fewer_nodes", 10.0),) for n in (8, 10, 12)} | {14: (), 16: ()}
MAX_INSTANCES = 20


def measure_nodes(effort: Effort, seed: int) -> list[Row]:
    """The rows of the group "nodes"; beyond the sizes with a target they show where exactness ends."""
    count_nodes = getattr(exact, "count_nodes", None)
    if count_nodes is None:
        print("left out nodes: the solver cannot leave its bound out")
        return []
    return [_row(n, targets, count_nodes, effort, seed) for n, targets in TARGETS.items()]


def _row(n: int, targets: tuple[Target, ...], count_nodes: Callable, effort: Effort, seed: int) -> Row:
    scenario = {"name": "default", "num_tasks": n, "num_edges": NUM_EDGES}
    size = min(effort.num_instances, MAX_INSTANCES)
    instances = sample_instances(scenario, size, seed_for("test", seed, 3, n))
    ours_s, theirs_s, nodes, nodes_without = [], [], [], []
    for b in range(-1, size):  # the first one compiles
        one = instances[max(b, 0) : max(b, 0) + 1]
        start = time.perf_counter()
        with_bound = exact.solve(one, "makespan", MAX_NODES, num_threads=1)
        middle = time.perf_counter()
        without = count_nodes(one, "makespan", MAX_NODES, weight_sets=0)
        end = time.perf_counter()
        if b >= 0:
            ours_s.append(middle - start)
            theirs_s.append(end - middle)
            nodes.append(int(with_bound.nodes[0]))
            nodes_without.append(int(without[0]))
    stopped = sum(count >= MAX_NODES for count in nodes_without)
    figures = {
        "fewer_nodes": float(np.median(np.divide(nodes_without, nodes))),
        "nodes": float(np.median(nodes)),
        "proven_share": float(np.mean(np.array(nodes) < MAX_NODES)),
    }
    note = f"{size} instances"
    if stopped:
        note += f", {stopped} stopped at {MAX_NODES:,} nodes without the bound: fewer nodes is a lower bound"
    return compared(
        f"exact, makespan, K = {NUM_EDGES + 2}, n = {n}", "instances", 1, ours_s,
        "branch and bound without the resource bound", 1, theirs_s, targets, figures, note,
    )  # fmt: skip
