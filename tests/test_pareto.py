"""Independent tasks by dynamic programming over the Pareto frontier: against brute force and branch and bound."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from conftest import KINDS, draw_instances
from numba.core.config import DISABLE_JIT

from offload_gym import Instances, latency, sample_instances, solve
from offload_gym.delay import (
    COST,
    MAKESPAN,
    MEAN,
    OBJECTIVES,
    Room,
    Start,
    cost_per_makespan,
    energy_price,
    evaluate,
    new_workspace,
    open_instance,
    place,
    take,
)
from offload_gym.demonstrations import label
from offload_gym.instances import POWER_FIELDS
from offload_gym.solvers.bounds import least_sum, lower_bound, tabulate_sums
from offload_gym.solvers.branch_and_bound import branch_and_bound
from offload_gym.solvers.exact import UNLIMITED
from offload_gym.solvers.pareto import FIRST_WIDTH, pareto_search
from offload_gym.solvers.stopping import new_budget

CODES = (MAKESPAN, MEAN, COST)
WIDTHS = (1, 2, 5, FIRST_WIDTH)


def powered(instances, rng):
    """The instances with random powers, some of them 0."""
    shape = (len(instances), len(POWER_FIELDS))
    power = rng.uniform(0.0, 1.0, shape) * rng.choice([0.0, 1.0, 3.0], shape)
    power[:, 0] *= 1e-27
    return instances.replace(**dict(zip(POWER_FIELDS, power.T, strict=True)))


def whole_times(size, n, num_locations, rng, edges=()):
    """Instances whose times are small whole numbers, often 0: full of ties, and sums of them have no rounding error."""
    locations = (size, num_locations)
    cores = rng.integers(1, rng.choice([1, 2, 4, 16]) + 1, locations)
    cores[rng.random(size) < 0.5, 0] = 1
    return Instances(
        input_bits=rng.integers(0, 4, (size, n)),
        output_bits=rng.integers(0, 3, (size, n)),
        workload_cycles=rng.integers(0, 5, (size, n)),
        cpu_hz=rng.choice([0.5, 1.0, 2.0], locations),
        cores=cores,
        backlog_s=rng.choice([0.0, 0.0, 1.0, 3.0, 50.0], (*locations, cores.max())),
        uplink_bps=rng.choice([1.0, 2.0], locations),
        downlink_bps=rng.choice([1.0, 2.0], locations),
        wired_bps=rng.choice([1.0, 4.0, np.inf], locations),
        propagation_s=rng.choice([0.0, 1.0], locations),
        radio_backlog_s=rng.choice([0.0, 0.0, 1.0, 30.0], size),
        kappa=rng.choice([0.0, 1.0], size),
        transmit_w=rng.choice([0.0, 1.0], size),
        idle_w=rng.choice([0.0, 1.0], size),
        energy_weight_s_per_j=rng.choice([0.5, 1.0], size),
        edges=edges,
        edge_bits=rng.integers(0, 3, (size, len(edges))),
    )


def batches(seed, size, sizes):
    """Batches of all kinds; ``sizes`` are (number of tasks, number of locations)."""
    rng = np.random.default_rng(seed)
    for n, num_locations in sizes:
        kind = str(rng.choice(KINDS))
        yield powered(draw_instances(kind, size, n, num_locations - 2, int(rng.integers(2**32))), rng), rng
        yield whole_times(size, n, num_locations, rng), rng


def all_values(instances, objective):
    """(decisions (D, n), values (B, D) of all of them, as ``latency`` says, in the terms of ``evaluate``)."""
    size = len(instances)
    decisions = np.array(list(itertools.product(range(instances.num_locations), repeat=instances.num_tasks)))
    copies = instances[np.repeat(np.arange(size), len(decisions))]
    values = latency(copies, np.tile(decisions, (size, 1)), OBJECTIVES[objective]).reshape(size, -1)
    if objective == MEAN:
        values *= instances.num_tasks
    if objective == COST:
        values /= np.array([cost_per_makespan(power) for power in instances.power])[:, None]
    return decisions, values


class Search:
    """One instance whose first tasks are placed as told: what the search starts from."""

    def __init__(self, instances, b, objective, prefix=()):
        self.problem, start = open_instance(instances.batch, b, new_workspace(instances.batch))
        self.objective, self.price_s = objective, 0.0
        self.prefix = np.zeros(instances.num_tasks, dtype=np.int64)
        radio_s, value_s = float(start.radio_s), 0.0
        room = Room(np.empty(instances.num_tasks), start.core_s)
        for i, k in enumerate(prefix):
            self.prefix[i] = k
            if objective == COST:
                self.price_s += energy_price(self.problem, self.prefix, i, k)
            placed = place(self.problem, self.prefix, i, k, radio_s, room)
            take(room, i, k, placed)
            radio_s = placed.radio_s
            value_s = value_s + placed.completion_s if objective == MEAN else max(value_s, placed.completion_s)
        self.start = Start(len(prefix), radio_s, value_s, room.free_s)

    def room(self):
        return Room(np.empty(len(self.prefix)), np.empty_like(self.start.core_s))

    def evaluate(self, decision):
        return evaluate(self.problem, decision, self.start, self.objective, self.room())

    def random_decision(self, rng):
        """The prefix and random places: an incumbent with much room below it."""
        decision, first = self.prefix.copy(), self.start.first
        decision[first:] = rng.integers(0, len(self.start.core_s), len(decision) - first)
        return decision

    def search(self, incumbent, width, max_nodes=UNLIMITED):
        """(value, nodes, proven), after what always holds of them."""
        decision, core_s, first = incumbent.copy(), self.start.core_s.copy(), self.start.first
        incumbent_s = self.evaluate(incumbent)
        value_s, nodes, proven = pareto_search(
            self.problem, decision, incumbent_s, self.start, self.objective, new_budget(max_nodes), width
        )
        np.testing.assert_array_equal(core_s, self.start.core_s)
        np.testing.assert_array_equal(decision[:first], self.prefix[:first])
        assert 1 <= nodes <= max_nodes
        assert value_s <= incumbent_s
        # The decision has the value, the makespan to the last bit.
        assert value_s == pytest.approx(self.evaluate(decision), rel=0 if self.objective == MAKESPAN else 1e-13, abs=0)
        return value_s, nodes, proven

    def branch_and_bound(self, incumbent):
        value_s, _, proven = branch_and_bound(
            self.problem,
            incumbent.copy(),
            self.evaluate(incumbent),
            self.start,
            self.objective,
            new_budget(UNLIMITED),
            self.room(),
        )
        assert proven
        return value_s

    def lower_bound(self, high_s):
        return lower_bound(self.problem, self.start, self.objective, high_s)


SMALL = [(1, 2), (1, 5), (2, 3), (3, 2), (3, 7), (4, 4), (5, 3), (6, 3), (7, 2), (8, 2)]


@pytest.mark.parametrize("objective", CODES)
def test_every_width_finds_the_optimum_of_all_decisions(objective):
    # From the start, or with the first tasks placed already
    again = placed = 0
    for instances, rng in batches(1, 24, SMALL):
        decisions, values = all_values(instances, objective)
        n, num_locations = instances.num_tasks, instances.num_locations
        for b in range(len(instances)):
            first = int(rng.integers(n)) if b % 2 else 0
            search = Search(instances, b, objective, rng.integers(0, num_locations, first))
            rest = (decisions[:, :first] == search.prefix[:first]).all(axis=1)
            least_s = values[b, rest].min() - search.price_s
            for width in WIDTHS:
                value_s, nodes, proven = search.search(search.random_decision(rng), width)
                assert proven
                assert value_s == pytest.approx(least_s, rel=1e-11, abs=1e-12 * search.price_s)
                again += nodes > 1 + width * num_locations * (n - first)  # no single pass makes so many
            placed += first > 0
    assert again > 150
    assert placed > 100


@pytest.mark.parametrize("objective", CODES)
def test_every_width_agrees_with_branch_and_bound(objective):
    again = 0
    for instances, rng in batches(2, 5, [(9, 3), (10, 3), (11, 2), (12, 2), (9, 4)]):
        for b in range(len(instances)):
            search = Search(instances, b, objective)
            incumbent = search.random_decision(rng)
            least_s = search.branch_and_bound(incumbent)
            for width in WIDTHS:
                value_s, nodes, proven = search.search(incumbent, width)
                assert proven
                assert value_s == pytest.approx(least_s, rel=3e-12)
                again += nodes > 1 + width * instances.num_locations * instances.num_tasks
    assert again > 20


@pytest.mark.parametrize("objective", CODES)
def test_a_limit_is_kept_and_only_optima_are_called_proven(objective):
    outcomes = {True: 0, False: 0}
    suboptimal = 0
    for instances, rng in batches(3, 6, [(4, 3), (5, 3), (7, 2), (6, 3)]):
        _, values = all_values(instances, objective)
        for b in range(len(instances)):
            search = Search(instances, b, objective)
            least_s = values[b].min()
            for width, max_nodes in itertools.product((1, 3, FIRST_WIDTH), (1, 20, 60, 200)):
                value_s, _, proven = search.search(search.random_decision(rng), width, max_nodes)
                assert value_s >= least_s * (1 - 1e-11)
                assert not proven or value_s <= least_s * (1 + 1e-11)
                outcomes[bool(proven)] += 1
                suboptimal += value_s > least_s * (1 + 1e-9)
    assert min(outcomes.values()) > 100
    assert suboptimal > 50


def test_a_pass_that_keeps_one_schedule_proves_nothing_by_itself():
    # GIVEN instances of which one pass of width 1 is all that the nodes allow
    instances = sample_instances({"num_tasks": 8}, 40, seed=4)
    optimum_s = solve(instances).latency_s
    rng = np.random.default_rng(5)
    found = []
    for b in range(40):
        search = Search(instances, b, MAKESPAN)
        value_s, _, proven = search.search(search.random_decision(rng), 1, max_nodes=1 + 3 * 8)
        assert not proven or value_s == pytest.approx(optimum_s[b], rel=1e-11)
        found.append(value_s)
    # THEN it improves on the random decision, and is rarely the optimum
    assert np.mean(np.array(found) > optimum_s * (1 + 1e-9)) > 0.5
    assert np.mean(found) < 1.5 * optimum_s.mean()


@pytest.mark.parametrize(("objective", "most"), [(MAKESPAN, 345), (MEAN, 88), (COST, 325)])
def test_few_schedules_are_made(objective, most):
    # Of half a million: 337, 85 and 315. Less dominance, levelling or bounding leaves more.
    rng = np.random.default_rng(6)
    instances = powered(sample_instances({"num_tasks": 12}, 200, seed=6), rng)
    solutions = solve(instances, OBJECTIVES[objective])
    assert solutions.optimal.all()
    assert solutions.nodes.mean() < most


def test_labels_after_a_prefix_are_optimal():
    for instances, rng in batches(7, 4, [(4, 3), (5, 2)]):
        n, num_locations = instances.num_tasks, instances.num_locations
        exploration = rng.integers(-1, num_locations, (len(instances), n))
        for objective in CODES:
            made = label(instances, OBJECTIVES[objective], exploration)
            decisions, values = all_values(instances, objective)
            scale = n if objective == MEAN else 1.0
            for b, i, k in np.ndindex(len(instances), n, num_locations):
                prefix = [*made.prefixes[b, :i], k]
                least_s = values[b, (decisions[:, : i + 1] == prefix).all(axis=1)].min()
                if objective == COST:
                    least_s *= cost_per_makespan(instances.power[b])
                assert made.alternative_s[b, i, k] * scale == pytest.approx(least_s, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("objective", CODES)
def test_lower_bound_is_below_all_decisions_and_above_nothing(objective):
    rng = np.random.default_rng(8)
    graphs = [(), ((0, 2), (1, 2), (2, 3)), ((0, 1), (0, 3)), ((0, 1), (1, 2), (2, 3))]
    cases = [instances for instances, _ in batches(9, 10, SMALL)]
    for graph in graphs * 4:
        cases.append(whole_times(10, 4, int(rng.integers(2, 5)), rng, graph))
    for instances in cases:
        _, values = all_values(instances, objective)
        for b, least_s in enumerate(values.min(axis=1)):
            search = Search(instances, b, objective)
            for high_s in (least_s, 1.1 * least_s, 5 * least_s + 1):
                bound_s = search.lower_bound(high_s)
                assert bound_s <= least_s * (1 + 2e-12)
                assert bound_s > 0 or least_s == 0


def test_least_sum_is_exact_where_only_radio_and_device_have_a_queue():
    # GIVEN one server with a core for each task: the bound leaves nothing out
    rng = np.random.default_rng(10)
    for device_cores in (1, 6):
        for n in range(1, 7):
            drawn = draw_instances("radio backlog", 5, n, 0, int(rng.integers(2**32)))
            drawn.locations[:, :, 1] = [device_cores, n]
            drawn.core_backlog_s[:] = rng.exponential(0.1, (5, 2, 1)) * [[1.0], [0.0]]
            instances = Instances.from_batch(drawn.batch)
            _, values = all_values(instances, MEAN)
            for b in range(5):
                search = Search(instances, b, MEAN)
                sums_s = np.empty((n + 1, n + 1))
                tabulate_sums(search.problem.times, 0, device_cores == 1, sums_s)
                assert least_sum(sums_s, 0, n, search.start.radio_s, search.start.core_s[0, 0]) == pytest.approx(
                    values[b].min()
                )


@pytest.mark.parametrize(("objective", "gap"), [("makespan", 0.03), ("mean", 0.005), ("cost", 0.03)])
def test_two_hundred_tasks_come_close_to_the_bound(objective, gap):
    instances = powered(sample_instances({"num_tasks": 200}, 6, seed=11), np.random.default_rng(11))
    at_once, longer = (solve(instances, objective, max_nodes=nodes) for nodes in (1, 100_000))
    for solutions in (at_once, longer):
        assert (solutions.lower_bound_s <= solutions.latency_s).all()
    assert (longer.nodes <= 100_000).all()
    assert (longer.latency_s <= at_once.latency_s).all()
    assert (at_once.lower_bound_s <= longer.latency_s * (1 + 1e-12)).all()
    assert np.mean(longer.latency_s / longer.lower_bound_s - 1) < gap
    assert objective == "mean" or longer.latency_s.mean() < at_once.latency_s.mean()


MANY = """
import resource
from offload_gym import sample_instances, solve

solve(sample_instances({"num_tasks": 30}, 1, seed=0), "mean", time_limit_s=0.01, num_threads=1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
solutions = solve(sample_instances({"num_tasks": 12_000}, 1, seed=0), "mean", time_limit_s=0.1, num_threads=1)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) / 1e3, solutions.latency_s[0] / solutions.lower_bound_s[0])
"""


@pytest.mark.skipif(DISABLE_JIT, reason="takes many minutes where numba compiles nothing")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the unit of the memory is that of Linux")
def test_many_tasks_take_memory_in_proportion_to_them():
    out = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, check=True).stdout
    added_mb, ratio = map(float, out.split())
    # A table of 12,001 x 12,001 sums would take 1,152 MB. The bound of the queues is there all the same.
    assert added_mb < 200
    assert 1.0 <= ratio < 1.1
