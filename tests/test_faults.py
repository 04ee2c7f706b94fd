"""Whatever happens to a command, what stands under a final name is whole, and one sentence says how to go on."""

import csv
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import offload_gym as og
from offload_gym.command_line.exit_codes import sentence
from offload_gym.files import LEFT_OVER_S, replacing
from offload_gym.networks.policy_file import load_network

pytest.importorskip("joblib")
if not hasattr(signal, "SIGKILL"):
    pytest.skip("signals of POSIX", allow_module_level=True)

from faults import begin, end, kill_often, run

SOON_S = 2.0
LATE_S = 10.0  # where other tests run beside
BESIDE_OTHERS = "PYTEST_XDIST_WORKER" in os.environ
KILLS = 50
WEIGHTS = Path(og.__file__).parent / "weights"
SHARDS = ("--num-tasks", "5", "--num-instances", "4000", "--shard-size", "200", "--num-jobs", "1")
STREAMS = ("--num-jobs", "20", "--rounds", "2", "--streams-a-round", "4", "--num-futures", "2", "--future-jobs", "5")
STREAMS = (*STREAMS, "--num-validation", "4", "--passes", "1")
CELLS = ("--steps", "3", "--devices-a-step", "8", "--num-validation", "2", "--sizes", "1", "2")
IMITATORS = ("sequential-teacher", "sequential-student", "sequential-small-student")
TRAINING = ("agents", "--num-labels", "200", "--num-tasks", "3", "--teacher-passes", "1", "--student-passes", "1")
# What takes minutes at its smallest from the command line, as programs; the folder is the last argument.
GRAPHS = """
import sys
from agents.graph_learning import GraphSettings, learn
from offload_gym.scenario import make_scenario
steps = {"rounds": 1, "student_rounds": 1, "instances_a_round": 40, "imitation_steps": 20, "steps_a_round": 10}
learn(sys.argv[-1], GraphSettings(make_scenario("dag", num_tasks=6), num_labels=300, num_validation=100, **steps))
"""
DISTILLATION = f"""
import sys
from pathlib import Path
from agents import distillation
distillation.NUM_LABELS, distillation.NUM_TEST, distillation.FEW_LABELS = 400, 50, (100, 200)
distillation.SEEDS = range(2)
distillation.study(Path(sys.argv[-1]), Path({str(WEIGHTS / "default-teacher.safetensors")!r}), 1)
"""
# By name: a training command without its folder, and the results that it writes.
TRAININGS = {
    "imitation": ((*TRAINING, "--only", *IMITATORS), "*.safetensors"),
    "all": ((*TRAINING, "--multilabel-passes", "1", "--rl-placements", "2000"), "*.safetensors"),
    "learn-streams": (("agents", "learn-streams", *STREAMS), "*.safetensors"),
    "learn-graphs": (("-c", GRAPHS), "*.safetensors"),
    "learn-cells": (("agents", "learn-cells", *CELLS), "*.safetensors"),
    "reinforce-streams": (("agents", "reinforce-streams", "--decisions", "2000", "--num-jobs", "20"), "*.safetensors"),
    "distillation": (("-c", DISTILLATION), "distillation.json"),
    "stream-ablation": (
        ("agents", "stream-ablation", *STREAMS, "--num-seeds", "1", "--num-test", "4"),
        "stream_ablation.json",
    ),
}


def labelling(folder, seed=3):
    return ("offload_gym", "demonstrations", "--output", str(folder), *SHARDS, "--seed", str(seed))


def files_in(folder, pattern):
    return {path.name: path.read_bytes() for path in sorted(folder.glob(pattern))}


def results_in(folder, pattern):
    """What files hold, of a network of reinforcement learning its weights: its curve says at which second it was."""
    found = files_in(folder, pattern)
    for name in found:
        if name.startswith(("ppo", "dqn", "qrdqn")):
            found[name] = found[name][8 + int.from_bytes(found[name][:8], "little") :]  # behind the header
    return found


def take_some_away(folder, pattern):
    """So that there is something left to be killed at."""
    for path in sorted(folder.glob(pattern))[::2]:
        path.unlink()


