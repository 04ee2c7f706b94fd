import json
import math
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest

from offload_gym.applications import (
    APPLICATIONS,
    CCR_BPS,
    CCR_HZ,
    Application,
    application_named,
    augmented_reality,
    chain,
    cnn_application,
    face_recognition,
    fork_join,
    load_application,
    random_application,
    save_application,
)
from offload_gym.cnns import CNN_NAMES, cnn_layers, cnn_task
from offload_gym.graphs import num_graph_uniforms, random_edges


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


class TestApplication:
    def test_fields_become_tuples_of_floats(self):
        application = diamond(workload_cycles=np.array([1, 2, 3, 4]), edges=np.array([[0, 1], [0, 2], [1, 3], [2, 3]]))
        assert application == diamond(workload_cycles=(1.0, 2.0, 3.0, 4.0))
        assert application.edges == ((0, 1), (0, 2), (1, 3), (2, 3))
        assert {type(value) for value in (*application.workload_cycles, *application.input_bits)} == {float}
        assert {type(end) for edge in application.edges for end in edge} == {int}
        assert application.num_tasks == 4
        assert hash(application) == hash(diamond(workload_cycles=[1, 2, 3, 4]))

    def test_tasks_are_named_after_their_numbers_by_default(self):
        assert Application("two", [1, 2], [3, 4], [5, 6]).task_names == ("0", "1")

    def test_it_survives_json(self):
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
    def test_what_does_not_fit_is_refused(self, changes, sentence):
        with pytest.raises(ValueError) as error:  # noqa: PT011  # the whole sentence is compared
            diamond(**changes)
        assert str(error.value) == sentence

    def test_no_task_is_refused(self):
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


class TestFiles:
    def write(self, folder, **changes):
        path = folder / "application.json"
        path.write_text(json.dumps({k: v for k, v in (BY_HAND | changes).items() if v is not None}))
        return path

    def test_a_file_written_by_hand(self, tmp_path):
        application = load_application(self.write(tmp_path))
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

    def test_edges_may_be_left_out(self, tmp_path):
        application = load_application(self.write(tmp_path, edges=None))
        assert application.edges == ()
        assert application.task_names == ("match", "right", "detect", "left")

    @pytest.mark.parametrize("application", [diamond(), face_recognition(), random_application(12, seed=5)])
    def test_saving_and_loading_gives_an_equal_one(self, tmp_path, application):
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
    def test_what_does_not_fit_is_refused(self, tmp_path, changes, sentence):
        path = self.write(tmp_path, **changes)
        with pytest.raises(ValueError) as error:  # noqa: PT011
            load_application(path)
        assert str(error.value).startswith(f"{path}: {sentence}")

    def test_a_cycle_is_named_and_what_only_hangs_on_it_is_not(self, tmp_path):
        # detect -> left -> right -> left, and right -> match
        pairs = [("detect", "left"), ("left", "right"), ("right", "left"), ("right", "match")]
        path = self.write(tmp_path, edges=[{"from": a, "to": b} for a, b in pairs])
        with pytest.raises(ValueError, match=r"'right' -> 'left' -> 'right'|'left' -> 'right' -> 'left'") as error:
            load_application(path)
        assert "match" not in str(error.value)
        assert "detect" not in str(error.value)

    def test_what_is_not_json_is_refused(self, tmp_path):
        path = tmp_path / "application.json"
        path.write_text("{tasks:")
        with pytest.raises(ValueError, match=r"application.json: .*line 1 column 2"):
            load_application(path)


class TestNetworkx:
    def test_there_and_back(self):
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

    def test_a_graph_of_other_things(self):
        networkx = pytest.importorskip("networkx")
        graph = networkx.DiGraph()
        graph.add_node(2, workload_cycles=np.int64(5), colour="red")
        graph.add_node(1, workload_cycles=7, input_bits=3)
        graph.add_edge(1, 2, weight=9)
        application = Application.from_networkx(graph, "numbers")
        assert application == Application("numbers", [3, 0], [0, 0], [7, 5], [(0, 1)], [0], ["1", "2"])
        assert Application.from_networkx(graph).name == "application"

    def test_what_does_not_fit_is_refused(self):
        networkx = pytest.importorskip("networkx")
        graph = networkx.DiGraph([("a", "b")])
        with pytest.raises(ValueError, match="task 'a' has no workload_cycles"):
            Application.from_networkx(graph)
        with pytest.raises(ValueError, match=r"the graph is a Graph; it must be a networkx\.DiGraph"):
            Application.from_networkx(networkx.Graph())
        with pytest.raises(ValueError, match=r"the graph is a MultiDiGraph; it must be a networkx\.DiGraph"):
            Application.from_networkx(networkx.MultiDiGraph())
        cycle = networkx.DiGraph([("a", "b"), ("b", "a")])
        networkx.set_node_attributes(cycle, 1.0, "workload_cycles")
        with pytest.raises(ValueError, match="depend on each other in a cycle"):
            Application.from_networkx(cycle)


