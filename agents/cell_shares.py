"""``python -m agents tune-shares``: by how much policies of a device alone divide their uplink in a cell."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from offload_gym.array_checks import check_count
from offload_gym.cell import cell_latency
from offload_gym.cell_policies import SHARED, SHARES_FILE, shared_policy, tuned_shares, with_slowdown
from offload_gym.envs.cell import sample_cell
from offload_gym.files import replacing
from offload_gym.instances import Instances
from offload_gym.policies import Policy
from offload_gym.scenario import Scenario, make_scenario
from offload_gym.seeds import check_seed, seed_for

PACKAGED = Path(__file__).parents[1] / "offload_gym" / "weights" / SHARES_FILE
SIZES = (2, 4, 8, 16, 32)
SHARES = tuple(round(0.05 * step, 2) for step in range(4, 27))
# What the uplink may be divided by, from the share and the number of devices. The first one is what policies use.
FORMS: dict[str, Callable[[float, int], float]] = {
    "1 + share * (devices - 1)": lambda share, m: 1.0 + share * (m - 1),
    "share * devices": lambda share, m: max(share * m, 1.0),
    "devices ** share": lambda share, m: float(m**share),
}


def mean_latency(cells: Sequence[Instances], decisions: NDArray[np.int64]) -> float:
    """The mean latency over all devices of cells of one size; their ``decisions`` (C m, n) follow each other."""
    m = len(cells[0])
    parts = decisions.reshape(len(cells), m, -1)
    return float(np.mean([cell_latency(cell, part).mean() for cell, part in zip(cells, parts, strict=True)]))


def tune_shares(
    scenario: Scenario | None = None,
    num_cells: int = 400,
    seed: int = 1,
    sizes: Sequence[int] = SIZES,
    path: Path | None = None,
) -> list[dict[str, Any]]:
    """Choose the shares on validation cells and print them, those of each size and the best that is the same for all.

    The latter has the least mean, over the sizes, of latencies relative to those with the shares of their size.

    Args:
        scenario: what cells are drawn from; "default" where not given.
        num_cells: of each size up to 8; of larger ones there are as many devices as there are then.
        seed: of the cells.
        sizes: numbers of devices.
        path: where to put the shares, in place of those for the same scenario and policy.
    """
    check_count("num_cells", num_cells)
    check_seed(seed)
    scenario = make_scenario() if scenario is None else scenario
    cells = {m: validation_cells(scenario, m, num_cells, seed) for m in sizes}
    policies = {name: shared_policy(name, scenario) for name in SHARED}
    rows, table = [], _table(num_cells)
    for name, policy in policies.items():
        for form, divided in FORMS.items():
            found = _tuned(policy, cells, divided)
            table.add_row(name, form, *(f"{share:g}: {over:+.1%}" for _, share, over in found))
            if form == next(iter(FORMS)):
                rows += [
                    {"scenario": scenario.name, "policy": name, "num_devices": m, "share": share}
                    for m, share, _ in found
                ]
    Console(width=max(Console().width, 150)).print(table)
    if path is not None:
        _write(path, rows)
    return rows


def validation_cells(scenario: Scenario, num_devices: int, num_cells: int, seed: int) -> list[Instances]:
    """Cells that nothing is learned from or compared on; fewer of more than 8 devices."""
    count = max(num_cells * 8 // max(num_devices, 8), 1)
    return [sample_cell(scenario, num_devices, seed_for("validation", seed, num_devices, c)) for c in range(count)]


def _tuned(
    policy: Policy, cells: dict[int, list[Instances]], divided: Callable[[float, int], float]
) -> list[tuple[int, float, float]]:
    """(size, 0 for all of them; share; how far it is, with the one for all, over the best of that size)."""
    latency_s = np.array(
        [
            [
                mean_latency(some, policy.decide(with_slowdown(Instances.concatenate(some), divided(share, m))))
                for share in SHARES
            ]
            for m, some in cells.items()
        ]
    )
    over = latency_s / latency_s.min(axis=1, keepdims=True) - 1.0
    for_all = int(over.mean(axis=0).argmin())
    of_sizes = [(m, SHARES[int(row.argmin())], float(row[for_all])) for m, row in zip(cells, over, strict=True)]
    return [(0, SHARES[for_all], float(over[:, for_all].mean())), *of_sizes]


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    table = {(row["scenario"], row["policy"], row["num_devices"]): row for row in (*kept, *rows)}
    lines = ",\n".join(json.dumps(table[key]) for key in sorted(table))
    with replacing(path) as temporary:
        temporary.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    tuned_shares.cache_clear()


def _table(num_cells: int) -> Table:
    table = Table(
        title=f"shares, tuned on {num_cells} validation cells of each size",
        caption="The best share for all sizes and its mean distance to the best of each size; then the best share of "
        "each size, and how far the one for all is over it there.",
        box=box.SIMPLE_HEAD,
    )
    for header in ("policy", "uplink divided by", "all", *map(str, SIZES)):
        table.add_column(header, no_wrap=True)
    return table
