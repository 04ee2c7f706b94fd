"""``python -m benchmarks large-graphs``: heuristics, searches and trained policies on graphs of many tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import SUFFIX
from offload_gym.delay import latency, optimality_gap
from offload_gym.instances import Instances
from offload_gym.policies import load_policy, make_policy
from offload_gym.progress import with_progress
from offload_gym.sampling import sample_instances
from offload_gym.scenario import make_scenario
from offload_gym.seeds import seed_for
from offload_gym.solvers.exact import solve

TASK_COUNTS = (10, 50, 200, 1000)
POLICIES = (
    "local",
    "cloud",
    "greedy",
    "heft",
    "peft",
    "beam-16",
    "peft+flip",
    "beam-16+flip",
    "portfolio",
    "portfolio+flip",
)
NETWORKS = ("small-student", "student", "teacher")
SLOW_MOVES = "+flip"  # which take minutes from MOST_WITH_FLIPS tasks on
MOST_WITH_FLIPS = 500
LIMITS_S = (0.001, 0.01, 0.1, 1.0)
REFERENCE_S = 10.0  # of the search that all others are compared with, and that may also win

Decide = Callable[[Instances], NDArray[np.int64]]


class Result(NamedTuple):
    """What one method did on B instances of a size."""

    num_tasks: int
    method: str
    excess: NDArray[np.float64]  # (B,) latency over the best that any method found, minus 1
    seconds: NDArray[np.float64]  # (B,) of one decision
    decisions: NDArray[np.int64]  # (B, n)


def search_for(time_limit_s: float) -> Decide:
    """Decide by ``solve`` within so many seconds, on one thread."""
    return lambda instances: solve(instances, num_threads=1, time_limit_s=time_limit_s).decisions


def methods_for(num_tasks: int, agents_folder: Path | None, preset: str = "dag") -> dict[str, Decide]:
    """Everything that is compared on instances of a size, by name; the reference is the last.

    ``preset`` is that of the shipped networks, ``agents_folder`` that of others.
    """
    names = [name for name in POLICIES if SLOW_MOVES not in name or num_tasks <= MOST_WITH_FLIPS]
    methods: dict[str, Decide] = {name: make_policy(name).decide for name in names}
    methods |= {name: make_policy(name, preset=preset).decide for name in NETWORKS}
    for path in sorted(agents_folder.glob(f"*{SUFFIX}")) if agents_folder is not None else ():
        methods[path.name.removesuffix(SUFFIX)] = load_policy(path).decide
    for limit_s in (*LIMITS_S, REFERENCE_S):
        methods[f"search, {limit_s:g} s"] = search_for(limit_s)
    return methods


def compare_methods(instances: Instances, methods: dict[str, Decide], warm: Sequence[Instances] = ()) -> list[Result]:
    """Decide each of B instances alone by each method, and time it.

    Args:
        instances: B instances.
        methods: by name.
        warm: what each method decides before it is timed, so that it is compiled.
    """
    singles = [instances[b : b + 1] for b in range(len(instances))]
    values_s, seconds = np.empty((len(methods), len(singles))), np.empty((len(methods), len(singles)))
    decisions = np.empty((len(methods), len(singles), instances.num_tasks), np.int64)
    for m, decide in enumerate(with_progress(list(methods.values()), f"{instances.num_tasks} tasks", "method")):
        for one in warm:
            decide(one)
        for b, one in enumerate(singles):
            begun_s = time.perf_counter()
            decisions[m, b] = decide(one)[0]
            seconds[m, b] = time.perf_counter() - begun_s
            values_s[m, b] = latency(one, decisions[m, b : b + 1])[0]
    best_s = values_s.min(axis=0)
    excess = np.array([optimality_gap(of_method_s, best_s) for of_method_s in values_s])
    return [Result(instances.num_tasks, name, excess[m], seconds[m], decisions[m]) for m, name in enumerate(methods)]


def compare_large_graphs(num_instances: int, seed: int, agents_folder: Path | None) -> list[dict[str, Any]]:
    """Print how random graphs of many tasks, which have no known optimum, are decided; returns the rows.

    Of 1,000 tasks there are at most 5 instances.
    """
    rows = []
    for num_tasks in TASK_COUNTS:
        scenario = make_scenario("dag", num_tasks=num_tasks)
        size = num_instances if num_tasks <= MOST_WITH_FLIPS else min(num_instances, 5)
        instances = sample_instances(scenario, size, seed_for("test", seed))
        few = sample_instances(scenario, 1, seed_for("validation", seed))
        rows += compare_methods(instances, methods_for(num_tasks, agents_folder), [few])
    _print(rows)
    return [as_row(result) for result in rows]


def as_row(result: Result) -> dict[str, Any]:
    """A result as a row of JSON."""
    return {
        "num_tasks": result.num_tasks,
        "method": result.method,
        "excess_mean": float(result.excess.mean()),
        "excess_max": float(result.excess.max()),
        "decide_s_p50": float(np.median(result.seconds)),
    }


def _print(rows: list[Result]) -> None:
    table = Table(
        title="dag, random graphs",
        caption="Mean latency in % over the best that any of these found on the instance; median time of a decision.",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("method", no_wrap=True)
    for num_tasks in TASK_COUNTS:
        table.add_column(f"n = {num_tasks}", justify="right", no_wrap=True)
    by_method: dict[str, dict[int, Result]] = {}
    for row in rows:
        by_method.setdefault(row.method, {})[row.num_tasks] = row
    for method, of_sizes in by_method.items():
        cells = []
        for num_tasks in TASK_COUNTS:
            row_of = of_sizes.get(num_tasks)
            cells.append("" if row_of is None else f"{100 * row_of.excess.mean():.2f} ({short_time(row_of.seconds)})")
        table.add_row(method, *cells)
    Console(width=max(Console().width, 110)).print(table)


def short_time(seconds: NDArray[np.float64]) -> str:
    """The median, in a unit that suits it."""
    median_s = float(np.median(seconds))
    if median_s < 0.9995e-3:
        return f"{1e6 * median_s:.0f} µs"
    return f"{1e3 * median_s:.3g} ms" if median_s < 0.9995 else f"{median_s:.3g} s"
