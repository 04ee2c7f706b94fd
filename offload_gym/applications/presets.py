"""Applications drawn at random, and those made after known ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import NDArray

from offload_gym.applications.application import Application, numbered
from offload_gym.applications.cnns import CNN_NAMES, TENSOR_BITS_PER_ELEMENT, cnn_layers, cnn_task
from offload_gym.applications.random_graphs import num_graph_uniforms, random_edges
from offload_gym.applications.task_graph import Edge, Task, check_number
from offload_gym.array_checks import check_count
from offload_gym.checks import quoted
from offload_gym.seeds import check_seed

# Where the ratio of communication to computation is measured: speeds in the range of the default scenario.
CCR_BPS, CCR_HZ = 20e6, 8e9

Range = tuple[float, float]


def random_application(
    num_tasks: int,
    *,
    fat: float = 0.5,
    density: float = 0.5,
    jump: int = 2,
    ccr: float = 0.5,
    workload_cycles: Range = (2e8, 1e9),
    input_bits: Range = (4e5, 4e6),
    output_bits: Range = (8e3, 1.2e6),
    seed: int | SeedSequence = 0,
) -> Application:
    """A random application; ``offload_gym.applications.random_graphs.random_edges`` says how its graph is drawn.

    An edge carries ``ccr * workload_cycles[parent] * CCR_BPS / CCR_HZ`` bits times a uniform factor between 0.5 and
    1.5: sending it at 20 Mbit/s takes on average ``ccr`` times as long as running its parent at 8 GHz.

    Args:
        num_tasks: n, how many.
        fat: how wide the graph is, from 0, a chain, to 1, one or two layers.
        density: how many of the possible edges there are, from 0, one parent each, to 1, all of the layer before.
        jump: how many layers an edge may span, at least 1.
        ccr: ratio of communication to computation, finite, >= 0.
        workload_cycles: (low, high), drawn from uniformly, of each task.
        input_bits: (low, high), drawn from uniformly, of each task without a parent; others have 0.
        output_bits: (low, high), drawn from uniformly, of each task without a child; others have 0.
        seed: a whole number, at least 0, or a ``SeedSequence``.

    Raises:
        ValueError: one sentence with the argument, the value and the bound.
    """
    check_count("num_tasks", num_tasks)
    check_count("jump", jump)
    check_seed(seed)
    for name, value, high in (("fat", fat, 1.0), ("density", density, 1.0), ("ccr", ccr, math.inf)):
        check_number(name, value)
        if not (0.0 <= value <= high and math.isfinite(value)):
            bound = "finite and at least 0" if high == math.inf else "from 0 to 1"
            raise ValueError(f"{name} is {quoted(value)}; it must be {bound}")
    rng = np.random.default_rng(seed)
    has_edge = np.empty((num_tasks, num_tasks), dtype=np.bool_)
    random_edges(rng.random(num_graph_uniforms(num_tasks)), float(fat), float(density), int(jump), has_edge)
    edges = [(int(parent), int(child)) for child, parent in np.argwhere(has_edge.T)]
    work = _drawn("workload_cycles", workload_cycles, rng.random(num_tasks))
    inputs = _drawn("input_bits", input_bits, rng.random(num_tasks))
    outputs = _drawn("output_bits", output_bits, rng.random(num_tasks))
    factor = 0.5 + rng.random(len(edges))
    parents = np.array([parent for parent, _ in edges], dtype=np.int64)
    return Application(
        name="random",
        input_bits=tuple(np.where(has_edge.any(axis=0), 0.0, inputs)),
        output_bits=tuple(np.where(has_edge.any(axis=1), 0.0, outputs)),
        workload_cycles=tuple(work),
        edges=tuple(edges),
        edge_bits=tuple(ccr * work[parents] * (CCR_BPS / CCR_HZ) * factor),
    )


def chain(
    num_tasks: int,
    *,
    workload_cycles: float = 6e8,
    input_bits: float = 2e6,
    output_bits: float = 4e5,
    edge_bits: float = 1e6,
) -> Application:
    """Equal tasks, each needing the one before: a sequential application.

    Args:
        num_tasks: n, how many.
        workload_cycles: of each task.
        input_bits: of the first task.
        output_bits: of the last task.
        edge_bits: of each of the n - 1 edges.
    """
    check_count("num_tasks", num_tasks)
    edges = tuple((i, i + 1) for i in range(num_tasks - 1))
    rest = (0.0,) * (num_tasks - 1)
    bits = (edge_bits,) * len(edges)
    return Application("chain", (input_bits, *rest), (*rest, output_bits), (workload_cycles,) * num_tasks, edges, bits)


def fork_join(
    num_tasks: int,
    *,
    workload_cycles: float = 6e8,
    input_bits: float = 2e6,
    output_bits: float = 4e5,
    edge_bits: float = 1e6,
) -> Application:
    """Equal tasks: one whose result n - 2 parallel ones need, and one that needs all of theirs.

    Args:
        num_tasks: n, at least 3.
        workload_cycles: of each task.
        input_bits: of the first task.
        output_bits: of the last task.
        edge_bits: of each of the 2 (n - 2) edges.

    Raises:
        ValueError: ``num_tasks`` is not a whole number, at least 3.
    """
    check_count("num_tasks", num_tasks)
    if num_tasks < 3:
        raise ValueError(f"num_tasks is {num_tasks}; a fork and join must have at least 3 tasks")
    branches = range(1, num_tasks - 1)
    edges = (*((0, i) for i in branches), *((i, num_tasks - 1) for i in branches))
    rest = (0.0,) * (num_tasks - 1)
    return Application(
        name="fork_join",
        input_bits=(input_bits, *rest),
        output_bits=(*rest, output_bits),
        workload_cycles=(workload_cycles,) * num_tasks,
        edges=edges,
        edge_bits=(edge_bits,) * len(edges),
        task_names=("fork", *(f"branch {i}" for i in branches), "join"),
    )


def face_recognition() -> Application:
    """Three faces in one photo are found, aligned, embedded and named: 9 tasks.

    The shape, detection on the whole image and then one branch for each face, follows the face recognition of Ra et
    al., "Odessa: enabling interactive perception applications on mobile devices", MobiSys 2011. Sizes are width ×
    height × bits of a pixel; workloads are this project's estimates.

    - ``decode``: a JPEG photo of 1280×720 at 2 bits a pixel comes in; 50 cycles a pixel; 24-bit RGB goes out.
    - ``detect``: 800 cycles a pixel of the whole photo; a crop of 256×256 RGB goes out for each face.
    - ``align_1`` to ``align_3``: 400 cycles a pixel of the crop; 112×112 RGB goes out.
    - ``embed_1`` to ``embed_3``: 2.2e8 multiply-accumulates, about those of a network for phones, one a cycle; a vector
      of 512 float32 goes out.
    - ``match``: three vectors against 10,000 stored ones, one multiply-accumulate a cycle; for each face 32 bytes of
      name and box are returned.
    """
    photo, crop, face, vector = 1280 * 720, 256 * 256, 112 * 112, 512
    faces = range(1, 4)
    tasks = [
        Task("decode", 50 * photo, 2 * photo),
        Task("detect", 800 * photo),
        *(Task(f"align_{i}", 400 * crop) for i in faces),
        *(Task(f"embed_{i}", 2.2e8) for i in faces),
        Task("match", 3 * 10_000 * vector, 0.0, 3 * 32 * 8),
    ]
    edges: list[Edge] = [("decode", "detect", 24 * photo)]
    for i in faces:
        edges.append(("detect", f"align_{i}", 24 * crop))
        edges.append((f"align_{i}", f"embed_{i}", 24 * face))
        edges.append((f"embed_{i}", "match", 32 * vector))
    return numbered("face_recognition", tasks, edges)


def augmented_reality() -> Application:
    """One camera frame is augmented with what is known about the objects in it: 5 tasks.

    The components, video source, tracker, mapper, object recogniser and renderer, are those of Verbelen, Simoens, De
    Turck and Dhoedt, "Cloudlets: bringing the cloud to the mobile user", MCS 2012, which Al-Shuwaili and Simeone
    offload in "Energy-efficient resource allocation for mobile edge computing-based augmented reality applications",
    IEEE Wireless Communications Letters 6(3), 2017. The edges are this project's reading of one frame: what the
    mapper tells the tracker for later frames is left out. Sizes are width × height × bits of a pixel; workloads are
    this project's estimates.

    - ``video_source``: a camera frame of 1280×720 with 12 bits a pixel (YUV 4:2:0) comes in; 20 cycles a pixel; the
      frame at 640×360 in 8-bit grey goes to the tracker and the mapper, at 416×416 in 24-bit RGB to the recogniser.
    - ``tracker``: 1,000 cycles a pixel of 640×360; the pose, 16 float32, and 1,000 feature points of 64 bytes go to the
      mapper, the pose to the renderer.
    - ``mapper``: 2,500 cycles a pixel of 640×360; 1,000 map points of 16 bytes go to the renderer.
    - ``object_recognizer``: 10,000 cycles a pixel of 416×416; 20 objects of 64 bytes go to the renderer.
    - ``renderer``: 300 cycles a pixel of 1280×720; the overlay of that size is returned at 1 bit a pixel.
    """
    frame, grey, square = 1280 * 720, 640 * 360, 416 * 416
    pose = 16 * 32
    tasks = [
        Task("video_source", 20 * frame, 12 * frame),
        Task("tracker", 1_000 * grey),
        Task("mapper", 2_500 * grey),
        Task("object_recognizer", 10_000 * square),
        Task("renderer", 300 * frame, 0.0, frame),
    ]
    edges: list[Edge] = [
        ("video_source", "tracker", 8 * grey),
        ("video_source", "mapper", 8 * grey),
        ("video_source", "object_recognizer", 24 * square),
        ("tracker", "mapper", pose + 1_000 * 64 * 8),
        ("tracker", "renderer", pose),
        ("mapper", "renderer", 1_000 * 16 * 8),
        ("object_recognizer", "renderer", 20 * 64 * 8),
    ]
    return numbered("augmented_reality", tasks, edges)


def cnn_application(name: str, num_tasks: int | None = None) -> Application:
    """One inference of a published network, cut between its layers into a chain of tasks.

    A task is a layer of ``offload_gym.applications.cnns`` with the layers without work, such as pooling, that follow
    it; one multiply-accumulate is one cycle. The image comes in with 8 bits an element; a tensor between tasks and the
    result have 32 (float32).

    Args:
        name: one of ``offload_gym.applications.cnns.CNN_NAMES``.
        num_tasks: into how many tasks to cut; by default as many as possible. Of the possible cuts, the one with the
            largest tensor is dropped first, and of equal ones the later.

    Raises:
        ValueError: no network has that name, or it cannot be cut into ``num_tasks`` tasks.
    """
    _image, *layers = cnn_layers(name)
    # A cut (a layer's index) is before a layer with work, where the tensor of the layer before crosses.
    cuts = [i for i, layer in enumerate(layers) if layer.macs and i > 0]
    if num_tasks is not None:
        check_count("num_tasks", num_tasks)
        if num_tasks > len(cuts) + 1:
            raise ValueError(f"num_tasks is {num_tasks}; {name} must be cut into at most {len(cuts) + 1} tasks")
        smallest_first = sorted(cuts, key=lambda i: (layers[i - 1].output_elements, i))
        cuts = sorted(smallest_first[: num_tasks - 1])
    groups = [layers[a:b] for a, b in zip([0, *cuts], [*cuts, len(layers)], strict=True)]
    n = len(groups)
    task, rest = cnn_task(name), (0.0,) * (n - 1)
    return Application(
        name=name,
        input_bits=(task.input_bits, *rest),
        output_bits=(*rest, task.output_bits),
        workload_cycles=tuple(float(sum(layer.macs for layer in group)) for group in groups),
        edges=tuple((i, i + 1) for i in range(n - 1)),
        edge_bits=tuple(float(TENSOR_BITS_PER_ELEMENT * group[-1].output_elements) for group in groups[:-1]),
        task_names=tuple(g[0].name if len(g) == 1 else f"{g[0].name}-{g[-1].name}" for g in groups),
    )


def _cut_network(num_tasks: int, name: str) -> Application:
    check_count("num_tasks", num_tasks)
    return cnn_application(name, min(num_tasks, cnn_application(name).num_tasks))


# What makes each preset from a number of tasks. The number of tasks of the two written-out applications is fixed, and a
# network has no more tasks than layers with work.
APPLICATIONS: dict[str, Callable[[int], Application]] = {
    "chain": chain,
    "fork_join": fork_join,
    "face_recognition": lambda num_tasks: face_recognition(),
    "augmented_reality": lambda num_tasks: augmented_reality(),
    **{name: partial(_cut_network, name=name) for name in CNN_NAMES},
}


def application_named(name: str, num_tasks: int) -> Application:
    """The preset of that name.

    Args:
        name: one of ``APPLICATIONS``.
        num_tasks: how many tasks it is to have. ``face_recognition`` and ``augmented_reality`` have 9 and 5 whatever is
            asked for, and a network has at most as many as it has layers with work.

    Raises:
        ValueError: no preset has that name, or the preset cannot have so many tasks.
    """
    if not isinstance(name, str) or name not in APPLICATIONS:
        raise ValueError(f"application is {quoted(name)}; the presets are {', '.join(APPLICATIONS)}")
    return APPLICATIONS[name](num_tasks)


def _drawn(name: str, bounds: Any, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Uniform numbers between the bounds, from numbers in [0, 1)."""
    try:
        low, high = (float(bound) for bound in bounds)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {quoted(bounds)}; it must be a pair (low, high)") from None
    if not 0 <= low <= high < math.inf:
        raise ValueError(f"{name} is {quoted(bounds)}; low must be at least 0 and high finite and not below low")
    return low + u * (high - low)
