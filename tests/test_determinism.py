"""The same seed gives the same bytes: in any process, with any number of threads, however processes are started."""

import hashlib
import multiprocessing
import os
import subprocess
import sys

import gymnasium as gym
import joblib
import numpy as np
import pytest
from stream_states import random_network as random_stream_network
from test_networks import random_network

import offload_gym
from agents.networks import save_policy
from agents.training import Settings, train_all
from offload_gym.demonstrations import generate_demonstrations, save_demonstrations
from offload_gym.interop.minari import make_minari_dataset
from offload_gym.interop.parquet import save_parquet
from offload_gym.scenario import make_scenario
from offload_gym.streams.labels import label_streams
from offload_gym.streams.networks import save_stream_policy
from offload_gym.streams.planner import Effort
from offload_gym.streams.policies import PlannerPolicy, make_stream_policy
from offload_gym.tensor_files import read_safetensors

MODES = ("single", "sync", "vector_entry_point")
ENVIRONMENTS = ("Joint-v0", "Sequential-v0", "Stream-v0")


def digest_of(*parts):
    """A digest of arrays, bytes and files' contents."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).tobytes())
    return state.hexdigest()[:16]


def played(name, mode, seed, steps=40):
    """Observations, rewards and endings of random actions; of several environments, the first one's."""
    env_id, parts = f"offload_gym/{name}", []
    scenario = "stream" if name == "Stream-v0" else "default"
    env = gym.make(env_id, scenario=scenario)
    if mode != "single":
        env.close()
        env = gym.make_vec(env_id, num_envs=3, vectorization_mode=mode, scenario=scenario)
    env.action_space.seed(seed)
    observation, _ = env.reset(seed=seed)
    parts.append(np.array(observation))
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        parts += [np.array(observation), np.float64(reward), np.array(terminated), np.array(truncated)]
        if mode == "single" and (terminated or truncated):
            observation, _ = env.reset()
            parts.append(np.array(observation))
    env.close()
    return digest_of(*parts)


def everything(folder):
    """Digests by what they are of."""
    instances = offload_gym.sample_instances({"name": "dag", "num_tasks": 6}, 30, seed=3)
    streams = offload_gym.sample_streams({"name": "stream_cell", "num_jobs": 60}, 4, seed=3)
    base = make_stream_policy("queue-price", "stream")
    planner = PlannerPolicy(make_scenario("stream", num_jobs=20), base, Effort(8, 20, 4, 3.0), "response", 0)
    labels = label_streams(planner, base, 3, seed=5)
    save_policy(folder / "network.safetensors", random_network())
    save_stream_policy(folder / "stream.safetensors", random_stream_network(8))
    save_demonstrations(folder / "labels.npz", generate_demonstrations("default", 40, seed=3))
    found = {
        "instances": digest_of(*instances.batch),
        "solutions": digest_of(*offload_gym.solve(instances)),
        "streams": digest_of(*(part for part in streams.batch if isinstance(part, np.ndarray))),
        "responses": digest_of(offload_gym.play(streams, make_stream_policy("student", "stream_cell")).response_s),
        "labels of streams": digest_of(*(np.asarray(part) for part in labels)),
        "policy file": digest_of((folder / "network.safetensors").read_bytes()),
        "stream policy file": digest_of((folder / "stream.safetensors").read_bytes()),
        "labels": digest_of(*(array for _, array in sorted(np.load(folder / "labels.npz").items()))),
    }
    found |= {f"{name}, {mode}": played(name, mode, 7) for name in ENVIRONMENTS for mode in MODES}
    return found


def trained(folder):
    """The networks of a small training, by name: their files, but for the seconds that their training took."""
    small = Settings(
        scenario=make_scenario(num_tasks=3), num_labels=300, num_validation=60, teacher_encoder=(8,), teacher_head=(8,),
        student_encoder=(4,), student_head=(4,), teacher_passes=2, student_passes=2, rl_placements=256, device="cpu",
    )  # fmt: skip
    train_all(folder, small, lambda said: None, ("sequential-teacher", "sequential-student", "ppo-sequential"))
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors, told = read_safetensors(path)
        told.pop("learning_curve", None)  # it has times
        arrays = [array for _, array in sorted(tensors.items())]
        found[path.name] = digest_of(*arrays, repr(sorted(told.items())).encode())
    return found


