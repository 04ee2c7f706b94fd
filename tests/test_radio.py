import json
import os
from pathlib import Path

import numpy as np
import pytest

from offload_gym import make_scenario, sample_instances, solve
from offload_gym.command_line import main
from offload_gym.envs.joint import JointEnv
from offload_gym.radio.epochs import Recording
from offload_gym.scenario import described, difference

RECORDED = Path(__file__).parents[2] / "shared/data/lte_nyc"
RECORDED_WITH_OUTAGES = ("bus57", "bus62-2", "long-island-rail-road")


def write_trace(folder: Path, mbps, header: str = "mbps") -> Path:
    path = folder / "trace.csv"
    path.write_text("\n".join([header, *map(str, mbps)]) + "\n")
    return path


def seconds(path, **options):
    """What epochs see: uplink, seconds until it holds, downlink."""
    return Recording(str(path), **options).seconds()


def test_rates_in_bits_a_second(tmp_path):
    path = write_trace(tmp_path, [1, 2.5, 0.01])
    np.testing.assert_array_equal(seconds(path), [[1e6, 0, 0], [2.5e6, 0, 0], [0.01 * 1e6, 0, 0]])


@pytest.mark.parametrize(
    ("mbps", "rates", "waits_s"),
    [
        ([4, 0, 0, 7], [4, 7, 7, 7], [0, 2, 1, 0]),  # outage in the middle
        ([4, 5, 0, 0], [4, 5, 4, 4], [0, 0, 2, 1]),  # at the end: the trace begins again
        ([0, 0, 6, 3], [6, 6, 6, 3], [2, 1, 0, 0]),  # at the beginning
        ([0, 8, 0, 0], [8, 8, 8, 8], [1, 0, 3, 2]),  # across the end
        ([0, 5, 0, 9, 0], [5, 5, 9, 9, 5], [1, 0, 1, 0, 2]),
    ],
)
def test_outage_waits_for_the_next_rate(tmp_path, mbps, rates, waits_s):
    trace = seconds(write_trace(tmp_path, mbps))
    np.testing.assert_allclose(trace[:, 0], np.array(rates) * 1e6)
    np.testing.assert_array_equal(trace[:, 1], waits_s)


