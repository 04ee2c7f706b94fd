import numpy as np
import pytest

from offload_gym import make_scenario, sample_instances
from offload_gym.envs.joint import JointEnv

MACHINES = ("cpu_hz", "cores", "wired_bps", "propagation_s")
TASKS = ("input_bits", "output_bits", "workload_cycles")
PACKED = ("tasks", "locations", "core_backlog_s", "radio_backlog_s")


def trace_scenario(folder, mbps, **changes):
    path = folder / "trace.csv"
    path.write_text("mbps\n" + "\n".join(map(str, mbps)) + "\n")
    return make_scenario(radio="trace", trace_path=str(path), **changes)


def epochs(scenario, num_epochs: int, seed: int = 0) -> list:
    """The first epochs that an environment draws, whatever is decided."""
    env = JointEnv(scenario, num_epochs=None)
    env.reset(seed=seed)
    following = [env.instances]
    for _ in range(num_epochs - 1):
        env.step(np.zeros(scenario.num_tasks, dtype=int))
        following.append(env.instances)
    return following


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    ranks = [values.argsort().argsort() for values in (x, y)]
    return float(np.corrcoef(*ranks)[0, 1])


def ks_statistic(x: np.ndarray, y: np.ndarray) -> float:
    """Largest difference between the two empirical distribution functions."""
    values = np.concatenate([x, y])
    below = [np.searchsorted(np.sort(sample), values, side="right") / len(sample) for sample in (x, y)]
    return float(np.abs(below[0] - below[1]).max())


@pytest.mark.parametrize("scenario", ["default", "vision", {"name": "default", "num_edges": 3, "num_tasks": 2}])
def test_same_seed_same_instances(scenario):
    first, second, other = (sample_instances(scenario, 20, seed) for seed in (7, 7, 8))
    for field in PACKED:
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field))
    for field in ("input_bits", "cpu_hz", "backlog_s", "uplink_bps"):
        assert np.any(getattr(first, field) != getattr(other, field))


def test_instances_of_a_batch_differ():
    instances = sample_instances("default", 50, seed=0)
    for field in ("input_bits", "output_bits", "workload_cycles", "cpu_hz"):
        values = getattr(instances, field)
        assert len(np.unique(values)) == values.size
    for field in ("uplink_bps", "downlink_bps", "propagation_s", "backlog_s"):
        assert len(np.unique(getattr(instances, field)[:, 1])) == 50


@pytest.mark.parametrize("num_instances", [0, -1])
def test_too_few_instances(num_instances):
    with pytest.raises(ValueError, match=rf"num_instances is {num_instances}; .* at least 1"):
        sample_instances("default", num_instances)


@pytest.mark.parametrize("num_edges", [0, 1, 3])
def test_machines_stay_and_tasks_are_new(num_edges):
    following = epochs(make_scenario(num_edges=num_edges), 20)
    ratios = [epoch.downlink_bps[0, 1] / epoch.uplink_bps[0, 1] for epoch in following]
    np.testing.assert_allclose(ratios, ratios[0])
    for field in MACHINES:
        for epoch in following[1:]:
            np.testing.assert_array_equal(getattr(epoch, field), getattr(following[0], field))
    for field in TASKS:
        values = np.concatenate([getattr(epoch, field).ravel() for epoch in following])
        assert len(np.unique(values)) == 20 * 8
    for values in ([epoch.uplink_bps[0, 1] for epoch in following], [epoch.backlog_s[0, 0] for epoch in following]):
        assert len(np.unique(values)) == 20


def test_each_episode_has_other_machines():
    env = JointEnv()
    env.reset(seed=0)
    before = env.instances
    env.reset()
    assert np.all(before.cpu_hz != env.instances.cpu_hz)


def test_epochs_follow_from_the_seed():
    first, second, other = (epochs(make_scenario(num_edges=2), 5, seed) for seed in (3, 3, 4))
    for field in PACKED:
        for epoch in range(5):
            np.testing.assert_array_equal(getattr(first[epoch], field), getattr(second[epoch], field))
    assert np.all(first[4].input_bits != other[4].input_bits)


