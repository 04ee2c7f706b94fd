"""Policies of streams by name: what decides each job when it arrives."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import quoted
from offload_gym.instances import Instances
from offload_gym.layers import packed
from offload_gym.scenario import Scenario, as_scenario
from offload_gym.seeds import check_seed
from offload_gym.solvers.exact import exact
from offload_gym.solvers.heft import heft
from offload_gym.solvers.peft import peft
from offload_gym.streams.deciding import (
    CLASSES,
    COMPLETION,
    CONSTANT,
    DROPPING,
    JOB,
    LATE,
    NEAREST,
    RULE,
    RUN,
    RUN_JOBS,
    RUN_QUEUE,
    RUN_RADIO,
    RUN_RUN,
    SEND,
    SEND_DEVICE,
    SEND_JOBS,
    SEND_QUEUE,
    SEND_SEND,
    TERMS,
    TWO_CHOICES,
    WAIT,
    Plan,
)
from offload_gym.streams.likeness import outside_training, preset_like, tuned
from offload_gym.streams.networks import OBJECTIVES, StreamNetwork, load_stream_network, network_plan
from offload_gym.streams.parameters import stream_parameters
from offload_gym.streams.planner import Effort

#: Numbers that each tuned rule has; ``rule_plan`` says what they are.
RULE_SIZES = {"price": 3, "queue-price": 12, "late-price": 13, "max-weight": 1}
FOR_LATE = ("late-price",)  # rules for the objective "late" alone
OF_SEVERAL_TASKS = ("heft", "peft", "exact")  # they are greedy where jobs have one task
OF_SEVERAL_DEVICES = ("two-choices",)  # for servers that others use, too
OF_SEVERAL_EDGES = ("nearest",)
#: Networks that the package ships, for each of the presets "stream", "stream_deadlines", "stream_applications",
#: "stream_cell" and "stream_mobile".
NETWORKS = ("teacher", "student", "small-student")
NAMES = (
    "local",
    "edge",
    "nearest",
    "cloud",
    "greedy",
    "shortest-queue",
    "two-choices",
    *RULE_SIZES,
    *OF_SEVERAL_TASKS,
    "planner",
    *NETWORKS,
)
SERVERS = slice(1, DROPPING)  # their rows of the weights


class PlanPolicy:
    """A policy that a kernel runs: a rule, or a network.

    Args:
        plan: how the kernel decides.
        name: what tables call it.
        network: what the plan runs; None: it is a rule.
    """

    def __init__(self, plan: Plan, name: str, network: StreamNetwork | None = None) -> None:
        self.plan, self.name, self.network = plan, name, network

    @property
    def num_parameters(self) -> int:
        """Weights and biases of a network; 0 of a rule."""
        return 0 if self.network is None else self.network.num_parameters


class MomentPolicy:
    """The best decision for the job alone, as a policy of one moment makes it, with the queues as backlogs.

    Args:
        policy: anything with ``decide(instances) -> (B, n)``.
        name: what tables call it.
        drop_factor: a job is dropped whose decision is not expected to make it within so many deadlines; infinite:
            none is.
    """

    def __init__(self, policy: Any, name: str, drop_factor: float = math.inf) -> None:
        self.policy, self.name, self.drop_factor = policy, name, drop_factor
        self.num_parameters: int = getattr(policy, "num_parameters", 0)

    def decide(self, instances: Instances) -> NDArray[np.int64]:
        """The policy's decisions (B, n)."""
        decisions: NDArray[np.int64] = self.policy.decide(instances)
        return decisions


class PlannerPolicy:
    """Roll-outs over sampled futures, see ``offload_gym.streams.planner``.

    Args:
        scenario: from whose process futures are drawn.
        base: policy that decides in them.
        effort: how much is tried.
        objective: one of ``OBJECTIVES``.
        seed: of the futures.
        name: what tables call it.
    """

    num_parameters = 0

    def __init__(
        self, scenario: Scenario, base: PlanPolicy, effort: Effort, objective: str, seed: int, name: str = "planner"
    ) -> None:
        self.scenario, self.base, self.effort, self.name = scenario, base, effort, name
        self.objective, self.seed = objective, seed


StreamPolicy = PlanPolicy | MomentPolicy | PlannerPolicy


def network_policy(network: StreamNetwork, name: str = "network") -> PlanPolicy:
    """A trained network as a policy; ValueError where this package cannot run it."""
    return PlanPolicy(network_plan(network), name, network)


def load_stream_policy(path: str | Path | Traversable) -> PlanPolicy:
    """A trained policy of streams from its file, without torch; nothing in the file is run.

    Args:
        path: a file that ``save_stream_policy`` wrote; also one of ``importlib.resources``.

    Raises:
        ValueError: the file is not a complete policy file of streams, or of an observation that is not this package's.
    """
    return network_policy(load_stream_network(path), PurePath(str(path)).stem)


