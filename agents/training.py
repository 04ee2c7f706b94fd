"""The training pipeline: labels, teachers, students and reinforcement-learning agents, step by step.

Each step writes one file and is skipped where the file is there and was made with the same settings, so that a run can
be interrupted and started again. Files are written whole or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch

from agents.imitation import fit, make_samples, teacher_loss
from agents.networks import TaskNetwork, from_runtime, pick_device, save_policy, to_runtime
from agents.reinforcement import CLONED, HYPERPARAMETERS, RL_AGENTS, train_agent
from agents.student_loss import student_loss
from offload_gym.array_checks import check_count
from offload_gym.delay import COMPLETION_OBJECTIVES, objective_code
from offload_gym.demonstrations import Demonstrations, generate_demonstrations, load_demonstrations, save_demonstrations
from offload_gym.estimates import check_noise
from offload_gym.files import keep_settings
from offload_gym.instances import Instances
from offload_gym.networks.policy_file import Network, load_network
from offload_gym.networks.trained_range import range_of
from offload_gym.scenario import Scenario, described, make_scenario
from offload_gym.seeds import seed_for

SUFFIX = ".safetensors"
PREFIXES = {"sequential": "sequential", "joint": "multilabel"}  # form of a network: how its files begin
SMALL_STUDENT = "sequential-small-student"
IMITATORS = tuple(f"{prefix}-{role}" for prefix in PREFIXES.values() for role in ("teacher", "student"))
POLICIES = (*IMITATORS, SMALL_STUDENT, *RL_AGENTS)


@dataclass(frozen=True)
class Settings:
    """What is trained, with how much data and for how long.

    Raises:
        ValueError: a number is out of its bounds or the objective is unknown.
    """

    scenario: Scenario = field(default_factory=make_scenario)
    objective: str = "makespan"
    observation_noise: float | str = 0.0  # what policies know of rates and backlogs, as in the environments
    seed: int = 1  # of instances and weights
    num_labels: int = 250_000  # training instances
    num_validation: int = 4_000
    teacher_encoder: tuple[int, ...] = (64, 32)
    teacher_head: tuple[int, ...] = (128, 64)
    student_encoder: tuple[int, ...] = (16, 12)
    student_head: tuple[int, ...] = (32, 16)
    small_student_encoder: tuple[int, ...] = (12, 8)
    small_student_head: tuple[int, ...] = (16, 8)
    teacher_passes: int = 24  # over the labels, of the sequential teacher
    student_passes: int = 16
    multilabel_passes: int = 4  # of the multi-label teacher and its student
    temperature: float = 1.0
    alpha: float = 0.5
    rl_placements: int = 600_000  # tasks that each reinforcement-learning agent places
    device: str = "auto"

    def __post_init__(self) -> None:
        objective_code(self.objective)
        if self.objective not in COMPLETION_OBJECTIVES:
            known = " or ".join(COMPLETION_OBJECTIVES)
            raise ValueError(f"objective is {self.objective!r}; networks do not see prices: it must be {known}")
        check_noise("observation_noise", self.observation_noise)
        for name in ("num_labels", "num_validation", "teacher_passes", "student_passes", "multilabel_passes"):
            check_count(name, getattr(self, name))
        check_count("rl_placements", self.rl_placements)
        seed_for("training", self.seed)  # which says what is wrong with it


# A file or a pipe must show it while the next step runs.
_say = partial(print, flush=True)


def train_all(
    folder: str | Path, settings: Settings, report: Callable[[str], None] = _say, only: Sequence[str] = ()
) -> dict[str, Path]:
    """Run all steps that are not done yet; returns the policy files by name.

    Args:
        folder: where the files are; made where it is missing.
        settings: what to train.
        report: called with one sentence at the start and at the end of a step.
        only: names of the policies to train, of ``POLICIES``; empty: all. A student needs its teacher.

    Raises:
        ValueError: a name in ``only`` is unknown, or the results in the folder were made with other settings.
    """
    for name in only:
        if name not in POLICIES:
            raise ValueError(f"only has {name!r}; the policies are {', '.join(POLICIES)}")
    if CLONED in only and settings.scenario.dependent:
        raise ValueError(f"only has {CLONED!r}; cloning is for independent tasks")
    folder = Path(folder)
    for name in only:
        teacher = _teacher_of(name)
        if teacher not in only and not (folder / f"{teacher}{SUFFIX}").exists() and teacher != name:
            raise ValueError(f"only has {name!r} without {teacher!r}, which is not in {folder} yet; name both")
    folder.mkdir(parents=True, exist_ok=True)
    made_of = asdict(settings) | {"hyperparameters": HYPERPARAMETERS}
    keep_settings(folder / "settings.json", made_of, f"*{SUFFIX}", "*.npz")
    train_labels = _demonstrations("training", folder, settings, settings.num_labels, report)
    validation = _demonstrations("validation", folder, settings, settings.num_validation, report)

    steps: dict[str, Callable[[], Network]] = {}
    for form, prefix in PREFIXES.items():
        teacher_path = folder / f"{prefix}-teacher{SUFFIX}"
        steps[f"{prefix}-teacher"] = partial(_train_teacher, form, train_labels, validation, settings)
        sizes = settings.student_encoder, settings.student_head
        steps[f"{prefix}-student"] = partial(
            _train_student, f"{prefix}-student", form, sizes, teacher_path, train_labels, validation, settings
        )
    sizes = settings.small_student_encoder, settings.small_student_head
    teacher_path = folder / f"{_teacher_of(SMALL_STUDENT)}{SUFFIX}"
    steps[SMALL_STUDENT] = partial(
        _train_student, SMALL_STUDENT, "sequential", sizes, teacher_path, train_labels, validation, settings
    )
    for name in RL_AGENTS:
        if name == CLONED and settings.scenario.dependent:
            report(f"{name}: left out, as cloning is for independent tasks")
            continue
        steps[name] = partial(_train_rl_agent, name, train_labels, validation, settings)

    chosen = [name for name in steps if not only or name in only]
    paths = {name: folder / f"{name}{SUFFIX}" for name in chosen}
    for number, name in enumerate(chosen, start=1):
        if paths[name].exists():
            report(f"{name}: already trained")
            continue
        report(f"training {name}, policy {number} of {len(chosen)}")
        start = time.perf_counter()
        network = steps[name]()
        save_policy(paths[name], trained(network, settings, train_labels.seen))
        report(f"{name}: {network.num_parameters:,} parameters, trained in {time.perf_counter() - start:.0f} s")
    return paths


def _teacher_of(name: str) -> str:
    """Name of the teacher that a student learns from; a policy without one is returned as it is."""
    return name.replace("small-student", "student").replace("student", "teacher")


def _demonstrations(
    purpose: str, folder: Path, settings: Settings, size: int, report: Callable[[str], None]
) -> Demonstrations:
    path = folder / f"{purpose}.npz"
    if path.exists():
        demonstrations = load_demonstrations(path)
        report(f"{purpose} labels: already made")
        return demonstrations
    report(f"labelling {size:,} {purpose} instances")
    start = time.perf_counter()
    demonstrations = generate_demonstrations(
        settings.scenario,
        size,
        seed_for(purpose, settings.seed),
        settings.objective,
        progress=True,
        observation_noise=settings.observation_noise,
    )
    save_demonstrations(path, demonstrations)
    report(f"{purpose} labels: made in {time.perf_counter() - start:.0f} s")
    return demonstrations


def trained(network: Network, settings: Settings, seen: Instances) -> Network:
    """The network with what its file says of its training, on instances as they were ``seen``."""
    scenario = settings.scenario
    return network._replace(
        objective=settings.objective,
        observation_noise=settings.observation_noise,
        trained_tasks=(scenario.num_tasks if scenario.max_tasks else scenario.most_tasks, scenario.most_tasks),
        trained_range=range_of(seen),
        scenario=scenario.label,
        scenario_fields=described(scenario),
        metadata=network.metadata | {"seed": str(settings.seed)},
    )


def _train_teacher(form: str, labels: Demonstrations, validation: Demonstrations, settings: Settings) -> Network:
    torch.manual_seed(settings.seed)
    scenario = settings.scenario
    network = TaskNetwork(form, scenario.cores, settings.teacher_encoder, settings.teacher_head, scenario.dependent)
    samples = make_samples(labels, form, scenario.dependent, pick_device(settings.device))
    passes = settings.teacher_passes if form == "sequential" else settings.multilabel_passes
    fit(
        network,
        samples,
        teacher_loss(form, samples),
        validation,
        epochs=passes,
        seed=settings.seed,
        description=f"{PREFIXES[form]}-teacher",
    )
    return to_runtime(network)


def _train_student(
    name: str,
    form: str,
    sizes: tuple[Sequence[int], Sequence[int]],
    teacher_path: Path,
    labels: Demonstrations,
    validation: Demonstrations,
    settings: Settings,
) -> Network:
    torch.manual_seed(settings.seed)
    scenario = settings.scenario
    # Roll-outs take longer than a small network. A student of the sequential form does without, where it keeps the best
    # schedule, as it does for independent tasks and without noise; the joint form needs those of the first task alone.
    roll_outs = form == "joint" or scenario.dependent or settings.observation_noise != 0.0
    student = TaskNetwork(form, scenario.cores, *sizes, scenario.dependent, roll_outs)
    samples = make_samples(labels, form, scenario.dependent, pick_device(settings.device))
    teacher = from_runtime(load_network(teacher_path))
    fit(
        student,
        samples,
        student_loss(teacher, samples, settings.temperature, settings.alpha),
        validation,
        epochs=settings.student_passes if form == "sequential" else settings.multilabel_passes,
        seed=settings.seed,
        description=name,
    )
    return to_runtime(student)


def _train_rl_agent(name: str, labels: Demonstrations, validation: Demonstrations, settings: Settings) -> Network:
    return train_agent(
        name,
        settings.scenario,
        settings.objective,
        settings.rl_placements,
        labels,
        validation,
        settings.seed,
        settings.observation_noise,
    )
