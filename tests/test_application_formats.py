"""What becomes of files in the formats of others."""

import pytest
from application_files import DAX, GRAPHML, MB, MRLCO, SAGA, SPLIT_AND_JOIN, STG, WFFORMAT, load

from offload_gym import Application


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
    # With a reader that writes it, too: only the first of them reads what was there before.
    both = load(tmp_path, text.replace('link="input"', 'link="inout"'))
    assert (both.input_bits, both.edges, both.output_bits) == ((80, 0), ((0, 1),), (0, 80))
    # And where only the task that comes after writes it, the one before reads what was there, too.
    after = load(tmp_path, text.replace('link="input"', 'link="output"').replace('link="inout"', 'link="input"'))
    assert (after.input_bits, after.edge_bits, after.output_bits) == ((80, 0), (0,), (0, 80))


def test_wfformat_with_contradictions(tmp_path):
    def old(*files):
        task = {"name": "a", "id": "a", "runtimeInSeconds": 1, "files": list(files)}
        return {"name": "one", "schemaVersion": "1.4", "workflow": {"tasks": [task]}}

    with pytest.raises(ValueError, match=r"link of 'f' of task 'a' .* must be input or output"):
        load(tmp_path, old({"link": ["input"], "name": "f", "sizeInBytes": 1}))
    with pytest.raises(ValueError, match="output 'f' of task 'a' is there twice"):
        load(tmp_path, old(*({"link": "output", "name": "f", "sizeInBytes": size} for size in (1, 9))))
    run = [{"id": "a", "runtimeInSeconds": run_s} for run_s in (1, 7)]
    parts = {"specification": {"tasks": [{"id": "a"}]}, "execution": {"tasks": run}}
    with pytest.raises(ValueError, match="execution has the task 'a' twice"):
        load(tmp_path, {"name": "one", "schemaVersion": "1.5", "workflow": parts})


def test_graphml_defaults_are_refused(tmp_path):
    pytest.importorskip("networkx")
    text = """<graphml><key id="b" for="edge" attr.name="bits" attr.type="double"><default>1e6</default></key>
        <graph edgedefault="directed"><node id="x"/><node id="y"/><edge source="x" target="y"/></graph></graphml>"""
    with pytest.raises(ValueError, match="a key has a <default>"):
        load(tmp_path, text, "a.graphml")


def test_dot_defaults_are_bounded(tmp_path):
    names = ",".join(f"a{i}=1" for i in range(201))
    with pytest.raises(ValueError, match="node has 201 attributes; it must have at most 200"):
        load(tmp_path, f"digraph {{ node [{names}]; x; }}", "a.dot")


def test_a_comment_of_stg_may_name_node_count(tmp_path):
    assert load(tmp_path, STG + "# NODE_COUNT and NODE\n", "a.stg") == load(tmp_path, STG, "a.stg")
