"""A lower bound of the responses of a stream, whatever is decided, and decisions that nearly reach it.

Why nothing is below it. Take all decisions as given, and each device by itself.

- Without the other devices its radio is never slower, and without transmissions that follow a task those of the tasks
  without parents (which keep their order: by job, then task) are sent no later, one after the other. Likewise for the
  device's cores, which take the tasks without parents in the same order, and for servers that have a free core whenever
  one is asked for. After that a task with children needs at least the longest of its paths, each alone at the best
  rates there are. So no job is faster in the stream than in this smaller world.
- With several cores ``c`` a task starts at the earliest when all work in front of it but ``c - 1`` times the longest
  task would be done by all cores together.
- A response is at least the mean, with any weights, of those of the job's tasks.
- In that world all that a decision changes for those that follow is two numbers, what waits for the radio (in bits, so
  that a transmission adds the same at any time) and for the cores, and more of either is never better. The least cost
  is a dynamic program, and its values on a grid are kept such that, linear in between and constant beyond it, they are
  nowhere above the true ones, see ``offload_gym.streams.grids``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import is_whole, quoted
from offload_gym.compilation import kernel
from offload_gym.lending import lent
from offload_gym.solvers.parallel import for_each_chunk
from offload_gym.solvers.stopping import Budget, new_stop, raise_pending, watch_of
from offload_gym.streams.backlogs import decide_all, least_cost, radio_of
from offload_gym.streams.streams import StreamBatch, Streams, check_streams
from offload_gym.streams.system import world_of

NODES = 360, 732  # of the grid: what waits for the radio, for the cores. Rows of a power of two would share cache lines
DECIDING_NODES = 80, 162  # of the grids that are kept for all jobs
COARSER = 4  # times fewer points along each axis, where the range of a grid is looked for
FIRST_RANGE = 16.0  # average tasks that the grid holds, doubled while that raises the bound
MOST_DOUBLINGS = 10
SLACK = 1e-9  # relative, for what rounding does in sums of this length
CHUNK = 1  # streams that a thread takes at a time


@kernel
def _best_range(world, radio, spread, size, memory, watch):
    """(least cost, sum of the responses alone, range) with the range from ``size`` on at which that cost is highest."""
    most_s, alone_s, found = -1.0, 0.0, size
    for _ in range(MOST_DOUBLINGS):
        cost_s, alone_s = least_cost(world, radio, spread, size, memory, None, watch)
        if cost_s <= most_s or watch.stop[0]:
            break
        most_s, found, size = cost_s, size, size * 2.0
    return most_s, alone_s, found


@kernel
def bound_streams(arrays, first, nodes, watch, bounds_s):
    """Fill the bounds of the streams from ``first`` on.

    Args:
        arrays: ``StreamBatch`` as a plain tuple.
        first: number of the first stream.
        nodes: points of the grid along both of its axes.
        watch: ``Budget`` as a plain tuple, by which the kernel is stopped.
        bounds_s: (some streams,), filled.
    """
    batch, watch = lent(StreamBatch(*arrays)), lent(Budget(*watch))
    lines = np.empty((2, nodes[0] + nodes[1] + 3))
    tails_s = np.empty((batch.tasks.shape[2], batch.servers.shape[1] + 1))
    memory = np.empty((4, nodes[0], nodes[1])), lines, tails_s
    small = np.empty((4, nodes[0] // COARSER, nodes[1] // COARSER)), lines, tails_s
    sent_bits = np.empty(batch.uplink_bps.shape[2] + 1)
    for row in range(len(bounds_s)):
        world = lent(world_of(batch, first + row))
        bounds_s[row] = 0.0
        for d in range(len(world.devices)):
            radio, best_s = radio_of(world, d, sent_bits), 0.0
            for spread in range(2 if world.tasks.shape[1] > 1 else 1):
                found = _best_range(world, radio, spread == 1, FIRST_RANGE, small, watch)[2]
                cost_s, alone_s, _ = _best_range(world, radio, spread == 1, found, memory, watch)
                best_s = max(best_s, max(cost_s, alone_s))
            bounds_s[row] += best_s
        bounds_s[row] *= 1.0 - SLACK
        if watch.stop[0]:
            break
    if watch.stop[0]:
        raise_pending()


@kernel
def foresee_streams(arrays, first, nodes, watch, decisions):
    """Decide the streams from ``first`` on by the program behind the bound.

    Args:
        arrays: ``StreamBatch`` as a plain tuple.
        first: number of the first stream.
        nodes: points of the grid along both of its axes.
        watch: ``Budget`` as a plain tuple, by which the kernel is stopped.
        decisions: (some streams, J, n), filled.
    """
    batch, watch = lent(StreamBatch(*arrays)), lent(Budget(*watch))
    lines = np.empty((2, nodes[0] + nodes[1] + 3))
    tails_s = np.empty((batch.tasks.shape[2], batch.servers.shape[1] + 1))
    memory = np.empty((4, nodes[0], nodes[1])), lines, tails_s
    kept = np.empty((batch.jobs.shape[1], nodes[0], nodes[1]))
    sent_bits = np.empty(batch.uplink_bps.shape[2] + 1)
    for row in range(len(decisions)):
        world = lent(world_of(batch, first + row))
        for d in range(len(world.devices)):
            radio = radio_of(world, d, sent_bits)
            size = _best_range(world, radio, True, FIRST_RANGE, memory, watch)[2]
            least_cost(world, radio, True, size, memory, kept, watch)
            if watch.stop[0]:
                break
            decide_all(world, radio, size, memory, kept, decisions[row])
        if watch.stop[0]:
            break
    if watch.stop[0]:
        raise_pending()


def lower_bound(
    streams: Streams, nodes: tuple[int, int] = NODES, num_threads: int | None = None
) -> NDArray[np.float64]:
    """What the responses of each stream add up to at least, whatever is decided, where no job is dropped or lost.

    It is tight where one device has jobs of single tasks and servers have free cores. It counts no queue at a server,
    no device that shares the spectrum, and of applications only the first tasks with their shortest continuation.

    Args:
        streams: B streams of J jobs of up to n tasks.
        nodes: points of the grid, at least 8 each: what waits for the radio, and for the device's cores. With more of
            them the bound is tighter, and takes longer.
        num_threads: threads to use; one a core by default.

    Returns:
        (B,) seconds.

    Raises:
        ValueError: nodes is something else, streams are not ``Streams``, or their devices move from site to site.
    """
    check_streams(streams)
    if not (isinstance(nodes, tuple) and len(nodes) == 2 and all(is_whole(count) and count >= 8 for count in nodes)):
        raise ValueError(f"nodes is {quoted(nodes)}; it must be two whole numbers, at least 8 each")
    if streams.batch.sites.shape[2] > 1:
        raise ValueError("site changes from slot to slot; the lower bound is for devices that stay at one site")
    points = int(nodes[0]), int(nodes[1])
    bounds_s, stop = np.empty(len(streams)), new_stop()

    def work(rows: slice) -> None:
        bound_streams(streams.arrays, rows.start, points, watch_of(stop), bounds_s[rows])

    for_each_chunk(work, len(streams), num_threads, CHUNK, stop)
    return bounds_s


def foreseen_decisions(streams: Streams, num_threads: int | None = None) -> NDArray[np.int64]:
    """Decisions of someone who knows the future of each device alone: by the least costs behind ``lower_bound``.

    Args:
        streams: B streams of J jobs of up to n tasks.
        num_threads: threads to use; one a core by default.

    Returns:
        (B, J, n) locations, the same one for all tasks of a job.
    """
    check_streams(streams)
    decisions = np.empty((len(streams), streams.num_jobs, streams.num_tasks), dtype=np.int64)
    stop = new_stop()

    def work(rows: slice) -> None:
        foresee_streams(streams.arrays, rows.start, DECIDING_NODES, watch_of(stop), decisions[rows])

    for_each_chunk(work, len(streams), num_threads, CHUNK, stop)
    return decisions
