"""Threads that step parts of many environments at the same time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

Part = tuple[int, int]  # the first environment, and the one after the last


class Threads:
    """Up to ``count`` threads, made when there is work for them.

    They are no part of the state: a copy, a child process and whoever goes on after ``close`` get their own.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0  # that the pool lives in: a forked child inherits the pool, but not its threads

    def submit(self, work: Callable[[Part], None], parts: Sequence[Part]) -> list[Future[None]]:
        """Begin with ``work(part)`` for each part."""
        if self._pool is None or self._process != os.getpid():
            self._pool, self._process = ThreadPoolExecutor(self.count), os.getpid()
        return [self._pool.submit(work, part) for part in parts]

    def run(self, work: Callable[[Part], None], parts: Sequence[Part]) -> None:
        """Do ``work(part)`` for each part, the first of them in the thread of the caller."""
        begun = self.submit(work, parts[1:]) if len(parts) > 1 else []
        try:
            work(parts[0])
        finally:
            for part in begun:
                part.result()

    def close(self) -> None:
        """Let the threads go once they are done."""
        if self._pool is not None and self._process == os.getpid():
            self._pool.shutdown()
        self._pool = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pool": None}
