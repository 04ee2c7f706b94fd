"""Annealing, the search within limits that it is a part of, and the evaluation of a move from its first task on."""

import time

import numpy as np
import pytest

from offload_gym import OBJECTIVES, Application, latency, make_policy, make_scenario, sample_instances, solve
from offload_gym.compilation import kernel
from offload_gym.delay import Room, Start, evaluate, extend, new_workspace, objective_code, open_instance
from offload_gym.instances import Batch
from offload_gym.solvers import local_search
from offload_gym.solvers.annealing import Settings, _gather, anneal, new_kin
from offload_gym.solvers.local_search import fill_tails, value_within
from offload_gym.solvers.portfolio import ranked_portfolio

PRICED = {"energy_weight_s_per_j": 0.2}


def graphs(num_tasks, num_instances=6, seed=1, **changes):
    return sample_instances({"name": "dag", "num_tasks": num_tasks} | PRICED | changes, num_instances, seed=seed)


def longest_ways(instance, decision):
    """Of each task, the longest way from its finish on, in plain Python from the fields of a batch of one."""
    n = instance.num_tasks
    cpu_hz, up, down = instance.cpu_hz[0], instance.uplink_bps[0], instance.downlink_bps[0]
    wired, propagation = instance.wired_bps[0], instance.propagation_s[0]
    children = [[] for _ in range(n)]
    start, parents, bits = instance.edge_start[0], instance.edge_parent[0], instance.edge_bits[0]
    for child in range(n):
        for e in range(start[child], start[child + 1]):
            children[parents[e]].append((child, bits[e]))

    def half(k):
        return lambda b: b / wired[k] + propagation[k]

    def move_s(source, target, b):
        if source == target:
            return 0.0
        if source == 0:
            return b / up[target] + half(target)(b)
        return half(source)(b) + (b / down[source] if target == 0 else half(target)(b))

    way = [0.0] * n
    for i in reversed(range(n)):
        k, output = decision[i], instance.output_bits[0, i]
        if not children[i]:
            way[i] = 0.0 if k == 0 else output / down[k] + half(k)(output)
        for child, b in children[i]:
            run_s = instance.workload_cycles[0, child] / cpu_hz[decision[child]]
            way[i] = max(way[i], move_s(k, decision[child], b) + run_s + way[child])
    return way


@kernel
def _tails(arrays, decision, tail_s):
    batch = Batch(*arrays)
    work = new_workspace(batch)
    problem, _ = open_instance(batch, 0, work)
    fill_tails(problem, decision, 0, tail_s)


def test_tails_are_the_longest_ways():
    rng = np.random.default_rng(0)
    for instance in (graphs(12, 1, seed) for seed in range(20)):
        decision = rng.integers(0, instance.num_locations, instance.num_tasks)
        tail_s = np.empty(instance.num_tasks)
        _tails(instance.arrays, decision, tail_s)
        np.testing.assert_allclose(tail_s, longest_ways(instance, decision), rtol=1e-12)


@kernel
def _values(arrays, decision, changed, objective, limits_s, values_s):
    """``value_within`` of the tasks from the first that ``changed`` moves on, for each limit, and the value itself."""
    batch = Batch(*arrays)
    work = new_workspace(batch)
    problem, start = open_instance(batch, 0, work)
    values_s[-1] = evaluate(problem, changed, start, objective, work.room)
    tail_s = np.empty(len(decision))
    fill_tails(problem, decision, 0, tail_s)
    moved = np.flatnonzero(decision != changed)
    before = Room(work.room.finish_s, start.core_s.copy())
    rest = Start(0, start.radio_s, 0.0, before.free_s)
    for _ in range(moved[0]):
        rest = extend(problem, decision, rest, objective, before)
    for j in range(len(limits_s)):
        values_s[j] = value_within(problem, changed, rest, objective, limits_s[j], tail_s, moved[-1], work.room)


@pytest.mark.parametrize("objective", ["makespan", "mean"])
def test_a_move_is_given_up_exactly_where_it_does_not_reach_the_limit(objective):
    rng = np.random.default_rng(1)
    for seed in range(40):
        instance = graphs(15, 1, seed)
        decision = rng.integers(0, instance.num_locations, instance.num_tasks)
        changed = decision.copy()
        moved = rng.choice(instance.num_tasks, 3, replace=False)
        changed[moved] = (changed[moved] + 1) % instance.num_locations
        known_s = latency(instance, changed[None], objective)[0] * (15 if objective == "mean" else 1)
        limits_s = known_s * np.array([0.5, 0.99, 1.0 - 1e-9, 1.0 + 1e-9, 1.01, 2.0])
        values_s = np.empty(7)
        _values(instance.arrays, decision, changed, objective_code(objective), limits_s, values_s)
        np.testing.assert_array_equal(values_s[:3], np.inf)
        np.testing.assert_allclose(values_s[3:], known_s, rtol=1e-12)


