"""Energy of the device, and the objective "cost" made of it and the makespan."""

import itertools

import gymnasium as gym
import naive
import numpy as np
import pytest
from test_dependencies import random_problems

import offload_gym
from offload_gym import OBJECTIVES, Instances, energy, latency, sample_instances, solve
from offload_gym.demonstrations import label, load_demonstrations, save_demonstrations
from offload_gym.instances import TASK_FIELDS
from offload_gym.solvers.beam import beam_search
from offload_gym.solvers.greedy import greedy
from offload_gym.solvers.local_search import local_search

POWER = {"kappa": 2e-28, "transmit_w": 0.7, "idle_w": 0.2, "energy_weight_s_per_j": 1.5}


def powered(instances, rng=None, **power):
    """The instances with powers: those given, or random ones."""
    size = len(instances)
    values = {name: np.full(size, value) for name, value in {**POWER, **power}.items()}
    if rng is not None:
        values = {name: value * rng.uniform(0, 3, size) for name, value in values.items()}
    array = np.stack([values[name] for name in POWER], axis=1)
    return instances.replace(**dict(zip(POWER, array.T, strict=True)))


def test_energy_by_hand(hand_fields):
    # decision 2 1 0: task 2 runs on the device for 0.4 s at 1 GHz; the radio sends 4 Mbit at 10 Mbit/s
    power = {"kappa": [1e-27], "transmit_w": [0.5], "idle_w": [0.1], "energy_weight_s_per_j": [2.0]}
    instances = Instances(**hand_fields, **power)
    joules = 1e-27 * 1e18 * 0.4e9 + 0.5 * 0.4 + 0.1 * 0.47
    np.testing.assert_allclose(energy(instances, [[2, 1, 0]]), [joules])
    np.testing.assert_allclose(latency(instances, [[2, 1, 0]], "cost"), [0.47 + 2 * joules])


def test_energy_and_cost_equal_the_naive_twin():
    rng = np.random.default_rng(0)
    for instances, _ in random_problems(60, max_tasks=8, max_locations=4, seed=51):
        with_power = powered(instances, rng)
        decisions = rng.integers(0, instances.num_locations, (len(instances), instances.num_tasks))
        joules, cost_s = energy(with_power, decisions), latency(with_power, decisions, "cost")
        for b, decision in enumerate(decisions.tolist()):
            assert joules[b] == pytest.approx(naive.energy(naive.from_instances(with_power, b), decision), rel=1e-12)
            assert cost_s[b] == pytest.approx(
                naive.latency(naive.from_instances(with_power, b), decision, "cost"), rel=1e-12
            )


def test_the_least_cost_equals_brute_force():
    rng = np.random.default_rng(1)
    shared = 0
    for instances, _ in random_problems(60, max_tasks=5, max_locations=4, seed=52, size=2):
        with_power = powered(instances, rng)
        solutions = solve(with_power, "cost")
        n, K = with_power.num_tasks, with_power.num_locations
        for b in range(len(with_power)):
            best = min(
                naive.latency(naive.from_instances(with_power, b), d, "cost")
                for d in itertools.product(range(K), repeat=n)
            )
            assert solutions.latency_s[b] == pytest.approx(best, rel=1e-9)
        assert solutions.optimal.all()
        shared += (solutions.decisions == solve(with_power).decisions).all()
    assert shared < 60  # the price of energy changes decisions


@pytest.mark.parametrize("scenario", [{"num_tasks": 7}, {"name": "dag", "num_tasks": 7, "num_edges": 1}])
def test_the_least_cost_of_more_tasks_equals_enumeration(scenario):
    # Searches of 7 tasks and more use further bounds.
    rng = np.random.default_rng(2)
    instances = powered(sample_instances(scenario, 12, seed=8), rng)
    every = np.array(list(itertools.product(range(3), repeat=7)))
    solutions = solve(instances, "cost")
    for b in range(12):
        repeated = instances[np.full(len(every), b)]
        assert solutions.latency_s[b] == pytest.approx(latency(repeated, every, "cost").min(), rel=1e-12)


def test_without_prices_the_cost_is_the_makespan():
    instances = powered(sample_instances("default", 50, seed=3), energy_weight_s_per_j=0.0)
    np.testing.assert_allclose(solve(instances, "cost").latency_s, solve(instances).latency_s, rtol=1e-12)


def test_a_dear_radio_keeps_tasks_on_the_device():
    instances = powered(sample_instances("default", 50, seed=4), transmit_w=1e6, kappa=0.0)
    assert (solve(instances, "cost").decisions == 0).all()
    assert (solve(instances).decisions > 0).any()


def test_an_unfinished_search_has_a_valid_bound():
    instances = sample_instances({"num_tasks": 14}, 20, seed=5)
    short, full = solve(instances, "cost", max_nodes=20), solve(instances, "cost")
    assert not short.optimal.all()
    assert (short.lower_bound_s <= full.latency_s * (1 + 1e-12)).all()
    assert (short.lower_bound_s > 0).all()
    assert (short.latency_s >= full.latency_s * (1 - 1e-12)).all()


