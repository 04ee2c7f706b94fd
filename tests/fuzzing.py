"""Hostile files for all that the package reads.

    python tests/fuzzing.py [--inputs N] [--readers NAME ...] [--seed S]

Each reader gets good files after random mutations (``tests/mutations.py``), in a process of its own with a bound on its
memory and on the time of each file. It must give a valid object, which is used once, or the documented error: a
ValueError of one sentence. What else happens is reported, and the file is kept. The files of a seed are the same each
time, so that ``--first`` and ``--inputs 1`` read one of them again.

With ``--coverage-guided`` (which needs the package atheris) libFuzzer chooses the files to go on with by the lines of
the package that they reach, with the same mutations.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import application_files
import mutations
import numpy as np

import offload_gym as og
from offload_gym import arrivals, mobility
from offload_gym.applications.formats.onnx_operators import FORMULAS
from offload_gym.cell_policies import load_cell_policy, report_of
from offload_gym.command_line import main as command_line
from offload_gym.command_line.instances_csv import write_csv
from offload_gym.command_line.instances_json import fields_of
from offload_gym.command_line.scenario_options import fields_in
from offload_gym.files import keep_settings
from offload_gym.networks.c_header import export_c
from offload_gym.streams.labels import StreamLabels, load_stream_labels, save_stream_labels
from offload_gym.streams.observing import size_of

MOST_CPU_S = 4.0  # of one file
MOST_MEMORY_BYTES = 256 << 20  # that one file may take beside the file itself, resident
ADDRESS_SPACE_BYTES = 4 << 30  # beside what the process has before the first file
LONGEST_SENTENCE = 1000
MOST_FINDINGS = 50  # of one reader, after which no further process is begun
WEIGHTS = Path(og.__file__).parent / "weights"
SMALL = {"name": "default", "num_tasks": 3}
TRAP = "trap"  # the folder that files make whose code is run


class Reader(NamedTuple):
    """One thing that the package reads."""

    seeds: Callable[[Path], list[bytes]]  # good files; what goes with them is written into the folder
    read: Callable[[Path], object]
    mutation: Callable[[Path], mutations.Mutation]  # of its format
    share: float = 1.0  # of the inputs; less where reading takes long
    name: str = "fuzzed"  # of the file


class Tally(NamedTuple):
    """What happened to the inputs of a reader."""

    inputs: int
    valid: int
    errors: int
    findings: list[dict[str, Any]]  # what else happened: input, what, and where the file is kept
    seconds: float


def _plain(mutation: mutations.Mutation) -> Callable[[Path], mutations.Mutation]:
    return lambda folder: mutation


def _weights(*names: str) -> Callable[[Path], list[bytes]]:
    return lambda folder: [(WEIGHTS / f"{name}.safetensors").read_bytes() for name in names]


def _text(*contents: Any) -> Callable[[Path], list[bytes]]:
    return lambda folder: [(c if isinstance(c, str) else json.dumps(c)).encode() for c in contents]


def _written(save: Callable[[Path], object], name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


# Scenarios and what they name.


def _scenarios(folder: Path) -> list[bytes]:
    (folder / "rates.csv").write_text("time_s,mbps\n0,10\n1,20\n2,5\n")
    (folder / "sites.csv").write_text("x_m,y_m\n0,0\n500,0\n")
    given = [
        og.make_scenario(**SMALL),
        og.make_scenario("vision"),
        og.make_scenario("dag"),
        og.make_scenario("stream_applications"),
        og.make_scenario("stream_mobile"),
        og.make_scenario("stream_cell"),
    ]
    written = [json.dumps(scenario.to_dict(), default=list) for scenario in given]
    application = json.loads(_written(lambda path: og.save_application(path, og.random_application(4, seed=1)), "a"))
    further = [
        {"name": "default", "radio": "trace", "trace_path": "rates.csv", "trace_column": "mbps"},
        {"name": "stream_mobile", "sites_path": "sites.csv", "mobility": "waypoint"},
        application,
    ]
    return [text.encode() for text in (*written, *map(json.dumps, further))]


def _scenario(path: Path) -> og.Scenario:
    scenario = og.make_scenario(**fields_in(path.read_bytes(), str(path)))
    json.dumps(scenario.to_dict(), default=list)
    return scenario


TRACES = (
    "time,uplink_kbps\n" + "".join(f"{1600000000 + 2 * i},{100.5 * i}\n" for i in range(6)),
    "Timestamp;DL_bitrate;UL_bitrate\n2019.12.16_13.40.04;12,5;3\n2019.12.16_13.40.05;-;4\n2019.12.16_13.40.07;1;2\n",
    "0.57,Mbits/sec\n12,Kbits/sec\n1.5,Mbits/sec\n",
    "0.5 1.5\n1.5 2.5\n3 0\n",
    "0\n1\n1\n5\n1000\n",
)
ARRIVALS = (
    "arrival_s,input_bits,workload_cycles,deadline_s\n0,1e6,1e9,inf\n0.5,2e6,1e9,2\n0.5,0,0,1\n",
    "sep=;\narrival_s;output_bits\n0,5;1\n1,5;2\n",
)
SITES = ("x_m,y_m,label\n0,0,a\n500,-20.5,b\n", "latitude;longitude\n52,5;13,4\n52,6;13,5\n")
POSITIONS = (
    "device,time_s,x_m,y_m\na,0,1,2\nb,0,3,4\na,1,2,2\n",
    "time_s,device,latitude,longitude\n0,7,52.5,179.9\n1,7,52.51,-179.9\n",
)


def _tracks(path: Path) -> object:
    try:
        return mobility.load_tracks(path)
    except ValueError as error:
        if "both must have the same" not in str(error):
            raise
        return mobility.load_tracks(path, (52.5, 13.4))


# Applications.


def _own_applications(folder: Path) -> list[bytes]:
    applications = (og.random_application(5, seed=1), og.load_application(_given(folder, application_files.WFFORMAT)))
    return [_written(partial(_saved, application), "a.json") for application in applications]


def _saved(application: og.Application, path: Path) -> None:
    og.save_application(path, application)


def _given(folder: Path, content: Any) -> Path:
    path = folder / "given.json"
    path.write_text(json.dumps(content))
    return path


WFFORMAT_1_4 = {
    "name": "chain",
    "schemaVersion": "1.4",
    "workflow": {
        "tasks": [
            {
                "name": name,
                "id": f"{name}1",
                "runtimeInSeconds": 2,
                "parents": parents,
                "files": [{"name": f"{name}.txt", "link": "output", "sizeInBytes": 10}],
            }
            for name, parents in (("a", []), ("b", ["a"]), ("c", ["a1", "b"]))
        ]
    },
}
OWN_DOT = 'digraph "g" { node [workload_cycles="1e9"]; a -> {b c} [bits=8]; subgraph s { d } b -> d [bits="1e6"] }'
DAGGEN_DOT = (
    'digraph G {\n  1 [size="20971", alpha="0.03"]\n  1 -> 2 [size ="1000"]\n  2 [size="1048576", alpha="0.2"]\n}\n'
)


def _onnx_models(folder: Path) -> list[bytes]:
    from onnx import TensorProto, helper

    policy = og.make_policy("small-student")
    exported = _written(lambda path: og.export_onnx(policy, path, num_tasks=2), "a.onnx")
    value = partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Reshape", ["c", "to"], ["d"]),
        helper.make_node("Gemm", ["d", "m", "n"], ["e"], transB=1),
        helper.make_node("Split", ["e"], ["f", "g"], axis=1, num_outputs=2),
        helper.make_node("Concat", ["g", "f"], ["y"], axis=1),
    ]
    stored = [
        helper.make_tensor("w", TensorProto.FLOAT, (2, 3, 3, 3), [0.5] * 54),
        helper.make_tensor("to", TensorProto.INT64, (2,), [1, -1]),
        helper.make_tensor("m", TensorProto.FLOAT, (4, 8), [0.5] * 32),
        helper.make_tensor("n", TensorProto.FLOAT, (4,), [0.5] * 4),
    ]
    graph = helper.make_graph(nodes, "g", [value("x", shape=("B", 3, 8, 8))], [value("y", shape=(1, 4))], stored)
    small = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString()
    return [small, small, exported]


def _onnx_model(rng: random.Random, data: bytes) -> bytes:
    """A model with an operator, a shape, a number or a name of it changed."""
    import onnx

    model = onnx.load_model_from_string(data)
    graph, odd = model.graph, rng.choice((0, 1, -1, 2, 3, 7, 1 << 20, 1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 63)))
    names = [name for node in graph.node for name in (*node.input, *node.output)]
    what = rng.randrange(9)
    if what == 0 and graph.node:
        rng.choice(graph.node).op_type = rng.choice(
            (*FORMULAS, "If", "Loop", "Shape", "Constant", "Tile", "Expand", "Pad")
        )
    elif what == 1 and graph.initializer:
        tensor = rng.choice(graph.initializer)
        if tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = odd
    elif what == 2:
        values = [value for value in (*graph.input, *graph.output) if value.type.tensor_type.shape.dim]
        if values:
            rng.choice(rng.choice(values).type.tensor_type.shape.dim).dim_value = odd
    elif what == 3:
        given = [a for node in graph.node for a in node.attribute]
        if given:
            attribute = rng.choice(given)
            attribute.i = odd
            if attribute.ints:
                attribute.ints[rng.randrange(len(attribute.ints))] = odd
    elif what == 4 and names:
        node = rng.choice(graph.node)
        side = rng.choice((node.input, node.output))
        if side:
            side[rng.randrange(len(side))] = rng.choice((*names, "", "nowhere"))
    elif what == 5 and graph.node:
        graph.node.append(rng.choice(graph.node))
    elif what == 6 and graph.node:
        del graph.node[rng.randrange(len(graph.node))]
    elif what == 7 and graph.initializer:
        tensor = rng.choice(graph.initializer)
        tensor.data_type = rng.randrange(0, 30)
        if rng.random() < 0.5:
            tensor.data_location = 1
            tensor.external_data.add(key="location", value="../../../etc/passwd")
    elif what == 8 and model.opset_import:
        model.opset_import[0].version = rng.choice((0, 1, 7, 13, 99, 1 << 40))
    return bytes(model.SerializeToString())


# Labels, in archives, tables and shards.


def _labels(folder: Path) -> list[og.Demonstrations]:
    generate = og.generate_demonstrations
    return [
        generate(SMALL, 3, 0),
        generate({"name": "dag", "num_tasks": 4}, 2, 0, observation_noise=0.3),
        generate({"name": "default", "num_tasks": 2, "max_tasks": 4}, 3, 0, "cost", alternatives=False),
    ]


def _archives(folder: Path) -> list[bytes]:
    return [_written(partial(_save_labels, labels), "a.npz") for labels in _labels(folder)]


def _save_labels(labels: og.Demonstrations, path: Path) -> None:
    og.save_demonstrations(path, labels)


def _used(labels: og.Demonstrations) -> og.Demonstrations:
    """Labels after all that is read from them was used: an index beyond an array would end the process."""
    og.latency(labels.instances, labels.decisions)
    og.latency(labels.seen, labels.prefixes)
    _ = labels.regret if labels.alternative_s is not None else None
    return labels


def _tables(folder: Path) -> list[bytes]:
    from offload_gym.interop.parquet import save_parquet

    def written(labels: og.Demonstrations) -> bytes:
        return _written(lambda path: save_parquet(path, labels, scenario=SMALL, seed=1), "a.parquet")

    return list(map(written, _labels(folder)))


def _table(path: Path) -> object:
    from offload_gym.interop.parquet import load_parquet, parquet_metadata

    labels = _used(load_parquet(path))
    parquet_metadata(path)
    return labels


def _table_columns(rng: random.Random, data: bytes) -> bytes:
    """A Parquet file with what it says of itself, or a column, changed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data))
    said = dict(table.schema.metadata or {})
    key = next(iter(said))
    what, at = rng.randrange(7), rng.randrange(table.num_columns)
    name, column = table.column_names[at], table.column(at)
    if what < 3:
        table = table.replace_schema_metadata(said | {key: mutations.json_values(rng, said[key])})
    elif what == 3:
        table = table.drop_columns([name])
    elif what == 4:
        table = table.set_column(at, name, table.column(rng.randrange(table.num_columns)))
    elif what == 5:
        rows = json.loads(json.dumps(column.to_pylist()))
        table = table.set_column(at, name, pa.array(mutations.changed_tree(rng, rows)))
    else:
        table = rng.choice((table.slice(0, 0), pa.concat_tables([table] * 3), table.append_column(name, column)))
    file = io.BytesIO()
    pq.write_table(table, file, compression=rng.choice(("snappy", "gzip", "zstd", "none")))
    return file.getvalue()


