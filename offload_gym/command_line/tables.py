"""Decisions and schedules as text: numbers in columns, and names of locations."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import shortened
from offload_gym.delay import Schedule, latency, schedule
from offload_gym.envs.rendering import location_name, on_axis, render_ansi
from offload_gym.instances import Instances

WIDEST = 120  # a chart gains nothing from more


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> str:
    """Columns with two spaces between, to the right but for those in ``left``."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for row in (header, *rows):
        cells = (
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def milliseconds(seconds: float) -> str:
    """A time for a column in ms; a dash where there is none."""
    return "-" if math.isnan(seconds) else f"{seconds * 1e3:.2f}"


def schedule_table(happening: Schedule, num_locations: int, names: Sequence[str] = ()) -> str:
    """What happens to each task, a line each with its name where there are any; times in ms after the decision."""
    header = ["task", "location", "core", "sent from", "to", "starts", "finishes", "complete (ms)"]
    times = (
        happening.send_start_s,
        happening.send_end_s,
        happening.start_s,
        happening.finish_s,
        happening.completion_s,
    )
    rows = []
    for i, (k, core) in enumerate(zip(happening.location.tolist(), happening.core.tolist(), strict=True)):
        cells = (milliseconds(float(column[i])) for column in times)
        rows.append([str(i), f"{k} {location_name(k, num_locations)}", str(core), *cells])
    if names:
        rows = [[*row, shortened(name)] for row, name in zip(rows, names, strict=True)]
        header.append("name")
    return text_table(header, rows, left=(1, 8))


def chart_width() -> int:
    """Characters of a line of a chart: those of the terminal, 80 where there is none."""
    return min(shutil.get_terminal_size((80, 24)).columns, WIDEST)


def chart(instances: Instances, decision: NDArray[np.int64], objective: str) -> str:
    """The schedule of one instance, a batch of one, as a Gantt chart."""
    drawn = on_axis(objective)
    latency_s = float(latency(instances, decision[None], drawn)[0])
    return render_ansi(schedule(instances, decision), latency_s, drawn, chart_width())
