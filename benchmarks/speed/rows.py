"""The rows of the table: what was measured, against what, and whether it is what the project set out to reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Figures of which less is better; more is better of all others.
AT_MOST = ("time_s", "extra_s", "exponent")


class Target(NamedTuple):
    """What a figure of a row must reach."""

    figure: str  # "ratio", "rate_per_s", or a name in the row's further figures
    bound: float

    @property
    def text(self) -> str:
        """The target as the table shows it."""
        return f"{figure_text(self.figure, self.bound)} or {'less' if self.figure in AT_MOST else 'more'}"


class Curve(NamedTuple):
    """Times against sizes, for the plot."""

    what: str
    x_label: str
    x: tuple[int, ...]
    seconds: tuple[float, ...]
    growth: str  # what the legend says of it
    exponential: bool = False  # else a power of x


class Row(NamedTuple):
    """One line of the table."""

    what: str
    unit: str  # of the rates, without "a second"
    rate_per_s: float
    reference: str
    reference_rate_per_s: float
    ratio: float  # rate over reference rate: the median over the rounds
    quartiles: tuple[float, float]  # of the ratio over the rounds
    targets: tuple[Target, ...] = ()
    figures: Mapping[str, float] = MappingProxyType({})  # further ones: "time_s", "exponent", ...
    note: str = ""
    curve: Curve | None = None
    judged: bool = True  # whether missing a target says anything

    def figure(self, name: str) -> float:
        """The ratio, the rate, or a further figure."""
        figures = {"ratio": self.ratio, "rate_per_s": self.rate_per_s, **self.figures}
        return figures[name]

    @property
    def reached(self) -> bool | None:
        """Whether all targets are reached; None where there is none, or where missing one says nothing."""
        if not self.targets:
            return None
        reached = all(
            self.figure(name) <= bound if name in AT_MOST else self.figure(name) >= bound
            for name, bound in self.targets
        )
        return reached or (False if self.judged else None)


class Side(NamedTuple):
    """One of two sides that are compared: its name, and the units of work it did in ``seconds`` (rounds,)."""

    name: str
    work: float
    seconds: ArrayLike

    @property
    def rates(self) -> NDArray[np.float64]:
        """(rounds,) units a second."""
        return self.work / np.asarray(self.seconds, dtype=np.float64)


def compared(
    ours: Side,
    theirs: Side,
    unit: str,
    targets: Sequence[Target] = (),
    figures: Mapping[str, float] | None = None,
    note: str = "",
) -> Row:
    """The row of two sides; the ratio is taken round by round."""
    low, ratio, high = np.quantile(ours.rates / theirs.rates, [0.25, 0.5, 0.75]).tolist()
    return Row(
        what=ours.name,
        unit=unit,
        rate_per_s=float(np.median(ours.rates)),
        reference=theirs.name,
        reference_rate_per_s=float(np.median(theirs.rates)),
        ratio=ratio,
        quartiles=(low, high),
        targets=tuple(targets),
        figures=figures or {},
        note=note,
    )


def as_json(row: Row) -> dict[str, Any]:
    """The row as an object of the JSON list."""
    curve = {} if row.curve is None else {"x": list(row.curve.x), "seconds": list(row.curve.seconds)}
    return {
        "what": row.what,
        "rate_per_s": row.rate_per_s,
        "reference": row.reference,
        "reference_rate_per_s": row.reference_rate_per_s,
        "ratio": row.ratio,
        "ratio_quartiles": list(row.quartiles),
        "unit": row.unit,
        **row.figures,
        "target": " and ".join(target.text for target in row.targets),
        "reached": row.reached,
        "note": row.note,
        **curve,
    }


def significant(value: float, digits: int = 3) -> str:
    """A number with a few digits and without an exponent."""
    if not np.isfinite(value) or value == 0:
        return f"{value:g}"
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{rounded:g}"


def figure_text(name: str, value: float) -> str:
    """A figure with its unit."""
    if name.endswith("_s") and name != "rate_per_s":
        factor, unit = next((f, u) for f, u in ((1, "s"), (1e3, "ms"), (1e6, "µs")) if value * f >= 1 or u == "µs")
        time = f"{significant(value * factor)} {unit}"
        return time if name == "time_s" else f"{name[:-2]} {time}"
    if name.endswith("_x"):
        return f"{name[:-2]} {significant(value)}x"
    form = {"ratio": "{}x", "rate_per_s": "{}/s", "exponent": "exponent {}"}.get(name, name.replace("_", " ") + " {}")
    return form.format(significant(value))


NOTE = (
    "Ratio: rate over the reference's rate, both measured in turn in this run; median over the rounds (for "
    "exact, over the instances) [quartiles]. "
    "More is better."
)


def cells(row: Row) -> list[str]:
    """The columns of one row as text."""
    low, high = (significant(value) for value in row.quartiles)
    further = "; ".join([*(figure_text(name, value) for name, value in row.figures.items()), row.note]).strip("; ")
    reached = {None: "not judged" if row.targets else "", True: "reached", False: "not reached"}[row.reached]
    return [
        row.what,
        f"{significant(row.rate_per_s)} {row.unit}/s",
        row.reference,
        f"{significant(row.reference_rate_per_s)}/s",
        f"{significant(row.ratio)} [{low}, {high}]",
        further,
        ", ".join(target.text for target in row.targets),
        reached,
    ]


def print_rows(rows: Sequence[Row], console: Console | None = None) -> None:
    """The table in the terminal."""
    table = Table(caption=Text(NOTE), box=box.SIMPLE_HEAD)
    headers = ("what", "rate", "reference", "its rate", "ratio [quartiles]", "further", "target", "reached")
    for header in headers:
        table.add_column(header, justify="right" if header in ("rate", "its rate", "ratio [quartiles]") else "left")
    for row in rows:
        table.add_row(*cells(row))
    (console or Console(width=max(Console().width, 180))).print(table)
