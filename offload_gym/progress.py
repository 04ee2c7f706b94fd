"""Progress of long work on standard error: a bar on a terminal, a plain line now and then in a file or a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

LINE_EVERY_S = 20.0

Item = TypeVar("Item")


class Lines:
    """What stands for a bar where there is no terminal; it has the methods of a bar that are used.

    Work of less than ``LINE_EVERY_S`` says nothing. Longer work says how far it is at the first step after each so many
    seconds, in a line like ``labels: instance 143,360 of 250,000, 20 s``.

    Args:
        total: steps of the work.
        description: what the lines begin with.
        unit: what one step is.
        initial: steps that are done already.
        clock: seconds that never go back.
    """

    def __init__(
        self, total: int, description: str, unit: str, initial: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total, self.n = total, initial
        self._text = f"{description}: {unit}"
        self._clock = clock
        self._start = self._last = clock()
        self._note = ""

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, n: int = 1) -> None:
        """So many further steps are done."""
        self.n += n
        now = self._clock()
        if now - self._last >= LINE_EVERY_S:
            self._last = now
            text = f"{self._text} {self.n:,} of {self.total:,}, {now - self._start:.0f} s{self._note}"
            print(text, file=sys.stderr, flush=True)

    def set_postfix_str(self, text: str) -> None:
        """What the lines end with from now on."""
        self._note = f", {text}"

    def close(self) -> None:
        """The work is over; the caller says so, where it should be said."""


def progress_bar(total: int, description: str, unit: str, initial: int = 0) -> Any:
    """A bar of tqdm on a terminal, ``Lines`` elsewhere; either can be used in a ``with`` statement.

    Raises:
        ImportError: there is a terminal and no tqdm.
    """
    if not sys.stderr.isatty():
        return Lines(total, description, unit, initial)
    try:
        from tqdm import tqdm
    except ImportError:
        raise ImportError("a progress bar needs the package tqdm: pip install tqdm, or pass progress=False") from None
    return tqdm(total=total, initial=initial, desc=description, unit=unit, mininterval=1.0, leave=None)


def with_progress(items: Collection[Item], description: str, unit: str) -> Iterator[Item]:
    """The items one after another; what is done with each of them is one step."""
    with progress_bar(len(items), description, unit) as bar:
        for item in items:
            yield item
            bar.update()
