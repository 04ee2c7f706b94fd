"""Telling a user who waits at a terminal that there is work."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 3.0


@contextmanager
def patience() -> Iterator[None]:
    """Say on a terminal that there is work, where it takes long: most often kernels are compiled."""
    if not sys.stderr.isatty():
        yield
        return
    text = "working; the first use compiles kernels, which can take a minute"
    timer = threading.Timer(PATIENCE_S, lambda: print(text, file=sys.stderr))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
