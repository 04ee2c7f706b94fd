"""Intervals and means of comparisons are those of scipy, and mean what they say; purposes never share seeds."""

import itertools

import numpy as np
import pytest
from scipy import stats

import offload_gym
from benchmarks.statistics import (
    BOOTSTRAP_SAMPLES,
    NORMAL_QUANTILE,
    T_QUANTILES,
    TAUS,
    bootstrap_interval,
    interquartile_mean,
    profile,
    ratio_interval,
    widened,
)
from offload_gym.seeds import PURPOSES, seed_for


@pytest.fixture(params=[37, 400])
def gaps(request):
    """Skewed, with many zeros, as gaps are."""
    random = np.random.default_rng(request.param)
    return random.exponential(0.1, request.param) * (random.random(request.param) > 0.4)


def test_intervals_are_those_of_scipy(gaps):
    found = bootstrap_interval(gaps)
    wanted = stats.bootstrap((gaps,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1))
    width = wanted.confidence_interval.high - wanted.confidence_interval.low
    np.testing.assert_allclose(found, wanted.confidence_interval, atol=0.06 * width)


def test_intervals_of_ratios_are_those_of_scipy_in_pairs():
    random = np.random.default_rng(3)
    reference = random.exponential(2.0, 60)
    costs = reference * random.uniform(0.6, 0.9, 60)
    found = ratio_interval(costs, reference)

    def change(a, b, axis=-1):
        return a.sum(axis=axis) / b.sum(axis=axis) - 1

    wanted = stats.bootstrap(
        (costs, reference), change, paired=True, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    np.testing.assert_allclose(found[-2:], wanted, atol=0.06 * (wanted.high - wanted.low))
    # AND without pairs it would be far wider
    apart = stats.bootstrap(
        (costs, reference), change, n_resamples=2_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert apart.high - apart.low > 3 * (wanted.high - wanted.low)


def test_an_interval_holds_the_mean_as_often_as_it_says():
    random, held = np.random.default_rng(0), 0
    for _ in range(200):
        low, high = bootstrap_interval(random.normal(1.0, 0.5, 60), seed=int(random.integers(1 << 30)))
        held += low <= 1.0 <= high
    # 0.95 within three standard errors; the percentile interval is a little narrow
    assert 0.88 <= held / 200 <= 0.99
    assert BOOTSTRAP_SAMPLES >= 1000


def test_the_interquartile_mean_is_that_of_scipy(gaps):
    assert interquartile_mean(gaps) == pytest.approx(stats.trim_mean(gaps, 0.25))
    assert interquartile_mean(np.array([1.0, 2.0, 3.0, 1e9])) == 2.5
    # Of several training seeds, over all together.
    seeds = np.random.default_rng(0).permutation(np.concatenate([gaps, gaps + 0.1])).reshape(2, -1)
    assert interquartile_mean(seeds) == pytest.approx(stats.trim_mean(seeds, 0.25, axis=None))


def test_intervals_of_paired_differences_are_those_of_scipy(gaps):
    random = np.random.default_rng(5)
    other = gaps + random.normal(0.02, 0.01, len(gaps))

    def difference(a, b, axis=-1):
        return a.mean(axis=axis) - b.mean(axis=axis)

    wanted = stats.bootstrap(
        (other, gaps), difference, paired=True, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    np.testing.assert_allclose(bootstrap_interval(other - gaps), wanted, atol=0.06 * (wanted.high - wanted.low))


def test_quantiles_that_intervals_of_few_seeds_take():
    np.testing.assert_allclose(T_QUANTILES, stats.t.ppf(0.975, np.arange(1, 10)), atol=5e-4)
    assert pytest.approx(stats.norm.ppf(0.975), abs=5e-5) == NORMAL_QUANTILE


def test_one_seed_is_as_none():
    values, reference = np.random.default_rng(2).exponential(1.0, (2, 50))
    assert bootstrap_interval(values) == bootstrap_interval(values[None])
    assert ratio_interval(values, reference) == ratio_interval(values[None], reference)


def test_seeds_are_widened_by_hand():
    """Means 2 and 4 around 3: of two seeds the factor is 12.706 / 1.96 * sqrt(2), and instances stay as they are."""
    factor = 12.706 / 1.960 * 2**0.5
    np.testing.assert_allclose(widened(np.array([[1.0, 3.0], [2.0, 6.0]])).mean(axis=1), [3 - factor, 3 + factor])
    np.testing.assert_allclose(np.diff(widened(np.array([[1.0, 3.0], [2.0, 6.0]]))), [[2.0], [4.0]])


def exactly(values, reference=None):
    """The interval from all equally likely draws of seeds, and of instances the same for each seed."""
    wide = widened(values)
    seeds, size = values.shape
    found = []
    for rows in itertools.product(range(seeds), repeat=seeds):
        for columns in itertools.product(range(size), repeat=size):
            mean = np.mean([wide[row, column] for row in rows for column in columns])
            found.append(mean if reference is None else mean / reference[list(columns)].mean() - 1.0)
    return np.quantile(found, [0.025, 0.975], method="inverted_cdf")


def test_the_two_levels_are_drawn_as_they_are_told():
    random = np.random.default_rng(4)
    values, reference = random.exponential(1.0, (3, 4)) + 1.0, random.uniform(1.0, 2.0, 4)
    for found, wanted in (
        (bootstrap_interval(values), exactly(values)),
        (ratio_interval(values, reference), exactly(values, reference)),
    ):
        np.testing.assert_allclose(found, wanted, atol=0.05 * (wanted[1] - wanted[0]))


SPREADS = [(1.0, 0.5, 0.5), (0.2, 1.0, 1.0), (0.05, 2.0, 0.5), (0.0, 0.0, 1.0)]
SLOW = [pytest.param(spreads, 400, marks=pytest.mark.slow) for spreads in SPREADS]


@pytest.mark.parametrize(("spreads", "trials"), [*((spreads, 80) for spreads in SPREADS[:2]), *SLOW])
def test_an_interval_over_seeds_and_instances_holds_the_mean_as_often_as_it_says(spreads, trials):
    """Five seeds, with known spreads of seeds, of instances, and of what belongs to one seed on one instance."""
    of_seeds, of_instances, of_both = spreads
    random = np.random.default_rng(1)
    held = dict.fromkeys(("ours", "ratio", "all alike", "means of seeds"), 0)
    for trial in range(trials):
        values = 10.0 + random.normal(0, of_seeds, (5, 1)) + random.normal(0, of_instances, 40)
        values = values + random.normal(0, of_both, (5, 40))
        means = values.mean(axis=1)
        drawn = means[random.integers(0, 5, (1000, 5))].mean(axis=1)
        for name, (low, high) in {
            "ours": bootstrap_interval(values, seed=trial),
            "ratio": 10.0 * (np.array(ratio_interval(values, np.full(40, 10.0), seed=trial)) + 1.0),
            "all alike": bootstrap_interval(values.ravel(), seed=trial),
            "means of seeds": np.quantile(drawn, [0.025, 0.975]),
        }.items():
            held[name] += low <= 10.0 <= high
    share = {name: count / trials for name, count in held.items()}
    assert min(share["ours"], share["ratio"]) >= 0.95 - 3 * (0.95 * 0.05 / trials) ** 0.5  # three standard errors
    # Otherwise it would not: of seeds that differ, and of instances that do, which the seeds have in common.
    if of_seeds >= 1.0:
        assert max(share["all alike"], share["means of seeds"]) < 0.89
    if of_instances >= 1.0:
        assert share["all alike"] < 0.85


def test_an_infinite_gap_leaves_intervals_numbers():
    values = np.array([np.inf, 0.1, 0.2, 0.3])
    low, high = bootstrap_interval(values)
    assert (0.1 <= low < 0.3, high) == (True, np.inf)
    assert not np.isnan(bootstrap_interval(np.stack([values, values + 0.1]))).any()


def test_profiles_by_hand():
    """Three policies on four instances, after Dolan and More: costs over the least, and how often within tau."""
    costs = np.array([[1.0, 2.0, 3.0, 8.0], [2.0, 1.0, 3.3, 4.0], [1.1, 4.0, 3.0, 4.0]])
    excess = costs / costs.min(axis=0) - 1.0  # 0, 1, 0, 1; 1, 0, 0.1, 0; 0.1, 3, 0, 0
    at = [TAUS.index(tau) for tau in (0.0, 0.1, 1.0)]
    for row, wanted in zip(excess, ([0.5, 0.5, 1.0], [0.5, 0.75, 1.0], [0.5, 0.75, 0.75]), strict=True):
        assert np.array(profile(row))[at].tolist() == wanted
    # Of several training seeds, over all: the mean of their profiles.
    np.testing.assert_allclose(profile(excess), np.mean([profile(row) for row in excess], axis=0))
    assert profile(np.array([np.inf, 0.0]))[-1] == 0.5


def test_purposes_share_no_seed_by_construction():
    """No draws of one purpose are those of another, whatever the seeds: their spawn keys differ in the first place."""
    keys = {purpose: seed_for(purpose, 5).spawn_key[0] for purpose in PURPOSES}
    assert len(set(keys.values())) == len(PURPOSES)
    drawn = {}
    for purpose in PURPOSES:
        for seed in range(20):
            for further in ((), (0,), (1,)):
                instances = offload_gym.sample_instances("default", 1, seed_for(purpose, seed, *further))
                key = instances.input_bits.tobytes()
                assert key not in drawn, f"{purpose} {seed} {further} draws what {drawn.get(key)} draws"
                drawn[key] = (purpose, seed, further)
