"""The native vector environments against Gymnasium's loop over single ones, and what the kernels alone would allow."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numba import njit
from numpy.typing import NDArray

import offload_gym  # noqa: F401 (registers the environments)
from benchmarks.speed.rows import Row, Target, compared
from benchmarks.speed.timing import Effort, interleaved
from offload_gym.delay import Problem, place_tasks
from offload_gym.instances import Instances
from offload_gym.observation import open_epoch, write_observation
from offload_gym.observation_layout import observation_size
from offload_gym.sampling import sample_instances
from offload_gym.scenario import make_scenario
from offload_gym.seeds import seed_for

NUM_ENVS = 1024
NUM_TASKS = 8
NUM_SETS = 16  # of random actions, which the calls go through; whole epochs of Sequential


def measure_environments(effort: Effort, seed: int) -> list[Row]:
    """The rows of the group "environments"."""
    return [row for name in ("Joint", "Sequential") for row in _rows(name, NUM_ENVS, effort, seed)]


def _rows(name: str, num_envs: int, effort: Effort, seed: int) -> list[Row]:
    native = stepping(name, "vector_entry_point", seed, num_envs, NUM_TASKS)
    sync = stepping(name, "sync", seed, num_envs, NUM_TASKS)
    bare = bare_steps(name == "Joint", num_envs, seed)
    seconds = interleaved([native.call, sync.call, bare.call], effort)
    what, steps = f"{name}-v0, {num_envs:,} environments in one, random actions, 2 threads", num_envs * native.num_steps
    return [
        compared(
            what, "steps", steps, seconds[:, 0], 'gym.make_vec, mode "sync"', steps,
            seconds[:, 1], [Target("ratio", 100)],
        ),
        compared(
            what, "steps", steps, seconds[:, 0], "kernel and observation alone, 2 threads", num_envs * bare.num_steps,
            seconds[:, 2], [Target("ratio", 0.5)],
        ),
    ]  # fmt: skip


class Stepping(NamedTuple):
    """Environments that step with random actions."""

    call: Callable[[], object]
    num_steps: int  # that each of them makes in a call


def stepping(name: str, mode: str, seed: int, num_envs: int, num_tasks: int) -> Stepping:
    """``num_envs`` environments, made by ``gym.make_vec``, with actions that were drawn before."""
    scenario = {"name": "default", "num_tasks": num_tasks}
    threads: dict[str, Any] = {"num_threads": 2} if mode == "vector_entry_point" else {}
    envs = gym.make_vec(
        f"offload_gym/{name}-v0", num_envs=num_envs, vectorization_mode=mode, scenario=scenario, **threads
    )
    envs.reset(seed=seed)
    envs.action_space.seed(seed)
    actions = cycle([envs.action_space.sample() for _ in range(NUM_SETS)])
    # Whole epochs: all environments end theirs in the same step, which takes longer than the others.
    num_steps = num_tasks if name == "Sequential" else 1

    def run() -> None:
        for _ in range(num_steps):
            envs.step(next(actions))

    return Stepping(run, num_steps)


class Epochs(NamedTuple):
    """N epochs that are played over and over; n tasks, K locations, up to M cores."""

    tasks: NDArray[np.float64]  # (N, n, 3)
    locations: NDArray[np.float64]  # (N, K, 6)
    core_backlog_s: NDArray[np.float64]  # (N, K, 1)
    radio_backlog_s: NDArray[np.float64]  # (N,)
    edge_start: NDArray[np.int64]  # (N, n + 1), all 0: the tasks are independent
    edge_parent: NDArray[np.int64]  # (N, 0)
    edge_bits: NDArray[np.float64]  # (N, 0)
    has_child: NDArray[np.bool_]  # (n,)
    moves: NDArray[np.float64]  # (0, K, K, 2)
    prices: NDArray[np.float64]  # (2,)
    times: NDArray[np.float64]  # (N, n, K, 4)
    decision: NDArray[np.int64]  # (N, n)
    finish_s: NDArray[np.float64]  # (N, n)
    free_s: NDArray[np.float64]  # (N, K, M)
    schedule: NDArray[np.float64]  # (N, 3) scale, radio free, makespan


def bare_steps(joint: bool, num_envs: int, seed: int) -> Stepping:
    """``NUM_SETS`` steps of ``num_envs`` environments, with kernel and observation alone.

    A step places all tasks of the epoch (Joint) or the next one (Sequential), and writes the observation. Where the
    epoch is complete, the next one is prepared first: stage times, and greedy earliest completion, which gives the
    observation its scale. Nothing is drawn (the same tasks come again), there are no rewards and infos, and all steps
    are one call of a kernel, for half of the environments on each of two threads.
    """
    scenario = make_scenario("default", num_tasks=NUM_TASKS)
    instances = sample_instances(scenario, num_envs, seed_for("test", seed, 5))
    epochs = new_epochs(instances)
    rng = np.random.default_rng(seed_for("test", seed, 6))
    actions = rng.integers(0, instances.num_locations, (NUM_SETS, num_envs, NUM_TASKS if joint else 1))
    observations = np.empty((num_envs, observation_size(NUM_TASKS, scenario.cores)), dtype=np.float32)
    open_all(epochs)
    half = num_envs // 2
    pool = ThreadPoolExecutor(2)

    def run() -> None:
        for part in [
            pool.submit(bare_step, epochs, start, stop, joint, actions, observations)
            for start, stop in ((0, half), (half, num_envs))
        ]:
            part.result()

    return Stepping(run, NUM_SETS)


def new_epochs(instances: Instances) -> Epochs:
    """Room for the epochs of a batch of independent tasks; ``open_all`` opens them."""
    N, n, K = len(instances), instances.num_tasks, instances.num_locations
    tasks, locations, core_backlog_s, radio_backlog_s, _, edge_start, edge_parent, edge_bits = instances.arrays
    return Epochs(
        tasks, locations, core_backlog_s, radio_backlog_s, edge_start, edge_parent, edge_bits,
        has_child=np.zeros(n, dtype=np.bool_),
        moves=np.empty((0, K, K, 2)),
        prices=np.zeros(2),
        times=np.empty((N, n, K, 4)),
        decision=np.zeros((N, n), dtype=np.int64),
        finish_s=np.empty((N, n)),
        free_s=np.empty((N, K, instances.max_cores)),
        schedule=np.empty((N, 3)),
    )  # fmt: skip


@njit(nogil=True)
def _prepare(epochs, b, problem):
    epochs.schedule[b, 0] = open_epoch(
        epochs.tasks[b], epochs.locations[b], epochs.core_backlog_s[b], epochs.radio_backlog_s[b], epochs.edge_bits[b],
        problem, epochs.finish_s[b], epochs.free_s[b], epochs.decision[b],
    )  # fmt: skip
    epochs.schedule[b, 1] = epochs.radio_backlog_s[b]
    epochs.schedule[b, 2] = 0.0


@njit(nogil=True)
def _problem(epochs, b):
    return Problem(
        epochs.times[b], epochs.edge_start[b], epochs.edge_parent[b], epochs.has_child, epochs.moves, epochs.prices
    )


@njit(nogil=True)
def open_all(epochs):
    """Prepare all epochs."""
    for b in range(len(epochs.tasks)):
        _prepare(epochs, b, _problem(epochs, b))


@njit(nogil=True)
def bare_step(epochs, start, stop, joint, actions, observations):
    """Steps of the environments ``start``, ..., ``stop - 1`` with ``actions`` (S, N, n) or (S, N, 1)."""
    n = epochs.tasks.shape[1]
    for step in range(len(actions)):
        first = 0 if joint else step % n
        last = n if joint else first + 1
        for b in range(start, stop):
            problem = _problem(epochs, b)
            for i in range(first, last):
                epochs.decision[b, i] = actions[step, b, i - first]
            placed = place_tasks(
                problem, epochs.decision[b], first, last, epochs.schedule[b, 1], epochs.schedule[b, 2],
                epochs.finish_s[b], epochs.free_s[b],
            )  # fmt: skip
            epochs.schedule[b, 1], epochs.schedule[b, 2] = placed[0], placed[1]
            if last == n:
                _prepare(epochs, b, problem)
            write_observation(
                problem, epochs.locations[b], None, last % n, n, epochs.decision[b], epochs.finish_s[b],
                epochs.schedule[b, 1], epochs.schedule[b, 2], epochs.free_s[b], epochs.schedule[b, 0], observations[b],
            )  # fmt: skip
