"""Hostile files made of good ones: bytes that are flipped, cut, spliced and repeated, and values that nobody expects.

Each mutation takes a generator and the bytes of a file and gives other bytes. Those of a format take it apart first,
which may fail after an earlier mutation; then ``mutated`` flips a bit.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

Mutation = Callable[[random.Random, bytes], bytes]
MOST_BYTES = 300_000  # of a mutated file

# Stands in JSON for what json.dumps does not write; ``_written`` puts the text in its place.
_RAW = {
    "@deep": "[" * 100_000 + "]" * 100_000,
    "@objects": '{"a":' * 50_000 + "1" + "}" * 50_000,
    "@digits": "9" * 5000,
    "@large": "1" + "0" * 400,
    "@exponent": "1e999999",
    "@surrogate": '"\\ud800"',
}
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 1000, 10**6, 10**6 + 1, 10**7, 10**9, 2**31, 2**32, 2**63, 2**64, 10**30),
    *(-(2**31), -(2**63), 0.5, -0.5, -0.0, 5e-324, 1e-300, 1e9, 1e300, 1.7976931348623157e308),
    *(float("nan"), float("inf"), -float("inf"), "", "a", "0", "1e9", "nan", "inf", "-inf", "1_000", "\u0661", "\x00"),
    *("a\nb", "x" * 10_000, "../../etc/passwd", "/dev/zero", "/proc/self/mem", "__class__", "dag", "default", "trace"),
    *([], {}, [[]], [0], [1, 2], [2, 1], [None], [[0, 1]], [[1, 0]], [float("nan")], {"": None}, {"a": {}}),
    *_RAW,
)
NUMBERS = (
    *("0", "1", "-1", "2", "3", "7", "999999", "1000001", "1e9", "1e300", "1e309", "-1e9", "0.5", "-0.0", "5e-324"),
    *(
        "nan",
        "NaN",
        "inf",
        "-inf",
        "Infinity",
        "",
        " ",
        "1_000",
        "0x10",
        "1,5",
        "1.5.5",
        "\u0663",
        "9" * 400,
        "9" * 5000,
    ),
    *("4294967296", "9223372036854775808", "18446744073709551616", "1e", "+1", "--1", '"', "'", "a", "\x00", "-"),
)
WORDS = (
    *('"', "<", ">", "{", "}", "[", "]", "->", "--", ";", ",", ":", "=", "/*", "*/", "//", "#", "\n", "\r", "\t", "\\"),
    *("<![CDATA[", "]]>", "<!--", "-->", "<?", "?>", "&amp;", "&#x0;", "&#1114112;", "<!DOCTYPE a>", "xmlns:a=''"),
    *("digraph", "subgraph", "strict", "node", "edge", "graph", "NODE_COUNT", "sep=;", "\ufeff", "\u2028", "\x85"),
)


def flip(rng: random.Random, data: bytes) -> bytes:
    """A few bits turned over."""
    copy = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 2, 8))):
        copy[rng.randrange(len(copy))] ^= 1 << rng.randrange(8)
    return bytes(copy)


def cut(rng: random.Random, data: bytes) -> bytes:
    """The beginning, the end, or all but a piece."""
    at, to = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return rng.choice((data[:at], data[to:], data[:at] + data[to:], data[:-1]))


def repeat(rng: random.Random, data: bytes) -> bytes:
    """A piece twice, or very often."""
    at = rng.randrange(len(data) + 1)
    piece = data[at : at + rng.choice((1, 4, 30, 200))]
    times = rng.choice((1, 1, 1, 2, 10, 200, 1000)) if rng.random() < 0.3 else 1
    return data[:at] + piece * times + data[at:]


def splice(rng: random.Random, data: bytes) -> bytes:
    """A piece of the file, or of nothing, over another piece of it."""
    at, source = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
    length = rng.choice((1, 2, 4, 8, 40))
    piece = data[source : source + length] if rng.random() < 0.6 else rng.randbytes(length)
    return data[:at] + piece + data[at + rng.choice((0, length)) :]


def number_in_bytes(rng: random.Random, data: bytes) -> bytes:
    """A size or a count of binary files that is much too large, or negative."""
    at = rng.randrange(len(data) + 1)
    width, code = rng.choice(((1, "B"), (2, "<H"), (4, "<I"), (8, "<Q"), (4, ">I")))
    value = rng.choice((0, 1, 0x7F, 2 ** (8 * width - 1) - 1, 2 ** (8 * width - 1), 2 ** (8 * width) - 1))
    return data[:at] + struct.pack(code, value) + data[at + width :]


BYTES: tuple[Mutation, ...] = (flip, cut, repeat, splice, number_in_bytes)


def mutated(rng: random.Random, seeds: Sequence[bytes], structured: Mutation) -> bytes:
    """A seed after one to three mutations, more often of the format than of bytes."""
    data = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if rng.random() < 0.6:
            try:
                data = structured(rng, data)
            except Exception:  # of many kinds: it can no longer be taken apart
                data = flip(rng, data)
        else:
            data = rng.choice(BYTES)(rng, data)
        data = data[:MOST_BYTES]
    return data


def json_values(rng: random.Random, data: bytes) -> bytes:
    """JSON with a value, a key or a branch changed."""
    return _written(changed_tree(rng, json.loads(data))).encode("utf-8", "surrogatepass")


def _written(tree: Any) -> str:
    text = json.dumps(tree)
    for mark, raw in _RAW.items():
        if mark in text:
            text = text.replace(f'"{mark}"', raw)
    return text


def changed_tree(rng: random.Random, tree: Any) -> Any:
    """A tree of lists and dicts, changed at a place that is drawn; at each depth as likely."""
    places, holder = [], [tree]
    level: list[Any] = [holder]
    while level:
        here = [(node, key) for node in level for key in (node if isinstance(node, dict) else range(len(node)))]
        if here:
            places.append(here)
        level = [node[key] for node, key in here if isinstance(node[key], list | dict)]
    node, key = rng.choice(rng.choice(places))
    what = rng.randrange(10)
    if what < 5:
        node[key] = rng.choice(VALUES)
    elif what == 5:
        other, at = rng.choice(rng.choice(places))
        node[key] = json.loads(json.dumps(other[at]))
    elif what == 6 and node is not holder:
        del node[key]
    elif what == 7 and isinstance(node, dict):
        node[rng.choice((f"{key} ", "", "name", "id", "\x00", str(key).upper(), "tasks"))] = node.pop(key)
    elif what == 8 and isinstance(node, list) and node is not holder:
        node[key:key] = [node[key]] * rng.choice((1, 1, 3, 500))
    elif isinstance(node[key], int | float) and not isinstance(node[key], bool):
        node[key] = rng.choice((-node[key], node[key] * 1e6, node[key] + 0.5, str(node[key]), [node[key]]))
    else:
        node[key] = [node[key]] if what == 9 else {"a": node[key]}
    return holder[0]


def sheet_cells(rng: random.Random, data: bytes) -> bytes:
    """CSV with a cell, a row, a column or the separators changed."""
    text = data.decode("utf-8", "replace")
    lines = text.split("\n")
    separator = "," if "," in lines[0] else ";" if ";" in lines[0] else " "
    rows = [line.split(separator) for line in lines]
    i = rng.randrange(len(rows))
    j = rng.randrange(len(rows[i]))
    what = rng.randrange(9)
    if what < 4:
        rows[i][j] = rng.choice(NUMBERS)
    elif what == 4:
        rows[i : i + 1] = [rows[i]] * rng.choice((0, 2, 3, 300))
    elif what == 5:
        for row in rows:
            row[j : j + 1] = row[j : j + 1] * rng.choice((0, 2))
    elif what == 6:
        rows[0][j % len(rows[0])] = rng.choice(
            (*rows[0], "time_ms", "x_m", "mbps", "", "latitude", "kB/s", "arrival_ms")
        )
    elif what == 7:
        other = rng.randrange(len(rows))
        rows[i], rows[other] = rows[other], rows[i]
    else:
        separator = rng.choice((",", ";", "\t", "|", " "))
    return "\n".join(separator.join(row) for row in rows).encode("utf-8", "surrogatepass")


def text_tokens(rng: random.Random, data: bytes) -> bytes:
    """A text with a number, a word or a run of both changed, moved, repeated or nested."""
    tokens = re.findall(r"[A-Za-z_]+|\d+(?:\.\d+)?|\s+|.", data.decode("utf-8", "replace"))
    at, what = rng.randrange(len(tokens)), rng.randrange(7)
    numbers = [i for i, token in enumerate(tokens) if token[0].isdigit()]
    if what < 3 and numbers:
        tokens[rng.choice(numbers)] = rng.choice(NUMBERS)
    elif what == 3:
        tokens[at] = rng.choice((*WORDS, rng.choice(tokens)))
    elif what == 4:
        tokens[at:at] = tokens[at : at + rng.randrange(1, 30)] * rng.choice((1, 1, 2, 300))
    elif what == 5:
        del tokens[at : at + rng.randrange(1, 20)]
    else:
        tokens[at:at] = [rng.choice((*WORDS, "<a>", "{", '"', "[a=b]", "a->"))] * rng.choice((1, 2, 99, 101, 5000))
    return "".join(tokens).encode("utf-8", "surrogatepass")


def safetensors(rng: random.Random, data: bytes) -> bytes:
    """A file of tensors with its header changed, or the JSON within it, of the right length or not; or its numbers."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    said = header["__metadata__"]
    what = rng.randrange(5)
    if what == 0:
        at = 4 * rng.randrange(len(body) // 4)
        odd = struct.pack("<f", rng.choice((float("nan"), float("inf"), 3e38, -3e38, 1e-45, 0.0)))
        return data[: 8 + length] + body[:at] + odd + body[at + 4 :]
    if what == 1 and "scenario_fields" in said:
        said["scenario_fields"] = json_values(rng, said["scenario_fields"].encode()).decode("utf-8", "replace")
    elif what == 2:
        said[rng.choice(list(said))] = rng.choice(
            (*NUMBERS, "1,1,1", "0,1", "1 2", "2 1", "last", "joint", "tanh", "*/ hostile /*", "*\\\n/ hostile")
        )
    else:
        header = changed_tree(rng, header)
    text = _written(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", (len(text) + rng.choice((0, 0, 0, 0, 8, -1))) % 2**64) + text + body


class _Trap:
    """What makes a folder once somebody unpickles it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (Path(self.path), 0o777, True, True)


def npz(trap: Path) -> Mutation:
    """Mutations of npz files; some hold a pickle that makes the folder ``trap``, and some unpack to much more."""

    def mutate(rng: random.Random, data: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > 1e7:
                return flip(rng, data)
            entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
        at = rng.randrange(len(entries))
        name, content = entries[at]
        what = rng.randrange(8)
        if what == 0:
            entries[at] = name, _npy_header(rng, content)
        elif what == 1:
            entries[at] = name, _npy_values(rng, content)
        elif what == 2:
            del entries[at]
        elif what == 3:
            entries.append((rng.choice((name, entries[0][0], "../a.npy", "a", "alternative_s.npy")), content))
        elif what == 4:
            entries[at] = name, rng.choice(entries)[1]
        elif what == 5:
            array = np.array([_Trap(str(trap))], dtype=object)
            entries[at] = name, rng.choice((_npy(array), pickle.dumps(_Trap(str(trap)))))
        elif what == 6:
            entries[at] = name, flip(rng, content)
        method = rng.choice((0, 0, 0, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
        if what == 7 and rng.random() < 0.02:
            return _bomb(name)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive, warnings.catch_warnings(action="ignore"):  # of a name twice
            for entry in entries:
                archive.writestr(zipfile.ZipInfo(entry[0]), entry[1], method)
        return file.getvalue()

    return mutate


@cache
def _bomb(name: str) -> bytes:
    """An archive of 300 kB that holds an array of 300 MB."""
    file, piece = io.BytesIO(), bytes(1 << 20)
    header = _npy(np.zeros(0))[:128].replace(b"(0,), }", b"(37500000,), }")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as entry:
        entry.write(header[:128])
        for _ in range(286):
            entry.write(piece)
    return file.getvalue()


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def _npy_header(rng: random.Random, content: bytes) -> bytes:
    """An array whose header says another type or shape."""
    header, data = content[10:128].decode("latin-1"), content[128:]
    kinds = (
        "<f8",
        "<f4",
        "<i8",
        "|u1",
        "|b1",
        "<U5",
        "|S5",
        "|O",
        "<M8[s]",
        "<c16",
        ">f8",
        "|V8",
        "<f16",
        "|V0",
        "<U0",
    )
    if rng.random() < 0.5:
        header = re.sub(r"'descr': '[^']*'", f"'descr': '{rng.choice(kinds)}'", header)
    else:
        sizes = ("", "0,", "1,", "-1,", "10**9,", "1000000000,", "2, 3", "3, -1, 8", "1, " * 40, "True,", "'a',")
        header = re.sub(r"'shape': \([^)]*\)", f"'shape': ({rng.choice(sizes)})", header)
    return content[:8] + struct.pack("<H", len(header)) + header.encode("latin-1") + data


def _npy_values(rng: random.Random, content: bytes) -> bytes:
    """An array with an odd number in it."""
    array = np.load(io.BytesIO(content)).copy()
    odd = (-1, 0, 1, 2, 7, 100, 127, 255) if array.dtype.kind in "iu" else (-1.0, 0.0, 1e300, -1e300, np.nan, np.inf)
    with np.errstate(over="ignore"):
        array.flat[rng.randrange(array.size)] = np.asarray(rng.choice(odd)).astype(array.dtype)
    return _npy(array)
