import pickle
import re

import numpy as np
import pytest

from agents.cell_shares import tune_shares
from offload_gym.cell import cell_latency
from offload_gym.cell_policies import (
    CELL_POLICY_NAMES,
    CellNetworkPolicy,
    Report,
    SharePolicy,
    load_cell_policy,
    make_cell_policy,
    report_of,
    tuned_shares,
    with_slowdown,
)
from offload_gym.envs.cell import sample_cell
from offload_gym.networks.cell_network import CellNetwork, save_cell_policy
from offload_gym.policies import WEIGHTS, load_policy, make_policy


def test_a_report_says_how_many_and_how_fast(hand_fields):
    cell = sample_cell("default", 3, seed=1)
    report = report_of(cell)
    assert report.num_devices == 3
    assert report.mean_uplink_bps == pytest.approx(cell.uplink_bps[:, 1:].mean())


def test_a_share_divides_the_uplink():
    cell = sample_cell("default", 4, seed=2)
    greedy = make_policy("greedy")
    # 1 + 0.5 * (5 - 1) = 3
    slowed = cell.replace(uplink_bps=np.where(np.arange(3) > 0, cell.uplink_bps / 3, cell.uplink_bps))
    decisions = SharePolicy(greedy, 0.5).decide(cell, Report(5, 2e7))
    np.testing.assert_array_equal(decisions, greedy.decide(slowed))
    np.testing.assert_array_equal(SharePolicy(greedy, 0.5).decide(cell[:1], Report(1, 2e7)), greedy.decide(cell[:1]))


def test_the_tuned_share_is_that_of_the_size():
    shares = {(row["policy"], row["num_devices"]): row["share"] for row in tuned_shares()}
    for name in ("greedy", "student", "exact"):
        assert make_cell_policy(f"{name}-share").share == shares[name, 0]
        assert make_cell_policy(f"{name}-share", 8).share == shares[name, 8]
        assert make_cell_policy(f"{name}-share", 9).share == shares[name, 0]


def test_knowing_how_many_there_are_is_worth_a_lot():
    cells = [sample_cell("default", 8, seed=seed) for seed in range(20)]
    for name in ("greedy", "student"):
        alone, told = make_policy(name), make_cell_policy(f"{name}-share", 8)
        alone_s = np.mean([cell_latency(cell, alone.decide(cell)) for cell in cells])
        told_s = np.mean([cell_latency(cell, told.decide(cell, report_of(cell))) for cell in cells])
        assert told_s < 0.6 * alone_s


def test_shares_are_tuned_on_validation_cells(tmp_path, capsys):
    path = tmp_path / "shares.json"
    rows = tune_shares(num_cells=2, sizes=(2, 4), path=path)
    assert [row["num_devices"] for row in rows] == [0, 2, 4] * 3
    first = path.read_text()
    assert tune_shares(num_cells=2, sizes=(2, 4), path=path) == rows
    assert path.read_text() == first
    assert "share * devices" in capsys.readouterr().out


def test_what_does_not_fit_is_refused():
    cell = sample_cell("default", 2, seed=0)
    with pytest.raises(ValueError, match=rf"policy is 'greedy'; the policies of cells are {CELL_POLICY_NAMES[0]}"):
        make_cell_policy("greedy")
    with pytest.raises(ValueError, match="scenario is 'vision'; no share was tuned for it"):
        make_cell_policy("greedy-share", scenario="vision")
    with pytest.raises(ValueError, match="share is -1; it must be finite and at least 0"):
        SharePolicy(make_policy("greedy"), -1.0)
    with pytest.raises(ValueError, match=r"slowdown is 0\.5; it must be at least 1"):
        with_slowdown(cell, 0.5)
    for name in CELL_POLICY_NAMES:
        for value in (-3, 0, "abc", [2], 2.0, True):
            message = f"num_devices is {value!r}; it must be a whole number, at least 1"
            with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
                make_cell_policy(name, num_devices=value)


