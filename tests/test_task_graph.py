import json
import math

import pytest

import offload_gym
from offload_gym.applications.application import Application
from offload_gym.applications.loading import load_application, save_application
from offload_gym.applications.task_graph import Task, with_transfers


def test_inputs_and_outputs_of_inner_tasks_get_tasks_of_their_own():
    data = {
        "name": "sights",
        "tasks": [
            {"name": "crop", "workload_cycles": 1, "input_bits": 10, "output_bits": 3},
            {"name": "match", "workload_cycles": 2, "input_bits": 20, "output_bits": 30},
            {"name": "index", "workload_cycles": 4, "input_bits": 0, "output_bits": 0},
        ],
        "edges": [{"from": "crop", "to": "match", "bits": 5}, {"from": "crop", "to": "index"}],
    }
    application = Application.from_dict(data)
    assert application == Application(
        name="sights",
        task_names=["match input", "crop", "match", "index", "crop output"],
        workload_cycles=[0, 1, 2, 4, 0],
        input_bits=[20, 10, 0, 0, 0],  # crop has no parent, and keeps its own
        output_bits=[0, 0, 30, 0, 3],  # match has no child, and keeps its own
        edges=[(1, 2), (1, 3), (1, 4), (0, 2)],
        edge_bits=[5, 0, 3, 20],
    )


@pytest.mark.parametrize(
    ("decision", "second_s"),
    [
        # The reference is sent from 0 to 0.4 s (4 Mbit at 10 Mbit/s), the crop, which the device makes until 0.5 s, to
        # 0.6 s. On the edge 0.1 s of work follows, and 1 Mbit comes back in 0.05 s.
        ((0, 0, 1), 0.6 + 0.1 + 0.05),
        # All on the device: the reference is there; 0.5 s of work for the crop, and 0.4 s.
        ((0, 0, 0), 0.9),
        # All on the edge: the reference is sent until 0.4 s, the input of crop until 0.6 s, 0.125 and 0.1 s of work.
        ((1, 1, 1), 0.6 + 0.125 + 0.1 + 0.05),
    ],
)
def test_data_that_begins_on_the_device_is_sent_from_there(decision, second_s):
    data = {
        "name": "two",
        "tasks": [
            {"name": "crop", "workload_cycles": 5e8, "input_bits": 2e6},
            {"name": "match", "workload_cycles": 4e8, "input_bits": 4e6, "output_bits": 1e6},
        ],
        "edges": [{"from": "crop", "to": "match", "bits": 1e6}],
    }
    application = Application.from_dict(data)
    assert application.task_names == ("match input", "crop", "match")
    order = sorted(range(2), key=lambda e: application.edges[e][::-1])
    instances = offload_gym.Instances(
        input_bits=[application.input_bits],
        output_bits=[application.output_bits],
        workload_cycles=[application.workload_cycles],
        cpu_hz=[[1e9, 4e9, 8e9]],
        cores=[[1, 1, 1]],
        backlog_s=[[0.0, 0.0, 0.0]],
        uplink_bps=[[math.inf, 1e7, 1e7]],
        downlink_bps=[[math.inf, 2e7, 2e7]],
        wired_bps=[[math.inf, math.inf, math.inf]],
        propagation_s=[[0.0, 0.0, 0.0]],
        edges=[application.edges[e] for e in order],
        edge_bits=[[application.edge_bits[e] for e in order]],
    )
    assert offload_gym.completion_times(instances, [decision])[0, 2] == pytest.approx(second_s, rel=1e-12)


def test_names_that_are_taken_get_a_number():
    tasks = [Task("a", 1.0), Task("b", 1.0, input_bits=2.0), Task("b input", 1.0), Task("b input 2", 1.0)]
    made, edges = with_transfers(tasks, [("a", "b", 1.0)])
    assert made[0] == Task("b input 3", 0.0, input_bits=2.0)
    assert edges == [("a", "b", 1.0), ("b input 3", "b", 2.0)]


def test_nothing_is_added_where_all_sizes_have_a_place():
    tasks = [Task("a", 1.0, input_bits=3.0), Task("b", 1.0, output_bits=4.0), Task("c", 1.0, 5.0, 6.0)]
    assert with_transfers(tasks, [("a", "b", 1.0)]) == (tasks, [("a", "b", 1.0)])


def test_a_file_with_tasks_for_transfers_is_saved_as_it_is(tmp_path):
    tasks = [{"name": "a", "workload_cycles": 1}, {"name": "b", "workload_cycles": 1, "input_bits": 2}]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"name": "x", "tasks": tasks, "edges": [{"from": "a", "to": "b"}]}), "utf-8-sig")
    application = load_application(path)
    assert application.task_names == ("b input", "a", "b")
    save_application(path, application)
    assert load_application(path) == application


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_sizes_out_of_their_bounds_are_named_as_they_stand(bad):
    tasks = [{"name": "a", "workload_cycles": 1}, {"name": "b", "workload_cycles": 1, "input_bits": bad}]
    with pytest.raises(ValueError, match=r"input_bits of task 'b' \(1\) is .*; it must be finite and at least 0"):
        Application.from_dict({"name": "x", "tasks": tasks, "edges": [{"from": "a", "to": "b"}]})


def test_a_scenario_draws_from_an_application_with_such_tasks():
    tasks = [{"name": "a", "workload_cycles": 1e8}, {"name": "b", "workload_cycles": 1e8, "input_bits": 2e6}]
    application = Application.from_dict({"name": "x", "tasks": tasks, "edges": [{"from": "a", "to": "b"}]})
    scenario = offload_gym.make_scenario(applications=[application], data_scale=(2.0, 2.0))
    instances = offload_gym.sample_instances(scenario, 3, seed=1)
    assert instances.input_bits.tolist() == [[4e6, 0, 0]] * 3
    assert instances.edges == ((0, 2), (1, 2))
    assert instances.edge_bits.tolist() == [[4e6, 0]] * 3
