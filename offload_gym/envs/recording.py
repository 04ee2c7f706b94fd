"""Episodes of the environments under a policy that decides whole epochs, recorded many at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.envs.vector import VectorEpochEnv
from offload_gym.instances import Instances

STEP_INFOS = ("latency_s", "makespan_s", "energy_j")

# (what is seen, the truth) of B epochs -> decisions (B, n), and annotations (B, n, ...) of their tasks by name
Act = Callable[[Instances, Instances], tuple[NDArray[np.int64], dict[str, NDArray]]]


class Episode(NamedTuple):
    """T steps. Rows of ``infos`` belong to the observations: the reset's and those of the steps."""

    seed: int
    observations: NDArray[np.float32]  # (T + 1, size)
    actions: NDArray[np.int64]  # (T,) or (T, n)
    rewards: NDArray[np.float64]  # (T,)
    terminations: NDArray[np.bool_]  # (T,)
    truncations: NDArray[np.bool_]  # (T,)
    infos: dict[str, NDArray]  # (T + 1, ...) each: ``STEP_INFOS``, NaN but where an epoch ended, and annotations


def record_episodes(envs: VectorEpochEnv, seeds: Sequence[int], act: Act) -> Iterator[Episode]:
    """The first episode of each environment after a reset with its seed.

    Args:
        envs: with the autoreset mode "NextStep" and episodes that end.
        seeds: one for each environment.
        act: decides epochs when they begin. Its annotations are those of the observation before a task is placed
            (Sequential), or of the epoch (Joint); after the last step integers are -1 and other numbers NaN.
    """
    size, n = len(seeds), envs.scenario.most_tasks
    number = np.arange(size)
    plan = np.zeros((size, n), dtype=np.int64)
    notes: dict[str, NDArray] = {}
    observations, _ = envs.reset(seed=seeds)
    steps: list[tuple[NDArray, ...]] = []  # (actions, rewards, terminations) of all environments
    seen = [observations]
    infos: dict[str, list[NDArray]] = {name: [np.full(size, np.nan)] for name in STEP_INFOS}
    noted: dict[str, list[NDArray]] = {}
    task, length = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    running = np.ones(size, dtype=np.bool_)  # an environment whose episode is over goes on, unrecorded
    while running.any():
        begins = np.flatnonzero(running & (task == 0))
        if len(begins):
            plan[begins], annotations = act(envs.instances[begins], envs.true_instances[begins])
            for name, values in annotations.items():
                notes.setdefault(name, np.zeros((size, *values.shape[1:]), dtype=values.dtype))[begins] = values
        actions = plan.copy() if envs.joint else plan[number, task]
        for name, values in notes.items():
            noted.setdefault(name, []).append(values.copy() if envs.joint else values[number, task])
        observations, rewards, terminations, _, info = envs.step(actions)
        seen.append(observations)
        steps.append((actions, rewards, terminations))
        ended = info.get("_latency_s", np.zeros(size, dtype=np.bool_))
        for name in STEP_INFOS:
            infos[name].append(np.where(ended, info[name], np.nan) if ended.any() else infos[name][0])
        task = np.where(ended | ~running | envs.joint, 0, task + 1)
        length += running
        running &= ~terminations
    infos |= {name: [*of_steps, of_steps[0]] for name, of_steps in noted.items()}
    by_name = {name: np.stack(values, axis=1) for name, values in infos.items()}
    by_episode = np.stack(seen, axis=1)
    by_step = [np.stack(values, axis=1) for values in zip(*steps, strict=True)]
    for b, last in enumerate(length.tolist()):
        of_episode = {name: values[b, : last + 1].copy() for name, values in by_name.items()}
        for name in noted:
            of_episode[name][last] = -1 if of_episode[name].dtype.kind == "i" else np.nan
        chosen, earned, over = (values[b, :last] for values in by_step)
        none = np.zeros(last, dtype=np.bool_)
        yield Episode(seeds[b], by_episode[b, : last + 1], chosen, earned, over, none, of_episode)
