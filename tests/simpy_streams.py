"""The stream model as a simulation in SimPy: a second independent twin, of processes and resources.

What happens in a stream is told in ``naive_streams.py``. Here each job, each task and each piece of data is a process;
a place's cores are a ``Resource``, a device's radio is a ``PriorityResource`` whose key is how long a transmission has
waited. Only the radio spectrum, which senders share and which changes with the slots, is a process of its own.

SimPy grants a resource in the order of the requests, also to the first of several that come at one moment. The model
wants the order within a moment instead, so requests pass a ``Gate``: it opens when all else at that moment has
happened, and lets those that wait pass one by one in the order of their keys. SimPy handles the events of a moment by
their priority, so the gates are events of a lower priority than those of SimPy's own (0 and 1): 3 for the radios and 4,
after them, for the cores. A failure of a server that loses its tasks comes before these, when all has ended that ends
at its moment.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Generator, Sequence
from typing import Any

import simpy
from naive_streams import INPUT, read_stream

FAILURES, RADIOS, CORES = 2, 3, 4

Steps = Generator[simpy.Event, Any, None]


class AfterAllElse(simpy.Event):
    """Happens at this moment, after all events of a priority that comes before."""

    def __init__(self, env: simpy.Environment, priority: int) -> None:
        super().__init__(env)
        self._ok, self._value = True, None  # as in simpy.Timeout
        env.schedule(self, priority)


class Gate:
    """Lets those pass that come at one moment: after all else of it, one by one, the lowest key first."""

    def __init__(self, env: simpy.Environment, priority: int) -> None:
        self.env, self.priority = env, priority
        self.waiting: list[tuple[tuple[int, ...], simpy.Event]] = []

    def passed(self, key: tuple[int, ...]) -> simpy.Event:
        event = self.env.event()
        heapq.heappush(self.waiting, (key, event))
        if len(self.waiting) == 1:
            self.env.process(self.let_pass())
        return event

    def let_pass(self) -> Steps:
        while self.waiting:
            yield AfterAllElse(self.env, self.priority)
            heapq.heappop(self.waiting)[1].succeed()


class Clock:
    """The slots: ``slot`` is that of the moment, ``change`` the event of its end."""

    def __init__(self, env: simpy.Environment, slot_s: float, slots: int) -> None:
        self.env, self.slot_s, self.slots = env, slot_s, slots
        self.slot, self.change = 0, env.event()
        env.process(self.run())

    def run(self) -> Steps:
        while self.slot < self.slots - 1:
            end_s = (self.slot + 1) * self.slot_s
            while self.env.now < end_s:  # once, but for rounding
                yield self.env.timeout(end_s - self.env.now)
            self.slot += 1
            ended, self.change = self.change, self.env.event()
            ended.succeed()


class Spectrum:
    """What the devices that send share. ``send`` gives the event of the last bit."""

    def __init__(self, env: simpy.Environment, clock: Clock, stream: dict[str, Any]) -> None:
        self.env, self.clock, self.stream = env, clock, stream
        self.left_bits: dict[int, float] = {}  # of each device that has a transmission
        self.ratio: dict[int, float] = {}
        self.sent: dict[int, simpy.Event] = {}
        self.another = env.event()  # device begins
        env.process(self.run())

    def send(self, device: int, server: int, bits: float) -> simpy.Event:
        self.left_bits[device], self.ratio[device] = bits, self.stream["rate_ratio"][server]
        self.sent[device] = self.env.event()
        if not self.another.triggered:
            self.another.succeed()
        return self.sent[device]

    def run(self) -> Steps:
        while True:
            rates = {d: self.stream["uplink_bps"][d][self.clock.slot] for d in self.left_bits}
            senders = [d for d, rate in rates.items() if rate > 0]
            at = {d: self.stream["sites"][d][min(self.clock.slot, len(self.stream["sites"][d]) - 1)] for d in senders}
            rates = {d: rates[d] * self.ratio[d] / [*at.values()].count(at[d]) for d in senders}
            need_s = {d: self.left_bits[d] / rates[d] for d in senders}
            began_s = self.env.now
            ends = [self.env.timeout(min(need_s.values()))] if senders else []
            yield self.env.any_of([self.another, self.clock.change, *ends])
            if self.another.triggered:
                self.another = self.env.event()
            for d in senders:
                if began_s + need_s[d] <= self.env.now:
                    del self.left_bits[d]
                    self.sent.pop(d).succeed()
                else:
                    self.left_bits[d] -= rates[d] * (self.env.now - began_s)


class SimpyStream:
    """One stream as SimPy processes; ``response_s`` is filled as jobs end."""

    def __init__(self, stream: dict[str, Any], decision: list[list[int]]) -> None:
        self.stream, self.jobs, self.decision = stream, stream["jobs"], decision
        self.env = env = simpy.Environment()
        self.clock = Clock(env, stream["slot_s"], len(stream["uplink_bps"][0]))
        self.spectrum = Spectrum(env, self.clock, stream)
        self.radio_gate, self.core_gate = Gate(env, RADIOS), Gate(env, CORES)
        self.radios = [simpy.PriorityResource(env) for _ in stream["device_hz"]]
        self.device_cores = [simpy.Resource(env, cores) for cores in stream["device_cores"]]
        self.server_cores = [None, *(simpy.Resource(env, cores) for cores in stream["cores"][1:])]
        self.failure = [env.event() for _ in stream["cores"]]  # the next one of each server
        if stream["loses"]:
            for k in range(1, len(stream["cores"])):
                env.process(self.fail(k))
        self.response_s = [math.inf] * len(self.jobs)
        for j, job in enumerate(self.jobs):
            if set(decision[j][: job["count"]]) != {-1}:
                self.response_s[j] = math.nan  # until it is complete
                env.process(self.job(j))

    def job(self, j: int) -> Steps:
        job = self.jobs[j]
        yield self.env.timeout(job["arrival_s"])
        tasks: list[simpy.Process] = []
        for i in range(job["count"]):  # parents come before children
            bits = {parent: dict(job["children"][parent])[i] for parent in job["parents"][i]}
            data = [self.env.process(self.data(j, i, parent, bits[parent], tasks[parent])) for parent in bits]
            if not bits and self.decision[j][i] != 0:
                data = [self.env.process(self.data(j, i, INPUT, job["input_bits"][i], None))]
            tasks.append(self.env.process(self.task(j, i, data)))
        yield self.env.all_of(tasks)
        self.response_s[j] = self.env.now - job["arrival_s"]

    def task(self, j: int, i: int, data: list[simpy.Process]) -> Steps:
        job, k = self.jobs[j], self.decision[j][i]
        if data:
            yield self.env.all_of(data)
        yield self.core_gate.passed((j, i))
        if k != 0 and self.stream["loses"]:
            if not (yield from self.work_or_lose(k, job["workload_cycles"][i] / self.stream["cpu_hz"][k])):
                self.response_s[j] = math.inf
                yield self.env.event()  # which never comes
            if not job["children"][i]:
                yield from self.down(j, k, job["output_bits"][i])
            return
        cores = self.device_cores[job["device"]] if k == 0 else self.server_cores[k]
        hz = self.stream["device_hz"][job["device"]] if k == 0 else self.stream["cpu_hz"][k]
        with cores.request() as core:
            yield core
            yield from self.work(k, job["workload_cycles"][i] / hz)
        if k != 0 and not job["children"][i]:
            yield from self.down(j, k, job["output_bits"][i])

    def fail(self, k: int) -> Steps:
        """The failures of server k."""
        down = self.stream["down"][k]
        while any(down[self.clock.slot :]):
            yield self.clock.change
            if down[self.clock.slot] and not down[self.clock.slot - 1]:
                yield AfterAllElse(self.env, FAILURES)
                failure, self.failure[k] = self.failure[k], self.env.event()
                failure.succeed()

    def work_or_lose(self, k: int, run_s: float) -> Generator[simpy.Event, Any, bool]:
        """What a task does on a core of server k; returns whether it ends before the server fails."""
        if self.stream["down"][k] and self.stream["down"][k][self.clock.slot]:
            return False
        failure = self.failure[k]
        with self.server_cores[k].request() as core:
            yield core | failure
            if failure.triggered:
                return False
            yield self.env.timeout(run_s) | failure
            return not failure.triggered

    def work(self, k: int, run_s: float) -> Steps:
        """What a task does on a core, in the slots in which its place is up."""
        down = self.stream["down"][k]
        if not any(down):
            yield self.env.timeout(run_s)
            return
        done = run_s == 0
        while not done:
            began_s, works = self.env.now, not down[self.clock.slot]
            ends = [self.env.timeout(run_s)] if works else []
            yield self.env.any_of([self.clock.change, *ends])
            done = works and began_s + run_s <= self.env.now
            run_s -= self.env.now - began_s if works else 0.0

    def data(self, j: int, i: int, parent: int, bits: float, made_by: simpy.Process | None) -> Steps:
        """The way of a task's input, or of the bits from its parent once that has ended."""
        if made_by is not None:
            yield made_by
        source, target = 0 if parent == INPUT else self.decision[j][parent], self.decision[j][i]
        if source == target:
            return
        if source == 0:
            yield from self.up(j, i, parent, bits)
        elif target == 0:
            yield from self.down(j, source, bits)
        else:
            paths = self.path_s(j, source, bits) + self.path_s(j, target, bits)
            yield self.env.timeout(paths)

    def up(self, j: int, i: int, parent: int, bits: float) -> Steps:
        device, k, since = self.jobs[j]["device"], self.decision[j][i], self.env.now
        yield self.radio_gate.passed((j, i, parent))
        with self.radios[device].request(priority=(since, j, i, parent)) as radio:
            yield radio
            if bits > 0:
                yield self.spectrum.send(device, k, bits)
        yield self.env.timeout(self.path_s(j, k, bits))

    def down(self, j: int, k: int, bits: float) -> Steps:
        yield self.env.timeout(self.path_s(j, k, bits))
        rates = self.stream["downlink_bps"][self.jobs[j]["device"]]
        began_s, need_s = self.env.now, 0.0 if bits == 0 else math.inf
        while began_s + need_s > self.env.now:
            began_s, rate = self.env.now, rates[self.clock.slot] * self.stream["rate_ratio"][k]
            need_s = bits / rate if rate > 0 else math.inf
            ends = [self.env.timeout(need_s)] if rate > 0 else []
            yield self.env.any_of([self.clock.change, *ends])
            bits -= rate * (self.env.now - began_s)

    def path_s(self, j: int, k: int, bits: float) -> float:
        sites, slot = self.stream["sites"][self.jobs[j]["device"]], 0
        while slot < len(sites) - 1 and (slot + 1) * self.stream["slot_s"] <= self.env.now:
            slot += 1
        if self.stream["site"][k] == sites[slot]:
            return self.stream["home_propagation_s"][k]
        return bits / self.stream["wired_bps"][k] + self.stream["propagation_s"][k]


def simpy_stream(streams: Any, b: int, decisions: Sequence[Any]) -> list[float]:
    """``response_s`` (J,) of stream ``b`` of a batch under decisions (B, J, n), of which row ``b`` is read.

    Raises:
        ValueError: a job never completes, as its device is in an outage without end.
    """
    simulation = SimpyStream(read_stream(streams, b), [[int(k) for k in row] for row in decisions[b]])
    simulation.env.run()
    for j, response_s in enumerate(simulation.response_s):
        if math.isnan(response_s):
            raise ValueError(f"job {j} never completes: its device is in an outage without end")
    return simulation.response_s
