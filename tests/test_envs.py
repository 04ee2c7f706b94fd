import copy
import pickle
import re
import subprocess
import sys
import warnings
from itertools import pairwise

import gymnasium as gym
import matplotlib.figure  # noqa: F401  (imported here, its own warnings are not the environments')
import numpy as np
import pytest
from gymnasium.utils import env_checker
from stable_baselines3.common import env_checker as sb3_env_checker

import offload_gym
from offload_gym.envs.joint import JointEnv
from offload_gym.envs.sequential import SequentialEnv

JOINT, SEQUENTIAL = "offload_gym/Joint-v0", "offload_gym/Sequential-v0"
both = pytest.mark.parametrize("env_id", [JOINT, SEQUENTIAL])
both_objectives = pytest.mark.parametrize("objective", ["makespan", "mean"])
SMALL = {"name": "default", "num_tasks": 3}  # K = 3


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("mbps\n5\n0\n0\n20\n12.5\n")
    return {**SMALL, "radio": "trace", "trace_path": str(path)}


@pytest.fixture(params=["default", "vision", "two edges", "trace"])
def scenario(request, trace):
    return {"two edges": {**SMALL, "num_edges": 2}, "trace": trace}.get(request.param, request.param)


def random_decisions(env, num_epochs, seed=0):
    inner = env.unwrapped.scenario
    return np.random.default_rng(seed).integers(0, inner.num_locations, (num_epochs, inner.num_tasks))


def play(env, decision):
    """The steps that take one epoch's decision: one in Joint, n in Sequential."""
    return [env.step(a) for a in ([decision] if isinstance(env.unwrapped, JointEnv) else decision)]


def rollout(env):
    """The observations and rewards of three epochs' random decisions."""
    observation, _ = env.reset(seed=3)
    steps = [step for decision in random_decisions(env, 3) for step in play(env, decision)]
    return np.array([observation, *(step[0] for step in steps)]), np.array([step[1] for step in steps])


def test_importing_the_package_registers_both_environments():
    count = f"print(len({{'{JOINT}', '{SEQUENTIAL}'}} & set(gym.registry)))"
    code = f"import gymnasium as gym\n{count}\nimport offload_gym\n{count}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "2"]


@both
def test_gymnasium_and_sb3_checkers_find_nothing(env_id, scenario):
    env = gym.make(env_id, scenario=scenario, num_epochs=2).unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env_checker.check_env(env)
        sb3_env_checker.check_env(env)


@both
def test_a_scenario_is_a_name_a_dict_or_a_scenario_and_goes_to_json_and_back(env_id, scenario):
    changes = {**(scenario if isinstance(scenario, dict) else {"name": scenario}), "edge_hz": (4e9, 5e9)}
    made = offload_gym.make_scenario(**changes)
    env = gym.make(env_id, scenario=changes, objective="mean", num_epochs=3)
    assert env.unwrapped.scenario == made
    for given in (changes, made):  # the pair of a range becomes a list in JSON
        spec = gym.make(env_id, scenario=given, objective="mean", num_epochs=3).spec
        again = gym.make(gym.envs.registration.EnvSpec.from_json(spec.to_json()))
        assert (again.unwrapped.scenario, again.unwrapped.objective, again.unwrapped.num_epochs) == (made, "mean", 3)
        np.testing.assert_equal(rollout(again), rollout(env))


@both
def test_reset_with_a_seed_repeats_and_without_one_goes_on(env_id, scenario):
    env = gym.make(env_id, scenario=scenario)
    first, second = env.reset(seed=5)[0], env.reset()[0]
    np.testing.assert_array_equal(first, env.reset(seed=5)[0])
    np.testing.assert_array_equal(second, env.reset()[0])
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, env.reset(seed=6)[0])
    as_scenario = offload_gym.make_scenario(**(scenario if isinstance(scenario, dict) else {"name": scenario}))
    np.testing.assert_equal(rollout(env), rollout(gym.make(env_id, scenario=as_scenario)))


@pytest.mark.parametrize("env_id", [JOINT, SEQUENTIAL])
def test_instances_are_an_attribute_once_an_episode_has_begun(env_id):
    env = gym.make(env_id).unwrapped
    assert [hasattr(env, name) for name in ("instances", "true_instances", "scale_s")] == [False] * 3
    with pytest.raises(gym.error.ResetNeeded, match=r"call reset\(\) before instances"):
        env.instances  # noqa: B018
    env.reset(seed=0)
    assert hasattr(env, "instances")


@both_objectives
def test_the_joint_reward_is_minus_the_latency_of_the_shown_instance(scenario, objective):
    env = gym.make(JOINT, scenario=scenario, objective=objective)
    env.reset(seed=1)
    for decision, dtype in zip(random_decisions(env, 4), ("int8", "uint8", "int32", "uint64"), strict=True):
        expected = offload_gym.latency(env.unwrapped.instances, decision[None], objective)[0]
        _, reward, _, _, info = env.step(decision.astype(dtype))
        assert reward == pytest.approx(-expected, rel=1e-12)
        assert info["latency_s"] == pytest.approx(expected, rel=1e-12)


