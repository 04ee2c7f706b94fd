"""``python -m agents``: train all policies of a scenario."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields

from agents.training import Settings, train_all
from offload_gym.delay import OBJECTIVES
from offload_gym.scenario import PRESETS, make_scenario


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
    parser.add_argument("--scenario", choices=PRESETS, default="default", help="preset (default: %(default)s)")
    parser.add_argument("--num-tasks", type=int, help="tasks in an epoch (default: the preset's)")
    parser.add_argument("--num-edges", type=int, help="edge servers (default: the preset's)")
    parser.add_argument("--trace", metavar="CSV", help="recorded uplink: a CSV file with a column mbps, one a second")
    parser.add_argument("--objective", choices=OBJECTIVES, default="makespan", help="default: %(default)s")
    for name, text in (
        ("seed", "seed of labels and weights; test instances never share it"),
        ("num_labels", "labelled training instances"),
        ("teacher_passes", "passes of the sequential teacher over the labels"),
        ("student_passes", "passes of the sequential student"),
        ("multilabel_passes", "passes of the multi-label teacher and of its student"),
        ("rl_placements", "tasks that each reinforcement-learning agent places in training"),
    ):
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=int, default=defaults[name], help=f"{text} (default: %(default)s)")
    options = vars(parser.parse_args(arguments))
    folder = options.pop("output")
    changes = {name: options.pop(name) for name in ("num_tasks", "num_edges")}
    trace = options.pop("trace")
    if trace is not None:
        changes |= {"radio": "trace", "trace_path": trace}
    try:
        scenario = make_scenario(options["scenario"], **{k: v for k, v in changes.items() if v is not None})
        train_all(folder, Settings(**{**options, "scenario": scenario}))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: finished steps are kept; start the same command again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
