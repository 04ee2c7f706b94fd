"""``python -m agents``: train all policies of a scenario.

``python -m agents label`` labels instances alone; ``record`` makes a Minari data set of episodes and ``clone`` learns
from one; ``distillation`` studies what students gain from a teacher, and ``ablation`` what each part of the method
does; ``tune`` looks for hyperparameters of reinforcement learning, ``tune-rules`` for the numbers of rules of streams,
``tune-shares`` for those of policies in a cell; ``learn-cells`` trains networks for the devices of cells and
``learn-graphs`` networks for applications; ``learn-streams`` trains teacher and students of streams,
``reinforce-streams`` reinforcement learning's agents, and ``stream-ablation`` measures what each part of learning on
streams is worth.
"""

from __future__ import annotations

if __name__ == "__main__":
    from agents import starting  # before what takes seconds to import

import argparse
import sys
import time
from dataclasses import fields
from pathlib import Path

from agents.job_options import add_job_options, chosen_backend
from offload_gym.array_checks import check_count
from offload_gym.command_line.exit_codes import BEGIN_AGAIN, exit_code_of, if_interrupted
from offload_gym.command_line.scenario_options import add_scenario_options, chosen_scenario
from offload_gym.command_line.stream_options import add_stream_options, chosen_stream, chosen_streams
from offload_gym.delay import COMPLETION_OBJECTIVES
from offload_gym.policies import POLICY_NAMES, SHIPPED_PRESETS
from offload_gym.scenario import make_scenario
from offload_gym.seeds import seed_for
from offload_gym.shards import generate_shards
from offload_gym.solvers.parallel import num_cores

