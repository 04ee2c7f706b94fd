"""Old news: servers are seen as they were at the last report, and with them what the device itself has sent since."""

import numpy as np
import pytest
from random_streams import random_stream

from offload_gym import Streams, make_scenario, make_stream_policy, sample_streams
from offload_gym.envs.stream import StreamEnv
from offload_gym.streams.cloning import decided_labels
from offload_gym.streams.hindsight import hindsight
from offload_gym.streams.labels import label_streams
from offload_gym.streams.planner import Effort
from offload_gym.streams.policies import PlannerPolicy
from offload_gym.streams.responses import histories, outcome_of


def seen(streams, decisions):
    """The observations by column: what is of a location as (decisions, K), the rest as (decisions,); no roots."""
    observed = decided_labels(streams, decisions).observations.astype(float)
    of_location, locations = 8, streams.num_locations
    table = observed[:, : of_location * locations].reshape(-1, locations, of_location)
    names = ("radio_free", "jobs", "others", "devices", "report_age")
    at = (0, 1, 12, 13, 14)
    rest = {name: observed[:, of_location * locations + a] ** 2 for name, a in zip(names, at, strict=True)}
    return {"core_free": table[:, :, 2] ** 2, "core_work": table[:, :, 3] ** 2, **rest}


def one_task_jobs(arrival_s, device, bits, cycles, report_s, **changes):
    """Jobs of one task at devices of 1 Hz whose radios send 1 bit a second, two servers of 1 Hz and one core."""
    size = len(arrival_s)
    fields = {
        "arrival_s": [arrival_s],
        "device": [device],
        "input_bits": np.reshape(bits, (1, size, 1)),
        "output_bits": np.zeros((1, size, 1)),
        "workload_cycles": np.reshape(cycles, (1, size, 1)),
        "device_hz": np.ones((1, max(device) + 1)),
        "cpu_hz": [[1.0, 1.0]],
        "cores": [[1, 1]],
        "wired_bps": [[np.inf, np.inf]],
        "propagation_s": [[0.0, 0.0]],
        "uplink_bps": np.ones((1, max(device) + 1, 1)),
        "downlink_bps": np.ones((1, max(device) + 1, 1)),
    }
    return Streams(report_s=report_s, **fields | changes)


def test_what_others_do_is_seen_at_the_next_report():
    # Device 1 begins to send 1 bit at 0.5 and has it at server 1 at 1.5, where it takes 10 s. Device 0 asks at 1, 2.5
    # and 4.5; reports are at 0, 2 and 4.
    streams = one_task_jobs([0.5, 1.0, 2.5, 4.5], [1, 0, 0, 0], [1, 0, 0, 0], [10, 0, 0, 0], 2.0)
    told = seen(streams, [[[1], [0], [0], [0]]])
    np.testing.assert_allclose(told["core_free"][1:, 1], [0.0, 11.5 - 2.5, 11.5 - 4.5], atol=1e-6)
    np.testing.assert_allclose(told["core_free"][:, 2], 0.0)
    np.testing.assert_allclose(told["report_age"], [0.5, 1.0, 0.5, 0.5], atol=1e-6)
    fresh = seen(
        one_task_jobs([0.5, 1.0, 2.5, 4.5], [1, 0, 0, 0], [1, 0, 0, 0], [10, 0, 0, 0], 0.0), [[[1], [0], [0], [0]]]
    )
    # At 1 the task is on its way, of which other devices know nothing either way.
    np.testing.assert_allclose(fresh["core_free"][1:, 1], [0.0, 11.5 - 2.5, 11.5 - 4.5], atol=1e-6)
    np.testing.assert_allclose(fresh["others"] * 10, [0, 1, 0, 0], atol=1e-5)
    np.testing.assert_allclose(told["others"] * 10, [0, 0, 0, 0], atol=1e-5)
    np.testing.assert_allclose(told["devices"] * 10, 2, rtol=1e-6)


def test_what_is_sent_at_the_moment_of_a_report_is_in_the_next_one():
    # Both arrive at 2, the moment of a report: it was made before.
    streams = one_task_jobs([2.0, 2.0, 4.0], [1, 0, 0], [9, 0, 0], [1, 0, 0], 2.0)
    told = seen(streams, [[[1], [0], [0]]])
    np.testing.assert_allclose(told["others"] * 10, [0, 0, 1], atol=1e-5)
    np.testing.assert_allclose(told["report_age"], 0.0)


