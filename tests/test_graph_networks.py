"""Networks of graphs: what they see and decide, against plain Python; their files."""

import pickle

import naive
import numpy as np
import pytest
from naive_graphs import Twin

import offload_gym
from agents.graph_labels import Pass, label_kernel
from offload_gym.instances import Instances
from offload_gym.layers import packed
from offload_gym.networks.graph_kernel import Plan
from offload_gym.networks.graph_network import (
    GraphNetwork,
    check_graph_network,
    load_graph_network,
    save_graph_policy,
)
from offload_gym.networks.graph_policy import CHUNK, GraphPolicy
from offload_gym.networks.graph_view import INPUTS
from offload_gym.networks.policy_file import load_network
from offload_gym.solvers.stopping import new_stop

SCENARIOS = {
    "dag": {"name": "dag", "num_tasks": 9},
    "wide, K = 6": {"name": "dag", "num_tasks": 8, "graph_fat": (0.9, 1.0), "num_edges": 4},
    "dense, K = 3": {"name": "dag", "num_tasks": 8, "graph_density": (0.9, 1.0), "num_edges": 1},
    "chain, K = 2": {"name": "chain", "num_tasks": 6, "num_edges": 0},
    "partitioning, padding": {"name": "partitioning"},
    "independent": {"name": "default", "num_tasks": 7},
    "cores": {"name": "dag", "num_tasks": 9, "device_cores": 2, "edge_cores": 3, "cloud_cores": 1},
}


def random_network(*widths, num_starts=2, num_passes=2, num_sweeps=1, seed=0, **fields):
    """A network of random weights."""
    random, layers, inputs = np.random.default_rng(seed), [], INPUTS
    for width in (*widths, 1):
        weight = random.normal(size=(width, inputs)) / np.sqrt(inputs)
        layers.append((weight.astype(np.float32), random.normal(size=width).astype(np.float32)))
        inputs = width
    return GraphNetwork(tuple(layers), num_starts, num_passes, num_sweeps, {}, **fields)


def along(network, instances, given, start=0, number=0, margin=0.0):
    """What a network sees along a pass that takes the ``given`` steps, and the costs of choices."""
    shape = (len(instances), instances.num_tasks, instances.num_locations)
    inputs, costs = np.zeros((*shape, INPUTS), np.float32), np.zeros(shape)
    plan = tuple(Plan(*packed(network.layers), 1, 1, 0))
    label_kernel(instances.arrays, plan, tuple(Pass(start, number, 0.0, margin, 0)), given, new_stop(), inputs, costs)
    return inputs, costs


def with_odd_values(instances):
    """The same instances, some with a radio that is busy, tasks without work or data, and cores free at other times."""
    rng = np.random.default_rng(3)
    changes = {name: getattr(instances, name).copy() for name in ("input_bits", "workload_cycles")}
    changes["workload_cycles"][::3, 1] = 0.0
    changes["input_bits"][1::3, 0] = 0.0
    wired_bps = instances.wired_bps.copy()
    wired_bps[::2, 1:] = np.inf
    fields = ("output_bits", "cpu_hz", "cores", "uplink_bps", "downlink_bps", "propagation_s")
    backlog_s = rng.exponential(0.1, (len(instances), instances.num_locations, instances.max_cores))
    return Instances(
        **changes,
        **{name: getattr(instances, name) for name in fields},
        wired_bps=wired_bps,
        backlog_s=backlog_s,
        radio_backlog_s=rng.exponential(0.2, len(instances)),
        edges=instances.edges_of(0),
        edge_bits=np.repeat(instances.edge_bits[:1, : len(instances.edges_of(0))], len(instances), axis=0),
    )


@pytest.mark.parametrize("what", SCENARIOS)
def test_a_network_sees_what_plain_python_sees(what):
    instances = offload_gym.sample_instances(SCENARIOS[what], 6, seed=1)
    rng = np.random.default_rng(2)
    given = rng.integers(0, instances.num_locations, (6, instances.num_tasks))
    network = random_network(8)
    for start in (0, 1):
        inputs, _ = along(network, instances, given, start)
        assert np.abs(inputs).max() <= 1.0 + 1e-6  # shares are sums in 32 bits
        for b in range(len(instances)):
            twin = Twin(naive.from_instances(instances, b))
            order = sorted(twin.places, key=lambda k: twin.fixed[k])
            draft = [order[start]] * twin.n
            for i in range(twin.n):
                expected = twin.inputs(draft, list(given[b, :i]))
                np.testing.assert_allclose(inputs[b, i], expected, rtol=1e-5, atol=1e-6)


