"""Chains by dynamic programming: against branch and bound, the naive twin and shortest paths."""

import time

import naive
import numpy as np
import pytest
from conftest import KINDS, draw_instances

from offload_gym import Instances, latency, sample_instances, solve
from offload_gym.delay import (
    MAKESPAN,
    Problem,
    Room,
    Start,
    evaluate,
    new_workspace,
    open_instance,
    place,
    take,
)
from offload_gym.demonstrations import label
from offload_gym.instances import LOCATION_FIELDS, TASK_FIELDS
from offload_gym.solvers.branch_and_bound import branch_and_bound
from offload_gym.solvers.chain import is_chain, solve_chain
from offload_gym.solvers.exact import UNLIMITED, solve_one
from offload_gym.solvers.greedy import complete_greedily
from offload_gym.solvers.local_search import improve
from offload_gym.solvers.stopping import new_budget


def as_problem(instances, b=0):
    return open_instance(instances.batch, b, new_workspace(instances.batch))[0]


def as_chains(instances, rng, share_empty=0.2):
    """The instances with each task the parent of the next, and data that is sometimes none."""
    n = instances.num_tasks
    bits = rng.uniform(0.1e6, 4e6, (len(instances), n - 1))
    bits[rng.random(bits.shape) < share_empty] = 0.0
    names = (*TASK_FIELDS, *LOCATION_FIELDS, "backlog_s", "radio_backlog_s")
    edges = [(i, i + 1) for i in range(n - 1)]
    return Instances(**{name: getattr(instances, name) for name in names}, edges=edges, edge_bits=bits)


def random_chains(max_tasks, max_locations, size, seed):
    """Batches with every number of tasks and locations up to the largest."""
    rng = np.random.default_rng(seed)
    for n in range(1, max_tasks + 1):
        for num_locations in range(2, max_locations + 1):
            kind = "mixed" if rng.random() < 0.7 else str(rng.choice(KINDS))
            drawn = draw_instances(kind, size, n, num_locations - 2, int(rng.integers(2**32)))
            yield as_chains(drawn, rng), rng


class Schedule:
    """One instance with its first tasks placed as told: what the kernels take."""

    def __init__(self, instances, b, prefix=(), value_s=0.0):
        self.problem, start = open_instance(instances.batch, b, new_workspace(instances.batch))
        self.decision = np.full(instances.num_tasks, -1)
        self.finish_s = np.full(instances.num_tasks, np.nan)
        radio_s, room = float(start.radio_s), Room(self.finish_s, start.core_s)
        for i, k in enumerate(prefix):
            self.decision[i] = k
            placed = place(self.problem, self.decision, i, k, radio_s, room)
            take(room, i, k, placed)
            radio_s, value_s = placed.radio_s, max(value_s, placed.completion_s)
        self.start = Start(len(prefix), radio_s, value_s, room.free_s)

    def room(self):
        return Room(self.finish_s.copy(), np.empty_like(self.start.core_s))

    def evaluate(self, decision):
        return evaluate(self.problem, decision, self.start, MAKESPAN, self.room())

    def by_dynamic_programming(self):
        """(value, decision); what must not be written is not."""
        finish_s, core_s, decision = self.finish_s.copy(), self.start.core_s.copy(), self.decision.copy()
        first = self.start.first
        least_s = solve_chain(self.problem, decision, self.start, finish_s)
        np.testing.assert_array_equal(finish_s, self.finish_s)
        np.testing.assert_array_equal(core_s, self.start.core_s)
        np.testing.assert_array_equal(decision[:first], self.decision[:first])
        assert ((decision >= 0) & (decision < len(core_s))).all()
        return least_s, decision

    def by_branch_and_bound(self):
        """The value that ``solve_one`` finds where it does not take the tasks for a chain."""
        start, decision, room = self.start, self.decision.copy(), self.room()
        room.free_s[:] = start.core_s
        complete_greedily(self.problem, decision, start.first, start.radio_s, room)
        best_s = improve(self.problem, decision, start, MAKESPAN, room)
        return branch_and_bound(self.problem, decision, best_s, start, MAKESPAN, new_budget(UNLIMITED), room)[0]


def best_of_all(instances, b, prefix):
    """The least makespan over all decisions that begin with the prefix, from the kernel ``latency``."""
    free = instances.num_tasks - len(prefix)
    tails = np.array(list(np.ndindex(*(instances.num_locations,) * free)), dtype=np.int64).reshape(-1, free)
    decisions = np.hstack([np.tile(np.asarray(prefix, dtype=np.int64), (len(tails), 1)), tails])
    return latency(instances[np.full(len(decisions), b)], decisions).min()


