"""Exported headers on the boards of ``benchmarks.device``, and the bench itself."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

import offload_gym
from benchmarks.__main__ import main
from benchmarks.device import targets
from benchmarks.device.command import (
    MAX_TASKS,
    POLICIES,
    measure_form,
    measure_stream_form,
    streams_of_whole_bits,
)
from benchmarks.device.emulation import build, run
from benchmarks.device.moments import FORMS, Form, defines, pack
from benchmarks.device.targets import TARGETS, missing

BOARDS = [name for name, target in TARGETS.items() if target.emulated]
on_each_board = pytest.mark.parametrize("board", [pytest.param(name, marks=pytest.mark.device) for name in BOARDS])
HOST = pytest.param("host", marks=pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc"))
on_the_host_too = pytest.mark.parametrize(
    "board", [HOST, *(pytest.param(name, marks=pytest.mark.device) for name in BOARDS)]
)
# Least share of 1,000 instances that a form decides as Python does, and most that it changes of the mean gap.
AGREEMENT = {
    "double": (1.0, 0.0),
    "float": (0.9, 1e-4),
    "float, int8": (0.4, 2e-3),
    "fixed, int8": (0.4, 2e-3),
}
# Most instructions of one decision of 8 tasks, bytes of flash and bytes of RAM, by policy, form and board. They are a
# twentieth above what gcc 12 reached, so that they hold with another compiler and fail where code grows.
LIMITS = {
    ("small-student", "double", "cortex-m4f"): (114_000, 11_600, 2_630),
    ("small-student", "double", "cortex-m33"): (113_000, 11_500, 2_630),
    ("small-student", "double", "cortex-m0plus"): (1_516_000, 20_100, 2_680),
    ("small-student", "double", "rv32imc"): (1_437_000, 21_900, 2_610),
    ("small-student", "float", "cortex-m4f"): (45_000, 8_000, 1_840),
    ("small-student", "float", "cortex-m33"): (44_000, 7_900, 1_840),
    ("small-student", "float", "cortex-m0plus"): (1_434_000, 12_400, 1_920),
    ("small-student", "float", "rv32imc"): (1_393_000, 14_100, 1_940),
    ("small-student", "float, int8", "cortex-m4f"): (66_000, 5_500, 1_840),
    ("small-student", "float, int8", "cortex-m33"): (65_000, 5_400, 1_840),
    ("small-student", "float, int8", "cortex-m0plus"): (1_807_000, 9_800, 1_920),
    ("small-student", "float, int8", "rv32imc"): (1_786_000, 11_200, 1_940),
    ("small-student", "fixed, int8", "cortex-m4f"): (83_000, 4_900, 2_000),
    ("small-student", "fixed, int8", "cortex-m33"): (83_000, 4_900, 2_000),
    ("small-student", "fixed, int8", "cortex-m0plus"): (121_000, 5_300, 1_990),
    ("small-student", "fixed, int8", "rv32imc"): (84_000, 4_900, 1_990),
    ("student", "double", "cortex-m4f"): (155_000, 16_600, 2_880),
    ("student", "double", "cortex-m33"): (154_000, 16_500, 2_880),
    ("student", "double", "cortex-m0plus"): (3_254_000, 24_900, 2_930),
    ("student", "double", "rv32imc"): (3_185_000, 27_100, 2_860),
    ("student", "float", "cortex-m4f"): (92_000, 13_000, 2_090),
    ("student", "float", "cortex-m33"): (92_000, 12_900, 2_090),
    ("student", "float", "cortex-m0plus"): (3_176_000, 17_200, 2_170),
    ("student", "float", "rv32imc"): (3_134_000, 18_700, 2_170),
    ("student", "float, int8", "cortex-m4f"): (133_000, 6_900, 2_090),
    ("student", "float, int8", "cortex-m33"): (132_000, 6_800, 2_090),
    ("student", "float, int8", "cortex-m0plus"): (3_989_000, 11_100, 2_170),
    ("student", "float, int8", "rv32imc"): (3_978_000, 12_600, 2_190),
    ("student", "fixed, int8", "cortex-m4f"): (147_000, 6_400, 2_190),
    ("student", "fixed, int8", "cortex-m33"): (147_000, 6_400, 2_190),
    ("student", "fixed, int8", "cortex-m0plus"): (212_000, 6_900, 2_170),
    ("student", "fixed, int8", "rv32imc"): (147_000, 6_400, 2_170),
}
#: Instructions of a job of a stream that small students are to reach, by form and board.
STREAM_GOALS = {("float", "cortex-m4f"): 6_000, ("fixed, int8", "cortex-m0plus"): 30_000}


@pytest.fixture(scope="module")
def instances():
    return offload_gym.sample_instances("default", num_instances=1000, seed=11)


@pytest.fixture(scope="module")
def optimum_s(instances):
    return offload_gym.solve(instances).latency_s


@on_the_host_too
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_board_decides_as_python_and_within_its_limits(policy, form, board, instances, optimum_s):
    row = measure_form(policy, form, TARGETS[board], instances, optimum_s)
    share, gap_change = AGREEMENT[form.name]
    assert 1 - row["differ_share"] >= share
    assert row["gap_change"] <= gap_change
    if board != "host":
        most = dict(
            zip(("instructions_max", "flash_bytes", "ram_bytes"), LIMITS[policy, form.name, board], strict=True)
        )
        assert {name: row[name] for name in most if row[name] > most[name]} == {}
        assert row["instructions_p50"] > 0.7 * row["instructions_max"]  # every one did the work


@pytest.fixture(scope="module")
def streams():
    return streams_of_whole_bits(50, seed=3)


@pytest.fixture(scope="module")
def decided_here(streams):
    """Decisions of this machine, by policy and form."""
    if sentence := missing(TARGETS["host"]):
        pytest.skip(sentence)
    return {
        (policy, form.name): measure_stream_form(policy, form, TARGETS["host"], streams)
        for policy in POLICIES
        for form in FORMS
    }


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
@pytest.mark.parametrize("policy", POLICIES)
def test_devices_of_50_streams_decide_as_python(policy, form, decided_here):
    row = decided_here[policy, form.name]
    assert row["num_instances"] == 50 * 100
    assert row["differ_share"] <= (0.001 if form.weights == "float" else 0.03)


@on_each_board
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_devices_of_50_streams_decide_on_boards_as_here(form, board, streams, decided_here):
    row = measure_stream_form("small-student", form, TARGETS[board], streams)
    here = decided_here["small-student", form.name]["decisions"]
    # Integers are the same everywhere; the roots and logarithms of libraries may differ in their last digit.
    differing = np.mean(np.array(row["decisions"]) != here)
    assert differing <= (0.0 if form.numbers == "fixed" else 0.001)
    if (form.name, board) in STREAM_GOALS:
        # The most is of a job that finds some thirty under way.
        assert row["instructions_p50"] <= STREAM_GOALS[form.name, board]
        assert row["instructions_max"] <= 1.2 * STREAM_GOALS[form.name, board]
    assert row["flash_bytes"] < (25_000 if form.numbers == "double" else 16_500)
    assert row["ram_bytes"] < 4_000


def test_fewer_tasks_than_the_header_takes(tmp_path):
    if sentence := missing(TARGETS["host"]):
        pytest.skip(sentence)
    batch = offload_gym.sample_instances("default", num_instances=50, seed=3)
    few = batch.replace(task_counts=np.arange(50) % 8 + 1)
    row = measure_form("student", FORMS[0], TARGETS["host"], few, offload_gym.solve(few).latency_s)
    assert row["differ_share"] == 0


# A header of whole numbers whose decisions show what arrived, and which does as backlog_us of the last location says.
STUB = """
#include <stdint.h>
#define OFFLOAD_GYM_MAX_TASKS 8
#define OFFLOAD_GYM_NUM_LOCATIONS 3
typedef struct { uint64_t input_bits, output_bits, workload_cycles; } offload_gym_task;
typedef struct {
    uint64_t cpu_hz, uplink_bps, downlink_bps, wired_bps;
    uint32_t propagation_us, backlog_us;
    int cores;
} offload_gym_location;
static const int offload_gym_table[1000] = {1, 2, 3};
static int offload_gym_calls[100];
static int offload_gym_deep(int levels) /* 80 of them take more stack than a board has */
{
    volatile char room[1000];
    int i;
    for (i = 0; i < 1000; i++)
        room[i] = 0;
    return levels ? offload_gym_deep(levels - 1) + room[levels] : 0;
}
static int offload_gym_decide(int num_tasks, const offload_gym_task *tasks, const offload_gym_location *locations,
                              uint32_t radio_backlog_us, int *decision)
{
    volatile char room[500];
    const offload_gym_location *edge = &locations[1];
    offload_gym_calls[num_tasks]++;
    room[0] = room[499] = 0;
    decision[0] = (int)(tasks[1].input_bits + 3 * tasks[7].output_bits + 5 * tasks[2].workload_cycles);
    decision[1] = (int)(edge->cpu_hz + 3 * edge->uplink_bps + 5 * edge->downlink_bps + 7 * locations[2].wired_bps);
    decision[2] = edge->wired_bps == UINT64_MAX && locations[0].uplink_bps == UINT64_MAX;
    decision[3] = (int)(edge->propagation_us + 3 * edge->backlog_us + 5 * radio_backlog_us);
    decision[4] = num_tasks + 100 * edge->cores + 10000 * locations[2].cores;
    decision[5] = offload_gym_table[num_tasks] + offload_gym_calls[7];
    decision[6] = room[0] + room[499];
    decision[7] = 0;
    switch (locations[2].backlog_us) {
        case 1: return -1;
        case 2: for (;;) { }
        case 3: __builtin_trap();
        case 4: return offload_gym_deep(80);
    }
    return 0;
}
"""
STUB_FORM = Form("fixed", "int8")


def built(header, batch, board, flags=()):
    """The image of a header that the package wrote, in double, and the records of instances."""
    if sentence := missing(TARGETS[board]):
        pytest.fail(sentence)
    packed = pack(batch, FORMS[0], MAX_TASKS)
    return build(header, "moment", TARGETS[board], ("-O2", *flags, *defines(FORMS[0], packed))), packed


def stub(tmp_path, board, mode, num_instances=20, timeout_s=20.0):
    """The image and the run of the stub, and the instances that it was given."""
    if sentence := missing(TARGETS[board]):
        pytest.fail(sentence)
    header = tmp_path / "policy.h"
    header.write_text(STUB)
    batch = offload_gym.sample_instances("default", num_instances=num_instances, seed=5)
    backlog_s = batch.backlog_s.copy()
    backlog_s[:, 2] = mode / 1e6
    batch = batch.replace(backlog_s=backlog_s, radio_backlog_s=np.linspace(0, 2, num_instances))
    packed = pack(batch, STUB_FORM, MAX_TASKS)
    image = build(header, "moment", TARGETS[board], ("-O1", *defines(STUB_FORM, packed)))
    return image, run(image, packed, MAX_TASKS, timeout_s), batch


@on_the_host_too
def test_each_field_arrives_in_whole_numbers(board, tmp_path):
    _, done, batch = stub(tmp_path, board, 0)

    def whole(values, scale=1.0):
        return np.rint(values * scale).astype(np.int64)

    def low(values):  # of an int of C
        return values.astype(np.int32)

    def us(values):
        return whole(values, 1e6)

    tasks = [whole(field) for field in (batch.input_bits, batch.output_bits, batch.workload_cycles)]
    cpu, up, down = (whole(field[:, 1]) for field in (batch.cpu_hz, batch.uplink_bps, batch.downlink_bps))
    expected = np.zeros((len(batch), MAX_TASKS), dtype=np.int64)
    expected[:, 0] = low(tasks[0][:, 1] + 3 * tasks[1][:, 7] + 5 * tasks[2][:, 2])
    expected[:, 1] = low(cpu + 3 * up + 5 * down + 7 * whole(batch.wired_bps[:, 2]))
    assert np.isinf(batch.wired_bps[:, 1]).all()
    assert np.isinf(batch.uplink_bps[:, 0]).all()
    expected[:, 2] = 1
    expected[:, 3] = us(batch.propagation_s[:, 1]) + 3 * us(batch.backlog_s[:, 1]) + 5 * us(batch.radio_backlog_s)
    expected[:, 4] = 8 + 100 * batch.cores[:, 1] + 10000 * batch.cores[:, 2]
    assert done.results.tolist() == expected.tolist()


@on_each_board
def test_sizes_and_stack_are_those_of_the_policy(board, tmp_path):
    image, done, _ = stub(tmp_path, board, 0)
    assert image.sizes.constants == 4000
    assert image.sizes.static_ram == 400
    assert 100 < image.sizes.code < 1000
    assert 500 <= done.stack < 700


@on_each_board
def test_the_stack_is_that_of_the_frames(board, tmp_path):
    header = tmp_path / "policy.h"
    sizes = offload_gym.export_c(offload_gym.make_policy("student"), header, MAX_TASKS)
    batch = offload_gym.sample_instances("default", num_instances=50, seed=1)
    image, packed = built(header, batch, board, ["-fstack-usage"])
    stack = run(image, packed, MAX_TASKS).stack
    frames = [int(line.split("\t")[1]) for line in (image.path.parent / "policy.su").read_text().splitlines()]
    # Each function of the header calls the next, and the deepest one a routine of the compiler's library.
    assert sizes["ram"] < max(frames) < stack <= sum(frames) + 150


@on_each_board
@pytest.mark.parametrize(
    ("mode", "end"),
    [
        (1, "ended with a decision that the header refused"),
        (2, "did not end within 2 s"),
        (3, "ended with a fault"),
        (4, "ended with a (stack that reached|processor that locked up)"),
    ],
)
def test_a_run_that_goes_wrong_says_how(board, mode, end, tmp_path):
    with pytest.raises(RuntimeError, match=end):
        stub(tmp_path, board, mode, timeout_s=2.0)


@on_each_board
def test_every_instruction_is_counted(board, tmp_path):
    # GIVEN a decision of one task, and what QEMU logs of it where it translates each instruction by itself
    header, emulated = tmp_path / "policy.h", TARGETS[board].emulated
    offload_gym.export_c(offload_gym.make_policy("small-student"), header, MAX_TASKS)
    one = offload_gym.sample_instances({"name": "default", "num_tasks": 1}, num_instances=1, seed=0)
    image, packed = built(header, one, board)
    done = run(image, packed, MAX_TASKS)
    version = subprocess.run([emulated.command[0], "--version"], check=True, capture_output=True, text=True).stdout
    before_8_1 = tuple(map(int, re.search(r"version (\d+)\.(\d+)", version).groups())) < (8, 1)
    singly = ["-singlestep"] if before_8_1 else ["-accel", "tcg,one-insn-per-tb=on"]
    log = ["-d", "exec,nochain", "-D", "log"]
    command = [*emulated.command, "-nographic", *singly, *log, "-icount", f"shift={emulated.shift}"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", image.path]
    subprocess.run(command, cwd=image.path.parent, stdin=subprocess.DEVNULL, check=True, timeout=60)
    lines = (image.path.parent / "log").read_text().splitlines()
    functions = [line.split()[-1] for line in lines if line.startswith("Trace")]
    # WHEN the instructions from the first of the policy to its return are counted in it
    first = functions.index("policy_decide")
    executed = functions.index("ticks_of", first) - first
    # THEN the counter agrees, less the two or three of an empty call. Where a slice of 2^16 instructions ends, QEMU
    # logs one twice.
    assert executed > 5_000
    assert 0 <= executed - done.instructions[0] <= 4 + executed // 2**16
    counted, true = done.loop_instructions
    assert 0 <= counted - true <= 4  # the call and the return


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")
def test_the_command_prints_a_table_and_writes_its_rows(capsys, tmp_path):
    path = tmp_path / "rows.json"
    assert main(["device", "--num-instances", "20", "--targets", "host", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())
    names = (*POLICIES, *(f"stream {name}" for name in POLICIES))
    assert [(row["policy"], row["form"]) for row in rows] == [(name, form.name) for name in names for form in FORMS]
    printed = capsys.readouterr().out
    assert all(f"{100 * row['gap_mean']:.3f}" in printed for row in rows if "gap_mean" in row)
    assert main(["device", "--num-instances", "0"]) == 2


def test_the_command_says_which_packages_a_target_needs(capsys, monkeypatch):
    monkeypatch.setattr(targets.shutil, "which", lambda tool: None if "arm" in tool else f"/usr/bin/{tool}")
    assert main(["device", "--targets", "cortex-m4f"]) == 2
    assert capsys.readouterr().err == (
        "error: cortex-m4f needs arm-none-eabi-gcc and qemu-system-arm: on Debian, apt-get install gcc-arm-none-eabi "
        "libnewlib-arm-none-eabi qemu-system-arm\n"
    )


def test_backlogs_of_single_cores_are_refused():
    batch = offload_gym.sample_instances("default", num_instances=2, seed=0)
    cores = batch.replace(backlog_s=np.zeros((2, 3, int(batch.cores.max()))) + np.arange(int(batch.cores.max())))
    with pytest.raises(ValueError, match=r"backlog_s has the shape .*; a header takes one backlog a location"):
        pack(cores, FORMS[0], MAX_TASKS)
