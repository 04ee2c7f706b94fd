"""Scenarios of applications, and the environments and networks on them."""

import json
import time

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from agents.networks import TaskNetwork, to_runtime
from offload_gym import Instances, latency, make_policy, make_scenario, sample_instances
from offload_gym.applications.application import Application
from offload_gym.applications.loading import load_application
from offload_gym.applications.presets import cnn_application, random_application
from offload_gym.delay import new_workspace, open_instance
from offload_gym.estimates import as_last_measured
from offload_gym.instances import OUTPUT, WORKLOAD
from offload_gym.networks.policy import NetworkPolicy
from offload_gym.observation import epoch_observations, row_size, squash
from offload_gym.policies import POLICY_NAMES, SHIPPED
from offload_gym.scenario import PRESETS
from offload_gym.solvers.heft import upward_ranks

DEPENDENT = ("chain", "fork_join", "dag", "face_recognition", "augmented_reality", "partitioning")
DEPENDENT += ("stream_applications",)
DIAMOND = Application(
    "diamond",
    input_bits=(8e6, 0, 0, 0),
    output_bits=(0, 0, 0, 1e5),
    workload_cycles=(1e8, 4e8, 5e8, 2e8),
    edges=((0, 1), (0, 2), (1, 3), (2, 3)),
    edge_bits=(1e6, 2e6, 3e5, 4e5),
)


def test_an_application_of_a_thousand_tasks(tmp_path):
    # GIVEN a chain of 1,000 tasks as STG, of 1 to 10 units of time
    times = [1 + i % 10 for i in range(1000)]
    lines = ["1000", *(f"{i} {units} {min(i, 1)} {i - 1 if i else ''}" for i, units in enumerate(times))]
    (tmp_path / "chain.stg").write_text("\n".join(lines))
    application = load_application(tmp_path / "chain.stg", reference_hz=1e6)
    # WHEN a device runs all of it THEN that takes 5,500 units: 100 of each of 1 to 10
    scenario = make_scenario(applications=[application], device_backlog_s=0.0)
    instances = sample_instances(scenario, 20, seed=1)
    seconds = latency(instances, np.zeros((20, 1000), dtype=np.int64))
    np.testing.assert_allclose(seconds, 5500e6 / instances.cpu_hz[:, 0])
    # and making, drawing and deciding it take no second, once kernels are there
    make_policy("greedy").decide(instances)
    started_s = time.process_time()
    sample_instances(make_scenario(applications=[application]), 20, seed=2)
    make_policy("greedy").decide(instances)
    assert time.process_time() - started_s < 1.0


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_drawn_and_decided(name):
    scenario = make_scenario(name)
    instances = sample_instances(scenario, 20, seed=1)
    assert instances.num_tasks == scenario.most_tasks
    assert (instances.edge_start[:, -1] > 0).any() == scenario.dependent == (name in DEPENDENT)
    for policy in POLICY_NAMES:
        if policy in SHIPPED or policy.startswith("roll-out"):
            continue  # for independent tasks
        decisions = make_policy(policy).decide(instances)
        assert decisions.shape == (20, scenario.most_tasks)
    assert make_scenario(**json.loads(json.dumps(scenario.to_dict()))) == scenario


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("env_id", ["offload_gym/Joint-v0", "offload_gym/Sequential-v0"])
def test_environments_take_every_preset(name, env_id):
    env = gym.make(env_id, scenario=name, num_epochs=2)
    check_env(env.unwrapped, skip_render_check=True)
    latencies, terminated = [], False
    env.reset(seed=1)
    while not terminated:
        _, _, terminated, _, info = env.step(env.action_space.sample())
        latencies += [info["latency_s"]] if "latency_s" in info else []
    assert len(latencies) == 2
    assert gym.envs.registration.EnvSpec.from_json(gym.spec(env_id).to_json()) == gym.spec(env_id)


def test_an_application_survives_the_spec_of_its_environment():
    given = {
        "applications": [json.loads(json.dumps(make_scenario(applications=(DIAMOND,)).to_dict()))["applications"][0]]
    }
    env = gym.make("offload_gym/Joint-v0", scenario=given)
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    for made in (env, again):
        made.reset(seed=3)
    assert env.unwrapped.scenario == again.unwrapped.scenario
    assert again.unwrapped.instances.edges == DIAMOND.edges


