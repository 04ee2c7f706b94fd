"""Files in the formats of others, each small and written after its published schema."""

import copy
import json

import pytest

from offload_gym import Application, load_application

MB = 8e6  # bits

# WfFormat 1.5 (https://github.com/wfcommons/WfFormat, wfcommons-schema.json): "split" makes two parts of what the
# device has, "left" works on one with a table of its own, "join" reads what it made and the other part.
WFFORMAT = {
    "name": "split and join",
    "schemaVersion": "1.5",
    "workflow": {
        "specification": {
            "tasks": [
                {
                    "name": "j",
                    "id": "join",
                    "parents": ["left"],
                    "children": [],
                    "inputFiles": ["made", "part 2"],
                    "outputFiles": ["result"],
                },
                {
                    "name": "l",
                    "id": "left",
                    "parents": ["split"],
                    "children": ["join"],
                    "inputFiles": ["part 1", "table"],
                    "outputFiles": ["made", "log"],
                },
                {
                    "name": "s",
                    "id": "split",
                    "parents": [],
                    "children": ["left"],
                    "inputFiles": ["all"],
                    "outputFiles": ["part 1", "part 2"],
                },
            ],
            "files": [
                {"id": name, "sizeInBytes": size}
                for name, size in {
                    "all": 3000000,
                    "part 1": 1000000,
                    "part 2": 2000000,
                    "table": 500000,
                    "made": 1500000,
                    "log": 250000,
                    "result": 4000000,
                }.items()
            ],
        },
        "execution": {
            "makespanInSeconds": 9,
            "executedAt": "",
            "tasks": [
                {"id": "split", "runtimeInSeconds": 0.5},
                {"id": "left", "runtimeInSeconds": 2},
                {"id": "join", "runtimeInSeconds": 3.0},
            ],
        },
    },
}
# "left" has a parent and an input of its own, the table, and a child and an output of its own, the log: each is a task
# without work. The edge from "split" to "join" is declared nowhere, but "join" reads what only "split" writes.
SPLIT_AND_JOIN = Application(
    name="split and join",
    task_names=("left input", "split", "left", "join", "left output"),
    input_bits=(0.5 * MB, 3 * MB, 0, 0, 0),
    output_bits=(0, 0, 0, 4 * MB, 0.25 * MB),
    workload_cycles=(0, 0.5e9, 2e9, 3e9, 0),  # 10^9 cycles for each second
    edges=((2, 3), (1, 2), (1, 3), (0, 2), (2, 4)),
    edge_bits=(1.5 * MB, 1 * MB, 2 * MB, 0.5 * MB, 0.25 * MB),
)

# DAX 2.1 (http://pegasus.isi.edu/schema/dax-2.1.xsd), the same workflow. Sizes that readers give do not count where a
# task writes the file.
DAX = """<?xml version="1.0" encoding="UTF-8"?>
<!-- generated -->
<adag xmlns="http://pegasus.isi.edu/schema/DAX" version="2.1" name="test" jobCount="3">
  <job id="join" name="j" runtime="3.0"><argument>-x</argument>
    <uses file="made" link="input" size="7"/><uses file="part 2" link="input" size="7"/>
    <uses file="result" link="output" size="4000000"/></job>
  <job id="left" name="l" runtime="2">
    <uses file="part 1" link="input" size="7"/><uses file="table" link="input" size="500000"/>
    <uses file="made" link="output" size="1500000"/><uses file="log" link="output" size="250000"/></job>
  <job id="split" name="s" runtime="0.5">
    <uses file="all" link="input" size="3000000"/><uses file="all" link="input" size="3000000"/>
    <uses file="part 1" link="output" size="1000000"/><uses file="part 2" link="output" size="2000000"/>
    <uses file="program" link="none"/></job>
  <child ref="join"><parent ref="left"/></child>
  <child ref="left"><parent ref="split"/></child>
</adag>
"""

