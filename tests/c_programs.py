"""What tests of headers in C share: compiling a program, and random numbers in it."""

import subprocess

from offload_gym.networks.c_trial import compiler

COMPILER = compiler()
#: A generator of Marsaglia's "Xorshift RNGs", 2003: the same numbers on every machine.
RANDOM = """
static uint64_t seed = 88172645463325252u;
static uint64_t next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}
"""


def compile_in(folder, text, *options, program=COMPILER, suffix="c"):
    """Compile a program in a folder, with libraries behind it; what the compiler said."""
    (folder / f"main.{suffix}").write_text(text)
    return subprocess.run([program, f"main.{suffix}", *options], cwd=folder, capture_output=True, text=True)
