"""Seeds of several purposes never meet, and nothing is trained or chosen with those of tests."""

import ast
from pathlib import Path

import numpy as np
import pytest

import offload_gym
from offload_gym.seeds import PURPOSES, as_seed_sequence, seed_for


def test_streams_of_purposes_and_of_plain_numbers_differ():
    seeds = [seed_for(purpose, 7) for purpose in PURPOSES] + [as_seed_sequence(7), np.random.SeedSequence(7)]
    children = [np.random.SeedSequence(s.entropy, spawn_key=(*s.spawn_key, i)) for s in seeds[:4] for i in range(4)]
    states = {tuple(seed.generate_state(4)) for seed in seeds + children}
    assert len(states) == len(seeds) + len(children)


def test_demonstrations_of_a_plain_seed_are_not_the_test_instances():
    drawn = offload_gym.generate_demonstrations("default", 5, seed=7).instances
    for purpose in PURPOSES:
        other = offload_gym.sample_instances("default", 5, seed_for(purpose, 7))
        assert not np.isin(drawn.input_bits, other.input_bits).any()


def test_bad_seeds_and_purposes_are_refused():
    with pytest.raises(ValueError, match="seed is -1; it must be at least 0"):
        as_seed_sequence(-1)
    with pytest.raises(ValueError, match="purpose is 'exam'; it must be one of test, training, validation"):
        seed_for("exam", 1)
    for seed in (1.5, "1", True, None, [1]):
        with pytest.raises(ValueError, match=r"^seed is .*; it must be a whole number or a SeedSequence$"):
            as_seed_sequence(seed)
        with pytest.raises(ValueError, match=r"^seed is .*; it must be a whole number$"):
            seed_for("test", seed)


def test_a_seed_that_could_say_another_purpose_is_refused():
    """What SeedSequence makes of its numbers: four words of the seed, and then the purpose."""
    meets = np.random.SeedSequence(7 + (1 << 128), spawn_key=(0,))
    np.testing.assert_array_equal(meets.generate_state(4), seed_for("training", 7, 0).generate_state(4))
    for refused in (lambda seed: seed_for("test", seed), as_seed_sequence):
        refused((1 << 128) - 1)
        with pytest.raises(ValueError, match=r"must be below 2\*\*128, so that purposes never meet"):
            refused(7 + (1 << 128))
    assert as_seed_sequence(np.int64(7)).entropy == 7


ROOT = Path(__file__).parents[1]
DRAWING = {
    "sample_instances", "sample_estimated", "sample_streams", "sample_cell", "generate_demonstrations",
    "generate_shards", "label_streams", "make_minari_dataset", "FreshStreams",
}  # fmt: skip
#: Of agents/, what reports on test instances; each keeps weights by validation, or the last ones.
REPORTING = {"agents/ablation.py", "agents/clone.py", "agents/distillation.py", "agents/stream_ablation.py"}
#: Of benchmarks/, what looks at other instances: it tunes or warms up by them, or measures what machines can take.
CHOOSING = {
    "benchmarks/carry_over.py", "benchmarks/graphs.py", "benchmarks/streams/capacity.py",
    "benchmarks/tune_annealing.py", "benchmarks/tune_beam.py", "benchmarks/workflows.py",
}  # fmt: skip


def trees():
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for folder in ("agents", "benchmarks")
        for path in sorted((ROOT / folder).rglob("*.py"))
    }


def named(node):
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def asked_purposes(tree):
    """The purposes that a file asks for: literals in it, where it calls what takes one."""
    names = {named(call.func) for call in ast.walk(tree) if isinstance(call, ast.Call)}
    if not names & {"seed_for", "episode_latencies", "sample_cell"}:
        return set()
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value in PURPOSES}


def test_what_trains_and_tunes_asks_for_no_test_instances():
    purposes = {path: asked_purposes(tree) for path, tree in trees().items()}
    testing = {path for path, asked in purposes.items() if "test" in asked}
    assert {path for path in testing if path.startswith("agents/")} - {"agents/__main__.py"} == REPORTING
    other = {path for path, asked in purposes.items() if asked - {"test"} and path.startswith("benchmarks/")}
    assert other == CHOOSING
    # What tunes the heuristics has no test instances at all, and nothing is trained in a benchmark.
    for path in ("tune_annealing.py", "tune_beam.py", "streams/capacity.py"):
        assert purposes[f"benchmarks/{path}"] == {"validation"}
    assert not any("training" in asked for path, asked in purposes.items() if path.startswith("benchmarks/"))


def test_studies_only_measure_on_test_instances():
    every = trees()
    for path in sorted(REPORTING):
        users = {
            named(call.func)
            for call in ast.walk(every[path])
            if isinstance(call, ast.Call)
            for given in (*call.args, *(keyword.value for keyword in call.keywords), call.func)
            if "test" in {node.id for node in ast.walk(given) if isinstance(node, ast.Name)}
        }
        assert users
        # ``append`` takes what was measured into the results.
        assert users <= {"measure", "mean_gap", "change", "decide", "latency", "optimality_gap", "mean", "append",
                         "Result", "float"}, path  # fmt: skip


def drawn_with(call, tree):
    """Whether what a call draws has the seed of a purpose: from ``seed_for``, or from a parameter that must be one."""
    if any(isinstance(node, ast.Call) and named(node.func) == "seed_for" for node in ast.walk(call)):
        return True
    around = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and call in ast.walk(node)]
    given = {node.id for node in ast.walk(call) if isinstance(node, ast.Name)}
    for function in around:
        for node in ast.walk(function):
            assigned = isinstance(node, ast.Assign) and "seed_for" in ast.unparse(node.value)
            if assigned and given & {named(target) for target in node.targets}:
                return True
            typed = isinstance(node, ast.arg) and node.arg in given and node.annotation is not None
            if typed and ast.unparse(node.annotation) == "SeedSequence":  # which mypy holds
                return True
    return False


def test_whatever_is_drawn_has_the_seed_of_a_purpose():
    """A plain number is apart from test instances, too, but of training and validation it is neither."""
    calls = [
        (path, call, tree)
        for path, tree in trees().items()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and named(call.func) in DRAWING
    ]
    assert len(calls) > 30
    assert [(path, ast.unparse(call)) for path, call, tree in calls if not drawn_with(call, tree)] == []
    # The check finds what it looks for.
    bad = ast.parse("def f(seed: int):\n    return sample_instances(scenario, 5, seed)")
    assert not drawn_with(next(node for node in ast.walk(bad) if isinstance(node, ast.Call)), bad)


def test_training_runs_where_there_is_no_test_purpose(monkeypatch, tmp_path):
    """Labels, teacher, student, and what is chosen by validation: without one test instance."""
    from agents.training import Settings, train_all

    monkeypatch.setattr("offload_gym.seeds.PURPOSES", ("", "training", "validation"))
    with pytest.raises(ValueError, match="purpose is 'test'"):
        seed_for("test", 1)
    scenario = offload_gym.make_scenario(num_tasks=2)
    sizes = {"num_labels": 30, "num_validation": 8, "teacher_passes": 1, "student_passes": 1, "rl_placements": 64}
    only = ("sequential-teacher", "sequential-student")
    assert set(train_all(tmp_path, Settings(scenario, **sizes), lambda _: None, only)) == set(only)
