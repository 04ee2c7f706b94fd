"""Servers that lose what they hold when they fail: what is lost, when it counts, and what policies see of it."""

import numpy as np
import pytest
from naive_streams import naive_stream
from simpy_streams import simpy_stream
from test_stream_failures import core_free_s, failing_pair, unit_streams, up_but
from test_stream_references import draw, every_decision

from offload_gym import Streams, make_scenario, make_stream_policy, play, sample_streams
from offload_gym.envs.stream import StreamEnv
from offload_gym.envs.stream_accounts import DeviceAccounts
from offload_gym.envs.stream_rendering import picture_of
from offload_gym.solvers.stopping import new_stop
from offload_gym.streams.bounds import lower_bound
from offload_gym.streams.cloning import decided_labels
from offload_gym.streams.hindsight import hindsight
from offload_gym.streams.observing import size_of
from offload_gym.streams.planner import Effort, Played
from offload_gym.streams.playing import planning_call
from offload_gym.streams.policies import PlannerPolicy
from offload_gym.streams.responses import outcome_of, stream_costs, timelines
from offload_gym.streams.streams import as_down_slots

FAILING = {"name": "stream", "num_jobs": 40, "failure_share": 0.3, "failure_s": 1.0, "failure_tasks": "lost"}
SCENARIOS = {
    "no deadlines": FAILING,
    "deadlines": FAILING | {"deadline_factor": (1.5, 4.0), "num_edges": 2, "num_devices": 3, "report_s": 0.7},
    "drops": FAILING | {"deadline_factor": (1.5, 4.0), "can_drop": True},
    "graphs": FAILING | {"name": "stream_applications", "num_devices": 2, "arrivals_per_s": 10.0},
}


def test_what_a_failing_server_holds_is_lost_and_what_comes_while_it_is_down():
    # The server is down from 1 to 2 and from 3 to 5. Job 0 of 1 s and job 1, which waits for it and takes no time, end
    # at 1, just in time. Job 2 has waited for them and is lost. Job 3 comes at 1 and job 4, of no work, at 1.5: both
    # are lost. At 2 nothing is left: job 5 runs until 3. Job 6 waits for it and is lost. Job 7 meets a server that
    # works.
    streams = unit_streams(
        [0.0, 0.5, 0.5, 1.0, 1.5, 2.0, 2.5, 7.0],
        [1.0, 0.0, 2.0, 1.0, 0.0, 1.0, 2.0, 1.0],
        up_but(1, 3, 4),
        failure_tasks="lost",
    )
    decisions = np.ones((1, 8, 1), dtype=int)
    never = np.nan
    outcome, record = outcome_of(streams, decisions), timelines(streams, decisions)[0, :, 0]
    np.testing.assert_allclose(record["start_s"], [0.0, 1.0, never, never, never, 2.0, never, 7.0])
    np.testing.assert_allclose(record["finish_s"], [1.0, 1.0, never, never, never, 3.0, never, 8.0])
    np.testing.assert_allclose(record["lost_s"], [never, never, 1.0, 1.0, 1.5, never, 3.0, never])
    np.testing.assert_array_equal(record["core"], [0, 0, 0, -1, -1, 0, 0, 0])
    response_s = [1.0, 0.5, np.inf, np.inf, np.inf, 1.0, np.inf, 1.0]
    for found in (outcome.response_s[0], naive_stream(streams, 0, decisions).response_s):
        np.testing.assert_allclose(found, response_s)
    np.testing.assert_allclose(simpy_stream(streams, 0, decisions), response_s)
    np.testing.assert_array_equal(outcome.lost[0], np.isinf(response_s))
    np.testing.assert_array_equal(outcome.late[0], np.isinf(response_s))


def of_graph(arrival_s, cycles, edges, **changes):
    """As ``unit_streams`` that lose tasks, with jobs of several tasks; the server is down from 1 to 2."""
    shape = (1, *np.shape(cycles))
    sizes = {
        "input_bits": np.zeros(shape),
        "output_bits": np.zeros(shape),
        "edge_bits": np.zeros((*shape[:2], len(edges))),
    }
    work = {"workload_cycles": np.reshape(cycles, shape).astype(float), "edges": edges, "failure_tasks": "lost"}
    return unit_streams(arrival_s, np.zeros(len(arrival_s)), up_but(1), **sizes, **work, **changes)


