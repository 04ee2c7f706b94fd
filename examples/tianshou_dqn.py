"""DQN of Tianshou 2 on its own vector of single environments: python examples/tianshou_dqn.py."""

import gymnasium as gym
import torch
from evaluation import fresh_epochs, latency_s, report
from tianshou.algorithm.modelfree.dqn import DQN, DiscreteQLearningPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OffPolicyTrainerParams
from tianshou.utils.net.common import Net

ENV_ID = "offload_gym:offload_gym/Sequential-v0"
NUM_ENVS, NUM_STEPS = 16, 60_000

torch.manual_seed(1)
# Tianshou steps its workers one by one and resets them itself, so it takes single environments.
train_envs = DummyVectorEnv([lambda: gym.make(ENV_ID, num_epochs=1) for _ in range(NUM_ENVS)])
train_envs.seed(1)
test_envs = fresh_epochs(ENV_ID)
observation_space, action_space = test_envs.single_observation_space, test_envs.single_action_space
network = Net(state_shape=observation_space.shape, action_shape=action_space.n, hidden_sizes=[128, 128])
policy = DiscreteQLearningPolicy(
    model=network, action_space=action_space, observation_space=observation_space, eps_training=1.0
)
algorithm = DQN(policy=policy, optim=AdamOptimizerFactory(lr=1e-3), gamma=1.0, target_update_freq=200)
collector = Collector(algorithm, train_envs, VectorReplayBuffer(50_000, NUM_ENVS))


def act(observations):
    with torch.no_grad():
        return network(observations)[0].argmax(-1).numpy()


def explore_less(_epoch, step):
    policy.set_eps_training(max(1.0 - step / (0.3 * NUM_STEPS), 0.05))


untrained_s = latency_s(test_envs, act)
collector.reset()
collector.collect(n_step=2_000, random=True)
algorithm.run_training(
    OffPolicyTrainerParams(
        training_collector=collector,
        max_epochs=1,
        epoch_num_steps=NUM_STEPS,
        collection_step_num_env_steps=64,
        update_step_num_gradient_steps_per_sample=1 / 16,
        batch_size=256,
        training_fn=explore_less,
        show_progress=False,
    )
)
report(test_envs, untrained_s, latency_s(test_envs, act))
