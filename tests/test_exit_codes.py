"""How a command ends: Ctrl-C while something compiles, readers that leave, and outputs that are full."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

if os.name != "posix":
    pytest.skip("signals and pipes of POSIX", allow_module_level=True)

BEGIN = """
import os, signal, sys, time
from numba.core.compiler_lock import global_compiler_lock as compiling
from offload_gym.command_line import exit_codes

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests were begun with

def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)

def sleep(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)

def caught():
    try:
        ctrl_c()
        sleep(5.0)
    except KeyboardInterrupt:
        return
    raise AssertionError("not interrupted")
"""
END = "\nsys.exit(exit_codes.exit_code_of(command))\n"
INTERRUPTED = "\ninterrupted: no file is left in part; start the same command again\n"
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def run(command, unread=(), stdout=subprocess.PIPE):
    """Exit code, output and error of a program; nobody reads those of ``unread``."""
    reader, writer = os.pipe()
    os.close(reader)
    streams = {"stdout": stdout, "stderr": subprocess.PIPE} | dict.fromkeys(unread, writer)
    done = subprocess.run([sys.executable, "-c", BEGIN + command + END], **streams, text=True, env=BUFFERED, timeout=60)
    os.close(writer)
    return done.returncode, done.stdout, done.stderr


def test_ctrl_c_while_this_thread_compiles_is_raised_afterwards():
    command = """
def command():
    with compiling, compiling:
        ctrl_c()
        sleep(0.1)
        print("still compiling", flush=True)
    print("went on")
"""
    assert run(command) == (130, "still compiling\n", INTERRUPTED)


def test_a_second_ctrl_c_is_heard_where_a_command_caught_the_first():
    command = """
def command():
    caught()
    print("so far", flush=True)
    with compiling:
        ctrl_c()
        sleep(0.1)
    print("went on")
"""
    assert run(command) == (130, "so far\n", INTERRUPTED)


def test_ctrl_c_that_a_callback_drops_is_raised_again():
    command = """
import ctypes

class Dropped:
    def __del__(self):
        ctrl_c()
        sleep(0.01)

def call():
    ctrl_c()
    sleep(0.01)

def command():
    Dropped()
    sleep(0.5)
    print("went on")
"""
    assert run(command) == (130, "", INTERRUPTED)
    of_c = command.replace("    Dropped()\n", "    ctypes.CFUNCTYPE(None)(call)()\n")
    assert run(of_c) == (130, "", INTERRUPTED)
    other = command.replace("        ctrl_c()\n        sleep(0.01)\n", "        raise ValueError('of another kind')\n")
    code, printed, told = run(other)
    assert (code, printed) == (0, "went on\n")
    assert "ValueError: of another kind" in told


def test_ctrl_c_of_which_a_library_makes_another_error_is_one():
    command = """
def command():
    caught()
    raise TypeError("structured arrays cannot be compared")
"""
    assert run(command) == (130, "", INTERRUPTED)
    mistake = command.replace("TypeError", "OSError")  # as of a disk that is full when the best so far is written
    assert run(mistake) == (2, "", "error: structured arrays cannot be compared\n")


@pytest.mark.parametrize("unread", [(), ("stderr",)])
def test_ctrl_c_ends_what_compiles_for_long(unread):
    command = """
def command():
    with compiling:
        ctrl_c()
        sleep(20.0)
"""
    begun_s = time.monotonic()
    code, _, told = run(command, unread)
    assert (code, told) == (130, None if unread else INTERRUPTED)
    assert time.monotonic() - begun_s < 15.0


@pytest.mark.parametrize("compiling", [False, True])
def test_what_is_compiled_after_ctrl_c_may_be_finished(compiling):
    """A search says its best so far with kernels that it has not used yet; what compiled before is not waited for."""
    command = f"""
now = [{compiling}]
exit_codes.is_compiling = lambda: now[0]
def command():
    caught()
    now[0] = True
    sleep(1.5)
    print("so far", flush=True)
"""
    assert run(command) == ((130, "", INTERRUPTED) if compiling else (0, "so far\n", ""))


def test_a_mistake_is_told_where_nobody_reads_the_output():
    command = """
def command():
    print("a table")
    raise ValueError("rate_mbps is -1; it must be positive")
"""
    assert run(command, ["stdout"]) == (2, None, "error: rate_mbps is -1; it must be positive\n")


def test_a_command_that_its_reader_left_says_whether_it_was_done():
    lines = """
def command():
    for _ in range(3):
        print("a line", flush={})
"""
    assert run(lines.format(False), ["stdout"]) == (0, None, "")
    assert run(lines.format(True), ["stdout"]) == (141, None, "")


def test_another_broken_pipe_is_a_mistake():
    command = """
def command():
    raise BrokenPipeError
"""
    assert run(command) == (2, "", "error: a pipe to another process is broken\n")
    assert run(command, ["stderr"])[0] == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a file that is always full")
def test_a_full_output_is_told():
    with Path("/dev/full").open("w") as full:
        ended = run("def command(): print('a table')", stdout=full)
        assert ended == (2, None, "error: No space left on device\n")
        ended = run("def command():\n    print('a table')\n    raise ValueError('wrong')", stdout=full)
        assert ended == (2, None, "error: wrong\n")
    assert run("def command(): ctrl_c()")[0] == 130
