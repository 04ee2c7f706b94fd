"""``python -m agents``: train all policies of a scenario."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields

from agents.scenario_options import add_scenario_options, chosen_scenario
from agents.training import POLICIES, Settings, train_all


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    defaults = {field.name: field.default for field in fields(Settings)}
    parser = argparse.ArgumentParser(
        prog="python -m agents",
        description="Label instances, train teachers, distil students and train reinforcement-learning agents. "
        "Finished steps are kept: interrupt it and start it again with the same settings.",
        allow_abbrev=False,
    )
    parser.add_argument("--output", default="results/agents", help="folder of the results (default: %(default)s)")
    add_scenario_options(parser, objectives=("makespan", "mean"))
    parser.add_argument(
        "--only",
        nargs="+",
        choices=POLICIES,
        default=(),
        metavar="NAME",
        help=f"train these alone: {', '.join(POLICIES)}",
    )
    counts = {
        "seed": "seed of labels and weights; test instances never share it",
        "num_labels": "labelled training instances",
        "teacher_passes": "passes of the sequential teacher over the labels",
        "student_passes": "passes of the sequential student",
        "multilabel_passes": "passes of the multi-label teacher and of its student",
        "rl_placements": "tasks that each reinforcement-learning agent places in training",
    }
    for name, text in counts.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=int, default=defaults[name], help=f"{text} (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        chosen = {name: getattr(options, name) for name in counts}
        scenario = chosen_scenario(options)
        settings = Settings(scenario, options.objective, observation_noise=options.observation_noise, **chosen)
        train_all(options.output, settings, only=options.only)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: finished steps are kept; start the same command again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
