"""Streams: the event kernel against the same loop in C and against SimPy, environments, and labels a second."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from benchmarks.speed import simpy_reference
from benchmarks.speed.c_reference import compile_stream_reference
from benchmarks.speed.environments import NATIVE, NUM_ENVS, NUM_SETS
from benchmarks.speed.rows import Row, Side, Target, compared
from benchmarks.speed.steps import step_rows, step_seconds
from benchmarks.speed.threads import SPEED_UP, judged_with, spinning, two_threads_row
from benchmarks.speed.timing import Effort, interleaved
from offload_gym.envs.stream import StreamEnv
from offload_gym.scenario import Scenario, make_scenario
from offload_gym.seeds import seed_for
from offload_gym.streams.labels import label_streams
from offload_gym.streams.planner import Effort as Trials
from offload_gym.streams.playing import play
from offload_gym.streams.policies import PlannerPolicy, PlanPolicy, make_stream_policy
from offload_gym.streams.responses import no_records, run_streams
from offload_gym.streams.sampling import sample_streams
from offload_gym.streams.streams import Streams
from offload_gym.streams.system import new_system

NUM_STREAMS = 256
# Devices of a crowd, 100 at a site, each with a job a second: half of what devices and spectrum can take.
CROWD, AT_SITE, CROWD_PER_S = 1000, 100, 1.0
CROWD_JOBS = 20_000  # of all streams together
SIZES = (8, 32, 128, CROWD)
CROWD_STEPS, SIMPY_ROUNDS = 2_000, 5
CROWD_TASKS_PER_S = 2e5
SIMPY_DEVICES, SIMPY_STREAMS = 8, 64  # many, as a processor learns the branches of few
AGREEMENT = 1e-9  # relative, as everywhere between twins of the stream model
TRIALS = Trials(num_futures=16, num_jobs=40, round_size=4, sure=3.0)
LABELLED_STREAMS, LABEL_SHARE = 16, 0.2
DECISIONS_PER_S, LABELS_PER_S = 1e6, 5e3


def measure_streams(effort: Effort, seed: int) -> list[Row]:
    """The rows of the group "streams"."""
    return [
        *_c_rows(effort, seed),
        _simpy_row(effort, seed),
        *_crowd_rows(effort, seed),
        _environment_row(effort, seed),
        *step_rows(("Stream",), effort, seed),
        _crowd_step_row(effort, seed),
        _label_row(effort, seed),
    ]


def at_sites(streams: Streams, num_sites: int) -> Streams:
    """The same streams with the devices at so many sites in turn, and edge server k at site k - 1."""
    batch = streams.batch
    site, servers = np.arange(streams.num_devices)[:, None] % num_sites, batch.servers.copy()
    servers["site"][:, :num_sites] = np.arange(num_sites)
    servers["home_propagation_s"] = servers["propagation_s"][:, :1]
    sites = np.repeat(site[None], len(streams), axis=0)
    return Streams.from_batch(batch._replace(sites=sites, servers=servers))


class Responses:
    """The event kernel on streams whose jobs greedy decided; with sites, see ``at_sites``."""

    def __init__(self, scenario: Scenario, size: int, seed: int, num_sites: int = 0) -> None:
        drawn = sample_streams(scenario, size, seed_for("test", seed, 7))
        self.streams: Streams = at_sites(drawn, num_sites) if num_sites > 0 else drawn
        self.decisions: NDArray[np.int64] = play(self.streams, make_stream_policy("greedy", scenario)).decisions
        self.response_s, self.energy_j = np.empty((2, *self.decisions.shape[:2]))
        self._system: tuple[Any, ...] = tuple(new_system(self.streams))
        self._records = no_records(size)

    def run(self) -> None:
        """Fill responses and joules."""
        given = self.streams.arrays, self._system, self.decisions
        run_streams(*given, 0, self.response_s, self.energy_j, self._records)

    def check(self, name: str, response_s: NDArray[np.float64]) -> None:
        """RuntimeError unless a reference has the same responses: else the times say nothing."""
        self.run()
        error = float(np.max(np.abs(response_s / self.response_s - 1)))
        if not error <= AGREEMENT:
            raise RuntimeError(f"{name} and offload_gym differ by a relative {error:.1e}; at most {AGREEMENT:.0e}")


def _c_rows(effort: Effort, seed: int) -> list[Row]:
    """One device and one-task jobs, one thread; no row where there is no C compiler."""
    reference = compile_stream_reference()
    if reference is None:
        return []
    ours, name = Responses(make_scenario("stream"), NUM_STREAMS, seed), "the same loop in C, -O3 -march=native"
    in_c, joules = np.empty((2, *ours.response_s.shape))

    def in_turn() -> None:
        reference.play(ours.streams, ours.decisions, in_c, joules)

    in_turn()
    ours.check(name, in_c)
    seconds = interleaved([ours.run, in_turn], effort)
    what = f"streams, event kernel, one device, {NUM_STREAMS} streams of one-task jobs, one thread"
    sides = Side(what, in_c.size, seconds[:, 0]), Side(name, in_c.size, seconds[:, 1])
    return [compared(*sides, "jobs", [Target("ratio", 0.5)])]


def _simpy_row(effort: Effort, seed: int) -> Row:
    """Eight devices that share the spectrum, one thread."""
    ours = Responses(make_scenario("stream", num_devices=SIMPY_DEVICES), SIMPY_STREAMS, seed)
    ours.check("SimPy", simpy_reference.response_times(ours.streams, ours.decisions))

    calls = (ours.run, lambda: simpy_reference.response_times(ours.streams, ours.decisions))
    seconds, jobs = interleaved(calls, effort), ours.response_s.size
    what = f"streams, event kernel, {SIMPY_DEVICES} devices, {SIMPY_STREAMS} streams of one-task jobs, one thread"
    sides = Side(what, jobs, seconds[:, 0]), Side("SimPy", jobs, seconds[:, 1])
    return compared(*sides, "jobs", [Target("ratio", 300)])


def _crowd(num_devices: int, seed: int) -> Responses:
    """Streams of so many devices at the sites that they need, of CROWD_JOBS jobs together."""
    size = max(1, CROWD_JOBS // max(200, 20 * num_devices))
    num_sites = -(-num_devices // AT_SITE)
    return Responses(_crowd_scenario(num_devices, CROWD_JOBS // size, num_sites), size, seed, num_sites)


def _crowd_scenario(num_devices: int, num_jobs: int, num_edges: int) -> Scenario:
    counts = {"num_devices": num_devices, "num_jobs": num_jobs, "num_edges": num_edges}
    return make_scenario("stream", arrivals_per_s=CROWD_PER_S, **counts)


def _crowd_rows(effort: Effort, seed: int) -> list[Row]:
    """Many devices at several sites: against SimPy, and what a job takes with more devices than one; one thread."""
    crowd, alone = _crowd(CROWD, seed), _crowd(1, seed)

    def in_simpy() -> NDArray[np.float64]:
        return simpy_reference.response_times(crowd.streams, crowd.decisions)

    crowd.check("SimPy", in_simpy())
    seconds = interleaved([crowd.run, in_simpy], effort._replace(num_rounds=min(effort.num_rounds, SIMPY_ROUNDS)))
    name = "streams, event kernel, devices: {}, sites: {}, one thread"
    sides = (
        Side(name.format(f"{CROWD:,}", -(-CROWD // AT_SITE)), crowd.response_s.size, seconds[:, 0]),
        Side("SimPy", crowd.response_s.size, seconds[:, 1]),
    )
    rows = [compared(*sides, "jobs", [Target("rate_per_s", CROWD_TASKS_PER_S), Target("ratio", 200)])]
    several = [_crowd(size, seed) for size in SIZES]
    seconds = interleaved([alone.run, *(ours.run for ours in several)], effort)
    one = Side("one device", alone.response_s.size, seconds[:, 0])
    for at, ours in enumerate(several, start=1):
        what = name.format(f"{ours.streams.num_devices:,}", -(-ours.streams.num_devices // AT_SITE))
        rows.append(compared(Side(what, ours.response_s.size, seconds[:, at]), one, "jobs"))
    return rows


def _crowd_step_row(effort: Effort, seed: int) -> Row:
    """One step of an environment of many devices, against one of a single device and as many servers."""
    envs = [StreamEnv(_crowd_scenario(size, CROWD_JOBS, CROWD // AT_SITE)) for size in (CROWD, 1)]
    seconds = np.array([[step_seconds(env, CROWD_STEPS, seed + r) for env in envs] for r in range(effort.num_rounds)])
    sides = (
        Side(f"Stream-v0, one step of a single environment, {CROWD:,} devices", 1, seconds[:, 0]),
        Side("one device and as many servers", 1, seconds[:, 1]),
    )
    return compared(*sides, "steps", [Target("ratio", 0.5)])


def _environment_row(effort: Effort, seed: int) -> Row:
    """Many environments in one, which go through their episodes."""
    native, sync = (_stepping(mode, seed) for mode in (NATIVE, "sync"))
    with spinning() as (on_two, on_one):
        seconds = interleaved([native, sync, on_two, on_one], effort)
    what = f"Stream-v0, {NUM_ENVS:,} streams in one, random actions, 2 threads"
    sides = Side(what, NUM_ENVS, seconds[:, 0]), Side('gym.make_vec, mode "sync"', NUM_ENVS, seconds[:, 1])
    row = compared(*sides, "decisions", [Target("rate_per_s", DECISIONS_PER_S)])
    return judged_with(row, float(np.median(seconds[:, 3] / seconds[:, 2])))


def _stepping(mode: str, seed: int) -> Callable[[], object]:
    threads: dict[str, Any] = {"num_threads": 2} if mode == NATIVE else {}
    envs = gym.make_vec("offload_gym/Stream-v0", NUM_ENVS, mode, **threads)
    envs.reset(seed=seed)
    envs.action_space.seed(seed)
    actions = cycle([envs.action_space.sample() for _ in range(NUM_SETS)])
    return lambda: envs.step(next(actions))


def _label_row(effort: Effort, seed: int) -> Row:
    """States whose choices are tried against sampled futures; what is played is what the base policy decides."""
    scenario = make_scenario("stream")
    base = make_stream_policy("queue-price", scenario)
    assert isinstance(base, PlanPolicy)
    planner = PlannerPolicy(scenario, base, TRIALS, "response", seed)

    def labelled(num_threads: int) -> int:
        source = seed_for("test", seed, 8)
        return len(label_streams(planner, base, LABELLED_STREAMS, source, LABEL_SHARE, num_threads=num_threads).costs)

    count = labelled(1)
    futures = f"{TRIALS.num_futures} futures of {TRIALS.num_jobs} jobs"
    what = f"labelled states, {scenario.num_locations} locations, {futures}, queue-price as base, 2 threads"
    targets = (Target("on_one_thread", LABELS_PER_S), Target("ratio", SPEED_UP))
    row = two_threads_row(what, "states", count, lambda: labelled(2), lambda: labelled(1), (), effort)
    figures = {"on_one_thread": row.reference_rate_per_s, **row.figures}
    # What one thread misses says something without a second core, too.
    judged = row.judged or row.reference_rate_per_s < LABELS_PER_S
    return row._replace(figures=figures, targets=targets, judged=judged)
