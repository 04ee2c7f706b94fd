"""``python -m benchmarks tune-annealing``: the settings of annealing, by coordinate search on validation graphs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from offload_gym.array_checks import check_count
from offload_gym.delay import latency
from offload_gym.instances import Instances
from offload_gym.progress import with_progress
from offload_gym.sampling import sample_instances
from offload_gym.scenario import make_scenario
from offload_gym.seeds import seed_for
from offload_gym.solvers.annealing import CHOSEN, Settings, anneal
from offload_gym.solvers.portfolio import ranked_portfolio

KINDS: dict[str, dict[str, Any]] = {
    "dag": {},
    "wider": {"graph_fat": (0.7, 0.9)},
    "little data": {"ccr": (0.02, 0.1)},
    "one edge server": {"num_edges": 1},
    "four edge servers": {"num_edges": 4},
}
TASK_COUNTS = (50, 200)
GRID = {
    "hot": (0.25, 0.5, 1.0, 2.0),
    "cold": (0.005, 0.015, 0.05, 0.15),
    "swap_share": (0.2, 0.35, 0.5, 0.65),
    "group_share": (0.1, 0.2, 0.35, 0.5),
    "group_size": (0.1, 1 / 3, 0.6, 1.0),
}
ROUNDS = 2  # through the grid, at most
LARGE = 2.0  # standard errors, by which settings must be better on graphs that they were not chosen on


class Case(NamedTuple):
    """One instance, and decisions of the portfolio to begin with."""

    instance: Instances
    starts: NDArray[np.int64]  # (S, n)


def draw_cases(num_instances: int, seed: int, part: int) -> list[Case]:
    """Validation graphs of every kind and size; different ones for each ``part``."""
    cases = []
    for k, changes in enumerate(KINDS.values()):
        for num_tasks in TASK_COUNTS:
            scenario = make_scenario("dag", num_tasks=num_tasks, **changes)
            instances = sample_instances(scenario, num_instances, seed_for("validation", seed, part, k, num_tasks))
            for b in range(num_instances):
                one = instances[b : b + 1]
                cases.append(Case(one, ranked_portfolio(one, "makespan", None)))
    return cases


def reached(cases: list[Case], settings: Settings, num_moves: int) -> NDArray[np.float64]:
    """(C,) makespan of each case after so many moves of annealing."""
    values_s = np.empty(len(cases))
    for c, case in enumerate(cases):
        *_, decision = anneal(
            case.instance, case.starts, "makespan", lambda moves: moves / num_moves, settings=settings
        )
        values_s[c] = latency(case.instance, decision[None])[0]
    return values_s


def search_coordinates(start: Settings, value: Callable[[Settings], float]) -> Settings:
    """The settings of the least value that a coordinate search over ``GRID`` comes to.

    One field after the other goes to the place in its row that is best with the others as they are, until none moves or
    ``ROUNDS`` are over.
    """
    best = start
    for r in range(ROUNDS):
        before = best
        for field, row in with_progress(GRID.items(), f"round {r + 1}", "field"):
            tried = [best, *(best._replace(**{field: number}) for number in row)]
            best = min((one for one in tried if one.swap_share + one.group_share <= 1.0), key=value)
        if best == before:
            break
    return best


def tune_annealing(num_instances: int, num_moves: int, seed: int) -> Settings:
    """Print what a coordinate search over settings reaches, and what it chooses on further graphs; returns that.

    Args:
        num_instances: graphs of each kind and number of tasks.
        num_moves: of annealing on each graph. What is found does not depend on the machine.
        seed: of the graphs.

    Raises:
        ValueError: a number is not whole or too small.
    """
    check_count("num_instances", num_instances)
    check_count("num_moves", num_moves)
    cases, further = (draw_cases(num_instances, seed, part) for part in range(2))
    values_s: dict[Settings, NDArray[np.float64]] = {}

    def value(settings: Settings) -> float:
        if settings not in values_s:
            values_s[settings] = reached(cases, settings, num_moves)
        # Of the logarithm, so that it is the same ranking whatever the best is that is found on a graph.
        return float(np.log(values_s[settings]).mean())

    found = search_coordinates(CHOSEN, value)
    further_s = [reached(further, settings, num_moves) for settings in (CHOSEN, found)]
    gains = 100 * np.log(further_s[0] / further_s[1])
    gain, error = float(gains.mean()), float(gains.std() / math.sqrt(len(gains)))
    chosen = found if gain > LARGE * error else CHOSEN
    _print(values_s, cases, {found: "best", CHOSEN: "set"})
    print(f"On {len(further)} further graphs the best is {gain:.3f} % below what is set, standard error {error:.3f} %.")
    print("Chosen: " + ("what is set." if chosen == CHOSEN else f"the best, as it is {LARGE:g} standard errors below."))
    return chosen


def _print(values_s: dict[Settings, NDArray[np.float64]], cases: list[Case], marks: dict[Settings, str]) -> None:
    best_s = np.min(list(values_s.values()), axis=0)
    sizes = np.array([case.instance.num_tasks for case in cases])
    table = Table(
        title="settings of annealing, validation graphs",
        caption="Latency in % over the best that any of these found on the graph, geometric mean.",
        box=box.SIMPLE_HEAD,
    )
    for header in (*Settings._fields, *(f"n = {num_tasks}" for num_tasks in TASK_COUNTS), "all", ""):
        table.add_column(header, justify="right", no_wrap=True)
    for settings in sorted(values_s, key=lambda settings: float(np.log(values_s[settings]).mean())):
        logs = np.log(values_s[settings] / best_s)
        means = [*(logs[sizes == num_tasks].mean() for num_tasks in TASK_COUNTS), logs.mean()]
        cells = [f"{number:.3g}" for number in settings] + [f"{100 * math.expm1(mean):.3f}" for mean in means]
        table.add_row(*cells, marks.get(settings, ""))
    Console(width=max(Console().width, 110)).print(table)
