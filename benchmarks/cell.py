"""``python -m benchmarks cell``: what sharing a cell costs, and what devices that learn together make of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from agents.cell import train_shared_policy
from benchmarks.analysis import bootstrap_interval, write_json
from offload_gym.array_checks import check_count
from offload_gym.cell import cell_latency
from offload_gym.delay import latency
from offload_gym.envs.cell import sample_cell
from offload_gym.instances import Instances
from offload_gym.policies import Policy, make_policy
from offload_gym.progress import with_progress
from offload_gym.scenario import Scenario, make_scenario
from offload_gym.seeds import check_seed, seed_for
from offload_gym.solvers.best_response import best_response

NUM_DEVICES = (1, 2, 4, 8)
BUILT_IN = ("local", "cloud", "greedy", "student")
COORDINATED = "coordinated"


def compare_cell(
    num_cells: int,
    seed: int,
    num_decisions: int,
    num_devices: Sequence[int] = NUM_DEVICES,
    scenario: Scenario | None = None,
    json_path: str | None = None,
) -> list[dict[str, Any]]:
    """Compare policies on fresh cells of several sizes, print a table and return its rows.

    Args:
        num_cells: test cells of each size.
        seed: of the test cells and of the training.
        num_decisions: epochs times devices that each PPO agent is trained for.
        num_devices: sizes of cells.
        scenario: what cells are drawn from; "default" where not given.
        json_path: where to write the rows.
    """
    check_count("num_cells", num_cells)
    check_count("num_decisions", num_decisions)
    check_seed(seed)
    if json_path is not None and Path(json_path).is_dir():
        raise ValueError(f"json_path is {json_path}, a folder; it must be a file")
    scenario = make_scenario() if scenario is None else scenario
    rows = []
    for m in with_progress(num_devices, "cells", "size"):
        cells = [sample_cell(scenario, m, seed_for("test", seed, m, c)) for c in range(num_cells)]
        policies: dict[str, Policy] = {name: make_policy(name) for name in BUILT_IN}
        for name, shared in (("ppo, own reward", False), ("ppo, shared reward", True)):
            if m > 1 or not shared:
                policies[name] = train_shared_policy(
                    scenario, m, num_decisions=num_decisions, seed=seed, shared_reward=shared
                )
        values_s = {name: _mean_latencies(policy, cells) for name, policy in policies.items()}
        references, settled, num_rounds = _references(cells)
        values_s |= references
        for name, of_cells_s in values_s.items():
            over = (of_cells_s - values_s[COORDINATED]) / values_s[COORDINATED].mean()  # paired: the same cells
            rows.append(
                {
                    "num_devices": m,
                    "policy": name,
                    "latency_mean_s": float(of_cells_s.mean()),
                    "latency_interval_s": bootstrap_interval(of_cells_s),
                    "over_coordinated": float(over.mean()),
                    "over_coordinated_interval": bootstrap_interval(over),
                    "settled": settled if name == "equilibrium" else None,
                    "max_rounds": num_rounds if name == "equilibrium" else None,
                }
            )
    _print(rows, num_cells)
    if json_path is not None:
        write_json(json_path, rows)
    return rows


def _mean_latencies(policy: Policy, cells: list[Instances]) -> NDArray[np.float64]:
    """(num_cells,) mean latency over the devices of each cell."""
    return np.array([cell_latency(cell, policy.decide(cell)).mean() for cell in cells])


def _references(cells: list[Instances]) -> tuple[dict[str, NDArray[np.float64]], float, int]:
    """Mean latencies (num_cells,) of the references; the share of cells with an equilibrium, and the most rounds."""
    found: dict[str, list[float]] = {"equilibrium": [], COORDINATED: [], "lower bound": []}
    exact, greedy = make_policy("exact"), make_policy("greedy")
    responses = []
    for cell in cells:
        start = greedy.decide(cell)
        selfish = best_response(cell, start)
        responses.append(selfish)
        found["equilibrium"].append(cell_latency(cell, selfish.decisions).mean())
        together = [best_response(cell, decisions, together=True) for decisions in (start, selfish.decisions)]
        found[COORDINATED].append(min(cell_latency(cell, reached.decisions).mean() for reached in together))
        found["lower bound"].append(latency(cell, exact.decide(cell)).mean())
    values = {name: np.array(of_cells_s) for name, of_cells_s in found.items()}
    return values, float(np.mean([r.settled for r in responses])), max(r.num_rounds for r in responses)


def _print(rows: list[dict[str, Any]], num_cells: int) -> None:
    table = Table(
        title=f"devices that share a cell: {num_cells} test cells of each size",
        caption="Latency: mean makespan of the devices, with its 95 % interval over cells. Over coordinated: against "
        "local search on that mean, paired. Equilibrium: best responses in turn from greedy; settled in that share of "
        "cells, in at most that many rounds. Lower bound: the optimum of each device alone.",
        box=box.SIMPLE_HEAD,
    )
    for header in ("devices", "policy", "latency s", "over coordinated %", "settled", "rounds"):
        table.add_column(header, justify="left" if header == "policy" else "right", no_wrap=True)
    for row in rows:
        low_s, high_s = row["latency_interval_s"]
        low, high = (100 * bound for bound in row["over_coordinated_interval"])
        table.add_row(
            f"{row['num_devices']}",
            row["policy"],
            f"{row['latency_mean_s']:.3f} [{low_s:.3f}, {high_s:.3f}]",
            "0" if row["policy"] == COORDINATED else f"{100 * row['over_coordinated']:+.1f} [{low:+.1f}, {high:+.1f}]",
            "" if row["settled"] is None else f"{row['settled']:.0%}",
            "" if row["max_rounds"] is None else f"{row['max_rounds']}",
            end_section=row["policy"] == "lower bound",
        )
    Console(width=max(Console().width, 120)).print(table)