def test_an_outage_of_either_link_waits_until_both_have_a_rate(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("up_mbps,down_mbps\n1,10\n0,20\n3,0\n4,40\n5,0\n")
    # Seconds 1, 2 and 4 lack one of both: 1 and 2 wait for second 3, 4 for second 0 of the next round.
    expected = [[1, 0, 10], [4, 2, 40], [4, 1, 40], [4, 0, 40], [1, 1, 10]]
    np.testing.assert_array_equal(seconds(path, downlink_trace_path=str(path)), np.array(expected) * [1e6, 1.0, 1e6])


@pytest.mark.parametrize(
    ("down", "expected"),
    [([7, 8], [7, 8, 7, 8, 7]), ([7, 8, 9, 1, 2, 3, 4], [7, 8, 9, 1, 2])],
    ids=["shorter", "longer"],
)
def test_a_downlink_repeats_or_is_cut_to_the_length_of_the_uplink(tmp_path, down, expected):
    (tmp_path / "down").mkdir()
    path = write_trace(tmp_path / "down", down)
    trace = seconds(write_trace(tmp_path, [1, 2, 3, 4, 5]), downlink_trace_path=str(path))
    np.testing.assert_array_equal(trace[:, 2], np.array(expected) * 1e6)


def test_no_second_with_a_rate(tmp_path):
    with pytest.raises(ValueError, match=r"trace\.csv has no second with a rate above 0; it needs one"):
        seconds(write_trace(tmp_path, [0, 0.0]))
    path = tmp_path / "trace.csv"
    path.write_text("up_mbps,down_mbps\n1,0\n0,1\n")
    with pytest.raises(ValueError, match=r"no second with a rate above 0 in which .*trace\.csv has one, too"):
        seconds(path, downlink_trace_path=str(path))


def test_a_changed_file_is_read_again(tmp_path):
    path = write_trace(tmp_path, [1, 2])
    assert seconds(path) is seconds(path)
    write_trace(tmp_path, [3])
    os.utime(path, ns=(1, 1))
    assert seconds(path).tolist() == [[3e6, 0.0, 0.0]]


LOG = "Timestamp,DL_bitrate,UL_bitrate\n2020.01.01_10.00.00,40000,4000\n2020.01.01_10.00.01,60000,5000\n"


def test_instances_have_the_recorded_downlink(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    changes = {"radio": "trace", "trace_path": str(path), "num_edges": 2, "further_edge_rate_ratio": (0.5, 0.5)}
    by_ratio = sample_instances(make_scenario(**changes, downlink_ratio=(2, 2)), 50, seed=1)
    instances = sample_instances(make_scenario(**changes, downlink_trace_path=str(path)), 50, seed=1)
    # THEN the downlink is that of the uplink's second, times the ratio of the place: the second edge server has 0.5
    assert {(5e6, 60e6), (4e6, 40e6)} == set(zip(instances.uplink_bps[:, 1], instances.downlink_bps[:, 1], strict=True))
    np.testing.assert_array_equal(instances.downlink_bps[:, 2], 0.5 * instances.downlink_bps[:, 1])
    np.testing.assert_array_equal(instances.downlink_bps[:, 3], instances.downlink_bps[:, 1])
    # and nothing else changes
    assert (by_ratio.downlink_bps[:, 1] == 2 * by_ratio.uplink_bps[:, 1]).all()
    np.testing.assert_equal(instances.replace(downlink_bps=by_ratio.downlink_bps).batch, by_ratio.batch)


def test_epochs_of_an_environment_follow_both_links(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    scenario = make_scenario(radio="trace", trace_path=path, downlink_trace_path=path)
    env = JointEnv(scenario)
    env.reset(seed=1)
    seen = []
    for _ in range(4):
        seen.append((env.instances.uplink_bps[0, 1], env.instances.downlink_bps[0, 1]))
        env.step(np.zeros(8, dtype=int))
    assert set(seen) == {(4e6, 40e6), (5e6, 60e6)}
    assert seen[:2] == seen[2:]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"downlink_trace_path": 3}, r"downlink_trace_path is 3; it must be the path of a CSV file"),
        ({"trace_column": 1.5}, r"trace_column is 1\.5; it must be the name of a column or its number from 1"),
        ({"trace_column": "rate"}, r"trace_column is 'rate'; .*its columns are 'mbps'"),
        ({"downlink_trace_column": "2"}, r"downlink_trace_column is '2'; it needs downlink_trace_path"),
        ({"trace_unit": "furlong"}, r"trace_unit is 'furlong'; it must be a unit such as bit/s, kbit/s"),
        ({"trace_step_s": 0}, r"trace_step_s is 0; it must be from 0\.001 to 10,000,000"),
        ({"trace_step_s": "1"}, r"trace_step_s is '1'; it must be from"),
        ({"downlink_trace_path": "nowhere.csv"}, r"nowhere\.csv cannot be read"),
    ],
)
def test_options_out_of_bounds(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        make_scenario(radio="trace", trace_path=write_trace(tmp_path, [1]), **changes)


@pytest.mark.parametrize("name", Recording._fields)
def test_no_trace_without_its_radio(name):
    with pytest.raises(ValueError, match=rf"{name} is '1'; with radio='random' it must be None"):
        make_scenario(**{name: "1"})


def test_a_scenario_is_the_same_however_its_trace_was_read(tmp_path):
    plain, other = tmp_path / "plain.csv", tmp_path / "other.txt"
    plain.write_text("mbps\n3\n5\n")
    other.write_text("0 3000\n9 5000\n")
    one = make_scenario(radio="trace", trace_path=plain)
    same = make_scenario(radio="trace", trace_path=other, trace_column=2, trace_unit="kbit/s", trace_step_s=1)
    assert (same.trace_column, same.trace_step_s) == ("2", 1.0)
    assert make_scenario(**json.loads(json.dumps(same.to_dict()))) == same
    assert described(one) == described(same)
    assert not set(Recording._fields[1:]) & described(one).keys()
    # THEN a downlink that was recorded beside it makes it another one, from either side
    more = make_scenario(radio="trace", trace_path=plain, downlink_trace_path=plain)
    assert difference(described(one), more)[0] == "downlink_trace_path"
    assert difference(described(more), one)[0] == "downlink_trace_path"
    assert difference(described(more), more) is None


def test_paths_of_a_scenario_file_count_from_its_folder(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "here"
    folder.mkdir()
    write_trace(folder, [3, 5])
    fields = {"name": "default", "radio": "trace", "trace_path": "trace.csv", "downlink_trace_path": "trace.csv"}
    (folder / "scenario.json").write_text(json.dumps(fields))
    (folder / "absolute.json").write_text(json.dumps({**fields, "trace_path": str(folder / "trace.csv")}))
    monkeypatch.chdir(tmp_path)
    said = "'mbps' in Mbit/s, 1 s apart: 2 samples, 2 s, 4 Mbit/s in the mean and 5 in the best second\n"
    path = os.path.join("here", "trace.csv")
    for name in ("scenario", "absolute"):
        assert main(["solve", os.path.join("here", f"{name}.json"), "--json"]) == 0
        first = path if name == "scenario" else folder / "trace.csv"
        assert capsys.readouterr().err == f"uplink {first}: {said}downlink {path}: {said}"
    # and those of options count from where the command runs
    options = [
        "--scenario",
        "here/scenario.json",
        "--trace",
        "trace.csv",
        "--output",
        "out.npz",
        "--num-instances",
        "2",
    ]
    assert main(["demonstrations", *options]) == 2
    assert "the trace trace.csv cannot be read" in capsys.readouterr().err


def test_options_of_the_command_line(tmp_path, capsys):
    path = tmp_path / "log.csv"
    path.write_text("t,a,b\n0,1000,2000\n")
    options = ["--trace", str(path), "--downlink-trace", str(path), "--trace-column", "a", "--trace-unit", "kbit/s"]
    options += ["--downlink-trace-column", "3", "--trace-step", "4", "--seed", "1"]
    assert main(["demonstrations", "--num-instances", "2", "--output", str(tmp_path / "out.npz"), *options]) == 0
    lines = capsys.readouterr().err.splitlines()
    end = "4 s apart: 1 samples, 4 s, {0} Mbit/s in the mean and {0} in the best second"
    assert lines[:2] == [
        f"uplink {path}: 'a' in kbit/s, {end.format(1)}",
        f"downlink {path}: 'b' in kbit/s, {end.format(2)}",
    ]


def test_a_bad_trace_is_reported_with_the_scenario(tmp_path):
    with pytest.raises(ValueError, match=r"missing\.csv cannot be read"):
        make_scenario(radio="trace", trace_path=tmp_path / "missing.csv")


def test_a_scenario_with_a_trace_goes_to_a_dict_and_back(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("mbps\n3\n")
    scenario = make_scenario(radio="trace", trace_path=path)
    assert make_scenario(**json.loads(json.dumps(scenario.to_dict()))) == scenario
    assert scenario.label == "default, trace.csv"


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded traces are not here")
def test_recorded_traces():
    paths = sorted(RECORDED.glob("*.csv"))
    assert len(paths) == 5
    for path in paths:
        mbps = np.array(path.read_text().split()[1:], dtype=float)
        trace = seconds(path)
        # THEN every second has a rate, and those of seconds without outage are as recorded, without a wait
        assert np.all(np.isfinite(trace))
        assert np.all(trace[:, 0] > 0)
        np.testing.assert_allclose(trace[mbps > 0, 0], mbps[mbps > 0] * 1e6)
        np.testing.assert_array_equal(trace[:, 1] > 0, mbps == 0)
        assert np.any(mbps == 0) == (path.stem in RECORDED_WITH_OUTAGES)


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded traces are not here")
@pytest.mark.parametrize("name", RECORDED_WITH_OUTAGES)
def test_instances_during_recorded_outages(name):
    scenario = make_scenario(num_tasks=3, radio="trace", trace_path=str(RECORDED / f"{name}.csv"))
    instances = sample_instances(scenario, 2000, seed=4)
    outage = instances.radio_backlog_s > 0
    recorded = seconds(scenario.trace_path)[:, 1] > 0
    assert outage.sum() > 0
    assert outage.mean() == pytest.approx(recorded.mean(), abs=0.02)
    solutions = solve(instances)
    assert np.all(np.isfinite(solutions.latency_s))
    assert np.all(solutions.optimal)
    assert np.all(np.isin(instances.uplink_bps[:, 1], seconds(scenario.trace_path)[:, 0]))
