"""The boards: how code is compiled for them, and how QEMU runs it."""

from __future__ import annotations

import shutil
from typing import NamedTuple

ARM_PACKAGES = {"compiler": "gcc-arm-none-eabi", "library": "libnewlib-arm-none-eabi", "emulator": "qemu-system-arm"}
RISCV_PACKAGES = {
    "compiler": "gcc-riscv64-unknown-elf",
    "library": "picolibc-riscv64-unknown-elf",
    "emulator": "qemu-system-misc",
}
KIB, MIB = 1 << 10, 1 << 20


class Target(NamedTuple):
    """A board. Addresses and sizes are those of QEMU's machine; a tick is that of the counter that ``source`` reads."""

    name: str
    compiler: str
    flags: tuple[str, ...]
    source: str
    emulator: str = ""  # none: it runs here
    machine: str = ""
    memory: dict[str, tuple[int, int]] = {}  # noqa: RUF012  # read only
    # One instruction takes 2^shift ns of the emulated clock: more than a tick, so that each is seen, and few enough
    # ticks that SysTick, of 24 bits, holds those of more than ten million instructions.
    shift: int = 6
    tick_ns: float = 0.0  # 0: it does not count
    packages: dict[str, str] = {}  # noqa: RUF012  # read only


def _arm(name: str, cpu: str, machine: str, clock_hz: float, flash: tuple[int, int], ram: tuple[int, int]) -> Target:
    flags = ("-mthumb", *cpu.split(), "-specs=nano.specs")
    regions = {"FLASH": flash, "RAM": ram}
    emulator = "qemu-system-arm"
    return Target(
        name, "arm-none-eabi-gcc", flags, "arm.c", emulator, machine, regions, 6, 1e9 / clock_hz, ARM_PACKAGES
    )


TARGETS = {
    target.name: target
    for target in (
        _arm(
            "cortex-m4f",
            "-mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard",
            "mps2-an386",
            25e6,
            (0x00000000, 4 * MIB),
            (0x20000000, 4 * MIB),
        ),
        _arm(
            "cortex-m33",
            "-mcpu=cortex-m33 -mfpu=fpv5-sp-d16 -mfloat-abi=hard",
            "mps2-an505",
            20e6,
            (0x10000000, 4 * MIB),
            (0x38000000, 2 * MIB),
        ),
        # A Cortex-M0, which has the same instructions.
        _arm("cortex-m0plus", "-mcpu=cortex-m0plus", "microbit", 16e6, (0, 256 * KIB), (0x20000000, 16 * KIB)),
        Target(
            "rv32imc",
            "riscv64-unknown-elf-gcc",
            ("-march=rv32imc", "-mabi=ilp32", "-specs=picolibc.specs"),
            "riscv.c",
            "qemu-system-riscv32",
            "virt",
            {"FLASH": (0x80000000, 4 * MIB), "RAM": (0x80400000, 4 * MIB)},
            0,
            1.0,
            RISCV_PACKAGES,
        ),
        Target("host", "gcc", (), "host.c", packages={"compiler": "gcc"}),
    )
}


def missing(target: Target) -> str:
    """What keeps a target from running here, in a sentence; empty where nothing does."""
    for what, tool in (("compiler", target.compiler), ("emulator", target.emulator)):
        if tool and shutil.which(tool) is None:
            return f"{target.name} needs {tool}: on Debian, apt-get install {' '.join(target.packages.values())}"
    return ""
