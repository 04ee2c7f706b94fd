"""The event engine: what is served when. The one place where the stream model is written.

``advance`` lets time pass up to a moment, ``admit`` puts a job that was decided into the queues. What happens at one
moment happens in this order: (1) what was timed for it: transmissions end, data arrive, tasks end, a slot ends, servers
fail, jobs arrive; (2) radios begin their next transmissions, of which those of no bits are sent at once, until nothing
moves; (3) the ready task of the lowest job, then of the lowest number, is given the core that is free first; what takes
no time is over at once, and it goes on with (2) until no ready task is without a core.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import inlined, kernel, record
from offload_gym.instances import INPUT, OUTPUT, WORKLOAD
from offload_gym.lending import lent
from offload_gym.streams.losses import fail, lose
from offload_gym.streams.spectrum import bring_up, foresee, joined, line_up, take_apart
from offload_gym.streams.streams import CHILD, NONE, OUTGOING
from offload_gym.streams.system import (
    ARRIVE,
    COMPLETE,
    DROPPED,
    FINISH,
    LATE,
    NUM_EVENTS,
    last_moment_in_time,
    pop,
    push,
    put_in_order,
    remember,
    report,
    unlink,
)
from offload_gym.streams.uptime import is_down, loses, moment_of, slot_at, up_time_s

#: What happened to a task; where it has no core (its job was dropped, or it is padding) all times are NaN, and so is
#: what never came of a task that was lost.
RECORD = record(
    [
        ("core", np.int64),
        ("ready_s", np.float64),  # when it had all its data
        ("start_s", np.float64),
        ("finish_s", np.float64),
        ("completion_s", np.float64),  # when its result is on the device; ``finish_s`` where it has children
        ("lost_s", np.float64),  # when it was lost, as its server failed or was down; it has no ``finish_s`` then
    ]
)
#: From when until when a radio sent; NaN where there was nothing to send.
SEND = record([("start_s", np.float64), ("finish_s", np.float64)])


class Records(NamedTuple):
    """What happened in one stream, or with an axis in front in many; with no columns where nothing is recorded."""

    tasks: NDArray[np.void]  # (J * n,) of the dtype RECORD
    sends: NDArray[np.void]  # (J * (n + E),) of the dtype SEND, by transmission, see ``System``


@inlined
def is_entry(world, j, i):
    """Whether task i of job j has no parents."""
    start, graph = world.graph_start, world.jobs[j].graph
    return start[graph, i, 0] == start[graph, i + 1, 0]


@inlined
def is_exit(world, j, i):
    """Whether task i of job j has no children."""
    start, graph = world.graph_start, world.jobs[j].graph
    return start[graph, i, 1] == start[graph, i + 1, 1]


@inlined
def site_in(world, d, slot):
    """The site that device ``d`` is attached to in a slot."""
    return world.sites[d, min(slot, world.sites.shape[1] - 1)]


@inlined
def site_of(world, d, time_s):
    """The site that device ``d`` is attached to at a moment."""
    return world.sites[d, slot_at(world, time_s)] if world.sites.shape[1] > 1 else world.sites[d, 0]


@inlined
def stands_at(world, k, a):
    """Whether server ``k`` stands at site ``a``."""
    return world.servers[k - 1].site == a


@inlined
def path_s(world, a, k, bits):
    """Seconds of the path between site ``a`` and server ``k``."""
    server = world.servers[k - 1]
    if stands_at(world, k, a):
        return server.home_propagation_s
    return bits / server.wired_bps + server.propagation_s


@inlined
def way_back(world, d, k, bits, time_s):
    """When ``bits`` that leave server ``k`` at a moment are on device ``d``; infinite where that is never.

    They go to the site where the device is then.
    """
    time_s += path_s(world, site_of(world, d, time_s), k, bits)
    left, slot_s = bits / world.servers[k - 1].rate_ratio, world.common[0].slot_s
    if left == 0.0:
        return time_s
    slot, last = slot_at(world, time_s), world.uplink_bps.shape[1] - 1
    while True:
        rate_bps = world.downlink_bps[d, slot]
        need_s = left / rate_bps if rate_bps > 0.0 else np.inf
        end_s = (slot + 1) * slot_s
        if slot == last or time_s + need_s <= end_s:
            return time_s + need_s
        left -= (end_s - time_s) * rate_bps
        time_s = end_s
        slot += 1


@inlined
def _comes_before(system, link, other):
    """Whether of two transmissions that wait since the same moment this one comes first: by job, child, parent."""
    task, other_task = system.links[link].task, system.links[other].task
    return task < other_task if task != other_task else link < other


@inlined
def _wait_for_radio(world, system, d, link, q, bits, is_input):
    """Put ``bits`` for task ``q`` into the queue of device ``d``'s radio."""
    radio, links, entry, now_s = system.radios[d], system.links, system.links[link], system.clock[0].now_s
    k = system.tasks[q].location
    entry.since_s, entry.after, entry.task, entry.is_input = now_s, NONE, q, is_input
    entry.server, entry.bits, entry.data_bits = k, bits / world.servers[k - 1].rate_ratio, bits
    if radio.first == NONE:
        radio.first = radio.last = link
        _is_to_begin(system, d)
        return
    before = radio.last
    if links[before].since_s == now_s and _comes_before(system, link, before):
        # Behind all that waited before this moment, and behind the one that has begun.
        before, at = NONE, radio.first
        while (at == radio.first and radio.busy) or links[at].since_s < now_s or _comes_before(system, at, link):
            before, at = at, links[at].after
            if at == NONE:
                break
    if before == NONE:
        entry.after = radio.first
        radio.first = link
    else:
        entry.after = links[before].after
        links[before].after = link
        if before == radio.last:
            radio.last = link


