"""Headers of networks for independent tasks, compiled and tried on this machine: what each form costs in decisions."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.delay import latency
from offload_gym.files import replacing
from offload_gym.instances import CORES, CPU, DOWNLINK, PROPAGATION, UPLINK, WIRED, Instances
from offload_gym.networks.policy import NetworkPolicy
from offload_gym.solvers.exact import solve

MOST_NODES = 100_000  # of an instance whose optimum is the reference
WHOLE = np.iinfo(np.uint64).max  # an infinite rate where numbers are fixed
MOST_US = np.iinfo(np.uint32).max
C_TYPES = {"double": "double", "float": "float", "fixed": "uint32_t"}  # of a time
# Decides instances one after another; returns how many of them greedy decided, or the first error.
HARNESS = """
#include "policy.h"
int decide_all(int count, int n, const offload_gym_task *tasks, const offload_gym_location *locations,
               const offload_gym_number *radio_backlog, int *decisions)
{
    int b, greedy = 0;
    for (b = 0; b < count; b++) {
        int code = offload_gym_decide(n, tasks + b * n, locations + b * OFFLOAD_GYM_NUM_LOCATIONS, radio_backlog[b],
                                      decisions + b * n);
        if (code < 0)
            return code;
        greedy += code == OFFLOAD_GYM_GREEDY;
    }
    return greedy;
}
"""


class Records(NamedTuple):
    """Instances as a header takes them: structured arrays of the layout of its structs."""

    tasks: NDArray[np.void]  # (B, n)
    locations: NDArray[np.void]  # (B, K)
    radio_backlog: NDArray[Any]  # (B,) seconds, or microseconds where numbers are fixed


class Trial(NamedTuple):
    """How a header decides, against the network in Python on the same instances."""

    differing_share: float  # of instances
    greedy_share: float  # of instances that greedy decided in its place
    gap_mean: float  # latency / optimum - 1, of the header
    python_gap_mean: float

    def __str__(self) -> str:
        points = 100 * (self.gap_mean - self.python_gap_mean)
        return (
            f"{100 * self.differing_share:.2f} % are decided otherwise than in Python; the mean gap is "
            f"{100 * self.gap_mean:.3f} % ({points:+.3f} points)"
        )


def records(instances: Instances, numbers: str) -> Records:
    """Instances with one backlog a location, in the numbers of a header.

    Where numbers are fixed, sizes and rates are rounded to whole numbers and times to microseconds; what is too large
    is the largest that there is.
    """
    tasks, locations, backlog_s, radio_s, *_ = instances.batch
    number = "f4" if numbers == "float" else "f8"
    sizes = ("input_bits", "output_bits", "workload_cycles")
    rates = ("cpu_hz", "uplink_bps", "downlink_bps", "wired_bps")
    columns = (CPU, UPLINK, DOWNLINK, WIRED)
    if numbers == "fixed":
        task = [(name, "u8") for name in sizes]
        location = [(name, "u8") for name in rates] + [("propagation_us", "u4"), ("backlog_us", "u4")]
    else:
        task = [(name, number) for name in sizes]
        location = [(name, number) for name in (*rates, "propagation_s", "backlog_s")]
    given_tasks = np.zeros(tasks.shape[:2], dtype=np.dtype(task, align=True))
    for i, name in enumerate(sizes):
        given_tasks[name] = _whole(tasks[:, :, i]) if numbers == "fixed" else tasks[:, :, i]
    given = np.zeros(locations.shape[:2], dtype=np.dtype([*location, ("cores", "i4")], align=True))
    for name, column in zip(rates, columns, strict=True):
        given[name] = _whole(locations[:, :, column]) if numbers == "fixed" else locations[:, :, column]
    given["cores"] = locations[:, :, CORES]
    for name, times_s in (("propagation", locations[:, :, PROPAGATION]), ("backlog", backlog_s[:, :, 0])):
        if numbers == "fixed":
            given[f"{name}_us"] = _microseconds(times_s)
        else:
            given[f"{name}_s"] = times_s
    radio = _microseconds(radio_s) if numbers == "fixed" else radio_s.astype(number)
    return Records(given_tasks, given, np.ascontiguousarray(radio))


def _whole(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    small = values < 2.0**63
    return np.where(small, np.rint(np.where(small, values, 0.0)).astype(np.uint64), WHOLE)


def _microseconds(times_s: NDArray[np.float64]) -> NDArray[np.uint32]:
    return np.minimum(np.rint(times_s * 1e6), MOST_US).astype(np.uint32)


def compiler() -> str | None:
    """The C compiler of this machine; None where there is none."""
    return shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")


def decide_in_c(header: Path, instances: Instances, numbers: str, name: str = "offload_gym") -> tuple[NDArray, int]:
    """Decisions (B, n) of a header of this name, and how many instances greedy decided in it.

    Raises:
        FileNotFoundError: there is no C compiler.
        ValueError: the header refuses an instance.
    """
    program = compiler()
    if program is None:
        raise FileNotFoundError("there is no C compiler: install gcc or clang")
    harness = HARNESS.replace("offload_gym_number", C_TYPES[numbers])
    harness = harness.replace("offload_gym_", f"{name}_").replace("OFFLOAD_GYM_", f"{name.upper()}_")
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        shutil.copy(header, folder / "policy.h")
        (folder / "harness.c").write_text(harness)
        command = [program, "-std=c99", "-O2", "-ffp-contract=off", "-shared", "-fPIC", "harness.c", "-o", "harness.so"]
        subprocess.run(command, cwd=folder, check=True)
        library = ctypes.CDLL(str(folder / "harness.so"))
    given = records(instances, numbers)
    decisions = np.full((len(instances), instances.num_tasks), -1, dtype=np.int32)
    arrays = [ctypes.c_void_p(np.ascontiguousarray(array).ctypes.data) for array in (*given, decisions)]
    code = library.decide_all(len(instances), instances.num_tasks, *arrays)
    if code < 0:
        raise ValueError(f"the header refuses an instance, with the code {code}")
    return decisions, code


def try_header(
    header: Path, policy: NetworkPolicy, instances: Instances, numbers: str, name: str = "offload_gym"
) -> Trial:
    """Compare a header with the policy it was made of, on instances without padding.

    Raises:
        FileNotFoundError: there is no C compiler.
        ValueError: the header refuses an instance.
    """
    in_python = policy.decide(instances)  # refuses instances of other locations, which the header could not
    decisions, greedy = decide_in_c(header, instances, numbers, name)
    objective = policy.network.objective
    best_s = solve(instances, objective, MOST_NODES).latency_s
    gaps = [float((latency(instances, made, objective) / best_s - 1.0).mean()) for made in (decisions, in_python)]
    differing = float((decisions != in_python).any(axis=1).mean())
    return Trial(differing, greedy / len(instances), *gaps)


#: What a header of test vectors is, filled with the text of its arrays.
VECTORS = """\
/* {count} instances and what a header of offload_gym.export_c decides in them, for whoever ports it. Include that
 * header first, call offload_gym_decide with offload_gym_vector_tasks[b], offload_gym_vector_locations[b] and
 * offload_gym_vector_radio_backlog[b], and compare with offload_gym_vector_decisions[b]. */
