"""What the model of one moment implies, tried on the whole domain of valid input."""

import naive
import numpy as np
from hypothesis import strategies as st
from property_inputs import few_and_many, problems, refute, renamed, scaled

from offload_gym import OBJECTIVES, Instances, completion_times, energy, latency, make_policy, schedule, solve
from offload_gym.demonstrations import label
from offload_gym.instances import LOCATION_FIELDS, TASK_FIELDS
from offload_gym.solvers.greedy import greedy

SEEDS = st.integers(0, 2**32 - 1)
HEURISTICS = ("local", "cloud", "greedy", "heft", "peft", "beam-4", "portfolio", "greedy+flip", "heft+swap")


def agree(ours, twin, is_exact):
    """Equal to the last bit where nothing is rounded, else but for rounding."""
    if is_exact:
        np.testing.assert_array_equal(ours, twin)
    else:
        np.testing.assert_allclose(ours, twin, rtol=1e-12, atol=0)


@few_and_many
def test_the_kernel_equals_the_twin(tries):
    @refute(100 * tries, problems())
    def holds(given):
        instances, decisions, is_exact = given
        completion_s = completion_times(instances, decisions)
        values_s = {objective: latency(instances, decisions, objective) for objective in OBJECTIVES}
        joules = energy(instances, decisions)
        for b in range(len(instances)):
            one, count = naive.from_instances(instances, b), instances.task_counts[b]
            decision = decisions[b, :count].tolist()
            agree(completion_s[b, :count], naive.completion_times(one, decision), is_exact)
            assert np.isnan(completion_s[b, count:]).all()
            for objective, value_s in values_s.items():
                # The energy has products of more digits than a number holds.
                agree(value_s[b], naive.latency(one, decision, objective), is_exact and objective != "cost")
            agree(joules[b], naive.energy(one, decision), False)


@few_and_many
def test_times_that_are_all_multiplied_multiply_all_results(tries):
    @refute(60 * tries, problems(max_tasks=6, max_locations=4), st.integers(-30, 30))
    def holds(given, exponent):
        instances, decisions, _ = given
        factor = 2.0**exponent  # by which floating point multiplies without rounding
        slowed = scaled(instances, factor)
        completion_s = completion_times(instances, decisions)
        np.testing.assert_array_equal(completion_times(slowed, decisions), completion_s * factor)
        for objective in ("makespan", "mean"):
            value_s = latency(instances, decisions, objective)
            np.testing.assert_array_equal(latency(slowed, decisions, objective), value_s * factor)
            before, after = solve(instances, objective), solve(slowed, objective)
            np.testing.assert_allclose(after.latency_s, before.latency_s * factor, rtol=1e-11, atol=0)
            assert before.optimal.all()
            assert after.optimal.all()
        np.testing.assert_array_equal(greedy(slowed), greedy(instances))


@few_and_many
def test_servers_in_another_order_change_nothing(tries):
    @refute(60 * tries, problems(max_tasks=7, max_locations=5), SEEDS)
    def holds(given, seed):
        instances, decisions, _ = given
        order = np.append(0, 1 + np.random.default_rng(seed).permutation(instances.num_locations - 1))
        others = renamed(instances, order)
        # Location order[k] is now called k.
        of_others = np.argsort(order)[decisions]
        np.testing.assert_array_equal(completion_times(others, of_others), completion_times(instances, decisions))
        np.testing.assert_array_equal(energy(others, of_others), energy(instances, decisions))
        for objective in OBJECTIVES:
            optimum_s = solve(instances, objective).latency_s
            np.testing.assert_allclose(solve(others, objective).latency_s, optimum_s, rtol=1e-11, atol=0)


def without_last(instances, count):
    """The first ``count`` tasks of each instance, and the edges among them."""
    batch = instances.batch
    return Instances.from_batch(
        batch._replace(
            tasks=np.ascontiguousarray(batch.tasks[:, :count]),
            task_counts=np.minimum(batch.task_counts, count),
            edge_start=np.ascontiguousarray(batch.edge_start[:, : count + 1]),
        )
    )


@few_and_many
def test_later_tasks_never_change_when_earlier_ones_run(tries):
    @refute(100 * tries, problems(max_tasks=16), st.integers(1, 16))
    def holds(given, count):
        instances, decisions, _ = given
        count = min(count, instances.num_tasks)
        fewer = without_last(instances, count)
        for b in range(len(instances)):
            first = schedule(fewer, decisions[b, :count], b)
            whole = schedule(instances, decisions[b], b)
            here = len(first.location)
            # The completion of a task that is given a child is its finish from then on, so it is not among these.
            for name in ("core", "send_start_s", "send_end_s", "start_s", "finish_s"):
                np.testing.assert_array_equal(getattr(whole, name)[:here], getattr(first, name), err_msg=name)


