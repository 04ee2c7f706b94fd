"""Sharing a batch among threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
from numpy.typing import NDArray

LOOK_S = 0.1


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
    """
    slices = [slice(start, min(start + chunk, size)) for start in range(0, size, chunk)]
    # Asking for the number of cores takes longer than a small instance does.
    workers = 1 if len(slices) == 1 else min(num_threads or os.cpu_count() or 1, len(slices))
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
