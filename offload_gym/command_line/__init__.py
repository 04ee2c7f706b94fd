"""The command line ``offload-gym``: environments, decisions and data sets without writing Python.

Every command prints to standard output and its progress to standard error, on a terminal only. Exit codes: 0, 2 for a
user's mistake, which is told in one sentence, and 130 where the user interrupts.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import offload_gym
from offload_gym.command_line.deciding import add_decide, add_solve
from offload_gym.command_line.exit_codes import exit_code_of
from offload_gym.command_line.exporting import add_export
from offload_gym.command_line.labelling import add_demonstrations
from offload_gym.command_line.listing import add_envs
from offload_gym.command_line.playing import add_play
from offload_gym.command_line.warming import add_warm_up

EXAMPLES = """\
examples:
  offload-gym envs
  offload-gym solve default --num-instances 10
  offload-gym decide default --policy student
  offload-gym demonstrations --output training.npz --num-instances 5000
  offload-gym export student policy.h --numbers float
  offload-gym play
  offload-gym warm-up

`offload-gym COMMAND --help` says more, and shows the files that solve and
decide read. Kernels are compiled at their first use, or all at once by
`offload-gym warm-up`. Exit codes: 0, 2 for a mistake in what was given, and 130
where Ctrl-C ends a command; solve then prints the best found so far.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code.

    Raises:
        SystemExit: after ``--help`` and ``--version``, and where the options themselves are wrong.
    """
    parser = argparse.ArgumentParser(
        prog="offload-gym",
        description="Task offloading in mobile edge computing: environments, optimal decisions,\nand labelled data.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"offload-gym {offload_gym.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (add_envs, add_solve, add_decide, add_demonstrations, add_export, add_play, add_warm_up):
        add(commands)

    def command() -> None:
        options = parser.parse_args(arguments)
        options.run(options)

    return exit_code_of(command)
