"""``python -m benchmarks policies``: the comparison from instances to table and plots."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.analysis import marked, print_table, shown_name, summarise, write_csv, write_json, write_markdown
from benchmarks.contenders import Contender, contenders
from benchmarks.measurement import measure, pooled
from benchmarks.plots import gantt_charts, gap_against_delay, latency_lines, learning_curves, profiles
from offload_gym import __version__
from offload_gym.checks import quoted
from offload_gym.delay import latency
from offload_gym.instances import TASK_FIELDS, Instances
from offload_gym.networks.policy import NetworkPolicy
from offload_gym.policies import Policy
from offload_gym.progress import with_progress
from offload_gym.sampling import sample_estimated, sample_instances
from offload_gym.scenario import Scenario
from offload_gym.seeds import seed_for
from offload_gym.solvers.exact import solve

PLOTTED = ("edge", "cloud", "greedy", "greedy+flip", "exact")
BESIDE_CURVES = ("greedy", "sequential-student", "sequential-teacher")
TASK_COUNTS = (2, 4, 6, 8, 10, 12)
PLOT_INSTANCES = 500
MAX_NODES = 5_000_000
REFERENCE = "greedy"  # as of streams, and not one that the test instances choose


class Outputs(NamedTuple):
    """Where to write what a comparison finds: three files and a folder, each of them None for nowhere."""

    json: str | None = None
    csv: str | None = None
    markdown: str | None = None
    plots: str | None = None

    def check(self) -> None:
        """ValueError where a file is a folder, or the other way round."""
        for path in (self.json, self.csv, self.markdown):
            if path is not None and Path(path).is_dir():
                raise ValueError(f"{path!r} is a folder; it must be a file")
        if self.plots is not None and Path(self.plots).is_file():
            raise ValueError(f"{self.plots!r} is a file; it must be a folder")


class Asked(NamedTuple):
    """What is compared, on how many instances."""

    seed: int = 0
    num_instances: int = 2000
    folders: Sequence[Path] = ()  # of trained policies; several: of the same training with different seeds
    transfer: bool = False  # take in what was trained for another scenario or objective
    observation_noise: float | str = 0.0  # in what policies see; the latency is that of the truth
    max_nodes: int = MAX_NODES  # where the exact search of an instance stops
    against: str = REFERENCE  # the policy to whose gaps there are differences


def compare(scenario: Scenario, objective: str, asked: Asked, outputs: Outputs | None = None) -> list[dict[str, Any]]:
    """Compare all policies that fit the scenario on fresh instances; returns the rows of the table.

    Raises:
        ValueError: an argument is out of its bounds, or the policy that is compared against takes no part.
    """
    outputs = outputs or Outputs()
    outputs.check()
    noise = asked.observation_noise
    instances, seen = sample_estimated(
        scenario, asked.num_instances, noise, seed_for("test", asked.seed), seed_for("test", asked.seed, 3)
    )
    listed = contenders(scenario, objective, instances, asked.folders, asked.transfer, noise)
    compared_against(asked.against, listed)  # before the work
    expert = solve(instances, objective, asked.max_nodes)
    open_share = 1 - float(expert.optimal.mean())
    if open_share:
        # Gaps are then against the best decision that the search found.
        print(
            f"left out exact: {open_share:.0%} of the instances are not proven optimal within {asked.max_nodes:,} nodes"
        )
        listed = [contender for contender in listed if contender.name != "exact"]
    key = compared_against(asked.against, listed)
    measured = pooled(measure(listed, instances, seen, expert, objective))
    against = next(one for one in measured if (one.name, one.shipped) == key)
    rows = [
        summarise(one, scenario, objective, noise, against) | {"seed": asked.seed, "version": __version__}
        for one in with_progress(measured, "summarising", "policy")
    ]
    written = []
    for path, write in ((outputs.json, write_json), (outputs.csv, write_csv), (outputs.markdown, write_markdown)):
        if path is not None:
            write(path, rows)
            written.append(path)
    if outputs.plots is not None:
        # Of several training seeds, the first.
        first = {(contender.name, contender.shipped): contender for contender in reversed(listed)}
        one_each = [contender for contender in listed if first[contender.name, contender.shipped] is contender]
        draw(Path(outputs.plots), rows, one_each, scenario, objective, asked.seed)
        written.append(f"{outputs.plots}/")
    print_table(rows)
    if any(contender.num_parameters and not contender.shipped for contender in listed):
        print(f"trained policies: {', '.join(f'{folder}/' for folder in asked.folders)}")
    if written:
        print(f"table and plots:  {', '.join(written)}")
    return rows


def compared_against(against: str, listed: Sequence[Contender]) -> tuple[str, bool]:
    """Name and ``shipped`` of the policy that a user named as tables do, or without their mark.

    Raises:
        ValueError: none has the name.
    """
    keys = [(contender.name, contender.shipped) for contender in listed]
    shown = {marked(*key): key for key in keys}
    found = shown.get(against) or next((key for key in keys if key[0] == against), None)
    if found is None:
        raise ValueError(f"against is {quoted(against)}; it must be one of {', '.join(shown)}")
    return found


def draw(
    folder: Path,
    rows: list[dict[str, Any]],
    listed: list[Contender],
    scenario: Scenario,
    objective: str,
    seed: int,
) -> None:
    """Write the plots of a comparison into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    gap_against_delay(folder / "gap_against_delay.png", rows)
    profiles(
        folder / "profiles.png",
        {shown_name(row): row for row in rows if "+" not in row["policy"]},
        "gap at most (%)",
        "share of instances",
    )
    learned = {
        contender.name: contender.policy.network.learning_curve
        for contender in listed
        if isinstance(contender.policy, NetworkPolicy) and contender.policy.network.learning_curve
    }
    if learned:
        lines = {row["policy"]: row["gap_mean"] for row in rows if row["policy"] in BESIDE_CURVES}  # on test instances
        learning_curves(folder / "learning_curves.png", learned, lines)
    names = [contender.name for contender in listed]
    student = "sequential-student" if "sequential-student" in names else "student"
    policies = {c.name: c.policy for c in listed if c.name in (*PLOTTED, student)}
    title = f"{scenario.label}, {objective}"

    if not scenario.dependent and scenario.max_tasks is None:
        _draw_task_counts(folder, policies, scenario, objective, seed)
    instances = sample_instances(scenario, PLOT_INSTANCES, seed_for("test", seed, 2))
    rates_mbps = np.geomspace(2, 160, 9)
    # The same instances at every rate.
    curves: dict[str, list[float]] = {name: [] for name in policies}
    for rate_mbps in rates_mbps:
        at_rate = with_uplink(instances, 1e6 * rate_mbps)
        for name, policy in policies.items():
            curves[name].append(float(latency(at_rate, policy.decide(at_rate), objective).mean()))
    latency_lines(
        folder / "latency_against_uplink.png",
        list(rates_mbps),
        _arrays(curves),
        "uplink rate (Mbit/s)",
        title,
        logarithmic=True,
    )

    shown = [name for name in ("greedy", student, "exact") if name in policies]
    decisions = {name: policies[name].decide(instances) for name in shown}
    # An instance on which greedy is clearly not optimal shows what there is to decide.
    values_s = {name: latency(instances, decision, objective) for name, decision in decisions.items()}
    index = int(np.argmin(np.abs(values_s["greedy"] / values_s["exact"] - 1.2)))
    gantt_charts(
        folder / "schedules.png",
        instances[index : index + 1],
        {name: decision[index] for name, decision in decisions.items()},
        objective,
    )


