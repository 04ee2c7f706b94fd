"""Streams as an AEC environment: its API, whose turn it is, what it shows, and each device's own account."""

import copy
import pickle
import warnings

import gymnasium as gym
import matplotlib.figure  # noqa: F401  (imported here, its own warnings are not the environment's)
import numpy as np
import pytest
from pettingzoo.test import api_test, render_test, seed_test
from pettingzoo.utils import turn_based_aec_to_parallel
from pettingzoo.utils.wrappers import TerminateIllegalWrapper

import offload_gym
from offload_gym.envs.stream import StreamEnv
from offload_gym.instances import WORKLOAD
from offload_gym.interop.pettingzoo_streams import StreamAECEnv, stream_env
from offload_gym.streams.responses import outcome_of

# One-task jobs; several tasks of which some may be missing; jobs that may be dropped; graphs and two edge servers.
SCENARIOS = {
    "jobs": {"name": "stream", "num_devices": 3, "num_jobs": 20},
    "bags": {"name": "stream", "num_tasks": 1, "max_tasks": 3, "num_jobs": 14, "num_devices": 2, "num_edges": 2},
    "drops": {"name": "stream_deadlines", "num_devices": 3, "num_jobs": 20, "num_tasks": 2, "arrivals_per_s": 9.0},
    "graphs": {"name": "stream_applications", "num_devices": 3, "num_jobs": 10, "energy_weight_s_per_j": 0.25},
}
each = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=list(SCENARIOS))


def play(env, seed, rng):
    """An episode of random actions: (outcome of its stream, device of each job, returns, infos at the end, actions)."""
    env.reset(seed=seed)
    streams = env.streams
    decisions = np.zeros((1, streams.num_jobs, streams.num_tasks), dtype=np.int64)
    returns, infos, actions, j, i = dict.fromkeys(env.agents, 0.0), {}, [], 0, 0
    for agent in env.agent_iter():
        _, reward, terminated, truncated, info = env.last()
        returns[agent] += reward
        assert truncated is False
        if terminated:
            infos[agent] = info
            env.step(None)
            continue
        assert agent == f"device_{streams.device[0, j]}"
        k = int(rng.choice(np.flatnonzero(info["action_mask"])))
        dropped = k == streams.num_locations
        decisions[0, j, :] = np.where(dropped, -1, decisions[0, j])
        if not dropped:
            decisions[0, j, i] = k
        i += 1
        if dropped or i == streams.batch.jobs["num_tasks"][0, j]:
            j, i = j + 1, 0
        actions.append(k)
        env.step(k)
    assert (j, env.agents) == (streams.num_jobs, [])
    return outcome_of(streams, decisions), streams, list(returns.values()), list(infos.values()), actions


@each
@pytest.mark.parametrize("shared_reward", [False, True])
def test_api(scenario, shared_reward):
    def made():
        return stream_env(scenario, shared_reward=shared_reward)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        api_test(made(), num_cycles=100)
        seed_test(made)


@pytest.mark.parametrize("observation", ["dict", "masked"])
def test_api_of_dictionaries(observation):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The test would have arrays; what it calls these two warnings, and no more, is what was asked for.
        warnings.filterwarnings("ignore", message="Observation is not a NumPy array")
        warnings.filterwarnings("ignore", message="Observation space for each agent probably should be")
        api_test(stream_env(SCENARIOS["drops"], observation=observation), num_cycles=100)
        seed_test(lambda: stream_env(SCENARIOS["drops"], observation=observation))


