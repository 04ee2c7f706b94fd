import json
from importlib import resources

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
    monkeypatch.setattr(cells, "RULES", ("greedy", "two-choices"))
    monkeypatch.setattr(cells, "NETWORKS", ("student",))
    monkeypatch.setattr(comparing, "NUM_DEVICES", (4,))
    monkeypatch.setattr(comparing, "REPORTS_S", (0.5,))
    monkeypatch.setattr(comparing, "FEWEST_STREAMS", 1)
    path, positions, sites = tmp_path / "rows.json", tmp_path / "ways.csv", tmp_path / "sites.csv"
    positions.write_text("device,time_s,x_m,y_m\na,0,0,0\na,60,600,0\nb,0,500,0\nb,60,0,100\n")
    sites.write_text("x_m,y_m\n0,0\n300,50\n600,0\n")
    files = ["--streams-json", str(path), "--positions", str(positions), "--sites", str(sites)]
    # A folder of networks for three locations, which the tables of devices that move have no use for.
    weights = resources.files("offload_gym") / "weights" / "stream_cell-small-student.safetensors"
    (tmp_path / "mine.safetensors").write_bytes(weights.read_bytes())
    assert main(["cells", "--only", "streams", "--num-streams", "2", "--agents", str(tmp_path), *files]) == 0
    rows = json.loads(path.read_text())
    kinds = {}
    for row in rows:
        kind = row["scenario"], row["num_devices"], row["report_s"], row["failure_share"], row["sweep"]
        kinds.setdefault(kind, []).append(row["policy"])
    fixed, moving = (
        ["greedy", "two-choices", "student", "mine"],
        ["nearest", "cloud", "greedy", "two-choices", "student"],
    )
    assert {kind: sorted(names) for kind, names in kinds.items()} == {
        ("stream_cell", 2, 1.0, 0.0, None): sorted(fixed),
        ("stream_cell", 8, 0.0, 0.1, None): sorted(fixed),
        ("stream_cell", 8, 1.0, 0.1, None): sorted(fixed),
        ("stream_mobile", 8, 0.0, 0.0, None): sorted(moving),
        ("stream_mobile, sites.csv, ways.csv", 8, 0.0, 0.0, None): sorted(moving),
        ("stream_cell", 4, 0.0, 0.0, "devices"): sorted(fixed),
        ("stream_cell", 8, 0.5, 0.0, "report"): sorted(fixed),
    }
    assert all(0 < row["jain_mean"] <= 1 <= row["worst_over_mean"] and row["decide_us_p50"] > 0 for row in rows)
    said = capsys.readouterr().out
    assert "left out mine.safetensors: the policy mine is for 3 locations; the streams have 5" in said
    assert "8 devices, reports every 1 s, edge servers down 10 % of the time, response: 2 test streams" in said


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
        (["--only", "static", "--sites", "x.csv"], "--sites is given; with --only static it must not be"),
        (["--only", "streams", "--positions", "/dev/null/x.csv"], "/dev/null/x.csv"),
        (["--sites", "/dev/null/x.csv", "--num-decisions", "0"], "/dev/null/x.csv"),
    ],
)
def test_what_cells_does_not_take_is_refused_at_once(arguments, said, capsys):
    assert main(["cells", *arguments]) != 0
    assert said in capsys.readouterr().err
