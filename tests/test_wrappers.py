"""The wrappers that come with Gymnasium around the environments."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.wrappers import vector

import offload_gym  # noqa: F401 (registers the environments)

JOINT, SEQUENTIAL = "offload_gym/Joint-v0", "offload_gym/Sequential-v0"
both = pytest.mark.parametrize("env_id", [JOINT, SEQUENTIAL])
each_form = pytest.mark.parametrize("form", ["flat", "dict"])


def play(env, num_steps=30):
    """The steps of random actions; each observation is in its space."""
    env.action_space.seed(0)
    assert env.observation_space.contains(env.reset(seed=0)[0])
    steps = []
    for _ in range(num_steps):
        steps.append(env.step(env.action_space.sample()))
        assert env.observation_space.contains(steps[-1][0])
        if steps[-1][2] or steps[-1][3]:
            env.reset()
    return steps


def make(env_id, form="flat", **kwargs):
    return gym.make(env_id, scenario={"num_tasks": 3}, num_epochs=2, observation=form, **kwargs)


@both
@each_form
def test_wrappers_that_keep_the_observation(env_id, form):
    plain = play(make(env_id, form))
    rewards = [step[1] for step in plain]
    length = 2 if env_id == JOINT else 6
    ends = [i for i, step in enumerate(plain) if step[2]]
    assert len(ends) == 30 // length
    counted = play(wrappers.RecordEpisodeStatistics(make(env_id, form)))
    assert [counted[i][4]["episode"]["l"] for i in ends] == [length] * len(ends)
    assert counted[ends[1]][4]["episode"]["r"] == pytest.approx(sum(rewards[length : 2 * length]))
    normal = [step[1] for step in play(wrappers.NormalizeReward(make(env_id, form)), 300)]
    assert np.isfinite(normal).all()
    assert np.std(normal) > np.std(rewards)
    cut = play(wrappers.TimeLimit(make(env_id, form), 1 if env_id == JOINT else 4))
    assert [step[3] for step in cut[: length - 1]][-1] == (length == 2)
    assert not any(step[2] for step in cut)
    assert play(wrappers.TransformObservation(make(env_id, form), lambda seen: seen, None))[-1][1] == rewards[-1]


@both
def test_wrappers_of_vectors(env_id):
    plain = np.array([step[0] for step in play(make(env_id), 200)])
    normal = np.array([step[0] for step in play(wrappers.NormalizeObservation(make(env_id)), 200)][100:])
    varied = plain.std(axis=0) > 1e-3
    assert np.abs(normal[:, varied].mean(axis=0)).max() < 1.0
    assert np.median(normal[:, varied].std(axis=0)) == pytest.approx(1.0, abs=0.3)
    stacked = wrappers.FrameStackObservation(make(env_id), 3)
    steps = play(stacked, 2)
    assert steps[0][0].shape == (3, plain.shape[1])
    np.testing.assert_array_equal(steps[1][0][2], plain[1])
    np.testing.assert_array_equal(steps[1][0][1], plain[0])


@both
def test_wrappers_of_named_fields(env_id):
    named = play(make(env_id, "dict"), 3)
    stacked = play(wrappers.FrameStackObservation(make(env_id, "dict"), 2), 2)
    np.testing.assert_array_equal(stacked[1][0]["tasks"][1], named[1][0]["tasks"])
    np.testing.assert_array_equal(stacked[1][0]["task_mask"][0], named[0][0]["task_mask"])
    chosen = play(wrappers.FilterObservation(make(env_id, "dict"), ["tasks", "task_mask"]), 2)
    assert set(chosen[0][0]) == {"tasks", "task_mask"}
    flat = play(wrappers.FlattenObservation(make(env_id, "dict")), 3)
    np.testing.assert_array_equal(flat[2][0], np.concatenate([field.ravel() for field in named[2][0].values()]))
    normal = play(wrappers.NormalizeObservation(wrappers.FlattenObservation(make(env_id, "dict"))))
    assert normal[0][0].shape == flat[0][0].shape


def make_vec(env_id, form="flat", **kwargs):
    return gym.make_vec(
        env_id, 4, vectorization_mode="vector_entry_point", scenario={"num_tasks": 3}, num_epochs=2, observation=form,
        **kwargs,
    )  # fmt: skip


def play_vec(env, num_steps=30):
    env.action_space.seed(0)
    env.reset(seed=0)
    steps = [env.step(env.action_space.sample()) for _ in range(num_steps)]
    env.close()
    return steps


@both
@each_form
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_wrappers_of_native_vector_environments(env_id, form, mode):
    plain = play_vec(make_vec(env_id, form, autoreset_mode=mode))
    counted = play_vec(vector.RecordEpisodeStatistics(make_vec(env_id, form, autoreset_mode=mode)))
    first = next(t for t, step in enumerate(plain) if step[2].all())
    returns = sum(step[1] for step in plain[: first + 1])
    np.testing.assert_allclose(counted[first][4]["episode"]["r"], returns)
    listed = play_vec(vector.DictInfoToList(make_vec(env_id, form, autoreset_mode=mode)))
    infos, single = plain[first][4], listed[first][4]
    source = infos["final_info"] if mode == "SameStep" else infos
    single = [info["final_info"] if mode == "SameStep" else info for info in single]
    assert [info["latency_s"] for info in single] == source["latency_s"].tolist()
    if mode == "NextStep":
        flat = play_vec(vector.FlattenObservation(make_vec(env_id, form, autoreset_mode=mode)), 3)
        assert flat[2][0].shape == (4, make_vec(env_id).single_observation_space.shape[0])
    normal = play_vec(vector.NormalizeReward(make_vec(env_id, form, autoreset_mode=mode)), 100)
    assert np.isfinite([step[1] for step in normal]).all()


@both
def test_observations_of_native_vector_environments_are_normalized(env_id):
    plain = np.array([step[0] for step in play_vec(make_vec(env_id), 100)])
    normal = np.array([step[0] for step in play_vec(vector.NormalizeObservation(make_vec(env_id)), 100)][50:])
    varied = plain.std(axis=(0, 1)) > 1e-3
    assert np.median(normal[..., varied].std(axis=(0, 1))) == pytest.approx(1.0, abs=0.3)
