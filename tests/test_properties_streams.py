"""What the model of streams implies, tried on the whole domain of valid input, and what it does not, by example."""

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st
from naive_streams import naive_stream
from property_inputs import few_and_many, refute, worlds
from test_streams_rules import in_plain_python, in_simpy, in_the_kernel, world

from offload_gym.streams.bounds import lower_bound
from offload_gym.streams.hindsight import hindsight
from offload_gym.streams.responses import histories, job_energy, response_times, timelines
from offload_gym.streams.streams import Streams

SEEDS = st.integers(0, 2**32 - 1)
MOMENTS = ("ready_s", "start_s", "finish_s", "completion_s")


def agree(ours, others, is_exact, where=""):
    """Equal to the last bit where nothing is rounded, else but for rounding at the times of the stream."""
    if is_exact:
        np.testing.assert_array_equal(ours, others, err_msg=where)
    else:
        finite = np.abs(others)[np.isfinite(others)]
        np.testing.assert_allclose(ours, others, rtol=1e-9, atol=1e-13 * finite.max(initial=1.0), err_msg=where)


@few_and_many
def test_the_kernel_equals_the_twin(tries):
    @refute(120 * tries, worlds())
    def holds(given):
        streams, decisions, is_exact = given
        twin = naive_stream(streams, 0, decisions)
        horizon_s = np.nanmax([*np.ravel(twin.completion_s), 1.0])
        rounded = {"rtol": 1e-9, "atol": 0.0 if is_exact else 1e-13 * horizon_s}
        np.testing.assert_allclose(response_times(streams, decisions), [twin.response_s], **rounded)
        np.testing.assert_allclose(job_energy(streams, decisions), [twin.energy_j], rtol=1e-9, atol=1e-12 * horizon_s)
        times = timelines(streams, decisions)[0]
        for name in MOMENTS:
            agree(times[name], getattr(twin, name), is_exact, name)


def slower(streams, factor):
    """The streams with all times multiplied by ``factor``."""
    batch = streams.batch
    jobs, devices, servers, common = (a.copy() for a in (batch.jobs, batch.devices, batch.servers, batch.common))
    for array, name in ((jobs, "arrival_s"), (servers, "propagation_s"), (common, "slot_s")):
        array[name] *= factor
    for array, name in ((devices, "hz"), (servers, "cpu_hz"), (servers, "wired_bps")):
        array[name] /= factor
    changed = {"jobs": jobs, "devices": devices, "servers": servers, "common": common}
    rates = {name: getattr(batch, name) / factor for name in ("uplink_bps", "downlink_bps")}
    return Streams.from_batch(batch._replace(**changed, **rates))


@few_and_many
def test_times_that_are_all_multiplied_multiply_all_results(tries):
    @refute(100 * tries, worlds(), st.integers(-20, 20))
    def holds(given, exponent):
        streams, decisions, _ = given
        factor = 2.0**exponent
        response_s = response_times(streams, decisions)
        np.testing.assert_array_equal(response_times(slower(streams, factor), decisions), response_s * factor)


@few_and_many
def test_servers_and_devices_in_another_order_change_nothing(tries):
    @refute(100 * tries, worlds(), SEEDS)
    def holds(given, seed):
        streams, decisions, _ = given
        rng, batch = np.random.default_rng(seed), streams.batch
        servers, devices = rng.permutation(streams.num_servers), rng.permutation(streams.num_devices)
        jobs = batch.jobs.copy()
        jobs["device"] = np.argsort(devices)[batch.jobs["device"]]
        by_device = {name: getattr(batch, name)[:, devices] for name in ("uplink_bps", "downlink_bps", "sites")}
        by_server = {name: getattr(batch, name)[:, servers] for name in ("servers", "down_slots")}
        others = batch._replace(jobs=jobs, devices=batch.devices[:, devices], **by_device, **by_server)
        others = Streams.from_batch(type(batch)(*map(np.ascontiguousarray, others)))
        of_others = np.append(0, 1 + np.argsort(servers))[decisions]
        response_s = response_times(streams, decisions)
        np.testing.assert_array_equal(response_times(others, of_others), response_s)


def without_last(streams):
    batch = streams.batch
    fewer = {name: np.ascontiguousarray(getattr(batch, name)[:, :-1]) for name in ("jobs", "tasks", "edge_bits")}
    return Streams.from_batch(batch._replace(**fewer))


