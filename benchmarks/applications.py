"""``python -m benchmarks applications``: every preset of applications, drawn and decided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from offload_gym.applications.application import Application
from offload_gym.applications.cnns import CNN_NAMES
from offload_gym.delay import latency, optimality_gap, schedule
from offload_gym.envs.rendering import draw_application, draw_schedule
from offload_gym.files import replacing
from offload_gym.instances import Instances
from offload_gym.policies import make_policy
from offload_gym.progress import with_progress
from offload_gym.sampling import sample_instances
from offload_gym.scenario import Scenario, make_scenario
from offload_gym.seeds import seed_for
from offload_gym.solvers.exact import solve

SHOWN: dict[str, dict[str, Any]] = {
    "chain": {"name": "chain"},
    "fork_join": {"name": "fork_join"},
    "dag": {"name": "dag"},
    "face_recognition": {"name": "face_recognition"},
    "augmented_reality": {"name": "augmented_reality"},
    **{name: {"name": "partitioning", "applications": (name,)} for name in CNN_NAMES},
}
POLICIES = ("local", "edge", "cloud", "greedy", "heft", "greedy+flip", "beam-4", "beam-16")


def application_of(instances: Instances, b: int, like: Scenario) -> Application:
    """The application of one instance, with the names of the preset's tasks where it is one."""
    count, edges = int(instances.task_counts[b]), instances.edges_of(b)
    named = like.graphs[0] if len(like.graphs) == 1 else None
    return Application(
        name=named.name if named else like.name,
        input_bits=instances.input_bits[b, :count],  # type: ignore[arg-type]
        output_bits=instances.output_bits[b, :count],  # type: ignore[arg-type]
        workload_cycles=instances.workload_cycles[b, :count],  # type: ignore[arg-type]
        edges=edges,
        edge_bits=instances.edge_bits[b, : len(edges)],  # type: ignore[arg-type]
        task_names=named.task_names if named else (),
    )


def compare_applications(num_instances: int, seed: int, folder: Path | None) -> list[dict[str, Any]]:
    """Print how policies decide every preset, and draw one instance of each into ``folder``; returns the rows.

    The presets are shared among processes as ``joblib.parallel_config`` says.
    """
    if folder is not None:
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
    num_threads = None if effective_n_jobs() == 1 else 1
    rows: list[dict[str, Any]] = Parallel()(
        delayed(_decide)(name, num_instances, seed, folder, num_threads)
        for name in with_progress(SHOWN, "applications", "preset")
    )
    _print(rows, num_instances)
    return rows


def _decide(name: str, num_instances: int, seed: int, folder: Path | None, num_threads: int | None) -> dict[str, Any]:
    """The row of one preset."""
    scenario = make_scenario(**SHOWN[name])
    instances = sample_instances(scenario, num_instances, seed_for("test", seed))
    expert = solve(instances, num_threads=num_threads)
    there = instances.present
    if folder is not None:
        # The first instance with as many locations in use as any.
        used = [len(set(row[mask].tolist())) for row, mask in zip(expert.decisions, there, strict=True)]
        b = int(np.argmax(used))
        draw(folder / f"application_{name}.png", instances[b : b + 1], expert.decisions[b], scenario)
    share = np.bincount(expert.decisions[there], minlength=instances.num_locations) / there.sum()
    return {
        "application": name,
        "num_tasks": instances.num_tasks,
        "optimum_s": float(expert.latency_s.mean()),
        "share": (share[0], share[1:-1].sum(), share[-1]),
        "gaps": {
            policy: float(
                optimality_gap(latency(instances, make_policy(policy).decide(instances)), expert.latency_s).mean()
            )
            for policy in POLICIES
        },
    }


def draw(path: Path, instance: Instances, decision: np.ndarray, scenario: Scenario) -> None:
    """One application with its optimal decision, and the schedule of it."""
    count = int(instance.task_counts[0])
    figure = Figure(figsize=(11, 7.5), dpi=100, layout="constrained")
    above, below = figure.subplots(2, 1)
    application = application_of(instance, 0, scenario)
    draw_application(above, application, [int(k) for k in decision[:count]], instance.num_locations)
    latency_s = float(latency(instance, decision[None])[0])
    drawn = schedule(instance, decision)
    draw_schedule(below, drawn, latency_s, "makespan", legend=False, task_names=application.task_names)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def _print(rows: list[dict[str, Any]], num_instances: int) -> None:
    table = Table(
        title=f"applications, makespan, {num_instances} test instances each",
        caption="Where the optimum runs the tasks (device / edge servers / cloud), and mean gap of policies in %.",
        box=box.SIMPLE_HEAD,
    )
    for header in ("application", "n", "optimum ms", "device/edge/cloud %", *POLICIES):
        table.add_column(header, justify="left" if header == "application" else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["application"],
            str(row["num_tasks"]),
            f"{1e3 * row['optimum_s']:.0f}",
            " / ".join(f"{100 * share:.0f}" for share in row["share"]),
            *(f"{100 * row['gaps'][policy]:.1f}" for policy in POLICIES),
        )
    Console(width=max(Console().width, 140)).print(table)
