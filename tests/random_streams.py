"""Random streams in which all happens that can: what the twins and the kernel are compared on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from offload_gym.streams.streams import StreamBatch, Streams, as_graphs


def random_stream(rng: np.random.Generator, failure_tasks: str = "wait") -> tuple[Streams, NDArray[np.int64]]:
    """One stream and decisions (1, J, n) for it: m and S up to 4, up to 8 jobs of up to 8 tasks.

    In two of five streams servers fail, and ``failure_tasks`` says what becomes of their tasks.
    In two of five streams all times are multiples of a power of two of a second, which floating point holds exactly,
    so that what should happen at the same moment does.
    """
    on_grid = bool(rng.random() < 0.4)
    num_devices, num_servers = (int(rng.integers(1, 5)) for _ in range(2))
    num_jobs, n = (int(rng.integers(1, 9)) for _ in range(2))
    graphs = [random_graph(rng, int(rng.integers(1, n + 1)), n) for _ in range(int(rng.integers(1, 4)))]
    graphs[0] = (graphs[0][0], n)
    draw = draw_on_grid if on_grid else draw_freely
    fields = draw(rng, (num_jobs, n, num_devices, num_servers, int(rng.integers(1, 6))))
    fields["device"] = rng.integers(0, num_devices, (1, num_jobs))
    fields["cores"], fields["device_cores"] = rng.integers(1, 4, (1, num_servers)), rng.integers(1, 4, (1, num_devices))
    fields |= draw_sites(rng, fields["uplink_bps"].shape, num_servers, on_grid)
    if rng.random() < 0.4:
        up = rng.random((1, num_servers, fields["uplink_bps"].shape[2])) < 0.6
        up[:, :, -1] = True
        fields["server_up"] = up
        fields["failure_tasks"] = failure_tasks
    copied = rng.random(num_jobs) < 0.3  # jobs like the first one
    for name in ("input_bits", "output_bits", "workload_cycles"):
        fields[name][:, copied] = fields[name][:, :1]
    edge_bits = fields.pop("edge_bits")
    edge_bits[:, copied] = edge_bits[:, :1]
    graph = np.where(copied, 0, rng.integers(0, len(graphs), num_jobs))
    streams = with_graphs(Streams(**fields), graphs, graph, edge_bits)
    return streams, random_decisions(rng, streams, senders=2 if on_grid else num_devices)


def random_graph(rng: np.random.Generator, count: int, n: int) -> tuple[list[tuple[int, int]], int]:
    """Edges (parent, child) in the order of child, then parent, and the number of tasks; in a third, none."""
    density = rng.choice([0.0, 0.3, 0.6])
    pairs = [(parent, child) for child in range(count) for parent in range(child)]
    return [pair for pair in pairs if rng.random() < density], count


def with_graphs(
    streams: Streams, graphs: list[tuple[list[tuple[int, int]], int]], graph: NDArray[np.int64], edge_bits: NDArray
) -> Streams:
    """Streams whose jobs have several graphs, which the constructor does not take; edge_bits (1, J, E) or longer."""
    n = streams.num_tasks
    packed = []
    for edges, _ in graphs:
        children = np.array([child for _, child in edges], dtype=np.int64)
        parents = np.array([parent for parent, _ in edges], dtype=np.int64)
        packed.append((np.searchsorted(children, np.arange(n + 1)), parents))
    start, columns = as_graphs(packed, n)
    jobs = streams.batch.jobs.copy()
    jobs["graph"], jobs["num_tasks"] = graph, np.array([count for _, count in graphs])[graph]
    bits = np.ascontiguousarray(edge_bits[:, :, : columns.shape[1]])
    changed: dict[str, Any] = {"jobs": jobs, "edge_bits": bits, "graph_start": start, "graph_edges": columns}
    return Streams.from_batch(StreamBatch(**(streams.batch._asdict() | changed)))


def random_decisions(rng: np.random.Generator, streams: Streams, senders: int) -> NDArray[np.int64]:
    """Places from 0 to S, some jobs dropped; jobs of devices from number ``senders`` on stay there."""
    decisions = rng.integers(0, streams.num_locations, (1, streams.num_jobs, streams.num_tasks))
    decisions[streams.device >= senders] = 0
    decisions[rng.random((1, streams.num_jobs)) < 0.1] = -1
    return decisions


def draw_sites(rng: np.random.Generator, rates: tuple[int, ...], num_servers: int, on_grid: bool) -> dict[str, Any]:
    """In a third of the streams there is one site, in another third devices stay at theirs."""
    num_sites, moves = int(rng.choice([1, 2, 3])), rng.random() < 0.5
    return {
        "site": rng.integers(0, num_sites, rates if moves else (*rates[:2], 1)),
        "server_site": rng.integers(-1, num_sites, (1, num_servers)),
        "home_propagation_s": rng.integers(0, 2, (1, num_servers)) * (0.125 if on_grid else rng.uniform(0.0, 0.05)),
    }


def draw_freely(rng: np.random.Generator, sizes: tuple[int, int, int, int, int]) -> dict[str, Any]:
    num_jobs, n, num_devices, num_servers, slots = sizes

    def often_0(share: float, low: float, high: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return np.where(rng.random(shape) < share, 0.0, rng.uniform(low, high, shape))

    arrival_s = np.sort(often_0(0.2, 0.0, 2.0, (1, num_jobs)))
    for j in range(1, num_jobs):
        if rng.random() < 0.2:
            arrival_s[0, j] = arrival_s[0, j - 1]
    per_task, per_server, per_slot = (1, num_jobs, n), (1, num_servers), (1, num_devices, slots)
    return {
        "arrival_s": np.sort(arrival_s),
        "input_bits": often_0(0.1, 0.1e6, 4e6, per_task),
        "output_bits": often_0(0.1, 0.1e6, 2e6, per_task),
        "workload_cycles": often_0(0.1, 0.05e9, 2e9, per_task),
        "edge_bits": often_0(0.1, 0.1e6, 2e6, (1, num_jobs, n * n)),
        "device_hz": rng.uniform(0.5e9, 4e9, (1, num_devices)),
        "cpu_hz": rng.uniform(1e9, 10e9, per_server),
        "wired_bps": np.where(rng.random(per_server) < 0.4, np.inf, rng.uniform(5e6, 100e6, per_server)),
        "propagation_s": often_0(0.3, 0.001, 0.1, per_server),
        "rate_ratio": rng.uniform(0.5, 2.0, per_server) if rng.random() < 0.5 else None,
        "uplink_bps": with_outages(rng, rng.uniform(2e6, 30e6, per_slot)),
        "downlink_bps": with_outages(rng, rng.uniform(2e6, 30e6, per_slot)),
        "slot_s": rng.uniform(0.05, 1.0),
        "kappa": [rng.uniform(0.0, 1e-27)],
        "transmit_w": [rng.uniform(0.0, 2.0)],
    }


def draw_on_grid(rng: np.random.Generator, sizes: tuple[int, int, int, int, int]) -> dict[str, Any]:
    """Rates are powers of two, sizes and times small multiples of one; two devices share a rate exactly, three not."""
    num_jobs, n, num_devices, num_servers, slots = sizes

    def powers(least: int, most: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return 2.0 ** rng.integers(least, most + 1, shape)

    none = rng.choice([0.1, 0.7])  # share of what is 0 anyway: in some streams nearly all happens at a few moments

    def multiples(most: int, of: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return np.where(rng.random(shape) < none, 0.0, rng.integers(1, most + 1, shape) * of)

    per_task, per_server, per_slot = (1, num_jobs, n), (1, num_servers), (1, num_devices, slots)
    return {
        "arrival_s": np.sort(multiples(4, 0.125, (1, num_jobs))),
        "input_bits": multiples(3, 2.0**19, per_task),
        "output_bits": multiples(2, 2.0**19, per_task),
        "workload_cycles": multiples(3, 2.0**28, per_task),
        "edge_bits": multiples(3, 2.0**18, (1, num_jobs, n * n)),
        "device_hz": powers(29, 31, (1, num_devices)),
        "cpu_hz": powers(30, 32, per_server),
        "wired_bps": np.where(rng.random(per_server) < 0.6, np.inf, powers(21, 22, per_server)),
        "propagation_s": multiples(1, 0.125, per_server),
        "rate_ratio": powers(-1, 1, per_server) if rng.random() < 0.3 else None,
        "uplink_bps": with_outages(rng, powers(21, 22, per_slot)),
        "downlink_bps": with_outages(rng, powers(21, 22, per_slot)),
        "slot_s": 2.0 ** -int(rng.integers(1, 4)),
        "kappa": [2.0**-90],
        "transmit_w": [0.5],
    }


def with_outages(rng: np.random.Generator, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rates (1, m, slots), a fifth of them 0, but not in the last slot, which holds for ever."""
    rates[:, :, :-1][rng.random(rates[:, :, :-1].shape) < 0.2] = 0.0
    return rates
