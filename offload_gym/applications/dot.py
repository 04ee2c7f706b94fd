"""Reading task graphs from DOT files, those of daggen among them."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BITS_PER_BYTE = 8

Tasks = dict[str, dict[str, float]]  # attributes of each task by its name, in the order of the file
Edges = list[tuple[str, str, float]]  # parent, child, bits


def read_dot(path: Path, cycles_per_flop: float = 1.0) -> tuple[Tasks, Edges]:
    """Tasks and edges of a DOT file, in the units of ``offload_gym.Application``; see ``Application.from_dot``.

    Raises:
        ImportError: pydot is not installed.
        ValueError: the file is not one directed graph, or an attribute is missing or not a number.
    """
    try:
        import pydot
    except ImportError as error:
        raise ImportError("Reading DOT files needs pydot: pip install 'offload-gym[applications]'") from error
    if not isinstance(cycles_per_flop, int | float) or not 0 < cycles_per_flop < math.inf:
        raise ValueError(f"cycles_per_flop is {cycles_per_flop!r}; it must be finite and above 0")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if "NODE_COUNT" in text and "digraph" not in text:
        raise ValueError(f"{path} is in daggen's own format; write it with daggen --dot")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):  # pydot prints what is wrong and returns None
        graphs = pydot.graph_from_dot_data(text)
    if not graphs:
        raise ValueError(f"{path} is not a DOT file: {' '.join(printed.getvalue().split())}")
    if len(graphs) != 1 or graphs[0].get_type() != "digraph":
        raise ValueError(f"{path} must hold one directed graph (digraph)")
    try:
        return _read_graph(graphs[0], cycles_per_flop)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _read_graph(graph: Any, cycles_per_flop: float) -> tuple[Tasks, Edges]:
    nodes: dict[str, dict[str, str]] = {}
    links: list[tuple[str, str, dict[str, str]]] = []
    for part in _parts(graph):
        for node in part.get_node_list():
            name, attributes = node.get_name(), node.get_attributes()
            if name in ("node", "edge", "graph"):
                if name != "graph" and attributes:
                    raise ValueError(f"the default attributes {dict(attributes)} for every {name} are not understood")
                continue
            nodes.setdefault(_name(name), {}).update(_checked(attributes))
        for edge in part.get_edge_list():
            ends = (edge.get_source(), edge.get_destination())
            if not all(isinstance(end, str) for end in ends):
                raise ValueError("an edge from or to a group of nodes is not understood; write one edge for each node")
            links.append((_name(ends[0]), _name(ends[1]), _checked(edge.get_attributes())))
    for parent, child, _ in links:
        nodes.setdefault(parent, {})
        nodes.setdefault(child, {})

    own = any("workload_cycles" in attributes for attributes in nodes.values())
    tasks: Tasks = {}
    for name, attributes in nodes.items():
        label = f"task {name!r}"
        known = ("workload_cycles", "input_bits", "output_bits")
        tasks[name] = {key: _number(label, key, attributes[key]) for key in known if key in attributes}
        if not own:
            if "size" not in attributes:
                raise ValueError(f"{label} has neither workload_cycles nor daggen's size")
            tasks[name]["workload_cycles"] = _number(label, "size", attributes["size"]) * cycles_per_flop
    key, bits = ("bits", 1) if own else ("size", BITS_PER_BYTE)
    edges = [(a, b, bits * _number(f"the edge {a!r} -> {b!r}", key, data.get(key, "0"))) for a, b, data in links]
    return tasks, edges


def _parts(graph: Any) -> Iterator[Any]:
    """The graph and all subgraphs in it."""
    yield graph
    for subgraph in graph.get_subgraph_list():
        yield from _parts(subgraph)


def _checked(attributes: dict[str, str | None]) -> dict[str, str]:
    for key, value in attributes.items():
        # The DOT language has no exponents: what follows the digits is read as the next attribute.
        if value is None and key[0] in "eE" and key[1:].isdigit():
            raise ValueError(f'a number ends in {key}; with an exponent it must be in quotation marks, such as "1e9"')
    return {key: value for key, value in attributes.items() if value is not None}


def _name(text: str) -> str:
    """The name of a node without quotation marks and without the port that may follow it."""
    if "\\" in text:
        raise ValueError(f"the name {text} has a backslash, which is not understood")
    return text.split('"')[1] if text.startswith('"') else text.partition(":")[0]


def _number(label: str, key: str, text: Any) -> float:
    try:
        return float(str(text).strip('"'))
    except ValueError:
        raise ValueError(f"{key} of {label} is {text}; it must be a number") from None
