"""The training pipeline: labels, teachers, students and reinforcement-learning agents, step by step.

Each step writes one file and is skipped where the file is there and was made with the same settings, so that a run can
be interrupted and started again. Files are written whole or not at all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from numpy.random import SeedSequence

from agents.distillation import distil
from agents.imitation import make_samples, train_teacher
from agents.networks import TaskNetwork, from_runtime, pick_device, save_policy, to_runtime
from agents.reinforcement import RL_AGENTS, train_agent
from agents.reinforcement import to_runtime as agent_to_runtime
from offload_gym.demonstrations import Demonstrations, generate_demonstrations, load_demonstrations, save_demonstrations
from offload_gym.runtime import Network, load_network
from offload_gym.scenario import Scenario, make_scenario

SUFFIX = ".safetensors"
PREFIXES = {"sequential": "sequential", "joint": "multilabel"}  # form of a network: how its files begin
# Seeds are spawned with these keys, so that no two purposes ever share instances, whatever the seed.
TEST_KEY, TRAINING_KEY, VALIDATION_KEY = range(3)


def seed_for(key: int, seed: int) -> SeedSequence:
    """The seed of one purpose (test, training, validation); different purposes never share a stream."""
    return SeedSequence(seed, spawn_key=(key,))


@dataclass(frozen=True)
class Settings:
    """What is trained, with how much data and for how long."""

    scenario: Scenario = field(default_factory=make_scenario)
    objective: str = "makespan"
    seed: int = 1
    num_labels: int = 200_000
    num_validation: int = 4_000
    teacher_encoder: tuple[int, ...] = (64, 64)
    teacher_head: tuple[int, ...] = (128, 128)
    teacher_passes: int = 12
    student_encoder: tuple[int, ...] = (16,)
    student_head: tuple[int, ...] = (32, 16)
    student_passes: int = 12
    multilabel_passes: int = 12
    temperature: float = 1.0
    alpha: float = 0.5
    rl_placements: int = 160_000
    device: str = "auto"


def train_all(folder: str | Path, settings: Settings, report: Callable[[str], None] = print) -> dict[str, Path]:
    """Run all steps that are not done yet; returns the policy files by name.

    Args:
        folder: where the files are; made where it is missing.
        settings: what to train.
        report: called with one sentence at the start and at the end of a step.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _check_settings(folder / "settings.json", settings)
    train_labels = _demonstrations(folder / "training.npz", settings, TRAINING_KEY, settings.num_labels, report)
    validation = _demonstrations(folder / "validation.npz", settings, VALIDATION_KEY, settings.num_validation, report)

    steps: dict[str, Callable[[], Network]] = {}
    for form, prefix in PREFIXES.items():
        teacher_path = folder / f"{prefix}-teacher{SUFFIX}"
        steps[f"{prefix}-teacher"] = partial(_train_teacher, form, train_labels, validation, settings)
        steps[f"{prefix}-student"] = partial(_train_student, form, teacher_path, train_labels, validation, settings)
    for name in RL_AGENTS:
        steps[name] = partial(_train_rl_agent, name, settings)

    paths = {name: folder / f"{name}{SUFFIX}" for name in steps}
    for name, train in steps.items():
        if paths[name].exists():
            report(f"{name}: already trained")
            continue
        start = time.perf_counter()
        network = train()
        save_policy(paths[name], network)
        report(f"{name}: {network.num_parameters:,} parameters, trained in {time.perf_counter() - start:.0f} s")
    return paths


def _check_settings(path: Path, settings: Settings) -> None:
    """Write the settings beside the results, or refuse to mix results of different settings in one folder."""
    text = json.dumps(asdict(settings), indent=2) + "\n"
    if not path.exists():
        path.write_text(text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text:
        raise ValueError(f"{path} has other settings than this run; choose another folder or delete {path.parent}")


def _demonstrations(
    path: Path, settings: Settings, key: int, size: int, report: Callable[[str], None]
) -> Demonstrations:
    if path.exists():
        report(f"{path.stem} labels: already made")
        return load_demonstrations(path)
    start = time.perf_counter()
    demonstrations = generate_demonstrations(
        settings.scenario, size, seed_for(key, settings.seed), settings.objective, progress=True
    )
    save_demonstrations(path, demonstrations)
    report(f"{path.stem} labels: {size:,} instances in {time.perf_counter() - start:.0f} s")
    return demonstrations


def _metadata(settings: Settings) -> dict[str, str]:
    return {"scenario": settings.scenario.name, "objective": settings.objective, "seed": str(settings.seed)}


def _train_teacher(form: str, labels: Demonstrations, validation: Demonstrations, settings: Settings) -> Network:
    torch.manual_seed(settings.seed)
    cores = settings.scenario.cores
    network = TaskNetwork(form, cores, settings.teacher_encoder, settings.teacher_head)
    samples = make_samples(labels, form, pick_device(settings.device))
    train_teacher(network, samples, validation, epochs=settings.teacher_passes, seed=settings.seed)
    return to_runtime(network, _metadata(settings))


def _train_student(
    form: str, teacher_path: Path, labels: Demonstrations, validation: Demonstrations, settings: Settings
) -> Network:
    torch.manual_seed(settings.seed)
    student = TaskNetwork(form, settings.scenario.cores, settings.student_encoder, settings.student_head)
    samples = make_samples(labels, form, pick_device(settings.device))
    distil(
        student,
        from_runtime(load_network(teacher_path)),
        samples,
        validation,
        epochs=settings.student_passes,
        temperature=settings.temperature,
        alpha=settings.alpha,
        seed=settings.seed,
    )
    return to_runtime(student, _metadata(settings))


def _train_rl_agent(name: str, settings: Settings) -> Network:
    agent = train_agent(name, settings.scenario, settings.objective, settings.rl_placements, settings.seed)
    return agent_to_runtime(agent, settings.scenario, _metadata(settings))
