import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest
from numpy.random import SeedSequence

from offload_gym import make_policy, make_scenario, solve
from offload_gym.interop.minari import JOINT, SEQUENTIAL, load_minari_dataset, make_minari_dataset

SMALL = {"name": "default", "num_tasks": 3}
DESCRIBED = {"algorithm_name": "", "author": "", "author_email": "", "code_permalink": "", "description": ""}
VARIED = {"num_tasks": 2, "max_tasks": 4, "num_edges": 2}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


def make(dataset_id="offload_gym/test-v0", *args, num_episodes=5, **arguments):
    arguments = {"scenario": SMALL, "num_epochs": 2, "num_episodes_average_score": 0} | arguments
    return make_minari_dataset(dataset_id, *args, num_episodes=num_episodes, **arguments)


def seeds_of(dataset):
    return [one["seed"] for one in dataset.storage.get_episode_metadata(dataset.episode_indices)]


@pytest.mark.parametrize("env_id", [SEQUENTIAL, JOINT])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"scenario": VARIED, "policy": "random", "objective": "mean"},
        {"scenario": make_scenario("face_recognition"), "policy": "heft"},
        {"carry_over": True, "observation_noise": 0.3, "objective": "cost", "policy": "greedy"},
        {"observation_noise": "last", "explored_share": 1.0},
    ],
)
def test_replaying_the_actions_gives_the_episodes_again(env_id, arguments):
    # GIVEN a data set of episodes of any kind, some of them longer than others
    make(env_id=env_id, **arguments)
    dataset = minari.load_dataset("offload_gym/test-v0")
    # WHEN its actions are taken in its environment, reset with its seeds
    env = dataset.recover_environment()
    for episode, seed in zip(dataset, seeds_of(dataset), strict=True):
        observation, _ = env.reset(seed=seed)
        np.testing.assert_array_equal(episode.observations[0], observation)
        assert np.isnan(episode.infos["latency_s"][0])
        for t, action in enumerate(episode.actions):
            observation, reward, terminated, truncated, info = env.step(action)
            # THEN observations, rewards, ends and infos are the recorded ones
            np.testing.assert_array_equal(episode.observations[t + 1], observation)
            assert (reward, terminated, truncated) == (
                episode.rewards[t], episode.terminations[t], episode.truncations[t],
            )  # fmt: skip
            for name in ("latency_s", "makespan_s", "energy_j"):
                np.testing.assert_array_equal(episode.infos[name][t + 1], info.get(name, np.nan))
        assert terminated
    assert len(set(seeds_of(dataset))) == 5


@pytest.mark.parametrize("env_id", [SEQUENTIAL, JOINT])
def test_actions_are_the_policys(env_id):
    # GIVEN the episodes of a policy object and of the expert WHEN its environment is asked THEN they decided its epochs
    for name, policy in (("greedy", make_policy("greedy")), ("exact", "exact")):
        dataset = make(f"{name}-v0", policy, env_id)
        env = dataset.recover_environment()
        for episode, seed in zip(dataset, seeds_of(dataset), strict=True):
            env.reset(seed=seed)
            actions = episode.actions.reshape(2, 3)
            for decision in actions:
                np.testing.assert_array_equal(make_policy(name).decide(env.unwrapped.instances)[0], decision)
                for action in [decision] if env_id == JOINT else decision:
                    env.step(action)


def test_expert_labels_along_explored_prefixes():
    dataset = make(explored_share=0.7, exploration_rate=0.5, expert_labels=True, num_episodes=20)
    env = dataset.recover_environment()
    explored = 0
    for episode, seed in zip(dataset, seeds_of(dataset), strict=True):
        expert, regret = episode.infos["expert_action"], episode.infos["regret"]
        env.reset(seed=seed)
        for start in (0, 3):
            optimum_s = solve(env.unwrapped.instances).latency_s[0]
            for t in range(start, start + 3):
                env.step(episode.actions[t])
            latency_s = episode.infos["latency_s"][start + 3]
            # THEN the regret of what was done makes up for the difference to the optimum, step by step
            taken = regret[np.arange(start, start + 3), episode.actions[start : start + 3]]
            assert optimum_s * np.prod(1 + taken) == pytest.approx(latency_s)
            explored += latency_s > optimum_s * (1 + 1e-9)
        # AND the expert's action has none, and is the action itself where that has none
        np.testing.assert_allclose(regret[np.arange(6), expert[:-1]], 0.0, atol=1e-9)
        taken = regret[np.arange(6), episode.actions]
        np.testing.assert_array_equal(expert[:-1] == episode.actions, taken <= 1e-9)
        assert expert[-1] == -1
        assert np.isnan(regret[-1]).all()
    assert 5 < explored < 35


