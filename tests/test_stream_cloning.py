"""Labels of decisions that someone made: what is seen before each, and what was decided."""

from __future__ import annotations

import numpy as np
import pytest

import offload_gym
from offload_gym.envs.stream import StreamEnv
from offload_gym.streams.cloning import decided_labels
from offload_gym.streams.labels import label_streams
from offload_gym.streams.planner import Effort
from offload_gym.streams.policies import PlannerPolicy, make_stream_policy

NUM_JOBS = 12


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("stream", {"num_devices": 2}),
        ("stream", {"num_tasks": 3}),
        ("stream_deadlines", {}),
        ("stream_applications", {}),
    ],
)
def test_observations_are_those_of_the_environment_along_the_decisions(preset, changes):
    scenario = offload_gym.make_scenario(preset, num_jobs=NUM_JOBS, **changes)
    env, rng = StreamEnv(scenario), np.random.default_rng(1)
    seen, actions, streams, decisions = [], [], [], []
    for seed in (3, 4):
        observation, _ = env.reset(seed=seed)
        over, chosen = False, []
        while not over:
            seen.append(observation)
            chosen.append(int(rng.choice(np.flatnonzero(env.action_masks()))))
            observation, _, over, _, _ = env.step(chosen[-1])
        actions += chosen
        streams.append(offload_gym.sample_streams(scenario, 1, seed))
        decisions.append(as_decisions(streams[-1].present[0], chosen, scenario.num_locations))
    made = [decided_labels(one, [plan], scenario.can_drop) for one, plan in zip(streams, decisions, strict=True)]
    observations, costs = (
        np.concatenate([getattr(labels, name) for labels in made]) for name in ("observations", "costs")
    )
    np.testing.assert_array_equal(observations, np.array(seen))
    np.testing.assert_array_equal(costs.argmin(axis=1), actions)
    assert costs.shape[1] == env.action_space.n
    if scenario.can_drop:
        assert scenario.num_locations in actions


def as_decisions(present, chosen, num_locations):
    """(J, n) decisions of the actions of an episode."""
    left, decisions = iter(chosen), np.zeros(present.shape, dtype=np.int64)
    for j, i in np.argwhere(present):
        if decisions[j, 0] >= 0:
            decisions[j, i] = next(left)
            if decisions[j, i] == num_locations:
                decisions[j] = -1
    assert next(left, None) is None
    return decisions


def test_observations_are_those_that_planning_labels():
    scenario = offload_gym.make_scenario("stream", num_jobs=NUM_JOBS)
    rule, seed = make_stream_policy("queue-price", scenario), 5
    planner = PlannerPolicy(scenario, rule, Effort(1, 4, 1, 3.0), "response", 1)
    planned = label_streams(planner, rule, 7, seed, share=1.0, explore=0.0)
    of_streams, _ = np.random.SeedSequence(seed, spawn_key=(3,)).spawn(2)
    streams = offload_gym.sample_streams(scenario, 7, of_streams)
    decisions = offload_gym.play(streams, rule).decisions
    for threads in (1, 2):
        labels = decided_labels(streams, decisions, num_threads=threads)
        np.testing.assert_array_equal(labels.observations, planned.observations)
        np.testing.assert_array_equal(labels.costs, decisions.reshape(-1, 1) != np.arange(3))
        np.testing.assert_array_equal(labels.errors, 0.0)


def test_a_job_is_dropped_at_its_first_task_alone():
    """Jobs of two tasks, the second one dropped: three choices, of which only the first of a job may drop it."""
    scenario = offload_gym.make_scenario("stream_deadlines", num_jobs=2, num_tasks=2)
    streams = offload_gym.sample_streams(scenario, 1, 1)
    labels = decided_labels(streams, [[[1, 2], [-1, -1]]], can_drop=True)
    np.testing.assert_array_equal(labels.costs, [[1, 0, 1, 1], [1, 1, 0, np.inf], [1, 1, 1, 0]])
    with pytest.raises(ValueError, match=r"decisions\[0, 1\] drops the job; where can_drop is False it must be loc"):
        decided_labels(streams, [[[1, 2], [-1, -1]]])
    with pytest.raises(ValueError, match=r"decisions\[0, 0, 0\] is 3; it must be a location from 0 to 2"):
        decided_labels(streams, [[[3, 2], [1, 1]]])
