"""Files of networks: named arrays and metadata in the safetensors format.

Such a file is an 8-byte header length, a JSON header and raw little-endian arrays, so reading one runs nothing from it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import as_path, quoted, shortened
from offload_gym.layers import Layers

# What the metadata call the format of the files that this package writes.
POLICY, STREAM_POLICY = "offload_gym.policy/1", "offload_gym.stream_policy/1"
CELL_POLICY, GRAPH_POLICY = "offload_gym.cell_policy/1", "offload_gym.graph_policy/1"
#: By format: what such a file is called, and what reads it.
_KINDS = {
    POLICY: ("a policy file", "load_policy"),
    STREAM_POLICY: ("a policy file of streams", "load_stream_policy"),
    CELL_POLICY: ("a policy file of cells", "cell_policies.load_cell_policy"),
    GRAPH_POLICY: ("a policy file of graphs", "load_policy"),
}
ACTIVATIONS = ("relu", "tanh")
MAX_HEADER_BYTES = 1_000_000

#: How a field of the metadata is read, with a KeyError or ValueError where it is something else, and what it must be.
Field = tuple[Callable[[str], Any], str]
Fields = Mapping[str, Field]


def read_safetensors(path: str | Path | Traversable) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
    """Tensors and metadata of a safetensors file of float32 arrays; ValueError where it is not one, or cut short."""
    try:
        data = path.read_bytes() if isinstance(path, Traversable) else as_path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    problem = f"{path} is not a complete safetensors file of float32 arrays"
    if len(data) < 8:
        raise ValueError(f"{problem}: it has {len(data)} bytes")
    (length,) = struct.unpack("<Q", data[:8])
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"{problem}: it does not begin with the size of a header")
    if length > len(data) - 8:
        raise ValueError(f"{problem}: its header should have {length} bytes")
    body = data[8 + length :]
    tensors, used = {}, 0
    try:
        header: dict[str, Any] = json.loads(data[8 : 8 + length])
        metadata = {str(key): str(value) for key, value in header.pop("__metadata__", {}).items()}
        for name, entry in header.items():
            start, end = entry["data_offsets"]
            shape = tuple(int(size) for size in entry["shape"])
            if entry["dtype"] != "F32" or not 0 <= start <= end <= len(body) or end - start != 4 * np.prod(shape):
                raise ValueError(
                    f"tensor {quoted(name)} is {quoted(entry)}, and the file holds {len(body)} bytes of data"
                )
            tensors[name] = np.frombuffer(body[start:end], dtype="<f4").reshape(shape).astype(np.float32)
            used += end - start
        if used != len(body):
            raise ValueError(f"its tensors have {used} bytes, and the file holds {len(body)} bytes of data")
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{problem}: {shortened(str(error))}") from None
    return tensors, metadata


def safetensors_bytes(metadata: dict[str, str], parts: Mapping[str, Layers]) -> bytes:
    """A safetensors file of layers, named ``<part>.<i>.weight`` and ``.bias``: equal content gives the same bytes."""
    header: dict[str, Any] = {"__metadata__": metadata}
    body = b""
    for part, layers in parts.items():
        for i, layer in enumerate(layers):
            for name, array in zip(("weight", "bias"), layer, strict=True):
                data = np.ascontiguousarray(array, dtype="<f4").tobytes()
                offsets = len(body), len(body) + len(data)
                header[f"{part}.{i}.{name}"] = {"dtype": "F32", "shape": array.shape, "data_offsets": offsets}
                body += data
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the arrays are aligned
    return struct.pack("<Q", len(text)) + text + body


def format_of(path: str | Path | Traversable) -> str:
    """The format that a file of tensors says it has, empty where it says none; ValueError where it is no such file."""
    return read_safetensors(path)[1].get("format", "")


def check_format(path: str | Path | Traversable, metadata: Mapping[str, str], wanted: str) -> None:
    """ValueError where a file has another format than the one that is wanted."""
    found = metadata.get("format")
    if found == wanted:
        return
    if found in _KINDS:
        kind, reader = _KINDS[found]
        raise ValueError(f"{path} is {kind}; offload_gym.{reader} reads it")
    raise ValueError(f"{path} has the format {quoted(found)}; {_KINDS[wanted][0]} has {wanted!r}")


def read_policy_file(
    path: str | Path | Traversable, kind: str, fields: Fields, needed: Sequence[str], parts: Sequence[str]
) -> tuple[dict[str, Any], list[Layers], dict[str, str]]:
    """A file of one format: its fields, the layers of each part, and what else the metadata say of it.

    ValueError where it is something else; nothing in it is run.
    """
    tensors, metadata = read_safetensors(path)
    check_format(path, metadata, kind)
    return read_fields(path, metadata, fields, needed), layers_of(path, tensors, parts), metadata


def layers_of(
    path: str | Path | Traversable, tensors: dict[str, NDArray[np.float32]], parts: Sequence[str]
) -> list[tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]]:
    """The layers of each part, which are all that the file has."""
    found = []
    for part in parts:
        layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        while f"{part}.{len(layers)}.weight" in tensors:
            at = f"{part}.{len(layers)}"
            if f"{at}.bias" not in tensors:
                raise ValueError(f"{path} is not a complete policy file: '{at}.bias' is missing")
            layers.append((tensors.pop(f"{at}.weight"), tensors.pop(f"{at}.bias")))
        found.append(tuple(layers))
    if tensors:  # such as a later layer whose turn never came because one before it is missing
        raise ValueError(
            f"{path} is not a complete policy file: the tensors {quoted(sorted(tensors))} have no place in it"
        )
    return found


def chain(part: str, layers: Layers, inputs: int) -> list[int]:
    """Inputs, then the outputs of each layer; ValueError where one does not fit, or a number is not finite."""
    sizes = [inputs]
    for i, (weight, bias) in enumerate(layers):
        if weight.ndim != 2 or weight.shape[1] != sizes[-1] or bias.shape != weight.shape[:1]:
            raise ValueError(
                f"{part}.{i} has a weight of shape {weight.shape} and a bias of shape {bias.shape}; it must take "
                f"{sizes[-1]} inputs"
            )
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise ValueError(f"{part}.{i} has a weight or bias that is not finite")
        sizes.append(weight.shape[0])
    return sizes


def count(text: str) -> int:
    """A whole number; ValueError where it is something else."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError
    return int(text)


def _json_object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError
    return value


def one_of(choices: Sequence[str]) -> Field:
    """How one of these words is read."""
    return {choice: choice for choice in choices}.__getitem__, f"one of {', '.join(choices)}"


FLAG = {"0": False, "1": True}.__getitem__, "0 or 1"
COUNT = count, "a whole number"
JSON_OBJECT = _json_object, "a JSON object"


def read_fields(
    path: str | Path | Traversable, metadata: dict[str, str], known: Fields, needed: Sequence[str]
) -> dict[str, Any]:
    """The known fields that the metadata say, which are taken out of them; ValueError where one is missing or wrong."""
    fields: dict[str, Any] = {}
    for name, (read, wanted) in known.items():
        if name in metadata:
            text = metadata.pop(name)
            try:
                fields[name] = read(text)
            except (KeyError, RecursionError, ValueError):
                raise ValueError(f"{path} has the {name} {quoted(text)}; it must be {wanted}") from None
    for name in needed:
        if name not in fields:
            raise ValueError(f"{path} is not a complete policy file: {name!r} is missing")
    return fields
