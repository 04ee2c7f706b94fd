import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from agents import training
from agents.distillation import distillation_loss, teacher_scores
from agents.imitation import make_samples, soft_labels, train_teacher
from agents.networks import TaskNetwork, from_runtime, num_parameters, save_policy, to_runtime
from agents.reinforcement import RL_AGENTS, make_agent
from agents.reinforcement import to_runtime as agent_to_runtime
from offload_gym.demonstrations import generate_demonstrations
from offload_gym.policies import load_policy, make_policy
from offload_gym.runtime import NetworkPolicy
from offload_gym.sampling import sample_instances
from offload_gym.scenario import make_scenario

CPU = torch.device("cpu")
torch.set_num_threads(1)  # the networks here are small, and threads that wait for a busy core cost more than they help


@pytest.fixture(scope="module")
def few():
    # No exploration: the states that the expert's own decisions lead to are the ones learned.
    return generate_demonstrations(make_scenario(num_tasks=4), 60, seed=5, explored_share=0.0)


def test_distillation_loss_by_hand():
    # GIVEN one sample with two classes
    student, teacher, target = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]]), torch.tensor([0])
    temperature, alpha = 2.0, 0.3
    # WHEN the loss is written out
    p = torch.softmax(teacher / 2, -1)
    q = torch.softmax(student / 2, -1)
    divergence = (p * (p / q).log()).sum()
    expected = 0.3 * 4 * divergence - 0.7 * torch.log_softmax(student, -1)[0, 0]
    # THEN the function agrees
    torch.testing.assert_close(distillation_loss(student, teacher, target, temperature, alpha), expected)


def test_distillation_loss_limits():
    student, teacher = torch.randn(20, 3), torch.randn(20, 3)
    hard = torch.randint(0, 3, (20,))
    soft = functional.one_hot(hard, 3).float()
    labels_only = distillation_loss(student, teacher, hard, alpha=0.0)
    torch.testing.assert_close(labels_only, functional.cross_entropy(student, hard))
    torch.testing.assert_close(labels_only, distillation_loss(student, teacher, soft, alpha=0.0))
    assert distillation_loss(teacher, teacher, hard, alpha=1.0).abs() < 1e-6
    assert distillation_loss(student, teacher, hard, alpha=1.0) > 0


def test_distillation_loss_gives_the_teacher_no_gradient():
    student, teacher = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    distillation_loss(student, teacher, torch.zeros(4, dtype=torch.long)).backward()
    assert teacher.grad is None
    assert student.grad is not None


@pytest.mark.parametrize(("name", "value"), [("temperature", 0.0), ("temperature", float("nan")), ("alpha", 1.5)])
def test_distillation_loss_refuses(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        distillation_loss(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), **{name: value})


def test_soft_labels():
    labels = soft_labels(np.array([[0.0, 0.02, np.inf]]), temperature=0.02)
    np.testing.assert_allclose(labels, [[1 / (1 + np.exp(-1)), np.exp(-1) / (1 + np.exp(-1)), 0]], rtol=1e-6)


def overfit(form, few):
    """A small teacher trained on few samples; its choices on them, before and after."""
    torch.manual_seed(0)
    network = TaskNetwork(form, (1, 2, 8), (32,), (64, 64))
    samples = make_samples(few, form, CPU)
    before = teacher_scores(network, samples).argmax(-1).numpy()
    train_teacher(network, samples, few, epochs=400, batch_size=20, learning_rate=5e-3)
    return before, teacher_scores(network, samples).argmax(-1).numpy()


def test_a_sequential_teacher_overfits_a_few_samples(few):
    before, after = (
        np.take_along_axis(few.regret, chosen[..., None], -1).mean() for chosen in overfit("sequential", few)
    )
    assert after < 0.001 < 0.05 < before


def test_a_multilabel_teacher_overfits_a_few_samples(few):
    before, after = ((chosen == few.decisions).mean() for chosen in overfit("joint", few))
    assert before < 0.6 < 0.98 < after


def test_the_joint_form_learns_optimal_decisions_and_the_sequential_form_prefixes(few):
    joint, sequential = (make_samples(few, form, CPU) for form in ("joint", "sequential"))
    assert (joint.targets.numpy().argmax(-1) == few.decisions).all()
    best = few.alternative_s.argmin(-1)
    chosen = sequential.targets.numpy()
    assert (np.take_along_axis(chosen, best[..., None], -1)[..., 0] == chosen.max(-1)).all()


