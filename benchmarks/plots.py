"""Drawings of a comparison. Each function writes one PNG file; none needs a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from benchmarks.analysis import front, shown_name
from benchmarks.statistics import TAUS
from offload_gym.delay import latency, schedule
from offload_gym.envs.rendering import draw_schedule, legend_handles
from offload_gym.files import replacing
from offload_gym.instances import Instances

FAMILIES = {
    "fixed or random": ("local", "edge", "cloud", "random"),
    "heuristic or search": (
        "greedy",
        "heft",
        "greedy+flip",
        "beam-4",
        "beam-4+flip",
        "beam-16",
        "beam-16+flip",
        "greedy+swap",
        "heft+swap",
        "roll-out",
        "roll-out+swap",
        "beam-4+swap",
        "beam-16+swap",
    ),
    "exact": ("exact",),
}
LEARNED = {"teacher": "teacher", "student": "student", "ppo": "reinforcement learning", "dqn": "reinforcement learning"}
# Okabe and Ito's palette with a marker each, so that colour is not needed to tell the families apart.
STYLES = {
    "fixed or random": ("#8C8C8C", "x"),
    "heuristic or search": ("#0072B2", "s"),
    "exact": ("#222222", "*"),
    "teacher": ("#E69F00", "^"),
    "student": ("#D55E00", "o"),
    "reinforcement learning": ("#009E73", "D"),
}


def family(policy: str) -> str:
    """The kind of a policy, for its colour."""
    for name, members in FAMILIES.items():
        if policy in members:
            return name
    return next((kind for part, kind in LEARNED.items() if part in policy), "heuristic or search")


def logarithmic_axes(axes: Axes) -> None:
    """Logarithmic axes with plain numbers."""
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())


def gap_against_delay(path: str | Path, rows: Sequence[dict[str, Any]]) -> None:
    """Mean optimality gap against the time of one decision; policies on the front are joined by a line.

    Points carry numbers, by falling gap as in the table, and the legend their names: names would cover each other.
    """
    columns = -(-len(rows) // 26)  # of names below each other
    figure = Figure(figsize=(7.3 + 2.7 * columns, 5.5), dpi=120, layout="constrained")
    _draw_front(figure.subplots(), rows)
    figure.legend(
        ncols=columns,
        fontsize=9,
        loc="outside right upper",
        title="dashed: no policy is faster and better",
        title_fontsize=8,
    )
    with replacing(path) as temporary:
        figure.savefig(temporary)


def fronts(path: str | Path, panels: Mapping[str, Sequence[dict[str, Any]]]) -> None:
    """``gap_against_delay`` of several comparisons side by side; ``panels`` maps a title to rows."""
    figure = Figure(figsize=(6.2 * len(panels), 8), dpi=110, layout="constrained")
    every = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    for axes, (title, rows) in zip(every, panels.items(), strict=True):
        _draw_front(axes, rows)
        axes.set_title(title)
        axes.label_outer()
        axes.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.1))
    with replacing(path) as temporary:
        figure.savefig(temporary)


def _draw_front(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    floor = 0.02  # per cent: where a gap of 0 is drawn on the logarithmic axis
    shown = {row["policy"]: shown_name(row) for row in rows}
    at = {row["policy"]: (row["decide_us_p50"], max(100 * row["gap_mean"], floor)) for row in rows}
    axes.plot(*zip(*(at[name] for name in front(rows)), strict=True), color="#222222", linewidth=0.8, linestyle="--")
    above: list[tuple[float, float]] = []
    for number, name in enumerate(sorted(at, key=lambda name: -at[name][1]), start=1):
        colour, marker = STYLES[family(name)]
        axes.scatter(*at[name], color=colour, marker=marker, s=50, zorder=3, label=f"{number} {shown[name]}")
        x, y = at[name]
        # Above its point, or below it where the number of a neighbour is above.
        crowded = any(abs(np.log(x / other_x)) < 0.1 and abs(np.log(y / other_y)) < 0.4 for other_x, other_y in above)
        if not crowded:
            above.append((x, y))
        offset = (4, -11) if crowded else (4, 4)
        axes.annotate(str(number), (x, y), xytext=offset, textcoords="offset points", fontsize=8)
    logarithmic_axes(axes)
    axes.set_xlabel("decision delay, median of one call from Python (µs)")
    axes.set_ylabel(f"mean optimality gap (%; {floor} stands for 0)")
    axes.grid(which="major", color="#DADADA", linewidth=0.6)


def profiles(path: str | Path, rows: Mapping[str, Mapping[str, Any]], x_label: str, y_label: str) -> None:
    """Performance profiles; ``rows`` maps a name to a row with a profile. Best first in the legend, as lines lie.

    The axis begins at the first share above 0, where a line has what is at most that, the optimum included.
    """
    figure = Figure(figsize=(9, 5), dpi=120, layout="constrained")
    axes = figure.subplots()
    lines = ("-", "--", "-.", ":")
    best_first = sorted(rows.items(), key=lambda item: -sum(item[1]["profile"]))
    for index, (name, row) in enumerate(best_first):
        axes.plot(
            100 * np.array(TAUS[1:]),
            100 * np.array(row["profile"][1:]),
            label=name,
            color=f"C{index % 10}",
            linestyle=lines[index // 10 % len(lines)],
        )
    axes.set(xscale="log", xlabel=x_label, ylabel=f"{y_label} (%)", ylim=(0, 101))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(which="major", color="#DADADA", linewidth=0.6)
    figure.legend(fontsize=8, loc="outside right upper")
    with replacing(path) as temporary:
        figure.savefig(temporary)


def learning_curves(
    path: str | Path, curves: Mapping[str, Sequence[tuple[float, float]]], lines: Mapping[str, float]
) -> None:
    """Gap against seconds of training; ``curves`` maps an agent to its points, ``lines`` a policy to its gap."""
    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for index, (name, points) in enumerate(curves.items()):
        seconds, gaps = zip(*points, strict=True)
        axes.plot(seconds, 100 * np.array(gaps), marker=".", label=name, color=f"C{index}")
    for name, gap in lines.items():
        axes.axhline(100 * gap, color=STYLES[family(name)][0], linestyle="--", linewidth=1)
        axes.annotate(name, (1.0, 100 * gap), xycoords=("axes fraction", "data"), fontsize=8, ha="right", va="bottom")
    axes.set(yscale="log", xlabel="training time (s)", ylabel="mean gap (%): agents on validation, dashed on test")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(which="major", color="#DADADA", linewidth=0.6)
    axes.legend(fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary)


def latency_lines(
    path: str | Path,
    x: Sequence[float],
    curves: dict[str, NDArray[np.float64]],
    x_label: str,
    title: str,
    logarithmic: bool = False,
) -> None:
    """Mean latency of some policies against ``x``; ``curves`` maps a policy to as many seconds."""
    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    lines = ("-", "--", "-.", ":")
    for index, (name, seconds) in enumerate(curves.items()):
        colour, marker = STYLES[family(name)]
        axes.plot(
            x, seconds, color=colour, marker=marker, linestyle=lines[index % len(lines)], label=name, markersize=5
        )
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x_label)
    axes.set_ylabel("mean latency (s)")
    if logarithmic:
        logarithmic_axes(axes)
    else:
        axes.set_ylim(bottom=0)
    axes.grid(color="#DADADA", linewidth=0.6)
    axes.legend(fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary)


def gantt_charts(
    path: str | Path, instance: Instances, decisions: dict[str, NDArray[np.int64]], objective: str
) -> None:
    """The schedules of some policies for one instance side by side; ``decisions`` maps a policy to (n,) locations."""
    values_s = {name: float(latency(instance, decision[None], objective)[0]) for name, decision in decisions.items()}
    limit_s = 1.05 * max(float(latency(instance, decision[None])[0]) for decision in decisions.values())
    figure = Figure(figsize=(5.2 * len(decisions), 4.2), dpi=120, layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(decisions), sharey=True))
    for axes, (name, decision) in zip(panels, decisions.items(), strict=True):
        drawn = schedule(instance, decision)
        draw_schedule(axes, drawn, values_s[name], objective, time_limit_s=limit_s, legend=False)
        axes.set_title("", loc="left")
        axes.set_title(f"{name}: {1e3 * values_s[name]:.0f} ms", fontsize=11)
    handles = legend_handles(instance.num_locations, objective)
    figure.legend(handles=handles, loc="outside lower center", ncols=8, fontsize=9)
    with replacing(path) as temporary:
        figure.savefig(temporary)
