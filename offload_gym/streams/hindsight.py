"""Decisions of someone who knows the whole future: local search over the decisions of a stream.

A move at job j changes nothing before j, so it is played from the queues that j finds. It is played until the queues
are those that the decisions so far lead to: from there on nothing differs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from offload_gym.checks import quoted
from offload_gym.compilation import inlined, kernel
from offload_gym.lending import lent
from offload_gym.solvers.parallel import for_each_chunk
from offload_gym.solvers.stopping import Budget, is_stopped, new_stop, raise_pending, watch_of
from offload_gym.streams.bounds import foreseen_decisions
from offload_gym.streams.engine import admit, advance
from offload_gym.streams.responses import check_can_lose, outcome_of
from offload_gym.streams.snapshots import UNKNOWN, copy_system, settled_cost, state_of
from offload_gym.streams.streams import NONE, StreamBatch, Streams, check_streams
from offload_gym.streams.system import DROPPED, System, begin, new_system, system_of, world_of

OBJECTIVES = ("response", "late")
LATE_S = 1e6  # what a late job counts in the objective "late", so that responses break ties only
LEAST_GAIN_S = 1e-6  # moves that gain less are not made: sums of responses are not better known than that
WINDOW = 10  # jobs that follow a job are close enough to move with it
STEPS = 250  # as ``is_stopped`` counts them, to play a job: of all later jobs, at most
CHUNK = 1  # streams that a thread takes at a time


class Marks(NamedTuple):
    """What the decisions so far lead to at the arrival of each of J jobs."""

    state: NDArray[np.uint64]  # (J,) a hash of all that later jobs meet, UNKNOWN where something is about to begin
    settled_s: NDArray[np.float64]  # (J,) what the jobs before it count, as far as it is settled by then


class Search(NamedTuple):
    """What is searched for, and how."""

    late_s: float  # seconds that a late job counts
    can_drop: bool
    window: int  # how many jobs apart two jobs that move together may be; 0: jobs move alone


@kernel
def _play_on(world, system, decisions, j, marks, best_s, late_s):
    """What the stream counts when the jobs from ``j`` on are decided as given; infinite where that is too much.

    Args:
        world: ``World``.
        system: ``System``, in which the jobs before ``j`` are admitted.
        decisions: (J, n).
        j: the first job that is admitted here.
        marks: ``Marks`` of decisions that are the same from ``j`` on.
        best_s: what these decisions count.
        late_s: seconds that a late job counts.
    """
    world, system = lent(world), lent(system)
    clock = system.clock[0]
    for i in range(j, len(world.jobs)):
        advance(world, system, world.jobs[i].arrival_s, None)
        if clock.in_system_js + late_s * clock.num_late >= best_s:
            return np.inf
        if marks.state[i] != UNKNOWN and state_of(world, system) == marks.state[i]:
            return best_s + (settled_cost(system, late_s) - marks.settled_s[i])
        admit(world, system, i, decisions[i])
    return _end(world, system, late_s)


@kernel
def _end(world, system, late_s):
    """What the stream counts after its last job was admitted; infinite where a job never completes."""
    advance(world, system, np.inf, None)
    clock = system.clock[0]
    return np.inf if clock.num_in_system > 0 else clock.in_system_js + late_s * clock.num_late


@kernel
def _mark(world, system, decisions, j, marks, late_s):
    """Fill the marks of the jobs from ``j`` on, before which ``system`` is; returns what the stream counts."""
    world, system = lent(world), lent(system)
    for i in range(j, len(world.jobs)):
        advance(world, system, world.jobs[i].arrival_s, None)
        marks.state[i], marks.settled_s[i] = state_of(world, system), settled_cost(system, late_s)
        admit(world, system, i, decisions[i])
    return _end(world, system, late_s)


@inlined
def _num_moves(num_tasks, num_locations, whole_only):
    """How many ways there are to decide a job anew, staying as it is among them; the last one drops it."""
    return num_locations + 1 + (0 if whole_only or num_tasks == 1 else num_tasks * num_locations)


@inlined
def _move(decision, num_tasks, num_locations, number, can_drop):
    """Decide a job anew, in place; returns whether that is another decision, and allowed."""
    if number > num_locations:
        number -= num_locations + 1
        i, k = number // num_locations, number % num_locations
        same = decision[i] == k or decision[0] == DROPPED
        decision[i] = k
        return not same
    k = number if number < num_locations else DROPPED
    same = True
    for i in range(num_tasks):
        same = same and decision[i] == k
        decision[i] = k
    return not same and (k != DROPPED or can_drop)


@kernel
def _try_job(world, systems, decisions, j, marks, best_s, search, watch):
    """The best move of job ``j``, alone or with one of those that follow it, is made.

    Args:
        world: ``World``.
        systems: three of them; the first one is at the arrival of ``j``.
        decisions: (J, n), changed where something is gained.
        j: the job.
        marks: ``Marks``, renewed where something is gained.
        best_s: what the decisions count.
        search: ``Search``.
        watch: ``Budget``, by which it is stopped.

    Returns:
        What they count now.
    """
    world, n, num_locations = lent(world), decisions.shape[1], len(world.servers) + 1
    here, played, tried = lent(system_of(systems, 0)), lent(system_of(systems, 1)), lent(system_of(systems, 2))
    last = min(j + search.window, len(world.jobs) - 1)
    old, new, given, other = decisions[j].copy(), decisions[j].copy(), np.empty(n, np.int64), NONE
    partner = np.empty(n, np.int64)
    aim_s, num_tasks, steps = best_s - LEAST_GAIN_S, world.jobs[j].num_tasks, STEPS * len(world.jobs)
    for number in range(_num_moves(num_tasks, num_locations, False)):
        decisions[j] = old
        if not _move(decisions[j], num_tasks, num_locations, number, search.can_drop):
            continue
        copy_system(here, played, j)
        admit(world, played, j, decisions[j])
        for i in range(j + 1, (last if number <= num_locations else j) + 1):
            advance(world, played, world.jobs[i].arrival_s, None)
            given[:] = decisions[i]
            for second in range(_num_moves(world.jobs[i].num_tasks, num_locations, True)):
                decisions[i] = given
                if not _move(decisions[i], world.jobs[i].num_tasks, num_locations, second, search.can_drop):
                    continue
                copy_system(played, tried, i)
                admit(world, tried, i, decisions[i])
                if is_stopped(watch, steps):
                    return best_s
                value_s = _play_on(world, tried, decisions, i + 1, marks, best_s, search.late_s)
                if value_s < aim_s:
                    aim_s, other, new[:], partner[:] = value_s, i, decisions[j], decisions[i]
            decisions[i] = given
            admit(world, played, i, given)
        if is_stopped(watch, steps):
            return best_s
        first = (last if number <= num_locations else j) + 1
        value_s = _play_on(world, played, decisions, first, marks, best_s, search.late_s)
        if value_s < aim_s:
            aim_s, other, new[:] = value_s, NONE, decisions[j]
    decisions[j] = new
    if aim_s >= best_s - LEAST_GAIN_S:
        return best_s
    if other != NONE:
        given[:] = decisions[other]
        decisions[other] = partner
    copy_system(here, played, j)
    value_s = _mark(world, played, decisions, j, marks, search.late_s)
    if value_s < best_s:
        return value_s
    # What rounding made look like a gain.
    decisions[j] = old
    if other != NONE:
        decisions[other] = given
    copy_system(here, played, j)
    return _mark(world, played, decisions, j, marks, search.late_s)


@kernel
def search_streams(arrays, systems, first, decisions, search, watch):
    """Improve decisions until no move does.

    Args:
        arrays: ``StreamBatch`` as a plain tuple.
        systems: ``System`` with an axis of 3 in front, as a plain tuple: scratch space.
        first: number of the first stream.
        decisions: (some streams, J, n), changed in place.
        search: ``Search`` as a plain tuple.
        watch: ``Budget`` as a plain tuple, by which the search is stopped.
    """
    watch = lent(Budget(*watch))
    batch, systems, search = lent(StreamBatch(*arrays)), lent(System(*systems)), Search(*search)
    num_jobs = batch.jobs.shape[1]
    alone = Search(search.late_s, search.can_drop, 0)
    memory = Marks(np.empty(num_jobs, np.uint64), np.empty(num_jobs))
    for row in range(len(decisions)):
        world, here, marks = lent(world_of(batch, first + row)), lent(system_of(systems, 0)), lent(memory)
        plan, pairs = decisions[row], False
        begin(world, here)
        best_s = _mark(world, here, plan, 0, marks, search.late_s)
        while True:
            before_s = best_s
            begin(world, here)
            for j in range(num_jobs):
                advance(world, here, world.jobs[j].arrival_s, None)
                last_s = np.inf
                while best_s < last_s:
                    last_s = best_s
                    best_s = _try_job(world, systems, plan, j, marks, best_s, search if pairs else alone, watch)
                    if watch.stop[0]:
                        break
                if watch.stop[0]:
                    break
                admit(world, here, j, plan[j])
            if watch.stop[0]:
                break
            if best_s == before_s:
                if pairs or search.window == 0:
                    break
                pairs = True
        if watch.stop[0]:
            break
    if watch.stop[0]:
        raise_pending()


def hindsight(
    streams: Streams,
    decisions: ArrayLike | None = None,
    objective: str = "response",
    moves: int = 2,
    can_drop: bool = False,
    num_threads: int | None = None,
) -> NDArray[np.int64]:
    """Better decisions, made with the whole future known: a reference, not a policy.

    Local search: job after job, the best of its moves is made, until no move of any job gains a microsecond in the sum
    of a stream's responses. A move decides one job anew (all its tasks to one location, or one of them to another), or
    with ``moves=2`` two jobs at most ``WINDOW`` jobs apart (all tasks of each to one location).

    Args:
        streams: B streams of J jobs of up to n tasks.
        decisions: (B, J, n) where the search starts, locations from 0 to S, all -1 for a job that is dropped. Where not
            given, ``offload_gym.streams.bounds.foreseen_decisions``, from which it gets furthest.
        objective: what is made small in each stream: "response", the sum of the responses, or "late", the number of
            jobs that are late, dropped or lost, and among equals the responses of the jobs that are not dropped, of
            those that are lost until then.
        moves: how many jobs may move together, 1 or 2.
        can_drop: with "late", whether jobs may be dropped.
        num_threads: threads to use; one a core by default.

    Returns:
        (B, J, n) decisions, never worse than those from which the search starts.

    Raises:
        ValueError: a name or number is none of these, the decisions do not fit, a job never completes with them, or
            responses are to be made small where jobs can be lost.
    """
    if objective not in OBJECTIVES:
        raise ValueError(f"objective is {quoted(objective)}; it must be {' or '.join(map(repr, OBJECTIVES))}")
    if moves not in (1, 2):
        raise ValueError(f"moves is {quoted(moves)}; it must be 1 or 2")
    if can_drop and objective != "late":
        raise ValueError(f"can_drop is {quoted(can_drop)}; with the objective {objective!r} no job is dropped")
    check_streams(streams)
    check_can_lose(streams.can_lose, objective)
    start = foreseen_decisions(streams, num_threads) if decisions is None else decisions
    plan = outcome_of(streams, start).decisions
    stop = new_stop()
    search = Search(LATE_S if objective == "late" else 0.0, bool(can_drop), WINDOW if moves == 2 else 0)

    def work(rows: slice) -> None:
        systems: tuple[Any, ...] = tuple(new_system(streams, 3))
        search_streams(streams.arrays, systems, rows.start, plan[rows], tuple(search), watch_of(stop))

    for_each_chunk(work, len(streams), num_threads, CHUNK, stop)
    dropped = plan[:, :, :1] == DROPPED
    return np.where(streams.present, plan, np.where(dropped, DROPPED, 0))
