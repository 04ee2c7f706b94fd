"""Many environments in one kernel: ``gym.make_vec(..., vectorization_mode="vector_entry_point")``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Discrete, MultiDiscrete
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from offload_gym.envs.epochs import NUM_EPOCHS
from offload_gym.envs.fleet import BEGIN, LEAVE, RESULT, STEP, Fleet
from offload_gym.instances import Instances, check_count
from offload_gym.observation_layout import Observation, observed, shown
from offload_gym.scenario import Scenario, as_scenario
from offload_gym.solvers.parallel import num_cores

MIN_ROWS = 128  # environments that are worth a thread


class VectorEpochEnv(VectorEnv):
    """N environments that step together; see ``JointEnv`` and ``SequentialEnv`` for what each of them is.

    Args:
        num_envs: N, how many.
        scenario, objective, num_epochs, carry_over, observation_noise, observation: as in ``JointEnv``.
        autoreset_mode: "NextStep" (an environment whose episode is over resets in its next step, whose action is
            ignored), "SameStep" (it resets at once; ``infos["final_obs"]`` and ``infos["final_info"]`` have the end),
            or "Disabled" (``reset(options={"reset_mask": ...})`` resets those that are over).
        num_threads: threads that share the environments; None takes one a core.

    Raises:
        ValueError: an argument is unknown or out of its bounds.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 (Gymnasium's convention)
    joint: bool

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
    ) -> None:
        check_count("num_envs", num_envs)
        if num_threads is not None:
            check_count("num_threads", num_threads)
        try:
            self.autoreset_mode = AutoresetMode(autoreset_mode)
        except ValueError:
            modes = ", ".join(repr(mode.value) for mode in AutoresetMode)
            raise ValueError(f"autoreset_mode is {autoreset_mode!r}; it must be one of {modes}") from None
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.scenario = as_scenario(scenario)
        self.objective, self.num_epochs, self.carry_over = objective, num_epochs, carry_over
        self.observation_noise = observation_noise
        self.num_envs = num_envs
        self._fleet = Fleet(self.scenario, num_envs, objective, num_epochs, carry_over, observation_noise, self.joint)
        n, num_locations = self.scenario.most_tasks, self.scenario.num_locations
        self.single_observation_space, self._views, self._size = observed(
            self.scenario, self._fleet.priced, observation
        )
        self.single_action_space: gym.Space = Discrete(num_locations)
        if self.joint:
            self.single_action_space = MultiDiscrete([num_locations] * n)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._over = np.zeros(num_envs, dtype=np.bool_)
        self._last = np.zeros((num_envs, self._size), dtype=np.float32)  # what a masked reset shows of the others
        self._no_actions = np.zeros((num_envs, n if self.joint else 1), dtype=np.int64)
        self._started = False
        workers = min(num_threads or num_cores(), max(num_envs // MIN_ROWS, 1))
        self._pool = ThreadPoolExecutor(workers) if workers > 1 else None
        ends = np.linspace(0, num_envs, workers + 1).astype(int).tolist()
        self._parts = list(pairwise(ends))

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
        self._check_started("action_masks()")
        return self._fleet.action_masks()

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin new episodes, of all environments or of those in ``options["reset_mask"]``.

        Args:
            seed: the first environment's, the next one has the next number and so on; or one for each; None goes on.
            options: ``reset_mask``: (N,) booleans.
        """
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int | np.integer) else seed
        if seeds is not None and len(seeds) != self.num_envs:
            raise ValueError(f"seed has {len(seeds)} numbers; it must have {self.num_envs}, one for each environment")
        mask = np.ones(self.num_envs, dtype=np.bool_)
        if options is not None and "reset_mask" in options:
            self._check_started("reset() with a reset_mask")
            if self.autoreset_mode != AutoresetMode.DISABLED:
                raise ValueError(f"autoreset_mode is {self.autoreset_mode.value!r}; a reset_mask needs 'Disabled'")
            mask = np.asarray(options["reset_mask"])
            if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
                raise ValueError(f"reset_mask is {mask!r}; it must hold {self.num_envs} booleans, at least one True")
        chosen = np.flatnonzero(mask)
        given = {int(b): None if seeds is None else seeds[int(b)] for b in chosen}
        # All at once: a bad seed leaves everything as it was.
        keys = {
            b: seeding.np_random(number)[0].integers(2**64, dtype=np.uint64)
            for b, number in given.items()
            if number is not None or not self._started
        }
        for b, key in keys.items():
            self._fleet.seed(b, key)
        observations = np.empty((self.num_envs, self._size), dtype=np.float32)
        if len(chosen) < self.num_envs:
            observations[:] = self._last
        self._run(np.where(mask, BEGIN, LEAVE), self._no_actions, observations)
        self._over[chosen] = False
        self._started = True
        self._keep(observations)
        return shown(observations, self._views), {}

    def _keep(self, observations: NDArray[np.float32]) -> None:
        if self.autoreset_mode == AutoresetMode.DISABLED:  # else there is no masked reset in the middle of episodes
            self._last[:] = observations

    def step(
        self, actions: Any
    ) -> tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step all environments; ValueError where an action is not in the action space."""
        self._check_started("step()")
        chosen = self._checked_actions(actions)
        if self.autoreset_mode == AutoresetMode.DISABLED and self._over.any():
            raise gym.error.ResetNeeded(
                f"environment {int(np.flatnonzero(self._over)[0])} is over; reset it with a reset_mask before step()"
            )
        size = self.num_envs
        observations = np.empty((size, self._size), dtype=np.float32)
        results = self._run(np.where(self._over, BEGIN, STEP), chosen, observations)
        terminated, ended = results["over"].copy(), results["ended"].copy()
        infos: dict[str, Any] = {}
        if self.autoreset_mode == AutoresetMode.SAME_STEP and terminated.any():
            final = np.full(size, None, dtype=object)
            for b in np.flatnonzero(terminated):
                final[b] = shown(observations[b].copy(), self._views)
            infos |= {"final_obs": final, "_final_obs": terminated.copy()}
            infos |= {"final_info": _infos(results, terminated), "_final_info": terminated.copy()}
            self._run(np.where(terminated, BEGIN, LEAVE), chosen, observations)
            ended &= ~terminated
        if ended.any():
            infos |= _infos(results, ended)
        self._over = terminated & (self.autoreset_mode != AutoresetMode.SAME_STEP)
        self._keep(observations)
        seen, truncated = shown(observations, self._views), np.zeros(size, dtype=np.bool_)
        return seen, results["reward"].copy(), terminated, truncated, infos

    def _run(
        self, orders: NDArray[np.int64], actions: NDArray[np.int64], observations: NDArray[np.float32]
    ) -> NDArray[np.void]:
        """The results of all environments; ``observations`` are filled."""
        results = np.empty(self.num_envs, dtype=RESULT)

        def work(part: tuple[int, int]) -> None:
            self._fleet.step(orders, actions, observations, results, part)

        if self._pool is None:
            work(self._parts[0])
        else:
            list(self._pool.map(work, self._parts))
        return results

    def _checked_actions(self, actions: Any) -> NDArray[np.int64]:
        array = np.asarray(actions)
        shape = self.action_space.shape
        last = self.scenario.num_locations - 1
        if array.shape != shape or array.dtype.kind not in "iu":
            raise ValueError(
                f"actions has the shape {array.shape} and the type {array.dtype}; it must be {shape} integers"
            )
        if array.size and (array.min() < 0 or array.max() > last):
            raise ValueError(f"actions has numbers from {array.min()} to {array.max()}; each must be from 0 to {last}")
        # A copy: of an array that is read-only the kernel would be compiled anew.
        return np.array(array, dtype=np.int64, order="C").reshape(self.num_envs, -1)

    def _check_started(self, what: str) -> None:
        if not self._started:
            raise gym.error.ResetNeeded(f"call reset() before {what}")

    def close_extras(self, **kwargs: Any) -> None:
        """Let the threads go."""
        if self._pool is not None:
            self._pool.shutdown()


class VectorJointEnv(VectorEpochEnv):
    """N environments ``offload_gym/Joint-v0``."""

    joint = True


class VectorSequentialEnv(VectorEpochEnv):
    """N environments ``offload_gym/Sequential-v0``."""

    joint = False


def _infos(results: NDArray[np.void], ended: NDArray[np.bool_]) -> dict[str, Any]:
    """Gymnasium's form: an array for each name, and a mask of the environments that have it."""
    infos: dict[str, Any] = {}
    for name in ("latency_s", "makespan_s", "energy_j"):
        infos[name] = np.where(ended, results[name], 0.0)
        infos[f"_{name}"] = ended.copy()
    return infos
