"""The delay model in C, compiled here with ``-O3 -march=native`` where there is a compiler."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from offload_gym.delay import Problem, Start
from offload_gym.instances import Instances

SOURCE = Path(__file__).with_name("delay_reference.c")
FLAGS = ("-O3", "-march=native", "-std=c11", "-fPIC", "-shared")
COMPILERS = ("cc", "gcc", "clang")


def compiler() -> str | None:
    """Path of a C compiler; None where there is none."""
    return next((path for path in map(shutil.which, COMPILERS) if path is not None), None)


def compile_reference() -> CReference | None:
    """The compiled functions; None where there is no compiler, or where it cannot compile them."""
    found = compiler()
    if found is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "delay_reference.so"
        built = subprocess.run([found, *FLAGS, str(SOURCE), "-o", str(library)], capture_output=True, check=False)
        # The file may go once it is loaded.
        return CReference(ctypes.CDLL(str(library))) if built.returncode == 0 else None


class CReference:
    """The functions of ``delay_reference.c`` on numpy arrays. Calls release the interpreter lock."""

    def __init__(self, library: ctypes.CDLL) -> None:
        number, array = ctypes.c_int64, ctypes.c_void_p
        self._batch = library.batch_makespan
        self._batch.argtypes = [number] * 5 + [array] * 6
        self._search = library.search_makespan
        self._search.argtypes = [number] * 4 + [array] * 2 + [ctypes.c_double] + [array] * 3
        for function in (self._batch, self._search):
            function.restype = None

    def latency(self, instances: Instances, decisions: NDArray[np.int64]) -> NDArray[np.float64]:
        """(B,) makespans in seconds of contiguous ``decisions`` (B, n) for independent tasks without padding."""
        makespan_s = np.empty(len(instances))
        arrays = (*instances.batch[:4], decisions, makespan_s)
        sizes = (len(instances), instances.num_tasks, instances.num_locations, instances.max_cores)
        self._batch(*sizes, instances.core_backlog_s.shape[2], *(array.ctypes.data for array in arrays))
        return makespan_s

    def search(
        self,
        problem: Problem,
        cores: NDArray[np.int64],
        start: Start,
        decisions: NDArray[np.int64],
        makespan_s: NDArray[np.float64],
    ) -> None:
        """Fill ``makespan_s`` (D,) with those of contiguous ``decisions`` (D, n) for one problem of independent tasks.

        ``cores`` is (K,); ``start`` the schedule before the first task.
        """
        (n, num_locations), core_s = problem.times.shape[:2], start.core_s
        sizes = len(decisions), n, num_locations, core_s.shape[1]
        rest = (core_s.ctypes.data, decisions.ctypes.data, makespan_s.ctypes.data)
        self._search(*sizes, problem.times.ctypes.data, cores.ctypes.data, start.radio_s, *rest)
