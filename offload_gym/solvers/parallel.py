"""Sharing a batch among threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import numba
import numpy as np
from numpy.typing import NDArray

from offload_gym.array_checks import check_count

LOOK_S = 0.1


def num_cores() -> int:
    """The cores that this process may use: those that it is bound to, or fewer where numba was told so.

    ``taskset``, cluster schedulers and ``NUMBA_NUM_THREADS`` say so.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    bound = os.cpu_count() or 1 if affinity is None else len(affinity(0))
    return min(bound, numba.config.NUMBA_NUM_THREADS)


def check_threads(num_threads: int | None) -> None:
    """ValueError where a number of threads is neither None nor a whole number, at least 1."""
    if num_threads is not None:
        check_count("num_threads", num_threads)


def for_each_chunk(
    work: Callable[[slice], None],
    size: int,
    num_threads: int | None,
    chunk: int,
    stop: NDArray[np.bool_] | None = None,
) -> None:
    """Call ``work(rows)`` for slices that cover range(size), on threads: the kernels release the interpreter lock.

    After an error, which an interrupt is too, ``stop`` is set for the kernels that run (see
    ``offload_gym.solvers.stopping``), and the chunks that have not begun are dropped.

    ``num_threads`` of None takes one a core; ValueError where it is no number of threads.
    """
    check_threads(num_threads)
    slices = [slice(start, min(start + chunk, size)) for start in range(0, size, chunk)]
    # Asking for the number of cores takes longer than a small instance does.
    workers = 1 if len(slices) == 1 else min(num_threads or num_cores(), len(slices))
    if workers <= 1:
        for rows in slices:
            work(rows)
        return
    pool = ThreadPoolExecutor(workers)
    try:
        for future in [pool.submit(work, rows) for rows in slices]:
            while not future.done():  # on Windows, nothing interrupts a wait without an end
                wait([future], LOOK_S)
            future.result()
    finally:
        if stop is not None:
            stop[0] = True
        pool.shutdown(wait=True, cancel_futures=True)
