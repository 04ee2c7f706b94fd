"""``offload_gym/Stream-v0``: single, native vector, what it shows, and the engine's account of it."""

import copy
import json
import pickle
import warnings
from itertools import pairwise

import gymnasium as gym
import matplotlib.figure  # noqa: F401  (imported here, its own warnings are not the environments')
import numpy as np
import pytest
from gymnasium.utils import env_checker
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks
from stable_baselines3.common import env_checker as sb3_env_checker
from test_vector import assert_same, assert_same_observations

import offload_gym
from offload_gym.envs.orders import BEGIN
from offload_gym.envs.stream import StreamEnv
from offload_gym.envs.stream_fleet import STREAM_OBJECTIVES, StreamFleet
from offload_gym.interop.sb3 import SB3VecEnv
from offload_gym.streams.columns import column_table, stream_columns
from offload_gym.streams.observing import LOCATION_COLUMNS, OF_LOCATION, OF_STREAM, STREAM_COLUMNS, size_of
from offload_gym.streams.responses import job_energy, response_times

STREAM = "offload_gym/Stream-v0"
# One-task jobs; several tasks of which some may be missing; jobs that may be dropped; graphs; devices that move.
SCENARIOS = {
    "jobs": {"name": "stream", "num_jobs": 12},
    "bags": {"name": "stream", "num_tasks": 1, "max_tasks": 3, "num_jobs": 8, "num_devices": 2, "num_edges": 2},
    "drops": {"name": "stream_deadlines", "num_jobs": 12, "num_tasks": 2, "arrivals_per_s": 9.0},
    "graphs": {"name": "stream_applications", "num_jobs": 6, "num_devices": 3},
    "mobile": {"name": "stream_mobile", "num_jobs": 12, "num_devices": 3},
}
each = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=list(SCENARIOS))


def native(num_envs, scenario, mode="NextStep", **kwargs):
    given = {"scenario": scenario, "autoreset_mode": mode, **kwargs}
    return gym.make_vec(STREAM, num_envs, vectorization_mode="vector_entry_point", **given)


def play(env, seed, rng, start=None):
    """An episode of random actions that are allowed: (stream, decisions, steps)."""
    env.reset(seed=seed)
    streams = env.streams
    decisions = np.zeros((1, streams.num_jobs, streams.num_tasks), dtype=np.int64)
    steps, j, i, over = [], 0, 0, False
    while not over:
        k = int(rng.choice(np.flatnonzero(env.action_masks())))
        steps.append(env.step(k))
        if k == streams.num_locations:
            decisions[0, j] = -1
        else:
            decisions[0, j, i] = k
        i += 1
        if k == streams.num_locations or i == streams.batch.jobs["num_tasks"][0, j]:
            j, i = j + 1, 0
        over = steps[-1][2]
    assert (j, i) == (streams.num_jobs, 0)
    return streams, decisions, steps


@each
@pytest.mark.parametrize("observation", ["flat", "dict"])
def test_gymnasium_and_sb3_checkers_find_nothing(scenario, observation):
    # GIVEN random actions of the checkers, which know no masks
    scenario = {**scenario, "can_drop": scenario.get("num_tasks", 1) == 1 and scenario["name"] == "stream_deadlines"}
    env = gym.make(STREAM, scenario=scenario, observation=observation).unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env_checker.check_env(env)
        sb3_env_checker.check_env(env)
        env_checker.check_env(gym.make(STREAM, scenario=scenario, render_mode="rgb_array").unwrapped)


@each
def test_the_return_is_minus_the_sum_of_the_responses(scenario):
    rng = np.random.default_rng(0)
    scenario = {**scenario, "can_drop": False}
    for seed in range(4):
        env = gym.make(STREAM, scenario=scenario).unwrapped
        streams, decisions, steps = play(env, seed, rng)
        response_s = response_times(streams, decisions)[0]
        assert sum(step[1] for step in steps) == pytest.approx(-response_s.sum(), rel=1e-12)
        assert all(step[1] <= 0.0 for step in steps)
        of_jobs = streams.batch.jobs[0]
        turns = np.repeat(of_jobs["device"], of_jobs["num_tasks"])[1:]
        whose = [{"device": device} if streams.num_devices > 1 else {} for device in turns]
        assert [step[4] for step in steps[:-1]] == whose
        assert steps[-1][4] == {
            "response_mean_s": pytest.approx(response_s.mean(), rel=1e-12),
            "response_p95_s": pytest.approx(np.quantile(response_s, 0.95), rel=1e-12),
            "late_share": (response_s > streams.deadline_s[0]).mean(),
            "lost_share": 0.0,
            "energy_j": pytest.approx(job_energy(streams, decisions).sum(), rel=1e-12),
        }


