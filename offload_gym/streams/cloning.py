"""Labels of decisions that someone made: what is seen before each, for a network that learns to decide alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from offload_gym.compilation import kernel
from offload_gym.lending import lent
from offload_gym.solvers.parallel import for_each_chunk
from offload_gym.streams.engine import admit, advance
from offload_gym.streams.labels import StreamLabels
from offload_gym.streams.observing import observe, size_of
from offload_gym.streams.outlook import look, new_outlook, put, weigh
from offload_gym.streams.responses import CHUNK, check_stream_decisions
from offload_gym.streams.streams import StreamBatch, Streams
from offload_gym.streams.system import DROPPED, System, begin, new_system, system_of, world_of


@kernel
def observe_decisions(arrays, systems, first, decisions, observations):
    """Fill what is seen before each choice while streams are played with given decisions, those from ``first`` on.

    Args:
        arrays: ``StreamBatch`` as a plain tuple.
        systems: ``System`` with an axis of 1 in front, as a plain tuple: scratch space.
        first: number of the first stream.
        decisions: (some streams, J, n).
        observations: (choices, size), filled: task after task, and once for a job that is dropped.
    """
    batch, system = lent(StreamBatch(*arrays)), lent(system_of(System(*systems), 0))
    memory = new_outlook(batch.servers.shape[1] + 1, system.core_free_s.shape[1], batch.tasks.shape[2])
    count = 0
    for row in range(len(decisions)):
        world, outlook = lent(world_of(batch, first + row)), lent(memory)
        begin(world, system)
        for j in range(len(world.jobs)):
            advance(world, system, world.jobs[j].arrival_s, None)
            look(world, system, world.jobs[j].device, outlook)
            for i in range(world.jobs[j].num_tasks):
                weigh(world, outlook, j, i)
                observe(world, system, outlook, j, i, observations[count])
                count += 1
                if decisions[row, j, i] == DROPPED:
                    break
                put(world, system, outlook, j, i, decisions[row, j, i])
            admit(world, system, j, decisions[row, j])


def decided_labels(
    streams: Streams, decisions: ArrayLike, can_drop: bool = False, num_threads: int | None = None
) -> StreamLabels:
    """Labels that say what was decided: it costs 0, and every other choice costs 1.

    So a network clones the decisions of any expert, also recorded ones (``agents.stream_learning.fit_network``). The
    expert may know more than the network sees, as ``offload_gym.streams.hindsight.hindsight`` does, which knows the
    future; the network then learns what the expert decides most often where things look as they do.

    Args:
        streams: B streams of J jobs of up to n tasks.
        decisions: (B, J, n) locations from 0 to S, all -1 for a job that is dropped; of padding they are ignored.
        can_drop: whether there is one more choice, which drops the job; it is allowed at a job's first task alone.
        num_threads: threads that share the streams; None takes one a core.

    Returns:
        Labels in the order of streams, jobs and tasks: one for each task, and one for each job that was dropped. The
        observations are those of ``offload_gym/Stream-v0`` in an episode with these decisions.

    Raises:
        ValueError: the decisions do not fit, or drop a job where ``can_drop`` is False.
    """
    checked = check_stream_decisions(streams, decisions)
    dropped = checked[:, :, 0] == DROPPED
    if dropped.any() and not can_drop:
        b, j = np.argwhere(dropped)[0].tolist()
        raise ValueError(f"decisions[{b}, {j}] drops the job; where can_drop is False it must be locations")
    asked = streams.present & ~dropped[:, :, None]
    asked[:, :, 0] |= dropped
    ends = np.cumsum(asked.sum(axis=(1, 2)))
    starts = np.append(0, ends[:-1])
    observations = np.empty((ends[-1], size_of(streams.num_locations)), dtype=np.float32)

    def work(rows: slice) -> None:
        system: tuple[Any, ...] = tuple(new_system(streams))
        mine = observations[starts[rows.start] : ends[rows.stop - 1]]
        observe_decisions(streams.arrays, system, rows.start, checked[rows], mine)

    for_each_chunk(work, len(streams), num_threads, CHUNK)
    chosen, tasks = checked[asked], np.nonzero(asked)[2]
    costs = np.ones((len(chosen), streams.num_locations + bool(can_drop)), dtype=np.float32)
    if can_drop:
        costs[tasks > 0, -1] = np.inf
    costs[np.arange(len(chosen)), np.where(chosen == DROPPED, streams.num_locations, chosen)] = 0.0
    return StreamLabels(observations, costs, np.zeros_like(costs))
