"""Networks of graphs in plain Python: what they see, and what they decide. Written for clarity; slow on purpose."""

from __future__ import annotations

from typing import Any, NamedTuple

import naive
import numpy as np


class Placed(NamedTuple):
    """A schedule of the first tasks of an instance."""

    radio_s: float
    cores: list[list[float]]  # of each location, when each core is free
    start: list[float]
    finish: list[float]
    completion: list[float]


def wire(instance: dict[str, Any], bits: float, k: int) -> float:
    """How long data take between the base station and a server."""
    return bits / instance["wired_bps"][k] + instance["propagation_s"][k]


def move(instance: dict[str, Any], bits: float, source: int, target: int) -> tuple[float, float]:
    """How long data keep the radio, and how long they are on the way after that."""
    if source == target:
        return 0.0, 0.0
    send = bits / instance["uplink_bps"][target] if source == 0 else 0.0
    way = 0.0 if source == 0 else wire(instance, bits, source)
    way += bits / instance["downlink_bps"][source] if target == 0 else wire(instance, bits, target)
    return send, way


def run(instance: dict[str, Any], i: int, k: int) -> float:
    return instance["workload_cycles"][i] / instance["cpu_hz"][k]


class Twin:
    """An instance, and what a network sees and decides of it."""

    def __init__(self, instance: dict[str, Any]) -> None:
        self.instance = instance
        self.n, self.num_locations = len(instance["input_bits"]), len(instance["cpu_hz"])
        self.places = range(self.num_locations)
        self.parents = naive.parents_of_each_task(instance, self.n)
        self.children: list[list[tuple[int, float]]] = [[] for _ in range(self.n)]
        for child, pairs in enumerate(self.parents):
            for parent, bits in pairs:
                self.children[parent].append((child, bits))
        self.least_tail = self.tails(None)
        self.fixed = [self.latency([k] * self.n) for k in self.places]
        runs = sum(run(instance, i, k) / self.num_locations for i in range(self.n) for k in self.places)
        moves = [self.data(i) for i in range(self.n)]
        self.unit = (runs + sum(incoming for incoming, _ in moves)) / self.n or 1.0

    def latency(self, decision: list[int]) -> float:
        return naive.latency(self.instance, decision)

    def schedule(self, decision: list[int]) -> Placed:
        """What the first tasks of the instance come to, one after the other."""
        instance = self.instance
        radio = instance["radio_backlog_s"]
        cores = [naive.core_free_times(instance, k) for k in self.places]
        placed = Placed(radio, cores, [], [], [])
        for i, k in enumerate(decision):
            ready = 0.0
            if not self.parents[i] and k > 0:
                radio += instance["input_bits"][i] / instance["uplink_bps"][k]
                ready = radio + wire(instance, instance["input_bits"][i], k)
            for parent, bits in self.parents[i]:
                send, way = move(instance, bits, decision[parent], k)
                there = placed.finish[parent]
                if decision[parent] == 0 and k > 0:
                    radio = there = max(radio, there) + send
                ready = max(ready, there + way)
            core = cores[k].index(min(cores[k]))
            placed.start.append(max(ready, cores[k][core]))
            placed.finish.append(placed.start[-1] + run(instance, i, k))
            cores[k][core] = placed.finish[-1]
            placed.completion.append(placed.finish[-1] + self.back(i, k))
        return placed._replace(radio_s=radio)

    def back(self, i: int, k: int) -> float:
        """How long the result of an exit task takes to the device."""
        if self.children[i] or k == 0:
            return 0.0
        bits = self.instance["output_bits"][i]
        return bits / self.instance["downlink_bps"][k] + wire(self.instance, bits, k)

    def tails(self, decision: list[int] | None) -> list[list[float]]:
        """What follows each task at each location takes at the least, its children as decided or, None, anywhere."""
        tails = [[0.0] * self.num_locations for _ in range(self.n)]
        for i in reversed(range(self.n)):
            for k in self.places:
                tails[i][k] = self.back(i, k)
                for child, bits in self.children[i]:
                    targets = self.places if decision is None else [decision[child]]
                    ways = [sum(move(self.instance, bits, k, to)) for to in targets]
                    after = [run(self.instance, child, to) + tails[child][to] for to in targets]
                    tails[i][k] = max(tails[i][k], min(w + a for w, a in zip(ways, after, strict=True)))
        return tails

    def together(self, bits: float) -> float:
        """What an edge saves if its ends are at one place: its data on the way from the device to the first server."""
        return sum(move(self.instance, bits, 0, 1))

    def data(self, i: int) -> tuple[float, float]:
        """Mean times of what comes in and of what goes out, there on the first link and back on the last."""
        return tuple(
            sum(0.5 * (self.together(bits) + move(self.instance, bits, self.num_locations - 1, 0)[1]) for _, bits in of)
            for of in (self.parents[i], self.children[i])
        )

    def inputs(self, draft: list[int], decided: list[int]) -> list[list[float]]:
        """The 32 numbers of each location for the next task, in their order."""
        instance, i = self.instance, len(decided)
        whole = self.schedule(draft)
        value = max(whole.completion)
        unit, per_value, best_fixed = self.unit, value or 1.0, min(self.fixed)
        tails = self.tails(draft)
        now = self.schedule(decided)
        trials = [self.schedule([*decided, k]) for k in self.places]
        ends = [trial.completion[i] for trial in trials]
        open_ends = [trial.finish[i] + self.least_tail[i][k] for k, trial in enumerate(trials)]
        drafted = [trial.finish[i] + tails[i][k] for k, trial in enumerate(trials)]
        soonest = min(trial.start[i] for trial in trials)
        later = range(i + 1, self.n)
        radio_left = 0.0
        for j in later:
            if draft[j] > 0:
                if not self.parents[j]:
                    radio_left += instance["input_bits"][j] / instance["uplink_bps"][draft[j]]
                for parent, bits in self.parents[j]:
                    radio_left += move(instance, bits, draft[parent], draft[j])[0]
        slack = value - whole.finish[i] - tails[i][draft[i]]
        entries = [j for j in range(self.n) if not self.parents[j]]
        sent = sum(instance["input_bits"][j] / instance["uplink_bps"][1] for j in entries)
        on_device = sum(run(instance, j, 0) for j in range(self.n)) / instance["cores"][0]
        incoming, outgoing = self.data(i)
        shared = [
            bounded(0.5 * len(self.parents[i])),
            bounded(0.5 * len(self.children[i])),
            bounded(incoming / unit),
            bounded(outgoing / unit),
            bounded(sent / (best_fixed or 1.0)),
            bounded(on_device / (best_fixed or 1.0)),
            float(not self.parents[i]),
            self.n / (self.n + 50.0),
            (self.n - i) / self.n,
            bounded(max(now.radio_s - soonest, 0.0) / unit),
            bounded(min(open_ends) / per_value),
            bounded(soonest / per_value),
            bounded(slack / unit),
            bounded((now.radio_s + radio_left) / per_value),
            bounded((best_fixed / per_value - 1.0) * 4.0),
            bounded(slack / per_value * 4.0),
        ]
        rows = []
        for k in self.places:
            busy = sum(now.cores[k])
            left = sum(run(instance, j, k) for j in later if draft[j] == k)
            per_core = per_value * instance["cores"][k]
            own = [
                float(k == 0),
                float(k == self.num_locations - 1),
                bounded((ends[k] - min(ends)) / unit),
                bounded((self.least_tail[i][k] - min(self.least_tail[i])) / unit),
                bounded((open_ends[k] - min(open_ends)) / unit),
                bounded(run(instance, i, k) / unit),
                bounded((trials[k].radio_s - now.radio_s) / unit),
                bounded(open_ends[k] / per_value),
                bounded(busy / per_core),
                share([(decided[parent], bits) for parent, bits in self.parents[i]], k, self.together),
                self.pulled(decided, i, k),
                float(draft[i] == k),
                share([(draft[child], bits) for child, bits in self.children[i]], k, self.together),
                bounded((busy + left) / per_core),
                bounded((drafted[k] - value) / unit),
                bounded((drafted[k] - min(drafted)) / unit),
            ]
            rows.append(shared + own)
        return rows

    def pulled(self, decided: list[int], i: int, k: int) -> float:
        """How much of the data that the children of a task get from other placed tasks is at a location."""
        others = [
            (decided[parent], bits)
            for child, _ in self.children[i]
            for parent, bits in self.parents[child]
            if parent < i
        ]
        return share(others, k, self.together)

    def go_through(self, layers: Any, draft: list[int], decided: tuple[int, ...] = ()) -> list[int]:
        """A pass over a draft, from the tasks that are decided on."""
        decision = list(decided)
        while len(decision) < self.n:
            scores = [float(forward(layers, row)) for row in self.inputs(draft, decision)]
            decision.append(scores.index(max(scores)))
        return decision

    def sweep(self, decision: list[int]) -> list[int]:
        """Go through the tasks once, and move each wherever that helps at once."""
        best, best_s = list(decision), self.latency(decision)
        for i in range(self.n):
            for k in self.places:
                moved = [*best[:i], k, *best[i + 1 :]]
                moved_s = self.latency(moved)
                if moved_s * (1 + 1e-11) < best_s:
                    best, best_s = moved, moved_s
        return best

    def decide(self, layers: Any, num_starts: int, num_passes: int, num_sweeps: int) -> list[int]:
        """Passes with sweeps behind them over drafts that begin with the best fixed places; the best of all."""
        order = sorted(self.places, key=lambda k: self.fixed[k])
        found = []
        for start in order[:num_starts]:
            draft = [start] * self.n
            for _ in range(num_passes):
                decision = self.go_through(layers, draft)
                for _ in range(num_sweeps):
                    decision = self.sweep(decision)
                if self.latency(decision) >= self.latency(draft):
                    break
                draft = decision
            found.append(draft)
        return min(found, key=self.latency)


def bounded(x: float) -> float:
    return x / (1.0 + abs(x))


def share(where: list[tuple[int, float]], k: int, together: Any) -> float:
    """Which share of data, each at a location, is at ``k``, by what they take on the first link."""
    total = sum(together(bits) for _, bits in where)
    return sum(together(bits) for at, bits in where if at == k) / total if total > 0 else 0.0


def forward(layers: Any, row: list[float]) -> np.float32:
    """The score of a location."""
    x = np.array(row, dtype=np.float32)
    for number, (weight, bias) in enumerate(layers):
        x = weight @ x + bias
        if number < len(layers) - 1:
            x = np.maximum(x, np.float32(0.0))
    return x[0]
