"""Hostile files: a share of what ``tests/fuzzing.py`` reads, what it finds, and what it has found."""

import json
import re
import time
from pathlib import Path

import application_files
import fuzzing
import numpy as np
import pytest

import offload_gym as og
from offload_gym.files import MOST_UNPACKED, keep_settings, read_bytes
from offload_gym.streams.labels import load_stream_labels

ROUNDS = 300
NEEDED = {"ONNX": "onnx", "GraphML": "networkx", "table": "pyarrow", "shards": "joblib", "report": "pandas"}
ROOT = Path(og.__file__).parents[1]
SOURCES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for package in ("offload_gym", "agents", "benchmarks")
    for path in sorted((ROOT / package).rglob("*.py"))
}


def needs(name):
    pytest.importorskip(NEEDED.get(name, "minari" if name.startswith("Minari") else "numpy"))


@pytest.mark.parametrize("name", fuzzing.READERS)
def test_a_share_of_the_hostile_files(name, tmp_path, monkeypatch):
    needs(name)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    reader = fuzzing.READERS[name]
    seeds, mutation = reader.seeds(tmp_path), reader.mutation(tmp_path)
    path, happened = tmp_path / reader.name, []
    for number in range(max(5, round(ROUNDS * min(1, reader.share)))):
        data = fuzzing.input_of(name, seeds, mutation, 0, number)
        happened.append(fuzzing.outcome(reader.read, path, data, number))
        assert happened[-1] in ("valid", "error"), (number, happened[-1])
        assert not (tmp_path / fuzzing.TRAP).exists(), number
    assert len(happened) < 50 or set(happened) == {"valid", "error"}  # else the files are not hostile, or all broken


@pytest.mark.slow
@pytest.mark.parametrize("name", fuzzing.READERS)
def test_many_hostile_files(name, tmp_path):
    needs(name)
    tally = fuzzing.run_reader(name, round(20_000 * fuzzing.READERS[name].share), seed=1, keep=tmp_path)
    assert not tally.findings
    assert tally.valid + tally.errors == tally.inputs


BAD = """
import os, pathlib, signal, sys, time
import fuzzing, mutations
def read(path):
    number = int(path.read_bytes())
    if number == 1: os.kill(os.getpid(), signal.SIGSEGV)
    if number == 2: b"x" * (300 << 20)
    if number == 3: (path.parent / fuzzing.TRAP).mkdir()
    if number == 4: raise KeyError("a")
    if number == 5: raise ValueError("two\\nlines")
    if number == 6:
        while True: pass
    if number == 7: raise ValueError("the documented one")
fuzzing.MOST_CPU_S = 2.0  # far more than 300 MiB take on a busy machine
fuzzing.READERS["bad"] = fuzzing.Reader(lambda folder: [b"0"], read, lambda folder: mutations.flip)
fuzzing.input_of = lambda name, seeds, mutation, seed, number: str(number).encode()
if __name__ == "__main__":
    sys.exit(fuzzing.main())
"""


def test_what_a_reader_may_not_do_is_found(tmp_path, monkeypatch):
    """A reader that crashes, takes memory or time, runs code, or has another error: each is seen, and it goes on."""
    program = tmp_path / "bad.py"
    program.write_text(BAD)
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}:{ROOT}")
    monkeypatch.setitem(fuzzing.READERS, "bad", fuzzing.Reader(None, None, None))
    tally = fuzzing.run_reader("bad", 9, keep=tmp_path, program=str(program))
    found = {finding["input"]: finding["what"] for finding in tally.findings}
    wanted = {1: "SIGSEGV", 2: "MiB of memory", 3: "code of the file", 4: "KeyError", 5: "no sentence", 6: "SIGPROF"}
    assert found.keys() == wanted.keys()
    assert all(start in found[number] for number, start in wanted.items()), found
    assert (tally.valid, tally.errors) == (2, 1)
    assert {Path(finding["file"]).read_bytes() for finding in tally.findings} == {b"%d" % i for i in wanted}


