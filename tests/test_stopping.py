"""Searches are stopped by signals, soon, and say what they have found so far."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from offload_gym import (
    Instances,
    latency,
    make_policy,
    make_stream_policy,
    play,
    sample_instances,
    sample_streams,
    solve,
)
from offload_gym.demonstrations import label
from offload_gym.solvers.exact import Interrupted
from offload_gym.solvers.local_search import local_search
from offload_gym.solvers.parallel import for_each_chunk
from offload_gym.streams.bounds import lower_bound
from offload_gym.streams.hindsight import hindsight

SOON_S = 1.0
LONG = {"name": "fork_join", "num_tasks": 26}  # the first instance takes minutes
# Small instances first, so that nothing is compiled while the search is timed.
COMMAND = """
import sys
from offload_gym.command_line import main
assert main(["solve", "fork_join", "--max-nodes", "1"]) == 0
print("ready", flush=True)
sys.exit(main(sys.argv[1:]))
"""

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="signals of POSIX")


class LateError(Exception):
    pass


def raise_late(number, frame):
    raise LateError


def raise_interrupt(number, frame):
    raise KeyboardInterrupt


@pytest.fixture
def stopped_after():
    """``stopped_after(handler, seconds, search)``: the error that the search ends with, and how long after the signal.

    The signal is not that of Ctrl-C, which would end the tests where the search did not notice it.
    """
    before = signal.getsignal(signal.SIGUSR1)

    def run(handler, seconds, search):
        signal.signal(signal.SIGUSR1, handler)
        sent = []

        def send():
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGUSR1)

        timer = threading.Timer(seconds, send)
        timer.start()
        try:
            search()
        except (KeyboardInterrupt, LateError) as error:
            return error, time.perf_counter() - sent[0]
        finally:
            timer.cancel()
            timer.join()
        raise AssertionError("it ended before the signal, or without noticing it")

    yield run
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("num_instances", [1, 40])
def test_a_search_that_is_interrupted_says_the_best_so_far(stopped_after, num_instances):
    # GIVEN searches that take minutes, one alone, or more than one thread takes
    instances = sample_instances(LONG, num_instances, seed=0)
    solve(instances[:1], max_nodes=1)
    # WHEN Ctrl-C comes THEN it is noticed soon
    threads = threading.active_count()
    error, seconds = stopped_after(raise_interrupt, 0.5, lambda: solve(instances, num_threads=2))
    assert isinstance(error, Interrupted)
    assert seconds < SOON_S
    # AND no thread goes on
    assert threading.active_count() == threads
    # AND what was found is no worse than the start of the search, and has a bound
    found, begun = error.solutions, error.solutions.nodes > 0
    assert begun.any()
    assert not found.optimal.all()
    np.testing.assert_array_equal(found.latency_s, latency(instances, found.decisions))
    start_s = latency(instances, make_policy("greedy+flip").decide(instances))
    assert np.all(found.latency_s[begun] <= start_s[begun])
    assert np.all(found.lower_bound_s <= found.latency_s)
    assert np.all(found.lower_bound_s[begun] > 0)
    # AND of the others it says that they have not begun
    assert not found.decisions[~begun].any()
    assert not found.lower_bound_s[~begun].any()
    optimal, rest = found.optimal.sum(), (~begun).sum()
    assert str(error) == (
        f"interrupted; of {num_instances} searches {optimal} found and proved the optimum, "
        f"{num_instances - optimal - rest} were stopped before that, and {rest} had not begun"
    )


def wide(num_tasks: int) -> Instances:
    """Independent tasks and locations much like each other, so that few schedules are dominated."""
    rng = np.random.default_rng(0)
    tasks, locations = (1, num_tasks), (1, 5)
    return Instances(
        input_bits=rng.uniform(1e6, 2e6, tasks),
        output_bits=rng.uniform(1e5, 2e5, tasks),
        workload_cycles=rng.uniform(1e9, 2e9, tasks),
        cpu_hz=rng.uniform(1e9, 3e9, locations),
        cores=np.full(locations, 4),
        backlog_s=np.zeros(locations),
        uplink_bps=rng.uniform(1e7, 3e7, locations),
        downlink_bps=rng.uniform(1e7, 3e7, locations),
        wired_bps=np.full(locations, 1e8),
        propagation_s=np.full(locations, 0.01),
        radio_backlog_s=np.zeros(1),
    )


# By name: what it does, and how many tasks take an instant and how many take minutes.
SEARCHES = {
    "branch and bound": (lambda n: solve(sample_instances(LONG | {"num_tasks": n}, 1, seed=0)), 6, 26),
    "frontier": (lambda n: solve(wide(n)), 4, 30),
    "frontier, mean": (lambda n: solve(wide(n), "mean"), 4, 30),
    "labels": (lambda n: label(sample_instances({"name": "dag", "num_tasks": n}, 1, seed=0)), 4, 30),
    "exact": (lambda n: make_policy("exact").decide(wide(n)), 4, 30),
    "beam": (lambda n: make_policy("beam-30000").decide(wide(n)), 1, 60),
}


@pytest.mark.parametrize(("search", "few", "many"), SEARCHES.values(), ids=SEARCHES)
def test_what_a_handler_raises_ends_a_search_which_frees_its_memory(stopped_after, search, few, many):
    search(few)  # compiles
    _nrt_python.memsys_enable_stats()
    stats = rtsys.get_allocation_stats()
    held = stats.alloc - stats.free
    error, seconds = stopped_after(raise_late, 0.3, lambda: search(many))
    stats = rtsys.get_allocation_stats()
    assert isinstance(error, LateError)
    assert seconds < SOON_S
    assert stats.alloc - stats.free == held


def test_local_search_in_a_large_graph_is_interrupted(stopped_after):
    instances = sample_instances({"name": "dag", "num_tasks": 800}, 1, seed=0)
    start = np.zeros((1, 800), dtype=np.int64)
    few = sample_instances("dag", 1, seed=0)
    local_search(few, np.zeros((1, few.num_tasks), dtype=np.int64), moves="swap")  # compiles
    error, seconds = stopped_after(raise_interrupt, 0.5, lambda: local_search(instances, start, moves="swap"))
    assert type(error) is KeyboardInterrupt
    assert seconds < SOON_S


def stream(num_jobs):
    return sample_streams({"name": "stream", "num_jobs": num_jobs}, 1, 0)


def both(num_jobs):
    return sample_streams({"name": "stream", "num_jobs": num_jobs}, 2, 0)


# By name: what it does, and how many jobs take an instant and how many take long.
OF_STREAMS = {
    "planner": (lambda n: play(stream(n), make_stream_policy("planner")), 2, 20_000),
    "planner, two threads": (lambda n: play(both(n), make_stream_policy("planner"), num_threads=2), 2, 20_000),
    "hindsight": (lambda n: hindsight(stream(n), np.zeros((1, n, 1), np.int64)), 2, 20_000),
    "hindsight, its start": (lambda n: hindsight(stream(n)), 2, 5_000),
    "lower bound": (lambda n: lower_bound(stream(n), (1000, 1000)), 2, 2_000),
}


@pytest.mark.parametrize(("search", "few", "many"), OF_STREAMS.values(), ids=OF_STREAMS)
def test_what_takes_long_of_streams_is_interrupted(stopped_after, search, few, many):
    search(few)  # compiles
    _nrt_python.memsys_enable_stats()
    stats = rtsys.get_allocation_stats()
    held = stats.alloc - stats.free
    error, seconds = stopped_after(raise_interrupt, 0.5, lambda: search(many))
    stats = rtsys.get_allocation_stats()
    assert type(error) is KeyboardInterrupt
    assert seconds < SOON_S
    assert stats.alloc - stats.free == held


def test_a_handler_that_raises_nothing_changes_nothing():
    instances = sample_instances({"name": "fork_join", "num_tasks": 26}, 1, seed=0)
    alone = solve(instances, max_nodes=300_000)
    handled = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: handled.append(time.perf_counter()))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        begun_s = time.perf_counter()
        again = solve(instances, max_nodes=300_000)
        ended_s = time.perf_counter()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    # The handler ran within the search, not behind it.
    assert sum(begun_s < at < ended_s - 0.05 for at in handled) > 0
    for field in alone._fields:
        np.testing.assert_array_equal(getattr(alone, field), getattr(again, field))


def test_an_error_of_one_thread_stops_the_others():
    stop, begun = np.zeros(1, np.bool_), []

    def work(rows):
        begun.append(rows.start)
        if rows.start == 0:
            raise ValueError("the first")
        end = time.perf_counter() + 10.0
        while not stop[0] and time.perf_counter() < end:
            time.sleep(0.001)

    with pytest.raises(ValueError, match="the first"):
        for_each_chunk(work, 100, 2, 1, stop)
    assert len(begun) <= 3


def command(tmp_path, num_instances, *options):
    """``offload-gym solve`` of long searches in a process: what it said, its exit code, and how late it began to."""
    scenario = tmp_path / "long.json"
    scenario.write_text(json.dumps(LONG))
    given = [str(scenario), "--seed", "0", "--num-instances", str(num_instances), *options]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "solve", *given], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    while process.stdout.readline() != "ready\n":
        assert process.poll() is None
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    sent_s = time.perf_counter()
    line = process.stdout.readline()
    seconds = time.perf_counter() - sent_s  # not with the end of the process, which takes longer
    # ``communicate`` would lose what was read ahead of the line.
    printed, told = process.stdout.read(), process.stderr.read()
    process.wait(60)
    return line + printed, told, process.returncode, seconds


def test_ctrl_c_at_the_command_line_prints_the_best_so_far(tmp_path):
    printed, told, code, seconds = command(tmp_path, 1)
    assert code == 130
    assert "% above the optimum" in printed
    assert "task  location  core" in printed
    assert told.endswith(
        "interrupted; of 1 searches 0 found and proved the optimum, 1 were stopped before that, and 0 had not begun\n"
    )
    assert seconds < SOON_S


def test_ctrl_c_at_the_command_line_leaves_out_what_has_not_begun(tmp_path):
    printed, told, code, seconds = command(tmp_path, 200, "--json")
    results = json.loads(printed)["results"]
    assert code == 130
    assert 0 < len(results) < 200
    assert not all(row["optimal"] for row in results)
    assert "had not begun" in told
    assert seconds < SOON_S
