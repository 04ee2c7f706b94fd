"""Many environments in one kernel: ``gym.make_vec(..., vectorization_mode="vector_entry_point")``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from offload_gym.envs.epochs import NUM_EPOCHS
from offload_gym.envs.fleet import Fleet
from offload_gym.envs.native import NativeVectorEnv, refuse
from offload_gym.instances import Instances
from offload_gym.observation_layout import observed
from offload_gym.scenario import Scenario, as_scenario


class VectorEpochEnv(NativeVectorEnv):
    """N environments that step together; see ``JointEnv`` and ``SequentialEnv`` for what each of them is.

    Args:
        num_envs: N, how many.
        scenario, objective, num_epochs, carry_over, observation_noise, observation: as in ``JointEnv``.
        autoreset_mode: "NextStep" (an environment whose episode is over resets in its next step, whose action is
            ignored), "SameStep" (it resets at once; ``infos["final_obs"]`` and ``infos["final_info"]`` have the end),
            or "Disabled" (``reset(options={"reset_mask": ...})`` resets those that are over).
        num_threads: threads that share the environments; None takes one a core.
        roll_outs: as in ``JointEnv``.

    ``step_async`` and ``step_wait`` are the halves of a step, for two such environments in turn: one steps while the
    actions of the other are chosen. ``out=`` of ``reset`` and ``step`` fills arrays of the caller (``Buffers``) instead
    of new ones.

    Raises:
        ValueError: an argument is unknown or out of its bounds.
    """

    joint: bool
    _fleet: Fleet

    # Parameters: those of a single environment, as gym.make_vec passes them on by name, and three of its own.
    def __init__(
        self,
        num_envs: int = 1,
        scenario: str | Mapping[str, Any] | Scenario = "default",
        objective: str = "makespan",
        num_epochs: int | None = NUM_EPOCHS,
        carry_over: bool = False,
        observation_noise: float | str = 0.0,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        num_threads: int | None = None,
        observation: str = "flat",
        roll_outs: bool = True,
        **of_single: Any,
    ) -> None:
        refuse(of_single, "num_epochs")
        super().__init__(num_envs, autoreset_mode, num_threads)
        self.scenario = as_scenario(scenario)
        self.objective, self.num_epochs, self.carry_over = objective, num_epochs, carry_over
        self.observation_noise, self.roll_outs = observation_noise, roll_outs
        fleet = Fleet(
            self.scenario, num_envs, objective, num_epochs, carry_over, observation_noise, self.joint, roll_outs
        )
        n, num_locations = self.scenario.most_tasks, self.scenario.num_locations
        self._take(
            fleet,
            observed(self.scenario, fleet.priced, observation, roll_outs),
            MultiDiscrete([num_locations] * n) if self.joint else Discrete(num_locations),
        )

    @property
    def instances(self) -> Instances:
        """The epochs to be decided as the policies see them, as a batch of N, what ``Policy.decide`` takes."""
        self._check_started("instances")
        return self._fleet.instances(seen=True)

    @property
    def true_instances(self) -> Instances:
        """The epochs to be decided as they are, where ``observation_noise`` lets the policies see something else."""
        self._check_started("true_instances")
        return self._fleet.instances(seen=False)

    @property
    def scale_s(self) -> NDArray[np.float64]:
        """(N,) seconds that 1 stands for in each observation."""
        self._check_started("scale_s")
        return self._fleet.scale_s

    def action_masks(self) -> NDArray[np.bool_]:
        """(N, K) in Sequential, (N, n * K) in Joint: ``action_masks()`` of each environment."""
        return super().action_masks()


class VectorJointEnv(VectorEpochEnv):
    """N environments ``offload_gym/Joint-v0``."""

    joint = True


class VectorSequentialEnv(VectorEpochEnv):
    """N environments ``offload_gym/Sequential-v0``."""

    joint = False
