"""PEFT against a case by hand, greedy and the exact solver."""

import naive
import numpy as np
from naive_graphs import Twin

import offload_gym
from offload_gym.solvers.greedy import greedy
from offload_gym.solvers.peft import peft


def test_peft_looks_at_what_follows():
    """Two tasks of 1 and 4 Gcycles; device 1 GHz, server 4 GHz; 12 Mbit in, 1 Mbit between them, 10 Mbit/s, result 0.

    The first task is complete after 1 s on the device and after 1.2 + 0.25 = 1.45 s on the server. Greedy takes the
    device; then 4 s more there, or 0.1 + 1 s on the server: 2.1 s. What follows takes min(4, 0.1 + 1) = 1.1 s after the
    device, and 1 s after the server: 2.1 against 2.45 s, so PEFT takes the device, too. With 30 Mbit between them the
    way from the device takes 3 + 1 = 4 s or 4 s there, from the server 1 s: 5 against 2.45 s.
    """
    fields = {
        "input_bits": [[12e6, 0.0]], "output_bits": [[0.0, 0.0]], "workload_cycles": [[1e9, 4e9]],
        "cpu_hz": [[1e9, 4e9]], "cores": [[1, 1]], "backlog_s": [[0.0, 0.0]], "uplink_bps": [[np.inf, 1e7]],
        "downlink_bps": [[np.inf, 1e7]], "wired_bps": [[np.inf, np.inf]], "propagation_s": [[0.0, 0.0]],
        "edges": ((0, 1),),
    }  # fmt: skip
    little = offload_gym.Instances(**fields, edge_bits=[[1e6]])
    much = offload_gym.Instances(**fields, edge_bits=[[30e6]])
    assert peft(little).tolist() == greedy(little).tolist() == [[0, 1]]
    np.testing.assert_allclose(offload_gym.latency(little, peft(little)), 2.1)
    assert greedy(much)[0, 0] == 0
    assert peft(much).tolist() == [[1, 1]]
    np.testing.assert_allclose(offload_gym.latency(much, peft(much)), 2.45)


def test_peft_decides_as_plain_python_does():
    for name in ("dag", "partitioning", "chain"):
        instances = offload_gym.sample_instances(name, 20, seed=1)
        decisions = peft(instances)
        for b in range(len(instances)):
            twin = Twin(naive.from_instances(instances, b))
            decision: list[int] = []
            for i in range(twin.n):
                ends = [twin.schedule([*decision, k]).finish[i] + twin.least_tail[i][k] for k in twin.places]
                decision.append(ends.index(min(ends)))
            assert decisions[b, : twin.n].tolist() == decision


def test_peft_is_greedy_for_independent_tasks_and_never_below_exact():
    instances = offload_gym.sample_instances("default", 50, seed=2)
    np.testing.assert_array_equal(peft(instances), greedy(instances))
    graphs = offload_gym.sample_instances("dag", 50, seed=3)
    exact_s = offload_gym.solve(graphs).latency_s
    for moves in (None, "flip"):
        assert (offload_gym.latency(graphs, peft(graphs, moves=moves)) >= exact_s * (1 - 1e-12)).all()
    policy = offload_gym.make_policy("peft+flip")
    np.testing.assert_array_equal(policy.decide(graphs), peft(graphs, moves="flip"))
