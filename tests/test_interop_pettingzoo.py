import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from pettingzoo.test import parallel_api_test, parallel_seed_test

from offload_gym.cell import cell_latency
from offload_gym.delay import latency
from offload_gym.envs.cell import sample_cell
from offload_gym.interop.pettingzoo import CellEnv, parallel_env
from offload_gym.observation import epoch_observations
from offload_gym.policies import make_policy

SCENARIO = {"name": "default", "num_tasks": 3}


def play(env, policy):
    """The decisions of a policy that is asked agent by agent."""
    return {agent: policy.decide(env.instances(agent))[0] for agent in env.agents}


@pytest.mark.parametrize("num_devices", [1, 4])
def test_api(num_devices, recwarn):
    parallel_api_test(parallel_env(scenario=SCENARIO, num_devices=num_devices), num_cycles=50)
    parallel_api_test(parallel_env(scenario=SCENARIO, num_devices=num_devices, num_epochs=None), num_cycles=50)
    parallel_seed_test(lambda: parallel_env(scenario=SCENARIO, num_devices=num_devices), num_cycles=20)
    assert [str(w.message) for w in recwarn] == []


def test_rewards_are_the_latencies_of_the_cell():
    env = CellEnv(SCENARIO, num_devices=4, objective="mean", num_epochs=3)
    env.reset(seed=7)
    for step in range(3):
        cell, agents = env.cell, env.agents
        actions = {agent: env.action_space(agent).sample() for agent in agents}
        observations, rewards, terminated, truncated, infos = env.step(actions)
        expected = cell_latency(cell, np.stack([actions[agent] for agent in agents]), "mean")
        scale_s = latency(cell, make_policy("greedy").decide(cell))
        for d, agent in enumerate(agents):
            assert infos[agent] == {"latency_s": pytest.approx(expected[d]), "scale_s": pytest.approx(scale_s[d])}
            assert rewards[agent] == -infos[agent]["latency_s"]
            assert env.observation_space(agent).contains(observations[agent])
        assert set(terminated.values()) == {step == 2}
        assert set(truncated.values()) == {False}
    assert env.agents == []
    with pytest.raises(gym.error.ResetNeeded, match="the episode is over"):
        env.step({})


def test_a_shared_reward_is_the_mean():
    alone, shared = (CellEnv(SCENARIO, 3, shared_reward=flag) for flag in (False, True))
    for env in (alone, shared):
        env.reset(seed=1)
    actions = {agent: np.array([1, 1, 2]) for agent in alone.agents}
    (_, own, _, _, infos), (_, team, _, _, same) = alone.step(actions), shared.step(actions)
    assert infos == same
    assert len(set(own.values())) == 3
    assert list(team.values()) == pytest.approx([np.mean(list(own.values()))] * 3)


def test_one_agent_sees_and_gets_what_the_joint_environment_shows():
    """GIVEN the epoch of a joint environment WHEN it is the cell of one agent THEN observation and reward are equal."""
    joint = gym.make("offload_gym/Joint-v0", scenario=SCENARIO)
    expected, _ = joint.reset(seed=3)
    env = CellEnv(SCENARIO, num_devices=1)
    env.reset(seed=3)
    instances = joint.unwrapped.instances
    env._cell = instances
    np.testing.assert_allclose(env._observe()["device_0"], expected, rtol=1e-6)
    assert env.observation_space("device_0") == joint.observation_space
    assert env.action_space("device_0") == joint.action_space
    action = np.array([2, 1, 0])
    _, rewards, _, _, _ = env.step({"device_0": action})
    _, reward, _, _, _ = joint.step(action)
    assert rewards["device_0"] == pytest.approx(reward, rel=1e-12)


def test_columns_are_where_the_documentation_says():
    env = CellEnv(SCENARIO, num_devices=3)
    observations, _ = env.reset(seed=5)
    n, num_locations, cores = 3, 3, env.scenario.cores
    size = 2 + 4 * (num_locations - 1)
    scale_s = latency(env.cell, make_policy("greedy").decide(env.cell))
    for d, agent in enumerate(env.agents):
        seen, cell = observations[agent] * scale_s[d], env.cell[d : d + 1]  # no value is so large that it is squashed
        for i in range(n):
            row, bits = seen[i * size : (i + 1) * size], cell.input_bits[0, i]
            assert row[0] == pytest.approx(scale_s[d])
            if row[1] < 2 * scale_s[d]:
                assert row[1] == pytest.approx(cell.workload_cycles[0, i] / cell.cpu_hz[0, 0], rel=1e-5)
            for k in (1, 2):
                assert row[4 * k - 2] == pytest.approx(bits / cell.uplink_bps[0, k], rel=1e-5)
                path_s = bits / cell.wired_bps[0, k] + cell.propagation_s[0, k]
                assert row[4 * k - 1] == pytest.approx(path_s, rel=1e-5)
                assert row[4 * k] == pytest.approx(cell.workload_cycles[0, i] / cell.cpu_hz[0, k], rel=1e-5)
        state = seen[n * size :]
        assert state[:3] == pytest.approx([0, 0, scale_s[d]])
        free = [cell.backlog_s[0, k] for k in range(3) for _ in range(cores[k])]
        assert state[3 : 3 + sum(cores)] == pytest.approx(free, rel=1e-5)
        completions = [latency(cell, [[k, 0, 0]])[0] for k in range(3)]  # of task 0, or of the local ones after it
        assert (state[3 + sum(cores) : 6 + sum(cores)] <= np.array(completions) + 1e-5).all()
        assert len(state) == 3 + sum(cores) + 9
    np.testing.assert_array_equal(env.state(), np.concatenate(list(observations.values())))
    assert env.state_space.contains(env.state())


