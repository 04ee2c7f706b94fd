"""Many environments in one kernel: what all native vector environments share.

Seeds, resets, the autoreset modes, threads and arrays are the same whatever a fleet plays.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.error import AlreadyPendingCallError, NoAsyncCallError, ResetNeeded
from gymnasium.spaces import Discrete, MultiDiscrete
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from offload_gym.array_checks import check_count
from offload_gym.checks import is_whole
from offload_gym.envs.buffers import Buffers, check_buffers, new_buffers
from offload_gym.envs.orders import BEGIN, LEAVE, STEP, AnyFleet, info_names
from offload_gym.envs.single import NotStartedError
from offload_gym.envs.spec import PlainSpec
from offload_gym.envs.threads import Part, Threads
from offload_gym.observation_layout import Observation, Views, shown
from offload_gym.solvers.parallel import check_threads, num_cores

MIN_ROWS = 128  # environments that are worth a thread

VectorStep = tuple[Observation, NDArray[np.floating], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class _Turn(NamedTuple):
    """A step of N environments: what they are to do, and where it goes."""

    orders: NDArray[np.int64]
    actions: NDArray[np.int64]
    results: NDArray[np.void]
    out: Buffers


class _Pending(NamedTuple):
    """A step that has begun."""

    turn: _Turn
    parts: list[Future[None]]
    process: int


class NativeVectorEnv(VectorEnv):
    """Base of N environments that step together in one kernel.

    Args:
        num_envs: N, how many.
        autoreset_mode: "NextStep" (an environment whose episode is over resets in its next step, whose action is
            ignored), "SameStep" (it resets at once; ``infos["final_obs"]`` and ``infos["final_info"]`` have the end),
            or "Disabled" (``reset(options={"reset_mask": ...})`` resets those that are over).
        num_threads: threads that share the environments; None takes one a core.

    ``step_async`` and ``step_wait`` are the halves of a step, for two such environments in turn: one steps while the
    actions of the other are chosen. ``out=`` of ``reset`` and ``step`` fills arrays of the caller (``Buffers``) instead
    of new ones.

    Raises:
        ValueError: an argument is unknown or out of its bounds.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 (Gymnasium's convention)
    spec = PlainSpec()
    _fleet: AnyFleet

    def __init__(self, num_envs: int, autoreset_mode: AutoresetMode | str, num_threads: int | None) -> None:
        check_count("num_envs", num_envs)
        check_threads(num_threads)
        try:
            self.autoreset_mode = AutoresetMode(autoreset_mode)
        except ValueError:
            modes = ", ".join(repr(mode.value) for mode in AutoresetMode)
            raise ValueError(f"autoreset_mode is {autoreset_mode!r}; it must be one of {modes}") from None
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.num_envs = num_envs
        self._over = np.zeros(num_envs, dtype=np.bool_)
        self._started = False
        self._pending: _Pending | None = None
        workers = min(num_threads or num_cores(), max(num_envs // MIN_ROWS, 1))
        self._threads = Threads(workers)
        ends = np.linspace(0, num_envs, workers + 1).astype(int).tolist()
        self._parts = list(pairwise(ends))

    def _take(
        self, fleet: AnyFleet, observed: tuple[gym.Space, Views | None, int], action_space: Discrete | MultiDiscrete
    ) -> None:
        """Play a fleet, whose observations are what ``observation_layout.observed`` says."""
        self._fleet = fleet
        self.info_names = info_names(fleet)  # of what an end brings to the infos
        self.single_observation_space, self._views, self._size = observed
        self.single_action_space: gym.Space = action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        width = action_space.shape[0] if action_space.shape else 1
        self._last_action = int(action_space.nvec[0] if isinstance(action_space, MultiDiscrete) else action_space.n) - 1
        # What a masked reset shows of the others.
        self._last = np.zeros((self.num_envs, self._size), dtype=np.float32)
        self._no_actions = np.zeros((self.num_envs, width), dtype=np.int64)

    def action_masks(self) -> NDArray[np.bool_]:
        """(N, actions): ``action_masks()`` of each environment."""
        self._check_started("action_masks()")
        return self._fleet.action_masks()

    def new_buffers(self) -> Buffers:
        """Arrays for ``out`` of ``reset`` and ``step``."""
        return new_buffers(self.num_envs, self._size)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
        out: Buffers | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin new episodes, of all environments or of those in ``options["reset_mask"]``.

        Args:
            seed: the first environment's, the next one has the next number and so on; or one for each; None goes on.
                The first environment's also seeds ``np_random``.
            options: ``reset_mask``: (N,) booleans.
            out: arrays to fill, as in ``step``.
        """
        self._check_idle("reset()")
        seeds = self._checked_seeds(seed)
        mask = np.ones(self.num_envs, dtype=np.bool_)
        if options is not None and "reset_mask" in options:
            self._check_started("reset() with a reset_mask")
            if self.autoreset_mode != AutoresetMode.DISABLED:
                raise ValueError(f"autoreset_mode is {self.autoreset_mode.value!r}; a reset_mask needs 'Disabled'")
            mask = np.asarray(options["reset_mask"])
            if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
                raise ValueError(f"reset_mask is {mask!r}; it must hold {self.num_envs} booleans, at least one True")
        turn = self._turn(np.where(mask, BEGIN, LEAVE), self._no_actions, out)
        super().reset(seed=seeds[0])
        chosen = np.flatnonzero(mask)
        for b in chosen.tolist():
            if seeds[b] is not None or not self._started:
                self._fleet.seed(b, seeding.np_random(seeds[b])[0].integers(2**64, dtype=np.uint64))
        if len(chosen) < self.num_envs:
            turn.out.observations[:] = self._last
        self._threads.run(partial(self._work, turn), self._parts)
        self._over[chosen] = False
        self._started, self.closed = True, False
        turn.out.rewards[chosen] = 0.0
        turn.out.terminations[chosen] = False
        self._keep(turn.out.observations)
        return shown(turn.out.observations, self._views), {}

    def _checked_seeds(self, seed: Any) -> list[int | None]:
        """One for each environment."""
        if seed is None:
            return [None] * self.num_envs
        if is_whole(seed):
            given: list[Any] = [int(seed) + b for b in range(self.num_envs)]
        else:
            given = [seed] if isinstance(seed, str) or not np.iterable(seed) else list(seed)
        for one in given:
            if one is not None and (not is_whole(one) or one < 0):
                raise ValueError(f"seed has {one!r}; a seed must be a whole number, at least 0, or None")
        if len(given) != self.num_envs:
            raise ValueError(f"seed has {len(given)} numbers; it must have {self.num_envs}, one for each environment")
        return [None if one is None else int(one) for one in given]

    def _keep(self, observations: NDArray[np.float32]) -> None:
        if self.autoreset_mode == AutoresetMode.DISABLED:  # else there is no masked reset in the middle of episodes
            self._last[:] = observations

    def step(self, actions: Any, out: Buffers | None = None) -> VectorStep:
        """Step all environments.

        Args:
            actions: a batch of the action space.
            out: arrays that are filled and returned, ``new_buffers()`` or the caller's own: the step before is gone.
                None makes new ones in each step.

        Raises:
            ValueError: an action is not in the action space, or an array of ``out`` has another shape or type.
        """
        turn = self._next_turn("step()", actions, out)
        self._threads.run(partial(self._work, turn), self._parts)
        return self._finish(turn)

    def step_async(self, actions: Any, out: Buffers | None = None) -> None:
        """Begin a step, with the arguments and errors of ``step``, and return; ``step_wait`` has its result."""
        turn = self._next_turn("step_async()", actions, out)
        self._pending = _Pending(turn, self._threads.submit(partial(self._work, turn), self._parts), os.getpid())

    def step_wait(self) -> VectorStep:
        """What ``step`` returns, of the step that ``step_async`` began."""
        if self._pending is None:
            raise NoAsyncCallError("call step_async() before step_wait()", "step")
        turn, parts, process = self._pending
        self._pending = None
        if process != os.getpid():
            self._started = False
            raise NoAsyncCallError("the step was begun by another process; call reset() in this one", "step")
        for part in parts:
            part.result()
        return self._finish(turn)

    def _next_turn(self, what: str, actions: Any, out: Buffers | None) -> _Turn:
        self._check_started(what)
        self._check_idle(what)
        chosen = self._checked_actions(actions)
        if self.autoreset_mode == AutoresetMode.DISABLED and self._over.any():
            raise ResetNeeded(
                f"environment {int(np.flatnonzero(self._over)[0])} is over; reset it with a reset_mask before step()"
            )
        orders = np.where(self._over, BEGIN, STEP)
        self._check_now(orders, chosen)
        return self._turn(orders, chosen, out)

    def _turn(self, orders: NDArray[np.int64], actions: NDArray[np.int64], out: Buffers | None) -> _Turn:
        if out is None:
            out = self.new_buffers()
        else:
            check_buffers(out, self.num_envs, self._size)
        return _Turn(orders, actions, np.empty(self.num_envs, dtype=self._fleet.result), out)

    def _work(self, turn: _Turn, part: Part) -> None:
        self._fleet.step(turn.orders, turn.actions, turn.out.observations, turn.results, part)

    def _finish(self, turn: _Turn) -> VectorStep:
        """What a step returns whose work is done."""
        results, (observations, rewards, terminated) = turn.results, turn.out
        rewards[:], terminated[:] = results["reward"], results["over"]
        ended = results["ended"]
        infos: dict[str, Any] = {}
        if self.autoreset_mode == AutoresetMode.SAME_STEP and terminated.any():
            final = np.full(self.num_envs, None, dtype=object)
            for b in np.flatnonzero(terminated):
                final[b] = shown(observations[b].copy(), self._views)
            infos |= {"final_obs": final, "_final_obs": terminated.copy()}
            infos |= {"final_info": self._infos(results, terminated), "_final_info": terminated.copy()}
            ended = ended & ~terminated
            begin = turn._replace(orders=np.where(terminated, BEGIN, LEAVE), results=np.empty_like(results))
            self._threads.run(partial(self._work, begin), self._parts)
        if ended.any():
            infos |= self._infos(results, ended)
        self._over = terminated & (self.autoreset_mode != AutoresetMode.SAME_STEP)
        self._keep(observations)
        return shown(observations, self._views), rewards, terminated, np.zeros(self.num_envs, dtype=np.bool_), infos

    def _checked_actions(self, actions: Any) -> NDArray[np.int64]:
        array = np.asarray(actions)
        shape = self.action_space.shape
        last = self._last_action
        if array.shape != shape or array.dtype.kind not in "iu":
            raise ValueError(
                f"actions has the shape {array.shape} and the type {array.dtype}; it must be {shape} integers"
            )
        if array.min() < 0 or array.max() > last:
            index = tuple(np.argwhere((array < 0) | (array > last))[0].tolist())
            raise ValueError(f"actions{list(index)} is {array[index]}; it must be from 0 to {last}")
        # A copy: the caller may change theirs before the step is done.
        return np.array(array, dtype=np.int64, order="C").reshape(self.num_envs, -1)

    def _check_now(self, orders: NDArray[np.int64], actions: NDArray[np.int64]) -> None:
        """ValueError where an action is in its space, but cannot be taken now."""

    def _infos(self, results: NDArray[np.void], ended: NDArray[np.bool_]) -> dict[str, Any]:
        """Gymnasium's form: an array for each name, and a mask of the environments that have it."""
        infos: dict[str, Any] = {}
        for name in self.info_names:
            infos[name] = np.where(ended, results[name], 0.0)
            infos[f"_{name}"] = ended.copy()
        return infos

    def _check_started(self, what: str) -> None:
        if not self._started:
            raise NotStartedError(f"call reset() before {what}")

    def _check_idle(self, what: str) -> None:
        if self._pending is not None:
            raise AlreadyPendingCallError(f"a step has begun; call step_wait() before {what}", "step")

    def __getstate__(self) -> dict[str, Any]:
        self._check_idle("copying")
        return self.__dict__

    def close_extras(self, **kwargs: Any) -> None:
        """Let the threads go; ``reset`` begins again."""
        self._threads.close()
        self._pending = None


def refuse(of_single: dict[str, Any], end: str) -> None:
    """An error where an argument of single environments has an effect, or is unknown; ``end`` is what ends episodes."""
    # What gym.make takes besides, the values that change nothing, and why there are no others here.
    known: dict[str, tuple[tuple[Any, ...], str]] = {
        "render_mode": ((None,), "native vector environments do not render"),
        "render_optimum": ((False,), "native vector environments do not render"),
        "max_episode_steps": ((None, -1), f"episodes of native vector environments end with {end}"),
    }
    for name, value in of_single.items():
        if name not in known:
            raise TypeError(f"native vector environments have no argument {name!r}")
        without, reason = known[name]
        if value not in without:
            raise ValueError(f"{name} is {value!r}; {reason}: it must be {without[0]}")
