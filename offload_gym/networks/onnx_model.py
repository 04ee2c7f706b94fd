"""Trained networks as ONNX models, and which networks can be exported at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from offload_gym.array_checks import check_count
from offload_gym.files import replacing
from offload_gym.layers import Layers
from offload_gym.networks.policy import ROLL_OUT, NetworkPolicy
from offload_gym.networks.policy_file import Network, metadata_of
from offload_gym.observation import row_size, state_size


def exportable_network(policy: NetworkPolicy) -> Network:
    """The network of a policy; ValueError where it is of a kind that cannot be exported."""
    if not isinstance(policy, NetworkPolicy):
        raise ValueError(f"policy is a {type(policy).__name__}; only a network, a NetworkPolicy, can be exported")
    network = policy.network
    if network.dependent or not network.encoder or network.activation != "relu":
        raise ValueError("only networks for independent tasks with an encoder and relu layers can be exported")
    if policy.refine not in (None, ROLL_OUT):
        raise ValueError(f"refine is {policy.refine!r}; only a network without local search behind it can be exported")
    return network


def export_onnx(policy: NetworkPolicy, path: str | Path, num_tasks: int) -> None:
    """Write a network as an ONNX model of one decision, to be driven by the environments' observations.

    Input "observation" (B, size), float32: what the Sequential environment shows before a task is placed, or the Joint
    one before all are. Output "scores": (B, K) of the next task, or (B, n, K) of all tasks; arg-max is the decision of
    ``NetworkPolicy(network, keep_best=False)``: neither keeping the best schedule nor roll-outs behind the network are
    in it.

    Args:
        policy: a network for independent tasks, with an encoder, and without local search behind it.
        path: where to write; missing folders are made, an existing file is replaced.
        num_tasks: rows of the observation, n.

    Raises:
        ValueError: the policy is of another kind, or num_tasks is below 1.
        ImportError: the package onnx is missing.
    """
    check_count("num_tasks", num_tasks)
    network = exportable_network(policy)
    try:
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        raise ImportError("exporting to ONNX needs the package onnx: pip install 'offload-gym[onnx]'") from None
    num_locations = len(network.cores)
    row, total_cores = row_size(num_locations), sum(network.cores)
    state = state_size(total_cores, num_locations, False, network.roll_outs)
    joint = network.form == "joint"
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(name: str, values: Any, dtype: Any = np.int64) -> str:
        constants.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def node(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def cut(source: str, axis: int, first: int, last: int, output: str) -> str:
        bounds = [constant(f"{output}.{name}", [value]) for name, value in (("first", first), ("last", last))]
        return node("Slice", [source, *bounds, constant(f"{output}.axis", [axis])], output)

    def run(source: str, part: str, layers: Layers, last_linear: bool) -> str:
        for i, (weight, bias) in enumerate(layers):
            names = constant(f"{part}.{i}.weight", weight.T, np.float32), constant(f"{part}.{i}.bias", bias, np.float32)
            product = node("MatMul", [source, names[0]], f"{part}.{i}.product")
            source = node("Add", [product, names[1]], f"{part}.{i}.sum")
            if not (last_linear and i == len(layers) - 1):
                source = node("Relu", [source], f"{part}.{i}")
        return source

    flat = cut("observation", 1, 0, num_tasks * row, "flat_rows")
    rows = node("Reshape", [flat, constant("rows.shape", [-1, num_tasks, row])], "rows")
    present = cut(rows, 2, 0, 1, "present")
    features = cut(rows, 2, 1, row, "features")
    codes = node("Mul", [run(features, "encoder", network.encoder, False), present], "codes")
    shown = cut("observation", 1, num_tasks * row, num_tasks * row + state, "state")
    if joint:
        until = node("CumSum", [codes, constant("tasks.axis", 1)], "until")
        earlier = node("Sub", [until, codes], "earlier")
        later = node("Sub", [cut(until, 1, num_tasks - 1, num_tasks, "sum"), until], "later")
        shape = constant("state.shape", [-1, 1, state])
        repeats = constant("state.repeats", [1, num_tasks, 1])
        states = node("Tile", [node("Reshape", [shown, shape], "one_state"), repeats], "states")
        parts = [earlier, later, features, states]
    else:
        later_codes = cut(codes, 1, 1, num_tasks, "later_codes")
        later = node("ReduceSum", [later_codes, constant("tasks.axis", [1])], "later", keepdims=0)
        first = cut(features, 1, 0, 1, "first")
        parts = [later, node("Reshape", [first, constant("next.shape", [-1, row - 1])], "next"), shown]
    scores = run(node("Concat", parts, "inputs", axis=-1), "head", network.head, True)
    node("Identity", [scores], "scores")
    size = num_tasks * row + state_size(total_cores, num_locations)
    result = ["B", num_tasks, num_locations] if joint else ["B", num_locations]
    graph = helper.make_graph(
        nodes,
        "offload_gym policy",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["B", size])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, result)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    properties = metadata_of(network) | {"num_tasks": str(num_tasks)}
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model)
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
