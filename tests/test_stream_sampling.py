import json
from pathlib import Path

import naive_stream_sampling as naive
import numpy as np
import pytest

from offload_gym import Streams, make_scenario, sample_streams
from offload_gym.applications.application import Application
from offload_gym.arrivals import load_arrivals
from offload_gym.instances import INPUT, OUTPUT, TASK_FIELDS, WORKLOAD
from offload_gym.streams.parameters import empty_stream_batch, stream_parameters
from offload_gym.streams.sampling import draw_stream

SHARED = Path(__file__).parents[2] / "shared/data"
APPLICATION = Application("two", (1e6, 0), (0, 1e5), (1e8, 2e8), ((0, 1),), (5e5,))
LATENT = np.vectorize(naive.NORMAL.inv_cdf)


def through_the_constructor(streams):
    """The same streams by their public fields, checked anew; all jobs as bags, as the constructor takes one graph."""
    batch = streams.batch
    fields = {name: batch.tasks[..., column] for column, name in enumerate(TASK_FIELDS)}
    fields |= {name: batch.servers[name] for name in batch.servers.dtype.names if name != "site"}
    fields |= {"server_site": batch.servers["site"], "site": batch.sites}
    if batch.positions.shape[2] > 1:
        fields["position_m"] = batch.positions
    fields |= {name: batch.common[name] for name in batch.common.dtype.names if name != "loses_tasks"}
    return Streams(
        arrival_s=streams.arrival_s,
        device=streams.device,
        deadline_s=streams.deadline_s,
        task_counts=batch.jobs["num_tasks"],
        device_hz=batch.devices["hz"],
        device_cores=batch.devices["cores"],
        uplink_bps=batch.uplink_bps,
        downlink_bps=batch.downlink_bps,
        **fields,
    )


def same(one, other):
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(one.batch, other.batch, strict=True))


@pytest.fixture
def arrivals_csv(tmp_path):
    path = tmp_path / "arrivals.csv"
    path.write_text("arrival_s,kind,input_bits\n10,a,1e6\n10.5,b,2e6\n12,c,3e6\n12,d,0\n13,e,5e5\n", encoding="utf-8")
    return path


