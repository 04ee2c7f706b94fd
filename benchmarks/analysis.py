"""From measurements to figures: pure functions, and the files and the table that hold them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.measurement import Measurement
from benchmarks.statistics import bootstrap_interval, interquartile_mean, profile
from offload_gym.delay import optimality_gap
from offload_gym.files import replacing
from offload_gym.scenario import Scenario, described, digest_of

SLOWER = 20  # times that a small device is slower than this machine


def summarise(
    measurement: Measurement,
    scenario: Scenario,
    objective: str,
    observation_noise: float | str = 0.0,
    against: Measurement | None = None,
) -> dict[str, Any]:
    """One row of the comparison. Gaps are latency over the optimum minus 1; times of a decision are in microseconds.

    The difference is that of the gaps to those of ``against`` (the policy itself where none is given), on the same
    instances and, where both have several training seeds, of the same seed.
    """
    reference = against or measurement
    gap, other = measurement.gap, reference.gap
    low, high = bootstrap_interval(gap)
    with np.errstate(invalid="ignore"):
        difference = np.where(gap == other, 0.0, gap - other)  # also where both are infinite
    difference_low, difference_high = bootstrap_interval(difference)
    of_seeds = gap.mean(axis=1)
    # Padding has no label.
    agrees = (measurement.decisions == measurement.expert_decisions) | ~measurement.present
    p50, p99 = np.quantile(measurement.decide_us, [0.5, 0.99])
    # The tasks wait for the decision.
    delayed = [optimality_gap(measurement.latency_s + s * p50 / 1e6, measurement.optimum_s).mean() for s in (1, SLOWER)]
    return {
        "policy": measurement.name,
        "shipped": measurement.shipped,
        "scenario": scenario.label,
        "scenario_digest": digest_of(described(scenario)),
        "num_tasks": scenario.most_tasks,
        "num_edges": scenario.num_edges,
        "objective": objective,
        "observation_noise": observation_noise,
        "num_instances": gap.shape[1],
        "num_seeds": measurement.num_seeds,
        "gap_mean": float(gap.mean()),
        "gap_mean_low": low,
        "gap_mean_high": high,
        "gap_least_seed": float(of_seeds.min()),
        "gap_most_seed": float(of_seeds.max()),
        "gap_iqm": interquartile_mean(gap),
        # The gap of an instance, so that an infinite one leaves it as it is.
        "gap_p95": float(np.quantile(gap, 0.95, method="inverted_cdf")),
        "gap_max": float(gap.max()),
        "against": marked(reference.name, reference.shipped),
        "difference": float(difference.mean()),
        "difference_low": difference_low,
        "difference_high": difference_high,
        "profile": profile(gap),
        "exact_match": float(agrees.all(axis=1).mean()),
        "label_accuracy": float(agrees[measurement.present].mean()),
        "optimal_share": float((gap <= 1e-9).mean()),
        "latency_mean_s": float(measurement.latency_s.mean()),
        "decide_us_p50": float(p50),
        "decide_us_p99": float(p99),
        "gap_with_delay": float(delayed[0]),
        "gap_with_delay_on_slow_device": float(delayed[1]),
        "decisions_per_s": gap.size / measurement.batch_s,
        "num_parameters": measurement.num_parameters,
    }


def front(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Names of the policies that no other is both at least as fast and better than, fastest first."""
    ordered = sorted(rows, key=lambda row: (row["decide_us_p50"], row["gap_mean"]))
    kept, best = [], np.inf
    for row in ordered:
        if row["gap_mean"] < best:
            kept.append(row["policy"])
            best = row["gap_mean"]
    return kept


def check_place(name: str, path: str | Path) -> None:
    """ValueError where no file can be written into a folder; it need not be there. Said before much is computed."""
    place = Path(path)
    while not place.exists():
        place = place.parent
    try:
        with TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise ValueError(f"{name} is {path}, but {place} takes no files: {error.strerror or error}") from None


