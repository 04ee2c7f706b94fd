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


class Experts(nn.Module):
    """A mixture of experts: a token goes to the two best of four, in one product of groups each way."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(32, 4, bias=False, dtype=torch.bfloat16)
        self.up = nn.Parameter(torch.zeros(4, 32, 64, dtype=torch.bfloat16))
        self.down = nn.Parameter(torch.zeros(4, 64, 32, dtype=torch.bfloat16))

    def forward(self, x):
        weights, chosen = self.router(x).softmax(-1).topk(2)
        order = chosen.flatten().argsort()
        rows = x.repeat_interleave(2, 0)[order]
        ends = nn.functional.one_hot(chosen.flatten(), 4).sum(0).cumsum(0).to(torch.int32)
        rows = nn.functional.silu(nn.functional.grouped_mm(rows, self.up, offs=ends))
        rows = nn.functional.grouped_mm(rows, self.down, offs=ends)
        return torch.zeros_like(x).index_add(0, order // 2, rows * weights.flatten()[order, None])


def test_a_mixture_of_experts_has_all_its_work():
    application = Application.from_torch(Experts(), torch.zeros(16, 32, dtype=torch.bfloat16))
    work = dict(zip(application.task_names, application.workload_cycles, strict=True))
    assert {name: macs for name, macs in work.items() if macs} == {
        "router": 16 * 32 * 4,
        "_grouped_mm": 2 * 16 * 32 * 64,  # two experts a token
        "_grouped_mm_1": 2 * 16 * 64 * 32,
    }


def test_a_transformer_block_is_one_task_for_each_layer():
    """5 tokens of 8 numbers; the projections, two heads, and a feed-forward part of 16."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    application = Application.from_torch(layer, torch.zeros(1, 5, 8))
    work = dict(zip(application.task_names, application.workload_cycles, strict=True))
    assert {name: macs for name, macs in work.items() if macs} == {
        "linear": 5 * 8 * 24,
        "scaled_dot_product_attention": 5 * 5 * 8 * 2,
        "linear_1": 5 * 8 * 8,
        "linear1": 5 * 8 * 16,
        "linear2": 5 * 16 * 8,
    }


def test_a_network_with_long_skips_and_fewer_tasks():
    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.middle = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
            self.up, self.last = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 1, 3, padding=1)

        def forward(self, x):
            fine = torch.relu(self.down(x))
            coarse = torch.relu(self.middle(nn.functional.max_pool2d(fine, 2)))
            return self.last(torch.cat([self.up(coarse), fine], 1))

    application = Application.from_torch(UNet(), torch.zeros(1, 3, 8, 8))
    assert application.task_names == ("down", "middle", "up", "cat", "last")
    work = (64 * 8 * 3 * 9, 16 * 16 * 8 * 9, 16 * 16 * 8 * 4, 0, 64 * 16 * 9)
    assert application.workload_cycles == work
    coarse = application.coarsen(3)
    # "cat" has no work: first it joins "last", along the edge with more bits of those without another path beside it.
    # Then up..: 32 * 8 * 64 bits between "up" and that, and as many from "down" to "middle", whose work is larger.
    assert coarse.task_names == ("down", "middle", "up..last")
    assert coarse.workload_cycles == (work[0], work[1], work[2] + work[4])
    assert (coarse.input_bits, coarse.output_bits) == ((32 * 3 * 64, 0, 0), (0, 0, 32 * 64))
    bits = dict(zip(coarse.edges, coarse.edge_bits, strict=True))
    assert bits == {(0, 1): 32 * 8 * 16, (1, 2): 32 * 16 * 16, (0, 2): 32 * 8 * 64}


class Keywords(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 5)

    def forward(self, *, x, mask=None, scale=1):
        return {"scores": self.layer(x) * mask * scale, "loss": None}


def test_inputs_by_keyword_and_outputs_in_a_dictionary():
    application = Application.from_torch(
        Keywords(), {"mask": torch.zeros(3, 1, dtype=torch.bool), "x": torch.zeros(3, 4), "scale": 2}
    )
    sent = dict(zip(application.task_names, application.input_bits, strict=True))
    assert sent == {"x": 32 * 12, "mask": 8 * 3, "layer": 0, "mul": 0}
    assert application.workload_cycles == (0, 0, 3 * 4 * 5, 0)
    assert application.output_bits == (0, 0, 0, 32 * 15)


def test_a_model_that_takes_a_dictionary_is_given_a_tuple_of_it():
    class Reader(nn.Module):
        def forward(self, batch):
            return batch["x"] @ batch["y"]

    application = Application.from_torch(Reader(), ({"x": torch.zeros(2, 3), "y": torch.zeros(3, 4)},))
    assert application.workload_cycles == (2 * 3 * 4,)
    assert application.input_bits == (32 * (6 + 12),)


@pytest.mark.parametrize("example_input", [(1, 3, 8, 8), ((1, 3), (2, 3)), {"x": (1, 4)}, {}, (), None])
def test_shapes_are_not_tensors(example_input):
    with pytest.raises(ValueError, match=r"example_input is .*; it must hold a tensor, such as torch.zeros\(1, 3, 224"):
        Application.from_torch(nn.Linear(4, 5), example_input)


def branch(x):
    return x if x.sum() > 0 else -x


def loop(x):
    while x.sum() < 9:
        x = x + 1
    return x


class Runs(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (branch, "the control flow of the model Runs, or a size in it, depends on the data"),
        (loop, "the control flow of the model Runs, or a size in it, depends on the data"),
        (lambda x: torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,)), "the work of cond is not known"),
        (lambda x: x[x > 0] * 2, r"the size of the result of aten.index.Tensor \(index\) depends on the data"),
        (lambda x: x.nonzero(), r"the size of the result of aten.nonzero.default \(nonzero\) depends on the data"),
        (lambda x: x @ x, r"torch.export cannot trace the model Runs: RuntimeError: .* reduction dim"),
        (lambda x: x.numpy(), r"torch.export cannot trace the model Runs: \w+: .*numpy"),
    ],
)
def test_what_cannot_be_traced_gives_one_sentence(function, sentence):
    with pytest.raises(ValueError, match=sentence) as raised:
        Application.from_torch(Runs(function), torch.zeros(3, 4))
    assert "\n" not in str(raised.value)


def test_an_operation_of_ones_own_is_refused_or_counted_as_the_caller_says():
    @torch.library.custom_op("offload_gym_tests::twice", mutates_args=())
    def twice(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @twice.register_fake
    def _(x):
        return torch.empty_like(x)

    name = "offload_gym_tests.twice"
    model = Runs(lambda x: twice(x))
    with pytest.raises(ValueError, match=f"the work of {name} is not known; give its .* as flops={{'{name}': ...}}"):
        Application.from_torch(model, torch.zeros(3, 4))
    assert Application.from_torch(model, torch.zeros(3, 4), flops={name: 24}).workload_cycles == (12,)
    by_shape = {name: lambda x, out_shape: 4 * x[0] * out_shape[1]}
    assert Application.from_torch(model, torch.zeros(3, 4), flops=by_shape).workload_cycles == (2 * 3 * 4,)
    by_call = {"cond": 10}
    conditional = Runs(lambda x: torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,)))
    assert Application.from_torch(conditional, torch.zeros(3, 4), flops=by_call).workload_cycles == (5,)


def test_a_model_that_ignores_its_input_is_refused():
    class Constant(nn.Module):
        def forward(self, x):
            return torch.ones(3)

    with pytest.raises(ValueError, match="the model Constant does nothing with its input; it has no task"):
        Application.from_torch(Constant(), torch.zeros(2))