def test_policy_file_keeps_the_network(tmp_path, few):
    network = TaskNetwork("sequential", (1, 2, 8), (8,), (16, 8))
    save_policy(tmp_path / "a.safetensors", to_runtime(network, {"note": "made by a test"}))
    loaded = load_policy(tmp_path / "a.safetensors")
    again = from_runtime(loaded.network)
    assert loaded.num_parameters == num_parameters(network) == num_parameters(again)
    assert loaded.network.metadata["note"] == "made by a test"
    samples = make_samples(few, "sequential", CPU)
    torch.testing.assert_close(teacher_scores(network, samples), teacher_scores(again, samples), rtol=0, atol=0)
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("name", RL_AGENTS)
def test_an_agent_decides_the_same_in_the_compiled_runtime(name):
    # GIVEN an agent that has learned a little, so that its decisions are not all alike
    scenario = make_scenario(num_tasks=3)
    agent = make_agent(name, scenario, "makespan", seed=0)
    agent.learn(4096)
    policy = NetworkPolicy(agent_to_runtime(agent, scenario))
    env = agent.get_env()
    # WHEN it acts in the environment THEN the runtime decides the same
    observation = env.reset()
    agreements = []
    for _ in range(40):
        actions = []
        decided = [policy.decide(single)[0] for single in env.get_attr("instances")]
        for _ in range(3 if name.endswith("sequential") else 1):
            action, _ = agent.predict(observation, deterministic=True)
            actions.append(action)
            observation, _, _, _ = env.step(action)
        acted = np.stack(actions, 1) if name.endswith("sequential") else actions[0]
        agreements.append(acted == np.array(decided))
    assert np.mean(agreements) > 0.999  # float32 sums in another order may turn a near tie


TINY = training.Settings(
    scenario=make_scenario(num_tasks=3), num_labels=200, num_validation=50, teacher_encoder=(8,), teacher_head=(8,),
    teacher_passes=2, student_encoder=(4,), student_head=(4,), student_passes=2, multilabel_passes=2, rl_placements=96,
)  # fmt: skip


def test_training_resumes(tmp_path, monkeypatch):
    # GIVEN a run that is interrupted at the first student
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "distil", interrupt)
        with pytest.raises(KeyboardInterrupt):
            training.train_all(tmp_path, TINY, report=lambda _: None)
    done = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert "sequential-teacher.safetensors" in done
    assert "sequential-student.safetensors" not in done
    # WHEN it is started again
    said = []
    paths = training.train_all(tmp_path, TINY, report=said.append)
    # THEN it does the missing steps only, and all policies decide
    assert done == {name: (tmp_path / name).stat().st_mtime_ns for name in done}
    assert "sequential-teacher: already trained" in said
    instances = sample_instances(TINY.scenario, 5, seed=0)
    for path in paths.values():
        assert load_policy(path).decide(instances).shape == (5, 3)
    assert json.loads((tmp_path / "settings.json").read_text())["num_labels"] == 200


def test_training_does_not_mix_settings(tmp_path):
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(ValueError, match="has other settings"):
        training.train_all(tmp_path, TINY, report=lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


def test_seeds_of_purposes_never_meet():
    instances = [
        sample_instances("default", 3, training.seed_for(key, 7))
        for key in (training.TEST_KEY, training.TRAINING_KEY, training.VALIDATION_KEY)
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not np.isin(instances[one].input_bits, instances[other].input_bits).any()


@pytest.mark.slow
def test_learning_beats_greedy():
    labels = generate_demonstrations("default", 20_000, seed=1)
    validation = generate_demonstrations("default", 1000, seed=2)
    torch.manual_seed(0)
    network = TaskNetwork("sequential", (1, 2, 8), (16,), (32, 16))
    samples = make_samples(labels, "sequential", CPU)
    gap = train_teacher(network, samples, validation, epochs=15, learning_rate=5e-3)
    greedy = make_policy("greedy").decide(validation.instances)
    from offload_gym.delay import latency

    greedy_gap = (latency(validation.instances, greedy) / validation.latency_s - 1).mean()
    assert gap < 0.04 < greedy_gap
