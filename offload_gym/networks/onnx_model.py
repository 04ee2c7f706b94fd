"""Trained networks as ONNX models, and which networks can be exported at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from offload_gym.array_checks import check_count
from offload_gym.checks import quoted
from offload_gym.files import replacing
from offload_gym.layers import Layers
from offload_gym.networks.policy import ROLL_OUT, NetworkPolicy
from offload_gym.networks.policy_file import Network, metadata_of
from offload_gym.observation import row_size, state_size
from offload_gym.streams.networks import metadata_of as stream_metadata_of
from offload_gym.streams.networks import num_outputs
from offload_gym.streams.observing import size_of
from offload_gym.streams.policies import PlanPolicy


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


class _Model:
    """The nodes and constants of a model; ImportError where the package onnx is missing."""

    def __init__(self) -> None:
        try:
            import onnx
        except ImportError:
            raise ImportError("exporting to ONNX needs the package onnx: pip install 'offload-gym[onnx]'") from None
        self.onnx: Any = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, values: Any, dtype: Any = np.int64) -> str:
        """Add a constant; returns its name."""
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node; returns the name of its output."""
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, [output], **attributes))
        return output

    def cut(self, source: str, axis: int, first: int, last: int, output: str) -> str:
        """A part of an array along an axis."""
        bounds = [self.constant(f"{output}.{name}", [value]) for name, value in (("first", first), ("last", last))]
        return self.node("Slice", [source, *bounds, self.constant(f"{output}.axis", [axis])], output)

    def run(self, source: str, part: str, layers: Layers, last_linear: bool, activation: str = "Relu") -> str:
        """Layers, with an activation behind each but, where ``last_linear``, the last."""
        for i, (weight, bias) in enumerate(layers):
            names = [self.constant(f"{part}.{i}.weight", weight.T, np.float32)]
            names.append(self.constant(f"{part}.{i}.bias", bias, np.float32))
            product = self.node("MatMul", [source, names[0]], f"{part}.{i}.product")
            source = self.node("Add", [product, names[1]], f"{part}.{i}.sum")
            if not (last_linear and i == len(layers) - 1):
                source = self.node(activation, [source], f"{part}.{i}")
        return source

    def write(
        self, path: str | Path, scores: str, size: int, result: list[str | int], properties: dict[str, str]
    ) -> None:
        """Write the model from an observation of ``size`` numbers to scores of the shape ``result``."""
        helper, real = self.onnx.helper, self.onnx.TensorProto.FLOAT
        self.node("Identity", [scores], "scores")
        graph = helper.make_graph(
            self.nodes,
            "offload_gym policy",
            [helper.make_tensor_value_info("observation", real, ["B", size])],
            [helper.make_tensor_value_info("scores", real, result)],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, properties)
        self.onnx.checker.check_model(model)
        with replacing(path) as temporary:
            temporary.write_bytes(model.SerializeToString())


def export_onnx(policy: NetworkPolicy | PlanPolicy, path: str | Path, num_tasks: int | None = None) -> None:
    """Write a network as an ONNX model of one decision, to be driven by the environments' observations.

    Input "observation" (B, size), float32: what the Sequential environment shows before a task is placed, or the Joint
    one before all are, or the Stream one. Output "scores": (B, K) of the next task, and one more where a network of
    streams may drop the job, or (B, n, K) of all tasks; arg-max is the decision of the network of streams, or of
    ``NetworkPolicy(network, keep_best=False)``: neither keeping the best schedule nor roll-outs behind the network are
    in it.

    Args:
        policy: a network for independent tasks, with an encoder, and without local search behind it; or one of streams.
        path: where to write; missing folders are made, an existing file is replaced.
        num_tasks: rows of the observation, n; not for a network of streams.

    Raises:
        ValueError: the policy is of another kind, or num_tasks is below 1, or given for a network of streams.
        ImportError: the package onnx is missing.
    """
    if isinstance(policy, PlanPolicy):
        if num_tasks is not None:
            raise ValueError(f"num_tasks is {quoted(num_tasks)}; for a network of streams it must be None")
        return _export_stream(policy, path)
    check_count("num_tasks", num_tasks)
    assert num_tasks is not None
    network = exportable_network(policy)
    model = _Model()
    num_locations = len(network.cores)
    row, total_cores = row_size(num_locations), sum(network.cores)
    state = state_size(total_cores, num_locations, False, network.roll_outs)
    joint = network.form == "joint"
    flat = model.cut("observation", 1, 0, num_tasks * row, "flat_rows")
    rows = model.node("Reshape", [flat, model.constant("rows.shape", [-1, num_tasks, row])], "rows")
    present = model.cut(rows, 2, 0, 1, "present")
    features = model.cut(rows, 2, 1, row, "features")
    codes = model.node("Mul", [model.run(features, "encoder", network.encoder, False), present], "codes")
    shown = model.cut("observation", 1, num_tasks * row, num_tasks * row + state, "state")
    if joint:
        until = model.node("CumSum", [codes, model.constant("tasks.axis", 1)], "until")
        earlier = model.node("Sub", [until, codes], "earlier")
        later = model.node("Sub", [model.cut(until, 1, num_tasks - 1, num_tasks, "sum"), until], "later")
        shape = model.constant("state.shape", [-1, 1, state])
        repeats = model.constant("state.repeats", [1, num_tasks, 1])
        states = model.node("Tile", [model.node("Reshape", [shown, shape], "one_state"), repeats], "states")
        parts = [earlier, later, features, states]
    else:
        later_codes = model.cut(codes, 1, 1, num_tasks, "later_codes")
        later = model.node("ReduceSum", [later_codes, model.constant("tasks.axis", [1])], "later", keepdims=0)
        first = model.cut(features, 1, 0, 1, "first")
        following = model.node("Reshape", [first, model.constant("next.shape", [-1, row - 1])], "next")
        parts = [later, following, shown]
    scores = model.run(model.node("Concat", parts, "inputs", axis=-1), "head", network.head, True)
    size = num_tasks * row + state_size(total_cores, num_locations)
    result: list[str | int] = ["B", num_tasks, num_locations] if joint else ["B", num_locations]
    model.write(path, scores, size, result, metadata_of(network) | {"num_tasks": str(num_tasks)})
    return None


def _export_stream(policy: PlanPolicy, path: str | Path) -> None:
    """A network of streams."""
    network = policy.network
    if network is None:
        raise ValueError(f"the policy {policy.name} is a rule; only a network can be exported")
    model = _Model()
    scores = model.run("observation", "layers", network.layers, True, network.activation.capitalize())
    result: list[str | int] = ["B", num_outputs(network)]
    model.write(path, scores, size_of(network.num_locations), result, stream_metadata_of(network))
