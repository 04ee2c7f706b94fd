import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from copy import deepcopy
from pathlib import Path

import gymnasium as gym
import naive
import numpy as np
import pytest

import offload_gym
from offload_gym.networks.policy import NetworkPolicy
from offload_gym.networks.policy_file import load_network
from offload_gym.policies import SHIPPED, SHIPPED_PRESETS, FunctionPolicy
from offload_gym.solvers.beam import beam_search
from offload_gym.solvers.greedy import greedy
from offload_gym.solvers.local_search import MOVES, local_search

SCENARIOS = {
    "default": {"name": "default", "num_tasks": 6},
    "no edge": {"name": "default", "num_tasks": 4, "num_edges": 0},
    "two edges": {"name": "vision", "num_tasks": 3, "num_edges": 2},
}
OBJECTIVES = ("makespan", "mean")
GENERAL = tuple(name for name in offload_gym.POLICY_NAMES if name not in SHIPPED)  # for every scenario and objective


def sample(name="default", num_instances=40, seed=7):
    return offload_gym.sample_instances(SCENARIOS[name], num_instances, seed)


def test_the_promised_policies_exist():
    assert {"local", "edge", "cloud", "random", "greedy", "exact", "student"} <= set(offload_gym.POLICY_NAMES)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(
    ("name", "scenario"),
    [
        (name, scenario)
        for name in GENERAL
        for scenario in SCENARIOS
        if (name.partition("+")[0], scenario) != ("edge", "no edge")
    ],
)
def test_decisions_have_the_batchs_shape_and_lie_in_range(name, scenario, objective):
    instances = sample(scenario)
    before = [array.copy() for array in instances.arrays]
    decisions = offload_gym.make_policy(name, objective).decide(instances)
    assert decisions.shape == (40, instances.num_tasks)
    assert decisions.dtype == np.int64
    assert decisions.min() >= 0
    assert decisions.max() < instances.num_locations
    for array, copy in zip(instances.arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(
    ("name", "scenario", "location"),
    [
        ("local", "default", 0),
        ("edge", "default", 1),
        ("cloud", "default", 2),
        ("edge", "two edges", 1),
        ("cloud", "two edges", 3),
        ("cloud", "no edge", 1),
    ],
)
def test_a_fixed_policy_places_every_task_at_its_location(name, scenario, location):
    instances = sample(scenario)
    decisions = offload_gym.make_policy(name).decide(instances)
    np.testing.assert_array_equal(decisions, np.full((40, instances.num_tasks), location))


def test_random_takes_each_location_and_each_pair_of_locations_equally_often():
    instances = sample(num_instances=20_000)
    decisions = offload_gym.make_policy("random").decide(instances)
    # Each share's standard deviation is at most sqrt(2/9 / 20000) = 0.0033.
    for i in range(6):
        shares = np.bincount(decisions[:, i], minlength=3) / 20_000
        np.testing.assert_allclose(shares, 1 / 3, atol=0.0165)
        pairs = np.bincount(3 * decisions[:, i] + decisions[:, i - 1], minlength=9) / 20_000
        np.testing.assert_allclose(pairs, 1 / 9, atol=0.0115)


def test_random_repeats_for_a_seed_only():
    instances = sample()
    one, same, other = (offload_gym.make_policy("random", seed=seed) for seed in (1, 1, 2))
    first, second = one.decide(instances), one.decide(instances)
    np.testing.assert_array_equal(same.decide(instances), first)
    np.testing.assert_array_equal(same.decide(instances), second)
    assert not np.array_equal(first, second)
    assert not np.array_equal(other.decide(instances), first)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_named_solvers_decide_as_their_functions(objective, scenario):
    instances = sample(scenario)
    functions = {
        "greedy": greedy(instances),
        "greedy+flip": local_search(instances, greedy(instances), objective),
        "beam-4": beam_search(instances, 4, objective),
        "beam-16": beam_search(instances, 16, objective),
        "exact": offload_gym.solve(instances, objective).decisions,
    }
    latencies = {}
    for name, expected in functions.items():
        decisions = offload_gym.make_policy(name, objective).decide(instances)
        np.testing.assert_array_equal(decisions, expected, err_msg=name)
        latencies[name] = offload_gym.latency(instances, decisions, objective)
    assert (latencies["greedy+flip"] <= latencies["greedy"]).all()
    for name, latency_s in latencies.items():
        assert (latencies["exact"] <= latency_s * (1 + 1e-9)).all(), name


@pytest.mark.parametrize("name", ["greedy+flip", "beam-16", "exact"])
def test_the_objective_matters_to_the_policies_that_take_it(name):
    instances = sample(num_instances=200)
    latencies = {
        (for_, under): offload_gym.latency(
            instances, offload_gym.make_policy(name, for_).decide(instances), under
        ).mean()
        for for_ in OBJECTIVES
        for under in OBJECTIVES
    }
    assert latencies["makespan", "makespan"] < latencies["mean", "makespan"]
    assert latencies["mean", "mean"] < latencies["makespan", "mean"]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", ["local", "cloud", "greedy", "heft", "beam-4", "beam-7", "beam-16"])
@pytest.mark.parametrize("moves", MOVES)
def test_refined_policies_are_local_search_behind_another_policy(name, moves, objective):
    instances = sample()
    start = offload_gym.make_policy(name, objective).decide(instances)
    refined = offload_gym.make_policy(f"{name}+{moves}", objective).decide(instances)
    np.testing.assert_array_equal(refined, local_search(instances, start, objective, moves=moves))
    assert (refined != start).any()


@pytest.mark.parametrize("preset", SHIPPED_PRESETS)
def test_the_shipped_networks_are_small_and_good(preset):
    instances = offload_gym.sample_instances(preset, 1000, seed=123)
    optimum_s = offload_gym.solve(instances).latency_s

    def gap(decisions):
        return (offload_gym.latency(instances, decisions) / optimum_s - 1).mean()

    names = [name for name in SHIPPED if "+" not in name]
    policies = {name: offload_gym.make_policy(name, preset=preset) for name in names}
    gaps = {name: gap(policy.decide(instances)) for name, policy in policies.items()}
    assert policies["small-student"].num_parameters <= 1300 < policies["student"].num_parameters <= 3500
    assert gaps["teacher"] < gaps["student"] < gaps["small-student"] < min(0.035, gap(greedy(instances)) / 3)
    student = policies["student"]
    np.testing.assert_array_equal(student.decide(instances[7:8]), student.decide(instances)[7:8])


@pytest.mark.parametrize("preset", SHIPPED_PRESETS)
def test_more_work_behind_a_shipped_network_makes_it_better(preset):
    instances = offload_gym.sample_instances(preset, 1000, seed=5)
    latencies_s = {
        name: offload_gym.latency(instances, offload_gym.make_policy(name, preset=preset).decide(instances)).mean()
        for name in SHIPPED
    }
    for network in ("teacher", "student", "small-student"):
        behind = [
            latencies_s[network + more] for more in ("", "+roll-out", "+flip", "+swap") if network + more in SHIPPED
        ]
        assert behind == sorted(behind, reverse=True)
        assert len(set(behind)) == len(behind)


def test_the_shipped_networks_are_for_their_scenario_and_makespan_only():
    student = offload_gym.make_policy("student")
    with pytest.raises(ValueError, match=r"locations with \(1, 2, 8\) cores"):
        student.decide(sample("two edges"))
    with pytest.raises(ValueError, match="objective is 'mean'"):
        offload_gym.make_policy("student", "mean")
    with pytest.raises(ValueError, match=r"policy is 'teacher\+roll-out'; behind 'teacher' may stand \+flip, \+swap"):
        offload_gym.make_policy("teacher+roll-out")
    with pytest.raises(
        ValueError, match="preset is 'chain'; networks are shipped for default, vision, multi_edge, dag, p"
    ):
        offload_gym.make_policy("teacher", preset="chain")


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_network_can_be_refined(tmp_path, objective):
    instances = sample()
    path = Path(offload_gym.__file__).parent / "weights" / "default-student.safetensors"
    network = load_network(path)
    starts = [NetworkPolicy(network, *use).decide(instances) for use in (("roll-out", True), (None, False))]
    for moves in MOVES:
        refined = offload_gym.load_policy(path, moves, objective=objective).decide(instances)
        reached_s = [
            offload_gym.latency(instances, local_search(instances, start, objective, moves=moves), objective)
            for start in starts
        ]
        np.testing.assert_allclose(
            offload_gym.latency(instances, refined, objective), np.minimum(*reached_s), rtol=1e-12
        )


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", [name for name in GENERAL if not name.startswith("random")])
def test_a_batch_is_decided_as_its_instances_one_at_a_time(name, objective):
    instances = sample()
    policy = offload_gym.make_policy(name, objective)
    together = policy.decide(instances)
    alone = [policy.decide(instances[b : b + 1])[0] for b in range(len(instances))]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(policy.decide(instances[::-1]), together[::-1])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_exact_earns_at_least_as_much_as_any_policy_in_the_environment(objective):
    returns = {}
    for name in GENERAL:
        env = gym.make("offload_gym/Joint-v0", scenario=SCENARIOS["default"], objective=objective)
        env.reset(seed=0)
        policy = offload_gym.make_policy(name, objective)
        rewards = [env.step(policy.decide(env.unwrapped.instances)[0])[1] for _ in range(10)]
        returns[name] = np.array(rewards)
    for name, rewards in returns.items():
        assert (returns["exact"] >= rewards * (1 + 1e-9)).all(), name
    assert returns["exact"].sum() > returns["greedy"].sum() > returns["random"].sum()


@pytest.mark.parametrize("name", ["oracle", "", "Greedy"])
def test_an_unknown_policy_is_refused(name):
    with pytest.raises(ValueError, match=f"policy is '{name}'; .*greedy.*exact"):
        offload_gym.make_policy(name)


@pytest.mark.parametrize("name", offload_gym.POLICY_NAMES)
def test_an_unknown_objective_is_refused_by_every_policy(name):
    with pytest.raises(ValueError, match=r"'median'.*makespan, mean"):
        offload_gym.make_policy(name, "median")


def test_edge_needs_an_edge_server():
    with pytest.raises(ValueError, match="'edge' needs an edge server"):
        offload_gym.make_policy("edge").decide(sample("no edge"))


def packed(header, body=b""):
    """A safetensors file of a header and its data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def tensor(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"head.0.bias": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def assert_refused(path, data):
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is not a complete safetensors file of float32 arrays") as error:
        offload_gym.load_policy(path)
    assert str(path) in str(error.value)


DAMAGED = {
    "text": b"This is not a policy, but a text of some length.\n" * 9,
    "header is no JSON": packed(b"not json"),
    "header is nested deeply": packed(b"[" * 100_000),
    "header is no text": packed(b"\xff\xfe\x00"),
    "header is a list": packed([1, 2]),
    "header length absurd": struct.pack("<Q", 2**63) + b"{}",
    "header too long": struct.pack("<Q", 2_000_000) + b" " * 2_000_000,
    "metadata null": packed({"__metadata__": None}),
    "entry is a number": packed({"head.0.bias": 3}),
}
for dtype in ("F64", "F16", "I32", 7):
    DAMAGED[f"dtype {dtype}"] = packed(tensor(dtype=dtype), bytes(4))
for offsets in ((0, 8), (4, 8), (-4, 0), (4, 0), (0.0, 4.0), (0,)):
    DAMAGED[f"offsets {offsets}"] = packed(tensor(offsets=offsets), bytes(4))
for shape in ((2,), (-1, -1), ("a",), 1, (float("inf"),), (2**64, 2)):
    DAMAGED[f"shape {shape}"] = packed(tensor(shape=shape), bytes(4))


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_file_that_is_no_safetensors_file_of_float32_is_refused(data, tmp_path):
    assert_refused(tmp_path / "bad.policy", data)


def test_a_missing_file_a_folder_and_a_pickle_are_refused_and_nothing_is_run(tmp_path):
    for path in (tmp_path / "missing.policy", tmp_path):
        with pytest.raises(ValueError, match=f"{path}.* cannot be read"):
            offload_gym.load_policy(path)
    assert_refused(tmp_path / "a.policy", pickle.dumps(Payload(str(tmp_path / "run"))))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_roll_out_goes_where_greedy_leads_to_the_least(scenario, objective):
    instances = sample(scenario, 20)
    decisions = offload_gym.make_policy("roll-out", objective).decide(instances)
    n, K = instances.num_tasks, instances.num_locations
    for b in range(20):
        problem = naive.from_instances(instances, b)
        placed, tried = (), []
        for _ in range(n):
            choices = [naive.roll_out(problem, (*placed, k)) for k in range(K)]
            values = [naive.latency(problem, choice, objective) for choice in choices]
            tried += values
            placed = (*placed, int(np.argmin(values)))
        reached = naive.latency(problem, decisions[b].tolist(), objective)
        assert reached == pytest.approx(min(tried), rel=1e-12)


def test_roll_out_is_for_independent_tasks_of_equal_cores():
    with pytest.raises(ValueError, match="dependencies"):
        offload_gym.make_policy("roll-out").decide(offload_gym.sample_instances("dag", 2))
    with pytest.raises(ValueError, match="objective is 'cost'"):
        offload_gym.make_policy("roll-out", "cost")
    one, other = (offload_gym.sample_instances({"name": "default", "cloud_cores": c}, 1) for c in (4, 8))
    with pytest.raises(ValueError, match="same cores"):
        offload_gym.make_policy("roll-out").decide(offload_gym.Instances.concatenate([one, other]))


def test_every_policy_is_described():
    described = offload_gym.make_policy.__doc__
    for name in {name.partition("+")[0] for name in offload_gym.POLICY_NAMES} - {"beam-16"}:
        assert f'"{name}"' in described, name


def test_the_name_of_a_policy_is_a_base_and_what_stands_behind_it():
    for name, message in (
        ("greedy+", r"policy is 'greedy\+'; behind 'greedy' may stand \+flip, \+swap"),
        ("greedy+flop", r"policy is 'greedy\+flop'; behind 'greedy' may stand \+flip, \+swap"),
        ("exact+flip", r"policy is 'exact\+flip'; it is optimal already"),
        ("greedily", "policy is 'greedily'; the built-in policies are local, "),
        ("beam-0", "policy is 'beam-0'; the built-in policies are .*, and beams of other widths, such as beam-8"),
        ("beam-²", "policy is 'beam-²'; the built-in policies are "),
        ("beam-x+flip", r"policy is 'beam-x\+flip'; the built-in policies are "),
        ("beam", "policy is 'beam'; the built-in policies are "),
        (3, "policy is 3; it must be a name, such as 'greedy'"),
    ):
        with pytest.raises(ValueError, match=message):
            offload_gym.make_policy(name)


@pytest.mark.filterwarnings("ignore:the policy .*was trained on")
@pytest.mark.parametrize("copied", [lambda policy: pickle.loads(pickle.dumps(policy)), deepcopy])
@pytest.mark.parametrize("name", [*offload_gym.POLICY_NAMES, "beam-2+swap"])
def test_every_built_in_policy_can_be_sent_to_another_process(name, copied):
    instances = sample(num_instances=5)
    policy = offload_gym.make_policy(name, seed=3)
    policy.decide(instances)  # the random policy's numbers go on where they are
    other = copied(policy)
    np.testing.assert_array_equal(other.decide(instances), policy.decide(instances))
    assert getattr(other, "name", None) == getattr(policy, "name", None)


def test_a_policy_of_ones_own_function_can_be_sent_where_the_function_can():
    policy = pickle.loads(pickle.dumps(FunctionPolicy(greedy)))
    np.testing.assert_array_equal(policy.decide(sample()), greedy(sample()))


def test_a_warning_says_which_policy_it_is_about(tmp_path):
    weights = Path(offload_gym.__file__).parent / "weights" / "default-small-student.safetensors"
    (tmp_path / "mine.v2.safetensors").write_bytes(weights.read_bytes())
    for policy, name in (
        (offload_gym.make_policy("small-student"), "the policy small-student"),
        (offload_gym.make_policy("small-student+swap"), r"the policy small-student\+swap"),
        (offload_gym.load_policy(tmp_path / "mine.v2.safetensors"), r"the policy mine\.v2"),
        (offload_gym.load_policy(str(weights), "flip"), r"the policy default-small-student\+flip"),
        (NetworkPolicy(load_network(weights)), "the policy"),
    ):
        with pytest.warns(UserWarning, match=f"^{name} was trained on instances of 8 tasks; with 6 it may decide wors"):
            policy.decide(sample())


def test_the_shipped_networks_are_read_from_a_zip_archive(tmp_path):
    root = Path(offload_gym.__file__).parents[1]
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        for path in (root / "offload_gym").rglob("*"):
            if path.suffix in (".py", ".safetensors"):
                archive.write(path, path.relative_to(root))
    program = (
        "import offload_gym\n"
        "assert 'packed.zip' in offload_gym.__file__\n"
        "policy = offload_gym.make_policy('student+roll-out')\n"
        "print(policy.name, policy.num_parameters)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "packed.zip"), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    assert done.stdout == f"student+roll-out {offload_gym.make_policy('student').num_parameters}\n"
