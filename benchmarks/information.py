"""``python -m benchmarks information``: what it costs policies to see estimates instead of the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import Contender, contenders
from offload_gym.delay import latency, optimality_gap
from offload_gym.sampling import sample_estimated
from offload_gym.scenario import make_scenario
from offload_gym.seeds import seed_for
from offload_gym.solvers.exact import solve

LEVELS: tuple[float | str, ...] = (0.0, 0.1, 0.3, 1.0, "last")


def compare_information(num_instances: int, seed: int, agents_folder: Path) -> list[dict[str, Any]]:
    """Print the mean gap of every policy to the hindsight optimum for each level of information; returns the rows.

    The instances are the same for all levels but "last", which needs pairs of consecutive epochs.
    """
    scenario = make_scenario()
    gaps: dict[str, list[float]] = {}
    listed: list[Contender] = []
    for level in LEVELS:
        instances, seen = sample_estimated(
            scenario, num_instances, level, seed_for("test", seed), seed_for("test", seed, 3)
        )
        optimum_s = solve(instances).latency_s
        listed = listed or contenders(scenario, "makespan", instances, [agents_folder], observation_noise=None)
        for contender in listed:
            latency_s = latency(instances, contender.policy.decide(seen))
            gaps.setdefault(contender.name, []).append(float(optimality_gap(latency_s, optimum_s).mean()))
    rows: list[dict[str, Any]] = [
        {"policy": name, **{str(level): gap for level, gap in zip(LEVELS, values, strict=True)}}
        for name, values in sorted(gaps.items(), key=lambda item: -item[1][0])
    ]
    table = Table(
        title=f"default, n = {scenario.num_tasks}, K = {scenario.num_locations}, {num_instances} test instances",
        caption="Mean gap in % to the optimum of the truth, where policies see rates and backlogs with this noise "
        "(standard deviation of the logarithm), or those of the epoch before (other instances, in pairs).",
        box=box.SIMPLE_HEAD,
    )
    for header in ("policy", *(f"noise {level:g}" if level != "last" else "last" for level in LEVELS)):
        table.add_column(header, justify="left" if header == "policy" else "right", no_wrap=True)
    for row in rows:
        table.add_row(row["policy"], *(f"{100 * row[str(level)]:.2f}" for level in LEVELS))
    Console(width=max(Console().width, 100)).print(table)
    return rows
