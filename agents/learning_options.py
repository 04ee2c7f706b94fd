"""The command-line options of learning on streams, the same for all commands that learn."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace

from agents.stream_learning import StreamSettings
from offload_gym.command_line.stream_options import add_stream_options, chosen_stream, scenario_named


def add_learning_options(parser: argparse.ArgumentParser, **changed: int) -> None:
    """Add the options, those of streams among them; ``changed`` are defaults that are not those of the settings."""
    add_stream_options(parser)
    parser.add_argument(
        "--rate-range",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="draw the arrivals a second of each stream between these, instead of one rate",
    )
    parser.add_argument(
        "--also",
        nargs="+",
        default=[],
        metavar="NAME|JSON",
        help="further scenarios that the same networks learn to decide, as --scenario; the other options but "
        "--objective do not change them",
    )
    parser.add_argument(
        "--start",
        metavar="FILE",
        help="policy file of streams to begin with, or a folder with teacher, student and small-student, which learn "
        "on in the sizes that they have (default: the best rule)",
    )
    defaults = {field.name: field.default for field in fields(StreamSettings)} | changed
    for name, text in (
        ("memory", "rounds whose labels a network learns from"),
        ("rounds", "rounds of policy iteration"),
        ("streams_a_round", "streams that are played and labelled in a round"),
        ("also_streams_a_round", "the same of each scenario of --also"),
        ("num_futures", "sampled futures of a label, at most"),
        ("future_jobs", "jobs of a future, for each device"),
        ("num_validation", "validation streams"),
        ("passes", "passes over the labels"),
        ("seed", "seed of streams and weights; test streams never share it"),
    ):
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=int, default=defaults[name], help=f"{text} (default: %(default)s)")
    for name, text in (
        ("share", "share of the tasks that is labelled"),
        ("explore", "share of random choices"),
        ("learning_rate", "of networks, at most"),
    ):
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=float, default=defaults[name], help=f"{text} (default: %(default)s)"
        )


def learning_settings(options: argparse.Namespace) -> StreamSettings:
    """What the options say."""
    scenario = chosen_stream(options)
    if options.rate_range is not None:
        scenario = replace(scenario, arrivals_per_s=tuple(options.rate_range))
    also = tuple(scenario_named(name) for name in options.also)
    for name, other in zip(options.also, also, strict=True):
        if (other.num_locations, other.can_drop) != (scenario.num_locations, scenario.can_drop):
            raise ValueError(
                f"also has {name} with num_edges={other.num_edges} and can_drop={other.can_drop}; for one network they "
                f"must be {scenario.num_edges} and {scenario.can_drop}, as those of --scenario"
            )
    names = [field.name for field in fields(StreamSettings) if hasattr(options, field.name)]
    given = {name: getattr(options, name) for name in names}
    return StreamSettings(**given | {"scenario": scenario, "also": also})