@few_and_many
def test_a_job_that_arrives_later_never_changes_what_was_before(tries):
    """Whatever the devices share: what happened until the arrival of the last job is as without it."""

    @refute(150 * tries, worlds())
    def holds(given):
        streams, decisions, is_exact = given
        assume(streams.num_jobs > 1)
        arrives_s = streams.arrival_s[0, -1]
        times, fewer = timelines(streams, decisions)[0, :-1], timelines(without_last(streams), decisions[:, :-1])[0]
        for name in MOMENTS:
            until = (times[name] <= arrives_s) | (fewer[name] <= arrives_s)
            agree(times[name][until], fewer[name][until], is_exact, name)


@few_and_many
def test_a_later_job_of_the_only_device_changes_nothing_where_none_overtakes(tries):
    """One device, jobs without edges, and wired paths that take no time for bits: first come, first served.

    Then radio and cores serve all tasks in the order of their jobs, and no response depends on a later job. Each of
    the three conditions is needed, as the examples below show.
    """

    @refute(150 * tries, worlds(max_devices=1, graphs=False, overtaking=False))
    def holds(given):
        streams, decisions, is_exact = given
        assume(streams.num_jobs > 1)
        times, fewer = timelines(streams, decisions)[0, :-1], timelines(without_last(streams), decisions[:, :-1])[0]
        for name in MOMENTS:
            agree(times[name], fewer[name], is_exact, name)


EVERYWHERE = pytest.mark.parametrize("play", [in_plain_python, in_simpy, in_the_kernel])


@EVERYWHERE
def test_a_later_job_of_another_device_takes_a_share_of_the_spectrum(play):
    # Alone the first job has sent at 2 s; the second one, of 1 bit, shares from 1 s on: at 3 s both have sent.
    jobs, decisions = [(0.0, 0, [(2.0, 0.0, 0.0)]), (1.0, 1, [(1.0, 0.0, 0.0)])], [[1], [2]]
    rates = {"uplink_bps": [[1.0], [1.0]], "device_hz": [1.0, 1.0]}
    np.testing.assert_allclose(play(*world(jobs[:1], decisions[:1], **rates)), [2.0])
    np.testing.assert_allclose(play(*world(jobs, decisions, **rates)), [3.0, 2.0])


@EVERYWHERE
def test_a_later_job_overtakes_on_the_wired_path(play):
    # The first job has sent at 2 s and arrives at 6 s; the second one has sent at 2.25 s, arrives at 2.75 s, and is
    # served before it.
    jobs, decisions = [(0.0, 0, [(2.0, 1.0, 0.0)]), (1.0, 0, [(0.25, 5.0, 0.0)])], [[1], [1]]
    np.testing.assert_allclose(play(*world(jobs[:1], decisions[:1], wired_bps=[0.5, 0.5])), [7.0])
    np.testing.assert_allclose(play(*world(jobs, decisions, wired_bps=[0.5, 0.5])), [8.75, 6.75])


@EVERYWHERE
def test_the_data_of_an_edge_wait_behind_the_input_of_a_later_job(play):
    # The first task runs on the device until 2 s and then sends 1 bit; the second job sends from 1 s on, for 4 s.
    jobs = [(0.0, 0, [(0.0, 2.0, 0.0), (0.0, 0.0, 0.0)]), (1.0, 0, [(4.0, 0.0, 0.0), (0.0, 0.0, 0.0)])]
    decisions, edges = [[0, 1], [1, 1]], [(0, 1)]
    np.testing.assert_allclose(play(*world(jobs[:1], decisions[:1], edges, [[1.0]])), [3.0])
    np.testing.assert_allclose(play(*world(jobs, decisions, edges, [[1.0], [0.0]])), [6.0, 4.0])


def quicker(streams, name, factor):
    """The streams with a field of the servers multiplied by a factor."""
    servers = streams.batch.servers.copy()
    servers[name] = servers[name] * factor
    return Streams.from_batch(streams.batch._replace(servers=servers))


@few_and_many
def test_quicker_servers_never_make_jobs_without_edges_slower(tries):
    """What is sent when does not depend on the servers then: each of them serves the same tasks in the same order."""

    @refute(150 * tries, worlds(graphs=False), st.sampled_from(["cpu_hz", "cores"]), SEEDS)
    def holds(given, name, seed):
        streams, decisions, is_exact = given
        assume(not streams.can_lose)  # one that would be done sooner may be lost where it was not
        factor = np.random.default_rng(seed).integers(1, 4, streams.num_servers)
        before_s, after_s = (
            completion(given_streams, decisions) for given_streams in (streams, quicker(streams, name, factor))
        )
        assert not (after_s > before_s * (1.0 if is_exact else 1 + 1e-12)).any()


def completion(streams, decisions):
    return timelines(streams, decisions)["completion_s"]