VARIANTS = {
    "stream": {},
    "deadlines": {"name": "stream_deadlines", "num_devices": 2},
    "applications": {"name": "stream_applications", "deadline_factor": (1.5, 2.0), "num_jobs": 40},
    "bursty": {"arrivals": "bursty", "num_devices": 3, "num_edges": 2, "radio": "constant"},
    "periodic": {"arrivals": "periodic", "jitter": 1.0, "num_devices": 2, "arrivals_per_s": (5, 30)},
    "bags": {"num_tasks": 2, "max_tasks": 4, "num_edges": 0, "deadline_factor": (1, 2)},
    "epochs": {"name": "vision"},
    "mobile": {"name": "stream_mobile", "num_jobs": 40},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_streams_pass_the_checks_of_the_constructor(name):
    streams = sample_streams({"name": "stream", **VARIANTS[name]}, 20, seed=1)
    again = through_the_constructor(streams)
    np.testing.assert_array_equal(again.batch.jobs["arrival_s"], streams.batch.jobs["arrival_s"])
    np.testing.assert_array_equal(again.batch.positions, streams.batch.positions)
    assert (streams.batch.jobs["graph"] < len(streams.graphs.start)).all()
    assert (np.isfinite(streams.deadline_s) == (name in ("deadlines", "applications", "bags"))).all()


def test_presets():
    assert repr(sample_streams("stream", 3)) == "Streams(B=3, J=200, n=1, m=1, K=3)"
    streams = sample_streams("stream_applications", 50, seed=3)
    counts = np.bincount(streams.batch.jobs["graph"].ravel(), minlength=8) / (50 * 200)
    np.testing.assert_allclose(counts, 1 / 8, atol=0.02)
    scenario = make_scenario("stream_applications")
    for a, application in enumerate(scenario.graphs):
        assert streams.graphs.start[a, -1, 0] == len(application.edges)
        tasks = streams.batch.tasks[streams.batch.jobs["graph"] == a]
        scale = tasks[:, : application.num_tasks, WORKLOAD] / application.workload_cycles
        assert 0.2 <= scale.min() < 0.22 < 0.38 < scale.max() <= 0.4
        assert not tasks[:, application.num_tasks :].any()
        edges = sorted(application.edges, key=lambda edge: edge[::-1])
        np.testing.assert_array_equal(streams.graphs.edges[a, : len(edges), :2], edges)
        bits = np.array([application.edge_bits[application.edges.index(edge)] for edge in edges])
        drawn = streams.batch.edge_bits[streams.batch.jobs["graph"] == a][:, : len(edges)] / bits
        assert 0.3 <= drawn.min() < 0.31 < 0.49 < drawn.max() <= 0.5


@pytest.mark.parametrize("arrivals", ["poisson", "bursty", "periodic"])
@pytest.mark.parametrize("rate", [6.0, (2.0, 12.0)])
def test_a_stream_is_that_of_the_plain_model(arrivals, rate):
    changes = {"arrivals": arrivals, "arrivals_per_s": rate, "num_devices": 2, "num_jobs": 50, "num_edges": 3}
    scenario = make_scenario("stream", **changes)
    parameters, sizes = stream_parameters(scenario)
    batch = empty_stream_batch(parameters, sizes, 2)
    for b, (key, episode) in enumerate([(12345, 0), (2**64 - 3, 7)]):
        draw_stream(parameters, np.uint64(key), episode, batch, b)
        jobs, devices = naive.draw(scenario, key, episode, sizes.num_slots)
        np.testing.assert_allclose(batch.jobs["arrival_s"][b], [t for t, _, _ in jobs], rtol=1e-12)
        np.testing.assert_array_equal(batch.jobs["device"][b], [d for _, d, _ in jobs])
        np.testing.assert_allclose(batch.tasks[b, :, 0], [task for _, _, task in jobs], rtol=1e-12)
        for d, (hz, uplink, ratio) in enumerate(devices):
            assert batch.devices["hz"][b, d] == pytest.approx(hz, rel=1e-14)
            np.testing.assert_allclose(batch.uplink_bps[b, d], uplink, rtol=1e-9)
            np.testing.assert_allclose(batch.downlink_bps[b, d], np.array(uplink) * ratio, rtol=1e-9)


def test_the_same_seed_gives_the_same_streams_and_more_of_them_begin_with_the_same():
    for scenario in ("stream", {"name": "stream_applications", "num_devices": 2}):
        many = sample_streams(scenario, 150, seed=5)
        assert same(many, sample_streams(scenario, 150, seed=5))
        assert same(many[:3], sample_streams(scenario, 3, seed=5))
        assert not same(many[:3], sample_streams(scenario, 3, seed=6))
        assert len(np.unique(many.arrival_s[:, 0])) == 150


def test_what_is_drawn_does_not_depend_on_how_many_jobs_there_are():
    few, many = (sample_streams({"name": "stream_deadlines", "num_jobs": n}, 5, seed=2).batch for n in (30, 300))
    np.testing.assert_array_equal(few.jobs, many.jobs[:, :30])
    np.testing.assert_array_equal(few.tasks, many.tasks[:, :30])
    np.testing.assert_array_equal(few.uplink_bps, many.uplink_bps[:, :, : few.uplink_bps.shape[2]])


def test_episodes_and_keys_give_streams_of_their_own():
    parameters, sizes = stream_parameters(make_scenario("stream"))
    batch = empty_stream_batch(parameters, sizes, 4)
    for b, (key, episode) in enumerate([(1, 0), (1, 1), (2, 0), (1, 0)]):
        draw_stream(parameters, np.uint64(key), episode, batch, b)
    np.testing.assert_array_equal(batch.jobs[0], batch.jobs[3])
    assert len(np.unique(batch.jobs["arrival_s"][:, 0])) == 3


def test_poisson_arrivals():
    streams = sample_streams({"name": "stream", "num_devices": 3, "arrivals_per_s": 4.0}, 400, seed=1)
    # THEN 3 devices of 4 jobs/s have 12 together: gaps exponential with a mean of 1/12 s
    gaps = np.diff(streams.arrival_s, axis=1, prepend=0.0).ravel()
    p = np.array([0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
    np.testing.assert_allclose(np.quantile(gaps, p), -np.log1p(-p) / 12, rtol=0.03)
    np.testing.assert_allclose(np.bincount(streams.device.ravel()) / gaps.size, 1 / 3, atol=0.01)


@pytest.mark.parametrize("arrivals", ["poisson", "bursty", "periodic"])
def test_a_rate_between_two_is_log_uniform(arrivals):
    changes = {"arrivals": arrivals, "arrivals_per_s": (2.0, 32.0), "num_jobs": 3000, "burst_s": 0.05, "calm_s": 0.05}
    streams = sample_streams({"name": "stream", "radio": "constant", **changes}, 300, seed=2)
    share = np.log(3000 / streams.arrival_s[:, -1] / 2) / np.log(16)
    np.testing.assert_allclose(np.quantile(share, np.linspace(0.1, 0.9, 9)), np.linspace(0.1, 0.9, 9), atol=0.09)
    assert -0.06 < share.min() < 0.05
    assert 0.95 < share.max() < 1.06


def test_bursts():
    ratio, burst_s, calm_s, rate = 8.0, 1.5, 4.0, 6.0
    changes = {"burst_ratio": ratio, "burst_s": burst_s, "calm_s": calm_s, "arrivals_per_s": rate}
    streams = sample_streams({"name": "stream", "arrivals": "bursty", "num_jobs": 400, **changes}, 3000, seed=3)
    share, switch = burst_s / (burst_s + calm_s), 1 / burst_s + 1 / calm_s
    calm = rate / (share * ratio + 1 - share)
    for t in (0.5, 2.0, 8.0):
        counts = (streams.arrival_s < t).sum(axis=1)
        # THEN counts have the mean and variance of a Markov-modulated Poisson process that begins stationary
        assert counts.mean() == pytest.approx(rate * t, rel=0.06)
        rates = share * (1 - share) * (calm * (ratio - 1)) ** 2
        variance = rate * t + 2 * rates / switch**2 * (switch * t - 1 + np.exp(-switch * t))
        assert counts.var() == pytest.approx(variance, rel=0.1)


@pytest.mark.parametrize("jitter", [0.0, 0.3, 1.0])
def test_frames(jitter):
    streams = sample_streams({"name": "stream", "arrivals": "periodic", "arrivals_per_s": 20, "jitter": jitter}, 300)
    moved = streams.arrival_s * 20 - np.arange(200)  # phase and jitter, in periods
    centre = (moved.max(axis=1) + moved.min(axis=1)) / 2
    offsets = moved - centre[:, None]
    assert np.abs(offsets).max() <= jitter / 2 + 1e-9
    assert np.abs(offsets).max() >= jitter / 2 * 0.98
    assert offsets.std() == pytest.approx(jitter / np.sqrt(12), rel=0.02, abs=1e-9)
    # AND the phase is anywhere in a period
    np.testing.assert_allclose(np.quantile(centre - jitter / 2, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.08)


@pytest.mark.parametrize(("slot_s", "epoch_s", "correlation"), [(0.25, 1.0, 0.95**6), (0.5, 0.1, 0.9), (1.0, 1.0, 0.0)])
def test_the_uplink_is_log_uniform_and_correlated_from_slot_to_slot(slot_s, epoch_s, correlation):
    changes = {"slot_s": slot_s, "epoch_s": epoch_s, "correlation": correlation, "num_devices": 2}
    batch = sample_streams({"name": "stream", **changes}, 800, seed=4).batch
    share = np.log(batch.uplink_bps / 4e6) / np.log(20)
    for slot in (0, 1, -1):
        drawn = np.quantile(share[:, :, slot], np.linspace(0, 1, 11))
        np.testing.assert_allclose(drawn, np.linspace(0, 1, 11), atol=0.04)
    latent = LATENT(share)
    assert np.corrcoef(latent[:, 0, 0], latent[:, 1, 0])[0, 1] == pytest.approx(0.0, abs=0.1)
    for lag in (1, 3):
        found = np.corrcoef(latent[:, :, :-lag].ravel(), latent[:, :, lag:].ravel())[0, 1]
        assert found == pytest.approx(correlation ** (lag * slot_s / epoch_s), abs=0.02)
    ratio = batch.downlink_bps / batch.uplink_bps
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :, :1], ratio.shape), rtol=1e-12)
    np.testing.assert_allclose(np.quantile(ratio[:, :, 0], [0, 0.5, 1]), [1, 2.5, 4], atol=0.15)


def test_a_constant_uplink_has_one_slot():
    batch = sample_streams({"name": "stream", "radio": "constant", "num_devices": 2}, 2000, seed=5).batch
    assert batch.uplink_bps.shape == (2000, 2, 1)
    share = np.log(batch.uplink_bps / 4e6) / np.log(20)
    np.testing.assert_allclose(np.quantile(share, np.linspace(0, 1, 11)), np.linspace(0, 1, 11), atol=0.03)


def test_recorded_rates_are_those_of_the_slots(tmp_path):
    path = tmp_path / "rates.csv"
    path.write_text("mbps\n8\n0\n4\n6\n0\n", encoding="utf-8")
    changes = {"radio": "trace", "trace_path": path, "num_jobs": 6, "arrivals_per_s": 3.0, "num_devices": 2}
    streams = sample_streams({"name": "stream", "slot_s": 0.5, **changes}, 60, seed=6)
    recorded = np.repeat([8e6, 0, 4e6, 6e6, 0], 2)
    starts = set()
    for row in streams.batch.uplink_bps.reshape(120, -1):
        fits = [s for s in range(10) if np.array_equal(row[:-1], np.resize(np.roll(recorded, -s), len(row) - 1))]
        assert len(fits) == 1
        starts |= set(fits)
        # THEN the last slot has the next rate that is above 0, as it holds for ever after
        ahead = np.roll(recorded, -((fits[0] + len(row) - 1) % 10))
        assert row[-1] == ahead[ahead > 0][0]
    assert starts == set(range(10))
    ratio = streams.batch.downlink_bps[:, :, -1] / streams.batch.uplink_bps[:, :, -1]
    assert 1 <= ratio.min() < 1.2 < 3.8 < ratio.max() <= 4
    assert (streams.batch.downlink_bps > 0).all(axis=2).sum() == 0  # an outage of the downlink, too
    through_the_constructor(streams)


def test_a_recorded_downlink_has_outages_of_its_own(tmp_path):
    path = tmp_path / "rates.csv"
    path.write_text("ul_mbps,dl_mbps\n8,20\n0,10\n4,0\n6,30\n", encoding="utf-8")
    changes = {"radio": "trace", "trace_path": path, "downlink_trace_path": path, "slot_s": 1.0, "num_jobs": 5}
    batch = sample_streams({"name": "stream", **changes}, 40, seed=6).batch
    pairs = {
        (up / 1e6, down / 1e6)
        for up, down in zip(batch.uplink_bps[:, 0, :-1].ravel(), batch.downlink_bps[:, 0, :-1].ravel(), strict=True)
    }
    assert pairs == {(8, 20), (0, 10), (4, 0), (6, 30)}
    last = {
        (up / 1e6, down / 1e6)
        for up, down in zip(batch.uplink_bps[:, 0, -1], batch.downlink_bps[:, 0, -1], strict=True)
    }
    assert last == {(8, 20), (4, 10), (4, 30), (6, 30)}


def test_recorded_arrivals_go_round_from_a_random_row(arrivals_csv):
    changes = {"arrivals": "trace", "arrivals_path": arrivals_csv, "arrivals_per_s": None, "num_jobs": 12}
    streams = sample_streams({"name": "stream", **changes}, 100, seed=7)
    # GIVEN gaps of 0.5, 1.5, 0 and 1 s, and after the last row their mean, 0.75 s
    gaps, sizes = np.array([0.75, 0.5, 1.5, 0.0, 1.0]), np.array([1e6, 2e6, 3e6, 0.0, 5e5])
    seen = set()
    for arrival_s, tasks in zip(streams.arrival_s, streams.batch.tasks[:, :, 0], strict=True):
        row = int(np.flatnonzero(sizes == tasks[0, INPUT])[0])
        seen.add(row)
        order = (row + np.arange(12)) % 5
        np.testing.assert_array_equal(tasks[:, INPUT], sizes[order])
        np.testing.assert_allclose(np.diff(arrival_s), gaps[order[1:]], atol=1e-12)
        # AND the episode begins somewhere in the gap before its first row
        assert 0 <= arrival_s[0] <= gaps[row] + 1e-12
        # AND what is not recorded is drawn for each of the recorded bits
        some = tasks[tasks[:, INPUT] > 0]
        for column, low, high in ((OUTPUT, 0.02, 0.30), (WORKLOAD, 50, 500)):
            share = some[:, column] / some[:, INPUT]
            assert low <= share.min() < share.max() <= high
    assert seen == set(range(5))
    # AND a number stretches the times: 5 arrivals in 3.75 s are 4/3 a second
    faster = sample_streams({"name": "stream", **changes, "arrivals_per_s": 8 / 3}, 100, seed=7)
    np.testing.assert_allclose(faster.arrival_s, streams.arrival_s / 2, atol=1e-12)


def test_recorded_sizes_and_deadlines(tmp_path):
    path = tmp_path / "all.csv"
    path.write_text(
        "deadline_s;workload_cycles;arrival_s;output_bits;input_bits\n0,5;1e9;0;10;1e6\ninf;2e9;0,5;20;2e6\n",
        encoding="utf-8",
    )
    changes = {"arrivals": "trace", "arrivals_path": path, "deadline_factor": (2.0, 2.0), "num_jobs": 4}
    streams = sample_streams({"name": "stream", **changes}, 10)
    rows = {
        (*map(float, task), float(deadline))
        for task, deadline in zip(streams.batch.tasks.reshape(-1, 3), streams.deadline_s.ravel(), strict=True)
        if task[INPUT] == 1e6
    }
    assert rows == {(1e6, 10.0, 1e9, 0.5)}
    # AND what is recorded to have no deadline is not drawn one
    assert (streams.deadline_s[streams.batch.tasks[:, :, 0, INPUT] == 2e6] == np.inf).all()
    through_the_constructor(streams)


def best_alone_s(streams, b, j):
    """The best response of a one-task job, location by location."""
    batch = streams.batch
    job, (bits, result, cycles) = batch.jobs[b, j], batch.tasks[b, j, 0]
    d, s = job["device"], min(int(job["arrival_s"] // batch.common[b]["slot_s"]), batch.uplink_bps.shape[2] - 1)
    responses = [cycles / batch.devices[b, d]["hz"]]
    for server in batch.servers[b]:
        up, down = (rate[b, d, s] * server["rate_ratio"] for rate in (batch.uplink_bps, batch.downlink_bps))
        wired = (bits + result) / server["wired_bps"] + 2 * server["propagation_s"]
        responses.append(bits / up + wired + cycles / server["cpu_hz"] + result / down)
    return min(responses)


def test_deadlines_are_multiples_of_the_best_response_alone():
    scenario = {"name": "stream_deadlines", "num_devices": 2, "num_edges": 2, "further_edge_rate_ratio": (0.5, 2.0)}
    streams = sample_streams({**scenario, "num_jobs": 50}, 20, seed=8)
    factor = np.array([[streams.deadline_s[b, j] / best_alone_s(streams, b, j) for j in range(50)] for b in range(20)])
    np.testing.assert_allclose(np.quantile(factor, [0, 0.5, 1]), [1.5, 2.75, 4], atol=0.1)
    assert 1.5 <= factor.min() < factor.max() <= 4


def test_the_deadline_of_a_graph_is_of_all_its_tasks_at_one_place():
    # GIVEN a device of 1 GHz with 2 cores, an edge server of 4 GHz with 1 core, 10 Mbit/s, and all servers far away
    fork = Application(
        "fork", (1e6, 2e6, 0, 0), (0, 0, 3e5, 0), (1e8, 4e8, 2e8, 1e8), ((0, 2), (0, 3), (1, 3)), (1e5, 1e5, 1e5)
    )
    speeds = {"device_hz": (1e9, 1e9), "edge_hz": (4e9, 4e9), "device_cores": 2, "edge_cores": 1}
    paths = {"edge_propagation_s": (9, 9), "uplink_bps": (10e6, 10e6), "downlink_ratio": (2, 2)}
    scenario = {"name": "stream", "applications": (fork,), "deadline_factor": (1.0, 1.0), **speeds, **paths}
    # THEN on the device, tasks 0 and 1 run at once; 2 runs from 0.1 s to 0.3 s, 3 from 0.4 s to 0.5 s
    assert sample_streams(scenario, 2).deadline_s[:, 0] == pytest.approx(0.5, rel=1e-12)
    # AND with the edge server 5 ms away: 0 has arrived at 0.105 s and runs until 0.13 s, then 2 until 0.18 s, as 1 has
    # arrived at 0.305 s only and runs until 0.405 s, and 3 until 0.43 s. Its empty result takes 5 ms; that of 2 is back
    # at 0.18 + 0.005 + 3e5 / 20e6 = 0.2 s.
    scenario |= {"edge_propagation_s": (0.005, 0.005), "cloud_propagation_s": (9, 9)}
    assert sample_streams(scenario, 2).deadline_s[:, 0] == pytest.approx(0.435, rel=1e-12)


def test_a_server_out_of_reach_does_not_count_for_deadlines(tmp_path):
    path = tmp_path / "rates.csv"
    path.write_text("mbps\n0\n0\n0\n0\n50\n", encoding="utf-8")
    changes = {"radio": "trace", "trace_path": path, "slot_s": 1.0, "deadline_factor": (1.0, 1.0), "num_jobs": 20}
    streams = sample_streams({"name": "stream", **changes}, 30)
    slot = np.minimum(streams.arrival_s.astype(int), streams.batch.uplink_bps.shape[2] - 1)
    out = np.take_along_axis(streams.batch.uplink_bps[:, 0], slot, axis=1) == 0
    local_s = streams.batch.tasks[:, :, 0, WORKLOAD] / streams.batch.devices["hz"]
    np.testing.assert_allclose(streams.deadline_s[out], local_s[out])
    assert (streams.deadline_s[~out] < local_s[~out]).mean() > 0.5


def test_a_job_without_work_has_a_deadline_above_0():
    streams = sample_streams({"name": "stream_deadlines", "task_types": [(0, 0, 0)], "num_jobs": 3}, 2)
    assert (streams.deadline_s == 1e-6).all()


def test_recorded_data_of_others():
    arrivals, rates = SHARED / "azure_llm_2023/code.csv", SHARED / "lte_nyc"
    if not arrivals.exists():
        pytest.skip("no recorded arrivals here")
    table = load_arrivals(arrivals)
    assert table.shape == (8819, 5)
    for path in sorted(rates.glob("*.csv")):
        changes = {"arrivals": "trace", "arrivals_path": arrivals, "radio": "trace", "trace_path": path}
        streams = sample_streams({"name": "stream_deadlines", **changes, "num_devices": 2}, 300, seed=9)
        through_the_constructor(streams)
        assert (streams.batch.uplink_bps[:, :, -1] > 0).all()
    recorded = {"arrivals": "trace", "arrivals_path": arrivals, "arrivals_per_s": 6.0}
    once = sample_streams({"name": "stream", **recorded, "num_jobs": 8819}, 1)
    assert 8819 / once.arrival_s[0, -1] == pytest.approx(6, rel=1e-3)


def test_outages_take_their_share_of_the_slots_and_leave_all_other_rates_as_they_were():
    changes = {"name": "stream", "num_jobs": 200, "num_devices": 2}
    streams = sample_streams({**changes, "outage_share": 0.1, "outage_s": 1.5}, 300, seed=1)
    without = sample_streams(changes, 300, seed=1)
    out = streams.batch.uplink_bps == 0
    for name in ("uplink_bps", "downlink_bps"):
        given = getattr(streams.batch, name)
        np.testing.assert_array_equal(given == 0, out)
        np.testing.assert_array_equal(given[~out], getattr(without.batch, name)[~out])
    # the last slot holds for ever after
    assert not out[:, :, -1].any()
    # a slot of 0.25 s is followed by another of the outage with 5/6, and an outage begins with 1/6 / 9 of those before
    before, after = out[:, :, :-2], out[:, :, 1:-1]
    assert out[:, :, 0].mean() == pytest.approx(0.1, abs=0.04)  # 600 of them, two standard deviations are 0.025
    assert out[:, :, :-1].mean() == pytest.approx(0.1, abs=0.01)
    assert after[before].mean() == pytest.approx(5 / 6, abs=0.01)
    assert after[~before].mean() == pytest.approx(1 / 54, abs=0.002)
    assert (out[:, 0] != out[:, 1]).any()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"arrivals": "often"}, "arrivals is 'often'; it must be one of 'poisson', 'bursty', 'periodic', 'trace'"),
        ({"arrivals_per_s": 0}, "arrivals_per_s is 0; it must be a finite number above 0 or a pair"),
        ({"arrivals_per_s": None}, "arrivals_per_s is None; it must be a finite number above 0 or a pair"),
        ({"arrivals_per_s": (3, 2)}, r"arrivals_per_s is \(3, 2\); it must be .* high not below low"),
        ({"arrivals_per_s": "fast"}, "arrivals_per_s is 'fast'; it must be"),
        ({"burst_ratio": 0.5}, "burst_ratio is 0.5; it must be finite and at least 1"),
        ({"burst_s": 0}, "burst_s is 0; it must be finite and above 0"),
        ({"calm_s": float("inf")}, "calm_s is inf; it must be finite and above 0"),
        ({"jitter": 1.1}, "jitter is 1.1; it must be from 0 to 1"),
        ({"arrivals": "trace"}, "arrivals_path is None; arrivals='trace' needs the path of a CSV file"),
        ({"arrivals_path": "a.csv"}, "arrivals_path is 'a.csv'; with arrivals='poisson' it must be None"),
        ({"num_jobs": 0}, "num_jobs is 0; it must be a whole number, at least 1"),
        ({"num_devices": 2.5}, "num_devices is 2.5; it must be a whole number, at least 1"),
        ({"slot_s": 0}, "slot_s is 0; it must be finite and above 0"),
        ({"deadline_factor": 2}, r"deadline_factor is 2; it must be a pair \(low, high\) of numbers"),
        ({"deadline_factor": (0, 2)}, r"deadline_factor is \(0, 2\); low must be above 0"),
        ({"can_drop": 1}, "can_drop is 1; it must be True or False"),
        ({"radio": ["trace"]}, r"radio is \['trace'\]; it must be 'constant', 'random' or 'trace'"),
        ({"radio": "constant", "trace_path": "a"}, "trace_path is 'a'; with radio='constant' it must be None"),
        ({"outage_share": 1}, "outage_share is 1; it must be at least 0 and below 1"),
        ({"outage_s": 0}, "outage_s is 0; it must be finite and above 0"),
        ({"outage_share": 0.1, "radio": "constant"}, "outage_share is 0.1; with radio='constant' it must be 0"),
        ({"failure_share": 0.1, "num_edges": 0}, "failure_share is 0.1; with num_edges=0 it must be 0"),
        ({"outage_share": 0.1, "outage_s": 0.2}, "outage_s is 0.2; it must be finite and at least 0.25"),
        ({"outage_share": 0.8, "outage_s": 0.9}, "outage_s is 0.9; it must be finite and at least 1"),
    ],
)
def test_bad_fields(changes, sentence):
    with pytest.raises(ValueError, match=rf"^{sentence}[^\n]*$"):
        make_scenario("stream", **changes)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("time,bits\n1,2\n3,4\n", "has the columns 'time', 'bits'; it needs a column 'arrival_s'"),
        ("", "has no row; it needs a column 'arrival_s'"),
        ("arrival_s\n1\n", "has 1 rows of arrivals; it must have at least 2"),
        ("arrival_s\n1\n3\n2\n", "row 4: 'arrival_s' is '2'; it must be finite and at least that of the row before it"),
        ("arrival_s\n1\nnan\n", "row 3: 'arrival_s' is 'nan'; it must be finite"),
        ("arrival_s,input_bits\n1,5\n2\n", "row 3: 'input_bits' is ''; it must be finite and at least 0"),
        ("arrival_s,input_bits\n1,5\n2,-1\n", "row 3: 'input_bits' is '-1'; it must be finite and at least 0"),
        ("arrival_s,workload_cycles\n1,x\n2,1\n", "row 2: 'workload_cycles' is 'x'; it must be finite"),
        ("arrival_s,deadline_s\n1,1\n2,0\n", "row 3: 'deadline_s' is '0'; it must be above 0"),
        (
            "arrival_s,Input_bits\n1,1\n2,1\n",
            r"has the column 'Input_bits' where input_bits is expected, in bits \(a byte",
        ),
        ("arrival_s,input_kb\n1,1\n2,1\n", "has the column 'input_kb' where input_bits is expected, in bits"),
        ("arrival_s,deadline (ms)\n1,1\n2,1\n", r"has the column 'deadline \(ms\)' where deadline_s is expected"),
        ("arrival_s\n1\n1\n", "has all arrivals at 1 s; they must not all be at one moment"),
    ],
)
def test_bad_recorded_arrivals(text, sentence, tmp_path):
    path = tmp_path / "arrivals.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"^the file of arrivals [^\n]*arrivals\.csv,? {sentence}[^\n]*$"):
        make_scenario("stream", arrivals="trace", arrivals_path=path)


