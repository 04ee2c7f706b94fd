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


def measure_startup(effort: Effort, seed: int) -> list[Row]:
    """The rows of the group "startup". The numba cache is a folder of its own, empty for the first process."""
    rounds = min(effort.num_rounds, ROUNDS)
    with tempfile.TemporaryDirectory() as cache:
        cold_reference_s = process_seconds(REFERENCE, cache)
        cold_s = process_seconds(FIRST_STEP, cache)
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
        _first_step("warm numba cache", seconds[FIRST_STEP], seconds[REFERENCE], 3.0),
        _first_step("cold numba cache", [cold_s], [cold_reference_s], 20.0),
    ]


def _first_step(cache: str, seconds: list[float], reference_seconds: list[float], bound_s: float) -> Row:
    figures = {"time_s": sorted(seconds)[len(seconds) // 2]}
    ours = Side(f"from the import to the first step of Joint-v0, {cache}", 1, seconds)
    return compared(ours, Side(REFERENCE, 1, reference_seconds), "starts", [Target("time_s", bound_s)], figures)


def process_seconds(program: str, cache: str) -> float:
    """Seconds that the statements take in a fresh process, from before its imports."""
    timed = f"import time; start = time.perf_counter(); {program}; print(time.perf_counter() - start)"
    folder = str(Path(offload_gym.__file__).parents[1])
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": folder}
    result = subprocess.run([sys.executable, "-c", timed], env=environment, capture_output=True, text=True, check=True)
    return float(result.stdout)
