import numpy as np
import pytest
from test_vector import assert_same_infos

from offload_gym.envs.buffers import Buffers
from offload_gym.envs.vector import VectorJointEnv, VectorSequentialEnv

SCENARIO = {"num_tasks": 2}
MODES = ("NextStep", "SameStep", "Disabled")


@pytest.mark.parametrize("cls", [VectorJointEnv, VectorSequentialEnv])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", ["flat", "dict"])
def test_the_callers_arrays_hold_what_new_ones_would(cls, mode, form):
    envs, filled = (
        cls(3, SCENARIO, num_epochs=2, autoreset_mode=mode, observation=form, roll_outs=False) for _ in range(2)
    )
    # GIVEN a place for each of some steps in one array, as a roll-out buffer has
    size = filled.new_buffers().observations.shape[1]
    observations, rewards = np.empty((7, 3, size), np.float32), np.empty((7, 3), np.float32)
    terminations = np.ones((7, 3), np.bool_)
    out = [Buffers(*arrays) for arrays in zip(observations, rewards, terminations, strict=True)]
    first = filled.reset(seed=1, out=out[0])[0]
    np.testing.assert_equal(first, envs.reset(seed=1)[0])
    assert not terminations[0].any()
    assert not rewards[0].any()
    rng = np.random.default_rng(0)
    for t in range(1, 7):
        actions = rng.integers(0, 3, envs.action_space.shape)
        ours, theirs = filled.step(actions, out=out[t]), envs.step(actions)
        np.testing.assert_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(rewards[t], theirs[1].astype(np.float32))
        np.testing.assert_array_equal(terminations[t], theirs[2])
        assert ours[1] is out[t].rewards
        assert ours[2] is out[t].terminations
        assert_same_infos(ours[4], theirs[4], t)
        assert np.shares_memory(ours[0] if form == "flat" else ours[0]["tasks"], observations[t])
        if mode == "Disabled" and theirs[2].any():
            options = {"reset_mask": theirs[2]}
            # THEN a masked reset shows the others as they were, whatever the array held
            out[t].observations[:] = 9.0
            again = filled.reset(options={"reset_mask": theirs[2].copy()}, out=out[t])[0]
            np.testing.assert_equal(again, envs.reset(options=options)[0])


def test_halves_fill_them_too():
    envs = VectorSequentialEnv(3, SCENARIO)
    out = envs.new_buffers()
    envs.reset(seed=0, out=out)
    envs.step_async(np.zeros(3, dtype=np.int64), out=out)
    observations, rewards, terminations, _, _ = envs.step_wait()
    assert (observations is out.observations, rewards is out.rewards, terminations is out.terminations) == (True,) * 3


def test_arrays_that_do_not_fit_are_refused_and_change_nothing():
    envs = VectorJointEnv(3, SCENARIO)
    seen = envs.reset(seed=0)[0]
    good = envs.new_buffers()
    locked = good.rewards.copy()
    locked.flags.writeable = False
    size = seen.shape[1]
    for out, sentence in (
        (tuple(good), r"out is a tuple; it must be Buffers, which new_buffers\(\) makes"),
        (good._replace(observations=np.empty((3, size))), rf"out.observations is \(3, {size}\) float64; .* float32"),
        (good._replace(observations=np.empty((2, size), np.float32)), rf"is \(2, {size}\) float32; .* \(3, {size}\)"),
        (good._replace(observations=np.empty((3, 2 * size), np.float32)[:, ::2]), "it must be contiguous"),
        (good._replace(rewards=[0.0] * 3), r"out.rewards is list; it must be an array \(3,\) of float64 or float32"),
        (good._replace(rewards=np.empty(3, np.int64)), r"out.rewards is \(3,\) int64"),
        (good._replace(rewards=locked), "out.rewards is read-only; it must be writable"),
        (good._replace(terminations=np.empty(3, np.int8)), r"out.terminations is \(3,\) int8; .* of bool"),
    ):
        for call in (lambda out=out: envs.reset(seed=1, out=out), lambda out=out: envs.step([[0, 0]] * 3, out=out)):
            with pytest.raises(ValueError, match=sentence):
                call()
    untouched = VectorJointEnv(3, SCENARIO)
    untouched.reset(seed=0)
    np.testing.assert_array_equal(envs.step([[0, 1]] * 3)[0], untouched.step([[0, 1]] * 3)[0])
