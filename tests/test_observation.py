from itertools import product

import gymnasium as gym
import naive
import numpy as np
import pytest

import offload_gym
from offload_gym.instances import LOCATION_FIELDS, TASK_FIELDS
from offload_gym.observation import epoch_observations, squash
from offload_gym.observation_layout import observation_size, observation_space

JOINT, SEQUENTIAL = "offload_gym/Joint-v0", "offload_gym/Sequential-v0"
INF = float("inf")


def hand_instance(workload_gcycles=(1.0, 0.2, 0.4), **changes):
    """The case of three tasks and three locations whose greedy decision is 2 0 0 with a makespan of 0.6 s."""
    fields = {
        "input_bits": [[2e6, 2e6, 4e6]],
        "output_bits": [[0.1e6, 0.2e6, 0.4e6]],
        "workload_cycles": [[1e9 * g for g in workload_gcycles]],
        "cpu_hz": [[1e9, 4e9, 10e9]],
        "cores": [[1, 1, 2]],
        "backlog_s": [[0, 0.1, 0]],
        "uplink_bps": [[INF, 10e6, 10e6]],
        "downlink_bps": [[INF, 20e6, 20e6]],
        "wired_bps": [[INF, INF, 100e6]],
        "propagation_s": [[0, 0.005, 0.03]],
    }
    return offload_gym.Instances(**(fields | changes))


def slowed(instances, factor):
    """The same instances with all times multiplied by a factor."""
    fields = {name: getattr(instances, name) for name in TASK_FIELDS + LOCATION_FIELDS}
    for name in (*TASK_FIELDS, "propagation_s"):
        fields[name] = fields[name] * factor
    backlogs = {name: getattr(instances, name) * factor for name in ("backlog_s", "radio_backlog_s")}
    return offload_gym.Instances(**fields, **backlogs)


def unsquash(y):
    y = np.asarray(y, dtype=np.float64)
    return np.where(y <= 2, y, 1 + 1 / (3 - np.maximum(y, 2)))


def test_rows_and_states_of_the_hand_case():
    rows, states = epoch_observations(hand_instance(), np.array([[2, 0, 0]]))
    #               here  device  edge: send, path, run, return     cloud: send, path, run, return
    seconds = [
        [1.0, *(0.2, 0.005, 0.25, 0.005 + 0.005), *(0.2, 0.02 + 0.03, 0.10, 0.005 + 0.001 + 0.03)],
        [0.2, *(0.2, 0.005, 0.05, 0.010 + 0.005), *(0.2, 0.02 + 0.03, 0.02, 0.010 + 0.002 + 0.03)],
        [0.4, *(0.4, 0.005, 0.10, 0.020 + 0.005), *(0.4, 0.04 + 0.03, 0.04, 0.020 + 0.004 + 0.03)],
    ]
    np.testing.assert_allclose(rows[0, :, 1:], np.array(seconds) / 0.6, rtol=1e-6)
    np.testing.assert_array_equal(rows[0, :, 0], 1)
    # radio, makespan, device core, edge core, two cloud cores, completion of the next task at each location
    seconds = [
        [0.0, 0.000, *(0.0, 0.1, 0, 0.00), *(1.0, 0.465, 0.386)],
        [0.2, 0.386, *(0.0, 0.1, 0, 0.35), *(0.2, 0.470, 0.512)],
        [0.2, 0.386, *(0.2, 0.1, 0, 0.35), *(0.6, 0.730, 0.764)],
    ]
    np.testing.assert_allclose(np.delete(states[0, :, :10], 2, axis=1), np.array(seconds) / 0.6, rtol=1e-6)
    np.testing.assert_allclose(states[0, :, 2], [1, 2 / 3, 1 / 3], rtol=1e-6)


def test_backlogs_of_the_radio_and_of_each_core_are_seen_earliest_first():
    # Task 0 now sends from 0.5 s, so that greedy keeps all tasks on the device: the scale is 0.4 + 0.2 + 0.4 s.
    backlog_s = [[[0, 9], [0.1, 9], [0.7, 0.3]]]
    instances = hand_instance((0.4, 0.2, 0.4), backlog_s=backlog_s, radio_backlog_s=[0.5])
    _, states = epoch_observations(instances, np.array([[0, 0, 0]]))
    expected = [0.5, 0, 1, *(0, 0.1, 0.3, 0.7), *(0.4, 0.7 + 0.005 + 0.1 + 0.01, 0.7 + 0.05 + 0.04 + 0.036)]
    np.testing.assert_allclose(states[0, 0, :10], expected, rtol=1e-6)


