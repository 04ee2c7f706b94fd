"""A cell of devices as a PettingZoo parallel environment: each device is an agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, MultiDiscrete
from gymnasium.utils import seeding
from numpy.typing import NDArray

from offload_gym.array_checks import check_count
from offload_gym.cell import cell_latency, cell_objective
from offload_gym.checks import check_flag
from offload_gym.envs.cell import cell_scenario, observe_cell, sample_cell
from offload_gym.envs.epochs import NUM_EPOCHS
from offload_gym.envs.single import NotStartedError
from offload_gym.instances import Instances
from offload_gym.observation_layout import HIGH, observation_space
from offload_gym.scenario import Scenario

try:
    from pettingzoo import ParallelEnv
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "offload_gym.interop.pettingzoo needs PettingZoo; install the extra: pip install 'offload-gym[pettingzoo]'"
    ) from error


class CellEnv(ParallelEnv):  # type: ignore[misc]
    """Offloading by m devices that share a cell's uplink and its servers; each device is an agent.

    ## Description
    Each step is one decision epoch of a cell: all devices place their n tasks at once, without knowing what the others
    do, and the rewards follow from all actions together by the model of ``offload_gym.cell``. Epochs are drawn
    independently of each other: new tasks, device CPUs, link rates and backlogs for every device, and new servers for
    the cell. No decision affects a later epoch.

    ## Agents
    ``device_0``, ..., ``device_{m - 1}``; all of them act in every step. They are drawn alike, so that one policy can
    play all of them (parameter sharing).

    ## Action space
    ``MultiDiscrete([K] * n)`` for each agent. Column i is the location of the agent's task i: 0 its own device,
    1..K-2 the edge servers, K-1 the cloud server. n is the most tasks that an epoch of the scenario can have; the
    entries of an epoch's missing tasks are ignored.

    ## Observation space
    For each agent the vector of ``offload_gym/Joint-v0`` (see ``offload_gym.envs.joint.JointEnv``), of the epoch as the
    device would have it alone:
    ``Box(0, 3, (n * (2 + 4 (K - 1)) + 3 + cores + K * 3,), float32)``, all times divided by the agent's scale (the
    makespan of greedy earliest completion alone) and bounded by ``offload_gym.observation.squash``. With
    ``R = 2 + 4 (K - 1)`` columns in a task row and C the cores of all locations together:

    | columns | content |
    |---|---|
    | i R | 1: there is a task i |
    | i R + 1 | run time of task i on the device |
    | i R + 4k - 2 | send time of task i to remote location k, where no other device sends |
    | i R + 4k - 1 | path time: wired path and propagation |
    | i R + 4k | run time there |
    | i R + 4k + 1 | return time of the result |
    | n R | when the device's radio is free |
    | n R + 1, n R + 2 | 0 and 1: makespan so far, share of tasks not placed |
    | n R + 3, ..., n R + 2 + C | when each core is free, earliest first in a location, for locations 0..K-1 |
    | the next K | when task 0 would complete at each location |
    | the next 2 K | makespan and mean completion if task 0 goes there and greedy completion follows, alone |

    Rows of missing tasks are zero. The backlogs of the servers are the same for all agents, but each sees them in terms
    of its own scale. The number of devices is not in the vector: it is the same in all epochs of an environment.
    ``state()`` is the vectors of all agents one after the other.

    ## Rewards
    Minus the agent's own latency in seconds under ``objective``: the largest completion time of its tasks ("makespan")
    or the mean one ("mean"). With ``shared_reward`` each agent gets minus the mean of all agents' latencies.

    ## Starting state
    An epoch, drawn from the scenario's distribution with the seed of ``reset``.

    ## Episode end
    All agents are ``terminated`` after ``num_epochs`` steps; None never ends. The environment never truncates.

    ## Information
    ``infos[agent]["latency_s"]``: the agent's own latency in seconds, whatever its reward is;
    ``infos[agent]["scale_s"]``: the scale of the epoch that it decided. ``instances(agent)`` is the epoch to be decided
    as a batch of one, what ``Policy.decide`` takes; ``cell`` is that of all agents as a batch of m.

    ## Arguments
    - ``scenario="default"``: a preset's name, a dict with "name" and what to change, or a ``Scenario``; of independent
      tasks.
    - ``num_devices=4``: m, at least 1.
    - ``objective="makespan"``: "makespan" or "mean".
    - ``num_epochs=10``: epochs of an episode, or None for episodes without end.
    - ``shared_reward=False``: whether the agents share the mean of their rewards.

    A ValueError says which argument is unknown or out of its bounds, or that the scenario has dependent tasks.

    ## Version history
    v0: first version.
    """

    metadata = {"name": "offload_gym_cell_v0", "render_modes": [], "is_parallelizable": True}  # noqa: RUF012
    render_mode = None

    def __init__(
        self,
        scenario: str | Mapping[str, Any] | Scenario = "default",
        num_devices: int = 4,
        objective: str = "makespan",
        num_epochs: int | None = NUM_EPOCHS,
        shared_reward: bool = False,
    ) -> None:
        self.scenario = cell_scenario(scenario)
        check_count("num_devices", num_devices)
        if num_epochs is not None:
            check_count("num_epochs", num_epochs)
        check_flag("shared_reward", shared_reward)
        cell_objective(objective)
        self.objective, self.num_epochs, self.shared_reward = objective, num_epochs, shared_reward
        self.possible_agents = [f"device_{d}" for d in range(num_devices)]
        self.agents: list[str] = []
        rows, cores = self.scenario.most_tasks, self.scenario.cores
        self.observation_spaces = {agent: observation_space(rows, cores) for agent in self.possible_agents}
        self.action_spaces = {agent: MultiDiscrete([len(cores)] * rows) for agent in self.possible_agents}
        shape = (num_devices * self.observation_spaces["device_0"].shape[0],)
        self.state_space = Box(0.0, HIGH, shape, np.float32)
        self.np_random: np.random.Generator | None = None
        self._epoch = 0
        self._observations = np.empty((0, 0), dtype=np.float32)  # (m, size)

    def observation_space(self, agent: str) -> Box:
        """The space of an agent's observations, always the same object."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> MultiDiscrete:
        """The space of an agent's actions, always the same object."""
        return self.action_spaces[agent]

    @property
    def cell(self) -> Instances:
        """The epoch to be decided, a batch of m instances: what ``Policy.decide`` and ``cell_latency`` take."""
        self._check_started("cell")
        return self._cell

    def instances(self, agent: str) -> Instances:
        """The epoch to be decided by one agent, as a batch of one instance: what ``Policy.decide`` takes."""
        self._check_started("instances()")
        if agent not in self.possible_agents:
            raise ValueError(f"agent is {agent!r}; it must be one of {', '.join(self.possible_agents)}")
        d = self.possible_agents.index(agent)
        return self._cell[d : d + 1]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, dict[str, Any]]]:
        """Begin an episode with a new cell. The same seed draws the same epochs; None goes on from the last one."""
        if seed is not None or self.np_random is None:
            self.np_random, _ = seeding.np_random(seed)
        self.agents = self.possible_agents.copy()
        self._epoch = 0
        return self._draw(), {agent: {} for agent in self.agents}

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[
        dict[str, NDArray[np.float32]],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:
        """Place all tasks of all agents.

        Raises:
            ValueError: an agent's action is missing or not in its space, or there is one of an unknown agent.
        """
        self._check_started("step()")
        agents = self.agents
        if not agents:
            raise ResetNeeded("the episode is over; call reset() before step()")
        for agent in actions:
            if agent not in agents:
                raise ValueError(f"the actions have one of {agent!r}; the agents are {', '.join(agents)}")
        decisions = np.stack([self._checked(agent, actions) for agent in agents])
        latency_s = cell_latency(self._cell, decisions, self.objective)
        reward = np.full_like(latency_s, -latency_s.mean()) if self.shared_reward else -latency_s
        infos: dict[str, dict[str, Any]] = {
            agent: {"latency_s": own_s, "scale_s": scale_s}
            for agent, own_s, scale_s in zip(agents, latency_s.tolist(), self._scale_s.tolist(), strict=True)
        }
        self._epoch += 1
        over = self._epoch == self.num_epochs
        self.agents = [] if over else agents
        return (
            self._draw(),
            dict(zip(agents, reward.tolist(), strict=True)),
            dict.fromkeys(agents, over),
            dict.fromkeys(agents, False),
            infos,
        )

    def state(self) -> NDArray[np.float32]:
        """The observations of all agents one after the other, in ``state_space``."""
        self._check_started("state()")
        return self._observations.ravel().copy()

    def render(self) -> None:
        """Draws nothing: there is no render mode."""

    def _draw(self) -> dict[str, NDArray[np.float32]]:
        """Draw the next epoch; returns its observations."""
        self._cell = sample_cell(self.scenario, len(self.possible_agents), self.np_random)  # type: ignore[arg-type]
        return self._observe()

    def _observe(self) -> dict[str, NDArray[np.float32]]:
        self._observations, self._scale_s = observe_cell(self._cell)
        return dict(zip(self.possible_agents, self._observations.copy(), strict=True))

    def _checked(self, agent: str, actions: dict[str, Any]) -> NDArray[np.int64]:
        if agent not in actions:
            raise ValueError(f"the actions are for {', '.join(actions) or 'no agent'}; {agent} has none")
        try:
            action = np.asarray(actions[agent])
        except ValueError:  # rows of different lengths
            action = np.empty(0)
        space = self.action_spaces[agent]
        if action.dtype.kind not in "iu" or not space.contains(action):
            raise ValueError(
                f"the action of {agent} is {actions[agent]!r}; it must be {space.shape[0]} whole numbers from 0 to "
                f"{self.scenario.num_locations - 1}"
            )
        return action.astype(np.int64)

    def _check_started(self, what: str) -> None:
        if self.np_random is None:
            raise NotStartedError(f"call reset() before {what}")


def parallel_env(*arguments: Any, **named: Any) -> CellEnv:
    """A ``CellEnv`` with these arguments, under the name that PettingZoo's environments have."""
    return CellEnv(*arguments, **named)
