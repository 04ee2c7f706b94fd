"""``python -m agents distillation``: does a student gain from its teacher? Trained from labels alone against distilled.

All students take about as many gradient steps and keep their last weights, so nothing is chosen on instances with
labels. Those that learn from the teacher have its scores on all training instances, and no label; those that learn from
labels have the expert's soft labels of all training instances, or of a few.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from agents.imitation import Samples, fit, make_samples, mean_gap, teacher_loss
from agents.networks import TaskNetwork, from_runtime, pick_device, to_runtime
from agents.student_loss import student_loss
from offload_gym.delay import latency, optimality_gap
from offload_gym.demonstrations import Demonstrations, generate_demonstrations
from offload_gym.files import keep_settings, replacing
from offload_gym.networks.policy import ROLL_OUT, NetworkPolicy
from offload_gym.networks.policy_file import Network, load_network, other_training
from offload_gym.scenario import make_scenario
from offload_gym.seeds import seed_for

NUM_LABELS, NUM_TEST = 60_000, 5_000
PASSES = 6  # over NUM_LABELS; over fewer labels as many more
SIZES = (
    ((4,), (5,)),
    ((8, 6), (10, 6)),
    ((12, 8), (16, 8)),
    ((16, 12), (32, 16)),
    ((32, 16), (64, 32)),
    ((64, 32), (160, 80)),
)
SWEPT = 2  # of the sizes: where alpha and temperature are swept
FEW_LABELS = (500, 5_000)
SEEDS = range(5)
T_QUANTILE = 2.776  # 97.5 % quantile of Student's t distribution with 4 degrees of freedom, for 5 seeds
FILE = "distillation.json"


class Run(NamedTuple):
    """One student of the study."""

    encoder: tuple[int, ...]
    head: tuple[int, ...]
    labels: int  # labelled instances it learns from, where alpha is below 1
    alpha: float  # weight of the teacher: 0 without one
    temperature: float
    seed: int


def runs() -> Iterator[Run]:
    """The students of the study in the order of their training."""
    for seed in SEEDS:
        for encoder, head in SIZES:
            for alpha in (0.0, 1.0):
                yield Run(encoder, head, NUM_LABELS, alpha, 1.0, seed)
        encoder, head = SIZES[SWEPT]
        yield Run(encoder, head, NUM_LABELS, 0.5, 1.0, seed)
        for temperature in (0.5, 2.0, 4.0):
            yield Run(encoder, head, NUM_LABELS, 1.0, temperature, seed)
        for encoder, head in SIZES[SWEPT : SWEPT + 2]:
            for labels in FEW_LABELS:
                yield Run(encoder, head, labels, 0.0, 1.0, seed)


def study(folder: Path, teacher_path: Path, seed: int) -> list[dict[str, Any]]:
    """Train the students that ``folder`` has no result of yet, and print the table; returns all results.

    Args:
        folder: of ``distillation.json``, which grows by one result a student, so that a run can be interrupted.
        teacher_path: a sequential network for the default scenario.
        seed: of the instances: neither those that the teacher learned from nor those that policies are compared on.

    Raises:
        ValueError: the teacher is something else, or the folder has results of another teacher, seed or study.
    """
    scenario = make_scenario()
    network = load_network(teacher_path)
    if network.form != "sequential" or network.cores != scenario.cores or not network.encoder:
        raise ValueError(f"{teacher_path} must be a sequential network with an encoder for cores {scenario.cores}")
    if other := other_training(network, scenario, "makespan"):
        raise ValueError(f"{teacher_path} was trained for {other}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    settings = {
        "seed": seed,
        "teacher": hashlib.sha256(teacher_path.read_bytes()).hexdigest(),
        "instances": [NUM_LABELS, NUM_TEST],
        "passes": PASSES,
        "sizes": SIZES,
    }
    keep_settings(folder / "settings.json", settings, FILE)
    results: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    done = [result["run"] for result in results]
    missing = [run for run in runs() if json.loads(json.dumps(run._asdict())) not in done]
    if missing:
        train, test = (
            generate_demonstrations(scenario, size, seed_for(purpose, seed, 7))
            for size, purpose in ((NUM_LABELS, "training"), (NUM_TEST, "test"))
        )
        samples = make_samples(train, "sequential", False, pick_device("auto"))
        for number, run in enumerate(missing, start=1):
            student = _train(run, from_runtime(network), samples, f"student {number} of {len(missing)}")
            results.append({"run": run._asdict(), **measure(to_runtime(student), test)})
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(markdown_table(json.loads(path.read_text(encoding="utf-8"))))
    return results


def _train(run: Run, teacher: TaskNetwork, samples: Samples, description: str) -> TaskNetwork:
    torch.manual_seed(run.seed)
    student = TaskNetwork("sequential", teacher.cores, run.encoder, run.head, roll_outs=False)
    if run.labels < NUM_LABELS:
        assert samples.labels is not None
        few = samples.labels.part(slice(0, run.labels))
        samples = make_samples(few, "sequential", False, samples.rows.device)
    loss = teacher_loss("sequential", samples)
    if run.alpha:
        loss = student_loss(teacher, samples, run.temperature, run.alpha)
    epochs = PASSES * NUM_LABELS // run.labels
    fit(student, samples, loss, None, epochs=epochs, seed=run.seed, description=description)
    return student


GAPS = {"own_gap": "own choices, gap %", "gap": "best kept, gap %", "roll_out_gap": "+roll-out, gap %"}


def measure(network: Network, test: Demonstrations) -> dict[str, float]:
    """Mean gaps: of the network's own choices, where the best schedule is kept, and where roll-outs are tried."""
    measured = {"parameters": network.num_parameters, "own_gap": mean_gap(network, test)}
    for name, refine in (("gap", None), ("roll_out_gap", None if network.roll_outs else ROLL_OUT)):
        decisions = NetworkPolicy(network, refine).decide(test.instances)
        latency_s = latency(test.instances, decisions, test.objective)
        measured[name] = float(optimality_gap(latency_s, test.latency_s).mean())
    return measured


def markdown_table(results: list[dict[str, Any]]) -> str:
    """Mean gap and its 95 % interval over the seeds, for each kind of student."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for result in results:
        run = result["run"]
        key = (result["parameters"], *run["encoder"], *run["head"]), run["labels"], run["alpha"], run["temperature"]
        groups.setdefault(key, []).append(result)
    lines = [f"| parameters | labelled instances | learns from | temperature | {' | '.join(GAPS.values())} |"]
    lines.append("|---:|---:|---|---:|---:|---:|---:|")
    learns = {0.0: "labels", 0.5: "labels and teacher", 1.0: "teacher"}
    for (size, labels, alpha, temperature), group in sorted(groups.items()):
        shown = []
        for name in GAPS:
            values = 100 * np.array([result[name] for result in group])
            error = T_QUANTILE * values.std(ddof=1) / np.sqrt(len(values)) if len(values) == len(SEEDS) else np.nan
            shown.append(f"{values.mean():.2f} ± {error:.2f}")
        labelled = "none" if alpha == 1.0 else f"{labels:,}"
        lines.append(f"| {size[0]:,} | {labelled} | {learns[alpha]} | {temperature:g} | {' | '.join(shown)} |")
    return "\n".join(lines)
