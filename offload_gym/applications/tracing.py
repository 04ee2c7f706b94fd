"""What one inference of a torch model computes, as tasks and edges; ``Application.from_torch`` makes an application."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from offload_gym.applications.operations import Flops, arguments, check_flops, counted

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram
    from torch.fx import Node

BITS_PER_BYTE = 8


def trace(model: torch.nn.Module, example_input: Any, flops: Flops | None = None) -> dict[str, Any]:
    """The fields of the application of one inference of a torch model, traced by ``torch.export`` without computing it.

    A task is an operation that multiplies and accumulates (MACs), or one that joins the data of several tasks, such as
    a residual addition, which has no work. Every other operation (activation, pooling, normalisation, reshaping)
    belongs to the task that makes its input, and the edge carries its result. A cycle is one MAC; MACs are half the
    floating-point operations that ``flops``, ``offload_gym.applications.operations`` or ``torch.utils.flop_counter``
    counts. An operation that none of them counts, and that decomposes into none that they count, is refused with its
    name, unless it is known to have no MACs: one that works on single elements, reduces, pools, normalises,
    interpolates, sorts, moves or makes elements. So a product that is written as an elementwise one and a sum has no
    work. An edge carries the tensors that one task makes and the other reads, in the bits of their type; parameters and
    buffers, and what is computed from them alone, are part of the model, not data.

    An input of the model goes to the tasks that read it. Where such a task has a parent as well, the inputs become
    tasks without work, because only an entry task sends ``input_bits``. In the same way an output of the model is
    returned by the task that makes it, and where that task has children, a task "output" without work returns it.

    A task is named after its module where no other task is of that module, and otherwise after its operation.

    Args:
        model: any module that ``torch.export`` can trace. It is traced in evaluation mode and left as it was.
        example_input: the tensor, the tuple of arguments, or the dictionary of keyword arguments that ``model`` is
            called with. A model that takes one dictionary or list is given a tuple of it.
        flops: floating-point operations by the name of an operation, such as "aten.mv" or "mylibrary.myoperation":
            those of each call, or a function that takes the arguments of the call, with shapes in place of tensors,
            and the keyword ``out_shape``, as ``torch.utils.flop_counter.register_flop_formula`` does.

    Returns:
        The fields of an ``Application`` by their names, but for its own name.

    Raises:
        ImportError: torch is not installed.
        ValueError: torch cannot export the model, its control flow or a size depends on the data, an operation is not
            counted, ``flops`` names one that the model does not have, or the model does nothing with its input.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError("Tracing a model needs torch: pip install torch") from error
    if not isinstance(model, torch.nn.Module):
        raise ValueError(f"model is a {type(model).__name__}; it must be a torch.nn.Module")
    program = _export(model, example_input)
    task_of, macs = _grouped(program, {} if flops is None else flops)
    names = set(program.graph_signature.user_outputs)
    returned = {node: task for node, task in task_of.items() if node.name in names}
    # The tensors that each task reads of each other one; an input of the model counts as a task at first.
    reads: dict[tuple[Node, Node], set[Node]] = {}
    for node, task in task_of.items():
        for parent in node.all_input_nodes:
            if parent in task_of and task_of[parent] is not task:
                reads.setdefault((task_of[parent], task), set()).add(parent)

    with_parents = {task for parent, task in reads if not _is_input(parent)}
    inputs_are_tasks = any(_is_input(parent) and task in with_parents for parent, task in reads) or any(
        _is_input(task) for task in returned.values()
    )
    if inputs_are_tasks:
        sent = {task: [task] for task in macs if _is_input(task)}
    else:
        sent = {task: [a for a, b in reads if b is task and _is_input(a)] for task in macs}
        reads = {pair: nodes for pair, nodes in reads.items() if not _is_input(pair[0])}
    outputs = {task: {node for node, maker in returned.items() if maker is task} for task in returned.values()}
    if any(parent in outputs for parent, _ in reads):
        end = next(node for node in program.graph.nodes if node.op == "output")
        reads |= {(task, end): nodes for task, nodes in outputs.items()}
        macs[end], outputs = 0.0, {end: set(returned)}

    used = {task for pair in reads for task in pair} | set(outputs)
    tasks = [task for task in macs if not _is_input(task) or (inputs_are_tasks and task in used)]
    if not tasks:
        raise ValueError(f"the model {type(model).__name__} does nothing with its input; it has no task")
    number = {task: i for i, task in enumerate(tasks)}
    return {
        "input_bits": tuple(_bits(sent.get(task, ())) for task in tasks),
        "output_bits": tuple(_bits(outputs.get(task, ())) for task in tasks),
        "workload_cycles": tuple(macs[task] for task in tasks),
        "edges": tuple((number[parent], number[child]) for parent, child in reads),
        "edge_bits": tuple(_bits(nodes) for nodes in reads.values()),
        "task_names": _names(tasks),
    }


