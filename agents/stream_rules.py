"""``python -m agents tune-rules``: the numbers of the rules of streams, chosen on validation streams.

Each rule is played on the same streams with the numbers that CMA-ES proposes, and the best are kept. Where jobs may be
dropped, so is chosen from which expected response on they are, for the rules without numbers, too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

import offload_gym
from agents.evolution import minimise
from offload_gym.array_checks import check_count
from offload_gym.checks import quoted
from offload_gym.files import replacing
from offload_gym.progress import with_progress
from offload_gym.scenario import Scenario
from offload_gym.seeds import seed_for
from offload_gym.streams.likeness import RULES_FILE, mean_rate, tuned_rules
from offload_gym.streams.networks import OBJECTIVES
from offload_gym.streams.playing import play
from offload_gym.streams.policies import (
    FOR_LATE,
    OF_SEVERAL_TASKS,
    RULE_SIZES,
    MomentPolicy,
    PlanPolicy,
    make_stream_policy,
    rule_plan,
)
from offload_gym.streams.responses import stream_costs
from offload_gym.streams.sampling import sample_streams
from offload_gym.streams.streams import Streams

PACKAGED = Path(offload_gym.__file__).parent / "weights" / RULES_FILE
DROPPERS = ("greedy", "shortest-queue")  # without numbers but for when to drop
DROP_FACTORS = (0.6, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.4, 1.7)
TUNABLE = (*RULE_SIZES, *DROPPERS, *OF_SEVERAL_TASKS)
KEY = ("scenario", "num_devices", "report_s", "arrivals_per_s", "objective", "policy")
# Of the table: what is left-aligned, and what is a number.
TEXTS, HEADERS = ("scenario", "objective", "policy", "numbers"), (*KEY, "numbers", "drop_factor", "change %")


def tune_rules(
    scenarios: Sequence[Scenario],
    objective: str = "response",
    *,
    policies: Sequence[str] = (),
    num_streams: int = 200,
    num_evaluations: int = 800,
    seed: int = 1,
    path: Path | None = None,
) -> list[dict[str, Any]]:
    """Choose the numbers of rules, print a table and return its rows.

    Args:
        scenarios: for each of which they are chosen.
        objective: one of ``OBJECTIVES``.
        policies: some of ``TUNABLE``; all where none is given.
        num_streams: validation streams of each scenario.
        num_evaluations: how many proposals are played for each rule.
        seed: of the streams and the proposals.
        path: the file whose rows for the same scenario, devices, reports, rate, objective and policy are replaced;
            None: none.

    Raises:
        ValueError: an argument is out of its bounds.
    """
    check_count("num_streams", num_streams)
    check_count("num_evaluations", num_evaluations)
    if objective not in OBJECTIVES:
        raise ValueError(f"objective is {quoted(objective)}; it must be one of {', '.join(OBJECTIVES)}")
    for name in policies:
        if name not in TUNABLE:
            raise ValueError(f"policy is {quoted(name)}; it must be one of {', '.join(TUNABLE)}")
    rows = []
    for scenario in scenarios:
        streams = sample_streams(scenario, num_streams, seed_for("validation", seed))
        dropping = scenario.can_drop and objective == "late"
        able = [name for name in RULE_SIZES if objective == "late" or name not in FOR_LATE]
        if dropping:
            able += (*DROPPERS, *(OF_SEVERAL_TASKS if scenario.most_tasks > 1 else ()))
        names = [name for name in able if name in (policies or able)]
        greedy = _cost(streams, make_stream_policy("greedy", scenario, objective), objective)
        for name in with_progress(names, f"{scenario.name}, {mean_rate(scenario):g} jobs/s", "rule"):
            if name in RULE_SIZES:
                numbers, factor, cost = _tuned_rule(name, streams, objective, dropping, num_evaluations, seed)
            else:
                numbers, (factor, cost) = [], _tuned_dropping(name, scenario, streams, objective)
            rows.append(
                {
                    "scenario": scenario.name,
                    "num_devices": scenario.num_devices,
                    "report_s": scenario.report_s,
                    "arrivals_per_s": round(mean_rate(scenario), 3),
                    "objective": objective,
                    "policy": name,
                    "numbers": numbers,
                    "drop_factor": factor,
                    "change": round(cost / greedy - 1.0, 4) if greedy else None,
                }
            )
    _print(rows, num_streams)
    if path is not None:
        write_rules(path, rows)
    return rows


def _cost(streams: Streams, policy: Any, objective: str) -> float:
    """What a policy's decisions cost, on average over streams."""
    return float(stream_costs(streams, play(streams, policy), objective).mean())


def _tuned_rule(
    name: str, streams: Streams, objective: str, dropping: bool, num_evaluations: int, seed: int
) -> tuple[list[float], float | None, float]:
    """The best numbers, from which expected response over the deadline on jobs are dropped, and what it costs."""
    size = RULE_SIZES[name]

    def policy(x: NDArray[np.float64]) -> PlanPolicy:
        return PlanPolicy(rule_plan(name, x[:size], math.exp(x[size]) if dropping else math.inf), name)

    found, _ = minimise(
        lambda x: _cost(streams, policy(x), objective), np.zeros(size + dropping), num_evaluations, seed
    )
    found[:size] = np.round(found[:size], 3)
    factor = round(math.exp(found[size]), 3) if dropping else None
    if factor is not None:
        found[size] = math.log(factor)
    return found[:size].tolist(), factor, _cost(streams, policy(found), objective)


def _tuned_dropping(name: str, scenario: Scenario, streams: Streams, objective: str) -> tuple[float, float]:
    """From which expected response over the deadline on a policy without numbers drops best, and what that costs."""
    policy = make_stream_policy(name, scenario, objective)
    costs = {}
    for factor in DROP_FACTORS:
        if isinstance(policy, PlanPolicy):
            policy.plan = policy.plan._replace(drop_factor=factor)
        elif isinstance(policy, MomentPolicy):
            policy.drop_factor = factor
        costs[factor] = _cost(streams, policy, objective)
    best = min(costs, key=lambda factor: costs[factor])
    return best, costs[best]


def write_rules(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Put rows into the file of tuned rules, in place of those with the same ``KEY``."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    table = {tuple(row[name] for name in KEY): row for row in (*kept, *rows)}
    lines = ",\n".join(json.dumps(table[key]) for key in sorted(table))
    with replacing(path) as temporary:
        temporary.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    tuned_rules.cache_clear()


def _print(rows: Sequence[dict[str, Any]], num_streams: int) -> None:
    table = Table(
        title=f"rules of streams, tuned on {num_streams} validation streams each",
        caption="Change: what it costs over what greedy costs, minus 1, on these streams.",
        box=box.SIMPLE_HEAD,
    )
    for header in HEADERS:
        table.add_column(header, justify="left" if header in TEXTS else "right")
    for row in rows:
        numbers, factor, change = " ".join(f"{x:g}" for x in row["numbers"]), row["drop_factor"], row["change"]
        table.add_row(
            row["scenario"],
            str(row["num_devices"]),
            f"{row['report_s']:g}",
            f"{row['arrivals_per_s']:g}",
            row["objective"],
            row["policy"],
            numbers,
            "" if factor is None else f"{factor:g}",
            "" if change is None else f"{100 * change:+.1f}",
        )
    Console(width=max(Console().width, 130)).print(table)
