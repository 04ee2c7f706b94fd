"""The command-line options that choose a scenario and an objective, the same for all commands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from offload_gym.applications.application import application_from
from offload_gym.command_line.text_files import parse_json, read_text
from offload_gym.delay import OBJECTIVES
from offload_gym.scenario import PRESETS, Scenario, make_scenario


def add_scenario_options(parser: argparse.ArgumentParser, objectives: Sequence[str] = OBJECTIVES) -> None:
    """Add the options; ``objectives`` are those that the command knows."""
    parser.add_argument(
        "--scenario",
        default="default",
        metavar="NAME|JSON",
        help=f"a preset ({', '.join(PRESETS)}), or a JSON file: an application, or an object with a preset's name and "
        "what to change in it (default: %(default)s)",
    )
    parser.add_argument("--num-tasks", type=int, help="tasks in an epoch (default: the preset's)")
    parser.add_argument("--max-tasks", type=int, help="the most tasks in an epoch, where their number varies")
    parser.add_argument("--num-edges", type=int, help="edge servers (default: the preset's)")
    parser.add_argument("--trace", metavar="CSV", help="recorded uplink: a CSV file with a column mbps, one a second")
    parser.add_argument(
        "--observation-noise",
        type=_noise,
        default=0.0,
        metavar="NOISE",
        help="what policies know of rates and backlogs: 0, the truth; a number, estimates with that standard deviation "
        "of the logarithm; 'last', those of the epoch before (default: %(default)s)",
    )
    parser.add_argument("--objective", choices=objectives, default="makespan", help="default: %(default)s")


def _noise(text: str) -> float | str:
    try:
        return text if text == "last" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'last'") from None


def chosen_scenario(options: argparse.Namespace) -> Scenario:
    """The scenario that the options say; ValueError where a value is out of its bounds."""
    changes = {
        "num_tasks": options.num_tasks,
        "max_tasks": options.max_tasks,
        "num_edges": options.num_edges,
        "trace_path": options.trace,
        "radio": None if options.trace is None else "trace",
    }
    given: dict[str, Any] = {"name": options.scenario}
    if options.scenario.endswith(".json"):
        given = scenario_fields(parse_json(read_text(options.scenario), options.scenario), options.scenario)
    return make_scenario(**given | {name: value for name, value in changes.items() if value is not None})


def scenario_fields(data: Any, source: str) -> dict[str, Any]:
    """What the JSON of a scenario says for ``make_scenario``: the one application in it, or fields."""
    if not isinstance(data, dict):
        raise ValueError(f"{source} holds {type(data).__name__}; it must hold an application or fields of a scenario")
    return {"applications": (application_from(data, source),)} if "tasks" in data else data
