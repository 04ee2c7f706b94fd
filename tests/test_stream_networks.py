"""Networks that decide streams: their files, what is refused, and the same decisions as in plain numpy."""

import os
import pickle
import warnings
from importlib.resources import files

import numpy as np
import pytest
from stream_states import balanced, forward, played_states, random_network
from test_damaged_files import outcomes

import offload_gym
import offload_gym.envs.stream
from offload_gym.layers import packed
from offload_gym.scenario import described
from offload_gym.streams.networks import StreamNetwork, load_stream_network, network_plan, save_stream_policy
from offload_gym.streams.observing import OBSERVATION_VERSION, size_of
from offload_gym.streams.planner import Effort
from offload_gym.streams.playing import play
from offload_gym.streams.policies import (
    NETWORKS,
    PlannerPolicy,
    PlanPolicy,
    check_fits,
    make_stream_policy,
    network_policy,
)
from offload_gym.streams.system import DROPPED

SCENARIO = offload_gym.make_scenario("stream", num_jobs=60)


def balanced_here(streams, *hidden, **fields):
    network = random_network(*hidden, num_locations=streams.num_locations, **fields)
    observations, *_ = played_states(streams, make_stream_policy("greedy").plan)
    return balanced(network, observations.reshape(-1, observations.shape[2]))


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("hidden", [(), (5,), (40, 24), (7, 33, 9)])
@pytest.mark.parametrize("num_edges", [1, 3])
def test_a_kernel_decides_as_plain_numpy(activation, hidden, num_edges):
    streams = offload_gym.sample_streams({"name": "stream", "num_jobs": 60, "num_edges": num_edges}, 30, seed=1)
    network = balanced_here(streams, *hidden, activation=activation, can_drop=num_edges == 3)
    observations, decisions, *_ = played_states(streams, network_plan(network))
    scores = forward(network, observations)
    chosen = scores.argmax(axis=-1)
    chosen[chosen == streams.num_locations] = DROPPED
    top = np.sort(scores, axis=-1)
    clear = top[:, :, -1] - top[:, :, -2] > 1e-4  # else single precision may tell two scores apart in another way
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(decisions[clear], chosen[clear])
    assert len(np.unique(decisions)) > 1
    # AND two threads decide as one does
    policy = network_policy(network)
    np.testing.assert_array_equal(play(streams, policy, 2).decisions[:, :, 0], decisions)
    assert policy.num_parameters == sum(weight.size + bias.size for weight, bias in network.layers)


def test_layers_are_padded_with_zeros():
    ones = [np.ones(shape, dtype=np.float32) for shape in ((5, 22), 5, (2, 5), 2)]
    numbers, weights = packed((tuple(ones[:2]), tuple(ones[2:])))
    # 22 inputs are padded to 24, 5 outputs to 8, and there is a row of biases; then 5 inputs to 8, 2 outputs to 8.
    np.testing.assert_array_equal(numbers, [[0, 24, 8], [25 * 8, 8, 8]])
    assert len(weights) == 25 * 8 + 9 * 8
    assert np.count_nonzero(weights) == weights.sum() == 5 * 22 + 5 + 2 * 5 + 2
    assert weights.ctypes.data % 64 == 0


def test_a_file_gives_the_network_back(tmp_path):
    network = random_network(
        6, activation="tanh", can_drop=True, objective="late", scenario="stream", scenario_fields=described(SCENARIO)
    )
    path = tmp_path / "folder" / "a.safetensors"
    save_stream_policy(path, network)
    policy = offload_gym.load_stream_policy(path)
    assert policy.name == "a"
    again = policy.network
    assert again.metadata.pop("format") == "offload_gym.stream_policy/1"
    assert again._replace(layers=()) == network._replace(layers=())
    for layer, wanted in zip(again.layers, network.layers, strict=True):
        np.testing.assert_array_equal(layer[0], wanted[0])
        np.testing.assert_array_equal(layer[1], wanted[1])
    # AND equal networks give equal bytes, also of a policy that was sent to another process
    save_stream_policy(tmp_path / "b.safetensors", pickle.loads(pickle.dumps(policy)).network)
    assert (tmp_path / "b.safetensors").read_bytes() == path.read_bytes()


