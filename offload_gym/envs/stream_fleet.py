"""N streams that are decided task by task, as arrays, and the kernel that steps them.

A single environment is a fleet of one. Kernels take their arrays as plain tuples and name them in their first lines, as
in ``offload_gym.envs.fleet``.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from offload_gym.checks import quoted
from offload_gym.compilation import inlined, kernel, record
from offload_gym.envs.orders import BEGIN, LEAVE, STEP, Turn
from offload_gym.lending import lent
from offload_gym.scenario import Scenario
from offload_gym.streams.engine import admit_here, advance_here
from offload_gym.streams.observing import observe
from offload_gym.streams.outlook import AHEAD, FORESEEN, OPTION, PRICE, Outlook, look, put, weigh
from offload_gym.streams.parameters import (
    StreamParameters,
    StreamSizes,
    empty_stream_batch,
    has_deadlines,
    stream_parameters,
)
from offload_gym.streams.policies import own_objective
from offload_gym.streams.responses import check_can_lose, late_jobs
from offload_gym.streams.sampling import draw_stream
from offload_gym.streams.streams import SHARED, StreamBatch, Streams
from offload_gym.streams.system import DROPPED, System, begin, new_system, system_of, world_of

#: What a job-second in the system, a late job and a joule count; None: the scenario's ``energy_weight_s_per_j``.
STREAM_OBJECTIVES: dict[str, tuple[float, float, float | None]] = {
    "response": (1.0, 0.0, 0.0),
    "late": (0.0, 1.0, 0.0),
    "cost": (1.0, 0.0, None),
}
QUANTILE = 0.95  # of the responses, in the infos

#: What is the same for all environments of a fleet.
RULES = record(
    [
        ("price_js", np.float64),
        ("price_late", np.float64),
        ("price_j", np.float64),
        ("can_drop", np.bool_),
    ],
    align=True,
)
#: Where an environment is.
PROGRESS = record(
    [
        ("key", np.uint64),
        ("episode", np.int64),
        ("job", np.int64),  # that has arrived and is being decided; as many as there are: the episode is over
        ("task", np.int64),  # of it, the next one to place
        ("accrued", np.float64),  # under the objective, since time 0
    ],
    align=True,
)
#: What a step returns of an environment; of an episode that is not over yet only the reward is more than 0.
RESULT = record(
    [
        ("reward", np.float64),
        ("response_mean_s", np.float64),  # of the jobs that were neither dropped nor lost; NaN where all were
        ("response_p95_s", np.float64),
        ("late_share", np.float64),  # late, dropped or lost
        ("lost_share", np.float64),
        ("energy_j", np.float64),
        ("ended", np.bool_),
        ("over", np.bool_),
    ],
    align=True,
)


@register_jitable
def _outlook_of(outlooks, b):
    """Outlook ``b`` of an ``Outlook`` with an axis in front."""
    return Outlook(
        outlooks.foreseen[b],
        outlooks.core_free_s[b],
        outlooks.options[b],
        outlooks.prices[b],
        outlooks.ahead[b],
        outlooks.finish_s[b],
        outlooks.decision[b],
    )


@kernel
def _first_bad(orders, actions, part, progress, num_locations, can_drop):
    """The first of these environments whose action cannot be taken, or -1."""
    for b in range(part[0], part[1]):
        drops = can_drop and progress[b].task == 0
        if orders[b] == STEP and not 0 <= actions[b, 0] < num_locations + drops:
            return b
    return -1


@inlined
def _decide(world, system, outlook, at, k):
    """Place the next task, or drop its job; returns whether the job is decided, and by then in the queues."""
    j = at.job
    if k < len(outlook.options):
        put(world, system, outlook, j, at.task, k)
        at.task += 1
        if at.task < world.jobs[j].num_tasks:
            return False
    else:
        for i in range(len(outlook.decision)):
            outlook.decision[i] = DROPPED
    admit_here(world, system, j, outlook.decision)
    at.job, at.task = j + 1, 0
    return True


@kernel
def step_streams(parameters, rules, arrays, queues, views, progress, part, turn):
    """One step of the environments ``part[0]``, ..., ``part[1] - 1``.

    Args:
        parameters: ``StreamParameters`` as a plain tuple.
        rules: (1,) of the dtype RULES.
        arrays: ``StreamBatch`` of the N streams as a plain tuple.
        queues: ``System`` with an axis of N in front, as a plain tuple.
        views: ``Outlook`` with an axis of N in front, as a plain tuple.
        progress: (N,) of the dtype PROGRESS.
        part: two numbers.
        turn: ``Turn`` as a plain tuple.

    Returns:
        The first of these environments whose action cannot be taken, or -1. Then none of them has been stepped.
    """
    parameters, rules, batch = lent(StreamParameters(*parameters)), rules[0], lent(StreamBatch(*arrays))
    systems, outlooks, turn = lent(System(*queues)), lent(Outlook(*views)), lent(Turn(*turn))
    num_locations, num_jobs = batch.servers.shape[1] + 1, batch.jobs.shape[1]
    bad = _first_bad(turn.orders, turn.actions, part, progress, num_locations, rules.can_drop)
    if bad >= 0:
        return bad
    for b in range(part[0], part[1]):
        if turn.orders[b] == LEAVE:
            continue
        at, result, observation = progress[b], turn.results[b], turn.observations[b]
        world, system = lent(world_of(batch, b)), lent(system_of(systems, b))
        outlook = lent(_outlook_of(outlooks, b))
        result.reward = result.response_mean_s = result.response_p95_s = 0.0
        result.late_share = result.lost_share = result.energy_j = 0.0
        result.ended = result.over = False
        if turn.orders[b] == BEGIN:
            at.episode += 1
            at.job = at.task = 0
            at.accrued = 0.0
            draw_stream(parameters, at.key, at.episode, batch, b)
            begin(world, system)
            goes_on = True
        elif at.job == num_jobs:  # a step after the end
            result.over = True
            observation[:] = 0.0
            continue
        else:
            goes_on = _decide(world, system, outlook, at, turn.actions[b, 0])
        if goes_on:
            advance_here(world, system, world.jobs[at.job].arrival_s if at.job < num_jobs else np.inf, None)
            clock = system.clock[0]
            accrued = rules.price_js * clock.in_system_js + rules.price_late * clock.num_late
            accrued += rules.price_j * clock.energy_j
            result.reward = at.accrued - accrued
            at.accrued = accrued
        if at.job == num_jobs:
            result.ended = result.over = True
            observation[:] = 0.0
        else:
            if goes_on:
                look(world, system, world.jobs[at.job].device, outlook)
            weigh(world, outlook, at.job, at.task)
            observe(world, system, outlook, at.job, at.task, observation)
    return -1


class StreamFleet:
    """N environments: their rules, and their state as arrays.

    Args:
        scenario: what they draw from.
        num_envs: N.
        objective: "response", "late" or "cost", or None: "late" where jobs may be dropped or lost, else "response".

    Raises:
        ValueError: an argument is unknown or out of its bounds, or there is no memory for so many streams.
    """

    result = RESULT

    def __init__(self, scenario: Scenario, num_envs: int, objective: str | None) -> None:
        self.objective = checked_objective(scenario, objective)
        js, late, joule = STREAM_OBJECTIVES[self.objective]
        joule = scenario.energy_weight_s_per_j if joule is None else joule
        self.rules = np.array([(js, late, joule, scenario.can_drop)], dtype=RULES)
        self.num_actions = scenario.num_locations + scenario.can_drop
        self._all = (0, num_envs)
        parameters, sizes = stream_parameters(scenario)
        if self.objective == "late" and not (scenario.can_lose or has_deadlines(parameters)):
            raise ValueError(f"objective is 'late', but the jobs of {scenario.label} have no deadlines")
        try:
            if 16 * num_envs * sizes.num_jobs * max(sizes) > sys.maxsize:  # of which numpy says something else
                raise MemoryError
            self.batch, self.systems, self._outlooks = _room(scenario, parameters, sizes, num_envs)
        except MemoryError:
            raise ValueError(
                f"num_envs is {quoted(num_envs)}; so many streams of {sizes.num_jobs:,} jobs do not fit into memory"
            ) from None
        self.progress = np.zeros(num_envs, dtype=PROGRESS)
        # Of the same arrays; copies of a fleet keep that, as copying and pickling make one copy of each array.
        queues, views = tuple(self.systems), tuple(self._outlooks)
        self._arguments = tuple(parameters), self.rules, tuple(self.batch), queues, views, self.progress

    def step(
        self,
        orders: NDArray[np.int64],
        actions: NDArray[np.int64],
        observations: NDArray[np.float32],
        results: NDArray[np.void],
        part: tuple[int, int] | None = None,
    ) -> int:
        """What ``step_streams`` does and returns, for all environments or a part of them; see ``Turn``."""
        part = part or self._all
        bad: int = step_streams(*self._arguments, part, (orders, actions, observations, results))
        if bad < 0:
            over = results["ended"][part[0] : part[1]]
            if over.any():
                rows = part[0] + np.flatnonzero(over & (orders[part[0] : part[1]] == STEP))
                self._sum_up(rows, results)
        return bad

    def _sum_up(self, rows: NDArray[np.int64], results: NDArray[np.void]) -> None:
        """Fill what the infos say of episodes that are over."""
        jobs, fates = self.batch.jobs[rows], self.systems.fates[rows]
        response_s = fates["done_s"] - jobs["arrival_s"]
        results["late_share"][rows] = late_jobs(response_s, jobs["deadline_s"]).mean(axis=1)
        results["lost_share"][rows] = (fates["lost_s"] < np.inf).mean(axis=1)
        results["energy_j"][rows] = self.systems.clock["energy_j"][rows, 0]
        results["response_mean_s"][rows], results["response_p95_s"][rows] = mean_and_quantile(response_s)

    def seed(self, b: int, key: np.uint64) -> None:
        """Let environment ``b`` draw from ``key``, when it begins its next episode."""
        self.progress["key"][b], self.progress["episode"][b] = key, -1

    def streams(self) -> Streams:
        """The streams of the episodes as a batch of N: all of them, also what is still to come."""
        arrays = {name: a if name in SHARED else a.copy() for name, a in self.batch._asdict().items()}
        return Streams.from_batch(StreamBatch(**arrays))

    def whose_turn(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(N,) the device at which the job has arrived that is being decided, and (N,) whether there is such a job."""
        at, jobs = self.progress["job"], self.batch.jobs
        devices: NDArray[np.int64] = jobs["device"][np.arange(len(jobs)), np.minimum(at, jobs.shape[1] - 1)]
        return devices, at < jobs.shape[1]

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are of use: (N, K), and one more where jobs may be dropped, at their first task alone."""
        masks = np.ones((len(self.progress), self.num_actions), dtype=np.bool_)
        masks[:, self.batch.servers.shape[1] + 1 :] = (self.progress["task"] == 0)[:, None]
        return masks


def mean_and_quantile(response_s: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and ``QUANTILE`` of the finite responses in each row of (R, J), which it sorts; NaN where there is none."""
    response_s.sort(axis=1)  # what is infinite comes last
    served = (response_s < np.inf).sum(axis=1)
    last, of_row = np.maximum(served - 1, 0), np.arange(len(response_s))
    at = QUANTILE * last
    below = at.astype(np.int64)
    low_s, high_s = response_s[of_row, below], response_s[of_row, np.minimum(below + 1, last)]
    with np.errstate(invalid="ignore"):
        quantile_s = np.where(served > 0, low_s + (at - below) * (high_s - low_s), np.nan)
        return response_s.sum(axis=1, where=response_s < np.inf) / served, quantile_s


