"""What both environments share: the epochs, the observation, the clock of the episode, and rendering."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from numba import njit
from numpy.typing import NDArray

from offload_gym.delay import latency, new_problem, objective_code, schedule
from offload_gym.instances import CORES, Instances, check_count
from offload_gym.observation import observation_size, observation_space, open_epoch, write_observation
from offload_gym.sampling import EpochProcess
from offload_gym.scenario import Scenario, as_scenario

NUM_EPOCHS = 10


@njit(cache=True)
def _open_epoch(
    tasks, locations, backlog_s, radio_backlog_s, edge_start, edge_parent, edge_bits, problem, finish_s, free_s,
    scratch, out,
):  # fmt: skip
    """Prepare and observe a new epoch; returns its scale in seconds."""
    radio_s = radio_backlog_s[0]
    scale_s = open_epoch(
        tasks[0], locations[0], backlog_s[0], radio_s, edge_bits[0], problem, finish_s, free_s, scratch
    )
    cores = locations[0, :, CORES]
    write_observation(problem, 0, scratch, finish_s, radio_s, 0.0, free_s, cores, scale_s, out)
    return scale_s


class EpochEnv(gym.Env):
    """Base of the environments: draws and observes epochs, ends episodes, and renders.

    Args:
        scenario: a preset's name, a dict with "name" and what to change in it, or a ``Scenario``.
        objective: "makespan" or "mean".
        num_epochs: epochs of an episode, or None for episodes without end.
        render_mode: None, "ansi" or "rgb_array".

    Raises:
        ValueError: an argument is unknown or out of its bounds.
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 2}  # noqa: RUF012 (Gymnasium's convention)

    def __init__(
        self,
        scenario: str | Mapping[str, Any] | Scenario = "default",
        objective: str = "makespan",
        num_epochs: int | None = NUM_EPOCHS,
        render_mode: str | None = None,
    ) -> None:
        if num_epochs is not None:
            check_count("num_epochs", num_epochs)
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode is {render_mode!r}; it must be None, 'ansi' or 'rgb_array'")
        self._objective = objective_code(objective)
        self.objective = objective
        self.scenario = as_scenario(scenario)
        self.num_epochs = num_epochs
        self.render_mode = render_mode
        self.observation_space: Box = observation_space(self.scenario.num_tasks, self.scenario.cores)
        self._observation_size = observation_size(self.scenario.num_tasks, self.scenario.cores)
        self.action_space = self._make_action_space()
        self._process = EpochProcess(self.scenario)
        no_edges = np.zeros(self.scenario.num_tasks + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
        self._problem = new_problem(self.scenario.num_tasks, self.scenario.num_locations, *no_edges)
        self._finish_s = np.empty(self.scenario.num_tasks)
        self._free_s = np.empty((self.scenario.num_locations, max(self.scenario.cores)))
        self._scratch = np.empty(self.scenario.num_tasks, dtype=np.int64)
        self._shown: tuple[Instances, NDArray[np.int64]] | None = None  # what render() draws

    @abstractmethod
    def _make_action_space(self) -> gym.Space:
        """The space of actions, once the scenario is known."""

    @property
    def instances(self) -> Instances:
        """The epoch to be decided, as a batch of one instance: what ``Policy.decide`` takes."""
        self._check_open("instances")
        return self._instances

    @property
    def scale_s(self) -> float:
        """Seconds that 1 stands for in the observation: the makespan of greedy earliest completion in this epoch."""
        self._check_open("scale_s")
        return self._scale_s

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Draw new machines and the first epoch."""
        super().reset(seed=seed)
        self._epoch = 0
        observation = self._open(self._process.restart(self.np_random))
        self._show(np.full(self.scenario.num_tasks, -1))
        return observation, {}

    def _open(self, instances: Instances) -> NDArray[np.float32]:
        observation = np.empty(self._observation_size, dtype=np.float32)
        self._instances = instances
        self._scale_s = _open_epoch(
            *instances.arrays, self._problem, self._finish_s, self._free_s, self._scratch, observation
        )
        return observation

    def _check_open(self, what: str) -> None:
        if self._shown is None:
            raise gym.error.ResetNeeded(f"call reset() before {what}")

    def _check_action(self, action: Any, shape: tuple[int, ...]) -> None:
        """ResetNeeded before the first reset; ValueError unless the action is integers in range and of this shape."""
        self._check_open("step()")
        last = self.scenario.num_locations - 1
        try:
            array = np.asarray(action)
        except ValueError:  # rows of different lengths
            array = np.empty(0)
        if array.shape != shape or array.dtype.kind not in "iu" or (array < 0).any() or (array > last).any():
            what = f"{shape[0]} whole numbers, one location a task, each" if shape else "one whole number"
            raise ValueError(f"the action is {action!r}; it must be {what} from 0 to {last}")

    def _show(self, decision: NDArray[np.int64]) -> None:
        """Let ``render`` draw this decision of the current epoch; -1 for tasks that are not placed."""
        self._shown = (self._instances, decision)

    def _close(self) -> tuple[NDArray[np.float32], bool]:
        """End the epoch: the next one's first observation, and whether the episode is over."""
        self._epoch += 1
        terminated = self.num_epochs is not None and self._epoch >= self.num_epochs
        return self._open(self._process.advance(self.np_random)), terminated

    def render(self) -> Any:
        """The schedule decided so far: that of the epoch in progress, or the last one once it is complete."""
        from offload_gym.envs.rendering import render_ansi, render_rgb

        if self.render_mode is None:
            gym.logger.warn("render() does nothing without a render_mode; pass render_mode='ansi' or 'rgb_array'.")
            return None
        self._check_open("render()")
        assert self._shown is not None
        instances, decision = self._shown
        latency_s = None
        if (decision >= 0).all():
            latency_s = float(latency(instances, decision[None], self.objective)[0])
        draw = render_ansi if self.render_mode == "ansi" else render_rgb
        return draw(schedule(instances, decision), latency_s, self.objective)
