"""The chart of a stream that scrolls: what its rows hold, as text and as pixels."""

import copy
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest

from offload_gym.envs.stream import StreamEnv
from offload_gym.envs.stream_map import map_of
from offload_gym.envs.stream_rendering import ARRIVED, DEADLINE, DONE, LATE, MOST_CORES, picture_of, text_of
from offload_gym.mobility import sites_of
from offload_gym.streams.responses import histories, response_times
from offload_gym.streams.streams import Streams

LONG_S = 1e4  # a time that shows all of an episode
MEGA = 1e6


def hand_case():
    """The case worked out by hand: 2 devices, an edge server and the cloud server, four jobs of one task."""
    return Streams(
        arrival_s=[[0.0, 0.1, 0.2, 0.3]],
        device=[[0, 0, 1, 0]],
        input_bits=[[[2 * MEGA], [2 * MEGA], [4 * MEGA], [MEGA]]],
        workload_cycles=[[[1e9], [0.2e9], [1.2e9], [0.3e9]]],
        output_bits=[[[0.1 * MEGA], [0.2 * MEGA], [0.4 * MEGA], [0.1 * MEGA]]],
        device_hz=[[1e9, 1e9]],
        cpu_hz=[[4e9, 10e9]],
        cores=[[1, 2]],
        wired_bps=[[np.inf, 100e6]],
        propagation_s=[[0.005, 0.030]],
        uplink_bps=[[[10e6, 5e6], [20e6, 20e6]]],
        downlink_bps=[[[20e6, 20e6], [40e6, 40e6]]],
        slot_s=0.25,
    )


def test_transmissions_are_recorded_from_when_to_when():
    made = histories(hand_case(), np.array([[[1], [0], [1], [2]]]))
    # Job 0 sends 2 Mbit at 10 Mbit/s, alone, until 0.2 s. Job 2, on the other device, sends 2 Mbit at 20 Mbit/s until
    # 0.3, then 2 Mbit at 10 until 0.5. Job 3 sends beside it at 2.5 Mbit/s from 0.3 on, and the other 0.5 Mbit at 5.
    np.testing.assert_allclose(made.sends["start_s"][0], [0.0, np.nan, 0.2, 0.3], atol=1e-12)
    np.testing.assert_allclose(made.sends["finish_s"][0], [0.2, np.nan, 0.5, 0.6], atol=1e-12)


def played(num_steps, seed=0, **kwargs):
    env, rng = StreamEnv(**kwargs), np.random.default_rng(seed)
    env.reset(seed=seed)
    decisions = []
    for _ in range(num_steps):
        decisions.append(int(rng.choice(np.flatnonzero(env.action_masks()))))
        env.step(decisions[-1])
    return env, decisions


def test_a_picture_shows_what_happens_to_all_jobs():
    env, decisions = played(30, scenario={"name": "stream", "num_jobs": 30})
    streams, picture = env.streams, picture_of(env._fleet, LONG_S)
    rows = {row.label: row.bars for row in picture.rows}
    arrival_s = streams.arrival_s[0]
    done_s = arrival_s + response_times(streams, np.array(decisions)[None, :, None])[0]
    # THEN now is when all is drained, and the marks stand before it
    assert [bar.job for bar in rows[ARRIVED]] == list(range(30))
    np.testing.assert_allclose([bar.start_s for bar in rows[ARRIVED]], arrival_s - done_s.max(), atol=1e-12)
    np.testing.assert_allclose(sorted(bar.start_s for bar in rows[DONE]), np.sort(done_s) - done_s.max(), atol=1e-12)
    assert (DEADLINE in rows, LATE in rows, picture.late) == (False, False, frozenset())
    # AND every job that is sent is on the radio once, one at a time, and every job is on one core
    assert sorted(bar.job for bar in rows["radio"]) == [j for j, k in enumerate(decisions) if k > 0]
    assert all(a.end_s <= b.start_s + 1e-12 for a, b in pairwise(rows["radio"]))
    assert [bar.job for bar in rows["device core 0"]] == [j for j, k in enumerate(decisions) if k == 0]
    on_cores = [bar.job for label, bars in rows.items() if "core" in label for bar in bars]
    assert sorted(on_cores) == list(range(30))
    assert picture.title.startswith(f"{done_s.max():.2f} s, 30 of 30 jobs, 0 in the system, mean response ")


