"""What parts of learning on streams are worth: each arm learns from what it says, and a run goes on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import offload_gym
from agents.__main__ import main
from agents.stream_ablation import FILE, ablate, make_arms
from agents.stream_learning import (
    Course,
    FreshStreams,
    StreamSettings,
    Validation,
    as_policy,
    first_policy,
    fit_network,
    planned_labels,
    state_weights,
)
from offload_gym.seeds import seed_for
from offload_gym.streams.hindsight import hindsight
from offload_gym.streams.labels import joined, load_stream_labels
from offload_gym.streams.observing import size_of
from offload_gym.streams.policies import make_stream_policy

JOBS, STREAMS, RULE = 12, 4, "queue-price"
SETTINGS = StreamSettings(
    offload_gym.make_scenario("stream", num_jobs=JOBS),
    rounds=3,
    streams_a_round=STREAMS,
    num_futures=2,
    future_jobs=6,
    num_validation=6,
    passes=1,
    base=(6,),
    teacher=(8,),
    student=(5,),
    small_student=(3,),
)
FILES = ["0", "1", "2", "hindsight", "more", "own", "surer", "unexplored"]


class Gaining(Validation):
    """As if each network were better than the one before, and the queue price the best rule."""

    def change(self, policy):
        return -float(policy.name.split()[-1]) if policy.name.startswith("round") else -0.5 * (policy.name == RULE)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder, validation = tmp_path_factory.mktemp("arms"), Gaining(SETTINGS)
    rule = first_policy(SETTINGS, validation)
    course = Course(SETTINGS, "labels", validation, rule, validation.change(rule))
    arms = make_arms(folder, SETTINGS, course, lambda line: None)
    assert sorted(path.stem.removeprefix("labels-") for path in folder.glob("*.npz")) == FILES
    files = {name: load_stream_labels(folder / f"labels-{name}.npz") for name in FILES}
    return {arm.name: arm for arm in arms}, files


def test_arms_learn_from_what_they_say(made):
    arms, files = made
    rounds = [files[name] for name in "012"]
    base, last = (6,), joined(rounds[1:]).costs
    evenly = rounds[0].costs[np.linspace(0, len(rounds[0].costs) - 1, len(files["surer"].costs)).astype(int)]
    # Costs of 1, such that they are 1 when they have been weighed.
    alone = (rounds[0].costs != 0) / state_weights(rounds[0], "response")
    wanted = {
        "hindsight": (files["hindsight"].costs, base, 0.0),
        "planner, states of the rule": (files["unexplored"].costs, base, 0.0),
        "planner, states of the rule, some choices random": (rounds[0].costs, base, 0.0),
        "planner, its choices alone": (alone, base, 0.0),
        "planner, 8 times the futures, a 5th of the states": (files["surer"].costs, base, 0.0),
        "planner, as many of the states as these": (evenly, base, 0.0),
        "planner, own states": (files["own"].costs, base, 0.0),
        "planner, states of the rule and own states": (joined([rounds[0], files["own"]]).costs, base, 0.0),
        "planner, states of the rule, twice the streams": (joined([rounds[0], files["more"]]).costs, base, 0.0),
        # As in policy iteration: what the roll-outs of the rule found is left out once there is something else.
        "2 rounds": (rounds[1].costs, base, 0.0),
        "3 rounds": (last, base, 0.0),
        "teacher": (last, (8,), 0.0),
    }
    for name, hidden in (("student", (5,)), ("small student", (3,))):
        wanted |= {
            f"{name}, from labels": (last, hidden, 0.0),
            f"{name}, half from the teacher": (last, hidden, 0.5),
            f"{name}, from the teacher alone": (last, hidden, 1.0),
        }
    assert list(arms) == list(wanted)
    for name, (costs, hidden, alpha) in wanted.items():
        np.testing.assert_allclose(arms[name].labels.costs, costs, rtol=1e-6, err_msg=name)
        assert (tuple(arms[name].hidden), arms[name].alpha) == (hidden, alpha)


def test_labels_are_made_as_they_say(made):
    _, files = made
    # hindsight: all jobs of streams of training are labelled, and what was decided costs nothing
    streams = offload_gym.sample_streams(SETTINGS.scenario, STREAMS, seed_for("training", SETTINGS.seed, 0))
    decided = hindsight(streams).reshape(-1, 1)
    np.testing.assert_array_equal(files["hindsight"].costs, decided != np.arange(3))
    # states of the rule: the same tasks of the same streams, and the same states until the first random choice
    rule = make_stream_policy(RULE, SETTINGS.scenario)
    assert_same(files["0"], planned_labels(SETTINGS, rule, rule, 0))
    assert_same(files["unexplored"], planned_labels(replace(SETTINGS, explore=0.0), rule, rule, 0))
    assert len(files["unexplored"].costs) == len(files["0"].costs)
    assert (files["unexplored"].observations[0] == files["0"].observations[0]).all()
    assert (files["unexplored"].observations != files["0"].observations).any()
    surer = replace(SETTINGS, share=SETTINGS.share / 5, num_futures=8 * SETTINGS.num_futures)
    assert_same(files["surer"], planned_labels(surer, rule, rule, 0))
    assert len(files["surer"].costs) < len(files["0"].costs) / 2
    # own states: those of the network that learned from the rule's, which the rule's roll-outs label
    network = as_policy(fit_network(files["0"], SETTINGS.base, SETTINGS, seed=0), "network", SETTINGS)
    assert_same(files["own"], planned_labels(SETTINGS, rule, network, 1))
    assert_same(files["more"], planned_labels(SETTINGS, rule, rule, 1))
    # the second round: the same network plays the futures, too
    assert_same(files["1"], planned_labels(SETTINGS, network, network, 1))
    np.testing.assert_array_equal(files["1"].observations, files["own"].observations)
    assert (files["1"].costs != files["own"].costs).any()


def assert_same(labels, others):
    for made, other in zip(labels, others, strict=True):
        np.testing.assert_array_equal(made, other)


def test_test_streams_are_neither_of_training_nor_of_validation():
    """The purpose of a seed is the first number of its spawn key, before all further ones."""
    keys = {purpose: seed_for(purpose, SETTINGS.seed).spawn_key[0] for purpose in ("test", "training", "validation")}
    assert len(set(keys.values())) == 3
    test = FreshStreams(SETTINGS, 5, seed_for("test", SETTINGS.seed))
    assert not np.isin(test.streams.arrival_s, Validation(SETTINGS).streams.arrival_s).any()
    assert test.change(make_stream_policy("greedy", SETTINGS.scenario)) == 0.0


def test_the_command_runs_and_goes_on(tmp_path, capsys):
    arguments = ["stream-ablation", "--output", str(tmp_path), "--num-jobs", str(JOBS), "--streams-a-round", "3"]
    arguments += ["--num-futures", "2", "--future-jobs", "6", "--num-validation", "5", "--passes", "1", "--rounds", "2"]
    arguments += ["--num-test", "5", "--num-seeds"]
    assert main([*arguments, "1"]) == 0
    shown = capsys.readouterr().out
    rows = json.loads((tmp_path / FILE).read_text(encoding="utf-8"))
    assert [row["seed"] for row in rows] == [None, *[0] * 17]
    assert all(row["arm"] in shown for row in rows)
    inputs = size_of(3)
    assert {row["parameters"] for row in rows if row["arm"].startswith("small student")} == {
        (inputs + 1) * 14 + (14 + 1) * 3
    }
    # One more network of each kind: the others are as they were.
    assert main([*arguments, "2"]) == 0
    more = json.loads((tmp_path / FILE).read_text(encoding="utf-8"))
    assert more[:18] == rows
    assert [row["seed"] for row in more[18:]] == [1] * 17
    assert main([*arguments[:-3], "--num-test", "6"]) == 2
    assert "num_test is 6, but the results" in capsys.readouterr().err


def test_bad_input_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="num_seeds is 0; it must be a whole number, at least 1"):
        ablate(tmp_path, SETTINGS, num_seeds=0)
    costly = StreamSettings(SETTINGS.scenario, "cost")
    with pytest.raises(ValueError, match=r"objective is 'cost'; hindsight, .*, knows response and late alone"):
        ablate(tmp_path, costly)
