"""What instances a network was trained on, in ratios, so that one can be told where it decides others.

A network sees times divided by one scale, so what matters is not how fast a link or a processor is but how their times
compare. The range of each ratio over the training instances is written into the policy file.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.instances import Instances

ROUNDING = 1e-3  # of the bounds, which have four digits
FEW = 0.01  # share of instances outside the range that says nothing: a range is that of a sample


class Bounds(NamedTuple):
    """The least and the greatest value; all values, where that is not known."""

    low: float = -math.inf
    high: float = math.inf


class TrainedRange(NamedTuple):
    """The bounds of each ratio in the training of a network; ``_ratios`` says what each is."""

    send: Bounds = Bounds()
    speed: Bounds = Bounds()
    propagation: Bounds = Bounds()
    backlog: Bounds = Bounds()


def _ratios(instances: Instances) -> dict[str, tuple[str, NDArray[np.float64]]]:
    """By name: what the ratio is, and its value (B,) for each instance."""
    cycles = instances.workload_cycles.sum(axis=1)
    device_s = np.maximum(cycles, 1.0) / (instances.cpu_hz[:, 0] * instances.cores[:, 0])
    send_s = instances.input_bits.sum(axis=1) / instances.uplink_bps[:, 1:].max(axis=1)
    speed = instances.cpu_hz[:, 1:].max(axis=1) / instances.cpu_hz[:, 0]
    backlog_s = instances.backlog_s.reshape(len(instances), instances.num_locations, -1)
    missing = np.arange(backlog_s.shape[2]) >= instances.cores[:, :, None]
    backlog_s = np.where(missing, 0.0, backlog_s).max(axis=(1, 2))
    run = "the time to run all tasks on the device"
    return {
        "send": (f"the time to send all tasks over {run}", send_s / device_s),
        "speed": ("the fastest server's speed over the device's", speed),
        "propagation": (f"the longest propagation time over {run}", instances.propagation_s.max(axis=1) / device_s),
        "backlog": (f"the longest backlog over {run}", np.maximum(backlog_s, instances.radio_backlog_s) / device_s),
    }


def range_of(instances: Instances) -> TrainedRange:
    """The bounds of each ratio over B instances, at least one, in four digits."""
    rounded = {
        name: Bounds(*(float(f"{value:.4g}") for value in (values.min(), values.max())))
        for name, (_, values) in _ratios(instances).items()
    }
    return TrainedRange(**rounded)


def unlike_trained(trained: TrainedRange, instances: Instances) -> str:
    """Which ratios lie outside their bounds in more than ``FEW`` of the instances, in words; empty: none."""
    parts = []
    for name, (what, values) in _ratios(instances).items():
        low, high = getattr(trained, name)
        share = np.mean((values < low * (1 - ROUNDING)) | (values > high * (1 + ROUNDING)))
        if share > FEW:
            parts.append(f"{what} from {low:g} to {high:g} (outside it: {share:.0%} of these instances)")
    return "; ".join(parts)
