"""``python -m agents learn-cells``: networks that decide for one device of a cell each, and a teacher that sees all.

All devices decide by the same network, and what they learn from is the mean latency of them all: at each step fresh
cells are decided with choices drawn by the network's scores, every other choice of every device is tried while the
other devices keep theirs (``agents.cell_labels``), and the costs weighed with the network's probabilities are made
less. This is modelled on the gradient of the mean latency for policies that share their parameters and a reward, with
counterfactual values of all choices (Foerster, Farquhar, Afouras, Nardelli and Whiteson, "Counterfactual Multi-Agent
Policy Gradients", AAAI 2018) that come from the simulator instead of a critic.

The loss is a surrogate, not that gradient. Choices are drawn with Gumbel noise times ``CellSettings.noise``, that is
from softmax(scores / noise), which with less noise than 1 is sharper than the softmax(scores) that the loss weighs the
costs with; and the labels of a step are passed over several times, in which the network moves away from the one that
they were made with.

A teacher reads a few numbers of the other devices besides. A student can be drawn to its probabilities on the states
that the student itself visits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import swa_utils

from agents.cell_labels import PRIVILEGED, Cells, Labels, Packed, decide, gather, label
from agents.cell_shares import SIZES, mean_latency, validation_cells
from agents.networks import TaskNetwork, linear_layers, num_parameters, one_thread
from offload_gym.cell_policies import make_cell_policy, report_of
from offload_gym.checks import checked_number, quoted
from offload_gym.envs.cell import sample_cell
from offload_gym.networks.cell_kernel import COMPANY
from offload_gym.networks.cell_network import CellNetwork, load_cell_network, save_cell_policy
from offload_gym.networks.independent_kernel import NOT_TRIED, make_plan
from offload_gym.networks.policy_file import Network, load_network
from offload_gym.policies import WEIGHTS, preset_of
from offload_gym.progress import progress_bar
from offload_gym.scenario import Scenario, described, make_scenario
from offload_gym.seeds import seed_for

#: What ``learn`` trains: the teacher, a student of the costs alone, one that is drawn to the teacher besides, and one
#: of the costs in cells of up to ``FEW`` devices.
NETWORKS = ("teacher", "student", "distilled", "few-devices")
FEW = 8

AVERAGED = 0.97  # share that the mean of the weights keeps at each step; it is what training returns

_say = partial(print, flush=True)


@dataclass(frozen=True)
class CellSettings:
    """What is learned, from how much, and for how long."""

    scenario: Scenario = field(default_factory=make_scenario)
    seed: int = 1
    start: str | None = None  # policy file of cells to begin with; None: the shipped student of a device alone
    sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32)  # numbers of devices of the cells
    share: float = 0.7  # of the slowdown in what networks see
    steps: int = 700
    devices_a_step: int = 320  # of cells of each size
    passes: int = 3  # over the labels of a step
    batch_size: int = 480  # devices
    learning_rate: float = 1e-2  # of weight matrices, with Muon; of biases a fifth, with AdamW
    encoder: tuple[int, ...] = (24, 16)
    head: tuple[int, ...] = (48, 24)
    teacher_encoder: tuple[int, ...] = (32, 24)
    teacher_head: tuple[int, ...] = (64, 32)
    alpha: float = 0.02  # weight of the distance to the teacher beside the cost
    # How much Gumbel noise is added to scores, at first and at last: with 1, choices are drawn as the network scores
    # them, with 0 it takes the best one.
    first_noise: float = 0.5
    last_noise: float = 0.2
    num_validation: int = 200  # cells of each size up to 8

    def __post_init__(self) -> None:
        for name in ("first_noise", "last_noise"):
            checked_number(name, getattr(self, name), "finite and at least 0", lambda value: 0.0 <= value < np.inf)

    def noise(self, step: int) -> float:
        """How much Gumbel noise is added to scores at a step."""
        return self.first_noise + (self.last_noise - self.first_noise) * step / self.steps


def packed_network(network: TaskNetwork, privileged: bool) -> Packed:
    """The network as the kernel reads it."""
    further = COMPANY + (PRIVILEGED if privileged else 0)
    encoder, head = linear_layers(network.encoder), linear_layers(network.head)
    return make_plan(network.cores, False, encoder, head, False, 0, NOT_TRIED, further)


def new_network(settings: CellSettings, privileged: bool, seed: int) -> TaskNetwork:
    """A network that decides as the one that it begins with: more inputs and units than that one has do nothing yet."""
    torch.manual_seed(seed)
    encoder = settings.teacher_encoder if privileged else settings.encoder
    head = settings.teacher_head if privileged else settings.head
    further = COMPANY + (PRIVILEGED if privileged else 0)
    scenario = settings.scenario
    began: Network | CellNetwork
    if settings.start is None:
        began = load_network(WEIGHTS / f"{preset_of(scenario)}-student.safetensors")
    else:
        began = load_cell_network(settings.start)
    network = TaskNetwork("sequential", began.cores, encoder, head, roll_outs=False, further=further)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    given = began.encoder + began.head
    if len(layers) != len(given) or any(
        len(bias) > layer.out_features for layer, (_, bias) in zip(layers, given, strict=True)
    ):
        raise ValueError("the network to begin with has more layers or larger ones than the one to be trained")
    code, was = encoder[-1], len(began.encoder[-1][1])
    with torch.no_grad():
        for layer, (weight, bias) in zip(layers, given, strict=True):
            outputs, inputs = weight.shape
            columns = np.arange(inputs)
            if layer is layers[len(encoder)]:
                columns[was:] += code - was  # what follows the encoding
            layer.weight[:outputs] = 0.0
            layer.weight[:outputs, columns] = torch.from_numpy(weight)
            layer.bias[:outputs] = torch.from_numpy(bias)
    return network


def fresh_cells(settings: CellSettings, step: int) -> list[Cells]:
    """Training cells of a step, of each size."""
    return [
        gather(
            [
                sample_cell(settings.scenario, m, seed_for("training", settings.seed, step, m, c))
                for c in range(max(settings.devices_a_step // m, 2))
            ],
            settings.share,
        )
        for m in settings.sizes
    ]


def _tensors(labels: Sequence[Labels]) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, states and costs of cells of all sizes; each size counts as much as any other."""
    most = max(len(part.costs) for part in labels)
    costs = np.concatenate([part.costs * (most / len(part.costs)) for part in labels])
    rows, states = (np.concatenate([getattr(part, name) for part in labels]) for name in ("rows", "states"))
    return torch.from_numpy(rows), torch.from_numpy(states), torch.from_numpy(costs)


