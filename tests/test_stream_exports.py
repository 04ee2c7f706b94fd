"""Networks of streams in C decide as the kernels do, from what a device knows."""

import ctypes
import math
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from stream_states import NUMBERS, balanced, forward, played_states, random_network

import offload_gym
from offload_gym.compilation import inlined
from offload_gym.networks.c_kinds import Array, Record
from offload_gym.networks.kernels_in_c import Translator
from offload_gym.networks.stream_header import export_stream_c
from offload_gym.streams.networks import network_plan
from offload_gym.streams.policies import make_stream_policy, network_policy

COMPILER = shutil.which("gcc") or shutil.which("cc")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
FLAGS = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-O2"]
HARNESS = """
#include <string.h>
#include "policy.h"
/* Decides jobs one after another, of which `fresh` ones are the first of their device; returns how many states of the
 * radio differ from those that offload_gym_arrived leads to. */
int decide_all(int count, const double *numbers, const double *core_free_s, const double *servers, const int *fresh,
               int *decisions)
{
    offload_gym_state state;
    offload_gym_radio radio;
    int i, wrong = 0;
    memset(&radio, 0, sizeof radio);
    for (i = 0; i < count; i++) {
        const double *n = numbers + 17 * i;
        state.now_s = n[0];
        state.input_bits = n[1];
        state.output_bits = n[2];
        state.workload_cycles = n[3];
        state.deadline_s = n[4];
        state.device_hz = n[5];
        state.uplink_bps = n[6];
        state.downlink_bps = n[7];
        state.outage = n[8] > 0.0;
        state.radio_free_s = n[9];
        state.num_in_system = (int)n[10];
        state.radio.num_jobs = (int)n[11];
        state.radio.last_arrival_s = n[12];
        state.radio.gap_s = n[13];
        state.num_devices = (int)n[14];
        state.num_others = (int)n[15];
        state.report_age_s = n[16];
        memcpy(state.core_free_s, core_free_s + i * OFFLOAD_GYM_NUM_LOCATIONS * OFFLOAD_GYM_MAX_CORES,
               sizeof state.core_free_s);
        memcpy(state.servers, servers + i * (OFFLOAD_GYM_NUM_LOCATIONS - 1) * 4, sizeof state.servers);
        if (fresh[i])
            memset(&radio, 0, sizeof radio);
        wrong += radio.num_jobs != state.radio.num_jobs || radio.gap_s < state.radio.gap_s
            || radio.gap_s > state.radio.gap_s;
        decisions[i] = offload_gym_decide(&state);
        offload_gym_arrived(&radio, state.now_s);
    }
    return wrong;
}
"""


def in_c(policy, streams, numbers, core_free_s, folder):
    """Decisions of the exported header, (B * J,)."""
    folder = Path(tempfile.mkdtemp(dir=folder))  # a library is loaded once under each path
    sizes = offload_gym.export_c(policy, folder / "policy.h")
    assert sizes["flash"] == 4 * policy.num_parameters
    said = f"about {sizes['ram']} of a device, about {sizes['stack']} of arrays on the stack"
    assert said in (folder / "policy.h").read_text()
    (folder / "harness.c").write_text(HARNESS)
    command = [COMPILER, *FLAGS, "-shared", "-fPIC", "harness.c", "-o", "harness.so", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    assert list(numbers.shape[2:]) == [len(NUMBERS)]
    size, num_jobs = numbers.shape[:2]
    cores = np.full((*core_free_s.shape[:3], 8), np.inf)
    cores[..., : core_free_s.shape[3]] = core_free_s
    batch = streams.batch.servers
    names = ("cpu_hz", "wired_bps", "propagation_s", "rate_ratio")
    servers = np.repeat(np.stack([batch[name] for name in names], axis=-1)[:, None], num_jobs, axis=1)
    fresh = np.zeros((size, num_jobs), dtype=np.int32)
    fresh[:, 0] = 1
    decisions = np.full(size * num_jobs, -7, dtype=np.int32)
    arrays = [np.ascontiguousarray(array) for array in (numbers, cores, servers, fresh, decisions)]
    library = ctypes.CDLL(str(folder / "harness.so"))
    assert library.decide_all(len(decisions), *(ctypes.c_void_p(array.ctypes.data) for array in arrays)) == 0
    return arrays[-1].reshape(size, num_jobs)


@needs_compiler
@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, {}),
        ({"num_edges": 3, "arrivals": "bursty"}, {"activation": "tanh"}),
        ({"name": "stream_deadlines", "arrivals_per_s": 9.0}, {"can_drop": True, "objective": "late"}),
    ],
)
def test_c_decides_as_the_kernel_on_thousands_of_states(changes, fields, tmp_path):
    streams = offload_gym.sample_streams({"name": "stream", "num_jobs": 100, **changes}, 100, seed=4)
    network = random_network(40, 24, num_locations=streams.num_locations, **fields)
    observations, *_ = played_states(streams, make_stream_policy("greedy").plan)
    network = balanced(network, observations.reshape(-1, observations.shape[2]))
    _, decisions, numbers, core_free_s = played_states(streams, network_plan(network))
    found = in_c(network_policy(network), streams, numbers, core_free_s, tmp_path)
    # Sums in another order may tell two scores apart otherwise that are equal but for rounding.
    assert (found != decisions).mean() < 1e-4
    assert len(np.unique(decisions)) == streams.num_locations + network.can_drop


