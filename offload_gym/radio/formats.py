"""Reading traces that others wrote.

What a file is shows in its first row. A header: columns by their names, one of which may be a time (``time``,
``timestamp_ms``, ``Timestamp``), as in the logs of G-NetTrack and in most public 4G and 5G sets. No header: a rate and
its unit a row (NYU-METS), a time in seconds and Mbit/s (Pensieve), or one whole number of milliseconds for each packet
of 1,500 bytes that the link could carry (Mahimahi).
"""

from __future__ import annotations

import math
import os
from numbers import Real
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import quoted
from offload_gym.radio.table import MISSING, Table, read_table
from offload_gym.radio.trace import MOST_S, ROUNDED, Trace
from offload_gym.radio.units import (
    LINKS,
    RATE_NAMES,
    TIME_NAMES,
    UNITS,
    column_link,
    column_time_s,
    column_unit_bps,
    hints_at_time,
    is_moment,
    rate_unit_bps,
    time_s,
    unix_unit,
)
from offload_gym.sheets import number_of

MOST_BPS = 1e15
LEAST_S = 1e-3
PACKET_BITS = 1500 * 8.0
LONG_GAP_S = 10.0  # a gap is worth a word where it is longer, and ten times as long as most are


class _Rates(NamedTuple):
    """The column of the rates."""

    column: int
    unit_bps: float | NDArray[np.float64]  # of all rows, or of each
    said: str  # for ``Trace.taken_for``


class _Times(NamedTuple):
    """When each row was."""

    start_s: NDArray[np.float64]  # from the first row on, ascending
    said: str


def load_trace(
    path: str | os.PathLike[str],
    column: str | int | None = None,
    unit: str | None = None,
    step_s: float | None = None,
    link: str = "uplink",
) -> Trace:
    """Read a recorded trace.

    Args:
        path: a text file; its cells may have commas, semicolons, tabs or, without a header, spaces between them, and
            decimal commas where commas do not separate them. One of

            - a header and a row a sample, with a column of rates whose name says the unit (``mbps``, ``dl_kbps``,
              ``Throughput (Mbit/s)``; ``DL_bitrate`` and ``UL_bitrate`` are kbit/s) and perhaps a column of times in
              seconds (``time``, ``t_s``), in the unit that its name says (``time_ms``), as Unix time, also in ms or
              µs, or as date and time of day;
            - without a header, a rate and its unit in each row (``0.57,Mbits/sec``);
            - without a header, a time in seconds and a rate in Mbit/s in each row;
            - without a header, ascending whole milliseconds, each an opportunity to send 1,500 bytes (Mahimahi).

        column: that of the rates: its name, or its number from 1. None: the one whose name has a unit, and says the
            link or no direction.
        unit: of the rates, such as "kbit/s" or "MB/s". None: what the file says.
        step_s: seconds from one sample to the next, whatever times the file has. None: as its times say, or 1.
        link: "uplink" or "downlink".

    Returns:
        Samples that hold until the next one; the last holds as long as the one before it. Samples at one time become
        their mean. A ``-`` in a file with times is no sample: the one before it goes on.

    Raises:
        ValueError: the file is none of these, or a row is not; one sentence with the row, the value and the bound. What
            would help is named as in a scenario: ``trace_column``, ``trace_unit``, ``trace_step_s``.
    """
    if link not in LINKS:
        raise ValueError(f"link is {quoted(link)}; it must be one of {', '.join(LINKS)}")
    unit_bps = None if unit is None else rate_unit_bps(str(unit))
    if unit is not None and unit_bps is None:
        raise ValueError(f"trace_unit is {quoted(unit)}; it must be a unit such as {UNITS}")
    if step_s is not None and not (isinstance(step_s, Real) and step_s is not True and LEAST_S <= step_s <= MOST_S):
        raise ValueError(f"trace_step_s is {quoted(step_s)}; it must be from {LEAST_S} to {MOST_S:,.0f}")
    table = read_table(path)
    if table.width == 1 and not table.header and unit_bps is None:
        if column is not None or step_s is not None:
            raise ValueError(
                f"{table.source} has one column without a header; trace_unit must say what its numbers are"
            )
        return _packets(table)
    rates = _rates(table, column, unit_bps, link)
    times = _times(table, rates.column) if step_s is None else None
    trace = _at_steps(table, rates, step_s) if times is None else _at_times(table, rates, times)
    if trace.duration_s > MOST_S:
        hint = "the name of a column of times says their unit, as time_ms does; trace_step_s replaces the times"
        raise ValueError(f"{table.source} lasts {trace.duration_s:.4g} s; it must last at most {MOST_S:,.0f} ({hint})")
    return trace