def test_a_network_sees_odd_values():
    instances = with_odd_values(offload_gym.sample_instances({"name": "dag", "num_tasks": 8}, 6, seed=4))
    given = np.random.default_rng(5).integers(0, instances.num_locations, (6, 8))
    inputs, _ = along(random_network(8), instances, given)
    assert np.abs(inputs).max() <= 1.0 + 1e-6
    for b in range(len(instances)):
        twin = Twin(naive.from_instances(instances, b))
        draft = [twin.fixed.index(min(twin.fixed))] * twin.n
        for i in range(twin.n):
            expected = twin.inputs(draft, list(given[b, :i]))
            np.testing.assert_allclose(inputs[b, i], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("what", SCENARIOS)
@pytest.mark.parametrize(("widths", "uses"), [((8,), (1, 1, 0)), ((), (1, 2, 1)), ((8, 8), (3, 3, 2))])
def test_a_network_decides_as_plain_python_does(what, widths, uses):
    instances = offload_gym.sample_instances(SCENARIOS[what], 5, seed=6)
    network = random_network(*widths, num_starts=uses[0], num_passes=uses[1], num_sweeps=uses[2], seed=7)
    decisions = GraphPolicy(network).decide(instances)
    for b in range(len(instances)):
        twin = Twin(naive.from_instances(instances, b))
        assert twin.decide(network.layers, *uses) == decisions[b, : twin.n].tolist()
        assert (decisions[b, twin.n :] == 0).all()


def test_later_passes_go_through_the_draft_of_earlier_ones():
    instances = offload_gym.sample_instances(SCENARIOS["dag"], 8, seed=8)
    given, changed = np.full((8, 9), -1), 0
    for seed in range(4):
        network = random_network(8, seed=seed)
        inputs, _ = along(network, instances, given, number=1)
        for b in range(len(instances)):
            twin = Twin(naive.from_instances(instances, b))
            fixed = [twin.fixed.index(min(twin.fixed))] * twin.n
            draft = twin.go_through(network.layers, fixed)
            better = twin.latency(draft) < twin.latency(fixed)
            changed += better
            expected = twin.inputs(draft if better else fixed, [])
            np.testing.assert_allclose(inputs[b, 0], expected, rtol=1e-5, atol=1e-6)
    assert changed >= 3


def test_costs_are_those_of_going_on_alone():
    instances = offload_gym.sample_instances(SCENARIOS["dag"], 4, seed=9)
    given = np.random.default_rng(1).integers(0, instances.num_locations, (4, 9))
    network = random_network(8, seed=3)
    _, costs = along(network, instances, given, margin=1e9)
    for b in range(len(instances)):
        twin = Twin(naive.from_instances(instances, b))
        draft = [twin.fixed.index(min(twin.fixed))] * twin.n
        for i in range(twin.n):
            begun = [(*given[b, :i], k) for k in twin.places]
            values = np.array([twin.latency(twin.go_through(network.layers, draft, path)) for path in begun])
            np.testing.assert_allclose(costs[b, i], values / values.min() - 1.0, atol=1e-9)
    _, costs = along(network, instances, given, margin=0.0)  # nothing is near the best score
    assert (np.sort(costs, axis=-1) == [0.0, np.inf, np.inf, np.inf]).all()


def test_no_decision_is_worse_than_the_best_fixed_place():
    instances = offload_gym.sample_instances({"name": "dag", "num_tasks": 40}, 50, seed=10)
    fixed_s = [offload_gym.latency(instances, np.full((50, 40), k)) for k in range(instances.num_locations)]
    decisions = GraphPolicy(random_network(16, num_starts=1, num_passes=1, num_sweeps=0)).decide(instances)
    assert (offload_gym.latency(instances, decisions) <= np.min(fixed_s, axis=0)).all()


def test_instances_of_other_units_are_decided_alike():
    drawn = offload_gym.sample_instances({"name": "dag", "num_tasks": 12}, 30, seed=11)
    scaled = {name: getattr(drawn, name) for name in ("output_bits", "input_bits", "workload_cycles", "cores")}
    for name in ("cpu_hz", "uplink_bps", "downlink_bps", "wired_bps"):
        scaled[name] = getattr(drawn, name) / 4.0
    scaled["propagation_s"], scaled["backlog_s"] = drawn.propagation_s * 4.0, drawn.backlog_s * 4.0
    policy = GraphPolicy(random_network(16, 8))
    for b in range(len(drawn)):
        edges = drawn.edges_of(b)
        one = Instances(
            **{name: values[b : b + 1] for name, values in scaled.items()},
            edges=edges,
            edge_bits=drawn.edge_bits[b : b + 1, : len(edges)],
        )
        np.testing.assert_array_equal(policy.decide(one), policy.decide(drawn[b : b + 1]))


def test_batches_threads_and_pickles_decide_alike():
    instances = offload_gym.sample_instances({"name": "partitioning"}, 2 * CHUNK + 3, seed=12)
    policy = GraphPolicy(random_network(8))
    decisions = policy.decide(instances)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(policy)).decide(instances), decisions)
    for b in (0, CHUNK, 2 * CHUNK + 2):
        np.testing.assert_array_equal(policy.decide(instances[b : b + 1])[0], decisions[b])


