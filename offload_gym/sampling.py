"""Drawing instances from a scenario: independent ones, and epochs that follow each other in time.

Everything random comes from two arrays an instance: uniform numbers (machines and tasks) and a Gaussian latent vector
(radio and backlogs). The latent vector of the next epoch is ``correlation * latent + sqrt(1 - correlation**2) *
noise``, which leaves its distribution as it was, so each epoch of an episode is distributed as an independent instance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray

from offload_gym.instances import (
    CORES,
    CPU,
    DOWNLINK,
    INPUT,
    OUTPUT,
    PROPAGATION,
    UPLINK,
    WIRED,
    WORKLOAD,
    Instances,
    check_count,
)
from offload_gym.radio import cached_trace
from offload_gym.scenario import (
    R_CLOUD_HZ,
    R_CLOUD_PROPAGATION_S,
    R_CLOUD_WIRED_BPS,
    R_CYCLES_PER_BIT,
    R_DEVICE_HZ,
    R_DOWNLINK_RATIO,
    R_EDGE_HZ,
    R_EDGE_PROPAGATION_S,
    R_FURTHER_EDGE_PROPAGATION_S,
    R_FURTHER_EDGE_WIRED_BPS,
    R_INPUT_BITS,
    R_OUTPUT_RATIO,
    R_UPLINK_BPS,
    Scenario,
    as_scenario,
)
from offload_gym.seeds import check_seed

UNIFORMS_A_TASK = 3


@njit(cache=True, nogil=True)
def _between(ranges, row, u):
    return ranges[row, 0] + u * (ranges[row, 1] - ranges[row, 0])


@njit(cache=True, nogil=True)
def _gaussian_cdf(z):
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


@njit(cache=True, nogil=True)
def _draw_machines(ranges, cores, u, locations):
    """Fill all of ``locations`` (K, 6) that stays during an episode, from (3K + 1) uniform numbers.

    Returns the downlink rate over the uplink rate.
    """
    num_locations = len(cores)
    for k in range(num_locations):
        locations[k, CORES] = cores[k]
    locations[0, CPU] = _between(ranges, R_DEVICE_HZ, u[0])
    for column in (UPLINK, DOWNLINK, WIRED):
        locations[0, column] = np.inf
    locations[0, PROPAGATION] = 0.0
    base_s = _between(ranges, R_EDGE_PROPAGATION_S, u[1])
    for k in range(1, num_locations):
        speed, wired, further = u[3 * k], u[3 * k + 1], u[3 * k + 2]
        locations[k, PROPAGATION] = base_s
        if k == num_locations - 1:
            locations[k, CPU] = _between(ranges, R_CLOUD_HZ, speed)
            locations[k, WIRED] = _between(ranges, R_CLOUD_WIRED_BPS, wired)
            locations[k, PROPAGATION] += _between(ranges, R_CLOUD_PROPAGATION_S, further)
        else:
            locations[k, CPU] = _between(ranges, R_EDGE_HZ, speed)
            locations[k, WIRED] = np.inf
            if k > 1:
                locations[k, WIRED] = _between(ranges, R_FURTHER_EDGE_WIRED_BPS, wired)
                locations[k, PROPAGATION] += _between(ranges, R_FURTHER_EDGE_PROPAGATION_S, further)
    return _between(ranges, R_DOWNLINK_RATIO, u[2])


@njit(cache=True, nogil=True)
def _draw_tasks(ranges, task_types, u, tasks):
    """Fill ``tasks`` (n, 3) from (n, 3) uniform numbers."""
    for i in range(len(tasks)):
        if len(task_types) > 0:
            tasks[i] = task_types[min(int(u[i, 0] * len(task_types)), len(task_types) - 1)]
        else:
            input_bits = _between(ranges, R_INPUT_BITS, u[i, 0])
            tasks[i, INPUT] = input_bits
            tasks[i, WORKLOAD] = input_bits * _between(ranges, R_CYCLES_PER_BIT, u[i, 1])
            tasks[i, OUTPUT] = input_bits * _between(ranges, R_OUTPUT_RATIO, u[i, 2])


@njit(cache=True, nogil=True)
def _set_state(ranges, mean_backlog_s, latent, trace, time_s, downlink_ratio, locations, backlog_s):
    """Set rates and backlogs from the latent vector (1 + K) or the trace; returns the radio's backlog in seconds."""
    radio_backlog_s = 0.0
    if len(trace) > 0:
        second = int(time_s)
        uplink_bps, outage_s = trace[second % len(trace)]
        radio_backlog_s = max(0.0, outage_s - (time_s - second))
    else:
        low, high = ranges[R_UPLINK_BPS, 0], ranges[R_UPLINK_BPS, 1]
        uplink_bps = low * (high / low) ** _gaussian_cdf(latent[0])
    for k in range(len(mean_backlog_s)):
        if k > 0:
            locations[k, UPLINK] = uplink_bps
            locations[k, DOWNLINK] = uplink_bps * downlink_ratio
        backlog_s[k, 0] = 0.0
        if mean_backlog_s[k] > 0.0:
            backlog_s[k, 0] = -mean_backlog_s[k] * math.log(_gaussian_cdf(-latent[1 + k]))
    return radio_backlog_s


