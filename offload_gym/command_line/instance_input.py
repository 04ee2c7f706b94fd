"""The instances that a command is given: a scenario to draw from, JSON, or sheets of CSV."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from offload_gym.applications.formats.parts import Options
from offload_gym.applications.loading import checked_options, format_of_bytes, is_application, read
from offload_gym.checks import quoted
from offload_gym.command_line.field_names import REQUIRED_FIELDS
from offload_gym.command_line.instances_csv import instances_of_csv
from offload_gym.command_line.instances_json import instances_of_json
from offload_gym.command_line.scenario_options import (
    KINDS,
    SCENARIO_FIELDS,
    are_like,
    is_like_a_scenario,
    made_scenario,
    named_fields,
    scenario_fields,
)
from offload_gym.command_line.text_files import (
    STANDARD_INPUT,
    is_like_json,
    parse_json,
    read_bytes,
    read_text,
    source_name,
)
from offload_gym.files import decoded, is_onnx
from offload_gym.instances import Instances
from offload_gym.sampling import drawn_application, sample_instances
from offload_gym.scenario import PRESETS, Scenario

_KINDS = (*KINDS, "instances (input_bits, cpu_hz and the other fields)")
_OF_INSTANCES = {*REQUIRED_FIELDS, "results", "fields"} - SCENARIO_FIELDS

FORMATS = """\
FILE is one of
  a preset's name, or a scenario in JSON: {"name": "default", "num_tasks": 5};
    --num-instances instances are drawn with --seed
  an application: this project's JSON, WfFormat, SAGA's JSON, DAX, GraphML, DOT,
    STG or an ONNX model, which is recognised by what is in it; its machines are
    drawn from --scenario
  instances in JSON: an object with the field names of offload_gym.Instances,
    input_bits, output_bits, workload_cycles (a number a task), cpu_hz, cores,
    backlog_s, uplink_bps, downlink_bps, wired_bps, propagation_s (a number a
    location: the device, the edge servers, the cloud server; "inf" where there
    is no limit), and the optional ones; lists of lists are a batch, and a list
    of objects several instances. What --json prints is read, too.
  tasks in CSV, with the locations in a second sheet, --locations CSV:
    tasks:     instance, task, input_bits, output_bits, workload_cycles,
               parent_bits (dependencies: "0:4e6 1:2e6")
    locations: instance, location, cpu_hz, cores, backlog_s, uplink_bps,
               downlink_bps, wired_bps, propagation_s, radio_backlog_s, ...
    The numbers of tasks and locations, the instance and parent_bits may be
    left out. What --csv writes is read, too.
