import json
import time

import numpy as np
import pytest
from conftest import KINDS

from benchmarks.__main__ import main
from benchmarks.speed import (
    cp_sat_reference,
    environments,
    exact,
    growth,
    kernel,
    labels,
    nodes,
    numpy_reference,
    simpy_reference,
    startup,
    streams,
    threads,
)
from benchmarks.speed.c_reference import compile_reference, compile_stream_reference, compiler
from benchmarks.speed.command import GROUPS
from benchmarks.speed.rows import Row, Side, Target, as_json, cells, compared, figure_text, significant
from benchmarks.speed.timing import QUICK, interleaved
from offload_gym.delay import latency
from offload_gym.instances import Instances
from offload_gym.observation import epoch_observations
from offload_gym.observation_layout import observation_size
from offload_gym.sampling import sample_instances
from offload_gym.scenario import make_scenario
from offload_gym.solvers.exact import solve
from offload_gym.solvers.greedy import greedy

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
    problem, start, cores = kernel.opened(instances)
    decisions = np.random.default_rng(0).integers(0, 4, (200, 6))
    makespan_s = np.empty(200)
    c_reference.search(problem, cores, start, decisions, makespan_s)
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
    sides = Side("ours", 10, [1.0, 2.0, 5.0]), Side("theirs", 1, np.ones(3))
    row = compared(*sides, "units", targets, {"time_s": 0.2})
    # THEN rate and ratio are medians over the rounds, and each target counts
    assert (row.rate_per_s, row.reference_rate_per_s, row.ratio) == (5.0, 1.0, 5.0)
    assert row.quartiles == (3.5, 7.5)
    assert row.reached is False
    assert row._replace(figures={"time_s": 0.1}).reached is True
    assert row._replace(targets=()).reached is None
    assert row._replace(judged=False).reached is None
    assert row._replace(judged=False, figures={"time_s": 0.1}).reached is True
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
    assert figure_text("arithmetic_x", 1.9) == "arithmetic 1.9x"
    assert figure_text("extra_s", 0.1) == "extra 100 ms"
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


@pytest.mark.parametrize("objective", ["makespan", "mean"])
@pytest.mark.parametrize("kind", ["plain", "busy cores", "radio backlog", "zero sizes", "identical tasks"])
def test_cp_sat_finds_the_optimum(draw, kind, objective):
    instances = draw(kind, 3, 5, 1, seed=3)
    optimum = solve(instances, objective)
    incumbents = greedy(instances)
    for b in range(len(instances)):
        one = instances[b : b + 1]
        solution = cp_sat_reference.solve_with_cp_sat(one, objective, incumbents[b], limit_s=20.0)
        assert solution.optimal
        decision_s = latency(one, solution.decision[None], objective)[0]
        for value_s in (decision_s, solution.value_s):
            assert value_s == pytest.approx(optimum.latency_s[b], rel=0, abs=cp_sat_reference.tolerance_s(5))
        cp_sat_reference.check_same_optimum(one, objective, solution, optimum.latency_s[b])


@pytest.mark.parametrize("objective", ["makespan", "mean"])
def test_cp_sat_keeps_the_rule_of_the_cores(objective):
    # GIVEN one server with 2 cores that all tasks need, and long paths to it, so that they arrive in another order
    rng = np.random.default_rng(4)
    size, n, remote = 10, 5, [np.inf, 8e6, 8e6]
    instances = Instances(
        input_bits=rng.uniform(1e5, 4e6, (size, n)),
        output_bits=np.zeros((size, n)),
        workload_cycles=rng.uniform(1e8, 4e9, (size, n)),
        cpu_hz=np.tile([1e7, 3e9, 1e7], (size, 1)),
        cores=np.tile([1, 2, 2], (size, 1)),
        backlog_s=np.zeros((size, 3)),
        uplink_bps=np.tile(remote, (size, 1)),
        downlink_bps=np.tile(remote, (size, 1)),
        wired_bps=np.tile([np.inf, 2e6, 2e6], (size, 1)),
        propagation_s=np.zeros((size, 3)),
    )
    optimum = solve(instances, objective)
    # THEN CP-SAT has the same optimum, and not the lower one of the tasks choosing their cores
    for b in range(size):
        one = instances[b : b + 1]
        solution = cp_sat_reference.solve_with_cp_sat(one, objective, optimum.decisions[b], limit_s=20.0)
        assert solution.optimal
        assert solution.value_s == pytest.approx(optimum.latency_s[b], rel=0, abs=cp_sat_reference.tolerance_s(n))


