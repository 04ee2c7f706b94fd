"""``python -m benchmarks``: compare policies, and measure speed."""

from __future__ import annotations

if __name__ == "__main__":
    from agents import starting  # before what takes seconds to import

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agents.job_options import add_job_options, chosen_backend
from benchmarks.analysis import write_json
from benchmarks.applications import compare_applications
from benchmarks.carry_over import compare_carry_over
from benchmarks.device.command import measure_device
from benchmarks.device.targets import TARGETS
from benchmarks.front import compare_sizes
from benchmarks.graphs import compare_large_graphs
from benchmarks.information import compare_information
from benchmarks.large_n import compare_large_n
from benchmarks.policies import Asked as Compared
from benchmarks.policies import Outputs, compare
from benchmarks.report.page import NAME, write_report
from benchmarks.speed.command import GROUPS, measure_speed
from benchmarks.static_cells import NUM_DEVICES, compare_static_cells
from benchmarks.streams.cells import compare_cell_streams, scenarios_of_cells
from benchmarks.streams.comparing import SWEEPS, Asked, compare_streams
from benchmarks.streams.contenders import GRAPH_STUDENT
from benchmarks.tune_annealing import tune_annealing
from benchmarks.tune_beam import tune_beam
from benchmarks.workflows import compare_workflows
from offload_gym.array_checks import check_count
from offload_gym.command_line.exit_codes import BEGIN_AGAIN, exit_code_of, if_interrupted
from offload_gym.command_line.scenario_options import add_scenario_options, chosen_scenario
from offload_gym.command_line.stream_options import add_stream_options, chosen_streams
from offload_gym.scenario import PRESETS
from offload_gym.streams.policies import NAMES as STREAM_POLICIES

POLICIES_JSON, FRONT_JSON, AGENTS = Path("results/policies.json"), Path("results/front.json"), Path("results/agents")
STREAMS_JSON = Path("results/streams.json")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compare policies, measure speed, and tune the heuristics.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for add in (
        _policies,
        _front,
        _deployment,
        _device,
        _applications,
        _large_graphs,
        _workflows,
        _large_n,
        _carry_over,
        _information,
        _cells,
        _streams,
        _speed,
        _report,
        _tune_annealing,
        _tune_beam,
    ):
        add(commands)

    def command() -> None:
        options = parser.parse_args(arguments)
        with if_interrupted(BEGIN_AGAIN):
            options.run(options)

    return exit_code_of(command)


def _command(
    commands: Any,
    run: Callable[[argparse.Namespace], object],
    name: str,
    summary: str,
    agents: str | None = None,
    **counts: int,
) -> argparse.ArgumentParser:
    """A command that calls ``run``, with a seed, the defaults of ``counts``, and a folder of trained policies."""
    text = summary[0].upper() + summary[1:] + "."
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=text, allow_abbrev=False)
    parser.set_defaults(run=run)
    parser.add_argument("--seed", type=int, default=0, help="seed of what is drawn (default: %(default)s)")
    for count, default in counts.items():
        parser.add_argument(f"--{count.replace('_', '-')}", type=int, default=default, help="default: %(default)s")
    if agents is not None:
        parser.add_argument(
            "--agents",
            type=_folder,
            default=Path(agents),  # need not be there
            metavar="DIR",
            help="folder of trained policies (default: %(default)s)",
        )
    return parser


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is {'not a folder' if path.exists() else 'not there'}")
    return path


def _add_agents(parser: argparse.ArgumentParser, what: str, default: Sequence[Path]) -> None:
    parser.add_argument(
        "--agents",
        type=_folder,
        nargs="+",
        default=default,
        metavar="DIR",
        help=f"folder {what}; several: folders of the same training with different seeds, in one row a policy",
    )


