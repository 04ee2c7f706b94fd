"""Files that hold no application, or a bad one, and options that do not belong to a file."""

import pytest
from application_files import DAX, GRAPHML, SAGA, STG, WFFORMAT, changed, load

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
        ('"b"><data', '"b"><graph><node id="c"/></graph><data', "networkx reads 2 of the 3 nodes and 1 of the 1 edges"),
        ("</graph>", '</graph><graph edgedefault="directed"><node id="c"/></graph>', "2 of the 3 nodes"),
        (
            "</graph>",
            '<edge source="b" target="a"/></graph>',
            "the graph is a MultiDiGraph; it must be a networkx.DiGraph",
        ),
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