def orders(streams, decisions):
    """In which order each place begins with its tasks, and the radio with what it sends.

    Of two that begin at one moment one waits for the other only where that takes no time.
    """
    records = histories(streams, decisions)
    tasks, sends = records.tasks[0], records.sends[0]
    at = np.where(streams.present, decisions, -1)[0].ravel()
    places = [tasks[at == k] for k in range(streams.num_locations)]
    return [np.lexsort((of["finish_s"], of["start_s"])).tolist() for of in (*places, sends)]


@few_and_many
def test_quicker_servers_never_make_the_only_device_slower_where_the_order_of_service_stays(tries):
    counts = {"same order": 0, "another order": 0, "slower": 0}

    @refute(250 * tries, worlds(max_devices=1, fails=False), st.sampled_from(["cpu_hz", "cores", "wired_bps"]), SEEDS)
    def holds(given, name, seed):
        streams, decisions, is_exact = given
        faster = quicker(streams, name, 2.0 ** np.random.default_rng(seed).integers(0, 2, streams.num_servers))
        is_slower = (
            completion(faster, decisions) > completion(streams, decisions) * (1 + 1e-12 * (not is_exact))
        ).any()
        if orders(streams, decisions) == orders(faster, decisions):
            counts["same order"] += 1
            assert not is_slower
        else:
            counts["another order"] += 1
            counts["slower"] += is_slower

    assert counts["same order"] > 100 * tries, counts
    assert counts["slower"] > 0, counts  # so the condition is needed


@EVERYWHERE
def test_a_quicker_server_can_make_an_application_slower(play):
    """A scheduling anomaly, as of Graham: one task is done sooner and gets in the way of one that is more urgent.

    Task 0 runs on server 1; task 1 follows it on server 2 and nothing follows that. Task 2 runs on the device until
    1.5 s, and task 3 follows it on server 2, task 4 that on server 1, for 6 s. With server 1 at 1 cycle a second task 1
    is ready at 2 s, after task 3, which runs from 1.5 to 2.5 s; the job is complete when task 4 is, at 8.5 s. At 2
    cycles a second task 1 is ready at 1 s and runs until 5 s, task 3 until 6 s, and task 4 until 9 s.
    """
    tasks = [(0.0, 2.0, 0.0), (0.0, 4.0, 0.0), (0.0, 1.5, 0.0), (0.0, 1.0, 0.0), (0.0, 6.0, 0.0)]
    edges, decisions = [(0, 1), (2, 3), (3, 4)], [[1, 2, 0, 2, 1]]
    job = [(0.0, 0, tasks)]
    slow = world(job, decisions, edges, [[0.0, 0.0, 0.0]], cpu_hz=[1.0, 1.0])
    fast = world(job, decisions, edges, [[0.0, 0.0, 0.0]], cpu_hz=[2.0, 1.0])
    np.testing.assert_allclose([play(*slow)[0], play(*fast)[0]], [8.5, 9.0])


@EVERYWHERE
def test_a_quicker_server_can_make_another_device_slower_though_all_orders_stay(play):
    """With several devices the order of service is not enough: who sends sooner takes its share sooner.

    The job of device 0 runs on server 1, then on the device, then sends 1 bit to server 1. Device 1 sends 2 bits to
    server 2 from 0 s on. With server 1 at 1 cycle a second device 0 begins to send at 2 s, when device 1 has sent; at
    2 cycles a second at 1 s, and they share until both have sent, at 3 s.
    """
    jobs = [
        (0.0, 0, [(0.0, 2.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)]),
        (0.0, 1, [(2.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)]),
    ]
    decisions, edges, bits = [[1, 0, 1], [2, 2, 2]], [(0, 1), (1, 2)], [[0.0, 1.0], [0.0, 0.0]]
    rates = {"uplink_bps": [[1.0], [1.0]], "device_hz": [1.0, 1.0]}
    slow = world(jobs, decisions, edges, bits, cpu_hz=[1.0, 1.0], **rates)
    fast = world(jobs, decisions, edges, bits, cpu_hz=[2.0, 1.0], **rates)
    np.testing.assert_allclose(play(*slow), [3.0, 2.0])
    np.testing.assert_allclose(play(*fast), [3.0, 3.0])


@few_and_many
def test_bound_search_and_its_start_are_in_order(tries):
    @refute(60 * tries, worlds(fails=False))
    def holds(given):
        streams, decisions, _ = given
        bound_s = lower_bound(streams, (10, 10))
        found_s = response_times(streams, hindsight(streams, decisions, moves=1)).sum(axis=1)
        assert (bound_s <= found_s).all()
        assert (found_s <= response_times(streams, decisions).sum(axis=1)).all()
