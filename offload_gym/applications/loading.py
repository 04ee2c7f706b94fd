"""Applications from files of several formats, told apart by what is in them, and to files."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from offload_gym.applications.application import Application, numbered
from offload_gym.applications.attributes import Rename
from offload_gym.applications.formats.dax import read_dax
from offload_gym.applications.formats.dot import read_dot
from offload_gym.applications.formats.graphml import read_graphml
from offload_gym.applications.formats.onnx_model import read_onnx
from offload_gym.applications.formats.parts import Options, Parts
from offload_gym.applications.formats.saga import read_saga
from offload_gym.applications.formats.stg import is_stg, read_stg
from offload_gym.applications.formats.wfformat import read_wfformat
from offload_gym.applications.formats.xml_events import elements
from offload_gym.checks import LONGEST_SENTENCE, as_path, checked_count, checked_number, quoted, shortened
from offload_gym.files import decoded, is_onnx, read_bytes, replacing
from offload_gym.instances import TASK_FIELDS

# What a DOT text begins with, after comments.
_DOT = re.compile(
    r"(?>(?:\s|//[^\n]*|/\*.*?\*/|^\#[^\n]*)*)(?:strict|digraph|graph)\b", re.DOTALL | re.MULTILINE | re.I
)
# In sentences about other files.
KNOWN = "this project's JSON, WfFormat, SAGA's JSON, DAX, GraphML, DOT, STG and ONNX models"


class Format(NamedTuple):
    """A format: how sentences call it, which options its files leave open, and what reads it."""

    title: str
    options: tuple[str, ...]
    read: Callable[[Any, Options], Application | Parts]


OWN = Format("this project's JSON", (), lambda data, _: Application.from_dict(data))
WFFORMAT = Format("WfFormat", ("reference_hz",), read_wfformat)
SAGA = Format("SAGA's JSON", ("reference_hz", "unit_bits"), read_saga)
DAX = Format("DAX", ("reference_hz",), read_dax)
GRAPHML = Format("GraphML", ("rename",), read_graphml)
DOT = Format("DOT", ("reference_hz", "rename"), read_dot)
STG = Format("STG", ("reference_hz", "unit_bits"), read_stg)
ONNX = Format("an ONNX model", ("dimensions",), read_onnx)
XML = {"adag": DAX, "graphml": GRAPHML}  # by the name of the first element


def load_application(
    path: str | Path,
    *,
    reference_hz: float | None = None,
    unit_bits: float | None = None,
    dimensions: Mapping[str, int] | None = None,
    rename: Rename | None = None,
) -> Application:
    """The application of a file, whose format is told by what is in it, never by its name.

    =============== ====================================== ==========================================================
    format          recognised by                          what becomes what
    =============== ====================================== ==========================================================
    this project's  a JSON object, none of the others      as below
    WfFormat        ``workflow`` in a JSON object          run times (s), sizes of files (bytes)
    SAGA, dagbench  ``task_graph``, or ``dependencies``    costs and sizes, without units
    DAX             the XML element ``adag``               run times (s), sizes of files (bytes)
    GraphML         the XML element ``graphml``            attributes as in ``Application.from_networkx``
    DOT             ``digraph``                            attributes as in ``Application.from_dot``
    STG             lines of numbers                       processing times, without units
    ONNX            its first bytes                        a cycle is a multiply-accumulate, edges are tensors
    =============== ====================================== ==========================================================

    This project's JSON may be written by hand::

        {"name": "faces",
         "tasks": [{"name": "detect", "workload_cycles": 1e9, "input_bits": 4e6},
                   {"name": "align", "workload_cycles": 2e8, "output_bits": 1e4}],
         "edges": [{"from": "detect", "to": "align", "bits": 1e6}]}

    ``input_bits``, ``output_bits``, ``bits`` and ``edges`` may be left out and are 0 or empty then.

    Tasks may come in any order: they are numbered topologically, and of the tasks that could be next the one listed
    first is. Only a task without parents sends an input, and only one without children returns an output. Where another
    has some, a task without work is added: "<name> input" sends it and has an edge of as many bits to the task; "<name>
    output" receives it along such an edge and returns it.

    Files say nothing of machines, or what they say of them is not used: machines come from a scenario,
    ``make_scenario(applications=[application])``. docs/applications.md says more on each format.

    Args:
        path: the file.
        reference_hz: cycles of a second of run time, or of a unit of cost or processing time, finite, > 0; 1e9 by
            default. For files that hold such, and no others.
        unit_bits: bits of a unit of data of SAGA, or of communication time of STG, finite, > 0; 8e6 by default.
        dimensions: sizes of the dimensions that an ONNX model leaves open, by the names that it gives them, or as
            "input[0]" where it gives none.
        rename: for DOT and GraphML, names of attributes and what they are here, as in ``Application.from_networkx``.

    Raises:
        ImportError: onnx or networkx is needed and not installed.
        ValueError: the file is none of these, an option does not belong to its format, something that is needed is
            missing, tasks depend on each other in a cycle, or a value is out of its bounds.
    """
    path = as_path(path)
    options = checked_options(reference_hz, unit_bits, dimensions, rename)
    return application_from(read_bytes(path), path, options)


def checked_options(
    reference_hz: Any = None, unit_bits: Any = None, dimensions: Any = None, rename: Rename | None = None
) -> Options:
    """The options of ``load_application``; ValueError where one is out of its bounds."""
    for name, value in (("reference_hz", reference_hz), ("unit_bits", unit_bits)):
        if value is not None:
            checked_number(name, value, "a number, finite and above 0", lambda number: 0 < number < math.inf)
    if dimensions is not None:
        if not isinstance(dimensions, Mapping):
            raise ValueError(f"dimensions is {quoted(dimensions)}; it must be a dict, such as {{'batch': 1}}")
        for name, size in dimensions.items():
            checked_count(f"dimensions[{quoted(name)}]", size, 1)
    return Options(reference_hz, unit_bits, dimensions, rename)


def application_from(data: bytes, source: str | Path, options: Options | None = None) -> Application:
    """The application that the bytes of ``source`` hold; see ``load_application``."""
    recognised = format_of_bytes(data, source)
    if recognised is None:
        raise ValueError(f"{source} holds no application that is known; the formats are {KNOWN}")
    return read(*recognised, source, options or Options())


def format_of_bytes(data: bytes, source: str | Path) -> tuple[Format, Any] | None:
    """The format of the bytes of a file and what its reader takes; None where they are none of a known one.

    JSON is this project's unless it is another's. ValueError where the bytes are no text, or begin as JSON or XML do
    and are none.
    """
    if is_onnx(data):
        return ONNX, data
    text = decoded(data, source)
    start = text.lstrip()[:1]
    if start in ("{", "["):
        try:
            found = json.loads(text)
        except (RecursionError, ValueError) as error:
            raise ValueError(f"{source}: it is not JSON: {shortened(str(error))}") from None
        return format_of_json(found), found
    if start == "<":
        try:
            root = next(elements(text))
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from None
        return (XML[root.name], text) if root.name in XML else None
    if _DOT.match(text) or re.search(r"^[ \t]*NODE_COUNT\b", text, re.MULTILINE):
        return DOT, text
    return (STG, text) if is_stg(text) else None


def format_of_json(data: Any) -> Format:
    """The format of JSON, this project's where it is no other's."""
    if not isinstance(data, dict):
        return OWN
    if "workflow" in data:
        return WFFORMAT
    return SAGA if "task_graph" in data or "dependencies" in data else OWN


def is_application(data: Any) -> bool:
    """Whether JSON is an application, and not a scenario or instances."""
    return isinstance(data, dict) and ("tasks" in data or format_of_json(data) is not OWN)


def read(kind: Format, content: Any, source: str | Path, options: Options) -> Application:
    """What a reader makes of the content of ``source``; ValueError where an option does not belong to the format."""
    for name, value in options._asdict().items():
        if value is not None and name not in kind.options:
            raise ValueError(f"{name} is {quoted(value)}, and {source} is {kind.title}, to which it does not belong")
    try:
        made = kind.read(content, options)
        if isinstance(made, Application):
            return made
        return numbered(Path(source).stem if made.name is None else made.name, made.tasks, made.edges)
    except OverflowError:
        raise ValueError(f"{source}: a size in it is larger than a number can be") from None
    except (RecursionError, ValueError) as error:  # its sentence may quote names, which are as long as they like
        raise ValueError(f"{source}: {shortened(str(error), LONGEST_SENTENCE)}") from None


def save_application(path: str | Path, application: Application) -> None:
    """Write an application as JSON, whole or not at all; ``load_application`` gives an equal one."""
    if not isinstance(application, Application):
        raise ValueError(f"application is {quoted(application)}; it must be an Application")
    tasks = [
        {"name": task_name} | {field: getattr(application, field)[i] for field in reversed(TASK_FIELDS)}
        for i, task_name in enumerate(application.task_names)
    ]
    names = application.task_names
    edges = [
        {"from": names[parent], "to": names[child], "bits": bits}
        for (parent, child), bits in zip(application.edges, application.edge_bits, strict=True)
    ]
    with replacing(path) as temporary:
        text = json.dumps({"name": application.name, "tasks": tasks, "edges": edges}, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
