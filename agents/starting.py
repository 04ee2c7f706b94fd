"""What Ctrl-C says while a command still imports what it needs, which takes seconds where torch is among it.

The main modules of ``agents`` and ``benchmarks`` import this first of all where they are run as programs.
"""

import sys
from types import TracebackType

_before = sys.excepthook


def _say(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """One sentence instead of a traceback where a command that has not begun is interrupted."""
    if issubclass(kind, KeyboardInterrupt):
        print("\ninterrupted: nothing was begun; start the same command again", file=sys.stderr)
    else:
        _before(kind, error, traceback)


def begun() -> None:
    """Leave interrupts to the command."""
    sys.excepthook = _before


sys.excepthook = _say
