"""``python -m benchmarks device``: exported policies on the boards, compared with Python."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.device.emulation import Image, Run, build, run
from benchmarks.device.moments import FORMS, Form, defines, pack
from benchmarks.device.streams import ARRIVE, TYPES
from benchmarks.device.streams import pack as pack_stream
from benchmarks.device.targets import TARGETS, Target, missing
from offload_gym.array_checks import check_count
from offload_gym.delay import latency, optimality_gap
from offload_gym.instances import Instances
from offload_gym.networks.c_header import export_c
from offload_gym.networks.policy import NetworkPolicy
from offload_gym.networks.stream_header import export_stream_c
from offload_gym.policies import make_policy
from offload_gym.sampling import sample_instances
from offload_gym.seeds import seed_for
from offload_gym.solvers.exact import solve
from offload_gym.streams.policies import PlanPolicy, make_stream_policy
from offload_gym.streams.responses import response_times
from offload_gym.streams.sampling import sample_streams
from offload_gym.streams.streams import Streams

POLICIES = ("small-student", "student")
MAX_TASKS = 8
MAX_CORES = 8  # of a location, in headers of streams
NUM_STREAMS, NUM_JOBS = 30, 100
NOTE = (
    "Differ: share of instances that the board decides otherwise than Python. Gap: mean latency over the optimum minus "
    "1, and what the board changes of it, in percentage points; of streams, what it changes of the mean response. "
    "Instructions of one decision, counted by QEMU; they "
    "are not cycles. Flash: code, with the routines of the libraries that it calls, and constants, the weights. RAM: "
    "static and stack, without the instance and the decision, which the caller has."
)


def measure_device(
    num_instances: int, seed: int, targets: Sequence[str] = (), optimize: str = "Os"
) -> list[dict[str, Any]]:
    """Run the shipped students on each board in each form; returns the rows of the table, which it prints.

    A target that is asked for must be there; without any all are measured that are, and what the others need is said.
    """
    check_count("num_instances", num_instances)
    for sentence in (missing(TARGETS[name]) for name in targets or TARGETS):
        if sentence and targets:
            raise FileNotFoundError(sentence)
        if sentence:
            print(f"left out: {sentence}", file=sys.stderr)
    chosen = [target for name, target in TARGETS.items() if name in (targets or TARGETS) and not missing(target)]
    instances = sample_instances("default", num_instances, seed_for("test", seed))
    optimum_s = solve(instances).latency_s
    rows = [
        measure_form(policy, form, target, instances, optimum_s, optimize)
        for policy in POLICIES
        for form in FORMS
        for target in chosen
    ]
    streams = streams_of_whole_bits(NUM_STREAMS, seed)
    rows += [
        measure_stream_form(policy, form, target, streams, optimize)
        for policy in POLICIES
        for form in FORMS
        for target in chosen
    ]
    for row in rows:
        row.pop("decisions", None)
    _show(rows, f"one decision of {MAX_TASKS} tasks, or of a job of a stream, -{optimize}")
    return rows


def streams_of_whole_bits(num_streams: int, seed: int) -> Streams:
    """Test streams whose sizes are whole numbers, as they are on a device."""
    streams = sample_streams({"name": "stream", "num_jobs": NUM_JOBS}, num_streams, seed_for("test", seed))
    return Streams.from_batch(streams.batch._replace(tasks=np.rint(streams.batch.tasks)))


def measure_form(
    name: str,
    form: Form,
    target: Target,
    instances: Instances,
    optimum_s: NDArray[np.float64],
    optimize: str = "Os",
) -> dict[str, Any]:
    """One shipped policy in one form on one board."""
    policy = make_policy(name)
    assert isinstance(policy, NetworkPolicy)
    with tempfile.TemporaryDirectory() as folder:
        header = Path(folder) / "policy.h"
        export_c(policy, header, MAX_TASKS, numbers=form.numbers, weights=form.weights)
        packed = pack(instances, form, MAX_TASKS)
        image = build(header, "moment", target, (f"-{optimize}", *defines(form, packed)))
        done = run(image, packed, MAX_TASKS)
    expected, decisions = policy.decide(instances), done.results[:, : instances.num_tasks]
    gaps = [optimality_gap(latency(instances, chosen), optimum_s).mean() for chosen in (expected, decisions)]
    differs = ((decisions != expected) & instances.present).any(axis=1)
    row: dict[str, Any] = {
        "policy": name,
        "form": form.name,
        "target": target.name,
        "optimize": optimize,
        "num_instances": len(instances),
        "differ_share": float(differs.mean()),
        "gap_mean": float(gaps[1]),
        "gap_change": float(gaps[1] - gaps[0]),
    }
    return row | _costs(done, image, np.ones(len(instances), dtype=bool))


def measure_stream_form(
    name: str, form: Form, target: Target, streams: Streams, optimize: str = "Os"
) -> dict[str, Any]:
    """One shipped policy of streams in one form on one board, as a device that keeps its own books.

    Where the board decides otherwise than Python, its books are put right: each decision is one in the state that the
    simulated device has.
    """
    policy = make_stream_policy(name, "stream")
    assert isinstance(policy, PlanPolicy)
    size, _, time, _ = TYPES[form.numbers]
    with tempfile.TemporaryDirectory() as folder:
        header = Path(folder) / "policy.h"
        export_stream_c(policy, header, MAX_CORES, numbers=form.numbers, weights=form.weights)
        packed, expected = pack_stream(streams, policy.plan, form.numbers, MAX_CORES)
        flags = (f"-{optimize}", f"-DSIZE={size}", f"-DTIME={time}", f"-DRECORD_BYTES={packed.itemsize}")
        image = build(header, "stream", target, flags)
        done = run(image, packed, 1)
    arrives = packed["kind"] == ARRIVE
    decisions = done.results[arrives, 0]
    chosen = [made.reshape(len(streams), -1, 1) for made in (expected, decisions)]
    expected_s, response_s = (response_times(streams, made).mean() for made in chosen)
    row: dict[str, Any] = {
        "policy": f"stream {name}",
        "form": form.name,
        "target": target.name,
        "optimize": optimize,
        "num_instances": len(expected),
        "differ_share": float((decisions != expected).mean()),
        "response_change": float(response_s / expected_s - 1.0),
        "decisions": decisions.tolist(),
    }
    return row | _costs(done, image, arrives)


def _costs(done: Run, image: Image, counted: NDArray[np.bool_]) -> dict[str, Any]:
    """Instructions of the calls that count, and memory; nothing on the host."""
    if done.instructions is None or done.stack is None or image.sizes is None:
        return {}
    return {
        "instructions_p50": int(np.median(done.instructions[counted])),
        "instructions_max": int(done.instructions[counted].max()),
        "code_bytes": image.sizes.code,
        "constant_bytes": image.sizes.constants,
        "flash_bytes": image.sizes.code + image.sizes.constants,
        "static_bytes": image.sizes.static_ram,
        "stack_bytes": done.stack,
        "ram_bytes": image.sizes.static_ram + done.stack,
    }


def _show(rows: list[dict[str, Any]], title: str) -> None:
    table = Table(title=title, caption=NOTE, box=box.SIMPLE_HEAD)
    counts = {
        "instructions_p50": "instructions p50",
        "instructions_max": "most",
        "code_bytes": "code B",
        "constant_bytes": "constants B",
        "flash_bytes": "flash B",
        "ram_bytes": "RAM B",
    }
    names = ("policy", "form", "target")
    for header in (*names, "differ %", "gap %", "change", *counts.values()):
        table.add_column(header, justify="left" if header in names else "right", no_wrap=True)
    for row in rows:
        if "response_change" in row:
            gaps = ("", f"{100 * row['response_change']:+.2f} %")
        else:
            gaps = (f"{100 * row['gap_mean']:.3f}", f"{100 * row['gap_change']:+.3f}")
        shares = (f"{100 * row['differ_share']:.2f}", *gaps)
        numbers = (f"{row[key]:,}" if key in row else "" for key in counts)
        table.add_row(*(row[key] for key in names), *shares, *numbers)
    Console(width=max(Console().width, 170)).print(table)
