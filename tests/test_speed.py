import json

import numpy as np
import pytest
from conftest import KINDS

from benchmarks.__main__ import main
from benchmarks.speed import kernel, numpy_reference
from benchmarks.speed.c_reference import compile_reference, compiler
from benchmarks.speed.command import GROUPS
from benchmarks.speed.rows import Row, Target, as_json, cells, compared, figure_text, significant
from benchmarks.speed.timing import QUICK, interleaved
from offload_gym.delay import latency

CONTRACT = {"what", "rate_per_s", "reference", "reference_rate_per_s", "ratio", "target", "reached"}

needs_compiler = pytest.mark.skipif(compiler() is None, reason="there is no C compiler")


def random_decisions(instances, seed=0):
    shape = (len(instances), instances.num_tasks)
    return np.random.default_rng(seed).integers(0, instances.num_locations, shape)


@pytest.fixture(scope="module")
def c_reference():
    reference = compile_reference()
    assert reference is not None
    return reference


@needs_compiler
@pytest.mark.parametrize("kind", KINDS)
def test_the_loop_in_c_computes_the_makespan(draw, kind, c_reference):
    instances = draw(kind, 50, 7, 2, seed=1)
    decisions = random_decisions(instances)
    np.testing.assert_allclose(c_reference.latency(instances, decisions), latency(instances, decisions), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_numpy_reference_computes_the_makespan(draw, kind):
    instances = draw(kind, 50, 7, 2, seed=1)
    decisions = random_decisions(instances)
    np.testing.assert_allclose(numpy_reference.latency(instances, decisions), latency(instances, decisions), rtol=1e-12)


@needs_compiler
def test_the_search_in_c_computes_the_makespan(draw, c_reference):
    instances = draw("mixed", 1, 6, 2, seed=4)
    problem, cores, radio_s, start_s = kernel.opened(instances)
    decisions = np.random.default_rng(0).integers(0, 4, (200, 6))
    makespan_s = np.empty(200)
    c_reference.search(problem, cores, radio_s, start_s, decisions, makespan_s)
    repeated = instances[np.zeros(200, dtype=int)]
    np.testing.assert_allclose(makespan_s, latency(repeated, decisions), rtol=1e-12)


def test_a_reference_that_computes_something_else_is_refused():
    with pytest.raises(RuntimeError, match=r"numpy and offload_gym differ by a relative 1\.0e-03"):
        kernel.check_agreement("numpy", np.array([1.0, 2.002]), np.array([1.0, 2.0]))
    with pytest.raises(RuntimeError, match="differ"):
        kernel.check_agreement("numpy", np.array([np.nan]), np.array([1.0]))


def test_calls_take_turns():
    made = []
    seconds = interleaved([lambda: made.append("a"), lambda: made.append("b")], QUICK._replace(round_s=0.0))
    assert seconds.shape == (QUICK.num_rounds, 2)
    assert "".join(made[4:]) == "abbaab"  # after one call to compile and one to see how long it takes


def test_a_row_by_hand():
    # GIVEN two sides of which ours does 10 units in 1, 2 and 5 seconds, and the reference 1 unit in 1 second
    targets = [Target("ratio", 4.0), Target("time_s", 0.1)]
    row = compared("ours", "units", 10, [1.0, 2.0, 5.0], "theirs", 1, np.ones(3), targets, {"time_s": 0.2})
    # THEN rate and ratio are medians over the rounds, and each target counts
    assert (row.rate_per_s, row.reference_rate_per_s, row.ratio) == (5.0, 1.0, 5.0)
    assert row.quartiles == (3.5, 7.5)
    assert row.reached is False
    assert row._replace(figures={"time_s": 0.1}).reached is True
    assert row._replace(targets=()).reached is None
    assert as_json(row)["target"] == "4x or more and 100 ms or less"
    assert cells(row)[1:] == [
        "5 units/s", "theirs", "1/s", "5 [3.5, 7.5]", "200 ms", "4x or more, 100 ms or less", "not reached"
    ]  # fmt: skip


def test_figures_as_text():
    assert [significant(x) for x in (1234567, 999.6, 12.345, 0.012345, 0.0, np.inf)] == [
        "1,230,000", "1,000", "12.3", "0.0123", "0", "inf"
    ]  # fmt: skip
    assert [figure_text("time_s", x) for x in (2.0, 0.002, 2e-6, 2e-8)] == ["2 s", "2 ms", "2 µs", "0.02 µs"]
    assert figure_text("growth_per_task", 1.5) == "growth per task 1.5"
    assert Target("exponent", 1.1).text == "exponent 1.1 or less"


def test_the_command_writes_the_contract(tmp_path, capsys):
    path = tmp_path / "a" / "speed.json"
    assert main(["speed", "--quick", "--only", "kernel", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())
    assert all(row.keys() >= CONTRACT for row in rows)
    assert {row["reference"] for row in rows} >= {"vectorised numpy", "one thread"}
    for row in rows:
        low, high = row["ratio_quartiles"]
        assert 0 < low <= row["ratio"] <= high
    assert "vectorised numpy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--only", "kernels"], "only has 'kernels'; it must be among kernel"),
        (["--seed", "-1"], "seed is -1; it must be at least 0"),
        (["--json", "."], "'.' is a folder; it must be a file"),
    ],
)
def test_bad_arguments_give_one_sentence(arguments, sentence, capsys):
    assert main(["speed", "--quick", *arguments]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1


def test_nothing_is_written_where_the_run_is_interrupted(tmp_path, monkeypatch):
    def interrupt(effort, seed):
        raise KeyboardInterrupt

    monkeypatch.setitem(GROUPS, "kernel", interrupt)
    assert main(["speed", "--only", "kernel", "--json", str(tmp_path / "speed.json")]) == 130
    assert list(tmp_path.iterdir()) == []


def test_without_a_compiler_the_other_rows_stay(monkeypatch):
    monkeypatch.setattr("benchmarks.speed.c_reference.COMPILERS", ("no-such-compiler",))
    rows: list[Row] = kernel.measure_kernel(QUICK, 0)
    assert [row.reference for row in rows] == ["vectorised numpy", "one thread"]
