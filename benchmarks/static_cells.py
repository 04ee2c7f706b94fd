"""``python -m benchmarks cells``, static cells: what sharing costs, and what policies of the devices make of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from agents.cell import train_shared_policy
from benchmarks.analysis import write_json
from benchmarks.measurement import time_calls
from benchmarks.statistics import bootstrap_interval
from offload_gym.array_checks import check_count
from offload_gym.cell import cell_latency
from offload_gym.cell_policies import (
    CELL_POLICY_NAMES,
    SHARED,
    CellPolicy,
    Report,
    load_cell_policy,
    make_cell_policy,
    report_of,
)
from offload_gym.checks import is_whole, quoted
from offload_gym.delay import latency
from offload_gym.envs.cell import sample_cell
from offload_gym.instances import Instances
from offload_gym.policies import FunctionPolicy, Policy, make_policy
from offload_gym.progress import with_progress
from offload_gym.scenario import Scenario, make_scenario
from offload_gym.seeds import check_seed, seed_for
from offload_gym.solvers.best_response import best_response, coordinated

NUM_DEVICES = (1, 2, 4, 8, 32)
FULL_SIZE = 8  # devices; of larger cells there are as many devices as there would be then
ALONE = ("local", "cloud", "greedy", "student")
MOST_TRAINED = 8  # devices of cells that PPO is trained for
COORDINATED, EQUILIBRIUM, BOUND = "coordinated", "equilibrium", "lower bound"
NUM_TIMED = 500


class Outcome(NamedTuple):
    """What a policy made of C cells of m devices."""

    latency_s: NDArray[np.float64]  # (C, m)
    decide_us: float | None = None  # the median for one device, from Python; None for references


def compare_static_cells(
    num_cells: int,
    seed: int,
    num_decisions: int,
    num_devices: Sequence[int] = NUM_DEVICES,
    scenario: Scenario | None = None,
    json_path: str | None = None,
    networks: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Compare policies on fresh cells of several sizes, print a table and return its rows.

    Args:
        num_cells: test cells of each size up to ``FULL_SIZE`` devices; of larger ones, as many
            devices in all.
        seed: of the test cells and of the training.
        num_decisions: epochs times devices that each PPO agent is trained for, in cells of up to ``MOST_TRAINED``
            devices; 0: none is trained.
        num_devices: sizes of cells.
        scenario: what cells are drawn from; "default" where not given.
        json_path: where to write the rows.
        networks: policy files of cells that take part, too.
    """
    check_count("num_cells", num_cells)
    if not is_whole(num_decisions) or num_decisions < 0:
        raise ValueError(f"num_decisions is {quoted(num_decisions)}; it must be a whole number, at least 0")
    for m in num_devices:
        check_count("num_devices", m)
    check_seed(seed)
    if json_path is not None and Path(json_path).is_dir():
        raise ValueError(f"json_path is {json_path}, a folder; it must be a file")
    scenario = make_scenario() if scenario is None else scenario
    trained = {policy.name: policy.decide for policy in map(load_cell_policy, networks)}
    rows = []
    for m in with_progress(num_devices, "cells", "size"):
        count = max(num_cells * FULL_SIZE // max(m, FULL_SIZE), 1)
        cells = [sample_cell(scenario, m, seed_for("test", seed, m, c)) for c in range(count)]
        deciding = _policies(scenario, m, seed, num_decisions)
        if taken := deciding.keys() & trained.keys():
            raise ValueError(f"networks has a file {min(taken)}.safetensors, but {min(taken)} is another policy's name")
        deciding |= trained
        outcomes = {name: _outcome(decide, cells) for name, decide in deciding.items()}
        references, settled, num_rounds = _references(scenario, cells)
        outcomes |= references
        least_s = outcomes[COORDINATED].latency_s.mean(axis=1)
        for name, outcome in outcomes.items():
            row = _row(name, outcome, least_s)
            if name == EQUILIBRIUM:
                row |= {"settled": settled, "max_rounds": num_rounds}
            rows.append(row)
    _print(rows)
    if json_path is not None:
        write_json(json_path, rows)
    return rows


Decide = Callable[[Instances, Report], NDArray[np.int64]]


def _as_if_alone(policy: Policy) -> Decide:
    return lambda instances, report: policy.decide(instances)


def _policies(scenario: Scenario, m: int, seed: int, num_decisions: int) -> dict[str, Decide]:
    """What decides for a device of a cell, by name."""
    alone: dict[str, Policy] = {name: make_policy(name) for name in ALONE}
    for name, shared in (("ppo, own reward", False), ("ppo, shared reward", True)):
        if num_decisions and m <= MOST_TRAINED and (m > 1 or not shared):
            alone[name] = train_shared_policy(scenario, m, num_decisions=num_decisions, seed=seed, shared_reward=shared)
    of_cells: dict[str, CellPolicy] = {name: make_cell_policy(name, None, scenario) for name in CELL_POLICY_NAMES}
    if m > 1:
        of_cells |= {f"{name}-share, of this m": make_cell_policy(f"{name}-share", m, scenario) for name in SHARED}
    return {name: _as_if_alone(policy) for name, policy in alone.items()} | {
        name: policy.decide for name, policy in of_cells.items()
    }


def _outcome(decide: Decide, cells: list[Instances]) -> Outcome:
    latency_s = np.array([cell_latency(cell, decide(cell, report_of(cell))) for cell in cells])
    report = report_of(cells[0])
    one_by_one = FunctionPolicy(lambda instances: decide(instances, report))
    singles = [cells[0][d : d + 1] for d in range(len(cells[0]))]
    times_us = time_calls(one_by_one, singles * (NUM_TIMED // len(singles) + 1))
    return Outcome(latency_s, float(np.median(times_us)))


def starts_of(cell: Instances, scenario: Scenario) -> list[NDArray[np.int64]]:
    """Where the search for coordinated decisions begins."""
    report, m = report_of(cell), len(cell)
    alone = [make_policy(name).decide(cell) for name in ("greedy", "local")]
    return alone + [make_cell_policy(name, m, scenario).decide(cell, report) for name in CELL_POLICY_NAMES]


def _references(scenario: Scenario, cells: list[Instances]) -> tuple[dict[str, Outcome], float, int]:
    """What knows all devices does; the share of cells with an equilibrium, and the most rounds."""
    names = (EQUILIBRIUM, "coordinated, two starts", COORDINATED, BOUND)
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    exact, responses = make_policy("exact"), []
    for cell in cells:
        starts = starts_of(cell, scenario)
        selfish = best_response(cell, starts[0])
        responses.append(selfish)
        two = coordinated(cell, [starts[0], selfish.decisions])
        decided = {
            EQUILIBRIUM: selfish.decisions,
            names[1]: two,
            COORDINATED: coordinated(cell, [two, *starts[1:]]),
        }
        for name, decisions in decided.items():
            found[name].append(cell_latency(cell, decisions))
        found[BOUND].append(latency(cell, exact.decide(cell)))
    outcomes = {name: Outcome(np.array(of_cells_s)) for name, of_cells_s in found.items()}
    return outcomes, float(np.mean([r.settled for r in responses])), max(r.num_rounds for r in responses)


def _row(name: str, outcome: Outcome, least_s: NDArray[np.float64]) -> dict[str, Any]:
    """A row of the comparison; ``least_s`` (C,) are the mean latencies of the coordinated decisions."""
    of_devices_s = outcome.latency_s
    of_cells_s = of_devices_s.mean(axis=1)
    over = (of_cells_s - least_s) / least_s.mean()  # paired: the same cells
    over_low, over_high = bootstrap_interval(over)
    low_s, high_s = bootstrap_interval(of_cells_s)
    # Jain's index: (sum of x)^2 / (m * sum of x^2), 1 where all are alike.
    jain = of_cells_s**2 / (of_devices_s**2).mean(axis=1)
    return {
        "policy": name,
        "num_devices": of_devices_s.shape[1],
        "num_cells": len(of_cells_s),
        "latency_mean_s": float(of_cells_s.mean()),
        "latency_low_s": low_s,
        "latency_high_s": high_s,
        "over_coordinated": float(over.mean()),
        "over_low": over_low,
        "over_high": over_high,
        "jain_mean": float(jain.mean()),
        "worst_over_mean": float((of_devices_s.max(axis=1) / of_cells_s).mean()),
        "decide_us_p50": outcome.decide_us,
        "settled": None,
        "max_rounds": None,
    }


def _print(rows: list[dict[str, Any]]) -> None:
    table = Table(
        title="devices that share a cell",
        caption="Latency: mean makespan of the devices, with its 95 % interval over cells. Over coordinated: against "
        "local search on that mean from several starts, paired. Jain's index of the devices' latencies and the worst "
        "device's over their mean: means over cells. µs: the decision of one device, asked from Python. Equilibrium: "
        "best responses in turn from greedy; settled in that share of cells, in at most that many rounds. Lower bound: "
        "the optimum of each device alone.",
        box=box.SIMPLE_HEAD,
    )
    headers = (
        "devices",
        "cells",
        "policy",
        "latency s",
        "over coordinated %",
        "Jain",
        "worst",
        "µs",
        "settled",
        "rounds",
    )
    for header in headers:
        table.add_column(header, justify="left" if header == "policy" else "right", no_wrap=True)
    for row in rows:
        low, high = (100 * row[bound] for bound in ("over_low", "over_high"))
        table.add_row(
            f"{row['num_devices']}",
            f"{row['num_cells']}",
            row["policy"],
            f"{row['latency_mean_s']:.3f} [{row['latency_low_s']:.3f}, {row['latency_high_s']:.3f}]",
            "0" if row["policy"] == COORDINATED else f"{100 * row['over_coordinated']:+.1f} [{low:+.1f}, {high:+.1f}]",
            f"{row['jain_mean']:.3f}",
            f"{row['worst_over_mean']:.2f}",
            "" if row["decide_us_p50"] is None else f"{row['decide_us_p50']:.1f}",
            "" if row["settled"] is None else f"{row['settled']:.0%}",
            "" if row["max_rounds"] is None else f"{row['max_rounds']}",
            end_section=row["policy"] == BOUND,
        )
    Console(width=max(Console().width, 140)).print(table)
