"""Reading a text file, or standard input, and the JSON in it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

STANDARD_INPUT = "-"


def source_name(path: str) -> str:
    """How messages name a file."""
    return "standard input" if path == STANDARD_INPUT else path


def read_text(path: str) -> str:
    """The text of a file, or of standard input where the path is ``-``; ValueError where it is no text."""
    try:
        if path == STANDARD_INPUT:
            return sys.stdin.buffer.read().decode("utf-8-sig") if hasattr(sys.stdin, "buffer") else sys.stdin.read()
        return Path(path).read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
    except UnicodeDecodeError:
        raise ValueError(f"{source_name(path)} is not a text in UTF-8") from None
    except OSError as error:
        raise ValueError(f"{source_name(path)} cannot be read: {error.strerror or error}") from None


def parse_json(text: str, source: str) -> Any:
    """What JSON says; ValueError where it is none."""
    try:
        return json.loads(text)
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{source} is not JSON: {error}") from None
