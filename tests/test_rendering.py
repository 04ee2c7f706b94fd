import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest

from offload_gym.applications.application import Application
from offload_gym.envs import rendering, viewer


class HandMade(NamedTuple):
    location: np.ndarray
    core: np.ndarray
    send_start_s: np.ndarray
    send_end_s: np.ndarray
    start_s: np.ndarray
    finish_s: np.ndarray
    completion_s: np.ndarray
    backlog_s: np.ndarray
    radio_backlog_s: float


def hand_made() -> HandMade:
    """Task 0 in the cloud, 1 on the edge server, 2 on the device, 3 on the second core of the cloud's six."""
    nan, inf = np.nan, np.inf
    return HandMade(
        location=np.array([2, 1, 0, 2]),
        core=np.array([0, 0, 0, 1]),
        send_start_s=np.array([0.0, 0.2, nan, 0.4]),
        send_end_s=np.array([0.2, 0.4, nan, 0.5]),
        start_s=np.array([0.25, 0.4, 0.0, 0.55]),
        finish_s=np.array([0.35, 0.5, 0.4, 0.65]),
        completion_s=np.array([0.42, 0.52, 0.4, 0.8]),
        backlog_s=np.array([[0.0, *[inf] * 5], [0.1, *[inf] * 5], [0.0] * 6]),
        radio_backlog_s=0.0,
    )


def unplaced(schedule: HandMade, tasks: list[int]) -> HandMade:
    location, core = schedule.location.copy(), schedule.core.copy()
    location[tasks] = core[tasks] = -1
    times = [np.where(location < 0, np.nan, field) for field in schedule[2:7]]
    return HandMade(location, core, *times, schedule.backlog_s, schedule.radio_backlog_s)


def on_one_core(n: int, task_s: float, backlog_s: float = 0.0) -> HandMade:
    start_s = backlog_s + task_s * np.arange(n)
    core = np.zeros(n, dtype=np.int64)
    nans = np.full(n, np.nan)
    ends = start_s + task_s
    return HandMade(core, core, nans, nans, start_s, ends, ends, np.array([[backlog_s], [0.0], [0.0]]), 0.0)


def text_rows(schedule: HandMade, **options: float) -> dict[str, str]:
    """The text between the bars `|` by the label in front of it."""
    lines = [line.split("|") for line in rendering.render_ansi(schedule, **options).splitlines() if "|" in line]
    return {label.strip(): text for label, text, _ in lines}


def tasks_in(text: str) -> list[str]:
    """The tasks shown in a row, in order of time."""
    symbols = [symbol for symbol in text if symbol.isalnum()]
    return [symbol for i, symbol in enumerate(symbols) if i == 0 or symbols[i - 1] != symbol]


def test_text_shows_each_task_in_the_row_of_its_core():
    rows = text_rows(hand_made())
    assert {label: tasks_in(text) for label, text in rows.items() if "idle" not in text} == {
        "device 0": ["2"],
        "radio": ["0", "1", "3"],
        "edge 1 core 0": ["1"],
        "cloud core 0": ["0"],
        "cloud core 1": ["3"],
        "done": ["2", "0", "1", "3"],
    }