def test_expert_labels_of_the_joint_environment():
    dataset = make(env_id=JOINT, policy="random", expert_labels=True)
    env = dataset.recover_environment()
    for episode, seed in zip(dataset, seeds_of(dataset), strict=True):
        env.reset(seed=seed)
        for t, action in enumerate(episode.actions):
            np.testing.assert_array_equal(
                episode.infos["expert_action"][t], solve(env.unwrapped.instances).decisions[0]
            )
            env.step(action)
        assert (episode.infos["expert_action"][-1] == -1).all()


def test_metadata_and_scores():
    scenario = make_scenario("default", num_tasks=3)
    seed = SeedSequence(4, spawn_key=(1,))
    dataset = make(
        scenario=scenario, policy="greedy", num_episodes_average_score=100, seed=seed, author="A", num_epochs=1
    )
    metadata = dataset.storage.metadata
    assert metadata["algorithm_name"] == metadata["policy"] == "greedy"
    assert make_scenario(**metadata["scenario"]) == scenario
    assert metadata["seed"] == {"entropy": 4, "spawn_key": [1]}
    assert (metadata["objective"], metadata["author"], metadata["code_permalink"]) == ("makespan", {"A"}, "")
    # GIVEN other episodes of the random policy and of the expert THEN the scores are about their mean returns
    for name, score in (("random", "ref_min_score"), ("exact", "ref_max_score")):
        returns = [episode.rewards.sum() for episode in make(f"{name}-v0", name, num_epochs=1, num_episodes=100)]
        error = np.std(returns) / np.sqrt(100) * np.sqrt(2)
        assert abs(np.mean(returns) - metadata[score]) < 4 * error
    assert metadata["ref_max_score"] > metadata["ref_min_score"]


def test_seeds():
    first, again, other = (make(f"{name}-v0", "random", seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert seeds_of(first) == seeds_of(again)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.actions, two.actions)
    assert not set(seeds_of(first)) & set(seeds_of(other))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset_id": "no-version"}, "dataset_id is 'no-version'; it must be 'NAME-v0'"),
        ({"dataset_id": "x/y-v0"}, "dataset_id is 'x/y-v0'; it must be"),
        ({"env_id": "CartPole-v1"}, "env_id is 'CartPole-v1'; it must be 'offload_gym/Sequential-v0' or"),
        ({"num_episodes": 0}, "num_episodes is 0; it must be a whole number, at least 1"),
        ({"num_epochs": None}, "num_epochs is None; it must be a whole number, at least 1"),
        ({"explored_share": 2}, "explored_share is 2; it must be from 0 to 1"),
        ({"policy": "best"}, "policy is 'best'; the built-in policies are"),
        ({"scenario": "moon"}, "scenario is 'moon'; the presets are"),
        ({"objective": "speed"}, "objective is 'speed'"),
        ({"num_episodes_average_score": -1}, "num_episodes_average_score is -1"),
    ],
)
def test_bad_arguments(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)
    assert list(folder.iterdir()) == []


class FailsLate:
    def __init__(self):
        self.calls = 0

    def decide(self, instances):
        self.calls += 1
        if self.calls > 1:
            raise RuntimeError("late")
        return make_policy("greedy").decide(instances)


def test_whole_or_not_at_all(folder):
    # GIVEN a policy that fails in the middle WHEN it is recorded THEN nothing is left, and the name is free
    with pytest.raises(RuntimeError, match="late"):
        make("half-v0", FailsLate())
    assert list(folder.iterdir()) == []
    make("half-v0")
    with pytest.raises(ValueError, match=r"dataset_id is 'half-v0'; .* exists already"):
        make("half-v0")
    assert [*minari.list_local_datasets()] == ["half-v0"]


