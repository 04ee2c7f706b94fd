import pytest

from offload_gym.applications.application import Application
from offload_gym.applications.cnns import CNN_NAMES, cnn_layers, cnn_task
from offload_gym.applications.presets import (
    APPLICATIONS,
    application_named,
    augmented_reality,
    chain,
    cnn_application,
    face_recognition,
    fork_join,
)


def test_chain():
    assert chain(1).edges == ()
    application = chain(3, workload_cycles=5, input_bits=1, output_bits=2, edge_bits=3)
    assert application == Application("chain", [1, 0, 0], [0, 0, 2], [5, 5, 5], [(0, 1), (1, 2)], [3, 3])


def test_fork_join():
    application = fork_join(4, workload_cycles=5, input_bits=1, output_bits=2, edge_bits=3)
    assert application.edges == ((0, 1), (0, 2), (1, 3), (2, 3))
    assert application.edge_bits == (3, 3, 3, 3)
    assert application.input_bits == (1, 0, 0, 0)
    assert application.output_bits == (0, 0, 0, 2)
    assert application.task_names == ("fork", "branch 1", "branch 2", "join")
    with pytest.raises(ValueError, match="num_tasks is 2; a fork and join must have at least 3 tasks"):
        fork_join(2)


def test_face_recognition():
    application = face_recognition()
    assert application.num_tasks == 9
    assert len(application.edges) == 1 + 3 * 3
    assert application.task_names[0] == "decode"
    assert application.task_names[-1] == "match"
    assert application.input_bits == (2 * 1280 * 720,) + (0,) * 8
    assert application.output_bits == (0,) * 8 + (768,)
    bits = dict(zip(application.edges, application.edge_bits, strict=True))
    assert bits[0, 1] == 1280 * 720 * 3 * 8
    assert sorted(set(bits.values())) == [512 * 32, 112 * 112 * 24, 256 * 256 * 24, 1280 * 720 * 24]
    assert all(1e7 <= cycles <= 2e9 for cycles in application.workload_cycles)


def test_augmented_reality():
    application = augmented_reality()
    names = application.task_names
    edges = {(names[a], names[b]): bits for (a, b), bits in zip(application.edges, application.edge_bits, strict=True)}
    assert len(names) == 5
    assert len(edges) == 7
    assert edges["video_source", "tracker"] == 640 * 360 * 8
    assert edges["video_source", "object_recognizer"] == 416 * 416 * 3 * 8
    assert application.input_bits[0] == 1280 * 720 * 12
    assert application.output_bits[-1] == 1280 * 720
    assert application.workload_cycles[names.index("object_recognizer")] == 1_730_560_000
    assert all(1e7 <= cycles <= 2e9 for cycles in application.workload_cycles)


@pytest.mark.parametrize("name", CNN_NAMES)
def test_a_network_keeps_its_work_however_it_is_cut(name):
    task = cnn_task(name)
    most = cnn_application(name).num_tasks
    assert most == sum(layer.macs > 0 for layer in cnn_layers(name))
    tensors = {32 * layer.output_elements for layer in cnn_layers(name)}
    for n in range(1, most + 1):
        application = cnn_application(name, n)
        assert application.num_tasks == n
        assert application.edges == tuple((i, i + 1) for i in range(n - 1))
        assert sum(application.workload_cycles) == task.macs
        assert min(application.workload_cycles) > 0
        assert application.input_bits[0] == task.input_bits
        assert application.output_bits[-1] == task.output_bits
        assert set(application.edge_bits) <= tensors


def test_vgg16():
    application = cnn_application("vgg16")
    assert application.num_tasks == 16  # 13 convolutions and 3 fully connected layers
    assert sum(application.workload_cycles) == 15_470_264_320
    assert application.input_bits[0] == 3 * 224 * 224 * 8
    assert application.output_bits[-1] == 1000 * 32
    shapes = [
        (64, 224), (64, 112), (128, 112), (128, 56), (256, 56), (256, 56), (256, 28),
        (512, 28), (512, 28), (512, 14), (512, 14), (512, 14), (512, 7),
    ]  # fmt: skip
    expected = [32 * channels * size * size for channels, size in shapes] + [32 * 4096] * 2
    assert list(application.edge_bits) == expected
    assert application.task_names[:3] == ("conv1_1", "conv1_2-pool1", "conv2_1")
    # The two smallest tensors, of 4096 elements, are cut last.
    three = cnn_application("vgg16", 3)
    assert three.task_names == ("conv1_1-fc6", "fc7", "fc8")
    # The next larger ones are one of 512×7×7 and three of 512×14×14, of which the first is kept longest.
    five = cnn_application("vgg16", 5)
    assert five.edge_bits == (32 * 512 * 14 * 14, 32 * 512 * 7 * 7, 32 * 4096, 32 * 4096)
    assert five.task_names == ("conv1_1-pool4", "conv5_1-pool5", "fc6", "fc7", "fc8")


def test_a_network_cannot_be_cut_further_than_into_its_layers():
    with pytest.raises(ValueError, match="num_tasks is 9; alexnet must be cut into at most 8 tasks"):
        cnn_application("alexnet", 9)
    with pytest.raises(ValueError, match="name must be one of alexnet"):
        cnn_application("lenet")


def test_presets_by_name():
    assert list(APPLICATIONS)[:4] == ["chain", "fork_join", "face_recognition", "augmented_reality"]
    assert set(APPLICATIONS) == {*list(APPLICATIONS)[:4], *CNN_NAMES}
    for name in APPLICATIONS:
        assert application_named(name, 5).name == name
    assert application_named("chain", 5) == chain(5)
    assert application_named("face_recognition", 5) == face_recognition()
    assert application_named("alexnet", 5) == cnn_application("alexnet", 5)
    assert application_named("alexnet", 100) == cnn_application("alexnet")
    with pytest.raises(ValueError, match=r"application is 'star'; the presets are chain, .*, tiny_yolo_v2"):
        application_named("star", 5)
    with pytest.raises(ValueError, match="num_tasks is 0"):
        application_named("vgg16", 0)
