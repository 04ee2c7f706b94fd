"""What each choice of each device costs all devices of a cell together, while the others decide as they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.cell_policies import report_of, with_slowdown
from offload_gym.delay import latency
from offload_gym.instances import CPU, UPLINK, Instances
from offload_gym.networks.cell_kernel import COMPANY, decide_in_training, slowdown_of, write_company
from offload_gym.observation import epoch_observations, state_size
from offload_gym.solvers.best_response import alternative_latency
from offload_gym.solvers.greedy import greedy

PRIVILEGED = 6  # numbers that a teacher reads of the other devices
FORCED = 1e4  # what is added to the score of a choice that must be taken

#: A network as the kernel reads it, what ``make_plan`` returns.
Packed = tuple[NDArray[np.int64], NDArray[np.float32]]


class Cells(NamedTuple):
    """C cells of m devices each, device after device: B = C m instances."""

    cells: list[Instances]
    devices: Instances  # all of them
    slowed: Instances  # as the network sees them
    report: NDArray[np.float64]  # (B, 3) what the kernel takes
    company: NDArray[np.float32]  # (B, COMPANY) what it shows to the network
    others: NDArray[np.float32]  # (B, PRIVILEGED) of the other devices, for a teacher


class Labels(NamedTuple):
    """What a network learns from."""

    rows: NDArray[np.float32]  # (B, n, row size)
    states: NDArray[np.float32]  # (B, n, state size and company, and what a teacher reads beside them)
    costs: NDArray[np.float32]  # (B, n, K) latency of all devices over that of one, beside the decision's
    latency_s: float  # mean of the decisions


def gather(cells: list[Instances], share: float) -> Cells:
    """Cells of one size as one batch of devices, with what each of them is told."""
    m, devices = len(cells[0]), Instances.concatenate(cells)
    slowed = with_slowdown(devices, slowdown_of(m, share))
    told = np.repeat([report_of(cell) for cell in cells], m, axis=0)
    report = np.column_stack([told, np.full(len(told), share)])
    scale_s = latency(slowed, greedy(slowed))
    company = np.empty((len(devices), COMPANY), dtype=np.float32)
    own_bps = devices.locations[:, 1:, UPLINK].mean(axis=1)
    for b, out in enumerate(company):
        write_company(m, report[b, 1], own_bps[b], 1.0 / scale_s[b], out, 0)
    return Cells(cells, devices, slowed, report, company, _others(devices, m, scale_s))


def _others(devices: Instances, m: int, scale_s: NDArray[np.float64]) -> NDArray[np.float32]:
    """(B, PRIVILEGED) means over the other devices of the cell, relative to the own scale; 0 where there are none."""
    send_s = devices.input_bits.sum(axis=1) / devices.locations[:, 1:, UPLINK].mean(axis=1)
    cycles = devices.workload_cycles.sum(axis=1)
    of_device = np.stack(
        [
            send_s,
            cycles / devices.locations[:, 0, CPU],
            cycles / devices.locations[:, 1, CPU],
            devices.radio_backlog_s,
            devices.core_backlog_s[:, 0, 0],
            scale_s,
        ],
        axis=1,
    ).reshape(-1, m, PRIVILEGED)
    mean = (of_device.sum(axis=1, keepdims=True) - of_device) / max(m - 1, 1)
    return np.arctan(mean.reshape(-1, PRIVILEGED) / scale_s[:, None]).astype(np.float32)


def decide(cells: Cells, network: Packed, leanings: NDArray[np.float32], privileged: bool) -> NDArray[np.int64]:
    """Decisions (B, n) of all devices; ``leanings`` (B, n, K) are added to the scores."""
    return _decide(cells.devices.arrays[:5], cells.report, network, leanings, _read(cells, privileged))


def _read(cells: Cells, privileged: bool) -> NDArray[np.float32]:
    return cells.others if privileged else cells.others[:, :0].copy()


def _decide(
    arrays: Sequence[NDArray],
    report: NDArray[np.float64],
    network: Packed,
    leanings: NDArray[np.float32],
    more: NDArray[np.float32],
) -> NDArray[np.int64]:
    decisions = np.empty(leanings.shape[:2], dtype=np.int64)
    if not decide_in_training(tuple(arrays), report, network, leanings, more, decisions):
        raise ValueError("the network is for other locations than those of the cells")
    return decisions


def label(cells: Cells, network: Packed, leanings: NDArray[np.float32], privileged: bool) -> Labels:
    """Let a network decide for all devices, and try every other choice of each task of each device.

    Behind another choice the network goes on by itself for the device's later tasks, with the same ``leanings``; the
    other devices keep their decisions. With Gumbel noise of scale 1 as leanings choices are drawn as often as their
    softmax says, and the costs give the gradient of the mean latency by the scores of all choices, as the network is
    the policy of all devices.
    """
    size, n, num_locations = leanings.shape
    decisions = decide(cells, network, leanings, privileged)
    others = [(i, step) for i in range(n) for step in range(1, num_locations)]
    forced = np.repeat(leanings[:, None], len(others), axis=1)
    taken = np.eye(num_locations, dtype=np.float32) * FORCED
    for a, (i, step) in enumerate(others):
        forced[:, a, :i] += taken[decisions[:, :i]]
        forced[:, a, i] += taken[(decisions[:, i] + step) % num_locations]
    again = np.repeat(np.arange(size), len(others))
    tried = _decide(
        [np.ascontiguousarray(array[again]) for array in cells.devices.arrays[:5]],
        cells.report[again],
        network,
        forced.reshape(-1, n, num_locations),
        _read(cells, privileged)[again],
    )
    alternatives = np.concatenate([decisions[:, None], tried.reshape(size, len(others), n)], axis=1)
    m = len(cells.cells[0])
    latency_s = np.concatenate(
        [
            alternative_latency(cell, decisions[c * m : (c + 1) * m], alternatives[c * m : (c + 1) * m])
            for c, cell in enumerate(cells.cells)
        ]
    )
    mean_s = float(latency_s[:, 0].mean())
    over = m * (latency_s[:, 1:] - latency_s[:, :1]) / mean_s
    costs = np.zeros((size, n, num_locations), dtype=np.float32)
    every = np.arange(size)
    for a, (i, step) in enumerate(others):
        costs[every, i, (decisions[:, i] + step) % num_locations] = over[:, a]
    return Labels(*observe(cells, decisions), costs, mean_s)


def observe(cells: Cells, decisions: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rows and states along decisions; behind the state company, then what a teacher reads beside it."""
    rows, states = epoch_observations(cells.slowed, decisions)
    cores = cells.devices.cores[0]
    plain = states[..., : state_size(int(cores.sum()), len(cores), False, False)]
    further = np.concatenate([cells.company, cells.others], axis=1)[:, None]
    return rows, np.concatenate([plain, np.broadcast_to(further, (*plain.shape[:2], further.shape[2]))], axis=2)
