"""What of that which was tuned and trained goes with a scenario: that of the most similar one."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from offload_gym.arrivals import load_arrivals, recorded_gap_s
from offload_gym.scenario import PRESETS, Scenario
from offload_gym.streams.networks import StreamNetwork

RULES_FILE = "stream_rules.json"
SHARED_SERVERS = ("stream_cell", "stream_mobile")  # presets whose networks know of other devices
FAR_RATE = 2.0  # times more or fewer arrivals than in training are far from it


@cache
def tuned_rules() -> list[dict[str, Any]]:
    """What ``python -m agents tune-rules`` found: rows with scenario, num_devices, report_s, arrivals_per_s, ..."""
    text = (files("offload_gym") / "weights" / RULES_FILE).read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = json.loads(text)
    return rows


def mean_rate(scenario: Scenario) -> float:
    """Arrivals a second at a device; the geometric mean where it is drawn, else, where recorded, the mean there."""
    rate = scenario.arrivals_per_s
    if rate is None:
        assert scenario.arrivals_path is not None  # as the scenario was checked
        return 1.0 / recorded_gap_s(load_arrivals(scenario.arrivals_path))
    return math.sqrt(rate[0] * rate[1]) if isinstance(rate, tuple) else float(rate)


def tuned(name: str, scenario: Scenario, objective: str) -> dict[str, Any] | None:
    """What was tuned of a policy for the most similar scenario; None where nothing was.

    Similar is what has the same objective, then the same kind of jobs, then devices that move or stay, then about as
    many devices; among these the scenario's own preset comes first, then the age of reports, then the rate.
    """

    def unlike(row: dict[str, Any]) -> tuple[float, ...]:
        preset = PRESETS.get(row["scenario"], {})
        rates = abs(math.log(row["arrivals_per_s"] / mean_rate(scenario)))
        devices = abs(math.log(row["num_devices"] / scenario.num_devices))
        news = abs(row["report_s"] - scenario.report_s)
        jobs = bool(preset.get("applications")) != bool(scenario.applications)
        moves = (preset.get("mobility", "none") == "none") != (scenario.mobility == "none")
        return row["objective"] != objective, jobs, moves, devices, row["scenario"] != scenario.name, news, rates

    return min((row for row in tuned_rules() if row["policy"] == name), key=unlike, default=None)


def preset_like(scenario: Scenario) -> str:
    """The preset with networks of its own whose jobs and devices are most like those of a scenario."""
    if scenario.applications:
        return "stream_applications"
    if scenario.can_drop:
        return "stream_deadlines"
    if scenario.mobility != "none" and scenario.num_edges == PRESETS["stream_mobile"]["num_edges"]:
        return "stream_mobile"
    return "stream_cell" if scenario.num_devices > 1 or scenario.name == "stream_cell" else "stream"


def outside_training(network: StreamNetwork, preset: str, scenario: Scenario) -> list[str]:
    """What no stream had that the networks of a preset were trained on, in words."""
    trained = [network.scenario_fields or {}, *json.loads(network.metadata.get("also", "[]"))]
    rates = [rate for one in trained for rate in np.atleast_1d(one["arrivals_per_s"]).tolist()]
    low, high, rate = min(rates), max(rates), mean_rate(scenario)
    says = {
        "the applications are others": bool(scenario.applications)
        and scenario.applications != PRESETS[preset]["applications"],
        "jobs have several tasks that do not depend on each other": preset != "stream_applications"
        and scenario.most_tasks > 1,
        "several devices share the servers": preset not in SHARED_SERVERS and scenario.num_devices > 1,
        "devices know the servers by reports": preset != "stream_cell" and scenario.report_s > 0.0,
        "devices move": preset != "stream_mobile" and scenario.mobility != "none",
        f"{rate:.3g} jobs a second arrive at each device, not {low:g} to {high:g}": not (
            low / FAR_RATE <= rate <= high * FAR_RATE
        ),
    }
    return [words for words, holds in says.items() if holds]
