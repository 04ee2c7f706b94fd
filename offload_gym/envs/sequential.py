"""``offload_gym/Sequential-v0``: one step decides one task."""

from __future__ import annotations

from gymnasium.spaces import Discrete

from offload_gym.envs.epochs import EpochEnv


class SequentialEnv(EpochEnv):
    """Offloading of n tasks, decided one at a time, in index order.

    The problem is that of ``offload_gym/Joint-v0``; see ``JointEnv`` for the delay model, the columns of a task row,
    the evolution of radio and backlogs, and the arguments.

    ## Action space
    ``Discrete(K)``: the location of the next task; 0 is the device, 1..K-2 the edge servers, K-1 the cloud.

    ## Observation space
    As in ``JointEnv``, column by column, with row 0 for the task to be placed now, row 1 for the one after it, and zero
    rows beyond the last task. The state is that of the schedule so far: ``radio``, ``makespan``, ``share_left`` and
    ``cores`` after the tasks that are placed, and ``options`` of the task of row 0. The scale stays that of the epoch.
    Of dependent tasks the adjacency moves with the rows, and the arrivals say when the data of parents that are placed
    could be at each location. With ``observation_noise`` the schedule so far is the one that the estimates predict.

    ## Reward
    Minus what the placement added to the epoch's latency in seconds: the growth of the makespan, the task's completion
    time over n ("mean"), or the growth of the cost ("cost"). The rewards of an epoch add up to the reward of
    ``JointEnv``.

    ## Starting state
    As in ``JointEnv``: machines, radio and backlogs drawn from the scenario's distribution, and no task placed.

    ## Episode end
    ``terminated`` after the last task of epoch ``num_epochs``; see ``JointEnv`` for ``num_epochs`` of 1 and None.

    ## Information
    As in ``JointEnv``, at the step that places the epoch's last task.

    ## Arguments
    Those of ``JointEnv``.

    ## Version history
    v0: first version.
    """

    joint = False

    def _make_action_space(self) -> Discrete:
        return Discrete(self.scenario.num_locations)
