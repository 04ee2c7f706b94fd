"""``python -m benchmarks streams``: capacity, intervals, rows, sweeps and pictures."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.statistics import TAUS, ratio_interval
from benchmarks.streams import capacity as capacity_module
from benchmarks.streams.analysis import fairness, share_of_gain
from benchmarks.streams.capacity import capacity
from benchmarks.streams.comparing import Asked, compare_streams, points_of
from benchmarks.streams.contenders import contenders
from benchmarks.streams.plots import response_against_load
from benchmarks.streams.timing import _call_of, _play, decide_us
from offload_gym import make_scenario
from offload_gym.policies import WEIGHTS
from offload_gym.streams.playing import play
from offload_gym.streams.policies import make_stream_policy
from offload_gym.streams.sampling import sample_streams
from offload_gym.streams.streams import Streams

CONTRACT = {
    "policy", "scenario", "arrivals_per_s", "num_devices", "report_s", "objective", "response_mean_s",
    "response_p95_s", "late_share", "change", "change_low", "change_high", "hindsight_share", "decide_us_p50",
    "num_parameters",
}  # fmt: skip
SMALL = make_scenario("stream", num_jobs=20)


def equal_jobs(num_jobs, num_devices=1, edges=(), tasks=1, **changes):
    """A stream of jobs whose tasks each send 1 bit and run 1 cycle, on servers of 1 cycle/s, too."""
    ones = np.ones((1, num_jobs, tasks))
    fields = {
        "arrival_s": np.zeros((1, num_jobs)), "device": [np.arange(num_jobs) % num_devices],
        "input_bits": ones * (np.arange(tasks) == 0), "output_bits": ones * (np.arange(tasks) == tasks - 1),
        "workload_cycles": ones, "device_hz": np.ones((1, num_devices)), "cpu_hz": [[1.0, 9.0]], "cores": [[2, 9]],
        "wired_bps": np.ones((1, 2)), "propagation_s": np.zeros((1, 2)),
        "uplink_bps": np.ones((1, num_devices, 1)), "downlink_bps": np.ones((1, num_devices, 1)),
        "edges": edges, "edge_bits": np.ones((1, num_jobs, len(edges))) if edges else None,
    } | changes  # fmt: skip
    return Streams(**fields)


def capacity_of(monkeypatch, streams):
    monkeypatch.setattr(capacity_module, "sample_streams", lambda *_: streams)
    return capacity(SMALL, num_streams=len(streams))


def test_capacity_by_hand(monkeypatch):
    # The device runs 1 job a second and the radio sends 1, for which servers have room: 2 jobs/s.
    assert capacity_of(monkeypatch, equal_jobs(6)) == pytest.approx(2.0)
    # Without servers that run any: 1 and what one core of 0.5 cycles/s takes.
    slow = {"cpu_hz": [[0.25, 1e-9]], "cores": [[2, 1]]}
    assert capacity_of(monkeypatch, equal_jobs(6, **slow)) == pytest.approx(1.5, rel=1e-6)
    # Two devices run 2 and share the spectrum: 3 jobs/s of both.
    assert capacity_of(monkeypatch, equal_jobs(6, 2)) == pytest.approx(1.5)
    # The mean rate counts: 0.5 and 1.5 bit/s; and the mean of two streams.
    changing = equal_jobs(6, uplink_bps=[[[0.5, 1.5]]], downlink_bps=[[[1.0, 1.0]]])
    assert capacity_of(monkeypatch, changing) == pytest.approx(2.0)


def test_capacity_of_each_site_by_hand(monkeypatch):
    # Two devices at two sites: each has the spectrum of its own, so that each sends 1 job a second and runs 1.
    apart = equal_jobs(6, 2, site=[[[0], [1]]])
    assert capacity_of(monkeypatch, apart) == pytest.approx(2.0)
    # One device is half of the time at either: a bit takes half a second of both, and 2 jobs/s are sent, 1 is run.
    rates = {name: np.ones((1, 1, 2)) for name in ("uplink_bps", "downlink_bps")}
    moving = equal_jobs(6, **rates, site=[[[0, 1]]], cpu_hz=[[1.0, 9.0]])
    assert capacity_of(monkeypatch, moving) == pytest.approx(3.0)
    # In four of five slots it is at the first one, in three of them with 2 bit/s and in one without: 6/4 bit/s there.
    # At the other it has no rate, so all is sent at the first one.
    rates = {"uplink_bps": [[[2.0, 2.0, 0.0, 0.0, 2.0]]], "downlink_bps": np.ones((1, 1, 5))}
    away = equal_jobs(6, **rates, site=[[[0, 0, 0, 1, 0]]])
    assert capacity_of(monkeypatch, away) == pytest.approx(1.0 + 6.0 / 4.0)


def test_capacity_of_jobs_that_are_cut(monkeypatch):
    # A chain of two tasks of 1 cycle, between them 1 bit, as much as the input. The radio takes 1 job/s, the device
    # 0.5; a job that is cut would need as much of the radio, and of the device besides.
    chain = {"edges": ((0, 1),), "tasks": 2}
    assert capacity_of(monkeypatch, equal_jobs(6, **chain)) == pytest.approx(1.5)
    # No bits between them: the device runs the first tasks of 1 job/s and the servers the second ones, and 1 is sent.
    free = equal_jobs(6, **chain, edge_bits=np.zeros((1, 6, 1)))
    assert capacity_of(monkeypatch, free) == pytest.approx(2.0)


def test_interval_of_a_ratio():
    reference = np.array([1.0, 2.0, 3.0, 10.0])
    assert ratio_interval(0.9 * reference, reference) == pytest.approx((-0.1, -0.1))  # paired
    costs = reference + np.array([0.5, -0.5, 0.5, -1.0])
    low, high = ratio_interval(costs, reference)
    assert low < costs.sum() / reference.sum() - 1.0 < high
    # Draws with replacement, one by one.
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 4, (20_000, 4))
    slow = np.quantile(costs[rows].sum(axis=1) / reference[rows].sum(axis=1) - 1.0, [0.025, 0.975])
    np.testing.assert_allclose((low, high), slow, atol=0.03)


def test_share_of_gain():
    greedy, best = np.array([4.0, 6.0, 100.0]), np.array([3.0, 3.0])
    assert share_of_gain(np.array([4.0, 4.0, 0.0]), greedy, best) == 0.5  # 2 of 4, on the first two streams
    assert share_of_gain(np.array([4.0]), greedy, best) is None
    assert share_of_gain(greedy, greedy, None) is None
    assert share_of_gain(greedy, greedy, greedy[:2]) is None


@pytest.mark.parametrize("name", ["greedy", "queue-price", "late-price", "exact"])
def test_what_is_timed_decides_as_play_does(name):
    scenario = make_scenario("stream_deadlines", num_jobs=40, arrivals_per_s=12.0)
    stream, decided = sample_streams(scenario, 1, 5), []
    policy = make_stream_policy(name, scenario, "late")
    call = _call_of(policy, stream)

    def noted(systems, j, batch, decision):
        taken = call(systems, j, batch, decision)
        decided.append(decision.copy())
        return taken

    times_us = _play(noted, stream)
    if name == "exact":
        policy.drop_factor = math.inf  # what is timed is the decision of the moment alone
    np.testing.assert_array_equal(np.array(decided), play(stream, policy).decisions[0])
    assert (times_us > 0).all()
    assert decide_us(policy, stream) < 1e4


def test_rows_say_what_the_contract_says(tmp_path, capsys):
    path = tmp_path / "rows.json"
    command = ["streams", "--seed", "3", "--num-streams", "6", "--num-planned", "1", "--num-hindsight", "2"]
    command += ["--num-jobs", "20", "--json", str(path), "--plots", str(tmp_path / "plots")]
    assert main([*command, "--policies", "local", "queue-price", "planner", "exact"]) == 0
    rows = {row["policy"]: row for row in json.loads(path.read_text())}
    assert list(rows) == ["local", "greedy", "queue-price", "exact", "planner"]
    for row in rows.values():
        assert row.keys() >= CONTRACT
        assert row["change_low"] <= row["change"] <= row["change_high"]
        assert row["num_streams"] == (1 if row["policy"] == "planner" else 6)
        assert row["decide_us_p50"] > 0
        assert row["energy_mean_j"] > 0
    assert rows["greedy"]["change"] == rows["exact"]["change"] == 0.0  # jobs of one task
    assert rows["greedy"]["hindsight_share"] == 0.0
    assert rows["planner"]["hindsight_share"] is None
    # Of the bound's gain, which is the larger one, everything is a smaller share.
    assert abs(rows["queue-price"]["bound_share"]) <= abs(rows["queue-price"]["hindsight_share"])
    assert rows["local"]["change"] > 1.0
    streams = sample_streams(make_scenario("stream", num_jobs=20), 6, np.random.SeedSequence(3, spawn_key=(0,)))
    greedy = play(streams, make_stream_policy("greedy")).response_s
    assert rows["greedy"]["response_mean_s"] == pytest.approx(greedy.mean())
    assert rows["greedy"]["response_p99_s"] == pytest.approx(np.quantile(greedy, 0.99))
    names = {file.name for file in (tmp_path / "plots").iterdir()}
    assert names == {"change_against_delay-stream-6.png", "profiles-stream-6.png", "queue_lengths-stream-6.png"}
    assert "queue-price" in capsys.readouterr().out


def test_late_shares_are_what_counts_with_deadlines():
    scenario = make_scenario("stream_deadlines", num_jobs=40, arrivals_per_s=12.0)
    asked = Asked("late", ("greedy", "late-price"), num_streams=8, num_hindsight=2)
    greedy, priced = compare_streams([scenario], asked)
    assert priced["change"] == pytest.approx(priced["late_share"] / greedy["late_share"] - 1.0)
    assert priced["dropped_share"] > 0.0
    assert priced["bound_share"] is None
    assert priced["response_mean_s"] < 10.0  # of those that were not dropped


def test_lost_jobs_have_a_column_of_their_own(capsys):
    failing = {"failure_share": 0.3, "failure_s": 1.0, "failure_tasks": "lost"}
    scenario, policies = make_scenario("stream", num_jobs=40, **failing), ("greedy", "local", "planner")
    rows = compare_streams([scenario], Asked("late", policies, num_streams=4, num_planned=2, num_hindsight=2))
    greedy, local = (next(row for row in rows if row["policy"] == name) for name in ("greedy", "local"))
    # Without deadlines those that are lost are late.
    assert greedy["late_share"] == greedy["lost_share"] > local["lost_share"] == 0.0
    assert (greedy["dropped_share"], local["change"], local["hindsight_share"]) == (0.0, -1.0, 1.0)
    assert " lost % " in capsys.readouterr().out
    with pytest.raises(ValueError, match="objective is 'response', and a job that is lost has no response"):
        compare_streams([scenario], Asked(policies=("greedy",), num_streams=1))
    compare_streams([SMALL], Asked(policies=("greedy",), num_streams=1, num_hindsight=0))
    assert "lost %" not in capsys.readouterr().out


def test_a_sweep_over_load(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.streams.comparing.LOADS", (0.5, 1.0))
    asked = Asked(policies=("greedy", "price"), num_streams=3, num_hindsight=0)
    rows = compare_streams([SMALL], asked, "load", None, str(tmp_path))
    most = capacity(SMALL)
    assert [row["arrivals_per_s"] for row in rows] == pytest.approx([0.5 * most, 0.5 * most, most, most])
    assert [row["at"] for row in rows] == ["0.5", "0.5", "1", "1"]
    assert (tmp_path / "response_against_load-stream.png").exists()
    assert "capacity of stream" in capsys.readouterr().out


def test_who_played_fewer_streams_has_no_line(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("benchmarks.streams.plots._save", lambda figure, _: drawn.append(figure))
    rows = [
        {"policy": name, "num_streams": count, "load": 0.5, "objective": "response", "scenario": "stream",
         "response_mean_s": 1.0}
        for name, count in (("greedy", 3), ("planner", 1))
    ]  # fmt: skip
    response_against_load(tmp_path / "load.png", rows)
    assert [line.get_label() for line in drawn[0].axes[0].get_lines()] == ["greedy"]


def test_points_of_the_other_sweeps(tmp_path):
    points = points_of("burst", SMALL, 0)
    assert [scenario.burst_ratio for _, scenario, _ in points] == [1.0, 2.0, 5.0, 10.0, 20.0]
    trace = tmp_path / "trace.csv"
    trace.write_text("mbps\n5\n9\n7\n")
    recorded = make_scenario("stream", radio="trace", trace_path=str(trace))
    points = points_of("radio", recorded, 0)
    assert [at for at, _, _ in points] == ["recorded", "corr. 0", "corr. 0.5", "corr. 0.735", "corr. 0.95", "constant"]
    assert points[0][1] == recorded
    assert points[-1][1].radio == "constant"


def test_fairness_by_hand():
    """Means of 1 and 3 s: Jain's index is 2^2 / ((1 + 9) / 2), and the worst has 1.5 times the mean.

    A job that was dropped does not count, nor does a device without jobs (number 1).
    """
    response_s = np.array([[1.0, 1.0, 2.0, 4.0], [2.0, 5.0, 2.0, math.inf]])
    device = np.array([[0, 0, 2, 2], [0, 2, 0, 0]])
    jain, worst = fairness(response_s[:1], device[:1])
    assert (jain, worst) == (pytest.approx(0.8), pytest.approx(1.5))
    jain, worst = fairness(response_s, device)
    assert jain == pytest.approx((0.8 + 3.5**2 / ((4 + 25) / 2)) / 2)
    assert worst == pytest.approx((1.5 + 5 / 3.5) / 2)


def test_a_sweep_over_devices_and_one_over_reports(monkeypatch):
    monkeypatch.setattr("benchmarks.streams.comparing.NUM_DEVICES", (1, 3))
    monkeypatch.setattr("benchmarks.streams.comparing.FEWEST_STREAMS", 2)
    cell = make_scenario("stream_cell", num_devices=2, num_jobs=10)
    asked = Asked(policies=("two-choices",), num_streams=3, num_hindsight=0)
    rows = compare_streams([cell], asked, "devices")
    assert [(row["num_devices"], row["num_jobs"], row["num_streams"]) for row in rows[::2]] == [(1, 5, 3), (3, 15, 2)]
    for row in rows:
        few = replace(cell, num_devices=row["num_devices"], num_jobs=60 * row["num_devices"])
        assert row["arrivals_per_s"] == pytest.approx(0.8 * capacity(few), abs=0.006)
        assert (row["jain_mean"] is None) == (row["num_devices"] == 1)
    monkeypatch.setattr("benchmarks.streams.comparing.REPORTS_S", (0.0, 0.5))
    rows = compare_streams([cell], asked, "report")
    assert [(row["at"], row["report_s"]) for row in rows[::2]] == [("0 s", 0.0), ("0.5 s", 0.5)]


def test_a_sweep_says_who_played_fewer_streams(monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.streams.comparing.CORRELATIONS", (0.5,))
    asked = Asked(policies=("price", "planner"), num_streams=3, num_planned=1, num_hindsight=0)
    compare_streams([make_scenario("stream", num_jobs=5)], asked, "radio")
    out = " ".join(capsys.readouterr().out.split())
    assert "3 streams at each point. The first line is greedy's mean response in seconds." in out
    assert "planner: the first 1 alone, against greedy on these." in out
    rows = compare_streams([make_scenario("stream", num_jobs=5)], asked._replace(num_planned=0))
    assert {row["policy"] for row in rows} == {"greedy", "price"}


def test_recorded_arrivals(tmp_path):
    path = tmp_path / "arrivals.csv"
    path.write_text("arrival_s\n" + "\n".join(map(str, np.cumsum([0.1, 0.3] * 20))))
    command = ["streams", "--num-streams", "2", "--num-hindsight", "0", "--policies", "greedy", "--num-jobs", "20"]
    assert main([*command, "--arrivals", str(path), "--json", str(tmp_path / "rows.json")]) == 0
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert row["hindsight_share"] is None
    assert row["arrivals_per_s"] == pytest.approx(39 / 7.9)  # 39 gaps, 20 of 0.3 s and 19 of 0.1 s


def test_networks_that_are_not_there_are_left_out(tmp_path, capsys):
    assert contenders(SMALL, "response", ("price",), [tmp_path])[1] == [f"no trained policies in {tmp_path}"]
    (tmp_path / "broken.safetensors").write_text("no network")
    listed, left_out = contenders(SMALL, "response", ("price",), [tmp_path])
    assert [one.name for one in listed] == ["greedy", "price"]
    assert [line.split(":")[0] for line in left_out] == ["left out broken.safetensors"]
    # Once, in however many scenarios.
    compare_streams([SMALL, SMALL], Asked(policies=("greedy",), folders=[tmp_path], num_streams=1, num_hindsight=0))
    assert capsys.readouterr().out.count("left out broken.safetensors") == 1
    with pytest.raises(ValueError, match="policy is 'nobody'"):
        contenders(SMALL, "response", ("nobody",))


def test_bad_numbers_are_refused(tmp_path, capsys):
    for given in (["--num-streams", "0"], ["--num-planned", "-1"], ["--num-hindsight", "-1"], ["--seed", "-1"]):
        assert main(["streams", *given]) == 2
    lines = capsys.readouterr().err.splitlines()
    names = ["num_streams", "num_planned", "num_hindsight", "seed"]
    assert [line.split(" is ")[0] for line in lines] == [f"error: {name}" for name in names]


def test_what_cannot_be_compared_or_written_is_said_before_anything_is_played(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.streams.comparing.play", lambda *_: pytest.fail("played"))
    file = tmp_path / "arrivals.csv"
    file.write_text("arrival_s\n0\n1\n")
    for given, said in (
        (["--json", str(tmp_path)], f"json_path is {tmp_path}, a folder; it must be a file"),
        (["--json", f"{file}/rows.json"], f"json_path is {file}, but {file} takes no files: Not a directory"),
        (["--plots", f"{file}/new/plots"], f"plots is {file}/new/plots, but {file} takes no files: Not a directory"),
        (["--objective", "late"], "objective is 'late', but the jobs of stream have no deadlines"),
        (["--sweep", "load", "--arrivals-per-s", "6"], "--arrivals-per-s is given; --sweep load chooses it itself"),
        (["--sweep", "devices", "--num-devices", "3"], "--num-devices is given; --sweep devices chooses it itself"),
        (["--sweep", "report", "--report-s", "3"], "--report-s is given; --sweep report chooses it itself"),
        (["--sweep", "radio", "--scenario", "stream_mobile"], "sweep is 'radio', which needs devices that do not move"),
        (["--sweep", "burst", "--arrivals", str(file)], "sweep is 'burst', which needs arrivals at random"),
    ):
        assert main(["streams", "--num-streams", "2", *given]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {said}")


def test_no_late_job_under_greedy(tmp_path, capsys):
    # At 0.1 jobs/s nobody waits, so that no change over greedy can be said and there is nothing to draw.
    scenario = make_scenario("stream_deadlines", num_jobs=10, arrivals_per_s=0.1)
    rows = compare_streams(
        [scenario], Asked("late", ("greedy",), num_streams=2, num_hindsight=0), plots=str(tmp_path / "plots")
    )
    assert (rows[0]["late_share"], rows[0]["change"]) == (0.0, None)
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert names == {"profiles-stream_deadlines-0.1.png", "queue_lengths-stream_deadlines-0.1.png"}
    assert rows[0]["profile"] == [1.0] * len(TAUS)  # nobody is better
    assert capsys.readouterr().err == ""


def test_tables_are_whole_on_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    asked = Asked(policies=("local", "queue-price"), num_streams=2, num_hindsight=1)
    compare_streams([make_scenario("stream", num_jobs=100, arrivals_per_s=1000.0)], asked)
    out = capsys.readouterr().out
    assert "parameters" in out
    assert "…" not in out


def test_folders_of_several_seeds_are_one_row_a_policy(tmp_path, capsys):
    # GIVEN two networks that stand for two seeds of one training
    folders = [tmp_path / name for name in ("a", "b")]
    for seed, (folder, name) in enumerate(zip(folders, ("student", "small-student"), strict=True)):
        folder.mkdir()
        shutil.copy(WEIGHTS / f"stream-{name}.safetensors", folder / "network.safetensors")
        (folder / "settings.json").write_text(json.dumps({"seed": seed}))
    asked = Asked(policies=("greedy", "student", "small-student"), num_streams=8, num_hindsight=2)
    # WHEN they are compared together and as what they are
    rows = {(row["policy"], row["shipped"]): row for row in compare_streams([SMALL], asked._replace(folders=folders))}
    assert "of seeds %" in capsys.readouterr().out
    # THEN they are one row, of their means
    row, own = rows["network", False], [rows[name, True] for name in ("student", "small-student")]
    changes = [one["change"] for one in own]
    assert (row["num_seeds"], row["num_streams"]) == (2, 8)
    assert row["change"] == pytest.approx(np.mean(changes))
    assert (row["change_least_seed"], row["change_most_seed"]) == pytest.approx((min(changes), max(changes)))
    for field in ("response_mean_s", "energy_mean_j", "hindsight_share", "profile"):
        np.testing.assert_allclose(row[field], np.mean([one[field] for one in own], axis=0))
    # The interval holds those of both, as two seeds say little.
    assert row["change_low"] < min(one["change_low"] for one in own)
    assert row["change_high"] > max(one["change_high"] for one in own)
    best = np.max([one["profile"] for one in rows.values()], axis=0)
    assert (np.diff(best) >= 0).all()
    assert best[-1] == 1.0
