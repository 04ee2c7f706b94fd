import json
import math
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from offload_gym.applications.application import Application
from offload_gym.applications.loading import load_application, save_application
from offload_gym.applications.presets import CCR_BPS, CCR_HZ, face_recognition, random_application


def diamond(**changes) -> Application:
    """detect -> left, right -> match."""
    fields = {
        "name": "diamond",
        "input_bits": [4e6, 0, 0, 0],
        "output_bits": [0, 0, 0, 1e4],
        "workload_cycles": [1e9, 2e8, 3e8, 4e8],
        "edges": [(0, 1), (0, 2), (1, 3), (2, 3)],
        "edge_bits": [1e6, 2e6, 3e6, 4e6],
        "task_names": ["detect", "left", "right", "match"],
    }
    return Application(**fields | changes)


def test_fields_become_tuples_of_floats():
    application = diamond(workload_cycles=np.array([1, 2, 3, 4]), edges=np.array([[0, 1], [0, 2], [1, 3], [2, 3]]))
    assert application == diamond(workload_cycles=(1.0, 2.0, 3.0, 4.0))
    assert application.edges == ((0, 1), (0, 2), (1, 3), (2, 3))
    assert {type(value) for value in (*application.workload_cycles, *application.input_bits)} == {float}
    assert {type(end) for edge in application.edges for end in edge} == {int}
    assert application.num_tasks == 4
    assert hash(application) == hash(diamond(workload_cycles=[1, 2, 3, 4]))


def test_tasks_are_named_after_their_numbers_by_default():
    assert Application("two", [1, 2], [3, 4], [5, 6]).task_names == ("0", "1")


def test_an_application_survives_json():
    application = diamond()
    assert Application(**json.loads(json.dumps(asdict(application)))) == application


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": 3}, "name is 3; it must be a string"),
        (
            {"workload_cycles": [1e9, -1.0, 0, 0]},
            "workload_cycles of task 'left' (1) is -1.0; it must be finite and at least 0",
        ),
        (
            {"input_bits": [0, 0, math.nan, 0]},
            "input_bits of task 'right' (2) is nan; it must be finite and at least 0",
        ),
        (
            {"output_bits": [0, 0, 0, math.inf]},
            "output_bits of task 'match' (3) is inf; it must be finite and at least 0",
        ),
        ({"output_bits": [0, 0]}, "output_bits has 2 numbers; it must have 4, as workload_cycles has"),
        ({"workload_cycles": 5.0}, "workload_cycles has the shape (); it must be one number after the other"),
        ({"edges": [(0, 1), (2, 2)]}, "the edge 2 -> 2 ('right' -> 'right') makes a task depend on itself"),
        ({"edges": [(0, 4)]}, "the edge 0 -> 4 names task 4; the tasks are 0 to 3"),
        ({"edges": [(-1, 2)]}, "the edge -1 -> 2 names task -1; the tasks are 0 to 3"),
        (
            {"edges": [(2, 1)]},
            "the edge 2 -> 1 ('right' -> 'left') goes backwards; a parent must be numbered before its children",
        ),
        ({"edges": [(0, 1), (0, 1)]}, "the edge 0 -> 1 ('detect' -> 'left') is given twice"),
        ({"edges": [(0, 1.5)]}, "edges is [(0, 1.5)]; it must hold pairs (parent, child) of task numbers"),
        (
            {"input_bits": [0, 0, 5, 6]},
            "input_bits of task 'right' (2) is 5.0, but the task has parents, and only one without parents sends any "
            "(Application.from_dict adds such a task)",
        ),
        (
            {"output_bits": [7, 0, 0, 0]},
            "output_bits of task 'detect' (0) is 7.0, but the task has children, and only one without children returns "
            "any (Application.from_dict adds such a task)",
        ),
        ({"edge_bits": [1.0]}, "edge_bits has 1 numbers; it must have 4, one for each edge"),
        (
            {"edge_bits": [1, 2, -3, 4]},
            "edge_bits of the edge 1 -> 3 ('left' -> 'match') is -3.0; it must be finite and at least 0",
        ),
        ({"task_names": ["a", "b", "a", "c"]}, "2 tasks have the name 'a'; the names of tasks must differ"),
        ({"task_names": ["a", "b", "c"]}, "task_names has 3 names; it must have 4, one for each task"),
        ({"task_names": ["a", "b", "c", 4]}, "the name of a task is 4; it must be a string"),
    ],
)
def test_an_application_that_does_not_fit_is_refused(changes, sentence):
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the whole sentence is compared
        diamond(**changes)
    assert str(error.value) == sentence


