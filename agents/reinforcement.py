"""Reinforcement-learning baselines: stable-baselines3 agents on the environments.

All agents get the same budget, counted in tasks placed: a Sequential step places one task, a Joint step n of them.
They learn from the latency relative to the epoch's scale, as the optimality gap is relative, and without discount
across what does not hang together: an epoch's decision has no effect on the next epoch.
"""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from torch import nn
from tqdm import tqdm

import offload_gym  # noqa: F401 (registers the environments)
from agents.networks import linear_layers
from offload_gym.runtime import Network
from offload_gym.scenario import Scenario

RL_AGENTS = ("ppo-joint", "ppo-sequential", "dqn-sequential")
HIDDEN = [128, 128]


class RelativeReward(gym.Wrapper):
    """Divides the reward by the scale of the epoch that it was earned in."""

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """One step of the environment."""
        scale_s = self.unwrapped.scale_s  # type: ignore[attr-defined]  # before the step opens the next epoch
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, float(reward) / scale_s, terminated, truncated, info


class _Progress(BaseCallback):
    def __init__(self, total: int, description: str) -> None:
        super().__init__()
        self._bar = tqdm(total=total, desc=description, unit="step")

    def _on_step(self) -> bool:
        self._bar.update(self.training_env.num_envs)
        return True

    def _on_training_end(self) -> None:
        self._bar.close()


def make_agent(name: str, scenario: Scenario, objective: str, seed: int) -> BaseAlgorithm:
    """An untrained agent of ``RL_AGENTS``."""
    if name not in RL_AGENTS:
        raise ValueError(f"agent is {name!r}; it must be one of {', '.join(RL_AGENTS)}")
    algorithm, form = name.split("-")
    # One epoch is one episode of Sequential: its return is what counts, undiscounted. A Joint step is a whole epoch.
    kwargs = {"scenario": scenario, "objective": objective, "num_epochs": 1}
    env = make_vec_env(
        f"offload_gym/{form.capitalize()}-v0", n_envs=16, seed=seed, env_kwargs=kwargs, wrapper_class=RelativeReward
    )
    common: dict[str, Any] = {"gamma": 1.0, "seed": seed, "device": "cpu"}
    if algorithm == "ppo":
        return PPO(
            "MlpPolicy",
            env,
            n_steps=128,
            batch_size=512,
            n_epochs=5,
            learning_rate=1e-3,
            ent_coef=0.0,
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


def train_agent(name: str, scenario: Scenario, objective: str, num_placements: int, seed: int = 0) -> BaseAlgorithm:
    """Train an agent until it has placed ``num_placements`` tasks."""
    agent = make_agent(name, scenario, objective, seed)
    steps = num_placements // (scenario.num_tasks if name.endswith("joint") else 1)
    agent.learn(steps, callback=_Progress(steps, name))
    return agent


def to_runtime(agent: BaseAlgorithm, scenario: Scenario, metadata: dict[str, str] | None = None) -> Network:
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
        num_tasks=scenario.num_tasks,
        encoder=(),
        head=head,
        metadata=metadata or {},
    )
