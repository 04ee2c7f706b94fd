"""Dependent tasks: the kernel and the solvers against the naive twin."""

import warnings

import naive
import numpy as np
import pytest

from offload_gym import OBJECTIVES, Instances, completion_times, latency, make_policy, sample_instances, schedule, solve
from offload_gym.demonstrations import label, load_demonstrations, save_demonstrations
from offload_gym.instances import LOCATION_FIELDS, TASK_FIELDS
from offload_gym.observation import epoch_observations
from offload_gym.scenario import make_scenario
from offload_gym.solvers.beam import beam_search
from offload_gym.solvers.greedy import greedy
from offload_gym.solvers.local_search import local_search


def with_edges(instances, edges, rng, share_empty=0.2):
    """The instances with dependencies that carry random data, sometimes none."""
    bits = rng.uniform(0.1e6, 4e6, (len(instances), len(edges))) * (rng.random((1, len(edges))) > share_empty)
    fields = {name: getattr(instances, name) for name in (*TASK_FIELDS, *LOCATION_FIELDS)}
    radio_s = rng.exponential(0.05, len(instances))
    backlog_s = instances.backlog_s
    return Instances(**fields, backlog_s=backlog_s, radio_backlog_s=radio_s, edges=edges, edge_bits=bits)


def random_graph(n, rng):
    """Edges of a random graph, in random order; 0 makes the tasks independent, 1 a complete order."""
    density = rng.choice([0.0, 0.2, 0.4, 1.0], p=[0.1, 0.4, 0.4, 0.1])
    edges = [(p, c) for c in range(n) for p in range(c) if rng.random() < density]
    return [edges[e] for e in rng.permutation(len(edges))]


def random_problems(count, max_tasks, max_locations, seed, size=4):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        n, num_locations = int(rng.integers(1, max_tasks + 1)), int(rng.integers(2, max_locations + 1))
        scenario = make_scenario(
            num_tasks=n, num_edges=num_locations - 2, device_cores=int(rng.integers(1, 3)), cloud_cores=2
        )
        instances = sample_instances(scenario, size, rng)
        yield with_edges(instances, random_graph(n, rng), rng), rng


def test_completion_times_equal_the_naive_twin():
    compared = 0
    for instances, rng in random_problems(250, max_tasks=12, max_locations=5, seed=1):
        decisions = rng.integers(0, instances.num_locations, (len(instances), instances.num_tasks))
        expected = [
            naive.completion_times(naive.from_instances(instances, b), decisions[b]) for b in range(len(instances))
        ]
        np.testing.assert_allclose(completion_times(instances, decisions), expected, rtol=1e-9, atol=1e-9)
        compared += len(instances)
    assert compared == 1000


@pytest.fixture
def chain(hand_fields):
    """The hand case as a chain 0 -> 1 -> 2 that carries 2 and then 4 Mbit."""
    return Instances(**hand_fields, edges=[(0, 1), (1, 2)], edge_bits=[[2e6, 4e6]])


@pytest.mark.parametrize(
    ("decision", "completions"),
    [([0, 1, 1], [1.000, 1.255, 1.380]), ([0, 1, 2], [1.000, 1.255, 1.424]), ([1, 0, 2], [0.455, 0.760, 1.324])],
)
def test_chain_by_hand(chain, decision, completions):
    np.testing.assert_allclose(completion_times(chain, [decision])[0], completions, rtol=0, atol=1e-9)


def test_optimum_of_the_chain_by_hand(chain):
    solutions = solve(chain)
    assert solutions.decisions.tolist() == [[2, 2, 2]]
    assert solutions.latency_s[0] == pytest.approx(0.464, abs=1e-9)
    assert solutions.optimal[0]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_exact_equals_brute_force_and_no_heuristic_is_better(objective):
    for instances, _ in random_problems(60, max_tasks=6, max_locations=4, seed=2, size=1):
        best = [naive.brute_force(naive.from_instances(instances, b), objective)[0] for b in range(len(instances))]
        solutions = solve(instances, objective)
        np.testing.assert_allclose(solutions.latency_s, best, rtol=1e-9, atol=1e-9)
        assert solutions.optimal.all()
        for decisions in (
            greedy(instances),
            greedy(instances, objective=objective, moves="flip"),
            beam_search(instances, 4, objective),
        ):
            assert (latency(instances, decisions, objective) >= solutions.latency_s * (1 - 1e-12)).all()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_bounded_search_gives_a_valid_lower_bound(objective):
    cut = 0
    for instances, _ in random_problems(25, max_tasks=8, max_locations=4, seed=3):
        exact = solve(instances, objective)
        bounded = solve(instances, objective, max_nodes=4)
        assert (bounded.lower_bound_s <= exact.latency_s * (1 + 1e-11)).all()
        assert (bounded.latency_s >= exact.latency_s * (1 - 1e-11)).all()
        assert (bounded.lower_bound_s > 0).all()
        cut += (~bounded.optimal).sum()
    assert cut > 20


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_local_search_and_wide_beams(objective):
    for instances, rng in random_problems(20, max_tasks=4, max_locations=3, seed=4):
        start = rng.integers(0, instances.num_locations, (len(instances), instances.num_tasks))
        improved = local_search(instances, start, objective)
        reached_s = latency(instances, improved, objective)
        assert (reached_s <= latency(instances, start, objective)).all()
        for i in range(instances.num_tasks):
            for k in range(instances.num_locations):
                flipped = improved.copy()
                flipped[:, i] = k
                assert (latency(instances, flipped, objective) >= reached_s * (1 - 1e-12)).all()
        widest = beam_search(instances, instances.num_locations**instances.num_tasks, objective)
        np.testing.assert_allclose(
            latency(instances, widest, objective), solve(instances, objective).latency_s, rtol=1e-9
        )


