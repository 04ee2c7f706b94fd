"""Estimates instead of the truth, and work that carries over."""

import gymnasium as gym
import numpy as np
import pytest

from offload_gym import (
    estimate_instances,
    generate_demonstrations,
    latency,
    make_policy,
    sample_consecutive,
    sample_instances,
    schedule,
)
from offload_gym.demonstrations import load_demonstrations, save_demonstrations
from offload_gym.observation import epoch_observations

FORMS = ("offload_gym/Joint-v0", "offload_gym/Sequential-v0")


def play_epoch(env, decision):
    """Steps of either environment that decide one epoch."""
    if env.unwrapped.spec.id == FORMS[0]:
        return [env.step(decision)]
    return [env.step(int(k)) for k in decision]


def test_estimates_have_the_stated_distribution():
    instances = sample_instances({"num_edges": 2}, 20_000, seed=1)
    seen = estimate_instances(instances, 0.3, seed=2)
    rates = np.log(seen.uplink_bps[:, 1:] / instances.uplink_bps[:, 1:])
    assert rates.std() == pytest.approx(0.3, rel=0.02)
    assert abs(np.median(rates)) < 0.01
    np.testing.assert_allclose(rates, np.repeat(rates[:, :1], 3, axis=1), atol=1e-12)
    np.testing.assert_allclose(np.log(seen.downlink_bps[:, 1:] / instances.downlink_bps[:, 1:]), rates, atol=1e-12)
    backlogs = np.log(seen.backlog_s[:, :3] / instances.backlog_s[:, :3])
    assert backlogs.std(axis=0) == pytest.approx(0.3, rel=0.03)
    assert np.abs(np.corrcoef(np.column_stack([backlogs, rates[:, :1]]).T) - np.eye(4)).max() < 0.03
    assert (seen.backlog_s[:, 3] == 0).all()  # the cloud's backlog is none, and is seen so
    for field in ("input_bits", "workload_cycles", "cpu_hz", "wired_bps", "propagation_s"):
        np.testing.assert_array_equal(getattr(seen, field), getattr(instances, field))
    assert estimate_instances(instances, 0.0) is instances


@pytest.mark.parametrize("env_id", FORMS)
@pytest.mark.parametrize("noise", [0.5, "last"])
def test_the_policy_sees_estimates_and_is_paid_by_the_truth(env_id, noise):
    env = gym.make(env_id, observation_noise=noise, num_epochs=20)
    plain = gym.make(env_id, num_epochs=20)
    env.reset(seed=1)
    plain.reset(seed=1)
    differs = 0
    for _ in range(20):
        seen, true = env.unwrapped.instances, env.unwrapped.true_instances
        decision = make_policy("exact").decide(seen)[0]
        observation = None
        steps = play_epoch(env, decision)
        assert -sum(step[1] for step in steps) == pytest.approx(latency(true, decision[None])[0], rel=1e-9)
        assert steps[-1][4]["latency_s"] == pytest.approx(latency(true, decision[None])[0], rel=1e-9)
        differs += not np.isclose(latency(true, decision[None])[0], latency(seen, decision[None])[0])
        np.testing.assert_array_equal(seen.tasks, true.tasks)
        observation = steps[-1][0]
        assert env.observation_space.contains(observation)
    assert differs == 20


@pytest.mark.parametrize("env_id", FORMS)
@pytest.mark.parametrize("scenario", ["default", "dag"])
@pytest.mark.parametrize("noise", [0.5, "last"])
def test_observations_show_the_estimates_and_nothing_else(env_id, scenario, noise):
    env = gym.make(env_id, scenario=scenario, observation_noise=noise, num_epochs=None).unwrapped
    observation, _ = env.reset(seed=3)
    for _ in range(3):
        seen, true, n = env.instances, env.true_instances, env.scenario.most_tasks
        decision = np.random.default_rng(1).integers(0, seen.num_locations, n)
        steps = play_epoch(env, decision)
        # GIVEN what networks are shown of the estimates
        (rows, states), (_, of_truth) = (
            epoch_observations(instances, decision[None], env.scenario.dependent) for instances in (seen, true)
        )
        # THEN the environment shows the same at each step, and not the truth
        for i, shown in enumerate([observation, *(step[0] for step in steps[:-1])]):
            kept = (n - i) * rows.shape[2]
            np.testing.assert_array_equal(shown[:kept], rows[0, i:].ravel())
            assert (shown[kept : n * rows.shape[2]] == 0).all()
            state = shown[n * rows.shape[2] :][: states.shape[2]]
            np.testing.assert_array_equal(state, states[0, i])
            assert (state != of_truth[0, i]).any()
        observation = steps[-1][0]


@pytest.mark.parametrize("carry_over", [False, True])
def test_the_same_seed_gives_the_same_epochs_whatever_is_seen_of_them(carry_over):
    kwargs = {"scenario": {"epoch_s": 0.2}, "num_epochs": None, "carry_over": carry_over}
    envs = [gym.make(FORMS[0], observation_noise=noise, **kwargs).unwrapped for noise in (0.0, 0.3, 1.0)]
    for env in envs:
        env.reset(seed=4)
    for _ in range(4):
        action = envs[0].action_space.sample()
        for env in envs[1:]:
            np.testing.assert_equal(env.true_instances.arrays, envs[0].true_instances.arrays)
        for env in envs:
            env.step(action)
    estimates = []
    for _ in range(2):  # AND a seed gives the same estimates again
        envs[1].reset(seed=5)
        estimates.append(envs[1].instances.uplink_bps.copy())
    np.testing.assert_array_equal(*estimates)


