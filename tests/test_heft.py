import naive
import numpy as np
import pytest
from test_dependencies import random_problems

from offload_gym import Instances, completion_times, latency, make_policy, solve
from offload_gym.delay import RETURN, RUN, new_workspace, open_instance
from offload_gym.instances import TASK_FIELDS
from offload_gym.solvers.heft import heft, upward_ranks


def ranks_and_problem(instances, b=0):
    problem, _ = open_instance(instances.batch, b, new_workspace(instances.batch))
    rank_s = np.empty(instances.num_tasks)
    upward_ranks(problem, rank_s)
    return rank_s, problem


def test_upward_ranks_by_their_definition():
    for instances, _ in random_problems(15, max_tasks=8, max_locations=4, seed=31, size=1):
        rank_s, problem = ranks_and_problem(instances)
        children = {i: [] for i in range(instances.num_tasks)}
        for e, (parent, child) in enumerate(instances.edges):
            children[parent].append((child, problem.moves[e].sum() / instances.num_locations**2))

        def rank(i, children=children, problem=problem):
            own_s = problem.times[i, :, RUN].mean() + problem.times[i, :, RETURN].mean()
            return own_s + max((move_s + rank(child) for child, move_s in children[i]), default=0.0)

        np.testing.assert_allclose(rank_s, [rank(i) for i in range(instances.num_tasks)])


def test_independent_tasks_are_placed_longest_first_as_greedy_would(hand_fields):
    # GIVEN the hand case, whose ranks fall in index order once the tasks are sorted by their mean run and return
    instances = Instances(**hand_fields)
    rank_s, _ = ranks_and_problem(instances)
    order = np.argsort(-rank_s, kind="stable")
    # WHEN the tasks are renamed in that order THEN greedy decides as HEFT does
    renamed = instances.replace(**{name: getattr(instances, name)[:, order] for name in TASK_FIELDS})
    greedy = make_policy("greedy").decide(renamed)
    np.testing.assert_array_equal(heft(instances)[:, order], greedy)


def test_heft_is_never_better_than_exact_and_often_equal(hand_fields):
    matches = 0
    for instances, _ in random_problems(40, max_tasks=5, max_locations=3, seed=32):
        exact_s = solve(instances).latency_s
        heft_s = latency(instances, heft(instances))
        assert (heft_s >= exact_s * (1 - 1e-12)).all()
        matches += np.isclose(heft_s, exact_s).sum()
    assert matches > 30


def test_heft_beats_greedy_where_the_order_matters():
    """Two long tasks behind a short one: index order gives the fast server to the short one."""
    fields = {
        "input_bits": [[1e5, 1e5, 1e5]],
        "output_bits": [[0.0, 0.0, 0.0]],
        "workload_cycles": [[0.5e9, 4e9, 0.6e9]],
        "cpu_hz": [[1e9, 1e9, 8e9]],
        "cores": [[1, 1, 1]],
        "backlog_s": [[0.0, 5.0, 0.0]],
        "uplink_bps": [[np.inf, 1e8, 1e8]],
        "downlink_bps": [[np.inf, 1e8, 1e8]],
        "wired_bps": [[np.inf, np.inf, np.inf]],
        "propagation_s": [[0.0, 0.0, 0.0]],
    }
    instances = Instances(**fields)
    decision = heft(instances)[0]
    assert decision[1] == 2  # the long task is placed first, at the fast server
    one = naive.from_instances(instances, 0)
    assert completion_times(instances, [decision])[0] == pytest.approx(naive.completion_times(one, decision))