def test_cp_sat_says_what_it_cannot_take(draw):
    chain = sample_instances("chain", 1, seed=0)
    with pytest.raises(ValueError, match="this model is for independent tasks"):
        cp_sat_reference.solve_with_cp_sat(chain, "makespan", np.zeros(chain.num_tasks, dtype=int), 1.0)
    instances = draw("per-core backlogs", 1, 3, 1, seed=0)
    with pytest.raises(ValueError, match="a backlog for each core"):
        cp_sat_reference.solve_with_cp_sat(instances, "makespan", np.zeros(3, dtype=int), 1.0)


def test_another_optimum_is_refused():
    instance = sample_instances("default", 1, seed=0)
    decision = np.zeros(8, dtype=int)
    value_s = float(latency(instance, decision[None])[0])
    solution = cp_sat_reference.CpSatSolution(decision, value_s, True, 1.0)
    cp_sat_reference.check_same_optimum(instance, "makespan", solution, value_s)
    for wrong, optimum_s in ((solution, value_s - 1e-6), (solution._replace(value_s=value_s - 1e-6), value_s)):
        with pytest.raises(RuntimeError, match="CP-SAT says that"):
            cp_sat_reference.check_same_optimum(instance, "makespan", wrong, optimum_s)
    cp_sat_reference.check_same_optimum(instance, "makespan", solution._replace(optimal=False), value_s - 1e-6)


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("roll_outs", [True, False])
def test_the_bare_steps_write_the_observations_of_the_environments(joint, roll_outs):
    # GIVEN 5 environments that have placed all their tasks once, and in Sequential 3 tasks of the next epoch
    instances = sample_instances({"name": "default", "num_tasks": 4}, 5, seed=0)
    epochs = environments.new_epochs(instances)
    environments.open_all(epochs)
    num_steps, width = (1, 4) if joint else (7, 1)
    actions = np.random.default_rng(0).integers(0, 3, (num_steps, 5, width))
    observations = np.empty((5, observation_size(4, (1, 2, 8), roll_outs=roll_outs)), dtype=np.float32)
    environments.bare_step(epochs, 0, 5, joint, roll_outs, actions, observations)
    # THEN the observation is that of the package
    prefixes = np.zeros((5, 4), dtype=np.int64)
    placed = 0 if joint else 3
    prefixes[:, :placed] = actions[num_steps - placed :, :, 0].T
    rows, states = epoch_observations(instances, prefixes)
    states = states[:, :, : 3 + (1 + 2 + 8) + 3 * (3 if roll_outs else 1)]
    shown = rows[:, placed:].reshape(5, -1)
    np.testing.assert_array_equal(observations[:, : shown.shape[1]], shown)
    np.testing.assert_array_equal(observations[:, -states.shape[2] :], states[:, placed])


def test_growth_by_hand():
    x = [1, 2, 4, 8]
    assert growth.exponent(x, 3.0 * np.array(x) ** 1.5) == pytest.approx(1.5)
    assert growth.factor(x, 3.0 * 1.7 ** np.array(x)) == pytest.approx(1.7)