def _shards(folder: Path) -> list[bytes]:
    og.generate_shards(folder, SMALL, 3, 0, shard_size=2)
    return [(folder / "settings.json").read_bytes()]


def _kept(path: Path) -> None:
    keep_settings(path, {"seed": 1, "scenario": {"name": "default"}})


def _stream_labels(folder: Path) -> list[bytes]:
    shape = np.zeros((4, 3), np.float32)
    return [
        _written(
            lambda path: save_stream_labels(path, StreamLabels(np.zeros((4, size_of(3)), np.float32), shape, shape)),
            "a.npz",
        )
    ]


# Trained policies.


def _policy(path: Path) -> object:
    policy = og.load_policy(path)
    with contextlib.suppress(ValueError):  # it cannot decide these
        policy.decide(INSTANCES)
    return policy


def _graph_policies(folder: Path) -> list[bytes]:
    from offload_gym.networks.graph_network import load_graph_network, save_graph_policy

    network = load_graph_network(WEIGHTS / "dag-small-student.safetensors")
    further = network._replace(scenario_fields=None, num_sweeps=0)
    return [
        (WEIGHTS / "dag-small-student.safetensors").read_bytes(),
        _written(lambda path: save_graph_policy(path, further), "a"),
    ]


def _graph_policy(path: Path) -> object:
    policy = og.load_policy(path)
    with contextlib.suppress(ValueError):
        policy.decide(GRAPHS)
    return policy


