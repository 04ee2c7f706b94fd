"""The boards: how code is compiled for them, and how QEMU runs it."""

from __future__ import annotations

import shutil
import subprocess
from typing import NamedTuple

KIB, MIB = 1 << 10, 1 << 20


class Emulated(NamedTuple):
    """A machine of QEMU: its addresses and sizes, and the clock of the counter that the board's source reads."""

    command: tuple[str, ...]
    flash: tuple[int, int]  # where it begins, and its bytes
    # Where there is more, it begins above the start of the memory: a stack that is too small then overwrites static
    # memory, which is noticed, and does not leave the memory.
    ram: tuple[int, int]
    # One instruction takes 2^shift ns of the emulated clock. It is more than a tick, so that each instruction is seen,
    # and few enough ticks that SysTick, of 24 bits, holds those of ten million instructions.
    shift: int
    tick_ns: float


class Target(NamedTuple):
    """What code is compiled for; without a machine it runs here."""

    name: str
    compiler: str
    flags: tuple[str, ...]
    specs: str  # of the C library
    source: str  # of the board
    packages: tuple[str, ...]  # of Debian
    emulated: Emulated | None = None


def _arm(name: str, cpu: str, machine: str, clock_hz: float, flash: tuple[int, int], ram: tuple[int, int]) -> Target:
    return Target(
        name,
        "arm-none-eabi-gcc",
        ("-mthumb", *cpu.split()),
        "nano.specs",
        "arm.c",
        ("gcc-arm-none-eabi", "libnewlib-arm-none-eabi", "qemu-system-arm"),
        Emulated(("qemu-system-arm", "-M", machine), flash, ram, 6, 1e9 / clock_hz),
    )


TARGETS = {
    target.name: target
    for target in (
        _arm(
            "cortex-m4f",
            "-mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard",
            "mps2-an386",
            25e6,
            (0x00000000, MIB),
            (0x20010000, 64 * KIB),
        ),
        _arm(
            "cortex-m33",
            "-mcpu=cortex-m33 -mfpu=fpv5-sp-d16 -mfloat-abi=hard",
            "mps2-an505",
            20e6,
            (0x10000000, MIB),
            (0x38010000, 64 * KIB),
        ),
        # QEMU has no Cortex-M0+ but a Cortex-M0, which has the same instructions (ARMv6-M).
        _arm("cortex-m0plus", "-mcpu=cortex-m0plus", "microbit", 16e6, (0x00000000, 256 * KIB), (0x20000000, 16 * KIB)),
        Target(
            "rv32imc",
            "riscv64-unknown-elf-gcc",
            ("-march=rv32imc", "-mabi=ilp32"),
            "picolibc.specs",
            "riscv.c",
            ("gcc-riscv64-unknown-elf", "picolibc-riscv64-unknown-elf", "qemu-system-misc"),
            # With a shift of 0 the counter of instructions and the clock in ns are the same, whichever QEMU shows.
            Emulated(
                ("qemu-system-riscv32", "-M", "virt", "-bios", "none"),
                (0x80000000, MIB),
                (0x80100000, 64 * KIB),
                0,
                1.0,
            ),
        ),
        Target("host", "gcc", (), "", "host.c", ("gcc",)),
    )
}


def missing(target: Target) -> str:
    """What keeps a target from running here, in one sentence; empty where nothing does."""
    tools = [target.compiler, *(target.emulated.command[:1] if target.emulated else ())]
    lacks = [tool for tool in tools if shutil.which(tool) is None]
    if not lacks and target.specs:
        find = [target.compiler, f"-print-file-name={target.specs}"]
        found = subprocess.run(find, check=True, capture_output=True, text=True).stdout.strip()
        lacks = [target.specs] * (found == target.specs)  # as it is where there is none
    if not lacks:
        return ""
    return f"{target.name} needs {' and '.join(lacks)}: on Debian, apt-get install {' '.join(target.packages)}"
