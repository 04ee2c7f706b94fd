"""The delay model: the one place where it is written.

Times are in seconds from the decision. A task at a remote location passes four stages, whose durations
``stage_times`` computes: the device's one radio sends its input (SEND), which crosses the wired path (PATH), the task
runs on a core (RUN), and its result comes back (RETURN). On the device only RUN is not zero. Where tasks depend on each
other, what a parent made moves to its child instead of an input: ``move_times``. ``place`` adds one task to a schedule;
every kernel of the package (latency, environments, observation, solvers) is a loop over these functions.

A ``Problem`` holds the durations of one instance, ``decision`` (n,) where its tasks are. A schedule of the first tasks
that is there to be read is a ``Start``; what is written while tasks are placed is a ``Room``. Kernels take them in one
order: problem, decision, start, options, room. What an objective adds up is said by ``accumulate`` and the rules
beside it, and nowhere else.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import ArrayLike, NDArray

from offload_gym.checks import is_whole, quoted
from offload_gym.compilation import inlined, kernel
from offload_gym.instances import (
    CORES,
    CPU,
    DOWNLINK,
    ENERGY_WEIGHT,
    IDLE,
    INPUT,
    KAPPA,
    OUTPUT,
    PROPAGATION,
    TRANSMIT,
    UPLINK,
    WIRED,
    WORKLOAD,
    Batch,
    Instances,
    check_instances,
)
from offload_gym.lending import lent

SEND, PATH, RUN, RETURN = range(4)

#: What can be minimised; ``latency`` says what each is.
OBJECTIVES = ("makespan", "mean", "cost")
MAKESPAN, MEAN, COST = range(3)
#: What the largest completion and the sum of them tell: the objectives of networks, roll-outs and cells.
COMPLETION_OBJECTIVES = ("makespan", "mean")
_CODES = {objective: code for code, objective in enumerate(OBJECTIVES)}


def objective_code(objective: str) -> int:
    """The kernels' number of an objective; ValueError where the name is unknown."""
    try:
        return _CODES[objective]
    except (KeyError, TypeError):
        raise ValueError(f"objective is {quoted(objective)}; it must be one of {', '.join(OBJECTIVES)}") from None


# The rules of the objectives take numbers, so a call costs nothing; Python can call them, too. Not
# ``register_jitable(inline="always")``: after it numba drops what a kernel stores in arrays that it found in a tuple.
@register_jitable
def adds(objective):
    """Whether the value of a schedule is the sum of its completions, else the largest one."""
    return objective == MEAN


@register_jitable
def is_priced(objective):
    """Whether the value of a schedule has the price of energy in it: ``energy_price`` of each task."""
    return objective == COST


@register_jitable
def accumulate(objective, value_s, completion_s):
    """The value of a schedule, without its price, once a task is in it; an empty schedule has the value 0.

    Solvers rely on this: it falls neither with the value so far nor with the completion.
    """
    return value_s + completion_s if adds(objective) else max(value_s, completion_s)


@register_jitable
def is_told(objective):
    """Whether the largest completion and the sum of them tell the value: then ``value_of`` does."""
    return objective in (MAKESPAN, MEAN, COST)


@register_jitable
def value_of(objective, largest_s, total_s):
    """What ``accumulate`` makes of completions whose largest and whose sum are known, if ``is_told``; arrays, too."""
    return total_s if adds(objective) else largest_s


@register_jitable
def latest_completion(objective, limit_s, value_s):
    """From which completion on the next task brings a schedule of this value to ``limit_s``."""
    return limit_s - value_s if adds(objective) else limit_s


@register_jitable
def seconds(objective, value_s, count, power):
    """The objective in seconds of a value, with its price, of a schedule of ``count`` tasks."""
    if adds(objective):
        return value_s / count
    # A quotient, as it was when the digests of the labels were recorded.
    return value_s / (1.0 / cost_per_makespan(power)) if is_priced(objective) else value_s


@register_jitable
def outcome(objective, value_s, count, energy_s):
    """The objective in seconds of a value without a price, and the device's energy in seconds; numbers or arrays."""
    value_s = value_s / count if adds(objective) else value_s
    return value_s + energy_s if is_priced(objective) else value_s


