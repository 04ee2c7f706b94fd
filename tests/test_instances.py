import pickle

import naive
import numpy as np
import pytest

import offload_gym
from offload_gym import Instances, completion_times, latency, solve
from offload_gym.instances import LOCATION_FIELDS, TASK_FIELDS

FIELDS = (*TASK_FIELDS, *LOCATION_FIELDS, "backlog_s", "radio_backlog_s")
SPEEDS = ("cpu_hz", "uplink_bps", "downlink_bps")
DURATIONS = ("backlog_s", "propagation_s")

BAD_VALUES = [
    *(
        (field, value, "finite and at least 0")
        for field in (*TASK_FIELDS, *DURATIONS)
        for value in (-1.0, "nan", "inf")
    ),
    *((field, value, "finite and above 0") for field in SPEEDS for value in (0.0, -1.0, "nan", "inf")),
    *(("wired_bps", value, "above 0") for value in (0.0, -1.0, "nan")),
    *(("cores", value, "whole number from 1 to 10,000") for value in (0.0, 1.5, -1.0, 10_001.0, "nan", "inf")),
]


@pytest.mark.parametrize(("field", "value", "bound"), BAD_VALUES)
def test_bad_value_is_named_with_its_bound(hand_fields, field, value, bound):
    hand_fields[field] = hand_fields[field].astype(float)
    hand_fields[field][0, 1] = float(value)
    with pytest.raises(ValueError, match=rf"^{field}\[0, 1\] is {value}; it must be .*{bound}[^\n]*$"):
        Instances(**hand_fields)


@pytest.mark.parametrize("value", [-0.5, "nan", "inf"])
def test_bad_radio_backlog(hand_fields, value):
    hand_fields["radio_backlog_s"][0] = float(value)
    with pytest.raises(ValueError, match=rf"^radio_backlog_s\[0\] is {value}; it must be finite and at least 0$"):
        Instances(**hand_fields)


@pytest.mark.parametrize("value", [-0.5, "nan", "inf"])
def test_bad_backlog_of_one_core(hand_fields, value):
    hand_fields["backlog_s"] = np.zeros((1, 3, 2))
    hand_fields["backlog_s"][0, 2, 1] = float(value)
    with pytest.raises(ValueError, match=rf"^backlog_s\[0, 2, 1\] is {value}; it must be finite and at least 0$"):
        Instances(**hand_fields)


@pytest.mark.parametrize("field", FIELDS[1:])
def test_wrong_shape_is_named_with_the_right_one(hand_fields, field):
    hand_fields[field] = np.ones((2, *hand_fields[field].shape[1:]))
    with pytest.raises(ValueError, match=rf"^{field} has the shape \(2,.*must be .*1,"):
        Instances(**hand_fields)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("input_bits", [1.0, 2.0, 3.0]),
        ("input_bits", [[]]),
        ("output_bits", [[1.0, 2.0, 3.0, 4.0]]),
        ("cpu_hz", [1e9, 4e9, 10e9]),
        ("cpu_hz", [[1e9]]),
        ("output_bits", [[1.0, 2.0]]),
        ("wired_bps", 1e9),
        ("backlog_s", [[[0.0] * 3] * 3]),
        ("radio_backlog_s", 0.0),
    ],
)
def test_wrong_dimensions(hand_fields, field, values):
    hand_fields[field] = values
    with pytest.raises(ValueError, match=rf"^{field} has the shape"):
        Instances(**hand_fields)


@pytest.mark.parametrize("values", ["many", [[1.0, "two", 3.0]], [[1.0, 2.0], [3.0]]])
def test_not_numbers(hand_fields, values):
    hand_fields["output_bits"] = values
    with pytest.raises(ValueError, match=r"^output_bits must be an array of numbers"):
        Instances(**hand_fields)


def test_zero_sizes_and_infinite_wired_path(hand_fields):
    # GIVEN tasks of no size, and a cloud server at the base station
    for field in TASK_FIELDS:
        hand_fields[field][:] = 0.0
    hand_fields["wired_bps"][:] = np.inf
    # WHEN one runs at each location THEN only propagation both ways and the backlog remain
    np.testing.assert_allclose(completion_times(Instances(**hand_fields), [[0, 1, 2]]), [[0.0, 0.105, 0.06]])


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, 1e9])
def test_path_of_the_device_is_ignored(hand_case, hand_fields, value):
    for field in ("uplink_bps", "downlink_bps", "wired_bps", "propagation_s"):
        hand_fields[field][0, 0] = value
    instances = Instances(**hand_fields)
    np.testing.assert_array_equal(completion_times(instances, [[0, 1, 0]]), completion_times(hand_case, [[0, 1, 0]]))
    for objective in ("makespan", "mean"):
        np.testing.assert_array_equal(solve(instances, objective).decisions, solve(hand_case, objective).decisions)


