"""The native vector environments as what stable-baselines3 trains on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from offload_gym.envs.native import NativeVectorEnv

try:
    from stable_baselines3.common.vec_env import VecEnv
    from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "offload_gym.interop.sb3 needs stable-baselines3; install the extra: pip install 'offload-gym[sb3]'"
    ) from error


class SB3VecEnv(VecEnv):
    """One native vector environment behind the interface of stable-baselines3's vectorised environments.

    ``VecMonitor`` of stable-baselines3 around it adds the statistics of episodes to the log.

    Args:
        env: with ``autoreset_mode="SameStep"``, as stable-baselines3 expects the first observation of the next episode
            with the last reward of the one before. The last observation is ``infos[b]["terminal_observation"]``.

    Raises:
        ValueError: the environment is no native one of this package, or has another autoreset mode.
    """

    def __init__(self, env: NativeVectorEnv) -> None:
        if not isinstance(env, NativeVectorEnv):
            raise ValueError(
                f"env is {env!r}; it must be a native vector environment, as gym.make_vec makes with "
                "vectorization_mode='vector_entry_point' and autoreset_mode='SameStep'"
            )
        if env.autoreset_mode != AutoresetMode.SAME_STEP:
            raise ValueError(f"autoreset_mode is {env.autoreset_mode.value!r}; stable-baselines3 needs 'SameStep'")
        self.env = env
        self.render_mode = None
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> VecEnvObs:
        """Begin new episodes, with the seeds that ``seed()`` set; ValueError where ``set_options()`` set some."""
        if any(self._options):
            raise ValueError(f"the options are {self._options!r}; these environments have none")
        seeds = None if self._seeds[0] is None else self._seeds
        observations, _ = self.env.reset(seed=seeds)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: NDArray) -> None:
        """Keep the actions until ``step_wait``."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step all environments."""
        observations, rewards, dones, _, arrays = self.env.step(self._actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if arrays:
            # An epoch that is an episode's last one is reported apart.
            for source in (arrays, arrays.get("final_info", {})):
                for name in self.env.info_names:
                    for b in np.flatnonzero(source.get(f"_{name}", ())):
                        infos[b][name] = float(source[name][b])
            for b in np.flatnonzero(dones):
                infos[b] |= {"terminal_observation": arrays["final_obs"][b], "TimeLimit.truncated": False}
        return observations, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        """Let the environment's threads go."""
        self.env.close()

    def _rows(self, indices: VecEnvIndices) -> Sequence[int]:
        return list(self._get_indices(indices))

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute for each index: of instances and scales its own, of everything else that of all."""
        value = self.render_mode if attr_name == "render_mode" else getattr(self.env, attr_name)
        rows = self._rows(indices)
        if attr_name in ("instances", "true_instances", "streams"):
            return [value[b : b + 1] for b in rows]
        return [value[b] for b in rows] if attr_name == "scale_s" else [value] * len(rows)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Not possible: the environments are one."""
        raise NotImplementedError(f"{attr_name} of single environments cannot be set: they are one")

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """``action_masks()`` of each index, for sb3-contrib; nothing else, as the environments are one."""
        if method_name != "action_masks":
            raise NotImplementedError(f"{method_name}() of single environments cannot be called: they are one")
        masks = self.env.action_masks()
        return [masks[b] for b in self._rows(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        """False for each index."""
        return [False] * len(self._rows(indices))
