"""Trained networks of graphs as policies, without torch: what they see, passes and sweeps in one compiled call."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import quoted
from offload_gym.instances import INTEGER, Instances, check_instances
from offload_gym.layers import packed
from offload_gym.networks.graph_kernel import Plan, decide_graphs
from offload_gym.networks.graph_network import GraphNetwork, check_graph_network
from offload_gym.solvers.local_search import MOVES, local_search
from offload_gym.solvers.parallel import for_each_chunk

CHUNK = 64  # instances that a thread decides at a time


class GraphPolicy:
    """A trained network of graphs as a policy: ``decide(instances)`` gives (B, n) decisions, for the makespan.

    A decision is never worse than all tasks at one location, whichever is best. It takes any number of tasks, locations
    and cores, and independent tasks, too, though networks of those are better at them.

    Args:
        network: the network, and how often it is used for one decision.
        refine: what is done behind it: "flip" or "swap", local search by these moves until none helps, or None.

    Raises:
        ValueError: the network cannot be run, or ``refine`` is something else.
    """

    def __init__(self, network: GraphNetwork, refine: str | None = None) -> None:
        check_graph_network(network)
        if refine not in (None, *MOVES):
            raise ValueError(f"refine is {quoted(refine)}; for a network of graphs it must be flip, swap or None")
        self.network = network
        self.refine = refine
        self.name = ""
        self.num_parameters = network.num_parameters
        uses = network.num_starts, network.num_passes, network.num_sweeps
        self._plan = tuple(Plan(*packed(network.layers), *uses))

    def __reduce__(self) -> tuple[Any, ...]:
        # Made anew from the network: another process may get arrays that cannot be written, for which numba would
        # compile the kernels anew.
        return GraphPolicy, (self.network, self.refine), {"name": self.name}

    def decide(self, instances: Instances) -> NDArray[np.int64]:
        """Decisions (B, n)."""
        if not isinstance(instances, Instances):
            check_instances(instances)
        size = len(instances)
        decisions = np.empty((size, instances.num_tasks), INTEGER)
        if size <= CHUNK:
            decide_graphs(instances.arrays, self._plan, decisions)
        else:
            for_each_chunk(lambda rows: self._fill(instances[rows], decisions[rows]), size, None, CHUNK)
        if self.refine is not None:
            return local_search(instances, decisions, moves=self.refine)
        return decisions

    def _fill(self, instances: Instances, decisions: NDArray[np.int64]) -> None:
        decide_graphs(instances.arrays, self._plan, decisions)
