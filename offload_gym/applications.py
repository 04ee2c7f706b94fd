"""Applications: tasks that depend on each other, read from files, drawn at random, or made after known ones.

An application is a directed acyclic graph. Only a task without a parent (an entry task) sends its ``input_bits``, and
only a task without a child (an exit task) returns its ``output_bits``; every edge carries ``edge_bits``.
"""

from __future__ import annotations

import heapq
import json
import math
import operator
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import ArrayLike, NDArray

from offload_gym.cnns import CNN_NAMES, TENSOR_BITS_PER_ELEMENT, cnn_layers, cnn_task
from offload_gym.files import replacing
from offload_gym.graphs import num_graph_uniforms, random_edges
from offload_gym.instances import TASK_FIELDS, check_count
from offload_gym.seeds import check_seed

if TYPE_CHECKING:
    import networkx
    import torch

# Where the ratio of communication to computation is measured: speeds in the range of the default scenario.
CCR_BPS, CCR_HZ = 20e6, 8e9

Range = tuple[float, float]


@dataclass(frozen=True)
class Application:
    """n tasks, the edges between them, and what each edge carries. Immutable and checked once, here.

    Anything array-like is taken for a field, lists as they come from JSON too, and kept as tuples.

    Args:
        name: name of the application.
        input_bits: (n,) bits that a task without a parent sends to a remote location, finite, >= 0.
        output_bits: (n,) bits that a task without a child returns to the device, finite, >= 0.
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
            raise ValueError(f"name is {self.name!r}; it must be a string")
        fields = {name: _floats(name, getattr(self, name)) for name in (*TASK_FIELDS, "edge_bits")}
        n = len(fields["workload_cycles"])
        if n == 0:
            raise ValueError("workload_cycles is empty; an application must have at least one task")
        for name in TASK_FIELDS:
            if len(fields[name]) != n:
                raise ValueError(f"{name} has {len(fields[name])} numbers; it must have {n}, as workload_cycles has")
        if isinstance(self.task_names, str) or not isinstance(self.task_names, Iterable):
            raise ValueError(f"task_names is {self.task_names!r}; it must hold one name for each task")
        task_names = tuple(self.task_names) or tuple(str(i) for i in range(n))
        if len(task_names) != n:
            raise ValueError(f"task_names has {len(task_names)} names; it must have {n}, one for each task")
        _check_task_names(task_names)
        for name in TASK_FIELDS:
            for i, value in enumerate(fields[name]):
                _check_not_negative(f"{name} of task {task_names[i]!r} ({i})", value)
        edges = _checked_edges(self.edges, task_names)
        if len(fields["edge_bits"]) != len(edges):
            given = len(fields["edge_bits"])
            raise ValueError(f"edge_bits has {given} numbers; it must have {len(edges)}, one for each edge")
        for (parent, child), value in zip(edges, fields["edge_bits"], strict=True):
            _check_not_negative(f"edge_bits of {_edge_label(parent, child, task_names)}", value)
        checked: dict[str, Any] = {**fields, "edges": edges, "task_names": task_names}
        for name in checked:
            object.__setattr__(self, name, checked[name])

    @property
    def num_tasks(self) -> int:
        """The number of tasks, n."""
        return len(self.workload_cycles)

    @classmethod
    def from_networkx(cls, graph: networkx.DiGraph, name: str | None = None) -> Application:
        """The application of a directed graph.

        Args:
            graph: nodes have the attribute ``workload_cycles`` and may have ``input_bits`` and ``output_bits``, edges
                may have ``bits``; 0 where they are not given. Other attributes are ignored. A task is named after its
                node and numbered topologically; of the tasks that could be next, the first node of the graph is.
            name: name of the application; by default the graph's.

        Raises:
            ValueError: the graph is not a directed one without parallel edges, it has a cycle, a node has no
                ``workload_cycles``, or a value is out of its bounds.
        """
        if not graph.is_directed() or graph.is_multigraph():
            raise ValueError(f"the graph is a {type(graph).__name__}; it must be a networkx.DiGraph")
        tasks = [_task(str(node), attributes) for node, attributes in graph.nodes(data=True)]
        edges = [(str(a), str(b), data.get("bits", 0.0)) for a, b, data in graph.edges(data=True)]
        return _numbered(name or graph.name or "application", tasks, edges)

    def to_networkx(self) -> networkx.DiGraph:
        """The application as a ``networkx.DiGraph`` with the attributes that ``from_networkx`` reads.

        Raises:
            ImportError: networkx is not installed.
        """
        try:
            import networkx
        except ImportError as error:
            raise ImportError("to_networkx needs networkx: pip install offload-gym[applications]") from error
        graph = networkx.DiGraph(name=self.name)
        for i, task_name in enumerate(self.task_names):
            graph.add_node(task_name, **{field: getattr(self, field)[i] for field in TASK_FIELDS})
        for (parent, child), bits in zip(self.edges, self.edge_bits, strict=True):
            graph.add_edge(self.task_names[parent], self.task_names[child], bits=bits)
        return graph

    @classmethod
    def from_dot(cls, path: str | Path, name: str | None = None, *, cycles_per_flop: float = 1.0) -> Application:
        """The application of a DOT file.

        Two sets of attributes are understood. Where a node has ``workload_cycles``, all have those of
        ``from_networkx``. Otherwise the file is read as one that daggen writes when called with ``--dot``
        (https://github.com/frs69wq/daggen, ``outputDOT`` in daggen_commons.c): the ``size`` of a node is its cost in
        floating-point operations of ``cycles_per_flop`` cycles; the ``size`` of an edge is in bytes of 8 bits. The
        ``alpha`` of a node, the share of it that cannot run in parallel, is not used, because a task runs on one core.
        daggen gives no sizes of what entry tasks read and exit tasks return: ``input_bits`` and
        ``output_bits`` are 0, unless they are added to the file by hand.

        Nodes and edges inside subgraphs are read too. Defaults for all nodes or edges, and edges from or to a whole
        subgraph, are refused. A number with an exponent must be in quotation marks: DOT has no exponents.

        Args:
            path: the file; one directed graph.
            name: name of the application; by default that of the file without its ending.
            cycles_per_flop: cycles of one floating-point operation of daggen's costs, finite, > 0.

        Raises:
            ImportError: pydot is not installed.
            ValueError: the file is not what is said above, or a value is out of its bounds.
        """
        from offload_gym.dot import read_dot

        path = Path(path)
        tasks, edges = read_dot(path, cycles_per_flop)
        try:
            rows = [_task(task_name, attributes) for task_name, attributes in tasks.items()]
            return _numbered(path.stem if name is None else name, rows, edges)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def from_torch(cls, model: torch.nn.Module, example_input: Any, name: str | None = None) -> Application:
        """The application of one inference of a torch model; see ``offload_gym.tracing.trace_application``."""
        from offload_gym.tracing import trace_application

        return trace_application(model, example_input, name)


def load_application(path: str | Path) -> Application:
    """The application of a JSON file.

    The file may be written by hand::

        {"name": "faces",
         "tasks": [{"name": "detect", "workload_cycles": 1e9, "input_bits": 4e6},
                   {"name": "align", "workload_cycles": 2e8, "output_bits": 1e4}],
         "edges": [{"from": "detect", "to": "align", "bits": 1e6}]}

    ``input_bits``, ``output_bits``, ``bits`` and ``edges`` may be left out and are 0 or empty then; ``input_bits`` of a
    task with a parent and ``output_bits`` of one with a child have no effect. Tasks may come in
    any order: they are numbered topologically, and of the tasks that could be next the one listed first is.

    Raises:
        ValueError: the file is not JSON, a key is unknown or missing, tasks depend on each other in a cycle, or a value
            is out of its bounds.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"it is not JSON: {error}") from None
        _check_keys("the application", data, needed=("name", "tasks"), optional=("edges",))
        tasks, edges = data["tasks"], data.get("edges", [])
        for key, rows in (("tasks", tasks), ("edges", edges)):
            if not isinstance(rows, list):
                raise ValueError(f"{key} is {rows!r}; it must be a list")
        for i, task in enumerate(tasks):
            _check_keys(f"tasks[{i}]", task, needed=("name", "workload_cycles"), optional=("input_bits", "output_bits"))
        for i, edge in enumerate(edges):
            _check_keys(f"edges[{i}]", edge, needed=("from", "to"), optional=("bits",))
        rows = [_task(task["name"], task) for task in tasks]
        return _numbered(data["name"], rows, [(edge["from"], edge["to"], edge.get("bits", 0.0)) for edge in edges])
    except (RecursionError, ValueError) as error:  # what json finds as well
        raise ValueError(f"{path}: {error}") from None


