"""What C99 headers of networks are made of: layers, names, and the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import quoted
from offload_gym.files import replacing
from offload_gym.layers import CHAINS


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


def layer(name: str, weight: NDArray[np.float32], bias: NDArray[np.float32], activation: str) -> str:
    """The function of a layer, from ``x`` to ``y``; the activation is "relu", "tanh", or empty for none."""
    outputs, inputs = weight.shape
    # Nine digits give each single-precision number back exactly.
    numbers = ", ".join(f"{value:.9e}f" for value in (*weight.T.ravel(), *bias))
    whole = inputs - inputs % CHAINS
    # Some inputs at a time, as each addition to a sum waits for the one before.
    terms = " + ".join(f"x[j + {c}] * weights[(j + {c}) * {outputs} + o]" for c in range(CHAINS))
    loops = []
    for first, end, step, added in (
        (0, whole, CHAINS, terms),
        (whole, inputs, 1, f"x[j] * weights[j * {outputs} + o]"),
    ):
        if first < end:
            loops.append(f"for (j = {first}; j < {end}; j += {step})\n        for (o = 0; o < {outputs}; o++)\n")
            loops[-1] += f"            sum[o] += {added};\n"
    result = {"relu": "sum[o] > 0.0f ? sum[o] : 0.0f", "tanh": "tanhf(sum[o])", "": "sum[o]"}[activation]
    return f"""
static void offload_gym_{name}(const float *x, float *y)
{{
    static const float weights[{weight.size + bias.size}] = {{{numbers}}};
    float sum[{outputs}];
    int j, o;
    for (o = 0; o < {outputs}; o++)
        sum[o] = weights[{weight.size} + o];
    {"    ".join(loops)}    for (o = 0; o < {outputs}; o++)
        y[o] = {result};
}}"""


def calls(part: str, count: int, indent: int) -> str:
    """Calls of the layers in turn between ``a``, where the input and in the end the result is, and ``b``."""
    lines = []
    for i in range(count):
        lines.append(f"offload_gym_{part}_{i}({'a, b' if i % 2 == 0 else 'b, a'});")
    if count % 2:
        lines.append("a = b;")
    return f"\n{' ' * indent}".join(lines)
