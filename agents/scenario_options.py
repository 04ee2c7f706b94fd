"""The command-line options that choose a scenario and an objective, the same for training and for benchmarks."""

from __future__ import annotations

import argparse

from offload_gym.delay import OBJECTIVES
from offload_gym.scenario import PRESETS, Scenario, make_scenario


def add_scenario_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--scenario", choices=PRESETS, default="default", help="preset (default: %(default)s)")
    parser.add_argument("--num-tasks", type=int, help="tasks in an epoch (default: the preset's)")
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
    parser.add_argument("--objective", choices=OBJECTIVES, default="makespan", help="default: %(default)s")


def _noise(text: str) -> float | str:
    try:
        return text if text == "last" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'last'") from None


def chosen_scenario(options: argparse.Namespace) -> Scenario:
    """The scenario that the options say; ValueError where a value is out of its bounds."""
    changes = {"num_tasks": options.num_tasks, "num_edges": options.num_edges, "trace_path": options.trace}
    if options.trace is not None:
        changes["radio"] = "trace"
    return make_scenario(options.scenario, **{name: value for name, value in changes.items() if value is not None})
