"""Optimal labels and soft labels a second, on two threads against one."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.speed.rows import Row, Target
from benchmarks.speed.threads import SPEED_UP, two_threads_row
from benchmarks.speed.timing import Effort
from offload_gym.demonstrations import label
from offload_gym.instances import Instances
from offload_gym.sampling import sample_instances
from offload_gym.seeds import seed_for
from offload_gym.solvers.exact import solve

NUM_TASKS = 8
BATCH = 4000  # of which soft labels get a part, as they solve about n (K - 1) subproblems an instance
SOFT_SHARE = 4


def measure_labels(effort: Effort, seed: int) -> list[Row]:
    """The rows of the group "labels". The reference is the same call on one thread: one instance after another."""
    instances = sample_instances({"name": "default", "num_tasks": NUM_TASKS}, BATCH, seed_for("test", seed, 4))
    return [
        _row(
            "optimal labels (solve)",
            solve,
            instances,
            (Target("rate_per_s", 20_000), Target("ratio", SPEED_UP)),
            effort,
        ),
        _row("soft labels (label)", label, instances[: BATCH // SOFT_SHARE], (Target("ratio", SPEED_UP),), effort),
    ]


def _row(name: str, function: Callable, instances: Instances, targets: tuple[Target, ...], effort: Effort) -> Row:
    return two_threads_row(
        f"{name}, makespan, n = {NUM_TASKS}, 2 threads",
        "instances",
        len(instances),
        lambda: function(instances, num_threads=2),
        lambda: function(instances, num_threads=1),
        targets,
        effort,
    )