# How to go on after Ctrl-C, by the name of a command; others keep the steps that they have finished.
KEPT = "finished steps are kept; start the same command again to go on"
GO_ON = dict.fromkeys(("ablation", "tune-rules", "tune-shares", "clone"), BEGIN_AGAIN) | {
    "learn-cells": "networks that are finished are in the folder; start again with --only and the names of the others",
    "record": "there is no data set yet; start the same command again",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    named = {
        "label": _label,
        "distillation": _distillation,
        "ablation": _ablation,
        "record": _record,
        "clone": _clone,
        "tune": _tune,
        "tune-rules": _tune_rules,
        "tune-shares": _tune_shares,
        "learn-cells": _learn_cells,
        "learn-graphs": _learn_graphs,
        "learn-streams": _learn_streams,
        "reinforce-streams": _reinforce_streams,
        "stream-ablation": _stream_ablation,
    }
    name = arguments[0] if arguments else ""
    run, rest = (named[name], arguments[1:]) if name in named else (_train, arguments)

    def command() -> None:
        with if_interrupted(GO_ON.get(name, KEPT)):
            run(rest)

    return exit_code_of(command)


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    """The parser of one of the commands."""
    return argparse.ArgumentParser(prog=f"python -m agents {command}", description=description, allow_abbrev=False)


def _train(arguments: list[str]) -> None:
    # Labelling does without torch.
    from agents.training import POLICIES, Settings, train_all

    defaults = {field.name: field.default for field in fields(Settings)}
    parser = argparse.ArgumentParser(
        prog="python -m agents",
        description="Label instances, train teachers, distil students and train reinforcement-learning agents. "
        "Finished steps are kept: interrupt it and start it again with the same settings.",
        epilog="`python -m agents label` labels instances alone, as many as you like, and `python -m agents "
        "distillation` and `ablation` study the method; `record` and `clone` make and learn from Minari data "
        "sets; `tune` looks for hyperparameters of reinforcement learning, `tune-rules` for the numbers of rules of "
        "streams and `tune-shares` for those of policies in cells; `learn-cells` trains networks for the devices of "
        "cells, `learn-graphs` networks for applications of many tasks, `learn-streams` teacher and students of "
        "streams, `reinforce-streams` PPO and DQN, and `stream-ablation` measures what the parts of that learning are "
        "worth: see their --help.",
        allow_abbrev=False,
    )
    parser.add_argument("--output", default="results/agents", help="folder of the results (default: %(default)s)")
    add_scenario_options(parser, objectives=COMPLETION_OBJECTIVES)
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
    chosen = {name: getattr(options, name) for name in counts}
    scenario = chosen_scenario(options)
    settings = Settings(scenario, options.objective, observation_noise=options.observation_noise, **chosen)
    train_all(options.output, settings, only=options.only)


def _label(arguments: list[str]) -> None:
    parser = _parser(
        "label",
        "Sample instances and label them into shards, files of which each process holds one in memory. "
        "Finished shards are kept: interrupt it and start it again with the same settings.",
    )
    parser.add_argument("--output", default="results/labels", help="folder of the shards (default: %(default)s)")
    add_scenario_options(parser)
    parser.add_argument("--num-instances", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--shard-size", type=int, default=10_000, help="instances in a shard (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="test instances never share it (default: %(default)s)")
    parser.add_argument(
        "--no-alternatives",
        dest="alternatives",
        action="store_false",
        help="label the optimal decisions alone, not what each alternative costs; quicker",
    )
    add_job_options(parser, num_jobs=num_cores())
    options = parser.parse_args(arguments)
    scenario = chosen_scenario(options)
    with chosen_backend(options):
        paths = generate_shards(
            options.output,
            scenario,
            options.num_instances,
            seed_for("training", options.seed),
            options.objective,
            shard_size=options.shard_size,
            observation_noise=options.observation_noise,
            alternatives=options.alternatives,
            progress=True,
        )
    print(f"{options.num_instances:,} labelled instances in {len(paths):,} shards: {paths[0].parent}")


def _distillation(arguments: list[str]) -> None:
    from agents.distillation import study

    parser = _parser(
        "distillation",
        "Train students of several sizes from labels alone and from a teacher, with five seeds each, and "
        "print a table. Finished students are kept: interrupt it and start it again.",
    )
    parser.add_argument("--output", default="results/distillation", help="folder of the results (default: %(default)s)")
    parser.add_argument(
        "--teacher",
        default="results/policies/n8/sequential-teacher.safetensors",
        help="a policy file (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the instances (default: %(default)s)")
    options = parser.parse_args(arguments)
    study(Path(options.output), Path(options.teacher), options.seed)


def _ablation(arguments: list[str]) -> None:
    from agents.ablation import ablation

    parser = _parser(
        "ablation",
        "Train a student with one thing changed at a time, three seeds each; about five minutes.",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the instances (default: %(default)s)")
    ablation(parser.parse_args(arguments).seed)


def _tune(arguments: list[str]) -> None:
    from agents.tune import TUNABLE, tune

    parser = _parser(
        "tune",
        "Look for hyperparameters of a reinforcement-learning agent on validation instances with Optuna, "
        "and print the best. Finished trials are kept: interrupt it and start it again.",
    )
    parser.add_argument("--agent", choices=TUNABLE, required=True, metavar="NAME", help=", ".join(TUNABLE))
    parser.add_argument("--output", default="results/tuning", help="folder of the studies (default: %(default)s)")
    add_scenario_options(parser, objectives=COMPLETION_OBJECTIVES)
    parser.add_argument("--num-trials", type=int, default=24, help="default: %(default)s")
    parser.add_argument(
        "--num-placements", type=int, default=200_000, help="tasks that one trial places (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="test instances never share it (default: %(default)s)")
    options = parser.parse_args(arguments)
    for name in ("num_trials", "num_placements"):
        check_count(name, getattr(options, name))
    folder, scenario = Path(options.output), chosen_scenario(options)
    tune(
        options.agent,
        folder,
        scenario,
        options.objective,
        options.num_trials,
        options.num_placements,
        options.seed,
        options.observation_noise,
    )


def _tune_rules(arguments: list[str]) -> None:
    from agents.stream_rules import PACKAGED, tune_rules

    parser = _parser(
        "tune-rules",
        "Choose the numbers of the rules that decide streams on validation streams, and print them; where "
        "jobs may be dropped, also when each policy drops them.",
    )
    add_stream_options(parser)
    parser.add_argument("--policies", nargs="+", default=[], metavar="NAME", help="tune these alone")
    parser.add_argument("--num-streams", type=int, default=200, help="validation streams (default: %(default)s)")
    parser.add_argument(
        "--num-evaluations", type=int, default=800, help="proposals for each rule (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="test streams never share it (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help=f"put them into {PACKAGED.name} of the package")
    options = parser.parse_args(arguments)
    tune_rules(
        chosen_streams(options),
        options.objective,
        policies=options.policies,
        num_streams=options.num_streams,
        num_evaluations=options.num_evaluations,
        seed=options.seed,
        path=PACKAGED if options.write else None,
    )


def _tune_shares(arguments: list[str]) -> None:
    from agents.cell_shares import PACKAGED, tune_shares

    parser = _parser(
        "tune-shares",
        "Choose on validation cells by how much greedy, student and exact divide their uplink in a cell, and print it.",
    )
    parser.add_argument("--scenario", choices=SHIPPED_PRESETS, default="default", help="default: %(default)s")
    parser.add_argument("--num-cells", type=int, default=400, help="validation cells (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="test cells never share it (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help=f"put them into {PACKAGED.name} of the package")
    options = parser.parse_args(arguments)
    path = PACKAGED if options.write else None
    tune_shares(make_scenario(options.scenario), options.num_cells, options.seed, path=path)


def _learn_cells(arguments: list[str]) -> None:
    from agents.cell_learning import NETWORKS, CellSettings, learn

    defaults = {one.name: one.default for one in fields(CellSettings)}
    parser = _parser(
        "learn-cells",
        "Learn to decide for one device of a cell, told how many devices there are and the mean of their "
        "uplink rates: a teacher that sees the others, and students that do not.",
    )
    parser.add_argument("--output", default="results/cells", help="folder of the results (default: %(default)s)")
    parser.add_argument(
        "--only", nargs="+", choices=NETWORKS, default=(), metavar="NAME", help=f"train these: {', '.join(NETWORKS)}"
    )
    counts = {
        "seed": "of cells and weights; test cells never share it",
        "steps": "of learning, each with fresh cells",
        "devices_a_step": "devices whose choices are tried in a step, of cells of each size",
        "num_validation": "validation cells",
    }
    for name, text in counts.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=int, default=defaults[name], help=f"{text} (default: %(default)s)")
    rates = {
        "learning_rate": "of weight matrices, at first",
        "first_noise": "Gumbel noise in the choices at first; 1: drawn as they score, 0: the best",
        "last_noise": "Gumbel noise at last",
    }
    for name, text in rates.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=float, default=defaults[name], help=f"{text} (default: %(default)s)")
    parser.add_argument("--start", metavar="FILE", help="policy file of cells that networks begin with")
    sizes = defaults["sizes"]
    parser.add_argument("--sizes", type=int, nargs="+", default=sizes, help=f"devices of the cells (default: {sizes})")
    options = parser.parse_args(arguments)
    for name in ("steps", "devices_a_step", "num_validation"):
        check_count(name, getattr(options, name))
    for size in options.sizes:
        check_count("sizes", size)
    chosen = {name: getattr(options, name) for name in ("start", *counts, *rates)}
    learn(options.output, CellSettings(sizes=tuple(options.sizes), **chosen), options.only)


def _learn_graphs(arguments: list[str]) -> None:
    from agents.graph_learning import GraphSettings, learn

    defaults = GraphSettings()
    parser = _parser(
        "learn-graphs",
        "Learn to place the tasks of applications: a teacher learns from search and then from its own roll-outs, and "
        "students are distilled from it. Labels and finished networks are kept: interrupt it and start it again with "
        "the same settings.",
    )
    parser.add_argument("--output", default="results/graphs", help="folder of the results (default: %(default)s)")
    add_scenario_options(parser, objectives=("makespan",))
    parser.set_defaults(scenario="dag")
    counts = {
        "seed": "seed of instances and weights; test instances never share it",
        "num_labels": "instances that search labels",
        "rounds": "rounds of roll-outs of the teacher",
        "student_rounds": "rounds of roll-outs of each student",
        "instances_a_round": "instances of a round",
    }
    for name, text in counts.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=int, default=getattr(defaults, name), help=f"{text} (default: %(default)s)")
    options = parser.parse_args(arguments)
    scenario = chosen_scenario(options)
    if scenario.random_graph and options.num_tasks is None and options.max_tasks is None and not scenario.max_tasks:
        options.num_tasks, options.max_tasks = defaults.scenario.num_tasks, defaults.scenario.max_tasks
        scenario = chosen_scenario(options)
    if options.observation_noise != 0.0:
        raise ValueError(f"observation_noise is {options.observation_noise!r}; networks of graphs see the truth: 0")
    learn(options.output, GraphSettings(scenario, **{name: getattr(options, name) for name in counts}))


def _learn_streams(arguments: list[str]) -> None:
    from agents.learning_options import add_learning_options, learning_settings
    from agents.stream_learning import learn

    parser = _parser(
        "learn-streams",
        "Learn to decide streams: policy iteration with roll-outs over sampled futures, a teacher, and "
        "students distilled from it. Labels are kept: interrupt it and start it again with the same settings.",
    )
    parser.add_argument("--output", default="results/streams", help="folder of the results (default: %(default)s)")
    add_learning_options(parser)
    options = parser.parse_args(arguments)
    learn(options.output, learning_settings(options))


def _stream_ablation(arguments: list[str]) -> None:
    from agents.learning_options import add_learning_options, learning_settings
    from agents.stream_ablation import ablate

    parser = _parser(
        "stream-ablation",
        "Train networks that decide streams from other labels each: of hindsight and of planning, on other "
        "states, after one round and more, and from a teacher or not; and print a table of what they gain over greedy "
        "on test streams. Labels and results are kept: interrupt it and start it again.",
    )
    parser.add_argument(
        "--output", default="results/stream_ablation", help="folder of the results (default: %(default)s)"
    )
    add_learning_options(parser, rounds=3, streams_a_round=400)
    for name, default, text in (("seeds", 3, "networks of each kind"), ("test", 400, "test streams")):
        parser.add_argument(f"--num-{name}", type=int, default=default, help=f"{text} (default: %(default)s)")
    options = parser.parse_args(arguments)
    ablate(options.output, learning_settings(options), options.num_seeds, options.num_test)


def _reinforce_streams(arguments: list[str]) -> None:
    from agents.stream_learning import StreamSettings
    from agents.stream_reinforcement import AGENTS, HYPERPARAMETERS, reinforce

    parser = _parser(
        "reinforce-streams",
        "Train PPO and DQN of stable-baselines3 to decide streams, and PPO from a trained network. Each "
        "keeps what was best on validation streams. Finished agents are kept.",
    )
    parser.add_argument(
        "--output", default="results/streams/reinforced", help="folder of the results (default: %(default)s)"
    )
    add_stream_options(parser)
    parser.add_argument(
        "--agents",
        nargs="+",
        choices=HYPERPARAMETERS,
        default=AGENTS,
        metavar="NAME",
        help=f"train these alone: {', '.join(HYPERPARAMETERS)} (default: {', '.join(AGENTS)})",
    )
    parser.add_argument(
        "--decisions", type=int, default=600_000, help="of each agent in training (default: %(default)s)"
    )
    parser.add_argument(
        "--start", metavar="FILE", help="policy file that ppo-cloned starts from (default: the shipped student)"
    )
    parser.add_argument(
        "--tune", type=int, metavar="N", help="look for hyperparameters instead, in N trials of so many decisions each"
    )
    parser.add_argument("--seed", type=int, default=1, help="test streams never share it (default: %(default)s)")
    options = parser.parse_args(arguments)
    scenario = chosen_stream(options)
    settings = StreamSettings(scenario, options.objective, options.seed, start=options.start)
    if options.tune is None:
        reinforce(options.output, settings, options.decisions, options.agents)
    else:
        from agents.stream_tuning import tune

        for name in options.agents:
            tune(name, options.output, settings, options.decisions, options.tune)


def _record(arguments: list[str]) -> None:
    parser = _parser(
        "record",
        "Record episodes of a policy as a Minari data set, in MINARI_DATASETS_PATH or ~/.minari/datasets.",
    )
    parser.add_argument("--dataset", required=True, metavar="ID", help="NAMESPACE/NAME-v0 or NAME-v0, not in use yet")
    parser.add_argument(
        "--policy", default="exact", metavar="NAME", help=f"{', '.join(POLICY_NAMES)} (default: %(default)s)"
    )
    parser.add_argument("--env", choices=("Sequential", "Joint"), default="Sequential", help="default: %(default)s")
    add_scenario_options(parser)
    parser.add_argument("--num-episodes", type=int, default=1_000, help="default: %(default)s")
    parser.add_argument("--num-epochs", type=int, default=10, help="epochs of an episode (default: %(default)s)")
    parser.add_argument("--explored-share", type=float, default=0.0, help="share of epochs with some random choices")
    parser.add_argument("--expert-labels", action="store_true", help="also what the expert says of each observation")
    parser.add_argument("--seed", type=int, default=1, help="test instances never share it (default: %(default)s)")
    options = parser.parse_args(arguments)
    scenario = chosen_scenario(options)
    from offload_gym.interop.minari import make_minari_dataset

    start = time.perf_counter()
    dataset = make_minari_dataset(
        options.dataset,
        options.policy,
        f"offload_gym/{options.env}-v0",
        num_episodes=options.num_episodes,
        seed=seed_for("training", options.seed),
        scenario=scenario,
        objective=options.objective,
        num_epochs=options.num_epochs,
        observation_noise=options.observation_noise,
        explored_share=options.explored_share,
        expert_labels=options.expert_labels,
    )
    rate = options.num_episodes / (time.perf_counter() - start)
    of_policies = dataset.storage.metadata
    print(
        f"{dataset.total_episodes:,} episodes, {dataset.total_steps:,} steps, {rate:,.0f} episodes a second: "
        f"{dataset.storage.data_path}\n"
        f"mean return: random {of_policies['ref_min_score']:.3f}, expert {of_policies['ref_max_score']:.3f}"
    )


def _clone(arguments: list[str]) -> None:
    parser = _parser(
        "clone",
        "Train networks on a Minari data set of offload_gym/Sequential-v0, and teachers on as many "
        "labelled instances, and print their gaps on fresh instances.",
    )
    parser.add_argument("--dataset", required=True, metavar="ID", help="a data set of the scenario below")
    add_scenario_options(parser, objectives=COMPLETION_OBJECTIVES)
    parser.add_argument(
        "--targets",
        metavar="NAME",
        help="what to learn: actions (what was done), or, where the data set has them, expert_action (what the expert "
        "would do) or regret (what each choice costs, as the teacher; default where the data set has it)",
    )
    parser.add_argument("--num-runs", type=int, default=2, help="networks of each kind (default: %(default)s)")
    parser.add_argument("--passes", type=int, default=24, help="over the data (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of labels and weights (default: %(default)s)")
    parser.add_argument("--output", metavar="FILE", help="where the best clone is saved, a policy file")
    options = parser.parse_args(arguments)
    scenario = chosen_scenario(options)
    check_count("num_runs", options.num_runs)
    from agents.clone import clone, markdown_table
    from agents.training import Settings

    settings = Settings(
        scenario,
        options.objective,
        options.observation_noise,
        seed=options.seed,
        teacher_passes=options.passes,
    )
    print(markdown_table(clone(options.dataset, settings, options.targets, options.num_runs, options.output)))


if __name__ == "__main__":
    starting.begun()
    sys.exit(main())
