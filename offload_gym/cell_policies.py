"""Policies of a device in a cell: it sees its own tasks, rates and queues, and what the base station reports.

The report says how many devices there are and the mean of their uplink rates; of the others' tasks nothing is known.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources.abc import Traversable
from pathlib import Path, PurePath
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from offload_gym.array_checks import check_count
from offload_gym.checks import MAX_COUNT, checked_count, checked_number, quoted
from offload_gym.delay import objective_code
from offload_gym.instances import INTEGER, UPLINK, Instances, check_instances
from offload_gym.networks.cell_kernel import COMPANY, decide_in_cell, slowdown_of
from offload_gym.networks.cell_network import CellNetwork, check_cell_network, load_cell_network
from offload_gym.networks.independent_kernel import NOT_TRIED, make_plan
from offload_gym.networks.policy import NetworkPolicy, refuse_cores
from offload_gym.networks.trained_range import TrainedRange
from offload_gym.observation import check_independent
from offload_gym.policies import WEIGHTS, Policy, make_policy, preset_of
from offload_gym.scenario import Scenario, as_scenario

SHARED = ("greedy", "student", "exact")  # policies of a device alone that have a tuned share
#: The names that ``make_cell_policy`` takes.
CELL_POLICY_NAMES = (*(f"{name}-share" for name in SHARED), "cell-student")
SHARES_FILE = "cell_shares.json"


class Report(NamedTuple):
    """What the base station tells the devices of a cell."""

    num_devices: int
    mean_uplink_bps: float  # over the devices, and of each over the remote locations


def report_of(cell: Instances) -> Report:
    """The report on a cell: m instances, one a device."""
    return Report(len(cell), float(cell.locations[:, 1:, UPLINK].mean()))


def _check_report(report: Report, num_instances: int) -> None:
    """ValueError where it is no report on a cell with so many devices or more."""
    if not isinstance(report, Report):
        raise ValueError(f"report is {quoted(report)}; it must be a Report of num_devices and mean_uplink_bps")
    num_devices = checked_count("num_devices", report.num_devices, 1)
    if num_devices < num_instances:
        raise ValueError(f"num_devices is {num_devices}; it must be at least {num_instances}, one for each instance")
    checked_number("mean_uplink_bps", report.mean_uplink_bps, "finite and above 0", lambda value: 0.0 < value < np.inf)


class CellPolicy(Protocol):
    """Decides for devices of a cell, each from its own instance and the report."""

    name: str

    def decide(self, instances: Instances, report: Report) -> NDArray[np.int64]:
        """Decisions (B, n) of B devices of a cell that ``report`` is on; not all of its devices need be there.

        Raises:
            ValueError: the instances or the report are out of their bounds, or there are more instances than devices.
        """
        ...


def with_slowdown(instances: Instances, slowdown: float) -> Instances:
    """The instances with all uplink rates divided by ``slowdown``, at least 1."""
    if not slowdown >= 1.0:
        raise ValueError(f"slowdown is {slowdown:g}; it must be at least 1")
    locations = instances.locations.copy()
    locations[:, 1:, UPLINK] /= slowdown
    return Instances.from_batch(instances.batch._replace(locations=locations))


class SharePolicy:
    """A policy of a device alone, which is told that its uplink is divided by ``1 + share * (devices - 1)``.

    Args:
        policy: what decides.
        share: at least 0; 1 is a cell in which all devices send all the time.
        name: what tables call it.
    """

    def __init__(self, policy: Policy, share: float, name: str = "") -> None:
        if not 0.0 <= share < np.inf:
            raise ValueError(f"share is {share:g}; it must be finite and at least 0")
        self.policy, self.share, self.name = policy, share, name

    def decide(self, instances: Instances, report: Report) -> NDArray[np.int64]:
        """Decisions (B, n), as ``CellPolicy`` says; ValueError where the report does not fit."""
        check_instances(instances)
        _check_report(report, len(instances))
        return self.policy.decide(with_slowdown(instances, slowdown_of(report.num_devices, self.share)))


class CellNetworkPolicy:
    """A network that was trained in cells, as a policy of each device.

    Args:
        network: the network; its layer sizes must fit.

    Raises:
        ValueError: this package cannot run the network.
    """

    def __init__(self, network: CellNetwork) -> None:
        check_cell_network(network)
        self.network, self.name = network, ""
        self.num_parameters, self._share = network.num_parameters, float(network.share)
        code = objective_code(network.objective)
        self._plan, self._weights = make_plan(
            network.cores, False, network.encoder, network.head, False, code, NOT_TRIED, COMPANY
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return CellNetworkPolicy, (self.network,), {"name": self.name}

    def decide(self, instances: Instances, report: Report) -> NDArray[np.int64]:
        """Decisions (B, n), as ``CellPolicy`` says; ValueError where the instances or the report do not fit."""
        # A call takes about as long as placing a task does, so there are few of them on this way.
        if not isinstance(instances, Instances):
            check_instances(instances)
        arrays = instances.arrays
        if arrays[6].size:  # edges
            check_independent(instances, False, "this network")
        # The same bounds, without a call, for what ``report_of`` makes.
        if not (
            type(report) is Report
            and type(report[0]) is int
            and type(report[1]) is float
            and (len(arrays[0]) or 1) <= report[0] <= MAX_COUNT
            and 0.0 < report[1] < np.inf
        ):
            _check_report(report, len(instances))
        told = float(report[0]), float(report[1]), self._share
        decisions = np.empty((len(arrays[0]), instances.num_tasks), INTEGER)
        if not decide_in_cell(arrays[:5], told, self._plan, self._weights, decisions):
            refuse_cores(self.network.cores, instances)
        return decisions


@cache
def tuned_shares() -> list[dict[str, Any]]:
    """What ``python -m agents tune-shares`` found: rows with scenario, policy, num_devices (0: any) and share."""
    rows: list[dict[str, Any]] = json.loads((WEIGHTS / SHARES_FILE).read_text(encoding="utf-8"))
    return rows


def shared_policy(name: str, scenario: Scenario) -> Policy:
    """One of ``SHARED`` for devices that know of their company: a crowded uplink is nothing to warn of."""
    policy = make_policy(name, preset=preset_of(scenario))
    if isinstance(policy, NetworkPolicy):
        return NetworkPolicy(policy.network._replace(trained_range=TrainedRange()))
    return policy


def _tuned_share(base: str, preset: str, num_devices: int | None) -> float:
    """The share for cells of that size where one was tuned, else the one for all sizes."""
    found = {
        row["num_devices"]: row["share"] for row in tuned_shares() if (row["scenario"], row["policy"]) == (preset, base)
    }
    if not found:
        raise ValueError(f"scenario is {quoted(preset)}; no share was tuned for it: see `python -m agents tune-shares`")
    return float(found.get(num_devices, found[0]))


def make_cell_policy(name: str, num_devices: int | None = None, scenario: str | Scenario = "default") -> CellPolicy:
    """A policy of the devices of a cell, for the least mean makespan.

    Args:
        name: one of

            - "greedy-share", "student-share", "exact-share": the policy of a device that is alone, told that its uplink
              is divided by ``1 + share * (devices - 1)``, with a share that was tuned on validation cells;
            - "cell-student": the network that the package ships, trained in cells of 1 to 32 devices.
        num_devices: takes the share that was tuned for cells of so many devices, where there is one; None: the one that
            is the same for all sizes.
        scenario: a preset's name or a scenario; shares and the network of its preset are taken.

    Raises:
        ValueError: the name is unknown, ``num_devices`` is out of its bounds, or there is nothing for the scenario.
    """
    if name not in CELL_POLICY_NAMES:
        raise ValueError(f"policy is {quoted(name)}; the policies of cells are {', '.join(CELL_POLICY_NAMES)}")
    if num_devices is not None:
        check_count("num_devices", num_devices)
    preset = as_scenario(scenario).name
    if name == "cell-student":
        path = WEIGHTS / f"{preset}-{name}.safetensors"
        if not path.is_file():
            raise ValueError(f"scenario is {quoted(preset)}; the package ships no network of cells for it")
        policy = load_cell_policy(path)
        policy.name = name
        return policy
    base = name.removesuffix("-share")
    return SharePolicy(shared_policy(base, as_scenario(scenario)), _tuned_share(base, preset, num_devices), name)


def load_cell_policy(path: str | Path | Traversable) -> CellNetworkPolicy:
    """A trained policy of cells from its file, without torch; nothing in the file is run.

    Raises:
        ValueError: the file is not a complete policy file of cells.
    """
    policy = CellNetworkPolicy(load_cell_network(path))
    policy.name = PurePath(str(path)).stem
    return policy
