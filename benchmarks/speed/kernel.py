"""The delay kernel against the same loop in C and vectorised numpy, and on two threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks.speed import numpy_reference
from benchmarks.speed.c_reference import CReference, compile_reference
from benchmarks.speed.rows import Row, Side, Target, compared
from benchmarks.speed.threads import SPEED_UP, two_threads_row
from benchmarks.speed.timing import Effort, interleaved
from offload_gym.delay import (
    MAKESPAN,
    Problem,
    Room,
    Start,
    evaluate,
    latency,
    new_workspace,
    open_instance,
)
from offload_gym.instances import Instances
from offload_gym.sampling import sample_instances
from offload_gym.seeds import seed_for

BATCH = 4096
LARGE_BATCH = 2**17  # for the threads: one call is long against handing it over
# Sets of decisions that the calls go through: of one set alone a processor learns the branches.
NUM_SETS = 16
AGREEMENT = 1e-12  # relative
C_NAME = "the same loop in C, -O3 -march=native"

Decisions = NDArray[np.int64]


def measure_kernel(effort: Effort, seed: int) -> list[Row]:
    """The rows of the group "kernel"."""
    instances, decisions = prepare(BATCH, 8, seed)
    reference = compile_reference()
    rows = _batch_rows(instances, decisions, reference, effort)
    if reference is not None:
        rows.append(_search_row(instances, decisions, reference, effort))
    return [*rows, *_thread_rows(reference, effort, seed)]


def prepare(size: int, num_tasks: int, seed: int, num_sets: int = NUM_SETS) -> tuple[Instances, list[Decisions]]:
    """``size`` instances of the default scenario, and sets of random decisions for them."""
    instances = sample_instances({"name": "default", "num_tasks": num_tasks}, size, seed_for("test", seed))
    rng = np.random.default_rng(seed_for("test", seed, 1))
    shape = (size, num_tasks)
    return instances, [rng.integers(0, instances.num_locations, shape) for _ in range(num_sets)]


def one_thread(instances: Instances, decisions: Decisions) -> NDArray[np.float64]:
    """The package's public call, on one thread."""
    return latency(instances, decisions)


def _batch_rows(
    instances: Instances, decisions: list[Decisions], reference: CReference | None, effort: Effort
) -> list[Row]:
    """``latency`` of a batch: from the arrays of the instances and of the decisions to the makespans."""
    size, n = decisions[0].shape
    functions: dict[str, tuple[Callable[[Instances, Decisions], NDArray[np.float64]], float]] = {}
    if reference is not None:
        functions[C_NAME] = (reference.latency, 0.5)
    functions["vectorised numpy"] = (numpy_reference.latency, 10.0)
    for name, (function, _) in functions.items():
        check_agreement(name, function(instances, decisions[0]), latency(instances, decisions[0]))
    calls = [_in_turn(f, instances, decisions) for f in (one_thread, *(f for f, _ in functions.values()))]
    seconds = interleaved(calls, effort)
    what = f"delay kernel, batch of {size:,}, n = {n}, K = {instances.num_locations}, one thread"
    return [
        compared(
            Side(what, size, seconds[:, 0]),
            Side(name, size, seconds[:, column]),
            "decisions",
            [Target("ratio", bound)],
        )
        for column, (name, (_, bound)) in enumerate(functions.items(), start=1)
    ]


def _search_row(instances: Instances, decisions: list[Decisions], reference: CReference, effort: Effort) -> Row:
    """``evaluate`` as a search calls it: the stage times of one instance are known, and many decisions are tried."""
    problem, start, cores = opened(instances)
    size, n = decisions[0].shape
    room = Room(np.empty(n), np.empty_like(start.core_s))
    ours_s, theirs_s = np.empty(size), np.empty(size)
    in_turn = cycle(decisions)
    reference_in_turn = cycle(decisions)

    def ours() -> None:
        _evaluate_all(problem, next(in_turn), start, room, ours_s)

    def theirs() -> None:
        reference.search(problem, cores, start, next(reference_in_turn), theirs_s)

    ours()
    theirs()
    check_agreement(C_NAME, theirs_s, ours_s)
    seconds = interleaved([ours, theirs], effort)
    what = f"delay kernel in a search, n = {n}, K = {instances.num_locations}, one thread"
    ours_side, theirs_side = Side(what, size, seconds[:, 0]), Side(C_NAME, size, seconds[:, 1])
    return compared(ours_side, theirs_side, "decisions", [Target("ratio", 0.5)])


def _thread_rows(reference: CReference | None, effort: Effort, seed: int) -> list[Row]:
    """Two threads against one, and for comparison what two threads bring the loop in C on this machine."""
    instances, decisions = prepare(LARGE_BATCH, 8, seed, num_sets=2)
    half = len(instances) // 2
    parts = [(instances[rows], rows) for rows in (slice(0, half), slice(half, None))]
    functions = {"delay kernel": (one_thread, [Target("ratio", SPEED_UP)])}
    if reference is not None:
        functions["the loop in C"] = (reference.latency, [])
    rows = []
    with ThreadPoolExecutor(2) as pool:
        for name, (function, targets) in functions.items():

            def on_two(_: Instances, chosen: Decisions, function: Callable = function) -> None:
                for done in [pool.submit(function, part, chosen[rows]) for part, rows in parts]:
                    done.result()

            calls = (_in_turn(on_two, instances, decisions), _in_turn(function, instances, decisions))
            what = f"{name}, batch of {len(instances):,}, n = 8, 2 threads"
            rows.append(two_threads_row(what, "decisions", len(instances), *calls, targets, effort))
    return rows


def _in_turn(function: Callable, instances: Instances, decisions: list[Decisions]) -> Callable[[], object]:
    in_turn = cycle(decisions)
    return lambda: function(instances, next(in_turn))


def opened(instances: Instances) -> tuple[Problem, Start, NDArray[np.int64]]:
    """The first instance as a problem, the schedule before its first task, and its cores (K,)."""
    problem, start = open_instance(instances.batch, 0, new_workspace(instances.batch))
    return problem, start, instances.cores[0]


@njit(nogil=True)
def _evaluate_all(problem, decisions, start, room, makespan_s):
    for d in range(len(decisions)):
        makespan_s[d] = evaluate(problem, decisions[d], start, MAKESPAN, room)


def check_agreement(name: str, theirs: NDArray[np.float64], ours: NDArray[np.float64]) -> None:
    """RuntimeError unless both sides computed the same: else their times say nothing."""
    error = float(np.max(np.abs(theirs / ours - 1)))
    if not error <= AGREEMENT:
        raise RuntimeError(
            f"{name} and offload_gym differ by a relative {error:.1e}; at most {AGREEMENT:.0e} is allowed"
        )
