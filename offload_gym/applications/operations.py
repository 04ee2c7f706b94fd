"""How many multiply-accumulates one call of a torch operation takes; ``tracing`` asks for each operation of a model."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

Shape = Sequence[int]
Flops = Mapping[str, float | Callable[..., float]]  # by names such as "aten.mv"

FLOPS_PER_MAC = 2
MACS_PER_COMPLEX_MAC = 4  # (a + bi)(c + di) has four products of reals

# Operations without multiply-accumulates that torch does not tag as elementwise or as a view: reductions, pooling,
# normalisation, interpolation, running sums, sorting, and whatever moves, makes, compares or checks elements.
FREE = set(
    """
    amax amin any argmax argmin linalg__powsum linalg_vector_norm max mean min prod sum var var_mean
    _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d avg_pool2d avg_pool3d
    fractional_max_pool2d fractional_max_pool3d max_pool2d_with_indices max_pool3d_with_indices
    _log_softmax _masked_softmax _softmax _native_batch_norm_legit _native_batch_norm_legit_functional
    _native_batch_norm_legit_no_training native_batch_norm _fused_rms_norm native_group_norm native_layer_norm
    _grid_sampler_2d_cpu_fallback _upsample_bicubic2d_aa _upsample_bilinear2d_aa grid_sampler_2d grid_sampler_3d
    upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d
    upsample_nearest3d upsample_trilinear3d
    cummax cummin cumprod cumsum logcumsumexp kthvalue median mode nanmedian sort topk
    bucketize histc searchsorted
    _embedding_bag _embedding_bag_forward_only cat complex constant_pad_nd copy embedding embedding_renorm flip
    gather index index_put index_reduce index_select masked_scatter nonzero_static polar put repeat roll scatter
    scatter_add scatter_reduce as_strided_scatter diagonal_scatter select_scatter slice_scatter
    _to_copy arange bartlett_window blackman_window empty empty_like empty_permuted empty_strided eye fft_fftfreq
    fft_rfftfreq full full_like hamming_window hann_window kaiser_window lift lift_fresh lift_fresh_copy linspace
    logspace new_empty new_empty_strided new_full new_ones new_zeros fill ones ones_like scalar_tensor tril
    tril_indices triu triu_indices zero zeros zeros_like
    bernoulli cauchy exponential geometric log_normal multinomial native_dropout normal poisson rand rand_like
    randint randint_like randn randn_like random randperm uniform
    dequantize int_repr quantize_per_channel quantize_per_tensor fake_quantize_per_channel_affine_cachemask
    fake_quantize_per_tensor_affine_cachemask
    _assert_async _assert_scalar _assert_tensor_metadata _functional_assert_async _linalg_check_errors
    _local_scalar_dense is_same_size sym_constrain_range sym_constrain_range_for_size sym_numel sym_size
    sym_storage_offset sym_stride
    """.split()  # noqa: SIM905
)


def counted(function: Any, args: tuple, kwargs: dict, result: Any, given: Flops) -> dict[str, float]:
    """The multiply-accumulates of one call, by the names of the operations in it that have any.

    An operation is counted as ``given`` says, by a formula of this module, or by one of ``torch.utils.flop_counter``,
    in this order. One that has no formula is free, or is decomposed into others that have one or are free.

    Args:
        function: what is called: an operator of torch, or a function of Python, on sizes or tuples.
        args: its arguments; tensors have a shape and no data.
        kwargs: the same, by name.
        result: what it returns.
        given: see ``tracing.trace``.

    Raises:
        ValueError: an operation has no formula and is not free.
    """
    from torch._ops import HigherOrderOperator

    total = _macs(function, args, kwargs, result, given)
    if total is not None:
        return {_name(function): total}
    if _is_free(function):
        return {}
    if isinstance(function, HigherOrderOperator):  # such as cond, which is called with parts of the model
        raise ValueError(_unknown(function))
    macs = Counter[str]()
    for node in _decomposed(function, args, kwargs, given):
        total = _macs(node.target, *arguments(node), node.meta.get("val"), given)
        if total is not None:
            macs[_name(node.target)] += total  # type: ignore[assignment]  # a Counter adds floats as well
        elif not _is_free(node.target):
            raise ValueError(_unknown(function))
    return dict(macs)


def arguments(node: Any) -> tuple[tuple, dict]:
    """What a node of a graph is called with; tensors have a shape and no data."""
    from torch.fx import map_arg

    return map_arg((node.args, dict(node.kwargs)), lambda argument: argument.meta.get("val"))


def _macs(function: Any, args: tuple, kwargs: dict, result: Any, given: Flops) -> float | None:
    """By the first formula for an operation; None where there is none."""
    import torch
    from torch.utils._pytree import tree_leaves
    from torch.utils.flop_counter import flop_registry, shape_wrapper

    name = _name(function)
    if name in given:
        formula = given[name]
        flops = shape_wrapper(formula)(*args, **kwargs, out_val=result) if callable(formula) else formula
        check_flops(name, flops)
        return flops / FLOPS_PER_MAC
    if name in FORMULAS:
        formula = shape_wrapper(FORMULAS[name])
    elif (registered := flop_registry.get(getattr(function, "overloadpacket", function))) is not None:
        formula = registered
    else:
        return None
    tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
    if any(tensor.layout != torch.strided for tensor in tensors):
        raise ValueError(_unknown(function))
    macs = float(formula(*args, **kwargs, out_val=result)) / FLOPS_PER_MAC
    is_product_of_complex = any(tensor.is_complex() for tensor in tensors) and name not in FFTS
    return macs * MACS_PER_COMPLEX_MAC if is_product_of_complex else macs


def check_flops(name: str, flops: Any) -> None:
    """ValueError where the caller's count of an operation is not a number that can be one."""
    is_number = isinstance(flops, int | float | np.integer | np.floating) and not isinstance(flops, bool)
    if not is_number or not 0 <= flops <= sys.float_info.max:
        raise ValueError(f"flops of {name!r} is {flops!r}; it must be a number, finite and at least 0")


