"""Epochs that follow each other in time, as one environment draws them.

The latent vector of the next epoch (radio and backlogs) is ``correlation * latent + sqrt(1 - correlation**2) * noise``,
which leaves its distribution as it was, so each epoch of an episode is distributed as an independent instance.
"""

from __future__ import annotations

import math

from offload_gym.compilation import inlined, kernel
from offload_gym.random_numbers import fill_normal, fill_uniform, stream
from offload_gym.sampling import draw_machines, draw_tasks, next_latent, set_state


@inlined
def draw_epoch(parameters, rules, state, batch, b, scratch):
    """Fill epoch ``b`` of a ``Batch`` with the epoch that the progress of ``state`` says; returns the radio's backlog.

    Machines, rates and the latent vector are drawn at epoch 0 and stay, or go on, until the next one. For ``rules``,
    ``state`` and ``scratch`` see ``offload_gym.envs.fleet``.
    """
    progress, u = state.progress[b], scratch.u
    latent, rates = state.latent[b], state.rates[b]
    num_machines = rules.num_machine_uniforms
    numbers = stream(progress.key, progress.episode, progress.epoch)
    if progress.epoch == 0:
        fill_uniform(numbers, 0, u[:num_machines])
        draw_machines(parameters.ranges[0], parameters.cores, u, batch.locations[b], rates)
        progress.time_s = math.floor(u[3 * len(rates)] * len(parameters.trace)) * 1.0
        fill_normal(numbers, num_machines, latent)
    else:
        innovation = u[: len(latent)]
        fill_normal(numbers, num_machines, innovation)
        for j in range(len(latent)):
            latent[j] = next_latent(latent[j], innovation[j], rules.correlation)
        progress.time_s += rules.epoch_s
    # One more than the latent variables are many, as normal numbers take uniform ones in pairs.
    fill_uniform(numbers, num_machines + len(latent) + 1, u[: rules.num_task_uniforms])
    batch.task_counts[b] = draw_tasks(parameters, u, batch, b, scratch.has_edge)
    return set_state(parameters, latent, progress.time_s, rates, batch, b)


@kernel
def draw_noise(key, episode, epoch, normal):
    """Fill ``normal`` with numbers that no epoch is drawn from."""
    fill_normal(stream(~key, episode, epoch), 0, normal)
