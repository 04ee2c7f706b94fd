"""An application in each format that ``load_application`` reads, small and written after the published schema."""

import copy
import json

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
