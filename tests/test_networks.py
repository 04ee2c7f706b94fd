import json
import math
import struct
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, product

import naive
import numpy as np
import pytest
import torch
from numba import njit
from safetensors import safe_open
from safetensors.numpy import save, save_file

import offload_gym
from agents.networks import TaskNetwork, save_policy, to_runtime
from offload_gym.checks import quoted
from offload_gym.networks.independent_kernel import NOT_TRIED, make_plan, run_layers, unpack_plan
from offload_gym.networks.policy import CHUNK, NetworkPolicy
from offload_gym.networks.policy_file import Network, load_network, metadata_of, network_bytes
from offload_gym.networks.trained_range import Bounds, TrainedRange
from offload_gym.observation import epoch_observations, row_size, state_size
from offload_gym.scenario import described
from offload_gym.tensor_files import read_safetensors

CORES = (1, 2, 8)  # of the default scenario
TWO_EDGES = {"name": "default", "num_edges": 2}  # cores 1, 2, 2, 8
both_forms = pytest.mark.parametrize("form", ["sequential", "joint"])


def sample(num_tasks=5, num_instances=200, **changes):
    return offload_gym.sample_instances({"name": "default", "num_tasks": num_tasks, **changes}, num_instances, seed=3)


def busier(instances):
    """The instances with a radio that is busy, and cores that are free each at a time of its own."""
    core_s = np.random.default_rng(0).exponential(0.3, (200, 3, 8))
    return instances.replace(backlog_s=core_s, radio_backlog_s=np.random.default_rng(1).exponential(0.3, 200))


def random_layers(rng, *sizes):
    """(weight, bias) pairs of random numbers, such that activations neither vanish nor explode."""
    return tuple(
        (rng.normal(0, 1.5 / np.sqrt(i), (o, i)).astype(np.float32), rng.normal(0, 0.3, o).astype(np.float32))
        for i, o in pairwise(sizes)
    )


def random_network(
    form="sequential", activation="relu", encoded=True, cores=CORES, num_tasks=5, roll_outs=True, **further
):
    rng = np.random.default_rng(1)
    row, state, K = row_size(len(cores)), state_size(sum(cores), len(cores), roll_outs=roll_outs), len(cores)
    if encoded:
        encoder = random_layers(rng, row - 1, 40, 6, 6)
        head = random_layers(rng, 6 * (2 if form == "joint" else 1) + row - 1 + state, 12, 7, K)
        return Network(form, activation, cores, 0, encoder, head, **{"metadata": {}, "roll_outs": roll_outs} | further)
    head = random_layers(rng, num_tasks * row + state, 12, 30, K * (num_tasks if form == "joint" else 1))
    return Network(form, activation, cores, num_tasks, (), head, **{"metadata": {}} | further)


def forward(layers, x, activation, last_linear=False):
    for layer, (weight, bias) in enumerate(layers):
        x = x @ weight.T.astype(np.float64) + bias
        if not (last_linear and layer == len(layers) - 1):
            x = np.tanh(x) if activation == "tanh" else np.maximum(x, 0)
    return x


def reference_scores(network, rows, states, i):
    """(B, K) scores of task i, as the module's description has them, in double precision."""
    state = states[:, 0 if network.form == "joint" else i]
    if not network.roll_outs:
        state = state[:, : -2 * len(network.cores)]
    if network.encoder:
        codes = forward(network.encoder, rows[..., 1:].astype(np.float64), network.activation)
        parts = [codes[:, :i].sum(axis=1)] if network.form == "joint" else []
        parts += [codes[:, i + 1 :].sum(axis=1), rows[:, i, 1:], state]
        return forward(network.head, np.concatenate(parts, axis=1), network.activation, last_linear=True)
    seen = rows if network.form == "joint" else np.concatenate([rows[:, i:], 0 * rows[:, :i]], axis=1)
    observation = np.concatenate([seen.reshape(len(rows), -1), state], axis=1)
    scores = forward(network.head, observation, network.activation, last_linear=True)
    return scores.reshape(len(rows), -1, len(network.cores))[:, i if network.form == "joint" else 0]


def balanced(network, instances):
    """The network with its last bias moved such that the locations have the same mean score, so that each is chosen."""
    rows, states = epoch_observations(instances, np.zeros(instances.input_bits.shape, dtype=np.int64))
    means = np.array([reference_scores(network, rows, states, i).mean(axis=0) for i in range(instances.num_tasks)])
    weight, bias = network.head[-1]
    bias = bias - (means.ravel() if bias.size == means.size else means.mean(axis=0))
    return network._replace(head=(*network.head[:-1], (weight, bias.astype(np.float32))))