@needs_compiler
def test_c_decides_as_the_kernel_in_outages(tmp_path):
    streams = offload_gym.sample_streams({"name": "stream", "num_jobs": 100}, 30, seed=4)
    uplink_bps = streams.batch.uplink_bps.copy()
    uplink_bps[:, :, 1::3] = 0.0
    uplink_bps[:10, :, 0] = 0.0  # no rate was seen yet
    uplink_bps[:, :, -1] = 1e7
    streams = type(streams).from_batch(streams.batch._replace(uplink_bps=uplink_bps))
    network = random_network(12)
    observations, *_ = played_states(streams, make_stream_policy("greedy").plan)
    network = balanced(network, observations.reshape(-1, observations.shape[2]))
    _, decisions, numbers, core_free_s = played_states(streams, network_plan(network))
    assert 0.2 < numbers[:, :, NUMBERS.index("outage")].mean() < 0.6
    assert (numbers[:, :, NUMBERS.index("uplink_bps")] == 0).any()
    found = in_c(network_policy(network), streams, numbers, core_free_s, tmp_path)
    assert (found != decisions).mean() < 1e-4


@needs_compiler
def test_a_program_can_have_two_networks(tmp_path):
    for name, seed in (("a", 1), ("b2", 2)):
        network = random_network(4, seed=seed, scenario="my */ vélo\n.csv")
        offload_gym.export_c(network_policy(network), tmp_path / f"{name}.h", name=name)
    offload_gym.export_c(offload_gym.make_policy("student"), tmp_path / "moment.h", name="moment")
    (tmp_path / "both.c").write_text(
        '#include "a.h"\n#include "b2.h"\n#include "a.h"\n#include "moment.h"\n'
        "int main(void) { static a_state s; static b2_state t; return a_decide(&s) > 2 || b2_decide(&t) > 2; }\n"
    )
    command = [COMPILER, *FLAGS, "-Wno-unused-function", "-Wno-conversion", "both.c", "-o", "both", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "both"]).returncode == 0


@needs_compiler
def test_the_program_of_the_docs_compiles_and_decides(tmp_path):
    text = (Path(__file__).parents[1] / "docs" / "streams.md").read_text(encoding="utf-8")
    (tmp_path / "main.c").write_text(text.split("```c\n")[1].split("```")[0])
    offload_gym.export_c(network_policy(random_network(4)), tmp_path / "policy.h", name="student")
    subprocess.run([COMPILER, *FLAGS, "main.c", "-o", "main", "-lm"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "main"], capture_output=True, text=True).stdout in ("0\n", "1\n", "2\n")


