"""What is compared: the built-in policies and the trained ones of a folder, each in its deployed form."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from offload_gym.delay import COMPLETION_OBJECTIVES
from offload_gym.instances import Instances
from offload_gym.networks.graph_policy import GraphPolicy
from offload_gym.networks.policy import ROLL_OUT, NetworkPolicy
from offload_gym.networks.policy_file import other_training
from offload_gym.policies import POLICY_NAMES, SHIPPED, Policy, load_policy, make_policy
from offload_gym.scenario import Scenario
from offload_gym.solvers.local_search import MOVES

SUFFIX = ".safetensors"
# Of the networks that the package ships only the plain ones, where the folder has others: those also come with
# roll-outs and local search behind them.
BUILT_IN = tuple(name for name in POLICY_NAMES if not (name in SHIPPED and "+" in name))
# Trained policies are listed in this order, others after them.
ORDER = (
    "sequential-teacher",
    "sequential-student",
    "sequential-small-student",
    "multilabel-teacher",
    "multilabel-student",
)


class Contender(NamedTuple):
    """A policy in a comparison."""

    name: str
    policy: Policy
    num_parameters: int  # 0 where nothing was learned
    shipped: bool = False  # a network of the package, not of the folder


def contenders(
    scenario: Scenario,
    objective: str,
    instances: Instances,
    folder: Path,
    transfer: bool = False,
    observation_noise: float | str | None = 0.0,
) -> list[Contender]:
    """All policies that were made for this scenario, in any number of tasks, and objective.

    Prints which were left out, and why.

    With ``transfer`` those that were trained for another scenario or objective take part, too, and with None as the
    observation noise those that were trained with any.

    The built-in policies come first, then the trained ones of ``folder``. Teachers and students are also listed
    with roll-outs and with local search behind them, as heuristics are.
    """
    candidates: list[Contender] = []
    files = sorted(folder.glob(f"*{SUFFIX}"), key=_rank)
    for name in BUILT_IN if files else POLICY_NAMES:
        try:
            policy = make_policy(name, objective, preset=scenario.name)
        except ValueError as error:
            print(f"left out {name}: {error}")
            continue
        candidates.append(Contender(name, policy, getattr(policy, "num_parameters", 0), name in SHIPPED))
    if not files:
        print(f"no trained policies in {folder}: comparing the built-in ones (`make demo` trains the others)")
    for path in files:
        name, policy = path.name.removesuffix(SUFFIX), load_policy(path)
        candidates.append(Contender(name, policy, policy.num_parameters))
        if ("student" in name or "teacher" in name) and objective in COMPLETION_OBJECTIVES:
            tried = (ROLL_OUT,) if can_roll_out(policy) else ()
            for behind in (*tried, *MOVES):
                refined = load_policy(path, behind, objective=objective if behind in MOVES else None)
                candidates.append(Contender(f"{name}+{behind}", refined, policy.num_parameters))
    fitting = []
    for contender in candidates:
        reason = (
            "" if transfer else _trained_for_something_else(contender.policy, scenario, objective, observation_noise)
        )
        reason = reason or _refusal(contender.policy, instances)
        if reason:
            print(f"left out {contender.name}: {reason}")
        else:
            fitting.append(contender)
    return fitting


def can_roll_out(policy: Policy) -> bool:
    """Whether "roll-out" may stand behind a trained policy."""
    return isinstance(policy, NetworkPolicy) and policy.keep_best and not policy.network.roll_outs


def _trained_for_something_else(
    policy: Policy, scenario: Scenario, objective: str, observation_noise: float | str | None
) -> str:
    """What a policy was trained for, where that is not this scenario and objective; empty where it is."""
    what = ""
    if isinstance(policy, NetworkPolicy | GraphPolicy):
        what = other_training(policy.network, scenario, objective, observation_noise)
    return what and f"it was trained for {what} (--transfer takes it in)"


def _refusal(policy: Policy, instances: Instances) -> str:
    """Why a policy cannot decide these instances; empty where it can."""
    try:
        policy.decide(instances[:1])
    except ValueError as error:
        return str(error)
    return ""


def _rank(path: Path) -> tuple[int, str]:
    name = path.name.removesuffix(SUFFIX)
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)