def write_json(path: str | Path, rows: Sequence[dict[str, Any]]) -> None:
    """Rows as a JSON list; a gap that is not finite is null."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(one) for one in value]
        return None if value in (np.inf, -np.inf) else value

    listed = [{name: plain(value) for name, value in row.items()} for row in rows]
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(listed, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_csv(path: str | Path, rows: Sequence[dict[str, Any]]) -> None:
    """Rows as CSV with a header; what is a list in JSON is left out."""
    names = [name for name, value in rows[0].items() if not isinstance(value, list)]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def write_markdown(path: str | Path, rows: Sequence[dict[str, Any]]) -> None:
    """The table in Markdown."""
    with replacing(path) as temporary:
        temporary.write_text(markdown_table(rows) + "\n", encoding="utf-8")


SEEDS = "of seeds %"  # behind the mean, where some policy was trained from several
NOTE = (
    "Gap: latency over the optimum minus 1, with its bootstrap interval over instances, and over training seeds where "
    "there are several (few say little: deviations of two count nine times as much, of five 1.6 times, and an end may "
    "be below 0); IQM: its interquartile mean. Of seeds: least and most of the means of the seeds. Against: "
    "difference of the gaps to those of one policy on the same instances, in points. Optimal: share of instances "
    "decided at the optimum. Label and exact: agreement with the expert's labels, one by one and all together; an "
    "instance often has several optima and the expert labels one of them. µs: one decision for one instance, asked "
    "from Python. With delay: mean gap of latency plus p50, as the tasks wait for the decision; and on a device "
    f"{SLOWER} times slower than this machine. Shipped: a network of the package; the others are those of the folders "
    "of trained policies."
)


def marked(policy: str, shipped: bool) -> str:
    """What tables call a policy: networks of the package are marked, as those of a folder stand beside them."""
    return f"{policy} (shipped)" if shipped else policy


def shown_name(row: dict[str, Any]) -> str:
    """What tables call the policy of a row."""
    return marked(str(row["policy"]), bool(row.get("shipped")))


def _columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    seeds = [SEEDS] if any(row["num_seeds"] > 1 for row in rows) else []
    against = f"against {rows[0]['against']} [95 % CI]"
    gaps = ["mean gap % [95 % CI]", *seeds, "IQM", "p95", "max", against, "optimal %", "label %", "exact %"]
    return ["policy", *gaps, "p50 µs", "p99 µs", "with delay %", f"{SLOWER}x slower %", "parameters"]


def _percent(row: dict[str, Any], name: str, form: str = ".2f") -> str:
    """A share in per cent, with its interval."""
    mean, low, high = (f"{100 * row[f'{name}{end}']:{form}}" for end in ("", "_low", "_high"))
    return f"{mean} [{low}, {high}]"


def _cells(row: dict[str, Any], with_seeds: bool) -> list[str]:
    """The columns of one row as text."""
    of_seeds = ""
    if row["num_seeds"] > 1:
        of_seeds = f"{100 * row['gap_least_seed']:.2f} to {100 * row['gap_most_seed']:.2f} ({row['num_seeds']})"
    return [
        shown_name(row),
        _percent(row, "gap_mean"),
        *([of_seeds] if with_seeds else []),
        f"{100 * row['gap_iqm']:.2f}",
        f"{100 * row['gap_p95']:.1f}",
        f"{100 * row['gap_max']:.0f}",
        "" if shown_name(row) == row["against"] else _percent(row, "difference", "+.2f"),
        f"{100 * row['optimal_share']:.1f}",
        f"{100 * row['label_accuracy']:.1f}",
        f"{100 * row['exact_match']:.1f}",
        f"{row['decide_us_p50']:.1f}",
        f"{row['decide_us_p99']:.1f}",
        f"{100 * row['gap_with_delay']:.2f}",
        f"{100 * row['gap_with_delay_on_slow_device']:.2f}",
        f"{row['num_parameters']:,}" if row["num_parameters"] else "",
    ]


def _lines(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Headers, and the rows as text, smallest gap last so that it stands nearest the prompt."""
    headers = _columns(rows)
    return headers, [_cells(row, SEEDS in headers) for row in sorted(rows, key=lambda row: -row["gap_mean"])]


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """The comparison in the terminal."""
    first, (headers, lines) = rows[0], _lines(rows)
    title = f"{first['scenario']}, n = {first['num_tasks']}, K = {first['num_edges'] + 2}, {first['objective']}"
    table = Table(title=f"{title}, {first['num_instances']} test instances", caption=NOTE, box=box.SIMPLE_HEAD)
    for header in headers:
        table.add_column(header, justify="left" if header == "policy" else "right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    print_whole(table)


def print_whole(table: Table) -> None:
    """Print a table with all of its columns, also where the terminal is narrower, or is a file or a pipe."""
    wide = Console(width=1000)
    Console(width=max(Console().width, wide.measure(table).maximum)).print(table)


def markdown_table(rows: Sequence[dict[str, Any]]) -> str:
    """The comparison as a Markdown table, in the order of ``print_table``."""
    headers, lines = _lines(rows)
    ruler = ["---" if header == "policy" else "---:" for header in headers]
    return "\n".join(f"| {' | '.join(line)} |" for line in (headers, ruler, *lines))
