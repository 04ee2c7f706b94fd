"""Instances as JSON: the field names of ``Instances``, for one instance, for a batch, or a list of either.

Infinite rates are written as the string "inf", since JSON has no number for them. What ``offload-gym solve --json``
prints is read back as well: its rows hold the fields of one instance each, under "fields".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from offload_gym.checks import quoted
from offload_gym.command_line.field_names import OPTIONAL_FIELDS, REQUIRED_FIELDS, check_names
from offload_gym.instances import LOCATION_FIELDS, POWER_FIELDS, TASK_FIELDS, Instances


def instances_of_json(data: Any, source: str) -> tuple[list[str], Instances]:
    """The instances that JSON holds, with their names: those of its rows, or their numbers.

    Raises:
        ValueError: one sentence with the source, and the field, the value and the bound.
    """
    if isinstance(data, dict) and "results" in data:
        data = data["results"]
    rows = data if isinstance(data, list) else [data]
    if not rows:
        raise ValueError(f"{source} is an empty list; it must hold at least one instance")
    names: list[str] = []
    batches: list[Instances] = []
    for i, row in enumerate(rows):
        where = f"{source}[{i}]" if isinstance(data, list) else source
        if not isinstance(row, dict):
            raise ValueError(f"{where} is {quoted(row)}; it must be an object with the fields of instances")
        name = None
        if "fields" in row:
            name, row = row.get("instance"), row["fields"]
        batch = _batch(row, where)
        if batches and batch.num_locations != batches[0].num_locations:
            here, before = batch.num_locations, batches[0].num_locations
            raise ValueError(f"{where} has {here} locations; the instances before it have {before}")
        if name is not None and str(name) in names:
            raise ValueError(
                f"{where} has the instance {quoted(str(name))}, as one before it; each must have its own name"
            )
        batches.append(batch)
        names += [str(len(names) + j) if name is None else str(name) for j in range(len(batch))]
    return names, batches[0] if len(batches) == 1 else Instances.concatenate(batches)


def fields_of(instances: Instances, b: int) -> dict[str, Any]:
    """The fields of instance ``b`` as plain values for JSON, without padding."""
    n = int(instances.task_counts[b])
    fields: dict[str, Any] = {name: getattr(instances, name)[b, :n].tolist() for name in TASK_FIELDS}
    fields |= {name: _plain(getattr(instances, name)[b].tolist()) for name in (*LOCATION_FIELDS, "backlog_s")}
    fields["radio_backlog_s"] = float(instances.radio_backlog_s[b])
    edges = instances.edges_of(b)
    if edges:
        fields["edges"] = [list(edge) for edge in edges]
        fields["edge_bits"] = instances.edge_bits[b, : len(edges)].tolist()
    if instances.power[b].any():
        fields |= dict(zip(POWER_FIELDS, instances.power[b].tolist(), strict=True))
    return fields


def _batch(fields: Any, where: str) -> Instances:
    if not isinstance(fields, Mapping):
        raise ValueError(f"{where} is {quoted(fields)}; it must be an object with the fields of instances")
    check_names(where, "field", list(fields), REQUIRED_FIELDS, OPTIONAL_FIELDS)
    edges = fields.get("edges", [])
    if not isinstance(edges, list) or not all(isinstance(edge, list) for edge in edges):
        raise ValueError(f"{where}: edges is {quoted(edges)}; it must be a list of pairs [parent, child]")
    first = fields["input_bits"]
    is_batch = isinstance(first, list) and bool(first) and isinstance(first[0], list)
    try:
        numbers = {name: _numbers(name, value) for name, value in fields.items() if name != "edges"}
        given = {name: value if is_batch else [value] for name, value in numbers.items()}
        return Instances(**given, edges=[tuple(edge) for edge in edges])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _numbers(name: str, value: Any) -> Any:
    """Nested lists of numbers, with "inf" as infinity."""
    if isinstance(value, list):
        return [_numbers(name, item) for item in value]
    if value == "inf":
        return math.inf
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f'{name} holds {quoted(value)}; it must hold numbers, or "inf" where there is no limit')
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} holds {quoted(value)}; it must be finite") from None


def _plain(value: Any) -> Any:
    """Nested lists of numbers, with infinity as "inf"."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return "inf" if value == math.inf else value
