"""How kernels are compiled, and where the compiled code is kept.

Numba's own cache compiles a kernel anew when its file changes, but not when a kernel that it calls, in another file,
does: after an edit old and new physics would run at once. It also fails where no folder can be written or a file is
torn, may mix up what two processes save at once, and lets ten workers that start together compile all ten times. So
kernels have a cache of their own: one file for each kernel, signature and processor, with a digest in its name of all
sources that the kernel may depend on. A process waits for what another one is compiling.
"""

from __future__ import annotations

import gc
import hashlib
import os
import pickle
import pkgutil
import re
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import config, njit
from numba.core import event
from numba.core.caching import FunctionCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.extending import intrinsic
from numba.misc.appdirs import AppDirs

from offload_gym.front_end import NUMBAS, QUICKER, exchange

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PACKAGE = "offload_gym"
# Interpreters and versions of numba that share a folder keep their own files in it.
RUNTIME = f"{sys.implementation.cache_tag}-numba-{numba.__version__}"
WAIT = "offload_gym:wait"  # event of a process that waits for what another one is compiling
PATIENCE_S = 120.0  # then a process no longer waits for what another one is compiling
#: At the beginning of a line: what is imported within functions, or for types alone, is not part of a kernel.
IMPORT = re.compile(rb"^from (offload_gym[\w.]*) import", re.MULTILINE)


def _source(module: str) -> bytes | None:
    """The source of a module; None where there is none, as in a frozen application."""
    if module.split(".")[0] != PACKAGE:  # somebody else's kernel, as of a test
        file = getattr(sys.modules.get(module), "__file__", None)
        return Path(file).read_bytes() if file is not None else None
    path = module.replace(".", "/").removeprefix(f"{PACKAGE}/")
    for name in ("__init__.py",) if module == PACKAGE else (f"{path}.py", f"{path}/__init__.py"):
        with suppress(OSError):  # from a folder or from a zip file
            return pkgutil.get_data(PACKAGE, name)
    return None


@cache
def _parts(module: str) -> tuple[bytes, tuple[str, ...]]:
    """A digest of the source of a module, and the modules of this package that it imports."""
    source = _source(module) or b""
    return hashlib.sha256(source).digest(), tuple(name.decode() for name in IMPORT.findall(source))


@cache
def source_digest(module: str) -> str:
    """Digest of the source of a module and of all of this package that it imports, directly or not."""
    found, waiting = {module}, [module]
    while waiting:
        new = set(_parts(waiting.pop())[1]) - found
        found |= new
        waiting += new
    return hashlib.sha256(b"".join(_parts(name)[0] for name in sorted(found))).hexdigest()[:16]


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@cache
def kernel_folders() -> tuple[list[Path], Path | None]:
    """The folders in which compiled kernels are looked for, and the one into which they are written, if any can be.

    These are the folder that ``NUMBA_CACHE_DIR`` names, where it is set; else the package's own ``__pycache__`` and the
    user's folder for caches. What an image of a container holds there is found though nothing can be written.
    """
    home = Path(__file__).resolve().parent
    of_this_install = f"{PACKAGE}_{hashlib.sha256(str(home).encode()).hexdigest()[:16]}"
    if config.CACHE_DIR:
        folders = [Path(config.CACHE_DIR) / of_this_install]
    else:
        folders = [
            home / "__pycache__",
            Path(AppDirs(appname="numba", appauthor=False).user_cache_dir) / of_this_install,
        ]
    writable = next((folder for folder in folders if _can_write(folder)), None)
    if writable is None:
        warnings.warn(
            f"compiled kernels cannot be kept, as {' and '.join(map(str, folders))} cannot be written: each process "
            "compiles them anew, for a minute or two; set NUMBA_CACHE_DIR to a folder that can be written",
            stacklevel=2,
        )
    return folders, writable


