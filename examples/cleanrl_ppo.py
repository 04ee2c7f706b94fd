"""PPO in one file, in the manner of CleanRL, for all environments.

python examples/cleanrl_ppo.py --env-id offload_gym:offload_gym/Joint-v0
"""

import time
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
import tyro
from evaluation import episode, fresh_epochs, latency_s, report
from torch import nn
from torch.distributions import Categorical


@dataclass
class Args:
    """Arguments, named as in CleanRL."""

    env_id: str = "offload_gym:offload_gym/Sequential-v0"
    seed: int = 1
    total_timesteps: int = 100_000
    learning_rate: float = 1e-3
    num_envs: int = 64
    num_steps: int = 64
    anneal_lr: bool = True
    gamma: float = 1.0
    gae_lambda: float = 0.95
    num_minibatches: int = 8
    update_epochs: int = 8
    clip_coef: float = 0.2
    ent_coef: float = 0.01
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5


def layer_init(layer, std=2**0.5):
    nn.init.orthogonal_(layer.weight, std)
    nn.init.zeros_(layer.bias)
    return layer


def mlp(inputs, outputs, std):
    return nn.Sequential(
        layer_init(nn.Linear(inputs, 64)),
        nn.Tanh(),
        layer_init(nn.Linear(64, 64)),
        nn.Tanh(),
        layer_init(nn.Linear(64, outputs), std=std),
    )


class Agent(nn.Module):
    """Critic, and an actor for Discrete(K) and MultiDiscrete([K] * n) alike: an action is (n,), n = 1 for Discrete."""

    def __init__(self, envs):
        super().__init__()
        space = envs.single_action_space
        self.nvec = [int(space.n)] if isinstance(space, gym.spaces.Discrete) else space.nvec.tolist()
        size = envs.single_observation_space.shape[0]
        self.critic, self.actor = mlp(size, 1, 1.0), mlp(size, sum(self.nvec), 0.01)

    def get_value(self, obs):
        return self.critic(obs).squeeze(-1)

    def get_action_and_value(self, obs, action=None):
        dist = Categorical(logits=self.actor(obs).unflatten(-1, (len(self.nvec), self.nvec[0])))
        if action is None:
            action = dist.sample()
        return action, dist.log_prob(action).sum(-1), dist.entropy().sum(-1), self.get_value(obs)

    def act(self, observations):
        with torch.no_grad():
            logits = self.actor(torch.as_tensor(observations)).unflatten(-1, (len(self.nvec), self.nvec[0]))
        return logits.argmax(-1).squeeze(-1).numpy() if len(self.nvec) == 1 else logits.argmax(-1).numpy()


if __name__ == "__main__":
    args = tyro.cli(Args)
    torch.manual_seed(args.seed)
    # A rollout here takes the next episode's first observation with the last reward: "SameStep".
    envs = gym.make_vec(
        args.env_id,
        args.num_envs,
        vectorization_mode="vector_entry_point",
        autoreset_mode="SameStep",
        **episode(args.env_id),
    )
    envs = gym.wrappers.vector.RecordEpisodeStatistics(envs)
    agent = Agent(envs)
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    test_envs = fresh_epochs(args.env_id)
    untrained_s = latency_s(test_envs, agent.act)

    batch_size = args.num_envs * args.num_steps
    obs = torch.zeros((args.num_steps, args.num_envs, *envs.single_observation_space.shape))
    actions = torch.zeros((args.num_steps, args.num_envs, len(agent.nvec)), dtype=torch.int64)
    logprobs, rewards, dones, values = torch.zeros((4, args.num_steps, args.num_envs))
    start = time.time()
    next_obs = torch.as_tensor(envs.reset(seed=args.seed)[0])
    next_done = torch.zeros(args.num_envs)
    num_iterations = args.total_timesteps // batch_size
    returns = []
    for iteration in range(num_iterations):
        if args.anneal_lr:
            optimizer.param_groups[0]["lr"] = (1 - iteration / num_iterations) * args.learning_rate
        for step in range(args.num_steps):
            obs[step], dones[step] = next_obs, next_done
            with torch.no_grad():
                actions[step], logprobs[step], _, values[step] = agent.get_action_and_value(next_obs)
            chosen = actions[step].numpy().reshape(envs.action_space.shape)
            next_obs, reward, terminations, truncations, infos = envs.step(chosen)
            next_obs, next_done = torch.as_tensor(next_obs), torch.as_tensor(terminations | truncations).float()
            rewards[step] = torch.as_tensor(reward)
            if "episode" in infos:
                returns += infos["episode"]["r"][infos["_episode"]].tolist()

        with torch.no_grad():
            advantages, advantage = torch.zeros_like(rewards), 0
            for t in reversed(range(args.num_steps)):
                last = t == args.num_steps - 1
                going = 1 - (next_done if last else dones[t + 1])
                next_values = agent.get_value(next_obs) if last else values[t + 1]
                delta = rewards[t] + args.gamma * next_values * going - values[t]
                advantages[t] = advantage = delta + args.gamma * args.gae_lambda * going * advantage
            targets = advantages + values

        b_obs, b_actions = obs.flatten(0, 1), actions.flatten(0, 1)
        b_logprobs, b_advantages, b_targets = logprobs.flatten(), advantages.flatten(), targets.flatten()
        for _ in range(args.update_epochs):
            for mb in torch.randperm(batch_size).chunk(args.num_minibatches):
                _, newlogprob, entropy, newvalue = agent.get_action_and_value(b_obs[mb], b_actions[mb])
                ratio = (newlogprob - b_logprobs[mb]).exp()
                mb_advantages = b_advantages[mb]
                mb_advantages = (mb_advantages - mb_advantages.mean()) / (mb_advantages.std() + 1e-8)
                clipped = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
                pg_loss = torch.max(-mb_advantages * ratio, -mb_advantages * clipped).mean()
                v_loss = 0.5 * ((newvalue - b_targets[mb]) ** 2).mean()
                loss = pg_loss - args.ent_coef * entropy.mean() + args.vf_coef * v_loss
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
                optimizer.step()
        if iteration % 5 == 0 and returns:
            steps, seconds, mean = (iteration + 1) * batch_size, time.time() - start, np.mean(returns[-1000:])
            print(f"steps {steps:8,}  return {mean:8.4f}  steps/s {steps / seconds:,.0f}")

    report(test_envs, untrained_s, latency_s(test_envs, agent.act))
