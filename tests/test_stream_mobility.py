"""Devices that move: against plain Python, against hand arithmetic, and what they do in the long run."""

import math

import naive_mobility as naive
import numpy as np
import pytest
from naive_stream_sampling import Numbers, begin
from naive_streams import naive_stream
from simpy_streams import simpy_stream

import offload_gym
from offload_gym import make_scenario, sample_streams
from offload_gym.mobility import load_tracks, sites_of
from offload_gym.streams.mobility import mean_distance, mobility_of
from offload_gym.streams.parameters import empty_stream_batch, stream_parameters
from offload_gym.streams.propagation import mean_snr_db, rate_of_snr
from offload_gym.streams.sampling import draw_stream

MOVING = {"num_sites": 5, "num_edges": 3, "num_devices": 3, "num_jobs": 60, "arrivals_per_s": 0.5}


def scenario_of(kind, tracks_csv, **changes):
    recorded = {"positions_path": tracks_csv} if kind == "recorded" else {}
    return make_scenario("stream", mobility=kind, **{**MOVING, **recorded, **changes})


@pytest.mark.parametrize("kind", ["waypoint", "roads", "recorded"])
def test_ways_sites_and_rates_are_those_of_the_plain_model(kind, tracks_csv):
    scenario = scenario_of(kind, tracks_csv, transmit_w=0.2, speed_m_per_s=(2.0, 40.0), pause_s=(0.0, 3.0))
    parameters, sizes = stream_parameters(scenario)
    batch = empty_stream_batch(parameters, sizes, 2)
    sites = sites_of(scenario.to_dict()).xy_m.tolist()
    tracks = [[tuple(row) for row in t] for t in split(load_tracks(tracks_csv))]
    _, _, *sides = naive.rectangle(scenario, sites)
    for b, (key, episode) in enumerate([(12345, 0), (2**64 - 3, 7)]):
        draw_stream(parameters, np.uint64(key), episode, batch, b)
        start = begin(key, episode, 0)
        for d in range(scenario.num_devices):
            mean_m = mean_distance(*sides)
            places, attached, rates = naive.draw(scenario, sites, tracks, mean_m, start, d, sizes.num_slots)
            np.testing.assert_allclose(batch.positions[b, d], places, rtol=1e-9, atol=1e-6)
            np.testing.assert_array_equal(batch.sites[b, d], attached)
            np.testing.assert_allclose(batch.uplink_bps[b, d], rates, rtol=1e-9, atol=1e-9)
            ratio = naive.between(scenario.downlink_ratio, Numbers(start, 2 + 3 * d).uniform(1))
            np.testing.assert_allclose(batch.downlink_bps[b, d], np.array(rates) * ratio, rtol=1e-9)
    assert len(np.unique(batch.sites)) == 5
    assert 0 < (batch.uplink_bps == 0).mean() < 0.5
    assert (batch.uplink_bps[:, :, -1] > 0).all()


def split(tracks):
    return [tracks.rows[first:last] for first, last in zip(tracks.start, tracks.start[1:], strict=False)]


def test_path_loss_by_hand():
    # 100 m at 3.5 GHz: d3D = sqrt(100^2 + 8.5^2) = 100.3606 m; 35.3 * 2.001564 = 70.6552, 21.3 * 0.544068 = 11.5886;
    # 70.6552 + 22.4 + 11.5886 = 104.6438 dB.
    assert naive.path_loss_db(100.0, 3.5) == pytest.approx(104.6438, abs=1e-4)
    # 0.5 W are 26.9897 dBm; noise in 40 MHz: -174 + 76.0206 + 5 = -92.9794 dBm; SNR 26.9897 - 104.6438 + 92.9794.
    numbers = mobility_of(make_scenario("stream", mobility="waypoint", bandwidth_hz=40e6)).numbers[0]
    assert mean_snr_db(numbers, 60.0, -80.0) == pytest.approx(15.3253, abs=1e-4)
    assert mean_snr_db(numbers, 0.0, 3.0) == mean_snr_db(numbers, 10.0, 0.0)
    # An SNR of 3 is 4.7712 dB: 0.4 * log2(4) = 0.8 bit/s/Hz, 32 Mbit/s. At 15 dB: 0.4 * log2(32.6) = 2.0112, above 2.0.
    assert rate_of_snr(numbers, 10 * math.log10(3.0)) == pytest.approx(32e6)
    assert rate_of_snr(numbers, 15.0) == 80e6
    # At -10 dB: 0.4 * log2(1.1) = 0.0550014 bit/s/Hz; below it nothing.
    assert rate_of_snr(numbers, -10.0) == pytest.approx(0.0550014 * 40e6, rel=1e-6)
    assert rate_of_snr(numbers, -10.001) == 0.0


