"""Sharing a batch among threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def for_each_chunk(work: Callable[[slice], None], size: int, num_threads: int | None, chunk: int) -> None:
    """Call ``work(rows)`` for slices that cover range(size), on threads: the kernels release the interpreter lock."""
    slices = [slice(start, min(start + chunk, size)) for start in range(0, size, chunk)]
    # Asking for the number of cores takes longer than a small instance does.
    workers = 1 if len(slices) == 1 else min(num_threads or os.cpu_count() or 1, len(slices))
    if workers <= 1:
        for rows in slices:
            work(rows)
        return
    pool = ThreadPoolExecutor(workers)
    try:
        for _ in pool.map(work, slices):
            pass
    finally:  # after an interrupt the chunks that have not begun are dropped
        pool.shutdown(wait=True, cancel_futures=True)
