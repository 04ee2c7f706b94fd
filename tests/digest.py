"""A digest of everything the package computes, so that a change of structure can show that it changed no bit.

``python tests/digest.py`` prints the parts whose digest is not the recorded one (``tests/digests.json``), for 10,000
instances of each preset and objective; ``--write`` records them anew, after a change that is meant to change results.
The digests hold where the elementary functions of the machine give the numbers they gave when it was recorded; the part
"machine" tells, and a processor without fused multiply-add rounds the networks in another way.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import numpy as np
from numba import njit
from test_exports import in_c
from test_networks import random_network

import offload_gym
from offload_gym.delay import COMPLETION_OBJECTIVES
from offload_gym.demonstrations import label
from offload_gym.interop.pettingzoo import CellEnv
from offload_gym.networks.policy import NetworkPolicy
from offload_gym.observation import epoch_observations
from offload_gym.policies import GRAPH_PRESETS, SHIPPED, SHIPPED_PRESETS
from offload_gym.scenario import PRESETS
from offload_gym.streams.beliefs import draw_future_jobs, new_belief, observe_jobs
from offload_gym.streams.parameters import stream_parameters
from offload_gym.streams.rates import draw_future_rates

RECORD = Path(__file__).with_name("digests.json")
FULL, QUICK = 10_000, 300
MACHINE = "machine"
STREAMS = 20
C_PART = "C "  # what the parts begin with that need a C compiler
HAS_COMPILER = bool(shutil.which("gcc") or shutil.which("cc"))
STEPS = 200
# The presets of streams are drawn as streams.
OF_STREAMS = tuple(name for name in PRESETS if name.startswith("stream"))
OF_EPOCHS = tuple(name for name in PRESETS if name not in OF_STREAMS)
# Labels of every alternative take seconds an instance where the search has many tasks and no dynamic program.
SLOW_LABELS = {("partitioning", "mean"), ("partitioning", "cost"), ("augmented_reality", "cost")}
VARIANTS = {
    "any number of tasks": {"num_tasks": 2, "max_tasks": 9},
    "two edge servers": {"num_edges": 2, "num_tasks": 5},
    "priced": {"energy_weight_s_per_j": 0.3, "num_tasks": 6},
}
NETWORKS = [
    {"form": form, "activation": activation, "encoded": encoded}
    for form in ("sequential", "joint")
    for activation in ("relu", "tanh")
    for encoded in (True, False)
]


@njit
def _elementary(x):
    return np.array([math.log(x), math.exp(x), math.cos(x), math.sqrt(x), math.erfc(x)])


def machine() -> str:
    """A digest of numbers that this package has no hand in."""
    rng = np.random.default_rng(0)
    draws = [rng.random(1000), rng.standard_normal(1000), rng.exponential(1.0, 1000)]
    x = draws[0]
    return digest(*draws, np.exp(x), np.log1p(x), *(_elementary(value) for value in x[:200]))


def digest(*arrays: np.ndarray) -> str:
    """A short digest of shapes and bits."""
    state = hashlib.sha256()
    for array in arrays:
        given = np.ascontiguousarray(array)
        state.update(repr((given.shape, given.dtype.kind)).encode())
        # NaN has many bit patterns; padding is one of them here.
        state.update(np.where(np.isnan(given), 7.25, given).tobytes() if given.dtype.kind == "f" else given.tobytes())
    return state.hexdigest()[:16]


def _instances(scenario: str | dict, size: int, objective: str) -> offload_gym.Instances:
    given = scenario if isinstance(scenario, dict) else {"name": scenario}
    if objective == "cost":
        given = {"energy_weight_s_per_j": 0.2, **given}
    return offload_gym.sample_instances(given, size, seed=20261127)


def decided(size: int) -> Iterator[tuple[str, str]]:
    """Decisions, latencies, labels and observations of every preset and objective."""
    scenarios: dict[str, str | dict] = {name: name for name in OF_EPOCHS} | VARIANTS
    for name, scenario in scenarios.items():
        for objective in offload_gym.OBJECTIVES:
            what = f"{name}, {objective}"
            instances = _instances(scenario, size, objective)
            few = instances[: max(size // 10, 100)]
            greedy = offload_gym.make_policy("greedy").decide(instances)
            rng = np.random.default_rng(1)
            drawn = rng.integers(0, instances.num_locations, greedy.shape)
            yield (
                f"{what}: times",
                digest(
                    *(offload_gym.completion_times(instances, decisions) for decisions in (greedy, drawn)),
                    *(offload_gym.latency(instances, decisions, objective) for decisions in (greedy, drawn)),
                    *(offload_gym.energy(instances, decisions) for decisions in (greedy, drawn)),
                ),
            )
            limited = offload_gym.solve(few, objective, max_nodes=200)
            yield f"{what}: solutions with a limit", digest(*limited)
            if (name, objective) in SLOW_LABELS:
                continue
            yield f"{what}: solutions", digest(*offload_gym.solve(instances, objective))
            exploration = np.where(rng.random(greedy.shape) < 0.15, drawn, -1)
            labels = label(instances[: size // 2], objective, exploration[: size // 2])
            yield f"{what}: labels", digest(labels.decisions, labels.latency_s, labels.prefixes, labels.alternative_s)
            dependent = bool(instances.edge_parent.size)
            if objective in COMPLETION_OBJECTIVES:
                for shown in {dependent, True}:
                    seen = epoch_observations(instances[: size // 2], drawn[: size // 2], shown)
                    yield f"{what}: observations, dependent={shown}", digest(*seen)


def policies(size: int) -> Iterator[tuple[str, str]]:
    """Decisions of every built-in policy, and of networks of every kind."""
    for name in offload_gym.POLICY_NAMES:
        for objective in offload_gym.OBJECTIVES:
            for scenario in ("default", "multi_edge", "dag"):
                shipped = name in SHIPPED
                presets = (*SHIPPED_PRESETS, *(() if name.endswith("+roll-out") else GRAPH_PRESETS))
                if (
                    (shipped and (objective != "makespan" or scenario not in presets))
                    or (name.startswith("roll-out") and scenario == "dag")
                    or (name.startswith("roll-out") and objective not in COMPLETION_OBJECTIVES)
                ):
                    continue
                preset = scenario if shipped else "default"
                policy = offload_gym.make_policy(name, objective, seed=3, preset=preset)
                instances = _instances(scenario, size if shipped else size // 5, objective)
                yield f"policy {name}, {scenario}, {objective}", digest(policy.decide(instances))
    instances = _instances({"num_tasks": 5}, size // 5, "makespan")
    for kind in NETWORKS:
        for what, moves, objective in (("None", None, None), ("flip", "flip", None), ("mean+swap", "swap", "mean")):
            policy = NetworkPolicy(random_network(**kind), moves, objective=objective)
            yield f"network {kind}, {what}", digest(policy.decide(instances))
    for form in ("sequential", "joint"):
        network = random_network(form, roll_outs=False, objective="mean")
        for refine, keep_best in ((None, False), (None, True), ("roll-out", True), ("swap", True)):
            policy = NetworkPolicy(network, refine, keep_best)
            yield f"network {form} without roll-outs, {refine}, {keep_best}", digest(policy.decide(instances))


def environments() -> Iterator[tuple[str, str]]:
    """Steps of every environment."""
    variants: list[dict] = [{"scenario": name} for name in OF_EPOCHS]
    variants += [{"scenario": "default", "objective": objective} for objective in offload_gym.OBJECTIVES]
    variants += [{"scenario": "dag", "objective": "cost", "carry_over": True}, {"carry_over": True}]
    variants += [{"observation_noise": 0.3}, {"observation_noise": "last", "carry_over": True}]
    variants += [{"scenario": {"name": "default", **VARIANTS["any number of tasks"]}, "num_epochs": 3}]
    for form in ("Joint", "Sequential"):
        for arguments in variants:
            env = gym.make(f"offload_gym/{form}-v0", **arguments)
            env.action_space.seed(5)
            seen, _ = env.reset(seed=11)
            passed: list[np.ndarray] = [seen]
            for _ in range(STEPS):
                seen, reward, over, _, info = env.step(env.action_space.sample())
                passed += [seen, np.array([reward, over, *info.values()])]
                if over:
                    passed.append(env.reset()[0])
            yield f"{form} {arguments}", digest(*passed)
            envs = gym.make_vec(
                f"offload_gym/{form}-v0", num_envs=3, vectorization_mode="vector_entry_point", **arguments
            )
            envs.action_space.seed(5)
            passed = [envs.reset(seed=11)[0]]
            for _ in range(STEPS // 4):
                seen, reward, over, _, info = envs.step(envs.action_space.sample())
                passed += [seen, reward, over, *info.values()]
            yield f"vector {form} {arguments}", digest(*passed)
    for objective in ("makespan", "mean"):
        cell = CellEnv(num_devices=3, objective=objective)
        seen_by, _ = cell.reset(seed=11)
        passed = list(seen_by.values())
        rng = np.random.default_rng(5)
        for _ in range(STEPS):
            if not cell.agents:
                passed += cell.reset()[0].values()
            space = cell.action_space(cell.agents[0])
            actions = {agent: rng.integers(0, space.nvec) for agent in cell.agents}
            seen_by, rewards, *_ = cell.step(actions)
            passed += [*seen_by.values(), np.array(list(rewards.values()))]
        yield f"cell, {objective}", digest(*passed)


def streams() -> Iterator[tuple[str, str]]:
    """Streams of every preset of them and every process, and a future of each."""
    variants: list[dict] = [{"name": name, "num_devices": m} for name in OF_STREAMS for m in (1, 3)]
    variants += [{"name": "stream", "arrivals": kind, "arrivals_per_s": (2.0, 9.0)} for kind in ("bursty", "periodic")]
    variants += [{"name": "stream", "radio": "constant", "num_tasks": 2, "max_tasks": 3}]
    for changes in variants:
        drawn = offload_gym.sample_streams(changes, STREAMS, seed=11)
        scenario = offload_gym.make_scenario(**changes)
        parameters, _ = stream_parameters(scenario)
        for b in range(STREAMS):
            belief, now_s = new_belief(parameters, scenario.num_devices), drawn.arrival_s[b, 49]
            observe_jobs(parameters, belief, drawn.batch.jobs[b], 0, 50)
            draw_future_rates(parameters, np.uint64(b), drawn.batch, b, int(now_s / scenario.slot_s), 200)
            draw_future_jobs(parameters, np.uint64(b), belief, now_s, drawn.batch, b, 50, 100)
        jobs = [drawn.batch.jobs[name] for name in drawn.batch.jobs.dtype.names]
        yield f"streams {changes}", digest(*jobs, *drawn.batch[1:3], drawn.batch.uplink_bps, drawn.batch.downlink_bps)


def c_header(size: int) -> Iterator[tuple[str, str]]:
    """Decisions of the exported header, where there is a C compiler."""
    if not HAS_COMPILER:
        return
    with tempfile.TemporaryDirectory() as folder:
        for preset in SHIPPED_PRESETS:
            instances = _instances(preset, size, "makespan")
            for name in SHIPPED:
                if name.endswith(("+flip", "+swap")):
                    continue
                policy = offload_gym.make_policy(name, preset=preset)
                yield f"{C_PART}{name}, {preset}", digest(in_c(policy, instances, folder))


def digests(size: int) -> dict[str, str]:
    """All parts by name."""
    parts: dict[str, str] = {MACHINE: machine()}
    for part in (decided(size), policies(size), environments(), streams(), c_header(size)):
        parts.update(part)
    return parts


def differences(size: int) -> list[str]:
    """The parts whose digest is not the recorded one."""
    recorded, found = json.loads(RECORD.read_text())[str(size)], digests(size)
    names = {name for name in recorded.keys() | found.keys() if HAS_COMPILER or not name.startswith(C_PART)}
    return [name for name in names if recorded.get(name) != found.get(name)]


def main() -> None:
    """Compare with the record, or write it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--num-instances", type=int, choices=(FULL, QUICK), default=FULL)
    parser.add_argument("--write", action="store_true", help="record what is computed now")
    arguments = parser.parse_args()
    size = arguments.num_instances
    if arguments.write:
        record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        record[str(size)] = digests(size)
        RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
        print(f"recorded {len(record[str(size)])} parts")
        return
    different = differences(size)
    for name in sorted(different):
        print("differs:", name)
    print(f"{len(different)} of the parts differ")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
