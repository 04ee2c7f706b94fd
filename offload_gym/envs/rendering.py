"""One decision epoch drawn as a Gantt chart, as plain text or as an image, and an application drawn as a graph.

The rows are the cores of the end device, its radio, and the cores of every edge server and of the cloud server. A bar
is a task that runs on a core or is sent by the radio; the time before a core or the radio is free is its backlog.
A task whose location is -1 is not drawn. Matplotlib is imported inside functions: the package works without it.
"""

from __future__ import annotations

import math
import string
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from offload_gym.applications.application import Application
    from offload_gym.delay import Schedule

RADIO = -1  # stands for the radio where a row asks for a location

TASK_SYMBOLS = string.digits + string.ascii_uppercase + string.ascii_lowercase + "#"
BACKLOG_SYMBOL = "░"
OBJECTIVE_NAMES = {"mean": "mean completion"}

# Okabe and Ito's palette, which readers with any common colour blindness can tell apart.
DEVICE_COLOUR, CLOUD_COLOUR = "#E69F00", "#0072B2"
EDGE_COLOURS = ("#009E73", "#CC79A7", "#56B4E9", "#F0E442", "#D55E00")
DARK_COLOURS = (CLOUD_COLOUR, "#009E73", "#D55E00")  # a number on these is white
INK, BACKLOG_COLOUR, BAND_COLOUR, GRID_COLOUR = "#222222", "#8C8C8C", "#F3F3F3", "#DADADA"
HATCH: dict[str, Any] = {"facecolor": "white", "edgecolor": BACKLOG_COLOUR, "linewidth": 0.5, "hatch": "//////"}
DASHES: dict[str, Any] = {"color": INK, "linewidth": 1.0, "linestyle": (0, (4, 3)), "zorder": 1}

LEGEND_COLUMNS = 8
BAR_TOP, BAR_HEIGHT = -0.32, 0.64  # in rows, downwards from the middle of the row
RETURN_LEVEL = 0.45  # below the bars, so that a returning result does not cross the next task of the same core


class _Bar(NamedTuple):
    task: int
    location: int
    start_s: float
    end_s: float
    return_s: float  # when the result is back on the device; end_s where none is sent back


class _Row(NamedTuple):
    location: int
    core: int
    label: str
    backlog_s: float
    bars: list[_Bar]  # by start

    @property
    def idle(self) -> bool:
        return not self.bars and self.backlog_s <= 0.0


def render_ansi(
    schedule: Schedule,
    latency_s: float | None = None,
    objective: str = "makespan",
    width: int = 100,
    *,
    task_names: Sequence[str] = (),
    title: str | None = None,
) -> str:
    """Draw a schedule as plain text, one line a row.

    A task is shown by one character: 0 to 9, then A to Z, then a to z, and `#` beyond. A task too short for a
    character still gets one, at the cost of its neighbours, as long as the row has room. The row `done` marks when
    each result is back on the device. Neighbouring cores that stay idle share one line. A backlog that outlasts the
    time axis ends in `>`.

    Args:
        schedule: The schedule of one instance.
        latency_s: The value of the objective in seconds, for the headline.
        objective: What `latency_s` measures: `makespan` or `mean`.
        width: Length of a line in characters; the time axis takes at least 10 of them.
        task_names: Names of the tasks, which lines below the time axis give for the characters; or none.
        title: The headline; by default what `headline` says.

    Returns:
        The lines, joined by line breaks.
    """
    rows = _rows(schedule)
    limit_s = _time_limit(rows, latency_s)
    labels = _line_labels(rows)
    pad = max(map(len, labels.values()))
    cells = max(10, width - pad - 3)
    lines = [title or headline(schedule, latency_s, objective)]
    for index, label in labels.items():
        text = " idle".ljust(cells) if rows[index].idle else _text_row(rows[index], limit_s, cells)
        lines.append(f"{label:<{pad}} |{text}|")
    done = sorted((bar.return_s, bar.task) for row in rows if row.location != RADIO for bar in row.bars)
    done_row = _Row(0, 0, "done", 0.0, [_Bar(i, 0, t, t, t) for t, i in done])
    lines.append(f"{'done':<{pad}} |{_text_row(done_row, limit_s, cells)}|")
    lines += [" " * (pad + 2) + line for line in _text_axis(limit_s, cells)]
    if any(name != str(i) for i, name in enumerate(task_names)):
        names = ", ".join(f"{_symbol(i)} {name}" for i, name in enumerate(task_names))
        lines += textwrap.wrap(f"tasks: {names}", width, subsequent_indent="       ")
    return "\n".join(lines)


