"""What ``render()`` of the environments shows: schedules as text, as pixels, or in a window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.delay import Schedule, latency, schedule
from offload_gym.envs.rendering import (
    LEGEND_COLUMNS,
    draw_axes,
    draw_bars,
    headline,
    legend_handles,
    on_axis,
    render_ansi,
    time_needed,
)
from offload_gym.envs.window import Window
from offload_gym.instances import Instances
from offload_gym.solvers.exact import Solutions, solve

DPI = 100
CHART_PX, PAIR_PX, GAP_PX = 780, 540, 40  # widths of the axes of one chart, of each of two, and what is between these
ROW_PX, LEFT_PX, RIGHT_PX, TOP_PX, AXIS_PX, LEGEND_ROW_PX = 24, 100, 20, 34, 48, 20  # even sums, as video codecs ask
ROUND = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)  # where a time axis ends
ROOM = 1.25  # of the time axis at the beginning of an episode, over the makespan of greedy earliest completion
MAX_NODES = 1_000_000  # of the search for the optimum


class Chart(NamedTuple):
    """One schedule to be drawn."""

    schedule: Schedule
    title: str
    latency_s: float | None  # where a dashed line marks the value of the objective
    task_names: Sequence[str]


def charts_of(
    instances: Instances,
    decision: NDArray[np.int64],
    objective: str,
    task_names: Sequence[str] = (),
    optimum: Solutions | None = None,
) -> list[Chart]:
    """The schedule of a decision, and where the optimum is given that of it as well.

    Args:
        instances: one epoch.
        decision: (n,) the location of each task, -1 where it is not placed.
        objective: one of ``offload_gym.OBJECTIVES``.
        task_names: names of the tasks, or none.
        optimum: what ``solve`` makes of the epoch, or None.
    """
    decision = decision.copy()
    decision[instances.task_counts[0] :] = 0  # padding
    measured = on_axis(objective)
    charts = []
    for drawn in [decision] if optimum is None else [decision, optimum.decisions[0]]:
        latency_s = None if (drawn < 0).any() else float(latency(instances, drawn[None], measured)[0])
        of_drawn = schedule(instances, drawn)
        charts.append(Chart(of_drawn, headline(of_drawn, latency_s, measured), latency_s, task_names))
    if optimum is not None:
        name = "optimum" if optimum.optimal[0] else "best known"
        if charts[0].latency_s is not None:
            gap = float(latency(instances, decision[None], objective)[0]) / optimum.latency_s[0] - 1.0
            of_what = " in cost" if objective == "cost" else ""
            charts[0] = charts[0]._replace(title=f"{charts[0].title}, {100 * gap:.1f} % above the {name}{of_what}")
        charts[1] = charts[1]._replace(title=f"{name}: {charts[1].title}")
    return charts


class Viewer:
    """Shows charts, one after the other.

    The time axis of images stays the same during an episode as long as the schedules fit, and grows where they do not.

    Args:
        fps: frames a second of the window.
        objective: one of ``offload_gym.OBJECTIVES``.
    """

    def __init__(self, fps: float, objective: str) -> None:
        self._objective = on_axis(objective)
        self._limit_s = 0.0
        self._figure: Figure | None = None
        self._window = Window(fps)
        self._solved: tuple[Instances, Solutions] | None = None

    def begin_episode(self, scale_s: float) -> None:
        """Choose the time axis for schedules of about ``scale_s`` seconds."""
        self._limit_s = rounded_up(ROOM * scale_s)

    def optimum(self, instances: Instances, objective: str) -> Solutions:
        """What ``solve`` makes of an epoch, asked once for each."""
        if self._solved is None or self._solved[0] is not instances:
            self._solved = instances, solve(instances, objective, MAX_NODES)
        return self._solved[1]

    def show(self, charts: list[Chart], mode: str) -> Any:
        """The charts as text or as pixels, (height, width, 3); or None, in a window if there is a display.

        Args:
            charts: one, or two beside each other; as many each time.
            mode: "ansi", "rgb_array" or "human".

        Raises:
            ImportError: matplotlib or pygame is not installed.
        """
        if mode == "ansi":
            return "\n\n".join(
                render_ansi(chart.schedule, chart.latency_s, task_names=chart.task_names, title=chart.title)
                for chart in charts
            )
        if self._window.blind and mode == "human":
            return None
        needed_s = max(time_needed(chart.schedule, chart.latency_s) for chart in charts)
        self._limit_s = max(self._limit_s, rounded_up(needed_s))
        if self._figure is None:
            self._figure = Figure(charts, self._objective)
        pixels = self._figure.pixels(charts, self._limit_s)
        if mode == "rgb_array":
            return pixels
        self._window.show(pixels)
        return None

    def close(self) -> None:
        """Close the window, if there is one."""
        self._window.close()


def rounded_up(time_s: float) -> float:
    """A round time of at least ``time_s``, and 2 % more."""
    if time_s <= 0.0:
        return 1.0
    magnitude = 10.0 ** math.floor(math.log10(1.02 * time_s))
    return next((f * magnitude for f in ROUND if f * magnitude >= 1.02 * time_s), 10.0 * magnitude)


def render_rgb(schedule: Schedule, latency_s: float | None = None, objective: str = "makespan") -> NDArray[np.uint8]:
    """Draw a schedule as an image.

    Args:
        schedule: The schedule of one instance.
        latency_s: The value of the objective in seconds, for the title and a dashed line.
        objective: What `latency_s` measures: `makespan` or `mean`.

    Returns:
        The pixels, `(height, width, 3)`. The shape depends on the locations and their cores alone.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    chart = Chart(schedule, headline(schedule, latency_s, objective), latency_s, ())
    return Figure([chart], objective).pixels([chart], 1.02 * time_needed(schedule, latency_s))


