"""A scenario of streams as the arrays that kernels read, and room for the streams."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.arrivals import ARRIVALS, SIZES, load_arrivals, recorded_gap_s
from offload_gym.checks import quoted
from offload_gym.compilation import kernel, record
from offload_gym.random_numbers import stream
from offload_gym.sampling import UNIFORMS_A_TASK, application_arrays, num_machine_uniforms, task_type_array
from offload_gym.scenario import FAILURE_TASKS, Scenario
from offload_gym.streams.mobility import Mobility, mobility_of
from offload_gym.streams.streams import COMMON, DEVICE, JOB, NONE, PRICE_FIELDS, SERVER, StreamBatch, as_graphs

RADIOS = ("constant", "random", "trace")
CONSTANT, RANDOM, RECORDED_RATES = range(3)
#: The numbers of a scenario of streams.
PROCESS = record(
    [
        ("arrivals", np.int64),  # number in ARRIVALS
        ("rate_low_per_s", np.float64),  # mean arrivals at each device; recorded ones, where they are not stretched
        ("rate_high_per_s", np.float64),
        ("burst_ratio", np.float64),
        ("burst_s", np.float64),
        ("calm_s", np.float64),
        ("jitter", np.float64),
        ("deadline_low", np.float64),  # factors; 0: no deadlines
        ("deadline_high", np.float64),
        ("radio", np.int64),  # number in RADIOS
        ("least_bps", np.float64),
        ("log_span", np.float64),  # logarithm of the highest uplink rate over the least
        ("slot_correlation", np.float64),
        ("outage_share", np.float64),
        ("outage_begins", np.float64),  # probability that after a slot with a rate comes one without
        ("outage_ends", np.float64),
        ("failure_share", np.float64),
        ("failure_begins", np.float64),  # probability that after a slot in which a server is up it is down
        ("failure_ends", np.float64),
        ("fewest_tasks", np.int64),
        ("num_machine_uniforms", np.int64),
        ("num_job_uniforms", np.int64),
    ]
)
GAP, DEADLINE = 0, 4  # columns of ``recorded_arrivals``; between them are the sizes
#: Rates that a belief tells apart, where the rate of arrivals is drawn; see ``offload_gym.streams.arrivals``.
NUM_RATES = 16
# Slots go on for this long after the last arrival, for what queues hold then, and last for arrivals that are later than
# on average by so many standard deviations; after them the last slot's rates stay.
DRAIN_S, DEVIATIONS = 10.0, 4.0
MAX_SLOTS = 10_000_000


#: What the random numbers of a stream are for; those of device d are three further ones.
MACHINES, JOBS, DEVICES = 0, 1, 2
DEVICE_ITSELF, ARRIVING, RATES, NUM_PURPOSES = 0, 1, 2, 3


class StreamParameters(NamedTuple):
    """A scenario as the arrays that the kernels of streams read; a kernel takes them as a plain tuple.

    A applications of up to n tasks and E edges; T task types; K locations.
    """

    ranges: NDArray[np.void]  # (1,) of the dtype RANGES of ``offload_gym.scenario``
    process: NDArray[np.void]  # (1,) of the dtype PROCESS
    common: NDArray[np.void]  # (1,) of the dtype COMMON
    cores: NDArray[np.int64]  # (K,)
    rates_per_s: NDArray[
        np.float64
    ]  # (R,) rates of arrival that a belief tells apart, ascending; the rate where R is 1
    # (rows, 5): the time since the row before over the mean of these times, sizes, deadline; NaN where not recorded.
    recorded_arrivals: NDArray[np.float64]
    recorded_bps: NDArray[np.float64]  # (slots, 2) recorded uplink and downlink; a downlink of -1 is not recorded
    recorded_order: NDArray[np.int64]  # (slots,) these slots by ascending uplink
    task_types: NDArray[np.float64]  # (T, 3)
    application_tasks: NDArray[np.float64]  # (A, n, 3)
    application_counts: NDArray[np.int64]  # (A,)
    application_bits: NDArray[np.float64]  # (A, E)
    graph_start: NDArray[np.int64]  # see ``Graphs``; of each application, or one without edges
    graph_edges: NDArray[np.int64]
    mobility: Mobility | None  # None where devices do not move, so that numba leaves out what is for those that do


class StreamSizes(NamedTuple):
    """What one stream of a scenario needs room for."""

    num_jobs: int
    num_tasks: int
    num_edges: int  # at most, of one job
    num_devices: int
    num_servers: int
    num_slots: int
    num_sites: int


@kernel
def numbers_for(start, purpose):
    """Where the random numbers of one purpose begin, of the stream or the future that begins at ``start``."""
    return stream(start, 0, purpose)


@kernel
def numbers_of_device(start, d, purpose):
    """Where the random numbers of device ``d`` for one of its purposes begin."""
    return stream(start, 0, DEVICES + NUM_PURPOSES * d + purpose)


def stream_parameters(scenario: Scenario) -> tuple[StreamParameters, StreamSizes]:
    """A scenario as the arrays that the kernels of streams read.

    Raises:
        ValueError: the scenario is none of streams; one sentence.
    """
    if scenario.random_graph:
        raise ValueError(
            f"random_graph is True in the scenario {scenario.label}; in streams it must be False, and graphs come from "
            "applications"
        )
    applications = application_arrays(scenario)
    recorded, recorded_per_s = _recorded_arrivals(scenario)
    low, high = _rates_of(scenario, recorded_per_s)
    rates = _recorded_rates(scenario)
    n, num_edges = scenario.most_tasks, applications.parent.shape[1]
    lowest, highest = scenario.deadline_factor or (0.0, 0.0)
    process = np.zeros(1, dtype=PROCESS)
    outage_ends, failure_ends = (min(1.0, scenario.slot_s / s) for s in (scenario.outage_s, scenario.failure_s))
    given: dict[str, Any] = {
        **{name: getattr(scenario, name) for name in ("burst_ratio", "burst_s", "calm_s", "jitter", "outage_share")},
        "arrivals": ARRIVALS.index(scenario.arrivals),
        "rate_low_per_s": low,
        "rate_high_per_s": high,
        "deadline_low": lowest,
        "deadline_high": highest,
        "radio": RADIOS.index(scenario.radio),
        "least_bps": scenario.uplink_bps[0],
        "log_span": math.log(scenario.uplink_bps[1] / scenario.uplink_bps[0]),
        "slot_correlation": scenario.correlation ** (scenario.slot_s / scenario.epoch_s),
        "outage_begins": outage_ends * scenario.outage_share / (1.0 - scenario.outage_share),
        "outage_ends": outage_ends,
        "failure_share": scenario.failure_share,
        "failure_begins": failure_ends * scenario.failure_share / (1.0 - scenario.failure_share),
        "failure_ends": failure_ends,
        "fewest_tasks": scenario.num_tasks,
        "num_machine_uniforms": num_machine_uniforms(scenario),
        "num_job_uniforms": UNIFORMS_A_TASK * n + 2 + num_edges,
    }
    for name, value in given.items():
        process[name] = value
    common = np.zeros(1, dtype=COMMON)
    for name in ("slot_s", "report_s", *PRICE_FIELDS):
        common[name] = getattr(scenario, name)
    common["repair_s"], common["loses_tasks"] = scenario.failure_s, FAILURE_TASKS.index(scenario.failure_tasks)
    pairs = list(zip(applications.start, applications.parent, strict=True))
    edgeless = (np.zeros(n + 1, dtype=np.int64), np.zeros(0, dtype=np.int64))
    graphs = as_graphs(pairs or [edgeless], n)
    parameters = StreamParameters(
        ranges=scenario.ranges(),
        process=process,
        common=common,
        cores=np.array(scenario.cores),
        rates_per_s=_rates_told_apart(low, high),
        recorded_arrivals=recorded,
        recorded_bps=rates,
        recorded_order=np.argsort(rates[:, 0], kind="stable"),
        task_types=task_type_array(scenario),
        application_tasks=applications.tasks,
        application_counts=applications.counts,
        application_bits=applications.bits,
        graph_start=graphs.start,
        graph_edges=graphs.edges,
        mobility=mobility_of(scenario),
    )
    num_sites = 1 if parameters.mobility is None else len(parameters.mobility.sites_m)
    num_slots = _num_slots(scenario, recorded[:, GAP], low)
    return parameters, StreamSizes(
        scenario.num_jobs, n, num_edges, scenario.num_devices, scenario.num_edges + 1, num_slots, num_sites
    )


def has_deadlines(parameters: StreamParameters) -> bool:
    """Whether jobs of the scenario have deadlines, drawn or recorded."""
    recorded = np.isfinite(parameters.recorded_arrivals[:, DEADLINE]).any()
    return bool(parameters.process["deadline_high"][0] > 0.0 or recorded)


def empty_stream_batch(parameters: StreamParameters, sizes: StreamSizes, num_streams: int) -> StreamBatch:
    """Room for B streams, with the graphs of the scenario."""
    jobs, slots = (num_streams, sizes.num_jobs), (num_streams, sizes.num_devices, sizes.num_slots)
    servers = np.zeros((num_streams, sizes.num_servers), dtype=SERVER)
    servers["site"] = NONE
    places = slots if parameters.mobility is not None else (*slots[:2], 1)
    return StreamBatch(
        jobs=np.zeros(jobs, dtype=JOB),
        tasks=np.zeros((*jobs, sizes.num_tasks, 3)),
        edge_bits=np.zeros((*jobs, sizes.num_edges)),
        devices=np.zeros((num_streams, sizes.num_devices), dtype=DEVICE),
        servers=servers,
        uplink_bps=np.zeros(slots),
        downlink_bps=np.zeros(slots),
        common=np.zeros(num_streams, dtype=COMMON),
        sites=np.full(places, sizes.num_sites - 1),  # the last one, as queues have room for those up to it
        positions=np.zeros((*places, 2)),
        down_slots=room_for_failures(
            num_streams, sizes.num_servers, sizes.num_slots, parameters.process["failure_share"][0] > 0.0
        ),
        graph_start=parameters.graph_start,
        graph_edges=parameters.graph_edges,
    )


def room_for_failures(num_streams: int, num_servers: int, num_slots: int, fail: bool) -> NDArray[np.int64]:
    """Room for ``StreamBatch.down_slots``: no server is ever down yet."""
    return np.zeros((num_streams, num_servers, num_slots + 1 if fail else 1), dtype=np.int64)


def _recorded_arrivals(scenario: Scenario) -> tuple[NDArray[np.float64], float]:
    """Recorded arrivals as the parameters have them, and their mean rate."""
    if scenario.arrivals_path is None:
        return np.empty((0, 5)), 0.0
    table = load_arrivals(scenario.arrivals_path).copy()
    if scenario.applications or scenario.most_tasks > 1:
        for column, name in enumerate(SIZES, start=1):
            if not np.isnan(table[0, column]):
                many = "applications" if scenario.applications else f"{scenario.most_tasks} tasks in a job"
                raise ValueError(
                    f"{scenario.arrivals_path} has a column {name!r}, but the scenario has {many}; it must have "
                    "num_tasks=1 and no applications"
                )
    mean_s = recorded_gap_s(table)
    table[:, 0] = np.append(mean_s, np.diff(table[:, 0])) / mean_s
    return table, 1.0 / mean_s


def _rates_of(scenario: Scenario, recorded_per_s: float) -> tuple[float, float]:
    """The lowest and the highest mean rate of arrivals at a device."""
    rate = scenario.arrivals_per_s
    if rate is None:
        return recorded_per_s, recorded_per_s
    return rate if isinstance(rate, tuple) else (rate, rate)


def _rates_told_apart(low: float, high: float) -> NDArray[np.float64]:
    count = NUM_RATES if high > low else 1
    rates: NDArray[np.float64] = low * (high / low) ** ((np.arange(count) + 0.5) / count)
    return rates


def _recorded_rates(scenario: Scenario) -> NDArray[np.float64]:
    if scenario.recording is None:
        return np.empty((0, 2))
    traces = scenario.recording.traces()
    rates = {link: trace.rates_bps(scenario.slot_s) for link, trace in traces.items()}
    uplink = rates["uplink"]
    downlink = np.resize(rates["downlink"], len(uplink)) if "downlink" in rates else np.full(len(uplink), -1.0)
    return np.ascontiguousarray(np.transpose([uplink, downlink]))


def _num_slots(scenario: Scenario, gaps: NDArray[np.float64], lowest_per_s: float) -> int:
    """Slots until after the last arrival: of recorded jobs and frames in all streams, of others in almost all."""
    if scenario.radio == "constant" and scenario.failure_share == 0.0:
        return 1
    each = math.ceil(scenario.num_jobs / scenario.num_devices)
    if scenario.arrivals == "trace":  # when each device has had its share, all jobs have arrived
        rounds, rest = divmod(each, len(gaps))
        until = np.cumsum(np.concatenate([[0.0], gaps, gaps]))
        periods = rounds * len(gaps) + float((until[rest:] - until[: len(until) - rest]).max())
    elif scenario.arrivals == "periodic":
        periods = each + 1 + scenario.jitter
    else:
        variance = scenario.num_jobs * _dispersion(scenario, lowest_per_s)
        periods = (scenario.num_jobs + DEVIATIONS * math.sqrt(variance)) / scenario.num_devices
    num_slots = math.ceil((periods / lowest_per_s + DRAIN_S) / scenario.slot_s)
    if num_slots > MAX_SLOTS:
        raise ValueError(
            f"slot_s is {quoted(scenario.slot_s)}; {scenario.num_jobs:,} jobs take up to {periods / lowest_per_s:.3g} "
            f"s to arrive, which must be at most {MAX_SLOTS:,} slots"
        )
    return num_slots


def _dispersion(scenario: Scenario, rate_per_s: float) -> float:
    """The variance of the number of arrivals in a long time over its mean: that of a Markov-modulated process."""
    if scenario.arrivals == "poisson":
        return 1.0
    share = scenario.burst_s / (scenario.burst_s + scenario.calm_s)
    calm_per_s = rate_per_s / (share * scenario.burst_ratio + 1.0 - share)
    switch_per_s = 1.0 / scenario.burst_s + 1.0 / scenario.calm_s
    spread_per_s = calm_per_s * (scenario.burst_ratio - 1.0)
    return 1.0 + 2.0 * share * (1.0 - share) * spread_per_s**2 / (switch_per_s * rate_per_s)
