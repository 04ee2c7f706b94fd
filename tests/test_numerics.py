"""What rounding does and does not: times of very different lengths, ties, and streams far from time 0."""

from fractions import Fraction

import gymnasium as gym
import naive
import numpy as np
import pytest
from hypothesis import strategies as st
from naive_streams import naive_stream
from property_inputs import few_and_many, problems, refute, worlds

import offload_gym as og
from offload_gym import OBJECTIVES, Instances, completion_times, latency, solve
from offload_gym.solvers.greedy import greedy
from offload_gym.solvers.local_search import local_search
from offload_gym.streams.responses import response_times
from offload_gym.streams.streams import Streams
from offload_gym.streams.uptime import _slot_at

TOLERANCE = Fraction(11, 10**13)  # to a relative 1e-12 decisions are optimal, and the last digit of a value is rounded


class Infinite:
    """An infinite rate, at which a fraction of something takes no time, as a fraction."""

    def __rtruediv__(self, amount):
        return Fraction(0)


def without_rounding(instance):
    """An instance of ``naive`` in fractions."""

    def exact(value):
        if isinstance(value, list):
            return [exact(one) for one in value]
        return value if isinstance(value, tuple) else Infinite() if value == np.inf else Fraction(value)

    return {name: exact(value) for name, value in instance.items()}


@few_and_many
def test_decisions_are_optimal_in_fractions(tries):
    @refute(40 * tries, problems(max_tasks=4, max_locations=3, most=1), st.sampled_from(OBJECTIVES))
    def holds(given, objective):
        instances, _, is_exact = given
        one = without_rounding(naive.from_instances(instances, 0))
        decision = solve(instances, objective).decisions[0, : instances.task_counts[0]].tolist()
        least_s, _ = naive.brute_force(one, objective)
        reached_s = naive.latency(one, decision, objective)
        # The energy of the exact ones has more digits than a number holds.
        assert reached_s <= least_s * (1 + (0 if is_exact and objective != "cost" else TOLERANCE))


GRAPHS = {
    "independent": [],
    "chain": [(0, 1), (1, 2), (2, 3), (3, 4)],
    "graph": [(0, 1), (0, 2), (1, 3), (2, 3), (0, 4)],
}


@pytest.mark.parametrize("objective", ["makespan", "mean"])
@pytest.mark.parametrize("name", GRAPHS)
def test_microseconds_are_decided_beside_a_task_of_a_thousand_seconds(name, objective):
    rng, size, n, num_locations = np.random.default_rng(7), 8, 5, 3
    edges = GRAPHS[name]
    per_task, per_location = (size, n), (size, num_locations)
    workload = rng.uniform(1e-6, 2e-6, per_task)
    workload[:, 0] = 1e3  # the same seconds wherever it runs
    bits = {"edge_bits": rng.uniform(0.0, 1e-6, (size, len(edges))), "edges": edges} if edges else {}
    instances = Instances(
        input_bits=np.zeros(per_task), output_bits=rng.uniform(0.0, 1e-6, per_task) * (not edges),
        workload_cycles=workload, cpu_hz=np.ones(per_location), cores=np.ones(per_location),
        backlog_s=np.zeros(per_location), uplink_bps=rng.uniform(1.0, 2.0, per_location),
        downlink_bps=rng.uniform(1.0, 2.0, per_location), wired_bps=np.full(per_location, np.inf),
        propagation_s=rng.uniform(0.0, 1e-6, per_location), **bits,
    )  # fmt: skip
    solutions = solve(instances, objective)
    narrow = 0
    for b in range(size):
        one = without_rounding(naive.from_instances(instances, b))
        values_s = sorted({naive.latency(one, decision, objective) for decision in np.ndindex(*[num_locations] * n)})
        assert naive.latency(one, solutions.decisions[b].tolist(), objective) == values_s[0]
        narrow += values_s[1] < values_s[0] * Fraction(1 + 1e-8)
    assert narrow > size // 2  # a tolerance of a hundred-millionth would have been too coarse


