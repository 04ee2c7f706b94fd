"""ONNX models, https://onnx.ai: what one inference computes, from the shapes of the tensors; no weight is looked at."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from offload_gym.applications.formats.onnx_operators import FORMULAS, FREE, Call, Shape
from offload_gym.applications.formats.parts import BITS_PER_BYTE, Options, Parts
from offload_gym.applications.task_graph import Edge, Task, check_size
from offload_gym.checks import shortened

if TYPE_CHECKING:
    import onnx

_STANDARD = ("", "ai.onnx")
_LONGEST_SHAPE = 1024
_NUMBERS = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")


def read_onnx(data: bytes, options: Options) -> Parts:
    """The tasks and edges of one inference of a model, as ``Application.from_torch`` makes them of a model of torch.

    A task is an operator that multiplies and accumulates, or one that joins the data of several tasks and has no work;
    every other operator belongs to the task that makes its input. A cycle is one multiply-accumulate, and an edge
    carries the tensors that one task makes and the other reads, in the bits of their type. Parameters, and what is
    computed from them or from shapes alone, are part of the model. An input of the model is the input of each task that
    reads it, as it is or after operators without work, and an output that of the task that makes it.

    Raises:
        ImportError: onnx is not installed.
        ValueError: the bytes are no model of ONNX, a dimension is open, a shape or the work of an operator is not
            known, or the model has control flow.
    """
    model = _with_shapes(data, options.dimensions or {})
    graph = model.graph
    tensors = _Tensors(graph)
    parameters = {tensor.name for tensor in graph.initializer} | {it.values.name for it in graph.sparse_initializer}
    inputs = [value.name for value in graph.input if value.name not in parameters]
    task_of = {name: name for name in inputs}  # of each tensor with data, by the tensor that its task makes first
    macs: dict[str, float] = {}
    nodes: dict[str, onnx.NodeProto] = {}
    reads: dict[tuple[str, str], dict[str, None]] = {}
    for node in graph.node:
        made = [name for name in node.output if name]
        parents = dict.fromkeys(task_of[name] for name in node.input if name in task_of)
        if not parents or not made or node.op_type in ("Shape", "Size"):
            continue
        work = _work(node, tensors)
        own = made[0] if work or len(parents) > 1 else next(iter(parents))
        if own == made[0]:
            macs[own], nodes[own] = work, node
            for name in node.input:
                if name in task_of:
                    reads.setdefault((task_of[name], own), {})[name] = None
        task_of |= dict.fromkeys(made, own)
    returned: dict[str, list[str]] = {}
    for value in graph.output:
        if value.name in task_of:
            returned.setdefault(task_of[value.name], []).append(value.name)
    return Parts(None, *_parts(tensors, macs, _names(nodes), reads, inputs, returned))


def _parts(
    tensors: _Tensors,
    macs: Mapping[str, float],
    names: Mapping[str, str],
    reads: Mapping[tuple[str, str], Iterable[str]],
    inputs: Iterable[str],
    returned: Mapping[str, Iterable[str]],
) -> tuple[list[Task], list[Edge]]:
    """Tasks of the operators with work and joints, and of each input that is returned without having met one."""
    sent = Counter[str]()
    for source, task in reads:
        if source not in macs:
            sent[task] += tensors.bits(source)
    tasks = [
        Task(f"input {name}", 0.0, tensors.bits(name), sum(map(tensors.bits, returned[name])))
        for name in inputs
        if name in returned
    ]
    for task, work in macs.items():
        output_bits = sum(map(tensors.bits, returned.get(task, ())))
        tasks.append(Task(names[task], float(work), float(sent[task]), float(output_bits)))
    if not tasks:
        raise ValueError("the model does nothing with its input; it has no task")
    edges = [
        (names[source], names[task], float(sum(map(tensors.bits, carried))))
        for (source, task), carried in reads.items()
        if source in macs
    ]
    return tasks, edges


def _names(nodes: Mapping[str, onnx.NodeProto]) -> dict[str, str]:
    """The name of each task: that of its node, or of its first tensor where nodes have none or share one."""
    own = {task: node.name for task, node in nodes.items()}
    if all(own.values()) and len(set(own.values())) == len(own):
        return own
    return {task: f"{node.op_type} {task}" for task, node in nodes.items()}


class _Tensors:
    """The shapes and types of the tensors of a graph by their names."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.types: dict[str, Any] = {value.name: value.type for value in _values(graph)}
        self.stored = {tensor.name: tensor for tensor in graph.initializer}

    def shape(self, name: str) -> Shape:
        """The shape of a tensor; () for an argument that is left out."""
        if not name:
            return ()
        if name in self.stored:
            return tuple(self.stored[name].dims)
        kind = self.types.get(name)
        if kind is None or not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
            raise ValueError(f"the shape of the tensor {name!r} is not known from the model")
        sizes = kind.tensor_type.shape.dim
        if any(not size.HasField("dim_value") for size in sizes):
            text = ", ".join(
                str(size.dim_value) if size.HasField("dim_value") else size.dim_param or "?" for size in sizes
            )
            raise ValueError(f"the shape of the tensor {name!r} is ({text}); all its dimensions must be known")
        return tuple(size.dim_value for size in sizes)

    def bits(self, name: str) -> int:
        """How large a tensor is."""
        import onnx

        shape = self.shape(name)
        kind = self.stored[name].data_type if name in self.stored else self.types[name].tensor_type.elem_type
        types = onnx.TensorProto.DataType
        if kind in (types.STRING, types.UNDEFINED):
            raise ValueError(
                f"the tensor {name!r} is of the type {types.Name(kind)}; the sizes of its elements are not known"
            )
        short = types.Name(kind).endswith("4") and not types.Name(kind).endswith("64")  # of half a byte
        width = 4 if short else BITS_PER_BYTE * onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize
        return math.prod(shape) * width


