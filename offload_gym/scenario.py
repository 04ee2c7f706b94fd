"""Scenarios: what tasks, radio and machines are drawn from, and the presets."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offload_gym.applications.application import Application
from offload_gym.applications.cnns import CNN_NAMES, cnn_task
from offload_gym.applications.presets import APPLICATIONS, application_named
from offload_gym.array_checks import MAX_CORES
from offload_gym.arrivals import checked_arrivals, load_arrivals
from offload_gym.checks import check_flag, checked_count, checked_number, is_number, quoted, shortened
from offload_gym.compilation import record
from offload_gym.instances import POWER_FIELDS
from offload_gym.mobility import checked_mobility, load_sites, load_tracks
from offload_gym.radio.epochs import Recording, checked_recording

LONG = 2_000  # characters of a field in JSON that are too many for the header of a policy file
PATHS = ("trace_path", "downlink_trace_path", "arrivals_path", "sites_path", "positions_path")
#: What becomes of the tasks of a server that fails.
FAILURE_TASKS = ("wait", "lost")
Range = tuple[float, float]  # (low, high), low at least 0
PositiveRange = Range  # low above 0


@dataclass(frozen=True, init=False)
class Scenario:
    """What the decision epochs, or the streams, of an environment are drawn from: a preset with changes. Immutable.

    A range is (low, high) and is drawn from uniformly, but for ``uplink_bps``, whose logarithm is uniform. Backlogs are
    exponential with the mean given here. Task workloads are ``input_bits * cycles_per_bit`` and results are
    ``input_bits * output_ratio``, unless ``task_types`` lists the tasks to draw from. ``Scenario().to_dict()`` has the
    values of the preset "default".

    In a stream each job is drawn as the tasks of an epoch are, everything is empty at time 0, and an episode is one
    stream: the backlogs and ``idle_w`` have no meaning there. Environments of epochs ignore the fields of streams,
    ``arrivals`` and all after it.

    Args:
        name: name of the preset whose values the fields have that are not given.
        num_tasks: tasks in one decision epoch, n; the fewest where ``max_tasks`` is given. For applications that come
            in every size (a chain, a network cut into groups of layers) it is the size; for others it has no meaning.
        max_tasks: the most tasks in one epoch, and the number of task rows of an observation. Without applications
            the number is uniform from ``num_tasks`` to ``max_tasks``. None: ``num_tasks``, or the largest application.
        num_edges: edge servers; the locations are K = num_edges + 2.
        input_bits: bits that a task sends. This, the next two and ``task_types`` are ignored where there are
            ``applications``.
        cycles_per_bit: CPU cycles per input bit.
        output_ratio: result bits per input bit.
        task_types: rows (input_bits, output_bits, workload_cycles), each equally likely; empty: use the ranges above.
        applications: applications, each equally likely to be an epoch's: names of ``offload_gym.applications.presets``,
            ``Application`` objects, or dicts of their fields. Empty: independent tasks, or random graphs.
        workload_scale: factor on the workload of each task of an application; ignored without ``applications``.
        data_scale: factor on each amount of data of an application; ignored without ``applications``.
        random_graph: whether the tasks drawn from the ranges above depend on each other as a random graph says (see
            ``offload_gym.applications.random_graphs``). The next four are ignored without it.
        graph_fat: from 0 (chains) to 1 (one or two layers): a layer has about ``n ** graph_fat`` tasks.
        graph_density: share of the possible parents in the layer before that a task has.
        graph_jump: how many layers an edge spans at most.
        ccr: communication-to-computation ratio of random graphs: time to send an edge's data at 20 Mbit/s over the time
            to run its parent at 8 GHz.
        device_hz, edge_hz, cloud_hz: speed of one core, cycles a second.
        device_cores, edge_cores, cloud_cores: cores of the device, of each edge server and of the cloud server, from
            1 to 10,000; more cores than tasks change nothing.
        device_backlog_s, edge_backlog_s, cloud_backlog_s: mean time until the cores are free.
        radio: "random", a correlated random uplink, "trace", the uplink follows the recorded ``trace_path``, or
            "constant", for streams alone: the uplink is drawn once an episode, for each device.
        uplink_bps: uplink rate, where the radio is random or constant.
        trace_path: file of the recorded uplink, where the radio is "trace": a CSV file with a column ``mbps``, one
            sample a second, or any other that ``offload_gym.load_trace`` reads.
        downlink_trace_path: file of the downlink that was recorded beside it, which may be the same file; None: the
            downlink is ``downlink_ratio`` times the uplink.
        trace_column, downlink_trace_column: column of the rates in these files, its name or its number from 1; None,
            like the next two: as the file says.
        trace_unit: unit of the rates in these files, such as "kbit/s".
        trace_step_s: seconds from one of their samples to the next.
        downlink_ratio: downlink rate over uplink rate; ignored with a recorded downlink.
        further_edge_rate_ratio: radio rates to edge servers after the first over those to the first.
        further_edge_wired_bps: wired path of edge servers after the first, which stands at the base station.
        cloud_wired_bps: wired path to the cloud server.
        edge_propagation_s: one-way delay to the first edge server.
        further_edge_propagation_s: what further edge servers add to it.
        cloud_propagation_s: what the cloud server adds to it.
        kappa: effective switched capacitance of the device's CPU: a cycle takes ``kappa * device_hz**2`` joules; the
            default makes a core of 2 GHz take 0.8 W.
        transmit_w: power of the radio while it sends, watts.
        idle_w: power of the device until an epoch's last task is complete, watts.
        energy_weight_s_per_j: seconds of latency that a joule is worth in the objective "cost".
        correlation: how much of the radio's and the backlogs' state carries over to the next epoch, from 0 (drawn
            anew) to below 1: the lag-one correlation of the Gaussian variables behind them. From slot to slot of a
            stream it is ``correlation ** (slot_s / epoch_s)``.
        epoch_s: seconds from one epoch to the next, by which a recorded trace advances.
        arrivals: how jobs arrive at each device of a stream: "poisson"; "bursty", a Poisson process whose rate is
            ``burst_ratio`` times as high in bursts as between them (a Markov-modulated one of two states); "periodic",
            frames at equal distances, each moved by a jitter; or "trace", as recorded in ``arrivals_path``.
        arrivals_per_s: mean number of jobs that arrive at each device in a second: a number, or a pair (low, high)
            between which it is drawn once an episode, its logarithm uniform. Recorded times are stretched to have this
            mean; None, with "trace" alone and the default there: they are taken as recorded.
        burst_ratio: rate in bursts over the rate between them, at least 1. This and the next two: "bursty" alone.
        burst_s, calm_s: mean length of a burst, and of the time between two; both are exponential.
        jitter: a frame is moved by up to half of this share of the period to either side, uniformly; from 0 to 1, so
            that frames keep their order. "periodic" alone.
        arrivals_path: CSV file of recorded arrivals with a column ``arrival_s`` and, where they are recorded,
            ``input_bits``, ``output_bits``, ``workload_cycles`` and ``deadline_s`` of one-task jobs; what it lacks is
            drawn as without it, and other columns are ignored. Each device begins an episode at a random row; after
            the last row comes the first.
        num_jobs: jobs in one stream, J.
        num_devices: devices in one stream, m; each draws its speed and its rates, and all share the servers.
        slot_s: seconds of a slot, within which rates are constant.
        report_s: seconds from one report to the devices on how the servers stand and how many devices send to the next;
            0: they always know. It changes what policies see, not what happens.
        deadline_factor: deadline of a job over its best response in an empty system at the rates of its arrival (see
            ``offload_gym.streams.jobs.alone_s``); None: none has a deadline but where it is recorded.
        can_drop: whether a job may be dropped at its arrival.
        outage_share: share of the time in which the radio of a device has no rate at all, from 0 to below 1: outages
            begin and end from slot to slot with a constant probability (Gilbert, "Capacity of a burst-noise channel",
            1960), whatever the rate. This and the next: radio "random" alone; a recording has its own.
        outage_s: mean length of an outage, at least ``slot_s``, and so long that between two a slot fits.
        mobility: how the devices of a stream move: "none"; "waypoint", straight to a random place, a pause, on to the
            next one; "roads", along the streets of a grid; or "recorded", as in ``positions_path``. Where they move,
            rates follow from where they are (docs/streams.md): ``radio`` must be "random", and ``uplink_bps`` and
            ``correlation`` have no meaning. The fields after this one have none where they don't move.
        speed_m_per_s: metres a second of each way ("waypoint"), or of a device for the whole episode ("roads").
        pause_s: seconds between two ways; "waypoint" alone.
        road_spacing_m: distance between neighbouring streets; "roads" alone.
        area_m: width and height of the rectangle in which devices move, about the middle of the sites. None: the
            rectangle of the sites and half of ``site_spacing_m`` on each side. "roads" takes whole blocks of it.
        positions_path: CSV file of recorded positions with the columns ``device``, ``time_s``, ``x_m`` and ``y_m``, or
            ``latitude`` and ``longitude``. Each device follows one of the tracks from a random moment on, and at its
            end goes back the same way. "recorded" alone.
        num_sites: sites, in rows of a hexagonal grid; ignored with ``sites_path``. Edge servers stand at sites that are
            drawn, one at each, several only where there are more servers than sites.
        site_spacing_m: distance between neighbouring sites of that grid.
        sites_path: CSV file of the sites with the columns ``x_m`` and ``y_m``, or ``latitude`` and ``longitude``.
        carrier_hz: carrier frequency, 0.5 to 100 GHz.
        bandwidth_hz: bandwidth of each site.
        shadowing_db: standard deviation of the shadow fading, in decibels; 0: there is none.
        shadowing_m: metres after which its correlation along a way has fallen to 1/e.
        handover_hysteresis_db: a device changes to another site when it would receive this much more from there.
        failure_share: share of the time in which an edge server is down, from 0 to below 1; each fails by itself, from
            slot to slot with a constant probability as outages begin. Its cores do nothing then. The cloud server never
            fails.
        failure_s: mean length of a failure, at least ``slot_s``, and so long that between two a slot fits; so long
            policies expect a server that is down to stay down.
        failure_tasks: "wait": what runs or waits at an edge server that fails goes on when it is up again; "lost": it
            is lost, and so is what becomes ready there while it is down. A job of which a task is lost is late.

    Raises:
        ValueError: the preset or a field is unknown, or a value is out of its bounds; one sentence.
    """

    name: str = "default"
    num_tasks: int = 8
    max_tasks: int | None = None
    num_edges: int = 1
    input_bits: PositiveRange = (50e3 * 8, 500e3 * 8)
    cycles_per_bit: Range = (50.0, 500.0)
    output_ratio: Range = (0.02, 0.30)
    task_types: tuple[tuple[float, float, float], ...] = ()
    applications: tuple[str | Application, ...] = ()
    workload_scale: Range = (1.0, 1.0)
    data_scale: Range = (1.0, 1.0)
    random_graph: bool = False
    graph_fat: Range = (0.3, 0.7)
    graph_density: Range = (0.2, 0.6)
    graph_jump: int = 2
    ccr: Range = (0.2, 1.0)
    device_hz: PositiveRange = (0.6e9, 2e9)
    device_cores: int = 1
    device_backlog_s: float = 0.05
    edge_hz: PositiveRange = (4e9, 12e9)
    edge_cores: int = 2
    edge_backlog_s: float = 0.1
    cloud_hz: PositiveRange = (15e9, 30e9)
    cloud_cores: int = 8
    cloud_backlog_s: float = 0.0
    radio: str = "random"
    uplink_bps: PositiveRange = (4e6, 80e6)
    trace_path: str | None = None
    downlink_trace_path: str | None = None
    trace_column: str | None = None
    downlink_trace_column: str | None = None
    trace_unit: str | None = None
    trace_step_s: float | None = None
    downlink_ratio: PositiveRange = (1.0, 4.0)
    further_edge_rate_ratio: PositiveRange = (1.0, 1.0)
    further_edge_wired_bps: PositiveRange = (200e6, 1e9)
    cloud_wired_bps: PositiveRange = (50e6, 200e6)
    edge_propagation_s: Range = (0.002, 0.010)
    further_edge_propagation_s: Range = (0.001, 0.005)
    cloud_propagation_s: Range = (0.015, 0.060)
    kappa: float = 1e-28
    transmit_w: float = 0.5
    idle_w: float = 0.1
    energy_weight_s_per_j: float = 1.0
    correlation: float = 0.9
    epoch_s: float = 1.0
    arrivals: str = "poisson"
    arrivals_per_s: float | Range | None = 6.0
    burst_ratio: float = 5.0
    burst_s: float = 2.0
    calm_s: float = 6.0
    jitter: float = 0.2
    arrivals_path: str | None = None
    num_jobs: int = 200
    num_devices: int = 1
    slot_s: float = 0.25
    report_s: float = 0.0
    deadline_factor: PositiveRange | None = None
    can_drop: bool = False
    outage_share: float = 0.0
    outage_s: float = 2.0
    mobility: str = "none"
    speed_m_per_s: PositiveRange = (1.0, 15.0)
    pause_s: Range = (0.0, 30.0)
    road_spacing_m: float = 100.0
    area_m: tuple[float, float] | None = None
    positions_path: str | None = None
    num_sites: int = 1
    site_spacing_m: float = 500.0
    sites_path: str | None = None
    carrier_hz: float = 3.5e9
    bandwidth_hz: float = 40e6
    shadowing_db: float = 7.82
    shadowing_m: float = 50.0
    handover_hysteresis_db: float = 6.0
    failure_share: float = 0.0
    failure_s: float = 5.0
    failure_tasks: str = "wait"

    def __init__(self, /, name: str = "default", **changes: Any) -> None:
        if not isinstance(name, str) or name not in PRESETS:
            raise ValueError(f"scenario is {quoted(name)}; the presets are {', '.join(PRESETS)}")
        defaults = {field.name: field.default for field in fields(self)}
        for field in changes:
            if field not in defaults:
                similar = ", ".join(difflib.get_close_matches(str(field), defaults, n=5, cutoff=0.0))
                raise ValueError(
                    f"a scenario has no field {quoted(field)}; it must be one of the {len(defaults)} that Scenario "
                    f"lists, such as {similar}"
                )
        given = {**defaults, **PRESETS[name], **changes, "name": name}
        if changes.get("arrivals") == "trace" and "arrivals_per_s" not in changes:
            given["arrivals_per_s"] = None
        self.__dict__.update(_checked(given))
        least, what = self.num_tasks, "num_tasks"
        if self.graphs:
            largest = max(self.graphs, key=lambda application: application.num_tasks)
            least, what = largest.num_tasks, f"the number of tasks of {quoted(largest.name)}"
        if self.max_tasks is not None and self.max_tasks < least:
            raise ValueError(f"max_tasks is {self.max_tasks}; it must be at least {least}, {what}")

    @property
    def can_lose(self) -> bool:
        """Whether the jobs of a stream can be lost, as edge servers fail and what they hold is lost then."""
        return self.failure_share > 0.0 and self.failure_tasks == "lost"

    @property
    def num_locations(self) -> int:
        """K, for the device, the edge servers and the cloud server."""
        return self.num_edges + 2

    @cached_property
    def graphs(self) -> tuple[Application, ...]:
        """The applications that epochs are drawn from."""
        return tuple(
            application_named(given, self.num_tasks) if isinstance(given, str) else given for given in self.applications
        )

    @property
    def most_tasks(self) -> int:
        """The most tasks in one epoch: the number of task rows of an observation."""
        largest = max((application.num_tasks for application in self.graphs), default=self.num_tasks)
        return largest if self.max_tasks is None else self.max_tasks

    @property
    def dependent(self) -> bool:
        """Whether tasks can depend on each other."""
        return self.random_graph or any(application.edges for application in self.graphs)

    @property
    def power(self) -> tuple[float, ...]:
        """The columns of ``Instances.power``."""
        return tuple(getattr(self, name) for name in POWER_FIELDS)

    @property
    def cores(self) -> tuple[int, ...]:
        """Cores of each location, (K,)."""
        return (self.device_cores, *(self.edge_cores,) * self.num_edges, self.cloud_cores)

    @property
    def mean_backlog_s(self) -> tuple[float, ...]:
        """Mean backlog of each location, (K,)."""
        return (self.device_backlog_s, *(self.edge_backlog_s,) * self.num_edges, self.cloud_backlog_s)

    @property
    def recording(self) -> Recording | None:
        """The traces that the rates follow; None where the radio is random."""
        return None if self.trace_path is None else Recording(*(getattr(self, name) for name in Recording._fields))

    @property
    def label(self) -> str:
        """Short name for tables: the preset, and its applications and trace where they are not the preset's."""
        parts = [self.name]
        if self.applications != PRESETS[self.name].get("applications", ()):
            parts.append("+".join(a if isinstance(a, str) else a.name for a in self.applications) or "no application")
        if self.trace_path is not None:
            parts.append(os.path.basename(self.trace_path))
        for path in (self.arrivals_path, self.sites_path, self.positions_path):
            if path is not None:
                parts.append(os.path.basename(path))
        return ", ".join(parts)

    def ranges(self) -> NDArray[np.void]:
        """The ranges as one record (1,) of the dtype RANGES, which kernels read by the fields' names."""
        return np.array([tuple(getattr(self, name) for name in RANGE_FIELDS)], dtype=RANGES)

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values; ``make_scenario(**scenario.to_dict())`` makes an equal scenario."""
        # Not dataclasses.asdict of the whole: it would look into the cached graphs, too.
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        given = [asdict(a) if isinstance(a, Application) else a for a in self.applications]
        return {**plain, "applications": tuple(given)}


_TYPES = {field.name: field.type for field in fields(Scenario)}
RANGE_FIELDS = tuple(name for name, kind in _TYPES.items() if kind in ("Range", "PositiveRange"))
#: All ranges of a scenario as one record, so that kernels get them in one argument and read them by name.
RANGES = record([(name, [("low", np.float64), ("high", np.float64)]) for name in RANGE_FIELDS])


def described(scenario: Scenario) -> dict[str, Any]:
    """All fields as JSON gives them back, to say in a policy file what a network was trained on.

    A field that is long, such as applications of one's own, and a trace, which is a file elsewhere, stand as a digest.
    """
    plain: dict[str, Any] = json.loads(json.dumps(scenario.to_dict()))
    for name, value in plain.items():
        if len(json.dumps(value)) > LONG:
            plain[name] = digest_of(value)
    recorded = None if scenario.recording is None else scenario.recording.seconds()
    # A digest of what was read says all that the ways to read it would. What is not recorded is not named.
    for name in Recording._fields[1:]:
        del plain[name]
    if recorded is not None:
        plain["trace_path"] = digest_of(recorded[:, :2].tolist())
        if scenario.downlink_trace_path is not None:
            plain["downlink_trace_path"] = digest_of(recorded[:, 2].tolist())
    if scenario.arrivals_path is not None:
        plain["arrivals_path"] = digest_of(load_arrivals(scenario.arrivals_path).tolist())
    origin = None
    if scenario.sites_path is not None:
        sites, origin = load_sites(scenario.sites_path)
        plain["sites_path"] = digest_of(sites.tolist())
    if scenario.positions_path is not None:
        tracks = load_tracks(scenario.positions_path, origin)
        plain["positions_path"] = digest_of([array.tolist() for array in tracks])
    return plain


def with_absolute_paths(scenario: Scenario) -> Scenario:
    """The same scenario for processes that run in other folders, now or later: its files by their absolute paths."""
    paths = {name: getattr(scenario, name) for name in PATHS}
    absolute: dict[str, Any] = {name: str(Path(path).resolve()) for name, path in paths.items() if path is not None}
    return replace(scenario, **absolute)


def paths_from(folder: str | Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a scenario that stand in a file of ``folder``, from which paths that are not absolute count."""
    paths = {name: os.path.join(folder, given[name]) for name in PATHS if isinstance(given.get(name), str)}
    return {**given, **paths}


