"""PPO of TorchRL on the native vector environment: python examples/torchrl_ppo.py."""

import gymnasium as gym
import torch
from evaluation import fresh_epochs, latency_s, report
from tensordict.nn import TensorDictModule
from torch.distributions import Categorical
from torchrl.collectors import Collector
from torchrl.envs import GymEnv, GymWrapper, check_env_specs
from torchrl.modules import MLP, ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

ENV_ID = "offload_gym:offload_gym/Sequential-v0"
FRAMES, NUM_BATCHES = 4_096, 24


def native(num_envs):
    # TorchRL resets what is over by itself, with a mask: "Disabled".
    made = gym.make_vec(
        ENV_ID, num_envs, vectorization_mode="vector_entry_point", autoreset_mode="Disabled", num_epochs=1
    )
    return GymWrapper(made, categorical_action_encoding=True)


torch.manual_seed(1)
check_env_specs(GymEnv(ENV_ID, num_epochs=1))
check_env_specs(native(2))
train_envs = native(64)
train_envs.set_seed(1)
size, num_actions = train_envs.observation_spec["observation"].shape[-1], train_envs.action_spec.space.n
policy = TensorDictModule(MLP(size, num_actions, num_cells=[64, 64]), in_keys=["observation"], out_keys=["logits"])
actor = ProbabilisticActor(
    policy, spec=train_envs.action_spec, in_keys=["logits"], distribution_class=Categorical, return_log_prob=True
)
critic = ValueOperator(MLP(size, 1, num_cells=[64, 64]), in_keys=["observation"])
test_envs = fresh_epochs(ENV_ID)


def act(observations):
    with torch.no_grad():
        return policy.module(torch.as_tensor(observations)).argmax(-1).numpy()


untrained_s = latency_s(test_envs, act)
advantage = GAE(gamma=1.0, lmbda=0.95, value_network=critic)
loss_module = ClipPPOLoss(actor, critic, entropy_coeff=0.01, normalize_advantage=True)
optimizer = torch.optim.Adam(loss_module.parameters(), lr=1e-3)
collector = Collector(train_envs, actor, frames_per_batch=FRAMES, total_frames=NUM_BATCHES * FRAMES)
for batch in collector:
    for _ in range(8):
        with torch.no_grad():
            advantage(batch)
        flat = batch.reshape(-1)
        for rows in torch.randperm(FRAMES).split(512):
            losses = loss_module(flat[rows])
            optimizer.zero_grad()
            (losses["loss_objective"] + losses["loss_critic"] + losses["loss_entropy"]).backward()
            torch.nn.utils.clip_grad_norm_(loss_module.parameters(), 0.5)
            optimizer.step()
collector.shutdown()
report(test_envs, untrained_s, latency_s(test_envs, act))
