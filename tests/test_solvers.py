import itertools
import os
import threading
import time

import naive
import numba
import numpy as np
import pytest

from offload_gym import OBJECTIVES, Instances, latency, make_policy, sample_instances, solve
from offload_gym.solvers.beam import beam_search
from offload_gym.solvers.greedy import greedy
from offload_gym.solvers.local_search import local_search
from offload_gym.solvers.parallel import for_each_chunk, num_cores

# (num_tasks, num_edges, num_instances): small enough for brute force in plain Python.
SIZES = [
    (1, 2, 10),
    (2, 0, 10),
    (3, 1, 30),
    (3, 2, 20),
    (4, 1, 30),
    (4, 2, 10),
    (5, 0, 10),
    (5, 1, 20),
    (5, 2, 2),
    (6, 1, 4),
]

ALIKE = 1 + 1e-11  # the solver takes latencies within 1e-12 of each other as equal


def all_decisions(instances: Instances) -> np.ndarray:
    return np.array(list(itertools.product(range(instances.num_locations), repeat=instances.num_tasks)))


def least_latency_s(instances: Instances, objective: str) -> np.ndarray:
    """The optimum of each instance by evaluating every decision."""
    decisions = all_decisions(instances)
    copies = np.zeros(len(decisions), dtype=int)
    return np.array([latency(instances[copies + b], decisions, objective).min() for b in range(len(instances))])


def random_decisions(instances: Instances, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, instances.num_locations, (len(instances), instances.num_tasks))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(
    "kind",
    ["plain", "per-core backlogs", "busy cores", "radio backlog", "zero sizes", "identical tasks", "mixed"],
)
def test_exact_is_the_naive_optimum(draw, kind, objective):
    # GIVEN small instances, 146 of each kind
    for seed, (num_tasks, num_edges, num_instances) in enumerate(SIZES):
        instances = draw(kind, num_instances, num_tasks, num_edges, seed)
        # WHEN they are solved
        solutions = solve(instances, objective)
        # THEN the latency is the least of all decisions, in plain Python, and it is what the decisions give
        for b in range(num_instances):
            one = naive.from_instances(instances, b)
            least_s, _ = naive.brute_force(one, objective)
            assert solutions.latency_s[b] == pytest.approx(least_s, rel=1e-9, abs=1e-9)
            decided_s = naive.latency(one, solutions.decisions[b].tolist(), objective)
            assert solutions.latency_s[b] == pytest.approx(decided_s, rel=1e-9, abs=1e-9)
        # AND optimality is proven
        assert np.all(solutions.optimal)
        np.testing.assert_array_equal(solutions.lower_bound_s, solutions.latency_s)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("kind", "num_edges", "num_instances"), [("plain", 1, 40), ("mixed", 1, 40), ("mixed", 2, 5)])
def test_exact_is_the_optimum_of_eight_tasks(draw, kind, num_edges, num_instances, objective):
    instances = draw(kind, num_instances, 8, num_edges, seed=31)
    np.testing.assert_allclose(
        solve(instances, objective).latency_s, least_latency_s(instances, objective), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("kind", "num_tasks"), [("plain", 8), ("mixed", 8), ("plain", 11)])
def test_exact_is_never_worse_than_a_heuristic(draw, kind, num_tasks, objective):
    instances = draw(kind, 60, num_tasks, num_edges=1, seed=32)
    latency_s = solve(instances, objective).latency_s
    greedily = greedy(instances)
    heuristics = [greedily, local_search(instances, greedily, objective), beam_search(instances, 8, objective)]
    for decisions in heuristics:
        assert np.all(latency_s <= latency(instances, decisions, objective) + 1e-12)
    # AND it is better than each at times, so that this says something
    assert all(np.any(latency_s < latency(instances, decisions, objective) - 1e-6) for decisions in heuristics)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("max_nodes", [1, 10, 60])
def test_search_cut_short_brackets_the_optimum(draw, objective, max_nodes):
    for kind in ("plain", "mixed"):
        instances = draw(kind, 100, 9, num_edges=1, seed=33)
        optimum_s = solve(instances, objective).latency_s
        solutions = solve(instances, objective, max_nodes=max_nodes)
        # THEN some are not proven, and all are bracketed
        assert not np.all(solutions.optimal)
        assert np.all(solutions.nodes <= max_nodes)
        assert np.all(solutions.lower_bound_s <= optimum_s * ALIKE)
        assert np.all(solutions.latency_s * ALIKE >= optimum_s)
        assert np.all(solutions.lower_bound_s[optimum_s > 0] > 0)
        np.testing.assert_allclose(
            solutions.latency_s, latency(instances, solutions.decisions, objective), rtol=1e-12, atol=0
        )
        # AND what is said to be optimal is
        proven = solutions.optimal
        np.testing.assert_allclose(solutions.latency_s[proven], optimum_s[proven], rtol=1e-11)
        np.testing.assert_array_equal(solutions.lower_bound_s[proven], solutions.latency_s[proven])
        assert np.all(solutions.lower_bound_s[~proven] < solutions.latency_s[~proven])


