"""Instances: the checked arrays that describe a batch of decision epochs."""

from __future__ import annotations

import warnings
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
    not_negative,
    numbers,
    require,
    whole,
)
from offload_gym.checks import quoted

# Columns of the packed arrays that the kernels read.
TASK_FIELDS = ("input_bits", "output_bits", "workload_cycles")
INPUT, OUTPUT, WORKLOAD = range(3)
LOCATION_FIELDS = ("cpu_hz", "cores", "uplink_bps", "downlink_bps", "wired_bps", "propagation_s")
CPU, CORES, UPLINK, DOWNLINK, WIRED, PROPAGATION = range(6)
POWER_FIELDS = ("kappa", "transmit_w", "idle_w", "energy_weight_s_per_j")
KAPPA, TRANSMIT, IDLE, ENERGY_WEIGHT = range(4)

INTEGER = np.dtype(np.int64)  # of decisions; made once, as np.empty then takes half the time


class Batch(NamedTuple):
    """The packed arrays of B instances of up to n tasks and E edges, with K locations.

    A kernel takes them as a plain tuple and names them in its first line, ``batch = Batch(*arrays)``: numba takes more
    than twice as long to look at a tuple with names as at a plain one.
    """

    tasks: NDArray[np.float64]  # (B, n, 3), columns as in TASK_FIELDS
    locations: NDArray[np.float64]  # (B, K, 6), columns as in LOCATION_FIELDS
    # (B, K, 1) where all cores of a location are alike, else (B, K, max_cores)
    core_backlog_s: NDArray[np.float64]
    radio_backlog_s: NDArray[np.float64]  # (B,)
    task_counts: NDArray[np.int64]  # (B,)
    # The edges into task i are edge_start[i], ..., edge_start[i + 1] - 1, by increasing parent. Instances with fewer
    # edges than others have padding at the end of edge_parent and edge_bits.
    edge_start: NDArray[np.int64]  # (B, n + 1)
    edge_parent: NDArray[np.int64]  # (B, E)
    edge_bits: NDArray[np.float64]  # (B, E)
    power: NDArray[np.float64]  # (B, 4), columns as in POWER_FIELDS


class _Writable:
    """The memory of an array, said to be writable."""

    def __init__(self, array: NDArray) -> None:
        self.array = array  # kept alive
        interface = array.__array_interface__
        self.__array_interface__ = interface | {"data": (interface["data"][0], False)}


def for_kernels(array: NDArray) -> NDArray:
    """An array that is only read, as kernels take it: without a copy, and of one type whatever it comes from.

    Arrays that other processes share (memory maps of joblib, objects of Ray) are read-only, and of those numba would
    compile every kernel anew.
    """
    if type(array) is np.ndarray and array.flags.writeable:
        return array
    return np.asarray(_Writable(array))