def test_every_group_gives_rows(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(environments, "NUM_ENVS", 4)
    monkeypatch.setattr(exact, "MAKESPAN_TARGETS", {4: (Target("ratio", 1.0),)})
    monkeypatch.setattr(exact, "MEAN_TARGETS", {4: ()})
    monkeypatch.setattr(labels, "BATCH", 40)
    few_of = {"NUM_STREAMS": 2, "SIMPY_STREAMS": 1, "NUM_ENVS": 4, "LABELLED_STREAMS": 1}
    crowd = {"CROWD": 12, "AT_SITE": 4, "CROWD_JOBS": 240, "CROWD_STEPS": 20, "SIZES": (3, 12)}
    for name, few in (few_of | crowd).items():
        monkeypatch.setattr(streams, name, few)
    monkeypatch.setattr(nodes, "TARGETS", {7: (Target("fewer_nodes", 1.0),)})
    for name in ("TASKS", "BATCHES", "ENVIRONMENT_TASKS", "ENVIRONMENTS", "EXACT_TASKS"):
        monkeypatch.setattr(growth, name, (2, 4))
    names = ["environments", "step", "exact", "mean", "nodes", "labels", "streams", "growth"]
    path = tmp_path / "speed.json"
    assert main(["speed", "--quick", "--only", *names, "--json", str(path), "--plots", str(tmp_path / "plots")]) == 0
    rows = json.loads(path.read_text())
    assert len(rows) == 12 + 2 + 1 + 1 + 1 + 2 + 5 + 4 + 8
    assert all(row.keys() >= CONTRACT and row["rate_per_s"] > 0 and row["ratio"] > 0 for row in rows)
    assert [row["x"] for row in rows if "x" in row] == [[2, 4]] * 8
    (with_bound,) = (row for row in rows if "fewer_nodes" in row)
    assert with_bound["fewer_nodes"] > 1
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["growth.png"]
    assert "growth.png" in capsys.readouterr().out


def test_a_missing_core_is_no_fault_of_the_kernel(monkeypatch):
    # GIVEN two threads that bring nothing, on a machine where arithmetic gains as much as the test says
    def row():
        sleep = lambda: time.sleep(0.001)  # noqa: E731
        return threads.two_threads_row("ours", "units", 1, sleep, sleep, [Target("ratio", 1.8)], QUICK)

    monkeypatch.setattr(threads, "SPIN_STEPS", 1000)
    for speed_up, reached in ((0.0, False), (100.0, None)):
        monkeypatch.setattr(threads, "SPEED_UP", speed_up)
        assert row().reached is reached
    assert "no second core" in row().note


def test_start_is_measured_in_fresh_processes(monkeypatch):
    for name, milliseconds in (("REFERENCE", 20), ("IMPORT", 50), ("FIRST_STEP", 80)):
        monkeypatch.setattr(startup, name, f"import time; time.sleep({milliseconds / 1e3})")
    monkeypatch.setattr(startup, "COLD", {"a first use": (startup.FIRST_STEP, 10.0)})
    of_import, warm, cold = startup.measure_startup(QUICK, 0)
    assert cold.what == "a first use, nothing compiled"
    assert of_import.figures["extra_s"] == pytest.approx(0.03, abs=0.02)
    assert of_import.reached is True
    assert 0.2 < of_import.ratio < 0.6
    for row in (warm, cold):
        assert row.figures["time_s"] == pytest.approx(0.08, abs=0.04)


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


@needs_compiler
def test_streams_in_c_and_in_simpy_have_the_responses_and_joules_of_the_kernel():
    for num_devices in (1, 3):
        scenario = make_scenario("stream", num_devices=num_devices, num_jobs=40)
        ours = streams.Responses(scenario, 6, 0)
        ours.check("SimPy", simpy_reference.response_times(ours.streams, ours.decisions))
        if num_devices == 1:
            in_c, joules = np.empty((2, *ours.response_s.shape))
            reference = compile_stream_reference()
            in_system_js = reference.play(ours.streams, ours.decisions, in_c, joules)
            ours.check("C", in_c)
            np.testing.assert_allclose(joules, ours.energy_j, rtol=1e-9)
            np.testing.assert_allclose(in_system_js, in_c.sum(axis=1), rtol=1e-9)  # Little's law
    crowded = streams.Responses(make_scenario("stream", num_devices=6, num_jobs=120, num_edges=2), 2, 0, num_sites=2)
    crowded.check("SimPy", simpy_reference.response_times(crowded.streams, crowded.decisions))
    with pytest.raises(RuntimeError, match="C and offload_gym differ by a relative"):
        ours.check("C", ours.response_s * 1.001)
