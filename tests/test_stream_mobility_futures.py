"""Futures of devices that move: they begin at the present, never read the real one, and are distributed as it is."""

import numpy as np
import pytest
from numba.core.config import DISABLE_JIT
from test_stream_mobility import scenario_of

import offload_gym
from offload_gym import make_scenario, sample_streams
from offload_gym.streams.parameters import stream_parameters
from offload_gym.streams.planner import Effort
from offload_gym.streams.policies import PlannerPolicy, make_stream_policy
from offload_gym.streams.rates import draw_future_rates
from offload_gym.streams.streams import StreamBatch, Streams

KINDS = ("waypoint", "roads", "recorded")
WRITTEN = ("uplink_bps", "downlink_bps", "sites", "positions")


def copied(batch):
    return StreamBatch(*(array.copy() for array in batch))


def futures(scenario, batch, from_slot, to_slot):
    """A future of each stream, from numbers of its own."""
    parameters, future = stream_parameters(scenario)[0], copied(batch)
    for b in range(len(batch.jobs)):
        draw_future_rates(parameters, np.uint64(b), future, b, from_slot, to_slot)
    return future


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("now", [0, 1, 60])
def test_futures_begin_at_the_present_and_do_not_read_what_comes(kind, now, tracks_csv):
    scenario = scenario_of(kind, tracks_csv, transmit_w=0.05)
    batch = sample_streams(scenario, 2 if DISABLE_JIT else 40, seed=1).batch
    future = futures(scenario, batch, now, now + 80)
    other = copied(batch)
    for name in WRITTEN:
        getattr(other, name)[:, :, now + 1 :] = 0
    again = futures(scenario, other, now, now + 80)
    for name in WRITTEN:
        of_future = getattr(future, name)
        np.testing.assert_array_equal(of_future, getattr(again, name))
        np.testing.assert_array_equal(of_future[:, :, : now + 1], getattr(batch, name)[:, :, : now + 1])
        # AND after the last slot that is drawn all stays
        held = np.broadcast_to(of_future[:, :, now + 79 : now + 80], of_future[:, :, now + 79 :].shape)
        np.testing.assert_array_equal(of_future[:, :, now + 79 :], held)
    assert (future.uplink_bps[:, :, -1] > 0).all()
    assert future.sites.min() >= 0
    assert future.sites.max() < 5
    moved_m = np.abs(np.diff(future.positions[:, :, now : now + 80], axis=2))
    if kind != "recorded":
        assert moved_m.max() <= 15.0 * scenario.slot_s + 1e-9
    assert moved_m.max() > 1.0
    ratio = future.downlink_bps[:, :, now + 1 :] / np.maximum(future.uplink_bps[:, :, now + 1 :], 1.0)
    assert ratio.max() <= 4.0 + 1e-9


def test_a_device_goes_on_in_its_direction_at_its_speed():
    scenario = scenario_of("waypoint", None, pause_s=(5.0, 5.0))
    batch = sample_streams(scenario, 300, seed=2).batch
    future = futures(scenario, batch, 60, 100)
    before, after = (future.positions[:, :, s + 1] - future.positions[:, :, s] for s in (59, 60))
    moving = (np.hypot(*np.moveaxis(before, -1, 0)) > 0.2) & (np.hypot(*np.moveaxis(after, -1, 0)) > 0.2)
    # THEN it does so unless it comes to its waypoint, or turned there a moment ago
    same = np.isclose(before[moving], after[moving], atol=1e-9).all(axis=-1)
    assert moving.mean() > 0.7
    assert same.mean() > 0.97
    # AND one that rests goes on resting for up to 5 s
    rests = (before == 0).all(axis=-1)
    assert 0.02 < rests.mean() < 0.2
    still = (np.diff(future.positions[:, :, 60:], axis=2) == 0).all(axis=-1)[rests]
    np.testing.assert_allclose(still[:, :20].mean(), 0.5, atol=0.12)


@pytest.fixture
def many_ways_csv(tmp_path):
    """Sixty ways of 60 s with a row a second, as random waypoints are."""
    batch = sample_streams({"name": "stream_mobile", "num_jobs": 300, "num_devices": 4}, 15, seed=9).batch
    ways, path = batch.positions.reshape(60, -1, 2)[:, :240:4], tmp_path / "ways.csv"
    rows = [f"{i},{second},{x},{y}\n" for i, way in enumerate(ways) for second, (x, y) in enumerate(way.tolist())]
    path.write_text("device,time_s,x_m,y_m\n" + "".join(rows), encoding="utf-8")
    return path


def what_comes(batch, now, lag):
    """How far devices went in quantiles, their rates in quantiles, their correlation, and who changed the site."""
    rate, rate_now = batch.uplink_bps[:, :, now + lag].ravel(), batch.uplink_bps[:, :, now].ravel()
    far_m = np.linalg.norm(batch.positions[:, :, now + lag] - batch.positions[:, :, now], axis=-1)
    change = batch.sites[:, :, now + lag] != batch.sites[:, :, now]
    return (
        np.append(np.quantile(far_m, [0.5, 0.8, 0.99]), far_m.mean()),
        np.append(np.quantile(rate, [0.1, 0.3, 0.5, 0.7]) / 80e6, np.corrcoef(rate_now, rate)[0, 1]),
        change.mean(),
    )


