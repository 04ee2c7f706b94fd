"""PPO and DQN on streams: tiny trainings, with what is folded into layers, what rewards are, and what is kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from stable_baselines3 import DQN, PPO
from stream_states import forward, random_network

import offload_gym
from agents.__main__ import main
from agents.stream_central import OF_DEVICE, cell_columns
from agents.stream_learning import StreamSettings, Validation
from agents.stream_reinforcement import (
    CLONED,
    HYPERPARAMETERS,
    as_policy,
    for_devices,
    make_agent,
    reinforce,
    train_agent,
)
from agents.stream_rewards import StreamReward, folded, greedy_actions, training_environments, unfolded
from offload_gym.envs.stream import VectorStreamEnv
from offload_gym.interop.sb3 import SB3VecEnv
from offload_gym.streams.networks import save_stream_policy
from offload_gym.streams.observing import OF_LOCATION, OF_STREAM
from offload_gym.streams.playing import play
from offload_gym.streams.policies import make_stream_policy, network_policy
from offload_gym.streams.responses import outcome_of, stream_costs
from offload_gym.streams.streams import Streams

SCENARIO = offload_gym.make_scenario("stream", num_jobs=30)
SETTINGS = StreamSettings(SCENARIO, num_validation=20, student=(8,))
TINY = {
    "ppo": {"num_envs": 4, "num_jobs": 10, "decisions": 64, "passes": 1, "batches": 2},
    "dqn": {"num_envs": 4, "num_jobs": 10, "gradient_steps": 1},
}
TINY |= dict.fromkeys((CLONED, "ppo-plain", "ppo-central"), TINY["ppo"])


@pytest.fixture(scope="module")
def validation():
    return Validation(SETTINGS)


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_the_compiled_policy_decides_as_the_agent(name, validation):
    agent = make_agent(name, SETTINGS, validation, TINY[name])
    policy = as_policy(agent, SETTINGS)
    normalised = agent.get_vec_normalize_env()
    beside = np.zeros((20, normalised.observation_space.shape[0] - OF_LOCATION * 3 - OF_STREAM))  # for critics alone
    envs = VectorStreamEnv(20, SCENARIO, autoreset_mode="Disabled")
    observations, _ = envs.reset(seed=5)
    decisions, seen = [], []
    for _ in range(SCENARIO.num_jobs):
        seen.append(observations)
        decisions.append(
            agent.predict(normalised.normalize_obs(np.hstack([observations, beside])), deterministic=True)[0]
        )
        observations, *_ = envs.step(decisions[-1])
    # In single precision two scores that are nearly equal may be told apart in another way.
    scores = np.sort(forward(policy.network, np.array(seen)), axis=2)
    unclear = scores[:, :, -1] - scores[:, :, -2] < 1e-5 * np.abs(scores).max()
    same = np.array(decisions) == play(envs.streams, policy).decisions[:, :, 0].T
    assert (same | unclear.cumsum(axis=0).astype(bool)).all()
    assert same.mean() > 0.99
    assert isinstance(agent, DQN if name == "dqn" else PPO)
    assert policy.network.scenario == SCENARIO.label


def test_several_devices_learn_as_one_does():
    chosen = {"gamma": 0.95, "gae_lambda": 0.81, "num_jobs": 100, "num_envs": 64, "passes": 12}
    assert for_devices(chosen, 1) == chosen
    # Two decisions, one of each device, are discounted as one was: sqrt(0.81) = 0.9.
    fading = {"gamma": pytest.approx(0.95**0.5), "gae_lambda": pytest.approx(0.9)}
    assert for_devices(chosen, 2) == {"num_jobs": 200, "num_envs": 32, "passes": 12, **fading}
    assert for_devices(chosen, 100)["num_envs"] == 1
    del chosen["gae_lambda"]  # which DQN has not
    assert "gae_lambda" not in for_devices(chosen, 2)


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


def rewarding(num_envs=3, against_greedy=True, at_once=False, **changes):
    scenario = replace(SCENARIO, num_jobs=10, **changes)

    def environments():
        return SB3VecEnv(VectorStreamEnv(num_envs, scenario, None, "SameStep"))

    env = StreamReward(environments(), environments() if against_greedy else None, 2.0, at_once)
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
    for at_once in (False, True):
        env, _ = rewarding(at_once=at_once)
        observations = env.reset()
        for _ in range(25):  # also in the episodes after the first one
            observations, rewards, *_ = env.step(greedy_actions(observations, 3))
            np.testing.assert_array_equal(rewards, 0.0)


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("against_greedy", [False, True])
def test_returns_are_the_responses_less_greedys(against_greedy, at_once):
    env, scenario = rewarding(against_greedy=against_greedy, at_once=at_once, num_devices=2)
    for _ in range(2):  # also of the episodes after the first ones
        total, streams = episodes(env, lambda observations: np.zeros(len(observations), dtype=np.int64))
        own = play(streams, make_stream_policy("local", scenario)).response_s.sum(axis=1)
        greedy = play(streams, make_stream_policy("greedy", scenario)).response_s.sum(axis=1)
        np.testing.assert_allclose(total, (against_greedy * greedy - own) / 2.0, rtol=1e-5)  # the unit is 2


@pytest.mark.parametrize(
    ("changes", "objective"),
    [
        ({"name": "stream_cell", "num_devices": 3}, "response"),
        ({"name": "stream_cell", "failure_share": 0.3, "report_s": 1.0}, "cost"),
        ({"name": "stream_deadlines", "num_devices": 2, "arrivals_per_s": 9.0}, "late"),
        ({"name": "stream_applications", "num_devices": 2}, "response"),
        ({"name": "stream_mobile"}, "response"),
    ],
)
def test_a_decision_pays_at_once_for_all_jobs_that_it_delays(changes, objective):
    scenario = offload_gym.make_scenario(**changes, num_jobs=12)
    env = StreamReward(SB3VecEnv(VectorStreamEnv(1, scenario, objective, "SameStep")), None, 1.0, True)
    env.seed(3)
    env.reset()
    streams, rng, paid = env.venv.env.streams, np.random.default_rng(0), 0.0
    decisions = np.zeros((1, 12, scenario.most_tasks), dtype=np.int64)
    for j, num_tasks in enumerate(streams.batch.jobs["num_tasks"][0]):
        for i in range(num_tasks):
            decisions[0, j, i] = rng.integers(0, scenario.num_locations)
            paid += env.step(decisions[:, j, i])[1][0]
        # What the jobs so far cost together, were they all.
        cut = {name: getattr(streams.batch, name)[:, : j + 1] for name in ("jobs", "tasks", "edge_bits")}
        first = Streams.from_batch(streams.batch._replace(**cut))
        cost = stream_costs(first, outcome_of(first, decisions[:, : j + 1]), objective)[0]
        cost *= j + 1 if objective == "late" else 1  # else it is the share of late jobs
        assert paid == pytest.approx(-cost, rel=1e-4, abs=1e-5)


def test_what_the_critic_sees_of_a_cell():
    """Three devices: one decision after another, the first one kept by the device and the others sent to the edge."""
    scenario = offload_gym.make_scenario("stream_cell", num_devices=3, num_jobs=6, edge_cores=2)
    env = VectorStreamEnv(2, scenario)
    env.reset(seed=5)
    turns = env.streams.device
    for place in (0, 1, 1):
        env.step(np.array([place, place]))
    columns = cell_columns(env)
    assert columns.shape == (2, OF_DEVICE * 3 + 2)
    fleet = env._fleet
    for b in range(2):
        now_s = fleet.systems.clock["now_s"][b, 0]
        slot = int(now_s / fleet.batch.common["slot_s"][b])
        for place, d in enumerate((turns[b, 3] + np.arange(3)) % 3):  # whose turn it is stands first
            jobs, work_s, send_s, sends = columns[b, OF_DEVICE * place : OF_DEVICE * (place + 1)] ** 2
            radio, free_s = fleet.systems.radios[b, d], fleet.systems.core_free_s[b]
            assert jobs == pytest.approx(radio["num_in_system"])
            assert work_s == pytest.approx(max(free_s[d, 0] - now_s, 0.0), rel=1e-5)
            assert send_s == pytest.approx(1e6 / fleet.batch.uplink_bps[b, d, slot], rel=1e-5)
            assert sends == (radio["due_s"] < np.inf)
        of_edge_s = np.maximum(fleet.systems.core_free_s[b, 3, :2] - now_s, 0.0).sum()
        assert columns[b, -2] ** 2 == pytest.approx(of_edge_s, rel=1e-5)


def test_the_actor_of_a_central_critic_reads_its_own_view(validation):
    agent = make_agent("ppo-central", SETTINGS, validation, TINY["ppo-central"])
    seen = torch.rand(5, agent.observation_space.shape[0])
    changed = seen.clone()
    changed[:, OF_LOCATION * 3 + OF_STREAM :] += 1.0
    logits, others = (agent.policy.get_distribution(x).distribution.logits for x in (seen, changed))
    torch.testing.assert_close(logits, others, rtol=0, atol=0)
    assert not torch.equal(agent.policy.predict_values(seen), agent.policy.predict_values(changed))
    # Its own view, 4 numbers of the device and 2 of servers, and the same of the twin in which greedy decides.
    assert seen.shape[1] == 2 * (39 + OF_DEVICE + 2)


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
    # Rewards are in units of what greedy pays for a job: of its late jobs, their share.
    greedy = play(validation.streams, make_stream_policy("greedy", settings.scenario, "late")).late.mean()
    assert training_environments(settings, validation, HYPERPARAMETERS["ppo"]).venv._unit == pytest.approx(greedy)
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
        ("a2c", SETTINGS, "agent is 'a2c'; it must be one of ppo, ppo-central, ppo-plain, ppo-cloned, dqn"),
        (
            "ppo",
            StreamSettings(replace(dropping, num_tasks=2), "late"),
            "jobs of 2 tasks be dropped",
        ),
        (CLONED, StreamSettings(dropping, "late", start=start), "start drops no jobs"),
        (CLONED, StreamSettings(replace(SCENARIO, num_edges=2)), "is for 3 locations; the streams have 4"),
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


def test_work_at_servers_that_fail_counts_in_their_time_up():
    scenario = offload_gym.make_scenario("stream_cell", num_devices=3, failure_share=0.5, failure_s=5.0, num_jobs=40)
    env = VectorStreamEnv(1, scenario)
    env.reset(seed=1)
    fleet = env._fleet
    m, compared = 3, 0
    for _ in range(60):
        env.step(np.ones(1, dtype=np.int64))
        batch, systems = fleet.batch, fleet.systems
        slot_s, now_s = batch.common["slot_s"][0], systems.clock["now_s"][0, 0]
        slot = int(now_s / slot_s)
        down = np.diff(batch.down_slots[0, 0])  # of each slot, whether the server is down in it
        if slot >= len(down):
            break
        up_s = (down[:slot] == 0).sum() * slot_s + (now_s - slot * slot_s) * (down[slot] == 0)
        free_s = systems.core_free_s[0, m]
        work_s = np.maximum(free_s[np.isfinite(free_s)] - up_s, 0.0).sum()
        np.testing.assert_allclose(cell_columns(env)[0, OF_DEVICE * m] ** 2, work_s, rtol=1e-4, atol=1e-5)
        compared += work_s > 0 and up_s < now_s
    assert compared