@pytest.mark.parametrize(
    ("n", "edges", "expected"),
    [
        (1, [], True),
        (2, [(0, 1)], True),
        (2, [], False),
        (4, [(2, 3), (0, 1), (1, 2)], True),
        (4, [(0, 1), (1, 2)], False),
        (4, [(1, 2), (2, 3)], False),
        (4, [(0, 1), (1, 2), (1, 3)], False),
        (4, [(0, 1), (0, 2), (2, 3)], False),
        (4, [(0, 1), (0, 2), (1, 2)], False),
        (4, [(0, 3), (1, 3), (2, 3)], False),
        (4, [(0, 1), (1, 2), (2, 3), (0, 2)], False),
    ],
)
def test_is_chain(n, edges, expected):
    instances = sample_instances({"num_tasks": n}, 1, seed=0)
    fields = {name: getattr(instances, name) for name in (*TASK_FIELDS, *LOCATION_FIELDS, "backlog_s")}
    made = Instances(**fields, edges=edges, edge_bits=np.ones((1, len(edges))))
    assert is_chain(as_problem(made)) == expected


def test_chain_by_hand(hand_fields):
    instances = Instances(**hand_fields, edges=[(0, 1), (1, 2)], edge_bits=[[2e6, 4e6]])
    least_s, decision = Schedule(instances, 0).by_dynamic_programming()
    assert decision.tolist() == [2, 2, 2]
    assert least_s == pytest.approx(0.464, abs=1e-9)
    solutions = solve(instances, max_nodes=1)  # it bounds a search, and there is none
    assert solutions.decisions.tolist() == [[2, 2, 2]]
    assert solutions.optimal[0]
    assert solutions.nodes.tolist() == [9]
    after_edge, decision = Schedule(instances, 0, prefix=[1]).by_dynamic_programming()
    assert after_edge == latency(instances, [decision])[0] == best_of_all(instances, 0, [1])


def test_dynamic_programming_equals_branch_and_bound():
    compared = 0
    for instances, _ in random_chains(max_tasks=9, max_locations=5, size=20, seed=1):
        for b in range(len(instances)):
            chain = Schedule(instances, b)
            least_s, decision = chain.by_dynamic_programming()
            assert least_s == chain.evaluate(decision) == latency(instances[b : b + 1], [decision])[0]
            assert least_s == pytest.approx(chain.by_branch_and_bound(), rel=2e-12)
            compared += 1
    assert compared == 720


def test_dynamic_programming_equals_brute_force():
    for instances, _ in random_chains(max_tasks=5, max_locations=4, size=4, seed=2):
        solutions = solve(instances)
        for b in range(len(instances)):
            if instances.num_locations**instances.num_tasks > 300:
                continue
            best_s = naive.brute_force(naive.from_instances(instances, b))[0]
            assert solutions.latency_s[b] == pytest.approx(best_s, rel=1e-12, abs=1e-15)
            # To the last bit, as rounding keeps order.
            assert Schedule(instances, b).by_dynamic_programming()[0] == best_of_all(instances, b, [])


def test_from_a_schedule_of_the_first_tasks():
    dominated = 0
    for instances, rng in random_chains(max_tasks=8, max_locations=5, size=12, seed=3):
        for b in range(len(instances)):
            prefix = rng.integers(0, instances.num_locations, rng.integers(instances.num_tasks))
            # Sometimes what is already in the schedule completes after all of the chain can.
            value_s = float(rng.choice([0.0, 0.3, 100.0]))
            chain = Schedule(instances, b, prefix, value_s)
            least_s, decision = chain.by_dynamic_programming()
            assert least_s == chain.evaluate(decision)
            assert least_s == pytest.approx(chain.by_branch_and_bound(), rel=2e-12)
            if instances.num_locations ** (instances.num_tasks - len(prefix)) <= 300:
                assert least_s == max(value_s, best_of_all(instances, b, prefix))
            dominated += least_s == value_s
    assert 20 < dominated < 250


def test_solve_one_takes_it_for_the_makespan_of_a_chain_only():
    instances = next(chains for chains, _ in random_chains(6, 4, 1, seed=4) if chains.num_tasks == 6)
    chain = Schedule(instances, 0)
    for objective, problem in ((MAKESPAN, chain.problem), (1, chain.problem), (MAKESPAN, independent(chain.problem))):
        _, nodes, _ = solve_one(
            problem, chain.decision.copy(), chain.start, objective, new_budget(UNLIMITED), True, False, chain.room()
        )
        states = instances.num_tasks * instances.num_locations
        assert (nodes == states) is (objective == MAKESPAN and problem is chain.problem)