def check_fits(policy: Any, num_locations: int, can_drop: bool = True) -> None:
    """ValueError where a policy is a network for other streams than those with so many locations.

    ``can_drop`` False: dropping jobs is not allowed.
    """
    network = getattr(policy, "network", None)
    if network is None:
        return
    if network.num_locations != num_locations:
        raise ValueError(
            f"the policy {policy.name} is for {network.num_locations} locations; the streams have {num_locations}"
        )
    if network.can_drop and not can_drop:
        raise ValueError(f"the policy {policy.name} drops jobs, which the scenario must allow; its can_drop is False")


class _Function(NamedTuple):
    decide: Any


def rule_plan(name: str, numbers: NDArray[np.float64], drop_factor: float = math.inf) -> Plan:
    """The plan of a rule, which places a task with what follows it in its job placed best.

    Args:
        name: one of

            - "price": earliest completion, with a price on a second of the radio, of the device's cores and of the edge
              servers' cores;
            - "queue-price": prices that also grow with the queues, with what the task itself adds, and with the jobs in
              the system, as if a quadratic function said what full queues cost those that come. The numbers are those
              of the radio (a second of it, for each second of its queue, of the device's queue and of the task itself,
              and for ten jobs), of the device (a second of a core, for each second of its queue, of the radio's and of
              the task itself, and for ten jobs) and of edge servers (a second of a core, for each second of its queue);
            - "late-price": the same prices on the probability of being late, and a last number times the completion;
              where jobs may be dropped, those are of which this sum is 1 or more, what a job counts that is late;
            - "max-weight": as MaxWeight and drift-plus-penalty (Neely 2010) weigh, the work added to each queue times
              the queue, plus a multiple of the completion.
        numbers: as many as ``RULE_SIZES`` says.
        drop_factor: see ``Plan``; infinite: jobs may not be dropped.
    """
    weights = np.zeros((len(CLASSES), len(TERMS)))
    weights[:DROPPING, JOB], weights[DROPPING, CONSTANT] = 1.0, math.inf
    if name == "max-weight":
        weights[:DROPPING, JOB] = numbers[0]
        weights[SERVERS, SEND_QUEUE] = weights[:DROPPING, RUN_QUEUE] = 1.0
    elif name == "price":
        weights[SERVERS, SEND], weights[0, RUN], weights[1, RUN] = numbers
    else:
        weights[SERVERS, [SEND, SEND_QUEUE, SEND_DEVICE, SEND_SEND, SEND_JOBS]] = numbers[:5]
        weights[0, [RUN, RUN_QUEUE, RUN_RADIO, RUN_RUN, RUN_JOBS]] = numbers[5:10]
        weights[1, [RUN, RUN_QUEUE]] = numbers[10:12]
    if name == "late-price":
        weights[:DROPPING, LATE], weights[:DROPPING, JOB] = 1.0, numbers[12]
        weights[DROPPING, CONSTANT] = 1.0 if drop_factor < math.inf else math.inf
    return as_rule(weights, drop_factor)


def as_rule(weights: NDArray[np.float64], drop_factor: float = math.inf) -> Plan:
    """A plan that adds up terms with weights (classes, terms), see ``offload_gym.streams.deciding.TERMS``."""
    return Plan(RULE, np.array(weights, dtype=np.float64), drop_factor, *packed(()), False, 0)


def greedy_weights() -> NDArray[np.float64]:
    """The weights of greedy earliest completion."""
    weights = np.zeros((len(CLASSES), len(TERMS)))
    weights[:DROPPING, COMPLETION], weights[DROPPING, CONSTANT] = 1.0, math.inf
    return weights


def _fixed(location: int) -> Plan:
    """Everything at the device, at the edge server that has it done first, or in the cloud."""
    weights = greedy_weights()
    weights[:DROPPING, CONSTANT] = math.inf
    weights[location, CONSTANT] = 0.0
    return as_rule(weights)


def _shortest_queue() -> Plan:
    """Least waiting; where there is none, earliest completion."""
    weights = greedy_weights()
    weights[:DROPPING, COMPLETION], weights[:DROPPING, WAIT] = 1e-6, 1.0
    return as_rule(weights)


def _shipped(name: str, scenario: Scenario, objective: str) -> PlanPolicy:
    """A network that the package ships, of the preset whose jobs and devices are most like those of the scenario."""
    preset = preset_like(scenario)
    path = files("offload_gym") / "weights" / f"{preset}-{name}.safetensors"
    if not path.is_file():
        raise ValueError(f"the package ships no {name} for {preset}")
    policy = load_stream_policy(path)
    policy.name = name
    assert policy.network is not None
    trained_for = policy.network.objective
    if objective != trained_for:
        raise ValueError(f"objective is {quoted(objective)}; the {name} for {preset} was trained for {trained_for!r}")
    check_fits(policy, scenario.num_locations, scenario.can_drop)
    if outside := outside_training(policy.network, preset, scenario):
        warnings.warn(
            f"the {name} for {preset} was trained on other streams: here {' and '.join(outside)}; compare it with a "
            "rule such as queue-price, or train one with `python -m agents learn-streams`",
            stacklevel=3,
        )
    return policy


