"""When jobs arrive: the fields of a scenario that say so, and recorded arrivals."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import checked_number, is_number, quoted, shortened
from offload_gym.files import modified_ns, read_text
from offload_gym.sheets import number_of, rows_of, separator_of

ARRIVALS = ("poisson", "bursty", "periodic", "trace")
POISSON, BURSTY, PERIODIC, RECORDED = range(4)
#: Columns of recorded arrivals, and the bound of each.
COLUMNS = {
    "arrival_s": "finite and at least that of the row before it",
    "input_bits": "finite and at least 0",
    "output_bits": "finite and at least 0",
    "workload_cycles": "finite and at least 0",
    "deadline_s": "above 0 (infinite is allowed)",
}
UNITS = {
    "input_bits": "bits (a byte is 8 bits, a kB 8,000)",
    "output_bits": "bits (a byte is 8 bits, a kB 8,000)",
    "workload_cycles": "CPU cycles (a Gcycle is 1e9)",
    "deadline_s": "seconds (a ms is 0.001)",
}
OTHER_UNITS = "([kmg]?(b|bit|bits|byte|bytes|cycles)|ms|us|sec|seconds)"
SIZES = tuple(COLUMNS)[1:4]


def load_arrivals(path: str | os.PathLike[str]) -> NDArray[np.float64]:
    """Recorded arrivals, read once in a process while the file stays as it is.

    Args:
        path: a CSV file with a header that names ``arrival_s`` and, where they are recorded, the other ``COLUMNS``;
            further columns are ignored.

    Returns:
        (rows, 5), at least two, in the order of ``COLUMNS``; NaN in those that the file lacks.

    Raises:
        ValueError: the file cannot be read, has no such column or one of them in another unit, or a row is out of its
            bounds; one sentence.
    """
    return _loaded(os.fspath(path), modified_ns(path))


def recorded_gap_s(table: NDArray[np.float64]) -> float:
    """Seconds between recorded arrivals, on average; ``table`` is what ``load_arrivals`` returns."""
    return float(table[-1, 0] - table[0, 0]) / (len(table) - 1)


@lru_cache(maxsize=16)
def _loaded(path: str, _modified_ns: int) -> NDArray[np.float64]:
    source = f"the file of arrivals {path}"
    text = read_text(path, source)
    rows = [row for row in rows_of(text, source) if any(row[1])]
    header = rows[0][1] if rows else []
    if "arrival_s" not in header:
        found = shortened(", ".join(map(repr, header)))
        raise ValueError(f"{source} has {f'the columns {found}' if found else 'no row'}; it needs a column 'arrival_s'")
    for name in header:
        meant = _meant(name, [column for column in COLUMNS if column not in header])
        if meant is not None:
            raise ValueError(f"{source} has the column {quoted(name)} where {meant} is expected, in {UNITS[meant]}")
    if len(rows) < 3:
        raise ValueError(f"{source} has {len(rows) - 1} rows of arrivals; it must have at least 2")
    table = np.full((len(rows) - 1, len(COLUMNS)), np.nan)
    decimal_comma = separator_of(text) != ","
    for column, (name, bound) in enumerate(COLUMNS.items()):
        if name not in header:
            continue
        at = header.index(name)
        before = -math.inf
        for i, (number, cells) in enumerate(rows[1:]):
            cell = cells[at] if at < len(cells) else ""
            value = _number(cell, decimal_comma)
            least = before if name == "arrival_s" else math.ulp(0.0) if name == "deadline_s" else 0.0
            if not value >= least or (math.isinf(value) and name != "deadline_s"):
                raise ValueError(f"{source}, row {number}: {name!r} is {quoted(cell)}; it must be {bound}")
            table[i, column] = before = value
    if table[-1, 0] == table[0, 0]:
        raise ValueError(f"{source} has all arrivals at {table[0, 0]:g} s; they must not all be at one moment")
    return table


def _meant(name: str, columns: list[str]) -> str | None:
    """The column that another name stands for: written otherwise, or with another unit or none."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    for column in columns:
        stem = column.rpartition("_")[0]
        if plain in (column, column.replace("_", ""), stem) or re.fullmatch(rf"{stem}_?{OTHER_UNITS}", plain):
            return column
    return None


def _number(cell: str, decimal_comma: bool) -> float:
    try:
        return number_of(cell, decimal_comma)
    except ValueError:
        return math.nan


def checked_arrivals(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a scenario that say when jobs arrive, as it keeps them; recorded arrivals are read here.

    Raises:
        ValueError: a field is out of its bounds, or the recorded arrivals cannot be read.
    """
    kind, path, rate = given["arrivals"], given["arrivals_path"], given["arrivals_per_s"]
    if not isinstance(kind, str) or kind not in ARRIVALS:
        raise ValueError(f"arrivals is {quoted(kind)}; it must be one of {', '.join(map(repr, ARRIVALS))}")
    kept: dict[str, Any] = {"arrivals": kind, "arrivals_per_s": _checked_rate(rate, kind), "arrivals_path": path}
    if kind != "trace" and path is not None:
        raise ValueError(f"arrivals_path is {quoted(path)}; with arrivals={kind!r} it must be None")
    if kind == "trace":
        if not isinstance(path, str | os.PathLike):
            raise ValueError(f"arrivals_path is {quoted(path)}; arrivals='trace' needs the path of a CSV file")
        kept["arrivals_path"] = os.fspath(path)
        load_arrivals(path)
    kept["burst_ratio"] = checked_number(
        "burst_ratio", given["burst_ratio"], "finite and at least 1", lambda value: 1 <= value < math.inf
    )
    for name in ("burst_s", "calm_s"):
        kept[name] = checked_number(name, given[name], "finite and above 0", lambda value: 0 < value < math.inf)
    kept["jitter"] = checked_number("jitter", given["jitter"], "from 0 to 1", lambda value: 0 <= value <= 1)
    return kept


def _checked_rate(rate: Any, kind: str) -> float | tuple[float, float] | None:
    """A rate as a number, or as a pair where it is drawn."""
    if rate is None and kind == "trace":
        return None
    pair = tuple(rate) if isinstance(rate, tuple | list) else (rate, rate)
    if len(pair) == 2 and all(is_number(value) for value in pair):
        low, high = map(float, pair)
        if 0 < low <= high < math.inf:
            return (low, high) if isinstance(rate, tuple | list) else low
    recorded = ", or None, as recorded" if kind == "trace" else ""
    raise ValueError(
        f"arrivals_per_s is {quoted(rate)}; it must be a finite number above 0 or a pair (low, high) of them with high "
        f"not below low{recorded}"
    )
