import csv
from pathlib import Path

import pytest

from offload_gym.applications.cnns import CNN_NAMES, CnnTask, Layer, cnn_layers, cnn_task

RECORDED = Path(__file__).parents[2] / "shared/data/dnn_profiles/dnn_profiles.csv"


def test_names():
    assert CNN_NAMES == ("alexnet", "vgg16", "resnet18", "resnet50", "mobilenet_v2", "tiny_yolo_v2")


# The first five as in torchvision's model metadata. For Tiny-YOLOv2, Darknet's page gives 6.97 billion operations, two
# per MAC.
@pytest.mark.parametrize(
    ("name", "gmacs", "digits"),
    [
        ("alexnet", 0.714, 3),
        ("vgg16", 15.47, 2),
        ("resnet18", 1.814, 3),
        ("resnet50", 4.089, 3),
        ("mobilenet_v2", 0.301, 3),
        ("tiny_yolo_v2", 3.486, 3),
    ],
)
def test_macs_are_the_published_ones(name, gmacs, digits):
    assert round(sum(layer.macs for layer in cnn_layers(name)) / 1e9, digits) == gmacs


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("alexnet", 61_100_840),
        ("vgg16", 138_357_544),
        ("resnet18", 11_689_512),
        ("resnet50", 25_557_032),
        ("mobilenet_v2", 3_504_872),
    ],
)
def test_parameters_are_the_published_ones(name, parameters):
    assert sum(layer.parameters for layer in cnn_layers(name)) == parameters


@pytest.mark.parametrize("name", CNN_NAMES)
def test_first_layer_is_the_image(name):
    size = 416 if name == "tiny_yolo_v2" else 224
    assert cnn_layers(name)[0] == Layer("input", 0, 0, (3, size, size))


@pytest.mark.parametrize("name", CNN_NAMES)
def test_layer_names_are_unique(name):
    names = [layer.name for layer in cnn_layers(name)]
    assert len(set(names)) == len(names)


def test_layers_by_hand():
    layers = {layer.name: layer for layer in cnn_layers("mobilenet_v2")}
    # 32 -> 16 channels at 112×112 without expansion: 3×3 depthwise, then 1×1, two parameters per normalised channel.
    block = layers["block1"]
    assert block.macs == 112 * 112 * (32 * 9 + 32 * 16)
    assert block.parameters == (32 * 9 + 2 * 32) + (32 * 16 + 2 * 16)
    assert block.output_shape == (16, 112, 112)
    assert block.output_elements == 16 * 112 * 112
    # 16 -> 24 channels, expansion 6 to 96 channels, the stride of 2 in the depthwise convolution.
    assert layers["block2"].macs == 112 * 112 * 16 * 96 + 56 * 56 * (96 * 9 + 96 * 24)


def test_residual_block_with_shortcut_by_hand():
    block = next(layer for layer in cnn_layers("resnet18") if layer.name == "layer2_0")
    assert block.macs == 28 * 28 * (64 * 128 * 9 + 128 * 128 * 9 + 64 * 128)
    assert block.output_shape == (128, 28, 28)


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded layer profiles are not here")
@pytest.mark.parametrize("name", CNN_NAMES)
def test_layers_agree_with_the_recorded_profiles(name):
    with RECORDED.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == name]
    assert [
        (layer.name, layer.macs, layer.parameters, layer.output_elements, "x".join(map(str, layer.output_shape)))
        for layer in cnn_layers(name)
    ] == [(row["layer"], int(row["macs"]), int(row["params"]), int(row["out_elems"]), row["out_shape"]) for row in rows]


def test_classification_task_by_hand():
    macs = (
        55 * 55 * 64 * 3 * 121
        + 27 * 27 * 192 * 64 * 25
        + 13 * 13 * 9 * (384 * 192 + 256 * 384 + 256 * 256)
        + 256 * 6 * 6 * 4096
        + 4096 * 4096
        + 4096 * 1000
    )
    assert cnn_task("alexnet") == CnnTask("alexnet", macs, 3 * 224 * 224 * 8, 1000 * 32)


def test_detection_task_sends_and_returns_a_tensor():
    task = cnn_task("tiny_yolo_v2")
    assert task.input_bits == 3 * 416 * 416 * 8
    assert task.output_bits == 13 * 13 * 125 * 32


@pytest.mark.parametrize("function", [cnn_layers, cnn_task])
def test_unknown_name(function):
    with pytest.raises(ValueError, match=r"not 'lenet'\.$") as error:
        function("lenet")
    assert all(name in str(error.value) for name in CNN_NAMES)
