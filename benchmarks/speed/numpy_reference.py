"""The delay model for independent tasks in numpy, vectorised over the batch: what one writes without a compiler."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offload_gym.instances import CORES, CPU, DOWNLINK, INPUT, OUTPUT, PROPAGATION, UPLINK, WIRED, WORKLOAD, Instances


def latency(instances: Instances, decisions: NDArray[np.int64]) -> NDArray[np.float64]:
    """(B,) makespans in seconds of ``decisions`` (B, n) for independent tasks without padding.

    Stage times and the radio are vectorised over instances and tasks; only the cores need a loop over the tasks.
    """
    size, n = decisions.shape
    num_locations = instances.num_locations
    rows = np.arange(size)[:, None] * num_locations + decisions  # (B, n) rows of the flat arrays of locations
    location = instances.locations.reshape(-1, instances.locations.shape[2])
    remote = decisions > 0
    input_bits, output_bits = instances.tasks[..., INPUT] * remote, instances.tasks[..., OUTPUT] * remote
    wired_bps = location[:, WIRED][rows]
    propagation_s = np.where(remote, location[:, PROPAGATION][rows], 0.0)
    radio_s = instances.radio_backlog_s[:, None] + np.cumsum(input_bits / location[:, UPLINK][rows], axis=1)
    ready_s = np.where(remote, radio_s + input_bits / wired_bps + propagation_s, 0.0)
    run_s = instances.tasks[..., WORKLOAD] / location[:, CPU][rows]
    return_s = output_bits / location[:, DOWNLINK][rows] + output_bits / wired_bps + propagation_s

    max_cores = instances.max_cores
    exists = np.arange(max_cores) < instances.locations[:, :, CORES, None]
    free_s = np.where(exists, instances.core_backlog_s, np.inf).reshape(-1, max_cores)
    free_of_core_s = free_s.ravel()  # a view
    makespan_s = np.zeros(size)
    for i in range(n):
        core = rows[:, i] * max_cores + free_s[rows[:, i]].argmin(axis=1)
        finish_s = np.maximum(ready_s[:, i], free_of_core_s[core]) + run_s[:, i]
        free_of_core_s[core] = finish_s
        np.maximum(makespan_s, finish_s + return_s[:, i], out=makespan_s)
    return makespan_s
