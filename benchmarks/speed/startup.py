"""How long a person waits: from the import to the first step, in fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import offload_gym
from benchmarks.speed.rows import Row, Side, Target, compared
from benchmarks.speed.timing import Effort

ROUNDS = 5
REFERENCE = "import gymnasium, numba"
IMPORT = "import offload_gym"
FIRST_STEP = (
    "import gymnasium, offload_gym; env = gymnasium.make('offload_gym/Joint-v0'); "
    "env.reset(seed=0); env.step(env.action_space.sample())"
)
FIRST_DECISION = "import offload_gym as o; o.make_policy('student').decide(o.sample_instances('default', 1))"
COMMAND = (
    "import contextlib, os, offload_gym.command_line as c\n"
    "with contextlib.redirect_stdout(open(os.devnull, 'w')): c.main({})"
)
# What is compiled from nothing, each with a folder of its own, and the seconds that it may take.
COLD = {
    "from the import to the first step of Joint-v0": (FIRST_STEP, 10.0),
    "from the import to the first decision of the student": (FIRST_DECISION, 10.0),
    "offload-gym solve default": (COMMAND.format(["solve", "default"]), 10.0),
    "offload-gym warm-up": (COMMAND.format(["warm-up"]), 60.0),
}


def measure_startup(effort: Effort, seed: int) -> list[Row]:
    """The rows of the group "startup". The folder of compiled kernels is one of their own."""
    rounds = min(effort.num_rounds, ROUNDS)
    cold = []
    for what, (program, bound_s) in COLD.items():
        with tempfile.TemporaryDirectory() as cache:
            reference_s = process_seconds(REFERENCE, cache)
            cold.append(_start(f"{what}, nothing compiled", [process_seconds(program, cache)], [reference_s], bound_s))
    with tempfile.TemporaryDirectory() as cache:
        process_seconds(FIRST_STEP, cache)
        seconds: dict[str, list[float]] = {program: [] for program in (REFERENCE, IMPORT, FIRST_STEP)}
        for _ in range(rounds):
            for program, times in seconds.items():
                times.append(process_seconds(program, cache))
    extra_s = sorted(ours - theirs for ours, theirs in zip(seconds[IMPORT], seconds[REFERENCE], strict=True))
    return [
        compared(
            Side("import offload_gym", 1, seconds[IMPORT]),
            Side(REFERENCE, 1, seconds[REFERENCE]),
            "imports",
            [Target("extra_s", 0.1)],
            {"extra_s": extra_s[len(extra_s) // 2]},
        ),
        _start(
            "from the import to the first step of Joint-v0, all compiled",
            seconds[FIRST_STEP],
            seconds[REFERENCE],
            3.0,
        ),
        *cold,
    ]


def _start(what: str, seconds: list[float], reference_seconds: list[float], bound_s: float) -> Row:
    figures = {"time_s": sorted(seconds)[len(seconds) // 2]}
    return compared(
        Side(what, 1, seconds), Side(REFERENCE, 1, reference_seconds), "starts", [Target("time_s", bound_s)], figures
    )


def process_seconds(program: str, cache: str) -> float:
    """Seconds that the statements take in a fresh process, from before its imports."""
    timed = f"import time; start = time.perf_counter()\n{program}\nprint(time.perf_counter() - start)"
    folder = str(Path(offload_gym.__file__).parents[1])
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": folder}
    result = subprocess.run([sys.executable, "-c", timed], env=environment, capture_output=True, text=True, check=True)
    return float(result.stdout)