@pytest.mark.parametrize("backlog_s", [[[0.0, 0.1, 0.0]], [[[0.0, 0.0], [0.1, 0.1], [0.0, 0.0]]]])
def test_arrays_are_copied(hand_fields, backlog_s):
    # GIVEN an instance made from the caller's arrays
    hand_fields = {name: values.astype(float) for name, values in hand_fields.items()}
    hand_fields["backlog_s"] = np.array(backlog_s)
    instances = Instances(**hand_fields)
    before = {field: getattr(instances, field).copy() for field in FIELDS}
    # WHEN the caller changes them THEN the instance stays as it was
    for values in hand_fields.values():
        values[:] = 77.0
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(instances, field), before[field])
    np.testing.assert_allclose(latency(instances, [[2, 1, 0]]), [0.470])


def test_attributes_are_what_was_given(hand_case, hand_fields):
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(hand_case, field), hand_fields[field])
    assert (len(hand_case), hand_case.num_tasks, hand_case.num_locations, hand_case.max_cores) == (1, 3, 3, 2)
    assert hand_case.cores.dtype == np.int64


def test_radio_backlog_is_zero_unless_given(hand_fields):
    del hand_fields["radio_backlog_s"]
    np.testing.assert_array_equal(Instances(**hand_fields).radio_backlog_s, [0.0])


def test_one_backlog_stands_for_all_cores(hand_fields):
    hand_fields["backlog_s"] = np.array([[0.0, 0.1, 0.7]])
    together = Instances(**hand_fields)
    hand_fields["backlog_s"] = np.array([[[0.0, 9.0], [0.1, 9.0], [0.7, 0.7]]])
    each = Instances(**hand_fields)
    for decision in ([2, 2, 2], [0, 1, 2], [1, 1, 0]):
        np.testing.assert_array_equal(completion_times(together, [decision]), completion_times(each, [decision]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.0])
def test_backlog_of_cores_that_are_not_there_is_ignored(hand_fields, value):
    hand_fields["backlog_s"] = np.array([[[0.0, value], [0.1, value], [0.0, 0.0]]])
    np.testing.assert_allclose(completion_times(Instances(**hand_fields), [[1, 1, 1]]), [[0.465, 0.520, 0.930]])


@pytest.mark.parametrize("kind", ["plain", "mixed"])
@pytest.mark.parametrize("rows", [slice(3, 7), slice(None, None, 3), np.array([9, 0, 0, 4]), np.arange(12) % 5 == 1])
def test_slices_are_batches_of_the_same_instances(draw, kind, rows):
    instances = draw(kind, 12, num_tasks=4, num_edges=1, seed=8)
    decisions = np.random.default_rng(9).integers(0, 3, (12, 4))
    part = instances[rows]
    assert isinstance(part, Instances)
    assert len(part) == len(decisions[rows])
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(part, field), getattr(instances, field)[rows])
    expected_s = [
        naive.completion_times(naive.from_instances(instances, b), decisions[b].tolist()) for b in np.arange(12)[rows]
    ]
    np.testing.assert_allclose(completion_times(part, decisions[rows]), expected_s, rtol=1e-9)


@pytest.mark.parametrize("kind", ["plain", "mixed"])
@pytest.mark.parametrize("rows", [slice(None), slice(0, 1)])
def test_attributes_make_the_same_instances_again(draw, kind, rows):
    # GIVEN instances with different numbers of cores, whole or a part of them
    instances = draw(kind, 12, num_tasks=4, num_edges=1, seed=8)[rows]
    # WHEN their attributes are put back into the constructor THEN they come out as before
    again = Instances(**{field: getattr(instances, field) for field in FIELDS})
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(again, field), getattr(instances, field))


def test_iteration_is_not_silently_empty(draw):
    instances = draw("plain", 3, num_tasks=2, num_edges=1, seed=1)
    try:
        parts = list(instances)
    except TypeError:
        return  # not iterable is an honest answer, too
    assert len(parts) == 3