def test_rendering(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setitem(StreamEnv.metadata, "render_fps", 1000)
    scenario = SCENARIOS["jobs"]
    render_test(lambda render_mode: stream_env(scenario, render_mode=render_mode))
    env, single = stream_env(scenario, render_mode="ansi"), StreamEnv(scenario, render_mode="ansi")
    env.reset(seed=3)
    single.reset(seed=3)
    for k in (0, 1, 2, 1):
        assert env.render() == single.render()
        env.step(k)
        single.step(k)


@each
def test_the_return_of_an_agent_is_minus_the_sum_of_its_own_responses(scenario):
    rng = np.random.default_rng(0)
    scenario = {**scenario, "can_drop": False}
    for seed in range(4):
        outcome, streams, returns, infos, _ = play(stream_env(scenario), seed, rng)
        device, response_s = streams.device[0], outcome.response_s[0]
        for d, (total, info) in enumerate(zip(returns, infos, strict=True)):
            own_s = response_s[device == d]
            assert total == pytest.approx(-own_s.sum(), rel=1e-9)
            assert info["response_mean_s"] == pytest.approx(own_s.mean(), rel=1e-12)
            assert info["response_p95_s"] == pytest.approx(np.quantile(own_s, 0.95), rel=1e-12)
            assert info["late_share"] == outcome.late[0, device == d].mean()
            assert info["energy_j"] == pytest.approx(outcome.energy_j[0, device == d].sum(), rel=1e-12)


@pytest.mark.parametrize("changes", [{}, {"failure_share": 0.3, "failure_s": 1.0, "failure_tasks": "lost"}])
def test_the_return_of_an_agent_is_minus_the_number_of_its_own_late_jobs(changes):
    rng = np.random.default_rng(1)
    for seed in range(6):
        outcome, streams, returns, infos, _ = play(stream_env({**SCENARIOS["drops"], **changes}), seed, rng)
        response_s = outcome.response_s[0]
        for d, (total, info) in enumerate(zip(returns, infos, strict=True)):
            own = streams.device[0] == d
            served_s = response_s[own & (response_s < np.inf)]
            assert total == -outcome.late[0, own].sum()
            assert info["late_share"] == outcome.late[0, own].mean()
            assert info["lost_share"] == outcome.lost[0, own].mean()
            assert info["response_mean_s"] == pytest.approx(served_s.mean(), rel=1e-12)
            assert info["response_p95_s"] == pytest.approx(np.quantile(served_s, 0.95), rel=1e-12)


def test_the_cost_of_an_agent_is_its_own_responses_and_its_own_energy():
    outcome, streams, returns, _, _ = play(stream_env(SCENARIOS["graphs"], "cost"), 3, np.random.default_rng(2))
    cost = outcome.response_s[0] + 0.25 * outcome.energy_j[0]
    assert returns == pytest.approx([-cost[streams.device[0] == d].sum() for d in range(3)], rel=1e-9)


@each
@pytest.mark.parametrize("objective", ["response", "late", "cost"])
def test_a_step_pays_what_stream_v0_pays_shared_or_in_parts(scenario, objective):
    # GIVEN the same actions WHEN rewards are own, common, and those of the single environment
    if objective == "late":
        scenario = {"deadline_factor": (1.5, 4.0), **scenario, "can_drop": True}
    else:
        scenario = {**scenario, "can_drop": False}
    envs = [stream_env(scenario, objective, shared_reward=shared) for shared in (False, True)]
    single, rng, over = StreamEnv(scenario, objective), np.random.default_rng(3), False
    view, _ = single.reset(seed=5)
    for env in envs:
        env.reset(seed=5)
    while not over:
        for env in envs:
            np.testing.assert_array_equal(env.last()[0], view)
            np.testing.assert_array_equal(env.infos[env.agent_selection]["action_mask"], single.action_masks())
        action = int(rng.choice(np.flatnonzero(single.action_masks())))
        view, reward, over, _, _ = single.step(action)
        for env in envs:
            env.step(action)
        # THEN the own ones are parts of the others; what has accrued by now can be 0 for some devices.
        assert sum(envs[0].rewards.values()) == pytest.approx(reward, rel=1e-9, abs=1e-9)
        assert all(own <= 0.0 for own in envs[0].rewards.values())
        assert set(envs[1].rewards.values()) == {reward}
        assert [set(env.terminations.values()) for env in envs] == [{over}] * 2


def test_rewards_by_hand():
    """Two devices of 1 Gcycle/s; their jobs of 1 Gcycle arrive at known times, and all stay on the device."""
    env = StreamAECEnv({"name": "stream", "num_devices": 2, "num_jobs": 3})
    env.reset(seed=0)
    jobs, batch = env._fleet.batch.jobs[0], env._fleet.batch
    jobs["device"], jobs["arrival_s"], batch.devices["hz"] = [0, 1, 0], [0.0, 0.25, 0.5], 1e9
    batch.tasks[0, :, 0, WORKLOAD] = 1e9
    env._fleet.systems.clock["now_s"], env.agent_selection = 0.0, "device_0"  # as if the first job had just arrived
    paid = []
    for _ in range(3):
        env.step(0)
        paid.append(list(env.rewards.values()))
    # Until 0.25 s job 0 is there, until 0.5 s jobs 0 and 1. Job 0 ends at 1 s, job 1 at 1.25 s, and job 2, which waits
    # for job 0, at 2 s: from 0.5 s on device 0 has 0.5 s of job 0 and 1.5 s of job 2, device 1 has 0.75 s.
    assert paid == [pytest.approx(row) for row in ([-0.25, 0.0], [-0.25, -0.25], [-2.0, -0.75])]
    assert env._cumulative_rewards == pytest.approx({"device_0": -2.0, "device_1": -1.0})


def test_others_see_what_they_saw_at_their_last_turn():
    env = stream_env(SCENARIOS["jobs"])
    env.reset(seed=1)
    seen = {agent: np.zeros(env.observation_space(agent).shape, dtype=np.float32) for agent in env.agents}
    for agent in env.agent_iter():
        if env.terminations[agent]:
            break
        seen[agent] = env.last()[0]
        for other in env.agents:
            np.testing.assert_array_equal(env.observe(other), seen[other])
        env.observe(agent)[:] = 9.0  # a caller's own
        env.step(1)
    assert all(values.any() for values in seen.values())
    while env.agents:
        np.testing.assert_array_equal(env.last()[0], seen[env.agent_selection])
        env.step(None)
    env.reset(seed=1)
    for other in set(env.agents) - {env.agent_selection}:
        assert not env.observe(other).any()


def test_forms_of_the_observation():
    flat, named, masked = (stream_env(SCENARIOS["drops"], observation=form) for form in ("flat", "dict", "masked"))
    single = StreamEnv(SCENARIOS["drops"], observation="dict")
    fields, _ = single.reset(seed=2)
    for env in (flat, named, masked):
        env.reset(seed=2)
    for k in (0, 1, 2):
        vector, shown = flat.last()[0], masked.last()[0]
        assert named.observation_space("device_0") == single.observation_space
        np.testing.assert_equal(named.last()[0], fields)
        np.testing.assert_equal(
            shown, {"observation": vector, "action_mask": flat.infos[flat.agent_selection]["action_mask"]}
        )
        assert masked.observation_space("device_0").contains(shown)
        fields = single.step(k)[0]
        for env in (flat, named, masked):
            env.step(k)
    # Dropping a job is for its first task, of which the scenario has two.
    flat.reset(seed=2)
    for expected in (1, 0, 1, 0):
        assert flat.infos[flat.agent_selection]["action_mask"].tolist() == [1, 1, 1, expected]
        assert all(flat.infos[agent]["action_mask"].all() for agent in set(flat.agents) - {flat.agent_selection})
        flat.step(0)


def test_wrappers_of_pettingzoo_take_it():
    for form in ("flat", "masked"):
        env = TerminateIllegalWrapper(stream_env(SCENARIOS["drops"], observation=form), -1.0)
        env.reset(seed=0)
        env.step(0)
        player = env.agent_selection
        env.step(3)
        assert env.rewards[player] == -1.0
    parallel = turn_based_aec_to_parallel(stream_env(SCENARIOS["jobs"]))
    parallel.reset(seed=0)
    while parallel.agents:
        _, rewards, _, _, _ = parallel.step(dict.fromkeys(parallel.agents, 1))
    assert all(reward < 0.0 for reward in rewards.values())


@pytest.mark.parametrize("shared_reward", [False, True])
def test_a_thousand_devices(shared_reward):
    scenario = {"name": "stream", "num_devices": 1000, "arrivals_per_s": 0.01, "num_jobs": 30}
    env = stream_env(scenario, shared_reward=shared_reward)
    outcome, streams, returns, infos, _ = play(env, 0, np.random.default_rng(4))
    device, response_s = streams.device[0], outcome.response_s[0]
    count = np.bincount(device, minlength=1000)
    own_s = np.bincount(device, response_s, 1000)
    assert returns == pytest.approx(np.full(1000, -own_s.sum()) if shared_reward else -own_s, rel=1e-9)
    for name in ("response_mean_s", "response_p95_s", "late_share"):
        np.testing.assert_array_equal(np.isnan([info[name] for info in infos]), count == 0)
    assert [info["energy_j"] == 0.0 for info in infos if np.isnan(info["late_share"])] == [True] * (count == 0).sum()
    served = count > 0
    means_s = np.array([info["response_mean_s"] for info in infos])
    np.testing.assert_allclose(means_s[served], own_s[served] / count[served], rtol=1e-12)


def test_seeds_episodes_and_copies():
    env = stream_env(SCENARIOS["jobs"])
    drawn = offload_gym.sample_streams(offload_gym.make_scenario(**SCENARIOS["jobs"]), 1, 7)
    env.reset(seed=7)
    np.testing.assert_array_equal(env.streams.arrival_s, drawn.arrival_s)
    for k in (0, 1, 1, 2, 0):
        env.step(k)
    copies = [copy.deepcopy(env), pickle.loads(pickle.dumps(env.unwrapped))]
    for other in (env, *copies):
        while not any(other.terminations.values()):
            other.step(1)
    for other in copies:
        assert other._cumulative_rewards == env._cumulative_rewards
    env.reset()
    assert (env.streams.arrival_s != drawn.arrival_s).any()
    assert set(env._cumulative_rewards.values()) == {0.0}
    # An episode begun anew in its middle is the same as one begun after the end.
    first = play(env, 7, np.random.default_rng(5))
    env.reset()
    env.step(0)
    assert play(env, 7, np.random.default_rng(5))[2:3] == first[2:3]


def test_bad_arguments_and_actions():
    for arguments, message in (
        ({"scenario": "strem"}, "strem"),
        ({"objective": "makespan"}, "objective is 'makespan'"),
        ({"shared_reward": 1}, "shared_reward is 1; it must be True or False"),
        ({"observation": "mask"}, "observation is 'mask'; it must be 'flat', 'dict' or 'masked'"),
        ({"render_mode": "svg"}, "render_mode is 'svg'"),
    ):
        with pytest.raises(ValueError, match=message):
            stream_env(**arguments)
    env = StreamAECEnv()
    assert env.possible_agents == [f"device_{d}" for d in range(4)]
    assert not hasattr(env, "streams")
    for call in (lambda: env.step(0), lambda: env.observe("device_0")):
        with pytest.raises(gym.error.ResetNeeded, match=r"call reset\(\) before"):
            call()
    env = StreamAECEnv({**SCENARIOS["drops"], "num_jobs": 1})
    env.reset(seed=0)
    for bad in (4, -1, None, 0.0, [0]):
        with pytest.raises(ValueError, match=r"the action for task 0 of the job is .*; it must be one whole number"):
            env.step(bad)
    for ask in (env.observe, env.action_space, env.observation_space):
        with pytest.raises(ValueError, match="agent is 'device_3'; it must be one of"):
            ask("device_3")
    agent = env.agent_selection
    env.step(np.int32(0))
    with pytest.raises(ValueError, match="the action for task 1 of the job is 3; it must be one whole"):
        env.step(3)
    assert env.agent_selection == agent
    assert not any(env.terminations.values())
    env.step(0)
    with pytest.raises(ValueError, match="the only valid action is None"):
        env.step(0)
    while env.agents:
        env.step(None)
    with pytest.raises(gym.error.ResetNeeded, match="the episode is over"):
        env.step(0)
