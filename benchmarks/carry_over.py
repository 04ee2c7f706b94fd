"""``python -m benchmarks carry-over``: how far from optimal the myopic expert is where work carries over."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.statistics import bootstrap_interval
from offload_gym.envs.joint import JointEnv
from offload_gym.policies import FunctionPolicy, Policy, make_policy
from offload_gym.progress import with_progress
from offload_gym.scenario import Scenario, make_scenario
from offload_gym.seeds import seed_for
from offload_gym.solvers.look_ahead import look_ahead

EPOCHS_S = (0.5, 1.0, 1.5, 2.0)
NUM_EPOCHS = 50
WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
POLICIES = ("greedy", "heft", "student", "greedy+flip")


def episode_latencies(
    policy: Policy, scenario: Scenario, num_episodes: int, seed: int, purpose: str, carry_over: bool = True
) -> NDArray[np.float64]:
    """(num_episodes,) mean latency of an episode's epochs in seconds. The draws are the same for every policy."""
    env = JointEnv(scenario, num_epochs=NUM_EPOCHS, carry_over=carry_over)
    means = np.empty(num_episodes)
    for episode in range(num_episodes):
        env.reset(seed=int(seed_for(purpose, seed, episode).generate_state(1)[0]))
        terminated, total_s = False, 0.0
        while not terminated:
            _, reward, terminated, _, _ = env.step(policy.decide(env.instances)[0])
            total_s -= reward
        means[episode] = total_s / NUM_EPOCHS
    return means


def best_weight(scenario: Scenario, num_episodes: int, seed: int) -> float:
    """The weight of the look-ahead search with the least mean latency on validation episodes."""
    values = {
        weight: episode_latencies(looking_ahead(scenario, weight), scenario, num_episodes, seed, "validation").mean()
        for weight in WEIGHTS
    }
    return min(values, key=lambda weight: values[weight])


def looking_ahead(scenario: Scenario, weight: float) -> Policy:
    """The look-ahead search as a policy."""
    return FunctionPolicy(partial(look_ahead, epoch_s=scenario.epoch_s, weight=weight))


def compare_carry_over(num_episodes: int, seed: int, epochs_s: Sequence[float] = EPOCHS_S) -> list[dict[str, Any]]:
    """Play episodes under several loads, print a table and return its rows.

    The loads are shared among processes as ``joblib.parallel_config`` says.
    """
    of_loads = Parallel()(
        delayed(_play)(epoch_s, num_episodes, seed) for epoch_s in with_progress(epochs_s, "loads", "load")
    )
    rows: list[dict[str, Any]] = [row for rows in of_loads for row in rows]
    _print(rows, num_episodes)
    return rows


def _play(epoch_s: float, num_episodes: int, seed: int) -> list[dict[str, Any]]:
    """The rows of one load."""
    scenario = make_scenario("default", epoch_s=epoch_s)
    weight = best_weight(scenario, max(num_episodes // 2, 1), seed)
    policies = {name: make_policy(name) for name in POLICIES}
    policies |= {"exact (myopic)": make_policy("exact"), "look-ahead": looking_ahead(scenario, weight)}
    means_s = {name: episode_latencies(p, scenario, num_episodes, seed, "test") for name, p in policies.items()}
    alone_s = episode_latencies(policies["exact (myopic)"], scenario, num_episodes, seed, "test", carry_over=False)
    myopic_s = means_s["exact (myopic)"]
    rows = []
    for name, values_s in means_s.items():
        over = (values_s - myopic_s) / myopic_s.mean()  # paired: the episodes are the same
        low, high = bootstrap_interval(over)
        rows.append(
            {
                "epoch_s": epoch_s,
                "policy": name,
                "latency_mean_s": float(values_s.mean()),
                "over_myopic": float(over.mean()),
                "over_myopic_low": low,
                "over_myopic_high": high,
                "weight": weight if name == "look-ahead" else None,
                "without_carry_over_s": float(alone_s.mean()),
            }
        )
    return rows


def _print(rows: list[dict[str, Any]], num_episodes: int) -> None:
    table = Table(
        title=f"work carries over: {num_episodes} test episodes of {NUM_EPOCHS} epochs",
        caption="Latency: mean of the epochs. Over myopic: against the per-epoch optimum, with the 95 % interval of "
        "the paired difference. Weight: of the work left, chosen on validation episodes.",
        box=box.SIMPLE_HEAD,
    )
    for header in ("epoch s", "policy", "latency s", "over myopic %", "weight", "myopic without carry-over s"):
        table.add_column(header, justify="left" if header == "policy" else "right", no_wrap=True)
    for row in rows:
        low, high = 100 * row["over_myopic_low"], 100 * row["over_myopic_high"]
        myopic = row["policy"] == "exact (myopic)"
        table.add_row(
            f"{row['epoch_s']:g}",
            row["policy"],
            f"{row['latency_mean_s']:.3f}",
            "0" if myopic else f"{100 * row['over_myopic']:+.2f} [{low:+.2f}, {high:+.2f}]",
            "" if row["weight"] is None else f"{row['weight']:g}",
            f"{row['without_carry_over_s']:.3f}" if myopic else "",
        )
    Console(width=max(Console().width, 120)).print(table)