def digest_of(value: Any) -> str:
    """A text that stands for a value of JSON."""
    return f"sha256:{hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()}"


def difference(trained: Mapping[str, Any], scenario: Scenario, but: Sequence[str] = ()) -> tuple[str, Any, Any] | None:
    """The first field in which what ``described`` gave is another scenario: (name, value there, value here).

    A field that is not there, as it was unknown at that time, had its default value. None: no field but those in
    ``but`` differs.
    """
    there, here = described(Scenario()) | dict(trained), described(scenario)
    for name in there | here:
        if name not in but and there.get(name) != here.get(name):
            return name, there.get(name), here.get(name)
    return None


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """All fields as a scenario keeps them."""
    kept = dict(given)
    for name in ("num_tasks", "graph_jump", "num_jobs", "num_devices"):
        kept[name] = checked_count(name, given[name], 1)
    for name in ("device_cores", "edge_cores", "cloud_cores"):
        kept[name] = checked_count(name, given[name], 1, MAX_CORES)
    kept["num_edges"] = checked_count("num_edges", given["num_edges"], 0)
    if given["max_tasks"] is not None:
        kept["max_tasks"] = checked_count("max_tasks", given["max_tasks"], 1)
    for name in RANGE_FIELDS:
        kept[name] = _checked_range(name, given[name])
    for name in ("graph_fat", "graph_density"):
        if kept[name][1] > 1:
            raise ValueError(f"{name} is {quoted(given[name])}; high must be at most 1")
    for name in ("device_backlog_s", "edge_backlog_s", "cloud_backlog_s", "report_s", *POWER_FIELDS):
        kept[name] = checked_number(name, given[name], "finite and at least 0", lambda value: 0 <= value < math.inf)
    for name in ("epoch_s", "slot_s"):
        kept[name] = checked_number(name, given[name], "finite and above 0", lambda value: 0 < value < math.inf)
    kept["correlation"] = checked_number(
        "correlation", given["correlation"], "at least 0 and below 1", lambda value: 0 <= value < 1
    )
    kept |= checked_recording(given["radio"], given)
    kept |= checked_arrivals(given)
    if given["deadline_factor"] is not None:
        kept["deadline_factor"] = _checked_range("deadline_factor", given["deadline_factor"])
    check_flag("can_drop", given["can_drop"])
    kept["can_drop"] = bool(given["can_drop"])
    kept |= _checked_outages(given, "outage", given["radio"] == "random", f"radio={given['radio']!r}")
    kept |= _checked_outages(given, "failure", kept["num_edges"] > 0, "num_edges=0")
    check_failure_tasks(given["failure_tasks"])
    kept |= checked_mobility(kept)
    kept["task_types"] = _checked_task_types(given["task_types"])
    kept["applications"] = _checked_applications(given["applications"])
    if not isinstance(given["random_graph"], bool):
        raise ValueError(f"random_graph is {quoted(given['random_graph'])}; it must be True or False")
    if given["random_graph"] and kept["applications"]:
        raise ValueError("random_graph is True; with applications it must be False")
    return kept