@njit(cache=True, nogil=True)
def _draw_independent(
    ranges, task_types, cores, mean_backlog_s, trace, u, latent, tasks, locations, backlog_s, radio_backlog_s
):
    n = tasks.shape[1]
    for b in range(len(tasks)):
        ratio = _draw_machines(ranges, cores, u[b], locations[b])
        machines = 3 * len(cores)
        time_s = math.floor(u[b, machines] * len(trace))
        _draw_tasks(ranges, task_types, u[b, machines + 1 :].reshape(n, UNIFORMS_A_TASK), tasks[b])
        radio_backlog_s[b] = _set_state(
            ranges, mean_backlog_s, latent[b], trace, time_s, ratio, locations[b], backlog_s[b]
        )


def _parameters(scenario: Scenario) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray]:
    """A scenario as the arrays that the kernels read."""
    trace = np.empty((0, 2)) if scenario.trace_path is None else cached_trace(scenario.trace_path)
    task_types = np.array(scenario.task_types, dtype=np.float64).reshape(-1, 3)
    return scenario.ranges(), task_types, np.array(scenario.cores), np.array(scenario.mean_backlog_s), trace


def _empty_arrays(scenario: Scenario, num_instances: int) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    return (
        np.empty((num_instances, scenario.num_tasks, 3)),
        np.empty((num_instances, scenario.num_locations, 6)),
        np.empty((num_instances, scenario.num_locations, 1)),
        np.empty(num_instances),
    )


def sample_instances(
    scenario: str | Mapping[str, Any] | Scenario, num_instances: int, seed: int | SeedSequence | Generator = 0
) -> Instances:
    """Draw independent instances.

    Args:
        scenario: a preset's name, a dict with its name and changes, or a ``Scenario``.
        num_instances: B, at least 1.
        seed: anything that ``numpy.random.default_rng`` takes.

    Returns:
        B instances; the same for the same arguments.
    """
    scenario = as_scenario(scenario)
    check_count("num_instances", num_instances)
    check_seed(seed)
    rng = np.random.default_rng(seed)
    num_uniforms = 3 * scenario.num_locations + 1 + UNIFORMS_A_TASK * scenario.num_tasks
    u = rng.random((num_instances, num_uniforms))
    latent = rng.standard_normal((num_instances, 1 + scenario.num_locations))
    arrays = _empty_arrays(scenario, num_instances)
    _draw_independent(*_parameters(scenario), u, latent, *arrays)
    return Instances.from_arrays(*arrays)


class EpochProcess:
    """Consecutive decision epochs of one environment.

    ``restart`` draws the machines and the first epoch, ``advance`` the next epoch: the radio and the backlogs move on
    from where they were, the tasks are new, and the machines stay. Both return the epoch as a batch of one instance.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._parameters = _parameters(scenario)
        self._noise = math.sqrt(1.0 - scenario.correlation**2)

    def restart(self, rng: Generator) -> Instances:
        """Draw the machines, the state of radio and backlogs, and the first epoch's tasks."""
        ranges, _, cores, _, trace = self._parameters
        u = rng.random(3 * len(cores) + 1)
        self._locations = np.empty((1, len(cores), 6))
        self._downlink_ratio = _draw_machines(ranges, cores, u, self._locations[0])
        self._time_s = float(math.floor(u[-1] * len(trace)))
        self._latent = rng.standard_normal(1 + len(cores))
        return self._draw_epoch(rng)

    def advance(self, rng: Generator) -> Instances:
        """Draw the next epoch."""
        noise = rng.standard_normal(len(self._latent))
        self._latent = self.scenario.correlation * self._latent + self._noise * noise
        self._time_s += self.scenario.epoch_s
        return self._draw_epoch(rng)

    def _draw_epoch(self, rng: Generator) -> Instances:
        # Each epoch has arrays of its own: the last one's may still be in use, by a renderer or a replay buffer.
        ranges, task_types, _, mean_backlog_s, trace = self._parameters
        tasks, _, backlog_s, radio_backlog_s = _empty_arrays(self.scenario, 1)
        locations = self._locations.copy()
        _draw_tasks(ranges, task_types, rng.random((tasks.shape[1], UNIFORMS_A_TASK)), tasks[0])
        radio_backlog_s[0] = _set_state(
            ranges, mean_backlog_s, self._latent, trace, self._time_s, self._downlink_ratio, locations[0], backlog_s[0]
        )
        return Instances.from_arrays(tasks, locations, backlog_s, radio_backlog_s)
