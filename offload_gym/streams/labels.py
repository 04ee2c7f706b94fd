"""Labels of streams: what each choice for a task costs on average over sampled futures, for a network to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import NDArray

from offload_gym.array_checks import check_count
from offload_gym.checks import as_path, checked_number, quoted, shortened
from offload_gym.files import read_npz, replacing
from offload_gym.seeds import as_seed_sequence
from offload_gym.solvers.parallel import for_each_chunk
from offload_gym.solvers.stopping import new_stop
from offload_gym.streams.observing import OBSERVATION_VERSION, size_of
from offload_gym.streams.planner import Played
from offload_gym.streams.playing import planning_call
from offload_gym.streams.policies import PlannerPolicy, PlanPolicy
from offload_gym.streams.sampling import sample_streams
from offload_gym.streams.streams import Streams

CHUNK = 4  # streams that a thread plays at a time


class StreamLabels(NamedTuple):
    """What planning found at the moments at which tasks were placed."""

    observations: NDArray[np.float32]  # (N, size)
    costs: NDArray[np.float32]  # (N, choices) more than the best choice, on average; infinite where not allowed
    errors: NDArray[np.float32]  # (N, choices) standard errors of these


def label_streams(
    planner: PlannerPolicy,
    behaviour: PlanPolicy,
    num_streams: int,
    seed: int | SeedSequence,
    share: float = 0.4,
    explore: float = 0.1,
    num_threads: int | None = None,
) -> StreamLabels:
    """Play fresh streams with a policy, and plan at some of its moments.

    Args:
        planner: plans, and says from which scenario streams and futures are drawn.
        behaviour: decides what is played, so that its own states are labelled (Ross, Gordon and Bagnell, "A reduction
            of imitation learning and structured prediction to no-regret online learning", AISTATS 2011).
        num_streams: how many are played, at least 1.
        seed: of the streams, of the futures, and of what is explored.
        share: of the tasks that are labelled, from 0 to 1.
        explore: share of the tasks that are placed at random.
        num_threads: threads; None takes one a core.

    Returns:
        The labels, the same for the same arguments whatever the threads.

    Raises:
        ValueError: an argument is out of its bounds.
    """
    check_count("num_streams", num_streams)
    if not isinstance(planner, PlannerPolicy):
        raise ValueError(f"planner is {quoted(planner)}; it must be a planner, as make_stream_policy makes it")
    for name, value in (("share", share), ("explore", explore)):
        checked_number(name, value, "from 0 to 1", lambda given: 0 <= given <= 1)
    of_streams, of_plans = as_seed_sequence(seed).spawn(2)
    streams = sample_streams(planner.scenario, num_streams, of_streams)
    key = np.random.default_rng(of_plans).integers(1 << 64, dtype=np.uint64)
    stop = new_stop()
    call = planning_call(streams, planner, behaviour, {"key": key, "share": share, "explore": explore}, stop)
    made: dict[int, StreamLabels] = {}

    def work(rows: slice) -> None:
        out = _room(streams, rows.stop - rows.start, share, planner.scenario.can_drop)
        count = call(rows.start, out)
        made[rows.start] = StreamLabels(
            out.observations[:count].copy(), out.costs[:count].astype(np.float32), out.errors[:count].astype(np.float32)
        )

    for_each_chunk(work, num_streams, num_threads, CHUNK, stop)
    return joined([made[first] for first in sorted(made)])


def _room(streams: Streams, size: int, share: float, can_drop: bool) -> Played:
    """Room for playing and labelling some of the streams."""
    shape, choices = (size, streams.num_jobs), streams.num_locations + can_drop
    # All tasks may be drawn; so many more than the mean hardly ever are, and those beyond are left out.
    tasks = size * streams.num_jobs * streams.num_tasks
    most = min(tasks, int(share * tasks + 8 * np.sqrt(share * tasks) + 8))
    return Played(
        np.zeros((*shape, streams.num_tasks), dtype=np.int64),
        np.zeros(shape),
        np.zeros(shape),
        np.zeros((most, size_of(streams.num_locations)), dtype=np.float32),
        np.zeros((most, choices)),
        np.zeros((most, choices)),
    )


def joined(parts: list[StreamLabels]) -> StreamLabels:
    """The labels of several parts, one after another."""
    return StreamLabels(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def save_stream_labels(path: str | Path, labels: StreamLabels) -> None:
    """Write labels to an ``.npz`` file; an existing file is replaced once the new one is whole."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, observation_version=OBSERVATION_VERSION, **labels._asdict())


def load_stream_labels(path: str | Path) -> StreamLabels:
    """The labels of a file of ``save_stream_labels``.

    Raises:
        ValueError: the file does not hold labels of streams, or of an observation that is not this package's.
    """
    try:
        arrays = read_npz(as_path(path))
        version = int(arrays["observation_version"])
        labels = StreamLabels(*(arrays[name] for name in StreamLabels._fields))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not hold labels of streams: {shortened(str(error))}") from None
    for name, array in labels._asdict().items():
        if array.ndim != 2 or array.dtype.kind != "f":
            shape = f"the type {array.dtype} and the shape {array.shape}"
            raise ValueError(f"{path} has {name} of {shape}; they must be rows of numbers")
    if version != OBSERVATION_VERSION:
        raise ValueError(
            f"{path} has labels for version {version} of the observation of streams; this package has version "
            f"{OBSERVATION_VERSION}, and they must be made anew"
        )
    if not len(labels.observations) == len(labels.costs) == len(labels.errors):
        raise ValueError(f"{path} has {len(labels.observations)} observations for {len(labels.costs)} costs")
    return labels
