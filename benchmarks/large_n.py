"""``python -m benchmarks large-n``: the solver with a limited search on up to a thousand independent tasks."""

from __future__ import annotations

import time

import numpy as np
from rich.console import Console
from rich.table import Table

from offload_gym.delay import latency
from offload_gym.policies import make_policy
from offload_gym.progress import with_progress
from offload_gym.sampling import sample_instances
from offload_gym.seeds import seed_for
from offload_gym.solvers.exact import solve

TASKS = (50, 100, 200, 500, 1000)
NODES_A_TASK = (300, 3000)
HEURISTICS = ("greedy", "greedy+flip", "beam-16+flip")


def compare_large_n(num_instances: int, seed: int) -> None:
    """Print, for each number of tasks, the mean gap to the lower bound and the median time of each solver."""
    table = Table(title="mean gap to the lower bound, and median time of an instance (one thread)")
    for header in ("n", "solver", "gap", "time", "proven optimal"):
        table.add_column(header, justify="left" if header == "solver" else "right")
    for n in with_progress(TASKS, "large n", "size"):
        scenario = {"name": "default", "num_tasks": n}
        instances = sample_instances(scenario, num_instances, seed_for("test", seed, n))
        singles = [instances[b : b + 1] for b in range(num_instances)]
        solve(singles[0], max_nodes=1)  # compiles
        rows = []
        bound_s = np.zeros(num_instances)
        for nodes in NODES_A_TASK:
            latency_s, proven, seconds = np.empty(num_instances), np.empty(num_instances, dtype=bool), []
            for b, one in enumerate(singles):
                start = time.perf_counter()
                solutions = solve(one, max_nodes=nodes * n, num_threads=1)
                seconds.append(time.perf_counter() - start)
                latency_s[b], proven[b] = solutions.latency_s[0], solutions.optimal[0]
                bound_s[b] = max(bound_s[b], solutions.lower_bound_s[0])
            rows.append((f"solve, {nodes} nodes a task", latency_s, seconds, f"{proven.mean():.0%}"))
        for name in HEURISTICS:
            policy = make_policy(name)
            policy.decide(singles[0])
            values, seconds = [], []
            for one in singles:
                start = time.perf_counter()
                decisions = policy.decide(one)
                seconds.append(time.perf_counter() - start)
                values.append(latency(one, decisions)[0])
            rows.append((name, np.array(values), seconds, ""))
        for name, latency_s, seconds, proven_share in rows:
            gap = (latency_s / bound_s - 1).mean()
            table.add_row(f"{n}", name, f"{gap:.2%}", f"{np.median(seconds) * 1e3:.3g} ms", proven_share)
    Console().print(table)
