"""The stream model three times: the kernel, plain Python and SimPy, and the model of one moment where it is that."""

import numpy as np
import pytest
from naive_streams import naive_stream
from random_streams import random_stream
from simpy_streams import simpy_stream

import offload_gym
from offload_gym.instances import Instances
from offload_gym.streams.streams import Streams

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
HAND_CASE = {  # decisions, one a job, and completions in seconds; a dropped job has none
    (1, 0, 1, 2): (0.465, 0.300, 0.820, 0.706),
    (1, 1, 1, 1): (0.465, 0.970, 0.920, 1.065),
    (2, 2, 2, 0): (0.386, 0.887, 0.834, 0.600),
    (0, 0, 0, 0): (1.000, 1.200, 1.400, 1.500),
    (1, -1, 2, 1): (0.465, np.inf, 0.734, 0.690),
}


def hand_streams(size):
    fields = {
        "arrival_s": [0.0, 0.1, 0.2, 0.3],
        "device": [0, 0, 1, 0],
        "input_bits": [[2e6], [2e6], [4e6], [1e6]],
        "workload_cycles": [[1.0e9], [0.2e9], [1.2e9], [0.3e9]],
        "output_bits": [[0.1e6], [0.2e6], [0.4e6], [0.1e6]],
        "device_hz": [1e9, 1e9],
        "cpu_hz": [4e9, 10e9],
        "cores": [1, 2],
        "wired_bps": [np.inf, 100e6],
        "propagation_s": [0.005, 0.030],
        "uplink_bps": [[10e6, 5e6], [20e6, 20e6]],
        "downlink_bps": [[20e6, 20e6], [40e6, 40e6]],
        "kappa": 1e-27,
        "transmit_w": 0.5,
    }
    return Streams(**{name: np.array([value] * size) for name, value in fields.items()}, slot_s=0.25)


@pytest.fixture(scope="module")
def drawn():
    """1,000 random streams with decisions, and what the twin in plain Python makes of them."""
    rng = np.random.default_rng(0)
    streams = [random_stream(rng) for _ in range(1000)]
    return [(one, decisions, naive_stream(one, 0, decisions)) for one, decisions in streams]


def test_the_case_by_hand_in_plain_python_and_in_simpy():
    streams, decisions = hand_streams(len(HAND_CASE)), np.array(list(HAND_CASE))[:, :, None]
    for b, completion_s in enumerate(HAND_CASE.values()):
        response_s = np.array(completion_s) - streams.arrival_s[b]
        np.testing.assert_allclose(naive_stream(streams, b, decisions).response_s, response_s, atol=5e-4)
        np.testing.assert_allclose(simpy_stream(streams, b, decisions), response_s, atol=5e-4)


def test_the_case_by_hand_in_the_kernel():
    from offload_gym.streams.responses import response_times

    streams, decisions = hand_streams(len(HAND_CASE)), np.array(list(HAND_CASE))[:, :, None]
    response_s = np.array(list(HAND_CASE.values())) - streams.arrival_s
    np.testing.assert_allclose(response_times(streams, decisions), response_s, atol=5e-4)


def test_the_times_of_tasks_of_the_case_by_hand():
    # Job 0 is sent at 10 Mbit/s until 0.2 s, job 2 at 20 Mbit/s until 0.3 s (2 Mbit), then at 10 Mbit/s until 0.5 s.
    # Job 3 is sent at 2.5 Mbit/s from 0.3 to 0.5 s (0.5 Mbit) and at 5 Mbit/s until 0.6 s; it takes 10 ms to the cloud.
    row, decisions = hand_streams(1), np.array([[[1], [0], [1], [2]]])
    result = naive_stream(row, 0, decisions)
    np.testing.assert_allclose(np.ravel(result.ready_s), [0.205, 0.1, 0.505, 0.640])
    np.testing.assert_allclose(np.ravel(result.start_s), [0.205, 0.1, 0.505, 0.640])
    np.testing.assert_allclose(np.ravel(result.finish_s), [0.455, 0.3, 0.805, 0.670])
    np.testing.assert_allclose(np.ravel(result.completion_s), [0.465, 0.3, 0.820, 0.706])
    np.testing.assert_allclose(result.energy_j, [0.5 * 0.2, 1e-27 * 1e18 * 0.2e9, 0.5 * 0.3, 0.5 * 0.3])


