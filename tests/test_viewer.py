import copy
import pickle
import sys
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest

import offload_gym
from offload_gym.envs.viewer import rounded_up
from offload_gym.sampling import drawn_application
from offload_gym.scenario import as_scenario

JOINT, SEQUENTIAL = "offload_gym/Joint-v0", "offload_gym/Sequential-v0"


def episode(env, num_steps=None):
    """The frames of one episode: after the reset and after each step."""
    env.reset(seed=0)
    env.action_space.seed(0)
    frames, over = [env.render()], False
    while not over and len(frames) != num_steps:
        over = env.step(env.action_space.sample())[2]
        frames.append(env.render())
    return frames


def test_a_frame_of_an_episode_is_that_of_the_same_schedule_drawn_anew():
    # GIVEN an environment that draws all frames on one background, and one that draws this frame only
    env, other = (gym.make(SEQUENTIAL, render_mode="rgb_array", num_epochs=1) for _ in range(2))
    frames = episode(env, num_steps=6)
    other.reset(seed=0)
    other.action_space.seed(0)
    for _ in range(5):
        other.step(other.action_space.sample())
    np.testing.assert_array_equal(frames[5], other.render())


@pytest.mark.parametrize("optimum", [False, True])
def test_frames_of_an_episode_make_a_video(optimum, tmp_path):
    VideoFileClip = pytest.importorskip("moviepy").VideoFileClip
    env = gym.make(SEQUENTIAL, scenario={"num_tasks": 3}, num_epochs=1, render_mode="rgb_array", render_optimum=optimum)
    recorder = gym.wrappers.RecordVideo(env, str(tmp_path / "video"))
    frames = episode(recorder)
    recorder.close()
    assert {frame.shape for frame in frames} == {(390, 1240 if optimum else 900, 3)}
    with VideoFileClip(str(tmp_path / "video" / "rl-video-episode-0.mp4")) as clip:
        assert (tuple(clip.size), clip.fps) == (frames[0].shape[1::-1], env.metadata["render_fps"])
        assert round(clip.duration * clip.fps) == len(frames) == 4


@pytest.mark.parametrize("scenario", ["default", "multi_edge", "dag", {"num_edges": 4, "edge_cores": 3}])
@pytest.mark.parametrize("optimum", [False, True])
def test_frames_have_even_sizes(scenario, optimum):
    env = gym.make(JOINT, scenario=scenario, render_mode="rgb_array", render_optimum=optimum)
    env.reset(seed=0)
    height, width, _ = env.render().shape
    assert (height % 2, width % 2) == (0, 0)


def test_the_time_axis_stays_while_schedules_fit_and_then_grows():
    env = gym.make(SEQUENTIAL, render_mode="rgb_array", num_epochs=1)
    frames = episode(env)
    axis = [frame[-50:] for frame in frames]  # with its labels, and the legend
    assert sum(not np.array_equal(a, b) for a, b in pairwise(axis)) <= 2  # of 8 steps of a random policy
    # AND all tasks on the slow device do not fit the axis of the beginning
    env.reset(seed=1)
    env.render()
    short_s = env.unwrapped._viewer._limit_s
    for _ in range(8):
        info = env.step(0)[4]
    env.render()
    assert env.unwrapped._viewer._limit_s >= info["makespan_s"] > short_s
    env.reset(seed=1)
    env.render()
    assert env.unwrapped._viewer._limit_s == short_s


@pytest.mark.parametrize(
    ("time_s", "limit_s"), [(0.0, 1.0), (0.98, 1.0), (0.99, 1.2), (1.3, 1.5), (9.9, 12.0), (0.031, 0.04)]
)
def test_a_time_axis_ends_at_a_round_time(time_s, limit_s):
    assert rounded_up(time_s) == pytest.approx(limit_s)


@pytest.mark.parametrize("objective", ["makespan", "mean", "cost"])
def test_the_optimum_stands_beside_the_decision_with_the_gap(objective):
    env = gym.make(SEQUENTIAL, objective=objective, render_mode="ansi", render_optimum=True)
    env.reset(seed=0)
    instances = env.unwrapped.instances
    optimum = offload_gym.solve(instances, objective)
    on_axis = "mean" if objective == "mean" else "makespan"
    expected_ms = 1e3 * offload_gym.latency(instances, optimum.decisions, on_axis)[0]
    name = {"mean": "mean completion"}.get(on_axis, on_axis)
    for placed in range(8):
        first, second = env.render().split("\n\n")
        assert first.startswith(f"{placed} of 8 tasks placed\n")
        assert second.startswith(f"optimum: {name} {expected_ms:.4g} ms, 8 tasks\n")
        info = env.step(placed % 3)[4]
    gap = 100 * (info["latency_s"] / optimum.latency_s[0] - 1)
    suffix = " in cost" if objective == "cost" else ""
    assert env.render().splitlines()[0].endswith(f" 8 tasks, {gap:.1f} % above the optimum{suffix}")


def test_tasks_of_an_application_have_its_names():
    env = gym.make(JOINT, scenario="face_recognition", render_mode="ansi")
    env.reset(seed=0)
    (graph,) = env.unwrapped.scenario.graphs
    lines = env.render().splitlines()
    assert lines[-1] == "tasks: " + ", ".join(f"{i} {name}" for i, name in enumerate(graph.task_names))
    plain = gym.make(JOINT, render_mode="ansi")
    plain.reset(seed=0)
    assert "tasks:" not in plain.render()


def test_the_application_of_an_epoch_is_found_among_several():
    scenario = as_scenario("partitioning")
    instances = offload_gym.sample_instances(scenario, 50, seed=0)
    found = [drawn_application(scenario, instances, b) for b in range(50)]
    assert {application.name for application in found} == {graph.name for graph in scenario.graphs}
    for b, application in enumerate(found):
        count = application.num_tasks
        assert instances.task_counts[b] == count
        np.testing.assert_allclose(instances.workload_cycles[b, :count], application.workload_cycles)
    assert drawn_application(as_scenario("default"), offload_gym.sample_instances("default", 1)) is None


@pytest.fixture
def window(monkeypatch):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")  # a window that nobody sees
    yield pygame
    pygame.display.quit()


def test_a_window_shows_each_step_by_itself(window):
    env = gym.make(SEQUENTIAL, scenario={"num_tasks": 3}, num_epochs=1, render_mode="human")
    env.unwrapped.metadata = {**env.unwrapped.metadata, "render_fps": 1000}
    images = gym.make(SEQUENTIAL, scenario={"num_tasks": 3}, num_epochs=1, render_mode="rgb_array")
    for call in ("reset", "step", "step", "step"):
        for one in (env, images):
            one.reset(seed=0) if call == "reset" else one.step(1)
        shown = window.surfarray.array3d(window.display.get_surface()).swapaxes(0, 1)
        np.testing.assert_array_equal(shown, images.render())
    assert env.render() is None
    copies = copy.deepcopy(env.unwrapped), pickle.loads(pickle.dumps(env.unwrapped))
    assert all(other._viewer is None for other in copies)
    env.close()
    assert not window.display.get_init()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
def test_without_a_display_one_sentence_says_so_and_the_environment_goes_on(monkeypatch, caplog):
    pytest.importorskip("pygame")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    env = gym.make(SEQUENTIAL, render_mode="human")
    env.reset(seed=0)
    for _ in range(3):
        env.step(0)
    (record,) = caplog.records
    assert "render_mode is 'human', but a window cannot be opened" in record.getMessage()
    assert env.render() is None
    env.close()
