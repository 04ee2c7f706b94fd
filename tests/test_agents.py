import dataclasses
import json
import re
import sys
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import optuna
import pytest
import torch
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_pre_hook

from agents import ablation, distillation, training, tune
from agents.__main__ import main as agents_main
from agents.cell import train_shared_policy
from agents.imitation import fit, latency_loss, make_samples, mean_gap, soft_labels, teacher_loss
from agents.networks import TaskNetwork, from_runtime, num_parameters, save_policy, to_runtime
from agents.reinforcement import (
    GAP,
    HYPERPARAMETERS,
    RL_AGENTS,
    KeepBest,
    RelativeReward,
    gap_on,
    make_agent,
    placements_a_step,
    train_agent,
)
from agents.reinforcement import to_runtime as agent_to_runtime
from agents.student_loss import distillation_loss, student_loss, teacher_scores
from offload_gym import progress
from offload_gym.delay import latency, optimality_gap
from offload_gym.demonstrations import generate_demonstrations
from offload_gym.envs.vector import VectorJointEnv
from offload_gym.files import keep_settings
from offload_gym.instances import Instances
from offload_gym.interop.sb3 import SB3VecEnv
from offload_gym.networks.policy import NetworkPolicy
from offload_gym.networks.policy_file import load_network
from offload_gym.policies import load_policy, make_policy
from offload_gym.sampling import sample_instances
from offload_gym.scenario import described, make_scenario
from offload_gym.seeds import seed_for
from offload_gym.shards import load_shards
from offload_gym.solvers.exact import solve

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
    samples = make_samples(few, form, False, CPU)
    before = teacher_scores(network, samples).argmax(-1).numpy()
    fit(network, samples, teacher_loss(form, samples), few, epochs=400, batch_size=20)
    return before, teacher_scores(network, samples).argmax(-1).numpy()


def test_a_sequential_teacher_overfits_a_few_samples(few):
    before, after = (
        np.take_along_axis(few.regret, chosen[..., None], -1).mean() for chosen in overfit("sequential", few)
    )
    assert after < 0.001 < 0.05 < before


def test_a_multilabel_teacher_overfits_a_few_samples(few):
    chosen = overfit("joint", few)
    before, after = (optimality_gap(latency(few.instances, decisions), few.latency_s).mean() for decisions in chosen)
    assert after < 0.02 < 0.2 < before
    assert (chosen[1] == few.decisions).mean() > 0.9


def test_the_joint_form_learns_optimal_decisions_and_the_sequential_form_prefixes(few):
    joint, sequential = (make_samples(few, form, False, CPU) for form in ("joint", "sequential"))
    assert (joint.targets.numpy().argmax(-1) == few.decisions).all()
    best = few.alternative_s.argmin(-1)
    chosen = sequential.targets.numpy()
    assert (np.take_along_axis(chosen, best[..., None], -1)[..., 0] == chosen.max(-1)).all()


def test_policy_file_keeps_the_network(tmp_path, few):
    network = TaskNetwork("sequential", (1, 2, 8), (8,), (16, 8))
    save_policy(tmp_path / "a.safetensors", to_runtime(network)._replace(metadata={"note": "made by a test"}))
    loaded = load_policy(tmp_path / "a.safetensors")
    again = from_runtime(loaded.network)
    assert loaded.num_parameters == num_parameters(network) == num_parameters(again)
    assert loaded.network.metadata["note"] == "made by a test"
    samples = make_samples(few, "sequential", False, CPU)
    torch.testing.assert_close(teacher_scores(network, samples), teacher_scores(again, samples), rtol=0, atol=0)
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("name", RL_AGENTS)
def test_an_agent_decides_the_same_in_the_compiled_runtime(name):
    # GIVEN an agent that has learned a little, so that its decisions are not all alike
    scenario = make_scenario(num_tasks=3)
    agent = make_agent(name, scenario, "makespan", seed=0)
    agent.learn(8_192)
    policy = NetworkPolicy(agent_to_runtime(agent, scenario), keep_best=False)
    env = agent.get_env()
    # WHEN it acts in the environment THEN the runtime decides the same
    observation = env.reset()
    agreements = []
    for _ in range(40):
        actions = []
        decided = policy.decide(Instances.concatenate(env.get_attr("instances")))
        for _ in range(1 if name.endswith("joint") else 3):
            action, _ = agent.predict(observation, deterministic=True)
            actions.append(action)
            observation, _, _, _ = env.step(action)
        acted = actions[0] if name.endswith("joint") else np.stack(actions, 1)
        agreements.append(acted == decided)
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
        patch.setattr(training, "student_loss", interrupt)
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


