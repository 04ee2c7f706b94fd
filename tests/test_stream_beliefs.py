"""What is drawn of the future of a running stream, and what is known of its arrivals."""

import math

import numpy as np
import pytest
from naive_stream_sampling import NORMAL

from offload_gym import make_scenario
from offload_gym.sampling import gaussian_cdf
from offload_gym.streams.beliefs import burst_belief, draw_future_jobs, new_belief, observe_arrival, observe_jobs
from offload_gym.streams.parameters import empty_stream_batch, stream_parameters
from offload_gym.streams.rates import draw_future_rates, latent_of
from offload_gym.streams.sampling import draw_stream
from offload_gym.streams.streams import StreamBatch

FUTURES = 19


def drawn(num_streams=1, **changes):
    """Streams of a scenario: (parameters, batch)."""
    parameters, sizes = stream_parameters(make_scenario(**{"name": "stream", "num_jobs": 40, **changes}))
    batch = empty_stream_batch(parameters, sizes, num_streams)
    for b in range(num_streams):
        draw_stream(parameters, np.uint64(b), 0, batch, b)
    return parameters, batch


def copied(batch):
    return StreamBatch(*(array.copy() for array in batch))


def ranks_of_the_truth(num_streams, at, ahead, present=None, **changes):
    """Among futures of each stream: how many have job ``at + ahead`` earlier than it really is."""
    parameters, batch = drawn(num_streams, **changes)
    future, ranks = copied(batch), []
    for b in range(num_streams):
        jobs = batch.jobs[b]
        belief = new_belief(parameters, batch.devices.shape[1])
        observe_jobs(parameters, belief, jobs, 0, at)
        now_s = jobs["arrival_s"][at - 1]
        earlier = []
        for start in range(FUTURES):
            draw_future_jobs(parameters, np.uint64(1000 * b + start), belief, now_s, future, b, at, at + ahead + 1)
            earlier.append(future.jobs["arrival_s"][b, at + ahead])
        ranks.append(np.sum(np.array(earlier) < jobs["arrival_s"][at + ahead]))
    return np.array(ranks)


def is_uniform(ranks):
    """Whether ranks from 0 to FUTURES are alike often: chi-square of 3 degrees of freedom, above 16.3 once in 1000."""
    counts = np.histogram(ranks, bins=4, range=(0, FUTURES + 1))[0]
    expected = len(ranks) / 4
    return ((counts - expected) ** 2 / expected).sum() < 16.3


EXACT = {
    "poisson": {},
    "devices": {"num_devices": 3},
    "unknown rate": {"arrivals_per_s": (1.0, 50.0)},
    "bursty": {"arrivals": "bursty", "burst_ratio": 20.0},
    "bursty devices": {"arrivals": "bursty", "burst_ratio": 20.0, "num_devices": 2},
    "bursty, unknown rate": {"arrivals": "bursty", "arrivals_per_s": (1.0, 50.0)},
    "periodic": {"arrivals": "periodic", "jitter": 0.8},
    "periodic devices": {"arrivals": "periodic", "jitter": 0.5, "num_devices": 3},
}


@pytest.mark.parametrize("ahead", [0, 5])
@pytest.mark.parametrize("at", [1, 6])
@pytest.mark.parametrize("name", EXACT)
def test_the_truth_is_distributed_as_its_futures_are(name, at, ahead):
    assert is_uniform(ranks_of_the_truth(1000, at, ahead, **EXACT[name]))


def test_frames_of_an_unknown_rate_come_at_the_distances_seen():
    parameters, batch = drawn(200, arrivals="periodic", arrivals_per_s=(5.0, 30.0), jitter=0.2)
    future = copied(batch)
    for b in range(200):
        belief, arrival_s = new_belief(parameters, 1), batch.jobs["arrival_s"][b]
        observe_jobs(parameters, belief, batch.jobs[b], 0, 15)
        draw_future_jobs(parameters, np.uint64(b), belief, arrival_s[14], future, b, 15, 30)
        period_s = (arrival_s[14] - arrival_s[0]) / 14
        # Two frames are each moved by up to a tenth of a period, and each period is off by up to a fifth of 1/14.
        assert np.abs(future.jobs["arrival_s"][b, 15:30] - arrival_s[15:30]).max() < period_s * (
            0.2 + 0.2 + 15 * 0.2 / 14
        )


