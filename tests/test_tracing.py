"""Sizes by hand: an element of float32 has 32 bits."""

import pytest

from offload_gym.applications.application import Application
from offload_gym.applications.presets import cnn_application

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning"),
]


def test_a_network_with_a_residual_branch():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2)
            )
            self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.Dropout(), nn.Tanh())
            self.head = nn.Linear(8 * 4 * 4, 10)

        def forward(self, x):
            x = self.stem(x / 255)
            y = self.body(x)
            y += x
            return self.head(torch.relu(y).flatten(1)).softmax(1)

    model = Residual()
    model.stem.eval()
    application = Application.from_torch(model, torch.zeros(1, 3, 8, 8))
    tensor = 32 * 8 * 4 * 4
    assert application == Application(
        name="Residual",
        input_bits=[32 * 3 * 8 * 8, 0, 0, 0],
        output_bits=[0, 0, 0, 32 * 10],
        workload_cycles=[8 * 8 * 8 * 3 * 9, 8 * 4 * 4 * 8 * 9, 0, 128 * 10],
        edges=[(0, 1), (1, 2), (0, 2), (2, 3)],
        edge_bits=[tensor] * 4,
        task_names=["stem.0", "body.0", "add", "head"],
    )
    assert model.training  # the model is left as it was
    assert not model.stem[0].training


def test_alexnet_is_that_of_the_presets():
    with torch.device("meta"):  # 61 million parameters that nobody needs
        model = nn.Sequential(
            *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten()),
            *(nn.Linear(256 * 6 * 6, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)),
        )
        image = torch.zeros(1, 3, 224, 224)
    traced = Application.from_torch(model, image, "alexnet")
    preset = cnn_application("alexnet")
    assert traced.workload_cycles == preset.workload_cycles
    assert traced.edges == preset.edges
    assert traced.edge_bits == preset.edge_bits
    assert traced.output_bits == preset.output_bits
    assert traced.input_bits[0] == 4 * preset.input_bits[0]  # float32 here, one byte a colour there


def test_an_input_that_a_later_task_reads_too_is_a_task():
    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(x) + x

    application = Application.from_torch(Skip(), torch.zeros(2, 4))
    bits = 32 * 2 * 4
    assert application == Application(
        "Skip",
        [bits, 0, 0],
        [0, 0, bits],
        [0, 2 * 4 * 4, 0],
        [(0, 1), (1, 2), (0, 2)],
        [bits] * 3,
        ["x", "layer", "add"],
    )


def test_several_inputs_and_outputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 5), nn.Linear(5, 2)

        def forward(self, x, y):
            both = self.a(x) + self.a(y)
            return both, self.b(both)

    application = Application.from_torch(Two(), (torch.zeros(1, 4), torch.zeros(3, 4)), "two")
    # Only an exit task returns, so what the addition returns goes through a task "output".
    assert application.task_names == ("linear", "linear_1", "add", "b", "output")
    assert application.input_bits == (32 * 4, 32 * 3 * 4, 0, 0, 0)
    assert application.output_bits == (0, 0, 0, 0, 32 * (3 * 5 + 3 * 2))
    assert application.workload_cycles == (4 * 5, 3 * 4 * 5, 0, 3 * 5 * 2, 0)
    bits = dict(zip(application.edges, application.edge_bits, strict=True))
    assert bits == {(0, 2): 32 * 5, (1, 2): 32 * 15, (2, 3): 32 * 15, (2, 4): 32 * 15, (3, 4): 32 * 6}


def test_attention_is_counted():
    class Attention(nn.Module):
        def forward(self, query, key, value):
            return torch.nn.functional.scaled_dot_product_attention(query, key, value)

    shapes = ((1, 2, 16, 8), (1, 2, 10, 8), (1, 2, 10, 8))  # batch, heads, length, features
    application = Application.from_torch(Attention(), tuple(torch.zeros(shape) for shape in shapes))
    assert application.workload_cycles == (2 * 16 * 10 * 8 * 2,)
    assert application.input_bits == (32 * 2 * 8 * (16 + 10 + 10),)


def test_recurrent_layers_are_refused():
    with pytest.raises(ValueError, match="the work of lstm is not known"):
        Application.from_torch(nn.LSTM(4, 8), torch.zeros(3, 1, 4))


def test_a_model_that_ignores_its_input_is_refused():
    class Constant(nn.Module):
        def forward(self, x):
            return torch.ones(3)

    with pytest.raises(ValueError, match="the model Constant does nothing with its input; it has no task"):
        Application.from_torch(Constant(), torch.zeros(2))
