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

from offload_gym.delay import (
    COST,
    MEAN,
    fill_prices,
    fill_problem,
    latency,
    new_problem,
    objective_code,
    place_tasks,
    schedule,
    start_schedule,
    view_problem,
)
from offload_gym.epoch_process import EpochProcess
from offload_gym.estimates import as_last_measured, check_noise
from offload_gym.instances import CPU, ENERGY_WEIGHT, Instances, check_count
from offload_gym.observation import (
    fill_links,
    observation_size,
    observation_space,
    open_epoch,
    write_observation,
    write_prices,
)
from offload_gym.scenario import Scenario, as_scenario

NUM_EPOCHS = 10


@njit(cache=True, error_model="numpy")
def _open_seen(
    tasks, locations, backlog_s, radio_backlog_s, edge_bits, problem, links, num_rows, finish_s, free_s, scratch, out
):
    """Prepare and observe a new epoch; returns its scale in seconds."""
    radio_s = radio_backlog_s[0]
    scale_s = open_epoch(
        tasks[0], locations[0], backlog_s[0], radio_s, edge_bits[0], problem, finish_s, free_s, scratch
    )
    fill_links(problem, links)
    write_observation(problem, locations[0], links, 0, num_rows, scratch, finish_s, radio_s, 0.0, free_s, scale_s, out)
    return scale_s


@njit(cache=True, error_model="numpy")
def _open_true(tasks, locations, backlog_s, edge_bits, problem, free_s):
    """Prepare a new epoch that the policy does not see as it is."""
    fill_problem(tasks[0], locations[0], edge_bits[0], problem)
    start_schedule(locations[0], backlog_s[0], free_s)