def _checked_outages(given: Mapping[str, Any], what: str, possible: bool, without: str) -> dict[str, Any]:
    """The share and the mean length of outages of radios or failures of servers, possible but ``without`` a field."""
    share_name, length_name = f"{what}_share", f"{what}_s"
    share = checked_number(share_name, given[share_name], "at least 0 and below 1", lambda value: 0 <= value < 1)
    if share == 0.0:
        least_s, bound = math.ulp(0.0), "finite and above 0"
    elif possible:
        # One takes a slot at least, and so does what is between two of them.
        least_s = given["slot_s"] * max(1.0, share / (1.0 - share))
        bound = f"finite and at least {least_s:g}"
    else:
        raise ValueError(f"{share_name} is {share:g}; with {without} it must be 0")
    length_s = checked_number(length_name, given[length_name], bound, lambda value: least_s <= value < math.inf)
    return {share_name: share, length_name: length_s}


def check_failure_tasks(given: Any) -> None:
    """ValueError where what becomes of the tasks of a server that fails is something unknown."""
    if not isinstance(given, str) or given not in FAILURE_TASKS:
        raise ValueError(f"failure_tasks is {quoted(given)}; it must be {' or '.join(map(repr, FAILURE_TASKS))}")


def _checked_range(name: str, value: Any) -> Range:
    if not isinstance(value, tuple | list) or len(value) != 2 or not all(is_number(v) for v in value):
        raise ValueError(f"{name} is {quoted(value)}; it must be a pair (low, high) of numbers")
    low, high = float(value[0]), float(value[1])
    positive = _TYPES[name] != "Range"
    lowest = "above 0" if positive else "at least 0"
    if not (low <= high < math.inf and (low > 0 or (low == 0 and not positive))):
        raise ValueError(f"{name} is {quoted(value)}; low must be {lowest} and high finite and not below low")
    return low, high


