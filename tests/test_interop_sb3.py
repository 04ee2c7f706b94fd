"""The environments of stable-baselines3 are the native vector environments."""

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

from offload_gym.delay import latency
from offload_gym.envs.vector import VectorJointEnv, VectorSequentialEnv
from offload_gym.interop.sb3 import SB3VecEnv
from offload_gym.policies import make_policy


def make(vector_env=VectorSequentialEnv, **changes):
    scenario = {"name": "default", "num_tasks": 3}
    return vector_env(5, scenario, **({"num_epochs": 2, "autoreset_mode": "SameStep"} | changes))


@pytest.mark.parametrize("vector_env", [VectorJointEnv, VectorSequentialEnv])
def test_steps_are_those_of_the_vector_environment(vector_env):
    plain, adapted = make(vector_env), SB3VecEnv(make(vector_env))
    adapted.seed(3)
    np.testing.assert_array_equal(adapted.reset(), plain.reset(seed=3)[0])
    plain.action_space.seed(0)
    ended = over = 0
    for _ in range(20):
        actions = plain.action_space.sample()
        observations, rewards, dones, infos = adapted.step(actions)
        expected, expected_rewards, terminated, _, arrays = plain.step(actions)
        np.testing.assert_array_equal(observations, expected)
        np.testing.assert_array_equal(rewards, expected_rewards.astype(np.float32))
        np.testing.assert_array_equal(dones, terminated)
        for b, info in enumerate(infos):
            final = arrays["final_info"] if terminated[b] else arrays
            assert ("terminal_observation" in info) == terminated[b]
            if terminated[b]:
                np.testing.assert_array_equal(info["terminal_observation"], arrays["final_obs"][b])
                assert info["TimeLimit.truncated"] is False
            assert ("latency_s" in info) == bool(final.get("_latency_s", np.zeros(5))[b])
            if "latency_s" in info:
                assert info["latency_s"] == final["latency_s"][b]
                ended += 1
        over += int(dones.sum())
    assert ended == 2 * over > 0


def test_a_seed_counts_once_and_observations_are_kept():
    adapted = SB3VecEnv(make())
    adapted.seed(3)
    first = adapted.reset()
    copy = first.copy()
    assert (adapted.reset() != first).any()
    for _ in range(6):
        _, rewards, dones, infos = adapted.step(np.zeros(5, dtype=np.int64))
    last = [info["terminal_observation"].copy() for info in infos]
    assert (rewards.dtype, dones.dtype) == (np.float32, np.bool_)
    assert dones.all()
    adapted.step(np.zeros(5, dtype=np.int64))
    np.testing.assert_array_equal([info["terminal_observation"] for info in infos], last)
    np.testing.assert_array_equal(first, copy)


def test_a_monitor_sees_returns_of_episodes():
    monitored = VecMonitor(SB3VecEnv(make(VectorJointEnv, num_epochs=1)))
    monitored.reset()
    _, rewards, _, infos = monitored.step(np.zeros((5, 3), dtype=np.int64))
    assert [info["episode"]["r"] for info in infos] == pytest.approx([-info["latency_s"] for info in infos], abs=1e-5)
    assert rewards == pytest.approx([-info["latency_s"] for info in infos])


def test_an_environment_of_make_vec_will_do():
    mode = {"vectorization_mode": "vector_entry_point", "autoreset_mode": "SameStep"}
    assert SB3VecEnv(gym.make_vec("offload_gym/Joint-v0", num_envs=3, **mode)).reset().shape == (3, 103)
    # AND without roll-outs there are two numbers less for each of three locations
    plain = SB3VecEnv(gym.make_vec("offload_gym/Joint-v0", num_envs=3, roll_outs=False, **mode))
    assert plain.reset().shape == (3, *plain.observation_space.shape) == (3, 97)


def test_ppo_trains_on_it():
    agent = PPO(
        "MlpPolicy", SB3VecEnv(make(roll_outs=False)), n_steps=16, batch_size=16, n_epochs=1, device="cpu", seed=0
    )
    agent.learn(160)
    assert agent.num_timesteps == 160


def test_what_single_environments_would_do_is_refused():
    with pytest.raises(ValueError, match="autoreset_mode is 'NextStep'; stable-baselines3 needs 'SameStep'"):
        SB3VecEnv(make(autoreset_mode="NextStep"))
    for other in ("offload_gym/Joint-v0", gym.make_vec("offload_gym/Joint-v0", num_envs=2, vectorization_mode="sync")):
        with pytest.raises(ValueError, match=r"env is .*Joint-v0.*; it must be a native vector environment"):
            SB3VecEnv(other)
    adapted = SB3VecEnv(make())
    adapted.set_options({"reset_mask": [True] * 5})
    with pytest.raises(ValueError, match="these environments have none"):
        adapted.reset()
    adapted.set_options()
    adapted.reset()
    scales_s, instances = adapted.get_attr("scale_s"), adapted.get_attr("instances", 3)
    assert (len(scales_s), len(instances), len(instances[0])) == (5, 1, 1)
    greedy_s = latency(instances[0], make_policy("greedy").decide(instances[0]))
    assert scales_s[3] == pytest.approx(greedy_s[0])
    assert adapted.get_attr("num_epochs", [1, 3]) == [2, 2]
    assert adapted.env_is_wrapped(VecMonitor) == [False] * 5
    for call in (lambda: adapted.set_attr("num_epochs", 3), lambda: adapted.env_method("reset")):
        with pytest.raises(NotImplementedError, match="they are one"):
            call()
    adapted.close()
