"""Instances as two sheets of CSV: one row a task, and one row a location.

The sheet of tasks has the columns ``input_bits``, ``output_bits`` and ``workload_cycles``, and may have ``instance``
(rows with the same name are one instance), ``task`` (its number) and ``parent_bits`` (dependencies, such as
``0:4e6 1:2e6``: the data of tasks 0 and 1). The sheet of locations has the location fields of ``Instances``, and may
have ``instance`` (without it, all instances have the same locations), ``location`` (its number) and, in the row of
location 0, what belongs to the device: ``radio_backlog_s`` and the energy fields. Cells of location 0 that have no
meaning may be empty; ``inf`` is a wired path without a limit. The separator is a comma, a semicolon or a tab.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from offload_gym.array_checks import MAX_CORES
from offload_gym.checks import quoted
from offload_gym.command_line.field_names import check_names
from offload_gym.delay import Schedule
from offload_gym.files import replacing
from offload_gym.instances import POWER_FIELDS, TASK_FIELDS, Instances
from offload_gym.sheets import number_of, rows_of

SITE_FIELDS = ("cpu_hz", "cores", "backlog_s", "uplink_bps", "downlink_bps", "wired_bps", "propagation_s")
NO_PATH = {"uplink_bps": math.inf, "downlink_bps": math.inf, "wired_bps": math.inf, "propagation_s": 0.0}
DEVICE_FIELDS = ("radio_backlog_s", *POWER_FIELDS)
PARENTS = "parent_bits"
# What the sheet of tasks that the commands write has besides; it is ignored where the sheet is read.
RESULT_FIELDS = ("location", "core", "send_start_s", "send_end_s", "start_s", "finish_s", "completion_s")


class _Row(NamedTuple):
    where: str  # for messages
    cells: dict[str, str]


def instances_of_csv(
    tasks: str, tasks_source: str, locations: str, locations_source: str
) -> tuple[list[str], Instances]:
    """The instances of two sheets, with their names, in the order in which the sheet of tasks names them first.

    Raises:
        ValueError: one sentence with the sheet, the row, the column, the value and the bound.
    """
    task_rows = _rows(tasks, tasks_source, TASK_FIELDS, ("instance", "task", PARENTS, *RESULT_FIELDS))
    location_rows = _rows(locations, locations_source, SITE_FIELDS, ("instance", "location", *DEVICE_FIELDS))
    shared = "instance" not in location_rows[0].cells
    sites = _grouped(location_rows, "location")
    batches = []
    grouped = _grouped(task_rows, "task")
    for name, rows in grouped.items():
        if not shared and name not in sites:
            raise ValueError(f"{locations_source} has no row of instance {quoted(name)}, which {tasks_source} names")
        fields = _task_fields(rows) | _location_fields(sites["0" if shared else name])
        try:
            batches.append(Instances(**fields))
        except ValueError as error:
            where = tasks_source if locations_source == tasks_source else f"{tasks_source} and {locations_source}"
            raise ValueError(f"{where}, instance {quoted(name)}: {error}") from None
        if batches[-1].num_locations != batches[0].num_locations:
            here, before = batches[-1].num_locations, batches[0].num_locations
            raise ValueError(
                f"{locations_source} has {here} locations of instance {quoted(name)}; those before it have {before}"
            )
    return list(grouped), Instances.concatenate(batches)


def write_csv(
    folder: str | Path,
    names: Sequence[str],
    instances: Instances,
    schedules: Iterable[Schedule],
    overwrite: bool = False,
) -> tuple[Path, Path]:
    """Write the sheets of tasks, with what happens to them, and of locations; returns their paths.

    Raises:
        ValueError: one of them is there already, and is not to be overwritten.
    """
    paths = Path(folder) / "tasks.csv", Path(folder) / "locations.csv"
    for path in paths:
        if path.exists() and not overwrite:
            raise ValueError(f"{path} is there already; --overwrite replaces it")
    task_rows: list[Sequence[Any]] = [("instance", "task", *TASK_FIELDS, PARENTS, *RESULT_FIELDS)]
    location_rows: list[Sequence[Any]] = [("instance", "location", *SITE_FIELDS, *DEVICE_FIELDS)]
    for b, (name, schedule) in enumerate(zip(names, schedules, strict=True)):
        parents: list[list[str]] = [[] for _ in range(instances.num_tasks)]
        for (parent, child), bits in zip(instances.edges_of(b), instances.edge_bits[b].tolist(), strict=False):
            parents[child].append(f"{parent}:{bits!r}")
        results = [getattr(schedule, field).tolist() for field in RESULT_FIELDS]
        for i in range(len(schedule.location)):
            happens = ("" if value != value else value for value in (column[i] for column in results))
            task_rows.append((name, i, *instances.tasks[b, i].tolist(), " ".join(parents[i]), *happens))
        for k in range(instances.num_locations):
            values = {field: getattr(instances, field)[b, k].tolist() for field in SITE_FIELDS}
            if isinstance(values["backlog_s"], list):
                values["backlog_s"] = " ".join(map(repr, values["backlog_s"][: values["cores"]]))
            if k == 0:
                device = [float(instances.radio_backlog_s[b]), *instances.power[b].tolist()]
                values |= dict.fromkeys(NO_PATH, "")
            location_rows.append((name, k, *values.values(), *(device if k == 0 else [""] * len(DEVICE_FIELDS))))
    for path, rows in zip(paths, (task_rows, location_rows), strict=True):
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    return paths


def _rows(text: str, source: str, required: Sequence[str], optional: Sequence[str]) -> list[_Row]:
    numbered = rows_of(text, source)
    numbered = [(i, line) for i, line in numbered if any(line)]  # spreadsheets leave empty rows
    if not numbered:
        raise ValueError(f"{source} is empty; it must have the columns {', '.join(required)}")
    columns = numbered[0][1]
    while columns and not columns[-1]:
        columns.pop()
    check_names(source, "column", columns, required, optional)
    rows = []
    for i, line in numbered[1:]:
        where = f"{source}, row {i}"
        if len(line) < len(columns) or any(line[len(columns) :]):
            raise ValueError(f"{where} has {len(line)} cells; the header has {len(columns)}")
        rows.append(_Row(where, dict(zip(columns, line, strict=False))))
    if not rows:
        raise ValueError(f"{source} has a header alone; it must have at least one row")
    return rows


def _grouped(rows: Sequence[_Row], number: str) -> dict[str, list[_Row]]:
    """The rows of each instance, in the order of their numbers where they have some."""
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        groups.setdefault(row.cells.get("instance", "0"), []).append(row)
    if number not in rows[0].cells:
        return groups
    for name, group in groups.items():
        ordered: dict[str, _Row] = {}
        for row in group:
            given = row.cells[number]
            if given in ordered or given not in map(str, range(len(group))):
                bound = f"a number from 0 to {len(group) - 1}, each once in an instance"
                raise ValueError(f"{row.where}: {number} is {quoted(given)}; it must be {bound}")
            ordered[given] = row
        groups[name] = [ordered[str(i)] for i in range(len(group))]
    return groups


def _task_fields(rows: Sequence[_Row]) -> dict[str, Any]:
    fields: dict[str, Any] = {name: [[_number(row, name) for row in rows]] for name in TASK_FIELDS}
    edges, bits = [], []
    for child, row in enumerate(rows):
        for pair in row.cells.get(PARENTS, "").split():
            parent, _, amount = pair.partition(":")
            try:
                edges.append((int(parent), child))
                bits.append(float(amount))
            except ValueError:
                bound = "pairs parent:bits with spaces between, such as 0:4e6 1:2e6"
                given = row.cells[PARENTS]
                raise ValueError(f"{row.where}: {PARENTS} is {quoted(given)}; it must hold {bound}") from None
    return fields | ({"edges": edges, "edge_bits": [bits]} if edges else {})


def _location_fields(rows: Sequence[_Row]) -> dict[str, Any]:
    fields: dict[str, Any] = {"cpu_hz": [_number(row, "cpu_hz") for row in rows], "cores": list(map(_cores, rows))}
    for name, without_path in NO_PATH.items():
        fields[name] = [_number(row, name, without_path if k == 0 else None) for k, row in enumerate(rows)]
    backlogs = [_backlogs(row) for row in rows]
    most = max(map(len, backlogs))
    if most == 1:
        fields["backlog_s"] = [backlog[0] for backlog in backlogs]
    else:  # one backlog is that of all cores; entries beyond a location's cores are ignored
        cores = max(fields["cores"])
        fields["backlog_s"] = [
            backlog * cores if len(backlog) == 1 else backlog + [0.0] * (cores - len(backlog)) for backlog in backlogs
        ]
    for name in DEVICE_FIELDS:
        fields[name] = _number(rows[0], name, 0.0) if name in rows[0].cells else 0.0
        for row in rows[1:]:
            if row.cells.get(name):
                bound = "it belongs in the row of location 0, and the other cells must be empty"
                raise ValueError(f"{row.where}: {name} is {quoted(row.cells[name])}; {bound}")
    return {name: [value] for name, value in fields.items()}


def _backlogs(row: _Row) -> list[float]:
    """The backlog that all cores share, or that of each core, as many as there are cores."""
    backlogs = [_parsed(row, "backlog_s", cell) for cell in row.cells["backlog_s"].split() or [""]]
    cores = _cores(row)
    if len(backlogs) not in (1, cores):
        raise ValueError(f"{row.where}: backlog_s has {len(backlogs)} numbers; it must have one, or one for each core")
    return backlogs


def _cores(row: _Row) -> int:
    cores = _number(row, "cores")
    if not (1 <= cores <= MAX_CORES and cores == int(cores)):
        raise ValueError(f"{row.where}: cores is {cores}; it must be a whole number from 1 to {MAX_CORES:,}")
    return int(cores)


def _number(row: _Row, name: str, empty: float | None = None) -> float:
    cell = row.cells[name]
    return empty if not cell and empty is not None else _parsed(row, name, cell)


def _parsed(row: _Row, name: str, cell: str) -> float:
    try:
        return number_of(cell)
    except ValueError:
        expected = "a number with a point, not a comma" if "," in cell else "a number"
        raise ValueError(f"{row.where}: {name} is {quoted(cell)}; it must be {expected}") from None