def test_no_task_is_refused():
    with pytest.raises(ValueError, match="workload_cycles is empty; an application must have at least one task"):
        Application("none", [], [], [])


BY_HAND = {
    "name": "faces",
    "tasks": [
        {"name": "match", "workload_cycles": 4e8, "output_bits": 1e4},
        {"name": "right", "workload_cycles": 3e8},
        {"name": "detect", "workload_cycles": 1e9, "input_bits": 4e6},
        {"name": "left", "workload_cycles": 2e8},
    ],
    "edges": [
        {"from": "left", "to": "match", "bits": 3e6},
        {"from": "right", "to": "match"},
        {"from": "detect", "to": "right", "bits": 2e6},
        {"from": "detect", "to": "left", "bits": 1e6},
    ],
}


def write_by_hand(folder, **changes):
    path = folder / "application.json"
    path.write_text(json.dumps({k: v for k, v in (BY_HAND | changes).items() if v is not None}))
    return path


def test_a_file_written_by_hand(tmp_path):
    application = load_application(write_by_hand(tmp_path))
    # "right" is listed before "left", and both are ready after "detect".
    assert application == Application(
        name="faces",
        input_bits=[4e6, 0, 0, 0],
        output_bits=[0, 0, 0, 1e4],
        workload_cycles=[1e9, 3e8, 2e8, 4e8],
        edges=[(2, 3), (1, 3), (0, 1), (0, 2)],
        edge_bits=[3e6, 0, 2e6, 1e6],
        task_names=["detect", "right", "left", "match"],
    )


def test_edges_may_be_left_out(tmp_path):
    application = load_application(write_by_hand(tmp_path, edges=None))
    assert application.edges == ()
    assert application.task_names == ("match", "right", "detect", "left")


@pytest.mark.parametrize("application", [diamond(), face_recognition(), random_application(12, seed=5)])
def test_saving_and_loading_gives_an_equal_one(tmp_path, application):
    path = tmp_path / "folder" / "application.json"
    save_application(path, application)
    assert load_application(path) == application
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"speed": 3}, "the application has the unknown key 'speed'; its keys are name, tasks, edges"),
        ({"name": None}, "the application has no 'name'"),
        ({"tasks": {}}, "tasks is {}; it must be a list"),
        ({"tasks": [], "edges": []}, "workload_cycles is empty; an application must have at least one task"),
        ({"tasks": ["a"]}, "tasks[0] is 'a'; it must be an object with the keys"),
        ({"tasks": [{"name": "a"}]}, "tasks[0] has no 'workload_cycles'"),
        ({"tasks": [{"name": "a", "workload_cycles": 1, "cycles": 2}]}, "tasks[0] has the unknown key 'cycles'"),
        (
            {"tasks": [{"name": "a", "workload_cycles": "1e9"}]},
            "workload_cycles of task 'a' is '1e9'; it must be a number",
        ),
        ({"tasks": [{"name": 1, "workload_cycles": 1}]}, "the name of a task is 1; it must be a string"),
        ({"tasks": [{"name": "a", "workload_cycles": 1}] * 2}, "2 tasks have the name 'a'"),
        ({"tasks": [{"name": "a", "workload_cycles": -1}], "edges": []}, "workload_cycles of task 'a' (0) is -1.0"),
        (
            {"edges": [{"from": "left", "to": "lost"}]},
            "the edge 'left' -> 'lost' names 'lost', which is not a task",
        ),
        ({"edges": [{"from": "left"}]}, "edges[0] has no 'to'"),
        ({"edges": [{"from": "left", "to": "right", "bit": 1}]}, "edges[0] has the unknown key 'bit'"),
        (
            {"edges": [{"from": "left", "to": "right", "bits": None}]},
            "bits of the edge 'left' -> 'right' is None; it must be a number",
        ),
        ({"edges": [{"from": "left", "to": "left"}]}, "the tasks 'left' -> 'left' depend on each other in a cycle"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, changes, sentence):
    path = write_by_hand(tmp_path, **changes)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        load_application(path)
    assert str(error.value).startswith(f"{path}: {sentence}")


