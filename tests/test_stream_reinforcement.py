"""PPO and DQN on streams: tiny trainings, with what is folded into layers, what rewards are, and what is kept."""

from dataclasses import replace

import numpy as np
import pytest
from stable_baselines3 import DQN, PPO
from stream_states import forward, random_network

import offload_gym
from agents.__main__ import main
from agents.stream_learning import StreamSettings, Validation
from agents.stream_reinforcement import CLONED, HYPERPARAMETERS, as_policy, make_agent, reinforce, train_agent
from agents.stream_rewards import (
    DEADLINE,
    PLACED,
    StreamReward,
    folded,
    foreseen_costs,
    greedy_actions,
    unfolded,
)
from offload_gym.envs.stream import VectorStreamEnv
from offload_gym.interop.sb3 import SB3VecEnv
from offload_gym.streams.networks import save_stream_policy
from offload_gym.streams.observing import OF_LOCATION, OF_STREAM
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


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_the_compiled_policy_decides_as_the_agent(name, validation):
    agent = make_agent(name, SETTINGS, validation, TINY[name])
    policy = as_policy(agent, SETTINGS)
    normalised = agent.get_vec_normalize_env()
    envs = VectorStreamEnv(20, SCENARIO, autoreset_mode="Disabled")
    observations, _ = envs.reset(seed=5)
    decisions, seen = [], []
    for _ in range(SCENARIO.num_jobs):
        seen.append(observations)
        decisions.append(agent.predict(normalised.normalize_obs(observations), deterministic=True)[0])
        observations, *_ = envs.step(decisions[-1])
    # In single precision two scores that are nearly equal may be told apart in another way.
    scores = np.sort(forward(policy.network, np.array(seen)), axis=2)
    unclear = scores[:, :, -1] - scores[:, :, -2] < 1e-5 * np.abs(scores).max()
    same = np.array(decisions) == play(envs.streams, policy).decisions[:, :, 0].T
    assert (same | unclear.cumsum(axis=0).astype(bool)).all()
    assert same.mean() > 0.99
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
    def changes(critic_alone):
        few = TINY[CLONED] | {"learning_rate": 0.1, "critic_alone": critic_alone}
        keeper = train_agent(CLONED, SETTINGS, 256, validation, few)
        return [change for _, change in keeper.curve]

    assert len(set(changes(1.0))) == 1
    halfway = changes(0.5)
    assert halfway[0] == halfway[1] != halfway[-1]


def rewarding(num_envs=3, against_greedy=True, foreseen=False, objective=None, **changes):
    scenario = replace(SCENARIO, num_jobs=10, **changes)

    def environments():
        return SB3VecEnv(VectorStreamEnv(num_envs, scenario, objective, "SameStep"))

    env = StreamReward(environments(), environments() if against_greedy else None, 2.0, foreseen)
    env.seed(7)
    return env, scenario


def episodes(env, choose):
    """Sum of the rewards of the first episode of each environment, and its streams."""
    observations = env.reset()
    streams, total, over = env.venv.env.streams, 0.0, False
    while not over:
        observations, rewards, dones, _ = env.step(choose(observations))
        total, over = total + rewards, dones.all()
    return total, streams


def test_greedy_earns_nothing_against_greedy():
    for foreseen in (False, True):
        env, _ = rewarding(foreseen=foreseen)
        observations = env.reset()
        for _ in range(25):  # also in the episodes after the first one
            observations, rewards, *_ = env.step(greedy_actions(observations, 3))
            np.testing.assert_array_equal(rewards, 0.0)


@pytest.mark.parametrize("against_greedy", [False, True])
def test_returns_are_the_responses_less_greedys(against_greedy):
    env, scenario = rewarding(against_greedy=against_greedy)
    total, streams = episodes(env, lambda observations: np.zeros(len(observations), dtype=np.int64))
    own = play(streams, make_stream_policy("local", scenario)).response_s.sum(axis=1)
    greedy = play(streams, make_stream_policy("greedy", scenario)).response_s.sum(axis=1)
    np.testing.assert_allclose(total, (against_greedy * greedy - own) / 2.0, rtol=1e-5)  # the unit is 2


@pytest.mark.parametrize("changes", [{}, {"num_tasks": 3}])
def test_foreseen_costs_are_the_responses_where_rates_stay(changes):
    env, scenario = rewarding(against_greedy=False, foreseen=True, radio="constant", **changes)
    total, streams = episodes(env, lambda observations: greedy_actions(observations, 3))
    own = play(streams, make_stream_policy("greedy", scenario)).response_s.sum(axis=1)
    np.testing.assert_allclose(total, -own / 2.0, rtol=1e-4)


