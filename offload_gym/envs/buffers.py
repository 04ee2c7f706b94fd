"""Arrays of the caller that a step of many environments fills."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Buffers(NamedTuple):
    """Arrays that a step of N environments fills; ``NativeVectorEnv.new_buffers`` makes some.

    Observations are those of the flat form, contiguous; named fields are views of them.
    """

    observations: NDArray[np.float32]  # (N, size)
    rewards: NDArray[np.floating]  # (N,)
    terminations: NDArray[np.bool_]  # (N,)


def new_buffers(num_envs: int, size: int) -> Buffers:
    """Arrays for N environments with as many numbers in an observation."""
    return Buffers(np.empty((num_envs, size), dtype=np.float32), np.empty(num_envs), np.empty(num_envs, dtype=np.bool_))


def check_buffers(out: Buffers, num_envs: int, size: int) -> None:
    """ValueError where an array is missing, cannot be written, or has another shape or type."""
    if not isinstance(out, Buffers):
        raise ValueError(f"out is a {type(out).__name__}; it must be Buffers, which new_buffers() makes")
    wanted = (
        ((num_envs, size), (np.float32,), "contiguous float32"),
        ((num_envs,), (np.float64, np.float32), "float64 or float32"),
        ((num_envs,), (np.bool_,), "bool"),
    )
    for name, array, (shape, types, words) in zip(Buffers._fields, out, wanted, strict=True):
        given = f"{array.shape} {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype not in types:
            raise ValueError(f"out.{name} is {given}; it must be an array {shape} of {words}")
        if not array.flags.writeable:
            raise ValueError(f"out.{name} is read-only; it must be writable")
    # For another layout the kernel would be compiled anew.
    if not out.observations.flags.c_contiguous:
        raise ValueError(f"out.observations has the strides {out.observations.strides}; it must be contiguous")
