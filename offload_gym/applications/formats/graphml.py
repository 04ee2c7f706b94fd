"""Graphs of networkx, and GraphML (http://graphml.graphdrawing.org), which networkx reads."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import TYPE_CHECKING

from offload_gym.applications.attributes import Rename, checked_rename, read_attributes
from offload_gym.applications.formats.parts import Options, Parts
from offload_gym.applications.formats.xml_events import elements
from offload_gym.applications.task_graph import Edge, Task, check_size, task_of
from offload_gym.checks import shortened
from offload_gym.instances import TASK_FIELDS

if TYPE_CHECKING:
    import networkx


def read_graphml(text: str, options: Options) -> Parts:
    """The tasks and edges of a GraphML text; see ``Application.from_networkx``."""
    return Parts(None, *parts_of_graph(graph_of(text), options.rename))


def parts_of_graph(graph: networkx.DiGraph, rename: Rename | None) -> tuple[list[Task], list[Edge]]:
    """The tasks and edges of a directed graph; see ``Application.from_networkx``."""
    if not hasattr(graph, "is_directed") or not graph.is_directed() or graph.is_multigraph():
        raise ValueError(f"the graph is a {type(graph).__name__}; it must be a networkx.DiGraph")
    names = checked_rename(rename, (*TASK_FIELDS, "bits"))
    tasks: list[Task] = []
    edges: list[Edge] = []
    for node, attributes in graph.nodes(data=True):
        label = f"task {str(node)!r}"
        tasks.append(task_of(str(node), read_attributes(label, attributes, TASK_FIELDS, names)))
    for ends in graph.edges(data=True):
        parent, child = str(ends[0]), str(ends[1])
        label = f"the edge {parent!r} -> {child!r}"
        carried = read_attributes(label, ends[2], ("bits",), names, needed="bits")
        edges.append((parent, child, carried.get("bits", 0.0)))
    return tasks, edges


def graph_of(text: str) -> networkx.DiGraph:
    """The graph of a GraphML text, whose elements are looked at before networkx reads it.

    Raises:
        ImportError: networkx is not installed.
        ValueError: two nodes have one id, which networkx would make one node of, or networkx cannot read the text.
    """
    try:
        import networkx
    except ImportError as error:
        raise ImportError("GraphML needs networkx: pip install 'offload-gym[applications]'") from error
    counts: Counter[str] = Counter()
    num_edges = 0
    for element in elements(text):
        if element.name == "default":  # networkx reads it and does not apply it
            raise ValueError("a key has a <default>; each node and edge must have its values itself")
        num_edges += element.name == "edge"
        if element.name == "node":
            counts[element.attributes.get("id", "")] += 1
    check_size(counts.total(), num_edges)
    for name, count in counts.items():
        if count > 1:
            raise ValueError(f"{count} nodes have the id {name!r}; the ids of nodes must differ")
    try:
        with warnings.catch_warnings(action="ignore"):  # of types that it guesses: what is no number is refused later
            graph = networkx.parse_graphml(text)
    except Exception as error:  # of many kinds, of networkx and of what it calls
        said = shortened(str(error))
        raise ValueError(f"networkx cannot read this GraphML: {type(error).__name__}: {said}") from None
    for node in graph:
        if str(node) not in counts:
            raise ValueError(f"an edge names {str(node)!r}, which is not a node")
    # It reads one graph, and what stands in nodes of it not at all.
    if len(graph) < len(counts) or graph.number_of_edges() < num_edges:
        raise ValueError(
            f"networkx reads {len(graph):,} of the {len(counts):,} nodes and {graph.number_of_edges():,} of the "
            f"{num_edges:,} edges; all must stand in one graph, and none in a node"
        )
    return graph
