"""What the environments of epochs share: the scenario, the instances, and the schedules that are drawn."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import check_flag
from offload_gym.envs.fleet import Fleet
from offload_gym.envs.single import SingleEnv
from offload_gym.instances import Instances
from offload_gym.observation_layout import observed
from offload_gym.sampling import drawn_application
from offload_gym.scenario import Scenario, as_scenario

NUM_EPOCHS = 10


class EpochEnv(SingleEnv):
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

    joint: bool
    _fleet: Fleet

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
        super().__init__(render_mode)
        check_flag("render_optimum", render_optimum)
        self.scenario = as_scenario(scenario)
        self.objective, self.num_epochs, self.carry_over = objective, num_epochs, carry_over
        self.observation_noise, self.roll_outs = observation_noise, roll_outs
        self.render_optimum = render_optimum
        fleet = Fleet(self.scenario, 1, objective, num_epochs, carry_over, observation_noise, self.joint, roll_outs)
        self._take(fleet, observed(self.scenario, fleet.priced, observation, roll_outs), self._make_action_space())

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
        return super().action_masks()

    def _first_picture(self) -> tuple[Instances, NDArray[np.int64]]:
        if self._viewer is not None:
            self._viewer.begin_episode(self.scale_s)
        return self.true_instances, self._fleet.state.decision[0].copy()

    def _picture(self) -> tuple[Instances, NDArray[np.int64]]:
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

    def _drawn(self) -> Any:
        """The schedule decided so far: that of the epoch in progress, or the last one once it is complete."""
        from offload_gym.envs.viewer import Viewer, charts_of

        if self._viewer is None:
            self._viewer = Viewer(self.metadata["render_fps"], self.objective)
            self._viewer.begin_episode(self.scale_s)
        instances, decision = self._shown
        application = drawn_application(self.scenario, instances)
        names = () if application is None else application.task_names
        optimum = self._viewer.optimum(instances, self.objective) if self.render_optimum else None
        return self._viewer.show(charts_of(instances, decision, self.objective, names, optimum), self.render_mode)