def test_replaced_fields_are_checked_and_the_others_kept(draw):
    instances = draw("mixed", 6, 4, 1, seed=3)
    dag = offload_gym.sample_instances("dag", 5, seed=0)
    for one in (instances, dag):
        for ours, theirs in zip(one.replace().batch, one.batch, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    slower = dag.replace(uplink_bps=dag.uplink_bps / 2, idle_w=np.ones(5))
    np.testing.assert_array_equal(slower.uplink_bps[:, 1:], dag.uplink_bps[:, 1:] / 2)
    np.testing.assert_array_equal(slower.idle_w, np.ones(5))
    np.testing.assert_array_equal(slower.edge_bits, dag.edge_bits)
    doubled = dag.replace(edge_bits=2 * dag.edge_bits)
    np.testing.assert_array_equal(doubled.edge_bits, 2 * dag.edge_bits)
    assert doubled.edges_of(0) == dag.edges_of(0)


def test_what_cannot_be_replaced_is_said(draw):
    instances = draw("per-core backlogs", 6, 4, 1, seed=3)
    wider = {name: np.ones((6, 7)) for name in ("input_bits", "output_bits", "workload_cycles")}
    assert instances.replace(**wider, task_counts=np.full(6, 7)).num_tasks == 7
    for fields, message in (
        ({"uplink": 1}, "instances have no field 'uplink' to replace; the fields are input_bits, .*edge_bits"),
        ({"edges": ()}, "instances have no field 'edges' to replace"),
        (wider, "task_counts is not given; it must be, as there are 7 tasks, not 4"),
        ({"cores": np.ones((6, 3))}, "backlog_s is not given; it must be where cores change"),
        ({"cpu_hz": np.zeros((6, 3))}, r"cpu_hz\[0, 0\] is 0.0; it must be finite and above 0"),
        ({"cpu_hz": np.ones((6, 2))}, r"cpu_hz has the shape \(6, 2\)|the shape"),
        ({"edge_bits": np.ones((6, 1))}, "edge_bits"),
    ):
        with pytest.raises(ValueError, match=message):
            instances.replace(**fields)


def locked(instances, folder):
    """The same instances as another process may get them: over memory maps, and over arrays that are read-only."""
    mapped = []
    for number, array in enumerate(instances.batch):
        np.save(folder / f"{number}.npy", array)
        mapped.append(np.load(folder / f"{number}.npy", mmap_mode="r"))
    kept = [array.copy() for array in instances.batch]
    for array in kept:
        array.flags.writeable = False
    return [Instances.from_batch(type(instances.batch)(*arrays)) for arrays in (mapped, kept)]


@pytest.mark.parametrize("scenario", ["default", "dag"])
def test_read_only_arrays_are_used_as_they_are_and_compile_nothing_anew(scenario, tmp_path):
    from offload_gym import cell, delay
    from offload_gym.networks import independent_kernel
    from offload_gym.solvers import exact, local_search

    kernels = [delay._tallies, delay._schedules, delay.start_schedule, exact.exact_kernel]
    kernels += [local_search.local_search_kernel, independent_kernel.decide_independent, cell._fill_cell]

    def results(instances, decisions):
        found = [latency(instances, decisions), completion_times(instances, decisions), *solve(instances)]
        found += [offload_gym.schedule(instances, decisions[1], 1).finish_s]
        found += [offload_gym.local_search(instances, decisions)]
        if scenario == "default":
            found += [offload_gym.make_policy("small-student").decide(instances)]
            found += [cell.cell_latency(instances[:1], decisions[:1])]
        return found

    instances = offload_gym.sample_instances(scenario, 3, seed=0)
    decisions = np.random.default_rng(0).integers(0, instances.num_locations, (3, instances.num_tasks))
    expected = results(instances, decisions)
    compiled = [len(kernel.signatures) for kernel in kernels]
    given = decisions.copy()
    given.flags.writeable = False
    for others in locked(instances, tmp_path):
        np.testing.assert_equal(results(others, given), expected)
        # THEN nothing was copied for the kernels, and nobody can write where nobody may
        assert all(np.shares_memory(a, b) for a, b in zip(others.arrays, others.batch, strict=True) if a.size)
        with pytest.raises(ValueError, match="read-only"):
            others.tasks[:] = 0.0
    assert [len(kernel.signatures) for kernel in kernels] == compiled


def test_pickled_instances_hold_each_array_once():
    instances = offload_gym.sample_instances("default", 500, seed=0)
    data = pickle.dumps(instances)
    assert len(data) < 1.1 * sum(array.nbytes for array in instances.batch)
    again = pickle.loads(data)
    np.testing.assert_equal(again.arrays, instances.arrays)
    assert all(a is b for a, b in zip(again.arrays, again.batch, strict=True))


def test_a_policy_from_another_process_has_arrays_of_its_own():
    policy = offload_gym.make_policy("student+flip")
    buffers = []
    data = pickle.dumps(policy, protocol=5, buffer_callback=buffers.append)
    assert buffers
    again = pickle.loads(data, buffers=[bytes(buffer) for buffer in buffers])  # as Ray hands them over: read-only
    assert not again.network.head[0][0].flags.writeable
    assert again._padded_weights.flags.writeable
    instances = offload_gym.sample_instances("default", 20, seed=1)
    np.testing.assert_array_equal(again.decide(instances), policy.decide(instances))
