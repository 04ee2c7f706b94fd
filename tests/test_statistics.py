"""Intervals and means of comparisons are those of scipy, and mean what they say; purposes never share seeds."""

import numpy as np
import pytest
from scipy import stats

import offload_gym
from benchmarks.analysis import BOOTSTRAP_SAMPLES, bootstrap_interval, interquartile_mean
from benchmarks.streams.analysis import ratio_interval
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
