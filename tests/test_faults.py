"""Labelling that is killed at any moment goes on to the same files, none of which is ever there in part."""

import random
import signal
import subprocess
import sys
import time

import pytest

import offload_gym as og

pytest.importorskip("joblib")
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")
LABELLING = ("--num-tasks", "5", "--num-instances", "4000", "--shard-size", "200", "--num-jobs", "1", "--seed", "3")


def label_into(folder):
    command = [sys.executable, "-m", "offload_gym", "demonstrations", "--output", str(folder), *LABELLING]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def shards_in(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("shard-*.npz"))}


def killed_and_started_again(folder, kills, whole, longest_s):
    """Kill the labelling that often at random moments; what stands under a final name must be whole each time."""
    rng, finished, in_between = random.Random(kills), 0, 0
    for _ in range(kills):
        running = label_into(folder)
        time.sleep(rng.uniform(0.0, longest_s))
        running.kill()
        running.communicate()
        finished += running.returncode == 0
        there = shards_in(folder)
        assert there.items() <= whole.items()
        in_between += 0 < len(there) < len(whole)
        if finished and there == whole:
            for path in list(folder.glob("shard-*.npz"))[::2]:  # so that there is something left to be killed at
                path.unlink()
    running = label_into(folder)
    assert running.wait(300) == 0, running.stderr.read()
    assert shards_in(folder) == whole
    assert sum(len(part.instances) for part in og.load_shards(folder)) == 4000
    return in_between


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The shards of a labelling that nobody disturbs, and how long it takes."""
    folder = tmp_path_factory.mktemp("whole")
    began = time.monotonic()
    running = label_into(folder)
    assert running.wait(300) == 0, running.stderr.read()
    return shards_in(folder), time.monotonic() - began


def test_labelling_that_is_killed_goes_on_to_the_same_shards(undisturbed, tmp_path):
    whole, took_s = undisturbed
    assert len(whole) == 20
    killed_and_started_again(tmp_path, 3, whole, took_s)


@pytest.mark.slow
def test_labelling_that_is_killed_fifty_times_goes_on_to_the_same_shards(undisturbed, tmp_path):
    assert killed_and_started_again(tmp_path, 50, *undisturbed) > 0  # kills between the first shard and the last
