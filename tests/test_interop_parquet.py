import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offload_gym import Demonstrations, generate_demonstrations, make_scenario, save_demonstrations
from offload_gym.demonstrations import label
from offload_gym.interop import parquet
from offload_gym.interop.parquet import load_parquet, parquet_metadata, save_parquet

SMALL = {"name": "default", "num_tasks": 4}


def assert_same(first: Demonstrations, second: Demonstrations):
    """Both are the same, but for the numbers of padding."""
    assert first.objective == second.objective
    present = first.instances.present
    for name in ("decisions", "latency_s", "prefixes", "alternative_s"):
        ours, theirs = getattr(first, name), getattr(second, name)
        np.testing.assert_array_equal(ours, theirs)
        assert ours is None or ours.dtype == theirs.dtype
    pairs = [(first.instances, second.instances)]
    if first.estimates is not None or second.estimates is not None:
        pairs.append((first.estimates, second.estimates))
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours.tasks[present], theirs.tasks[present])
        np.testing.assert_array_equal(ours.power, theirs.power)
        for one, other in zip(ours.arrays[1:], theirs.arrays[1:], strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype


@pytest.mark.parametrize(
    ("scenario", "arguments"),
    [
        (SMALL, {}),
        (SMALL, {"alternatives": False}),
        (SMALL, {"objective": "cost"}),
        (SMALL, {"observation_noise": 0.3}),
        ({"num_tasks": 2, "max_tasks": 5, "num_edges": 2}, {"objective": "mean"}),
        ({"name": "dag", "num_tasks": 3, "max_tasks": 5}, {}),
        ("face_recognition", {"alternatives": False}),
    ],
)
def test_round_trip_is_exact(tmp_path, monkeypatch, scenario, arguments):
    monkeypatch.setattr(parquet, "GROUP", 8)  # several row groups, the last one with fewer rows
    demonstrations = generate_demonstrations(scenario, 20, seed=3, **arguments)
    save_parquet(tmp_path / "new" / "a.parquet", demonstrations)
    assert pq.ParquetFile(tmp_path / "new" / "a.parquet").num_row_groups == 3
    assert_same(demonstrations, load_parquet(tmp_path / "new" / "a.parquet"))


@pytest.mark.parametrize("kind", ["per-core backlogs", "mixed"])
def test_round_trip_of_backlogs_that_differ_by_core(tmp_path, draw, kind):
    demonstrations = label(draw(kind, 10, 3, num_edges=1, seed=4))
    save_parquet(tmp_path / "a.parquet", demonstrations)
    assert_same(demonstrations, load_parquet(tmp_path / "a.parquet"))


def test_a_filtered_table_is_that_part(tmp_path):
    # GIVEN a table that pyarrow has filtered WHEN it is read THEN it holds the chosen instances
    demonstrations = generate_demonstrations({"num_tasks": 2, "max_tasks": 5}, 30, seed=5)
    save_parquet(tmp_path / "a.parquet", demonstrations)
    table = pq.read_table(tmp_path / "a.parquet")
    chosen = demonstrations.latency_s > np.median(demonstrations.latency_s)
    pq.write_table(table.filter(pa.array(chosen)), tmp_path / "b.parquet")
    assert_same(demonstrations.part(chosen), load_parquet(tmp_path / "b.parquet"))


def test_metadata(tmp_path):
    demonstrations = generate_demonstrations(SMALL, 5, seed=7)
    save_parquet(tmp_path / "a.parquet", demonstrations, scenario=SMALL, seed=7)
    metadata = parquet_metadata(tmp_path / "a.parquet")
    assert make_scenario(**metadata["scenario"]) == make_scenario(**SMALL)
    assert metadata["seed"] == {"entropy": 7, "spawn_key": [3]}
    assert (metadata["objective"], metadata["num_tasks"], metadata["num_locations"]) == ("makespan", 4, 3)


def test_task_rows_in_pandas(tmp_path):
    # GIVEN instances of different sizes WHEN pandas explodes them THEN there is one row for each task, and no padding
    demonstrations = generate_demonstrations({"num_tasks": 2, "max_tasks": 5}, 30, seed=8)
    save_parquet(tmp_path / "a.parquet", demonstrations)
    frame = pd.read_parquet(tmp_path / "a.parquet", columns=["input_bits", "decisions", "regret", "latency_s"])
    tasks = frame.explode(["input_bits", "decisions", "regret"])
    present = demonstrations.instances.present
    np.testing.assert_array_equal(tasks["decisions"].astype(int), demonstrations.decisions[present])
    np.testing.assert_array_equal(np.stack(tasks["regret"]), demonstrations.regret[present])
    np.testing.assert_array_equal(tasks["latency_s"], np.repeat(demonstrations.latency_s, present.sum(axis=1)))


def retyped(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def test_bad_tables(tmp_path):
    path = tmp_path / "a.parquet"
    save_parquet(path, generate_demonstrations({"name": "dag", "num_tasks": 3}, 2, seed=1))
    table = pq.read_table(path)
    edges = table.column("edge_child").to_pylist()
    bad = {
        "it has no column 'latency_s'": table.drop_columns("latency_s"),
        "it has no column 'uplink_bps'": table.drop_columns("uplink_bps"),
        "it has no column 'edge_bits'": table.drop_columns("edge_bits"),
        "it has no row": table.slice(0, 0),
        "it does not say that it is": table.replace_schema_metadata(),
        "latency_s has the type string; it must hold numbers": retyped(table, "latency_s", pa.array(["a", "b"])),
        "decisions has the type int64; it must hold lists of numbers": retyped(table, "decisions", pa.array([1, 2])),
        "alternative_s has the type .* lists of lists of numbers": retyped(
            table, "alternative_s", pa.array([[0.5] * 3] * 2)
        ),
        "latency_s has 1 missing values": retyped(table, "latency_s", pa.array([1.0, None])),
        "prefixes has lists of other lengths": retyped(table, "prefixes", pa.array([[0], [0]])),
        "cpu_hz has lists of different lengths": retyped(table, "cpu_hz", pa.array([[1.0]] * 2)),
        r"cpu_hz\[0, 1\] is -1.0; it must be finite and above 0": retyped(
            table, "cpu_hz", pa.array([[1.0, -1.0, 1.0, 1.0]] * 2)
        ),
        r"decisions\[0, 0\] is 9": retyped(table, "decisions", pa.array([[9, 0, 0]] * 2)),
        "edge_child must hold tasks from 0 to 2": retyped(
            table, "edge_child", pa.array([[3] * len(edge) for edge in edges])
        ),
    }
    for message, changed in bad.items():
        pq.write_table(changed, path)
        with pytest.raises(ValueError, match=f"a.parquet is not a complete demonstrations table: .*{message}"):
            load_parquet(path)


def test_foreign_files(tmp_path):
    demonstrations = generate_demonstrations(SMALL, 5, seed=1)
    save_demonstrations(tmp_path / "a.npz", demonstrations)
    save_parquet(tmp_path / "a.parquet", demonstrations)
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-100])
    for read in (load_parquet, parquet_metadata):
        for name in ("a.npz", "cut.parquet"):
            with pytest.raises(ValueError, match=f"{name} is not a complete demonstrations table"):
                read(tmp_path / name)
        with pytest.raises(ValueError, match=r"missing\.parquet cannot be read"):
            read(tmp_path / "missing.parquet")


def test_no_instances_and_numpy_seeds(tmp_path):
    path, some = tmp_path / "a.parquet", generate_demonstrations(SMALL, 5, seed=1)
    with pytest.raises(ValueError, match="demonstrations has 0 instances; a table must have at least 1"):
        save_parquet(path, label(some.instances[:0], some.objective, np.empty((0, 4), dtype=np.int64)))
    assert not path.exists()
    save_parquet(path, some, seed=np.int64(3))
    assert parquet_metadata(path)["seed"]["entropy"] == 3


def test_nothing_half_written(tmp_path, monkeypatch):
    # GIVEN a file that is there WHEN writing another one fails THEN it stays, and nothing lies beside it
    path = tmp_path / "a.parquet"
    save_parquet(path, generate_demonstrations(SMALL, 5, seed=1))
    before = path.read_bytes()
    monkeypatch.setattr(pq.ParquetWriter, "write_table", lambda *_: json.loads("}"))
    with pytest.raises(json.JSONDecodeError):
        save_parquet(path, generate_demonstrations(SMALL, 5, seed=2))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
