"""Exported networks decide as the package does."""

import subprocess
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from test_networks import balanced, both_forms, random_network
from test_pareto import whole_times

import offload_gym
from offload_gym.instances import CORES, TASK_FIELDS
from offload_gym.networks.c_trial import HARNESS, compiler, decide_in_c
from offload_gym.networks.policy import NetworkPolicy

COMPILER = compiler()
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")


def assert_alike(decisions, expected):
    """Sums in another order may tell two scores apart otherwise that are equal but for rounding."""
    assert (decisions == expected).all(axis=1).mean() > 0.9995


def in_c(policy, instances, folder, max_tasks=32):
    """Decisions of the exported header."""
    path = Path(folder) / "policy.h"
    sizes = offload_gym.export_c(policy, path, max_tasks)
    assert f"{sizes['ram']} bytes of arrays on the stack for up to {max_tasks} " in path.read_text()
    assert sizes["flash"] == 4 * policy.num_parameters
    decisions, num_greedy = decide_in_c(path, instances, "double")
    assert num_greedy == 0
    return decisions


@needs_compiler
@both_forms
@pytest.mark.parametrize("scenario", [{}, {"num_edges": 2, "num_tasks": 5}, {"num_edges": 0, "num_tasks": 1}])
def test_c_decides_as_python(form, scenario, tmp_path):
    instances = offload_gym.sample_instances({"name": "default", **scenario}, 2_000, seed=7)
    assert (instances.radio_backlog_s == 0).all()
    instances = instances.replace(radio_backlog_s=np.random.default_rng(0).exponential(0.3, len(instances)))
    cores = tuple(int(count) for count in instances.locations[0, :, CORES])
    for objective in ("makespan", "mean"):
        for roll_outs in (True, False):
            network = random_network(form, cores=cores, roll_outs=roll_outs, objective=objective)
            network = balanced(network, instances)
            uses = [(None, True), (None, False)] + [("roll-out", True)] * (not roll_outs)
            for refine, keep_best in uses:
                policy = NetworkPolicy(network, refine, keep_best)
                assert_alike(in_c(policy, instances, tmp_path), policy.decide(instances))


@needs_compiler
@both_forms
def test_ties_are_decided_in_c_as_in_python(form, tmp_path):
    """Times are small whole numbers, sums of which are exact, and two tasks are alike in all."""
    rng, cores = np.random.default_rng(4), (1, 2, 4)
    instances = whole_times(2_000, 5, 3, rng)
    alike = {name: getattr(instances, name).copy() for name in TASK_FIELDS}
    for values in alike.values():
        values[:, 3] = values[:, 1]
    backlog_s = rng.choice([0.0, 0.0, 1.0, 3.0], (2_000, 3))
    instances = instances.replace(**alike, cores=np.tile(cores, (2_000, 1)), backlog_s=backlog_s)
    for refine in (None, "roll-out"):
        network = balanced(random_network(form, cores=cores, roll_outs=refine is None), instances)
        policy = NetworkPolicy(network, refine, keep_best=True)
        assert_alike(in_c(policy, instances, tmp_path), policy.decide(instances))


@needs_compiler
def test_the_shipped_student_in_c_decides_10_000_instances_as_python(tmp_path):
    instances = offload_gym.sample_instances("default", 10_000, seed=8)
    student = offload_gym.make_policy("student")
    assert_alike(in_c(student, instances, tmp_path), student.decide(instances))


@needs_compiler
def test_c_refuses_more_tasks_than_there_is_memory_for(tmp_path):
    instances = offload_gym.sample_instances("default", 3, seed=8)
    with pytest.raises(ValueError, match="refuses an instance, with the code -1"):
        in_c(offload_gym.make_policy("student"), instances, tmp_path, max_tasks=7)


@needs_compiler
@pytest.mark.parametrize("name", ["student", "teacher"])
def test_the_stack_is_little_more_than_the_arrays(name, tmp_path):
    sizes = offload_gym.export_c(offload_gym.make_policy(name), tmp_path / "policy.h")
    (tmp_path / "harness.c").write_text(HARNESS.replace("offload_gym_number", "double"))
    command = [COMPILER, "-std=c99", "-Os", "-fstack-usage", "-c", "harness.c", "-o", "harness.o"]
    if subprocess.run(command, cwd=tmp_path).returncode:
        pytest.skip("the compiler does not tell its stack usage")
    used = sum(int(line.split("\t")[1]) for line in (tmp_path / "harness.su").read_text().splitlines())
    assert sizes["ram"] <= used < 1.1 * sizes["ram"] + 1000


