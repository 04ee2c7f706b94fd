"""STG, the texts of the standard task graph set: https://www.kasahara.cs.waseda.ac.jp/schedule/format_e.html."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from offload_gym.applications.formats.parts import Options, Parts, amount_in
from offload_gym.applications.task_graph import Edge, Task, check_size
from offload_gym.checks import quoted

Line = tuple[int, list[str]]  # its number and its words
_NUMBER = re.compile(r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?|nan|inf", re.IGNORECASE)


def is_stg(text: str) -> bool:
    """Whether a text begins as a task graph does: a line of one or two whole numbers, and one of three or more."""
    lines = _lines(text)
    first, second = next(lines, (0, [])), next(lines, (0, []))
    whole = all(word.isdecimal() for word in first[1])
    return whole and len(first[1]) in (1, 2) and len(second[1]) >= 3 and all(map(_NUMBER.fullmatch, second[1]))


def read_stg(text: str, options: Options) -> Parts:
    """The tasks and edges of a task graph; processing times become cycles at the reference speed.

    A line is the number of a task, its processing time, how many tasks it needs, and their numbers. The first line is
    the number of tasks without two empty ones, the first and the last of the graph, which are left out here: they only
    say where it begins and ends. The older files of the set have the number of processors there as well, and the last
    empty task alone. Where the numbers of the tasks that one needs stand on lines of their own, each with a time, that
    is what is sent from it, in units of ``unit_bits``; otherwise edges carry nothing.

    Raises:
        ValueError: a line is not what is said above, or their number is not the one that the first line says.
    """
    lines = _lines(text)
    at, header = next(lines)
    check_size(int(header[0]) if len(header[0]) < 20 else sys.maxsize)
    tasks: list[Task] = []
    edges: list[Edge] = []
    for number, words in lines:
        if len(words) < 3:
            said = quoted(" ".join(words))
            raise ValueError(f"line {number} is {said}; it must be a task, its time, how many it needs, and which")
        name, many = words[0], words[2]
        tasks.append(Task(name, options.hz * amount_in(f"processing time of task {name!r} (line {number})", words[1])))
        if not many.isdecimal():
            raise ValueError(
                f"line {number} says that task {name!r} needs {quoted(many)} tasks; it must be a whole number"
            )
        count = int(many)
        if len(words) == 3 and count:
            edges += _parents_below(lines, name, count, options.bits)
            continue
        if len(words) != 3 + count:
            raise ValueError(
                f"line {number} says that task {name!r} needs {count:,} tasks, and names {len(words) - 3:,}"
            )
        edges += [(parent, name, 0.0) for parent in words[3:]]
    return Parts(None, *_without_ends(int(header[0]), at, tasks, edges))


def _lines(text: str) -> Iterator[Line]:
    """Lines with their numbers, without empty ones and those that begin with #."""
    start = number = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        number += 1
        words = text[start:end].partition("#")[0].split()
        if words:
            yield number, words
        start = end + 1


def _parents_below(lines: Iterator[Line], name: str, count: int, unit_bits: float) -> Iterator[Edge]:
    """Edges to a task of which each has a line of its own."""
    for _ in range(count):
        number, words = next(lines, (0, []))
        if len(words) != 2:
            found = f"line {number} is {quoted(' '.join(words))}" if words else "the file ends"
            raise ValueError(
                f"{found} where task {name!r} must have {count:,} lines of a task that it needs and a time"
            )
        label = f"communication time from task {words[0]!r} to {name!r} (line {number})"
        yield words[0], name, unit_bits * amount_in(label, words[1])


def _without_ends(said: int, line: int, tasks: list[Task], edges: list[Edge]) -> tuple[list[Task], list[Edge]]:
    """The graph without the empty tasks at its ends, of which the first line of the file does not speak."""
    more = len(tasks) - said
    if more not in (0, 1, 2):
        raise ValueError(
            f"line {line} says that there are {said:,} tasks, and there are {len(tasks):,}; there must be {said:,}, or "
            "one or two more that are empty"
        )
    ends = tasks[:1] + tasks[-1:] if more == 2 else tasks[-1:] if more == 1 else []
    for task in ends:
        if task.workload_cycles > 0:
            raise ValueError(f"task {task.name!r} has a processing time; an empty task at an end must have 0")
    first, last = tasks[0].name if more == 2 else None, tasks[-1].name if more else None
    for parent, child, _ in edges:
        if child == first or parent == last:
            raise ValueError(f"task {child!r} needs task {parent!r}; the empty tasks must be at the ends of the graph")
    names = {task.name for task in ends}
    kept = [edge for edge in edges if edge[0] not in names and edge[1] not in names]
    return [task for task in tasks if task.name not in names], kept
