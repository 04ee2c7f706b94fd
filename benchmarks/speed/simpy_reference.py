"""Streams of one-task jobs as a simulation in SimPy, of processes and resources, as one would write it there.

Each job is a process. Radios and cores are resources, which serve in the order of the requests. The spectrum of a site,
which devices share and whose rates change with the slots, is one process more, which wakes up where either happens.
What comes at the same moment is served in no particular order, so arrivals must differ; there are no outages, and
devices stay at their sites.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from offload_gym.instances import INPUT, OUTPUT, WORKLOAD
from offload_gym.streams.streams import Streams

Steps = Generator[simpy.Event, Any, None]


class Spectrum:
    """What the devices of a site share that send."""

    def __init__(self, env: simpy.Environment) -> None:
        self.left_bits: dict[int, float] = {}  # of each device that sends
        self.sent: dict[int, simpy.Event] = {}
        self.another = env.event()  # device begins to send


class Cell:
    """One stream; ``response_s`` (J,) is filled as jobs end."""

    def __init__(self, streams: Streams, b: int, decision: NDArray[np.int64]) -> None:
        batch = streams.batch
        # As lists: Python reads them sooner than arrays.
        self.jobs, self.tasks, self.decision = batch.jobs[b].tolist(), batch.tasks[b, :, 0].tolist(), decision.tolist()
        self.devices, self.servers = batch.devices[b].tolist(), [None, *batch.servers[b].tolist()]
        self.up, self.down = batch.uplink_bps[b].tolist(), batch.downlink_bps[b].tolist()
        self.slot_s, self.last_slot = float(batch.common["slot_s"][b]), batch.uplink_bps.shape[2] - 1
        self.env = env = simpy.Environment()
        self.radios = [simpy.Resource(env) for _ in self.devices]
        self.device_cores = [simpy.Resource(env, cores) for _, cores in self.devices]
        self.server_cores = [None, *(simpy.Resource(env, server[1]) for server in self.servers[1:])]
        self.site_of = batch.sites[b, :, 0].tolist()
        self.spectra = {a: Spectrum(env) for a in set(self.site_of)}
        self.response_s = [0.0] * len(self.jobs)
        for spectrum in self.spectra.values():
            env.process(self.share(spectrum))
        for j in range(len(self.jobs)):
            env.process(self.job(j))
        env.run()

    def job(self, j: int) -> Steps:
        """From the arrival of a job until its result is on its device."""
        arrival_s, _, d, _, _ = self.jobs[j]
        task, k = self.tasks[j], self.decision[j]
        yield self.env.timeout(arrival_s)
        if k > 0:
            _, _, wired_bps, propagation_s, rate_ratio, stands_at, home_s, *_ = self.servers[k]
            if stands_at == self.site_of[d]:
                wired_bps, propagation_s = np.inf, home_s
            spectrum = self.spectra[self.site_of[d]]
            with self.radios[d].request() as radio:
                yield radio
                spectrum.left_bits[d], spectrum.sent[d] = task[INPUT] / rate_ratio, self.env.event()
                if not spectrum.another.triggered:
                    spectrum.another.succeed()
                yield spectrum.sent[d]
            yield self.env.timeout(task[INPUT] / wired_bps + propagation_s)
        with (self.server_cores[k] if k > 0 else self.device_cores[d]).request() as core:
            yield core
            yield self.env.timeout(task[WORKLOAD] / (self.servers[k][0] if k > 0 else self.devices[d][0]))
        if k > 0:
            yield self.env.timeout(task[OUTPUT] / wired_bps + propagation_s)
            yield from self.drain(d, task[OUTPUT] / rate_ratio)
        self.response_s[j] = self.env.now - arrival_s

    def slot(self) -> int:
        """The slot of now."""
        return int(min(self.env.now / self.slot_s, self.last_slot))

    def drain(self, d: int, bits: float) -> Steps:
        """The way back to a device, which nothing shares."""
        slot = self.slot()
        while True:
            need_s, left_s = bits / self.down[d][slot], max((slot + 1) * self.slot_s - self.env.now, 0.0)
            if slot == self.last_slot or need_s <= left_s:
                yield self.env.timeout(need_s)
                return
            yield self.env.timeout(left_s)
            bits -= self.down[d][slot] * left_s
            slot += 1

    def share(self, spectrum: Spectrum) -> Steps:
        """Let the devices that send have equal parts, until one has sent, another one begins, or the slot ends."""
        slot, left_bits = 0, spectrum.left_bits
        while True:
            if not left_bits:
                yield spectrum.another
                spectrum.another, slot = self.env.event(), self.slot()
            began_s, end_s = self.env.now, (slot + 1) * self.slot_s if slot < self.last_slot else np.inf
            rates = {d: self.up[d][slot] / len(left_bits) for d in left_bits}
            need_s, first = min((left_bits[d] / rates[d], d) for d in rates)
            in_s = max(min(need_s, end_s - began_s), 0.0)
            end = self.env.timeout(in_s)
            yield end | spectrum.another
            if spectrum.another.triggered:
                spectrum.another = self.env.event()
            passed_s = self.env.now - began_s
            for d, rate in rates.items():
                left_bits[d] -= rate * passed_s
            if end.processed:
                if need_s <= in_s:
                    del left_bits[first]
                    spectrum.sent.pop(first).succeed()
                else:
                    slot += 1


def response_times(streams: Streams, decisions: NDArray[np.int64]) -> NDArray[np.float64]:
    """(B, J) responses in seconds of ``decisions`` (B, J, 1) of jobs that are not dropped."""
    return np.array([Cell(streams, b, decisions[b, :, 0]).response_s for b in range(len(streams))])
