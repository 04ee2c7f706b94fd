"""What a user's type checker sees of the public names: `make test-wheel` runs `mypy --strict` on this file."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import offload_gym
from offload_gym import Application, Demonstrations, Instances, Policy, Scenario, Schedule, Solutions, Trace

scenario: Scenario = offload_gym.make_scenario("default", num_tasks=4)
instances: Instances = offload_gym.sample_instances(scenario, num_instances=3, seed=0)
first, second = offload_gym.sample_consecutive(scenario, 3, seed=0)
following: Instances = second
estimates: Instances = offload_gym.estimate_instances(instances, 0.1, seed=0)
solutions: Solutions = offload_gym.solve(instances, objective="mean", max_nodes=1000)
optimal: NDArray[np.bool_] = solutions.optimal
policies: list[Policy] = [offload_gym.make_policy("greedy"), offload_gym.make_policy("student")]
decisions: NDArray[np.int64] = policies[0].decide(instances)
improved: NDArray[np.int64] = offload_gym.local_search(instances, decisions)
latency_s: NDArray[np.float64] = offload_gym.latency(instances, decisions)
completion_s: NDArray[np.float64] = offload_gym.completion_times(instances, decisions)
energy_j: NDArray[np.float64] = offload_gym.energy(instances, decisions)
chart: Schedule = offload_gym.schedule(instances[:1], decisions[0])
demonstrations: Demonstrations = offload_gym.generate_demonstrations(scenario, 3, seed=0)
trace: Trace = offload_gym.load_trace("trace.csv", unit="kbit/s")
rates_bps: NDArray[np.float64] = trace.rates_bps(step_s=0.25)
application: Application = offload_gym.random_application(4, seed=0)


class Mine:
    """A policy of one's own."""

    def decide(self, instances: Instances) -> NDArray[np.int64]:
        """All on the device."""
        return np.zeros((len(instances), instances.num_tasks), dtype=np.int64)


def gap(policy: Policy) -> float:
    """A function that takes any policy."""
    return float(offload_gym.latency(instances, policy.decide(instances)).mean())


gaps: list[float] = [gap(Mine()), gap(offload_gym.load_policy(Path("policy.safetensors")))]
