"""``python -m agents learn-graphs``: networks that place the tasks of applications, and students distilled from one.

1. Search labels drawn applications: the best of the portfolio with flips. A teacher imitates its decisions along the
   labelled schedules; what moving one task costs there makes the labels soft.
2. In rounds, the teacher's own passes are labelled by roll-outs: at each task every choice is tried that its scores do
   not rule out, and the teacher goes on by itself to the end. What each costs is what the next round learns, beside the
   search's labels. This is policy iteration, with states that the policy visits itself; steps are drawn with Gumbel
   noise on the scores, so that it sees what follows its second choices.
3. Students, which are smaller, begin as the teacher did and learn in rounds of their own from their own passes: what
   choices cost, and the teacher's scores for the same inputs.

Of all rounds the network is kept that has the least mean makespan on validation, in terms of the labels' there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from agents.graph_labels import NOT_TRIED, Pass, flip_costs, label_kernel
from agents.imitation import soft_labels
from agents.networks import linear_layers, one_thread, pick_device
from agents.student_loss import distillation_loss
from offload_gym.array_checks import check_count
from offload_gym.checks import checked_number, quoted
from offload_gym.delay import check_decisions, latency, optimality_gap
from offload_gym.files import keep_settings, replacing
from offload_gym.instances import Instances
from offload_gym.layers import packed
from offload_gym.networks.graph_kernel import Plan
from offload_gym.networks.graph_network import GraphNetwork, load_graph_network, save_graph_policy
from offload_gym.networks.graph_policy import GraphPolicy
from offload_gym.networks.graph_view import INPUTS
from offload_gym.progress import progress_bar
from offload_gym.sampling import sample_instances
from offload_gym.scenario import Scenario, described, make_scenario
from offload_gym.seeds import check_seed, seed_for
from offload_gym.solvers.parallel import for_each_chunk
from offload_gym.solvers.portfolio import portfolio
from offload_gym.solvers.stopping import new_stop

SUFFIX = ".safetensors"
CHUNK = 64  # instances that a thread labels at a time; what is drawn in a pass depends on it
SEARCHED = 4  # instances that a thread searches at a time; Ctrl-C waits for them
MOST_COST = 0.3  # a rare disaster must not drown everything else
COST_WEIGHT = 10.0  # of the expected cost beside the soft labels

_say = partial(print, flush=True)


class Kind(NamedTuple):
    """A network that is trained."""

    hidden: tuple[int, ...]  # units of its layers
    num_starts: int  # how often it is used for a decision, see ``GraphNetwork``
    num_passes: int
    num_sweeps: int


#: What ``learn`` trains by default; the students learn from the teacher.
KINDS = {
    "teacher": Kind((64, 32), 4, 3, 2),
    "student": Kind((32,), 2, 1, 1),
    "small-student": Kind((16,), 1, 1, 1),
}


@dataclass(frozen=True)
class GraphSettings:
    """What is learned, from how much, and for how long.

    Raises:
        ValueError: a number is out of its bounds.
    """

    scenario: Scenario = field(default_factory=lambda: make_scenario("dag", num_tasks=10, max_tasks=64))
    seed: int = 1  # of instances and weights
    num_labels: int = 20_000  # instances that search labels
    num_validation: int = 1_000
    rounds: int = 8  # of the teacher
    student_rounds: int = 6
    instances_a_round: int = 6_000
    memory: int = 3  # rounds whose labels are learned from
    passes: int = 2  # of a draft that are labelled, each on a share of the instances
    other_starts: float = 0.5  # share of a round's passes whose first draft is not the best fixed place
    noise: float = 0.3  # Gumbel noise on the scores of the steps that are taken
    margin: float = 5.0  # choices whose scores are so far below the best are not tried
    imitation_steps: int = 8_000
    steps_a_round: int = 3_000
    batch_size: int = 4_096  # tasks
    learning_rate: float = 3e-3
    label_temperature: float = 0.005  # of costs: a choice that costs 0.5 % more gets 1/e of the weight of the best
    search_share: float = 0.2  # labels of the search in a batch, in terms of those of roll-outs
    temperature: float = 1.0  # of distillation
    alpha: float = 0.5  # weight of the teacher beside labels
    device: str = "auto"

    def __post_init__(self) -> None:
        if not self.scenario.dependent:
            raise ValueError(
                f"scenario is {quoted(self.scenario.label)}; it must have tasks that depend on each other, as 'dag' has"
            )
        check_seed(self.seed)
        for name in (
            "num_labels",
            "num_validation",
            "rounds",
            "student_rounds",
            "instances_a_round",
            "memory",
            "passes",
            "imitation_steps",
            "steps_a_round",
            "batch_size",
        ):
            check_count(name, getattr(self, name))
        pick_device(self.device)
        for name in ("learning_rate", "label_temperature", "temperature", "margin"):
            checked_number(name, getattr(self, name), "finite and above 0", lambda value: 0.0 < value < np.inf)
        for name in ("noise", "search_share"):
            checked_number(name, getattr(self, name), "finite and at least 0", lambda value: 0.0 <= value < np.inf)
        for name in ("other_starts", "alpha"):
            checked_number(name, getattr(self, name), "from 0 to 1", lambda value: 0.0 <= value <= 1.0)


class Samples(NamedTuple):
    """Tasks to learn from: N of them, each with K choices."""

    inputs: Tensor  # (N, K, INPUTS)
    targets: Tensor  # (N, K) probabilities
    costs: Tensor  # (N, K) what each choice costs, 0 where that is not known


def new_module(hidden: Sequence[int], seed: int) -> nn.Sequential:
    """A network (..., INPUTS) -> (..., 1)."""
    torch.manual_seed(seed)
    sizes = [INPUTS, *hidden]
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 1))


def to_network(module: nn.Module, kind: Kind, settings: GraphSettings) -> GraphNetwork:
    """The network as its file and the compiled runtime have it."""
    scenario = settings.scenario
    most = scenario.most_tasks
    return GraphNetwork(
        layers=linear_layers(module),
        num_starts=kind.num_starts,
        num_passes=kind.num_passes,
        num_sweeps=kind.num_sweeps,
        metadata={"seed": str(settings.seed)},
        trained_tasks=(scenario.num_tasks if scenario.max_tasks else most, most),
        scenario=scenario.label,
        scenario_fields=described(scenario),
    )


def from_network(network: GraphNetwork) -> nn.Sequential:
    """The torch form of a network."""
    module = new_module([len(bias) for _, bias in network.layers[:-1]], 0)
    linear = [layer for layer in module if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer, (weight, bias) in zip(linear, network.layers, strict=True):
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))
    return module


def label_passes(
    module: nn.Module,
    kind: Kind,
    instances: Instances,
    labelled: Pass,
    given: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """What a network sees along a pass over each of B instances, and what each choice costs there.

    Args:
        module: the network.
        kind: how it is used; roll-outs end without sweeps, so that a choice is not mended before it is judged.
        instances: B instances of n tasks and K locations.
        labelled: which pass.
        given: (B, n) the steps that are taken; None: the network's own, with noise.

    Returns:
        (B, n, K, INPUTS) and (B, n, K), as ``label_kernel`` fills them.
    """
    shape = (len(instances), instances.num_tasks, instances.num_locations)
    inputs, costs = np.zeros((*shape, INPUTS), np.float32), np.zeros(shape)
    steps = np.full(shape[:2], -1) if given is None else np.ascontiguousarray(given)
    plan, stop = tuple(Plan(*packed(linear_layers(module)), 1, kind.num_passes, 0)), new_stop()

    def work(rows: slice) -> None:
        own = labelled._replace(seed=labelled.seed + rows.start)
        label_kernel(instances[rows].arrays, plan, tuple(own), steps[rows], stop, inputs[rows], costs[rows])

    for_each_chunk(work, len(instances), None, CHUNK, stop)
    return inputs, costs


def to_samples(
    inputs: NDArray[np.float32], costs: NDArray[np.float64], which: NDArray[np.bool_], settings: GraphSettings
) -> Samples:
    """The tasks (B, n) that are chosen as tensors."""
    device = pick_device(settings.device)
    chosen = costs[which]
    targets = soft_labels(chosen, settings.label_temperature)
    costs_of = np.clip(chosen, 0.0, MOST_COST).astype(np.float32)
    tensors = (torch.from_numpy(array).to(device) for array in (inputs[which], targets, costs_of))
    return Samples(*tensors)


def searched_samples(
    module: nn.Module, kind: Kind, instances: Instances, decisions: NDArray[np.int64], settings: GraphSettings
) -> Samples:
    """What the search decided: tasks along its schedules, and soft labels by what moving one task costs there.

    Its costs are those of a single move while everything else stays, which are no costs of a choice in a pass: they are
    left out.
    """
    inputs, _ = label_passes(module, kind, instances, Pass(0, 0, 0.0, 0.0, 0), decisions)
    costs = np.zeros((*decisions.shape, instances.num_locations))
    flip_costs(instances.arrays, decisions.copy(), costs)
    samples = to_samples(inputs, costs, instances.present, settings)
    return samples._replace(costs=torch.zeros_like(samples.costs))


def rolled_samples(module: nn.Module, kind: Kind, number: int, settings: GraphSettings) -> Samples:
    """The labels of a round: fresh instances, decided by the network, with what each choice costs by its roll-outs."""
    rng = np.random.default_rng(seed_for("training", settings.seed, 2, number))
    parts = []
    for before in range(settings.passes):
        size = -(-settings.instances_a_round // settings.passes)
        seed = seed_for("training", settings.seed, 3, number, before)
        instances = sample_instances(settings.scenario, size, seed)
        start = int(rng.integers(1, instances.num_locations)) if rng.random() < settings.other_starts else 0
        labelled = Pass(start, before, settings.noise, settings.margin, int(rng.integers(2**31)))
        inputs, costs = label_passes(module, kind, instances, labelled)
        # Where one choice was tried there is nothing to learn.
        which = instances.present & ((costs < NOT_TRIED).sum(axis=-1) > 1)
        parts.append(to_samples(inputs, costs, which, settings))
    return joined(parts)


def joined(parts: Sequence[Samples]) -> Samples:
    """All tasks of several sets."""
    return Samples(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


@one_thread()
def fit(
    module: nn.Module,
    samples: Sequence[tuple[Samples, float]],
    steps: int,
    settings: GraphSettings,
    teacher: nn.Module | None = None,
    description: str = "training",
) -> None:
    """Train in place, with learning rates that fall to 0.

    Args:
        module: the network.
        samples: sets of tasks, and the share of a batch that is drawn from each.
        steps: batches.
        settings: of the training.
        teacher: whose scores are learned, too, where there is one.
        description: shown beside the progress bar.
    """
    device = samples[0][0].inputs.device
    module.to(device).train()
    if teacher is not None:
        teacher.to(device).eval()
    optimizer = torch.optim.Adam(module.parameters(), lr=settings.learning_rate)
    warm_up = 0.05 if steps > 20 else 0.3  # of the steps; it must not be a single one, by which torch would divide
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=steps, pct_start=warm_up, cycle_momentum=False
    )
    generator = torch.Generator().manual_seed(settings.seed)
    samples = [(part, share) for part, share in samples if share > 0.0]
    total = sum(share for _, share in samples)
    sizes = [max(1, round(settings.batch_size * share / total)) for _, share in samples]
    with progress_bar(steps, description, "step") as bar:
        for _ in range(steps):
            parts = []
            for (part, _), size in zip(samples, sizes, strict=True):
                chosen = torch.randint(len(part.inputs), (size,), generator=generator).to(device)
                parts.append(Samples(*(tensor[chosen] for tensor in part)))
            batch = joined(parts)
            scores = module(batch.inputs).squeeze(-1)
            probabilities = functional.softmax(scores, dim=-1)
            loss = COST_WEIGHT * (probabilities * batch.costs).sum(dim=-1).mean()
            if teacher is None:
                loss = loss + functional.cross_entropy(scores, batch.targets)
            else:
                with torch.no_grad():
                    taught = teacher(batch.inputs).squeeze(-1)
                loss = loss + distillation_loss(scores, taught, batch.targets, settings.temperature, settings.alpha)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.update()
    module.eval()


class Labelled(NamedTuple):
    """Instances and what the search decides for them."""

    instances: Instances
    decisions: NDArray[np.int64]  # (B, n)


def labelled(purpose: str, size: int, settings: GraphSettings, path: Path) -> Labelled:
    """Instances of a purpose; the search's decisions are read from a file, or written there."""
    instances = sample_instances(settings.scenario, size, seed_for(purpose, settings.seed, 1))
    if not path.exists():
        decisions = np.empty((size, instances.num_tasks), np.int64)

        def work(rows: slice) -> None:
            decisions[rows] = portfolio(instances[rows], moves="flip")

        for_each_chunk(work, size, None, SEARCHED)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, decisions)
    try:
        return Labelled(instances, check_decisions(instances, np.load(path)))
    except (EOFError, ValueError) as error:
        raise ValueError(f"{path} does not hold the labels of these settings: {error}") from None


