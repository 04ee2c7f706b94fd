"""Futures of devices that move: they begin at the present, never read the real one, and are distributed as it is."""

import numpy as np
import pytest
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
    batch = sample_streams(scenario, 40, seed=1).batch
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
    most_m_per_s = 31.7 if kind == "recorded" else 15.0  # 500 m in 30 s along x, and 200 in 10
    assert moved_m.max() <= most_m_per_s * scenario.slot_s + 1e-9
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


@pytest.mark.parametrize("kind", ["waypoint", "roads"])
def test_futures_are_distributed_as_the_truth_is(kind):
    scenario = make_scenario("stream_mobile", mobility=kind, num_jobs=300, num_devices=4)
    truth = sample_streams(scenario, 600, seed=3).batch
    future = futures(scenario, truth, 80, 210)
    for lag in (8, 40, 120):
        found = []
        for batch in (truth, future):
            rate = batch.uplink_bps[:, :, 80 + lag].ravel()
            way = batch.positions[:, :, 80 + lag] - batch.positions[:, :, 80]
            far_m = np.hypot(way[..., 0], way[..., 1])
            now = batch.uplink_bps[:, :, 80].ravel()
            found.append(
                [
                    *(np.quantile(rate, [0.1, 0.3, 0.5, 0.7]) / 80e6),
                    np.corrcoef(now, rate)[0, 1],
                    *(np.quantile(far_m, [0.3, 0.5, 0.8]) / np.quantile(far_m, 0.99)),
                    (batch.sites[:, :, 80 + lag] != batch.sites[:, :, 80]).mean(),
                ]
            )
        np.testing.assert_allclose(*found, atol=0.055)


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
