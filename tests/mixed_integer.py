"""One moment as a mixed-integer linear program for ``scipy.optimize.milp``: an oracle of optima.

It is written from the statement of the problem (docs/problem.md) and shares nothing with the package: no kernel, no
bound, no search. One instance is a dict of lists, as in ``naive.py``.

Binary: where each task runs, and on which core. Continuous: when each task is ready, starts and has finished, when the
radio is free after each transmission, and when each core is free before each task. All of these are bounded from below
only, as whatever is later delays what follows: in an optimal solution they are as early as the model has them, or make
no difference. A product of two places, of a parent and of its child, is one variable for each pair of locations whose
sums are the two places, so it needs no large constants.

That a task takes the core that is free first has to be said, as another core may be better: one that is free later, but
before the task is ready. Cores that are said to be free later than they are would not help, as then all that follows is
the same or later.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array


class Program:
    """Variables, and constraints of the form sum of terms >= constant."""

    def __init__(self) -> None:
        self.upper: list[float] = []
        self.integral: list[int] = []
        self.rows: list[dict[int, float]] = []
        self.least: list[float] = []

    def variable(self, upper: float = math.inf, integral: bool = False) -> int:
        self.upper.append(upper)
        self.integral.append(int(integral))
        return len(self.upper) - 1

    def at_least(self, constant: float, *terms: tuple[int, float]) -> None:
        row: dict[int, float] = {}
        for variable, factor in terms:
            row[variable] = row.get(variable, 0.0) + factor
        self.rows.append(row)
        self.least.append(constant)

    def equal(self, constant: float, *terms: tuple[int, float]) -> None:
        self.at_least(constant, *terms)
        self.at_least(-constant, *((variable, -factor) for variable, factor in terms))

    def minimum(self, cost: dict[int, float], presolve: bool) -> tuple[float, np.ndarray]:
        size = len(self.upper)
        weights = np.zeros(size)
        for variable, weight in cost.items():
            weights[variable] = weight
        entries = [(r, variable, factor) for r, row in enumerate(self.rows) for variable, factor in row.items()]
        r, c, values = (np.array(column) for column in zip(*entries, strict=True))
        matrix = coo_array((values, (r, c)), shape=(len(self.rows), size)).tocsr()
        found = milp(
            weights,
            integrality=np.array(self.integral),
            bounds=Bounds(0.0, np.array(self.upper)),
            constraints=LinearConstraint(matrix, np.array(self.least), np.inf),
            options={"mip_rel_gap": 1e-9, "time_limit": 300.0, "presolve": presolve},
        )
        if found.status != 0:
            raise ArithmeticError(f"HiGHS gives up: {found.message}")
        return float(found.fun), found.x


def optimum(instance: dict[str, Any], objective: str, horizon_s: float) -> tuple[float, list[int]]:
    """The least makespan or mean completion, and a decision that has it, as exact as the solver's tolerance.

    ``horizon_s`` is above the value of some decision. HiGHS 1.12 calls a value optimal that is too large, or gives up,
    in some of a thousand of these programs. So the program is solved in several ways, and the least value is taken:
    each is that of a decision.
    """
    found = []
    for presolve, stretched in ((True, 1.0), (False, 1.5), (False, 2.0)):
        with suppress(ArithmeticError):
            found.append(optimum_in_units(instance, objective, stretched * horizon_s, presolve))
        if len(found) == 2:
            break
    return min(found)


def optimum_in_units(
    instance: dict[str, Any], objective: str, horizon_s: float, presolve: bool
) -> tuple[float, list[int]]:
    """``optimum`` of a program whose times are in units of ``horizon_s``."""
    n, num_locations = len(instance["input_bits"]), len(instance["cpu_hz"])
    latest_s = horizon_s * (n if objective == "mean" else 1)  # no completion of an optimal decision is later
    places, radio_s = range(num_locations), min(instance["radio_backlog_s"], latest_s)
    # What is busy until after the latest completion is no better than what is busy until then.
    backlogs = [as_cores(instance["backlog_s"][k], int(instance["cores"][k]), n) for k in places]
    backlogs = [[min(until_s, latest_s) for until_s in backlog] for backlog in backlogs]
    large = 2.0 * latest_s / horizon_s

    def bits_s(bits: float, rate: str, k: int) -> float:
        return bits / instance[rate][k] / horizon_s

    def path(bits: float, k: int) -> float:
        return bits_s(bits, "wired_bps", k) + instance["propagation_s"][k] / horizon_s

    p = Program()
    at = [[p.variable(1.0, integral=True) for _ in places] for _ in range(n)]
    ready, start, finish, completion = ([p.variable() for _ in range(n)] for _ in range(4))
    radio = p.variable()
    p.at_least(radio_s / horizon_s, (radio, 1.0))
    free = [[p.variable() for _ in backlog] for backlog in backlogs]
    for k in places:
        for core, backlog_s in zip(free[k], backlogs[k], strict=True):
            p.at_least(backlog_s / horizon_s, (core, 1.0))
    edges = dict(zip(instance["edges"], instance["edge_bits"], strict=True))
    for i in range(n):
        p.equal(1.0, *((at[i][k], 1.0) for k in places))
        parents = sorted(parent for parent, child in edges if child == i)
        if not parents:
            before, radio = radio, p.variable()
            bits = instance["input_bits"][i]
            p.at_least(
                0.0, (radio, 1.0), (before, -1.0), *((at[i][k], -bits_s(bits, "uplink_bps", k)) for k in places[1:])
            )
            # Only where the task is remote it waits for the radio.
            remote = [(at[i][k], -path(bits, k) - large) for k in places[1:]]
            p.at_least(-large, (ready[i], 1.0), (radio, -1.0), *remote)
        for parent in parents:
            bits = edges[parent, i]
            both = [[p.variable(1.0) for _ in places] for _ in places]
            for k in places:
                p.equal(0.0, (at[parent][k], -1.0), *((both[k][other], 1.0) for other in places))
                p.equal(0.0, (at[i][k], -1.0), *((both[other][k], 1.0) for other in places))
            moves = []
            for a in places:
                for b in places:
                    if a == b:
                        continue
                    if b == 0:
                        took = bits_s(bits, "downlink_bps", a) + path(bits, a)
                    elif a == 0:
                        took = bits_s(bits, "uplink_bps", b) + path(bits, b)
                    else:
                        took = path(bits, a) + path(bits, b)
                    moves.append((both[a][b], -took))
            p.at_least(0.0, (ready[i], 1.0), (finish[parent], -1.0), *moves)
            before, radio = radio, p.variable()
            sends = [(both[0][k], -bits_s(bits, "uplink_bps", k)) for k in places[1:]]
            p.at_least(0.0, (radio, 1.0), (before, -1.0), *sends)
            waits = [(variable, factor - large) for variable, factor in sends]
            p.at_least(-large, (radio, 1.0), (finish[parent], -1.0), *waits)
            arrives = [(both[0][k], -path(bits, k) - large) for k in places[1:]]
            p.at_least(-large, (ready[i], 1.0), (radio, -1.0), *arrives)
        p.at_least(0.0, (start[i], 1.0), (ready[i], -1.0))
        runs = [(at[i][k], -bits_s(instance["workload_cycles"][i], "cpu_hz", k)) for k in places]
        p.at_least(0.0, (finish[i], 1.0), (start[i], -1.0), *runs)
        for k in places:
            free[k] = take_core(p, at[i][k], start[i], finish[i], free[k], large)
        is_exit = all(parent != i for parent, _ in edges)
        output = instance["output_bits"][i]
        back = [(at[i][k], -bits_s(output, "downlink_bps", k) - path(output, k)) for k in places[1:]] if is_exit else []
        p.at_least(0.0, (completion[i], 1.0), (finish[i], -1.0), *back)
    if objective == "mean":
        value, x = p.minimum(dict.fromkeys(completion, 1.0 / n), presolve)
    else:
        makespan = p.variable()
        for variable in completion:
            p.at_least(0.0, (makespan, 1.0), (variable, -1.0))
        value, x = p.minimum({makespan: 1.0}, presolve)
    return value * horizon_s, [int(np.argmax(x[row])) for row in at]


def as_cores(backlog: float | list[float], cores: int, n: int) -> list[float]:
    """When each core is free; of n that are free at once more would not be used."""
    return [backlog] * min(cores, n) if isinstance(backlog, float) else backlog[:cores]


def take_core(p: Program, here: int, start: int, finish: int, free: list[int], large: float) -> list[int]:
    """Let a task that may be ``here`` take the core that is free first; when each is free after it."""
    takes = [here] if len(free) == 1 else [p.variable(1.0, integral=True) for _ in free]
    if len(free) > 1:
        p.equal(0.0, (here, -1.0), *((taken, 1.0) for taken in takes))
    after = []
    for taken, core in zip(takes, free, strict=True):
        p.at_least(-large, (start, 1.0), (core, -1.0), (taken, -large))
        for other in free:
            if other != core:
                p.at_least(-large, (other, 1.0), (core, -1.0), (taken, -large))
        then = p.variable()
        p.at_least(0.0, (then, 1.0), (core, -1.0))
        p.at_least(-large, (then, 1.0), (finish, -1.0), (taken, -large))
        after.append(then)
    return after