def test_the_return_is_minus_the_number_of_late_jobs():
    rng = np.random.default_rng(1)
    for seed in range(6):
        env = gym.make(STREAM, scenario=SCENARIOS["drops"]).unwrapped
        assert env.objective == "late"
        streams, decisions, steps = play(env, seed, rng)
        response_s = response_times(streams, decisions)[0]
        late = response_s > streams.deadline_s[0]
        served_s = response_s[response_s < np.inf]
        assert sum(step[1] for step in steps) == -late.sum()
        info = steps[-1][4]
        assert info["late_share"] == late.mean()
        assert info["response_mean_s"] == pytest.approx(served_s.mean(), rel=1e-12)
        assert info["response_p95_s"] == pytest.approx(np.quantile(served_s, 0.95), rel=1e-12)


def test_jobs_are_late_alike_where_rounding_decides():
    # GIVEN deadlines that a job keeps exactly where nothing is in its way, but for rounding
    scenario = {"name": "stream", "num_jobs": 12, "deadline_factor": (1.0, 1.0)}
    env, rng, close = gym.make(STREAM, scenario=scenario, objective="late").unwrapped, np.random.default_rng(5), []
    for seed in range(60):
        streams, decisions, steps = play(env, seed, rng)
        over_s = response_times(streams, decisions)[0] - streams.deadline_s[0]
        close.extend(over_s[np.abs(over_s) < 1e-12])
        # THEN those are late in the course of time whose responses are too long
        assert sum(step[1] for step in steps) == -(over_s > 0).sum() == -12 * steps[-1][4]["late_share"]
    assert min(close) < 0 < max(close)


def test_the_cost_is_the_responses_and_the_energy():
    scenario = {**SCENARIOS["graphs"], "energy_weight_s_per_j": 0.25}
    streams, decisions, steps = play(gym.make(STREAM, scenario=scenario, objective="cost").unwrapped, 3, np.random)
    cost = response_times(streams, decisions).sum() + 0.25 * job_energy(streams, decisions).sum()
    assert sum(step[1] for step in steps) == pytest.approx(-cost, rel=1e-12)


def test_no_time_passes_within_a_job_and_the_last_step_drains_the_system():
    env = gym.make(STREAM, scenario=SCENARIOS["graphs"]).unwrapped
    streams, decisions, steps = play(env, 5, np.random.default_rng(2))
    rewards, counts = np.array([step[1] for step in steps]), streams.batch.jobs["num_tasks"][0]
    last = np.cumsum(counts) - 1
    assert not np.delete(rewards, last).any()
    # What accrues between the arrivals of jobs j and j + 1: for each job that arrived, the time it was there.
    arrival_s = np.append(streams.arrival_s[0], np.inf)
    done_s = arrival_s[:-1] + response_times(streams, decisions)[0]
    for j in range(streams.num_jobs):
        there_s = np.minimum(done_s[: j + 1], arrival_s[j + 1]) - arrival_s[j]
        assert rewards[last[j]] == pytest.approx(-np.maximum(there_s, 0.0).sum(), rel=1e-9, abs=1e-12)


def test_all_jobs_dropped_have_no_response_and_are_late():
    env = gym.make(STREAM, scenario={"name": "stream_deadlines", "num_jobs": 3}).unwrapped
    env.reset(seed=0)
    steps = [env.step(3) for _ in range(3)]
    assert [step[1] for step in steps] == [-1.0, -1.0, -1.0]
    info = steps[-1][4]
    assert (info["late_share"], info["energy_j"]) == (1.0, 0.0)
    assert np.isnan([info["response_mean_s"], info["response_p95_s"]]).all()
    assert not steps[-1][0].any()


