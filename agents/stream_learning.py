"""Learning to plan on streams: policy iteration with roll-outs, a teacher, and a student distilled from it.

Round by round, streams are played by the newest policy; at some of its moments roll-outs over sampled futures with the
best policy so far as base say what each choice costs; and a network learns to choose what costs least on average. The
first policy is a tuned rule. (Deep controlled learning, Temizöz, Imdahl, Dijkman, Lamghari-Idrissi and van Jaarsveld,
arXiv 2011.15122.) A network that is worse than the policy it learned from is played all the same: where it goes wrong
is what the next one has to learn (Ross, Gordon and Bagnell, AISTATS 2011).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.random import SeedSequence
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.networks import linear_layers, one_thread, pick_device
from offload_gym.checks import checked_count, checked_number, quoted
from offload_gym.files import keep_settings
from offload_gym.scenario import Scenario, described, make_scenario
from offload_gym.seeds import seed_for
from offload_gym.streams.labels import StreamLabels, joined, label_streams, load_stream_labels, save_stream_labels
from offload_gym.streams.networks import StreamNetwork, load_stream_network, network_plan, save_stream_policy
from offload_gym.streams.observing import OF_LOCATION, OF_STREAM, counted
from offload_gym.streams.planner import Effort
from offload_gym.streams.playing import play
from offload_gym.streams.policies import (
    FOR_LATE,
    NETWORKS,
    RULE_SIZES,
    PlannerPolicy,
    PlanPolicy,
    StreamPolicy,
    load_stream_policy,
    make_stream_policy,
    network_policy,
)
from offload_gym.streams.responses import stream_costs
from offload_gym.streams.sampling import sample_streams

_say = partial(print, flush=True)
SEEDS_APART = 1_000_003  # of two scenarios' streams, and of two trainings' weights
COUNTS = (
    "rounds",
    "memory",
    "streams_a_round",
    "num_futures",
    "future_jobs",
    "num_validation",
    "passes",
    "batch_size",
    "also_streams_a_round",
)
SHARES: tuple[tuple[str, str, Callable[[float], bool]], ...] = (
    ("share", "above 0 and at most 1", lambda given: 0 < given <= 1),
    ("explore", "from 0 to 1", lambda given: 0 <= given <= 1),
    ("learning_rate", "above 0 and at most 1", lambda given: 0 < given <= 1),
    ("alpha", "from 0 to 1", lambda given: 0 <= given <= 1),
    ("temperature", "finite and above 0", lambda given: 0 < given < math.inf),
)
BIT_S = 0.3  # see ``weighed_costs``


@dataclass(frozen=True)
class StreamSettings:
    """What is learned, from how much, and for how long."""

    scenario: Scenario = field(default_factory=lambda: make_scenario("stream"))
    objective: str = "response"
    seed: int = 1
    rounds: int = 6  # of policy iteration
    memory: int = 5  # rounds whose labels a network learns from
    # Policy file to begin with, or folder of a teacher and students that learn on; None: the best rule.
    start: str | None = None
    streams_a_round: int = 800
    share: float = 0.4  # of the tasks that are labelled
    explore: float = 0.1  # share of the tasks that are placed at random
    # Of few futures of many states a network learns less in as many steps (``agents.stream_ablation``).
    num_futures: int = 16
    future_jobs: int = 80  # of a future, for each device
    num_validation: int = 400  # streams
    base: tuple[int, ...] = (48, 24)  # hidden layers of the networks of the rounds
    teacher: tuple[int, ...] = (128, 64)
    student: tuple[int, ...] = (40, 24)
    small_student: tuple[int, ...] = (14,)
    passes: int = 40
    batch_size: int = 256
    learning_rate: float = 4e-3
    alpha: float = 0.5  # weight of the teacher's scores in a student's loss, beside the labels
    temperature: float = 1.0
    device: str = "cpu"
    also: tuple[Scenario, ...] = ()  # further scenarios that the same networks learn to decide
    also_streams_a_round: int = 400  # of each of them

    def __post_init__(self) -> None:
        """ValueError where a number is out of its bounds."""
        for name in COUNTS:
            checked_count(name, getattr(self, name), 1)
        for name, bound, holds in SHARES:
            checked_number(name, getattr(self, name), bound, holds)


def new_network(inputs: int, hidden: Sequence[int], outputs: int, seed: int) -> nn.Sequential:
    """A perceptron with rectified hidden layers."""
    torch.manual_seed(seed)
    sizes, modules = [inputs, *hidden, outputs], []
    for before, after in pairwise(sizes):
        modules += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def learning_on(network: StreamNetwork) -> nn.Sequential:
    """A trained network as the perceptron that it was."""
    modules: list[nn.Module] = []
    for weight, bias in network.layers:
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.copy_(torch.tensor(bias))
        modules += [layer, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def networks_of(settings: StreamSettings) -> dict[str, StreamNetwork]:
    """The networks that learn on, by name; none where the settings name no folder of them."""
    if settings.start is None or not Path(settings.start).is_dir():
        return {}
    networks = {name: load_stream_network(Path(settings.start) / f"{name}.safetensors") for name in NETWORKS}
    scenario = settings.scenario
    for name, network in networks.items():
        if (network.num_locations, network.can_drop) != (scenario.num_locations, scenario.can_drop):
            raise ValueError(
                f"start is {settings.start}, whose {name} has {network.num_locations} locations and can_drop "
                f"{network.can_drop}; they must be {scenario.num_locations} and {scenario.can_drop}"
            )
    return networks


def as_policy(module: nn.Sequential, name: str, settings: StreamSettings) -> PlanPolicy:
    """The network as kernels run it, with what its file says of its training."""
    scenario, metadata = settings.scenario, {"made_by": "agents.stream_learning"}
    if settings.also:
        metadata["also"] = json.dumps([described(other) for other in settings.also])
    network = StreamNetwork(
        layers=linear_layers(module),
        activation="relu",
        num_locations=scenario.num_locations,
        can_drop=scenario.can_drop,
        metadata=metadata,
        objective=settings.objective,
        scenario=scenario.label,
        scenario_fields=described(scenario),
    )
    return PlanPolicy(network_plan(network), name, network)


def regret_loss(scores: Tensor, costs: Tensor) -> Tensor:
    """Expected cost of choices drawn with these scores, over the mean cost, and a little cross-entropy.

    Args:
        scores: (B, choices) logits.
        costs: (B, choices) cost over that of the best choice; what is not allowed costs twice the worst choice.
    """
    chosen = torch.softmax(scores, dim=1)
    return (chosen * costs).sum(dim=1).mean() + 0.05 * nn.functional.cross_entropy(scores, costs.argmin(dim=1))


def weighed_costs(labels: StreamLabels, objective: str) -> NDArray[np.float64]:
    """(N, choices) costs over that of the best choice; what is not allowed costs twice the worst.

    Where responses count, they are divided by the square of the time that the task takes at least, and a bit: where
    queues are long a choice costs much, but with so much noise that what is learned elsewhere would drown in it. Which
    choice is best on average in a state stays the same.
    """
    costs = labels.costs - labels.costs.min(axis=1, keepdims=True)
    worst = np.where(np.isfinite(costs), costs, -np.inf).max(axis=1, keepdims=True)
    return np.where(np.isfinite(costs), costs, 2.0 * worst) * state_weights(labels, objective)


def state_weights(labels: StreamLabels, objective: str) -> NDArray[np.float64]:
    """(N, 1) how much the costs of each state count; see ``weighed_costs``."""
    if objective == "late":
        return np.ones((len(labels.costs), 1))
    of_locations = labels.observations[:, :-OF_STREAM]
    soonest_s = counted(of_locations[:, ::OF_LOCATION].min(axis=1, keepdims=True).astype(np.float64))  # a completion
    return np.asarray((soonest_s + BIT_S) ** -2)


def mean_cost(weighed: NDArray[np.float64]) -> float:
    """The mean of ``weighed_costs``, above 0."""
    return max(float(weighed.mean()), 1e-9)


@one_thread()
def fit_network(
    labels: StreamLabels,
    hidden: Sequence[int],
    settings: StreamSettings,
    seed: int,
    teacher: nn.Sequential | None = None,
    began: StreamNetwork | None = None,
) -> nn.Sequential:
    """A network that learned from labels, and from a teacher's scores where there is one; ``began`` learns on.

    Weights and order of the labels are those of ``seed``, which tells the networks of one training apart, and of the
    settings' seed: trainings from several seeds would else begin with the same weights.
    """
    seed += SEEDS_APART * (settings.seed - 1) % 2**62  # torch takes less than twice that
    device = pick_device(settings.device)
    observations = torch.from_numpy(labels.observations).to(device)
    weighed = weighed_costs(labels, settings.objective)
    costs = torch.from_numpy((weighed / mean_cost(weighed)).astype(np.float32)).to(device)
    network = new_network(observations.shape[1], hidden, costs.shape[1], seed) if began is None else learning_on(began)
    network = network.to(device)
    soft = None
    if teacher is not None:
        with torch.no_grad():
            soft = torch.log_softmax(teacher.to(device)(observations) / settings.temperature, dim=1)
    size = min(settings.batch_size, len(observations))
    steps = settings.passes * (len(observations) // size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=steps + 1)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(settings.passes):
        order = torch.randperm(len(observations), generator=generator).to(device)
        for rows in order[: len(order) // size * size].split(size):
            scores = network(observations[rows])
            loss = regret_loss(scores, costs[rows])
            if soft is not None:
                distance = nn.functional.kl_div(
                    torch.log_softmax(scores / settings.temperature, dim=1),
                    soft[rows],
                    log_target=True,
                    reduction="batchmean",
                )
                loss = (1 - settings.alpha) * loss + settings.alpha * settings.temperature**2 * distance
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network = network.cpu()
    leave_out_constants(network[0], labels.observations)
    return network


def leave_out_constants(layer: nn.Module, observations: NDArray[np.float32]) -> None:
    """Let a first layer ignore the numbers that are the same in all observations: of others nothing was learned.

    What their weights added goes into the biases.
    """
    assert isinstance(layer, nn.Linear)
    constant = torch.from_numpy((observations == observations[0]).all(axis=0))
    with torch.no_grad():
        layer.bias.add_(layer.weight[:, constant] @ torch.from_numpy(observations[0])[constant])
        layer.weight[:, constant] = 0.0


class FreshStreams:
    """Streams on which policies are compared with greedy.

    Args:
        settings: scenario and objective.
        num_streams: how many.
        seed: of the streams, one that nothing is learned from.
    """

    def __init__(self, settings: StreamSettings, num_streams: int, seed: SeedSequence) -> None:
        self.objective = settings.objective
        self.streams = sample_streams(settings.scenario, num_streams, seed)
        self.greedy = self.total(make_stream_policy("greedy", settings.scenario, settings.objective))

    def total(self, policy: StreamPolicy) -> float:
        """What the objective counts of all streams."""
        return float(stream_costs(self.streams, play(self.streams, policy), self.objective).sum())

    def change(self, policy: StreamPolicy) -> float:
        """How much less than greedy's, as a share: -0.2 is a fifth less."""
        return self.total(policy) / self.greedy - 1.0