@inlined
def _is_to_begin(system, d):
    """The idle radio of device ``d`` has something to send."""
    clock = system.clock[0]
    put_in_order(system.to_begin, clock.num_to_begin, d)
    clock.num_to_begin += 1


@inlined
def _transmit(world, system, d, records):
    """Let the idle radio of device ``d`` begin its next transmission; those of no bits are sent at once."""
    clock, radio = system.clock[0], system.radios[d]
    while radio.first != NONE:
        link = system.links[radio.first]
        if records is not None and len(records.tasks) > 0:
            send = records.sends[radio.first]
            send.start_s = send.finish_s = clock.now_s
        if link.bits == 0.0:
            radio.first = link.after
            _send_on(world, system, d, link)
            continue
        if clock.num_busy == 0:
            clock.slot = slot_at(world, clock.now_s)
        radio.busy = True
        clock.num_busy += 1
        radio.air_s = 0.0
        radio.left_bits = link.bits
        radio.site = site_in(world, d, clock.slot)
        _go_on(world, system, d)
        break


@inlined
def _go_on(world, system, d):
    """Let the radio of device ``d`` send what is left of its transmission, unless there is an outage."""
    clock, radio = system.clock[0], system.radios[d]
    rate_bps, site = world.uplink_bps[d, clock.slot], system.sites[radio.site]
    radio.due_s = np.inf
    bring_up(system, site)
    if rate_bps > 0.0:
        radio.due_s = site.share_s + radio.left_bits / rate_bps
        radio.since_s = clock.now_s
        site.num_sending += 1
    line_up(system.radios, site, d)
    foresee(clock, system.radios, site)


@inlined
def _send_on(world, system, d, link):
    """Send what was sent on the radio over the path from the site where the device is."""
    now_s = system.clock[0].now_s
    arrival_s = now_s + path_s(world, site_of(world, d, now_s), link.server, link.data_bits)
    if link.is_input:
        system.tasks[link.task].ready_s = arrival_s
    push(system, arrival_s, link.task * NUM_EVENTS + ARRIVE)


@inlined
def _sent(world, system, d, records):
    """End the transmission of device ``d``, which is the first at its site."""
    clock, radio = system.clock[0], system.radios[d]
    link = system.links[radio.first]
    if records is not None and len(records.tasks) > 0:
        records.sends[radio.first].finish_s = clock.now_s
    radio.first = link.after
    radio.busy = False
    if radio.first != NONE:
        _is_to_begin(system, d)
    radio.due_s = np.inf
    clock.num_busy -= 1
    site = system.sites[radio.site]
    site.num_sending -= 1
    site.first = radio.left if radio.right == NONE else joined(system.radios, radio.left, radio.right)
    air_s = radio.air_s + clock.now_s - radio.since_s
    _spend(system, system.tasks[link.task].job, world.common[0].transmit_w * air_s)
    _send_on(world, system, d, link)