def test_training_says_how_far_it_is_without_a_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    training.train_all(tmp_path, TINY, only=["sequential-teacher", "sequential-student", "ppo-cloned"])
    said = capsys.readouterr().err
    assert "labels: instance 200 of 200, " in said
    for step in (
        "sequential-teacher: step 1 of 2, ",
        "sequential-student: step 2 of 2, ",
        "behaviour cloning: step 8 of ",
    ):
        assert step in said
    assert re.search(r"ppo-cloned: step \d+ of 96, .* s, validation gap ", said)


def test_training_takes_one_thread(tmp_path):
    # GIVEN two threads WHEN something is trained THEN each gradient step has one, and two are there afterwards
    seen = []
    hook = register_optimizer_step_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    scenario = TINY.scenario
    settings = replace(TINY, rl_placements=2_100)  # some agents only begin to learn after 2,000
    trainings = {
        name: partial(training.train_all, tmp_path, settings, lambda _: None, [name]) for name in training.POLICIES
    }
    trainings["tune"] = partial(tune.tune, "ppo-joint", tmp_path / "t", scenario, "makespan", 1, 96, 0)
    trainings["cell"] = partial(train_shared_policy, scenario, 2, num_decisions=1)
    try:
        for name, train in trainings.items():
            seen.clear()
            train()
            assert set(seen) == {1}, name
            assert torch.get_num_threads() == 2, name
    finally:
        hook.remove()
        torch.set_num_threads(1)


def test_training_does_not_mix_settings(tmp_path):
    keep_settings(tmp_path / "settings.json", asdict(TINY) | {"hyperparameters": HYPERPARAMETERS})
    with pytest.raises(ValueError, match=r"seed is 2, but 1 in .*settings\.json, whose run has no results yet"):
        training.train_all(tmp_path, replace(TINY, seed=2), report=lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]
    # Results whose settings are gone are not taken for this run's.
    (tmp_path / "settings.json").rename(tmp_path / "training.npz")
    with pytest.raises(ValueError, match=r"has results but no settings\.json"):
        training.train_all(tmp_path, TINY, report=lambda _: None)


def test_each_step_makes_its_own_number_of_passes(tmp_path, monkeypatch):
    made = {}

    def count(*_args, epochs, description, **_kwargs):
        made[description] = epochs

    monkeypatch.setattr(training, "fit", count)
    settings = replace(TINY, teacher_passes=3, student_passes=4, multilabel_passes=5)
    training.train_all(tmp_path, settings, report=lambda _: None)
    assert made == {
        "sequential-teacher": 3,
        "sequential-student": 4,
        "sequential-small-student": 4,
        "multilabel-teacher": 5,
        "multilabel-student": 5,
    }


@pytest.mark.parametrize(
    ("field", "value"), [("num_labels", 0), ("teacher_passes", 0), ("rl_placements", -1), ("seed", -1)]
)
def test_bad_settings_are_refused_before_anything_is_written(field, value):
    with pytest.raises(ValueError, match=f"{field} is {value}"):
        replace(TINY, **{field: value})


def test_test_training_and_validation_instances_never_meet():
    inputs = [sample_instances("default", 3, seed_for("test", 7)).input_bits]
    for purpose in ("training", "validation"):
        labels = generate_demonstrations("default", 3, seed_for(purpose, 7))
        again = generate_demonstrations("default", 3, seed_for(purpose, 7))
        assert (labels.instances.input_bits == again.instances.input_bits).all()
        inputs.append(labels.instances.input_bits)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not np.isin(inputs[one], inputs[other]).any()