def finished(command):
    """A command that nobody disturbs, and which must succeed: how long it takes."""
    ended = run(command)
    assert ended.code == 0, ended.told
    return ended.seconds


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """The shards of a labelling that nobody disturbs, and how long it takes."""
    folder = tmp_path_factory.mktemp("whole")
    took_s = finished(labelling(folder))
    return files_in(folder, "shard-*.npz"), took_s


def kill_labelling(folder, shards, kills):
    """How many kills left some shards, but not all."""
    (whole, took_s), between = shards, 0

    def look(ended):
        nonlocal between
        there = files_in(folder, "shard-*.npz")
        assert there.items() <= whole.items()
        between += 0 < len(there) < len(whole)
        if ended:
            take_some_away(folder, "shard-*.npz")

    met = kill_often(labelling(folder), kills, took_s, look)
    assert met == kills or kills < KILLS  # few may all come late, where the first run compiled
    assert files_in(folder, "shard-*.npz") == whole
    assert sum(len(part.instances) for part in og.load_shards(folder)) == 4000
    return between


def test_labelling_that_is_killed_goes_on_to_the_same_shards(shards, tmp_path):
    assert len(shards[0]) == 20
    kill_labelling(tmp_path, shards, 2)


@pytest.mark.slow
def test_labelling_that_is_killed_fifty_times_goes_on_to_the_same_shards(shards, tmp_path):
    assert kill_labelling(tmp_path, shards, KILLS) > 0


def kill_training(tmp_path, name, kills):
    """Training that is killed ends in the results of one that is not, byte for byte."""
    (command, results), whole, folder = TRAININGS[name], tmp_path / "whole", tmp_path / "killed"
    took_s = finished((*command, "--output", str(whole)))
    expected = results_in(whole, results)
    assert expected
    if kills == KILLS:  # what the first run compiled would make it last too long
        took_s = finished((*command, "--output", str(tmp_path / "again")))
        assert results_in(tmp_path / "again", results) == expected

    def look(ended):
        if results.endswith(".json"):  # one file, which grows
            for text in files_in(folder, results).values():
                rows = json.loads(text)
                assert rows == json.loads(expected[results])[: len(rows)]
        else:
            assert results_in(folder, results).items() <= expected.items()
        for path in folder.glob("*.np[yz]"):
            loaded = np.load(path)  # a file in part cannot be read
            if path.suffix == ".npz":
                with loaded:
                    dict(loaded)  # reads its arrays
        if ended:
            take_some_away(folder, results)

    met = kill_often((*command, "--output", str(folder)), kills, took_s, look)
    assert results_in(folder, results) == expected
    assert files_in(folder, "settings.json") == files_in(whole, "settings.json")
    return met


def test_training_that_is_killed_goes_on_to_the_same_networks(tmp_path):
    assert kill_training(tmp_path, "imitation", 3) > 0
    networks = [load_network(path) for path in sorted((tmp_path / "killed").glob("*.safetensors"))]
    assert len(networks) == len(IMITATORS)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_training_that_is_killed_fifty_times_goes_on_to_the_same_results(tmp_path, name):
    assert kill_training(tmp_path, name, KILLS) == KILLS


def untimed(row):
    """A row of a benchmark without what is measured in seconds of this machine."""
    return {name: value for name, value in row.items() if not any(word in name for word in ("_us", "delay", "per_s"))}


def rows_of(path):
    return [untimed(row) for row in json.loads(path.read_text(encoding="utf-8"))]


COMPARISONS = {
    "policies": ("--num-instances", "20", "--num-tasks", "3", "--agents", ".", "--csv", "rows.csv"),
    "streams": ("--num-streams", "2", "--num-planned", "1", "--num-hindsight", "1", "--num-jobs", "20"),
}