@one_thread()
def train(
    settings: CellSettings,
    privileged: bool = False,
    teacher: TaskNetwork | None = None,
    description: str = "learning",
    watch: Callable[[int, TaskNetwork], None] | None = None,
) -> TaskNetwork:
    """A network that learned in fresh cells.

    Args:
        settings: what is learned.
        privileged: whether it reads numbers of the other devices, as a teacher does.
        teacher: a privileged network whose probabilities are learned beside the costs.
        description: shown beside the progress bar.
        watch: called now and then with the step and the network.
    """
    network = new_network(settings, privileged, settings.seed)
    width = network._state
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(
            [p for p in network.parameters() if p.ndim == 2], lr=settings.learning_rate, weight_decay=1e-4
        ),
        torch.optim.AdamW([p for p in network.parameters() if p.ndim != 2], lr=settings.learning_rate / 5),
    ]
    rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    average = swa_utils.AveragedModel(network, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(AVERAGED))
    averaged = cast("TaskNetwork", average.module)
    rng = np.random.default_rng(seed_for("training", settings.seed))
    generator = torch.Generator().manual_seed(settings.seed)
    with progress_bar(settings.steps, description, "step") as bar:
        for step in range(settings.steps):
            plan, labels = packed_network(network, privileged), []
            for cells in fresh_cells(settings, step):
                shape = (len(cells.devices), cells.devices.num_tasks, cells.devices.num_locations)
                noise = settings.noise(step) * rng.gumbel(size=shape)
                labels.append(label(cells, plan, noise.astype(np.float32), privileged))
            rows, states, costs = _tensors(labels)
            for optimizer, rate in zip(optimizers, rates, strict=True):
                optimizer.param_groups[0]["lr"] = rate * min(1.0 - step / settings.steps, (step + 1) / 10)
            soft = None
            if teacher is not None:
                with torch.no_grad():
                    soft = torch.log_softmax(teacher(rows, states), dim=-1)
            for _ in range(settings.passes):
                for chosen in torch.randperm(len(rows), generator=generator).split(settings.batch_size):
                    logits = network(rows[chosen], states[chosen, :, :width])
                    value = (torch.softmax(logits, dim=-1) * costs[chosen]).sum(dim=-1).mean()
                    if soft is not None:
                        scores = torch.log_softmax(logits, dim=-1)
                        distance = nn.functional.kl_div(scores, soft[chosen], reduction="none", log_target=True)
                        value = value + settings.alpha * distance.sum(dim=-1).mean()
                    network.zero_grad(set_to_none=True)
                    value.backward()
                    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                    for optimizer in optimizers:
                        optimizer.step()
            average.update_parameters(network)
            bar.update()
            if watch is not None:
                watch(step + 1, averaged)
    return averaged


