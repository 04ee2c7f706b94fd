"""What the targets of the Makefile run is what the commands take."""

import shlex
import subprocess
from pathlib import Path

import pytest

import benchmarks.__main__ as benchmarks_command
from agents import training
from agents.__main__ import main as agents_main

ROOT = Path(__file__).parents[1]


def commands(target: str) -> list[list[str]]:
    """The modules that a target runs, each with its arguments."""
    made = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", target, "BIN=bin", "STAMP="],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    words = [shlex.split(line) for line in made.stdout.replace("\\\n", " ").splitlines()]
    return [line[2:] for line in words if line[:2] == ["bin/python", "-m"]]


@pytest.fixture
def trained(monkeypatch):
    """What `python -m agents` was told to train: folder, settings, names."""
    calls = []
    monkeypatch.setattr(training, "train_all", lambda *given, only: calls.append((*given, only)))
    return calls


def test_the_demo_runs_as_one_job(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results/agents").mkdir(parents=True)
    compared, compared_streams, reported = [], [], []
    monkeypatch.setattr(benchmarks_command, "compare", lambda *given: compared.append(given))
    monkeypatch.setattr(benchmarks_command, "compare_streams", lambda *given: compared_streams.append(given))
    monkeypatch.setattr(
        benchmarks_command, "write_report", lambda *given: reported.append(given) or (tmp_path / "results")
    )
    (_, *agents), (_, *policies), (_, *streams), (_, *report) = commands("demo")
    assert agents_main(agents) == 0
    assert benchmarks_command.main(policies) == 0
    assert benchmarks_command.main(streams) == 0
    streams_json = Path(compared_streams[0][3])
    streams_json.write_text("[]")
    assert benchmarks_command.main(report) == 0
    # Labels, teacher, students and one agent of reinforcement learning, on a part of the budget of `make policies`.
    ((folder, settings, only),) = trained
    assert only == ["sequential-teacher", "sequential-student", "sequential-small-student", "ppo-sequential"]
    full = training.Settings()
    assert settings.teacher_passes < full.teacher_passes
    assert settings.rl_placements < full.rl_placements
    # Each command reads what the one before it wrote.
    assert [str(path) for path in compared[0][2].folders] == [folder]
    assert reported[0][1][0] == Path(compared[0][3].json)
    assert str(reported[0][2]) == folder
    assert reported[0][4] == [streams_json]


def test_the_full_run_trains_what_the_package_ships(trained):
    lines = [arguments for module, *arguments in commands("policies") if module == "agents"]
    for arguments in lines:
        if arguments[0].startswith("--"):
            assert agents_main(arguments) == 0
    by_folder = {folder: (settings, only) for folder, settings, only in trained}
    assert by_folder["results/policies/n8"] == (training.Settings(), ())
    assert {"results/policies/vision", "results/policies/multi_edge"} < by_folder.keys()
