"""How times grow with the number of tasks, instances and environments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.environments import Stepping, stepping
from benchmarks.speed.exact import median_seconds
from benchmarks.speed.kernel import one_thread, prepare
from benchmarks.speed.rows import Curve, Row, Side, Target, compared, figure_text, significant
from benchmarks.speed.timing import Effort, interleaved
from offload_gym.progress import with_progress
from offload_gym.sampling import sample_instances
from offload_gym.seeds import seed_for

TASKS = (8, 16, 32, 64, 128, 256, 512)
BATCH = 256
BATCHES = tuple(2**power for power in range(8, 17))
ENVIRONMENT_TASKS = (8, 16, 32, 64)
ENVIRONMENTS = (64, 256, 1024, 4096)
NUM_ENVS = 256
EXACT_TASKS = (8, 10, 12, 14, 16, 18, 20)
EXACT_INSTANCES = 20
# Linear, with room for noise and for what no longer fits a cache; fixed costs make it less.
LINEAR = (Target("exponent", 1.1),)


def measure_growth(effort: Effort, seed: int) -> list[Row]:
    """The rows of the group "growth"."""

    def kernel(size: int, n: int) -> Stepping:
        instances, (decisions,) = prepare(size, n, seed, num_sets=1)
        return Stepping(lambda: one_thread(instances, decisions), 1)

    n, batch, envs = "tasks n", "instances in the batch", "environments"
    rows = [
        _power_row(f"delay kernel, batch of {BATCH}", n, TASKS, lambda n: kernel(BATCH, n), BATCH, effort),
        _power_row("delay kernel, n = 8", batch, BATCHES, lambda size: kernel(size, 8), 8, effort),
    ]
    for name in ("Joint", "Sequential"):
        native = partial(stepping, name, "vector_entry_point", seed)
        several, eight = f"{name}-v0, {NUM_ENVS} environments, step", f"{name}-v0, n = 8, step"
        rows += [
            _power_row(several, n, ENVIRONMENT_TASKS, partial(native, NUM_ENVS), NUM_ENVS, effort),
            _power_row(eight, envs, ENVIRONMENTS, partial(native, num_tasks=8), 8, effort),
        ]
    return rows + [_exponential_row(objective, effort, seed) for objective in ("makespan", "mean")]


def exponent(x: Sequence[float], seconds: NDArray[np.float64]) -> float:
    """The p of ``seconds`` proportional to ``x**p``, by least squares of the logarithms."""
    return float(np.polyfit(np.log(x), np.log(seconds), 1)[0])


def factor(x: Sequence[float], seconds: NDArray[np.float64]) -> float:
    """The f of ``seconds`` proportional to ``f**x``, by least squares of the logarithms."""
    return float(np.exp(np.polyfit(x, np.log(seconds), 1)[0]))


def _power_row(
    what: str,
    x_label: str,
    x: Sequence[int],
    stepping_for: Callable[[int], Stepping],
    tasks_per_x: int,
    effort: Effort,
) -> Row:
    """The exponent of the time of a step; the rates are those of the largest size and of the smallest one.

    They count tasks that are placed (kernel, Joint) or tasks in an observation (Sequential).
    """
    measured = [stepping_for(size) for size in x]
    seconds = interleaved([call for call, _ in measured], effort) / [num_steps for _, num_steps in measured]
    medians = np.median(seconds, axis=0)
    figures = {"exponent": exponent(x, medians)}
    curve = Curve(what, x_label, tuple(x), tuple(medians.tolist()), figure_text("exponent", figures["exponent"]))
    largest = Side(f"{what}: {x_label} = {x[0]} to {x[-1]}", tasks_per_x * x[-1], seconds[:, -1])
    smallest = Side(f"{x_label} = {x[0]}", tasks_per_x * x[0], seconds[:, 0])
    return compared(largest, smallest, "tasks", LINEAR, figures)._replace(curve=curve)


def _exponential_row(objective: str, effort: Effort, seed: int) -> Row:
    """The growth of the exact solver: the factor that one more task takes, fitted to medians over instances."""
    size = min(effort.num_instances, EXACT_INSTANCES)
    columns = []
    for n in with_progress(EXACT_TASKS, f"exact, {objective}", "size"):
        instances = sample_instances({"name": "default", "num_tasks": n}, size, seed_for("test", seed, 7, n))
        columns.append(median_seconds(instances, objective))
    medians = np.median(columns, axis=1)
    what = f"exact, {objective}, K = 3, median instance"
    figures = {"growth_per_task": factor(EXACT_TASKS, medians)}
    growth = f"factor {significant(figures['growth_per_task'])} a task"
    curve = Curve(what, "tasks n", EXACT_TASKS, tuple(medians.tolist()), growth, exponential=True)
    largest = Side(f"{what}: n = {EXACT_TASKS[0]} to {EXACT_TASKS[-1]}", 1, columns[-1])
    row = compared(largest, Side(f"n = {EXACT_TASKS[0]}", 1, columns[0]), "instances", figures=figures)
    return row._replace(curve=curve, note=f"{size} instances of each size")
