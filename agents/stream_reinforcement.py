"""Reinforcement-learning baselines of streams: stable-baselines3 agents on ``offload_gym/Stream-v0``.

Plain PPO explodes on queues (QGym, arXiv 2410.06170): a policy that fills a queue meets costs that grow with the
episode, and how many jobs come decides more about a return than the decisions do. "ppo-plain" is that agent; what the
others have instead, and can be switched off in ``HYPERPARAMETERS``:

- Observations are standardised by their mean and deviation where greedy plays, which the result has folded into its
  first layer. This matters most: without it the agents stayed worse than greedy.
- A decision earns, when it is made, minus what it adds to the costs of all jobs, were none to follow (``Drained``),
  instead of minus what they cost until the next decision. With several devices the jobs of others must be among them:
  where a decision paid for its own job alone, PPO grew worse again as it learned to be selfish.
- What greedy earns on the same stream is subtracted. How hard a stream is falls out of that, most of which is luck of
  the arrivals; the best policy stays the same, as greedy's cost depends on nothing that the agent does (Mao et al.,
  "Variance reduction for reinforcement learning in input-driven environments", ICLR 2019).
- Later rewards are discounted by 0.95 a decision of each device.
- Updates are small and many, at a low rate that falls.
- "ppo-central" has a critic that sees the queues of all devices, its own and those where greedy plays
  (``agents.stream_central``).
- "ppo-cloned" starts from a trained network; its critic learns first, with the actor as it was.

The policy that is best on validation streams is kept; what it started from is among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from agents.networks import linear_layers, one_thread
from agents.reinforcement import KeepBest, ShowProgress
from agents.stream_central import CentralPolicy
from agents.stream_learning import StreamSettings, Validation
from agents.stream_rewards import folded, standardisation, training_environments, unfolded
from offload_gym.array_checks import check_count
from offload_gym.files import keep_settings
from offload_gym.layers import Layers
from offload_gym.scenario import described
from offload_gym.streams.networks import StreamNetwork, save_stream_policy
from offload_gym.streams.observing import size_of
from offload_gym.streams.policies import (
    PlanPolicy,
    check_fits,
    load_stream_policy,
    make_stream_policy,
    network_policy,
)

_say = partial(print, flush=True)
CLONED = "ppo-cloned"
PLAIN = "ppo-plain"
CENTRAL = "ppo-central"
AGENTS = ("ppo", "dqn", CLONED)  # what is trained unless asked otherwise
# Of all: discount, jobs of a stream, environments, and whether observations are standardised, rewards are less greedy's
# and costs are paid at once. Of PPO: decisions between two updates, passes over them, in how many batches, the share of
# the training in which only the critic learns, and whether the critic sees the whole cell. Of DQN: transitions in a
# batch and in the buffer, gradient steps for 128 decisions, decisions between two updates of the target network, and
# the share of the training over which exploration falls. All of one device: `for_devices` says what follows for
# several.
_COMMON = {"gamma": 0.95, "num_jobs": 100, "standardised": 1, "against_greedy": 1, "at_once": 1}
_PPO = _COMMON | {
    "num_envs": 64,
    "learning_rate": 5e-4,
    "decisions": 2048,
    "passes": 12,
    "batches": 32,
    "gae_lambda": 0.93,
    "entropy": 0.0,
    "critic_alone": 0.0,
    "central": 0,
}
HYPERPARAMETERS: dict[str, dict[str, float]] = {
    "ppo": _PPO,
    CENTRAL: _PPO | {"central": 1},
    PLAIN: _PPO | {"gamma": 1.0, "standardised": 0, "against_greedy": 0, "at_once": 0},
    CLONED: _PPO | {"learning_rate": 1e-4, "decisions": 16384, "passes": 8, "batches": 16, "critic_alone": 0.2},
    "dqn": _COMMON
    | {
        "num_envs": 32,
        "learning_rate": 1e-3,
        "batch_size": 256,
        "gradient_steps": 16,
        "buffer_size": 100_000,
        "target_update": 4_000,
        "explored": 0.3,
    },
}
CRITIC = (64, 64)


def actor(agent: BaseAlgorithm) -> nn.Sequential:
    """The layers whose highest output an agent chooses."""
    if isinstance(agent, PPO):
        return nn.Sequential(*agent.policy.mlp_extractor.policy_net, agent.policy.action_net)
    assert isinstance(agent, DQN)
    return agent.policy.q_net.q_net


def as_policy(agent: BaseAlgorithm, settings: StreamSettings) -> PlanPolicy:
    """What an agent does without exploring, in the compiled runtime."""
    scenario, env = settings.scenario, agent.get_vec_normalize_env()
    module = actor(agent)
    layers = linear_layers(module)
    assert env is not None
    network = StreamNetwork(
        layers=folded(layers, *(of_all[: layers[0][0].shape[1]] for of_all in standardisation(env))),
        activation="tanh" if any(isinstance(layer, nn.Tanh) for layer in module) else "relu",
        num_locations=scenario.num_locations,
        can_drop=scenario.can_drop,
        metadata={"made_by": "agents.stream_reinforcement"},
        objective=settings.objective,
        scenario=scenario.label,
        scenario_fields=described(scenario),
    )
    return network_policy(network)


class KeepBestOnStreams(KeepBest[StreamNetwork]):
    """Shows progress, and keeps the network that is best on validation streams; checks stand between updates.

    Args:
        total: decisions of the training.
        description: shown beside the progress bar.
        settings: what the agent learns.
        validation: streams that it does not learn from.
        critic_alone: share of the training in which PPO's actor stays as it is.
        stop: as in ``KeepBest``.
    """

    def __init__(
        self,
        total: int,
        description: str,
        settings: StreamSettings,
        validation: Validation,
        critic_alone: float = 0.0,
        stop: Callable[[float], bool] | None = None,
    ) -> None:
        def measure(agent: BaseAlgorithm) -> tuple[StreamNetwork, float]:
            policy = as_policy(agent, settings)
            assert policy.network is not None
            return policy.network, validation.change(policy)

        super().__init__(total, description, measure, "over greedy", stop)
        self._alone = critic_alone * total

    def _on_rollout_start(self) -> None:
        self._check_in_time()  # here, as between updates the policy is the same
        if isinstance(self.model, PPO):
            actor(self.model).requires_grad_(self.num_timesteps >= self._alone)

    def _on_step(self) -> bool:
        ShowProgress._on_step(self)
        return not self.stopped


def make_agent(
    name: str,
    settings: StreamSettings,
    validation: Validation,
    hyperparameters: Mapping[str, float] | None = None,
) -> BaseAlgorithm:
    """An agent before its training, untrained or cloned.

    Args:
        name: one of ``HYPERPARAMETERS``.
        settings: scenario, objective and seed; ``student`` are the hidden layers, ``start`` is the file that
            "ppo-cloned" starts from (None: the student that the package ships).
        validation: its streams say what greedy pays for a job, the unit of the rewards.
        hyperparameters: replace some of the agent's own.

    Raises:
        ValueError: the agent or a hyperparameter is unknown, jobs of several tasks may be dropped, greedy pays nothing,
            or the network to start from is for other streams.
    """
    if name not in HYPERPARAMETERS:
        raise ValueError(f"agent is {name!r}; it must be one of {', '.join(HYPERPARAMETERS)}")
    chosen = HYPERPARAMETERS[name] | dict(hyperparameters or {})
    if unknown := sorted(chosen.keys() - HYPERPARAMETERS[name].keys()):
        raise ValueError(f"hyperparameters has {', '.join(unknown)}; {name} has {', '.join(HYPERPARAMETERS[name])}")
    chosen = for_devices(chosen, settings.scenario.num_devices)
    env = training_environments(settings, validation, chosen)
    common: dict[str, Any] = {"gamma": chosen["gamma"], "seed": settings.seed % 2**32, "device": "cpu"}
    hidden: list[int] = list(settings.student)
    if name == "dqn":
        return DQN(
            "MlpPolicy",
            env,
            learning_rate=chosen["learning_rate"],
            buffer_size=int(chosen["buffer_size"]),
            learning_starts=2_000,
            batch_size=int(chosen["batch_size"]),
            train_freq=max(128 // env.num_envs, 1),
            gradient_steps=int(chosen["gradient_steps"]),
            target_update_interval=int(chosen["target_update"]),
            exploration_fraction=chosen["explored"],
            exploration_final_eps=0.02,
            policy_kwargs={"net_arch": hidden},
            **common,
        )
    start = _started_from(settings) if name == CLONED else None
    if start is not None:
        hidden = [len(bias) for _, bias in start.layers[:-1]]
    steps = max(int(chosen["decisions"]) // env.num_envs, 2)
    own = {"own": size_of(settings.scenario.num_locations)} if chosen["central"] else {}
    agent = PPO(
        CentralPolicy if own else "MlpPolicy",
        env,
        n_steps=steps,
        batch_size=max(steps * env.num_envs // int(chosen["batches"]), 2),
        n_epochs=int(chosen["passes"]),
        learning_rate=partial(_falling, chosen["learning_rate"]),
        gae_lambda=chosen["gae_lambda"],
        ent_coef=chosen["entropy"],
        policy_kwargs={
            **own,
            "net_arch": {"pi": hidden, "vf": list(CRITIC)},
            "activation_fn": nn.Tanh if start is not None and start.activation == "tanh" else nn.ReLU,
        },
        **common,
    )
    if start is not None:
        _set_layers(actor(agent), unfolded(start.layers, *standardisation(env)))
    return agent


def for_devices(chosen: Mapping[str, float], num_devices: int) -> dict[str, float]:
    """Hyperparameters for m devices, whose decisions alternate, from those for one.

    Streams have as many jobs of each device, rewards are discounted and averaged over as many decisions of each, and
    all environments together have as many devices, but at least one.
    """
    changed = {"num_jobs": chosen["num_jobs"] * num_devices, "num_envs": max(chosen["num_envs"] // num_devices, 1)}
    fading = {name: chosen[name] ** (1.0 / num_devices) for name in ("gamma", "gae_lambda") if name in chosen}
    return {**chosen, **changed, **fading}


def _falling(rate: float, remaining: float) -> float:
    """A learning rate that falls to 0 as the share of the training that remains does."""
    return rate * remaining


def _started_from(settings: StreamSettings) -> StreamNetwork:
    """The network to start from; ValueError where it is for other streams."""
    scenario = settings.scenario
    if settings.start is None:
        policy = make_stream_policy("student", scenario, settings.objective)
    else:
        policy = load_stream_policy(settings.start)
        check_fits(policy, scenario.num_locations, scenario.can_drop)
    assert isinstance(policy, PlanPolicy)
    assert policy.network is not None
    if scenario.can_drop and not policy.network.can_drop:
        raise ValueError(f"the policy {policy.name} drops no jobs; one to start from must where the scenario allows it")
    return policy.network


@torch.no_grad()
def _set_layers(module: nn.Sequential, layers: Layers) -> None:
    linear = [layer for layer in module if isinstance(layer, nn.Linear)]
    for layer, (weight, bias) in zip(linear, layers, strict=True):
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))


@one_thread()
def train_agent(
    name: str,
    settings: StreamSettings,
    decisions: int,
    validation: Validation,
    hyperparameters: Mapping[str, float] | None = None,
    stop: Callable[[float], bool] | None = None,
) -> KeepBestOnStreams:
    """Train an agent until it has made so many decisions (PPO: rounded up to whole updates).

    Args:
        name: as in ``make_agent``, and so are
        settings: scenario, objective, seed and start,
        validation: streams that it does not learn from, and
        hyperparameters: what replaces the agent's own.
        decisions: how many.
        stop: as in ``KeepBest``.

    Returns:
        ``best``, the network of the check that was best on validation, ``least``, its change against greedy, and
        ``curve``, all checks.
    """
    agent = make_agent(name, settings, validation, hyperparameters)
    alone = (HYPERPARAMETERS[name] | dict(hyperparameters or {})).get("critic_alone", 0.0)
    keeper = KeepBestOnStreams(decisions, name, settings, validation, alone, stop)
    agent.learn(decisions, callback=keeper)
    return keeper


def reinforce(
    folder: str | Path,
    settings: StreamSettings,
    decisions: int,
    agents: Sequence[str] = AGENTS,
    report: Callable[[str], None] = _say,
) -> dict[str, Path]:
    """Train agents one after another; those whose files are in the folder are not trained anew.

    Args:
        folder: of the results.
        settings: as in ``make_agent``, and ``num_validation``.
        decisions: that each makes in training.
        agents: some of ``HYPERPARAMETERS``.
        report: what is called with a line for each.

    Returns:
        The policy files by name.

    Raises:
        ValueError: as ``make_agent``, or the folder has results of something else.
    """
    check_count("decisions", decisions)
    folder = Path(folder)
    keep_settings(folder / "settings.json", asdict(settings) | {"decisions": decisions}, "*.safetensors")
    validation = Validation(settings)
    paths = {}
    for name in agents:
        paths[name] = folder / f"{name}.safetensors"
        if paths[name].exists():
            report(f"{name}: {validation.change(load_stream_policy(paths[name])):+.2%} against greedy, kept")
            continue
        keeper = train_agent(name, settings, decisions, validation)
        assert keeper.best is not None  # the last check comes at the end of training
        save_stream_policy(paths[name], keeper.best)
        size, checks = keeper.best.num_parameters, ", ".join(f"{change:+.1%}" for _, change in keeper.curve)
        report(f"{name}: {size:,} parameters, {keeper.least:+.2%} against greedy; checks {checks}")
    return paths
