"""What instances a network was trained on, in ratios, so that one can be told where it decides others.

A network sees times divided by one scale, so what matters is not how fast a link or a processor is but how their times
compare. The range of each ratio over the training instances is written into the policy file.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from offload_gym.instances import Instances

PREFIX = "trained_range_"  # of the keys in the metadata of a policy file
ROUNDING = 1e-3  # of the numbers there
FEW = 0.01  # share of instances outside the range that says nothing: a range is that of a sample


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


def range_metadata(instances: Instances) -> dict[str, str]:
    """The range of each ratio, for the metadata of a policy file."""
    return {f"{PREFIX}{name}": f"{v.min():.4g} {v.max():.4g}" for name, (_, v) in _ratios(instances).items()}


def unlike_trained(metadata: Mapping[str, str], instances: Instances) -> str:
    """Which ratios lie outside the range that the metadata name, in more than ``FEW`` of the instances; empty: none."""
    parts = []
    for name, (what, values) in _ratios(instances).items():
        try:
            low, high = map(float, metadata.get(f"{PREFIX}{name}", "-inf inf").split())
        except ValueError:  # written by another program
            continue
        share = np.mean((values < low * (1 - ROUNDING)) | (values > high * (1 + ROUNDING)))
        if share > FEW:
            parts.append(f"{what} from {low:g} to {high:g} (outside it: {share:.0%} of these instances)")
    return "; ".join(parts)