def test_what_waits_for_a_lost_task_never_runs_and_the_rest_of_its_job_does():
    # Task 0 of 2 s at the server is lost at 1, so task 2 on the device, which waits for it and for task 1, never runs.
    # Task 1 of 1.5 s on the device goes on. Task 3 follows it at the server, which is down at 1.5, so that it is lost,
    # too. In job 1 the server is up all the time.
    cycles = [[2.0, 1.5, 1.0, 1.0], [0.5, 1.0, 1.0, 1.0]]
    streams = of_graph([0.0, 3.0], cycles, ((0, 2), (1, 2), (1, 3)))
    decisions = np.array([[[1, 0, 0, 1], [1, 0, 0, 1]]])
    record = timelines(streams, decisions)[0]
    never = np.nan
    np.testing.assert_allclose(record["ready_s"], [[0.0, 0.0, never, 1.5], [3.0, 3.0, 4.0, 4.0]])
    np.testing.assert_allclose(record["finish_s"], [[never, 1.5, never, never], [3.5, 4.0, 5.0, 5.0]])
    np.testing.assert_allclose(record["lost_s"][0], [1.0, never, never, 1.5])
    np.testing.assert_allclose(outcome_of(streams, decisions).response_s, [[np.inf, 2.0]])


@pytest.mark.parametrize(
    ("report_s", "jobs", "device_s", "server_s"),
    [
        (0.0, [0, 1, 0, 0], [0.0, 3.0, 0.0, 0.0], [0.0, 3.5, 2.0, 0.0]),
        (2.0, [0, 1, 1, 0], [0.0, 3.0, 3.0, 0.0], [0.0, 3.5, 2.5, 0.0]),
    ],
)
def test_a_device_is_told_of_what_is_lost_at_the_next_report(report_s, jobs, device_s, server_s):
    # Task 0 of 4 s at the server is lost at 1, and task 1 of 3 s on the device, which waits for it, will never run.
    # With fresh reports that is known at 1.5, when the server is expected to be up and empty in 2 s; at 2.5 it is up.
    # With reports at 0 and 2 the device believes at 1.5 that task 0 has 2.5 s left, and that task 1 follows.
    streams = of_graph(
        [0.0, 0.5, 1.5, 2.5], [[4.0, 3.0], *[[0.0, 0.0]] * 3], ((0, 1),), repair_s=2.0, report_s=report_s
    )
    decisions = np.array([[[1, 0], [0, 0], [0, 0], [0, 0]]])
    free_s = core_free_s(streams, decisions)[::2]
    np.testing.assert_allclose(free_s, np.transpose([device_s, server_s]), atol=1e-6)
    seen = decided_labels(streams, decisions).observations[::2, 8 * streams.num_locations + 1]
    np.testing.assert_allclose(seen.astype(float) ** 2, jobs, atol=1e-6)


def steps_of(scenario, seed):
    """A played episode: (environment, decisions, rewards, those of each device, info)."""
    rng, env = np.random.default_rng(seed), StreamEnv(scenario)
    observation, _ = env.reset(seed=seed)
    accounts, counts = DeviceAccounts(env._fleet), env.streams.batch.jobs["num_tasks"][0]
    decisions, rewards, of_devices, info = np.zeros((len(counts), counts.max()), dtype=int), [], [], {}
    for j, count in enumerate(counts):
        drops = env.scenario.can_drop and rng.random() < 0.2
        for i in range(1 if drops else count):
            assert env.observation_space.contains(observation)
            decisions[j, i] = -1 if drops else rng.integers(env.scenario.num_locations)
            action = env.scenario.num_locations if drops else decisions[j, i]
            observation, reward, _, _, info = env.step(action)
            rewards.append(reward)
            of_devices.append(accounts.rewards().copy())
        decisions[j, 1:] = decisions[j, 1:] if not drops else -1
    return env, decisions[None], np.array(rewards), np.array(of_devices), info


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_return_is_minus_the_number_of_late_jobs_which_count_when_they_are_lost(name):
    for seed in range(4):
        env, decisions, rewards, of_devices, info = steps_of(SCENARIOS[name], seed)
        assert env.objective == "late"
        streams = env.streams
        outcome = outcome_of(streams, decisions)
        late, lost, of_device = outcome.late[0], outcome.lost[0], streams.device[0]
        assert rewards.sum() == -late.sum()
        assert (info["late_share"], info["lost_share"]) == (late.mean(), lost.mean())
        assert info["response_mean_s"] == pytest.approx(outcome.response_s[np.isfinite(outcome.response_s)].mean())
        num_devices = streams.num_devices
        np.testing.assert_array_equal(of_devices.sum(axis=0), -np.bincount(of_device, late, num_devices))
        np.testing.assert_array_equal(of_devices.sum(axis=1), rewards)
        # A job counts at its arrival if it is dropped, when it is lost, or at its deadline, whatever comes first.
        when_s = np.where(late, streams.arrival_s[0] + streams.deadline_s[0], np.inf)
        when_s = np.fmin(when_s, np.fmin.reduce(timelines(streams, decisions)[0]["lost_s"], axis=1))
        dropped = decisions[0, :, 0] == -1
        when_s[dropped] = streams.arrival_s[0, dropped]
        last = np.cumsum(np.where(dropped, 1, streams.batch.jobs["num_tasks"][0]))[:-1]
        counted = [(when_s[: j + 1] <= until_s).sum() for j, until_s in enumerate(streams.arrival_s[0, 1:])]
        np.testing.assert_array_equal(-np.cumsum(rewards)[last - 1], counted)
    assert lost.any()