class Problem(NamedTuple):
    """One instance as durations in seconds; n tasks, K locations, E edges."""

    times: NDArray[np.float64]  # (n, K, 4) stage times of each task at each location
    edge_start: NDArray[np.int64]  # (n + 1,) the edges into task i are edge_start[i], ..., edge_start[i + 1] - 1
    edge_parent: NDArray[np.int64]  # (E,)
    has_child: NDArray[np.bool_]  # (n,)
    moves: NDArray[np.float64]  # (E, K, K, 2) send and path time from the parent's location to the child's
    # (2,) under the objective "cost", what a second of run time on the device and a second of sending cost, in terms of
    # a second of makespan; 0 unless ``fill_prices`` was called
    prices: NDArray[np.float64]


class Start(NamedTuple):
    """A schedule of the tasks before ``first``: read, never written."""

    first: int
    radio_s: float  # when the radio is free
    value_s: float  # of the schedule, without a price
    core_s: NDArray[np.float64]  # (K, max_cores) when each core is free, infinite where the location has fewer cores


class Room(NamedTuple):
    """What is written while tasks are placed."""

    finish_s: NDArray[np.float64]  # (n,) of each task placed; those of the tasks before a start are read
    free_s: NDArray[np.float64]  # (K, max_cores) when each core is free, as in ``Start.core_s``


class Placed(NamedTuple):
    """A task at a location, next in a schedule."""

    radio_s: float  # when the radio is free
    core: int
    start_s: float
    finish_s: float
    completion_s: float
    send_start_s: float  # when the radio sends its first bit, infinite where it sends nothing


class Tally(NamedTuple):
    """What a schedule adds up to."""

    radio_s: float  # when the radio is free
    value_s: float  # without a price
    makespan_s: float
    run_s: float  # time that the device's CPU runs
    send_s: float  # time that its radio sends


class Pace(NamedTuple):
    """What a location takes: seconds a cycle, and on the way to it."""

    cycle_s: float
    uplink_s: float  # a bit, like the next two
    downlink_s: float
    wired_s: float
    propagation_s: float


NUM_PACES = len(Pace._fields)


class Workspace(NamedTuple):
    """Memory for one instance of a batch at a time."""

    problem: Problem
    core_s: NDArray[np.float64]  # (K, max_cores)
    room: Room


# Inlined, as ``place`` is: a call would pass arrays one by one, which takes longer than the work itself.
@inlined
def paces(location, k):
    """What location ``k`` of (K, 6) takes, a ``Pace``.

    Durations are products with these everywhere, so that all kernels agree to the last bit; a division takes five times
    as long as a product.
    """
    if k == 0:  # no path leads there, whatever stands in its other columns
        return Pace(1.0 / location[k, CPU], 0.0, 0.0, 0.0, 0.0)
    return Pace(
        1.0 / location[k, CPU],
        1.0 / location[k, UPLINK],
        1.0 / location[k, DOWNLINK],
        1.0 / location[k, WIRED],
        location[k, PROPAGATION],
    )


@inlined
def pace_at(pace, k):
    """Row ``k`` of (K, NUM_PACES), a ``Pace``."""
    return Pace(pace[k, 0], pace[k, 1], pace[k, 2], pace[k, 3], pace[k, 4])


@inlined
def stage_times(task, i, k, pace, is_entry, is_exit):
    """(send, path, run, return) seconds of task ``i`` of (n, 3) at location ``k``, whose ``paces`` are given.

    Only an entry task sends, only an exit task returns.
    """
    cycle_s, uplink_s, downlink_s, wired_s, propagation_s = pace
    send_s, path_s, return_s = 0.0, 0.0, 0.0
    if k > 0 and is_entry:
        send_s = task[i, INPUT] * uplink_s
        path_s = task[i, INPUT] * wired_s + propagation_s
    if k > 0 and is_exit:
        return_s = task[i, OUTPUT] * downlink_s + (task[i, OUTPUT] * wired_s + propagation_s)
    return send_s, path_s, task[i, WORKLOAD] * cycle_s, return_s


