"""A search that is stopped ends above no cheap heuristic."""

import numpy as np
import pytest

from offload_gym import OBJECTIVES, Instances, latency, make_policy, sample_instances, solve

CHEAP = ("local", "edge", "cloud", "greedy", "heft", "beam-4", "beam-16")
ALIKE = 1 + 1e-12  # sums in another order


def graphs() -> list[Instances]:
    """Dependent and independent tasks, of one and of different numbers, with one edge server and more."""
    priced = {"energy_weight_s_per_j": 0.2}
    return [
        sample_instances({"name": "dag", "num_tasks": 16} | priced, 20, seed=1),
        sample_instances({"name": "dag", "num_tasks": 5, "max_tasks": 30, "num_edges": 2} | priced, 20, seed=2),
        sample_instances({"name": "fork_join", "num_tasks": 21} | priced, 10, seed=3),
        sample_instances({"name": "default", "num_tasks": 14, "num_edges": 3} | priced, 20, seed=4),
        sample_instances({"name": "default", "num_tasks": 3, "max_tasks": 20} | priced, 20, seed=5),
    ]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("max_nodes", [1, 100, 10_000])
def test_a_limited_search_is_never_above_a_cheap_heuristic(max_nodes, objective):
    stopped = 0
    for instances in graphs():
        # WHEN a search may make few partial schedules
        solutions = solve(instances, objective, max_nodes)
        # THEN no heuristic is better, alone or with flips behind it, and no location for all tasks
        fixed = [np.full(instances.tasks.shape[:2], k) for k in range(instances.num_locations)]
        policies = [make_policy(name + flips, objective) for name in CHEAP for flips in ("", "+flip")]
        for decisions in [*fixed, *(policy.decide(instances) for policy in policies)]:
            assert np.all(solutions.latency_s <= latency(instances, decisions, objective) * ALIKE)
        # AND what else is said of the solutions holds
        np.testing.assert_array_equal(solutions.latency_s, latency(instances, solutions.decisions, objective))
        assert not solutions.decisions[~instances.present].any()
        assert np.all(solutions.nodes <= max_nodes) or objective == "makespan"  # a chain's makespan has no limit
        proven = solutions.optimal
        np.testing.assert_array_equal(solutions.lower_bound_s[proven], solutions.latency_s[proven])
        assert np.all(solutions.lower_bound_s[~proven] < solutions.latency_s[~proven])
        stopped += (~proven).sum()
    assert stopped > 0 or max_nodes == 10_000


def test_a_heuristic_that_reaches_the_bound_is_optimal():
    # GIVEN task 0 with a child, task 1, and task 2 with nothing to do: no chain. On the device they take 1 + 5 s; the
    # cloud, twice as fast, has task 0 after 0.6 s, and the data between them takes 5 s from one place to the other.
    inf = np.inf
    instances = Instances(
        input_bits=[[0.6e6, 0.0, 0.0]],
        output_bits=[[0.0, 0.0, 0.0]],
        workload_cycles=[[1e9, 5e9, 0.0]],
        cpu_hz=[[1e9, 2e9]],
        cores=[[1, 2]],
        backlog_s=[[0.0, 0.0]],
        uplink_bps=[[inf, 1e6]],
        downlink_bps=[[inf, 1e6]],
        wired_bps=[[inf, inf]],
        propagation_s=[[0.0, 0.0]],
        radio_backlog_s=[0.0],
        edges=[[0, 1]],
        edge_bits=[[5e6]],
    )
    # Greedy leaves task 0 on the device, 1 s, not 1.1 s, and then task 1, 6 s, not 8.5 s; one flip makes it 11.1 s.
    assert latency(instances, make_policy("greedy+flip").decide(instances)) == pytest.approx(6.0)
    # WHEN nothing may be searched
    solutions = solve(instances, max_nodes=1)
    # THEN all at the cloud takes 0.6 + 0.5 + 2.5 s, which is the critical path
    assert solutions.latency_s == pytest.approx(3.6)
    assert solutions.optimal.all()
    assert solutions.lower_bound_s == solutions.latency_s


def test_threads_change_nothing():
    instances = sample_instances({"name": "dag", "num_tasks": 16}, 100, seed=6)
    one, three = (solve(instances, max_nodes=50, num_threads=threads) for threads in (1, 3))
    assert not one.optimal.all()
    for field in one._fields:
        np.testing.assert_array_equal(getattr(one, field), getattr(three, field))
