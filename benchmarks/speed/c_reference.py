"""The delay model and one device's streams in C, compiled here with ``-O3 -march=native`` where there is a compiler."""

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
from offload_gym.streams.streams import Streams
from offload_gym.streams.system import system_shapes

SOURCE, STREAM_SOURCE = (Path(__file__).with_name(f"{what}_reference.c") for what in ("delay", "stream"))
FLAGS = ("-O3", "-march=native", "-std=c11", "-fPIC", "-shared")
COMPILERS = ("cc", "gcc", "clang")


def compiler() -> str | None:
    """Path of a C compiler; None where there is none."""
    return next((path for path in map(shutil.which, COMPILERS) if path is not None), None)


def compile_reference() -> CReference | None:
    """The compiled functions of the delay model; None where there is no compiler, or where it cannot compile them."""
    library = _compiled(SOURCE)
    return None if library is None else CReference(library)


def compile_stream_reference() -> StreamReference | None:
    """The compiled loop over streams; None as in ``compile_reference``."""
    library = _compiled(STREAM_SOURCE)
    return None if library is None else StreamReference(library)


def _compiled(source: Path) -> ctypes.CDLL | None:
    found = compiler()
    if found is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / f"{source.stem}.so"
        built = subprocess.run([found, *FLAGS, str(source), "-o", str(library)], capture_output=True, check=False)
        # The file may go once it is loaded.
        return ctypes.CDLL(str(library)) if built.returncode == 0 else None


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


class StreamReference:
    """The function of ``stream_reference.c`` on numpy arrays. Calls release the interpreter lock."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._play = library.play
        self._play.argtypes = [ctypes.c_int64] * 5 + [ctypes.c_void_p] * 13
        self._play.restype = None

    def play(
        self,
        streams: Streams,
        decisions: NDArray[np.int64],
        response_s: NDArray[np.float64],
        energy_j: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Fill responses and joules (B, J) of streams of one device and one-task jobs without deadlines.

        ``decisions`` is (B, J, 1), contiguous, of jobs that are not dropped.

        Returns:
            (B,) the jobs in the system integrated over time: the sum of the responses.
        """
        batch, (size, num_jobs) = streams.batch, response_s.shape
        heap, queue, in_system_js = np.empty(3 * num_jobs), np.empty(num_jobs, dtype=np.int64), np.empty(size)
        arrays = (batch.jobs, batch.tasks, batch.devices, batch.servers, batch.uplink_bps, batch.downlink_bps)
        pointers = (*arrays, batch.common, decisions, heap, queue, response_s, energy_j, in_system_js)
        most_cores = system_shapes(batch)[1][0][1]
        sizes = size, num_jobs, streams.num_servers, most_cores, batch.uplink_bps.shape[2]
        self._play(*sizes, *(array.ctypes.data for array in pointers))
        return in_system_js