@pytest.mark.parametrize("carrier_ghz", [0.5, 3.5, 28.0, 100.0])
def test_the_loss_without_line_of_sight_is_the_larger_one_wherever_the_table_holds(carrier_ghz):
    numbers = mobility_of(make_scenario("stream", mobility="waypoint", carrier_hz=carrier_ghz * 1e9)).numbers[0]
    scenario = make_scenario("stream", mobility="waypoint", carrier_hz=carrier_ghz * 1e9)
    for distance_m in np.geomspace(10, 5000, 60):
        expected = naive.snr_db(distance_m, scenario)
        assert mean_snr_db(numbers, distance_m, 0.0) == pytest.approx(expected, abs=1e-9)


def test_the_mean_distance_in_a_rectangle():
    assert mean_distance(1.0, 1.0) == pytest.approx(0.521405, abs=1e-6)
    assert mean_distance(300.0, 120.0) == pytest.approx(naive.mean_distance(300.0, 120.0), rel=1e-4)
    # In a rectangle as good as a line a third of its length, in both directions of it.
    assert mean_distance(1e7, 1.0) == pytest.approx(1e7 / 3, rel=1e-12)
    assert mean_distance(1.0, 1e7) == mean_distance(1e7, 1.0)
    assert mean_distance(1e5, 1.0) == pytest.approx(1e5 / 3, rel=1e-9)


def test_random_waypoints_are_in_their_steady_state_from_the_beginning():
    scenario = scenario_of("waypoint", None, num_jobs=200, num_devices=4, num_sites=1, site_spacing_m=300.0)
    batch = sample_streams(scenario, 1500, seed=3).batch
    moved_m = np.hypot(*np.moveaxis(np.diff(batch.positions, axis=2), -1, 0))
    # Ways of 156.4 m on average, at speeds whose inverse has the mean ln 15 / 14 = 0.19343; pauses of 15 s on average.
    trip_s = 0.521405 * 300 * math.log(15.0) / 14.0
    assert moved_m[:, :, 0].mean() / 0.25 == pytest.approx(0.521405 * 300 / (trip_s + 15.0), rel=0.04)
    for s in (0, 100, -1):
        assert (moved_m[:, :, s] == 0).mean() == pytest.approx(15.0 / (15.0 + trip_s), abs=0.02)
        assert moved_m[:, :, s].mean() == pytest.approx(moved_m.mean(), rel=0.04)
    # AND the places are distributed at the beginning as at the end, more often in the middle than at the edge
    inner = (np.abs(batch.positions) < 75).all(axis=-1).mean(axis=(0, 1))
    assert inner[0] == pytest.approx(inner[-1], abs=0.02)
    assert inner[0] > 0.3  # of a quarter of the area
    assert np.abs(batch.positions).max() <= 150.0


