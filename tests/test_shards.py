import itertools
import json
import os
import signal
import sys
import tracemalloc
import warnings
from functools import partial

import joblib
import numpy as np
import pytest

from offload_gym import generate_demonstrations, generate_shards, load_demonstrations, load_shards, solve
from offload_gym import shards as module
from offload_gym.seeds import seed_for

SMALL = {"name": "default", "num_tasks": 3}
ARRAYS = ("decisions", "latency_s", "prefixes")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def interrupt_at(call, begun):
    if next(begun) == call - 1:
        raise KeyboardInterrupt


def lose_worker(*_):
    raise RuntimeError("the worker is gone\nfor good")


def test_shards_are_the_same_from_any_number_of_processes(tmp_path):
    for name, num_jobs in (("one", None), ("two", 2)):
        paths = generate_shards(tmp_path / name, SMALL, 50, seed=1, shard_size=8, num_jobs=num_jobs)
        assert paths == sorted((tmp_path / name).glob("shard-*.npz"))
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one == two
    assert len(one) == 7 + 1  # and the settings
    assert len({content for name, content in one.items() if name.startswith("shard")}) == 7


def test_a_shard_is_the_demonstrations_of_its_own_seed(tmp_path):
    # GIVEN shards in which policies see estimates
    seed = seed_for("training", 3)
    generate_shards(tmp_path, SMALL, 25, seed, "mean", shard_size=10, observation_noise=0.2)
    # THEN each is what generate_demonstrations makes of the seed's child of that number
    shards = list(load_shards(tmp_path))
    children = seed_for("training", 3).spawn(3)
    for shard, size, child in zip(shards, (10, 10, 5), children, strict=True):
        alone = generate_demonstrations(SMALL, size, child, "mean", observation_noise=0.2)
        for field in (*ARRAYS, "alternative_s"):
            np.testing.assert_array_equal(getattr(shard, field), getattr(alone, field))
        np.testing.assert_array_equal(shard.seen.uplink_bps, alone.seen.uplink_bps)
        assert shard.objective == "mean"
    assert len(np.unique(np.concatenate([shard.latency_s for shard in shards]))) == 25


def test_optimal_decisions_alone(tmp_path):
    # GIVEN the same instances labelled with and without alternatives
    full = generate_demonstrations(SMALL, 30, seed=2, explored_share=0.0)
    bare = generate_demonstrations(SMALL, 30, seed=2, alternatives=False)
    np.testing.assert_array_equal(bare.instances.input_bits, full.instances.input_bits)
    for field in ("decisions", "prefixes"):
        np.testing.assert_array_equal(getattr(bare, field), full.decisions)
    np.testing.assert_array_equal(bare.latency_s, solve(full.instances).latency_s)
    # THEN the labels without have no regret, also once they were saved
    (path,) = generate_shards(tmp_path, SMALL, 30, 2, alternatives=False)
    loaded = load_demonstrations(path)
    for labels in (bare, bare.part(slice(3)), loaded):
        assert labels.alternative_s is None
        with pytest.raises(ValueError, match=r"no alternative_s; they must be labelled with alternatives=True"):
            _ = labels.regret


def test_a_job_goes_on_where_it_stopped(tmp_path, monkeypatch):
    # GIVEN a job that was interrupted in its third shard
    draw, begun = module.generate_demonstrations, itertools.count()
    monkeypatch.setattr(module, "generate_demonstrations", lambda *a, **k: interrupt_at(4, begun) or draw(*a, **k))
    with pytest.raises(KeyboardInterrupt):
        generate_shards(tmp_path / "a", SMALL, 20, 5, shard_size=4)
    before = contents(tmp_path / "a")
    assert sorted(before) == ["settings.json", "shard-000000.npz", "shard-000001.npz"]
    with pytest.raises(ValueError, match=r"a has 2 of 5 shards; generate_shards goes on$"):
        load_shards(tmp_path / "a")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    # WHEN it is started again THEN it makes the missing ones alone, and they are those of a job without interruption
    generate_shards(tmp_path / "a", SMALL, 20, 5, shard_size=4)
    assert times == {path: path.stat().st_mtime_ns for path in times}
    generate_shards(tmp_path / "b", SMALL, 20, 5, shard_size=4)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seed": 2}, r"seed\.entropy is 2, but the results in .* were made with 1; choose another folder"),
        ({"seed": seed_for("test", 1)}, r"seed\.spawn_key is \[0\], but .* with \[3\]"),
        ({"num_instances": 9}, "num_instances is 9, but .* with 8"),
        ({"shard_size": 5}, "shard_size is 5, but .* with 4"),
        ({"objective": "mean"}, "objective is 'mean', but .* with 'makespan'"),
        ({"alternatives": False}, "alternatives is False, but .* with True"),
        ({"observation_noise": "last"}, r"observation_noise is 'last', but .* with 0\.0"),
        ({"scenario": "default"}, r"scenario\.num_tasks is 8, but .* with 3"),
    ],
)
def test_a_folder_of_another_job_is_refused(tmp_path, changes, sentence):
    arguments = {"scenario": SMALL, "num_instances": 8, "seed": 1, "shard_size": 4}
    generate_shards(tmp_path, **arguments)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=f"^{sentence}"):
        generate_shards(tmp_path, **{**arguments, **changes})
    assert contents(tmp_path) == before


