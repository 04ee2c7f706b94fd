"""One step of a single environment against Gymnasium's CartPole."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

import offload_gym  # noqa: F401 (registers the environments)
from benchmarks.speed.rows import Row, Side, Target, compared
from benchmarks.speed.timing import Effort

REFERENCE = "CartPole-v1"
NAMES = ("Joint", "Sequential")


def measure_steps(effort: Effort, seed: int) -> list[Row]:
    """The rows of the group "step"."""
    return step_rows(NAMES, effort, seed)


def step_rows(names: Sequence[str], effort: Effort, seed: int) -> list[Row]:
    """One row for each environment. Resets are not timed; opening the next epoch, which is part of a step, is."""
    envs = {name: gym.make(f"offload_gym/{name}-v0") for name in names}
    envs[REFERENCE] = gym.make(REFERENCE)
    steps: dict[str, list[float]] = {name: [] for name in envs}
    num_steps = max(20, int(effort.round_s / 10e-6))
    for timing_round in range(-1, effort.num_rounds):  # the first one compiles
        for name, env in envs.items():
            seconds = step_seconds(env, num_steps, seed + timing_round + 1)
            if timing_round >= 0:
                steps[name].append(seconds)
    reference = Side(REFERENCE, 1, steps[REFERENCE])
    sides = [Side(f"{name}-v0, one step of a single environment", 1, steps[name]) for name in names]
    return [compared(side, reference, "steps", [Target("ratio", 0.5)]) for side in sides]


def step_seconds(env: gym.Env[Any, Any], num_steps: int, seed: int) -> float:
    """Mean seconds of a step with random actions."""
    env.reset(seed=seed)
    env.action_space.seed(seed)
    # Drawn before: Gymnasium takes longer for an action than for a step.
    actions = [env.action_space.sample() for _ in range(num_steps)]
    nanoseconds = np.empty(num_steps)
    for step, action in enumerate(actions):
        start = time.perf_counter_ns()
        _, _, terminated, truncated, _ = env.step(action)
        nanoseconds[step] = time.perf_counter_ns() - start
        if terminated or truncated:
            env.reset()
    return float(nanoseconds.mean()) / 1e9
