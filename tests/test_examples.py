"""The examples train, with the libraries that they are for: ``make test-interop``."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import offload_gym

EXAMPLES = Path(__file__).parents[1] / "examples"
JOINT = ("--env-id", "offload_gym:offload_gym/Joint-v0")
COMMANDS = (
    ("sb3_ppo.py",),
    ("sb3_contrib_maskable_ppo.py",),
    ("cleanrl_ppo.py",),
    ("cleanrl_ppo.py", *JOINT),
    ("cleanrl_dqn.py",),
    ("rllib_ppo.py",),
    ("tianshou_dqn.py",),
    ("torchrl_ppo.py",),
)


def gaps(text):
    """Mean gaps in % from the table that an example ends with."""
    return {name: float(gap) for name, gap in re.findall(r"^(\w+) +[\d.]+ +(-?[\d.]+)$", text, flags=re.M)}


@pytest.fixture
def evaluation(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import evaluation

    return evaluation


def test_every_example_is_run_and_has_a_row_in_the_table():
    assert {command[0] for command in COMMANDS} == {path.name for path in EXAMPLES.glob("*_*.py")}
    page = (EXAMPLES.parent / "docs" / "libraries.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"| `{' '.join(command)}` |" in page


@pytest.mark.interop
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_example_learns(command):
    run = subprocess.run(
        [sys.executable, EXAMPLES / command[0], *command[1:]],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    print(run.stdout)
    found = gaps(run.stdout)
    assert found["optimum"] == 0
    # A random policy is more than 100 % above the optimum, and what has learned at most a quarter of that.
    assert found["random"] > 100
    assert found["trained"] < 0.25 * min(found["random"], 120)
    assert found["trained"] < found["untrained"]


@pytest.mark.parametrize("name", ["Joint", "Sequential"])
def test_the_table_says_what_was_reached(name, evaluation, capsys):
    scenario = {"name": "default", "num_tasks": 1, "max_tasks": 3}
    envs = evaluation.fresh_epochs(f"offload_gym:offload_gym/{name}-v0", scenario=scenario)
    local_s = evaluation.latency_s(envs, lambda _: np.zeros(envs.action_space.shape, dtype=np.int64))
    envs.reset(seed=evaluation.SEED)
    instances = envs.instances
    greedy = offload_gym.make_policy("greedy").decide(instances)
    step = iter(range(3))
    greedy_s = evaluation.latency_s(envs, lambda _: greedy if name == "Joint" else greedy[:, next(step)])
    evaluation.report(envs, local_s, greedy_s)
    found = gaps(capsys.readouterr().out)
    assert found["trained"] == found["greedy"] > found["optimum"] == 0
    assert found["untrained"] > 100
    np.testing.assert_allclose(local_s, offload_gym.latency(instances, np.zeros_like(greedy)), rtol=1e-12)


def test_an_id_with_its_module_needs_no_import():
    program = """if True:
        import gymnasium as gym
        gym.make("offload_gym:offload_gym/Joint-v0").reset(seed=0)
        for mode in ("sync", "vector_entry_point"):
            gym.make_vec("offload_gym:offload_gym/Sequential-v0", num_envs=2, vectorization_mode=mode).reset(seed=0)
    """
    subprocess.run([sys.executable, "-c", program], check=True)
