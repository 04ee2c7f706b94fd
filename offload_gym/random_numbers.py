"""Random numbers by position: a key, an episode, an epoch and an index give a number, with no state in between.

Environments draw with these, so that a thousand environments in one kernel draw what each of them would draw alone. The
numbers are those of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014),
started for each epoch at a point that mixes key, episode and epoch.
"""

from __future__ import annotations

import math

import numpy as np

from offload_gym.compilation import kernel

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio, as SplitMix64 steps


@kernel
def mix(z):
    """A bijection of 64-bit integers that leaves no pattern: the output function of SplitMix64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel
def stream(key, episode, epoch):
    """Where the numbers of one epoch begin."""
    start = mix(np.uint64(key) + GOLDEN)
    start = mix(start ^ (np.uint64(episode) * GOLDEN + np.uint64(1)))
    return mix(start ^ (np.uint64(epoch) * GOLDEN + np.uint64(2)))


@kernel
def uniform(start, j):
    """Number ``j`` of a stream, in [0, 1) with 53 bits."""
    return (mix(start + np.uint64(j + 1) * GOLDEN) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel
def fill_uniform(start, first, out):
    """Fill ``out`` with the uniform numbers from ``first`` on."""
    for j in range(len(out)):
        out[j] = uniform(start, first + j)


@kernel
def fill_normal(start, first, out):
    """Fill ``out`` with standard normal numbers (Box and Muller 1958), made of the uniform ones from ``first`` on."""
    for j in range(0, len(out), 2):
        radius = math.sqrt(-2.0 * math.log(1.0 - uniform(start, first + j)))
        angle = 2.0 * math.pi * uniform(start, first + j + 1)
        out[j] = radius * math.cos(angle)
        if j + 1 < len(out):
            out[j + 1] = radius * math.sin(angle)