def test_a_cycle_is_named_and_what_only_hangs_on_it_is_not(tmp_path):
    # detect -> left -> right -> left, and right -> match
    pairs = [("detect", "left"), ("left", "right"), ("right", "left"), ("right", "match")]
    path = write_by_hand(tmp_path, edges=[{"from": a, "to": b} for a, b in pairs])
    with pytest.raises(ValueError, match=r"'right' -> 'left' -> 'right'|'left' -> 'right' -> 'left'") as error:
        load_application(path)
    assert "match" not in str(error.value)
    assert "detect" not in str(error.value)


def test_what_is_not_json_is_refused(tmp_path):
    path = tmp_path / "application.json"
    path.write_text("{tasks:")
    with pytest.raises(ValueError, match=r"application.json: .*line 1 column 2"):
        load_application(path)


def test_to_networkx_and_back():
    pytest.importorskip("networkx")
    application = face_recognition()
    graph = application.to_networkx()
    assert graph.nodes["detect"]["workload_cycles"] == 800 * 1280 * 720
    assert graph.edges["detect", "align_2"] == {"bits": 24 * 256 * 256}
    back = Application.from_networkx(graph)
    assert back.task_names == application.task_names
    assert dict(zip(back.edges, back.edge_bits, strict=True)) == dict(
        zip(application.edges, application.edge_bits, strict=True)
    )
    assert asdict(back) | {"edges": 0, "edge_bits": 0} == asdict(application) | {"edges": 0, "edge_bits": 0}


def pair(node=None, edge=None):
    """1 -> 2, with more attributes of node 1 and of the edge."""
    networkx = pytest.importorskip("networkx")
    graph = networkx.DiGraph()
    graph.add_node(2, workload_cycles=np.int64(5), color="red")
    graph.add_node(1, workload_cycles=7, input_bits=3, **(node or {}))
    graph.add_edge(1, 2, **(edge or {}))
    return graph


def test_a_networkx_graph_that_carries_other_things():
    expected = Application("numbers", [3, 0], [0, 0], [7, 5], [(0, 1)], [9], ["1", "2"])
    drawn = {"label": "x", "weight": 2}  # which Graphviz knows
    assert Application.from_networkx(pair(drawn, {"bits": 9, **drawn}), "numbers") == expected
    assert Application.from_networkx(pair(edge={"weight": 9}), "numbers", rename={"weight": "bits"}) == expected
    others = {"cost": "bits", "id2": None}
    assert Application.from_networkx(pair({"id2": 1}, {"cost": 9, "id2": 1}), "numbers", rename=others) == expected
    assert Application.from_networkx(pair(), "numbers").edge_bits == (0.0,)
    assert Application.from_networkx(pair()).name == "application"


def test_a_networkx_graph_with_data_for_an_inner_task():
    graph = pair(edge={"bits": 9})
    graph.nodes[2]["input_bits"] = 4
    application = Application.from_networkx(graph)
    assert application.task_names == ("2 input", "1", "2")
    assert application.input_bits == (4, 3, 0)
    assert (application.edges, application.edge_bits) == (((1, 2), (0, 2)), (9, 4))


