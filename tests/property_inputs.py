"""Valid input of all kinds, for properties that hypothesis tries to refute.

Hypothesis draws sizes, shapes and, for each field, a pool of a few values, of which an array takes some at random: so
equal tasks, equal servers and ties are common, and what it shrinks stays valid. Numbers span nine orders of magnitude.
They are one of two kinds:

- exact: powers of two and small multiples of them, whose sums floating point holds without rounding. What should happen
  at the same moment does, and two computations of the same model must agree to the last bit.
- free: any numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from offload_gym import Instances
from offload_gym.streams.streams import Streams

#: A test with few examples, and a slow one with many.
few_and_many = pytest.mark.parametrize("tries", [1, pytest.param(20, marks=pytest.mark.slow)], ids=["few", "many"])


def refute(examples: int, *inputs: st.SearchStrategy) -> Callable[[Callable[..., None]], None]:
    """Calls what it decorates with ``examples`` inputs at once, always the same ones."""
    how = settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    return lambda prop: how(given(*inputs)(prop))()


class Values(NamedTuple):
    """What fields are drawn from."""

    amounts: st.SearchStrategy[float]  # of bits and cycles, 0 included
    rates: st.SearchStrategy[float]
    times: st.SearchStrategy[float]  # seconds, 0 included


EXACT = Values(
    amounts=st.sampled_from([0.0, 1.0, 2.0, 3.0]),
    rates=st.integers(-15, 15).map(lambda e: 2.0**e),
    times=st.one_of(st.just(0.0), st.integers(-15, 15).map(lambda e: 2.0**e)),
)
FREE = Values(
    amounts=st.one_of(st.just(0.0), st.floats(0.1, 10.0)),
    rates=st.builds(lambda e, m: m * 10.0**e, st.integers(-4, 4), st.floats(1.0, 10.0)),
    times=st.one_of(st.just(0.0), st.builds(lambda e, m: m * 10.0**e, st.integers(-5, 3), st.floats(1.0, 10.0))),
)
KINDS = {True: EXACT, False: FREE}


class Given(NamedTuple):
    """Instances with a decision for each."""

    instances: Instances
    decisions: NDArray[np.int64]  # (B, n)
    is_exact: bool


@st.composite
def problems(
    draw: st.DrawFn,
    max_tasks: int = 64,
    max_locations: int = 10,
    exact: bool | None = None,
    graphs: bool = True,
    most: int = 3,
) -> Given:
    """Up to ``most`` instances, in half of the cases of tasks that depend on each other where ``graphs``."""
    is_exact = draw(st.booleans()) if exact is None else exact
    values = KINDS[is_exact]
    size, n = draw(st.integers(1, most)), draw(st.integers(1, max_tasks))
    num_locations = draw(st.integers(2, max_locations))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    per_task, per_location = (size, n), (size, num_locations)

    def some(of: st.SearchStrategy[float], *shape: int) -> NDArray[np.float64]:
        return rng.choice(draw(st.lists(of, min_size=1, max_size=4)), shape)

    cores = some(st.sampled_from([1, 2, 3, 70]), *per_location)
    alike = draw(st.booleans())
    fields: dict[str, Any] = {name: some(values.amounts, *per_task) for name in AMOUNTS}
    fields |= {name: some(values.rates, *per_location) for name in ("cpu_hz", "uplink_bps", "downlink_bps")}
    fields |= {
        "cores": cores,
        "wired_bps": some(st.one_of(st.just(np.inf), values.rates), *per_location),
        "propagation_s": some(values.times, *per_location),
        "backlog_s": some(values.times, *per_location, *(() if alike else (int(cores.max()),))),
        "radio_backlog_s": some(values.times, size),
        "kappa": some(values.amounts, size),
        "transmit_w": some(values.amounts, size),
        "idle_w": some(values.amounts, size),
        "energy_weight_s_per_j": some(values.amounts, size),
    }
    if graphs and draw(st.booleans()):
        reach = draw(st.sampled_from([1, 2, 5, n]))  # how far back parents are
        pairs = [(parent, child) for child in range(n) for parent in range(max(0, child - reach), child)]
        fields["edges"] = [pair for pair in pairs if rng.random() < min(1.0, 2.0 / reach)]
        fields["edge_bits"] = some(values.amounts, size, len(fields["edges"]))
    else:
        fields["task_counts"] = rng.integers(1, n + 1, size) if draw(st.booleans()) else None
    return Given(Instances(**fields), rng.integers(0, num_locations, per_task), is_exact)


AMOUNTS = ("input_bits", "output_bits", "workload_cycles")


def scaled(instances: Instances, factor: float) -> Instances:
    """The instances with all times multiplied by ``factor``."""
    batch = instances.batch
    locations = batch.locations.copy()
    locations[:, :, [0, 2, 3, 4]] /= factor  # speeds and rates
    locations[:, :, 5] *= factor
    return Instances.from_batch(
        batch._replace(
            locations=locations,
            core_backlog_s=batch.core_backlog_s * factor,
            radio_backlog_s=batch.radio_backlog_s * factor,
        )
    )


def renamed(instances: Instances, order: NDArray[np.int64]) -> Instances:
    """The instances with the location ``order[k]`` as location k; ``order[0]`` is 0."""
    batch = instances.batch
    return Instances.from_batch(
        batch._replace(
            locations=np.ascontiguousarray(batch.locations[:, order]),
            core_backlog_s=np.ascontiguousarray(batch.core_backlog_s[:, order]),
        )
    )


@st.composite
def cells(draw: st.DrawFn, max_devices: int = 8) -> Given:
    """A cell of up to ``max_devices``; two at most where it is exact, as thirds of a rate are rounded.

    Where it is not exact no two numbers but 0 are alike: what arrives at one moment in theory would not in two
    computations that round differently.
    """
    num_devices = draw(st.integers(1, max_devices))
    is_exact = draw(st.booleans()) and num_devices <= 2
    instances, _, _ = draw(problems(max_tasks=12, exact=is_exact, graphs=False, most=1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    same = np.zeros(num_devices, dtype=int)
    batch = instances[same].batch
    n, num_locations = instances.num_tasks, instances.num_locations
    tasks, locations, radio_s = batch.tasks.copy(), batch.locations.copy(), batch.radio_backlog_s.copy()
    if is_exact:
        tasks[:] = rng.choice(tasks.ravel(), tasks.shape)
        locations[:, 1:, 2:4] = rng.choice(locations[:, 1:, 2:4].ravel(), (num_devices, num_locations - 1, 2))
    else:
        tasks[:] = log_uniform(rng, 0.1, 10.0, tasks.shape) * (rng.random(tasks.shape) < 0.8)
        locations[:, 1:, 2:4] = log_uniform(rng, 1e-4, 1e5, (num_devices, num_locations - 1, 2))
        locations[:, :, 0] = log_uniform(rng, 1e-4, 1e5, num_locations)
        radio_s[:] = log_uniform(rng, 1e-5, 1e3, num_devices) * (rng.random(num_devices) < 0.5)
    counts = rng.integers(1, n + 1, num_devices)
    changed = {"tasks": tasks, "locations": locations, "radio_backlog_s": radio_s, "task_counts": counts}
    return Given(
        Instances.from_batch(batch._replace(**changed)), rng.integers(0, num_locations, (num_devices, n)), is_exact
    )


def log_uniform(rng: np.random.Generator, low: float, high: float, shape: int | tuple[int, ...]) -> NDArray:
    return np.exp(rng.uniform(np.log(low), np.log(high), shape))


class World(NamedTuple):
    """One stream with decisions."""

    streams: Streams
    decisions: NDArray[np.int64]  # (1, J, n)
    is_exact: bool


@st.composite
def worlds(
    draw: st.DrawFn,
    max_devices: int = 6,
    max_servers: int = 9,
    graphs: bool = True,
    overtaking: bool = True,
    fails: bool = True,
) -> World:
    """One stream of up to 12 jobs, or of up to three of 64 tasks.

    Where it is exact two devices at most send. Where it is not no two numbers but 0 are alike, as in ``cells``, though
    several jobs may arrive at one moment. Without ``overtaking`` no wired path takes more time for more bits.
    """
    is_exact = draw(st.booleans())
    num_jobs = draw(st.integers(1, 12))
    n = draw(st.integers(1, 64 if num_jobs <= 3 else 6))
    num_devices, num_servers = draw(st.integers(1, max_devices)), draw(st.integers(1, max_servers))
    slots = draw(st.integers(1, 5))
    has_edges, zeros = graphs and draw(st.booleans()), draw(st.sampled_from([0.0, 0.2, 0.6]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    per_task, per_server, per_slot = (1, num_jobs, n), (1, num_servers), (1, num_devices, slots)

    def amounts(*shape: int) -> NDArray[np.float64]:
        drawn = rng.integers(1, 4, shape) * 1.0 if is_exact else log_uniform(rng, 0.1, 10.0, shape)
        return drawn * (rng.random(shape) >= zeros)

    def speeds(*shape: int) -> NDArray[np.float64]:
        return 2.0 ** rng.integers(-7, 8, shape) if is_exact else log_uniform(rng, 1e-3, 1e6, shape)

    def times(*shape: int) -> NDArray[np.float64]:
        drawn = 2.0 ** rng.integers(-7, 4, shape) if is_exact else log_uniform(rng, 1e-6, 1e3, shape)
        return drawn * (rng.random(shape) >= 0.4)

    def rates() -> NDArray[np.float64]:
        """Rates of slots; an exact device has few of them, each of which costs a digit of what is left to send."""
        mean = rng.integers(-6, 5, (1, num_devices, 1)) + rng.integers(0, 3, per_slot)
        drawn = 2.0**mean if is_exact else log_uniform(rng, 1e-3, 1e6, per_slot)
        drawn[:, :, :-1] *= rng.random((1, num_devices, slots - 1)) >= 0.2  # outages
        return drawn

    arrival_s = np.sort(rng.integers(0, 32, num_jobs) / 8 if is_exact else times(num_jobs))[None]
    infinite = rng.random(per_server) < (0.5 if overtaking else 1.0)
    fields: dict[str, Any] = {name: amounts(*per_task) for name in AMOUNTS}
    fields |= {
        "arrival_s": arrival_s,
        "device": rng.integers(0, num_devices, (1, num_jobs)),
        "device_hz": speeds(1, num_devices),
        "device_cores": rng.integers(1, 4, (1, num_devices)),
        "cpu_hz": speeds(*per_server),
        "cores": rng.integers(1, 4, per_server),
        "wired_bps": np.where(infinite, np.inf, speeds(*per_server)),
        "propagation_s": times(*per_server),
        "rate_ratio": 2.0 ** rng.integers(-1, 2, per_server) if is_exact else rng.uniform(0.5, 2.0, per_server),
        "uplink_bps": rates(),
        "downlink_bps": rates(),
        "slot_s": 2.0 ** rng.integers(-3, 2) if is_exact else float(log_uniform(rng, 1e-3, 1e2, ())),
        "kappa": [0.5],
        "transmit_w": [2.0],
    }
    if has_edges:
        reach = draw(st.sampled_from([1, 2, n]))
        pairs = [(parent, child) for child in range(n) for parent in range(max(0, child - reach), child)]
        fields["edges"] = [pair for pair in pairs if rng.random() < min(1.0, 2.0 / reach)]
        fields["edge_bits"] = amounts(1, num_jobs, len(fields["edges"]))
    else:
        fields["task_counts"] = rng.integers(1, n + 1, (1, num_jobs))
    if fails and draw(st.booleans()):
        up = rng.random((1, num_servers, slots)) < 0.7
        up[:, :, -1] = True
        fields["server_up"], fields["failure_tasks"] = up, draw(st.sampled_from(["wait", "lost"]))
    streams = Streams(**fields)
    decisions = rng.integers(0, num_servers + 1, per_task)
    if is_exact:
        decisions[streams.device >= 2] = 0
    return World(streams, decisions, is_exact)


def ranges(low: int, high: int, zero: bool = False) -> st.SearchStrategy[tuple[float, float]]:
    """Ranges between powers of ten, often of one value."""
    ends = st.tuples(st.integers(low, high), st.sampled_from([0, 0, 1, 6])).map(
        lambda e: (10.0 ** e[0], 10.0 ** (e[0] + e[1]))
    )
    return st.one_of(ends, st.just((0.0, 0.0))) if zero else ends


#: Fields that scenarios of epochs and of streams share, with values that a careful person would not choose.
SHARED_FIELDS = {
    "num_tasks": st.integers(1, 5),
    "num_edges": st.integers(0, 3),
    "input_bits": ranges(-6, 12),
    "cycles_per_bit": ranges(-6, 9, zero=True),
    "output_ratio": ranges(-6, 6, zero=True),
    "task_types": st.sampled_from(
        [(), ((0.0, 0.0, 0.0),), ((0.0, 0.0, 0.0), (1e12, 1e12, 1e15)), ((1e6, 0.0, 1e9), (0.0, 1e6, 0.0))]
    ),
    "device_hz": ranges(-3, 12),
    "edge_hz": ranges(-3, 12),
    "cloud_hz": ranges(-3, 12),
    "device_cores": st.integers(1, 3),
    "edge_cores": st.integers(1, 3),
    "cloud_cores": st.integers(1, 9),
    "uplink_bps": ranges(-3, 12),
    "downlink_ratio": ranges(-9, 9),
    "further_edge_rate_ratio": ranges(-6, 6),
    "further_edge_wired_bps": ranges(-3, 12),
    "cloud_wired_bps": ranges(-3, 12),
    "edge_propagation_s": ranges(-9, 6, zero=True),
    "cloud_propagation_s": ranges(-9, 6, zero=True),
    "correlation": st.sampled_from([0.0, 0.5, 0.999]),
    "kappa": st.sampled_from([0.0, 1e-28, 1e-9]),
    "transmit_w": st.sampled_from([0.0, 0.5, 1e6]),
    "energy_weight_s_per_j": st.sampled_from([0.0, 1.0, 1e6]),
}
EPOCH_FIELDS = SHARED_FIELDS | {
    "random_graph": st.booleans(),
    "graph_density": st.sampled_from([(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)]),
    "ccr": ranges(-3, 3, zero=True),
    "max_tasks": st.integers(5, 7),
    "device_backlog_s": st.sampled_from([0.0, 1e-6, 1e6]),
    "edge_backlog_s": st.sampled_from([0.0, 1e-6, 1e6]),
    "cloud_backlog_s": st.sampled_from([0.0, 1e-6, 1e6]),
    "idle_w": st.sampled_from([0.0, 0.1, 1e6]),
    "epoch_s": st.sampled_from([1e-6, 1.0, 1e6]),
}
STREAM_FIELDS = SHARED_FIELDS | {
    "num_jobs": st.integers(1, 12),
    "num_devices": st.integers(1, 4),
    "arrivals": st.sampled_from(["poisson", "bursty", "periodic"]),
    "arrivals_per_s": ranges(-1, 6),
    "applications": st.sampled_from([(), ("face_recognition",), ("augmented_reality", "vgg16")]),
    "data_scale": ranges(-6, 6, zero=True),
    "workload_scale": ranges(-6, 6, zero=True),
    "slot_s": st.sampled_from([1e-3, 0.25, 1e3]),
    "report_s": st.sampled_from([0.0, 0.1, 1e4]),
    "deadline_factor": ranges(-6, 6),
    "can_drop": st.booleans(),
    "outage_share": st.sampled_from([0.0, 0.5, 0.9]),
    "outage_s": st.sampled_from([1e4, 1e6]),
    "failure_share": st.sampled_from([0.0, 0.5, 0.9]),
    "failure_s": st.sampled_from([1e4, 1e6]),
    "failure_tasks": st.sampled_from(["wait", "lost"]),
}
#: Of scenarios of streams, where devices move, some of these have values, too.
MOVING_FIELDS = {
    "mobility": st.sampled_from(["waypoint", "roads"]),
    "speed_m_per_s": st.sampled_from([(1e-3, 1e-3), (1.0, 15.0), (1e-3, 1e4)]),
    "num_sites": st.integers(1, 5),
    "site_spacing_m": st.sampled_from([1.0, 500.0, 1e5]),
    "bandwidth_hz": st.sampled_from([1e3, 1e7, 1e9]),
    "shadowing_db": st.sampled_from([0.0, 7.82, 50.0]),
}


@st.composite
def scenarios(draw: st.DrawFn, fields: dict[str, st.SearchStrategy]) -> dict[str, Any]:
    """A preset in which a few of the ``fields`` are changed, or all of them."""
    names = draw(st.one_of(st.just(sorted(fields)), st.sets(st.sampled_from(sorted(fields)), min_size=1, max_size=5)))
    drawn = {name: draw(fields[name]) for name in sorted(names)}
    if fields is STREAM_FIELDS and draw(st.integers(0, 3)) == 0:
        drawn |= {name: draw(values) for name, values in MOVING_FIELDS.items()}
        without = ("uplink_bps", "correlation", "outage_share", "further_edge_rate_ratio", "transmit_w")
        drawn = {name: value for name, value in drawn.items() if name not in without}
    if drawn.get("num_edges") == 0:  # what cannot fail
        drawn.pop("failure_share", None)
    if fields is STREAM_FIELDS:
        return {"name": "stream", "num_jobs": 12, "outage_s": 1e4, "failure_s": 1e4} | drawn
    return {"name": "default", "num_tasks": 5} | drawn