def test_a_file_of_the_other_kind_is_recognised(tmp_path):
    save_stream_policy(tmp_path / "stream.safetensors", random_network())
    with pytest.raises(ValueError, match=r"is a policy file of streams; offload_gym\.load_stream_policy reads it$"):
        offload_gym.load_policy(tmp_path / "stream.safetensors")
    with pytest.raises(ValueError, match=r"student\.safetensors is a policy file; offload_gym\.load_policy reads it$"):
        offload_gym.load_stream_policy(f"{os.path.dirname(offload_gym.__file__)}/weights/default-student.safetensors")


def test_a_path_that_is_empty_is_none():
    with pytest.raises(ValueError, match=r"^path is ''; it must be the path of a file or a folder$"):
        offload_gym.load_stream_policy("")


def test_a_shipped_network_says_where_it_was_not_trained():
    for changes, said in (
        ({"num_tasks": 3}, "jobs have several tasks that do not depend on each other"),
        ({"num_tasks": 2, "report_s": 1.0}, "several tasks .* and devices know the servers by reports"),
        ({"mobility": "waypoint"}, "devices move"),
        ({"name": "stream_mobile", "report_s": 1.0}, "devices know the servers by reports"),
        # Trained at 0.7 to 12 jobs/s, of which 25 is more than twice.
        ({"arrivals_per_s": 25.0}, r"25 jobs a second arrive at each device, not 0\.7 to 12"),
        ({"applications": ["alexnet"]}, "the applications are others"),
    ):
        with pytest.warns(UserWarning, match=f"the student for .* was trained on other streams: here .*{said}"):
            make_stream_policy("student", {"name": "stream", **changes})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for preset in ("stream", "stream_deadlines", "stream_applications", "stream_cell", "stream_mobile"):
            make_stream_policy("student", preset)


def test_damaged_files_are_refused_in_one_sentence(tmp_path):
    save_stream_policy(tmp_path / "a.safetensors", random_network(4, scenario_fields={"name": "stream"}))
    outcomes(tmp_path / "a.safetensors", (tmp_path / "a.safetensors").read_bytes(), load_stream_network)


def test_networks_that_cannot_be_run_are_refused(tmp_path):
    network = random_network(4)
    (weight, bias), last = network.layers
    later = OBSERVATION_VERSION + 1
    wrong = [
        ({"activation": "gelu"}, "activation is 'gelu'; it must be one of relu, tanh"),
        ({"objective": "energy"}, "objective is 'energy'; it must be one of response, late, cost"),
        ({"observation_version": later}, f"reads version {later} of the observation .* version {OBSERVATION_VERSION}"),
        ({"num_locations": 1}, "num_locations is 1; it must be a whole number, at least 2"),
        ({"num_locations": "3"}, "num_locations is '3'; it must be a whole number, at least 2"),
        ({"can_drop": "no"}, "can_drop is 'no'; it must be True or False"),
        ({"metadata": {"a": 1}}, "metadata is {'a': 1}; it must be texts"),
        ({"scenario": 3}, "scenario is 3; it must be a text"),
        ({"layers": ((weight.tolist(), bias), last)}, "layers has something else than arrays"),
        ({"num_locations": 4}, rf"layers\.0 has a weight of shape .* it must take {size_of(4)} inputs"),
        ({"can_drop": True}, "the network has 3 outputs; it must have 4"),
        ({"layers": ()}, "the network has 0 layers"),
        ({"layers": ((weight[:, 1:], bias), last)}, f"it must take {size_of(3)} inputs"),
        ({"layers": ((weight, bias * np.nan), last)}, r"layers\.0 has a weight or bias that is not finite"),
    ]
    for changes, message in wrong:
        for refuse in (network_policy, lambda changed: save_stream_policy(tmp_path / "a.safetensors", changed)):
            with pytest.raises(ValueError, match=message):
                refuse(network._replace(**changes))
    with pytest.raises(ValueError, match="network is a tuple; it must be a StreamNetwork"):
        network_policy(())
    assert not list(tmp_path.iterdir())


def test_streams_with_other_locations_are_refused_before_they_are_played():
    policy = network_policy(random_network(4, num_locations=4), "mine")
    streams = offload_gym.sample_streams(SCENARIO, 1)
    message = "the policy mine is for 4 locations; the streams have 3"
    with pytest.raises(ValueError, match=message):
        play(streams, policy)
    with pytest.raises(ValueError, match=message):
        play(streams, PlannerPolicy(SCENARIO, policy, Effort(2, 2, 1, 3.0), "response", 0))


