"""Decisions that leave the queues short, for environments where work carries over from epoch to epoch.

Where work that is left when an epoch ends stays in the queues, the decision with the least latency is myopic: it may
fill a queue that the next epoch needs. This search starts from the myopic optimum and minimises the makespan plus
``weight`` times the work left, which is the time that the radio is still busy when the epoch ends plus, for each
location, the mean time that its cores still are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import quoted
from offload_gym.compilation import kernel
from offload_gym.delay import MAKESPAN, Tally, copy_table, new_workspace, open_instance, place_tasks
from offload_gym.instances import CORES, Batch, Instances
from offload_gym.lending import lent
from offload_gym.solvers.exact import exact


@kernel
def work_left(radio_s, free_s, location, epoch_s):
    """Seconds of work that a schedule leaves after ``epoch_s``: on the radio and, per core, at each location."""
    left_s = max(0.0, radio_s - epoch_s)
    for k in range(len(free_s)):
        cores = int(location[k, CORES])
        for m in range(cores):
            left_s += max(0.0, free_s[k, m] - epoch_s) / cores
    return left_s


@kernel
def look_ahead_kernel(arrays, epoch_s, weight, decisions):
    """Improve ``decisions`` (B, n) in place by best-improvement one-flip search."""
    batch = lent(Batch(*arrays))
    memory = new_workspace(batch)
    num_locations = batch.locations.shape[1]
    for b in range(len(decisions)):
        work = lent(memory)
        problem, start = open_instance(batch, b, work)
        room, count = work.room, batch.task_counts[b]
        decision = decisions[b, :count]
        none = Tally(start.radio_s, 0.0, 0.0, 0.0, 0.0)
        best = np.inf
        flip_i, flip_k = 0, decision[0]  # the first round's flip changes nothing
        while flip_i >= 0:
            decision[flip_i] = flip_k
            flip_i = -1
            for i in range(count):
                here = decision[i]
                for k in range(num_locations):
                    decision[i] = k
                    copy_table(start.core_s, room.free_s)
                    tally = place_tasks(problem, decision, 0, count, none, MAKESPAN, room)
                    left_s = work_left(tally.radio_s, room.free_s, batch.locations[b], epoch_s)
                    value = tally.makespan_s + weight * left_s
                    if value < best * (1.0 - 1e-12):
                        best, flip_i, flip_k = value, i, k
                decision[i] = here


def look_ahead(instances: Instances, epoch_s: float, weight: float) -> NDArray[np.int64]:
    """Decisions (B, n) with a short makespan that leave little work.

    Args:
        instances: B instances of n tasks.
        epoch_s: seconds until the next epoch.
        weight: of the work left, at least 0; 0 is the myopic optimum.

    Raises:
        ValueError: an argument is out of its bounds.
    """
    for name, value in (("epoch_s", epoch_s), ("weight", weight)):
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(f"{name} is {quoted(value)}; it must be finite and at least 0")
    decisions = exact(instances)
    look_ahead_kernel(instances.arrays, float(epoch_s), float(weight), decisions)
    return decisions
