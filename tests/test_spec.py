import json
from enum import Enum
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode

from offload_gym.envs.epochs import EpochEnv
from offload_gym.envs.spec import plain

FORMS = ("offload_gym/Joint-v0", "offload_gym/Sequential-v0")
NUMPY = {
    "name": "default",
    "num_tasks": np.int64(3),
    "input_bits": (np.float64(4e5), np.float32(5e5)),
    "task_types": np.array([[1e6, 1e5, 1e9]]),
    "epoch_s": np.float64(0.5),
}
PLAIN = {
    "name": "default",
    "num_tasks": 3,
    "input_bits": (4e5, 5e5),
    "task_types": [[1e6, 1e5, 1e9]],
    "epoch_s": 0.5,
}


class Choice(Enum):
    ONE = "one"


def test_plain_values_go_to_json():
    given = {"a": np.int8(1), "b": [np.float32(0.5), (np.bool_(True), "x")], "c": Path("a") / "b", "d": Choice.ONE}
    made = plain(given)
    assert made == {"a": 1, "b": [0.5, (True, "x")], "c": str(Path("a") / "b"), "d": "one"}
    assert json.loads(json.dumps(made))["b"][1] == [True, "x"]
    assert isinstance(given["a"], np.int8)  # what is given stays as it is


@pytest.mark.parametrize("env_id", FORMS)
def test_a_scenario_with_numbers_of_numpy_goes_to_json_and_back(env_id):
    arguments = {"num_epochs": np.int64(2), "observation_noise": np.float32(0.25), "roll_outs": False}
    env = gym.make(env_id, scenario=NUMPY, **arguments)
    assert env.spec.kwargs["scenario"] == PLAIN
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.scenario == env.unwrapped.scenario
    assert (again.unwrapped.num_epochs, again.unwrapped.observation_noise, again.unwrapped.roll_outs) == (
        2,
        0.25,
        False,
    )
    np.testing.assert_array_equal(again.reset(seed=0)[0], env.reset(seed=0)[0])


@pytest.mark.parametrize("env_id", FORMS)
def test_so_does_that_of_native_vector_environments(env_id):
    mode = AutoresetMode.SAME_STEP
    envs = gym.make_vec(env_id, 2, "vector_entry_point", scenario=NUMPY, autoreset_mode=mode, roll_outs=False)
    again = gym.make_vec(EnvSpec.from_json(envs.spec.to_json()))
    assert (type(again), again.num_envs, again.autoreset_mode) == (type(envs), 2, mode)
    np.testing.assert_array_equal(again.reset(seed=0)[0], envs.reset(seed=0)[0])


def test_an_environment_made_by_its_class_has_no_spec():
    assert EpochEnv.spec is None
    made = gym.make(FORMS[0]).unwrapped
    assert made.spec.id == FORMS[0]
    made.spec = None
    assert made.spec is None
    assert type(made)().spec is None
