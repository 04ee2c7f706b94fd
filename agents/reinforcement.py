"""Reinforcement-learning baselines: stable-baselines3 agents on the environments.

All agents get the same budget, counted in tasks placed: a Sequential step places one task, a Joint step n of them.
They learn from the latency relative to the epoch's scale, as the optimality gap is relative. One epoch is one episode,
undiscounted, as an epoch's decision has no effect on the next epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import gymnasium as gym
import numpy as np
import torch
from sb3_contrib import QRDQN
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn
from torch import nn

from agents.imitation import mean_gap, soft_labels
from agents.networks import linear_layers, one_thread
from offload_gym.demonstrations import Demonstrations
from offload_gym.envs.vector import VectorEpochEnv, VectorJointEnv, VectorSequentialEnv
from offload_gym.interop.sb3 import SB3VecEnv
from offload_gym.networks.policy_file import Network
from offload_gym.observation import epoch_observations
from offload_gym.progress import progress_bar
from offload_gym.scenario import Scenario

CLONED = "ppo-cloned"  # behaviour cloning of the labels, improved by PPO; for independent tasks
RL_AGENTS = ("ppo-joint", "ppo-sequential", "dqn-sequential", "qrdqn-sequential", CLONED)
HIDDEN = [128, 128]
NUM_ENVS = {"ppo": 128, "dqn": 32, "qrdqn": 32}
# `python -m agents tune` chose those of ppo-sequential and dqn-sequential (docs/policies.md has its budget); QR-DQN has
# those of DQN, and the other two were tried by hand. Of PPO: placements between two updates, passes over them, and in
# how many batches. Of the others: transitions in a batch and in the buffer, gradient steps for 128 placements,
# placements between two updates of the target network, and the share of all placements over which exploration falls.
HYPERPARAMETERS: dict[str, dict[str, float]] = {
    "ppo-joint": {
        "learning_rate": 2e-3, "placements": 8192, "passes": 8, "batches": 8, "gae_lambda": 0.95, "entropy": 0.0,
    },
    "ppo-sequential": {
        "learning_rate": 2e-3, "placements": 2048, "passes": 12, "batches": 16, "gae_lambda": 0.86, "entropy": 1e-4,
    },
    "dqn-sequential": {
        "learning_rate": 1e-3, "batch_size": 256, "gradient_steps": 16, "buffer_size": 300_000, "target_update": 500,
        "explored": 0.54,
    },
    "qrdqn-sequential": {
        "learning_rate": 1e-3, "batch_size": 256, "gradient_steps": 16, "buffer_size": 300_000, "target_update": 500,
        "explored": 0.54, "quantiles": 25,
    },
    CLONED: {
        "learning_rate": 1e-4, "placements": 8192, "passes": 8, "batches": 8, "gae_lambda": 0.95, "entropy": 0.0,
    },
}  # fmt: skip
CLONING_PASSES = 8
CHECKS = 20  # on validation instances during a training run


class RelativeReward(VecEnvWrapper):
    """Divides each reward by the scale of the epoch that it was earned in."""

    venv: SB3VecEnv

    def reset(self) -> VecEnvObs:
        """Begin new episodes."""
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """One step of the environments."""
        envs = self.venv.env
        assert isinstance(envs, VectorEpochEnv)
        scale_s = envs.scale_s  # before the step opens the next epoch
        observations, rewards, dones, infos = self.venv.step_wait()
        return observations, (rewards / scale_s).astype(np.float32), dones, infos


class ShowProgress(BaseCallback):
    """Shows how far a training of ``total`` steps is."""

    def __init__(self, total: int, description: str) -> None:
        super().__init__()
        self._bar = progress_bar(total, description, "step")

    def _on_step(self) -> bool:
        self._bar.update(self.training_env.num_envs)
        return True

    def _on_training_end(self) -> None:
        self._bar.close()


GAP = "validation gap"
Kept = TypeVar("Kept")


class KeepBest(ShowProgress, Generic[Kept]):
    """Shows progress, and keeps the policy that is best on validation, as imitation training does too.

    Args:
        total: steps of the training.
        description: shown beside the progress bar.
        measure: what the agent has become, and how it does on validation, where less is better.
        what: what is measured, for the progress bar.
        stop: called with what each check measured but those at start and end; training ends where it returns true.
    """

    def __init__(
        self,
        total: int,
        description: str,
        measure: Callable[[BaseAlgorithm], tuple[Kept, float]],
        what: str,
        stop: Callable[[float], bool] | None = None,
    ) -> None:
        super().__init__(total, description)
        self.stopped = False
        self.least = math.inf
        self.best: Kept | None = None
        self.curve: list[tuple[float, float]] = []  # seconds of training, what was measured
        self._measure, self._what, self._stop = measure, what, stop
        self._every = max(total // CHECKS, 1)
        self._next = self._every
        self._start = time.perf_counter()

    def _on_training_start(self) -> None:
        self._check()  # PPO may leave a cloned policy worse than it was

    def _on_step(self) -> bool:
        super()._on_step()
        self._check_in_time()
        return not self.stopped

    def _on_training_end(self) -> None:
        self._check()
        super()._on_training_end()

    def _check_in_time(self) -> None:
        if self.num_timesteps >= self._next:
            self._next += self._every
            self._check()
            self.stopped = self._stop is not None and self._stop(self.curve[-1][1])

    def _check(self) -> None:
        kept, value = self._measure(self.model)
        self.curve.append((time.perf_counter() - self._start, value))
        self._bar.set_postfix_str(f"{self._what} {value:.2%}")
        if value < self.least:
            self.least, self.best = value, kept


def gap_on(scenario: Scenario, validation: Demonstrations) -> Callable[[BaseAlgorithm], tuple[Network, float]]:
    """What ``KeepBest`` measures of agents of epochs: the network, and its mean gap on validation instances."""

    def measure(agent: BaseAlgorithm) -> tuple[Network, float]:
        network = to_runtime(agent, scenario)
        return network, mean_gap(network, validation)

    return measure


def make_agent(
    name: str,
    scenario: Scenario,
    objective: str,
    seed: int,
    observation_noise: float | str = 0.0,
    hyperparameters: Mapping[str, float] | None = None,
) -> BaseAlgorithm:
    """An untrained agent of ``RL_AGENTS``; ``hyperparameters`` replace some of its own in ``HYPERPARAMETERS``."""
    if name not in RL_AGENTS:
        raise ValueError(f"agent is {name!r}; it must be one of {', '.join(RL_AGENTS)}")
    chosen = HYPERPARAMETERS[name] | dict(hyperparameters or {})
    if unknown := sorted(chosen.keys() - HYPERPARAMETERS[name].keys()):
        raise ValueError(f"hyperparameters has {', '.join(unknown)}; {name} has {', '.join(HYPERPARAMETERS[name])}")
    algorithm = name.split("-")[0]
    vector_env = VectorJointEnv if name.endswith("joint") else VectorSequentialEnv
    num_envs = NUM_ENVS[algorithm]
    # One epoch is one episode, whose return is what counts, undiscounted.
    env = RelativeReward(
        SB3VecEnv(
            vector_env(num_envs, scenario, objective, 1, observation_noise=observation_noise, autoreset_mode="SameStep")
        )
    )
    common: dict[str, Any] = {"gamma": 1.0, "seed": seed % 2**32, "device": "cpu"}
    if algorithm == "ppo":
        steps = max(int(chosen["placements"]) // num_envs // placements_a_step(name, scenario), 2)
        rate = chosen["learning_rate"]
        return PPO(
            "MlpPolicy",
            env,
            n_steps=steps,
            batch_size=steps * num_envs // int(chosen["batches"]),
            n_epochs=int(chosen["passes"]),
            learning_rate=rate if name == CLONED else _falling(rate),
            gae_lambda=chosen["gae_lambda"],
            ent_coef=chosen["entropy"],
            policy_kwargs={"net_arch": HIDDEN, "activation_fn": nn.ReLU},
            **common,
        )
    architecture: dict[str, Any] = {"net_arch": HIDDEN}
    if algorithm == "qrdqn":
        architecture["n_quantiles"] = int(chosen["quantiles"])
    return (QRDQN if algorithm == "qrdqn" else DQN)(
        "MlpPolicy",
        env,
        learning_rate=chosen["learning_rate"],
        buffer_size=int(chosen["buffer_size"]),
        learning_starts=2_000,
        batch_size=int(chosen["batch_size"]),
        train_freq=128 // num_envs,
        gradient_steps=int(chosen["gradient_steps"]),
        target_update_interval=int(chosen["target_update"]),
        exploration_fraction=chosen["explored"],
        exploration_final_eps=0.02,
        policy_kwargs=architecture,
        **common,
    )


def _falling(rate: float) -> Callable[[float], float]:
    """A learning rate that falls to 0 as the share of the training that remains does."""
    return lambda remaining: rate * remaining


@one_thread()
def clone(agent: PPO, labels: Demonstrations, seed: int) -> None:
    """Train the policy of an agent on the Sequential environment by behaviour cloning of soft labels."""
    rows, states = (torch.from_numpy(a) for a in epoch_observations(labels.seen, labels.prefixes))
    targets, present = torch.from_numpy(soft_labels(labels.regret)), torch.from_numpy(labels.seen.present)
    size, n = rows.shape[:2]
    optimizer = torch.optim.AdamW(agent.policy.parameters(), lr=2e-3)
    steps = CLONING_PASSES * -(-size // 256)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.15)
    generator = torch.Generator().manual_seed(seed)
    bar = progress_bar(steps, "behaviour cloning", "step")
    for _ in range(CLONING_PASSES):
        for chosen in torch.randperm(size, generator=generator).split(256):
            for i in range(n):
                shown = torch.zeros_like(rows[chosen])
                shown[:, : n - i] = rows[chosen, i:]
                observations = torch.cat([shown.flatten(1), states[chosen, i]], dim=1)[present[chosen, i]]
                scores = agent.policy.get_distribution(observations).distribution.logits  # type: ignore[union-attr]
                wanted = targets[chosen, i][present[chosen, i]]
                loss = nn.functional.cross_entropy(scores, wanted, reduction="sum") / present[chosen].sum()
                loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            bar.update()
    bar.close()


def placements_a_step(name: str, scenario: Scenario) -> int:
    """Tasks that one step of the agent's environment places."""
    return scenario.most_tasks if name.endswith("joint") else 1