def _values(graph: onnx.GraphProto) -> Iterator[onnx.ValueInfoProto]:
    for values in (graph.value_info, graph.input, graph.output):
        yield from values


def _with_shapes(data: bytes, dimensions: Mapping[str, int]) -> onnx.ModelProto:
    """The model with the shapes of all tensors that can be inferred, and its own functions written out."""
    try:
        import onnx
        import onnx.inliner
    except ImportError as error:
        raise ImportError("ONNX models need onnx: pip install 'offload-gym[onnx]'") from error
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # of protobuf
        raise ValueError(f"it is not an ONNX model: {shortened(str(error))}") from None
    try:
        if model.functions:
            _check_functions(model)
            model = onnx.inliner.inline_local_functions(model)
    except Exception as error:  # of protobuf, of the parser in C++
        raise ValueError(f"it is not an ONNX model: {shortened(str(error))}") from None
    if not model.graph.node:
        raise ValueError("the graph of the ONNX model has no node; it must have at least one")
    for node in model.graph.node:
        _check_operator(node)
    for tensor in model.graph.initializer:  # numbers are looked at where they are shapes, which are short
        if math.prod(tensor.dims) > _LONGEST_SHAPE:
            for field in _NUMBERS:
                tensor.ClearField(field)
    _set_dimensions(model.graph, dimensions)
    try:
        return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:
        raise ValueError(f"onnx cannot infer the shapes of the model: {shortened(str(error))}") from None


def _check_functions(model: onnx.ModelProto) -> None:
    """ValueError where a function calls itself, or the model has too many nodes with its functions written out."""
    functions = {(it.domain, it.name): it.node for it in model.functions}
    counts: dict[tuple[str, str], int] = {}
    waiting = dict(functions)
    while waiting:  # those first that call none that is not counted
        ready = [key for key, nodes in waiting.items() if not any((it.domain, it.op_type) in waiting for it in nodes)]
        if not ready:
            raise ValueError(f"its function {next(iter(waiting))[1]!r} calls itself")
        for key in ready:
            counts[key] = sum(counts.get((it.domain, it.op_type), 1) for it in waiting.pop(key))
            check_size(counts[key])
    check_size(sum(counts.get((it.domain, it.op_type), 1) for it in model.graph.node))


def _set_dimensions(graph: onnx.GraphProto, dimensions: Mapping[str, int]) -> None:
    """Give the open dimensions of inputs the sizes that the caller says.

    ValueError where one is left, or the caller names one that no input has. Shapes that the model says of other tensors
    with such dimensions are left out, as they are inferred anew.
    """
    parameters = {tensor.name for tensor in graph.initializer}
    used, missing = set(), []
    for value in graph.input:
        if value.name in parameters or not value.type.HasField("tensor_type"):
            continue
        for axis, size in enumerate(value.type.tensor_type.shape.dim):
            if size.HasField("dim_value") and size.dim_value > 0:
                continue
            name = size.dim_param or f"{value.name}[{axis}]"
            if name in dimensions:
                size.dim_value = dimensions[name]
                used.add(name)
            elif name not in missing:
                missing.append(name)
    if missing:
        raise ValueError(
            f"the model leaves the dimensions {', '.join(map(repr, missing))} of its inputs open; "
            f"dimensions={{{missing[0]!r}: 1}} says how large the first one is"
        )
    for name in dimensions:
        if name not in used:
            raise ValueError(f"dimensions has {name!r}, which no input of the model leaves open")
    if used:
        del graph.value_info[:]
        for value in graph.output:
            if value.type.HasField("tensor_type"):
                value.type.tensor_type.ClearField("shape")


def _label(node: onnx.NodeProto) -> str:
    """How sentences call a node."""
    return f"{node.op_type} ({node.name or ', '.join(node.output)!r})"


def _check_operator(node: onnx.NodeProto) -> None:
    """ValueError where the work of an operator can't be known, whatever the shapes are."""
    if node.domain not in _STANDARD:
        raise ValueError(f"the work of {_label(node)} of the domain {node.domain!r} is not known")
    if node.op_type not in FREE and node.op_type not in FORMULAS:
        control = any(it.type in (it.GRAPH, it.GRAPHS) for it in node.attribute)
        why = "depends on the data" if control else "is not known"
        raise ValueError(f"the work of {_label(node)} {why}")
    for it in node.attribute:  # onnx 1.23 ends the process where a Split has more outputs than it says
        if (node.op_type, it.name) == ("Split", "num_outputs") and it.i != len(node.output):
            raise ValueError(f"num_outputs of {_label(node)} is {it.i}, and it has {len(node.output)} outputs")


def _work(node: onnx.NodeProto, tensors: _Tensors) -> float:
    """The MACs of a node."""
    import onnx

    if node.op_type in FREE:
        return 0
    attributes = {it.name: onnx.helper.get_attribute_value(it) for it in node.attribute}
    try:
        inputs, outputs = ([tensors.shape(name) for name in names] for names in (node.input, node.output))
        return FORMULAS[node.op_type](Call(inputs, outputs, attributes))
    except (IndexError, KeyError) as error:
        raise ValueError(f"{_label(node)} has too few arguments, dimensions or attributes: {error}") from None
