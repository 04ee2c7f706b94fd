"""How many multiply-accumulates (MACs) an operator of ONNX takes, from the shapes of what it reads and makes.

The operators are those of https://onnx.ai/onnx/operators/, domain "ai.onnx", up to version 26 of the set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Shape = tuple[int, ...]

# Operators without MACs: what works on single elements, reduces, pools, normalises, interpolates, quantises, sorts, or
# makes, moves, compares and draws elements.
FREE = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Bernoulli BitCast BitShift
    BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast CastLike Ceil Celu CenterCropPad Clip Col2Im Compress
    Concat Constant ConstantOfShape Cos Cosh CumProd CumSum DepthToSpace DequantizeLinear Div Dropout
    DynamicQuantizeLinear Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gelu
    GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HammingWindow
    HannWindow HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN LayerNormalization LeakyRelu
    Less LessOrEqual Log LogSoftmax LpNormalization LpPool Max MaxPool MaxRoiPool MaxUnpool Mean
    MeanVarianceNormalization MelWeightMatrix Min Mish Mod Mul Multinomial Neg NegativeLogLikelihoodLoss
    NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow QuantizeLinear RMSNormalization RandomNormal RandomNormalLike
    RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean
    ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign RotaryEmbedding Round
    Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax
    SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum SwiGLU Swish Tan Tanh
    TensorScatter ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Upsample Where Xor
    """.split()  # noqa: SIM905
)


class Call(NamedTuple):
    """One node: the shapes of what it reads and makes, () also where an optional one is not there, and attributes."""

    inputs: Sequence[Shape]
    outputs: Sequence[Shape]
    attributes: Mapping[str, Any]


def _convolution(weight: int) -> Callable[[Call], int]:
    """Each element of the result is a sum over the channels of a group and the kernel: W is (out, in / group, ...)."""
    return lambda call: math.prod(call.outputs[0]) * math.prod(call.inputs[weight][1:])


def _transposed_convolution(call: Call) -> int:
    """Each element that is read goes to the channels of its group and the kernel: W is (in, out / group, ...)."""
    return math.prod(call.inputs[0]) * math.prod(call.inputs[1][1:])


def _product(call: Call) -> int:
    """Each element of the result is a sum over the last dimension of the first argument."""
    return math.prod(call.outputs[0]) * call.inputs[0][-1]


def _gemm(call: Call) -> int:
    return math.prod(call.outputs[0]) * call.inputs[0][0 if call.attributes.get("transA", 0) else 1]


def _recurrent(call: Call) -> int:
    """Both matrices, W (directions, gates · hidden, input) and R, times a vector for each step of each sequence."""
    return math.prod(call.inputs[0][:2]) * (math.prod(call.inputs[1]) + math.prod(call.inputs[2]))


def _attention(call: Call) -> int:
    """Each query times each key, and the values times that; past keys come first where there are any."""
    past = call.inputs[4][-2] if len(call.inputs) > 4 and call.inputs[4] else 0
    return (call.inputs[1][-2] + past) * (math.prod(call.inputs[0]) + math.prod(call.outputs[0]))


def _einsum(call: Call) -> int:
    """All letters at once, as a loop over each of them; a single argument is only summed and moved."""
    equation = call.attributes["equation"].decode().replace(" ", "")
    terms = equation.partition("->")[0].split(",")
    if len(terms) < 2:
        return 0
    if "." in equation:
        raise ValueError(f"the work of Einsum with dots, {equation!r}, is not known")
    sizes = {
        letter: size
        for term, shape in zip(terms, call.inputs, strict=True)
        for letter, size in zip(term, shape, strict=True)
    }
    return math.prod(sizes.values())


FORMULAS: dict[str, Callable[[Call], int]] = {
    **dict.fromkeys(("Conv", "ConvInteger", "DeformConv"), _convolution(1)),
    "QLinearConv": _convolution(3),
    "ConvTranspose": _transposed_convolution,
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul"), _product),
    "Gemm": _gemm,
    **dict.fromkeys(("RNN", "GRU", "LSTM"), _recurrent),
    "Attention": _attention,
    "Einsum": _einsum,
}