class Validation(FreshStreams):
    """Fresh streams on which the best of several policies is chosen."""

    def __init__(self, settings: StreamSettings) -> None:
        super().__init__(settings, settings.num_validation, seed_for("validation", settings.seed))


def first_policy(settings: StreamSettings, validation: Validation) -> PlanPolicy:
    """What policy iteration begins with: the best rule, or the policy that the settings name, whichever is better."""
    rules: list[Any] = []
    if networks := networks_of(settings):
        rules = [network_policy(networks["student"], "student")]
    elif settings.start is not None:
        rules = [load_stream_policy(settings.start)]
    names = [name for name in ("greedy", *RULE_SIZES) if settings.objective == "late" or name not in FOR_LATE]
    rules += [make_stream_policy(name, settings.scenario, settings.objective) for name in names]
    return min((rule for rule in rules if isinstance(rule, PlanPolicy)), key=validation.change)


def planned_labels(settings: StreamSettings, base: PlanPolicy, behaviour: PlanPolicy, number: int) -> StreamLabels:
    """Labels of fresh streams, those of a round: ``behaviour`` plays them, and ``base`` decides in sampled futures."""
    effort = Effort(settings.num_futures, settings.future_jobs * settings.scenario.num_devices, 4, 3.0)
    planner = PlannerPolicy(settings.scenario, base, effort, settings.objective, settings.seed)
    seed = seed_for("training", settings.seed, number)
    labels = label_streams(planner, behaviour, settings.streams_a_round, seed, settings.share, settings.explore)
    if len(labels.costs) == 0:
        raise ValueError(
            f"share is {quoted(settings.share)}; of {settings.streams_a_round:,} streams of "
            f"{settings.scenario.num_jobs:,} jobs no task was labelled, so it must be more"
        )
    return labels