def test_loading_what_was_asked_for():
    make()
    assert len(load_minari_dataset("offload_gym/test-v0", SEQUENTIAL, SMALL)) == 5
    of = "the Minari data set 'offload_gym/test-v0' is of"
    for arguments, message in (
        ((JOINT, SMALL), f"{of} the environment '{SEQUENTIAL}'; it must be of '{JOINT}'"),
        ((SEQUENTIAL, "default"), f"{of} a scenario with num_tasks 3; it must be of one with 8"),
        ((SEQUENTIAL, SMALL, "mean"), f"{of} the objective 'makespan'; it must be of 'mean'"),
        ((SEQUENTIAL, SMALL, "makespan", 0.3), f"{of} the observation_noise 0.0; it must be of 0.3"),
    ):
        with pytest.raises(ValueError, match=message):
            load_minari_dataset("offload_gym/test-v0", *arguments)
    with pytest.raises(ValueError, match=r"dataset_id is 'other-v0'; .* has no such Minari data set"):
        load_minari_dataset("other-v0", SEQUENTIAL, SMALL)


def test_the_same_trace_is_the_same_scenario(tmp_path, monkeypatch):
    (tmp_path / "trace.csv").write_text("mbps\n10\n20\n")
    monkeypatch.chdir(tmp_path)
    scenario = make_scenario(num_tasks=3, radio="trace", trace_path="trace.csv")
    make(scenario=scenario)
    assert len(load_minari_dataset("offload_gym/test-v0", SEQUENTIAL, scenario)) == 5


@pytest.mark.parametrize("form", ["flat", "dict"])
def test_other_observations_are_refused(form):
    # GIVEN data sets that another recorder made, of named fields or behind a wrapper
    env = gym.make(SEQUENTIAL, scenario=SMALL, num_epochs=1, observation=form)
    env = gym.wrappers.RescaleObservation(env, -1, 1) if form == "flat" else env
    observations = [env.reset(seed=1)[0]] + [env.step(0)[0] for _ in range(3)]
    stacked = (
        {name: np.stack([one[name] for one in observations]) for name in observations[0]}
        if form == "dict"
        else np.stack(observations)
    )
    buffer = minari.data_collector.EpisodeBuffer(
        seed=1, observations=stacked, actions=np.zeros(3, int), rewards=np.zeros(3),
        terminations=np.array([False, False, True]), truncations=np.zeros(3, bool),
    )  # fmt: skip
    minari.create_dataset_from_buffers("other/set-v0", [buffer], env=env, eval_env=env, **DESCRIBED)
    # THEN they are refused, as what reads them takes the columns for those of the environment
    with pytest.raises(
        ValueError, match=r"'other/set-v0' has observations of .* of the environment without wrappers, Box"
    ):
        load_minari_dataset("other/set-v0", SEQUENTIAL, SMALL)


def test_numpy_seeds_and_who_acted():
    metadata = make(seed=np.int64(3), algorithm_name="mine").storage.metadata
    assert metadata["policy"] == "exact"
    assert "author" not in metadata


def test_a_shipped_network_is_that_of_the_preset():
    vision = make("offload_gym/vision-v0", "student", scenario="vision", num_epochs=1)
    with pytest.warns(UserWarning, match="it may decide worse here"):
        default = make("offload_gym/default-v0", make_policy("student"), scenario="vision", num_epochs=1)
    of_vision = make("offload_gym/same-v0", make_policy("student", preset="vision"), scenario="vision", num_epochs=1)
    actions = [np.concatenate([episode.actions for episode in each]) for each in (vision, default, of_vision)]
    np.testing.assert_array_equal(actions[0], actions[2])
    assert (actions[0] != actions[1]).any()


def test_a_data_set_of_another_environment():
    env = gym.make("CartPole-v1")
    buffer = minari.data_collector.EpisodeBuffer(
        seed=1, observations=np.zeros((2, 4), np.float32), actions=np.zeros(1, int), rewards=np.zeros(1),
        terminations=np.ones(1, bool), truncations=np.zeros(1, bool),
    )  # fmt: skip
    minari.create_dataset_from_buffers("cart-v0", [buffer], env=env, eval_env=env, **DESCRIBED)
    with pytest.raises(
        ValueError, match="is of the environment 'CartPole-v1'; it must be of 'offload_gym/Sequential-v0'"
    ):
        load_minari_dataset("cart-v0", SEQUENTIAL, SMALL)


def test_arrays_that_claim_to_be_much_more_than_their_file_are_refused():
    dataset = make()
    with h5py.File(dataset.storage.data_path / "main_data.hdf5", "a") as file:
        del file["episode_0/actions"]
        file["episode_0"].create_dataset("actions", (33_554_432,), "int64", chunks=(4096,))  # of which nothing is there
    with pytest.raises(ValueError, match=r"cannot be read: .* its arrays are 268,4.* more than 100 times"):
        load_minari_dataset("offload_gym/test-v0", SEQUENTIAL, SMALL)