# STG (https://www.kasahara.cs.waseda.ac.jp/schedule/format_e.html): three tasks between two empty ones.
STG = """          3
          0          0          0
          1          4          1          0
          2          2          1          1
          3          5          2          1          2
          4          0          1          3
# Standard Task Graph Set Project
#   Tasks             : 3 (+dummy tasks : 2)
"""
# SAGA (https://github.com/ANRGUSC/saga, TaskGraph) as dagbench stores it.
SAGA = {
    "name": "edge.small",
    "task_graph": {
        "tasks": [{"name": "B", "cost": 2}, {"name": "A", "cost": 0.5}],
        "dependencies": [{"source": "A", "target": "B", "size": 0.25}],
    },
    "network": {"nodes": [{"name": "1", "speed": 0.8}], "edges": []},
}
# GraphML (http://graphml.graphdrawing.org/specification.html)
GRAPHML = """<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="d0" for="node" attr.name="workload_cycles" attr.type="double"/>
  <key id="d1" for="edge" attr.name="bits" attr.type="double"/>
  <graph edgedefault="directed">
    <node id="a"><data key="d0">1e9</data></node>
    <node id="b"><data key="d0">2e9</data></node>
    <edge source="b" target="a"><data key="d1">8e6</data></edge>
  </graph>
</graphml>
"""
# MRLCO (https://github.com/linkpark/metarl-offloading): DOT of daggen with bytes in size and expect_size.
MRLCO = """// DAG automatically generated by daggen
digraph G {
  1 [size="2097152", alpha="0.03", expect_size="1000"]
  1 -> 2 [size ="1000"]
  2 [size="1048576", alpha="0.03", expect_size="500"]
}
"""


def load(folder, content, name="given.txt", **options):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return load_application(path, **options)


def changed(data, *path_and_value):
    *path, key, value = path_and_value
    data = copy.deepcopy(data)
    at = data
    for step in path:
        at = at[step]
    at[key] = value
    return data


def test_wfformat(tmp_path):
    assert load(tmp_path, WFFORMAT) == SPLIT_AND_JOIN


def test_wfformat_1_4(tmp_path):
    # Files and run times stand at the tasks, parents are called by id or name, and children are not listed.
    old = {
        "name": "split and join",
        "schemaVersion": "1.4",
        "workflow": {
            "makespanInSeconds": 9,
            "executedAt": "",
            "tasks": [
                {
                    "name": task["name"],
                    "id": task["id"],
                    "type": "compute",
                    "parents": [parent if task["id"] == "left" else parent[0] for parent in task["parents"]],
                    "runtimeInSeconds": run_s,
                    "files": [
                        {"link": link, "name": file["id"], "sizeInBytes": file["sizeInBytes"]}
                        for link, key in (("input", "inputFiles"), ("output", "outputFiles"))
                        for file in WFFORMAT["workflow"]["specification"]["files"]
                        if file["id"] in task[key]
                    ],
                }
                for task, run_s in zip(WFFORMAT["workflow"]["specification"]["tasks"], (3, 2, 0.5), strict=True)
            ],
        },
    }
    assert old["workflow"]["tasks"][0]["parents"] == ["l"]
    assert load(tmp_path, old) == SPLIT_AND_JOIN


def test_dax(tmp_path):
    assert load(tmp_path, DAX, "split and join.dax") == SPLIT_AND_JOIN


def test_stg(tmp_path):
    assert load(tmp_path, STG, "a.stg") == Application(
        name="a",
        task_names=("1", "2", "3"),
        input_bits=(0, 0, 0),
        output_bits=(0, 0, 0),
        workload_cycles=(4e9, 2e9, 5e9),
        edges=((0, 1), (0, 2), (1, 2)),
        edge_bits=(0, 0, 0),
    )
    # The older files have the number of processors in the first line, and one empty task.
    old = "3 20\n1 4 0\n2 2 1 1\n3 5 2 1 2\n4 0 1 3\n"
    assert load(tmp_path, old, "a.stg") == load(tmp_path, STG, "a.stg")
    # With communication, each task that one needs has a line, with the time of what is sent.
    sent = load(tmp_path, "# x\n2 2\n0 15 0\n1 16 1\n   0 14\n", reference_hz=2e9, unit_bits=100)
    assert (sent.workload_cycles, sent.edges, sent.edge_bits) == ((30e9, 32e9), ((0, 1),), (1400,))


def test_saga(tmp_path):
    expected = Application("edge.small", (0, 0), (0, 0), (0.5e9, 2e9), ((0, 1),), (0.25 * MB,), ("A", "B"))
    assert load(tmp_path, SAGA) == expected
    assert load(tmp_path, SAGA["task_graph"], "edge.small.json") == expected
    scaled = load(tmp_path, SAGA, reference_hz=1e6, unit_bits=80)
    assert (scaled.workload_cycles, scaled.edge_bits) == ((0.5e6, 2e6), (20,))