def test_devices_on_roads_are_anywhere_on_them_at_all_times():
    scenario = scenario_of("roads", None, num_devices=4, num_sites=1, area_m=(290.0, 190.0), speed_m_per_s=(10.0, 10.0))
    batch = sample_streams(scenario, 1500, seed=3).batch
    # GIVEN 3 times 2 blocks of 100 m about (0, 0): 9 pieces along x and 8 along y
    x, y = np.moveaxis(batch.positions, -1, 0)
    on_x = np.isclose(y % 100, 0) | np.isclose(y % 100, 100)
    on_y = np.isclose((x + 50) % 100, 0) | np.isclose((x + 50) % 100, 100)
    assert (on_x | on_y).all()
    assert (np.abs(x).max(), np.abs(y).max()) == (150.0, 100.0)
    for s in (0, 150, -1):
        along_x = on_x[:, :, s] & ~on_y[:, :, s]
        assert along_x.mean() == pytest.approx(9 / 17, abs=0.02)
        assert (np.abs(y[:, :, s][along_x]) < 50).mean() == pytest.approx(1 / 3, abs=0.03)
        np.testing.assert_allclose(np.quantile(x[:, :, s][along_x], [0.25, 0.5, 0.75]), [-75, 0, 75], atol=12)
    moved_m = np.abs(np.diff(batch.positions, axis=2)).sum(axis=-1)
    np.testing.assert_allclose(moved_m, 2.5, rtol=1e-9)


def test_recorded_ways_go_forth_and_back(tracks_csv):
    scenario = scenario_of("recorded", tracks_csv)
    batch = sample_streams(scenario, 30, seed=4).batch
    tracks = load_tracks(tracks_csv)
    assert [len(track) for track in split(tracks)] == [3, 2, 1]
    places = batch.positions.reshape(-1, *batch.positions.shape[2:])
    tram = places[(places[:, :, 0] == 0).all(axis=1)]
    assert 15 < len(tram) < 50
    np.testing.assert_allclose(np.abs(np.diff(tram[:, :, 1], axis=1)).max(), 9 * 0.25, rtol=1e-9)
    assert tram[:, :, 1].min() < 0.3
    assert tram[:, :, 1].max() > 89.7
    assert (places == (120, -80)).all(axis=(1, 2)).sum() > 15


def shadow_db(scenario, sites, batch):
    """The shadow fading to the site of each slot (B, m, slots), where the rate says it; else NaN."""
    rate = batch.uplink_bps / scenario.bandwidth_hz
    with np.errstate(divide="ignore"):
        snr = 10 * np.log10(2 ** (rate / 0.4) - 1)
    away = np.linalg.norm(batch.positions - sites[batch.sites], axis=-1)
    mean = np.vectorize(lambda d: naive.snr_db(d, scenario))(away)
    return np.where((rate > 0) & (rate < 2.0), snr - mean, np.nan)


def test_shadow_fading_is_correlated_along_the_way():
    """One site, and so little fading that where a rate is cut off says nothing about it; all go on at 4 m/s."""
    changes = {"num_sites": 1, "area_m": (1000.0, 1000.0), "speed_m_per_s": (4.0, 4.0), "pause_s": (0.0, 0.0)}
    scenario = scenario_of("waypoint", None, **changes, shadowing_m=20.0, shadowing_db=0.5)
    batch = sample_streams(scenario, 400, seed=5).batch
    shadows = shadow_db(scenario, np.zeros((1, 2)), batch)
    assert np.isfinite(shadows).mean() > 0.3
    assert np.nanstd(shadows) == pytest.approx(0.5, rel=0.03)
    for metres in (5.0, 20.0, 40.0):
        lag = int(metres / (4.0 * scenario.slot_s))
        found = np.nanmean(shadows[:, :, lag:] * shadows[:, :, :-lag]) / 0.25
        assert found == pytest.approx(math.exp(-metres / 20.0), abs=0.06)


def test_sites_in_rows_of_a_hexagonal_grid():
    xy_m = sites_of({"sites_path": None, "num_sites": 12, "site_spacing_m": 300.0}).xy_m
    away = np.linalg.norm(xy_m[:, None] - xy_m, axis=-1)
    np.fill_diagonal(away, np.inf)
    np.testing.assert_allclose(away.min(axis=0), 300.0)
    assert (np.isclose(away, 300.0).sum(axis=0) == 6).any()
    np.testing.assert_allclose(xy_m.mean(axis=0), 0.0, atol=1e-9)
    assert sites_of({"sites_path": None, "num_sites": 1, "site_spacing_m": 300.0}).xy_m.tolist() == [[0.0, 0.0]]