def test_recorded_arrivals_are_as_recorded_where_no_rate_is_given(arrivals_csv, tmp_path):
    recorded = {"arrivals": "trace", "arrivals_path": arrivals_csv}
    assert make_scenario("stream", **recorded).arrivals_per_s is None
    assert make_scenario("stream", **recorded, arrivals_per_s=6.0).arrivals_per_s == 6.0
    assert make_scenario("stream").arrivals_per_s == 6.0
    # AND columns of other names are ignored
    path = tmp_path / "others.csv"
    path.write_text("arrival_s,user,input_tokens\n0,a,5\n1,b,6\n")
    assert make_scenario("stream", arrivals="trace", arrivals_path=path).arrivals_per_s is None


def test_arrivals_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"^the file of arrivals [^\n]*none.csv cannot be read: No such file[^\n]*$"):
        make_scenario("stream", arrivals="trace", arrivals_path=tmp_path / "none.csv")


def test_what_no_stream_is_drawn_from(arrivals_csv):
    with pytest.raises(ValueError, match=r"^random_graph is True in the scenario dag; in streams it must be False"):
        sample_streams("dag", 2)
    recorded = {"arrivals": "trace", "arrivals_path": arrivals_csv}
    with pytest.raises(
        ValueError, match=r"^[^\n]*arrivals.csv has a column 'input_bits', but the scenario has 2 tasks"
    ):
        sample_streams({"name": "stream", "num_tasks": 2, **recorded}, 2)
    with pytest.raises(ValueError, match=r"has a column 'input_bits', but the scenario has applications; it must have"):
        sample_streams({"name": "stream", "applications": (APPLICATION,), **recorded}, 2)
    with pytest.raises(ValueError, match=r"^num_streams is 0; it must be a whole number, at least 1$"):
        sample_streams("stream", 0)
    with pytest.raises(
        ValueError, match=r"^num_streams is 10\d*; so many streams of 200 jobs and 212 slots do not fit"
    ):
        sample_streams("stream", 10**15)
    with pytest.raises(
        ValueError, match=r"^slot_s is 1e-06; 200 jobs take up to 42.8 s to arrive, which must be at most "
    ):
        sample_streams({"name": "stream", "slot_s": 1e-6}, 2)
    with pytest.raises(ValueError, match=r"^seed is -1; it must be at least 0$"):
        sample_streams("stream", 2, seed=-1)