def test_graphml(tmp_path):
    pytest.importorskip("networkx")
    expected = Application("given", (0, 0), (0, 0), (2e9, 1e9), ((0, 1),), (MB,), ("b", "a"))
    assert load(tmp_path, GRAPHML) == expected
    renamed = GRAPHML.replace("workload_cycles", "work")
    assert load(tmp_path, renamed, rename={"work": "workload_cycles"}) == expected


def test_dot_with_the_sizes_of_mrlco(tmp_path):
    # MRLCO's device processes 2^20 bytes a second: 2 s and 1 s. What the first task processes is sent.
    expected = Application(
        "given", (8 * 2097152, 0), (0, 8 * 500), (2e9, 1e9), ((0, 1),), (8 * 1000,), ("1", "2")
    )  # fmt: skip
    assert load(tmp_path, MRLCO) == expected
    assert load(tmp_path, MRLCO, reference_hz=5e8).workload_cycles == (1e9, 0.5e9)
    assert load(tmp_path, MRLCO) == Application.from_dot(tmp_path / "given.txt", cycles_per_byte=1e9 / 2**20)


@pytest.mark.parametrize("content", [WFFORMAT, DAX, STG, SAGA, GRAPHML, MRLCO], ids=lambda it: str(it)[:20])
def test_the_name_of_a_file_says_nothing(tmp_path, content):
    if content is GRAPHML:
        pytest.importorskip("networkx")
    for name in ("a.json", "a.xml", "a.onnx", "a"):
        assert load(tmp_path, content, name).num_tasks >= 2


def test_a_file_that_several_tasks_write(tmp_path):
    # Both parents write "fit", as many tasks of Montage do: the child reads one of each.
    text = """<adag><job id="a" runtime="1"><uses file="fit" link="output" size="10"/></job>
    <job id="b" runtime="1"><uses file="fit" link="output" size="20"/></job>
    <job id="c" runtime="1"><uses file="fit" link="input" size="10"/></job>
    <child ref="c"><parent ref="a"/><parent ref="b"/></child></adag>"""
    assert load(tmp_path, text).edge_bits == (80, 160)
    with pytest.raises(
        ValueError, match="task 'c' reads the file 'fit', which several tasks write, such as 'a' and 'b'"
    ):
        load(tmp_path, text.replace('<child ref="c"><parent ref="a"/><parent ref="b"/></child>', ""))
    # With one parent it is from that one alone, and what the other writes is its output.
    one = load(tmp_path, text.replace('<parent ref="b"/>', ""))
    assert (one.edges, one.output_bits) == (((0, 2),), (0, 160, 0))


def test_a_task_that_writes_over_what_it_reads(tmp_path):
    text = """<adag><job id="a" runtime="1"><uses file="f" link="inout" size="10"/></job>
    <job id="b" runtime="1"><uses file="f" link="input" size="10"/></job>
    <child ref="b"><parent ref="a"/></child></adag>"""
    application = load(tmp_path, text)
    assert application.input_bits == (80, 0)
    assert application.edge_bits == (80,)
    assert application.output_bits == (0, 0)


