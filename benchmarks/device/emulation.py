"""Build a header with a harness for a board, and run it there."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.device.moments import Form
from benchmarks.device.targets import Target, missing

SOURCES = Path(__file__).parent
TIMEOUT_S = 120
# enum of board.h
ENDS = {
    2: "a fault",
    3: "a decision that the header refused",
    4: "a stack that reached the static memory",
    5: "a file that could not be read or written",
}
OVERFLOW = np.iinfo(np.uint32).max
LOOP_INSTRUCTIONS = 2  # a round of board_loop


class Image(NamedTuple):
    """A program for a board, and the bytes that the policy alone takes there; None on the host, where none is built."""

    path: Path
    target: Target
    code: int | None  # of the functions, with those of the compiler's and the C library
    constants: int | None  # weights, tables
    static_ram: int | None


class Run(NamedTuple):
    """What a board did; counts are None where the board does not count."""

    decisions: NDArray[np.int64]  # (B, max_tasks)
    instructions: NDArray[np.int64] | None  # (B,) of each call, without those of an empty one
    stack: int | None  # most bytes below the caller
    loop_error: int | None  # instructions too many in a loop of 200,000 


def build(
    header: Path, harness: str, target: Target, form: Form, record: np.dtype[np.void], optimize: str = "-O2"
) -> Image:
    """Compile ``header`` with ``harness``, such as "moment.c", beside it, in a folder of the target's.

    What the policy takes is read from an image of its own: the function that the harness calls, and what it pulls in,
    without what is never called.
    """
    if sentence := missing(target):
        raise FileNotFoundError(sentence)
    folder = header.parent / f"{target.name}{optimize}"
    folder.mkdir(exist_ok=True)
    defines = [f"-DTIME={form.time_in_c}", f"-DRECORD_BYTES={record.itemsize}", f"-I{SOURCES}", f"-I{header.parent}"]
    common = [target.compiler, *target.flags, optimize, "-Wall", "-Wno-unused-function", *defines]
    common += ["-ffunction-sections", "-fdata-sections", "-fstack-usage"]

    def call(*arguments: str | Path) -> None:
        done = subprocess.run([*common, *arguments], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{target.compiler} could not build {harness} for {target.name}:\n{done.stderr}")

    call("-std=c99", "-c", SOURCES / harness.replace(".c", "_policy.c"), "-o", "policy.o")
    call("-std=gnu99", "-c", SOURCES / harness, "-o", "harness.o")
    call("-std=gnu99", "-c", SOURCES / target.source, "-o", "board.o")
    if not target.emulator:
        call("policy.o", "harness.o", "board.o", "-o", "image")
        return Image(folder / "image", target, None, None, None)
    regions = "\n".join(f"{name} : ORIGIN = {at:#x}, LENGTH = {size:#x}" for name, (at, size) in target.memory.items())
    (folder / "memory.ld").write_text(f"MEMORY {{\n{regions}\n}}\n")
    link = ["-nostartfiles", f"-T{SOURCES / 'link.ld'}", "-L.", "-Wl,--gc-sections"]
    call("policy.o", "harness.o", "board.o", *link, "-Wl,-ereset", "-o", "image")
    call("policy.o", *link, "-Wl,-epolicy_decide", "-o", "policy")
    sizes = _section_sizes(target, folder / "policy")
    return Image(
        folder / "image",
        target,
        sizes[".text"],
        sizes.get(".rodata", 0) + sizes.get(".data", 0),
        sizes.get(".data", 0) + sizes.get(".bss", 0),
    )


def _section_sizes(target: Target, path: Path) -> dict[str, int]:
    size = target.compiler.removesuffix("gcc") + "size"
    lines = subprocess.run([size, "-A", path], check=True, capture_output=True, text=True).stdout.splitlines()
    columns = [line.split() for line in lines if line.startswith(".")]
    return {name: int(num_bytes) for name, num_bytes, *_ in columns}


def run(image: Image, records: NDArray[np.void], max_tasks: int, timeout_s: float = TIMEOUT_S) -> Run:
    """Decide all records on the board."""
    target, folder = image.target, image.path.parent
    (folder / "records").write_bytes(records.tobytes())
    command: list[str | Path] = [image.path]
    if target.emulator:
        command = [target.emulator, "-M", target.machine, "-nographic", "-icount", f"shift={target.shift}"]
        command += ["-semihosting-config", "enable=on,target=native", "-bios", "none"][: 4 if target.source == "riscv.c" else 2]
        command += ["-kernel", image.path]
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{target.name} did not end in {timeout_s:g} s") from None
    if done.returncode:
        end = ENDS.get(done.returncode, f"exit code {done.returncode}")
        raise RuntimeError(f"{target.name} ended with {end}. {done.stderr}".strip())
    words = np.frombuffer((folder / "results").read_bytes(), dtype=np.uint32)
    rows, (empty, loop, nothing, rounds, stack) = words[:-5].reshape(-1, 1 + max_tasks), words[-5:].astype(np.int64)
    if len(rows) != len(records):
        raise RuntimeError(f"{target.name} decided {len(rows)} of {len(records)} records")
    decisions = rows[:, 1:].view(np.int32).astype(np.int64)
    if target.tick_ns == 0:
        return Run(decisions, None, None, None)
    if (rows[:, 0] == OVERFLOW).any():
        raise RuntimeError(f"{target.name} took more instructions for a call than its counter holds")
    per_tick = target.tick_ns / (1 << target.shift)
    instructions = np.rint((rows[:, 0].astype(np.int64) - empty) * per_tick).astype(np.int64)
    loop_error = round((loop - nothing) * per_tick) - LOOP_INSTRUCTIONS * int(rounds)
    return Run(decisions, instructions, int(stack), loop_error)
