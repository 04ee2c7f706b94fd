import itertools

import naive
import numpy as np
import pytest

import offload_gym
from offload_gym import Instances, completion_times, latency, sample_instances
from offload_gym.instances import TASK_FIELDS

EXACTLY = {"rtol": 1e-9, "atol": 1e-9}

HAND_TABLE = [
    ((2, 1, 0), (0.386, 0.470, 0.400), 0.470, 1.256 / 3),
    ((2, 0, 0), (0.386, 0.200, 0.600), 0.600, 1.186 / 3),
    ((0, 0, 0), (1.000, 1.200, 1.600), 1.600, 3.800 / 3),
    ((1, 1, 1), (0.465, 0.520, 0.930), 0.930, 1.915 / 3),
    ((2, 2, 2), (0.386, 0.512, 0.964), 0.964, 1.862 / 3),
]


def random_decisions(instances: Instances, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, instances.num_locations, (len(instances), instances.num_tasks))


def assert_equals_naive_twin(instances: Instances, decisions: np.ndarray):
    completion_s = completion_times(instances, decisions)
    latency_s = {objective: latency(instances, decisions, objective) for objective in offload_gym.OBJECTIVES}
    for b in range(len(instances)):
        one, decision = naive.from_instances(instances, b), decisions[b].tolist()
        np.testing.assert_allclose(completion_s[b], naive.completion_times(one, decision), **EXACTLY)
        for objective, values in latency_s.items():
            np.testing.assert_allclose(values[b], naive.latency(one, decision, objective), err_msg=objective, **EXACTLY)


@pytest.mark.parametrize(("decision", "completion_s", "makespan_s", "mean_s"), HAND_TABLE)
def test_case_by_hand(hand_case, decision, completion_s, makespan_s, mean_s):
    np.testing.assert_allclose(completion_times(hand_case, [decision])[0], completion_s, rtol=0, atol=1e-9)
    np.testing.assert_allclose(latency(hand_case, [decision]), [makespan_s], rtol=0, atol=1e-9)
    np.testing.assert_allclose(latency(hand_case, [decision], "mean"), [mean_s], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("objective", "optimum", "optimum_s"), [("makespan", (2, 1, 0), 0.47), ("mean", (2, 0, 0), 0)])
def test_case_by_hand_has_one_optimum(hand_case, objective, optimum, optimum_s):
    decisions = np.array(list(itertools.product(range(3), repeat=3)))
    latency_s = latency(hand_case[np.zeros(len(decisions), dtype=int)], decisions, objective)
    assert tuple(decisions[latency_s.argmin()]) == optimum
    assert latency_s.min() == pytest.approx(optimum_s or 1.186 / 3, abs=1e-9)
    assert np.sum(latency_s < latency_s.min() + 1e-6) == 1


@pytest.mark.parametrize("num_edges", range(4))
def test_equals_naive_twin(draw, num_edges):
    # GIVEN mixed instances: several cores free at different times, busy radio, zero sizes, infinite wired paths
    for num_tasks in range(1, 9):
        instances = draw("mixed", 15, num_tasks, num_edges, seed=100 * num_edges + num_tasks)
        # WHEN they are decided at random THEN kernel and twin agree
        assert_equals_naive_twin(instances, random_decisions(instances, seed=num_tasks))


@pytest.mark.parametrize(
    "scenario",
    [
        {"name": "default"},
        {"name": "vision", "num_edges": 2, "num_tasks": 5},
        {"name": "default", "num_edges": 3, "edge_cores": 3, "device_cores": 2, "cloud_backlog_s": 0.2},
        {"name": "default", "num_edges": 0, "cloud_cores": 1, "device_backlog_s": 0.0},
    ],
)
def test_equals_naive_twin_on_scenarios(scenario):
    instances = sample_instances(scenario, 30, seed=5)
    assert_equals_naive_twin(instances, random_decisions(instances, seed=6))


def test_completion_of_a_task_does_not_depend_on_later_ones(draw):
    instances = draw("mixed", 50, num_tasks=6, num_edges=1, seed=3)
    decisions = random_decisions(instances, seed=4)
    other = decisions.copy()
    other[:, 4:] = (other[:, 4:] + 1) % 3
    np.testing.assert_array_equal(
        completion_times(instances, decisions)[:, :4], completion_times(instances, other)[:, :4]
    )


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        ([[0, 1, 3]], r"decisions\[0, 2\] is 3; it must be from 0 to 2"),
        ([[0, -1, 1]], r"decisions\[0, 1\] is -1; it must be from 0 to 2"),
        ([0, 1, 2], r"shape \(3,\).*must be \(1, 3\)"),
        ([[0, 1]], r"shape \(1, 2\).*must be \(1, 3\)"),
        ([[0, 1, 2]] * 2, r"shape \(2, 3\).*must be \(1, 3\)"),
        ([[0.0, 1.0, 2.0]], r"float64.*integers"),
    ],
)
def test_wrong_decisions(hand_case, decisions, message):
    for function in (completion_times, latency):
        with pytest.raises(ValueError, match=message):
            function(hand_case, decisions)


