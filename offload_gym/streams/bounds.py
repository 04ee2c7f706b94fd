"""A lower bound of the responses of a stream, for all decisions, made by whoever knows whatever of the future.

Each device is taken by itself, with its radio and its cores; servers have as many cores as are asked for, and nobody
else sends. Of a job the tasks without parents count, which are first to use radio and cores, in the order of the jobs.
Then the decisions of least cost are a dynamic program over two numbers: the bits that wait for the radio and the
seconds of work that wait for the device's cores.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import inlined, kernel
from offload_gym.instances import INPUT, OUTPUT, WORKLOAD
from offload_gym.lending import lent
from offload_gym.solvers.parallel import for_each_chunk
from offload_gym.streams.engine import is_entry, is_exit, path_s, slot_at, way_back
from offload_gym.streams.outlook import run_s
from offload_gym.streams.streams import CHILD, OUTGOING, StreamBatch, Streams, check_streams
from offload_gym.streams.system import world_of

NODES = 256, 256  # of the grid: backlogs of the radio, of the cores
MOST_DOUBLINGS = 10  # of its range
FOREVER_S = 1e6  # stands for infinite
SLACK = 1e-9  # relative, for what rounding does in sums of this length
CHUNK = 1  # streams that a thread takes at a time
FIRST_RANGE = 16.0  # average tasks that the grid holds, doubled while that raises the bound
COARSER = 4  # times fewer points along each axis, where the range is looked for
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
    bits *= 1.0 - SLACK * 1e-3  # what rounding adds must not reach beyond an outage
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
    """Fill ``tails_s`` (n, K): least seconds from the end of a task until its job is complete, 0 for one without children.

    Each path to the end is taken alone, over the best rates that the device ever has.
    """
    world = lent(world)
    job, num_locations = world.jobs[j], tails_s.shape[1]
    up_bps, down_bps = world.uplink_bps[d].max(), world.downlink_bps[d].max()
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
                        time_s += path_s(world, to, out) + _drain_s(world, to, out, down_bps)
                    if k != to:
                        time_s += path_s(world, k, bits) if k > 0 else _drain_s(world, to, bits, up_bps)
                        time_s += path_s(world, to, bits) if to > 0 else _drain_s(world, k, bits, down_bps)
                    least_s = min(least_s, time_s)
                tails_s[i, k] = max(tails_s[i, k], least_s)


@inlined
def _drain_s(world, k, bits, rate_bps):
    """Seconds that ``bits`` take between the device and server ``k`` at a rate."""
    return bits / (rate_bps * world.servers[k - 1].rate_ratio) if bits > 0.0 else 0.0


@kernel
def _fill_costs(world, radio, item, k, tail_s, step_bits, costs_s):
    """Fill ``costs_s`` with the responses of an item that is sent to server ``k``, by what waits for the radio before.

    A response grows with the backlog, linearly while what is sent and what returns stay in their slots. From one point
    to the next where they do not, it is taken for what it is at the first one, so that what is linear between the
    points is nowhere above it.
    """
    world, radio = lent(world), lent(radio)
    d, j, i = radio.device, item.job, item.task
    arrival_s, bits, leaf = world.jobs[j].arrival_s, world.tasks[j, i, INPUT], is_exit(world, j, i)
    waits_bits = _bits_by(world, radio, arrival_s) + bits / world.servers[k - 1].rate_ratio
    stay_s = path_s(world, k, bits) + run_s(world, d, k, world.tasks[j, i, WORKLOAD])
    out_bits = world.tasks[j, i, OUTPUT]
    before_s, sent_slot, leaves_slot, done_slot = 0.0, 0, 0, 0
    for x in range(len(costs_s)):
        sent_s = arrival_s
        if x > 0 or bits > 0.0:
            sent_s = max(arrival_s, _time_of(world, radio, waits_bits + x * step_bits))
        end_s = min(sent_s + stay_s, FOREVER_S)
        done_s, slots = end_s + tail_s, (slot_at(world, sent_s), 0, 0)
        if leaf:
            done_s = way_back(world, d, k, out_bits, end_s)
            slots = (slots[0], slot_at(world, end_s + path_s(world, k, out_bits)), slot_at(world, done_s))
        response_s = min(done_s - arrival_s, FOREVER_S)
        same = slots[0] == sent_slot and slots[1] == leaves_slot and slots[2] == done_slot
        costs_s[x] = response_s if x == 0 or (same and response_s < FOREVER_S) else before_s
        before_s, sent_slot, leaves_slot, done_slot = response_s, slots[0], slots[1], slots[2]


@inlined
def _within(at, size):
    return min(max(at, 0), size - 1)


@kernel
def _shift_radio(values, by, shifted):
    """Fill ``shifted`` (X, W) so that it is, linear in between, nowhere above ``values`` at ``max(0, x + by)``.

    Both stand for functions that are linear between their points, of distance 1, and constant after the last one.
    Between two points of the shifted function there is one bend; it is below the straight line by ``f * (1 - f)``
    times the second difference there, where that is positive.
    """
    values, shifted = lent(values), lent(shifted)
    size, width = values.shape
    by = min(max(by, -2.0 * size), 2.0 * size)
    floor = int(np.floor(by))
    f = by - floor
    g = f * (1.0 - f)
    for x in range(size):
        m = x + floor
        p, a, b, c = _within(m - 1, size), _within(m, size), _within(m + 1, size), _within(m + 2, size)
        for w in range(width):
            left, right = values[a, w], values[b, w]
            bend = max(values[p, w] - 2.0 * left + right, left - 2.0 * right + values[c, w])
            shifted[x, w] = (1.0 - f) * left + f * right - g * max(bend, 0.0)


@kernel
def _shift_cores(values, by, shifted, line):
    """As ``_shift_radio``, along the other axis; ``line`` (W + 3,) is scratch space."""
    values, shifted, line = lent(values), lent(shifted), lent(line)
    size, width = values.shape
    by = min(max(by, -2.0 * width), 2.0 * width)
    floor = int(np.floor(by))
    f = by - floor
    g = f * (1.0 - f)
    for x in range(size):
        for at in range(width + 3):
            line[at] = values[x, _within(at + floor - 1, width)]
        for w in range(width):
            left, right = line[w + 1], line[w + 2]
            bend = max(line[w] - 2.0 * left + right, left - 2.0 * right + line[w + 3])
            shifted[x, w] = (1.0 - f) * left + f * right - g * max(bend, 0.0)


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
    _shift_cores(after, (own_s / cores - item.gap_s) / steps[1], half, line)
    _shift_radio(half, -item.gap_bits / steps[0], least)
    for w in range(after.shape[1]):
        # With several cores of which one is free a task starts although others still run theirs.
        wait_s = w * steps[1] - longest_s * (cores - 1) / cores
        wait_s = wait_s if cores == 1 or wait_s >= steps[1] else 0.0
        for x in range(after.shape[0]):
            least[x, w] += item.weight * (wait_s + own_s + item.tails_s[0])
    _shift_cores(after, -item.gap_s / steps[1], half, line)
    last_bits = np.nan
    for k in range(1, len(world.servers) + 1):
        bits = world.tasks[j, i, INPUT] / world.servers[k - 1].rate_ratio
        if bits != last_bits:
            _shift_radio(half, (bits - item.gap_bits) / steps[0], moved)
        last_bits = bits
        _fill_costs(world, radio, item, k, item.tails_s[k], steps[0], costs_s)
        for x in range(after.shape[0]):
            for w in range(after.shape[1]):
                least[x, w] = min(least[x, w], moved[x, w] + item.weight * costs_s[x])
    after[:] = least


@kernel
def _alone(world, radio, j, tails_s, costs_s):
    """(least response of job ``j`` in an empty system, the task without parents for which that is)."""
    d, most_s, critical = radio.device, 0.0, 0
    for i in range(world.jobs[j].num_tasks):
        if is_entry(world, j, i):
            item = Item(j, i, 1.0, 0.0, 0.0, tails_s[i])
            least_s = run_s(world, d, 0, world.tasks[j, i, WORKLOAD]) + tails_s[i, 0]
            for k in range(1, len(world.servers) + 1):
                _fill_costs(world, radio, item, k, tails_s[i, k], 0.0, costs_s[:1])
                least_s = min(least_s, costs_s[0])
            if least_s > most_s:
                most_s, critical = least_s, i
    return most_s, critical


@kernel
def _mean_sizes(world, d):
    """(bits, seconds on the device) that a task of device ``d`` has on average, and seconds of its longest one."""
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


@kernel
def _least_cost(world, radio, spread, size, memory, tails_s):
    """(least cost of the jobs of a device, sum of their responses alone), with a grid of a size.

    Args:
        world: ``World``.
        radio: ``Radio``.
        spread: whether the tasks without parents of a job count alike; if not, the one that takes longest counts alone.
        size: how many average tasks may wait for the radio, and for the cores, within the grid.
        memory: (4, X, W) and (2, X + W + 3): scratch space.
        tails_s: (n, K): scratch space.
    """
    tables, lines = memory
    bits, own_s, longest_s = _mean_sizes(world, radio.device)
    steps = max(size * bits / tables.shape[1], TINY), max(size * own_s / tables.shape[2], TINY)
    tables[0] = 0.0
    alone_s, next_s, next_bits = 0.0, np.inf, np.inf
    for j in range(len(world.jobs) - 1, -1, -1):
        job = world.jobs[j]
        if job.device != radio.device:
            continue
        _tails(world, radio.device, j, tails_s)
        least_s, critical = _alone(world, radio, j, tails_s, lines[0])
        alone_s += least_s
        entries = 0
        for i in range(job.num_tasks):
            entries += 1 if is_entry(world, j, i) else 0
        sent_bits = _bits_by(world, radio, job.arrival_s)
        for i in range(job.num_tasks - 1, -1, -1):
            if is_entry(world, j, i):
                weight = 1.0 / entries if spread else (1.0 if i == critical else 0.0)
                gaps = (next_s - job.arrival_s, next_bits - sent_bits)
                item = Item(j, i, weight, gaps[0], gaps[1], tails_s[i])
                _go_back(world, radio, item, steps, longest_s, tables, lines)
                next_s, next_bits = job.arrival_s, sent_bits
    return tables[0, 0, 0], alone_s


@kernel
def bound_streams(arrays, first, nodes, bounds_s):
    """Fill the bounds of the streams from ``first`` on.

    Args:
        arrays: ``StreamBatch`` as a plain tuple.
        first: number of the first stream.
        nodes: points of the grid along both of its axes.
        bounds_s: (some streams,), filled.
    """
    batch = lent(StreamBatch(*arrays))
    slots, longest = batch.uplink_bps.shape[2], nodes[0] + nodes[1] + 3
    memory = np.empty((4, nodes[0], nodes[1])), np.empty((2, longest))
    small = np.empty((4, nodes[0] // COARSER, nodes[1] // COARSER)), memory[1]
    tails_s, sent_bits = np.empty((batch.tasks.shape[2], batch.servers.shape[1] + 1)), np.zeros(slots + 1)
    for row in range(len(bounds_s)):
        world = lent(world_of(batch, first + row))
        bounds_s[row] = 0.0
        for d in range(len(world.devices)):
            for s in range(slots):
                sent_bits[s + 1] = sent_bits[s] + world.uplink_bps[d, s] * world.common[0].slot_s
            radio, best_s = Radio(d, sent_bits), 0.0
            for spread in range(2 if world.tasks.shape[1] > 1 else 1):
                size, most_s, found = FIRST_RANGE, -1.0, FIRST_RANGE
                for _ in range(MOST_DOUBLINGS):
                    cost_s, _ = _least_cost(world, radio, spread == 1, size, small, tails_s)
                    if cost_s <= most_s:
                        break
                    most_s, found, size = cost_s, size, size * 2.0
                cost_s, alone_s = _least_cost(world, radio, spread == 1, found, memory, tails_s)
                best_s = max(best_s, max(cost_s, alone_s))
            bounds_s[row] += best_s
        bounds_s[row] *= 1.0 - SLACK


def lower_bound(streams: Streams, num_threads: int | None = None) -> NDArray[np.float64]:
    """What no decisions get below: a bound of the sum of the responses of each stream, where no job is dropped."""
    check_streams(streams)
    bounds_s = np.empty(len(streams))

    def work(rows: slice) -> None:
        bound_streams(streams.arrays, rows.start, NODES, bounds_s[rows])

    for_each_chunk(work, len(streams), num_threads, CHUNK)
    return bounds_s
