"""``python -m benchmarks tune-beam``: the prices of the beam search, by grid search on validation instances."""

from __future__ import annotations

from itertools import product

import numpy as np

from offload_gym.delay import latency, objective_code
from offload_gym.sampling import sample_instances
from offload_gym.scenario import make_scenario
from offload_gym.seeds import seed_for
from offload_gym.solvers.beam import beam_kernel
from offload_gym.solvers.exact import solve
from offload_gym.solvers.local_search import NO_MOVES

# (scenario, objective): prices of the radio and of the cores to try
GRIDS = {
    ("default", "makespan"): ((2.0, 3.0, 4.0, 5.0, 6.0, 8.0), (1.0, 1.5, 1.75, 2.0, 3.0)),
    ("default", "mean"): ((0.05, 0.1, 0.2, 0.3, 0.5), (0.1, 0.15, 0.2, 0.3, 0.4)),
    ("dag", "makespan"): ((0.0, 0.1, 0.5, 1.0, 5.0), (0.1, 0.25, 0.5, 1.0, 2.0)),
    ("dag", "mean"): ((0.0, 0.02, 0.05, 0.1, 0.3), (0.0, 0.05, 0.1, 0.2, 0.4)),
}
WIDTHS = (4, 16)
TASK_COUNTS = (8, 12)


def tune_beam(num_instances: int, seed: int) -> None:
    """Print, for each scenario and objective, the five price pairs with the least mean gap over sizes and widths."""
    for (name, objective), grid in GRIDS.items():
        code = objective_code(objective)
        gaps: dict[tuple[float, float], list[float]] = {prices: [] for prices in product(*grid)}
        for num_tasks in TASK_COUNTS:
            scenario = make_scenario(name, num_tasks=num_tasks)
            instances = sample_instances(scenario, num_instances, seed_for("validation", seed))
            optimum_s = solve(instances, objective).latency_s
            decisions = np.empty((num_instances, num_tasks), dtype=np.int64)
            for (prices, listed), width in product(gaps.items(), WIDTHS):
                both = tuple((price, price) for price in prices)
                beam_kernel(instances.arrays, code, width, both, NO_MOVES, decisions)
                listed.append(float((latency(instances, decisions, objective) / optimum_s - 1).mean()))
        print(f"{name}, {objective}: mean gap % at (n, width) = {list(product(TASK_COUNTS, WIDTHS))}")
        for prices in sorted(gaps, key=lambda prices: np.mean(gaps[prices]))[:5]:
            figures = ", ".join(f"{100 * gap:.2f}" for gap in gaps[prices])
            print(f"  radio {prices[0]:g}, cores {prices[1]:g}: {figures}")