def test_an_epoch_stays_as_it_was_when_the_next_is_drawn():
    env = JointEnv()
    env.reset(seed=0)
    epoch = env.instances
    before = [array.copy() for array in epoch.arrays]
    env.step(env.action_space.sample())
    for array, copy in zip(epoch.arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


# Gaussian variables with correlation c have the rank correlation 6/pi arcsin(c/2).
@pytest.mark.parametrize(
    ("correlation", "expected", "tolerance"), [(0.9, 0.891, 0.04), (0.5, 0.483, 0.06), (0, 0, 0.06)]
)
def test_radio_and_backlogs_are_correlated_in_time(correlation, expected, tolerance):
    following = epochs(make_scenario(num_tasks=1, correlation=correlation), 3000)
    uplink_bps = np.array([epoch.uplink_bps[0, 1] for epoch in following])
    backlog_s = np.array([epoch.backlog_s[0] for epoch in following])
    for series in (uplink_bps, backlog_s[:, 0], backlog_s[:, 1]):
        assert rank_correlation(series[:-1], series[1:]) == pytest.approx(expected, abs=tolerance)
    # AND they are not correlated with each other
    if correlation == 0:
        assert abs(rank_correlation(uplink_bps, backlog_s[:, 0])) < tolerance
        assert abs(rank_correlation(backlog_s[:, 0], backlog_s[:, 1])) < tolerance


@pytest.mark.parametrize("advances", [0, 10])
def test_each_epoch_is_distributed_as_an_independent_instance(advances):
    # GIVEN the first or a later epoch of many episodes
    scenario, episodes = make_scenario(num_tasks=1, correlation=0.9), 2500
    env = JointEnv(scenario, num_epochs=None)
    env.reset(seed=1)
    later = []
    for _ in range(episodes):
        env.reset()
        for _ in range(advances):
            env.step([0])
        epoch = env.instances
        later.append((epoch.uplink_bps[0, 1], *epoch.backlog_s[0, :2], epoch.input_bits[0, 0], *epoch.cpu_hz[0]))
    # WHEN they are compared with independent instances
    drawn = sample_instances(scenario, episodes, seed=2)
    columns = (drawn.uplink_bps[:, 1], *drawn.backlog_s[:, :2].T, drawn.input_bits[:, 0], *drawn.cpu_hz.T)
    # THEN the distributions are the same: at this size a true difference of zero stays below 0.055 but once in 1000
    for ours, theirs in zip(np.array(later).T, columns, strict=True):
        assert ks_statistic(ours, theirs) < 0.055


def test_epochs_follow_the_trace_and_wrap(tmp_path):
    mbps = [3.0, 5.0, 0.0, 0.0, 11.0]
    following = epochs(trace_scenario(tmp_path, mbps, num_edges=2), 23, seed=5)
    rates, waits_s = np.array([3.0, 5.0, 11.0, 11.0, 11.0]) * 1e6, np.array([0.0, 0.0, 2.0, 1.0, 0.0])
    # GIVEN where in the trace the first epoch fell
    fits = [s for s in range(5) if [epoch.uplink_bps[0, 1] for epoch in following[:5]] == np.roll(rates, -s).tolist()]
    assert len(fits) == 1
    # THEN each next epoch takes the next sample, for all remote locations
    for t, epoch in enumerate(following):
        second = (fits[0] + t) % 5
        np.testing.assert_array_equal(epoch.uplink_bps[0, 1:], np.full(3, rates[second]))
        np.testing.assert_array_equal(epoch.radio_backlog_s, [waits_s[second]])


def test_epochs_of_half_a_second_share_a_sample(tmp_path):
    following = epochs(trace_scenario(tmp_path, [2.0, 0.0], epoch_s=0.5), 8)
    waits_s = [float(epoch.radio_backlog_s[0]) for epoch in following]
    assert {epoch.uplink_bps[0, 1] for epoch in following} == {2e6}
    assert waits_s in ([0.0, 0.0, 1.0, 0.5] * 2, [1.0, 0.5, 0.0, 0.0] * 2)


def test_independent_instances_fall_anywhere_in_the_trace(tmp_path):
    instances = sample_instances(trace_scenario(tmp_path, [1.0, 2.0, 0.0, 4.0]), 4000, seed=3)
    seconds = np.stack([instances.uplink_bps[:, 1] / 1e6, instances.radio_backlog_s], axis=1)
    kinds, counts = np.unique(seconds, axis=0, return_counts=True)
    np.testing.assert_allclose(kinds, [[1, 0], [2, 0], [4, 0], [4, 1]])
    np.testing.assert_allclose(counts / 4000, 0.25, atol=0.03)
