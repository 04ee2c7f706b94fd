import math

import numpy as np
import pytest

from offload_gym.applications.random_graphs import num_graph_uniforms, random_edges


def drawn_graph(n: int, fat: float, density: float, jump: int, seed: int) -> np.ndarray:
    has_edge = np.ones((n, n), dtype=np.bool_)  # what stands there before does not matter
    random_edges(np.random.default_rng(seed).random(num_graph_uniforms(n)), fat, density, jump, has_edge)
    return has_edge


def depths(has_edge: np.ndarray) -> list[int]:
    depth: list[int] = []
    for child in range(len(has_edge)):
        depth.append(1 + max((depth[parent] for parent in np.flatnonzero(has_edge[:, child])), default=-1))
    return depth


@pytest.mark.parametrize("jump", [1, 2, 4])
@pytest.mark.parametrize("density", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("fat", [0.0, 0.4, 0.8, 1.0])
def test_layers(fat, density, jump):
    n = 17
    for seed in range(20):
        has_edge = drawn_graph(n, fat, density, jump, seed)
        depth = depths(has_edge)
        assert not np.tril(has_edge).any()  # a parent comes before its children
        assert depth == sorted(depth)  # numbers rise layer by layer
        for parent, child in np.argwhere(has_edge):
            assert 1 <= depth[child] - depth[parent] <= jump
        widths = np.bincount(depth)
        # The last layer takes what is left; all others are within half of n ** fat and twice that, rounded.
        assert (widths[:-1] >= max(1, math.floor(0.5 * n**fat))).all()
        assert (widths <= math.ceil(1.5 * n**fat)).all()
        if density == 0.0:
            assert (has_edge.sum(axis=0) == (np.array(depth) > 0)).all()  # one parent each
        if density == 1.0:
            for d in range(1, max(depth) + 1):
                layers = np.ix_(np.array(depth) == d - 1, np.array(depth) == d)
                assert has_edge[layers].all()


def test_fat_zero_is_a_chain_and_fat_one_has_at_most_two_layers():
    for n in (1, 2, 9):
        np.testing.assert_array_equal(drawn_graph(n, 0.0, 1.0, 1, seed=1), np.eye(n, k=1, dtype=bool))
    layers = [max(depths(drawn_graph(9, 1.0, 0.5, 2, seed))) + 1 for seed in range(50)]
    assert set(layers) == {1, 2}


def test_the_same_numbers_give_the_same_graph():
    np.testing.assert_array_equal(drawn_graph(20, 0.6, 0.5, 2, 4), drawn_graph(20, 0.6, 0.5, 2, 4))
    assert (drawn_graph(20, 0.6, 0.5, 2, 4) != drawn_graph(20, 0.6, 0.5, 2, 5)).any()


def test_edges_past_a_layer_are_rarer():
    counts = np.zeros(3)
    possible = np.zeros(3)
    for seed in range(100):
        has_edge = drawn_graph(30, 0.5, 0.6, 2, seed)
        depth = np.array(depths(has_edge))
        distance = depth[None, :] - depth[:, None]
        for d in (1, 2):
            counts[d] += has_edge[distance == d].sum()
            possible[d] += (distance == d).sum()
    assert counts[2] / possible[2] == pytest.approx(0.3, abs=0.02)
    assert counts[1] / possible[1] > 0.6  # and the parent that each task has in any case
