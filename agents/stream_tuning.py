"""``python -m agents reinforce-streams --tune N``: hyperparameters, chosen on validation streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import optuna

from agents.stream_learning import StreamSettings, Validation
from agents.stream_reinforcement import HYPERPARAMETERS, train_agent
from agents.tune import run_study, suggest_for_dqn
from offload_gym.array_checks import check_count

# What trials leave as it is.
FIXED = ("num_jobs", "standardised", "against_greedy", "at_once", "num_envs", "critic_alone", "central")


def suggest(name: str, trial: optuna.Trial) -> dict[str, float]:
    """Hyperparameters of one trial, of the names that ``HYPERPARAMETERS`` has for the agent."""
    chosen: dict[str, float] = {"gamma": trial.suggest_categorical("gamma", [0.9, 0.95, 0.98, 0.99])}
    if name == "dqn":
        return chosen | suggest_for_dqn(trial)
    return chosen | {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True),
        "decisions": trial.suggest_categorical("decisions", [2048, 4096, 8192, 16384]),
        "passes": trial.suggest_int("passes", 4, 12, step=4),
        "batches": trial.suggest_categorical("batches", [8, 16, 32]),
        "gae_lambda": trial.suggest_float("gae_lambda", 0.7, 0.98),
        "entropy": trial.suggest_categorical("entropy", [0.0, 1e-3, 1e-2]),
    }


def tune(name: str, folder: str | Path, settings: StreamSettings, decisions: int, num_trials: int) -> optuna.Study:
    """Look for hyperparameters of an agent, as ``agents.tune`` does.

    Args:
        name: one of ``HYPERPARAMETERS``.
        folder: the study is in ``<folder>/tuning/<name>``.
        settings: what the agents learn; the validation streams are those of training.
        decisions: that each trial makes, unless it is stopped.
        num_trials: including those that are done already.

    Returns:
        The study; its values are changes of the cost against greedy on validation.
    """
    check_count("decisions", decisions)
    check_count("num_trials", num_trials)
    validation = Validation(settings)

    def run(trial: optuna.Trial, behind: Callable[[float], bool]) -> float | None:
        keeper = train_agent(name, settings, decisions, validation, suggest(name, trial), behind)
        return None if keeper.stopped else keeper.least

    unit = f"{decisions:,} decisions", "change against greedy on validation"
    made_of = asdict(settings) | {"num_decisions": decisions}
    first = {key: value for key, value in HYPERPARAMETERS[name].items() if key not in FIXED}
    return run_study(name, Path(folder) / "tuning" / name, made_of, first, run, num_trials, settings.seed, unit)
