"""Batches whose instances differ in their numbers of tasks and in their dependencies."""

import naive
import numpy as np
import pytest
from test_dependencies import random_problems

from offload_gym import Instances, completion_times, latency, make_policy, sample_instances, schedule, solve
from offload_gym.demonstrations import label, load_demonstrations, save_demonstrations
from offload_gym.solvers.look_ahead import look_ahead

POLICIES = ("local", "cloud", "greedy", "heft", "greedy+flip", "beam-4", "beam-4+flip", "exact")


@pytest.fixture(scope="module")
def mixed():
    """One batch of problems of different sizes and graphs, and the batches it was made of."""
    batches = [i for i, _ in random_problems(40, max_tasks=6, max_locations=3, seed=61) if i.num_locations == 3]
    return Instances.concatenate(batches), batches


def rows_of(batches):
    start = 0
    for batch in batches:
        yield batch, slice(start, start + len(batch))
        start += len(batch)


def test_concatenate_keeps_every_instance(mixed):
    together, batches = mixed
    assert len(batches) > 5
    assert len({batch.num_tasks for batch in batches}) > 1
    for batch, rows in rows_of(batches):
        for b in range(len(batch)):
            assert naive.from_instances(together, rows.start + b) == naive.from_instances(batch, b)
    with pytest.raises(ValueError, match=r"differ in their edges; edges_of\(b\)"):
        _ = together.edges


@pytest.mark.parametrize("policy", POLICIES)
def test_decisions_do_not_depend_on_padding(mixed, policy):
    together, batches = mixed
    decisions = make_policy(policy).decide(together)
    for batch, rows in rows_of(batches):
        np.testing.assert_array_equal(decisions[rows, : batch.num_tasks], make_policy(policy).decide(batch))
        if policy != "cloud":
            assert (decisions[rows, batch.num_tasks :] == 0).all()


@pytest.mark.parametrize("objective", ["makespan", "mean", "cost"])
def test_padding_has_no_completion_and_no_value(mixed, objective):
    together, batches = mixed
    decisions = np.random.default_rng(0).integers(0, 3, (len(together), together.num_tasks))
    completion_s, value_s = completion_times(together, decisions), latency(together, decisions, objective)
    solutions = solve(together, objective)
    for batch, rows in rows_of(batches):
        own = decisions[rows, : batch.num_tasks]
        np.testing.assert_array_equal(completion_s[rows, : batch.num_tasks], completion_times(batch, own))
        assert np.isnan(completion_s[rows, batch.num_tasks :]).all()
        np.testing.assert_allclose(value_s[rows], latency(batch, own, objective), rtol=1e-15)
        alone = solve(batch, objective)
        np.testing.assert_allclose(solutions.latency_s[rows], alone.latency_s, rtol=1e-15)
        np.testing.assert_allclose(solutions.lower_bound_s[rows], alone.lower_bound_s, rtol=1e-15)


def test_a_schedule_leaves_padding_out(mixed):
    together, batches = mixed
    made = schedule(together, np.zeros(together.num_tasks, dtype=np.int64))
    assert made.location.shape == (batches[0].num_tasks,)


def test_labels_of_padding_say_so(mixed, tmp_path):
    together, batches = mixed
    labels = label(together)
    for batch, rows in rows_of(batches):
        alone = label(batch)
        np.testing.assert_array_equal(labels.alternative_s[rows, : batch.num_tasks], alone.alternative_s)
        assert np.isnan(labels.alternative_s[rows, batch.num_tasks :]).all()
    save_demonstrations(tmp_path / "mixed.npz", labels)
    again = load_demonstrations(tmp_path / "mixed.npz")
    for b in range(len(together)):
        assert naive.from_instances(again.instances, b) == naive.from_instances(together, b)
    np.testing.assert_array_equal(again.alternative_s, labels.alternative_s)


def test_look_ahead_without_weight_is_myopic_and_with_weight_leaves_less(mixed):
    together, _ = mixed
    optimum_s = solve(together).latency_s
    np.testing.assert_allclose(latency(together, look_ahead(together, 0.1, 0.0)), optimum_s, rtol=1e-12)
    instances = sample_instances("default", 100, seed=1)
    left_s = []
    for weight in (0.0, 1.0, 100.0):
        made = [schedule(instances, d, b) for b, d in enumerate(look_ahead(instances, 0.2, weight))]
        ends = [[m.backlog_s.copy() for m in made], [max(np.nanmax([*m.send_end_s, 0.0]), 0.0) for m in made]]
        total = 0.0
        for m, free_s, radio_s in zip(made, *ends, strict=True):
            for k, core, finish_s in zip(m.location, m.core, m.finish_s, strict=True):
                free_s[k, core] = max(free_s[k, core], finish_s)
            cores = np.isfinite(free_s)
            over_s = np.where(cores, np.maximum(free_s - 0.2, 0.0), 0.0)
            total += max(radio_s - 0.2, 0.0) + (over_s.sum(axis=1) / cores.sum(axis=1)).sum()
        left_s.append(total)
    assert left_s[0] > left_s[1] > left_s[2]
    with pytest.raises(ValueError, match="weight is -1; it must be finite and at least 0"):
        look_ahead(instances, 0.2, -1)