def test_scenarios_of_streams_survive_json(arrivals_csv):
    given = make_scenario("stream", arrivals="trace", arrivals_path=arrivals_csv, arrivals_per_s=(2, 3), can_drop=True)
    assert make_scenario(**json.loads(json.dumps(given.to_dict()))) == given
    assert make_scenario("stream", arrivals_per_s=6.0).arrivals_per_s == 6.0
    assert given.label == "stream, arrivals.csv"


@pytest.mark.parametrize(
    "changes", [{}, {"arrivals": "bursty"}, {"arrivals": "periodic", "jitter": 1.0}, {"arrivals": "trace"}]
)
@pytest.mark.parametrize("num_devices", [1, 3])
def test_slots_reach_beyond_the_last_arrival(changes, num_devices, arrivals_csv):
    path = arrivals_csv if changes.get("arrivals") == "trace" else None
    given = {"name": "stream", "arrivals_per_s": (2, 4), "num_devices": num_devices, "arrivals_path": path, **changes}
    streams = sample_streams(given, 2000, seed=10)
    slots_s = streams.batch.uplink_bps.shape[2] * 0.25
    assert (streams.arrival_s[:, -1] + 10 < slots_s).mean() > (0.999 if path is None else 0.9999)
    assert streams.arrival_s[:, -1].max() > 0.5 * (slots_s - 10)
