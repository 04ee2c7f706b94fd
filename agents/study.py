"""``python -m agents distillation``: does a student gain from its teacher? Trained from labels alone against distilled.

Every student sees as many gradient steps and the same states. What differs is what it learns from: the expert's soft
labels, the teacher's scores, or half of each. In the rows of few labels, the students without a teacher have a small
part of the labelled instances, and those with one have the teacher's scores on all of them and no label at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from agents.distillation import student_loss
from agents.imitation import fit, make_samples, mean_gap, teacher_loss
from agents.networks import TaskNetwork, from_runtime, num_parameters, pick_device, to_runtime
from offload_gym.delay import latency, optimality_gap
from offload_gym.demonstrations import Demonstrations, generate_demonstrations
from offload_gym.files import replacing
from offload_gym.runtime import NetworkPolicy, load_network
from offload_gym.scenario import make_scenario
from offload_gym.seeds import seed_for

NUM_LABELS, NUM_VALIDATION, NUM_TEST = 60_000, 2_000, 5_000
PASSES = 6  # over NUM_LABELS; over fewer labels as many more
SIZES = (((4,), (4,)), ((6,), (10,)), ((8,), (16,)), ((16, 12), (32, 16)), ((32, 16), (64, 32)), ((64, 32), (160, 80)))
FEW_LABELS = (500, 5_000)
SEEDS = range(5)


class Run(NamedTuple):
    """One student of the study."""

    encoder: tuple[int, ...]
    head: tuple[int, ...]
    labels: int  # labelled instances it learns from
    alpha: float  # weight of the teacher: 0 without one
    temperature: float
    seed: int


def runs() -> Iterator[Run]:
    """The students of the study in the order of their training."""
    for seed in SEEDS:
        for encoder, head in SIZES:
            for alpha in (0.0, 1.0):
                yield Run(encoder, head, NUM_LABELS, alpha, 1.0, seed)
        encoder, head = SIZES[2]
        yield Run(encoder, head, NUM_LABELS, 0.5, 1.0, seed)
        for temperature in (0.5, 2.0, 4.0):
            yield Run(encoder, head, NUM_LABELS, 1.0, temperature, seed)
        for encoder, head in SIZES[2:4]:
            for labels in FEW_LABELS:
                yield Run(encoder, head, labels, 0.0, 1.0, seed)


def study(folder: Path, teacher_path: Path, seed: int) -> list[dict[str, Any]]:
    """Train the students that ``folder`` has no result of yet, and print the table; returns all results.

    Args:
        folder: of ``distillation.json``, which grows by one result a student, so that a run can be interrupted.
        teacher_path: a sequential network for the default scenario.
        seed: of the instances: neither those that the teacher learned from nor those that policies are compared on.

    Raises:
        ValueError: the teacher cannot be read.
    """
    scenario = make_scenario()
    teacher = from_runtime(load_network(teacher_path))
    device = pick_device("auto")
    train, validation, test = (
        generate_demonstrations(scenario, size, seed_for(purpose, seed, 7))
        for size, purpose in ((NUM_LABELS, "training"), (NUM_VALIDATION, "validation"), (NUM_TEST, "test"))
    )
    samples = make_samples(train, "sequential", False, device)
    path = folder / "distillation.json"
    results: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    done = {json.dumps(result["run"]) for result in results}
    for number, run in enumerate(chosen := list(runs()), start=1):
        key = json.loads(json.dumps(run._asdict()))
        if json.dumps(key) in done:
            continue
        torch.manual_seed(run.seed)
        student = TaskNetwork("sequential", scenario.cores, run.encoder, run.head)
        part = samples
        if run.labels < NUM_LABELS:
            part = make_samples(train.part(slice(0, run.labels)), "sequential", False, device)
        loss = teacher_loss("sequential", part)
        if run.alpha:
            loss = student_loss(teacher, part, run.temperature, run.alpha)
        fit(
            student, part, loss, validation, epochs=PASSES * NUM_LABELS // run.labels, seed=run.seed,
            description=f"student {number} of {len(chosen)}",
        )  # fmt: skip
        network = to_runtime(student)
        gap = mean_gap(network, test)
        kept = _kept_gap(network, test)
        results.append({"run": key, "parameters": num_parameters(student), "gap": gap, "kept_gap": kept})
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(markdown_table(results))
    return results


def _kept_gap(network: Any, test: Demonstrations) -> float:
    """Mean gap where the best of all schedules that were tried is kept."""
    decisions = NetworkPolicy(network).decide(test.instances)
    return float(optimality_gap(latency(test.instances, decisions, test.objective), test.latency_s).mean())


def markdown_table(results: list[dict[str, Any]]) -> str:
    """Mean gap and its 95 % interval over the seeds (two standard errors), for each kind of student."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for result in results:
        run = result["run"]
        groups.setdefault((result["parameters"], run["labels"], run["alpha"], run["temperature"]), []).append(result)
    lines = [
        "| parameters | labelled instances | learns from | temperature | gap % | gap % of the best schedule tried |"
    ]
    lines.append("|---:|---:|---|---:|---:|---:|")
    learns = {0.0: "labels", 0.5: "labels and teacher", 1.0: "teacher"}
    for (parameters, labels, alpha, temperature), group in sorted(groups.items()):
        shown = []
        for name in ("gap", "kept_gap"):
            values = 100 * np.array([result[name] for result in group])
            error = 2 * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
            shown.append(f"{values.mean():.2f} ± {error:.2f}")
        labelled = "none" if alpha == 1.0 else f"{labels:,}"
        lines.append(f"| {parameters:,} | {labelled} | {learns[alpha]} | {temperature:g} | {' | '.join(shown)} |")
    return "\n".join(lines)
