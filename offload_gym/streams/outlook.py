"""What a device can foresee when a job arrives: its queues, the servers', and what a task would meet at each location.

Nothing of the future is used: the radio is expected to go on at the rate of the current slot, shared with the devices
that sent at the last report, and no further job is expected to arrive. In an outage the radio is expected to go on at
its last rate. Servers are seen as they were at the last report, and behind that are the tasks that the device has sent
since. One that was down then is expected to be up again ``repair_s`` after it, and none to fail. Where tasks are lost
when their server fails, it is empty then.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import inlined, kernel, record
from offload_gym.instances import INPUT, OUTPUT, WORKLOAD
from offload_gym.streams.engine import (
    cores_at,
    earliest_core,
    is_entry,
    is_exit,
    path_s,
    place_of,
    run_s,
    site_in,
)
from offload_gym.streams.spectrum import share_by_now_s
from offload_gym.streams.streams import NONE, PARENT
from offload_gym.streams.uptime import can_fail, loses, slot_at, up_time_and_state

LARGEST_EXPONENT = 100.0  # beyond it nothing differs from 0
SURE = 25.0  # a job that is expected a tenth of the deadline too late is late with the odds of exp(2.5) to 1
#: What is foreseen beside the cores.
FORESEEN = record(
    [
        ("now_s", np.float64),
        ("radio_s", np.float64),  # when the radio has sent all that waits, and the tasks of the job that were placed
        ("uplink_bps", np.float64),  # expected, shared with the devices that send now; 0 where no rate was seen yet
        ("downlink_bps", np.float64),
        ("done_s", np.float64),  # latest completion of the tasks of the job that were placed
        ("outage", np.bool_),
        ("num_in_system", np.int64),  # jobs of the device that have arrived and are not complete, nor known to be lost
        ("num_devices", np.int64),
        ("num_others", np.int64),  # other devices that were sending at the last report
        ("report_age_s", np.float64),
        ("site", np.int64),  # that the device is attached to
    ],
    align=True,
)
#: What a task would meet at a location; seconds are durations where it does not say since when.
OPTION = record(
    [
        ("core", np.int64),  # that is free first
        ("core_free_s", np.float64),  # when it is, since time 0
        ("radio_free_s", np.float64),  # when the radio is free after its data, since time 0
        ("radio_wait_s", np.float64),  # until the radio is free for its data
        ("send_s", np.float64),  # its data on the radio
        ("path_s", np.float64),  # on the wired path
        ("ready_s", np.float64),  # from now until all its data are there
        ("core_wait_s", np.float64),  # then until a core is free
        ("run_s", np.float64),
        ("return_s", np.float64),
        ("completion_s", np.float64),  # from now until its result is on the device
        # Of the job, with what follows the task placed best: from ``offload_gym.streams.lookahead`` if anything does.
        ("job_s", np.float64),  # from now until its result is on the device
        ("job_send_s", np.float64),  # the task's data and what is sent after it
        ("job_run_s", np.float64),  # the task and what runs at the same location after it
        ("rest_price", np.float64),  # of what is sent and run after it
    ]
)
#: What a second costs at a location beside the time that it takes, as a rule sees it.
PRICE = record([("send", np.float64), ("run", np.float64)])
#: What a task that is not placed yet would meet at a location, if all before it is placed best.
AHEAD = record(
    [
        ("finish_s", np.float64),  # since time 0
        ("value", np.float64),  # of the time since now, and of what is sent and run for it
        ("price", np.float64),  # of what is sent and run for it
        ("send_s", np.float64),
        ("run_s", np.float64),  # at the location that is looked from
    ]
)


class Outlook(NamedTuple):
    """What a device foresees while the tasks of a job of up to n are placed one by one."""

    foreseen: NDArray[np.void]  # (1,) of the dtype FORESEEN
    core_free_s: NDArray[np.float64]  # (K, most cores), infinite where there is no core
    options: NDArray[np.void]  # (K,) of the dtype OPTION, of the next task
    prices: NDArray[np.void]  # (K,) of the dtype PRICE
    ahead: NDArray[np.void]  # (n, K) of the dtype AHEAD
    finish_s: NDArray[np.float64]  # (n,) of the tasks that were placed
    decision: NDArray[np.int64]  # (n,) where they were placed


@kernel
def new_outlook(num_locations, num_cores, num_tasks):
    """Room for an ``Outlook``."""
    return Outlook(
        np.zeros(1, dtype=FORESEEN),
        np.empty((num_locations, num_cores)),
        np.zeros(num_locations, dtype=OPTION),
        np.zeros(num_locations, dtype=PRICE),
        np.zeros((num_tasks, num_locations), dtype=AHEAD),
        np.empty(num_tasks),
        np.zeros(num_tasks, dtype=np.int64),
    )


@inlined
def _expected_rates(world, system, d, foreseen):
    """Fill the rates that device ``d`` expects."""
    clock = system.clock[0]
    slot = slot_at(world, clock.now_s)
    radio, at = system.radios[d], site_in(world, d, slot)
    site, foreseen.site = system.sites[at], at
    up_bps, down_bps = world.uplink_bps[d, slot], world.downlink_bps[d, slot]
    foreseen.outage = up_bps == 0.0
    up_slot = down_slot = slot
    while up_bps == 0.0 and up_slot > 0:
        up_slot -= 1
        up_bps = world.uplink_bps[d, up_slot]
    while down_bps == 0.0 and down_slot > 0:
        down_slot -= 1
        down_bps = world.downlink_bps[d, down_slot]
    foreseen.report_age_s = 0.0
    if world.common[0].report_s > 0.0:
        foreseen.report_age_s = clock.now_s - clock.report_s
        foreseen.num_others = site.told_sending - (1 if radio.in_report and radio.told_site == at else 0)
    else:
        foreseen.num_others = site.num_sending - (1 if radio.due_s < np.inf else 0)
    foreseen.num_in_system, foreseen.num_devices = radio.num_in_system, len(world.devices)
    foreseen.uplink_bps, foreseen.downlink_bps = up_bps / (foreseen.num_others + 1), down_bps


@inlined
def _expected_sent(world, system, d, foreseen):
    """When the radio of device ``d`` is free; for tasks whose input it still has to send, when they will be ready."""
    clock, radio = system.clock[0], system.radios[d]
    at, time_s, bit_s = radio.first, clock.now_s, 1.0 / foreseen.uplink_bps
    while at != NONE:
        link = system.links[at]
        left_bits = link.bits
        if radio.busy and at == radio.first:
            left_bits = radio.left_bits
            if radio.due_s < np.inf:
                share_s = share_by_now_s(clock, system.sites[radio.site])
                left_bits = max(radio.due_s - share_s, 0.0) * world.uplink_bps[d, clock.slot]
        if left_bits > 0.0:
            time_s += left_bits * bit_s
        if link.is_input:
            path = path_s(world, foreseen.site, link.server, link.data_bits)
            system.tasks[link.task].ready_s = time_s + path
        at = link.after
    foreseen.radio_s = time_s


@inlined
def _expect_up(world, k, told_s, free_s):
    """Make moments of the up time at which the cores of server ``k`` are free, from what was known at a moment."""
    up_s, is_down = up_time_and_state(world.down_slots[k - 1], world.common[0].slot_s, told_s)
    if loses(world, k):
        for c in range(len(free_s)):
            if is_down and free_s[c] < np.inf:
                free_s[c] = told_s + world.common[0].repair_s
        return
    later_s, least_s = told_s - up_s, 0.0
    if is_down:
        later_s += world.common[0].repair_s
        least_s = up_s
    for c in range(len(free_s)):
        free_s[c] = max(free_s[c], least_s) + later_s


@inlined
def look(world, system, d, outlook):
    """Fill the outlook of device ``d`` when a job arrives there, before its first task is placed."""
    foreseen, free_s, now_s = outlook.foreseen[0], outlook.core_free_s, system.clock[0].now_s
    foreseen.now_s = foreseen.done_s = now_s
    _expected_rates(world, system, d, foreseen)
    _expected_sent(world, system, d, foreseen)
    fresh = world.common[0].report_s == 0.0
    for k in range(len(free_s)):
        cores_s = system.core_free_s[place_of(world, d, k)] if k == 0 or fresh else system.reported_free_s[k - 1]
        for c in range(free_s.shape[1]):
            free_s[k, c] = cores_s[c]
        if can_fail(world, k):
            _expect_up(world, k, now_s if fresh else system.clock[0].report_s, free_s[k])
    q = system.radios[d].first_pending
    while q != NONE:
        task = system.tasks[q]
        cores_s = free_s[task.location]
        core = earliest_core(cores_s, cores_at(world, d, task.location))
        # A task that waits for others of its job counts as if it were ready: it leaves its core to those that are ready
        # earlier, so that they would wait too long for it at the moment at which it is expected. So does one of which
        # the device has not been told that it is ready; but when its own data are there it knows.
        j, i = q // world.tasks.shape[1], q % world.tasks.shape[1]
        ready_s = now_s
        if is_entry(world, j, i):
            ready_s = task.ready_s if task.waits_for <= 0 else max(task.ready_s, now_s)
        cores_s[core] = max(ready_s, cores_s[core]) + task.run_s
        q = task.after


@inlined
def sending_s(world, foreseen, k, bits):
    """Seconds of the radio for what goes to server ``k``."""
    return bits / (foreseen.uplink_bps * world.servers[k - 1].rate_ratio) if bits > 0.0 else 0.0


@inlined
def returning_s(world, foreseen, k, bits):
    """Seconds of the way back from server ``k``."""
    down_s = bits / (foreseen.downlink_bps * world.servers[k - 1].rate_ratio) if bits > 0.0 else 0.0
    return path_s(world, foreseen.site, k, bits) + down_s


@inlined
def moving_s(world, foreseen, source, k, bits):
    """Seconds from location ``source``, where bits are, to ``k``, but for those of the radio."""
    if source == k:
        return 0.0
    if source == 0:
        return path_s(world, foreseen.site, k, bits)
    if k == 0:
        return returning_s(world, foreseen, source, bits)
    return path_s(world, foreseen.site, source, bits) + path_s(world, foreseen.site, k, bits)


@inlined
def _data_at(world, outlook, j, i, k):
    """When the data of task i of job j would be at location ``k``: (radio free, seconds of sending, ready)."""
    foreseen, job, now_s = outlook.foreseen[0], world.jobs[j], outlook.foreseen[0].now_s
    radio_s = max(foreseen.radio_s, now_s)
    if is_entry(world, j, i):
        if k == 0:
            return radio_s, 0.0, now_s
        bits = world.tasks[j, i, INPUT]
        sent_s = sending_s(world, foreseen, k, bits)
        return radio_s + sent_s, sent_s, radio_s + sent_s + path_s(world, foreseen.site, k, bits)
    ready_s, sent_s, graph = now_s, 0.0, job.graph
    for e in range(world.graph_start[graph, i, 0], world.graph_start[graph, i + 1, 0]):
        parent, bits = world.graph_edges[graph, e, PARENT], world.edge_bits[j, e]
        source, there_s = outlook.decision[parent], outlook.finish_s[parent]
        if source == 0 and k > 0:
            radio_s = max(radio_s, there_s) + sending_s(world, foreseen, k, bits)
            sent_s += sending_s(world, foreseen, k, bits)
            there_s = radio_s
        ready_s = max(ready_s, there_s + moving_s(world, foreseen, source, k, bits))
    return radio_s, sent_s, ready_s


@inlined
def weigh(world, outlook, j, i):
    """Fill the options of task i of job j; the tasks before it are placed."""
    foreseen, d = outlook.foreseen[0], world.jobs[j].device
    now_s, leaf = foreseen.now_s, is_exit(world, j, i)
    for k in range(len(outlook.options)):
        option, cores_s = outlook.options[k], outlook.core_free_s[k]
        radio_s, send_s, ready_s = _data_at(world, outlook, j, i, k)
        option.radio_free_s = radio_s
        option.core = earliest_core(cores_s, len(cores_s))
        option.core_free_s = free_s = cores_s[option.core]
        option.send_s = send_s
        option.radio_wait_s = max(foreseen.radio_s - now_s, 0.0)
        option.path_s = 0.0
        if k > 0 and is_entry(world, j, i):
            option.path_s = path_s(world, foreseen.site, k, world.tasks[j, i, INPUT])
        option.ready_s = ready_s - now_s
        # Data that never come, as no rate was seen yet, wait for no core, which may never be free either.
        option.core_wait_s = max(free_s - ready_s, 0.0) if ready_s < np.inf else 0.0
        option.run_s = run_s(world, d, k, world.tasks[j, i, WORKLOAD])
        option.return_s = 0.0
        if leaf and k > 0:
            option.return_s = returning_s(world, foreseen, k, world.tasks[j, i, OUTPUT])
        option.completion_s = option.ready_s + option.core_wait_s + option.run_s + option.return_s
        option.job_s, option.job_send_s, option.job_run_s = option.completion_s, option.send_s, option.run_s
        option.rest_price = 0.0


@inlined
def likely_late(completion_s, deadline_s):
    """How likely a job is to be late, from 0 to 1: a half where its completion is expected at its deadline."""
    if deadline_s == np.inf:
        return 0.0
    return 1.0 / (1.0 + math.exp(min(-SURE * (completion_s / deadline_s - 1.0), LARGEST_EXPONENT)))


@inlined
def put(world, system, outlook, j, i, k):
    """Place task i of job j, whose options are weighed, at location ``k`` in the outlook."""
    foreseen, option, cores_s = outlook.foreseen[0], outlook.options[k], outlook.core_free_s[k]
    ready_s = foreseen.now_s + option.ready_s
    finish_s = ready_s + option.core_wait_s + option.run_s
    cores_s[option.core] = finish_s
    foreseen.radio_s = option.radio_free_s
    foreseen.done_s = max(foreseen.done_s, foreseen.now_s + option.completion_s)
    outlook.finish_s[i] = finish_s
    outlook.decision[i] = k
    system.tasks[j * world.tasks.shape[1] + i].ready_s = ready_s