def test_alternatives_equal_brute_force_over_completions():
    for instances, rng in random_problems(12, max_tasks=4, max_locations=3, seed=5, size=3):
        shape = (len(instances), instances.num_tasks)
        exploration = np.where(rng.random(shape) < 0.3, rng.integers(0, instances.num_locations, shape), -1)
        made = label(instances, "makespan", exploration)
        all_decisions = np.array(list(np.ndindex(*(instances.num_locations,) * instances.num_tasks)))
        for b in range(len(instances)):
            repeated = instances[np.full(len(all_decisions), b)]
            seconds = latency(repeated, all_decisions)
            for i in range(instances.num_tasks):
                follows = (all_decisions[:, :i] == made.prefixes[b, :i]).all(axis=1)
                for k in range(instances.num_locations):
                    best_s = seconds[follows & (all_decisions[:, i] == k)].min()
                    assert made.alternative_s[b, i, k] == pytest.approx(best_s, rel=1e-9)


def test_demonstrations_keep_the_graph(tmp_path):
    instances = next(random_problems(1, 6, 3, seed=9))[0]
    assert instances.edges  # this seed has some
    save_demonstrations(tmp_path / "d.npz", label(instances))
    again = load_demonstrations(tmp_path / "d.npz").instances
    assert again.edges == instances.edges
    np.testing.assert_array_equal(again.edge_bits, instances.edge_bits)


def test_schedule_of_a_chain(chain):
    drawn = schedule(chain, [0, 1, 1])
    np.testing.assert_allclose(drawn.completion_s, [1.000, 1.255, 1.380], atol=1e-9)
    np.testing.assert_allclose(drawn.send_end_s[1], 1.2, atol=1e-9)
    assert np.isnan(drawn.send_end_s[[0, 2]]).all()  # on the device, and fed by its parent at the same place


def test_edges_come_back_in_the_order_of_their_bits():
    instances = sample_instances(make_scenario(num_tasks=3), 2, seed=0)
    fields = {name: getattr(instances, name) for name in (*TASK_FIELDS, *LOCATION_FIELDS, "backlog_s")}
    made = Instances(**fields, edges=[(1, 2), (0, 2), (0, 1)], edge_bits=[[12.0, 2.0, 1.0], [24.0, 4.0, 3.0]])
    assert made.edges == ((0, 1), (0, 2), (1, 2))
    assert made.edge_bits.tolist() == [[1.0, 2.0, 12.0], [3.0, 4.0, 24.0]]
    assert made[1:].edges == made.edges
    assert made[1:].edge_bits.tolist() == [[3.0, 4.0, 24.0]]


@pytest.mark.parametrize(
    ("edges", "bits", "sentence"),
    [
        ([(1, 1)], [[1.0]], r"edges has \(1, 1\); a task must not depend on itself"),
        ([(2, 1)], [[1.0]], r"edges has \(2, 1\); a parent must come before its child"),
        ([(0, 3)], [[1.0]], r"edges has \(0, 3\); .*each a task from 0 to 2"),
        ([(-1, 2)], [[1.0]], r"edges has \(-1, 2\); .*each a task from 0 to 2"),
        ([(0, 1.0)], [[1.0]], r"edges has \(0, 1.0\)"),
        ([(0, 1, 2)], [[1.0]], r"edges has \(0, 1, 2\); an edge is \(parent, child\)"),
        ([(0, 1), (0, 1)], [[1.0, 2.0]], r"edges has \(0, 1\) more than once"),
        ([(0, 1)], [[-1.0]], r"edge_bits\[0, 0\] is -1.0; .*at least 0"),
        ([(0, 1)], [[float("nan")]], r"edge_bits\[0, 0\] is nan"),
        ([(0, 1)], [[1.0, 2.0]], r"edge_bits has the shape \(1, 2\); it must be \(1, 1\)"),
        ([(0, 1)], None, r"edge_bits is not given"),
        ([], [[1.0]], r"edge_bits has the shape \(1, 1\); it must be \(1, 0\)"),
    ],
)
def test_bad_graphs_give_one_sentence(hand_fields, edges, bits, sentence):
    with pytest.raises(ValueError, match=sentence):
        Instances(**hand_fields, edges=edges, edge_bits=bits)