@inlined
def send_input(send_s, path_s, k, radio_s):
    """When the radio has sent an input to ``k``, and when the task there is ready.

    Choices of a value rather than branches, which a processor cannot foresee: on the device the send time is 0.
    """
    radio_s += send_s
    return radio_s, radio_s + path_s if k > 0 else 0.0


@inlined
def first_core(free_s, k, cores):
    """Of the first ``cores`` of location ``k`` the one that is free first, the lowest on a tie, and when it is."""
    core, least_s = 0, free_s[k, 0]
    for m in range(1, cores):
        if free_s[k, m] < least_s:
            core, least_s = m, free_s[k, m]
    return core, least_s


@inlined
def move_between(bits, source, target, behind, ahead):
    """Send time on the radio, and time from then on, of ``bits`` from one location to another, of these paces."""
    send_s = path_s = 0.0
    if source != target:
        if source == 0:
            send_s = bits * ahead.uplink_s
        else:
            path_s = bits * behind.wired_s + behind.propagation_s
        if target == 0:
            path_s += bits * behind.downlink_s
        else:
            path_s += bits * ahead.wired_s + ahead.propagation_s
    return send_s, path_s


@kernel
def move_times(bits, locations, source, target, move):
    """Fill ``move`` (2,) with ``move_between``."""
    move[SEND], move[PATH] = move_between(bits, source, target, paces(locations, source), paces(locations, target))


@kernel
def new_problem(n, num_locations, num_edges):
    """A ``Problem`` with room for one instance of up to ``n`` tasks and ``num_edges`` edges."""
    return Problem(
        np.empty((n, num_locations, 4)),
        np.empty(n + 1, dtype=np.int64),
        np.empty(num_edges, dtype=np.int64),
        np.empty(n, dtype=np.bool_),
        np.empty((num_edges, num_locations, num_locations, 2)),
        np.zeros(2),
    )


@kernel
def view_problem(count, edge_start, edge_parent, room):
    """The part of ``room`` that an instance of ``count`` tasks with these edges takes, its durations not filled yet."""
    num_edges = edge_start[count]
    has_child = room.has_child[:count]
    for i in range(count):
        has_child[i] = False
    for e in range(num_edges):
        has_child[edge_parent[e]] = True
    return Problem(
        room.times[:count],
        edge_start[: count + 1],
        edge_parent[:num_edges],
        has_child,
        room.moves[:num_edges],
        room.prices,
    )


@kernel
def cost_per_makespan(power):
    """What a second of makespan costs in seconds, as the device idles along; ``power`` (4,) is of one instance."""
    return 1.0 + power[ENERGY_WEIGHT] * power[IDLE]


@kernel
def fill_prices(power, location, problem):
    """Fill the prices of one instance from ``power`` (4,) and its ``location`` (K, 6)."""
    weight = power[ENERGY_WEIGHT] / cost_per_makespan(power)
    problem.prices[0] = weight * power[KAPPA] * location[0, CPU] ** 3
    problem.prices[1] = weight * power[TRANSMIT]


@kernel
def fill_problem(task, locations, edge_bits, problem):
    """Fill the durations of one instance."""
    times, edge_start, _, has_child, moves, _ = problem
    n, num_locations = times.shape[:2]
    pace = np.empty((num_locations, NUM_PACES))
    for k in range(num_locations):
        of_k = paces(locations, k)
        for column, amount in enumerate(of_k):
            pace[k, column] = amount
        for i in range(n):
            is_entry = edge_start[i] == edge_start[i + 1]
            send_s, path_s, run_s, return_s = stage_times(task, i, k, of_k, is_entry, not has_child[i])
            times[i, k, SEND], times[i, k, PATH], times[i, k, RUN], times[i, k, RETURN] = (
                send_s,
                path_s,
                run_s,
                return_s,
            )
    for e in range(len(moves)):
        bits = edge_bits[e]
        for source in range(num_locations):
            behind = pace_at(pace, source)
            for target in range(num_locations):
                ahead = pace_at(pace, target)
                moves[e, source, target, SEND], moves[e, source, target, PATH] = move_between(
                    bits, source, target, behind, ahead
                )


