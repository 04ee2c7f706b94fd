"""``offload_gym/Stream-v0``: jobs keep coming, and one step decides the next task of the job that has just arrived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from offload_gym.envs.buffers import Buffers
from offload_gym.envs.native import NativeVectorEnv, VectorStep, refuse
from offload_gym.envs.orders import STEP
from offload_gym.envs.single import SingleEnv
from offload_gym.envs.stream_fleet import StreamFleet
from offload_gym.mobility import sites_of
from offload_gym.observation_layout import Observation
from offload_gym.scenario import Scenario, as_scenario
from offload_gym.streams.columns import column_table, stream_observed
from offload_gym.streams.streams import Streams


class StreamEnv(SingleEnv):
    """Offloading of jobs that keep coming: what was decided before is still in the queues.

    ## Description
    Jobs arrive at devices over time. Each is one task, several independent ones, or an application. All its tasks are
    decided when it arrives, one a step, in index order; each runs on the job's own device or on a server. Radios send
    one transmission at a time, cores take the task that became ready first, and the devices that send share the
    spectrum; docs/streams.md says exactly what is served when. Rates change from slot to slot. So a decision delays the
    jobs that come later, and the best decision for the job alone is not the best decision. With several devices the
    observation is that of the device at which the job arrived. In an episode the jobs of one stream are decided;
    machines, rates and jobs are drawn from the scenario, and the stream of ``reset(seed=s)`` is that of
    ``sample_streams(scenario, 1, s)``.

    ## Action space
    ``Discrete(K)``: the location of the task; 0 is the device, 1..K-2 the edge servers, K-1 the cloud. Where the
    scenario lets jobs be dropped (``can_drop``) ``Discrete(K + 1)``: K drops the whole job, which is allowed at its
    first task alone. ``env.unwrapped.action_masks()`` says so; a drop at a later task is an error.

    ## Observation space
    What a policy may know before it places the task, never the future: its device's queues and rates, the job, and the
    servers as they were at the last report (the scenario's ``report_s``; 0: as they are). ``observation="flat"``: one
    vector, ``Box(0, 34, (size,), float32)``. ``observation="dict"``: the same numbers as named fields, ``Box(0, 34,
    (K,), float32)`` for what is of each location k, ``Box(0, 34, (1,), float32)`` for the rest:

    {columns}

    A number is the root of what its column counts (4 s are 2), and beyond 100 grows like a logarithm, 10 + 5 log(x /
    100), up to 10,000; so long is also what is never, as a deadline where there is none, or all that needs the radio in
    an outage before which no rate was seen. The radio is expected to go on at the rate of the current slot, shared with
    the devices that sent at the last report, and no further job is expected. The cores of a server that is down look
    busy until its expected repair. ``offload_gym.streams.columns.stream_columns(scenario)`` lists the vector number by
    number. The fields are views of one vector, made anew in each step. After the last step all numbers are 0.

    ## Reward
    Minus what accrued since the last decision under ``objective``: the number of jobs in the system integrated over
    time ("response"), the jobs that became late or were dropped or lost ("late"), or the former plus the energy of the
    devices times the scenario's ``energy_weight_s_per_j`` ("cost"). A job is lost when a server fails that has one of
    its tasks, or is down when the task gets there (``failure_tasks="lost"``), and counts from that moment on unless it
    is late already. The return of an episode is minus the sum of the responses, or minus the number of late jobs,
    exactly. Steps that decide another task than a job's last one have the reward 0,
    as no time passes; jobs may also arrive at the same moment.

    ## Starting state
    The first job has arrived; all queues are empty.

    ## Episode end
    ``terminated`` with the last task of the last job. That step also holds all that accrues until the system is
    drained. The environment itself never truncates. A step after the end warns, and changes nothing.

    ## Information
    With several devices ``info["device"]`` says in ``reset`` and in each step whose job is to be placed next: a number
    from 0 to m - 1; it is missing where there is none, at the end of an episode.

    At the end of an episode: ``info["response_mean_s"]`` and ``info["response_p95_s"]``, mean and 95 % quantile of the
    responses of the jobs that were neither dropped nor lost, in seconds; ``info["late_share"]``, the share of all jobs
    that were late, dropped or lost, and ``info["lost_share"]``, of those that were lost; ``info["energy_j"]``, joules
    that the devices spent. ``env.unwrapped.streams`` is the stream of the
    episode, also what is still to come: no policy may see that, but whoever evaluates may.

    ## Arguments
    - ``scenario="stream"``: a preset's name, a dict of a preset's name and what to change ("stream" without a name),
      or a ``Scenario``.
    - ``objective=None``: "response", "late" or "cost". None: "late" where jobs may be dropped or lost, else "response".
      The other two do not fit there: a job that is dropped would cost nothing, and one that is lost has no response.
      "late" does not fit where no job has a deadline and none can be lost.
    - ``observation="flat"``: "flat" or "dict", see above.
    - ``render_mode=None``: the last seconds as a Gantt chart of radios and cores that scrolls with time, as "ansi"
      (text), "rgb_array" (pixels; needs matplotlib) or "human" (a window that follows each step; needs matplotlib,
      pygame and a display, and says so where there is none). Where devices move, pixels show a map beside the chart.

    ## Version history
    v0: first version.
    """

    metadata = {"render_modes": ["ansi", "rgb_array", "human"], "render_fps": 8}  # noqa: RUF012 (Gymnasium's convention)
    _fleet: StreamFleet

    def __init__(
        self,
        scenario: str | Mapping[str, Any] | Scenario = "stream",
        objective: str | None = None,
        render_mode: str | None = None,
        observation: str = "flat",
    ) -> None:
        super().__init__(render_mode)
        self.scenario = as_scenario(scenario, "stream")
        fleet = StreamFleet(self.scenario, 1, objective)
        self.objective = fleet.objective
        observed = stream_observed(self.scenario.num_locations, observation)
        self._take(fleet, observed, Discrete(fleet.num_actions))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode."""
        observation, info = super().reset(seed=seed, options=options)
        return observation, info | self._whose_turn()

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Place a task or drop its job; errors as in ``SingleEnv``."""
        *seen, info = super().step(action)
        return *seen, info | self._whose_turn()

    def _whose_turn(self) -> dict[str, int]:
        """What the info says of the device whose job is being decided, where there are several."""
        if self.scenario.num_devices == 1 or self._over:
            return {}
        return {"device": int(self._fleet.whose_turn()[0][0])}

    @property
    def streams(self) -> Streams:
        """The stream of the episode as a batch of one, also what is still to come."""
        self._check_started("streams")
        return self._fleet.streams()

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are allowed in the next step, in the form that sb3-contrib's MaskablePPO asks for.

        Returns:
            (K,), all true, or (K + 1,) where jobs may be dropped: all true but for the last one, which is false unless
            the next task is a job's first.
        """
        return super().action_masks()

    def _picture(self) -> Any:
        return self  # drawn from the fleet as it stands

    _first_picture = _picture

    def _drawn(self) -> Any:
        from offload_gym.envs.stream_viewer import StreamViewer

        if self._viewer is None:
            moves = self.scenario.mobility != "none"
            sites_m = sites_of(self.scenario.to_dict()).xy_m if moves else None
            self._viewer = StreamViewer(self.metadata["render_fps"], sites_m)
        return self._viewer.show(self._fleet, self.render_mode)

    def _bad(self, action: Any) -> ValueError:
        last = self.scenario.num_locations - 1
        drop = f", or {last + 1} at a job's first task, to drop it" if self._fleet.num_actions > last + 1 else ""
        task = int(self._fleet.progress["task"][0])
        bound = f"one whole number from 0 to {last}{drop}"
        return ValueError(f"the action for task {task} of the job is {action!r}; it must be {bound}")


if StreamEnv.__doc__:  # python -OO leaves none
    _LINES = column_table().replace("\n", "\n    ")
    StreamEnv.__doc__ = StreamEnv.__doc__.replace("{columns}", _LINES)


class VectorStreamEnv(NativeVectorEnv):
    """N environments ``offload_gym/Stream-v0`` that step together; see ``StreamEnv`` for what each of them is.

    Args:
        num_envs: N, how many.
        scenario, objective, observation: as in ``StreamEnv``.
        autoreset_mode, num_threads: as in ``NativeVectorEnv``.

    Raises:
        ValueError: an argument is unknown or out of its bounds.
    """

    _fleet: StreamFleet

    def __init__(
        self,
        num_envs: int = 1,
        scenario: str | Mapping[str, Any] | Scenario = "stream",
        objective: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        num_threads: int | None = None,
        observation: str = "flat",
        **of_single: Any,
    ) -> None:
        refuse(of_single, "the last job of the stream")
        super().__init__(num_envs, autoreset_mode, num_threads)
        self.scenario = as_scenario(scenario, "stream")
        fleet = StreamFleet(self.scenario, num_envs, objective)
        self.objective = fleet.objective
        observed = stream_observed(self.scenario.num_locations, observation)
        self._take(fleet, observed, Discrete(fleet.num_actions))

    @property
    def streams(self) -> Streams:
        """The streams of the episodes as a batch of N, also what is still to come."""
        self._check_started("streams")
        return self._fleet.streams()

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
        out: Buffers | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin new episodes, as in ``NativeVectorEnv``."""
        observations, infos = super().reset(seed=seed, options=options, out=out)
        return observations, infos | self._whose_turn()

    def _finish(self, turn: Any) -> VectorStep:
        *seen, infos = super()._finish(turn)
        return *seen, infos | self._whose_turn()

    def _whose_turn(self) -> dict[str, NDArray[Any]]:
        """What the infos say of the devices whose jobs are being decided, where there are several."""
        devices, decides = self._fleet.whose_turn()
        if self.scenario.num_devices == 1 or not decides.any():
            return {}
        return {"device": np.where(decides, devices, 0), "_device": decides}

    def _check_now(self, orders: NDArray[np.int64], actions: NDArray[np.int64]) -> None:
        num_locations, task = self.scenario.num_locations, self._fleet.progress["task"]
        late = (orders == STEP) & (actions[:, 0] == num_locations) & (task > 0)
        if late.any():
            b = int(np.flatnonzero(late)[0])
            raise ValueError(
                f"actions[{b}] is {num_locations}, which drops a job, at its task {task[b]}; it must be from 0 to "
                f"{num_locations - 1}, as a job is dropped at its first task"
            )
