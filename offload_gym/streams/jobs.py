"""The jobs of a stream: when and where they arrive, what they are, and until when they must be complete."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from offload_gym.compilation import inlined, kernel
from offload_gym.instances import INPUT, OUTPUT, WORKLOAD
from offload_gym.lending import lent
from offload_gym.random_numbers import fill_uniform
from offload_gym.sampling import UNIFORMS_A_TASK, draw_application, draw_sizes
from offload_gym.streams.arrivals import advance, sink
from offload_gym.streams.parameters import DEADLINE
from offload_gym.streams.streams import CHILD, OUTGOING

LEAST_DEADLINE_S = 1e-6  # of a job without work and data, whose best response is 0


@kernel
def fill_jobs(parameters, sources, start, batch, b, first, last):
    """Fill jobs ``first`` to ``last - 1`` of stream ``b`` with the next arrivals of the sources of its devices (m,).

    What job j is depends on ``start`` and j alone. The rates of the stream must be there, for deadlines.
    """
    jobs, tasks, n, num_devices = batch.jobs[b], batch.tasks[b], batch.tasks.shape[2], len(sources)
    process, recorded, counts = parameters.process[0], parameters.recorded_arrivals, parameters.application_counts
    ranges, task_types = parameters.ranges[0], parameters.task_types
    uniforms, room = np.empty(process.num_job_uniforms), np.empty((4, n))
    order = np.arange(num_devices)
    for at in range(num_devices // 2 - 1, -1, -1):
        sink(sources, order, at)
    for j in range(first, last):
        device, u, memory = order[0], lent(uniforms), lent(room)
        source, job, own = sources[device], jobs[j], tasks[j]
        job.arrival_s, job.device, job.deadline_s = source.next_s, device, np.inf
        job.graph, job.num_tasks = 0, n
        fill_uniform(start, j * len(u), u)
        which = u[UNIFORMS_A_TASK * n]  # of the applications, or how many tasks; the next number is the deadline's
        if len(counts) > 0:
            a = min(int(which * len(counts)), len(counts) - 1)
            job.graph, job.num_tasks = a, counts[a]
            _draw_frame(
                ranges, parameters.application_tasks[a], parameters.application_bits[a], u, own, batch.edge_bits[b, j]
            )
        else:
            if process.fewest_tasks < n:
                job.num_tasks = process.fewest_tasks + int(which * (n - process.fewest_tasks + 1))
            for i in range(n):
                draw_sizes(ranges, task_types, u[UNIFORMS_A_TASK * i : UNIFORMS_A_TASK * (i + 1)], own, i)
        if len(recorded) > 0:
            _take_recorded(recorded[source.row], own[0], job)
        if process.deadline_high > 0.0 and (len(recorded) == 0 or np.isnan(recorded[source.row, DEADLINE])):
            share = u[UNIFORMS_A_TASK * n + 1]
            factor = process.deadline_low + share * (process.deadline_high - process.deadline_low)
            job.deadline_s = max(LEAST_DEADLINE_S, factor * alone_s(batch, b, j, memory))
        advance(process, recorded, source)
        sink(sources, order, 0)


@kernel
def _draw_frame(ranges, application_tasks, application_bits, u, tasks, edge_bits):
    """Fill the tasks and edges of a job of an application from its uniform numbers."""
    for_bits = u[UNIFORMS_A_TASK * len(tasks) + 2 :]
    draw_application(ranges, application_tasks, application_bits, u, for_bits, tasks, edge_bits)


@kernel
def _take_recorded(recorded, task, job):
    """Put the recorded numbers in the place of drawn ones; what was drawn for each bit follows a recorded input."""
    if not np.isnan(recorded[1 + INPUT]):
        scale = recorded[1 + INPUT] / task[INPUT] if task[INPUT] > 0.0 else 1.0
        task[OUTPUT] *= scale
        task[WORKLOAD] *= scale
    for column in range(3):
        if not np.isnan(recorded[1 + column]):
            task[column] = recorded[1 + column]
    if not np.isnan(recorded[DEADLINE]):
        job.deadline_s = recorded[DEADLINE]


class Place(NamedTuple):
    """Where all tasks of a job are, as its device sees it."""

    hz: float
    cores: int
    send_bps: float
    return_bps: float
    wired_bps: float
    propagation_s: float


@inlined
def alone_s(batch, b, j, memory):
    """The best response of a job in an empty system, at the rates of its device in the slot of its arrival.

    It is exact over the locations for a job of one task. Of several tasks it is the best with all of them at one
    location. A server is not reached in a slot without a rate. ``memory`` is scratch space (4, n).
    """
    job, tasks = batch.jobs[b, j], batch.tasks[b, j]
    start, edges = batch.graph_start[job.graph], batch.graph_edges[job.graph]
    d, slots = job.device, batch.uplink_bps.shape[2]
    s = min(int(job.arrival_s / batch.common[b].slot_s), slots - 1)
    device = Place(batch.devices[b, d].hz, batch.devices[b, d].cores, np.inf, np.inf, np.inf, 0.0)
    best_s = _alone_at(device, job.num_tasks, tasks, start, edges, memory)
    for k in range(batch.servers.shape[1]):
        of = batch.servers[b, k]
        send_bps, return_bps = batch.uplink_bps[b, d, s] * of.rate_ratio, batch.downlink_bps[b, d, s] * of.rate_ratio
        if send_bps > 0.0 and return_bps > 0.0:
            at_home = of.site == batch.sites[b, d, min(s, batch.sites.shape[2] - 1)]
            wired_bps, propagation_s = (np.inf, of.home_propagation_s) if at_home else (of.wired_bps, of.propagation_s)
            server = Place(of.cpu_hz, of.cores, send_bps, return_bps, wired_bps, propagation_s)
            best_s = min(best_s, _alone_at(server, job.num_tasks, tasks, start, edges, memory))
    return best_s


@kernel
def _alone_at(place, n, tasks, start, edges, memory):
    """The response of a job of n tasks, alone, with all of them at one place; first come, first served."""
    missing, ready_s, finish_s, free_s = memory[0], memory[1], memory[2], memory[3]
    sent_s, response_s, cores = 0.0, 0.0, min(place.cores, n)
    free_s[:cores] = 0.0
    for i in range(n):
        missing[i], ready_s[i], finish_s[i] = start[i + 1, 0] - start[i, 0], 0.0, np.inf
        if missing[i] == 0.0:
            sent_s += tasks[i, INPUT] / place.send_bps
            ready_s[i] = sent_s + tasks[i, INPUT] / place.wired_bps + place.propagation_s
    for _ in range(n):
        first = -1  # of the tasks whose parents have finished, the one that became ready first
        for i in range(n):
            if missing[i] == 0.0 and finish_s[i] == np.inf and (first < 0 or ready_s[i] < ready_s[first]):
                first = i
        core = 0
        for c in range(1, cores):
            if free_s[c] < free_s[core]:
                core = c
        finish_s[first] = max(ready_s[first], free_s[core]) + tasks[first, WORKLOAD] / place.hz
        free_s[core] = finish_s[first]
        for out in range(start[first, 1], start[first + 1, 1]):
            child = edges[edges[out, OUTGOING], CHILD]
            missing[child] -= 1.0
            ready_s[child] = max(ready_s[child], finish_s[first])
        if start[first, 1] == start[first + 1, 1]:
            back_s = tasks[first, OUTPUT] / place.wired_bps + place.propagation_s
            response_s = max(response_s, finish_s[first] + back_s + tasks[first, OUTPUT] / place.return_bps)
    return response_s