def independent(problem: Problem) -> Problem:
    return problem._replace(
        edge_start=np.zeros_like(problem.edge_start), edge_parent=problem.edge_parent[:0], moves=problem.moves[:0]
    )


def test_of_equals_the_lowest_location():
    ones = np.ones((1, 3))
    instances = Instances(
        input_bits=0 * ones, output_bits=0 * ones, workload_cycles=ones, cpu_hz=np.ones((1, 4)), cores=np.ones((1, 4)),
        backlog_s=np.ones((1, 4)), uplink_bps=np.ones((1, 4)), downlink_bps=np.ones((1, 4)),
        wired_bps=np.ones((1, 4)), propagation_s=np.zeros((1, 4)), edges=[(0, 1), (1, 2)], edge_bits=[[0.0, 0.0]],
    )  # fmt: skip
    assert solve(instances).decisions.tolist() == [[0, 0, 0]]
    assert Schedule(instances, 0, prefix=[3]).by_dynamic_programming()[1].tolist() == [3, 0, 0]


def test_a_long_chain_reaches_a_lower_bound():
    """Radio and cores are only ever busier later, so the least finish times with no task in the way are a bound."""
    n, num_locations = 200, 6
    rng = np.random.default_rng(5)
    drawn = sample_instances({"num_tasks": n, "num_edges": num_locations - 2}, 3, rng)
    chains = as_chains(drawn, rng)
    chains.core_backlog_s[:, :, 0] = [0.0, 5.0, 2.0, 8.0, 4.0, 12.0]  # other places are best later
    chains.radio_backlog_s[:] = [0.0, 2.0, 6.0]
    solve(chains)  # compiles
    start = time.perf_counter()
    solutions = solve(chains, num_threads=1)
    assert time.perf_counter() - start < 0.5
    assert solutions.optimal.all()
    assert (solutions.nodes == n * num_locations).all()
    for b in range(len(chains)):
        run_s = chains.workload_cycles[b][:, None] / chains.cpu_hz[b]
        up_bps, down_bps, wired_bps = chains.uplink_bps[b], chains.downlink_bps[b], chains.wired_bps[b]
        away_s, free_s, radio_s = chains.propagation_s[b], chains.backlog_s[b], chains.radio_backlog_s[b]
        bits = chains.input_bits[b, 0]
        ready_s = radio_s + bits / up_bps + bits / wired_bps + away_s
        ready_s[0] = 0.0
        for i in range(n):
            finish_s = np.maximum(ready_s, free_s) + run_s[i]
            if i < n - 1:
                bits = chains.edge_bits[b, i]
                wired_s = bits / wired_bps + away_s
                arrival_s = finish_s[:, None] + wired_s[:, None] + wired_s
                arrival_s[0] = max(radio_s, finish_s[0]) + bits / up_bps + wired_s
                arrival_s[:, 0] = finish_s + bits / down_bps + wired_s
                np.fill_diagonal(arrival_s, finish_s)
                ready_s = arrival_s.min(axis=0)
        bits = chains.output_bits[b, -1]
        finish_s[1:] += (bits / down_bps + bits / wired_bps + away_s)[1:]
        assert solutions.latency_s[b] == pytest.approx(finish_s.min(), rel=1e-12)
        assert len(np.unique(solutions.decisions[b])) > 2  # the choice is not one place for all


def test_labels_of_chains_agree_with_branch_and_bound():
    for instances, rng in random_chains(max_tasks=6, max_locations=4, size=3, seed=6):
        shape = (len(instances), instances.num_tasks)
        exploration = np.where(rng.random(shape) < 0.3, rng.integers(0, instances.num_locations, shape), -1)
        made = label(instances, "makespan", exploration)
        for b in range(len(instances)):
            assert made.latency_s[b] == pytest.approx(Schedule(instances, b).by_branch_and_bound(), rel=2e-12)
            for i in range(instances.num_tasks):
                for k in range(instances.num_locations):
                    chain = Schedule(instances, b, [*made.prefixes[b, :i], k])
                    best_s = chain.by_branch_and_bound() if i + 1 < instances.num_tasks else chain.start.value_s
                    assert made.alternative_s[b, i, k] == pytest.approx(best_s, rel=2e-12)
