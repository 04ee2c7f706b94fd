"""How devices move and where the sites are: the fields of a scenario that say so, and recorded positions."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import checked_count, checked_number, is_number, quoted, shortened
from offload_gym.files import modified_ns, read_text
from offload_gym.sheets import number_of, rows_of, separator_of

MOBILITY = ("none", "waypoint", "roads", "recorded")
STAY, WAYPOINT, ROADS, RECORDED_WAY = range(4)
MAX_SITES = 10_000
EARTH_M = 6_371_008.8  # mean radius
METRES, DEGREES = ("x_m", "y_m"), ("latitude", "longitude")
LENGTHS_M = (1.0, 1e7)
ANYWHERE = (-LENGTHS_M[1], LENGTHS_M[1], "from -1e+07 to 1e+07")
#: Bounds of the columns of positions, and how a sentence says them.
BOUNDS = {
    "x_m": ANYWHERE,
    "y_m": ANYWHERE,
    "latitude": (-90.0, 90.0, "from -90 to 90"),
    "longitude": (-180.0, 180.0, "from -180 to 180"),
}
#: Fields of a scenario that are one number: the least one, whether it may be that, the highest one.
NUMBERS = {
    "road_spacing_m": (LENGTHS_M[0], True, LENGTHS_M[1]),
    "site_spacing_m": (LENGTHS_M[0], True, LENGTHS_M[1]),
    "carrier_hz": (0.5e9, True, 100e9),  # for which 3GPP TR 38.901 is
    "bandwidth_hz": (0.0, False, math.inf),
    "shadowing_db": (0.0, True, math.inf),
    "shadowing_m": (0.0, False, math.inf),
    "handover_hysteresis_db": (0.0, True, math.inf),
}
#: Bounds of ranges.
RANGES = {"speed_m_per_s": (1e-3, 1e4), "pause_s": (0.0, 1e7)}


class Sites(NamedTuple):
    """Where the sites are."""

    xy_m: NDArray[np.float64]  # (A, 2)
    origin: tuple[float, float] | None  # latitude and longitude of (0, 0), where the file has these


class Tracks(NamedTuple):
    """Recorded ways of T devices."""

    rows: NDArray[np.float64]  # (rows, 3): time in seconds, x and y in metres
    start: NDArray[np.int64]  # (T + 1,) the rows of track t are start[t], ..., start[t + 1] - 1


def load_sites(path: str | os.PathLike[str]) -> Sites:
    """The sites of a file, read once in a process while the file stays as it is.

    Args:
        path: a CSV file with a header that names ``x_m`` and ``y_m``, or ``latitude`` and ``longitude`` in degrees;
            further columns are ignored. Degrees become metres about the mean of the sites, x to the east and y to the
            north, by the equirectangular projection.

    Raises:
        ValueError: the file cannot be read, has no such columns, one of them twice, both pairs, or a row is out of its
            bounds; one sentence.
    """
    return _loaded_sites(os.fspath(path), modified_ns(path))


def load_tracks(path: str | os.PathLike[str], origin: tuple[float, float] | None = None) -> Tracks:
    """The recorded positions of a file, read once in a process while the file stays as it is.

    Args:
        path: a CSV file with a header that names ``device``, which is any text, ``time_s``, and the positions as
            ``load_sites`` takes them. Each device's rows are in the order of time; those of several may alternate.
        origin: latitude and longitude of (0, 0), where the positions are in degrees: that of the sites.

    Raises:
        ValueError: see ``load_sites``; or positions are in degrees, and sites are not, or the other way round.
    """
    return _loaded_tracks(os.fspath(path), origin, modified_ns(path))


@lru_cache(maxsize=16)
def _loaded_sites(path: str, _modified_ns: int) -> Sites:
    source = f"the file of sites {path}"
    table = _read(path, source, ())
    degrees, positions = table.in_degrees, table.positions
    if len(positions) > MAX_SITES:
        raise ValueError(f"{source} has {len(positions):,} sites; it must have at most {MAX_SITES:,}")
    if not degrees:
        return Sites(positions, None)
    first = tuple(positions[0].tolist())
    latitude, longitude = first + _away(positions, first).mean(axis=0)
    origin = float(latitude), float(longitude)
    return Sites(_projected(positions, origin), origin)


@lru_cache(maxsize=16)
def _loaded_tracks(path: str, origin: tuple[float, float] | None, _modified_ns: int) -> Tracks:
    source = f"the file of positions {path}"
    table = _read(path, source, ("device", "time_s"))
    if table.in_degrees != (origin is not None):
        here, there = (DEGREES, METRES) if table.in_degrees else (METRES, DEGREES)
        raise ValueError(
            f"{source} has the columns {' and '.join(here)}, and the sites have {' and '.join(there)}; both must have "
            "the same"
        )
    xy_m = table.positions if origin is None else _projected(table.positions, origin)
    rows: dict[str, list[int]] = {}
    times_s = np.empty(len(xy_m))
    for i, (number, cells) in enumerate(table.rows):
        if not cells[0]:
            raise ValueError(f"{source}, row {number}: 'device' is ''; it must say which device is there")
        own, cell = rows.setdefault(cells[0], []), cells[1]
        times_s[i] = _number(cell, table.decimal_comma)
        if not (math.isfinite(times_s[i]) and (not own or times_s[i] > times_s[own[-1]])):
            raise ValueError(
                f"{source}, row {number}: 'time_s' is {quoted(cell)}; it must be finite and above that of the device's "
                "row before it"
            )
        own.append(i)
    order = np.concatenate([np.array(own, dtype=np.int64) for own in rows.values()])
    start = np.concatenate([[0], np.cumsum([len(own) for own in rows.values()])]).astype(np.int64)
    return Tracks(np.ascontiguousarray(np.column_stack([times_s, xy_m])[order]), start)


class _Table(NamedTuple):
    positions: NDArray[np.float64]  # (rows, 2): metres, or latitude and longitude
    in_degrees: bool
    rows: list[tuple[int, list[str]]]  # number of each row in the file, and its cells of the other columns
    decimal_comma: bool


def _read(path: str, source: str, others: tuple[str, ...]) -> _Table:
    """A file that has positions, and other columns whose cells are not looked at."""
    text = read_text(path, source)
    rows = [row for row in rows_of(text, source) if any(row[1])]
    header = rows[0][1] if rows else []
    pairs = [pair for pair in (METRES, DEGREES) if set(pair) <= set(header)]
    names = pairs[0] if pairs else None
    missing = [name for name in others if name not in header]
    if names is None or missing:
        found = shortened(", ".join(map(repr, header)))
        wanted = " and ".join(
            [*map(repr, missing), *(["'x_m', 'y_m' or 'latitude', 'longitude'"] if not names else [])]
        )
        raise ValueError(f"{source} has {f'the columns {found}' if found else 'no row'}; it needs {wanted}")
    if len(pairs) > 1:
        raise ValueError(f"{source} has positions in metres and in degrees; it must have one of both")
    for name in (*names, *others):
        if header.count(name) > 1:
            raise ValueError(f"{source} has {header.count(name)} columns {name!r}; it must have one")
    if len(rows) < 2:
        raise ValueError(f"{source} has no row of positions; it must have at least 1")
    decimal_comma = separator_of(text) != ","
    positions, kept = np.empty((len(rows) - 1, 2)), []
    for i, (number, cells) in enumerate(rows[1:]):
        full = cells + [""] * (len(header) - len(cells))
        for column, name in enumerate(names):
            cell, (low, high, bound) = full[header.index(name)], BOUNDS[name]
            value = _number(cell, decimal_comma)
            if not (low <= value <= high and math.isfinite(value)):
                raise ValueError(f"{source}, row {number}: {name!r} is {quoted(cell)}; it must be {bound}")
            positions[i, column] = value
        kept.append((number, [full[header.index(name)] for name in others]))
    return _Table(positions, names == DEGREES, kept, decimal_comma)


def _away(degrees: NDArray[np.float64], origin: tuple[float, float]) -> NDArray[np.float64]:
    """Latitude and longitude (rows, 2) less those of an origin, on the shorter way around the earth."""
    away = degrees - np.array(origin)
    away[:, 1] -= 360.0 * np.round(away[:, 1] / 360.0)
    return away


def _projected(degrees: NDArray[np.float64], origin: tuple[float, float]) -> NDArray[np.float64]:
    """Latitude and longitude (rows, 2) as metres to the east and north of an origin: the equirectangular projection."""
    latitude, longitude = np.radians(_away(degrees, origin)).T
    return EARTH_M * np.column_stack([longitude * math.cos(math.radians(origin[0])), latitude])


def _number(cell: str, decimal_comma: bool) -> float:
    try:
        return number_of(cell, decimal_comma)
    except ValueError:
        return math.nan


def sites_of(given: Mapping[str, Any]) -> Sites:
    """The sites of a scenario's fields: those of its file, or rows of a hexagonal grid about (0, 0)."""
    if given["sites_path"] is not None:
        return load_sites(given["sites_path"])
    count, spacing_m = given["num_sites"], given["site_spacing_m"]
    columns = math.isqrt(count - 1) + 1
    row, column = np.divmod(np.arange(count), columns)
    xy_m = spacing_m * np.column_stack([column + 0.5 * (row % 2), math.sqrt(0.75) * row])
    return Sites(xy_m - xy_m.mean(axis=0), None)