@needs_compiler
def test_a_program_can_have_two_networks_whatever_their_files_say(tmp_path):
    for name, scenario in (("a", "default */ vélo\n.csv"), ("b2", "plain")):
        policy = NetworkPolicy(random_network(scenario=scenario))
        offload_gym.export_c(policy, tmp_path / f"{name}.h", name=name)
    (tmp_path / "both.c").write_text(
        '#include "a.h"\n#include "b2.h"\n'
        "int main(void) { a_task t[1] = {{0, 0, 0}}; a_location l[3] = {{1, 0, 0, 0, 0, 0}, {1, 1, 1, 1, 0, 0},"
        " {1, 1, 1, 1, 0, 0}}; int d[1];"
        " return a_decide(1, t, l, 0.0, d) + b2_decide(1, (b2_task *)t, (b2_location *)l, 0.0, d)"
        " + a_decide(0, t, l, 0.0, d) + a_decide(-1, t, l, 0.0, d) + 2; }"
    )
    subprocess.run([COMPILER, "-std=c99", "both.c", "-o", "both"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "both"]).returncode == 0
    # AND two networks of one name are refused by the compiler, while one may be included twice
    for name, encoded in (("c", "default"), ("d", "vision")):
        offload_gym.export_c(offload_gym.make_policy("small-student", preset=encoded), tmp_path / f"{name}.h")
    plain = random_network(roll_outs=False)
    offload_gym.export_c(NetworkPolicy(plain), tmp_path / "e.h")
    offload_gym.export_c(NetworkPolicy(plain, "roll-out"), tmp_path / "f.h")
    for included, works in (("cc", True), ("cd", False), ("ef", False)):
        text = "".join(f'#include "{name}.h"\n' for name in included)
        (tmp_path / "same.c").write_text(text + "int main(void) { return 0; }")
        done = subprocess.run([COMPILER, "same.c", "-o", "same"], cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode == 0) == works
        assert works or "two policies have the same names" in done.stderr
    with pytest.raises(ValueError, match="name is '2b'; it must be letters"):
        offload_gym.export_c(policy, tmp_path / "c.h", name="2b")


@pytest.mark.parametrize("roll_outs", [True, False])
@both_forms
def test_onnx_has_the_scores_of_the_network(form, roll_outs, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    instances = offload_gym.sample_instances("default", 500, seed=3)
    policy = NetworkPolicy(balanced(random_network(form, roll_outs=roll_outs), instances), keep_best=False)
    offload_gym.export_onnx(policy, tmp_path / "policy.onnx", num_tasks=8)
    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx", providers=["CPUExecutionProvider"])
    env_id = f"offload_gym/{'Joint' if form == 'joint' else 'Sequential'}-v0"
    envs = gym.make_vec(env_id, num_envs=500, vectorization_mode="vector_entry_point", num_epochs=1)
    observation, _ = envs.reset(seed=0)
    wanted = policy.decide(envs.unwrapped.instances)
    for i in range(1 if form == "joint" else 8):
        chosen = session.run(["scores"], {"observation": observation})[0].argmax(axis=-1)
        # Arithmetic in another order may decide between two scores that are equal but for rounding.
        assert (chosen == (wanted if form == "joint" else wanted[:, i])).mean() > 0.999
        observation, *_ = envs.step(wanted if form == "joint" else wanted[:, i])


@pytest.mark.parametrize(
    "export", [offload_gym.export_c, lambda policy, path: offload_gym.export_onnx(policy, path, 5)]
)
def test_what_cannot_be_exported_is_refused(export, tmp_path):
    for policy, message in (
        (NetworkPolicy(random_network(encoded=False)), "only networks for independent tasks"),
        (NetworkPolicy(random_network(activation="tanh")), "only networks for independent tasks"),
        (NetworkPolicy(random_network(), "flip"), "refine is 'flip'"),
        (offload_gym.make_policy("greedy"), "policy is a FunctionPolicy; only a network"),
    ):
        with pytest.raises(ValueError, match=message):
            export(policy, tmp_path / "out")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="max_tasks is 0"):
        offload_gym.export_c(NetworkPolicy(random_network()), tmp_path / "out", max_tasks=0)
