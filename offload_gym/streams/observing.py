"""What a policy sees before it places a task: which number is what, and the kernel that writes them."""

from __future__ import annotations

import numpy as np

from offload_gym.compilation import inlined
from offload_gym.instances import INPUT, WORKLOAD
from offload_gym.streams.system import recent_gap

HIGH = 3.0
#: What ``observe`` writes of each location, one location after the other: name, unit and meaning.
LOCATION_COLUMNS = (
    ("completion", "s", "until the task's result is on the device, if it is placed there"),
    ("run", "s", "that the task takes on a core there"),
    ("core_free", "s", "until a core there is free"),
    ("core_work", "s", "of work that a core there has still to do, on average over its cores"),
    ("send", "s", "that the radio sends the task's data"),
    ("path", "s", "of the wired path there, and of the way back of the result"),
)
#: What it writes after that.
STREAM_COLUMNS = (
    ("radio_free", "s", "until the device's radio has sent all that waits"),
    ("jobs", "10 jobs", "in the system"),
    ("mean_gap", "0.25 s", "between the device's arrivals, on average since time 0"),
    ("recent_gap", "0.25 s", "between the device's arrivals, of which the last ten count most"),
    ("deadline", "s", "until the job's deadline; 3 where it has none"),
    ("run_left", "s", "that the device would take for the job's tasks after this one"),
    ("send_left", "s", "that the radio would send their inputs; 3 where no rate was seen yet"),
    ("tasks_left", "1", "tasks of the job that are not placed, over one more than it has"),
    ("placed", "s", "until the job's tasks that are placed are complete"),
    ("outage", "1", "1 where the radio has an outage, else 0"),
)
OF_LOCATION, OF_STREAM = len(LOCATION_COLUMNS), len(STREAM_COLUMNS)


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
