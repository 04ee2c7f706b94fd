"""What the attributes of a DOT file say of tasks: those of this project, and the sizes of daggen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from offload_gym.applications.attributes import Rename, checked_rename, read_attributes
from offload_gym.applications.formats.dot_language import Graph, parse
from offload_gym.applications.formats.parts import BITS_PER_BYTE, Options, Parts, amount_in
from offload_gym.applications.task_graph import Edge, Task, task_of
from offload_gym.instances import TASK_FIELDS

OWN_EDGE, DAGGEN_EDGE = ("bits",), ("size",)
# Input and output may be added to daggen's files by hand; alpha, the share that cannot run in parallel, is not used.
DAGGEN_TASK = ("size", "expect_size", "alpha", "input_bits", "output_bits")

# What MRLCO's device processes (https://github.com/linkpark/metarl-offloading, mobile_process_capable of
# meta_trainer.py): a task of 2^20 bytes takes it a second, and its server a tenth of one.
MRLCO_BYTES_PER_S = 2.0**20

Tasks = dict[str, dict[str, Any]]  # attributes of each task by its name, in the order of the file
Links = dict[tuple[str, str], float]  # what an edge carries, in the unit of the file


def read_dot(text: str, options: Options) -> Parts:
    """The tasks and edges of a DOT text as ``load_application`` reads it.

    Where a node has ``expect_size``, which daggen does not write, sizes are the bytes that tasks process, and run times
    those of MRLCO's device.

    Raises:
        ValueError: as ``parts_of_dot``, or a reference speed is given and the file has no run times.
    """
    names = checked_dot_rename(options.rename)
    graph = parse(text)
    if any(names.get(key, key) == "expect_size" for found in graph.nodes.values() for key in found):
        return parts_of_dot(graph, None, options.hz / MRLCO_BYTES_PER_S, options.rename)
    if options.reference_hz is not None:
        raise ValueError(
            "reference_hz is given, and this DOT file has cycles or operations, not run times; leave it out"
        )
    return parts_of_dot(graph, None, None, options.rename)


def parts_of_dot(
    graph: Graph, cycles_per_flop: float | None, cycles_per_byte: float | None, rename: Rename | None
) -> Parts:
    """Tasks and edges of a DOT graph, in the units of ``offload_gym.Application``; see ``Application.from_dot``.

    Raises:
        ValueError: an attribute is missing, unknown or not a number.
    """
    names = checked_dot_rename(rename)
    if any(names.get(key, key) == "workload_cycles" for found in graph.nodes.values() for key in found):
        return Parts(None, *_own(graph, names))
    return Parts(None, *_daggen(graph, names, cycles_per_flop, cycles_per_byte))


def checked_dot_rename(rename: Rename | None) -> Rename:
    """``rename`` as ``checked_rename`` gives it, to the names that a DOT file may have."""
    return checked_rename(rename, (*TASK_FIELDS, *OWN_EDGE, *DAGGEN_EDGE, "expect_size"))


def check_factors(cycles_per_flop: float | None, cycles_per_byte: float | None) -> None:
    """ValueError where a factor is not a number above 0, or both are given."""
    for name, value in (("cycles_per_flop", cycles_per_flop), ("cycles_per_byte", cycles_per_byte)):
        if value is not None and not (isinstance(value, Real) and 0 < value < math.inf):
            raise ValueError(f"{name} is {value!r}; it must be finite and above 0")
    if cycles_per_flop is not None and cycles_per_byte is not None:
        raise ValueError("cycles_per_flop and cycles_per_byte are both given; a size is one or the other")


def _own(graph: Graph, rename: Rename) -> tuple[list[Task], list[Edge]]:
    """The tasks and edges of a file with the attributes of this project."""
    tasks = _tasks(graph, TASK_FIELDS, rename)
    links = _links(graph, OWN_EDGE, rename)
    return [task_of(*task) for task in tasks.items()], [(*ends, bits) for ends, bits in links.items()]


def _daggen(
    graph: Graph, rename: Rename, cycles_per_flop: float | None, cycles_per_byte: float | None
) -> tuple[list[Task], list[Edge]]:
    """The tasks and edges of a file with sizes as daggen writes them, or as they are used instead."""
    tasks = _tasks(graph, DAGGEN_TASK, rename)
    links = _links(graph, DAGGEN_EDGE, rename)
    parents, children = {parent for parent, _ in links}, {child for _, child in links}
    factor = cycles_per_byte if cycles_per_byte is not None else cycles_per_flop
    for name, sizes in tasks.items():
        if "size" not in sizes:
            raise ValueError(f"task {name!r} has neither workload_cycles nor daggen's size")
        if "expect_size" in sizes and factor is None:
            raise ValueError(
                f"task {name!r} has expect_size, which daggen does not write: cycles_per_byte=... says that size is "
                "the bytes that a task processes, cycles_per_flop=... that it is floating-point operations"
            )
        sizes["workload_cycles"] = sizes["size"] * (1.0 if factor is None else factor)
        if cycles_per_byte is not None and name not in children:
            sizes.setdefault("input_bits", BITS_PER_BYTE * sizes["size"])
        if "expect_size" in sizes and name not in parents:
            sizes.setdefault("output_bits", BITS_PER_BYTE * sizes["expect_size"])
    for (parent, child), size in links.items():
        expected = tasks[parent].get("expect_size", size)
        if size != expected:
            raise ValueError(
                f"task {parent!r} has the expect_size {expected:g}, and its edge to {child!r} carries {size:g}; what a "
                "task with children makes goes along its edges"
            )
    edges = [(*ends, BITS_PER_BYTE * size) for ends, size in links.items()]
    return [task_of(*task) for task in tasks.items()], edges


def _tasks(graph: Graph, known: tuple[str, ...], rename: Rename) -> Tasks:
    tasks: Tasks = {}
    for name, attributes in graph.nodes.items():
        label = f"task {name!r}"
        tasks[name] = _numbers(label, read_attributes(label, attributes, known, rename))
    return tasks


def _links(graph: Graph, known: tuple[str, ...], rename: Rename) -> Links:
    """What each edge carries; an edge that is written twice, as daggen does, is one if both carry the same."""
    links: Links = {}
    for parent, child, attributes in graph.edges:
        label = f"the edge {parent!r} -> {child!r}"
        size = _numbers(label, read_attributes(label, attributes, known, rename, needed=known[0])).get(known[0], 0.0)
        before = links.setdefault((parent, child), size)
        if before != size:
            raise ValueError(f"{label} is there twice, with {known[0]} {before:g} and {size:g}; it can carry only one")
    return links


def _numbers(label: str, attributes: Mapping[str, str]) -> dict[str, Any]:
    return {key: amount_in(f"{key} of {label}", text) for key, text in attributes.items()}
