"""Learning to decide streams: networks learn what labels say, and a run goes on where it was interrupted."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

import offload_gym
from agents.learning_options import add_learning_options, learning_settings
from agents.stream_learning import (
    Round,
    StreamSettings,
    Validation,
    as_policy,
    begin_courses,
    first_policy,
    fit_network,
    learn,
    leave_out_constants,
    lessons,
    mean_cost,
    new_network,
    weighed_costs,
)
from offload_gym.streams.labels import StreamLabels, load_stream_labels
from offload_gym.streams.observing import OF_LOCATION, size_of

TINY = {"num_jobs": 20}


def settings(**changes):
    given = {
        "scenario": offload_gym.make_scenario("stream", **TINY),
        "rounds": 2,
        "streams_a_round": 6,
        "num_futures": 2,
        "future_jobs": 8,
        "num_validation": 8,
        "passes": 2,
        "base": (8,),
        "teacher": (16, 8),
        "student": (8,),
        "small_student": (4,),
    }
    return StreamSettings(**given | changes)


def labels_of(costs, observations):
    return StreamLabels(
        observations.astype(np.float32), costs.astype(np.float32), np.zeros_like(costs, dtype=np.float32)
    )


def test_a_network_learns_which_choice_costs_least():
    """Of three numbers that are seen, the choice of the least one costs nothing."""
    rng = np.random.default_rng(0)
    observations = rng.random((6000, size_of(3)))
    costs = observations[:, :3] - observations[:, :3].min(axis=1, keepdims=True)
    network = fit_network(labels_of(costs, observations), (24,), settings(passes=30, batch_size=128), seed=1)
    fresh = rng.random((2000, size_of(3))).astype(np.float32)
    import torch

    chosen = network(torch.from_numpy(fresh)).argmax(dim=1).numpy()
    assert (chosen == fresh[:, :3].argmin(axis=1)).mean() > 0.93


def test_what_never_changed_in_the_labels_has_no_weight():
    rng = np.random.default_rng(0)
    observations = rng.random((600, size_of(3)))
    observations[:, 5], observations[:, 7] = 0.0, 0.3
    network = fit_network(labels_of(rng.random((600, 3)), observations), (8,), settings(passes=2), seed=1)
    weights = network[0].weight.detach().numpy()
    assert (weights[:, [5, 7]] == 0.0).all()
    assert (np.delete(weights, [5, 7], axis=1) != 0.0).all()


def test_trainings_from_other_seeds_begin_with_other_weights():
    rng = np.random.default_rng(0)
    labels = labels_of(rng.random((60, 3)), rng.random((60, size_of(3))))
    networks = [fit_network(labels, (8,), settings(passes=1, seed=seed), seed=100) for seed in (1, 1, 2)]
    first, same, other = (network[0].weight.detach().numpy() for network in networks)
    np.testing.assert_array_equal(first, same)
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.9


def test_the_constants_of_a_layer_go_into_its_biases():
    import torch

    layer, observations = torch.nn.Linear(4, 3), np.random.default_rng(0).random((5, 4)).astype(np.float32)
    observations[:, 2] = 0.7
    before = layer(torch.from_numpy(observations)).detach().numpy()
    leave_out_constants(layer, observations)
    np.testing.assert_allclose(layer(torch.from_numpy(observations)).detach().numpy(), before, rtol=1e-5)


def test_a_student_learns_from_its_teacher_alone():
    """With alpha = 1 the labels do not count: here they say the contrary."""
    rng = np.random.default_rng(0)
    observations = rng.random((6000, size_of(3)))
    costs = observations[:, :3] - observations[:, :3].min(axis=1, keepdims=True)
    teacher = fit_network(labels_of(costs, observations), (24,), settings(passes=30, batch_size=128), seed=1)
    wrong = labels_of(costs.max(axis=1, keepdims=True) - costs, observations)
    student = fit_network(wrong, (24,), settings(passes=30, batch_size=128, alpha=1.0), seed=2, teacher=teacher)
    import torch

    fresh = torch.rand(2000, size_of(3), generator=torch.Generator().manual_seed(1))
    assert (student(fresh).argmax(dim=1) == teacher(fresh).argmax(dim=1)).float().mean() > 0.9


def test_costs_count_from_the_best_choice_and_what_is_not_allowed_is_the_worst():
    costs = np.array([[1.0, 3.0, np.inf], [2.0, 2.0, 5.0]])
    expected = np.array([[0.0, 2.0, 4.0], [0.0, 0.0, 3.0]])
    observations = np.zeros((2, size_of(3)))
    np.testing.assert_array_equal(weighed_costs(labels_of(costs, observations), "late"), expected)
    # Responses: over (0.3 s + the soonest completion)^2. Of each location the first number is the root of a completion.
    observations[:, : 3 * OF_LOCATION : OF_LOCATION] = [[2.0, 3.0, 4.0], [2.0, 1.0, 3.0]]
    weighed = weighed_costs(labels_of(costs, observations), "response")
    np.testing.assert_allclose(weighed, expected / [[(0.3 + 4.0) ** 2], [(0.3 + 1.0) ** 2]], rtol=1e-6)
    assert mean_cost(weighed) == pytest.approx(weighed.mean())
    assert mean_cost(np.zeros((2, 3))) > 0


def test_it_writes_policies_and_goes_on_with_the_labels_that_are_there(tmp_path):
    said: list[str] = []
    paths = learn(tmp_path, settings(), said.append)
    assert sorted(paths) == ["small-student", "student", "teacher"]
    student = offload_gym.load_stream_policy(paths["student"])
    streams = offload_gym.sample_streams(settings().scenario, 3, 5)
    decided = offload_gym.play(streams, student).decisions
    made = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    assert sorted(made) == ["labels-0.npz", "labels-1.npz"]
    learn(tmp_path, settings(), said.append)
    assert made == {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    again = offload_gym.load_stream_policy(paths["student"])
    np.testing.assert_array_equal(decided, offload_gym.play(streams, again).decisions)
    with pytest.raises(ValueError, match="rounds"):
        learn(tmp_path, settings(rounds=3), said.append)


def test_networks_of_a_folder_learn_on(tmp_path):
    """At a rate of nearly 0 they stay as they are, whatever sizes are set; the student decides in the first futures."""
    before, after = tmp_path / "before", tmp_path / "after"
    learn(before, settings(rounds=1), lambda line: None)
    small = settings(rounds=1, start=str(before), learning_rate=1e-12, teacher=(5,), student=(6,), small_student=(7,))
    said: list[str] = []
    paths = learn(after, small, said.append)
    for name, path in paths.items():
        began, went_on = (offload_gym.load_stream_policy(file).network for file in (before / path.name, path))
        assert began is not None
        assert went_on is not None
        # But for what is the same in all observations, which is left out.
        for (weight, bias), (same, as_before) in zip(began.layers[1:], went_on.layers[1:], strict=True):
            np.testing.assert_allclose(same, weight, atol=1e-6, err_msg=name)
            np.testing.assert_allclose(as_before, bias, atol=1e-6, err_msg=name)
    validation = Validation(small)
    student = offload_gym.load_stream_policy(before / "student.safetensors")
    assert validation.change(first_policy(small, validation)) <= validation.change(student)
    (before / "teacher.safetensors").unlink()
    with pytest.raises((OSError, ValueError), match="teacher"):
        learn(tmp_path / "again", small, said.append)


def test_two_scenarios_teach_one_network(tmp_path):
    """Each has labels, futures and a best policy of its own; choices of both count alike, whatever they cost."""
    slow = offload_gym.make_scenario("stream", uplink_bps=(1e5, 2e6), outage_share=0.1, **TINY)
    both, said = settings(also=(slow,), rounds=1), []
    paths = learn(tmp_path, both, said.append)
    own, other = (load_stream_labels(tmp_path / name) for name in ("labels-0.npz", "also-0-labels-0.npz"))
    courses = begin_courses(both)
    assert [course.settings.scenario for course in courses] == [both.scenario, slow]
    assert not np.isin(courses[0].validation.streams.arrival_s, courses[1].validation.streams.arrival_s).any()
    for course, labels in zip(courses, (own, other), strict=True):
        course.rounds.append(Round(labels, False))
    learned = lessons(courses, 5)
    np.testing.assert_array_equal(learned.observations, np.concatenate([own.observations, other.observations]))
    weighed = weighed_costs(learned, "response")
    assert weighed[: len(own.costs)].mean() == pytest.approx(1, rel=1e-5)
    assert weighed[len(own.costs) :].mean() == pytest.approx(1, rel=1e-5)
    assert sum("%, " in line for line in said) == 4  # the round and three networks, on both
    network = offload_gym.load_stream_policy(paths["student"]).network
    assert network is not None
    assert network.scenario == "stream"
    (also,) = json.loads(network.metadata["also"])
    assert (also["uplink_bps"], also["outage_share"]) == ([1e5, 2e6], 0.1)


def test_what_one_network_cannot_decide_is_refused(tmp_path, capsys):
    from agents.__main__ import main

    assert main(["learn-streams", "--also", "stream_deadlines", "--output", str(tmp_path)]) != 0
    assert "also has stream_deadlines with num_edges=1 and can_drop=True; for one network they must be 1 and False" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rounds", 0),
        ("share", 0.0),
        ("share", 2.0),
        ("share", float("nan")),
        ("num_futures", 0),
        ("num_futures", -3),
        ("passes", 0),
        ("memory", 0),
        ("future_jobs", 0),
        ("learning_rate", 1e9),
        ("learning_rate", -1.0),
        ("explore", 2.0),
        ("streams_a_round", 0),
    ],
)
def test_numbers_out_of_their_bounds_are_refused_before_anything_is_played(name, value, tmp_path, capsys):
    from agents.__main__ import main

    used = tmp_path / "used"
    learn_nothing = ["learn-streams", f"--{name.replace('_', '-')}", str(value), "--output", str(used)]
    assert main(learn_nothing) == 2
    assert capsys.readouterr().err.startswith(f"error: {name} is {value}; it must be ")
    assert not used.exists()


def test_labels_are_of_some_task_and_results_in_a_folder(tmp_path):
    with pytest.raises(ValueError, match=r"^share is 1e-09; of 6 streams of 20 jobs no task was labelled, so it must"):
        learn(tmp_path / "none", settings(share=1e-9))
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"^output is '.*file', which is a file; it must be a folder$"):
        learn(tmp_path / "file", settings())


def test_the_objective_is_the_scenarios_own():
    options = argparse.ArgumentParser()
    add_learning_options(options)
    for preset, objective in (("stream_deadlines", "late"), ("stream", "response")):
        assert learning_settings(options.parse_args(["--scenario", preset])).objective == objective


def test_where_no_job_is_late_there_is_nothing_to_learn(tmp_path):
    with pytest.raises(
        ValueError, match="in 8 validation streams of stream greedy has no late job; there is nothing to"
    ):
        learn(tmp_path, settings(objective="late"))


def test_validation_compares_with_greedy():
    validation = Validation(settings())
    assert validation.change(offload_gym.make_stream_policy("greedy")) == 0.0
    outputs = settings().scenario.num_locations
    untrained = as_policy(new_network(size_of(3), (4,), outputs, seed=1), "untrained", settings())
    assert validation.change(untrained) > 0.0


def test_one_rate_is_learned(tmp_path, capsys):
    from agents.__main__ import main

    assert main(["learn-streams", "--arrivals-per-s", "6", "8", "--output", str(tmp_path)]) != 0
    assert "arrivals_per_s is [6.0, 8.0]; this command takes one rate" in capsys.readouterr().err