def kill_benchmark(tmp_path, command, kills, longest_s):
    """A benchmark that is killed leaves its files as they were, or writes them whole."""
    Image = pytest.importorskip("PIL.Image")
    old, seen = [{"policy": "of another run"}], []
    (tmp_path / "rows.json").write_text(json.dumps(old))

    def look(ended):
        seen.append(rows_of(tmp_path / "rows.json"))
        if ended:
            (tmp_path / "rows.json").write_text(json.dumps(old))
        for path in tmp_path.glob("rows.csv"):
            with path.open(encoding="utf-8", newline="") as file:
                assert all(None not in row.values() for row in csv.DictReader(file))
        for path in (tmp_path / "plots").glob("[!.]*"):
            with Image.open(path) as image:
                image.load()

    met = kill_often(command, kills, longest_s, look, tmp_path)
    expected = rows_of(tmp_path / "rows.json")
    assert len(expected) > 1
    assert all(rows in (old, expected) for rows in seen)
    return met


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPARISONS)
def test_a_benchmark_that_is_killed_fifty_times_leaves_whole_files(tmp_path, name):
    command = ("benchmarks", name, *COMPARISONS[name], "--json", "rows.json", "--plots", "plots")
    run(command, tmp_path)  # compiles what it needs
    ended = run(command, tmp_path)
    assert ended.code == 0, ended.told
    plots = {path.name for path in (tmp_path / "plots").iterdir()}
    assert kill_benchmark(tmp_path, command, KILLS, ended.seconds) == KILLS
    assert {path.name for path in (tmp_path / "plots").glob("[!.]*")} == plots


@pytest.mark.slow
def test_a_report_that_is_killed_fifty_times_is_whole(tmp_path):
    ended = run(("benchmarks", "policies", *COMPARISONS["policies"], "--json", "rows.json"), tmp_path)
    assert ended.code == 0, ended.told
    page, command = tmp_path / "out/index.html", ("benchmarks", "report", "out", "--policies", "rows.json")
    run(command, tmp_path)  # compiles what it needs
    ended = run(command, tmp_path)
    assert ended.code == 0, ended.told
    whole, old = page.read_bytes(), b"of another run"
    page.write_bytes(old)

    def look(ended):
        assert page.read_bytes() in (old, whole)
        if ended:
            page.write_bytes(old)

    assert kill_often(command, KILLS, ended.seconds, look, tmp_path) == KILLS
    assert page.read_bytes() == whole


def test_what_killed_processes_leave_is_removed_by_the_next_one_that_writes_the_file(tmp_path):
    path = tmp_path / "rows[1].json"
    names = (".0123abcd.rows[1].json", ".89abcdef.rows[1].json", ".0123abcd.rows1.json", ".01234567.other.json")
    for name in (*names, ".my.rows[1].json"):
        (tmp_path / name).write_text("[")
    long_ago = time.time() - LEFT_OVER_S - 1
    for name in (names[0], *names[2:], ".my.rows[1].json"):
        os.utime(tmp_path / name, (long_ago, long_ago))
    with replacing(path) as temporary:
        temporary.write_text("[]")
    # Another process may be at work on the newer one, and the others are of other files, or nobody's of ours.
    assert {one.name for one in tmp_path.iterdir()} == {path.name, *names[1:], ".my.rows[1].json"}


def study(folder, num_trials):
    """A study of so many trials of nothing."""
    tuning = pytest.importorskip("agents.tune")
    unit = "no placements", "no gap"
    return tuning.run_study("any", folder, {"any": 1}, {}, lambda trial, behind: 1.0, num_trials, 1, unit)


def test_a_study_whose_last_line_is_there_in_part_goes_on(tmp_path):
    study(tmp_path, 2)
    path = tmp_path / "study.log"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:30])  # as a full disk leaves it
    study(tmp_path, 3)
    assert len(study(tmp_path, 4).trials) == 4
    assert path.read_bytes().startswith(whole)