def test_shards_of_unknown_settings_are_refused(tmp_path):
    (path,) = generate_shards(tmp_path, SMALL, 4, 1)
    (tmp_path / "settings.json").write_text("[1]")
    for generate in (lambda: generate_shards(tmp_path, SMALL, 4, 1), lambda: load_shards(tmp_path)):
        with pytest.raises(ValueError, match=r"is not a settings file|has no settings\.json of generate_shards"):
            generate()
    (tmp_path / "settings.json").unlink()
    with pytest.raises(ValueError, match=r"has results but no settings\.json"):
        generate_shards(tmp_path, SMALL, 4, 1)
    with pytest.raises(ValueError, match=r"has no settings\.json of generate_shards"):
        load_shards(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_instances", 0),
        ("shard_size", 0),
        ("num_jobs", 0),
        ("seed", -1),
        ("explored_share", 2),
        ("observation_noise", -1),
        ("objective", "sum"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, field, value):
    with pytest.raises(ValueError, match=rf"^{field} is {value!r}; "):
        generate_shards(tmp_path / "new", **{"scenario": SMALL, "num_instances": 8, "seed": 1, field: value})
    assert not list(tmp_path.iterdir())


def test_one_shard_is_in_memory_at_a_time(tmp_path):
    size, peaks = 5000, {}
    for num_shards in (1, 4):
        folder = tmp_path / str(num_shards)
        tracemalloc.start()
        (first, *_) = generate_shards(folder, SMALL, num_shards * size, 1, shard_size=size, alternatives=False)
        generated = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        assert [len(shard.instances) for shard in load_shards(folder)] == [size] * num_shards
        peaks[num_shards] = generated, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[1][0] > 0.5 * first.stat().st_size  # what a shard takes counts
    assert peaks[4][0] < 1.2 * peaks[1][0]
    assert peaks[4][1] < 1.2 * peaks[1][1] + first.stat().st_size  # the loop holds one while the next is read


def killed_once(marker, seed):
    """Demonstrations, but the process that is asked first dies while it makes them."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return generate_demonstrations(SMALL, 20, seed)


def test_a_killed_worker_costs_nothing_but_time(tmp_path):
    work = {tmp_path / f"{i}.npz": partial(killed_once, tmp_path / "killed", i) for i in range(8)}
    with pytest.warns(RuntimeWarning, match=r"a worker was lost and \d of 8 shards remain; .*TerminatedWorkerError"):
        module._make_missing(tmp_path, work, num_jobs=2, progress=False)
    assert (tmp_path / "killed").exists()
    for seed, path in enumerate(work):
        alone = generate_demonstrations(SMALL, 20, seed)
        np.testing.assert_array_equal(load_demonstrations(path).alternative_s, alone.alternative_s)


def test_a_job_that_only_loses_workers_gives_up(tmp_path, monkeypatch):
    monkeypatch.setattr(joblib, "Parallel", lambda n_jobs: lose_worker)
    sentence = r"^2 of 2 shards remain, and 3 attempts in a row failed: RuntimeError: the worker is gone\nfor good$"
    with pytest.warns(RuntimeWarning, match="a worker was lost") as warned, pytest.raises(OSError, match=sentence):
        generate_shards(tmp_path, SMALL, 8, 1, shard_size=4)
    assert len(warned) == 2


def test_lost_workers_do_not_end_a_job_that_goes_on(tmp_path, monkeypatch):
    # GIVEN workers that are lost after every shard
    real = joblib.Parallel

    def one_then_lost(calls):
        real()([next(calls)])
        lose_worker()

    monkeypatch.setattr(joblib, "Parallel", lambda n_jobs: one_then_lost)
    with pytest.warns(RuntimeWarning, match="worker was lost"):
        assert len(generate_shards(tmp_path, SMALL, 10, 1, shard_size=2)) == len(list(load_shards(tmp_path))) == 5


@pytest.mark.parametrize("num_jobs", [1, 2])
def test_an_error_of_the_labelling_is_not_tried_again(tmp_path, num_jobs):
    work = {tmp_path / "shard-000000.npz": partial(int, "no labels")}
    with warnings.catch_warnings(action="error"), pytest.raises(ValueError, match=r"^invalid literal for int"):
        module._make_missing(tmp_path, work, num_jobs, progress=False)
    assert not list(tmp_path.iterdir())


def test_without_joblib_one_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(ImportError, match=r"^labelling in shards needs the package joblib: pip install joblib$"):
        generate_shards(tmp_path, SMALL, 4, 1)


def test_files_that_workers_write_elsewhere_are_missed(tmp_path, monkeypatch):
    monkeypatch.setattr(joblib, "Parallel", lambda n_jobs: lambda calls: None)
    with pytest.raises(FileNotFoundError, match=r"2 of 2 shards remain in .*: do all workers write there"):
        generate_shards(tmp_path, SMALL, 8, 1, shard_size=4)


def test_what_killed_processes_left_is_cleared_away(tmp_path):
    names = (".0123abcd.shard-000000.npz", ".4567abcd.shard-000000.npz")
    for name in names:
        (tmp_path / name).write_bytes(b"half")
    os.utime(tmp_path / names[0], (0, 0))
    generate_shards(tmp_path, SMALL, 4, 1)
    # but not what a process may still be writing
    assert sorted(path.name for path in tmp_path.iterdir()) == [names[1], "settings.json", "shard-000000.npz"]
    assert json.loads((tmp_path / "settings.json").read_text())["scenario"]["num_tasks"] == 3
