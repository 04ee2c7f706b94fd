"""The JSON of SAGA and dagbench: https://github.com/ANRGUSC/saga (TaskGraph), https://github.com/ANRGUSC/dagbench."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offload_gym.applications.formats.parts import Options, Parts, amount, name_in, needed, rows
from offload_gym.applications.task_graph import Task, check_size
from offload_gym.checks import quoted


def read_saga(data: Mapping[str, Any], options: Options) -> Parts:
    """The tasks and edges of a task graph, alone or with a network, which is left out: machines are of the scenario.

    Costs and sizes have no unit there: a task of cost 1 takes a second on a machine of speed 1. Here that machine has
    the reference speed, and a size of 1 is ``unit_bits``.

    Raises:
        ValueError: something that is needed is missing, or a number is out of its bounds.
    """
    graph = data.get("task_graph", data)
    if not isinstance(graph, dict):
        raise ValueError(f"task_graph is {quoted(graph)}; it must be an object")
    name = name_in("the application", data, "name") if "name" in data else None
    tasks, edges = [], []
    rows_of_tasks = rows("the task graph", graph, "tasks")
    check_size(len(rows_of_tasks))
    for row in rows_of_tasks:
        task = name_in("a task", row, "name")
        cost = amount(f"cost of task {task!r}", needed(f"task {task!r}", row, "cost"))
        tasks.append(Task(task, cost * options.hz))
    for row in rows("the task graph", {"dependencies": [], **graph}, "dependencies"):
        source, target = (name_in("a dependency", row, key) for key in ("source", "target"))
        label = f"the dependency {source!r} -> {target!r}"
        edges.append((source, target, amount(f"size of {label}", needed(label, row, "size")) * options.bits))
    return Parts(name, tasks, edges)
