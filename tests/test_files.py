"""Texts that are none, and settings of which several processes begin to write others at once."""

import gzip
import io
import json
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from offload_gym import load_application
from offload_gym.command_line import main
from offload_gym.files import decoded, keep_settings, read_text


def archive(name, **arrays):
    """A zip archive with a file of this name, or with arrays."""
    file = io.BytesIO()
    if arrays:
        np.savez(file, **arrays)
    else:
        with zipfile.ZipFile(file, "w") as written:
            written.writestr(name, "text")
    return file.getvalue()


OTHERS = {
    "utf-16": ("a,b\n1,2\n".encode("utf-16"), "is a text in UTF-16, not a text in UTF-8; save it as a text in UTF-8"),
    "utf-16, unmarked": ("a,b\n".encode("utf-16-le"), "is not a text in UTF-8, as the byte 0x00 at 1 shows; save it"),
    "latin-1": ("a,ü\n".encode("latin-1"), "is not a text in UTF-8, as the byte 0xfc at 2 shows; save it as a text"),
    "xlsx": (
        archive("[Content_Types].xml"),
        "is a spreadsheet or another Office file, not a text in UTF-8; export the sheet",
    ),
    "xls": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100),
        "is an Office file, not a text in UTF-8; export the sheet as CSV",
    ),
    "npz": (archive("", a=np.zeros(2)), "is an npz file, not a text in UTF-8; offload_gym.load_demonstrations reads"),
    "torch": (archive("model/data.pkl"), "is a torch file, not a text in UTF-8; offload_gym.Application.from_torch"),
    "zip": (archive("a.csv"), "is a zip archive, not a text in UTF-8; unpack it"),
    "gzip": (gzip.compress(b"a,b"), "is compressed by gzip, not a text in UTF-8; unpack it"),
    "mat": (
        b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + b" " * 86 + b"\x00\x01IM",
        "is a MATLAB file, not a text in UTF-8; write",
    ),
    "mat 4": (np.array([0, 2, 3, 0, 2], "<i4").tobytes() + b"x\0", "is not a text in UTF-8, as the byte 0x00"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(8), "is an HDF5 file, not a text in UTF-8; write its numbers as CSV or JSON"),
    "onnx": (
        b"\x08\x08\x12\x07pytorch" + b":\x05graph",
        "is an ONNX model, not a text in UTF-8; offload_gym.load_application reads it",
    ),
    "parquet": (b"PAR1\x15\x04", "is a Parquet file, not a text in UTF-8; offload_gym.interop.parquet reads"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_that_is_no_text_is_called_by_what_it_is(kind, tmp_path, capsys):
    data, sentence = OTHERS[kind]
    path = tmp_path / "given.csv"
    path.write_bytes(data)
    for read in (read_text, load_application) if kind != "onnx" else (read_text,):
        with pytest.raises(ValueError, match=r".") as error:
            read(path)
        assert str(error.value).startswith(f"{path} {sentence}")
    assert main(["solve", str(path), "--locations", str(path)]) == 2
    assert f"error: {path} {sentence}" in capsys.readouterr().err


def test_texts_are_texts():
    assert decoded(b"\xef\xbb\xbfa,b\r\nc\r", "x") == "a,b\nc\n"  # with a byte-order mark
    assert decoded("müde\n".encode(), "x") == "müde\n"
    assert decoded(b"", "x") == ""
    assert decoded(b"\x08", "x") == "\b"


def test_an_application_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"name": "a", "tasks": [{"name": "b", "workload_cycles": 1}]}', encoding="utf-8-sig")
    assert load_application(path).task_names == ("b",)


def no_links(source, target):
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("link", [os.link, no_links])
def test_of_runs_that_begin_at_once_one_is_accepted(link, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", link)
    path = tmp_path / "made" / "settings.json"
    all_there = Barrier(8)
    real = Path.exists

    def exists(asked):
        found = real(asked)
        if asked == path and not found:
            all_there.wait(10)  # all have seen that there are no settings
        return found

    monkeypatch.setattr(Path, "exists", exists)

    def begin(seed):
        try:
            keep_settings(path, {"seed": seed})
        except ValueError as error:
            return str(error)
        return "accepted"

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(begin, range(8)))
    assert said.count("accepted") == 1
    kept = said.index("accepted")
    assert json.loads(path.read_text()) == {"seed": kept}
    for seed in set(range(8)) - {kept}:
        # A file system without links may show the file before it is whole.
        assert "choose another folder" in said[seed] or (link is no_links and "is not a settings file" in said[seed])
    assert [entry.name for entry in path.parent.iterdir()] == ["settings.json"]


def test_the_same_settings_are_accepted_again(tmp_path):
    for _ in range(2):
        keep_settings(tmp_path / "settings.json", {"a": {"b": np.arange(2)}})
    with pytest.raises(ValueError, match=r"^a\.b is \[1, 1\], but the results in .* were made with \[0, 1\]; choose"):
        keep_settings(tmp_path / "settings.json", {"a": {"b": np.ones(2, dtype=int)}})


def test_settings_of_a_run_without_results_may_be_removed(tmp_path):
    path = tmp_path / "settings.json"
    keep_settings(path, {"rounds": 6}, "*.npz")
    with pytest.raises(ValueError, match=r"^rounds is 3, but 6 in .*settings\.json, whose run has no results yet;"):
        keep_settings(path, {"rounds": 3}, "*.npz")
    (tmp_path / "labels.npz").touch()
    with pytest.raises(ValueError, match=r"^rounds is 3, but the results in .* were made with 6;"):
        keep_settings(path, {"rounds": 3}, "*.npz")
