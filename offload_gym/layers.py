"""Dense layers in vector instructions, for kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numpy.typing import NDArray

from offload_gym.compilation import in_machine_code

LANES = 8  # outputs of a layer that are computed at a time; its outputs are padded to a multiple
CHAINS = 4  # sums that are kept apart, as an addition has to wait for the one before; inputs are padded to a multiple
CACHE_LINE = 64  # bytes
AT, INPUTS, OUTPUTS = range(3)  # columns of what ``packed`` returns

#: (weight (outputs, inputs), bias (outputs,)) of each layer.
Layers = tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]


def _in_python(weights, at, inputs, outputs, values, source, target, rectified):
    """The same sums in the same order; each is rounded to float64 first, which hardly ever changes a float32."""
    block = weights[at : at + (inputs + 1) * outputs].reshape(inputs + 1, outputs)
    products = values[source : source + inputs, None].astype(np.float64) * block[:inputs]
    sums = np.zeros((CHAINS, outputs), dtype=np.float32)
    sums[0] = block[inputs]
    for row in products.reshape(-1, CHAINS, outputs):
        sums[:] = row + sums
    while len(sums) > 1:
        sums = sums[::2] + sums[1::2]
    values[target : target + outputs] = np.where(sums[0] > 0, sums[0], 0) if rectified else sums[0]


@in_machine_code(_in_python)
def run_layer(typing_context, weights, at, inputs, outputs, values, source, target, rectified):
    """A layer from ``values[source:]`` to ``values[target:]``: ``x @ W + b``, then max(0, .) where ``rectified``.

    W and b begin at ``weights[at]``. Both vectors are in one array, as passing arrays on costs more than a small layer.
    """
    flat = types.Array(types.float32, 1, "C")  # what the generated code takes the memory for
    if not all(isinstance(kind, types.Array) and kind.copy(readonly=False) == flat for kind in (weights, values)):
        return None
    signature = types.void(weights, *[types.intp] * 3, values, *[types.intp] * 2, types.boolean)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        weights, at, inputs, outputs, values, source, target, rectified = arguments
        vector, whole = ir.VectorType(ir.FloatType(), LANES), at.type
        none, zeros = ir.Constant(vector, ir.Undefined), ir.Constant(vector, [0.0] * LANES)
        first = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{LANES}f32"
        )
        weights, values = (
            context.make_array(kind)(context, builder, value).data
            for kind, value in ((signature.args[0], weights), (signature.args[4], values))
        )
        x, y = (builder.gep(values, [index]) for index in (source, target))

        def lanes(data: Any, index: Any) -> Any:
            return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())

        def load(data: Any, index: Any) -> Any:
            value = builder.load(lanes(data, index))
            value.align = 4
            return value

        bias = builder.add(at, builder.mul(inputs, outputs))
        with cgutils.for_range_slice(builder, whole(0), outputs, whole(LANES)) as (o, _):
            sums = [cgutils.alloca_once(builder, vector) for _ in range(CHAINS)]
            for chain in sums:
                builder.store(zeros, chain)
            builder.store(load(weights, builder.add(bias, o)), sums[0])
            with cgutils.for_range_slice(builder, whole(0), inputs, whole(CHAINS)) as (j, _):
                for c, chain in enumerate(sums):
                    index = builder.add(j, whole(c))
                    one = builder.insert_element(none, builder.load(builder.gep(x, [index])), ir.IntType(32)(0))
                    row = builder.add(at, builder.add(builder.mul(index, outputs), o))
                    factors = builder.shuffle_vector(one, none, first), load(weights, row)
                    builder.store(builder.call(multiply_add, [*factors, builder.load(chain)]), chain)
            totals = [builder.load(chain) for chain in sums]
            while len(totals) > 1:
                totals = [builder.fadd(a, b) for a, b in zip(totals[::2], totals[1::2], strict=True)]
            positive = builder.select(builder.fcmp_ordered(">", totals[0], zeros), totals[0], zeros)
            builder.store(builder.select(rectified, positive, totals[0]), lanes(y, o)).align = 4

    return signature, generate


def _padded(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _aligned(size: int) -> NDArray[np.float32]:
    """Room for weights that begins with a cache line: vectors that lie across two of them are slow."""
    room = np.empty(size + CACHE_LINE // 4, dtype=np.float32)
    first = -room.ctypes.data % CACHE_LINE // 4
    return room[first : first + size]


def packed(layers: Layers) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Layers (weight (outputs, inputs), bias) as ``run_layer`` reads them.

    Returns:
        (L, 3) of each layer: where its weights begin, its padded inputs, its padded outputs; and the padded weights.
    """
    numbers, parts, at = np.zeros((len(layers), 3), dtype=np.int64), [np.empty(0, dtype=np.float32)], 0
    for row, (weight, bias) in zip(numbers, layers, strict=True):
        outputs, inputs = weight.shape
        block = np.zeros((_padded(inputs, CHAINS) + 1, _padded(outputs, LANES)), dtype=np.float32)
        block[:inputs, :outputs], block[-1, :outputs] = weight.T, bias
        row[:] = at, len(block) - 1, block.shape[1]
        parts.append(block.ravel())
        at += block.size
    weights = _aligned(at)
    np.concatenate(parts, out=weights)
    return numbers, weights