def test_pictures_know_what_is_lost():
    env, decisions, *_ = steps_of(SCENARIOS["no deadlines"], 0)
    picture = picture_of(env._fleet, 10.0)
    lost = outcome_of(env.streams, decisions).lost[0]
    assert picture.title.endswith(
        f"0 in the system, {picture.title.split(', ')[3]}, {lost.sum()} late, {lost.sum()} lost"
    )
    assert picture.late == frozenset(np.flatnonzero(lost).tolist())


@pytest.mark.parametrize("report_s", [0.0, 0.7])
def test_later_failures_are_not_seen_before_they_happen(report_s):
    """Two streams that differ in later failures look the same, to the byte, until then."""
    for seed in range(5):
        _, streams, changed, until_s = failing_pair(seed, report_s=report_s, failure_tasks="lost")
        decisions = np.random.default_rng(seed).integers(0, 4, (4, 40, 1))
        before = streams.arrival_s.ravel() < until_s
        seen, other = (decided_labels(of, decisions).observations for of in (streams, changed))
        np.testing.assert_array_equal(seen[before], other[before])
        assert (seen[~before] != other[~before]).any()


@pytest.mark.parametrize("report_s", [0.0, 0.7])
def test_planning_does_not_know_later_failures_and_loses_less(report_s):
    scenario, streams, changed, until_s = failing_pair(3, report_s=report_s, failure_tasks="lost", num_tasks=2)
    rule = make_stream_policy("late-price", scenario, "late")
    planner = PlannerPolicy(scenario, rule, Effort(4, 20, 4, 3.0), "late", 0)
    before = streams.arrival_s < until_s
    planned, other = (play(of, planner, 1) for of in (streams, changed))
    np.testing.assert_array_equal(planned.decisions[before], other.decisions[before])
    again = outcome_of(streams, planned.decisions)
    np.testing.assert_array_equal(planned.response_s, again.response_s)
    np.testing.assert_array_equal(planned.lost, again.lost)
    assert planned.late.sum() < play(streams, make_stream_policy("edge", scenario)).late.sum()


@pytest.mark.parametrize(("kind", "objective"), [("wait", "response"), ("lost", "late")])
def test_what_planning_finds_does_not_depend_on_later_failures(kind, objective):
    """Jobs of three tasks, of which some have a core at a server when a future begins, and others wait."""
    for seed in (2, 3):
        scenario, streams, changed, until_s = failing_pair(seed, failure_tasks=kind, num_tasks=3)
        rule = make_stream_policy("late-price" if kind == "lost" else "queue-price", scenario, objective)
        planner = PlannerPolicy(scenario, rule, Effort(4, 20, 4, 3.0), objective, 0)
        behaviour, found = make_stream_policy("edge", scenario), []
        for of in (streams, changed):
            size, tasks = (4, 40), 4 * 40 * 3
            out = Played(
                np.zeros((*size, 3), dtype=np.int64), np.zeros(size), np.zeros(size),
                np.zeros((tasks, size_of(4)), dtype=np.float32), np.zeros((tasks, 4)), np.zeros((tasks, 4)),
            )  # fmt: skip
            call = planning_call(of, planner, behaviour, {"key": np.uint64(5), "share": 1.0}, new_stop())
            assert call(0, out) == tasks
            found.append(out.costs[np.repeat(streams.arrival_s.ravel() < until_s, 3)])
        np.testing.assert_allclose(found[0], found[1], rtol=0.0, atol=1e-9)


def losing(streams, seed):
    """The same streams with servers that are down in a third of the slots but the last, and lose their tasks."""
    batch, slots = streams.batch, streams.batch.uplink_bps.shape[2]
    down = np.random.default_rng(seed).random((len(streams), streams.num_servers, slots)) < 1 / 3
    down[:, :, -1] = False
    common = batch.common.copy()
    common["loses_tasks"] = 1
    return Streams.from_batch(batch._replace(down_slots=as_down_slots(down), common=common))