@both_objectives
def test_sequential_rewards_add_up_to_the_joint_reward(scenario, objective):
    joint, sequential = (gym.make(env_id, scenario=scenario, objective=objective) for env_id in (JOINT, SEQUENTIAL))
    seen = [env.reset(seed=2)[0] for env in (joint, sequential)]
    for decision in random_decisions(joint, 6):
        # GIVEN both environments at the same epoch
        np.testing.assert_array_equal(*seen)
        np.testing.assert_equal(joint.unwrapped.instances.arrays, sequential.unwrapped.instances.arrays)
        # WHEN both take the same decision
        ((observation, reward, *_),) = play(joint, decision)
        steps = play(sequential, decision)
        # THEN the rewards agree, each is a part of the latency, and the latency is told at the end only
        assert sum(step[1] for step in steps) == pytest.approx(reward, rel=0, abs=1e-9)
        assert all(step[1] <= 0 for step in steps)
        assert [step[4] for step in steps[:-1]] == [{}] * (len(decision) - 1)
        assert steps[-1][4]["latency_s"] == pytest.approx(-reward, rel=0, abs=1e-9)
        seen = [observation, steps[-1][0]]


@both
def test_an_episode_ends_with_its_last_epoch_and_record_episode_statistics_counts_it(env_id):
    env = gym.wrappers.RecordEpisodeStatistics(gym.make(env_id, scenario=SMALL, num_epochs=4))
    num_steps = 4 if env_id == JOINT else 12
    assert env.spec.max_episode_steps is None
    for seed in (0, None):
        env.reset(seed=seed)
        steps = [step for decision in random_decisions(env, 4) for step in play(env, decision)]
        assert [step[2] for step in steps] == [False] * (num_steps - 1) + [True]
        assert [step[3] for step in steps] == [False] * num_steps
        latencies = [step[4]["latency_s"] for step in steps if "latency_s" in step[4]]
        assert (len(latencies), steps[-1][4]["episode"]["l"]) == (4, num_steps)
        assert steps[-1][4]["episode"]["r"] == pytest.approx(-sum(latencies), rel=1e-6)


@both
def test_a_step_after_the_end_of_an_episode_warns(env_id):
    env = gym.make(env_id, scenario=SMALL, num_epochs=1)
    env.reset(seed=0)
    play(env, [0, 1, 2])
    with pytest.warns(UserWarning, match=r"the episode is over; call reset\(\) first"):
        env.step(env.action_space.sample())
    env.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert play(env, [0, 1, 2])[-1][2]


@both
def test_machines_stay_while_the_rest_moves_whatever_is_decided(env_id):
    env, other = (gym.make(env_id, scenario={"name": "default", "cloud_backlog_s": 0.1}) for _ in range(2))
    np.testing.assert_equal(env.reset(seed=0), other.reset(seed=0))
    epochs = [env.unwrapped.instances]
    for decision in random_decisions(env, 3):
        # A decision does not change the next epoch.
        np.testing.assert_array_equal(play(env, decision)[-1][0], play(other, 0 * decision)[-1][0])
        epochs.append(env.unwrapped.instances)
    for before, after in pairwise(epochs):
        for fixed in ("cpu_hz", "cores", "wired_bps", "propagation_s"):
            np.testing.assert_array_equal(getattr(after, fixed), getattr(before, fixed))
        for moving in ("backlog_s", "input_bits", "output_bits", "workload_cycles"):
            assert (getattr(after, moving) != getattr(before, moving)).all()
        assert (after.uplink_bps[:, 1:] != before.uplink_bps[:, 1:]).all()
        ratios = [epoch.downlink_bps[:, 1:] / epoch.uplink_bps[:, 1:] for epoch in (before, after)]
        np.testing.assert_allclose(*ratios)
    env.reset()
    assert (env.unwrapped.instances.cpu_hz != epochs[0].cpu_hz).all()


@pytest.mark.parametrize("seed", range(3))
def test_epochs_follow_the_trace(trace, seed):
    # A second of an outage is sent at the first rate after it, once the outage is over.
    cycle = [(5e6, 0.0), (20e6, 2.0), (20e6, 1.0), (20e6, 0.0), (12.5e6, 0.0)]
    env = JointEnv(trace)
    env.reset(seed=seed)
    seen = []
    for decision in random_decisions(env, 7):
        seen.append((env.instances.uplink_bps[0, 1], env.instances.radio_backlog_s[0]))
        env.step(decision)
    start = cycle.index(seen[0])
    assert seen == [cycle[(start + t) % 5] for t in range(7)]


OUT_OF_BOUNDS = [(JointEnv, [0, 1, 3]), (JointEnv, [0, -1, 1]), (SequentialEnv, 3), (SequentialEnv, 2**63)]
OUT_OF_BOUNDS += [(JointEnv, [0.0, 1.5, 2.0]), (JointEnv, [True, False, True]), (JointEnv, [None, 1, 2])]
OUT_OF_BOUNDS += [(SequentialEnv, action) for action in (-1, 1.0, float("nan"), True, "1", None)]
BAD_ACTIONS = [(cls, action, f"is {re.escape(repr(action))}; .* from 0 to 2") for cls, action in OUT_OF_BOUNDS]
WRONG_SHAPES = [(JointEnv, action, "3 whole numbers") for action in ([0, 1], [[0, 1, 2]], [[0], [1, 2]], 1)]
BAD_ACTIONS += [*WRONG_SHAPES, (SequentialEnv, [1], "one whole number")]