def assert_chosen(decisions, scores):
    """Each decision has the highest score, where no other is as high but for rounding."""
    second, first = np.sort(scores, axis=-1)[..., -2:].T
    clear = (first - second).T > 1e-4
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(decisions[clear], scores.argmax(axis=-1)[clear])


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"roll_outs": False},
        {"activation": "tanh"},
        {"encoded": False},
        {"encoded": False, "activation": "tanh"},
    ],
    ids=str,
)
@both_forms
def test_decisions_are_those_of_a_plain_forward_pass(form, kind):
    for scenario in ({}, TWO_EDGES):
        instances = sample(**scenario)
        network = balanced(random_network(form, cores=tuple(instances.cores[0]), **kind), instances)
        decisions = NetworkPolicy(network, keep_best=False).decide(instances)
        # Step by step: a sequential network sees where the tasks before were placed, which the policy chose itself.
        prefixes, scores = np.zeros_like(decisions), []
        for i in range(instances.num_tasks):
            rows, states = epoch_observations(instances, prefixes)
            scores.append(reference_scores(network, rows, states, i))
            prefixes[:, i] = decisions[:, i]
        assert_chosen(decisions, np.stack(scores, axis=1))
        assert np.bincount(decisions.ravel()).max() < 0.95 * decisions.size


@both_forms
def test_radio_and_core_backlogs_reach_the_network(form):
    instances = sample()
    network = balanced(random_network(form), instances)
    busy = busier(instances)
    policy = NetworkPolicy(network, keep_best=False)
    decisions = policy.decide(busy)
    rows, states = epoch_observations(busy, decisions)
    assert_chosen(decisions, np.stack([reference_scores(network, rows, states, i) for i in range(5)], axis=1))
    assert (decisions != policy.decide(instances)).any()


@pytest.mark.parametrize("roll_outs", [True, False])
@both_forms
def test_decisions_are_those_of_the_torch_network(form, roll_outs):
    torch.manual_seed(0)
    network = TaskNetwork(form, CORES, encoder=[24, 16], head=[20], roll_outs=roll_outs)
    instances = sample()
    observed = [torch.from_numpy(array) for array in epoch_observations(instances, np.zeros((200, 5), dtype=np.int64))]
    with torch.no_grad():
        network.head[-1].bias -= network(*observed).mean(dim=(0, 1))  # so that each location is chosen
        decisions = NetworkPolicy(to_runtime(network), keep_best=False).decide(instances)
        scores = network(*map(torch.from_numpy, epoch_observations(instances, decisions))).numpy()
    assert_chosen(decisions, scores)
    assert np.bincount(decisions.ravel()).max() < 0.95 * decisions.size


@pytest.mark.parametrize("encoded", [True, False])
@both_forms
def test_a_policy_survives_its_file(form, encoded, tmp_path):
    kind = {"activation": "relu", "roll_outs": False} if encoded else {"activation": "tanh"}
    network = random_network(form, encoded=encoded, **kind, metadata={"teacher": "none", "note": "å"})
    save_policy(tmp_path / "a.policy", network)
    policy = offload_gym.load_policy(tmp_path / "a.policy")
    np.testing.assert_equal(policy.network.encoder, network.encoder)
    np.testing.assert_equal(policy.network.head, network.head)
    assert policy.network[:4] == network[:4]
    assert (policy.network.dependent, policy.network.roll_outs) == (network.dependent, network.roll_outs)
    assert {"teacher": "none", "note": "å"}.items() <= policy.network.metadata.items()
    sizes = [part.size for layer in network.encoder + network.head for part in layer]
    assert policy.num_parameters == sum(sizes)
    np.testing.assert_array_equal(policy.decide(sample()), NetworkPolicy(network).decide(sample()))


TRAINING = {
    "objective": "mean",
    "observation_noise": "last",
    "trained_tasks": (2, 9),
    "trained_range": TrainedRange(Bounds(0.01895, 3.73), Bounds(7.5, 50.0), Bounds(0.001, 0.09), Bounds(0.0, math.inf)),
    "scenario": "default, trace.csv",
    "scenario_fields": described(offload_gym.make_scenario("vision", num_tasks=2, max_tasks=9)),
    "learning_curve": ((0.5, 0.4), (3.0, 0.05)),
}
OLD = ("roll_outs", "dependent", "objective", "observation_noise", "trained_num_tasks", "trained_fewest_tasks")
OLD += (*(f"trained_range_{name}" for name in TrainedRange._fields), "scenario", "scenario_fields", "learning_curve")


