"""Writing files whole or not at all, and not mixing results of different settings in one folder."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; it takes the place of ``path`` once the block has succeeded.

    The folder is made where it is missing. Where the block fails, the temporary file is removed and an existing file
    stays as it was.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; it must be a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own, also among machines that share the folder. Some writers pick a format by the ending.
    temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def keep_settings(path: str | Path, settings: Mapping[str, Any], *results: str) -> None:
    """Write settings beside the results that they make, or refuse to mix results of different settings in one folder.

    Args:
        path: the JSON file of the settings; its folder is that of the results.
        settings: names and plain values; mappings may hold further ones.
        *results: patterns of the files of results, which must not be there without the settings.

    Raises:
        ValueError: the results in the folder were made with other settings, or nothing says how they were made.
    """
    path = Path(path)
    now = json.loads(json.dumps(settings, default=lambda value: value.tolist()))  # numbers and arrays of numpy
    if not path.exists():
        if any(any(path.parent.glob(pattern)) for pattern in results):
            raise ValueError(f"{path.parent} has results but no {path.name}, which says how they were made")
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")
        return
    try:
        before = dict(json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError):
        raise ValueError(f"{path} is not a settings file") from None
    now, before = _flat(now), _flat(before)
    for name in sorted(now.keys() | before.keys()):
        if now.get(name) != before.get(name):
            raise ValueError(
                f"{name} is {now.get(name)!r}, but the results in {path.parent} were made with {before.get(name)!r}; "
                "choose another folder"
            )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their names with dots between."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