@kernel
def fill_decided(task, locations, edge_bits, decision, i, problem):
    """Fill what the place of task ``i`` by ``decision`` needs of the durations of one instance."""
    k = decision[i]
    first, last = problem.edge_start[i], problem.edge_start[i + 1]
    times = problem.times
    times[i, k, SEND], times[i, k, PATH], times[i, k, RUN], times[i, k, RETURN] = stage_times(
        task, i, k, paces(locations, k), first == last, not problem.has_child[i]
    )
    for e in range(first, last):
        source = decision[problem.edge_parent[e]]
        move_times(edge_bits[e], locations, source, k, problem.moves[e, source, k])


@inlined
def open_problem(batch, b, blank):
    """Instance ``b`` of a batch as a ``Problem`` in the room of ``blank``."""
    problem = view_problem(batch.task_counts[b], batch.edge_start[b], batch.edge_parent[b], blank)
    fill_problem(batch.tasks[b], batch.locations[b], batch.edge_bits[b], problem)
    fill_prices(batch.power[b], batch.locations[b], problem)
    return problem


@kernel
def start_schedule(locations, backlog_s, free_s):
    """Fill ``free_s`` (K, max_cores) with the backlog of one instance: the schedule before its first task."""
    per_core = backlog_s.shape[1] > 1
    for k in range(free_s.shape[0]):
        cores = int(locations[k, CORES])
        for m in range(free_s.shape[1]):
            if m >= cores:
                free_s[k, m] = np.inf
            else:
                free_s[k, m] = backlog_s[k, m] if per_core else backlog_s[k, 0]


@kernel
def most_cores(locations):
    """The most cores that a location of (B, K, 6) has."""
    cores = 1
    for b in range(locations.shape[0]):
        for k in range(locations.shape[1]):
            cores = max(cores, int(locations[b, k, CORES]))
    return cores


@inlined
def new_workspace(batch):
    """A ``Workspace`` for the instances of a ``Batch``."""
    n, num_locations, cores = batch.tasks.shape[1], batch.locations.shape[1], most_cores(batch.locations)
    problem = new_problem(n, num_locations, batch.edge_parent.shape[1])
    core_s = np.empty((num_locations, cores))
    return Workspace(problem, core_s, Room(np.empty(n), np.empty_like(core_s)))


@inlined
def open_instance(batch, b, work):
    """Instance ``b`` of a batch in a workspace: its ``Problem``, and the ``Start`` before its first task."""
    start_schedule(batch.locations[b], batch.core_backlog_s[b], work.core_s)
    return open_problem(batch, b, work.problem), Start(0, batch.radio_backlog_s[b], 0.0, work.core_s)


@inlined
def open_decision(batch, b, decisions):
    """The decision of instance ``b``, (tasks of the instance,), in ``decisions`` (B, n), where padding is set to 0."""
    count = batch.task_counts[b]
    for i in range(count, decisions.shape[1]):
        decisions[b, i] = 0
    return decisions[b, :count]


@inlined
def copy_row(source, target):
    """``target[:] = source`` of one dimension, which takes seconds to compile: of that, most is how it tells errors."""
    for j in range(len(target)):
        target[j] = source[j]


@inlined
def copy_table(source, target):
    """``target[:] = source`` of two dimensions; see ``copy_row``."""
    for k in range(target.shape[0]):
        for m in range(target.shape[1]):
            target[k, m] = source[k, m]


@inlined
def place(problem, decision, i, k, radio_s, room):
    """Task ``i`` at location ``k``, next in the schedule in ``room`` whose radio is free from ``radio_s``: ``Placed``.

    Changes nothing; ``take`` does.
    """
    ready_s, send_start_s = 0.0, np.inf
    first, last = problem.edge_start[i], problem.edge_start[i + 1]
    if first == last:
        send_start_s = radio_s if k > 0 else np.inf
        radio_s, ready_s = send_input(problem.times[i, k, SEND], problem.times[i, k, PATH], k, radio_s)
    for e in range(first, last):
        parent = problem.edge_parent[e]
        source = decision[parent]
        arrival_s = room.finish_s[parent]
        if source == 0 and k > 0:
            radio_s = max(radio_s, arrival_s)
            send_start_s = min(send_start_s, radio_s)
            radio_s += problem.moves[e, source, k, SEND]
            arrival_s = radio_s
        ready_s = max(ready_s, arrival_s + problem.moves[e, source, k, PATH])
    core, start_s = first_core(room.free_s, k, room.free_s.shape[1])
    start_s = max(ready_s, start_s)
    end_s = start_s + problem.times[i, k, RUN]
    return Placed(radio_s, core, start_s, end_s, end_s + problem.times[i, k, RETURN], send_start_s)