def test_a_settings_file_of_deep_json_or_long_names_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "settings.json"
    for text in ("[" * 10**5, '{"a":' * 900 + "1" + "}" * 900):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"^\S+ is not a settings file$|^a\.a\.a"):
            keep_settings(path, {"seed": 1})
    path.write_text(json.dumps({"b" * 9000: 1}))
    with pytest.raises(ValueError, match=r"^b+\.\.\. is None, but the results") as error:
        keep_settings(path, {})
    assert len(str(error.value)) < 1000


def test_labels_of_streams_of_wrong_arrays(tmp_path):
    path = tmp_path / "a.npz"
    (data,) = fuzzing.READERS["stream labels"].seeds(tmp_path)
    path.write_bytes(data)
    with np.load(path) as archive:
        arrays = dict(archive)
    for name in arrays:
        for other in (np.float32(3), np.array("text"), np.zeros((2, 2, 2))):
            np.savez(path, **arrays | {name: other})
            if name == "observation_version" and other.ndim == 0 and other.dtype.kind == "f":
                continue  # 3.0 is a whole number
            with pytest.raises(ValueError, match=r"^[^\n]{1,500}$"):
                load_stream_labels(path)


def test_an_archive_that_unpacks_to_much_more_than_it_is(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, format=np.array("offload_gym"), tasks=np.zeros(10**7))
    assert path.stat().st_size * MOST_UNPACKED < 8e7
    for load in (og.load_demonstrations, load_stream_labels):
        with pytest.raises(ValueError, match=r"it unpacks to 80,\d{3},\d{3} bytes, more than 100 times its size$"):
            load(path)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("num_tasks", 10**6, r"its metadata make room for 3,000,000 tasks and edges, and it has 9$"),
        ("max_edges", 10**6, r"it has no column 'edge_child'$"),
        ("num_tasks", 3.0, r"num_tasks is 3\.0; it must be a whole number"),
        ("num_tasks", 10**7, r"num_tasks is 10000000; it must be at most 1,000,000$"),
        ("num_locations", "3", r"num_locations is '3'; it must be a whole number"),
    ],
)
def test_a_table_whose_metadata_ask_for_more_than_it_has(name, value, sentence, tmp_path):
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    from offload_gym.interop.parquet import KEY, load_parquet, save_parquet

    path = tmp_path / "a.parquet"
    save_parquet(path, og.generate_demonstrations(fuzzing.SMALL, 3, 0))
    table = pq.read_table(path)
    said = json.loads(table.schema.metadata[KEY])
    pq.write_table(table.replace_schema_metadata({KEY: json.dumps(said | {name: value})}), path)
    with pytest.raises(ValueError, match=sentence):
        load_parquet(path)