def _name(function: Any) -> str:
    return str(getattr(function, "overloadpacket", function))


def _is_free(function: Any) -> bool:
    import torch

    if not isinstance(function, torch._ops.OpOverload):
        return not isinstance(function, torch._ops.HigherOrderOperator)  # a function of Python
    # An operation in place is what the one of the same name without an underscore at the end is.
    stem = _name(function).removeprefix("aten.").removesuffix("_")
    twin = getattr(getattr(torch.ops.aten, stem, None), function._overloadname, function)
    tags = {torch.Tag.pointwise, torch.Tag.view_copy, torch.Tag.inplace_view}
    return bool(twin.is_view or tags & {*twin.tags, *function.tags} or (function.namespace == "aten" and stem in FREE))


def _unknown(function: Any) -> str:
    name = _name(function)
    return (
        f"the work of {name} is not known; give its floating-point operations as flops={{{name!r}: ...}}, a number or "
        "a function of the shapes of its arguments"
    )


def _decomposed(function: Any, args: tuple, kwargs: dict, given: Flops) -> list[Any]:
    """The calls that one call is made of, where what ``given`` counts stays whole."""
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    table = {part: rule for part, rule in _decompositions().items() if _name(part) not in given}
    with torch.no_grad():
        try:
            graph = make_fx(lambda *values: function(*values, **kwargs), decomposition_table=table)(*args).graph
        except Exception as error:  # there are no data that it could look at
            raise ValueError(_unknown(function)) from error
    return [node for node in graph.nodes if node.op == "call_function"]


@cache
def _decompositions() -> dict[Any, Any]:
    """By operation. What has a formula stays whole, since its parts are elementwise products and sums."""
    from torch.export import default_decompositions

    table = default_decompositions().items()
    return {part: rule for part, rule in table if _name(part) not in FORMULAS and not _is_free(part)}