def test_latency_loss_has_the_gradient_of_the_expected_latency():
    # GIVEN one instance of 2 tasks, whose 9 decisions can be enumerated
    labels = generate_demonstrations(make_scenario(num_tasks=2), 1, seed=3)
    logits = torch.tensor([[[0.3, -0.2, 0.1], [0.0, 0.5, -0.4]]], requires_grad=True)
    decisions = np.array([[a, b] for a in range(3) for b in range(3)])
    instances = labels.instances[np.zeros(9, dtype=int)]
    gap = torch.from_numpy(latency(instances, decisions) / labels.latency_s - 1).float()
    probabilities = torch.softmax(logits[0], -1)
    chance = probabilities[0, decisions[:, 0]] * probabilities[1, decisions[:, 1]]
    (exact,) = torch.autograd.grad((chance * gap).sum(), logits)
    # WHEN the loss draws many decisions THEN its gradient points the same way
    torch.manual_seed(0)
    estimate = torch.zeros_like(exact)
    for _ in range(200):
        (gradient,) = torch.autograd.grad(latency_loss(logits, labels, num_choices=50), logits)
        estimate += gradient / 200
    cosine = functional.cosine_similarity(exact.flatten(), estimate.flatten(), dim=0)
    assert cosine > 0.97


def test_a_distilled_student_follows_its_teacher(few):
    # GIVEN a teacher that disagrees with the labels: it places everything on the device
    torch.manual_seed(0)
    teacher = TaskNetwork("sequential", (1, 2, 8), (4,), (4,))
    with torch.no_grad():
        teacher.head[-1].weight.zero_()
        teacher.head[-1].bias.copy_(torch.tensor([5.0, 0.0, 0.0]))
    samples = make_samples(few, "sequential", False, CPU)
    # WHEN a student learns from the teacher alone, and another from the labels alone
    shares = {}
    for alpha in (1.0, 0.0):
        student = TaskNetwork("sequential", (1, 2, 8), (8,), (8,))
        fit(student, samples, student_loss(teacher, samples, alpha=alpha), few, epochs=60, batch_size=20)
        shares[alpha] = (teacher_scores(student, samples).argmax(-1) == 0).float().mean()
    # THEN only the first does as the teacher
    assert shares[1.0] > 0.95 > 0.8 > shares[0.0]


def test_the_default_student_is_small():
    settings = training.Settings()
    for form in ("sequential", "joint"):
        student = TaskNetwork(form, settings.scenario.cores, settings.student_encoder, settings.student_head)
        assert num_parameters(student) <= 3000


def test_relative_reward_uses_the_scale_of_its_own_epoch():
    plain, inner = (VectorJointEnv(4, {"name": "default", "num_tasks": 3}, autoreset_mode="SameStep") for _ in range(2))
    wrapped = RelativeReward(SB3VecEnv(inner))
    wrapped.seed(4)
    plain.reset(seed=4), wrapped.reset()
    for _ in range(15):
        decisions = make_policy("greedy").decide(plain.instances)
        scale_s = latency(plain.instances, decisions)
        rewards, relative = plain.step(decisions)[1], wrapped.step(decisions)[1]
        np.testing.assert_allclose(relative, -1.0, rtol=1e-6)  # greedy's makespan is the scale
        np.testing.assert_allclose(rewards, -scale_s)


def test_an_agent_is_made_with_its_hyperparameters():
    scenario = make_scenario()
    of_ppo = {
        "learning_rate": 3e-4, "placements": 4096, "passes": 3, "batches": 2, "gae_lambda": 0.5, "entropy": 0.25,
    }  # fmt: skip
    of_dqn = {
        "learning_rate": 3e-4, "batch_size": 64, "gradient_steps": 3, "buffer_size": 6400, "target_update": 320,
        "explored": 0.75,
    }  # fmt: skip
    for name in RL_AGENTS:
        chosen = of_ppo if name.startswith("ppo") else of_dqn | ({"quantiles": 7} if name.startswith("qr") else {})
        assert chosen.keys() == HYPERPARAMETERS[name].keys()
        agent = make_agent(name, scenario, "makespan", seed=0, hyperparameters=chosen)
        assert agent.lr_schedule(1.0) == 3e-4
        if name.startswith("ppo"):
            assert agent.n_steps * agent.n_envs * placements_a_step(name, scenario) == 4096
            assert agent.n_steps * agent.n_envs == 2 * agent.batch_size
            assert (agent.n_epochs, agent.gae_lambda, agent.ent_coef) == (3, 0.5, 0.25)
        else:
            assert agent.train_freq.frequency * agent.n_envs == 128
            assert (agent.batch_size, agent.gradient_steps, agent.buffer_size) == (64, 3, 6400)
            assert (agent.target_update_interval, agent.exploration_fraction) == (320, 0.75)
            assert getattr(agent, "n_quantiles", 7) == 7
    with pytest.raises(ValueError, match="hyperparameters has quantiles; ppo-joint has learning_rate, placements"):
        make_agent("ppo-joint", scenario, "makespan", seed=0, hyperparameters={"quantiles": 7})


