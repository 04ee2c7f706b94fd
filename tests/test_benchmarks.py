import csv
import json
import shutil

import numpy as np
import pytest
from joblib import parallel_config

from agents.__main__ import main as train
from agents.networks import TaskNetwork, save_policy, to_runtime
from benchmarks.__main__ import main
from benchmarks.analysis import front, markdown_table, summarise, write_json
from benchmarks.applications import compare_applications
from benchmarks.carry_over import WEIGHTS, compare_carry_over
from benchmarks.contenders import BUILT_IN, Contender, contenders
from benchmarks.information import compare_information
from benchmarks.measurement import Measurement, measure
from benchmarks.plots import fronts, learning_curves
from benchmarks.policies import compared_against, with_uplink
from benchmarks.statistics import TAUS, bootstrap_interval
from offload_gym import policies, progress
from offload_gym.applications.loading import save_application
from offload_gym.applications.presets import random_application
from offload_gym.policies import POLICY_NAMES, SHIPPED, make_policy
from offload_gym.sampling import sample_instances
from offload_gym.scenario import described, make_scenario
from offload_gym.solvers.exact import solve

CONTRACT = {
    "policy", "scenario", "num_tasks", "num_edges", "objective", "gap_mean", "gap_p95", "gap_max", "exact_match",
    "label_accuracy", "decide_us_p50", "decide_us_p99", "decisions_per_s", "num_parameters",
}  # fmt: skip


def measurement(**changes):
    values = {
        "name": "hand-made",
        "num_parameters": 7,
        "decisions": np.array([[0, 1], [1, 1], [2, 0]]),
        "latency_s": np.array([1.0, 2.2, 0.0]),
        "optimum_s": np.array([1.0, 2.0, 0.0]),
        "expert_decisions": np.array([[0, 1], [0, 1], [2, 1]]),
        "present": np.ones((3, 2), dtype=bool),
        "decide_us": np.array([1.0, 2.0, 3.0, 4.0, 5.0]),
        "batch_s": 0.5,
    }
    return Measurement(**{**values, **changes})


def test_summary_by_hand():
    row = summarise(measurement(), make_scenario(), "makespan")
    assert row.keys() >= CONTRACT
    assert row["gap_mean"] == pytest.approx(0.1 / 3)
    assert row["gap_max"] == pytest.approx(0.1)
    at_tenth = TAUS.index(0.1)
    assert row["profile"] == pytest.approx([2 / 3] * at_tenth + [1.0] * (len(TAUS) - at_tenth))
    assert row["difference"] == row["difference_low"] == row["difference_high"] == 0.0  # to itself
    assert row["exact_match"] == pytest.approx(1 / 3)
    assert row["label_accuracy"] == pytest.approx(4 / 6)
    assert row["optimal_share"] == pytest.approx(2 / 3)
    assert row["decide_us_p50"] == 3.0
    assert row["decisions_per_s"] == 6.0
    assert row["gap_mean_low"] <= row["gap_mean"] <= row["gap_mean_high"]


def test_gap_of_a_zero_optimum():
    infinite = measurement(latency_s=np.array([1.0, 2.0, 0.5]))
    assert infinite.gap[0, 2] == np.inf
    # In the row it is null at most, and the policy that has it too is no worse on that instance.
    row = summarise(
        infinite, make_scenario(), "makespan", against=infinite._replace(latency_s=np.array([1.0, 2.2, 0.5]))
    )
    assert (row["gap_max"], row["difference"]) == (np.inf, pytest.approx(-0.1 / 3))
    assert not any(np.isnan(value) for value in row.values() if isinstance(value, float))


def test_bootstrap_interval_covers_the_mean_of_a_known_distribution():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(60):
        low, high = bootstrap_interval(rng.exponential(size=80), seed=seed)
        covered += low <= 1.0 <= high
    assert 50 <= covered < 60  # 95 % nominal; a little less for 80 skewed samples
    low, high = bootstrap_interval(np.full(10, 3.0))
    assert low == high == 3.0


def test_front():
    rows = [
        {"policy": name, "decide_us_p50": x, "gap_mean": y}
        for name, x, y in (("slow", 9, 0.1), ("fast", 1, 0.5), ("beaten", 5, 0.6), ("best", 20, 0.0), ("twin", 9, 0.1))
    ]
    assert front(rows) == ["fast", "slow", "best"]