@pytest.mark.parametrize(("cls", "action", "message"), BAD_ACTIONS)
def test_a_bad_action_is_refused_and_changes_nothing(cls, action, message):
    env, untouched = cls(SMALL, num_epochs=2), cls(SMALL, num_epochs=2)
    np.testing.assert_equal(env.reset(seed=9), untouched.reset(seed=9))
    decisions = random_decisions(env, 2)
    for choice in decisions if cls is JointEnv else decisions.ravel():
        with pytest.raises(ValueError, match=message):
            env.step(action)
        np.testing.assert_equal(env.step(choice), untouched.step(choice))


@pytest.mark.parametrize("cls", [JointEnv, SequentialEnv])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("objective", "median", "'median'.*makespan, mean"),
        ("scenario", "nowhere", "'nowhere'.*default, vision"),
        ("scenario", {"name": "default", "tasks": 3}, "'tasks'.*num_tasks"),
        ("scenario", 7, "scenario is 7"),
        ("render_mode", "svg", "'svg'.*'ansi', 'rgb_array' or 'human'"),
        ("render_optimum", 1, "render_optimum is 1; it must be True or False"),
        ("num_epochs", 0, "num_epochs is 0.*at least 1"),
        ("roll_outs", 0, "roll_outs is 0; it must be True or False"),
    ],
)
def test_an_unknown_argument_is_refused(cls, name, value, message):
    with pytest.raises(ValueError, match=message):
        cls(**{name: value})


def drawn(env):
    """The headline, the rows by label, and the tasks in any of them, of an ansi frame."""
    lines = [line.split("|") for line in env.render().splitlines()]
    rows = {line[0].strip(): line[1] for line in lines if len(line) == 3}
    return lines[0][0], rows, set("012") & set("".join(rows.values()))


@both
def test_ansi_shows_what_is_decided_so_far(env_id):
    env = gym.make(env_id, scenario=SMALL, render_mode="ansi")
    env.reset(seed=0)
    headline, rows, tasks = drawn(env)
    assert (headline, tasks) == ("0 of 3 tasks placed", set())
    assert {label.split()[0] for label in rows} == {"device", "radio", "edge", "cloud", "done"}
    for placed, action in enumerate([[0, 1, 2]] if env_id == JOINT else [0, 1, 2]):
        assert drawn(env)[::2] == (f"{placed} of 3 tasks placed", set("012"[:placed]))
        info = env.step(action)[4]
    # THEN the complete epoch is still shown, although the environment already observes the next one
    headline, rows, _ = drawn(env)
    value, unit = headline.removeprefix("makespan ").removesuffix(", 3 tasks").split()
    assert float(value) * {"s": 1, "ms": 1e-3}[unit] == pytest.approx(info["latency_s"], rel=1e-3)
    for label, shown in (("done", "012"), ("device 0", "0"), ("radio", "12"), ("edge 1 core 0", "1")):
        assert set("012") & set(rows[label]) == set(shown), label
    assert "2" in rows["cloud core 0"]


@both
def test_rgb_frames_have_one_shape_and_show_each_step_and_render_needs_a_mode_and_a_reset(env_id, scenario):
    env = gym.make(env_id, scenario=scenario, render_mode="rgb_array")
    with pytest.raises(gym.error.ResetNeeded):
        env.unwrapped.render()
    env.reset(seed=0)
    frames = [env.render()]
    for action in random_decisions(env, 2) if env_id == JOINT else random_decisions(env, 2).ravel()[:4]:
        env.step(action)
        frames.append(env.render())
    assert {(frame.shape, frame.dtype) for frame in frames} == {((frames[0].shape[0], 900, 3), np.dtype(np.uint8))}
    assert not any(np.array_equal(before, after) for before, after in pairwise(frames))
    with pytest.warns(UserWarning, match="render_mode"):
        assert gym.make(env_id, scenario=scenario).unwrapped.render() is None


@both
def test_a_copy_of_an_environment_goes_its_own_way_from_the_same_state(env_id):
    env = gym.make(env_id, num_epochs=None).unwrapped
    env.reset(seed=0)
    env.step(env.action_space.sample())
    copies = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    actions = [env.action_space.sample() for _ in range(20)]
    steps = [env.step(action) for action in actions]
    for other in copies:
        for action, step in zip(actions, steps, strict=True):
            again = other.step(action)
            np.testing.assert_array_equal(again[0], step[0])
            assert again[1:] == step[1:]
        np.testing.assert_equal(other.instances.arrays, env.instances.arrays)
    # AND a copy that begins again leaves the others alone
    copies[0].reset(seed=1)
    assert (copies[0].instances.cpu_hz != env.instances.cpu_hz).all()
    np.testing.assert_array_equal(copies[1].reset()[0], env.reset()[0])