def _checked_task_types(rows: Any) -> tuple[tuple[float, float, float], ...]:
    bound = "rows (input_bits, output_bits, workload_cycles), each finite and at least 0"
    try:
        checked = tuple((float(a), float(b), float(c)) for a, b, c in rows)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f"task_types is {quoted(rows)}; it must hold {bound}") from None
    for row in checked:
        if not all(math.isfinite(value) and value >= 0 for value in row):
            raise ValueError(f"task_types has the row {quoted(row)}; it must hold {bound}")
    return checked


def _checked_applications(given: Any) -> tuple[str | Application, ...]:
    if isinstance(given, str | Mapping | Application) or not isinstance(given, Sequence):
        raise ValueError(
            f"applications is {quoted(given)}; it must be a list of names, applications or dicts of their fields"
        )
    checked: list[str | Application] = []
    for one in given:
        if isinstance(one, Mapping):
            try:
                checked.append(Application(**one))
            except TypeError as error:
                if "tasks" in one:
                    raise ValueError(
                        f"applications has the contents of a file ({quoted(one.get('name'))}); give what "
                        "load_application makes of it"
                    ) from None
                name, reason = quoted(one.get("name", "without a name")), shortened(str(error))
                raise ValueError(f"applications has a dict ({name}) that is not the fields of one: {reason}") from None
        elif isinstance(one, Application | str):
            if isinstance(one, str) and one not in APPLICATIONS:
                hint = "; a file is read with load_application" if Path(one).suffix else ""
                raise ValueError(f"applications has {quoted(one)}; the known ones are {', '.join(APPLICATIONS)}{hint}")
            checked.append(one)
        else:
            raise ValueError(
                f"applications has {quoted(one)}; it must hold names, applications or dicts of their fields"
            )
    return tuple(checked)


