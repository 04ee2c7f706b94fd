"""Policies: anything with ``decide(instances) -> (B, n)`` integer decisions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from offload_gym.delay import objective_code
from offload_gym.instances import Instances
from offload_gym.runtime import NetworkPolicy, load_network
from offload_gym.solvers.beam import beam_search
from offload_gym.solvers.exact import solve
from offload_gym.solvers.greedy import greedy
from offload_gym.solvers.local_search import local_search


class Policy(Protocol):
    """Decides instances. Solvers, heuristics and trained networks all have this form."""

    def decide(self, instances: Instances) -> NDArray[np.int64]:
        """Decisions (B, n) with values 0..K-1 for B instances of n tasks."""
        ...


class FunctionPolicy:
    """A policy made of a function from instances to decisions."""

    def __init__(self, function: Callable[[Instances], NDArray[np.int64]]) -> None:
        self.decide = function


class RefinedPolicy:
    """Another policy's decisions, improved by one-flip local search.

    Args:
        policy: where the search starts.
        objective: what it improves.
    """

    def __init__(self, policy: Policy, objective: str = "makespan") -> None:
        objective_code(objective)
        self.policy = policy
        self.objective = objective

    def decide(self, instances: Instances) -> NDArray[np.int64]:
        """Decisions (B, n) that no move of a single task improves."""
        return local_search(instances, self.policy.decide(instances), self.objective)


def _fixed(location: Callable[[Instances], int]) -> FunctionPolicy:
    return FunctionPolicy(
        lambda instances: np.full((len(instances), instances.num_tasks), location(instances), dtype=np.int64)
    )


def _random(seed: int) -> FunctionPolicy:
    rng = np.random.default_rng(seed)
    return FunctionPolicy(
        lambda instances: rng.integers(0, instances.num_locations, (len(instances), instances.num_tasks))
    )


def _edge(instances: Instances) -> int:
    if instances.num_locations < 3:
        raise ValueError("the policy 'edge' needs an edge server; the instances have a device and a cloud only")
    return 1


_BUILT_IN: dict[str, Callable[[str, int], Policy]] = {
    "local": lambda objective, seed: _fixed(lambda instances: 0),
    "edge": lambda objective, seed: _fixed(_edge),
    "cloud": lambda objective, seed: _fixed(lambda instances: instances.num_locations - 1),
    "random": lambda objective, seed: _random(seed),
    "greedy": lambda objective, seed: FunctionPolicy(greedy),
    "greedy+flip": lambda objective, seed: RefinedPolicy(FunctionPolicy(greedy), objective),
    "beam-4": lambda objective, seed: FunctionPolicy(lambda instances: beam_search(instances, 4, objective)),
    "beam-16": lambda objective, seed: FunctionPolicy(lambda instances: beam_search(instances, 16, objective)),
    "exact": lambda objective, seed: FunctionPolicy(lambda instances: solve(instances, objective).decisions),
}
POLICY_NAMES = tuple(_BUILT_IN)


def make_policy(name: str, objective: str = "makespan", seed: int = 0) -> Policy:
    """A built-in policy.

    Args:
        name: "local", "edge" (the first edge server), "cloud", "random" (each location equally likely), "greedy"
            (earliest completion), "greedy+flip" (greedy improved by one-flip local search), "beam-4", "beam-16" (beam
            search of that width) or "exact" (branch and bound).
        objective: what the policies that look at the objective minimise.
        seed: of the random policy.

    Raises:
        ValueError: the policy or the objective is unknown.
    """
    objective_code(objective)
    if name not in _BUILT_IN:
        raise ValueError(f"policy is {name!r}; the built-in policies are {', '.join(POLICY_NAMES)}")
    return _BUILT_IN[name](objective, seed)


def load_policy(path: str | Path) -> NetworkPolicy:
    """A trained policy from its file, without torch; nothing in the file is run.

    Raises:
        ValueError: the file is not a complete policy file.
    """
    try:
        return NetworkPolicy(load_network(path))
    except ValueError as error:
        raise ValueError(f"{error}" if str(path) in str(error) else f"{path}: {error}") from None