@inlined
def _spend(system, j, energy_j):
    system.fates[j].energy_j += energy_j
    system.clock[0].energy_j += energy_j


@inlined
def _change_slot(world, system):
    """Begin the next slot."""
    clock, slot, chain = system.clock[0], system.clock[0].slot, NONE
    clock.slot = slot + 1
    for a in range(len(system.sites)):
        site = system.sites[a]
        bring_up(system, site)
        chain = take_apart(system.radios, site, chain)
    while chain != NONE:
        d = chain
        radio = system.radios[d]
        chain = radio.right
        before_bps, at, site = world.uplink_bps[d, slot], site_in(world, d, slot + 1), system.sites[radio.site]
        if before_bps == world.uplink_bps[d, slot + 1] and at == radio.site:
            site.num_sending += before_bps > 0.0
            line_up(system.radios, site, d)
            foresee(clock, system.radios, site)
        else:
            if before_bps > 0.0:
                radio.left_bits = max((radio.due_s - site.share_s) * before_bps, 0.0)
                radio.air_s += clock.now_s - radio.since_s
            radio.site = at
            _go_on(world, system, d)


@inlined
def _become_ready(world, system, q):
    """A task has all its data: it waits for a core of its place."""
    clock, task = system.clock[0], system.tasks[q]
    task.ready_s = clock.now_s
    task.waits_for = 0
    if task.location == 0 or world.common[0].report_s == 0.0:
        unlink(system.radios[world.jobs[task.job].device], system.tasks, task)
    put_in_order(system.ready, clock.num_ready, q)
    clock.num_ready += 1


@inlined
def _datum(world, system, q):
    """One of the data that a task waits for is there."""
    task = system.tasks[q]
    task.waits_for -= 1
    if task.waits_for == 0:
        _become_ready(world, system, q)


@inlined
def place_of(world, d, k):
    """Number of the place where a task of device ``d`` at location ``k`` runs."""
    return d if k == 0 else len(world.devices) + k - 1


@inlined
def earliest_core(free_s, cores):
    """The core that is free first, the lowest one on a tie; of the columns behind the first ``cores`` none is one."""
    core = 0
    for c in range(1, min(cores, len(free_s))):
        if free_s[c] < free_s[core]:
            core = c
    return core


@inlined
def cores_at(world, d, k):
    """Number of cores at location ``k`` of device ``d``."""
    return world.devices[d].cores if k == 0 else world.servers[k - 1].cores


@inlined
def run_s(world, d, k, cycles):
    """Seconds that a core of location ``k`` of device ``d`` takes."""
    return cycles / (world.devices[d].hz if k == 0 else world.servers[k - 1].cpu_hz)


@inlined
def _run(world, system, q, records):
    """Give a ready task the core of its place that is free first; its end is known then."""
    clock, task = system.clock[0], system.tasks[q]
    j, i, k = task.job, task.number, task.location
    d = world.jobs[j].device
    if loses(world, k) and is_down(world, k, clock.now_s):
        lose(world, system, q, records)
        return
    free_s = system.core_free_s[place_of(world, d, k)]
    core = earliest_core(free_s, cores_at(world, d, k))
    begin_s = max(up_time_s(world, k, clock.now_s), free_s[core])
    free_s[core] = begin_s + task.run_s
    finish_s = moment_of(world, k, free_s[core], clock.now_s)
    if len(system.ends_s) > 0:
        system.ends_s[q] = free_s[core]
    if k == 0 and world.common[0].kappa > 0.0:
        _spend(system, j, world.common[0].kappa * world.devices[d].hz ** 2 * world.tasks[j, i, WORKLOAD])
    completion_s = finish_s
    if is_exit(world, j, i):
        if k > 0:
            completion_s = way_back(world, d, k, world.tasks[j, i, OUTPUT], finish_s)
        fate = system.fates[j]
        fate.done_s = max(fate.done_s, completion_s)
        fate.exits_left -= 1
        if fate.exits_left == 0 and fate.lost_s == np.inf:
            push(system, fate.done_s, j * NUM_EVENTS + COMPLETE)
    if loses(world, k) or not is_exit(world, j, i):
        push(system, finish_s, q * NUM_EVENTS + FINISH)
    if records is not None and len(records.tasks) > 0:
        record = records.tasks[q]
        record.core, record.ready_s = core, clock.now_s
        record.start_s = moment_of(world, k, begin_s, clock.now_s)
        record.finish_s, record.completion_s, record.lost_s = finish_s, completion_s, np.nan