def draw_schedule(
    axes: Axes,
    schedule: Schedule,
    latency_s: float | None = None,
    objective: str = "makespan",
    *,
    time_limit_s: float | None = None,
    legend: bool = True,
    task_names: Sequence[str] = (),
) -> None:
    """Draw a schedule into matplotlib axes.

    Schedules of the same locations have the same rows at the same heights, so charts side by side can share the
    vertical axis; give them one `time_limit_s` to share the time as well, and one legend of `legend_handles`.

    Args:
        axes: Where to draw. Its size should be final, because it decides which numbers fit into their bars.
        schedule: The schedule of one instance.
        latency_s: The value of the objective in seconds, for the title and a dashed line.
        objective: What `latency_s` measures: `makespan` or `mean`.
        time_limit_s: Where the time axis ends, in seconds; by default a little after the last event of a task.
        legend: Whether to draw the legend below the axes.
        task_names: Names of the tasks, which follow their numbers where they fit; or none.
    """
    limit_s = time_limit_s or 1.02 * time_needed(schedule, latency_s)
    draw_axes(axes, schedule, limit_s)
    draw_bars(axes, schedule, limit_s, latency_s, headline(schedule, latency_s, objective), task_names)
    if legend:
        K = schedule.backlog_s.shape[0]
        # The padding, in units of the font size, clears the tick labels and the axis label.
        style: dict[str, Any] = {"fontsize": 8, "frameon": False, "borderaxespad": 3.9, "columnspacing": 1.6}
        handles = legend_handles(K, None if latency_s is None else objective)
        axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=LEGEND_COLUMNS, **style)


def draw_axes(axes: Axes, schedule: Schedule, limit_s: float) -> None:
    """Draw what schedules of the same locations share: the rows, and the time axis up to ``limit_s``."""
    rows = _rows(schedule)
    scale, unit = _unit(limit_s)
    axes.set_xlim(0.0, limit_s * scale)
    axes.set_ylim(len(rows) - 0.3, -0.5)  # leaves room for the returns below the last row
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", labelsize=8, length=0)
    axes.set_xlabel(f"time since the decision ({unit})", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color=GRID_COLOUR, linewidth=0.6)
    axes.set_axisbelow(True)
    for y, row in enumerate(rows):
        # Bands show which cores belong together: the radio and every second remote location are shaded.
        if row.location == RADIO or (row.location > 0 and row.location % 2 == 0):
            axes.axhspan(y - 0.5, y + 0.5, color=BAND_COLOUR, linewidth=0, zorder=0)


def draw_bars(
    axes: Axes,
    schedule: Schedule,
    limit_s: float,
    latency_s: float | None,
    title: str,
    task_names: Sequence[str] = (),
) -> list[Artist]:
    """Draw a schedule into axes that ``draw_axes`` prepared with ``limit_s``; returns the title and all else drawn."""
    from matplotlib.collections import LineCollection, PolyCollection

    rows = _rows(schedule)
    K = schedule.backlog_s.shape[0]
    scale, _ = _unit(limit_s)
    # One collection for all of a kind: an artist of its own for each takes several times as long.
    # A backlog longer than the axis is cut where its end is out of sight.
    backlogs = [
        box(y, 0.0, min(row.backlog_s, 1.1 * limit_s) * scale) for y, row in enumerate(rows) if row.backlog_s > 0.0
    ]
    bars = [(y, bar) for y, row in enumerate(rows) for bar in row.bars]
    colours = [_colour(bar.location, K) for _, bar in bars]
    boxes = [box(y, bar.start_s * scale, bar.end_s * scale) for y, bar in bars]
    paths, ends, end_colours = [], [], []
    for (y, bar), colour in zip(bars, colours, strict=True):
        if bar.return_s > bar.end_s:
            # From the end of the bar to the time at which its result is back on the device.
            end, back, level = bar.end_s * scale, bar.return_s * scale, y + RETURN_LEVEL
            paths.append([(end, y + BAR_TOP + BAR_HEIGHT), (end, level), (back, level)])
            ends.append((back, level))
            end_colours.append(colour)
    collections = [
        PolyCollection(backlogs, zorder=2, **HATCH),
        PolyCollection(boxes, facecolors=colours, edgecolors=INK, linewidths=0.5, zorder=2),
        LineCollection(paths, colors=end_colours, linewidths=1.0, zorder=3),
    ]
    for collection in collections:
        axes.add_collection(collection, autolim=False)
    drawn: list[Artist] = [axes.set_title(title, loc="left", fontsize=10), *collections]
    returned = np.array(ends).reshape(-1, 2)
    drawn.append(axes.scatter(returned[:, 0], returned[:, 1], s=16, color=end_colours, linewidth=0, zorder=3))
    for y, row in enumerate(rows):
        drawn += _draw_labels(axes, row, y, scale, K, task_names)
    if latency_s is not None:
        drawn.append(axes.axvline(latency_s * scale, **DASHES))
    return drawn