def checked_objective(scenario: Scenario, objective: str | None) -> str:
    """An objective of streams that fits the scenario."""
    if objective is None:
        return own_objective(scenario)
    if not isinstance(objective, str) or objective not in STREAM_OBJECTIVES:
        names = ", ".join(map(repr, STREAM_OBJECTIVES))
        raise ValueError(f"objective is {quoted(objective)}; it must be one of {names}, or None")
    if scenario.can_drop and STREAM_OBJECTIVES[objective][1] == 0.0:
        raise ValueError(
            f"objective is {objective!r}, under which a job that is dropped costs nothing; it must be 'late' where the "
            "scenario's can_drop is True"
        )
    check_can_lose(scenario.can_lose, objective)
    return objective


def _room(
    scenario: Scenario, parameters: StreamParameters, sizes: StreamSizes, num_envs: int
) -> tuple[StreamBatch, System, Outlook]:
    """Room for N streams, their queues and what is foreseen in them."""
    batch = empty_stream_batch(parameters, sizes, num_envs)
    batch.devices["cores"], batch.servers["cores"] = scenario.cores[0], scenario.cores[1:]
    systems = new_system(Streams.from_batch(batch), num_envs)
    k, n = scenario.num_locations, sizes.num_tasks
    outlooks: dict[str, NDArray[Any]] = {
        "foreseen": np.zeros((num_envs, 1), dtype=FORESEEN),
        "core_free_s": np.zeros((num_envs, k, systems.core_free_s.shape[2])),
        "options": np.zeros((num_envs, k), dtype=OPTION),
        "prices": np.zeros((num_envs, k), dtype=PRICE),
        "ahead": np.zeros((num_envs, n, k), dtype=AHEAD),
        "finish_s": np.zeros((num_envs, n)),
        "decision": np.zeros((num_envs, n), dtype=np.int64),
    }
    return batch, systems, Outlook(**outlooks)
