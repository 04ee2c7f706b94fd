import copy
import dataclasses
import json
import pickle

import gymnasium as gym
import numpy as np
import pytest

from offload_gym import Scenario, latency, make_scenario, sample_instances, solve
from offload_gym.applications.cnns import CNN_NAMES, cnn_task
from offload_gym.applications.presets import random_application
from offload_gym.scenario import (
    PRESETS,
    RANGE_FIELDS,
    RANGES,
    SUMMARIES,
    as_scenario,
    described,
    difference,
    paths_from,
    with_absolute_paths,
)
from offload_gym.solvers.greedy import greedy

SAMPLES = 20_000


@pytest.fixture(scope="module")
def sampled():
    """Instances of the default scenario with three edge servers: locations 0, 1, 2, 3 and the cloud, 4."""
    return sample_instances({"num_edges": 3}, SAMPLES, seed=11)


@pytest.mark.parametrize(
    ("quantity", "low", "high"),
    [
        (lambda x: x.input_bits, 50e3 * 8, 500e3 * 8),
        (lambda x: x.workload_cycles / x.input_bits, 50, 500),
        (lambda x: x.output_bits / x.input_bits, 0.02, 0.30),
        (lambda x: x.cpu_hz[:, 0], 0.6e9, 2e9),
        (lambda x: x.cpu_hz[:, 1:4], 4e9, 12e9),
        (lambda x: x.cpu_hz[:, 4], 15e9, 30e9),
        (lambda x: np.log(x.uplink_bps[:, 1]), np.log(4e6), np.log(80e6)),
        (lambda x: x.downlink_bps[:, 1] / x.uplink_bps[:, 1], 1, 4),
        (lambda x: x.wired_bps[:, 2:4], 200e6, 1e9),
        (lambda x: x.wired_bps[:, 4], 50e6, 200e6),
        (lambda x: x.propagation_s[:, 1], 0.002, 0.010),
        (lambda x: x.propagation_s[:, 2:4] - x.propagation_s[:, 1:2], 0.001, 0.005),
        (lambda x: x.propagation_s[:, 4] - x.propagation_s[:, 1], 0.015, 0.060),
    ],
    ids=[
        *("input", "cycles per bit", "output ratio", "device speed", "edge speed", "cloud speed"),
        *("log uplink", "downlink ratio", "further edges' wired path", "cloud's wired path"),
        *("edge propagation", "more to further edges", "more to the cloud"),
    ],
)
def test_default_ranges(sampled, quantity, low, high):
    share = (quantity(sampled).ravel() - low) / (high - low)
    # THEN it is uniform from low to high: deciles where they belong
    assert share.min() >= -1e-9
    assert share.max() <= 1 + 1e-9
    np.testing.assert_allclose(np.quantile(share, np.linspace(0, 1, 11)), np.linspace(0, 1, 11), atol=0.02)


