"""Long runs: environments, solver and streams for as long as nobody watches them, without growth, NaN or drift.

``python tests/long_runs.py`` takes 1e8 steps of each environment's native vector form, 1e6 of the agents of each
PettingZoo environment, solves 1e6 instances, and plays a stream of 24 hours, with a recorded radio where ``--trace``
names one. It prints a line each: how much was done, how fast, and by how much the process grew after the first tenth;
the stream is played four times, and its line is of the last.
``--share 0.01`` does a hundredth of it, ``--only PATTERN`` what has the pattern in its name.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import gymnasium as gym
import numpy as np

import offload_gym

STEPS, TURNS, SOLVES, HOURS = 100_000_000, 1_000_000, 1_000_000, 24.0
NUM_ENVS, CHUNK, ACTIONS = 2_000, 5_000, 64
ENVIRONMENTS = {
    "Joint-v0": "default",
    "Sequential-v0": "default",
    "Stream-v0": "stream",
}
MOST_MIB = 8.0  # of growth: allocators keep a little more now and then


class Run(NamedTuple):
    """What a long run did."""

    what: str
    count: int
    per_s: float
    growth_mib: float  # of the process after the first tenth, or the times before


def resident_mib() -> float:
    """Memory of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def timed(what: str, count: int, chunks: Iterator[int]) -> Run:
    """Run chunks, each of which says how much it did, until ``count`` is done."""
    done, start, before_mib = 0, time.perf_counter(), None
    while done < count:
        done += next(chunks)
        if before_mib is None and done >= count // 10:
            before_mib = resident_mib()
    assert before_mib is not None
    grown = resident_mib() - before_mib
    assert grown < MOST_MIB, f"{what}: {grown:.1f} MiB more"
    return Run(what, done, done / (time.perf_counter() - start), resident_mib() - before_mib)


def steps_of(name: str, seed: int) -> Iterator[int]:
    """Steps of a native vector environment with random actions; all numbers are checked in each."""
    envs = gym.make_vec(
        f"offload_gym/{name}", num_envs=NUM_ENVS, vectorization_mode="vector_entry_point", scenario=ENVIRONMENTS[name]
    )
    envs.action_space.seed(seed)
    actions = [envs.action_space.sample() for _ in range(ACTIONS)]
    space, total = envs.single_observation_space, 0.0
    low, high = np.float32(space.low.min()), np.float32(space.high.max())
    envs.reset(seed=seed)
    while True:
        for action in actions:
            observation, reward, *_ = envs.step(action)
            smallest, largest = observation.min(), observation.max()
            # A comparison with NaN is false.
            assert low <= smallest <= largest <= high, f"{name}: observations from {smallest} to {largest}"
            total += reward.sum()
            assert np.isfinite(total), f"{name}: a reward is {reward[~np.isfinite(reward)][0]}"
        yield NUM_ENVS * ACTIONS


def finite(what: str, shown: object) -> None:
    """Observations of an agent are numbers."""
    for value in shown.values() if isinstance(shown, dict) else (shown,):
        assert np.isfinite(value).all(), f"{what}: an observation is {value}"


def turns_of_devices(seed: int) -> Iterator[int]:
    """Actions of the devices of a cell that act at once, in PettingZoo's parallel environment."""
    from offload_gym.interop.pettingzoo import parallel_env

    env = parallel_env(scenario="default", num_devices=8, num_epochs=10)
    for agent in env.possible_agents:
        env.action_space(agent).seed(seed)
    for episode in range(sys.maxsize):
        env.reset(seed=seed + episode)
        taken = 0
        while env.agents:
            taken += len(env.agents)
            observations, rewards, *_ = env.step({agent: env.action_space(agent).sample() for agent in env.agents})
            for agent, shown in observations.items():
                finite(agent, shown)
            assert np.isfinite(list(rewards.values())).all()
        yield taken


