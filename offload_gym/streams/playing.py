"""Playing streams: each job is decided when it arrives, by a policy that knows nothing of the future."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offload_gym.array_checks import numbers
from offload_gym.checks import quoted
from offload_gym.compilation import kernel
from offload_gym.delay import latency
from offload_gym.instances import (
    CORES,
    CPU,
    DOWNLINK,
    ENERGY_WEIGHT,
    KAPPA,
    LOCATION_FIELDS,
    PROPAGATION,
    TRANSMIT,
    UPLINK,
    WIRED,
    Batch,
    Instances,
)
from offload_gym.lending import lent
from offload_gym.scenario import Scenario
from offload_gym.solvers.parallel import for_each_chunk
from offload_gym.solvers.stopping import new_stop, watch_of
from offload_gym.streams.deciding import play_kernel
from offload_gym.streams.engine import admit, advance, stands_at
from offload_gym.streams.networks import OBJECTIVES
from offload_gym.streams.outlook import look, new_outlook
from offload_gym.streams.parameters import has_deadlines, room_for_failures, stream_parameters
from offload_gym.streams.planner import ASKED, MARGIN_S, Played, plan_streams
from offload_gym.streams.policies import PlannerPolicy, PlanPolicy, StreamPolicy, check_fits
from offload_gym.streams.responses import CHUNK, Outcome, as_outcome, check_can_lose
from offload_gym.streams.streams import PARENT, StreamBatch, Streams, check_streams
from offload_gym.streams.system import (
    DROPPED,
    System,
    begin,
    new_system,
    read_fates,
    system_of,
    system_shapes,
    world_of,
)

MOST_SLOTS = 1_000_000  # until the last arrival, for which a future has room; after them its rates hold
LEAST_BPS = 1e-3  # expected of a radio of which only an outage was seen


def play(streams: Streams, policy: StreamPolicy | Any, num_threads: int | None = None) -> Outcome:
    """Let a policy decide all jobs of streams, each when it arrives.

    Args:
        streams: B streams of J jobs of up to n tasks.
        policy: what ``make_stream_policy`` returns, or anything with ``decide(instances) -> (B, n)``, which then gets
            the jobs that arrive as instances with the queues as backlogs and the rates of the moment.
        num_threads: threads that share the streams; None takes one a core.

    Returns:
        Decisions (B, J, n), responses (B, J) in seconds, which jobs are late (B, J), energies (B, J) in joules, and
        which jobs are lost (B, J).

    Raises:
        ValueError: a job never completes that is not lost, or the policy decides something else than locations, is a
            network for another number of locations, a planner whose scenario makes other jobs, or plans for responses
            where jobs can be lost.
    """
    check_streams(streams)
    decisions = np.zeros((len(streams), streams.num_jobs, streams.num_tasks), dtype=np.int64)
    response_s, energy_j = np.zeros((2, len(streams), streams.num_jobs))
    if isinstance(policy, PlannerPolicy):
        _plan_all(streams, policy, decisions, response_s, energy_j, num_threads)
    elif hasattr(policy, "plan"):
        check_fits(policy, streams.num_locations)
        plan = tuple(policy.plan)

        def work(rows: slice) -> None:
            system: tuple[Any, ...] = tuple(new_system(streams))
            filled = decisions[rows], response_s[rows], energy_j[rows]
            play_kernel(streams.arrays, system, plan, rows.start, *filled)

        for_each_chunk(work, len(streams), num_threads, CHUNK)
    elif hasattr(policy, "decide"):
        _play_moments(streams, policy, decisions, response_s, energy_j)
    else:
        raise ValueError(f"policy is {quoted(policy)}; it must be one of make_stream_policy, or have decide(instances)")
    decisions[~streams.present & (decisions[:, :, :1] != DROPPED)] = 0
    return as_outcome(streams, decisions, response_s, energy_j)


@kernel
def arrive_kernel(arrays, systems, j, into, deadline_s):
    """Let time pass up to the arrival of job j in all streams, and fill a ``Batch`` with these jobs as instances.

    Args:
        arrays: ``StreamBatch`` as a plain tuple.
        systems: ``System`` of all streams as a plain tuple.
        j: number of the job; 0 begins.
        into: ``Batch`` of B instances as a plain tuple, filled.
        deadline_s: (B,) filled with the jobs' deadlines.
    """
    streams, systems, batch = lent(StreamBatch(*arrays)), lent(System(*systems)), lent(Batch(*into))
    num_locations, width = streams.servers.shape[1] + 1, systems.core_free_s.shape[2]
    memory = new_outlook(num_locations, width, streams.tasks.shape[2])
    for b in range(len(streams.jobs)):
        world, system, outlook = lent(world_of(streams, b)), lent(system_of(systems, b)), lent(memory)
        if j == 0:
            begin(world, system)
        job, d = world.jobs[j], world.jobs[j].device
        advance(world, system, job.arrival_s, None)
        look(world, system, d, outlook)
        foreseen, locations = outlook.foreseen[0], batch.locations[b]
        batch.radio_backlog_s[b] = max(foreseen.radio_s - foreseen.now_s, 0.0)
        batch.task_counts[b], deadline_s[b] = job.num_tasks, job.deadline_s
        for k in range(num_locations):
            locations[k, UPLINK] = locations[k, DOWNLINK] = locations[k, WIRED] = np.inf
            locations[k, PROPAGATION] = 0.0
            if k == 0:
                locations[k, CPU], locations[k, CORES] = world.devices[d].hz, world.devices[d].cores
            else:
                server = world.servers[k - 1]
                locations[k, CPU], locations[k, CORES] = server.cpu_hz, server.cores
                locations[k, UPLINK] = max(foreseen.uplink_bps, LEAST_BPS) * server.rate_ratio
                locations[k, DOWNLINK] = max(foreseen.downlink_bps, LEAST_BPS) * server.rate_ratio
                at_home = stands_at(world, k, foreseen.site)
                locations[k, WIRED] = np.inf if at_home else server.wired_bps
                locations[k, PROPAGATION] = server.home_propagation_s if at_home else server.propagation_s
            for c in range(width):
                free_s = outlook.core_free_s[k, c]
                batch.core_backlog_s[b, k, c] = max(free_s - foreseen.now_s, 0.0) if free_s < np.inf else 0.0
        for i in range(streams.tasks.shape[2]):
            for column in range(3):
                batch.tasks[b, i, column] = world.tasks[j, i, column]
        for i in range(batch.edge_start.shape[1]):
            batch.edge_start[b, i] = world.graph_start[job.graph, i, 0]
        for e in range(batch.edge_parent.shape[1]):
            batch.edge_parent[b, e] = world.graph_edges[job.graph, e, PARENT]
            batch.edge_bits[b, e] = world.edge_bits[j, e]
        common, power = world.common[0], batch.power[b]
        power[KAPPA], power[TRANSMIT], power[ENERGY_WEIGHT] = (
            common.kappa,
            common.transmit_w,
            common.energy_weight_s_per_j,
        )


@kernel
def admit_kernel(arrays, systems, j, decisions):
    """Put job j of all streams, which has arrived, into the queues, with ``decisions`` (B, n)."""
    streams, systems = lent(StreamBatch(*arrays)), lent(System(*systems))
    for b in range(len(streams.jobs)):
        admit(lent(world_of(streams, b)), lent(system_of(systems, b)), j, decisions[b])


@kernel
def finish_kernel(arrays, systems, response_s, energy_j):
    """Let all that is left be done, and fill responses and energies (B, J)."""
    streams, systems = lent(StreamBatch(*arrays)), lent(System(*systems))
    for b in range(len(streams.jobs)):
        world, system = lent(world_of(streams, b)), lent(system_of(systems, b))
        advance(world, system, np.inf, None)
        read_fates(world, system, response_s[b], energy_j[b])


def room_for_jobs(streams: Streams) -> Batch:
    """Room for one job of each stream as an instance, for ``arrive_kernel``."""
    size, n, num_edges = len(streams), streams.num_tasks, streams.batch.edge_bits.shape[2]
    num_locations, most_cores = streams.num_locations, system_shapes(streams.batch)[1][0][1]
    return Batch(
        tasks=np.empty((size, n, 3)),
        locations=np.empty((size, num_locations, len(LOCATION_FIELDS))),
        core_backlog_s=np.empty((size, num_locations, most_cores)),
        radio_backlog_s=np.empty(size),
        task_counts=np.empty(size, dtype=np.int64),
        edge_start=np.empty((size, n + 1), dtype=np.int64),
        edge_parent=np.zeros((size, num_edges), dtype=np.int64),
        edge_bits=np.zeros((size, num_edges)),
        power=np.zeros((size, 4)),
    )


def _play_moments(
    streams: Streams,
    policy: Any,
    decisions: NDArray[np.int64],
    response_s: NDArray[np.float64],
    energy_j: NDArray[np.float64],
) -> None:
    """Play all streams side by side: the jobs of one number are decided together, as a batch of instances."""
    systems, size = new_system(streams, len(streams)), len(streams)
    given: tuple[Any, ...] = tuple(systems)
    n, num_locations, batch = streams.num_tasks, streams.num_locations, room_for_jobs(streams)
    deadline_s, drop_factor = np.empty(size), getattr(policy, "drop_factor", math.inf)
    for j in range(streams.num_jobs):
        arrive_kernel(streams.arrays, given, j, tuple(batch), deadline_s)
        instances = Instances.from_batch(batch)
        decided = _checked(policy.decide(instances), (size, n), num_locations)
        if drop_factor < math.inf:
            decided[latency(instances, decided) > drop_factor * deadline_s] = DROPPED
        decisions[:, j] = decided
        admit_kernel(streams.arrays, given, j, decided)
    finish_kernel(streams.arrays, given, response_s, energy_j)


def _checked(decided: Any, shape: tuple[int, int], num_locations: int) -> NDArray[np.int64]:
    """What a policy decides as kernels take it; ValueError where it is something else than locations."""
    try:
        given = numbers("decisions", decided)
    except ValueError:
        given = np.empty(0)
    if given.shape != shape or not ((given >= 0) & (given < num_locations) & (given == np.floor(given))).all():
        raise ValueError(
            f"the policy decides {quoted(decided)}; it must be {shape} locations from 0 to {num_locations - 1}"
        )
    return given.astype(np.int64)


def check_planner(streams: Streams, planner: PlannerPolicy) -> None:
    """ValueError where the futures of a planner's scenario cannot be those of the streams.

    Jobs must be of the same shape, as futures are put where the streams' jobs are; and where late jobs count both must
    have deadlines. Else the scenario is what the planner believes of the world, right or wrong: its arrivals, rates,
    failures and mobility may be others than those of the streams.
    """
    parameters, sizes = stream_parameters(planner.scenario)
    batch, label, hint = streams.batch, planner.scenario.label, "give the planner the scenario of these streams"
    made, there = (sizes.num_tasks, sizes.num_edges), (streams.num_tasks, batch.edge_bits.shape[2])
    if made != there:
        raise ValueError(
            f"the planner's scenario, {label}, makes jobs of up to {made[0]} tasks and {made[1]} edges, the streams "
            f"have jobs of up to {there[0]} and {there[1]}; {hint}"
        )
    graphs = (parameters.graph_start, batch.graph_start), (parameters.graph_edges, batch.graph_edges)
    if not all(np.array_equal(of_scenario, of_streams) for of_scenario, of_streams in graphs):
        raise ValueError(
            f"the planner's scenario, {label}, makes jobs of {len(parameters.graph_start)} graphs, the streams have "
            f"jobs of {len(batch.graph_start)}, which depend on each other in other ways; {hint}"
        )
    if planner.objective == "late":  # a lost job is late, whatever its deadline
        for of, have in (
            (f"scenario, {label}, draws", planner.scenario.can_lose or has_deadlines(parameters)),
            ("streams have", streams.can_lose or bool(np.isfinite(streams.deadline_s).any())),
        ):
            if not have:
                raise ValueError(f"the planner's {of} no deadlines, which its objective 'late' needs; {hint}")


def room_for_futures(streams: Streams, scenario: Scenario, num_jobs: int) -> Streams:
    """One stream of the shape of ``streams`` with room for the jobs and slots of a future."""
    batch = streams.batch
    parameters, sizes = stream_parameters(scenario)
    process = parameters.process[0]
    horizon_s = 1.5 * num_jobs / float(process["rate_low_per_s"]) + MARGIN_S
    seen = batch.uplink_bps.shape[2]
    if scenario.radio != "constant":  # jobs may arrive after the streams' last slot
        seen = max(seen, 1 + int(min(batch.jobs["arrival_s"].max() / batch.common["slot_s"].min(), MOST_SLOTS)))
    slots = seen + 2 + int(horizon_s / scenario.slot_s)
    jobs = streams.num_jobs + num_jobs
    moving = parameters.mobility is not None
    if moving and batch.positions.shape[2] == 1:
        raise ValueError(
            f"streams have no position_m; the planner's scenario needs it, as its mobility is {scenario.mobility!r}"
        )
    if moving and batch.sites.max() >= sizes.num_sites:
        raise ValueError(
            f"site of the streams is up to {batch.sites.max():,}; the planner's scenario has {sizes.num_sites:,} "
            f"sites, so it must be at most {sizes.num_sites - 1:,}"
        )
    places = (1, streams.num_devices, slots if moving else 1)
    return Streams.from_batch(
        batch._replace(
            jobs=np.zeros((1, jobs), dtype=batch.jobs.dtype),
            tasks=np.zeros((1, jobs, *batch.tasks.shape[2:])),
            edge_bits=np.zeros((1, jobs, batch.edge_bits.shape[2])),
            devices=batch.devices[:1].copy(),
            servers=batch.servers[:1].copy(),
            uplink_bps=np.zeros((1, streams.num_devices, slots)),
            downlink_bps=np.zeros((1, streams.num_devices, slots)),
            common=batch.common[:1].copy(),
            # So many sites are there. Where the scenario has no mobility devices stay where they are then.
            sites=np.full(places, max(batch.sites.max(), sizes.num_sites - 1)),
            positions=np.zeros((*places, 2)),
            down_slots=room_for_failures(1, streams.num_servers, slots, batch.down_slots.shape[2] > 1),
        )
    )


def planning_call(
    streams: Streams, planner: PlannerPolicy, behaviour: Any, asked: dict[str, Any], stop: NDArray[np.bool_]
) -> Callable[[int, Played], int]:
    """A function that plays the streams from a number on with planning, fills a ``Played`` and counts the labels.

    ``stop`` is what ``new_stop`` makes, by which other threads are stopped.
    """
    if not isinstance(behaviour, PlanPolicy):
        raise ValueError(f"behaviour is {quoted(behaviour)}; it must be a rule or a network, which a kernel runs")
    check_planner(streams, planner)
    check_can_lose(streams.can_lose, planner.objective)
    for decides in (planner.base, behaviour):
        check_fits(decides, streams.num_locations, planner.scenario.can_drop)
    parameters, _ = stream_parameters(planner.scenario)
    given, effort = tuple(parameters), planner.effort
    policies = tuple(planner.base.plan), tuple(behaviour.plan)
    request = np.zeros(1, dtype=ASKED)
    request["objective"] = OBJECTIVES.index(planner.objective)
    # Elsewhere a dropped job has no cost that could be compared.
    request["can_drop"] = planner.scenario.can_drop and planner.objective == "late"
    for name, value in asked.items():
        request[name] = value

    def call(first: int, out: Played) -> int:
        spare, mine = room_for_futures(streams, planner.scenario, effort.num_jobs), request.copy()
        mine["first"] = first
        systems = tuple(new_system(streams)), tuple(new_system(spare))
        return int(
            plan_streams(
                given, streams.arrays, systems, spare.arrays, policies, effort, mine, watch_of(stop), tuple(out)
            )
        )

    return call


def _plan_all(
    streams: Streams,
    policy: PlannerPolicy,
    decisions: NDArray[np.int64],
    response_s: NDArray[np.float64],
    energy_j: NDArray[np.float64],
    num_threads: int | None,
) -> None:
    key = np.random.default_rng(policy.seed).integers(1 << 64, dtype=np.uint64)
    stop = new_stop()
    call = planning_call(streams, policy, policy.base, {"key": key, "share": 1.0, "follow_plan": True}, stop)
    none = np.empty((0, 0), dtype=np.float32), np.empty((0, 0)), np.empty((0, 0))

    def work(rows: slice) -> None:
        call(rows.start, Played(decisions[rows], response_s[rows], energy_j[rows], *none))

    for_each_chunk(work, len(streams), num_threads, 1, stop)
