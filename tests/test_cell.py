import naive
import naive_cell
import numpy as np
import pytest
from conftest import KINDS

from offload_gym import Instances, sample_instances
from offload_gym.cell import cell_completion_times, cell_latency
from offload_gym.delay import completion_times, latency
from offload_gym.envs.cell import sample_cell
from offload_gym.instances import CORES, CPU


def twin(instances, decisions):
    devices = [naive.from_instances(instances, d) for d in range(len(instances))]
    rows = [decision[:count] for decision, count in zip(decisions.tolist(), instances.task_counts, strict=True)]
    return naive_cell.completion_times(devices, rows)


def with_shared_servers(instances):
    """The instances with the servers of the first one, whose wired paths stay their own."""
    for column in (CPU, CORES):
        instances.locations[1:, 1:, column] = instances.locations[:1, 1:, column]
    instances.core_backlog_s[1:, 1:] = instances.core_backlog_s[:1, 1:]
    return instances


def cell_of(hand_fields):
    """The cell of docs/multi_agent.md: the case by hand, twice, the second device with twice the link rates."""
    fields = {name: np.concatenate([values, values]) for name, values in hand_fields.items()}
    for name in ("uplink_bps", "downlink_bps"):
        fields[name][1] *= 2
    return Instances(**fields)


def test_by_hand(hand_fields):
    cell = cell_of(hand_fields)
    decisions = [[1, 2, 0], [1, 1, 0]]
    # Tasks are sent by 0.4 and 0.6 s, and by 0.2 and 0.4 s. Two tasks arrive at the edge server at 0.405 s.
    expected = [[0.715, 0.712, 0.400], [0.4625, 0.765, 0.400]]
    np.testing.assert_allclose(cell_completion_times(cell, decisions), expected, rtol=1e-12)
    np.testing.assert_allclose(cell_latency(cell, decisions), [0.715, 0.765], rtol=1e-12)
    np.testing.assert_allclose(cell_latency(cell, decisions, "mean"), [0.609, 0.5425], rtol=1e-12)
    # Alone the first device has sent by 0.2 and 0.4 s and waits for nobody.
    np.testing.assert_allclose(latency(cell[:1], decisions[:1]), [0.512], rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_edges", [0, 1, 3])
def test_a_cell_of_one_device_is_the_single_device_model(draw, kind, num_edges):
    instances = draw(kind, 60, 7, num_edges, seed=num_edges)
    # Fast uplinks and slow wired paths: small tasks overtake large ones.
    instances.locations[::2, 1:, 2] *= 30
    decisions = np.random.default_rng(1).integers(0, num_edges + 2, (60, 7))
    expected = completion_times(instances, decisions)
    for b in range(len(instances)):
        one = instances[b : b + 1]
        np.testing.assert_allclose(cell_completion_times(one, decisions[b : b + 1]), expected[b : b + 1], rtol=1e-9)


def test_tasks_overtake_on_the_wired_path_and_are_served_in_index_order():
    fields = {
        "input_bits": [[8e6, 1e6]], "output_bits": [[0.0, 0.0]], "workload_cycles": [[1e9, 1e9]],
        "cpu_hz": [[1e9, 1e9]], "cores": [[1, 1]], "backlog_s": [[0.0, 0.0]], "uplink_bps": [[1.0, 8e6]],
        "downlink_bps": [[1.0, 8e6]], "wired_bps": [[1.0, 1e6]], "propagation_s": [[0.0, 0.0]],
    }  # fmt: skip
    # Sent by 1 and 1.125 s; arrived at 9 and 2.125 s; the second waits for the first nevertheless.
    np.testing.assert_allclose(cell_completion_times(Instances(**fields), [[1, 1]]), [[10.0, 11.0]])
    pair = Instances(**{name: np.repeat(values, 2, axis=0) for name, values in fields.items()})
    pair.tasks[1] = 1e6, 0.0, 1e9
    pair.radio_backlog_s[1] = 3.0
    # The other device's first task arrives at 4.125 s: after the one that overtook, but before its turn, at 9 s.
    np.testing.assert_allclose(cell_completion_times(pair, [[1, 1], [1, 0]]), [[10.0, 11.0], [5.125, 1.0]])
    # With a core for each the second need not wait, as in the single-device model.
    fields["cores"] = [[1, 2]]
    for values in (cell_completion_times, completion_times):
        np.testing.assert_allclose(values(Instances(**fields), [[1, 1]]), [[10.0, 3.125]])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("num_devices", "num_tasks", "num_edges"), [(2, 5, 1), (3, 4, 3), (5, 6, 0), (8, 2, 1)])
def test_equals_the_naive_twin(draw, kind, num_devices, num_tasks, num_edges):
    rng = np.random.default_rng(num_devices)
    for seed in range(6):
        instances = with_shared_servers(draw(kind, num_devices, num_tasks, num_edges, seed=seed))
        if seed % 2:
            instances.locations[:, 1:, 2] *= 30
        decisions = rng.integers(0, num_edges + 2, (num_devices, num_tasks))
        expected = twin(instances, decisions)
        np.testing.assert_allclose(cell_completion_times(instances, decisions), expected, rtol=1e-9, atol=1e-12)


