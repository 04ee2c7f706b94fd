"""``python -m agents clone``: behaviour cloning of a Minari data set, beside the teacher that learns from labels.

The data set holds what any recorder of episodes has: observations and actions. Where it was made with
``expert_labels=True``, it also holds what the teacher learns from: what each alternative costs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from agents.imitation import Samples, fit, make_samples, mean_gap, soft_labels, teacher_loss
from agents.networks import TaskNetwork, pick_device, save_policy, to_runtime
from agents.training import Settings, trained
from offload_gym.demonstrations import Demonstrations, generate_demonstrations
from offload_gym.interop.minari import SEQUENTIAL, load_minari_dataset, told
from offload_gym.networks.policy_file import Network
from offload_gym.observation import row_size, state_size
from offload_gym.sampling import sample_instances
from offload_gym.scenario import Scenario
from offload_gym.seeds import seed_for

if TYPE_CHECKING:
    from minari import MinariDataset

TARGETS = ("actions", "expert_action", "regret")  # from what any data set has to what the teacher learns from
NUM_TEST = 4_000


class Result(NamedTuple):
    """Mean optimality gaps of one trained network."""

    learns_from: str
    run: int
    validation_gap: float
    test_gap: float


def clone(
    dataset_id: str,
    settings: Settings,
    targets: str | None = None,
    num_runs: int = 2,
    path: str | Path | None = None,
) -> list[Result]:
    """Train networks of the teacher's form on a data set, and as many teachers on as many labelled instances.

    Args:
        dataset_id: a Minari data set of "offload_gym/Sequential-v0".
        settings: the scenario, objective and noise that it must be of, and how to train.
        targets: of ``TARGETS``; None: the last of them that the data set has.
        num_runs: networks of each kind. They differ in first weights and order of the samples, teachers also in the
            labelled instances.
        path: where the clone with the least validation gap is saved; None: nowhere.

    Returns:
        One result a network: gaps on fresh validation instances, by which the best weights are kept, and test
        instances.

    Raises:
        ValueError: the data set is of something else or lacks the targets.
    """
    scenario, objective, noise = settings.scenario, settings.objective, settings.observation_noise
    dataset = load_minari_dataset(dataset_id, SEQUENTIAL, scenario, objective, noise)
    if path is not None:
        if Path(path).is_dir():
            raise ValueError(f"path is {path}, a folder; it must be a file")
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    cloned = samples_of(dataset, scenario, targets, pick_device(settings.device))

    def draw(purpose: str, size: int, *further: int) -> Demonstrations:
        seed = seed_for(purpose, settings.seed, 11, *further)
        return generate_demonstrations(scenario, size, seed, objective, observation_noise=noise)

    validation, test = draw("validation", settings.num_validation), draw("test", NUM_TEST)
    results: list[Result] = []
    best: tuple[float, Network] | None = None
    for run in range(num_runs):
        network, gap = _fit(cloned, validation, settings, run, dataset_id)
        results.append(Result(dataset_id, run, gap, mean_gap(network, test)))
        if best is None or gap < best[0]:
            best = gap, network
    if path is not None and best is not None:
        drawn = sample_instances(scenario, len(cloned.rows), seed_for("training", settings.seed, 11))
        save_policy(path, trained(best[1]._replace(metadata={"dataset": dataset_id}), settings, drawn))
    for run in range(num_runs):
        labels = draw("training", len(cloned.rows), run)
        labelled = make_samples(labels, "sequential", scenario.dependent, cloned.rows.device)
        network, gap = _fit(labelled, validation, settings, run, "labels")
        results.append(Result("labels", run, gap, mean_gap(network, test)))
    return results


def _fit(
    samples: Samples, validation: Demonstrations, settings: Settings, run: int, name: str
) -> tuple[Network, float]:
    torch.manual_seed(settings.seed + run)
    scenario = settings.scenario
    network = TaskNetwork(
        "sequential", scenario.cores, settings.teacher_encoder, settings.teacher_head, scenario.dependent
    )
    gap = fit(
        network,
        samples,
        teacher_loss("sequential", samples),
        validation,
        epochs=settings.teacher_passes,
        seed=settings.seed + run,
        description=f"{name}, run {run}",
    )
    return to_runtime(network), gap


def samples_of(dataset: MinariDataset, scenario: Scenario, targets: str | None, device: torch.device) -> Samples:
    """Training tensors of a data set of "offload_gym/Sequential-v0": its epochs, cut from the episodes.

    Args:
        dataset: the data set.
        scenario: that of its environment.
        targets: "actions" (what was done), "expert_action" or "regret" (``infos`` of those names); None: the last of
            them that the data set has.
        device: where the tensors go.

    Raises:
        ValueError: the targets are unknown, or the data set lacks them, is empty or cannot be read.
    """
    if targets is not None and targets not in TARGETS:
        raise ValueError(f"targets is {targets!r}; it must be one of {', '.join(TARGETS)}")
    with told(dataset.id):
        episodes = list(dataset)
    if not episodes:
        raise ValueError(f"the Minari data set {dataset.id!r} has no episode; it must have at least one")
    infos: dict[str, Any] = episodes[0].infos or {}
    if targets is None:
        targets = next(name for name in reversed(TARGETS) if name in infos or name == "actions")
    if targets != "actions" and targets not in infos:
        raise ValueError(f"the Minari data set {dataset.id!r} has no {targets!r} in infos; make it with expert_labels")
    with told(dataset.id):  # what does not fit together is damaged, too
        observations = np.concatenate([episode.observations[:-1] for episode in episodes])
        if targets == "actions":
            said = np.concatenate([episode.actions for episode in episodes])
        else:
            said = np.concatenate([episode.infos[targets][:-1] for episode in episodes])
        num_locations = scenario.num_locations
        wanted = soft_labels(said) if targets == "regret" else np.eye(num_locations, dtype=np.float32)[said]
        rows, states, targets_by_epoch, present = _epochs(observations, wanted, scenario)
    tensors = [torch.from_numpy(array).to(device) for array in (rows, states, targets_by_epoch, present)]
    return Samples(tensors[0], tensors[1], tensors[2], tensors[3], labels=None, regret=None)


def _epochs(observations: NDArray, targets: NDArray, scenario: Scenario) -> tuple[NDArray, ...]:
    """Rows (E, n, row size), states (E, n, state size), targets (E, n, K) and presence (E, n) of E epochs.

    An epoch begins with the observation whose share of tasks not placed is 1. Its rows are those that it shows; later
    observations show the same ones without the first.
    """
    n, dependent = scenario.most_tasks, scenario.dependent
    width = row_size(scenario.num_locations, dependent)
    states = observations[:, n * width :][:, : state_size(sum(scenario.cores), scenario.num_locations, dependent)]
    begins = states[:, 2] == 1.0
    first = np.flatnonzero(begins)
    epoch = begins.cumsum() - 1
    task = np.arange(len(states)) - first[epoch]
    by_epoch = []
    for values in (states, targets, np.ones(len(states), dtype=np.bool_)):
        array = np.zeros((len(first), n, *values.shape[1:]), dtype=values.dtype)
        array[epoch, task] = values
        by_epoch.append(array)
    return observations[first, : n * width].reshape(len(first), n, width), *by_epoch


def markdown_table(results: list[Result]) -> str:
    """Gaps of each run, a line for what the networks learned from."""
    lines = ["| learns from | validation gap % | test gap % |", "|---|---:|---:|"]
    for name in dict.fromkeys(result.learns_from for result in results):
        group = [result for result in results if result.learns_from == name]
        gaps = (" ".join(f"{100 * getattr(r, field):.2f}" for r in group) for field in ("validation_gap", "test_gap"))
        lines.append(f"| {name} | {' | '.join(gaps)} |")
    return "\n".join(lines)
