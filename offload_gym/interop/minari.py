"""Minari data sets (https://minari.farama.org) of episodes of the environments."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.random import SeedSequence
from numpy.typing import NDArray

import offload_gym
from offload_gym.array_checks import check_count
from offload_gym.checks import quoted, shortened
from offload_gym.delay import check_decisions
from offload_gym.demonstrations import label
from offload_gym.envs.epochs import NUM_EPOCHS
from offload_gym.envs.recording import Act, Episode, record_episodes
from offload_gym.envs.vector import VectorEpochEnv
from offload_gym.files import MOST_UNPACKED
from offload_gym.instances import Instances
from offload_gym.policies import Policy, make_policy, preset_of
from offload_gym.scenario import Scenario, as_scenario, with_absolute_paths
from offload_gym.seeds import as_seed_sequence

try:
    import minari
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_dataset import MinariDataset, parse_dataset_id
    from minari.dataset.minari_storage import MinariStorage
    from minari.namespace import create_namespace, list_local_namespaces
    from minari.storage import get_dataset_path
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "offload_gym.interop.minari needs Minari with HDF5; install the extra: pip install 'offload-gym[minari]'"
    ) from error

JOINT, SEQUENTIAL = "offload_gym/Joint-v0", "offload_gym/Sequential-v0"
EXPERT = "exact"
BATCH = 1024  # episodes that are recorded at a time
MAX_EPOCHS = 20_000  # of such a batch together
OPTIMAL = 1e-9  # regret below which a choice counts as one of the expert's


# Parameters: options of a public call that takes seconds, most of them what Minari's metadata ask for.
def make_minari_dataset(
    dataset_id: str,
    policy: str | Policy = EXPERT,
    env_id: str = SEQUENTIAL,
    *,
    num_episodes: int,
    seed: int | SeedSequence = 0,
    scenario: str | Mapping[str, Any] | Scenario = "default",
    objective: str = "makespan",
    num_epochs: int = NUM_EPOCHS,
    carry_over: bool = False,
    observation_noise: float | str = 0.0,
    explored_share: float = 0.0,
    exploration_rate: float = 0.25,
    expert_labels: bool = False,
    algorithm_name: str | None = None,
    author: str = "",
    author_email: str = "",
    description: str | None = None,
    num_episodes_average_score: int = 1000,
) -> MinariDataset:
    """Record episodes of a policy as a Minari data set, under the folder MINARI_DATASETS_PATH or ~/.minari/datasets.

    Replaying the actions of an episode in ``dataset.recover_environment()``, reset with the episode's seed, gives its
    observations and rewards again, exactly. The data set appears once it is whole, or not at all.

    Args:
        dataset_id: "NAMESPACE/NAME-v0" or "NAME-v0", not in use yet.
        policy: the name of a built-in policy, or any policy.
        env_id: "offload_gym/Sequential-v0" or "offload_gym/Joint-v0".
        num_episodes: at least 1.
        seed: of the episodes' seeds, the random choices and the random policy.
        scenario: as in the environments, like the next four. A ``Scenario`` or a dict is kept with all its fields, a
            trace by the absolute path of its file.
        objective: one of ``offload_gym.OBJECTIVES``.
        num_epochs: epochs of an episode.
        carry_over: whether work that is left when an epoch ends stays in the queues.
        observation_noise: what the policy knows of rates and backlogs.
        explored_share: share of the epochs in which some choices are random. The expert goes on from there as well as
            it still can; another policy keeps the rest of its decision.
        exploration_rate: probability of a random choice for a task of such an epoch.
        expert_labels: whether ``infos`` also hold what the expert says of each observation: ``expert_action``, in the
            form of an action (the action itself where it is optimal, given the choices before it), and, of
            "offload_gym/Sequential-v0", ``regret`` (K,), what each location costs relative to the best one. They come
            from the truth. The last observation of an episode has -1 and NaN.
        algorithm_name: None: the name of the policy, or that of its class.
        author: who made the data set.
        author_email: how to reach them.
        description: None: one sentence of what it holds.
        num_episodes_average_score: episodes whose mean returns under the random policy and the expert are measured as
            ``ref_min_score`` and ``ref_max_score``; 0: neither is.

    Returns:
        The data set, as ``minari.load_dataset`` loads it. ``infos`` of an observation are those of the step that led
        to it: ``latency_s``, ``makespan_s`` and ``energy_j`` where that step was an epoch's last one, else NaN. Its
        metadata (``dataset.storage.metadata``) also have ``policy``, ``objective``, ``scenario`` (all fields), ``seed``
        (entropy and spawn_key), ``explored_share`` and ``exploration_rate``.

    Raises:
        ValueError: an argument is unknown or out of its bounds, or the data set exists.
    """
    if env_id not in (JOINT, SEQUENTIAL):
        raise ValueError(f"env_id is {env_id!r}; it must be {SEQUENTIAL!r} or {JOINT!r}")
    check_count("num_episodes", num_episodes)
    check_count("num_epochs", num_epochs)
    if num_episodes_average_score != 0:
        check_count("num_episodes_average_score", num_episodes_average_score)
    for name, value in (("explored_share", explored_share), ("exploration_rate", exploration_rate)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}; it must be from 0 to 1")
    folder = _new_folder(dataset_id)
    base = as_seed_sequence(seed)
    of_episodes, of_choices, of_scores = (
        SeedSequence(base.entropy, spawn_key=(*base.spawn_key, i)) for i in range(3)
    )  # not base.spawn(3), which counts its calls

    plain, fields = _plain(scenario)
    settings: dict[str, Any] = {
        "scenario": plain,
        "objective": objective,
        "num_epochs": num_epochs,
        "carry_over": carry_over,
        "observation_noise": observation_noise,
    }
    env = gym.make(env_id, **settings)
    rng = np.random.default_rng(of_choices)
    preset = preset_of(as_scenario(scenario))
    acting = _built_in(policy, objective, rng, preset) if isinstance(policy, str) else policy

    def act(seen: Instances, true: Instances) -> tuple[NDArray[np.int64], dict[str, NDArray]]:
        shape = (len(seen), seen.num_tasks)
        explored = (rng.random((len(seen), 1)) < explored_share) & (rng.random(shape) < exploration_rate)
        exploration = np.where(explored, rng.integers(0, seen.num_locations, shape), -1)
        if policy == EXPERT and explored_share > 0:
            plan = label(seen, objective, exploration).prefixes
        else:
            plan = np.where(explored, exploration, check_decisions(seen, acting.decide(seen)))
        return plan, _expert(true, objective, plan, env_id == JOINT) if expert_labels else {}

    name = algorithm_name or (policy if isinstance(policy, str) else type(policy).__name__)
    metadata: dict[str, Any] = {
        "dataset_id": dataset_id,
        "minari_version": minari.__version__,
        "algorithm_name": name,
        "code_permalink": "",
        "description": description
        or f"{num_episodes} episodes of {num_epochs} decision epochs of the scenario {as_scenario(scenario).label!r}, "
        f"decided by {name!r} for the objective {objective!r}.",
        "requirements": [f"offload-gym=={offload_gym.__version__}"],
        "policy": policy if isinstance(policy, str) else type(policy).__name__,
        "objective": objective,
        "scenario": fields,
        "seed": {"entropy": base.entropy, "spawn_key": list(base.spawn_key)},
        "explored_share": explored_share,
        "exploration_rate": exploration_rate,
    }
    metadata |= {key: {value} for key, value in (("author", author), ("author_email", author_email)) if value}
    if num_episodes_average_score:
        for score, reference in (("ref_min_score", "random"), ("ref_max_score", EXPERT)):
            scored = _built_in(reference, objective, np.random.default_rng(of_scores), preset)
            metadata[score] = _mean_return(env_id, settings, num_episodes_average_score, of_scores, scored)
        metadata["num_episodes_average_score"] = num_episodes_average_score
    _write(folder, metadata, env, _record(env_id, settings, num_episodes, of_episodes, act))
    return minari.load_dataset(dataset_id)


def _record(
    env_id: str, settings: dict[str, Any], num_episodes: int, seeds: SeedSequence, act: Act
) -> Iterator[Episode]:
    # 63 bits: HDF5 keeps a seed as a signed number.
    numbers = (seeds.generate_state(num_episodes, np.uint64) >> np.uint64(1)).tolist()
    # A batch is in memory: no more than so many epochs of it.
    size = max(min(BATCH, MAX_EPOCHS // settings["num_epochs"]), 1)
    for start in range(0, num_episodes, size):
        part = numbers[start : start + size]
        envs = gym.make_vec(env_id, len(part), vectorization_mode="vector_entry_point", **settings)
        assert isinstance(envs, VectorEpochEnv)
        yield from record_episodes(envs, part, act)
        envs.close()


def _mean_return(
    env_id: str, settings: dict[str, Any], num_episodes: int, seeds: SeedSequence, policy: Policy
) -> float:
    def act(seen: Instances, true: Instances) -> tuple[NDArray[np.int64], dict[str, NDArray]]:
        return policy.decide(seen), {}

    return float(np.mean([episode.rewards.sum() for episode in _record(env_id, settings, num_episodes, seeds, act)]))


def load_minari_dataset(
    dataset_id: str,
    env_id: str,
    scenario: str | Mapping[str, Any] | Scenario,
    objective: str = "makespan",
    observation_noise: float | str = 0.0,
) -> MinariDataset:
    """A local data set that was recorded in one environment, as ``minari.load_dataset`` loads it.

    Args:
        dataset_id: of the data set, which this package need not have made.
        env_id: of the environment that it must be of, like the next three.
        scenario: a preset's name, a dict with its name and what to change in it, or a ``Scenario``.
        objective: one of ``offload_gym.OBJECTIVES``.
        observation_noise: what the policy knew of rates and backlogs.

    Raises:
        ValueError: there is no such data set, it cannot be read, or it is of another environment, scenario, objective
            or noise.
    """
    _namespace_of(dataset_id)
    if not (get_dataset_path(dataset_id) / "data").is_dir():
        raise ValueError(f"dataset_id is {dataset_id!r}; {get_dataset_path()} has no such Minari data set")
    wanted = as_scenario(_plain(scenario)[0])
    of = f"the Minari data set {dataset_id!r} is of"
    with told(dataset_id):
        dataset = minari.load_dataset(dataset_id)
        _check_sizes(Path(dataset.storage.data_path) / "main_data.hdf5")
        spec, observation_space = dataset.env_spec, dataset.observation_space
        given = {} if spec is None else dict(spec.kwargs)
        found = as_scenario(_plain(given.get("scenario", "default"))[0])
    if spec is None or spec.id != env_id:
        raise ValueError(f"{of} the environment {quoted(spec and spec.id)}; it must be of {env_id!r}")
    for field in dataclasses.fields(Scenario):
        ours, theirs = getattr(wanted, field.name), getattr(found, field.name)
        if ours != theirs and field.name != "name":  # a name has no effect of its own
            if found.name != wanted.name:
                raise ValueError(f"{of} the scenario {quoted(found.label)}; it must be of {wanted.label!r}")
            raise ValueError(f"{of} a scenario with {field.name} {quoted(theirs)}; it must be of one with {ours!r}")
    for name, ours in (("objective", objective), ("observation_noise", observation_noise)):
        theirs = given.get(name, "makespan" if name == "objective" else 0.0)
        if theirs != ours:
            raise ValueError(f"{of} the {name} {quoted(theirs)}; it must be of {ours!r}")
    space = gym.make(env_id, scenario=_plain(scenario)[0], objective=objective).observation_space
    if observation_space != space or spec.additional_wrappers:
        raise ValueError(
            f"the Minari data set {dataset_id!r} has observations of {shortened(str(observation_space))}; they must be "
            f"those of the environment without wrappers, {space}"
        )
    return dataset


@contextmanager
def told(dataset_id: str) -> Iterator[None]:
    """ValueError in one sentence where a data set is read and damaged: Minari and HDF5 have many kinds of errors."""
    try:
        yield
    except Exception as error:
        reason = f"{type(error).__name__}: {shortened(str(error))}"
        raise ValueError(f"the Minari data set {dataset_id!r} cannot be read: {reason}") from None


def _check_sizes(path: Path) -> None:
    """ValueError where the arrays of a file claim to be much more than it is: HDF5 would fill in what is not there."""
    if not path.is_file():  # another storage of Minari's
        return
    import h5py

    claimed = 0

    def add(_: str, part: Any) -> None:
        nonlocal claimed
        if isinstance(part, h5py.Dataset):
            claimed += math.prod(part.shape or ()) * part.dtype.itemsize

    with h5py.File(path) as file:
        file.visititems(add)
    if claimed > MOST_UNPACKED * path.stat().st_size:
        raise ValueError(f"its arrays are {claimed:,} bytes, more than {MOST_UNPACKED} times the file")


def _namespace_of(dataset_id: str) -> str | None:
    try:
        return parse_dataset_id(dataset_id)[0]
    except (TypeError, ValueError):  # TypeError: it has no version
        raise ValueError(
            f"dataset_id is {dataset_id!r}; it must be 'NAME-v0' or 'NAMESPACE/NAME-v0', of letters, "
            "digits, - and _, the namespace of two or more"
        ) from None


def _new_folder(dataset_id: str) -> Path:
    _namespace_of(dataset_id)
    folder = get_dataset_path(dataset_id)
    if folder.exists():
        raise ValueError(f"dataset_id is {dataset_id!r}; {folder} exists already: choose another name or version")
    return folder


def _plain(scenario: str | Mapping[str, Any] | Scenario) -> tuple[str | dict[str, Any], dict[str, Any]]:
    """A scenario as an argument that goes to JSON and back, and all its fields."""
    checked = with_absolute_paths(as_scenario(scenario))
    fields = json.loads(json.dumps(checked.to_dict()))
    return scenario if isinstance(scenario, str) else fields, fields


def _built_in(name: str, objective: str, rng: np.random.Generator, preset: str) -> Policy:
    return make_policy(name, objective, seed=int(rng.integers(2**63)), preset=preset)


def _expert(true: Instances, objective: str, plan: NDArray[np.int64], joint: bool) -> dict[str, NDArray]:
    """What the expert says of each observation on the way of a plan."""
    if joint:
        return {"expert_action": make_policy(EXPERT, objective).decide(true)}
    regret = label(true, objective, plan).regret
    taken = np.take_along_axis(regret, plan[:, :, None], axis=2)[:, :, 0]
    best = np.where(np.isnan(regret), np.inf, regret).argmin(axis=2)
    return {"expert_action": np.where(taken <= OPTIMAL, plan, best), "regret": regret}


def _write(folder: Path, metadata: Mapping[str, Any], env: gym.Env, episodes: Iterator[Episode]) -> None:
    """Write a data set beside its folder, in one that Minari does not list, and move it there once it is whole."""
    namespace = _namespace_of(metadata["dataset_id"])
    if namespace is not None and namespace not in list_local_namespaces():
        create_namespace(namespace)
    with tempfile.TemporaryDirectory(prefix=".", dir=get_dataset_path()) as temporary:
        whole = Path(temporary) / "dataset"
        whole.mkdir()
        storage = MinariStorage.new(whole / "data", env.observation_space, env.action_space, env.spec, "hdf5")
        storage.update_metadata(dict(metadata))
        storage.update_episodes(EpisodeBuffer(**episode._asdict()) for episode in episodes)
        os.replace(whole, folder)
