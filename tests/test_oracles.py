"""Oracles that share no idea with the package: mixed-integer programs of the optimum, and simulations in SimPy."""

import mixed_integer
import naive
import numpy as np
import pytest
import simpy_moments
from conftest import draw_instances
from property_inputs import cells, few_and_many, problems, refute
from test_chain import as_chains
from test_dependencies import random_graph, with_edges

from offload_gym import completion_times, sample_instances, solve
from offload_gym.cell import cell_completion_times


def drawn(kind, size):
    """Instances that a mixed-integer program solves in about a second."""
    rng = np.random.default_rng(size)
    if kind == "mixed":  # cores that are free at different times, a busy radio, sizes of 0
        return draw_instances("mixed", size, 4, 1, seed=41)
    if kind == "mixed chains":
        return as_chains(draw_instances("mixed", size, 4, 1, seed=42), rng)
    if kind == "mixed graphs":
        return with_edges(draw_instances("mixed", size, 4, 1, seed=43), random_graph(4, rng), rng)
    num_tasks = {"default": 5, "multi_edge": 4, "dag": 4, "partitioning": 5}[kind]
    return sample_instances({"name": kind, "num_tasks": num_tasks}, size, seed=44)


KINDS = ("default", "multi_edge", "dag", "partitioning", "mixed", "mixed chains", "mixed graphs")


@pytest.mark.parametrize("size", [2, pytest.param(200, marks=pytest.mark.slow)], ids=["few", "many"])
@pytest.mark.parametrize("objective", ["makespan", "mean"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_optimum_is_that_of_a_mixed_integer_program(kind, objective, size):
    instances = drawn(kind, size)
    solutions = solve(instances, objective)
    assert solutions.optimal.all()
    same = 0
    for b in range(size):
        one = naive.from_instances(instances, b)
        places = ([k] * instances.task_counts[b] for k in range(instances.num_locations))
        horizon_s = 2.0 * min(naive.latency(one, place, objective) for place in places)
        if horizon_s == 0.0:
            assert solutions.latency_s[b] == 0.0
            same += 1
            continue
        value_s, decision = mixed_integer.optimum(one, objective, horizon_s)
        reached_s = naive.latency(one, decision, objective)
        # The solver of the program takes constraints as kept and numbers as whole up to 1e-6, of up to ten horizons.
        assert value_s == pytest.approx(solutions.latency_s[b], abs=2e-5 * horizon_s), (kind, b)
        assert reached_s == pytest.approx(solutions.latency_s[b], abs=2e-5 * horizon_s), (kind, b)
        assert reached_s >= solutions.latency_s[b] * (1 - 1e-11), (kind, b)
        same += reached_s <= solutions.latency_s[b] * (1 + 1e-9)
    assert same >= 0.97 * size  # the rest are equals up to that tolerance


def test_the_program_takes_the_core_that_is_free_first():
    """As the problem is stated, though the other core would be better here.

    Task 0 arrives at the server at 2 s, whose cores are free from 0 and from 1.9 s; it takes the first one and runs
    until 3 s. Task 1, without bits, arrives at 1 s, waits for the other core and runs until 2.9 s. Had task 0 taken the
    other core, it would not be later, and task 1 would run from 1 to 2 s.
    """
    one = {
        "input_bits": [1.0, 0.0], "output_bits": [0.0, 0.0], "workload_cycles": [1.0, 1.0], "cpu_hz": [1e-3, 1.0],
        "cores": [1, 2], "backlog_s": [[0.0, 0.0], [0.0, 1.9]], "uplink_bps": [1.0, 1.0], "downlink_bps": [1.0, 1.0],
        "wired_bps": [1.0, 1.0], "propagation_s": [0.0, 0.0], "radio_backlog_s": 0.0, "edges": [], "edge_bits": [],
    }  # fmt: skip
    assert naive.completion_times(one, [1, 1]) == [3.0, 2.9]
    value_s, decision = mixed_integer.optimum(one, "mean", 10.0)
    assert (value_s, decision) == (pytest.approx(2.95, rel=1e-6), [1, 1])


@few_and_many
def test_one_moment_in_simpy(tries):
    # GIVEN more than 1,000 instances in the slow test, graphs among them
    @refute(60 * tries, problems(max_tasks=20, most=2))
    def holds(given):
        instances, decisions, is_exact = given
        times_s = completion_times(instances, decisions)
        for b in range(len(instances)):
            count = instances.task_counts[b]
            twin = simpy_moments.completion_times(naive.from_instances(instances, b), decisions[b, :count].tolist())
            np.testing.assert_allclose(times_s[b, :count], twin, rtol=0 if is_exact else 1e-9, atol=0)


@few_and_many
def test_cells_in_simpy(tries):
    @refute(40 * tries, cells())
    def holds(given):
        cell, decisions, is_exact = given
        times_s = cell_completion_times(cell, decisions)
        devices = [naive.from_instances(cell, d) for d in range(len(cell))]
        rows = [row[:count].tolist() for row, count in zip(decisions, cell.task_counts, strict=True)]
        for d, twin in enumerate(simpy_moments.cell_completion_times(devices, rows)):
            np.testing.assert_allclose(times_s[d, : len(twin)], twin, rtol=0 if is_exact else 1e-9, atol=0)
