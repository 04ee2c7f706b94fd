import numpy as np
import pytest
import torch

from agents.__main__ import main
from agents.clone import samples_of
from offload_gym import generate_demonstrations, latency, load_policy, make_policy, make_scenario
from offload_gym.delay import optimality_gap
from offload_gym.instances import Instances
from offload_gym.interop.minari import JOINT, make_minari_dataset
from offload_gym.observation import epoch_observations

VARIED = {"num_tasks": 2, "max_tasks": 4}
SMALL = ["--num-tasks", "3"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path


def make(dataset_id, num_episodes, scenario, **arguments):
    return make_minari_dataset(
        dataset_id,
        num_episodes=num_episodes,
        scenario=scenario,
        num_epochs=2,
        num_episodes_average_score=0,
        **arguments,
    )


@pytest.mark.parametrize("scenario", [VARIED, {"name": "dag", "num_tasks": 3}])
def test_samples_are_those_of_the_epochs(scenario):
    # GIVEN episodes of the expert after random choices WHEN they are cut into epochs
    scenario = make_scenario(**scenario)
    dataset = make("varied-v0", 8, scenario, explored_share=1.0, expert_labels=True)
    samples = {
        name: samples_of(dataset, scenario, name, torch.device("cpu"))
        for name in ("actions", "expert_action", "regret")
    }
    # THEN rows and states are what the epochs of the environment show along the actions
    env = dataset.recover_environment()
    metadata = dataset.storage.get_episode_metadata(dataset.episode_indices)
    epochs, prefixes = [], []
    for episode, one in zip(dataset, metadata, strict=True):
        env.reset(seed=one["seed"])
        for t, action in enumerate(episode.actions):
            if t == 0 or not np.isnan(episode.infos["latency_s"][t]):
                epochs.append(env.unwrapped.instances)
                prefixes.append([])
            prefixes[-1].append(action)
            env.step(action)
    instances = Instances.concatenate(epochs)
    padded = np.array([prefix + [0] * (instances.num_tasks - len(prefix)) for prefix in prefixes])
    rows, states = epoch_observations(instances, padded, scenario.dependent)
    for of in samples.values():
        np.testing.assert_array_equal(of.rows, rows)
        np.testing.assert_array_equal(of.states, states)
        np.testing.assert_array_equal(of.present, instances.present)
    # AND the targets are the actions, the expert's, and the soft labels, whose largest is the expert's
    present, num_locations = instances.present, scenario.num_locations
    done = samples["actions"].targets.numpy()[present]
    np.testing.assert_array_equal(done, np.eye(num_locations)[padded[present]])
    wanted = np.concatenate([episode.infos["expert_action"][:-1] for episode in dataset])
    np.testing.assert_array_equal(samples["expert_action"].targets.numpy()[present].argmax(axis=1), wanted)
    soft = samples["regret"].targets.numpy()[present]
    np.testing.assert_allclose(soft.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(soft[np.arange(len(soft)), wanted], soft.max(axis=1), rtol=1e-5)
    assert (done.argmax(axis=1) != wanted).any()


def test_clone_learns_and_is_saved(folder, capsys):
    # GIVEN a recorded data set WHEN it is cloned THEN it decides better than greedy, as the teacher beside it does
    recorded = ["record", "--dataset", "small-v0", *SMALL, "--num-episodes", "150", "--explored-share", "0.5"]
    assert main([*recorded, "--expert-labels"]) == 0
    assert "150 episodes, 4,500 steps" in capsys.readouterr().out
    cloned = ["clone", "--dataset", "small-v0", *SMALL, "--passes", "24", "--num-runs", "1"]
    assert main([*cloned, "--output", str(folder / "clone.safetensors")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| small-v0", "| labels"]
    gaps = [float(line.split(" | ")[2].rstrip(" |")) for line in lines[2:]]
    fresh = generate_demonstrations({"num_tasks": 3}, 2000, seed=5, alternatives=False)
    greedy = optimality_gap(latency(fresh.instances, make_policy("greedy").decide(fresh.instances)), fresh.latency_s)
    assert max(gaps) < 100 * greedy.mean() / 2
    # AND the best clone is the one that is saved
    policy = load_policy(folder / "clone.safetensors", keep_best=False)
    assert policy.network.metadata["dataset"] == "small-v0"
    assert policy.network.scenario_fields["num_tasks"] == 3
    gap = optimality_gap(latency(fresh.instances, policy.decide(fresh.instances)), fresh.latency_s).mean()
    assert 100 * gap == pytest.approx(gaps[0], rel=0.3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "nothing-v0", *SMALL], "has no such Minari data set"),
        (["--dataset", "small-v0"], "is of a scenario with num_tasks 3; it must be of one with 8"),
        (
            ["--dataset", "small-v0", *SMALL, "--objective", "mean"],
            "is of the objective 'makespan'; it must be of 'mean'",
        ),
        (["--dataset", "joint-v0", *SMALL], "is of the environment 'offload_gym/Joint-v0'; it must be of"),
        (
            ["--dataset", "small-v0", *SMALL, "--targets", "regret"],
            "has no 'regret' in infos; make it with expert_labels",
        ),
        (["--dataset", "small-v0", *SMALL, "--targets", "all"], "targets is 'all'; it must be one of actions"),
        (["--dataset", "small-v0", *SMALL, "--num-runs", "0"], "num_runs is 0; it must be a whole number, at least 1"),
    ],
)
def test_bad_data_sets_say_what_was_expected(arguments, message, capsys):
    make("small-v0", 2, {"num_tasks": 3})
    make("joint-v0", 2, {"num_tasks": 3}, env_id=JOINT)
    assert main(["clone", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
