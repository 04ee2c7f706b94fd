"""The native vector environments against Gymnasium's loop over single ones."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import offload_gym

FORMS = ("offload_gym/Joint-v0", "offload_gym/Sequential-v0")
MODES = tuple(AutoresetMode)


def both(env_id, num_envs, mode, **kwargs):
    native = gym.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point", autoreset_mode=mode, **kwargs)
    loop = SyncVectorEnv([lambda: gym.make(env_id, **kwargs)] * num_envs, autoreset_mode=mode)
    return native, loop


def arrays(observation):
    """The arrays of an observation by name, whether it is one or a dict of them."""
    return observation if isinstance(observation, dict) else {"observation": observation}


def assert_same_observations(ours, theirs, where="", rtol=1e-6):
    ours, theirs = arrays(ours), arrays(theirs)
    assert list(ours) == list(theirs)
    for name, a in ours.items():
        atol = 1e-12 if rtol else 0
        np.testing.assert_allclose(a, theirs[name], rtol=rtol, atol=atol, err_msg=f"{where} {name}")
        assert a.dtype == theirs[name].dtype


def assert_same(ours, theirs, where):
    assert_same_observations(ours[0], theirs[0], where)
    for name, a, b in zip(("reward", "terminated", "truncated"), ours[1:4], theirs[1:4], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12, err_msg=f"{where} {name}")
        assert a.dtype == b.dtype
    assert_same_infos(ours[4], theirs[4], where)


def assert_same_infos(ours, theirs, where):
    assert ours.keys() == theirs.keys(), where
    for key, value in ours.items():
        if key == "final_info":
            assert_same_infos(value, theirs[key], where)
        elif key == "final_obs":
            for a, b in zip(value, theirs[key], strict=True):
                assert (a is None) == (b is None), where
                if a is not None:
                    assert_same_observations(a, b, where)
        else:
            np.testing.assert_allclose(value, theirs[key], rtol=1e-12, err_msg=f"{where} {key}")


def play(env_id, mode, num_envs, num_steps, seed=3, **kwargs):
    native, loop = both(env_id, num_envs, mode, **kwargs)
    rng = np.random.default_rng(0)
    observations = [env.reset(seed=seed)[0] for env in (native, loop)]
    assert_same_observations(*observations, rtol=0)
    over = 0
    for t in range(num_steps):
        shape = native.action_space.shape
        actions = rng.integers(
            0, native.single_action_space.n if len(shape) == 1 else native.single_action_space.nvec[0], shape
        )
        ours, theirs = native.step(actions), loop.step(actions)
        assert_same(ours, theirs, f"step {t}")
        over += ours[2].sum()
        if mode == AutoresetMode.DISABLED and ours[2].any():
            masks = [{"reset_mask": ours[2].copy()} for _ in range(2)]
            assert_same_observations(native.reset(options=masks[0])[0], loop.reset(options=masks[1])[0])
    native.close()
    return over


@pytest.mark.parametrize("env_id", FORMS)
@pytest.mark.parametrize("mode", MODES)
def test_1000_steps_are_those_of_single_environments(env_id, mode):
    assert play(env_id, mode, num_envs=3, num_steps=1000, num_epochs=7) > 30


@pytest.mark.parametrize("env_id", FORMS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scenario", ["default", {"name": "dag", "num_tasks": 4}])
def test_named_fields_are_those_of_single_environments(env_id, mode, scenario):
    arguments = {"scenario": scenario, "objective": "cost", "observation": "dict", "num_epochs": 3}
    assert play(env_id, mode, num_envs=3, num_steps=60, **arguments) > 5


@pytest.mark.parametrize("env_id", FORMS)
@pytest.mark.parametrize(
    "kwargs",
    [
        {"objective": "mean"},
        {"objective": "cost", "carry_over": True, "scenario": {"epoch_s": 0.1}},
        {"scenario": "dag", "carry_over": True},
        {"scenario": {"num_tasks": 2, "max_tasks": 5, "num_edges": 3}},
        {"scenario": {"name": "partitioning", "num_tasks": 5}},
        {"scenario": "face_recognition", "num_epochs": None},
        {"num_epochs": 1},
        {"roll_outs": False, "scenario": "dag", "objective": "cost"},
        {"roll_outs": False, "observation_noise": "last"},
        {"observation_noise": 0.5, "carry_over": True, "scenario": {"epoch_s": 0.1}},
        {"observation_noise": "last", "scenario": "dag", "objective": "cost"},
    ],
)
def test_every_kind_of_environment_is_the_same(env_id, kwargs):
    play(env_id, AutoresetMode.NEXT_STEP, num_envs=4, num_steps=60, **{"num_epochs": 3, **kwargs})


def test_many_environments_share_threads():
    env = gym.make_vec(FORMS[0], 700, vectorization_mode="vector_entry_point", num_threads=3)
    alone = gym.make_vec(FORMS[0], 700, vectorization_mode="vector_entry_point", num_threads=1)
    observations = [e.reset(seed=5)[0] for e in (env, alone)]
    for _ in range(12):
        assert_same_observations(*observations, rtol=0)
        env.action_space.seed(1)
        actions = env.action_space.sample()
        steps = [e.step(actions) for e in (env, alone)]
        observations = [step[0] for step in steps]
        np.testing.assert_array_equal(steps[0][1], steps[1][1])
    env.close()


@pytest.mark.parametrize("env_id", FORMS)
def test_arrays_are_fresh_and_in_their_spaces(env_id):
    env = gym.make_vec(env_id, 5, vectorization_mode="vector_entry_point", num_epochs=2)
    seen = [env.reset(seed=0)[0]]
    for _ in range(20):
        seen.append(env.step(env.action_space.sample())[0])
    assert all(env.observation_space.contains(observation) for observation in seen)
    assert not any(np.shares_memory(a, b) for a in seen for b in seen if a is not b)
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP


def test_instances_are_the_epochs_to_be_decided():
    env = gym.make_vec(FORMS[0], 6, vectorization_mode="vector_entry_point", carry_over=True)
    env.reset(seed=[10, 11, 12, 13, 14, 15])
    for _ in range(5):
        instances = env.unwrapped.instances
        decisions = offload_gym.make_policy("greedy").decide(instances)
        _, rewards, *_ = env.step(decisions)
        np.testing.assert_allclose(-rewards, offload_gym.latency(instances, decisions), rtol=1e-12)


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        (
            {"autoreset_mode": "Sometimes"},
            "autoreset_mode is 'Sometimes'; it must be one of 'NextStep', 'SameStep', 'Dis",
        ),
        ({"num_epochs": 0}, "num_epochs is 0"),
        ({"carry_over": 1}, "carry_over is 1; it must be True or False"),
        ({"num_threads": 0}, "num_threads is 0"),
        ({"objective": "speed"}, "objective is 'speed'"),
        ({"scenario": "x"}, "scenario is 'x'"),
        ({"roll_outs": 1}, "^roll_outs is 1; it must be True or False$"),
        ({"render_mode": "ansi"}, "^render_mode is 'ansi'; native vector environments do not render: it must be None$"),
        ({"render_optimum": True}, "^render_optimum is True; .* do not render: it must be False$"),
        ({"max_episode_steps": 5}, "^max_episode_steps is 5; .* end with num_epochs: it must be None$"),
    ],
)
def test_bad_arguments_give_one_sentence(kwargs, sentence):
    with pytest.raises(ValueError, match=sentence):
        gym.make_vec(FORMS[0], 2, vectorization_mode="vector_entry_point", **kwargs)


def test_arguments_of_single_environments_that_change_nothing_are_taken():
    without = {"render_mode": None, "render_optimum": False, "max_episode_steps": None}
    assert gym.make_vec(FORMS[0], 2, vectorization_mode="vector_entry_point", **without).render_mode is None
    with pytest.raises(TypeError, match="native vector environments have no argument 'rendering'"):
        gym.make_vec(FORMS[0], 2, vectorization_mode="vector_entry_point", rendering=None)


def test_a_seed_seeds_np_random_as_the_first_environment():
    env = gym.make_vec(FORMS[0], 3, vectorization_mode="vector_entry_point")
    for seed in (4, [4, 9, None], np.int64(4)):
        env.reset(seed=seed)
        assert env.np_random_seed == 4
        assert env.np_random.random() == np.random.default_rng(4).random()
    # THEN without a seed it goes on
    expected = env.np_random.bit_generator.state
    env.reset()
    env.reset(seed=[None, 1, 2])
    assert env.np_random.bit_generator.state == expected


def test_instances_are_an_attribute_once_an_episode_has_begun():
    env = gym.make_vec(FORMS[0], 2, vectorization_mode="vector_entry_point")
    assert [hasattr(env, name) for name in ("instances", "true_instances", "scale_s")] == [False] * 3
    with pytest.raises(gym.error.ResetNeeded, match=r"call reset\(\) before instances"):
        env.instances  # noqa: B018
    env.reset(seed=0)
    assert hasattr(env, "instances")


def test_bad_use_gives_one_sentence():
    env = gym.make_vec(FORMS[0], 2, vectorization_mode="vector_entry_point", scenario={"num_tasks": 2}, num_epochs=1)
    with pytest.raises(gym.error.ResetNeeded, match=r"call reset\(\) before step\(\)"):
        env.step([[0, 0], [0, 0]])
    for seed, sentence in (
        ([1, 2, 3], "^seed has 3 numbers; it must have 2, one for each environment$"),
        ("a", "^seed has 'a'; a seed must be a whole number, at least 0, or None$"),
        (-1, "^seed has -1; "),
        ([0, 1.5], "^seed has 1.5; "),
        (True, "^seed has True; "),
    ):
        with pytest.raises(ValueError, match=sentence):
            env.reset(seed=seed)
    env.reset(seed=1)
    for actions, sentence in (
        ([[0, 3], [0, 0]], r"^actions\[0, 1\] is 3; it must be from 0 to 2$"),
        ([[3, 3], [3, 3]], r"^actions\[0, 0\] is 3; it must be from 0 to 2$"),
        ([[0, 0], [-1, 0]], r"^actions\[1, 0\] is -1; it must be from 0 to 2$"),
        ([0, 0], r"actions has the shape \(2,\) and the type int64; it must be \(2, 2\) integers"),
        ([[0.0, 1.0], [0.0, 0.0]], "the type float64; it must be"),
    ):
        with pytest.raises(ValueError, match=sentence):
            env.step(actions)
    with pytest.raises(ValueError, match="a reset_mask needs 'Disabled'"):
        env.reset(options={"reset_mask": np.array([True, False])})
    disabled = gym.make_vec(
        FORMS[0], 2, vectorization_mode="vector_entry_point", num_epochs=1, autoreset_mode="Disabled"
    )
    disabled.reset(seed=1)
    disabled.step(disabled.action_space.sample())
    with pytest.raises(gym.error.ResetNeeded, match="environment 0 is over; reset it with a reset_mask"):
        disabled.step(disabled.action_space.sample())
    with pytest.raises(ValueError, match=r"reset_mask is .*; it must hold 2 booleans"):
        disabled.reset(options={"reset_mask": np.array([False, False])})
