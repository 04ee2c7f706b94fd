"""Streams with several devices as a PettingZoo AEC environment: each device is an agent, and acts when it has a job."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Dict, Discrete, Space
from numpy.typing import NDArray

from offload_gym.checks import check_flag, quoted
from offload_gym.envs.stream import StreamEnv
from offload_gym.envs.stream_accounts import DeviceAccounts
from offload_gym.observation_layout import FORMS, Observation, shown
from offload_gym.scenario import Scenario
from offload_gym.streams.columns import stream_observed
from offload_gym.streams.streams import Streams

try:
    from pettingzoo import AECEnv
    from pettingzoo.utils.wrappers import OrderEnforcingWrapper
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "offload_gym.interop.pettingzoo_streams needs PettingZoo; install the extra: "
        "pip install 'offload-gym[pettingzoo]'"
    ) from error

MASKED = "masked"
DEFAULT_SCENARIO: Mapping[str, Any] = MappingProxyType({"name": "stream", "num_devices": 4, "arrivals_per_s": 2.0})


class StreamAECEnv(AECEnv):  # type: ignore[misc]
    """Offloading of jobs that keep coming to m devices that share spectrum and servers; each device is an agent.

    ## Description
    The world of ``offload_gym/Stream-v0`` (see ``offload_gym.envs.stream.StreamEnv``) with several devices: jobs arrive
    at them over time, all tasks of a job are decided when it arrives, one a step, and what was decided before is still
    in the queues. Whose turn it is follows from the arrivals: ``agent_selection`` is the device of the job whose task
    is to be placed. A device may have several turns in a row, and others none in an episode. The stream of
    ``reset(seed=s)`` is that of ``sample_streams(scenario, 1, s)``, and the same actions lead to the same as in
    ``Stream-v0``.

    ## Agents
    ``device_0``, ..., ``device_{m - 1}``. They are drawn alike, so that one policy can play all of them (parameter
    sharing).

    ## Action space
    ``Discrete(K)`` for each agent: the location of the task; 0 is the device, 1..K-2 the edge servers, K-1 the cloud.
    Where the scenario lets jobs be dropped ``Discrete(K + 1)``: K drops the whole job, which is allowed at its first
    task alone; at a later one it is an error. ``infos[agent]["action_mask"]`` says so, (K,) or (K + 1,) of int8 as
    ``Discrete.sample`` takes it. That of an agent whose turn it is not is for its next job.

    ## Observation space
    What the device may know before it places the task, never the future; all agents have the same space.

    | observation | space |
    |---|---|
    | "flat" | the vector of ``Stream-v0``, ``Box(0, 34, (size,), float32)``; StreamEnv lists its columns |
    | "dict" | the same numbers as named fields, ``Dict`` |
    | "masked" | ``Dict``: "observation", the vector, and "action_mask", that of the infos |

    Tianshou looks for masks in a dictionary observation, TorchRL there and in the infos; PettingZoo's
    ``TerminateIllegalWrapper`` takes "flat" and "masked".

    ``observe(agent)`` of an agent whose turn it is not is what it saw at its last turn; zeros where it has had none in
    this episode. The columns are about a job to be placed, which it does not have now; at its next turn it sees its
    queues as they are then. After the last job all observations stay as they were.

    ## Rewards
    Minus what the agent's own jobs cost in a step under ``objective``: the seconds for which they are in the system
    ("response"), those that became late or were dropped or lost ("late"), or the former plus their joules times the
    scenario's ``energy_weight_s_per_j`` ("cost"). As AEC environments do, a step rewards all agents, and ``last()``
    returns what has come together since the agent's own last decision. So an agent's return is minus the sum of its own
    jobs' responses, or minus the number of its own late jobs, and the returns of all agents add up to that of
    ``Stream-v0``; exactly, but for rounding (a relative 1e-9). Its decisions also delay the jobs of others, which costs
    it nothing.

    With ``shared_reward`` each agent gets the whole reward of ``Stream-v0`` in each step (a common reward, not a part
    of it), so that each agent's return is minus the sum of the responses of all jobs. What has come together before an
    agent's first turn is in its first ``last()``: no decision of it has led to that.

    ## Starting state
    The first job has arrived; all queues are empty.

    ## Episode end
    All agents are ``terminated`` with the last task of the last job. That step also holds all that accrues until the
    system is drained. Then each agent takes ``step(None)``. The environment never truncates.

    ## Information
    ``infos[agent]["action_mask"]``, see above. At the end of an episode also, of the agent's own jobs:
    ``"response_mean_s"`` and ``"response_p95_s"``, mean and 95 % quantile of the responses of those that were neither
    dropped nor lost, in seconds; ``"late_share"``, the share that was late, dropped or lost; ``"lost_share"``, that was
    lost; ``"energy_j"``, joules that the device spent. NaN where the agent had no such job, and 0 joules where it had
    none. ``streams`` is the stream of the episode, also what is still to come: no policy may see that, but whoever
    evaluates may.

    ## Arguments
    - ``scenario={"name": "stream", "num_devices": 4, "arrivals_per_s": 2.0}``: a preset's name, a dict of a preset's
      name and what to change, or a ``Scenario``. ``num_devices`` is m; ``arrivals_per_s`` is at each device.
    - ``objective=None``: "response", "late" or "cost", as in ``Stream-v0``. None: "late" where jobs may be dropped or
      lost, else "response".
    - ``render_mode=None``: "ansi", "rgb_array" or "human", as in ``Stream-v0``.
    - ``observation="flat"``: "flat", "dict" or "masked", see above.
    - ``shared_reward=False``: whether each agent gets the reward of all jobs.

    A ValueError says which argument is unknown or out of its bounds.

    ## Version history
    v0: first version.
    """

    metadata = {  # noqa: RUF012
        "name": "offload_gym_stream_v0",
        "render_modes": StreamEnv.metadata["render_modes"],
        "render_fps": StreamEnv.metadata["render_fps"],
        "is_parallelizable": False,
    }

    def __init__(
        self,
        scenario: str | Mapping[str, Any] | Scenario = DEFAULT_SCENARIO,
        objective: str | None = None,
        render_mode: str | None = None,
        observation: str = "flat",
        shared_reward: bool = False,
    ) -> None:
        super().__init__()
        check_flag("shared_reward", shared_reward)
        if not isinstance(observation, str) or observation not in (*FORMS, MASKED):
            names = ", ".join(map(repr, FORMS))
            raise ValueError(f"observation is {quoted(observation)}; it must be {names} or {MASKED!r}")
        self._stream = StreamEnv(scenario, objective, render_mode)
        self._fleet = self._stream._fleet
        self.scenario, self.objective, self.render_mode = self._stream.scenario, self._stream.objective, render_mode
        self.shared_reward, self._is_masked = shared_reward, observation == MASKED
        num_actions, num_devices = self._fleet.num_actions, self.scenario.num_devices
        form = "flat" if self._is_masked else observation
        space, self._fields, size = stream_observed(self.scenario.num_locations, form)
        if self._is_masked:
            space = Dict({"observation": space, "action_mask": Box(0, 1, (num_actions,), np.int8)})
        self.possible_agents = [f"device_{d}" for d in range(num_devices)]
        self.agents: list[str] = []
        self.observation_spaces = dict.fromkeys(self.possible_agents, space)
        self.action_spaces = {agent: Discrete(num_actions) for agent in self.possible_agents}
        self._seen = np.zeros((num_devices, size), dtype=np.float32)  # by each agent, at its last turn
        self._index = {agent: d for d, agent in enumerate(self.possible_agents)}
        self._accounts = DeviceAccounts(self._fleet)

    def observation_space(self, agent: str) -> Space:
        """The space of an agent's observations, always the same object."""
        return self.observation_spaces[self._known(agent)]

    def action_space(self, agent: str) -> Discrete:
        """The space of an agent's actions, always the same object."""
        return self.action_spaces[self._known(agent)]

    def _known(self, agent: str) -> str:
        """An agent's name; ValueError where it is none."""
        if agent not in self._index:
            raise ValueError(f"agent is {quoted(agent)}; it must be one of {quoted(self.possible_agents)}")
        return agent

    @property
    def streams(self) -> Streams:
        """The stream of the episode as a batch of one, also what is still to come."""
        return self._stream.streams

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begin an episode. The same seed draws the same stream; None goes on from the last one."""
        view, _ = self._stream.reset(seed=seed)
        self._accounts.begin()
        self._seen[:] = 0.0
        agents = self.agents = self.possible_agents.copy()
        self.rewards, self._cumulative_rewards = dict.fromkeys(agents, 0.0), dict.fromkeys(agents, 0.0)
        self.terminations, self.truncations = dict.fromkeys(agents, False), dict.fromkeys(agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: self._first_task() for agent in agents}
        self._give_turn(view)

    def step(self, action: Any) -> None:
        """Place a task of the agent whose turn it is, or drop its job; None where the agent is terminated.

        Raises:
            ValueError: the action is not in the action space, or not None although the agent is terminated.
            gymnasium.error.ResetNeeded: no episode has begun, or all agents are gone.
        """
        self._stream._check_started("step()")
        if not self.agents:
            raise ResetNeeded("the episode is over; call reset() before step()")
        agent = self.agent_selection
        if self.terminations[agent]:
            self._was_dead_step(action)
            return
        view, reward, over, _, _ = self._stream.step(action)
        own = self._accounts.rewards()
        rewards = [reward] * len(own) if self.shared_reward else own.tolist()
        self.rewards = dict(zip(self.agents, rewards, strict=True))
        self._cumulative_rewards[agent] = 0.0
        self._accumulate_rewards()
        self.infos[agent] = self._first_task()
        if over:
            self._end()
        else:
            self._give_turn(view)

    def observe(self, agent: str) -> Observation:
        """What an agent saw at its last turn, which is the present one for ``agent_selection``; zeros before it."""
        self._stream._check_started("observe()")
        seen = self._seen[self._index[self._known(agent)]].copy()
        if not self._is_masked:
            return shown(seen, self._fields)
        info = self.infos.get(agent) or self._first_task()  # PettingZoo takes the infos of who is gone
        return {"observation": seen, "action_mask": info["action_mask"].copy()}

    def render(self) -> Any:
        """What the environment has come to, in the form of the ``render_mode``."""
        return self._stream.render()

    def close(self) -> None:
        """Close the window of render_mode "human"."""
        self._stream.close()

    def _give_turn(self, view: NDArray[np.float32]) -> None:
        """Select the device at which the job arrived."""
        d = int(self._fleet.batch.jobs["device"][0, self._fleet.progress["job"][0]])
        self.agent_selection = self.possible_agents[d]
        self._seen[d] = view
        self.infos[self.agent_selection] = {"action_mask": self._stream.action_masks().astype(np.int8)}

    def _first_task(self) -> dict[str, Any]:
        """The info of an agent whose next task is a job's first, where all actions are allowed."""
        return {"action_mask": np.ones(self._fleet.num_actions, dtype=np.int8)}

    def _end(self) -> None:
        """Terminate all agents."""
        summary = self._accounts.summary()
        for agent, *numbers in zip(self.agents, *(array.tolist() for array in summary.values()), strict=True):
            self.infos[agent].update(zip(summary, numbers, strict=True))
        self.terminations = dict.fromkeys(self.agents, True)
        self._deads_step_first()


def stream_env(
    scenario: str | Mapping[str, Any] | Scenario = DEFAULT_SCENARIO,
    objective: str | None = None,
    render_mode: str | None = None,
    observation: str = "flat",
    shared_reward: bool = False,
) -> OrderEnforcingWrapper:
    """A ``StreamAECEnv`` with these arguments, wrapped as PettingZoo's environments are.

    ``scenario`` says how many devices there are. ``OrderEnforcingWrapper`` says what is called in a wrong order.
    ``AssertOutOfBoundsWrapper`` is left out, as its assertion would take the place of a ValueError that says which
    actions there are.
    """
    return OrderEnforcingWrapper(StreamAECEnv(scenario, objective, render_mode, observation, shared_reward))