@pytest.mark.parametrize("name", ["greedy", "student"])
def test_single_device_policies_play_it(name):
    env = CellEnv(num_devices=4, num_epochs=5)
    env.reset(seed=2)
    policy, random = make_policy(name), np.random.default_rng(0)
    total_s = random_s = 0.0
    while env.agents:
        actions = play(env, policy)
        np.testing.assert_array_equal(list(actions.values()), policy.decide(env.cell))
        random_s += cell_latency(env.cell, random.integers(0, 3, (4, 8))).sum()
        total_s -= sum(env.step(actions)[1].values())
    assert total_s < random_s


def test_seeds_and_episodes():
    env = CellEnv(SCENARIO, num_devices=2, num_epochs=1)

    def draws(seed):
        first = env.reset(seed=seed)[0]["device_0"]
        following = env.step(dict.fromkeys(env.agents, np.zeros(3, dtype=int)))[0]["device_0"]
        return [first, following, env.reset()[0]["device_1"]]

    first, again, other = draws(1), draws(1), draws(2)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()
    assert (first[0] != first[1]).any()
    env.reset(seed=1)
    drawn = sample_cell(SCENARIO, 2, gym.utils.seeding.np_random(1)[0])
    np.testing.assert_array_equal(env.cell.tasks, drawn.tasks)
    rows, _ = epoch_observations(drawn, np.zeros((2, 3), dtype=np.int64))
    np.testing.assert_array_equal(first[0][: rows[0].size], rows[0].ravel())


def test_observations_are_the_callers():
    env = CellEnv(SCENARIO, num_devices=2)
    first, _ = env.reset(seed=0)
    kept = {agent: values.copy() for agent, values in first.items()}
    first["device_0"][:] = 9.0
    assert env.state().max() <= 3
    env.step(dict.fromkeys(env.agents, np.zeros(3, dtype=int)))
    np.testing.assert_array_equal(first["device_1"], kept["device_1"])


def test_bad_arguments_and_actions():
    for arguments, message in (
        ({"scenario": "dag"}, "scenario is 'dag', whose tasks depend on each other"),
        ({"num_devices": 0}, "num_devices is 0"),
        ({"objective": "cost"}, "objective is 'cost'"),
        ({"num_epochs": 0}, "num_epochs is 0"),
        ({"shared_reward": 1}, "shared_reward is 1; it must be True or False"),
    ):
        with pytest.raises(ValueError, match=message):
            parallel_env(**arguments)
    env = CellEnv(SCENARIO, num_devices=2)
    for call in (lambda: env.step({}), lambda: env.cell, lambda: env.instances("device_0"), env.state):
        with pytest.raises(gym.error.ResetNeeded, match=r"call reset\(\) before"):
            call()
    env.reset(seed=0)
    good = np.zeros(3, dtype=int)
    with pytest.raises(ValueError, match="the actions are for device_0; device_1 has none"):
        env.step({"device_0": good})
    with pytest.raises(ValueError, match="the actions are for no agent; device_0 has none"):
        env.step({})
    with pytest.raises(ValueError, match="the actions have one of 'device_2'; the agents are device_0, device_1"):
        env.step({"device_0": good, "device_1": good, "device_2": good})
    assert not hasattr(CellEnv(SCENARIO), "cell")
    for bad in ([0, 0, 3], [0, 0], [0.0, 0.0, 0.0], [[0], [0, 1]], None):
        with pytest.raises(ValueError, match=r"the action of device_1 is .*; it must be 3 whole numbers from 0 to 2"):
            env.step({"device_0": good, "device_1": bad})
    with pytest.raises(ValueError, match="agent is 'device_2'; it must be one of device_0, device_1"):
        env.instances("device_2")


def test_without_pettingzoo_the_extra_is_named():
    program = "import sys; sys.modules['pettingzoo'] = None; import offload_gym.interop.pettingzoo"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "install the extra: pip install 'offload-gym[pettingzoo]'" in result.stderr
