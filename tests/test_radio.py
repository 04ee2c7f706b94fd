import json
from pathlib import Path

import numpy as np
import pytest

from offload_gym import make_scenario, sample_instances, solve
from offload_gym.radio import load_trace

RECORDED = Path(__file__).parents[2] / "shared/data/lte_nyc"
RECORDED_WITH_OUTAGES = ("bus57", "bus62-2", "long-island-rail-road")


def write_trace(folder: Path, mbps, header: str = "mbps") -> Path:
    path = folder / "trace.csv"
    path.write_text("\n".join([header, *map(str, mbps)]) + "\n")
    return path


def test_rates_in_bits_a_second(tmp_path):
    np.testing.assert_allclose(load_trace(write_trace(tmp_path, [1, 2.5, 0.01])), [[1e6, 0], [2.5e6, 0], [1e4, 0]])


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
    trace = load_trace(write_trace(tmp_path, mbps))
    np.testing.assert_allclose(trace[:, 0], np.array(rates) * 1e6)
    np.testing.assert_array_equal(trace[:, 1], waits_s)


def test_column_is_found_by_its_name(tmp_path):
    path = write_trace(tmp_path, ["0,3.5,bus", "1,2.5,bus"], header="second, mbps ,where")
    np.testing.assert_allclose(load_trace(path), [[3.5e6, 0], [2.5e6, 0]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"header that has a column 'mbps'"),
        ("\n\n", r"header that has a column 'mbps'"),
        ("1.0\n2.0\n", r"header that has a column 'mbps'"),
        ("kbps\n1.0\n", r"header that has a column 'mbps'"),
        ("mbps\n", r"no sample above 0 among its 0"),
        ("mbps\n0\n0.0\n", r"no sample above 0 among its 2"),
        ("mbps\n1\nfast\n", r"sample 2 .*'fast'.*finite and at least 0"),
        ("mbps\n1\n2\n-3\n", r"sample 3 .*'-3'.*finite and at least 0"),
        ("mbps\nnan\n", r"sample 1 .*'nan'.*finite and at least 0"),
        ("mbps\ninf\n", r"sample 1 .*'inf'.*finite and at least 0"),
        ("second,mbps\n0,1\n1\n", r"sample 2 .*finite and at least 0"),
        ("x" * 200_000, r"trace\.csv"),  # longer than a CSV cell may be
    ],
)
def test_bad_file_is_said_in_one_sentence(tmp_path, text, message):
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        load_trace(path)
    assert str(path) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"\xff\xfe\x00mbps", None])
def test_unreadable_file(tmp_path, content):
    path = tmp_path / "trace.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"trace\.csv (cannot be read|is not a CSV file)"):
        load_trace(path)


def test_a_bad_trace_is_reported_with_the_scenario(tmp_path):
    with pytest.raises(ValueError, match=r"missing\.csv cannot be read"):
        make_scenario(radio="trace", trace_path=tmp_path / "missing.csv")


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_bytes(b"\xef\xbb\xbfmbps\n3\n")
    assert load_trace(path).tolist() == [[3e6, 0.0]]


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
        trace = load_trace(path)
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
    recorded = load_trace(scenario.trace_path)[:, 1] > 0
    assert outage.sum() > 0
    assert outage.mean() == pytest.approx(recorded.mean(), abs=0.02)
    solutions = solve(instances)
    assert np.all(np.isfinite(solutions.latency_s))
    assert np.all(solutions.optimal)
    assert np.all(np.isin(instances.uplink_bps[:, 1], load_trace(scenario.trace_path)[:, 0]))