# Tasks are single inferences of six published CNNs; a cycle is one multiply-accumulate (MAC), a hertz one MAC/s.
#
# Speeds are effective: what a batch of one image gets, a fraction of the peak.
#
# - Device, 2-8 GMAC/s: a quad-core Cortex-A72 or a phone's big cores. Peak is cores x 8 MAC a cycle x 1.5-2 GHz, about
#   50-65 GMAC/s; common inference runtimes on such CPUs reach 5-15 % of it on these networks.
# - Edge server, 100-400 GMAC/s on each of 2 executors: a server CPU socket (16 AVX2 cores x 16 MAC x 2.5 GHz, 640
#   GMAC/s peak) or an embedded GPU, at a quarter to a half of the peak.
# - Cloud server, 1-4 TMAC/s on each of 8 executors: a data-centre GPU of 4-10 TMAC/s peak in single precision, at a
#   quarter to a half of the peak, as one image cannot fill it.
#
# Inputs travel as 8-bit RGB tensors of the network's input size, results as the float32 output tensor. The speeds are
# this project's estimates from peak rates, not measurements of a product.
_VISION: dict[str, Any] = {
    "task_types": tuple((task.input_bits, task.output_bits, task.macs) for task in map(cnn_task, CNN_NAMES)),
    "device_hz": (2e9, 8e9),
    "edge_hz": (100e9, 400e9),
    "cloud_hz": (1e12, 4e12),
    "kappa": 5e-30,  # 2.6 W at 8 GMAC/s
}
# One application leaves little to share: it meets a stronger device and a slower way to the cloud, so that here, too,
# no fixed choice is good.
_ONE_APPLICATION: dict[str, Any] = {"device_hz": (1e9, 3e9), "device_cores": 4, "cloud_wired_bps": (5e6, 30e6)}
# Where workloads and sizes of an application are estimates, epochs draw around them.
_ESTIMATES: dict[str, Any] = {"workload_scale": (0.5, 2.0), "data_scale": (0.5, 2.0), **_ONE_APPLICATION}

