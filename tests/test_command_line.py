"""``offload-gym``: what it prints, what it reads back, and what it says to a user's mistake."""

import csv
import io
import json
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from numba import njit

import offload_gym
from offload_gym import Instances, load_demonstrations, load_shards, make_policy, sample_instances, solve
from offload_gym.command_line import deciding, instances_csv, main, patience
from offload_gym.command_line.field_names import OPTIONAL_FIELDS, REQUIRED_FIELDS, UNITS
from offload_gym.command_line.instances_csv import SITE_FIELDS, instances_of_csv, write_csv
from offload_gym.command_line.instances_json import fields_of, instances_of_json
from offload_gym.delay import schedule
from offload_gym.instances import LOCATION_FIELDS, TASK_FIELDS
from offload_gym.scenario import PRESETS, SUMMARIES
from offload_gym.seeds import seed_for

TASKS = """\
input_bits,output_bits,workload_cycles
2e6,0.1e6,1.0e9
2e6,0.2e6,0.2e9
4e6,0.4e6,0.4e9
"""
LOCATIONS = """\
cpu_hz,cores,backlog_s,uplink_bps,downlink_bps,wired_bps,propagation_s
1e9,1,0,,,,
4e9,1,0.1,10e6,20e6,inf,0.005
10e9,2,0,10e6,20e6,100e6,0.030
"""