@pytest.mark.parametrize("fields", [{"activation": "relu"}, {"activation": "tanh", "can_drop": True}])
def test_onnx_has_the_scores_of_the_network(fields, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    network = random_network(40, 24, **fields)
    offload_gym.export_onnx(network_policy(network), tmp_path / "policy.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx", providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["activation"] == fields["activation"]
    streams = offload_gym.sample_streams("stream", 3, seed=4)
    observations, *_ = played_states(streams, make_stream_policy("greedy").plan)
    observations = observations.reshape(-1, observations.shape[2])
    (scores,) = session.run(["scores"], {"observation": observations})
    np.testing.assert_allclose(scores, forward(network, observations), rtol=1e-4, atol=1e-4)


def test_what_cannot_be_exported_is_refused(tmp_path):
    policy, path = network_policy(random_network(4)), tmp_path / "out.h"
    for wrong, message in (
        (lambda: export_stream_c(make_stream_policy("greedy"), path), "the policy greedy is a rule; only a network"),
        (
            lambda: export_stream_c(make_stream_policy("student", "stream_applications"), path),
            r"the policy student was trained on jobs of several tasks \(stream_applications\); it must be",
        ),
        (lambda: export_stream_c(offload_gym.make_policy("student"), path), "policy is a NetworkPolicy; it must"),
        (lambda: export_stream_c(policy, path, max_cores=0), "max_cores is 0; it must be"),
        (lambda: offload_gym.export_c(policy, path, name="2b"), "name is '2b'; it must be letters"),
        (lambda: offload_gym.export_onnx(make_stream_policy("greedy"), path), "the policy greedy is a rule; only a"),
        (lambda: offload_gym.export_onnx(policy, path, 3), "num_tasks is 3; for a network of streams it must be None"),
        (lambda: offload_gym.export_c(policy, path, max_tasks=3), "max_tasks is 3; for a network of streams it must"),
        (lambda: offload_gym.export_c(make_stream_policy("greedy"), path), "the policy greedy is a rule"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()
    assert not list(tmp_path.iterdir())


@inlined
def _twice(x):
    """Twice ``x``."""
    return 2 * x


@inlined
def _mixed(pair, sizes, out):
    """What a kernel may do."""
    total, count = 0, len(sizes)
    for i in range(count):
        if sizes[i] > 1.5 and i != 2:
            total += i
        else:
            total = _twice(total) - 1
    out[0] = total / count
    out[1] = min(pair.x, -math.sqrt(pair.x)) if pair.x != 0.0 or total >= 3 else np.inf


@inlined
def _strange(x):
    """What it may not."""
    return [x]


@needs_compiler
def test_what_a_kernel_does_is_what_its_c_form_does(tmp_path):
    translator = Translator({})
    pair = Record("pair", {"x": "double", "unused": "int"})
    translator.write(_mixed, (pair, Array("double", (4,)), Array("float", (2,))))
    text = "\n\n".join(
        [
            "#include <math.h>",
            "#define offload_gym_min(a, b) ((a) < (b) ? (a) : (b))",
            translator.struct(pair),
            *translator.functions,
            "void mixed(double x, const double *sizes, float *out)",
            "{ offload_gym_pair pair; pair.x = x; offload_gym_mixed(&pair, sizes, out); }",
        ]
    )
    assert "unused" not in text
    assert "/* Twice x. */" in text
    (tmp_path / "mixed.c").write_text(text)
    subprocess.run([COMPILER, *FLAGS, "-shared", "-fPIC", "mixed.c", "-o", "mixed.so", "-lm"], cwd=tmp_path, check=True)
    mixed = ctypes.CDLL(str(tmp_path / "mixed.so")).mixed
    for x, sizes, total in ((0.25, [2.0, 2.0, 2.0, 2.0], 2 * 1 - 1 + 3), (0.0, [1.0, 2.0, 1.0, 1.0], -3)):
        # sizes 2 2 2 2: 0, 1, then twice 1 minus 1, plus 3 = 4; sizes 1 2 1 1: -1, 0, -1, -3
        out = np.zeros(2, dtype=np.float32)
        given = np.array(sizes)
        mixed(ctypes.c_double(x), ctypes.c_void_p(given.ctypes.data), ctypes.c_void_p(out.ctypes.data))
        np.testing.assert_array_equal(out, [total / 4, -0.5 if x else np.inf])
    with pytest.raises(NotImplementedError, match=r"_strange has '\[x\]', which cannot be written in C here"):
        translator.write(_strange, ("double",))