def save_application(path: str | Path, application: Application) -> None:
    """Write an application as JSON, whole or not at all; ``load_application`` gives an equal one."""
    tasks = [
        {"name": task_name} | {field: getattr(application, field)[i] for field in reversed(TASK_FIELDS)}
        for i, task_name in enumerate(application.task_names)
    ]
    names = application.task_names
    edges = [
        {"from": names[parent], "to": names[child], "bits": bits}
        for (parent, child), bits in zip(application.edges, application.edge_bits, strict=True)
    ]
    with replacing(path) as temporary:
        text = json.dumps({"name": application.name, "tasks": tasks, "edges": edges}, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def random_application(
    num_tasks: int,
    *,
    fat: float = 0.5,
    density: float = 0.5,
    jump: int = 2,
    ccr: float = 0.5,
    workload_cycles: Range = (2e8, 1e9),
    input_bits: Range = (4e5, 4e6),
    output_bits: Range = (8e3, 1.2e6),
    seed: int | SeedSequence = 0,
) -> Application:
    """A random application; ``offload_gym.graphs.random_edges`` says how its graph is drawn.

    An edge carries ``ccr * workload_cycles[parent] * CCR_BPS / CCR_HZ`` bits times a uniform factor between 0.5 and
    1.5: sending it at 20 Mbit/s takes on average ``ccr`` times as long as running its parent at 8 GHz.

    Args:
        num_tasks: n.
        fat: how wide the graph is, from 0, a chain, to 1, one or two layers.
        density: how many of the possible edges there are, from 0, one parent each, to 1, all of the layer before.
        jump: how many layers an edge may span, at least 1.
        ccr: ratio of communication to computation, finite, >= 0.
        workload_cycles: (low, high), drawn from uniformly, of each task.
        input_bits: (low, high), drawn from uniformly, of each task without a parent; others have 0.
        output_bits: (low, high), drawn from uniformly, of each task without a child; others have 0.
        seed: a whole number, at least 0, or a ``SeedSequence``.

    Raises:
        ValueError: one sentence with the argument, the value and the bound.
    """
    check_count("num_tasks", num_tasks)
    check_count("jump", jump)
    check_seed(seed)
    for name, value, high in (("fat", fat, 1.0), ("density", density, 1.0), ("ccr", ccr, math.inf)):
        _check_number(name, value)
        if not (0.0 <= value <= high and math.isfinite(value)):
            bound = "finite and at least 0" if high == math.inf else "from 0 to 1"
            raise ValueError(f"{name} is {value!r}; it must be {bound}")
    rng = np.random.default_rng(seed)
    has_edge = np.empty((num_tasks, num_tasks), dtype=np.bool_)
    random_edges(rng.random(num_graph_uniforms(num_tasks)), float(fat), float(density), int(jump), has_edge)
    edges = [(int(parent), int(child)) for child, parent in np.argwhere(has_edge.T)]
    work = _drawn("workload_cycles", workload_cycles, rng.random(num_tasks))
    inputs = _drawn("input_bits", input_bits, rng.random(num_tasks))
    outputs = _drawn("output_bits", output_bits, rng.random(num_tasks))
    factor = 0.5 + rng.random(len(edges))
    parents = np.array([parent for parent, _ in edges], dtype=np.int64)
    return Application(
        name="random",
        input_bits=tuple(np.where(has_edge.any(axis=0), 0.0, inputs)),
        output_bits=tuple(np.where(has_edge.any(axis=1), 0.0, outputs)),
        workload_cycles=tuple(work),
        edges=tuple(edges),
        edge_bits=tuple(ccr * work[parents] * (CCR_BPS / CCR_HZ) * factor),
    )


def chain(
    num_tasks: int,
    *,
    workload_cycles: float = 6e8,
    input_bits: float = 2e6,
    output_bits: float = 4e5,
    edge_bits: float = 1e6,
) -> Application:
    """Equal tasks, each needing the one before: a sequential application.

    Args:
        num_tasks: n.
        workload_cycles: of each task.
        input_bits: of the first task.
        output_bits: of the last task.
        edge_bits: of each of the n - 1 edges.
    """
    check_count("num_tasks", num_tasks)
    edges = tuple((i, i + 1) for i in range(num_tasks - 1))
    rest = (0.0,) * (num_tasks - 1)
    bits = (edge_bits,) * len(edges)
    return Application("chain", (input_bits, *rest), (*rest, output_bits), (workload_cycles,) * num_tasks, edges, bits)


def fork_join(
    num_tasks: int,
    *,
    workload_cycles: float = 6e8,
    input_bits: float = 2e6,
    output_bits: float = 4e5,
    edge_bits: float = 1e6,
) -> Application:
    """Equal tasks: one whose result n - 2 parallel ones need, and one that needs all of theirs.

    Args:
        num_tasks: n, at least 3.
        workload_cycles: of each task.
        input_bits: of the first task.
        output_bits: of the last task.
        edge_bits: of each of the 2 (n - 2) edges.

    Raises:
        ValueError: ``num_tasks`` is not a whole number, at least 3.
    """
    check_count("num_tasks", num_tasks)
    if num_tasks < 3:
        raise ValueError(f"num_tasks is {num_tasks}; a fork and join must have at least 3 tasks")
    branches = range(1, num_tasks - 1)
    edges = (*((0, i) for i in branches), *((i, num_tasks - 1) for i in branches))
    rest = (0.0,) * (num_tasks - 1)
    return Application(
        name="fork_join",
        input_bits=(input_bits, *rest),
        output_bits=(*rest, output_bits),
        workload_cycles=(workload_cycles,) * num_tasks,
        edges=edges,
        edge_bits=(edge_bits,) * len(edges),
        task_names=("fork", *(f"branch {i}" for i in branches), "join"),
    )


def face_recognition() -> Application:
    """Three faces in one photo are found, aligned, embedded and named: 9 tasks.

    The shape, detection on the whole image and then one branch for each face, follows the face recognition of Ra et
    al., "Odessa: enabling interactive perception applications on mobile devices", MobiSys 2011. Sizes are width ×
    height × bits of a pixel; workloads are this project's estimates.

    - ``decode``: a JPEG photo of 1280×720 at 2 bits a pixel comes in; 50 cycles a pixel; 24-bit RGB goes out.
    - ``detect``: 800 cycles a pixel of the whole photo; a crop of 256×256 RGB goes out for each face.
    - ``align_1`` to ``align_3``: 400 cycles a pixel of the crop; 112×112 RGB goes out.
    - ``embed_1`` to ``embed_3``: 2.2e8 multiply-accumulates, about those of a network for phones, one a cycle; a vector
      of 512 float32 goes out.
    - ``match``: three vectors against 10,000 stored ones, one multiply-accumulate a cycle; for each face 32 bytes of
      name and box are returned.
    """
    photo, crop, face, vector = 1280 * 720, 256 * 256, 112 * 112, 512
    faces = range(1, 4)
    tasks = [
        _Task("decode", 50 * photo, 2 * photo),
        _Task("detect", 800 * photo),
        *(_Task(f"align_{i}", 400 * crop) for i in faces),
        *(_Task(f"embed_{i}", 2.2e8) for i in faces),
        _Task("match", 3 * 10_000 * vector, 0.0, 3 * 32 * 8),
    ]
    edges: list[_Edge] = [("decode", "detect", 24 * photo)]
    for i in faces:
        edges.append(("detect", f"align_{i}", 24 * crop))
        edges.append((f"align_{i}", f"embed_{i}", 24 * face))
        edges.append((f"embed_{i}", "match", 32 * vector))
    return _numbered("face_recognition", tasks, edges)


def augmented_reality() -> Application:
    """One camera frame is augmented with what is known about the objects in it: 5 tasks.

    The components, video source, tracker, mapper, object recogniser and renderer, are those of Verbelen, Simoens, De
    Turck and Dhoedt, "Cloudlets: bringing the cloud to the mobile user", MCS 2012, which Al-Shuwaili and Simeone
    offload in "Energy-efficient resource allocation for mobile edge computing-based augmented reality applications",
    IEEE Wireless Communications Letters 6(3), 2017. The edges are this project's reading of one frame: what the
    mapper tells the tracker for later frames is left out. Sizes are width × height × bits of a pixel; workloads are
    this project's estimates.

    - ``video_source``: a camera frame of 1280×720 with 12 bits a pixel (YUV 4:2:0) comes in; 20 cycles a pixel; the
      frame at 640×360 in 8-bit grey goes to the tracker and the mapper, at 416×416 in 24-bit RGB to the recogniser.
    - ``tracker``: 1,000 cycles a pixel of 640×360; the pose, 16 float32, and 1,000 feature points of 64 bytes go to the
      mapper, the pose to the renderer.
    - ``mapper``: 2,500 cycles a pixel of 640×360; 1,000 map points of 16 bytes go to the renderer.
    - ``object_recognizer``: 10,000 cycles a pixel of 416×416; 20 objects of 64 bytes go to the renderer.
    - ``renderer``: 300 cycles a pixel of 1280×720; the overlay of that size is returned at 1 bit a pixel.
    """
    frame, grey, square = 1280 * 720, 640 * 360, 416 * 416
    pose = 16 * 32
    tasks = [
        _Task("video_source", 20 * frame, 12 * frame),
        _Task("tracker", 1_000 * grey),
        _Task("mapper", 2_500 * grey),
        _Task("object_recognizer", 10_000 * square),
        _Task("renderer", 300 * frame, 0.0, frame),
    ]
    edges: list[_Edge] = [
        ("video_source", "tracker", 8 * grey),
        ("video_source", "mapper", 8 * grey),
        ("video_source", "object_recognizer", 24 * square),
        ("tracker", "mapper", pose + 1_000 * 64 * 8),
        ("tracker", "renderer", pose),
        ("mapper", "renderer", 1_000 * 16 * 8),
        ("object_recognizer", "renderer", 20 * 64 * 8),
    ]
    return _numbered("augmented_reality", tasks, edges)


def cnn_application(name: str, num_tasks: int | None = None) -> Application:
    """One inference of a published network, cut between its layers into a chain of tasks.

    A task is a layer of ``offload_gym.cnns`` with the layers without work, such as pooling, that follow it; one
    multiply-accumulate is one cycle. The image comes in with 8 bits an element; a tensor between tasks and the result
    have 32 (float32).

    Args:
        name: one of ``offload_gym.cnns.CNN_NAMES``.
        num_tasks: into how many tasks to cut; by default as many as possible. Of the possible cuts, the one with the
            largest tensor is dropped first, and of equal ones the later.

    Raises:
        ValueError: no network has that name, or it cannot be cut into ``num_tasks`` tasks.
    """
    _image, *layers = cnn_layers(name)
    # A cut (a layer's index) is before a layer with work, where the tensor of the layer before crosses.
    cuts = [i for i, layer in enumerate(layers) if layer.macs and i > 0]
    if num_tasks is not None:
        check_count("num_tasks", num_tasks)
        if num_tasks > len(cuts) + 1:
            raise ValueError(f"num_tasks is {num_tasks}; {name} must be cut into at most {len(cuts) + 1} tasks")
        smallest_first = sorted(cuts, key=lambda i: (layers[i - 1].output_elements, i))
        cuts = sorted(smallest_first[: num_tasks - 1])
    groups = [layers[a:b] for a, b in zip([0, *cuts], [*cuts, len(layers)], strict=True)]
    n = len(groups)
    task, rest = cnn_task(name), (0.0,) * (n - 1)
    return Application(
        name=name,
        input_bits=(task.input_bits, *rest),
        output_bits=(*rest, task.output_bits),
        workload_cycles=tuple(float(sum(layer.macs for layer in group)) for group in groups),
        edges=tuple((i, i + 1) for i in range(n - 1)),
        edge_bits=tuple(float(TENSOR_BITS_PER_ELEMENT * group[-1].output_elements) for group in groups[:-1]),
        task_names=tuple(g[0].name if len(g) == 1 else f"{g[0].name}-{g[-1].name}" for g in groups),
    )


def _cut_network(num_tasks: int, name: str) -> Application:
    check_count("num_tasks", num_tasks)
    return cnn_application(name, min(num_tasks, cnn_application(name).num_tasks))


# What makes each preset from a number of tasks. The number of tasks of the two written-out applications is fixed, and a
# network has no more tasks than layers with work.
APPLICATIONS: dict[str, Callable[[int], Application]] = {
    "chain": chain,
    "fork_join": fork_join,
    "face_recognition": lambda num_tasks: face_recognition(),
    "augmented_reality": lambda num_tasks: augmented_reality(),
    **{name: partial(_cut_network, name=name) for name in CNN_NAMES},
}


def application_named(name: str, num_tasks: int) -> Application:
    """The preset of that name.

    Args:
        name: one of ``APPLICATIONS``.
        num_tasks: how many tasks it is to have. ``face_recognition`` and ``augmented_reality`` have 9 and 5 whatever is
            asked for, and a network has at most as many as it has layers with work.

    Raises:
        ValueError: no preset has that name, or the preset cannot have so many tasks.
    """
    if not isinstance(name, str) or name not in APPLICATIONS:
        raise ValueError(f"application is {name!r}; the presets are {', '.join(APPLICATIONS)}")
    return APPLICATIONS[name](num_tasks)


class _Task(NamedTuple):
    name: str
    workload_cycles: float
    input_bits: float = 0.0
    output_bits: float = 0.0


_Edge = tuple[str, str, float]  # names of parent and child, bits


def _task(name: str, attributes: Mapping[str, Any]) -> _Task:
    if "workload_cycles" not in attributes:
        raise ValueError(f"task {name!r} has no workload_cycles")
    values = {field: attributes[field] for field in TASK_FIELDS if field in attributes}
    for field, value in values.items():
        _check_number(f"{field} of task {name!r}", value)
    return _Task(name, **values)


def _numbered(name: str, tasks: Sequence[_Task], edges: Sequence[_Edge]) -> Application:
    """The application of tasks in any order, numbered topologically; of those that could be next, the first listed."""
    _check_task_names([task.name for task in tasks])
    listed = {task.name: i for i, task in enumerate(tasks)}
    children: list[list[int]] = [[] for _ in tasks]
    missing = [0] * len(tasks)  # parents that have no number yet
    for parent, child, bits in edges:
        for end in (parent, child):
            if not isinstance(end, str) or end not in listed:
                raise ValueError(f"the edge {parent!r} -> {child!r} names {end!r}, which is not a task")
        _check_number(f"bits of the edge {parent!r} -> {child!r}", bits)
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
        parents = {c: p for p, row in enumerate(children) for c in row if missing[p] and missing[c]}
        cycle = " -> ".join(repr(tasks[i].name) for i in _cycle(parents))
        raise ValueError(f"the tasks {cycle} depend on each other in a cycle")
    number = {tasks[i].name: new for new, i in enumerate(order)}
    return Application(
        name=name,
        **{field: tuple(getattr(tasks[i], field) for i in order) for field in TASK_FIELDS},
        edges=tuple((number[parent], number[child]) for parent, child, _ in edges),
        edge_bits=tuple(bits for _, _, bits in edges),
        task_names=tuple(tasks[i].name for i in order),
    )


def _cycle(parents: Mapping[int, int]) -> list[int]:
    """A cycle in the graph in which each node has one parent, from parent to child, its first node again at the end."""
    node, seen = next(iter(parents)), dict[int, None]()
    while node not in seen:
        seen[node] = None
        node = parents[node]
    walked = list(seen)
    return [node, *reversed(walked[walked.index(node) :])]


def _check_keys(where: str, data: Any, needed: Sequence[str], optional: Sequence[str]) -> None:
    if not isinstance(data, dict):
        raise ValueError(f"{where} is {data!r}; it must be an object with the keys {', '.join((*needed, *optional))}")
    for key in data:
        if key not in needed and key not in optional:
            raise ValueError(f"{where} has the unknown key {key!r}; its keys are {', '.join((*needed, *optional))}")
    for key in needed:
        if key not in data:
            raise ValueError(f"{where} has no {key!r}")


def _check_task_names(names: Iterable[Any]) -> None:
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"the name of a task is {name!r}; it must be a string")
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"{count} tasks have the name {name!r}; the names of tasks must differ")


