"""``python -m agents ablation``: what each choice in the training of a student is worth, changed one at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from agents.distillation import GAPS, NUM_LABELS, NUM_TEST, PASSES, SIZES, SWEPT, measure
from agents.imitation import MUON_LEARNING_RATE, fit, make_samples, soft_labels, teacher_loss
from agents.networks import TaskNetwork, pick_device, to_runtime
from offload_gym.demonstrations import generate_demonstrations
from offload_gym.scenario import make_scenario
from offload_gym.seeds import seed_for

ADAMW, ROLL_OUTS, ONE_LAYER = "AdamW for all weights", "roll-outs in the state", "one layer each, as many parameters"
LABEL_TEMPERATURES = {"labels of temperature 0.005": 0.005, "hard labels": 1e-9}
VARIANTS = ("as it is", ADAMW, ROLL_OUTS, ONE_LAYER, *LABEL_TEMPERATURES)


def ablation(seed: int, seeds: Sequence[int] = range(3)) -> dict[str, list[dict[str, float]]]:
    """Train a student as it is and with one thing changed at a time, print the table, and return results by variant."""
    scenario = make_scenario()
    encoder, head = SIZES[SWEPT + 1]
    train, test = (
        generate_demonstrations(scenario, size, seed_for(purpose, seed, 7))
        for size, purpose in ((NUM_LABELS, "training"), (NUM_TEST, "test"))
    )
    samples = make_samples(train, "sequential", False, pick_device("auto"))
    results: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    for number in seeds:
        for variant, rows in results.items():
            torch.manual_seed(number)
            sizes = ((16,), (44,)) if variant == ONE_LAYER else (encoder, head)
            student = TaskNetwork("sequential", scenario.cores, *sizes, roll_outs=variant == ROLL_OUTS)
            changed = samples
            if variant in LABEL_TEMPERATURES:
                temperature = LABEL_TEMPERATURES[variant]
                targets = torch.from_numpy(soft_labels(train.regret, temperature)).to(samples.targets)
                changed = samples._replace(targets=targets)
            rate = None if variant == ADAMW else MUON_LEARNING_RATE
            loss = teacher_loss("sequential", changed)
            fit(student, changed, loss, None, epochs=PASSES, muon_learning_rate=rate, seed=number, description=variant)
            rows.append(measure(to_runtime(student), test))
    print(f"| variant | {' | '.join(GAPS.values())} |\n|---|---:|---:|---:|")
    for variant, rows in results.items():
        gaps = [" ".join(f"{100 * row[name]:.2f}" for row in rows) for name in GAPS]
        print(f"| {variant} | {' | '.join(gaps)} |")
    return results