def kept_labels(path: Path, make: Callable[[], StreamLabels]) -> StreamLabels:
    """The labels of a file, which are made where it is not there."""
    if not path.exists():
        save_stream_labels(path, make())
    return load_stream_labels(path)


class Round(NamedTuple):
    """What a round of policy iteration found."""

    labels: StreamLabels
    by_network: bool  # whether a network decided in the futures, not a rule


def recent(rounds: Sequence[Round], memory: int) -> StreamLabels:
    """The labels of the last rounds; what a rule's roll-outs found is left out where there are those of a network."""
    by_network = [found.labels for found in rounds if found.by_network]
    return joined((by_network or [found.labels for found in rounds])[-memory:])


@dataclass
class Course:
    """Policy iteration on the streams of one scenario, as far as it has come."""

    settings: StreamSettings  # of this scenario alone
    files: str  # what the files of its labels begin with
    validation: Validation
    best: PlanPolicy  # decides in the futures
    least: float  # its change against greedy
    rounds: list[Round] = field(default_factory=list)

    def label(self, number: int, newest: PlanPolicy | None, folder: Path) -> None:
        """Play streams with the newest policy, or the best one where there is none yet, and keep their labels."""
        make = partial(planned_labels, self.settings, self.best, newest or self.best, number)
        labels = kept_labels(folder / f"{self.files}-{number}.npz", make)
        self.rounds.append(Round(labels, self.best.network is not None))

    def judge(self, policy: PlanPolicy) -> float:
        """The change of a policy against greedy; if it is the best so far, it decides in the next futures."""
        change = self.validation.change(policy)
        if change < self.least:
            self.best, self.least = policy, change
        return change


