"""A critic that sees the whole cell while the actor sees its own device, as in MAPPO.

The critic is needed in training alone, so it may read what no device knows (Yu et al., "The Surprising Effectiveness of
PPO in Cooperative Multi-Agent Games", NeurIPS 2022). Observations get further columns, which the actor does not read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import MlpExtractor
from torch import Tensor

from offload_gym.envs.stream import VectorStreamEnv
from offload_gym.streams.observing import LONG, REFERENCE_BITS
from offload_gym.streams.uptime import up_time_and_state

OF_DEVICE = 4  # numbers of each device


def cell_columns(env: VectorStreamEnv) -> NDArray[np.float32]:
    """What is in the queues of all devices and servers, which no device knows.

    Args:
        env: N environments of m devices and S servers, after a reset or a step.

    Returns:
        (N, 4 m + S) roots, as in observations: of each device, that whose turn it is first and the others in the order
        of their numbers, its jobs in the system, seconds of work on its cores, seconds in which its radio alone sends
        1e6 bits, 100 at most, and whether it is sending; and of each server the seconds of work on its cores.
    """
    fleet = env._fleet
    batch, systems, progress = fleet.batch, fleet.systems, fleet.progress
    num_envs, m = batch.devices.shape
    now_s, free_s = systems.clock["now_s"], systems.core_free_s
    clock_s = np.repeat(now_s, free_s.shape[1], axis=1)  # of each location: its time up where tasks wait for servers
    if batch.down_slots.shape[2] > 1 and not batch.common["loses_tasks"].any():
        for n, k in np.ndindex(batch.servers.shape):
            slots = batch.down_slots[n, k]
            clock_s[n, m + k] = up_time_and_state(slots, batch.common["slot_s"][n], now_s[n, 0])[0]
    work_s = np.where(free_s < np.inf, np.maximum(free_s - clock_s[:, :, None], 0.0), 0.0).sum(axis=2)
    slot = np.minimum(now_s[:, 0] / batch.common["slot_s"], batch.uplink_bps.shape[2] - 1).astype(np.int64)
    uplink_bps = np.take_along_axis(batch.uplink_bps, slot[:, None, None], axis=2)[:, :, 0]
    send_s = REFERENCE_BITS / np.maximum(uplink_bps, REFERENCE_BITS / LONG)
    radios = systems.radios
    devices = np.stack([radios["num_in_system"], work_s[:, :m], send_s, radios["due_s"] < np.inf], axis=2)
    job = np.minimum(progress["job"], batch.jobs.shape[1] - 1)  # there is none after the last one
    turn = np.take_along_axis(batch.jobs["device"], job[:, None], axis=1)
    devices = np.take_along_axis(devices, ((turn + np.arange(m)) % m)[:, :, None], axis=1)
    return np.sqrt(np.hstack([devices.reshape(num_envs, -1), work_s[:, m:]])).astype(np.float32)


class OwnView(MlpExtractor):
    """Networks of which the actor reads the first ``own`` features alone, and the critic all."""

    def __init__(self, own: int, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.own = own
        self.policy_net = MlpExtractor(own, *arguments[1:], **named).policy_net

    def forward_actor(self, features: Tensor) -> Tensor:
        """What the actor makes of its own view."""
        return super().forward_actor(features[:, : self.own])


class CentralPolicy(ActorCriticPolicy):
    """An actor of ``own`` features with a critic of all."""

    def __init__(self, *arguments: Any, own: int, **named: Any) -> None:
        self.own = own
        super().__init__(*arguments, **named)

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = OwnView(self.own, self.features_dim, self.net_arch, self.activation_fn, self.device)
