"""Fewer and larger tasks: neighbours of an application are merged until few enough are left."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

Pair = tuple[int, int]


class Graph:
    """Tasks that can be merged; see ``Application.coarsen``. Each is known by the lowest number of those that it holds.

    The ends of an edge may be merged where no other path leads from one to the other, or there would be a cycle. Two
    tasks without a path between them may always be merged. In both cases, no task with a parent may send, and none with
    a child may return: the model has no place for that data.

    Args:
        edge_bits: what the edge (parent, child) carries; parents have lower numbers.
        workload_cycles: (n,) of each task.
        sent_bits: input of those entry tasks that have any.
        returned_bits: output of those exit tasks that have any.
    """

    def __init__(
        self,
        edge_bits: dict[Pair, float],
        workload_cycles: Sequence[float],
        sent_bits: dict[int, float],
        returned_bits: dict[int, float],
    ) -> None:
        self.edge_bits = dict(edge_bits)
        self.work = dict(enumerate(workload_cycles))
        self.sent, self.returned = dict(sent_bits), dict(returned_bits)
        self.last = {i: i for i in self.work}  # the highest number of those that a task holds
        self.parents: dict[int, set[int]] = {i: set() for i in self.work}
        self.children: dict[int, set[int]] = {i: set() for i in self.work}
        for parent, child in edge_bits:
            self.parents[child].add(parent)
            self.children[parent].add(child)
        self.ratings = {edge: self._rating(edge) for edge in edge_bits}
        # All tasks that lead to a task, and all that it leads to, as the bits of a number.
        self.above, self.below = dict.fromkeys(self.work, 0), dict.fromkeys(self.work, 0)
        for i in self.work:
            for parent in self.parents[i]:
                self.above[i] |= self.above[parent] | 1 << parent
        for i in reversed(self.work):
            for child in self.children[i]:
                self.below[i] |= self.below[child] | 1 << child

    def coarsen(self, max_tasks: int) -> None:
        """Merge until at most ``max_tasks`` tasks, at least 1, are left.

        There always is a candidate. Where several tasks are entries of parts with edges, any two of them may be merged,
        and so may two exits; a part with one entry and one exit has an edge that may be contracted; and any two tasks
        without edges may be merged.
        """
        while len(self.work) > max_tasks:
            self._merge(*next(self._candidates()))

    def _rating(self, edge: Pair) -> tuple[float, float, Pair]:
        """Edges are contracted in the order of this.

        Bits over the product of both workloads is the rating "expansion*" of Holtgrewe, Sanders and Schulz,
        "Engineering a scalable high quality graph partitioner", 2010 (arXiv 0910.2004). Bits alone would go on with the
        largest task until it held nearly all.
        """
        bits, (parent, child) = self.edge_bits[edge], edge
        least, most = sorted((self.work[parent], self.work[child]))
        return -(bits / most / least) if least else -math.inf, -bits, edge

    def _candidates(self) -> Iterator[Pair]:
        """The pairs that may be merged, the best one first."""
        # Any other path would lead through a task that is both below the one and above the other.
        edges = [(a, b) for a, b in self.ratings if not self.below[a] & self.above[b]]
        for a, b in sorted(edges, key=self.ratings.__getitem__):
            if self._keeps_data(a, b):
                yield a, b
        lightest_first = sorted(self.work, key=lambda i: (self.work[i], i))
        for rank, b in enumerate(lightest_first):
            for a in lightest_first[:rank]:
                has_path = (self.above[a] | self.below[a]) >> b & 1
                if not has_path and self._keeps_data(a, b):
                    yield a, b

    def _keeps_data(self, a: int, b: int) -> bool:
        sends, returns = a in self.sent or b in self.sent, a in self.returned or b in self.returned
        is_entry = not sends or (self.parents[a] <= {b} and self.parents[b] <= {a})
        is_exit = not returns or (self.children[a] <= {b} and self.children[b] <= {a})
        return is_entry and is_exit

    def _merge(self, a: int, b: int) -> None:
        """Make one task of two. Edges that become parallel are one with the bits of both."""
        into, gone = min(a, b), max(a, b)
        parents = (self.parents[a] | self.parents[b]) - {a, b}
        children = (self.children[a] | self.children[b]) - {a, b}
        bits_in = {i: self._take(i, a) + self._take(i, b) for i in parents}
        bits_out = {i: self._take(a, i) + self._take(b, i) for i in children}
        self._take(a, b)
        for i in parents:
            self.children[i] = self.children[i] - {gone} | {into}
        for i in children:
            self.parents[i] = self.parents[i] - {gone} | {into}
        self.parents[into], self.children[into] = parents, children
        self.last[into] = max(self.last[into], self.last.pop(gone))
        self.work[into] += self.work.pop(gone)
        for bits in (self.sent, self.returned):
            if gone in bits:
                bits[into] = bits.get(into, 0.0) + bits.pop(gone)
        self.edge_bits |= {(i, into): value for i, value in bits_in.items()}
        self.edge_bits |= {(into, i): value for i, value in bits_out.items()}
        for edge in [(i, into) for i in parents] + [(into, i) for i in children]:
            self.ratings[edge] = self._rating(edge)
        both = 1 << into | 1 << gone
        for reach in (self.above, self.below):
            reached = (reach[into] | reach.pop(gone)) & ~both
            reach[into] = reached
            for i, tasks in reach.items():
                if tasks & both:
                    reach[i] = tasks & ~both | 1 << into | reached

    def _take(self, parent: int, child: int) -> float:
        self.ratings.pop((parent, child), None)
        return self.edge_bits.pop((parent, child), 0.0)
