"""Instances: the checked arrays that describe a batch of decision epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Columns of the packed arrays that the kernels read.
TASK_FIELDS = ("input_bits", "output_bits", "workload_cycles")
INPUT, OUTPUT, WORKLOAD = range(3)
LOCATION_FIELDS = ("cpu_hz", "cores", "uplink_bps", "downlink_bps", "wired_bps", "propagation_s")
CPU, CORES, UPLINK, DOWNLINK, WIRED, PROPAGATION = range(6)


class Instances:
    """A batch of B decision epochs, each with n tasks and K = num_edges + 2 locations.

    Location 0 is the end device, 1..K-2 are the edge servers, K-1 is the cloud server. The arrays are checked once,
    here; afterwards they are read, not changed.

    Args:
        input_bits: (B, n) bits that a task sends to a remote location, finite, >= 0.
        output_bits: (B, n) bits of its result, finite, >= 0.
        workload_cycles: (B, n) CPU cycles, finite, >= 0.
        cpu_hz: (B, K) speed of each core in cycles a second, finite, > 0.
        cores: (B, K) number of equal cores, integers >= 1.
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
            ``input_bits``, and only a task without a child returns its ``output_bits``.
        edge_bits: (B, E) bits that each edge carries, finite, >= 0; needed where there are edges.

    Raises:
        ValueError: one sentence with the field, the value and the bound.
    """

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
        arrays = {name: _numbers(name, value) for name, value in given.items()}
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

        backlog = _numbers("backlog_s", backlog_s)
        counts = locations[:, :, CORES]
        per_core = (*per_location, int(counts.max()))
        if backlog.shape not in (per_location, per_core):
            raise ValueError(f"backlog_s has the shape {backlog.shape}; it must be {per_location} or {per_core}")
        beyond = backlog.ndim == 3 and np.arange(per_core[-1]) >= counts[:, :, None]
        _require("backlog_s", backlog, _not_negative(backlog) | beyond, "finite and at least 0")
        radio = np.zeros(per_task[0]) if radio_backlog_s is None else _numbers("radio_backlog_s", radio_backlog_s)
        if radio.shape != per_task[:1]:
            raise ValueError(f"radio_backlog_s has the shape {radio.shape}; it must be {per_task[:1]}")
        _require("radio_backlog_s", radio, _not_negative(radio), "finite and at least 0")
        core_backlog_s = backlog.reshape(*per_location, -1).copy()
        self._store(tasks, locations, core_backlog_s, radio.copy(), *_checked_graph(edges, edge_bits, per_task))

    def _store(
        self,
        tasks: NDArray[np.float64],
        locations: NDArray[np.float64],
        core_backlog_s: NDArray[np.float64],
        radio_backlog_s: NDArray[np.float64],
        edge_start: NDArray[np.int64] | None = None,
        edge_parent: NDArray[np.int64] | None = None,
        edge_bits: NDArray[np.float64] | None = None,
    ) -> None:
        self.tasks = tasks  # (B, n, 3), columns as in TASK_FIELDS
        self.locations = locations  # (B, K, 6), columns as in LOCATION_FIELDS
        self.core_backlog_s = (
            core_backlog_s  # (B, K, 1) where all cores of a location are alike, else (B, K, max_cores)
        )
        self.radio_backlog_s = radio_backlog_s  # (B,)
        # The edges into task i are edge_start[i], ..., edge_start[i + 1] - 1, by increasing parent.
        self.edge_start = np.zeros(tasks.shape[1] + 1, dtype=np.int64) if edge_start is None else edge_start  # (n + 1,)
        self.edge_parent = np.zeros(0, dtype=np.int64) if edge_parent is None else edge_parent  # (E,)
        self.edge_bits = np.zeros((len(tasks), 0)) if edge_bits is None else edge_bits  # (B, E)
        # What every kernel takes first.
        self.arrays = (
            tasks, locations, core_backlog_s, radio_backlog_s, self.edge_start, self.edge_parent, self.edge_bits,
        )  # fmt: skip
        self.max_cores = int(locations[:, :, CORES].max(initial=1))
        self.num_tasks = tasks.shape[1]
        self.num_locations = locations.shape[1]

    @classmethod
    def from_arrays(
        cls,
        tasks: NDArray[np.float64],
        locations: NDArray[np.float64],
        core_backlog_s: NDArray[np.float64],
        radio_backlog_s: NDArray[np.float64],
        edge_start: NDArray[np.int64] | None = None,
        edge_parent: NDArray[np.int64] | None = None,
        edge_bits: NDArray[np.float64] | None = None,
    ) -> Instances:
        """Instances over packed arrays that are known to be good, without a check or a copy."""
        instances = cls.__new__(cls)
        instances._store(tasks, locations, core_backlog_s, radio_backlog_s, edge_start, edge_parent, edge_bits)
        return instances

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, rows: slice | NDArray) -> Instances:
        """The instances of a slice, an index array or a mask, as a batch."""
        if isinstance(rows, int | np.integer):
            raise TypeError(f"instances[{rows}] is not a batch; use instances[{rows}:{rows + 1}] for one instance")
        core_backlog_s = self.core_backlog_s[rows]
        locations = self.locations[rows]
        if len(locations) and core_backlog_s.shape[2] > 1:  # fewer cores may be left
            core_backlog_s = core_backlog_s[:, :, : int(locations[:, :, CORES].max())]
        return Instances.from_arrays(
            np.ascontiguousarray(self.tasks[rows]),
            np.ascontiguousarray(locations),
            np.ascontiguousarray(core_backlog_s),
            np.ascontiguousarray(self.radio_backlog_s[rows]),
            self.edge_start,
            self.edge_parent,
            np.ascontiguousarray(self.edge_bits[rows]),
        )

    def __repr__(self) -> str:
        edges = f", edges={len(self.edge_parent)}" if len(self.edge_parent) else ""
        return f"Instances(B={len(self)}, n={self.num_tasks}, K={self.num_locations}{edges})"

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Dependencies (parent, child), by child and then by parent: the order of ``edge_bits``."""
        children = np.repeat(np.arange(self.num_tasks), np.diff(self.edge_start))
        return tuple((int(parent), int(child)) for parent, child in zip(self.edge_parent, children, strict=True))

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