@inlined
def _hand_on(world, system, q):
    """A task has ended: its data go to its children."""
    n, num_edges = world.tasks.shape[1], world.edge_bits.shape[1]
    j, i = system.tasks[q].job, system.tasks[q].number
    now_s, job, k = system.clock[0].now_s, world.jobs[j], system.tasks[q].location
    for at in range(world.graph_start[job.graph, i, 1], world.graph_start[job.graph, i + 1, 1]):
        e = world.graph_edges[job.graph, at, OUTGOING]
        child, bits = j * n + world.graph_edges[job.graph, e, CHILD], world.edge_bits[j, e]
        target = system.tasks[child].location
        if target == k:
            _datum(world, system, child)
        elif k == 0:
            _wait_for_radio(world, system, job.device, j * (n + num_edges) + n + e, child, bits, False)
        elif target == 0:
            push(system, way_back(world, job.device, k, bits, now_s), child * NUM_EVENTS + ARRIVE)
        else:
            at = site_of(world, job.device, now_s)
            arrival_s = now_s + (path_s(world, at, k, bits) + path_s(world, at, target, bits))
            push(system, arrival_s, child * NUM_EVENTS + ARRIVE)


@inlined
def _happen(world, system, records):
    """Let the earliest event happen."""
    event = pop(system)
    subject, kind = event // NUM_EVENTS, event % NUM_EVENTS
    if kind == ARRIVE:
        _datum(world, system, subject)
    elif kind == COMPLETE:
        system.clock[0].num_in_system -= 1
        system.radios[world.jobs[subject].device].num_in_system -= 1
    elif kind == FINISH:
        _hand_on(world, system, subject)
    elif kind == LATE:
        fate, now_s = system.fates[subject], system.clock[0].now_s
        if (fate.exits_left > 0 or fate.done_s > now_s) and fate.lost_s >= now_s:
            system.clock[0].num_late += 1
    else:
        fail(world, system, subject, records)


@inlined
def _run_first(world, system, records):
    """Give the first of the ready tasks a core."""
    clock, ready = system.clock[0], system.ready
    q = ready[0]
    clock.num_ready -= 1
    for at in range(clock.num_ready):
        ready[at] = ready[at + 1]
    _run(world, system, q, records)


@inlined
def _pass_time(world, system, until_s, records):
    """Go on to the next moment at which something is timed, or to ``until_s``; returns whether there is one."""
    clock, radios, sites = system.clock[0], system.radios, system.sites
    next_s = system.event_s[0] if clock.num_events > 0 else np.inf
    sent_s, end_s = np.inf, np.inf
    if clock.num_busy > 0:
        if len(sites) == 1:
            foresee(clock, radios, sites[0])
        for a in range(len(sites)):
            sent_s = min(sent_s, sites[a].sent_s)
        if clock.slot < world.uplink_bps.shape[1] - 1:
            end_s = (clock.slot + 1) * world.common[0].slot_s
    to_s = min(min(next_s, until_s), min(sent_s, end_s))
    if to_s == np.inf:
        return False
    if clock.next_report_s <= to_s:
        report(world, system, to_s)
    passed_s = to_s - clock.now_s
    clock.in_system_js += clock.num_in_system * passed_s
    clock.now_s = to_s
    if sent_s <= to_s:
        for a in range(len(sites)):
            site = sites[a]
            if site.sent_s <= to_s:
                site.share_s, site.at_s = radios[site.first].due_s, to_s
                while site.first != NONE and radios[site.first].due_s <= site.share_s:
                    _sent(world, system, site.first, records)
                foresee(clock, radios, site)
    elif clock.num_busy > 0 and len(sites) == 1:
        # Several sites are brought up to date when they change. With one, all results stay as they were, to the last
        # bit, before there could be several.
        site = sites[0]
        if site.num_sending > 0:
            site.share_s += passed_s / site.num_sending
            site.at_s = to_s
    if end_s <= to_s and clock.num_busy > 0:
        _change_slot(world, system)
    return True