@each
def test_the_stream_of_a_seed_is_what_is_sampled_with_it(scenario):
    envs = native(3, scenario)
    envs.reset(seed=[7, 8, 9])
    for b, seed in enumerate((7, 8, 9)):
        ours, theirs = envs.streams[b : b + 1].batch, offload_gym.sample_streams(scenario, 1, seed).batch
        for a, c in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, c)


@each
@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("observation", ["flat", "dict"])
def test_a_vector_environment_is_as_many_single_ones(scenario, mode, observation):
    kwargs = {"scenario": scenario, "observation": observation}
    envs = native(4, mode=mode, **kwargs)
    loop = SyncVectorEnv([lambda: gym.make(STREAM, **kwargs)] * 4, autoreset_mode=mode)
    assert_same_observations(*(env.reset(seed=3)[0] for env in (envs, loop)), rtol=0)
    rng, over = np.random.default_rng(0), 0
    for t in range(80):
        masks = envs.action_masks()
        np.testing.assert_array_equal(masks, loop.call("action_masks"))
        actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in masks])
        ours, theirs = envs.step(actions), loop.step(actions)
        assert_same(ours, theirs, f"step {t}")
        over += ours[2].sum()
        if mode == AutoresetMode.DISABLED and ours[2].any():
            ends = [{"reset_mask": ours[2].copy()} for _ in range(2)]
            assert_same_observations(envs.reset(options=ends[0])[0], loop.reset(options=ends[1])[0])
    assert over > 3


def test_threads_share_environments_and_halves_are_a_step():
    scenario = SCENARIOS["drops"]
    many, alone = native(300, scenario, "SameStep", num_threads=2), native(300, scenario, "SameStep", num_threads=1)
    out = alone.new_buffers()
    np.testing.assert_array_equal(many.reset(seed=5)[0], alone.reset(seed=5, out=out)[0])
    rng = np.random.default_rng(0)
    for t in range(40):
        actions = rng.integers(0, many.action_masks().sum(axis=1))
        many.step_async(actions)
        assert_same(many.step_wait(), alone.step(actions, out=out), f"step {t}")
    many.close()


@each
def test_masks_allow_a_drop_at_the_first_task_alone(scenario):
    env = gym.make(STREAM, scenario=scenario).unwrapped
    env.reset(seed=0)
    num_locations, task, seen = env.scenario.num_locations, 0, []
    counts = env.streams.batch.jobs["num_tasks"][0].tolist()
    for count in counts:
        for task in range(count):
            expected = [True] * num_locations + [task == 0] * env.scenario.can_drop
            masks = env.action_masks()
            assert (masks.dtype, masks.tolist()) == (np.bool_, expected)
            seen.append(expected)
            env.step(0)
    assert env.action_space.n == num_locations + env.scenario.can_drop


def test_a_drop_at_a_later_task_is_an_error_that_changes_nothing():
    scenario = SCENARIOS["drops"]  # K = 3, two tasks a job
    env, envs = gym.make(STREAM, scenario=scenario).unwrapped, native(2, scenario)
    for one in (env, envs):
        one.reset(seed=[0, 1] if one is envs else 0)
    env.step(0)
    envs.step([3, 0])
    message = (
        r"^the action for task 1 of the job is 3; it must be one whole number from 0 to 2, or 3 at a job's first ta"
    )
    with pytest.raises(ValueError, match=message):
        env.step(3)
    before = envs.action_masks()
    with pytest.raises(
        ValueError, match=r"^actions\[1\] is 3, which drops a job, at its task 1; it must be from 0 to 2"
    ):
        envs.step([0, 3])
    np.testing.assert_array_equal(envs.action_masks(), before)
    assert env.step(1)[1] <= 0.0
    for action in (4, -1, 0.5, [0], None, "a"):
        with pytest.raises(ValueError, match=r"^the action for task 0 of the job is "):
            env.step(action)
    with pytest.raises(ValueError, match=r"^actions\[0\] is 4; it must be from 0 to 3$"):
        envs.step([4, 0])


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"objective": "speed"}, "^objective is 'speed'; it must be one of 'response', 'late', 'cost', or None$"),
        ({"objective": ["late"]}, r"^objective is \['late'\]; it must be one of"),
        (
            {"scenario": "stream_deadlines", "objective": "response"},
            "^objective is 'response', under which a job that is dropped costs nothing; it must be 'late' where ",
        ),
        ({"scenario": "x"}, "^scenario is 'x'"),
        ({"scenario": "dag"}, "^random_graph is True in the scenario dag; in streams it must be False"),
        ({"objective": "late"}, "^objective is 'late', but the jobs of stream have no deadlines$"),
        ({"scenario": {"can_drop": True}}, "^objective is 'late', but the jobs of stream have no deadlines$"),
        ({"scenario": {"name": "stream", "num_jobs": 0}}, "^num_jobs is 0"),
        ({"observation": "list"}, "^observation is 'list'; it must be 'flat' or 'dict'$"),
    ],
)
def test_bad_arguments_give_one_sentence(kwargs, sentence):
    for make in (gym.make, lambda *a, **k: gym.make_vec(*a, 2, vectorization_mode="vector_entry_point", **k)):
        with pytest.raises(ValueError, match=sentence):
            make(STREAM, **kwargs)


