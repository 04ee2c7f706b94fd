"""``python -m benchmarks cells``, streams: devices that share radio and servers while jobs keep coming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.analysis import write_json
from benchmarks.streams.comparing import Asked, check_outputs, compare_streams
from offload_gym.array_checks import check_count
from offload_gym.scenario import make_scenario
from offload_gym.seeds import check_seed

PRESET = "stream_cell"
POLICIES = (
    "local",
    "greedy",
    "shortest-queue",
    "two-choices",
    "price",
    "queue-price",
    "max-weight",
    "small-student",
    "student",
    "teacher",
)
DEVICES_AND_REPORTS = ((8, 0.0), (8, 1.0), (32, 0.0), (32, 1.0))
RATES_PER_S = {8: 3.4, 32: 2.0}  # 0.8 of the capacity, as the sweep over devices prints it


def compare_cell_streams(
    num_streams: int, seed: int, json_path: str | None = None, agents: Path | None = None
) -> list[dict[str, Any]]:
    """Compare policies on fresh streams of several devices: two sizes with fresh and with old reports, and two sweeps.

    Prints the tables and returns their rows.

    Args:
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
    asked = Asked(policies=POLICIES, folder=agents, seed=seed, num_streams=num_streams, num_hindsight=0)
    cell = make_scenario(PRESET)
    each = cell.num_jobs // cell.num_devices
    rows = []
    for m, report_s in DEVICES_AND_REPORTS:
        scenario = make_scenario(
            PRESET, num_devices=m, num_jobs=each * m, arrivals_per_s=RATES_PER_S[m], report_s=report_s
        )
        fewer = asked._replace(num_streams=max(num_streams * cell.num_devices // m, 1))
        rows += compare_streams([scenario], fewer)
    for sweep in ("devices", "report"):
        rows += compare_streams([cell], asked, sweep)
    if json_path is not None:
        write_json(json_path, rows)
        print(f"rows: {json_path}")
    return rows
