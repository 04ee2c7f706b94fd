"""Drawing instances from a scenario: independent ones, and epochs that follow each other in time.

Everything random comes from two arrays an instance: uniform numbers (machines and tasks) and a Gaussian latent vector
(radio and backlogs). The latent vector of the next epoch is ``correlation * latent + sqrt(1 - correlation**2) *
noise``, which leaves its distribution as it was, so each epoch of an episode is distributed as an independent instance.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray

from offload_gym.applications.application import Application
from offload_gym.applications.presets import CCR_BPS, CCR_HZ
from offload_gym.applications.random_graphs import num_graph_uniforms, random_edges
from offload_gym.array_checks import check_count
from offload_gym.checks import quoted
from offload_gym.compilation import inlined, kernel
from offload_gym.estimates import as_last_measured, check_noise, estimate_instances
from offload_gym.instances import (
    CORES,
    CPU,
    DOWNLINK,
    INPUT,
    LOCATION_FIELDS,
    OUTPUT,
    PROPAGATION,
    TASK_FIELDS,
    UPLINK,
    WIRED,
    WORKLOAD,
    Batch,
    Instances,
)
from offload_gym.scenario import Scenario, as_scenario
from offload_gym.seeds import check_seed

UNIFORMS_A_TASK = 3
UNIFORMS_AN_EPOCH = 4  # where applications or numbers of tasks are drawn: which one, fat, density, ccr


class Parameters(NamedTuple):
    """A scenario as the arrays that the kernels read. A applications of up to n tasks and E edges; T task types."""

    ranges: NDArray[np.void]  # (1,), of the dtype RANGES
    task_types: NDArray[np.float64]  # (T, 3)
    cores: NDArray[np.int64]  # (K,)
    mean_backlog_s: NDArray[np.float64]  # (K,)
    trace: NDArray[np.float64]  # (seconds, 3), see ``Recording.seconds``, or (0, 3) where the radio is random
    fewest_tasks: int
    graph_jump: int  # 0 where there is no random graph
    application_tasks: NDArray[np.float64]  # (A, n, 3)
    application_counts: NDArray[np.int64]  # (A,)
    application_start: NDArray[np.int64]  # (A, n + 1)
    application_parent: NDArray[np.int64]  # (A, E)
    application_bits: NDArray[np.float64]  # (A, E)


class Sizes(NamedTuple):
    """What a scenario needs room for, and how many uniform numbers it draws."""

    num_tasks: int  # rows
    num_edges: int  # at most, of one graph
    machines: int  # uniform numbers of the machines
    tasks: int  # uniform numbers of an epoch's tasks


@inlined
def between(bounds, u):
    """A number of a range, from a uniform one in [0, 1)."""
    return bounds.low + u * (bounds.high - bounds.low)


@register_jitable
def next_latent(latent, innovation, correlation):
    """The latent number of the next epoch, or an array of them, from standard normal innovations."""
    return correlation * latent + math.sqrt(1.0 - correlation**2) * innovation


@kernel
def gaussian_cdf(z):
    """The share of a normal distribution below ``z``."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


@kernel
def latent_of(share):
    """The standard normal number below which a share of the distribution is, the inverse of ``gaussian_cdf``.

    The rational approximation 26.2.23 of Abramowitz and Stegun, "Handbook of mathematical functions", 1964, and two
    steps of Halley's method from there.
    """
    tail = max(min(share, 1.0 - share), 1e-300)
    t = math.sqrt(-2.0 * math.log(tail))
    below = 1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))
    z = (2.515517 + t * (0.802853 + t * 0.010328)) / below - t
    for _ in range(2):
        step = (gaussian_cdf(z) - tail) * math.sqrt(2.0 * math.pi) * math.exp(0.5 * z * z)
        z -= step / (1.0 + 0.5 * z * step)
    return z if share <= 0.5 else -z