@pytest.mark.slow
def test_a_study_that_is_killed_fifty_times_has_its_trials(tmp_path):
    """What is proposed after a kill is something else, but each trial counts once, and the first is the same."""
    optuna = pytest.importorskip("optuna")
    from optuna.storages.journal import JournalFileBackend

    command = ("agents", "tune", "--agent", "ppo-joint", "--num-tasks", "3", "--num-placements", "4096")
    command = (*command, "--num-trials", "3", "--output")

    def trials(folder):
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(tmp_path / folder / "ppo-joint/study.log")))
        found = optuna.load_study(study_name="ppo-joint", storage=storage).trials
        return [trial for trial in found if trial.state.is_finished()]

    finished((*command, str(tmp_path / "whole")))
    took_s = finished((*command, str(tmp_path / "again")))
    kept: list[tuple[float, dict[str, float]]] = []

    def look(ended):
        nonlocal kept
        path = tmp_path / "killed/ppo-joint/study.log"
        if not path.exists() or b"\n" not in path.read_bytes():
            assert not kept
            return
        now = [(trial.value, trial.params) for trial in trials("killed")]
        assert now[: len(kept)] == kept
        assert len(now) == 3 if ended else len(now) <= 3
        kept = now
        if ended:
            path.unlink()
            kept = []

    assert kill_often((*command, str(tmp_path / "killed")), KILLS, took_s, look) == KILLS
    assert len(trials("killed")) == len(trials("whole")) == 3
    for folder in ("killed", "again"):
        first, expected = trials(folder)[0], trials("whole")[0]
        assert (first.value, first.params) == (expected.value, expected.params)


@pytest.mark.slow
def test_a_study_that_a_killed_process_has_locked_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study(Path("study"), 1)
    path = tmp_path / "study/study.log"
    (tmp_path / "study/study.log.lock").symlink_to(path)
    assert len(study(Path("study"), 2).trials) == 2  # after the half minute that Optuna waits


# By name: a command that writes, the last file that it writes, and how many bytes are too few for that.
WRITING = {
    "demonstrations": (
        ("offload_gym", "demonstrations", "--num-instances", "300", "--output", "x.npz"),
        "x.npz",
        9_000,
    ),
    "shards": (labelling("labels"), "labels/shard-000000.npz", 9_000),
    "export": (("offload_gym", "export", "student", "x.h"), "x.h", 2_000),
    "schedules": (("offload_gym", "solve", "default", "--csv", ".", "--overwrite"), "tasks.csv", 100),
    "training": ((*TRAINING, "--only", *IMITATORS, "--output", "."), "training.npz", 9_000),
    "networks": (("agents", "learn-streams", *STREAMS, "--output", "."), "teacher.safetensors", 10_000),
    "policies": (("benchmarks", "policies", *COMPARISONS["policies"], "--json", "x.json"), "x.json", 3_000),
    "plots": (("benchmarks", "policies", *COMPARISONS["policies"], "--plots", "."), "gap_against_delay.png", 20_000),
}
QUICK = ("demonstrations",)
WRITERS = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in WRITING]


def everything_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_gives_one_sentence_and_leaves_what_was_there(tmp_path, name):
    command, file, room = WRITING[name]
    if name in ("export", "schedules", "policies", "plots"):  # what replaces a file
        (tmp_path / file).write_text("of another run")
    ended = run(command, tmp_path, room)
    assert ended.code == 2, ended.told
    last = ended.told.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert last.endswith(f"{file}: File too large")
    assert "Traceback" not in ended.told
    # Nothing is left in part, and what was there is as it was.
    assert not [left for left in everything_in(tmp_path) if Path(left).name.startswith(".")]
    if (tmp_path / file).exists():
        assert (tmp_path / file).read_text() == "of another run"
    # With room it goes on.
    assert run(command, tmp_path).code == 0
    assert (tmp_path / file).stat().st_size > room


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_that_may_not_be_written_gives_one_sentence(tmp_path, name):
    tmp_path.chmod(0o555)
    try:
        ended = run(WRITING[name][0], tmp_path)
    finally:
        tmp_path.chmod(0o755)
    assert ended.code == 2, ended.told
    last = ended.told.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert last.endswith(": Permission denied")
    assert "Traceback" not in ended.told
    assert not everything_in(tmp_path)


