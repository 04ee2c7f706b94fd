"""Streams: the checked arrays that describe jobs over time, their devices and the servers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from offload_gym.array_checks import (
    CORE_COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    POSITIVE_OR_INFINITE,
    Bound,
    numbers,
    require,
    whole,
)
from offload_gym.checks import quoted
from offload_gym.compilation import record
from offload_gym.instances import TASK_FIELDS, checked_graph, for_kernels
from offload_gym.mobility import MAX_SITES
from offload_gym.scenario import FAILURE_TASKS, check_failure_tasks

#: A job but for its tasks.
JOB = record(
    [
        ("arrival_s", np.float64),
        ("deadline_s", np.float64),  # after its arrival; infinite where it has none
        ("device", np.int64),
        ("graph", np.int64),  # row of ``Graphs``
        ("num_tasks", np.int64),
    ]
)
DEVICE = record([("hz", np.float64), ("cores", np.int64)])
SERVER = record(
    [
        ("cpu_hz", np.float64),
        ("cores", np.int64),
        ("wired_bps", np.float64),
        ("propagation_s", np.float64),
        ("rate_ratio", np.float64),
        ("site", np.int64),  # where it stands; NONE (-1): at no site
        ("home_propagation_s", np.float64),  # from there, where no wired path is in between
    ]
)
#: What is the same for all devices of a stream.
COMMON = record(
    [
        ("slot_s", np.float64),
        ("report_s", np.float64),  # seconds from one report on the servers to the next; 0: they are always fresh
        ("kappa", np.float64),
        ("transmit_w", np.float64),
        ("energy_weight_s_per_j", np.float64),
        ("repair_s", np.float64),  # after which a server that is down is expected to be up
        ("loses_tasks", np.int64),  # number in FAILURE_TASKS
    ]
)
PRICE_FIELDS = ("kappa", "transmit_w", "energy_weight_s_per_j")
NONE = -1  # no site, no task, no transmission
PARENT, CHILD, OUTGOING = range(3)  # columns of ``Graphs.edges``


class Graphs(NamedTuple):
    """A graphs that jobs can have, with up to n tasks and E edges each, in the order of child, then parent."""

    # (A, n + 1, 2): the edges into task i are start[a, i, 0], ..., start[a, i + 1, 0] - 1; start[a, i, 1] is the same
    # for the edges that go out of it, counted in the column OUTGOING.
    start: NDArray[np.int64]
    # (A, E, 3): parent and child of edge e, and the number of the edge that comes at place e by parent, then child.
    edges: NDArray[np.int64]


class StreamBatch(NamedTuple):
    """The packed arrays of B streams of J jobs of up to n tasks and E edges, with m devices and S servers."""

    jobs: NDArray[np.void]  # (B, J) of the dtype JOB
    tasks: NDArray[np.float64]  # (B, J, n, 3), columns as in ``offload_gym.instances.TASK_FIELDS``
    edge_bits: NDArray[np.float64]  # (B, J, E), in the order of the job's graph
    devices: NDArray[np.void]  # (B, m) of the dtype DEVICE
    servers: NDArray[np.void]  # (B, S) of the dtype SERVER
    uplink_bps: NDArray[np.float64]  # (B, m, slots)
    downlink_bps: NDArray[np.float64]  # (B, m, slots)
    common: NDArray[np.void]  # (B,) of the dtype COMMON
    sites: NDArray[np.int64]  # (B, m, slots) of A, to which the devices are attached; (B, m, 1) where they stay
    # (B, m, slots, 2) where they are at the beginning of each slot, metres; (B, m, 1, 2) where nobody knows.
    positions: NDArray[np.float64]
    # (B, S, slots + 1) in how many of the slots before each one each server is down; (B, S, 1) where none ever is.
    down_slots: NDArray[np.int64]
    graph_start: NDArray[np.int64]  # see ``Graphs``; the same for all streams
    graph_edges: NDArray[np.int64]


SHARED = ("graph_start", "graph_edges")
ANYWHERE: Bound = np.isfinite, "finite"


class Streams:
    """B streams: J jobs arrive at m devices, which share S servers; K = S + 1 locations.

    Location 0 is the job's own device, k = 1..S are the servers, edge servers first. The arrays are checked once, here;
    afterwards they are read, not changed. What happens in a stream: ``docs/streams.md``.

    Args:
        arrival_s: (B, J) when each job arrives, finite, >= 0, not descending along a row. Of jobs that arrive at the
            same moment the one with the lower index comes first.
        device: (B, J) the device at which it arrives, integers from 0 to m - 1; 0 where not given.
        deadline_s: (B, J) seconds after its arrival until which it is not late, > 0; infinite where it has none, as
            have all jobs where this is not given.
        input_bits: (B, J, n) bits that a task without parents sends to a server, finite, >= 0.
        output_bits: (B, J, n) bits that a task without children returns from a server, finite, >= 0.
        workload_cycles: (B, J, n) CPU cycles, finite, >= 0.
        device_hz: (B, m) speed of each core of a device in cycles a second, finite, > 0.
        device_cores: (B, m) number of its cores, integers from 1 to 10,000; 1 where not given.
        cpu_hz: (B, S) speed of each core of a server, finite, > 0.
        cores: (B, S) number of its cores, integers from 1 to 10,000.
        wired_bps: (B, S) rate of the wired path behind the radio, > 0; infinite where a server is at the base station.
        propagation_s: (B, S) one-way propagation delay, finite, >= 0.
        rate_ratio: (B, S) radio rates to a server over those that the device has, finite, > 0; 1 where not given.
        uplink_bps: (B, m, slots) rate of each device's radio in each slot, bits a second, finite, >= 0; 0 is an outage.
            The last slot's holds for ever after.
        downlink_bps: (B, m, slots) rate of the way back, in the same slots.
        site: (B, m, slots) the site that each device is attached to, whole numbers from 0 to 9,999, or (B, m, 1) where
            it stays at one; 0 where not given. The devices that send at a site share its spectrum.
        position_m: (B, m, slots, 2) x and y of each device at the beginning of each slot, metres, finite; not known
            where not given. Nothing but futures and pictures depends on it.
        server_site: (B, S) the site at which a server stands, or -1; -1 where not given. A device at that site reaches
            it without a wired path, in ``home_propagation_s``, and at others over its wired path.
        home_propagation_s: (B, S) finite, >= 0; 0 where not given.
        server_up: (B, S, slots) whether each server is up in each slot, in the same slots; all are always up where not
            given. While it is down its cores do nothing. In the last slot, which holds for ever, all must be up.
        failure_tasks: "wait": what runs or waits at a server that fails goes on when it is up again; "lost": it is
            lost, and so is what becomes ready there while it is down. A job of which a task is lost never completes.
        repair_s: (B,) or one number: seconds after which policies expect a server that is down to be up again, finite,
            >= 0.
        slot_s: (B,) or one number: seconds of a slot, finite, > 0.
        edges: dependencies (parent, child) between the tasks of a job, the same for all jobs, as ``Instances`` takes
            them.
        edge_bits: (B, J, E) bits that each edge carries, finite, >= 0; needed where there are edges.
        task_counts: (B, J) how many of the n tasks each job has, from 1 to n; n where not given.
        kappa: (B,) effective switched capacitance of the devices' CPUs: a cycle takes ``kappa * device_hz**2`` joules;
            finite, >= 0. This and the next two are 0 where not given.
        transmit_w: (B,) power of a device's radio while it sends, watts, finite, >= 0.
        energy_weight_s_per_j: (B,) seconds of response that a joule is worth in the objective "cost", finite, >= 0.
        report_s: (B,) or one number: seconds from one report to the devices on how the servers stand and how many
            devices send to the next, finite, >= 0; 0: they always know. It changes what policies see, not what
            happens.

    Raises:
        ValueError: one sentence with the field, its index, the value and the bound.
    """

    # Parameters: the public fields, one each, which callers name; no kernel is called with them.
    def __init__(
        self,
        *,
        arrival_s: ArrayLike,
        input_bits: ArrayLike,
        output_bits: ArrayLike,
        workload_cycles: ArrayLike,
        device_hz: ArrayLike,
        cpu_hz: ArrayLike,
        cores: ArrayLike,
        wired_bps: ArrayLike,
        propagation_s: ArrayLike,
        uplink_bps: ArrayLike,
        downlink_bps: ArrayLike,
        slot_s: ArrayLike = 1.0,
        rate_ratio: ArrayLike | None = None,
        device: ArrayLike | None = None,
        device_cores: ArrayLike | None = None,
        deadline_s: ArrayLike | None = None,
        edges: Sequence[tuple[int, int]] = (),
        edge_bits: ArrayLike | None = None,
        task_counts: ArrayLike | None = None,
        kappa: ArrayLike | None = None,
        transmit_w: ArrayLike | None = None,
        energy_weight_s_per_j: ArrayLike | None = None,
        report_s: ArrayLike = 0.0,
        site: ArrayLike | None = None,
        server_site: ArrayLike | None = None,
        home_propagation_s: ArrayLike | None = None,
        position_m: ArrayLike | None = None,
        server_up: ArrayLike | None = None,
        repair_s: ArrayLike = 0.0,
        failure_tasks: str = "wait",
    ) -> None:
        tasks = _stacked(TASK_FIELDS, (input_bits, output_bits, workload_cycles), ("B", "J", "n"))
        size, num_jobs, n = tasks.shape[:3]
        of_devices = _field("device_hz", device_hz, (size, "m"), POSITIVE)
        num_devices = of_devices.shape[1]
        speeds = _field("cpu_hz", cpu_hz, (size, "S"), POSITIVE)
        per_job, per_server, per_device = (size, num_jobs), speeds.shape, of_devices.shape
        jobs = np.zeros(per_job, dtype=JOB)
        jobs["arrival_s"] = _field("arrival_s", arrival_s, per_job, NOT_NEGATIVE)
        later = np.diff(jobs["arrival_s"], axis=1, prepend=0.0) >= 0
        require("arrival_s", jobs["arrival_s"], later, "at least that of the job before it")
        jobs["device"] = _field("device", device, per_job, _index_below(num_devices), 0)
        jobs["deadline_s"] = _field("deadline_s", deadline_s, per_job, POSITIVE_OR_INFINITE, np.inf)
        counts = _field("task_counts", task_counts, per_job, _whole_up_to(n), n)
        jobs["num_tasks"] = counts
        start, parent, bits = checked_graph(edges, edge_bits, counts.astype(np.int64), n)
        devices = np.zeros(per_device, dtype=DEVICE)
        devices["hz"] = of_devices
        devices["cores"] = _field("device_cores", device_cores, per_device, CORE_COUNT, 1)
        servers = np.zeros(per_server, dtype=SERVER)
        servers["cpu_hz"] = speeds
        servers["cores"] = _field("cores", cores, per_server, CORE_COUNT)
        servers["wired_bps"] = _field("wired_bps", wired_bps, per_server, POSITIVE_OR_INFINITE)
        servers["propagation_s"] = _field("propagation_s", propagation_s, per_server, NOT_NEGATIVE)
        servers["rate_ratio"] = _field("rate_ratio", rate_ratio, per_server, POSITIVE, 1.0)
        uplink = _field("uplink_bps", uplink_bps, (*per_device, "slots"), NOT_NEGATIVE)
        downlink = _field("downlink_bps", downlink_bps, uplink.shape, NOT_NEGATIVE)
        if home_propagation_s is not None and server_site is None:
            raise ValueError(
                "home_propagation_s is given; without server_site it must be None, as no server is at a site"
            )
        sites = _checked_sites(site, uplink.shape)
        place = (*uplink.shape, 2) if position_m is not None else (*per_device, 1, 2)
        places = _field("position_m", position_m, place, ANYWHERE, 0.0)
        servers["site"] = _field("server_site", server_site, per_server, _index_from(NONE), NONE)
        servers["home_propagation_s"] = _field("home_propagation_s", home_propagation_s, per_server, NOT_NEGATIVE, 0.0)
        common = np.zeros(size, dtype=COMMON)
        common["slot_s"] = _of_each("slot_s", slot_s, size, POSITIVE)
        common["report_s"] = _of_each("report_s", report_s, size, NOT_NEGATIVE)
        common["repair_s"] = _of_each("repair_s", repair_s, size, NOT_NEGATIVE)
        check_failure_tasks(failure_tasks)
        common["loses_tasks"] = FAILURE_TASKS.index(failure_tasks)
        down_slots = _checked_failures(server_up, (*per_server, uplink.shape[2]))
        for name, value in zip(PRICE_FIELDS, (kappa, transmit_w, energy_weight_s_per_j), strict=True):
            common[name] = _field(name, value, (size,), NOT_NEGATIVE, 0.0)
        graphs = as_graphs([(start[0], parent[0])], n)
        edge_array = bits.reshape(size, num_jobs, bits.shape[1])
        rates = (uplink, downlink, common, sites, places, down_slots)
        self._store(StreamBatch(jobs, tasks, edge_array, devices, servers, *rates, *graphs))

    def _store(self, batch: StreamBatch) -> None:
        self.batch = batch
        self.arrays: tuple[Any, ...] = tuple(map(for_kernels, batch))  # what every kernel takes first
        self.num_jobs, self.num_tasks = batch.tasks.shape[1:3]
        self.num_devices, self.num_servers = batch.devices.shape[1], batch.servers.shape[1]

    @classmethod
    def from_batch(cls, batch: StreamBatch) -> Streams:
        """Streams over packed arrays that are known to be good, without a check or a copy."""
        streams = cls.__new__(cls)
        streams._store(batch)
        return streams

    @property
    def can_lose(self) -> bool:
        """Whether jobs can be lost, as servers fail and what they hold is lost then."""
        return self.batch.down_slots.shape[2] > 1 and bool(self.batch.common["loses_tasks"].any())

    @property
    def num_locations(self) -> int:
        """K, for a job's device and the servers."""
        return self.num_servers + 1

    @property
    def graphs(self) -> Graphs:
        """The graphs that jobs can have."""
        return Graphs(self.batch.graph_start, self.batch.graph_edges)

    @property
    def arrival_s(self) -> NDArray[np.float64]:
        """(B, J) when each job arrives."""
        return self.batch.jobs["arrival_s"]

    @property
    def deadline_s(self) -> NDArray[np.float64]:
        """(B, J) seconds after its arrival until which a job is not late; infinite where it has no deadline."""
        return self.batch.jobs["deadline_s"]

    @property
    def device(self) -> NDArray[np.int64]:
        """(B, J) the device at which each job arrives."""
        return self.batch.jobs["device"]

    @property
    def present(self) -> NDArray[np.bool_]:
        """(B, J, n) whether there is a task, not padding."""
        return np.arange(self.num_tasks) < self.batch.jobs["num_tasks"][:, :, None]

    def __len__(self) -> int:
        return len(self.batch.jobs)

    def __getitem__(self, rows: slice | NDArray) -> Streams:
        """The streams of a slice, an index array or a mask, as a batch."""
        if isinstance(rows, int | np.integer):
            raise TypeError(f"streams[{rows}] is not a batch; use streams[{rows}:{rows + 1}] for one stream")
        taken = {
            name: array if name in SHARED else np.ascontiguousarray(array[rows])
            for name, array in self.batch._asdict().items()
        }
        return Streams.from_batch(StreamBatch(**taken))

    def __reduce__(self) -> tuple[Any, ...]:
        return Streams.from_batch, (self.batch,)

    def __repr__(self) -> str:
        sizes = f"B={len(self)}, J={self.num_jobs}, n={self.num_tasks}, m={self.num_devices}, K={self.num_locations}"
        return f"Streams({sizes})"