def _stream_policy(path: Path) -> object:
    policy = og.load_stream_policy(path)
    with contextlib.suppress(ValueError):
        og.play(STREAMS, policy)
    return policy


def _cell_policy(path: Path) -> object:
    policy = load_cell_policy(path)
    with contextlib.suppress(ValueError):
        policy.decide(INSTANCES, report_of(INSTANCES))
    return policy


def _exported(path: Path) -> object:
    """A policy file whose network goes into a C header, where what it says of itself must not become code."""
    header = path.with_suffix(".h")
    export_c(og.load_policy(path), header)
    if "hostile" in re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.DOTALL):
        raise AssertionError("the header has a text of the file outside of its comments")
    return header


# The command line.


def _sheets(which: str) -> Callable[[Path], list[bytes]]:
    def seeds(folder: Path) -> list[bytes]:
        instances = og.sample_instances({"name": "dag", "num_tasks": 3, "num_edges": 1}, 2, 0)
        write_csv(folder, "ab", instances, [og.schedule(instances, [0, 1, 2], b) for b in range(2)])
        return [(folder / which).read_bytes()]

    return seeds


def _instances_json(folder: Path) -> list[bytes]:
    instances = og.sample_instances({"name": "dag", "num_tasks": 3, "num_edges": 1}, 2, 0)
    rows = [{"instance": name, "fields": fields_of(instances, b)} for b, name in enumerate("ab")]
    return [json.dumps(given).encode() for given in (rows, rows[0]["fields"], {"results": rows})]