def test_a_device_knows_what_it_has_sent_itself():
    # Device 0 sends at 0.5 a task of 4 s, which is at server 1 at once; it asks again at 1 and 2.5, after the report
    # that holds the task, which is not counted twice.
    streams = one_task_jobs([0.5, 1.0, 2.5], [0, 0, 0], [0, 0, 0], [4, 0, 0], 2.0)
    told = seen(streams, [[[1], [0], [0]]])
    np.testing.assert_allclose(told["core_free"][:, 1], [0.0, 3.5, 2.0], atol=1e-6)
    # What it runs itself it knows at any time.
    told = seen(streams, [[[0], [0], [0]]])
    np.testing.assert_allclose(told["core_free"][:, 0], [0.0, 3.5, 2.0], atol=1e-6)


def test_jobs_of_other_devices_are_not_seen():
    streams = one_task_jobs([0.0, 0.0, 1.0], [1, 0, 0], [0, 0, 0], [9, 9, 0], 0.0)
    np.testing.assert_allclose(seen(streams, [[[0], [0], [0]]])["jobs"], [0, 0, 1], atol=1e-6)


def random_case(rng, report_s):
    """Three devices, of which device 0 has jobs without bits, and decisions."""
    num_jobs, num_devices = 40, 3
    device = rng.integers(0, num_devices, num_jobs)
    bits = np.where(device == 0, 0.0, rng.exponential(0.6, num_jobs))
    streams = one_task_jobs(
        np.sort(rng.uniform(0, 20, num_jobs)),
        device.tolist() if device.max() == 2 else [*device[:-1].tolist(), 2],
        bits,
        rng.exponential(1.0, num_jobs),
        report_s,
        device_hz=np.ones((1, num_devices)),
        cores=[[2, 1]],
        propagation_s=[[0.3, 0.6]],
        uplink_bps=np.ones((1, num_devices, 1)),
        downlink_bps=np.ones((1, num_devices, 1)),
    )
    return streams, rng.integers(0, 3, (1, num_jobs, 1))


@pytest.mark.parametrize("report_s", [0.7, 3.0])
def test_servers_look_as_they_were_at_the_report_and_the_own_tasks_come_behind(report_s):
    """Against what the times of a whole stream say in plain Python."""
    for seed in range(20):
        streams, decisions = random_case(np.random.default_rng(seed), report_s)
        told = seen(streams, decisions)
        record = histories(streams, decisions)
        tasks, sends = record.tasks[0], record.sends[0]
        arrival_s, device, where = streams.arrival_s[0], streams.device[0], decisions[0, :, 0]
        for j in np.flatnonzero(device == 0):
            now_s = arrival_s[j]
            told_s = report_s * np.floor(now_s / report_s)
            sending = [(sends["start_s"][i] < told_s <= sends["finish_s"][i]) for i in np.flatnonzero(device != 0)]
            assert told["others"][j] * 10 == pytest.approx(sum(sending), abs=1e-4)
            for k, cores in ((1, 2), (2, 1)):
                free_s = [0.0] * cores
                for i in np.flatnonzero((where == k) & (tasks["ready_s"] < told_s)):
                    core = tasks["core"][i]
                    free_s[core] = max(free_s[core], tasks["finish_s"][i])
                own = (where == k) & (device == 0) & (tasks["ready_s"] >= told_s) & (np.arange(len(where)) < j)
                for i in np.flatnonzero(own):
                    core = free_s.index(min(free_s))
                    path_s = (0.3, 0.6)[k - 1]
                    free_s[core] = max(arrival_s[i] + path_s, free_s[core]) + float(
                        tasks["finish_s"][i] - tasks["start_s"][i]
                    )
                left_s = [max(free - now_s, 0.0) for free in free_s]
                assert told["core_free"][j, k] == pytest.approx(min(left_s), abs=1e-5)
                assert told["core_work"][j, k] == pytest.approx(sum(left_s) / cores, abs=1e-5)


def test_nothing_that_others_decide_is_seen_before_the_next_report():
    for seed in range(20):
        rng = np.random.default_rng(100 + seed)
        streams, decisions = random_case(rng, 5.0)
        before = decided_labels(streams, decisions).observations
        since = (streams.arrival_s[0] > 10.0) & (streams.arrival_s[0] < 15.0)
        others = since & (streams.device[0] != 0)
        changed = decisions.copy()
        changed[0, others] = (changed[0, others] + rng.integers(1, 3, (others.sum(), 1))) % 3
        after = decided_labels(streams, changed).observations
        own = (streams.arrival_s[0] < 15.0) & (streams.device[0] == 0)
        # But for its own results, which the device gets: how many of its jobs are in the system.
        jobs = 8 * 3 + 1
        np.testing.assert_array_equal(np.delete(before[own], jobs, axis=1), np.delete(after[own], jobs, axis=1))


