"""More demonstrations than fit into memory, from more than one machine: shards, each a file that one process makes.

A shard's content depends on the arguments and on its number alone, so the shards are the same whatever makes them:
this process, several, or those of a cluster that joblib was told to use (docs/cluster.md). A file that is there is
whole, so an interrupted job goes on where it stopped, and a worker that dies costs the shard it was at.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from numpy.random import SeedSequence

from offload_gym.array_checks import check_count
from offload_gym.checks import as_path, check_flag
from offload_gym.demonstrations import (
    Demonstrations,
    generate_demonstrations,
    load_demonstrations,
    save_demonstrations,
)
from offload_gym.files import keep_settings, remove_left_over
from offload_gym.progress import progress_bar
from offload_gym.scenario import Scenario, as_scenario, with_absolute_paths
from offload_gym.seeds import as_seed_sequence

SETTINGS = "settings.json"
SHARDS = "shard-*.npz"
LABELS = 2  # which of several optimal decisions is labelled has changed with this number
ATTEMPTS = 3  # in a row that lose a worker and finish no shard
OF_LABELLING = "raised by the labelling of a shard"  # the note that tells such an error from the loss of a worker


# Parameters: options of a public call that takes minutes; callers name them.
def generate_shards(
    folder: str | Path,
    scenario: str | Mapping[str, Any] | Scenario,
    num_instances: int,
    seed: int | SeedSequence,
    objective: str = "makespan",
    *,
    shard_size: int = 10_000,
    explored_share: float = 0.5,
    exploration_rate: float = 0.25,
    observation_noise: float | str = 0.0,
    alternatives: bool = True,
    num_jobs: int | None = None,
    progress: bool = False,
) -> list[Path]:
    """Sample and label instances into files of demonstrations; each process holds one shard in memory.

    Where the folder has shards of the same arguments already, the missing ones are made. Needs the package joblib.

    Args:
        folder: where the shards and the settings that make them are written; made where it is missing. All processes
            must see it under the same path, on a cluster a shared file system.
        scenario: what to draw from.
        num_instances: of all shards together, at least 1.
        seed: shard i has that of its child i; a plain number is a stream of its own (``offload_gym.seeds``).
        objective: one of ``offload_gym.OBJECTIVES``.
        shard_size: instances in a shard; the last one may have fewer.
        explored_share: as in ``generate_demonstrations``, like the next three.
        exploration_rate: of the shares above.
        observation_noise: what a policy knows of rates and backlogs.
        alternatives: label what each alternative costs; False labels the optimal decisions alone.
        num_jobs: processes that share the shards. None: as ``joblib.parallel_config`` says, one without it. Its backend
            is used in either case.
        progress: show a progress bar on a terminal (needs the package tqdm), and a line now and then elsewhere.

    Returns:
        The paths of the shards in their order, each for ``load_demonstrations``.

    Raises:
        ValueError: an argument is unknown or out of its bounds, or the folder has shards of other arguments.
        ChildProcessError: workers were lost ``ATTEMPTS`` times in a row, and no shard was finished. A worker lost
            otherwise is a RuntimeWarning.
    """
    scenario = with_absolute_paths(as_scenario(scenario))  # the workers may run elsewhere
    for name, value in (("num_instances", num_instances), ("shard_size", shard_size)):
        check_count(name, value)
    if num_jobs is not None:
        check_count("num_jobs", num_jobs)
    check_flag("progress", progress)
    base = as_seed_sequence(seed)
    labelling: dict[str, Any] = {
        "objective": objective,
        "explored_share": explored_share,
        "exploration_rate": exploration_rate,
        "observation_noise": observation_noise,
        "alternatives": alternatives,
    }
    draw = partial(generate_demonstrations, scenario, **labelling, num_threads=1)
    # One instance says what is wrong with the arguments before anything is written. It also compiles the kernels, so
    # that the processes of this machine find them.
    draw(num_instances=1, seed=0)

    folder = as_path(folder).resolve()
    settings = {
        "labels": LABELS,
        "scenario": scenario.to_dict(),
        "num_instances": num_instances,
        "shard_size": shard_size,
        "seed": {"entropy": base.entropy, "spawn_key": base.spawn_key},
        **labelling,
    }
    keep_settings(folder / SETTINGS, settings, SHARDS)
    paths = _paths(folder, num_instances, shard_size)
    work = {
        path: partial(
            draw,
            num_instances=min(shard_size, num_instances - i * shard_size),
            seed=SeedSequence(base.entropy, spawn_key=(*base.spawn_key, i)),
        )
        for i, path in enumerate(paths)
    }
    _make_missing(folder, work, num_jobs, progress)
    remove_left_over(folder, SHARDS)  # of shards that another process has made since, too
    return paths


def load_shards(folder: str | Path) -> Iterator[Demonstrations]:
    """The shards that ``generate_shards`` made, in their order, each read when it is asked for.

    Raises:
        ValueError: the folder is something else, or some of its shards are missing.
    """
    folder = as_path(folder)
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        sizes = settings["num_instances"], settings["shard_size"]
        for size in sizes:
            check_count("a size", size)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        raise ValueError(f"{folder} has no {SETTINGS} of generate_shards") from None
    count, there, paths = -(-sizes[0] // sizes[1]), len(list(folder.glob(SHARDS))), []
    if there >= count:  # else a damaged file may ask for more paths than memory holds
        paths = _paths(folder, *sizes)
        there = count - len(_missing(folder, paths))
    if there < count:
        raise ValueError(f"{folder} has {there} of {count} shards; generate_shards goes on")
    return map(load_demonstrations, paths)


def _paths(folder: Path, num_instances: int, shard_size: int) -> list[Path]:
    return [folder / SHARDS.replace("*", f"{i:06d}") for i in range(-(-num_instances // shard_size))]


def _missing(folder: Path, paths: Iterable[Path]) -> list[Path]:
    # A network file system may answer from memory whether a file exists; listing the folder makes it look.
    there = {path.name for path in folder.iterdir()}
    return [path for path in paths if path.name not in there]


def _make_missing(
    folder: Path, work: Mapping[Path, Callable[[], Demonstrations]], num_jobs: int | None, progress: bool
) -> None:
    """Make the files that are not there, and make those again whose worker was lost."""
    try:
        import joblib
    except ImportError:
        raise ImportError("labelling in shards needs the package joblib: pip install joblib") from None
    missing = _missing(folder, work)
    bar = progress_bar(len(work), "labels", "shard", initial=len(work) - len(missing)) if progress else None
    fruitless = 0
    while missing:
        lost = None
        try:
            backend, _ = joblib.parallel.get_active_backend()
            if type(backend).__name__ == "DaskDistributedBackend":
                _tell_of_failures(backend)
            parallel = joblib.Parallel(n_jobs=num_jobs)
            if bar is not None:
                parallel.print_progress = partial(_show, bar, len(work) - len(missing), parallel)
            parallel(joblib.delayed(_make)(path, work[path]) for path in missing)
        except Exception as error:  # each backend has its own for a worker that died
            if OF_LABELLING in getattr(error, "__notes__", ()):
                raise
            lost = error
        before, missing = missing, _missing(folder, missing)
        if not missing:
            break
        remain = f"{len(missing)} of {len(work)} shards remain"
        if lost is None:
            raise FileNotFoundError(f"{remain} in {folder} after the last one was written: do all workers write there?")
        fruitless = fruitless + 1 if len(missing) == len(before) else 0
        reason = f"{type(lost).__name__}: {lost}"
        if fruitless == ATTEMPTS:
            raise ChildProcessError(f"{remain}, and {ATTEMPTS} attempts in a row failed: {reason}") from lost
        reason = reason.splitlines()[0]
        warnings.warn(f"a worker was lost and {remain}; going on with them ({reason})", RuntimeWarning, stacklevel=3)
    if bar is not None:
        bar.close()


def _show(bar: Any, done: int, parallel: Any) -> None:
    bar.update(done + parallel.n_completed_tasks - bar.n)


def _tell_of_failures(backend: Any) -> None:
    """Tell joblib what Dask gives up: joblib 1.6 hears of results alone, and waits forever for the rest."""
    submit = type(backend).submit

    def submit_and_tell(function: Any, callback: Any) -> Any:
        future = submit(backend, function, callback)
        future.add_done_callback(lambda done: done.exception() and callback(done.exception()))
        return future

    backend.submit = submit_and_tell


def _make(path: Path, draw: Callable[[], Demonstrations]) -> None:
    try:
        save_demonstrations(path, draw())
    except Exception as error:
        error.add_note(OF_LABELLING)
        raise