def as_graphs(given: Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]], n: int) -> Graphs:
    """``Graphs`` of up to n tasks from pairs (start, parent) of each, as ``Instances`` packs edges."""
    pairs = list(given)
    most = max((int(start[-1]) for start, _ in pairs), default=0)
    starts = np.zeros((len(pairs), n + 1, 2), dtype=np.int64)
    edges = np.zeros((len(pairs), most, 3), dtype=np.int64)
    for a, (start, parent) in enumerate(pairs):
        count = int(start[-1])
        starts[a, : len(start), 0] = start
        starts[a, len(start) :, 0] = count
        child = np.repeat(np.arange(len(start) - 1), np.diff(start))
        order = np.lexsort((child, parent[:count]))
        edges[a, :count, PARENT], edges[a, :count, CHILD], edges[a, :count, OUTGOING] = parent[:count], child, order
        starts[a, :, 1] = np.searchsorted(parent[:count][order], np.arange(n + 1))
    return Graphs(starts, edges)


def check_streams(streams: Any) -> None:
    """ValueError where what is to be decided or computed is something else than ``Streams``."""
    if not isinstance(streams, Streams):
        raise ValueError(f"streams is {quoted(streams)}; it must be Streams, such as sample_streams draws")


def _checked_sites(site: ArrayLike | None, rates: tuple[int, ...]) -> NDArray[np.int64]:
    """The sites of devices (B, m, slots) or (B, m, 1); ``rates`` is the shape of the rates."""
    stays = (*rates[:2], 1)
    given = np.zeros(stays) if site is None else numbers("site", site)
    if given.shape not in (stays, rates):
        raise ValueError(f"site has the shape {given.shape}; it must be {rates} or {stays}")
    bound, wanted = _index_from(0)
    require("site", given, bound(given), wanted)
    return given.astype(np.int64)


