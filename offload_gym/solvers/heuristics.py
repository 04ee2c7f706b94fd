"""The cheap heuristics, each with flips behind it: what a search that was stopped must not end above."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from offload_gym.instances import Instances
from offload_gym.solvers.beam import beam_search
from offload_gym.solvers.heft import heft
from offload_gym.solvers.local_search import local_search

BEAM_WIDTHS = (4, 16)


def cheap_decisions(instances: Instances, objective: str) -> Iterator[NDArray[np.int64]]:
    """Decisions (B, n) of one heuristic after the other, but for greedy, from which the searches start themselves."""
    for k in range(instances.num_locations):
        alike = np.where(instances.present, k, 0)
        yield local_search(instances, alike, objective, num_threads=1)
    yield heft(instances, objective=objective, moves="flip")
    for width in BEAM_WIDTHS:
        yield beam_search(instances, width, objective, "flip")