def test_what_is_dropped_or_padding_has_no_times():
    rows = hand_streams(1)
    dropped = naive_stream(rows, 0, np.array([[[1], [-1], [2], [1]]]))
    assert (dropped.response_s[1], dropped.energy_j[1]) == (np.inf, 0.0)
    assert all(np.isnan(times[1]).all() for times in dropped[2:])
    rng = np.random.default_rng(1)
    padded = next(one for one in iter(lambda: random_stream(rng), None) if not one[0].present.all())
    result = naive_stream(padded[0], 0, np.abs(padded[1]))
    assert all((np.isnan(times) == ~padded[0].present[0]).all() for times in result[2:])


def test_plain_python_and_simpy_agree(drawn):
    for number, (streams, decisions, twin) in enumerate(drawn[:400]):
        np.testing.assert_allclose(
            simpy_stream(streams, 0, decisions), twin.response_s, **CLOSE, err_msg=f"stream {number}, {streams}"
        )


def test_the_kernel_and_plain_python_agree(drawn):
    from offload_gym.streams.responses import job_energy, response_times

    for number, (streams, decisions, twin) in enumerate(drawn):
        where = f"stream {number}, {streams}"
        np.testing.assert_allclose(response_times(streams, decisions), [twin.response_s], **CLOSE, err_msg=where)
        np.testing.assert_allclose(job_energy(streams, decisions), [twin.energy_j], **CLOSE, err_msg=where)


def test_the_random_streams_have_what_they_should(drawn):
    batches = [streams.batch for streams, _, _ in drawn]
    times = [np.ravel(twin[2:]) for _, _, twin in drawn]
    # Exact times have few digits after the point in base 2; a rounded one would not.
    exact = [np.isfinite(of_one) & (of_one * 2**36 == np.floor(of_one * 2**36)) for of_one in times]
    on_grid = np.array([batch.common["transmit_w"][0] == 0.5 for batch in batches])
    assert 300 < on_grid.sum() < 500
    assert all((exact[number] | np.isnan(times[number])).all() for number in np.flatnonzero(on_grid))
    tied = [len(np.unique(found)) < len(found) for found in (np.ravel(twin.ready_s) for _, _, twin in drawn)]
    shares = {
        "ties": np.mean(tied),
        "several senders": np.mean([(batch.jobs["device"] > 0).any() for batch in batches]),
        "edges": np.mean([batch.graph_start[:, -1, 0].any() for batch in batches]),
        "drops": np.mean([np.isinf(twin.response_s).any() for _, _, twin in drawn]),
        "outages": np.mean([(batch.uplink_bps == 0).any() for batch in batches]),
        "tasks wait": np.mean([(np.array(twin.start_s) > np.array(twin.ready_s)).any() for _, _, twin in drawn]),
    }
    assert min(shares.values()) > 0.25, shares


def test_all_agree_where_servers_lose_their_tasks():
    from offload_gym.streams.responses import histories, outcome_of

    rng = np.random.default_rng(2)
    drawn = [one for one in (random_stream(rng, "lost") for _ in range(1000)) if one[0].can_lose]
    num_lost, num_doomed = 0, 0
    for number, (streams, decisions) in enumerate(drawn):
        where, twin = f"stream {number}, {streams}", naive_stream(streams, 0, decisions)
        ours = outcome_of(streams, decisions)
        np.testing.assert_allclose(ours.response_s, [twin.response_s], **CLOSE, err_msg=where)
        np.testing.assert_allclose(ours.energy_j, [twin.energy_j], **CLOSE, err_msg=where)
        lost = np.isinf(twin.response_s) & (decisions[0, :, 0] != -1)
        np.testing.assert_array_equal([ours.lost, ours.late], [[lost], np.isinf(ours.response_s)], err_msg=where)
        times = histories(streams, np.where(streams.present, decisions, 0)).tasks.reshape(decisions.shape)[0]
        for name in ("ready_s", "start_s", "finish_s", "completion_s"):
            np.testing.assert_allclose(times[name], getattr(twin, name), **CLOSE, err_msg=f"{name} of {where}")
        np.testing.assert_allclose(simpy_stream(streams, 0, decisions), twin.response_s, **CLOSE, err_msg=where)
        num_lost += ours.lost.sum()
        num_doomed += (np.isnan(times["ready_s"]) & streams.present[0])[ours.lost[0]].sum()
    assert len(drawn) > 350
    assert num_lost > 300
    assert num_doomed > 150