@inlined
def take(room, i, k, placed):
    """Keep task ``i`` where ``place`` tried it: its core is taken until it finishes. The caller has its location."""
    room.finish_s[i] = placed.finish_s
    room.free_s[k, placed.core] = placed.finish_s


@inlined
def try_sorted(times, i, k, radio_s, core_s):
    """(radio free, finish, completion) of an independent task ``i`` if it is placed at ``k`` next.

    The rule of ``place`` where cores need no names: a location is the ascending times at which its cores are free, of
    which only the first, ``core_s``, counts.
    """
    radio_s, ready_s = send_input(times[i, k, SEND], times[i, k, PATH], k, radio_s)
    finish_s = max(ready_s, core_s) + times[i, k, RUN]
    return radio_s, finish_s, finish_s + times[i, k, RETURN]


@inlined
def take_sorted(free_s, first, last, finish_s):
    """The first core of a location is taken until ``finish_s``; its times stay ascending.

    Its cores are ``first``, ..., ``last - 1`` of ``free_s``, a row of the cores of all locations.
    """
    while first + 1 < last and free_s[first + 1] < finish_s:
        free_s[first] = free_s[first + 1]
        first += 1
    free_s[first] = finish_s


@inlined
def device_times(problem, decision, i, k):
    """How long task ``i`` at ``k`` takes the device's CPU, and how long its radio: (run, send) in seconds."""
    if k == 0:
        return problem.times[i, 0, RUN], 0.0
    send_s = problem.times[i, k, SEND]
    for e in range(problem.edge_start[i], problem.edge_start[i + 1]):
        if decision[problem.edge_parent[e]] == 0:
            send_s += problem.moves[e, 0, k, SEND]
    return 0.0, send_s


@inlined
def energy_price(problem, decision, i, k):
    """What the energy of task ``i`` at ``k`` adds to a value with a price, in terms of a second of makespan."""
    run_s, send_s = device_times(problem, decision, i, k)
    return problem.prices[0] * run_s + problem.prices[1] * send_s


@inlined
def extend(problem, decision, start, objective, room):
    """Place task ``start.first`` where ``decision`` has it, behind the schedule in ``room``: the ``Start`` after it."""
    i = start.first
    placed = place(problem, decision, i, decision[i], start.radio_s, room)
    take(room, i, decision[i], placed)
    value_s = accumulate(objective, start.value_s, placed.completion_s)
    return Start(i + 1, placed.radio_s, value_s, room.free_s)


@inlined
def place_tasks(problem, decision, first, last, tally, objective, room):
    """Place tasks ``first``, ..., ``last - 1`` behind the schedule in ``room``; the ``Tally`` with them in it."""
    radio_s, value_s, makespan_s, run_s, send_s = tally
    for i in range(first, last):
        k = decision[i]
        placed = place(problem, decision, i, k, radio_s, room)
        take(room, i, k, placed)
        radio_s = placed.radio_s
        value_s = accumulate(objective, value_s, placed.completion_s)
        makespan_s = max(makespan_s, placed.completion_s)
        on_device_s, on_radio_s = device_times(problem, decision, i, k)
        run_s += on_device_s
        send_s += on_radio_s
    return Tally(radio_s, value_s, makespan_s, run_s, send_s)


