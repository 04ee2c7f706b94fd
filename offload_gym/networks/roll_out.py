"""Roll-out: each task goes where greedy earliest completion of the later tasks then leads to the least value.

Bertsekas, Tsitsiklis and Wu, "Rollout algorithms for combinatorial optimization", Journal of Heuristics 3, 1997. It is
what the networks of this package see of the later tasks, without a network.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import quoted
from offload_gym.delay import COMPLETION_OBJECTIVES, objective_code
from offload_gym.instances import CORES, Instances
from offload_gym.networks.independent_kernel import TRIED, decide_independent, make_plan
from offload_gym.observation import check_independent
from offload_gym.solvers.local_search import search_codes


@lru_cache(maxsize=64)
def _plan(cores: tuple[float, ...], objective: str) -> tuple[NDArray, NDArray]:
    counts = [int(count) for count in cores]
    return make_plan(counts, False, (), (), True, objective_code(objective), TRIED)


def check_rolled_out(objective: str) -> None:
    """ValueError where roll-outs do not tell an objective."""
    if objective not in COMPLETION_OBJECTIVES:
        raise ValueError(f"objective is {quoted(objective)}; roll-out is for {' and '.join(COMPLETION_OBJECTIVES)}")


def roll_out(instances: Instances, objective: str = "makespan", moves: str | None = None) -> NDArray[np.int64]:
    """Decisions (B, n) for independent tasks; the best of all schedules that were tried.

    Args:
        instances: B instances whose locations have the same cores.
        objective: "makespan" or "mean".
        moves: local search behind it, as in ``greedy``.

    Raises:
        ValueError: the tasks depend on each other, the cores differ, or the objective is another.
    """
    check_rolled_out(objective)
    check_independent(instances, dependent=False, what="a roll-out")
    decisions = np.empty((len(instances), instances.num_tasks), dtype=np.int64)
    if len(instances):
        plan, weights = _plan(tuple(instances.locations[0, :, CORES].tolist()), objective)
        search = None if moves is None else search_codes(objective, moves)
        if not decide_independent(*instances.arrays[:5], plan, weights, search, decisions):
            raise ValueError("the instances of one batch must have the same cores to be decided by roll-out")
    return decisions
