"""The delay model in the plainest Python there is: the independent twin that the fast kernel is tested against.

It is slow on purpose and shares no code with the package. Numbers may be floats or, where nothing is to be rounded,
fractions. One instance is a dict of lists:

- tasks, lists of n floats: `input_bits`, `output_bits`, `workload_cycles`;
- locations, lists of K: `cpu_hz`, `cores`, `uplink_bps`, `downlink_bps`, `wired_bps`, `propagation_s`;
- `backlog_s`, a list of K: a float (all cores of the location) or a list of floats (one a core);
- `radio_backlog_s`, a float, 0 if left out;
- `edges`, (parent, child) pairs, and `edge_bits`, one float an edge, both empty if left out;
- `kappa`, `transmit_w`, `idle_w`, `energy_weight_s_per_j`, floats, 0 if left out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

Objective = Literal["makespan", "mean", "cost"]
SIZES = ("input_bits", "output_bits", "workload_cycles")


def core_free_times(instance: dict[str, Any], k: int) -> list[float]:
    """When each core of location `k` is free, before any task of this instance."""
    cores = int(instance["cores"][k])
    backlog = instance["backlog_s"][k]
    if not isinstance(backlog, (list, tuple)):
        return [backlog] * cores
    if len(backlog) < cores:
        raise ValueError(f"location {k} has {cores} cores but {len(backlog)} backlogs")
    return list(backlog[:cores])  # a batch pads the row up to its largest number of cores


def parents_of_each_task(instance: dict[str, Any], n: int) -> list[list[tuple[int, float]]]:
    """For each task its (parent, bits) pairs, in increasing order of the parent."""
    parents: list[list[tuple[int, float]]] = [[] for _ in range(n)]
    for (parent, child), bits in zip(instance.get("edges", ()), instance.get("edge_bits", ()), strict=True):
        if not 0 <= parent < child < n:
            raise ValueError(f"edge {parent} -> {child} is not in topological order")
        parents[child].append((int(parent), bits))
    for pairs in parents:
        pairs.sort(key=lambda pair: pair[0])
    return parents


class Schedule(NamedTuple):
    """What happens when, in seconds after the decision; one number a task."""

    core: list[int]
    send_start: list[float]  # of the first of its data that the radio sends, NaN where it sends none
    send_end: list[float]  # of the last
    start: list[float]
    finish: list[float]
    completion: list[float]


def completion_times(instance: dict[str, Any], decision: Sequence[int]) -> list[float]:
    """Completion of every task, in seconds after the decision."""
    return schedule(instance, decision).completion


def schedule(instance: dict[str, Any], decision: Sequence[int]) -> Schedule:
    """The schedule of a decision."""
    input_bits, output_bits = instance["input_bits"], instance["output_bits"]
    workload_cycles, cpu_hz = instance["workload_cycles"], instance["cpu_hz"]
    uplink_bps, downlink_bps = instance["uplink_bps"], instance["downlink_bps"]
    wired_bps, propagation_s = instance["wired_bps"], instance["propagation_s"]
    n, num_locations = len(input_bits), len(cpu_hz)
    if len(decision) != n or not all(0 <= k < num_locations for k in decision):
        raise ValueError(f"{decision} is not a decision for {n} tasks and {num_locations} locations")

    parents = parents_of_each_task(instance, n)
    has_child = [False] * n
    for pairs in parents:
        for parent, _ in pairs:
            has_child[parent] = True

    radio = instance.get("radio_backlog_s", 0)
    core_free = [core_free_times(instance, k) for k in range(num_locations)]
    finish = [0.0] * n
    made = Schedule([], [], [], [], finish, [])

    for i in range(n):
        k = decision[i]

        # When each piece of the data that task i needs is at its location.
        arrivals: list[float] = []
        sends: list[tuple[float, float]] = []
        if not parents[i]:
            if k == 0:
                arrivals.append(0)
            else:
                begin, radio = radio, radio + input_bits[i] / uplink_bps[k]
                sends.append((begin, radio))
                arrivals.append(radio + input_bits[i] / wired_bps[k] + propagation_s[k])
        for p, bits in parents[i]:
            source = decision[p]
            if source == k:
                arrivals.append(finish[p])
            elif source == 0:
                begin = max(radio, finish[p])
                radio = begin + bits / uplink_bps[k]
                sends.append((begin, radio))
                arrivals.append(radio + bits / wired_bps[k] + propagation_s[k])
            elif k == 0:
                arrivals.append(
                    finish[p] + bits / downlink_bps[source] + bits / wired_bps[source] + propagation_s[source]
                )
            else:
                wired = bits / wired_bps[source] + bits / wired_bps[k]
                arrivals.append(finish[p] + wired + propagation_s[source] + propagation_s[k])
        ready = max(arrivals)

        # The core that is free first, the lowest-numbered one on a tie.
        core = core_free[k].index(min(core_free[k]))
        start = max(ready, core_free[k][core])
        finish[i] = start + workload_cycles[i] / cpu_hz[k]
        core_free[k][core] = finish[i]

        # Only a task with no child returns its output to the device.
        completion = finish[i]
        if k > 0 and not has_child[i]:
            download = output_bits[i] / downlink_bps[k] + output_bits[i] / wired_bps[k]
            completion = finish[i] + download + propagation_s[k]
        made.core.append(core)
        made.send_start.append(sends[0][0] if sends else math.nan)
        made.send_end.append(sends[-1][1] if sends else math.nan)
        made.start.append(start)
        made.completion.append(completion)

    return made


def energy(instance: dict[str, Any], decision: Sequence[int]) -> float:
    """What a decision takes of the device: joules of its CPU, of its radio while it sends, and of being idle."""
    parents = parents_of_each_task(instance, len(decision))
    transmit_w, kappa = instance.get("transmit_w", 0.0), instance.get("kappa", 0.0)
    joules = instance.get("idle_w", 0.0) * max(completion_times(instance, decision))
    for i, k in enumerate(decision):
        if k == 0:
            joules += kappa * instance["cpu_hz"][0] ** 2 * instance["workload_cycles"][i]
            continue
        if not parents[i]:
            joules += transmit_w * instance["input_bits"][i] / instance["uplink_bps"][k]
        for parent, bits in parents[i]:
            if decision[parent] == 0:
                joules += transmit_w * bits / instance["uplink_bps"][k]
    return joules


def latency(instance: dict[str, Any], decision: Sequence[int], objective: Objective = "makespan") -> float:
    """The objective of a decision: the largest or the mean completion, or the largest one and the weighted energy."""
    completion = completion_times(instance, decision)
    if objective == "makespan":
        return max(completion)
    if objective == "mean":
        return sum(completion) / len(completion)
    if objective == "cost":
        return max(completion) + instance.get("energy_weight_s_per_j", 0.0) * energy(instance, decision)
    raise ValueError(f"unknown objective {objective!r}")


def brute_force(instance: dict[str, Any], objective: Objective = "makespan") -> tuple[float, tuple[int, ...]]:
    """The least cost over all K**n decisions, and the first decision in counting order that has it."""
    best_cost, best_decision = float("inf"), None
    for decision in itertools.product(range(len(instance["cpu_hz"])), repeat=len(instance["input_bits"])):
        cost = latency(instance, decision, objective)
        if best_decision is None or cost < best_cost:
            best_cost, best_decision = cost, decision
    assert best_decision is not None
    return best_cost, best_decision


def from_instances(instances: Any, b: int) -> dict[str, Any]:
    """Instance `b` of a batch (a struct of arrays) as the dict of lists that the functions above take."""
    count = int(instances.task_counts[b])
    edges = list(instances.edges_of(b))
    instance: dict[str, Any] = {"radio_backlog_s": float(instances.radio_backlog_s[b]), "edges": edges}
    instance["edge_bits"] = instances.edge_bits[b, : len(edges)].tolist()
    for name in SIZES:
        instance[name] = getattr(instances, name)[b, :count].tolist()
    for name in ("cpu_hz", "cores", "uplink_bps", "downlink_bps", "wired_bps", "propagation_s", "backlog_s"):
        instance[name] = getattr(instances, name)[b].tolist()
    for name in ("kappa", "transmit_w", "idle_w", "energy_weight_s_per_j"):
        instance[name] = float(getattr(instances, name)[b])
    return instance


def roll_out(instance: dict[str, Any], placed: Sequence[int]) -> tuple[int, ...]:
    """The decision that begins with ``placed``, where each later task goes to where it completes first."""
    n, num_locations = len(instance["input_bits"]), len(instance["cpu_hz"])
    decision = tuple(placed)
    for i in range(len(placed), n):
        padding = (0,) * (n - 1 - i)  # later tasks have no effect on task i
        ends = [completion_times(instance, (*decision, k, *padding))[i] for k in range(num_locations)]
        decision = (*decision, ends.index(min(ends)))
    return decision