# One-task jobs drawn as the tasks of "default". In the long run the device of 1.3 GHz runs 2.1 jobs/s of 6.05e8 cycles,
# and the radio at its mean of 25.4 Mbit/s, (80 - 4) / ln(80 / 4), sends 11.5 jobs/s of 2.2 Mbit; the servers have more
# than enough. Rates stay for seconds, so that queues form at half of these 13.7 jobs/s.
_STREAM: dict[str, Any] = {
    "num_tasks": 1,
    "correlation": 0.95**6,  # after one second: 0.95 from job to job at 6 jobs/s
}
# Frames of eight applications, each equally often: on average 2.88 Mbit and 3.78e9 cycles, in the networks of one
# multiply-accumulate each. Networks are cut into 5 groups of layers.
#
# - data_scale: 0.4 on average, as tensors travel in 16 bits an element and images at 10 of their 24 bits a pixel:
#   1.15 Mbit a frame.
# - workload_scale: 0.3 on average, as vector units do several multiply-accumulates in a cycle: 1.13e9 cycles a frame.
# - Capacity: the radio at its mean of 25.4 Mbit/s takes 22.0 frames/s, the device of 4 cores of 2 GHz runs 7.05: 29.0
#   frames/s when both are always busy. Of the 22 that are sent the edge server (2 cores of 8 GHz) runs 14.1 and the
#   cloud server (8 of 22.5 GHz, up to 159) the rest, so that all three places are needed. 9 to 29 frames/s are 0.31 to
#   1.0 of that capacity; below it the edge server alone is loaded to 0.3 to 1 where 4 to 14 frames/s are sent there.
_STREAM_APPLICATIONS: dict[str, Any] = {
    **_STREAM,
    **_ONE_APPLICATION,
    "num_tasks": 5,
    "applications": ("augmented_reality", "face_recognition", *CNN_NAMES),
    "data_scale": (0.3, 0.5),
    "workload_scale": (0.2, 0.4),
    "arrivals": "periodic",
    "arrivals_per_s": (9.0, 29.0),
    "jitter": 0.2,
}

