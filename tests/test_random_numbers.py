import numpy as np
import pytest

from offload_gym.random_numbers import fill_normal, fill_uniform, stream

MASK = 2**64 - 1


def splitmix64(state, count):
    """The generator as published, in plain integers."""
    numbers = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        numbers.append(z ^ (z >> 31))
    return numbers


def uniforms(key=1, episode=0, epoch=0, count=1000, first=0):
    out = np.empty(count)
    fill_uniform(np.uint64(stream(np.uint64(key), episode, epoch)), first, out)
    return out


def test_numbers_are_those_of_splitmix64():
    # The first outputs for the state 1234567 that the reference implementation prints.
    assert splitmix64(1234567, 2) == [6457827717110365317, 3203168211198807973]
    start = stream(np.uint64(5), 2, 3)
    expected = [(z >> 11) / 2**53 for z in splitmix64(int(start), 50)]
    np.testing.assert_array_equal(uniforms(5, 2, 3, 50), expected)
    np.testing.assert_array_equal(uniforms(5, 2, 3, 40, first=10), expected[10:])


def test_uniform_numbers_are_uniform_and_normal_ones_normal():
    u = uniforms(count=200_000)
    assert 0 <= u.min() < 1e-4 < 1 - 1e-4 < u.max() < 1
    counts = np.histogram(u, bins=100, range=(0, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 150  # chi-square of 99 degrees: above it once in 1500
    z = np.empty(200_001)
    fill_normal(np.uint64(stream(np.uint64(7), 0, 0)), 0, z)
    assert abs(z.mean()) < 0.01
    assert z.std() == pytest.approx(1, abs=0.01)
    assert (z**4).mean() == pytest.approx(3, abs=0.1)
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 0.01


def test_streams_of_neighbouring_keys_episodes_and_epochs_differ():
    drawn = np.array([uniforms(k, e, t, 200) for k in (0, 1, 2**63) for e in (0, 1, 2) for t in (0, 1, 2)])
    correlation = np.corrcoef(drawn) - np.eye(len(drawn))
    assert np.abs(correlation).max() < 0.3
    assert len(np.unique(drawn)) == drawn.size
