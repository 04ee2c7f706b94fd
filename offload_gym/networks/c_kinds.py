"""What the variables of kernels are in C: numbers, structs and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

PREFIX = "offload_gym_"  # of all names


class Record(NamedTuple):
    """A struct: a record of a structured array, or a named tuple of arrays."""

    name: str
    fields: Mapping[str, Kind]
    constant: bool = True  # whether kernels only read it


class Array(NamedTuple):
    """An array of known shape; in a struct it may stand elsewhere, and a pointer in the struct."""

    of: Kind
    shape: tuple[int, ...]
    elsewhere: bool = False


Kind = str | Record | Array  # the strings are "double", "int" and "float"


def record_of(name: str, dtype: np.dtype, constant: bool = True) -> Record:
    """The struct of a structured array's records: whole numbers and flags as int."""
    return Record(
        name, {field: "double" if dtype[field].kind == "f" else "int" for field in dtype.names or ()}, constant
    )


def declared(kind: Kind, name: str) -> str:
    """A field of this kind, as it is declared."""
    if isinstance(kind, Array):
        of = PREFIX + kind.of.name if isinstance(kind.of, Record) else str(kind.of)
        if kind.elsewhere:
            rest = "".join(f"[{size}]" for size in kind.shape[1:])
            return f"const {of} (*{name}){rest}" if rest else f"const {of} *{name}"
        return f"{of} {name}" + "".join(f"[{size}]" for size in kind.shape)
    return f"{PREFIX}{kind.name} {name}" if isinstance(kind, Record) else f"{kind} {name}"


def as_local(kind: Kind, name: str) -> str:
    """A variable or parameter of this kind: structs and arrays as pointers. Only arrays of float are written."""
    if isinstance(kind, Record):
        return f"{'const ' if kind.constant else ''}{PREFIX}{kind.name} *{name}"
    if isinstance(kind, Array):
        return f"{'' if kind.of == 'float' else 'const '}{kind.of} *{name}"
    return f"{kind} {name}"
