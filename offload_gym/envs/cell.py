"""Cells as environments draw and show them; what happens in one is computed in ``offload_gym.cell``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray

from offload_gym.array_checks import check_count
from offload_gym.delay import latency
from offload_gym.instances import CPU, PROPAGATION, WIRED, Instances
from offload_gym.observation import epoch_observations
from offload_gym.sampling import sample_instances
from offload_gym.scenario import Scenario, as_scenario
from offload_gym.solvers.greedy import greedy


def cell_scenario(scenario: str | Mapping[str, Any] | Scenario) -> Scenario:
    """A scenario that cells are drawn from; ValueError where its tasks depend on each other."""
    scenario = as_scenario(scenario)
    if scenario.dependent:
        raise ValueError(
            f"scenario is {scenario.label!r}, whose tasks depend on each other; a cell is for independent tasks"
        )
    return scenario


def sample_cell(
    scenario: str | Mapping[str, Any] | Scenario, num_devices: int, seed: int | SeedSequence | Generator = 0
) -> Instances:
    """Draw one cell: tasks, CPU, own backlog and link rates for each device, the servers once.

    Args:
        scenario: a preset's name, a dict with its name and changes, or a ``Scenario`` of independent tasks.
        num_devices: m, at least 1.
        seed: anything that ``numpy.random.default_rng`` takes.

    Returns:
        m instances, one a device. Speed, backlog, wired path and propagation delay of every server are those that were
        drawn for device 0. With one device it is what ``sample_instances`` draws.

    Raises:
        ValueError: the tasks of the scenario depend on each other, or an argument is out of its bounds.
    """
    scenario = cell_scenario(scenario)
    check_count("num_devices", num_devices)
    instances = sample_instances(scenario, num_devices, seed)
    for column in (CPU, WIRED, PROPAGATION):
        instances.locations[1:, 1:, column] = instances.locations[:1, 1:, column]
    instances.core_backlog_s[1:, 1:] = instances.core_backlog_s[:1, 1:]
    return instances


def observe_cell(instances: Instances) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """What each device of a cell sees: the epoch as it would have it alone.

    Args:
        instances: m instances, one a device, of independent tasks and with the same cores.

    Returns:
        (m, size) observations as those of ``offload_gym/Joint-v0``, and (m,) scales in seconds.
    """
    first = greedy(instances)
    scale_s = latency(instances, first)
    rows, states = epoch_observations(instances, first)
    observations = np.concatenate([rows.reshape(len(rows), -1), states[:, 0]], axis=1)
    return observations, np.where(scale_s > 0, scale_s, 1.0)
