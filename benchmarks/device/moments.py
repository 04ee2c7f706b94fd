"""Moments as the records that a harness reads: the structs of an exported header, with the layout of the board."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import quoted
from offload_gym.instances import CORES, CPU, DOWNLINK, PROPAGATION, TASK_FIELDS, UPLINK, WIRED, Instances

LOCATION_COLUMNS = {"cpu_hz": CPU, "uplink_bps": UPLINK, "downlink_bps": DOWNLINK, "wired_bps": WIRED}
MICROSECONDS = 1e6


# The types in a header: of sizes, cycles and rates, of times, and of times in C.
NUMBERS = {"double": ("f8", "f8", "double"), "float": ("f4", "f4", "float"), "fixed": ("u8", "u4", "uint32_t")}


class Form(NamedTuple):
    """How a header computes, and what ``export_c`` is told for it."""

    name: str
    numbers: str  # of NUMBERS
    options: dict[str, Any]


FORMS = (Form("double", "double", {}),)


def record_type(form: Form, max_tasks: int, num_locations: int, has_cores: bool) -> np.dtype[np.void]:
    """``moment`` of ``moment.h``: numpy aligns as the boards do, 8-byte numbers to 8 bytes."""
    number, time, _ = NUMBERS[form.numbers]
    task = np.dtype([(field, number) for field in TASK_FIELDS], align=True)
    fields = [(field, number) for field in LOCATION_COLUMNS] + [("propagation", time), ("backlog", time)]
    location = np.dtype(fields + [("cores", "i4")] * has_cores, align=True)
    whole = [("tasks", task, (max_tasks,)), ("locations", location, (num_locations,))]
    return np.dtype([*whole, ("radio_backlog", time), ("num_tasks", "i4")], align=True)


def defines(form: Form, record: np.dtype[np.void]) -> tuple[str, ...]:
    """What moment.h is told of a form and its records."""
    return f"-DTIME={NUMBERS[form.numbers][2]}", f"-DRECORD_BYTES={record.itemsize}"


def pack(instances: Instances, record: np.dtype[np.void]) -> NDArray[np.void]:
    """(B,) records of the instances; with whole numbers, rates and sizes are rounded, and times to microseconds."""
    batch = instances.batch
    if batch.core_backlog_s.shape[2] > 1:
        shape = batch.core_backlog_s.shape
        raise ValueError(f"backlog_s has the shape {quoted(shape)}; a header takes one backlog a location, (B, K)")
    records = np.zeros(len(instances), dtype=record)

    def put(place: NDArray, values: NDArray[np.float64], scale: float = 1.0) -> None:
        if place.dtype.kind == "f":
            place[:] = values
        else:
            rounded, largest = np.rint(values * scale), np.iinfo(place.dtype).max
            place[:] = np.where(rounded < largest, rounded, 0.0)
            place[rounded >= largest] = largest  # which is infinite

    for column, field in enumerate(TASK_FIELDS):
        put(records["tasks"][field][:, : instances.num_tasks], batch.tasks[:, :, column])
    places = records["locations"]
    for field, column in LOCATION_COLUMNS.items():
        put(places[field], batch.locations[:, :, column])
    put(places["propagation"], batch.locations[:, :, PROPAGATION], MICROSECONDS)
    put(places["backlog"], batch.core_backlog_s[:, :, 0], MICROSECONDS)
    if "cores" in (places.dtype.names or ()):
        places["cores"] = batch.locations[:, :, CORES]
    put(records["radio_backlog"], batch.radio_backlog_s, MICROSECONDS)
    records["num_tasks"] = batch.task_counts
    return records
