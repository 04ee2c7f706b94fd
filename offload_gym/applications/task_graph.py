"""Tasks and edges by their names, as files and graphs hold them, made into the fields of an ``Application``."""

from __future__ import annotations

import heapq
import math
import sys
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from offload_gym.checks import quoted
from offload_gym.instances import TASK_FIELDS

MAX_TASKS, MAX_EDGES = 100_000, 1_000_000  # of a file or a graph: what is larger is no application of one device


class Task(NamedTuple):
    """A task that has no number yet."""

    name: str
    workload_cycles: float
    input_bits: float = 0.0
    output_bits: float = 0.0


Edge = tuple[str, str, float]  # names of parent and child, bits


def task_of(name: str, attributes: Mapping[str, Any]) -> Task:
    """The task that has these of the ``TASK_FIELDS``; ValueError where it has no workload or one is not a number."""
    if "workload_cycles" not in attributes:
        raise ValueError(f"task {name!r} has no workload_cycles")
    values = {field: attributes[field] for field in TASK_FIELDS if field in attributes}
    for field, value in values.items():
        check_number(f"{field} of task {name!r}", value)
    return Task(name, **values)


def arranged(tasks: Sequence[Task], edges: Sequence[Edge]) -> dict[str, Any]:
    """The fields of the application of tasks in any order, but for its name.

    Tasks are numbered topologically; of those that could be next, the first listed one is. The delay model knows the
    input of tasks without parents and the output of tasks without children only. What other tasks have of these is sent
    and received by tasks without work that are added; see ``with_transfers``.

    Raises:
        ValueError: there are too many tasks or edges, two tasks have one name, an edge names a task that is not there,
            bits are not a number, or tasks depend on each other in a cycle.
    """
    check_size(len(tasks), len(edges))
    check_task_names([task.name for task in tasks])
    names = {task.name for task in tasks}
    for parent, child, bits in edges:
        check_end(names, parent, child)
        check_number(f"bits of the edge {parent!r} -> {child!r}", bits)
    tasks, edges = with_transfers(tasks, edges)
    order = _topological(tasks, edges)
    number = {tasks[i].name: new for new, i in enumerate(order)}
    return {
        **{field: tuple(getattr(tasks[i], field) for i in order) for field in TASK_FIELDS},
        "edges": tuple((number[parent], number[child]) for parent, child, _ in edges),
        "edge_bits": tuple(bits for _, _, bits in edges),
        "task_names": tuple(tasks[i].name for i in order),
    }


def with_transfers(tasks: Sequence[Task], edges: Sequence[Edge]) -> tuple[list[Task], list[Edge]]:
    """The same application with tasks without work for inputs and outputs that have no place in the delay model.

    The input of a task with parents becomes that of a new task before it, "<name> input", and goes on along an edge of
    as many bits. The output of a task with children goes along an edge to a new task after it, "<name> output", which
    returns it. With such tasks on the device the data leaves it, or comes back, as an input or output of its own would,
    but for the device's backlog, which they wait for. Tasks that send are listed first and those that receive last:
    then one without work that waits for its data keeps no core from a task with work.
    """
    parents, children = {parent for parent, _, _ in edges}, {child for _, child, _ in edges}
    taken = {task.name for task in tasks}
    senders: list[Task] = []
    kept: list[Task] = []
    receivers: list[Task] = []
    added: list[Edge] = []
    for task in tasks:
        if task.name in children and 0 < task.input_bits < math.inf:
            sender = Task(_free(f"{task.name} input", taken), 0.0, input_bits=task.input_bits)
            senders.append(sender)
            added.append((sender.name, task.name, task.input_bits))
            task = task._replace(input_bits=0.0)
        if task.name in parents and 0 < task.output_bits < math.inf:
            receiver = Task(_free(f"{task.name} output", taken), 0.0, output_bits=task.output_bits)
            receivers.append(receiver)
            added.append((task.name, receiver.name, task.output_bits))
            task = task._replace(output_bits=0.0)
        kept.append(task)
    return [*senders, *kept, *receivers], [*edges, *added]


def _free(name: str, taken: set[str]) -> str:
    """``name``, with a number behind it where it is taken; it is taken from now on."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} {number}"
    taken.add(free)
    return free


def _topological(tasks: Sequence[Task], edges: Sequence[Edge]) -> list[int]:
    """The places of the tasks in the list, in the order of their numbers."""
    listed = {task.name: i for i, task in enumerate(tasks)}
    children: list[list[int]] = [[] for _ in tasks]
    missing = [0] * len(tasks)  # parents that have no number yet
    for parent, child, _ in edges:
        children[listed[parent]].append(listed[child])
        missing[listed[child]] += 1
    ready = [i for i, count in enumerate(missing) if count == 0]  # sorted, so it is a heap
    order: list[int] = []
    while ready:
        i = heapq.heappop(ready)
        order.append(i)
        for child_index in children[i]:
            missing[child_index] -= 1
            if missing[child_index] == 0:
                heapq.heappush(ready, child_index)
    if len(order) < len(tasks):
        left = {c: p for p, row in enumerate(children) for c in row if missing[p] and missing[c]}
        cycle = " -> ".join(repr(tasks[i].name) for i in _cycle(left))
        raise ValueError(f"the tasks {cycle} depend on each other in a cycle")
    return order


def _cycle(parents: Mapping[int, int]) -> list[int]:
    """A cycle in the graph in which each node has one parent, from parent to child, its first node again at the end."""
    node, seen = next(iter(parents)), dict[int, None]()
    while node not in seen:
        seen[node] = None
        node = parents[node]
    walked = list(seen)
    return [node, *reversed(walked[walked.index(node) :])]


def check_size(num_tasks: int, num_edges: int = 0) -> None:
    """ValueError where there are too many tasks or edges. Readers ask before they make anything of them."""
    for what, count, most in (("tasks", num_tasks, MAX_TASKS), ("edges", num_edges, MAX_EDGES)):
        if count > most:
            raise ValueError(f"it has at least {count:,} {what}; it must have at most {most:,}")


def check_task_names(names: Sequence[Any]) -> None:
    """ValueError where a name is not a string, or two are the same."""
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"the name of a task is {quoted(name)}; it must be a string")
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"{count} tasks have the name {name!r}; the names of tasks must differ")


def check_end(names: Container[str], parent: Any, child: Any) -> None:
    """ValueError where an end of an edge is not among the names of tasks."""
    for end in (parent, child):
        if not isinstance(end, str) or end not in names:
            raise ValueError(f"the edge {quoted(parent)} -> {quoted(child)} names {quoted(end)}, which is not a task")


def check_number(label: str, value: Any) -> None:
    """ValueError where ``value`` is not a number that a float can hold."""
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
        raise ValueError(f"{label} is {quoted(value)}; it must be a number")
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        raise ValueError(f"{label} is {quoted(value)}; it must be finite")
