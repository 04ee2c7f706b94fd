"""Policies: anything with ``decide(instances) -> (B, n)`` integer decisions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from offload_gym.delay import objective_code
from offload_gym.instances import Instances
from offload_gym.policy_file import load_network
from offload_gym.runtime import NetworkPolicy
from offload_gym.scenario import Scenario
from offload_gym.seeds import check_seed
from offload_gym.solvers.beam import beam_search
from offload_gym.solvers.exact import exact
from offload_gym.solvers.greedy import greedy
from offload_gym.solvers.heft import heft
from offload_gym.solvers.local_search import SWAP
from offload_gym.solvers.roll_out import roll_out


class Policy(Protocol):
    """Decides instances. Solvers, heuristics and trained networks all have this form."""

    def decide(self, instances: Instances) -> NDArray[np.int64]:
        """Decisions (B, n) with values 0..K-1 for B instances of n tasks."""
        ...


class FunctionPolicy:
    """A policy made of a function from instances to decisions."""

    def __init__(self, function: Callable[[Instances], NDArray[np.int64]]) -> None:
        self.decide = function


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


def _beam(width: int, objective: str, refine: str | None = None) -> FunctionPolicy:
    return FunctionPolicy(lambda instances: beam_search(instances, width, objective, refine))


def _roll_out(objective: str, refine: str | None = None) -> FunctionPolicy:
    if objective == "cost":
        raise ValueError("objective is 'cost'; roll-out is for makespan and mean")
    return FunctionPolicy(lambda instances: roll_out(instances, objective, refine))


def _shipped(name: str, objective: str, preset: str) -> NetworkPolicy:
    if objective != "makespan":
        raise ValueError(f"objective is {objective!r}; the shipped networks were trained for makespan only")
    if preset not in SHIPPED_PRESETS:
        raise ValueError(f"preset is {preset!r}; networks are shipped for {', '.join(SHIPPED_PRESETS)}")
    network, _, refine = name.partition("+")
    return load_policy(WEIGHTS / f"{preset}-{network}.safetensors", refine or None)


WEIGHTS = Path(__file__).parent / "weights"
SHIPPED = tuple(
    network + refine
    for network in ("teacher", "student", "small-student")
    for refine in ("", "+roll-out", "+flip", "+swap")
    if (network, refine) != ("teacher", "+roll-out")  # the teacher reads roll-outs in any case
)
SHIPPED_PRESETS = ("default", "vision", "multi_edge")
_BUILT_IN: dict[str, Callable[[str, int], Policy]] = {
    "local": lambda objective, seed: _fixed(lambda instances: 0),
    "edge": lambda objective, seed: _fixed(_edge),
    "cloud": lambda objective, seed: _fixed(lambda instances: instances.num_locations - 1),
    "random": lambda objective, seed: _random(seed),
    "greedy": lambda objective, seed: FunctionPolicy(greedy),
    "heft": lambda objective, seed: FunctionPolicy(heft),
    "heft+swap": lambda objective, seed: FunctionPolicy(lambda instances: heft(instances, objective + SWAP)),
    "roll-out": lambda objective, seed: _roll_out(objective),
    "roll-out+swap": lambda objective, seed: _roll_out(objective, objective + SWAP),
    "greedy+flip": lambda objective, seed: FunctionPolicy(lambda instances: greedy(instances, objective)),
    "greedy+swap": lambda objective, seed: FunctionPolicy(lambda instances: greedy(instances, objective + SWAP)),
    "beam-4": lambda objective, seed: _beam(4, objective),
    "beam-4+flip": lambda objective, seed: _beam(4, objective, objective),
    "beam-4+swap": lambda objective, seed: _beam(4, objective, objective + SWAP),
    "beam-16": lambda objective, seed: _beam(16, objective),
    "beam-16+flip": lambda objective, seed: _beam(16, objective, objective),
    "beam-16+swap": lambda objective, seed: _beam(16, objective, objective + SWAP),
    "exact": lambda objective, seed: FunctionPolicy(lambda instances: exact(instances, objective)),
}
#: The names that ``make_policy`` takes.
POLICY_NAMES = (*_BUILT_IN, *SHIPPED)


def preset_of(scenario: Scenario) -> str:
    """The preset whose shipped networks suit a scenario best: its own where there are some, else "default"."""
    return scenario.name if scenario.name in SHIPPED_PRESETS else "default"


def make_policy(name: str, objective: str = "makespan", seed: int = 0, preset: str = "default") -> Policy:
    """A built-in policy.

    Args:
        name: "local", "edge" (the first edge server), "cloud", "random" (each location equally likely), "greedy"
            (earliest completion), "heft" (the same, most urgent task first), "beam-4", "beam-16" (beam search of that
            width), "greedy+flip", "beam-4+flip", "beam-16+flip" (improved by one-flip local search), "greedy+swap",
            "heft+swap", "beam-4+swap", "beam-16+swap" (by flips and swaps), "roll-out" (greedy
            completions of each choice; for independent tasks), "roll-out+swap", "exact" (as ``solve``), or a trained
            network that the package ships: "student" (2,200 to 2,800 parameters),
            "small-student" (950 to 1,300) or "teacher" (19,000 to 22,000), for makespan, also with "+flip" or "+swap",
            and the students with "+roll-out" (greedy completions of the choices they did not make are tried).
        objective: what the policies that look at the objective minimise.
        seed: of the random policy.
        preset: what a shipped network was trained for: "default", "vision" or "multi_edge". It decides any scenario
            whose locations have as many cores.

    Raises:
        ValueError: the policy, the objective or the preset is unknown, or a network is asked for another objective.
    """
    objective_code(objective)
    check_seed(seed)
    if name in SHIPPED:
        return _shipped(name, objective, preset)
    behind = [shipped for shipped in SHIPPED if shipped.startswith(f"{name.partition('+')[0]}+")]
    if behind:
        raise ValueError(f"policy is {name!r}; with more work behind it this network is {', '.join(behind)}")
    if name not in _BUILT_IN:
        raise ValueError(f"policy is {name!r}; the built-in policies are {', '.join(POLICY_NAMES)}")
    return _BUILT_IN[name](objective, seed)


def load_policy(path: str | Path, refine: str | None = None, keep_best: bool | None = None) -> NetworkPolicy:
    """A trained policy from its file, without torch; nothing in the file is run.

    Args:
        path: a policy file.
        refine: what is done behind the network, as in ``offload_gym.runtime.NetworkPolicy``: "roll-out", "flip",
            "swap", or None.
        keep_best: whether the decision is the best of all schedules that were tried on the way, as there; None: where
            that is possible. False: the network's own choices.

    Raises:
        ValueError: the file is not a complete policy file, or its network cannot be used in this way.
    """
    network = load_network(path)
    try:
        return NetworkPolicy(network, refine, keep_best)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
