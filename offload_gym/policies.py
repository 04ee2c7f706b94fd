"""Policies: anything with ``decide(instances) -> (B, n)`` integer decisions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePath
from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from offload_gym.checks import quoted
from offload_gym.delay import objective_code
from offload_gym.instances import Instances, check_instances
from offload_gym.networks.graph_network import load_graph_network
from offload_gym.networks.graph_policy import GraphPolicy
from offload_gym.networks.policy import ROLL_OUT, NetworkPolicy
from offload_gym.networks.policy_file import load_network
from offload_gym.networks.roll_out import check_rolled_out, roll_out
from offload_gym.scenario import Scenario
from offload_gym.seeds import check_seed
from offload_gym.solvers.beam import beam_search
from offload_gym.solvers.exact import exact
from offload_gym.solvers.greedy import greedy
from offload_gym.solvers.heft import heft
from offload_gym.solvers.local_search import MOVES, local_search
from offload_gym.solvers.peft import peft
from offload_gym.solvers.portfolio import portfolio
from offload_gym.tensor_files import GRAPH_POLICY, format_of


class Policy(Protocol):
    """Decides instances. Solvers, heuristics and trained networks all have this form."""

    def decide(self, instances: Instances) -> NDArray[np.int64]:
        """Decisions (B, n) with values 0..K-1 for B instances of n tasks."""
        ...


class FunctionPolicy:
    """A policy made of a function from instances to decisions; it can be pickled where the function can."""

    def __init__(self, function: Callable[[Instances], NDArray[np.int64]]) -> None:
        self.function = function

    def decide(self, instances: Instances) -> NDArray[np.int64]:
        """The function's decisions (B, n)."""
        if not isinstance(instances, Instances):  # a call more would take longer than placing a task
            check_instances(instances)
        return self.function(instances)


# What the policies are made of: functions of the module, as processes send each other no others.
def _everywhere(location: int, instances: Instances) -> NDArray[np.int64]:
    """All tasks at one location, the last one where it is -1."""
    last = instances.num_locations - 1
    if location == 1 == last:
        raise ValueError("the policy 'edge' needs an edge server; the instances have a device and a cloud only")
    return np.full((len(instances), instances.num_tasks), last if location < 0 else location, dtype=np.int64)


def _anywhere(rng: Generator, instances: Instances) -> NDArray[np.int64]:
    return rng.integers(0, instances.num_locations, (len(instances), instances.num_tasks))


def _searched(
    decide: Callable[[Instances], NDArray[np.int64]], objective: str, moves: str, instances: Instances
) -> NDArray[np.int64]:
    return local_search(instances, decide(instances), objective, moves=moves)


def _refined(decide: Callable[[Instances], NDArray[np.int64]], objective: str, moves: str | None) -> FunctionPolicy:
    """The decisions with local search behind them."""
    return FunctionPolicy(decide if moves is None else partial(_searched, decide, objective, moves))


def _beam(width: int, objective: str, moves: str | None) -> FunctionPolicy:
    return FunctionPolicy(partial(beam_search, width=width, objective=objective, moves=moves))


def _roll_out(objective: str, moves: str | None) -> FunctionPolicy:
    check_rolled_out(objective)
    return FunctionPolicy(partial(roll_out, objective=objective, moves=moves))


def _shipped(network: str, refine: str | None, objective: str, preset: str) -> NetworkPolicy | GraphPolicy:
    if objective != "makespan":
        raise ValueError(f"objective is {quoted(objective)}; the shipped networks were trained for makespan only")
    if preset not in (*SHIPPED_PRESETS, *GRAPH_PRESETS):
        known = ", ".join((*SHIPPED_PRESETS, *GRAPH_PRESETS))
        raise ValueError(f"preset is {quoted(preset)}; networks are shipped for {known}")
    if preset in GRAPH_PRESETS and refine == ROLL_OUT:
        known = ", ".join(SHIPPED_PRESETS)
        raise ValueError(f"preset is {quoted(preset)}; with +roll-out behind the network it must be one of {known}")
    policy = load_policy(WEIGHTS / f"{preset}-{network}.safetensors", refine)
    policy.name = network if refine is None else f"{network}+{refine}"
    return policy


WEIGHTS = files("offload_gym") / "weights"  # which may be in a zip archive, as the package may
SHIPPED_PRESETS = ("default", "vision", "multi_edge")  # of independent tasks
GRAPH_PRESETS = ("dag", "partitioning")  # of dependent tasks
# What may stand behind a shipped network: +roll-out only behind students of independent tasks, as their teacher reads
# roll-outs in any case.
_BEHIND = {"teacher": MOVES, "student": (ROLL_OUT, *MOVES), "small-student": (ROLL_OUT, *MOVES)}
SHIPPED = tuple(name for network, behind in _BEHIND.items() for name in (network, *(f"{network}+{b}" for b in behind)))
# (objective, moves or None, seed) -> policy; local search follows those that do not end with it themselves.
_BUILT_IN: dict[str, Callable[[str, str | None, int], Policy]] = {
    "local": lambda objective, moves, seed: _refined(partial(_everywhere, 0), objective, moves),
    "edge": lambda objective, moves, seed: _refined(partial(_everywhere, 1), objective, moves),
    "cloud": lambda objective, moves, seed: _refined(partial(_everywhere, -1), objective, moves),
    "random": lambda objective, moves, seed: _refined(
        partial(_anywhere, np.random.default_rng(seed)), objective, moves
    ),
    "greedy": lambda objective, moves, seed: FunctionPolicy(partial(greedy, objective=objective, moves=moves)),
    "heft": lambda objective, moves, seed: FunctionPolicy(partial(heft, objective=objective, moves=moves)),
    "peft": lambda objective, moves, seed: FunctionPolicy(partial(peft, objective=objective, moves=moves)),
    "portfolio": lambda objective, moves, seed: FunctionPolicy(partial(portfolio, objective=objective, moves=moves)),
    "roll-out": lambda objective, moves, seed: _roll_out(objective, moves),
    "beam-4": lambda objective, moves, seed: _beam(4, objective, moves),
    "beam-16": lambda objective, moves, seed: _beam(16, objective, moves),
}
#: The names that ``make_policy`` lists; it also takes beams of other widths.
POLICY_NAMES = (
    *(name for base in _BUILT_IN for name in (base, *(f"{base}+{moves}" for moves in MOVES))),
    "exact",
    *SHIPPED,
)