def _decide(*arguments: str) -> Callable[[Path], None]:
    """Reading as ``offload-gym decide`` does; its sentence is a ValueError here."""

    def read(path: Path) -> None:
        given = [argument.format(file=path, folder=path.parent) for argument in arguments]
        said, out = io.StringIO(), io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(out):
            code = command_line(["decide", *given, "--policy", "cloud"])
        if code == 2 and said.getvalue().startswith("error: "):
            raise ValueError(said.getvalue().removeprefix("error: ").removesuffix("\n"))
        if code != 0 or "Traceback" in said.getvalue():
            raise RuntimeError(f"exit code {code}: {said.getvalue()[-500:]}")

    return read


# Data sets of Minari, and what `python -m benchmarks` wrote.


def _minari(which: str) -> Callable[[Path], list[bytes]]:
    def seeds(folder: Path) -> list[bytes]:
        from offload_gym.interop.minari import make_minari_dataset

        os.environ["MINARI_DATASETS_PATH"] = str(folder / "minari")
        make_minari_dataset(
            "a-v0", num_episodes=2, scenario=SMALL, num_epochs=1, num_episodes_average_score=0, expert_labels=True
        )
        return [(folder / "minari" / "a-v0" / "data" / which).read_bytes()]

    return seeds


def _minari_dataset(which: str) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        from agents.clone import samples_of
        from offload_gym.interop.minari import SEQUENTIAL, load_minari_dataset

        there = path.parent / "minari" / "a-v0" / "data" / which
        there.write_bytes(path.read_bytes())
        dataset = load_minari_dataset("a-v0", SEQUENTIAL, SMALL)
        return samples_of(dataset, og.make_scenario(**SMALL), None, "cpu")

    return read


