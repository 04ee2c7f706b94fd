"""Merging neighbours, against what the edges say and by hand."""

import numpy as np
import pytest

import offload_gym
from offload_gym import Application


def random_graph(rng, num_tasks, density):
    edges = [(a, b) for b in range(num_tasks) for a in range(b) if rng.random() < density]
    input_bits, output_bits, workload = (rng.integers(0, 5, num_tasks) for _ in range(3))  # zeros among them
    input_bits[[child for _, child in edges]] = 0
    output_bits[[parent for parent, _ in edges]] = 0
    bits = rng.integers(0, 9, len(edges))
    return Application("random", input_bits, output_bits, workload, edges=edges, edge_bits=bits)


def external_bits(application):
    """What the model sends and what it returns."""
    return sum(application.input_bits), sum(application.output_bits)


def members(application, coarse, inner_workload):
    """The tasks of each coarse task, where the workloads are different powers of two."""
    assert sorted(inner_workload) == [2**i for i in range(application.num_tasks)]
    return [{i for i in range(application.num_tasks) if int(work) >> i & 1} for work in coarse.workload_cycles]


@pytest.mark.parametrize("density", [0.0, 0.15, 0.4, 0.9])
def test_random_graphs_keep_their_sums(density):
    rng = np.random.default_rng(5)
    for _ in range(60):
        application = random_graph(rng, int(rng.integers(1, 9)), density)
        for max_tasks in range(1, application.num_tasks + 2):
            coarse = application.coarsen(max_tasks)  # Application itself refuses an edge to a lower number
            assert coarse.num_tasks == min(max_tasks, application.num_tasks)
            assert sum(coarse.workload_cycles) == sum(application.workload_cycles)
            assert external_bits(coarse) == external_bits(application)


def test_tasks_are_parts_of_the_graph_and_edges_are_those_between_them():
    rng = np.random.default_rng(6)
    for _ in range(60):
        n = int(rng.integers(2, 9))
        drawn = random_graph(rng, n, 0.3)
        workload = [2.0**i for i in range(n)]
        application = Application("a", drawn.input_bits, drawn.output_bits, workload, drawn.edges, drawn.edge_bits)
        coarse = application.coarsen(int(rng.integers(1, n)))
        parts = members(application, coarse, workload)
        assert sorted(i for part in parts for i in part) == list(range(n))
        part_of = {i: k for k, part in enumerate(parts) for i in part}
        expected = {}
        for (a, b), bits in zip(application.edges, application.edge_bits, strict=True):
            if part_of[a] != part_of[b]:
                pair = part_of[a], part_of[b]
                expected[pair] = expected.get(pair, 0) + bits
        assert dict(zip(coarse.edges, coarse.edge_bits, strict=True)) == expected


def test_the_edge_with_the_most_bits_for_its_work_goes_first():
    # 60 / (2 * 3) = 10, 90 / (3 * 10) = 3, 40 / (10 * 1) = 4
    chain = Application(
        "c", [5, 0, 0, 0], [0, 0, 0, 7], [2, 3, 10, 1], [(0, 1), (1, 2), (2, 3)], [60, 90, 40], (*"abcd",)
    )
    assert chain.coarsen(3) == Application(
        "c", [5, 0, 0], [0, 0, 7], [5, 10, 1], [(0, 1), (1, 2)], [90, 40], ("a..b", *"cd")
    )
    # Now 90 / (5 * 10) = 1.8.
    assert chain.coarsen(2) == Application("c", [5, 0], [0, 7], [5, 11], [(0, 1)], [90], ("a..b", "c..d"))
    assert chain.coarsen(1) == Application("c", [5], [7], [16], task_names=["a..d"])
    assert chain.coarsen(4) is chain


def test_an_edge_beside_another_path_stays():
    """0 -> 2 has by far the most bits, but with 1 outside a task of 0 and 2 would depend on itself."""
    application = Application("d", [1, 0, 0], [0, 0, 1], [1, 1, 1], [(0, 1), (0, 2), (1, 2)], [10, 900, 20])
    coarse = application.coarsen(2)
    assert coarse.task_names == ("0", "1..2")
    assert coarse.edges == ((0, 1),)
    assert coarse.edge_bits == (910,)  # 10 + 900, two pieces of data


def test_input_of_one_of_two_entries_is_not_lost():
    """Merged with "join", "left" would have the parent "right", and could send nothing."""
    tasks = ("left", "right", "join")
    application = Application("j", [8, 4, 0], [0, 0, 2], [1, 1, 1], [(0, 2), (1, 2)], [99, 1], tasks)
    coarse = application.coarsen(2)
    assert coarse.task_names == ("left..right", "join")
    assert coarse.input_bits == (12, 0)
    assert coarse.edge_bits == (100,)
    without_input = Application("j", [0, 4, 0], [0, 0, 2], [1, 1, 1], [(0, 2), (1, 2)], [99, 1], tasks)
    assert without_input.coarsen(2).task_names == ("right", "left..join")


def test_the_lightest_of_independent_tasks_are_merged():
    application = Application("i", [1, 2, 3, 4], [0, 0, 0, 0], [9, 1, 5, 2])
    coarse = application.coarsen(3)
    assert coarse.task_names == ("0", "1..3", "2")
    assert coarse.workload_cycles == (9, 3, 5)
    assert coarse.input_bits == (1, 6, 3)


def test_on_one_core_everything_takes_as_long():
    for seed in range(3):
        application = offload_gym.random_application(20, seed=seed)
        for some in (application, application.coarsen(6)):
            instances = offload_gym.Instances(
                **{name: [getattr(some, name)] for name in ("input_bits", "output_bits", "workload_cycles")},
                cpu_hz=[[1e9, 4e9]],
                uplink_bps=[[np.inf, 1e7]],
                downlink_bps=[[np.inf, 2e7]],
                wired_bps=[[np.inf, np.inf]],
                propagation_s=[[0, 0.01]],
                backlog_s=[[0.5, 0]],
                cores=[[1, 2]],
                edges=some.edges,
                edge_bits=[some.edge_bits],
            )
            decision = np.zeros((1, some.num_tasks), dtype=np.int64)
            expected = 0.5 + sum(application.workload_cycles) / 1e9
            assert offload_gym.latency(instances, decision) == pytest.approx(expected, rel=1e-12)


def test_it_is_deterministic_and_does_not_depend_on_the_order_of_edges():
    application = offload_gym.random_application(30, seed=3)
    order = np.random.default_rng(0).permutation(len(application.edges))
    shuffled = Application(
        application.name,
        application.input_bits,
        application.output_bits,
        application.workload_cycles,
        [application.edges[i] for i in order],
        [application.edge_bits[i] for i in order],
    )
    for max_tasks in (20, 8, 2):
        one, other = application.coarsen(max_tasks), shuffled.coarsen(max_tasks)
        assert one.task_names == other.task_names
        assert one.edges == other.edges
        np.testing.assert_allclose(one.edge_bits, other.edge_bits, rtol=1e-12)


@pytest.mark.parametrize("max_tasks", [0, -1, 2.5, True, "3", None])
def test_the_number_of_tasks_is_checked(max_tasks):
    with pytest.raises(ValueError, match=r"max_tasks is .*; it must be a whole number, at least 1"):
        offload_gym.random_application(5, seed=0).coarsen(max_tasks)
