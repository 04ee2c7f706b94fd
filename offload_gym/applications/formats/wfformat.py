"""WfFormat, the JSON of WfCommons: https://github.com/wfcommons/WfFormat, versions 1.4 and 1.5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offload_gym.applications.formats.parts import Options, Parts, amount, name_in, needed, rows
from offload_gym.applications.formats.workflow import Job, with_data
from offload_gym.applications.task_graph import check_size
from offload_gym.checks import quoted

VERSIONS = ("1.4", "1.5")


def read_wfformat(data: Mapping[str, Any], options: Options) -> Parts:
    """The tasks and edges of a workflow that was run; run times become cycles at the reference speed.

    Raises:
        ValueError: the version is another one, something that is needed is missing, or a number is out of its bounds.
    """
    version = needed("the workflow", data, "schemaVersion")
    if version not in VERSIONS:
        # The schema of 1.3 gives files in KB, and files of that version that were published have bytes.
        raise ValueError(
            f"schemaVersion is {quoted(version)}; it must be {' or '.join(VERSIONS)}: before, the unit of the sizes of "
            "files was not certain"
        )
    workflow = data["workflow"]
    if not isinstance(workflow, dict):
        raise ValueError(f"workflow is {quoted(workflow)}; it must be an object")
    jobs, links = (_of_1_5 if version == "1.5" else _of_1_4)(workflow)
    return Parts(name_in("the workflow", data, "name"), *with_data(jobs, links, options.hz))


def _of_1_5(workflow: Mapping[str, Any]) -> tuple[list[Job], list[tuple[str, str]]]:
    """Jobs and links where what is run, the files, and how long it took stand apart."""
    for key in ("specification", "execution"):
        if not isinstance(needed("workflow", workflow, key), dict):
            raise ValueError(f"{key} of workflow is {quoted(workflow[key])}; it must be an object")
    specification, execution = workflow["specification"], workflow["execution"]
    sizes: dict[str, float] = {}
    for row in rows("specification", {"files": [], **specification}, "files"):
        file = name_in("a file", row, "id")
        if file in sizes:
            raise ValueError(f"two files have the id {file!r}; ids of files must differ")
        sizes[file] = _of(row, "sizeInBytes", f"the file {file!r}")
    run_s: dict[str, float] = {}
    for row in rows("execution", execution, "tasks"):
        name = name_in("a task of execution", row, "id")
        if name in run_s:
            raise ValueError(f"execution has the task {name!r} twice; ids of tasks must differ")
        run_s[name] = _of(row, "runtimeInSeconds", f"task {name!r}")
    jobs, links = [], []
    tasks = rows("specification", specification, "tasks")
    check_size(len(tasks))
    for row in tasks:
        name = name_in("a task", row, "id")
        if name not in run_s:
            raise ValueError(f"task {name!r} has no runtimeInSeconds, as execution does not have it")
        reads, writes = (_sized(name, row, key, sizes) for key in ("inputFiles", "outputFiles"))
        jobs.append(Job(name, run_s[name], reads, writes))
        links += [(parent, name) for parent in _names(name, row, "parents")]
        links += [(name, child) for child in _names(name, row, "children")]
    return jobs, links


def _of_1_4(workflow: Mapping[str, Any]) -> tuple[list[Job], list[tuple[str, str]]]:
    """Jobs and links where all stands at the task. Parents are called by their id or, without one, by their name."""
    jobs, links = [], []
    tasks = rows("workflow", workflow, "tasks")
    check_size(len(tasks))
    called = {row["name"]: row["id"] for row in tasks if isinstance(row.get("name"), str) and "id" in row}
    for row in tasks:
        name = name_in("a task", row, "id" if "id" in row else "name")
        files: dict[str, dict[str, float]] = {"input": {}, "output": {}}
        for file in rows(f"task {name!r}", {"files": [], **row}, "files"):
            label = name_in(f"a file of task {name!r}", file, "name")
            link = file.get("link")
            if not isinstance(link, str) or link not in files:
                raise ValueError(f"link of {label!r} of task {name!r} is {quoted(link)}; it must be input or output")
            if label in files[link]:
                raise ValueError(f"{link} {label!r} of task {name!r} is there twice; names of files must differ")
            files[link][label] = _of(file, "sizeInBytes", f"the file {label!r} of task {name!r}")
        jobs.append(Job(name, _of(row, "runtimeInSeconds", f"task {name!r}"), files["input"], files["output"]))
        links += [(parent, name) for parent in _names(name, row, "parents")]
    ids = {job.name for job in jobs}
    return jobs, [(parent if parent in ids else called.get(parent, parent), child) for parent, child in links]


def _of(row: Mapping[str, Any], key: str, label: str) -> float:
    return amount(f"{key} of {label}", needed(label, row, key))


def _names(task: str, row: Mapping[str, Any], key: str) -> list[str]:
    found = row.get(key, [])
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"{key} of task {task!r} is {quoted(found)}; it must be a list of strings")
    return found


def _sized(task: str, row: Mapping[str, Any], key: str, sizes: Mapping[str, float]) -> dict[str, float]:
    found = _names(task, row, key)
    for file in found:
        if file not in sizes:
            raise ValueError(f"{key} of task {task!r} has {file!r}, which is not among the files")
    return {file: sizes[file] for file in found}
