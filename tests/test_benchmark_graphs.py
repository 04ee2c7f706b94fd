"""The benchmarks of graphs: drawn ones of many tasks, and those of files."""

import json
import re

import numpy as np
import pytest

from benchmarks import graphs, tune_annealing
from benchmarks.__main__ import main
from benchmarks.graphs import compare_methods, methods_for, short_time
from benchmarks.tune_annealing import search_coordinates
from offload_gym import latency, make_policy, sample_instances
from offload_gym.applications.loading import save_application
from offload_gym.applications.presets import random_application
from offload_gym.solvers.annealing import CHOSEN

# Two tasks that run 3 s and 4 s after each other, in DAX; the second reads 2,000,000 bytes of the first.
DAX = """<adag xmlns="http://pegasus.isi.edu/schema/DAX" version="2.1" name="two">
  <job id="ID1" name="split" runtime="3"><uses file="a" link="output" size="2000000"/></job>
  <job id="ID2" name="join" runtime="4"><uses file="a" link="input" size="2000000"/></job>
  <child ref="ID2"><parent ref="ID1"/></child>
</adag>
"""


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(graphs, "LIMITS_S", (0.01,))
    monkeypatch.setattr(graphs, "REFERENCE_S", 0.02)
    monkeypatch.setattr(graphs, "TASK_COUNTS", (4, 9))


def test_methods_are_compared_with_the_best_of_them_on_each_instance():
    instances = sample_instances({"name": "dag", "num_tasks": 6}, 5, seed=1)
    names = ("local", "cloud", "greedy")
    results = compare_methods(instances, {name: make_policy(name).decide for name in names})
    values_s = np.array([latency(instances, make_policy(name).decide(instances)) for name in names])
    for result, name, value_s in zip(results, names, values_s, strict=True):
        assert (result.method, result.num_tasks) == (name, 6)
        np.testing.assert_array_equal(result.decisions, make_policy(name).decide(instances))
        np.testing.assert_allclose(result.excess, value_s / values_s.min(axis=0) - 1, rtol=1e-12)
        assert np.all(result.seconds > 0)


def test_flips_are_left_out_where_they_take_minutes():
    assert "portfolio+flip" in methods_for(200, None)
    assert not any("flip" in name for name in methods_for(1000, None))
    assert list(methods_for(1000, None))[-1] == "search, 10 s"


def test_times_are_in_a_unit_that_suits_them():
    assert short_time(np.array([2e-6, 3e-6, 9e-3])) == "3 µs"
    assert short_time(np.array([0.0123])) == "12.3 ms"
    assert [short_time(np.array([seconds])) for seconds in (0.9996, 10.07)] == ["1 s", "10.1 s"]


def test_large_graphs_command(short, tmp_path, capsys):
    assert main(["large-graphs", "--num-instances", "2", "--json", str(tmp_path / "rows.json")]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert {row["num_tasks"] for row in rows} == {4, 9}
    for num_tasks in (4, 9):
        of_size = {row["method"]: row["excess_mean"] for row in rows if row["num_tasks"] == num_tasks}
        assert min(of_size.values()) >= 0
        # Graphs of so few tasks are solved.
        assert of_size["search, 0.02 s"] < 1e-9
        assert of_size["portfolio"] <= of_size["greedy"]
    assert "portfolio+flip" in capsys.readouterr().out


def test_workflows_command(short, tmp_path, capsys):
    (tmp_path / "two.dax").write_text(DAX)
    save_application(tmp_path / "drawn.json", random_application(7, seed=1))
    files = [str(tmp_path / name) for name in ("two.dax", "drawn.json")]
    options = ["--num-instances", "2", "--plots", str(tmp_path), "--json", str(tmp_path / "rows.json")]
    assert main(["workflows", *files, *options, "--num-edges", "2"]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert {(row["file"], row["num_tasks"]) for row in rows} == {("two.dax", 2), ("drawn.json", 7)}
    assert (tmp_path / "two.png").stat().st_size > 1000
    assert (tmp_path / "drawn.png").stat().st_size > 1000
    # Two tasks after each other are solved.
    assert all(row["excess_mean"] < 1e-9 for row in rows if row["file"] == "two.dax" and "search" in row["method"])
    out = capsys.readouterr().out
    assert "two.dax: 2 tasks, 1 edges" in out
    # AND the files together: a search solves both, so that it is 0 % above the best in their mean
    together = out[out.index("2 files, from 2 to 7 tasks") :]
    assert re.search(r"search, 0.02 s +2 +0.00 +0.00 ", together)
    # AND two files would not be drawn into one
    (tmp_path / "drawn.dax").write_text(DAX)
    assert main(["workflows", files[1], str(tmp_path / "drawn.dax"), *options]) == 2
    assert "two files are called 'drawn'; with --plots each must have a name of its own" in capsys.readouterr().err
    # AND an option for what only one of the files has is refused
    assert main(["workflows", *files, "--reference-hz", "2e9"]) == 2
    assert "drawn.json is this project's JSON, to which it does not belong" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing.dax"], "nothing.dax"),
        (["two.dax", "--reference-hz", "0"], "reference_hz is 0.0; it must be a number, finite and above 0"),
        (["two.dax", "--num-instances", "0"], "num_instances is 0"),
        (["two.dax", "--scenario", "vision", "--num-edges", "-1"], "num_edges is -1"),
    ],
)
def test_bad_arguments_give_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.dax").write_text(DAX)
    assert main(["workflows", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_settings_of_annealing_are_chosen_by_coordinates(monkeypatch, capsys):
    # GIVEN a value that is least at hot = 0.5, swap_share = 0.7 and group_share = 0.5
    def value(settings):
        return (settings.hot - 0.5) ** 2 + (settings.swap_share - 0.7) ** 2 + abs(settings.group_share - 0.5)

    found = search_coordinates(CHOSEN, value)
    # THEN one field after the other goes to its best place in the grid, and swaps and groups are no more than all moves
    assert (found.hot, found.swap_share, found.group_share) == (0.5, 0.65, 0.35)
    assert (found.cold, found.group_size) == (CHOSEN.cold, CHOSEN.group_size)
    # AND the command prints the settings that it tried, and what it chooses
    monkeypatch.setattr(tune_annealing, "GRID", {"hot": (0.5,)})
    monkeypatch.setattr(tune_annealing, "TASK_COUNTS", (6, 8))
    outputs = []
    for _ in range(2):
        assert main(["tune-annealing", "--num-instances", "2", "--num-moves", "200"]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert "set" in outputs[0]
    assert re.search("Chosen: (what is set|the best)", outputs[0])
    assert main(["tune-annealing", "--num-moves", "0"]) == 2
    assert "num_moves is 0" in capsys.readouterr().err