def begin_course(settings: StreamSettings, files: str = "labels") -> Course:
    """The course of the settings' first scenario, before its first round."""
    validation = Validation(settings)
    if validation.greedy == 0.0:
        raise ValueError(
            f"in {settings.num_validation} validation streams of {settings.scenario.label} greedy has no late job; "
            "there is nothing to learn for the objective 'late'"
        )
    began = first_policy(settings, validation)
    return Course(settings, files, validation, began, validation.change(began))


def begin_courses(settings: StreamSettings) -> list[Course]:
    """The courses of all scenarios of the settings."""
    courses = [begin_course(replace(settings, also=()))]
    for number, scenario in enumerate(settings.also):
        # Other streams than those of the first scenario, not the same devices and jobs under other rates.
        seed = settings.seed + SEEDS_APART * (number + 1)
        own = replace(settings, also=(), scenario=scenario, seed=seed, streams_a_round=settings.also_streams_a_round)
        courses.append(begin_course(own, f"also-{number}-labels"))
    return courses


def lessons(courses: Sequence[Course], memory: int) -> StreamLabels:
    """The labels that networks learn from; a label of each scenario counts alike, whatever choices cost there."""
    found = [recent(course.rounds, memory) for course in courses]
    if len(found) == 1:
        return found[0]
    objective = courses[0].settings.objective
    means = [mean_cost(weighed_costs(labels, objective)) for labels in found]
    return joined([labels._replace(costs=labels.costs / mean) for labels, mean in zip(found, means, strict=True)])


def iterate(
    folder: Path, courses: Sequence[Course], settings: StreamSettings, report: Callable[[str], None] = _say
) -> None:
    """Policy iteration on all courses with one network; the labels are kept in the folder."""
    for course in courses:
        report(f"{course.best.name}: {course.least:+.2%} against greedy on validation")
    newest, began = None, networks_of(settings).get("student")
    for number in range(settings.rounds):
        for course in courses:
            course.label(number, newest, folder)
        labels = lessons(courses, settings.memory)
        module = fit_network(labels, settings.base, settings, seed=number, began=began)
        newest = as_policy(module, f"round {number + 1}", settings)
        changes = [course.judge(newest) for course in courses]
        made = sum(len(course.rounds[-1].labels.costs) for course in courses)
        report(f"round {number + 1}: {made:,} labels, {_listed(changes)} against greedy on validation")


def _listed(changes: Sequence[float]) -> str:
    return ", ".join(f"{change:+.2%}" for change in changes)


def new_folder(folder: str | Path) -> Path:
    """The folder of results, made where it is not there; ValueError where a file is in its place."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"output is {quoted(str(folder))}, which is a file; it must be a folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def learn(folder: str | Path, settings: StreamSettings, report: Callable[[str], None] = _say) -> dict[str, Path]:
    """Teacher and students of a scenario, or of several; labels that are in the folder are not made anew.

    Returns:
        The policy files by name.
    """
    folder = new_folder(folder)
    keep_settings(folder / "settings.json", asdict(settings), "*.npz", "*.safetensors")
    courses = begin_courses(settings)
    began = [(course.best.name, course.least) for course in courses]
    iterate(folder, courses, settings, report)
    labels, before = lessons(courses, settings.memory), networks_of(settings)
    teacher = fit_network(labels, settings.teacher, settings, seed=100, began=before.get("teacher"))
    modules = {"teacher": teacher}
    for name, hidden in (("student", settings.student), ("small-student", settings.small_student)):
        modules[name] = fit_network(labels, hidden, settings, 101, teacher, before.get(name))
    paths = {}
    for name, module in modules.items():
        policy = as_policy(module, name, settings)
        changes = [course.validation.change(policy) for course in courses]
        report(f"{name}: {policy.num_parameters:,} parameters, {_listed(changes)} against greedy")
        for change, (first, enough) in zip(changes, began, strict=True):
            if change > enough:
                report(f"{name} is worse than {first}, which the first round was made with: make more labels")
        assert policy.network is not None
        paths[name] = folder / f"{name}.safetensors"
        save_stream_policy(paths[name], policy.network)
    return paths