def excess_over(validation: Labelled, network: GraphNetwork) -> float:
    """Mean makespan of a network's decisions over that of the labels, minus 1."""
    found_s = latency(validation.instances, GraphPolicy(network).decide(validation.instances))
    labels_s = latency(validation.instances, validation.decisions)
    return float(optimality_gap(found_s, labels_s).mean())


def train(
    kind: Kind,
    training: Labelled,
    validation: Labelled,
    settings: GraphSettings,
    teacher: nn.Module | None = None,
    report: Callable[[str], None] = _say,
) -> GraphNetwork:
    """A network by imitation, then in rounds of its own roll-outs; see the module."""
    module = new_module(kind.hidden, settings.seed)
    searched = searched_samples(module, kind, training.instances, training.decisions, settings)
    fit(module, [(searched, 1.0)], settings.imitation_steps, settings, teacher, "imitation")
    best = to_network(module, kind, settings)
    least = excess_over(validation, best)
    report(f"  imitation: {least:+.2%} against the search's labels on validation")
    rounds: list[Samples] = []
    for number in range(settings.rounds if teacher is None else settings.student_rounds):
        rolled = rolled_samples(module, kind, number, settings)
        if len(rolled.inputs) == 0:
            report(f"  round {number + 1}: the scores leave no choice open within the margin of {settings.margin:g}")
            break
        rounds = [*rounds, rolled][-settings.memory :]
        samples = [(joined(rounds), 1.0), (searched, settings.search_share)]
        fit(module, samples, settings.steps_a_round, settings, teacher, f"round {number + 1}")
        network = to_network(module, kind, settings)
        excess = excess_over(validation, network)
        report(f"  round {number + 1}: {len(rounds[-1].inputs):,} labels, {excess:+.2%}")
        if excess < least:
            best, least = network, excess
    return best