def preset_of(scenario: Scenario) -> str:
    """The preset whose shipped networks suit a scenario best: its own where there are some, else "default" or "dag"."""
    if scenario.name in (GRAPH_PRESETS if scenario.dependent else SHIPPED_PRESETS):
        return scenario.name
    return "dag" if scenario.dependent else "default"


def is_built_in(name: str) -> bool:
    """Whether a name is that of a built-in policy, whatever is to be done behind it."""
    base = name.partition("+")[0]
    width = base.removeprefix("beam-")
    is_beam = base != width and width.isascii() and width.isdigit() and width[0] != "0"
    return base in (*_BUILT_IN, *_BEHIND, "exact") or is_beam


def make_policy(name: str, objective: str = "makespan", seed: int = 0, preset: str = "default") -> Policy:
    """A built-in policy.

    Args:
        name: a policy, or a policy and what is done behind it: "greedy", "greedy+swap".

            - "local", "edge" (the first edge server), "cloud", "random" (each location equally likely), "greedy"
              (earliest completion), "heft" (the same, most urgent task first), "peft" (the same as greedy, with what
              follows a task at each location), "beam-4" (beam search of that width, any whole number), "portfolio" (the
              best of all at one location, greedy, heft, peft, beam-4 and beam-16), "roll-out" (greedy completions of
              each choice; for independent tasks and not for "cost").
              Behind them "+flip": one-flip local search; "+swap": by flips and swaps.
            - "exact", as ``solve``.
            - a trained network that the package ships, for makespan: "student" (2,200 to 2,800 parameters),
              "small-student" (950 to 1,300) or "teacher" (19,000 to 22,000); of applications 1,089, 545 and 4,225.
              Behind them "+flip" or "+swap", and behind the students for independent tasks "+roll-out" (greedy
              completions of the choices they did not make are tried).
        objective: what the policies that look at the objective minimise.
        seed: of the random policy.
        preset: what a shipped network was trained for: "default", "vision" or "multi_edge", which decide independent
            tasks at locations with as many cores; "dag" or "partitioning", which decide applications, wherever.

    Raises:
        ValueError: the policy, the objective or the preset is unknown, or a network is asked for another objective.
    """
    objective_code(objective)
    check_seed(seed)
    if not isinstance(name, str):
        raise ValueError(f"policy is {quoted(name)}; it must be a name, such as 'greedy'")
    base, plus, behind = name.partition("+")
    if not is_built_in(name):
        raise ValueError(
            f"policy is {quoted(name)}; the built-in policies are {', '.join(POLICY_NAMES)}, and beams of other "
            "widths, such as beam-8"
        )
    refine = behind if plus else None
    if base == "exact" and refine is None:
        return FunctionPolicy(partial(exact, objective=objective))
    allowed = _BEHIND.get(base, () if base == "exact" else MOVES)
    if refine is not None and refine not in allowed:
        rest = (
            f"behind {base!r} may stand {', '.join(f'+{b}' for b in allowed)}" if allowed else "it is optimal already"
        )
        raise ValueError(f"policy is {quoted(name)}; {rest}")
    if base in _BEHIND:
        return _shipped(base, refine, objective, preset)
    if base in _BUILT_IN:
        return _BUILT_IN[base](objective, refine, seed)
    return _beam(int(base.removeprefix("beam-")), objective, refine)


def load_policy(
    path: str | Path | Traversable,
    refine: str | None = None,
    keep_best: bool | None = None,
    objective: str | None = None,
) -> NetworkPolicy | GraphPolicy:
    """A trained policy from its file, without torch; nothing in the file is run.

    Args:
        path: a policy file; also one of ``importlib.resources``.
        refine: what is done behind the network, as in ``NetworkPolicy``: "roll-out", the moves of a local search,
            "flip" or "swap", or None.
        keep_best: whether the decision is the best of all schedules that were tried on the way, as there; None: where
            that is possible. False: the network's own choices. Networks of graphs always keep the best: None or True.
        objective: of local search behind it; None: the one that the network was trained for.

    Returns:
        A ``GraphPolicy`` where the network is one of graphs (``offload_gym.networks.graph_network``), else a
        ``NetworkPolicy``.

    Raises:
        ValueError: the file is not a complete policy file, or its network cannot be used in this way.
    """
    policy: NetworkPolicy | GraphPolicy
    if format_of(path) == GRAPH_POLICY:
        graph_network = load_graph_network(path)
        if keep_best is not None and keep_best is not True:
            given = quoted(keep_best)
            raise ValueError(f"{path}: keep_best is {given}; a network of graphs always keeps the best: None or True")
        if objective not in (None, graph_network.objective):
            raise ValueError(f"{path}: objective is {quoted(objective)}; for a network of graphs it must be 'makespan'")
        make: Callable[[], NetworkPolicy | GraphPolicy] = partial(GraphPolicy, graph_network, refine)
    else:
        make = partial(NetworkPolicy, load_network(path), refine, keep_best, objective)
    try:
        policy = make()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    stem = PurePath(str(path)).stem
    policy.name = stem if refine is None else f"{stem}+{refine}"
    return policy
