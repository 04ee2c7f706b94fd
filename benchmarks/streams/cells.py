"""``python -m benchmarks cells``, streams: devices that share radio and servers while jobs keep coming."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.analysis import write_json
from benchmarks.streams.comparing import Asked, check_outputs, compare_streams
from offload_gym.array_checks import check_count
from offload_gym.scenario import Scenario, make_scenario
from offload_gym.seeds import check_seed

PRESET, MOBILE = "stream_cell", "stream_mobile"
RULES = ("local", "greedy", "shortest-queue", "two-choices", "price", "queue-price", "max-weight")
NETWORKS = ("small-student", "student", "teacher")
AMONG_EDGES = ("nearest", "cloud")  # for several edge servers
DEVICES_AND_REPORTS = ((8, 0.0), (8, 1.0), (32, 0.0), (32, 1.0))
RATES_PER_S = {8: 3.4, 32: 2.0}  # 0.8 of the capacity, as the sweep over devices prints it
FAILURE_SHARE, FAILURE_S = 0.1, 5.0  # of each edge server


def scenarios_of_cells(positions: str | None = None, sites: str | None = None) -> list[Scenario]:
    """What there is a table of each: two sizes with fresh and with old reports, servers that fail, and who moves.

    Args:
        positions: file of recorded positions, along which devices move in one table more.
        sites: file of the sites in that table.

    Raises:
        ValueError: a file cannot be read, or holds something else.
    """
    cell, mobile = make_scenario(PRESET), make_scenario(MOBILE)
    each = cell.num_jobs // cell.num_devices
    scenarios = [
        replace(cell, num_devices=m, num_jobs=each * m, arrivals_per_s=RATES_PER_S[m], report_s=report_s)
        for m, report_s in DEVICES_AND_REPORTS
    ]
    scenarios += [
        replace(cell, failure_share=FAILURE_SHARE, failure_s=FAILURE_S, report_s=report_s) for report_s in (0.0, 1.0)
    ]
    scenarios.append(mobile)
    if positions is not None or sites is not None:
        kind = mobile.mobility if positions is None else "recorded"
        scenarios.append(replace(mobile, mobility=kind, positions_path=positions, sites_path=sites))
    return scenarios


def compare_cell_streams(
    scenarios: Sequence[Scenario],
    num_streams: int,
    seed: int,
    json_path: str | None = None,
    agents: Path | None = None,
) -> list[dict[str, Any]]:
    """Compare policies on fresh streams of several devices; prints the tables and returns their rows.

    Args:
        scenarios: what ``scenarios_of_cells`` returns; two sweeps come after them.
        num_streams: of 8 devices; of more, fewer.
        seed: of the streams.
        json_path: where to write the rows.
        agents: folder of trained policies that take part, too.

    Raises:
        ValueError: an argument is out of its bounds.
    """
    check_count("num_streams", num_streams)
    check_seed(seed)
    check_outputs(json_path, None)
    cell = make_scenario(PRESET)
    asked = Asked(folders=[] if agents is None else [agents], seed=seed, num_streams=num_streams, num_hindsight=0)
    rows = []
    for scenario in scenarios:
        fewer = max(num_streams * cell.num_devices // scenario.num_devices, 1)
        names = RULES + NETWORKS + (() if scenario.num_edges == 1 else AMONG_EDGES)
        rows += compare_streams([scenario], asked._replace(policies=names, num_streams=fewer))
    for sweep in ("devices", "report"):
        rows += compare_streams([cell], asked._replace(policies=RULES + NETWORKS), sweep)
    if json_path is not None:
        write_json(json_path, rows)
        print(f"rows: {json_path}")
    return rows
