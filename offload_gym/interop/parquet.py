"""Demonstrations as a Parquet table, one row an instance.

An instance is what is sampled, labelled, filtered and split, so it is a row; what it has of tasks or locations is a
list in one column. A row a task would repeat the locations n times or need a second file, and ``explode`` of pandas or
polars makes it of this one. docs/datasets.md lists the columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import NDArray

import offload_gym
from offload_gym.checks import as_path, checked_count, quoted, shortened
from offload_gym.delay import check_decisions, objective_code
from offload_gym.demonstrations import Demonstrations
from offload_gym.files import replacing
from offload_gym.instances import LOCATION_FIELDS, POWER_FIELDS, TASK_FIELDS, Instances
from offload_gym.scenario import Scenario, as_scenario
from offload_gym.seeds import as_seed_sequence

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "offload_gym.interop.parquet needs pyarrow; install the extra: pip install 'offload-gym[parquet]'"
    ) from error

FORMAT = "offload_gym.demonstrations.parquet/1"
MOST_PADDING = 1000  # entries of the arrays for each that a table has
KEY = b"offload_gym"  # of the schema's metadata
GROUP = 100_000  # instances in a row group, which readers hold in memory at a time
STATE_FIELDS = (*LOCATION_FIELDS, "backlog_s")  # of locations; estimates have their own, with SEEN before the name
SEEN = "seen_"
EDGE_FIELDS = ("edge_parent", "edge_child", "edge_bits")


def save_parquet(
    path: str | Path,
    demonstrations: Demonstrations,
    *,
    scenario: str | Mapping[str, Any] | Scenario | None = None,
    seed: int | SeedSequence | None = None,
) -> None:
    """Write demonstrations to a Parquet file; an existing file is replaced only once the new one is complete.

    Padding is left out: the lists of an instance are as long as it has tasks.

    Args:
        path: of the file.
        demonstrations: what to write.
        scenario: what the instances were drawn from, for the file's metadata.
        seed: what they were drawn with, for the file's metadata.

    Raises:
        ValueError: there are no instances, or the scenario or the seed is none.
    """
    if not isinstance(demonstrations, Demonstrations):
        raise ValueError(f"demonstrations is {quoted(demonstrations)}; it must be Demonstrations, after the path")
    base = None if seed is None else as_seed_sequence(seed)
    instances = demonstrations.instances
    if len(instances) == 0:
        raise ValueError("demonstrations has 0 instances; a table must have at least 1")
    metadata = {
        "format": FORMAT,
        "version": offload_gym.__version__,
        "objective": demonstrations.objective,
        "num_tasks": instances.num_tasks,
        "num_locations": instances.num_locations,
        "max_edges": instances.edge_parent.shape[1],
        "scenario": None if scenario is None else as_scenario(scenario).to_dict(),
        "seed": None if base is None else {"entropy": base.entropy, "spawn_key": base.spawn_key},
    }
    tables = (
        pa.table(_columns(demonstrations, slice(start, start + GROUP)), metadata={KEY: json.dumps(metadata)})
        for start in range(0, len(instances), GROUP)
    )
    first = next(tables)
    with replacing(path) as temporary, pq.ParquetWriter(temporary, first.schema, write_page_checksum=True) as writer:
        for table in chain((first,), tables):
            writer.write_table(table)


def parquet_metadata(path: str | Path) -> dict[str, Any]:
    """What ``save_parquet`` wrote beside the table: format, version, objective, sizes, scenario and seed.

    Raises:
        ValueError: the file is something else, or it is cut short.
    """
    with _told(path):
        return _metadata(pq.read_schema(path))


def load_parquet(path: str | Path) -> Demonstrations:
    """Read what ``save_parquet`` wrote: the same demonstrations, but that padding of instances is 0.

    Raises:
        ValueError: the file is something else or cut short, or a column is missing or of another type.
    """
    with _told(path):
        table = pq.read_table(path, page_checksum_verification=True)
        return _demonstrations(table, _metadata(table.schema))


@contextmanager
def _told(path: str | Path) -> Iterator[None]:
    """ValueError in one sentence where a file cannot be read, or holds something else."""
    as_path(path)
    try:
        yield
    except OSError as error:  # Arrow has no number of it where the file is damaged
        reason = error.strerror or shortened(str(error))
        raise ValueError(f"the demonstrations {path} cannot be read: {reason}") from None
    except (ValueError, TypeError, OverflowError, RecursionError, MemoryError, pa.ArrowException) as error:
        raise ValueError(f"{path} is not a complete demonstrations table: {shortened(str(error))}") from None


def _metadata(schema: pa.Schema) -> dict[str, Any]:
    metadata: Any = json.loads((schema.metadata or {}).get(KEY, b"{}"))
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ValueError(f"it does not say that it is {FORMAT!r}")
    for name in ("objective", "num_tasks", "num_locations", "max_edges"):
        if name not in metadata:
            raise ValueError(f"its metadata have no {name!r}")
        if name != "objective":
            checked_count(name, metadata[name], 0)
    return metadata


def _columns(demonstrations: Demonstrations, rows: slice) -> dict[str, pa.Array]:
    labels, instances = demonstrations, demonstrations.instances
    present = instances.present[rows]
    columns: dict[str, pa.Array] = {}
    for name in TASK_FIELDS:
        columns[name] = _lists(getattr(instances, name)[rows], present)
    columns |= _state(instances, rows, "")
    for column, name in enumerate(POWER_FIELDS):
        columns[name] = pa.array(instances.power[rows, column])
    if instances.edge_parent.shape[1]:
        counts = np.diff(instances.edge_start[rows], axis=1)
        used = np.arange(instances.edge_parent.shape[1]) < counts.sum(axis=1)[:, None]
        child = np.zeros(used.shape, dtype=np.int64)
        child[used] = np.repeat(np.tile(np.arange(counts.shape[1]), len(counts)), counts.ravel())
        edges = (instances.edge_parent[rows], child, instances.edge_bits[rows])
        columns |= {name: _lists(values, used) for name, values in zip(EDGE_FIELDS, edges, strict=True)}
    columns["decisions"] = _lists(labels.decisions[rows], present)
    columns["latency_s"] = pa.array(labels.latency_s[rows])
    columns["prefixes"] = _lists(labels.prefixes[rows], present)
    if labels.alternative_s is not None:
        columns["alternative_s"] = _lists(labels.alternative_s[rows], present)
        columns["regret"] = _lists(labels.part(rows).regret, present)
    if labels.estimates is not None:
        columns |= _state(labels.estimates, rows, SEEN)
    return columns


def _state(instances: Instances, rows: slice, prefix: str) -> dict[str, pa.Array]:
    """The columns of machines, radio and backlogs."""
    fields: dict[str, NDArray] = {name: getattr(instances, name)[rows] for name in STATE_FIELDS}
    columns = {prefix + name: _lists(values) for name, values in fields.items()}
    return columns | {f"{prefix}radio_backlog_s": pa.array(instances.radio_backlog_s[rows])}


def _lists(values: NDArray, used: NDArray[np.bool_] | None = None) -> pa.Array:
    """One list a row, of the ``used`` entries (B, n) of ``values`` (B, n) or (B, n, m), all of them if None."""
    size, width = values.shape[:2]
    counts = np.full(size, width) if used is None else used.sum(axis=1)
    entries = values.reshape(size * width, *values.shape[2:]) if used is None else values[used]
    inner = _lists(entries) if entries.ndim > 1 else pa.array(entries)
    return pa.ListArray.from_arrays(pa.array(np.append(0, counts.cumsum()), pa.int32()), inner)


def _demonstrations(table: pa.Table, metadata: Mapping[str, Any]) -> Demonstrations:
    if not len(table):
        raise ValueError("it has no row")
    objective, n = metadata["objective"], metadata["num_tasks"]
    objective_code(objective)
    counts = _numbers(table, "input_bits", 1)[1][0]
    if counts.min() < 1 or counts.max() > n:
        raise ValueError(f"input_bits has lists of {counts.min()} to {counts.max()} numbers; it must be 1 to {n}")
    edges = _numbers(table, "edge_child", 1)[1][0] if metadata["max_edges"] else np.zeros(1)
    entries, padded = int(counts.sum() + edges.sum()), len(table) * (n + metadata["max_edges"])
    if padded > MOST_PADDING * entries:  # which takes memory that no file of this size needs
        raise ValueError(f"its metadata make room for {padded:,} tasks and edges, and it has {entries:,}")
    present = np.arange(n) < counts[:, None]
    fields: dict[str, Any] = {name: _padded(table, name, present) for name in TASK_FIELDS}
    fields |= {name: _numbers(table, name, 0)[0] for name in POWER_FIELDS} | {"task_counts": counts}

    def instances_of(prefix: str) -> Instances:
        given: dict[str, Any] = {name: _full(table, prefix + name, metadata["num_locations"]) for name in STATE_FIELDS}
        if given["backlog_s"].ndim == 3:  # of as many cores as these instances have
            given["backlog_s"] = given["backlog_s"][:, :, : int(given["cores"].max())]
        given["radio_backlog_s"], _ = _numbers(table, f"{prefix}radio_backlog_s", 0)
        return Instances(**fields, **given).with_packed_edges(*_edges(table, n, metadata["max_edges"]), warn=False)

    instances = instances_of("")
    decisions, prefixes = (_padded(table, name, present) for name in ("decisions", "prefixes"))
    alternative_s = None
    if "alternative_s" in table.column_names:
        alternative_s = _padded(table, "alternative_s", present, metadata["num_locations"])
    return Demonstrations(
        instances,
        objective,
        check_decisions(instances, decisions),
        _numbers(table, "latency_s", 0)[0].astype(np.float64),
        check_decisions(instances, prefixes),
        alternative_s,
        instances_of(SEEN) if f"{SEEN}backlog_s" in table.column_names else None,
    )


def _numbers(table: pa.Table, name: str, depth: int) -> tuple[NDArray, list[NDArray[np.int64]]]:
    """The numbers of a column below ``depth`` levels of lists, flat, and how many each list of a level has."""
    if name not in table.column_names:
        raise ValueError(f"it has no column {name!r}")
    array = table.column(name).combine_chunks()
    kind, lengths = array.type, []
    for level in range(depth + 1):
        good = (_is_list,) * depth + (_is_number,)
        if not good[level](array.type):
            raise ValueError(f"{name} has the type {kind}; it must hold {'lists of ' * depth}numbers")
        if array.null_count:
            raise ValueError(f"{name} has {array.null_count} missing values; it must have none")
        if level < depth:
            lengths.append(pc.list_value_length(array).to_numpy().astype(np.int64))
            array = array.flatten()
    return array.to_numpy(), lengths


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _full(table: pa.Table, name: str, num_locations: int) -> NDArray:
    """(B, K), or (B, K, M) of lists of lists."""
    depth = 1
    if name in table.column_names and _is_list(kind := table.schema.field(name).type):
        depth += _is_list(kind.value_type)
    values, lengths = _numbers(table, name, depth)
    if (lengths[0] != num_locations).any() or (depth == 2 and (lengths[1] != lengths[1][0]).any()):
        raise ValueError(f"{name} has lists of different lengths; it must have one entry for each location")
    return values.reshape(len(table), num_locations, *(lengths[1][:1] if depth == 2 else ()))


def _padded(table: pa.Table, name: str, present: NDArray[np.bool_], num_locations: int | None = None) -> NDArray:
    """(B, n), 0 for padding, or (B, n, K), NaN for padding."""
    values, lengths = _numbers(table, name, 1 if num_locations is None else 2)
    if len(lengths[0]) != len(present) or (lengths[0] != present.sum(axis=1)).any():
        raise ValueError(f"{name} has lists of other lengths than input_bits; it must have one entry for each task")
    if num_locations is None:
        array = np.zeros(present.shape, dtype=values.dtype)
        array[present] = values
        return array
    if (lengths[1] != num_locations).any():
        raise ValueError(f"{name} has lists of different lengths; it must have one entry for each location")
    array = np.full((*present.shape, num_locations), np.nan)
    array[present] = values.reshape(-1, num_locations)
    return array


def _edges(table: pa.Table, num_tasks: int, max_edges: int) -> tuple[NDArray, NDArray, NDArray]:
    """What ``Instances.with_packed_edges`` takes; its checks are left to it."""
    start = np.zeros((len(table), num_tasks + 1), dtype=np.int64)
    parent = np.zeros((len(table), max_edges), dtype=np.int64)
    bits = np.zeros(parent.shape)
    if not max_edges:
        return start, parent, bits
    columns = {name: _numbers(table, name, 1) for name in EDGE_FIELDS}
    counts = columns["edge_child"][1][0]
    used = np.arange(max_edges) < counts[:, None]
    for name, (_, lengths) in columns.items():
        if (lengths[0] != counts).any() or counts.max() > max_edges:
            raise ValueError(f"{name} has lists of other lengths than edge_child, or of more than {max_edges}")
    row, child = np.nonzero(used)[0], columns["edge_child"][0]
    falls = (np.diff(row) == 0) & (np.diff(child) < 0)
    if falls.any() or child.dtype.kind not in "iu" or (child.size and (child.min() < 0 or child.max() >= num_tasks)):
        raise ValueError(f"edge_child must hold tasks from 0 to {num_tasks - 1}, not falling along a list")
    np.add.at(start, (row, child + 1), 1)
    parent[used], bits[used] = columns["edge_parent"][0], columns["edge_bits"][0]
    return start.cumsum(axis=1), parent, bits