def _policies(commands: Any) -> None:
    def run(options: argparse.Namespace) -> None:
        asked = Compared(
            options.seed,
            options.num_instances,
            options.agents,
            options.transfer,
            options.observation_noise,
            options.max_nodes,
            options.against,
        )
        outputs = Outputs(options.json, options.csv, options.markdown, options.plots)
        compare(chosen_scenario(options), options.objective, asked, outputs)

    summary = "compare policies on fresh instances: optimality gap, label accuracy, decision delay"
    defaults = Compared()
    parser = _command(commands, run, "policies", summary, num_instances=defaults.num_instances)
    _add_agents(parser, f"of trained policies (default: {AGENTS})", [AGENTS])  # which need not be there
    parser.add_argument(
        "--against",
        metavar="NAME",
        default=defaults.against,
        help="policy to whose gaps on the same instances there are differences (default: %(default)s)",
    )
    add_scenario_options(parser)
    parser.add_argument(
        "--transfer",
        action="store_true",
        help="take in policies that were trained for another scenario or objective (those for other numbers of tasks "
        "take part in any case)",
    )
    parser.add_argument(
        "--max-nodes",
        type=int,
        default=defaults.max_nodes,
        help="where the exact search of an instance stops; gaps are then against the best decision found (default: "
        "%(default)s)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the rows as a JSON list")
    parser.add_argument("--csv", metavar="FILE", help="write the rows as CSV")
    parser.add_argument("--markdown", metavar="FILE", help="write the table as Markdown")
    parser.add_argument("--plots", metavar="DIR", help="write the plots as PNG files")


def _front(commands: Any) -> None:
    def run(options: argparse.Namespace) -> None:
        compare_sizes(options.agents, options.seed, options.num_instances, options.json, options.plot)

    summary = "compare policies at 8, 12 and 16 tasks: which are on the front of quality and speed"
    parser = _command(commands, run, "front", summary, agents="results/policies", num_instances=2000)
    parser.add_argument("--json", metavar="FILE", help="write the rows as a JSON list")
    parser.add_argument("--plot", metavar="FILE", help="write the plot as a PNG file")


def _deployment(commands: Any) -> None:
    def run(options: argparse.Namespace) -> None:
        from benchmarks.deployment import measure_deployment  # needs onnxruntime

        check_count("num_instances", options.num_instances)
        measure_deployment(options.agents, options.seed, options.num_instances)

    summary = "time one decision of a network compiled, in C, in ONNX, in torch and in stable-baselines3"
    _command(commands, run, "deployment", summary, agents="results/policies/n8", num_instances=2000)


def _device(commands: Any) -> None:
    def run(options: argparse.Namespace) -> None:
        rows = measure_device(options.num_instances, options.seed, options.targets, options.optimize)
        if options.json:
            write_json(options.json, rows)

    summary = "run exported policies on microcontrollers under QEMU: decisions, instructions, flash and RAM"
    parser = _command(commands, run, "device", summary, num_instances=1000)
    parser.add_argument(
        "--targets", nargs="+", choices=TARGETS, default=[], help="these alone (default: all whose tools are there)"
    )
    parser.add_argument(
        "--optimize", choices=("O2", "O3", "Os"), default="Os", help="what gcc is told (default: %(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the rows as a JSON list")


def _applications(commands: Any) -> None:
    def run(options: argparse.Namespace) -> None:
        with chosen_backend(options):
            compare_applications(options.num_instances, options.seed, Path(options.plots) if options.plots else None)

    summary = "compare policies on every preset of applications, and draw one instance of each"
    parser = _command(commands, run, "applications", summary, num_instances=1000)
    add_job_options(parser, num_jobs=1)
    parser.add_argument("--plots", metavar="DIR", help="write the drawings as PNG files")


def _large_graphs(commands: Any) -> None:
    def run(options: argparse.Namespace) -> None:
        rows = compare_large_graphs(options.num_instances, options.seed, options.agents)
        if options.json:
            write_json(options.json, rows)

    summary = "compare heuristics, searches and trained policies on random graphs of up to 1,000 tasks"
    parser = _command(commands, run, "large-graphs", summary, num_instances=20)
    parser.add_argument("--agents", type=_folder, metavar="DIR", help="folder of policies that were trained on graphs")
    parser.add_argument("--json", metavar="FILE", help="write the rows as a JSON list")


def _workflows(commands: Any) -> None:
    def run(options: argparse.Namespace) -> None:
        machines = {"name": options.scenario, "random_graph": False}
        if options.num_edges is not None:
            machines["num_edges"] = options.num_edges
        rows = compare_workflows(
            options.files,
            options.num_instances,
            options.seed,
            machines,
            options.reference_hz,
            options.agents,
            options.plots,
        )
        if options.json:
            write_json(options.json, rows)

    summary = "compare heuristics, searches and trained policies on applications of files"
    parser = _command(commands, run, "workflows", summary, num_instances=5)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="WfFormat, DAX, DOT, ONNX, JSON and others")
    parser.add_argument(
        "--scenario", default="multi_edge", choices=PRESETS, help="whose machines it has (default: %(default)s)"
    )
    parser.add_argument("--num-edges", type=int, help="edge servers (default: the scenario's)")
    parser.add_argument("--reference-hz", type=float, help="cycles of a second of run time (default: 1e9)")
    parser.add_argument("--agents", type=_folder, metavar="DIR", help="folder of policies that were trained on graphs")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw the best schedule of each file")
    parser.add_argument("--json", metavar="FILE", help="write the rows as a JSON list")