def _checked_failures(server_up: ArrayLike | None, shape: tuple[int, int, int]) -> NDArray[np.int64]:
    """In how many of the slots before each one a server is down: (B, S, slots + 1), or (B, S, 1) where none ever is."""
    if server_up is None:
        return np.zeros((*shape[:2], 1), dtype=np.int64)
    up = _field("server_up", server_up, shape, (lambda array: (array == 0) | (array == 1), "True or False"))
    last = np.argwhere(up[:, :, -1] == 0)
    if len(last):
        b, k = last[0].tolist()
        raise ValueError(
            f"server_up[{b}, {k}, -1] is False; the last slot holds for ever, and must be True, as jobs would wait for "
            "ever"
        )
    return as_down_slots(up == 0)


def as_down_slots(down: NDArray[np.bool_]) -> NDArray[np.int64]:
    """``StreamBatch.down_slots`` of servers that are down (B, S, slots) in some slots."""
    return np.concatenate([np.zeros((*down.shape[:2], 1), dtype=np.int64), np.cumsum(down, axis=2)], axis=2)


def _index_from(lowest: int) -> Bound:
    return (
        lambda array: (array >= lowest) & (array < MAX_SITES) & (array == np.floor(array)),
        f"a whole number from {lowest} to {MAX_SITES - 1:,}",
    )


