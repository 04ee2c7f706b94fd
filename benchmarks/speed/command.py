"""``python -m benchmarks speed``: from the groups of measurements to the table and the files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks.analysis import write_json
from benchmarks.speed.kernel import measure_kernel
from benchmarks.speed.rows import Row, as_json, print_rows
from benchmarks.speed.timing import FULL, QUICK, Effort
from offload_gym.seeds import check_seed

GROUPS: dict[str, Callable[[Effort, int], list[Row]]] = {
    "kernel": measure_kernel,
}


def measure_speed(
    *, seed: int = 0, only: Sequence[str] = (), quick: bool = False, json_path: str | None = None
) -> list[Row]:
    """Measure the groups in ``only``, all of them where it is empty; returns the rows of the table."""
    check_seed(seed)
    for name in only:
        if name not in GROUPS:
            raise ValueError(f"only has {name!r}; it must be among {', '.join(GROUPS)}")
    if json_path is not None and Path(json_path).is_dir():
        raise ValueError(f"{json_path!r} is a folder; it must be a file")
    effort = QUICK if quick else FULL
    rows: list[Row] = []
    bar = tqdm([name for name in GROUPS if not only or name in only], unit="group")
    for name in bar:
        bar.set_description(name)
        rows += GROUPS[name](effort, seed)
    if json_path is not None:
        write_json(json_path, [as_json(row) for row in rows])
    print_rows(rows)
    if json_path is not None:
        print(f"table: {json_path}")
    return rows
