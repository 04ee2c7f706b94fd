"""``offload-gym play``: an epoch of ``offload_gym/Sequential-v0`` decided by hand, in the terminal."""

from __future__ import annotations

import argparse
import secrets
import sys
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from offload_gym.checks import quoted
from offload_gym.command_line.deciding import chosen_policy
from offload_gym.command_line.patience import patience
from offload_gym.command_line.scenario_options import add_scenario_options, chosen_scenario
from offload_gym.command_line.tables import chart, chart_width, milliseconds, text_table
from offload_gym.delay import latency, optimality_gap, schedule
from offload_gym.envs.rendering import OBJECTIVE_NAMES, location_name, render_ansi
from offload_gym.instances import Instances
from offload_gym.policies import preset_of
from offload_gym.scenario import Scenario

QUIT = ("q", "quit", "exit")
OPPONENTS = ("greedy", "student", "exact")

EXAMPLES = """\
For each task, type the number of a location; q ends the game.

examples:
  offload-gym play
  offload-gym play --scenario vision --seed 7
  echo "2 1 0 2 1 2 0 2" | offload-gym play --seed 7
"""


def add_play(commands: Any) -> None:
    """Add ``offload-gym play``."""
    parser = commands.add_parser(
        "play",
        help="step an environment by hand, and compare with greedy, the student and the optimum",
        description="Place the tasks of one epoch of offload_gym/Sequential-v0 by hand, one at a\ntime.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=_play)
    add_scenario_options(parser)
    parser.add_argument("--seed", type=int, help="of the epoch (default: another one each time)")


def _play(options: argparse.Namespace) -> None:
    scenario = chosen_scenario(options)
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    if seed < 0:
        raise ValueError(f"seed is {seed}; it must be at least 0")
    env: Any = gym.make(
        "offload_gym/Sequential-v0",
        scenario=scenario,
        objective=options.objective,
        num_epochs=1,
        observation_noise=options.observation_noise,
    ).unwrapped
    with patience():
        env.reset(seed=seed)
    truth, seen = env.true_instances, env.instances
    print(f"{scenario.label}, seed {seed}: the same epoch again with --seed {seed}\n")
    print(_locations(seen))
    answers = _Answers(seen.num_locations)
    decision = np.full(truth.num_tasks, -1)
    info: dict[str, Any] = {}
    try:
        for i in range(int(truth.task_counts[0])):
            print(f"\n{render_ansi(schedule(seen, decision), width=chart_width())}\n")
            print(_choices(seen, decision, i))
            k = answers.ask(f"task {i} of {truth.task_counts[0]}, location 0 to {seen.num_locations - 1} (q quits): ")
            if k is None:
                print("not finished")
                return
            decision[i] = k
            info = env.step(k)[4]
    except KeyboardInterrupt:
        print("\nnot finished")
        return
    latency_s = info["latency_s"]
    with patience():
        decision = np.where(decision < 0, 0, decision)  # padding
        print(f"\n{chart(truth, decision, options.objective)}\n")
        print(_comparison(options, scenario, truth, seen, latency_s))


class _Answers:
    """The answers of the user, from a line each or, where the input is no terminal, several in a line."""

    def __init__(self, num_locations: int) -> None:
        self.num_locations = num_locations
        self.waiting: list[str] = []

    def ask(self, question: str) -> int | None:
        """A location, or None where the user quits or the input ends."""
        allowed = [str(k) for k in range(self.num_locations)]
        while True:
            print(question, end="", flush=True)
            while not self.waiting:
                line = sys.stdin.readline()
                if not line:
                    print()
                    return None
                self.waiting = line.split() or [""]
            answer = self.waiting.pop(0)
            if not sys.stdin.isatty():
                print(answer)
            if answer.lower() in QUIT:
                return None
            if answer in allowed:
                return int(answer)
            self.waiting = []  # what follows a mistake was meant for other tasks
            print(f"the location is {quoted(answer)}; it must be a whole number from 0 to {self.num_locations - 1}")


def _locations(instances: Instances) -> str:
    """What the policy knows of the locations."""
    K = instances.num_locations
    rows = []
    for k in range(K):
        busy = " ".join(milliseconds(value) for value in np.atleast_1d(instances.backlog_s[0, k]))
        rates = ["-"] * 4
        if k:
            rates = [
                f"{getattr(instances, name)[0, k] / 1e6:.1f}" for name in ("uplink_bps", "downlink_bps", "wired_bps")
            ]
            rates.append(milliseconds(instances.propagation_s[0, k]))
        name = f"{k} {location_name(k, K)}"
        rows.append((name, str(instances.cores[0, k]), f"{instances.cpu_hz[0, k] / 1e9:.2f}", busy, *rates))
    header = ("location", "cores", "GHz", "busy (ms)", "up (Mbit/s)", "down", "wired", "delay (ms)")
    return text_table(header, rows, left=(0,))


def _choices(instances: Instances, decision: NDArray[np.int64], i: int) -> str:
    """The next task, and when it would be complete at each location."""
    K = instances.num_locations
    sizes = instances.tasks[0, i].tolist()
    lines = [
        f"task {i}: {sizes[0] / 1e6:.3g} Mbit to send, {sizes[2] / 1e9:.3g} Gcycles, {sizes[1] / 1e6:.3g} Mbit back"
    ]
    for k in range(K):
        trial = decision.copy()
        trial[i] = k
        complete_s = float(schedule(instances, trial).completion_s[i])
        lines.append(f"  {k} {location_name(k, K):<8} complete at {milliseconds(complete_s):>9} ms")
    return "\n".join(lines)


def _comparison(
    options: argparse.Namespace, scenario: Scenario, truth: Instances, seen: Instances, latency_s: float
) -> str:
    """What the user reached beside what the policies reach; the optimum knows the truth."""
    values: dict[str, tuple[float, str]] = {}
    refusals = []
    for name in OPPONENTS:
        try:
            policy = chosen_policy(name, options.objective, 0, preset_of(scenario))
            decisions = policy.decide(truth if name == "exact" else seen)
        except ValueError as error:
            refusals.append(f"{name} takes no part: {error}")
            continue
        value_s = float(latency(truth, decisions, options.objective)[0])
        values[name] = value_s, " ".join(map(str, decisions[0, : truth.task_counts[0]]))
    optimum_s = np.array([values["exact"][0]])
    what = OBJECTIVE_NAMES.get(options.objective, options.objective)
    rows = []
    for name, (value_s, locations) in {"you": (latency_s, ""), **values}.items():
        gap = optimality_gap(np.array([value_s]), optimum_s)[0]
        rows.append(("optimum" if name == "exact" else name, milliseconds(value_s), f"{100 * gap:.1f}", locations))
    table = text_table(("", f"{what} (ms)", "above the optimum (%)", "locations of tasks"), rows, left=(0, 3))
    return "\n".join([table, *refusals])
