"""Reading a text file, or standard input, and the JSON in it."""

from __future__ import annotations

import json
import sys
from typing import Any

from offload_gym.checks import shortened
from offload_gym.files import decoded
from offload_gym.files import read_bytes as read_file

STANDARD_INPUT = "-"


def source_name(path: str) -> str:
    """How messages name a file."""
    return "standard input" if path == STANDARD_INPUT else path


def read_text(path: str) -> str:
    """The text of a file, or of standard input where the path is ``-``; ValueError where it is no text."""
    return decoded(read_bytes(path), source_name(path))


def read_bytes(path: str) -> bytes:
    """The bytes of a file, or of standard input where the path is ``-``; ValueError where it cannot be read."""
    if path != STANDARD_INPUT:
        return read_file(path)
    return sys.stdin.buffer.read() if hasattr(sys.stdin, "buffer") else sys.stdin.read().encode()


def is_like_json(text: str) -> bool:
    """Whether a text begins as an object or a list of JSON does."""
    return text.lstrip()[:1] in ("{", "[")


def parse_json(text: str, source: str) -> Any:
    """What JSON says; ValueError where it is none."""
    try:
        return json.loads(text)
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{source} is not JSON: {shortened(str(error))}") from None
