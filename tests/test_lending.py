"""Lent arrays: the same numbers, and memory that is kept as long as it is lent and freed once."""

from typing import NamedTuple

import numpy as np
import pytest
from numba import njit
from numba.core.runtime import _nrt_python, rtsys

import offload_gym
from offload_gym.lending import lent


class Inner(NamedTuple):
    x: np.ndarray
    factor: float


class Outer(NamedTuple):
    inner: Inner
    y: np.ndarray
    count: int


@njit
def _write(outer):
    for i in range(outer.count):
        outer.y[i] += outer.inner.factor * outer.inner.x[i, 0]


@njit
def _sum_of_rounds(x, rounds):
    total, y = 0.0, np.zeros(len(x))
    for r in range(rounds):
        outer = lent(Outer(Inner(x, 2.0 + r), y, len(x)))  # in the loop, where y is needed again
        _write(outer)
        total += outer.y.sum()
    return total, y


def test_lent_tuples_hold_the_same_arrays_and_numbers():
    x = np.arange(6.0).reshape(3, 2)
    total, y = _sum_of_rounds(x, 3)
    np.testing.assert_array_equal(y, (2 + 3 + 4) * x[:, 0])
    assert total == (2 + (2 + 3) + (2 + 3 + 4)) * x[:, 0].sum()


@pytest.mark.parametrize("scenario", ["default", "dag"])
@pytest.mark.parametrize("name", ["greedy+swap", "heft+flip", "beam-4+swap", "exact"])
def test_kernels_free_what_they_allocate(name, scenario):
    instances = offload_gym.sample_instances(scenario, 5, seed=0)
    policy = offload_gym.make_policy(name)
    policy.decide(instances)

    _nrt_python.memsys_enable_stats()

    def held():
        stats = rtsys.get_allocation_stats()
        return stats.alloc - stats.free

    before = held()
    for _ in range(20):
        policy.decide(instances)
        offload_gym.latency(instances, np.zeros((5, instances.num_tasks), dtype=np.int64))
    assert held() == before