@pytest.mark.parametrize("num_sites", [1, 7])
def test_the_kernel_and_plain_python_agree_on_many_devices(num_sites):
    """60 devices, of which many send at a time and move between sites, and whose jobs arrive at the same moments."""
    from offload_gym.streams.responses import job_energy, response_times

    rng = np.random.default_rng(num_sites)
    num_devices, num_jobs, slots = 60, 240, 12
    of_task, of_slot = (1, num_jobs, 1), (1, num_devices, slots)
    uplink_bps = rng.uniform(4e6, 16e6, of_slot) * (rng.random(of_slot) < 0.9)
    uplink_bps[:, :, -1] = 8e6
    streams = Streams(
        arrival_s=np.sort(rng.integers(0, 24, (1, num_jobs)) * 0.125),
        device=rng.integers(0, num_devices, (1, num_jobs)),
        input_bits=rng.uniform(0, 4e5, of_task),
        output_bits=rng.uniform(0, 4e5, of_task),
        workload_cycles=rng.uniform(0, 1e9, of_task),
        device_hz=rng.uniform(1e9, 2e9, (1, num_devices)),
        cpu_hz=[[4e9, 9e9]],
        cores=[[2, 4]],
        wired_bps=[[np.inf, 1e8]],
        propagation_s=[[0.0, 0.03]],
        uplink_bps=uplink_bps,
        downlink_bps=np.full((1, num_devices, slots), 2e7),
        site=rng.integers(0, num_sites, (1, num_devices, slots)),
        slot_s=0.25,
        kappa=[1e-27],
        transmit_w=[0.5],
    )
    decisions = rng.integers(0, 3, of_task)
    twin = naive_stream(streams, 0, decisions)
    np.testing.assert_allclose(response_times(streams, decisions), [twin.response_s], **CLOSE)
    np.testing.assert_allclose(job_energy(streams, decisions), [twin.energy_j], **CLOSE)


def one_moment(rng, size, n, edges, wired_bps):
    """The same decisions as streams of one job at time 0 with one rate, and as instances."""
    servers = 3
    tasks = {name: rng.uniform(0.1, 2.0, (size, n)) * 1e6 for name in ("input_bits", "output_bits")}
    tasks["workload_cycles"] = rng.uniform(0.05, 1.0, (size, n)) * 1e9
    edge_bits = rng.uniform(0.1, 2.0, (size, len(edges))) * 1e6
    power = {"kappa": rng.uniform(0, 1e-27, size), "transmit_w": rng.uniform(0, 1, size)}
    device_hz, cpu_hz = rng.uniform(0.5e9, 2e9, (size, 1)), rng.uniform(1e9, 9e9, (size, servers))
    cores, device_cores = rng.integers(1, 4, (size, servers)), rng.integers(1, 3, (size, 1))
    wired = np.full((size, servers), wired_bps)
    propagation_s, ratio = rng.uniform(0, 0.05, (size, servers)), rng.uniform(0.5, 2.0, (size, servers))
    up, down = rng.uniform(4e6, 40e6, (size, 1)), rng.uniform(4e6, 40e6, (size, 1))
    streams = Streams(
        arrival_s=np.zeros((size, 1)),
        **{name: values[:, None] for name, values in tasks.items()},
        **power,
        **{"device_hz": device_hz, "device_cores": device_cores, "cpu_hz": cpu_hz, "cores": cores},
        **{"wired_bps": wired, "propagation_s": propagation_s, "rate_ratio": ratio},
        **{"uplink_bps": up[:, :, None], "downlink_bps": down[:, :, None], "edges": edges},
        edge_bits=edge_bits[:, None] if edges else None,
    )

    def with_device(value, array):
        return np.concatenate([np.broadcast_to(value, (size, 1)), array], axis=1)

    instances = Instances(
        **tasks,
        **power,
        cpu_hz=with_device(device_hz, cpu_hz),
        cores=with_device(device_cores, cores),
        backlog_s=np.zeros((size, servers + 1)),
        uplink_bps=with_device(np.inf, up * ratio),
        downlink_bps=with_device(np.inf, down * ratio),
        wired_bps=with_device(np.inf, wired),
        propagation_s=with_device(0.0, propagation_s),
        edges=edges,
        edge_bits=edge_bits if edges else None,
    )
    return streams, instances, rng.integers(0, servers + 1, (size, n))