def legend_handles(K: int, objective: str | None = None) -> list[Artist]:
    """What the colours and marks mean, for `K` locations; with an objective, also its dashed line."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = _location_handles(K)
    handles.append(Patch(label="backlog", **HATCH))
    handles.append(Line2D([], [], color=INK, linewidth=1.0, marker="o", markersize=3.5, label="result returned"))
    if objective is not None:
        handles.append(Line2D([], [], label=OBJECTIVE_NAMES.get(objective, objective), **DASHES))
    return handles


def draw_application(
    axes: Axes, application: Application, decision: Sequence[int] | None = None, num_locations: int | None = None
) -> None:
    """Draw the graph of an application into matplotlib axes.

    The tasks stand from left to right by depth, the number of edges on the longest way to them. An edge is labelled
    with what it carries in Mbit. With a decision, each task has the colour of its location and a legend names them;
    a task whose location is -1 stays white.

    Args:
        axes: Where to draw.
        application: The application.
        decision: (n,) the location of each task, or none.
        num_locations: The number of locations, K; needed with a decision, because the last one is the cloud server.

    Raises:
        ValueError: If the decision does not have one location, -1 to K - 1, for each task, or K is not given.
    """
    n = application.num_tasks
    colours = ["white"] * n
    if decision is not None:
        if num_locations is None:
            raise ValueError("num_locations is None; it must be given with a decision")
        locations = [int(k) for k in decision]
        if len(locations) != n or not all(-1 <= k < num_locations for k in locations):
            raise ValueError(
                f"decision is {locations}; it must hold {n} locations, each from -1 to {num_locations - 1}"
            )
        colours = ["white" if k < 0 else _colour(k, num_locations) for k in locations]
    points, ways = _layered(application)
    boxes = []
    for i, name in enumerate(application.task_names):
        ink = "white" if colours[i] in DARK_COLOURS else INK
        box = {"boxstyle": "round,pad=0.4", "facecolor": colours[i], "edgecolor": INK, "linewidth": 0.5}
        text = axes.text(*points[i], name, fontsize=8, color=ink, ha="center", va="center", bbox=box, zorder=2)
        boxes.append(text.get_bbox_patch())
    line: dict[str, Any] = {"color": BACKLOG_COLOUR, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
    xs, ys = zip(*points, strict=True)
    for way, bits in zip(ways, application.edge_bits, strict=True):
        for start, end in pairwise(way):
            # Drawn after the tasks, whose boxes have their sizes then and cut the arrow.
            ends = {"patchA": boxes[start] if start < n else None, "patchB": boxes[end] if end < n else None}
            arrow = {**line, **ends, "arrowstyle": "-|>" if end < n else "-"}
            axes.annotate("", points[end], points[start], arrowprops=arrow, zorder=3)
        # Off the middle, where edges cross; in one line of tasks above them, where there is room.
        x, y = (0.6 * a + 0.4 * b for a, b in zip(points[way[0]], points[way[1]], strict=True))
        if len(set(ys)) == 1:
            x, y = sum(points[k][0] for k in way[:2]) / 2, y - 0.12
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        axes.text(x, y, f"{bits / 1e6:.3g}", fontsize=7, color=INK, ha="center", va="center", bbox=box, zorder=4)
    axes.set_xlim(-0.5, max(xs) + 0.5)
    axes.set_ylim(max(ys) + 0.7, min(ys) - 0.7)  # downwards
    axes.set_axis_off()
    axes.set_title(f"{application.name}, {n} tasks, edges in Mbit", loc="left", fontsize=10)
    if decision is not None and num_locations is not None:
        handles = _location_handles(num_locations)
        style: dict[str, Any] = {"fontsize": 8, "frameon": False, "ncols": LEGEND_COLUMNS}
        axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), **style)


def _layered(application: Application) -> tuple[list[tuple[float, float]], list[list[int]]]:
    """Points, those of the tasks first, and for each edge the points that it passes.

    A point stands at its depth and near the middle of the points before it; all layers are about equally high. An edge
    has a point of its own in each layer that it only passes, so that it does not run through a task.
    """
    depth: list[int] = []
    before: list[list[int]] = [[] for _ in range(application.num_tasks)]
    for parent, child in application.edges:
        before[child].append(parent)
    for parents in before:
        depth.append(1 + max((depth[parent] for parent in parents), default=-1))
    ways = []
    for parent, child in application.edges:
        way = [parent]
        for layer in range(depth[parent] + 1, depth[child]):
            before.append([way[-1]])
            depth.append(layer)
            way.append(len(depth) - 1)
        before[child][before[child].index(parent)] = way[-1]
        ways.append([*way, child])
    height = [0.0] * len(depth)
    most = max(map(depth.count, depth))
    for layer in range(max(depth) + 1):
        points = [i for i in range(len(depth)) if depth[i] == layer]
        middle = {i: sum(height[j] for j in before[i]) / max(len(before[i]), 1) for i in points}
        for place, i in enumerate(sorted(points, key=lambda i: middle[i])):
            height[i] = (place - (len(points) - 1) / 2) * most / len(points)
    return [(float(d), h) for d, h in zip(depth, height, strict=True)], ways


def _location_handles(K: int) -> list[Artist]:
    from matplotlib.patches import Patch

    return [Patch(facecolor=_colour(k, K), edgecolor=INK, linewidth=0.5, label=location_name(k, K)) for k in range(K)]


def _rows(schedule: Schedule) -> list[_Row]:
    """The rows from top to bottom: the device's cores, the radio, then the cores of each remote location."""
    K = schedule.backlog_s.shape[0]
    location, core = schedule.location.tolist(), schedule.core.tolist()
    runs = list(zip(schedule.start_s.tolist(), schedule.finish_s.tolist(), schedule.completion_s.tolist(), strict=True))
    sends = list(zip(schedule.send_start_s.tolist(), schedule.send_end_s.tolist(), strict=True))
    placed = np.flatnonzero(schedule.location >= 0).tolist()
    rows = []
    for k in range(K):
        for m in np.flatnonzero(np.isfinite(schedule.backlog_s[k])).tolist():
            label = f"device {m}" if k == 0 else f"{location_name(k, K)} core {m}"
            bars = [_Bar(i, k, *runs[i]) for i in placed if (location[i], core[i]) == (k, m)]
            rows.append(_Row(k, m, label, float(schedule.backlog_s[k, m]), sorted(bars, key=lambda bar: bar.start_s)))
        if k == 0:
            # A task that the radio does not send has no times there.
            bars = [_Bar(i, location[i], *sends[i], sends[i][1]) for i in placed if not math.isnan(sends[i][0])]
            rows.append(_Row(RADIO, 0, "radio", schedule.radio_backlog_s, sorted(bars, key=lambda bar: bar.start_s)))
    return rows


