"""What C99 headers of networks are made of: numbers, layers, names, and the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import quoted
from offload_gym.files import replacing
from offload_gym.layers import CHAINS, Layers

NUMBERS, WEIGHTS = ("double", "float", "fixed"), ("float", "int8")
ONE = 1 << 12  # what stands for 1 in what integer layers read and write
LARGEST_INT8, LARGEST_INT32 = 127, 2**31 - 1
FACTOR_BITS = 16  # the scale of an output is a factor below 2**15, over 2**16, and shifted by some bits more
DEAD = 1e-4  # of the largest weight of a layer
LEAST_RANGE = 8 * ONE  # of what integer layers may read; less would cut off what networks do
Layer = tuple[NDArray[np.float32], NDArray[np.float32]]
_AHEAD = ("j", *(f"j + {c}" for c in range(1, CHAINS)))  # the inputs that are added at a time


class Form(NamedTuple):
    """How a header counts: the ``numbers`` and ``weights`` of ``export_c``."""

    numbers: str
    weights: str

    @property
    def signal(self) -> str:
        """The C type of what layers read and write."""
        return "int32_t" if self.numbers == "fixed" else "float"


def make_form(numbers: str, weights: str | None) -> Form:
    """The form of these names; without a choice of weights, int8 where numbers are fixed, and otherwise float."""
    if numbers not in NUMBERS:
        raise ValueError(f"numbers is {quoted(numbers)}; it must be one of {', '.join(NUMBERS)}")
    if weights is None:
        weights = "int8" if numbers == "fixed" else "float"
    if weights not in WEIGHTS:
        raise ValueError(f"weights is {quoted(weights)}; it must be one of {', '.join(WEIGHTS)}")
    if (numbers, weights) == ("fixed", "float"):
        raise ValueError("weights is 'float'; where numbers is 'fixed' it must be 'int8'")
    return Form(numbers, weights)


def in_single_precision(text: str) -> str:
    """C text in double, in float: its types, literals and functions."""
    text = re.sub(r"\bdouble\b", "float", text).replace("DBL_", "FLT_")
    text = re.sub(r"\b(sqrt|exp|log)\(", r"\1f(", text)
    return re.sub(r"(?<![\w.])(\d+\.\d*(e[+-]?\d+)?|\d+e[+-]?\d+)(?![\w.])", r"\1f", text)


def check_name(name: str) -> None:
    """ValueError where this is no name in C."""
    if not (isinstance(name, str) and name.isascii() and name.isidentifier()):
        raise ValueError(
            f"name is {quoted(name)}; it must be letters, digits and underscores, and not begin with a digit"
        )


def write_header(path: str | Path, text: str, name: str) -> None:
    """Write a header whose names begin with ``name`` instead of offload_gym."""
    text = text.replace("offload_gym_", f"{name}_").replace("OFFLOAD_GYM_", f"{name.upper()}_")
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="ascii")


def comment(text: str) -> str:
    """What can stand inside a comment in C."""
    return text.encode("ascii", "backslashreplace").decode().replace("*/", "* /").replace("\n", " ")


class Quantised(NamedTuple):
    """A layer of int8 weights: ``(weights @ x + biases / scales) * scales`` in the order outputs, inputs."""

    weights: NDArray[np.int8]  # (outputs, inputs)
    scales: NDArray[np.float32]  # (outputs,)
    biases: NDArray[np.float32]  # (outputs,)


def quantise(layer: Layer) -> Quantised:
    """Round each output's weights to int8, the largest of them to 127 or -127."""
    weight, bias = layer
    largest = np.abs(weight).max(axis=1)
    # An output that reads next to nothing, as a dead one, would have a scale that no integer holds.
    dead = largest < DEAD * largest.max()
    weight, largest = np.where(dead[:, None], 0.0, weight), np.where(dead, 0.0, largest)
    scales = (np.where(largest > 0.0, largest, 1.0) / LARGEST_INT8).astype(np.float32)
    return Quantised(np.rint(weight / scales[:, None]).astype(np.int8), scales, bias)


class Whole(NamedTuple):
    """A layer of integers. An output is ``(sum * factor) >> (16 + shift)`` of ``sum = weights @ x + biases``."""

    weights: NDArray[np.int8]  # (outputs, inputs)
    biases: NDArray[np.int64]  # (outputs,) in units of a sum
    factors: NDArray[np.int64]  # (outputs,) from 2**14 to 2**15 - 1
    shifts: NDArray[np.int64]  # (outputs,)