def test_the_belief_in_bursts_is_that_of_the_two_state_chain():
    ratio, burst_s, calm_s, rate, t = 6.0, 2.0, 5.0, 4.0, 0.7
    parameters, _ = drawn(arrivals="bursty", burst_ratio=ratio, burst_s=burst_s, calm_s=calm_s, arrivals_per_s=rate)
    calm = rate * 7 / (6 * 2 + 5)
    switches = np.array([[-1 / burst_s, 1 / burst_s], [1 / calm_s, -1 / calm_s]]) - np.diag([ratio * calm, calm])
    values, vectors = np.linalg.eig(switches)
    silent = np.array([0.3, 0.7]) @ (vectors * np.exp(values * t)) @ np.linalg.inv(vectors)
    probability, log_silent = burst_belief(parameters.process[0], rate, 0.3, t)
    assert probability == pytest.approx(silent[0] / silent.sum(), rel=1e-12)
    assert log_silent == pytest.approx(math.log(silent.sum()), rel=1e-12)
    belief = new_belief(parameters, 1)
    assert belief.burst[0, 0] == pytest.approx(2 / 7)
    belief.burst[0, 0] = 0.3
    observe_arrival(parameters, belief, 0, t)
    arrived = silent * [ratio * calm, calm]
    assert belief.burst[0, 0] == pytest.approx(arrived[0] / arrived.sum(), rel=1e-12)
    assert belief.log_weights[0] == pytest.approx(math.log(arrived.sum()), rel=1e-12)
    # AND after a long silence nothing underflows
    probability, log_silent = burst_belief(parameters.process[0], rate, 0.3, 1e5)
    assert 0 < probability < 0.1
    assert math.isfinite(log_silent)


def test_only_what_is_asked_for_is_written_and_equal_starts_give_equal_futures():
    parameters, batch = drawn(2, name="stream_applications", num_devices=2, deadline_factor=(1.5, 2.0))
    belief = new_belief(parameters, 2)
    observe_jobs(parameters, belief, batch.jobs[1], 0, 10)
    now_s = batch.jobs["arrival_s"][1, 9]
    futures = [copied(batch) for _ in range(3)]
    for start, future in zip((7, 7, 8), futures, strict=True):
        draw_future_rates(parameters, np.uint64(start), future, 1, int(now_s / 0.25), 30)
        draw_future_jobs(parameters, np.uint64(start), belief, now_s, future, 1, 10, 25)
    one, same, other = futures
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    for field in ("jobs", "tasks", "edge_bits"):
        was, is_now = getattr(batch, field), getattr(one, field)
        np.testing.assert_array_equal(is_now[0], was[0])
        np.testing.assert_array_equal(is_now[1, :10], was[1, :10])
        np.testing.assert_array_equal(is_now[1, 25:], was[1, 25:])
        assert not np.array_equal(is_now[1, 10:25], was[1, 10:25])
        assert not np.array_equal(is_now[1, 10:25], getattr(other, field)[1, 10:25])
    for field in ("devices", "servers", "common", "graph_start", "graph_edges"):
        np.testing.assert_array_equal(getattr(one, field), getattr(batch, field))
    arrival_s = one.jobs["arrival_s"][1, 9:25]
    assert (np.diff(arrival_s) >= 0).all()
    assert set(one.jobs["device"][1, 10:25]) == {0, 1}
    # AND deadlines are those of the future's rates
    assert (one.jobs["deadline_s"][1, 10:25] > 0).all()


def test_nothing_of_the_future_is_read():
    parameters, batch = drawn(arrivals="bursty", num_devices=2, deadline_factor=(1.5, 2.0))
    belief = new_belief(parameters, 2)
    observe_jobs(parameters, belief, batch.jobs[0], 0, 20)
    now_s = batch.jobs["arrival_s"][0, 19]
    slot = int(now_s / 0.25)
    scratch = copied(batch)
    scratch.jobs[0, 20:] = 0
    scratch.tasks[0, 20:] = np.nan
    scratch.uplink_bps[0, :, slot + 1 :] = np.nan
    scratch.downlink_bps[0, :, slot + 1 :] = np.nan
    for future in (batch, scratch):
        draw_future_rates(parameters, np.uint64(3), future, 0, slot, 1000)
        draw_future_jobs(parameters, np.uint64(3), belief, now_s, future, 0, 20, 40)
    assert all(np.array_equal(a, b) for a, b in zip(batch, scratch, strict=True))