def time_needed(schedule: Schedule, latency_s: float | None = None) -> float:
    """Seconds that the time axis has to show: to the last event of a task."""
    return _time_limit(_rows(schedule), latency_s)


def _time_limit(rows: list[_Row], latency_s: float | None) -> float:
    """The last event of a task; without a task, the longest backlog; one second where all of these are zero."""
    limit_s = max([latency_s or 0.0, *(bar.return_s for row in rows for bar in row.bars)])
    # A backlog extends the axis only where nothing else does: a long one would leave the tasks no room.
    return limit_s or max(row.backlog_s for row in rows) or 1.0


def location_name(k: int, K: int) -> str:
    """How tables and charts name location ``k`` of ``K``."""
    return "device" if k == 0 else "cloud" if k == K - 1 else f"edge {k}"


def _colour(k: int, K: int) -> str:
    return DEVICE_COLOUR if k == 0 else CLOUD_COLOUR if k == K - 1 else EDGE_COLOURS[(k - 1) % len(EDGE_COLOURS)]


def _unit(limit_s: float) -> tuple[float, str]:
    return (1e3, "ms") if limit_s < 1.0 else (1.0, "s")


def on_axis(objective: str) -> str:
    """What a line on the time axis marks under an objective: "mean" or "makespan", as a cost is not a time."""
    return "mean" if objective == "mean" else "makespan"


def headline(schedule: Schedule, latency_s: float | None, objective: str) -> str:
    """The value of the objective, where it is known, and how many tasks are placed."""
    placed, n = int((schedule.location >= 0).sum()), schedule.location.size
    tasks = f"{n} tasks" if placed == n else f"{placed} of {n} tasks placed"
    if latency_s is None:
        return tasks
    scale, unit = _unit(latency_s)
    return f"{OBJECTIVE_NAMES.get(objective, objective)} {latency_s * scale:.4g} {unit}, {tasks}"


