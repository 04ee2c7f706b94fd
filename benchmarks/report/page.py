"""From files of results to the page."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from benchmarks.analysis import NOTE, front, shown_name
from benchmarks.contenders import SUFFIX
from benchmarks.plots import STYLES, family
from benchmarks.policies import BESIDE_CURVES
from benchmarks.report.explorer import explorer
from benchmarks.report.moving import moving
from benchmarks.statistics import TAUS
from benchmarks.streams.analysis import title_of
from offload_gym import __version__
from offload_gym.checks import is_number, quoted
from offload_gym.files import replacing
from offload_gym.networks.policy_file import load_network
from offload_gym.scenario import digest_of

HERE = Path(__file__).parent
SCRIPTS = ("chart.js", "comparison.js", "explorer.js", "page.js")
NAME = "index.html"
# What the page takes of a row. Fields that begin with `gap_` may be null: the gap is infinite.
TEXTS = ("policy", "scenario", "objective")
GAPS = ("gap_mean", "gap_p95", "gap_max", "exact_match", "label_accuracy")
NUMBERS = ("num_tasks", "num_edges", *GAPS, "decide_us_p50", "decide_us_p99", "num_parameters")
WITH_DELAY = ("gap_with_delay", "gap_with_delay_on_slow_device")
OF_SEEDS = ("num_seeds", "gap_least_seed", "gap_most_seed", "change_least_seed", "change_most_seed")
FURTHER = ("num_instances", *OF_SEEDS[:3], "gap_mean_high", "gap_iqm", "optimal_share", *WITH_DELAY)
SIGNED = ("gap_mean_low", "difference", "difference_low", "difference_high")  # may be below 0
STREAM_TEXTS = ("policy", "scenario", "objective")
STREAM_NUMBERS = ("arrivals_per_s", "num_devices", "late_share", "decide_us_p50", "num_parameters")
STREAM_FURTHER = (
    "report_s",
    "failure_share",
    "num_streams",
    "response_mean_s",
    "response_p95_s",
    "response_p99_s",
    "energy_mean_j",
    "change",
    "change_low",
    "change_high",
    "change_iqm",
    OF_SEEDS[0],
    *OF_SEEDS[3:],
    "hindsight_share",
    "jain_mean",
    "worst_over_mean",
)  # of which some may be null, or not there
NOISE, DIGEST, SHIPPED, AGAINST, PROFILE = "observation_noise", "scenario_digest", "shipped", "against", "profile"
OTHERS = (NOISE, DIGEST, SHIPPED, AGAINST, PROFILE)


def write_report(
    folder: Path,
    policy_files: Sequence[Path],
    agents_folder: Path | None,
    seed: int,
    stream_files: Sequence[Path] = (),
) -> Path:
    """Write ``folder/index.html`` from rows of ``benchmarks policies`` or ``front``; returns its path.

    The learning curves are those of the policy files in ``agents_folder``; ``stream_files`` are rows of ``benchmarks
    streams``.
    """
    if folder.is_file():
        raise ValueError(f"{folder} is a file; it must be a folder")
    comparisons = [comparison for path in policy_files for comparison in read_comparisons(path)]
    curves = [] if agents_folder is None else read_curves(agents_folder, comparisons)
    data = {
        "version": __version__,
        "seed": seed,
        "note": NOTE,
        "taus": TAUS,
        "families": [{"name": name, "marker": marker} for name, (_, marker) in STYLES.items()],
        "comparisons": comparisons,
        "curves": curves,
        "streams": [comparison for path in stream_files for comparison in read_streams(path)],
        "moving": moving(seed),
        "explorer": explorer(seed),
    }
    path = folder / NAME
    with replacing(path) as temporary:
        temporary.write_text(page(data), encoding="utf-8")
    return path


def page(data: dict[str, Any]) -> str:
    """The page with its style, its script and its data inside."""
    parts = {
        "style": _read("page.css"),
        "script": "\n".join(map(_read, SCRIPTS)),
        # "<" would end the script element where "/script>" follows.
        "data": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    }
    return Template(_read("page.html")).substitute(parts)


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _read_rows(path: Path, wanted: str) -> list[dict[str, Any]]:
    """A list of rows; ValueError where the file cannot be read, or holds something else."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}; `make demo` writes results/policies.json") from None
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path} holds no list of rows; {wanted}")
    return rows


def read_streams(path: Path) -> list[dict[str, Any]]:
    """The rows of ``benchmarks streams`` in a file, one comparison for each scenario in it.

    The page has no room for sweeps: they are left out, which is said.

    Raises:
        ValueError: the file cannot be read, or holds something else.
    """
    wanted = "it must hold the rows that `python -m benchmarks streams --json` writes"
    together: dict[tuple[str, str], list[dict[str, Any]]] = {}
    rows = _read_rows(path, wanted)
    num_swept = sum(row.get("sweep") is not None for row in rows)
    if num_swept:
        print(f"left out {num_swept} of {len(rows)} rows of {path}: they are of a sweep")
    for number, row in enumerate(rows):
        if row.get("sweep") is not None:
            continue
        for name in (*STREAM_TEXTS, *STREAM_NUMBERS):
            if name not in row:
                raise ValueError(f"{path} has no {name} in row {number}; {wanted}")
        shown_as, names = shown_name(row), (*STREAM_TEXTS, *STREAM_NUMBERS, *STREAM_FURTHER, PROFILE)
        digest = str(row.get(DIGEST))
        row = {name: row[name] for name in names if row.get(name) is not None}
        for name, value in row.items():
            fits = _is_profile(value) if name == PROFILE else _is_finite(value)
            if name in STREAM_TEXTS:
                fits = isinstance(value, str)
            if not fits or (name == "decide_us_p50" and value <= 0):
                raise ValueError(f"{path} has {quoted(value)} as {name} in row {number}; {wanted}")
        shown = row | {"policy": shown_as, "family": [*STYLES].index(family(row["policy"]))}
        together.setdefault((title_of(row), digest), []).append(shown)
    return [{"title": title, "rows": _without_one_seed(rows)} for (title, _), rows in together.items()]


