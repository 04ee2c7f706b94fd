import itertools

import naive
import naive_cell
import numpy as np
import pytest

from offload_gym.cell import cell_latency
from offload_gym.delay import latency
from offload_gym.envs.cell import sample_cell
from offload_gym.policies import make_policy
from offload_gym.solvers.best_response import alternative_latency, best_response, coordinated

SCENARIO = {"name": "default", "num_tasks": 4}


def moves(decision, num_locations):
    """All decisions that differ from one in one or two tasks."""
    for other in itertools.product(range(num_locations), repeat=len(decision)):
        if 1 <= sum(a != b for a, b in zip(decision, other, strict=True)) <= 2:
            yield other


def value(cell, decisions, objective, devices):
    """Mean latency of some devices, by the naive twin."""
    rows = naive_cell.completion_times([naive.from_instances(cell, d) for d in range(len(cell))], decisions)
    reduce = max if objective == "makespan" else np.mean
    return np.mean([reduce(rows[d]) for d in devices])


@pytest.mark.parametrize("objective", ["makespan", "mean"])
@pytest.mark.parametrize("together", [False, True])
def test_no_move_of_a_device_helps(objective, together):
    cell = sample_cell(SCENARIO, 3, seed=4)
    start = make_policy("greedy").decide(cell)
    given = start.copy()
    responses = best_response(cell, start, objective, together)
    np.testing.assert_array_equal(start, given)
    assert responses.settled
    reached = responses.decisions.tolist()
    assert (responses.decisions != start).any()
    for d in range(3):
        devices = range(3) if together else [d]
        at_rest = value(cell, reached, objective, devices)
        for move in moves(reached[d], 3):
            trial = [move if e == d else row for e, row in enumerate(reached)]
            assert value(cell, trial, objective, devices) >= at_rest * (1 - 1e-9)


def test_a_response_is_the_best_move_of_the_first_device():
    """GIVEN one device with two tasks WHEN it moves THEN pairs are all there is, and the optimum is reached."""
    for seed in range(30):
        cell = sample_cell({"name": "default", "num_tasks": 2}, 1, seed)
        responses = best_response(cell, [[0, 0]])
        best_s, _ = naive.brute_force(naive.from_instances(cell, 0))
        assert latency(cell, responses.decisions) == pytest.approx([best_s])


def test_together_the_mean_never_rises():
    gains = []
    for seed in range(20):
        cell = sample_cell(SCENARIO, 6, seed)
        selfish = best_response(cell, make_policy("greedy").decide(cell))
        coordinated = best_response(cell, selfish.decisions, together=True)
        gains.append(cell_latency(cell, selfish.decisions).mean() - cell_latency(cell, coordinated.decisions).mean())
    assert min(gains) >= -1e-12
    assert max(gains) > 1e-3


def test_rounds_are_limited():
    cell = sample_cell(SCENARIO, 6, seed=0)
    start = np.zeros((6, 4), dtype=int)
    limited, full = best_response(cell, start, max_rounds=1), best_response(cell, start)
    assert (limited.settled, limited.num_rounds) == (False, 1)
    assert full.settled
    assert full.num_rounds > 1
    again = best_response(cell, full.decisions)
    np.testing.assert_array_equal(again.decisions, full.decisions)
    assert again.num_rounds == 1
    with pytest.raises(ValueError, match="max_rounds is 0"):
        best_response(cell, start, max_rounds=0)
    with pytest.raises(ValueError, match="objective is 'cost'"):
        best_response(cell, start, "cost")


@pytest.mark.parametrize("objective", ["makespan", "mean"])
def test_alternatives_of_one_device_are_tried_with_the_others_as_they_are(objective):
    cell = sample_cell(SCENARIO, 3, seed=4)
    rng = np.random.default_rng(0)
    decisions, alternatives = rng.integers(0, 3, (3, 4)), rng.integers(0, 3, (3, 5, 4))
    given = decisions.copy()
    found = alternative_latency(cell, decisions, alternatives, objective)
    np.testing.assert_array_equal(decisions, given)
    for d, a in itertools.product(range(3), range(5)):
        tried = decisions.copy()
        tried[d] = alternatives[d, a]
        assert found[d, a] == pytest.approx(cell_latency(cell, tried, objective).mean())
    with pytest.raises(ValueError, match=r"alternatives has the shape \(3, 4\); it must be \(m, A, n\)"):
        alternative_latency(cell, decisions, decisions)


def test_more_starts_are_never_worse():
    cell = sample_cell("default", 4, seed=3)
    starts = [make_policy(name).decide(cell) for name in ("greedy", "local", "cloud")]
    single_s = [cell_latency(cell, coordinated(cell, [start])).mean() for start in starts]
    reached = best_response(cell, starts[0], together=True).decisions
    np.testing.assert_array_equal(coordinated(cell, starts[:1]), reached)
    assert len({round(value_s, 9) for value_s in single_s}) > 1
    assert cell_latency(cell, coordinated(cell, starts)).mean() == min(single_s)
    with pytest.raises(ValueError, match="starts is empty"):
        coordinated(cell, [])