def test_measure_counts_decisions_and_calls(tmp_path):
    instances = sample_instances(make_scenario(num_tasks=3), 30, seed=1)
    listed = contenders(make_scenario(num_tasks=3), "mean", instances, [tmp_path])
    results = measure(listed, instances, instances, solve(instances, "mean"), "mean")
    assert [result.name for result in results] == [name for name in POLICY_NAMES if name not in SHIPPED]
    by_name = {result.name: result for result in results}
    assert (by_name["exact"].gap == 0).all()
    assert (by_name["greedy"].gap >= 0).all()
    assert by_name["greedy"].gap.mean() > by_name["greedy+flip"].gap.mean() > 0
    assert (by_name["local"].decisions == 0).all()
    assert len(by_name["greedy"].decide_us) == 2000


def test_policies_command_writes_the_contract(tmp_path, capsys):
    arguments = ["policies", "--seed", "5", "--num-instances", "40", "--num-tasks", "3", "--agents", str(tmp_path)]
    files = [
        "--json",
        str(tmp_path / "a/o.json"),
        "--csv",
        str(tmp_path / "o.csv"),
        "--markdown",
        str(tmp_path / "o.md"),
    ]
    assert main([*arguments, *files, "--plots", str(tmp_path / "plots")]) == 0
    rows = json.loads((tmp_path / "a/o.json").read_text())
    assert [row["policy"] for row in rows] == list(POLICY_NAMES)
    assert all(row.keys() >= CONTRACT and row["num_tasks"] == 3 for row in rows)
    with (tmp_path / "o.csv").open() as file:
        assert [row["policy"] for row in csv.DictReader(file)] == list(POLICY_NAMES)
    assert (tmp_path / "o.md").read_text().strip() == markdown_table(rows)
    printed = capsys.readouterr().out
    assert "greedy+flip" in printed
    plots = {path.name for path in (tmp_path / "plots").iterdir()}
    assert plots == {
        "gap_against_delay.png",
        "latency_against_tasks.png",
        "latency_against_uplink.png",
        "profiles.png",
        "schedules.png",
    }


def test_a_table_says_which_networks_are_shipped(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    small_policy(tmp_path / "student.safetensors", make_scenario())
    arguments = ["policies", "--num-instances", "20", "--agents", str(tmp_path), "--json", str(tmp_path / "rows.json")]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    names = [line.split("  ")[1] for line in printed.out.splitlines() if line.startswith("  ")]
    assert "student" in names
    assert {"teacher (shipped)", "student (shipped)", "small-student (shipped)"} < set(names)
    assert f"trained policies: {tmp_path}/" in printed.out
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["shipped"] for row in rows if row["policy"] == "student"] == [True, False]
    # Without a terminal, work that takes long says how far it is.
    for line in (
        "deciding: policy 1 of ",
        "timing: round 10 of 10, ",
        f"summarising: policy {len(rows)} of {len(rows)}, ",
    ):
        assert line in printed.err


