import json

import numpy as np
import pytest

from agents import cell as agents_cell
from benchmarks import static_cells
from benchmarks.__main__ import main
from benchmarks.static_cells import Outcome, compare_static_cells
from benchmarks.streams import cells, comparing


def test_compare_static_cells(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(agents_cell, "NUM_AGENTS", 6)
    monkeypatch.setattr(static_cells, "FULL_SIZE", 2)
    monkeypatch.setattr(static_cells, "NUM_TIMED", 4)
    path = tmp_path / "rows.json"
    rows = compare_static_cells(3, 0, 48, (1, 3), json_path=str(path))
    by_name = {(row["num_devices"], row["policy"]): row for row in rows}
    assert len(by_name) == len(rows)
    for m, count in ((1, 3), (3, 2)):  # 3 * 2 // 3 cells of three devices
        of_size = {name: row for (size, name), row in by_name.items() if size == m}
        assert {row["num_cells"] for row in of_size.values()} == {count}
        latency_s = {name: row["latency_mean_s"] for name, row in of_size.items()}
        assert latency_s["lower bound"] <= latency_s["coordinated"] <= latency_s["coordinated, two starts"]
        assert latency_s["coordinated"] <= latency_s["equilibrium"] < latency_s["greedy"]
        assert of_size["equilibrium"]["settled"] == 1.0
        local = of_size["local"]
        assert 0 < local["over_low"] <= local["over_coordinated"] <= local["over_high"]
        assert 1 / m <= local["jain_mean"] <= 1 <= local["worst_over_mean"] <= m
        assert local["decide_us_p50"] > 0
    assert by_name[1, "greedy-share"]["latency_mean_s"] == by_name[1, "greedy"]["latency_mean_s"]
    assert by_name[3, "greedy-share"]["latency_mean_s"] < by_name[3, "greedy"]["latency_mean_s"]
    assert (1, "ppo, shared reward") not in by_name
    assert json.loads(path.read_text())[-1]["policy"] == "lower bound"
    assert "ppo, shared reward" in capsys.readouterr().out


def test_fairness_of_a_row():
    row = static_cells._row("any", Outcome(np.array([[1.0, 3.0], [2.0, 2.0]])), np.array([1.0, 2.0]))
    # Jain: (1 + 3)^2 / (2 * 10) = 0.8, and 1. The worst: 3 / 2, and 1. Over: ((2 - 1) + (2 - 2)) / 2 over 1.5.
    assert (row["jain_mean"], row["worst_over_mean"]) == (pytest.approx(0.9), pytest.approx(1.25))
    assert row["over_coordinated"] == pytest.approx(1 / 3)
    assert (row["latency_mean_s"], row["num_devices"], row["num_cells"]) == (2.0, 2, 2)


def test_bad_numbers_are_refused(capsys):
    assert main(["cells", "--num-cells", "0"]) == 2
    assert main(["cells", "--num-decisions", "-1"]) == 2
    assert main(["cells", "--seed", "-1"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" is ")[0] for line in lines] == ["error: num_cells", "error: num_decisions", "error: seed"]


def test_streams_of_cells(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cells, "DEVICES_AND_REPORTS", ((2, 1.0),))
    monkeypatch.setattr(cells, "RATES_PER_S", {2: 7.5})
    monkeypatch.setattr(cells, "POLICIES", ("greedy", "two-choices", "student"))
    monkeypatch.setattr(comparing, "NUM_DEVICES", (4,))
    monkeypatch.setattr(comparing, "REPORTS_S", (0.5,))
    monkeypatch.setattr(comparing, "FEWEST_STREAMS", 1)
    path = tmp_path / "rows.json"
    assert main(["cells", "--only", "streams", "--num-streams", "2", "--streams-json", str(path)]) == 0
    rows = json.loads(path.read_text())
    sizes = [(row["num_devices"], row["report_s"], row["num_jobs"]) for row in rows[::3]]
    assert sizes == [(2, 1.0, 400), (4, 0.0, 800), (8, 0.5, 1600)]
    assert [row["policy"] for row in rows[:3]] == ["greedy", "two-choices", "student"]
    assert all(0 < row["jain_mean"] <= 1 <= row["worst_over_mean"] for row in rows)
    assert "Jain" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "streams", "--json", "x.json"], "--json is given; with --only streams it must not be"),
        (
            ["--only", "static", "--streams-json", "x.json"],
            "--streams-json is given; with --only static it must not be",
        ),
        (["--only", "streams", "--num-streams", "0"], "num_streams is 0"),
        (["--only", "streams", "--streams-json", "/dev/null/x.json"], "json_path"),
    ],
)
def test_what_cells_does_not_take_is_refused_at_once(arguments, said, capsys):
    assert main(["cells", *arguments]) != 0
    assert said in capsys.readouterr().err