# Eight devices among four sites, of which three have an edge server. Jobs are four times as large as those of "stream",
# so that 800 of them take 100 s, in which a device changes its site four times. The cloud server is behind a slow path,
# so that all locations are needed. The machines take 2.3 jobs/s at each device at most, on average
# (benchmarks/streams/capacity.py).
_STREAM_MOBILE: dict[str, Any] = {
    **_STREAM,
    "input_bits": (1.6e6, 16e6),
    "edge_cores": 1,
    "cloud_wired_bps": (10e6, 40e6),
    "num_edges": 3,
    "num_sites": 4,
    "num_devices": 8,
    "arrivals_per_s": 1.0,
    "num_jobs": 800,
    "mobility": "waypoint",
}

# What each preset changes in the default values of the fields.
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "vision": _VISION,
    "multi_edge": {"num_edges": 3, "further_edge_rate_ratio": (0.3, 1.5)},
    "chain": {"random_graph": True, "graph_fat": (0.0, 0.0), "graph_jump": 1, **_ONE_APPLICATION},
    "fork_join": {"applications": ("fork_join",), **_ESTIMATES},
    "dag": {"random_graph": True, "num_tasks": 10, "num_edges": 2, **_ONE_APPLICATION},
    "face_recognition": {"applications": ("face_recognition",), **_ESTIMATES},
    "augmented_reality": {"applications": ("augmented_reality",), **_ESTIMATES},
    # The CNNs of "vision", each cut between its layers into a chain of at most 10 tasks.
    "partitioning": {**_VISION, "task_types": (), "applications": CNN_NAMES, "num_tasks": 10},
    "stream": _STREAM,
    "stream_deadlines": {**_STREAM, "deadline_factor": (1.5, 4.0), "can_drop": True},
    "stream_applications": _STREAM_APPLICATIONS,
    # 3.4 jobs/s at each device are 0.8 of what the machines take at most (benchmarks/streams/capacity.py).
    "stream_cell": {**_STREAM, "num_devices": 8, "arrivals_per_s": 3.4, "num_jobs": 1600},
    "stream_mobile": _STREAM_MOBILE,
}


