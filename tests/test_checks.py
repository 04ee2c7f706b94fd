"""What sentences quote, and what the public functions say to arguments of a wrong type."""

import numpy as np
import pytest

import offload_gym as og
from offload_gym.checks import LONGEST, quoted, shortened

INSTANCES = og.sample_instances("default", 2)
DECISIONS = np.zeros((2, 8), dtype=np.int64)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("default", "'default'"),
        (np.arange(3.0), "array([0., 1., 2.])"),
        (10**400, "a whole number of 401 digits"),
        (-(10**5000), "a whole number of 5,001 digits"),
        ([10**5000], "a list"),
        (10**8, "100000000"),
        (True, "True"),
        (list(range(10**5)), "[0, 1, 2, "),
        ("x" * 10**6, "'xxxxx"),
        ("a\nb", r"'a\nb'"),
    ],
    ids=range(10),
)
def test_what_is_quoted_is_one_line_and_bounded(value, text):
    said = quoted(value)
    assert said == text or (said.startswith(text) and said.endswith("...") and len(said) == LONGEST)


def test_what_is_nested_too_deeply_is_quoted_by_its_type():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert quoted(deep) == "a list"
    while deep:  # emptied one by one, as freeing it at once would go as deep
        deep = deep.pop()


def test_a_text_of_several_lines_is_put_in_one():
    assert shortened("one\n  two\n") == "one two"
    assert shortened("one  two") == "one  two"


OF_INSTANCES = "instances is 'default'; it must be Instances, such as sample_instances draws"
DOORS = {
    "solve": (lambda: og.solve("default"), OF_INSTANCES),
    "latency": (lambda: og.latency("default", DECISIONS), OF_INSTANCES),
    "energy": (lambda: og.energy("default", DECISIONS), OF_INSTANCES),
    "completion_times": (lambda: og.completion_times("default", DECISIONS), OF_INSTANCES),
    "local_search": (lambda: og.local_search("default", DECISIONS), OF_INSTANCES),
    "estimate_instances": (lambda: og.estimate_instances("default", 0.1), OF_INSTANCES),
    "heuristic": (lambda: og.make_policy("greedy").decide("default"), OF_INSTANCES),
    "network": (lambda: og.make_policy("student").decide("default"), OF_INSTANCES),
    "schedule": (lambda: og.schedule(INSTANCES, DECISIONS[0], "a"), "index is 'a'; it must be a whole number from 0"),
    "schedule of half": (lambda: og.schedule(INSTANCES, DECISIONS[0], 0.5), "index is 0.5; it must be a whole number"),
    "schedule of a text": (lambda: og.schedule(INSTANCES, "ab"), "decisions has the type <U2; it must hold integers"),
    "load_policy": (lambda: og.load_policy(5), "path is 5; it must be the path of a file"),
    "load_demonstrations": (lambda: og.load_demonstrations(5), "path is 5; it must be the path of a file"),
    "load_application": (lambda: og.load_application(5), "path is 5; it must be the path of a file"),
    "load_shards": (lambda: og.load_shards(5), "path is 5; it must be the path of a file or a folder"),
    "export_c": (lambda: og.export_c(og.make_policy("student"), 5), "path is 5; it must be the path of a file"),
    "swapped": (lambda: og.save_demonstrations(INSTANCES, "a.npz"), "demonstrations is 'a.npz'; it must be"),
    "save_application": (lambda: og.save_application("a.json", 3), "application is 3; it must be an Application"),
    "range": (lambda: og.make_scenario(uplink_bps=("a", "b")), r"uplink_bps is ('a', 'b'); it must be a pair"),
    "range of digits": (lambda: og.make_scenario(ccr=(1, 10**400)), "it must be a pair (low, high) of numbers"),
    "number of digits": (lambda: og.make_scenario(epoch_s=10**400), "epoch_s is a whole number of 401 digits; it"),
    "cores": (lambda: og.make_scenario(cloud_cores=10**6), "cloud_cores is 1000000; it must be at most 10,000"),
    "task types": (lambda: og.make_scenario(task_types=[(10**400, 1, 1)]), "task_types is [(1000000"),
    "self": (lambda: og.make_scenario(**{"self": 1}), "a scenario has no field 'self'"),
    "name of a preset": (lambda: og.make_scenario("x" * 10**6), "scenario is 'xxxx"),
    "objective": (lambda: og.solve(INSTANCES, "x" * 10**6), "objective is 'xxxx"),
    "array of texts": (lambda: INSTANCES.replace(input_bits="x" * 10**6), "input_bits must be an array of numbers"),
    "array of digits": (lambda: INSTANCES.replace(kappa=[10**400] * 2), "kappa must be an array of numbers"),
    "flag": (lambda: og.generate_demonstrations("default", 2, 0, alternatives="no"), "alternatives is 'no'; it must"),
    "progress": (lambda: og.generate_demonstrations("default", 2, 0, progress=3), "progress is 3; it must be True or"),
    "share": (lambda: og.generate_demonstrations("default", 2, 0, explored_share="a"), "explored_share is 'a'; it"),
    "too many": (lambda: og.sample_instances("default", 10**12), "num_instances is 1000000000000; so many instances"),
    "far too many": (
        lambda: og.sample_instances("default", 10**400),
        "of 401 digits; so many instances of 8 tasks",
    ),
    "too many pairs": (lambda: og.sample_consecutive("dag", 10**12), "so many instances of 10 tasks and 4 locations"),
    "roll-out": (
        lambda: og.make_policy("roll-out").decide(og.sample_instances("dag", 2)),
        "dependencies; a roll-out is for independent tasks",
    ),
}


