"""Playing, planning and labelling streams: nobody sees the future, and costs are what they are said to be."""

from __future__ import annotations

import numpy as np
import pytest

import offload_gym
from offload_gym.random_numbers import stream
from offload_gym.solvers.stopping import new_stop, watch_of
from offload_gym.streams.beliefs import draw_future_jobs, new_belief, observe_jobs
from offload_gym.streams.labels import label_streams, load_stream_labels, save_stream_labels
from offload_gym.streams.networks import OBJECTIVES
from offload_gym.streams.observing import size_of
from offload_gym.streams.parameters import stream_parameters
from offload_gym.streams.planner import ASKED, Effort, Played, plan_streams
from offload_gym.streams.playing import room_for_futures
from offload_gym.streams.policies import FOR_LATE, NAMES, NETWORKS, PlannerPolicy, make_stream_policy
from offload_gym.streams.rates import draw_future_rates
from offload_gym.streams.responses import outcome_of, stream_costs
from offload_gym.streams.streams import Streams
from offload_gym.streams.system import new_system

SHORT = {"num_jobs": 24, "arrivals_per_s": 8.0}
EFFORT = Effort(num_futures=4, num_jobs=12, round_size=2, sure=3.0)


def policy_named(name, scenario, objective="response"):
    policy = make_stream_policy(name, scenario, objective)
    if isinstance(policy, PlannerPolicy):
        policy.effort = EFFORT
    return policy


@pytest.mark.parametrize(("preset", "objective"), [("stream", "response"), ("stream_deadlines", "late")])
def test_no_policy_sees_the_future(preset, objective):
    """Streams that are equal up to the arrival of a job are decided equally up to that job."""
    scenario = offload_gym.make_scenario(preset, **SHORT)
    first, other = (offload_gym.sample_streams(scenario, 6, seed) for seed in (1, 2))
    known = 12
    slots = np.floor(first.arrival_s[:, known - 1] / scenario.slot_s).astype(int)
    batch = first.batch._replace(**{name: getattr(first.batch, name).copy() for name in first.batch._fields[:8]})
    batch.jobs[:, known:] = other.batch.jobs[:, known:]
    gap = np.diff(other.arrival_s, axis=1)[:, known - 1 :]
    batch.jobs["arrival_s"][:, known:] = first.arrival_s[:, known - 1 : known] + np.cumsum(gap, axis=1)
    batch.tasks[:, known:] = other.batch.tasks[:, known:]
    for b, slot in enumerate(slots):
        for name in ("uplink_bps", "downlink_bps"):
            getattr(batch, name)[b, :, slot + 1 :] = getattr(other.batch, name)[b, :, slot + 1 :]
    changed = Streams.from_batch(batch)
    for name in NAMES:
        if (name in NETWORKS and preset != "stream") or (name in FOR_LATE and objective != "late"):
            continue
        decided = [
            offload_gym.play(streams, policy_named(name, scenario, objective)).decisions for streams in (first, changed)
        ]
        np.testing.assert_array_equal(decided[0][:, :known], decided[1][:, :known], err_msg=name)


