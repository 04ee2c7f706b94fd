"""What servers lose when they fail, where tasks do not wait until they are up again.

A failure is an event that finds what is at the server, so that nothing in the queues depends on a failure to come: a
task is given its core as if its server never failed, and its end is taken back where it does. A task that has ended by
the moment of the failure is not lost, nor is what it sends; data that have come for a task that waits for more are
kept. All else of a job that is lost goes on and takes its time, but for the tasks that wait for one that is lost.
"""

from __future__ import annotations

import numpy as np

from offload_gym.compilation import kernel
from offload_gym.lending import lent
from offload_gym.streams.streams import NONE, PARENT
from offload_gym.streams.system import (
    ARRIVE,
    COMPLETE,
    FINISH,
    NUM_EVENTS,
    last_moment_in_time,
    push,
    push_failure,
    unlink,
)
from offload_gym.streams.uptime import slot_at

NEVER = -1  # in place of the data that a task waits for


@kernel
def lose(world, system, q, records):
    """Task ``q``, which has all its data, is lost now.

    Its job is late from now on, unless its deadline has passed already. Its device is told of it at the next report.
    """
    world, system = lent(world), lent(system)
    now_s, n, task = system.clock[0].now_s, world.tasks.shape[1], system.tasks[q]
    j, fresh = task.job, world.common[0].report_s == 0.0
    job, fate, radio = world.jobs[j], system.fates[j], system.radios[world.jobs[j].device]
    if fate.lost_s == np.inf:
        fate.lost_s, fate.done_s = now_s, np.inf
        system.clock[0].num_in_system -= 1
        if fresh:
            radio.num_in_system -= 1
        else:
            radio.num_lost += 1
        if last_moment_in_time(job) > now_s:
            system.clock[0].num_late += 1
    task.waits_for = NEVER
    for i in range(task.number + 1, job.num_tasks):  # parents come before their children
        child = system.tasks[j * n + i]
        for e in range(world.graph_start[job.graph, i, 0], world.graph_start[job.graph, i + 1, 0]):
            parent = system.tasks[j * n + world.graph_edges[job.graph, e, PARENT]]
            if child.waits_for > 0 and parent.waits_for < 0:
                child.waits_for = NEVER
                if fresh:
                    unlink(radio, system.tasks, child)
    if records is not None and len(records.tasks) > 0:
        record = records.tasks[q]
        record.ready_s, record.lost_s = task.ready_s, now_s
        if not record.start_s < now_s:
            record.start_s = np.nan
        record.finish_s = record.completion_s = np.nan


@kernel
def fail(world, system, k, records):
    """Server ``k`` fails now: what runs or waits there is lost."""
    world, system = lent(world), lent(system)
    clock = system.clock[0]
    now_s, count, free_s = clock.now_s, clock.num_events, system.core_free_s[len(world.devices) + k - 1]
    for c in range(len(free_s)):
        if free_s[c] < np.inf:
            free_s[c] = min(free_s[c], now_s)
    for e in range(count):
        q = system.events[e] // NUM_EVENTS
        if system.events[e] % NUM_EVENTS == FINISH and system.event_s[e] > now_s and system.tasks[q].location == k:
            lose(world, system, q, records)
    clock.num_events = 0
    for e in range(count):
        time_s, event = system.event_s[e], system.events[e]
        subject, kind = event // NUM_EVENTS, event % NUM_EVENTS
        ends = kind == FINISH and system.tasks[subject].waits_for < 0
        completes = kind == COMPLETE and system.fates[subject].lost_s < np.inf
        if not (ends or completes):
            push(system, time_s, event)  # into a place of the heap that was read
    push_failure(world, system, k, slot_at(world, now_s))


@kernel
def remains(world, system, j):
    """Whether anything of job j, which is lost, is still under way, or pending for what its device was told."""
    world, system = lent(world), lent(system)
    n, radio = world.tasks.shape[1], system.radios[world.jobs[j].device]
    for at in range(system.clock[0].num_events):
        if system.events[at] % NUM_EVENTS in (ARRIVE, FINISH) and system.events[at] // NUM_EVENTS // n == j:
            return True
    for at in range(system.clock[0].num_ready):
        if system.ready[at] // n == j:
            return True
    link, q = radio.first, radio.first_pending
    while link != NONE:
        if system.links[link].task // n == j:
            return True
        link = system.links[link].after
    while q != NONE:
        if q // n == j:
            return True
        q = system.tasks[q].after
    return False