@kernel
def draw_machines(ranges, cores, u, locations, rates):
    """Fill all of ``locations`` (K, 6) that stays during an episode, from uniform numbers.

    ``rates`` (K, 2) is filled with the location's uplink and downlink rate over the uplink rate of the first server.
    """
    num_locations = len(cores)
    for k in range(num_locations):
        locations[k, CORES] = cores[k]
    locations[0, CPU] = between(ranges.device_hz, u[0])
    for column in (UPLINK, DOWNLINK, WIRED):
        locations[0, column] = np.inf
    locations[0, PROPAGATION] = 0.0
    base_s = between(ranges.edge_propagation_s, u[1])
    for k in range(num_locations):
        rates[k, 0] = 1.0
    for k in range(1, num_locations):
        speed, wired, further = u[3 * k], u[3 * k + 1], u[3 * k + 2]
        locations[k, PROPAGATION] = base_s
        if k == num_locations - 1:
            locations[k, CPU] = between(ranges.cloud_hz, speed)
            locations[k, WIRED] = between(ranges.cloud_wired_bps, wired)
            locations[k, PROPAGATION] += between(ranges.cloud_propagation_s, further)
        else:
            locations[k, CPU] = between(ranges.edge_hz, speed)
            locations[k, WIRED] = np.inf
            if k > 1:
                locations[k, WIRED] = between(ranges.further_edge_wired_bps, wired)
                locations[k, PROPAGATION] += between(ranges.further_edge_propagation_s, further)
                rates[k, 0] = between(ranges.further_edge_rate_ratio, u[3 * num_locations + k - 1])
    downlink_ratio = between(ranges.downlink_ratio, u[2])
    for k in range(num_locations):
        rates[k, 1] = rates[k, 0] * downlink_ratio


@inlined
def draw_sizes(ranges, task_types, v, tasks, i):
    """Fill row ``i`` of ``tasks`` with an independent task from ``UNIFORMS_A_TASK`` uniform numbers."""
    if len(task_types) > 0:
        kind = min(int(v[0] * len(task_types)), len(task_types) - 1)
        for column in range(3):
            tasks[i, column] = task_types[kind, column]
    else:
        input_bits = between(ranges.input_bits, v[0])
        tasks[i, INPUT] = input_bits
        tasks[i, WORKLOAD] = input_bits * between(ranges.cycles_per_bit, v[1])
        tasks[i, OUTPUT] = input_bits * between(ranges.output_ratio, v[2])


@inlined
def draw_application(ranges, application_tasks, application_bits, u, for_bits, tasks, edge_bits):
    """Fill ``tasks`` (n, 3) and ``edge_bits`` (E,) with those of an application times factors from uniform numbers."""
    for i in range(len(tasks)):
        v = u[UNIFORMS_A_TASK * i : UNIFORMS_A_TASK * (i + 1)]
        for column in range(3):
            tasks[i, column] = application_tasks[i, column]
        tasks[i, INPUT] *= between(ranges.data_scale, v[0])
        tasks[i, WORKLOAD] *= between(ranges.workload_scale, v[1])
        tasks[i, OUTPUT] *= between(ranges.data_scale, v[2])
    for e in range(len(edge_bits)):
        edge_bits[e] = application_bits[e] * between(ranges.data_scale, for_bits[e])


@kernel
def draw_tasks(parameters, u, batch, b, has_edge):
    """Fill the tasks and the graph of epoch ``b`` of a ``Batch`` from uniform numbers; returns the number of tasks.

    ``has_edge`` is scratch space; see ``new_has_edge``.
    """
    tasks, edge_start = batch.tasks[b], batch.edge_start[b]
    edge_parent, edge_bits = batch.edge_parent[b], batch.edge_bits[b]
    ranges, task_types = parameters.ranges[0], parameters.task_types
    n, num_edges = len(tasks), edge_parent.shape[0]
    num_applications = len(parameters.application_counts)
    for i in range(n + 1):
        edge_start[i] = 0
    at = n * UNIFORMS_A_TASK  # where the numbers for the epoch begin; those for the edges come next
    count = n
    if num_applications > 0:
        a = min(int(u[at] * num_applications), num_applications - 1)
        count = parameters.application_counts[a]
        for i in range(n + 1):
            edge_start[i] = parameters.application_start[a, i]
        for e in range(num_edges):
            edge_parent[e] = parameters.application_parent[a, e]
        of_tasks, of_bits = parameters.application_tasks[a], parameters.application_bits[a]
        draw_application(ranges, of_tasks, of_bits, u, u[at + UNIFORMS_AN_EPOCH :], tasks, edge_bits)
        return count
    if parameters.fewest_tasks < n:
        count = parameters.fewest_tasks + int(u[at] * (n - parameters.fewest_tasks + 1))
    for i in range(n):
        v = u[UNIFORMS_A_TASK * i : UNIFORMS_A_TASK * (i + 1)]
        draw_sizes(ranges, task_types, v, tasks, i)
    if parameters.graph_jump > 0:
        fat = between(ranges.graph_fat, u[at + 1])
        density = between(ranges.graph_density, u[at + 2])
        bits_a_cycle = between(ranges.ccr, u[at + 3]) * CCR_BPS / CCR_HZ
        for_bits = u[at + UNIFORMS_AN_EPOCH : at + UNIFORMS_AN_EPOCH + num_edges]
        graph = has_edge[:count, :count]
        random_edges(u[at + UNIFORMS_AN_EPOCH + num_edges :], fat, density, parameters.graph_jump, graph)
        e = 0
        for child in range(count):
            edge_start[child] = e
            for parent in range(child):
                if graph[parent, child]:
                    edge_parent[e] = parent
                    edge_bits[e] = bits_a_cycle * tasks[parent, WORKLOAD] * (0.5 + for_bits[e])
                    tasks[child, INPUT] = tasks[parent, OUTPUT] = 0.0  # what they send goes along the edge
                    e += 1
        for i in range(count, n + 1):
            edge_start[i] = e
    return count