def test_a_split_of_more_outputs_than_it_says(tmp_path):
    """Inference of shapes would end the process."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(fuzzing.READERS["ONNX"].seeds(tmp_path)[0])
    (split,) = (node for node in model.graph.node if node.op_type == "Split")
    next(it for it in split.attribute if it.name == "num_outputs").i = 1
    (tmp_path / "a").write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r"num_outputs of Split \('f, g'\) is 1, and it has 2 outputs$"):
        og.load_application(tmp_path / "a", dimensions={"B": 1})


@pytest.mark.parametrize("content", [application_files.MRLCO.replace("size", "size" * 999), 'digraph { "a\n\nb" }'])
def test_a_sentence_about_names_of_a_file_is_one_and_not_too_long(content, tmp_path):
    with pytest.raises(ValueError, match=r"^[^\n]{50,700}$"):
        application_files.load(tmp_path, content)


def test_a_device_is_no_file_and_a_path_is_quoted_in_part():
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"^/dev/zero is a device; it must be a file$"):
        read_bytes("/dev/zero")
    with pytest.raises(ValueError, match=r"^the trace /dev/zero is a device; it must be a file$"):
        og.make_scenario(radio="trace", trace_path="/dev/zero")
    with pytest.raises(ValueError, match=r"^the file of arrivals a{9}.{100,900} cannot be read: File name too"):
        og.make_scenario("stream", arrivals="trace", arrivals_path="a" * 9000)
    assert time.monotonic() - began < 5


def test_a_minari_data_set_that_is_damaged_or_does_not_fit_together(tmp_path, monkeypatch):
    needs("Minari metadata")
    from offload_gym.interop.minari import SEQUENTIAL, load_minari_dataset

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    (whole,) = fuzzing.READERS["Minari metadata"].seeds(tmp_path)
    path = tmp_path / "minari" / "a-v0" / "data" / "metadata.json"
    for text in ("[]", "{", "[" * 10**5, json.dumps(json.loads(whole) | {"env_spec": "[1]"})):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"^the Minari data set 'a-v0' cannot be read: [^\n]{1,300}$"):
            load_minari_dataset("a-v0", SEQUENTIAL, fuzzing.SMALL)


def test_a_report_of_a_number_that_no_float_holds(tmp_path):
    needs("report")
    from benchmarks.report.page import read_comparisons

    (data,) = fuzzing.READERS["report"].seeds(tmp_path)
    path = tmp_path / "a.json"
    path.write_text(re.sub(r"1\.5", "1" + "0" * 400, data.decode(), count=1))
    with pytest.raises(ValueError, match="in row 0; it must hold the rows that"):
        read_comparisons(path)


# What could run code from a file. numba's own cache of compiled kernels is pickled as well; like that one, the one of
# ``compilation`` is read from a folder of this user, and holds what this package wrote.
RUNS_CODE = re.compile(
    r"\bpickle\b|\bcloudpickle\b|\bdill\b|\bmarshal\b|\bshelve\b|allow_pickle=True|torch\.load\((?!.*weights_only=True)"
    r"|joblib\.load|yaml\.(unsafe_|full_)?load\(|(?<![\w.])eval\(|(?<![\w.])exec\(|\bread_pickle\b|import_module|__import__"
    r"|(PPO|DQN|QRDQN|A2C|SAC|MaskablePPO|BaseAlgorithm)\.load\(|VecNormalize\.load\("
)
ALLOWED = {"offload_gym/compilation.py": {"pickle"}}


def code_runners(text):
    """What in a source could run code from a file; what comments say does not count."""
    lines = (re.sub(r"\s#.*|^#.*", "", line) for line in text.splitlines())
    return {match[0] for line in lines for match in RUNS_CODE.finditer(line)}


@pytest.mark.parametrize("line", ["import pickle", "np.load(a, allow_pickle=True)", "torch.load(a)", "x = eval(a)"])
def test_the_pattern_finds_what_runs_code(line):
    assert code_runners(line)


def test_nothing_that_is_loaded_runs_code():
    """Also no zip files of stable-baselines3, which hold pickles: ``--agents`` of the benchmarks reads safetensors."""
    found = {name: code_runners(text) - ALLOWED.get(name, set()) for name, text in SOURCES.items()}
    assert not {name: there for name, there in found.items() if there}
    by_default = {name for name, text in SOURCES.items() if re.search(r"np\.load\((?!.*allow_pickle=False)", text)}
    assert by_default <= {"agents/graph_learning.py"}  # numpy refuses pickles where nothing else is said
    assert len(SOURCES) > 100


def test_a_long_cell_of_the_sheet_of_locations_is_quoted_in_part(tmp_path):
    (sheet,) = fuzzing.READERS["locations sheet"].seeds(tmp_path)
    header, first, second, *others = sheet.decode().splitlines()
    at = header.split(",").index("idle_w")
    cells = second.split(",")
    cells[at] = "9" * 5000
    (tmp_path / "a.csv").write_text("\n".join([header, first, ",".join(cells), *others]))
    with pytest.raises(ValueError, match=r"idle_w is '9+\.\.\.; it belongs in the row of location 0[^\n]*$") as error:
        fuzzing.READERS["locations sheet"].read(tmp_path / "a.csv")
    assert len(str(error.value)) < fuzzing.LONGEST_SENTENCE