def test_bad_counts_and_packed_edges_give_one_sentence(hand_fields):
    for counts, sentence in (
        ([4], r"task_counts\[0\] is 4.0; it must be a whole number from 1 to 3"),
        ([0], r"task_counts\[0\] is 0.0"),
        ([1.5], r"task_counts\[0\] is 1.5"),
        ([3, 3], r"task_counts has the shape \(2,\); it must be \(1,\)"),
    ):
        with pytest.raises(ValueError, match=sentence):
            Instances(**hand_fields, task_counts=counts)
    with pytest.raises(ValueError, match=r"edges has \(1, 2\); an edge is .* from 0 to 1"):
        Instances(**hand_fields, task_counts=[2], edges=[(1, 2)], edge_bits=[[1.0]])
    instances = Instances(**hand_fields)
    good = {"edge_start": [[0, 0, 1, 2]], "edge_parent": [[0, 1]], "edge_bits": [[5.0, 6.0]]}
    assert instances.with_packed_edges(**good).edges == ((0, 1), (1, 2))
    for change, sentence in (
        ({"edge_start": [[0, 1, 1, 2]]}, r"edge_parent\[0, 0\] is 0.0; it must be a task before its child"),
        ({"edge_start": [[0, 0, 2, 1]]}, r"edge_start\[0, 3\] is 1.0"),
        ({"edge_start": [[0, 0, 1, 3]]}, r"edge_start\[0, 3\] is 3.0; it must be a whole number from 0 to 2"),
        ({"edge_start": [[0, 0, 0, 2]], "edge_parent": [[1, 0]]}, r"edge_parent\[0, 1\] is 0.0; .*increasing"),
        ({"edge_parent": [[0, 2]]}, r"edge_parent\[0, 1\] is 2.0"),
        ({"edge_bits": [[5.0, -1.0]]}, r"edge_bits\[0, 1\] is -1.0"),
        ({"edge_bits": [[5.0]]}, r"have the shapes \(1, 4\), \(1, 2\) and \(1, 1\)"),
    ):
        with pytest.raises(ValueError, match=sentence):
            instances.with_packed_edges(**{**good, **change})
    with pytest.raises(ValueError, match="batches is empty"):
        Instances.concatenate([])
    with pytest.raises(ValueError, match=r"the batches have \[3, 4\] locations"):
        Instances.concatenate([instances, sample_instances({"num_edges": 2}, 1)])


def test_batches_with_other_cores_and_backlogs_join(hand_fields):
    # GIVEN backlogs shared by the cores of a location, and backlogs of each core with fewer cores in all
    shared = Instances(**{**hand_fields, "cores": [[1, 2, 8]]})
    per_core = Instances(
        **{**hand_fields, "cores": [[1, 2, 2]], "backlog_s": [[[0.4, 0.0], [0.1, 0.5], [0.3, 0.2]]]},
        edges=[(0, 1)],
        edge_bits=[[1e6]],
    )
    together = Instances.concatenate(batch for batch in (shared, per_core))
    assert together.core_backlog_s.shape == (2, 3, 8)
    rng = np.random.default_rng(0)
    for _ in range(20):
        decision = rng.integers(0, 3, (1, 3))
        both = completion_times(together, np.repeat(decision, 2, axis=0))
        np.testing.assert_array_equal(both[:1], completion_times(shared, decision))
        np.testing.assert_array_equal(both[1:], completion_times(per_core, decision))
    # AND an instance without dependencies is still one for networks of independent tasks
    assert make_policy("student").decide(together[:1]).shape == (1, 3)


def test_equal_graphs_are_equal_after_a_larger_one():
    graphs = [i for i, _ in random_problems(30, max_tasks=6, max_locations=3, seed=62, size=1) if i.num_locations == 3]
    graphs.sort(key=lambda batch: batch.edge_parent.shape[1])
    small, large = graphs[3], graphs[-1]
    padded = Instances.concatenate([small, large])[:1]
    assert Instances.concatenate([padded, small]).edges == small.edges
