"""Learning to place the tasks of applications: labels, training, distillation, and a run that goes on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import offload_gym
from agents.__main__ import main
from agents.graph_labels import Pass, flip_costs
from agents.graph_learning import (
    GraphSettings,
    Kind,
    Labelled,
    excess_over,
    from_network,
    label_passes,
    learn,
    new_module,
    to_network,
    train,
)
from offload_gym.networks.graph_kernel import score
from offload_gym.networks.graph_network import load_graph_network
from offload_gym.networks.graph_view import INPUTS
from offload_gym.scenario import make_scenario

KIND = Kind((8,), 1, 1, 0)
SETTINGS = GraphSettings(
    scenario=make_scenario("dag", num_tasks=6, max_tasks=8),
    num_labels=60,
    num_validation=60,
    rounds=1,
    student_rounds=1,
    instances_a_round=60,
    imitation_steps=150,
    steps_a_round=60,
    batch_size=256,
    device="cpu",
)


def quiet(_sentence):
    """Say nothing."""


def test_flip_costs_are_those_of_the_delay_model():
    instances = offload_gym.sample_instances("dag", 5, seed=1)
    decisions = np.random.default_rng(1).integers(0, 4, (5, 10))
    costs = np.zeros((5, 10, 4))
    flip_costs(instances.arrays, decisions.copy(), costs)
    before_s = offload_gym.latency(instances, decisions)
    for i in range(10):
        for k in range(4):
            moved = decisions.copy()
            moved[:, i] = k
            np.testing.assert_allclose(costs[:, i, k], offload_gym.latency(instances, moved) / before_s - 1, atol=1e-12)


def test_torch_scores_what_the_kernel_scores():
    torch.manual_seed(0)
    module = new_module((8, 5), 3)
    plan = to_network(module, Kind((8, 5), 1, 1, 0), SETTINGS)
    inputs = np.random.default_rng(2).random((20, 4, INPUTS)).astype(np.float32)
    expected = module(torch.from_numpy(inputs)).squeeze(-1).detach().numpy()
    again = from_network(plan)(torch.from_numpy(inputs)).squeeze(-1).detach().numpy()
    np.testing.assert_array_equal(again, expected)
    layers, weights = offload_gym.layers.packed(plan.layers)
    scores = np.empty(4, np.float32)
    for row, wanted in zip(inputs, expected, strict=True):
        score(layers, weights, np.concatenate([row.ravel(), np.zeros(16, np.float32)]), scores)
        np.testing.assert_allclose(scores, wanted, atol=1e-5)


def test_labels_do_not_depend_on_how_they_are_shared_among_threads(monkeypatch):
    instances = offload_gym.sample_instances(SETTINGS.scenario, 130, seed=4)
    module, labelled = new_module((8,), 1), Pass(1, 1, 0.5, 1e9, 9)
    inputs, costs = label_passes(module, KIND, instances, labelled)
    monkeypatch.setattr("offload_gym.solvers.parallel.num_cores", lambda: 1)
    again, same = label_passes(module, KIND, instances, labelled)
    np.testing.assert_array_equal(inputs, again)
    np.testing.assert_array_equal(costs, same)
    assert (costs[instances.present].min(axis=-1) == 0.0).all()


def test_training_helps_and_a_student_learns(tmp_path):
    kinds = {"teacher": Kind((16,), 1, 1, 0), "student": Kind((8,), 1, 1, 0)}
    paths = learn(tmp_path, SETTINGS, kinds, quiet)
    instances = offload_gym.sample_instances(SETTINGS.scenario, 200, seed=5)
    optimum_s = offload_gym.solve(instances).latency_s

    def gap(policy):
        return (offload_gym.latency(instances, policy.decide(instances)) / optimum_s).mean() - 1.0

    fixed_s = np.min([offload_gym.latency(instances, np.full((200, 8), k)) for k in range(4)], axis=0)
    fixed = (fixed_s / optimum_s).mean() - 1.0
    for path in paths.values():
        policy = offload_gym.load_policy(path)
        assert gap(policy) < 0.6 * fixed
        assert policy.network.trained_tasks == (6, 8)
        assert policy.network.scenario == SETTINGS.scenario.label

    # Going on leaves what is there, and refuses other settings.
    before = {name: path.read_bytes() for name, path in paths.items()}
    said = []
    paths["student"].unlink()
    learn(tmp_path, SETTINGS, kinds, said.append)
    assert {name: path.read_bytes() for name, path in paths.items()} == before
    assert "teacher: already trained" in said
    with pytest.raises(ValueError, match="rounds"):
        learn(tmp_path, replace(SETTINGS, rounds=2), kinds, quiet)


def test_a_few_instances_are_learned_by_heart():
    settings = replace(SETTINGS, imitation_steps=1_500, steps_a_round=1, learning_rate=1e-2)
    instances = offload_gym.sample_instances(settings.scenario, 12, seed=6)
    labels = Labelled(instances, offload_gym.solve(instances).decisions)
    kind = Kind((64, 32), 1, 1, 0)
    network = train(kind, labels, labels, settings, report=quiet)
    assert excess_over(labels, network) < 0.03
    untrained = to_network(new_module(kind.hidden, 1), kind, settings)
    assert excess_over(labels, untrained) > 0.1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scenario": make_scenario("default")}, "it must have tasks that depend on each other"),
        ({"rounds": 0}, "rounds is 0; it must be"),
        ({"alpha": 1.5}, "alpha is 1.5; it must be from 0 to 1"),
        ({"margin": 0.0}, "margin is 0.0; it must be finite and above 0"),
        ({"label_temperature": 0.0}, "label_temperature is 0.0; it must be finite and above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        GraphSettings(**changes)


def test_the_command_learns(tmp_path, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr("agents.graph_learning.learn", lambda folder, settings: asked.append((folder, settings)))
    assert main(["learn-graphs", "--output", str(tmp_path), "--num-labels", "7"]) == 0
    folder, settings = asked[0]
    assert folder == str(tmp_path)
    assert (settings.scenario.num_tasks, settings.scenario.max_tasks, settings.num_labels) == (10, 64, 7)
    assert main(["learn-graphs", "--scenario", "dag", "--num-tasks", "5"]) == 0
    assert asked[1][1].scenario.most_tasks == 5
    assert main(["learn-graphs", "--observation-noise", "0.2"]) == 2
    assert main(["learn-graphs", "--scenario", "default"]) == 2
    assert "observation_noise is 0.2" in capsys.readouterr().err


def test_a_file_goes_back_to_torch(tmp_path):
    network = load_graph_network(offload_gym.policies.WEIGHTS / "dag-student.safetensors")
    module = from_network(network)
    for (weight, bias), (again, same) in zip(
        network.layers, to_network(module, Kind((32,), 2, 1, 1), SETTINGS).layers, strict=True
    ):
        np.testing.assert_array_equal(weight, again)
        np.testing.assert_array_equal(bias, same)


def test_labels_of_something_else_are_refused(tmp_path):
    kinds = {"teacher": Kind((4,), 1, 1, 0)}
    for wrong in (np.zeros((60, 3), np.int64), np.full((60, 8), 9)):
        folder = tmp_path / str(wrong.shape[1])
        folder.mkdir()
        settings = replace(SETTINGS, imitation_steps=20, steps_a_round=1)
        learn(folder, settings, {}, quiet)
        np.save(folder / "training.npy", wrong)
        with pytest.raises(ValueError, match="does not hold the labels of these settings: decisions"):
            learn(folder, settings, {}, quiet)
    np.save(tmp_path / "8" / "training.npy", np.zeros((60, 8), np.int64))
    with pytest.raises(ValueError, match="imitation_steps is 150, but the results in"):
        learn(tmp_path / "8", SETTINGS, kinds, quiet)


def test_an_application_without_work_counts_as_nothing():
    scenario = make_scenario("dag", num_tasks=3)
    drawn = offload_gym.sample_instances(scenario, 1, seed=1)
    fields = ("cpu_hz", "cores", "uplink_bps", "downlink_bps", "wired_bps")
    nothing = offload_gym.Instances(
        **{name: np.zeros((1, 3)) for name in ("input_bits", "output_bits", "workload_cycles")},
        **{name: getattr(drawn, name) for name in fields},
        backlog_s=np.zeros((1, 4)),
        propagation_s=np.zeros((1, 4)),
        edges=((0, 1), (1, 2)),
        edge_bits=np.zeros((1, 2)),
    )
    network = to_network(new_module((4,), 1), KIND, SETTINGS)
    assert excess_over(Labelled(nothing, np.zeros((1, 3), np.int64)), network) == 0.0