def _line_labels(rows: list[_Row]) -> dict[int, str]:
    """The label of each line by the index of its row; neighbouring idle cores of a location share the first's."""
    labels: dict[int, str] = {}
    first = 0
    for index, row in enumerate(rows):
        if index and row.idle and rows[first].idle and row.location == rows[first].location:
            name = rows[first].label.rsplit(" ", 1)[0].removesuffix(" core")
            labels[first] = f"{name} cores {rows[first].core}-{row.core}"
        else:
            first = index
            labels[index] = row.label
    return labels


def _text_row(row: _Row, limit_s: float, cells: int) -> str:
    bars = [(_symbol(bar.task), bar.start_s, bar.end_s) for bar in row.bars]
    if row.backlog_s > 0.0:
        bars.insert(0, (BACKLOG_SYMBOL, 0.0, min(row.backlog_s, limit_s)))
    text = text_bars(bars, limit_s, cells)
    return text[:-1] + ">" if row.backlog_s > limit_s else text


def _symbol(task: int) -> str:
    return TASK_SYMBOLS[min(task, len(TASK_SYMBOLS) - 1)]


def text_bars(bars: list[tuple[str, float, float]], limit_s: float, cells: int) -> str:
    """Bars in time order as one line of `cells` characters, each at least one character long while there is room."""
    spans = []
    free = 0
    for symbol, start_s, end_s in bars:
        first = max(round(start_s / limit_s * cells), free)
        free = max(round(end_s / limit_s * cells), first + 1)
        spans.append((symbol, first, free))
    line = [" "] * cells
    # Bars pushed beyond the end move back, and shorten the bars before them.
    free = cells
    for symbol, first, last in reversed(spans):
        last = min(last, free)
        first = max(min(first, last - 1), 0)
        line[first:last] = symbol * (last - first)
        free = first
    return "".join(line)


def _text_axis(limit_s: float, cells: int) -> tuple[str, str]:
    """The time axis and its labels, from 0 to the limit, with at most seven ticks at round times."""
    scale, unit = _unit(limit_s)
    smallest = limit_s * scale / 6
    magnitude = 10.0 ** math.floor(math.log10(smallest))
    step = next((f * magnitude for f in (1, 2, 5) if f * magnitude >= smallest), 10 * magnitude)
    axis = ["-"] * (cells + 1)
    labels = ""
    for tick in range(math.floor(limit_s * scale / step + 1e-9) + 1):
        position = min(round(tick * step / (limit_s * scale) * cells), cells)
        axis[position] = "+"
        label = f"{tick * step:g}" if tick else f"0 {unit}"
        position = min(position, cells + 1 - len(label))
        if not labels or position > len(labels):
            labels = labels.ljust(position) + label
    return "".join(axis), labels


def box(y: int, start: float, end: float) -> list[tuple[float, float]]:
    """The corners of a bar in row ``y``."""
    top, bottom = y + BAR_TOP, y + BAR_TOP + BAR_HEIGHT
    return [(start, top), (end, top), (end, bottom), (start, bottom)]


def _labelled(task: int, task_names: Sequence[str]) -> str:
    """The number of a task, and its name where it has another one than its number."""
    return str(task) if not task_names or task_names[task] == str(task) else f"{task} {task_names[task]}"


def _draw_labels(axes: Axes, row: _Row, y: int, scale: float, K: int, task_names: Sequence[str]) -> list[Artist]:
    """Write each task's number, with its name where that fits, into its bar or to the right of it."""
    points = axes.bbox.width / axes.figure.dpi * 72 / axes.get_xlim()[1]  # for each unit of the time axis
    style: dict[str, Any] = {"fontsize": 8, "va": "center_baseline", "zorder": 4, "clip_on": True}
    following = [bar.start_s * scale for bar in row.bars[1:]] + [axes.get_xlim()[1]]
    drawn: list[Artist] = []
    for bar, free_until in zip(row.bars, following, strict=False):
        start, end, number = bar.start_s * scale, bar.end_s * scale, str(bar.task)
        for text in (_labelled(bar.task, task_names), number):
            needed = 5.1 * len(text) + 0.5
            if (end - start) * points >= needed:
                colour = "white" if _colour(bar.location, K) in DARK_COLOURS else INK
                drawn.append(axes.text((start + end) / 2, y, text, ha="center", color=colour, **style))
                break
            if (free_until - end) * points >= needed + 1.0:
                drawn.append(axes.text(end + 1.0 / points, y, text, ha="left", color=INK, **style))
                break
    return drawn
