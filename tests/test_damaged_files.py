"""Files that are cut short, have flipped bits, or were pasted into: refused in one sentence, or still whole."""

import json
import random
import struct
import zipfile
from pathlib import Path

import application_files
import numpy as np
import pytest

import offload_gym as og
from offload_gym.cell_policies import load_cell_policy
from offload_gym.command_line import main
from offload_gym.command_line.instances_csv import write_csv
from offload_gym.command_line.instances_json import fields_of
from offload_gym.demonstrations import FORMAT

ROUNDS = 200


def damaged(data: bytes, rounds: int = ROUNDS):
    rng = random.Random(7)
    for i in range(rounds):
        copy, at = bytearray(data), rng.randrange(len(data))
        if i % 4 == 0:
            del copy[at:]
        elif i % 4 == 1:
            for _ in range(rng.randrange(1, 4)):
                copy[rng.randrange(len(copy))] ^= 1 << rng.randrange(8)
        elif i % 4 == 2:
            copy[at : at + rng.randrange(50)] = rng.randbytes(rng.randrange(20))
        else:
            source = rng.randrange(len(data))
            copy[at:at] = data[source : source + 30]
        yield bytes(copy)


def outcomes(path, data, load, fewest=ROUNDS / 2):
    """What ``load`` gives for each damaged file that it takes; all others it refuses in one sentence."""
    taken, refused = [], []
    for bad in damaged(data):
        path.write_bytes(bad)
        try:
            taken.append(load(path))
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > fewest
    for said in refused:
        assert said
        assert "\n" not in said
        assert len(said) < 1000
    return taken


@pytest.mark.parametrize("name", ["default", "dag"])
def test_demonstrations(name, tmp_path):
    path = tmp_path / "a.npz"
    demonstrations = og.generate_demonstrations({"name": name, "num_tasks": 3}, 4, 0)
    og.save_demonstrations(path, demonstrations)
    for loaded in outcomes(path, path.read_bytes(), og.load_demonstrations):  # only what says nothing was damaged
        np.testing.assert_array_equal(loaded.alternative_s, demonstrations.alternative_s)
        np.testing.assert_array_equal(loaded.instances.tasks, demonstrations.instances.tasks)


def test_demonstrations_as_a_table(tmp_path):
    parquet = pytest.importorskip("offload_gym.interop.parquet", exc_type=ImportError)
    path = tmp_path / "a.parquet"
    demonstrations = og.generate_demonstrations({"name": "dag", "num_tasks": 3}, 4, 0)
    parquet.save_parquet(path, demonstrations)
    data = path.read_bytes()
    for loaded in outcomes(path, data, parquet.load_parquet):  # its pages have checksums
        np.testing.assert_array_equal(loaded.alternative_s, demonstrations.alternative_s)
        np.testing.assert_array_equal(loaded.latency_s, demonstrations.latency_s)
    outcomes(path, data, parquet.parquet_metadata)


def test_demonstrations_of_wrong_arrays(tmp_path):
    """Whole archives whose arrays are of another type, shape or number of dimensions."""
    path = tmp_path / "a.npz"
    og.save_demonstrations(path, og.generate_demonstrations({"name": "dag", "num_tasks": 3}, 2, 0))
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for name, array in arrays.items():
        for other in (np.array("text"), np.array(3.5), np.zeros((0, 3)), np.zeros(array.shape, "M8[s]")):
            np.savez(path, **arrays | {name: other})
            with pytest.raises(ValueError, match=r"^[^\n]{1,500}$") as error:
                og.load_demonstrations(path)
            assert str(error.value).startswith(f"{path} is not a complete demonstrations file: ")