def test_two_runs_of_one_labelling_make_the_same_shards(shards, tmp_path):
    both = [begin(labelling(tmp_path)) for _ in range(2)]
    assert [end(running).code for running in both] == [0, 0]
    assert files_in(tmp_path, "*") == shards[0] | files_in(tmp_path, "settings.json")


def test_of_two_runs_with_other_settings_in_one_folder_one_is_refused(shards, tmp_path):
    both = {seed: begin(labelling(tmp_path, seed)) for seed in (3, 4)}
    ended = {seed: end(running) for seed, running in both.items()}
    refused = next(seed for seed in ended if ended[seed].code == 2)
    assert ended[7 - refused].code == 0
    assert ended[refused].told.endswith("choose another folder\n")
    assert (files_in(tmp_path, "shard-*.npz") == shards[0]) == (refused == 4)


def test_what_a_library_says_of_a_full_disk_stays(tmp_path):
    """NumPy raises an OSError without a number, and others may, too; one with a number gets the name of the file."""
    path, said = tmp_path / "x.npy", []
    for error in (OSError("100 requested and 9 written"), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))):
        with pytest.raises(OSError, match=r"x\.npy") as raised, replacing(path):
            raise error
        said.append((str(raised.value), sentence(raised.value)))
    assert said[0] == (f"{path}: 100 requested and 9 written",) * 2
    assert said[1] == (f"[Errno {errno.ENOSPC}] No space left on device: '{path}'", f"{path}: No space left on device")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_two_runs_of_one_training_make_the_same_results(tmp_path, name):
    command, results = TRAININGS[name]
    finished((*command, "--output", str(tmp_path / "alone")))
    both = [begin((*command, "--output", str(tmp_path / "both"))) for _ in range(2)]
    assert [end(running).code for running in both] == [0, 0]
    assert results_in(tmp_path / "both", results) == results_in(tmp_path / "alone", results)
    assert not list((tmp_path / "both").glob(".*"))


KEPT = "finished steps are kept; start the same command again to go on"
AGAIN = "no file is left in part; start the same command again"
# By name: a command that takes long, and what it says of how to go on.
LONG = {
    "shards": (
        (*labelling("x")[:4], "--num-instances", "2000000", "--shard-size", "20000", "--num-jobs", "2"),
        "finished shards are kept; start the same command again to go on",
    ),
    "policies": (("benchmarks", "policies", "--agents", ".", "--num-instances", "50000", "--json", "x.json"), AGAIN),
    "learn-streams": (("agents", "learn-streams", "--output", "x"), KEPT),
    "demonstrations": (
        ("offload_gym", "demonstrations", "--num-instances", "2000000", "--output", "x.npz"),
        "x.npz was not written",
    ),
    "solve": (("offload_gym", "solve", "dag", "--num-instances", "100000", "--time-limit", "1000"), "had not begun"),
    "decide": (("offload_gym", "decide", "default", "--num-instances", "900000", "--policy", "beam-1000"), AGAIN),
    "decide, swaps": (
        ("offload_gym", "decide", "default", "--num-instances", "2000000", "--policy", "greedy+swap"),
        AGAIN,
    ),
    "agents": (("agents", "--output", "x"), KEPT),
    "agents, reinforcement": (
        ("agents", "--num-labels", "500", "--only", "ppo-sequential", "dqn-sequential", "--output", "x"),
        KEPT,
    ),
    "ablation": (("agents", "ablation"), AGAIN),
    "tune": (("agents", "tune", "--agent", "ppo-sequential", "--output", "x"), KEPT),
    "tune-rules": (("agents", "tune-rules"), AGAIN),
    "tune-shares": (("agents", "tune-shares", "--num-cells", "4000"), AGAIN),
    "learn-cells": (("agents", "learn-cells", "--output", "x"), "start again with --only and the names of the others"),
    "learn-graphs": (("agents", "learn-graphs", "--output", "x"), KEPT),
    "reinforce-streams": (("agents", "reinforce-streams", "--output", "x"), KEPT),
    "stream-ablation": (("agents", "stream-ablation", "--output", "x"), KEPT),
    "record": (("agents", "record", "--dataset", "any-v0", "--num-episodes", "1000000"), "there is no data set yet"),
    "streams": (("benchmarks", "streams", "--num-streams", "4000", "--json", "x.json"), AGAIN),
    "cells": (("benchmarks", "cells", "--only", "static", "--json", "x.json"), AGAIN),
    "cells, streams": (("benchmarks", "cells", "--only", "streams", "--streams-json", "x.json"), AGAIN),
    "large-graphs": (("benchmarks", "large-graphs", "--json", "x.json"), AGAIN),
    "large-n": (("benchmarks", "large-n"), AGAIN),
    "tune-annealing": (("benchmarks", "tune-annealing", "--num-instances", "2400"), AGAIN),
    "speed": (("benchmarks", "speed", "--json", "x.json"), AGAIN),
}


