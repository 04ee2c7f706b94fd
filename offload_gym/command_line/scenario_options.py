"""The command-line options that choose a scenario and an objective, the same for all commands."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from offload_gym.applications.formats.parts import Options
from offload_gym.applications.loading import application_from, format_of_json, is_application, read
from offload_gym.checks import quoted, shortened
from offload_gym.command_line.text_files import is_like_json, parse_json, read_bytes
from offload_gym.delay import OBJECTIVES
from offload_gym.files import decoded, is_onnx
from offload_gym.radio.units import UNITS
from offload_gym.scenario import PRESETS, Scenario, make_scenario, paths_from

SCENARIO_FIELDS = {field.name for field in fields(Scenario)}
# What an object of JSON may be.
KINDS = ("an application (name, tasks, edges)", "a scenario (a preset's name, and fields such as num_tasks)")


def add_scenario_options(parser: argparse.ArgumentParser, objectives: Sequence[str] = OBJECTIVES) -> None:
    """Add the options; ``objectives`` are those that the command knows."""
    parser.add_argument(
        "--scenario",
        default="default",
        metavar="NAME|FILE",
        help=f"a preset ({', '.join(PRESETS)}; of those of streams it is one job alone), or a file: an application, or "
        "JSON with a preset's name and what to change in it (default: %(default)s)",
    )
    parser.add_argument("--num-tasks", type=int, help="tasks in an epoch (default: the preset's)")
    parser.add_argument("--max-tasks", type=int, help="the most tasks in an epoch, where their number varies")
    parser.add_argument("--num-edges", type=int, help="edge servers (default: the preset's)")
    add_trace_options(parser)
    parser.add_argument(
        "--observation-noise",
        type=_noise,
        default=0.0,
        metavar="NOISE",
        help="what policies know of rates and backlogs: 0, the truth; a number, estimates with that standard deviation "
        "of the logarithm; 'last', those of the epoch before (default: %(default)s)",
    )
    parser.add_argument("--objective", choices=objectives, default="makespan", help="default: %(default)s")


def add_trace_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of recorded rates; see the fields of ``Scenario``."""
    group = parser.add_argument_group("recorded rates", "What a file is taken for is printed to standard error.")
    group.add_argument("--trace", metavar="FILE", help="recorded uplink: CSV with a column mbps, or others")
    group.add_argument("--downlink-trace", metavar="FILE", help="recorded downlink, which may be the same file")
    for flag, of in (("--trace-column", "uplink"), ("--downlink-trace-column", "downlink")):
        group.add_argument(flag, metavar="NAME", help=f"its column of the {of}, or the number of it from 1")
    group.add_argument("--trace-unit", metavar="UNIT", help=f"of the rates: {UNITS} (default: as the file says)")
    group.add_argument(
        "--trace-step", type=float, metavar="SECONDS", help="between samples, whatever times the file has"
    )


def _noise(text: str) -> float | str:
    try:
        return text if text == "last" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is neither a number nor 'last'") from None


def chosen_scenario(options: argparse.Namespace) -> Scenario:
    """The scenario that the options say; ValueError where a value is out of its bounds."""
    own = {name: getattr(options, name) for name in ("num_tasks", "max_tasks", "num_edges")}
    return made_scenario(given_fields(options, own))


def given_fields(options: argparse.Namespace, own: Mapping[str, Any], wanted: Sequence[str] = KINDS) -> dict[str, Any]:
    """The fields of a scenario: those of its file or preset, and over these ``own`` and the trace, where given.

    ``wanted`` is as in ``scenario_fields``.
    """
    changes = {
        **own,
        "radio": None if options.trace is None else "trace",
        "trace_path": options.trace,
        "downlink_trace_path": options.downlink_trace,
        "trace_column": options.trace_column,
        "downlink_trace_column": options.downlink_trace_column,
        "trace_unit": options.trace_unit,
        "trace_step_s": options.trace_step,
    }
    given = named_fields(options.scenario, wanted)
    return given | {name: value for name, value in changes.items() if value is not None}


def named_fields(name: str, wanted: Sequence[str] = KINDS) -> dict[str, Any]:
    """The fields that a file says, or the preset of that name; ``wanted`` is as in ``scenario_fields``."""
    if name.endswith(".json") or (name not in PRESETS and os.path.isfile(name)):
        return fields_in(read_bytes(name), name, wanted)
    return {"name": name}


def fields_in(
    content: bytes, source: str, wanted: Sequence[str] = KINDS, options: Options | None = None
) -> dict[str, Any]:
    """What the bytes of a file say for ``make_scenario``: an application, or in JSON what ``scenario_fields`` takes."""
    if not is_onnx(content):
        text = decoded(content, source)
        if is_like_json(text):
            return scenario_fields(parse_json(text, source), source, wanted, options)
    return {"applications": (application_from(content, source, options),)}


def made_scenario(given: Mapping[str, Any]) -> Scenario:
    """The scenario of some fields; what its traces were taken for is printed to standard error."""
    scenario = make_scenario(**given)
    for line in () if scenario.recording is None else scenario.recording.summaries():
        print(line, file=sys.stderr)
    return scenario


def scenario_fields(
    data: Any, source: str, wanted: Sequence[str] = KINDS, options: Options | None = None
) -> dict[str, Any]:
    """What the JSON of a scenario says for ``make_scenario``: the one application in it, or fields.

    The path of a trace counts from the folder of ``source``, that of standard input from the current one.

    Args:
        data: the JSON.
        source: where it stands.
        wanted: what else may stand there, for the sentence about something else.
        options: of the application.

    Raises:
        ValueError: it is something else, or no application.
    """
    if is_application(data):
        return {"applications": (read(format_of_json(data), data, source, options or Options()),)}
    if isinstance(data, dict) and is_like_a_scenario(data):
        return paths_from(os.path.dirname(source), data)
    found = f"has the keys {shortened(', '.join(map(repr, data)))}" if isinstance(data, dict) else f"is {quoted(data)}"
    raise ValueError(f"{source} {found}; it must be {', '.join(wanted[:-1])} or {wanted[-1]}")


def is_like_a_scenario(data: Mapping[str, Any]) -> bool:
    """Whether fields are those of a scenario, though the name of the preset or of some of them may be wrong."""
    if isinstance(data.get("name"), str) and data["name"] in PRESETS:
        return True
    return data.keys() <= SCENARIO_FIELDS or are_like(data, SCENARIO_FIELDS - {"name"})


def are_like(names: Iterable[str], known: Collection[str]) -> bool:
    """Whether one of the names is a known one, or was meant to be."""
    return any(difflib.get_close_matches(name, known, n=1, cutoff=0.75) for name in names)
