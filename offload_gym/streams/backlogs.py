"""The least that the jobs of one device can cost, by a dynamic program over what waits for its radio and its cores.

What it leaves out makes no job slower: the other devices, queues at servers, and tasks with parents. Its states are two
numbers, the bits that wait for the radio and the seconds of work that wait for the device's cores; between the points
of a grid its costs are linear, and nowhere above the true ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import inlined, kernel
from offload_gym.instances import INPUT, OUTPUT, WORKLOAD
from offload_gym.lending import lent
from offload_gym.solvers.stopping import is_stopped
from offload_gym.streams.engine import is_entry, is_exit, path_s, run_s, site_of, way_back
from offload_gym.streams.grids import between, shift_cores, shift_radio
from offload_gym.streams.streams import CHILD, OUTGOING
from offload_gym.streams.uptime import slot_at

FOREVER_S = 1e6  # stands for infinite
ROUNDING = 1e-12  # relative: what rounding adds to a sum of bits
STEPS_A_POINT = 4  # of the grid and each location, as ``is_stopped`` counts them
TINY = 1e-12  # a step where there is nothing to wait for


class Item(NamedTuple):
    """A task without parents, as the dynamic program sees it."""

    job: int
    task: int
    weight: float  # of its completion in the response of its job
    gap_s: float  # until the next item arrives
    gap_bits: float  # which the radio can send meanwhile
    tails_s: NDArray[np.float64]  # (K,) from its end at each location until its job is complete, if it has children


class Radio(NamedTuple):
    """The radio of a device, alone."""

    device: int
    sent_bits: NDArray[np.float64]  # (slots + 1,) what it can send up to the beginning of each slot


@inlined
def _bits_by(world, radio, time_s):
    """Bits that the radio can send until a moment."""
    slot_s, last = world.common[0].slot_s, world.uplink_bps.shape[1] - 1
    slot = min(int(min(time_s / slot_s, last * 1.0)), last)
    return radio.sent_bits[slot] + (time_s - slot * slot_s) * world.uplink_bps[radio.device, slot]


@inlined
def _time_of(world, radio, bits):
    """The first moment by which the radio can have sent so many bits."""
    bits *= 1.0 - ROUNDING  # what rounding adds must not reach beyond an outage
    low, high = 0, world.uplink_bps.shape[1] - 1  # the last slot before which less is sent
    while low < high:
        middle = (low + high + 1) // 2
        if radio.sent_bits[middle] < bits:
            low = middle
        else:
            high = middle - 1
    left = bits - radio.sent_bits[low]
    if left <= 0.0:
        return low * world.common[0].slot_s
    rate_bps = world.uplink_bps[radio.device, low]
    return low * world.common[0].slot_s + left / rate_bps if rate_bps > 0.0 else np.inf


@kernel
def _tails(world, d, j, tails_s):
    """Fill ``tails_s`` (n, K): least seconds from the end of a task until its job is complete.

    0 for a task without children. Each path to the end is taken alone, over the best rates that the device ever has.
    """
    world = lent(world)
    job, num_locations = world.jobs[j], tails_s.shape[1]
    up_bps, down_bps, at_site = world.uplink_bps[d].max(), world.downlink_bps[d].max(), world.sites[d, 0]
    for i in range(job.num_tasks - 1, -1, -1):
        tails_s[i] = 0.0
        for at in range(world.graph_start[job.graph, i, 1], world.graph_start[job.graph, i + 1, 1]):
            e = world.graph_edges[job.graph, at, OUTGOING]
            child, bits = world.graph_edges[job.graph, e, CHILD], world.edge_bits[j, e]
            leaf = is_exit(world, j, child)
            for k in range(num_locations):
                least_s = np.inf
                for to in range(num_locations):
                    time_s = run_s(world, d, to, world.tasks[j, child, WORKLOAD]) + tails_s[child, to]
                    if leaf and to > 0:
                        out = world.tasks[j, child, OUTPUT]
                        time_s += path_s(world, at_site, to, out) + _drain_s(world, to, out, down_bps)
                    if k != to:
                        time_s += path_s(world, at_site, k, bits) if k > 0 else _drain_s(world, to, bits, up_bps)
                        time_s += path_s(world, at_site, to, bits) if to > 0 else _drain_s(world, k, bits, down_bps)
                    least_s = min(least_s, time_s)
                tails_s[i, k] = max(tails_s[i, k], least_s)


@inlined
def _drain_s(world, k, bits, rate_bps):
    """Seconds that ``bits`` take between the device and server ``k`` at a rate."""
    return bits / (rate_bps * world.servers[k - 1].rate_ratio) if bits > 0.0 else 0.0


@kernel
def _sent(world, radio, item, k, backlog_bits):
    """(response, slots in which it is sent, leaves the server and is complete) of an item that server ``k`` gets."""
    world, radio = lent(world), lent(radio)
    d, j, i = radio.device, item.job, item.task
    arrival_s, bits, out_bits = world.jobs[j].arrival_s, world.tasks[j, i, INPUT], world.tasks[j, i, OUTPUT]
    sent_s, ahead_bits = arrival_s, backlog_bits + bits / world.servers[k - 1].rate_ratio
    if ahead_bits > 0.0:
        sent_s = max(arrival_s, _time_of(world, radio, _bits_by(world, radio, arrival_s) + ahead_bits))
    end_s = sent_s + path_s(world, site_of(world, d, sent_s), k, bits) + run_s(world, d, k, world.tasks[j, i, WORKLOAD])
    done_s, slots = end_s + item.tails_s[k], (slot_at(world, sent_s), 0, 0)
    if is_exit(world, j, i) and end_s < FOREVER_S:
        done_s = way_back(world, d, k, out_bits, end_s)
        slots = (
            slots[0],
            slot_at(world, end_s + path_s(world, site_of(world, d, end_s), k, out_bits)),
            slot_at(world, done_s),
        )
    return min(done_s - arrival_s, FOREVER_S), slots


@kernel
def _fill_costs(world, radio, item, k, step_bits, costs_s):
    """Fill ``costs_s`` with the responses of an item that is sent to server ``k``, by what waits for the radio before.

    A response grows with the backlog, linearly while what is sent and what returns stay in their slots. From one point
    to the next where they do not, it is taken for what it is at the first one, so that what is linear between the
    points is nowhere above it.
    """
    before_s, before = 0.0, (-1, -1, -1)
    for x in range(len(costs_s)):
        response_s, slots = _sent(world, radio, item, k, x * step_bits)
        same = slots[0] == before[0] and slots[1] == before[1] and slots[2] == before[2]
        costs_s[x] = response_s if x == 0 or (same and response_s < FOREVER_S) else before_s
        before_s, before = response_s, slots


@inlined
def _own(device, own_s, longest_s, work_s):
    """Response of a task on the device, which takes ``own_s`` there, behind the work that waits, seconds of all cores.

    With several cores it may start while others still run their last tasks.
    """
    return max(work_s - longest_s * (device.cores - 1) / device.cores, 0.0) + own_s


@kernel
def _go_back(world, radio, item, steps, longest_s, tables, lines):
    """From the least costs of all that comes after an item to those with it, in ``tables[0]``.

    Args:
        world: ``World``.
        radio: ``Radio``.
        item: ``Item``.
        steps: bits and seconds from one point of the grid to the next.
        longest_s: seconds of the longest task on the device.
        tables: (4, X, W): by what waits for the radio and for the cores.
        lines: (2, X + W + 3): scratch space.
    """
    world, radio, lines = lent(world), lent(radio), lent(lines)
    costs_s, line = lines[0, : tables.shape[1]], lines[1, : tables.shape[2] + 3]
    after, least, half, moved = lent(tables[0]), lent(tables[1]), lent(tables[2]), lent(tables[3])
    d, j, i, device = radio.device, item.job, item.task, world.devices[radio.device]
    own_s, cores = run_s(world, d, 0, world.tasks[j, i, WORKLOAD]), device.cores
    shift_cores(after, (own_s / cores - item.gap_s) / steps[1], half, line)
    shift_radio(half, -item.gap_bits / steps[0], least)
    for w in range(after.shape[1]):
        # Where it bends, from one point to the next, it is taken for what it is at the first one.
        response_s = _own(device, own_s, longest_s, w * steps[1])
        if _own(device, own_s, longest_s, (w - 1) * steps[1]) == own_s and cores > 1:
            response_s = own_s
        for x in range(after.shape[0]):
            least[x, w] += item.weight * (response_s + item.tails_s[0])
    shift_cores(after, -item.gap_s / steps[1], half, line)
    last_bits = np.nan
    for k in range(1, len(world.servers) + 1):
        bits = world.tasks[j, i, INPUT] / world.servers[k - 1].rate_ratio
        if bits != last_bits:
            shift_radio(half, (bits - item.gap_bits) / steps[0], moved)
        last_bits = bits
        _fill_costs(world, radio, item, k, steps[0], costs_s)
        for x in range(after.shape[0]):
            for w in range(after.shape[1]):
                least[x, w] = min(least[x, w], moved[x, w] + item.weight * costs_s[x])
    after[:] = least


@kernel
def _alone(world, radio, j, tails_s):
    """(least response of job ``j`` in an empty system, the task without parents for which that is)."""
    most_s, critical = 0.0, 0
    for i in range(world.jobs[j].num_tasks):
        if is_entry(world, j, i):
            item = Item(j, i, 1.0, 0.0, 0.0, tails_s[i])
            least_s = run_s(world, radio.device, 0, world.tasks[j, i, WORKLOAD]) + tails_s[i, 0]
            for k in range(1, len(world.servers) + 1):
                least_s = min(least_s, _sent(world, radio, item, k, 0.0)[0])
            if least_s > most_s:
                most_s, critical = least_s, i
    return most_s, critical


@kernel
def sizes_of(world, d):
    """(bits, seconds on the device) that an item of device ``d`` has on average, and seconds of its longest task."""
    total_bits, total_s, longest_s, count = 0.0, 0.0, 0.0, 0
    for j in range(len(world.jobs)):
        if world.jobs[j].device == d:
            for i in range(world.jobs[j].num_tasks):
                own_s = run_s(world, d, 0, world.tasks[j, i, WORKLOAD])
                longest_s = max(longest_s, own_s)
                if is_entry(world, j, i):
                    total_bits += world.tasks[j, i, INPUT]
                    total_s += own_s
                    count += 1
    return total_bits / max(count, 1), total_s / max(count, 1), longest_s


@inlined
def steps_of(sizes, size, tables):
    """Bits and seconds from one point of a grid to the next, on which ``size`` average items may wait."""
    return max(size * sizes[0] / tables.shape[1], TINY), max(size * sizes[1] / tables.shape[2], TINY)


@kernel
def radio_of(world, d, sent_bits):
    """The radio of device ``d``; ``sent_bits`` (slots + 1,) is filled."""
    sent_bits[0] = 0.0
    for s in range(world.uplink_bps.shape[1]):
        sent_bits[s + 1] = sent_bits[s] + world.uplink_bps[d, s] * world.common[0].slot_s
    return Radio(d, sent_bits)


@kernel
def least_cost(world, radio, spread, size, memory, kept, watch):
    """(least cost of the jobs of a device, sum of their responses alone), with a grid of a size; less where stopped.

    Args:
        world: ``World``.
        radio: ``Radio``.
        spread: whether the tasks without parents of a job count alike; if not, the one that takes longest counts alone.
        size: how many average items may wait for the radio, and for the cores, within the grid.
        memory: (4, X, W), (2, X + W + 3) and (n, K): scratch space.
        kept: (J, X, W), filled with the least costs of what comes after each job of the device; or None.
        watch: ``Budget``, by which it is stopped.
    """
    tables, lines, tails_s = memory
    steps_an_item = STEPS_A_POINT * tables[0].size * (len(world.servers) + 1)
    sizes = sizes_of(world, radio.device)
    steps = steps_of(sizes, size, tables)
    tables[0] = 0.0
    alone_s, next_s, next_bits = 0.0, np.inf, np.inf
    for j in range(len(world.jobs) - 1, -1, -1):
        job = world.jobs[j]
        if job.device != radio.device:
            continue
        if kept is not None:
            kept[j] = tables[0]
        _tails(world, radio.device, j, tails_s)
        least_s, critical = _alone(world, radio, j, tails_s)
        alone_s += least_s
        entries = 0
        for i in range(job.num_tasks):
            entries += 1 if is_entry(world, j, i) else 0
        sent_bits = _bits_by(world, radio, job.arrival_s)
        for i in range(job.num_tasks - 1, -1, -1):
            if is_entry(world, j, i):
                weight = 1.0 / entries if spread else (1.0 if i == critical else 0.0)
                item = Item(j, i, weight, next_s - job.arrival_s, next_bits - sent_bits, tails_s[i])
                _go_back(world, radio, item, steps, sizes[2], tables, lines)
                next_s, next_bits = job.arrival_s, sent_bits
        if is_stopped(watch, entries * steps_an_item):
            break
    return tables[0, 0, 0], alone_s


@kernel
def decide_all(world, radio, size, memory, kept, decisions):
    """Decide the jobs of a device one after another, all tasks of a job to one location, by the costs in ``kept``.

    Args:
        world: ``World``.
        radio: ``Radio``.
        size: as in ``least_cost``.
        memory: as in ``least_cost``.
        kept: (J, X, W), as ``least_cost`` left them.
        decisions: (J, n), filled for the jobs of the device.
    """
    tables, _, tails_s = memory
    sizes, device, d = sizes_of(world, radio.device), world.devices[radio.device], radio.device
    steps, waits = steps_of(sizes, size, tables), (0.0, 0.0)
    now_s, now_bits = 0.0, 0.0
    for j in range(len(world.jobs)):
        job = world.jobs[j]
        if job.device != d:
            continue
        sent_bits = _bits_by(world, radio, job.arrival_s)
        waits = max(waits[0] - (sent_bits - now_bits), 0.0), max(waits[1] - (job.arrival_s - now_s), 0.0)
        now_s, now_bits = job.arrival_s, sent_bits
        _tails(world, d, j, tails_s)
        best_s, best, after = np.inf, 0, waits
        for k in range(len(world.servers) + 1):
            bits, work_s, response_s = waits[0], waits[1], 0.0
            for i in range(job.num_tasks):
                if is_entry(world, j, i):
                    own_s = run_s(world, d, 0, world.tasks[j, i, WORKLOAD])
                    if k == 0:
                        response_s = max(response_s, _own(device, own_s, sizes[2], work_s) + tails_s[i, 0])
                        work_s += own_s / device.cores
                    else:
                        item = Item(j, i, 1.0, 0.0, 0.0, tails_s[i])
                        response_s = max(response_s, _sent(world, radio, item, k, bits)[0])
                        bits += world.tasks[j, i, INPUT] / world.servers[k - 1].rate_ratio
            following = j + 1
            while following < len(world.jobs) and world.jobs[following].device != d:
                following += 1
            if following < len(world.jobs):
                next_s = world.jobs[following].arrival_s
                x = max(bits - (_bits_by(world, radio, next_s) - sent_bits), 0.0) / steps[0]
                response_s += between(kept[j], x, max(work_s - (next_s - now_s), 0.0) / steps[1])
            if response_s < best_s:
                best_s, best, after = response_s, k, (bits, work_s)
        decisions[j], waits = best, after
