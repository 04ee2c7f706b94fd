"""How long one decision of a policy of streams takes, asked from Python."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offload_gym.instances import Instances
from offload_gym.streams.playing import admit_kernel, arrive_kernel, play, room_for_jobs
from offload_gym.streams.policies import PlannerPolicy, PlanPolicy
from offload_gym.streams.single import decide_one
from offload_gym.streams.streams import Streams
from offload_gym.streams.system import new_system

PASSES = 7
MOST_S = 3.0  # no further pass begins after so long
LEAST_JOBS = 20  # of a stream of a planner


def decide_us(policy: Any, stream: Streams) -> float:
    """Median microseconds of one decision for a job that has just arrived, in the fastest of several passes.

    A pass plays a stream: a shared machine is slow for seconds at a time. Timed is the call that decides alone, not
    what lets time pass in the stream: ``decide_one`` of a rule or a network, ``decide`` of a policy of one moment. Of
    the planner it is the mean over a stream, all of which it plays in one call.

    Args:
        policy: what ``make_stream_policy`` returns.
        stream: one of them, as a batch of 1.
    """
    if isinstance(policy, PlannerPolicy):
        one_pass: Callable[[], float] = lambda: _mean_of_planner(policy, stream)  # noqa: E731
    else:
        call = _call_of(policy, stream)
        one_pass = lambda: float(np.median(_play(call, stream)))  # noqa: E731
    fastest, end = one_pass(), time.perf_counter() + MOST_S  # the first one compiles
    for _ in range(PASSES):
        fastest = min(fastest, one_pass())
        if time.perf_counter() > end:
            break
    return fastest


def _mean_of_planner(policy: PlannerPolicy, stream: Streams) -> float:
    start = time.perf_counter()
    play(stream, policy, num_threads=1)
    return 1e6 * (time.perf_counter() - start) / stream.num_jobs


Call = Callable[[tuple[Any, ...], int, Any, NDArray[np.int64]], float]


def _call_of(policy: Any, stream: Streams) -> Call:
    """A function that fills the decision for a job that has arrived and returns the nanoseconds that this took."""
    arrays = stream.arrays
    if isinstance(policy, PlanPolicy):
        plan = tuple(policy.plan)

        def decide_plan(systems: tuple[Any, ...], j: int, _: Any, decision: NDArray[np.int64]) -> float:
            start = time.perf_counter_ns()
            decide_one(arrays, systems, plan, j, decision)
            return time.perf_counter_ns() - start

        return decide_plan

    def decide_moment(_: tuple[Any, ...], __: int, batch: Any, decision: NDArray[np.int64]) -> float:
        instances = Instances.from_batch(batch)
        start = time.perf_counter_ns()
        decided = policy.decide(instances)
        taken = time.perf_counter_ns() - start
        decision[:] = decided[0]
        return taken

    return decide_moment


def _play(call: Call, stream: Streams) -> NDArray[np.float64]:
    """Microseconds of the decision for each job."""
    systems: tuple[Any, ...] = tuple(new_system(stream))
    batch, deadline_s = room_for_jobs(stream), np.empty(1)
    times_us, decision = np.empty(stream.num_jobs), np.zeros((1, stream.num_tasks), dtype=np.int64)
    for j in range(stream.num_jobs):
        arrive_kernel(stream.arrays, systems, j, tuple(batch), deadline_s)
        times_us[j] = call(systems, j, batch, decision[0]) / 1e3
        admit_kernel(stream.arrays, systems, j, decision)
    return times_us