@inlined
def evaluate(problem, decision, start, objective, room):
    """Value of one instance's ``decision`` behind ``start``, with the price of the tasks from ``start.first`` on."""
    copy_table(start.core_s, room.free_s)
    radio_s, value_s = start.radio_s, start.value_s
    for i in range(start.first, len(decision)):
        k = decision[i]
        placed = place(problem, decision, i, k, radio_s, room)
        take(room, i, k, placed)
        radio_s = placed.radio_s
        value_s = accumulate(objective, value_s, placed.completion_s)
    if is_priced(objective):  # in a loop of its own, which leaves the one above short
        for i in range(start.first, len(decision)):
            value_s += energy_price(problem, decision, i, decision[i])
    return value_s


@kernel
def _schedules(arrays, decisions, cores, events):
    """Fill ``cores`` (B, n) and ``events`` (B, n, 5): send start, send end, start, finish, completion.

    Of a task that is not placed (-1) or is padding, the core is -1 and the events are NaN.
    """
    batch = lent(Batch(*arrays))
    memory = new_workspace(batch)
    for b in range(len(decisions)):
        work = lent(memory)
        room = work.room
        problem = view_problem(batch.task_counts[b], batch.edge_start[b], batch.edge_parent[b], work.problem)
        decision = decisions[b]
        start_schedule(batch.locations[b], batch.core_backlog_s[b], room.free_s)
        radio_s = batch.radio_backlog_s[b]
        for i in range(len(decision)):
            k = decision[i]
            if k < 0 or i >= batch.task_counts[b]:
                cores[b, i] = -1
                events[b, i] = np.nan
                continue
            fill_decided(batch.tasks[b], batch.locations[b], batch.edge_bits[b], decision, i, problem)
            placed = place(problem, decision, i, k, radio_s, room)
            take(room, i, k, placed)
            radio_s = placed.radio_s
            sends = placed.send_start_s < np.inf
            cores[b, i] = placed.core
            events[b, i, 0] = placed.send_start_s if sends else np.nan
            events[b, i, 1] = radio_s if sends else np.nan
            events[b, i, 2] = placed.start_s
            events[b, i, 3] = placed.finish_s
            events[b, i, 4] = placed.completion_s


def check_decisions(instances: Instances, decisions: ArrayLike) -> NDArray[np.int64]:
    """``decisions`` as an integer array (B, n); ValueError where a shape or a value does not fit ``instances``."""
    check_instances(instances)
    array, shape = _whole_numbers(decisions), instances.tasks.shape[:2]
    if array.shape != shape:
        raise ValueError(f"decisions has the shape {array.shape}; it must be {shape}, one location a task")
    if array.size and (array.min() < 0 or array.max() >= instances.num_locations):
        b, i = np.argwhere((array < 0) | (array >= instances.num_locations))[0]
        raise ValueError(f"decisions[{b}, {i}] is {array[b, i]}; it must be from 0 to {instances.num_locations - 1}")
    array = np.ascontiguousarray(array, dtype=np.int64)
    # A copy of what is read-only: for another type of array every kernel would be compiled anew.
    return array if array.flags.writeable else array.copy()


def _whole_numbers(decisions: ArrayLike) -> NDArray:
    try:
        array = np.asarray(decisions)
    except ValueError:
        raise ValueError("decisions has rows of different lengths; each must hold one location a task") from None
    if array.dtype.kind not in "iu":
        raise ValueError(f"decisions has the type {array.dtype}; it must hold integers")
    return array


@kernel
def _tallies(arrays, decisions, objective, value_s, amounts_s):
    """Fill what each instance's decision adds up to: ``value_s`` (B,), and ``amounts_s`` (B, 3).

    The amounts are makespan, run time on the device and send time, as in ``Tally``. The durations of a batch that is
    decided already are needed once, so only those of the decisions are computed.
    """
    batch = lent(Batch(*arrays))
    memory = new_workspace(batch)
    num_locations = batch.locations.shape[1]
    used, pace = np.empty(num_locations, dtype=np.int64), np.empty((num_locations, NUM_PACES))
    for b in range(len(decisions)):
        work = lent(memory)
        task, location, count = batch.tasks[b], batch.locations[b], batch.task_counts[b]
        if batch.edge_start[b, count] == 0 and batch.core_backlog_s.shape[2] == 1 and is_told(objective):
            tally = _tally_alike(batch, b, decisions[b], objective, used, pace, work.room.free_s)
        else:
            problem = view_problem(count, batch.edge_start[b], batch.edge_parent[b], work.problem)
            decision = decisions[b, :count]
            for i in range(count):
                fill_decided(task, location, batch.edge_bits[b], decision, i, problem)
            start_schedule(location, batch.core_backlog_s[b], work.room.free_s)
            none = Tally(batch.radio_backlog_s[b], 0.0, 0.0, 0.0, 0.0)
            tally = place_tasks(problem, decision, 0, count, none, objective, work.room)
        value_s[b] = tally.value_s
        amounts_s[b, 0], amounts_s[b, 1], amounts_s[b, 2] = tally.makespan_s, tally.run_s, tally.send_s


