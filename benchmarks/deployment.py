"""``python -m benchmarks deployment``: one network in every form in which it can run."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from agents.networks import from_runtime, linear_layers
from agents.reinforcement import make_agent
from benchmarks.measurement import time_calls
from offload_gym.envs.vector import VectorSequentialEnv
from offload_gym.instances import Instances
from offload_gym.networks.c_header import export_c
from offload_gym.networks.c_trial import records
from offload_gym.networks.onnx_model import export_onnx
from offload_gym.networks.policy import NetworkPolicy
from offload_gym.networks.policy_file import load_network
from offload_gym.observation import row_size
from offload_gym.sampling import sample_instances
from offload_gym.scenario import make_scenario
from offload_gym.seeds import seed_for

POLICIES = ("sequential-small-student", "sequential-student", "sequential-teacher")
CALLS = 200
PASSES = 20
IN_CACHE = 200  # instances that fit into it
BATCH = 65_536
MAX_TASKS = 16
NETWORK_ALONE = "the network alone, without features and schedule"
# Prints the nanoseconds of one call for each instance. Each call decides another instance than the one before: deciding
# one many times would teach the processor its branches, and be twice as fast as a device ever is.
HARNESS = """
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <time.h>
#include "policy.h"
typedef struct {
    offload_gym_task tasks[NUM_TASKS];
    offload_gym_location locations[OFFLOAD_GYM_NUM_LOCATIONS];
    double radio_backlog_s;
} instance;
int main(int argc, char **argv)
{
    static instance instances[NUM_INSTANCES];
    static double nanoseconds[NUM_INSTANCES];
    int decision[NUM_TASKS], pass, b;
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
    if (!file || fread(instances, sizeof *instances, NUM_INSTANCES, file) != NUM_INSTANCES)
        return 1;
    for (pass = 0; pass < 2; pass++) /* the first one warms up */
        for (b = 0; b < NUM_INSTANCES; b++) {
            struct timespec start, end;
            const instance *one = &instances[b];
            clock_gettime(CLOCK_MONOTONIC, &start);
            if (offload_gym_decide(NUM_TASKS, one->tasks, one->locations, one->radio_backlog_s, decision))
                return 1;
            clock_gettime(CLOCK_MONOTONIC, &end);
            nanoseconds[b] = (end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec);
        }
    for (b = 0; b < NUM_INSTANCES; b++)
        printf("%f\\n", nanoseconds[b]);
    return 0;
}
"""


def _fastest(run: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
    """The times of ``run`` in its pass of the lowest median: a shared machine is slow for seconds at a time."""
    return min((run() for _ in range(PASSES)), key=lambda times: float(np.median(times)))


def _microseconds(call: Callable[[], object]) -> NDArray[np.float64]:
    """(CALLS,) microseconds of a call, in the fastest pass."""

    def run() -> NDArray[np.float64]:
        times = np.empty(CALLS)
        for i in range(CALLS):
            start = time.perf_counter_ns()
            call()
            times[i] = (time.perf_counter_ns() - start) / 1e3
        return times

    return _fastest(run)


def _in_c(policy: NetworkPolicy, instances: Instances) -> tuple[NDArray[np.float64], str] | None:
    """Microseconds of a call in C for each instance, and what memory it takes; None without a compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = export_c(policy, folder / "policy.h", MAX_TASKS)
        (folder / "harness.c").write_text(HARNESS)
        sizes_of = [f"-DNUM_TASKS={instances.num_tasks}", f"-DNUM_INSTANCES={len(instances)}"]
        options = ["-std=c99", "-O3", "-ffp-contract=off", "-march=native", *sizes_of]
        subprocess.run([compiler, *options, "harness.c", "-o", "harness"], cwd=folder, check=True)
        given = zip(*records(instances, "double"), strict=True)
        (folder / "instances").write_bytes(b"".join(part.tobytes() for instance in given for part in instance))

        def run() -> NDArray[np.float64]:
            done = subprocess.run(["./harness", "instances"], cwd=folder, check=True, capture_output=True, text=True)
            return np.array(done.stdout.split(), dtype=np.float64) / 1e3

        times_us = _fastest(run)
    return times_us, f"{sizes['flash']:,} bytes of weights, {sizes['ram']:,} of stack for {MAX_TASKS} tasks"