def _index_below(size: int) -> Bound:
    return (
        lambda array: (array >= 0) & (array < size) & (array == np.floor(array)),
        f"a whole number from 0 to {size - 1}, one of the devices",
    )


def _whole_up_to(most: int) -> Bound:
    return lambda array: whole(array) & (array <= most), f"a whole number from 1 to {most}"


def _field(
    name: str, given: ArrayLike | None, shape: tuple[int | str, ...], bound: Bound, default: float | None = None
) -> NDArray[np.float64]:
    """A field of a shape, in which a name stands for any size from 1 on, within its bound."""
    if given is None and default is not None:
        return np.full(shape, default)  # type: ignore[arg-type]
    array = numbers(name, given)  # type: ignore[arg-type]
    _check_shape(name, array, shape)
    require(name, array, bound[0](array), bound[1])
    return array.copy()


def _of_each(name: str, given: ArrayLike, size: int, bound: Bound) -> NDArray[np.float64]:
    """A field (B,), or one number for all."""
    array = numbers(name, given)
    return _field(name, np.full(size, array) if array.ndim == 0 else array, (size,), bound)


def _check_shape(name: str, array: NDArray, shape: tuple[int | str, ...]) -> None:
    fits = array.ndim == len(shape) and all(
        have >= 1 if isinstance(want, str) else have == want for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
        sizes = [want for want in shape if isinstance(want, str)]
        at_least = f" with {' and '.join(sizes)} at least 1" if sizes else ""
        raise ValueError(f"{name} has the shape {array.shape}; it must be {wanted}{at_least}")


def _stacked(names: Sequence[str], given: Sequence[ArrayLike], shape: tuple[int | str, ...]) -> NDArray[np.float64]:
    """Fields of one shape as columns, the first one's shape counting for all."""
    arrays: list[NDArray[np.float64]] = []
    for name, value in zip(names, given, strict=True):
        arrays.append(_field(name, value, arrays[0].shape if arrays else shape, NOT_NEGATIVE))
    return np.stack(arrays, axis=-1)