def interrupt(tmp_path, name, after_s, monkeypatch, longest_s=SOON_S):
    """Interrupt a command after so many seconds, or after a second of work if None: it has written its settings."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    command, how = LONG[name]
    running = begin(command, tmp_path)
    if after_s is None:
        while running.poll() is None and not list(tmp_path.rglob("settings.json")):
            time.sleep(0.05)
        after_s = 1.0
    ended = end(running, after_s, signal.SIGINT)
    assert ended.told.strip(), ended
    last = ended.told.strip().splitlines()[-1]
    # Python ends by the signal, which is 130 in a shell, where nothing caught the interrupt, or the source of a class
    # or of a compiled function was just executed from a text.
    if "nothing was begun" in last:  # the process still imported what it needs
        assert not list(tmp_path.iterdir())
        assert ended.code == -signal.SIGINT, ended.told
    else:
        assert ended.code in (130, -signal.SIGINT), ended.told
        assert last.startswith("interrupted")
        assert how in last
    # Workers of joblib that are met while they start say what Python says; the command itself does not.
    assert "Traceback" not in ended.told or name == "shards", ended.told
    assert ended.seconds < longest_s
    assert not [left for left in everything_in(tmp_path) if Path(left).name.startswith(".")]
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("name", ["shards", "learn-streams"])
def test_ctrl_c_ends_a_command_soon_and_says_how_to_go_on(tmp_path, name, monkeypatch):
    interrupt(tmp_path, name, None, monkeypatch, LATE_S)
    assert list(tmp_path.rglob("settings.json"))


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_ctrl_c_at_any_moment(tmp_path, name, monkeypatch):
    rng = random.Random(name)
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        # Before, Python itself starts, and imports the package.
        interrupt(folder, name, rng.uniform(3.0, 15.0), monkeypatch, LATE_S if BESIDE_OTHERS else SOON_S)


def test_ctrl_c_while_llvm_calls_python(tmp_path):
    """There Python drops an exception, and numba would miss what was compiled."""
    script = """
import os, signal, sys
from numba.core.codegen import CPUCodeLibrary as Library
before = Library._object_compiled_hook
def hook(*arguments):
    os.kill(os.getpid(), signal.SIGINT)
    before(*arguments)
Library._object_compiled_hook = hook
from offload_gym.command_line import main
sys.exit(main(["solve", "default"]))
"""
    folder = {"NUMBA_CACHE_DIR": str(tmp_path)}  # nothing is compiled there yet
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=os.environ | folder, timeout=60
    )
    assert done.stderr == f"\ninterrupted: {AGAIN}\n"
    assert (done.returncode, done.stdout) == (130, "")


@pytest.mark.parametrize("package", ["agents", "benchmarks"])
def test_ctrl_c_while_a_command_is_still_imported(package, tmp_path):
    # What a main module imports first of all takes long here.
    script = f"""
import runpy, sys, types
sys.modules["agents.job_options"] = types.ModuleType("agents.job_options")
sys.modules["agents.job_options"].__getattr__ = lambda name: (_ for _ in ()).throw(KeyboardInterrupt())
runpy.run_module("{package}", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.stderr == "\ninterrupted: nothing was begun; start the same command again\n"
    assert done.returncode == -signal.SIGINT
