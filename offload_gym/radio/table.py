"""The text of a trace as a table: rows with as many cells in each, with or without a header."""

from __future__ import annotations

import math
import os
import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import as_path, quoted
from offload_gym.files import read_text
from offload_gym.sheets import number_of, rows_of, separator_of

MISSING = "-"


class Table(NamedTuple):
    """The rows of a file, as many cells in each."""

    source: str  # the file, for messages
    header: list[str]  # empty where there is none
    numbers: list[int]  # of the rows in the file, for messages
    rows: list[list[str]]
    decimal_comma: bool

    @property
    def width(self) -> int:
        """Cells in a row."""
        return len(self.header or self.rows[0])

    def name(self, column: int) -> str:
        """How messages name a column."""
        return quoted(self.header[column]) if self.header else f"column {column + 1}"

    def wrong(self, row: int, column: int, bound: str) -> ValueError:
        """The sentence on a cell that is not what it must be."""
        cell = self.rows[row][column]
        hint = ", with a point for a comma" if "," in cell else ""
        where = f"{self.source}, row {self.numbers[row]}"
        return ValueError(f"{where}: {self.name(column)} is {quoted(cell)}; it must be {bound}{hint}")

    def parsed(self, column: int, bound: str) -> NDArray[np.float64]:
        """The numbers of a column; NaN where a cell has the sign of a missing value."""
        numbers = np.empty(len(self.rows))
        for row, cells in enumerate(self.rows):
            try:
                numbers[row] = math.nan if cells[column] == MISSING else number_of(cells[column], self.decimal_comma)
            except ValueError:
                raise self.wrong(row, column, bound) from None
            if cells[column] != MISSING and not math.isfinite(numbers[row]):
                raise self.wrong(row, column, bound)
        self._check_commas(column)
        return numbers

    def _check_commas(self, column: int) -> None:
        """ValueError where each comma of a column may stand for thousands as well as for decimals."""
        commas = [(row, cells[column]) for row, cells in enumerate(self.rows) if "," in cells[column]]
        if commas and all(re.fullmatch(r"[1-9]\d{0,2},\d{3}", cell) for _, cell in commas):
            row, cell = commas[0]
            raise ValueError(
                f"{self.source}, row {self.numbers[row]}: {self.name(column)} is {quoted(cell)}, which may be "
                f"{cell.replace(',', '.')} or {cell.replace(',', '')}; write it without a comma"
            )


def read_table(path: str | os.PathLike[str]) -> Table:
    """The table in a file; empty rows before and behind it are no part of it.

    Raises:
        ValueError: the file cannot be read, is no text, is empty or has rows of different length; one sentence.
    """
    source = f"the trace {as_path(path)}"
    text = read_text(path, source)
    lines = text.strip().splitlines()
    words = [len(line.split()) for line in (lines or [""])]
    # Between spaces, where no other separator is.
    spaces = bool(lines) and not any(sign in lines[0] for sign in ",;\t") and words[0] == words[-1] > 1
    rows = [(i, line.split()) for i, line in enumerate(text.splitlines(), start=1)] if spaces else rows_of(text, source)
    filled = [at for at, (_, cells) in enumerate(rows) if any(cells)]
    if not filled:
        raise ValueError(f"{source} is empty")
    rows = rows[filled[0] : filled[-1] + 1]
    first = rows[0][1]
    while not first[-1]:
        first.pop()
    numbers, checked = [], []
    for number, cells in rows:
        if not any(cells):
            raise ValueError(f"{source}, row {number} is empty; only the last rows may be")
        if len(cells) < len(first) or any(cells[len(first) :]):
            raise ValueError(f"{source}, row {number} has {len(cells)} cells; the first row has {len(first)}")
        numbers.append(number)
        checked.append(cells[: len(first)])
    decimal_comma = spaces or separator_of(text) != ","
    try:
        number_of(first[0], decimal_comma)
    except ValueError:
        if len(checked) == 1:
            raise ValueError(f"{source} has a single row, {quoted(', '.join(first))}, and no numbers") from None
        return Table(source, first, numbers[1:], checked[1:], decimal_comma)
    return Table(source, [], numbers, checked, decimal_comma)