def test_tuning_goes_on_where_it_stopped_and_finds_the_best_trial(tmp_path, capsys):
    def tuned(num_trials, num_tasks=3, name="qrdqn-sequential"):
        return tune.tune(
            name, tmp_path, make_scenario(num_tasks=num_tasks), "makespan", num_trials, num_placements=2048, seed=1
        )

    assert tuned(2).trials[0].params == HYPERPARAMETERS["qrdqn-sequential"]
    study = tuned(3)
    assert len({json.dumps(trial.params) for trial in study.trials}) == 3  # none is tried again
    assert study.best_value == min(trial.value for trial in study.trials)
    assert f"{study.best_value:.2%}" in capsys.readouterr().out
    assert [trial.value for trial in tuned(3).trials] == [trial.value for trial in study.trials]
    with pytest.raises(ValueError, match=r"scenario.num_tasks is 4, but the results in .* were made with 3"):
        tuned(3, num_tasks=4)
    with pytest.raises(ValueError, match="agent is 'ppo-cloned'; it must be one of ppo-joint, ppo-sequential"):
        tuned(3, name="ppo-cloned")


def test_a_trial_that_is_behind_is_stopped(tmp_path, monkeypatch):
    class Always(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return trial.number > 0

    monkeypatch.setattr(optuna.pruners, "MedianPruner", lambda *_: Always())
    study = tune.tune("dqn-sequential", tmp_path, make_scenario(num_tasks=3), "makespan", 2, 2048, seed=1)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED"]
    assert len(study.trials[1].intermediate_values) == 1


def test_tuning_sees_what_the_agents_will_see(tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "NUM_VALIDATION", 20)
    arguments = ["--num-tasks", "3", "--num-trials", "1", "--num-placements", "1024", "--output", str(tmp_path)]
    assert agents_main(["tune", "--agent", "ppo-joint", "--observation-noise", "0.3", *arguments]) == 0
    assert agents_main(["tune", "--agent", "ppo-joint", *arguments]) == 2


@pytest.mark.parametrize("name", tune.TUNABLE)
def test_every_hyperparameter_is_looked_for(name):
    given = optuna.trial.FixedTrial(HYPERPARAMETERS[name])
    assert tune.suggest(name, given) == HYPERPARAMETERS[name]


def test_a_check_can_end_the_training():
    scenario = make_scenario(num_tasks=3)
    validation = generate_demonstrations(scenario, 50, seed=1)
    keeper = KeepBest(8192, "", gap_on(scenario, validation), GAP, stop=lambda gap: True)
    agent = make_agent("dqn-sequential", scenario, "makespan", seed=0).learn(8192, callback=keeper)
    assert keeper.stopped
    assert agent.num_timesteps < 1000


def test_an_agent_is_kept_at_its_best_check():
    scenario = make_scenario(num_tasks=3)
    validation = generate_demonstrations(scenario, 50, seed=1)
    network = train_agent("ppo-sequential", scenario, "makespan", 16_384, validation, validation)
    untrained = agent_to_runtime(make_agent("ppo-sequential", scenario, "makespan", seed=0), scenario)
    assert mean_gap(network, validation) < mean_gap(untrained, validation)


@pytest.mark.slow
def test_the_default_training_reaches_its_figures(tmp_path):
    """The figures that the project states, on instances that neither training nor validation has seen."""
    paths = training.train_all(tmp_path, training.Settings(rl_placements=4096), report=print)
    instances = sample_instances("default", 5000, seed_for("test", 1))
    optimum_s = solve(instances).latency_s

    def gap(name, refine=None):
        decisions = load_policy(paths[name], refine).decide(instances)
        return (latency(instances, decisions) / optimum_s - 1).mean()

    # A little above what docs/policies.md states: sums in torch depend on the machine.
    assert gap("sequential-teacher") <= 0.0085
    assert gap("sequential-student") <= 0.017
    assert gap("sequential-student", "roll-out") <= 0.0115
    assert gap("sequential-student", "swap") <= 0.0035
    assert gap("sequential-small-student") <= 0.02
    assert gap("sequential-small-student", "roll-out") <= 0.013
    assert gap("multilabel-teacher") <= 0.04
    assert gap("multilabel-teacher", "flip") <= 0.008
    assert gap("multilabel-student") <= 0.05


@pytest.mark.parametrize("form", ["sequential", "joint"])
def test_padding_teaches_nothing(form):
    """Gradients reach the scores of tasks alone, for the teacher and for the student."""
    labels = generate_demonstrations({"num_tasks": 1, "max_tasks": 6}, 20, seed=3)
    there = torch.from_numpy(labels.instances.present)
    assert not there.all()
    samples = make_samples(labels, form, False, CPU)
    teacher = TaskNetwork(form, labels.instances.cores[0].tolist(), (4,), (4,))
    for loss in (teacher_loss(form, samples), student_loss(teacher, samples)):
        logits = torch.randn(20, 6, 3, requires_grad=True)
        loss(logits, torch.arange(20)).backward()
        assert (logits.grad[~there] == 0).all()
        assert (logits.grad[there] != 0).any()


def test_the_label_loss_is_the_mean_over_tasks():
    labels = generate_demonstrations({"num_tasks": 1, "max_tasks": 6}, 20, seed=3)
    samples = make_samples(labels, "sequential", False, CPU)
    logits = torch.randn(20, 6, 3)
    there = torch.from_numpy(labels.instances.present)
    expected = functional.cross_entropy(logits[there], samples.targets[there])
    assert float(teacher_loss("sequential", samples)(logits, torch.arange(20))) == pytest.approx(float(expected))


def test_training_of_chosen_policies_on_graphs_with_estimates(tmp_path, capsys):
    arguments = ["--output", str(tmp_path), "--scenario", "dag", "--num-tasks", "3", "--num-labels", "40"]
    arguments += ["--observation-noise", "last", "--teacher-passes", "1", "--student-passes", "1"]
    assert agents_main([*arguments, "--only", "sequential-student"]) == 2
    assert "only has 'sequential-student' without 'sequential-teacher'" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.npz"))  # said before anything is made
    assert agents_main([*arguments, "--only", "sequential-teacher", "sequential-student"]) == 0
    made = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert made == ["sequential-student.safetensors", "sequential-teacher.safetensors"]
    network = load_network(tmp_path / made[0])
    assert network.dependent
    assert (network.observation_noise, network.objective, network.trained_tasks) == ("last", "makespan", (3, 3))
    assert (network.scenario, network.scenario_fields) == ("dag", described(make_scenario("dag", num_tasks=3)))
    assert all(0 <= low < high < np.inf for low, high in network.trained_range)
    assert network.metadata["seed"] == "1"


def label(*arguments):
    return agents_main(["label", "--num-tasks", "3", "--num-instances", "10", "--shard-size", "4", *arguments])


def test_labels_from_the_command_line(tmp_path, capfd, monkeypatch):
    # GIVEN labels by one process, and on a terminal by one and by two
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert label("--output", str(tmp_path / "quiet"), "--num-jobs", "1", "--no-alternatives") == 0
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert label("--output", one, "--num-jobs", "1", "--no-alternatives") == 0
    assert label("--output", two, "--num-jobs", "2", "--no-alternatives") == 0
    said = capfd.readouterr()
    assert f"10 labelled instances in 3 shards: {one}" in said.out
    assert said.err.count("3/3") == 2  # where both progress bars ended
    # THEN they are the same, and training instances
    for ours, theirs in zip(load_shards(one), load_shards(two), strict=True):
        assert (ours.instances.input_bits == theirs.instances.input_bits).all()
        assert ours.alternative_s is theirs.alternative_s is None
    assert ours.instances.input_bits.shape == (2, 3)
    spawned = seed_for("training", 1).spawn(3)[2]
    assert (generate_demonstrations({"num_tasks": 3}, 2, spawned).latency_s == ours.latency_s).all()
    # AND a folder is not mixed with other labels
    assert label("--output", one, "--num-jobs", "1") == 2
    assert "alternatives is True, but the results in" in capfd.readouterr().err


def test_jobs_that_cannot_run_are_refused(tmp_path, capfd, monkeypatch):
    assert label("--output", str(tmp_path / "new"), "--num-jobs", "0") == 2
    assert "error: num_jobs is 0; it must be a whole number, at least 1" in capfd.readouterr().err
    for backend, module in (("ray", "ray.util.joblib"), ("dask", "distributed")):
        monkeypatch.setitem(sys.modules, module, None)
        assert label("--output", str(tmp_path / "new"), "--backend", backend) == 2
        assert f"error: backend is '{backend}', which is not installed; pip install" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_with_estimates_the_teacher_weighs_what_a_choice_costs():
    # GIVEN an observation whose best choice in hindsight is the first two times out of three, and a disaster otherwise
    labels = generate_demonstrations({"num_tasks": 2}, 30, seed=4, observation_noise=0.5)
    samples = make_samples(labels, "sequential", False, CPU)
    assert samples.regret is not None
    often = torch.tensor([0.0, 0.05, 0.5]).expand(20, 2, 3)
    rare = torch.tensor([0.9, 0.0, 0.5]).expand(10, 2, 3)
    regret = torch.cat([often, rare])
    best = torch.nn.functional.one_hot(regret.argmin(dim=-1), 3).float()
    samples = samples._replace(regret=regret, targets=best)
    # WHEN one score vector is fitted to all of them THEN it takes the choice that costs least on average
    for regret_known, choice in ((True, 1), (False, 0)):
        logits = torch.zeros(3, requires_grad=True)
        loss = teacher_loss("sequential", samples if regret_known else samples._replace(regret=None))
        optimizer = torch.optim.Adam([logits], lr=0.1)
        for _ in range(200):
            optimizer.zero_grad()
            loss(logits.expand(30, 2, 3), torch.arange(30)).backward()
            optimizer.step()
        assert int(logits.argmax()) == choice


def test_the_study_of_distillation_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(distillation, "NUM_LABELS", 60)
    monkeypatch.setattr(distillation, "NUM_TEST", 40)
    monkeypatch.setattr(distillation, "SIZES", tuple(((size,), (size,)) for size in (2, 3, 4, 5)))
    monkeypatch.setattr(distillation, "FEW_LABELS", (20,))
    monkeypatch.setattr(distillation, "SEEDS", range(2))
    teacher = tmp_path / "teacher.safetensors"
    network, scenario = to_runtime(TaskNetwork("sequential", (1, 2, 8), (4,), (6,))), make_scenario()
    network = network._replace(scenario="default", scenario_fields=described(scenario))
    save_policy(teacher, network)
    # GIVEN a study that is interrupted
    train, trained = distillation._train, []

    def interrupted(run, *rest):
        trained.append(run)
        if len(trained) == 6:
            raise KeyboardInterrupt
        return train(run, *rest)

    monkeypatch.setattr(distillation, "_train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        distillation.study(tmp_path / "results", teacher, seed=1)
    # WHEN it goes on THEN what is done is not done again, and every student is in the table
    results = distillation.study(tmp_path / "results", teacher, seed=1)
    assert len(results) == len(set(trained)) == len(trained) - 1 == 2 * 14
    assert "| 228 | 20 | labels | 1 |" in capsys.readouterr().out
    # AND another seed or teacher is refused
    with pytest.raises(ValueError, match="seed"):
        distillation.study(tmp_path / "results", teacher, seed=2)
    save_policy(teacher, to_runtime(TaskNetwork("joint", (1, 2, 8), (4,), (6,))))
    with pytest.raises(ValueError, match="must be a sequential network"):
        distillation.study(tmp_path / "other", teacher, seed=1)
    save_policy(teacher, network._replace(scenario_fields=described(dataclasses.replace(scenario, edge_cores=3))))
    with pytest.raises(ValueError, match=r"teacher\.safetensors was trained for the edge_cores 3, not 2"):
        distillation.study(tmp_path / "other", teacher, seed=1)


def test_the_ablation_changes_one_thing_at_a_time(monkeypatch, capsys):
    monkeypatch.setattr(ablation, "NUM_LABELS", 60)
    monkeypatch.setattr(ablation, "NUM_TEST", 40)
    results = ablation.ablation(seed=1, seeds=range(2))
    assert {variant: len(rows) for variant, rows in results.items()} == dict.fromkeys(ablation.VARIANTS, 2)
    gaps = [tuple(row["gap"] for row in rows) for rows in results.values()]
    assert len(set(gaps)) == len(ablation.VARIANTS)
    assert capsys.readouterr().out.count("|\n") == len(ablation.VARIANTS) + 2
