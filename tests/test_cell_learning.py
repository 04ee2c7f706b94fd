"""Learning in cells: what labels are, and that a network gains by them."""

import numpy as np
import pytest

from agents import cell_learning
from agents.__main__ import main
from agents.cell_labels import decide, gather, label, observe
from agents.cell_learning import CellSettings, fresh_cells, new_network, packed_network, train
from agents.cell_shares import mean_latency, validation_cells
from offload_gym.cell import cell_latency
from offload_gym.cell_policies import CellNetworkPolicy, load_cell_policy, report_of
from offload_gym.envs.cell import sample_cell
from offload_gym.networks.cell_kernel import COMPANY

SETTINGS = CellSettings(sizes=(1, 3), steps=3, devices_a_step=12, batch_size=24)


def without_noise(cells):
    return np.zeros((len(cells.devices), cells.devices.num_tasks, cells.devices.num_locations), dtype=np.float32)


def test_costs_are_what_all_devices_pay_for_another_choice():
    cells = gather([sample_cell("default", 3, seed) for seed in (1, 2)], 0.7)
    network = packed_network(new_network(SETTINGS, False, 0), False)
    noise = np.random.default_rng(0).gumbel(size=(6, 8, 3)).astype(np.float32)
    decisions = decide(cells, network, noise, False)
    labels = label(cells, network, noise, False)
    before_s = [cell_latency(cell, decisions[3 * c : 3 * c + 3]).mean() for c, cell in enumerate(cells.cells)]
    assert labels.latency_s == pytest.approx(np.mean(before_s))
    assert (np.take_along_axis(labels.costs, decisions[..., None], axis=2) == 0).all()
    # The last task: nothing follows, so the decision with this one task elsewhere is what was tried.
    for b, k in ((0, 1), (4, 2), (5, 0)):
        other = decisions.copy()
        other[b, 7] = k
        c = b // 3
        after_s = cell_latency(cells.cells[c], other[3 * c : 3 * c + 3]).mean()
        assert labels.costs[b, 7, k] == pytest.approx(3 * (after_s - before_s[c]) / labels.latency_s, abs=1e-5)
    # The first task: the network goes on by itself. Its later choices are those of the same noise.
    forced = noise.copy()
    forced[2, 0, (decisions[2, 0] + 1) % 3] += 1e4
    other = decide(cells, network, forced, False)
    np.testing.assert_array_equal(np.delete(other, 2, axis=0), np.delete(decisions, 2, axis=0))
    after_s = cell_latency(cells.cells[0], other[:3]).mean()
    cost = labels.costs[2, 0, (decisions[2, 0] + 1) % 3]
    assert cost == pytest.approx(3 * (after_s - before_s[0]) / labels.latency_s, abs=1e-5)


@pytest.mark.parametrize("privileged", [False, True])
def test_the_kernel_decides_as_the_network_in_torch(privileged):
    import torch

    network = new_network(SETTINGS, privileged, 0)
    with torch.no_grad():  # weights for the company, too, which are 0 in a network that begins as the shipped one
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
    cells = gather([sample_cell("default", 4, seed) for seed in range(10)], 0.7)
    decisions = decide(cells, packed_network(network, privileged), without_noise(cells), privileged)
    rows, states = (torch.from_numpy(array) for array in observe(cells, decisions))
    scores = network(rows, states[..., : network._state]).detach().numpy()
    assert len(np.unique(decisions)) == 3
    assert (scores.argmax(axis=2) == decisions).mean() > 0.995


def test_training_makes_the_mean_latency_less():
    settings = CellSettings(sizes=(4,), steps=40, devices_a_step=120, learning_rate=2e-2)
    cells = gather(validation_cells(settings.scenario, 4, 60, 1), settings.share)
    values = []
    for network in (new_network(settings, False, settings.seed), train(settings)):
        decisions = decide(cells, packed_network(network, False), without_noise(cells), False)
        values.append(mean_latency(cells.cells, decisions))
    assert values[1] < 0.985 * values[0]