def test_networks_and_observations_refuse_dependencies(chain, hand_fields):
    with pytest.raises(ValueError, match="2 dependencies"):
        epoch_observations(chain, np.zeros((1, 3), dtype=np.int64))
    with pytest.raises(ValueError, match="2 dependencies"):
        make_policy("student").decide(chain)


def test_the_radio_sends_a_childs_data_once_its_parent_is_done(hand_fields):
    instances = Instances(**hand_fields, edges=[(0, 1), (1, 2)], edge_bits=[[2e6, 4e6]])
    made = schedule(instances, [0, 1, 2])
    np.testing.assert_allclose(made.send_start_s, [np.nan, 1.0, np.nan])
    np.testing.assert_allclose(made.send_end_s, [np.nan, 1.2, np.nan])
    forked = Instances(**hand_fields, edges=[(0, 2), (1, 2)], edge_bits=[[2e6, 4e6]])
    made = schedule(forked, [0, 0, 1])  # the parents finish at 1.0 and 1.2 s
    np.testing.assert_allclose([made.send_start_s[2], made.send_end_s[2]], [1.0, 1.6])


def test_sizes_without_an_effect_are_warned_of_once(hand_fields):
    hand_fields["output_bits"] = [[0.0, 0.0, 4.0]]
    with pytest.warns(UserWarning, match="has no effect") as told:
        made = Instances(**hand_fields, edges=[(0, 1), (0, 2)], edge_bits=[[1.0, 2.0]])
    assert [(str(warning.message), warning.filename) for warning in told] == [
        (
            "input_bits[0, 1] is 2000000.0 and has no effect, as task 1 has parents; a task without parents and work, "
            "with an edge of as many bits to task 1, would send them",
            __file__,
        )
    ]
    with warnings.catch_warnings():  # whoever made them was told, and nobody else is
        warnings.simplefilter("error")
        again = made.replace(backlog_s=made.backlog_s + 1, edge_bits=[[3.0, 4.0]])
        Instances.concatenate([again[:1], again])
    with pytest.warns(UserWarning, match="input_bits") as told:
        made.replace(workload_cycles=made.workload_cycles)
    assert [warning.filename for warning in told] == [__file__]
    apart = Instances(**hand_fields)
    with pytest.warns(UserWarning, match=r"input_bits\[0, 2\] is 4000000.0 .* has parents") as told:
        apart.with_packed_edges([[0, 0, 0, 1]], [[1]], [[5.0]])
    assert [warning.filename for warning in told] == [__file__]


def test_outputs_without_an_effect_are_warned_of(hand_fields):
    hand_fields |= {"input_bits": [[1.0, 0.0, 0.0]], "output_bits": [[0.0, 7.0, 4.0]]}
    with pytest.warns(UserWarning, match=r"output_bits\[0, 1\] is 7.0 .* from task 1, would return them"):
        Instances(**hand_fields, edges=[(0, 1), (1, 2)], edge_bits=[[1.0, 2.0]])


def test_sizes_with_an_effect_are_not_warned_of(hand_fields):
    hand_fields |= {"input_bits": [[1.0, 2.0, 0.0]], "output_bits": [[0.0, 3.0, 4.0]]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Instances(**hand_fields, edges=[(0, 2)], edge_bits=[[1.0]])
        Instances(**hand_fields, task_counts=[2]).with_packed_edges([[0, 0, 0, 0]], [[1]], [[0.0]])
        Instances(**hand_fields)


@pytest.mark.parametrize("preset", ["chain", "dag", "face_recognition"])
def test_drawn_tasks_have_no_sizes_without_an_effect(preset):
    drawn = sample_instances(preset, 20, seed=3)
    for b in range(20):
        parents, children = ({edge[end] for edge in drawn.edges_of(b)} for end in (0, 1))
        assert not drawn.input_bits[b, sorted(children)].any()
        assert not drawn.output_bits[b, sorted(parents)].any()
        for i in range(int(drawn.task_counts[b])):
            assert i in children or drawn.input_bits[b, i] > 0
            assert i in parents or drawn.output_bits[b, i] > 0
