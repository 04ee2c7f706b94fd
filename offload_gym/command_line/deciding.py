"""``offload-gym solve`` and ``offload-gym decide``: decisions, schedules and latencies of instances."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offload_gym.command_line.instance_input import FORMATS, Given, add_input_options, read_instances
from offload_gym.command_line.instances_csv import RESULT_FIELDS, write_csv
from offload_gym.command_line.instances_json import fields_of
from offload_gym.command_line.patience import patience
from offload_gym.command_line.tables import chart, milliseconds, schedule_table, text_table
from offload_gym.command_line.warming import help_to_search
from offload_gym.delay import OBJECTIVES, Schedule, latency, schedule
from offload_gym.envs.rendering import OBJECTIVE_NAMES
from offload_gym.policies import (
    GRAPH_PRESETS,
    POLICY_NAMES,
    SHIPPED_PRESETS,
    Policy,
    is_built_in,
    load_policy,
    make_policy,
    preset_of,
)
from offload_gym.solvers.exact import Interrupted, Solutions, solve

SOLVE_EXAMPLES = """\
examples:
  offload-gym solve default
  offload-gym solve scenario.json --num-instances 100 --seed 7
  offload-gym solve tasks.csv --locations locations.csv --objective mean
  offload-gym solve vision --json | offload-gym decide - --policy greedy
"""
SEARCHING = (
    "searching; Ctrl-C ends it with the best decisions so far, and --max-nodes and --time-limit limit it from the start"
)
DECIDE_EXAMPLES = """\
examples:
  offload-gym decide default --policy greedy
  offload-gym decide instances.json --policy student --json
  offload-gym decide vision --policy agents/sequential-student.safetensors
