"""What agents of reinforcement learning learn streams on: rewards and observations that make it stable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnvWrapper, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from agents.stream_central import OF_DEVICE, cell_columns
from agents.stream_learning import StreamSettings, Validation
from offload_gym.envs.stream import VectorStreamEnv
from offload_gym.interop.sb3 import SB3VecEnv
from offload_gym.layers import Layers
from offload_gym.streams.observing import OF_LOCATION, STREAM_COLUMNS, size_of

STATISTICS_JOBS = 200  # jobs of each device of each environment from which mean and deviation of observations are taken
DEADLINE, PLACED = ([name for name, *_ in STREAM_COLUMNS].index(name) for name in ("deadline", "placed"))
LEAST_VARIANCE = 1e-2  # of an observation, added to its own: what hardly ever changes must not count much


class StreamReward(VecEnvWrapper):
    """Rewards in units, less those that greedy earns on the same streams, and booked when decisions are made.

    Args:
        envs: environments whose episodes have as many steps whatever is decided.
        twins: the same once more, where greedy decides, whose rewards are subtracted; None: none are.
        unit: what rewards are divided by.
        foreseen: whether a decision earns minus what it adds to the cost that is foreseen of its job, see
            ``foreseen_costs``, instead of minus what all jobs cost until the next decision.
    """

    venv: SB3VecEnv

    def __init__(self, envs: SB3VecEnv, twins: SB3VecEnv | None, unit: float, foreseen: bool) -> None:
        super().__init__(envs)
        plays = envs.env
        assert isinstance(plays, VectorStreamEnv)
        self.twins, self._unit, self._foreseen = twins, unit, foreseen
        self._locations, self._objective = plays.scenario.num_locations, plays.objective

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Let both play the same streams from the next reset on."""
        seeds = self.venv.seed(seed)
        if self.twins is not None:
            self.twins.seed(seeds[0])
        return seeds

    def reset(self) -> VecEnvObs:
        """Begin new episodes."""
        if self.twins is not None:
            self.greedy_sees = self.twins.reset()
        self._sees = self.venv.reset()
        return self._sees

    def step_async(self, actions: NDArray) -> None:
        """Keep the actions until ``step_wait``."""
        self._actions = actions
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """One step of both."""
        after, earned, dones, infos = self.venv.step_wait()
        rewards = self._rewards(self._sees, self._actions, earned)
        self._sees = after
        if self.twins is not None:
            actions = greedy_actions(self.greedy_sees, self._locations)
            after_greedy, earned, *_ = self.twins.step(actions)
            rewards = rewards - self._rewards(self.greedy_sees, actions, earned)
            self.greedy_sees = after_greedy
        return after, (rewards / self._unit).astype(np.float32), dones, infos

    def _rewards(self, observations: Any, actions: NDArray, earned: NDArray[np.floating]) -> NDArray[np.floating]:
        if not self._foreseen:
            return earned
        return -foreseen_costs(observations, actions, self._locations, self._objective)


class WithCell(VecEnvWrapper):
    """Observations followed by ``cell_columns``, and where greedy's pay is subtracted by what there is of greedy.

    The value of a state is then that of the agent's queues less that of greedy's, so the critic reads both.
    """

    venv: StreamReward

    def __init__(self, venv: StreamReward) -> None:
        super().__init__(venv)
        scenario = venv.venv.env.scenario
        size = size_of(scenario.num_locations) + OF_DEVICE * scenario.num_devices + scenario.num_locations - 1
        parts = 1 if venv.twins is None else 2
        self.observation_space = Box(0.0, np.inf, (parts * size,), np.float32)

    def reset(self) -> VecEnvObs:
        """Begin new episodes."""
        return self._widened(self.venv.reset())

    def step_wait(self) -> VecEnvStepReturn:
        """One step of the environments."""
        observations, rewards, dones, infos = self.venv.step_wait()
        for b in np.flatnonzero(dones):
            del infos[b]["terminal_observation"]  # no use: episodes are never cut off
        return self._widened(observations), rewards, dones, infos

    def _widened(self, observations: Any) -> NDArray[np.float32]:
        parts = [observations, cell_columns(self.venv.venv.env)]
        if self.venv.twins is not None:
            parts += [self.venv.greedy_sees, cell_columns(self.venv.twins.env)]
        return np.hstack(parts)


