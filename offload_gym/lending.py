"""Arrays without a count of references, for kernels that pass them on in tuples with names.

Each time that a kernel reads an array out of a tuple, numba counts one more reference to it, and one less when it is
done with it, by atomic instructions that take longer than a small loop. An array that is lent has no count.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numba import types
from numba.core import cgutils

from offload_gym.compilation import in_machine_code


def _arrays(kind: Any, at: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Where the arrays are in a type: itself, or elements of a tuple of arrays, numbers and tuples."""
    if isinstance(kind, types.Array):
        yield at
    elif isinstance(kind, types.BaseTuple):
        for i, element in enumerate(kind):
            yield from _arrays(element, (*at, i))


@in_machine_code(lambda given: given)
def lent(typing_context, given):
    """The same array, or the same tuple of arrays, numbers and tuples, whose arrays are not counted.

    Somebody else must keep the arrays until the last use of what is lent: Python, where they came as arguments, and for
    memory that a kernel makes itself the kernel. Numba frees such memory after its last use, so it is lent where it is
    needed again: within a loop, in each round. What is lent must not be returned to Python.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (value,) = arguments
        for at in _arrays(given):
            for field in (0, 1):  # the block of memory and the Python object that own the data
                owner = builder.extract_value(value, (*at, field))
                value = builder.insert_value(value, cgutils.get_null_value(owner.type), (*at, field))
        return value

    return given(given), generate
