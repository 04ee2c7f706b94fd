"""N environments as arrays, and the kernel that steps them: the one implementation behind all environments.

A single environment is a fleet of one, so the steps of a batch are those of as many single environments with the same
seeds and actions. Everything random is drawn by position (``offload_gym.streams``).

Arrays are views of a few buffers, and settings are packed into two arrays, because handing over an array or a number of
a tuple to a compiled function takes 0.1 to 0.2 µs, and a fleet has some seventy: for a single environment that would
take longer than the step itself.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.typing import NDArray

from offload_gym.delay import (
    Problem,
    Room,
    Start,
    Tally,
    copy_table,
    fill_prices,
    fill_problem,
    is_priced,
    objective_code,
    outcome,
    place_tasks,
    start_schedule,
    view_problem,
)
from offload_gym.epoch_process import draw_epoch, draw_noise
from offload_gym.estimates import LAST, check_noise
from offload_gym.instances import (
    CPU,
    DOWNLINK,
    ENERGY_WEIGHT,
    IDLE,
    KAPPA,
    TRANSMIT,
    UPLINK,
    Batch,
    Instances,
    check_count,
)
from offload_gym.observation import (
    Epoch,
    epoch_scale,
    fill_links,
    links_of,
    new_links,
    write_observation,
    write_prices,
)
from offload_gym.sampling import Sizes, as_instances, scenario_parameters
from offload_gym.scenario import Scenario

STEP, BEGIN, LEAVE = range(3)  # what to do with an environment
REWARD, REACHED_S, MAKESPAN_S, ENERGY_J, ENDED, OVER = range(6)  # columns of a step's results
# Columns of ``sums``: a ``Tally`` and the objective so far.
RADIO_S, VALUE_S, LARGEST_S, RUN_S, SENT_S, OUTCOME_S = range(6)


class Shape(NamedTuple):
    """N environments of up to n tasks and E edges, with K locations of up to M cores."""

    num_envs: int
    num_tasks: int
    num_locations: int
    max_cores: int
    backlog_columns: int  # M where work carries over, so that a location's cores differ, else 1
    num_edges: int
    noisy: bool  # whether the policy sees something other than the truth


class Rules(NamedTuple):
    """What is the same for all environments of a fleet."""

    correlation: float
    epoch_s: float
    objective: int
    num_epochs: int  # 0: without end
    carry_over: bool
    noise: float  # of the policy's estimates; LAST: it sees the rates and backlogs of the epoch before
    joint: bool  # whether a step places all tasks of an epoch, else the next one
    power: NDArray[np.float64]  # (4,)


class View(NamedTuple):
    """The epoch to be decided as it is, or as the policy sees it, and the schedule so far."""

    locations: NDArray[np.float64]  # (N, K, 6)
    core_backlog_s: NDArray[np.float64]  # (N, K, backlog columns)
    radio_backlog_s: NDArray[np.float64]  # (N,)
    times: NDArray[np.float64]  # (N, n, K, 4)
    moves: NDArray[np.float64]  # (N, E, K, K, 2)
    prices: NDArray[np.float64]  # (N, 2)
    finish_s: NDArray[np.float64]  # (N, n)
    free_s: NDArray[np.float64]  # (N, K, M)
    sums: NDArray[np.float64]  # (N, 6) a ``Tally`` and the objective so far


class Fleet(NamedTuple):
    """The state of N environments."""

    # Where each one is in its draws.
    key: NDArray[np.uint64]  # (N,)
    episode: NDArray[np.int64]  # (N,)
    epoch: NDArray[np.int64]  # (N,) drawn last
    time_s: NDArray[np.float64]  # (N,)
    latent: NDArray[np.float64]  # (N, 1 + K)
    machines: NDArray[np.float64]  # (N, K, 6)
    rates: NDArray[np.float64]  # (N, K, 2)
    # The epoch to be decided: its tasks and graph.
    tasks: NDArray[np.float64]  # (N, n, 3)
    task_counts: NDArray[np.int64]  # (N,)
    edge_start: NDArray[np.int64]  # (N, n + 1)
    edge_parent: NDArray[np.int64]  # (N, E)
    edge_bits: NDArray[np.float64]  # (N, E)
    has_child: NDArray[np.bool_]  # (N, n)
    scale_s: NDArray[np.float64]  # (N,)
    true: View
    seen: View  # the same arrays as ``true`` unless the fleet is noisy
    # The decision so far.
    done: NDArray[np.int64]  # (N,) epochs of the episode that are decided
    task: NDArray[np.int64]  # (N,) the next one to place
    decision: NDArray[np.int64]  # (N, n)


class Buffers(NamedTuple):
    """What the arrays of a fleet are views of."""

    floats: NDArray[np.float64]
    ints: NDArray[np.int64]
    flags: NDArray[np.bool_]
    keys: NDArray[np.uint64]
    links: NDArray[np.float64] | None  # (N, n, 3), None where tasks are independent; not a part of ``Fleet``


@register_jitable
def _float_shapes(s):
    """Shapes of the arrays of floats in the order of their buffer: those of a fleet, then those of a view."""
    N, n, K, E = s.num_envs, s.num_tasks, s.num_locations, s.num_edges
    of_fleet = ((N,), (N, 1 + K), (N, K, 6), (N, K, 2), (N, n, 3), (N, E), (N,))
    of_view = (
        (N, K, 6), (N, K, s.backlog_columns), (N,), (N, n, K, 4), (N, E, K, K, 2), (N, 2), (N, n), (N, K, s.max_cores),
        (N, 6),
    )  # fmt: skip
    return of_fleet, of_view


@register_jitable
def _int_shapes(s):
    N, n = s.num_envs, s.num_tasks
    return (N,), (N,), (N,), (N, n + 1), (N, s.num_edges), (N,), (N,), (N, n)


@register_jitable
def _cut(buffer, at, shape):
    """The next array of a buffer, and where the one after it begins."""
    size = 1
    for extent in shape:
        size *= extent
    return buffer[at : at + size].reshape(shape), at + size


@register_jitable
def _cut_view(floats, at, shapes):
    locations, at = _cut(floats, at, shapes[0])
    core_backlog_s, at = _cut(floats, at, shapes[1])
    radio_backlog_s, at = _cut(floats, at, shapes[2])
    times, at = _cut(floats, at, shapes[3])
    moves, at = _cut(floats, at, shapes[4])
    prices, at = _cut(floats, at, shapes[5])
    finish_s, at = _cut(floats, at, shapes[6])
    free_s, at = _cut(floats, at, shapes[7])
    sums, at = _cut(floats, at, shapes[8])
    return View(locations, core_backlog_s, radio_backlog_s, times, moves, prices, finish_s, free_s, sums), at


@register_jitable
def as_fleet(shape, buffers):
    """The buffers as a fleet."""
    floats, ints, flags, keys, _ = buffers
    of_fleet, of_view = _float_shapes(shape)
    time_s, at = _cut(floats, 0, of_fleet[0])
    latent, at = _cut(floats, at, of_fleet[1])
    machines, at = _cut(floats, at, of_fleet[2])
    rates, at = _cut(floats, at, of_fleet[3])
    tasks, at = _cut(floats, at, of_fleet[4])
    edge_bits, at = _cut(floats, at, of_fleet[5])
    scale_s, at = _cut(floats, at, of_fleet[6])
    true, at = _cut_view(floats, at, of_view)
    seen = true
    if shape.noisy:
        seen, at = _cut_view(floats, at, of_view)
    of_ints = _int_shapes(shape)
    episode, at = _cut(ints, 0, of_ints[0])
    epoch, at = _cut(ints, at, of_ints[1])
    task_counts, at = _cut(ints, at, of_ints[2])
    edge_start, at = _cut(ints, at, of_ints[3])
    edge_parent, at = _cut(ints, at, of_ints[4])
    done, at = _cut(ints, at, of_ints[5])
    task, at = _cut(ints, at, of_ints[6])
    decision, at = _cut(ints, at, of_ints[7])
    has_child = flags.reshape((shape.num_envs, shape.num_tasks))
    return Fleet(
        keys, episode, epoch, time_s, latent, machines, rates, tasks, task_counts, edge_start, edge_parent, edge_bits,
        has_child, scale_s, true, seen, done, task, decision,
    )  # fmt: skip


class Settings(NamedTuple):
    """Sizes, shape and rules as two arrays.

    ``ints``: the 4 sizes, the 7 numbers of the shape, then objective, num_epochs, carry_over and joint of the rules;
    ``floats``: their correlation, epoch_s and noise, then power (4,).
    """

    ints: NDArray[np.int64]
    floats: NDArray[np.float64]


def as_settings(sizes: Sizes, shape: Shape, rules: Rules) -> Settings:
    """What ``_settings`` unpacks."""
    integers = (rules.objective, rules.num_epochs, rules.carry_over, rules.joint)
    return Settings(
        np.array([*sizes, *shape, *integers], dtype=np.int64),
        np.array([rules.correlation, rules.epoch_s, rules.noise, *rules.power]),
    )


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _settings(ints, floats):
    sizes = Sizes(ints[0], ints[1], ints[2], ints[3])
    shape = Shape(ints[4], ints[5], ints[6], ints[7], ints[8], ints[9], ints[10] > 0)
    rules = Rules(floats[0], floats[1], ints[11], ints[12], ints[13] > 0, floats[2], ints[14] > 0, floats[3:])
    return sizes, shape, rules


def new_buffers(shape: Shape, dependent: bool) -> Buffers:
    """Room for a fleet; no environment has begun."""
    of_fleet, of_view = _float_shapes(shape)
    num_floats = sum(map(math.prod, of_fleet)) + (2 if shape.noisy else 1) * sum(map(math.prod, of_view))
    num_ints = sum(map(math.prod, _int_shapes(shape)))
    return Buffers(
        np.zeros(num_floats), np.zeros(num_ints, dtype=np.int64),
        np.zeros(shape.num_envs * shape.num_tasks, dtype=np.bool_), np.zeros(shape.num_envs, dtype=np.uint64),
        new_links(shape.num_envs, shape.num_tasks, dependent),
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _problem(fleet, view, b, count):
    """The epoch of environment ``b``; what lies behind its tasks and edges is never read."""
    return Problem(
        view.times[b, :count], fleet.edge_start[b], fleet.edge_parent[b], fleet.has_child[b], view.moves[b],
        view.prices[b],
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _observe(fleet, links, view, b, priced, out):
    """Write what the policy sees of environment ``b`` before its next task."""
    n, count = fleet.tasks.shape[1], fleet.task_counts[b]
    problem = _problem(fleet, view, b, count)
    start = Start(fleet.task[b], view.sums[b, RADIO_S], view.sums[b, LARGEST_S], view.free_s[b])
    epoch = Epoch(view.locations[b], fleet.scale_s[b])
    links = links_of(links, b, count)
    write_observation(problem, fleet.decision[b], start, epoch, links, view.finish_s[b], n, out)
    if priced:
        write_prices(problem, out)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _draw(parameters, sizes, rules, fleet, b, u, has_edge):
    """Draw the epoch that ``fleet.epoch`` says; queues carry over where the rules say so."""
    true = fleet.true
    left = rules.carry_over and fleet.done[b] > 0
    backlog_s = u[: true.core_backlog_s.shape[1]].reshape((-1, 1))  # read once all numbers in ``u`` are used
    fleet.task_counts[b], radio_backlog_s, fleet.time_s[b] = draw_epoch(
        parameters, sizes, rules.correlation, rules.epoch_s, fleet.key[b], fleet.episode[b], fleet.epoch[b],
        fleet.time_s[b], u, fleet.latent[b], fleet.machines[b], fleet.rates[b], fleet.tasks[b], true.locations[b],
        backlog_s, fleet.edge_start[b], fleet.edge_parent[b], fleet.edge_bits[b], has_edge,
    )  # fmt: skip
    if left:
        # What the radio was found busy with is part of what it is still busy with: the later of the two counts.
        radio_backlog_s = max(radio_backlog_s, true.sums[b, RADIO_S] - rules.epoch_s)
    true.radio_backlog_s[b] = radio_backlog_s
    for k in range(true.core_backlog_s.shape[1]):
        for m in range(true.core_backlog_s.shape[2]):
            free_s = backlog_s[k, 0]
            if left and true.free_s[b, k, m] < np.inf:
                free_s = max(free_s, true.free_s[b, k, m] - rules.epoch_s)
            true.core_backlog_s[b, k, m] = free_s


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _see(fleet, b, noise, u):
    """Fill what the policy sees of an epoch that was drawn, with estimates of rates and backlogs."""
    true, seen = fleet.true, fleet.seen
    num_locations = true.locations.shape[1]
    normal = u[: 2 + num_locations]
    draw_noise(fleet.key[b], fleet.episode[b], fleet.epoch[b], normal)
    copy_table(true.locations[b], seen.locations[b])
    for k in range(num_locations):
        for column in (UPLINK, DOWNLINK):
            seen.locations[b, k, column] *= math.exp(noise * normal[0])
        for m in range(true.core_backlog_s.shape[2]):
            seen.core_backlog_s[b, k, m] = true.core_backlog_s[b, k, m] * math.exp(noise * normal[2 + k])
    seen.radio_backlog_s[b] = true.radio_backlog_s[b] * math.exp(noise * normal[1])


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _open(rules, fleet, links, b, core_s):
    """Prepare the epoch of environment ``b`` that was drawn."""
    true, seen = fleet.true, fleet.seen
    count = fleet.task_counts[b]
    blank = Problem(
        seen.times[b], fleet.edge_start[b], fleet.edge_parent[b], fleet.has_child[b], seen.moves[b], seen.prices[b]
    )
    problem = view_problem(count, fleet.edge_start[b], fleet.edge_parent[b], blank)
    decision = fleet.decision[b]
    fill_problem(fleet.tasks[b], seen.locations[b], fleet.edge_bits[b], problem)
    start_schedule(seen.locations[b], seen.core_backlog_s[b], core_s)
    room = Room(seen.finish_s[b], seen.free_s[b])
    fleet.scale_s[b] = epoch_scale(problem, seen.radio_backlog_s[b], core_s, decision, room)
    copy_table(core_s, room.free_s)
    for i in range(len(decision)):
        decision[i] = -1
    fleet.task[b] = 0
    for column in range(OUTCOME_S + 1):
        true.sums[b, column] = seen.sums[b, column] = 0.0
    true.sums[b, RADIO_S], seen.sums[b, RADIO_S] = true.radio_backlog_s[b], seen.radio_backlog_s[b]
    fill_links(problem, links_of(links, b, count))
    if is_priced(rules.objective):
        fill_prices(rules.power, seen.locations[b], problem)
    if rules.noise != 0.0:
        truth = Problem(
            true.times[b, :count], problem.edge_start, problem.edge_parent, problem.has_child,
            true.moves[b, : len(problem.moves)], true.prices[b],
        )  # fmt: skip
        fill_problem(fleet.tasks[b], true.locations[b], fleet.edge_bits[b], truth)
        start_schedule(true.locations[b], true.core_backlog_s[b], true.free_s[b])


@njit(cache=True, nogil=True, error_model="numpy")
def _place(problem, decision, first, last, objective, sums, room):
    """Place the tasks ``first``, ..., ``last - 1`` of one environment in a view."""
    tally = Tally(sums[RADIO_S], sums[VALUE_S], sums[LARGEST_S], sums[RUN_S], sums[SENT_S])
    tally = place_tasks(problem, decision, first, last, tally, objective, room)
    for column, amount_s in enumerate(tally):
        sums[column] = amount_s


@njit(cache=True, nogil=True, error_model="numpy")
def step_fleet(
    parameters, settings_ints, settings_floats, floats, ints, flags, keys, links, start, stop, orders, actions,
    observations, results,
):  # fmt: skip
    """One step of the environments ``start``, ..., ``stop - 1``.

    Args:
        parameters: of the scenario; see ``scenario_parameters``.
        settings_ints: see ``Settings``.
        settings_floats: see ``Settings``.
        floats: see ``Buffers``, the state of the fleet, like the next four.
        ints: see above.
        flags: see above.
        keys: see above.
        links: see above.
        start: first environment.
        stop: one after the last environment.
        orders: (N,) STEP, BEGIN (draw the machines and the first epoch of the episode that ``fleet.episode`` says; the
            action is ignored), or LEAVE (do nothing).
        actions: (N, n) where a step places all tasks, else (N, 1).
        observations: (N, size) float32; written but where an environment is left.
        results: (N, 6) REWARD; REACHED_S, MAKESPAN_S and ENERGY_J, of an epoch that ENDED (1, else 0); OVER, whether
            the episode did. Written but where an environment is left; 0 where it begins.

    Returns:
        The first of these environments whose action is no location, or -1. Then none of them has been stepped.
    """
    sizes, shape, rules = _settings(settings_ints, settings_floats)
    num_locations, n = shape.num_locations, shape.num_tasks
    for b in range(start, stop):
        if orders[b] == STEP:
            for i in range(actions.shape[1]):
                if actions[b, i] < 0 or actions[b, i] >= num_locations:
                    return b
    fleet = as_fleet(shape, Buffers(floats, ints, flags, keys, links))
    true, seen, noisy = fleet.true, fleet.seen, rules.noise != 0.0
    core_s = np.empty((num_locations, shape.max_cores))
    u = np.empty(max(sizes.machines, sizes.tasks, 2 + num_locations))
    has_edge = np.empty((n, n) if parameters.graph_jump > 0 else (0, 0), dtype=np.bool_)
    for b in range(start, stop):
        if orders[b] == LEAVE:
            continue
        result = results[b]
        for column in range(OVER + 1):
            result[column] = 0.0
        num_draws = 0
        if orders[b] == BEGIN:
            fleet.epoch[b] = -1
            fleet.done[b] = 0
            num_draws = 2 if rules.noise == LAST else 1  # there must be a last measurement
        else:
            first, count = fleet.task[b], fleet.task_counts[b]
            last = count if rules.joint else first + 1
            decision = fleet.decision[b]
            for i in range(first, last):
                decision[i] = actions[b, i - first]
            sums = true.sums[b]
            problem, room = _problem(fleet, true, b, count), Room(true.finish_s[b], true.free_s[b])
            _place(problem, decision, first, last, rules.objective, sums, room)
            if noisy:
                problem, room = _problem(fleet, seen, b, count), Room(seen.finish_s[b], seen.free_s[b])
                _place(problem, decision, first, last, rules.objective, seen.sums[b], room)
            run_w = rules.power[KAPPA] * true.locations[b, 0, CPU] ** 3
            energy_j = run_w * sums[RUN_S] + rules.power[TRANSMIT] * sums[SENT_S] + rules.power[IDLE] * sums[LARGEST_S]
            value_s = outcome(rules.objective, sums[VALUE_S], count, rules.power[ENERGY_WEIGHT] * energy_j)
            result[REWARD] = sums[OUTCOME_S] - value_s
            sums[OUTCOME_S] = value_s
            fleet.task[b] = last
            if last == count:
                result[REACHED_S], result[MAKESPAN_S], result[ENERGY_J], result[ENDED] = (
                    value_s,
                    sums[LARGEST_S],
                    energy_j,
                    1.0,
                )
                fleet.done[b] += 1
                result[OVER] = 1.0 if rules.num_epochs > 0 and fleet.done[b] >= rules.num_epochs else 0.0
                num_draws = 1
        for _ in range(num_draws):
            fleet.epoch[b] += 1
            if rules.noise == LAST:
                copy_table(true.locations[b], seen.locations[b])
                copy_table(true.core_backlog_s[b], seen.core_backlog_s[b])
                seen.radio_backlog_s[b] = true.radio_backlog_s[b]
            _draw(parameters, sizes, rules, fleet, b, u, has_edge)
        if num_draws > 0:
            if rules.noise > 0.0:
                _see(fleet, b, rules.noise, u)
            _open(rules, fleet, links, b, core_s)
        _observe(fleet, links, seen, b, is_priced(rules.objective), observations[b])
    return -1


def check_arguments(num_epochs: int | None, carry_over: bool, observation_noise: float | str) -> None:
    """ValueError where an argument that all environments take is out of its bounds."""
    if num_epochs is not None:
        check_count("num_epochs", num_epochs)
    if not isinstance(carry_over, bool):
        raise ValueError(f"carry_over is {carry_over!r}; it must be True or False")
    check_noise("observation_noise", observation_noise)


def fleet_of(
    scenario: Scenario,
    num_envs: int,
    objective: str,
    num_epochs: int | None,
    carry_over: bool,
    observation_noise: float | str,
    joint: bool,
) -> tuple[Rules, Shape]:
    """Rules and shape of a fleet; ValueError where the objective is unknown."""
    noise = LAST if isinstance(observation_noise, str) else float(observation_noise)
    rules = Rules(
        scenario.correlation, scenario.epoch_s, objective_code(objective), num_epochs or 0, carry_over, noise, joint,
        np.array(scenario.power),
    )  # fmt: skip
    n, max_cores = scenario.most_tasks, max(scenario.cores)
    _, sizes = scenario_parameters(scenario)
    shape = Shape(
        num_envs, n, scenario.num_locations, max_cores, max_cores if carry_over else 1, sizes.num_edges,
        noise != 0,
    )  # fmt: skip
    return rules, shape


def epochs_of(fleet: Fleet, view: View, power: NDArray[np.float64]) -> Instances:
    """The epochs to be decided as a batch of N instances, as they are or as the policy sees them."""
    batch = Batch(
        tasks=fleet.tasks.copy(),
        locations=view.locations.copy(),
        core_backlog_s=view.core_backlog_s.copy(),
        radio_backlog_s=view.radio_backlog_s.copy(),
        task_counts=fleet.task_counts.copy(),
        edge_start=fleet.edge_start.copy(),
        edge_parent=fleet.edge_parent.copy(),
        edge_bits=fleet.edge_bits.copy(),
        power=np.tile(power, (len(fleet.tasks), 1)),
    )
    return as_instances(batch)


def action_masks_of(fleet: Fleet, joint: bool) -> NDArray[np.bool_]:
    """Which actions are of use: (N, K), or (N, n * K) where a step places all tasks, K in a row for each of them.

    Every location can always be reached, so a task may go anywhere. Of a missing task only location 0 is, one of the
    actions that all do the same.
    """
    num_envs, n = fleet.decision.shape
    num_locations = fleet.machines.shape[1]
    if not joint:  # the task to be placed is never a missing one
        return np.ones((num_envs, num_locations), dtype=np.bool_)
    masks = np.ones((num_envs, n, num_locations), dtype=np.bool_)
    masks[:, :, 1:] = (np.arange(n) < fleet.task_counts[:, None])[:, :, None]
    return masks.reshape(num_envs, n * num_locations)