def in_a_process(connection, folder):
    from pathlib import Path

    connection.send(everything(Path(folder)))


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return everything(tmp_path_factory.mktemp("here"))


def test_again_in_this_process(expected, tmp_path):
    assert everything(tmp_path) == expected


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_in_processes_however_they_are_started(method, expected, tmp_path):
    context = multiprocessing.get_context(method)
    here, there = context.Pipe()
    process = context.Process(target=in_a_process, args=(there, str(tmp_path)))
    process.start()
    assert here.poll(300)
    assert here.recv() == expected
    process.join()


@pytest.mark.parametrize(
    "environment",
    [{"NUMBA_NUM_THREADS": "1"}, {"NUMBA_NUM_THREADS": "7"}, {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "5"}],
)
def test_with_any_number_of_threads_and_hashes(environment, expected, tmp_path):
    script = f"import sys; from pathlib import Path; sys.path.insert(0, {os.path.dirname(__file__)!r});"
    script += f"import test_determinism as t; print(t.everything(Path({str(tmp_path)!r})))"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(expected)


def test_training_on_one_machine_repeats_to_the_byte(tmp_path_factory):
    """On another processor sums of torch and of layers may be rounded otherwise: docs/reliability.md says how far."""
    here, there = (tmp_path_factory.mktemp(name) for name in ("here", "there"))
    script = f"import sys; from pathlib import Path; sys.path.insert(0, {os.path.dirname(__file__)!r});"
    script += f"import test_determinism as t; print(t.trained(Path({str(there)!r})))"
    environment = {**os.environ, "OMP_NUM_THREADS": "3", "PYTHONHASHSEED": "5"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300)
    expected = trained(here)
    assert len(expected) == 3
    assert done.stdout.strip().splitlines()[-1:] == [str(expected)], done.stderr


@pytest.mark.parametrize(
    ("backend", "num_jobs"), [("sequential", 1), ("threading", 2), ("loky", 2), ("multiprocessing", 2)]
)
def test_shards_whatever_joblib_uses(backend, num_jobs, tmp_path):
    with joblib.parallel_config(backend=backend):
        made = offload_gym.generate_shards(tmp_path, "default", 70, seed=4, shard_size=20, num_jobs=num_jobs)
    alone = offload_gym.generate_shards(tmp_path / "alone", "default", 70, seed=4, shard_size=20, num_jobs=1)
    assert [path.read_bytes() for path in made] == [path.read_bytes() for path in alone]
    assert len(made) == 4


def test_data_sets(tmp_path):
    labels = generate_demonstrations("default", 40, seed=3)
    for name in ("a.parquet", "b.parquet"):
        save_parquet(tmp_path / name, labels)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    played_into = []
    for folder in ("a", "b"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MINARI_DATASETS_PATH", str(tmp_path / folder))
            made = make_minari_dataset("repeated-v0", num_episodes=3, scenario="default", num_epochs=2, seed=9)
        episodes = [(e.observations, e.actions, e.rewards) for e in made.iterate_episodes()]
        played_into.append(digest_of(*(np.asarray(part) for episode in episodes for part in episode)))
    assert played_into[0] == played_into[1]


def test_native_vector_environments_are_several_single_ones(expected):
    for name in ENVIRONMENTS:
        assert expected[f"{name}, sync"] == expected[f"{name}, vector_entry_point"]


def test_other_seeds_give_other_bytes(expected):
    assert played("Joint-v0", "single", 8) != expected["Joint-v0, single"]
    assert len(set(expected.values())) == len(expected) - len(ENVIRONMENTS)  # see above
