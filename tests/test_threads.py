"""Environments that share threads: from 256 of them on. All is as with 255, which one thread steps."""

import copy
import multiprocessing
import pickle

import numpy as np
import pytest
from gymnasium.error import AlreadyPendingCallError, NoAsyncCallError, ResetNeeded

from offload_gym.envs.threads import Threads
from offload_gym.envs.vector import VectorJointEnv, VectorSequentialEnv

each_size = pytest.mark.parametrize("num_envs", [255, 256])


def make(num_envs, cls=VectorJointEnv, **options):
    """Environments in the middle of episodes, and actions for them."""
    envs = cls(num_envs, {"num_tasks": 2}, num_epochs=3, num_threads=2, **options)
    envs.reset(seed=5)
    actions = np.random.default_rng(0).integers(0, 3, (4, *envs.action_space.shape))
    envs.step(actions[0])
    return envs, actions[1:]


def steps(envs, actions):
    """All arrays of some steps, the last of which begins episodes."""
    return [array for chosen in actions for array in envs.step(chosen)[:4]]


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def step_in_child(envs, actions, pipe):
    pipe.send(steps(envs, actions))
    envs.close()


@each_size
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_steps_as_its_parent(num_envs):
    envs, actions = make(num_envs)
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=step_in_child, args=(envs, actions, theirs))
    child.start()
    assert ours.poll(60)
    in_child = ours.recv()
    child.join(60)
    assert child.exitcode == 0
    assert_same(in_child, steps(envs, actions))


@each_size
@pytest.mark.parametrize("cls", [VectorJointEnv, VectorSequentialEnv])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda envs: pickle.loads(pickle.dumps(envs))])
def test_a_copy_goes_on_as_the_original(num_envs, cls, copied):
    envs, actions = make(num_envs, cls)
    other = copied(envs)
    assert_same(steps(other, actions), steps(envs, actions))
    np.testing.assert_equal(other.instances.arrays, envs.instances.arrays)
    # AND a copy that begins again leaves the original alone
    before = envs.instances.tasks.copy()
    other.reset(seed=6)
    np.testing.assert_array_equal(envs.instances.tasks, before)


@each_size
def test_closed_environments_begin_again(num_envs):
    envs, actions = make(num_envs)
    untouched, _ = make(num_envs)
    envs.close()
    assert_same(
        [envs.reset(seed=7)[0], *steps(envs, actions)], [untouched.reset(seed=7)[0], *steps(untouched, actions)]
    )
    assert not envs.closed
    envs.close()  # and their threads go again
    assert envs.closed


@each_size
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_the_halves_of_a_step_are_a_step(num_envs, mode):
    (envs, actions), (whole, _) = (make(num_envs, autoreset_mode=mode) for _ in range(2))
    for chosen in actions:
        given = chosen.copy()
        envs.step_async(given)
        given[:] = 9  # the caller's own again
        ours, theirs = envs.step_wait(), whole.step(chosen)
        assert_same(ours[:4], theirs[:4])
        assert ours[4].keys() == theirs[4].keys()


def test_a_step_in_progress_stands_in_the_way():
    envs, actions = make(256)
    with pytest.raises(NoAsyncCallError, match=r"call step_async\(\) before step_wait\(\)"):
        envs.step_wait()
    with pytest.raises(ValueError, match=r"actions\[255, 1\] is 3; it must be from 0 to 2"):
        envs.step_async(np.where(np.arange(512).reshape(256, 2) < 511, 0, 3))
    envs.step_async(actions[0])
    for call in (lambda: envs.step_async(actions[1]), lambda: envs.step(actions[1]), envs.reset):
        with pytest.raises(AlreadyPendingCallError, match=r"a step has begun; call step_wait\(\) before "):
            call()
    with pytest.raises(AlreadyPendingCallError, match=r"call step_wait\(\) before copying"):
        copy.deepcopy(envs)
    envs.step_wait()
    envs.step_async(actions[1])
    envs.close()
    envs.reset(seed=0)


def wait_in_child(envs, pipe):
    try:
        envs.step_wait()
    except NoAsyncCallError as error:
        pipe.send(str(error))
    try:
        envs.step(np.zeros((256, 2), dtype=np.int64))
    except ResetNeeded as error:
        pipe.send(str(error))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_step_of_the_parent_is_none_of_the_childs():
    envs, actions = make(256)
    envs.step_async(actions[0])
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=wait_in_child, args=(envs, theirs))
    child.start()
    for sentence in ("the step was begun by another process; call reset()", "call reset() before step()"):
        assert ours.poll(60)
        assert ours.recv().startswith(sentence)
    child.join(60)
    envs.step_wait()


def test_threads_are_made_when_there_is_work_for_them():
    threads, done = Threads(2), []
    threads.run(done.append, [(0, 1)])
    assert threads._pool is None
    threads.run(done.append, [(0, 1), (1, 2), (2, 3)])
    assert sorted(done) == [(0, 1), (0, 1), (1, 2), (2, 3)]
    assert threads._pool is not None
    assert copy.deepcopy(threads)._pool is None


def test_an_error_of_a_part_reaches_the_caller():
    def work(part):
        if part == (1, 2):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Threads(2).run(work, [(0, 1), (1, 2)])