def _packets(table: Table) -> Trace:
    """Packets at milliseconds: those of millisecond t were sent from t - 1 to t, and the last one ends the trace."""
    bound = (
        "a whole number of milliseconds, not below the one before, as a column without a header holds the packets of a "
        "Mahimahi trace (trace_unit makes it one of rates)"
    )
    stamps = table.parsed(0, bound)
    wrong = ~((stamps >= 0) & (stamps <= MOST_S * 1e3) & (stamps == np.floor(stamps)))
    wrong[1:] |= stamps[1:] < stamps[:-1]
    if wrong.any():
        raise table.wrong(int(np.flatnonzero(wrong)[0]), 0, bound)
    if stamps[-1] == 0:
        raise ValueError(f"{table.source} has packets at 0 ms alone; it must have one later")
    at_ms, packets = np.unique(np.maximum(stamps, 1), return_counts=True)
    start_ms = np.union1d(np.append(at_ms - 1, 0), at_ms[:-1])
    rate_bps = np.zeros(len(start_ms))
    rate_bps[np.searchsorted(start_ms, at_ms - 1)] = packets * (PACKET_BITS * 1e3)
    said = "packets of 1,500 bytes at milliseconds (Mahimahi)"
    return Trace(said, len(stamps), start_ms / 1e3, rate_bps, float(at_ms[-1]) / 1e3)


def _rates(table: Table, column: str | int | None, unit_bps: float | None, link: str) -> _Rates:
    """The column of the rates and their unit: the one that is asked for, or the one that the file says."""
    option = "trace_column" if link == "uplink" else "downlink_trace_column"
    if column is not None:
        at = _chosen(table, str(column), option)
    elif table.header:
        at = _found(table, link, option, unit_bps is not None)
    elif table.width > 2:
        raise ValueError(f"{table.source} has {table.width} columns without a header; {option} must be a number of one")
    elif table.width == 2 and rate_unit_bps(table.rows[0][1]) is not None:
        return _beside_units(table, unit_bps)
    else:  # a time and a rate, or rates alone
        at = table.width - 1
    if unit_bps is None:
        named = column_unit_bps(table.header[at]) if table.header else None
        unit_bps = 1e6 if not table.header and (table.width, at) == (2, 1) else named
        if unit_bps is None:
            raise ValueError(f"{table.source} does not say the unit of {table.name(at)}; trace_unit must, as {UNITS}")
    return _Rates(at, unit_bps, f"{table.name(at)} in {RATE_NAMES[unit_bps]}")


def _chosen(table: Table, column: str, option: str) -> int:
    """The column of a name or, where none has it, of a number from 1."""
    if (named := table.header.count(column)) == 1:
        return table.header.index(column)
    if named > 1:
        raise ValueError(f"{table.source} has {named} columns {quoted(column)}; {option} must be a number from 1")
    if column.isdecimal() and 1 <= int(column) <= table.width:
        return int(column) - 1
    there = f"its columns are {quoted(', '.join(table.header))}" if table.header else f"it has {table.width} columns"
    raise ValueError(f"{option} is {quoted(column)}; {table.source} has no such column, {there}")


def _found(table: Table, link: str, option: str, any_unit: bool) -> int:
    """The one column of rates whose name says the link; without such one, the one whose name says no direction.

    ``any_unit``: as the unit is given, the name need not have one where there is a single column besides the times.
    """
    candidates = [at for at, name in enumerate(table.header) if column_unit_bps(name) is not None]
    if any_unit and not candidates:
        candidates = [at for at, name in enumerate(table.header) if column_time_s(name) is None]
    columns = f"its columns are {quoted(', '.join(table.header))}"
    if not candidates:
        hint = f"{option} and trace_unit say which it is, and in what unit"
        raise ValueError(
            f"{table.source} has no column whose name says a unit of rates, as mbps does; {columns}; {hint}"
        )
    for direction in (link, None):
        of_direction = [at for at in candidates if column_link(table.header[at]) == direction]
        if len(of_direction) == 1:
            return of_direction[0]
        if of_direction:
            names = ", ".join(table.name(at) for at in of_direction[:5])
            raise ValueError(
                f"{table.source} has {len(of_direction)} columns of rates, {names}; {option} must say which"
            )
    names = ", ".join(table.name(at) for at in candidates[:5])
    raise ValueError(f"{table.source} has no {link}; {option} can say that {names} stands for it")


def _beside_units(table: Table, unit_bps: float | None) -> _Rates:
    """Rates whose units stand in the second column, another one in each row if need be."""
    if unit_bps is not None:
        raise ValueError(f"{table.source} has a unit in each row; trace_unit must be None")
    units = np.empty(len(table.rows))
    for row, cells in enumerate(table.rows):
        unit = rate_unit_bps(cells[1])
        if unit is None:
            raise table.wrong(row, 1, f"a unit such as {UNITS}")
        units[row] = unit
    return _Rates(0, units, "rates with their units beside them")