class Figure:
    """One or two charts beside each other, of the same locations each time, on a background that is drawn once.

    Args:
        charts: the first ones to be drawn.
        objective: what the dashed line marks.

    Raises:
        ImportError: matplotlib is not installed.
    """

    def __init__(self, charts: Sequence[Chart], objective: str) -> None:
        # The figure is never given to pyplot, which would keep it alive and might open a window.
        try:
            from matplotlib import figure
            from matplotlib.backends.backend_agg import FigureCanvasAgg
        except ImportError as error:
            raise ImportError("Drawing a schedule needs matplotlib: pip install 'offload-gym[render]'") from error
        backlog_s = charts[0].schedule.backlog_s
        self._handles = legend_handles(len(backlog_s), objective)
        rows_px = ROW_PX * (1 + int(np.isfinite(backlog_s).sum()))  # the radio and each core
        bottom_px = AXIS_PX + LEGEND_ROW_PX * math.ceil(len(self._handles) / LEGEND_COLUMNS)
        chart_px = CHART_PX if len(charts) == 1 else PAIR_PX
        width_px = LEFT_PX + RIGHT_PX + len(charts) * (chart_px + GAP_PX) - GAP_PX
        height_px = TOP_PX + rows_px + bottom_px
        self._figure = figure.Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, facecolor="white")
        self._canvas: Any = FigureCanvasAgg(self._figure)  # matplotlib gives its methods no types
        size = chart_px / width_px, rows_px / height_px
        self._axes = [
            self._figure.add_axes(((LEFT_PX + i * (chart_px + GAP_PX)) / width_px, bottom_px / height_px, *size))
            for i in range(len(charts))
        ]
        style: dict[str, Any] = {"fontsize": 8, "frameon": False, "borderaxespad": 0.2, "columnspacing": 1.6}
        middle = (LEFT_PX + width_px - RIGHT_PX) / 2 / width_px
        self._figure.legend(
            handles=self._handles, loc="lower center", bbox_to_anchor=(middle, 0.0), ncols=LEGEND_COLUMNS, **style
        )
        self._limit_s = 0.0
        self._background: Any = None

    def pixels(self, charts: Sequence[Chart], limit_s: float) -> NDArray[np.uint8]:
        """The charts as they are with a time axis up to ``limit_s``: (height, width, 3)."""
        if limit_s != self._limit_s:
            self._limit_s = limit_s
            for axes, chart in zip(self._axes, charts, strict=True):
                axes.clear()
                draw_axes(axes, chart.schedule, limit_s)
            for axes in self._axes[1:]:
                axes.tick_params(labelleft=False)
            self._canvas.draw()
            self._background = self._canvas.copy_from_bbox(self._figure.bbox)
        self._canvas.restore_region(self._background)
        for axes, chart in zip(self._axes, charts, strict=True):
            title, *others = draw_bars(axes, chart.schedule, limit_s, chart.latency_s, chart.title, chart.task_names)
            for artist in sorted([title, *others], key=lambda artist: artist.get_zorder()):
                axes.draw_artist(artist)
            for artist in others:
                artist.remove()
            axes.set_title("", loc="left")  # which belongs to the axes and is not removed
        return np.asarray(self._canvas.buffer_rgba(), dtype=np.uint8)[..., :3].copy()
