"""Compiling everything in advance: no kernel is left out, whatever asks for it first."""

import importlib
import os
import pkgutil
import subprocess
import sys

import pytest

import offload_gym
from offload_gym.command_line import main, warming
from offload_gym.compilation import KernelCache


def kernels():
    """The caches of all kernels that are compiled for themselves."""
    for module in pkgutil.walk_packages(offload_gym.__path__, "offload_gym."):
        for value in vars(importlib.import_module(module.name)).values():
            found = getattr(value, "_cache", None)
            if isinstance(found, KernelCache) and value.targetoptions.get("inline") != "always":
                yield found


@pytest.mark.slow
def test_warm_up_leaves_no_kernel_out(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-m", "offload_gym", "warm-up"], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("\n") == len(warming.JOBS)
    (folder,) = tmp_path.iterdir()
    kept = {
        path.name.split(f".{cache._digest}.")[0] for cache in kernels() for path in folder.glob(f"{cache._prefix}.*")
    }
    assert kept == {cache._prefix for cache in kernels()}


def test_jobs_run_side_by_side_and_a_failure_is_told(monkeypatch, capsys):
    begun = []

    def begin(name, errors):
        begun.append(name)
        code = "import sys; sys.exit('no compiler')" if name == "bad" else ""
        return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=errors)

    monkeypatch.setattr(warming, "begin", begin)
    monkeypatch.setattr(warming, "JOBS", dict.fromkeys("abc"))
    assert main(["warm-up", "--processes", "2"]) == 0
    assert sorted(begun) == ["a", "b", "c"]
    err = capsys.readouterr().err.splitlines()
    assert [line.split("]")[0] for line in err] == ["[#..", "[##.", "[###"]
    monkeypatch.setattr(warming, "JOBS", {"bad": None})
    assert main(["warm-up"]) == 2
    assert "compiling the kernels of bad failed: no compiler" in capsys.readouterr().err


def test_wrong_arguments_are_told(monkeypatch, capsys):
    assert main(["warm-up", "--processes", "0"]) == 2
    assert capsys.readouterr().err == "error: processes is 0; it must be at least 1\n"
    monkeypatch.setattr(warming, "kernel_folders", lambda: ([], None))
    assert main(["warm-up"]) == 2
    assert "NUMBA_CACHE_DIR" in capsys.readouterr().err


@pytest.mark.parametrize("kept", [False, True])
def test_other_cores_help_with_the_first_search_only(monkeypatch, kept):
    begun, ended = [], []
    monkeypatch.setattr(warming, "begin", lambda name: begun.append(name))
    monkeypatch.setattr(warming, "_end", ended.extend)
    monkeypatch.setattr(warming, "is_kept", lambda kernel: kept)
    monkeypatch.setattr(warming, "num_cores", lambda: 2)
    with warming.help_to_search():
        assert begun == ([] if kept else ["search", "frontier", "schedules"])
        assert not ended
    assert len(ended) == len(begun)
    monkeypatch.setattr(warming, "num_cores", lambda: 1)
    begun.clear()
    with warming.help_to_search():
        assert not begun
