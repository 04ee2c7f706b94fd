"""Two threads against one, and whether the machine had two cores to give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from numba import njit

from benchmarks.speed.rows import Row, Side, Target, compared
from benchmarks.speed.timing import Effort, interleaved

SPEED_UP = 1.8
SPIN_STEPS = 5_000_000


def two_threads_row(
    what: str,
    unit: str,
    work: float,
    on_two: Callable[[], object],
    on_one: Callable[[], object],
    targets: Sequence[Target],
    effort: Effort,
) -> Row:
    """The row of two calls that do the same ``work``.

    On a machine that others use there may be no second core. So arithmetic alone, which shares nothing, is measured in
    the same rounds; where it does not reach ``SPEED_UP`` either, a row that misses its targets is not judged.
    """
    with spinning() as (spin_on_two, spin_on_one):
        seconds = interleaved([on_two, spin_on_two, on_one, spin_on_one], effort)
    two, one = Side(what, work, seconds[:, 0]), Side("one thread", work, seconds[:, 2])
    return judged_with(compared(two, one, unit, targets), float(np.median(seconds[:, 3] / seconds[:, 1])))


@contextmanager
def spinning() -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """Arithmetic on two threads, and the same on one."""
    with ThreadPoolExecutor(2) as pool:

        def on_two() -> None:
            for done in [pool.submit(_spin, SPIN_STEPS) for _ in range(2)]:
                done.result()

        def on_one() -> None:
            for _ in range(2):
                _spin(SPIN_STEPS)

        yield on_two, on_one


def judged_with(row: Row, arithmetic: float) -> Row:
    """The row of two threads, with what they gained for arithmetic; not judged where there was no second core."""
    row = row._replace(figures={**row.figures, "arithmetic_x": arithmetic})
    return row if arithmetic >= SPEED_UP else row._replace(judged=False, note="there was no second core in this run")


@njit(nogil=True)
def _spin(steps):
    x = 0.5
    for _ in range(steps):
        x = 3.7 * x * (1.0 - x)
    return x
