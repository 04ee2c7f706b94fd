"""Workflows whose tasks read and write files, as WfFormat and DAX hold them, made into tasks and edges with data."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
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
    without a file carries nothing. A file that no parent of its reader writes comes from the one other task that writes
    it, along an edge of its own, and where none does, from the device: it is part of the reader's input, with the bytes
    that are read. A reader that writes the file itself, or after which another task does, reads what was there before,
    from the device. What a task writes and no other task reads from it is its output.

    Raises:
        ValueError: two jobs have one name, a link names a job that is not there, or several tasks write a file and
            none of them is a parent of its reader.
    """
    check_task_names([job.name for job in jobs])
    by_name = {job.name: job for job in jobs}
    bits: dict[tuple[str, str], float] = {}
    parents: dict[str, dict[str, None]] = {job.name: {} for job in jobs}  # as ordered sets, all three
    children: dict[str, dict[str, None]] = {job.name: {} for job in jobs}
    for parent, child in links:
        check_end(by_name, parent, child)
        if (parent, child) not in bits:
            bits[parent, child] = 0.0
            parents[child][parent] = None
            children[parent][child] = None
    writers: dict[str, dict[str, None]] = {}
    for job in jobs:
        for file in job.writes:
            writers.setdefault(file, {})[job.name] = None
    returned = {job.name: dict(job.writes) for job in jobs}
    tasks = []
    for job in jobs:
        from_device = 0.0
        after: set[str] | None = None  # the reader and what comes after it, once it is needed
        for file, size in job.reads.items():
            written_by = writers.get(file, {})
            fewer, more = sorted((parents[job.name], written_by), key=len)
            sources = [name for name in fewer if name in more and name != job.name]
            if not sources and written_by and file not in job.writes:
                after = _descendants(job.name, children) if after is None else after
                sources = _writer(job.name, file, written_by, after)
            if not sources:
                from_device += size
            for parent in sources:
                link = (parent, job.name)
                bits[link] = bits.get(link, 0.0) + BITS_PER_BYTE * by_name[parent].writes[file]
                returned[parent].pop(file, None)
        tasks.append(Task(job.name, job.run_s * reference_hz, BITS_PER_BYTE * from_device))
    tasks = [task._replace(output_bits=BITS_PER_BYTE * sum(returned[task.name].values())) for task in tasks]
    return tasks, [(*link, carried) for link, carried in bits.items()]


def _descendants(task: str, children: Mapping[str, Iterable[str]]) -> set[str]:
    """A task and all that come after it."""
    after, ahead = {task}, [task]
    while ahead:
        new = [child for child in children[ahead.pop()] if child not in after]
        after.update(new)
        ahead += new
    return after


def _writer(reader: str, file: str, writers: Iterable[str], after: Container[str]) -> list[str]:
    """The task that a file comes from which no parent of its reader writes; none where all write it later."""
    before = [name for name in writers if name not in after]
    if len(before) > 1:
        raise ValueError(
            f"task {reader!r} reads the file {file!r}, which several tasks write, such as {before[0]!r} and "
            f"{before[1]!r}; one of them must be its parent"
        )
    return before
