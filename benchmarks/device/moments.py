"""Moments as the records that a harness reads: the structs of an exported header, with the layout of the board."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import quoted
from offload_gym.instances import Instances
from offload_gym.networks.c_trial import C_TYPES, records


class Form(NamedTuple):
    """How a header computes: what ``export_c`` is told."""

    numbers: str
    weights: str

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.numbers if self.weights == "float" else f"{self.numbers}, {self.weights}"


FORMS = (Form("double", "float"), Form("float", "float"), Form("float", "int8"), Form("fixed", "int8"))


def pack(instances: Instances, form: Form, max_tasks: int) -> NDArray[np.void]:
    """(B,) records, ``moment`` of ``moment.h``: numpy aligns as the boards do, 8-byte numbers to 8 bytes."""
    shape = instances.batch.core_backlog_s.shape
    if shape[2] > 1:
        raise ValueError(f"backlog_s has the shape {quoted(shape)}; a header takes one backlog a location, (B, K)")
    given = records(instances, form.numbers)
    fields: list[Any] = [("tasks", given.tasks.dtype, (max_tasks,))]
    fields += [("locations", given.locations.dtype, given.locations.shape[1:])]
    fields += [("radio_backlog", given.radio_backlog.dtype), ("num_tasks", "i4")]
    packed = np.zeros(len(instances), dtype=np.dtype(fields, align=True))
    packed["tasks"][:, : instances.num_tasks] = given.tasks
    packed["locations"], packed["radio_backlog"] = given.locations, given.radio_backlog
    packed["num_tasks"] = instances.task_counts
    return packed


def defines(form: Form, packed: NDArray[np.void]) -> tuple[str, ...]:
    """What moment.h is told of a form and its records."""
    return f"-DTIME={C_TYPES[form.numbers]}", f"-DRECORD_BYTES={packed.itemsize}"