def test_a_time_beyond_twice_the_scale_is_squashed():
    # On the device task 0 would take 3 s, five times the scale.
    rows, states = epoch_observations(hand_instance((3.0, 0.2, 0.4)), np.array([[2, 0, 0]]))
    assert rows[0, 0, 1] == pytest.approx(3 - 1 / (5 - 1), rel=1e-6)
    assert states[0, 0, 7] == rows[0, 0, 1]


def test_an_instance_that_takes_no_time_is_observed_in_seconds():
    nothing = hand_instance((0, 0, 0), input_bits=np.zeros((1, 3)), output_bits=np.zeros((1, 3)))
    rows, states = epoch_observations(nothing, np.array([[0, 0, 0]]))
    np.testing.assert_allclose(rows[0, 0], [1, 0, 0, 0.005, 0, 0.005, 0, 0.03, 0, 0.03], rtol=1e-6)
    roll_outs = [0, 0.105, 0.06, 0, 0.105 / 3, 0.06 / 3]
    np.testing.assert_allclose(states[0, 0], [0, 0, 1, 0, 0.1, 0, 0, 0, 0.105, 0.06, *roll_outs], rtol=1e-6)


@pytest.mark.parametrize("scenario", [{"num_tasks": 5}, {"num_tasks": 4, "num_edges": 2}, {"name": "dag"}])
def test_the_state_shows_what_each_choice_leads_to_with_greedy_after_it(scenario):
    instances = offload_gym.sample_instances({"name": "default", **scenario}, 15, seed=2)
    n, K = instances.num_tasks, instances.num_locations
    prefixes = np.random.default_rng(0).integers(0, K, (15, n))
    dependent = scenario.get("name") == "dag"
    _, states = epoch_observations(instances, prefixes, dependent)
    at = 3 + int(instances.cores[0].sum()) + K
    for b in range(15):
        problem = naive.from_instances(instances, b)
        scale_s = naive.latency(problem, naive.roll_out(problem, ()))
        for i in range(n):
            tried = [naive.roll_out(problem, (*prefixes[b, :i].tolist(), k)) for k in range(K)]
            expected = [[naive.latency(problem, d, o) for d in tried] for o in ("makespan", "mean")]
            shown = unsquash(states[b, i, at : at + 2 * K]).reshape(2, K)
            np.testing.assert_allclose(shown, np.array(expected) / scale_s, rtol=2e-5)


def test_squash_keeps_up_to_2_and_grows_on_below_3():
    grid = np.concatenate([np.linspace(0, 6, 2401), np.geomspace(6.1, 1e6, 500)])
    squashed = np.array([squash(x) for x in grid])
    np.testing.assert_array_equal(squashed[grid <= 2], grid[grid <= 2])
    assert (np.diff(squashed) > 0).all()  # injective, too
    assert squashed.max() < 3
    np.testing.assert_allclose(unsquash(squashed), grid, rtol=1e-9)
    # THEN value and slope are continuous at 2
    assert squash(2 + 1e-9) == pytest.approx(2, abs=1e-8)
    assert (squash(2 + 1e-6) - squash(2.0)) / 1e-6 == pytest.approx(1, abs=1e-4)
    assert squash(4.0) == pytest.approx(3 - 1 / 3)


@pytest.mark.parametrize("factor", [1e-4, 7.3, 1e5])
def test_observations_do_not_change_when_all_times_grow_by_a_factor(factor):
    instances = offload_gym.sample_instances({"name": "default", "num_edges": 2, "cloud_backlog_s": 0.2}, 50, seed=1)
    instances.radio_backlog_s[:] = np.random.default_rng(0).exponential(0.1, 50)
    decisions = np.random.default_rng(1).integers(0, 4, (50, 8))
    for one, other in zip(
        epoch_observations(instances, decisions), epoch_observations(slowed(instances, factor), decisions), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=3e-7, atol=0)