def reported(streams, report_s):
    """The same streams with reports."""
    common = streams.batch.common.copy()
    common["report_s"] = report_s
    return Streams.from_batch(streams.batch._replace(common=common))


def test_reports_change_what_is_seen_and_not_what_happens():
    for seed in range(100):
        rng = np.random.default_rng(seed)
        for fresh, decisions in (random_case(rng, 0.0), random_stream(rng)):
            for report_s in (1.0, 0.7, 1 / 3):
                old = reported(fresh, report_s)
                for found, expected in zip(outcome_of(old, decisions), outcome_of(fresh, decisions), strict=True):
                    np.testing.assert_array_equal(found, expected)


def test_reports_that_come_often_cost_no_time_and_are_fresh():
    fresh, decisions = random_case(np.random.default_rng(1), 0.0)
    told, now = seen(reported(fresh, 1e-12), decisions), seen(fresh, decisions)
    np.testing.assert_allclose(told["report_age"], 0.0, atol=1e-5)
    np.testing.assert_allclose(told["core_free"], now["core_free"], atol=1e-5)


def test_who_sends_is_told_of_each_site():
    # At the report at 2 devices 0 and 1 send at site 0, device 2 at site 1. Device 0 asks at 2.5 from site 1, where it
    # is one more, and at 3.5 from site 0, where it was told itself among the two.
    streams = one_task_jobs(
        [0.0, 0.0, 0.0, 2.5, 3.5], [0, 1, 2, 0, 0], [99, 99, 99, 0, 0], [0] * 5, 2.0,
        site=[[[0, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]]],
        uplink_bps=np.ones((1, 3, 4)), downlink_bps=np.ones((1, 3, 4)),
    )  # fmt: skip
    told = seen(streams, [[[1], [1], [1], [0], [0]]])
    np.testing.assert_allclose(told["others"] * 10, [0, 0, 0, 1, 1], atol=1e-5)
    np.testing.assert_allclose(told["devices"] * 10, 3, rtol=1e-6)


@pytest.mark.parametrize("report_s", [0.0, 1.0])
def test_planning_a_part_of_the_tasks_knows_all_that_planning_all_of_them_knows(report_s):
    """Labels are the same whatever was copied before: those of all tasks hold those of some of them."""
    scenario = make_scenario("stream", num_devices=3, report_s=report_s, arrivals_per_s=3.0, num_jobs=40)
    rule = make_stream_policy("queue-price", scenario)
    planner = PlannerPolicy(scenario, rule, Effort(4, 20, 4, 3.0), "response", 0)
    some, every = (label_streams(planner, rule, 6, 3, share=share, explore=0.0) for share in (0.4, 1.0))
    costs = {observation.tobytes(): cost for observation, cost in zip(every.observations, every.costs, strict=True)}
    assert 0 < len(some.costs) < len(every.costs)
    for observation, cost in zip(some.observations, some.costs, strict=True):
        np.testing.assert_array_equal(costs[observation.tobytes()], cost)


def test_hindsight_knows_the_same_with_reports():
    fresh = sample_streams({"name": "stream", "num_devices": 2, "num_jobs": 25}, 3, seed=4)
    np.testing.assert_array_equal(hindsight(reported(fresh, 0.8)), hindsight(fresh))


def test_a_scenario_says_how_old_news_are():
    env = StreamEnv({"name": "stream", "num_devices": 3, "report_s": 1.5, "num_jobs": 30})
    env.reset(seed=1)
    assert env.streams.batch.common["report_s"] == 1.5
    ages = []
    for _ in range(30):
        observation, _, over, _, _ = env.step(0)
        ages.append(float(observation[-1]) ** 2)
        if over:
            break
    assert 0.0 < max(ages) < 1.5
    with pytest.raises(ValueError, match="report_s is -1; it must be finite and at least 0"):
        make_scenario("stream", report_s=-1)
    with pytest.raises(ValueError, match=r"report_s\[0\] is -1"):
        one_task_jobs([0.0], [0], [0], [0], -1.0)
