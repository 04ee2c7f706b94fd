"""Many environments in one kernel: ``gym.make_vec(..., vectorization_mode="vector_entry_point")``.

Each environment draws, places and observes with the kernels of the single environments, from the same keys: the steps
of a batch are those of as many single environments with the same seeds and actions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Discrete, MultiDiscrete
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numba import njit
from numpy.typing import NDArray

from offload_gym.delay import COST, MEAN, Problem, fill_prices, objective_code, place_tasks, view_problem
from offload_gym.envs.epochs import NUM_EPOCHS
from offload_gym.epoch_process import draw_epoch
from offload_gym.instances import CPU, ENERGY_WEIGHT, IDLE, KAPPA, TRANSMIT, Instances, check_count
from offload_gym.observation import (
    fill_links,
    observation_size,
    observation_space,
    open_epoch,
    write_observation,
    write_prices,
)
from offload_gym.sampling import scenario_parameters
from offload_gym.scenario import Scenario, as_scenario

MIN_ROWS = 128  # environments that are worth a thread


class Fleet(NamedTuple):
    """The state of N environments of up to n tasks and E edges, with K locations of up to M cores."""

    # Where each one is in its draws; see ``offload_gym.streams``.
    key: NDArray[np.uint64]  # (N,)
    episode: NDArray[np.int64]  # (N,)
    epoch: NDArray[np.int64]  # (N,)
    time_s: NDArray[np.float64]  # (N,)
    latent: NDArray[np.float64]  # (N, 1 + K)
    machines: NDArray[np.float64]  # (N, K, 6)
    rates: NDArray[np.float64]  # (N, K, 2)
    # The epoch to be decided.
    tasks: NDArray[np.float64]  # (N, n, 3)
    locations: NDArray[np.float64]  # (N, K, 6)
    core_backlog_s: NDArray[np.float64]  # (N, K, M)
    radio_backlog_s: NDArray[np.float64]  # (N,)
    task_counts: NDArray[np.int64]  # (N,)
    edge_start: NDArray[np.int64]  # (N, n + 1)
    edge_parent: NDArray[np.int64]  # (N, E)
    edge_bits: NDArray[np.float64]  # (N, E)
    # Its durations, and the schedule so far.
    times: NDArray[np.float64]  # (N, n, K, 4)
    has_child: NDArray[np.bool_]  # (N, n)
    moves: NDArray[np.float64]  # (N, E, K, K, 2)
    prices: NDArray[np.float64]  # (N, 2)
    links: NDArray[np.float64]  # (N, n, 3), or (N, 0, 3) where tasks are independent
    scale_s: NDArray[np.float64]  # (N,)
    task: NDArray[np.int64]  # (N,) the next one to place
    decision: NDArray[np.int64]  # (N, n)
    finish_s: NDArray[np.float64]  # (N, n)
    free_s: NDArray[np.float64]  # (N, K, M)
    sums: NDArray[np.float64]  # (N, 6) radio free, makespan, sum of completions, run time, send time, value so far


class Rules(NamedTuple):
    """What is the same for all environments of a fleet."""

    correlation: float
    epoch_s: float
    objective: int
    num_epochs: int  # 0: without end
    carry_over: bool
    power: NDArray[np.float64]  # (4,)


@njit(cache=True, nogil=True, error_model="numpy")
def _problem(fleet, b):
    """The epoch of environment ``b`` as a ``Problem``, with the room that it has in the fleet."""
    room = Problem(
        fleet.times[b], fleet.edge_start[b], fleet.edge_parent[b], fleet.has_child[b], fleet.moves[b], fleet.prices[b]
    )
    return view_problem(fleet.task_counts[b], fleet.edge_start[b], fleet.edge_parent[b], room)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _open_problem(fleet, b, count):
    """The same of an epoch that is open; what lies behind its tasks and edges is never read."""
    return Problem(
        fleet.times[b, :count], fleet.edge_start[b], fleet.edge_parent[b], fleet.has_child[b], fleet.moves[b],
        fleet.prices[b],
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _observe(fleet, b, problem, priced, out):
    n, i = fleet.tasks.shape[1], fleet.task[b]
    count = fleet.task_counts[b]
    write_observation(
        problem, fleet.locations[b], fleet.links[b, :count], i, n, fleet.decision[b], fleet.finish_s[b],
        fleet.sums[b, 0], fleet.sums[b, 1], fleet.free_s[b], fleet.scale_s[b], out,
    )  # fmt: skip
    if priced:
        write_prices(problem, out)


@njit(cache=True, nogil=True, error_model="numpy")
def _open(parameters, sizes, rules, fleet, b, u, has_edge, out):
    """Draw, prepare and observe the epoch that ``fleet.epoch`` says; queues carry over where the rules say so."""
    backlog_s = np.empty((len(parameters.cores), 1))
    left = rules.carry_over and fleet.epoch[b] > 0
    fleet.task_counts[b], radio_backlog_s, fleet.time_s[b] = draw_epoch(
        parameters, sizes, rules.correlation, rules.epoch_s, fleet.key[b], fleet.episode[b], fleet.epoch[b],
        fleet.time_s[b], u, fleet.latent[b], fleet.machines[b], fleet.rates[b], fleet.tasks[b], fleet.locations[b],
        backlog_s, fleet.edge_start[b], fleet.edge_parent[b], fleet.edge_bits[b], has_edge,
    )  # fmt: skip
    if left:
        radio_backlog_s = max(radio_backlog_s, fleet.sums[b, 0] - rules.epoch_s)
    fleet.radio_backlog_s[b] = radio_backlog_s
    for k in range(fleet.free_s.shape[1]):
        for m in range(fleet.core_backlog_s.shape[2]):
            free_s = backlog_s[k, 0]
            if left and fleet.free_s[b, k, m] < np.inf:
                free_s = max(free_s, fleet.free_s[b, k, m] - rules.epoch_s)
            fleet.core_backlog_s[b, k, m] = free_s
    problem = _problem(fleet, b)
    fleet.scale_s[b] = open_epoch(
        fleet.tasks[b], fleet.locations[b], fleet.core_backlog_s[b], radio_backlog_s, fleet.edge_bits[b], problem,
        fleet.finish_s[b], fleet.free_s[b], fleet.decision[b],
    )  # fmt: skip
    fleet.task[b] = 0
    fleet.sums[b] = 0.0
    fleet.sums[b, 0] = radio_backlog_s
    fill_links(problem, fleet.links[b, : fleet.task_counts[b]])
    priced = rules.objective == COST
    if priced:
        fill_prices(rules.power, fleet.locations[b], problem)
    _observe(fleet, b, problem, priced, out)


@njit(cache=True, nogil=True, error_model="numpy")
def _value_s(rules, fleet, b, energy_j):
    """The objective of the tasks placed so far."""
    if rules.objective == MEAN:
        return fleet.sums[b, 2] / fleet.task_counts[b]
    return fleet.sums[b, 1] + (rules.power[ENERGY_WEIGHT] * energy_j if rules.objective == COST else 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _restart(parameters, sizes, rules, fleet, chosen, observations):
    """Begin the episode of the environments ``chosen``."""
    n = fleet.tasks.shape[1]
    u = np.empty(max(sizes.machines, sizes.tasks))
    has_edge = np.empty((n, n) if parameters.graph_jump > 0 else (0, 0), dtype=np.bool_)
    for b in chosen:
        fleet.epoch[b] = 0
        _open(parameters, sizes, rules, fleet, b, u, has_edge, observations[b])


@njit(cache=True, nogil=True, error_model="numpy")
def _step(parameters, sizes, rules, fleet, start, stop, joint, actions, skip, observations, rewards, terminated, info):
    """One step of the environments ``start``, ..., ``stop - 1`` but for those to ``skip``.

    ``info`` (N, 4) is filled where an epoch ends: 1, its value, makespan and energy.
    """
    n = fleet.tasks.shape[1]
    u = np.empty(max(sizes.machines, sizes.tasks))
    has_edge = np.empty((n, n) if parameters.graph_jump > 0 else (0, 0), dtype=np.bool_)
    for b in range(start, stop):
        if skip[b]:
            continue
        first, count = fleet.task[b], fleet.task_counts[b]
        problem = _open_problem(fleet, b, count)
        last = count if joint else first + 1
        fleet.decision[b, first:last] = actions[b, : last - first]
        sums = fleet.sums[b]
        decision = fleet.decision[b, :count]
        sums[0], sums[1], total_s, run_s, send_s = place_tasks(
            problem, decision, first, last, sums[0], sums[1], fleet.finish_s[b], fleet.free_s[b]
        )
        sums[2] += total_s
        sums[3] += run_s
        sums[4] += send_s
        run_w = rules.power[KAPPA] * fleet.locations[b, 0, CPU] ** 3
        energy_j = run_w * sums[3] + rules.power[TRANSMIT] * sums[4] + rules.power[IDLE] * sums[1]
        value_s = _value_s(rules, fleet, b, energy_j)
        rewards[b] = sums[5] - value_s
        sums[5] = value_s
        fleet.task[b] = last
        if last < count:
            _observe(fleet, b, problem, rules.objective == COST, observations[b])
            continue
        info[b, 0], info[b, 1], info[b, 2], info[b, 3] = 1.0, value_s, sums[1], energy_j
        fleet.epoch[b] += 1
        terminated[b] = rules.num_epochs > 0 and fleet.epoch[b] >= rules.num_epochs
        _open(parameters, sizes, rules, fleet, b, u, has_edge, observations[b])


class VectorEpochEnv(VectorEnv):
    """N environments that step together; see ``JointEnv`` and ``SequentialEnv`` for what each of them is.

    Args:
        num_envs: N.
        scenario, objective, num_epochs, carry_over: as in ``JointEnv``. Policies see the truth; for estimates use
            ``vectorization_mode="sync"``.
        autoreset_mode: "NextStep" (an environment whose episode is over resets in its next step, whose action is
            ignored), "SameStep" (it resets at once; ``infos["final_obs"]`` and ``infos["final_info"]`` have the end),
            or "Disabled" (``reset(options={"reset_mask": ...})`` resets those that are over).
        num_threads: threads that share the environments; None takes one a core.

    Raises:
        ValueError: an argument is unknown or out of its bounds.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 (Gymnasium's convention)
    joint: bool

    def __init__(
        self,
        num_envs: int = 1,
        scenario: str | Mapping[str, Any] | Scenario = "default",
        objective: str = "makespan",
        num_epochs: int | None = NUM_EPOCHS,
        carry_over: bool = False,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        num_threads: int | None = None,
    ) -> None:
        check_count("num_envs", num_envs)
        if num_epochs is not None:
            check_count("num_epochs", num_epochs)
        if num_threads is not None:
            check_count("num_threads", num_threads)
        if not isinstance(carry_over, bool):
            raise ValueError(f"carry_over is {carry_over!r}; it must be True or False")
        try:
            self.autoreset_mode = AutoresetMode(autoreset_mode)
        except ValueError:
            modes = ", ".join(repr(mode.value) for mode in AutoresetMode)
            raise ValueError(f"autoreset_mode is {autoreset_mode!r}; it must be one of {modes}") from None
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.scenario = as_scenario(scenario)
        self.objective, self.num_epochs, self.carry_over = objective, num_epochs, carry_over
        self.num_envs = num_envs
        code = objective_code(objective)
        self._rules = Rules(
            self.scenario.correlation, self.scenario.epoch_s, code, num_epochs or 0, carry_over,
            np.array(self.scenario.power),
        )  # fmt: skip
        n, cores, dependent = self.scenario.most_tasks, self.scenario.cores, self.scenario.dependent
        num_locations = len(cores)
        self.single_observation_space = observation_space(n, cores, dependent, code == COST)
        self.single_action_space: gym.Space = Discrete(num_locations)
        if self.joint:
            self.single_action_space = MultiDiscrete([num_locations] * n)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._size = observation_size(n, cores, dependent, code == COST)
        self._parameters, self._sizes = scenario_parameters(self.scenario)
        self._fleet = _new_fleet(num_envs, n, num_locations, max(cores), self._sizes.num_edges, dependent, carry_over)
        self._over = np.zeros(num_envs, dtype=np.bool_)
        self._last = np.zeros((num_envs, self._size), dtype=np.float32)  # what a masked reset shows of the others
        self._started = False
        workers = min(num_threads or os.cpu_count() or 1, max(num_envs // MIN_ROWS, 1))
        self._pool = ThreadPoolExecutor(workers) if workers > 1 else None
        ends = np.linspace(0, num_envs, workers + 1).astype(int).tolist()
        self._parts = list(pairwise(ends))

    @property
    def instances(self) -> Instances:
        """The epochs to be decided, as a batch of N instances: what ``Policy.decide`` takes."""
        self._check_started("instances")
        fleet = self._fleet
        backlog_s = fleet.core_backlog_s if self.carry_over else fleet.core_backlog_s[:, :, :1]
        return Instances.from_arrays(
            fleet.tasks.copy(), fleet.locations.copy(), backlog_s.copy(), fleet.radio_backlog_s.copy(),
            fleet.task_counts.copy(), fleet.edge_start.copy(), fleet.edge_parent.copy(), fleet.edge_bits.copy(),
            np.tile(self._rules.power, (self.num_envs, 1)),
        )  # fmt: skip

    @property
    def scale_s(self) -> NDArray[np.float64]:
        """(N,) seconds that 1 stands for in each observation."""
        self._check_started("scale_s")
        return self._fleet.scale_s.copy()

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin new episodes, of all environments or of those in ``options["reset_mask"]``.

        Args:
            seed: the first environment's, the next one has the next number and so on; or one for each; None goes on.
            options: ``reset_mask``: (N,) booleans.
        """
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int | np.integer) else seed
        if seeds is not None and len(seeds) != self.num_envs:
            raise ValueError(f"seed has {len(seeds)} numbers; it must have {self.num_envs}, one for each environment")
        mask = np.ones(self.num_envs, dtype=np.bool_)
        if options is not None and "reset_mask" in options:
            self._check_started("reset() with a reset_mask")
            if self.autoreset_mode != AutoresetMode.DISABLED:
                raise ValueError(f"autoreset_mode is {self.autoreset_mode.value!r}; a reset_mask needs 'Disabled'")
            mask = np.asarray(options["reset_mask"])
            if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
                raise ValueError(f"reset_mask is {mask!r}; it must hold {self.num_envs} booleans, at least one True")
        chosen = np.flatnonzero(mask)
        self._fleet.episode[chosen] += 1
        for b in chosen:
            given = None if seeds is None else seeds[int(b)]
            if given is not None or not self._started:
                rng, _ = seeding.np_random(given)
                self._fleet.key[b] = rng.integers(2**64, dtype=np.uint64)
                self._fleet.episode[b] = 0
        observations = np.empty((self.num_envs, self._size), dtype=np.float32)
        if len(chosen) < self.num_envs:
            observations[:] = self._last
        _restart(self._parameters, self._sizes, self._rules, self._fleet, chosen, observations)
        self._over[chosen] = False
        self._started = True
        self._keep(observations)
        return observations, {}

    def _keep(self, observations: NDArray[np.float32]) -> None:
        if self.autoreset_mode == AutoresetMode.DISABLED:  # else there is no masked reset in the middle of episodes
            self._last[:] = observations

    def step(
        self, actions: Any
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step all environments; ValueError where an action is not in the action space."""
        self._check_started("step()")
        chosen = self._checked_actions(actions)
        if self.autoreset_mode == AutoresetMode.DISABLED and self._over.any():
            raise gym.error.ResetNeeded(
                f"environment {int(np.flatnonzero(self._over)[0])} is over; reset it with a reset_mask before step()"
            )
        size = self.num_envs
        observations = np.empty((size, self._size), dtype=np.float32)
        rewards, terminated, info = np.zeros(size), np.zeros(size, dtype=np.bool_), np.zeros((size, 4))
        resetting = self._over.copy()
        if resetting.any():
            self._begin(np.flatnonzero(resetting), observations)

        def work(part: tuple[int, int]) -> None:
            _step(
                self._parameters, self._sizes, self._rules, self._fleet, *part, self.joint, chosen, resetting,
                observations, rewards, terminated, info,
            )  # fmt: skip

        self._for_each_part(work)
        infos: dict[str, Any] = {}
        ended = info[:, 0] > 0
        if self.autoreset_mode == AutoresetMode.SAME_STEP and terminated.any():
            final = np.full(size, None, dtype=object)
            over = np.flatnonzero(terminated)
            for b in over:
                final[b] = observations[b].copy()
            infos |= {"final_obs": final, "_final_obs": terminated.copy()}
            infos |= {"final_info": _infos(info, terminated), "_final_info": terminated.copy()}
            self._begin(over, observations)
            ended &= ~terminated
        if ended.any():
            infos |= _infos(info, ended)
        self._over = terminated & (self.autoreset_mode != AutoresetMode.SAME_STEP)
        self._keep(observations)
        return observations, rewards, terminated, np.zeros(size, dtype=np.bool_), infos

    def _begin(self, chosen: NDArray[np.int64], observations: NDArray[np.float32]) -> None:
        """The next episode of the environments ``chosen``."""
        self._fleet.episode[chosen] += 1
        _restart(self._parameters, self._sizes, self._rules, self._fleet, chosen, observations)

    def _for_each_part(self, work: Callable[[tuple[int, int]], None]) -> None:
        if self._pool is None:
            work(self._parts[0])
        else:
            list(self._pool.map(work, self._parts))

    def _checked_actions(self, actions: Any) -> NDArray[np.int64]:
        array = np.asarray(actions)
        shape = self.action_space.shape
        last = self.scenario.num_locations - 1
        if array.shape != shape or array.dtype.kind not in "iu":
            raise ValueError(
                f"actions has the shape {array.shape} and the type {array.dtype}; it must be {shape} integers"
            )
        if array.size and (array.min() < 0 or array.max() > last):
            raise ValueError(f"actions has numbers from {array.min()} to {array.max()}; each must be from 0 to {last}")
        return np.ascontiguousarray(array, dtype=np.int64).reshape(self.num_envs, -1)

    def _check_started(self, what: str) -> None:
        if not self._started:
            raise gym.error.ResetNeeded(f"call reset() before {what}")

    def close_extras(self, **kwargs: Any) -> None:
        """Let the threads go."""
        if self._pool is not None:
            self._pool.shutdown()


class VectorJointEnv(VectorEpochEnv):
    """N environments ``offload_gym/Joint-v0``."""

    joint = True


class VectorSequentialEnv(VectorEpochEnv):
    """N environments ``offload_gym/Sequential-v0``."""

    joint = False


def _infos(info: NDArray[np.float64], ended: NDArray[np.bool_]) -> dict[str, Any]:
    """Gymnasium's form: an array for each name, and a mask of the environments that have it."""
    infos: dict[str, Any] = {}
    for column, name in enumerate(("latency_s", "makespan_s", "energy_j"), start=1):
        infos[name] = np.where(ended, info[:, column], 0.0)
        infos[f"_{name}"] = ended.copy()
    return infos


def _new_fleet(
    size: int, n: int, num_locations: int, max_cores: int, num_edges: int, dependent: bool, per_core: bool
) -> Fleet:
    K = num_locations
    return Fleet(
        key=np.zeros(size, dtype=np.uint64),
        episode=np.zeros(size, dtype=np.int64),
        epoch=np.zeros(size, dtype=np.int64),
        time_s=np.zeros(size),
        latent=np.empty((size, 1 + K)),
        machines=np.empty((size, K, 6)),
        rates=np.empty((size, K, 2)),
        tasks=np.empty((size, n, 3)),
        locations=np.empty((size, K, 6)),
        core_backlog_s=np.zeros((size, K, max_cores if per_core else 1)),
        radio_backlog_s=np.empty(size),
        task_counts=np.empty(size, dtype=np.int64),
        edge_start=np.zeros((size, n + 1), dtype=np.int64),
        edge_parent=np.zeros((size, num_edges), dtype=np.int64),
        edge_bits=np.zeros((size, num_edges)),
        times=np.empty((size, n, K, 4)),
        has_child=np.zeros((size, n), dtype=np.bool_),
        moves=np.empty((size, num_edges, K, K, 2)),
        prices=np.zeros((size, 2)),
        links=np.empty((size, n if dependent else 0, 3)),
        scale_s=np.empty(size),
        task=np.zeros(size, dtype=np.int64),
        decision=np.zeros((size, n), dtype=np.int64),
        finish_s=np.empty((size, n)),
        free_s=np.empty((size, K, max_cores)),
        sums=np.zeros((size, 6)),
    )
