"""``offload-gym demonstrations``: labelled data sets, in one file or in shards."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from offload_gym.command_line.exit_codes import if_interrupted
from offload_gym.command_line.patience import patience
from offload_gym.command_line.scenario_options import add_scenario_options, chosen_scenario
from offload_gym.demonstrations import generate_demonstrations, save_demonstrations
from offload_gym.seeds import PURPOSES, seed_for
from offload_gym.shards import generate_shards

EXAMPLES = """\
examples:
  offload-gym demonstrations --output training.npz
  offload-gym demonstrations --output t.npz --purpose test --num-instances 500
  offload-gym demonstrations --output labels --shard-size 10000 \\
      --num-instances 1000000 --num-jobs 8 --scenario vision

A file is read with offload_gym.load_demonstrations, a folder of shards with
offload_gym.load_shards. Shards hold one part in memory at a time, and an
interrupted job goes on where it stopped; they need the package joblib.
"""


def add_demonstrations(commands: Any) -> None:
    """Add ``offload-gym demonstrations``."""
    parser = commands.add_parser(
        "demonstrations",
        help="make a data set of instances with the expert's decisions",
        description="Sample instances and label them with the optimal decisions and with what each\nalternative costs.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=_label)
    parser.add_argument("--output", required=True, help="the npz file, or with --shard-size the folder of the shards")
    add_scenario_options(parser)
    parser.add_argument("--num-instances", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument(
        "--purpose",
        choices=PURPOSES,
        default="training",
        help="instances of different purposes are never the same, whatever the seed (default: %(default)s)",
    )
    parser.add_argument(
        "--no-alternatives",
        dest="alternatives",
        action="store_false",
        help="label the optimal decisions alone, not what each alternative costs; quicker",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the npz file where it is there already")
    parser.add_argument("--shard-size", type=int, help="write shards of so many instances into a folder")
    parser.add_argument("--num-jobs", type=int, help="processes that share the shards (default: one)")


def _label(options: argparse.Namespace) -> None:
    scenario = chosen_scenario(options)
    arguments: dict[str, Any] = {
        "num_instances": options.num_instances,
        "seed": seed_for(options.purpose, options.seed),
        "objective": options.objective,
        "observation_noise": options.observation_noise,
        "alternatives": options.alternatives,
        # The bar needs tqdm, which the package does not ask for.
        "progress": sys.stderr.isatty() and importlib.util.find_spec("tqdm") is not None,
    }
    output = Path(options.output)
    if options.shard_size is not None:
        if output.is_file():
            raise ValueError(f"{output} is a file; with --shard-size it must be a folder")
        with if_interrupted("finished shards are kept; start the same command again to go on"):
            paths = generate_shards(
                output, scenario, shard_size=options.shard_size, num_jobs=options.num_jobs, **arguments
            )
        print(f"{options.num_instances:,} labelled instances in {len(paths):,} shards: {output}")
        return
    # Said before the work, not after it.
    if options.num_jobs is not None:
        raise ValueError("--num-jobs belongs to shards; --shard-size makes them")
    if output.is_dir():
        raise ValueError(f"{output} is a folder; it must be a file, or --shard-size be given")
    if output.exists() and not options.overwrite:
        raise ValueError(f"{output} is there already; --overwrite replaces it")
    output.parent.mkdir(parents=True, exist_ok=True)
    has_bar = arguments["progress"] and options.alternatives
    with if_interrupted(f"{output} was not written; shards (--shard-size) are kept when finished"):
        with nullcontext() if has_bar else patience():
            demonstrations = generate_demonstrations(scenario, **arguments)
        save_demonstrations(output, demonstrations)
    print(f"{options.num_instances:,} labelled instances: {output}")