def _carry_over(commands: Any) -> None:
    def run(options: argparse.Namespace) -> None:
        check_count("num_episodes", options.num_episodes)
        with chosen_backend(options):
            compare_carry_over(options.num_episodes, options.seed)

    summary = "play episodes in which work that is left stays in the queues, at several times between epochs"
    add_job_options(_command(commands, run, "carry-over", summary, num_episodes=40), num_jobs=1)


def _information(commands: Any) -> None:
    def run(options: argparse.Namespace) -> None:
        compare_information(options.num_instances, options.seed, options.agents)

    summary = "compare policies that see the truth, estimates of rates and backlogs, and the last measurement"
    _command(commands, run, "information", summary, agents="results/agents", num_instances=2000)


def _cells(commands: Any) -> None:
    def run(options: argparse.Namespace) -> None:
        parts = {"static": ("json", "networks"), "streams": ("streams_json", "agents", "positions", "sites")}
        for part in parts.keys() - {options.only or "static", options.only or "streams"}:
            for name in parts[part]:
                if getattr(options, name):
                    flag = f"--{name.replace('_', '-')}"
                    raise ValueError(f"{flag} is given; with --only {options.only} it must not be")
        scenarios = scenarios_of_cells(options.positions, options.sites)
        if options.only != "streams":
            compare_static_cells(
                options.num_cells,
                options.seed,
                options.num_decisions,
                options.num_devices,
                json_path=options.json,
                networks=options.networks,
            )
        if options.only != "static":
            compare_cell_streams(scenarios, options.num_streams, options.seed, options.streams_json, options.agents)

    summary = "compare policies of devices that share a cell's uplink and servers, all at once and over time"
    parser = _command(commands, run, "cells", summary, num_cells=200, num_streams=100)
    parser.add_argument(
        "--only", choices=("static", "streams"), help="static: all tasks at once; streams: jobs that keep coming"
    )
    parser.add_argument(
        "--agents", type=_folder, metavar="DIR", help="folder of trained policies of streams that take part, too"
    )
    parser.add_argument(
        "--positions",
        metavar="FILE",
        help="recorded positions (CSV: device,time_s and x_m,y_m or latitude,longitude) of devices that move, in one "
        "table more",
    )
    parser.add_argument(
        "--sites", metavar="FILE", help="sites (CSV: x_m,y_m or latitude,longitude) of the devices in that table"
    )
    parser.add_argument("--streams-json", metavar="FILE", help="write the rows of streams as a JSON list")
    parser.add_argument(
        "--num-decisions",
        type=int,
        default=100_000,
        help="that each PPO agent of static cells is trained for, 0: without PPO (default: %(default)s)",
    )
    sizes = " ".join(map(str, NUM_DEVICES))
    parser.add_argument(
        "--num-devices",
        type=int,
        nargs="+",
        default=NUM_DEVICES,
        metavar="M",
        help=f"sizes of static cells (default: {sizes})",
    )
    parser.add_argument(
        "--networks", nargs="+", default=[], metavar="FILE", help="policy files of cells that take part, too"
    )
    parser.add_argument("--json", metavar="FILE", help="write the rows of static cells as a JSON list")