def _export(model: torch.nn.Module, example_input: Any) -> ExportedProgram:
    import torch
    from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
    from torch.utils._pytree import tree_leaves

    keywords = dict(example_input) if isinstance(example_input, Mapping) else {}
    positional = () if keywords else example_input if isinstance(example_input, tuple) else (example_input,)
    if not any(isinstance(value, torch.Tensor) for value in tree_leaves((positional, keywords))):
        raise ValueError(
            f"example_input is {example_input!r}; it must hold a tensor, such as torch.zeros(1, 3, 224, 224)"
        )
    name = type(model).__name__
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()  # or dropout and the statistics of normalisation would be part of the graph
        # Without a table of decompositions, this only replaces in-place operations, whose results have several names.
        return torch.export.export(model, positional, keywords).run_decompositions({})
    except (DataDependentOutputException, DynamicOutputShapeException, GuardOnDataDependentSymNode) as error:
        raise ValueError(
            f"the control flow of the model {name}, or a size in it, depends on the data; an application has the same "
            "tasks for all data"
        ) from error
    except Exception as error:  # those of the model's own code too
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"torch.export cannot trace the model {name}: {type(error).__name__}: {reason}") from error
    finally:
        for module, training in modes.items():
            module.training = training


def _grouped(program: ExportedProgram, flops: Flops) -> tuple[dict[Node, Node], dict[Node, float]]:
    """The task of each node with data, and the MACs of each task, both in topological order.

    A task is known by its first node. An input of the model is a group of its own, with the operations without work
    that read nothing else.
    """
    if not isinstance(flops, Mapping):
        raise ValueError(f"flops is {flops!r}; it must be a dictionary by the names of operations")
    for name, value in flops.items():
        if not callable(value):
            check_flops(name, value)
    used: set[str] = set()
    inputs = set(program.graph_signature.user_inputs)
    task_of: dict[Node, Node] = {}
    macs: dict[Node, float] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in inputs:
            task_of[node], macs[node] = node, 0.0
        elif node.op == "call_function":
            parents = {task_of[parent] for parent in node.all_input_nodes if parent in task_of}
            if not parents:  # it is made of parameters alone
                continue
            _check_sizes(node)
            work = counted(node.target, *arguments(node), node.meta.get("val"), flops)
            used |= work.keys()
            if any(work.values()) or len(parents) > 1:
                task_of[node], macs[node] = node, sum(work.values())
            else:
                task_of[node] = parents.pop()
    for name in flops:
        if name not in used:
            raise ValueError(f"flops counts {name!r}, which the model does not call")
    return task_of, macs


def _is_input(task: Node) -> bool:
    return task.op == "placeholder"


def _check_sizes(node: Node) -> None:
    """ValueError where a tensor that a node makes has a size that depends on the data."""
    import torch
    from torch.utils._pytree import tree_leaves

    for value in tree_leaves(node.meta.get("val")):
        if isinstance(value, torch.Tensor) and any(isinstance(size, torch.SymInt) for size in value.shape):
            raise ValueError(
                f"the size of the result of {node.target} ({node.name}) depends on the data, as with an index of "
                "booleans; an application has the same sizes for all data"
            )


def _bits(nodes: Any) -> int:
    from torch import Tensor, strided
    from torch.utils._pytree import tree_leaves

    tensors = [value for node in nodes for value in tree_leaves(node.meta["val"]) if isinstance(value, Tensor)]
    for tensor in tensors:
        if tensor.layout != strided:
            raise ValueError(f"a tensor between tasks has the layout {tensor.layout}; its size depends on the data")
    return sum(tensor.numel() * tensor.element_size() * BITS_PER_BYTE for tensor in tensors)


def _names(tasks: list[Node]) -> tuple[str, ...]:
    paths = []
    for task in tasks:
        stack = list(task.meta.get("nn_module_stack", {}).values())
        paths.append(stack[-1][0] if stack and task.op == "call_function" else "")
    counts = Counter(paths)
    names = tuple(p if p and counts[p] == 1 else task.name for p, task in zip(paths, tasks, strict=True))
    return names if len(set(names)) == len(names) else tuple(task.name for task in tasks)
