"""The multiply-accumulates of operations, by hand."""

import pytest

from offload_gym import Application

torch = pytest.importorskip("torch")
nn = torch.nn
F = torch.nn.functional
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning"),
    pytest.mark.filterwarnings("ignore:Default grid_sample and affine_grid:UserWarning"),
]


class Calls(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def application_of(function, *shapes, **options):
    arguments = tuple(shape if isinstance(shape, torch.Tensor) else torch.zeros(shape) for shape in shapes)
    return Application.from_torch(
        function if isinstance(function, nn.Module) else Calls(function), arguments, **options
    )


def macs(function, *shapes, **options):
    return sum(application_of(function, *shapes, **options).workload_cycles)


def bfloat16(*shape):
    return torch.zeros(shape, dtype=torch.bfloat16)


def test_products_with_vectors():
    assert macs(torch.mv, (4, 5), (5,)) == 4 * 5
    assert macs(torch.matmul, (7, 4, 5), (5,)) == 7 * 4 * 5
    assert macs(torch.dot, (5,), (5,)) == 5
    assert macs(torch.inner, (3, 5), (4, 5)) == 3 * 4 * 5
    assert macs(torch.linalg.vecdot, (6, 5), (6, 5)) == 6 * 5
    assert macs(lambda a, b: torch.linalg.vecdot(a, b, dim=0), (6, 5), (6, 5)) == 6 * 5
    assert macs(torch.addmv, (4,), (4, 5), (5,)) == 4 * 5
    assert macs(torch.addbmm, (5, 3), (2, 5, 4), (2, 4, 3)) == 2 * 5 * 4 * 3
    assert macs(lambda a, b: torch.einsum("ij,ij->", a, b), (4, 5), (4, 5)) == 4 * 5
    # (2 x 3)(3 x 4), then (2 x 4)(4 x 5)
    assert macs(lambda *a: torch.linalg.multi_dot(a), (2, 3), (3, 4), (4, 5)) == 2 * 3 * 4 + 2 * 4 * 5


def test_bilinear_layers():
    # For each of 5 outputs and 2 rows, 3 numbers times a 3 x 4 matrix, and that times 4 numbers.
    assert macs(nn.Bilinear(3, 4, 5), (2, 3), (2, 4)) == 2 * 5 * (3 * 4 + 4)
    # The distance of each of 5 from each of 4 points takes one for each of 3 coordinates.
    assert macs(torch.cdist, (5, 3), (4, 3)) == 5 * 4 * 3
    # For each of 8 x 8 points, a 2 x 3 matrix times (x, y, 1).
    assert macs(lambda theta: F.affine_grid(theta, (1, 3, 8, 8)), (1, 2, 3)) == 64 * 2 * 3


def test_products_of_groups():
    """16 rows of 32 numbers, in 4 groups that each have a matrix of 32 x 48; and what that is as a derivative."""
    ends = torch.tensor([4, 8, 12, 16], dtype=torch.int32)
    rows = 16 * 32 * 48
    assert macs(lambda a, b, e: F.grouped_mm(a, b, offs=e), bfloat16(16, 32), bfloat16(4, 32, 48), ends) == rows
    assert macs(lambda a, b, e: F.grouped_mm(a, b, offs=e), bfloat16(32, 16), bfloat16(16, 48), ends) == rows
    assert macs(F.grouped_mm, bfloat16(4, 16, 32), bfloat16(4, 32, 48)) == 4 * rows


def test_transforms_have_the_customary_count():
    """5 N log2 N operations for a complex one and half of that for a real one, of which a cycle is two."""
    complex_signals = torch.zeros(2, 16, dtype=torch.complex64)
    assert macs(torch.fft.fft, complex_signals) == 2 * 5 * 16 * 4 / 2
    assert macs(torch.fft.rfft, (2, 16)) == 2 * 2.5 * 16 * 4 / 2
    assert macs(torch.fft.irfft, complex_signals[:, :9]) == 2 * 2.5 * 16 * 4 / 2
    assert macs(torch.fft.fft2, complex_signals.reshape(2, 4, 4)) == 2 * 5 * 16 * 4 / 2
    # Frames of 16 every 4, of 160 + 2 * 8: (176 - 16) / 4 + 1 = 41
    window = torch.ones(16)
    assert macs(lambda x: torch.stft(x, 16, window=window, return_complex=True), (160,)) == 41 * 2.5 * 16 * 4 / 2
    spectrum = torch.zeros(9, 41, dtype=torch.complex64)
    assert macs(lambda s: torch.istft(s, 16, window=window), spectrum) == 41 * 2.5 * 16 * 4 / 2


def test_a_product_of_complex_numbers_is_four_of_reals():
    a, b = torch.zeros(3, 4, dtype=torch.complex64), torch.zeros(4, 2, dtype=torch.complex64)
    assert macs(torch.matmul, a, b) == 4 * 3 * 4 * 2


def test_attention_with_groups_of_heads_and_a_mask():
    # 4 heads, each 5 x 5 scores of 8 numbers, and 5 x 5 times 8 numbers, whatever the mask leaves out.
    query, key = (1, 4, 5, 8), (1, 2, 5, 8)
    attention = F.scaled_dot_product_attention
    assert macs(lambda q, k, v: attention(q, k, v, enable_gqa=True), query, key, key) == 4 * 5 * 5 * (8 + 8)
    assert macs(lambda q, k, v: attention(q, k, v, is_causal=True), query, query, query) == 4 * 5 * 5 * (8 + 8)
    assert macs(attention, (5, 8), (7, 8), (7, 3)) == 5 * 7 * (8 + 3)


def test_recurrent_layers():
    """Four gates of 8 numbers in the LSTM, from 4 inputs and 8 states, in each of 3 steps of 2 sequences."""
    steps = 3 * 2
    assert macs(nn.LSTM(4, 8), (3, 2, 4)) == steps * 4 * 8 * (4 + 8)
    assert macs(nn.GRU(4, 8, batch_first=True), (2, 3, 4)) == steps * 3 * 8 * (4 + 8)
    assert macs(nn.RNN(4, 8), (3, 2, 4)) == steps * 8 * (4 + 8)
    both_ways = nn.LSTM(4, 8, num_layers=2, bidirectional=True)
    assert macs(both_ways, (3, 2, 4)) == steps * 2 * 4 * 8 * ((4 + 8) + (16 + 8))
    # A projection from 8 to 3 numbers, which are the state.
    assert macs(nn.LSTM(4, 8, proj_size=3), (3, 2, 4)) == steps * (4 * 8 * (4 + 3) + 8 * 3)
    assert macs(nn.LSTMCell(4, 8), (2, 4)) == 2 * 4 * 8 * (4 + 8)


def test_a_recurrent_layer_is_one_task():
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = nn.LSTM(4, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.head(self.lstm(x)[0])

    application = application_of(Tagger(), (3, 2, 4))
    assert application.task_names == ("lstm", "head")
    assert application.workload_cycles == (6 * 4 * 8 * 12, 6 * 8 * 2)
    assert application.edge_bits == (32 * 6 * 8,)


def test_free_operations():
    functions = [
        nn.InstanceNorm2d(4, track_running_stats=True),
        nn.GroupNorm(2, 4),
        nn.LocalResponseNorm(2),
        nn.AdaptiveMaxPool2d(2),
        nn.FractionalMaxPool2d(2, output_size=3),
        nn.PixelShuffle(2),
        nn.Upsample(scale_factor=2, mode="bicubic"),
        lambda x: F.pad(x, (1, 1, 1, 1), mode="circular"),
        lambda x: F.grid_sample(x, x[:, :2].permute(0, 2, 3, 1)),
        lambda x: F.unfold(x, 3),
        lambda x: x.sort()[0].cumsum(0).topk(2)[1],
        lambda x: F.one_hot(x.argmax(1), 5),
        lambda x: F.gumbel_softmax(x) + torch.randn_like(x),
        lambda x: x.roll(1).masked_fill(x > 0, 0).index_add(0, torch.tensor([0]), x),
        lambda x: torch.view_as_real(torch.polar(x, x)),
        lambda x: x.std() + torch.quantile(x, 0.5) + F.cosine_similarity(x, x).sum(),
        lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
    ]
    layers = nn.ModuleList(function if isinstance(function, nn.Module) else Calls(function) for function in functions)
    assert macs(lambda x: [layer(x) for layer in layers.eval()], (1, 4, 8, 8)) == 0


@pytest.mark.parametrize("name", ["linalg_inv", "linalg_svd", "linalg_cholesky", "matrix_exp", "to_sparse"])
def test_what_nobody_counts_is_refused(name):
    function = getattr(torch.ops.aten, name)
    with pytest.raises(
        ValueError, match=rf"the work of aten.{name} is not known; give its .* as flops={{'aten.{name}'"
    ):
        macs(function, (3, 3))


def test_products_of_sparse_tensors_are_refused():
    with pytest.raises(ValueError, match=r"the work of aten.mm is not known"):
        macs(torch.matmul, torch.eye(3).to_sparse(), (3, 2))
    with pytest.raises(ValueError, match=r"has the layout torch.sparse_coo; its size depends on the data"):
        macs(torch.matmul, torch.eye(3).to_sparse(), (3, 2), flops={"aten.matmul": 12})


def test_flops_of_the_caller():
    inverse = torch.linalg.inv
    assert macs(inverse, (3, 3), flops={"aten.linalg_inv": 54}) == 27
    assert macs(inverse, (5, 3, 3), flops={"aten.linalg_inv": lambda a, out_shape: 2 * a[0] * a[1] ** 3}) == 5 * 27
    # By the name of a part, and in place of a formula.
    assert macs(inverse, (3, 3), flops={"aten.linalg_inv_ex": 54}) == 27
    assert macs(nn.Linear(4, 5), (2, 4), flops={"aten.linear": lambda x, *_, out_shape: 6 * out_shape[1]}) == 15
    assert macs(torch.exp, (2, 4), flops={"aten.exp": lambda x, out_shape: 20 * x[0] * x[1]}) == 80


@pytest.mark.parametrize(
    ("flops", "sentence"),
    [
        ({"aten.linalg_inv": -1}, "flops of 'aten.linalg_inv' is -1; it must be a number, finite and at least 0"),
        ({"aten.linalg_inv": 10**400}, "flops of 'aten.linalg_inv' is 10*; it must be a number, finite and at least 0"),
        ({"aten.linalg_inv": True}, "flops of 'aten.linalg_inv' is True; it must be a number"),
        ({"aten.linalg_inv": lambda *_, out_shape: "9"}, "flops of 'aten.linalg_inv' is '9'; it must be a number"),
        ({"aten.linalg_inv": 9, "aten.mv": 9}, "flops counts 'aten.mv', which the model does not call"),
        ([9], r"flops is \[9\]; it must be a dictionary by the names of operations"),
    ],
)
def test_flops_of_the_caller_that_do_not_fit(flops, sentence):
    with pytest.raises(ValueError, match=sentence):
        macs(torch.linalg.inv, (3, 3), flops=flops)
