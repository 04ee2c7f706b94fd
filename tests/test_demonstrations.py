import itertools
import subprocess
import sys
from pathlib import Path

import naive
import numpy as np
import pytest

from offload_gym import (
    OBJECTIVES,
    Demonstrations,
    Instances,
    generate_demonstrations,
    latency,
    load_demonstrations,
    save_demonstrations,
    solve,
)
from offload_gym.demonstrations import label

LABELS = ("decisions", "latency_s", "prefixes", "alternative_s")
SMALL = {"name": "default", "num_tasks": 4}


def random_exploration(shape: tuple[int, int], num_locations: int, seed: int) -> np.ndarray:
    """A location to force at about a third of the steps, -1 at the others."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < 0.35, rng.integers(0, num_locations, shape), -1)


def assert_same(first: Demonstrations, second: Demonstrations):
    assert first.objective == second.objective
    for field in LABELS:
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field))
        assert getattr(first, field).dtype == getattr(second, field).dtype
    for ours, theirs in zip(first.instances.arrays, second.instances.arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(scope="module")
def demonstrations() -> Demonstrations:
    return generate_demonstrations(SMALL, 400, seed=3)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(
    ("kind", "num_tasks", "num_edges"), [("plain", 4, 1), ("mixed", 4, 1), ("mixed", 3, 2), ("mixed", 4, 0)]
)
def test_alternatives_by_brute_force(draw, kind, num_tasks, num_edges, objective):
    # GIVEN prefixes with random choices in them
    instances = draw(kind, 25, num_tasks, num_edges, seed=51)
    num_locations = instances.num_locations
    labels = label(instances, objective, random_exploration((25, num_tasks), num_locations, seed=52))
    for b in range(25):
        one = naive.from_instances(instances, b)
        for i, k in itertools.product(range(num_tasks), range(num_locations)):
            # THEN an alternative is the least over all ways to go on after the prefix and that choice
            begun = [*labels.prefixes[b, :i].tolist(), k]
            rests = itertools.product(range(num_locations), repeat=num_tasks - i - 1)
            least_s = min(naive.latency(one, [*begun, *rest], objective) for rest in rests)
            assert labels.alternative_s[b, i, k] == pytest.approx(least_s, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_decisions_are_optimal(draw, objective):
    instances = draw("mixed", 60, 6, num_edges=1, seed=53)
    labels = label(instances, objective)
    np.testing.assert_allclose(labels.latency_s, solve(instances, objective).latency_s, rtol=1e-12)
    np.testing.assert_allclose(latency(instances, labels.decisions, objective), labels.latency_s, rtol=1e-12)
    # AND without exploration the prefixes follow them, so that the optimum stays in reach at every step
    np.testing.assert_array_equal(labels.prefixes, labels.decisions)
    least_s = labels.alternative_s.min(axis=2)
    np.testing.assert_allclose(least_s, np.tile(labels.latency_s[:, None], 6), rtol=1e-9)


def test_prefixes_take_the_forced_choice_and_else_the_best(draw):
    instances = draw("plain", 200, 6, num_edges=1, seed=54)
    exploration = random_exploration((200, 6), 3, seed=55)
    labels = label(instances, exploration=exploration)
    forced = exploration >= 0
    np.testing.assert_array_equal(labels.prefixes[forced], exploration[forced])
    taken_s = np.take_along_axis(labels.alternative_s, labels.prefixes[:, :, None], axis=2)[:, :, 0]
    np.testing.assert_allclose(taken_s[~forced], labels.alternative_s.min(axis=2)[~forced], rtol=1e-12)
    # AND the optimum in reach only gets worse, and ends as the latency of the prefix itself
    assert np.all(np.diff(labels.alternative_s.min(axis=2), axis=1) >= -1e-12)
    np.testing.assert_allclose(taken_s[:, -1], latency(instances, labels.prefixes), rtol=1e-12)


def test_regret(demonstrations):
    regret = demonstrations.regret
    assert regret.shape == (400, 4, 3)
    assert np.all(regret >= 0)
    np.testing.assert_array_equal(regret.min(axis=2), 0.0)
    least_s = demonstrations.alternative_s.min(axis=2, keepdims=True)
    np.testing.assert_allclose(least_s * (1 + regret), demonstrations.alternative_s)


def test_regret_where_the_optimum_is_zero(hand_fields):
    # GIVEN tasks without size THEN staying on the idle device has no regret, and nothing divides by zero
    for field in ("input_bits", "output_bits", "workload_cycles"):
        hand_fields[field] = np.zeros((1, 3))
    regret = label(Instances(**hand_fields)).regret
    np.testing.assert_array_equal(regret[0, :, 0], 0.0)
    assert np.all(regret[0, :, 1:] > 0)
    assert np.all(np.isfinite(regret))


# A prefix leaves the optimum when an explored step chose one of the other two of three locations.
@pytest.mark.parametrize(("share", "rate"), [(0.5, 0.25), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0)])
def test_share_of_explored_prefixes(share, rate):
    labels = generate_demonstrations(SMALL, 2000, 4, explored_share=share, exploration_rate=rate)
    differ = np.any(labels.prefixes != labels.decisions, axis=1)
    expected = share * (1 - (1 - rate * 2 / 3) ** 4)
    assert differ.mean() == pytest.approx(expected, abs=0.04 if 0 < expected < 1 else 0)


def test_same_seed_same_demonstrations_on_any_number_of_threads():
    one, two, other = (
        generate_demonstrations("default", 700, seed, num_threads=threads) for seed, threads in ((5, 1), (5, 2), (6, 2))
    )
    assert_same(one, two)
    assert np.any(one.instances.input_bits != other.instances.input_bits)
    assert np.all(one.latency_s > 0)


@pytest.mark.parametrize("field", ["explored_share", "exploration_rate"])
@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_shares_out_of_bounds(field, value):
    with pytest.raises(ValueError, match=rf"^{field} is {value}; it must be a number from 0 to 1$"):
        generate_demonstrations("default", 2, 0, **{field: value})


def test_unknown_objective():
    with pytest.raises(ValueError, match=r"objective is 'sum'; it must be one of makespan, mean"):
        generate_demonstrations("default", 2, 0, "sum")


@pytest.mark.parametrize("exploration", ["np.full((2, 3), -1)", "np.full((2, 8), 3)", "np.full((2, 8), 0.5)"])
def test_exploration_is_checked_before_the_kernel_reads_it(exploration):
    # In a process of its own: what the kernel writes out of bounds may end it.
    program = (
        "import numpy as np, offload_gym\n"
        "from offload_gym.demonstrations import label\n"
        "try:\n"
        f"    label(offload_gym.sample_instances('default', 2), exploration={exploration})\n"
        "except ValueError as error:\n"
        "    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.returncode, "exploration" in result.stdout) == (0, True), result.stderr


def test_part(demonstrations):
    rows = np.flatnonzero(demonstrations.latency_s > np.median(demonstrations.latency_s))
    part = demonstrations.part(rows)
    assert len(part.instances) == len(rows) == 200
    np.testing.assert_array_equal(part.alternative_s, demonstrations.alternative_s[rows])
    np.testing.assert_allclose(latency(part.instances, part.decisions), part.latency_s)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_saved_and_loaded(draw, tmp_path, objective):
    labels = label(draw("mixed", 30, 5, num_edges=2, seed=56), objective)
    path = tmp_path / "new folder" / "labels.npz"
    save_demonstrations(path, labels)
    assert_same(load_demonstrations(path), labels)
    assert [entry.name for entry in path.parent.iterdir()] == ["labels.npz"]


def test_saving_replaces_the_file(tmp_path, demonstrations):
    path = tmp_path / "labels.npz"
    save_demonstrations(path, demonstrations)
    save_demonstrations(path, demonstrations.part(slice(0, 7)))
    assert_same(load_demonstrations(path), demonstrations.part(slice(0, 7)))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_file_cut_short(tmp_path, demonstrations, share):
    path = tmp_path / "labels.npz"
    save_demonstrations(path, demonstrations)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"labels\.npz is not a complete demonstrations file"):
        load_demonstrations(path)


def write_text(path: Path):
    path.write_text("input_bits,output_bits\n1,2\n")


def write_other_npz(path: Path):
    np.savez(path, tasks=np.zeros((2, 3)))


def write_npz_of_another_format(path: Path):
    np.savez(path, format=np.array("offload_gym.demonstrations/999"), tasks=np.zeros((2, 3)))


def write_npz_with_arrays_missing(path: Path):
    np.savez(path, format=np.array("offload_gym.demonstrations/1"), tasks=np.zeros((2, 3)))


def write_pickles(path: Path):
    np.savez(path, format=np.array([{"a": 1}], dtype=object))


def write_single_array(path: Path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


FOREIGN = [
    *(write_text, write_other_npz, write_npz_of_another_format, write_npz_with_arrays_missing, write_pickles),
    *(write_single_array, Path.mkdir),
]


@pytest.mark.parametrize("write", FOREIGN)
def test_foreign_file(tmp_path, write):
    path = tmp_path / "labels.npz"
    write(path)
    with pytest.raises(
        ValueError, match=r"labels\.npz (is not a complete demonstrations file|cannot be read): [^\n]*$"
    ):
        load_demonstrations(path)


@pytest.mark.parametrize("failure", [OSError("no space left"), KeyboardInterrupt()])
def test_failed_save_leaves_the_old_file(tmp_path, demonstrations, monkeypatch, failure):
    # GIVEN a saved file
    path = tmp_path / "labels.npz"
    save_demonstrations(path, demonstrations)
    before = path.read_bytes()

    def fail_midway(file, **arrays):
        file.write(b"PK half of it")
        raise failure

    # WHEN the next save fails THEN that file is as it was, and nothing else is left behind
    monkeypatch.setattr(np, "savez", fail_midway)
    with pytest.raises(type(failure)):
        save_demonstrations(path, demonstrations.part(slice(0, 5)))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["labels.npz"]