def in_order(edges, decision, result):
    """Whether what comes first is also the first by index, at each place and at the radio.

    A stream serves what comes first; the model of one moment takes tasks by their index, and at each the parents.
    """
    ready_s, finish_s = np.array(result.ready_s[0]), result.finish_s[0]
    sent_s = []
    for child, k in enumerate(decision):
        parents = [parent for parent, to in sorted(edges) if to == child]
        if k > 0:
            sent_s += [0.0] if not parents else [finish_s[parent] for parent in parents if decision[parent] == 0]
    queues = [sent_s, *(ready_s[decision == k] for k in range(4))]
    return all((np.diff(queue) >= 0).all() for queue in queues)


MOMENTS = {
    "single": (1, [], 20e6),
    "bag": (5, [], np.inf),  # what is sent first arrives first at each server
    "chain": (5, [(0, 1), (1, 2), (2, 3), (3, 4)], 20e6),
    "fork": (6, [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 5)], np.inf),
    "graph": (6, [(0, 2), (1, 2), (2, 3), (1, 4), (4, 5)], 20e6),
}


@pytest.fixture(scope="module", params=MOMENTS)
def moments(request):
    """Streams, instances, decisions (B, n), and what plain Python makes of them; only those in order."""
    n, edges, wired_bps = MOMENTS[request.param]
    streams, instances, decisions = one_moment(np.random.default_rng(n), 60, n, edges, wired_bps)
    twins = [naive_stream(streams, b, decisions[:, None]) for b in range(len(streams))]
    same = [b for b, twin in enumerate(twins) if in_order(edges, decisions[b], twin)]
    assert len(same) >= (60 if request.param in ("single", "bag", "chain") else 20)
    return streams[np.array(same)], instances[np.array(same)], decisions[same], [twins[b] for b in same]


def test_one_moment_in_plain_python_and_in_simpy(moments):
    streams, instances, decisions, twins = moments
    completion_s = [twin.completion_s[0] for twin in twins]
    np.testing.assert_allclose(completion_s, offload_gym.completion_times(instances, decisions), **CLOSE)
    joules = [twin.energy_j[0] for twin in twins]
    np.testing.assert_allclose(joules, offload_gym.energy(instances, decisions), **CLOSE)
    latency_s = offload_gym.latency(instances, decisions)
    np.testing.assert_allclose([twin.response_s[0] for twin in twins], latency_s, **CLOSE)
    in_simpy = [simpy_stream(streams, b, decisions[:, None])[0] for b in range(len(streams))]
    np.testing.assert_allclose(in_simpy, latency_s, **CLOSE)


def test_one_moment_in_the_kernel(moments):
    from offload_gym.streams.responses import job_energy, response_times

    streams, instances, decisions, _ = moments
    response_s = response_times(streams, decisions[:, None])[:, 0]
    np.testing.assert_allclose(response_s, offload_gym.latency(instances, decisions), **CLOSE)
    joules = job_energy(streams, decisions[:, None])[:, 0]
    np.testing.assert_allclose(joules, offload_gym.energy(instances, decisions), **CLOSE)