@few_and_many
def test_ties_are_decided_alike_in_kernels_and_twin(tries):
    """GIVEN numbers whose sums are exact: many locations, cores and decisions are equally good."""
    ties = {"greedy": 0, "optimum": 0}

    @refute(100 * tries, problems(max_tasks=5, max_locations=4, exact=True, most=1))
    def holds(given):
        instances, decisions, _ = given
        one, count = naive.from_instances(instances, 0), int(instances.task_counts[0])
        # The lowest location of those where a task is complete first.
        placed = naive.roll_out(one, ())
        assert greedy(instances)[0, :count].tolist() == list(placed)
        last = [naive.completion_times(one, (*placed[:-1], k))[-1] for k in range(instances.num_locations)]
        ties["greedy"] += last.count(min(last)) > 1
        for objective in ("makespan", "mean"):
            found = solve(instances, objective)
            least_s, _ = naive.brute_force(one, objective)
            improved = local_search(instances, decisions, objective)
            # What the solver says, what the kernel makes of its decision, and the twin: the same number.
            assert found.latency_s[0] == latency(instances, found.decisions, objective)[0] == least_s
            reached_s = naive.latency(one, improved[0, :count].tolist(), objective)
            assert latency(instances, improved, objective)[0] == reached_s
        if not instances.edges_of(0):
            ties["optimum"] += assert_settled(instances, one, count)

    assert min(ties.values()) > 3 * tries, ties


def assert_settled(instances, one, count):
    """No single move of independent tasks keeps the least makespan and lowers the mean; whether any keeps it."""
    decision = solve(instances).decisions[0, :count].tolist()
    times_s = completion_times(instances, solve(instances).decisions)[0, :count]
    kept = 0
    for i in range(count):
        for k in range(instances.num_locations):
            moved_s = naive.completion_times(one, [*decision[:i], k, *decision[i + 1 :]])
            if max(moved_s) <= times_s.max() and k != decision[i]:
                kept += 1
                assert sum(moved_s) >= times_s.sum()
    return kept > 0


def postponed(streams, slots):
    """The stream after as many slots in which nothing happens."""
    batch = streams.batch
    jobs = batch.jobs.copy()
    jobs["arrival_s"] += slots * batch.common["slot_s"][:, None]
    rates = {
        name: np.concatenate([np.repeat(getattr(batch, name)[:, :, :1], slots, axis=2), getattr(batch, name)], axis=2)
        for name in ("uplink_bps", "downlink_bps")
    }
    return Streams.from_batch(batch._replace(jobs=jobs, **rates))


@few_and_many
def test_a_stream_far_from_time_0_keeps_its_precision(tries):
    """A time is a float64: at 1e7 s it is a multiple of 2e-9 s, and that is all that responses lose.

    Exact streams have no finer times than about 2**-27 s and lose nothing. The other ones have the same rates in all
    slots here: where a rate falls to a millionth while data are sent, a bit that rounding leaves for the second slot
    takes a million times as long, which is the model's doing.
    """

    @refute(40 * tries, worlds(fails=False), st.sampled_from([1e3, 1e5, 1e7]))
    def holds(given, begin_s):
        streams, decisions, is_exact = given
        if not is_exact:
            for rates in (streams.batch.uplink_bps, streams.batch.downlink_bps):
                rates[:] = rates[:, :, -1:]
        slot_s = streams.batch.common["slot_s"]
        slot_s[:] = np.maximum(slot_s, 2.0 ** np.ceil(np.log2(begin_s / 10_000)))  # so that there are not too many
        slots = round(begin_s / slot_s[0])
        response_s = response_times(streams, decisions)
        later_s = response_times(postponed(streams, slots), decisions)
        rounded = 0.0 if is_exact else (8 + 4 * decisions.size) * np.spacing(begin_s + response_s.max())
        np.testing.assert_allclose(later_s, response_s, rtol=0, atol=rounded)


