"""Reading texts, writing files whole or not at all, and not mixing results of different settings in one folder."""

from __future__ import annotations

import glob
import json
import os
import secrets
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import LONGEST_SENTENCE, as_path, quoted, shortened

LEFT_OVER_S = 3600.0  # age from which an unfinished file is nobody's
_unfinished: set[Path] = set()  # temporary files of this process
MOST_UNPACKED = 100  # bytes of arrays for each of an npz file; what this package writes is not compressed
_AS_TEXT = "save it as a text in UTF-8"
_AS_CSV = "export the sheet as CSV in UTF-8"
_NUMBERS = "write its numbers as CSV or JSON"
# What files begin with that are taken for texts: what each is, and what to do with it.
_KINDS = {
    b"\xff\xfe": ("a text in UTF-16", _AS_TEXT),
    b"\xfe\xff": ("a text in UTF-16", _AS_TEXT),
    b"MATLAB 5.0 MAT": ("a MATLAB file", _NUMBERS),
    b"MATLAB 7.3 MAT": ("a MATLAB file", _NUMBERS),
    b"\x89HDF": ("an HDF5 file", _NUMBERS),
    b"PAR1": ("a Parquet file", "offload_gym.interop.parquet reads demonstrations from it"),
    b"\xd0\xcf\x11\xe0": ("an Office file", _AS_CSV),
    b"\x1f\x8b": ("compressed by gzip", "unpack it"),
    b"%PDF": ("a PDF", _AS_TEXT),
}


def decoded(data: bytes, source: str | Path) -> str:
    """The text of a file's bytes, without a byte-order mark and with line breaks as Python has them.

    ValueError says what the file is where it is no text.
    """
    what, remedy = next((kind for start, kind in _KINDS.items() if data.startswith(start)), ("", ""))
    if data.startswith(b"PK\x03\x04"):
        what, remedy = "a zip archive", "unpack it"
        if b"[Content_Types].xml" in data:
            what, remedy = "a spreadsheet or another Office file", _AS_CSV
        elif b".npy" in data:
            what, remedy = "an npz file", "offload_gym.load_demonstrations reads demonstrations from it"
        elif b"data.pkl" in data:
            what, remedy = "a torch file", "offload_gym.Application.from_torch reads models in Python"
    elif is_onnx(data):
        what, remedy = "an ONNX model", "offload_gym.load_application reads it"
    if what:
        raise ValueError(f"{source} is {what}, not a text in UTF-8; {remedy}")
    at = data.find(b"\0")  # numbers, or a text in UTF-16 that does not say so
    try:
        text = data.decode("utf-8-sig")  # spreadsheets write a byte-order mark
    except UnicodeDecodeError as error:
        at = error.start if at < 0 else min(at, error.start)
    if at >= 0:
        raise ValueError(f"{source} is not a text in UTF-8, as the byte 0x{data[at]:02x} at {at:,} shows; {_AS_TEXT}")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def is_onnx(data: bytes) -> bool:
    """Whether bytes begin as an ONNX model does: its version, below 128, and then another field of a model."""
    # The fields of ModelProto in the order of their numbers, as writers have them: who made it, its domain and version,
    # a text, the graph and the sets of operators (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
    return len(data) > 2 and data[0] == 0x08 and data[1] < 0x80 and data[2] in b"\x12\x1a\x22\x28\x32\x3a\x42"


def modified_ns(path: str | os.PathLike[str]) -> int:
    """When a file was last written, for what is read once while it stays; 0 where it is not: reading says so."""
    return os.stat(path).st_mtime_ns if os.path.exists(path) else 0


def read_text(path: str | os.PathLike[str], source: str | None = None) -> str:
    """The text of a file, which sentences call ``source``; ValueError where it cannot be read or is no text."""
    source = source or str(as_path(path))
    return decoded(read_bytes(path, source), source)


