"""``offload-gym export``: a trained network as one C99 header, measured, and test vectors for whoever ports it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from offload_gym.checks import checked_count, quoted
from offload_gym.command_line.patience import patience
from offload_gym.networks.c_header import MAX_TASKS, export_c
from offload_gym.networks.c_layers import NUMBERS, WEIGHTS
from offload_gym.networks.c_trial import compiler, try_header, write_vectors
from offload_gym.networks.graph_policy import GraphPolicy
from offload_gym.networks.policy import NetworkPolicy
from offload_gym.policies import GRAPH_PRESETS, SHIPPED_PRESETS, load_policy, make_policy
from offload_gym.sampling import sample_instances
from offload_gym.scenario import make_scenario
from offload_gym.streams.policies import PlanPolicy, load_stream_policy, make_stream_policy
from offload_gym.tensor_files import STREAM_POLICY, format_of

STREAM_PRESETS = ("stream", "stream_deadlines", "stream_cell", "stream_mobile")
NETWORKS = ("teacher", "student", "small-student")
EXAMPLES = """\
examples:
  offload-gym export small-student policy.h
  offload-gym export small-student policy.h --max-tasks 8 --numbers fixed --vectors vectors.h
  offload-gym export student policy.h --preset stream --numbers float
  offload-gym export agents/sequential-student.safetensors policy.h --preset vision
"""


def add_export(commands: Any) -> None:
    """Add ``offload-gym export``."""
    parser = commands.add_parser(
        "export",
        help="write a trained network as a C header for the device",
        description="Write a trained network as one C99 header that depends on nothing and allocates\n"
        "nothing. Where there is a C compiler, a network for independent tasks is compiled\n"
        "and tried on fresh instances; what its form costs in decisions is printed, and\n"
        "written into the header's comment.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=_export)
    parser.add_argument("policy", metavar="NAME|FILE", help=f"{', '.join(NETWORKS)}, or the file of a trained one")
    parser.add_argument("header", help="the file to write")
    presets = (*SHIPPED_PRESETS, *GRAPH_PRESETS, *STREAM_PRESETS)
    parser.add_argument(
        "--preset",
        choices=presets,
        metavar="NAME",
        help=f"what a shipped network was trained for, and what the instances are drawn from: {', '.join(presets)} "
        "(default: what a file says that it was trained for, else default)",
    )
    parser.add_argument("--numbers", choices=NUMBERS, default="double", help="default: %(default)s")
    parser.add_argument("--weights", choices=WEIGHTS, help="default: int8 where numbers are fixed, else float")
    parser.add_argument("--max-tasks", type=int, help="most tasks of a call (default: 32)")
    parser.add_argument("--name", default="offload_gym", help="what all names begin with (default: %(default)s)")
    parser.add_argument("--num-instances", type=int, default=10_000, help="to try it on (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the instances (default: %(default)s)")
    parser.add_argument("--vectors", metavar="FILE", help="write ten instances and their decisions as a C header, too")


def _export(options: argparse.Namespace) -> None:
    checked_count("num_instances", options.num_instances, 1)
    policy, path = _chosen(options.policy, options.preset or "default"), Path(options.header)
    is_tried = isinstance(policy, NetworkPolicy) and compiler() is not None
    if options.vectors and not is_tried:
        needed = "a C compiler: install gcc or clang" if compiler() is None else "a network for independent tasks"
        raise ValueError(f"vectors is {quoted(options.vectors)}; they need {needed}")
    if options.vectors and Path(options.vectors).resolve() == path.resolve():
        raise ValueError(f"vectors is {quoted(options.vectors)}; it must be another file than the header")
    form = {
        "max_tasks": options.max_tasks,
        "name": options.name,
        "numbers": options.numbers,
        "weights": options.weights,
    }
    if isinstance(policy, NetworkPolicy) and is_tried:
        _try(policy, path, form, options)
        return
    _tell(path, policy, export_c(policy, path, **form))
    tried = "there is no C compiler" if isinstance(policy, NetworkPolicy) else "that is for independent tasks only"
    print(f"not tried: {tried}")


def _tell(path: Path, policy: NetworkPolicy | GraphPolicy | PlanPolicy, sizes: dict[str, int]) -> None:
    """Say what was written, and what it takes."""
    where = "on the stack"
    if isinstance(policy, GraphPolicy):
        where = "in a struct of the caller's"
    elif isinstance(policy, PlanPolicy):
        where = f"of a device, and about {sizes['stack']:,} on the stack"
    print(f"written: {path}, {sizes['flash']:,} bytes of weights, {sizes['ram']:,} {where}")


def _try(policy: NetworkPolicy, path: Path, form: dict[str, Any], options: argparse.Namespace) -> None:
    """Write a header, try it on fresh instances, and write it again with what was found."""
    preset, count, seed = options.preset, options.num_instances, options.seed
    if preset is None:
        preset = policy.network.scenario if policy.network.scenario in SHIPPED_PRESETS else "default"
    if preset not in SHIPPED_PRESETS:
        known = ", ".join(SHIPPED_PRESETS)
        raise ValueError(f"preset is {quoted(preset)}; for a network for independent tasks it must be one of {known}")
    most = MAX_TASKS if options.max_tasks is None else options.max_tasks
    num_tasks = make_scenario(preset).num_tasks
    with patience():
        checked_count("max_tasks", most, 1)
        drawn = {"name": preset, "num_tasks": min(num_tasks, most)}
        instances = sample_instances(drawn, count, seed)
        policy.decide(instances[:1])  # refuses locations of another preset, before anything is written
        sizes = export_c(policy, path, **form)
        trial = try_header(path, policy, instances, options.numbers, options.name)
    what = preset if most >= num_tasks else f"{preset} with {most} tasks"
    export_c(policy, path, **form, measured=f"Of {count} instances of {what} with seed {seed}, {trial}.")
    _tell(path, policy, sizes)
    print(f"of {count:,} instances of {what} (seed {seed}), {trial}")
    if options.vectors:
        write_vectors(options.vectors, path, instances[:10], options.numbers, options.name)
        print(f"written: {options.vectors}")


def _chosen(name: str, preset: str) -> NetworkPolicy | GraphPolicy | PlanPolicy:
    """A shipped network by its name, or one from its file."""
    if name in NETWORKS:
        policy = make_stream_policy(name, preset) if preset in STREAM_PRESETS else make_policy(name, preset=preset)
        assert isinstance(policy, NetworkPolicy | GraphPolicy | PlanPolicy)
        return policy
    if not Path(name).is_file():
        known = ", ".join(NETWORKS)
        raise ValueError(f"policy is {quoted(name)}; no file has this name, and the shipped networks are {known}")
    return load_stream_policy(name) if format_of(name) == STREAM_POLICY else load_policy(name)
