"""From what became of streams to rows, and the tables that show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from benchmarks.analysis import print_whole, shown_name
from benchmarks.statistics import interquartile_mean, profile, ratio_interval
from offload_gym.scenario import Scenario, described, digest_of
from offload_gym.streams.likeness import mean_rate
from offload_gym.streams.responses import Outcome
from offload_gym.streams.system import DROPPED


class Played(NamedTuple):
    """What one policy made of B streams, or of the first of them; of S training seeds, one seed after the other."""

    name: str
    shipped: bool
    num_parameters: int
    outcome: Outcome  # of S times B streams
    costs: NDArray[np.float64]  # (S, B) what the objective counts of each stream
    decide_us: float


class References(NamedTuple):
    """What someone who knows the future reaches on the first M streams, and what nobody can."""

    hindsight: NDArray[np.float64]  # (M,) costs
    bound: NDArray[np.float64] | None  # (M,) lower bounds, where there are some


def pooled(played: Sequence[Played]) -> list[Played]:
    """One for each policy: those of the same name are networks that differ in their training seed."""
    together: dict[tuple[str, bool], list[Played]] = {}
    for one in played:
        together.setdefault((one.name, one.shipped), []).append(one)
    return [
        same[0]._replace(
            outcome=Outcome(*(np.concatenate(parts) for parts in zip(*(one.outcome for one in same), strict=True))),
            costs=np.concatenate([one.costs for one in same]),
            decide_us=float(np.median([one.decide_us for one in same])),
        )
        for same in together.values()
    ]


def least_costs(played: Sequence[Played]) -> NDArray[np.float64]:
    """(B,) what the best of those that played all streams made of each; each training seed is one of them."""
    most = max(one.costs.shape[1] for one in played)
    return np.concatenate([one.costs for one in played if one.costs.shape[1] == most]).min(axis=0)


def share_of_gain(
    costs: NDArray[np.float64], reference: NDArray[np.float64], best: NDArray[np.float64] | None
) -> float | None:
    """How much of what is gained over a reference by the best is gained; None where that is nothing, or not known."""
    if best is None or len(costs) < len(best):
        return None
    most = float((reference[: len(best)] - best).sum())
    return float((reference[: len(best)] - costs[: len(best)]).sum()) / most if most > 0.0 else None


def fairness(response_s: NDArray[np.float64], device: NDArray[np.int64]) -> tuple[float, float]:
    """Jain's index of the devices' mean responses, and that of the worst device over their mean; means over streams.

    Args:
        response_s: (B, J) infinite where a job was dropped or lost, which then does not count.
        device: (B, J) of each job. Devices without jobs do not count, and those without a response neither.
    """
    jain, worst = [], []
    for of_jobs_s, devices in zip(response_s, device, strict=True):
        done = np.isfinite(of_jobs_s)
        counts = np.bincount(devices[done])
        means_s = (np.bincount(devices[done], of_jobs_s[done]) / np.maximum(counts, 1))[counts > 0]
        if len(means_s):
            # (sum of x)^2 / (m * sum of x^2), 1 where all are alike: Jain, Chiu and Hawe, DEC-TR-301, 1984.
            jain.append(means_s.mean() ** 2 / (means_s**2).mean())
            worst.append(means_s.max() / means_s.mean())
    return float(np.mean(jain)), float(np.mean(worst))


def row_of(
    played: Played,
    greedy: NDArray[np.float64],
    least: NDArray[np.float64],
    references: References | None,
    scenario: Scenario,
    objective: str,
    device: NDArray[np.int64],
) -> dict[str, Any]:
    """One row. Times are in seconds, but for ``decide_us_p50``; responses are of jobs neither dropped nor lost."""
    outcome, costs = played.outcome, played.costs
    num_seeds, count = costs.shape
    done_s = outcome.response_s[np.isfinite(outcome.response_s)]
    quantiles = np.quantile(done_s, [0.95, 0.99]) if len(done_s) else (np.nan, np.nan)
    reference = greedy[:count]
    low, high = ratio_interval(costs, reference)
    changes = costs.sum(axis=1) / reference.sum() - 1.0 if reference.sum() > 0.0 else None
    several = scenario.num_devices > 1 and len(done_s) > 0
    jain, worst = fairness(outcome.response_s, np.tile(device[:count], (num_seeds, 1))) if several else (None, None)
    return {
        "policy": played.name,
        "shipped": played.shipped,
        "scenario": scenario.label,
        "scenario_digest": digest_of(described(scenario)),
        "arrivals_per_s": mean_rate(scenario),
        "num_devices": scenario.num_devices,
        "report_s": scenario.report_s,
        "failure_share": scenario.failure_share,
        "objective": objective,
        "num_streams": count,
        "num_seeds": num_seeds,
        "num_jobs": outcome.response_s.shape[1],
        "response_mean_s": float(done_s.mean()) if len(done_s) else None,
        "response_p95_s": float(quantiles[0]) if len(done_s) else None,
        "response_p99_s": float(quantiles[1]) if len(done_s) else None,
        "late_share": float(outcome.late.mean()),
        "dropped_share": float((outcome.decisions[:, :, 0] == DROPPED).mean()),
        "lost_share": float(outcome.lost.mean()),
        "energy_mean_j": float(outcome.energy_j.mean()),
        "change": None if changes is None else float(changes.mean()),
        "change_low": low if np.isfinite(low) else None,
        "change_high": high if np.isfinite(high) else None,
        "change_least_seed": None if changes is None else float(changes.min()),
        "change_most_seed": None if changes is None else float(changes.max()),
        # Of the changes on each stream, where greedy has a cost on all of them.
        "change_iqm": interquartile_mean(costs / reference - 1.0) if (reference > 0.0).all() else None,
        "profile": profile(_excess(costs, least[:count])),
        "hindsight_share": share_of_gain(costs.mean(axis=0), greedy, references and references.hindsight),
        "bound_share": share_of_gain(costs.mean(axis=0), greedy, references and references.bound),
        "jain_mean": jain,
        "worst_over_mean": worst,
        "decide_us_p50": played.decide_us,
        "num_parameters": played.num_parameters,
    }


def _excess(costs: NDArray[np.float64], least: NDArray[np.float64]) -> NDArray[np.float64]:
    """Costs over the least ones minus 1; 0 where both are 0, as with no late job."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(costs == least, 0.0, costs / least - 1.0)