class Instances:
    """A batch of B decision epochs, each with n tasks and K = num_edges + 2 locations.

    Location 0 is the end device, 1..K-2 are the edge servers, K-1 is the cloud server. The arrays are checked once,
    here; afterwards they are read, not changed.

    Args:
        input_bits: (B, n) bits that a task sends to a remote location, finite, >= 0.
        output_bits: (B, n) bits of its result, finite, >= 0.
        workload_cycles: (B, n) CPU cycles, finite, >= 0.
        cpu_hz: (B, K) speed of each core in cycles a second, finite, > 0.
        cores: (B, K) number of equal cores, integers from 1 to ``MAX_CORES``; more cores than tasks change nothing.
        backlog_s: (B, K) seconds until the cores of a location are free, or (B, K, max cores) for each core; finite,
            >= 0. Entries beyond a location's cores are ignored.
        uplink_bps: (B, K) radio rate from the device, bits a second, finite, > 0. The entries of location 0 of this
            and the next three fields are ignored; by convention they are inf, inf, inf and 0.
        downlink_bps: (B, K) rate of the way back, finite, > 0.
        wired_bps: (B, K) rate of the wired path behind the radio, > 0; infinite where the server is at the base
            station.
        propagation_s: (B, K) one-way propagation delay, finite, >= 0.
        radio_backlog_s: (B,) seconds until the radio is free, finite, >= 0; 0 where not given.
        edges: dependencies (parent, child) between tasks, the same for all instances of the batch. Tasks are numbered
            in topological order: a parent comes before its children. Only a task without a parent sends its
            ``input_bits``, and only a task without a child returns its ``output_bits``; a warning names the first task
            where others are above 0, as they have no effect. ``Instances.concatenate`` joins batches of different
            applications.
        edge_bits: (B, E) bits that each edge carries, finite, >= 0; needed where there are edges.
        task_counts: (B,) how many of the n tasks each instance has, from 1 to n; n where not given. The tasks beyond
            are padding: their numbers and decisions must be in the bounds but have no effect, and their completion
            times are NaN.
        kappa: (B,) effective switched capacitance of the device's CPU: a cycle takes ``kappa * cpu_hz**2`` joules;
            finite, >= 0. This and the next three are 0 where not given.
        transmit_w: (B,) power of the radio while it sends, watts, finite, >= 0.
        idle_w: (B,) power of the device until the last task is complete, whatever it does, watts, finite, >= 0.
        energy_weight_s_per_j: (B,) seconds of latency that a joule is worth in the objective "cost", finite, >= 0.
            These four are the columns of ``power`` (B, 4).

    Raises:
        ValueError: one sentence with the field, the value and the bound.
    """

    # Parameters: the public fields, one each, which callers name; no kernel is called with them.
    def __init__(
        self,
        *,
        input_bits: ArrayLike,
        output_bits: ArrayLike,
        workload_cycles: ArrayLike,
        cpu_hz: ArrayLike,
        cores: ArrayLike,
        backlog_s: ArrayLike,
        uplink_bps: ArrayLike,
        downlink_bps: ArrayLike,
        wired_bps: ArrayLike,
        propagation_s: ArrayLike,
        radio_backlog_s: ArrayLike | None = None,
        edges: Sequence[tuple[int, int]] = (),
        edge_bits: ArrayLike | None = None,
        task_counts: ArrayLike | None = None,
        kappa: ArrayLike | None = None,
        transmit_w: ArrayLike | None = None,
        idle_w: ArrayLike | None = None,
        energy_weight_s_per_j: ArrayLike | None = None,
    ) -> None:
        given = {
            "input_bits": input_bits,
            "output_bits": output_bits,
            "workload_cycles": workload_cycles,
            "cpu_hz": cpu_hz,
            "cores": cores,
            "uplink_bps": uplink_bps,
            "downlink_bps": downlink_bps,
            "wired_bps": wired_bps,
            "propagation_s": propagation_s,
        }
        arrays = {name: numbers(name, value) for name, value in given.items()}
        per_task, per_location = arrays["input_bits"].shape, arrays["cpu_hz"].shape
        if len(per_task) != 2 or 0 in per_task:
            raise ValueError(f"input_bits has the shape {per_task}; it must be (B, n) with B and n at least 1")
        if len(per_location) != 2 or per_location[0] != per_task[0] or per_location[1] < 2:
            raise ValueError(f"cpu_hz has the shape {per_location}; it must be ({per_task[0]}, K) with K at least 2")
        for name, array in arrays.items():
            shape = per_task if name in TASK_FIELDS else per_location
            if array.shape != shape:
                raise ValueError(f"{name} has the shape {array.shape}; it must be {shape} as the other fields have it")
            _check_bounds(name, array)
        tasks = np.stack([arrays[name] for name in TASK_FIELDS], axis=-1)
        locations = np.stack([arrays[name] for name in LOCATION_FIELDS], axis=-1)

        backlog = numbers("backlog_s", backlog_s)
        counts = locations[:, :, CORES]
        per_core = (*per_location, int(counts.max()))
        if backlog.shape not in (per_location, per_core):
            raise ValueError(f"backlog_s has the shape {backlog.shape}; it must be {per_location} or {per_core}")
        beyond = backlog.ndim == 3 and np.arange(per_core[-1]) >= counts[:, :, None]
        require("backlog_s", backlog, not_negative(backlog) | beyond, "finite and at least 0")
        radio = np.zeros(per_task[0]) if radio_backlog_s is None else numbers("radio_backlog_s", radio_backlog_s)
        if radio.shape != per_task[:1]:
            raise ValueError(f"radio_backlog_s has the shape {radio.shape}; it must be {per_task[:1]}")
        require("radio_backlog_s", radio, not_negative(radio), "finite and at least 0")
        number = _checked_counts(task_counts, per_task)
        graph = checked_graph(edges, edge_bits, number, per_task[1])
        power = np.zeros((per_task[0], len(POWER_FIELDS)))
        for column, values in enumerate((kappa, transmit_w, idle_w, energy_weight_s_per_j)):
            if values is not None:
                array = numbers(POWER_FIELDS[column], values)
                if array.shape != per_task[:1]:
                    raise ValueError(f"{POWER_FIELDS[column]} has the shape {array.shape}; it must be {per_task[:1]}")
                require(POWER_FIELDS[column], array, not_negative(array), "finite and at least 0")
                power[:, column] = array
        backlog = backlog.reshape(*per_location, -1).copy()
        self._store(Batch(tasks, locations, backlog, radio.copy(), number, *graph, power))
        _warn_of_unused_sizes(self)

    def _store(self, batch: Batch) -> None:
        self.batch = batch
        self.arrays: tuple[Any, ...] = tuple(map(for_kernels, batch))  # what every kernel takes first
        self.num_tasks = batch.tasks.shape[1]
        self.num_locations = batch.locations.shape[1]
        self.tasks, self.locations = batch.tasks, batch.locations
        self.core_backlog_s, self.radio_backlog_s = batch.core_backlog_s, batch.radio_backlog_s
        self.task_counts, self.power = batch.task_counts, batch.power
        self.edge_start, self.edge_parent, self.edge_bits = batch.edge_start, batch.edge_parent, batch.edge_bits

    @classmethod
    def from_batch(cls, batch: Batch) -> Instances:
        """Instances over packed arrays that are known to be good, without a check or a copy."""
        instances = cls.__new__(cls)
        instances._store(batch)
        return instances

    @property
    def max_cores(self) -> int:
        """The most cores of a location."""
        return int(self.locations[:, :, CORES].max(initial=1))

    def replace(self, **fields: ArrayLike) -> Instances:
        """The same instances with other values in some fields, checked as the constructor checks them.

        Args:
            **fields: arguments of the constructor, but for ``edges``: the dependencies stay, and ``edge_bits`` (B, E)
                are in the order of ``Instances.edges``. Another number of tasks needs the three task fields and
                ``task_counts`` of instances without dependencies; other ``cores`` need ``backlog_s`` where each core
                has one of its own.

        Raises:
            ValueError: a field is unknown or missing, or a value has another shape or is out of its bounds.
        """
        known = (*TASK_FIELDS, *LOCATION_FIELDS, "backlog_s", "radio_backlog_s", "task_counts", *POWER_FIELDS)
        for name in fields:
            if name not in (*known, "edge_bits"):
                listed = ", ".join((*known, "edge_bits"))
                raise ValueError(f"instances have no field {quoted(name)} to replace; the fields are {listed}")
        n = {np.shape(fields[name])[-1:] for name in TASK_FIELDS if name in fields} - {(self.num_tasks,), ()}
        if n and "task_counts" not in fields:
            count = n.pop()[0]
            raise ValueError(f"task_counts is not given; it must be, as there are {count} tasks, not {self.num_tasks}")
        if "cores" in fields and "backlog_s" not in fields and self.core_backlog_s.shape[2] > 1:
            raise ValueError("backlog_s is not given; it must be where cores change that have backlogs of their own")
        bits = fields.pop("edge_bits", self.edge_bits)
        kept = {name: getattr(self, name) for name in known} | fields
        changed = Instances(**kept)
        if self.edge_parent.shape[1] == 0 and np.shape(bits) == self.edge_bits.shape:
            return changed
        made = changed.with_packed_edges(self.edge_start, self.edge_parent, bits, warn=False)
        if fields.keys() & set(TASK_FIELDS):
            _warn_of_unused_sizes(made)
        return made

    @classmethod
    def concatenate(cls, batches: Iterable[Instances]) -> Instances:
        """One batch of all instances of several batches, whose tasks and edges may differ in number.

        Raises:
            ValueError: there is no batch, or the batches differ in their number of locations.
        """
        batches = list(batches)
        if not batches:
            raise ValueError("batches is empty; there must be at least one")
        numbers = [batch.num_locations for batch in batches]
        if len(set(numbers)) > 1:
            raise ValueError(f"the batches have {numbers} locations; they must have the same number")
        max_cores = max(batch.max_cores for batch in batches)
        joined = []
        for name, arrays in zip(Batch._fields, zip(*(i.batch for i in batches), strict=True), strict=True):
            if name in _VARYING:
                axis, repeats = _VARYING[name]
                width = max(array.shape[axis] for array in arrays)
                if axis == 2 and width > 1:  # backlogs for each core: for all cores of the joined batch
                    width = max_cores
                arrays = tuple(_widened(array, axis, width, repeats) for array in arrays)
            joined.append(np.concatenate(arrays))
        return cls.from_batch(Batch(*joined))

    def with_packed_edges(
        self, edge_start: ArrayLike, edge_parent: ArrayLike, edge_bits: ArrayLike, *, warn: bool = True
    ) -> Instances:
        """The same tasks and locations with dependencies that may differ from instance to instance.

        Args:
            edge_start: (B, n + 1) integers: the edges into task i of instance b are edge_start[b, i], ...,
                edge_start[b, i + 1] - 1.
            edge_parent: (B, E) integers: the parent of each edge, increasing for each child and below it; E is the
                largest number of edges, and entries beyond an instance's edges are ignored.
            edge_bits: (B, E) bits that each edge carries, finite, >= 0.
            warn: whether sizes that then have no effect give the constructor's warning; not where it was given before.

        Raises:
            ValueError: one sentence with the field, the value and the bound.
        """
        size, n = self.tasks.shape[:2]
        given = {"edge_start": edge_start, "edge_parent": edge_parent, "edge_bits": edge_bits}
        start, parent, bits = (numbers(name, values) for name, values in given.items())
        if start.shape != (size, n + 1) or parent.ndim != 2 or len(parent) != size or bits.shape != parent.shape:
            raise ValueError(
                f"edge_start, edge_parent and edge_bits have the shapes {start.shape}, {parent.shape} and "
                f"{bits.shape}; they must be {(size, n + 1)}, {(size, 'E')} and {(size, 'E')}"
            )
        width = parent.shape[1]
        good = (start >= 0) & (start <= width) & (start == np.floor(start))
        good[:, 0] &= start[:, 0] == 0
        good[:, 1:] &= start[:, 1:] >= start[:, :-1]
        # A task beyond an instance's last one has no edges.
        last = np.take_along_axis(start, self.task_counts[:, None], axis=1)
        good &= (start <= last) | (np.arange(n + 1) <= self.task_counts[:, None])
        require("edge_start", start, good, f"a whole number from 0 to {width}, from 0 on not falling along a row")
        used = np.arange(width) < last
        child = (np.arange(width)[None, :, None] >= start[:, None, 1:]).sum(axis=2)
        good = (parent == np.floor(parent)) & (parent >= 0) & (parent < child)
        repeats = (child[:, 1:] == child[:, :-1]) & (parent[:, 1:] <= parent[:, :-1])
        good[:, 1:] &= ~repeats
        require("edge_parent", parent, good | ~used, "a task before its child, increasing for each child")
        require("edge_bits", bits, not_negative(bits) | ~used, "finite and at least 0")
        packed = self.batch._replace(
            edge_start=start.astype(np.int64),
            edge_parent=np.where(used, parent, 0).astype(np.int64),
            edge_bits=np.where(used, bits, 0.0),
        )
        made = Instances.from_batch(packed)
        if warn:
            _warn_of_unused_sizes(made)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Instances.from_batch, (self.batch,)  # each array once

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, rows: slice | NDArray) -> Instances:
        """The instances of a slice, an index array or a mask, as a batch."""
        if isinstance(rows, int | np.integer):
            raise TypeError(f"instances[{rows}] is not a batch; use instances[{rows}:{rows + 1}] for one instance")
        batch = Batch(*(np.ascontiguousarray(array[rows]) for array in self.arrays))
        if len(batch.locations) and batch.core_backlog_s.shape[2] > 1:  # fewer cores may be left
            most = int(batch.locations[:, :, CORES].max())
            batch = batch._replace(core_backlog_s=np.ascontiguousarray(batch.core_backlog_s[:, :, :most]))
        return Instances.from_batch(batch)

    def __repr__(self) -> str:
        most = int(self.edge_start[:, -1].max(initial=0))
        edges = f", edges={most}" if most else ""
        return f"Instances(B={len(self)}, n={self.num_tasks}, K={self.num_locations}{edges})"

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Dependencies (parent, child), by child and then by parent, the order of ``edge_bits``.

        Raises:
            ValueError: the instances of the batch differ in their dependencies; ask ``edges_of`` for those of one.
        """
        if (self.edge_start != self.edge_start[:1]).any() or (self.edge_parent != self.edge_parent[:1]).any():
            raise ValueError("the instances of this batch differ in their edges; edges_of(b) has those of one instance")
        return self.edges_of(0)

    def edges_of(self, b: int) -> tuple[tuple[int, int], ...]:
        """Dependencies (parent, child) of instance ``b`` by child, then by parent: the order of ``edge_bits[b]``."""
        children = np.repeat(np.arange(self.num_tasks), np.diff(self.edge_start[b]))
        return tuple((int(p), int(c)) for p, c in zip(self.edge_parent[b, : len(children)], children, strict=True))

    @property
    def present(self) -> NDArray[np.bool_]:
        """(B, n) whether there is a task, not padding."""
        return np.arange(self.num_tasks) < self.task_counts[:, None]

    @property
    def input_bits(self) -> NDArray[np.float64]:
        """(B, n) bits that a task sends to a remote location."""
        return self.tasks[:, :, INPUT]

    @property
    def output_bits(self) -> NDArray[np.float64]:
        """(B, n) bits of the result."""
        return self.tasks[:, :, OUTPUT]

    @property
    def workload_cycles(self) -> NDArray[np.float64]:
        """(B, n) CPU cycles."""
        return self.tasks[:, :, WORKLOAD]

    @property
    def cpu_hz(self) -> NDArray[np.float64]:
        """(B, K) speed of each core, cycles a second."""
        return self.locations[:, :, CPU]

    @property
    def cores(self) -> NDArray[np.int64]:
        """(B, K) number of cores."""
        return self.locations[:, :, CORES].astype(np.int64)

    @property
    def backlog_s(self) -> NDArray[np.float64]:
        """(B, K), or (B, K, max_cores) where the cores of a location are free at different times."""
        return self.core_backlog_s[:, :, 0] if self.core_backlog_s.shape[2] == 1 else self.core_backlog_s

    @property
    def uplink_bps(self) -> NDArray[np.float64]:
        """(B, K) radio rate from the device, bits a second."""
        return self.locations[:, :, UPLINK]

    @property
    def downlink_bps(self) -> NDArray[np.float64]:
        """(B, K) radio rate to the device, bits a second."""
        return self.locations[:, :, DOWNLINK]

    @property
    def wired_bps(self) -> NDArray[np.float64]:
        """(B, K) rate of the wired path, bits a second."""
        return self.locations[:, :, WIRED]

    @property
    def propagation_s(self) -> NDArray[np.float64]:
        """(B, K) one-way propagation delay."""
        return self.locations[:, :, PROPAGATION]

    @property
    def kappa(self) -> NDArray[np.float64]:
        """(B,) effective switched capacitance of the device's CPU."""
        return self.power[:, KAPPA]

    @property
    def transmit_w(self) -> NDArray[np.float64]:
        """(B,) power of the radio while it sends, watts."""
        return self.power[:, TRANSMIT]

    @property
    def idle_w(self) -> NDArray[np.float64]:
        """(B,) power of the device until the last task is complete, watts."""
        return self.power[:, IDLE]

    @property
    def energy_weight_s_per_j(self) -> NDArray[np.float64]:
        """(B,) seconds of latency that a joule is worth in the objective "cost"."""
        return self.power[:, ENERGY_WEIGHT]


