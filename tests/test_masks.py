"""Action masks: of single environments, of native vector environments, and through sb3-contrib."""

import gymnasium as gym
import numpy as np
import pytest
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3.common.vec_env import VecMonitor

import offload_gym
from offload_gym.interop.sb3 import SB3VecEnv

# Epochs of 1 to 4 tasks at 3 locations.
SCENARIO = {"name": "default", "num_tasks": 1, "max_tasks": 4}
FORMS = ("offload_gym/Joint-v0", "offload_gym/Sequential-v0")


def native(env_id, num_envs=6, **kwargs):
    given = {"scenario": SCENARIO, "num_epochs": 2, "autoreset_mode": "SameStep"} | kwargs
    return gym.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point", **given)


def test_missing_tasks_have_action_0_alone():
    env = gym.make(FORMS[0], scenario=SCENARIO, num_epochs=None)
    env.reset(seed=0)
    seen = set()
    for _ in range(40):
        count = int(env.unwrapped.instances.task_counts[0])
        expected = [True] * 3 * count + [True, False, False] * (4 - count)
        masks = env.get_wrapper_attr("action_masks")()
        assert (masks.dtype, masks.tolist()) == (np.bool_, expected)
        seen.add(count)
        env.step(env.action_space.sample(mask=tuple(row.astype(np.int8) for row in masks.reshape(4, 3))))
    assert seen == {1, 2, 3, 4}


def test_what_a_mask_takes_away_changes_nothing():
    envs = native(FORMS[0], num_envs=200, num_epochs=1)
    envs.reset(seed=0)
    masks, instances = envs.action_masks().reshape(200, 4, 3), envs.instances
    actions = np.random.default_rng(0).integers(0, 3, (200, 4))
    allowed = np.take_along_axis(masks, actions[:, :, None], axis=2)[:, :, 0]
    assert 0 < (~allowed).sum() < actions.size
    rewards = envs.step(actions)[1]
    np.testing.assert_array_equal(offload_gym.latency(instances, np.where(allowed, actions, 0)), -rewards)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
@pytest.mark.parametrize("env_id", FORMS)
def test_those_of_a_vector_environment_are_those_of_single_ones(env_id, mode):
    envs = native(env_id, autoreset_mode=mode)
    loop = gym.vector.SyncVectorEnv(
        [lambda: gym.make(env_id, scenario=SCENARIO, num_epochs=2)] * 6, autoreset_mode=envs.autoreset_mode
    )
    for env in (envs, loop):
        env.reset(seed=5)
    for _ in range(20):
        np.testing.assert_array_equal(envs.action_masks(), loop.call("action_masks"))
        actions = envs.action_space.sample()
        for env in (envs, loop):
            env.step(actions)
    assert envs.action_masks().all() == (env_id == FORMS[1])


def test_masks_need_a_reset():
    for env in (gym.make(FORMS[0]).unwrapped, native(FORMS[0])):
        with pytest.raises(gym.error.ResetNeeded, match=r"call reset\(\) before action_masks\(\)"):
            env.action_masks()


@pytest.mark.parametrize("env_id", FORMS)
def test_sb3_contrib_finds_them(env_id):
    adapted = VecMonitor(SB3VecEnv(native(env_id)))
    assert is_masking_supported(adapted)
    adapted.reset()
    masks = get_action_masks(adapted)
    np.testing.assert_array_equal(masks, adapted.venv.env.action_masks())
    np.testing.assert_array_equal(adapted.env_method("action_masks", indices=[4, 1]), masks[[4, 1]])
    agent = MaskablePPO("MlpPolicy", adapted, n_steps=8, batch_size=16, n_epochs=1, device="cpu", seed=0)
    agent.learn(96)
    observations = adapted.reset()
    masks = get_action_masks(adapted)
    actions, _ = agent.predict(observations, action_masks=masks)
    chosen = np.take_along_axis(masks.reshape(*actions.shape, 3), actions[..., None], axis=-1)
    assert chosen.all()