def test_text_is_to_scale():
    rows = text_rows(hand_made(), width=100)
    cells = len(rows["radio"])
    assert rows["device 0"] == "2" * (cells // 2) + " " * (cells - cells // 2)  # until 0.4 of 0.8 s
    assert rows["edge 1 core 0"].count("░") == round(cells / 8)
    assert rows["cloud core 0"].index("0") == round(0.25 / 0.8 * cells)
    assert rows["done"].index("3") == cells - 1
    assert {len(text) for text in rows.values()} == {cells}


def test_text_shares_a_line_among_idle_cores():
    rows = text_rows(hand_made())
    assert rows["cloud cores 2-5"].strip() == "idle"
    assert not any(label.startswith("cloud core ") and label[-1] in "2345" for label in rows)


def test_text_keeps_a_line_for_a_core_with_only_a_backlog():
    schedule = hand_made()
    schedule.backlog_s[2, 3] = 0.2
    rows = text_rows(schedule)
    assert rows["cloud core 2"].strip() == "idle"
    assert rows["cloud core 3"].startswith("░")
    assert rows["cloud cores 4-5"].strip() == "idle"


def test_text_leaves_out_unplaced_tasks():
    rows = text_rows(unplaced(hand_made(), [0, 3]))
    assert tasks_in(rows["radio"]) == ["1"]
    assert tasks_in(rows["done"]) == ["2", "1"]
    assert rows["cloud cores 0-5"].strip() == "idle"


@pytest.mark.parametrize(
    ("objective", "headline"),
    [("makespan", "makespan 800 ms, 4 tasks"), ("mean", "mean completion 800 ms, 4 tasks")],
)
def test_text_headline(objective: str, headline: str):
    assert rendering.render_ansi(hand_made(), 0.8, objective).splitlines()[0] == headline
    partial = rendering.render_ansi(unplaced(hand_made(), [3]))
    assert partial.splitlines()[0] == "3 of 4 tasks placed"


def test_text_time_axis():
    *_, axis, labels = rendering.render_ansi(hand_made()).splitlines()
    assert labels.split() == ["0", "ms", "200", "400", "600", "800"]
    assert axis.count("+") == 5
    assert labels.index("200") == [i for i, symbol in enumerate(axis) if symbol == "+"][1]


def test_text_of_short_tasks_has_a_cell_for_each():
    row = text_rows(on_one_core(n=40, task_s=0.001, backlog_s=1.0))["device 0"]
    assert tasks_in(row) == list(rendering.TASK_SYMBOLS[:40])
    assert row.startswith("░")


def test_text_with_more_tasks_than_cells():
    rows = text_rows(on_one_core(n=100, task_s=0.01), width=10)
    assert len(rows["device 0"]) == 10
    assert set(rows["device 0"]) == {"#"}  # the last ones, beyond z


def test_text_marks_a_backlog_that_outlasts_the_axis():
    schedule = hand_made()
    schedule.backlog_s[2, 5] = 100.0
    rows = text_rows(schedule)
    assert rows["cloud core 5"].strip("░") == ">"
    assert rows["device 0"].count("2") > 20  # the axis still ends with the tasks


@pytest.mark.parametrize("backlog_s", [0.0, 0.3])
def test_nothing_placed(backlog_s: float):
    schedule = unplaced(on_one_core(n=3, task_s=0.1, backlog_s=backlog_s), [0, 1, 2])
    assert not any(tasks_in(text) for text in text_rows(schedule).values() if "idle" not in text)
    pytest.importorskip("matplotlib")
    assert viewer.render_rgb(schedule).dtype == np.uint8


def test_all_times_zero():
    schedule = on_one_core(n=3, task_s=0.0)
    assert tasks_in(text_rows(schedule)["device 0"]) == ["0", "1", "2"]
    pytest.importorskip("matplotlib")
    assert viewer.render_rgb(schedule, 0.0).dtype == np.uint8


def test_image_has_one_shape_for_the_same_cores():
    pytest.importorskip("matplotlib")
    schedule = hand_made()
    images = [
        viewer.render_rgb(schedule, 0.8),
        viewer.render_rgb(schedule),
        viewer.render_rgb(unplaced(schedule, [0, 1, 2, 3])),
        viewer.render_rgb(schedule._replace(radio_backlog_s=3.0), 0.5, "mean"),
    ]
    assert all(image.dtype == np.uint8 for image in images)
    assert {image.shape for image in images} == {(images[0].shape[0], 900, 3)}


def test_images_of_different_schedules_differ():
    pytest.importorskip("matplotlib")
    image = viewer.render_rgb(hand_made(), 0.8)
    np.testing.assert_array_equal(image, viewer.render_rgb(hand_made(), 0.8))
    other = hand_made()
    other.core[3] = 2
    assert np.any(image != viewer.render_rgb(other, 0.8))


def test_image_shows_the_colours_of_the_locations_in_use():
    pytest.importorskip("matplotlib")
    colours = {
        "#E69F00": hand_made().location == 0,
        "#009E73": hand_made().location == 1,
        "#0072B2": hand_made().location == 2,
    }
    image = viewer.render_rgb(hand_made())
    for colour, tasks in colours.items():
        pixel = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        without = viewer.render_rgb(unplaced(hand_made(), np.flatnonzero(tasks).tolist()))
        in_legend = np.all(without == pixel, axis=-1).sum()
        assert np.all(image == pixel, axis=-1).sum() > in_legend + 100


def test_charts_side_by_side_share_the_time_axis():
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    axes = Figure().subplots(1, 2)
    for ax, schedule in zip(axes, (hand_made(), unplaced(hand_made(), [3])), strict=True):
        rendering.draw_schedule(ax, schedule, time_limit_s=2.0, legend=False)
        assert ax.get_xlim() == (0.0, 2.0)
        assert ax.get_legend() is None
    labels = [label.get_text() for label in axes[0].get_yticklabels()]
    assert labels[:4] == ["device 0", "radio", "edge 1 core 0", "cloud core 0"]
    assert len(labels) == 9


def test_drawing_leaves_pyplot_alone():
    pytest.importorskip("matplotlib")
    program = (
        "import sys, numpy as np, types\n"
        "from offload_gym.envs import rendering, viewer\n"
        "assert 'matplotlib' not in sys.modules\n"
        "i, t = np.zeros(2, dtype=int), np.ones(2)\n"
        "schedule = types.SimpleNamespace(location=i, core=i, send_start_s=t, send_end_s=t, start_s=t, finish_s=t,\n"
        "    completion_s=t, backlog_s=np.zeros((3, 2)), radio_backlog_s=0.0)\n"
        "rendering.render_ansi(schedule)\n"
        "assert 'matplotlib' not in sys.modules\n"
        "viewer.render_rgb(schedule)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_missing_matplotlib_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'offload-gym\[render\]'"):
        viewer.render_rgb(hand_made())
    assert rendering.render_ansi(hand_made())


def diamond() -> Application:
    """0 -> 1, 2 -> 3, and an edge from 0 to 3 past the layer between."""
    edges = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)]
    return Application("diamond", [1e6, 0, 0, 0], [0, 0, 0, 1e6], [1e9] * 4, edges, [1e6, 2e6, 3e6, 4e6, 5e5])


