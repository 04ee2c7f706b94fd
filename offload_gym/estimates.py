"""Estimates instead of the truth: what a policy knows of rates and backlogs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray

from offload_gym.checks import quoted
from offload_gym.instances import DOWNLINK, UPLINK, Instances, check_instances
from offload_gym.seeds import check_seed

LAST = -1.0  # the kernels' number of "last"
MAX_NOISE = 10.0  # estimates off by a factor of e ** 10 or more say nothing


def estimate_instances(instances: Instances, noise: float, seed: int | SeedSequence | Generator = 0) -> Instances:
    """The instances as estimated rates and backlogs make them look.

    The radio's rates of an instance are multiplied by ``exp(noise * z)`` with one standard normal z, as one measurement
    of the radio gives all of them, and the backlogs of each location and of the radio by such a factor each: the median
    estimate is the truth. Tasks and machines are known exactly.

    Args:
        instances: B instances.
        noise: standard deviation of the logarithm of the factors, from 0, which gives the instances themselves, to
            ``MAX_NOISE``.
        seed: anything that ``numpy.random.default_rng`` takes.

    Raises:
        ValueError: the noise is out of its bounds.
    """
    check_instances(instances)
    check_noise("noise", noise, or_last=False)
    check_seed(seed)
    if noise == 0:
        return instances
    rng = np.random.default_rng(seed)
    radio = rng.standard_normal(len(instances))
    return estimated(instances, noise, radio, rng.standard_normal((len(instances), instances.num_locations + 1)))


def estimated(
    instances: Instances, noise: float, radio: NDArray[np.float64], backlogs: NDArray[np.float64]
) -> Instances:
    """Estimates from standard normal numbers: ``radio`` (B,), and ``backlogs`` (B, 1 + K) with the radio's first."""
    factors, of_radio = np.exp(noise * backlogs), np.exp(noise * radio)[:, None]
    locations = instances.locations.copy()
    locations[:, :, [UPLINK, DOWNLINK]] *= of_radio[:, :, None]
    return Instances.from_batch(
        instances.batch._replace(
            locations=locations,
            core_backlog_s=instances.core_backlog_s * factors[:, 1:, None],
            radio_backlog_s=instances.radio_backlog_s * factors[:, 0],
        )
    )


def check_noise(name: str, noise: Any, or_last: bool = True) -> None:
    """ValueError where ``noise`` is not a number from 0 to ``MAX_NOISE``, or "last" where that is allowed."""
    if or_last and isinstance(noise, str) and noise == "last":
        return
    if not isinstance(noise, int | float | np.number) or isinstance(noise, bool) or not 0 <= noise <= MAX_NOISE:
        bound = f"it must be a number from 0 to {MAX_NOISE:g}" + (", or 'last'" if or_last else "")
        raise ValueError(f"{name} is {quoted(noise)}; {bound}")


def as_last_measured(instances: Instances, before: Instances) -> Instances:
    """The tasks of ``instances`` with the rates and backlogs of the epochs ``before`` them, (B,) each."""
    return Instances.from_batch(
        instances.batch._replace(
            locations=before.locations,
            core_backlog_s=before.core_backlog_s,
            radio_backlog_s=before.radio_backlog_s,
        )
    )
