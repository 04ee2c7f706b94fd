"""``offload_gym/Joint-v0``: one step decides all tasks of an epoch."""

from __future__ import annotations

from gymnasium.spaces import MultiDiscrete

from offload_gym.envs.epochs import EpochEnv


class JointEnv(EpochEnv):
    """Offloading of n tasks, all decided at once.

    ## Description
    An end device has n tasks. Each runs on the device, on an edge server or on the cloud server. Remote tasks share the
    device's radio in index order, and each location's cores serve them as they come. Each step is one decision epoch:
    the action places all its tasks, the reward is minus the epoch's latency, and new tasks arrive. Tasks can depend on
    each other, where the scenario draws applications or random graphs. Radio and backlogs evolve from epoch to epoch (a
    correlated random process, or a recorded trace); the machines stay the same during an episode. The decision does not
    change the next epoch's state, so the per-epoch optimum is the optimal policy, unless ``carry_over`` is set: then
    work that is left when the next epoch begins (``scenario.epoch_s`` later) keeps the radio and the cores busy.

    ## Action space
    ``MultiDiscrete([K] * n)``: the location of each task; 0 is the device, 1..K-2 the edge servers, K-1 the cloud. n is
    the most tasks that an epoch of the scenario can have; the entries of an epoch's missing tasks are ignored.
    ``env.unwrapped.action_masks()`` leaves them only action 0.

    ## Observation space
    ``Box(0, 3, (n * (2 + 4 (K - 1)) + 3 + cores + K,), float32)``: n task rows, then the state. All times are divided
    by the epoch's scale (the makespan of greedy earliest completion, ``env.unwrapped.scale_s`` seconds) and bounded by
    ``offload_gym.observation.squash``. Columns of a task row:

    | column | content |
    |---|---|
    | 0 | 1: the row holds a task |
    | 1 | run time on the device |
    | 4k - 2 | send time on the radio to remote location k |
    | 4k - 1 | path time: wired path and propagation |
    | 4k | run time there |
    | 4k + 1 | return time of the result |

    Columns of the state: when the radio is free; makespan so far (0); share of tasks not placed (1); when each core is
    free, earliest first within a location, for locations 0..K-1; when task 0 would complete at each location. Rows of
    missing tasks are zero, so column 0 is the mask.

    Where the scenario has dependent tasks the vector is longer: rows also hold upward rank and transfer times, the
    state what simple completions of the schedule lead to, and arrivals and edges of the graph follow it. Under the
    objective "cost" it ends with two energy prices. ``offload_gym.observation`` lists these columns.

    ## Reward
    Minus the epoch's latency in seconds under ``objective``: the largest completion time ("makespan"), the mean one
    ("mean"), or the makespan plus the device's energy times the scenario's ``energy_weight_s_per_j`` ("cost").

    ## Starting state
    Machines, radio and backlogs are drawn from the scenario's distribution with the seed of ``reset``.

    ## Episode end
    ``terminated`` after ``num_epochs`` steps, as the return is that of these epochs. The observation does not count
    them: without ``carry_over`` no decision affects a later epoch and the optimal policy does not depend on the count,
    but a value function over several epochs does. ``num_epochs=1`` makes each epoch an episode; ``num_epochs=None``
    never ends, and ``gym.make(..., max_episode_steps=...)`` then truncates. The environment itself never truncates.

    ## Information
    ``info["latency_s"]``: the epoch's latency in seconds under the objective; ``info["makespan_s"]``: its makespan
    whatever the objective; ``info["energy_j"]``: the device's energy in joules, see ``offload_gym.energy``.
    ``env.unwrapped.instances`` is the epoch to be decided as the policy sees it, ``env.unwrapped.true_instances`` as it
    is.

    ## Arguments
    ``scenario``: a preset's name, a dict with "name" and what to change, or a ``Scenario``; ``objective``;
    ``num_epochs`` in an episode; ``carry_over``: whether work that is left stays in the queues; ``observation_noise``:
    what the policy sees of rates and backlogs, where the delay is always that of the truth: 0 the truth, a larger
    number estimates (``offload_gym.estimate_instances``), "last" those of the epoch before; ``render_mode``: "ansi"
    (text) or "rgb_array" (needs matplotlib): the schedule of the last epoch as a Gantt chart of device, radio and each
    core.

    ## Version history
    v0: first version.
    """

    joint = True

    def _make_action_space(self) -> MultiDiscrete:
        return MultiDiscrete([self.scenario.num_locations] * self.scenario.most_tasks)
