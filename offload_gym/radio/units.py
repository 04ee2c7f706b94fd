"""What the headers of traces say: units of rates and of times, directions, and times as text."""

from __future__ import annotations

import datetime
import math
import re

UNITS = "bit/s, kbit/s, Mbit/s, Gbit/s, kB/s or MB/s"
LINKS = ("uplink", "downlink")
_SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
_RATE = re.compile(r"([kKmMgG]?)([bB]|[bB]its?|[bB]ytes?)(ps|PS|/s|/S|/sec|/second)")
# Columns whose unit loggers say in their manual instead: those of G-NetTrack, which most public 4G and 5G logs are of.
_KNOWN_KBPS = ("dl_bitrate", "ul_bitrate")
_DIRECTIONS = {
    "uplink": {"ul", "up", "uplink", "upload", "tx"},
    "downlink": {"dl", "down", "downlink", "download", "rx"},
}
_TIME = {"time", "timestamp", "timestamps", "ts", "t", "elapsed", "elapsedtime", "datetime", "unix", "unixtime"}
_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "milli", "millis", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "usec", "micros", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nsec", "nanos", "nanosecond", "nanoseconds"), 1e-9),
}
# Units only beside a word for time: a column "min" is a least value, and "hour" one of two columns.
_LONG = {
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
}
RATE_NAMES = {1.0: "bit/s", 1e3: "kbit/s", 1e6: "Mbit/s", 1e9: "Gbit/s"}
RATE_NAMES |= {8 * bps: name.replace("bit", "B") for bps, name in RATE_NAMES.items()}
TIME_NAMES = {
    1.0: "seconds",
    1e-3: "milliseconds",
    1e-6: "microseconds",
    1e-9: "nanoseconds",
    60.0: "minutes",
    3600.0: "hours",
}
_BESIDE_TIME = {"epoch", "date", "utc", "gmt", "local", "since", "start", "relative", "in", "of", "sample", "recorded"}
_BESIDE_TIME |= {"stamp", "measurement"}
# Words of columns that may well be times, but in what unit, or of what, they do not say.
_HINTS = {"time", "times", "timestamp", "stamp", "date", "epoch", "unix", "clock", "uptime"}
_HINTS |= {"minute", "minutes", "hour", "hours"}
# From these values on a time without a unit must be Unix time in ms, µs or ns: seconds would be past the year 5000.
_UNIX = ((1e17, 1e-9, "ns"), (1e14, 1e-6, "µs"), (1e11, 1e-3, "ms"))


def rate_unit_bps(text: str) -> float | None:
    """A unit of rates in bits a second, such as Mbit/s, mbps, Kbits/sec or MB/s; None where the text is none.

    Bits and bytes are told apart by the capital B of ``MBps`` and ``MB/s``, the scales by their letter alone.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        return None
    scale, what, per = match.groups()
    is_bytes = "yte" in what or (what == "B" and per != "PS")  # MBPS is mbps in capitals
    return _SCALES[scale.lower()] * (8.0 if is_bytes else 1.0)


def column_unit_bps(name: str) -> float | None:
    """The unit that a column's name says; None where it says none."""
    if name.lower() in _KNOWN_KBPS:
        return 1e3
    parts = re.split(r"[\s_()\[\],:;-]+", re.sub(r"(?<=[a-z]{2})(?=[A-Z])", " ", name))
    return next((unit for part in parts if (unit := rate_unit_bps(part)) is not None), None)


def column_link(name: str) -> str | None:
    """The direction that a column's name says: one of ``LINKS``, or None."""
    words = set(_words(name))
    return next((link for link in LINKS if words & _DIRECTIONS[link]), None)


def column_time_s(name: str) -> float | None:
    """The seconds of one unit of a column of times; None where its name says another thing than time."""
    words = _words(name)
    scales = _SECONDS | _LONG if set(words) & _TIME else _SECONDS
    units = [scales[word] for word in words if word in scales]
    if not set(words) <= _TIME | scales.keys() | _BESIDE_TIME or not (units or set(words) & _TIME):
        return None
    return units[-1] if units else math.nan


def hints_at_time(name: str) -> bool:
    """Whether a column's name has a word of times."""
    return bool(set(_words(name)) & _HINTS)


def unix_unit(first: float) -> tuple[float, str]:
    """The seconds of one unit of a time whose column says none, and what to call it, by its first value."""
    found = ((scale, f"Unix times in {name}") for least, scale, name in _UNIX if first >= least)
    return next(found, (1.0, TIME_NAMES[1.0]))


def time_s(cell: str) -> float | None:
    """A time as text in seconds: 2019-12-16 13:40:04, with or without zone, 2019.12.16_13.40.04 or 13:40:04.

    None where it is none of these.
    """
    for read in (_date_and_time, _logged, _clock):
        try:
            return read(cell)
        except ValueError:
            continue
    return None


def is_moment(cell: str) -> bool:
    """Whether a cell holds both a date and a time of day."""
    return len(re.split(r"[T _]", cell)) > 1 and time_s(cell) is not None


def _date_and_time(cell: str) -> float:
    time = datetime.datetime.fromisoformat(cell)
    return (time if time.tzinfo else time.replace(tzinfo=datetime.UTC)).timestamp()


def _logged(cell: str) -> float:
    return datetime.datetime.strptime(cell, "%Y.%m.%d_%H.%M.%S").replace(tzinfo=datetime.UTC).timestamp()


def _clock(cell: str) -> float:
    time = datetime.time.fromisoformat(cell)
    return time.hour * 3600 + time.minute * 60 + time.second + time.microsecond * 1e-6


def _words(name: str) -> list[str]:
    return re.findall(r"[a-zµ]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
