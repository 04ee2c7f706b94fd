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
import pytest
import test_stream_losses
import test_streams_rules as rules
from conftest import KINDS, draw_instances
from naive_streams import NaiveStream, read_stream
from numpy.typing import NDArray
from property_inputs import Given, problems, refute
from random_streams import random_stream
from test_stream_failures import unit_streams, up_but

from offload_gym import OBJECTIVES, Instances, completion_times, energy, latency, sample_instances, schedule, solve
from offload_gym.delay import new_workspace, objective_code, open_instance
from offload_gym.demonstrations import label
from offload_gym.instances import INPUT, LOCATION_FIELDS, OUTPUT
from offload_gym.solvers.bounds import least_prices
from offload_gym.solvers.exact import UNLIMITED, Limits, _bounded, _new_solutions, _search
from offload_gym.streams.engine import admit, advance
from offload_gym.streams.losses import remains
from offload_gym.streams.responses import histories, outcome_of
from offload_gym.streams.spectrum import share_by_now_s
from offload_gym.streams.streams import Streams
from offload_gym.streams.system import (
    ARRIVE,
    FINISH,
    NONE,
    NUM_EVENTS,
    begin,
    last_moment_in_time,
    new_system,
    read_fates,
    report,
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


def test_of_locations_of_a_chain_that_come_to_the_same_the_lowest_is_taken():
    used, names = set(), ("locations", "core_backlog_s")
    # With much output the last task is on the device.
    for seed, (kind, factor) in enumerate(product(KINDS, (1.0, 1e3))):
        one = draw_instances(kind, 1, 4, 0, seed)
        batch = as_chain(one.replace(output_bits=one.output_bits * factor), np.full((1, 3), 1e5)).batch
        twice = {name: np.ascontiguousarray(getattr(batch, name)[:, [0, 1, 1]]) for name in names}
        decision = solve(Instances.from_batch(batch._replace(**twice))).decisions[0].tolist()
        used |= set(pairwise(decision))
    assert used == {(0, 0), (1, 1), (1, 0)}


def test_the_bound_of_a_mean_is_the_least_of_all_splits_between_device_and_servers():
    for given, _, _ in small_instances():
        if list(given.edges_of(0)):
            continue
        device_s = given.workload_cycles.sum() / given.cpu_hz[0, 0]
        for instances in (given, *(given.replace(radio_backlog_s=[share * device_s]) for share in (0.1, 0.4))):
            stopped = solve(instances, "mean", max_nodes=1, num_threads=1)
            if not stopped.optimal[0]:
                expected_s = queues_s(naive.from_instances(instances, 0)) / int(instances.task_counts[0])
                np.testing.assert_allclose(stopped.lower_bound_s, [expected_s], rtol=1e-11)


def queues_s(plain: dict[str, Any]) -> float:
    """What the sum of completions of independent tasks cannot be below, by the rules of ``bounds``."""
    servers, radio_s = range(1, len(plain["cpu_hz"])), plain["radio_backlog_s"]
    free_s = [min(naive.core_free_times(plain, k)) for k in range(len(plain["cpu_hz"]))]
    alone_s, tasks = 0.0, []  # as if each task was the first one
    for bits, back_bits, cycles in zip(*(plain[name] for name in naive.SIZES), strict=True):
        run_s = [cycles / hz for hz in plain["cpu_hz"]]
        send_s = [bits / bps for bps in plain["uplink_bps"]]
        path_s, back_s = (
            [one / wired + late_s for wired, late_s in zip(plain["wired_bps"], plain["propagation_s"], strict=True)]
            for one in (bits, back_bits)
        )
        back_s = [way_s + back_bits / bps for way_s, bps in zip(back_s, plain["downlink_bps"], strict=True)]
        there_s = [max(radio_s + send_s[k] + path_s[k], free_s[k]) + run_s[k] + back_s[k] for k in servers]
        alone_s += min(free_s[0] + run_s[0], *there_s)
        tasks.append((run_s[0], min(send_s[1:]), min(path_s[k] + run_s[k] + back_s[k] for k in servers)))
    least_s = math.inf
    for is_remote in product((False, True), repeat=len(tasks)):
        total_s, sent_s, ran_s = 0.0, radio_s, free_s[0]
        for remote, (run_s, send_s, rest_s) in zip(is_remote, tasks, strict=True):
            sent_s += send_s if remote else 0.0
            total_s += sent_s + rest_s if remote else ran_s + run_s
            ran_s += 0.0 if remote or plain["cores"][0] > 1 else run_s
        least_s = min(least_s, total_s)
    return max(alone_s, least_s)


def test_least_prices_are_those_of_the_cheapest_locations():
    rng = np.random.default_rng(0)
    for instances, _, _ in small_instances():
        joules = rng.uniform(0.1, 10.0, 2)  # that the largest task takes of the device's CPU, and of its radio
        worth = {
            "uplink_bps": instances.uplink_bps * rng.uniform(0.5, 2.0, instances.uplink_bps.shape),
            "kappa": joules[:1] / (instances.cpu_hz[:, 0] ** 2 * (instances.workload_cycles.max() + 1.0)),
            "transmit_w": joules[1:] * instances.uplink_bps[:, 1] / (instances.input_bits.max() + 1.0),
            "energy_weight_s_per_j": [1.0],
        }
        plain, batch = naive.from_instances(instances.replace(**worth), 0), instances.replace(**worth).batch
        problem, _ = open_instance(batch, 0, new_workspace(batch))
        weight, has_parents = plain["energy_weight_s_per_j"], {child for _, child in plain["edges"]}
        expected_s = [0.0]
        for i in reversed(range(len(plain["input_bits"]))):
            local_j = plain["kappa"] * plain["cpu_hz"][0] ** 2 * plain["workload_cycles"][i]
            sends_s = [0.0 if i in has_parents else plain["input_bits"][i] / bps for bps in plain["uplink_bps"][1:]]
            price_s = weight * min(local_j, plain["transmit_w"] * min(sends_s)) / (1.0 + weight * plain["idle_w"])
            expected_s.append(expected_s[-1] + price_s)
        np.testing.assert_allclose(least_prices(problem, 0)[: len(expected_s)], expected_s[::-1], rtol=1e-11)


def test_of_equal_makespans_one_is_returned_of_which_no_move_lowers_the_mean():
    for instances in searched_instances()["independent"][:7]:
        plain, found = naive.from_instances(instances, 0), solve(instances).decisions
        here = found[0].tolist()
        makespan_s, mean_s = naive.latency(plain, here), naive.latency(plain, here, "mean")
        for i, k in product(range(len(here)), range(instances.num_locations)):
            moved = [*here[:i], k, *here[i + 1 :]]
            is_longer = naive.latency(plain, moved) > makespan_s
            assert is_longer or naive.latency(plain, moved, "mean") > mean_s * (1 - 1e-12)
        # Neither a limit of time that is not reached nor edges of others of a batch change it.
        room = {"edge_parent": np.zeros((1, 1), dtype=np.int64), "edge_bits": np.zeros((1, 1))}
        for one, limit_s in ((instances, 1e9), (Instances.from_batch(instances.batch._replace(**room)), math.inf)):
            again = _new_solutions(one)
            _search(one, objective_code("makespan"), Limits(UNLIMITED, limit_s), 1, again)
            np.testing.assert_array_equal(again.decisions, found)


@cache
def searched_instances() -> dict[str, list[Instances]]:
    """Instances with prices of energy of 6 to 8 tasks: independent, with graphs, and chains; and of more tasks."""
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
    made["busy"] = [one.replace(radio_backlog_s=[0.1]) for one in made["wide"]]
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
    ("busy", "cost", UNLIMITED): (2430, 2, 2.1023840861208467, 16.0314043631313, 0.0),
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
        self.left: dict[float, list[float]] = {}  # by moment, the share of its transmission that each radio has left
        self.core = np.full((streams.num_jobs, streams.num_tasks), -1)
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

    def send_until(self, now: float, then: float) -> None:
        super().send_until(now, then)
        self.left.setdefault(then, [one["left_bits"] / one["bits"] if one else 0.0 for one in self.sending])

    def take_core(self, now: float, j: int, i: int) -> None:
        k, d = self.decision[j][i], self.jobs[j]["device"]
        free_s = self.device_core_free_s[d] if k == 0 else self.core_free_s[k - 1]
        core = free_s.index(min(free_s))  # the lowest on a tie
        super().take_core(now, j, i)
        if (j, i) not in self.lost_s:  # as its server is down
            self.core[j, i] = core

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
            if len(made) % 3 == 0:
                streams = with_bits_times(streams, 2.0**-24)
            twin = ObservedStream(streams, decisions)
            if kind == "lost" and not (twin.lost_s and streams.num_tasks > 2 and streams.batch.edge_bits.size):
                continue
            for (j, _), moment_s in reversed(twin.lost_s.items()):  # some jobs are lost at their deadline
                if j % 2 and moment_s > jobs["arrival_s"][0, j]:
                    jobs["deadline_s"][0, j] = moment_s - jobs["arrival_s"][0, j]
            streams = Streams.from_batch(streams.batch._replace(jobs=jobs))
            wanted[kind] -= 1
            made.append(Played(streams, decisions, twin))
    one_task = [unit_streams([0.0], [2.0], up_but(1), failure_tasks=fate) for fate in ("wait", "lost")]
    single = [(streams, np.ones((1, 1, 1), dtype=np.int64)) for streams in one_task]
    for streams, decisions in (*single, parents_that_end_together(), a_lone_datum(), what_is_left()):
        made.append(Played(streams, decisions, ObservedStream(streams, decisions)))
    return made


def parents_that_end_together() -> tuple[Streams, NDArray[np.int64]]:
    """Three tasks end at 1, each with data for two others; behind job 1, which is sent, job 2 has waited longer."""
    cycles, input_bits = [0.5, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [[0.0] * 7, [3.0] + [0.0] * 6, [1.0] + [0.0] * 6]
    arrival_s, decisions = [0.0, 0.25, 0.5], [[0, 0, 0, 0, 1, 1, 0], [1] * 7, [1] * 7]
    jobs = [
        (at, 0, [(b, c, 0.0) for b, c in zip(bits, cycles, strict=True)])
        for at, bits in zip(arrival_s, input_bits, strict=True)
    ]
    edges = [(1, 4), (2, 4), (3, 4), (1, 5), (2, 5), (3, 5), (0, 6)]
    bits = [[4.0, 1.0, 2.0, 3.0, 5.0, 6.0, 1.0]] * 3
    return rules.world(jobs, decisions, edges, bits, device_cores=[4], wired_bps=[1.0, 1.0])


def a_lone_datum() -> tuple[Streams, NDArray[np.int64]]:
    """At 1 data of no bits for job 0 come to the server, where job 1 is ready, and nothing else is to happen."""
    jobs = [(0.0, 0, [(0.0, 1.0, 0.0), (0.0, 1.0, 0.0)]), (0.5, 1, [(0.5, 2.0, 0.0), (0.0, 0.0, 0.0)])]
    return rules.world(jobs, [[0, 1], [1, 1]], [(0, 1)], [[0.0], [0.0]])


def what_is_left() -> tuple[Streams, NDArray[np.int64]]:
    """Job 2 comes at 2. Of job 0, lost at 1, a task is ready then, and of job 1 the radio sends what nobody awaits."""
    cycles = np.array([[[2.0, 2.0, 1.0, 1.0], [2.0, 0.5, 0.0, 1.0], [0.0] * 4]])
    sizes = {name: np.zeros(cycles.shape) for name in ("input_bits", "output_bits")} | {"workload_cycles": cycles}
    edge_bits = np.array([[[0.0] * 3, [0.0, 3.0, 0.0], [0.0] * 3]])
    graph = {"edges": ((0, 3), (1, 3), (1, 2)), "edge_bits": edge_bits, "device_cores": [[2]]}
    streams = unit_streams([0.0, 0.0, 2.0], np.zeros(3), up_but(1), **sizes, **graph, failure_tasks="lost")
    return streams, np.array([[[1, 0, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]]])


def with_bits_times(streams: Streams, factor: float) -> Streams:
    """The same streams in other units of bits, which changes no time."""
    batch = streams.batch
    tasks, servers = batch.tasks.copy(), batch.servers.copy()
    tasks[..., [INPUT, OUTPUT]] *= factor
    servers["wired_bps"] *= factor
    rates = {name: getattr(batch, name) * factor for name in ("edge_bits", "uplink_bps", "downlink_bps")}
    return Streams.from_batch(batch._replace(tasks=tasks, servers=servers, **rates))


def test_responses_and_energy_are_those_of_the_twin():
    for streams, decisions, twin in small_streams():
        ours = outcome_of(streams, decisions)
        np.testing.assert_allclose(ours.response_s[0], twin.response_s, **CLOSE)
        np.testing.assert_allclose(ours.energy_j[0], twin.energy_j, **CLOSE)
        lost = np.isinf(twin.response_s) & (decisions[0, :, 0] != -1)
        assert ours.lost[0].tolist() == lost.tolist()


def test_each_stream_of_a_batch_is_played_for_itself():
    jobs = [(0.0, 0, [(1.0, 2.0, 4.0)])]
    streams, _ = rules.world(jobs, [[0]])
    batch = streams.batch
    names = [name for name in batch._fields if not name.startswith("graph")]
    rows = {name: np.repeat(getattr(batch, name), 3, axis=0) for name in names}
    decisions = np.array([[[0]], [[1]], [[-1]]])
    found = outcome_of(Streams.from_batch(batch._replace(**rows)), decisions).response_s
    np.testing.assert_allclose(found, [rules.in_plain_python(streams, [one]) for one in decisions])


def test_a_job_whose_data_are_never_sent_is_an_error():
    for silent in ({"uplink_bps": [[0.0]], "downlink_bps": [[1.0]]}, {"downlink_bps": [[0.0]]}):
        given = rules.world([(0.0, 0, [(1.0, 1.0, 1.0)])], [[1]], **silent)
        for play in (rules.in_plain_python, rules.in_the_kernel):
            with pytest.raises(ValueError, match="never completes"):
                play(*given)


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
        if streams.can_lose or not streams.batch.down_slots.any():  # else cores are free in up time, with other ties
            np.testing.assert_array_equal(tasks["core"], twin.core)
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
        self.ready_s = np.nan_to_num(self.twin.ready_s, nan=np.inf)  # (J, n)
        self.never_s = np.full(self.ready_s.shape, np.inf)  # (J, n) when a task is lost, or what it waits for is
        self.has_parents = np.zeros(self.ready_s.shape, dtype=bool)
        for j, job in enumerate(self.twin.jobs):
            for i, doomed_s in enumerate(self.doomed_s(j)):
                self.never_s[j, i] = min(doomed_s, self.twin.lost_s.get((j, i), math.inf))
                self.has_parents[j, i] = bool(job["parents"][i])

    def up_s(self, k: int, moment_s: float) -> float:
        """How long location k has been up until a moment, if tasks wait for it; else the moment."""
        if k == 0 or self.twin.stream["loses"]:
            return moment_s
        down = np.flatnonzero(self.twin.stream["down"][k]) * self.slot_s
        return moment_s - float(np.clip(moment_s - down, 0.0, self.slot_s).sum())

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
        system = at_the_beginning_again(world, played)
        arrival_s = book.jobs["arrival_s"]
        for j, now_s in enumerate(arrival_s.tolist()):
            advance(world, system, now_s, None)
            check_clock(book, system.clock[0], j, now_s)
            for d in range(streams.num_devices):
                check_device(book, system, d, j, now_s)
            check_tasks(book, system, j, now_s)
            check_report(book, system, now_s)
            for i in np.flatnonzero(book.lost_s[:j] < now_s - EPSILON_S):
                assert remains(world, system, i) == is_left(book, system, i)
            admit(world, system, j, decisions[0, j])
        advance(world, system, np.inf, None)
        check_tasks(book, system, len(arrival_s), 1e9)
        cores = np.concatenate((streams.batch.devices["cores"][0], streams.batch.servers["cores"][0]))
        is_core = np.arange(system.core_free_s.shape[1]) < cores[:, None]
        np.testing.assert_array_equal(np.isfinite(system.core_free_s), is_core)
        clock, (response_s, energy_j) = system.clock[0], np.empty((2, len(arrival_s)))
        read_fates(world, system, response_s, energy_j)
        assert clock["num_late"] == (~(response_s <= book.jobs["deadline_s"]) | np.isinf(response_s)).sum()
        assert (clock["num_in_system"], clock["num_events"], clock["num_busy"]) == (0, 0, 0)
        np.testing.assert_allclose(clock["in_system_js"], (book.gone_s - arrival_s).sum(), **CLOSE)
        np.testing.assert_allclose(clock["energy_j"], sum(played.twin.energy_j), **CLOSE)
        np.testing.assert_allclose(energy_j, played.twin.energy_j, **CLOSE)


def at_the_beginning_again(world: Any, played: Played) -> Any:
    """A system that was in the middle of the stream before."""
    system = system_of(new_system(played.streams), 0)
    begin(world, system)
    for j, now_s in enumerate(world.jobs["arrival_s"].tolist()):
        advance(world, system, now_s, None)
        admit(world, system, j, played.decisions[0, j])
    advance(world, system, now_s + 0.25, None)
    system.tasks["ready_s"] = 0.0
    system.fates["done_s"] = system.fates["energy_j"] = 1e9  # as of another stream
    begin(world, system)
    return system


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
    else:
        assert (clock["report_s"], clock["next_report_s"]) == (0.0, np.inf)


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
    if now_s in book.twin.left:  # not where a job is dropped
        np.testing.assert_allclose(left_of(book, system, d), book.twin.left[now_s][d], **CLOSE)
    surely, perhaps = book.pending(d, j, now_s)
    assert set(surely) <= set(ahead) <= set(perhaps)
    for (job, task, parent), (_, sent_s) in book.twin.sends.items():
        ready_s = book.twin.ready_s[job][task]
        if parent < 0 and sent_s < now_s - EPSILON_S and not math.isnan(ready_s):  # known once it is sent
            np.testing.assert_allclose(system.tasks[job * book.streams.num_tasks + task]["ready_s"], ready_s, **CLOSE)


def left_of(book: Book, system: Any, d: int) -> float:
    """The share of the transmission of a radio that it has not sent yet; 0 where it has begun none."""
    radio, clock = system.radios[d], system.clock[0]
    if not radio["busy"]:
        return 0.0
    left_bits = radio["left_bits"]
    if radio["due_s"] < np.inf:
        site, rate_bps = system.sites[radio["site"]], book.streams.batch.uplink_bps[0, d, clock["slot"]]
        left_bits = (radio["due_s"] - share_by_now_s(clock, site)) * rate_bps
    return float(left_bits / system.links[radio["first"]]["bits"])


def check_tasks(book: Book, system: Any, count: int, now_s: float) -> None:
    """Of each task of the first jobs whether it waits for data, and if not, when it became ready, and when it ends."""
    tasks, ready_s, never_s = system.tasks.reshape(book.ready_s.shape), book.ready_s, book.never_s
    known = book.streams.present[0] & ~book.dropped[:, None] & (np.arange(len(tasks)) < count)[:, None]
    known &= (abs(ready_s - now_s) > EPSILON_S) & (abs(never_s - now_s) > EPSILON_S)
    is_lost, is_ready = known & (never_s < now_s), known & (ready_s < now_s) & (never_s > now_s)
    waits = known & ~is_lost & ~is_ready
    for which, sign in ((is_lost, -1), (is_ready, 0), (waits, 1)):
        assert (np.sign(tasks["waits_for"][which]) == sign).all()
    assert (tasks["ready_s"][waits & book.has_parents] == 0.0).all()  # as it was, whatever is sent
    np.testing.assert_allclose(tasks["ready_s"][is_ready], ready_s[is_ready], **CLOSE)
    happens = system.events[: system.clock[0]["num_events"]]
    assert not is_lost.ravel()[happens[happens % NUM_EVENTS == FINISH] // NUM_EVENTS].any()
    for j, i in np.argwhere(is_ready) if len(system.ends_s) else ():
        if np.isfinite(book.twin.finish_s[j][i]):
            end_s = book.up_s(book.decision[j, i], book.twin.finish_s[j][i])
            np.testing.assert_allclose(system.ends_s.reshape(ready_s.shape)[j, i], end_s, **CLOSE)


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


def test_a_report_is_at_its_multiple_as_it_is_rounded():
    rng = np.random.default_rng(0)
    streams, _ = random_stream(rng)
    system = system_of(new_system(streams), 0)
    for every_s in (0.1, 0.3, *rng.uniform(0.01, 10.0, 10)):
        common = streams.batch.common.copy()
        common["report_s"] = every_s
        world = world_of(streams.batch._replace(common=common), 0)
        begin(world, system)
        for number in range(1, 40):
            at_s = number * every_s
            for until_s, last in ((np.nextafter(at_s, 0.0), number - 1), (at_s, number)):
                report(world, system, until_s)
                clock = system.clock[0]
                assert (clock["report_s"], clock["next_report_s"]) == (last * every_s, (last + 1) * every_s)


def test_the_last_moment_in_time_is_the_last_whose_rounded_response_keeps_the_deadline():
    rng = np.random.default_rng(0)
    job = np.zeros(1, dtype=random_stream(rng)[0].batch.jobs.dtype)
    for _ in range(300):
        job["arrival_s"], job["deadline_s"] = 10.0 ** rng.uniform(-3, 2, 2)
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
    test_of_locations_of_a_chain_that_come_to_the_same_the_lowest_is_taken,
    test_of_equal_makespans_one_is_returned_of_which_no_move_lowers_the_mean,
    test_the_bound_of_a_mean_is_the_least_of_all_splits_between_device_and_servers,
    test_least_prices_are_those_of_the_cheapest_locations,
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
        test_each_stream_of_a_batch_is_played_for_itself,
        test_a_job_whose_data_are_never_sent_is_an_error,
        test_moments_of_tasks_are_those_of_the_twin,
        test_what_is_known_at_each_arrival_is_what_the_twin_says,
        test_a_slot_begins_at_its_multiple_as_it_is_rounded,
        test_a_report_is_at_its_multiple_as_it_is_rounded,
        test_the_last_moment_in_time_is_the_last_whose_rounded_response_keeps_the_deadline,
        test_data_of_tasks_that_end_together_are_sent_in_the_order_of_their_children,
        test_stream_losses.test_what_a_failing_server_holds_is_lost_and_what_comes_while_it_is_down,
        test_stream_losses.test_what_waits_for_a_lost_task_never_runs_and_the_rest_of_its_job_does,
    ),
    "exact": OF_SEARCHES,
}
