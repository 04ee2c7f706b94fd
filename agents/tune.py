"""``python -m agents tune``: hyperparameters of a reinforcement-learning agent, chosen on validation instances.

Optuna proposes trials (tree-structured Parzen estimator; the first trial is what ``HYPERPARAMETERS`` has) and stops
those early that are behind the median of the others. Each trial is kept as soon as it is done, so that a study can be
interrupted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from agents.networks import one_thread
from agents.reinforcement import CLONED, GAP, HYPERPARAMETERS, KeepBest, gap_on, make_agent, placements_a_step
from offload_gym.demonstrations import generate_demonstrations
from offload_gym.files import keep_settings
from offload_gym.scenario import Scenario
from offload_gym.seeds import seed_for

TUNABLE = tuple(name for name in HYPERPARAMETERS if name != CLONED)
NUM_VALIDATION = 4_000
STUDY = "study.log"
WARM_UP_TRIALS = 5  # run to the end before any is stopped
WARM_UP_CHECKS = 5


def suggest_for_dqn(trial: optuna.Trial) -> dict[str, float]:
    """Hyperparameters of DQN and its relatives for one trial."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [128, 256, 512]),
        "gradient_steps": trial.suggest_categorical("gradient_steps", [4, 8, 16]),
        "buffer_size": trial.suggest_categorical("buffer_size", [30_000, 100_000, 300_000]),
        "target_update": trial.suggest_categorical("target_update", [500, 1_000, 4_000, 16_000]),
        "explored": trial.suggest_float("explored", 0.1, 0.6),
    }


def suggest(name: str, trial: optuna.Trial) -> dict[str, float]:
    """Hyperparameters of one trial, of the names that ``HYPERPARAMETERS`` has for the agent."""
    if name.startswith("ppo"):
        return {
            "learning_rate": trial.suggest_float("learning_rate", 2e-4, 6e-3, log=True),
            "placements": trial.suggest_categorical("placements", [2048, 4096, 8192, 16384]),
            "passes": trial.suggest_int("passes", 4, 16, step=4),
            "batches": trial.suggest_categorical("batches", [4, 8, 16, 32]),
            "gae_lambda": trial.suggest_float("gae_lambda", 0.8, 1.0),
            "entropy": trial.suggest_categorical("entropy", [0.0, 1e-4, 1e-3]),
        }
    chosen = suggest_for_dqn(trial)
    if name.startswith("qrdqn"):
        chosen["quantiles"] = trial.suggest_categorical("quantiles", [10, 25, 50])
    return chosen


@one_thread()
def tune(
    name: str,
    folder: Path,
    scenario: Scenario,
    objective: str,
    num_trials: int,
    num_placements: int,
    seed: int,
    observation_noise: float | str = 0.0,
) -> optuna.Study:
    """Run trials until the study of the agent has ``num_trials``, and print the best one's hyperparameters.

    Args:
        name: an agent of ``TUNABLE``.
        folder: the study is in ``<folder>/<name>``.
        scenario: what the agents learn.
        objective: what they minimise.
        num_trials: including those that are done already.
        num_placements: tasks that each trial places, unless it is stopped.
        seed: of instances, weights and proposals; the validation instances are those of training with this seed.
        observation_noise: what the agents know of rates and backlogs, as in the environments.

    Returns:
        The study; its values are mean gaps on validation.

    Raises:
        ValueError: the agent is unknown, num_placements is below those of one step, or the folder has a study of
            something else.
    """
    if name not in TUNABLE:
        raise ValueError(f"agent is {name!r}; it must be one of {', '.join(TUNABLE)}")
    if num_placements < placements_a_step(name, scenario):
        raise ValueError(
            f"num_placements is {num_placements}; it must be at least the {placements_a_step(name, scenario)} of a step"
        )
    made_of = {
        "scenario": asdict(scenario),
        "objective": objective,
        "observation_noise": observation_noise,
        "num_placements": num_placements,
        "seed": seed,
    }
    validation = generate_demonstrations(
        scenario,
        NUM_VALIDATION,
        seed_for("validation", seed),
        objective,
        alternatives=False,
        observation_noise=observation_noise,
    )

    def run(trial: optuna.Trial, behind: Callable[[float], bool]) -> float | None:
        agent = make_agent(name, scenario, objective, seed, observation_noise, suggest(name, trial))
        steps = num_placements // placements_a_step(name, scenario)
        measure = gap_on(scenario, validation)
        keeper = KeepBest(steps, f"trial {trial.number + 1} of {num_trials}", measure, GAP, behind)
        agent.learn(steps, callback=keeper)
        return None if keeper.stopped else keeper.least

    unit = f"{num_placements:,} placements", "validation gap"
    return run_study(name, folder / name, made_of, HYPERPARAMETERS[name], run, num_trials, seed, unit)


def cut_to_whole_lines(path: Path) -> None:
    """Cut off the last line of a study where it is there in part: what is added to it could never be read.

    A process that was killed leaves it, or a full disk.
    """
    if path.exists():
        lock = JournalFileSymlinkLock(str(path))  # that of those who add lines
        lock.acquire()
        try:
            os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
        finally:
            lock.release()


def run_study(
    name: str,
    folder: Path,
    made_of: Mapping[str, Any],
    first: Mapping[str, float],
    run: Callable[[optuna.Trial, Callable[[float], bool]], float | None],
    num_trials: int,
    seed: int,
    unit: tuple[str, str],
) -> optuna.Study:
    """Run trials until a study has ``num_trials``, and print the best one's hyperparameters.

    Args:
        name: of the study.
        folder: where it is kept.
        made_of: its settings, which a study in the folder must have, too.
        first: hyperparameters of the first trial.
        run: trains with what it asks the trial for and returns the least value of its checks, or None where the second
            argument, which it calls with the value of each check, said to stop.
        num_trials: including those that are done already.
        seed: of the proposals.
        unit: what a trial may use and what its value is, for people.

    Raises:
        ValueError: the folder has a study of something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keep_settings(folder / "settings.json", made_of, STUDY)
    # Whole: of a relative path Optuna never notices that the process which locked the study was killed.
    path = (folder / STUDY).resolve()
    cut_to_whole_lines(path)

    def value(trial: optuna.Trial) -> float:
        checks = count(1)

        def behind(least: float) -> bool:
            trial.report(least, next(checks))
            return trial.should_prune()

        reached = run(trial, behind)
        if reached is None:
            raise optuna.TrialPruned
        return reached

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        study_name=name,
        storage=JournalStorage(JournalFileBackend(str(path))),
        pruner=optuna.pruners.MedianPruner(WARM_UP_TRIALS, WARM_UP_CHECKS),
        load_if_exists=True,
    )
    ended = study.get_trials(states=(optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED))
    if not ended:
        study.enqueue_trial(dict(first))
    # A study that goes on must not propose again what it began with.
    study.sampler = optuna.samplers.TPESampler(seed=(seed + len(study.trials)) % 2**32)
    study.optimize(value, n_trials=max(num_trials - len(ended), 0))
    complete = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    stopped = study.get_trials(states=(optuna.trial.TrialState.PRUNED,))
    print(
        f"{name}, {unit[0]} a trial, {len(complete)} trials complete and {len(stopped)} stopped: "
        f"{unit[1]} {study.best_value:.2%} in the best, trial {study.best_trial.number + 1}; "
        f"{complete[0].value:.2%} in the first, with what `python -m agents` had when the study began"
    )
    print(", ".join(f"{key}={value:g}" for key, value in study.best_params.items()))
    return study
