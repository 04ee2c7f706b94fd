"""Parameter sharing in a cell: stable-baselines3 sees every device of every cell as one environment of a batch.

One policy plays all devices, so what each of them does trains it. As elsewhere, agents learn from the latency relative
to the epoch's scale, one epoch is one episode, and returns are undiscounted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn
from torch import nn

from agents.networks import one_thread
from agents.reinforcement import HIDDEN, ShowProgress, to_runtime
from offload_gym.array_checks import check_count
from offload_gym.interop.pettingzoo import CellEnv
from offload_gym.networks.policy import NetworkPolicy
from offload_gym.scenario import Scenario, as_scenario
from offload_gym.seeds import check_seed

NUM_AGENTS = 128  # sub-environments of a training run
STEPS_AN_UPDATE = 8  # of each of them


class CellVecEnv(VecEnv):
    """Cells behind the interface of stable-baselines3's vectorised environments: m sub-environments a cell.

    Sub-environment ``c * m + d`` is device d of cell c; all devices of a cell begin and end their episodes together.
    The last observation of an episode is ``infos[b]["terminal_observation"]``.

    Args:
        cells: C environments with the same arguments, each with ``num_epochs``.
        relative_reward: whether rewards are divided by the scale of the epoch: the agent's own, or the mean of the
            cell's with ``shared_reward``.

    Raises:
        ValueError: there is no cell, or the cells differ.
    """

    def __init__(self, cells: Sequence[CellEnv], relative_reward: bool = False) -> None:
        if not cells:
            raise ValueError("cells is empty; there must be at least one")
        first = cells[0]
        for cell in cells:
            if any(getattr(cell, name) != getattr(first, name) for name in _ALIKE):
                raise ValueError(f"the cells differ; they must have the same {', '.join(_ALIKE)}")
        self.cells, self.relative_reward = list(cells), relative_reward
        self.num_devices = len(first.possible_agents)
        self.render_mode = None
        agent = first.possible_agents[0]
        super().__init__(len(cells) * self.num_devices, first.observation_space(agent), first.action_space(agent))

    def reset(self) -> VecEnvObs:
        """Begin new episodes, with the seeds that ``seed()`` set: a cell takes that of its first device."""
        seeds = self._seeds[:: self.num_devices]
        shown = [cell.reset(seed=seed)[0] for cell, seed in zip(self.cells, seeds, strict=True)]
        self._reset_seeds()
        self._reset_options()
        return _stacked(shown)

    def step_async(self, actions: NDArray) -> None:
        """Keep the actions until ``step_wait``."""
        self._actions = actions.reshape(len(self.cells), self.num_devices, -1)

    def step_wait(self) -> VecEnvStepReturn:
        """Step all cells; one whose episode is over begins the next."""
        shown, rewards, infos = [], [], []
        dones: list[bool] = []
        for cell, actions in zip(self.cells, self._actions, strict=True):
            observations, earned, terminated, _, told = cell.step(dict(zip(cell.agents, actions, strict=True)))
            values, rows = np.array(list(earned.values())), list(told.values())
            if self.relative_reward:
                scale_s = np.array([row["scale_s"] for row in rows])
                values = values / (scale_s.mean() if cell.shared_reward else scale_s)
            if not cell.agents:
                for row, last in zip(rows, observations.values(), strict=True):
                    row |= {"terminal_observation": last, "TimeLimit.truncated": False}
                observations, _ = cell.reset()
            shown.append(observations)
            rewards.append(values)
            dones += terminated.values()
            infos += rows
        return _stacked(shown), np.concatenate(rewards).astype(np.float32), np.array(dones), infos

    def close(self) -> None:
        """Nothing is open."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of the cell of each index."""
        if attr_name == "render_mode":
            return [None] * len(list(self._get_indices(indices)))
        return [getattr(self.cells[b // self.num_devices], attr_name) for b in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Not possible: devices of one cell are one environment."""
        raise NotImplementedError(f"{attr_name} of single devices cannot be set: those of a cell are one environment")

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Not possible: devices of one cell are one environment."""
        raise NotImplementedError(
            f"{method_name}() of single devices cannot be called: those of a cell are one environment"
        )

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        """False for each index."""
        return [False for _ in self._get_indices(indices)]


_ALIKE = ("scenario", "objective", "num_epochs", "shared_reward", "possible_agents")


def _stacked(shown: list[dict[str, NDArray[np.float32]]]) -> NDArray[np.float32]:
    return np.stack([row for observations in shown for row in observations.values()])


@one_thread()
def train_shared_policy(
    scenario: str | Mapping[str, Any] | Scenario,
    num_devices: int,
    objective: str = "makespan",
    num_decisions: int = 100_000,
    seed: int = 0,
    shared_reward: bool = False,
) -> NetworkPolicy:
    """Train PPO with one policy for all devices of a cell.

    Args:
        scenario: what cells are drawn from.
        num_devices: m.
        objective: "makespan" or "mean".
        num_decisions: epochs times devices; rounded up to whole updates.
        seed: of the training.
        shared_reward: whether the devices learn from the mean of their latencies instead of their own.

    Returns:
        The policy, which decides as PPO's most likely actions do.
    """
    check_count("num_decisions", num_decisions)
    check_count("num_devices", num_devices)
    check_seed(seed)
    scenario = as_scenario(scenario)
    cells = [
        CellEnv(scenario, num_devices, objective, num_epochs=1, shared_reward=shared_reward)
        for _ in range(max(NUM_AGENTS // num_devices, 1))
    ]
    envs = CellVecEnv(cells, relative_reward=True)
    agent = PPO(
        "MlpPolicy",
        envs,
        gamma=1.0,
        n_steps=STEPS_AN_UPDATE,
        batch_size=STEPS_AN_UPDATE * envs.num_envs // 8,
        n_epochs=8,
        learning_rate=lambda remaining: 2e-3 * remaining,
        policy_kwargs={"net_arch": HIDDEN, "activation_fn": nn.ReLU},
        seed=seed % 2**32,  # numpy's legacy generator, which stable-baselines3 seeds, takes no more
        device="cpu",
    )
    agent.learn(num_decisions, callback=ShowProgress(num_decisions, "PPO of the cell"))
    # The best schedule that a network sees on the way is best for a device alone, not in a cell.
    return NetworkPolicy(to_runtime(agent, scenario), keep_best=False)