class Validation:
    """Cells that nothing is learned from, and what the best policy that needs no learning makes of them."""

    def __init__(self, settings: CellSettings) -> None:
        found = {m: validation_cells(settings.scenario, m, settings.num_validation, settings.seed) for m in SIZES}
        self.cells = {m: gather(cells, settings.share) for m, cells in found.items()}
        self.tuned_s: dict[int, float] = {}
        for m, cells in found.items():
            policy = make_cell_policy("student-share", m, settings.scenario)
            decisions = [policy.decide(cell, report_of(cell)) for cell in cells]
            self.tuned_s[m] = mean_latency(cells, np.concatenate(decisions))

    def changes(self, network: TaskNetwork, privileged: bool) -> str:
        """The network's latency over that of the tuned student at each size, minus 1, as text."""
        plan, found = packed_network(network, privileged), []
        for m, cells in self.cells.items():
            shape = (len(cells.devices), cells.devices.num_tasks, cells.devices.num_locations)
            decisions = decide(cells, plan, np.zeros(shape, dtype=np.float32), privileged)
            found.append(f"m = {m}: {mean_latency(cells.cells, decisions) / self.tuned_s[m] - 1:+.1%}")
        return ", ".join(found)


def as_cell_network(network: TaskNetwork, settings: CellSettings) -> CellNetwork:
    """The network as its file holds it."""
    return CellNetwork(
        cores=network.cores,
        encoder=linear_layers(network.encoder),
        head=linear_layers(network.head),
        share=settings.share,
        metadata={"made_by": "agents.cell_learning"},
        num_devices=settings.sizes,
        scenario=settings.scenario.label,
        scenario_fields=described(settings.scenario),
    )


def learn(
    folder: str | Path, settings: CellSettings, only: Sequence[str] = (), report: Callable[[str], None] = _say
) -> dict[str, Path]:
    """Train networks, and say what they gain over the tuned student on validation cells.

    Args:
        folder: where the students' files go.
        settings: what is learned.
        only: of ``NETWORKS``; all where it is empty.
        report: told a line for each network.

    Returns:
        The files by name.

    Raises:
        ValueError: ``few-devices`` is to be trained, but no size is small enough for it.
    """
    chosen = only or NETWORKS
    small = replace(settings, sizes=tuple(m for m in settings.sizes if m <= FEW))
    if "few-devices" in chosen and not small.sizes:
        raise ValueError(f"sizes is {quoted(settings.sizes)}; few-devices needs one that is at most {FEW}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    validation = Validation(settings)
    paths: dict[str, Path] = {}
    teacher = None
    if {"teacher", "distilled"} & {*chosen}:
        teacher = train(settings, privileged=True, description="teacher")
        report(f"teacher: {num_parameters(teacher):,} parameters; {validation.changes(teacher, True)}")
    for name, of, learns_from in (
        ("student", settings, None),
        ("distilled", settings, teacher),
        ("few-devices", small, None),
    ):
        if name in chosen:
            network = train(of, teacher=learns_from, description=name)
            report(f"{name}: {num_parameters(network):,} parameters; {validation.changes(network, False)}")
            paths[name] = folder / f"{name}.safetensors"
            save_cell_policy(paths[name], as_cell_network(network, of))
    return paths
