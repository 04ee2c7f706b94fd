"""The cell in the plainest Python there is: the independent twin that the kernel of ``offload_gym.cell`` is tested on.

It computes with exact fractions, follows the bits that are left to send instead of a virtual clock, and sorts queues
instead of merging them. It shares no code with the package. Devices are dicts of lists as in ``naive.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any


def fraction(value: float) -> Fraction:
    return Fraction(0) if value == float("inf") else Fraction(value)


def inverse(rate: float) -> Fraction:
    return Fraction(0) if rate == float("inf") else 1 / Fraction(rate)


def sent_times(devices: Sequence[dict[str, Any]], decisions: Sequence[Sequence[int]]) -> list[dict[int, Fraction]]:
    """For each device, when the last bit of each remote task is sent."""
    queues = [[i for i, k in enumerate(decision) if k > 0] for decision in decisions]
    left = [[Fraction(bits) for bits in device["input_bits"]] for device in devices]
    backlog = [Fraction(device["radio_backlog_s"]) for device in devices]
    sent: list[dict[int, Fraction]] = [{} for _ in devices]
    now = Fraction(0)
    while any(queues):
        sending = [d for d, queue in enumerate(queues) if queue and backlog[d] <= now]
        rate = {d: Fraction(devices[d]["uplink_bps"][decisions[d][queues[d][0]]]) / len(sending) for d in sending}
        until_sent = [left[d][queues[d][0]] / rate[d] for d in sending]
        until_joined = [backlog[d] - now for d, queue in enumerate(queues) if queue and backlog[d] > now]
        step = min(until_sent + until_joined)
        now += step
        for d in sending:
            i = queues[d][0]
            left[d][i] -= rate[d] * step
            if left[d][i] == 0:
                sent[d][i] = now
                queues[d].pop(0)
    return sent


def completion_times(devices: Sequence[dict[str, Any]], decisions: Sequence[Sequence[int]]) -> list[list[float]]:
    """Completion of every task of every device, in seconds after the decision."""
    sent = sent_times(devices, decisions)
    completion: list[list[float]] = [[0.0] * len(decision) for decision in decisions]

    def serve(k: int, queue: list[tuple[int, int, Fraction]], owner: int) -> None:
        backlog = devices[owner]["backlog_s"][k]
        cores = int(devices[owner]["cores"][k])
        rows = list(backlog)[:cores] if isinstance(backlog, (list, tuple)) else [backlog]
        free = [Fraction(value) for value in (rows * cores if len(rows) < cores else rows)]
        for d, i, arrival in queue:
            core = free.index(min(free))
            free[core] = max(arrival, free[core]) + fraction(devices[d]["workload_cycles"][i]) * inverse(
                devices[d]["cpu_hz"][k]
            )
            back = Fraction(0)
            if k > 0:
                bits = Fraction(devices[d]["output_bits"][i])
                back = bits * inverse(devices[d]["downlink_bps"][k]) + bits * inverse(devices[d]["wired_bps"][k])
                back += Fraction(devices[d]["propagation_s"][k])
            completion[d][i] = float(free[core] + back)

    for d, decision in enumerate(decisions):
        serve(0, [(d, i, Fraction(0)) for i, k in enumerate(decision) if k == 0], d)
    for k in range(1, len(devices[0]["cpu_hz"])):
        arrivals = {
            (d, i): sent[d][i]
            + Fraction(devices[d]["input_bits"][i]) * inverse(devices[d]["wired_bps"][k])
            + Fraction(devices[d]["propagation_s"][k])
            for d, decision in enumerate(decisions)
            for i, where in enumerate(decision)
            if where == k
        }
        turns = sorted((max(t for (e, j), t in arrivals.items() if e == d and j <= i), d, i) for d, i in arrivals)
        serve(k, [(d, i, arrivals[d, i]) for _, d, i in turns], 0)
    return completion
