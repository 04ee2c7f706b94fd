"""What all single environments share: a fleet of one as Gymnasium asks for it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from offload_gym.envs.orders import BEGIN, STEP, AnyFleet, info_names
from offload_gym.envs.spec import PlainSpec
from offload_gym.observation_layout import Observation, Views, shown


class NotStartedError(gym.error.ResetNeeded, AttributeError):
    """No episode has begun. Attributes that an episode brings are not there before: ``hasattr`` says so."""


class SingleEnv(gym.Env):
    """Base of the single environments: begins episodes, checks actions, and asks for pictures.

    Args:
        render_mode: None, "ansi", "rgb_array" or "human".

    Raises:
        ValueError: the mode is another one.
    """

    metadata = {"render_modes": ["ansi", "rgb_array", "human"], "render_fps": 2}  # noqa: RUF012 (Gymnasium's convention)
    spec = PlainSpec()
    _fleet: AnyFleet

    def __init__(self, render_mode: str | None) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode is {render_mode!r}; it must be None, 'ansi', 'rgb_array' or 'human'")
        self.render_mode = render_mode
        self._started = self._over = False
        self._shown: Any = None  # what render() draws
        self._viewer: Any = None

    def _take(self, fleet: AnyFleet, observed: tuple[gym.Space, Views | None, int], action_space: gym.Space) -> None:
        """Play a fleet, whose observations are what ``observation_layout.observed`` says."""
        self._fleet = fleet
        self.observation_space, self._views, size = observed
        self.action_space = action_space
        self._observation_shape = (1, size)
        self._action_shape: tuple[int, ...] = action_space.shape or ()
        self._action = np.zeros((1, *(self._action_shape or (1,))), dtype=np.int64)
        self._results = np.zeros(1, dtype=fleet.result)
        self._info_names = info_names(fleet)

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are of use in the next step, in the form that sb3-contrib's MaskablePPO asks for."""
        self._check_started("action_masks()")
        masks: NDArray[np.bool_] = self._fleet.action_masks()[0]
        return masks

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        if seed is not None or not self._started:
            self._fleet.seed(0, self.np_random.integers(2**64, dtype=np.uint64))
        observations = np.empty(self._observation_shape, dtype=np.float32)
        self._fleet.step(_BEGIN, self._action, observations, self._results)
        self._started, self._over = True, False
        if self.render_mode is not None:
            self._shown = self._first_picture()
            if self.render_mode == "human":
                self.render()
        return shown(observations[0], self._views), {}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Do what the action says; after the end of an episode with a warning.

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
        picture = None if self.render_mode is None else self._picture()
        observations = np.empty(self._observation_shape, dtype=np.float32)
        if self._fleet.step(_STEP, self._action, observations, self._results) >= 0:
            raise self._bad(action)
        if picture is not None:
            self._shown = picture
            if self.render_mode == "human":
                self.render()
        reward, *numbers, ended, over = self._results.item()
        self._over = bool(over)
        info = dict(zip(self._info_names, numbers, strict=True)) if ended else {}
        return shown(observations[0], self._views), reward, self._over, False, info

    @abstractmethod
    def _first_picture(self) -> Any:
        """What ``render()`` draws at the beginning of an episode."""

    @abstractmethod
    def _picture(self) -> Any:
        """What ``render()`` draws once the action is done, which is about to be; not None."""

    @abstractmethod
    def _drawn(self) -> Any:
        """What ``_shown`` looks like."""

    @abstractmethod
    def _bad(self, action: Any) -> ValueError:
        """The error of an action that cannot be taken."""

    def _check_started(self, what: str) -> None:
        if not self._started:
            raise NotStartedError(f"call reset() before {what}")

    def render(self) -> Any:
        """What the environment has come to, in the form of the ``render_mode``."""
        if self.render_mode is None:
            modes = ", ".join(repr(mode) for mode in self.metadata["render_modes"])
            gym.logger.warn(f"render() does nothing without a render_mode; pass one of {modes} as render_mode.")
            return None
        if self._shown is None:  # also where render_mode was set later
            raise gym.error.ResetNeeded("call reset() before render()")
        return self._drawn()

    def close(self) -> None:
        """Close the window of render_mode "human"."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy of the environment opens a window of its own.
        return self.__dict__ | {"_viewer": None}


_BEGIN, _STEP = np.array([BEGIN]), np.array([STEP])