class _Table:
    """Rows of times."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, policy: str, form: str, times_us: NDArray[np.float64], note: str = "") -> None:
        p50, p99 = np.quantile(times_us, [0.5, 0.99])
        self.rows.append({"policy": policy, "form": form, "us_p50": float(p50), "us_p99": float(p99), "note": note})

    def show(self, title: str) -> None:
        table = Table(title=title, box=box.SIMPLE_HEAD)
        for header in ("policy", "form", "p50 µs", "p99 µs", ""):
            table.add_column(header, justify="right" if "µs" in header else "left", no_wrap=True)
        for row in self.rows:
            table.add_row(row["policy"], row["form"], f"{row['us_p50']:.2f}", f"{row['us_p99']:.2f}", row["note"])
        Console(width=max(Console().width, 150)).print(table)


def measure_deployment(folder: Path, seed: int, num_instances: int) -> list[dict[str, Any]]:
    """Time one decision of n = 8 tasks in each form; returns the rows of the table, which it prints."""
    scenario = make_scenario()
    instances = sample_instances(scenario, num_instances, seed_for("test", seed))
    many = sample_instances(scenario, BATCH, seed_for("test", seed, 1))
    env = VectorSequentialEnv(1, scenario)
    seen = [env.reset(seed=seed)[0]]
    for _ in range(scenario.num_tasks - 1):
        seen.append(env.step(np.zeros(1, dtype=np.int64))[0])
    torch.set_num_threads(1)  # more would only wait for each other in layers as small as these
    table = _Table()
    for name in POLICIES:
        path = folder / f"{name}.safetensors"
        if path.exists():
            _measure(table, name, NetworkPolicy(load_network(path)), instances, many, seen)
        else:
            print(f"left out {name}: {path} does not exist (`make policies` trains it)")
    agent = make_agent("dqn-sequential", scenario, "makespan", seed)
    times_us = _microseconds(lambda: [agent.predict(one, deterministic=True) for one in seen])
    table.add("dqn-sequential", f"stable-baselines3, {len(seen)} calls of predict", times_us, NETWORK_ALONE)
    table.show(f"one decision of {len(seen)} tasks")
    return table.rows


def _measure(
    table: _Table, name: str, policy: NetworkPolicy, instances: Instances, many: Instances, seen: list[NDArray]
) -> None:
    """Time one policy in each form; ``seen`` are the n observations of one epoch."""
    singles = [instances[b : b + 1] for b in range(len(instances))]

    def call_all() -> NDArray[np.float64]:
        times_us = []
        for start in range(0, len(singles), IN_CACHE):
            chosen = singles[start : start + IN_CACHE]
            time_calls(policy, chosen)  # whoever decides an instance has just made it
            times_us.append(time_calls(policy, chosen))
        return np.concatenate(times_us)

    def decide_many() -> NDArray[np.float64]:
        start = time.perf_counter()
        policy.decide(many)
        return np.array([time.perf_counter() - start])

    table.add(name, "compiled, from Python", _fastest(call_all))
    per_s = len(many) / _fastest(decide_many)[0]
    note = f"{per_s:,.0f} instances/s, {len(seen) * per_s:,.0f} tasks/s, all threads"
    table.add(name, f"compiled, batch of {len(many):,}", np.array([1e6 / per_s]), note)
    if (in_c := _in_c(policy, instances)) is not None:
        table.add(name, "C, -O3 -march=native", *in_c)
    module = from_runtime(policy.network).eval()
    encoder, head = module.encoder, module.head
    tasks, inputs = torch.rand(len(seen), row_size(3) - 1), torch.rand(1, linear_layers(head)[0][0].shape[1])
    with torch.no_grad():
        times_us = _microseconds(lambda: [encoder(tasks)] + [head(inputs) for _ in seen])
    table.add(name, f"torch eager, encoder once and head {len(seen)} times", times_us, NETWORK_ALONE)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.onnx"
        export_onnx(policy, path, len(seen))
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    times_us = _microseconds(lambda: [session.run(["scores"], {"observation": one}) for one in seen])
    table.add(name, f"onnxruntime, {len(seen)} runs", times_us, NETWORK_ALONE)
