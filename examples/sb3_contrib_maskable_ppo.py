"""MaskablePPO of sb3-contrib, epochs of 4 to 8 tasks: python examples/sb3_contrib_maskable_ppo.py."""

import gymnasium as gym
from evaluation import fresh_epochs, latency_s, report
from sb3_contrib import MaskablePPO

from offload_gym.interop.sb3 import SB3VecEnv

ENV_ID = "offload_gym:offload_gym/Joint-v0"
# Of the tasks that an epoch does not have, the mask leaves only action 0.
SCENARIO = {"name": "default", "num_tasks": 4, "max_tasks": 8}

train_envs = gym.make_vec(
    ENV_ID,
    num_envs=64,
    vectorization_mode="vector_entry_point",
    autoreset_mode="SameStep",
    scenario=SCENARIO,
    num_epochs=1,
)
agent = MaskablePPO(
    "MlpPolicy",
    SB3VecEnv(train_envs),
    gamma=1.0,
    n_steps=64,
    batch_size=512,
    n_epochs=8,
    learning_rate=1e-3,
    device="cpu",
    seed=1,
)
test_envs = fresh_epochs(ENV_ID, scenario=SCENARIO)


def act(observations):
    return agent.predict(observations, action_masks=test_envs.action_masks(), deterministic=True)[0]


untrained_s = latency_s(test_envs, act)
agent.learn(100_000)
report(test_envs, untrained_s, latency_s(test_envs, act))