# A line on each preset for lists.
SUMMARIES = {
    "default": "independent tasks; the general scenario",
    "vision": "inferences of six published CNNs",
    "multi_edge": "three edge servers with rates of their own",
    "chain": "a chain of tasks with random sizes",
    "fork_join": "one task that forks into parallel ones that join",
    "dag": "random graphs of tasks",
    "face_recognition": "the stages of face recognition",
    "augmented_reality": "the stages of augmented reality",
    "partitioning": "six CNNs, each cut between its layers",
    "stream": "jobs of one task that keep coming",
    "stream_deadlines": "jobs with deadlines, which may be dropped",
    "stream_applications": "camera frames for eight applications",
    "stream_cell": "eight devices that share radio and servers",
    "stream_mobile": "eight devices that move among four sites",
}


def make_scenario(name: str = "default", **changes: Any) -> Scenario:
    """A preset with changes.

    Args:
        name: "default" (the project's general scenario), "vision" (inferences of published CNNs), "multi_edge" (three
            edge servers with different rates and speeds), "chain", "fork_join" and "dag" (dependent tasks: a chain, one
            task that forks into parallel ones that join again, and random graphs), "face_recognition" and
            "augmented_reality" (applications), "partitioning" (CNNs cut between their layers), or, for
            ``sample_streams``, "stream" (one-task jobs that keep coming), "stream_deadlines" (jobs with deadlines,
            which may be dropped), "stream_applications" (frames for applications), "stream_cell" (eight devices that
            share radio and servers) or "stream_mobile" (eight devices that move among four sites).
        **changes: fields of ``Scenario`` to set.

    Raises:
        ValueError: the preset or a field is unknown, or a value is out of its bounds.
    """
    return Scenario(name, **changes)


def as_scenario(scenario: str | Mapping[str, Any] | Scenario, preset: str = "default") -> Scenario:
    """A ``Scenario`` from a preset's name, a dict with "name" and what to change in it, or a ``Scenario``.

    A dict without a name changes ``preset``.
    """
    if isinstance(scenario, Scenario):
        return scenario
    if isinstance(scenario, str):
        return make_scenario(scenario)
    if isinstance(scenario, Mapping):
        for key in scenario:
            if not isinstance(key, str):
                raise ValueError(f"scenario has the key {quoted(key)}; its keys must be names of fields")
        return make_scenario(**{"name": preset, **scenario})
    raise ValueError(f"scenario is {quoted(scenario)}; it must be a preset's name, a dict with its name, or a Scenario")