docs/command_line.md shows each of them.
"""


class Given(NamedTuple):
    """Instances, their names, and the scenario where they were drawn from one."""

    names: list[str]
    instances: Instances
    scenario: Scenario | None

    def task_names(self, b: int) -> tuple[str, ...]:
        """The names of the tasks of instance ``b``; none where it is of no application, or they are the numbers."""
        if self.scenario is None:
            return ()
        graphs = self.scenario.graphs
        application = graphs[0] if len(graphs) == 1 else drawn_application(self.scenario, self.instances, b)
        names = () if application is None else application.task_names
        return () if names == tuple(map(str, range(len(names)))) else names


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """Add FILE and what goes with it."""
    parser.add_argument("file", metavar="FILE", help="what to decide, see below; - reads standard input")
    parser.add_argument("--locations", metavar="CSV", help="the sheet of locations, where FILE is a sheet of tasks")
    parser.add_argument("--num-instances", type=int, help="to draw, where FILE is no instances (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: %(default)s)")
    group = parser.add_argument_group("applications", "Where FILE is one; docs/applications.md describes the formats.")
    group.add_argument(
        "--scenario", metavar="NAME|JSON", help="what machines and radio are drawn from (default: default)"
    )
    group.add_argument(
        "--reference-hz",
        type=float,
        metavar="HZ",
        help="cycles of a second, or of a unit of cost (default: 1e9)",
    )
    group.add_argument(
        "--unit-bits", type=float, metavar="BITS", help="bits of a unit of data, where it has none (default: 8e6)"
    )
    group.add_argument(
        "--dimension",
        type=_dimension,
        action="append",
        metavar="NAME=SIZE",
        help="size of a dimension that an ONNX model leaves open, such as batch=1; may be given several times",
    )


def _dimension(text: str) -> tuple[str, int]:
    name, _, size = text.rpartition("=")
    try:
        return name, int(size)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{quoted(text)} must be NAME=SIZE, such as batch=1") from None


def read_instances(options: argparse.Namespace) -> Given:
    """The instances that the options of ``add_input_options`` name.

    Raises:
        ValueError: one sentence with the file and what is wrong in it.
    """
    path, source = options.file, source_name(options.file)
    is_preset = path in PRESETS and not Path(path).exists()
    if not is_preset and path != STANDARD_INPUT and not Path(path).suffix and not Path(path).exists():
        close = difflib.get_close_matches(path, PRESETS, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise ValueError(f"{path} is neither a file nor a preset{hint}; the presets are {', '.join(PRESETS)}")
    content = b"" if is_preset else read_bytes(path)
    is_sheet = options.locations is not None
    text = "" if is_onnx(content) and not is_sheet else decoded(content, source)
    is_json = is_like_json(text) and not path.endswith(".csv")
    if is_sheet and (is_preset or is_json):
        raise ValueError(f"{source} is not a sheet of tasks, to which --locations belongs")
    if is_preset:
        return _drawn({"name": path}, source, options)
    if is_json:
        data = parse_json(text, source)
        if _are_instances(data):
            return _as_given(instances_of_json(data, source), source, options)
        return _drawn(scenario_fields(data, source, _KINDS, _application_options(options)), source, options)
    if is_sheet:
        where = read_text(options.locations)
        return _as_given(instances_of_csv(text, source, where, options.locations), source, options)
    recognised = format_of_bytes(content, source)
    if recognised is None:
        hint = "--locations CSV names the sheet of locations that belongs to it"
        raise ValueError(f"{source} holds neither JSON nor an application; if it is a sheet of tasks, {hint}")
    application = read(*recognised, source, _application_options(options))
    return _drawn({"applications": (application,)}, source, options)


def _application_options(options: argparse.Namespace) -> Options:
    dimensions = None if options.dimension is None else dict(options.dimension)
    return checked_options(options.reference_hz, options.unit_bits, dimensions)


def _drawn(fields: Mapping[str, Any], source: str, options: argparse.Namespace) -> Given:
    """Instances drawn from the scenario of some fields, or of an application and the machines that are chosen."""
    if fields.keys() != {"applications"}:
        _refuse(options, source, "a scenario")
    elif options.scenario is not None:
        fields = {**named_fields(options.scenario), "random_graph": False, **fields}
    try:
        scenario = made_scenario(fields)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    number = 1 if options.num_instances is None else options.num_instances
    instances = sample_instances(scenario, number, options.seed)
    return Given([str(b) for b in range(number)], instances, scenario)


def _as_given(found: tuple[list[str], Instances], source: str, options: argparse.Namespace) -> Given:
    """Names and instances; ValueError where an option does not belong to them."""
    if options.num_instances is not None:
        raise ValueError(f"--num-instances belongs to a scenario; {source} holds instances")
    _refuse(options, source, "instances")
    return Given(*found, None)


def _refuse(options: argparse.Namespace, source: str, what: str) -> None:
    """ValueError where an option of applications is given, and what is read is something else."""
    for name in ("scenario", "reference_hz", "unit_bits", "dimension"):
        if getattr(options, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')} belongs to an application; {source} holds {what}")


def _are_instances(data: Any) -> bool:
    """Whether JSON is instances, not a scenario or an application; a wrong name must not hide which."""
    if not isinstance(data, dict):
        return True
    if is_application(data) or data.get("name") in tuple(PRESETS):
        return False
    return bool(_OF_INSTANCES & data.keys()) or (are_like(data, _OF_INSTANCES) and not is_like_a_scenario(data))
