"""A real Ray and a real Dask on this machine: ``make test-cluster``."""

import os
import signal
import threading
import time
import warnings
from functools import partial

import joblib
import pytest

from offload_gym import generate_shards, shards

psutil = pytest.importorskip("psutil")
pytestmark = pytest.mark.cluster

JOB = {"scenario": "default", "num_instances": 12_000, "seed": 1, "shard_size": 1000}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The shards of the job, made in this process."""
    folder = tmp_path_factory.mktemp("alone")
    generate_shards(folder, **JOB, num_jobs=1)
    return contents(folder)


@pytest.fixture(scope="module")
def ray_workers():
    """A local Ray as joblib's backend; the command line of its workers says this."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    ray.init(num_cpus=2, object_store_memory=200_000_000, include_dashboard=False, log_to_driver=False)
    register_ray()
    yield "ray::PoolActor"
    ray.shutdown()


@pytest.fixture
def dask_workers():
    distributed = pytest.importorskip("distributed")
    with distributed.Client(n_workers=2, threads_per_worker=1, dashboard_address=None):
        yield "from multiprocessing.spawn import spawn_main"


class Unreadable:
    """Work that no worker can read, as where the package is missing there."""

    def __reduce__(self):
        return int, ("no number",)


def kill_a_worker(folder, command, killed):
    """Kill -9 a process once the folder has a shard: then every worker is in the middle of one."""
    while not list(folder.glob("shard-*.npz")):
        time.sleep(0.01)
    workers = [
        process for process in psutil.Process().children(recursive=True) if command in " ".join(process.cmdline())
    ]
    workers[0].send_signal(signal.SIGKILL)
    killed.append(len(list(folder.glob("shard-*.npz"))))


def label_and_kill(folder, command):
    """Label on two workers of joblib's backend, one of which is killed; returns how many shards there were by then."""
    killed = []
    killer = threading.Thread(target=kill_a_worker, args=(folder, command, killed), daemon=True)
    killer.start()
    generate_shards(folder, **JOB, num_jobs=2)
    killer.join(timeout=1)
    return killed


def test_ray_makes_the_same_shards(tmp_path, alone, ray_workers):
    with joblib.parallel_config(backend="ray"):
        generate_shards(tmp_path, **JOB, num_jobs=2)
    assert contents(tmp_path) == alone


def test_a_killed_ray_worker_costs_nothing_but_time(tmp_path, alone, ray_workers):
    with (
        joblib.parallel_config(backend="ray"),
        pytest.warns(RuntimeWarning, match=r"a worker was lost and \d+ of 12 shards remain; .*ActorDiedError"),
    ):
        killed = label_and_kill(tmp_path, ray_workers)
    assert killed
    assert killed[0] < 10
    assert contents(tmp_path) == alone


def test_a_killed_dask_worker_costs_nothing_but_time(tmp_path, alone, dask_workers):
    # Dask itself gives the shard to another worker.
    with joblib.parallel_config(backend="dask"):
        killed = label_and_kill(tmp_path, dask_workers)
    assert killed
    assert killed[0] < 10
    assert contents(tmp_path) == alone


@pytest.mark.parametrize(("backend", "reason"), [("ray", "no number"), ("dask", "deserialization of the task")])
def test_work_that_no_worker_can_do_ends_with_its_reason(tmp_path, request, backend, reason):
    request.getfixturevalue(f"{backend}_workers")
    with (
        joblib.parallel_config(backend=backend),
        pytest.warns(RuntimeWarning, match="3 of 3 shards remain; going on"),
        pytest.raises(ChildProcessError, match=rf"3 attempts in a row failed: [\s\S]*{reason}"),
    ):
        shards._make_missing(tmp_path, {tmp_path / f"{i}.npz": Unreadable() for i in range(3)}, 2, progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("backend", ["ray", "dask"])
def test_an_error_of_the_labelling_is_not_tried_again(tmp_path, request, backend):
    request.getfixturevalue(f"{backend}_workers")
    work = {tmp_path / f"{i}.npz": partial(int, "no labels") for i in range(3)}
    with (
        joblib.parallel_config(backend=backend),
        warnings.catch_warnings(record=True) as warned,
        pytest.raises(ValueError, match="invalid literal for int"),
    ):
        shards._make_missing(tmp_path, work, 2, progress=False)
    assert not [warning for warning in warned if "a worker was lost" in str(warning.message)]
