"""PPO of RLlib's new API stack on the native vector environment: python examples/rllib_ppo.py."""

import ray
import torch
from evaluation import fresh_epochs, latency_s, report
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

ENV_ID = "offload_gym:offload_gym/Sequential-v0"

ray.init(num_cpus=1, include_dashboard=False, logging_level="error", log_to_driver=False)
algorithm = (
    PPOConfig()
    .environment(ENV_ID, env_config={"num_epochs": 1})
    # Gymnasium's default autoreset mode, "NextStep", is the one that RLlib expects.
    .env_runners(
        num_env_runners=0,
        num_envs_per_env_runner=64,
        gym_env_vectorize_mode="vector_entry_point",
        rollout_fragment_length=64,
    )
    .learners(num_learners=0)
    .training(
        gamma=1.0,
        lr=1e-3,
        train_batch_size_per_learner=4_096,
        minibatch_size=512,
        num_epochs=8,
        entropy_coeff=0.01,
        use_kl_loss=False,
        clip_param=0.2,
        grad_clip=0.5,
    )
    .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[64, 64], vf_share_layers=False))
    .debugging(seed=1, log_level="ERROR")
    .build_algo()
)
test_envs = fresh_epochs(ENV_ID)


def act(observations):
    with torch.no_grad():
        out = algorithm.get_module().forward_inference({Columns.OBS: torch.as_tensor(observations)})
    return out[Columns.ACTION_DIST_INPUTS].argmax(-1).numpy()


untrained_s = latency_s(test_envs, act)
for _ in range(24):
    algorithm.train()
report(test_envs, untrained_s, latency_s(test_envs, act))
algorithm.stop()
ray.shutdown()