class Progress:
    """The schedule of the epoch in progress, as it is or as the policy sees it."""

    def __init__(self, num_rows: int, cores: tuple[int, ...], dependent: bool) -> None:
        self._room = new_problem(num_rows, len(cores), num_rows * (num_rows - 1) // 2 if dependent else 0)
        self.finish_s = np.empty(num_rows)
        self.free_s = np.empty((len(cores), max(cores)))

    def open(self, instances: Instances) -> None:
        """Begin with a new epoch; its durations and ``free_s`` are still to be filled."""
        self.instances = instances
        _, _, _, radio_backlog_s, task_counts, edge_start, edge_parent, _ = instances.arrays
        self.problem = view_problem(task_counts[0], edge_start[0], edge_parent[0], self._room)
        self.radio_s = float(radio_backlog_s[0])
        self.makespan_s = self.run_s = self.send_s = 0.0

    def place(self, decision: NDArray[np.int64], first: int, last: int) -> float:
        """Place tasks ``first``, ..., ``last - 1``; returns the sum of their completions."""
        self.radio_s, self.makespan_s, total_s, run_s, send_s = place_tasks(
            self.problem, decision, first, last, self.radio_s, self.makespan_s, self.finish_s, self.free_s
        )
        self.run_s += run_s
        self.send_s += send_s
        return total_s

    @property
    def energy_j(self) -> float:
        """Energy that the device takes for the tasks placed so far."""
        kappa, transmit_w, idle_w, _ = self.instances.power[0].tolist()
        run_w = kappa * float(self.instances.locations[0, 0, CPU]) ** 3
        return run_w * self.run_s + transmit_w * self.send_s + idle_w * self.makespan_s

    @property
    def cost_s(self) -> float:
        """The objective "cost" of the tasks placed so far."""
        return self.makespan_s + float(self.instances.power[0, ENERGY_WEIGHT]) * self.energy_j


class EpochEnv(gym.Env):
    """Base of the environments: draws and observes epochs, ends episodes, and renders.

    Args:
        scenario: a preset's name, a dict with "name" and what to change in it, or a ``Scenario``.
        objective: "makespan", "mean" or "cost".
        num_epochs: epochs of an episode, or None for episodes without end.
        carry_over: whether work that is left when an epoch ends stays in the queues of the radio and the cores.
        observation_noise: what the policy knows of rates and backlogs. 0: the truth; a larger number: estimates, see
            ``offload_gym.estimate_instances``; "last": those of the epoch before.
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
        carry_over: bool = False,
        observation_noise: float | str = 0.0,
        render_mode: str | None = None,
    ) -> None:
        if num_epochs is not None:
            check_count("num_epochs", num_epochs)
        if not isinstance(carry_over, bool):
            raise ValueError(f"carry_over is {carry_over!r}; it must be True or False")
        check_noise("observation_noise", observation_noise)
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode is {render_mode!r}; it must be None, 'ansi' or 'rgb_array'")
        self._objective = objective_code(objective)
        self.objective = objective
        self.scenario = as_scenario(scenario)
        self.num_epochs = num_epochs
        self.carry_over = carry_over
        self.observation_noise = observation_noise
        self.render_mode = render_mode
        rows, cores, dependent = self.scenario.most_tasks, self.scenario.cores, self.scenario.dependent
        priced = self._objective == COST
        self.observation_space: Box = observation_space(rows, cores, dependent, priced)
        self._observation_size = observation_size(rows, cores, dependent, priced)
        self.action_space = self._make_action_space()
        self._process = EpochProcess(self.scenario)
        self._num_rows = rows
        self._links = np.empty((rows if dependent else 0, 3))
        self._scratch = np.empty(rows, dtype=np.int64)
        self._true = Progress(rows, cores, dependent)
        # What the policy sees; the same object where that is the truth.
        self._seen = Progress(rows, cores, dependent) if observation_noise else self._true
        self._shown: tuple[Instances, NDArray[np.int64]] | None = None  # what render() draws

    @abstractmethod
    def _make_action_space(self) -> gym.Space:
        """The space of actions, once the scenario is known."""

    @property
    def instances(self) -> Instances:
        """The epoch to be decided as the policy sees it, as a batch of one instance: what ``Policy.decide`` takes."""
        self._check_open("instances")
        return self._seen.instances

    @property
    def true_instances(self) -> Instances:
        """The epoch to be decided as it is, where ``observation_noise`` lets the policy see something else."""
        self._check_open("true_instances")
        return self._true.instances

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
        if seed is not None or self._shown is None:
            self._key = self.np_random.integers(2**64, dtype=np.uint64)
            self._episode = -1
        self._episode += 1
        self._epoch = 0
        self._last = self._process.restart(self._key, self._episode)
        # Where the policy sees the last measurement there must be one.
        first = self._process.advance() if self.observation_noise == "last" else self._last
        observation = self._open(first)
        self._show(np.full(self._num_tasks, -1))
        return observation, {}

    def _open(self, instances: Instances) -> NDArray[np.float32]:
        observation = np.empty(self._observation_size, dtype=np.float32)
        self._num_tasks = int(instances.task_counts[0])
        seen = instances
        if self._seen is not self._true:
            if isinstance(self.observation_noise, str):
                seen = as_last_measured(instances, self._last)
            else:
                seen = self._process.estimate(instances, self.observation_noise)
            self._true.open(instances)
            tasks, locations, backlog_s, *_, edge_bits = instances.arrays
            _open_true(tasks, locations, backlog_s, edge_bits, self._true.problem, self._true.free_s)
        self._last = instances
        self._seen.open(seen)
        tasks, locations, backlog_s, radio_backlog_s, *_, edge_bits = seen.arrays
        self._scale_s = _open_seen(
            tasks, locations, backlog_s, radio_backlog_s, edge_bits, self._seen.problem, self._links[: self._num_tasks],
            self._num_rows, self._seen.finish_s, self._seen.free_s, self._scratch, observation,
        )  # fmt: skip
        if self._objective == COST:
            fill_prices(seen.power[0], seen.locations[0], self._seen.problem)
            write_prices(self._seen.problem, observation)
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
        self._shown = (self._true.instances, decision)

    def _value_s(self, total_s: float) -> float:
        """The objective in seconds of the tasks placed so far, whose completions add up to ``total_s``."""
        if self._objective == MEAN:
            return total_s / self._num_tasks
        return self._true.cost_s if self._objective == COST else self._true.makespan_s

    def _info(self, value_s: float) -> dict[str, Any]:
        """What a finished epoch says of itself."""
        return {"latency_s": value_s, "makespan_s": self._true.makespan_s, "energy_j": self._true.energy_j}

    def _close(self) -> tuple[NDArray[np.float32], bool]:
        """End the epoch: the next one's first observation, and whether the episode is over."""
        self._epoch += 1
        terminated = self.num_epochs is not None and self._epoch >= self.num_epochs
        left = (self._true.free_s, self._true.radio_s) if self.carry_over else ()
        return self._open(self._process.advance(*left)), terminated

    def render(self) -> Any:
        """The schedule decided so far: that of the epoch in progress, or the last one once it is complete."""
        from offload_gym.envs.rendering import render_ansi, render_rgb

        if self.render_mode is None:
            gym.logger.warn("render() does nothing without a render_mode; pass render_mode='ansi' or 'rgb_array'.")
            return None
        self._check_open("render()")
        assert self._shown is not None
        instances, decision = self._shown
        decision = np.pad(decision, (0, self._num_rows - len(decision)))
        latency_s = None
        objective = "mean" if self.objective == "mean" else "makespan"  # a cost is not a time on the axis
        if (decision >= 0).all():
            latency_s = float(latency(instances, decision[None], objective)[0])
        draw = render_ansi if self.render_mode == "ansi" else render_rgb
        return draw(schedule(instances, decision), latency_s, objective)