@pytest.fixture
def sheets(tmp_path, monkeypatch):
    """The case worked out by hand as sheets, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "tasks.csv").write_text(TASKS, encoding="utf-8-sig")  # as spreadsheets do
    (tmp_path / "locations.csv").write_text(LOCATIONS)
    return ["tasks.csv", "--locations", "locations.csv"]


def say(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def same(ours: Instances, theirs: Instances) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(ours.batch, theirs.batch, strict=True))


def mixed_instances() -> Instances:
    """Instances that differ in their tasks and edges, with prices, radio backlogs and backlogs for each core."""
    drawn = sample_instances({"name": "dag", "num_tasks": 3, "max_tasks": 6, "num_edges": 1}, 4, 0)
    backlog_s = np.zeros((4, 3, 8))
    backlog_s[:, 1, :2] = [[0.1, 0.25]]
    backlog_s[:, 2] = 0.01 * np.arange(8)
    sizes = {name: np.where(drawn.present, getattr(drawn, name), 0.0) for name in TASK_FIELDS}
    return drawn.replace(**sizes, backlog_s=backlog_s, radio_backlog_s=np.arange(4) / 7)


def test_the_hand_case_is_solved_from_sheets(sheets, capsys):
    assert main(["solve", *sheets]) == 0
    said = capsys.readouterr().out
    assert "makespan 470.00 ms, optimal" in said
    assert "   1  1 edge 1     0     200.00  400.00  405.00    455.00         470.00" in said
    assert "\ndevice 0 " in said
    assert max(map(len, said.splitlines())) <= 80
    assert main(["solve", *sheets, "--objective", "mean"]) == 0
    assert "mean completion 395.33 ms, optimal" in capsys.readouterr().out


def test_json_and_csv_that_are_printed_are_read_back(sheets, capsys, monkeypatch):
    # GIVEN a solved instance as JSON and as sheets
    assert main(["solve", *sheets, "--json", "--csv", "written"]) == 0
    printed = capsys.readouterr().out
    (row,) = json.loads(printed)["results"]
    assert row["decision"] == [2, 1, 0]
    assert row["latency_s"] == row["lower_bound_s"] == pytest.approx(0.470)
    assert row["optimal"] is True
    assert row["schedule"][2]["send_start_s"] is None
    assert row["fields"]["wired_bps"] == ["inf", "inf", 100e6]
    with open("written/tasks.csv", newline="") as file:
        assert [float(line["completion_s"]) for line in csv.DictReader(file)] == pytest.approx([0.386, 0.470, 0.400])
    # THEN they are not overwritten unasked
    assert main(["solve", *sheets, "--csv", "written"]) == 2
    assert "tasks.csv is there already; --overwrite replaces it" in capsys.readouterr().err
    assert main(["solve", *sheets, "--csv", "written", "--overwrite"]) == 0
    capsys.readouterr()
    # AND an instance has a name of its own
    say(monkeypatch, json.dumps({"results": [row, row]}))
    assert main(["decide", "-", "--policy", "cloud"]) == 2
    assert "has the instance '0', as one before it; each must have its own name" in capsys.readouterr().err
    # AND another command reads both
    say(monkeypatch, printed)
    assert main(["decide", "-", "--policy", "cloud", "--json"]) == 0
    (of_json,) = json.loads(capsys.readouterr().out)["results"]
    assert of_json["latency_s"] == pytest.approx(0.964)
    again = ["written/tasks.csv", "--locations", "written/locations.csv"]
    assert main(["decide", *again, "--policy", "cloud", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"] == [of_json]


def test_instances_of_every_kind_come_back_to_the_last_bit(tmp_path):
    instances = mixed_instances()
    assert len(set(instances.task_counts)) > 1
    assert instances.edge_start[:, -1].max() > 0
    names = ["a", "b", "c", "d"]
    # through JSON
    text = json.dumps([{"instance": n, "fields": fields_of(instances, b)} for b, n in enumerate(names)])
    assert "Infinity" not in text
    back = instances_of_json(json.loads(text), "x")
    assert back[0] == names
    assert same(back[1], Instances.concatenate(instances[b : b + 1] for b in range(4)))
    # through sheets, whose rows are not in order, and with the separator of another country
    schedules = [schedule(instances, np.zeros(6, dtype=np.int64), b) for b in range(4)]
    tasks, locations = (path.read_text().splitlines() for path in write_csv(tmp_path, names, instances, schedules))
    shuffled = "\n".join([tasks[0], *sorted(tasks[1:], key=lambda line: line[::-1])]).replace(",", ";")
    given = instances_of_csv(shuffled, "t", "\n".join([locations[0], *locations[:0:-1]]), "l")
    order = [names.index(name) for name in given[0]]
    assert sorted(order) == [0, 1, 2, 3]
    assert same(given[1], Instances.concatenate(instances[b : b + 1] for b in order))


def test_one_instance_and_a_batch_of_json(hand_case):
    fields = {name: getattr(hand_case, name).tolist() for name in (*REQUIRED_FIELDS, "radio_backlog_s")}
    one = {name: value[0] for name, value in fields.items()}
    for data, number in ((one, 1), (fields, 1), ([one, fields], 2), ({"results": [{"fields": one}]}, 1)):
        names, instances = instances_of_json(json.loads(json.dumps(data)), "x")
        assert names == [str(b) for b in range(number)]
        assert same(instances, Instances.concatenate([hand_case] * number))


def test_a_scenario_is_drawn_from_and_decided_as_in_python(tmp_path, monkeypatch, capsys):
    scenario = {"name": "default", "edge_cores": 2}
    instances = sample_instances(scenario, 3, 7)
    (tmp_path / "scenario").write_text(json.dumps(scenario))
    arguments = [str(tmp_path / "scenario"), "--num-instances", "3", "--seed", "7"]
    assert main(["solve", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    expected = solve(instances)
    for b in range(3):
        assert lines[1 + b].split()[:3] == [str(b), f"{1e3 * expected.latency_s[b]:.2f}", "optimal"]
        assert lines[1 + b].split()[3:] == list(map(str, expected.decisions[b]))
    # a built-in policy and the file of a trained one
    weights = Path(offload_gym.__file__).parent / "weights" / "default-student.safetensors"
    answers = []
    for policy in ("student", str(weights)):
        assert main(["decide", *arguments, "--policy", policy, "--json"]) == 0
        answers.append([row["decision"] for row in json.loads(capsys.readouterr().out)["results"]])
    assert answers[0] == answers[1] == make_policy("student").decide(instances).tolist()
    # a limited search says how far it may be off, and several schedules can be printed
    assert main(["solve", "default", "--num-instances", "2", "--max-nodes", "1", "--schedule"]) == 0
    said = capsys.readouterr().out
    assert said.count("device 0 ") == 2
    assert "% above the optimum" in said


@pytest.mark.parametrize("first", ["sep=;", "SEP", '"sep=;"', "sep=;;;"])
def test_a_sheet_may_say_its_separator_as_excel_does(first, sheets, capsys):
    if first == "SEP":
        first = "sep=,"
        Path("tasks.csv").write_text(f"{first}\n{TASKS}")
    else:
        Path("tasks.csv").write_text(f"{first}\r\n{TASKS.replace(',', ';')}", newline="")
    assert main(["solve", *sheets]) == 0
    assert "makespan 470.00 ms, optimal" in capsys.readouterr().out
    Path("tasks.csv").write_text(f"sep=;\n{TASKS.replace(',', ';').replace('0.2e9', 'abc')}")
    assert main(["solve", *sheets]) == 2
    assert "tasks.csv, row 4: workload_cycles is 'abc'" in capsys.readouterr().err


def changed(text, old, new):
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("tasks", "locations", "sentence"),
    [
        (("input_bits", "input_kb"), None, "tasks.csv has the column 'input_kb' where input_bits is expected, in bits"),
        (("input_bits", "input_bytes"), None, "where input_bits is expected, in bits (a byte is 8 bits, a kB 8,000)"),
        (("workload_cycles", "Workload (Gcycles)"), None, "where workload_cycles is expected, in CPU cycles"),
        (("output_bits", "outptu_bits"), None, "has the column 'outptu_bits' where output_bits is expected"),
        (("output_bits", "remark"), None, "has no column output_bits; it must have input_bits, output_bits, workload"),
        (("0.2e9", "0.2e9,7"), None, "tasks.csv, row 3 has 4 cells; the header has 3"),
        (("0.2e9", "abc"), None, "tasks.csv, row 3: workload_cycles is 'abc'; it must be a number"),
        (("0.2e9", "-1"), None, "workload_cycles[0, 1] is -1.0; it must be finite and at least 0"),
        ((TASKS, ""), None, "tasks.csv is empty"),
        (None, ("uplink_bps", "uplink_mbps"), "where uplink_bps is expected, in bits a second (a Mbit/s is 1e6)"),
        (None, ("backlog_s", "backlog_ms"), "where backlog_s is expected, in seconds (a ms is 0.001)"),
        (
            None,
            ("10e9,2,0,", "10e9,1000000,0,"),
            "row 4: cores is 1000000.0; it must be a whole number from 1 to 10,000",
        ),
        (None, ("10e9,2,0,", "10e9,nan,0,"), "locations.csv, row 4: cores is nan; it must be a whole number from 1 to"),
        (None, ("20e6,inf", "20e6,"), "locations.csv, row 3: wired_bps is ''; it must be a number"),
        (
            None,
            ("10e9,2,0,", "10e9,2,0 0 0,"),
            "row 4: backlog_s has 3 numbers; it must have one, or one for each core",
        ),
    ],
)
def test_mistakes_in_sheets(sheets, capsys, tasks, locations, sentence):
    if tasks:
        Path("tasks.csv").write_text(changed(TASKS, *tasks))
    if locations:
        Path("locations.csv").write_text(changed(LOCATIONS, *locations))
    assert main(["solve", *sheets]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    assert sentence in error


@pytest.mark.parametrize(
    ("content", "arguments", "sentence"),
    [
        (None, [], "given is neither a file nor a preset; the presets are"),
        (b"\xff\x00\x01", [], "given is not a text in UTF-8"),
        (b"{", [], "given is not JSON: "),
        (b"[" * 100_000, [], "given is not JSON: "),
        (TASKS.encode(), [], "--locations CSV names the sheet of locations"),
        (b"[]", [], "given is an empty list"),
        (b"[3]", [], "given[0] is 3; it must be an object"),
        (b'{"name": "nowhere"}', [], "given: scenario is 'nowhere'; the presets are default"),
        (b'{"num_taks": 3}', [], "given: a scenario has no field 'num_taks'"),
        (b'{"num_tasks": 2}', ["--locations", "x.csv"], "given is not a sheet of tasks"),
        (b'{"num_tasks": 2}', ["--num-instances", "0"], "num_instances is 0; it must be a whole number, at least 1"),
        (b'{"input_kb": [3], "cpu_hz": [1]}', [], "has the field 'input_kb' where input_bits is expected"),
        (b'{"name": "w", "workflow": {}}', [], "given: the workflow has no 'schemaVersion'"),
        (b'{"name": "w", "flow": {}}', [], "given has the keys 'name', 'flow'; it must be an application (name"),
        (b"<adag>", [], "given: it is not XML: no element found"),
        (b"<svg/>", [], "given holds neither JSON nor an application; if it is a sheet of tasks, --locations CSV"),
        (b'<adag><job id="a" runtime="1"/></adag>', ["--dimension", "n=1"], "dimensions is {'n': 1}, and given is DAX"),
        (b'<adag><job id="a" runtime="1"/></adag>', ["--reference-hz", "0"], "reference_hz is 0.0; it must be"),
        (b'{"num_tasks": 2}', ["--unit-bits", "8"], "--unit-bits belongs to an application; given holds a scenario"),
        (b'{"name": "g", "nodes": [], "edges": []}', [], "a scenario (a preset's name, and fields such as num_tasks)"),
        (b'{"name": [], "links": 3}', [], "or instances (input_bits, cpu_hz and the other fields)"),
        (b'{"name": "x", "num_taks": 3}', [], "given: scenario is 'x'; the presets are default"),
        (b'{"name": "default", "cpu_hz": [1]}', [], "given: a scenario has no field 'cpu_hz'"),
        (b'{"name": "x", "cpu_hz": [1]}', [], "given has no field input_bits; it must have"),
        (b'{"name": "a", "tasks": {"b": 1}}', [], "given: tasks is {'b': 1}; it must be a list"),
        (b'{"name": "a", "tasks": ' + b"[" * 200 + b"]" * 200 + b"}", [], "given: tasks[0] is [[[["),
        (b'{"name": "default"}', ["--seed", "-1"], "seed is -1; it must be at least 0"),
        (b'{"name": "default"}', ["--csv", "given"], "given: File exists"),
    ],
)
def test_mistakes_in_what_is_given(tmp_path, monkeypatch, capsys, content, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("given").write_bytes(content)
    assert main(["solve", "given", *arguments]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1


DAX = (
    '<adag><job id="sense" runtime="2"><uses file="f" link="output" size="1000"/></job>'
    '<job id="plan" runtime="0.5"><uses file="f" link="input" size="1000"/></job>'
    '<child ref="plan"><parent ref="sense"/></child></adag>'
)


def test_applications_in_formats_of_others(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("flow.dax").write_text(DAX)
    decide = ["decide", "flow.dax", "--policy", "local", "--json"]
    # On the device one task runs after the other, at 10^9 cycles a second of run time.
    for options, cycles, scenario in (
        ([], [2e9, 0.5e9], "default"),
        (["--reference-hz", "4e8"], [8e8, 2e8], "default"),
        (["--scenario", "dag"], [2e9, 0.5e9], "dag"),
    ):
        assert main([*decide, *options]) == 0
        (row,) = json.loads(capsys.readouterr().out)["results"]
        assert row["fields"]["workload_cycles"] == cycles
        assert row["fields"]["edge_bits"] == [8000]
        assert [task["name"] for task in row["schedule"]] == ["sense", "plan"]
        assert len(row["fields"]["cpu_hz"]) == offload_gym.make_scenario(scenario).num_locations
    assert main(["solve", "flow.dax"]) == 0
    assert "complete (ms)  name\n   0" in (said := capsys.readouterr().out)
    assert "  plan\n" in said
    say(monkeypatch, DAX)
    assert main(["solve", "-", "--num-instances", "3"]) == 0
    assert "3 instances: makespan" in capsys.readouterr().out


def test_an_onnx_model(tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    offload_gym.export_onnx(make_policy("small-student"), "net.onnx", num_tasks=2)
    assert main(["decide", "net.onnx", "--policy", "local"]) == 2
    assert "net.onnx: the model leaves the dimensions 'B' of its inputs open" in capsys.readouterr().err
    assert main(["decide", "net.onnx", "--policy", "local", "--dimension", "B=1"]) == 0
    assert "MatMul" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["decide", "net.onnx", "--policy", "local", "--dimension", "B"])
    assert "'B' must be NAME=SIZE, such as batch=1" in capsys.readouterr().err


def test_mistakes_in_values_of_json(hand_case, tmp_path, capsys):
    fields = fields_of(hand_case, 0)
    path = tmp_path / "one.json"
    for change, sentence in (
        ({"cpu_hz": [1e9, "fast", 1e10]}, "cpu_hz holds 'fast'; it must hold numbers"),
        ({"cpu_hz": [1e9, 10**400, 1e10]}, "cpu_hz holds a whole number of 401 digits; it must be finite"),
        ({"cores": [1, 2, 10**6]}, "cores[0, 2] is 1000000.0; it must be a whole number from 1 to 10,000"),
        ({"cores": [1, 0, 2]}, "cores[0, 1] is 0.0; it must be a whole number from 1 to 10,000"),
        ({"edges": 5}, "edges is 5; it must be a list of pairs"),
        ({"edges": [[1, 0]], "edge_bits": [1.0]}, "a parent must come before its child"),
        ({"output_bits": [1.0]}, "output_bits has the shape (1, 1); it must be (1, 3)"),
        ({"colour": 1}, "has the unknown field 'colour'"),
    ):
        path.write_text(json.dumps(fields | change))
        assert main(["solve", str(path)]) == 2
        assert sentence in capsys.readouterr().err
    path.write_text(json.dumps(fields))
    assert main(["solve", str(path), "--num-instances", "2"]) == 2
    assert "--num-instances belongs to a scenario" in capsys.readouterr().err
    assert main(["solve", str(path), "--scenario", "vision"]) == 2
    assert "--scenario belongs to an application" in capsys.readouterr().err
    for policy, sentence in (
        ("gredy", "did you mean greedy?"),
        (str(path), "one.json"),
        (str(tmp_path), str(tmp_path)),
    ):
        assert main(["decide", str(path), "--policy", policy]) == 2
        assert sentence in capsys.readouterr().err


def test_play_compares_with_the_policies(monkeypatch, capsys):
    say(monkeypatch, "2 1\n0 7\n0 0 0 0 0\n")
    assert main(["play", "--seed", "3"]) == 0
    said = capsys.readouterr().out
    assert "the location is '7'; it must be a whole number from 0 to 2" in said
    assert said.count("complete at") == 3 * 8
    instances = environment_epoch(3)
    mine = offload_gym.latency(instances, [[2, 1, 0, 0, 0, 0, 0, 0]])[0]
    optimum = solve(instances)
    lines = {line.split()[0]: line.split()[1:] for line in said.splitlines()[-4:]}
    assert list(lines) == ["you", "greedy", "student", "optimum"]
    assert lines["you"] == [f"{1e3 * mine:.2f}", f"{100 * (mine / optimum.latency_s[0] - 1):.1f}"]
    assert lines["optimum"] == [f"{1e3 * optimum.latency_s[0]:.2f}", "0.0", *map(str, optimum.decisions[0])]


def environment_epoch(seed):
    import gymnasium as gym

    env = gym.make("offload_gym/Sequential-v0", num_epochs=1).unwrapped
    env.reset(seed=seed)
    return env.true_instances


@pytest.mark.parametrize("ending", ["1 q", "1", KeyboardInterrupt])
def test_play_ends_when_the_user_wants(monkeypatch, capsys, ending):
    if ending is KeyboardInterrupt:

        class Interrupted(io.StringIO):
            def readline(self):
                raise KeyboardInterrupt

        monkeypatch.setattr(sys, "stdin", Interrupted())
    else:
        say(monkeypatch, ending)
    assert main(["play", "--num-tasks", "4"]) == 0
    assert capsys.readouterr().out.endswith("not finished\n")


def test_demonstrations(tmp_path, capsys):
    path, folder = str(tmp_path / "new" / "a.npz"), str(tmp_path / "shards")
    small = ["demonstrations", "--num-tasks", "3", "--num-instances", "5"]
    assert main([*small, "--output", path, "--purpose", "test", "--seed", "4"]) == 0
    expected = offload_gym.generate_demonstrations({"num_tasks": 3}, 5, seed_for("test", 4))
    assert (load_demonstrations(path).alternative_s == expected.alternative_s).all()
    Path(folder).mkdir()
    assert capsys.readouterr().err == ""  # no bars where there is no terminal
    for arguments, sentence in (
        (["--output", path], "is there already; --overwrite replaces it"),
        (["--output", folder], "is a folder; it must be a file"),
        (["--output", path, "--shard-size", "3"], "is a file; with --shard-size it must be a folder"),
        (["--output", path, "--num-jobs", "2"], "--num-jobs belongs to shards"),
    ):
        assert main([*small, *arguments]) == 2
        assert sentence in capsys.readouterr().err
    assert main([*small, "--output", path, "--overwrite"]) == 0


def test_demonstrations_in_shards(tmp_path, capsys):
    pytest.importorskip("joblib")
    arguments = ["demonstrations", "--num-tasks", "3", "--num-instances", "5", "--shard-size", "3", "--no-alternatives"]
    assert main([*arguments, "--output", str(tmp_path / "shards")]) == 0
    assert [len(part.instances) for part in load_shards(tmp_path / "shards")] == [3, 2]
    assert capsys.readouterr().err == ""


def test_lists(capsys):
    assert main(["envs"]) == 0
    said = capsys.readouterr().out
    assert "offload_gym/Sequential-v0" in said
    assert "MultiDiscrete([3 3 3 3 3 3 3 3])" in said
    assert all(f"  {name} " in said for name in PRESETS)
    assert max(map(len, said.splitlines())) <= 80
    assert SUMMARIES.keys() == PRESETS.keys()


def test_names_of_fields_are_those_of_instances():
    assert {*SITE_FIELDS, "radio_backlog_s"} == {*LOCATION_FIELDS, "backlog_s", "radio_backlog_s"}
    assert {*instances_csv.RESULT_FIELDS} <= {*offload_gym.Schedule._fields}
    units = {name.rpartition("_")[2] for name in (*REQUIRED_FIELDS, *OPTIONAL_FIELDS) if "_" in name}
    assert units <= {*UNITS, "counts", "j"}


def test_help_fits_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    for command in ([], ["envs"], ["solve"], ["decide"], ["demonstrations"], ["play"]):
        with pytest.raises(SystemExit, match="0"):
            main([*command, "--help"])
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 80, command


def test_a_warning_is_one_line(monkeypatch, capsys):
    say(monkeypatch, '{"num_tasks": 3}')
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["decide", "-", "--policy", "student", "--num-instances", "2"]) == 0
    said = capsys.readouterr().err
    assert said == "warning: the policy student was trained on instances of 8 tasks; with 3 it may decide worse\n"


def run(*arguments, **options):
    command = [sys.executable, "-m", "offload_gym", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def test_the_program_itself():
    assert run("--version").stdout == f"offload-gym {offload_gym.__version__}\n"
    wrong = run("solve", "/nowhere.json")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "error: /nowhere.json cannot be read: No such file or directory\n"


@pytest.mark.skipif(os.name != "posix", reason="pipes of a shell")
def test_a_reader_that_leaves_is_no_mistake():
    program = f"{sys.executable} -m offload_gym --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_output_that_is_not_utf_8(encoding, monkeypatch, capsys):
    """The backlogs are drawn by another character there, and the names of instances lose what it does not have."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["solve", "default"]) == 0
    in_utf_8 = capsys.readouterr().out
    assert "|░" in in_utf_8
    done = run("solve", "default", env={**os.environ, "PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == in_utf_8.replace("░", ":")
    instances = sample_instances("default", 2)
    rows = [{"instance": name, "fields": fields_of(instances, b)} for b, name in enumerate(("müde", "日"))]
    say(monkeypatch, json.dumps(rows))
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    assert main(["decide", "-", "--policy", "cloud"]) == 0
    lines = written.getvalue().decode(encoding).splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["müde" if encoding == "latin-1" else "m?de", "?"]


def test_who_waits_for_a_search_is_told_what_ends_it(monkeypatch, capsys):
    # GIVEN a terminal, and a search that takes long
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(patience, "PATIENCE_S", 0.01)
    told = threading.Event()
    monkeypatch.setattr(deciding, "solve", lambda *given, **limits: (told.wait(0.3), solve(*given, **limits))[1])
    solve(sample_instances("default", 1, seed=0))  # compiles
    assert main(["solve", "default"]) == 0
    assert "searching; Ctrl-C ends it with the best decisions so far, and --max-nodes" in capsys.readouterr().err


def test_who_waits_for_kernels_is_told_at_once_and_once(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(patience._Watch, "told", False)
    monkeypatch.setattr(patience, "PATIENCE_S", 0.5)
    begin = patience._Watch.on_start
    monkeypatch.setattr(patience._Watch, "on_start", lambda watch, what: (begin(watch, what), time.sleep(1.0)))
    for text in (f"{patience.COMPILING}\n", ""):  # not that anything else takes long
        with patience.patience():
            njit(lambda x: x + 1)(1)
        assert capsys.readouterr().err == text