@inlined
def _tally_alike(batch, b, decision, objective, used, pace, free_s):
    """``place_tasks`` of an instance of independent tasks, whose cores at each location are alike.

    Such cores are taken one after the other, so that nothing has to be searched or filled before all of a location have
    been used. ``used`` (K,), ``pace`` (K, NUM_PACES) and ``free_s`` are scratch space.
    """
    task, location = batch.tasks[b], batch.locations[b]
    for k in range(len(used)):
        used[k] = 0
        for column, amount in enumerate(paces(location, k)):
            pace[k, column] = amount
    radio_s = batch.radio_backlog_s[b]
    total_s = makespan_s = run_s = sent_s = 0.0
    for i in range(batch.task_counts[b]):
        k = decision[i]
        send_s, path_s, duration_s, return_s = stage_times(task, i, k, pace_at(pace, k), True, True)
        radio_s, ready_s = send_input(send_s, path_s, k, radio_s)
        sent_s += send_s
        run_s += duration_s if k == 0 else 0.0
        core, start_s = used[k], batch.core_backlog_s[b, k, 0]
        if core < location[k, CORES]:
            used[k] = core + 1
        else:
            core, start_s = first_core(free_s, k, core)
        end_s = max(ready_s, start_s) + duration_s
        free_s[k, core] = end_s
        completion_s = end_s + return_s
        total_s += completion_s
        makespan_s = max(makespan_s, completion_s)
    return Tally(radio_s, value_of(objective, makespan_s, total_s), makespan_s, run_s, sent_s)