def test_the_same_seed_gives_the_same_gaps(tmp_path):
    gaps = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.json"
        main(["policies", "--num-instances", "20", "--num-tasks", "3", "--agents", str(tmp_path), "--json", str(path)])
        gaps.append([row["gap_mean"] for row in json.loads(path.read_text())])
    assert gaps[0] == gaps[1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--num-instances", "0"], "num_instances is 0"),
        (["--num-tasks", "0"], "num_tasks is 0"),
        (["--trace", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_bad_arguments_give_one_sentence(arguments, sentence, capsys):
    assert main(["policies", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert sentence in error
    assert len(error.splitlines()) == 1


def test_a_folder_of_policies_that_is_named_must_be_there(tmp_path, capsys):
    (tmp_path / "file").touch()
    for name, sentence in (("nowhere", "is not there"), ("file", "is not a folder")):
        with pytest.raises(SystemExit, match="2"):
            main(["policies", "--agents", str(tmp_path / name)])
        assert f"argument --agents: {tmp_path / name} {sentence}" in capsys.readouterr().err


def test_a_broken_policy_file_is_named(tmp_path, capsys):
    (tmp_path / "sequential-student.safetensors").write_bytes(b"nothing")
    assert main(["policies", "--num-instances", "5", "--agents", str(tmp_path)]) == 2
    assert "sequential-student.safetensors" in capsys.readouterr().err


def small_policy(path, scenario, objective="makespan", roll_outs=True):
    network = to_runtime(TaskNetwork("joint", scenario.cores, (4,), (4,), roll_outs=roll_outs))
    said = {"scenario": scenario.label, "scenario_fields": described(scenario), "objective": objective}
    save_policy(path, network._replace(**said))


def test_trained_policies_come_in_pipeline_order_and_with_local_search(tmp_path):
    scenario = make_scenario(num_tasks=3)
    for name in ("ppo-joint", "multilabel-student", "sequential-student", "sequential-teacher", "another"):
        small_policy(tmp_path / f"{name}.safetensors", scenario, roll_outs=name != "sequential-student")
    names = [c.name for c in contenders(scenario, "makespan", sample_instances(scenario, 1), [tmp_path])]
    assert names[len(BUILT_IN) :] == [
        *(f"sequential-teacher{behind}" for behind in ("", "+flip", "+swap")),
        *(f"sequential-student{behind}" for behind in ("", "+roll-out", "+flip", "+swap")),
        *(f"multilabel-student{behind}" for behind in ("", "+flip", "+swap")),
        "another",
        "ppo-joint",
    ]


def test_policies_trained_for_something_else_are_left_out(tmp_path, capsys):
    scenario = make_scenario(num_tasks=3)
    small_policy(tmp_path / "other-scenario.safetensors", make_scenario("vision"))
    small_policy(tmp_path / "other-objective.safetensors", scenario, "mean")
    small_policy(tmp_path / "other-edges.safetensors", make_scenario(num_edges=2))
    small_policy(tmp_path / "other-uplink.safetensors", make_scenario(num_tasks=9, uplink_bps=(1e6, 2e6)))
    small_policy(tmp_path / "other-number-of-tasks.safetensors", make_scenario(num_tasks=2, max_tasks=4))
    network = to_runtime(TaskNetwork("joint", scenario.cores, (4,), (4,)))
    save_policy(tmp_path / "older.safetensors", network._replace(scenario="default"))
    names = [c.name for c in contenders(scenario, "makespan", sample_instances(scenario, 1), [tmp_path])]
    assert names == [*BUILT_IN, "other-number-of-tasks"]
    said = capsys.readouterr().out
    for sentence in (
        "left out other-scenario: it was trained for the scenario 'vision', not 'default'",
        "left out other-objective: it was trained for the objective 'mean', not 'makespan'",
        "left out other-edges: it was trained for the num_edges 2, not 1",
        "left out other-uplink: it was trained for the uplink_bps [1000000.0, 2000000.0], not [4000000.0, 80000000.0]",
        "left out older: it was trained for a scenario 'default' whose fields its file does not say",
    ):
        assert sentence in said
    names = [c.name for c in contenders(scenario, "makespan", sample_instances(scenario, 1), [tmp_path], transfer=True)]
    others = ("number-of-tasks", "objective", "scenario", "uplink")
    assert names[len(BUILT_IN) :] == ["older", *(f"other-{what}" for what in others)]


def test_with_uplink_changes_rates_only():
    instances = sample_instances("default", 4, seed=0)
    changed = with_uplink(instances, 7e6)
    np.testing.assert_allclose(changed.uplink_bps[:, 1:], 7e6)
    np.testing.assert_allclose(
        changed.downlink_bps[:, 1:] / 7e6, instances.downlink_bps[:, 1:] / instances.uplink_bps[:, 1:]
    )
    assert (changed.tasks == instances.tasks).all()


def test_a_gap_that_is_not_finite_is_null_in_json(tmp_path):
    write_json(tmp_path / "o.json", [{"policy": "a", "gap_mean": np.inf, "some": [0.5, np.inf]}])
    assert json.loads((tmp_path / "o.json").read_text()) == [{"policy": "a", "gap_mean": None, "some": [0.5, None]}]


def test_with_uplink_keeps_edges_and_the_ratios_between_servers():
    instances = sample_instances({"name": "dag", "further_edge_rate_ratio": (0.5, 0.5)}, 4, seed=0)
    changed = with_uplink(instances, 7e6)
    np.testing.assert_allclose(changed.uplink_bps[:, 1:], [[7e6, 3.5e6, 7e6]] * 4)
    np.testing.assert_array_equal(changed.edge_bits, instances.edge_bits)
    assert np.isinf(changed.uplink_bps[:, 0]).all()


def test_plots_of_dependent_tasks(tmp_path):
    arguments = ["policies", "--scenario", "dag", "--num-tasks", "4", "--num-instances", "5"]
    assert main([*arguments, "--agents", str(tmp_path), "--plots", str(tmp_path / "plots")]) == 0
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert names == {"gap_against_delay.png", "latency_against_uplink.png", "profiles.png", "schedules.png"}


def test_every_application_is_compared_and_drawn(tmp_path, capsys):
    assert main(["applications", "--num-instances", "6", "--plots", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("application_*.png"))) == 11
    said = capsys.readouterr().out
    assert "face_recognition" in said
    assert "6 test instances each" in said
    rows = compare_applications(6, seed=0, folder=None)
    with parallel_config(n_jobs=2):
        assert compare_applications(6, seed=0, folder=None) == rows
    assert all(row["gaps"]["beam-16"] >= -1e-12 for row in rows)
    assert all(sum(row["share"]) == pytest.approx(1) for row in rows)


def test_worse_information_costs_the_expert_something(tmp_path):
    rows = {row["policy"]: row for row in compare_information(200, seed=0, agents_folder=tmp_path)}
    assert rows["exact"]["0.0"] == pytest.approx(0, abs=1e-12)
    assert 0 < rows["exact"]["0.1"] < rows["exact"]["0.3"] < rows["exact"]["1.0"]
    assert rows["exact"]["last"] > 0.01
    assert rows["local"]["0.3"] == pytest.approx(rows["local"]["0.0"])  # it looks at nothing


def test_carry_over_is_played_for_every_policy(capsys):
    with parallel_config(n_jobs=2):
        rows = compare_carry_over(2, seed=0, epochs_s=(2.0, 0.5))
    assert rows[: len(rows) // 2] == compare_carry_over(2, seed=0, epochs_s=(2.0,))
    rows = rows[: len(rows) // 2]
    by_name = {row["policy"]: row for row in rows}
    assert by_name["exact (myopic)"]["over_myopic"] == 0
    assert by_name["greedy"]["over_myopic"] > 0
    assert by_name["look-ahead"]["weight"] in WEIGHTS
    assert by_name["exact (myopic)"]["latency_mean_s"] >= by_name["exact (myopic)"]["without_carry_over_s"]
    assert main(["carry-over", "--num-episodes", "0"]) == 2
    assert "num_episodes is 0; it must be a whole number, at least 1" in capsys.readouterr().err


def test_padding_is_no_label():
    # GIVEN one instance of one task and one of two
    present = np.array([[True, False], [True, True]])
    expert, ours = np.array([[1, 0], [0, 2]]), np.array([[1, 2], [0, 1]])
    values_s = np.array([1.0, 1.0])
    row = summarise(
        measurement(decisions=ours, expert_decisions=expert, present=present, latency_s=values_s, optimum_s=values_s),
        make_scenario(num_tasks=1, max_tasks=2),
        "makespan",
    )
    assert row["label_accuracy"] == pytest.approx(2 / 3)
    assert row["exact_match"] == 0.5
    assert row["num_tasks"] == 2


def test_policies_trained_with_other_information_are_left_out(tmp_path, capsys):
    scenario = make_scenario(num_tasks=3)
    network = to_runtime(TaskNetwork("sequential", scenario.cores, (4,), (4,)))
    said = {"scenario": "default", "scenario_fields": described(scenario), "observation_noise": "last"}
    save_policy(tmp_path / "a.safetensors", network._replace(**said))
    instances = sample_instances(scenario, 1)
    for noise, listed in ((0.0, False), ("last", True), (None, True)):
        names = [c.name for c in contenders(scenario, "makespan", instances, [tmp_path], observation_noise=noise)]
        assert ("a" in names) == listed
    assert "it was trained for the observation_noise 'last', not 0.0" in capsys.readouterr().out


def test_a_scenario_from_a_file_is_trained_for_and_compared(tmp_path, capsys):
    # GIVEN an application of one's own, and fields of a scenario
    save_application(tmp_path / "own.json", random_application(3, seed=1))
    (tmp_path / "fields.json").write_text(json.dumps({"name": "vision", "num_tasks": 2}))
    own = ["--scenario", str(tmp_path / "own.json")]
    training = ["--num-labels", "30", "--teacher-passes", "1", "--only", "sequential-teacher"]
    # WHEN a teacher is trained for it THEN the comparison on it lists the teacher, and others leave it out
    assert train([*own, *training, "--output", str(tmp_path / "agents")]) == 0
    compare = ["policies", "--num-instances", "5", "--agents", str(tmp_path / "agents")]
    assert main([*compare, *own, "--json", str(tmp_path / "a.json")]) == 0
    rows = json.loads((tmp_path / "a.json").read_text())
    assert "sequential-teacher" in {row["policy"] for row in rows}
    assert rows[0]["scenario"] == "default, random"
    assert rows[0]["num_tasks"] == 3
    assert main([*compare, "--scenario", str(tmp_path / "fields.json")]) == 0
    assert "left out sequential-teacher: it was trained for the scenario 'default, random'" in capsys.readouterr().out
    for text, sentence in (
        ("[1]", "is [1]; it must be an application (name, tasks, edges) or a scenario"),
        ("{", "is not JSON"),
        (None, "cannot be read"),
    ):
        path = tmp_path / "bad.json"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        assert main([*compare, "--scenario", str(path)]) == 2
        assert sentence in capsys.readouterr().err
    assert main([*compare, "--scenario", "nowhere"]) == 2
    assert "scenario is 'nowhere'; the presets are default" in capsys.readouterr().err


def test_without_proof_the_table_has_no_exact_row(tmp_path, capsys):
    arguments = ["policies", "--num-tasks", "12", "--num-instances", "6", "--agents", str(tmp_path)]
    assert main([*arguments, "--max-nodes", "50", "--json", str(tmp_path / "a.json")]) == 0
    assert "left out exact: " in capsys.readouterr().out
    rows = json.loads((tmp_path / "a.json").read_text())
    assert "exact" not in {row["policy"] for row in rows}
    assert "greedy" in {row["policy"] for row in rows}


def test_fronts_are_drawn_side_by_side(tmp_path):
    rows = [{"policy": name, "decide_us_p50": us, "gap_mean": gap} for name, us, gap in (("a", 2, 0.1), ("b", 3, 0.0))]
    fronts(tmp_path / "fronts.png", {"n = 8": rows, "n = 12": rows[:1]})
    assert (tmp_path / "fronts.png").read_bytes().startswith(b"\x89PNG")


def test_learning_curves_are_drawn(tmp_path):
    learning_curves(tmp_path / "curves.png", {"dqn-sequential": [(1.5, 0.1), (3.0, 0.05)]}, {"greedy": 0.11})
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_every_form_of_a_network_is_timed(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    from benchmarks import deployment

    monkeypatch.setattr(deployment, "CALLS", 20)
    monkeypatch.setattr(deployment, "BATCH", 64)
    shutil.copy(
        policies.WEIGHTS / "default-small-student.safetensors", tmp_path / "sequential-small-student.safetensors"
    )
    rows = deployment.measure_deployment(tmp_path, seed=0, num_instances=20)
    forms = [row["form"].split(",")[0] for row in rows]
    compiled = ["C"] if shutil.which("gcc") or shutil.which("cc") else []
    assert forms == ["compiled", "compiled", *compiled, "torch eager", "onnxruntime", "stable-baselines3"]
    assert all(0 < row["us_p50"] <= row["us_p99"] for row in rows)


def test_the_decision_delay_counts():
    scenario = make_scenario(num_tasks=2)
    one = Measurement(
        "a", 0, np.zeros((1, 2), int), np.array([1.0]), np.array([1.0]), np.zeros((1, 2), int), np.ones((1, 2), bool),
        np.array([1000.0]), 1.0,
    )  # fmt: skip
    row = summarise(one, scenario, "makespan")
    assert row["gap_with_delay"] == pytest.approx(1e-3)
    assert row["gap_with_delay_on_slow_device"] == pytest.approx(20e-3)


def trained_from(folder, seed, **changes):
    """A folder of networks, one of which stands for what a training from a seed made, and says from which."""
    folder.mkdir()
    shipped = policies.WEIGHTS / f"default-{('student', 'small-student', 'teacher')[seed % 3]}.safetensors"
    for name in ("sequential-student", "another"):
        shutil.copy(shipped, folder / f"{name}.safetensors")
    settings = {"scenario": {"num_tasks": 8}, "seed": seed, "student_passes": 2} | changes
    (folder / "settings.json").write_text(json.dumps(settings))
    return folder


def rows_of(tmp_path, folders, *further):
    path = tmp_path / "rows.json"
    arguments = ["--num-instances", "40", "--json", str(path), *further]
    assert main(["policies", *arguments, "--agents", *map(str, folders)]) == 0
    return {(row["policy"], row["shipped"]): row for row in json.loads(path.read_text())}


def test_folders_of_several_seeds_are_one_row_a_policy(tmp_path, capsys):
    folders = [trained_from(tmp_path / f"seed-{seed}", seed) for seed in (1, 2, 3)]
    (folders[2] / "another.safetensors").unlink()
    together = rows_of(tmp_path, folders, "--plots", str(tmp_path / "plots"))
    printed = capsys.readouterr().out
    assert f"left out another: it is not in {folders[2]}" in printed
    assert "of seeds %" in printed
    assert all(str(folder) in printed for folder in folders)
    alone = [rows_of(tmp_path, [folder]) for folder in folders]
    assert "of seeds %" not in capsys.readouterr().out
    for name in ("sequential-student", "sequential-student+swap"):
        row, means = together[name, False], [rows[name, False]["gap_mean"] for rows in alone]
        assert row["num_seeds"] == 3
        assert row["num_instances"] == 40
        assert row["gap_mean"] == pytest.approx(np.mean(means))
        assert (row["gap_least_seed"], row["gap_most_seed"]) == pytest.approx((min(means), max(means)))
        assert row["gap_mean_low"] <= row["gap_mean"] <= row["gap_mean_high"]
        assert row["profile"] == pytest.approx(np.mean([rows[name, False]["profile"] for rows in alone], axis=0))
        differences = [rows[name, False]["difference"] for rows in alone]
        assert row["difference"] == pytest.approx(np.mean(differences))
    plain = together["sequential-student", False]
    assert plain["gap_least_seed"] < plain["gap_mean"] < plain["gap_most_seed"]
    for policy in ("greedy", "student", "exact"):  # what needs no folder is what it was
        built_in = (policy, policy == "student")
        for field in ("num_seeds", "gap_mean", "gap_mean_low", "gap_mean_high", "gap_iqm", "difference"):
            assert together[built_in][field] == alone[0][built_in][field], field


def test_differences_are_against_a_policy_that_is_named(tmp_path, capsys):
    folders = [trained_from(tmp_path / f"seed-{seed}", seed) for seed in (1, 2)]
    rows = rows_of(tmp_path, folders, "--against", "sequential-student")
    own = rows["sequential-student", False]
    assert (own["difference"], own["difference_low"], own["difference_high"]) == (0.0, 0.0, 0.0)
    greedy = rows["greedy", False]
    assert greedy["difference"] == pytest.approx(greedy["gap_mean"] - own["gap_mean"])
    assert greedy["difference_low"] <= greedy["difference"] <= greedy["difference_high"]
    assert "against sequential-student [95 % CI]" in capsys.readouterr().out
    for given in ("student (shipped)", "student"):
        rows = rows_of(tmp_path, folders, "--against", given)
        assert rows["student", True]["difference"] == 0.0
        assert "against student (shipped) [95 % CI]" in capsys.readouterr().out
    assert main(["policies", "--num-tasks", "3", "--num-instances", "5", "--against", "nobody"]) == 2
    assert "against is 'nobody'; it must be one of local, " in capsys.readouterr().err


def test_of_two_policies_of_one_name_the_marked_one_is_that_of_the_package():
    listed = [Contender("student", make_policy("greedy"), 1, shipped) for shipped in (True, False)]
    assert compared_against("student", listed) == ("student", False)
    assert compared_against("student (shipped)", listed) == compared_against("student", listed[:1]) == ("student", True)


def test_folders_that_differ_in_more_than_the_seed_are_refused(tmp_path, capsys):
    first, longer = trained_from(tmp_path / "a", 1), trained_from(tmp_path / "b", 2, student_passes=3)
    again, silent = trained_from(tmp_path / "c", 1), trained_from(tmp_path / "d", 3)
    other = trained_from(tmp_path / "e", 4, scenario={"num_tasks": 4})
    (silent / "settings.json").unlink()
    for folder, sentence in (
        (
            longer,
            f"student_passes is 3 in {longer}, but 2 in {first}; folders that are compared as training seeds must",
        ),
        (other, f"scenario.num_tasks is 4 in {other}, but 8 in {first}; "),
        (again, f"{first} and {again} were both trained with the seed 1"),
        (silent, f"{silent} has no settings.json, which says how and from which seed it was trained"),
    ):
        for command in ("policies", "streams"):
            assert main([command, "--agents", str(first), str(folder)]) == 2
            (error,) = capsys.readouterr().err.splitlines()
            assert error.startswith(f"error: {sentence}")
