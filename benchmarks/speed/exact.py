"""The exact solver against OR-Tools CP-SAT, one instance at a time on one thread each."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.rows import Row, Side, Target, compared
from benchmarks.speed.timing import Effort
from offload_gym.instances import Instances
from offload_gym.progress import with_progress
from offload_gym.sampling import sample_instances
from offload_gym.seeds import seed_for
from offload_gym.solvers.exact import solve
from offload_gym.solvers.greedy import greedy
from offload_gym.solvers.local_search import local_search

MAX_NODES = 5_000_000  # an instance that is not proven within them counts with the time that they took
MAKESPAN_TARGETS = {
    12: (Target("ratio", 100), Target("time_s", 1e-3)),
    16: (Target("time_s", 10e-3),),
    20: (Target("time_s", 100e-3),),
}
MEAN_TARGETS = {8: (Target("ratio", 20),), 10: (Target("ratio", 20),), 12: (Target("ratio", 20),), 16: (), 20: ()}


def measure_makespan(effort: Effort, seed: int) -> list[Row]:
    """The rows of the group "exact"."""
    return [_against_cp_sat(n, "makespan", targets, effort, seed) for n, targets in MAKESPAN_TARGETS.items()]


def measure_mean(effort: Effort, seed: int) -> list[Row]:
    """The rows of the group "mean": also sizes at which CP-SAT reaches its limit."""
    return [_against_cp_sat(n, "mean", targets, effort, seed) for n, targets in MEAN_TARGETS.items()]


def _against_cp_sat(n: int, objective: str, targets: tuple[Target, ...], effort: Effort, seed: int) -> Row:
    """Both solve an instance, then the next one.

    The time of CP-SAT is that of its search, without building the model in Python; ours is that of the public call.
    Both start from greedy and one-flip local search: CP-SAT is given its decision, ours computes it. CP-SAT takes no
    further part once its budget is used up.
    """
    from benchmarks.speed.cp_sat_reference import check_same_optimum, solve_with_cp_sat  # OR-Tools takes long to import

    scenario = {"name": "default", "num_tasks": n}
    instances = sample_instances(scenario, effort.num_instances, seed_for("test", seed, 2, n))
    incumbents = local_search(instances, greedy(instances), objective)
    solve(instances[:1], objective)  # compiles
    ours_s: list[float] = []
    theirs_s: list[float] = []
    unsolved = proven = 0
    for b in with_progress(range(len(instances)), f"n = {n}, {objective}", "instance"):
        one = instances[b : b + 1]
        seconds, optimum_s, optimal = _solve_timed(one, objective)
        ours_s.append(seconds)
        proven += optimal
        if sum(theirs_s) < effort.reference_budget_s:
            solution = solve_with_cp_sat(one, objective, incumbents[b], effort.limit_s)
            theirs_s.append(solution.seconds)
            unsolved += not solution.optimal
            if optimal:
                check_same_optimum(one, objective, solution, optimum_s)
    note = f"on {len(theirs_s)} of {len(instances)} instances"
    if unsolved:
        note += f", {unsolved} not proven within {effort.limit_s:g} s: the ratio is a lower bound"
    figures = {"time_s": float(np.median(ours_s)), "slowest_s": max(ours_s), "proven_share": proven / len(instances)}
    ours = Side(f"exact, {objective}, K = 3, n = {n}, median instance", 1, ours_s[: len(theirs_s)])
    return compared(ours, Side("CP-SAT, one thread", 1, theirs_s), "instances", targets, figures, note)


def _solve_timed(instance: Instances, objective: str) -> tuple[float, float, bool]:
    """Seconds of one call, the median of three unless one takes long; the value; and whether it is proven."""
    seconds: list[float] = []
    while len(seconds) < 3 and sum(seconds) < 0.1:
        start = time.perf_counter()
        solution = solve(instance, objective, MAX_NODES, num_threads=1)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)), float(solution.latency_s[0]), bool(solution.optimal[0])


def median_seconds(instances: Instances, objective: str) -> NDArray[np.float64]:
    """(B,) seconds of each instance."""
    return np.array([_solve_timed(instances[b : b + 1], objective)[0] for b in range(len(instances))])