def _checked_tallies(
    instances: Instances, decisions: ArrayLike, objective: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What ``_tallies`` fills, for decisions that fit."""
    checked = check_decisions(instances, decisions)
    value_s, amounts_s = np.empty(len(checked)), np.empty((len(checked), 3))
    _tallies(instances.arrays, checked, objective, value_s, amounts_s)
    return value_s, amounts_s


def _energy_j(instances: Instances, amounts_s: NDArray[np.float64]) -> NDArray[np.float64]:
    makespan_s, run_s, send_s = amounts_s.T
    kappa, transmit_w, idle_w = instances.power[:, :ENERGY_WEIGHT].T
    return kappa * instances.cpu_hz[:, 0] ** 3 * run_s + transmit_w * send_s + idle_w * makespan_s


def completion_times(instances: Instances, decisions: ArrayLike) -> NDArray[np.float64]:
    """When the result of each task is on the device.

    Args:
        instances: B instances of n tasks and K locations.
        decisions: (B, n) integers from 0 to K - 1, the location of each task.

    Returns:
        (B, n) seconds after the decision; NaN for padding, where an instance has fewer than n tasks.

    Raises:
        ValueError: the decisions have another shape or a value out of range.
    """
    checked = check_decisions(instances, decisions)
    events = np.empty((*checked.shape, 5))
    _schedules(instances.arrays, checked, np.empty_like(checked), events)
    return events[:, :, 4]


def latency(instances: Instances, decisions: ArrayLike, objective: str = "makespan") -> NDArray[np.float64]:
    """Latency of decisions under an objective.

    Args:
        instances: B instances of n tasks and K locations.
        decisions: (B, n) integers from 0 to K - 1, the location of each task.
        objective: "makespan", the largest completion time; "mean", the mean over the tasks; or "cost", the makespan
            plus the device's energy times ``energy_weight_s_per_j``.

    Returns:
        (B,) seconds.

    Raises:
        ValueError: the decisions have another shape or a value out of range, or the objective is unknown.
    """
    code = objective_code(objective)
    value_s, amounts_s = _checked_tallies(instances, decisions, code)
    energy_s = instances.power[:, ENERGY_WEIGHT] * _energy_j(instances, amounts_s) if is_priced(code) else 0.0
    latency_s: NDArray[np.float64] = outcome(code, value_s, instances.task_counts, energy_s)
    return latency_s


def energy(instances: Instances, decisions: ArrayLike) -> NDArray[np.float64]:
    """Energy that the device takes for decisions: its CPU's, its radio's while it sends, and that of being idle.

    A cycle on the device takes ``kappa * cpu_hz**2`` joules, the usual model of dynamic CPU power; receiving results
    counts as idle.

    Args:
        instances: B instances of n tasks and K locations.
        decisions: (B, n) integers from 0 to K - 1, the location of each task.

    Returns:
        (B,) joules.

    Raises:
        ValueError: the decisions have another shape or a value out of range.
    """
    return _energy_j(instances, _checked_tallies(instances, decisions, MAKESPAN)[1])


def optimality_gap(latency_s: NDArray[np.float64], optimum_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Latency over the optimum, minus 1; where the optimum is 0, 0 if it is reached and infinite if not.

    Args:
        latency_s: (..., B) seconds.
        optimum_s: (B,) seconds.
    """
    gap = latency_s / np.where(optimum_s > 0, optimum_s, 1.0) - 1
    return np.where(optimum_s > 0, gap, np.where(latency_s > 0, np.inf, 0.0))


class Schedule(NamedTuple):
    """What happens when in one instance; n tasks without padding, K locations, seconds after the decision.

    A task that is not placed yet has location and core -1 and times NaN. Sending times are those of a task's data on
    the radio, from the first bit to the last, NaN where it sends none; between the data of several parents the radio
    may wait.

    Attributes:
        location: (n,) where each task runs.
        core: (n,) on which core of the location.
        send_start_s: (n,) when the radio begins with its data.
        send_end_s: (n,) when the radio has sent its data.
        start_s: (n,) when it begins to run.
        finish_s: (n,) when it has run.
        completion_s: (n,) when its result is on the device; of a task with children, when it has run.
        backlog_s: (K, max_cores) until when each core is busy before, infinite where the location has fewer cores.
        radio_backlog_s: until when the radio is.
    """

    location: NDArray[np.int64]
    core: NDArray[np.int64]
    send_start_s: NDArray[np.float64]
    send_end_s: NDArray[np.float64]
    start_s: NDArray[np.float64]
    finish_s: NDArray[np.float64]
    completion_s: NDArray[np.float64]
    backlog_s: NDArray[np.float64]
    radio_backlog_s: float


def schedule(instances: Instances, decision: ArrayLike, index: int = 0) -> Schedule:
    """The schedule of one instance.

    Args:
        instances: a batch of instances.
        decision: (n,) integers; -1 leaves a task out.
        index: which instance of the batch.

    Raises:
        ValueError: the decision has another shape or a value out of range, or there is no such instance.
    """
    check_instances(instances)
    if not is_whole(index) or not 0 <= index < len(instances):
        raise ValueError(f"index is {quoted(index)}; it must be a whole number from 0 to {len(instances) - 1}")
    one = instances[index : index + 1]
    given = _whole_numbers(decision)[None]
    unplaced = given == -1
    row = np.where(unplaced, -1, check_decisions(one, np.where(unplaced, 0, given)))
    row = np.ascontiguousarray(row[:, : one.task_counts[0]])  # without padding
    cores = np.empty(row.shape, dtype=np.int64)
    events = np.empty((*row.shape, 5))
    _schedules(one.arrays, row, cores, events)
    backlog_s = np.empty((one.num_locations, one.max_cores))
    batch = Batch(*one.arrays)
    start_schedule(batch.locations[0], batch.core_backlog_s[0], backlog_s)
    return Schedule(row[0], cores[0], *events[0].T, backlog_s, float(one.radio_backlog_s[0]))  # type: ignore[call-arg]