def read_bytes(path: str | os.PathLike[str], source: str | None = None) -> bytes:
    """The bytes of a file; ValueError where it cannot be read."""
    given = as_path(path)
    try:
        if given.is_char_device() or given.is_block_device():  # a scenario may name one, such as /dev/zero
            raise ValueError(f"{source or path} is a device; it must be a file")
        return given.read_bytes()
    except OSError as error:
        named = shortened(source or str(path), LONGEST_SENTENCE)
        raise ValueError(f"{named} cannot be read: {error.strerror or error}") from None


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file by their names, none of them of objects; nothing in it is run.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is something else or damaged, or it unpacks to much more than it is.
    """
    # Opened here, as numpy leaves a file open that it cannot read.
    with path.open("rb") as file:
        try:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is not an npz file, or it is cut short")
            with zipfile.ZipFile(file) as members:
                unpacked = sum(member.file_size for member in members.infolist())
            if unpacked > MOST_UNPACKED * os.fstat(file.fileno()).st_size:
                raise ValueError(f"it unpacks to {unpacked:,} bytes, more than {MOST_UNPACKED} times its size")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return {name: np.asarray(archive[name]) for name in archive.files}
        # What zipfile, zlib and numpy raise on damaged bytes is not said anywhere: BadZipFile, NotImplementedError,
        # RuntimeError, struct.error, EOFError, MemoryError and others. Nothing but reading happens here.
        except Exception as error:
            raise ValueError(shortened(str(error)) or type(error).__name__) from None


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; it takes the place of ``path`` once the block has succeeded.

    The folder is made where it is missing. Where the block fails, the temporary file is removed and an existing file
    stays as it was. A link stays, and what it leads to is replaced. What killed processes left of the same file is
    removed.

    Raises:
        OSError: the file cannot be written; it names ``path``.
        ValueError: a folder, a device or a pipe is in its place.
    """
    path = as_path(path)
    if path.is_symlink():
        path = path.resolve()
    if path.is_dir():
        raise ValueError(f"{path} is a folder; it must be a file")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is a device or a pipe; it must be a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left_over(path.parent, glob.escape(path.name))
    with _temporary(path) as temporary:
        yield temporary
        os.replace(temporary, path)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A path beside ``path``, where nothing is left in the end; an OSError of writing there names ``path``."""
    # A name of its own, also among machines that share the folder. Some writers pick a format by the ending.
    temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    _unfinished.add(temporary)
    try:
        yield temporary
    except OSError as error:
        if error.errno is None:  # of a library, which says in its own words what happened
            raise OSError(f"{path}: {error}") from error
        if error.filename is None or str(error.filename) == str(temporary):  # a full disk has none
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
        _unfinished.discard(temporary)


def remove_unfinished() -> None:
    """Remove the temporary files of this process, which is about to end without an error that would do it."""
    for temporary in tuple(_unfinished):
        temporary.unlink(missing_ok=True)


def remove_left_over(folder: Path, pattern: str) -> None:
    """Remove the temporary files of processes that were killed; a newer one may be at work still.

    Args:
        folder: where they are.
        pattern: of the names of the files that they were to become.
    """
    for left_over in folder.glob(f".{'[0-9a-f]' * 8}.{pattern}"):
        with suppress(OSError):  # complete in the meantime, or another user's
            if time.time() - left_over.stat().st_mtime > LEFT_OVER_S:
                left_over.unlink()


def keep_settings(path: str | Path, settings: Mapping[str, Any], *results: str) -> None:
    """Write settings beside the results that they make, or refuse to mix results of different settings in one folder.

    Of several processes that begin at once, one writes its settings, and the others compare theirs with them.

    Args:
        path: the JSON file of the settings; its folder is that of the results.
        settings: names and plain values; mappings may hold further ones.
        *results: patterns of the files of results, which must not be there without the settings.

    Raises:
        ValueError: the results in the folder were made with other settings, a run with others has begun there, or
            nothing says how the results were made.
    """
    path = Path(path)
    now = json.loads(json.dumps(settings, default=lambda value: value.tolist()))  # numbers and arrays of numpy
    has_results = any(any(path.parent.glob(pattern)) for pattern in results)
    if not path.exists():
        if has_results:
            raise ValueError(f"{path.parent} has results but no {path.name}, which says how they were made")
        if _create(path, json.dumps(now, indent=2) + "\n"):
            return
    before, now = read_settings(path), _flat(now)
    for name in sorted(now.keys() | before.keys()):
        if now.get(name) == before.get(name):
            continue
        given, kept = f"{shortened(name)} is {quoted(now.get(name))}", quoted(before.get(name))
        if results and not has_results:  # of a run that has just begun, or was stopped
            raise ValueError(
                f"{given}, but {kept} in {path}, whose run has no results yet; remove that file if the run is over, or "
                "choose another folder"
            )
        raise ValueError(f"{given}, but the results in {path.parent} were made with {kept}; choose another folder")


def read_settings(path: Path) -> dict[str, Any]:
    """The settings that ``keep_settings`` wrote, nested ones by their names with dots between.

    Raises:
        ValueError: the file is something else.
    """
    try:
        return _flat(dict(json.loads(path.read_text(encoding="utf-8"))))
    except (RecursionError, TypeError, ValueError):
        raise ValueError(f"{path} is not a settings file") from None


def _create(path: Path, text: str) -> bool:
    """Write a file that is not there, whole; False where another process has written it in the meantime."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links: exclusive, too, but not whole at once
            try:
                with path.open("x", encoding="utf-8") as file:
                    try:
                        file.write(text)
                        file.flush()
                    except BaseException:
                        path.unlink()
                        raise
            except FileExistsError:
                return False
    return True


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their names with dots between."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