EXTREMES = {
    "one bit a second": {"uplink_bps": (1.0, 1.0)},
    "fast radio": {"uplink_bps": (1e15, 1e15), "downlink_ratio": (1e-9, 1e9)},
    "huge backlogs": {"device_backlog_s": 1e6, "edge_backlog_s": 1e9, "cloud_backlog_s": 1e12},
    "slow machines": {"device_hz": (1e-3, 1e-3), "edge_hz": (1e-6, 1e12)},
    "tasks of size 0": {"task_types": [(0, 0, 0)], "device_backlog_s": 0},
    "some tasks of size 0": {"task_types": [(0, 0, 0), (1e12, 1e15, 0), (0, 0, 1e18), (1, 1, 1)]},
    "one task, no edge server": {"num_tasks": 1, "num_edges": 0},
}


@pytest.mark.parametrize("env_id", [JOINT, SEQUENTIAL])
@pytest.mark.parametrize("name", [*EXTREMES, "outage"])
def test_observations_of_extreme_scenarios_stay_in_the_space(env_id, name, tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("mbps\n" + "0\n" * 5000 + "1e-6\n")
    scenario = {"name": "default", **EXTREMES.get(name, {"radio": "trace", "trace_path": str(path)})}
    env = gym.make(env_id, scenario=scenario, num_epochs=None, disable_env_checker=True)
    env.action_space.seed(0)
    observations = [env.reset(seed=0)[0]]
    for _ in range(24):
        observation, reward, *_ = env.step(env.action_space.sample())
        observations.append(observation)
        assert np.isfinite(reward)
    assert np.isfinite(observations).all()
    assert all(observation in env.observation_space for observation in observations)
    assert np.ptp(observations, axis=0).max() > 0 or name == "tasks of size 0"


def test_the_size_counts_rows_cores_and_locations():
    assert observation_size(8, (1, 2, 8)) == 8 * (2 + 4 * 2) + 3 + 11 + 3 * 3
    assert observation_size(3, (2, 8)) == 3 * (2 + 4) + 3 + 10 + 3 * 2
    space = observation_space(8, (1, 2, 8))
    assert (space.shape, space.dtype, space.low.max(), space.high.min()) == ((103,), np.float32, 0, 3)


@pytest.mark.parametrize("scenario", ["default", {"name": "vision", "num_tasks": 5, "num_edges": 2}])
def test_environments_show_the_rows_and_states_of_epoch_observations(scenario):
    joint, sequential = gym.make(JOINT, scenario=scenario), gym.make(SEQUENTIAL, scenario=scenario)
    seen, start = sequential.reset(seed=0)[0], joint.reset(seed=0)[0]
    rng = np.random.default_rng(0)
    for _ in range(4):
        instances = sequential.unwrapped.instances
        decision = rng.integers(0, instances.num_locations, instances.num_tasks)
        rows, states = (array[0] for array in epoch_observations(instances, decision[None]))
        np.testing.assert_array_equal(start, [*rows.ravel(), *states[0]])
        for i, k in enumerate(decision):
            np.testing.assert_array_equal(seen, [*rows[i:].ravel(), *np.zeros(rows[:i].size), *states[i]])
            seen = sequential.step(k)[0]
        start = joint.step(decision)[0]


@pytest.mark.parametrize("env_id", [JOINT, SEQUENTIAL])
@pytest.mark.parametrize("scenario", ["default", "vision", {"name": "default", "num_tasks": 3, "num_edges": 2}])
def test_each_step_returns_fresh_values_of_gymnasiums_types(env_id, scenario):
    env = gym.make(env_id, scenario=scenario, num_epochs=None).unwrapped
    observation, info = env.reset(seed=0)
    assert (info, observation.dtype) == ({}, np.float32)
    kept = [observation, *env.instances.arrays]
    copies = [array.copy() for array in kept]
    for _ in range(3 * env.scenario.num_tasks):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert observation in env.observation_space
        assert (type(reward), type(terminated), type(truncated), type(info)) == (float, bool, bool, dict)
        assert all(type(value) is float for value in info.values())
        kept.append(observation)
        copies.append(observation.copy())
    np.testing.assert_equal(kept, copies)


@pytest.mark.parametrize("env_id", [JOINT, SEQUENTIAL])
def test_normalize_observation_subtracts_the_mean_and_divides_by_the_deviation(env_id):
    plain, inner = (gym.make(env_id, num_epochs=None) for _ in range(2))
    normalized = gym.wrappers.NormalizeObservation(inner)
    plain.action_space.seed(0)
    raw, normal = [plain.reset(seed=0)[0]], normalized.reset(seed=0)[0]
    for _ in range(30):
        action = plain.action_space.sample()
        raw.append(plain.step(action)[0])
        normal = normalized.step(action)[0]
    deviation = np.sqrt(np.var(raw, axis=0) + 1e-8)
    moving = deviation > 0.03
    assert moving.mean() > 0.3
    expected = (raw[-1] - np.mean(raw, axis=0)) / deviation
    np.testing.assert_allclose(normal[moving], expected[moving], atol=0.02)


def test_instances_with_other_cores_cannot_be_observed_together():
    one = offload_gym.sample_instances("default", 1)
    both = offload_gym.Instances.concatenate([one, one])
    both = both.replace(cores=[both.cores[0], (*both.cores[0, :2], 4)])
    with pytest.raises(ValueError, match="same cores"):
        epoch_observations(both, np.zeros((2, 8), dtype=np.int64))


def best_from(observation, n, cores, objective):
    """The best latency over all decisions, in units of the scale, from nothing but the observation."""
    K = len(cores)
    numbers = unsquash(observation)
    rows, state = numbers[: n * (4 * K - 2)].reshape(n, 4 * K - 2), numbers[n * (4 * K - 2) :]
    stages = rows[:, 2:].reshape(n, K - 1, 4)
    ends = 3 + np.cumsum(cores)
    best = INF
    for decision in product(range(K), repeat=n):
        radio = state[0]
        free = [list(state[end - count : end]) for end, count in zip(ends, cores, strict=True)]
        completions = []
        for i, k in enumerate(decision):
            send, path, run, back = stages[i, k - 1] if k else (0, 0, rows[i, 1], 0)
            radio += send
            core = min(range(cores[k]), key=free[k].__getitem__)
            free[k][core] = max(free[k][core], radio + path if k else 0) + run
            completions.append(free[k][core] + back)
        best = min(best, max(completions) if objective == "makespan" else np.mean(completions))
    return best


@pytest.mark.parametrize("objective", ["makespan", "mean"])
@pytest.mark.parametrize("bounded", [True, False])
def test_the_optimum_follows_from_the_observation_alone(objective, bounded):
    scenario = {"name": "default", "num_tasks": 4, "cloud_backlog_s": 0.05}
    if bounded:  # no time is beyond twice the scale, so nothing is squashed
        scenario |= {"device_hz": (8e9, 9e9), "edge_hz": (8e9, 9e9), "cloud_hz": (8e9, 9e9), "uplink_bps": (6e7, 8e7)}
        scenario |= {"input_bits": (2e6, 3e6), "cycles_per_bit": (200, 250)}
        scenario |= {f"{place}_backlog_s": 0.01 for place in ("device", "edge", "cloud")}
    env = gym.make(JOINT, scenario=scenario, objective=objective)
    largest = []
    for seed in range(25):
        observation, _ = env.reset(seed=seed)
        optimum_s = offload_gym.solve(env.unwrapped.instances, objective).latency_s[0]
        found = best_from(observation, 4, env.unwrapped.scenario.cores, objective)
        assert found == pytest.approx(optimum_s / env.unwrapped.scale_s, rel=1e-5)
        largest.append(observation.max())
    assert (max(largest) <= 2) == bounded


@pytest.mark.parametrize("prefixes", [np.full((2, 8), 7), np.full((2, 8), -1), np.zeros((2, 3), dtype=int)])
def test_prefixes_are_checked(prefixes):
    with pytest.raises(ValueError, match="decisions"):
        epoch_observations(offload_gym.sample_instances("default", 2), prefixes)
