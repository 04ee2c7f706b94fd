"""``python -m benchmarks streams``: policies on the same fresh streams, from scenarios to tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.analysis import check_place, shown_name, write_json
from benchmarks.plots import profiles
from benchmarks.streams.analysis import Played, References, least_costs, pooled, print_rows, print_sweep, row_of
from benchmarks.streams.capacity import capacity
from benchmarks.streams.contenders import REFERENCE, Contender, contenders
from benchmarks.streams.plots import change_against_delay, queue_lengths, response_against_load
from benchmarks.streams.timing import decide_us
from offload_gym.array_checks import check_count
from offload_gym.checks import checked_count
from offload_gym.progress import with_progress
from offload_gym.radio.epochs import RECORDING_FIELDS
from offload_gym.scenario import Scenario
from offload_gym.seeds import check_seed, seed_for
from offload_gym.streams.bounds import lower_bound
from offload_gym.streams.hindsight import hindsight
from offload_gym.streams.playing import play
from offload_gym.streams.policies import PlannerPolicy
from offload_gym.streams.responses import Outcome, check_can_lose, outcome_of, stream_costs
from offload_gym.streams.sampling import sample_streams
from offload_gym.streams.streams import Streams

LOADS = (0.3, 0.45, 0.6, 0.75, 0.9, 1.1)
BURST_RATIOS = (1.0, 2.0, 5.0, 10.0, 20.0)
CORRELATIONS = (0.0, 0.5, 0.735, 0.95)
NUM_DEVICES = (1, 2, 4, 8, 16, 32, 64)
REPORTS_S = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0)
SWEEPS = ("load", "burst", "radio", "devices", "report")
SHARE_OF_CAPACITY = 0.8  # at which streams of several devices are compared
JOBS_FOR_CAPACITY = 60  # of each device, from which the capacity is computed
FEWEST_STREAMS = 10
#: Policies whose queues are drawn, the best ones last: greedy and the last two of these that take part.
DRAWN = ("price", "queue-price", "late-price", "planner", "student", "teacher")


class Asked(NamedTuple):
    """What is compared, and how much of it."""

    objective: str = "response"
    policies: Sequence[str] = ()  # all where none is given
    folders: Sequence[Path] = ()  # of trained policies; several: of the same training with different seeds
    seed: int = 0
    num_streams: int = 400
    num_planned: int = 40  # streams that the planner plays, which takes long; 0: it takes no part
    num_hindsight: int = 20  # streams that are decided in hindsight; 0: none


def compare_streams(
    scenarios: Sequence[Scenario],
    asked: Asked,
    sweep: str | None = None,
    json_path: str | None = None,
    plots: str | None = None,
) -> list[dict[str, Any]]:
    """Compare policies on fresh streams, print a table for each scenario, and return all rows.

    Args:
        scenarios: what streams are drawn from, one comparison each.
        asked: what is compared.
        sweep: one of ``SWEEPS``, in which the scenarios are varied; None: as they are.
        json_path: where to write the rows.
        plots: folder of the pictures.

    Raises:
        ValueError: an argument is out of its bounds.
    """
    check_count("num_streams", asked.num_streams)
    for name in ("num_planned", "num_hindsight"):
        checked_count(name, getattr(asked, name), 0)
    check_seed(asked.seed)
    check_outputs(json_path, plots)
    rows: list[dict[str, Any]] = []
    said: set[str] = set()
    for scenario in scenarios:
        points = [("", scenario, None)] if sweep is None else points_of(sweep, scenario, asked.seed)
        swept = []
        for at, varied, load in with_progress(points, f"{scenario.name}: {sweep}", "point") if sweep else points:
            found, queues = _compare(varied, _scaled(asked, scenario, varied), said)
            swept += [row | {"sweep": sweep, "at": at, "load": load} for row in found]
            if sweep is None:
                print_rows(found)
                if plots is not None:
                    end = f"{varied.name}-{found[0]['arrivals_per_s']:.3g}"
                    if any(row["change"] is not None for row in found):
                        change_against_delay(Path(plots) / f"change_against_delay-{end}.png", found)
                    excess = "excess over the best policy's on the same stream, at most (%)"
                    most = max(row["num_streams"] for row in found)
                    names = {shown_name(row): row for row in found if row["num_streams"] == most}  # no planner of a few
                    profiles(Path(plots) / f"profiles-{end}.png", names, excess, "share of streams")
                    queue_lengths(Path(plots) / f"queue_lengths-{end}.png", *queues)
        if sweep is not None:
            print_sweep(swept, sweep)
            if sweep == "load" and plots is not None:
                response_against_load(Path(plots) / f"response_against_load-{scenario.name}.png", swept)
        rows += swept
    if json_path is not None:
        write_json(json_path, rows)
    for what, path in (("rows", json_path), ("plots", plots if sweep in (None, "load") else None)):
        if path is not None:
            print(f"{what}: {path}")
    return rows


def check_outputs(json_path: str | None, plots: str | None) -> None:
    """ValueError where the rows or the pictures cannot be written, which else were known after all was played."""
    if json_path is not None:
        if Path(json_path).is_dir():
            raise ValueError(f"json_path is {json_path}, a folder; it must be a file")
        check_place("json_path", Path(json_path).parent)
    if plots is not None:
        check_place("plots", plots)


def _scaled(asked: Asked, scenario: Scenario, varied: Scenario) -> Asked:
    """As much of what is asked for, or fewer streams where they have more jobs."""

    def fewer(count: int) -> int:
        return min(count, max(count * scenario.num_jobs // varied.num_jobs, FEWEST_STREAMS))

    return asked._replace(
        num_streams=fewer(asked.num_streams),
        num_planned=fewer(asked.num_planned),
        num_hindsight=fewer(asked.num_hindsight),
    )


def points_of(sweep: str, scenario: Scenario, seed: int) -> list[tuple[str, Scenario, float | None]]:
    """The scenarios of a sweep, each with what tables call it and, in a sweep over load, the share of the capacity."""
    if sweep == "load":
        most = capacity(scenario, seed)
        print(f"capacity of {scenario.name}: {most:.1f} jobs/s at each device")
        return [(f"{load:g}", replace(scenario, arrivals_per_s=load * most), load) for load in LOADS]
    if sweep == "devices":
        return [_of_devices(m, scenario, seed) for m in NUM_DEVICES]
    named: list[tuple[str, dict[str, Any]]] = []
    if sweep == "report":
        named = [(f"{report_s:g} s", {"report_s": report_s}) for report_s in REPORTS_S]
    elif sweep == "burst":
        if scenario.arrivals == "trace":
            raise ValueError(f"sweep is 'burst', which needs arrivals at random; {scenario.arrivals_path} records them")
        named = [(f"x{ratio:g}", {"arrivals": "bursty", "burst_ratio": ratio}) for ratio in BURST_RATIOS]
    else:
        if scenario.mobility != "none":
            raise ValueError(
                f"sweep is 'radio', which needs devices that do not move; mobility is {scenario.mobility!r}, from "
                "which their rates follow"
            )
        # Without the trace that the scenario may have.
        plain: dict[str, Any] = {"radio": "random", **dict.fromkeys(RECORDING_FIELDS)}
        named = [("recorded", {})] if scenario.radio == "trace" else []
        named += [(f"corr. {value:g}", plain | {"correlation": value}) for value in CORRELATIONS]
        named.append(("constant", plain | {"radio": "constant"}))
    return [(at, replace(scenario, **changes), None) for at, changes in named]


def _of_devices(m: int, scenario: Scenario, seed: int) -> tuple[str, Scenario, float]:
    """The scenario with m devices, as many jobs each, and at the same share of what the machines take."""
    few = replace(scenario, num_devices=m, num_jobs=JOBS_FOR_CAPACITY * m)
    rate = round(SHARE_OF_CAPACITY * capacity(few, seed), 2)
    print(f"{scenario.name}, {m} devices: {rate:g} jobs/s at each are {SHARE_OF_CAPACITY:g} of the capacity")
    num_jobs = scenario.num_jobs * m // scenario.num_devices
    return f"m = {m}", replace(few, arrivals_per_s=rate, num_jobs=num_jobs), SHARE_OF_CAPACITY


def _compare(
    scenario: Scenario, asked: Asked, said: set[str]
) -> tuple[list[dict[str, Any]], tuple[Streams, dict[str, Outcome]]]:
    """The rows of one scenario, and what is drawn of its queues. What is left out is printed and kept in ``said``."""
    check_can_lose(scenario.can_lose, asked.objective)
    streams = sample_streams(scenario, asked.num_streams, seed_for("test", asked.seed))
    if asked.objective == "late" and not (scenario.can_lose or np.isfinite(streams.deadline_s).any()):
        raise ValueError(f"objective is 'late', but the jobs of {scenario.label} have no deadlines")
    listed, left_out = contenders(scenario, asked.objective, asked.policies, asked.folders, asked.seed)
    for line in left_out:
        if line not in said:
            print(line)
            said.add(line)
    if asked.num_planned == 0:
        listed = [one for one in listed if not isinstance(one.policy, PlannerPolicy)]
    played = [_played(one, streams, asked) for one in with_progress(listed, scenario.name, "policy")]
    # Of several training seeds the first; a network of the folders before a shipped one of its name.
    by_name: dict[str, Played] = {}
    for one in sorted(played, key=lambda one: one.shipped):
        by_name.setdefault(one.name, one)
    greedy = by_name[REFERENCE].costs[0]
    references = _references(streams[: asked.num_hindsight], played, scenario, asked) if asked.num_hindsight else None
    least, device = least_costs(played), streams.device
    rows = [row_of(one, greedy, least, references, scenario, asked.objective, device) for one in pooled(played)]
    shown = [REFERENCE, *[name for name in DRAWN if name in by_name][-2:]]
    return rows, (streams, {name: by_name[name].outcome for name in shown})


def _played(contender: Contender, streams: Streams, asked: Asked) -> Played:
    policy = contender.policy
    some = streams[: asked.num_planned] if isinstance(policy, PlannerPolicy) else streams
    outcome = play(some, policy)
    costs = stream_costs(some, outcome, asked.objective)[None]
    time_us = decide_us(policy, streams[:1])
    return Played(contender.name, contender.shipped, policy.num_parameters, outcome, costs, time_us)


def _references(streams: Streams, played: Sequence[Played], scenario: Scenario, asked: Asked) -> References | None:
    """What hindsight reaches, and the bound where it holds; None for an objective that hindsight does not know.

    It searches from where it gets furthest with jobs of one task, and from the best that a policy decided.
    """
    if asked.objective == "cost":
        return None
    size, can_drop = len(streams), scenario.can_drop and asked.objective == "late"
    able = [one for one in played if one.costs.shape[1] >= size]
    best = np.argmin([one.costs[0, :size] for one in able], axis=0)
    decisions = np.array([able[of].outcome.decisions[b] for b, of in enumerate(best)])
    costs = []
    for start in (None, decisions):
        decided = hindsight(streams, start, objective=asked.objective, can_drop=can_drop)
        costs.append(stream_costs(streams, outcome_of(streams, decided), asked.objective))
    bounded = asked.objective == "response" and streams.batch.sites.shape[2] == 1  # the bound knows no handover
    return References(np.minimum(*costs), lower_bound(streams) if bounded else None)
