"""DAX, the XML of abstract workflows of Pegasus: https://pegasus.isi.edu/schema/DAX, versions 2 and 3."""

from __future__ import annotations

from collections.abc import Mapping

from offload_gym.applications.formats.parts import Options, Parts, amount_in
from offload_gym.applications.formats.workflow import Job, with_data
from offload_gym.applications.formats.xml_events import elements
from offload_gym.applications.task_graph import check_size
from offload_gym.checks import quoted

_ENDS = {"input": ("reads",), "output": ("writes",), "inout": ("reads", "writes")}


def read_dax(text: str, options: Options) -> Parts:
    """The tasks and edges of a DAX file; run times become cycles at the reference speed.

    A task is named by the id of its job. ``runtime`` of a job is in seconds and ``size`` of a file in bytes, as in the
    files of the workflow generator of Pegasus. What is read over: executables, arguments, profiles, and what is to be
    registered.

    Raises:
        ValueError: a job has no run time, a file no size, a workflow stands within another one, or a number is out of
            its bounds.
    """
    jobs: list[Job] = []
    links: list[tuple[str, str]] = []
    child = ""
    within = ""  # which job or child the next elements belong to
    for element in elements(text):
        name, attributes = element.name, element.attributes
        if name in ("dax", "dag") and element.depth > 0:
            raise ValueError(f"it has the workflow {attributes.get('id', '')!r} in it; it must have jobs alone")
        if name in ("job", "child"):
            within = name
        if name == "job":
            job = _said("a job", attributes, "id")
            run_s = amount_in(f"runtime of job {job!r}", _said(f"job {job!r}", attributes, "runtime"))
            jobs.append(Job(job, run_s, {}, {}))
            check_size(len(jobs))
        elif name == "uses" and within == "job":
            _add_file(jobs[-1], attributes)
        elif name == "child":
            child = _said("a child", attributes, "ref")
        elif name == "parent" and within == "child":
            links.append((_said(f"a parent of {child!r}", attributes, "ref"), child))
    return Parts(None, *with_data(jobs, links, options.hz))


def _said(label: str, attributes: Mapping[str, str], key: str) -> str:
    if key not in attributes:
        raise ValueError(f"{label} has no {key}")
    return attributes[key]


def _add_file(job: Job, attributes: Mapping[str, str]) -> None:
    """Add a file that a job uses. DAX calls it ``file`` in version 2 and ``name`` in version 3."""
    file = attributes["file"] if "file" in attributes else _said(f"a file of job {job.name!r}", attributes, "name")
    label = f"the file {file!r} of job {job.name!r}"
    link = attributes.get("link", "none")
    if link == "none":
        return
    if link not in _ENDS:
        raise ValueError(f"link of {label} is {quoted(link)}; it must be input, output, inout or none")
    size = amount_in(f"size of {label}", _said(label, attributes, "size"))
    for end in _ENDS[link]:
        files: dict[str, float] = getattr(job, end)
        if files.setdefault(file, size) != size:
            raise ValueError(f"{label} is there twice, with size {files[file]:g} and {size:g}; it can have only one")