@pytest.mark.parametrize(
    ("node", "edge", "sentence"),
    [
        (
            {},
            {"weight": 9},
            "the edge '1' -> '2' has weight and no bits; bits=0 says that it carries nothing, and "
            "rename={'weight': 'bits'} that weight is its bits",
        ),
        (
            {},
            {"edge_bits": 9},
            "the edge '1' -> '2' has the unknown attribute 'edge_bits'; it may have bits, did you mean 'bits'? "
            "(rename={'edge_bits': 'bits'} says that it is bits, rename={'edge_bits': None} that it is nothing)",
        ),
        ({}, {"data_bits": 9}, "has the unknown attribute 'data_bits'; it may have bits, did you mean 'bits'?"),
        ({}, {"Bits": 9}, "has the unknown attribute 'Bits'; it may have bits, did you mean 'bits'?"),
        ({}, {"bits": 9, "kind": "x"}, "the edge '1' -> '2' has the unknown attribute 'kind'; it may have bits"),
        (
            {"owner": 9},
            {},
            "it may have input_bits, output_bits, workload_cycles (rename={'owner': None} says that it is nothing)",
        ),
        ({"cycles": 9}, {}, "task '1' has the unknown attribute 'cycles'; it may have input_bits, output_bits, "),
        ({"Input_Bits": 9}, {}, "did you mean 'input_bits'?"),
        ({}, {"bits": "9"}, "bits of the edge '1' -> '2' is '9'; it must be a number"),
    ],
)
def test_attributes_that_are_not_known_are_refused(node, edge, sentence):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        Application.from_networkx(pair(node, edge))
    assert sentence in str(error.value)


def test_a_networkx_graph_that_does_not_fit_is_refused():
    networkx = pytest.importorskip("networkx")
    graph = networkx.DiGraph([("a", "b")])
    with pytest.raises(ValueError, match="task 'a' has no workload_cycles"):
        Application.from_networkx(graph)
    for path in ("graph.dot", Path("graph.dot")):
        with pytest.raises(ValueError, match=r"the graph is the path 'graph.dot'; .* \(Application.from_dot reads DOT"):
            Application.from_networkx(path)
    with pytest.raises(ValueError, match=r"the graph is a list; it must be a networkx\.DiGraph"):
        Application.from_networkx([("a", "b")])
    with pytest.raises(ValueError, match=r"the graph is a Graph; it must be a networkx\.DiGraph"):
        Application.from_networkx(networkx.Graph())
    with pytest.raises(ValueError, match=r"the graph is a MultiDiGraph; it must be a networkx\.DiGraph"):
        Application.from_networkx(networkx.MultiDiGraph())
    cycle = networkx.DiGraph([("a", "b"), ("b", "a")])
    networkx.set_node_attributes(cycle, 1.0, "workload_cycles")
    with pytest.raises(ValueError, match="depend on each other in a cycle"):
        Application.from_networkx(cycle)


@pytest.mark.parametrize("ccr", [0.1, 0.5, 2.0])
def test_random_applications_have_the_ratio_asked_for(ccr):
    ratios = []
    for seed in range(200):
        application = random_application(12, ccr=ccr, seed=seed)
        for (parent, _), bits in zip(application.edges, application.edge_bits, strict=True):
            ratios.append((bits / CCR_BPS) / (application.workload_cycles[parent] / CCR_HZ))
    assert np.mean(ratios) == pytest.approx(ccr, rel=0.02)
    assert min(ratios) >= 0.5 * ccr * (1 - 1e-12)
    assert max(ratios) <= 1.5 * ccr * (1 + 1e-12)


def test_random_sizes_are_in_their_ranges_where_they_count():
    application = random_application(30, workload_cycles=(1, 2), input_bits=(3, 4), output_bits=(5, 6), seed=1)
    parents, children = ({edge[end] for edge in application.edges} for end in (0, 1))
    for i in range(30):
        assert 1 <= application.workload_cycles[i] <= 2
        assert (application.input_bits[i] == 0.0) == (i in children)
        assert i in children or 3 <= application.input_bits[i] <= 4
        assert (application.output_bits[i] == 0.0) == (i in parents)
        assert i in parents or 5 <= application.output_bits[i] <= 6