def test_what_is_played_is_what_the_decisions_give():
    scenario = offload_gym.make_scenario("stream_applications", num_jobs=8)
    streams = offload_gym.sample_streams(scenario, 5, 3)
    for name in ("greedy", "queue-price", "exact", "heft", "planner"):
        played = offload_gym.play(streams, policy_named(name, scenario))
        again = outcome_of(streams, played.decisions)
        np.testing.assert_allclose(played.response_s, again.response_s, rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(played.energy_j, again.energy_j, rtol=1e-12, err_msg=name)


def test_a_policy_of_one_moment_decides_as_the_rule_does():
    streams = offload_gym.sample_streams("stream", 20, 4)
    of_moment = offload_gym.play(streams, offload_gym.make_policy("greedy")).decisions
    np.testing.assert_array_equal(of_moment, offload_gym.play(streams, make_stream_policy("greedy")).decisions)


def test_planning_gains_on_what_it_plans_with():
    scenario = offload_gym.make_scenario("stream", num_jobs=100, arrivals_per_s=8.0)
    streams = offload_gym.sample_streams(scenario, 12, 5)
    greedy = make_stream_policy("greedy", scenario)
    planner = PlannerPolicy(scenario, greedy, Effort(8, 30, 4, 3.0), "response", 1)
    gained = offload_gym.play(streams, planner).response_s.sum() / offload_gym.play(streams, greedy).response_s.sum()
    assert gained < 0.95


FAILING = {"failure_share": 0.4, "failure_s": 0.5, "radio": "constant"}


@pytest.mark.parametrize(
    ("objective", "others", "changes"),
    [
        ("response", 0, {}),
        ("cost", 0, {}),
        ("late", 0, {}),
        ("response", 1, FAILING),
        ("late", 1, FAILING | {"failure_tasks": "lost"}),
    ],
)
def test_costs_are_those_of_the_futures(objective, others, changes):
    """Against the model itself: each choice of a job, then all other jobs of each future on the device or the edge."""
    fields = {"num_jobs": 6, "arrivals_per_s": 8.0, "energy_weight_s_per_j": 2.0, "deadline_factor": (1.5, 4.0)}
    scenario = offload_gym.make_scenario("stream", **fields | changes)
    streams = offload_gym.sample_streams(scenario, 1, 6)
    fixed = make_stream_policy(("local", "edge")[others], scenario)
    effort, key = Effort(num_futures=3, num_jobs=5, round_size=3, sure=np.inf), np.uint64(77)
    asked = np.zeros(1, dtype=ASKED)
    asked["key"], asked["share"], asked["objective"] = key, 1.0, OBJECTIVES.index(objective)
    out = Played(
        np.zeros((1, 6, 1), dtype=np.int64),
        np.zeros((1, 6)),
        np.zeros((1, 6)),
        np.zeros((6, size_of(3)), dtype=np.float32),
        np.zeros((6, 3)),
        np.zeros((6, 3)),
    )
    spare = room_for_futures(streams, scenario, effort.num_jobs)
    parameters, _ = stream_parameters(scenario)
    systems = tuple(new_system(streams)), tuple(new_system(spare))
    policies = tuple(fixed.plan), tuple(fixed.plan)
    given = tuple(parameters), streams.arrays, systems, spare.arrays, policies, effort, asked
    count = plan_streams(*given, watch_of(new_stop()), tuple(out))
    assert count == 6
    for j in range(6):
        which = [(key, j, f) for f in range(3)]
        costs = np.array(
            [costs_in_future(scenario, streams, parameters, effort, one, objective, others) for one in which]
        )
        best = costs.sum(axis=0).argmin()
        np.testing.assert_allclose(out.costs[j], (costs - costs[:, [best]]).mean(axis=0), atol=1e-9)


def costs_in_future(scenario, streams, parameters, effort, which, objective, others):
    """What each location of a job costs in a future, if all other jobs are at the location ``others``."""
    key, j, f = which
    future = room_for_futures(streams, scenario, effort.num_jobs)
    batch, given = future.batch, streams.batch
    batch.common[:], batch.devices[:], batch.servers[:] = given.common, given.devices, given.servers
    batch.jobs[:, : j + 1], batch.tasks[:, : j + 1] = given.jobs[:, : j + 1], given.tasks[:, : j + 1]
    now_s = float(given.jobs["arrival_s"][0, j])
    slot = int(now_s / scenario.slot_s)
    for name in ("uplink_bps", "downlink_bps"):
        getattr(batch, name)[:, :, : slot + 1] = getattr(given, name)[:, :, : slot + 1]
    if batch.down_slots.shape[2] > 1:
        batch.down_slots[:, :, : slot + 2] = given.down_slots[:, :, : slot + 2]
    belief = new_belief(parameters, 1)
    observe_jobs(parameters, belief, given.jobs[0], 0, j + 1)
    start = np.uint64(stream(np.uint64(stream(key, 0, 0)), j, f))
    horizon_s = effort.num_jobs * 1.5 * now_s / (j + 1) + 5.0
    draw_future_rates(parameters, start, batch, 0, slot, slot + 2 + int(horizon_s / scenario.slot_s))
    draw_future_jobs(parameters, start, belief, now_s, batch, 0, j + 1, j + 1 + effort.num_jobs)
    last = j + 1 + effort.num_jobs
    alone = Streams.from_batch(
        batch._replace(
            jobs=batch.jobs[:, :last].copy(),
            tasks=batch.tasks[:, :last].copy(),
            edge_bits=batch.edge_bits[:, :last].copy(),
        )
    )
    totals = []
    for k in range(3):
        decisions = np.full((1, last, 1), others)
        decisions[0, j] = k
        outcome = outcome_of(alone, decisions)
        cost = stream_costs(alone, outcome, objective)[0]
        if objective == "late":  # how many, and a little for responses
            cost = alone.num_jobs * cost + 0.01 * outcome.response_s[~outcome.lost].sum()
        totals.append(cost)
    return totals


def test_labels_do_not_depend_on_threads_and_come_back_from_their_file(tmp_path):
    scenario = offload_gym.make_scenario("stream", num_jobs=30)
    rule = make_stream_policy("queue-price", scenario)
    planner = PlannerPolicy(scenario, rule, EFFORT, "response", 1)
    labels, again = (label_streams(planner, rule, 9, 3, num_threads=threads) for threads in (1, 2))
    for made, other in zip(labels, again, strict=True):
        np.testing.assert_array_equal(made, other)
    assert 0.3 < len(labels.costs) / (9 * 30) < 0.5
    assert (labels.costs.min(axis=1) <= 0.0).all()
    save_stream_labels(tmp_path / "labels.npz", labels)
    for made, other in zip(labels, load_stream_labels(tmp_path / "labels.npz"), strict=True):
        np.testing.assert_array_equal(made, other)
    (tmp_path / "torn.npz").write_bytes((tmp_path / "labels.npz").read_bytes()[:100])
    with pytest.raises(ValueError, match=r"torn\.npz does not hold labels of streams"):
        load_stream_labels(tmp_path / "torn.npz")


def test_bad_input_is_one_sentence():
    streams = offload_gym.sample_streams("stream", 1, 1)
    with pytest.raises(ValueError, match="policy is 'best'; the policies of streams are local, edge"):
        make_stream_policy("best")
    with pytest.raises(ValueError, match="objective is 'speed'; it must be one of response, late, cost"):
        make_stream_policy("greedy", objective="speed")
    with pytest.raises(ValueError, match="num_edges is 0; the policy 'edge' needs an edge server"):
        make_stream_policy("edge", {"name": "stream", "num_edges": 0})
    rule = make_stream_policy("greedy")
    planner = PlannerPolicy(offload_gym.make_scenario("stream"), rule, EFFORT, "response", 1)
    with pytest.raises(ValueError, match=r"share is 1\.5; it must be from 0 to 1"):
        label_streams(planner, rule, 1, 1, share=1.5)
    for wrong in (rule, "planner"):
        with pytest.raises(ValueError, match=r"^planner is .*; it must be a planner, as make_stream_policy makes it$"):
            label_streams(wrong, rule, 1, 1)
    with pytest.raises(ValueError, match=r"^behaviour is .*; it must be a rule or a network, which a kernel runs$"):
        label_streams(planner, make_stream_policy("exact"), 1, 1)
    for seed in (-1, "a"):
        with pytest.raises(ValueError, match=r"^seed is "):
            make_stream_policy("planner", seed=seed)
    with pytest.raises(ValueError, match=r"^random_graph is True in the scenario chain; in streams it must be False"):
        make_stream_policy("planner", "chain")
    with pytest.raises(ValueError, match="policy is 3; it must be one of make_stream_policy, or have decide"):
        offload_gym.play(streams, 3)
    with pytest.raises(ValueError, match="streams is 'stream'; it must be Streams"):
        offload_gym.play("stream", make_stream_policy("greedy"))
    decisions = np.zeros((1, 200, 1))
    decisions[0, 3] = 7
    with pytest.raises(ValueError, match=r"decisions\[0, 3, 0\] is 7; it must be a location from 0 to 2"):
        offload_gym.response_times(streams, decisions)


@pytest.mark.parametrize(
    ("of_planner", "of_streams", "said"),
    [
        (
            "stream",
            {"name": "stream", "num_tasks": 3},
            "makes jobs of up to 1 tasks and 0 edges, the streams .* 3 and 0",
        ),
        (
            "stream_applications",
            "stream",
            "makes jobs of up to 9 tasks and 10 edges, the streams have .* up to 1 and 0",
        ),
        (
            "stream_applications",
            {"name": "stream", "applications": ["fork_join"], "num_tasks": 6},
            "give the planner the scenario",
        ),
        (
            {"name": "stream", "applications": ["vgg16"], "num_tasks": 4},
            {"name": "stream", "applications": ["vgg16", "alexnet"], "num_tasks": 4},
            "makes jobs of 1 graphs, the streams have jobs of 2",
        ),
    ],
)
def test_a_planner_of_other_jobs_is_refused(of_planner, of_streams, said):
    """Futures of its scenario would be written behind the arrays of the streams' jobs."""
    of_streams = of_streams if isinstance(of_streams, dict) else {"name": of_streams}
    streams = offload_gym.sample_streams({**of_streams, "num_jobs": 4}, 1, 1)
    with pytest.raises(ValueError, match=said):
        offload_gym.play(streams, make_stream_policy("planner", of_planner))


def test_a_planner_for_late_jobs_needs_deadlines_on_both_sides():
    without, with_deadlines = (offload_gym.sample_streams(name, 1, 1)[:1] for name in ("stream", "stream_deadlines"))
    with pytest.raises(ValueError, match="the planner's streams have no deadlines, which its objective 'late' needs"):
        offload_gym.play(without, make_stream_policy("planner", "stream_deadlines", "late"))
    with pytest.raises(ValueError, match="the planner's scenario, stream, draws no deadlines"):
        offload_gym.play(with_deadlines, make_stream_policy("planner", "stream", "late"))
    # Where responses count deadlines make no difference.
    planner = policy_named("planner", "stream")
    few = offload_gym.sample_streams({"name": "stream_deadlines", "num_jobs": 5}, 2, 1)
    others = offload_gym.sample_streams({"name": "stream", "num_jobs": 5}, 2, 1)
    np.testing.assert_array_equal(*(offload_gym.play(streams, planner).decisions for streams in (few, others)))


class Decides:
    """A policy of one's own that always decides the same."""

    def __init__(self, decision):
        self.decide = lambda instances: decision


@pytest.mark.parametrize(
    ("decision", "quoted"),
    [
        ([[1.9]], r"\[\[1\.9\]\]"),
        ([[-0.5]], r"\[\[-0\.5\]\]"),
        ([["1"]], r"\[\['1'\]\]"),
        ([[float("nan")]], r"\[\[nan\]\]"),
        (None, "None"),
        ("a", "'a'"),
        ([[1], [1, 2]], r"\[\[1\], \[1, 2\]\]"),
        ([1.0], r"\[1\.0\]"),
        ([[3]], r"\[\[3\]\]"),
    ],
)
def test_what_a_policy_decides_is_read_as_it_is_or_refused(decision, quoted):
    streams = offload_gym.sample_streams("stream", 1, 1)
    with pytest.raises(ValueError, match=rf"^the policy decides {quoted}; it must be \(1, 1\) locations from 0 to 2$"):
        offload_gym.play(streams, Decides(decision))


def test_decisions_that_are_whole_numbers_are_taken():
    streams = offload_gym.sample_streams({"name": "stream", "num_jobs": 3}, 1, 1)
    assert (offload_gym.play(streams, Decides([[1.0]])).decisions == 1).all()


def with_outage(streams, until_s):
    """The same streams with no rate until a moment."""
    up_bps, down_bps = streams.batch.uplink_bps.copy(), streams.batch.downlink_bps.copy()
    slots = int(until_s / streams.batch.common["slot_s"][0])
    up_bps[:, :, :slots] = down_bps[:, :, :slots] = 0.0
    return Streams.from_batch(streams.batch._replace(uplink_bps=up_bps, downlink_bps=down_bps))


def test_no_job_is_dropped_where_the_first_rates_are_an_outage(tmp_path):
    """Where data wait for the radio and no rate was seen yet, it is free nobody knows when."""
    trace = tmp_path / "trace.csv"
    trace.write_text("mbps\n" + "0\n0\n0\n9\n" * 30)
    scenario = offload_gym.make_scenario("stream", radio="trace", trace_path=str(trace), num_jobs=30)
    rule = make_stream_policy("queue-price", scenario)
    planner = PlannerPolicy(scenario, rule, EFFORT, "response", 1)
    labels = label_streams(planner, rule, 20, 3, share=0.3, explore=0.3)
    assert np.isfinite(labels.costs).all()
    streams = with_outage(offload_gym.sample_streams(offload_gym.make_scenario("stream", num_jobs=40), 5, 1), 2.0)
    for name in ("greedy", "price", "queue-price", "max-weight", "shortest-queue", "two-choices"):
        assert offload_gym.play(streams, make_stream_policy(name)).decisions.min() == 0


def test_the_planner_sends_nothing_into_an_outage_that_may_last_for_ever():
    scenario = offload_gym.make_scenario("stream", radio="constant", num_jobs=4, arrivals_per_s=4.0)
    streams = with_outage(offload_gym.sample_streams(scenario, 20, 1), 30.0)
    planner = PlannerPolicy(scenario, make_stream_policy("local", scenario), EFFORT, "response", 1)
    assert (offload_gym.play(streams, planner).decisions == 0).all()


def test_a_dropped_job_without_a_deadline_is_late():
    streams = offload_gym.sample_streams("stream", 1, 1)
    decisions = np.zeros((1, streams.num_jobs, 1), dtype=np.int64)
    decisions[0, ::2] = -1
    late = outcome_of(streams, decisions).late
    assert late[0, ::2].all()
    assert not late[0, 1::2].any()
