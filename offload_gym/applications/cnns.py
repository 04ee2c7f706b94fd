"""The work of six published convolutional networks, layer by layer, computed from their architectures.

A layer's work is its number of multiply-accumulates (MACs) at batch 1. Convolutions and fully connected layers are
counted, grouped and down-sampling convolutions included; pooling, activations, normalisation and element-wise sums
count as no work. Parameters are weights, biases, and the scale and shift of each normalised channel. A residual or
inverted-residual block is one layer, because inside it more than one tensor may have to cross a cut of the network.

* ``alexnet``: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks",
  NIPS 2012, in the single-column variant of Krizhevsky, "One weird trick for parallelizing convolutional neural
  networks", arXiv:1404.5997, 2014, which torchvision provides.
* ``vgg16``: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015,
  configuration D.
* ``resnet18``, ``resnet50``: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016. As in
  torchvision, a bottleneck block of ``resnet50`` has its stride in the 3×3 convolution; the paper has it in the first
  1×1 convolution, which needs fewer MACs.
* ``mobilenet_v2``: Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: Inverted residuals and linear bottlenecks",
  CVPR 2018, width multiplier 1.0.
* ``tiny_yolo_v2``: the small variant of the detector of Redmon and Farhadi, "YOLO9000: Better, faster, stronger",
  CVPR 2017, which they released with Darknet, for the 20 classes of Pascal VOC: 5 anchors, each with 4 coordinates,
  1 objectness and 20 class scores, make 125 channels.

The input is a 3×224×224 image, for ``tiny_yolo_v2`` a 3×416×416 image.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import NamedTuple

Shape = tuple[int, ...]

_INPUT_BITS_PER_ELEMENT = 8  # one byte per colour of a pixel
TENSOR_BITS_PER_ELEMENT = 32  # float32


class Layer(NamedTuple):
    """One layer, or one block, of a network.

    Attributes:
        name: The name of the layer, unique in its network.
        macs: Multiply-accumulates at batch 1.
        parameters: Learned parameters.
        output_shape: (channels, rows, columns), or (features,) for a vector.
    """

    name: str
    macs: int
    parameters: int
    output_shape: Shape

    @property
    def output_elements(self) -> int:
        """The number of elements of the output tensor."""
        return prod(self.output_shape)


class CnnTask(NamedTuple):
    """One inference as a task to place.

    Attributes:
        name: The name of the network.
        macs: Multiply-accumulates of the whole network at batch 1.
        input_bits: Size of the image, as a tensor of 8-bit RGB values.
        output_bits: Size of the tensor that the network gives, in float32.
    """

    name: str
    macs: int
    input_bits: int
    output_bits: int


Step = Callable[[Shape], Layer]  # a layer whose input shape is not known yet


def _extent(size: int, kernel: int, stride: int, padding: int) -> int:
    """Returns how many windows fit along one axis; `padding` is the total of both ends."""
    return (size + padding - kernel) // stride + 1


def _conv(
    shape: Shape,
    name: str,
    channels: int,
    kernel: int,
    stride: int = 1,
    padding: int | None = None,
    groups: int = 1,
    norm: bool = True,
) -> Layer:
    """Returns a square convolution.

    Args:
        shape: The input's (channels, rows, columns).
        name: The name of the layer.
        channels: Output channels.
        kernel: Rows and columns of the kernel.
        stride: The stride along both axes.
        padding: Rows (and columns) added in total; by default ``kernel - 1``, which keeps the extent at stride 1.
        groups: Groups of channels; the number of channels makes the convolution depthwise.
        norm: Whether batch normalisation follows (scale and shift) or the convolution has a bias of its own.
    """
    inputs, rows, columns = shape
    pad = kernel - 1 if padding is None else padding
    output = (channels, _extent(rows, kernel, stride, pad), _extent(columns, kernel, stride, pad))
    weights = channels * (inputs // groups) * kernel**2
    return Layer(name, weights * output[1] * output[2], weights + (2 if norm else 1) * channels, output)


def _pool(shape: Shape, name: str, kernel: int, stride: int = 2, padding: int = 0) -> Layer:
    """Returns a square max-pooling layer; `padding` counts the rows (and columns) added in total."""
    channels, rows, columns = shape
    return Layer(
        name, 0, 0, (channels, _extent(rows, kernel, stride, padding), _extent(columns, kernel, stride, padding))
    )


def _average(shape: Shape, name: str) -> Layer:
    """Returns the average over all rows and columns, a vector of one feature per channel."""
    return Layer(name, 0, 0, shape[:1])


def _fc(shape: Shape, name: str, features: int) -> Layer:
    """Returns a fully connected layer with bias on the flattened input."""
    weights = prod(shape) * features
    return Layer(name, weights, weights + features, (features,))


def _chain(shape: Shape, steps: Sequence[Step]) -> tuple[Layer, ...]:
    """Returns the layers of `steps`, each applied to the output of the one before."""
    layers: list[Layer] = []
    for step in steps:
        layers.append(step(layers[-1].output_shape if layers else shape))
    return tuple(layers)


def _merge(name: str, path: Sequence[Layer], shortcut: Sequence[Layer] = ()) -> Layer:
    """Returns a block as one layer: the sums over its layers, and the shape at the end of its main path."""
    layers = (*path, *shortcut)
    return Layer(name, sum(x.macs for x in layers), sum(x.parameters for x in layers), path[-1].output_shape)


def _residual(shape: Shape, name: str, channels: int, stride: int, bottleneck: bool) -> Layer:
    """Returns a residual block; where it changes the shape, its shortcut is a 1×1 convolution."""
    wide = 4 * channels if bottleneck else channels
    steps = (
        (
            partial(_conv, name="reduce", channels=channels, kernel=1),
            partial(_conv, name="conv", channels=channels, kernel=3, stride=stride),
            partial(_conv, name="expand", channels=wide, kernel=1),
        )
        if bottleneck
        else (
            partial(_conv, name="conv1", channels=channels, kernel=3, stride=stride),
            partial(_conv, name="conv2", channels=channels, kernel=3),
        )
    )
    path = _chain(shape, steps)
    same = path[-1].output_shape == shape
    return _merge(name, path, () if same else (_conv(shape, "shortcut", wide, 1, stride),))


def _inverted_residual(shape: Shape, name: str, channels: int, stride: int, expansion: int) -> Layer:
    """Returns an inverted-residual block: 1×1 expansion (none at factor 1), 3×3 depthwise, 1×1 projection."""
    hidden = expansion * shape[0]
    expand = (partial(_conv, name="expand", channels=hidden, kernel=1),) if expansion > 1 else ()
    steps = (
        *expand,
        partial(_conv, name="depthwise", channels=hidden, kernel=3, stride=stride, groups=hidden),
        partial(_conv, name="project", channels=channels, kernel=1),
    )
    return _merge(name, _chain(shape, steps))


def _classifier() -> tuple[Step, ...]:
    """Returns the three fully connected layers that end AlexNet and VGG16."""
    return tuple(partial(_fc, name=f"fc{i}", features=n) for i, n in ((6, 4096), (7, 4096), (8, 1000)))


def _alexnet() -> tuple[Step, ...]:
    conv = partial(_conv, norm=False)
    return (
        partial(conv, name="conv1", channels=64, kernel=11, stride=4, padding=4),
        partial(_pool, name="pool1", kernel=3),
        partial(conv, name="conv2", channels=192, kernel=5),
        partial(_pool, name="pool2", kernel=3),
        partial(conv, name="conv3", channels=384, kernel=3),
        partial(conv, name="conv4", channels=256, kernel=3),
        partial(conv, name="conv5", channels=256, kernel=3),
        partial(_pool, name="pool5", kernel=3),
        *_classifier(),
    )


def _vgg16() -> tuple[Step, ...]:
    stages = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions
    features: list[Step] = []
    for i, (channels, count) in enumerate(stages, start=1):
        features += [
            partial(_conv, name=f"conv{i}_{j}", channels=channels, kernel=3, norm=False) for j in range(1, count + 1)
        ]
        features.append(partial(_pool, name=f"pool{i}", kernel=2))
    return (*features, *_classifier())


def _resnet(blocks: Sequence[int], bottleneck: bool) -> tuple[Step, ...]:
    return (
        partial(_conv, name="conv1", channels=64, kernel=7, stride=2),
        partial(_pool, name="pool1", kernel=3, padding=2),
        *(
            partial(
                _residual,
                name=f"layer{i + 1}_{j}",
                channels=64 * 2**i,
                stride=2 if i > 0 and j == 0 else 1,
                bottleneck=bottleneck,
            )
            for i, count in enumerate(blocks)
            for j in range(count)
        ),
        partial(_average, name="avgpool"),
        partial(_fc, name="fc", features=1000),
    )


def _mobilenet_v2() -> tuple[Step, ...]:
    stages = (  # expansion, channels, blocks, stride of the first block: Table 2 of the paper
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    blocks = [
        (expansion, channels, stride if j == 0 else 1)
        for expansion, channels, count, stride in stages
        for j in range(count)
    ]
    return (
        partial(_conv, name="conv1", channels=32, kernel=3, stride=2),
        *(
            partial(_inverted_residual, name=f"block{i}", channels=channels, stride=stride, expansion=expansion)
            for i, (expansion, channels, stride) in enumerate(blocks, start=1)
        ),
        partial(_conv, name="conv_last", channels=1280, kernel=1),
        partial(_average, name="avgpool"),
        partial(_fc, name="fc", features=1000),
    )


def _tiny_yolo_v2() -> tuple[Step, ...]:
    features: list[Step] = []
    for i in range(1, 7):
        features.append(partial(_conv, name=f"conv{i}", channels=8 * 2**i, kernel=3))
        # The sixth pooling has stride 1 and keeps the extent.
        features.append(partial(_pool, name=f"pool{i}", kernel=2, stride=1 if i == 6 else 2, padding=int(i == 6)))
    return (
        *features,
        partial(_conv, name="conv7", channels=1024, kernel=3),
        partial(_conv, name="conv8", channels=1024, kernel=3),
        partial(_conv, name="conv9", channels=125, kernel=1, norm=False),
    )


_NETWORKS: dict[str, tuple[int, tuple[Step, ...]]] = {  # rows and columns of the image, layers
    "alexnet": (224, _alexnet()),
    "vgg16": (224, _vgg16()),
    "resnet18": (224, _resnet((2, 2, 2, 2), bottleneck=False)),
    "resnet50": (224, _resnet((3, 4, 6, 3), bottleneck=True)),
    "mobilenet_v2": (224, _mobilenet_v2()),
    "tiny_yolo_v2": (416, _tiny_yolo_v2()),
}

CNN_NAMES: tuple[str, ...] = tuple(_NETWORKS)


def cnn_layers(name: str) -> tuple[Layer, ...]:
    """Returns the layers of a network in order, the input image first.

    Args:
        name: One of `CNN_NAMES`.

    Raises:
        ValueError: If no network has that name.
    """
    if name not in _NETWORKS:
        raise ValueError(f"name must be one of {', '.join(CNN_NAMES)}, not {name!r}.")
    size, steps = _NETWORKS[name]
    image = Layer("input", 0, 0, (3, size, size))
    return (image, *_chain(image.output_shape, steps))


def cnn_task(name: str) -> CnnTask:
    """Returns one inference of a network as a task.

    Args:
        name: One of `CNN_NAMES`.

    Raises:
        ValueError: If no network has that name.
    """
    layers = cnn_layers(name)
    return CnnTask(
        name=name,
        macs=sum(layer.macs for layer in layers),
        input_bits=_INPUT_BITS_PER_ELEMENT * layers[0].output_elements,
        output_bits=TENSOR_BITS_PER_ELEMENT * layers[-1].output_elements,
    )
