"""What a policy sees before it places a task: the numbers, and which is what."""

from __future__ import annotations

import numpy as np

from offload_gym.compilation import inlined
from offload_gym.instances import INPUT, WORKLOAD
from offload_gym.streams.system import recent_gap

#: What the numbers are. Where one of them changes its meaning or its place, this goes up: networks that were trained
#: before are refused.
OBSERVATION_VERSION = 1
HIGH = 3.0
OF_LOCATION = 6  # numbers for each location
OF_STREAM = 10  # and besides


def size_of(num_locations: int) -> int:
    """Numbers of an observation."""
    return OF_LOCATION * num_locations + OF_STREAM


@inlined
def squash(x):
    """``x`` itself up to 2, and on to 3 for larger ones: increasing, continuous in value and slope, below 3."""
    return x if x <= 2.0 else 3.0 - 1.0 / (x - 1.0)


@inlined
def observe(world, system, outlook, j, i, x):
    """Write what is seen before task i of job j is placed, whose options are weighed, into ``x``."""
    foreseen, job = outlook.foreseen[0], world.jobs[j]
    now_s, radio = foreseen.now_s, system.radios[job.device]
    num_locations, width = outlook.core_free_s.shape
    at = 0
    for k in range(num_locations):
        option, first_s, work_s, cores = outlook.options[k], np.inf, 0.0, 0
        for c in range(width):
            free_s = outlook.core_free_s[k, c]
            if free_s < np.inf:
                first_s = min(first_s, free_s)
                work_s += max(free_s - now_s, 0.0)
                cores += 1
        x[at] = squash(option.completion_s)
        x[at + 1] = squash(option.run_s)
        x[at + 2] = squash(max(first_s - now_s, 0.0))
        x[at + 3] = squash(work_s / cores)
        x[at + 4] = squash(option.send_s)
        x[at + 5] = squash(option.path_s + option.return_s)
        at += OF_LOCATION
    left_cycles, left_bits = 0.0, 0.0
    for t in range(i + 1, job.num_tasks):
        left_cycles += world.tasks[j, t, WORKLOAD]
        left_bits += world.tasks[j, t, INPUT]
    x[at] = squash(max(foreseen.radio_s - now_s, 0.0))
    x[at + 1] = squash(0.1 * system.clock[0].num_in_system)
    x[at + 2] = squash(now_s / (radio.num_jobs + 1.0) * 4.0)
    x[at + 3] = squash(recent_gap(radio, now_s) * 4.0 if i == 0 else radio.gap_s * 4.0)
    x[at + 4] = squash(job.deadline_s - (now_s - job.arrival_s)) if job.deadline_s < np.inf else HIGH
    x[at + 5] = squash(left_cycles / world.devices[job.device].hz)
    x[at + 6] = squash(left_bits / foreseen.uplink_bps) if foreseen.uplink_bps > 0.0 else HIGH
    x[at + 7] = (job.num_tasks - i) / (1.0 + job.num_tasks)
    x[at + 8] = squash(foreseen.done_s - now_s)
    x[at + 9] = 1.0 if foreseen.outage else 0.0