@pytest.mark.parametrize("name", CELL_POLICY_NAMES)
def test_a_report_that_does_not_fit_is_refused(name):
    policy, cell = make_cell_policy(name), sample_cell("default", 3, seed=0)
    uplink_bound = "it must be finite and above 0"
    for report, message in (
        (Report(0, 1e7), "num_devices is 0; it must be a whole number, at least 1"),
        (Report(2.5, 1e7), "num_devices is 2.5; it must be a whole number, at least 1"),
        (Report("2", 1e7), "num_devices is '2'; it must be a whole number, at least 1"),
        (Report(True, 1e7), "num_devices is True; it must be a whole number, at least 1"),
        (Report(10**400, 1e7), "num_devices is a whole number of 401 digits; it must be at most 1,000,000"),
        (Report(1, 1e7), "num_devices is 1; it must be at least 3, one for each instance"),
        (Report(3, 0.0), f"mean_uplink_bps is 0.0; {uplink_bound}"),
        (Report(3, float("nan")), f"mean_uplink_bps is nan; {uplink_bound}"),
        (Report(3, float("inf")), f"mean_uplink_bps is inf; {uplink_bound}"),
        (Report(3, "1e7"), f"mean_uplink_bps is '1e7'; {uplink_bound}"),
        ((0, 1e7), "report is (0, 10000000.0); it must be a Report of num_devices and mean_uplink_bps"),
        (None, "report is None; it must be a Report of num_devices and mean_uplink_bps"),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            policy.decide(cell, report)
    with pytest.raises(ValueError, match="num_devices is 0"):
        policy.decide(cell[:0], Report(0, 1e7))
    # Numbers of numpy are numbers, too, and a report may be on more devices than are there.
    expected = policy.decide(cell, Report(4, 1e7))
    np.testing.assert_array_equal(policy.decide(cell, Report(np.int64(4), np.float32(1e7))), expected)


@pytest.fixture(scope="module")
def student():
    return make_cell_policy("cell-student")


@pytest.mark.parametrize("num_devices", [2, 8, 32])
def test_the_shipped_network_is_better_than_any_tuned_share(student, num_devices):
    cells = [sample_cell("default", num_devices, seed=seed) for seed in range(240 // num_devices)]

    def mean_s(policy):
        return np.mean([cell_latency(cell, policy.decide(cell, report_of(cell))) for cell in cells])

    tuned_s = min(mean_s(make_cell_policy(f"{name}-share", num_devices)) for name in ("greedy", "student", "exact"))
    assert mean_s(student) < 0.98 * tuned_s


def test_a_device_decides_by_itself(student):
    cell = sample_cell("default", 5, seed=9)
    report = report_of(cell)
    together = student.decide(cell, report)
    for d in range(5):
        np.testing.assert_array_equal(student.decide(cell[d : d + 1], report), together[d : d + 1])
    assert student.name == "cell-student"
    alone = Report(1, report.mean_uplink_bps)
    assert sum((student.decide(cell[d : d + 1], alone) > 0).sum() for d in range(5)) > (together > 0).sum()


def test_a_network_of_cells_is_written_and_read(student, tmp_path):
    path = tmp_path / "copy.safetensors"
    save_cell_policy(path, student.network)
    assert path.read_bytes() == (WEIGHTS / "default-cell-student.safetensors").read_bytes()
    read = load_cell_policy(path)
    assert (read.name, read.num_parameters) == ("copy", student.num_parameters)
    cell = sample_cell("default", 3, seed=0)
    again = pickle.loads(pickle.dumps(read))
    for policy in (read, again):
        np.testing.assert_array_equal(policy.decide(cell, report_of(cell)), student.decide(cell, report_of(cell)))
    with pytest.raises(
        ValueError, match=r"is a policy file of cells; offload_gym.cell_policies.load_cell_policy reads"
    ):
        load_policy(path)
    with pytest.raises(ValueError, match=r"is a policy file; offload_gym\.load_policy reads it"):
        load_cell_policy(WEIGHTS / "default-student.safetensors")


def test_a_network_that_does_not_fit_is_refused(student, tmp_path):
    network = student.network
    for changes, message in (
        ({"head": network.head[:-1]}, "the head has 24 outputs; it must have 3"),
        ({"encoder": ()}, "the network has no encoder or no head"),
        ({"cores": (1,)}, r"cores is \(1,\); it must have two locations or more"),
        ({"objective": "cost"}, "objective is 'cost'; it must be one of makespan, mean"),
    ):
        with pytest.raises(ValueError, match=message):
            CellNetworkPolicy(network._replace(**changes))
    with pytest.raises(ValueError, match="network is a str; it must be a CellNetwork"):
        save_cell_policy(tmp_path / "any.safetensors", "network")
    assert isinstance(network, CellNetwork)
    with pytest.raises(ValueError, match=r"this policy is for locations with \(1, 2, 8\) cores"):
        student.decide(sample_cell("multi_edge", 2), Report(2, 1e7))
    with pytest.raises(ValueError, match="scenario is 'vision'; the package ships no network of cells for it"):
        make_cell_policy("cell-student", scenario="vision")
