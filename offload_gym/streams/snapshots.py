"""The queues of a stream at a moment, to be compared with others and copied."""

from __future__ import annotations

import numpy as np

from offload_gym.compilation import inlined, kernel
from offload_gym.lending import lent
from offload_gym.random_numbers import mix
from offload_gym.streams.spectrum import share_by_now_s
from offload_gym.streams.streams import NONE
from offload_gym.streams.system import ARRIVE, COMPLETE, FINISH, LATE, NUM_EVENTS
from offload_gym.streams.uptime import loses, up_time_s

GRID_PER_S = 1e9  # times are the same where they are on the same point of this grid
UNKNOWN = np.uint64(0)  # the state of queues in which something is about to begin
ONE = np.uint64(1)


@inlined
def _number(kind, subject, time_s):
    """A number without a pattern for something that happens at a time."""
    start = mix(np.uint64(np.int64(subject)) * np.uint64(8) + np.uint64(kind))
    return mix(start ^ np.uint64(np.int64(np.round(time_s * GRID_PER_S))))


@kernel
def state_of(world, system):
    """A hash of what later jobs meet: equal for equal queues, whatever became of the jobs before."""
    world, system = lent(world), lent(system)
    clock, n = system.clock[0], world.tasks.shape[1]
    now_s, total = clock.now_s, ONE
    if clock.num_ready > 0:
        return UNKNOWN
    for d in range(len(system.radios)):
        radio = system.radios[d]
        if radio.busy:
            # In an outage what is left to send, else the seconds that it takes alone.
            left = radio.left_bits / GRID_PER_S
            if radio.due_s < np.inf:
                left = radio.due_s - share_by_now_s(clock, system.sites[radio.site])
            total += _number(4, d, left)
        elif radio.first != NONE:
            return UNKNOWN
        link, place = radio.first, 0.0
        while link != NONE:
            total += _number(5, link, place)
            link, place = system.links[link].after, place + 1.0
        q = radio.first_pending
        while q != NONE:
            task, fate = system.tasks[q], system.fates[q // n]
            if task.waits_for > 0:
                total += _number(6, q, task.location * 1.0) + _number(7, q, task.waits_for * 1.0)
                total += _number(fate.exits_left, -1 - q, max(fate.done_s, now_s))
            q = task.after
    for p in range(len(system.core_free_s)):
        up_s = up_time_s(world, max(p + 1 - len(system.radios), 0), now_s)
        for c in range(system.core_free_s.shape[1]):
            if up_s < system.core_free_s[p, c] < np.inf:
                total += _number(0, -1 - p, system.core_free_s[p, c])
    for at in range(clock.num_events):
        subject, kind = system.events[at] // NUM_EVENTS, system.events[at] % NUM_EVENTS
        if kind in (ARRIVE, FINISH) and system.event_s[at] < np.inf:
            total += _number(kind, subject, system.event_s[at])
            if kind == FINISH and loses(world, system.tasks[subject].location):  # a failure may take back its end
                fate = system.fates[subject // n]
                total += _number(fate.exits_left, -1 - subject, max(fate.done_s, now_s))
    return total


@kernel
def settled_cost(system, late_s):
    """What the jobs so far count: up to now all of them, after that those of which nothing is left to be decided."""
    system = lent(system)
    clock = system.clock[0]
    total_s, num_late = clock.in_system_js, clock.num_late
    for at in range(clock.num_events):
        subject, kind, time_s = system.events[at] // NUM_EVENTS, system.events[at] % NUM_EVENTS, system.event_s[at]
        if kind == COMPLETE:
            total_s += time_s - clock.now_s
        elif kind == LATE and system.fates[subject].exits_left == 0 and system.fates[subject].done_s > time_s:
            num_late += system.fates[subject].lost_s == np.inf  # else it is counted already
    return total_s + late_s * num_late


@kernel
def copy_system(source, target, num_jobs):
    """Copy the queues that ``num_jobs`` jobs left."""
    source, target = lent(source), lent(target)
    target.clock[0] = source.clock[0]
    for a in range(len(source.sites)):
        target.sites[a] = source.sites[a]
    for k in range(source.reported_free_s.shape[0]):
        for c in range(source.reported_free_s.shape[1]):
            target.reported_free_s[k, c] = source.reported_free_s[k, c]
    for p in range(source.core_free_s.shape[0]):
        for c in range(source.core_free_s.shape[1]):
            target.core_free_s[p, c] = source.core_free_s[p, c]
    for d in range(len(source.radios)):
        target.radios[d] = source.radios[d]
        q = source.radios[d].first_pending
        while q != NONE:
            target.tasks[q] = source.tasks[q]
            q = source.tasks[q].after
        link = source.radios[d].first
        while link != NONE:
            target.links[link] = source.links[link]
            link = source.links[link].after
    for at in range(source.clock[0].num_to_begin):
        target.to_begin[at] = source.to_begin[at]
    n = len(source.tasks) // len(source.fates)
    for at in range(source.clock[0].num_ready):
        q = source.ready[at]
        target.ready[at], target.tasks[q] = q, source.tasks[q]
        target.fates[q // n] = source.fates[q // n]
    for at in range(source.clock[0].num_events):
        event = source.events[at]
        target.events[at], target.event_s[at] = event, source.event_s[at]
        if event % NUM_EVENTS == FINISH:
            q = event // NUM_EVENTS
            target.tasks[q] = source.tasks[q]
    for j in range(num_jobs):
        fate = source.fates[j]
        target.fates[j] = fate
        # A failure looks at all tasks of the jobs that lose one.
        if len(source.ends_s) > 0 and (fate.exits_left > 0 or fate.done_s > source.clock[0].now_s):
            for q in range(j * n, j * n + n):
                target.tasks[q] = source.tasks[q]