def test_a_network_drops_jobs_only_where_that_is_allowed():
    dropping = network_policy(random_network(4, can_drop=True), "mine")
    message = "the policy mine drops jobs, which the scenario must allow; its can_drop is False"
    with pytest.raises(ValueError, match=message):
        check_fits(dropping, 3, can_drop=False)
    streams = offload_gym.sample_streams(SCENARIO, 1)
    with pytest.raises(ValueError, match=message):
        play(streams, PlannerPolicy(SCENARIO, dropping, Effort(2, 2, 1, 3.0), "response", 0))
    check_fits(dropping, 3)


@pytest.mark.parametrize("preset", ["stream", "stream_deadlines", "stream_applications"])
@pytest.mark.parametrize("name", NETWORKS)
def test_shipped_networks(preset, name):
    objective = "late" if preset == "stream_deadlines" else "response"
    if not os.path.exists(f"{os.path.dirname(offload_gym.__file__)}/weights/{preset}-{name}.safetensors"):
        with pytest.raises(ValueError, match=f"the package ships no {name} for {preset}"):
            make_stream_policy(name, preset, objective)
        pytest.skip("not shipped yet")
    policy = make_stream_policy(name, preset, objective)
    assert isinstance(policy, PlanPolicy)
    assert policy.name == name
    assert policy.num_parameters <= (3_000 if name != "teacher" else 100_000)
    other = "response" if objective == "late" else "cost"
    with pytest.raises(ValueError, match=f"objective is '{other}'; the {name} for {preset} was trained for"):
        make_stream_policy(name, preset, other)
    streams = offload_gym.sample_streams(preset, 40, seed=5)
    greedy = play(streams, make_stream_policy("greedy", preset, objective))
    played = play(streams, policy)
    if objective == "late":
        assert played.late.mean() < greedy.late.mean()
    else:
        assert played.response_s.mean() < greedy.response_s.mean()


@pytest.mark.parametrize("kind", ["PPO", "DQN"])
def test_agents_of_stable_baselines3_decide_as_they_predict(kind):
    sb3 = pytest.importorskip("stable_baselines3")
    from agents.networks import linear_layers

    env = offload_gym.envs.stream.StreamEnv("stream_deadlines", "late")
    # A buffer for DQN that is not allocated for a million steps.
    agent = getattr(sb3, kind)("MlpPolicy", env, seed=1, **({"buffer_size": 10} if kind == "DQN" else {}))
    if kind == "PPO":
        layers = linear_layers(agent.policy.mlp_extractor.policy_net)
        ((weight, bias),) = linear_layers(agent.policy.action_net)
        agent.policy.action_net.weight.data *= 100.0  # it begins with all choices alike
        layers, activation = (*layers, (100.0 * weight, bias)), "tanh"
    else:
        layers, activation = linear_layers(agent.policy.q_net.q_net), "relu"
    streams = offload_gym.sample_streams({"name": "stream_deadlines", "num_jobs": 50}, 20, seed=2)
    network = StreamNetwork(layers, activation, 3, True, {}, objective="late")
    observations, decisions, *_ = played_states(streams, network_plan(network))
    predicted, _ = agent.predict(observations.reshape(-1, observations.shape[2]), deterministic=True)
    assert (np.where(predicted == 3, DROPPED, predicted) == decisions.ravel()).mean() > 0.999


SHIPPED = (
    ("stream", "response", 8.0, "price"),
    ("stream_deadlines", "late", 8.0, "late-price"),
    ("stream_applications", "response", 23.0, "exact"),
    ("stream_mobile", "response", 1.0, "greedy"),
)


@pytest.mark.parametrize(("preset", "objective", "rate_per_s", "opponent"), SHIPPED)
def test_shipped_networks_are_better_than_a_strong_opponent(preset, objective, rate_per_s, opponent):
    scenario = offload_gym.make_scenario(preset, arrivals_per_s=rate_per_s)
    streams = offload_gym.sample_streams(scenario, 60 // scenario.num_devices, seed=4)

    def cost(name):
        played = offload_gym.play(streams, make_stream_policy(name, scenario, objective))
        return played.late.mean() if objective == "late" else played.response_s.mean()

    for name in NETWORKS:
        assert cost(name) < 0.96 * cost(opponent)


def test_the_sizes_of_the_shipped_networks_are_those_of_their_readme():
    readme = (files("offload_gym") / "weights" / "README.md").read_text(encoding="utf-8")
    for preset, objective, *_ in SHIPPED:
        scenario = offload_gym.make_scenario(preset)
        sizes = [f"{make_stream_policy(name, scenario, objective).num_parameters:,}" for name in NETWORKS]
        assert f"| `{preset}` | {', '.join(sizes)} |" in readme
