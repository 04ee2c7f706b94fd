"""Parameter sharing: every device of every cell is one environment of stable-baselines3."""

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

from agents import cell as agents_cell
from agents.cell import CellVecEnv, train_shared_policy
from offload_gym.cell import cell_latency
from offload_gym.envs.cell import sample_cell
from offload_gym.interop.pettingzoo import CellEnv

SCENARIO = {"name": "default", "num_tasks": 3}


def make(num_cells=2, relative_reward=False, **changes):
    return CellVecEnv([CellEnv(SCENARIO, 3, num_epochs=2, **changes) for _ in range(num_cells)], relative_reward)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_steps_are_those_of_the_cells(relative, shared):
    envs, plain = make(2, relative, shared_reward=shared), make(2, shared_reward=shared).cells
    envs.seed(5)
    shown = envs.reset()
    expected = [cell.reset(seed=seed)[0] for cell, seed in zip(plain, (5, 8), strict=True)]
    rng = np.random.default_rng(0)
    for step in range(4):
        np.testing.assert_array_equal(shown, [row for cell in expected for row in cell.values()])
        actions = rng.integers(0, 3, (6, 3))
        shown, rewards, dones, infos = envs.step(actions)
        assert (rewards.dtype, dones.dtype, len(infos)) == (np.float32, np.bool_, 6)
        assert dones.tolist() == [step % 2 == 1] * 6
        for c, cell in enumerate(plain):
            rows = slice(3 * c, 3 * c + 3)
            expected[c], earned, _, _, told = cell.step(dict(zip(cell.agents, actions[rows], strict=True)))
            scale_s = np.array([told[agent]["scale_s"] for agent in told])
            if relative:
                divisor = scale_s.mean() if shared else scale_s
                np.testing.assert_allclose(rewards[rows], np.array(list(earned.values())) / divisor, rtol=1e-6)
            else:
                np.testing.assert_allclose(rewards[rows], list(earned.values()), rtol=1e-6)
            assert [info["latency_s"] for info in infos[rows]] == [told[agent]["latency_s"] for agent in told]
            if step % 2:
                last = [info["terminal_observation"] for info in infos[rows]]
                np.testing.assert_array_equal(last, list(expected[c].values()))
                expected[c] = cell.reset()[0]


def test_a_seed_counts_once():
    envs = make()
    envs.seed(5)
    first = envs.reset()
    assert (envs.reset() != first).any()
    envs.seed(5)
    np.testing.assert_array_equal(envs.reset(), first)


def test_it_is_a_vectorised_environment_of_stable_baselines3():
    envs = make()
    assert (envs.num_envs, len(envs.get_attr("scenario")), envs.get_attr("render_mode", 1)) == (6, 6, [None])
    assert envs.get_attr("num_epochs", [0, 5]) == [2, 2]
    assert envs.env_is_wrapped(VecMonitor) == [False] * 6
    for call in (lambda: envs.set_attr("num_epochs", 3), lambda: envs.env_method("reset")):
        with pytest.raises(NotImplementedError, match="those of a cell are one environment"):
            call()
    agent = PPO("MlpPolicy", VecMonitor(envs), n_steps=8, batch_size=16, n_epochs=1, device="cpu", seed=0)
    agent.learn(96)
    assert agent.num_timesteps == 96
    assert [len(agent.ep_info_buffer), agent.ep_info_buffer[0]["l"]] == [48, 2]
    envs.close()


def test_cells_must_be_alike():
    with pytest.raises(ValueError, match="cells is empty"):
        CellVecEnv([])
    with pytest.raises(ValueError, match="the cells differ; they must have the same scenario, objective"):
        CellVecEnv([CellEnv(SCENARIO, 2), CellEnv(SCENARIO, 2, objective="mean")])


def test_a_shared_policy_learns_to_share(monkeypatch):
    """GIVEN one slow server for all WHEN a policy is trained THEN it leaves tasks on the devices."""
    monkeypatch.setattr(agents_cell, "NUM_AGENTS", 64)
    crowded = {
        "name": "default", "num_tasks": 2, "num_edges": 0, "device_hz": (2e9, 2e9), "cloud_hz": (4e9, 4e9),
        "cloud_cores": 1, "uplink_bps": (100e6, 100e6), "device_backlog_s": 0.0,
    }  # fmt: skip
    policy = train_shared_policy(crowded, 8, num_decisions=5000, seed=0)
    cells = [sample_cell(crowded, 8, seed) for seed in range(2**32, 2**32 + 40)]
    values = {"trained": policy.decide, "remote": lambda cell: np.ones((8, 2), dtype=int)}
    mean_s = {name: np.mean([cell_latency(cell, decide(cell)) for cell in cells]) for name, decide in values.items()}
    assert mean_s["trained"] < 0.6 * mean_s["remote"]
