"""The jobs of a stream: when and where they arrive, what they are, and until when they must be complete."""

from __future__ import annotations

import numpy as np

from offload_gym.compilation import kernel
from offload_gym.instances import INPUT, OUTPUT, WORKLOAD
from offload_gym.random_numbers import fill_uniform
from offload_gym.sampling import UNIFORMS_A_TASK, between, draw_application, draw_sizes
from offload_gym.streams.arrivals import advance
from offload_gym.streams.parameters import DEADLINE
from offload_gym.streams.streams import CHILD, OUTGOING

LEAST_DEADLINE_S = 1e-6  # of a job without work and data, whose best response is 0


@kernel
def fill_jobs(parameters, sources, start, batch, b, first, last):
    """Fill jobs ``first`` to ``last - 1`` of stream ``b`` with the next arrivals of the sources of its devices (m,).

    What job j is depends on ``start`` and j alone. The rates of the stream must be there, for deadlines.
    """
    jobs, num_devices = batch.jobs[b], len(sources)
    u = np.empty(parameters.process[0].num_job_uniforms)
    memory = np.empty((4, batch.tasks.shape[2]))
    for j in range(first, last):
        device = 0
        for d in range(1, num_devices):
            if sources[d].next_s < sources[device].next_s:
                device = d
        source, job = sources[device], jobs[j]
        job.arrival_s, job.device, job.deadline_s = source.next_s, device, np.inf
        fill_uniform(start, j * len(u), u)
        _draw_job(parameters, u, batch, b, j)
        if len(parameters.recorded_arrivals) > 0:
            _take_recorded(parameters.recorded_arrivals[source.row], batch.tasks[b, j, 0], job)
        process = parameters.process[0]
        if process.deadline_high > 0.0 and job.deadline_s == np.inf:
            v = u[UNIFORMS_A_TASK * batch.tasks.shape[2] + 1]
            factor = process.deadline_low + v * (process.deadline_high - process.deadline_low)
            job.deadline_s = max(LEAST_DEADLINE_S, factor * alone_s(batch, b, j, memory))
        advance(parameters, source)


@kernel
def _draw_job(parameters, u, batch, b, j):
    """Fill the tasks and the graph of a job from its uniform numbers."""
    job, tasks = batch.jobs[b, j], batch.tasks[b, j]
    n, num_applications = len(tasks), len(parameters.application_counts)
    at = UNIFORMS_A_TASK * n  # where the number stands that says which application, or how many tasks
    job.graph, job.num_tasks = 0, n
    if num_applications > 0:
        a = min(int(u[at] * num_applications), num_applications - 1)
        job.graph, job.num_tasks = a, parameters.application_counts[a]
        draw_application(parameters, a, u, u[at + 2 :], tasks, batch.edge_bits[b, j])
        return
    fewest = parameters.process[0].fewest_tasks
    if fewest < n:
        job.num_tasks = fewest + int(u[at] * (n - fewest + 1))
    for i in range(n):
        v = u[UNIFORMS_A_TASK * i : UNIFORMS_A_TASK * (i + 1)]
        draw_sizes(parameters.ranges[0], parameters.task_types, v, tasks, i)


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


@kernel
def alone_s(batch, b, j, memory):
    """The best response of a job in an empty system, at the rates of its device in the slot of its arrival.

    It is exact over the locations for a job of one task. Of several tasks it is the best with all of them at one
    location. A server is not reached in a slot without a rate. ``memory`` is scratch space (4, n).
    """
    best_s = np.inf
    for k in range(len(batch.servers[b]) + 1):
        best_s = min(best_s, _alone_at(batch, b, j, k, memory))
    return best_s


@kernel
def _alone_at(batch, b, j, k, memory):
    """The response of a job, alone, with all tasks at location ``k``."""
    job, tasks = batch.jobs[b, j], batch.tasks[b, j]
    device = batch.devices[b, job.device]
    hz, cores, send_bps, return_bps, wired_bps, propagation_s = device.hz, device.cores, np.inf, np.inf, np.inf, 0.0
    if k > 0:
        server = batch.servers[b, k - 1]
        uplink_bps, downlink_bps = batch.uplink_bps[b, job.device], batch.downlink_bps[b, job.device]
        s = min(int(job.arrival_s / batch.common[b].slot_s), len(uplink_bps) - 1)
        hz, cores, wired_bps, propagation_s = server.cpu_hz, server.cores, server.wired_bps, server.propagation_s
        send_bps, return_bps = uplink_bps[s] * server.rate_ratio, downlink_bps[s] * server.rate_ratio
        if send_bps == 0.0 or return_bps == 0.0:
            return np.inf
    start, edges = batch.graph_start[job.graph], batch.graph_edges[job.graph]
    missing, ready_s, finish_s, free_s = memory[0], memory[1], memory[2], memory[3]
    n, sent_s, response_s = job.num_tasks, 0.0, 0.0
    cores = min(cores, n)
    free_s[:cores] = 0.0
    for i in range(n):
        missing[i], ready_s[i], finish_s[i] = start[i + 1, 0] - start[i, 0], 0.0, np.inf
        if missing[i] == 0.0 and k > 0:
            sent_s += tasks[i, INPUT] / send_bps
            ready_s[i] = sent_s + tasks[i, INPUT] / wired_bps + propagation_s
    for _ in range(n):
        first = -1  # of the tasks whose parents have finished, the one that became ready first
        for i in range(n):
            if missing[i] == 0.0 and finish_s[i] == np.inf and (first < 0 or ready_s[i] < ready_s[first]):
                first = i
        core = np.argmin(free_s[:cores])
        finish_s[first] = max(ready_s[first], free_s[core]) + tasks[first, WORKLOAD] / hz
        free_s[core] = finish_s[first]
        for out in range(start[first, 1], start[first + 1, 1]):
            child = edges[edges[out, OUTGOING], CHILD]
            missing[child] -= 1.0
            ready_s[child] = max(ready_s[child], finish_s[first])
        if start[first, 1] == start[first + 1, 1]:
            back_s = tasks[first, OUTPUT] / wired_bps + propagation_s + tasks[first, OUTPUT] / return_bps
            response_s = max(response_s, finish_s[first] + back_s)
    return response_s
