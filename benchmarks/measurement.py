"""How a comparison is run: every policy decides the same instances, and is timed one instance at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.contenders import Contender
from offload_gym.delay import latency, optimality_gap
from offload_gym.instances import Instances
from offload_gym.policies import Policy
from offload_gym.progress import with_progress
from offload_gym.solvers.exact import Solutions

TIMING_ROUNDS = 10
TIMED_CALLS = 2000  # for one policy, over all rounds
MAX_ROUND_S = 0.5  # a slow policy makes fewer calls in a round


class Measurement(NamedTuple):
    """What one policy did on B instances of n tasks; of S training seeds, on S times B, one seed after the other."""

    name: str
    num_parameters: int
    decisions: NDArray[np.int64]  # (B, n)
    latency_s: NDArray[np.float64]  # (B,)
    optimum_s: NDArray[np.float64]  # (B,)
    expert_decisions: NDArray[np.int64]  # (B, n)
    present: NDArray[np.bool_]  # (B, n) whether there is a task, not padding
    decide_us: NDArray[np.float64]  # (calls,) one call of decide with one instance, from Python
    batch_s: float  # deciding all B instances in one call, the fastest of three
    shipped: bool = False  # a network of the package
    num_seeds: int = 1  # that it was trained from

    @property
    def gap(self) -> NDArray[np.float64]:
        """(S, B) latency over the optimum, minus 1."""
        return optimality_gap(self.latency_s, self.optimum_s).reshape(self.num_seeds, -1)


def pooled(measurements: Sequence[Measurement]) -> list[Measurement]:
    """One measurement a policy: those of the same name are of networks that differ in their training seed."""
    together: dict[tuple[str, bool], list[Measurement]] = {}
    for one in measurements:
        together.setdefault((one.name, one.shipped), []).append(one)

    def joined(same: Sequence[Measurement], field: str) -> NDArray[Any]:
        return np.concatenate([getattr(one, field) for one in same])

    return [
        same[0]._replace(
            decisions=joined(same, "decisions"),
            latency_s=joined(same, "latency_s"),
            optimum_s=joined(same, "optimum_s"),
            expert_decisions=joined(same, "expert_decisions"),
            present=joined(same, "present"),
            decide_us=joined(same, "decide_us"),
            batch_s=sum(one.batch_s for one in same),
            num_seeds=len(same),
        )
        for same in together.values()
    ]


def measure(
    contenders: list[Contender], instances: Instances, seen: Instances, expert: Solutions, objective: str
) -> list[Measurement]:
    """Run all policies on what they see of all instances, then time them in turn.

    The timing goes round the policies several times, so that a noisy minute of the machine falls on all of them alike.
    """
    singles = [seen[b : b + 1] for b in range(min(len(seen), TIMED_CALLS))]
    decided: list[NDArray[np.int64]] = []
    batch_s: list[float] = []
    for contender in with_progress(contenders, "deciding", "policy"):
        contender.policy.decide(singles[0])  # compiles
        runs = []
        for _ in range(3):
            start = time.perf_counter()
            decisions = contender.policy.decide(seen)
            runs.append(time.perf_counter() - start)
            if runs[-1] > MAX_ROUND_S:
                break
        decided.append(decisions)
        batch_s.append(min(runs))
    calls: list[list[NDArray[np.float64]]] = [[] for _ in contenders]
    in_a_round = TIMED_CALLS // TIMING_ROUNDS
    for timing_round in with_progress(range(TIMING_ROUNDS), "timing", "round"):
        chosen = [singles[(timing_round * in_a_round + call) % len(singles)] for call in range(in_a_round)]
        for times, contender in zip(calls, contenders, strict=True):
            times.append(time_calls(contender.policy, chosen))
    return [
        Measurement(
            contender.name,
            contender.num_parameters,
            decisions,
            latency(instances, decisions, objective),
            expert.latency_s,
            expert.decisions,
            instances.present,
            np.concatenate(times),
            seconds,
            contender.shipped,
        )
        for contender, decisions, seconds, times in zip(contenders, decided, batch_s, calls, strict=True)
    ]


def time_calls(policy: Policy, singles: list[Instances]) -> NDArray[np.float64]:
    """Microseconds of one call for each instance (for the first ones where the time of a round is over)."""
    decide = policy.decide
    for one in singles[:5]:  # warm caches again after the policy before
        decide(one)
    times_us = []
    end = time.perf_counter() + MAX_ROUND_S
    for one in singles:
        start = time.perf_counter_ns()
        decide(one)
        times_us.append((time.perf_counter_ns() - start) / 1e3)
        if time.perf_counter() > end:
            break
    return np.array(times_us)
