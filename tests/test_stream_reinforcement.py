"""PPO and DQN on streams: tiny trainings, with what is folded into layers, what rewards are, and what is kept."""

import json
from dataclasses import replace

import numpy as np
import pytest
from stable_baselines3 import DQN, PPO
from stream_states import forward, played_states, random_network

import offload_gym
from agents.__main__ import main
from agents.stream_learning import StreamSettings, Validation
from agents.stream_reinforcement import (
    CLONED,
    HYPERPARAMETERS,
    AgainstGreedy,
    actor,
    as_policy,
    folded,
    greedy_actions,
    make_agent,
    reinforce,
    standardisation,
    suggest,
    train_agent,
    unfolded,
)
from offload_gym.envs.stream import VectorStreamEnv
from offload_gym.interop.sb3 import SB3VecEnv
from offload_gym.streams.networks import network_plan, save_stream_policy
from offload_gym.streams.playing import play
from offload_gym.streams.policies import make_stream_policy, network_policy

SCENARIO = offload_gym.make_scenario("stream", num_jobs=30)
SETTINGS = StreamSettings(SCENARIO, num_validation=20, student=(8,))
TINY = {
    "ppo": {"num_envs": 4, "num_jobs": 10, "decisions": 64, "passes": 1, "batches": 2},
    "dqn": {"num_envs": 4, "num_jobs": 10, "gradient_steps": 1},
}
TINY |= {CLONED: TINY["ppo"], "ppo-plain": TINY["ppo"]}


@pytest.fixture(scope="module")
def validation():
    return Validation(SETTINGS)


def observed(policy):
    """Observations and decisions where a policy plays, one row each."""
    streams = offload_gym.sample_streams(SCENARIO, 20, seed=5)
    observations, decisions, *_ = played_states(streams, policy.plan)
    return observations.reshape(-1, observations.shape[2]), decisions.ravel()


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_the_compiled_policy_decides_as_the_agent(name, validation):
    agent = make_agent(name, SETTINGS, validation, TINY[name])
    policy = as_policy(agent, SETTINGS)
    observations, decisions = observed(policy)
    env = agent.get_vec_normalize_env()
    scores = np.sort(forward(policy.network, observations), axis=1)
    clear = scores[:, -1] - scores[:, -2] > 1e-4  # else single precision may tell two scores apart in another way
    assert clear.mean() > 0.99
    chosen, _ = agent.predict(env.normalize_obs(observations), deterministic=True)
    np.testing.assert_array_equal(chosen[clear], decisions[clear])
    assert isinstance(agent, DQN if name == "dqn" else PPO)
    assert policy.network.scenario == SCENARIO.label


def test_layers_are_folded_by_hand():
    # 3 (x - 1) / 2 + 4 = 1.5 x + 2.5
    layers = ((np.array([[3.0]], dtype=np.float32), np.array([4.0], dtype=np.float32)),)
    mean, deviation = np.array([1.0]), np.array([2.0])
    ((weight, bias),) = folded(layers, mean, deviation)
    assert (weight.item(), bias.item()) == (1.5, 2.5)
    assert weight.dtype == bias.dtype == np.float32
    ((weight, bias),) = unfolded(((weight, bias),), mean, deviation)
    assert (weight.item(), bias.item()) == (3.0, 4.0)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_clone_starts_as_its_network(activation, validation, tmp_path):
    network = random_network(7, 5, activation=activation)
    save_stream_policy(tmp_path / "start.safetensors", network)
    settings = replace(SETTINGS, start=str(tmp_path / "start.safetensors"))
    agent = make_agent(CLONED, settings, validation, TINY[CLONED])
    policy = as_policy(agent, settings)
    assert policy.network.activation == activation
    for layer, wanted in zip(policy.network.layers, network.layers, strict=True):
        np.testing.assert_allclose(layer[0], wanted[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(layer[1], wanted[1], rtol=1e-4, atol=1e-5)
    streams = offload_gym.sample_streams(SCENARIO, 20, seed=5)
    same = play(streams, policy).decisions == play(streams, network_policy(network)).decisions
    assert same.mean() > 0.99


def test_only_the_critic_learns_at_first(validation):
    agent = make_agent(CLONED, SETTINGS, validation, TINY[CLONED])
    before = [p.detach().clone() for p in actor(agent).parameters()]
    critic = [p.detach().clone() for p in agent.policy.value_net.parameters()]
    keeper = train_agent(CLONED, SETTINGS, 128, validation, TINY[CLONED] | {"critic_alone": 1.0})
    assert len({round(change, 12) for _, change in keeper.curve}) == 1
    keeper = train_agent(CLONED, SETTINGS, 128, validation, TINY[CLONED] | {"learning_rate": 0.1, "critic_alone": 0.5})
    assert len({round(change, 12) for _, change in keeper.curve}) > 1
    assert before and critic
