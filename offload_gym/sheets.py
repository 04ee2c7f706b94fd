"""Sheets as text: rows of cells with separators between them, as spreadsheets and loggers write them."""

from __future__ import annotations

import csv
import io
import re

from offload_gym.checks import shortened


def separator_of(text: str) -> str:
    """The separator of a sheet's cells, by its first row: a comma, a semicolon or a tab.

    Where that row begins with a number, a comma beside one of the others is a decimal one. A single column has a
    semicolon for its separator, so that its commas are decimal ones, too.
    """
    first = text.lstrip("\r\n").partition("\n")[0]
    commas, other = first.count(","), max(";\t", key=first.count)
    if commas == 0 or (first[:1].isdigit() and other in first):
        return other
    return other if first.count(other) > commas else ","


def rows_of(text: str, source: str) -> list[tuple[int, list[str]]]:
    """The rows of a sheet: (number of the row from 1, its cells without spaces around them).

    A first row such as ``sep=;``, which some spreadsheets write, says the separator.

    Raises:
        ValueError: a quotation mark is never closed, or a cell is longer than the csv module reads.
    """
    said = re.match(r'"?sep=([,;\t|])"?[,;\t]*\r?\n', text)
    separator, skipped = (said[1], said.end()) if said else (separator_of(text), 0)
    try:
        # strict: a quotation mark that is never closed is an error.
        lines = list(csv.reader(io.StringIO(text[skipped:], newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise ValueError(f"{source} is not CSV: {shortened(str(error))}") from None
    return [(i, [cell.strip() for cell in line]) for i, line in enumerate(lines, start=2 if said else 1)]


def number_of(cell: str, decimal_comma: bool = False) -> float:
    """The number in a cell; ValueError where it is none. ``decimal_comma``: 12,5 is 12.5."""
    if decimal_comma and "," in cell and re.fullmatch(r"[^.,]*,[^.,]*", cell):
        cell = cell.replace(",", ".")
    if "_" in cell:  # Python reads 1_000 as a number
        raise ValueError(cell)
    return float(cell)