def _report_rows(folder: Path) -> list[bytes]:
    from benchmarks.report.page import FURTHER, NUMBERS, TEXTS
    from benchmarks.statistics import TAUS

    row: dict[str, Any] = dict.fromkeys(TEXTS, "default") | dict.fromkeys((*NUMBERS, *FURTHER), 1.5)
    row |= {"policy": "greedy", "num_edges": 1, "num_tasks": 5, "profile": [0.5] * len(TAUS)}
    return [json.dumps([row, row | {"policy": "exact"}]).encode()]


def _report(path: Path) -> object:
    from benchmarks.report.page import page, read_comparisons

    comparisons = read_comparisons(path)
    return page({"comparisons": comparisons})


READERS: dict[str, Reader] = {
    "scenario": Reader(_scenarios, _scenario, _plain(mutations.json_values)),
    "trace": Reader(_text(*TRACES), og.load_trace, _plain(mutations.sheet_cells), 2),
    "arrivals": Reader(_text(*ARRIVALS), arrivals.load_arrivals, _plain(mutations.sheet_cells), 2),
    "sites": Reader(_text(*SITES), mobility.load_sites, _plain(mutations.sheet_cells), 2),
    "positions": Reader(_text(*POSITIONS), _tracks, _plain(mutations.sheet_cells), 2),
    "application": Reader(_own_applications, og.load_application, _plain(mutations.json_values), 2),
    "WfFormat": Reader(
        _text(application_files.WFFORMAT, WFFORMAT_1_4), og.load_application, _plain(mutations.json_values), 2
    ),
    "SAGA": Reader(_text(application_files.SAGA), og.load_application, _plain(mutations.json_values), 2),
    "DAX": Reader(_text(application_files.DAX), og.load_application, _plain(mutations.text_tokens), 2),
    "GraphML": Reader(_text(application_files.GRAPHML), og.load_application, _plain(mutations.text_tokens), 2),
    "DOT": Reader(
        _text(application_files.MRLCO, OWN_DOT, DAGGEN_DOT), og.load_application, _plain(mutations.text_tokens), 2
    ),
    "STG": Reader(_text(application_files.STG), og.load_application, _plain(mutations.text_tokens), 2),
    "ONNX": Reader(_onnx_models, partial(og.load_application, dimensions={"B": 1}), _plain(_onnx_model)),
    "demonstrations": Reader(
        _archives, lambda path: _used(og.load_demonstrations(path)), lambda folder: mutations.npz(folder / TRAP)
    ),
    "table": Reader(_tables, _table, _plain(_table_columns), 0.3),
    "shards": Reader(
        _shards, lambda path: list(og.load_shards(path.parent)), _plain(mutations.json_values), 1, "settings.json"
    ),
    "settings": Reader(
        _text({"seed": 1, "scenario": {"name": "default"}}), _kept, _plain(mutations.json_values), 1, "a.json"
    ),
    "stream labels": Reader(_stream_labels, load_stream_labels, lambda folder: mutations.npz(folder / TRAP)),
    "policy": Reader(
        _weights("default-small-student", "vision-small-student"), _policy, _plain(mutations.safetensors), 1.5
    ),
    "graph policy": Reader(_graph_policies, _graph_policy, _plain(mutations.safetensors), 1.5),
    "stream policy": Reader(
        _weights("stream_applications-small-student", "stream_deadlines-small-student", "stream_mobile-small-student"),
        _stream_policy,
        _plain(mutations.safetensors),
        1.5,
    ),
    "cell policy": Reader(_weights("default-cell-student"), _cell_policy, _plain(mutations.safetensors), 1.5),
    "C header": Reader(_weights("default-small-student"), _exported, _plain(mutations.safetensors), 0.1),
    "instances": Reader(_instances_json, _decide("{file}"), _plain(mutations.json_values), 1, "a.json"),
    "tasks sheet": Reader(
        _sheets("tasks.csv"),
        _decide("{file}", "--locations", "{folder}/locations.csv"),
        _plain(mutations.sheet_cells),
        0.7,
        "a.csv",
    ),
    "locations sheet": Reader(
        _sheets("locations.csv"),
        _decide("{folder}/tasks.csv", "--locations", "{file}"),
        _plain(mutations.sheet_cells),
        0.7,
        "a.csv",
    ),
    "Minari metadata": Reader(
        _minari("metadata.json"), _minari_dataset("metadata.json"), _plain(mutations.json_values), 0.03
    ),
    "Minari episodes": Reader(
        _minari("main_data.hdf5"), _minari_dataset("main_data.hdf5"), _plain(mutations.flip), 0.03
    ),
    "report": Reader(_report_rows, _report, _plain(mutations.json_values)),
}
INSTANCES = og.sample_instances(SMALL, 2, 0)
GRAPHS = og.sample_instances({"name": "dag", "num_tasks": 3}, 2, 0)
STREAMS = og.sample_streams({"name": "stream_deadlines", "num_jobs": 5}, 1, 0)