def test_the_info_says_whose_turn_it_is():
    """Where there are several devices, from the reset on; a dict without a name changes the preset stream."""
    scenario = {"num_jobs": 5, "num_devices": 3}
    env, envs = StreamEnv(scenario), native(2, scenario)
    turns = [env.reset(seed=4)[1]]
    infos = [envs.reset(seed=[4, 5])[1]]
    assert env.scenario.name == envs.scenario.name == "stream"
    for _ in range(4):
        turns.append(env.step(0)[4])
        infos.append(envs.step(np.zeros(2, dtype=int))[4])
    assert [turn["device"] for turn in turns] == env.streams.device[0].tolist()
    np.testing.assert_array_equal([info["device"] for info in infos], envs.streams.device.T)
    assert all(info["_device"].all() for info in infos)
    assert "device" not in env.step(0)[4]
    assert "device" not in envs.step(np.zeros(2, dtype=int))[4]


def test_bad_use_gives_one_sentence():
    with pytest.raises(ValueError, match=r"^render_mode is 'gif'; it must be None, 'ansi', 'rgb_array' or 'human'$"):
        StreamEnv(render_mode="gif")
    with pytest.raises(ValueError, match=r"^max_episode_steps is 5; .* end with the last job of the stream: it must "):
        native(2, "stream", max_episode_steps=5)
    with pytest.raises(ValueError, match=f"^num_envs is {10**9}; so many streams of 200 jobs do not fit into memory$"):
        native(10**9, "stream")


@pytest.mark.parametrize("make", [StreamEnv, lambda: native(2, "stream")])
def test_nothing_is_there_before_a_reset(make):
    env = make()
    for call in (lambda: env.step(0), lambda: env.streams, env.action_masks):
        with pytest.raises(gym.error.ResetNeeded, match=r"^call reset\(\) before "):
            call()
    assert not hasattr(env, "streams")


def test_a_step_after_the_end_warns_and_changes_nothing():
    env = gym.make(STREAM, scenario=SCENARIOS["jobs"]).unwrapped
    play(env, 0, np.random.default_rng(0))
    with pytest.warns(UserWarning, match="the episode is over"):
        observation, reward, terminated, _, info = env.step(0)
    assert (observation.any(), reward, terminated, info) == (False, 0.0, True, {})


@each
def test_a_seed_repeats_copies_go_on_alike_and_arguments_go_to_json(scenario):
    env = gym.make(STREAM, scenario=scenario, observation="dict")
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert json.loads(env.spec.to_json())["kwargs"]["scenario"] == scenario
    first = env.reset(seed=4)[0]
    second = env.reset()[0]
    assert_same_observations(first, again.reset(seed=4)[0], rtol=0)
    assert_same_observations(second, again.reset()[0], rtol=0)
    assert not np.array_equal(first["completion"], second["completion"])
    copies = [copy.deepcopy(env.unwrapped), pickle.loads(pickle.dumps(env.unwrapped))]
    for _ in range(15):
        step = env.step(1)
        for other in copies:
            theirs = other.step(1)
            assert_same_observations(step[0], theirs[0], rtol=0)
            assert step[1:] == theirs[1:]
        if step[2]:
            break
    vector = native(300, scenario)
    vector.reset(seed=0)
    other = pickle.loads(pickle.dumps(vector))
    np.testing.assert_array_equal(vector.step(np.zeros(300, int))[0], other.step(np.zeros(300, int))[0])