def test_the_seed_decides_the_random_application():
    assert random_application(10, seed=3) == random_application(10, seed=3)
    assert random_application(10, seed=3) != random_application(10, seed=4)
    assert random_application(10, seed=np.random.SeedSequence(3)) == random_application(10, seed=3)


def test_a_random_application_of_fat_zero_is_a_chain():
    assert random_application(6, fat=0.0, jump=1).edges == tuple((i, i + 1) for i in range(5))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_tasks": 0}, "num_tasks is 0; it must be a whole number, at least 1"),
        ({"fat": 1.5}, "fat is 1.5; it must be from 0 to 1"),
        ({"density": -0.1}, "density is -0.1; it must be from 0 to 1"),
        ({"density": math.nan}, "density is nan; it must be from 0 to 1"),
        ({"fat": "wide"}, "fat is 'wide'; it must be a number"),
        ({"jump": 0}, "jump is 0; it must be a whole number, at least 1"),
        ({"jump": 1.5}, "jump is 1.5; it must be a whole number, at least 1"),
        ({"ccr": math.inf}, "ccr is inf; it must be finite and at least 0"),
        ({"ccr": -1}, "ccr is -1; it must be finite and at least 0"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
        ({"input_bits": (2, 1)}, "input_bits is (2, 1); low must be at least 0 and high finite and not below low"),
        ({"workload_cycles": 5}, "workload_cycles is 5; it must be a pair (low, high)"),
    ],
)
def test_arguments_of_a_random_application_are_checked(changes, sentence):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        random_application(**{"num_tasks": 5} | changes)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("missing", "call", "hint"),
    [
        ("networkx", "application_presets.chain(2).to_networkx()", "pip install 'offload-gym[applications]'"),
        ("torch", "applications.Application.from_torch(None, None)", "pip install torch"),
    ],
)
def test_a_missing_package_is_said_in_one_sentence(missing, call, hint):
    program = (
        f"import sys\nsys.modules[{missing!r}] = None\n"
        "from offload_gym.applications import application as applications, presets as application_presets\n"
        f"try:\n    {call}\nexcept ImportError as error:\n    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip().endswith(hint)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tasks": [{"name": [1], "workload_cycles": 1}]}, r"the name of a task is \[1\]; it must be a string"),
        ({"edges": [{"from": [1], "to": "a"}]}, r"the edge \[1\] -> 'a' names \[1\], which is not a task"),
        ({"edges": [{"from": "a", "to": {}}]}, "names {}, which is not a task"),
        (
            {"tasks": [{"name": "a", "workload_cycles": 10**400}]},
            "workload_cycles of task 'a' is a whole number of 401",
        ),
    ],
)
def test_odd_values_in_a_file_give_one_sentence(tmp_path, change, sentence):
    data = {"name": "x", "tasks": [{"name": "a", "workload_cycles": 1}], **change}
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=sentence):
        load_application(tmp_path / "a.json")


def test_files_that_cannot_be_read_give_one_sentence(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    for name in ("missing.json", ".", "deep.json", "binary.json"):
        with pytest.raises(ValueError, match=str(tmp_path)):
            load_application(tmp_path / name)
    for name in ("missing.dot", ".", "binary.json"):
        with pytest.raises(ValueError, match=r"cannot be read|is a text in UTF-16"):
            Application.from_dot(tmp_path / name)


@pytest.mark.parametrize("names", [3, "ab", ([1], "b")])
def test_names_must_be_strings(names):
    with pytest.raises(ValueError, match=r"task_names is|the name of a task is"):
        Application("x", input_bits=(0, 0), output_bits=(0, 0), workload_cycles=(1, 1), task_names=names)