def test_edge_servers_stand_at_sites():
    scenario = scenario_of("waypoint", None)
    servers = sample_streams(scenario, 300, seed=6).batch.servers
    assert (servers["site"][:, 3] == -1).all()
    assert all(len(set(row)) == 3 for row in servers["site"][:, :3].tolist())
    counts = np.bincount(servers["site"][:, :3].ravel(), minlength=5)
    np.testing.assert_allclose(counts / 900, 0.2, atol=0.05)
    home, more_s = servers["home_propagation_s"][:, :3], servers["propagation_s"][:, :3]
    assert (home == home[:, :1]).all()
    assert 0.001 <= (more_s - home).min() < (more_s - home).max() <= 0.005
    assert 200e6 <= servers["wired_bps"][:, :3].min() < servers["wired_bps"][:, :3].max() <= 1e9
    # AND where there are more servers than sites the further ones come round
    more = sample_streams(scenario_of("waypoint", None, num_edges=7), 20, seed=6).batch.servers["site"][:, :7]
    assert all(sorted(np.bincount(row, minlength=5).tolist()) == [1, 1, 1, 2, 2] for row in more)


def test_all_twins_play_streams_whose_devices_move():
    scenario = scenario_of("roads", None, arrivals_per_s=4.0, speed_m_per_s=(30.0, 60.0), transmit_w=0.1)
    streams = sample_streams(scenario, 6, seed=7)
    assert (np.diff(streams.batch.sites, axis=2) != 0).sum() > 10
    decisions = np.random.default_rng(1).integers(0, 5, (6, streams.num_jobs, 1))
    response_s = offload_gym.response_times(streams, decisions)
    for b in range(6):
        np.testing.assert_allclose(response_s[b], naive_stream(streams, b, decisions).response_s, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(response_s[b], simpy_stream(streams, b, decisions), rtol=1e-9, atol=1e-9)


def test_positions_that_do_not_fit_are_one_sentence():
    given = {
        name: np.ones((1, 1)) for name in ("arrival_s", "device_hz", "cpu_hz", "cores", "wired_bps", "propagation_s")
    }
    given |= {name: np.ones((1, 1, 1)) for name in ("input_bits", "output_bits", "workload_cycles")}
    given |= {name: np.ones((1, 1, 4)) for name in ("uplink_bps", "downlink_bps")}
    streams = offload_gym.Streams(**given, position_m=np.arange(8.0).reshape(1, 1, 4, 2))
    assert streams.batch.positions[0, 0, 3].tolist() == [6.0, 7.0]
    with pytest.raises(ValueError, match=r"^position_m has the shape \(1, 1, 1, 2\); it must be \(1, 1, 4, 2\)$"):
        offload_gym.Streams(**given, position_m=np.zeros((1, 1, 1, 2)))
    with pytest.raises(ValueError, match=r"^position_m\[0, 0, 2, 1\] is nan; it must be finite$"):
        offload_gym.Streams(**given, position_m=np.where(np.arange(8).reshape(1, 1, 4, 2) == 5, np.nan, 0.0))


def test_mobility_changes_nothing_else_that_is_drawn():
    still, moving = (
        sample_streams({"name": "stream", **MOVING, "num_sites": n, "mobility": kind}, 5, seed=8).batch
        for kind, n in (("none", 1), ("waypoint", 5))
    )
    np.testing.assert_array_equal(still.jobs, moving.jobs)
    np.testing.assert_array_equal(still.tasks, moving.tasks)
    np.testing.assert_array_equal(still.devices, moving.devices)
    for name in ("cpu_hz", "cores", "rate_ratio"):
        np.testing.assert_array_equal(still.servers[name], moving.servers[name])
    assert (still.sites.shape[2], still.positions.shape[2]) == (1, 1)