def test_ties_go_to_the_lower_device():
    """GIVEN sizes and rates whose times are exact in floating point, so that many tasks arrive together."""
    rng = np.random.default_rng(0)
    ties = 0
    for _ in range(60):
        m, n, num_locations = 4, 5, 3
        repeated = (m, num_locations)
        cell = Instances(
            input_bits=rng.integers(0, 3, (m, n)), output_bits=np.zeros((m, n)),
            workload_cycles=rng.integers(0, 4, (m, n)), cpu_hz=np.ones(repeated), cores=np.tile([1, 2, 1], (m, 1)),
            backlog_s=np.zeros(repeated), uplink_bps=2.0 ** rng.integers(0, 2, repeated),
            downlink_bps=np.ones(repeated), wired_bps=np.full(repeated, 0.5), propagation_s=np.zeros(repeated),
        )  # fmt: skip
        decisions = rng.integers(0, num_locations, (m, n))
        expected = twin(cell, decisions)
        np.testing.assert_array_equal(cell_completion_times(cell, decisions), expected)
        swapped = [2, 1, 0, 3]
        ties += not np.array_equal(np.array(expected)[swapped], twin(cell[np.array(swapped)], decisions[swapped]))
    assert ties > 10  # the order of the devices mattered


def test_others_never_make_a_device_faster():
    rng = np.random.default_rng(5)
    slower = 0
    for seed in range(50):
        cell = sample_cell({"name": "default", "num_tasks": 5}, 6, seed)
        decisions = rng.integers(0, 3, (6, 5))
        alone = completion_times(cell, decisions)
        fewer, all_s = cell_completion_times(cell[:3], decisions[:3]), cell_completion_times(cell, decisions)
        assert (fewer >= alone[:3] - 1e-12).all()
        assert (all_s[:3] >= fewer - 1e-12).all()
        slower += (all_s > alone + 1e-6).any()
    assert slower == 50


def test_devices_with_fewer_tasks():
    scenario = {"name": "default", "num_tasks": 1, "max_tasks": 5}
    cell = sample_cell(scenario, 6, seed=2)
    assert len(set(cell.task_counts)) > 1
    decisions = np.random.default_rng(0).integers(0, 3, (6, 5))
    times = cell_completion_times(cell, decisions)
    np.testing.assert_array_equal(np.isnan(times), ~cell.present)
    for d, row in enumerate(twin(cell, decisions)):
        np.testing.assert_allclose(times[d, : len(row)], row)
    np.testing.assert_allclose(cell_latency(cell, decisions, "mean"), np.nanmean(times, axis=1))


def test_a_cell_is_drawn_from_the_scenario():
    scenario = {"name": "multi_edge"}
    cell = sample_cell(scenario, 5, seed=3)
    for field in ("cpu_hz", "cores", "backlog_s", "wired_bps", "propagation_s"):
        values = getattr(cell, field)[:, 1:]
        np.testing.assert_array_equal(values, np.broadcast_to(values[:1], values.shape))
    for values in (cell.cpu_hz[:, 0], cell.backlog_s[:, 0], cell.uplink_bps[:, 1], cell.downlink_bps[:, 1]):
        assert len(np.unique(values)) == 5
    assert len(np.unique(cell.input_bits)) == cell.input_bits.size
    np.testing.assert_array_equal(cell.tasks, sample_cell(scenario, 5, seed=3).tasks)
    one, drawn = sample_cell(scenario, 1, seed=3), sample_instances(scenario, 1, seed=3)
    for ours, theirs in zip(one.arrays, drawn.arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_no_cell_is_refused(hand_fields):
    cell = cell_of(hand_fields)
    with pytest.raises(ValueError, match=r"scenario is 'chain', whose tasks depend on each other"):
        sample_cell("chain", 2)
    with pytest.raises(ValueError, match="num_devices is 0"):
        sample_cell("default", 0)
    with pytest.raises(ValueError, match="objective is 'cost'; in a cell it must be one of makespan, mean"):
        cell_latency(cell, np.zeros((2, 3), dtype=int), "cost")
    with pytest.raises(ValueError, match="decisions has the shape"):
        cell_latency(cell, np.zeros((1, 3), dtype=int))
    with pytest.raises(ValueError, match="the instances have up to 7 dependencies; a cell is for independent tasks"):
        cell_latency(sample_instances("chain", 2, seed=0), np.zeros((2, 8), dtype=int))
    with pytest.raises(ValueError, match="the batch has 0 instances"):
        cell_latency(cell[:0], np.zeros((0, 3), dtype=int))
    endless = {name: np.concatenate([values, values]) for name, values in hand_fields.items()}
    endless["input_bits"][1, 0], endless["uplink_bps"][1, 1] = 1e308, 1e-6
    with pytest.raises(
        ValueError, match="the send time of task 0 of device 1 at location 1 is inf s; it must be finite"
    ):
        cell_latency(Instances(**endless), np.ones((2, 3), dtype=int))
    changed = {name: values.copy() for name, values in hand_fields.items()}
    for name, value, message in (
        ("cpu_hz", 5e9, r"cpu_hz of location 1 is 5e\+09 for device 1 and 4e\+09 for device 0"),
        ("cores", 2, "cores of location 1 is 2 for device 1 and 1 for device 0"),
        ("backlog_s", 0.2, "backlog_s of location 1 is 0.2 for device 1 and 0.1 for device 0"),
    ):
        fields = {key: np.concatenate([values, values]) for key, values in changed.items()}
        fields[name][1, 1] = value
        with pytest.raises(ValueError, match=message):
            cell_latency(Instances(**fields), np.zeros((2, 3), dtype=int))