@pytest.mark.parametrize("now", [0, 1, 80])
@pytest.mark.parametrize("kind", KINDS)
def test_futures_are_distributed_as_the_truth_is(kind, now, many_ways_csv):
    path = many_ways_csv if kind == "recorded" else None
    scenario = make_scenario("stream_mobile", mobility=kind, positions_path=path, num_jobs=300, num_devices=4)
    truth = sample_streams(scenario, 600, seed=3).batch
    future = futures(scenario, truth, now, now + 130)
    for lag in (8, 40, 120):
        (far_m, rates, changes), (far, same, other) = (what_comes(batch, now, lag) for batch in (truth, future))
        np.testing.assert_allclose(far, far_m, rtol=0.15 if kind == "recorded" else 0.06)
        np.testing.assert_allclose(same, rates, atol=0.07)
        # AND where there are slots before, of which nothing is kept, handovers come a little too soon
        too_soon = 0.0 if now == 0 else 0.07 if lag == 8 else 0.03
        assert -0.025 < other - changes < too_soon + 0.025


def test_a_recorded_way_goes_on_at_the_present_velocity_not_where_it_really_went(many_ways_csv):
    scenario = make_scenario("stream_mobile", mobility="recorded", positions_path=many_ways_csv, num_jobs=100)
    batch = sample_streams(scenario, 100, seed=4).batch
    future = futures(scenario, batch, 30, 80)
    last, following = (future.positions[:, :, s + 1] - future.positions[:, :, s] for s in (29, 30))
    moves = np.linalg.norm(last, axis=-1) > 0.1 * scenario.slot_s
    same = np.isclose(last[moves], following[moves], rtol=0.05, atol=0.01).all(axis=-1)
    assert same.mean() > 0.8
    assert np.linalg.norm(following[~moves], axis=-1).max() <= 15.0 * scenario.slot_s
    # AND few of those that move are after 10 s where the real ones are
    away_m = np.linalg.norm(future.positions[:, :, 70] - batch.positions[:, :, 70], axis=-1)[moves]
    assert (away_m < 1.0).mean() < 0.5


def test_a_recorded_way_is_turned_and_stretched_by_hand(tmp_path):
    """One way, to the east at 4 m/s: a device that goes north at 6 m/s goes on so, and back at its end."""
    path = tmp_path / "way.csv"
    path.write_text("device,time_s,x_m,y_m\na,0,0,0\na,100,400,0\n", encoding="utf-8")
    scenario = make_scenario("stream_mobile", mobility="recorded", positions_path=path, num_devices=1, num_jobs=20)
    batch = copied(sample_streams(scenario, 20, seed=4).batch)
    batch.positions[:, :, :2] = [[0.0, 0.0], [0.0, 1.5]]
    future = futures(scenario, batch, 1, 41)
    step_m = np.diff(future.positions[:, 0, 1:41], axis=1)
    np.testing.assert_allclose(step_m[:, :, 0], 0.0, atol=1e-9)
    assert (np.isclose(np.abs(step_m[:, :, 1]), 1.5) | (np.abs(step_m[:, :, 1]) < 1.5)).all()
    assert np.isclose(step_m[:, 0, 1], 1.5).mean() > 0.8


def test_the_planner_sees_nothing_of_where_devices_will_be():
    scenario = make_scenario("stream_mobile", num_jobs=30, num_devices=3, arrivals_per_s=3.0)
    first, other = (sample_streams(scenario, 4, seed).batch for seed in (1, 2))
    known, changed = 14, copied(first)
    changed.tasks[:, known:] = other.tasks[:, known:]
    for b, now_s in enumerate(first.jobs["arrival_s"][:, known - 1]):
        for name in WRITTEN:
            getattr(changed, name)[b, :, int(now_s / 0.25) + 1 :] = getattr(other, name)[b, :, int(now_s / 0.25) + 1 :]
    rule = make_stream_policy("greedy", scenario)
    planner = PlannerPolicy(scenario, rule, Effort(4, 12, 2, 3.0), "response", 1)
    decided = [offload_gym.play(Streams.from_batch(batch), planner).decisions for batch in (first, changed)]
    np.testing.assert_array_equal(decided[0][:, :known], decided[1][:, :known])
    assert (decided[0] != offload_gym.play(Streams.from_batch(first), rule).decisions).any()
    without = Streams.from_batch(first._replace(positions=np.zeros((4, 3, 1, 2))))
    with pytest.raises(ValueError, match=r"^streams have no position_m; the planner's scenario needs it"):
        offload_gym.play(without, planner)

    with pytest.raises(ValueError, match=r"^site of the streams is up to 3; the planner's scenario has 3 sites, so it"):
        offload_gym.play(Streams.from_batch(first), make_planner(make_scenario("stream_mobile", num_sites=3)))


def make_planner(scenario):
    return PlannerPolicy(scenario, make_stream_policy("greedy", scenario), Effort(4, 12, 2, 3.0), "response", 1)


def test_after_the_last_slot_the_planner_goes_on_as_if_it_were_repeated():
    scenario = make_scenario("stream_mobile", num_jobs=24, num_devices=3, arrivals_per_s=0.7)
    streams = sample_streams(scenario, 4, seed=5)
    cut, repeated = streams.batch, copied(streams.batch)
    assert cut.jobs["arrival_s"].max() > 8.0
    for name in WRITTEN:
        cut = cut._replace(**{name: getattr(cut, name)[:, :, :4].copy()})
        getattr(repeated, name)[:, :, 4:] = getattr(repeated, name)[:, :, 3:4]
    cut.uplink_bps[:, :, 3] = repeated.uplink_bps[:, :, 3:] = 20e6
    decided = [
        offload_gym.play(Streams.from_batch(batch), make_planner(scenario)).decisions for batch in (cut, repeated)
    ]
    np.testing.assert_array_equal(*decided)