@kernel
def set_state(parameters, latent, time_s, rates, batch, b):
    """Set rates and backlogs of epoch ``b`` of a ``Batch`` from the latent vector (1 + K) or the trace.

    The first core of each location has its backlog. Returns the radio's backlog in seconds.
    """
    locations, backlog_s = batch.locations[b], batch.core_backlog_s[b]
    ranges, trace, mean_backlog_s = parameters.ranges[0], parameters.trace, parameters.mean_backlog_s
    radio_backlog_s, downlink_bps = 0.0, 0.0
    if len(trace) > 0:
        second = int(time_s)
        uplink_bps, outage_s, downlink_bps = trace[second % len(trace)]
        radio_backlog_s = max(0.0, outage_s - (time_s - second))
    else:
        low, high = ranges.uplink_bps.low, ranges.uplink_bps.high
        uplink_bps = low * (high / low) ** gaussian_cdf(latent[0])
    for k in range(len(mean_backlog_s)):
        if k > 0:
            locations[k, UPLINK] = uplink_bps * rates[k, 0]
            # A recorded downlink differs from place to place as the uplink does.
            locations[k, DOWNLINK] = downlink_bps * rates[k, 0] if downlink_bps > 0.0 else uplink_bps * rates[k, 1]
        backlog_s[k, 0] = 0.0
        if mean_backlog_s[k] > 0.0:
            backlog_s[k, 0] = -mean_backlog_s[k] * math.log(gaussian_cdf(-latent[1 + k]))
    return radio_backlog_s


@kernel
def new_has_edge(parameters, n):
    """Scratch space of ``draw_tasks``: (n, n) where the scenario has random graphs, else (0, 0)."""
    return np.empty((n, n) if parameters.graph_jump > 0 else (0, 0), dtype=np.bool_)


@kernel
def _draw_independent(parameters, num_machines, later_s, u, latent, arrays):
    """Fill the ``Batch`` of ``arrays`` from u (B, num_machines + those of the tasks) and latent (B, 1 + K)."""
    parameters, batch = Parameters(*parameters), Batch(*arrays)
    n, num_locations = batch.tasks.shape[1], batch.locations.shape[1]
    rates = np.empty((num_locations, 2))
    has_edge = new_has_edge(parameters, n)
    for b in range(len(batch.tasks)):
        draw_machines(parameters.ranges[0], parameters.cores, u[b], batch.locations[b], rates)
        time_s = math.floor(u[b, 3 * num_locations] * len(parameters.trace)) + later_s
        batch.task_counts[b] = draw_tasks(parameters, u[b, num_machines:], batch, b, has_edge)
        batch.radio_backlog_s[b] = set_state(parameters, latent[b], time_s, rates, batch, b)


class ApplicationArrays(NamedTuple):
    """The applications of a scenario, as ``Parameters`` has them, with up to n tasks and E edges each."""

    tasks: NDArray[np.float64]
    counts: NDArray[np.int64]
    start: NDArray[np.int64]
    parent: NDArray[np.int64]
    bits: NDArray[np.float64]


