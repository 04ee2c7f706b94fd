"""Applications: tasks that depend on each other, checked, and made of graphs and models.

An application is a directed acyclic graph. Only a task without a parent (an entry task) sends its ``input_bits``, and
only a task without a child (an exit task) returns its ``output_bits``; every edge carries ``edge_bits``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from offload_gym.applications.attributes import Rename
from offload_gym.applications.formats.dot import check_factors, checked_dot_rename, parts_of_dot
from offload_gym.applications.formats.dot_language import parse
from offload_gym.applications.formats.graphml import parts_of_graph
from offload_gym.applications.task_graph import Edge, Task, arranged, check_size, check_task_names, task_of
from offload_gym.array_checks import check_count
from offload_gym.checks import LONGEST_SENTENCE, as_path, quoted, shortened
from offload_gym.files import read_text
from offload_gym.instances import TASK_FIELDS

if TYPE_CHECKING:
    import networkx
    import torch


@dataclass(frozen=True)
class Application:
    """n tasks, the edges between them, and what each edge carries. Immutable and checked once, here.

    Anything array-like is taken for a field, lists as they come from JSON too, and kept as tuples.

    Args:
        name: name of the application.
        input_bits: (n,) bits that a task without a parent sends to a remote location, finite, >= 0; 0 for others.
        output_bits: (n,) bits that a task without a child returns to the device, finite, >= 0; 0 for others.
            ``from_dict`` takes sizes of other tasks as well, and adds tasks without work that send and receive them.
        workload_cycles: (n,) CPU cycles, finite, >= 0.
        edges: dependencies (parent, child). Tasks are numbered in topological order: a parent before its children.
        edge_bits: (E,) bits that each edge carries, finite, >= 0.
        task_names: (n,) names, all different; "0", "1", ... where none are given.

    Raises:
        ValueError: one sentence with the task or the edge, the value and the bound.
    """

    name: str
    input_bits: tuple[float, ...]
    output_bits: tuple[float, ...]
    workload_cycles: tuple[float, ...]
    edges: tuple[tuple[int, int], ...] = ()
    edge_bits: tuple[float, ...] = ()
    task_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise ValueError(f"name is {quoted(self.name)}; it must be a string")
        fields = {name: _floats(name, getattr(self, name)) for name in (*TASK_FIELDS, "edge_bits")}
        n = len(fields["workload_cycles"])
        if n == 0:
            raise ValueError("workload_cycles is empty; an application must have at least one task")
        for name in TASK_FIELDS:
            if len(fields[name]) != n:
                raise ValueError(f"{name} has {len(fields[name])} numbers; it must have {n}, as workload_cycles has")
        if isinstance(self.task_names, str) or not isinstance(self.task_names, Iterable):
            raise ValueError(f"task_names is {quoted(self.task_names)}; it must hold one name for each task")
        task_names = tuple(self.task_names) or tuple(str(i) for i in range(n))
        if len(task_names) != n:
            raise ValueError(f"task_names has {len(task_names)} names; it must have {n}, one for each task")
        check_task_names(task_names)
        for name in TASK_FIELDS:
            for i, value in enumerate(fields[name]):
                _check_not_negative(f"{name} of task {task_names[i]!r} ({i})", value)
        edges = _checked_edges(self.edges, task_names)
        if len(fields["edge_bits"]) != len(edges):
            given = len(fields["edge_bits"])
            raise ValueError(f"edge_bits has {given} numbers; it must have {len(edges)}, one for each edge")
        for (parent, child), value in zip(edges, fields["edge_bits"], strict=True):
            _check_not_negative(f"edge_bits of {_edge_label(parent, child, task_names)}", value)
        _check_transfers(fields, edges, task_names)
        checked: dict[str, Any] = {**fields, "edges": edges, "task_names": task_names}
        for name in checked:
            object.__setattr__(self, name, checked[name])

    @property
    def num_tasks(self) -> int:
        """The number of tasks, n."""
        return len(self.workload_cycles)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Application:
        """The application of what a JSON file holds; ``load_application`` shows it and says what is made of it.

        Raises:
            ValueError: a key is unknown or missing, tasks depend on each other in a cycle, or a value is out of its
                bounds.
        """
        _check_keys("the application", data, needed=("name", "tasks"), optional=("edges",))
        tasks, edges = data["tasks"], data.get("edges", [])
        for key, rows in (("tasks", tasks), ("edges", edges)):
            if not isinstance(rows, list):
                raise ValueError(f"{key} is {quoted(rows)}; it must be a list")
        check_size(len(tasks), len(edges))
        for i, task in enumerate(tasks):
            _check_keys(f"tasks[{i}]", task, needed=("name", "workload_cycles"), optional=("input_bits", "output_bits"))
        for i, edge in enumerate(edges):
            _check_keys(f"edges[{i}]", edge, needed=("from", "to"), optional=("bits",))
        rows = [task_of(task["name"], task) for task in tasks]
        return numbered(data["name"], rows, [(edge["from"], edge["to"], edge.get("bits", 0.0)) for edge in edges])

    @classmethod
    def from_networkx(
        cls, graph: networkx.DiGraph, name: str | None = None, *, rename: Rename | None = None
    ) -> Application:
        """The application of a directed graph.

        Nodes have the attribute ``workload_cycles`` and may have ``input_bits`` and ``output_bits``, edges have
        ``bits``; an edge without any attribute carries 0 bits. Attributes that Graphviz draws by, such as ``color`` and
        ``label``, are left out. Any other is refused, and so is an edge that has attributes and no ``bits``: it may
        hold its size under another name. ``rename`` says what such names mean. A task is named after its node and
        numbered topologically; of the tasks that could be next, the first node of the graph is.

        As in ``load_application``, tasks without work are added that send the ``input_bits`` of tasks with parents and
        receive the ``output_bits`` of tasks with children.

        Args:
            graph: the graph.
            name: name of the application; by default the graph's.
            rename: names of attributes in the graph, and what they are here: ``{"weight": "bits"}``. Those that are
                None are left out.

        Raises:
            ValueError: the graph is not a directed one without parallel edges, it has a cycle, a node has no
                ``workload_cycles``, an attribute is unknown, or a value is out of its bounds.
        """
        if isinstance(graph, str | Path):
            raise ValueError(
                f"the graph is the path {str(graph)!r}; it must be a networkx.DiGraph (Application.from_dot reads DOT "
                "files, load_application reads all)"
            )
        tasks, edges = parts_of_graph(graph, rename)
        return numbered(name or graph.name or "application", tasks, edges)

    def to_networkx(self) -> networkx.DiGraph:
        """The application as a ``networkx.DiGraph`` with the attributes that ``from_networkx`` reads.

        Raises:
            ImportError: networkx is not installed.
        """
        try:
            import networkx
        except ImportError as error:
            raise ImportError("to_networkx needs networkx: pip install 'offload-gym[applications]'") from error
        graph = networkx.DiGraph(name=self.name)
        for i, task_name in enumerate(self.task_names):
            graph.add_node(task_name, **{field: getattr(self, field)[i] for field in TASK_FIELDS})
        for (parent, child), bits in zip(self.edges, self.edge_bits, strict=True):
            graph.add_edge(self.task_names[parent], self.task_names[child], bits=bits)
        return graph

    @classmethod
    def from_dot(
        cls,
        path: str | Path,
        name: str | None = None,
        *,
        cycles_per_flop: float | None = None,
        cycles_per_byte: float | None = None,
        rename: Rename | None = None,
    ) -> Application:
        """The application of a DOT file.

        Two sets of attributes are understood. Where a node has ``workload_cycles``, all have those of
        ``from_networkx``, and what is said there of other attributes holds. Otherwise the file is read as one that
        daggen writes when called with ``--dot`` (https://github.com/frs69wq/daggen, ``outputDOT`` in
        daggen_commons.c): the ``size`` of a node is its cost in floating-point operations; the ``size`` of an edge is
        in bytes of 8 bits. The ``alpha`` of a node, the share of it that cannot run in parallel, is not used, because
        a task runs on one core. daggen gives no sizes of what the application reads and returns: ``input_bits`` and
        ``output_bits`` are 0, unless they are added to the file by hand.

        Other sets, such as that of MRLCO (https://github.com/linkpark/metarl-offloading), hold bytes in ``size``: with
        ``cycles_per_byte``, a task processes so many bytes, which the device has where the task has no parent, and
        which come along its edges where it has some. ``expect_size`` is what a task returns, in bytes: ``output_bits``
        where it has no child; otherwise each of its edges must carry as much.

        Nodes and edges inside subgraphs, defaults for all nodes or edges, and edges from or to a whole subgraph are
        read as Graphviz reads them. An edge that is there twice is one where both carry the same, and is refused where
        they do not. A number with an exponent must be in quotation marks: DOT has no exponents.

        Args:
            path: the file; one directed graph.
            name: name of the application; by default that of the file without its ending.
            cycles_per_flop: cycles of one floating-point operation of daggen's costs, finite, > 0; 1 by default.
            cycles_per_byte: cycles for each byte where ``size`` is the bytes that a task processes, finite, > 0.
            rename: names of attributes in the file, and what they are here, as for ``from_networkx``; ``size`` and
                ``expect_size`` are possible, too.

        Raises:
            ValueError: the file is not what is said above, or a value is out of its bounds.
        """
        path = as_path(path)
        check_factors(cycles_per_flop, cycles_per_byte)
        checked_dot_rename(rename)
        text = read_text(path)
        try:
            parts = parts_of_dot(parse(text), cycles_per_flop, cycles_per_byte, rename)
            return numbered(path.stem if name is None else name, parts.tasks, parts.edges)
        except ValueError as error:
            raise ValueError(f"{path}: {shortened(str(error), LONGEST_SENTENCE)}") from None

    @classmethod
    def from_torch(
        cls,
        model: torch.nn.Module,
        example_input: Any,
        name: str | None = None,
        *,
        flops: Mapping[str, float | Callable[..., float]] | None = None,
    ) -> Application:
        """The application of one inference of a torch model; see ``offload_gym.applications.tracing.trace``.

        Args:
            model: any module that ``torch.export`` can trace.
            example_input: the tensor, the tuple of arguments, or the dictionary of keyword arguments that ``model`` is
                called with.
            name: name of the application; by default that of the model's class.
            flops: floating-point operations of what torch has no formula for, by its name: ``{"aten.mv": 2e6}``, or a
                function of the shapes of its arguments.
        """
        from offload_gym.applications.tracing import trace

        parts = trace(model, example_input, flops)
        return cls(name=type(model).__name__ if name is None else name, **parts)

    def coarsen(self, max_tasks: int) -> Application:
        """This application with at most ``max_tasks`` tasks: neighbours are merged until few enough are left.

        Of the edges whose ends are joined by no other path, so that no cycle arises, the one with the most bits for the
        product of its two workloads is contracted; one to a task without work comes first. Where there is no such edge,
        the lightest two tasks that do not depend on each other are merged. A task with input keeps having no parents,
        and one with output no children, so that no data is lost. Workloads, input, output, and the bits of edges that
        become parallel, are added: data of one task for two others counts twice here, as it does when they are apart.

        A merged task runs on one core, begins when all its data is there and hands it on at its end. What it is made of
        no longer runs side by side, so that a wide graph loses more than a network. With all tasks on one core, the
        makespan is what it was.

        A merged task is named after its first and its last one, as in "stem..body.0".

        Args:
            max_tasks: at least 1; an application that has no more tasks is returned as it is.

        Raises:
            ValueError: ``max_tasks`` is not a whole number, at least 1.
        """
        from offload_gym.applications.coarsen import Graph

        check_count("max_tasks", max_tasks)
        if self.num_tasks <= max_tasks:
            return self
        graph = Graph(
            dict(zip(self.edges, self.edge_bits, strict=True)),
            self.workload_cycles,
            {i: bits for i, bits in enumerate(self.input_bits) if bits},
            {i: bits for i, bits in enumerate(self.output_bits) if bits},
        )
        graph.coarsen(max_tasks)
        names = {
            first: self.task_names[first] + (f"..{self.task_names[last]}" if last > first else "")
            for first, last in sorted(graph.last.items())
        }
        tasks = [
            Task(name, graph.work[i], graph.sent.get(i, 0.0), graph.returned.get(i, 0.0)) for i, name in names.items()
        ]
        return numbered(
            self.name, tasks, [(names[a], names[b], bits) for (a, b), bits in sorted(graph.edge_bits.items())]
        )


def numbered(name: str, tasks: Sequence[Task], edges: Sequence[Edge]) -> Application:
    """The application of tasks in any order, with sizes wherever they stand; see ``task_graph.arranged``."""
    return Application(name=name, **arranged(tasks, edges))


def _check_keys(where: str, data: Any, needed: Sequence[str], optional: Sequence[str]) -> None:
    known = ", ".join((*needed, *optional))
    if not isinstance(data, dict):
        raise ValueError(f"{where} is {quoted(data)}; it must be an object with the keys {known}")
    for key in data:
        if key not in needed and key not in optional:
            raise ValueError(f"{where} has the unknown key {quoted(key)}; its keys are {known}")
    for key in needed:
        if key not in data:
            raise ValueError(f"{where} has no {key!r}")


def _checked_edges(edges: Any, task_names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    n = len(task_names)
    try:
        pairs = tuple((operator.index(parent), operator.index(child)) for parent, child in edges)
    except (TypeError, ValueError):
        raise ValueError(f"edges is {quoted(edges)}; it must hold pairs (parent, child) of task numbers") from None
    seen = set()
    for parent, child in pairs:
        for end in (parent, child):
            if not 0 <= end < n:
                raise ValueError(f"the edge {parent} -> {child} names task {end}; the tasks are 0 to {n - 1}")
        label = _edge_label(parent, child, task_names)
        if parent == child:
            raise ValueError(f"{label} makes a task depend on itself")
        if parent > child:
            raise ValueError(f"{label} goes backwards; a parent must be numbered before its children")
        if (parent, child) in seen:
            raise ValueError(f"{label} is given twice")
        seen.add((parent, child))
    return pairs


def _check_transfers(
    fields: Mapping[str, Sequence[float]], edges: Sequence[tuple[int, int]], task_names: Sequence[str]
) -> None:
    """ValueError where a task has an input or output that the delay model has no place for."""
    rules = (("input_bits", 1, "parents", "sends"), ("output_bits", 0, "children", "returns"))
    for name, end, relatives, verb in rules:
        for i in sorted({edge[end] for edge in edges}):
            if fields[name][i] > 0:
                raise ValueError(
                    f"{name} of task {task_names[i]!r} ({i}) is {fields[name][i]}, but the task has {relatives}, and "
                    f"only one without {relatives} {verb} any (Application.from_dict adds such a task)"
                )


def _edge_label(parent: int, child: int, task_names: Sequence[str]) -> str:
    return f"the edge {parent} -> {child} ({task_names[parent]!r} -> {task_names[child]!r})"


def _floats(name: str, values: ArrayLike) -> tuple[float, ...]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers, but {shortened(str(error))}") from None
    if array.ndim != 1:
        raise ValueError(f"{name} has the shape {array.shape}; it must be one number after the other")
    return tuple(array.tolist())


def _check_not_negative(label: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{label} is {value}; it must be finite and at least 0")