@pytest.mark.parametrize("max_nodes", [None, 20])
def test_threads_change_nothing(draw, max_nodes):
    instances = draw("mixed", 300, 7, num_edges=1, seed=34)
    one, two, three = (solve(instances, max_nodes=max_nodes, num_threads=threads) for threads in (1, 2, 3))
    for field in one._fields:
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))
        np.testing.assert_array_equal(getattr(one, field), getattr(three, field))


def test_exact_case_by_hand(hand_case):
    assert solve(hand_case).decisions.tolist() == [[2, 1, 0]]
    assert solve(hand_case, "mean").decisions.tolist() == [[2, 0, 0]]


def test_exact_of_nothing_to_do(hand_fields):
    # GIVEN tasks without size and an idle device THEN the optimum is zero, and proven
    for field in ("input_bits", "output_bits", "workload_cycles"):
        hand_fields[field][:] = 0.0
    for objective in OBJECTIVES:
        solutions = solve(Instances(**hand_fields), objective)
        assert solutions.decisions.tolist() == [[0, 0, 0]]
        assert (solutions.latency_s[0], solutions.lower_bound_s[0], solutions.optimal[0]) == (0.0, 0.0, True)


def test_exact_is_quick_at_eight_tasks():
    instances = sample_instances("default", 60, seed=35)
    solve(instances[:1], num_threads=1)
    medians_s = []
    for _ in range(5):  # the best of five passes, as the machine may be busy with something else
        seconds = []
        for b in range(60):
            start_s = time.perf_counter()
            solve(instances[b : b + 1], num_threads=1)
            seconds.append(time.perf_counter() - start_s)
        medians_s.append(np.median(seconds))
    assert min(medians_s) < 0.3e-3


@pytest.mark.parametrize("kind", ["plain", "zero sizes", "mixed"])
def test_greedy_places_each_task_where_it_completes_first(draw, kind):
    instances = draw(kind, 60, 6, num_edges=2, seed=36)
    decisions = greedy(instances)
    for b in range(60):
        one, decision = naive.from_instances(instances, b), decisions[b].tolist()
        for i in range(6):
            tasks = {name: one[name][: i + 1] for name in ("input_bits", "output_bits", "workload_cycles")}
            alternatives_s = [naive.completion_times(one | tasks, [*decision[:i], k])[i] for k in range(4)]
            assert alternatives_s[decision[i]] == pytest.approx(min(alternatives_s), rel=1e-12)


def test_greedy_case_by_hand(hand_case):
    # Task 0: 1.0, 0.465 or 0.386 s. Task 1: 0.2, 0.465 or 0.512 s. Task 2: 0.6, 0.925 or 0.764 s.
    assert greedy(hand_case).tolist() == [[2, 0, 0]]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", ["plain", "mixed"])
