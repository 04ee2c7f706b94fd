"""The last seconds of a stream as a Gantt chart, as text or into matplotlib axes.

The rows are the radios and cores of the devices, and the cores of the servers. A bar is a task of a job that runs on a
core, or its data on the radio. What is right of now is how it goes on if no further job arrives. Further rows mark when
jobs arrive and are complete, and where there are deadlines these, and when jobs are late or dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.envs.rendering import (
    BAND_COLOUR,
    CLOUD_COLOUR,
    DARK_COLOURS,
    DEVICE_COLOUR,
    EDGE_COLOURS,
    GRID_COLOUR,
    INK,
    TASK_SYMBOLS,
    box,
    location_name,
    text_bars,
)
from offload_gym.envs.stream_fleet import StreamFleet
from offload_gym.streams.responses import histories
from offload_gym.streams.streams import Streams
from offload_gym.streams.system import DROPPED

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

NUM_JOBS = 20  # that arrive in the time that is shown, on average
AHEAD = 0.25  # of this time, shown right of now
MOST_CORES = 16  # rows of one place; further cores share the last one
LATE_COLOUR = "#B00020"
JOB_COLOURS = (DEVICE_COLOUR, CLOUD_COLOUR, *EDGE_COLOURS)
ARRIVED, DEADLINE, DONE, LATE = "arrived", "deadline", "done", "late"
MARKERS = {ARRIVED: "v", DEADLINE: "|", DONE: "o", LATE: "x"}


class Bar(NamedTuple):
    """A job on a radio or core; times are since now."""

    job: int
    start_s: float
    end_s: float


class Row(NamedTuple):
    """One line of the chart. Its bars are those of a machine, or moments, which have no length, in a row of marks."""

    label: str
    bars: list[Bar]


class Picture(NamedTuple):
    """What is drawn of a stream at a moment."""

    title: str
    rows: list[Row]
    past_s: float
    late: frozenset[int]  # jobs that were dropped or lost, or not complete at their deadline
    now_s: float

    @property
    def ahead_s(self) -> float:
        """Seconds shown right of now."""
        return AHEAD * self.past_s


def picture_of(fleet: StreamFleet, past_s: float) -> Picture:
    """A fleet of one as it stands: all jobs that were decided, over the last ``past_s`` seconds."""
    streams, decided = fleet.streams(), int(fleet.progress["job"][0])
    jobs, fates = streams.batch.jobs[0], fleet.systems.fates[0, :decided]
    arrival_s, due_s = jobs["arrival_s"], jobs["arrival_s"] + jobs["deadline_s"]
    dropped = np.isinf(fates["done_s"]) & np.isinf(fates["lost_s"])
    machines, finished_s, lost_s = _machine_rows(fleet, streams, decided, dropped)
    done_s = np.full(len(jobs), np.inf)
    done_s[:decided][~dropped] = finished_s[~dropped]
    over = decided == len(jobs)
    ends_s = np.append(done_s, lost_s)
    now_s = float(max(arrival_s[-1], *ends_s[ends_s < np.inf], 0.0) if over else arrival_s[decided])
    late_s = np.where(done_s > due_s, due_s, np.inf)
    late_s[:decided][dropped] = arrival_s[:decided][dropped]
    late_s[:decided] = np.minimum(late_s[:decided], lost_s)
    marks = {ARRIVED: arrival_s, DONE: done_s}
    if fleet.num_actions > streams.num_locations or np.isfinite(due_s).any() or streams.can_lose:
        marks |= {DEADLINE: due_s, LATE: late_s}
    lines = {}
    for label, at_s in marks.items():
        known = np.flatnonzero((arrival_s if label == DEADLINE else at_s) <= now_s)
        lines[label] = Row(label, _clipped(known, at_s[known], at_s[known], now_s, past_s))
    rows = [lines[label] for label in (ARRIVED, DEADLINE) if label in lines]
    rows += [Row(label, _clipped(*bars, now_s, past_s)) for label, bars in machines]
    rows += [lines[label] for label in (DONE, LATE) if label in lines]
    lost = (lost_s <= now_s).sum()
    in_system = (arrival_s <= now_s).sum() - (done_s <= now_s).sum() - dropped.sum() - lost
    parts = [f"{now_s:.2f} s", _progress(fleet, jobs), f"{in_system} in the system"]
    if (done_s <= now_s).any():
        parts.append(f"mean response {(done_s - arrival_s)[done_s <= now_s].mean():.3g} s")
    late = np.flatnonzero(late_s <= now_s).tolist()
    if LATE in lines:
        parts.append(f"{len(late)} late")
    if streams.can_lose:
        parts.append(f"{lost} lost")
    return Picture(", ".join(parts), rows, past_s, frozenset(late), now_s)


def _progress(fleet: StreamFleet, jobs: NDArray[np.void]) -> str:
    """Which job is being decided, and which of its tasks."""
    j, i = int(fleet.progress["job"][0]), int(fleet.progress["task"][0])
    text = f"{min(j + 1, len(jobs))} of {len(jobs)} jobs"
    return text if j == len(jobs) or jobs["num_tasks"][j] == 1 else f"{text}, task {i + 1} of {jobs['num_tasks'][j]}"


Bars = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]  # jobs, from when, until when


def _machine_rows(
    fleet: StreamFleet, streams: Streams, decided: int, dropped: NDArray[np.bool_]
) -> tuple[list[tuple[str, Bars]], NDArray[np.float64], NDArray[np.float64]]:
    """The bars of each radio and core, and when each of the jobs that were decided is complete, and is lost.

    Infinite where that is never.
    """
    batch = streams.batch
    n, of_job = batch.tasks.shape[2], batch.tasks.shape[2] + batch.edge_bits.shape[2]
    some = {name: getattr(batch, name)[:, :decided] for name in ("jobs", "tasks", "edge_bits")}
    first = Streams.from_batch(batch._replace(**{name: np.ascontiguousarray(a) for name, a in some.items()}))
    location = fleet.systems.tasks["location"][0].reshape(-1, n)[:decided].copy()
    location[dropped] = DROPPED
    made = histories(first, location[None])
    tasks, sends = made.tasks[0].reshape(decided, n), made.sends[0].reshape(decided, of_job)
    device = first.batch.jobs["device"][0]
    finished_s = np.max(tasks["completion_s"], axis=1, where=~np.isnan(tasks["completion_s"]), initial=-np.inf)
    lost_s = np.min(tasks["lost_s"], axis=1, where=~np.isnan(tasks["lost_s"]), initial=np.inf)
    finished_s[lost_s < np.inf] = np.inf
    tasks["finish_s"] = np.fmin(tasks["finish_s"], tasks["lost_s"])  # until then they have their cores
    rows = []
    num_devices, num_locations = streams.num_devices, streams.num_locations
    for d in range(num_devices):
        name = "" if num_devices == 1 else f" {d}"
        sent = (device == d)[:, None] & (sends["finish_s"] > sends["start_s"])
        rows.append((f"radio{name}", (np.nonzero(sent)[0], sends["start_s"][sent], sends["finish_s"][sent])))
        at = (device == d)[:, None] & (location == 0)
        rows += _core_rows(f"device{name}", int(batch.devices["cores"][0, d]), at, tasks)
    for k in range(1, num_locations):
        cores = int(batch.servers["cores"][0, k - 1])
        rows += _core_rows(location_name(k, num_locations), cores, location == k, tasks)
    return rows, finished_s, lost_s


def _core_rows(name: str, num_cores: int, here: NDArray[np.bool_], tasks: NDArray[np.void]) -> list[tuple[str, Bars]]:
    """The bars of the cores of one place."""
    rows = []
    for c in range(min(num_cores, MOST_CORES)):
        last = c == MOST_CORES - 1 and num_cores > MOST_CORES
        on = here & ((tasks["core"] >= c) if last else (tasks["core"] == c)) & (tasks["finish_s"] > tasks["start_s"])
        label = f"{name} cores {c}-{num_cores - 1}" if last else f"{name} core {c}"
        rows.append((label, (np.nonzero(on)[0], tasks["start_s"][on], tasks["finish_s"][on])))
    return rows


def _clipped(
    jobs: NDArray[np.int64], start_s: NDArray[np.float64], end_s: NDArray[np.float64], now_s: float, past_s: float
) -> list[Bar]:
    """Bars within the time that is shown, by start, since now."""
    first_s, last_s = -past_s, AHEAD * past_s
    start_s, end_s = start_s - now_s, end_s - now_s
    kept = np.flatnonzero((end_s >= first_s) & (start_s <= last_s))
    kept = kept[np.argsort(start_s[kept], kind="stable")]
    starts, ends = np.maximum(start_s[kept], first_s), np.minimum(end_s[kept], last_s)
    return [Bar(*bar) for bar in zip(jobs[kept].tolist(), starts.tolist(), ends.tolist(), strict=True)]


def text_of(picture: Picture, width: int = 100) -> str:
    """A picture as plain text, one line a row. The characters of jobs are 0 to 9, A to Z and a to z, then 0 again."""
    pad = max(len(row.label) for row in picture.rows)
    cells = max(20, width - pad - 3)
    shown_s = picture.past_s + picture.ahead_s
    lines = [picture.title]
    symbols = TASK_SYMBOLS[:-1]
    for row in picture.rows:
        bars = [
            (symbols[bar.job % len(symbols)], bar.start_s + picture.past_s, bar.end_s + picture.past_s)
            for bar in row.bars
        ]
        lines.append(f"{row.label:<{pad}} |{text_bars(bars[-cells:], shown_s, cells)}|")
    now = round(picture.past_s / shown_s * cells)
    axis = "+" + "-" * (now - 1) + "+" + "-" * (cells - now - 1) + "+"
    left, right = f"-{picture.past_s:g} s", f"+{picture.ahead_s:g} s"
    labels = left + "now".rjust(now + 2 - len(left)) + right.rjust(cells - now - 1)
    return "\n".join([*lines, " " * (pad + 2) + axis, " " * (pad + 2) + labels])


def draw_stream_axes(axes: Axes, picture: Picture) -> None:
    """Draw what pictures of the same stream share: the rows, and the time axis."""
    rows = picture.rows
    axes.set_xlim(-picture.past_s, picture.ahead_s)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", labelsize=8, length=0)
    axes.set_xlabel("seconds since now; right of it, how it goes on if no further job arrives", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color=GRID_COLOUR, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.axvspan(0.0, picture.ahead_s, color=BAND_COLOUR, linewidth=0, zorder=0)
    axes.axvline(0.0, color=INK, linewidth=1.0, zorder=1)


def draw_picture(axes: Axes, picture: Picture) -> list[Artist]:
    """Draw a picture into axes that ``draw_stream_axes`` prepared; returns the title and all else drawn."""
    from matplotlib.collections import PolyCollection

    points = axes.bbox.width / axes.figure.dpi * 72 / (picture.past_s + picture.ahead_s)  # for each second
    boxes, colours, edges, texts = [], [], [], []
    marks: dict[str, list[tuple[float, int, str]]] = {label: [] for label in MARKERS}
    for y, row in enumerate(picture.rows):
        for bar in row.bars:
            colour = JOB_COLOURS[bar.job % len(JOB_COLOURS)]
            if row.label in MARKERS:
                marks[row.label].append((bar.start_s, y, LATE_COLOUR if row.label == LATE else colour))
                continue
            boxes.append(box(y, bar.start_s, bar.end_s))
            colours.append(colour)
            edges.append(LATE_COLOUR if bar.job in picture.late else INK)
            if (bar.end_s - bar.start_s) * points >= 5.1 * len(str(bar.job)) + 0.5:
                texts.append((0.5 * (bar.start_s + bar.end_s), y, str(bar.job), colour))
    widths = [2.0 if edge == LATE_COLOUR else 0.5 for edge in edges]
    collection = PolyCollection(boxes, facecolors=colours, edgecolors=edges, linewidths=widths, zorder=2)
    axes.add_collection(collection, autolim=False)
    drawn: list[Artist] = [axes.set_title(picture.title, loc="left", fontsize=10), collection]
    for label, points_of in marks.items():
        if points_of:
            times, heights, of_job = zip(*points_of, strict=True)
            style: dict[str, Any] = {"marker": MARKERS[label], "s": 26, "linewidth": 1.4, "zorder": 3}
            drawn.append(axes.scatter(times, heights, c=of_job, **style))
    for x, y, text, colour in texts:
        ink = "white" if colour in DARK_COLOURS else INK
        style = {"fontsize": 8, "va": "center_baseline", "ha": "center", "zorder": 4, "clip_on": True, "color": ink}
        drawn.append(axes.text(x, y, text, **style))
    return drawn
