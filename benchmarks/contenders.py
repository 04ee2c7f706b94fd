"""What is compared: the built-in policies and the trained ones of a folder, or of one a training seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from offload_gym.checks import quoted
from offload_gym.delay import COMPLETION_OBJECTIVES
from offload_gym.files import read_settings
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
    folders: Sequence[Path],
    transfer: bool = False,
    observation_noise: float | str | None = 0.0,
) -> list[Contender]:
    """All policies that were made for this scenario, in any number of tasks, and objective.

    Prints which were left out, and why.

    With ``transfer`` those that were trained for another scenario or objective take part, too, and with None as the
    observation noise those that were trained with any.

    The built-in policies come first, then the trained ones of ``folders``, of each of which there is one a folder:
    several folders are of the same training with different seeds. Teachers and students are also listed with roll-outs
    and with local search behind them, as heuristics are.

    Raises:
        ValueError: the folders differ in more than the seed, or a policy file is damaged.
    """
    candidates: list[Contender] = []
    files, left_out = trained_files(folders)
    for line in left_out:
        print(line)
    for name in BUILT_IN if files else POLICY_NAMES:
        try:
            policy = make_policy(name, objective, preset=scenario.name)
        except ValueError as error:
            print(f"left out {name}: {error}")
            continue
        candidates.append(Contender(name, policy, getattr(policy, "num_parameters", 0), name in SHIPPED))
    if folders and not files:
        print(f"no trained policies in {folders[0]}: comparing the built-in ones (`make demo` trains the others)")
    for path in sorted(files, key=_rank):  # those of a name stay in the order of their folders
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


def trained_files(folders: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The policy files of a folder, or those that each of several has, and which were left out, and why.

    Raises:
        ValueError: several folders differ in more than the seed of their training, or do not say what it was.
    """
    if len(folders) > 1:
        _check_seeds_alone_differ(folders)
    found = [{path.name for path in folder.glob(f"*{SUFFIX}")} for folder in folders]
    files, left_out = [], []
    for name in sorted(set().union(*found)):
        missing = [folder for folder, names in zip(folders, found, strict=True) if name not in names]
        if missing:
            left_out.append(f"left out {name.removesuffix(SUFFIX)}: it is not in {missing[0]}")
        else:
            files += [folder / name for folder in folders]
    return files, left_out


def _check_seeds_alone_differ(folders: Sequence[Path]) -> None:
    every = []
    for folder in folders:
        path = folder / "settings.json"
        if not path.is_file():
            raise ValueError(f"{folder} has no settings.json, which says how and from which seed it was trained")
        every.append(read_settings(path))
    seeds: dict[str, Path] = {}
    for folder, settings in zip(folders, every, strict=True):
        seed = quoted(settings.pop("seed", None))
        if seed in seeds:
            raise ValueError(f"{seeds[seed]} and {folder} were both trained with the seed {seed}")
        seeds[seed] = folder
        for name in sorted(settings.keys() | every[0].keys()):
            if settings.get(name) != every[0].get(name):
                raise ValueError(
                    f"{name} is {quoted(settings.get(name))} in {folder}, but {quoted(every[0].get(name))} in "
                    f"{folders[0]}; folders that are compared as training seeds must differ in the seed alone"
                )


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
