"""N environments as arrays, and the kernel that steps them: the one implementation behind all environments.

A single environment is a fleet of one, so the steps of a batch are those of as many single environments with the same
seeds and actions. Everything random is drawn by position (``offload_gym.random_numbers``).

A kernel takes its arrays as plain tuples and names them in its first lines. A fleet has some forty arrays, and looking
at each is a part of every step; numba takes more than twice as long to look at a tuple with names
(``python -m benchmarks speed --only calls``). Numbers of one environment are records of a few dtypes, which do not
depend on the scenario: for another dtype the kernel would be compiled anew.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from offload_gym.array_checks import check_count
from offload_gym.checks import check_flag
from offload_gym.compilation import inlined, kernel, record
from offload_gym.delay import (
    Problem,
    Room,
    Start,
    Tally,
    Workspace,
    copy_table,
    is_priced,
    objective_code,
    open_instance,
    outcome,
    place_tasks,
)
from offload_gym.envs.epoch_process import draw_epoch, draw_noise
from offload_gym.envs.orders import BEGIN, LEAVE, STEP, Turn
from offload_gym.estimates import LAST, check_noise
from offload_gym.instances import (
    CPU,
    DOWNLINK,
    ENERGY_WEIGHT,
    IDLE,
    KAPPA,
    LOCATION_FIELDS,
    TRANSMIT,
    UPLINK,
    Batch,
    Instances,
)
from offload_gym.lending import lent
from offload_gym.observation import Epoch, links_of, new_links, open_epoch, write_observation, write_prices
from offload_gym.sampling import Parameters, Sizes, as_instances, new_has_edge, scenario_parameters
from offload_gym.scenario import Scenario

#: What is the same for all environments of a fleet.
RULES = record(
    [
        ("num_machine_uniforms", np.int64),  # see ``Sizes``
        ("num_task_uniforms", np.int64),
        ("correlation", np.float64),
        ("epoch_s", np.float64),
        ("objective", np.int64),
        ("num_epochs", np.int64),  # 0: without end
        ("carry_over", np.bool_),
        ("noise", np.float64),  # of the policy's estimates; LAST: it sees the rates and backlogs of the epoch before
        ("joint", np.bool_),  # whether a step places all tasks of an epoch, else the next one
        ("roll_outs", np.bool_),  # whether the observation holds them
    ],
    align=True,
)
#: Where an environment is.
PROGRESS = record(
    [
        ("key", np.uint64),
        ("episode", np.int64),
        ("epoch", np.int64),  # drawn last
        ("time_s", np.float64),
        ("scale_s", np.float64),  # of the epoch to be decided
        ("num_decided", np.int64),  # epochs of the episode
        ("task", np.int64),  # the next one to place
    ],
    align=True,
)
#: What the schedule so far adds up to: a ``Tally``, and the objective so far.
SUMS = record([(name, np.float64) for name in (*Tally._fields, "outcome_s")])
#: What a step returns of an environment. Latency, makespan and energy are those of an epoch that ended, else 0.
RESULT = record(
    [
        ("reward", np.float64),
        ("latency_s", np.float64),
        ("makespan_s", np.float64),
        ("energy_j", np.float64),
        ("ended", np.bool_),  # whether an epoch did
        ("over", np.bool_),  # whether the episode is
    ],
    align=True,
)


class State(NamedTuple):
    """N environments of up to n tasks and E edges, with K locations: what there is once of each."""

    progress: NDArray[np.void]  # (N,) of the dtype PROGRESS
    latent: NDArray[np.float64]  # (N, 1 + K)
    rates: NDArray[np.float64]  # (N, K, 2)
    # The epoch to be decided: its tasks and graph.
    tasks: NDArray[np.float64]  # (N, n, 3)
    task_counts: NDArray[np.int64]  # (N,)
    edge_start: NDArray[np.int64]  # (N, n + 1)
    edge_parent: NDArray[np.int64]  # (N, E)
    edge_bits: NDArray[np.float64]  # (N, E)
    power: NDArray[np.float64]  # (N, 4)
    has_child: NDArray[np.bool_]  # (N, n)
    links: NDArray[np.float64] | None  # (N, n, 3), None where tasks are independent
    decision: NDArray[np.int64]  # (N, n)


class View(NamedTuple):
    """The epoch to be decided as it is, or as the policy sees it, and the schedule so far.

    A fleet keeps its views in one such tuple whose arrays have one axis more, in front: the truth comes first, what the
    policy sees last. Without noise they are the same one.
    """

    locations: NDArray[np.float64]  # (N, K, 6)
    core_backlog_s: NDArray[np.float64]  # (N, K, max_cores) where work carries over, so that cores differ, else 1 each
    radio_backlog_s: NDArray[np.float64]  # (N,)
    times: NDArray[np.float64]  # (N, n, K, 4)
    moves: NDArray[np.float64]  # (N, E, K, K, 2)
    prices: NDArray[np.float64]  # (N, 2)
    finish_s: NDArray[np.float64]  # (N, n)
    free_s: NDArray[np.float64]  # (N, K, max_cores)
    sums: NDArray[np.void]  # (N,) of the dtype SUMS


class Scratch(NamedTuple):
    """Memory for drawing and opening an epoch."""

    u: NDArray[np.float64]
    has_edge: NDArray[np.bool_]  # see ``draw_tasks``
    core_s: NDArray[np.float64]  # (K, max_cores)


# Never ``register_jitable(inline="always")``, here or in what a kernel calls: after such an inlining numba takes an
# array that a kernel found in a tuple of its own for unused, and drops what is stored there.
@register_jitable
def _view(views, v):
    """View ``v`` of a fleet."""
    return View(
        locations=views.locations[v],
        core_backlog_s=views.core_backlog_s[v],
        radio_backlog_s=views.radio_backlog_s[v],
        times=views.times[v],
        moves=views.moves[v],
        prices=views.prices[v],
        finish_s=views.finish_s[v],
        free_s=views.free_s[v],
        sums=views.sums[v],
    )


@register_jitable
def _batch(state, view):
    """The epochs to be decided."""
    return Batch(
        tasks=state.tasks,
        locations=view.locations,
        core_backlog_s=view.core_backlog_s,
        radio_backlog_s=view.radio_backlog_s,
        task_counts=state.task_counts,
        edge_start=state.edge_start,
        edge_parent=state.edge_parent,
        edge_bits=state.edge_bits,
        power=state.power,
    )


@inlined
def _problem(state, view, b, count):
    """The first ``count`` tasks of environment ``b``; what lies behind their edges is never read."""
    return Problem(
        times=view.times[b, :count],
        edge_start=state.edge_start[b],
        edge_parent=state.edge_parent[b],
        has_child=state.has_child[b],
        moves=view.moves[b],
        prices=view.prices[b],
    )


@inlined
def _observe(rules, state, view, b, out):
    """Write what the policy sees of environment ``b`` before its next task."""
    progress, sums, count = state.progress[b], view.sums[b], state.task_counts[b]
    problem, links = _problem(state, view, b, count), links_of(state.links, b, count)
    start = Start(progress.task, sums.radio_s, sums.makespan_s, view.free_s[b])
    epoch, num_rows = Epoch(view.locations[b], progress.scale_s, rules.roll_outs), state.tasks.shape[1]
    write_observation(problem, state.decision[b], start, epoch, links, view.finish_s[b], num_rows, out)
    if is_priced(rules.objective):
        write_prices(problem, out)


@inlined
def _draw(parameters, rules, state, true, b, scratch):
    """Draw the epoch that the progress says; queues carry over where the rules say so."""
    left = rules.carry_over and state.progress[b].num_decided > 0
    radio_backlog_s = draw_epoch(parameters, rules, state, _batch(state, true), b, scratch)
    if left:
        # What the radio was found busy with is part of what it is still busy with: the later of the two counts.
        radio_backlog_s = max(radio_backlog_s, true.sums[b].radio_s - rules.epoch_s)
    true.radio_backlog_s[b] = radio_backlog_s
    for k in range(true.core_backlog_s.shape[1]):
        drawn_s = true.core_backlog_s[b, k, 0]
        for m in range(true.core_backlog_s.shape[2]):
            free_s = drawn_s
            if left and true.free_s[b, k, m] < np.inf:
                free_s = max(free_s, true.free_s[b, k, m] - rules.epoch_s)
            true.core_backlog_s[b, k, m] = free_s


@inlined
def _remember(true, seen, b):
    """Let the policy see rates and backlogs of the last epoch in the next one."""
    copy_table(true.locations[b], seen.locations[b])
    copy_table(true.core_backlog_s[b], seen.core_backlog_s[b])
    seen.radio_backlog_s[b] = true.radio_backlog_s[b]


@inlined
def _estimate(noise, progress, true, seen, b, u):
    """Fill what the policy sees of an epoch that was drawn, with estimates of rates and backlogs."""
    num_locations = true.locations.shape[1]
    normal = u[: 2 + num_locations]
    draw_noise(progress.key, progress.episode, progress.epoch, normal)
    copy_table(true.locations[b], seen.locations[b])
    for k in range(num_locations):
        for column in (UPLINK, DOWNLINK):
            seen.locations[b, k, column] *= math.exp(noise * normal[0])
        for m in range(true.core_backlog_s.shape[2]):
            seen.core_backlog_s[b, k, m] = true.core_backlog_s[b, k, m] * math.exp(noise * normal[2 + k])
    seen.radio_backlog_s[b] = true.radio_backlog_s[b] * math.exp(noise * normal[1])


@inlined
def _open(rules, state, true, seen, b, core_s):
    """Prepare the epoch of environment ``b`` that was drawn; ``core_s`` is scratch space as in ``Workspace``."""
    progress, decision, count = state.progress[b], state.decision[b], state.task_counts[b]
    n = len(decision)
    work = Workspace(_problem(state, seen, b, n), core_s, Room(seen.finish_s[b], seen.free_s[b]))
    _, _, epoch = open_epoch(_batch(state, seen), b, links_of(state.links, b, count), work, decision)
    progress.scale_s = epoch.scale_s
    progress.task = 0
    for i in range(n):
        decision[i] = -1
    _clear_sums(seen, b)
    if rules.noise != 0.0:
        room = Room(true.finish_s[b], true.free_s[b])
        open_instance(_batch(state, true), b, Workspace(_problem(state, true, b, n), room.free_s, room))
        _clear_sums(true, b)


@inlined
def _clear_sums(view, b):
    """Let the schedule of environment ``b`` in a view be one without tasks."""
    sums = view.sums[b]
    sums.radio_s = view.radio_backlog_s[b]
    sums.value_s = sums.makespan_s = sums.run_s = sums.send_s = sums.outcome_s = 0.0


@inlined
def _place(rules, state, view, b, last):
    """Place the next tasks of environment ``b``, those before ``last``, in a view."""
    first, sums, room = state.progress[b].task, view.sums[b], Room(view.finish_s[b], view.free_s[b])
    problem = _problem(state, view, b, state.task_counts[b])
    tally = Tally(sums.radio_s, sums.value_s, sums.makespan_s, sums.run_s, sums.send_s)
    tally = place_tasks(problem, state.decision[b], first, last, tally, rules.objective, room)
    sums.radio_s, sums.value_s, sums.makespan_s, sums.run_s, sums.send_s = tally


@inlined
def _account(rules, state, true, b, last, result):
    """Fill the result of environment ``b``, whose tasks before ``last`` are placed; returns whether its epoch ended."""
    progress, sums, power, count = state.progress[b], true.sums[b], state.power[b], state.task_counts[b]
    run_w = power[KAPPA] * true.locations[b, 0, CPU] ** 3
    energy_j = run_w * sums.run_s + power[TRANSMIT] * sums.send_s + power[IDLE] * sums.makespan_s
    value_s = outcome(rules.objective, sums.value_s, count, power[ENERGY_WEIGHT] * energy_j)
    result.reward = sums.outcome_s - value_s
    sums.outcome_s = value_s
    progress.task = last
    if last == count:
        result.latency_s, result.makespan_s, result.energy_j = value_s, sums.makespan_s, energy_j
        progress.num_decided += 1
        result.ended = True
        result.over = rules.num_epochs > 0 and progress.num_decided >= rules.num_epochs
    return result.ended


@kernel
def _first_bad(orders, actions, part, num_locations):
    """The first of these environments whose action is no location, or -1."""
    for b in range(part[0], part[1]):
        if orders[b] == STEP:
            for i in range(actions.shape[1]):
                if actions[b, i] < 0 or actions[b, i] >= num_locations:
                    return b
    return -1


@kernel
def step_fleet(parameters, rules, state, views, part, turn):
    """One step of the environments ``part[0]``, ..., ``part[1] - 1``.

    Args:
        parameters: ``Parameters`` of the scenario as a plain tuple.
        rules: (1,) of the dtype RULES.
        state: ``State`` as a plain tuple.
        views: ``View`` of all views as a plain tuple.
        part: two numbers.
        turn: ``Turn`` as a plain tuple.

    Returns:
        The first of these environments whose action is no location, or -1. Then none of them has been stepped.
    """
    parameters, rules = lent(Parameters(*parameters)), rules[0]
    state, views, turn = lent(State(*state)), lent(View(*views)), lent(Turn(*turn))
    true, seen = _view(views, 0), _view(views, len(views.times) - 1)
    num_locations, n = true.locations.shape[1], state.tasks.shape[1]
    bad = _first_bad(turn.orders, turn.actions, part, num_locations)
    if bad >= 0:
        return bad
    num_uniforms = max(rules.num_machine_uniforms, rules.num_task_uniforms, 2 + num_locations)
    scratch = Scratch(np.empty(num_uniforms), new_has_edge(parameters, n), np.empty(true.free_s.shape[1:]))
    for b in range(part[0], part[1]):
        if turn.orders[b] == LEAVE:
            continue
        progress, result = state.progress[b], turn.results[b]
        result.reward = result.latency_s = result.makespan_s = result.energy_j = 0.0
        result.ended = result.over = False
        if turn.orders[b] == BEGIN:
            progress.episode += 1
            progress.epoch = -1
            progress.num_decided = 0
            num_draws = 2 if rules.noise == LAST else 1  # there must be a last measurement
        else:
            first = progress.task
            last = state.task_counts[b] if rules.joint else first + 1
            for i in range(first, last):
                state.decision[b, i] = turn.actions[b, i - first]
            for v in range(len(views.times)):
                _place(rules, state, _view(views, v), b, last)
            num_draws = 1 if _account(rules, state, true, b, last, result) else 0
        for _ in range(num_draws):
            progress.epoch += 1
            if rules.noise == LAST:
                _remember(true, seen, b)
            _draw(parameters, rules, state, true, b, scratch)
        if num_draws > 0:
            if rules.noise > 0.0:
                _estimate(rules.noise, progress, true, seen, b, scratch.u)
            _open(rules, state, true, seen, b, scratch.core_s)
        _observe(rules, state, seen, b, turn.observations[b])
    return -1


class Fleet:
    """N environments: their rules, and their state as arrays.

    Args:
        scenario: what they draw from.
        num_envs: N.
        objective: "makespan", "mean" or "cost".
        num_epochs: epochs of an episode, or None for episodes without end.
        carry_over: whether work that is left when an epoch ends stays in the queues.
        observation_noise: 0, the noise of the policy's estimates, or "last".
        joint: whether a step places all tasks of an epoch, else the next one.
        roll_outs: whether the observation holds them.

    Raises:
        ValueError: an argument is unknown or out of its bounds.
    """

    result = RESULT

    def __init__(
        self,
        scenario: Scenario,
        num_envs: int,
        objective: str,
        num_epochs: int | None,
        carry_over: bool,
        observation_noise: float | str,
        joint: bool,
        roll_outs: bool,
    ) -> None:
        if num_epochs is not None:
            check_count("num_epochs", num_epochs)
        check_flag("carry_over", carry_over)
        check_flag("roll_outs", roll_outs)
        check_noise("observation_noise", observation_noise)
        parameters, sizes = scenario_parameters(scenario)
        rules = np.zeros(1, dtype=RULES)
        rules["num_machine_uniforms"], rules["num_task_uniforms"] = sizes.machines, sizes.tasks
        rules["correlation"], rules["epoch_s"] = scenario.correlation, scenario.epoch_s
        rules["objective"], rules["num_epochs"] = objective_code(objective), num_epochs or 0
        rules["carry_over"], rules["joint"], rules["roll_outs"] = carry_over, joint, roll_outs
        rules["noise"] = LAST if isinstance(observation_noise, str) else float(observation_noise)
        self.priced = bool(is_priced(rules["objective"][0]))
        self.joint, self._all = joint, (0, num_envs)
        self.state = _new_state(scenario, sizes, num_envs)
        columns = max(scenario.cores) if carry_over else 1
        self._views = _new_views(scenario, sizes, (1 if observation_noise == 0 else 2, num_envs), columns)
        # Of the same arrays; copies of a fleet keep that, as copying and pickling make one copy of each array.
        self._arguments = tuple(parameters), rules, tuple(self.state), tuple(self._views)

    def step(
        self,
        orders: NDArray[np.int64],
        actions: NDArray[np.int64],
        observations: NDArray[np.float32],
        results: NDArray[np.void],
        part: tuple[int, int] | None = None,
    ) -> int:
        """What ``step_fleet`` does and returns, for all environments or a part of them; see ``Turn``."""
        bad: int = step_fleet(*self._arguments, part or self._all, (orders, actions, observations, results))
        return bad

    def seed(self, b: int, key: np.uint64) -> None:
        """Let environment ``b`` draw from ``key``, when it begins its next episode."""
        self.state.progress["key"][b], self.state.progress["episode"][b] = key, -1

    def instances(self, seen: bool) -> Instances:
        """The epochs to be decided as a batch of N instances, as the policy sees them or as they are."""
        batch = _batch(self.state, _view(self._views, -1 if seen else 0))
        return as_instances(Batch(*(array.copy() for array in batch)))

    @property
    def scale_s(self) -> NDArray[np.float64]:
        """(N,) seconds that 1 stands for in the observation of each epoch to be decided."""
        return self.state.progress["scale_s"].copy()

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are of use: (N, K), or (N, n * K) where a step places all tasks, K in a row for each of them.

        Every location can always be reached, so a task may go anywhere. Of a missing task only location 0 is, one of
        the actions that all do the same.
        """
        num_envs, n = self.state.decision.shape
        num_locations = self.state.rates.shape[1]
        if not self.joint:  # the task to be placed is never a missing one
            return np.ones((num_envs, num_locations), dtype=np.bool_)
        masks = np.ones((num_envs, n, num_locations), dtype=np.bool_)
        masks[:, :, 1:] = (np.arange(n) < self.state.task_counts[:, None])[:, :, None]
        return masks.reshape(num_envs, n * num_locations)


