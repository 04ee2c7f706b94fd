"""What a future does not have of the real failures: those to come, and when what runs on servers ends by them."""

from __future__ import annotations

from offload_gym.compilation import kernel
from offload_gym.instances import OUTPUT
from offload_gym.lending import lent
from offload_gym.streams.engine import is_exit, way_back
from offload_gym.streams.system import COMPLETE, FAIL, FINISH, NUM_EVENTS, push, push_failure
from offload_gym.streams.uptime import moment_of, slot_at, up_time_s


@kernel
def retime(real, future, system, first, last):
    """Time anew what is known to end, in a system that was copied from the real stream into a future.

    Args:
        real: ``World`` as it is, whose servers can fail.
        future: ``World`` of the future.
        system: ``System`` of the future, as it is now.
        first: the first job that may not be complete.
        last: the first job that is not decided.
    """
    real, future, system = lent(real), lent(future), lent(system)
    clock, lost = system.clock[0], real.common[0].loses_tasks != 0
    for j in range(first, last):
        if not lost and system.fates[j].exits_left > 0:
            system.fates[j].done_s = _done_s(real, future, system, j)
    count = clock.num_events
    clock.num_events = 0
    for e in range(count):
        time_s, event = system.event_s[e], system.events[e]
        subject, kind = event // NUM_EVENTS, event % NUM_EVENTS
        if kind == FAIL:
            continue
        if lost:  # the ends of tasks know nothing of failures
            push(system, time_s, event)
            continue
        if kind == FINISH:
            k = system.tasks[subject].location
            time_s = moment_of(future, k, up_time_s(real, k, time_s), clock.now_s)
        elif kind == COMPLETE:
            time_s = system.fates[subject].done_s = _done_s(real, future, system, subject)
        push(system, time_s, event)  # into a place of the heap that was read
    if lost:
        for k in range(1, len(future.servers) + 1):
            push_failure(future, system, k, slot_at(future, clock.now_s))


@kernel
def _done_s(real, future, system, j):
    """The latest result of the tasks without children of job j that have a core."""
    n, done_s = real.tasks.shape[1], 0.0
    for i in range(real.jobs[j].num_tasks):
        q = j * n + i
        has_core = system.tasks[q].waits_for == 0
        for at in range(system.clock[0].num_ready):
            has_core = has_core and system.ready[at] != q
        if has_core and is_exit(real, j, i):
            done_s = max(done_s, _completion_s(real, future, system, j, i, q))
    return done_s


@kernel
def _completion_s(real, future, system, j, i, q):
    """When the result of task i of job j, which has a core, is on the device."""
    job, k = real.jobs[j], system.tasks[q].location
    finish_s = moment_of(real, k, system.ends_s[q], job.arrival_s)
    if k == 0:
        return finish_s
    if finish_s > system.clock[0].now_s:
        finish_s = moment_of(future, k, system.ends_s[q], system.clock[0].now_s)
    return way_back(future, job.device, k, real.tasks[j, i, OUTPUT], finish_s)
