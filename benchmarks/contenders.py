"""What is compared: the built-in policies and the trained ones of a folder, each in its deployed form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from offload_gym.policies import POLICY_NAMES, Policy, RefinedPolicy, load_policy, make_policy

SUFFIX = ".safetensors"
# Trained policies that are also shown with one-flip local search behind them.
REFINED = ("multilabel-teacher", "multilabel-student", "sequential-student")


class Contender(NamedTuple):
    """A policy in a comparison."""

    name: str
    policy: Policy
    num_parameters: int  # 0 where nothing was learned


def contenders(objective: str, trained: Mapping[str, Path] | None = None, seed: int = 0) -> list[Contender]:
    """The built-in policies, then the trained ones."""
    listed = [Contender(name, make_policy(name, objective, seed), 0) for name in POLICY_NAMES]
    for name, path in (trained or {}).items():
        policy = load_policy(path)
        listed.append(Contender(name, policy, policy.num_parameters))
        if name in REFINED:
            listed.append(Contender(f"{name}+flip", RefinedPolicy(policy, objective), policy.num_parameters))
    return listed


def trained_policies(folder: str | Path) -> dict[str, Path]:
    """The policy files of a folder by name, in the order of their training pipeline where it is known."""
    order = ["sequential-teacher", "sequential-student", "multilabel-teacher", "multilabel-student"]
    files = sorted(Path(folder).glob(f"*{SUFFIX}"))
    names = [path.name.removesuffix(SUFFIX) for path in files]
    found = dict(zip(names, files, strict=True))
    return {name: found[name] for name in sorted(found, key=lambda name: (name not in order, *_rank(order, name)))}


def _rank(order: list[str], name: str) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order), name)