def _new_state(scenario: Scenario, sizes: Sizes, num_envs: int) -> State:
    n, num_locations = scenario.most_tasks, scenario.num_locations
    return State(
        progress=np.zeros(num_envs, dtype=PROGRESS),
        latent=np.zeros((num_envs, 1 + num_locations)),
        rates=np.zeros((num_envs, num_locations, 2)),
        tasks=np.zeros((num_envs, n, 3)),
        task_counts=np.zeros(num_envs, dtype=np.int64),
        edge_start=np.zeros((num_envs, n + 1), dtype=np.int64),
        edge_parent=np.zeros((num_envs, sizes.num_edges), dtype=np.int64),
        edge_bits=np.zeros((num_envs, sizes.num_edges)),
        power=np.tile(scenario.power, (num_envs, 1)),
        has_child=np.zeros((num_envs, n), dtype=np.bool_),
        links=new_links(num_envs, n, scenario.dependent),
        decision=np.zeros((num_envs, n), dtype=np.int64),
    )


def _new_views(scenario: Scenario, sizes: Sizes, size: tuple[int, int], backlog_columns: int) -> View:
    """Room for a number of views of N environments."""
    n, num_locations = scenario.most_tasks, scenario.num_locations
    return View(
        locations=np.zeros((*size, num_locations, len(LOCATION_FIELDS))),
        core_backlog_s=np.zeros((*size, num_locations, backlog_columns)),
        radio_backlog_s=np.zeros(size),
        times=np.zeros((*size, n, num_locations, 4)),
        moves=np.zeros((*size, sizes.num_edges, num_locations, num_locations, 2)),
        prices=np.zeros((*size, 2)),
        finish_s=np.zeros((*size, n)),
        free_s=np.zeros((*size, num_locations, max(scenario.cores))),
        sums=np.zeros(size, dtype=SUMS),
    )
