"""``python -m benchmarks front``: the front of quality and speed, at several numbers of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.analysis import front, write_json
from benchmarks.plots import fronts
from benchmarks.policies import Asked, compare
from offload_gym.scenario import make_scenario

SIZES = (8, 12, 16)
LEFT_OUT = {"local", "edge", "cloud", "random"}  # far above the others


def compare_sizes(
    folder: Path, seed: int, num_instances: int, json_path: str | None = None, plot_path: str | None = None
) -> list[dict[str, Any]]:
    """Compare all policies at each number of tasks n, with the trained ones of ``folder/n<n>``; returns the rows."""
    panels: dict[str, list[dict[str, Any]]] = {}
    for num_tasks in SIZES:
        asked = Asked(seed, num_instances, [folder / f"n{num_tasks}"])
        rows = compare(make_scenario("default", num_tasks=num_tasks), "makespan", asked)
        panels[f"n = {num_tasks}"] = [row for row in rows if row["policy"] not in LEFT_OUT]
    every = [row for rows in panels.values() for row in rows]
    if json_path is not None:
        write_json(json_path, every)
    if plot_path is not None:
        fronts(plot_path, panels)
    for title, rows in panels.items():
        print(f"{title}: no policy is faster and better than {', '.join(front(rows))}")
    return every