def read_comparisons(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, one comparison for each scenario, size and objective in it.

    Raises:
        ValueError: the file cannot be read, or holds something else.
    """
    wanted = "it must hold the rows that `python -m benchmarks policies --json` writes"
    rows = _read_rows(path, wanted)
    together: dict[Key, list[dict[str, Any]]] = {}
    for number, row in enumerate(rows):
        for name in (*TEXTS, *NUMBERS):
            if name not in row:
                raise ValueError(f"{path} has no {name} in row {number}; {wanted}")
        # Nothing else of the row comes onto the page.
        row = {name: row[name] for name in (*TEXTS, *NUMBERS, *FURTHER, *SIGNED, *OTHERS) if name in row}
        for name, value in row.items():
            if not _fits(name, value):
                raise ValueError(f"{path} has {quoted(value)} as {name} in row {number}; {wanted}")
        together.setdefault(_key(row), []).append(row | {"policy": shown_name(row)})
    return [_comparison(path, rows) for rows in together.values()]


def _fits(name: str, value: object) -> bool:
    """Whether a field of a row is what the page can show."""
    if name in (*TEXTS, DIGEST, AGAINST):
        return isinstance(value, str)
    if name == NOISE:
        return value == "last" or _is_number(value)
    if name == SHIPPED:
        return isinstance(value, bool)
    if name == PROFILE:
        return _is_profile(value)
    if name in SIGNED:
        return value is None or _is_finite(value)
    if name.startswith("decide_us"):
        return _is_number(value) and value > 0  # type: ignore[operator]  # on a logarithmic axis
    return _is_number(value) or (value is None and name.startswith("gap_"))


def _is_profile(value: object) -> bool:
    return isinstance(value, list) and len(value) == len(TAUS) and all(_is_number(share) for share in value)


def _is_number(value: object) -> bool:
    return _is_finite(value) and value >= -1e-9  # type: ignore[operator]


def _is_finite(value: object) -> bool:
    return is_number(value) and math.isfinite(value)  # type: ignore[arg-type]


def _comparison(path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    first = rows[0]
    infinite = [row | {"gap_mean": math.inf} if row["gap_mean"] is None else row for row in rows]
    return {
        "title": _title(_key(first)),
        "key": _key(first),
        "file": path.name,
        "num_instances": first.get("num_instances"),
        "front": front(infinite),
        "rows": [row | {"family": [*STYLES].index(family(row["policy"]))} for row in _without_one_seed(rows)],
    }


def _without_one_seed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without columns of training seeds where there is one seed alone."""
    if any(row.get("num_seeds", 1) > 1 for row in rows):
        return rows
    return [{name: value for name, value in row.items() if name not in OF_SEEDS} for row in rows]


class Key(NamedTuple):
    """What the policies of one table or figure have in common."""

    scenario: str
    objective: str
    num_tasks: int | None  # at most; None where it is not known
    num_locations: int
    noise: float | str
    digest: str  # of all fields of the scenario; empty where they are not known


def _key(row: dict[str, Any]) -> Key:
    return Key(
        scenario=row["scenario"],
        objective=row["objective"],
        num_tasks=row["num_tasks"],
        num_locations=row["num_edges"] + 2,
        noise=row.get(NOISE, 0.0),
        digest=row.get(DIGEST, ""),
    )


def _title(key: Key) -> str:
    title = f"{key.scenario}, n = {key.num_tasks or 'unknown'}, K = {key.num_locations}, {key.objective}"
    return f"{title}, observation noise {key.noise}" if key.noise else title


def read_curves(folder: Path, comparisons: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Learning curves of the agents of a folder, one figure for each scenario, size, objective and noise in it.

    Beside them stands the gap of some policies in the first comparison of the same.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; it must be one of policies that `python -m agents` trained")
    together: dict[Key, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        network = load_network(path)
        if not network.learning_curve:
            continue
        agent = {"policy": path.name.removesuffix(SUFFIX), "points": [list(point) for point in network.learning_curve]}
        key = Key(
            scenario=network.scenario,
            objective=network.objective,
            num_tasks=network.trained_tasks and network.trained_tasks[1],
            num_locations=len(network.cores),
            noise=network.observation_noise,
            digest="" if network.scenario_fields is None else digest_of(network.scenario_fields),
        )
        together.setdefault(key, []).append(agent)
    return [
        {"title": _title(key), "agents": agents, "beside": _beside(comparisons, key)}
        for key, agents in together.items()
    ]


def _beside(comparisons: Sequence[dict[str, Any]], key: Key) -> list[dict[str, Any]]:
    for comparison in comparisons:
        if comparison["key"] == key:
            return [
                {"policy": row["policy"], "gap": row["gap_mean"]}
                for row in comparison["rows"]
                if row["policy"] in BESIDE_CURVES and row["gap_mean"] is not None
            ]
    return []
