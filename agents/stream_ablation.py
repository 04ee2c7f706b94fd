"""``python -m agents stream-ablation``: what each part of learning on streams is worth.

All networks learn as those of ``agents.stream_learning`` do, with several seeds each, and are compared with greedy on
test streams, on which nothing is chosen. What differs is what they learn from: whose decisions, on whose states, after
how many rounds of policy iteration, and from labels or from a teacher. The number of streams that a round of labels
takes is the same for all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from agents.stream_learning import (
    Course,
    FreshStreams,
    StreamSettings,
    as_policy,
    begin_course,
    fit_network,
    iterate,
    kept_labels,
    new_folder,
    planned_labels,
    recent,
    state_weights,
)
from offload_gym.array_checks import check_count
from offload_gym.checks import quoted
from offload_gym.files import keep_settings, replacing
from offload_gym.progress import with_progress
from offload_gym.seeds import seed_for
from offload_gym.streams.cloning import decided_labels
from offload_gym.streams.hindsight import OBJECTIVES, hindsight
from offload_gym.streams.labels import StreamLabels, joined
from offload_gym.streams.sampling import sample_streams

_say = partial(print, flush=True)
FILE = "stream_ablation.json"
TEACHER = "teacher"
# So many times the futures, of so many times fewer states: about the same number of trials, as choices that are clearly
# worse meet no more futures.
MORE_FUTURES, FEWER_STATES = 8, 5


class Arm(NamedTuple):
    """Networks that learn from the same, each with a seed of its own."""

    name: str
    labels: StreamLabels
    hidden: Sequence[int]
    alpha: float = 0.0  # weight of a teacher's scores beside the labels; 0: there is no teacher
    more_passes: int = 1  # so many times those of the settings, where there are as many times fewer labels


def hindsight_labels(settings: StreamSettings) -> StreamLabels:
    """All decisions of someone who knows the future of as many training streams as a round has."""
    scenario = settings.scenario
    streams = sample_streams(scenario, settings.streams_a_round, seed_for("training", settings.seed, 0))
    can_drop = scenario.can_drop and settings.objective == "late"
    decisions = hindsight(streams, objective=settings.objective, can_drop=can_drop)
    return decided_labels(streams, decisions, scenario.can_drop)


def choices_alone(labels: StreamLabels, objective: str) -> StreamLabels:
    """The same states, of which it is told what is best, not what the other choices cost: all count the same."""
    best = labels.costs.argmin(axis=1)
    costs = np.where(np.isfinite(labels.costs), 1.0, np.inf)
    costs[np.arange(len(best)), best] = 0.0
    costs = costs / state_weights(labels, objective)  # with which they are weighed again
    return labels._replace(costs=costs.astype(np.float32))


def thinned(labels: StreamLabels, count: int) -> StreamLabels:
    """So many of the labels, evenly spaced."""
    rows = np.linspace(0, len(labels.costs) - 1, count).astype(np.int64)
    return StreamLabels(*(array[rows] for array in labels))


def make_arms(folder: Path, settings: StreamSettings, course: Course, report: Callable[[str], None]) -> list[Arm]:
    """What is compared; labels that are in the folder are not made anew."""
    base, rule = settings.base, course.best
    seen = kept_labels(folder / "labels-hindsight.npz", lambda: hindsight_labels(settings))
    arms = [Arm("hindsight", seen, base)]
    unexplored = replace(settings, explore=0.0)
    visited = kept_labels(folder / "labels-unexplored.npz", lambda: planned_labels(unexplored, rule, rule, 0))
    iterate(folder, [course], settings, report)
    rounds = course.rounds
    arms += [
        Arm("planner, states of the rule", visited, base),
        Arm("planner, states of the rule, some choices random", rounds[0].labels, base),
    ]

    def own_labels() -> StreamLabels:
        network = as_policy(fit_network(rounds[0].labels, base, settings, seed=0), "round 1", settings)
        return planned_labels(settings, rule, network, 1)

    def surer_labels() -> StreamLabels:
        share, num_futures = settings.share / FEWER_STATES, settings.num_futures * MORE_FUTURES
        return planned_labels(replace(settings, share=share, num_futures=num_futures), rule, rule, 0)

    surer = kept_labels(folder / "labels-surer.npz", surer_labels)
    arms += [
        Arm("planner, its choices alone", choices_alone(rounds[0].labels, settings.objective), base),
    ]
    few = thinned(rounds[0].labels, len(surer.costs))
    name = f"planner, {MORE_FUTURES} times the futures, a {FEWER_STATES}th of the states"
    arms += [
        Arm(name, surer, base, more_passes=FEWER_STATES),
        Arm("planner, as many of the states as these", few, base, more_passes=FEWER_STATES),
    ]
    own = kept_labels(folder / "labels-own.npz", own_labels)
    # On the streams of the own states: what is gained by more labels alone.
    more = kept_labels(folder / "labels-more.npz", lambda: planned_labels(settings, rule, rule, 1))
    arms += [
        Arm("planner, own states", own, base),
        Arm("planner, states of the rule and own states", joined([rounds[0].labels, own]), base),
        Arm("planner, states of the rule, twice the streams", joined([rounds[0].labels, more]), base),
    ]
    arms += [
        Arm(f"{number} rounds", recent(rounds[:number], settings.memory), base) for number in range(2, len(rounds) + 1)
    ]
    last = recent(rounds, settings.memory)
    arms.append(Arm(TEACHER, last, settings.teacher))
    for name, hidden in (("student", settings.student), ("small student", settings.small_student)):
        arms += [
            Arm(f"{name}, from labels", last, hidden),
            Arm(f"{name}, half from the teacher", last, hidden, 0.5),
            Arm(f"{name}, from the teacher alone", last, hidden, 1.0),
        ]
    return arms


def ablate(
    folder: str | Path,
    settings: StreamSettings,
    num_seeds: int = 3,
    num_test: int = 400,
    report: Callable[[str], None] = _say,
) -> list[dict[str, Any]]:
    """Train what the folder has no result of yet, print the table, and return its rows.

    Args:
        folder: of the labels and of ``stream_ablation.json``, which grows by one result a network, so that a run can be
            interrupted.
        settings: what is learned; ``rounds`` and ``streams_a_round`` say from how much.
        num_seeds: networks of each kind.
        num_test: test streams.
        report: is told what policy iteration reaches on validation streams.

    Returns:
        For each network ``arm``, ``seed``, ``labels``, ``parameters`` and ``change``, the share of greedy's cost that
        it costs more; the first row is the rule that all began with, without a seed.

    Raises:
        ValueError: an argument is out of its bounds, or the folder has results of other settings.
    """
    check_count("num_seeds", num_seeds)
    check_count("num_test", num_test)
    if settings.objective not in OBJECTIVES:
        raise ValueError(
            f"objective is {quoted(settings.objective)}; hindsight, from which is learned, too, knows "
            f"{' and '.join(OBJECTIVES)} alone"
        )
    folder = new_folder(folder)
    path = folder / FILE
    keep_settings(folder / "settings.json", asdict(settings) | {"num_test": num_test}, "*.npz", FILE)
    course = begin_course(settings)
    rule = course.best
    arms = make_arms(folder, settings, course, report)
    test = FreshStreams(settings, num_test, seed_for("test", settings.seed))
    results: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    if not results:
        results.append({"arm": rule.name, "seed": None, "labels": 0, "parameters": 0, "change": test.change(rule)})
    of_teacher = next(arm for arm in arms if arm.name == TEACHER)

    @cache
    def teacher(seed: int) -> Any:
        return fit_network(of_teacher.labels, of_teacher.hidden, settings, seed)

    done = {(row["arm"], row["seed"]) for row in results}
    missing = [(arm, seed) for seed in range(num_seeds) for arm in arms if (arm.name, seed) not in done]
    for arm, seed in with_progress(missing, "networks", "network"):
        module = teacher(seed)
        if arm.name != TEACHER:
            weighed = replace(settings, alpha=arm.alpha, passes=settings.passes * arm.more_passes)
            module = fit_network(arm.labels, arm.hidden, weighed, seed, teacher(seed) if arm.alpha else None)
        policy = as_policy(module, arm.name, settings)
        results.append(
            {
                "arm": arm.name,
                "seed": seed,
                "labels": len(arm.labels.costs),
                "parameters": policy.num_parameters,
                "change": test.change(policy),
            }
        )
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    order = [rule.name, *(arm.name for arm in arms)]
    _print(sorted(results, key=lambda row: order.index(row["arm"])), settings, num_test)
    return results


def _print(results: Sequence[dict[str, Any]], settings: StreamSettings, num_test: int) -> None:
    """A line for each arm: mean, least and most of its networks."""
    table = Table(
        title=f"{settings.scenario.label}, {settings.objective}: {num_test} test streams",
        caption="Change: what the objective counts over what it counts for greedy on the same streams, minus 1; mean, "
        "least and most of networks that differ in the seed of their training.",
        box=box.SIMPLE_HEAD,
    )
    for header in ("learns from", "labels", "parameters", "networks", "change %", "from", "to"):
        table.add_column(header, justify="left" if header == "learns from" else "right", no_wrap=True)
    for name in dict.fromkeys(row["arm"] for row in results):
        rows = [row for row in results if row["arm"] == name]
        changes = 100 * np.array([row["change"] for row in rows])
        sizes = [f"{rows[0][size]:,}" if rows[0][size] else "" for size in ("labels", "parameters")]
        spread = [f"{changes.mean():+.2f}", f"{changes.min():+.2f}", f"{changes.max():+.2f}"]
        trained = "" if rows[0]["seed"] is None else str(len(rows))
        table.add_row(name, *sizes, trained, *spread)
    Console(width=max(Console().width, 120)).print(table)