def test_the_latent_number_of_a_share_is_the_inverse_of_the_distribution():
    for share in (1e-12, 1e-4, 0.02, 0.3, 0.5, 0.7, 0.999):
        assert latent_of(share) == pytest.approx(NORMAL.inv_cdf(share), rel=1e-9, abs=1e-12)
        assert gaussian_cdf(latent_of(share)) == pytest.approx(share, rel=1e-9)
    assert math.isfinite(latent_of(0.0))
    assert math.isfinite(latent_of(1.0))


@pytest.mark.parametrize("later", [1, 4])
def test_later_rates_are_correlated_with_the_present_one_as_real_ones_are(later):
    parameters, batch = drawn(3000, num_devices=2)
    future = copied(batch)
    for b in range(3000):
        draw_future_rates(parameters, np.uint64(b), future, b, 5, 12)
    for rates in ("uplink_bps", "downlink_bps"):
        was, is_now = getattr(batch, rates), getattr(future, rates)
        np.testing.assert_array_equal(is_now[:, :, :6], was[:, :, :6])
        np.testing.assert_array_equal(is_now[:, :, 12:], np.broadcast_to(is_now[:, :, 11:12], is_now[:, :, 12:].shape))
        assert not (is_now[:, :, 6:] == was[:, :, 6:]).any()
    np.testing.assert_allclose(
        future.downlink_bps / future.uplink_bps, batch.downlink_bps / batch.uplink_bps, rtol=1e-12
    )
    latent = np.vectorize(NORMAL.inv_cdf)(np.log(future.uplink_bps[:, :, 5:12] / 4e6) / np.log(20))
    correlation = 0.95 ** (6 * 0.25 * later)
    rest = latent[:, :, later] - correlation * latent[:, :, 0]
    # THEN what the present rate does not say is normal, with the variance that is left, and independent of it
    assert rest.std() == pytest.approx(math.sqrt(1 - correlation**2), rel=0.03)
    assert np.corrcoef(rest.ravel(), latent[:, :, 0].ravel())[0, 1] == pytest.approx(0, abs=0.03)
    assert np.corrcoef(rest[:, 0], rest[:, 1])[0, 1] == pytest.approx(0, abs=0.05)


def test_a_constant_rate_stays():
    for changes in ({"radio": "constant"}, {"uplink_bps": (5e6, 5e6)}):
        parameters, batch = drawn(3, **changes)
        future = copied(batch)
        for b in range(3):
            draw_future_rates(parameters, np.uint64(b), future, b, 3, 50)
        assert all(np.array_equal(a, b) for a, b in zip(batch, future, strict=True))


def test_an_outage_goes_on_with_its_probability_and_ends_at_a_rate_that_follows_the_one_before_it():
    parameters, batch = drawn(1, outage_share=0.2, outage_s=1.0)
    batch.uplink_bps[:, :, 3] = 40e6
    batch.uplink_bps[:, :, 4:] = 0.0
    batch.downlink_bps[:] = 2.0 * batch.uplink_bps
    rates = []
    for start in range(4000):
        future = copied(batch)
        draw_future_rates(parameters, np.uint64(start), future, 0, 5, 8)
        rates.append(future.uplink_bps[0, 0, 6:9])
        np.testing.assert_array_equal(future.downlink_bps[0, 0, 6:8], 2.0 * future.uplink_bps[0, 0, 6:8])
    rates = np.array(rates)
    # THEN slot 6 is out with 1 - 0.25 / 1; slot 7 is not, as the slots after it have its rate
    assert (rates[:, 0] == 0).mean() == pytest.approx(0.75, abs=0.03)
    assert (rates[:, 1] > 0).all()
    np.testing.assert_array_equal(rates[:, 1], rates[:, 2])
    # AND the rate of slot 6 follows that of slot 3, three slots before
    up = rates[rates[:, 0] > 0, 0]
    latent = np.vectorize(NORMAL.inv_cdf)(np.log(up / 4e6) / np.log(20))
    first = NORMAL.inv_cdf(math.log(10) / math.log(20))
    correlation = 0.95 ** (6 * 0.25 * 3)
    assert latent.mean() == pytest.approx(correlation * first, abs=0.06)
    assert latent.std() == pytest.approx(math.sqrt(1 - correlation**2), rel=0.1)


