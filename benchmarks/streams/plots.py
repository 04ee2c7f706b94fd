"""Pictures of streams. Each function writes one PNG file; none needs a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.plots import STYLES, family
from offload_gym.files import replacing
from offload_gym.streams.responses import Outcome
from offload_gym.streams.streams import Streams

LINES = ("-", "--", "-.", ":")


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.grid(which="major", color="#DADADA", linewidth=0.6)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary)


def response_against_load(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """What a sweep over load found: mean response, or the late share, of each policy against the share of capacity.

    A policy that played fewer streams than others, as the planner does, has no line: its mean is one of other streams.
    """
    figure, axes = _axes()
    late = rows[0]["objective"] == "late"
    most = max(row["num_streams"] for row in rows)
    names = list(dict.fromkeys(row["policy"] for row in rows if row["num_streams"] == most))
    for index, name in enumerate(names):
        own = [row for row in rows if row["policy"] == name]
        values = [100 * row["late_share"] if late else row["response_mean_s"] for row in own]
        axes.plot(
            [row["load"] for row in own],
            values,
            label=name,
            color=f"C{index % 10}",
            linestyle=LINES[index // 10 % len(LINES)],
            marker=STYLES[family(name)][1],
            markersize=4,
        )
    if not late:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="arrivals over capacity", ylabel="jobs that are late (%)" if late else "mean response (s)")
    axes.set_title(f"{rows[0]['scenario']}, {most} streams at each load", fontsize=10)
    axes.legend(fontsize=8, ncols=2)
    _save(figure, path)


def change_against_delay(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Change over greedy against the time of one decision, with the interval over streams; some row has a change."""
    figure, axes = _axes()
    drawn: set[str] = set()
    for row in rows:
        # What is much worse than greedy would leave no room for the others.
        if row["change"] is None or row["change"] > 0.2:
            continue
        kind = family(row["policy"])
        colour, marker = STYLES[kind]
        label = None if kind in drawn else kind
        drawn.add(kind)
        change = 100 * row["change"]
        if row["change_low"] is None:
            ends = [[0.0], [0.0]]
        else:
            ends = [[max(change - 100 * row["change_low"], 0.0)], [max(100 * row["change_high"] - change, 0.0)]]
        axes.errorbar(
            row["decide_us_p50"], change, yerr=ends, color=colour, marker=marker, label=label, linestyle="", capsize=2
        )
        axes.annotate(
            row["policy"], (row["decide_us_p50"], change), xytext=(5, 4), textcoords="offset points", fontsize=8
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    what = "late share" if rows[0]["objective"] == "late" else "mean response"
    axes.set(xlabel="decision delay, median of one call from Python (µs)", ylabel=f"{what}, change over greedy (%)")
    axes.set_title(f"{rows[0]['scenario']}, {rows[0]['arrivals_per_s']:.3g} jobs/s", fontsize=10)
    axes.legend(fontsize=8)
    _save(figure, path)


def queue_lengths(path: Path, streams: Streams, outcomes: Mapping[str, Outcome]) -> None:
    """Jobs in the system over one episode under some policies: that in which the first one's mean is the usual one."""
    figure, axes = _axes()
    count = min(len(outcome.response_s) for outcome in outcomes.values())
    means_s = next(iter(outcomes.values())).response_s[:count].copy()
    means_s[~np.isfinite(means_s)] = 0.0
    of_stream_s = means_s.mean(axis=1)
    b = int(np.argmin(np.abs(of_stream_s - of_stream_s.mean())))
    for index, (name, outcome) in enumerate(outcomes.items()):
        response_s = outcome.response_s[b]
        stays = np.isfinite(response_s)
        arrival_s = streams.arrival_s[b][stays]
        times_s = np.concatenate([arrival_s, arrival_s + response_s[stays]])
        order = np.argsort(times_s, kind="stable")
        lengths = np.cumsum(np.repeat([1, -1], len(arrival_s))[order])
        label = f"{name}: {response_s[stays].mean():.2f} s"
        axes.step(times_s[order], lengths, where="post", label=label, color=f"C{index}", linewidth=1.1)
    axes.set(xlabel="time (s)", ylabel="jobs in the system")
    axes.set_title(f"one episode of {streams.num_jobs} jobs; mean responses", fontsize=10)
    axes.legend(fontsize=8)
    _save(figure, path)
