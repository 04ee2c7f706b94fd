"""One moment as a simulation in SimPy, of one device and of a cell: a second independent twin, of processes.

It is written from the statement of the problem (docs/problem.md) and of cells, and shares nothing with the package.
What is served by index is asked for by index at time 0 and kept while its data are awaited: a core is a unit of a
``Resource``, which grants in the order of the requests, and a backlog is a process that has asked before all tasks. In
a cell the order at the servers follows from when everything arrives, which depends on no server: so there are two
simulations, one of the radios and one of the cores. Devices are dicts of lists, as in ``naive.py``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any

import simpy

Steps = Generator[simpy.Event, Any, None]
Device = dict[str, Any]


def occupy(env: simpy.Environment, resource: simpy.Resource, until_s: float) -> Steps:
    with resource.request() as turn:
        yield turn
        yield env.timeout(until_s - env.now)


def cores_of(env: simpy.Environment, device: Device, k: int) -> simpy.Resource:
    count, backlog = int(device["cores"][k]), device["backlog_s"][k]
    cores = simpy.Resource(env, count)
    for until_s in backlog[:count] if isinstance(backlog, list) else [backlog] * count:
        env.process(occupy(env, cores, until_s))
    return cores


def wired_s(device: Device, k: int, bits: float) -> float:
    return bits / device["wired_bps"][k] + device["propagation_s"][k]


def run(env: simpy.Environment, core: simpy.Event, data: Iterable[simpy.Event], run_s: float) -> Steps:
    """A task that has asked for its core already."""
    yield env.all_of([core, *data])
    yield env.timeout(run_s)


class Moment:
    """One device."""

    def __init__(self, device: Device, decision: Sequence[int]) -> None:
        self.device, self.decision = device, decision
        self.env = env = simpy.Environment()
        self.radio = simpy.Resource(env)
        env.process(occupy(env, self.radio, device["radio_backlog_s"]))
        self.cores = [cores_of(env, device, k) for k in range(len(device["cpu_hz"]))]
        self.completion_s = [float("nan")] * len(decision)
        self.finished = [env.event() for _ in decision]
        self.edges = dict(zip(device["edges"], device["edge_bits"], strict=True))
        env.process(self.ask())

    def ask(self) -> Steps:
        """Ask for radio and cores by index, behind what was there before."""
        yield self.env.timeout(0)  # after this moment's processes of the backlogs have asked
        for i, k in enumerate(self.decision):
            parents = sorted(parent for parent, child in self.edges if child == i)
            data = [self.env.process(self.move(parent, i, self.turn(parent, i))) for parent in parents]
            if not parents and k > 0:
                data = [self.env.process(self.send(i, self.device["input_bits"][i], None, self.radio.request()))]
            self.env.process(self.task(i, self.cores[k].request(), data))

    def turn(self, parent: int, i: int) -> simpy.Event | None:
        return self.radio.request() if self.decision[parent] == 0 < self.decision[i] else None

    def task(self, i: int, core: Any, data: list[simpy.Process]) -> Steps:
        k, device = self.decision[i], self.device
        yield from run(self.env, core, data, device["workload_cycles"][i] / device["cpu_hz"][k])
        self.cores[k].release(core)
        self.finished[i].succeed()
        if k > 0 and all(parent != i for parent, _ in self.edges):
            bits = device["output_bits"][i]
            yield self.env.timeout(bits / device["downlink_bps"][k] + wired_s(device, k, bits))
        self.completion_s[i] = self.env.now

    def send(self, i: int, bits: float, after: simpy.Event | None, turn: Any) -> Steps:
        yield turn if after is None else turn & after
        yield self.env.timeout(bits / self.device["uplink_bps"][self.decision[i]])
        self.radio.release(turn)
        yield self.env.timeout(wired_s(self.device, self.decision[i], bits))

    def move(self, parent: int, i: int, turn: simpy.Event | None) -> Steps:
        source, target, bits = self.decision[parent], self.decision[i], self.edges[parent, i]
        if turn is not None:
            yield from self.send(i, bits, self.finished[parent], turn)
            return
        yield self.finished[parent]
        if source == target:
            return
        took_s = wired_s(self.device, source, bits)
        took_s += bits / self.device["downlink_bps"][source] if target == 0 else wired_s(self.device, target, bits)
        yield self.env.timeout(took_s)


def completion_times(device: Device, decision: Sequence[int]) -> list[float]:
    """Completion of every task, in seconds after the decision."""
    moment = Moment(device, decision)
    moment.env.run()
    return moment.completion_s


class Uplink:
    """The radios of a cell, which share its spectrum; fills when each remote task has been sent."""

    def __init__(self, devices: Sequence[Device], decisions: Sequence[Sequence[int]]) -> None:
        self.env = simpy.Environment()
        self.devices, self.decisions = devices, decisions
        self.left: dict[int, float] = {}  # of each device that sends: seconds that it would take alone
        self.sent: dict[int, simpy.Event] = {}
        self.changed = self.env.event()
        self.sent_s: dict[tuple[int, int], float] = {}
        self.env.process(self.share())
        for d in range(len(devices)):
            self.env.process(self.radio(d))

    def radio(self, d: int) -> Steps:
        device = self.devices[d]
        yield self.env.timeout(device["radio_backlog_s"])
        for i, k in enumerate(self.decisions[d]):
            if k > 0:
                if device["input_bits"][i] > 0:
                    self.left[d] = device["input_bits"][i] / device["uplink_bps"][k]
                    self.sent[d] = self.env.event()
                    if not self.changed.triggered:
                        self.changed.succeed()
                    yield self.sent[d]
                self.sent_s[d, i] = self.env.now

    def share(self) -> Steps:
        while True:
            senders, began_s = list(self.left), self.env.now
            first_s = min((self.left[d] for d in senders), default=0.0)
            ends = [self.env.timeout(first_s * len(senders))] if senders else []
            yield self.env.any_of([self.changed, *ends])
            if self.changed.triggered:
                self.changed = self.env.event()
            over = bool(ends) and ends[0].processed
            for d in senders:
                if over and self.left[d] == first_s:
                    del self.left[d]
                    self.sent.pop(d).succeed()
                else:
                    self.left[d] -= first_s if over else (self.env.now - began_s) / len(senders)


def cell_completion_times(devices: Sequence[Device], decisions: Sequence[Sequence[int]]) -> list[list[float]]:
    """Completion of every task of every device of a cell."""
    uplink = Uplink(devices, decisions)
    uplink.env.run()
    env = simpy.Environment()
    completion_s = [[float("nan")] * len(decision) for decision in decisions]

    def task(d: int, i: int, k: int, core: Any, cores: simpy.Resource, arrival_s: float) -> Steps:
        device = devices[d]
        yield from run(env, core, [env.timeout(arrival_s)], device["workload_cycles"][i] / device["cpu_hz"][k])
        cores.release(core)
        if k > 0:
            bits = device["output_bits"][i]
            yield env.timeout(bits / device["downlink_bps"][k] + wired_s(device, k, bits))
        completion_s[d][i] = env.now

    def ask(
        queue: list[tuple[int, int]], k: int, cores: simpy.Resource, arrival_s: dict[tuple[int, int], float]
    ) -> Steps:
        yield env.timeout(0)  # after the backlogs
        for d, i in queue:
            env.process(task(d, i, k, cores.request(), cores, arrival_s[d, i]))

    for d, decision in enumerate(decisions):
        own = [(d, i) for i, k in enumerate(decision) if k == 0]
        env.process(ask(own, 0, cores_of(env, devices[d], 0), dict.fromkeys(own, 0.0)))
    for k in range(1, len(devices[0]["cpu_hz"])):
        there = {
            (d, i): sent_s + wired_s(devices[d], k, devices[d]["input_bits"][i])
            for (d, i), sent_s in uplink.sent_s.items()
            if decisions[d][i] == k
        }
        turn = {(d, i): max(s for (e, j), s in there.items() if e == d and j <= i) for d, i in there}
        queue = sorted(there, key=lambda at: (turn[at], *at))
        env.process(ask(queue, k, cores_of(env, devices[0], k), there))
    env.run()
    return completion_s