"""


def add_solve(commands: Any) -> None:
    """Add ``offload-gym solve``."""
    parser = _command(commands, "solve", "find optimal decisions", SOLVE_EXAMPLES, _solve)
    parser.add_argument(
        "--max-nodes",
        type=int,
        help="partial schedules to make for an instance at most; the decision may then be short of the optimum "
        "(default: until it is proven optimal)",
    )
    parser.add_argument(
        "--time-limit",
        type=float,
        metavar="SECONDS",
        help="about how long the search for an instance may take; the decision may then be short of the optimum",
    )


def add_decide(commands: Any) -> None:
    """Add ``offload-gym decide``."""
    parser = _command(commands, "decide", "decide with a heuristic or a trained policy", DECIDE_EXAMPLES, _decide)
    parser.add_argument(
        "--policy",
        required=True,
        metavar="NAME|FILE",
        help=f"a built-in policy ({', '.join(POLICY_NAMES)}, or beams of other widths), or the file of a trained one",
    )
    parser.add_argument(
        "--preset",
        choices=(*SHIPPED_PRESETS, *GRAPH_PRESETS),
        metavar="NAME",
        help=f"what a shipped network was trained for: {', '.join((*SHIPPED_PRESETS, *GRAPH_PRESETS))} (default: the "
        "scenario's preset, else dag for applications and default for independent tasks)",
    )


def _command(commands: Any, name: str, summary: str, examples: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary.capitalize()}: print the location of each task,\n"
        "when it is sent, runs and is complete, and the latency.",
        epilog=f"{FORMATS}\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    add_input_options(parser)
    parser.add_argument("--objective", choices=OBJECTIVES, default="makespan", help="default: %(default)s")
    parser.add_argument("--schedule", action="store_true", help="print the schedule of each of several instances")
    parser.add_argument("--json", action="store_true", help="print JSON: instances, decisions and schedules")
    parser.add_argument("--csv", metavar="DIR", help="write tasks.csv, with the schedules, and locations.csv as well")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the files of --csv where they are there already"
    )
    return parser


def _solve(options: argparse.Namespace) -> None:
    try:
        with help_to_search():
            with patience():
                given = read_instances(options)
            with patience(SEARCHING):
                solutions = solve(
                    given.instances, options.objective, options.max_nodes, time_limit_s=options.time_limit
                )
    except Interrupted as interrupt:
        begun = np.flatnonzero(interrupt.solutions.nodes)
        if len(begun):
            so_far = Solutions._make(values[begun] for values in interrupt.solutions)
            part = given._replace(names=[given.names[b] for b in begun], instances=given.instances[begun])
            _report(options, part, "exact", so_far.decisions, so_far)
        raise
    _report(options, given, "exact", solutions.decisions, solutions)


def _decide(options: argparse.Namespace) -> None:
    with patience():
        given = read_instances(options)
    preset = options.preset or _preset_for(given)
    policy = chosen_policy(options.policy, options.objective, options.seed, preset)
    with patience():
        decisions = policy.decide(given.instances)
    _report(options, given, options.policy, decisions, None)


def _preset_for(given: Given) -> str:
    """The preset whose shipped networks suit what was given."""
    if given.scenario is not None:
        return preset_of(given.scenario)
    return "dag" if given.instances.edge_parent.size else "default"


def chosen_policy(name: str, objective: str, seed: int, preset: str) -> Policy:
    """A built-in policy by its name, or a trained one by its path."""
    if not is_built_in(name) and not Path(name).is_file():
        close = difflib.get_close_matches(name, POLICY_NAMES, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        known = ", ".join(POLICY_NAMES)
        raise ValueError(f"policy is {name!r}{hint}; no file has this name, and the built-in policies are {known}")
    if not is_built_in(name):
        return load_policy(name)
    return make_policy(name, objective, seed, preset)


def _report(
    options: argparse.Namespace, given: Given, policy: str, decisions: NDArray[np.int64], solutions: Solutions | None
) -> None:
    names, instances = given.names, given.instances
    with patience():
        latency_s = latency(instances, decisions, options.objective)
    one_by_one = options.schedule or len(names) == 1
    needed = options.json or options.csv is not None or one_by_one
    schedules = [schedule(instances, decisions[b], b) for b in range(len(names))] if needed else []
    if options.csv is not None:
        paths = write_csv(options.csv, names, instances, schedules, options.overwrite)
        print(f"written: {' and '.join(map(str, paths))}", file=sys.stderr)
    if options.json:
        rows = _rows(given, latency_s, solutions, schedules)
        text = json.dumps({"policy": policy, "objective": options.objective, "results": rows}, allow_nan=False)
        print(text.replace('{"instance": ', '\n  {"instance": '))
        return
    what = OBJECTIVE_NAMES.get(options.objective, options.objective)
    if not one_by_one:
        print(_table(what, given, latency_s, solutions, decisions))
        print(f"\n{len(names):,} instances: {what} {milliseconds(latency_s.mean())} ms on average")
        return
    for b, name in enumerate(names):
        if len(names) > 1:
            print("" if b == 0 else "\n", f"instance {name}", sep="")
        proof = "" if solutions is None else f", {_proof(solutions, b)}"
        print(f"{what} {milliseconds(latency_s[b])} ms{proof}\n")
        print(f"{schedule_table(schedules[b], instances.num_locations, given.task_names(b))}\n")
        print(chart(instances[b : b + 1], decisions[b], options.objective))


def _rows(
    given: Given, latency_s: NDArray[np.float64], solutions: Solutions | None, schedules: list[Schedule]
) -> list[dict[str, Any]]:
    """The results as plain values for JSON, one an instance."""
    rows = []
    for b, name in enumerate(given.names):
        row: dict[str, Any] = {"instance": name, "latency_s": float(latency_s[b])}
        if solutions is not None:
            row |= {"lower_bound_s": float(solutions.lower_bound_s[b]), "optimal": bool(solutions.optimal[b])}
        row["decision"] = schedules[b].location.tolist()
        row["schedule"] = _plain(schedules[b], given.task_names(b))
        row["fields"] = fields_of(given.instances, b)
        rows.append(row)
    return rows


def _table(
    what: str,
    given: Given,
    latency_s: NDArray[np.float64],
    solutions: Solutions | None,
    decisions: NDArray[np.int64],
) -> str:
    """One line an instance."""
    proof = [] if solutions is None else ["proof"]
    header = ["instance", f"{what} (ms)", *proof, "locations of tasks"]
    rows = []
    for b, name in enumerate(given.names):
        cells = [] if solutions is None else [_proof(solutions, b)]
        rows.append([name, milliseconds(latency_s[b]), *cells, _placed(decisions[b, : given.instances.task_counts[b]])])
    return text_table(header, rows, left=(0, *range(2, len(header))))


def _placed(decision: NDArray[np.int64]) -> str:
    return " ".join(map(str, decision.tolist()))


def _plain(happening: Schedule, names: Sequence[str]) -> list[dict[str, Any]]:
    """What happens to each task as plain values for JSON; None where it is not sent. Its name, where it has one."""
    columns = {name: getattr(happening, name).tolist() for name in RESULT_FIELDS}
    rows: list[dict[str, Any]] = []
    for i in range(len(happening.location)):
        name = {"name": names[i]} if names else {}
        values = {key: None if column[i] != column[i] else column[i] for key, column in columns.items()}
        rows.append({"task": i, **name, **values})
    return rows


def _proof(solutions: Solutions, b: int) -> str:
    """What is known of the optimum."""
    if solutions.optimal[b]:
        return "optimal"
    bound_s = solutions.lower_bound_s[b]
    if bound_s <= 0:
        return "not proven"
    return f"at most {100 * (solutions.latency_s[b] / bound_s - 1):.2f} % above the optimum"
