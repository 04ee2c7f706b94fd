"""Servers that fail: when tasks end, what policies see of it and what they cannot, and what is drawn."""

import numpy as np
import pytest
from naive_streams import naive_stream
from simpy_streams import simpy_stream

from offload_gym import Streams, make_scenario, make_stream_policy, play, sample_streams
from offload_gym.envs.stream import StreamEnv
from offload_gym.streams.bounds import lower_bound
from offload_gym.streams.cloning import decided_labels
from offload_gym.streams.hindsight import hindsight
from offload_gym.streams.parameters import stream_parameters
from offload_gym.streams.planner import Effort
from offload_gym.streams.policies import PlannerPolicy
from offload_gym.streams.rates import draw_future_rates
from offload_gym.streams.responses import outcome_of, timelines

SLOTS = 12


def unit_streams(arrival_s, cycles, up=None, **changes):
    """One device and jobs of one task without data; one server of one core; all of 1 Hz, slots of 1 s."""
    size = len(arrival_s)
    fields = {
        "arrival_s": [arrival_s],
        "input_bits": np.zeros((1, size, 1)),
        "output_bits": np.zeros((1, size, 1)),
        "workload_cycles": np.reshape(cycles, (1, size, 1)).astype(float),
        "device_hz": [[1.0]],
        "cpu_hz": [[1.0]],
        "cores": [[1]],
        "wired_bps": [[np.inf]],
        "propagation_s": [[0.0]],
        "uplink_bps": np.ones((1, 1, SLOTS)),
        "downlink_bps": np.ones((1, 1, SLOTS)),
        "server_up": up,
    }
    return Streams(**fields | changes)


def up_but(*slots):
    up = np.ones((1, 1, SLOTS), dtype=bool)
    up[0, 0, list(slots)] = False
    return up


def core_free_s(streams, decisions):
    """(decisions, K) seconds until a core is free, as it is observed."""
    observed = decided_labels(streams, decisions).observations.astype(float)
    return observed[:, : 8 * streams.num_locations].reshape(-1, streams.num_locations, 8)[:, :, 2] ** 2


def test_what_runs_and_waits_goes_on_when_the_server_is_up_again():
    # The server is down from 1 to 2 and from 3 to 5. Job 0 of 1.5 s runs from 0 to 1 and from 2 to 2.5, job 1 of 2 s,
    # which has waited, from 2.5 to 3 and from 5 to 6.5. Job 2, which comes at 3.5 and has no work, waits for it. Job 3
    # comes at 7 and runs for 1 s. The device is always up.
    streams = unit_streams([0.0, 0.5, 3.5, 7.0, 7.0], [1.5, 2.0, 0.0, 1.0, 1.0], up_but(1, 3, 4))
    decisions = [[[1], [1], [1], [1], [0]]]
    done_s = [2.5, 6.5, 6.5, 8.0, 8.0]
    record = timelines(streams, decisions)[0, :, 0]
    np.testing.assert_allclose(record["start_s"], [0.0, 2.5, 6.5, 7.0, 7.0])
    np.testing.assert_allclose(record["finish_s"], done_s)
    for found in (naive_stream(streams, 0, decisions).response_s, simpy_stream(streams, 0, decisions)):
        np.testing.assert_allclose(found, np.subtract(done_s, streams.arrival_s[0]))


def test_what_takes_no_time_is_over_at_once_and_what_comes_to_a_server_that_is_down_waits():
    streams = unit_streams([1.25, 1.5], [0.0, 1.0], up_but(1))
    np.testing.assert_allclose(outcome_of(streams, [[[1], [1]]]).response_s, [[0.0, 1.5]])