TASKS = ("workflow", "specification", "tasks")
RUNS = ("workflow", "execution", "tasks")
FILES = ("workflow", "specification", "files")
LOOP = """<adag><job id="a" runtime="1"/><job id="b" runtime="1"/>
<child ref="a"><parent ref="b"/></child><child ref="b"><parent ref="a"/></child></adag>"""
NESTED = "<adag>" + "<x>" * 200 + "</x>" * 200 + "</adag>"
BOMB = '<!DOCTYPE lol [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><adag>&b;</adag>'
OUTSIDE = '<!DOCTYPE adag SYSTEM "file:///etc/passwd"><adag/>'


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        # another kind of file, or none at all
        ("hello", "holds no application that is known; the formats are this project's JSON, WfFormat"),
        ("", "holds no application that is known"),
        ("a,b\n1,2\n", "holds no application that is known"),
        ("<svg/>", "holds no application that is known"),
        ("<html>", "it is not XML: no element found"),
        ("<adag", "it is not XML: unclosed token: line 1"),
        ("<adag><job/></adag>", "a job has no id"),
        ('<adag><job id="a" runtime="1"></adag>', "it is not XML: mismatched tag"),
        (BOMB, "it declares the document type 'lol'; it must declare none"),
        (OUTSIDE, "it declares the document type 'adag'; it must declare none"),
        (NESTED, "elements stand in 100 others; they must stand in fewer"),
        ("<adag/>", "workload_cycles is empty; an application must have at least one task"),
        # WfFormat
        (changed(WFFORMAT, "schemaVersion", "1.3"), "schemaVersion is '1.3'; it must be 1.4 or 1.5"),
        (changed(WFFORMAT, "workflow", []), "workflow is []; it must be an object"),
        (changed(WFFORMAT, "workflow", {}), "workflow has no 'specification'"),
        (changed(WFFORMAT, *TASKS, 3), "specification has 3 as its tasks; it must be a list"),
        (changed(WFFORMAT, *TASKS, 0, 3), "tasks[0] of specification is 3; it must be an object"),
        (changed(WFFORMAT, *TASKS, 0, "id", 3), "id of a task is 3; it must be a string"),
        (changed(WFFORMAT, *TASKS, 0, "id", "left"), "2 tasks have the name 'left'; the names of tasks must differ"),
        (changed(WFFORMAT, *TASKS, 0, "parents", ["lost"]), "the edge 'lost' -> 'join' names 'lost', which is not a"),
        (changed(WFFORMAT, *TASKS, 0, "children", ["split"]), "depend on each other in a cycle"),
        (changed(WFFORMAT, *TASKS, 0, "inputFiles", ["x"]), "inputFiles of task 'join' has 'x', which is not among"),
        (changed(WFFORMAT, *RUNS, []), "task 'join' has no runtimeInSeconds, as execution does not have it"),
        (changed(WFFORMAT, *RUNS, 0, "runtimeInSeconds", -1), "runtimeInSeconds of task 'split' is -1; it must be a n"),
        (changed(WFFORMAT, *RUNS, 0, "runtimeInSeconds", float("nan")), "runtimeInSeconds of task 'split' is nan; it"),
        (
            changed(WFFORMAT, *FILES, 0, "sizeInBytes", -1),
            "sizeInBytes of the file 'all' is -1; it must be a number, f",
        ),
        (changed(WFFORMAT, *FILES, 0, "sizeInBytes", "1"), "sizeInBytes of the file 'all' is '1'; it must be a number"),
        (changed(WFFORMAT, *FILES, 0, "id", "table"), "two files have the id 'table'"),
        # DAX
        (DAX.replace('runtime="2"', ""), "job 'left' has no runtime"),
        (
            DAX.replace('runtime="2"', 'runtime="inf"'),
            "runtime of job 'left' is 'inf'; it must be a number, finite and",
        ),
        (DAX.replace(' size="250000"', ""), "the file 'log' of job 'left' has no size"),
        (DAX.replace('"250000"', '"-2"'), "size of the file 'log' of job 'left' is '-2'; it must be a number, finite"),
        (DAX.replace('link="none"', 'link="both"'), "link of the file 'program' of job 'split' is 'both'; it must be"),
        (DAX.replace('"3000000"', '"3"', 1), "the file 'all' of job 'split' is there twice, with size 3 and 3e+06"),
        (DAX.replace('parent ref="left"', 'parent ref="x"'), "the edge 'x' -> 'join' names 'x', which is not a task"),
        (DAX.replace('id="join"', 'id="left"'), "2 tasks have the name 'left'"),
        (LOOP, "depend on each other in a cycle"),
        ('<adag><dax id="w"/></adag>', "it has the workflow 'w' in it; it must have jobs alone"),
        # STG
        (STG.replace("3\n", "9\n", 1), "line 1 says that there are 9 tasks, and there are 5; there must be 9, or one"),
        (STG.replace(" 4 ", " -4 ", 1), "processing time of task '1' (line 3) is '-4'; it must be a number, finite"),
        (STG.replace("1          2\n", "1\n"), "line 5 says that task '3' needs 2 tasks, and names 1"),
        (
            STG.replace("5          2  ", "5          x  "),
            "line 5 says that task '3' needs 'x' tasks; it must be a whole",
        ),
        (STG.replace("3          5 ", "2          5 "), "2 tasks have the name '2'"),
        (STG.replace("4          0 ", "4          1 "), "task '4' has a processing time; an empty task at an end"),
        ("1\n0 1 0\n1 1\n", "line 3 is '1 1'; it must be a task, its time, how many it needs, and which"),
        ("2\n0 1 0\n1 1 1\n0 x\n", "communication time from task '0' to '1' (line 4) is 'x'; it must be a number"),
        ("2\n0 1 0\n1 1 1\n", "the file ends where task '1' must have 1 lines"),
        ("2\n0 1 0\n1 1 1 7\n", "the edge '7' -> '1' names '7', which is not a task"),
        # SAGA
        (changed(SAGA, "task_graph", 3), "task_graph is 3; it must be an object"),
        (changed(SAGA, "task_graph", "tasks", 0, {"name": "B"}), "task 'B' has no 'cost'"),
        (
            changed(SAGA, "task_graph", "tasks", 0, "cost", -2),
            "cost of task 'B' is -2; it must be a number, finite and",
        ),
        (changed(SAGA, "task_graph", "tasks", 0, "name", "A"), "2 tasks have the name 'A'"),
        (changed(SAGA, "task_graph", "dependencies", 0, "size", None), "size of the dependency 'A' -> 'B' is None"),
        (changed(SAGA, "task_graph", "dependencies", 0, "source", "C"), "the edge 'C' -> 'B' names 'C', which is not"),
        # more than an application may have
        ("1000000\n0 3 0\n", "it has at least 1,000,000 tasks; it must have at most 100,000"),
        ({"name": "x", "tasks": [{}] * 100_001}, "it has at least 100,001 tasks; it must have at most 100,000"),
        (
            "digraph { {" + " ".join(f"a{i}" for i in range(1001)) + "} -> {" + " ".join(map(str, range(1000))) + "} }",
            "it has at least 1,001,000 edges; it must have at most 1,000,000",
        ),
    ],
)
def test_bad_files_give_one_sentence(tmp_path, content, sentence):
    with pytest.raises(ValueError, match=r".") as error:
        load(tmp_path, content)
    assert sentence in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'given.txt'}")
    assert "\n" not in str(error.value)
    assert str(error.value).count("given.txt") == 1


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('id="b"', 'id="a"', "2 nodes have the id 'a'; the ids of nodes must differ"),
        ('source="b"', 'source="c"', "an edge names 'c', which is not a node"),
        ('"directed"', '"undirected"', "the graph is a Graph; it must be a networkx.DiGraph"),
        (">2e9<", ">many<", "networkx cannot read this GraphML: ValueError: could not convert string to float"),
        (">2e9<", ">-1<", "workload_cycles of task 'b' (0) is -1.0; it must be finite and at least 0"),
        ("<graphml", "<!DOCTYPE g><graphml", "it declares the document type 'g'; it must declare none"),
        ("workload_cycles", "load", "task 'a' has the unknown attribute 'load'"),
    ],
)
def test_bad_graphml(tmp_path, old, new, sentence):
    pytest.importorskip("networkx")
    with pytest.raises(ValueError, match=r".") as error:
        load(tmp_path, GRAPHML.replace(old, new))
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("content", "options", "sentence"),
    [
        (STG, {"reference_hz": 0}, "reference_hz is 0; it must be a number, finite and above 0"),
        (STG, {"reference_hz": "1e9"}, "reference_hz is '1e9'; it must be a number"),
        (SAGA, {"unit_bits": float("inf")}, "unit_bits is inf; it must be a number, finite and above 0"),
        (DAX, {"unit_bits": 8}, "unit_bits is 8, and {path} is DAX, to which it does not belong"),
        (WFFORMAT, {"rename": {}}, "rename is {{}}, and {path} is WfFormat, to which it does not belong"),
        (STG, {"dimensions": {"n": 1}}, "dimensions is {{'n': 1}}, and {path} is STG, to which it does not belong"),
        (STG, {"dimensions": 3}, "dimensions is 3; it must be a dict, such as {{'batch': 1}}"),
        (STG, {"dimensions": {"n": 0}}, "dimensions['n'] is 0; it must be a whole number, at least 1"),
        ({"name": "x", "tasks": []}, {"reference_hz": 1}, "reference_hz is 1, and {path} is this project's JSON, to"),
        ("digraph { a [size=1] }", {"reference_hz": 1}, "{path}: reference_hz is given, and this DOT file has cycles"),
    ],
)
def test_options_that_do_not_belong_to_a_file(tmp_path, content, options, sentence):
    with pytest.raises(ValueError, match=r".") as error:
        load(tmp_path, content, **options)
    assert str(error.value).startswith(sentence.format(path=tmp_path / "given.txt"))
