"""Build a header with a harness for a board, and run it there."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.device.targets import Target, missing

SOURCES = Path(__file__).parent
TIMEOUT_S = 120.0
# Exit codes: the enum of board.h, and QEMU's own abort.
ENDS = {
    -6: "a processor that locked up, as where its stack is too small",
    2: "a fault",
    3: "a decision that the header refused",
    4: "a stack that reached the static memory",
    5: "a file that could not be read or written",
}
OVERFLOW = np.iinfo(np.uint32).max
NUM_LAST = 5  # words at the end of the results
LOOP_INSTRUCTIONS = 2  # of a round of board_loop


class Sizes(NamedTuple):
    """Bytes that a policy takes on a board, with the routines of the libraries that it calls."""

    code: int
    constants: int  # weights, and tables of the libraries
    static_ram: int


class Image(NamedTuple):
    """A program for a board; the sizes are None on the host, where they would say nothing of a board."""

    path: Path
    target: Target
    sizes: Sizes | None


class Run(NamedTuple):
    """What a board did; counts are None on the host."""

    results: NDArray[np.int64]  # (B, num_results)
    instructions: NDArray[np.int64] | None  # (B,) of each call, less those of an empty one
    stack: int | None  # most bytes of it that a call used
    loop_instructions: tuple[int, int] | None  # in a loop of known length: counted, and true without call and return


def build(header: Path, harness: str, target: Target, flags: Sequence[str] = ("-O2",)) -> Image:
    """Compile a header with a harness, in a new folder beside the header.

    ``harness`` "moment" is moment.c, which reads, counts and writes, and moment_policy.c, the only file that has the
    header's functions, behind ``policy_decide``; another harness is another such pair. The sizes are those of a second
    image, of ``policy_decide`` and what it calls: linked without the harness and without what is never called, so that
    routines of the libraries count as the policy's.
    """
    if sentence := missing(target):
        raise FileNotFoundError(sentence)
    folder = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=header.parent))
    specs = [f"-specs={target.specs}"] if target.specs else []
    common = [target.compiler, *target.flags, *specs, *flags, f"-I{SOURCES}", f"-I{header.parent}"]
    common += ["-std=c99", "-ffp-contract=off", "-Wall", "-Wextra", "-Wno-unused-function"]
    # Without errno a root is one instruction where the processor has one.
    common += ["-fno-math-errno", "-ffunction-sections", "-fdata-sections"]

    def call(*arguments: str | Path) -> None:
        done = subprocess.run([*common, *arguments], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            first = "\n".join(done.stderr.splitlines()[:10])
            raise RuntimeError(f"{target.compiler} does not build {harness} for {target.name}:\n{first}")

    objects = ("policy.o", "harness.o", "board.o")
    for source, output in zip((f"{harness}_policy.c", f"{harness}.c", target.source), objects, strict=True):
        call("-c", SOURCES / source, "-o", output)
    if target.emulated is None:
        call(*objects, "-lm", "-o", "image")
        return Image(folder / "image", target, None)
    regions = "".join(
        f"    {name} : ORIGIN = {begin:#x}, LENGTH = {size:#x}\n"
        for name, (begin, size) in (("FLASH", target.emulated.flash), ("RAM", target.emulated.ram))
    )
    (folder / "memory.ld").write_text(f"MEMORY\n{{\n{regions}}}\n")
    link = ["-nostartfiles", f"-T{SOURCES / 'link.ld'}", "-L.", "-Wl,--gc-sections"]
    call(*objects, *link, "-Wl,-ereset", "-lm", "-o", "image")
    call(objects[0], *link, "-Wl,-epolicy_decide", "-lm", "-o", "policy")
    return Image(folder / "image", target, _sizes(target, folder / "policy"))


def _sizes(target: Target, path: Path) -> Sizes:
    size = target.compiler.removesuffix("gcc") + "size"
    lines = subprocess.run([size, "-A", path], check=True, capture_output=True, text=True).stdout.splitlines()
    of = {line.split()[0]: int(line.split()[1]) for line in lines if line.startswith(".")}
    data = of.get(".data", 0)  # its first values are in flash
    return Sizes(of[".text"], of.get(".rodata", 0) + data, data + of.get(".bss", 0))


def run(image: Image, records: NDArray[np.void], num_results: int, timeout_s: float = TIMEOUT_S) -> Run:
    """Give a harness its records, of each of which it writes ``num_results`` integers."""
    target, folder = image.target, image.path.parent
    (folder / "records").write_bytes(records.tobytes())
    command: list[str | Path] = [image.path]
    if target.emulated is not None:
        command = [*target.emulated.command, "-nographic", "-icount", f"shift={target.emulated.shift}"]
        command += ["-semihosting-config", "enable=on,target=native", "-kernel", image.path]
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{target.name} did not end within {timeout_s:g} s") from None
    if done.returncode:
        end = ENDS.get(done.returncode, f"exit code {done.returncode}")
        first = "".join(f": {line}" for line in done.stderr.splitlines()[:1])
        raise RuntimeError(f"{target.name} ended with {end}{first}")
    words = np.frombuffer((folder / "results").read_bytes(), dtype=np.uint32)
    rows = words[:-NUM_LAST].reshape(-1, 1 + num_results)
    if len(rows) != len(records):
        raise RuntimeError(f"{target.name} decided {len(rows)} of {len(records)} records")
    results = rows[:, 1:].astype(np.int32).astype(np.int64)
    if target.emulated is None:
        return Run(results, None, None, None)
    if (rows[:, 0] == OVERFLOW).any():
        raise RuntimeError(f"{target.name} took more instructions for a call than its counter holds")
    empty, loop, nothing, num_rounds, stack = words[-NUM_LAST:].astype(np.int64)
    per_tick = target.emulated.tick_ns / (1 << target.emulated.shift)
    instructions = np.rint((rows[:, 0].astype(np.int64) - empty) * per_tick).astype(np.int64)
    loop_instructions = round((loop - nothing) * per_tick), LOOP_INSTRUCTIONS * int(num_rounds)
    return Run(results, instructions, int(stack), loop_instructions)