def _checked_graph(
    edges: Sequence[tuple[int, int]], edge_bits: ArrayLike | None, per_task: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """(edge_start, edge_parent, edge_bits) of checked edges, sorted by child and then by parent."""
    num_instances, n = per_task
    pairs = [tuple(edge) for edge in edges]
    for edge in pairs:
        if len(edge) != 2 or not all(isinstance(task, int | np.integer) and 0 <= task < n for task in edge):
            raise ValueError(f"edges has {edge}; an edge is (parent, child), each a task from 0 to {n - 1}")
        if edge[0] >= edge[1]:
            raise ValueError(f"edges has {edge}; a parent must come before its child, so that there is no cycle")
    if len(set(pairs)) < len(pairs):
        twice = next(edge for edge in pairs if pairs.count(edge) > 1)
        raise ValueError(f"edges has {twice} more than once; an edge may stand there once")
    shape = (num_instances, len(pairs))
    if edge_bits is None and pairs:
        raise ValueError(f"edge_bits is not given; it must be {shape}, one number an edge")
    bits = np.zeros(shape) if edge_bits is None else _numbers("edge_bits", edge_bits)
    if bits.shape != shape:
        raise ValueError(f"edge_bits has the shape {bits.shape}; it must be {shape}, one number an edge")
    _require("edge_bits", bits, _not_negative(bits), "finite and at least 0")
    order = sorted(range(len(pairs)), key=lambda e: (pairs[e][1], pairs[e][0]))
    children = np.array([pairs[e][1] for e in order], dtype=np.int64)
    parents = np.array([pairs[e][0] for e in order], dtype=np.int64)
    return np.searchsorted(children, np.arange(n + 1)), parents, np.ascontiguousarray(bits[:, order])


def check_count(name: str, value: Any) -> None:
    """ValueError where ``value`` is not a whole number, at least 1."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} is {value!r}; it must be a whole number, at least 1")


def _numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        if np.iscomplexobj(values):
            raise ValueError("it holds complex numbers")
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers, but {error}") from None


def _not_negative(array: NDArray) -> NDArray:
    return np.isfinite(array) & (array >= 0)


def _positive(array: NDArray) -> NDArray:
    return np.isfinite(array) & (array > 0)


def _positive_or_infinite(array: NDArray) -> NDArray:
    return array > 0


def _count(array: NDArray) -> NDArray:
    return np.isfinite(array) & (array == np.floor(array)) & (array >= 1)


# What each field may hold, and from which location on: location 0 has no path, and what stands there is ignored.
_BOUNDS: dict[str, tuple[Callable[[NDArray], NDArray], str, int]] = {
    "input_bits": (_not_negative, "finite and at least 0", 0),
    "output_bits": (_not_negative, "finite and at least 0", 0),
    "workload_cycles": (_not_negative, "finite and at least 0", 0),
    "cpu_hz": (_positive, "finite and above 0", 0),
    "cores": (_count, "a whole number, at least 1", 0),
    "uplink_bps": (_positive, "finite and above 0", 1),
    "downlink_bps": (_positive, "finite and above 0", 1),
    "wired_bps": (_positive_or_infinite, "above 0 (infinite is allowed)", 1),
    "propagation_s": (_not_negative, "finite and at least 0", 1),
}


def _check_bounds(name: str, array: NDArray) -> None:
    within, bound, first_column = _BOUNDS[name]
    good = within(array)
    good[:, :first_column] = True
    _require(name, array, good, bound)


def _require(name: str, array: NDArray, good: NDArray, bound: str) -> None:
    if not good.all():
        index = tuple(int(j) for j in np.argwhere(~good)[0])
        raise ValueError(f"{name}{list(index)} is {float(array[index])}; it must be {bound}")
