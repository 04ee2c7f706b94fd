"""What the epochs of a scenario see of a recorded trace.

An epoch sends all its data at the rate of its own second, as rates are fixed within an epoch of the delay model; what
the trace does later concerns later epochs. An epoch that begins in an outage finds the radio busy until the outage ends
(``radio_backlog_s``) and then sends at the first rate after it, so that no rate is ever zero: remote tasks wait, tasks
on the device do not. A trace repeats from its start when it ends.

With a recorded downlink, an outage is a second in which either link has no rate: the radio is busy until both have one,
and both rates are those of that second. The downlink begins with the uplink; it repeats, or is cut, to its length.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import quoted
from offload_gym.files import modified_ns
from offload_gym.radio.formats import load_trace
from offload_gym.radio.trace import Trace


class Recording(NamedTuple):
    """Where the traces of a scenario are, and how they are read; see the fields of ``Scenario``."""

    trace_path: str
    downlink_trace_path: str | None = None
    trace_column: str | None = None
    downlink_trace_column: str | None = None
    trace_unit: str | None = None
    trace_step_s: float | None = None

    def traces(self) -> dict[str, Trace]:
        """The trace of each recorded link; read once in a process while the files stay as they are.

        Raises:
            ValueError: see ``load_trace``.
        """
        return _traces_of(self, *self._modified_ns())

    def summaries(self) -> Iterable[str]:
        """A line on each trace: what it was taken for."""
        for link, trace in self.traces().items():
            path = self.trace_path if link == "uplink" else self.downlink_trace_path
            yield f"{link} {path}: {trace.summary}"

    def seconds(self) -> NDArray[np.float64]:
        """The rates of each second, for epochs.

        Returns:
            (seconds, 3): the uplink rate in bits a second and the seconds until it holds, as ``fill_outages`` gives
            them, and the downlink rate, 0 where none is recorded.

        Raises:
            ValueError: see ``load_trace``; or no second has a rate.
        """
        return _seconds_of(self, *self._modified_ns())

    def _modified_ns(self) -> list[int]:
        """When each file was last written."""
        return [modified_ns(path) for path in self[:2] if path is not None]


# Fields of a scenario that belong to radio="trace" alone, and are None otherwise.
RECORDING_FIELDS = Recording._fields


@lru_cache(maxsize=16)
def _traces_of(recording: Recording, *_modified_ns: int) -> dict[str, Trace]:
    given = recording
    traces = {"uplink": load_trace(given.trace_path, given.trace_column, given.trace_unit, given.trace_step_s)}
    if given.downlink_trace_path is not None:
        path, column = given.downlink_trace_path, given.downlink_trace_column
        traces["downlink"] = load_trace(path, column, given.trace_unit, given.trace_step_s, "downlink")
    return traces


@lru_cache(maxsize=16)
def _seconds_of(recording: Recording, *_modified_ns: int) -> NDArray[np.float64]:
    rates_bps = {link: trace.rates_bps() for link, trace in recording.traces().items()}
    uplink_bps = rates_bps["uplink"]
    downlink_bps = np.resize(rates_bps["downlink"], len(uplink_bps)) if "downlink" in rates_bps else None
    if not (uplink_bps if downlink_bps is None else np.minimum(uplink_bps, downlink_bps)).any():
        beside = "" if downlink_bps is None else f" in which {recording.downlink_trace_path} has one, too"
        raise ValueError(f"the trace {recording.trace_path} has no second with a rate above 0{beside}; it needs one")
    return fill_outages(uplink_bps, downlink_bps)


def fill_outages(
    uplink_bps: NDArray[np.float64], downlink_bps: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Replace the rates of each outage by those of the next second with rates, and say how long it is until then.

    The trace is taken as periodic, so the rate after a final outage is the first one.

    Args:
        uplink_bps: (seconds,); at least one is above 0, in a second in which the downlink is, too.
        downlink_bps: (seconds,), or None where it is not recorded.

    Returns:
        (seconds, 3): uplink in bits a second, the seconds until it holds (0 outside outages), and downlink, 0 for None.
    """
    seconds = len(uplink_bps)
    up = uplink_bps > 0 if downlink_bps is None else (uplink_bps > 0) & (downlink_bps > 0)
    # The next second with rates, at or after each one; past the end it is in the next round.
    with_rates = np.flatnonzero(up)
    later = np.searchsorted(with_rates, np.arange(seconds))
    following = np.append(with_rates, with_rates[0] + seconds)[later]
    filled = np.zeros((seconds, 3))
    filled[:, 0] = uplink_bps[following % seconds]
    filled[:, 1] = following - np.arange(seconds)
    if downlink_bps is not None:
        filled[:, 2] = downlink_bps[following % seconds]
    return filled


def checked_recording(radio: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a recording as a scenario keeps them; the traces are read here, to say now what is wrong with them.

    Raises:
        ValueError: a field is out of its bounds, or a trace cannot be read.
    """
    if not isinstance(radio, str) or radio not in ("constant", "random", "trace"):
        raise ValueError(f"radio is {quoted(radio)}; it must be 'constant', 'random' or 'trace'")
    fields = {name: given[name] for name in RECORDING_FIELDS}
    if radio != "trace":
        for name, value in fields.items():
            if value is not None:
                raise ValueError(f"{name} is {quoted(value)}; with radio={radio!r} it must be None")
        return fields
    if fields["trace_path"] is None:
        raise ValueError("trace_path is None; radio='trace' needs the path of a CSV file")
    for name in ("trace_path", "downlink_trace_path"):
        if not isinstance(fields[name], str | os.PathLike | None):
            raise ValueError(f"{name} is {quoted(fields[name])}; it must be the path of a CSV file")
        fields[name] = None if fields[name] is None else os.fspath(fields[name])
    for name in ("trace_column", "downlink_trace_column"):
        if isinstance(fields[name], bool) or not isinstance(fields[name], str | int | None):
            raise ValueError(f"{name} is {quoted(fields[name])}; it must be the name of a column or its number from 1")
        fields[name] = None if fields[name] is None else str(fields[name])
    if fields["downlink_trace_path"] is None and fields["downlink_trace_column"] is not None:
        raise ValueError(
            f"downlink_trace_column is {quoted(fields['downlink_trace_column'])}; it needs downlink_trace_path"
        )
    Recording(**fields).seconds()
    if fields["trace_step_s"] is not None:
        fields["trace_step_s"] = float(fields["trace_step_s"])
    return fields
