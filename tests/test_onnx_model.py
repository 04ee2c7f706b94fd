"""ONNX models, made here with onnx.helper after the operators' definitions (https://onnx.ai/onnx/operators/)."""

import math
import sys

import pytest

from offload_gym import Application, load_application
from offload_gym.applications.formats.onnx_operators import FORMULAS, FREE, Call

onnx = pytest.importorskip("onnx")
FLOAT = onnx.TensorProto.FLOAT


def value(name, *shape, kind=FLOAT):
    return onnx.helper.make_tensor_value_info(name, kind, shape)


def weight(name, *shape):
    """A parameter without data, which nothing looks at."""
    return onnx.TensorProto(name=name, data_type=FLOAT, dims=shape)


def written(folder, nodes, inputs, outputs, weights=(), **options):
    graph = onnx.helper.make_graph(nodes, "graph", inputs, outputs, weights)
    path = folder / "model.onnx"
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, **options)
    path.write_bytes(model.SerializeToString())
    return path


def node(kind, inputs, outputs, **attributes):
    name = attributes.pop("name", outputs.split()[0].upper())
    return onnx.helper.make_node(kind, inputs.split(" "), outputs.split(), name=name, **attributes)


def residual(folder, batch=1):
    """A convolution, two branches, and a classifier that also reads a second input."""
    nodes = [
        node("Conv", "image w1", "a", pads=[1, 1, 1, 1]),  # (1, 3, 8, 8) -> (1, 4, 8, 8)
        node("Relu", "a", "b"),
        node("Conv", "b w2", "c"),  # (1, 4, 8, 8), a kernel of 1 x 1
        node("Add", "b c", "d"),
        node("GlobalAveragePool", "d", "e"),  # (1, 4, 1, 1)
        node("Flatten", "e", "f"),  # (1, 4)
        node("Concat", "f extra", "g", axis=1),  # (1, 6)
        node("Gemm", "g w3", "h", transB=1),  # (1, 10)
        node("Softmax", "h", "scores"),
    ]
    weights = [weight("w1", 4, 3, 3, 3), weight("w2", 4, 4, 1, 1), weight("w3", 10, 6)]
    inputs = [value("image", batch, 3, 8, 8), value("extra", batch, 2)]
    return written(folder, nodes, inputs, [value("scores", batch, 10), value("b", batch, 4, 8, 8)], weights)


def test_work_and_tensors(tmp_path):
    application = load_application(residual(tmp_path))
    # G joins data of a task and of an input; A returns "b", though others read it.
    assert application == Application(
        name="model",
        task_names=("G input", "A", "C", "D", "G", "H", "A output"),
        input_bits=(2 * 32, 3 * 64 * 32, 0, 0, 0, 0, 0),
        output_bits=(0, 0, 0, 0, 0, 10 * 32, 256 * 32),
        workload_cycles=(0, 256 * 27, 256 * 4, 0, 0, 10 * 6, 0),  # elements of the result x sums of each
        edges=((1, 2), (1, 3), (2, 3), (3, 4), (4, 5), (1, 6), (0, 4)),
        edge_bits=(256 * 32, 256 * 32, 256 * 32, 4 * 32, 6 * 32, 256 * 32, 2 * 32),
    )


def test_open_dimensions(tmp_path):
    path = residual(tmp_path, batch="batch")
    with pytest.raises(
        ValueError, match=r"leaves the dimensions 'batch' of its inputs open; dimensions={'batch': 1} says"
    ):
        load_application(path)
    one, four = (load_application(path, dimensions={"batch": size}) for size in (1, 4))
    assert one == load_application(residual(tmp_path))
    assert four.workload_cycles == tuple(4 * cycles for cycles in one.workload_cycles)
    with pytest.raises(ValueError, match="dimensions has 'n', which no input of the model leaves open"):
        load_application(path, dimensions={"n": 2})
    path = written(tmp_path, [node("Relu", "x", "y")], [value("x", None, 3)], [value("y", None, 3)])
    with pytest.raises(ValueError, match=r"the dimensions 'x\[0\]' of its inputs open"):
        load_application(path)
    assert load_application(path, dimensions={"x[0]": 2}).input_bits == (2 * 3 * 32,)


