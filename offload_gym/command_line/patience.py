"""Telling a user who waits at a terminal that there is work, and what it is."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event

from offload_gym.compilation import WAIT

PATIENCE_S = 3.0
COMPILING = "compiling kernels, once, for some seconds to half a minute; `offload-gym warm-up` compiles all in advance"


class _Watch(event.Listener):  # type: ignore[misc]
    """Says at once that kernels are compiled, here or in another process, the first time that one is."""

    told = False  # once in a process

    def __init__(self) -> None:
        self.depth = 0  # kernels that are being compiled: one, those that it calls, ...

    def on_start(self, _: Any) -> None:
        if not self.told:
            _Watch.told = True
            print(COMPILING, file=sys.stderr, flush=True)
        self.depth += 1

    def on_end(self, _: Any) -> None:
        self.depth -= 1


@contextmanager
def patience(text: str = "working") -> Iterator[None]:
    """Say on a terminal that kernels are compiled, at once, and ``text`` where anything else takes long."""
    if not sys.stderr.isatty():
        yield
        return
    watch, done = _Watch(), threading.Event()

    def wait() -> None:
        while not done.wait(PATIENCE_S):
            if watch.depth == 0:
                print(text, file=sys.stderr, flush=True)
                return

    threading.Thread(target=wait, daemon=True).start()
    try:
        with event.install_listener("numba:compile", watch), event.install_listener(WAIT, watch):
            yield
    finally:
        done.set()
