"""What a policy file says of the instances that its network was trained on."""

import warnings

import numpy as np
import pytest

import offload_gym
from offload_gym.networks.trained_range import Bounds, TrainedRange, range_of, unlike_trained


def sample(num_instances=200, **changes):
    scenario = offload_gym.make_scenario("default", **changes)
    return offload_gym.sample_instances(scenario, num_instances, seed=3)


def test_ratios_by_hand():
    instances = offload_gym.Instances(
        input_bits=[[2e6, 2e6]], output_bits=[[0, 0]], workload_cycles=[[3e9, 1e9]],
        cpu_hz=[[1e9, 4e9, 10e9]], cores=[[2, 1, 1]], backlog_s=[[0, 0.1, 0.5]],
        uplink_bps=[[np.inf, 1e6, 2e6]], downlink_bps=[[np.inf, 1e6, 1e6]], wired_bps=[[np.inf, np.inf, np.inf]],
        propagation_s=[[0, 0.01, 0.04]],
    )  # fmt: skip
    # The device runs 4e9 cycles on 2 cores of 1e9 in 2 s; the faster uplink sends 4e6 bits in 2 s.
    found = range_of(instances)
    assert found == TrainedRange(Bounds(1, 1), Bounds(10, 10), Bounds(0.02, 0.02), Bounds(0.25, 0.25))


def test_bounds_have_four_digits():
    assert all(float(f"{value:.4g}") == value for bounds in range_of(sample()) for value in bounds)
    assert all(bounds.low < bounds.high for bounds in range_of(sample()))


def test_instances_are_inside_their_own_range_and_others_are_told_apart():
    trained = range_of(sample())
    assert unlike_trained(trained, sample()) == ""
    assert unlike_trained(TrainedRange(), sample()) == ""
    assert unlike_trained(trained._replace(send=Bounds()), sample()) == ""
    slow = sample(uplink_bps=(1e4, 1e5))
    message = unlike_trained(trained, slow)
    assert message.startswith("the time to send all tasks over the time to run all tasks on the device from 0.0")
    assert message.endswith("(outside it: 100% of these instances)")


def test_a_shipped_network_warns_once_and_only_where_it_should():
    student = offload_gym.make_policy("student")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert student.decide(sample()[:0]).shape == (0, 8)
        student.decide(sample(2000))
        for seed in range(10):
            instances = offload_gym.sample_instances("default", 10_000, seed)
            assert unlike_trained(student.network.trained_range, instances) == ""
        slow = sample(uplink_bps=(1e4, 1e5))
        student.decide(slow)  # no larger than those that were looked at: each would take longer than deciding
    student = offload_gym.make_policy("student")
    with pytest.warns(UserWarning, match=r"trained on the time to send all tasks .* from 0.0\d+ to \d"):
        student.decide(slow)
