"""How a command ends: its exit code, and one sentence instead of a traceback where the user made a mistake."""

from __future__ import annotations

import codecs
import os
import select
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba.core.compiler_lock import global_compiler_lock

from offload_gym.compilation import is_compiling
from offload_gym.envs.rendering import BACKLOG_SYMBOL
from offload_gym.files import remove_unfinished

# True of all commands, as files are written whole or not at all.
BEGIN_AGAIN = "no file is left in part; start the same command again"
PATIENCE_S = 1.0  # that compiled code has to come back after Ctrl-C
_how = [BEGIN_AGAIN]  # to go on after an interrupt, innermost last
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


@contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """End the process where Ctrl-C finds it compiling, or in compiled code that does not come back to Python soon.

    LLVM compiles one kernel for up to some seconds, in this thread or in one that is waited for. While this thread
    compiles, no exception is raised: where LLVM calls Python it would be lost, and numba would miss what was compiled.
    A long call of another library is ended, too. They let other threads run, as kernels do. What was printed and is
    still in a buffer is lost, and no file is left in part. A program that calls a command and wants to live on has a
    handler of SIGINT of its own, which is left alone.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    reached, ended = threading.Event(), threading.Event()  # Python has heard of it; the command is over
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def hear(*_: object) -> None:
        if not global_compiler_lock.is_locked():  # by this thread
            reached.set()
            raise KeyboardInterrupt

    def watch() -> None:
        with reader:
            while received := reader.recv(1):
                late = received[0] == signal.SIGINT and not ended.wait(PATIENCE_S)
                if late and (is_compiling() or not reached.is_set()):
                    remove_unfinished()
                    print(f"\ninterrupted: {_how[-1]}", file=sys.stderr, flush=True)
                    os._exit(130)

    wakes, handler = (
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False),
        signal.signal(signal.SIGINT, hear),
    )
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        signal.signal(signal.SIGINT, handler)
        signal.set_wakeup_fd(wakes)
        writer.close()


def exit_code_of(command: Callable[[], object]) -> int:
    """Run a command: 0 where it succeeds, 2 with a sentence on a user's mistake, 130 where it is interrupted.

    An interrupt that says something itself, as of ``if_interrupted``, is told in its own words. A reader that has left
    (``| head``) is not a mistake, and an output in another encoding than UTF-8 is none either.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_SIMPLER)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _tell
            try:
                with _ended_by_ctrl_c():
                    command()
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()  # here, where a failure to write is still noticed
    except BrokenPipeError as error:
        if not _reader_has_left():  # another pipe, as to a worker
            print(f"error: {sentence(error)}", file=sys.stderr)
            return 2
        _discard_output()
        return 0
    except KeyboardInterrupt as interrupt:
        print(f"\n{str(interrupt) or f'interrupted: {BEGIN_AGAIN}'}", file=sys.stderr)
        return 130
    except MISTAKES as error:
        print(f"error: {sentence(error)}", file=sys.stderr)
        return 2
    return 0


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


def _reader_has_left() -> bool:
    """Whether nobody reads what goes to standard output or error, where the system tells."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    for stream in (1, 2):
        poll.register(stream, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _discard_output() -> None:
    # Python flushes once more at its exit, and would complain then.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
