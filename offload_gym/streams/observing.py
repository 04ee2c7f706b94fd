"""What a policy sees before it places a task: which number is what, and the kernel that writes them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import inlined
from offload_gym.instances import INPUT, WORKLOAD
from offload_gym.streams.engine import is_exit, run_s
from offload_gym.streams.lookahead import look_ahead_for_all
from offload_gym.streams.outlook import likely_late
from offload_gym.streams.system import recent_gap

LONG, MOST = 100.0, 1e4  # from where on a number of an observation grows slowly, and from where on no more
BY_E = 5.0  # how much a number beyond LONG grows where what it counts is e times as much; so its slope has no jump
HIGH = 34.0  # the bound of every number of an observation; the low bound is 0
REFERENCE_CYCLES, REFERENCE_BITS = 1e9, 1e6
#: What ``observe`` writes of each location, one location after the other: name, unit and meaning.
LOCATION_COLUMNS = (
    (
        "completion",
        "s",
        "until the task's result is on the device, if it is placed there; where others follow it, until the job is "
        "complete, with these placed best at prices that stand for the jobs that wait",
    ),
    ("run", "s", "on a core there, of the task and of what then runs there after it on the way to the last result"),
    ("core_free", "s", "until a core there is free"),
    ("core_work", "s", "of work that a core there has still to do, on average over its cores"),
    ("send", "s", "that the radio sends, of the task's data and of what is then sent on the way to the last result"),
    ("path", "s", "of the wired path there, and of the way back of the result"),
    ("speed", "s", "that a core there takes for 1e9 cycles"),
    ("late", "0 to 1", "how likely that completion is too late: a half where it is at the job's deadline; no root"),
)
#: What it writes after that.
STREAM_COLUMNS = (
    ("radio_free", "s", "until the device's radio has sent all that waits"),
    ("jobs", "1", "jobs of the device in the system"),
    ("mean_gap", "s", "between the device's arrivals, on average since time 0"),
    ("recent_gap", "s", "between the device's arrivals, of which the last ten count most"),
    ("deadline", "s", "until the job's deadline"),
    ("run_left", "s", "that the device would take for the job's tasks after this one"),
    ("send_left", "s", "that the radio would send their inputs"),
    ("tasks_left", "share", "of the job's tasks that are not placed, over one more than it has; no root"),
    ("placed", "s", "until the job's tasks that are placed are complete"),
    ("outage", "0 or 1", "whether the radio has an outage"),
    ("rate", "s", "that the radio sends 1e6 bits"),
    ("arrived", "1", "jobs that arrived at the device before, 100 at most"),
    ("others", "10", "other devices that were sending at the last report, in tens"),
    ("devices", "10", "devices, in tens"),
    ("report_age", "s", "since the last report on the servers"),
)
OF_LOCATION, OF_STREAM = len(LOCATION_COLUMNS), len(STREAM_COLUMNS)
#: What the numbers are. Where one of them changes its meaning or its place, this goes up: networks that were trained
#: before are refused.
OBSERVATION_VERSION = 4


def size_of(num_locations: int) -> int:
    """Numbers of an observation."""
    return OF_LOCATION * num_locations + OF_STREAM


@inlined
def scaled(x):
    """The root of a time in seconds or of a number, and a logarithm where it is long: none looks large."""
    return math.sqrt(x) if x <= LONG else math.sqrt(LONG) + BY_E * math.log(min(x, MOST) / LONG)


def counted(number: NDArray[np.float64]) -> NDArray[np.float64]:
    """What numbers of an observation count, the inverse of ``scaled``."""
    root = math.sqrt(LONG)
    return np.where(number <= root, number**2, LONG * np.exp((number - root) / BY_E))


@inlined
def observe(world, system, outlook, j, i, x):
    """Write what is seen before task i of job j is placed, whose options are weighed, into ``x``."""
    foreseen, job = outlook.foreseen[0], world.jobs[j]
    now_s, radio = foreseen.now_s, system.radios[job.device]
    num_locations, width = outlook.core_free_s.shape
    at = 0
    if not is_exit(world, j, i):
        look_ahead_for_all(world, outlook, j, i)
    for k in range(num_locations):
        option, first_s, work_s, cores = outlook.options[k], np.inf, 0.0, 0
        for c in range(width):
            free_s = outlook.core_free_s[k, c]
            if free_s < np.inf:
                first_s = min(first_s, free_s)
                work_s += max(free_s - now_s, 0.0)
                cores += 1
        x[at] = scaled(option.job_s)
        x[at + 1] = scaled(option.job_run_s)
        x[at + 2] = scaled(max(first_s - now_s, 0.0))
        # Where all cores wait for data that never come, as no rate was seen yet, none counts.
        x[at + 3] = scaled(work_s / cores) if cores > 0 else HIGH
        x[at + 4] = scaled(option.job_send_s)
        x[at + 5] = scaled(option.path_s + option.return_s)
        x[at + 6] = scaled(run_s(world, job.device, k, REFERENCE_CYCLES))
        x[at + 7] = likely_late(option.job_s, job.deadline_s)
        at += OF_LOCATION
    left_cycles, left_bits = 0.0, 0.0
    for t in range(i + 1, job.num_tasks):
        left_cycles += world.tasks[j, t, WORKLOAD]
        left_bits += world.tasks[j, t, INPUT]
    x[at] = scaled(max(foreseen.radio_s - now_s, 0.0))
    x[at + 1] = scaled(foreseen.num_in_system)
    x[at + 2] = scaled(now_s / (radio.num_jobs + 1.0))
    x[at + 3] = scaled(recent_gap(radio, now_s))
    x[at + 4] = scaled(max(job.deadline_s - (now_s - job.arrival_s), 0.0))
    x[at + 5] = scaled(left_cycles / world.devices[job.device].hz)
    x[at + 6] = scaled(left_bits / foreseen.uplink_bps) if left_bits > 0.0 else 0.0
    x[at + 7] = (job.num_tasks - i) / (1.0 + job.num_tasks)
    x[at + 8] = scaled(foreseen.done_s - now_s)
    x[at + 9] = 1.0 if foreseen.outage else 0.0
    x[at + 10] = scaled(REFERENCE_BITS / foreseen.uplink_bps)
    x[at + 11] = math.sqrt(min(radio.num_jobs, LONG))  # streams may be longer than those that networks learned from
    x[at + 12] = scaled(0.1 * foreseen.num_others)
    x[at + 13] = scaled(0.1 * foreseen.num_devices)
    x[at + 14] = scaled(foreseen.report_age_s)
