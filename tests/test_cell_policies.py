import numpy as np
import pytest

from agents.cell_shares import tune_shares
from offload_gym.cell import cell_latency
from offload_gym.cell_policies import (
    CELL_POLICY_NAMES,
    Report,
    SharePolicy,
    make_cell_policy,
    report_of,
    tuned_shares,
    with_slowdown,
)
from offload_gym.envs.cell import sample_cell
from offload_gym.policies import make_policy

pytestmark = pytest.mark.filterwarnings("ignore:the policy .*student was trained on")


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
    np.testing.assert_array_equal(SharePolicy(greedy, 0.5).decide(cell, Report(1, 2e7)), greedy.decide(cell))


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
    policy = make_cell_policy("greedy-share")
    with pytest.raises(ValueError, match="num_devices is 0"):
        policy.decide(cell, Report(0, 1e7))
    with pytest.raises(ValueError, match="mean_uplink_bps is 0; it must be finite and above 0"):
        policy.decide(cell, Report(2, 0.0))
    with pytest.raises(ValueError, match="share is -1; it must be finite and at least 0"):
        SharePolicy(make_policy("greedy"), -1.0)
    with pytest.raises(ValueError, match=r"slowdown is 0\.5; it must be at least 1"):
        with_slowdown(cell, 0.5)
