"""Reinforcement-learning baselines: stable-baselines3 agents on the environments.

All agents get the same budget, counted in tasks placed: a Sequential step places one task, a Joint step n of them.
They learn from the latency relative to the epoch's scale, as the optimality gap is relative. One epoch is one episode,
undiscounted, as an epoch's decision has no effect on the next epoch.
"""

from __future__ import annotations

import math
from typing import Any, SupportsFloat

import gymnasium as gym
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from torch import nn
from tqdm import tqdm

import offload_gym  # noqa: F401 (registers the environments)
from agents.imitation import mean_gap
from agents.networks import linear_layers
from offload_gym.demonstrations import Demonstrations
from offload_gym.runtime import Network
from offload_gym.scenario import Scenario

RL_AGENTS = ("ppo-joint", "ppo-sequential", "dqn-sequential")
HIDDEN = [128, 128]
NUM_ENVS = 16
PLACEMENTS_AN_UPDATE = 2048  # of PPO
CHECKS = 10  # on validation instances during a training run


class RelativeReward(gym.Wrapper):
    """Divides the reward by the scale of the epoch that it was earned in."""

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """One step of the environment."""
        scale_s = self.unwrapped.scale_s  # type: ignore[attr-defined]  # before the step opens the next epoch
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, float(reward) / scale_s, terminated, truncated, info


class _KeepBest(BaseCallback):
    """Shows progress, and keeps the policy that is best on validation instances, as imitation training does too."""

    def __init__(self, total: int, description: str, scenario: Scenario, validation: Demonstrations) -> None:
        super().__init__()
        self.best_gap = math.inf
        self.best: Network | None = None
        self._scenario, self._validation = scenario, validation
        self._every = max(total // CHECKS, 1)
        self._next = self._every
        self._bar = tqdm(total=total, desc=description, unit="step", mininterval=1.0)

    def _on_step(self) -> bool:
        self._bar.update(self.training_env.num_envs)
        if self.num_timesteps >= self._next:
            self._next += self._every
            self._check()
        return True

    def _on_training_end(self) -> None:
        self._check()
        self._bar.close()

    def _check(self) -> None:
        network = to_runtime(self.model, self._scenario)
        gap = mean_gap(network, self._validation)
        self._bar.set_postfix_str(f"validation gap {gap:.2%}")
        if gap < self.best_gap:
            self.best_gap, self.best = gap, network


def make_agent(
    name: str, scenario: Scenario, objective: str, seed: int, observation_noise: float | str = 0.0
) -> BaseAlgorithm:
    """An untrained agent of ``RL_AGENTS``."""
    if name not in RL_AGENTS:
        raise ValueError(f"agent is {name!r}; it must be one of {', '.join(RL_AGENTS)}")
    algorithm, form = name.split("-")
    # One epoch is one episode, whose return is what counts, undiscounted.
    kwargs = {
        "scenario": scenario,
        "objective": objective,
        "num_epochs": 1,
        "observation_noise": observation_noise,
    }
    env = make_vec_env(
        f"offload_gym/{form.capitalize()}-v0",
        n_envs=NUM_ENVS,
        seed=seed,
        env_kwargs=kwargs,
        wrapper_class=RelativeReward,
    )
    common: dict[str, Any] = {"gamma": 1.0, "seed": seed, "device": "cpu"}
    if algorithm == "ppo":
        # As many placements, and so as many gradient steps, between two updates in both environments.
        steps = PLACEMENTS_AN_UPDATE // NUM_ENVS // placements_a_step(name, scenario)
        return PPO(
            "MlpPolicy",
            env,
            n_steps=max(steps, 2),
            batch_size=max(steps, 2) * NUM_ENVS // 4,
            n_epochs=5,
            learning_rate=1e-3,
            policy_kwargs={"net_arch": HIDDEN, "activation_fn": nn.ReLU},
            **common,
        )
    return DQN(
        "MlpPolicy",
        env,
        learning_rate=5e-4,
        buffer_size=100_000,
        learning_starts=2_000,
        batch_size=256,
        train_freq=4,
        gradient_steps=8,
        target_update_interval=1_000,
        exploration_fraction=0.3,
        exploration_final_eps=0.02,
        policy_kwargs={"net_arch": HIDDEN},
        **common,
    )


def placements_a_step(name: str, scenario: Scenario) -> int:
    """Tasks that one step of the agent's environment places."""
    return scenario.most_tasks if name.endswith("joint") else 1


def train_agent(
    name: str,
    scenario: Scenario,
    objective: str,
    num_placements: int,
    validation: Demonstrations,
    seed: int = 0,
    observation_noise: float | str = 0.0,
) -> Network:
    """Train an agent until it has placed ``num_placements`` tasks (PPO: rounded up to whole updates).

    Returns its policy as the compiled runtime reads it, at the check that was best on validation.
    """
    agent = make_agent(name, scenario, objective, seed, observation_noise)
    steps = num_placements // placements_a_step(name, scenario)
    keeper = _KeepBest(steps, name, scenario, validation)
    agent.learn(steps, callback=keeper)
    assert keeper.best is not None  # the last check comes at the end of training
    return keeper.best


def to_runtime(agent: BaseAlgorithm, scenario: Scenario) -> Network:
    """The agent's deterministic policy as the compiled runtime reads it."""
    if isinstance(agent, PPO):
        policy = agent.policy
        head = linear_layers(policy.mlp_extractor.policy_net) + linear_layers(policy.action_net)
    elif isinstance(agent, DQN):
        head = linear_layers(agent.policy.q_net.q_net)
    else:
        raise ValueError(f"a {type(agent).__name__} agent cannot be converted; PPO and DQN can")
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
