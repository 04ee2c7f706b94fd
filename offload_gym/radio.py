"""Recorded throughput traces.

A trace is one uplink rate a second. An epoch sends all its data at the rate of its own second, as rates are fixed
within an epoch of the delay model; what the trace does later concerns later epochs. Zeros are outages. An epoch that
begins in an outage finds the radio busy until the outage ends (``radio_backlog_s``) and then sends at the first rate
after it, so that no rate is ever zero: remote tasks wait, tasks on the device do not. A trace repeats from its start
when it ends.
"""

from __future__ import annotations

import csv
import math
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def load_trace(path: str | Path) -> NDArray[np.float64]:
    """Read a recorded trace.

    Args:
        path: CSV file whose header has a column ``mbps`` (10^6 bits a second), one sample a second.

    Returns:
        (seconds, 2): for each second, the uplink rate in bits a second (that of the first later second with a
        rate, where this one is an outage) and the seconds until that rate holds (0 outside outages).

    Raises:
        ValueError: the file is missing or empty, has no such column, or a sample is not a finite number >= 0.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except OSError as error:
        raise ValueError(f"the trace {path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"the trace {path} is not a CSV file: {error}") from None
    rows = [row for row in rows if row]
    if not rows or "mbps" not in [cell.strip() for cell in rows[0]]:
        raise ValueError(f"the trace {path} must begin with a header that has a column 'mbps'")
    column = [cell.strip() for cell in rows[0]].index("mbps")
    mbps = []
    for number, row in enumerate(rows[1:], start=1):
        try:
            rate = float(row[column])
        except (IndexError, ValueError):
            rate = math.nan
        if not (math.isfinite(rate) and rate >= 0):
            raise ValueError(f"sample {number} of the trace {path} is {row}; its mbps must be finite and at least 0")
        mbps.append(rate)
    if not any(mbps):
        raise ValueError(f"the trace {path} has no sample above 0 among its {len(mbps)}; it needs at least one")
    return fill_outages(np.array(mbps) * 1e6)


def fill_outages(uplink_bps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace each zero by the next rate above 0, and say how long it is until then: (seconds, 2).

    The trace is taken as periodic, so the rate after a final outage is the first one above 0.
    """
    seconds = len(uplink_bps)
    filled = np.empty((seconds, 2))
    rate_bps = uplink_bps[np.flatnonzero(uplink_bps)[0]]
    wait_s = float(np.flatnonzero(uplink_bps)[0])
    for t in range(seconds - 1, -1, -1):
        if uplink_bps[t] > 0:
            rate_bps, wait_s = uplink_bps[t], 0.0
        else:
            wait_s += 1.0
        filled[t] = rate_bps, wait_s
    return filled


def cached_trace(path: str) -> NDArray[np.float64]:
    """``load_trace``, read once in a process while the file stays as it is: many environments share it."""
    try:
        return _trace_of(path, os.stat(path).st_mtime_ns)
    except OSError:
        return load_trace(path)  # which says what is wrong


@lru_cache(maxsize=16)
def _trace_of(path: str, _modified_ns: int) -> NDArray[np.float64]:
    return load_trace(path)
