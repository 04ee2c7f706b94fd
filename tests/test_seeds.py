"""Seeds of several purposes never meet."""

import numpy as np
import pytest

import offload_gym
from offload_gym.seeds import PURPOSES, as_seed_sequence, seed_for


def test_streams_of_purposes_and_of_plain_numbers_differ():
    seeds = [seed_for(purpose, 7) for purpose in PURPOSES] + [as_seed_sequence(7), np.random.SeedSequence(7)]
    children = [np.random.SeedSequence(s.entropy, spawn_key=(*s.spawn_key, i)) for s in seeds[:4] for i in range(4)]
    states = {tuple(seed.generate_state(4)) for seed in seeds + children}
    assert len(states) == len(seeds) + len(children)


def test_demonstrations_of_a_plain_seed_are_not_the_test_instances():
    drawn = offload_gym.generate_demonstrations("default", 5, seed=7).instances
    for purpose in PURPOSES:
        other = offload_gym.sample_instances("default", 5, seed_for(purpose, 7))
        assert not np.isin(drawn.input_bits, other.input_bits).any()


def test_bad_seeds_and_purposes_are_refused():
    with pytest.raises(ValueError, match="seed is -1; it must be at least 0"):
        as_seed_sequence(-1)
    with pytest.raises(ValueError, match="purpose is 'exam'; it must be one of test, training, validation"):
        seed_for("exam", 1)
    for seed in (1.5, "1", True, None, [1]):
        with pytest.raises(ValueError, match=r"^seed is .*; it must be a whole number or a SeedSequence$"):
            as_seed_sequence(seed)
        with pytest.raises(ValueError, match=r"^seed is .*; it must be a whole number$"):
            seed_for("test", seed)