COLUMNS = ("policy", "streams", "mean s", "p95 s", "p99 s", "late %", "energy J", "change % [95 %]", "of hindsight %")
LOST = "lost %"  # behind "late %", where servers lose what they hold when they fail
SEEDS = "of seeds %"  # behind the change, where some policy was trained from several
FURTHER = ("of bound %", "Jain", "worst", "p50 µs", "parameters")
NOTE = (
    "Mean, p95 and p99: of the responses of jobs neither dropped nor lost. Late: either, or after its deadline. "
    "Change: what the objective counts over what it counts for greedy on the same streams, minus 1, with its bootstrap "
    "interval over streams, and over training seeds where there are several; of seeds: least and most of the changes. "
    "Of hindsight: the share of what someone gains over greedy who knows the future (local "
    "search, on the first streams alone); of bound: of what nobody can gain more than. µs: one decision, asked from "
    "Python. The planner plays the first streams alone. Jain: index of the devices' mean responses, 1 where all are "
    "alike; worst: the largest of them over their mean; of devices that have jobs with a response."
)


def _percent(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{100 * value:.{digits}f}"


def cells(row: dict[str, Any], can_lose: bool, with_seeds: bool) -> list[str]:
    """The columns of one row as text, with those of ``LOST`` and ``SEEDS`` or not."""
    change = "" if row["change"] is None else f"{100 * row['change']:+.1f}"
    if row["change_low"] is not None and row["change_low"] != row["change_high"]:
        change += f" [{100 * row['change_low']:+.1f}, {100 * row['change_high']:+.1f}]"
    seconds = [row[name] for name in ("response_mean_s", "response_p95_s", "response_p99_s")]
    of_seeds = ""
    if row["num_seeds"] > 1 and row["change"] is not None:
        of_seeds = f"{100 * row['change_least_seed']:+.1f} to {100 * row['change_most_seed']:+.1f} ({row['num_seeds']})"
    lost = [_percent(row["lost_share"], 1)] if can_lose else []
    return [
        shown_name(row),
        f"{row['num_streams']:,}",
        *("" if value is None else f"{value:.3f}" for value in seconds),
        _percent(row["late_share"], 1),
        *lost,
        f"{row['energy_mean_j']:.3f}",
        change,
        *([of_seeds] if with_seeds else []),
        _percent(row["hindsight_share"]),
        _percent(row["bound_share"]),
        *("" if row[name] is None else f"{row[name]:.2f}" for name in ("jain_mean", "worst_over_mean")),
        f"{row['decide_us_p50']:.1f}",
        f"{row['num_parameters']:,}" if row["num_parameters"] else "",
    ]


def title_of(row: dict[str, Any]) -> str:
    """Of which streams a row is, and what is counted."""
    parts = [row["scenario"], f"{row['arrivals_per_s']:.3g} jobs/s"]
    if row["num_devices"] > 1:
        parts.append(f"{row['num_devices']} devices")
    if row.get("report_s", 0.0) > 0.0:
        parts.append(f"reports every {row['report_s']:g} s")
    if row.get("failure_share", 0.0) > 0.0:
        parts.append(f"edge servers down {100 * row['failure_share']:g} % of the time")
    return ", ".join([*parts, row["objective"]])


def print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """A table, the best policy last so that it stands nearest the prompt."""
    first = max(rows, key=lambda row: row["num_streams"])
    table = Table(
        title=f"{title_of(first)}: {first['num_streams']} test streams of {first['num_jobs']} jobs",
        caption=NOTE,
        box=box.SIMPLE_HEAD,
    )
    can_lose, with_seeds = any(row["lost_share"] for row in rows), any(row["num_seeds"] > 1 for row in rows)
    headers = [*COLUMNS, *FURTHER]
    for header, before, there in ((LOST, "energy J", can_lose), (SEEDS, "of hindsight %", with_seeds)):
        if there:
            headers.insert(headers.index(before), header)
    for header in headers:
        table.add_column(header, justify="left" if header == "policy" else "right", no_wrap=True)
    for row in sorted(rows, key=lambda row: -np.inf if row["change"] is None else -row["change"]):
        table.add_row(*cells(row, can_lose, with_seeds))
    print_whole(table)


def print_sweep(rows: Sequence[dict[str, Any]], sweep: str) -> None:
    """A table of a sweep: policies by points, each with its change over greedy, and greedy's own figure."""
    points = list(dict.fromkeys(row["at"] for row in rows))
    names = list(dict.fromkeys(row["policy"] for row in rows))
    by = {(row["policy"], row["at"]): row for row in rows}
    late = rows[0]["objective"] == "late"
    counts = [by["greedy", point]["num_streams"] for point in points]
    least, most = min(counts), max(counts)
    caption = f"{most if least == most else f'{least} to {most}'} streams at each point. The first line is greedy's "
    caption += "late share in %." if late else "mean response in seconds."
    fewer = (row for row in rows if row["num_streams"] < by["greedy", row["at"]]["num_streams"])
    for row in {row["policy"]: row for row in fewer}.values():
        caption += f" {row['policy']}: the first {row['num_streams']} alone, against greedy on these."
    table = Table(
        title=f"{rows[0]['scenario']}, {rows[0]['objective']}: change over greedy in %, by {sweep}",
        caption=caption,
        box=box.SIMPLE_HEAD,
    )
    table.add_column("policy", no_wrap=True)
    for point in points:
        table.add_column(point, justify="right", no_wrap=True)
    own = [by["greedy", point] for point in points]
    table.add_row(
        "greedy", *(_percent(row["late_share"], 1) if late else f"{row['response_mean_s']:.3f}" for row in own)
    )
    for name in names:
        if name != "greedy":
            changes = [by[name, point]["change"] if (name, point) in by else None for point in points]
            table.add_row(name, *("" if change is None else f"{100 * change:+.1f}" for change in changes))
    print_whole(table)
