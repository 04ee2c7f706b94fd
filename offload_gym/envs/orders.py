"""What environments, single and native vector ones, ask of the fleet behind them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

STEP, BEGIN, LEAVE = range(3)  # what to do with an environment


class Turn(NamedTuple):
    """What a step is to do, and the room for what it returns. Nothing is written where an environment is left."""

    orders: NDArray[np.int64]  # (N,) STEP, BEGIN (a new episode; the action is ignored), or LEAVE
    actions: NDArray[np.int64]  # (N, n) where a step places all tasks, else (N, 1)
    observations: NDArray[np.float32]  # (N, size)
    results: NDArray[np.void]  # (N,) of the fleet's dtype ``result``


class AnyFleet(Protocol):
    """N environments as arrays, and the kernel that steps them.

    The dtype ``result`` begins with ``reward``; what an end brings to the infos follows, 0 or NaN elsewhere, and it
    ends with ``ended`` (whether there is such an end) and ``over`` (whether the episode is).
    """

    result: np.dtype[np.void]

    def step(
        self,
        orders: NDArray[np.int64],
        actions: NDArray[np.int64],
        observations: NDArray[np.float32],
        results: NDArray[np.void],
        part: tuple[int, int] | None = None,
    ) -> int:
        """Step all environments or a part of them; see ``Turn``.

        Returns:
            The first of these environments whose action is none, or -1. Then none of them has been stepped.
        """

    def seed(self, b: int, key: np.uint64) -> None:
        """Let environment ``b`` draw from ``key``, when it begins its next episode."""

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are of use, a row for each environment."""


def info_names(fleet: AnyFleet) -> tuple[str, ...]:
    """What an end brings to the infos."""
    names = fleet.result.names
    assert names is not None
    return names[1:-2]
