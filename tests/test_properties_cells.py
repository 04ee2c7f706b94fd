"""What the model of a cell implies, tried on the whole domain of valid input."""

import naive
import naive_cell
import numpy as np
from hypothesis import strategies as st
from property_inputs import cells, few_and_many, refute, renamed, scaled

from offload_gym import Instances, completion_times
from offload_gym.cell import cell_completion_times, cell_latency

ROUNDED = {"rtol": 1e-9, "atol": 0}
SEEDS = st.integers(0, 2**32 - 1)


def agree(ours, others, is_exact):
    if is_exact:
        np.testing.assert_array_equal(ours, others)
    else:
        np.testing.assert_allclose(ours, others, **ROUNDED)


@few_and_many
def test_the_kernel_equals_the_twin(tries):
    @refute(100 * tries, cells())
    def holds(given):
        cell, decisions, is_exact = given
        times_s = cell_completion_times(cell, decisions)
        rows = [row[:count].tolist() for row, count in zip(decisions, cell.task_counts, strict=True)]
        twin = naive_cell.completion_times([naive.from_instances(cell, d) for d in range(len(cell))], rows)
        for d, row in enumerate(twin):
            agree(times_s[d, : len(row)], row, is_exact)
            assert np.isnan(times_s[d, len(row) :]).all()


@few_and_many
def test_times_that_are_all_multiplied_multiply_all_results(tries):
    @refute(100 * tries, cells(), st.integers(-30, 30))
    def holds(given, exponent):
        cell, decisions, _ = given
        times_s = cell_completion_times(cell, decisions)
        slowed_s = cell_completion_times(scaled(cell, 2.0**exponent), decisions)
        np.testing.assert_array_equal(slowed_s, times_s * 2.0**exponent)


@few_and_many
def test_servers_in_another_order_change_nothing(tries):
    @refute(100 * tries, cells(), SEEDS)
    def holds(given, seed):
        cell, decisions, _ = given
        order = np.append(0, 1 + np.random.default_rng(seed).permutation(cell.num_locations - 1))
        others_s = cell_completion_times(renamed(cell, order), np.argsort(order)[decisions])
        np.testing.assert_array_equal(others_s, cell_completion_times(cell, decisions))


@few_and_many
def test_devices_in_another_order_change_nothing_but_ties(tries):
    """Where tasks of two devices arrive together the lower device comes first: see ``test_cell.py``."""

    @refute(100 * tries, cells(), SEEDS)
    def holds(given, seed):
        cell, decisions, is_exact = given
        if not is_exact:
            rng = np.random.default_rng(seed)
            order = rng.permutation(len(cell))
            # Of two devices that send nothing to one server both arrive at once.
            something = rng.uniform(0.1, 10.0, cell.input_bits.shape)
            cell = cell.replace(input_bits=np.where(cell.input_bits > 0, cell.input_bits, something))
            others_s = cell_completion_times(cell[order], decisions[order])
            np.testing.assert_allclose(others_s, cell_completion_times(cell, decisions)[order], **ROUNDED)


@few_and_many
def test_nobody_is_faster_in_a_cell_than_alone(tries):
    @refute(100 * tries, cells())
    def holds(given):
        cell, decisions, is_exact = given
        alone_s, together_s = completion_times(cell, decisions), cell_completion_times(cell, decisions)
        assert not (together_s < alone_s * (1.0 if is_exact else 1 - 1e-12)).any()


def test_a_third_device_can_make_another_one_faster():
    """Company is not the worse the more there is of it: the third device delays the first, which was in the way.

    Radios send 1 bit a second, the only server has one core of 1 cycle a second. The first device has sent at 0.5 s
    and runs until 2.5 s; the second one sends from 0.75 s on and waits for it. With the third device, which sends all
    the time, the first has not sent before 1 s, and the second is served before it.
    """
    cell = Instances(
        input_bits=[[0.5], [0.0625], [4.0]], output_bits=[[0.0]] * 3, workload_cycles=[[2.0], [0.5], [0.0]],
        cpu_hz=[[1.0, 1.0]] * 3, cores=[[1, 1]] * 3, backlog_s=[[0.0, 0.0]] * 3, uplink_bps=[[1.0, 1.0]] * 3,
        downlink_bps=[[1.0, 1.0]] * 3, wired_bps=[[np.inf, np.inf]] * 3, propagation_s=[[0.0, 0.0]] * 3,
        radio_backlog_s=[0.0, 0.75, 0.0],
    )  # fmt: skip
    everyone_sends = [[1]] * 3
    np.testing.assert_allclose(cell_latency(cell[:2], everyone_sends[:2]), [2.5, 3.0])
    # Three devices share from 0.75 to 0.9375 s, when the second has sent; the first waits for it until 1.4375 s.
    np.testing.assert_allclose(cell_latency(cell, everyone_sends)[:2], [3.4375, 1.4375])
