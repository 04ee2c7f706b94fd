"""Commands in processes of their own that are killed, interrupted, or have no room to write."""

import ctypes
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

# One thread, so that training is the same each time, and no bars.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
LONGEST_S = 600.0
MOST_RUNS = 4  # for a kill that finds the command alive
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1


class Ended(NamedTuple):
    """How a command ended: its exit code, what it said on standard error, and how long it took, or after a signal."""

    code: int
    told: str
    seconds: float


def begin(command: Sequence[str], folder: Path | None = None, room: int | None = None) -> subprocess.Popen[str]:
    """``python -m`` of a command, with a group of its own; no file that it writes grows beyond ``room`` bytes.

    One that begins with ``-c`` is a program instead. What folders and files permit holds for root, too.
    """

    def limit() -> None:
        if sys.platform == "linux" and os.geteuid() == 0:
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    # What measures coverage in the processes of a test writes files of its own.
    given = {name: value for name, value in os.environ.items() if room is None or not name.startswith("COVERAGE_")}
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, *(() if command[0] == "-c" else ("-m",)), *command],
        cwd=folder,
        env={**given, **ENVIRONMENT, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a signal to it is not one to the tests
        preexec_fn=limit,
    )


def end(running: subprocess.Popen[str], after_s: float = 0.0, number: int | None = None) -> Ended:
    """Wait for a command, to which a signal is sent after a time, as a terminal does: to all processes of its group."""
    began = time.monotonic()
    try:
        running.wait(after_s)
    except subprocess.TimeoutExpired:
        if number is not None:
            os.killpg(running.pid, number)
            began = time.monotonic()
    assert running.stderr is not None
    told, seconds = "", 0.0
    for line in running.stderr:  # until it ends
        told += line
        if line.startswith("interrupted"):
            seconds = time.monotonic() - began  # not with the end of the process, which takes longer
    running.wait(LONGEST_S)
    return Ended(running.returncode, told, seconds or time.monotonic() - began)


def run(command: Sequence[str], folder: Path | None = None, room: int | None = None) -> Ended:
    """A command that nobody disturbs."""
    return end(begin(command, folder, room))


def kill_often(
    command: Sequence[str], kills: int, longest_s: float, look: Callable[[bool], object], folder: Path | None = None
) -> int:
    """Kill a command at random moments and begin it again, then let it end; returns how many kills found it alive.

    Args:
        command: as of ``begin``.
        kills: how many are to find it alive; after ``MOST_RUNS`` times as many runs it is left at that.
        longest_s: the latest moment of a kill after the beginning.
        look: called after each run with whether it had ended by itself, and may be called often. It says what must hold
            at any moment, and may take away what is there, so that there is something left to be killed at.
        folder: where it runs.
    """
    rng, met, runs = random.Random(1), 0, 0
    while met < kills and runs < MOST_RUNS * kills:
        ended = end(begin(command, folder), rng.uniform(0.0, longest_s), signal.SIGKILL)
        assert ended.code in (0, -signal.SIGKILL), ended
        met, runs = met + (ended.code != 0), runs + 1
        look(ended.code == 0)
    ended = run(command, folder)
    assert ended.code == 0, ended.told
    return met