def test_a_stream_of_a_third_of_a_year_keeps_its_precision():
    """GIVEN the same ten jobs of two devices every 10,000 s, up to 1e7 s."""
    rng, times, num_jobs, n = np.random.default_rng(3), 1000, 10, 3
    per_task = (num_jobs, n)
    once = {
        "arrival_s": np.sort(rng.uniform(0.0, 2.0, num_jobs)),
        "device": rng.integers(0, 2, num_jobs),
        "input_bits": rng.uniform(1e5, 4e6, per_task),
        "output_bits": rng.uniform(1e5, 4e6, per_task),
        "workload_cycles": rng.uniform(1e8, 2e9, per_task),
    }
    fields = {name: np.concatenate([values] * times)[None] for name, values in once.items()}
    fields["arrival_s"] = fields["arrival_s"] + np.repeat(np.arange(times) * 1e4, num_jobs)
    machines = {
        "device_hz": [[1e9, 2e9]], "cpu_hz": [[4e9, 9e9]], "cores": [[2, 4]], "wired_bps": [[np.inf, 1e8]],
        "propagation_s": [[0.005, 0.03]], "uplink_bps": [[[2e7], [3e7]]], "downlink_bps": [[[4e7], [5e7]]],
    }  # fmt: skip
    streams = Streams(**fields, **machines)
    decisions = np.concatenate([rng.integers(0, 3, per_task)] * times)[None]
    response_s = response_times(streams, decisions).reshape(times, num_jobs)
    alone = Streams(**{name: values[None] for name, values in once.items()}, **machines)
    first_s = naive_stream(alone, 0, decisions[:, :num_jobs]).response_s
    np.testing.assert_allclose(response_s[0], first_s, rtol=1e-12)
    worst_s = np.abs(response_s - response_s[0]).max()
    assert worst_s < 20 * np.spacing(1e7)


def kinds(given):
    """The types of all arrays and numbers in tuples and dictionaries; of records those of their fields."""
    if isinstance(given, (tuple, list)):
        return set().union(*map(kinds, given))
    if isinstance(given, dict):
        return kinds(tuple(given.values()))
    if given is None or isinstance(given, str):
        return set()
    dtype = np.asarray(given).dtype
    return {dtype.fields[name][0].name for name in dtype.names} if dtype.names else {dtype.name}


def test_each_stage_counts_as_the_docs_say():
    """docs/design.md: seconds, bits and cycles are float64, what a network reads and says is float32."""
    instances = og.sample_instances("default", 3, seed=0)
    streams = og.sample_streams("stream_mobile", 1, seed=0)
    assert kinds(instances.batch) | kinds(tuple(solve(instances).latency_s)) == {"float64", "int64"}
    assert kinds(tuple(streams.batch)) <= {"float64", "int64", "bool"}
    assert kinds(tuple(og.generate_demonstrations("default", 3, seed=0).alternative_s)) == {"float64"}
    for name in ("Joint-v0", "Sequential-v0", "Stream-v0"):
        envs = gym.make_vec(f"offload_gym/{name}", num_envs=2)
        observations, _ = envs.reset(seed=0)
        rewards = envs.step(envs.action_space.sample())[1]
        assert kinds(observations) == {"float32"} == {envs.single_observation_space.dtype.name}
        assert kinds(rewards) == {"float64"}
    for network in (og.make_policy("student", preset="dag").network, og.make_policy("student").network):
        layers = network.layers if hasattr(network, "layers") else (*network.encoder, *network.head)
        assert kinds(layers) == {"float32"}


@pytest.mark.parametrize("slot_s", [0.1, 0.25, 0.3, 0.7, 1 / 3])
def test_a_moment_is_in_the_slot_whose_bounds_are_about_it(slot_s):
    last, corrected = 400, {-1: 0, 0: 0, 1: 0}
    for k in range(1, last):
        for time_s in (np.nextafter(k * slot_s, 0.0), k * slot_s, np.nextafter(k * slot_s, np.inf), k * slot_s + 0.05):
            slot = _slot_at(slot_s, last, time_s)
            assert slot * slot_s <= time_s < (slot + 1) * slot_s
            corrected[slot - int(time_s / slot_s)] += 1
    # Division alone says another slot now and then, of slots that are no sums of powers of two.
    assert slot_s == 0.25 or corrected[-1] + corrected[1] > 0
    assert _slot_at(slot_s, last, np.inf) == _slot_at(slot_s, last, (last + 9) * slot_s) == last
