"""The command-line options that choose how many processes work, and where: joblib's backends."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from offload_gym.array_checks import check_count

BACKENDS = ("loky", "ray", "dask")


def add_job_options(parser: argparse.ArgumentParser, num_jobs: int) -> None:
    """Add the options; ``num_jobs`` is the default."""
    parser.add_argument("--num-jobs", type=int, default=num_jobs, help="processes (default: %(default)s)")
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="loky",
        help="where they run: loky, this machine; ray, the cluster of RAY_ADDRESS; dask, the cluster of "
        "DASK_SCHEDULER_ADDRESS; a local cluster where that is not set (default: %(default)s)",
    )


@contextmanager
def chosen_backend(options: argparse.Namespace) -> Iterator[None]:
    """Make joblib work as the options say; ValueError where they cannot be followed."""
    from joblib import parallel_config

    check_count("num_jobs", options.num_jobs)
    with ExitStack() as stack:
        try:
            if options.backend == "ray":
                from ray.util.joblib import register_ray

                register_ray()
            if options.backend == "dask":
                import dask
                from distributed import Client

                given = dask.config.get("scheduler-address", None)
                local = {} if given else {"n_workers": options.num_jobs, "threads_per_worker": 1}
                stack.enter_context(Client(**local))
        except ImportError:
            needed = "pip install -e '.[cluster]' installs it"
            raise ValueError(f"backend is {options.backend!r}, which is not installed; {needed}") from None
        stack.enter_context(parallel_config(backend=options.backend, n_jobs=options.num_jobs))
        yield
