"""From measurements to figures: pure functions, and the files and the table that hold them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.measurement import Measurement
from offload_gym.delay import optimality_gap
from offload_gym.files import replacing
from offload_gym.scenario import Scenario, described, digest_of

BOOTSTRAP_SAMPLES = 2000
QUANTILES = 41  # of the gap, at 0 %, 2.5 %, ..., 100 % of the instances
SLOWER = 20  # times that a small device is slower than this machine


def bootstrap_interval(values: NDArray[np.float64], confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of ``values`` (N,)."""
    rng = np.random.default_rng(seed)
    size = len(values)
    means = np.array([values[rng.integers(0, size, size)].mean() for _ in range(BOOTSTRAP_SAMPLES)])
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def interquartile_mean(values: NDArray[np.float64]) -> float:
    """The mean without the lowest and the highest quarter of ``values`` (N,): one instance among many moves it little.

    (Agarwal, Schwarzer, Castro, Courville and Bellemare, "Deep reinforcement learning at the edge of the statistical
    precipice", NeurIPS 2021.)
    """
    cut = len(values) // 4
    return float(np.sort(values)[cut : len(values) - cut].mean())


def summarise(
    measurement: Measurement, scenario: Scenario, objective: str, observation_noise: float | str = 0.0
) -> dict[str, Any]:
    """One row of the comparison. Gaps are latency over the optimum minus 1; times of a decision are in microseconds."""
    gap = measurement.gap
    low, high = bootstrap_interval(gap)
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
        "num_instances": len(gap),
        "gap_mean": float(gap.mean()),
        "gap_mean_low": low,
        "gap_mean_high": high,
        "gap_iqm": interquartile_mean(gap),
        "gap_p95": float(np.quantile(gap, 0.95)),
        "gap_max": float(gap.max()),
        # Each is the gap of an instance, so that an infinite one leaves the others as they are.
        "gap_quantiles": np.quantile(gap, np.linspace(0, 1, QUANTILES), method="inverted_cdf").tolist(),
        "exact_match": float(agrees.all(axis=1).mean()),
        "label_accuracy": float(agrees[measurement.present].mean()),
        "optimal_share": float((gap <= 1e-9).mean()),
        "latency_mean_s": float(measurement.latency_s.mean()),
        "decide_us_p50": float(p50),
        "decide_us_p99": float(p99),
        "gap_with_delay": float(delayed[0]),
        "gap_with_delay_on_slow_device": float(delayed[1]),
        "decisions_per_s": len(gap) / measurement.batch_s,
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


GAPS = ("mean gap % [95 % CI]", "p95", "max", "optimal %", "label %", "exact %")
DELAYS = ("p50 µs", "p99 µs", "with delay %", f"{SLOWER}x slower %")
COLUMNS = ("policy", *GAPS, *DELAYS, "parameters")
NOTE = (
    "Gap: latency over the optimum minus 1. Optimal: share of instances decided at the optimum. Label and exact: "
    "agreement with the expert's labels, one by one and all together; an instance often has several optima and the "
    "expert labels one of them. µs: one decision for one instance, asked from Python. With delay: mean gap of latency "
    f"plus p50, as the tasks wait for the decision; and on a device {SLOWER} times slower than this machine. "
    "Shipped: a network of the package; the others are those of the folder of trained policies."
)


def shown_name(row: dict[str, Any]) -> str:
    """What a table calls a policy: networks of the package are marked, as those of a folder stand beside them."""
    return f"{row['policy']} (shipped)" if row.get("shipped") else str(row["policy"])


def cells(row: dict[str, Any]) -> list[str]:
    """The columns of one row as text."""
    return [
        shown_name(row),
        f"{100 * row['gap_mean']:.2f} [{100 * row['gap_mean_low']:.2f}, {100 * row['gap_mean_high']:.2f}]",
        f"{100 * row['gap_p95']:.1f}",
        f"{100 * row['gap_max']:.0f}",
        f"{100 * row['optimal_share']:.1f}",
        f"{100 * row['label_accuracy']:.1f}",
        f"{100 * row['exact_match']:.1f}",
        f"{row['decide_us_p50']:.1f}",
        f"{row['decide_us_p99']:.1f}",
        f"{100 * row['gap_with_delay']:.2f}",
        f"{100 * row['gap_with_delay_on_slow_device']:.2f}",
        f"{row['num_parameters']:,}" if row["num_parameters"] else "",
    ]


def print_table(rows: Sequence[dict[str, Any]], console: Console | None = None) -> None:
    """The comparison in the terminal, smallest gap last so that it stands nearest the prompt."""
    first = rows[0]
    title = f"{first['scenario']}, n = {first['num_tasks']}, K = {first['num_edges'] + 2}, {first['objective']}"
    table = Table(title=f"{title}, {first['num_instances']} test instances", caption=NOTE, box=box.SIMPLE_HEAD)
    for header in COLUMNS:
        table.add_column(header, justify="left" if header == "policy" else "right", no_wrap=True)
    for row in sorted(rows, key=lambda row: -row["gap_mean"]):
        table.add_row(*cells(row))
    # Wide enough for all columns also where the output is a file or a pipe.
    (console or Console(width=max(Console().width, 200))).print(table)


def markdown_table(rows: Sequence[dict[str, Any]]) -> str:
    """The comparison as a Markdown table, in the order of ``print_table``."""
    lines = ["| " + " | ".join(COLUMNS) + " |"]
    lines.append("|" + "|".join("---" if header == "policy" else "---:" for header in COLUMNS) + "|")
    lines += ["| " + " | ".join(cells(row)) + " |" for row in sorted(rows, key=lambda row: -row["gap_mean"])]
    return "\n".join(lines)
