"""``python -m benchmarks workflows FILES``: applications of files, decided by heuristics, searches and policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.graphs import MOST_WITH_FLIPS, Result, as_row, compare_methods, methods_for, short_time
from offload_gym.applications.loading import load_application
from offload_gym.applications.presets import random_application
from offload_gym.array_checks import check_count
from offload_gym.delay import latency, schedule
from offload_gym.envs.rendering import draw_schedule
from offload_gym.files import replacing
from offload_gym.instances import Instances
from offload_gym.sampling import sample_instances
from offload_gym.scenario import as_scenario
from offload_gym.seeds import seed_for


def compare_workflows(
    paths: Sequence[Path],
    num_instances: int,
    seed: int,
    machines: Mapping[str, Any],
    reference_hz: float | None = None,
    agents_folder: Path | None = None,
    plots_folder: Path | None = None,
) -> list[dict[str, Any]]:
    """Print how the application of each file is decided, and several files together; returns the rows.

    Args:
        paths: files of applications, as ``offload_gym.load_application`` reads them.
        num_instances: how many draws of machines, rates and backlogs each is decided with.
        seed: of the draws.
        machines: a preset and what to change in it, as in ``offload_gym.as_scenario``: machines, radio and network.
        reference_hz: as in ``load_application``, for files that have run times.
        agents_folder: of policies that were trained on graphs, or None.
        plots_folder: where the best schedule of the first draw of each file is drawn, as a PNG file; or None.

    Raises:
        ValueError: a file is no application, or an argument is out of its bounds.
    """
    check_count("num_instances", num_instances)
    stems = [path.stem for path in paths]
    twice = [stem for stem in stems if stems.count(stem) > 1]
    if plots_folder is not None and twice:
        raise ValueError(f"two files are called {twice[0]!r}; with --plots each must have a name of its own")
    applications = [load_application(path, reference_hz=reference_hz) for path in paths]  # before anything is decided
    warm = random_application(4, seed=0)  # what methods decide before they are timed
    found: list[tuple[Path, Result]] = []
    for path, application in zip(paths, applications, strict=True):
        scenario = as_scenario({**machines, "applications": [application]})
        instances = sample_instances(scenario, num_instances, seed_for("test", seed))
        few = sample_instances(as_scenario({**machines, "applications": [warm]}), 1, seed_for("validation", seed))
        results = compare_methods(instances, methods_for(instances.num_tasks, agents_folder), [few])
        _print(path, instances, results)
        if plots_folder is not None:
            plots_folder.mkdir(parents=True, exist_ok=True)
            best = min(results, key=lambda result: result.excess[0])
            _draw(plots_folder / f"{path.stem}.png", instances[:1], best, application.task_names)
        found += [(path, result) for result in results]
    if len(paths) > 1:
        _print_together([result for _, result in found])
    return [{"file": path.name, **as_row(result)} for path, result in found]


def _draw(path: Path, instance: Instances, result: Result, task_names: Sequence[str]) -> None:
    decision = result.decisions[:1]
    figure = Figure(figsize=(11, 5), dpi=100, layout="constrained")
    latency_s = float(latency(instance, decision)[0])
    draw_schedule(figure.subplots(), schedule(instance, decision[0]), latency_s, task_names=task_names)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def _print(path: Path, instances: Instances, results: list[Result]) -> None:
    num_edges = len(instances.edges_of(0))
    table = Table(
        title=f"{path.name}: {instances.num_tasks} tasks, {num_edges} edges, {len(instances)} draws of machines",
        caption="Mean latency in % over the best that any of these found; median time of a decision.",
        box=box.SIMPLE_HEAD,
    )
    for header in ("method", "excess %", "time"):
        table.add_column(header, justify="left" if header == "method" else "right", no_wrap=True)
    for result in results:
        table.add_row(result.method, f"{100 * result.excess.mean():.2f}", short_time(result.seconds))
    Console(width=max(Console().width, 100)).print(table)


def _print_together(results: list[Result]) -> None:
    of_methods: dict[str, list[Result]] = {}
    for result in results:
        of_methods.setdefault(result.method, []).append(result)
    table = Table(
        title=f"{max(map(len, of_methods.values()))} files, from {min(result.num_tasks for result in results)} to "
        f"{max(result.num_tasks for result in results)} tasks",
        caption="Mean of the files' means, the largest of these, and median of the files' median times. Flips are left "
        f"out of files of more than {MOST_WITH_FLIPS} tasks.",
        box=box.SIMPLE_HEAD,
    )
    for header in ("method", "files", "excess %", "largest %", "time"):
        table.add_column(header, justify="left" if header == "method" else "right", no_wrap=True)
    for method, of_method in of_methods.items():
        excess = 100 * np.array([result.excess.mean() for result in of_method])
        time = short_time(np.array([np.median(result.seconds) for result in of_method]))
        table.add_row(method, f"{len(of_method)}", f"{excess.mean():.2f}", f"{excess.max():.2f}", time)
    Console(width=max(Console().width, 100)).print(table)