@pytest.mark.parametrize("name", DOORS)
def test_a_wrong_argument_gets_one_sentence(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, sentence = DOORS[name]
    with pytest.raises(ValueError, match=r".") as error:
        call()
    said = str(error.value)
    assert sentence in said
    assert "\n" not in said
    assert len(said) < 1000  # the names of all fields of a scenario take 900
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("num_threads", [0, -1, 1.5, "a", True])
@pytest.mark.parametrize(
    "call",
    [
        lambda n: og.solve(INSTANCES, num_threads=n),
        lambda n: og.local_search(INSTANCES, DECISIONS, num_threads=n),
        lambda n: og.generate_demonstrations("default", 2, 0, num_threads=n),
        lambda n: og.generate_demonstrations("default", 2, 0, num_threads=n, alternatives=False),
    ],
)
def test_a_number_of_threads_is_checked_everywhere(call, num_threads):
    with pytest.raises(ValueError, match=rf"^num_threads is {num_threads!r}; it must be a whole number, at least 1$"):
        call(num_threads)


@pytest.mark.parametrize("seed", [1.5, "a", True, [1.5], (1, "a"), b"a", object])
@pytest.mark.parametrize(
    "call",
    [
        lambda seed: og.sample_instances("default", 1, seed),
        lambda seed: og.sample_consecutive("default", 1, seed),
        lambda seed: og.estimate_instances(INSTANCES, 0.1, seed),
        lambda seed: og.make_policy("random", seed=seed),
        lambda seed: og.generate_demonstrations("default", 1, seed),
        lambda seed: og.random_application(3, seed=seed),
    ],
)
def test_a_seed_of_a_wrong_type_is_neither_cut_nor_left_to_numpy(call, seed):
    with pytest.raises(ValueError, match=r"^seed is [^\n]*; it must be a whole number"):
        call(seed)


def test_seeds_of_every_good_type_are_taken():
    expected = og.sample_instances("default", 1, 3).tasks
    for seed in (np.int64(3), np.random.SeedSequence(3), np.random.default_rng(3), np.random.PCG64(3), [3]):
        np.testing.assert_array_equal(og.sample_instances("default", 1, seed).tasks, expected)
    assert not np.array_equal(og.sample_instances("default", 1, None).tasks, expected)