def test_default_backlogs(sampled):
    for k, mean_s in enumerate((0.05, 0.1, 0.1, 0.1)):
        # THEN it is exponential: its quantile p is -mean log(1 - p)
        p = np.array([0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
        np.testing.assert_allclose(np.quantile(sampled.backlog_s[:, k], p), -mean_s * np.log1p(-p), rtol=0.08)
        assert sampled.backlog_s[:, k].mean() == pytest.approx(mean_s, rel=0.03)
    assert not sampled.backlog_s[:, 4].any()
    assert not sampled.radio_backlog_s.any()


def test_default_cores_and_paths(sampled):
    np.testing.assert_array_equal(sampled.cores, np.tile([1, 2, 2, 2, 8], (SAMPLES, 1)))
    assert np.isinf(sampled.wired_bps[:, 1]).all()
    np.testing.assert_array_equal(sampled.uplink_bps[:, 1:], np.tile(sampled.uplink_bps[:, 1:2], 4))
    np.testing.assert_allclose(sampled.downlink_bps[:, 1:], np.tile(sampled.downlink_bps[:, 1:2], 4))
    # AND the device's entries say that it has no path
    for field, value in (("uplink_bps", np.inf), ("downlink_bps", np.inf), ("wired_bps", np.inf), ("propagation_s", 0)):
        assert np.all(getattr(sampled, field)[:, 0] == value)


def test_default_has_eight_tasks_and_one_edge_server():
    instances = sample_instances("default", 2)
    assert (instances.num_tasks, instances.num_locations) == (8, 3)


def test_no_fixed_choice_is_good_in_the_default():
    instances = sample_instances("default", 1000, seed=12)
    optimum_s = solve(instances).latency_s.mean()
    fixed_s = [latency(instances, np.full((1000, 8), k)).mean() for k in range(3)]
    assert 1.35 < min(fixed_s) / optimum_s < 1.75
    assert 1.06 < latency(instances, greedy(instances)).mean() / optimum_s < 1.16


def test_vision_tasks_are_the_six_cnns():
    # GIVEN the networks' sizes
    tasks = [cnn_task(name) for name in CNN_NAMES]
    rows = [(task.input_bits, task.output_bits, task.macs) for task in tasks]
    # WHEN tasks are sampled THEN each is one of them, all equally often
    drawn = sample_instances("vision", 3000, seed=1).tasks.reshape(-1, 3)
    kinds, counts = np.unique(drawn, axis=0, return_counts=True)
    assert {tuple(kind) for kind in kinds} == set(rows)
    assert len(rows) == len(set(rows)) == 6
    np.testing.assert_allclose(counts / len(drawn), 1 / 6, atol=0.01)


def test_vision_speeds():
    cpu_hz = sample_instances("vision", 3000, seed=1).cpu_hz
    for k, (low, high) in enumerate(((2e9, 8e9), (100e9, 400e9), (1e12, 4e12))):
        assert low <= cpu_hz[:, k].min() < low * 1.02
        assert high * 0.98 < cpu_hz[:, k].max() <= high


def test_changes():
    scenario = make_scenario("default", num_tasks=5, num_edges=2, edge_hz=[1e9, 2e9], correlation=0)
    assert (scenario.num_tasks, scenario.num_edges, scenario.num_locations) == (5, 2, 4)
    assert scenario.edge_hz == (1e9, 2e9)
    assert scenario.cores == (1, 2, 2, 8)
    assert scenario.mean_backlog_s == (0.05, 0.1, 0.1, 0.0)
    assert dataclasses.replace(scenario, num_tasks=8, num_edges=1, edge_hz=(4e9, 12e9), correlation=0.9) == Scenario()


BAD_RANGES = [(2.0, 1.0), (-1.0, 1.0), (1.0, np.inf), (np.nan, 1.0), (1.0, np.nan), (1.0,), 3.0, (1.0, 2.0, 3.0), "ab"]


def test_the_record_of_the_ranges_has_each_under_its_name():
    given = {name: ((1 + i) / 100, (2 + i) / 100) for i, name in enumerate(RANGE_FIELDS)}
    (record,) = make_scenario(**given).ranges()
    assert {name: (record[name]["low"], record[name]["high"]) for name in RANGES.names} == given
    pairs = [field.name for field in dataclasses.fields(Scenario) if np.shape(field.default) == (2,)]
    assert pairs == list(RANGE_FIELDS)  # each field that is a pair is a range, by its type


@pytest.mark.parametrize("field", RANGE_FIELDS)
@pytest.mark.parametrize("value", BAD_RANGES)
def test_bad_range(field, value):
    with pytest.raises(ValueError, match=rf"^{field} is .*; (it|low) must be [^\n]*$"):
        make_scenario(**{field: value})


@pytest.mark.parametrize("field", ["input_bits", "device_hz", "uplink_bps", "downlink_ratio", "cloud_wired_bps"])
def test_rates_and_sizes_must_be_above_zero(field):
    with pytest.raises(ValueError, match=rf"^{field} is \(0.0, 1.0\); low must be above 0"):
        make_scenario(**{field: (0.0, 1.0)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_tasks": 0}, r"num_tasks is 0; .* at least 1"),
        ({"num_tasks": 2.5}, r"num_tasks is 2.5; .*whole number"),
        ({"num_tasks": True}, r"num_tasks is True; .*whole number"),
        ({"num_edges": -1}, r"num_edges is -1; .* at least 0"),
        ({"device_cores": 0}, r"device_cores is 0; .* at least 1"),
        ({"edge_cores": -2}, r"edge_cores is -2; .* at least 1"),
        ({"cloud_cores": 1.5}, r"cloud_cores is 1.5; .*whole number"),
        ({"device_backlog_s": -0.1}, r"device_backlog_s is -0.1; .*at least 0"),
        ({"edge_backlog_s": np.inf}, r"edge_backlog_s is inf; .*finite"),
        ({"cloud_backlog_s": np.nan}, r"cloud_backlog_s is nan; .*finite"),
        ({"cloud_backlog_s": "long"}, r"cloud_backlog_s is 'long'; .*finite"),
        ({"correlation": 1.0}, r"correlation is 1.0; .*at least 0 and below 1"),
        ({"correlation": -0.1}, r"correlation is -0.1; .*at least 0"),
        ({"correlation": np.nan}, r"correlation is nan; .*at least 0"),
        ({"epoch_s": 0.0}, r"epoch_s is 0.0; .*above 0"),
        ({"epoch_s": np.inf}, r"epoch_s is inf; .*finite"),
        ({"radio": "wifi"}, r"radio is 'wifi'; .*'random' or 'trace'"),
        ({"radio": "trace"}, r"trace_path is None; radio='trace' needs the path of a CSV file"),
        ({"trace_path": "a.csv"}, r"trace_path is 'a.csv'; with radio='random' it must be None"),
        ({"radio": "trace", "trace_path": "a.csv"}, r"the trace a.csv cannot be read"),
        ({"radio": "trace", "trace_path": 3}, r"trace_path is 3; it must be the path of a CSV file"),
        ({"task_types": [(1.0, 2.0)]}, r"task_types .*\(1.0, 2.0\).*\(input_bits, output_bits, workload_cycles\)"),
        ({"task_types": [(1.0, -2.0, 3.0)]}, r"task_types .*-2.0.*at least 0"),
        ({"task_types": [(1.0, np.nan, 3.0)]}, r"task_types .*nan.*finite"),
        ({"task_types": (1.0, 2.0, 3.0)}, r"task_types .*1.0.*\(input_bits, output_bits, workload_cycles\)"),
    ],
)
def test_bad_values(changes, message):
    with pytest.raises(ValueError, match=rf"^{message}[^\n]*$"):
        make_scenario(**changes)


def test_scenarios_are_frozen():
    scenario = make_scenario()
    with pytest.raises(dataclasses.FrozenInstanceError):
        scenario.num_tasks = 3
    assert scenario == Scenario()
    assert hash(scenario) == hash(Scenario())


@pytest.mark.parametrize(
    "scenario",
    [
        *(make_scenario(name) for name in PRESETS),
        make_scenario("vision", num_edges=3, uplink_bps=(1e6, 2e6)),
        make_scenario("default", num_tasks=np.int64(3)),
        make_scenario("default", task_types=[(1, 2, 3), (4, 5, 6)]),
    ],
)
def test_round_trip(scenario):
    assert make_scenario(**scenario.to_dict()) == scenario
    assert make_scenario(**json.loads(json.dumps(scenario.to_dict()))) == scenario


@pytest.mark.parametrize("name", PRESETS)
def test_a_scenario_of_a_presets_name_is_that_preset(name):
    preset = make_scenario(name)
    assert Scenario(name) == Scenario(name=name) == preset
    assert all(getattr(preset, field) == value for field, value in PRESETS[name].items())
    changed = make_scenario(name, transmit_w=0.7)
    assert Scenario(name, transmit_w=0.7) == dataclasses.replace(preset, transmit_w=0.7) == changed != preset
    for kept in (copy.copy(changed), copy.deepcopy(changed), pickle.loads(pickle.dumps(changed))):
        assert kept == changed
        assert kept.graphs == changed.graphs


def test_a_scenario_in_an_environments_specification_survives_json():
    scenario = {"name": "vision", "num_tasks": 3, "uplink_bps": (1e6, 2e6)}
    spec = gym.make("offload_gym/Joint-v0", scenario=scenario).unwrapped.spec
    again = gym.make(gym.envs.registration.EnvSpec.from_json(spec.to_json()))
    assert again.unwrapped.scenario == make_scenario("vision", num_tasks=3, uplink_bps=(1e6, 2e6))


@pytest.mark.parametrize("make", [Scenario, make_scenario])
def test_a_scenario_of_another_name_or_field_is_refused(make):
    with pytest.raises(ValueError, match=r"^scenario is 'urban'; the presets are default, vision[^\n]*$"):
        make("urban")
    with pytest.raises(ValueError, match=r"^scenario is \['vision'\]; the presets are"):
        make(["vision"])
    with pytest.raises(ValueError, match=r"^a scenario has no field 'num_task'; it must be [^\n]* such as num_tasks, "):
        make("default", num_task=3)


def test_what_stands_for_a_scenario():
    vision = make_scenario("vision")
    assert as_scenario("vision") == vision
    assert as_scenario(vision) is vision
    assert as_scenario({"name": "vision", "num_tasks": 3}) == make_scenario("vision", num_tasks=3)
    assert as_scenario({"num_edges": 0}) == make_scenario("default", num_edges=0)


@pytest.mark.parametrize("value", [None, 3, ["default"]])
def test_what_does_not_stand_for_a_scenario(value):
    with pytest.raises(ValueError, match=r"^scenario is .*; it must be a preset's name, a dict .*, or a Scenario$"):
        as_scenario(value)


def test_scenarios_are_compared_field_by_field_as_a_file_describes_them(tmp_path):
    vision = make_scenario("vision")
    kept = json.loads(json.dumps(described(vision)))
    assert difference(kept, vision) is None
    assert difference(kept, dataclasses.replace(vision, edge_cores=3)) == ("edge_cores", 2, 3)
    assert difference(kept, make_scenario()) == ("name", "vision", "default")
    assert difference(kept, dataclasses.replace(vision, num_tasks=3), but=("num_tasks",)) is None
    # A field that an older version did not know had its default value; of a newer one nothing is known.
    del kept["transmit_w"]
    assert difference(kept, vision) is None
    assert difference(kept, dataclasses.replace(vision, transmit_w=0.7)) == ("transmit_w", 0.5, 0.7)
    assert difference(kept | {"humidity": 0.3}, vision) == ("humidity", 0.3, None)


def test_long_fields_and_traces_are_described_by_a_digest_of_what_is_in_them(tmp_path):
    own = [make_scenario(applications=(random_application(60, seed=seed),)) for seed in (1, 1, 2)]
    assert len(json.dumps(described(own[0]))) < 4_000
    assert difference(described(own[0]), own[1]) is None
    assert difference(described(own[0]), own[2])[0] == "applications"
    paths = [tmp_path / name for name in ("a.csv", "copy.csv", "b.csv")]
    for path, rate in zip(paths, (3, 3, 4), strict=True):
        path.write_text(f"mbps\n{rate}\n7\n")
    traces = [make_scenario(radio="trace", trace_path=path) for path in paths]
    assert difference(described(traces[0]), traces[1]) is None
    assert difference(described(traces[0]), traces[2])[0] == "trace_path"
    assert str(tmp_path) not in json.dumps(described(traces[0]))


def test_recorded_arrivals_are_described_and_found_as_traces_are(tmp_path):
    paths = [tmp_path / name for name in ("a.csv", "copy.csv", "b.csv")]
    for path, last in zip(paths, (3, 3, 4), strict=True):
        path.write_text(f"arrival_s\n0\n{last}\n", encoding="utf-8")
    given = [make_scenario("stream", arrivals="trace", arrivals_path=path) for path in paths]
    assert difference(described(given[0]), given[1]) is None
    assert difference(described(given[0]), given[2])[0] == "arrivals_path"
    assert str(tmp_path) not in json.dumps(described(given[0]))
    assert make_scenario(**paths_from(tmp_path, given[0].to_dict() | {"arrivals_path": "a.csv"})) == given[0]
    assert with_absolute_paths(given[0]) == given[0]


def test_a_constant_radio_is_for_streams():
    with pytest.raises(ValueError, match=r"^radio is 'constant', which is for streams; [^\n]* 'random' or 'trace'$"):
        sample_instances({"radio": "constant"}, 2)
    with pytest.raises(ValueError, match=r"^radio is 'constant', which is for streams;"):
        gym.make("offload_gym/Joint-v0", scenario={"radio": "constant"})


def test_epochs_do_not_depend_on_the_fields_of_streams():
    plain = sample_instances("default", 5, seed=1)
    changed = sample_instances({"arrivals": "bursty", "num_devices": 3, "deadline_factor": (1, 2)}, 5, seed=1)
    np.testing.assert_array_equal(plain.tasks, changed.tasks)
    np.testing.assert_array_equal(plain.locations, changed.locations)


def test_every_preset_has_a_line_in_the_lists():
    assert PRESETS.keys() == SUMMARIES.keys()
