"""DQN in one file, in the manner of CleanRL: python examples/cleanrl_dqn.py --total-timesteps 200000."""

import copy
import time
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
import tyro
from evaluation import episode, fresh_epochs, latency_s, report
from torch import nn


@dataclass
class Args:
    """Arguments, named as in CleanRL."""

    env_id: str = "offload_gym:offload_gym/Sequential-v0"
    seed: int = 1
    total_timesteps: int = 100_000
    learning_rate: float = 1e-3
    num_envs: int = 16
    buffer_size: int = 50_000
    gamma: float = 1.0
    target_network_frequency: int = 2_000
    batch_size: int = 256
    start_e: float = 1.0
    end_e: float = 0.05
    exploration_fraction: float = 0.3
    learning_starts: int = 2_000
    train_frequency: int = 16
    """Steps of all environments together between two gradient steps."""


class QNetwork(nn.Module):
    """Minus the seconds that are still to come, of each action."""

    def __init__(self, envs):
        super().__init__()
        size, num_actions = envs.single_observation_space.shape[0], int(envs.single_action_space.n)
        self.network = nn.Sequential(
            nn.Linear(size, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, num_actions)
        )

    def forward(self, obs):
        return self.network(obs)

    def act(self, observations):
        with torch.no_grad():
            return self(torch.as_tensor(observations)).argmax(-1).numpy()


if __name__ == "__main__":
    args = tyro.cli(Args)
    rng = np.random.default_rng(args.seed)
    torch.manual_seed(args.seed)
    envs = gym.make_vec(
        args.env_id,
        args.num_envs,
        vectorization_mode="vector_entry_point",
        autoreset_mode="SameStep",
        **episode(args.env_id),
    )
    if not isinstance(envs.single_action_space, gym.spaces.Discrete):
        raise SystemExit(f"env-id is {args.env_id!r}; DQN needs a Discrete action space, as Sequential and Stream have")
    envs = gym.wrappers.vector.RecordEpisodeStatistics(envs)
    q_network = QNetwork(envs)
    target_network = copy.deepcopy(q_network)
    optimizer = torch.optim.Adam(q_network.parameters(), lr=args.learning_rate)
    test_envs = fresh_epochs(args.env_id)
    untrained_s = latency_s(test_envs, q_network.act)

    size = args.buffer_size // args.num_envs * args.num_envs
    shape = (size, *envs.single_observation_space.shape)
    b_obs, b_next_obs = torch.zeros(shape), torch.zeros(shape)
    b_actions, b_rewards, b_dones = torch.zeros(size, dtype=torch.int64), torch.zeros(size), torch.zeros(size)

    start, returns = time.time(), []
    obs, _ = envs.reset(seed=args.seed)
    for global_step in range(0, args.total_timesteps, args.num_envs):
        decayed = global_step / (args.exploration_fraction * args.total_timesteps)
        epsilon = max(args.start_e + (args.end_e - args.start_e) * decayed, args.end_e)
        explore = rng.random(args.num_envs) < epsilon
        actions = np.where(explore, rng.integers(envs.single_action_space.n, size=args.num_envs), q_network.act(obs))
        next_obs, rewards, terminations, _, infos = envs.step(actions)
        real_next_obs = next_obs.copy()
        for b in np.flatnonzero(terminations):
            real_next_obs[b] = infos["final_obs"][b]
        if "episode" in infos:
            returns += infos["episode"]["r"][infos["_episode"]].tolist()
        rows = slice(global_step % size, global_step % size + args.num_envs)
        for buffer, new in (
            (b_obs, obs),
            (b_next_obs, real_next_obs),
            (b_actions, actions),
            (b_rewards, rewards),
            (b_dones, terminations),
        ):
            buffer[rows] = torch.as_tensor(new).to(buffer.dtype)
        obs = next_obs

        if global_step >= args.learning_starts:
            for _ in range(max(args.num_envs // args.train_frequency, 1)):
                mb = torch.as_tensor(rng.integers(min(global_step, size), size=args.batch_size))
                with torch.no_grad():
                    best = target_network(b_next_obs[mb]).max(dim=1).values
                    td_target = b_rewards[mb] + args.gamma * best * (1 - b_dones[mb])
                old = q_network(b_obs[mb]).gather(1, b_actions[mb, None]).squeeze(1)
                loss = nn.functional.smooth_l1_loss(old, td_target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if global_step // args.target_network_frequency > (
                (global_step - args.num_envs) // args.target_network_frequency
            ):
                target_network.load_state_dict(q_network.state_dict())
        if global_step // 10_000 > (global_step - args.num_envs) // 10_000 and returns:
            speed = (global_step + args.num_envs) / (time.time() - start)
            print(f"steps {global_step:8,}  return {np.mean(returns[-1000:]):8.4f}  steps/s {speed:,.0f}")

    report(test_envs, untrained_s, latency_s(test_envs, q_network.act))
