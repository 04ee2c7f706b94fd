"""Stopping a search before its end.

Python's handlers of signals, Ctrl-C among them, run in the main thread between two steps of the interpreter, so a
kernel holds them up for as long as it runs. One that can take long therefore counts its work and, every some ten
milliseconds of it, takes the interpreter lock for a moment and lets them run (``is_stopped``). A kernel in another
thread cannot be reached by a signal, but by a flag that whoever waits for it sets, as a limit of time could.

A stopped search comes back as one that has reached its last node does, which frees its memory, and the outermost kernel
raises what the handler raised (``raise_pending``). Local search raises at once (``raise_signals``): the few kilobytes
that numba then leaves behind are less than what handing the flag to every kernel that ends with it would cost.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.cgutils import ir
from numba.extending import register_jitable
from numpy.typing import NDArray

from offload_gym.compilation import in_machine_code, kernel

# Steps of an innermost loop, of some nanoseconds each, between two looks. While another thread keeps the interpreter
# busy, a look waits for up to 5 ms.
WORK_BETWEEN_LOOKS = 1 << 23


class Budget(NamedTuple):
    """How long a search may go on."""

    max_nodes: int  # partial schedules to make for an instance
    stop: NDArray[np.bool_]  # (1,) whether to stop now, see ``new_stop``
    work: NDArray[np.int64]  # (1,) steps since the last look; of one thread alone
    graphs: bool | None  # None where tasks are independent: numba then compiles nothing that is for graphs alone


def new_stop() -> NDArray[np.bool_]:
    """(1,) False; kernels that are given it stop soon after somebody sets it."""
    return np.zeros(1, np.bool_)


def watch_of(stop: NDArray[np.bool_]) -> tuple[Any, ...]:
    """A ``Budget`` as a plain tuple for a kernel that counts no nodes; each call of the kernel needs one of its own."""
    return tuple(Budget(0, stop, np.zeros(1, np.int64), None))


@register_jitable
def new_budget(max_nodes):
    """A ``Budget`` of its own, which nobody stops but a signal."""
    return Budget(max_nodes, np.zeros(1, np.bool_), np.zeros(1, np.int64), True)


def _ask_python(context: Any, builder: Any, function: str, answer: Any) -> Any:
    """Call a function of Python's C interface that takes nothing, with the interpreter lock; whether it answers 0."""
    api = context.get_python_api(builder)
    lock = api.gil_ensure()
    called = cgutils.get_or_insert_function(builder.module, ir.FunctionType(answer, ()), function)
    said = builder.call(called, ())
    api.gil_release(lock)
    return cgutils.is_null(builder, said)


@in_machine_code(lambda: True)  # Python runs handlers, and raises, by itself
def _signals_pass(typing_context):
    """Run the handlers of the signals that wait, in the main thread; False where one raises: its error is pending."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _ask_python(context, builder, "PyErr_CheckSignals", ir.IntType(32))

    return types.boolean(), generate


@in_machine_code(lambda: None)
def raise_pending(typing_context):
    """Leave the kernel with the error that is pending, if one is: last of all, with no memory of its own in use."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        passes = _ask_python(context, builder, "PyErr_Occurred", ir.IntType(8).as_pointer())
        with builder.if_then(builder.not_(passes)):
            context.call_conv.return_exc(builder)
        return context.get_dummy_value()

    return types.none(), generate


@kernel
def is_stopped(budget, steps):
    """Whether a search must stop, which has made so many steps more."""
    budget.work[0] += steps
    if budget.work[0] >= WORK_BETWEEN_LOOKS:
        budget.work[0] = 0
        if not budget.stop[0] and not _signals_pass():
            budget.stop[0] = True
    return budget.stop[0]


@kernel
def raise_signals(steps):
    """The steps since the last look, of so many before it; raises what a handler of a signal raises."""
    if steps < WORK_BETWEEN_LOOKS:
        return steps
    if not _signals_pass():
        raise_pending()
    return 0
