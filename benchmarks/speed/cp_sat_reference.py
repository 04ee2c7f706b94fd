"""The exact problem for OR-Tools CP-SAT: the opponent of the package's own exact solver.

An integer model of independent tasks, with all durations rounded to whole nanoseconds. It is the fastest of those that
were tried: the sorted free times of a location's cores as state variables, or the rule of the cores as below; each with
and without cumulative constraints besides, and with and without the rows of ``_add_resource_rows``; and about ten
``SETTINGS``. The rows, and the linear relaxation that they tighten, matter most: without the relaxation makespan at
n = 20 took a hundred times longer.

- The radio never waits, as all inputs are there from the start: when it has sent task i is a linear expression.
- The rule of the cores (a task takes the core that is free first) says that a task starts no sooner than the c-th
  largest finish of the tasks before it at its location, where there are c cores: a core is free from the finish of its
  last task, and each finish replaces the least of those. So: at most c - 1 earlier tasks at the location are unfinished
  when a task starts. Letting the solver choose the cores would be another problem, with a lower optimum.
- All other times are lower bounds, since no task's delay helps another.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from ortools.sat.python import cp_model

from offload_gym.delay import MEAN, PATH, RETURN, RUN, SEND, latency, new_workspace, objective_code, open_instance
from offload_gym.instances import CORES, Instances

TICK_S = 1e-9
SETTINGS: dict[str, dict[str, Any]] = {
    "makespan": {"linearization_level": 1, "cut_level": 0, "cp_model_presolve": False},
    "mean": {"linearization_level": 2, "cut_level": 0},
}


class CpSatSolution(NamedTuple):
    """What CP-SAT says of one instance."""

    decision: NDArray[np.int64]  # (n,)
    value_s: float  # of the objective in the model
    optimal: bool  # whether it has proven that
    seconds: float  # of the search alone, without building the model in Python


class _Ticks(NamedTuple):
    """One instance in whole ticks."""

    times: list[list[list[int]]]  # (n, K, 4)
    backlog: list[int]  # (K,)
    radio: int
    cores: list[int]  # (K,)


def tolerance_s(num_tasks: int) -> float:
    """How far the rounding can move the optimum: what CP-SAT decides is worse than the optimum by no more.

    A completion adds up at most n sends, n runs, a path, a return and a backlog, each off by half a tick; it counts
    twice, for the decision that is taken and for the one that is missed.
    """
    return (2 * num_tasks + 3) * TICK_S


def solve_with_cp_sat(
    instance: Instances,
    objective: str,
    incumbent: NDArray[np.int64],
    limit_s: float,
    settings: dict[str, Any] | None = None,
) -> CpSatSolution:
    """Solve one instance of independent tasks on one thread.

    Args:
        instance: a batch of one, with one backlog a location.
        objective: "makespan" or "mean".
        incumbent: (n,) a decision to start from; its value bounds the objective.
        limit_s: where the search stops.
        settings: of CP-SAT; None takes the best known ones for the objective.
    """
    if instance.edge_start.any():
        raise ValueError(f"the instance has the edges {instance.edges_of(0)}; this model is for independent tasks")
    if instance.core_backlog_s.shape[2] > 1:
        raise ValueError("the instance has a backlog for each core; this model is for one a location")
    ticks = _in_ticks(instance)
    bound = _value(ticks, incumbent.tolist(), objective)
    model, places = _model(ticks, objective, bound)
    for row, chosen in zip(places, incumbent.tolist(), strict=True):
        for k, here in enumerate(row):
            model.add_hint(here, k == chosen)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_time_in_seconds = limit_s
    for name, value in (SETTINGS[objective] if settings is None else settings).items():
        setattr(solver.parameters, name, value)
    start = time.perf_counter()
    status = solver.solve(model)
    seconds = time.perf_counter() - start
    decision, value = incumbent, float(bound)
    if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        decision = np.array([[solver.value(here) for here in row].index(1) for row in places])
        value = solver.objective_value
    if objective_code(objective) == MEAN:
        value /= instance.num_tasks
    return CpSatSolution(decision, value * TICK_S, status == cp_model.OPTIMAL, seconds)


def _in_ticks(instance: Instances) -> _Ticks:
    batch = instance.batch
    problem, start = open_instance(batch, 0, new_workspace(batch))

    def rounded(seconds: Any) -> Any:
        return np.rint(np.asarray(seconds) / TICK_S).astype(np.int64).tolist()

    cores = batch.locations[0, :, CORES].astype(int).tolist()
    return _Ticks(rounded(problem.times), rounded(batch.core_backlog_s[0, :, 0]), rounded(start.radio_s), cores)


def _value(ticks: _Ticks, decision: list[int], objective: str) -> int:
    """The largest completion of a decision in ticks, or the sum of them."""
    radio, completions = ticks.radio, []
    free = [[backlog] * cores for backlog, cores in zip(ticks.backlog, ticks.cores, strict=True)]
    for times, k in zip(ticks.times, decision, strict=True):
        radio += times[k][SEND]
        ready = radio + times[k][PATH] if k > 0 else 0
        core = free[k].index(min(free[k]))
        free[k][core] = max(ready, free[k][core]) + times[k][RUN]
        completions.append(free[k][core] + times[k][RETURN])
    return sum(completions) if objective_code(objective) == MEAN else max(completions)


def _model(ticks: _Ticks, objective: str, bound: int) -> tuple[cp_model.CpModel, list[list[Any]]]:
    """The model, and its variables "task i is at k" as (n, K)."""
    n, num_locations = len(ticks.times), len(ticks.cores)
    model = cp_model.CpModel()
    places = [[model.new_bool_var(f"place {i} {k}") for k in range(num_locations)] for i in range(n)]
    for row in places:
        model.add_exactly_one(row)

    def at(i: int, stage: int, first: int = 0) -> Any:
        """The duration of a stage of task ``i`` where it is, 0 at locations before ``first``."""
        return sum(ticks.times[i][k][stage] * places[i][k] for k in range(first, num_locations))

    sent: list[Any] = []  # time on the radio up to task i
    total: Any = 0
    for i in range(n):
        total = total + at(i, SEND, 1)
        sent.append(total)
    # The incumbent's value bounds each time too: no completion is above the makespan, or above the sum.
    starts = [model.new_int_var(0, bound, f"start {i}") for i in range(n)]
    finishes = [model.new_int_var(0, bound, f"finish {i}") for i in range(n)]
    value = model.new_int_var(0, bound, "value")
    for i in range(n):
        model.add(finishes[i] == starts[i] + at(i, RUN))
        model.add(starts[i] >= sum(ticks.backlog[k] * places[i][k] for k in range(num_locations)))
        for k in range(1, num_locations):
            model.add(starts[i] >= ticks.radio + sent[i] + ticks.times[i][k][PATH]).only_enforce_if(places[i][k])
    completions = [finishes[i] + at(i, RETURN, 1) for i in range(n)]
    for k in range(num_locations):
        _add_cores(model, ticks, k, [row[k] for row in places], starts, finishes)
    if objective_code(objective) == MEAN:
        model.add(value >= sum(completions))
    else:
        for completion in completions:
            model.add(value >= completion)
        _add_resource_rows(model, ticks, places, sent, value)
    model.minimize(value)
    return model, places


def _add_cores(
    model: cp_model.CpModel, ticks: _Ticks, k: int, here: list[Any], starts: list[Any], finishes: list[Any]
) -> None:
    """The rule of the cores at location ``k``; ``here`` (n,) says which tasks are there."""
    n, cores = len(here), ticks.cores[k]
    if k == 0 and cores == 1:  # all tasks are ready at once, so that the core never waits
        busy: Any = ticks.backlog[0]
        for i in range(n):
            model.add(starts[i] >= busy).only_enforce_if(here[i])
            busy = busy + ticks.times[i][0][RUN] * here[i]
        return
    for i in range(cores, n):
        unfinished = []
        for j in range(i):
            literals = [here[i], here[j]]
            if cores > 1:
                unfinished.append(model.new_bool_var(f"unfinished {j} {i} {k}"))
                literals.append(~unfinished[-1])
            model.add(finishes[j] <= starts[i]).only_enforce_if(literals)
        if cores > 1:
            model.add(sum(unfinished) <= cores - 1)


def _add_resource_rows(
    model: cp_model.CpModel, ticks: _Ticks, places: list[list[Any]], sent: list[Any], value: Any
) -> None:
    """What follows from the rest, as rows of the linear relaxation: the work of each resource fits below the makespan.

    On the radio, up to each task and what comes after its sending; on each location's cores, after their backlog and
    before the least return.
    """
    n, num_locations = len(places), len(ticks.cores)
    for i in range(n):
        after = [ticks.radio + sum(ticks.times[i][k][PATH : RETURN + 1]) for k in range(num_locations)]
        model.add(value >= sent[i] + sum(after[k] * places[i][k] for k in range(1, num_locations)))
    for k in range(num_locations):
        used = model.new_bool_var(f"used {k}")
        for row in places:
            model.add_implication(row[k], used)
        work = sum(ticks.times[i][k][RUN] * places[i][k] for i in range(n))
        idle = ticks.backlog[k] + min(ticks.times[i][k][RETURN] for i in range(n))
        model.add(ticks.cores[k] * value >= work + ticks.cores[k] * idle * used)


def check_same_optimum(instance: Instances, objective: str, solution: CpSatSolution, optimum_s: float) -> None:
    """RuntimeError where CP-SAT has proven another optimum, in its model or by its decision."""
    decision_s = float(latency(instance, solution.decision[None], objective)[0])
    error_s = max(abs(value_s - optimum_s) for value_s in (solution.value_s, decision_s))
    if solution.optimal and error_s > tolerance_s(instance.num_tasks):
        raise RuntimeError(
            f"CP-SAT says that {solution.decision.tolist()} is optimal at {solution.value_s} s, and it takes "
            f"{decision_s} s; the optimum of offload_gym is {optimum_s} s"
        )