@each
def test_observations_are_fresh_and_in_their_space(scenario):
    env = gym.make(STREAM, scenario={**scenario, "num_jobs": 40}, disable_env_checker=True).unwrapped
    rng, seen = np.random.default_rng(0), [env.reset(seed=1)[0]]
    while len(seen) < 60:
        observation, _, over, *_ = env.step(rng.choice(np.flatnonzero(env.action_masks())))
        seen.append(observation)
        if over:
            break
    assert all(env.observation_space.contains(observation) for observation in seen)
    assert not any(np.shares_memory(a, b) for a, b in pairwise(seen))


@pytest.mark.parametrize("num_tasks", [1, 2])
def test_an_outage_from_the_beginning_on_is_within_the_bounds(num_tasks, tmp_path):
    # GIVEN no rate that was seen yet, and jobs for the one core of the edge server that wait for one
    path = tmp_path / "trace.csv"
    path.write_text("mbps\n" + "0\n" * 40 + "20\n")
    scenario = {"name": "stream_deadlines", "radio": "trace", "trace_path": str(path), "edge_cores": 1, "num_jobs": 60}
    env = gym.make(STREAM, scenario={**scenario, "num_tasks": num_tasks}).unwrapped
    outages = 0
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        for k in [1, 2] * 20 * num_tasks:
            assert env.observation_space.contains(observation), observation
            outages += observation[OF_LOCATION * 3 + [name for name, *_ in STREAM_COLUMNS].index("outage")]
            observation = env.step(k)[0]
    assert outages > 100


def test_table_and_kernel_agree():
    names = [name for name, *_ in (*LOCATION_COLUMNS, *STREAM_COLUMNS)]
    assert (len(LOCATION_COLUMNS), len(STREAM_COLUMNS)) == (OF_LOCATION, OF_STREAM)
    assert len(set(names)) == len(names)
    # GIVEN rows with room for more than the table has
    fleet = StreamFleet(offload_gym.make_scenario("stream", num_edges=2), 2, None)
    rows = np.full((2, size_of(4) + 5), np.nan, dtype=np.float32)
    fleet.step(np.full(2, BEGIN), np.zeros((2, 1), dtype=np.int64), rows, np.zeros(2, dtype=fleet.result))
    # THEN the kernel writes the numbers of the table, and no other
    assert np.isfinite(rows[:, : size_of(4)]).all()
    assert np.isnan(rows[:, size_of(4) :]).all()


def test_columns_say_where_the_fields_are():
    scenario = SCENARIOS["bags"]
    flat, named = (gym.make(STREAM, scenario=scenario, observation=form) for form in ("flat", "dict"))
    vector, fields = flat.reset(seed=2)[0], named.reset(seed=2)[0]
    columns = stream_columns(scenario)
    assert len(columns) == len(vector) == size_of(4)
    for number, column in zip(vector, columns, strict=True):
        assert fields[column.field][column.index] == number
    assert columns[OF_LOCATION].name == "completion[1]"
    assert columns[OF_LOCATION].meaning.startswith("location 1: until the task's result is on the device, if it is")
    lines = column_table().splitlines()
    assert len(lines) == 2 + OF_LOCATION + OF_STREAM
    assert all(line in (StreamEnv.__doc__ or "") for line in lines)
    assert all(f'"{objective}"' in (StreamEnv.__doc__ or "") for objective in STREAM_OBJECTIVES)


def test_maskable_ppo_trains_on_it():
    agent_envs = SB3VecEnv(native(4, {"name": "stream_deadlines", "num_jobs": 5, "num_tasks": 2}, "SameStep"))
    agent = MaskablePPO("MlpPolicy", agent_envs, n_steps=16, batch_size=32, n_epochs=1, device="cpu", seed=0)
    agent.learn(128)
    observations = agent_envs.reset()
    actions, _ = agent.predict(observations, action_masks=get_action_masks(agent_envs))
    assert actions.shape == (4,)
    infos = [info for _ in range(12) for info in agent_envs.step(np.zeros(4, int))[3]]
    assert {"late_share", "response_mean_s", "terminal_observation"} <= set().union(*infos)
