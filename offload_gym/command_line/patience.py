"""Telling a user who waits at a terminal that there is work."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_S = 3.0
COMPILING = "working; the first use compiles kernels, which can take a minute"


@contextmanager
def patience(reason: Callable[[], str] = lambda: COMPILING) -> Iterator[None]:
    """Say on a terminal that there is work, where it takes long, and for what ``reason``, asked when it is said."""
    if not sys.stderr.isatty():
        yield
        return
    timer = threading.Timer(PATIENCE_S, lambda: print(reason(), file=sys.stderr))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