DAGGEN = """// DAG automatically generated by daggen at Sun Nov 22 13:00:00 2026
// ./daggen --dot -n 4
digraph G {
  1 [size="1000000", alpha="0.12"]
  1 -> 2 [size ="125000"]
  1 -> 3 [size ="250000"]
  2 [size="2000000", alpha="0.00"]
  2 -> 4 [size ="500"]
  3 [size="3000000", alpha="0.20"]
  3 -> 4 [size ="1000"]
  4 [size="4000000", alpha="0.01"]
}
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what pydot calls
class TestDot:
    @pytest.fixture(autouse=True)
    def _needs_pydot(self):
        pytest.importorskip("pydot")

    def read(self, folder, text, **options):
        path = folder / "graph.dot"
        path.write_text(text)
        return Application.from_dot(path, **options)

    def test_daggen(self, tmp_path):
        application = self.read(tmp_path, DAGGEN, cycles_per_flop=0.5)
        assert application == Application(
            name="graph",
            input_bits=[0] * 4,
            output_bits=[0] * 4,
            workload_cycles=[0.5e6, 1e6, 1.5e6, 2e6],  # half a cycle for each operation
            edges=[(0, 1), (0, 2), (1, 3), (2, 3)],
            edge_bits=[1e6, 2e6, 4e3, 8e3],  # 8 bits for each byte
            task_names=["1", "2", "3", "4"],
        )

    def test_own_attributes(self, tmp_path):
        text = """digraph "two parts" {
            rankdir=LR; graph [label="tasks"];
            "match it" [workload_cycles="2e8", output_bits=100, shape=box];
            subgraph cluster_a { detect [workload_cycles="1e9", input_bits="4e6"]; detect -> crop [bits=5]; }
            crop [workload_cycles=300000000.0]; crop:e -> "match it";
        }"""
        assert self.read(tmp_path, text, name="faces") == Application(
            "faces",
            [4e6, 0, 0],
            [0, 0, 100],
            [1e9, 3e8, 2e8],
            [(1, 2), (0, 1)],
            [0, 5],
            ["detect", "crop", "match it"],
        )

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("digraph { a -> b; a [size=1] }", "task 'b' has neither workload_cycles nor daggen's size"),
            ("digraph { a [workload_cycles=1]; b }", "task 'b' has no workload_cycles"),
            ("digraph { a [size=1e9] }", "a number ends in e9; with an exponent it must be in quotation marks"),
            ("digraph { a -> b [size=2.5E6] }", "a number ends in E6; with an exponent"),
            ("digraph { a [size=big] }", "size of task 'a' is big; it must be a number"),
            ("digraph { a [size=-1] }", "workload_cycles of task 'a' (0) is -1.0; it must be finite and at least 0"),
            ("graph { a [size=1] }", "must hold one directed graph (digraph)"),
            ("digraph { a -> ", "is not a DOT file: "),
            ("NODE_COUNT 3\nNODE 0 1 ROOT 0.0 0.0\n", "is in daggen's own format; write it with daggen --dot"),
            (
                "digraph { node [size=1]; a -> b }",
                "the default attributes {'size': '1'} for every node are not understood",
            ),
            ("digraph { a [size=1]; a -> {b c} }", "an edge from or to a group of nodes is not understood"),
            ("digraph { a [size=1]; b [size=1]; a -> b; b -> a }", "depend on each other in a cycle"),
            ("digraph { a [size=1]; b [size=1]; a -> b; a -> b }", "the edge 0 -> 1 ('a' -> 'b') is given twice"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, tmp_path, capsys, text, sentence):
        with pytest.raises(ValueError) as error:  # noqa: PT011
            self.read(tmp_path, text)
        assert sentence in str(error.value)
        assert str(error.value).count("graph.dot") == 1
        assert capsys.readouterr().out == ""

    def test_cycles_per_flop_is_checked(self, tmp_path):
        with pytest.raises(ValueError, match="cycles_per_flop is 0; it must be finite and above 0"):
            self.read(tmp_path, DAGGEN, cycles_per_flop=0)


def drawn_graph(n: int, fat: float, density: float, jump: int, seed: int) -> np.ndarray:
    has_edge = np.ones((n, n), dtype=np.bool_)  # what stands there before does not matter
    random_edges(np.random.default_rng(seed).random(num_graph_uniforms(n)), fat, density, jump, has_edge)
    return has_edge


def depths(has_edge: np.ndarray) -> list[int]:
    depth: list[int] = []
    for child in range(len(has_edge)):
        depth.append(1 + max((depth[parent] for parent in np.flatnonzero(has_edge[:, child])), default=-1))
    return depth


class TestRandomGraphs:
    @pytest.mark.parametrize("jump", [1, 2, 4])
    @pytest.mark.parametrize("density", [0.0, 0.5, 1.0])
    @pytest.mark.parametrize("fat", [0.0, 0.4, 0.8, 1.0])
    def test_layers(self, fat, density, jump):
        n = 17
        for seed in range(20):
            has_edge = drawn_graph(n, fat, density, jump, seed)
            depth = depths(has_edge)
            assert not np.tril(has_edge).any()  # a parent comes before its children
            assert depth == sorted(depth)  # numbers rise layer by layer
            for parent, child in np.argwhere(has_edge):
                assert 1 <= depth[child] - depth[parent] <= jump
            widths = np.bincount(depth)
            # The last layer takes what is left; all others are within half of n ** fat and twice that, rounded.
            assert (widths[:-1] >= max(1, math.floor(0.5 * n**fat))).all()
            assert (widths <= math.ceil(1.5 * n**fat)).all()
            if density == 0.0:
                assert (has_edge.sum(axis=0) == (np.array(depth) > 0)).all()  # one parent each
            if density == 1.0:
                for d in range(1, max(depth) + 1):
                    layers = np.ix_(np.array(depth) == d - 1, np.array(depth) == d)
                    assert has_edge[layers].all()

    def test_fat_zero_is_a_chain_and_fat_one_has_at_most_two_layers(self):
        for n in (1, 2, 9):
            np.testing.assert_array_equal(drawn_graph(n, 0.0, 1.0, 1, seed=1), np.eye(n, k=1, dtype=bool))
        layers = [max(depths(drawn_graph(9, 1.0, 0.5, 2, seed))) + 1 for seed in range(50)]
        assert set(layers) == {1, 2}

    def test_the_same_numbers_give_the_same_graph(self):
        np.testing.assert_array_equal(drawn_graph(20, 0.6, 0.5, 2, 4), drawn_graph(20, 0.6, 0.5, 2, 4))
        assert (drawn_graph(20, 0.6, 0.5, 2, 4) != drawn_graph(20, 0.6, 0.5, 2, 5)).any()

    def test_edges_past_a_layer_are_rarer(self):
        counts = np.zeros(3)
        possible = np.zeros(3)
        for seed in range(100):
            has_edge = drawn_graph(30, 0.5, 0.6, 2, seed)
            depth = np.array(depths(has_edge))
            distance = depth[None, :] - depth[:, None]
            for d in (1, 2):
                counts[d] += has_edge[distance == d].sum()
                possible[d] += (distance == d).sum()
        assert counts[2] / possible[2] == pytest.approx(0.3, abs=0.02)
        assert counts[1] / possible[1] > 0.6  # and the parent that each task has in any case


class TestRandomApplications:
    @pytest.mark.parametrize("ccr", [0.1, 0.5, 2.0])
    def test_measured_ccr(self, ccr):
        ratios = []
        for seed in range(200):
            application = random_application(12, ccr=ccr, seed=seed)
            for (parent, _), bits in zip(application.edges, application.edge_bits, strict=True):
                ratios.append((bits / CCR_BPS) / (application.workload_cycles[parent] / CCR_HZ))
        assert np.mean(ratios) == pytest.approx(ccr, rel=0.02)
        assert min(ratios) >= 0.5 * ccr * (1 - 1e-12)
        assert max(ratios) <= 1.5 * ccr * (1 + 1e-12)

    def test_sizes_are_in_their_ranges_where_they_count(self):
        application = random_application(30, workload_cycles=(1, 2), input_bits=(3, 4), output_bits=(5, 6), seed=1)
        parents, children = ({edge[end] for edge in application.edges} for end in (0, 1))
        for i in range(30):
            assert 1 <= application.workload_cycles[i] <= 2
            assert (application.input_bits[i] == 0.0) == (i in children)
            assert i in children or 3 <= application.input_bits[i] <= 4
            assert (application.output_bits[i] == 0.0) == (i in parents)
            assert i in parents or 5 <= application.output_bits[i] <= 6

    def test_the_seed_decides(self):
        assert random_application(10, seed=3) == random_application(10, seed=3)
        assert random_application(10, seed=3) != random_application(10, seed=4)
        assert random_application(10, seed=np.random.SeedSequence(3)) == random_application(10, seed=3)

    def test_fat_zero_is_a_chain(self):
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
    def test_what_does_not_fit_is_refused(self, changes, sentence):
        with pytest.raises(ValueError) as error:  # noqa: PT011
            random_application(**{"num_tasks": 5} | changes)
        assert str(error.value) == sentence


class TestPresets:
    def test_chain(self):
        assert chain(1).edges == ()
        application = chain(3, workload_cycles=5, input_bits=1, output_bits=2, edge_bits=3)
        assert application == Application("chain", [1, 0, 0], [0, 0, 2], [5, 5, 5], [(0, 1), (1, 2)], [3, 3])

    def test_fork_join(self):
        application = fork_join(4, workload_cycles=5, input_bits=1, output_bits=2, edge_bits=3)
        assert application.edges == ((0, 1), (0, 2), (1, 3), (2, 3))
        assert application.edge_bits == (3, 3, 3, 3)
        assert application.input_bits == (1, 0, 0, 0)
        assert application.output_bits == (0, 0, 0, 2)
        assert application.task_names == ("fork", "branch 1", "branch 2", "join")
        with pytest.raises(ValueError, match="num_tasks is 2; a fork and join must have at least 3 tasks"):
            fork_join(2)

    def test_face_recognition(self):
        application = face_recognition()
        assert application.num_tasks == 9
        assert len(application.edges) == 1 + 3 * 3
        assert application.task_names[0] == "decode"
        assert application.task_names[-1] == "match"
        assert application.input_bits == (2 * 1280 * 720,) + (0,) * 8
        assert application.output_bits == (0,) * 8 + (768,)
        bits = dict(zip(application.edges, application.edge_bits, strict=True))
        assert bits[0, 1] == 1280 * 720 * 3 * 8
        assert sorted(set(bits.values())) == [512 * 32, 112 * 112 * 24, 256 * 256 * 24, 1280 * 720 * 24]
        assert all(1e7 <= cycles <= 2e9 for cycles in application.workload_cycles)

    def test_augmented_reality(self):
        application = augmented_reality()
        names = application.task_names
        edges = {
            (names[a], names[b]): bits for (a, b), bits in zip(application.edges, application.edge_bits, strict=True)
        }
        assert len(names) == 5
        assert len(edges) == 7
        assert edges["video_source", "tracker"] == 640 * 360 * 8
        assert edges["video_source", "object_recognizer"] == 416 * 416 * 3 * 8
        assert application.input_bits[0] == 1280 * 720 * 12
        assert application.output_bits[-1] == 1280 * 720
        assert application.workload_cycles[names.index("object_recognizer")] == 1_730_560_000
        assert all(1e7 <= cycles <= 2e9 for cycles in application.workload_cycles)

    @pytest.mark.parametrize("name", CNN_NAMES)
    def test_a_network_keeps_its_work_however_it_is_cut(self, name):
        task = cnn_task(name)
        most = cnn_application(name).num_tasks
        assert most == sum(layer.macs > 0 for layer in cnn_layers(name))
        tensors = {32 * layer.output_elements for layer in cnn_layers(name)}
        for n in range(1, most + 1):
            application = cnn_application(name, n)
            assert application.num_tasks == n
            assert application.edges == tuple((i, i + 1) for i in range(n - 1))
            assert sum(application.workload_cycles) == task.macs
            assert min(application.workload_cycles) > 0
            assert application.input_bits[0] == task.input_bits
            assert application.output_bits[-1] == task.output_bits
            assert set(application.edge_bits) <= tensors

    def test_vgg16(self):
        application = cnn_application("vgg16")
        assert application.num_tasks == 16  # 13 convolutions and 3 fully connected layers
        assert sum(application.workload_cycles) == 15_470_264_320
        assert application.input_bits[0] == 3 * 224 * 224 * 8
        assert application.output_bits[-1] == 1000 * 32
        shapes = [
            (64, 224), (64, 112), (128, 112), (128, 56), (256, 56), (256, 56), (256, 28),
            (512, 28), (512, 28), (512, 14), (512, 14), (512, 14), (512, 7),
        ]  # fmt: skip
        expected = [32 * channels * size * size for channels, size in shapes] + [32 * 4096] * 2
        assert list(application.edge_bits) == expected
        assert application.task_names[:3] == ("conv1_1", "conv1_2-pool1", "conv2_1")
        # The two smallest tensors, of 4096 elements, are cut last.
        three = cnn_application("vgg16", 3)
        assert three.task_names == ("conv1_1-fc6", "fc7", "fc8")
        # The next larger ones are one of 512×7×7 and three of 512×14×14, of which the first is kept longest.
        five = cnn_application("vgg16", 5)
        assert five.edge_bits == (32 * 512 * 14 * 14, 32 * 512 * 7 * 7, 32 * 4096, 32 * 4096)
        assert five.task_names == ("conv1_1-pool4", "conv5_1-pool5", "fc6", "fc7", "fc8")

    def test_a_network_cannot_be_cut_further_than_into_its_layers(self):
        with pytest.raises(ValueError, match="num_tasks is 9; alexnet must be cut into at most 8 tasks"):
            cnn_application("alexnet", 9)
        with pytest.raises(ValueError, match="name must be one of alexnet"):
            cnn_application("lenet")

    def test_by_name(self):
        assert list(APPLICATIONS)[:4] == ["chain", "fork_join", "face_recognition", "augmented_reality"]
        assert set(APPLICATIONS) == {*list(APPLICATIONS)[:4], *CNN_NAMES}
        for name in APPLICATIONS:
            assert application_named(name, 5).name == name
        assert application_named("chain", 5) == chain(5)
        assert application_named("face_recognition", 5) == face_recognition()
        assert application_named("alexnet", 5) == cnn_application("alexnet", 5)
        assert application_named("alexnet", 100) == cnn_application("alexnet")
        with pytest.raises(ValueError, match=r"application is 'star'; the presets are chain, .*, tiny_yolo_v2"):
            application_named("star", 5)
        with pytest.raises(ValueError, match="num_tasks is 0"):
            application_named("vgg16", 0)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:The tensor attributes:UserWarning")
class TestTorch:
    """An element of float32 has 32 bits."""

    def test_a_network_with_a_residual_branch(self):
        torch = pytest.importorskip("torch")
        nn = torch.nn

        class Residual(nn.Module):
            def __init__(self):
                super().__init__()
                self.stem = nn.Sequential(
                    nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2)
                )
                self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.Dropout(), nn.Tanh())
                self.head = nn.Linear(8 * 4 * 4, 10)

            def forward(self, x):
                x = self.stem(x / 255)
                y = self.body(x)
                y += x
                return self.head(torch.relu(y).flatten(1)).softmax(1)

        model = Residual()
        model.stem.eval()
        application = Application.from_torch(model, torch.zeros(1, 3, 8, 8))
        tensor = 32 * 8 * 4 * 4
        assert application == Application(
            name="Residual",
            input_bits=[32 * 3 * 8 * 8, 0, 0, 0],
            output_bits=[0, 0, 0, 32 * 10],
            workload_cycles=[8 * 8 * 8 * 3 * 9, 8 * 4 * 4 * 8 * 9, 0, 128 * 10],
            edges=[(0, 1), (1, 2), (0, 2), (2, 3)],
            edge_bits=[tensor] * 4,
            task_names=["stem.0", "body.0", "add", "head"],
        )
        assert model.training  # the model is left as it was
        assert not model.stem[0].training

    def test_alexnet_is_that_of_the_presets(self):
        torch = pytest.importorskip("torch")
        nn = torch.nn
        with torch.device("meta"):  # 61 million parameters that nobody needs
            model = nn.Sequential(
                *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
                *(nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
                *(nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU()),
                *(nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU()),
                *(nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten()),
                *(nn.Linear(256 * 6 * 6, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)),
            )
            image = torch.zeros(1, 3, 224, 224)
        traced = Application.from_torch(model, image, "alexnet")
        preset = cnn_application("alexnet")
        assert traced.workload_cycles == preset.workload_cycles
        assert traced.edges == preset.edges
        assert traced.edge_bits == preset.edge_bits
        assert traced.output_bits == preset.output_bits
        assert traced.input_bits[0] == 4 * preset.input_bits[0]  # float32 here, one byte a colour there

    def test_an_input_that_a_later_task_reads_too_is_a_task(self):
        torch = pytest.importorskip("torch")

        class Skip(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(4, 4)

            def forward(self, x):
                return self.layer(x) + x

        application = Application.from_torch(Skip(), torch.zeros(2, 4))
        bits = 32 * 2 * 4
        assert application == Application(
            "Skip",
            [bits, 0, 0],
            [0, 0, bits],
            [0, 2 * 4 * 4, 0],
            [(0, 1), (1, 2), (0, 2)],
            [bits] * 3,
            ["x", "layer", "add"],
        )

    def test_several_inputs_and_outputs(self):
        torch = pytest.importorskip("torch")

        class Two(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = torch.nn.Linear(4, 5), torch.nn.Linear(5, 2)

            def forward(self, x, y):
                both = self.a(x) + self.a(y)
                return both, self.b(both)

        application = Application.from_torch(Two(), (torch.zeros(1, 4), torch.zeros(3, 4)), "two")
        # Only an exit task returns, so what the addition returns goes through a task "output".
        assert application.task_names == ("linear", "linear_1", "add", "b", "output")
        assert application.input_bits == (32 * 4, 32 * 3 * 4, 0, 0, 0)
        assert application.output_bits == (0, 0, 0, 0, 32 * (3 * 5 + 3 * 2))
        assert application.workload_cycles == (4 * 5, 3 * 4 * 5, 0, 3 * 5 * 2, 0)
        bits = dict(zip(application.edges, application.edge_bits, strict=True))
        assert bits == {(0, 2): 32 * 5, (1, 2): 32 * 15, (2, 3): 32 * 15, (2, 4): 32 * 15, (3, 4): 32 * 6}

    def test_attention_is_counted(self):
        torch = pytest.importorskip("torch")

        class Attention(torch.nn.Module):
            def forward(self, query, key, value):
                return torch.nn.functional.scaled_dot_product_attention(query, key, value)

        shapes = ((1, 2, 16, 8), (1, 2, 10, 8), (1, 2, 10, 8))  # batch, heads, length, features
        application = Application.from_torch(Attention(), tuple(torch.zeros(shape) for shape in shapes))
        assert application.workload_cycles == (2 * 16 * 10 * 8 * 2,)
        assert application.input_bits == (32 * 2 * 8 * (16 + 10 + 10),)

    def test_recurrent_layers_are_refused(self):
        torch = pytest.importorskip("torch")
        with pytest.raises(ValueError, match="the work of lstm is not known"):
            Application.from_torch(torch.nn.LSTM(4, 8), torch.zeros(3, 1, 4))

    def test_a_model_that_ignores_its_input_is_refused(self):
        torch = pytest.importorskip("torch")

        class Constant(torch.nn.Module):
            def forward(self, x):
                return torch.ones(3)

        with pytest.raises(ValueError, match="the model Constant does nothing with its input; it has no task"):
            Application.from_torch(Constant(), torch.zeros(2))


@pytest.mark.parametrize(
    ("missing", "call", "hint"),
    [
        ("networkx", "applications.chain(2).to_networkx()", "pip install offload-gym[applications]"),
        ("pydot", "applications.Application.from_dot('graph.dot')", "pip install offload-gym[applications]"),
        ("torch", "applications.Application.from_torch(None, None)", "pip install torch"),
    ],
)
def test_a_missing_package_is_said_in_one_sentence(missing, call, hint):
    program = (
        f"import sys\nsys.modules[{missing!r}] = None\nfrom offload_gym import applications\n"
        f"try:\n    {call}\nexcept ImportError as error:\n    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip().endswith(hint)