def test_what_is_made_of_parameters_and_shapes_is_no_task(tmp_path):
    nodes = [
        node("MatMul", "w1 w2", "w"),  # of parameters
        node("MatMul", "x w", "a"),  # (2, 3) (3, 4)
        node("Shape", "x", "shape"),
        node("Gather", "shape zero", "rows"),
        node("Reshape", "a rows_and_rest", "b"),
        node("Relu", "b", "y"),
    ]
    weights = [weight("w1", 3, 5), weight("w2", 5, 4)]
    weights += [onnx.helper.make_tensor("zero", onnx.TensorProto.INT64, [1], [0])]
    weights += [onnx.helper.make_tensor("rows_and_rest", onnx.TensorProto.INT64, [1], [-1])]
    application = load_application(written(tmp_path, nodes, [value("x", 2, 3)], [value("y", 8)], weights))
    assert application.task_names == ("A",)
    assert application.workload_cycles == (8 * 3,)
    assert (application.input_bits, application.output_bits) == ((6 * 32,), (8 * 32,))


def test_a_model_without_work_is_one_task(tmp_path):
    path = written(tmp_path, [node("Relu", "x", "y")], [value("x", 5)], [value("y", 5)])
    assert load_application(path) == Application("model", (160,), (160,), (0,), task_names=("input x",))


def test_names_that_nodes_share_are_those_of_tensors(tmp_path):
    nodes = [node("MatMul", "x w", "a", name="same"), node("MatMul", "a w", "y", name="same")]
    path = written(tmp_path, nodes, [value("x", 3, 3)], [value("y", 3, 3)], [weight("w", 3, 3)])
    assert load_application(path).task_names == ("MatMul a", "MatMul y")


def test_a_function_of_the_model_is_written_out(tmp_path):
    body = [onnx.helper.make_node("MatMul", ["a", "b"], ["c"]), onnx.helper.make_node("Relu", ["c"], ["d"])]
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("mine", 1)]
    layer = onnx.helper.make_function("mine", "Layer", ["a", "b"], ["d"], body, opsets[:1])
    nodes = [onnx.helper.make_node("Layer", ["x", "w"], ["y"], domain="mine")]
    graph = onnx.helper.make_graph(nodes, "g", [value("x", 2, 3)], [value("y", 2, 4)], [weight("w", 3, 4)])
    model = onnx.helper.make_model(graph, functions=[layer], opset_imports=opsets)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    assert load_application(tmp_path / "model.onnx").workload_cycles == (8 * 3,)


@pytest.mark.parametrize(
    ("kind", "inputs", "outputs", "attributes", "macs"),
    [
        ("Conv", [(1, 6, 8, 8), (4, 3, 3, 3)], [(1, 4, 6, 6)], {"group": 2}, 4 * 36 * 3 * 9),
        ("QLinearConv", [(1, 3, 8, 8), (), (), (4, 3, 3, 3)], [(1, 4, 6, 6)], {}, 4 * 36 * 27),
        ("ConvTranspose", [(1, 3, 5, 5), (3, 4, 2, 2)], [(1, 4, 6, 6)], {}, 3 * 25 * 4 * 4),
        ("MatMul", [(7, 2, 3), (3, 4)], [(7, 2, 4)], {}, 7 * 2 * 3 * 4),
        ("MatMul", [(3,), (3,)], [()], {}, 3),
        ("Gemm", [(3, 2), (3, 4)], [(2, 4)], {"transA": 1}, 2 * 3 * 4),
        # 5 steps of 2 sequences; 4 gates of 6, which read 3 numbers and the 6 of before
        ("LSTM", [(5, 2, 3), (1, 24, 3), (1, 24, 6)], [(5, 1, 2, 6)], {}, 5 * 2 * 24 * (3 + 6)),
        # 2 heads, 3 queries of 4 numbers, 5 keys and 2 past ones, values of 6
        ("Attention", [(1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 6), (), (1, 2, 2, 4)], [(1, 2, 3, 6)], {}, 2 * 3 * 7 * 10),
        ("Attention", [(1, 3, 8), (1, 5, 8), (1, 5, 12)], [(1, 3, 12)], {}, 3 * 5 * (8 + 12)),
        ("Einsum", [(2, 3), (3, 4)], [(2, 4)], {"equation": b"ij, jk -> ik"}, 24),
        ("Einsum", [(3, 3)], [()], {"equation": b"ii->"}, 0),
    ],
)
def test_macs_of_operators(kind, inputs, outputs, attributes, macs):
    assert FORMULAS[kind](Call(inputs, outputs, attributes)) == macs


