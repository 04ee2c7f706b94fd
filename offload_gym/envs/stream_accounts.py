"""What each device has of a stream's costs: of its own jobs, beside the total that the engine keeps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import kernel
from offload_gym.envs.stream_fleet import StreamFleet, mean_and_quantile
from offload_gym.streams.responses import late_jobs
from offload_gym.streams.system import last_moment_in_time


@kernel
def reward_devices(jobs, fates, now_s, rules, new, in_system, num_in_system, cost, rewards):
    """Minus what the jobs of each device have cost since the last call.

    Args:
        jobs: (J,) of the dtype JOB.
        fates: (J,) of the dtype FATE.
        now_s: up to when.
        rules: (1,) of the dtype RULES.
        new: two numbers: the first job that was decided since the last call, and the first one that is not decided yet.
        in_system: (J,) the jobs that were in the system at the last call, set to those that are now.
        num_in_system: how many they were.
        cost: (J,) of each job by the last call, set to that by now; 0 of a new one.
        rewards: (m,) filled.

    Returns:
        How many jobs are in the system now.
    """
    rewards[:] = 0.0
    for j in range(new[0], new[1]):
        in_system[num_in_system] = j
        num_in_system += 1
    price, left = rules[0], 0
    for at in range(num_in_system):
        j = in_system[at]
        job, fate = jobs[j], fates[j]
        # When it is complete may be known before.
        done_s = fate.done_s if fate.exits_left == 0 else np.inf
        gone = fate.lost_s < np.inf or (fate.exits_left == 0 and fate.done_s == np.inf)  # lost, or dropped
        due_s = last_moment_in_time(job)
        by_now = price.price_j * fate.energy_j
        if gone or (due_s <= now_s and done_s > due_s):
            by_now += price.price_late
        if not gone:
            by_now += price.price_js * (min(done_s, now_s) - job.arrival_s)
            if done_s > now_s:
                in_system[left] = j
                left += 1
        rewards[job.device] += cost[j] - by_now
        cost[j] = by_now
    return left


class DeviceAccounts:
    """The costs of a fleet of one, by the device at which a job arrived.

    What a job has cost by now follows from its fate alone, so the engine need not count it. A step looks at the jobs
    that are in the system: its time depends on their number and that of the devices, not on the length of the episode.

    Args:
        fleet: one environment.
    """

    def __init__(self, fleet: StreamFleet) -> None:
        num_jobs, num_devices = fleet.batch.jobs.shape[1], fleet.batch.devices.shape[1]
        self._fleet = fleet
        self._in_system = np.zeros(num_jobs, dtype=np.int64)
        self._cost, self._rewards = np.zeros(num_jobs), np.zeros(num_devices)
        self.begin()

    def begin(self) -> None:
        """An episode has begun."""
        self._num_in_system = self._num_decided = 0
        self._cost[:] = 0.0

    def rewards(self) -> NDArray[np.float64]:
        """Minus what the jobs of each device have cost since the last call.

        Returns:
            (m,) under the fleet's objective, filled anew in each call. An episode's sum is exact up to rounding, a
            relative 1e-12 or so.
        """
        fleet, decided = self._fleet, int(self._fleet.progress["job"][0])
        jobs, fates, now_s = fleet.batch.jobs[0], fleet.systems.fates[0], fleet.systems.clock["now_s"][0, 0]
        of_jobs, new = (self._in_system, self._num_in_system, self._cost), (self._num_decided, decided)
        self._num_in_system = reward_devices(jobs, fates, now_s, fleet.rules, new, *of_jobs, self._rewards)
        self._num_decided = decided
        return self._rewards

    def summary(self) -> dict[str, NDArray[np.float64]]:
        """What the infos of the fleet say of an episode that is over, for each device (m,) instead of all together.

        NaN where a device had no job, and as in the fleet where all its jobs were dropped or lost; joules are 0 where
        it had none or all were dropped.
        """
        jobs, fates = self._fleet.batch.jobs[0], self._fleet.systems.fates[0]
        device, num_devices = jobs["device"], self._fleet.batch.devices.shape[1]
        count = np.bincount(device, minlength=num_devices)
        response_s = fates["done_s"] - jobs["arrival_s"]
        by_device = np.argsort(device, kind="stable")
        of = device[by_device]
        rows_s = np.full((num_devices, count.max()), np.inf)
        rows_s[of, np.arange(len(of)) - (np.cumsum(count) - count)[of]] = response_s[by_device]
        mean_s, p95_s = mean_and_quantile(rows_s)
        late, lost = (
            np.divide(of, count, out=np.full(num_devices, np.nan), where=count > 0)
            for of in (
                np.bincount(device, late_jobs(response_s, jobs["deadline_s"]), num_devices),
                np.bincount(device, fates["lost_s"] < np.inf, num_devices),
            )
        )
        return {
            "response_mean_s": mean_s,
            "response_p95_s": p95_s,
            "late_share": late,
            "lost_share": lost,
            "energy_j": np.bincount(device, fates["energy_j"], num_devices),
        }
