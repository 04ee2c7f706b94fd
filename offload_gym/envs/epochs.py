"""What both environments share: the episode, the actions, and rendering. The epochs are those of a fleet of one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import check_flag
from offload_gym.envs.fleet import BEGIN, RESULT, STEP, Fleet
from offload_gym.envs.spec import PlainSpec
from offload_gym.instances import Instances
from offload_gym.observation_layout import Observation, observed, shown
from offload_gym.sampling import drawn_application
from offload_gym.scenario import Scenario, as_scenario

if TYPE_CHECKING:
    from offload_gym.envs.viewer import Viewer

NUM_EPOCHS = 10


class NotStartedError(gym.error.ResetNeeded, AttributeError):
    """No episode has begun. Attributes that an episode brings are not there before: ``hasattr`` says so."""


class EpochEnv(gym.Env):
    """Base of the environments: draws and observes epochs, ends episodes, and renders.

    Args:
        scenario: a preset's name, a dict with "name" and what to change in it, or a ``Scenario``.
        objective: one of ``offload_gym.OBJECTIVES``.
        num_epochs: epochs of an episode, or None for episodes without end.
        carry_over: whether work that is left when an epoch ends stays in the queues of the radio and the cores.
        observation_noise: what the policy knows of rates and backlogs. 0: the truth; a larger number: estimates, see
            ``offload_gym.estimate_instances``; "last": those of the epoch before.
        render_mode: None, "ansi", "rgb_array" or "human".
        observation: "flat", one vector, or "dict", the same numbers as named fields.
        render_optimum: whether what is rendered shows the epoch's optimal schedule beside the one decided.
        roll_outs: whether the observation looks beyond the next task, at what greedy would lead to.

    Raises:
        ValueError: an argument is unknown or out of its bounds.
    """

    metadata = {"render_modes": ["ansi", "rgb_array", "human"], "render_fps": 2}  # noqa: RUF012 (Gymnasium's convention)
    spec = PlainSpec()
    joint: bool

    # Parameters: those that gym.make passes on by name.
    def __init__(
        self,
        scenario: str | Mapping[str, Any] | Scenario = "default",
        objective: str = "makespan",
        num_epochs: int | None = NUM_EPOCHS,
        carry_over: bool = False,
        observation_noise: float | str = 0.0,
        render_mode: str | None = None,
        observation: str = "flat",
        render_optimum: bool = False,
        roll_outs: bool = True,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode is {render_mode!r}; it must be None, 'ansi', 'rgb_array' or 'human'")
        check_flag("render_optimum", render_optimum)
        self.scenario = as_scenario(scenario)
        self.objective, self.num_epochs, self.carry_over = objective, num_epochs, carry_over
        self.observation_noise, self.roll_outs = observation_noise, roll_outs
        self.render_mode, self.render_optimum = render_mode, render_optimum
        self._fleet = Fleet(
            self.scenario, 1, objective, num_epochs, carry_over, observation_noise, self.joint, roll_outs
        )
        self.observation_space, self._views, size = observed(self.scenario, self._fleet.priced, observation, roll_outs)
        self._observation_shape = (1, size)
        self.action_space = self._make_action_space()
        rows = self.scenario.most_tasks
        self._action_shape = (rows,) if self.joint else ()
        self._action = np.zeros((1, rows if self.joint else 1), dtype=np.int64)
        self._results = np.zeros(1, dtype=RESULT)
        self._started = self._over = False
        self._shown: tuple[Instances, NDArray[np.int64]] | None = None  # what render() draws
        self._viewer: Viewer | None = None

    @abstractmethod
    def _make_action_space(self) -> gym.Space:
        """The space of actions, once the scenario is known."""

    @property
    def instances(self) -> Instances:
        """The epoch to be decided as the policy sees it, as a batch of one instance: what ``Policy.decide`` takes."""
        self._check_started("instances")
        return self._fleet.instances(seen=True)

    @property
    def true_instances(self) -> Instances:
        """The epoch to be decided as it is, where ``observation_noise`` lets the policy see something else."""
        self._check_started("true_instances")
        return self._fleet.instances(seen=False)

    @property
    def scale_s(self) -> float:
        """Seconds that 1 stands for in the observation: the makespan of greedy earliest completion in this epoch."""
        self._check_started("scale_s")
        return float(self._fleet.scale_s[0])

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are of use in the next step, in the form that sb3-contrib's MaskablePPO asks for.

        Returns:
            (K,) in Sequential; (n * K,) in Joint, K for each task in a row, as for ``MultiDiscrete([K] * n)``. All true
            but for the tasks that an epoch with fewer than n does not have: their action is ignored, and 0 is the one
            left. A location is never out of reach: where the radio has an outage, tasks sent there wait.
        """
        self._check_started("action_masks()")
        masks: NDArray[np.bool_] = self._fleet.action_masks()[0]
        return masks

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw new machines and the first epoch."""
        super().reset(seed=seed)
        if seed is not None or not self._started:
            self._fleet.seed(0, self.np_random.integers(2**64, dtype=np.uint64))
        observations = np.empty(self._observation_shape, dtype=np.float32)
        self._fleet.step(_BEGIN, self._action, observations, self._results)
        self._started, self._over = True, False
        if self.render_mode is not None:
            self._shown = self.true_instances, self._fleet.state.decision[0].copy()
            if self._viewer is not None:
                self._viewer.begin_episode(self.scale_s)
            if self.render_mode == "human":
                self.render()
        return shown(observations[0], self._views), {}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Place the tasks that the action says; after the end of an episode with a warning.

        Raises:
            ValueError: the action is not in the action space.
            gymnasium.error.ResetNeeded: no episode has begun.
        """
        self._check_started("step()")
        if self._over:
            gym.logger.warn("step() is called although the episode is over; call reset() first.")
        try:
            array = np.asarray(action)
        except ValueError:  # rows of different lengths
            raise self._bad(action) from None
        if array.shape != self._action_shape or array.dtype.kind not in "iu":
            raise self._bad(action)
        self._action[0] = array
        before = None if self.render_mode is None else self._with_action()
        observations = np.empty(self._observation_shape, dtype=np.float32)
        if self._fleet.step(_STEP, self._action, observations, self._results) >= 0:
            raise self._bad(action)
        if before is not None:
            self._shown = before
            if self.render_mode == "human":
                self.render()
        reward, latency_s, makespan_s, energy_j, ended, over = self._results.item()
        self._over = bool(over)
        info = {"latency_s": latency_s, "makespan_s": makespan_s, "energy_j": energy_j} if ended else {}
        return shown(observations[0], self._views), reward, self._over, False, info

    def _with_action(self) -> tuple[Instances, NDArray[np.int64]]:
        """The epoch in progress with the tasks of the action placed as well."""
        state = self._fleet.state
        first, decision = int(state.progress["task"][0]), state.decision[0].copy()
        decision[first : first + self._action.shape[1]] = self._action[0]
        if self._shown is not None:
            instances, before = self._shown
            # The same epoch: its instances also stand for its optimum.
            if (before[: instances.task_counts[0]] < 0).any():
                return instances, decision
        return self.true_instances, decision

    def _bad(self, action: Any) -> ValueError:
        shape, last = self._action_shape, self.scenario.num_locations - 1
        what = f"{shape[0]} whole numbers, one location a task, each" if shape else "one whole number"
        return ValueError(f"the action is {action!r}; it must be {what} from 0 to {last}")

    def _check_started(self, what: str) -> None:
        if not self._started:
            raise NotStartedError(f"call reset() before {what}")

    def render(self) -> Any:
        """The schedule decided so far: that of the epoch in progress, or the last one once it is complete."""
        if self.render_mode is None:
            modes = ", ".join(repr(mode) for mode in self.metadata["render_modes"])
            gym.logger.warn(f"render() does nothing without a render_mode; pass one of {modes} as render_mode.")
            return None
        if self._shown is None:  # also where render_mode was set later
            raise gym.error.ResetNeeded("call reset() before render()")
        from offload_gym.envs.viewer import Viewer, charts_of

        if self._viewer is None:
            self._viewer = Viewer(self.metadata["render_fps"], self.objective)
            self._viewer.begin_episode(self.scale_s)
        instances, decision = self._shown
        application = drawn_application(self.scenario, instances)
        names = () if application is None else application.task_names
        optimum = self._viewer.optimum(instances, self.objective) if self.render_optimum else None
        return self._viewer.show(charts_of(instances, decision, self.objective, names, optimum), self.render_mode)

    def close(self) -> None:
        """Close the window of render_mode "human"."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy of the environment opens a window of its own.
        return self.__dict__ | {"_viewer": None}


_BEGIN, _STEP = np.array([BEGIN]), np.array([STEP])
