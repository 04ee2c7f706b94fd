"""Deciding jobs one by one in a kernel: rules and small networks over what a device foresees."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import inlined, kernel
from offload_gym.layers import AT, INPUTS, LANES, OUTPUTS, run_layer
from offload_gym.lending import lent
from offload_gym.random_numbers import stream, uniform
from offload_gym.streams.engine import admit_here, advance_here, is_exit, path_s
from offload_gym.streams.lookahead import look_ahead
from offload_gym.streams.observing import OF_LOCATION, OF_STREAM, observe
from offload_gym.streams.outlook import likely_late, look, new_outlook, put, weigh
from offload_gym.streams.streams import StreamBatch
from offload_gym.streams.system import DROPPED, System, begin, read_fates, system_of, world_of

RULE, NETWORK, TWO_CHOICES, NEAREST = range(4)
#: What a rule adds up for each location, each with a weight for the device, the edge servers and the cloud server. The
#: location with the least sum is chosen.
TERMS = (
    "constant",
    "completion",  # seconds until the task's result is on the device
    "send",  # seconds of the radio
    "send_queue",  # these times the seconds that the radio has to send already
    "run",  # seconds of a core
    "run_queue",  # these times the seconds until a core there is free
    "wait",  # seconds of waiting for radio and core
    "send_send",  # the square of the seconds of the radio
    "send_device",  # these times the seconds until a core of the device is free
    "send_jobs",  # these times the jobs in the system, in tens
    "run_run",  # the square of the seconds of a core
    "run_radio",  # these times the seconds that the radio has to send already
    "run_jobs",  # these times the jobs in the system, in tens
    "late",  # how likely the job is to be late, from 0 to 1: a half where its completion is expected at the deadline
    "job",  # seconds until the job is complete, with what follows the task placed best, and what that costs
)
CONSTANT, COMPLETION, SEND, SEND_QUEUE, RUN, RUN_QUEUE, WAIT = range(7)
SEND_SEND, SEND_DEVICE, SEND_JOBS, RUN_RUN, RUN_RADIO, RUN_JOBS, LATE, JOB = range(7, len(TERMS))
CLASSES = ("device", "edge", "cloud", "dropped")  # dropping a job has a constant alone, infinite where it is not done
DROPPING = len(CLASSES) - 1
PARTS_OF_A_SECOND = 2.0**30
LONG_S = 100.0  # a rule takes what is free later for as late as this


class Plan(NamedTuple):
    """How a kernel decides."""

    kind: int
    weights: NDArray[np.float64]  # (classes, terms): of a rule
    # A job is dropped where no location is expected to make it within this many deadlines; infinite: never.
    drop_factor: float
    layers: NDArray[np.int64]  # (L, 3) of a network, and its weights, as ``offload_gym.layers.packed`` gives them
    parameters: NDArray[np.float32]
    tanh: bool  # behind each layer of the network but the last, instead of max(0, .)
    num_outputs: int  # of the network: the locations, and one more where it may drop the job


@inlined
def class_of(k, num_locations):
    """0 for the device, 1 for an edge server, 2 for the cloud server, which is the last location."""
    return 0 if k == 0 else (2 if k == num_locations - 1 else 1)


@inlined
def _inputs_end(num_locations):
    """Where the numbers that a network reads end in ``values``, with zeros up to a whole vector."""
    return -(-(OF_LOCATION * num_locations + OF_STREAM) // LANES) * LANES


@inlined
def new_values(plan, num_locations):
    """Room for the numbers that a network reads, and behind them those of two of its layers."""
    widest = 0
    for layer in range(len(plan.layers)):
        widest = max(widest, plan.layers[layer, OUTPUTS])
    return np.zeros(_inputs_end(num_locations) + 2 * widest, dtype=np.float32)


@inlined
def run_network(plan, values, num_locations):
    """Run a network on the observation in ``values``; returns where its outputs begin there."""
    source, target = 0, _inputs_end(num_locations)
    both = 2 * target + (len(values) - target) // 2  # where one layer begins plus where the other begins
    last = len(plan.layers) - 1
    for layer in range(last + 1):
        at, inputs, outputs = plan.layers[layer, AT], plan.layers[layer, INPUTS], plan.layers[layer, OUTPUTS]
        run_layer(plan.parameters, at, inputs, outputs, values, source, target, layer < last and not plan.tanh)
        if plan.tanh and layer < last:
            for o in range(target, target + outputs):
                values[o] = np.tanh(values[o])
        source, target = target, both - target
    return source


@inlined
def _until(free_s, now_s):
    """Seconds until something is free; in an outage from the beginning on nobody knows when, and it is long."""
    return min(max(free_s - now_s, 0.0), LONG_S)


@inlined
def _set_prices(plan, outlook):
    """What a second of the radio and of a core costs at each location, as a rule sees it."""
    foreseen, num_locations = outlook.foreseen[0], len(outlook.options)
    now_s, jobs = foreseen.now_s, 0.1 * foreseen.num_in_system
    radio_s = _until(foreseen.radio_s, now_s)
    device_s = _until(outlook.options[0].core_free_s, now_s)
    for k in range(num_locations):
        price, weights = outlook.prices[k], plan.weights[class_of(k, num_locations)]
        price.send = (
            weights[SEND] + weights[SEND_QUEUE] * radio_s + weights[SEND_DEVICE] * device_s + weights[SEND_JOBS] * jobs
        )
        price.run = (
            weights[RUN]
            + weights[RUN_QUEUE] * _until(outlook.options[k].core_free_s, now_s)
            + weights[RUN_RADIO] * radio_s
            + weights[RUN_JOBS] * jobs
        )


@inlined
def _soonest_s(world, outlook, j):
    """From now until job j, whose first task is weighed, can be complete."""
    soonest_s = np.inf
    if not is_exit(world, j, 0):
        for k in range(len(outlook.prices)):
            outlook.prices[k].send = outlook.prices[k].run = 0.0
        look_ahead(world, outlook, j, 0, 1.0)
    for k in range(len(outlook.options)):
        soonest_s = min(soonest_s, outlook.options[k].job_s)
    return soonest_s


@inlined
def _sooner_of_two(world, outlook, j, i):
    """Of two locations drawn at random the one that has task i of job j done first."""
    # Arrivals tell streams apart, so that others draw others.
    start, num_locations = stream(j, i, int(world.jobs[j].arrival_s * PARTS_OF_A_SECOND)), len(outlook.options)
    one = int(uniform(start, 0) * num_locations)
    other = (one + 1 + int(uniform(start, 1) * (num_locations - 1))) % num_locations
    return one if outlook.options[one].completion_s <= outlook.options[other].completion_s else other


@inlined
def _nearest(world, outlook):
    """The edge server that a bit reaches first from the site of the device; of equal ones the first."""
    best, least_s = 1, np.inf
    for k in range(1, len(outlook.options) - 1):
        there_s = path_s(world, outlook.foreseen[0].site, k, 1.0)
        if there_s < least_s:
            best, least_s = k, there_s
    return best


@inlined
def choose(plan, world, system, outlook, j, i, values):
    """The location of task i of job j, whose options are weighed, or DROPPED."""
    num_locations, now_s = len(outlook.options), outlook.foreseen[0].now_s
    best, least = 0, np.inf
    if plan.kind == NETWORK:
        observe(world, system, outlook, j, i, values)
        scores = run_network(plan, values, num_locations)
        # A job is dropped as a whole, or not at all.
        for k in range(plan.num_outputs if i == 0 else num_locations):
            if -values[scores + k] < least:
                best, least = k, -values[scores + k]
        return best if best < num_locations else DROPPED
    if plan.kind == TWO_CHOICES:
        return _sooner_of_two(world, outlook, j, i)
    if plan.kind == NEAREST:
        return _nearest(world, outlook)
    deadline_s = world.jobs[j].deadline_s
    # A job is dropped as a whole, or not at all.
    if i == 0 and plan.drop_factor < np.inf and _soonest_s(world, outlook, j) > plan.drop_factor * deadline_s:
        return DROPPED
    for k in range(1, num_locations):  # where nothing is expected to be complete, as in an outage
        if plan.weights[class_of(k, num_locations), CONSTANT] < plan.weights[class_of(best, num_locations), CONSTANT]:
            best = k
    radio_s = _until(outlook.foreseen[0].radio_s, now_s)
    _set_prices(plan, outlook)
    # What a second counts by itself, and for its share of the time until the deadline.
    second = plan.weights[0, JOB] + plan.weights[0, LATE] / deadline_s
    if second > 0.0 and not is_exit(world, j, i):
        look_ahead(world, outlook, j, i, second)
    for k in range(num_locations):
        option, price, weights = outlook.options[k], outlook.prices[k], plan.weights[class_of(k, num_locations)]
        value = (
            weights[CONSTANT]
            + weights[COMPLETION] * option.completion_s
            + (price.send + weights[SEND_SEND] * option.send_s) * option.send_s
            + (price.run + weights[RUN_RUN] * option.run_s) * option.run_s
            + weights[WAIT] * ((radio_s if k > 0 else 0.0) + option.core_wait_s)
        )
        if weights[JOB] != 0.0:
            value += weights[JOB] * option.job_s + option.rest_price
        if weights[LATE] > 0.0:
            value += weights[LATE] * likely_late(option.job_s, deadline_s)
        if value < least:
            best, least = k, value
    return DROPPED if i == 0 and plan.weights[DROPPING, CONSTANT] <= least < np.inf else best


@inlined
def decide_from(plan, world, system, outlook, j, first, values):
    """Place the tasks of job j from task ``first`` on; the decision is in ``outlook.decision``."""
    for i in range(first, world.jobs[j].num_tasks):
        weigh(world, outlook, j, i)
        k = choose(plan, world, system, outlook, j, i, values)
        if k == DROPPED:
            outlook.decision[0] = DROPPED
            break
        put(world, system, outlook, j, i, k)


@kernel
def play_kernel(arrays, systems, plan, first, decisions, response_s, energy_j):
    """Play streams with a plan, those from ``first`` on.

    Args:
        arrays: ``StreamBatch`` as a plain tuple.
        systems: ``System`` with an axis of 1 in front, as a plain tuple: scratch space.
        plan: ``Plan`` as a plain tuple.
        first: number of the first stream.
        decisions: (some streams, J, n), filled.
        response_s: (some streams, J), filled.
        energy_j: (some streams, J), filled.
    """
    batch, system, plan = lent(StreamBatch(*arrays)), lent(system_of(System(*systems), 0)), lent(Plan(*plan))
    num_locations, n = batch.servers.shape[1] + 1, batch.tasks.shape[2]
    memory = new_outlook(num_locations, system.core_free_s.shape[1], n)
    room = new_values(plan, num_locations)
    for row in range(len(response_s)):
        world, outlook, values = lent(world_of(batch, first + row)), lent(memory), lent(room)
        begin(world, system)
        num_jobs = len(world.jobs)
        for j in range(num_jobs + 1):  # one call of ``advance_here``, as its body stands in its place
            advance_here(world, system, world.jobs[j].arrival_s if j < num_jobs else np.inf, None)
            if j == num_jobs:
                break
            look(world, system, world.jobs[j].device, outlook)
            decide_from(plan, world, system, outlook, j, 0, values)
            for i in range(n):
                decisions[row, j, i] = outlook.decision[i] if outlook.decision[0] != DROPPED else DROPPED
            admit_here(world, system, j, outlook.decision)
        read_fates(world, system, response_s[row], energy_j[row])