def test_the_last_measurement_is_that_of_the_epoch_before():
    env = gym.make(FORMS[0], observation_noise="last", num_epochs=None).unwrapped
    env.reset(seed=2)
    for _ in range(5):
        before = env.true_instances
        env.step(env.action_space.sample())
        np.testing.assert_array_equal(env.instances.uplink_bps, before.uplink_bps)
        np.testing.assert_array_equal(env.instances.backlog_s, before.backlog_s)
        assert (env.true_instances.uplink_bps[:, 1:] != before.uplink_bps[:, 1:]).all()
    first, second = sample_consecutive("default", 2000, seed=3)
    correlation = np.corrcoef(np.log(first.uplink_bps[:, 1]), np.log(second.uplink_bps[:, 1]))[0, 1]
    assert 0.85 < correlation < 0.92  # 0.9 for the Gaussian variable behind it
    np.testing.assert_array_equal(first.cpu_hz, second.cpu_hz)


def test_demonstrations_show_estimates_and_are_labelled_by_the_truth(tmp_path):
    true = generate_demonstrations("default", 40, seed=4)
    made = generate_demonstrations("default", 40, seed=4, observation_noise=0.4)
    np.testing.assert_array_equal(made.decisions, true.decisions)
    np.testing.assert_array_equal(made.alternative_s, true.alternative_s)
    assert (made.seen.uplink_bps[:, 1:] != made.instances.uplink_bps[:, 1:]).all()
    assert true.seen is true.instances
    save_demonstrations(tmp_path / "seen.npz", made)
    again = load_demonstrations(tmp_path / "seen.npz")
    np.testing.assert_array_equal(again.seen.uplink_bps, made.seen.uplink_bps)
    np.testing.assert_array_equal(again.seen.backlog_s, made.seen.backlog_s)
    np.testing.assert_array_equal(made.part(slice(3, 5)).seen.uplink_bps, made.seen.uplink_bps[3:5])


@pytest.mark.parametrize("env_id", FORMS)
@pytest.mark.parametrize(("scenario", "noise"), [("default", 0.0), ("dag", 0.0), ("default", 0.5), ("dag", 0.5)])
def test_work_left_stays_in_the_queues(env_id, scenario, noise):
    # GIVEN epochs that follow each other faster than the work is done, and the same draws without carry-over
    changes = {"name": scenario, "epoch_s": 0.05}
    carrying, plain = (
        gym.make(env_id, scenario=changes, carry_over=carry, num_epochs=6, observation_noise=noise)
        for carry in (True, False)
    )
    for env in (carrying, plain):
        env.reset(seed=5)
    waits = 0
    for _ in range(6):
        one, fresh = carrying.unwrapped.true_instances, plain.unwrapped.true_instances
        np.testing.assert_array_equal(one.tasks, fresh.tasks)
        decision = make_policy("greedy").decide(one)[0]
        made = schedule(one, decision)
        free_s, radio_s = made.backlog_s.copy(), max(np.nanmax([0.0, *made.send_end_s]), made.radio_backlog_s)
        for k, core, finish_s in zip(made.location, made.core, made.finish_s, strict=True):
            free_s[k, core] = max(free_s[k, core], finish_s)
        play_epoch(carrying, decision)
        play_epoch(plain, decision)
        # THEN each core and the radio are free when their work is done, or the new backlog, whichever is later
        after, drawn = carrying.unwrapped.true_instances, plain.unwrapped.true_instances
        cores = np.isfinite(free_s)
        expected = np.maximum(free_s - 0.05, drawn.backlog_s[0][:, None])[cores]
        np.testing.assert_allclose(after.backlog_s[0][cores], expected, rtol=1e-12)
        assert after.radio_backlog_s[0] == pytest.approx(max(radio_s - 0.05, 0.0))
        waits += after.radio_backlog_s[0] > 0
    assert waits > 3


def test_without_pressure_nothing_carries_over():
    kwargs = {"scenario": {"epoch_s": 1e6}, "num_epochs": 3}
    carrying, plain = (gym.make(FORMS[0], carry_over=carry, **kwargs) for carry in (True, False))
    observations = [env.reset(seed=6)[0] for env in (carrying, plain)]
    for _ in range(3):
        np.testing.assert_array_equal(*observations)
        action = carrying.action_space.sample()
        observations = [env.step(action)[0] for env in (carrying, plain)]


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"observation_noise": -0.1}, "observation_noise is -0.1; it must be a number from 0 to 10, or 'last'"),
        ({"observation_noise": "first"}, "observation_noise is 'first'; it must be a number"),
        ({"observation_noise": float("nan")}, "observation_noise is nan"),
        ({"observation_noise": True}, "observation_noise is True"),
        ({"observation_noise": 800}, "observation_noise is 800; it must be a number from 0 to 10"),
        ({"observation_noise": np.array([0.1, 0.2])}, "observation_noise is array"),
        ({"carry_over": 1}, "carry_over is 1; it must be True or False"),
    ],
)
def test_bad_arguments_give_one_sentence(kwargs, sentence):
    with pytest.raises(ValueError, match=sentence):
        gym.make(FORMS[0], **kwargs)


def test_bad_estimates_give_one_sentence():
    instances = sample_instances("default", 2)
    with pytest.raises(ValueError, match=r"^noise is 'last'; it must be a number from 0 to 10$"):
        estimate_instances(instances, "last")
    with pytest.raises(ValueError, match="seed is -1; it must be at least 0"):
        estimate_instances(instances, 0.1, seed=-1)