def rewritten(path, **changes):
    """The policy file with these metadata, without those that are None."""
    tensors, metadata = read_safetensors(path)
    path.write_bytes(save(tensors, {name: text for name, text in (metadata | changes).items() if text is not None}))


def test_what_a_file_says_of_the_training_is_read_once_into_fields(tmp_path):
    network = random_network(**TRAINING)
    save_policy(tmp_path / "a.policy", network)
    loaded = load_network(tmp_path / "a.policy")
    assert {name: getattr(loaded, name) for name in TRAINING} == TRAINING
    assert loaded.metadata == {"format": "offload_gym.policy/1"}
    assert metadata_of(loaded) == metadata_of(network)
    save_policy(tmp_path / "b.policy", random_network(observation_noise=0.3))
    assert load_network(tmp_path / "b.policy").observation_noise == 0.3


def test_a_file_of_an_older_version_is_read_and_what_it_lacks_is_not_known(tmp_path):
    path = tmp_path / "a.policy"
    save_policy(path, random_network(**TRAINING))
    rewritten(path, trained_fewest_tasks=None)
    assert load_network(path).trained_tasks == (9, 9)
    rewritten(path, trained_range_speed=None)
    assert load_network(path).trained_range == TRAINING["trained_range"]._replace(speed=Bounds())
    rewritten(path, **dict.fromkeys(OLD))
    old, unknown = load_network(path), random_network()
    assert {name: getattr(old, name) for name in TRAINING} == {name: getattr(unknown, name) for name in TRAINING}
    assert (old.objective, old.observation_noise, old.trained_tasks, old.scenario_fields) == ("makespan", 0, None, None)
    np.testing.assert_array_equal(NetworkPolicy(old).decide(sample()), NetworkPolicy(unknown).decide(sample()))