@inlined
def advance_here(world, system, until_s, records):
    """``advance``, put in place where it is called: handing over the arrays takes longer than a moment of a stream."""
    clock = system.clock[0]
    # One loop around one call of each rule, as each is put in place where it is called.
    while True:
        if clock.num_events > 0 and system.event_s[0] <= clock.now_s:
            _happen(world, system, records)
            continue
        if clock.now_s >= until_s:
            break
        if clock.num_to_begin > 0:
            for at in range(clock.num_to_begin):
                _transmit(world, system, system.to_begin[at], records)
            clock.num_to_begin = 0
        if clock.num_events > 0 and system.event_s[0] <= clock.now_s:
            continue
        if clock.num_ready > 0:
            _run_first(world, system, records)
        elif not _pass_time(world, system, until_s, records):
            break


@kernel
def advance(world, system, until_s, records):
    """Let time pass up to a moment; all that is timed for this moment has happened then, and nothing has begun at it.

    Args:
        world: ``World``.
        system: ``System`` of one stream.
        until_s: not before now; infinite: until nothing is left to happen.
        records: ``Records`` of the stream, filled as tasks are given cores and radios send, or None.
    """
    advance_here(lent(world), lent(system), until_s, records)


@inlined
def admit_here(world, system, j, decision):
    """``admit``, put in place where it is called."""
    clock, fate, job = system.clock[0], system.fates[j], world.jobs[j]
    n, num_edges = world.tasks.shape[1], world.edge_bits.shape[1]
    clock.num_arrived += 1
    radio = system.radios[job.device]
    remember(radio, clock.now_s)
    fate.done_s = fate.energy_j = 0.0
    fate.exits_left, fate.lost_s = 0, np.inf
    if decision[0] == DROPPED:
        fate.done_s = np.inf
        clock.num_late += 1
        return
    clock.num_in_system += 1
    radio.num_in_system += 1
    if job.deadline_s < np.inf:
        push(system, last_moment_in_time(job), j * NUM_EVENTS + LATE)
    for i in range(job.num_tasks):
        q = j * n + i
        task = system.tasks[q]
        task.job, task.number, task.location = j, i, decision[i]
        task.run_s = run_s(world, job.device, decision[i], world.tasks[j, i, WORKLOAD])
        start, graph = world.graph_start, job.graph
        task.waits_for = max(start[graph, i + 1, 0] - start[graph, i, 0], 1)
        task.before, task.after = radio.last_pending, NONE
        if radio.last_pending == NONE:
            radio.first_pending = q
        else:
            system.tasks[radio.last_pending].after = q
        radio.last_pending = q
        if is_exit(world, j, i):
            fate.exits_left += 1
    for i in range(job.num_tasks):
        if is_entry(world, j, i):
            if decision[i] == 0:
                _become_ready(world, system, j * n + i)
            else:
                link, bits = j * (n + num_edges) + i, world.tasks[j, i, INPUT]
                _wait_for_radio(world, system, job.device, link, j * n + i, bits, True)


@kernel
def admit(world, system, j, decision):
    """Put a job that arrives now into the queues; the jobs before it have been.

    Args:
        world: ``World``.
        system: ``System`` of one stream, advanced to the job's arrival.
        j: the job.
        decision: (n,) locations of its tasks, or DROPPED in all of them. Where a task is expected to become ready is
            in ``system.tasks`` already, see ``offload_gym.streams.outlook``; transmissions set it anew.
    """
    admit_here(lent(world), lent(system), j, decision)
