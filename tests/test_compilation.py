"""Compiled kernels on disk: never of other sources, and no folder or file that is missing or damaged ends a run."""

from __future__ import annotations

import ast
import gc
import os
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numba import jit
from numba.core import event
from numba.core.errors import NumbaWarning, TypingError

import offload_gym
from offload_gym import compilation
from offload_gym.compilation import kernel, kernel_folders, source_digest

PACKAGE = Path(offload_gym.__file__).parent
MODULES = sorted(
    ".".join(["offload_gym", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)


def python(code: str, path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program that imports the package from ``path``, outside of the repository."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(path), **environment},
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def copy(tmp_path):
    """The folder that holds a copy of the package without compiled kernels."""
    folder = tmp_path / "copy"
    shutil.copytree(PACKAGE, folder / "offload_gym", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_the_sources_of_a_kernel_are_its_module_and_all_that_it_imports():
    # An independent reading of the imports: the syntax tree instead of lines.
    imports = {}
    for module in MODULES:
        tree = ast.parse(compilation._source(module))
        found = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
        imports[module] = {node.module for node in found if node.module.startswith("offload_gym")}
        assert imports[module] == {name.decode() for name in compilation.IMPORT.findall(compilation._source(module))}
        for node in found:  # else the name after "import" would be a source, too
            assert not any(f"{node.module}.{alias.name}" in MODULES for alias in node.names), module
    assert all(imported in MODULES for found in imports.values() for imported in found)


def test_an_edit_changes_the_digest_of_what_depends_on_it_alone(copy):
    code = (
        "from offload_gym.compilation import source_digest as digest\n"
        "names = ('delay', 'solvers.exact', 'envs.fleet', 'applications.cnns')\n"
        "print(*[digest(f'offload_gym.{name}') for name in names])"
    )
    before = python(code, copy).stdout.split()
    with (copy / "offload_gym" / "delay.py").open("a") as file:
        file.write("\nEDITED = True\n")
    after = python(code, copy).stdout.split()
    assert len(before) == 4
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, False, False, True]


def test_no_command_mixes_the_kernels_of_two_sources(copy):
    # GIVEN compiled kernels, WHEN a rule in another file than that of the kernel changes, THEN the kernel follows.
    code = (
        "import numpy as np\n"
        "from offload_gym.applications.random_graphs import random_edges\n"
        "has_edge = np.zeros((3, 3), dtype=bool)\n"
        "random_edges(np.full(64, 0.5), 0.5, 1.0, 1, has_edge)\n"
        "print(random_edges.stats.cache_hits != {}, has_edge.sum())"
    )
    environment = {"NUMBA_CACHE_DIR": str(copy / "kernels")}
    outputs = [python(code, copy, **environment).stdout.split() for _ in range(2)]
    assert [output[0] for output in outputs] == ["False", "True"]
    path = copy / "offload_gym" / "compilation.py"
    path.write_text(path.read_text() + "\nEDITED = True\n")
    assert python(code, copy, **environment).stdout.split() == ["False", outputs[0][1]]
    assert len(list((copy / "kernels").glob("*/applications.random_graphs.random_edges.*"))) == 1  # the old one is gone


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of compiled kernels of one's own."""
    monkeypatch.setattr(compilation, "kernel_folders", lambda: ([tmp_path], tmp_path))
    return tmp_path


def doubled(x):
    return x * 2


def test_a_compiled_kernel_is_kept_and_found_for_each_signature(folder):
    first = kernel(doubled)
    assert first(3) == 6
    assert first(1.5) == 3.0
    assert len(list(folder.glob("*.nbc"))) == 2
    second = kernel(doubled)
    np.testing.assert_array_equal([second(3), second(1.5)], [6, 3.0])
    assert sum(second.stats.cache_hits.values()) == 2


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_torn_file_is_compiled_anew(folder, keep):
    kernel(doubled)(3)
    (path,) = folder.glob("*.nbc")
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    again = kernel(doubled)
    assert again(3) == 6
    assert not again.stats.cache_hits
    assert len(path.read_bytes()) >= len(whole) - 100  # mended for the next process


def test_nothing_is_kept_where_nothing_can_be_written(folder, monkeypatch):
    kernel(doubled)(3)
    monkeypatch.setattr(compilation, "kernel_folders", lambda: ([folder, folder / "absent"], None))
    found = kernel(doubled)  # what an image of a container holds is still found
    assert found(3) == 6
    assert found.stats.cache_hits
    assert found(1.5) == 3.0
    assert len(list(folder.glob("*.nbc"))) == 1


def test_a_package_that_cannot_be_written_runs_without_a_home(tmp_path):
    # A zip file stands for a read-only installation, as an administrator may write into any folder.
    archive = tmp_path / "package.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in PACKAGE.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                file.write(path, Path("offload_gym") / path.relative_to(PACKAGE))
    code = (
        "import warnings\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    import offload_gym\n"
        "    import numpy as np\n"
        "    from offload_gym.random_numbers import mix\n"
        "    print(mix(np.uint64(0)))\n"
        "for warning in caught:\n"
        "    print(warning.message)"
    )
    nowhere = {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere", "NUMBA_CACHE_DIR": ""}
    run = python(code, archive, **nowhere)
    assert run.returncode == 0, run.stderr
    value, *messages = run.stdout.splitlines()
    assert value == "0"  # shifts and products of 0
    assert len(messages) == 1
    assert "compiles them anew" in messages[0]
    assert "NUMBA_CACHE_DIR" in messages[0]
    # WHERE a folder is named, it is used.
    run = python(code, archive, **nowhere | {"NUMBA_CACHE_DIR": str(tmp_path / "kernels")})
    assert run.stdout.splitlines() == ["0"]
    assert list((tmp_path / "kernels").rglob("random_numbers.mix.*.nbc"))


def test_folders_are_where_numba_is_told():
    folders, writable = kernel_folders()
    assert writable in folders
    assert len(source_digest("offload_gym.delay")) == 16


def test_processes_that_start_together_compile_each_kernel_once(tmp_path):
    code = (
        "import numpy as np\n"
        "from offload_gym.applications.random_graphs import random_edges\n"
        "print('ready', flush=True)\n"
        "input()\n"
        "random_edges(np.full(64, 0.5), 0.5, 1.0, 1, np.zeros((3, 3), dtype=bool))\n"
        "print(sum(random_edges.stats.cache_misses.values()))"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(PACKAGE.parent)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    runs = [subprocess.Popen([sys.executable, "-c", code], env=environment, **pipes) for _ in range(3)]
    for run in runs:
        assert run.stdout.readline() == "ready\n"
    for run in runs:
        run.stdin.write("\n")
        run.stdin.flush()
    assert sorted(int(run.communicate(timeout=120)[0]) for run in runs) == [0, 0, 1]


def test_a_kernel_that_cannot_be_compiled_is_left_to_others(folder):
    cannot = kernel(lambda x: x.absent)
    with pytest.raises(TypingError):
        cannot(1)
    assert not cannot._cache._claimed


def test_a_process_that_dies_while_it_compiles_holds_nobody_up(folder):
    # GIVEN another process that claimed every compiled form and was killed
    claim = (
        "import fcntl, os, sys\n"
        "file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
        "fcntl.lockf(file, fcntl.LOCK_EX)\n"
        "print('claimed', flush=True)\n"
        "input()"
    )
    pytest.importorskip("fcntl")
    path = str(folder / "kernels.lock")
    run = subprocess.Popen(
        [sys.executable, "-c", claim, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout.readline() == "claimed\n"
    assert not compilation._lock(folder, "any", True)
    run.kill()
    run.communicate()
    assert compilation._lock(folder, "any", True)  # THEN the claim is free
    compilation._lock(folder, "any", False)


def test_a_kernel_outside_of_the_package_follows_its_own_source():
    assert compilation._source(__name__) == Path(__file__).read_bytes()
    assert source_digest(__name__) != source_digest("offload_gym")
    assert "offload_gym.compilation" in compilation._parts(__name__)[1]
    assert compilation._source("of_no_file") is None


def test_an_impatient_process_compiles_what_another_one_claimed(folder, monkeypatch):
    monkeypatch.setattr(compilation, "_lock", lambda *_: False)
    monkeypatch.setattr(compilation, "PATIENCE_S", 0.05)
    assert kernel(doubled)(3) == 6


def test_nobody_is_waited_for_where_the_file_of_claims_is_of_another_user(folder, monkeypatch):
    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(compilation, "_lock_file", refused)
    assert compilation._lock(folder, "any", True)


def test_kernels_of_others_compile_with_the_loops_that_numba_lifts_out_of_them():
    @jit(forceobj=True, looplift=True)
    def total(values):
        kept = {"a": object()}  # what numba does not compile
        result = 0.0
        for i in range(len(values)):
            result += values[i]
        return result, len(kept)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumbaWarning)
        assert total(np.ones(5)) == (5.0, 1)


def test_the_collector_rests_while_kernels_are_compiled_and_works_afterwards(folder):
    @kernel
    def outer(x):
        return inner(x) + 1

    seen = []

    class Listener(event.Listener):
        def on_start(self, _):
            seen.append(gc.isenabled())

        on_end = on_start

    assert gc.isenabled()
    with event.install_listener("numba:compiler_lock", Listener()):
        assert outer(1) == 3
    assert seen.count(False) > 2
    assert gc.isenabled()
    with pytest.raises(TypingError):
        kernel(lambda x: x.absent)(1)
    assert gc.isenabled()


@kernel
def inner(x):
    return x * 2