@pytest.mark.parametrize("method", [97, 99])  # compressions that zipfile does not know
def test_demonstrations_compressed_in_an_unknown_way(method, tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("format.npy", FORMAT)
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[8:10] = data[central + 10 : central + 12] = struct.pack("<H", method)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is not a complete demonstrations file: That compression method is not"):
        og.load_demonstrations(path)


def test_demonstrations_of_more_than_memory(tmp_path):
    path = tmp_path / "a.npz"
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("format.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    with pytest.raises(ValueError, match="is not a complete demonstrations file: Unable to allocate"):
        og.load_demonstrations(path)


@pytest.mark.parametrize(
    ("name", "load_policy"), [("small-student", og.load_policy), ("cell-student", load_cell_policy)]
)
def test_policies(name, load_policy, tmp_path):
    data = (Path(og.__file__).parent / "weights" / f"default-{name}.safetensors").read_bytes()
    header = data[8 : 8 + struct.unpack("<Q", data[:8])[0]]
    outcomes(tmp_path / "a.safetensors", data[: len(header) + 100], load_policy)

    def load(path):  # a damaged header of the right length, before whole weights
        bad = path.read_bytes()
        path.write_bytes(struct.pack("<Q", len(bad)) + bad + data[8 + len(header) :])
        return load_policy(path)

    outcomes(tmp_path / "b.safetensors", header, load)


def test_applications(tmp_path):
    og.save_application(tmp_path / "a.json", og.random_application(5, seed=1))
    outcomes(tmp_path / "b.json", (tmp_path / "a.json").read_bytes(), og.load_application)


@pytest.mark.parametrize("name", ["WFFORMAT", "DAX", "STG", "SAGA", "GRAPHML", "MRLCO"])
def test_applications_in_formats_of_others(name, tmp_path):
    if name == "GRAPHML":
        pytest.importorskip("networkx")
    content = getattr(application_files, name)
    text = content if isinstance(content, str) else json.dumps(content, indent=1)
    outcomes(tmp_path / "a", text.encode(), og.load_application, fewest=ROUNDS / 4)


def test_onnx_models(tmp_path):
    pytest.importorskip("onnx")
    og.export_onnx(og.make_policy("small-student"), tmp_path / "a.onnx", num_tasks=2)
    data = (tmp_path / "a.onnx").read_bytes()
    # Weights, of which nothing is read, are most of it; names and shapes stand after them.
    for part in (data, data[:40] + data[-3000:]):
        outcomes(tmp_path / "b", part, lambda path: og.load_application(path, dimensions={"B": 1}), fewest=0)


def test_traces(tmp_path):
    text = "time,uplink_kbps\n" + "".join(f"{1600000000 + 2 * i},{100.5 * i}\n" for i in range(30))
    outcomes(tmp_path / "a.csv", text.encode(), lambda path: og.make_scenario(radio="trace", trace_path=path))


def test_settings_of_shards(tmp_path):
    pytest.importorskip("joblib")
    og.generate_shards(tmp_path, {"num_tasks": 2}, 3, 0, shard_size=2)
    path = tmp_path / "settings.json"
    outcomes(path, path.read_bytes(), lambda path: list(og.load_shards(path.parent)))
    for num_instances, shard_size in ((10**30, 1), (3, 0), (3, True), ("a", 2), (None, 2)):
        path.write_text(json.dumps({"num_instances": num_instances, "shard_size": shard_size}))
        with pytest.raises(ValueError, match=r"has no settings\.json of generate_shards|has 2 of 1000.* shards"):
            og.load_shards(tmp_path)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Instances with dependencies as JSON and as sheets, and a scenario."""
    folder = tmp_path_factory.mktemp("given")
    instances = og.sample_instances({"name": "dag", "num_tasks": 3, "num_edges": 1}, 2, 0)
    rows = [{"instance": name, "fields": fields_of(instances, b)} for b, name in enumerate("ab")]
    (folder / "instances.json").write_text(json.dumps(rows))
    (folder / "scenario.json").write_text(json.dumps(og.Scenario(num_tasks=2).to_dict()))
    write_csv(folder, "ab", instances, [og.schedule(instances, [0, 1, 2], b) for b in range(2)])
    return folder


@pytest.mark.parametrize("name", ["instances.json", "scenario.json", "tasks.csv", "locations.csv"])
def test_what_the_command_line_reads(name, given, tmp_path, capsys):
    sheets = {"tasks.csv": given / "tasks.csv", "locations.csv": given / "locations.csv"}
    path = tmp_path / name
    sheets = {sheet: path if sheet == name else there for sheet, there in sheets.items()}
    arguments = [str(path)]
    if name.endswith(".csv"):
        arguments = [str(sheets["tasks.csv"]), "--locations", str(sheets["locations.csv"])]

    def load(path):
        code = main(["decide", *arguments, "--policy", "cloud"])
        said = capsys.readouterr().err
        if code == 2:
            assert said.startswith("error: ")
            raise ValueError(said.removeprefix("error: ").removesuffix("\n"))
        assert (code, said) == (0, "")

    outcomes(path, (given / name).read_bytes(), load)