def test_heuristics_reach_for_the_cost():
    instances = sample_instances("default", 200, seed=6)
    optimum_s = solve(instances, "cost").latency_s
    plain, flipped = greedy(instances), greedy(instances, objective="cost", moves="flip")
    beam = beam_search(instances, 16, "cost", "flip")
    gap = {
        name: (latency(instances, d, "cost") / optimum_s - 1).mean()
        for name, d in {"greedy": plain, "flip": flipped, "beam": beam}.items()
    }
    assert 0 <= gap["beam"] < gap["flip"] < gap["greedy"]
    np.testing.assert_array_equal(local_search(instances, plain, "cost"), flipped)


@pytest.mark.parametrize("scenario", ["default", "dag"])
def test_labels_of_the_cost_are_consistent(scenario, tmp_path):
    instances = sample_instances({"name": scenario, "num_tasks": 5}, 8, seed=7)
    rng = np.random.default_rng(0)
    explore = rng.integers(-1, instances.num_locations, (8, 5))
    labels = label(instances, "cost", explore)
    for b in range(8):
        for i in range(5):
            for k in range(instances.num_locations):
                prefix = (*labels.prefixes[b, :i].tolist(), k)
                rest = itertools.product(range(instances.num_locations), repeat=4 - i)
                best = min(naive.latency(naive.from_instances(instances, b), prefix + r, "cost") for r in rest)
                assert labels.alternative_s[b, i, k] == pytest.approx(best, rel=1e-9)
    save_demonstrations(tmp_path / "cost.npz", labels)
    np.testing.assert_array_equal(load_demonstrations(tmp_path / "cost.npz").instances.power, instances.power)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("scenario", ["default", "dag"])
def test_environments_agree_on_rewards_and_energy(objective, scenario):
    kwargs = {"scenario": scenario, "objective": objective, "num_epochs": 3}
    joint, sequential = (gym.make(f"offload_gym/{form}-v0", **kwargs) for form in ("Joint", "Sequential"))
    for env in (joint, sequential):
        observation, _ = env.reset(seed=8)
        assert env.observation_space.contains(observation)
    for _ in range(3):
        instances = joint.unwrapped.instances
        decision = joint.action_space.sample()
        _, reward, _, _, info = joint.step(decision)
        assert -reward == pytest.approx(latency(instances, decision[None], objective)[0])
        assert info["energy_j"] == pytest.approx(energy(instances, decision[None])[0])
        assert info["latency_s"] == -reward
        assert info["makespan_s"] == pytest.approx(latency(instances, decision[None])[0])
        steps = [sequential.step(int(k)) for k in decision]
        assert sum(step[1] for step in steps) == pytest.approx(reward)
        assert steps[-1][4] == pytest.approx(info)
        assert all(sequential.observation_space.contains(step[0]) for step in steps)


def test_observations_end_with_the_prices():
    env = gym.make("offload_gym/Sequential-v0", scenario="default", objective="cost")
    observation, _ = env.reset(seed=1)
    one = env.unwrapped.instances
    kappa, transmit_w, idle_w, weight = one.power[0]
    share = weight / (1 + weight * idle_w)
    expected = [share * kappa * one.cpu_hz[0, 0] ** 3, share * transmit_w]
    np.testing.assert_allclose(observation[-2:], expected, rtol=1e-6)
    np.testing.assert_allclose(env.step(0)[0][-2:], expected, rtol=1e-6)


@pytest.mark.parametrize("field", list(POWER))
def test_bad_powers_give_one_sentence(hand_fields, field):
    with pytest.raises(ValueError, match=rf"{field}\[0\] is -1.0; it must be finite and at least 0"):
        Instances(**hand_fields, **{field: [-1.0]})
    with pytest.raises(ValueError, match=rf"{field} has the shape \(2,\); it must be \(1,\)"):
        Instances(**hand_fields, **{field: [1.0, 2.0]})
    with pytest.raises(ValueError, match=f"{field} is -1; it must be finite and at least 0"):
        offload_gym.make_scenario(**{field: -1})


def test_swaps_of_equal_tasks_end(hand_fields):
    # Where two tasks are alike, their places can be exchanged without effect but on the rounding of the sum of prices.
    rng = np.random.default_rng(0)
    for _ in range(40):
        instances = sample_instances({"name": "default", "num_tasks": 4, "energy_weight_s_per_j": 0.3}, 1, rng)
        alike = instances.replace(**{name: getattr(instances, name)[:, [0, 0, 2, 2]] for name in TASK_FIELDS})
        start = rng.integers(0, 3, (1, 4))
        swapped, flipped = (local_search(alike, start, "cost", moves=moves) for moves in ("swap", "flip"))
        assert latency(alike, swapped, "cost") <= latency(alike, flipped, "cost") * (1 + 1e-12)


def test_networks_do_not_take_the_objective(tmp_path):
    from agents.training import Settings

    with pytest.raises(ValueError, match="objective is 'cost'; networks do not see prices: it must be"):
        Settings(objective="cost")
