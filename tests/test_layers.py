"""Dense layers of networks: the generated code, and their form in Python where numba compiles nothing."""

import numpy as np
import pytest
from llvmlite.binding import get_host_cpu_features
from numba import config, njit

from offload_gym.layers import _in_python, packed, run_layer

#: Machine code for these rounds a product and a sum once; elsewhere twice.
FUSED = config.CPU_NAME is None and any(get_host_cpu_features().get(name) for name in ("fma", "neon", "vfp4"))


@njit  # without the cache: the code is generated here
def run(weights, at, inputs, outputs, values, source, target, rectified):
    run_layer(weights, at, inputs, outputs, values, source, target, rectified)


def drawn(inputs, outputs, seed):
    """Two layers, of which the second is asked for; and where it reads and writes."""
    rng = np.random.default_rng(seed)
    layers = [
        (rng.normal(size=shape).astype(np.float32), rng.normal(size=shape[0]).astype(np.float32))
        for shape in ((3, 5), (outputs, inputs))
    ]
    numbers, weights = packed(tuple(layers))
    values = np.full(200, 7.0, dtype=np.float32)
    values[11 : 11 + numbers[1, 1]] = 0.0
    values[11 : 11 + inputs] = rng.normal(size=inputs)
    return layers[1], numbers[1], weights, values


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (4, 8), (5, 9), (30, 3), (64, 40)])
def test_a_layer_is_the_product_the_bias_and_what_is_positive(inputs, outputs, rectified):
    for seed in range(5):
        (weight, bias), (at, padded, written), weights, values = drawn(inputs, outputs, seed)
        before = values.copy()
        exact = weight.astype(float) @ values[11 : 11 + inputs].astype(float) + bias
        expected = np.maximum(exact, 0) if rectified else exact
        run(weights, at, padded, written, values, 11, 100, rectified)
        np.testing.assert_allclose(values[100 : 100 + outputs], expected, rtol=1e-5, atol=1e-5)
        assert (values[100 + outputs : 100 + written] == 0).all()
        np.testing.assert_array_equal(
            np.delete(values, slice(100, 100 + written)), np.delete(before, slice(100, 100 + written))
        )


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (4, 8), (5, 9), (30, 3), (64, 40)])
def test_the_form_in_python_gives_the_same_numbers(inputs, outputs, rectified):
    for seed in range(5):
        _, (at, padded, written), weights, values = drawn(inputs, outputs, seed)
        in_python = values.copy()
        run(weights, at, padded, written, values, 11, 100, rectified)
        _in_python(weights, at, padded, written, in_python, 11, 100, rectified)
        if FUSED:
            np.testing.assert_array_equal(in_python, values)
        else:
            np.testing.assert_allclose(in_python, values, rtol=1e-5, atol=1e-5)


def test_a_sum_of_products_is_rounded_once():
    """(1 + 2**-12)**2 - 1 is 2**-11 + 2**-24, whose last bit is lost where the product is rounded before the sum."""
    weights = np.zeros((4 + 1) * 8, dtype=np.float32)
    weights[0], weights[32] = 1 + 2.0**-12, -1.0
    values = np.zeros(12, dtype=np.float32)
    values[0] = 1 + 2.0**-12
    _in_python(weights, 0, 4, 8, values, 0, 4, False)
    assert values[4] == 2.0**-11 + 2.0**-24
