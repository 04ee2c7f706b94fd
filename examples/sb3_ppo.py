"""PPO of stable-baselines3 on the native vector environment: python examples/sb3_ppo.py."""

import gymnasium as gym
from evaluation import fresh_epochs, latency_s, report
from stable_baselines3 import PPO

from offload_gym.interop.sb3 import SB3VecEnv

ENV_ID = "offload_gym:offload_gym/Sequential-v0"

train_envs = gym.make_vec(
    ENV_ID, num_envs=64, vectorization_mode="vector_entry_point", autoreset_mode="SameStep", num_epochs=1
)
agent = PPO(
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
test_envs = fresh_epochs(ENV_ID)


def act(observations):
    return agent.predict(observations, deterministic=True)[0]


untrained_s = latency_s(test_envs, act)
agent.learn(100_000)
report(test_envs, untrained_s, latency_s(test_envs, act))
