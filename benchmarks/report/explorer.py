"""One epoch's schedules over a grid of uplink rates, backlogs and numbers of tasks, which the page looks up."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from benchmarks.policies import first_tasks, with_uplink
from offload_gym.delay import Schedule, latency, optimality_gap, schedule
from offload_gym.instances import Instances
from offload_gym.policies import Policy, make_policy
from offload_gym.sampling import sample_instances
from offload_gym.seeds import seed_for

POLICIES = ("exact", "student", "greedy")
UPLINK_MBPS = (4, 5, 6.5, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80)  # what `default` draws from
BACKLOG_MS = (0, 50, 100, 150, 200, 300, 400, 600)
NUM_TASKS = tuple(range(2, 13))
OPENS_AT = (16, 100, 8)  # Mbit/s, ms, tasks
GREEDY_GAP = 0.2  # where the page opens: there is something to see
EPOCHS = 200  # of which one is chosen


def explorer(seed: int) -> dict[str, Any]:
    """The grid, the epoch and the schedules, as plain numbers.

    "points" holds a list for each rate, in it one for each backlog, in it one for each number of tasks: a list of
    ``encoded`` schedules, one for each policy.
    """
    policies = {name: make_policy(name) for name in POLICIES}
    chosen = chosen_epoch(seed, policies)
    grid = [(mbps, ms) for mbps in UPLINK_MBPS for ms in BACKLOG_MS]
    points: list[list[list[list[int]]]] = [[] for _ in grid]
    for num_tasks in NUM_TASKS:
        batch = Instances.concatenate(epoch_at(chosen, mbps, ms, num_tasks) for mbps, ms in grid)
        decisions = _decisions(policies, batch)
        seconds = {name: latency(batch, decided) for name, decided in decisions.items()}
        gaps = {name: optimality_gap(values_s, seconds["exact"]) for name, values_s in seconds.items()}
        for b, point in enumerate(points):
            point.append(
                [
                    encoded(seconds[name][b], gaps[name][b], schedule(batch, decided[b], b))
                    for name, decided in decisions.items()
                ]
            )
    in_rows = [points[i : i + len(BACKLOG_MS)] for i in range(0, len(points), len(BACKLOG_MS))]
    cores = chosen.cores[0].tolist()
    return {
        "policies": POLICIES,
        "uplink_mbps": UPLINK_MBPS,
        "backlog_ms": BACKLOG_MS,
        "num_tasks": NUM_TASKS,
        "opens_at": [values.index(value) for values, value in zip(_AXES, OPENS_AT, strict=True)],
        "locations": [
            {"name": name, "cores": count, "ghz": round(hz / 1e9, 2)}
            for name, count, hz in zip(("device", "edge", "cloud"), cores, chosen.cpu_hz[0].tolist(), strict=True)
        ],
        "device_backlog_ms": round(1e3 * float(chosen.backlog_s[0, 0]), 1),
        "downlink_ratio": round(float(chosen.downlink_bps[0, 1] / chosen.uplink_bps[0, 1]), 2),
        "points": in_rows,
    }


_AXES: tuple[tuple[float, ...], ...] = (UPLINK_MBPS, BACKLOG_MS, NUM_TASKS)


def chosen_epoch(seed: int, policies: dict[str, Policy]) -> Instances:
    """The one of fresh epochs on which greedy is nearest to ``GREEDY_GAP`` where the page opens."""
    drawn = sample_instances({"num_tasks": max(NUM_TASKS)}, EPOCHS, seed_for("test", seed, 4))
    opening = Instances.concatenate(epoch_at(drawn[b : b + 1], *OPENS_AT) for b in range(EPOCHS))
    seconds = {name: latency(opening, policies[name].decide(opening)) for name in ("exact", "greedy")}
    index = int(np.argmin(np.abs(optimality_gap(seconds["greedy"], seconds["exact"]) - GREEDY_GAP)))
    return drawn[index : index + 1]


def epoch_at(epoch: Instances, uplink_mbps: float, backlog_ms: float, num_tasks: int) -> Instances:
    """The epoch with another uplink rate (the downlink keeps its ratio), edge backlog, and its first tasks only."""
    backlog_s = epoch.backlog_s.copy()
    backlog_s[:, 1:-1] = backlog_ms / 1e3
    return first_tasks(with_uplink(epoch, 1e6 * uplink_mbps), num_tasks).replace(backlog_s=backlog_s)


def encoded(latency_s: float, gap: float, drawn: Schedule) -> list[int]:
    """Latency in us, gap in millionths, then for each task: location, core, and five times in 0.1 ms.

    The times are those at which its data starts and ends on the radio (-1 where it sends none), its run starts and
    ends, and its result is back.
    """
    numbers = [round(1e6 * float(latency_s)), round(1e6 * float(gap))]
    for location, core, *times_s in zip(*drawn[:7], strict=True):
        numbers += [int(location), int(core), *(-1 if np.isnan(t) else round(1e4 * float(t)) for t in times_s)]
    return numbers


def _decisions(policies: dict[str, Policy], batch: Instances) -> dict[str, np.ndarray]:
    with warnings.catch_warnings():
        # The student is also shown where it was not trained; the page says so.
        warnings.filterwarnings("ignore", "the policy .*was trained on")
        return {name: policy.decide(batch) for name, policy in policies.items()}