def own_objective(scenario: Scenario) -> str:
    """The objective of a scenario of which nothing else is said."""
    return "late" if scenario.can_drop or scenario.can_lose else "response"


def make_stream_policy(
    name: str,
    scenario: str | Mapping[str, Any] | Scenario = "stream",
    objective: str | None = None,
    seed: int = 0,
) -> StreamPolicy:
    """A policy of streams.

    Args:
        name: one of

            - "local", "edge" (the edge server that has the task done first), "nearest" (the edge server with the
              shortest path), "cloud": fixed places;
            - "greedy": earliest completion; "shortest-queue": least waiting; "two-choices": the earlier completion of
              two locations drawn at random, which old news lead astray less (Mitzenmacher, "How useful is old
              information?", 2000);
            - "price", "queue-price", "late-price" (for the objective "late"), "max-weight": tuned rules, see
              ``rule_plan``;
            - "heft", "peft", "exact": HEFT, PEFT, and the best decision for the job alone, for jobs of several tasks
              (``MomentPolicy`` makes the same of other policies, such as the student for applications);
            - "planner": roll-outs over futures drawn from the scenario, from the queues as they are: with several
              devices or old reports it knows more than a device does;
            - "teacher", "student", "small-student": trained networks that the package ships for the presets "stream",
              "stream_deadlines", "stream_applications", "stream_cell" and "stream_mobile", of which those are taken
              whose jobs and devices are most like the scenario's; they are for three locations, the last for five.
        scenario: for which rules were tuned, and from which the planner draws futures, so that it must make jobs as
            those of the streams that are played; a dict without a name changes "stream". Where the rule was not tuned
            for it, the numbers of the most similar scenario are taken.
        objective: "response", "late" or "cost"; None: "late" where jobs may be dropped or lost, else "response".
            With "late" the policies drop jobs that they do not expect to be in time, where that is allowed.
        seed: of the planner.

    Raises:
        ValueError: the name, the scenario or the objective is unknown, or a network is for another objective, another
            number of locations, or drops jobs where that is not allowed.
    """
    scenario = as_scenario(scenario, "stream")
    if objective is None:
        objective = own_objective(scenario)
    if not isinstance(objective, str) or objective not in OBJECTIVES:
        raise ValueError(f"objective is {quoted(objective)}; it must be one of {', '.join(OBJECTIVES)}")
    check_seed(seed)
    if not isinstance(name, str) or name not in NAMES:
        raise ValueError(f"policy is {quoted(name)}; the policies of streams are {', '.join(NAMES)}")
    if name in ("edge", "nearest") and scenario.num_edges == 0:
        raise ValueError(f"num_edges is 0; the policy {name!r} needs an edge server")
    if name in FOR_LATE and objective != "late":
        raise ValueError(f"objective is {quoted(objective)}; for {name} it must be 'late'")
    row, drop_factor = tuned(name, scenario, objective), math.inf
    if scenario.can_drop and objective == "late":
        drop_factor = (row and row["drop_factor"]) or 1.0
    if name in RULE_SIZES:
        assert row is not None
        return PlanPolicy(rule_plan(name, np.array(row["numbers"]), drop_factor), name)
    if name in OF_SEVERAL_TASKS:
        return MomentPolicy(_Function({"heft": heft, "peft": peft, "exact": exact}[name]), name, drop_factor)
    if name in NETWORKS:
        return _shipped(name, scenario, objective)
    if name == "planner":
        stream_parameters(scenario)  # refuses one that makes no streams
        base = make_stream_policy("late-price" if objective == "late" else "queue-price", scenario, objective)
        assert isinstance(base, PlanPolicy)
        # What one job costs others is little beside what they cost by themselves: many devices take more futures.
        effort = Effort(max(32, 4 * scenario.num_devices), max(60, 10 * scenario.num_devices), 4, 3.0)
        return PlannerPolicy(scenario, base, effort, objective, seed)
    plans = {
        "local": lambda: _fixed(0),
        "edge": lambda: _fixed(1),
        "cloud": lambda: _fixed(2),
        "greedy": lambda: as_rule(greedy_weights()),
        "shortest-queue": _shortest_queue,
        "nearest": lambda: as_rule(greedy_weights())._replace(kind=NEAREST),
        "two-choices": lambda: as_rule(greedy_weights())._replace(kind=TWO_CHOICES),
    }
    return PlanPolicy(plans[name]()._replace(drop_factor=drop_factor), name)