@kernel
def _groups(arrays, most, groups, sizes):
    batch = Batch(*arrays)
    work = new_workspace(batch)
    problem, _ = open_instance(batch, 0, work)
    kin = new_kin(problem, 0)
    for i in range(len(sizes)):
        sizes[i] = _gather(kin, i, most)
        groups[i, : sizes[i]] = kin.group[: sizes[i]]


def test_a_group_is_what_follows_from_a_task_breadth_first():
    instance = graphs(20, 1, seed=3)
    edges = [(instance.edge_parent[0, e], c) for c in range(20) for e in range(*instance.edge_start[0, c : c + 2])]
    groups, sizes = np.empty((20, 20), np.int64), np.empty(20, np.int64)
    for most in (1, 4, 20):
        _groups(instance.arrays, most, groups, sizes)
        for i in range(20):
            found = [i]
            for parent in found:
                found += [child for source, child in edges if source == parent and child not in found]
            assert list(groups[i, : sizes[i]]) == found[:most]


def moves_up_to(limit):
    return lambda moves: moves / limit


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_annealing_only_ever_improves(objective):
    kinds = (graphs(10), graphs(40), sample_instances({"name": "default", "num_tasks": 12} | PRICED, 4, seed=2))
    for instances in kinds:
        gains = []
        for b in range(len(instances)):
            one = instances[b : b + 1]
            start = make_policy("greedy", objective).decide(one)
            values_s = [latency(one, start, objective)[0]]
            for decision in anneal(one, start, objective, moves_up_to(4_000)):
                values_s.append(latency(one, decision[None], objective)[0])
            assert np.all(np.diff(values_s) <= 0)
            gains.append(values_s[0] - values_s[-1])
        assert np.max(gains) > 0


def test_annealing_finds_the_optimum_of_small_graphs():
    instances = graphs(10, 60, seed=4)
    optimum_s = solve(instances).latency_s
    ends = []
    for b in range(len(instances)):
        one = instances[b : b + 1]
        *_, decision = anneal(one, ranked_portfolio(one, "makespan", None), "makespan", moves_up_to(20_000))
        ends.append(latency(one, decision[None])[0])
    assert np.mean(np.array(ends) / optimum_s) < 1.003
    assert np.mean(np.array(ends) <= optimum_s * (1 + 1e-9)) > 0.9


