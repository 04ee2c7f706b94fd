"""Drawing streams from a scenario.

All random numbers are drawn by position (``offload_gym.random_numbers``): a key and an episode give a stream, with no
state in between, so that an environment draws what ``sample_streams`` would. What is drawn for a job or a slot does not
depend on how many there are.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random import Generator, SeedSequence

from offload_gym.array_checks import check_count
from offload_gym.checks import quoted
from offload_gym.compilation import kernel
from offload_gym.instances import CORES, CPU, LOCATION_FIELDS, PROPAGATION, WIRED
from offload_gym.lending import lent
from offload_gym.random_numbers import fill_uniform, stream, uniform
from offload_gym.sampling import between, draw_machines
from offload_gym.scenario import Scenario, as_scenario
from offload_gym.seeds import check_seed
from offload_gym.solvers.parallel import for_each_chunk
from offload_gym.streams.arrivals import SOURCE, begin_source
from offload_gym.streams.failures import draw_failures
from offload_gym.streams.jobs import fill_jobs
from offload_gym.streams.parameters import (
    ARRIVING,
    DEVICE_ITSELF,
    JOBS,
    MACHINES,
    RATES,
    StreamParameters,
    StreamSizes,
    empty_stream_batch,
    numbers_for,
    numbers_of_device,
    stream_parameters,
)
from offload_gym.streams.rates import draw_rates
from offload_gym.streams.roaming import place_servers, roam
from offload_gym.streams.streams import StreamBatch, Streams

CHUNK = 64  # streams that a thread draws at a time


@kernel
def draw_stream(parameters, key, episode, batch, b):
    """Fill stream ``b`` of a ``StreamBatch`` with the one that a key (64 bits) and the number of an episode say.

    ``parameters`` are ``StreamParameters``. All of the stream is written but the graphs, which are the scenario's.
    """
    parameters, batch = lent(parameters), lent(batch)
    start = stream(key, episode, 0)
    num_devices = batch.devices.shape[1]
    machines = numbers_for(start, MACHINES)
    rate_per_s = _draw_machines(parameters, machines, batch, b)
    place_servers(parameters.mobility, parameters.ranges[0], start, machines, batch.servers[b])
    draw_failures(parameters.process[0], machines, batch, b)
    sources = np.zeros(num_devices, dtype=SOURCE)
    for d in range(num_devices):
        of_device = numbers_of_device(start, d, DEVICE_ITSELF)
        device, ranges = batch.devices[b, d], parameters.ranges[0]
        device.hz, device.cores = between(ranges.device_hz, uniform(of_device, 0)), parameters.cores[0]
        downlink_ratio = between(ranges.downlink_ratio, uniform(of_device, 1))
        rates = numbers_of_device(start, d, RATES)
        if not roam(parameters.mobility, start, downlink_ratio, batch, b, d):
            draw_rates(parameters, rates, downlink_ratio, batch.uplink_bps[b, d], batch.downlink_bps[b, d])
        sources[d].rate_per_s = rate_per_s
        sources[d].start = numbers_of_device(start, d, ARRIVING)
        begin_source(parameters.process[0], parameters.recorded_arrivals, sources[d])
    fill_jobs(parameters, sources, numbers_for(start, JOBS), batch, b, 0, batch.jobs.shape[1])


@kernel
def _draw_machines(parameters, start, batch, b):
    """Fill the servers of stream ``b`` and what is common to its devices; returns the episode's rate of arrivals."""
    process, num_locations = parameters.process[0], len(parameters.cores)
    u = np.empty(process.num_machine_uniforms)
    locations, rates = np.empty((num_locations, len(LOCATION_FIELDS))), np.empty((num_locations, 2))
    fill_uniform(start, 0, u)
    draw_machines(parameters.ranges[0], parameters.cores, u, locations, rates)
    for k in range(1, num_locations):
        server = batch.servers[b, k - 1]
        server.cpu_hz, server.cores = locations[k, CPU], int(locations[k, CORES])
        server.wired_bps, server.propagation_s = locations[k, WIRED], locations[k, PROPAGATION]
        server.rate_ratio = rates[k, 0]
    batch.common[b] = parameters.common[0]
    # The number that ``draw_machines`` leaves for the place in a trace.
    return process.rate_low_per_s * (process.rate_high_per_s / process.rate_low_per_s) ** u[3 * num_locations]


@kernel
def _draw_streams(parameters, keys, arrays, first, last):
    """Fill rows ``first`` to ``last - 1`` of the ``StreamBatch`` of ``arrays``, each by its key."""
    parameters, batch = StreamParameters(*parameters), StreamBatch(*arrays)
    for b in range(first, last):
        draw_stream(parameters, keys[b], 0, batch, b)


def sample_streams(
    scenario: str | Mapping[str, Any] | Scenario, num_streams: int, seed: int | SeedSequence | Generator = 0
) -> Streams:
    """Draw independent streams.

    Args:
        scenario: a preset's name, a dict with its name and changes, or a ``Scenario``.
        num_streams: B, at least 1.
        seed: anything that ``numpy.random.default_rng`` takes.

    Returns:
        B streams; the same for the same arguments, and the first ones of more.

    Raises:
        ValueError: the scenario or an argument is out of its bounds, or there is no memory for so many streams.
    """
    scenario = as_scenario(scenario, "stream")
    check_count("num_streams", num_streams)
    check_seed(seed)
    parameters, sizes = stream_parameters(scenario)
    batch = _room(parameters, sizes, num_streams)
    keys = np.random.default_rng(seed).integers(0, 1 << 64, num_streams, dtype=np.uint64)
    given, arrays = tuple(parameters), tuple(batch)
    for_each_chunk(
        lambda rows: _draw_streams(given, keys, arrays, rows.start, rows.stop), int(num_streams), None, CHUNK
    )
    return Streams.from_batch(batch)


def _room(parameters: StreamParameters, sizes: StreamSizes, num_streams: int) -> StreamBatch:
    """Room for so many streams; ValueError where there is no memory."""
    try:
        if 8 * int(num_streams) * math.prod(sizes) > sys.maxsize:  # of which numpy says something else
            raise MemoryError
        return empty_stream_batch(parameters, sizes, num_streams)
    except MemoryError:
        raise ValueError(
            f"num_streams is {quoted(num_streams)}; so many streams of {sizes.num_jobs:,} jobs and {sizes.num_slots:,} "
            "slots do not fit into memory"
        ) from None