def _times(table: Table, rates: int) -> _Times | None:
    """The column of times: see ``_time_column``."""
    at = _time_column(table, rates)
    if at is None:
        return None
    if table.header.count(table.header[at] if table.header else "") > 1:
        raise ValueError(f"{table.source} has two columns {table.name(at)}; trace_step_s reads it without them")
    bound = "a time: a number, or such as 2019-12-16 13:40:04, 2019.12.16_13.40.04 or 13:40:04"
    unit_s = column_time_s(table.header[at]) if table.header else 1.0
    try:
        number_of(table.rows[0][at], table.decimal_comma)
    except ValueError:
        times_s, said = np.empty(len(table.rows)), "the times of"
        for row, cells in enumerate(table.rows):
            seconds = time_s(cells[at])
            if seconds is None:
                raise table.wrong(row, at, bound) from None
            times_s[row] = seconds
    else:
        times = table.parsed(at, bound)
        if np.isnan(times).any():
            raise table.wrong(int(np.isnan(times).argmax()), at, bound)
        if unit_s is None or math.isnan(unit_s):
            unit_s, said = unix_unit(float(times[0]))
        else:
            said = TIME_NAMES[unit_s]
        times_s, said = (times - times[0]) * unit_s, f"the {said} of"
    start_s = np.round(times_s - times_s[0], ROUNDED)
    if (start_s[1:] < start_s[:-1]).any():
        row = int((start_s[1:] < start_s[:-1]).argmax()) + 1
        before = quoted(table.rows[row - 1][at])
        raise table.wrong(row, at, f"at least that of the row before, {before} (trace_step_s reads them without times)")
    return _Times(start_s, f"{said} {table.name(at)}")


def _time_column(table: Table, rates: int) -> int | None:
    """Without a header the first of two; else the first whose name says time, or that begins with date and time.

    ValueError where there is none, and a name has a word of times all the same.
    """
    if not table.header:
        return 0 if (table.width, rates) == (2, 1) else None
    others = [at for at, name in enumerate(table.header) if at != rates and column_unit_bps(name) is None]
    times = [at for at in others if column_time_s(table.header[at]) is not None]
    times += [at for at in others if is_moment(table.rows[0][at])]
    hints = [at for at in others if hints_at_time(table.header[at])]
    if not times and hints:
        raise ValueError(
            f"{table.source} has the column {table.name(hints[0])}, whose name does not say of what times it is, as "
            "time, time_ms or timestamp do; trace_step_s reads the file without it"
        )
    return times[0] if times else None


def _values(table: Table, rates: _Rates) -> NDArray[np.float64]:
    """The rates in bits a second; NaN where one is missing."""
    bound = f"a number, at least 0 and at most {MOST_BPS:.0e} bit/s"
    with np.errstate(over="ignore"):  # what is infinite is above the bound
        rate_bps = table.parsed(rates.column, bound) * rates.unit_bps
    wrong = (rate_bps < 0) | (rate_bps > MOST_BPS)
    if wrong.any():
        raise table.wrong(int(wrong.argmax()), rates.column, bound)
    return rate_bps


def _at_steps(table: Table, rates: _Rates, given_s: float | None) -> Trace:
    """Samples that are equally far apart."""
    rate_bps = _values(table, rates)
    if (missing := np.isnan(rate_bps)).any():
        raise table.wrong(int(missing.argmax()), rates.column, "a number, as the file has no times")
    samples, step_s = len(rate_bps), float(given_s or 1.0)
    start_s = np.round(np.arange(samples) * step_s, ROUNDED)
    why = " (no column is a time)" if given_s is None and len(table.header) > 1 else ""
    return Trace(f"{rates.said}, {step_s:g} s apart{why}", samples, start_s, rate_bps, samples * step_s)


def _at_times(table: Table, rates: _Rates, times: _Times) -> Trace:
    """Samples at times of their own."""
    rate_bps = _values(table, rates)
    there = ~np.isnan(rate_bps)
    if not there.any():
        raise ValueError(f"{table.source} has no rate: all of {table.name(rates.column)} is {MISSING!r}")
    said = f"{rates.said} at {times.said}"
    if not there.all():
        said += f", {np.sum(~there):,} of them missing"
    # The end of the trace is that of the file, also where its last values are missing.
    lasts_s = np.diff(np.unique(times.start_s))
    duration_s = float(times.start_s[-1] + (lasts_s[-1] if len(lasts_s) else 1.0))
    start_s, position, count = np.unique(times.start_s[there], return_inverse=True, return_counts=True)
    mean_bps = np.asarray(np.bincount(position, rate_bps[there]) / count, dtype=np.float64)
    start_s[0] = 0.0  # where the first values are missing
    lasts_s = np.diff(np.append(start_s, duration_s))
    if lasts_s.max() > max(LONG_GAP_S, 10 * np.median(lasts_s)):
        said += f" (a gap of {lasts_s.max():.4g} s after {start_s[lasts_s.argmax()]:.4g} s)"
    return Trace(said, int(there.sum()), start_s, mean_bps, duration_s)
