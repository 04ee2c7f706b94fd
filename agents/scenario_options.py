"""The command-line options that choose a scenario and an objective, the same for training and for benchmarks."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from offload_gym.applications import load_application
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
    given = _from_file(Path(options.scenario)) if options.scenario.endswith(".json") else {"name": options.scenario}
    return make_scenario(**given | {name: value for name, value in changes.items() if value is not None})


def _from_file(path: Path) -> dict[str, Any]:
    """What a JSON file says of a scenario: the one application in it, or fields."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds {type(data).__name__}; it must hold an application or fields of a scenario")
    return {"applications": (load_application(path),)} if "tasks" in data else data