def application_arrays(scenario: Scenario) -> ApplicationArrays:
    """The applications of a scenario as arrays."""
    graphs, n = scenario.graphs, scenario.most_tasks
    most_edges = max((len(graph.edges) for graph in graphs), default=0)
    tasks = np.zeros((len(graphs), n, 3))
    counts = np.array([graph.num_tasks for graph in graphs], dtype=np.int64)
    start = np.zeros((len(graphs), n + 1), dtype=np.int64)
    parent = np.zeros((len(graphs), most_edges), dtype=np.int64)
    bits = np.zeros((len(graphs), most_edges))
    for a, graph in enumerate(graphs):
        tasks[a, : counts[a]] = np.transpose([graph.input_bits, graph.output_bits, graph.workload_cycles])
        order = sorted(range(len(graph.edges)), key=lambda e: graph.edges[e][::-1])
        children = np.array([graph.edges[e][1] for e in order], dtype=np.int64)
        start[a] = np.searchsorted(children, np.arange(n + 1))
        parent[a, : len(order)] = [graph.edges[e][0] for e in order]
        bits[a, : len(order)] = [graph.edge_bits[e] for e in order]
    return ApplicationArrays(tasks, counts, start, parent, bits)


def task_type_array(scenario: Scenario) -> NDArray[np.float64]:
    """The task types of a scenario, (T, 3)."""
    return np.array(scenario.task_types, dtype=np.float64).reshape(-1, 3)


def num_machine_uniforms(scenario: Scenario) -> int:
    """How many uniform numbers ``draw_machines`` takes, and one more, for the place in a trace."""
    return 3 * scenario.num_locations + 1 + max(scenario.num_edges - 1, 0)


def scenario_parameters(scenario: Scenario) -> tuple[Parameters, Sizes]:
    """A scenario as the arrays that the kernels read; ValueError where it is one of streams alone."""
    if scenario.radio == "constant":
        raise ValueError(
            "radio is 'constant', which is for streams; for decision epochs it must be 'random' or 'trace'"
        )
    trace = np.empty((0, 3)) if scenario.recording is None else scenario.recording.seconds()
    n, graphs = scenario.most_tasks, application_arrays(scenario)
    most_edges = graphs.parent.shape[1]
    parameters = Parameters(
        ranges=scenario.ranges(),
        task_types=task_type_array(scenario),
        cores=np.array(scenario.cores),
        mean_backlog_s=np.array(scenario.mean_backlog_s),
        trace=trace,
        fewest_tasks=scenario.num_tasks,
        graph_jump=scenario.graph_jump if scenario.random_graph else 0,
        application_tasks=graphs.tasks,
        application_counts=graphs.counts,
        application_start=graphs.start,
        application_parent=graphs.parent,
        application_bits=graphs.bits,
    )
    num_uniforms = n * UNIFORMS_A_TASK
    if scenario.random_graph:
        most_edges = n * (n - 1) // 2
        num_uniforms += num_graph_uniforms(n)
    if scenario.random_graph or scenario.applications or scenario.num_tasks < n:
        num_uniforms += UNIFORMS_AN_EPOCH + most_edges
    return parameters, Sizes(n, most_edges, num_machine_uniforms(scenario), num_uniforms)


def empty_batch(scenario: Scenario, sizes: Sizes, num_instances: int) -> Batch:
    """Room for the arrays of instances, with the power of the scenario."""
    n, num_locations = sizes.num_tasks, scenario.num_locations
    return Batch(
        tasks=np.empty((num_instances, n, 3)),
        locations=np.empty((num_instances, num_locations, len(LOCATION_FIELDS))),
        core_backlog_s=np.empty((num_instances, num_locations, 1)),
        radio_backlog_s=np.empty(num_instances),
        task_counts=np.empty(num_instances, dtype=np.int64),
        edge_start=np.empty((num_instances, n + 1), dtype=np.int64),
        edge_parent=np.zeros((num_instances, sizes.num_edges), dtype=np.int64),
        edge_bits=np.zeros((num_instances, sizes.num_edges)),
        power=np.tile(scenario.power, (num_instances, 1)),
    )


def as_instances(batch: Batch) -> Instances:
    """The instances, with room for as many edges as the largest graph has."""
    if batch.edge_parent.shape[1] and (most := int(batch.edge_start[:, -1].max())) < batch.edge_parent.shape[1]:
        batch = batch._replace(
            edge_parent=np.ascontiguousarray(batch.edge_parent[:, :most]),
            edge_bits=np.ascontiguousarray(batch.edge_bits[:, :most]),
        )
    return Instances.from_batch(batch)


