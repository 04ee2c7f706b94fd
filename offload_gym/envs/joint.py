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
    ``observation="flat"``: one vector, ``Box(0, 3, (size,), float32)``. ``observation="dict"``: a ``Dict`` of the same
    numbers as named fields, each a ``Box(0, 3, shape, float32)``, but for ``task_mask``, a ``MultiBinary(n)``. With R
    numbers in a task row of the vector (``2 + 4 (K - 1)``, 3 more for dependent tasks), C cores at all locations
    together, and k from 0 to K - 1, of remote locations from 1:

    | dict | flat | unit | content |
    |---|---|---|---|
    | task_mask[i] | i R | 1 | 1: row i holds a task; 0: it is padding |
    | tasks[i, 0] | i R + 1 | scale | row i: run time on the device |
    | tasks[i, 4k - 3] | i R + 4k - 2 | scale | row i: send time on the radio to remote location k |
    | tasks[i, 4k - 2] | i R + 4k - 1 | scale | row i: path time to remote location k: wired path and propagation |
    | tasks[i, 4k - 1] | i R + 4k | scale | row i: run time at remote location k |
    | tasks[i, 4k] | i R + 4k + 1 | scale | row i: return time of the result from remote location k |
    | radio[0] | n R | scale | when the radio is free |
    | makespan[0] | n R + 1 | scale | makespan of the tasks placed so far |
    | share_left[0] | n R + 2 | 1 | share of the epoch's tasks that are not placed |
    | cores[c] | n R + 3 + c | scale | when core m of location k is free, earliest first |
    | options[k, 0] | n R + 3 + C + k | scale | completion of the task of row 0, placed at location k |
    | options[k, 1] | n R + 3 + C + K + k | scale | makespan if greedy places all later tasks after location k |
    | options[k, 2] | n R + 3 + C + 2K + k | scale | mean completion if greedy places all later tasks after location k |

    Where the scenario has dependent tasks there are also, with ``D = n R + 3 + C + 7K``:

    | dict | flat | unit | content |
    |---|---|---|---|
    | tasks[i, 4K - 3] | i R + 4K - 2 | scale | row i: upward rank: mean time from its start to the end |
    | tasks[i, 4K - 2] | i R + 4K - 1 | scale | row i: mean transfer time of all its incoming data |
    | tasks[i, 4K - 1] | i R + 4K | scale | row i: mean transfer time of all its outgoing data |
    | options[k, 3] | D - 4K + k | scale | least makespan if later tasks go to one location after location k |
    | options[k, 4] | D - 3K + k | scale | least mean completion if later tasks go to one location after location k |
    | options[k, 5] | D - 2K + k | scale | makespan that the critical path leaves possible after location k |
    | options[k, 6] | D - K + k | scale | mean completion that the critical path leaves possible after location k |
    | links[k - 1, 0] | D + 4k - 4 | scale | uplink time of the reference data to remote location k |
    | links[k - 1, 1] | D + 4k - 3 | scale | downlink time of the reference data from remote location k |
    | links[k - 1, 2] | D + 4k - 2 | scale | wired-path time of the reference data to remote location k |
    | links[k - 1, 3] | D + 4k - 1 | scale | propagation time to remote location k |
    | arrivals[i, k] | D + 4K - 4 + i K + k | scale | when data for row i from placed parents is at location k |
    | adjacency[i, j] | D + 4K - 4 + n K + i n + j | scale | send time to location 1 of the data from row i to row j |

    And under the objective "cost", at the end of the vector, whose size is N:

    | dict | flat | unit | content |
    |---|---|---|---|
    | prices[0] | N - 2 | 1 | what a second of run time on the device costs, in seconds of makespan |
    | prices[1] | N - 1 | 1 | what a second of sending costs, in seconds of makespan |

    The unit "scale" is seconds over the epoch's scale (the makespan of greedy earliest completion,
    ``env.unwrapped.scale_s`` seconds), bounded by ``offload_gym.observation.squash``. Greedy is earliest completion.
    The reference data is what the radio sends to location 1 in a tenth of the scale. Arrivals are as if the radio were
    idle, and 0 where no parent is placed; an edge that carries nothing is 0 in the adjacency. Rows of missing tasks are
    zero. ``roll_outs=False`` leaves out what looks beyond the next task, ``options[k, 1]`` and all behind it, so that
    ``options`` is (K, 1) and what follows in the vector moves up.
    ``offload_gym.observation_layout.columns(scenario, objective, roll_outs)`` lists the vector number by number. The
    fields are views of one vector, made anew in each step; ``FlattenObservation`` of the dict has the numbers of the
    flat form, field by field in alphabetical order of their names.

    ## Reward
    Minus the epoch's latency in seconds under ``objective``: the largest completion time ("makespan"), the mean one
    ("mean"), or the makespan plus the device's energy times the scenario's ``energy_weight_s_per_j`` ("cost").

    ## Starting state
    Machines, radio and backlogs are drawn from the scenario's distribution with the seed of ``reset``.

    ## Episode end
    ``terminated`` after ``num_epochs`` steps, as the return is that of these epochs. The observation does not count
    them: without ``carry_over`` no decision affects a later epoch and the optimal policy does not depend on the count,
    but a value function over several epochs does. ``num_epochs=1`` makes each epoch an episode; ``num_epochs=None``
    never ends, and ``gym.make(..., max_episode_steps=...)`` then truncates. The environment itself never truncates. A
    step after the end warns and goes on with the next epoch.

    ## Information
    ``info["latency_s"]``: the epoch's latency in seconds under the objective; ``info["makespan_s"]``: its makespan
    whatever the objective; ``info["energy_j"]``: the device's energy in joules, see ``offload_gym.energy``.
    ``env.unwrapped.instances`` is the epoch to be decided as the policy sees it, ``env.unwrapped.true_instances`` as it
    is.

    ## Arguments
    - ``scenario="default"``: a preset's name, a dict with "name" and what to change, or a ``Scenario``.
    - ``objective="makespan"``: one of ``offload_gym.OBJECTIVES``.
    - ``num_epochs=10``: epochs of an episode, or None.
    - ``carry_over=False``: whether work that is left stays in the queues.
    - ``observation_noise=0.0``: what the policy sees of rates and backlogs; the delay is always that of the truth.
      0: the truth, a larger number: estimates (``offload_gym.estimate_instances``), "last": those of the epoch before.
    - ``observation="flat"``: "flat" or "dict", see above.
    - ``roll_outs=True``: whether the observation shows where greedy and other simple ways of placing the later tasks
      lead to. False: what a policy that is to plan by itself sees; a step then takes less time.
    - ``render_mode=None``: the schedule of the last epoch as a Gantt chart of device, radio and each core, as "ansi"
      (text), "rgb_array" (pixels; needs matplotlib) or "human" (a window that follows each step; needs matplotlib,
      pygame and a display, and says so where there is none).
    - ``render_optimum=False``: whether the epoch's optimal schedule is shown beside it.

    ## Version history
    v0: first version.
    """

    joint = True

    def _make_action_space(self) -> MultiDiscrete:
        return MultiDiscrete([self.scenario.num_locations] * self.scenario.most_tasks)