# Along which axis the arrays of different batches may differ in size, and whether padding repeats the last entry.
_VARYING = {
    "tasks": (1, False),
    "core_backlog_s": (2, True),
    "edge_start": (1, True),
    "edge_parent": (1, False),
    "edge_bits": (1, False),
}


def _widened(array: NDArray, axis: int, width: int, repeats: bool) -> NDArray:
    """``array`` with zeros, or with its last entry repeated, at the end of ``axis`` to make it ``width`` wide.

    The last entry is the number of edges in ``edge_start``, and the backlog that all cores share.
    """
    if array.shape[axis] == width:
        return array
    missing = [(0, 0)] * array.ndim
    missing[axis] = (0, width - array.shape[axis])
    return np.pad(array, missing, mode="edge" if repeats else "constant")


def _checked_counts(task_counts: ArrayLike | None, per_task: tuple[int, ...]) -> NDArray[np.int64]:
    size, n = per_task
    if task_counts is None:
        return np.full(size, n, dtype=np.int64)
    counts = numbers("task_counts", task_counts)
    if counts.shape != (size,):
        raise ValueError(f"task_counts has the shape {counts.shape}; it must be {(size,)}")
    require("task_counts", counts, whole(counts) & (counts <= n), f"a whole number from 1 to {n}")
    return counts.astype(np.int64)


