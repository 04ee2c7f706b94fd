"""``python -m benchmarks speed``: from the groups of measurements to the table and the files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.analysis import write_json
from benchmarks.speed.calls import measure_calls
from benchmarks.speed.environments import measure_environments
from benchmarks.speed.exact import measure_makespan, measure_mean
from benchmarks.speed.growth import measure_growth
from benchmarks.speed.growth_plot import draw_growth
from benchmarks.speed.kernel import measure_kernel
from benchmarks.speed.labels import measure_labels
from benchmarks.speed.nodes import measure_nodes
from benchmarks.speed.rows import Row, as_json, print_rows
from benchmarks.speed.startup import measure_startup
from benchmarks.speed.steps import measure_steps
from benchmarks.speed.streams import measure_streams
from benchmarks.speed.timing import FULL, QUICK, Effort
from offload_gym.progress import progress_bar
from offload_gym.seeds import check_seed

GROUPS: dict[str, Callable[[Effort, int], list[Row]]] = {
    "kernel": measure_kernel,
    "calls": measure_calls,
    "environments": measure_environments,
    "step": measure_steps,
    "exact": measure_makespan,
    "mean": measure_mean,
    "nodes": measure_nodes,
    "labels": measure_labels,
    "streams": measure_streams,
    "startup": measure_startup,
    "growth": measure_growth,
}


def measure_speed(
    *,
    seed: int = 0,
    only: Sequence[str] = (),
    quick: bool = False,
    json_path: str | None = None,
    plots_folder: str | None = None,
) -> list[Row]:
    """Measure the groups in ``only``, all of them where it is empty; returns the rows of the table."""
    check_seed(seed)
    for name in only:
        if name not in GROUPS:
            raise ValueError(f"only has {name!r}; it must be among {', '.join(GROUPS)}")
    if json_path is not None and Path(json_path).is_dir():
        raise ValueError(f"{json_path!r} is a folder; it must be a file")
    if plots_folder is not None and Path(plots_folder).is_file():
        raise ValueError(f"{plots_folder!r} is a file; it must be a folder")
    effort = QUICK if quick else FULL
    rows: list[Row] = []
    chosen = [name for name in GROUPS if not only or name in only]
    with progress_bar(len(chosen), "speed", "group") as bar:
        for name in chosen:
            bar.set_postfix_str(name)
            rows += GROUPS[name](effort, seed)
            bar.update()
    written = []
    if json_path is not None:
        write_json(json_path, [as_json(row) for row in rows])
        written.append(json_path)
    curves = [row.curve for row in rows if row.curve is not None]
    if plots_folder is not None and curves:
        path = Path(plots_folder) / "growth.png"
        draw_growth(path, curves)
        written.append(str(path))
    print_rows(rows)
    if written:
        print(f"table and plot: {', '.join(written)}")
    return rows