def test_drops_and_deadlines_are_marked():
    env, decisions = played(25, scenario={"name": "stream_deadlines", "num_jobs": 40, "num_devices": 2})
    picture = picture_of(env._fleet, LONG_S)
    rows = {row.label: row.bars for row in picture.rows}
    dropped = [j for j, k in enumerate(decisions) if k == 3]
    assert dropped
    assert [bar.job for bar in rows[LATE] if bar.job in dropped] == dropped
    assert {bar.job for bar in rows[LATE]} == picture.late
    assert not set(dropped) & {bar.job for bar in rows[DONE]}
    assert len(rows[ARRIVED]) == len(rows[DEADLINE]) == 26  # with the one that is to be decided
    first = [ARRIVED, DEADLINE, "radio 0", "device 0 core 0", "radio 1", "device 1 core 0"]
    assert [row.label for row in picture.rows][:6] == first
    in_system = 26 - len(dropped) - sum(bar.start_s <= 0.0 for bar in rows[DONE])
    assert f"26 of 40 jobs, {in_system} in the system" in picture.title


@pytest.mark.parametrize("num_devices", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["stream", "stream_deadlines", "stream_applications"])
def test_every_stream_is_drawn_from_its_beginning_to_its_end(name, num_devices):
    env = StreamEnv({"name": name, "num_devices": num_devices, "num_jobs": 4}, render_mode="rgb_array")
    env.reset(seed=1)
    shape, over, seen = env.render().shape, False, []
    while not over:
        over = env.step(1)[2]
        seen.append(env.render())
        assert (seen[-1].shape, seen[-1].dtype) == (shape, np.uint8)
        text = text_of(picture_of(env._fleet, 2.0), width=90)
        assert all(len(line) <= 91 for line in text.splitlines()[1:])
    assert any((a != seen[0]).any() for a in seen[1:])


def test_devices_that_move_are_on_a_map():
    env = StreamEnv({"name": "stream_mobile", "num_devices": 3, "num_jobs": 12}, render_mode="rgb_array")
    env.reset(seed=1)
    first = env.render()
    for _ in range(8):
        env.step(0)
    last = env.render()
    assert (first.shape, first.dtype) == (last.shape, np.uint8)
    assert (first[:, 900:] != last[:, 900:]).any()
    # GIVEN what the map is drawn from, in the slot of now
    batch, now_s = env.streams.batch, picture_of(env._fleet, 2.0).now_s
    shown, slot = map_of(env.streams, sites_of(env.scenario.to_dict()).xy_m, now_s, 2.0), int(now_s / 0.25)
    assert now_s == env.streams.arrival_s[0, 8]
    np.testing.assert_array_equal(shown.ways_m[:, -1], batch.positions[0, :, slot])
    assert shown.ways_m.shape[1] == slot - max(int((now_s - 2.0) / 0.25), 0) + 1
    np.testing.assert_array_equal(shown.attached, batch.sites[0, :, slot])
    assert sorted(k for servers in shown.servers.values() for k in servers) == [1, 2, 3]
    assert all(batch.servers["site"][0, k - 1] == site for site, (k,) in shown.servers.items())
    # AND an environment whose devices stay has none
    still = StreamEnv({"name": "stream", "num_jobs": 2}, render_mode="rgb_array")
    still.reset(seed=1)
    assert still.render().shape[1] == 900


def test_the_text_has_a_line_for_each_row_and_an_axis():
    env = StreamEnv({"name": "stream", "num_jobs": 6, "cloud_cores": 2}, render_mode="ansi")
    env.reset(seed=3)
    for k in (1, 0, 2, 0):
        env.step(k)
    lines = env.render().splitlines()
    labels = ["arrived", "radio", "device core 0", "edge 1 core 0", "edge 1 core 1", "cloud core 0", "cloud core 1"]
    assert [line.split("|")[0].strip() for line in lines[1:-2]] == [*labels, "done"]
    assert set(lines[1].split("|")[1]) == set(" 01234")
    assert lines[-1].split()[2] == "now"
    assert lines[-1].index("now") + 1 == lines[-2].index("+", lines[-2].index("+") + 1)


def test_further_cores_share_a_row():
    env, _ = played(3, scenario={"name": "stream", "cloud_cores": 40})
    labels = [row.label for row in picture_of(env._fleet, 1.0).rows if "cloud" in row.label]
    assert (len(labels), labels[-1]) == (MOST_CORES, f"cloud cores {MOST_CORES - 1}-39")


def test_a_window_follows_and_a_copy_opens_its_own(monkeypatch):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")  # a window that nobody sees
    env = gym.make("offload_gym/Stream-v0", render_mode="human").unwrapped
    env.reset(seed=0)
    env.step(0)
    assert pygame.display.get_init()
    assert copy.deepcopy(env)._viewer is None
    env.close()
    assert not pygame.display.get_init()