def test_local_search_ends_where_no_flip_helps(draw, kind, objective):
    # GIVEN a random start
    instances = draw(kind, 60, 6, num_edges=1, seed=37)
    start = random_decisions(instances, seed=38)
    before = start.copy()
    # WHEN it is improved THEN it is not worse, and the start is left as it was
    improved = local_search(instances, start, objective)
    latency_s = latency(instances, improved, objective)
    np.testing.assert_array_equal(start, before)
    assert np.all(latency_s <= latency(instances, start, objective) + 1e-12)
    assert np.mean(latency_s < latency(instances, start, objective) - 1e-9) > 0.5
    # AND no move of a single task makes it better
    for i, k in itertools.product(range(6), range(3)):
        moved = improved.copy()
        moved[:, i] = k
        assert np.all(latency(instances, moved, objective) >= latency_s - 1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", ["plain", "mixed"])
def test_local_search_with_swaps_ends_where_neither_flip_nor_swap_helps(draw, kind, objective):
    instances = draw(kind, 60, 6, num_edges=1, seed=37)
    start = random_decisions(instances, seed=38)
    improved = local_search(instances, start, objective, moves="swap")
    latency_s = latency(instances, improved, objective)
    flipped_s = latency(instances, local_search(instances, start, objective), objective)
    assert np.all(latency_s <= flipped_s + 1e-12)
    assert np.mean(latency_s < flipped_s - 1e-9) > 0.05
    for i, j in itertools.combinations(range(6), 2):
        moved = improved.copy()
        moved[:, [i, j]] = improved[:, [j, i]]
        assert np.all(latency(instances, moved, objective) >= latency_s - 1e-12)
    for i, k in itertools.product(range(6), range(3)):
        moved = improved.copy()
        moved[:, i] = k
        assert np.all(latency(instances, moved, objective) >= latency_s - 1e-12)


def test_local_search_leaves_an_optimum_alone(hand_case):
    assert local_search(hand_case, [[2, 1, 0]]).tolist() == [[2, 1, 0]]
    assert local_search(hand_case, [[2, 0, 0]], "mean").tolist() == [[2, 0, 0]]


def test_local_search_takes_the_move_that_helps_most(hand_case):
    # From 0.600 s, moving task 1 to the edge server gives the optimum; no other move of one task gives less.
    assert local_search(hand_case, [[2, 0, 0]]).tolist() == [[2, 1, 0]]


def test_local_search_checks_its_start(hand_case):
    with pytest.raises(ValueError, match=r"decisions\[0, 1\] is 3; it must be from 0 to 2"):
        local_search(hand_case, [[0, 3, 0]])


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("num_tasks", "num_edges"), [(1, 2), (3, 1), (4, 1), (4, 2), (6, 0)])
def test_beam_that_keeps_everything_is_exact(draw, num_tasks, num_edges, objective):
    for kind in ("plain", "mixed"):
        instances = draw(kind, 40, num_tasks, num_edges, seed=39)
        width = instances.num_locations**num_tasks
        for enough in (width, width + 7):
            latency_s = latency(instances, beam_search(instances, enough, objective), objective)
            np.testing.assert_allclose(latency_s, solve(instances, objective).latency_s, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_wider_beam_is_better_on_average(objective):
    instances = sample_instances("default", 300, seed=40)
    narrow_s, wide_s = (latency(instances, beam_search(instances, width, objective), objective) for width in (1, 32))
    assert wide_s.mean() < narrow_s.mean()
    assert wide_s.mean() < latency(instances, greedy(instances), objective).mean()


@pytest.mark.parametrize(
    "function",
    [
        lambda instances: solve(instances, "sum"),
        lambda instances: local_search(instances, [[0, 0, 0]], "sum"),
        lambda instances: beam_search(instances, 4, "sum"),
    ],
)
def test_unknown_objective(hand_case, function):
    with pytest.raises(ValueError, match=r"objective is 'sum'; it must be one of makespan, mean"):
        function(hand_case)


@pytest.mark.parametrize("value", [0, -1])
def test_bounds_on_effort(hand_case, value):
    with pytest.raises(ValueError, match=rf"max_nodes is {value}; .* at least 1"):
        solve(hand_case, max_nodes=value)
    with pytest.raises(ValueError, match=rf"width is {value}; .* at least 1"):
        beam_search(hand_case, value)


def test_batches_are_decided_by_several_threads_as_one_by_one(draw):
    instances = draw("mixed", 600, 6, num_edges=1, seed=37)
    start = random_decisions(instances, seed=38)
    together = local_search(instances, start), make_policy("exact").decide(instances)
    for b in range(0, 600, 37):
        one = instances[b : b + 1]
        np.testing.assert_array_equal(local_search(one, start[b : b + 1])[0], together[0][b])
        np.testing.assert_array_equal(make_policy("exact").decide(one)[0], together[1][b])
    for threads in (1, 3):
        np.testing.assert_array_equal(local_search(instances, start, num_threads=threads), together[0])


def test_threads_are_as_many_as_the_cores_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 5, 9}, raising=False)  # such as taskset -c 2,5,9
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 16)
    assert num_cores() == 3
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 2)
    assert num_cores() == 2
    used = set()
    both = threading.Barrier(2, timeout=10)  # broken where one thread alone works

    def work(rows):
        both.wait()
        used.add(threading.get_ident())

    for_each_chunk(work, 4, None, 1)
    assert len(used) == 2
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 64)
    monkeypatch.delattr(os, "sched_getaffinity")  # Linux alone has it
    assert num_cores() == 64
