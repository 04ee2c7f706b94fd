"""The command-line options that choose scenarios of streams and an objective, the same for all commands."""

from __future__ import annotations

import argparse

from offload_gym.command_line.scenario_options import add_trace_options, given_fields, made_scenario, named_fields
from offload_gym.scenario import Scenario
from offload_gym.streams.networks import OBJECTIVES
from offload_gym.streams.policies import own_objective

PRESETS = ("stream", "stream_deadlines", "stream_applications", "stream_cell", "stream_mobile")
WANTED = ("an application (name, tasks, edges)", "a scenario of streams (a preset's name, and fields such as num_jobs)")


def add_stream_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--scenario",
        default="stream",
        metavar="NAME|JSON",
        help=f"a preset ({', '.join(PRESETS)}), or a JSON file: an application, or an object with a preset's name and "
        "what to change in it (default: %(default)s)",
    )
    parser.add_argument(
        "--arrivals-per-s",
        type=float,
        nargs="+",
        default=[],
        metavar="RATE",
        help="jobs a second at each device; some commands take several, one after another (default: the preset's)",
    )
    parser.add_argument("--num-devices", type=int, metavar="M", help="devices in a stream (default: the preset's)")
    parser.add_argument(
        "--report-s",
        type=float,
        metavar="SECONDS",
        help="from one report on the servers to the next (default: 0, fresh)",
    )
    parser.add_argument("--num-jobs", type=int, metavar="J", help="jobs in a stream (default: the preset's)")
    parser.add_argument(
        "--arrivals",
        metavar="FILE",
        help="recorded arrivals: CSV with a column arrival_s, stretched to the rate where one is given",
    )
    add_trace_options(parser)
    parser.add_argument(
        "--objective", choices=OBJECTIVES, help="default: late where the scenario lets jobs be dropped, else response"
    )


def scenario_named(name: str) -> Scenario:
    """The scenario of streams that a JSON file says, or the preset of that name."""
    return made_scenario({"name": PRESETS[0], **named_fields(name, WANTED)})


def chosen_streams(options: argparse.Namespace) -> list[Scenario]:
    """The scenarios that the options say, one for each rate; ValueError where a value is out of its bounds.

    Where no objective is chosen, the scenarios' own is put into the options.
    """
    own = {
        "num_devices": options.num_devices,
        "report_s": options.report_s,
        "num_jobs": options.num_jobs,
        "arrivals": None if options.arrivals is None else "trace",
        "arrivals_path": options.arrivals,
    }
    given = {"name": PRESETS[0], **given_fields(options, own, WANTED)}
    scenarios = [made_scenario(given | {"arrivals_per_s": rate}) for rate in options.arrivals_per_s]
    scenarios = scenarios or [made_scenario(given)]
    if options.objective is None:
        options.objective = own_objective(scenarios[0])
    return scenarios


def chosen_stream(options: argparse.Namespace) -> Scenario:
    """The scenario that the options say, for commands that take one rate."""
    scenarios = chosen_streams(options)
    if len(scenarios) > 1:
        raise ValueError(f"arrivals_per_s is {options.arrivals_per_s}; this command takes one rate")
    return scenarios[0]