@cache
def _lock_file(folder: Path, _process: int) -> int:
    return os.open(folder / "kernels.lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)


def _lock(folder: Path, name: str, locked: bool) -> bool:
    """Claim a compiled form that is to be made, or give the claim up; returns whether no other process has claimed it.

    A claim is a byte of a file, which the system frees where a process ends, however it does.
    """
    if fcntl is None:
        return True
    operation = fcntl.LOCK_EX | fcntl.LOCK_NB if locked else fcntl.LOCK_UN
    at = int.from_bytes(hashlib.sha256(name.encode()).digest()[:3], "big")
    try:
        file = _lock_file(folder, os.getpid())
    except OSError:  # it may be another user's: nobody is waited for
        return True
    try:
        fcntl.lockf(file, operation, 1, at)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return True
    return True


class KernelCache(FunctionCache):  # type: ignore[misc]
    """The compiled forms of one kernel on disk, in the place of numba's cache."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._py_func = function  # what ``_index_key`` of numba's class reads
        module = function.__module__
        name = f"{module.removeprefix(f'{PACKAGE}.')}.{function.__qualname__}".replace("<", "").replace(">", "")
        self._prefix = f"{name}.{RUNTIME}"
        self._digest = source_digest(module)  # at import: from the sources that this process runs
        self._enabled = True
        self._claimed: list[Any] = []  # what this process is compiling, and others wait for

    @property
    def cache_path(self) -> str | None:
        """The folder into which compiled forms are written; None where none can be."""
        folder = kernel_folders()[1]
        return None if folder is None else str(folder)

    def _name(self, key: Any) -> str:
        return f"{self._prefix}.{self._digest}.{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.nbc"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled form for a signature; None where it is not kept, or its file is damaged, and is to be made."""
        if not self._enabled:
            return None
        target_context.refresh()
        writable = kernel_folders()[1]
        key = self._index_key(sig, target_context.codegen())
        found = self._kept(key, target_context)
        if found is not None or writable is None:
            return found
        if not _lock(writable, self._name(key), True):
            latest = time.monotonic() + PATIENCE_S
            with event.trigger_event(WAIT):
                while time.monotonic() < latest and not _lock(writable, self._name(key), True):
                    time.sleep(0.02)
        self._claimed.append(key)
        found = self._kept(key, target_context)  # another process may have kept it until the claim was ours
        if found is not None:
            self.give_up()
        return found

    def _kept(self, key: Any, target_context: Any) -> Any:
        """The compiled form that is kept; None where there is none, or a damaged one."""
        for folder in kernel_folders()[0]:
            # Whatever a damaged file raises: compiling anew mends it.
            with suppress(Exception):
                kept, reduced = pickle.loads((folder / self._name(key)).read_bytes())
                if kept == key:
                    return CompileResult._rebuild(target_context, *reduced)
        return None

    def give_up(self) -> None:
        """Give up what was claimed, since it is made, or could not be."""
        folder = kernel_folders()[1]
        while self._claimed:
            key = self._claimed.pop()
            if folder is not None:
                _lock(folder, self._name(key), False)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled form, and remove those of other sources."""
        folder = kernel_folders()[1]
        if not self._enabled or folder is None:
            return
        key = self._index_key(sig, data.codegen)
        if not (data.lifted or data.library.has_dynamic_globals):
            path = folder / self._name(key)
            unfinished = path.with_suffix(f".{uuid.uuid4().hex[:16]}")
            with suppress(OSError):  # a full disk, or a folder that is gone: the next process compiles again
                try:
                    unfinished.write_bytes(dumps((key, data._reduce())))
                    unfinished.replace(path)
                finally:
                    unfinished.unlink(missing_ok=True)
                for other in folder.glob(f"{self._prefix}.*.*.nbc"):
                    if other.name.split(".")[-3] != self._digest:
                        other.unlink(missing_ok=True)
        self.give_up()

    def flush(self) -> None:
        """Remove what is kept of this kernel."""
        folder = kernel_folders()[1]
        if folder is not None:
            for path in folder.glob(f"{self._prefix}.*.*.nbc"):
                path.unlink(missing_ok=True)


class _WithoutWaste(event.Listener):  # type: ignore[misc]
    """What numba does in vain is left out while kernels of this package are compiled.

    Compiling makes many objects and drops few: a sixth of its time went into looking for what is not needed. And see
    ``offload_gym.front_end``.
    """

    depth = 0  # kernels of this package that are being compiled: one, those that it calls, ...
    was_enabled = False

    def on_start(self, begun: event.Event) -> None:
        if self._is_ours(begun):
            if self.depth == 0:
                self.was_enabled = gc.isenabled()
                gc.disable()
                exchange(QUICKER)
            self.depth += 1

    def on_end(self, ended: event.Event) -> None:
        if self._is_ours(ended):
            if ended._exc_details is not None:  # numba's ``is_failed`` says the contrary of its name
                ended.data["dispatcher"]._cache.give_up()
            self.depth -= 1
            if self.depth == 0:
                exchange(NUMBAS)
                if self.was_enabled:
                    gc.enable()

    @staticmethod
    def _is_ours(happening: event.Event) -> bool:
        # Numba tells of foreign code as well, and of loops that it lifts out of a function: they have no cache.
        return isinstance(getattr(happening.data["dispatcher"], "_cache", None), KernelCache)


_watching = _WithoutWaste()
event.register("numba:compile", _watching)


def is_compiling() -> bool:
    """Whether a kernel of this package is being compiled, in any thread."""
    return _watching.depth > 0


def is_kept(dispatcher: Any) -> bool:
    """Whether a kernel is compiled or kept on disk, for one signature at least."""
    if config.DISABLE_JIT or dispatcher.signatures:
        return True
    cache = dispatcher._cache
    return any(any(folder.glob(f"{cache._prefix}.{cache._digest}.*.nbc")) for folder in kernel_folders()[0])


def kernel(function: Any) -> Any:
    """A function that numba compiles when it is first called, and keeps; it lets other threads run meanwhile."""
    return _with_cache(njit(nogil=True, error_model="numpy")(function))


def inlined(function: Any) -> Any:
    """As ``kernel``, and numba puts its body where a kernel calls it, so that no array is handed over."""
    return _with_cache(njit(nogil=True, error_model="numpy", inline="always")(function))


class _Fields(np.record):  # type: ignore[misc]
    """A record whose fields come before numpy's own attributes, one of which is called ``device``."""

    def __getattribute__(self, name: str) -> Any:
        own = np.void.__getattribute__(self, "dtype").names
        return self[name] if name in own else super().__getattribute__(name)


def record(fields: Any, align: bool = False) -> np.dtype[Any]:
    """A structured type whose fields kernels read and write as attributes.

    Where numba is told to leave functions as they are (``NUMBA_DISABLE_JIT=1``), Python must be able to do so too; such
    arrays take 0.1 microseconds longer as an argument of a kernel.
    """
    kind = np.dtype(fields, align=align)
    return np.dtype((_Fields, kind)) if config.DISABLE_JIT else kind


def in_machine_code(in_python: Any) -> Any:
    """A numba intrinsic for kernels; ``in_python`` does the same where numba is told to leave functions as they are."""
    return lambda make: in_python if config.DISABLE_JIT else intrinsic(make)


def _with_cache(dispatcher: Any) -> Any:
    if not config.DISABLE_JIT:  # where numba is told to leave functions as they are
        dispatcher._cache = KernelCache(dispatcher.py_func)
    return dispatcher