def test_all_operators_are_free_or_counted_or_refused():
    refused = """
        AffineGrid CausalConvWithState ConcatFromSequence DFT Det If ImageDecoder LinearAttention Loop Optional
        OptionalGetElement OptionalHasElement RegexFullMatch STFT Scan SequenceAt SequenceConstruct SequenceEmpty
        SequenceErase SequenceInsert SequenceLength SequenceMap SplitToSequence StringConcat StringNormalizer
        StringSplit TfIdfVectorizer
    """
    assert not FREE & FORMULAS.keys()
    there = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
    assert there - FREE - FORMULAS.keys() <= set(refused.split())  # what a later onnx has is refused, too


def test_models_that_are_refused(tmp_path):
    def refused(sentence, *arguments, **options):
        with pytest.raises(ValueError, match=sentence) as error:
            load_application(written(tmp_path, *arguments, **options))
        assert str(error.value).startswith(f"{tmp_path / 'model.onnx'}: ")

    x, y = [value("x", 2, 2)], [value("y", 2, 2)]
    refused("the work of Det .'Y'. is not known", [node("Det", "x", "y")], x, [value("y")])
    refused("the graph of the ONNX model has no node", [], x, x)
    body = onnx.helper.make_graph([node("Relu", "x", "z")], "body", [], [value("z", 2, 2)])
    branches = {"then_branch": body, "else_branch": body}
    refused("the work of If .'Y'. depends on the data", [node("If", "c", "y", **branches)], [value("c", kind=9)], y)
    fused = onnx.helper.make_node("FusedConv", ["x", "x"], ["y"], domain="com.microsoft")
    refused("FusedConv .'y'. of the domain 'com.microsoft' is not known", [fused], x, y)
    nodes = [node("NonZero", "x", "i"), node("MatMul", "a i", "y")]
    refused(
        "the shape of the tensor 'i' is .2, unk__0.; all its dimensions must be known",
        nodes,
        [*x, value("a", 2, 2, kind=7)],
        [value("y", 2, None, kind=7)],
    )
    refused("onnx cannot infer the shapes", [node("MatMul", "x a", "y")], [*x, value("a", 3, 2)], y)
    texts = [value("x", 2, kind=8)]
    refused("'x' is of the type STRING", [node("Identity", "x", "y")], texts, [value("y", 2, kind=8)])
    path = residual(tmp_path)
    data = path.read_bytes()
    for size in (3, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(ValueError, match=str(path)):
            load_application(path)


def test_sizes_of_types(tmp_path):
    types = onnx.TensorProto
    for kind, bits in ((types.FLOAT16, 16), (types.BOOL, 8), (types.INT64, 64), (types.BFLOAT16, 16), (types.INT4, 4)):
        path = written(tmp_path, [node("Identity", "x", "y")], [value("x", 6, kind=kind)], [value("y", 6, kind=kind)])
        assert load_application(path).input_bits == (6 * bits,)


def test_without_onnx(tmp_path, monkeypatch):
    path = residual(tmp_path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"ONNX models need onnx: pip install 'offload-gym\[onnx\]'"):
        load_application(path)


@pytest.mark.filterwarnings("ignore")  # of torch, of its older exporter, which needs no further package
def test_an_exported_model_has_the_work_of_the_traced_one(tmp_path):
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 5))
    image = torch.zeros(1, 3, 8, 8)
    torch.onnx.export(model, (image,), tmp_path / "m.onnx", dynamo=False)
    traced, read = Application.from_torch(model, image), load_application(tmp_path / "m.onnx")
    for field in ("workload_cycles", "input_bits", "output_bits", "edges", "edge_bits"):
        assert getattr(read, field) == getattr(traced, field)
    assert sum(read.workload_cycles) == 4 * 36 * 27 + 144 * 5 == math.fsum(traced.workload_cycles)


@pytest.mark.parametrize(("last", "sentence"), [("Relu", "it must have at most"), ("f0", "calls itself")])
def test_functions_that_grow_or_recur(tmp_path, last, sentence):
    # Each of 40 functions calls the one before twice: 2^40 nodes.
    called = [last, *(f"f{i}" for i in range(39))]
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("own", 1)]
    functions = []
    for i, kind in enumerate(called):
        domain = "" if kind == "Relu" else "own"
        nodes = [onnx.helper.make_node(kind, [x], [y], domain=domain) for x, y in (("x", "h"), ("h", "y"))]
        functions.append(onnx.helper.make_function("own", f"f{i}", ["x"], ["y"], nodes, opsets))
    call = onnx.helper.make_node("f39", ["x"], ["y"], domain="own")
    path = written(tmp_path, [call], [value("x", 1)], [value("y", 1)], functions=functions)
    with pytest.raises(ValueError, match=sentence):
        load_application(path)