def in_integers(layer: Layer) -> Whole:
    """The layer in integers; ValueError where its numbers are too large."""
    weights, scales, bias = quantise(layer)
    # A mantissa is from a half to 1, so that a factor has all its bits.
    mantissas, exponents = np.frexp(scales.astype(np.float64))
    shifts = -1 - exponents.astype(np.int64)
    factors = np.minimum(np.rint(np.ldexp(mantissas, FACTOR_BITS - 1)).astype(np.int64), 2 ** (FACTOR_BITS - 1) - 1)
    biases = np.rint(bias.astype(np.float64) / scales * ONE).astype(np.int64)
    if (shifts < 0).any() or (shifts > FACTOR_BITS - 1).any() or (np.abs(biases) > LARGEST_INT32 // 2).any():
        raise ValueError(
            "weights or biases of the network are too large or too small for integers; export it with numbers='float'"
        )
    return Whole(weights, biases, factors, shifts)


def largest_signal(layers: Sequence[Layer]) -> int:
    """What may be read by any of these layers in integers so that no sum leaves 32 bits."""
    largest = LARGEST_INT32
    for layer in layers:
        whole = in_integers(layer)
        weight_sums = np.abs(whole.weights.astype(np.int64)).sum(axis=1)
        largest = min(largest, int(((LARGEST_INT32 - np.abs(whole.biases)) // np.maximum(weight_sums, 1)).min()))
    if largest < LEAST_RANGE:
        raise ValueError("the network is too wide for sums of 32 bits; export it with numbers='float'")
    return largest


def layer_bytes(layers: Sequence[Layer], form: Form) -> int:
    """Bytes of constants."""
    weights, outputs = sum(weight.size for weight, _ in layers), sum(len(bias) for _, bias in layers)
    if form.numbers == "fixed":
        return weights + (4 + 2 + 1) * outputs
    return weights + 8 * outputs if form.weights == "int8" else 4 * (weights + outputs)


def _listed(values: NDArray[np.generic]) -> str:
    """The values of a table; nine digits give each single-precision number back exactly."""
    if values.dtype.kind == "f":
        return ", ".join(f"{value:.9e}f" for value in values.ravel())
    return ", ".join(map(str, values.ravel()))


def layer(name: str, given: Layer, activation: str, form: Form) -> str:
    """The function of a layer, from ``x`` to ``y``; the activation is "relu", "tanh", or empty for none."""
    outputs, inputs = given[0].shape
    if form.numbers == "fixed":
        if activation == "tanh":
            raise ValueError("the network has tanh layers, which are not there in integers; numbers must be 'float'")
        return _integer_layer(name, in_integers(given), activation)
    whole = inputs - inputs % CHAINS
    cast = "(float)" if form.weights == "int8" else ""
    # Some inputs at a time, as each addition to a sum waits for the one before.
    terms = " + ".join(f"x[{at}] * {cast}weights[({at}) * {outputs} + o]" for at in _AHEAD)
    loops = []
    for first, end, step, added in (
        (0, whole, CHAINS, terms),
        (whole, inputs, 1, f"x[j] * {cast}weights[j * {outputs} + o]"),
    ):
        if first < end:
            loops.append(f"for (j = {first}; j < {end}; j += {step})\n        for (o = 0; o < {outputs}; o++)\n")
            loops[-1] += f"            sum[o] += {added};\n"
    if form.weights == "int8":
        weights, scales, biases = quantise(given)
        tables = [f"static const int8_t weights[{weights.size}] = {{{_listed(weights.T)}}};"]
        tables.append(f"static const float scales[{outputs}] = {{{_listed(scales)}}};")
        tables.append(f"static const float biases[{outputs}] = {{{_listed(biases)}}};")
        first, last = "0.0f", "        sum[o] = sum[o] * scales[o] + biases[o];\n"
    else:
        numbers = np.concatenate([given[0].T.ravel(), given[1]])
        tables = [f"static const float weights[{numbers.size}] = {{{_listed(numbers)}}};"]
        first, last = f"weights[{inputs * outputs} + o]", ""
    result = {"relu": "sum[o] > 0.0f ? sum[o] : 0.0f", "tanh": "tanhf(sum[o])", "": "sum[o]"}[activation]
    declared, added = "\n    ".join(tables), "    ".join(loops)
    return f"""
static inline void offload_gym_{name}(const float *x, float *y)
{{
    {declared}
    float sum[{outputs}];
    int j, o;
    for (o = 0; o < {outputs}; o++)
        sum[o] = {first};
    {added}    for (o = 0; o < {outputs}; o++) {{
{last}        y[o] = {result};
    }}
}}"""


def _integer_layer(name: str, whole: Whole, activation: str) -> str:
    """The function of a layer in integers, one output after the other."""
    outputs, inputs = whole.weights.shape
    tables = [f"static const int8_t weights[{whole.weights.size}] = {{{_listed(whole.weights)}}};"]
    tables.append(f"static const int32_t biases[{outputs}] = {{{_listed(whole.biases)}}};")
    tables.append(f"static const uint16_t factors[{outputs}] = {{{_listed(whole.factors)}}};")
    tables.append(f"static const uint8_t shifts[{outputs}] = {{{_listed(whole.shifts)}}};")
    result = "sum > 0 ? offload_gym_rescaled(sum, factors[o], shifts[o]) : 0"
    if activation == "":
        result = "offload_gym_signed(sum, factors[o], shifts[o])"
    declared = "\n    ".join(tables)
    return f"""
static inline void offload_gym_{name}(const int32_t *x, int32_t *y)
{{
    {declared}
    const int8_t *row = weights;
    int o;
    for (o = 0; o < {outputs}; o++, row += {inputs}) {{
        int32_t sum = biases[o] + offload_gym_dot(x, row, {inputs});
        y[o] = {result};
    }}
}}"""


_DOT = " + ".join(f"x[{at}] * row[{at}]" for at in _AHEAD)
#: What integer layers call. 32 bits hold every sum, as nothing that they read is above OFFLOAD_GYM_LARGEST_SIGNAL.
INTEGER_ARITHMETIC = f"""
/* The sum of products. Several at a time, as a loop costs as much as a product. */
static inline int32_t offload_gym_dot(const int32_t *x, const int8_t *row, int count)
{{
    int32_t sum = 0;
    int j = 0;
    for (; j + {CHAINS} <= count; j += {CHAINS})
        sum += {_DOT};
    for (; j < count; j++)
        sum += x[j] * row[j];
    return sum;
}}

/* (sum * factor) >> ({FACTOR_BITS} + shift) of a sum that is not negative, in 32 bits, and what no later sum is too
 * large for. */
static inline int32_t offload_gym_rescaled(int32_t sum, uint16_t factor, uint8_t shift)
{{
    uint32_t high = ((uint32_t)sum >> {FACTOR_BITS}) * factor;
    uint32_t low = (((uint32_t)sum & 0xffffu) * factor) >> {FACTOR_BITS};
    uint32_t output = (high + low) >> shift;
    return output < OFFLOAD_GYM_LARGEST_SIGNAL ? (int32_t)output : OFFLOAD_GYM_LARGEST_SIGNAL;
}}

/* The same of any sum: shifting a negative number means something else on some machines. */
static inline int32_t offload_gym_signed(int32_t sum, uint16_t factor, uint8_t shift)
{{
    return sum < 0 ? -offload_gym_rescaled(-sum, factor, shift) : offload_gym_rescaled(sum, factor, shift);
}}
"""


#: Numbers of any size in integers: 32 bits that count, and an exponent.
SCALED_ARITHMETIC = """
/* mantissa * 2**exponent. Of a whole number the mantissa is 0, or its highest bit is set. */
typedef struct {
    uint32_t mantissa;
    int exponent;
} offload_gym_scaled;

/* A whole number, rounded down to 32 bits that count. */
static inline offload_gym_scaled offload_gym_scale(uint64_t x)
{
    offload_gym_scaled scaled = {0, 0};
    uint32_t high = (uint32_t)(x >> 32), low = (uint32_t)x;
    if (high != 0u) {
        scaled.exponent = 32;
        while (high < 0x80000000u) {
            high = (high << 1) | (low >> 31);
            low <<= 1;
            scaled.exponent--;
        }
        scaled.mantissa = high;
    } else if (low != 0u) {
        while (low < 0x80000000u) {
            low <<= 1;
            scaled.exponent--;
        }
        scaled.mantissa = low;
    }
    return scaled;
}

/* factor / x, where x is not 0: a division bit by bit takes less memory than one of 64 bits, and as long. */
static inline offload_gym_scaled offload_gym_divided(uint32_t factor, int factor_exponent, offload_gym_scaled x)
{
    offload_gym_scaled quotient = {0xffffffffu, 0};
    if (x.mantissa != 0x80000000u) { /* otherwise the quotient has one bit more than fits, and is rounded down */
        uint32_t rest = 0x80000000u;
        int bit;
        for (bit = 0; bit < 32; bit++) {
            int carry = rest >= 0x80000000u;
            rest <<= 1;
            quotient.mantissa <<= 1;
            if (carry || rest >= x.mantissa) {
                rest -= x.mantissa;
                quotient.mantissa |= 1u;
            }
        }
    }
    quotient.mantissa = (uint32_t)(((uint64_t)quotient.mantissa * factor) >> 32);
    quotient.exponent = factor_exponent - 31 - x.exponent;
    return quotient;
}

/* a * 2**exponent * b rounded to a whole number, at most `most`, which is below 2**30. */
static inline uint32_t offload_gym_product(uint32_t a, offload_gym_scaled b, int exponent, uint32_t most)
{
    uint64_t product = (uint64_t)a * b.mantissa;
    int shift = -(exponent + b.exponent);
    if (product == 0u || shift > 63)
        return 0;
    if (shift < 1)
        return most;
    product = ((product >> (shift - 1)) + 1u) >> 1;
    return product < most ? (uint32_t)product : most;
}
"""


def calls(part: str, count: int, indent: int) -> str:
    """Calls of the layers in turn between ``a``, where the input and in the end the result is, and ``b``."""
    lines = []
    for i in range(count):
        lines.append(f"offload_gym_{part}_{i}({'a, b' if i % 2 == 0 else 'b, a'});")
    if count % 2:
        lines.append("a = b;")
    return f"\n{' ' * indent}".join(lines)


def largest_output(layers: Layers) -> int:
    """Numbers of the largest layer's output."""
    return max(len(bias) for _, bias in layers)
