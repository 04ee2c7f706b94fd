"""Epochs that follow each other in time, as one environment draws them.

The latent vector of the next epoch (radio and backlogs) is ``correlation * latent + sqrt(1 - correlation**2) * noise``,
which leaves its distribution as it was, so each epoch of an episode is distributed as an independent instance.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offload_gym.estimates import estimated
from offload_gym.instances import Instances
from offload_gym.sampling import as_instances, draw_machines, draw_tasks, empty_arrays, scenario_parameters, set_state
from offload_gym.scenario import Scenario
from offload_gym.streams import fill_normal, fill_uniform, stream


class EpochProcess:
    """Consecutive decision epochs of one environment.

    ``restart`` draws the machines and the first epoch, ``advance`` the next epoch: the radio and the backlogs move on
    from where they were, the tasks are new, and the machines stay. Both return the epoch as a batch of one instance.
    All is drawn by position (``offload_gym.streams``), so that the key and the episode say what is drawn.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._parameters, self._sizes = scenario_parameters(scenario)
        n = self._sizes.num_tasks if scenario.random_graph else 0
        self._has_edge = np.empty((n, n), dtype=np.bool_)
        self._uniforms = np.empty(max(self._sizes.machines, self._sizes.tasks))
        self._locations = np.empty((scenario.num_locations, 6))
        self._rates = np.empty((scenario.num_locations, 2))
        self._latent = np.empty(1 + scenario.num_locations)
        self._time_s = 0.0
        self._power = np.array([scenario.power])

    def restart(self, key: np.uint64, episode: int) -> Instances:
        """Draw the machines, the state of radio and backlogs, and the first epoch's tasks."""
        self._key, self._episode, self._epoch = key, episode, 0
        return self._draw()

    def advance(self, free_s: NDArray | None = None, radio_s: float = 0.0) -> Instances:
        """Draw the next epoch.

        Args:
            free_s: (K, max_cores) when each core becomes free of the last epoch's work, in seconds after its decision,
                infinite where the location has fewer cores; None where no work carries over.
            radio_s: when the radio does.
        """
        self._epoch += 1
        instances = self._draw()
        if free_s is None:
            return instances
        # What a core was found busy with is part of what it is still busy with now: the later of the two counts.
        left_s = np.where(np.isfinite(free_s), free_s - self.scenario.epoch_s, 0.0)
        return Instances.from_arrays(
            instances.tasks,
            instances.locations,
            np.maximum(instances.core_backlog_s, left_s),
            np.maximum(instances.radio_backlog_s, radio_s - self.scenario.epoch_s),
            *instances.arrays[4:],
            instances.power,
        )

    def estimate(self, instances: Instances, noise: float) -> Instances:
        """The epoch that was just drawn, as ``estimate_instances`` makes it look."""
        normal = np.empty(2 + instances.num_locations)
        _draw_noise(self._key, self._episode, self._epoch, normal)
        return estimated(instances, noise, normal[:1], normal[None, 1:])

    def _draw(self) -> Instances:
        # Each epoch has arrays of its own: the last one's may still be in use, by a renderer or a replay buffer.
        arrays = empty_arrays(self.scenario, self._sizes, 1)
        tasks, locations, backlog_s, radio_backlog_s, task_counts, edge_start, edge_parent, edge_bits = arrays
        task_counts[0], radio_backlog_s[0], self._time_s = draw_epoch(
            self._parameters, self._sizes, self.scenario.correlation, self.scenario.epoch_s, self._key, self._episode,
            self._epoch, self._time_s, self._uniforms, self._latent, self._locations, self._rates, tasks[0],
            locations[0], backlog_s[0], edge_start[0], edge_parent[0], edge_bits[0], self._has_edge,
        )  # fmt: skip
        return as_instances(arrays, self._power)


@njit(cache=True, nogil=True, error_model="numpy")
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
        draw_machines(parameters.ranges, parameters.cores, u, machines, rates)
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
def _draw_noise(key, episode, epoch, normal):
    """Fill ``normal`` with numbers that no epoch is drawn from."""
    fill_normal(stream(~key, episode, epoch), 0, normal)