def _streams(commands: Any) -> None:
    def run(options: argparse.Namespace) -> None:
        for name, sweeps in (
            ("arrivals_per_s", ("load", "devices")),
            ("num_devices", ("devices",)),
            ("report_s", ("report",)),
        ):
            if options.sweep in sweeps and getattr(options, name) not in (None, []):
                flag = f"--{name.replace('_', '-')}"
                raise ValueError(f"{flag} is given; --sweep {options.sweep} chooses it itself, so leave it out")
        scenarios = chosen_streams(options)
        asked = Asked(
            options.objective,
            options.policies,
            options.agents,
            options.seed,
            options.num_streams,
            options.num_planned,
            options.num_hindsight,
        )
        compare_streams(scenarios, asked, options.sweep, options.json, options.plots)

    summary = "compare policies on fresh streams of jobs: response, late share, energy, decision delay"
    defaults = Asked()
    parser = _command(commands, run, "streams", summary)
    for name, what in (
        ("num_streams", "streams that each policy plays"),
        ("num_planned", "streams that the planner plays, the first of these, as it takes long"),
        ("num_hindsight", "streams that are also decided in hindsight, the first of these; 0: none"),
    ):
        flag, default = f"--{name.replace('_', '-')}", getattr(defaults, name)
        parser.add_argument(flag, type=int, default=default, help=f"{what} (default: %(default)s)")
    add_stream_options(parser)
    _add_agents(parser, "of trained policies of streams", [])
    parser.add_argument(
        "--policies",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"these alone, and greedy: {', '.join((*STREAM_POLICIES, GRAPH_STUDENT))}",
    )
    parser.add_argument(
        "--sweep",
        choices=SWEEPS,
        help="vary the scenario: load, 0.3 to 1.1 of the capacity; burst, the rate in bursts over that between them; "
        "radio, correlations from second to second, constant rates, and those of --trace; devices, 1 to 64 of them at "
        "0.8 of the capacity; report, seconds between reports on the servers",
    )
    parser.add_argument("--json", metavar="FILE", help="write the rows as a JSON list")
    parser.add_argument(
        "--plots", metavar="DIR", help="write the plots as PNG files; of sweeps, that over load has one"
    )


def _speed(commands: Any) -> None:
    def run(options: argparse.Namespace) -> None:
        measure_speed(
            seed=options.seed,
            only=options.only,
            quick=options.quick,
            json_path=options.json,
            plots_folder=options.plots,
        )

    summary = "measure kernels, environments and solver against references in the same run"
    parser = _command(commands, run, "speed", summary)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help=f"measure these groups: {', '.join(GROUPS)}"
    )
    parser.add_argument("--quick", action="store_true", help="a rough run, which tells whether the command works")
    parser.add_argument("--json", metavar="FILE", help="write the rows as a JSON list")
    parser.add_argument("--plots", metavar="DIR", help="write the plot of how times grow as a PNG file")


def _report(commands: Any) -> None:
    def run(options: argparse.Namespace) -> None:
        files = options.policies or [POLICIES_JSON, *([FRONT_JSON] if FRONT_JSON.is_file() else [])]
        agents = options.agents or (AGENTS if AGENTS.is_dir() else None)
        streams = options.streams or ([STREAMS_JSON] if STREAMS_JSON.is_file() else [])
        path = write_report(options.folder, files, agents, options.seed, streams)
        print(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB, opens in a browser without a network)")

    summary = "write tables, front, learning curves and an explorer of schedules as one HTML page"
    parser = _command(commands, run, "report", summary)
    parser.add_argument(
        "folder",
        metavar="DIR",
        type=Path,
        nargs="?",
        default=Path("results/report"),
        help=f"folder that {NAME} is written into (default: %(default)s)",
    )
    parser.add_argument(
        "--policies",
        metavar="FILE",
        type=Path,
        action="append",
        help="rows that `policies --json` or `front --json` wrote; may be given more than once "
        f"(default: {POLICIES_JSON}, and {FRONT_JSON} where it is there)",
    )
    parser.add_argument(
        "--streams",
        metavar="FILE",
        type=Path,
        action="append",
        help=f"rows that `streams --json` wrote; may be given more than once (default: {STREAMS_JSON} where it is "
        "there)",
    )
    parser.add_argument(
        "--agents",
        metavar="DIR",
        type=Path,
        help=f"folder of trained policies, for the learning curves (default: {AGENTS} where it is there)",
    )


def _large_n(commands: Any) -> None:
    def run(options: argparse.Namespace) -> None:
        check_count("num_instances", options.num_instances)
        compare_large_n(options.num_instances, options.seed)

    summary = "solve up to a thousand independent tasks with a limited search: gap to the lower bound, and time"
    _command(commands, run, "large-n", summary, num_instances=10)


def _tune_annealing(commands: Any) -> None:
    def run(options: argparse.Namespace) -> None:
        tune_annealing(options.num_instances, options.num_moves, options.seed)

    summary = "choose the settings of annealing on validation graphs"
    _command(commands, run, "tune-annealing", summary, num_instances=24, num_moves=20_000)


def _tune_beam(commands: Any) -> None:
    def run(options: argparse.Namespace) -> None:
        tune_beam(options.num_instances, options.seed)

    summary = "choose the prices of the beam search on validation instances"
    _command(commands, run, "tune-beam", summary, num_instances=1000)


if __name__ == "__main__":
    starting.begun()
    sys.exit(main())