def test_the_same_settings_give_the_same_cells_of_training_alone():
    first, again = fresh_cells(SETTINGS, 0), fresh_cells(SETTINGS, 0)
    np.testing.assert_array_equal(first[1].devices.tasks, again[1].devices.tasks)
    assert [len(cells.devices) for cells in first] == [12, 12]
    (validation,) = validation_cells(SETTINGS.scenario, 3, 1, SETTINGS.seed)
    assert not np.isin(validation.tasks, first[1].devices.tasks).any()
    assert not np.isin(fresh_cells(SETTINGS, 1)[1].devices.tasks, first[1].devices.tasks).any()


@pytest.mark.parametrize("value", ["nan", "inf", "-3"])
@pytest.mark.parametrize("name", ["first_noise", "last_noise"])
def test_noise_has_bounds(name, value, tmp_path, capsys):
    message = f"{name} is {float(value)!r}; it must be finite and at least 0"
    with pytest.raises(ValueError, match=message):
        CellSettings(**{name: float(value)})
    folder = tmp_path / "any"
    assert main(["learn-cells", "--output", str(folder), f"--{name.replace('_', '-')}", value]) == 2
    assert message in capsys.readouterr().err
    assert not folder.exists()
    assert CellSettings(first_noise=0, last_noise=0).noise(1) == 0


def test_few_devices_need_a_small_size(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "any"
    command = ["learn-cells", "--output", str(folder), "--sizes", "16", "9"]
    for only in ([], ["--only", "student", "few-devices"]):
        assert main([*command, *only]) == 2
        out, error = capsys.readouterr()
        assert "sizes is (16, 9); few-devices needs one that is at most 8" in error
        assert not out  # nothing was trained before
    assert not folder.exists()
    monkeypatch.setattr(cell_learning, "SIZES", (2,))
    rest = ["--only", "student", "--steps", "1", "--devices-a-step", "1", "--num-validation", "1"]
    assert main([*command, *rest]) == 0
    assert [path.name for path in folder.iterdir()] == ["student.safetensors"]


def test_learn_cells_writes_what_the_package_reads(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cell_learning, "FEW", 2)
    monkeypatch.setattr(cell_learning, "SIZES", (2, 3))
    command = [
        "learn-cells",
        "--output",
        str(tmp_path),
        "--steps",
        "1",
        "--devices-a-step",
        "6",
        "--sizes",
        "1",
        "2",
        "3",
    ]
    assert main([*command, "--num-validation", "2"]) == 0
    names = sorted(path.stem for path in tmp_path.glob("*.safetensors"))
    assert names == ["distilled", "few-devices", "student"]
    out = capsys.readouterr().out
    assert [line.split(":")[0] for line in out.splitlines()] == ["teacher", "student", "distilled", "few-devices"]
    policy = load_cell_policy(tmp_path / "few-devices.safetensors")
    assert isinstance(policy, CellNetworkPolicy)
    assert policy.network.num_devices == (1, 2)
    assert policy.network.head[0][0].shape[1] == 16 + 9 + 17 + COMPANY  # encoding, row, state
    cell = sample_cell("default", 5, 3)
    assert policy.decide(cell, report_of(cell)).shape == (5, 8)
    assert main([*command, "--steps", "0"]) == 2
    assert "steps is 0" in capsys.readouterr().err
    student = tmp_path / "student.safetensors"
    before = student.read_bytes()
    began = new_network(CellSettings(start=str(student)), False, 0)
    np.testing.assert_array_equal(began.encoder[0].weight.detach(), load_cell_policy(student).network.encoder[0][0])
    assert main([*command, "--only", "student", "--start", str(student), "--learning-rate", "0"]) == 0
    np.testing.assert_allclose(load_cell_policy(student).network.head[0][0], began.head[0].weight.detach(), rtol=1e-6)
    assert len(student.read_bytes()) == len(before)
    with pytest.raises(ValueError, match="the network to begin with has more layers or larger ones"):
        new_network(CellSettings(start=str(student), encoder=(8, 8)), False, 0)