def test_the_same_seed_gives_the_same_decisions_and_another_one_others():
    one = graphs(40, 1)
    start = np.zeros((1, 40), np.int64)
    runs = [list(map(list, anneal(one, start, "makespan", moves_up_to(400), seed=seed))) for seed in (0, 0, 1)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_settings_reach_the_moves():
    # GIVEN decisions that no move of a single task helps, and a search that takes nothing worse. (Of makespans many are
    # equal, and moves between equals lead on.)
    instances = graphs(30, 4, seed=9)
    start = make_policy("greedy+flip", "mean").decide(instances)
    singles = Settings(swap_share=0.0, group_share=0.0, hot=1e-12, cold=1e-12)
    gained = {}
    for name, settings in {"singles": singles, "swaps": singles._replace(swap_share=1.0)}.items():
        for b in range(len(instances)):
            *_, end = anneal(instances[b : b + 1], start[b : b + 1], "mean", moves_up_to(4_000), settings=settings)
            gained[name, b] = np.any(end != start[b])
    # THEN single moves alone find nothing, and trades of two tasks do
    assert not any(gained["singles", b] for b in range(4))
    assert any(gained["swaps", b] for b in range(4))


def spent_of(looks):
    """Of 100 moves; ``looks`` are the numbers of moves at which it was asked."""

    def spent(moves):
        looks.append(moves)
        return moves / 100

    return spent


def test_looks_at_what_is_spent_are_as_close_as_moves_take_long():
    # GIVEN 10,000 tasks with two edges each, and 100 moves
    rng = np.random.default_rng(10)
    parents = [rng.choice(np.arange(max(i - 50, 0), i), 2, replace=False) for i in range(2, 10_000)]
    edges = [(int(parent), i + 2) for i, both in enumerate(parents) for parent in both]
    nothing, bits = np.zeros(10_000), np.full(len(edges), 1e5)
    application = Application("many", nothing, nothing, rng.uniform(1e7, 1e8, 10_000), edges, bits)
    one = sample_instances({"applications": [application]}, 1, seed=10)
    looks, ends = [], []
    for _ in range(2):
        looks.append([])
        *_, end = anneal(one, np.zeros((1, 10_000), np.int64), "makespan", spent_of(looks[-1]))
        ends.append(end)
    # THEN there are at most 2 ** 19 / (10,000 + 19,996) + 1 = 18 moves between two looks, where 256 would be too many
    assert 100 <= looks[0][-1] < 118
    assert max(np.diff(looks[0])) == 18
    # AND that depends on no clock
    assert looks[0] == looks[1]
    np.testing.assert_array_equal(*ends)


def test_a_flag_ends_it():
    one, stop, seen = graphs(30, 1), np.zeros(1, np.bool_), 0
    for _ in anneal(one, np.zeros((1, 30), np.int64), "makespan", lambda moves: 0.0, stop):
        seen += 1
        stop[0] = seen == 3
    assert seen == 3


def test_a_limit_of_time_is_kept_and_used():
    instances = graphs(60, 3, seed=5)
    solve(instances[:1], time_limit_s=0.01)  # compiles
    portfolio_s = latency(instances, make_policy("portfolio").decide(instances))
    for limit_s in (0.001, 0.2):
        begun_s = time.perf_counter()
        solutions = solve(instances, num_threads=1, time_limit_s=limit_s)
        taken_s = time.perf_counter() - begun_s
        is_open = ~solutions.optimal
        assert is_open.sum() * limit_s < taken_s < 3 * limit_s + 1.0
        assert np.all(solutions.latency_s <= portfolio_s)
        assert np.all(solutions.lower_bound_s <= solutions.latency_s)
    assert is_open.sum() > 1
    assert np.all(solutions.latency_s[is_open] < portfolio_s[is_open])


@pytest.mark.parametrize(
    ("scenario", "objective"),
    [
        ({"name": "default", "num_tasks": 1000}, "mean"),
        ({"name": "default", "num_tasks": 2000}, "makespan"),
        ({"name": "dag", "num_tasks": 1000}, "makespan"),
    ],
)
def test_a_limit_of_time_is_kept_for_many_tasks(scenario, objective):
    instances = sample_instances(scenario, 2, seed=8)
    solve(instances[:1], objective, time_limit_s=0.01)  # compiles
    portfolio_s = latency(instances, make_policy("portfolio", objective).decide(instances), objective)
    begun_s = time.perf_counter()
    solutions = solve(instances, objective, num_threads=2, time_limit_s=0.2)
    # The flips behind greedy alone take 4 s for a thousand tasks.
    assert time.perf_counter() - begun_s < 3.0
    assert np.all(solutions.latency_s <= portfolio_s)
    assert np.all(solutions.lower_bound_s > 0)


def test_within_a_limit_of_time_what_can_be_proven_is():
    instances = graphs(8, 10, seed=6)
    exact, timed = solve(instances), solve(instances, time_limit_s=1.0)
    assert timed.optimal.all()
    np.testing.assert_array_equal(timed.latency_s, exact.latency_s)
    np.testing.assert_array_equal(timed.lower_bound_s, exact.lower_bound_s)
    # AND the makespan of a chain has no limit
    chain = sample_instances(make_scenario("chain", num_tasks=120), 1, seed=7)
    assert solve(chain, time_limit_s=1e-6).optimal.all()
    # AND more than one limit holds
    assert not solve(graphs(30, 1), max_nodes=1, time_limit_s=10.0).optimal.any()


@pytest.mark.parametrize("limit_s", [0, -1.0, float("nan"), float("inf"), "1", True])
def test_a_limit_of_time_is_a_number_above_0(limit_s):
    with pytest.raises(ValueError, match=r"time_limit_s is .*; it must be .*above 0"):
        solve(graphs(5, 1), time_limit_s=limit_s)


def test_what_is_told_to_stop_before_it_begins_keeps_its_start(monkeypatch):
    instances, told = sample_instances({"num_tasks": 5}, 3, seed=0), np.ones(1, np.bool_)
    start = np.zeros((3, 5), np.int64)
    (kept,) = anneal(instances[:1], start[:1], "makespan", lambda num_moves: num_moves / 10_000, told)
    np.testing.assert_array_equal(kept, start[0])
    assert (local_search.local_search(instances, start) != start).any()
    monkeypatch.setattr(local_search, "new_stop", lambda: told)
    np.testing.assert_array_equal(local_search.local_search(instances, start), start)
