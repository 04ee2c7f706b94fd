"""What is in the queues of one stream at a moment, and the world around it, as the arrays that kernels pass.

Kernels take the arrays of B streams or N systems as plain tuples and name them in their first lines; `world_of` and
`system_of` are row b of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from offload_gym.compilation import inlined, record
from offload_gym.streams.streams import NONE, StreamBatch, Streams
from offload_gym.streams.uptime import loses, next_failure_s

DROPPED = -1  # what stands for a location of a job that is dropped

#: A stream as a whole.
CLOCK = record(
    [
        ("now_s", np.float64),
        ("slot", np.int64),  # of now, kept while a radio has something to send
        ("num_busy", np.int64),  # devices with a transmission begun
        ("num_to_begin", np.int64),  # idle radios that have something to send
        ("num_events", np.int64),  # in the heap
        ("num_ready", np.int64),  # tasks that became ready at this moment and have no core yet
        ("num_in_system", np.int64),  # jobs that have arrived and are neither complete nor lost
        ("in_system_js", np.float64),  # this number integrated over time, job-seconds
        ("num_late", np.int64),  # jobs that became late, or were dropped or lost
        ("num_arrived", np.int64),  # jobs that were admitted or dropped
        ("energy_j", np.float64),  # spent so far
        # When the devices were told last how servers stand and how many send, as it was before all that happened then.
        ("report_s", np.float64),
        ("next_report_s", np.float64),  # infinite where reports are always fresh
    ]
)
#: The spectrum of a site.
SITE = record(
    [
        # A second advances it by 1 over the number of devices that send, so that a transmission that takes x seconds
        # alone is sent when it has advanced by x, however many devices come and go.
        ("share_s", np.float64),
        ("at_s", np.float64),  # the moment at which it was ``share_s``
        ("num_sending", np.int64),  # devices that send, not counting those in an outage
        # Of the radios that have begun a transmission the one that has sent it first, the root of a heap; NONE.
        ("first", np.int64),
        ("sent_s", np.float64),  # when that is if all goes on as now; infinite where none sends
        ("told_sending", np.int64),  # ``num_sending`` at the last report
    ]
)
#: The radio of a device, and what the device remembers.
RADIO = record(
    [
        ("first", np.int64),  # transmission in progress, or the next one; NONE
        ("last", np.int64),
        ("busy", np.bool_),  # whether the first one has begun
        ("due_s", np.float64),  # ``share_s`` at which it is sent; infinite in an outage
        ("left_bits", np.float64),  # in an outage: what is left of it, over the rate ratio
        ("site", np.int64),  # whose spectrum it uses
        ("left", np.int64),  # where it has begun: the roots of the heaps below it, of radios at its site; NONE
        ("right", np.int64),
        ("air_s", np.float64),  # how long it was being sent before ``since_s``
        ("since_s", np.float64),  # when it was begun, or went on
        ("in_report", np.bool_),  # whether the device is among those that were sending, and at which site
        ("told_site", np.int64),
        # Tasks of the device that were decided and of which what it is told does not hold that they are ready, in the
        # order in which they were decided.
        ("first_pending", np.int64),
        ("last_pending", np.int64),
        # Jobs of the device that have arrived and are not complete, but for those lost of which the device was told.
        ("num_in_system", np.int64),
        ("num_lost", np.int64),  # jobs that were lost since the last report
        ("num_jobs", np.int64),  # that arrived at the device
        ("last_arrival_s", np.float64),
        ("gap_s", np.float64),  # between its last arrivals: a mean that forgets, see ``recent_gap``
    ],
    align=True,
)
#: A task that was decided.
TASK = record(
    [
        ("job", np.int64),
        ("number", np.int64),  # among the tasks of the job
        ("location", np.int64),
        ("run_s", np.float64),  # on a core there
        ("waits_for", np.int64),  # data that have not arrived; below 0: it is lost, or waits for what is
        ("ready_s", np.float64),  # when it became ready, or is expected to
        ("before", np.int64),  # neighbours among the pending tasks of its device
        ("after", np.int64),
    ]
)
#: A transmission in a radio's queue.
LINK = record(
    [
        ("after", np.int64),
        ("since_s", np.float64),
        ("task", np.int64),  # for which it is sent
        ("is_input", np.bool_),  # of an entry task; else the data of an edge
        ("server", np.int64),
        ("bits", np.float64),  # over the rate ratio of the server
        ("data_bits", np.float64),
    ],
    align=True,
)
#: A job that has arrived.
FATE = record(
    [
        ("exits_left", np.int64),  # tasks without children that have not finished
        # Latest result so far, of the job once ``exits_left`` is 0; infinite where the job was dropped or lost.
        ("done_s", np.float64),
        ("lost_s", np.float64),  # when the job was lost, as one of its tasks was; infinite where none was
        ("energy_j", np.float64),
    ]
)


class World(NamedTuple):
    """One stream: row b of a ``StreamBatch``."""

    jobs: NDArray[np.void]
    tasks: NDArray[np.float64]
    edge_bits: NDArray[np.float64]
    devices: NDArray[np.void]
    servers: NDArray[np.void]
    uplink_bps: NDArray[np.float64]
    downlink_bps: NDArray[np.float64]
    sites: NDArray[np.int64]  # (m, slots), or (m, 1) where devices stay
    common: NDArray[np.void]  # (1,)
    down_slots: NDArray[np.int64]  # (S, slots + 1), or (S, 1) where servers never fail
    graph_start: NDArray[np.int64]
    graph_edges: NDArray[np.int64]


class System(NamedTuple):
    """The queues of one stream of J jobs of up to n tasks and E edges, or with an axis more in front those of N.

    A task is a number ``q = j * n + i``, a transmission ``j * (n + E)`` plus i for the input of an entry task, or plus
    ``n + e`` for edge e: in the order in which they are served that wait since the same moment, but for those of one
    job, where the child decides first. What follows from these numbers stands beside them, as a division takes longer
    than all else that is done with them. Places where tasks run are numbered: device d, and m + k - 1 for server k. As
    nothing idles and those who come first are served first, a core's schedule is known up to the last task that became
    ready: a place is the times at which its cores are free.
    """

    clock: NDArray[np.void]  # (1,) of the dtype CLOCK
    # (m + S, most cores), of a server whose tasks wait when it fails in up time, see ``offload_gym.streams.uptime``;
    # infinite where there is no core.
    core_free_s: NDArray[np.float64]
    sites: NDArray[np.void]  # (A,) of the dtype SITE
    reported_free_s: NDArray[np.float64]  # (S, most cores) the servers' ``core_free_s`` at the last report
    radios: NDArray[np.void]  # (m,) of the dtype RADIO
    tasks: NDArray[np.void]  # (J * n,) of the dtype TASK
    links: NDArray[np.void]  # (J * (n + E),) of the dtype LINK
    fates: NDArray[np.void]  # (J,) of the dtype FATE
    event_s: NDArray[np.float64]  # (events,) a heap, the earliest first
    events: NDArray[np.int64]  # (events,) what happens then
    ready: NDArray[np.int64]  # (J * n,) tasks without a core yet, ascending
    to_begin: NDArray[np.int64]  # (m,) idle radios that have something to send, ascending
    # (J * n,) when a task that has a core ends, as ``core_free_s`` has it; no room where servers never fail.
    ends_s: NDArray[np.float64]


# What may happen; an event is a number of task or job, times NUM_EVENTS, plus one of these.
ARRIVE, FINISH, COMPLETE, LATE, FAIL = range(5)
NUM_EVENTS = 8  # a power of two, by which is divided quickly


def new_system(streams: Streams, num_systems: int = 1) -> System:
    """Room for the queues of streams of this shape, with an axis of ``num_systems`` in front."""
    return System(*(np.zeros((num_systems, *shape), dtype=kind) for shape, kind in system_shapes(streams.batch)))


def system_shapes(batch: StreamBatch) -> list[tuple[tuple[int, ...], np.dtype]]:
    """Shape and type of each array of a ``System``."""
    num_jobs, n = batch.tasks.shape[1:3]
    num_edges, num_devices = batch.edge_bits.shape[2], batch.devices.shape[1]
    places = num_devices + batch.servers.shape[1]
    most = max(int(batch.devices["cores"].max()), int(batch.servers["cores"].max()))
    width, of_job = min(most, num_jobs * n), n + num_edges
    # Of a task data arrive, one for each edge or its input, or it ends; a job is complete, and late. A server fails.
    events = num_jobs * (n + of_job + 2) + batch.servers.shape[1]
    real, whole = np.dtype(np.float64), np.dtype(np.int64)
    return [
        ((1,), CLOCK),
        ((places, width), real),
        ((int(batch.sites.max()) + 1,), SITE),
        ((batch.servers.shape[1], width), real),
        ((num_devices,), RADIO),
        ((num_jobs * n,), TASK),
        ((num_jobs * of_job,), LINK),
        ((num_jobs,), FATE),
        ((events,), real),
        ((events,), whole),
        ((num_jobs * n,), whole),
        ((num_devices,), whole),
        ((num_jobs * n if batch.down_slots.shape[2] > 1 else 0,), real),
    ]


@register_jitable
def world_of(batch, b):
    """Stream ``b`` of a ``StreamBatch``."""
    return World(
        batch.jobs[b],
        batch.tasks[b],
        batch.edge_bits[b],
        batch.devices[b],
        batch.servers[b],
        batch.uplink_bps[b],
        batch.downlink_bps[b],
        batch.sites[b],
        batch.common[b : b + 1],
        batch.down_slots[b],
        batch.graph_start,
        batch.graph_edges,
    )


@register_jitable
def system_of(systems, b):
    """System ``b`` of a ``System`` with an axis in front."""
    return System(
        systems.clock[b],
        systems.core_free_s[b],
        systems.sites[b],
        systems.reported_free_s[b],
        systems.radios[b],
        systems.tasks[b],
        systems.links[b],
        systems.fates[b],
        systems.event_s[b],
        systems.events[b],
        systems.ready[b],
        systems.to_begin[b],
        systems.ends_s[b],
    )


@inlined
def begin_site(site):
    """Nobody sends at a site, nor did at the last report."""
    site.share_s = site.at_s = 0.0
    site.num_sending = site.told_sending = 0
    site.first, site.sent_s = NONE, np.inf


@inlined
def begin(world, system):
    """Empty all queues: time 0."""
    clock = system.clock[0]
    clock.now_s = clock.in_system_js = clock.energy_j = 0.0
    clock.slot = clock.num_busy = clock.num_to_begin = clock.num_events = clock.num_ready = 0
    clock.num_in_system = clock.num_late = clock.num_arrived = 0
    for a in range(len(system.sites)):
        begin_site(system.sites[a])
    num_devices, width = len(system.radios), system.core_free_s.shape[1]
    for p in range(len(system.core_free_s)):
        cores = world.devices[p].cores if p < num_devices else world.servers[p - num_devices].cores
        for c in range(width):
            system.core_free_s[p, c] = 0.0 if c < cores else np.inf
    for d in range(num_devices):
        radio = system.radios[d]
        radio.first = radio.last = radio.first_pending = radio.last_pending = NONE
        radio.num_jobs = radio.num_in_system = radio.num_lost = 0
        radio.last_arrival_s = radio.gap_s = 0.0
        radio.busy = False
        radio.due_s = np.inf
        radio.site = world.sites[d, 0]
    for k in range(1, len(world.servers) + 1):
        if loses(world, k):
            push_failure(world, system, k, 0)
    report(world, system, 0.0)


@inlined
def report(world, system, until_s):
    """Tell the devices how servers stand and how many devices send, in the last report up to a moment.

    Nothing of what is told has changed since that report: it is called before what happens at the moment.
    """
    clock, radios, every_s = system.clock[0], system.radios, world.common[0].report_s
    clock.report_s, clock.next_report_s = 0.0, np.inf
    if every_s > 0.0:
        number = until_s // every_s
        if (number + 1.0) * every_s <= until_s:
            number += 1.0
        elif number * every_s > until_s:
            number -= 1.0
        clock.report_s, clock.next_report_s = number * every_s, (number + 1.0) * every_s
    for a in range(len(system.sites)):
        system.sites[a].told_sending = system.sites[a].num_sending
    num_devices = len(radios)
    for k in range(len(system.reported_free_s)):
        for c in range(system.reported_free_s.shape[1]):
            system.reported_free_s[k, c] = system.core_free_s[num_devices + k, c]
    for d in range(num_devices):
        radios[d].in_report, radios[d].told_site = radios[d].due_s < np.inf, radios[d].site
        radios[d].num_in_system -= radios[d].num_lost
        radios[d].num_lost = 0
        q = radios[d].first_pending
        while q != NONE:
            task = system.tasks[q]
            q = task.after
            if task.waits_for <= 0:
                unlink(radios[d], system.tasks, task)


@inlined
def push_failure(world, system, k, slot):
    """Put the next failure of server ``k`` after a slot into the heap, if there is one."""
    time_s = next_failure_s(world.down_slots[k - 1], world.common[0].slot_s, slot)
    if time_s < np.inf:
        push(system, time_s, k * NUM_EVENTS + FAIL)


@inlined
def unlink(radio, tasks, task):
    """Take a task out of the pending ones of its device."""
    if task.before == NONE:
        radio.first_pending = task.after
    else:
        tasks[task.before].after = task.after
    if task.after == NONE:
        radio.last_pending = task.before
    else:
        tasks[task.after].before = task.before


@inlined
def recent_gap(radio, now_s):
    """Mean seconds between the arrivals at a device up to one at this moment; the last ten count most."""
    weight = max(1.0 / (radio.num_jobs + 1.0), 0.1)
    return radio.gap_s + weight * (now_s - radio.last_arrival_s - radio.gap_s)


@inlined
def remember(radio, now_s):
    """Count an arrival at a device at this moment."""
    radio.gap_s = recent_gap(radio, now_s)
    radio.num_jobs += 1
    radio.last_arrival_s = now_s


@inlined
def response_of(world, system, j):
    """The response of job j, once all is done; infinite where it was dropped or lost, or never completes."""
    fate = system.fates[j]
    return fate.done_s - world.jobs[j].arrival_s if fate.exits_left == 0 else np.inf


@inlined
def last_moment_in_time(job):
    """Until when a job may complete and not be late: while its response, rounded as it is told, keeps the deadline.

    The rounded sum of arrival and deadline may be a neighbour of that, and then the jobs that are late as time goes by
    would not be those whose responses are too long.
    """
    due_s = job.arrival_s + job.deadline_s
    if due_s - job.arrival_s > job.deadline_s:
        return np.nextafter(due_s, 0.0)
    later_s = np.nextafter(due_s, np.inf)
    return later_s if later_s - job.arrival_s <= job.deadline_s else due_s


@inlined
def read_fates(world, system, response_s, energy_j):
    """Fill the responses and energies of all jobs (J,), once all is done.

    What was dropped or never completes has an infinite response, and what was lost NaN, to be told from it.
    """
    for j in range(len(world.jobs)):
        response_s[j] = response_of(world, system, j) if system.fates[j].lost_s == np.inf else np.nan
        energy_j[j] = system.fates[j].energy_j


@inlined
def put_in_order(numbers, count, number):
    """Put a number in its place among the first ``count`` ones, which ascend."""
    at = count
    while at > 0 and numbers[at - 1] > number:
        numbers[at] = numbers[at - 1]
        at -= 1
    numbers[at] = number


@inlined
def push(system, time_s, event):
    """Put an event into the heap."""
    clock, event_s, events = system.clock[0], system.event_s, system.events
    at = clock.num_events
    clock.num_events += 1
    while at > 0:
        above = (at - 1) >> 1
        if event_s[above] <= time_s:
            break
        event_s[at], events[at] = event_s[above], events[above]
        at = above
    event_s[at], events[at] = time_s, event


@inlined
def pop(system):
    """Take the earliest event out of the heap, which has one."""
    clock, event_s, events = system.clock[0], system.event_s, system.events
    first = events[0]
    clock.num_events -= 1
    size = clock.num_events
    time_s, event = event_s[size], events[size]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and event_s[below + 1] < event_s[below]:
            below += 1
        if event_s[below] >= time_s:
            break
        event_s[at], events[at] = event_s[below], events[below]
        at = below
    event_s[at], events[at] = time_s, event
    return first