def test_files_keep_everything(tmp_path):
    network = random_network(8, trained_tasks=(10, 64), scenario="dag", scenario_fields={"name": "dag"})
    network = network._replace(metadata={"note": "mine"})
    save_graph_policy(tmp_path / "a.safetensors", network)
    read = load_graph_network(tmp_path / "a.safetensors")
    for (weight, bias), (other_weight, other_bias) in zip(network.layers, read.layers, strict=True):
        np.testing.assert_array_equal(weight, other_weight)
        np.testing.assert_array_equal(bias, other_bias)
    assert read._replace(layers=(), metadata={}) == network._replace(layers=(), metadata={})
    assert read.metadata["note"] == "mine"
    assert read.num_parameters == 8 * INPUTS + 8 + 8 + 1
    save_graph_policy(tmp_path / "b.safetensors", read)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()

    instances = offload_gym.sample_instances("dag", 20, seed=13)
    plain, flipped = (offload_gym.load_policy(tmp_path / "a.safetensors", refine) for refine in (None, "flip"))
    np.testing.assert_array_equal(plain.decide(instances), GraphPolicy(network).decide(instances))
    plain_s, flipped_s = (offload_gym.latency(instances, policy.decide(instances)) for policy in (plain, flipped))
    assert (flipped_s <= plain_s).all()
    assert (flipped_s < plain_s).any()
    assert flipped.name == "a+flip"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"refine": "roll-out"}, "refine is 'roll-out'; for a network of graphs it must be flip, swap or None"),
        ({"keep_best": 0}, "keep_best is 0; a network of graphs always keeps the best"),
        ({"keep_best": False}, "keep_best is False; a network of graphs always keeps the best"),
        ({"objective": "mean"}, "objective is 'mean'; for a network of graphs it must be 'makespan'"),
    ],
)
def test_load_policy_refuses_what_such_a_network_cannot(tmp_path, arguments, sentence):
    save_graph_policy(tmp_path / "a.safetensors", random_network(4))
    with pytest.raises(ValueError, match=sentence):
        offload_gym.load_policy(tmp_path / "a.safetensors", **arguments)


def test_roll_outs_are_for_networks_of_independent_tasks():
    with pytest.raises(
        ValueError, match=r"preset is 'dag'; with \+roll-out behind the network it must be one of default"
    ):
        offload_gym.make_policy("student+roll-out", preset="dag")


def test_readers_of_other_files_say_what_reads_it(tmp_path):
    save_graph_policy(tmp_path / "a.safetensors", random_network(4))
    for read in (load_network, offload_gym.load_stream_policy):
        with pytest.raises(ValueError, match=r"is a policy file of graphs; offload_gym\.load_policy reads it"):
            read(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_starts": 0}, "num_starts is 0; it must be a whole number, at least 1"),
        ({"num_passes": 1_001}, "num_passes is 1001; it must be at most 1000"),
        ({"view_version": 7}, "the network reads version 7 of the view of graphs; this package has version 1"),
        ({"objective": "mean"}, "objective is 'mean'; networks of graphs are for 'makespan' alone"),
        ({"layers": ()}, "the network has 0 layers"),
        ({"trained_tasks": (5, 1)}, r"trained_tasks is \(5, 1\); it must be the fewest, at least 1, and the most"),
    ],
)
def test_networks_that_cannot_run_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_graph_network(random_network(4)._replace(**changes))
    weight, bias = random_network(4).layers[0]
    with pytest.raises(ValueError, match="the network has 4 outputs; it must have 1"):
        check_graph_network(random_network(4)._replace(layers=((weight, bias),)))
    with pytest.raises(ValueError, match="not finite"):
        check_graph_network(random_network(4)._replace(layers=((weight * np.nan, bias), random_network(4).layers[1])))
    with pytest.raises(ValueError, match="network is a str; it must be a GraphNetwork"):
        GraphPolicy("a")


@pytest.mark.parametrize("preset", ["dag", "partitioning"])
def test_shipped_networks_are_good(preset):
    instances = offload_gym.sample_instances(preset, 300, seed=14)
    optimum_s = offload_gym.solve(instances).latency_s
    gaps = {}
    for name in ("teacher", "student", "small-student", "peft", "greedy"):
        policy = offload_gym.make_policy(name, preset=preset if name not in ("peft", "greedy") else "default")
        gaps[name] = (offload_gym.latency(instances, policy.decide(instances)) / optimum_s).mean() - 1.0
    assert gaps["teacher"] < 0.012
    assert gaps["student"] < 0.02
    assert gaps["small-student"] < 0.035
    assert max(gaps["teacher"], gaps["student"], gaps["small-student"]) < min(gaps["peft"], gaps["greedy"])
