"""Which policies of streams are compared: those by name, and the trained ones of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import offload_gym
from benchmarks.contenders import SUFFIX, trained_files
from offload_gym.policies import make_policy
from offload_gym.scenario import Scenario
from offload_gym.streams.policies import (
    FOR_LATE,
    NAMES,
    OF_SEVERAL_DEVICES,
    OF_SEVERAL_EDGES,
    OF_SEVERAL_TASKS,
    MomentPolicy,
    check_fits,
    make_stream_policy,
)

REFERENCE = "greedy"
GRAPH_STUDENT = "graph-student"  # decides each job alone, as the student for applications does


class Contender(NamedTuple):
    """A policy in a comparison."""

    name: str
    policy: Any
    shipped: bool = False  # a network of the package, not of the folder


def contenders(
    scenario: Scenario, objective: str, names: Sequence[str] = (), folders: Sequence[Path] = (), seed: int = 0
) -> tuple[list[Contender], list[str]]:
    """The policies that can decide streams of the scenario, and which were left out, and why.

    Args:
        scenario: what the streams are drawn from.
        objective: what the policies are to make small.
        names: of ``NAMES``, and "graph-student"; all where none is given. Greedy always takes part.
        folders: of trained policies; several: of the same training with different seeds, each of which takes part.
        seed: of the planner.

    Raises:
        ValueError: a name is unknown, or the folders differ in more than the seed.
    """
    for name in names:
        if name not in (*NAMES, GRAPH_STUDENT):
            make_stream_policy(name)  # says so
    listed, left_out = [], []
    for name in NAMES:
        if names and name not in (*names, REFERENCE):
            continue
        if name not in names and (
            (name in OF_SEVERAL_TASKS and scenario.most_tasks == 1)
            or (name in OF_SEVERAL_DEVICES and scenario.num_devices == 1)
            or (name in OF_SEVERAL_EDGES and scenario.num_edges == 1)
            or (name in FOR_LATE and objective != "late")
        ):
            continue
        try:
            policy = make_stream_policy(name, scenario, objective, seed)
        except (OSError, ValueError) as error:
            left_out.append(f"left out {name}: {error}")
            continue
        listed.append(Contender(name, policy, bool(policy.num_parameters)))
    if GRAPH_STUDENT in names or (not names and scenario.most_tasks > 1 and not scenario.can_drop):
        listed.append(Contender(GRAPH_STUDENT, MomentPolicy(make_policy("student", preset="dag"), GRAPH_STUDENT), True))
    paths, not_everywhere = trained_files(folders)
    left_out += not_everywhere
    if folders and not paths:
        left_out.append(f"no trained policies in {folders[0]}")
    for path in paths:
        try:
            trained = offload_gym.load_stream_policy(path)
            check_fits(trained, scenario.num_locations, scenario.can_drop)
            listed.append(Contender(path.name.removesuffix(SUFFIX), trained))
        except ValueError as error:
            left_out.append(f"left out {path.name}: {error}")
    return listed, left_out