def _over_last(first: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    """Each element of the result is a sum over the last dimension of the first argument."""
    return FLOPS_PER_MAC * math.prod(out_shape) * first[-1]


def _vecdot(first: Shape, second: Shape, *, dim: int = -1, out_shape: Shape) -> int:
    return FLOPS_PER_MAC * math.prod(out_shape) * max(first[dim], second[dim])


def _added(_: Shape, matrix: Shape, other: Shape, *__: Any, **___: Any) -> int:
    """The product of a matrix, or several, and a vector or as many matrices, which is added to the first argument."""
    return FLOPS_PER_MAC * math.prod(matrix) * (other[-1] if len(other) > 1 else 1)


def _grouped(left: Shape, right: Shape, *_: Any, **__: Any) -> int:
    """Products of blocks. Where one side has two dimensions, the groups divide one, and together they use it once."""
    groups = left[0] if len(left) == len(right) == 3 else 1
    return FLOPS_PER_MAC * groups * left[-2] * left[-1] * right[-1]


def _bilinear(first: Shape, _: Shape, weight: Shape, *__: Any, **___: Any) -> int:
    """For each output, the first argument times a matrix, and that times the second."""
    outputs, rows, columns = weight
    return FLOPS_PER_MAC * math.prod(first[:-1]) * outputs * (rows + 1) * columns


def _affine_grid(theta: Shape, size: Shape, *_: Any, **__: Any) -> int:
    return FLOPS_PER_MAC * math.prod(theta) * math.prod(size[2:])


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Each query times each key, and the values times that, masked or not."""
    return FLOPS_PER_MAC * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _recurrent(data: Shape, _: Any, parameters: Sequence[Shape], *__: Any, **___: Any) -> int:
    """Each matrix times one vector for each step of each sequence."""
    return FLOPS_PER_MAC * math.prod(data[:-1]) * sum(math.prod(shape) for shape in parameters if len(shape) == 2)


def _fft(data: Shape, dims: Sequence[int], *_: Any, **__: Any) -> float:
    """5 N log2 N, the customary count (https://www.fftw.org/speed/method.html), for each transform of N numbers."""
    return 5 * math.prod(data) * math.log2(max(1, math.prod(data[dim] for dim in dims)))


def _real_fft(data: Shape, dims: Sequence[int], *_: Any, out_shape: Shape, **__: Any) -> float:
    """Half of that. Either side may be the real one; the complex one is about half as long, or as long."""
    return _fft(max(data, out_shape, key=math.prod), dims) / 2


def _istft(data: Shape, length: int, *_: Any, **__: Any) -> float:
    """One real transform for each frame."""
    return _fft((math.prod(data) // data[-2], length), (1,)) / 2


FFTS: dict[str, Callable[..., float]] = {
    "aten._fft_c2c": _fft,
    "aten._fft_r2c": _real_fft,
    "aten._fft_c2r": _real_fft,
    "aten.istft": _istft,
}
FORMULAS: dict[str, Callable[..., float]] = {
    **dict.fromkeys(("aten.linear", "aten.mv", "aten.dot", "aten.vdot", "aten._int_mm"), _over_last),
    **dict.fromkeys(("aten._weight_int8pack_mm", "aten._weight_int4pack_mm_for_cpu"), _over_last),
    **dict.fromkeys(("aten.cdist", "aten._cdist_forward", "aten._pdist_forward"), _over_last),
    "aten.linalg_vecdot": _vecdot,
    **dict.fromkeys(("aten.addmv", "aten.addbmm"), _added),
    **dict.fromkeys(("aten._grouped_mm", "aten._scaled_grouped_mm"), _grouped),
    "aten.bilinear": _bilinear,
    "aten.affine_grid_generator": _affine_grid,
    "aten.scaled_dot_product_attention": _attention,
    "aten._scaled_dot_product_flash_attention_for_cpu": _attention,
    "flex_attention": _attention,
    **dict.fromkeys(("aten.lstm", "aten.gru", "aten.rnn_tanh", "aten.rnn_relu"), _recurrent),
    **FFTS,
}
