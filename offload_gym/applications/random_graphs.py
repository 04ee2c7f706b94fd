"""Random task graphs in layers, from uniform numbers alone: the same numbers give the same graph."""

from __future__ import annotations

import numpy as np

from offload_gym.compilation import kernel


@kernel
def num_graph_uniforms(num_tasks):
    """How many uniform numbers ``random_edges`` reads for n tasks: n + n * n.

    The first n are for the widths of the layers. Of the n * n that follow, number ``n * child + parent`` decides on
    that edge, and number ``n * child + child`` picks the parent that the child has in any case.
    """
    return num_tasks + num_tasks * num_tasks


@kernel
def random_edges(u, fat, density, jump, has_edge):
    """Fill ``has_edge`` with a random graph whose tasks are numbered layer by layer.

    A layer has about ``n ** fat`` tasks, times a factor between 0.5 and 1.5, and at least one; the last one takes what
    is left. A task after the first layer has one parent, drawn uniformly, in the layer just before, so that its depth
    is its layer. Each other task of the ``jump`` layers before it is a parent too with probability ``density / d``,
    where d is the distance in layers. This is in the manner of daggen (https://github.com/frs69wq/daggen), whose
    parameters have these names, and of Topcuoglu, Hariri and Wu, "Performance-effective and low-complexity task
    scheduling for heterogeneous computing", IEEE Transactions on Parallel and Distributed Systems 13(3), 2002.

    Args:
        u: (n + n * n,) uniform numbers in [0, 1).
        fat: from 0, a chain, to 1, one or two layers.
        density: from 0, one parent each, to 1, all of the layer before.
        jump: how many layers an edge may span, a whole number, at least 1.
        has_edge: (n, n) booleans, by parent and child; what it held before is lost.
    """
    n = len(has_edge)
    has_edge[:] = False
    mean_width = n**fat
    layer = np.empty(n, dtype=np.int64)
    start, before, depth = 0, 0, 0  # first task of this layer and of the one before, number of this layer
    while start < n:
        width = max(1, int(mean_width * (0.5 + u[depth]) + 0.5))
        end = min(n, start + width)
        for child in range(start, end):
            layer[child] = depth
            if depth == 0:
                continue
            row = n + n * child
            has_edge[before + int(u[row + child] * (start - before)), child] = True
            for parent in range(start - 1, -1, -1):
                distance = depth - layer[parent]
                if distance > jump:
                    break
                if u[row + parent] < density / distance:
                    has_edge[parent, child] = True
        before, start, depth = start, end, depth + 1
