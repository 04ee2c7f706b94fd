"""Epochs that follow each other in time, as one environment draws them.

The latent vector of the next epoch (radio and backlogs) is ``correlation * latent + sqrt(1 - correlation**2) * noise``,
which leaves its distribution as it was, so each epoch of an episode is distributed as an independent instance.
"""

from __future__ import annotations

import math

from numba import njit

from offload_gym.sampling import draw_machines, draw_tasks, set_state
from offload_gym.streams import fill_normal, fill_uniform, stream


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def draw_epoch(
    parameters, sizes, correlation, epoch_s, key, episode, epoch, time_s, u, latent, machines, rates, tasks, locations,
    backlog_s, edge_start, edge_parent, edge_bits, has_edge,
):  # fmt: skip
    """Fill the arrays of one epoch; returns its number of tasks, the radio's backlog, and where the trace stands.

    ``machines`` (K, 6), ``rates`` and ``latent`` are drawn at epoch 0 and carried along by the caller; ``u`` is scratch
    space.
    """
    numbers = stream(key, episode, epoch)
    if epoch == 0:
        fill_uniform(numbers, 0, u[: sizes.machines])
        draw_machines(parameters.ranges[0], parameters.cores, u, machines, rates)
        time_s = math.floor(u[3 * len(machines)] * len(parameters.trace)) * 1.0
        fill_normal(numbers, sizes.machines, latent)
    else:
        innovation = u[: len(latent)]
        fill_normal(numbers, sizes.machines, innovation)
        scale = math.sqrt(1.0 - correlation**2)
        for j in range(len(latent)):
            latent[j] = correlation * latent[j] + scale * innovation[j]
        time_s += epoch_s
    # One more than the latent variables are many, as normal numbers take uniform ones in pairs.
    fill_uniform(numbers, sizes.machines + len(latent) + 1, u[: sizes.tasks])
    for k in range(locations.shape[0]):
        for column in range(locations.shape[1]):
            locations[k, column] = machines[k, column]
    count = draw_tasks(parameters, u, tasks, edge_start, edge_parent, edge_bits, has_edge)
    return count, set_state(parameters, latent, time_s, rates, locations, backlog_s), time_s


@njit(cache=True, nogil=True, error_model="numpy")
def draw_noise(key, episode, epoch, normal):
    """Fill ``normal`` with numbers that no epoch is drawn from."""
    fill_normal(stream(~key, episode, epoch), 0, normal)