def checked_graph(
    edges: Sequence[tuple[int, int]], edge_bits: ArrayLike | None, counts: NDArray[np.int64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """(edge_start, edge_parent, edge_bits) of checked edges, sorted by child and then by parent.

    ``counts`` says how many of the n tasks each instance has; it may have several axes, as ``edge_bits`` has then.
    """
    num_instances = counts.size
    try:
        pairs = [tuple(edge) for edge in edges]
    except TypeError:
        raise ValueError(f"edges is {quoted(edges)}; it must hold pairs (parent, child) of task numbers") from None
    fewest = int(counts.min())
    for edge in pairs:
        if len(edge) != 2 or not all(isinstance(task, int | np.integer) and 0 <= task < fewest for task in edge):
            raise ValueError(
                f"edges has {quoted(edge)}; an edge is (parent, child), each a task from 0 to {fewest - 1}"
            )
        if edge[0] == edge[1]:
            raise ValueError(f"edges has {edge}; a task must not depend on itself")
        if edge[0] > edge[1]:
            raise ValueError(f"edges has {edge}; a parent must come before its child, so that there is no cycle")
    if len(set(pairs)) < len(pairs):
        twice = next(edge for edge in pairs if pairs.count(edge) > 1)
        raise ValueError(f"edges has {twice} more than once; an edge may stand there once")
    shape = (*counts.shape, len(pairs))
    if edge_bits is None and pairs:
        raise ValueError(f"edge_bits is not given; it must be {shape}, one number an edge")
    bits = np.zeros(shape) if edge_bits is None else numbers("edge_bits", edge_bits)
    if bits.shape != shape:
        raise ValueError(f"edge_bits has the shape {bits.shape}; it must be {shape}, one number an edge")
    require("edge_bits", bits, not_negative(bits), "finite and at least 0")
    order = sorted(range(len(pairs)), key=lambda e: (pairs[e][1], pairs[e][0]))
    children = np.array([pairs[e][1] for e in order], dtype=np.int64)
    parents = np.array([pairs[e][0] for e in order], dtype=np.int64)
    start = np.searchsorted(children, np.arange(n + 1))
    shared = (np.tile(array, (num_instances, 1)) for array in (start, parents))
    return *shared, np.ascontiguousarray(bits.reshape(num_instances, len(pairs))[:, order])  # type: ignore[return-value]


def check_instances(instances: Any) -> None:
    """ValueError where what is to be decided or evaluated is something else than ``Instances``."""
    if not isinstance(instances, Instances):
        raise ValueError(f"instances is {quoted(instances)}; it must be Instances, such as sample_instances draws")


def _warn_of_unused_sizes(instances: Instances) -> None:
    """Warn where a task with parents has an input, or one with children an output: nothing sends or returns it."""
    start, parent = instances.edge_start, instances.edge_parent
    if not start[:, -1].any():
        return
    row, edge = np.nonzero(np.arange(parent.shape[1]) < start[:, -1:])
    has_children = np.zeros(instances.tasks.shape[:2], dtype=np.bool_)
    has_children[row, parent[row, edge]] = True
    for name, unused, relatives, edge_to, would in (
        ("input_bits", start[:, 1:] > start[:, :-1], "parents", "to", "send"),
        ("output_bits", has_children, "children", "from", "return"),
    ):
        bits = getattr(instances, name)
        found = np.argwhere(unused & (bits > 0))
        if len(found):
            b, i = found[0].tolist()
            warnings.warn(
                f"{name}[{b}, {i}] is {bits[b, i]} and has no effect, as task {i} has {relatives}; a task without "
                f"{relatives} and work, with an edge of as many bits {edge_to} task {i}, would {would} them",
                stacklevel=3,
            )
            return


# What each field may hold, and from which location on: location 0 has no path, and what stands there is ignored.
_BOUNDS: dict[str, tuple[Bound, int]] = {
    "input_bits": (NOT_NEGATIVE, 0),
    "output_bits": (NOT_NEGATIVE, 0),
    "workload_cycles": (NOT_NEGATIVE, 0),
    "cpu_hz": (POSITIVE, 0),
    "cores": (CORE_COUNT, 0),
    "uplink_bps": (POSITIVE, 1),
    "downlink_bps": (POSITIVE, 1),
    "wired_bps": (POSITIVE_OR_INFINITE, 1),
    "propagation_s": (NOT_NEGATIVE, 1),
}


def _check_bounds(name: str, array: NDArray) -> None:
    (within, bound), first_column = _BOUNDS[name]
    good = within(array)
    good[:, :first_column] = True
    require(name, array, good, bound)