def turns_of_jobs(seed: int) -> Iterator[int]:
    """Actions of devices at which jobs arrive, in PettingZoo's AEC environment."""
    from offload_gym.interop.pettingzoo_streams import stream_env

    env = stream_env(scenario="stream_cell")
    random = np.random.default_rng(seed)
    for episode in range(sys.maxsize):
        env.reset(seed=seed + episode)
        taken = 0
        for agent in env.agent_iter():
            observation, reward, termination, truncation, _ = env.last()
            assert np.isfinite(reward)
            if termination or truncation:
                env.step(None)
                continue
            finite(agent, observation)
            env.step(int(random.integers(env.action_space(agent).n)))
            taken += 1
        yield taken


def solves(seed: int) -> Iterator[int]:
    """Exact solves of fresh instances."""
    for part in range(sys.maxsize):
        instances = offload_gym.sample_instances("default", CHUNK, seed + part)
        solutions = offload_gym.solve(instances)
        assert solutions.optimal.all()
        assert (solutions.latency_s == offload_gym.latency(instances, solutions.decisions)).all()
        assert (solutions.latency_s > 0).all()
        yield CHUNK


def long_stream(hours: float, trace: str | None) -> Run:
    """A stream of so many hours, played by the student, and its responses in its first and in its last tenth."""
    changes = {} if trace is None else {"radio": "trace", "trace_path": trace}
    rate = 2.0
    scenario = offload_gym.make_scenario("stream", arrivals_per_s=rate, num_jobs=int(hours * 3600 * rate), **changes)
    streams = offload_gym.sample_streams(scenario, 1, seed=5)
    policy = offload_gym.make_stream_policy("student", scenario)
    for _ in range(3):  # what it needs is there from then on, and room for two results
        played = offload_gym.play(streams, policy)
    start, before_mib = time.perf_counter(), resident_mib()
    played = offload_gym.play(streams, policy)
    took_s = time.perf_counter() - start
    grown_mib = resident_mib() - before_mib
    assert grown_mib < MOST_MIB, f"a stream: {grown_mib:.1f} MiB more"
    assert np.isfinite(played.response_s).all()
    assert (played.response_s > 0).all()
    tenth = scenario.num_jobs // 10
    first_s, last_s = played.response_s[0, :tenth].mean(), played.response_s[0, -tenth:].mean()
    told = f"mean response {first_s:.3f} s in its first tenth, {last_s:.3f} s in its last"
    what = f"jobs of a stream of {hours:g} h ({told})"
    return Run(what, scenario.num_jobs, scenario.num_jobs / took_s, grown_mib)


def runs(share: float, trace: str | None = None, only: str = "") -> Iterator[Run]:
    """The long runs whose names have ``only`` in them, or a share of each."""
    chosen = {f"steps of {name}": (STEPS, partial(steps_of, name, 3)) for name in ENVIRONMENTS}
    chosen["actions of devices in a cell"] = TURNS, partial(turns_of_devices, 11)
    chosen["actions of devices at which jobs arrive"] = TURNS, partial(turns_of_jobs, 13)
    chosen["exact solves"] = SOLVES, partial(solves, 7)
    for what, (count, chunks) in chosen.items():
        if only in what:
            yield timed(what, int(share * count), chunks())
    if only in "jobs of a stream":
        yield long_stream(share * HOURS, trace)


def main() -> None:
    """Print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the full length (default: %(default)s)")
    parser.add_argument("--trace", metavar="FILE", help="a recorded radio for the stream")
    parser.add_argument("--only", metavar="PATTERN", default="", help="run what has this in its name")
    options = parser.parse_args()
    found = False
    for run in runs(options.share, options.trace, options.only):
        found = True
        print(f"{run.count:>13,} {run.what}: {run.per_s:,.0f} a second, {run.growth_mib:+.1f} MiB", flush=True)
    if not found:
        parser.error(f"PATTERN is {options.only!r}; it must be in the name of a run, such as 'Stream' or 'actions'")


if __name__ == "__main__":
    main()