def test_unknown_objective(hand_case):
    with pytest.raises(ValueError, match=r"objective is 'sum'; it must be one of makespan, mean"):
        latency(hand_case, [[0, 0, 0]], "sum")


def test_schedule_by_hand(hand_case):
    # WHEN all tasks go to the cloud's two cores
    schedule = offload_gym.schedule(hand_case, [2, 2, 2])
    # THEN the second task takes the idle core, and the third the one that is free first
    assert schedule.core.tolist() == [0, 1, 0]
    np.testing.assert_allclose(schedule.send_start_s, [0.0, 0.2, 0.4])
    np.testing.assert_allclose(schedule.send_end_s, [0.2, 0.4, 0.8])
    np.testing.assert_allclose(schedule.start_s, [0.25, 0.45, 0.87])
    np.testing.assert_allclose(schedule.finish_s, [0.35, 0.47, 0.91])
    np.testing.assert_allclose(schedule.completion_s, [0.386, 0.512, 0.964])
    np.testing.assert_array_equal(schedule.backlog_s, [[0, np.inf], [0.1, np.inf], [0, 0]])
    assert schedule.radio_backlog_s == 0.0


@pytest.mark.parametrize("num_edges", [0, 1, 3])
def test_schedule_is_consistent(draw, num_edges):
    # GIVEN random decisions, with some tasks left out
    instances = draw("mixed", 40, num_tasks=8, num_edges=num_edges, seed=20 + num_edges)
    decisions = random_decisions(instances, seed=21)
    decisions[np.random.default_rng(22).random(decisions.shape) < 0.2] = -1
    for b, decision in enumerate(decisions):
        schedule = offload_gym.schedule(instances, decision, b)
        placed = np.flatnonzero(decision >= 0)
        np.testing.assert_array_equal(schedule.location, decision)
        # THEN the radio sends one task at a time, in order
        remote = np.flatnonzero(decision > 0)
        assert np.isnan(schedule.send_start_s[decision <= 0]).all()
        assert np.isnan(schedule.send_end_s[decision <= 0]).all()
        radio_free_s = np.r_[instances.radio_backlog_s[b], schedule.send_end_s[remote]][: len(remote)]
        np.testing.assert_allclose(schedule.send_start_s[remote], radio_free_s, **EXACTLY)
        send_s = instances.input_bits[b, remote] / instances.uplink_bps[b, decision[remote]]
        np.testing.assert_allclose(schedule.send_end_s[remote] - schedule.send_start_s[remote], send_s, **EXACTLY)
        # AND nothing runs before it has arrived
        wired_s = instances.input_bits[b, remote] / instances.wired_bps[b, decision[remote]]
        arrival_s = schedule.send_end_s[remote] + wired_s + instances.propagation_s[b, decision[remote]]
        assert np.all(schedule.start_s[remote] >= arrival_s - 1e-9)
        # AND a core of the location runs one task at a time, after its backlog
        assert np.all(schedule.core[placed] < instances.cores[b, decision[placed]])
        for k, core in set(zip(decision[placed], schedule.core[placed], strict=True)):
            there = np.flatnonzero((decision == k) & (schedule.core == core))
            free_s = np.r_[schedule.backlog_s[k, core], schedule.finish_s[there]][: len(there)]
            assert np.all(schedule.start_s[there] >= free_s)
        run_s = instances.workload_cycles[b, placed] / instances.cpu_hz[b, decision[placed]]
        np.testing.assert_allclose(schedule.finish_s[placed] - schedule.start_s[placed], run_s, **EXACTLY)
        # AND the tasks left out change nothing for the others
        times = (schedule.core, schedule.start_s, schedule.finish_s, schedule.completion_s)
        left_out = decision < 0
        assert np.all(schedule.core[left_out] == -1)
        assert all(np.isnan(field[left_out]).all() for field in times[1:])
        if len(placed) == 0:
            continue
        one = instances[b : b + 1]
        sizes = {name: getattr(one, name)[:, placed] for name in TASK_FIELDS}
        others = one.replace(**sizes, task_counts=[len(placed)])
        np.testing.assert_array_equal(
            schedule.completion_s[placed], completion_times(others, decision[None, placed])[0]
        )


@pytest.mark.parametrize("decision", [[0, 1, 3], [0, -2, 1], [0.0, 1.7, 0.0], [0, 1], [[0, 1, 2]]])
def test_schedule_of_a_wrong_decision(hand_case, decision):
    with pytest.raises(ValueError, match="decision"):
        offload_gym.schedule(hand_case, decision)
