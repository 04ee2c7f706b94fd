"""How a command ends: its exit code, and one sentence instead of a traceback where the user made a mistake."""

from __future__ import annotations

import _thread
import codecs
import os
import select
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event
from numba.core.compiler_lock import global_compiler_lock

from offload_gym.compilation import is_compiling
from offload_gym.envs.rendering import BACKLOG_SYMBOL
from offload_gym.files import remove_unfinished

# True of all commands, as files are written whole or not at all.
BEGIN_AGAIN = "no file is left in part; start the same command again"
PATIENCE_S = 1.0  # that compiled code has to come back after Ctrl-C
_how = [BEGIN_AGAIN]  # to go on after an interrupt, innermost last
MISTAKEN, INTERRUPTED, UNREAD = 2, 130, 141
MISTAKES = (ValueError, OSError, ImportError, MemoryError, OverflowError)


@contextmanager
def if_interrupted(text: str) -> Iterator[None]:
    """Let an interrupt of what is within say how to go on, whatever it would say itself."""
    _how.append(text)
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted: {text}") from None
    finally:
        _how.pop()


class _AtRelease(event.Listener):  # type: ignore[misc]
    """Calls a function whenever the main thread no longer compiles."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call

    def on_start(self, begun: event.Event) -> None:
        pass

    def on_end(self, ended: event.Event) -> None:
        if threading.current_thread() is threading.main_thread() and not global_compiler_lock.is_locked():
            self.call()


@contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C where it is safe, and end the process where that is not soon.

    While this thread compiles, an exception would be lost where LLVM calls Python, and numba would miss what was
    compiled: it is raised afterwards. LLVM compiles one kernel for up to some seconds, in this thread or in one that is
    waited for; these, and a long call of another library, end the process after ``PATIENCE_S``. They let other threads
    run, as kernels do. What was printed and is still in a buffer is lost then, and no file is left in part. What a
    command compiles after it has heard of Ctrl-C, to say what it has so far, does not end it. What a callback of a
    library drops, as those of HDF5 do, is raised again. A program that calls a command and wants to live on has a
    handler of SIGINT of its own, which is left alone.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    held, reached, lost, others, ended = (threading.Event() for _ in range(5))
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def hear(*_: object) -> None:
        if global_compiler_lock.is_locked():  # by this thread
            held.set()
            reached.clear()
        else:
            held.clear()
            reached.set()
            others.clear()
            if is_compiling():  # other threads, which may be waited for
                others.set()
            raise KeyboardInterrupt

    def drop(dropped: Any) -> None:
        if dropped.exc_type is not None and issubclass(dropped.exc_type, KeyboardInterrupt):
            lost.set()  # raised again by ``is_late``: here it would be lost, too
        else:
            dropping(dropped)

    def is_late() -> bool:
        """Whether a command goes on for too long after Ctrl-C; what Python dropped is raised again meanwhile."""
        end_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < end_s:
            if ended.wait(0.05):
                return False
            if lost.is_set():
                lost.clear()
                _thread.interrupt_main()
        return lost.is_set() or not reached.is_set() or (others.is_set() and is_compiling())

    def watch() -> None:
        with reader:
            while received := reader.recv(1):
                if received[0] == signal.SIGINT and is_late():
                    try:
                        remove_unfinished()
                        print(f"\ninterrupted: {_how[-1]}", file=sys.stderr, flush=True)
                    finally:  # also where nobody reads it any more
                        os._exit(INTERRUPTED)

    wakes, handler, dropping = (
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False),
        signal.signal(signal.SIGINT, hear),
        sys.unraisablehook,
    )
    sys.unraisablehook = drop
    threading.Thread(target=watch, daemon=True).start()
    try:
        with event.install_listener("numba:compiler_lock", _AtRelease(lambda: hear() if held.is_set() else None)):
            yield
    except Exception as error:
        heard = reached.is_set() or held.is_set()
        if heard and not isinstance(error, MISTAKES):  # a library made it of the interrupt, as numpy's comparisons do
            raise KeyboardInterrupt from None
        raise
    finally:
        ended.set()
        signal.signal(signal.SIGINT, handler)
        signal.set_wakeup_fd(wakes)
        sys.unraisablehook = dropping
        writer.close()


def exit_code_of(command: Callable[[], object]) -> int:
    """Run a command, and tell how it ended.

    0: it succeeded. 2: a user's mistake, or what the system refused, in one sentence. 130: it was interrupted; an
    interrupt that says something itself, as of ``if_interrupted``, is told in its own words. 141: the reader of its
    output left (``| head``) before it was done, which is as the shell says it; nothing is told. An output in another
    encoding than UTF-8 is no mistake.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_SIMPLER)
    done = False
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _tell
            try:
                with _ended_by_ctrl_c():
                    command()
                done = True
            except SystemExit:  # of argparse, which has told what there is
                done = True
                raise
            finally:
                if done and sys.stdout is not None:
                    sys.stdout.flush()  # here, where a failure to write is still noticed
    except BrokenPipeError:
        left = _whose_reader_left()
        for number in left:
            _discard(number)
        if not left:
            return _told("error: a pipe to another process is broken", MISTAKEN)
        return 0 if done else UNREAD
    except KeyboardInterrupt as interrupt:
        return _told(f"\n{str(interrupt) or f'interrupted: {BEGIN_AGAIN}'}", INTERRUPTED)
    except MISTAKES as error:
        return _told(f"error: {sentence(error)}", MISTAKEN)
    return 0


def _told(text: str, code: int) -> int:
    """The exit code of what is told after all that was printed before, even where nobody can read either."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        _discard(1)
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _discard(2)
    return code


def _whose_reader_left() -> list[int]:
    """Standard output (1) and error (2) where nobody reads them any more; output where the system does not tell."""
    if not hasattr(select, "poll"):
        return [1]
    poll = select.poll()
    for number in (1, 2):
        poll.register(number, select.POLLOUT)
    return [number for number, happened in poll.poll(0) if happened & (select.POLLERR | select.POLLHUP)]


def _discard(number: int) -> None:
    """Let what is written to standard output (1) or error (2) go nowhere: Python flushes both at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)


_SIMPLER = "offload_gym.simpler"  # name of the handler below


def _simpler(error: UnicodeError) -> tuple[str, int]:
    """What is printed of characters that the output's encoding does not have."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(":" if character == BACKLOG_SYMBOL else "?" for character in text), error.end


codecs.register_error(_SIMPLER, _simpler)


def sentence(error: BaseException) -> str:
    """What an error says to a user."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}" if str(error) else "not enough memory"
    return str(error)


def _tell(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)
