"""The instances that a command is given: a scenario to draw from, JSON, or sheets of CSV."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path
from typing import Any, NamedTuple

from offload_gym.command_line.field_names import REQUIRED_FIELDS
from offload_gym.command_line.instances_csv import instances_of_csv
from offload_gym.command_line.instances_json import instances_of_json
from offload_gym.command_line.scenario_options import (
    KINDS,
    SCENARIO_FIELDS,
    are_like,
    is_like_a_scenario,
    made_scenario,
    scenario_fields,
)
from offload_gym.command_line.text_files import STANDARD_INPUT, parse_json, read_text, source_name
from offload_gym.instances import Instances
from offload_gym.sampling import sample_instances
from offload_gym.scenario import PRESETS, Scenario, make_scenario

_KINDS = (*KINDS, "instances (input_bits, cpu_hz and the other fields)")
_OF_INSTANCES = {*REQUIRED_FIELDS, "results", "fields"} - SCENARIO_FIELDS

FORMATS = """\
FILE is one of
  a preset's name, or a scenario in JSON: {"name": "default", "num_tasks": 5},
    or an application in JSON; --num-instances instances are drawn with --seed
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


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """Add FILE and what goes with it."""
    parser.add_argument("file", metavar="FILE", help="a scenario or instances, see below; - reads standard input")
    parser.add_argument("--locations", metavar="CSV", help="the sheet of locations, where FILE is a sheet of tasks")
    parser.add_argument("--num-instances", type=int, help="to draw, where FILE is a scenario (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: %(default)s)")


def read_instances(options: argparse.Namespace) -> Given:
    """The instances that the options of ``add_input_options`` name.

    Raises:
        ValueError: one sentence with the file and what is wrong in it.
    """
    path, source = options.file, source_name(options.file)
    if path in PRESETS and not Path(path).exists():
        given = _drawn(make_scenario(path), options)
    else:
        if path != STANDARD_INPUT and not Path(path).suffix and not Path(path).exists():
            close = difflib.get_close_matches(path, PRESETS, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise ValueError(f"{path} is neither a file nor a preset{hint}; the presets are {', '.join(PRESETS)}")
        text = read_text(path)
        if path.endswith(".json") or (not path.endswith(".csv") and text.lstrip()[:1] in ("{", "[")):
            data = parse_json(text, source)
            if not _are_instances(data):
                fields = scenario_fields(data, source, _KINDS)
                try:
                    scenario = made_scenario(fields)
                except ValueError as error:
                    raise ValueError(f"{source}: {error}") from None
                given = _drawn(scenario, options)
            else:
                given = Given(*instances_of_json(data, source), None)
        elif options.locations is None:
            hint = "--locations CSV names the sheet of locations that belongs to it"
            raise ValueError(
                f"{source} holds neither a JSON object nor a list of them; if it is a sheet of tasks, {hint}"
            )
        else:
            where = read_text(options.locations)
            return _with_counts(Given(*instances_of_csv(text, source, where, options.locations), None), options)
    if options.locations is not None:
        raise ValueError(f"{source} is not a sheet of tasks, to which --locations belongs")
    return _with_counts(given, options)


def _drawn(scenario: Scenario, options: argparse.Namespace) -> Given:
    number = 1 if options.num_instances is None else options.num_instances
    instances = sample_instances(scenario, number, options.seed)
    return Given([str(b) for b in range(number)], instances, scenario)


def _with_counts(given: Given, options: argparse.Namespace) -> Given:
    if given.scenario is None and options.num_instances is not None:
        raise ValueError(f"--num-instances belongs to a scenario; {source_name(options.file)} holds instances")
    return given


def _are_instances(data: Any) -> bool:
    """Whether JSON is instances, not a scenario or an application; a wrong name must not hide which."""
    if not isinstance(data, dict):
        return True
    if "tasks" in data or data.get("name") in tuple(PRESETS):
        return False
    return bool(_OF_INSTANCES & data.keys()) or (are_like(data, _OF_INSTANCES) and not is_like_a_scenario(data))