def drawn_application(scenario: Scenario, instances: Instances, b: int = 0) -> Application | None:
    """The application of the scenario that instance ``b`` was drawn from; None where several could be it, or none."""
    count, edges = int(instances.task_counts[b]), instances.edges_of(b)
    tasks = instances.tasks[b, :count]
    low, high = np.transpose([scenario.data_scale, scenario.data_scale, scenario.workload_scale])
    found = []
    for graph in scenario.graphs:
        if graph.num_tasks == count and sorted(graph.edges) == sorted(edges):
            of_graph = np.transpose([getattr(graph, name) for name in TASK_FIELDS])
            if (tasks >= of_graph * low * (1 - 1e-9)).all() and (tasks <= of_graph * high * (1 + 1e-9)).all():
                found.append(graph)
    return found[0] if len(found) == 1 else None


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

    Raises:
        ValueError: the scenario or an argument is out of its bounds, or there is no memory for so many instances.
    """
    scenario = as_scenario(scenario)
    check_count("num_instances", num_instances)
    check_seed(seed)
    rng = np.random.default_rng(seed)
    _, sizes = scenario_parameters(scenario)
    with _enough_memory(scenario, num_instances, sizes):
        u = rng.random((num_instances, sizes.machines + sizes.tasks))
        latent = rng.standard_normal((num_instances, 1 + scenario.num_locations))
        return _from_draws(scenario, u, latent)


@contextmanager
def _enough_memory(scenario: Scenario, num_instances: int, sizes: Sizes) -> Iterator[None]:
    """ValueError where there is no memory for so many instances."""
    try:
        if 8 * int(num_instances) * (sizes.machines + sizes.tasks) > sys.maxsize:  # of which numpy says something else
            raise MemoryError
        yield
    except MemoryError:
        raise ValueError(
            f"num_instances is {quoted(num_instances)}; so many instances of {scenario.most_tasks:,} tasks and "
            f"{scenario.num_locations:,} locations do not fit into memory"
        ) from None


def _from_draws(
    scenario: Scenario, u: NDArray[np.float64], latent: NDArray[np.float64], later_s: float = 0.0
) -> Instances:
    """Instances from uniform numbers (B, machines + tasks) and latent vectors (B, 1 + K), ``later_s`` into a trace."""
    parameters, sizes = scenario_parameters(scenario)
    batch = empty_batch(scenario, sizes, len(u))
    _draw_independent(tuple(parameters), sizes.machines, later_s, u, latent, tuple(batch))
    return as_instances(batch)


def sample_consecutive(
    scenario: str | Mapping[str, Any] | Scenario, num_instances: int, seed: int | SeedSequence | Generator = 0
) -> tuple[Instances, Instances]:
    """Draw independent pairs of consecutive epochs: (the first ones, the second ones), each B instances."""
    scenario = as_scenario(scenario)
    check_count("num_instances", num_instances)
    check_seed(seed)
    rng = np.random.default_rng(seed)
    _, sizes = scenario_parameters(scenario)
    with _enough_memory(scenario, num_instances, sizes):
        u = rng.random((num_instances, sizes.machines + sizes.tasks))
        latent, noise = rng.standard_normal((2, num_instances, 1 + scenario.num_locations))
        first = _from_draws(scenario, u, latent)
        u[:, sizes.machines :] = rng.random((num_instances, sizes.tasks))
        latent = next_latent(latent, noise, scenario.correlation)
        return first, _from_draws(scenario, u, latent, scenario.epoch_s)


def sample_estimated(
    scenario: str | Mapping[str, Any] | Scenario,
    num_instances: int,
    observation_noise: float | str,
    seed: int | SeedSequence,
    noise_seed: int | SeedSequence,
) -> tuple[Instances, Instances]:
    """Draw instances, and what a policy sees of them: (instances, seen), the same object without noise.

    Args:
        scenario: what to draw from.
        num_instances: B, at least 1.
        observation_noise: 0, the noise of ``estimate_instances``, or "last" for the rates and backlogs of the epoch
            before.
        seed: of the instances.
        noise_seed: of the estimates.
    """
    check_noise("observation_noise", observation_noise)
    if observation_noise == "last":
        before, instances = sample_consecutive(scenario, num_instances, seed)
        return instances, as_last_measured(instances, before)
    instances = sample_instances(scenario, num_instances, seed)
    return instances, estimate_instances(instances, observation_noise, noise_seed)  # type: ignore[arg-type]