def checked_mobility(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a scenario that say how devices move, as it keeps them; the files are read here.

    Raises:
        ValueError: a field is out of its bounds, does not fit the others, or a file cannot be read; one sentence.
    """
    kind = given["mobility"]
    if not isinstance(kind, str) or kind not in MOBILITY:
        raise ValueError(f"mobility is {quoted(kind)}; it must be one of {', '.join(map(repr, MOBILITY))}")
    kept: dict[str, Any] = {"num_sites": checked_count("num_sites", given["num_sites"], 1, MAX_SITES)}
    for name, (low, closed, high) in NUMBERS.items():
        least = low if closed else math.nextafter(low, math.inf)
        bound = f"from {low:g} to {high:g}" if high < math.inf else f"finite and {'at least' if closed else 'above'} 0"
        most = min(high, math.nextafter(math.inf, 0.0))
        kept[name] = checked_number(name, given[name], bound, _within(least, most))
    for name, (low, high) in RANGES.items():
        if kind != "none" and not (low <= given[name][0] and given[name][1] <= high):
            raise ValueError(f"{name} is {quoted(given[name])}; both must be from {low:g} to {high:g}")
    kept["area_m"] = _checked_area(given["area_m"])
    for name, needed in (("sites_path", None), ("positions_path", "recorded")):
        kept[name] = path = given[name]
        if path is None and kind == needed:
            raise ValueError(f"{name} is None; mobility={kind!r} needs the path of a CSV file")
        if path is not None and (kind == "none" or needed not in (None, kind)):
            raise ValueError(f"{name} is {quoted(path)}; with mobility={kind!r} it must be None")
        if path is not None and not isinstance(path, str | os.PathLike):
            raise ValueError(f"{name} is {quoted(path)}; it must be the path of a CSV file")
        kept[name] = None if path is None else os.fspath(path)
    if kind == "none":
        _refuse(given, kind, {"num_sites": 1})
        return kept
    _refuse(given, kind, {"radio": "random", "outage_share": 0.0, "further_edge_rate_ratio": (1.0, 1.0)})
    if not given["transmit_w"] > 0:
        raise ValueError(f"transmit_w is {quoted(given['transmit_w'])}; with mobility={kind!r} it must be above 0")
    sites = sites_of(kept)
    if kind == "recorded":
        load_tracks(kept["positions_path"], sites.origin)
    return kept


def _within(least: float, most: float) -> Callable[[float], bool]:
    return lambda value: least <= value <= most


def _refuse(given: Mapping[str, Any], kind: str, needed: Mapping[str, Any]) -> None:
    """ValueError where a field, as it is checked, has another value than the one that goes with this mobility."""
    for name, value in needed.items():
        if given[name] != value:
            raise ValueError(f"{name} is {quoted(given[name])}; with mobility={kind!r} it must be {value!r}")


def _checked_area(area: Any) -> tuple[float, float] | None:
    if area is None:
        return None
    if isinstance(area, tuple | list) and len(area) == 2 and all(is_number(side) for side in area):
        width_m, height_m = map(float, area)
        if all(LENGTHS_M[0] <= side <= LENGTHS_M[1] for side in (width_m, height_m)):
            return width_m, height_m
    raise ValueError(
        f"area_m is {quoted(area)}; it must be a pair (width, height) of numbers from {LENGTHS_M[0]:g} to "
        f"{LENGTHS_M[1]:g}, or None"
    )