def test_numbers_of_an_application_reach_the_instances():
    instances = sample_instances({"applications": (DIAMOND,)}, 3, seed=0)
    np.testing.assert_array_equal(instances.workload_cycles, [DIAMOND.workload_cycles] * 3)
    np.testing.assert_array_equal(instances.edge_bits, [DIAMOND.edge_bits] * 3)
    scaled = sample_instances({"applications": (DIAMOND,), "workload_scale": (2, 3), "data_scale": (4, 5)}, 50, seed=0)
    factor = scaled.tasks[:, :, WORKLOAD] / DIAMOND.workload_cycles
    assert 2 <= factor.min() < 2.1 < 2.9 < factor.max() <= 3
    for ratio in (scaled.edge_bits / DIAMOND.edge_bits, scaled.tasks[:, 3, OUTPUT] / 1e5):
        assert 4 <= ratio.min() < 4.2 < 4.8 < ratio.max() <= 5


def test_applications_of_different_sizes_are_drawn_alike_often():
    scenario = make_scenario(applications=(DIAMOND, "chain", "fork_join"), num_tasks=6)
    instances = sample_instances(scenario, 900, seed=2)
    assert scenario.most_tasks == 6
    kinds = {4: 0, 6: 0}
    for count, edges in zip(instances.task_counts, instances.edge_start[:, -1], strict=True):
        kinds[int(count)] += 1
        assert int(edges) in {4: (4,), 6: (5, 8)}[int(count)]
    assert 240 < kinds[4] < 360


def test_the_number_of_independent_tasks_varies_where_asked():
    instances = sample_instances({"num_tasks": 3, "max_tasks": 5}, 600, seed=2)
    assert instances.num_tasks == 5
    assert np.bincount(instances.task_counts, minlength=6)[3:].min() > 150


