"""Planning by roll-outs over sampled futures: what each choice for a task costs, and how sure that is.

A choice is tried against sampled futures: the tasks of the job that come after it and the jobs of the future are
decided by a base policy, and the sum of responses is what the choice costs there (Bertsekas, Tsitsiklis and Wu,
"Rollout algorithms for combinatorial optimization", J. Heuristics 1997). All choices meet the same futures (common
random numbers), so that differences between them have little noise. A choice that is clearly worse than the best one
after some futures meets no more of them, as in sequential halving (Karnin, Koren and Somekh, ICML 2013).

A future is drawn from the process of the scenario, given what is known when the job arrives; the real future is never
read. The present is read as it is, also the queues of other devices and what no report has told: with several devices
planning is what a teacher does, not what a device could do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.compilation import inlined, kernel, record
from offload_gym.lending import lent
from offload_gym.random_numbers import fill_uniform, stream
from offload_gym.solvers.stopping import Budget, is_stopped, raise_pending
from offload_gym.streams.beliefs import Belief, draw_future_jobs, new_belief, observe_arrival, start_belief
from offload_gym.streams.deciding import Plan, choose, decide_from, new_values
from offload_gym.streams.engine import admit, admit_here, advance, advance_here, site_in
from offload_gym.streams.losses import remains
from offload_gym.streams.observing import observe
from offload_gym.streams.outlook import Outlook, look, new_outlook, put, weigh
from offload_gym.streams.parameters import StreamParameters
from offload_gym.streams.rates import draw_future_rates
from offload_gym.streams.retiming import retime
from offload_gym.streams.streams import StreamBatch
from offload_gym.streams.system import (
    DROPPED,
    System,
    World,
    begin,
    begin_site,
    read_fates,
    response_of,
    system_of,
    world_of,
)
from offload_gym.streams.uptime import slot_at

MARGIN_S = 5.0  # of a future, beyond its arrivals
# What a second of a response counts beside late jobs: where as many are late either way, the shorter queues are better.
LATE_PER_S = 0.01
STEPS = 250  # as ``is_stopped`` counts them, to play a job
NEVER_S = 1e5  # what a job counts that never completes in a future, as the last slot's outage holds for ever


class Effort(NamedTuple):
    """How much is tried."""

    num_futures: int  # at most, of each choice
    num_jobs: int  # jobs of a future
    round_size: int  # futures after which choices may be given up
    sure: float  # standard errors by which a choice must be worse to be given up


class Findings(NamedTuple):
    """What planning found of the choices of a task, and memory for it."""

    costs: NDArray[np.float64]  # (choices,) mean cost over that of the best choice, in the futures that both met
    errors: NDArray[np.float64]  # (choices,) standard error of this difference
    counts: NDArray[np.int64]  # (choices,) futures that it met
    in_play: NDArray[np.bool_]  # (choices,) whether it was not given up
    table: NDArray[np.float64]  # (futures, choices) what it costs in each future
    values: NDArray[np.float32]  # see ``new_values``


class Sampler(NamedTuple):
    """What futures are drawn from, and where they are put."""

    parameters: StreamParameters
    belief: Belief
    batch: StreamBatch  # one stream with room for the jobs and slots of a future


class Scene(NamedTuple):
    """A stream at a moment, and what its device foresees."""

    world: World
    system: System
    outlook: Outlook


class Step(NamedTuple):
    """Which task is to be placed."""

    job: int
    task: int
    num_choices: int  # locations, and dropping the job where that is allowed
    oldest: int  # the first job that may not be complete
    objective: int  # RESPONSE, LATE_SHARE or COST


class Played(NamedTuple):
    """What is filled while streams are played: rows are streams, or labels of up to some choices."""

    decisions: NDArray[np.int64]  # (rows, J, n)
    response_s: NDArray[np.float64]  # (rows, J)
    energy_j: NDArray[np.float64]  # (rows, J)
    observations: NDArray[np.float32]  # (labels, size)
    costs: NDArray[np.float64]  # (labels, choices), infinite where a choice is not allowed
    errors: NDArray[np.float64]  # (labels, choices)


#: How streams are played.
ASKED = record(
    [
        ("key", np.uint64),  # of all that is random
        ("first", np.int64),  # stream
        ("share", np.float64),  # of the tasks that are planned
        ("explore", np.float64),  # share of the choices that are random
        ("follow_plan", np.bool_),  # whether what planning found is done
        ("can_drop", np.bool_),
        ("objective", np.int64),
    ],
    align=True,
)
RESPONSE, LATE_SHARE, COST = range(3)  # as in ``offload_gym.streams.networks.OBJECTIVES``


@kernel
def new_room(num_futures, num_choices, base, behaviour, num_locations):
    """A ``Findings``."""
    values, others = new_values(base, num_locations), new_values(behaviour, num_locations)
    return Findings(
        np.zeros(num_choices),
        np.zeros(num_choices),
        np.zeros(num_choices, dtype=np.int64),
        np.zeros(num_choices, dtype=np.bool_),
        np.zeros((num_futures, num_choices)),
        values if len(values) > len(others) else others,
    )


@inlined
def copy_cores(source_s, target_s):
    """Copy when cores are free; where there is room for more of them, as for more jobs, there are none."""
    for p in range(source_s.shape[0]):
        for c in range(target_s.shape[1]):
            target_s[p, c] = source_s[p, c] if c < source_s.shape[1] else np.inf


@inlined
def copy_system(source, target, n, of_job, first, last):
    """Copy a system whose unfinished jobs are among ``first``, ..., ``last - 1``."""
    target.clock[0] = source.clock[0]
    copy_cores(source.core_free_s, target.core_free_s)
    for a in range(len(target.sites)):
        if a < len(source.sites):
            target.sites[a] = source.sites[a]
        else:  # where no device of the stream ever is, but one of a future may come
            begin_site(target.sites[a])
    copy_cores(source.reported_free_s, target.reported_free_s)
    for d in range(len(source.radios)):
        target.radios[d] = source.radios[d]
    for q in range(first * n, last * n):
        target.tasks[q] = source.tasks[q]
        if len(source.ends_s) > 0:
            target.ends_s[q] = source.ends_s[q]
    for link in range(first * of_job, last * of_job):
        target.links[link] = source.links[link]
    for j in range(first, last):
        target.fates[j] = source.fates[j]
    for e in range(source.clock[0].num_events):
        target.event_s[e] = source.event_s[e]
        target.events[e] = source.events[e]
    for r in range(source.clock[0].num_ready):
        target.ready[r] = source.ready[r]
    for r in range(source.clock[0].num_to_begin):
        target.to_begin[r] = source.to_begin[r]


@inlined
def copy_outlook(source, target):
    """Copy what is foreseen."""
    target.foreseen[0] = source.foreseen[0]
    for k in range(source.core_free_s.shape[0]):
        target.options[k] = source.options[k]
    copy_cores(source.core_free_s, target.core_free_s)
    for i in range(len(source.finish_s)):
        target.finish_s[i] = source.finish_s[i]
        target.decision[i] = source.decision[i]


@kernel
def follow(plan, world, system, outlook, first, placed, last, values):
    """Play the jobs ``first``, ..., ``last - 1``, of which the first one has arrived, then let all be done.

    The outlook is that of the first job, of which ``placed`` tasks are placed, all of them where it is dropped.
    """
    world, system, outlook, plan = lent(world), lent(system), lent(outlook), lent(plan)
    for j in range(first, last + 1):  # one call of each rule, as its body stands in its place
        if j > first:
            advance_here(world, system, world.jobs[j].arrival_s if j < last else np.inf, None)
            if j == last:
                break
            look(world, system, world.jobs[j].device, outlook)
            placed = 0
        decide_from(plan, world, system, outlook, j, placed, values)
        admit_here(world, system, j, outlook.decision)


@inlined
def copy_present(world, future, first, j, slot):
    """Copy what is known when job j arrives: jobs ``first``, ..., ``j`` and the rates of slots until now.

    ``slot`` is that of the future; the world may have fewer.
    """
    for t in range(first, j + 1):
        future.jobs[t] = world.jobs[t]
        for i in range(world.tasks.shape[1]):
            for column in range(3):
                future.tasks[t, i, column] = world.tasks[t, i, column]
        for e in range(world.edge_bits.shape[1]):
            future.edge_bits[t, e] = world.edge_bits[t, e]
    for d in range(len(world.devices)):
        if future.sites.shape[1] == 1:
            future.sites[d, 0] = site_in(world, d, slot)  # where it is expected to stay
        for s in range(slot + 1):
            seen = min(s, world.uplink_bps.shape[1] - 1)  # whose rates hold for ever after
            if future.sites.shape[1] > 1:
                future.sites[d, s] = site_in(world, d, seen)
            future.uplink_bps[d, s] = world.uplink_bps[d, seen]
            future.downlink_bps[d, s] = world.downlink_bps[d, seen]
    width = world.down_slots.shape[1]
    for k in range(len(world.servers)):
        for s in range(slot + 2 if width > 1 else 1):
            future.down_slots[k, s] = world.down_slots[k, min(s, width - 1)]


@kernel
def copy_positions(positions_m, future_m, slot):
    """Copy where devices (m, slots, 2) are in a slot of the future and were before, if they move in it."""
    if future_m.shape[1] > 1:
        for d in range(len(positions_m)):
            for s in range(max(slot - 1, 0), slot + 1):
                seen = min(s, positions_m.shape[1] - 1)
                for axis in range(2):
                    future_m[d, s, axis] = positions_m[d, seen, axis]


@inlined
def cost_of(world, system, first, last, objective):
    """What the jobs ``first``, ..., ``last - 1`` cost: their responses, with energy or not, or how many are late.

    Where late jobs count, so do the responses of jobs that are not dropped, a little (LATE_PER_S).
    """
    total, second_j = 0.0, world.common[0].energy_weight_s_per_j * (objective == COST)
    for j in range(first, last):
        response_s = response_of(world, system, j)
        if objective == LATE_SHARE:
            total += 1.0 if response_s > world.jobs[j].deadline_s or response_s == np.inf else 0.0
            total += LATE_PER_S * response_s if response_s < np.inf else 0.0
        else:
            total += min(response_s, NEVER_S) + second_j * system.fates[j].energy_j
    return total


@inlined
def compare(table, num_futures, sure, findings):
    """Compare the choices on the futures they met, and give up those that are clearly worse; returns the best one.

    Args:
        table: (futures, choices) what each choice costs in each future.
        num_futures: how many there are so far.
        sure: standard errors by which a choice must be worse to be given up; infinite: none is.
        findings: ``Findings``, of which ``counts`` and ``in_play`` are given.
    """
    best, least = -1, np.inf
    for c in range(table.shape[1]):
        if findings.in_play[c]:
            total = 0.0
            for f in range(num_futures):
                total += table[f, c]
            if total < least:
                best, least = c, total
    for c in range(table.shape[1]):
        count, total, squares = findings.counts[c], 0.0, 0.0
        for f in range(count):
            more = table[f, c] - table[f, best]
            total += more
            squares += more * more
        mean = total / count
        findings.costs[c] = mean
        findings.errors[c] = np.sqrt(max(squares / count - mean * mean, 0.0) / max(count - 1, 1))
        if c != best and mean > sure * findings.errors[c]:
            findings.in_play[c] = False
    return best


@inlined
def _draw(sampler, start, now_s, slot, first, effort):
    """Draw a future: the rates of the slots after ``slot``, and the jobs from ``first`` on."""
    batch, slot_s = sampler.batch, sampler.batch.common[0].slot_s
    # By then the jobs have arrived and most are done; the rates of the last slot drawn hold on.
    horizon_s = effort.num_jobs * 1.5 * now_s / first + MARGIN_S
    draw_future_rates(sampler.parameters, start, batch, 0, slot, slot + 2 + int(horizon_s / slot_s))
    draw_future_jobs(sampler.parameters, start, sampler.belief, now_s, batch, 0, first, first + effort.num_jobs)


@inlined
def _is_left(world, system, j, settled_s):
    """Whether anything of job j is in the queues, or was at a moment, or is pending."""
    fate = system.fates[j]
    if fate.lost_s < np.inf:
        return remains(world, system, j)
    return fate.exits_left > 0 or settled_s <= fate.done_s < np.inf


@kernel
def plan_task(sampler, start, plan, effort, now, future, step, room):
    """Find what the choices for a task cost; returns the best one.

    Args:
        sampler: ``Sampler``.
        start: where the random numbers of this task begin.
        plan: ``Plan`` of the base policy.
        effort: ``Effort``.
        now: ``Scene`` as it is; the tasks of the job before this one are placed in its outlook.
        future: ``Scene`` for trials, with room for the jobs of a future.
        step: ``Step``: which task it is.
        room: ``Findings``, filled.
    """
    sampler, now, future, plan = lent(sampler), lent(now), lent(future), lent(plan)
    j, i, num_choices = step.job, step.task, step.num_choices
    world, system, outlook = future
    n, of_job, table = world.tasks.shape[1], world.tasks.shape[1] + world.edge_bits.shape[1], room.table
    now_s, last = now.system.clock[0].now_s, j + 1 + effort.num_jobs
    # Where the stream has no slots any more the future still has some.
    slot, stream_slots = slot_at(world, now_s), now.world.uplink_bps.shape[1]
    copy_present(now.world, world, step.oldest, j, slot)
    for c in range(num_choices):
        room.counts[c], room.in_play[c] = 0, True
    best, left, f = 0, num_choices, 0
    while f < effort.num_futures and left > 1:
        _draw(sampler, stream(start, j * n + i, f), now_s, slot, j + 1, effort)
        for c in range(num_choices):
            if room.in_play[c]:
                copy_system(now.system, system, n, of_job, step.oldest, j + 1)
                if system.clock[0].slot == stream_slots - 1:
                    system.clock[0].slot = slot
                if len(system.ends_s) > 0:
                    retime(now.world, world, system, step.oldest, j)
                copy_outlook(now.outlook, outlook)
                placed = i + 1
                if c == len(outlook.options):
                    outlook.decision[0], placed = DROPPED, world.jobs[j].num_tasks
                else:
                    put(world, system, outlook, j, i, c)
                follow(plan, world, system, outlook, j, placed, last, room.values)
                table[f, c] = cost_of(world, system, step.oldest, last, step.objective)
                room.counts[c] += 1
        f += 1
        if f % effort.round_size == 0 or f == effort.num_futures:
            best = compare(table[:, :num_choices], f, effort.sure, room)
            left = 0
            for c in range(num_choices):
                left += 1 if room.in_play[c] else 0
    return best


@kernel
def plan_streams(parameters, arrays, systems, spare, policies, effort, asked, watch, out):
    """Play streams and plan on the way.

    Args:
        parameters: ``StreamParameters`` of the scenario that futures are drawn from, as a plain tuple.
        arrays: ``StreamBatch`` as a plain tuple.
        systems: two ``System`` with an axis of 1 in front: as it is, and for trials, with room for the future's jobs.
        spare: ``StreamBatch`` of one stream with room for the future's jobs and slots.
        policies: (``Plan`` of the base policy, ``Plan`` that decides where planning does not).
        effort: ``Effort``.
        asked: (1,) of the dtype ASKED.
        watch: ``Budget`` as a plain tuple, by which the kernel is stopped.
        out: ``Played``: decisions, responses, and labels.

    Returns:
        How many labels were made.
    """
    batch, asked = lent(StreamBatch(*arrays)), asked[0]
    base, behaviour, out = lent(Plan(*policies[0])), lent(Plan(*policies[1])), lent(Played(*out))
    watch = lent(Budget(*watch))
    system, trial_system = lent(system_of(System(*systems[0]), 0)), lent(system_of(System(*systems[1]), 0))
    parameters, spare = lent(StreamParameters(*parameters)), lent(StreamBatch(*spare))
    trial_world = lent(world_of(spare, 0))
    belief_memory = new_belief(parameters, batch.devices.shape[1])
    num_locations, n = batch.servers.shape[1] + 1, batch.tasks.shape[2]
    outlook_memory = new_outlook(num_locations, system.core_free_s.shape[1], n)
    trial_memory = new_outlook(num_locations, trial_system.core_free_s.shape[1], n)
    room_memory = new_room(effort.num_futures, num_locations + 1, base, behaviour, num_locations)
    draws = np.empty(3)
    num_labels = steps = 0
    for row in range(len(out.response_s)):
        b = asked.first + row
        world, outlook, room = lent(world_of(batch, b)), lent(outlook_memory), lent(room_memory)
        sampler = Sampler(parameters, lent(belief_memory), spare)
        start_belief(parameters, sampler.belief)
        present, future = Scene(world, system, outlook), Scene(trial_world, trial_system, lent(trial_memory))
        trial_world.common[0] = world.common[0]
        for d in range(len(world.devices)):
            trial_world.devices[d] = world.devices[d]
        for k in range(num_locations - 1):
            trial_world.servers[k] = world.servers[k]
        begin(world, system)
        oldest, start = 0, stream(asked.key, b, 0)
        for j in range(len(world.jobs)):
            advance(world, system, world.jobs[j].arrival_s, None)
            # Nothing in the queues, nor in the pending tasks that reports leave there, is of a job before.
            settled_s = system.clock[0].report_s if world.common[0].report_s > 0.0 else system.clock[0].now_s
            while oldest < j and not _is_left(world, system, oldest, settled_s):
                oldest += 1
            observe_arrival(parameters, sampler.belief, world.jobs[j].device, world.jobs[j].arrival_s)
            look(world, system, world.jobs[j].device, outlook)
            for i in range(world.jobs[j].num_tasks):
                weigh(world, outlook, j, i)
                fill_uniform(start, 3 * (j * n + i), draws)
                num_choices = num_locations + 1 if i == 0 and asked.can_drop else num_locations
                chosen = -1
                if draws[0] < asked.share:
                    slot = slot_at(trial_world, system.clock[0].now_s)
                    copy_positions(batch.positions[b], spare.positions[0], slot)
                    step = Step(j, i, num_choices, oldest, asked.objective)
                    chosen = plan_task(sampler, start, base, effort, present, future, step, room)
                    steps += STEPS * effort.num_futures * effort.num_jobs * num_choices
                    if num_labels < len(out.costs):
                        observe(world, system, outlook, j, i, out.observations[num_labels])
                        for c in range(out.costs.shape[1]):
                            there = c < num_choices
                            out.costs[num_labels, c] = room.costs[c] if there else np.inf
                            out.errors[num_labels, c] = room.errors[c] if there else 0.0
                        num_labels += 1
                if draws[1] < asked.explore:
                    chosen = min(int(draws[2] / asked.explore * num_choices), num_choices - 1)
                elif chosen < 0 or not asked.follow_plan:
                    chosen = choose(behaviour, world, system, outlook, j, i, room.values)
                if chosen in (DROPPED, num_locations):
                    outlook.decision[0] = DROPPED
                    break
                put(world, system, outlook, j, i, chosen)
            for i in range(n):
                out.decisions[row, j, i] = outlook.decision[i] if outlook.decision[0] != DROPPED else DROPPED
            admit(world, system, j, outlook.decision)
            steps += STEPS
            if is_stopped(watch, steps):
                break
            steps = 0
        if watch.stop[0]:
            break
        advance(world, system, np.inf, None)
        read_fates(world, system, out.response_s[row], out.energy_j[row])
    if watch.stop[0]:
        raise_pending()
    return num_labels
