"""``offload-gym envs``: the environments and the presets of scenarios."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

import gymnasium as gym

from offload_gym.command_line.tables import text_table
from offload_gym.scenario import PRESETS, SUMMARIES, make_scenario

WIDTH = 80


def add_envs(commands: Any) -> None:
    """Add ``offload-gym envs``."""
    parser = commands.add_parser(
        "envs",
        help="list the environments and the presets of scenarios",
        description="List the environments, with their spaces in the default scenario, and the presets of scenarios.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=_list)


def environment_ids() -> list[str]:
    """The ids of the registered environments of the package."""
    return [name for name in gym.registry if name.startswith("offload_gym/")]


def _list(options: argparse.Namespace) -> None:
    print("environments, for gymnasium.make(id, scenario=PRESET)")
    for name in environment_ids():
        env = gym.make(name)
        summary = (env.unwrapped.__doc__ or "").partition("\n")[0]
        print(textwrap.fill(f"{name}: {summary}", WIDTH, initial_indent="  ", subsequent_indent="    "))
        # Gymnasium wraps spaces of many entries over lines.
        print(f"    actions       {' '.join(str(env.action_space).split())}")
        print(f"    observations  {' '.join(str(env.observation_space).split())}")
        env.close()
    rows = []
    for name in PRESETS:
        scenario = make_scenario(name)
        sizes = sorted({application.num_tasks for application in scenario.graphs}) or [scenario.num_tasks]
        tasks = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]}-{sizes[-1]}"
        rows.append((name, tasks, str(scenario.num_locations), SUMMARIES[name]))
    print("\npresets of scenarios, with their tasks n and locations K")
    print(textwrap.indent(text_table(("preset", "n", "K", ""), rows, left=(0, 3)), "  "))
    print("\n`offload-gym play` steps an environment by hand.")
