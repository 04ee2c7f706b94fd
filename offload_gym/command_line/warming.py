"""``offload-gym warm-up``: compile all kernels, several at a time."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from offload_gym.cell import cell_latency
from offload_gym.cell_policies import load_cell_policy, report_of
from offload_gym.command_line.exit_codes import if_interrupted
from offload_gym.compilation import is_kept, kernel_folders
from offload_gym.delay import MAKESPAN, Problem, Start, completion_times, latency, schedule
from offload_gym.demonstrations import label
from offload_gym.envs.cell import observe_cell, sample_cell
from offload_gym.envs.joint import JointEnv
from offload_gym.envs.sequential import SequentialEnv
from offload_gym.envs.stream import StreamEnv
from offload_gym.envs.stream_accounts import DeviceAccounts
from offload_gym.envs.stream_fleet import StreamFleet
from offload_gym.instances import Instances
from offload_gym.networks.cell_kernel import decide_in_training
from offload_gym.networks.graph_network import GraphNetwork
from offload_gym.networks.graph_policy import GraphPolicy
from offload_gym.networks.graph_view import INPUTS
from offload_gym.networks.policy import NetworkPolicy
from offload_gym.networks.policy_file import Network
from offload_gym.observation import epoch_observations, row_size, state_size
from offload_gym.policies import WEIGHTS, make_policy
from offload_gym.sampling import sample_instances
from offload_gym.scenario import make_scenario
from offload_gym.solvers.best_response import alternative_latency, best_response
from offload_gym.solvers.exact import exact_kernel, solve
from offload_gym.solvers.look_ahead import look_ahead
from offload_gym.solvers.parallel import num_cores
from offload_gym.solvers.pareto import pareto_search
from offload_gym.solvers.stopping import Budget, new_stop
from offload_gym.streams.beliefs import draw_future_jobs, new_belief, observe_jobs
from offload_gym.streams.bounds import lower_bound
from offload_gym.streams.cloning import decided_labels
from offload_gym.streams.hindsight import hindsight
from offload_gym.streams.parameters import stream_parameters
from offload_gym.streams.playing import arrive_kernel, play, room_for_jobs
from offload_gym.streams.policies import make_stream_policy, rule_plan
from offload_gym.streams.rates import draw_future_rates
from offload_gym.streams.sampling import sample_streams
from offload_gym.streams.single import decide_one
from offload_gym.streams.system import new_system

CORES = (1, 2, 8)


def example(edges: tuple[tuple[int, int], ...] = ()) -> Instances:
    """One instance of three tasks that no kernel was needed for, with the cores of the preset ``default``."""
    three, rates = [[1e6, 2e6, 3e6]], [[np.inf, 1e7, 1e7]]
    if edges:
        input_bits, output_bits = [[1e6, 0.0, 0.0]], [[0.0, 0.0, 1e6]]
    else:
        input_bits = output_bits = three
    return Instances(
        input_bits=input_bits, output_bits=output_bits, workload_cycles=[[1e9, 2e9, 3e9]],
        cpu_hz=[[1e9, 4e9, 8e9]], cores=[CORES], backlog_s=np.zeros((1, 3)),
        uplink_bps=rates, downlink_bps=rates, wired_bps=np.full((1, 3), np.inf), propagation_s=np.zeros((1, 3)),
        edges=edges, edge_bits=np.full((1, len(edges)), 1e6) if edges else None,
    )  # fmt: skip


GRAPH = ((0, 2), (1, 2))
CHAIN = ((0, 1), (1, 2))


def _network(instances: Instances) -> Network:
    """A network of the kind that the general kernel runs."""
    n, dependent = instances.num_tasks, bool(instances.batch.edge_parent.size)
    inputs = n * row_size(len(CORES), dependent) + state_size(sum(CORES), len(CORES), dependent)
    if dependent:
        inputs += n * (len(CORES) + n)
    head = ((np.zeros((len(CORES), inputs), np.float32), np.zeros(len(CORES), np.float32)),)
    return Network("sequential", "tanh", CORES, n, (), head, {}, dependent)


def _decide(*names: str) -> None:
    for instances in (example(), example(GRAPH)):
        for name in names:
            make_policy(name).decide(instances)


def _search() -> None:
    solve(example())


def _frontier() -> None:
    """The larger half of ``_search``, in the form in which that one calls it."""
    n, k = 3, len(CORES)
    none, number = np.empty(0, np.int64), np.zeros(1, np.int64)
    problem = Problem(
        np.ones((n, k, 4)), np.zeros(n + 1, np.int64), none, np.zeros(n, bool), np.empty((0, k, k, 2)), np.zeros(2)
    )
    start, budget = Start(0, 0.0, 0.0, np.zeros((k, max(CORES)))), Budget(1000, new_stop(), number, None)
    pareto_search(problem, np.zeros(n, np.int64), np.inf, start, MAKESPAN, budget, 64)


def _schedules() -> None:
    for instances in (example(), example(GRAPH)):
        decisions = np.zeros((1, 3), np.int64)
        latency(instances, decisions)
        completion_times(instances, decisions)
        schedule(instances, decisions[0])


def _graphs() -> None:
    for edges in (GRAPH, CHAIN):
        solve(example(edges))
    for instances in (example(), example(GRAPH)):
        solve(instances, max_nodes=1)


def _environments(scenario: str) -> None:
    for make in (JointEnv, SequentialEnv):
        env = make(scenario)
        env.reset(seed=0)
        env.step(env.action_space.sample())


def _networks() -> None:
    instances = example()
    for name in ("student", "student+flip"):
        make_policy(name).decide(instances)
    for given in (instances, example(GRAPH)):
        for refine in (None, "flip"):
            NetworkPolicy(_network(given), refine).decide(given)


def _networks_of_graphs() -> None:
    layers = ((np.zeros((1, INPUTS), np.float32), np.zeros(1, np.float32)),)
    policy = GraphPolicy(GraphNetwork(layers, 1, 1, 1, {}), "flip")
    for instances in (example(), example(GRAPH)):
        policy.decide(instances)


def _labels() -> None:
    for instances in (example(), example(GRAPH)):
        epoch_observations(instances, label(instances).prefixes, bool(instances.batch.edge_parent.size))


def _cells() -> None:
    cell = sample_cell("default", 2, 0)
    decisions = np.zeros((len(cell), cell.num_tasks), np.int64)
    cell_latency(cell, decisions)
    best_response(cell, decisions)
    alternative_latency(cell, decisions, decisions[:, None])
    policy, report = load_cell_policy(WEIGHTS / "default-cell-student.safetensors"), report_of(cell)
    policy.decide(cell, report)
    observe_cell(cell)
    look_ahead(example(), 1.0, 1.0)
    # What the training of such networks calls.
    network, leanings = (policy._plan, policy._weights), np.zeros((*decisions.shape, cell.num_locations), np.float32)
    reports, further = np.array([[*report, 0.0]] * len(cell)), np.zeros((len(cell), 0), np.float32)
    decide_in_training(cell.arrays[:5], reports, network, leanings, further, decisions)


def _environments_of_streams(scenario: str) -> None:
    env = StreamEnv(scenario, render_mode="ansi")
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.render()


def _streams(preset: str) -> None:
    scenario = make_scenario(preset, num_jobs=2)
    batch = sample_streams(scenario, 1).batch
    parameters, _ = stream_parameters(scenario)
    belief, start = new_belief(parameters, scenario.num_devices), np.uint64(0)
    observe_jobs(parameters, belief, batch.jobs[0], 0, 1)
    draw_future_rates(parameters, start, batch, 0, 0, 2)
    draw_future_jobs(parameters, start, belief, batch.jobs["arrival_s"][0, 0], batch, 0, 1, 2)


def _deciding_streams() -> None:
    scenario = make_scenario("stream", num_jobs=2)
    streams = sample_streams(scenario, 1)
    for name in ("queue-price", "exact", "planner"):
        play(streams, make_stream_policy(name, scenario))
    systems: tuple[Any, ...] = tuple(new_system(streams))
    plan, decision = rule_plan("price", np.zeros(3)), np.zeros(1, np.int64)
    arrive_kernel(streams.arrays, systems, 0, tuple(room_for_jobs(streams)), np.empty(1))
    decide_one(streams.arrays, systems, tuple(plan), 0, decision)


def _moving_streams() -> None:
    scenario = make_scenario("stream_mobile", num_jobs=2)
    play(sample_streams(scenario, 1), make_stream_policy("planner", scenario))


def _references() -> None:
    streams = sample_streams(make_scenario("stream", num_jobs=2), 1)
    hindsight(streams)
    lower_bound(streams, (8, 8))
    decided_labels(streams, np.zeros((1, 2, 1), np.int64))


def _accounts() -> None:
    DeviceAccounts(StreamFleet(make_scenario("stream", num_jobs=2), 1, None)).rewards()


#: What one process compiles, the longest first. A kernel that another process has begun is waited for.
JOBS: dict[str, Callable[[], Any]] = {
    "search": _search,
    "frontier": _frontier,
    "environments of streams": lambda: _environments_of_streams("stream"),
    "environments": lambda: _environments("default"),
    "networks": _networks,
    "networks of graphs": _networks_of_graphs,
    "labels": _labels,
    "deciding streams": _deciding_streams,
    "deciding streams of devices that move": _moving_streams,
    "environments of devices that move": lambda: _environments_of_streams("stream_mobile"),
    "streams": lambda: _streams("stream_deadlines"),
    "streams of devices that move": lambda: _streams("stream_mobile"),
    "references of streams": _references,
    "graphs": _graphs,
    "environments of graphs": lambda: _environments("dag"),
    "heuristics": lambda: _decide("greedy+flip", "heft+swap", "peft", "beam-4"),
    "cells": _cells,
    "schedules": _schedules,
    "accounts of devices": _accounts,
    "instances": lambda: [sample_instances(scenario, 1) for scenario in ("default", "dag")],
}


def add_warm_up(commands: Any) -> None:
    """Add ``offload-gym warm-up``."""
    parser = commands.add_parser(
        "warm-up",
        help="compile all kernels now",
        description="Compile all kernels now, in several processes, so that nothing has to be compiled later: for the "
        "image of a container, or before a measurement. What is compiled already is left as it is.",
        allow_abbrev=False,
    )
    parser.add_argument("--processes", type=int, help="processes at a time (default: one a core)")
    parser.add_argument("--only", choices=JOBS, help=argparse.SUPPRESS)  # in this process
    parser.set_defaults(run=_warm_up)


def _warm_up(options: argparse.Namespace) -> None:
    if options.only is not None:
        JOBS[options.only]()
        return
    if options.processes is not None and options.processes < 1:
        raise ValueError(f"processes is {options.processes}; it must be at least 1")
    folder = kernel_folders()[1]
    if folder is None:
        raise ValueError("no folder for compiled kernels can be written; set NUMBA_CACHE_DIR to one that can")
    start = time.monotonic()
    with if_interrupted("what is compiled is kept; start the same command again to go on"):
        for done, name in enumerate(_in_processes(list(JOBS), options.processes or num_cores()), start=1):
            bar, took_s = "#" * done + "." * (len(JOBS) - done), time.monotonic() - start
            print(f"[{bar}] {done} of {len(JOBS)}, {took_s:.0f} s: {name}", file=sys.stderr, flush=True)
    print(f"all kernels are compiled: {folder}")


def begin(name: str, errors: int | IO[bytes] = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """A process that does one of the ``JOBS``."""
    # This package, whatever another one the current folder holds.
    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "offload_gym", "warm-up", "--only", name],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
    )


def _end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        with suppress(OSError):
            process.kill()
        process.wait()


def _in_processes(names: list[str], at_a_time: int) -> Iterator[str]:
    """The names of the jobs as they are done, so many of them at a time."""
    running: dict[str, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}
    waiting = list(reversed(names))
    try:
        while waiting or running:
            while waiting and len(running) < at_a_time:
                # No pipe, which would be full at some point.
                errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
                running[waiting[-1]] = begin(waiting[-1], errors), errors
                waiting.pop()
            time.sleep(0.05)
            for name in [name for name, (process, _) in running.items() if process.poll() is not None]:
                process, errors = running.pop(name)
                with errors:
                    if process.returncode != 0:
                        errors.seek(0)
                        text = errors.read().decode(errors="replace")
                        raise ChildProcessError(f"compiling the kernels of {name} failed: {text}")
                yield name
    finally:
        _end(process for process, _ in running.values())


@contextmanager
def help_to_search() -> Iterator[None]:
    """Let other cores compile the search while this process reads or draws what it is to solve."""
    helpers = []
    if num_cores() > 1 and kernel_folders()[1] is not None and not is_kept(exact_kernel):
        helpers = [begin(name) for name in ("search", "frontier", "schedules")]
    try:
        yield
    finally:
        _end(helpers)  # what they compile is there by now, or nobody waits for it