def outcome(read: Callable[[Path], object], path: Path, data: bytes, number: int = 0) -> str:
    """What a reader makes of a file: "valid", "error" where it is the documented one, else what happened."""
    path.write_bytes(data)
    os.utime(path, ns=(number, number))  # else what is read once would not be read again within a tick of the clock
    try:
        with warnings.catch_warnings(action="ignore"):  # of policies that were trained for something else
            read(path)
    except ValueError as error:
        said = str(error)
        if not said or "\n" in said or len(said) > LONGEST_SENTENCE:
            return f"no sentence of at most {LONGEST_SENTENCE} characters: {said[:300]!r}, {len(said)} characters"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}"
    else:
        return "valid"
    return "error"


def input_of(reader: str, seeds: Sequence[bytes], mutation: mutations.Mutation, seed: int, number: int) -> bytes:
    """Input ``number`` of a reader."""
    return mutations.mutated(random.Random(f"{seed} {reader} {number}"), seeds, mutation)


def _peak_bytes() -> int:
    """The most memory that this process has had; ``getrusage`` would also count that of the one that began it."""
    said = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(said[said.index("VmHWM:") :].split(maxsplit=2)[1]) << 10


def _work(name: str, folder: Path, seed: int, first: int, count: int) -> None:
    """Read inputs ``first`` to ``first + count - 1`` in this process, whose bounds are set here.

    Where it stands is in ``folder / "progress"``, so that the parent knows which file ended it.
    """
    reader = READERS[name]
    seeds = reader.seeds(folder)
    mutation = reader.mutation(folder)
    path, findings = folder / reader.name, []
    for data in seeds:  # also compiles kernels, before the bounds hold
        path.write_bytes(data)
        reader.read(path)
    outcome(reader.read, path, b"{")
    taken = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + ADDRESS_SPACE_BYTES,) * 2)
    progress = np.memmap(folder / "progress", np.int64, "r+", shape=(3,))
    for number in range(first, first + count):
        progress[0] = number
        data = input_of(name, seeds, mutation, seed, number)
        before = _peak_bytes()
        began_s = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, 3 * MOST_CPU_S)  # ends the process
        what = outcome(reader.read, path, data, number)
        signal.setitimer(signal.ITIMER_PROF, 0)
        used_s, grown = time.process_time() - began_s, _peak_bytes() - before
        if used_s > MOST_CPU_S:
            what = f"{used_s:.1f} s of a processor; {what}"
        elif grown > MOST_MEMORY_BYTES:
            what = f"{grown >> 20} MiB of memory for a file of {len(data)} bytes; {what}"
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # so that the next one is seen, too
        if (folder / TRAP).exists():
            what = "code of the file was run"
            (folder / TRAP).rmdir()
        if what == "valid":
            progress[1] += 1
        elif what == "error":
            progress[2] += 1
        else:
            kept = folder / f"input-{number}"
            kept.write_bytes(data)
            findings.append({"input": number, "what": what, "file": str(kept)})
            print(json.dumps(findings[-1]), flush=True)


