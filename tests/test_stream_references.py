"""Hindsight and the lower bound of streams: against each other, and against all decisions of small streams."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from offload_gym.streams.bounds import foreseen_decisions, lower_bound
from offload_gym.streams.hindsight import LATE_S, LEAST_GAIN_S, hindsight
from offload_gym.streams.responses import outcome_of, response_times
from offload_gym.streams.streams import Streams

GRAPHS = ((), ((0, 1), (1, 2)), ((0, 2), (1, 2)), ((0, 1), (0, 2)))


def draw(seed: int, size: int = 24, **given: Any) -> Streams:
    """Random streams of one shape: a third of the sizes 0, a quarter of the slots an outage, several cores."""
    rng = np.random.default_rng(seed)
    J, n, m, S, slots = (given.get(name, low) for name, low in (("J", 4), ("n", 1), ("m", 1), ("S", 2), ("slots", 6)))
    edges = given.get("edges", ())

    def sizes(most: float, *shape: int) -> NDArray[np.float64]:
        return rng.uniform(0, most, (size, *shape)) * (rng.random((size, *shape)) < 0.67)

    def rates(least: float) -> NDArray[np.float64]:
        drawn = rng.uniform(least, 10 * least, (size, m, slots)) * (rng.random((size, m, slots)) < 0.75)
        drawn[:, :, -1] = least
        return drawn

    return Streams(
        arrival_s=np.sort(rng.uniform(0, 0.3 * J, (size, J)), axis=1), device=rng.integers(0, m, (size, J)),
        deadline_s=rng.uniform(0.1, 0.8, (size, J)),
        input_bits=sizes(4e6, J, n), output_bits=sizes(1e6, J, n), workload_cycles=sizes(1e9, J, n),
        device_hz=rng.uniform(0.6e9, 2e9, (size, m)), device_cores=rng.integers(1, 3, (size, m)),
        cpu_hz=rng.uniform(4e9, 9e9, (size, S)), cores=rng.integers(1, 3, (size, S)),
        wired_bps=np.where(rng.random((size, S)) < 0.5, np.inf, rng.uniform(2e7, 1e8, (size, S))),
        propagation_s=rng.uniform(0, 0.05, (size, S)), rate_ratio=rng.uniform(0.5, 1.5, (size, S)),
        uplink_bps=rates(4e6), downlink_bps=rates(8e6), slot_s=0.2,
        edges=edges, edge_bits=sizes(2e6, J, len(edges)) if edges else None,
        task_counts=rng.integers(1, n + 1, (size, J)) if n > 1 and not edges else None,
    )  # fmt: skip


def every_decision(streams: Streams, locations: list[int]) -> NDArray[np.int64]:
    """(decisions, J, n): all there are; where jobs can be dropped, all tasks of a job are at one place."""
    n = 1 if -1 in locations else streams.num_tasks
    rows = np.array(list(itertools.product(locations, repeat=streams.num_jobs * n)))
    return np.broadcast_to(
        rows.reshape(len(rows), streams.num_jobs, n), (len(rows), streams.num_jobs, streams.num_tasks)
    )


def values(streams: Streams, decisions: NDArray[np.int64], objective: str = "response") -> NDArray[np.float64]:
    """(B,) what is made small: the sum of responses; with "late", and a million seconds for each late job."""
    outcome = outcome_of(streams, decisions)
    sums = np.where(np.isfinite(outcome.response_s), outcome.response_s, 0.0).sum(axis=1)
    return sums if objective == "response" else sums + LATE_S * outcome.late.sum(axis=1)


def random_decisions(streams: Streams, seed: int) -> NDArray[np.int64]:
    shape = (len(streams), streams.num_jobs, streams.num_tasks)
    return np.random.default_rng(seed).integers(0, streams.num_locations, shape)


def of_all(streams: Streams, b: int, decisions: NDArray[np.int64], objective: str = "response") -> NDArray[np.float64]:
    """What stream ``b`` counts with each of the decisions."""
    return values(streams[np.full(len(decisions), b)], decisions, objective)


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"m": 3, "S": 1},
        {"J": 12, "n": 3},
        {"J": 12, "m": 2},
        *({"J": 6, "n": 3, "m": 2, "edges": g} for g in GRAPHS[1:]),
    ],
    ids=str,
)
@pytest.mark.parametrize("objective", ["response", "late"])
def test_hindsight_is_never_worse_than_its_start(shape: dict[str, Any], objective: str) -> None:
    streams = draw(1, **shape)
    start = random_decisions(streams, 2)
    begun = values(streams, start, objective)
    alone = values(streams, hindsight(streams, start, objective, moves=1), objective)
    pairs = values(streams, hindsight(streams, start, objective), objective)
    assert (alone <= begun + 1e-9).all()
    assert (pairs <= begun + 1e-9).all()
    assert (alone < begun - 1e-3).mean() > 0.5
    assert pairs.sum() <= alone.sum()


@pytest.mark.parametrize(("objective", "can_drop"), [("response", False), ("late", False), ("late", True)])
@pytest.mark.parametrize("m", [1, 2])
def test_hindsight_of_small_streams_is_a_local_optimum_and_mostly_the_best(
    objective: str, can_drop: bool, m: int
) -> None:
    streams = draw(3, m=m)
    everything = every_decision(streams, [-1, 0, 1, 2] if can_drop else [0, 1, 2])
    found = hindsight(streams, np.zeros((len(streams), 4, 1), int), objective, can_drop=can_drop)
    reached = values(streams, found, objective)
    best = np.empty(len(streams))
    for b in range(len(streams)):
        counted = of_all(streams, b, everything, objective)
        near = (everything != found[b]).sum(axis=(1, 2)) <= 2
        assert reached[b] <= counted[near].min() + 2 * LEAST_GAIN_S
        best[b] = counted.min()
    assert (reached >= best - 1e-9).all()
    assert (reached <= best + 1e-5).mean() >= 0.9


def test_hindsight_of_a_graph_is_a_local_optimum_of_its_tasks() -> None:
    streams = draw(5, J=2, n=3, edges=((0, 2), (1, 2)), size=8)
    found = hindsight(streams, np.zeros((8, 2, 3), int))
    everything = every_decision(streams, [0, 1, 2])
    for b in range(8):
        changed = everything != found[b]
        # One task, or one job whose tasks go to one place.
        one_job = (changed.any(axis=2).sum(axis=1) == 1) & [
            len({*row[j]}) == 1 for row, j in zip(everything, changed.any(axis=2).argmax(axis=1), strict=True)
        ]
        near = (changed.sum(axis=(1, 2)) <= 1) | one_job
        assert values(streams[b : b + 1], found[b : b + 1])[0] <= of_all(streams, b, everything[near]).min() + 1e-5


def test_hindsight_is_the_same_however_many_threads_there_are() -> None:
    streams = draw(6, J=20)
    start = np.zeros((len(streams), 20, 1), int)
    assert (hindsight(streams, start, num_threads=1) == hindsight(streams, start, num_threads=3)).all()


def test_hindsight_knows_the_future() -> None:
    # Uplink 1 Mbit/s in [0, 1), then 100: 1 Mbit sent at once arrives at 1.0 s, and its task takes 0.1 s; the second
    # job waits behind it until 1.01 s. On the device the first takes 1.05 s. Alone, the first job does best there (1.05
    # instead of 1.1); the second one takes 5 s there, so it is sent, from 0.5 s on: 0.5 Mbit until 1.0, the rest until
    # 1.005; its response is 0.605 instead of 0.61.
    streams = Streams(
        arrival_s=[[0.0, 0.5]], input_bits=[[[1e6], [1e6]]], output_bits=[[[0.0], [0.0]]],
        workload_cycles=[[[1.05e9], [5e9]]], device_hz=[[1e9]], cpu_hz=[[1e10]], cores=[[2]], wired_bps=[[np.inf]],
        propagation_s=[[0.0]], uplink_bps=[[[1e6, 1e8]]], downlink_bps=[[[1e6, 1e6]]],
    )  # fmt: skip
    found = hindsight(streams, [[[1], [1]]])
    assert found.tolist() == [[[0], [1]]]
    assert response_times(streams, found) == pytest.approx(np.array([[1.05, 1.005]]))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"objective": "mean"}, "objective is 'mean'; it must be 'response' or 'late'"),
        ({"moves": 3}, "moves is 3; it must be 1 or 2"),
        ({"can_drop": True}, "can_drop is True; with the objective 'response' no job is dropped"),
    ],
)
def test_what_hindsight_does_not_take(given: dict[str, Any], sentence: str) -> None:
    streams = draw(1, size=1)
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        hindsight(streams, np.zeros((1, 4, 1), int), **given)


@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize("seed", range(2))
def test_no_decisions_are_below_the_bound(m: int, seed: int) -> None:
    streams = draw(10 + seed, size=60, m=m)
    everything = every_decision(streams, [0, 1, 2])
    bound_s = lower_bound(streams, (100, 160))
    best = np.array([of_all(streams, b, everything).min() for b in range(len(streams))])
    assert (bound_s <= best).all()
    assert (bound_s >= 0.6 * best).mean() > 0.9
    assert (lower_bound(streams, (13, 9)) <= best).all()


@pytest.mark.parametrize("edges", GRAPHS)
@pytest.mark.parametrize("m", [1, 2])
def test_no_decisions_of_bags_and_graphs_are_below_the_bound(edges: tuple[tuple[int, int], ...], m: int) -> None:
    streams = draw(20, size=16, J=2, n=3, m=m, edges=edges)
    everything = every_decision(streams, [0, 1, 2])
    bound_s = lower_bound(streams, (100, 160))
    for b in range(len(streams)):
        assert bound_s[b] <= of_all(streams, b, everything).min()
    longer = draw(21, size=16, J=20, n=3, m=m, edges=edges)
    bound_s = lower_bound(longer, (100, 160))
    assert (bound_s <= values(longer, random_decisions(longer, 1))).all()
    assert (bound_s <= values(longer, hindsight(longer, np.zeros((16, 20, 3), int), moves=1))).all()


def test_the_bound_of_one_job_is_its_best_response() -> None:
    streams = draw(30, J=1, size=60)
    everything = every_decision(streams, [0, 1, 2])
    best = [of_all(streams, b, everything).min() for b in range(60)]
    assert lower_bound(streams) == pytest.approx(np.array(best), rel=1e-8)


def test_the_bound_knows_the_queue_of_the_device() -> None:
    # Nothing can be sent, and ten jobs of 1 s come at once: 1 + 2 + ... + 10 s.
    ones = np.ones((1, 10, 1))
    given: dict[str, Any] = {
        "arrival_s": np.zeros((1, 10)), "output_bits": ones, "device_hz": [[1e9]], "cpu_hz": [[1e9]], "cores": [[1]],
        "wired_bps": [[np.inf]], "propagation_s": [[0.0]], "downlink_bps": [[[1e9]]],
    }  # fmt: skip
    bound_s = lower_bound(Streams(input_bits=1e12 * ones, workload_cycles=1e9 * ones, uplink_bps=[[[1e6]]], **given))
    assert 0.99 * 55 <= bound_s[0] <= 55
    # The same of the radio: 1 Mbit each at 1 Mbit/s, far too much work for the device, and none for the server.
    given["cpu_hz"] = [[1e18]]
    bound_s = lower_bound(Streams(input_bits=1e6 * ones, workload_cycles=1e12 * ones, uplink_bps=[[[1e6]]], **given))
    assert 0.99 * 55 <= bound_s[0] <= 55.001


def test_foreseen_decisions_are_a_better_start_than_all_at_one_place() -> None:
    streams = draw(40, J=60, slots=100)
    bound_s, foreseen = lower_bound(streams), values(streams, foreseen_decisions(streams))
    best = values(streams, hindsight(streams))
    for k in range(3):
        assert foreseen.sum() < values(streams, np.full((len(streams), 60, 1), k)).sum()
    assert (bound_s <= best).all()
    assert (best <= foreseen + 1e-9).all()
    # Tight, as each device has one core or two, and edge servers are hardly used.
    assert bound_s.sum() > 0.9 * best.sum()


@pytest.mark.parametrize("edges", GRAPHS)
def test_foreseen_decisions_of_applications_are_locations(edges: tuple[tuple[int, int], ...]) -> None:
    streams = draw(41, J=8, n=3, m=2, edges=edges)
    decisions = foreseen_decisions(streams)
    assert np.isin(decisions, [0, 1, 2]).all()
    assert (values(streams, decisions) >= lower_bound(streams, (60, 60))).all()


@pytest.mark.parametrize("nodes", [(7, 100), 100, (100.5, 100), (100,), "ab"])
def test_what_the_bound_does_not_take(nodes: Any) -> None:
    with pytest.raises(ValueError, match=r"^nodes is .*; it must be two whole numbers, at least 8 each$"):
        lower_bound(draw(1, size=1), nodes)