#ifndef OFFLOAD_GYM_VECTORS_H
#define OFFLOAD_GYM_VECTORS_H

#include <math.h>

#define OFFLOAD_GYM_NUM_VECTORS {count}
#define OFFLOAD_GYM_VECTOR_TASKS {num_tasks}

static const offload_gym_task offload_gym_vector_tasks[{count}][{num_tasks}] = {tasks};

static const offload_gym_location offload_gym_vector_locations[{count}][{num_locations}] = {locations};

static const {number} offload_gym_vector_radio_backlog[{count}] = {radio_backlog};

static const int offload_gym_vector_decisions[{count}][{num_tasks}] = {decisions};

#endif
"""


def write_vectors(
    path: str | Path, header: Path, instances: Instances, numbers: str, name: str = "offload_gym"
) -> None:
    """Write instances and the header's decisions of them as one C header, ``VECTORS``.

    Raises:
        FileNotFoundError: there is no C compiler.
        ValueError: the header refuses an instance.
    """
    decisions, _ = decide_in_c(header, instances, numbers, name)
    given = records(instances, numbers)
    text = VECTORS.format(
        count=len(instances),
        num_tasks=instances.num_tasks,
        num_locations=instances.num_locations,
        number=C_TYPES[numbers],
        tasks=_braced(given.tasks, numbers),
        locations=_braced(given.locations, numbers),
        radio_backlog=_braced(given.radio_backlog, numbers),
        decisions=_braced(decisions, numbers),
    )
    text = text.replace("offload_gym_", f"{name}_").replace("OFFLOAD_GYM_", f"{name.upper()}_")
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="ascii")


def _braced(values: Any, numbers: str) -> str:
    """An array, a record or a number as C takes it in the beginning of a variable."""
    if isinstance(values, np.ndarray):
        return "{" + ",\n ".join(_braced(value, numbers) for value in values) + "}"
    if isinstance(values, np.void):
        return "{" + ", ".join(_braced(value, numbers) for value in values.item()) + "}"
    if isinstance(values, float | np.floating):
        suffix = "f" if numbers == "float" else ""
        return "INFINITY" if np.isinf(values) else f"{float(values)!r}{suffix}"
    return "OFFLOAD_GYM_INFINITE" if int(values) == WHOLE else f"{int(values)}{'u' if values > 2**31 - 1 else ''}"