def _checked_edges(edges: Any, task_names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    n = len(task_names)
    try:
        pairs = tuple((operator.index(parent), operator.index(child)) for parent, child in edges)
    except (TypeError, ValueError):
        raise ValueError(f"edges is {edges!r}; it must hold pairs (parent, child) of task numbers") from None
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


def _edge_label(parent: int, child: int, task_names: Sequence[str]) -> str:
    return f"the edge {parent} -> {child} ({task_names[parent]!r} -> {task_names[child]!r})"


def _floats(name: str, values: ArrayLike) -> tuple[float, ...]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers, but {error}") from None
    if array.ndim != 1:
        raise ValueError(f"{name} has the shape {array.shape}; it must be one number after the other")
    return tuple(array.tolist())


def _check_not_negative(label: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{label} is {value}; it must be finite and at least 0")


def _check_number(label: str, value: Any) -> None:
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
        raise ValueError(f"{label} is {value!r}; it must be a number")
    if isinstance(value, int) and value > sys.float_info.max:
        raise ValueError(f"{label} has {len(str(value))} digits; it must be finite")


def _drawn(name: str, bounds: Any, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Uniform numbers between the bounds, from numbers in [0, 1)."""
    try:
        low, high = (float(bound) for bound in bounds)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {bounds!r}; it must be a pair (low, high)") from None
    if not 0 <= low <= high < math.inf:
        raise ValueError(f"{name} is {bounds!r}; low must be at least 0 and high finite and not below low")
    return low + u * (high - low)