def test_a_server_that_is_down_is_expected_to_be_up_after_its_repair():
    # Job 0 takes 4 s and has run for 1 s when the server fails at 1. At 1.5 it has 3 s left, behind 2 s of repair; at
    # 2.5 the server is up again and it has 2.5 s left, whatever the server does later.
    arrivals, decisions = [0.0, 0.5, 1.5, 2.5], [[[1], [0], [0], [0]]]
    streams = unit_streams(arrivals, [4.0, 0.0, 0.0, 0.0], up_but(1, 3), repair_s=2.0)
    np.testing.assert_allclose(core_free_s(streams, decisions)[:, 1], [0.0, 3.5, 5.0, 2.5], atol=1e-6)
    # One without work to do is not free before its repair either.
    streams = unit_streams(arrivals, [0.0] * 4, up_but(1, 3), repair_s=2.0)
    np.testing.assert_allclose(core_free_s(streams, decisions)[:, 1], [0.0, 0.0, 2.0, 0.0], atol=1e-6)


def test_a_failure_is_seen_at_the_next_report():
    # Reports at 0, 2 and 4; the server is down from 1 to 3. At 1.5 nothing is known of it. At 2.5 it is known to have
    # been down at 2, so it is expected from 4 on, though at 3.5 it works. At 4.5 it is known to be up.
    streams = unit_streams([1.5, 2.5, 3.5, 4.5], [0.0] * 4, up_but(1, 2), repair_s=2.0, report_s=2.0)
    seen_s = core_free_s(streams, [[[0]] * 4])[:, 1]
    np.testing.assert_allclose(seen_s, [0.0, 1.5, 0.5, 0.0], atol=1e-6)


def failing_pair(seed, **changes):
    """A scenario, streams of it, and the same with other failures from the middle on; when that is (B,)."""
    sizes = {"num_jobs": 40, "num_devices": 2, "num_edges": 2, "arrivals_per_s": 3.0}
    scenario = make_scenario("stream", failure_share=0.3, failure_s=1.0, **sizes, **changes)
    streams = sample_streams(scenario, 4, seed=seed)
    other = sample_streams(scenario, 4, seed=seed + 1000)
    middle = 14
    down = np.diff(streams.batch.down_slots, axis=2)
    down[:, :, middle:] = np.diff(other.batch.down_slots, axis=2)[:, :, middle : middle + down.shape[2] - middle]
    table = np.concatenate([np.zeros((4, 3, 1), dtype=np.int64), np.cumsum(down, axis=2)], axis=2)
    changed = Streams.from_batch(streams.batch._replace(down_slots=table))
    assert (table != streams.batch.down_slots).any(axis=(1, 2)).all()
    return scenario, streams, changed, middle * scenario.slot_s


@pytest.mark.parametrize("report_s", [0.0, 0.7])
def test_later_failures_are_not_seen_before_they_happen(report_s):
    """Two streams that differ in later failures look the same, to the byte, until then."""
    for seed in range(5):
        _, streams, changed, until_s = failing_pair(seed, report_s=report_s)
        decisions = np.random.default_rng(seed).integers(0, 4, (4, 40, 1))
        before = streams.arrival_s.ravel() < until_s
        seen, other = (decided_labels(of, decisions).observations for of in (streams, changed))
        assert before.sum() > 20
        np.testing.assert_array_equal(seen[before], other[before])
        assert (seen[~before] != other[~before]).any()


def test_planning_does_not_know_later_failures():
    scenario, streams, changed, until_s = failing_pair(3)
    rule = make_stream_policy("queue-price", scenario)
    planner = PlannerPolicy(scenario, rule, Effort(4, 20, 4, 3.0), "response", 0)
    before = streams.arrival_s < until_s
    planned, other = (play(of, planner, 1).decisions[:, :, 0] for of in (streams, changed))
    np.testing.assert_array_equal(planned[before], other[before])


def test_failures_change_nothing_else_and_none_before_the_first():
    plain = sample_streams(make_scenario("stream", num_jobs=60), 10, seed=1)
    failing = sample_streams(make_scenario("stream", num_jobs=60, failure_share=0.2), 10, seed=1)
    for name in ("jobs", "tasks", "devices", "servers", "uplink_bps", "downlink_bps"):
        np.testing.assert_array_equal(getattr(plain.batch, name), getattr(failing.batch, name))
    decisions = np.ones((10, 60, 1), dtype=int)
    now, then = (outcome_of(of, decisions).response_s for of in (plain, failing))
    assert (then >= now - 1e-9).all()
    assert then.mean() > 1.1 * now.mean()
    assert (lower_bound(failing) <= then.sum(axis=1)).all()
    assert (outcome_of(failing, hindsight(failing)).response_s.sum(axis=1) < then.sum(axis=1)).all()