@pytest.mark.parametrize(
    "shape", [{}, {"m": 2}, {"J": 2, "n": 3, "edges": ((0, 2), (1, 2))}, {"J": 2, "n": 3, "edges": ((0, 1), (0, 2))}]
)
def test_hindsight_of_small_streams_has_no_better_neighbour(shape):
    streams = losing(draw(3, size=12, **shape), 4)
    everything = every_decision(streams, [0, 1, 2])
    found = hindsight(streams, np.ones((12, *everything.shape[1:]), int), "late")
    reached, num_lost = outcome_of(streams, found).late.sum(axis=1), 0
    for b in range(12):
        outcome = outcome_of(streams[np.full(len(everything), b)], everything)
        changed = everything != found[b]
        assert (
            reached[b]
            <= outcome.late.sum(axis=1)[changed.sum(axis=(1, 2)) <= (2 if streams.num_tasks == 1 else 1)].min()
        )
        num_lost += outcome.lost.sum()
    assert num_lost > 0
    # Longer ones, in which moves are played until the queues are those that were there before.
    streams = losing(draw(5, size=4, **(shape | {"J": 20, "slots": 30})), 6)
    start = np.random.default_rng(0).integers(0, 3, (4, 20, streams.num_tasks))
    late = [outcome_of(streams, of).late.sum() for of in (start, hindsight(streams, start, "late"))]
    assert late[1] < late[0]


def test_scenarios_say_what_becomes_of_the_tasks_of_servers_that_fail():
    waits, loses = (sample_streams(FAILING | {"failure_tasks": kind}, 5, seed=1) for kind in ("wait", "lost"))
    assert (waits.can_lose, loses.can_lose) == (False, True)
    assert not sample_streams(FAILING | {"failure_share": 0.0}, 1).can_lose
    np.testing.assert_array_equal(waits.batch.down_slots, loses.batch.down_slots)
    np.testing.assert_array_equal(lower_bound(waits), lower_bound(loses))
    for name in ("greedy", "queue-price", "exact"):
        played = play(loses, make_stream_policy(name, FAILING))
        again = outcome_of(loses, played.decisions)
        np.testing.assert_array_equal(played.lost, again.lost)
        assert (played.response_s.sum(axis=1) >= lower_bound(loses)).all()
    local = play(loses, make_stream_policy("local", FAILING))
    assert not local.lost.any()
    assert (local.response_s.sum(axis=1) >= lower_bound(loses)).all()


def test_responses_are_no_objective_where_jobs_can_be_lost():
    sentence = (
        "objective is 'response', and a job that is lost has no response; where servers fail and failure_tasks is "
    )
    scenario = make_scenario(**FAILING)
    streams, decisions = sample_streams(scenario, 1), np.ones((1, 40, 1), dtype=int)
    rule = make_stream_policy("queue-price", scenario)
    planner = PlannerPolicy(scenario, rule, Effort(2, 5, 2, 3.0), "response", 0)
    for refused in (
        lambda: StreamEnv(scenario, "response"),
        lambda: hindsight(streams, decisions),
        lambda: play(streams, planner),
        lambda: stream_costs(streams, outcome_of(streams, decisions), "response"),
    ):
        with pytest.raises(ValueError, match=sentence):
            refused()
    assert StreamEnv(FAILING | {"failure_share": 0.0}).objective == "response"


def test_a_job_that_never_completes_is_not_taken_for_a_lost_one():
    streams = unit_streams(
        [0.0, 0.5], [2.0, 1.0], up_but(1), failure_tasks="lost", output_bits=np.ones((1, 2, 1)),
        downlink_bps=np.zeros((1, 1, 12)),
    )  # fmt: skip
    np.testing.assert_array_equal(outcome_of(streams, [[[1], [0]]]).lost, [[True, False]])
    with pytest.raises(ValueError, match="job 1 of stream 0 never completes: uplink_bps"):
        outcome_of(
            unit_streams(
                [0.0, 2.5],
                [2.0, 1.0],
                up_but(1),
                failure_tasks="lost",
                output_bits=np.ones((1, 2, 1)),
                downlink_bps=np.zeros((1, 1, 12)),
            ),
            [[[1], [1]]],
        )


@pytest.mark.parametrize(
    "make",
    [
        lambda kind: make_scenario("stream", failure_tasks=kind),
        lambda kind: unit_streams([0.0], [1.0], failure_tasks=kind),
    ],
)
@pytest.mark.parametrize("kind", ["gone", True, None])
def test_bad_failure_tasks(make, kind):
    with pytest.raises(ValueError, match=f"failure_tasks is {kind!r}; it must be 'wait' or 'lost'"):
        make(kind)