def _draw_task_counts(folder: Path, policies: dict[str, Policy], scenario: Scenario, objective: str, seed: int) -> None:
    """Latency against the number of independent tasks.

    The first n tasks of the same instances for every n: only what stands on the axis differs along a line.
    """
    largest = sample_instances(replace(scenario, num_tasks=max(TASK_COUNTS)), PLOT_INSTANCES, seed_for("test", seed, 1))
    curves: dict[str, list[float]] = {name: [] for name in policies}
    for num_tasks in TASK_COUNTS:
        instances = first_tasks(largest, num_tasks)
        with warnings.catch_warnings():
            # The student is also shown where it was not trained.
            warnings.filterwarnings("ignore", "the policy .*was trained on instances of")
            for name, policy in policies.items():
                curves[name].append(float(latency(instances, policy.decide(instances), objective).mean()))
    title = f"{scenario.label}, {objective}"
    latency_lines(folder / "latency_against_tasks.png", TASK_COUNTS, _arrays(curves), "tasks in the epoch", title)


def with_uplink(instances: Instances, uplink_bps: float) -> Instances:
    """The instances with another uplink rate to the first server; all radio rates keep their ratios to it."""
    factor = uplink_bps / instances.uplink_bps[:, 1:2]
    return instances.replace(uplink_bps=instances.uplink_bps * factor, downlink_bps=instances.downlink_bps * factor)


def first_tasks(instances: Instances, num_tasks: int) -> Instances:
    """The first tasks of each of the instances, which must have as many, independent of each other."""
    sizes = {name: getattr(instances, name)[:, :num_tasks] for name in TASK_FIELDS}
    return instances.replace(**sizes, task_counts=np.full(len(instances), num_tasks))


def _arrays(curves: dict[str, list[float]]) -> dict[str, np.ndarray]:
    return {name: np.array(values) for name, values in curves.items()}