MALFORMED = [
    ("form", "other"), ("activation", "gelu"), ("cores", "1,x"), ("cores", "1,-2,8"), ("num_tasks", "many"),
    ("dependent", "7"), ("roll_outs", ""), ("objective", "speed"), ("observation_noise", "high"),
    ("observation_noise", "nan"), ("observation_noise", "-1"), ("trained_num_tasks", "8.0"),
    ("trained_fewest_tasks", "-3"), ("trained_range_send", "from here to there"), ("trained_range_speed", "3"),
    ("trained_range_propagation", "2 1"), ("trained_range_backlog", "0 nan"), ("scenario_fields", "default"),
    ("scenario_fields", "[1]"), ("scenario_fields", "[" * 100_000), ("learning_curve", "1 2;3"),
    ("learning_curve", "1 nan"), ("learning_curve", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text"), MALFORMED, ids=[f"{name} {text[:20]}" for name, text in MALFORMED])
def test_a_malformed_field_is_named_with_its_value(name, text, tmp_path):
    path = tmp_path / "a.policy"
    save_policy(path, random_network(**TRAINING))
    rewritten(path, **{name: text})
    with pytest.raises(ValueError, match="must be") as error:
        load_network(path)
    start = f"{path} has the {name} {quoted(text)}; it must be "
    assert str(error.value).startswith(start)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < len(start) + 60


@pytest.mark.parametrize("most", ["3", None])
def test_the_fewest_tasks_are_no_more_than_the_most(most, tmp_path):
    save_policy(tmp_path / "a.policy", random_network())
    rewritten(tmp_path / "a.policy", trained_fewest_tasks="4", trained_num_tasks=most)
    with pytest.raises(ValueError, match=f"a.policy has the trained_fewest_tasks 4; .* trained_num_tasks, {most}$"):
        load_network(tmp_path / "a.policy")


def test_a_file_that_does_not_speak_of_roll_outs_is_of_a_network_that_reads_them(tmp_path):
    path = tmp_path / "a.policy"
    save_policy(path, random_network())
    rewritten(path, roll_outs=None)
    assert load_network(path).roll_outs


@both_forms
def test_a_batch_of_any_number_of_tasks_is_decided_as_its_instances_alone(form):
    policy = NetworkPolicy(random_network(form))
    for num_tasks in (1, 2, 9):
        instances = sample(num_tasks, num_instances=20)
        alone = [policy.decide(instances[b : b + 1])[0] for b in range(20)]
        np.testing.assert_array_equal(policy.decide(instances), alone)


@both_forms
def test_instances_of_another_shape_are_refused(form):
    for network in (random_network(form), random_network(form, encoded=False)):
        policy = NetworkPolicy(network)
        mixed = offload_gym.Instances.concatenate([sample(), sample(cloud_cores=4)])
        wrong = [sample(cloud_cores=4), sample(cloud_cores=9), sample(num_edges=0), sample(num_edges=2)]
        for instances in [*wrong, mixed]:
            with pytest.raises(ValueError, match=r"this policy is for locations with \(1, 2, 8\) cores"):
                policy.decide(instances)
    for num_tasks in (4, 6):
        with pytest.raises(ValueError, match=f"this policy is for .* cores and 5 tasks; .* {num_tasks} tasks"):
            policy.decide(sample(num_tasks))


def test_a_policy_is_loaded_without_torch(tmp_path):
    save_policy(tmp_path / "a.policy", random_network())
    code = (
        "import sys, offload_gym\n"
        f"policy = offload_gym.load_policy({str(tmp_path / 'a.policy')!r})\n"
        "instances = offload_gym.sample_instances({'num_tasks': 5}, 200, seed=3)\n"
        "assert not {'torch', 'safetensors', 'stable_baselines3', 'matplotlib'} & set(sys.modules), 'imported'\n"
        "print(policy.decide(instances).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == NetworkPolicy(random_network()).decide(sample()).tolist()


def assert_refused(path, data):
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"\S+ \S+") as error:
        offload_gym.load_policy(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_truncated_file_is_refused(tmp_path):
    save_policy(tmp_path / "a.policy", random_network())
    data = (tmp_path / "a.policy").read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    for length in (0, 1, 7, 8, 9, 100, start - 1, start, start + 1, (start + len(data)) // 2, len(data) - 1):
        assert_refused(tmp_path / "cut.policy", data[:length])
    assert_refused(tmp_path / "cut.policy", data + b"more")


METADATA = ("format", "form", "activation", "cores", "num_tasks")
WRONG = [{"format": "offload_gym.policy/0"}, {"form": "other"}, {"activation": "gelu"}, {"num_tasks": "many"}]
WRONG += [{"cores": cores} for cores in ("", "1,2", "1,x", "1,2,8,8", "2,2,8")]
WRONG += [{name: None} for name in METADATA] + [dict.fromkeys(METADATA)]
NAMES = [f"{part}.{i}.{kind}" for part in ("encoder", "head") for i in range(3) for kind in ("weight", "bias")]
WRONG += [{name: None} for name in NAMES] + [
    {f"head.{i}.{kind}": None for i in range(3) for kind in ("weight", "bias")}
]
WRONG += [{name: np.zeros(shape, np.float32)} for name in NAMES for shape in ((), (1,), (3, 2), (2, 2, 2))]
WRONG += [{"head.0.weight": np.zeros((12, 38))}, {"head.0.bias": np.zeros(12, np.float16)}]


@pytest.mark.parametrize(
    "changes", WRONG, ids=lambda changes: ",".join(f"{k}={np.shape(v) or v}" for k, v in changes.items())
)
def test_a_policy_file_with_a_part_missing_or_wrong_is_refused(changes, tmp_path):
    # GIVEN a file that loads
    path = tmp_path / "a.policy"
    save_policy(path, random_network())
    offload_gym.load_policy(path)
    # WHEN something in it is changed, or left out where None stands
    with safe_open(path, "np") as file:
        everything = {name: file.get_tensor(name) for name in file.keys()} | file.metadata() | changes  # noqa: SIM118
    kept = {name: value for name, value in everything.items() if value is not None}
    metadata = {name: value for name, value in kept.items() if isinstance(value, str)}
    save_file({name: value for name, value in kept.items() if name not in metadata}, path, metadata)
    # THEN it is refused
    assert_refused(path, path.read_bytes())


@both_forms
def test_a_network_without_an_encoder_must_say_its_number_of_tasks(form, tmp_path):
    # Without rows, its head would take the state alone.
    save_policy(tmp_path / "a.policy", random_network(form, encoded=False, num_tasks=0))
    assert_refused(tmp_path / "a.policy", (tmp_path / "a.policy").read_bytes())


@both_forms
@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize("objective", ["makespan", "mean"])
def test_the_best_schedule_on_the_way_is_kept(form, encoded, objective):
    instances = sample(6, num_edges=2)
    kind = {"encoded": encoded, "cores": tuple(instances.cores[0]), "num_tasks": 6, "objective": objective}
    network = balanced(random_network(form, **kind), instances)
    kept, own = NetworkPolicy(network).decide(instances), NetworkPolicy(network, keep_best=False).decide(instances)
    best_s = with_roll_outs_s(network, instances, own, objective)
    reached_s = offload_gym.latency(instances, kept, objective)
    np.testing.assert_allclose(reached_s, best_s, rtol=1e-12)
    assert (reached_s < offload_gym.latency(instances, own, objective)).mean() > 0.5
    greedy_s = offload_gym.latency(instances, offload_gym.make_policy("greedy").decide(instances), objective)
    assert (reached_s <= greedy_s * (1 + 1e-12)).all()


def with_roll_outs_s(network, instances, own, objective):
    """Latency of the best of a network's own decisions and each choice on the way there, completed greedily."""
    n, K = own.shape[1], instances.num_locations
    best_s = offload_gym.latency(instances, own, objective)
    for b in range(len(instances)):
        problem = naive.from_instances(instances, b)
        for i, k in product(range(n if network.form == "sequential" else 1), range(K)):
            tried = naive.roll_out(problem, (*own[b, :i].tolist(), k))
            best_s[b] = min(best_s[b], naive.latency(problem, tried, objective))
    return best_s


@both_forms
@pytest.mark.parametrize("objective", ["makespan", "mean"])
def test_what_a_network_without_roll_outs_keeps(form, objective):
    instances = sample(6, num_edges=2)
    cores = tuple(instances.cores[0])
    network = balanced(random_network(form, cores=cores, roll_outs=False, objective=objective), instances)
    own = NetworkPolicy(network, keep_best=False).decide(instances)
    greedy = offload_gym.make_policy("greedy").decide(instances)
    own_s, greedy_s, kept_s, tried_s = (
        offload_gym.latency(instances, decisions, objective)
        for decisions in (
            own, greedy, NetworkPolicy(network).decide(instances), NetworkPolicy(network, "roll-out").decide(instances)
        )
    )  # fmt: skip
    np.testing.assert_allclose(kept_s, np.minimum(own_s, greedy_s), rtol=1e-12)
    assert (own_s < greedy_s).any()
    assert (own_s > greedy_s).any()
    np.testing.assert_allclose(tried_s, with_roll_outs_s(network, instances, own, objective), rtol=1e-12)


def test_roll_outs_are_tried_where_they_are_not_read_and_may_be_kept():
    for network, keep_best in (
        (random_network(), None),
        (random_network(roll_outs=False), False),
        (random_network(encoded=False), None),
    ):
        with pytest.raises(ValueError, match="refine is 'roll-out'; it is for networks that do not read roll-outs"):
            NetworkPolicy(network, "roll-out", keep_best)
    for kind in ({"activation": "tanh"}, {"objective": "cost"}):
        with pytest.raises(ValueError, match="roll_outs is False; it must be True for all but relu networks"):
            NetworkPolicy(random_network(roll_outs=False, **kind))


def test_a_network_that_tries_no_schedules_keeps_none():
    network = random_network(activation="tanh")
    assert not NetworkPolicy(network).keep_best
    with pytest.raises(ValueError, match="keep_best is True"):
        NetworkPolicy(network, keep_best=True)
    assert not NetworkPolicy(random_network(observation_noise=0.3)).keep_best


@pytest.mark.parametrize("refine", [(None, None), ("flip", "makespan"), ("swap", "mean")])
@pytest.mark.parametrize("encoded", [True, False])
@both_forms
def test_the_fast_runtime_decides_as_the_general_one(form, encoded, refine):
    for scenario in ({}, TWO_EDGES, {"num_edges": 0}, {"num_tasks": 2, "max_tasks": 7}):
        instances = sample(**scenario)
        kind = {"encoded": encoded, "cores": tuple(instances.cores[0]), "num_tasks": instances.num_tasks}
        network = balanced(random_network(form, **kind), instances)
        moves, objective = refine
        fast, general = (NetworkPolicy(network, moves, False, objective) for _ in range(2))
        general._plan = None
        np.testing.assert_array_equal(fast.decide(instances), general.decide(instances))


def test_instances_unlike_those_of_the_training_are_told_once():
    policy = NetworkPolicy(random_network(trained_tasks=(5, 7)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policy.decide(sample(5)), policy.decide(sample(7))
    with pytest.warns(UserWarning, match="trained on instances of 5 to 7 tasks; with 9 it may decide worse"):
        policy.decide(sample(9))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policy.decide(sample(2))


@pytest.mark.parametrize("sizes", [(1, 1), (3, 4), (5, 3), (8, 9), (17, 30, 2)])
def test_layers_of_any_size(sizes):
    rng = np.random.default_rng(0)
    layers = random_layers(rng, *sizes)
    plan, weights = make_plan((1, 1), False, layers, (), False, 0, NOT_TRIED)
    inputs = rng.normal(size=sizes[0]).astype(np.float32)
    source, scratch = 8, 32
    values = np.full(scratch + 2 * 32, 7.0, dtype=np.float32)  # what stands elsewhere must not count
    values[source : source + sizes[0]], values[source + sizes[0] : source + 20] = inputs, 0
    at = run_encoder(plan, weights, values, len(layers), source, scratch)
    expected = forward(layers, inputs, "relu", last_linear=True)
    np.testing.assert_allclose(values[at : at + sizes[-1]], expected, rtol=1e-5)


@njit
def run_encoder(plan, weights, values, count, source, scratch):
    return run_layers(unpack_plan(plan, weights), 0, count, False, values, source, scratch)


@pytest.mark.parametrize("encoded", [True, False])
@both_forms
def test_threads_share_a_policy_and_batches(form, encoded):
    policy = NetworkPolicy(random_network(form, encoded=encoded))
    instances = sample(5, 3 * CHUNK + 7)
    alone = np.concatenate([policy.decide(instances[b : b + 200]) for b in range(0, len(instances), 200)])
    np.testing.assert_array_equal(policy.decide(instances), alone)
    with ThreadPoolExecutor(4) as pool:
        for decisions in pool.map(policy.decide, [instances] * 8):
            np.testing.assert_array_equal(decisions, alone)
    assert policy.decide(instances[:0]).shape == (0, 5)


def test_backlogs_of_each_core_and_single_tasks_in_the_fast_runtime():
    instances = sample(1)
    for one in (instances, busier(instances)):
        fast, general = (NetworkPolicy(random_network(), "flip", False, "mean") for _ in range(2))
        general._plan = None
        np.testing.assert_array_equal(fast.decide(one), general.decide(one))


def test_a_network_with_an_encoder_may_still_be_for_one_number_of_tasks():
    policy = NetworkPolicy(random_network()._replace(num_tasks=4))
    with pytest.raises(ValueError, match=r"cores and 4 tasks; .* and 5 tasks"):
        policy.decide(sample(5))


def test_what_is_no_network_and_no_choice_is_named():
    with pytest.raises(ValueError, match="network is a str; it must be a Network, which load_network reads"):
        NetworkPolicy("a.safetensors")
    with pytest.raises(ValueError, match="keep_best is 'yes'; it must be True, False or None"):
        NetworkPolicy(random_network(), keep_best="yes")
    with pytest.raises(ValueError, match="refine is 'rollout'; it must be None or one of roll-out, flip, swap"):
        NetworkPolicy(random_network(), "rollout")


def test_a_policy_for_the_cost_keeps_nothing():
    assert not NetworkPolicy(random_network(objective="cost")).keep_best


def test_equal_networks_give_the_same_bytes(tmp_path):
    network = random_network(**TRAINING, metadata={"b": "ü", "a": "1", "z": ""})
    path = tmp_path / "a.policy"
    data = network_bytes(network)
    path.write_bytes(data)
    # Whatever order its metadata were made in, and as read back; each process would shuffle a set of its own.
    assert network_bytes(network._replace(metadata=dict(reversed(network.metadata.items())))) == data
    assert network_bytes(load_network(path)._replace(metadata=network.metadata)) == data
    (header_size,) = struct.unpack("<Q", data[:8])
    assert header_size % 8 == 0  # the arrays are aligned
    with safe_open(path, "np") as file:  # the format's own library
        assert file.metadata() == metadata_of(network)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for part, layers in (("encoder", network.encoder), ("head", network.head)):
        for i, (weight, bias) in enumerate(layers):
            np.testing.assert_array_equal(tensors.pop(f"{part}.{i}.weight"), weight.astype(np.float32))
            np.testing.assert_array_equal(tensors.pop(f"{part}.{i}.bias"), bias.astype(np.float32))
    assert not tensors