def test_an_application_has_its_tasks_in_layers_and_labels_on_its_edges():
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    rendering.draw_application(axes, diamond())
    tasks, *edges = axes.texts[:4], *axes.texts[4:]
    assert [text.get_text() for text in tasks] == ["0", "1", "2", "3"]
    places = [text.get_position() for text in tasks]
    assert [x for x, _ in places] == [0.0, 1.0, 1.0, 2.0]
    assert places[0][1] == places[3][1] == 0.0
    assert places[1][1] < places[2][1]
    assert [text.get_text() for text in edges if text.get_text()] == ["1", "2", "3", "4", "0.5"]
    assert axes.get_title(loc="left") == "diamond, 4 tasks, edges in Mbit"
    assert axes.get_legend() is None


def test_an_edge_past_a_layer_has_a_point_there():
    points, ways = rendering._layered(diamond())
    assert ways == [[0, 1], [0, 2], [1, 3], [2, 3], [0, 4, 3]]
    assert points[4][0] == 1.0
    assert len(set(points)) == 5


def test_an_application_is_coloured_by_location():
    pytest.importorskip("matplotlib")
    from matplotlib.colors import to_hex
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    rendering.draw_application(axes, diamond(), [0, 1, -1, 2], num_locations=3)
    boxes = [text.get_bbox_patch() for text in axes.texts[:4]]
    assert [to_hex(box.get_facecolor()).upper() for box in boxes] == ["#E69F00", "#009E73", "#FFFFFF", "#0072B2"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["device", "edge 1", "cloud"]
    axes.figure.canvas.draw()


@pytest.mark.parametrize(
    ("decision", "num_locations", "sentence"),
    [
        ([0, 0, 0, 0], None, "num_locations is None; it must be given with a decision"),
        ([0, 0, 0], 3, r"decision is \[0, 0, 0\]; it must hold 4 locations, each from -1 to 2"),
        ([0, 0, 0, 3], 3, r"decision is \[0, 0, 0, 3\]; it must hold 4 locations, each from -1 to 2"),
    ],
)
def test_a_decision_that_does_not_fit_is_refused(decision, num_locations, sentence):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    with pytest.raises(ValueError, match=sentence):
        rendering.draw_application(Figure().subplots(), diamond(), decision, num_locations)
