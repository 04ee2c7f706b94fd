"""How good an agent is on epochs, or streams, that no training has seen: what every example prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

import offload_gym
from offload_gym.envs.stream import VectorStreamEnv
from offload_gym.streams.observing import OF_LOCATION

NUM_EPOCHS = 1000
SEED = 20_261_122  # the first of as many; training seeds are small numbers


def episode(env_id: str) -> dict[str, Any]:
    """Arguments with which an episode is one epoch; in Stream it is one stream as it is."""
    return {} if "Stream" in env_id else {"num_epochs": 1}


def fresh_epochs(env_id: str, **kwargs: Any) -> gym.vector.VectorEnv:
    """1,000 native environments, each with one epoch or stream to be decided, that ``latency_s`` plays."""
    given = {**episode(env_id), "autoreset_mode": "SameStep"} | kwargs
    return gym.make_vec(env_id, NUM_EPOCHS, vectorization_mode="vector_entry_point", **given)


def latency_s(envs: gym.vector.VectorEnv, act: Callable[[NDArray[np.float32]], Any]) -> NDArray[np.float64]:
    """(1000,) the latency that ``act``, (N, size) observations to (N, ...) actions, reaches in each epoch.

    Of a stream it is the sum of the responses of its jobs, or the number of late ones: minus the return.
    """
    observations, _ = envs.reset(seed=SEED)
    total_s, over = np.zeros(NUM_EPOCHS), np.zeros(NUM_EPOCHS, dtype=np.bool_)
    while not over.all():
        observations, rewards, terminated, _, _ = envs.step(np.asarray(act(observations)))
        total_s -= np.where(over, 0.0, rewards)
        over |= terminated
    return total_s


def report(envs: gym.vector.VectorEnv, untrained_s: NDArray[np.float64], trained_s: NDArray[np.float64]) -> None:
    """Print the mean latency, and the mean gap to the optimum, before and after training and of other policies."""
    if isinstance(envs.unwrapped, VectorStreamEnv):
        report_streams(envs, untrained_s, trained_s)
        return
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


def report_streams(envs: gym.vector.VectorEnv, untrained: NDArray[np.float64], trained: NDArray[np.float64]) -> None:
    """Print what a job costs, and how much more or less that is than with greedy earliest completion."""
    num_jobs, num_locations = envs.unwrapped.scenario.num_jobs, envs.unwrapped.scenario.num_locations
    greedy = latency_s(envs, lambda seen: seen[:, : OF_LOCATION * num_locations : OF_LOCATION].argmin(axis=1))
    rng = np.random.default_rng(SEED)
    random = latency_s(envs, lambda seen: rng.integers(num_locations, size=len(seen)))
    print(f"{NUM_EPOCHS:,} fresh streams, {envs.unwrapped.objective}   mean of a job   over greedy %")
    for name, of_stream in {"random": random, "untrained": untrained, "trained": trained, "greedy": greedy}.items():
        print(f"{name:18} {of_stream.mean() / num_jobs:16.4f} {100 * (of_stream.sum() / greedy.sum() - 1):12.2f}")