@one_thread()
def train_agent(
    name: str,
    scenario: Scenario,
    objective: str,
    num_placements: int,
    labels: Demonstrations,
    validation: Demonstrations,
    seed: int = 0,
    observation_noise: float | str = 0.0,
) -> Network:
    """Train an agent until it has placed ``num_placements`` tasks (PPO: rounded up to whole updates).

    The ``labels`` are for "ppo-cloned" alone.

    Returns its policy as the compiled runtime reads it, at the check that was best on validation, with its learning
    curve.
    """
    start = time.perf_counter()
    agent = make_agent(name, scenario, objective, seed, observation_noise)
    if name == CLONED:
        assert isinstance(agent, PPO)
        clone(agent, labels, seed)
    cloning_s = time.perf_counter() - start
    steps = num_placements // placements_a_step(name, scenario)
    keeper = KeepBest(steps, name, gap_on(scenario, validation), GAP)
    agent.learn(steps, callback=keeper)
    assert keeper.best is not None  # the last check comes at the end of training
    curve = tuple((round(cloning_s + seconds, 1), round(float(gap), 5)) for seconds, gap in keeper.curve)
    return keeper.best._replace(learning_curve=curve)


def to_runtime(agent: BaseAlgorithm, scenario: Scenario) -> Network:
    """The agent's deterministic policy as the compiled runtime reads it."""
    if isinstance(agent, PPO):
        policy = agent.policy
        head = linear_layers(policy.mlp_extractor.policy_net) + linear_layers(policy.action_net)
    elif isinstance(agent, DQN):
        head = linear_layers(agent.policy.q_net.q_net)
    elif isinstance(agent, QRDQN):
        # It goes where the mean of the quantiles is highest, and the mean of linear outputs is linear.
        *hidden, (weight, bias) = linear_layers(agent.policy.quantile_net.quantile_net)
        shape = agent.policy.quantile_net.n_quantiles, scenario.num_locations
        last = weight.reshape(*shape, -1).mean(axis=0), bias.reshape(shape).mean(axis=0)
        head = (*hidden, last)
    else:
        raise ValueError(f"a {type(agent).__name__} agent cannot be converted; PPO, DQN and QRDQN can")
    joint = isinstance(agent.action_space, gym.spaces.MultiDiscrete)
    return Network(
        form="joint" if joint else "sequential",
        activation="relu",
        cores=scenario.cores,
        num_tasks=scenario.most_tasks,
        encoder=(),
        head=head,
        dependent=scenario.dependent,
        metadata={},
    )
