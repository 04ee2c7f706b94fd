"""Workflows whose tasks read and write files, as WfFormat and DAX hold them, made into tasks and edges with data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from offload_gym.applications.formats.parts import BITS_PER_BYTE
from offload_gym.applications.task_graph import Edge, Task, check_end, check_task_names


class Job(NamedTuple):
    """A task of a workflow: its name, its run time in seconds, and the bytes of the files that it reads and writes."""

    name: str
    run_s: float
    reads: dict[str, float]
    writes: dict[str, float]


def with_data(
    jobs: Sequence[Job], links: Iterable[tuple[str, str]], reference_hz: float
) -> tuple[list[Task], list[Edge]]:
    """Tasks and edges of jobs and the links (parent, child) between them.

    An edge carries the files that its parent writes and its child reads, as many bytes as the parent writes; a link
    without a file carries nothing. A file that no parent of its reader writes comes from the one task that writes it,
    along an edge of its own, and where none does, from the device: it is part of the reader's input, with the bytes
    that are read. What a task writes and no other task reads from it is its output.

    Raises:
        ValueError: two jobs have one name, a link names a job that is not there, or several tasks write a file and
            none of them is a parent of its reader.
    """
    check_task_names([job.name for job in jobs])
    by_name = {job.name: job for job in jobs}
    bits: dict[tuple[str, str], float] = {}
    parents: dict[str, list[str]] = {job.name: [] for job in jobs}
    for parent, child in links:
        check_end(by_name, parent, child)
        if (parent, child) not in bits:
            bits[parent, child] = 0.0
            parents[child].append(parent)
    writers: dict[str, list[str]] = {}
    for job in jobs:
        for file in job.writes:
            writers.setdefault(file, []).append(job.name)
    returned = {job.name: dict(job.writes) for job in jobs}
    tasks = []
    for job in jobs:
        from_device = 0.0
        sources = _sources(job, parents[job.name], by_name, writers)
        for file, size in job.reads.items():
            if not sources[file]:
                from_device += size
            for parent in sources[file]:
                link = (parent, job.name)
                bits[link] = bits.get(link, 0.0) + BITS_PER_BYTE * by_name[parent].writes[file]
                returned[parent].pop(file, None)
        tasks.append(Task(job.name, job.run_s * reference_hz, BITS_PER_BYTE * from_device))
    tasks = [task._replace(output_bits=BITS_PER_BYTE * sum(returned[task.name].values())) for task in tasks]
    return tasks, [(*link, carried) for link, carried in bits.items()]


def _sources(
    job: Job, parents: Sequence[str], by_name: dict[str, Job], writers: dict[str, list[str]]
) -> dict[str, list[str]]:
    """The tasks that each file comes from which a job reads; none where it comes from the device."""
    sources: dict[str, list[str]] = {file: [] for file in job.reads}
    for parent in parents:
        if parent != job.name:
            for file in by_name[parent].writes.keys() & job.reads.keys():
                sources[file].append(parent)
    for file, found in sources.items():
        others = [] if found else [name for name in writers.get(file, ())[:3] if name != job.name]
        if len(others) > 1:
            raise ValueError(
                f"task {job.name!r} reads the file {file!r}, which several tasks write, such as {others[0]!r} and "
                f"{others[1]!r}; one of them must be its parent"
            )
        found += others
    return sources
