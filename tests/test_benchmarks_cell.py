import json

from agents import cell as agents_cell
from benchmarks.__main__ import main
from benchmarks.cell import compare_cell


def test_compare_cell(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(agents_cell, "NUM_AGENTS", 6)
    path = tmp_path / "rows.json"
    rows = compare_cell(3, 0, 48, (1, 3), json_path=str(path))
    by_name = {(row["num_devices"], row["policy"]): row for row in rows}
    assert len(by_name) == len(rows) == 2 * 9 - 1
    for m in (1, 3):
        latency_s = {name: row["latency_mean_s"] for (size, name), row in by_name.items() if size == m}
        assert latency_s["lower bound"] <= latency_s["coordinated"] <= latency_s["equilibrium"] < latency_s["greedy"]
        assert by_name[m, "equilibrium"]["settled"] == 1.0
        low, high = by_name[m, "local"]["over_coordinated_interval"]
        assert 0 < low <= by_name[m, "local"]["over_coordinated"] <= high
    assert json.loads(path.read_text())[-1]["policy"] == "lower bound"
    assert "ppo, shared reward" in capsys.readouterr().out


def test_bad_numbers_are_refused(capsys):
    assert main(["cell", "--num-cells", "0"]) == 2
    assert main(["cell", "--num-decisions", "0"]) == 2
    assert main(["cell", "--seed", "-1"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" is ")[0] for line in lines] == ["error: num_cells", "error: num_decisions", "error: seed"]
