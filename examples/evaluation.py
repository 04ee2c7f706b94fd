"""How good an agent is on epochs that no training has seen: what every example prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

import offload_gym

NUM_EPOCHS = 1000
SEED = 20_261_122  # the first of as many; training seeds are small numbers


def fresh_epochs(env_id: str, **kwargs: Any) -> gym.vector.VectorEnv:
    """1,000 native environments, each with one epoch to be decided, that ``latency_s`` plays."""
    given = {"num_epochs": 1, "autoreset_mode": "SameStep"} | kwargs
    return gym.make_vec(env_id, NUM_EPOCHS, vectorization_mode="vector_entry_point", **given)


def latency_s(envs: gym.vector.VectorEnv, act: Callable[[NDArray[np.float32]], Any]) -> NDArray[np.float64]:
    """(1000,) the latency that ``act``, (N, size) observations to (N, ...) actions, reaches in each epoch."""
    observations, _ = envs.reset(seed=SEED)
    total_s, over = np.zeros(NUM_EPOCHS), np.zeros(NUM_EPOCHS, dtype=np.bool_)
    while not over.all():
        observations, rewards, terminated, _, _ = envs.step(np.asarray(act(observations)))
        total_s -= np.where(over, 0.0, rewards)
        over |= terminated
    return total_s


def report(envs: gym.vector.VectorEnv, untrained_s: NDArray[np.float64], trained_s: NDArray[np.float64]) -> None:
    """Print the mean latency, and the mean gap to the optimum, before and after training and of other policies."""
    envs.reset(seed=SEED)
    instances = envs.unwrapped.instances
    reached_s = {
        name: offload_gym.latency(instances, offload_gym.make_policy(name).decide(instances))
        for name in ("random", "greedy")
    }
    optimum_s = offload_gym.solve(instances).latency_s
    rows = {"random": reached_s["random"], "untrained": untrained_s, "trained": trained_s}
    rows |= {"greedy": reached_s["greedy"], "optimum": optimum_s}
    print(f"{NUM_EPOCHS:,} fresh epochs   mean latency s   mean gap %")
    for name, seconds in rows.items():
        print(f"{name:18} {seconds.mean():16.4f} {100 * (seconds / optimum_s - 1).mean():12.2f}")