def test_in_an_outage_before_which_there_was_no_rate_the_next_one_may_be_any():
    parameters, batch = drawn(1, outage_share=0.2, outage_s=1.0)
    batch.uplink_bps[:] = batch.downlink_bps[:] = 0.0
    rates = []
    for start in range(2000):
        draw_future_rates(parameters, np.uint64(start), batch, 0, 2, 5)
        rates.append(batch.uplink_bps[0, 0, 4])
    latent = np.vectorize(NORMAL.inv_cdf)(np.log(np.array(rates) / 4e6) / np.log(20))
    assert latent.mean() == pytest.approx(0, abs=0.08)
    assert latent.std() == pytest.approx(1, rel=0.06)


def test_the_rates_of_a_recording_go_on_from_a_like_place(tmp_path):
    # GIVEN a recording in which each rate is followed by its own half, but for outages, which last for two seconds
    recorded = [mbps for rate in range(1, 101) for mbps in (rate, rate / 2, 0, 0)]
    path = tmp_path / "rates.csv"
    path.write_text("mbps\n" + "\n".join(map(str, recorded)), encoding="utf-8")
    parameters, batch = drawn(200, radio="trace", trace_path=path, slot_s=1.0, arrivals_per_s=2.0)
    future = copied(batch)
    places = {tuple(np.roll(recorded, -s)[:4]) for s in range(400)}
    began = []
    for b in range(200):
        draw_future_rates(parameters, np.uint64(b), future, b, 3, 8)
        was, later = batch.uplink_bps[b, 0, 3], future.uplink_bps[b, 0, 4:8]
        np.testing.assert_array_equal(future.uplink_bps[b, 0, :4], batch.uplink_bps[b, 0, :4])
        assert tuple(later[:3] / 1e6) in {place[:3] for place in places}  # the last one is never an outage
        assert later[-1] > 0
        assert (future.uplink_bps[b, 0, 8:] == later[-1]).all()
        began.append((was / 1e6, later[0] / 1e6))
    began = np.array(began)
    out = began[:, 0] == 0
    assert 0.4 < out.mean() < 0.6
    assert 0.35 < (began[out, 1] == 0).mean() < 0.65
    up = began[~out]
    halves = up[:, 1] == 0
    # A present rate that could be either is taken for one of the 16 nearest places: rates within 16 Mbit/s.
    whole = up[~halves]
    assert np.abs(whole[:, 1] - whole[:, 0] / 2).max() < 8
    assert len(np.unique(whole[:, 1])) > 20


def test_recorded_arrivals_go_on_in_blocks_from_random_rows(tmp_path):
    path = tmp_path / "arrivals.csv"
    gaps = np.arange(1.0, 101.0)
    times = np.cumsum(gaps)
    rows = "\n".join(f"{t},{i}" for i, t in enumerate(times))
    path.write_text(f"arrival_s,input_bits\n{rows}\n", encoding="utf-8")
    parameters, batch = drawn(arrivals="trace", arrivals_path=path, arrivals_per_s=None, radio="constant", num_jobs=80)
    future = copied(batch)
    belief = new_belief(parameters, 1)
    observe_jobs(parameters, belief, batch.jobs[0], 0, 30)
    now_s, begins = batch.jobs["arrival_s"][0, 29], []
    for start in range(100):
        draw_future_jobs(parameters, np.uint64(start), belief, now_s, future, 0, 30, 80)
        row = future.tasks[0, 30:80, 0, 0].astype(int)
        for block in (row[:20], row[20:40], row[40:]):
            np.testing.assert_array_equal(block, (block[0] + np.arange(len(block))) % 100)
            begins.append(block[0])
        gap = np.diff(future.jobs["arrival_s"][0, 29:80])
        first = row > 0  # before the first row is the mean gap
        np.testing.assert_allclose(gap[first], gaps[row[first]], rtol=1e-9)
    assert np.quantile(begins, [0.1, 0.5, 0.9]) == pytest.approx([10, 50, 90], abs=8)
