"""The portfolio: the best of the cheap heuristics, which is what anything learned or searched has to beat."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from offload_gym.delay import latency
from offload_gym.instances import Instances
from offload_gym.solvers.beam import beam_search
from offload_gym.solvers.greedy import greedy
from offload_gym.solvers.heft import heft
from offload_gym.solvers.local_search import local_search
from offload_gym.solvers.peft import peft

BEAM_WIDTHS = (4, 16)


def portfolio_decisions(
    instances: Instances, objective: str = "makespan", moves: str | None = None
) -> Iterator[NDArray[np.int64]]:
    """Decisions (B, n) of one heuristic after the other; local search behind each, as in ``greedy``."""
    for k in range(instances.num_locations):
        alike = np.where(instances.present, k, 0)
        yield alike if moves is None else local_search(instances, alike, objective, moves=moves, num_threads=1)
    yield greedy(instances, objective=objective, moves=moves)
    yield heft(instances, objective=objective, moves=moves)
    yield peft(instances, objective=objective, moves=moves)
    for width in BEAM_WIDTHS:
        yield beam_search(instances, width, objective, moves)


def ranked_portfolio(instance: Instances, objective: str, moves: str | None) -> NDArray[np.int64]:
    """Decisions (S, n) of the portfolio for one instance, the best first, each once."""
    decisions = np.concatenate(list(portfolio_decisions(instance, objective, moves)))
    order = np.argsort([latency(instance, decision[None], objective)[0] for decision in decisions], kind="stable")
    _, firsts = np.unique(decisions[order], axis=0, return_index=True)
    return decisions[order][np.sort(firsts)]


def portfolio(instances: Instances, *, objective: str = "makespan", moves: str | None = None) -> NDArray[np.int64]:
    """Decisions (B, n), of each instance the best of those of the portfolio.

    It is made of all tasks at one location, greedy, HEFT, PEFT, and beams of width 4 and 16.

    Args:
        instances: B instances of n tasks.
        objective: what is minimised.
        moves: local search behind each of them by these moves, as in ``greedy``.
    """
    best = np.zeros((len(instances), instances.num_tasks), np.int64)
    best_s = np.full(len(instances), np.inf)
    for tried in portfolio_decisions(instances, objective, moves):
        tried_s = latency(instances, tried, objective)
        better = tried_s < best_s
        best[better], best_s[better] = tried[better], tried_s[better]
    return best
