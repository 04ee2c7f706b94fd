"""Demonstrations: instances with the expert's decisions and what each alternative costs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import NDArray

from offload_gym.checks import as_path, check_flag, quoted
from offload_gym.compilation import kernel
from offload_gym.delay import (
    Room,
    Start,
    accumulate,
    check_decisions,
    energy_price,
    extend,
    is_priced,
    new_workspace,
    objective_code,
    open_decision,
    open_instance,
    place,
    seconds,
    take,
)
from offload_gym.files import read_npz, replacing
from offload_gym.instances import LOCATION_FIELDS, POWER_FIELDS, TASK_FIELDS, Batch, Instances, check_instances
from offload_gym.lending import lent
from offload_gym.progress import progress_bar
from offload_gym.sampling import sample_estimated
from offload_gym.scenario import Scenario
from offload_gym.seeds import as_seed_sequence
from offload_gym.solvers.exact import UNLIMITED, solve, solve_one
from offload_gym.solvers.parallel import check_threads, for_each_chunk
from offload_gym.solvers.stopping import Budget, new_stop, raise_pending

FORMAT = "offload_gym.demonstrations/2"
CHUNK = 250  # instances that a thread labels at a time


class Demonstrations(NamedTuple):
    """B labelled instances of n tasks and K locations.

    ``alternative_s[b, i, k]`` is the least latency (seconds, under ``objective``) that can be reached once tasks
    0..i-1 are at ``prefixes[b, :i]`` and task i is at k. Its excess over the least over k is the regret of that choice.
    The prefixes are optimal for some instances and contain random choices for others, so that learners also see
    schedules that the expert would not have built. For padding, where an instance has fewer than n tasks,
    ``decisions`` and ``prefixes`` are 0 and ``alternative_s`` is NaN.

    Labels of the optimal decisions alone have no ``alternative_s``, and the decisions as their prefixes.

    Attributes:
        instances: B instances, as they are.
        objective: one of ``offload_gym.OBJECTIVES``.
        decisions: (B, n) optimal decisions.
        latency_s: (B,) seconds of the optimal decisions under the objective.
        prefixes: (B, n) decisions, see above.
        alternative_s: (B, n, K) seconds, see above, or None.
        estimates: what a policy sees instead of the instances, where it sees estimates, or None; labels and latencies
            are of the instances.
    """

    instances: Instances
    objective: str
    decisions: NDArray[np.int64]
    latency_s: NDArray[np.float64]
    prefixes: NDArray[np.int64]
    alternative_s: NDArray[np.float64] | None
    estimates: Instances | None = None

    @property
    def seen(self) -> Instances:
        """What a policy sees."""
        return self.instances if self.estimates is None else self.estimates

    def part(self, rows: slice | NDArray) -> Demonstrations:
        """The demonstrations of a slice, an index array or a mask of the instances."""
        return self._replace(
            instances=self.instances[rows],
            decisions=self.decisions[rows],
            latency_s=self.latency_s[rows],
            prefixes=self.prefixes[rows],
            alternative_s=None if self.alternative_s is None else self.alternative_s[rows],
            estimates=None if self.estimates is None else self.estimates[rows],
        )

    @property
    def regret(self) -> NDArray[np.float64]:
        """(B, n, K) regret of each choice relative to the best one at that step; 0.02 means 2 % more latency.

        NaN for padding. ValueError where the labels are the optimal decisions alone.
        """
        if self.alternative_s is None:
            raise ValueError("the demonstrations have no alternative_s; they must be labelled with alternatives=True")
        least_s = self.alternative_s.min(axis=2, keepdims=True)
        return self.alternative_s / np.where(least_s > 0, least_s, 1.0) - (least_s > 0)


class Labels(NamedTuple):
    """What the labelling kernel fills, as in ``Demonstrations``."""

    decisions: NDArray[np.int64]  # (B, n)
    latency_s: NDArray[np.float64]  # (B,)
    prefixes: NDArray[np.int64]  # (B, n)
    alternative_s: NDArray[np.float64]  # (B, n, K)


@kernel
def _solve_behind(problem, decision, start, objective, budget, graphs, room):
    """``solve_one``, compiled once for the two that call it."""
    return solve_one(problem, decision, start, objective, budget, graphs, False, room)


@kernel
def _label(arrays, objective, explore, graphs, stop, labels):
    """Fill ``labels`` until ``stop``; ``explore`` (B, n) is the location to take at a step, or -1 for the best one.

    ``graphs`` is as in ``Budget``.
    """
    batch, labels = lent(Batch(*arrays)), lent(Labels(*labels))
    memory, steps = new_workspace(batch), np.zeros(1, np.int64)
    num_locations = batch.locations.shape[1]
    values_s = np.empty(num_locations)
    for b in range(len(explore)):
        if stop[0]:
            break
        work, budget = lent(memory), lent(Budget(UNLIMITED, stop, steps, graphs))
        problem, start = open_instance(batch, b, work)
        decision, prefix = open_decision(batch, b, labels.decisions), open_decision(batch, b, labels.prefixes)
        count, alternative_s = len(decision), labels.alternative_s[b]
        alternative_s[count:] = np.nan  # padding
        optimum_s, _, _ = _solve_behind(problem, decision, start, objective, budget, graphs, work.room)
        labels.latency_s[b] = seconds(objective, optimum_s, count, batch.power[b])
        so_far = Room(work.room.finish_s, work.core_s)  # the schedule of the prefix
        price_s = 0.0  # of the energy of its tasks
        optimal_so_far = True  # the optimum is known while the prefix follows it
        for i in range(count):
            known = decision[i] if optimal_so_far else -1
            _value_choices(problem, prefix, start, price_s, known, objective, budget, work.room, values_s)
            for k in range(num_locations):
                value_s = seconds(objective, values_s[k], count, batch.power[b])
                alternative_s[i, k] = labels.latency_s[b] if k == known else value_s
            k = explore[b, i]
            if k < 0:
                k = decision[i] if optimal_so_far else alternative_s[i].argmin()
            optimal_so_far = optimal_so_far and k == decision[i]
            prefix[i] = k
            start = extend(problem, prefix, start, objective, so_far)
            if is_priced(objective):
                price_s += energy_price(problem, prefix, i, k)
    if stop[0]:
        raise_pending()


@kernel
def _value_choices(problem, prefix, start, price_s, known, objective, budget, room, values_s):
    """Fill ``values_s`` (K,), but for ``known``: the least value, with its price, behind each choice of a task.

    The task is ``start.first``, and ``price_s`` that of the tasks before it; the cores of the start are changed and
    restored.
    """
    i, so_far, trial = start.first, Room(room.finish_s, start.core_s), prefix.copy()
    for k in range(len(values_s)):
        if k == known:
            continue
        placed = place(problem, prefix, i, k, start.radio_s, so_far)
        before_s = start.core_s[k, placed.core]
        take(so_far, i, k, placed)
        value_s = accumulate(objective, start.value_s, placed.completion_s)
        added_s = price_s + energy_price(problem, prefix, i, k) if is_priced(objective) else 0.0
        if i + 1 < len(trial):
            trial[i] = k
            rest = Start(i + 1, placed.radio_s, value_s, start.core_s)
            value_s, _, _ = _solve_behind(problem, trial, rest, objective, budget, budget.graphs, room)
        start.core_s[k, placed.core] = before_s
        values_s[k] = value_s + added_s


def label(
    instances: Instances,
    objective: str = "makespan",
    exploration: NDArray[np.int64] | None = None,
    num_threads: int | None = None,
    progress: bool = False,
) -> Demonstrations:
    """Label instances with optimal decisions and the cost of each alternative.

    Args:
        instances: B instances of n tasks and K locations.
        objective: one of ``offload_gym.OBJECTIVES``.
        exploration: (B, n) a location to force at a step, or -1 to follow the best choice; None follows it throughout.
        num_threads: threads that share the instances; None takes one a core.
        progress: show a progress bar on a terminal (needs the package tqdm), and a line now and then elsewhere.

    Returns:
        The demonstrations; the same whatever the number of threads.

    Raises:
        ValueError: the objective is unknown, or the exploration has another shape or a location out of range.
    """
    check_instances(instances)
    check_flag("progress", progress)
    code = objective_code(objective)
    size, n = len(instances), instances.num_tasks
    explore = np.full((size, n), -1) if exploration is None else _checked_exploration(exploration, instances)
    labels = Labels(
        decisions=np.empty((size, n), dtype=np.int64),
        latency_s=np.empty(size),
        prefixes=np.empty((size, n), dtype=np.int64),
        alternative_s=np.empty((size, n, instances.num_locations)),
    )
    bar = progress_bar(size, "labels", "instance") if progress else None
    graphs, stop = True if instances.batch.edge_parent.shape[1] else None, new_stop()

    def work(rows: slice) -> None:
        _label(instances[rows].arrays, code, explore[rows], graphs, stop, tuple(array[rows] for array in labels))
        if bar is not None:
            bar.update(rows.stop - rows.start)

    for_each_chunk(work, size, num_threads, CHUNK, stop)
    if bar is not None:
        bar.close()
    return Demonstrations(instances, objective, *labels)


def _checked_exploration(exploration: NDArray[np.int64], instances: Instances) -> NDArray[np.int64]:
    try:
        array = np.asarray(exploration)
    except ValueError:
        raise ValueError("exploration has rows of different lengths; each must hold one location a task") from None
    shape, last = (len(instances), instances.num_tasks), instances.num_locations - 1
    if array.dtype.kind not in "iu" or array.shape != shape:
        raise ValueError(
            f"exploration has the type {array.dtype} and the shape {array.shape}; it must be integers {shape}"
        )
    wrong = (array < -1) | (array > last)
    if wrong.any():
        b, i = np.argwhere(wrong)[0]
        raise ValueError(f"exploration[{b}, {i}] is {array[b, i]}; it must be from -1 to {last}")
    return array.astype(np.int64, order="C")  # numba would compile the kernel anew for another order


# Parameters: options of a public call that takes seconds; callers name them.
def generate_demonstrations(
    scenario: str | Mapping[str, Any] | Scenario,
    num_instances: int,
    seed: int | SeedSequence,
    objective: str = "makespan",
    explored_share: float = 0.5,
    exploration_rate: float = 0.25,
    num_threads: int | None = None,
    progress: bool = False,
    observation_noise: float | str = 0.0,
    alternatives: bool = True,
) -> Demonstrations:
    """Sample instances and label them.

    Args:
        scenario: what to draw from.
        num_instances: B, at least 1.
        seed: of the instances and the exploration; the result does not depend on the number of threads.
        objective: one of ``offload_gym.OBJECTIVES``.
        explored_share: share of the instances whose prefixes contain random choices; the others follow the expert.
        exploration_rate: probability of a random choice at a step of those.
        num_threads: threads that share the work; None takes one a core.
        progress: show a progress bar of the alternatives on a terminal (needs the package tqdm), and a line now and
            then elsewhere.
        observation_noise: what a policy knows of rates and backlogs, as in the environments; the labels come from the
            truth, in hindsight.
        alternatives: label what each alternative costs; False labels the optimal decisions alone, which is quicker and
            needs no exploration.

    Returns:
        The demonstrations.

    Raises:
        ValueError: an argument is unknown or out of its bounds.
    """
    for name, value in (("explored_share", explored_share), ("exploration_rate", exploration_rate)):
        if not (isinstance(value, int | float | np.number) and 0 <= value <= 1):
            raise ValueError(f"{name} is {quoted(value)}; it must be a number from 0 to 1")
    check_flag("alternatives", alternatives)
    check_flag("progress", progress)
    check_threads(num_threads)
    objective_code(objective)
    base = as_seed_sequence(seed)
    # Not base.spawn(2), which counts its calls: the same seed must always give the same demonstrations.
    instance_seed, exploration_seed, noise_seed = (
        SeedSequence(base.entropy, spawn_key=(*base.spawn_key, i)) for i in range(3)
    )
    instances, estimates = sample_estimated(scenario, num_instances, observation_noise, instance_seed, noise_seed)
    seen = None if estimates is instances else estimates
    if not alternatives:
        solutions = solve(instances, objective, num_threads=num_threads)
        decisions = solutions.decisions
        return Demonstrations(instances, objective, decisions, solutions.latency_s, decisions, None, seen)
    rng = np.random.default_rng(exploration_seed)
    shape = (num_instances, instances.num_tasks)
    explored = (rng.random((num_instances, 1)) < explored_share) & (rng.random(shape) < exploration_rate)
    exploration = np.where(explored, rng.integers(0, instances.num_locations, shape), -1)
    return label(instances, objective, exploration, num_threads, progress)._replace(estimates=seen)


def save_demonstrations(path: str | Path, demonstrations: Demonstrations) -> None:
    """Write demonstrations to an npz file; an existing file is replaced only once the new one is complete."""
    if not isinstance(demonstrations, Demonstrations):
        raise ValueError(f"demonstrations is {quoted(demonstrations)}; it must be Demonstrations, after the path")
    instances = demonstrations.instances
    small = np.min_scalar_type(instances.num_locations - 1)
    alternative_s = demonstrations.alternative_s
    costs: dict[str, Any] = {} if alternative_s is None else {"alternative_s": alternative_s}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            format=np.array(FORMAT),
            objective=np.array(demonstrations.objective),
            tasks=instances.tasks,
            locations=instances.locations,
            core_backlog_s=instances.core_backlog_s,
            radio_backlog_s=instances.radio_backlog_s,
            task_counts=instances.task_counts,
            edge_start=instances.edge_start,
            edge_parent=instances.edge_parent,
            edge_bits=instances.edge_bits,
            power=instances.power,
            decisions=demonstrations.decisions.astype(small),
            latency_s=demonstrations.latency_s,
            prefixes=demonstrations.prefixes.astype(small),
            **costs,
            seen_locations=demonstrations.seen.locations,
            seen_core_backlog_s=demonstrations.seen.core_backlog_s,
            seen_radio_backlog_s=demonstrations.seen.radio_backlog_s,
        )


def load_demonstrations(path: str | Path) -> Demonstrations:
    """Read what ``save_demonstrations`` wrote; ValueError where the file is something else, cut short or damaged."""
    path = as_path(path)
    try:
        fields = _read_arrays(path)
        state = ("locations", "core_backlog_s", "radio_backlog_s")
        instances = _checked_instances(fields, *(fields[name] for name in state))
        seen = [fields[f"seen_{name}"] for name in state]
        estimates = None
        if not all(np.array_equal(array, fields[name]) for array, name in zip(seen, state, strict=True)):
            estimates = _checked_instances(fields, *seen)
        objective = str(fields["objective"])
        objective_code(objective)
        shape = (len(instances), instances.num_tasks, instances.num_locations)
        latency_s, alternative_s = fields["latency_s"], fields.get("alternative_s")
        _check_seconds("latency_s", latency_s, shape[:1])
        if alternative_s is not None:
            _check_seconds("alternative_s", alternative_s, shape)
        decisions, prefixes = (check_decisions(instances, fields[name]) for name in ("decisions", "prefixes"))
        return Demonstrations(instances, objective, decisions, latency_s, prefixes, alternative_s, estimates)
    except KeyError as error:
        raise ValueError(f"{path} is not a complete demonstrations file: it has no array {error}") from None
    except OSError as error:
        raise ValueError(f"the demonstrations {path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise ValueError(f"{path} is not a complete demonstrations file: {error}") from None


def _read_arrays(path: Path) -> dict[str, NDArray]:
    """All arrays of an npz file of this format by their names."""
    fields = read_npz(path)
    if str(fields.get("format")) != FORMAT:
        raise ValueError(f"it does not say that it is {FORMAT!r}")
    for name, array in fields.items():
        if array.dtype.kind not in ("U" if name in ("format", "objective") else "iuf"):
            raise ValueError(f"{name} has the type {array.dtype}")
    return fields


def _check_seconds(name: str, array: NDArray, shape: tuple[int, ...]) -> None:
    if array.dtype != np.float64 or array.shape != shape:
        raise ValueError(f"{name} has the type {array.dtype} and the shape {array.shape}; it must be float64 {shape}")


def _checked_instances(
    fields: dict[str, Any], locations: NDArray, core_backlog_s: NDArray, radio_backlog_s: NDArray
) -> Instances:
    tasks = fields["tasks"]
    if tasks.ndim != 3 or tasks.shape[2] != len(TASK_FIELDS) or locations.shape[2:] != (len(LOCATION_FIELDS),):
        raise ValueError(f"tasks has the shape {tasks.shape} and locations {locations.shape}")
    power = fields["power"]
    if power.shape != (len(tasks), len(POWER_FIELDS)):
        raise ValueError(f"power has the shape {power.shape}; it must be {(len(tasks), len(POWER_FIELDS))}")
    columns: dict[str, Any] = {name: tasks[:, :, column] for column, name in enumerate(TASK_FIELDS)}
    columns |= {name: locations[:, :, column] for column, name in enumerate(LOCATION_FIELDS)}
    return Instances(
        **columns,
        backlog_s=core_backlog_s[:, :, 0] if core_backlog_s.shape[2:] == (1,) else core_backlog_s,
        radio_backlog_s=radio_backlog_s,
        task_counts=fields["task_counts"],
        **dict(zip(POWER_FIELDS, power.T, strict=True)),
    ).with_packed_edges(fields["edge_start"], fields["edge_parent"], fields["edge_bits"], warn=False)
