"""The drawing of how times grow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.plots import STYLES, logarithmic_axes
from benchmarks.speed.rows import Curve, figure_text
from offload_gym.files import replacing


def draw_growth(path: str | Path, curves: Sequence[Curve]) -> None:
    """Time against size, one panel for each kind of size. Powers are straight there, and so are exponentials."""
    panels = list(dict.fromkeys((curve.x_label, curve.exponential) for curve in curves))
    num_rows = -(-len(panels) // 2)
    figure = Figure(figsize=(11, 4.2 * num_rows), dpi=120, layout="constrained")
    for axes, panel in zip(figure.subplots(num_rows, 2, squeeze=False).flat, panels, strict=False):
        shown = [curve for curve in curves if (curve.x_label, curve.exponential) == panel]
        for curve, (colour, marker) in zip(shown, STYLES.values(), strict=False):
            label = f"{curve.what}: {curve.growth}"
            axes.plot(curve.x, curve.seconds, color=colour, marker=marker, markersize=5, label=label)
        logarithmic_axes(axes)
        if panel[1]:
            axes.set_xscale("linear")
        axes.yaxis.set_major_formatter(lambda value, _: figure_text("time_s", value))
        axes.set_xlabel(panel[0])
        axes.set_ylabel("time of a call or a step (median)")
        axes.set_ylim(top=4 * max(seconds for curve in shown for seconds in curve.seconds))  # room for the legend
        axes.grid(which="major", color="#DADADA", linewidth=0.6)
        axes.legend(fontsize=8, loc="upper left")
    with replacing(path) as temporary:
        figure.savefig(temporary)