def test_edge_servers_are_down_for_the_share_of_time_and_as_long_as_the_scenario_says():
    scenario = make_scenario("stream", num_edges=2, failure_share=0.25, failure_s=2.0, radio="constant", num_jobs=2000)
    down = np.diff(sample_streams(scenario, 40, seed=2).batch.down_slots, axis=2)
    assert not down[:, 2].any()  # the cloud server
    assert not down[:, :, -1].any()
    edges = down[:, :2]
    assert edges.mean() == pytest.approx(0.25, abs=0.01)
    ends = (np.diff(edges, axis=2) < 0).sum()
    assert edges.sum() * scenario.slot_s / ends == pytest.approx(2.0, rel=0.05)


def test_futures_go_on_as_the_chain_says():
    # Of failures of 1 s in slots of 0.25 s one in four ends in each slot: three in four are down in the next one, too.
    scenario = make_scenario("stream", failure_share=0.2, failure_s=1.0, num_jobs=50)
    streams = sample_streams(scenario, 1, seed=0)
    parameters, batch = stream_parameters(scenario)[0], streams.batch
    for down_now, next_share in ((True, 0.75), (False, 0.25 * 0.2 / 0.8)):
        batch.down_slots[:] = 0
        batch.down_slots[0, 0, 6:] = down_now
        found = []
        for start in range(2000):
            draw_future_rates(parameters, np.uint64(start), batch, 0, 5, 20)
            down = np.diff(batch.down_slots[0])
            assert down[0, 5] == down_now
            assert not down[0, 19:].any()
            assert not down[1].any()
            found.append(down[0, 6])
        assert np.mean(found) == pytest.approx(next_share, abs=0.03)


def test_the_environment_and_all_rules_meet_failures():
    scenario = make_scenario("stream", failure_share=0.3, num_jobs=30)
    env = StreamEnv(scenario)
    observation, _ = env.reset(seed=4)
    total, over = 0.0, False
    while not over:
        assert env.observation_space.contains(observation)
        observation, reward, over, _, info = env.step(1)
        total += reward
    np.testing.assert_array_equal(env.streams.batch.down_slots, sample_streams(scenario, 1, 4).batch.down_slots)
    assert total == pytest.approx(-30 * info["response_mean_s"])
    streams = sample_streams(scenario, 2, seed=5)
    for name in ("greedy", "shortest-queue", "queue-price", "heft"):
        played = play(streams, make_stream_policy(name, scenario))
        np.testing.assert_allclose(outcome_of(streams, played.decisions).response_s, played.response_s)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"server_up": up_but(SLOTS - 1)}, r"server_up\[0, 0, -1\] is False; the last slot holds for ever"),
        ({"server_up": np.full((1, 1, SLOTS), 2)}, r"server_up\[0, 0, 0\] is 2.0; it must be True or False"),
        ({"server_up": np.ones((1, 1, 3))}, r"server_up has the shape \(1, 1, 3\); it must be \(1, 1, 12\)"),
        ({"repair_s": -1.0}, r"repair_s\[0\] is -1.0; it must be finite and at least 0"),
    ],
)
def test_bad_failures_of_streams(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        unit_streams([0.0], [1.0], **changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"failure_share": 1.0}, "failure_share is 1.0; it must be at least 0 and below 1"),
        ({"failure_share": 0.5, "failure_s": 0.1}, "failure_s is 0.1; it must be finite and at least 0.25"),
        ({"failure_share": 0.9, "failure_s": 1.0}, "failure_s is 1.0; it must be finite and at least 2.25"),
        ({"failure_s": 0.0}, "failure_s is 0.0; it must be finite and above 0"),
    ],
)
def test_bad_failures_of_scenarios(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_scenario("stream", **changes)
