"""``python -m benchmarks``: compare policies."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from agents.scenario_options import add_scenario_options, chosen_scenario
from benchmarks.applications import compare_applications, compare_large_graphs
from benchmarks.comparison import MAX_NODES, compare
from benchmarks.episodes import compare_carry_over
from benchmarks.information import compare_information
from benchmarks.tuning import tune_beam
from offload_gym.instances import check_count


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Compare policies, and tune the heuristics.", allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", required=True)
    policies = commands.add_parser(
        "policies",
        help="compare policies on fresh instances: optimality gap, label accuracy, decision delay",
        description="Compare the built-in policies and the trained ones of a folder on fresh instances.",
        allow_abbrev=False,
    )
    policies.add_argument("--seed", type=int, default=0, help="seed of the test instances (default: %(default)s)")
    policies.add_argument("--num-instances", type=int, default=2000, help="test instances (default: %(default)s)")
    add_scenario_options(policies)
    policies.add_argument(
        "--agents", default="results/agents", metavar="DIR", help="folder of trained policies (default: %(default)s)"
    )
    policies.add_argument(
        "--transfer", action="store_true", help="take in policies that were trained for another scenario or objective"
    )
    policies.add_argument(
        "--max-nodes",
        type=int,
        default=MAX_NODES,
        help="where the exact search of an instance stops; gaps are then against the best decision found (default: "
        "%(default)s)",
    )
    policies.add_argument("--json", metavar="FILE", help="write the rows as a JSON list")
    policies.add_argument("--csv", metavar="FILE", help="write the rows as CSV")
    policies.add_argument("--markdown", metavar="FILE", help="write the table as Markdown")
    policies.add_argument("--plots", metavar="DIR", help="write the plots as PNG files")
    beam = commands.add_parser("tune-beam", help="choose the prices of the beam search on validation instances")
    beam.add_argument("--seed", type=int, default=0, help="seed of the validation instances (default: %(default)s)")
    beam.add_argument("--num-instances", type=int, default=1000, help="default: %(default)s")
    carry = commands.add_parser(
        "carry-over",
        help="play episodes in which work carries over from epoch to epoch",
        description="Play episodes in which work that is left stays in the queues, at several times between epochs, "
        "and compare the per-epoch optimum with a search that looks ahead.",
        allow_abbrev=False,
    )
    carry.add_argument("--seed", type=int, default=0, help="seed of the episodes (default: %(default)s)")
    carry.add_argument("--num-episodes", type=int, default=40, help="test episodes (default: %(default)s)")
    applications = commands.add_parser(
        "applications",
        help="how policies decide every preset of applications",
        description="Compare policies on every preset of applications, and draw one instance of each.",
        allow_abbrev=False,
    )
    applications.add_argument("--seed", type=int, default=0, help="seed of the test instances (default: %(default)s)")
    applications.add_argument("--num-instances", type=int, default=1000, help="default: %(default)s")
    applications.add_argument("--plots", metavar="DIR", help="write the drawings as PNG files")
    large = commands.add_parser(
        "large-graphs",
        help="how heuristics and trained policies decide graphs of up to 200 tasks",
        description="Compare policies on random graphs that are too large for the exact solver.",
        allow_abbrev=False,
    )
    large.add_argument("--seed", type=int, default=0, help="seed of the test instances (default: %(default)s)")
    large.add_argument("--num-instances", type=int, default=50, help="default: %(default)s")
    large.add_argument(
        "--agents", default="results/dag", metavar="DIR", help="folder of trained policies (default: %(default)s)"
    )
    information = commands.add_parser(
        "information",
        help="what it costs policies to see estimates of rates and backlogs",
        description="Compare policies that see the truth, estimates of rates and backlogs, and the last measurement.",
        allow_abbrev=False,
    )
    information.add_argument("--seed", type=int, default=0, help="seed of the test instances (default: %(default)s)")
    information.add_argument("--num-instances", type=int, default=2000, help="test instances (default: %(default)s)")
    information.add_argument(
        "--agents", default="results/agents", metavar="DIR", help="folder of trained policies (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        if options.command == "tune-beam":
            tune_beam(options.num_instances, options.seed)
            return 0
        if options.command == "applications":
            folder = None if options.plots is None else Path(options.plots)
            compare_applications(options.num_instances, options.seed, folder)
            return 0
        if options.command == "large-graphs":
            compare_large_graphs(options.num_instances, options.seed, Path(options.agents))
            return 0
        if options.command == "information":
            compare_information(options.num_instances, options.seed, Path(options.agents))
            return 0
        if options.command == "carry-over":
            check_count("num_episodes", options.num_episodes)
            compare_carry_over(options.num_episodes, options.seed)
            return 0
        compare(
            chosen_scenario(options),
            options.objective,
            seed=options.seed,
            num_instances=options.num_instances,
            agents_folder=Path(options.agents),
            transfer=options.transfer,
            observation_noise=options.observation_noise,
            max_nodes=options.max_nodes,
            json_path=options.json,
            csv_path=options.csv,
            markdown_path=options.markdown,
            plots_folder=options.plots,
        )
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