def foreseen_costs(
    observations: Any, actions: NDArray[np.integer], num_locations: int, objective: str
) -> NDArray[np.float64]:
    """What decisions add to what their jobs are foreseen to cost; what they add for jobs to come shows there.

    As radios and cores serve first what came first, jobs that come later hardly change a job's response, and nothing
    but the rates is unknown of it.

    Args:
        observations: (N, size), in which decisions are made.
        actions: (N,) locations; K drops the job.
        num_locations: K.
        objective: "response", in seconds, or "late", in jobs.

    Returns:
        (N,) seconds or jobs.
    """
    first = num_locations * OF_LOCATION
    roots = np.full((len(observations), num_locations + 1), np.inf)
    roots[:, :num_locations] = observations[:, :first:OF_LOCATION]
    placed = observations[:, first + PLACED].astype(np.float64)
    after = np.maximum(np.take_along_axis(roots, actions.reshape(-1, 1).astype(np.int64), axis=1)[:, 0], placed)
    if objective == "late":
        deadline = observations[:, first + DEADLINE]
        return (after > deadline).astype(np.float64) - (placed > deadline)
    return after**2 - placed**2


def greedy_actions(observations: Any, num_locations: int) -> NDArray[np.int64]:
    """(N,) where each task would be complete first, by observations (N, size)."""
    actions: NDArray[np.int64] = observations[:, : num_locations * OF_LOCATION : OF_LOCATION].argmin(axis=1)
    return actions


def standardisation(env: VecNormalize) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation by which observations are standardised."""
    seen = env.obs_rms
    assert isinstance(seen, RunningMeanStd)
    return seen.mean, np.sqrt(seen.var + env.epsilon)


def folded(layers: Layers, mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> Layers:
    """Layers that make of an observation what ``layers`` make of the standardised one."""
    (weight, bias), *further = layers
    over = weight / deviation  # in double precision
    return ((over.astype(np.float32), (bias - over @ mean).astype(np.float32)), *further)


def unfolded(layers: Layers, mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> Layers:
    """Layers that make of a standardised observation what ``layers`` make of the observation itself."""
    return folded(layers, -mean / deviation, 1.0 / deviation)


def training_environments(
    settings: StreamSettings, validation: Validation, chosen: Mapping[str, float]
) -> VecNormalize:
    """What an agent learns on.

    Args:
        settings: scenario, objective and seed.
        validation: its streams say what greedy pays for a job, the unit of the rewards.
        chosen: of the agent's hyperparameters "num_envs", "num_jobs", "standardised", "against_greedy", "foreseen",
            "central".

    Raises:
        ValueError: jobs of several tasks may be dropped, greedy pays nothing, or rewards cannot be foreseen costs.
    """
    scenario = replace(settings.scenario, num_jobs=int(chosen["num_jobs"]) * settings.scenario.num_devices)
    if chosen["foreseen"] and settings.objective == "cost":
        raise ValueError("objective is 'cost'; where rewards are foreseen costs it must be response or late")
    if scenario.can_drop and scenario.most_tasks > 1:
        raise ValueError(
            f"the scenario lets jobs of {scenario.most_tasks} tasks be dropped, which needs masks that PPO and DQN do "
            "not have; its can_drop must be False, or its jobs of one task"
        )
    if validation.greedy == 0.0:
        raise ValueError("greedy has no late job in the validation streams; there is nothing to learn")

    def environments() -> SB3VecEnv:
        return SB3VecEnv(VectorStreamEnv(int(chosen["num_envs"]), scenario, settings.objective, "SameStep", 1))

    plain = not chosen["against_greedy"]
    unit = 1.0 if plain else validation.greedy / len(validation.streams) / validation.streams.num_jobs
    rewarded = StreamReward(environments(), None if plain else environments(), unit, bool(chosen["foreseen"]))
    envs = WithCell(rewarded) if chosen.get("central") else rewarded
    env = VecNormalize(envs, norm_reward=False, clip_obs=np.inf, epsilon=LEAST_VARIANCE)
    if chosen["standardised"]:
        env.seed(settings.seed % 2**32)
        env.reset()
        for _ in range(STATISTICS_JOBS * scenario.num_devices * scenario.most_tasks):
            env.step(greedy_actions(env.get_original_obs(), scenario.num_locations))
    else:
        env.epsilon = 0.0  # means are 0 and variances 1 before the first observation
    env.training = False
    return env
