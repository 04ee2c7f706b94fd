"""The native vector environments against Gymnasium's loop over single ones, and what the kernels alone would allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numba import njit
from numpy.typing import NDArray

import offload_gym  # noqa: F401 (registers the environments)
from benchmarks.speed.rows import Row, Side, Target, compared
from benchmarks.speed.threads import judged_with, spinning
from benchmarks.speed.timing import Effort, interleaved
from offload_gym.delay import (
    MAKESPAN,
    Problem,
    Room,
    Start,
    Tally,
    copy_table,
    fill_problem,
    new_problem,
    place_tasks,
    start_schedule,
)
from offload_gym.instances import Batch, Instances
from offload_gym.observation import Epoch, epoch_scale, write_observation
from offload_gym.observation_layout import observation_size
from offload_gym.sampling import sample_instances
from offload_gym.scenario import make_scenario
from offload_gym.seeds import seed_for

NUM_ENVS = 1024
NUM_TASKS = 8
NATIVE = "vector_entry_point"
# Steps a second with a plain observation: 6 million tasks placed in Joint, 2 million in Sequential.
GOALS = {"Joint": 6e6 / NUM_TASKS, "Sequential": 2e6}
NUM_SETS = 16  # of random actions, which the calls go through; whole epochs of Sequential


def measure_environments(effort: Effort, seed: int) -> list[Row]:
    """The rows of the group "environments"."""
    return [row for name in ("Joint", "Sequential") for row in _rows(name, NUM_ENVS, effort, seed)]


def _rows(name: str, num_envs: int, effort: Effort, seed: int) -> list[Row]:
    """All sides in the same rounds, so that a noisy second falls on all of them."""
    native, plain = (stepping(name, NATIVE, seed, num_envs, NUM_TASKS, roll_outs=shown) for shown in (True, False))
    filled = stepping(name, NATIVE, seed, num_envs, NUM_TASKS, filled=True, roll_outs=False)
    halves, sync = half_steps(name, num_envs, seed), stepping(name, "sync", seed, num_envs, NUM_TASKS)
    joint = name == "Joint"
    bare, bare_plain = (bare_steps(joint, num_envs, seed, roll_outs) for roll_outs in (True, False))
    measured = (native, sync, bare, plain, filled, halves, bare_plain)
    with spinning() as (on_two, on_one):
        seconds = interleaved([*(one.call for one in measured), on_two, on_one], effort).T
    what, now = f"{name}-v0, {num_envs:,} environments in one, random actions, 2 threads", "plain observation"
    names = (
        what,
        'gym.make_vec, mode "sync"',
        "kernel and observation alone, 2 threads",
        f"{what}, {now}",
        f"{what}, {now}, out=",
        f"{what}, {now}, out=, two halves in turn",
        f"kernel and {now} alone, 2 threads",
    )
    of_all, by_loop, alone, of_plain, of_filled, of_halves, plain_alone = (
        Side(side, num_envs * one.num_steps, times) for side, one, times in zip(names, measured, seconds, strict=False)
    )
    arithmetic = float(np.median(seconds[-1] / seconds[-2]))
    goal = [Target("rate_per_s", GOALS[name])]
    rows = [
        compared(of_all, by_loop, "steps", [Target("ratio", 100)]),
        compared(of_all, alone, "steps", [Target("ratio", 0.5)]),
        judged_with(compared(of_plain, of_all._replace(name="with roll-outs"), "steps", goal), arithmetic),
        compared(of_plain, plain_alone, "steps", [Target("ratio", 0.5)]),
    ]
    new = of_plain._replace(name="new arrays in each step")
    return rows + [compared(side, new, "steps") for side in (of_filled, of_halves)]


class Stepping(NamedTuple):
    """Environments that step with random actions."""

    call: Callable[[], object]
    num_steps: int  # that each of them makes in a call


def stepping(
    name: str, mode: str, seed: int, num_envs: int, num_tasks: int, *, filled: bool = False, **options: Any
) -> Stepping:
    """``num_envs`` environments, made by ``gym.make_vec``, with actions that were drawn before.

    ``filled``: they fill arrays of the caller. The options are arguments of the environments.
    """
    threads = {"num_threads": 2} if mode == NATIVE else {}
    envs = _made(name, mode, num_envs, num_tasks, **threads, **options)
    envs.reset(seed=seed)
    actions = _drawn(envs, seed)
    step = partial(envs.step, out=envs.new_buffers()) if filled else envs.step
    num_steps = _call_steps(name, num_tasks)

    def run() -> None:
        for _ in range(num_steps):
            step(next(actions))

    return Stepping(run, num_steps)


def half_steps(name: str, num_envs: int, seed: int) -> Stepping:
    """Two times half of the environments with a thread each: while one half steps, the other is seen to."""
    halves = []
    for half in range(2):
        envs = _made(name, NATIVE, num_envs // 2, NUM_TASKS, num_threads=1, roll_outs=False)
        envs.reset(seed=seed + half)
        actions, out = _drawn(envs, seed + half), envs.new_buffers()
        envs.step_async(next(actions), out=out)
        halves.append((envs, actions, out))
    num_steps = _call_steps(name, NUM_TASKS)

    def run() -> None:
        for _ in range(num_steps):
            for envs, actions, out in halves:
                envs.step_wait()
                envs.step_async(next(actions), out=out)

    return Stepping(run, num_steps)


def _made(name: str, mode: str, num_envs: int, num_tasks: int, **options: Any) -> Any:
    scenario = {"name": "default", "num_tasks": num_tasks}
    return gym.make_vec(f"offload_gym/{name}-v0", num_envs, mode, scenario=scenario, **options)


def _drawn(envs: Any, seed: int) -> Iterator[NDArray[np.int64]]:
    envs.action_space.seed(seed)
    return cycle([envs.action_space.sample() for _ in range(NUM_SETS)])


def _call_steps(name: str, num_tasks: int) -> int:
    """Whole epochs: all environments end theirs in the same step, which takes longer than the others."""
    return num_tasks if name == "Sequential" else 1


class Epochs(NamedTuple):
    """N epochs that are played over and over; n tasks, K locations, up to M cores."""

    batch: Batch  # of independent tasks
    blank: Problem  # what is the same for all
    times: NDArray[np.float64]  # (N, n, K, 4)
    decision: NDArray[np.int64]  # (N, n)
    finish_s: NDArray[np.float64]  # (N, n)
    free_s: NDArray[np.float64]  # (N, K, M)
    tally: NDArray[np.float64]  # (N, 5) a ``Tally``
    scale_s: NDArray[np.float64]  # (N,)


def bare_steps(joint: bool, num_envs: int, seed: int, roll_outs: bool = True) -> Stepping:
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
    size = observation_size(NUM_TASKS, scenario.cores, roll_outs=roll_outs)
    observations = np.empty((num_envs, size), dtype=np.float32)
    open_all(epochs)
    half = num_envs // 2
    pool = ThreadPoolExecutor(2)

    def run() -> None:
        for part in [
            pool.submit(bare_step, epochs, start, stop, joint, roll_outs, actions, observations)
            for start, stop in ((0, half), (half, num_envs))
        ]:
            part.result()

    return Stepping(run, NUM_SETS)


def new_epochs(instances: Instances) -> Epochs:
    """Room for the epochs of a batch of independent tasks; ``open_all`` opens them."""
    N, n, K = len(instances), instances.num_tasks, instances.num_locations
    blank = new_problem(n, K, 0)
    blank.edge_start[:], blank.has_child[:] = 0, False
    return Epochs(
        batch=instances.batch,
        blank=blank,
        times=np.empty((N, n, K, 4)),
        decision=np.zeros((N, n), dtype=np.int64),
        finish_s=np.empty((N, n)),
        free_s=np.empty((N, K, instances.max_cores)),
        tally=np.empty((N, 5)),
        scale_s=np.empty(N),
    )


@njit(nogil=True)
def _prepare(epochs, b, problem, core_s):
    batch, room = epochs.batch, Room(epochs.finish_s[b], epochs.free_s[b])
    fill_problem(batch.tasks[b], batch.locations[b], batch.edge_bits[b], problem)
    start_schedule(batch.locations[b], batch.core_backlog_s[b], core_s)
    epochs.scale_s[b] = epoch_scale(problem, batch.radio_backlog_s[b], core_s, epochs.decision[b], room)
    copy_table(core_s, room.free_s)
    epochs.tally[b] = 0.0
    epochs.tally[b, 0] = batch.radio_backlog_s[b]


@njit(nogil=True)
def _problem(epochs, b):
    blank = epochs.blank
    return Problem(epochs.times[b], blank.edge_start, blank.edge_parent, blank.has_child, blank.moves, blank.prices)


@njit(nogil=True)
def open_all(epochs):
    """Prepare all epochs."""
    core_s = np.empty(epochs.free_s.shape[1:])
    for b in range(len(epochs.times)):
        _prepare(epochs, b, _problem(epochs, b), core_s)


@njit(nogil=True)
def bare_step(epochs, start, stop, joint, roll_outs, actions, observations):
    """Steps of the environments ``start``, ..., ``stop - 1`` with ``actions`` (S, N, n) or (S, N, 1)."""
    n = epochs.times.shape[1]
    core_s = np.empty(epochs.free_s.shape[1:])
    for step in range(len(actions)):
        first = 0 if joint else step % n
        last = n if joint else first + 1
        for b in range(start, stop):
            problem, tally = _problem(epochs, b), epochs.tally[b]
            for i in range(first, last):
                epochs.decision[b, i] = actions[step, b, i - first]
            so_far = Tally(tally[0], tally[1], tally[2], tally[3], tally[4])
            room = Room(epochs.finish_s[b], epochs.free_s[b])
            placed = place_tasks(problem, epochs.decision[b], first, last, so_far, MAKESPAN, room)
            for column, amount_s in enumerate(placed):
                tally[column] = amount_s
            if last == n:
                _prepare(epochs, b, problem, core_s)
            schedule = Start(last % n, tally[0], tally[2], room.free_s)
            epoch = Epoch(epochs.batch.locations[b], epochs.scale_s[b], roll_outs)
            write_observation(problem, epochs.decision[b], schedule, epoch, None, room.finish_s, n, observations[b])