def run_reader(
    name: str, inputs: int, seed: int = 0, first: int = 0, keep: Path | None = None, program: str = __file__
) -> Tally:
    """Read inputs in processes of their own; one that ends before its last input is reported, and another goes on."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix=f"fuzzing-{name.replace(' ', '-')}-", dir=keep))
    (folder / "progress").write_bytes(bytes(24))
    progress = np.memmap(folder / "progress", np.int64, "r+", shape=(3,))
    findings, number = [], first
    while number < first + inputs:
        command = [
            sys.executable,
            program,
            "--work",
            name,
            str(folder),
            str(seed),
            str(number),
            str(first + inputs - number),
        ]
        progress[0] = -1
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        findings += [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"input"')]
        if done.returncode == 0:
            break
        if progress[0] < 0 or done.returncode == 1:  # an exception outside of the reading, which is caught
            raise RuntimeError(f"the reader {name} cannot be run at input {progress[0]}: {done.stderr[-2000:]}")
        number = int(progress[0])
        ended = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit {done.returncode}"
        kept = folder / f"input-{number}"
        kept.write_bytes((folder / READERS[name].name).read_bytes())
        findings.append({"input": number, "what": f"{ended}: {done.stderr[-300:]}", "file": str(kept)})
        number += 1
        if len(findings) > MOST_FINDINGS:
            break
    valid, errors = int(progress[1]), int(progress[2])
    return Tally(inputs, valid, errors, findings, time.monotonic() - began)


def shares(names: Sequence[str], inputs: int) -> dict[str, int]:
    """How many inputs each reader gets."""
    total = sum(READERS[name].share for name in names)
    return {name: max(1, round(inputs * READERS[name].share / total)) for name in names}


def guided(name: str, inputs: int) -> None:
    """Let libFuzzer choose the files of one reader, in this process: it ends at the first finding."""
    import atheris

    reader, folder = READERS[name], Path(tempfile.mkdtemp(prefix="guided-"))
    seeds, mutation = reader.seeds(folder), reader.mutation(folder)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(seeds):
        assert outcome(reader.read, folder / reader.name, data) == "valid"
        (corpus / str(number)).write_bytes(data)
    for module in _readers_modules():
        for found in list(vars(module).values()):
            if callable(found) and getattr(found, "__module__", "") == module.__name__ and hasattr(found, "__code__"):
                atheris.instrument_func(found)

    def once(data: bytes) -> None:
        what = outcome(reader.read, folder / reader.name, data, random.getrandbits(60))
        if what not in ("valid", "error"):
            raise AssertionError(what)

    def mutate(data: bytes, most: int, number: int) -> bytes:
        return mutations.mutated(random.Random(number), [data or seeds[0]], mutation)[:most]

    options = [f"-runs={inputs}", "-timeout=20", "-rss_limit_mb=4096", f"-max_len={mutations.MOST_BYTES}"]
    atheris.Setup([sys.argv[0], str(corpus), *options], once, custom_mutator=mutate)
    atheris.Fuzz()


def _readers_modules() -> list[Any]:
    """The modules that read and check files, without kernels: numba compiles no bytecode that counts."""
    parts = (
        "applications",
        "sheets",
        "arrivals",
        "mobility",
        "radio",
        "scenario",
        "files",
        "tensor_files",
        "command_line",
    )
    further = ("networks.policy_file", "networks.graph_network", "networks.cell_network", "streams.networks", "shards")
    named = tuple(f"offload_gym.{part}" for part in (*parts, *further))
    return [module for name, module in sorted(sys.modules.items()) if name.startswith(named)]


def main() -> int:
    """Print the table; 1 where a file did something else than it may."""
    if sys.argv[1:2] == ["--work"]:
        _work(sys.argv[2], Path(sys.argv[3]), *map(int, sys.argv[4:]))
        return 0
    parser = argparse.ArgumentParser(description="Hostile files for all that the package reads.")
    parser.add_argument("--inputs", type=int, default=29_000, help="of all readers together (default: %(default)s)")
    parser.add_argument("--readers", nargs="+", choices=READERS, default=list(READERS), metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input (default: %(default)s)")
    parser.add_argument("--keep", type=Path, help="folder for the files that did something else (default: a new one)")
    parser.add_argument("--coverage-guided", action="store_true", help="of one reader, with atheris")
    options = parser.parse_args()
    if options.coverage_guided:
        guided(options.readers[0], options.inputs)
        return 0
    total = Tally(0, 0, 0, [], 0.0)
    print(f"{'reader':16} {'inputs':>9} {'valid':>9} {'errors':>9} {'else':>5} {'seconds':>8}")
    for name, inputs in shares(options.readers, options.inputs).items():
        tally = run_reader(name, inputs, options.seed, options.first, options.keep)
        total = Tally(*(a + b for a, b in zip(total, tally, strict=True)))
        _print(name, tally)
        for found in tally.findings[:20]:
            print(f"    input {found['input']}: {found['what'][:300]!r}\n        {found['file']}", flush=True)
    _print("all", total)
    return int(bool(total.findings))


def _print(name: str, tally: Tally) -> None:
    counts = f"{tally.inputs:9,} {tally.valid:9,} {tally.errors:9,} {len(tally.findings):5,}"
    print(f"{name:16} {counts} {tally.seconds:8.1f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
