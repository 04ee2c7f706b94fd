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
from offload_gym.compilation import kernel
from offload_gym.envs.stream import VectorStreamEnv
from offload_gym.interop.sb3 import SB3VecEnv
from offload_gym.layers import Layers
from offload_gym.streams.engine import advance
from offload_gym.streams.observing import OF_LOCATION, size_of
from offload_gym.streams.planner import copy_system
from offload_gym.streams.streams import StreamBatch, Streams
from offload_gym.streams.system import System, new_system, system_of, world_of

STATISTICS_JOBS = 200  # jobs of each device of each environment from which mean and deviation of observations are taken
LEAST_VARIANCE = 1e-2  # of an observation, added to its own: what hardly ever changes must not count much


class StreamReward(VecEnvWrapper):
    """Rewards in units, less those that greedy earns on the same streams, and booked when decisions are made.

    Args:
        envs: environments whose episodes have as many steps whatever is decided.
        twins: the same once more, where greedy decides, whose rewards are subtracted; None: none are.
        unit: what rewards are divided by.
        at_once: whether a decision earns minus what it adds to what all jobs cost if none followed, see ``Drained``,
            instead of minus what they cost until the next decision.
    """

    venv: SB3VecEnv

    def __init__(self, envs: SB3VecEnv, twins: SB3VecEnv | None, unit: float, at_once: bool) -> None:
        super().__init__(envs)
        self.twins, self._unit = twins, unit
        self._locations = plays(envs).scenario.num_locations
        self._drained = Drained(plays(envs)) if at_once else None
        self._drained_twins = Drained(plays(twins)) if at_once and twins is not None else None

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Let both play the same streams from the next reset on."""
        seeds = self.venv.seed(seed)
        if self.twins is not None:
            self.twins.seed(seeds[0])
        return seeds

    def reset(self) -> VecEnvObs:
        """Begin new episodes."""
        for drained in (self._drained, self._drained_twins):
            if drained is not None:
                drained.begin()
        if self.twins is not None:
            self.greedy_sees = self.twins.reset()
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """One step of both."""
        after, rewards, dones, infos = self.venv.step_wait()
        if self._drained is not None:
            rewards = self._drained.rewards(rewards, dones)
        if self.twins is not None:
            self.greedy_sees, of_greedy, *_ = self.twins.step(greedy_actions(self.greedy_sees, self._locations))
            if self._drained_twins is not None:
                of_greedy = self._drained_twins.rewards(of_greedy, dones)
            rewards = rewards - of_greedy
        return after, (rewards / self._unit).astype(np.float32), dones, infos


def plays(envs: SB3VecEnv) -> VectorStreamEnv:
    """The environments of streams behind those of stable-baselines3."""
    assert isinstance(envs.env, VectorStreamEnv)
    return envs.env


class Drained:
    """Pays decisions at once: with minus what each adds to the costs of all jobs, were none to follow.

    What a decision costs shows late, and among the costs of many others. Here all jobs that were decided are followed
    to their end, at the rates to come, and a decision earns minus the change of what they cost together. So it pays for
    all jobs that it delays, also for those of other devices, and the rewards of an episode still add up to minus what
    all its jobs cost.

    Args:
        env: N environments.
    """

    def __init__(self, env: VectorStreamEnv) -> None:
        self._fleet = env._fleet
        self._room = tuple(new_system(Streams.from_batch(self._fleet.batch)))
        self._foreseen, self._paid, self._accrued = np.zeros((3, env.num_envs))

    def begin(self) -> None:
        """Episodes have begun: nothing was decided."""
        self._paid[:] = self._accrued[:] = 0.0

    def rewards(self, earned: NDArray[np.floating], dones: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(N,) what the last decisions earn, from what the environments paid for them and whether episodes ended."""
        fleet = self._fleet
        queues = tuple(fleet.batch), tuple(fleet.systems), self._room
        costs_if_drained(*queues, fleet.rules, fleet.progress["job"], self._foreseen)
        self._accrued -= earned
        costs = np.where(dones, self._accrued, self._foreseen)  # an episode that ended is drained, and gone
        rewards = self._paid - costs
        self._paid = np.where(dones, 0.0, costs)
        self._accrued[dones] = 0.0
        return rewards


@kernel
def costs_if_drained(arrays, queues, room, rules, num_decided, costs):
    """What the objective counts of each of N systems by the time at which all is done that was decided.

    Args:
        arrays: ``StreamBatch`` of the N streams as a plain tuple.
        queues: ``System`` with an axis of N in front, as a plain tuple.
        room: the same with an axis of 1, in which time passes.
        rules: (1,) of the dtype RULES.
        num_decided: (N,) jobs.
        costs: (N,) filled.
    """
    batch, systems, price = StreamBatch(*arrays), System(*queues), rules[0]
    trial = system_of(System(*room), 0)
    n, num_edges = batch.tasks.shape[2], batch.edge_bits.shape[2]
    for b in range(len(costs)):
        copy_system(system_of(systems, b), trial, n, n + num_edges, 0, num_decided[b])
        advance(world_of(batch, b), trial, np.inf, None)
        clock = trial.clock[0]
        costs[b] = price.price_js * clock.in_system_js + price.price_late * clock.num_late
        costs[b] += price.price_j * clock.energy_j


class WithCell(VecEnvWrapper):
    """Observations followed by ``cell_columns``, and where greedy's pay is subtracted by what there is of greedy.

    The value of a state is then that of the agent's queues less that of greedy's, so the critic reads both.
    """

    venv: StreamReward

    def __init__(self, venv: StreamReward) -> None:
        super().__init__(venv)
        scenario = plays(venv.venv).scenario
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
        parts = [observations, cell_columns(plays(self.venv.venv))]
        if self.venv.twins is not None:
            parts += [self.venv.greedy_sees, cell_columns(plays(self.venv.twins))]
        return np.hstack(parts)


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
        chosen: of the agent's hyperparameters "num_envs", "num_jobs", "standardised", "against_greedy", "at_once",
            "central".

    Raises:
        ValueError: jobs of several tasks may be dropped, or greedy pays nothing.
    """
    scenario = replace(settings.scenario, num_jobs=int(chosen["num_jobs"]))
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
    # Of late jobs the share is counted, which is of one job.
    num_jobs = {"late": 1}.get(settings.objective, int(validation.streams.num_jobs))
    unit = 1.0 if plain else validation.greedy / len(validation.streams) / num_jobs
    rewarded = StreamReward(environments(), None if plain else environments(), unit, bool(chosen["at_once"]))
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
