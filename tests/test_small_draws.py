"""Kernels against their twins on few small draws in which all happens that can.

Everything here takes seconds also where numba leaves functions as they are (``NUMBA_DISABLE_JIT=1``), so these are the
checks that mutants of the kernels must not pass: ``python tests/mutants.py``.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise, product
from typing import Any, NamedTuple

import naive
import numpy as np
import test_stream_losses
import test_streams_rules as rules
from conftest import KINDS, draw_instances
from naive_streams import NaiveStream, read_stream
from numpy.typing import NDArray
from property_inputs import Given, problems, refute
from random_streams import random_stream

from offload_gym import OBJECTIVES, Instances, completion_times, energy, latency, sample_instances, schedule, solve
from offload_gym.delay import objective_code
from offload_gym.demonstrations import label
from offload_gym.instances import LOCATION_FIELDS
from offload_gym.solvers.exact import UNLIMITED, Limits, _bounded, _new_solutions, _search
from offload_gym.streams.engine import admit, advance
from offload_gym.streams.losses import remains
from offload_gym.streams.responses import histories, outcome_of
from offload_gym.streams.streams import Streams
from offload_gym.streams.system import (
    ARRIVE,
    FINISH,
    NONE,
    NUM_EVENTS,
    begin,
    last_moment_in_time,
    new_system,
    system_of,
    world_of,
)
from offload_gym.streams.uptime import slot_at

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
EVENTS = ("send_start", "send_end", "start", "finish", "completion")


# One moment.


class Moment(NamedTuple):
    """An instance with a decision, and what the twin makes of it."""

    instances: Instances  # one
    decision: list[int]
    is_exact: bool
    plain: dict[str, Any]
    twin: naive.Schedule


def drawn(count: int, **limits: Any) -> list[Given]:
    """That many draws of ``problems``, always the same ones."""
    made = []

    @refute(count, problems(**limits))
    def keep(given: Given) -> None:
        made.append(given)

    return made


def padded_graphs() -> list[Given]:
    """Instances of graphs of up to 4 tasks, some of which have fewer; half of them are chains."""
    made, rng = [], np.random.default_rng(0)
    for name in ("dag", "chain"):
        scenario = {"name": name, "num_tasks": 2, "max_tasks": 4, "num_edges": 1}
        for seed in range(5):
            instances = sample_instances(scenario, 1, seed)
            made.append(Given(instances, rng.integers(0, instances.num_locations, (1, 4)), False))
    return made


@cache
def moments() -> list[Moment]:
    """Instances of up to 7 tasks and 4 locations with random decisions."""
    made = []
    for instances, decisions, is_exact in (*drawn(40, max_tasks=7, max_locations=4), *padded_graphs()):
        for b, count in enumerate(instances.task_counts):
            plain, decision = naive.from_instances(instances, b), decisions[b, :count].tolist()
            one = instances[b : b + 1]
            made.append(Moment(one, decisions[b].tolist(), is_exact, plain, naive.schedule(plain, decision)))
    return made


def agree(ours: Any, twin: Any, is_exact: bool) -> None:
    """Equal to the last bit where nothing is rounded, else but for rounding."""
    np.testing.assert_allclose(ours, twin, rtol=0.0 if is_exact else 1e-12, atol=0)


def test_schedules_are_those_of_the_twin():
    for instances, decision, is_exact, plain, twin in moments():
        count = len(twin.core)
        completion_s = completion_times(instances, [decision])[0]
        agree(completion_s[:count], twin.completion, is_exact)
        assert np.isnan(completion_s[count:]).all()
        ours = schedule(instances, decision)
        assert ours.core.tolist() == twin.core
        for name in EVENTS:
            agree(getattr(ours, f"{name}_s"), getattr(twin, name), is_exact)
        cores = [naive.core_free_times(plain, k) for k in range(instances.num_locations)]
        for free_s, expected_s in zip(ours.backlog_s.tolist(), cores, strict=True):
            assert free_s == expected_s + [math.inf] * (len(free_s) - len(expected_s))


def test_a_task_that_is_left_out_is_as_if_it_were_not_there():
    rng = np.random.default_rng(0)
    for instances, decision, _, plain, twin in moments():
        if plain["edges"]:
            continue
        placed = rng.random(len(twin.core)) < 0.7
        some = np.array(decision)
        some[: len(placed)][~placed] = -1
        ours, kept = schedule(instances, some), np.flatnonzero(placed)
        fewer = plain | {name: [plain[name][i] for i in kept] for name in naive.SIZES}
        expected = naive.schedule(fewer, [decision[i] for i in kept])
        assert ours.core[kept].tolist() == expected.core
        assert (ours.core[~placed] == -1).all()
        for name in EVENTS:
            np.testing.assert_allclose(getattr(ours, f"{name}_s")[kept], getattr(expected, name), rtol=1e-12)
            assert np.isnan(getattr(ours, f"{name}_s")[~placed]).all()


def test_values_and_energy_are_those_of_the_twin():
    for instances, decision, is_exact, plain, twin in moments():
        placed = decision[: len(twin.core)]
        for objective in OBJECTIVES:
            value_s = naive.latency(plain, placed, objective)
            agree(latency(instances, [decision], objective), [value_s], is_exact and objective != "cost")
        agree(energy(instances, [decision]), [naive.energy(plain, placed)], False)


# Exact decisions.


class Small(NamedTuple):
    """A small instance, and the value of each decision by the twin."""

    instances: Instances  # one
    decision: NDArray[np.int64]  # (1, n) a random one
    values_s: dict[str, dict[tuple[int, ...], float]]  # by objective and decision


def as_chain(instances: Instances, edge_bits: NDArray[np.float64]) -> Instances:
    """The same tasks, each of which needs what the one before it has made."""
    names = (*naive.SIZES, *LOCATION_FIELDS, "backlog_s", "radio_backlog_s")
    edges = list(pairwise(range(instances.num_tasks)))
    return Instances(**{name: getattr(instances, name) for name in names}, edges=edges, edge_bits=edge_bits)


@cache
def small_instances() -> list[Small]:
    """Instances whose decisions can all be tried, a third of them chains."""
    given = drawn(14, max_tasks=4, max_locations=3, most=1)
    given += (*drawn(8, max_tasks=4, max_locations=3, most=1, exact=True), *padded_graphs())
    for seed, kind in enumerate((*KINDS, "mixed", "mixed", "mixed")):
        rng, instances = np.random.default_rng(seed), draw_instances(kind, 1, 4, seed % 2, seed)
        decisions = rng.integers(0, instances.num_locations, (1, 4))
        given.append(Given(instances, decisions, False))
        given.append(Given(as_chain(instances, rng.integers(0, 4, (1, 3)) * 1e6), decisions, False))
    made = []
    for instances, decisions, _ in given:
        plain, count = naive.from_instances(instances, 0), int(instances.task_counts[0])
        every = list(product(range(instances.num_locations), repeat=count))
        values_s = {objective: {d: naive.latency(plain, d, objective) for d in every} for objective in OBJECTIVES}
        made.append(Small(instances, decisions, values_s))
    return made


def test_optima_are_those_of_the_twin():
    for instances, _, values_s in small_instances():
        count = int(instances.task_counts[0])
        for objective, of_each in values_s.items():
            found = solve(instances, objective)
            least_s = min(of_each.values())
            np.testing.assert_allclose(found.latency_s, [least_s], rtol=1e-11)
            np.testing.assert_allclose(of_each[tuple(found.decisions[0, :count].tolist())], least_s, rtol=1e-11)
            assert found.optimal.all()
            assert (found.decisions[0, count:] == 0).all()
            np.testing.assert_array_equal(found.lower_bound_s, found.latency_s)
            is_chain = count > 1 and list(instances.edges_of(0)) == list(pairwise(range(count)))
            if is_chain and objective == "makespan":  # a dynamic program, not a search
                assert found.nodes[0] == count * instances.num_locations


def test_what_each_alternative_costs_is_the_least_of_all_that_begin_with_it():
    for instances, decision, values_s in small_instances():
        count, given = int(instances.task_counts[0]), decision[0].tolist()
        for objective, of_each in values_s.items():
            labels = label(instances, objective, exploration=decision, num_threads=1)
            for i in range(count):
                for k in range(instances.num_locations):
                    begun = (*given[:i], k)
                    least_s = min(value_s for d, value_s in of_each.items() if d[: i + 1] == begun)
                    np.testing.assert_allclose(labels.alternative_s[0, i, k], least_s, rtol=1e-11)


def test_bounds_of_searches_that_are_stopped_are_below_the_optimum():
    for instances, _, values_s in small_instances():
        for objective, of_each in values_s.items():
            for max_nodes in (1, 12):
                stopped = solve(instances, objective, max_nodes=max_nodes, num_threads=1)
                least_s = min(of_each.values())
                assert stopped.lower_bound_s[0] <= least_s * (1 + 1e-11)
                assert stopped.latency_s[0] * (1 + 1e-11) >= least_s
                assert stopped.nodes[0] <= max_nodes or (instances.edge_parent.size and stopped.optimal[0])


@cache
def searched_instances() -> dict[str, list[Instances]]:
    """Instances with prices of energy of 6 to 8 tasks: independent, with graphs, and chains; and of many tasks."""
    made: dict[str, list[Instances]] = {"independent": [], "graphs": [], "chains": [], "many": [], "wide": []}
    powers = {"kappa": [1e-27], "transmit_w": [0.5], "idle_w": [0.1], "energy_weight_s_per_j": [0.3]}
    rng = np.random.default_rng(0)
    for seed, kind in enumerate(KINDS * 3):
        drawn_one = draw_instances(kind, 1, 6 + seed % 3, 1 + seed % 2, seed)
        fields = {
            name: getattr(drawn_one, name) for name in (*LOCATION_FIELDS, "backlog_s", "radio_backlog_s")
        } | powers
        tasks = {name: getattr(drawn_one, name) for name in naive.SIZES}
        made["independent"].append(Instances(**fields, **tasks))
        few = {name: values[:, :6] for name, values in tasks.items()}
        pairs = [(parent, child) for child in range(6) for parent in range(child) if rng.random() < 0.35]
        for what, edges in (("graphs", pairs), ("chains", list(pairwise(range(6))))):
            few["input_bits"] = few["input_bits"] * [[all(child != i for _, child in edges) for i in range(6)]]
            bits = rng.uniform(0.0, 2e6, (1, len(edges)))
            made[what].append(Instances(**fields, **few, edges=edges, edge_bits=bits))
    many = draw_instances("plain", 1, 66, 2, 0).replace(**powers)
    made["many"] = [many, as_chain(many, rng.uniform(0.0, 2e7, (1, 65)))]
    made["wide"] = [draw_instances("per-core backlogs", 1, 12, 2, seed).replace(**powers) for seed in (0, 3)]
    return made


class Effort(NamedTuple):
    """What a search of several instances comes to, summed over them."""

    nodes: int
    proven: int
    value_s: float
    completion_s: float  # sum of all completions
    bound_s: float  # where it was stopped


def effort(what: str, objective: str, max_nodes: int, time_limit_s: float = math.inf) -> Effort:
    code, total = objective_code(objective), Effort(0, 0, 0.0, 0.0, 0.0)
    for instances in searched_instances()[what]:
        found = _new_solutions(instances)
        _search(instances, code, Limits(max_nodes, time_limit_s), 1, found)
        found = _bounded(instances, code, found)
        completion_s = completion_times(instances, found.decisions).sum()
        one = found.nodes[0], found.optimal[0], found.latency_s[0], completion_s, found.lower_bound_s[0]
        total = Effort(
            *(int(a + b) if i < 2 else float(a + b) for i, (a, b) in enumerate(zip(total, one, strict=True)))
        )
    return total


#: By kind of instances, objective and limits of nodes and of seconds.
EFFORTS = {
    ("independent", "makespan", UNLIMITED): (1424, 21, 19.86407544029887, 89.70832296117841, 0.0),
    ("independent", "makespan", 40): (506, 4, 20.313723880478918, 90.62614427834177, 15.256372699353259),
    ("independent", "makespan", 1): (21, 1, 20.920101260918933, 92.32155289418013, 17.111367492996138),
    ("independent", "mean", UNLIMITED): (533, 21, 83.60354623235767, 83.60354623235767, 0.0),
    ("independent", "mean", 40): (291, 14, 84.57738977225128, 84.57738977225128, 3.6084324352272876),
    ("independent", "mean", 1): (21, 7, 85.358706018745, 85.358706018745, 6.546572137073262),
    ("independent", "cost", UNLIMITED): (1499, 21, 34.614654716426266, 102.47599398399431, 0.0),
    ("independent", "cost", 40): (515, 6, 34.614654716426266, 102.47599398399431, 27.19150822034395),
    ("independent", "cost", 1): (21, 0, 34.71022217787429, 102.39478784684785, 33.50680106212551),
    ("graphs", "makespan", UNLIMITED): (787, 21, 14.731088310675895, 64.66652830200624, 0.0),
    ("graphs", "makespan", 40): (419, 14, 14.759331340860514, 63.84082766790564, 4.012858909863367),
    ("graphs", "makespan", 1): (21, 2, 15.38251967123516, 62.69277124185566, 11.724691352237537),
    ("graphs", "mean", UNLIMITED): (580, 21, 60.377675334278926, 60.377675334278926, 0.0),
    ("graphs", "mean", 40): (472, 17, 60.377675334278926, 60.377675334278926, 1.0976191481351938),
    ("graphs", "mean", 1): (21, 1, 61.76909291495284, 61.76909291495284, 7.413133046602871),
    ("graphs", "cost", UNLIMITED): (3258, 21, 19.500788931757924, 72.51227199158176, 0.0),
    ("graphs", "cost", 40): (404, 14, 19.500788931757924, 72.51227199158176, 6.008084008210966),
    ("graphs", "cost", 1): (21, 3, 19.526219882684387, 72.58792020075374, 14.890607866353838),
    ("chains", "makespan", UNLIMITED): (438, 21, 12.536452638001851, 56.14966220288074, 0.0),
    ("chains", "mean", 40): (143, 21, 55.479373588379964, 55.479373588379964, 0.0),
    ("chains", "cost", 40): (196, 19, 15.803248085660279, 62.59071961494799, 1.6317747074095739),
    ("many", "makespan", 1): (265, 1, 14.485799929682031, 497.4855580401446, 11.11773105649216),
    ("many", "makespan", 1, 1e9): (265, 1, 14.637377846974594, 497.93682643126976, 11.117739923382473),
    ("many", "mean", 1): (2, 1, 546.175785634025, 546.1757856340249, 1.3274814296990518),
    ("many", "cost", 1, 1e9): (2, 0, 30.145444667059344, 603.5134456196932, 26.319620375358433),
    ("wide", "cost", UNLIMITED): (3202, 2, 1.9023840861208465, 13.370297536489325, 0.0),
    ("wide", "makespan", UNLIMITED): (3434, 2, 1.3275594698551552, 10.699262798537152, 0.0),
}


def test_searches_take_as_many_nodes_and_bounds_are_as_high_as_they_were():
    """A change that makes either worse or better is meant; ``effort`` gives the numbers."""
    for given, expected in EFFORTS.items():
        found = effort(*given)
        assert (found.nodes, found.proven) == expected[:2], given
        np.testing.assert_allclose(found, expected, rtol=1e-9, err_msg=str(given))


# Streams.


class ObservedStream(NaiveStream):
    """The twin, which notes what is sent when, and when jobs are lost."""

    def __init__(self, streams: Streams, decisions: NDArray[np.int64]) -> None:
        super().__init__(read_stream(streams, 0), decisions[0].tolist(), streams.num_tasks)
        self.sends: dict[tuple[int, int, int], tuple[float, float]] = {}  # by job, task to and task from
        self.begun_s: dict[tuple[int, int, int], float] = {}
        self.lost_s: dict[tuple[int, int], float] = {}
        self.run()

    def radios_take(self, now: float) -> None:
        super().radios_take(now)
        for transmission in self.sending:
            if transmission is not None:
                self.begun_s.setdefault(transmission["key"][1:], now)

    def is_sent(self, now: float, transmission: dict[str, Any]) -> None:
        key = transmission["key"][1:]
        self.sends[key] = self.begun_s.get(key, now), now
        super().is_sent(now, transmission)

    def lose(self, now: float, k: int) -> None:
        held = self.at_server[k].copy()
        super().lose(now, k)
        self.lost_s |= dict.fromkeys(held - self.at_server[k], now)


class Played(NamedTuple):
    """A stream with decisions, and what the twin makes of it."""

    streams: Streams
    decisions: NDArray[np.int64]  # (1, J, n)
    twin: ObservedStream


@cache
def small_streams() -> list[Played]:
    """Streams with deadlines and reports: as many in which servers lose tasks, make them wait, and do not fail."""
    rng, made = np.random.default_rng(5), []
    wanted = dict.fromkeys(("lost", "wait", "none"), 34)
    while any(wanted.values()):
        streams, decisions = random_stream(rng, "lost" if rng.random() < 0.7 else "wait")
        jobs, common = streams.batch.jobs.copy(), streams.batch.common.copy()
        jobs["deadline_s"] = rng.choice([0.125, 0.5, 2.0, np.inf], jobs.shape)
        common["report_s"] = rng.choice([0.0, 0.125, 0.4])
        fails = streams.batch.down_slots.any()
        kind = "lost" if streams.can_lose else "wait" if fails else "none"
        if wanted[kind]:
            streams = Streams.from_batch(streams.batch._replace(jobs=jobs, common=common))
            twin = ObservedStream(streams, decisions)
            if kind == "lost" and not (twin.lost_s and streams.num_tasks > 2 and streams.batch.edge_bits.size):
                continue
            wanted[kind] -= 1
            made.append(Played(streams, decisions, twin))
    return made


def test_responses_and_energy_are_those_of_the_twin():
    for streams, decisions, twin in small_streams():
        ours = outcome_of(streams, decisions)
        np.testing.assert_allclose(ours.response_s[0], twin.response_s, **CLOSE)
        np.testing.assert_allclose(ours.energy_j[0], twin.energy_j, **CLOSE)
        lost = np.isinf(twin.response_s) & (decisions[0, :, 0] != -1)
        assert ours.lost[0].tolist() == lost.tolist()


def test_moments_of_tasks_are_those_of_the_twin():
    for streams, decisions, twin in small_streams():
        records = histories(streams, np.where(streams.present, decisions, 0))
        tasks = records.tasks.reshape(decisions.shape)[0]
        for name in ("ready_s", "start_s", "finish_s", "completion_s"):
            np.testing.assert_allclose(tasks[name], getattr(twin, name), **CLOSE, err_msg=name)
        lost_s = np.full(decisions.shape[1:], np.nan)
        for (j, i), moment_s in twin.lost_s.items():
            lost_s[j, i] = moment_s
        np.testing.assert_allclose(tasks["lost_s"], lost_s, **CLOSE)
        check_cores(streams, decisions, tasks)
        num_jobs, n = decisions.shape[1:]
        sends = records.sends.reshape(num_jobs, -1)[0 if num_jobs == 0 else slice(None)]
        expected_s = np.full((*sends.shape, 2), np.nan)
        for (j, child, parent), sent_s in twin.sends.items():
            expected_s[j, child if parent < 0 else n + edge_of(streams, j, child, parent)] = sent_s
        np.testing.assert_allclose(np.stack([sends["start_s"], sends["finish_s"]], axis=2), expected_s, **CLOSE)


def edge_of(streams: Streams, j: int, child: int, parent: int) -> int:
    """The number of an edge of a job."""
    graph = streams.batch.jobs["graph"][0, j]
    edges = streams.batch.graph_edges[graph, :, :2].tolist()
    return edges.index([parent, child])


def check_cores(streams: Streams, decisions: NDArray[np.int64], tasks: NDArray[np.void]) -> None:
    """No two tasks are on one core of one place at a time, and no place has more cores than it has."""
    batch = streams.batch
    for j, i in np.argwhere(tasks["core"] >= 0):
        k, d = decisions[0, j, i], batch.jobs["device"][0, j]
        assert tasks["core"][j, i] < (batch.devices["cores"][0, d] if k == 0 else batch.servers["cores"][0, k - 1])
    used = np.isfinite(tasks["finish_s"])
    place = np.where(decisions[0] == 0, -1 - batch.jobs["device"][0][:, None], decisions[0])
    for where, core in {(int(p), int(c)) for p, c in zip(place[used], tasks["core"][used], strict=True)}:
        there = tasks[used & (place == where) & (tasks["core"] == core)]
        there = there[np.lexsort((there["finish_s"], there["start_s"]))]
        assert (there["start_s"][1:] >= there["finish_s"][:-1] - 1e-9).all()


EPSILON_S = 1e-9  # what happens closer to a moment than this may be before or after it


class Book:
    """What a device could know of a played stream at a moment, reckoned from the moments of the twin."""

    def __init__(self, played: Played) -> None:
        self.streams, decisions, self.twin = played
        self.decision, batch = decisions[0], played.streams.batch
        self.jobs, self.slot_s = batch.jobs[0], float(batch.common["slot_s"][0])
        self.report_s = float(batch.common["report_s"][0])
        arrival_s, response_s = self.jobs["arrival_s"], np.array(self.twin.response_s)
        self.dropped = self.decision[:, 0] == -1
        self.lost_s = np.full(len(arrival_s), np.inf)
        for (j, _), moment_s in self.twin.lost_s.items():
            self.lost_s[j] = min(self.lost_s[j], moment_s)
        self.gone_s = np.where(self.dropped, arrival_s, np.minimum(self.lost_s, arrival_s + response_s))
        # A device knows of what is lost from the first report after it on.
        after_s = self.lost_s
        if self.report_s > 0:
            after_s = (np.floor(self.lost_s / self.report_s) + 1) * self.report_s
        self.told_gone_s = np.where(np.isfinite(self.lost_s), after_s, self.gone_s)
        due_s = arrival_s + self.jobs["deadline_s"]
        late = response_s > self.jobs["deadline_s"]
        self.late_s = np.where(self.dropped, arrival_s, np.where(late | np.isfinite(self.lost_s), due_s, np.inf))
        self.late_s = np.minimum(self.late_s, np.where(self.dropped, np.inf, self.lost_s))

    def told_s(self, now_s: float) -> float:
        """When the last report was."""
        if self.report_s == 0:
            return now_s
        number = 0
        while (number + 1) * self.report_s <= now_s:
            number += 1
        return number * self.report_s

    def pending(self, d: int, count: int, now_s: float) -> tuple[list[int], list[int]]:
        """Tasks of a device, of the first jobs, that are surely or perhaps not known to be ready, or lost."""
        surely, perhaps, n = [], [], self.streams.num_tasks
        for j in range(count):
            if self.jobs["device"][j] != d or self.dropped[j]:
                continue
            doomed_s = self.doomed_s(j)
            for i in range(self.jobs["num_tasks"][j]):
                ready_s = self.twin.ready_s[j][i]
                ready_s = np.inf if math.isnan(ready_s) else ready_s
                at_once = self.decision[j, i] == 0 and math.isinf(doomed_s[i])
                known_s = now_s if at_once else self.told_s(now_s)
                moment_s = min(ready_s, doomed_s[i])
                if moment_s > known_s + EPSILON_S:
                    surely.append(j * n + i)
                if moment_s > known_s - EPSILON_S:
                    perhaps.append(j * n + i)
        return surely, perhaps

    def doomed_s(self, j: int) -> list[float]:
        """Since when each task of a job waits for one that is lost."""
        count = int(self.jobs["num_tasks"][j])
        doomed_s = [math.inf] * count
        for i in range(count):
            for parent in self.twin.jobs[j]["parents"][i]:
                doomed_s[i] = min(doomed_s[i], doomed_s[parent], self.twin.lost_s.get((j, parent), math.inf))
        return doomed_s

    def senders(self, moment_s: float, slot: int) -> dict[int, int] | None:
        """The site of each device that is sending, and not in an outage; None where one begins or ends then."""
        found = {}
        for (j, _, _), (begun_s, sent_s) in self.twin.sends.items():
            if sent_s - begun_s > 0 and min(abs(moment_s - begun_s), abs(moment_s - sent_s)) < EPSILON_S:
                return None
            d = int(self.jobs["device"][j])
            if begun_s < moment_s < sent_s and self.twin.stream["uplink_bps"][d][slot] > 0:
                sites = self.twin.stream["sites"][d]
                found[d] = sites[min(slot, len(sites) - 1)]
        return found

    def cores_s(self, k: int, moment_s: float) -> list[float] | None:
        """When the cores of a server that never fails are free, by what was ready; None if something is ready then."""
        free_s = [0.0] * self.twin.stream["cores"][k]
        tasks = [
            (self.twin.start_s[j][i], self.twin.finish_s[j][i], self.twin.ready_s[j][i])
            for j, i in np.argwhere(self.decision == k)
            if i < self.jobs["num_tasks"][j]
        ]
        for _, finish_s, ready_s in sorted(tasks):
            if abs(ready_s - moment_s) < EPSILON_S:
                return None
            if ready_s < moment_s:
                free_s.remove(min(free_s))
                free_s.append(finish_s)
        return sorted(free_s)


def is_between(number: int, times_s: NDArray[np.float64], now_s: float) -> None:
    """That many of the times are over by now, but for those that are now."""
    assert (times_s < now_s - EPSILON_S).sum() <= number <= (times_s <= now_s + EPSILON_S).sum()


def test_what_is_known_at_each_arrival_is_what_the_twin_says():
    for played in small_streams():
        streams, decisions, _ = played
        book, world = Book(played), world_of(streams.batch, 0)
        system = system_of(new_system(streams), 0)
        begin(world, system)
        arrival_s = book.jobs["arrival_s"]
        for j, now_s in enumerate(arrival_s.tolist()):
            advance(world, system, now_s, None)
            check_clock(book, system.clock[0], j, now_s)
            for d in range(streams.num_devices):
                check_device(book, system, d, j, now_s)
            check_report(book, system, now_s)
            for i in np.flatnonzero(book.lost_s[:j] < now_s - EPSILON_S):
                assert remains(world, system, i) == is_left(book, system, i)
            admit(world, system, j, decisions[0, j])
        advance(world, system, np.inf, None)
        clock, outcome = system.clock[0], outcome_of(streams, decisions)
        assert clock["num_late"] == outcome.late.sum()
        assert (clock["num_in_system"], clock["num_events"], clock["num_busy"]) == (0, 0, 0)
        np.testing.assert_allclose(clock["in_system_js"], (book.gone_s - arrival_s).sum(), **CLOSE)
        np.testing.assert_allclose(clock["energy_j"], outcome.energy_j.sum(), **CLOSE)


def check_clock(book: Book, clock: Any, j: int, now_s: float) -> None:
    arrival_s = book.jobs["arrival_s"][:j]
    assert clock["num_arrived"] == j
    is_between(j - clock["num_in_system"], book.gone_s[:j], now_s)
    is_between(clock["num_late"], book.late_s[:j], now_s)
    in_system_js = (np.minimum(book.gone_s[:j], now_s) - arrival_s).sum()
    np.testing.assert_allclose(clock["in_system_js"], in_system_js, **CLOSE)
    if book.report_s > 0:
        assert clock["report_s"] == book.told_s(now_s)
        assert clock["next_report_s"] > now_s


def check_device(book: Book, system: Any, d: int, j: int, now_s: float) -> None:
    own, radio = book.jobs["device"][:j] == d, system.radios[d]
    is_between(own.sum() - radio["num_in_system"], book.told_gone_s[:j][own], now_s)
    gap_s = last_s = 0.0
    for number, at_s in enumerate(book.jobs["arrival_s"][:j][own].tolist()):
        gap_s += max(1 / (number + 1), 0.1) * (at_s - last_s - gap_s)
        last_s = at_s
    assert (radio["num_jobs"], radio["last_arrival_s"]) == (own.sum(), last_s)
    np.testing.assert_allclose(radio["gap_s"], gap_s, **CLOSE)
    ahead, back = walk(system, radio["first_pending"], "after"), walk(system, radio["last_pending"], "before")
    assert ahead == back[::-1] == sorted(ahead)
    surely, perhaps = book.pending(d, j, now_s)
    assert set(surely) <= set(ahead) <= set(perhaps)
    for (job, task, parent), (_, sent_s) in book.twin.sends.items():
        ready_s = book.twin.ready_s[job][task]
        if parent < 0 and sent_s < now_s - EPSILON_S and not math.isnan(ready_s):  # known once it is sent
            np.testing.assert_allclose(system.tasks[job * book.streams.num_tasks + task]["ready_s"], ready_s, **CLOSE)


def is_left(book: Book, system: Any, j: int) -> bool:
    """Whether anything of a job is in a queue."""
    clock, radio, n = system.clock[0], system.radios[book.jobs["device"][j]], book.streams.num_tasks
    happens = system.events[: clock["num_events"]]
    own = {q // n for q in (happens // NUM_EVENTS)[np.isin(happens % NUM_EVENTS, (ARRIVE, FINISH))].tolist()}
    own |= {q // n for q in system.ready[: clock["num_ready"]].tolist()}
    own |= {q // n for q in walk(system, radio["first_pending"], "after")}
    link = radio["first"]
    while link != NONE:
        own.add(system.links[link]["task"] // n)
        link = system.links[link]["after"]
    return j in own


def walk(system: Any, q: int, name: str) -> list[int]:
    """Pending tasks in one direction."""
    found: list[int] = []
    while q != NONE and len(found) <= len(system.tasks):
        found.append(int(q))
        q = system.tasks[q][name]
    return found


def check_report(book: Book, system: Any, now_s: float) -> None:
    """Who sends, as it is now or was told last, and how servers stood then."""
    told_s, last = book.told_s(now_s), book.twin.last_slot
    if book.report_s == 0:
        senders = book.senders(now_s, book.twin.slot_of(now_s))
        numbers = system.sites["num_sending"]
    else:
        senders = book.senders(told_s, min(max(math.ceil(told_s / book.slot_s) - 1, 0), last))
        numbers = system.sites["told_sending"]
        for k in range(1, len(system.reported_free_s) + 1):
            expected_s = None if any(book.twin.stream["down"][k]) else book.cores_s(k, told_s)
            if expected_s is not None:
                ours_s = np.sort(system.reported_free_s[k - 1])
                np.testing.assert_allclose(ours_s[: len(expected_s)], expected_s[: len(ours_s)], **CLOSE)
    if senders is None:
        return
    assert numbers.tolist() == [list(senders.values()).count(a) for a in range(len(numbers))]
    if book.report_s > 0:
        assert np.flatnonzero(system.radios["in_report"]).tolist() == sorted(senders)
        assert all(system.radios[d]["told_site"] == site for d, site in senders.items())


def test_a_slot_begins_at_its_multiple_as_it_is_rounded():
    rng = np.random.default_rng(0)
    streams, _ = random_stream(rng)
    slots = 40
    uplink_bps = np.ones((1, streams.num_devices, slots))
    for slot_s in (0.1, 0.3, *rng.uniform(0.01, 10.0, 40)):
        common = streams.batch.common.copy()
        common["slot_s"] = slot_s
        world = world_of(streams.batch._replace(common=common, uplink_bps=uplink_bps), 0)
        for slot in range(1, slots + 5):
            begins_s = slot * slot_s
            found = [slot_at(world, time_s) for time_s in (np.nextafter(begins_s, 0.0), begins_s)]
            assert found == [min(slot - 1, slots - 1), min(slot, slots - 1)]


def test_the_last_moment_in_time_is_the_last_whose_rounded_response_keeps_the_deadline():
    rng = np.random.default_rng(0)
    job = np.zeros(1, dtype=random_stream(rng)[0].batch.jobs.dtype)
    for _ in range(300):
        job["arrival_s"], job["deadline_s"] = rng.uniform(0.0, 100.0), 10.0 ** rng.uniform(-3, 2)
        last_s = last_moment_in_time(job[0])
        assert last_s - job["arrival_s"][0] <= job["deadline_s"][0]
        assert np.nextafter(last_s, np.inf) - job["arrival_s"][0] > job["deadline_s"][0]


def test_data_of_tasks_that_end_together_are_sent_in_the_order_of_their_children():
    # Both tasks of the second job end at 1 on two cores. The data for task 2 are sent until 2, and it ends at 7; those
    # for task 3 until 3. Whether the radio has sent before makes no difference.
    edges, tasks = [(1, 2), (0, 3)], [(0.0, 1.0, 0.0), (0.0, 1.0, 0.0), (0.0, 5.0, 0.0), (0.0, 0.0, 0.0)]
    before, where = [(0.5, 0.0, 0.0), *[(0.0, 0.0, 0.0)] * 3], [[1, 0, 0, 1], [0, 0, 1, 2]]
    jobs, bits = [(0.0, 0, before), (0.0, 0, tasks)], [[0.0, 0.0], [1.0, 1.0]]
    for first, response_s in ((0, [0.5, 7.0]), (1, [7.0])):
        given = rules.world(jobs[first:], where[first:], edges, bits[first:], device_cores=[2])
        for play in (rules.in_plain_python, rules.in_the_kernel):
            np.testing.assert_allclose(play(*given), response_s)


OF_SEARCHES = (
    test_optima_are_those_of_the_twin,
    test_searches_take_as_many_nodes_and_bounds_are_as_high_as_they_were,
    test_bounds_of_searches_that_are_stopped_are_below_the_optimum,
    test_what_each_alternative_costs_is_the_least_of_all_that_begin_with_it,
)
#: The checks of each kernel, see ``mutants.py``.
KERNELS = {
    "delay": (
        test_schedules_are_those_of_the_twin,
        test_values_and_energy_are_those_of_the_twin,
        test_a_task_that_is_left_out_is_as_if_it_were_not_there,
        *OF_SEARCHES,
    ),
    "streams": (
        test_responses_and_energy_are_those_of_the_twin,
        test_moments_of_tasks_are_those_of_the_twin,
        test_what_is_known_at_each_arrival_is_what_the_twin_says,
        test_a_slot_begins_at_its_multiple_as_it_is_rounded,
        test_the_last_moment_in_time_is_the_last_whose_rounded_response_keeps_the_deadline,
        test_data_of_tasks_that_end_together_are_sent_in_the_order_of_their_children,
        test_stream_losses.test_what_a_failing_server_holds_is_lost_and_what_comes_while_it_is_down,
        test_stream_losses.test_what_waits_for_a_lost_task_never_runs_and_the_rest_of_its_job_does,
    ),
    "exact": OF_SEARCHES,
}
