"""How many jobs a second the machines of a scenario can take at most."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from ortools.linear_solver import pywraplp

from offload_gym.instances import INPUT, WORKLOAD
from offload_gym.scenario import Scenario
from offload_gym.seeds import seed_for
from offload_gym.streams.sampling import sample_streams
from offload_gym.streams.streams import CHILD, PARENT, Streams

NUM_STREAMS = 24


def capacity(scenario: Scenario, seed: int = 0, num_streams: int = NUM_STREAMS) -> float:
    """The largest rate of arrivals at each device, in jobs a second, at which some split of the jobs is stable.

    Work is taken as a fluid: any share of a task may run at any location, and no resource is busy for longer than the
    jobs take to arrive: each device's cores, each server's cores, and the spectrum of each site, which is used by one
    device at a time at the mean of its rates there. What a device sends it sends at its sites in proportion to the
    time that it is there, but at none where it never has a rate. Of the data between tasks those are sent whose
    parent's share on the device is larger than the child's. This is a linear program over the jobs of a stream; the
    result is the mean over sampled streams, each with its own machines and rates.

    Args:
        scenario: what streams are drawn from; its own rate of arrivals has no influence but on how long rates are
            averaged.
        seed: of the streams, which are validation streams.
        num_streams: how many.
    """
    streams = sample_streams(scenario, num_streams, seed_for("validation", seed, 1))
    busy_s = np.array([_least_busy(streams, b) for b in range(num_streams)])
    return float((streams.num_jobs / streams.num_devices / busy_s).mean())


def _seconds_a_bit(streams: Streams, b: int) -> NDArray[np.float64]:
    """How long the spectrum of each site is used by a bit of each device (m, sites) of stream ``b``."""
    rate_bps = streams.batch.uplink_bps[b]
    sites = np.broadcast_to(streams.batch.sites[b], rate_bps.shape)
    there = sites[:, :, None] == np.arange(sites.max() + 1)
    bits, slots = (rate_bps[:, :, None] * there).sum(axis=1), there.sum(axis=1) * 1.0
    slots[bits == 0.0] = 0.0
    share = slots / slots.sum(axis=1, keepdims=True)
    return share * np.divide(slots, bits, out=np.zeros_like(bits), where=bits > 0.0)


def _least_busy(streams: Streams, b: int) -> float:
    """For how many seconds the busiest resource is busy with all jobs of stream ``b``, at least."""
    batch, num_locations = streams.batch, streams.num_locations
    tasks, servers, devices = batch.tasks[b], batch.servers[b], batch.devices[b]
    bit_s = _seconds_a_bit(streams, b)
    solver = pywraplp.Solver.CreateSolver("GLOP")
    busiest = solver.NumVar(0.0, solver.infinity(), "")

    def share() -> Any:
        return solver.NumVar(0.0, 1.0, "")

    def resource() -> Any:
        at_most = solver.Constraint(-solver.infinity(), 0.0)
        at_most.SetCoefficient(busiest, -1.0)
        return at_most

    def add_to(constraint: Any, factors: dict[Any, float]) -> None:
        for variable, factor in factors.items():
            constraint.SetCoefficient(variable, float(factor))

    def send(d: int, variable: Any, bits: float) -> None:
        for spectrum, second in zip(at_site, bit_s[d], strict=True):
            if second > 0.0:
                add_to(spectrum, {variable: bits * second})

    at_site, at_device, at_server = ([resource() for _ in each] for each in (bit_s[0], devices, servers))
    for j, job in enumerate(batch.jobs[b]):
        d, start, edges = job["device"], batch.graph_start[job["graph"]], batch.graph_edges[job["graph"]]
        places = [[share() for _ in range(num_locations)] for _ in range(job["num_tasks"])]
        for i, shares in enumerate(places):
            add_to(solver.Constraint(1.0, 1.0), dict.fromkeys(shares, 1.0))
            cycles, bits = tasks[j, i, WORKLOAD], tasks[j, i, INPUT]
            add_to(at_device[d], {shares[0]: cycles / (devices["hz"][d] * devices["cores"][d])})
            for k, server in enumerate(servers, start=1):
                add_to(at_server[k - 1], {shares[k]: cycles / (server["cpu_hz"] * server["cores"])})
                if start[i, 0] == start[i + 1, 0]:  # no parents
                    send(d, shares[k], bits / server["rate_ratio"])
        for e in range(start[job["num_tasks"], 0]):
            sent = share()
            send(d, sent, batch.edge_bits[b, j, e] / servers["rate_ratio"].max())
            parent, child = (places[edges[e, end]][0] for end in (PARENT, CHILD))
            add_to(solver.Constraint(-solver.infinity(), 0.0), {parent: 1.0, child: -1.0, sent: -1.0})
    solver.Minimize(busiest)
    if solver.Solve() != pywraplp.Solver.OPTIMAL:
        raise RuntimeError(f"stream {b}: the linear program was not solved")
    return float(busiest.solution_value())