def test_foreseen_late_jobs_by_hand():
    seen = np.zeros((4, 3 * OF_LOCATION + OF_STREAM), dtype=np.float32)
    seen[:, : 3 * OF_LOCATION : OF_LOCATION] = np.sqrt([1.0, 2.0, 3.0])  # completions at the three locations
    seen[:, 3 * OF_LOCATION + DEADLINE] = np.sqrt(2.5)
    np.testing.assert_array_equal(foreseen_costs(seen, np.array([0, 1, 2, 3]), 3, "late"), [0, 0, 1, 1])
    np.testing.assert_allclose(foreseen_costs(seen, np.array([0, 1, 2, 2]), 3, "response"), [1, 2, 3, 3], rtol=1e-6)
    # AND what another task of the job was late for already adds nothing
    seen[:, 3 * OF_LOCATION + PLACED] = np.sqrt(2.75)
    np.testing.assert_array_equal(foreseen_costs(seen, np.array([0, 1, 2, 2]), 3, "late"), 0)
    np.testing.assert_allclose(
        foreseen_costs(seen, np.array([0, 1, 2, 2]), 3, "response"), [0, 0, 0.25, 0.25], atol=1e-6
    )


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_the_best_on_validation_is_kept(name, validation):
    keeper = train_agent(name, SETTINGS, 256, validation, TINY[name])
    assert keeper.least == min(change for _, change in keeper.curve)
    assert validation.change(network_policy(keeper.best)) == keeper.least
    assert len(keeper.curve) > 2


def test_late_jobs_can_be_learned_and_dropped(tmp_path):
    save_stream_policy(tmp_path / "start.safetensors", random_network(4, can_drop=True, objective="late"))
    settings = StreamSettings(
        offload_gym.make_scenario("stream_deadlines", num_jobs=30),
        "late",
        num_validation=10,
        student=(8,),
        start=str(tmp_path / "start.safetensors"),
    )
    validation = Validation(settings)
    for name in ("ppo", "dqn", CLONED):
        keeper = train_agent(name, settings, 128, validation, TINY[name])
        assert keeper.best.can_drop
        assert keeper.best.objective == "late"


def test_trained_agents_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("agents.stream_reinforcement.HYPERPARAMETERS", {n: HYPERPARAMETERS[n] | TINY[n] for n in TINY})
    lines = []
    paths = reinforce(tmp_path, SETTINGS, 64, report=lines.append)
    assert list(paths) == ["ppo", "dqn", CLONED]
    assert all(offload_gym.load_stream_policy(path).network.num_locations == 3 for path in paths.values())
    assert lines[0].startswith("ppo: 347 parameters, ")  # (36 + 1) * 8 + (8 + 1) * 3
    written = [path.read_bytes() for path in paths.values()]
    reinforce(tmp_path, SETTINGS, 64, ("dqn",), report=lines.append)
    assert lines[-1].startswith("dqn: ")
    assert lines[-1].endswith(" against greedy, kept")
    assert [path.read_bytes() for path in paths.values()] == written
    with pytest.raises(ValueError, match="decisions is 128, but the results"):
        reinforce(tmp_path, SETTINGS, 128)


def test_the_commands_run(tmp_path, capsys):
    arguments = ["reinforce-streams", "--num-jobs", "10", "--decisions", "64", "--agents", "dqn", "--output"]
    assert main([*arguments, str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("dqn: 2,659 parameters, ")
    assert (tmp_path / "dqn.safetensors").is_file()
    assert main([*arguments, str(tmp_path), "--tune", "1"]) == 0
    assert "dqn, 64 decisions a trial, 1 trials complete" in capsys.readouterr().out


def test_mistakes_are_said_in_one_sentence(validation, tmp_path):
    save_stream_policy(tmp_path / "start.safetensors", random_network(4))
    dropping = offload_gym.make_scenario("stream_deadlines", num_jobs=30)
    start = str(tmp_path / "start.safetensors")
    for name, settings, message in [
        ("a2c", SETTINGS, "agent is 'a2c'; it must be one of ppo, ppo-plain, ppo-cloned, dqn"),
        (
            "ppo",
            StreamSettings(replace(dropping, num_tasks=2), "late"),
            "jobs of 2 tasks be dropped",
        ),
        (CLONED, StreamSettings(dropping, "late", start=start), "start drops no jobs"),
        (CLONED, StreamSettings(replace(SCENARIO, num_edges=2)), "is for 3 locations; the streams have 4"),
        ("ppo", replace(SETTINGS, objective="cost"), "objective is 'cost'; .* response or late"),
    ]:
        with pytest.raises(ValueError, match=message):
            make_agent(name, settings, validation)
    with pytest.raises(ValueError, match="hyperparameters has passes; dqn has gamma, "):
        make_agent("dqn", SETTINGS, validation, {"passes": 3})
    with pytest.raises(ValueError, match="decisions is 0; it must be a whole number, at least 1"):
        reinforce(tmp_path / "new", SETTINGS, 0)
    validation = Validation(replace(SETTINGS, num_validation=2))
    validation.greedy = 0.0
    with pytest.raises(ValueError, match="greedy has no late job"):
        make_agent("ppo", SETTINGS, validation)
