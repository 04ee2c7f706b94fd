"""What all environments promise, tried on scenarios that nobody would choose."""

import warnings

import gymnasium as gym
import numpy as np
from hypothesis import strategies as st
from property_inputs import EPOCH_FIELDS, STREAM_FIELDS, few_and_many, refute, scenarios

from offload_gym import OBJECTIVES
from offload_gym.interop.pettingzoo import CellEnv
from offload_gym.interop.pettingzoo_streams import StreamAECEnv
from offload_gym.streams.responses import outcome_of, stream_costs

SEEDS = st.integers(0, 2**32 - 1)
JOINT, SEQUENTIAL, STREAM = (f"offload_gym/{name}-v0" for name in ("Joint", "Sequential", "Stream"))
#: What is not the scenario's in environments of epochs.
OPTIONS = st.fixed_dictionaries(
    {
        "objective": st.sampled_from(OBJECTIVES),
        "carry_over": st.booleans(),
        "observation_noise": st.sampled_from([0.0, 0.3, 10.0, "last"]),
        "roll_outs": st.booleans(),
    }
)


def assert_within(space, observation):
    assert observation in space, observation


def made(env_id, **given):
    return gym.make(env_id, disable_env_checker=True, **given).unwrapped


@few_and_many
def test_epochs_are_shown_within_the_bounds_and_paid_alike(tries):
    """Each observation is in its space, flat and as a dict, and the return of Sequential is the reward of Joint."""

    @refute(60 * tries, scenarios(EPOCH_FIELDS), OPTIONS, SEEDS)
    def holds(scenario, options, seed):
        joint, sequential, named = (
            made(env_id, scenario=scenario, num_epochs=4, observation=form, **options)
            for env_id, form in ((JOINT, "flat"), (SEQUENTIAL, "flat"), (SEQUENTIAL, "dict"))
        )
        for env in (joint, sequential, named):
            assert_within(env.observation_space, env.reset(seed=seed)[0])
            env.action_space.seed(seed)
        for _ in range(4):
            decision = joint.action_space.sample()
            count = int(sequential.instances.task_counts[0])
            seen, reward, *_ = joint.step(decision)
            assert_within(joint.observation_space, seen)
            assert -np.inf < reward <= 0.0
            returned = 0.0
            for k in decision[:count]:
                seen, part, *_ = sequential.step(int(k))
                assert_within(sequential.observation_space, seen)
                assert_within(named.observation_space, named.step(int(k))[0])
                assert part <= 0.0
                returned += part
            np.testing.assert_allclose(returned, reward, rtol=1e-9, atol=0)


@few_and_many
def test_vectors_of_epochs_are_shown_within_the_bounds(tries):
    @refute(20 * tries, scenarios(EPOCH_FIELDS), OPTIONS, st.sampled_from([JOINT, SEQUENTIAL]), SEEDS)
    def holds(scenario, options, env_id, seed):
        envs = gym.make_vec(
            env_id, 3, vectorization_mode="vector_entry_point", scenario=scenario, num_epochs=2, **options
        )
        envs.action_space.seed(seed)
        assert_within(envs.observation_space, envs.reset(seed=seed)[0])
        for _ in range(12):
            seen, rewards, *_ = envs.step(envs.action_space.sample())
            assert_within(envs.observation_space, seen)
            assert np.isfinite(rewards).all()


def play(env, seed):
    """An episode of random actions: (streams, decisions, rewards, observations)."""
    rng = np.random.default_rng(seed)
    seen = [env.reset(seed=seed)[0]]
    streams = env.streams
    decisions = np.zeros((1, streams.num_jobs, streams.num_tasks), dtype=np.int64)
    rewards = []
    for j, count in enumerate(streams.batch.jobs["num_tasks"][0]):
        for i in range(count):
            k = int(rng.choice(np.flatnonzero(env.action_masks())))
            observation, reward, over, *_ = env.step(k)
            seen.append(observation)
            rewards.append(reward)
            if k == streams.num_locations:
                decisions[0, j] = -1
                break
            decisions[0, j, i] = k
    assert over
    return streams, decisions, rewards, seen


@few_and_many
def test_streams_are_shown_within_the_bounds_and_paid_what_they_cost(tries):
    """Each observation is in its space, and the return is minus the sum of the responses, or what else it costs."""
    objectives = dict.fromkeys(("response", "late", "cost"), 0)

    kinds = st.sampled_from(["response", "late", "cost"]), st.sampled_from(["flat", "dict"])

    @refute(100 * tries, scenarios(STREAM_FIELDS), *kinds, SEEDS)
    def holds(scenario, objective, form, seed):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            env = env_of(scenario, objective, form)
            streams, decisions, rewards, seen = play(env, seed)
        for observation in seen:
            assert_within(env.observation_space, observation)
        assert max(rewards) <= 0.0
        cost = stream_costs(streams, outcome_of(streams, decisions), env.objective)[0]
        cost *= streams.num_jobs if env.objective == "late" else 1
        assert np.isfinite(cost)
        np.testing.assert_allclose(-sum(rewards), cost, rtol=1e-9, atol=1e-9 * streams.arrival_s.max())
        objectives[env.objective] += 1

    assert min(objectives.values()) > 10, objectives


def env_of(scenario, objective, form):
    """A stream environment with this objective, or with the one that there is for the scenario."""
    can_lose = scenario.get("failure_share", 0.0) > 0 and scenario.get("failure_tasks") == "lost"
    if scenario.get("can_drop") or can_lose:
        objective = "late"
    if objective == "late" and not can_lose:
        scenario = {"deadline_factor": (0.5, 3.0)} | scenario
    return made(STREAM, scenario=scenario, objective=objective, observation=form)


@few_and_many
def test_agents_of_a_cell_are_shown_within_the_bounds(tries):
    @refute(30 * tries, scenarios({**EPOCH_FIELDS, "random_graph": st.just(False)}), st.integers(1, 5), SEEDS)
    def holds(scenario, num_devices, seed):
        env = CellEnv(scenario, num_devices, num_epochs=3)
        seen, _ = env.reset(seed=seed)
        rng = np.random.default_rng(seed)
        while env.agents:
            assert len(seen) == num_devices
            for agent, observation in seen.items():
                assert_within(env.observation_space(agent), observation)
            actions = {agent: rng.integers(0, env.action_space(agent).nvec) for agent in env.agents}
            seen, rewards, *_ = env.step(actions)
            assert all(-np.inf < reward <= 0.0 for reward in rewards.values())


@few_and_many
def test_agents_of_a_stream_are_shown_within_the_bounds(tries):
    @refute(30 * tries, scenarios(STREAM_FIELDS), SEEDS)
    def holds(scenario, seed):
        scenario = {"num_devices": 3, "num_jobs": 12, "deadline_factor": (0.5, 3.0)} | scenario
        env, rng = StreamAECEnv(scenario), np.random.default_rng(seed)
        env.reset(seed=seed)
        for agent in env.agent_iter():
            observation, reward, over, _, info = env.last()
            assert -np.inf < reward <= 0.0
            if over:
                env.step(None)
                continue
            shown = observation["observation"] if isinstance(observation, dict) else observation
            space = env.observation_space(agent)
            assert_within(space.spaces["observation"] if isinstance(space, gym.spaces.Dict) else space, shown)
            env.step(int(rng.choice(np.flatnonzero(info["action_mask"]))))