#: What makes a location, or what is to be done, quicker: a field and by what it is multiplied.
QUICKER = {
    **dict.fromkeys(("cpu_hz", "uplink_bps", "downlink_bps", "wired_bps", "cores"), 2.0),
    **dict.fromkeys(("input_bits", "output_bits", "workload_cycles", "edge_bits"), 0.5),
    **dict.fromkeys(("propagation_s", "backlog_s", "radio_backlog_s"), 0.0),
}


def made_quicker(instances, name, seed):
    """The instances with some numbers of a field changed as ``QUICKER`` says."""
    fields = {field: getattr(instances, field).copy() for field in (*TASK_FIELDS, *LOCATION_FIELDS)}
    fields |= {field: getattr(instances, field).copy() for field in ("edge_bits", "backlog_s", "radio_backlog_s")}
    chosen = np.random.default_rng(seed).random(fields[name].shape) < 0.7
    fields[name][chosen] = fields[name][chosen] * QUICKER[name]
    if name == "cores" and fields["backlog_s"].ndim == 3:  # the new ones are free as late as the last one was
        most = int(fields["cores"].max())
        missing = max(0, most - fields["backlog_s"].shape[2])
        fields["backlog_s"] = np.pad(fields["backlog_s"], ((0, 0), (0, 0), (0, missing)), mode="edge")
    return instances.replace(**fields)


@few_and_many
def test_whatever_is_quicker_never_makes_a_decision_worse(tries):
    """One moment has no anomalies: the radio and each location serve tasks by their index, whatever takes how long.

    In streams, which serve what comes first, there are: see ``test_properties_streams.py``.
    """
    quicker = dict.fromkeys(QUICKER, 0)

    @refute(30 * tries, problems(max_tasks=24), SEEDS)
    def holds(given, seed):
        instances, decisions, _ = given
        before_s = completion_times(instances, decisions)
        for name in QUICKER:
            after_s = completion_times(made_quicker(instances, name, seed), decisions)
            assert not (after_s > before_s).any(), name
            quicker[name] += (after_s < before_s).any()

    assert min(quicker.values()) > 0, quicker


@few_and_many
def test_lower_bound_optimum_and_heuristics_are_in_order(tries):
    @refute(60 * tries, problems(max_tasks=7, max_locations=4), st.sampled_from(OBJECTIVES), st.integers(1, 60))
    def holds(given, objective, max_nodes):
        instances, _, _ = given
        best = solve(instances, objective)
        assert best.optimal.all()
        cut = solve(instances, objective, max_nodes=max_nodes)
        assert (cut.lower_bound_s <= best.latency_s * (1 + 1e-11)).all()
        assert (best.latency_s <= cut.latency_s * (1 + 1e-11)).all()
        for name in HEURISTICS:
            value_s = latency(instances, make_policy(name, objective).decide(instances), objective)
            assert (best.latency_s <= value_s * (1 + 1e-11)).all(), name


@few_and_many
def test_no_heuristic_is_below_the_bound_of_a_search_that_is_stopped(tries):
    @refute(25 * tries, problems(most=1), st.sampled_from(OBJECTIVES))
    def holds(given, objective):
        instances, _, _ = given
        stopped = solve(instances, objective, max_nodes=1)
        for name in HEURISTICS:
            value_s = latency(instances, make_policy(name, objective).decide(instances), objective)
            assert (stopped.lower_bound_s <= value_s * (1 + 1e-11)).all(), name


@few_and_many
def test_the_optimum_is_that_of_the_twin(tries):
    @refute(60 * tries, problems(max_tasks=4, max_locations=4, most=1), st.sampled_from(OBJECTIVES))
    def holds(given, objective):
        instances, _, _ = given
        least_s, _ = naive.brute_force(naive.from_instances(instances, 0), objective)
        np.testing.assert_allclose(solve(instances, objective).latency_s, [least_s], rtol=1e-11, atol=0)


@few_and_many
def test_greedy_is_that_of_the_twin(tries):
    @refute(60 * tries, problems(max_tasks=24, exact=True, most=1))
    def holds(given):
        instances, _, _ = given
        expected = naive.roll_out(naive.from_instances(instances, 0), ())
        assert greedy(instances)[0, : len(expected)].tolist() == list(expected)


@few_and_many
def test_the_cost_of_each_alternative_is_the_least_of_all_that_begin_with_it(tries):
    @refute(30 * tries, problems(max_tasks=4, max_locations=3, most=1), st.sampled_from(["makespan", "mean"]))
    def holds(given, objective):
        instances, decisions, _ = given
        made, one = label(instances, objective, exploration=decisions), naive.from_instances(instances, 0)
        count, num_locations = int(instances.task_counts[0]), instances.num_locations
        values_s = {d: naive.latency(one, d, objective) for d in np.ndindex(*[num_locations] * count)}
        for i in range(count):
            for k in range(num_locations):
                begin = (*decisions[0, :i].tolist(), k)
                least_s = min(value_s for d, value_s in values_s.items() if d[: i + 1] == begin)
                np.testing.assert_allclose(made.alternative_s[0, i, k], least_s, rtol=1e-11, atol=0)
