"""``offload_gym/Sequential-v0``: one step decides one task."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Discrete
from numba import njit
from numpy.typing import NDArray

from offload_gym.delay import COST, place_tasks
from offload_gym.envs.epochs import EpochEnv
from offload_gym.instances import Instances
from offload_gym.observation import write_observation, write_prices


@njit(cache=True, error_model="numpy")
def _place_and_observe(
    problem, locations, links, num_rows, i, decision, radio_s, makespan_s, finish_s, free_s, scale_s, out
):
    """Place task ``i`` at ``decision[i]`` and observe; returns what ``place_tasks`` does."""
    placed = place_tasks(problem, decision, i, i + 1, radio_s, makespan_s, finish_s, free_s)
    if i + 1 < len(decision):
        radio_s, makespan_s = placed[0], placed[1]
        write_observation(
            problem, locations[0], links, i + 1, num_rows, decision, finish_s, radio_s, makespan_s, free_s, scale_s, out
        )
    return placed


class SequentialEnv(EpochEnv):
    """Offloading of n tasks, decided one at a time, in index order.

    The problem is that of ``offload_gym/Joint-v0``; see ``JointEnv`` for the delay model, the columns of a task row,
    the evolution of radio and backlogs, and the arguments.

    ## Action space
    ``Discrete(K)``: the location of the next task; 0 is the device, 1..K-2 the edge servers, K-1 the cloud.

    ## Observation space
    As in ``JointEnv``, with row 0 for the task to be placed now, row 1 for the one after it, and zero rows beyond the
    last task. The state is that of the schedule so far: when the radio is free; makespan of the tasks placed; share of
    tasks not placed; when each core is free, earliest first within a location; when the task of row 0 would complete at
    each location. The scale stays that of the epoch. Of dependent tasks the edges move with the rows, and the arrivals
    say when the data of parents that are placed could be at each location. With ``observation_noise`` the schedule so
    far is the one that the estimates predict.

    ## Reward
    Minus what the placement added to the epoch's latency in seconds: the growth of the makespan, the task's completion
    time over n ("mean"), or the growth of the cost ("cost"). The rewards of an epoch add up to the reward of
    ``JointEnv``.

    ## Episode end
    ``terminated`` after the last task of epoch ``num_epochs``; see ``JointEnv`` for ``num_epochs`` of 1 and None.

    ## Information
    As in ``JointEnv``, at the step that places the epoch's last task.

    ## Version history
    v0: first version.
    """

    _task: int  # the next one to place
    _total_s: float  # sum of the completions so far
    _reached_s: float  # the objective so far
    _decision: NDArray[np.int64]

    def _make_action_space(self) -> Discrete:
        return Discrete(self.scenario.num_locations)

    def step(self, action: int | np.integer) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Place the next task; ValueError where the action is not in the action space."""
        self._check_action(action, ())
        self._decision[self._task] = action
        observation = np.empty(self._observation_size, dtype=np.float32)
        seen, true = self._seen, self._true
        seen.radio_s, seen.makespan_s, completion_s, run_s, send_s = _place_and_observe(
            seen.problem, seen.instances.locations, self._links[: self._num_tasks], self._num_rows, self._task,
            self._decision, seen.radio_s, seen.makespan_s, seen.finish_s, seen.free_s, self._scale_s, observation,
        )  # fmt: skip
        if seen is true:
            seen.run_s += run_s
            seen.send_s += send_s
        else:
            completion_s = true.place(self._decision, self._task, self._task + 1)
        self._total_s += completion_s
        before_s, self._reached_s = self._reached_s, self._value_s(self._total_s)
        reward = before_s - self._reached_s
        self._task += 1
        self._show(self._decision)
        if self._task < self._num_tasks:
            if self._objective == COST:
                write_prices(seen.problem, observation)
            return observation, reward, False, False, {}
        info = self._info(self._reached_s)
        observation, terminated = self._close()
        return observation, reward, terminated, False, info

    def _open(self, instances: Instances) -> NDArray[np.float32]:
        self._task = 0
        self._total_s = self._reached_s = 0.0
        self._decision = np.full(instances.task_counts[0], -1)
        return super()._open(instances)
