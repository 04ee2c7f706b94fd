"""Trained networks as policies, without torch: features, network and choice in one compiled call."""

from __future__ import annotations

import sys
import warnings
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import quoted
from offload_gym.delay import COMPLETION_OBJECTIVES, objective_code
from offload_gym.instances import INTEGER, Instances, check_instances
from offload_gym.networks.general_kernel import Nets, decide_kernel
from offload_gym.networks.independent_kernel import NOT_TRIED, SHOWN, TRIED, decide_independent, make_plan
from offload_gym.networks.policy_file import Network, layer_sizes
from offload_gym.networks.trained_range import unlike_trained
from offload_gym.observation import check_independent, new_links
from offload_gym.solvers.local_search import MOVES, local_search_kernel, search_codes
from offload_gym.solvers.parallel import for_each_chunk
from offload_gym.solvers.stopping import new_stop

CHUNK = 1024  # instances that a thread decides at a time
ROLL_OUT = "roll-out"
REFINEMENTS = (ROLL_OUT, *MOVES)


class NetworkPolicy:
    """A trained network as a policy: ``decide(instances)`` gives (B, n) decisions.

    Args:
        network: the network; its layer sizes must fit its form.
        refine: what is done behind the network. "roll-out", for networks that do not read roll-outs: they are tried
            nevertheless. "flip" or "swap": local search by these moves. None.
        keep_best: whether the decision is the best of all schedules that were tried: greedy's, the network's own, and
            the roll-outs, if the network reads them or ``refine`` is given. A roll-out places one task at each location
            in turn and completes the schedule greedily: every task in the sequential form, the first one in the joint
            form. With local search both that best schedule and what the network itself decided are improved, and the
            better one is taken. Only for relu networks, independent tasks and the objectives makespan and mean; None:
            yes for these, unless they were trained on estimates.
        objective: of the local search; None: the one that the network was trained for.

    Raises:
        ValueError: a layer does not fit, the objective is unknown, or the network cannot be used in this way.
    """

    def __init__(
        self,
        network: Network,
        refine: str | None = None,
        keep_best: bool | None = None,
        objective: str | None = None,
    ) -> None:
        if not isinstance(network, Network):
            raise ValueError(f"network is a {type(network).__name__}; it must be a Network, which load_network reads")
        if not (keep_best is None or isinstance(keep_best, bool)):
            raise ValueError(f"keep_best is {quoted(keep_best)}; it must be True, False or None")
        self._given = network, refine, keep_best, objective
        self.network = network
        self.name = ""  # which warnings say, where there is one
        self.num_parameters = network.num_parameters
        if refine not in (None, *REFINEMENTS):
            raise ValueError(f"refine is {quoted(refine)}; it must be None or one of {', '.join(REFINEMENTS)}")
        self.refine = refine
        encoder_sizes, head_sizes = layer_sizes(network)
        parts = [p for weight, bias in network.encoder + network.head for p in (weight.T.ravel(), bias)]
        weights, cores = np.concatenate(parts).astype(np.float32), np.array(network.cores, dtype=np.float64)
        tanh, joint = network.activation == "tanh", network.form == "joint"
        self._nets = tuple(Nets(encoder_sizes, head_sizes, weights, cores, tanh, joint))
        trained_for = network.objective
        moves = refine if refine in MOVES else None
        if objective is not None and moves is None:
            given = quoted(objective)
            raise ValueError(f"objective is {given}; without local search behind the network it must be None")
        searched = trained_for if objective is None else objective
        if moves is not None and searched not in COMPLETION_OBJECTIVES:
            known = " or ".join(COMPLETION_OBJECTIVES)
            raise ValueError(f"objective is {quoted(searched)}; for local search behind a network it must be {known}")
        self._search = None if moves is None else search_codes(searched, moves)
        tries = not (network.dependent or tanh) and trained_for in COMPLETION_OBJECTIVES
        if not (network.roll_outs or (tries and network.encoder)):
            raise ValueError(
                "roll_outs is False; it must be True for all but relu networks with an encoder, for independent tasks "
                "and the objective makespan or mean"
            )
        if keep_best is None:
            keep_best = tries and network.observation_noise == 0
        elif keep_best and not tries:
            raise ValueError("keep_best is True; it must be False or None for this network, which tries no schedules")
        if refine == ROLL_OUT and (network.roll_outs or not keep_best):
            raise ValueError(
                f"refine is {refine!r}; it is for networks that do not read roll-outs, where the best schedule is kept"
            )
        self.keep_best = keep_best
        self.roll_outs = SHOWN if network.roll_outs else TRIED if keep_best and refine else NOT_TRIED
        self._num_tasks = network.num_tasks
        # Unlimited where the file does not say what the network was trained on, or once that was told.
        self._fewest_tasks, self._most_tasks = network.trained_tasks or (0, sys.maxsize)
        # The largest batch that was compared with the instances of the training; looking at each would take longer than
        # deciding does.
        self._looked_at = 0
        self._plan = None
        if tries:
            self._plan, self._padded_weights = make_plan(
                network.cores,
                joint,
                network.encoder,
                network.head,
                keep_best,
                objective_code(trained_for),
                self.roll_outs,
            )

    def __reduce__(self) -> tuple[Any, ...]:
        # Made anew from the network: another process may get arrays that cannot be written, for which numba would
        # compile the kernels anew.
        return NetworkPolicy, self._given, {"name": self.name}

    def decide(self, instances: Instances) -> NDArray[np.int64]:
        """Decisions (B, n); ValueError where the instances are not of the shape the network was trained for."""
        # A call takes about as long as placing a task does, so there are few of them on this way.
        if not isinstance(instances, Instances):
            check_instances(instances)
        tasks, locations, backlog_s, radio_backlog_s, counts, _, edge_parent, _, _ = instances.arrays
        size, num_tasks = len(tasks), instances.num_tasks
        if edge_parent.size:
            check_independent(instances, self.network.dependent, "this network")
        if not self._fewest_tasks <= num_tasks <= self._most_tasks:
            self._tell_range(num_tasks)
        if size > self._looked_at:
            self._looked_at = size
            if outside := unlike_trained(self.network.trained_range, instances):
                self._looked_at = sys.maxsize
                warnings.warn(f"{self._subject} was trained on {outside}; it may decide worse here", stacklevel=2)
        decisions = np.empty((size, num_tasks), INTEGER)
        if size <= CHUNK and self._plan is not None and self._num_tasks in (0, num_tasks):
            fits = decide_independent(
                tasks,
                locations,
                backlog_s,
                radio_backlog_s,
                counts,
                self._plan,
                self._padded_weights,
                self._search,
                decisions,
            )
        elif size <= CHUNK:
            fits = self._fill(instances, decisions)
        else:
            done: list[bool] = []
            for_each_chunk(lambda rows: done.append(self._fill(instances[rows], decisions[rows])), size, None, CHUNK)
            fits = all(done)
        if not fits:
            known, seen = "", ""
            if self.network.num_tasks:
                known, seen = f" and {self.network.num_tasks} tasks", f" and {num_tasks} tasks"
            refuse_cores(self.network.cores, instances, known, seen)
        return decisions

    @property
    def _subject(self) -> str:
        return f"the policy {self.name}".rstrip()

    def _tell_range(self, num_tasks: int) -> None:
        """Warn, once, that instances are unlike those that the network was trained on."""
        trained = f"{self._most_tasks} tasks"
        if self._fewest_tasks != self._most_tasks:
            trained = f"{self._fewest_tasks} to {trained}"
        self._fewest_tasks, self._most_tasks = 0, sys.maxsize
        warnings.warn(
            f"{self._subject} was trained on instances of {trained}; with {num_tasks} it may decide worse",
            stacklevel=3,
        )

    def _fill(self, instances: Instances, decisions: NDArray[np.int64]) -> bool:
        """Fill the decisions (B, n); returns whether the instances are of the shape the network was trained for."""
        if self.network.num_tasks not in (0, instances.num_tasks):
            return False
        if self._plan is not None:
            return bool(
                decide_independent(*instances.arrays[:5], self._plan, self._padded_weights, self._search, decisions)
            )
        if instances.num_locations != len(self.network.cores):
            return False
        links = new_links(1, instances.num_tasks, self.network.dependent)
        fits = bool(decide_kernel(instances.arrays, self._nets, links, decisions))
        if fits and self._search is not None:
            local_search_kernel(instances.arrays, *self._search, new_stop(), decisions)
        return fits


def refuse_cores(cores: tuple[int, ...], instances: Instances, known: str = "", seen: str = "") -> NoReturn:
    """ValueError: the policy is for locations with ``cores``, which the instances do not have.

    ``known`` and ``seen`` say what else it is for, and what else the instances have.
    """
    theirs = sorted({tuple(int(count) for count in row) for row in instances.cores})
    raise ValueError(
        f"this policy is for locations with {cores} cores{known}; the instances have locations with "
        f"{' or '.join(map(str, theirs[:3]))} cores{seen}"
    )