def learn(
    folder: str | Path,
    settings: GraphSettings,
    kinds: dict[str, Kind] = KINDS,
    report: Callable[[str], None] = _say,
) -> dict[str, Path]:
    """Train all networks that are not there yet; returns their files by name.

    Args:
        folder: where the files are; made where it is missing.
        settings: what to learn.
        kinds: the networks; the first one teaches the others.
        report: called with one sentence at the start and at the end of a step.

    Raises:
        ValueError: the results in the folder were made with other settings.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    made_of = asdict(settings) | {"kinds": {name: list(kind) for name, kind in kinds.items()}}
    keep_settings(folder / "settings.json", made_of, f"*{SUFFIX}", "*.npy")
    report(f"labels of {settings.num_labels:,} training and {settings.num_validation:,} validation instances")
    training = labelled("training", settings.num_labels, settings, folder / "training.npy")
    validation = labelled("validation", settings.num_validation, settings, folder / "validation.npy")
    teacher, paths = None, {}
    for name, kind in kinds.items():
        path = paths[name] = folder / f"{name}{SUFFIX}"
        if path.exists():
            report(f"{name}: already trained")
        else:
            report(f"training {name}")
            began = time.perf_counter()
            network = train(kind, training, validation, settings, teacher, report)
            save_graph_policy(path, network)
            report(f"{name}: {network.num_parameters:,} parameters, trained in {time.perf_counter() - began:.0f} s")
        if teacher is None:
            teacher = from_network(load_graph_network(path))
    return paths