def test_further_edge_servers_have_rates_of_their_own():
    instances = sample_instances("multi_edge", 400, seed=1)
    ratio = instances.uplink_bps[:, 2:4] / instances.uplink_bps[:, 1:2]
    assert 0.3 <= ratio.min() < 0.32 < 1.48 < ratio.max() <= 1.5
    np.testing.assert_allclose(instances.uplink_bps[:, 4], instances.uplink_bps[:, 1])
    np.testing.assert_allclose(
        instances.downlink_bps[:, 1:] / instances.uplink_bps[:, 1:],
        np.repeat(instances.downlink_bps[:, 1:2] / instances.uplink_bps[:, 1:2], 4, axis=1),
    )
    env = gym.make("offload_gym/Sequential-v0", scenario={"name": "multi_edge", "num_edges": 8})
    observation, _ = env.reset(seed=0)
    # Each server's rate and speed is seen in the first task's row.
    one = env.unwrapped.instances
    for k in range(1, 10):
        send_s, run_s = one.input_bits[0, 0] / one.uplink_bps[0, k], one.workload_cycles[0, 0] / one.cpu_hz[0, k]
        assert observation[4 * k - 2] == pytest.approx(squash(send_s / env.unwrapped.scale_s), rel=1e-6)
        assert observation[4 * k] == pytest.approx(squash(run_s / env.unwrapped.scale_s), rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"applications": "chain"}, "applications is 'chain'; it must be a list of names"),
        ({"applications": ["chains"]}, "applications has 'chains'; the known ones are chain, fork_join"),
        ({"applications": ["own.json"]}, "a file is read with load_application"),
        (
            {"applications": [{"name": "x", "tasks": []}]},
            r"the contents of a file \('x'\); give what load_application makes",
        ),
        ({"applications": [3]}, "applications has 3; it must hold names"),
        ({"applications": [{"name": "x", "edge": 3}]}, "that is not the fields of one"),
        (
            {"applications": [DIAMOND], "max_tasks": 3},
            "max_tasks is 3; it must be at least 4, the number",
        ),
        (
            {"applications": [DIAMOND, "face_recognition", DIAMOND], "max_tasks": 5},
            "max_tasks is 5; it must be at least 9, the number of tasks of 'face_recognition'",
        ),
        ({"num_tasks": 5, "max_tasks": 3}, "max_tasks is 3; it must be at least 5, num_tasks"),
        ({"max_tasks": 0}, "max_tasks is 0; it must be a whole number, at least 1"),
        ({"applications": [DIAMOND], "random_graph": True}, "random_graph is True; with applications it must be False"),
        ({"random_graph": 1}, "random_graph is 1; it must be True or False"),
        ({"graph_fat": (0.5, 1.5)}, r"graph_fat is \(0.5, 1.5\); high must be at most 1"),
        ({"graph_jump": 0}, "graph_jump is 0; it must be a whole number, at least 1"),
        ({"further_edge_rate_ratio": (0, 1)}, r"further_edge_rate_ratio is \(0, 1\); low must be above 0"),
    ],
)
def test_bad_fields_give_one_sentence(changes, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        make_scenario(**changes)
    assert "\n" not in str(caught.value)


def unpack(observation, rows, cores, K):
    """Rows, state, arrivals and edges of an observation of dependent tasks."""
    size = row_size(K, True)
    state = 3 + cores + K + 6 * K + 4 * (K - 1)
    ends = np.cumsum([rows * size, state, rows * K, rows * rows])
    assert ends[-1] == len(observation)
    parts = np.split(observation, ends[:-1])
    return parts[0].reshape(rows, size), parts[1], parts[2].reshape(rows, K), parts[3].reshape(rows, rows)


def test_the_observation_of_dependent_tasks_by_its_definition():
    scenario = make_scenario(applications=(DIAMOND,), max_tasks=6, num_edges=2)
    env = gym.make("offload_gym/Sequential-v0", scenario=scenario).unwrapped
    observation, _ = env.reset(seed=4)
    one, scale_s, K, cores = env.instances, env.scale_s, 4, sum(scenario.cores)
    problem, _ = open_instance(one.batch, 0, new_workspace(one.batch))
    rank_s = np.empty(4)
    upward_ranks(problem, rank_s)
    decision = [0, 2, 3, 1]
    for i in range(4):
        rows, state, arrivals, edges = unpack(observation, 6, cores, K)
        # The mask, the ranks and the edges move on with the tasks.
        np.testing.assert_array_equal(rows[:, 0], [1.0] * (4 - i) + [0.0] * (2 + i))
        np.testing.assert_allclose(rows[: 4 - i, -3], [squash(r / scale_s) for r in rank_s[i:]], rtol=1e-6)
        assert (rows[4 - i :] == 0).all()
        expected = np.zeros((6, 6))
        for (parent, child), bits in zip(DIAMOND.edges, DIAMOND.edge_bits, strict=True):
            if parent >= i:
                expected[parent - i, child - i] = squash(bits / one.uplink_bps[0, 1] / scale_s)
        np.testing.assert_allclose(edges, expected, rtol=1e-6)
        if i == 1:  # the first task ran on the device: its data to task 1 may go anywhere
            finish_s = one.backlog_s[0, 0] + 1e8 / one.cpu_hz[0, 0]
            for k in range(K):
                way_s = 0.0
                if k > 0:
                    way_s = 1e6 / one.uplink_bps[0, k] + 1e6 / one.wired_bps[0, k] + one.propagation_s[0, k]
                assert arrivals[0, k] == pytest.approx(squash((finish_s + way_s) / scale_s), rel=1e-6)
        # The roll-outs: whatever completes the schedule is no better than the critical path leaves possible.
        at = 3 + cores + K
        greedy, uniform, bound = (state[at + 2 * j * K : at + (2 * j + 1) * K] for j in range(3))
        assert (bound <= np.minimum(greedy, uniform) + 1e-6).all()
        observation = env.step(decision[i])[0]


def test_roll_outs_of_the_last_task_are_what_it_leads_to():
    env = gym.make("offload_gym/Sequential-v0", scenario={"name": "dag", "num_tasks": 4}, num_epochs=1).unwrapped
    observation, _ = env.reset(seed=5)
    for k in (1, 0, 2):
        observation, *_ = env.step(k)
    _, state, _, _ = unpack(observation, 4, sum(env.scenario.cores), 4)
    one = env.instances
    roll_outs = state[3 + sum(env.scenario.cores) + 4 :][: 6 * 4].reshape(6, 4)
    for objective, parts in (("makespan", roll_outs[::2]), ("mean", roll_outs[1::2])):
        reached_s = [latency(one, [[1, 0, 2, k]], objective)[0] for k in range(4)]
        for part in parts:  # greedy, one location, critical path: nothing is left to complete
            np.testing.assert_allclose(part, [squash(s / env.scale_s) for s in reached_s], rtol=1e-5)


@pytest.mark.parametrize("form", ["sequential", "joint"])
def test_a_network_decides_padded_graphs_as_its_torch_form_does(form):
    torch.manual_seed(0)
    scenario = make_scenario("partitioning", num_tasks=6, applications=("alexnet", "chain", DIAMOND))
    instances = sample_instances(scenario, 60, seed=6)
    network = TaskNetwork(form, scenario.cores, (8, 8), (16,), dependent=True)
    decisions = NetworkPolicy(to_runtime(network)).decide(instances)
    rows, states = epoch_observations(instances, decisions, dependent=True)
    with torch.no_grad():
        expected = network(torch.from_numpy(rows), torch.from_numpy(states)).argmax(dim=-1).numpy()
    there = np.arange(6) < instances.task_counts[:, None]
    assert (decisions == expected)[there].mean() > 0.99  # ties in single precision may differ
    # AND each instance alone is decided as in the batch
    for b in range(10):
        np.testing.assert_array_equal(NetworkPolicy(to_runtime(network)).decide(instances[b : b + 1])[0], decisions[b])


def test_a_network_for_independent_tasks_refuses_dependent_ones():
    scenario = make_scenario("dag", num_edges=1)
    network = to_runtime(TaskNetwork("sequential", scenario.cores, (4,), (4,)))
    with pytest.raises(ValueError, match=r"have up to \d+ dependencies; this network is for"):
        NetworkPolicy(network).decide(sample_instances(scenario, 2))


def test_200_dependent_tasks_step_render_and_are_decided():
    scenario = {"name": "dag", "num_tasks": 200}
    env = gym.make("offload_gym/Sequential-v0", scenario=scenario, render_mode="rgb_array", num_epochs=1)
    env.reset(seed=0)
    instances = env.unwrapped.instances
    network = to_runtime(TaskNetwork("sequential", env.unwrapped.scenario.cores, (8,), (8,), dependent=True))
    policies = {name: make_policy(name) for name in ("greedy", "heft", "greedy+flip", "beam-16")}
    for policy in (*policies.values(), NetworkPolicy(network)):
        decision = policy.decide(instances)
        assert decision.shape == (1, 200)
    for k in decision[0]:
        *_, info = env.step(k)
    assert info["latency_s"] > 0
    assert env.render().shape[2] == 3
    text = gym.make("offload_gym/Joint-v0", scenario=scenario, render_mode="ansi", num_epochs=1)
    text.reset(seed=0)
    text.step(decision[0])
    assert "200 tasks" in text.render()


def test_a_whole_network_and_its_chain_are_one_and_the_same_in_one_place():
    """Cutting a network adds no work: all of it on the cloud takes as long as the uncut network there."""
    machines = sample_instances({"name": "vision", "num_tasks": 1}, 20, seed=9)
    latency_s = []
    for num_tasks in (1, 8):
        made = sample_instances({"applications": (cnn_application("vgg16", num_tasks),)}, 20)
        instances = as_last_measured(made, machines)
        latency_s.append(latency(instances, np.full((20, num_tasks), 2)))
    np.testing.assert_allclose(*latency_s, rtol=1e-9)


def test_random_applications_of_a_seed_join_a_batch():
    graphs = [random_application(n, seed=n) for n in (3, 7)]
    batches = [sample_instances({"applications": (graph,)}, 2, seed=0) for graph in graphs]
    assert Instances.concatenate(batches).task_counts.tolist() == [3, 3, 7, 7]


@pytest.mark.parametrize("name", ["dag", "chain"])
def test_a_random_graph_may_have_one_task(name):
    one, other = (sample_instances({"name": name, "num_tasks": 1}, 5, seed=seed) for seed in (1, 1))
    assert one.num_tasks == 1
    np.testing.assert_equal(one.arrays, other.arrays)


def test_keys_of_a_scenario_must_be_names():
    with pytest.raises(ValueError, match="scenario has the key 1; its keys must be names of fields"):
        gym.make("offload_gym/Joint-v0", scenario={1: 2})
