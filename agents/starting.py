"""What Ctrl-C says while a command still imports what it needs, which takes seconds where torch is among it.

The main modules of ``agents`` and ``benchmarks`` import this first.
"""

import sys
from types import TracebackType


def _say(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """One sentence instead of a traceback where a command that has not begun is interrupted."""
    if issubclass(kind, KeyboardInterrupt):
        print("\ninterrupted: nothing was begun; start the same command again", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = _say
