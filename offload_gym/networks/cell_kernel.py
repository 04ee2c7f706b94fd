"""Decisions of a network for a device that is not alone in its cell.

The network is one of the sequential form of ``offload_gym.networks.independent_kernel``. It sees its device's tasks,
rates and backlogs, with the uplink divided by the *slowdown*, and behind the state a few numbers that tell of the
company: what the base station reports, and absolute times, as what the others do does not shrink with one's own tasks.
"""

from __future__ import annotations

import math

import numpy as np

from offload_gym.compilation import inlined, kernel
from offload_gym.delay import SEND
from offload_gym.instances import UPLINK
from offload_gym.lending import lent
from offload_gym.networks.independent_kernel import (
    allocate,
    choose_all,
    encode_tasks,
    fill_times,
    lay_out,
    new_memory,
    start_scaled,
    unpack_plan,
)

COMPANY = 5  # numbers that a network reads of a device's company
MANY_DEVICES = 32.0  # what logarithms of numbers of devices are divided by
USUAL_UPLINK_BPS = 20e6  # what rates are divided by before their logarithm is taken


@inlined
def slowdown_of(num_devices, share):
    """By what the uplink is divided: 1 for a device that is alone, and ``share`` more for each other one."""
    return 1.0 + share * (num_devices - 1.0)


@inlined
def mean_uplink(location):
    """The mean of a device's uplink rates to the remote locations (K - 1)."""
    total_bps = 0.0
    for k in range(1, len(location)):
        total_bps += location[k, UPLINK]
    return total_bps / (len(location) - 1)


@inlined
def write_company(num_devices, mean_uplink_bps, own_uplink_bps, per_s, out, at):
    """Fill what a network reads of a device's company from ``out[at]`` on; ``per_s`` is 1 over its scale."""
    at = np.uint64(at)
    out[at] = math.log(num_devices) / math.log(MANY_DEVICES)
    out[at + np.uint64(1)] = 1.0 / num_devices
    out[at + np.uint64(2)] = math.log(own_uplink_bps / mean_uplink_bps)
    out[at + np.uint64(3)] = math.log(mean_uplink_bps / USUAL_UPLINK_BPS)
    out[at + np.uint64(4)] = math.log(per_s)


@inlined
def _decide_one(b, instances, told, plan, layout, arrays, further, leaning, best):
    """Fill ``best`` (n,) with the decision for instance ``b``; returns whether it has the cores that the network knows.

    ``further`` are None or numbers that the network reads behind those of the company, ``leaning`` None or (n, K), what
    is added to the scores.
    """
    tasks, locations, backlog_s, radio_backlog_s, task_counts = instances
    memory, location = new_memory(task_counts[b], layout, arrays), lent(locations[b])
    if not fill_times(lent(tasks[b]), location, lent(backlog_s[b]), plan, memory):
        return False
    slowdown = slowdown_of(told[0], told[2])
    for i in range(memory.num_tasks):
        for k in range(1, plan.num_locations):
            memory.times[i, k, SEND] *= slowdown
    so_far, per_s = start_scaled(radio_backlog_s[b], best, plan, memory)
    encode_tasks(plan, memory)
    write_company(told[0], told[1], mean_uplink(location), per_s, memory.values, layout.further_at)
    if further is not None:
        for f in range(len(further)):
            memory.values[np.uint64(layout.further_at + COMPANY + f)] = further[f]
    choose_all(best, so_far, plan, memory, leaning)
    for i in range(memory.num_tasks):
        best[i] = memory.decision[i]
    return True


@kernel
def decide_in_cell(instances, report, plan, weights, decisions):
    """Fill ``decisions`` (B, n); returns whether all instances have the cores that the network knows.

    ``instances`` are the first five arrays of a batch. ``report`` is three numbers: how many devices there are, the
    mean of their uplink rates, and the share of the slowdown. ``plan`` and ``weights`` are what ``make_plan`` returned.
    """
    plan = unpack_plan(plan, weights)
    if plan.num_locations != instances[1].shape[1]:
        return False
    layout = lay_out(decisions.shape[1], plan)
    arrays = allocate(decisions.shape[1], layout, plan)
    for b in range(len(decisions)):
        if not _decide_one(b, instances, report, plan, layout, arrays, None, None, lent(decisions[b])):
            return False
    return True


@kernel
def decide_in_training(instances, reports, network, leanings, further, decisions):
    """As ``decide_in_cell``, for devices of several cells.

    ``reports`` (B, 3) are those of each instance, ``network`` what ``make_plan`` returned, ``leanings`` (B, n, K) are
    added to the scores, and ``further`` (B, any) are numbers that the network reads behind those of the company.
    """
    plan = unpack_plan(network[0], network[1])
    if plan.num_locations != instances[1].shape[1]:
        return False
    layout = lay_out(decisions.shape[1], plan)
    arrays = allocate(decisions.shape[1], layout, plan)
    for b in range(len(decisions)):
        told, more, leaning = reports[b], further[b], leanings[b]
        if not _decide_one(b, instances, told, plan, layout, arrays, more, leaning, lent(decisions[b])):
            return False
    return True
