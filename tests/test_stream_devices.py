"""A device in C that keeps its own books decides as one that is simulated."""

import ctypes
import math
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from c_programs import COMPILER, RANDOM, compile_in
from stream_states import balanced, played_states, random_network

import offload_gym
from benchmarks.device.streams import ARRIVE, ROW, happenings, rows_of
from offload_gym.networks.stream_header import export_stream_c
from offload_gym.streams.networks import network_plan
from offload_gym.streams.observing import size_of
from offload_gym.streams.policies import make_stream_policy, network_policy

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
FORMS = [("double", "float"), ("float", "float"), ("float", "int8"), ("fixed", "int8")]
forms = pytest.mark.parametrize(("numbers", "weights"), FORMS)
LONGEST = math.sqrt(100.0) + 5.0 * math.log(10.73)  # what is read of the longest time in integers
FLAGS = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-O2"]
# Tells a device what happens, row by row. Where it decides otherwise than is expected, it is made to do as expected, so
# that what comes next is the same. Returns how often; or what a function returned that it should not.
HARNESS = """
#include "policy.h"
int tell(int count, const double *rows, const double *cores_free, const double *servers, const int *cores,
         double device_hz, int num_devices, double scale, int *decisions, int *read)
{
    static offload_gym_device device, before;
    offload_gym_server given[OFFLOAD_GYM_NUM_LOCATIONS - 1];
    offload_gym_time free_at[OFFLOAD_GYM_NUM_LOCATIONS - 1][OFFLOAD_GYM_MAX_CORES];
    offload_gym_view view;
    int i, k, c, code, wrong = 0;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS - 1; k++) {
        const double *server = servers + 4 * k;
        given[k].cpu_hz = (SIZE)server[0];
        given[k].wired_bps = server[1] > 1e18 ? ENDLESS : (SIZE)server[1];
        given[k].PROPAGATION = (offload_gym_time)(server[2] * scale);
        given[k].RATIO = (RATIO_TYPE)(server[3] * RATIO_SCALE);
    }
    code = offload_gym_start(&device, (SIZE)device_hz, given, cores, num_devices);
    for (i = 0; i < count && code == 0; i++) {
        const double *row = rows + COLUMNS * i;
        int where = -7, expected = (int)row[11];
        code = offload_gym_tick(&device, (offload_gym_time)row[1], (SIZE)row[2], (SIZE)row[3], (SIZE)row[4]);
        decisions[i] = -9;
        if (code == 0 && row[0] > 0.5 && row[0] < 1.5) {
            code = offload_gym_tick(&device, 0, 0, (SIZE)row[12], (SIZE)row[13]);
            code = code ? code : offload_gym_tick(&device, 0, 0, (SIZE)row[3], (SIZE)row[4]);
        }
        if (code == 0 && row[0] > 1.5 && row[0] < 2.5)
            code = offload_gym_done(&device);
        if (code == 0 && row[0] > 0.5 && row[0] < 1.5) {
            offload_gym_task task;
            for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS - 1; k++)
                for (c = 0; c < OFFLOAD_GYM_MAX_CORES; c++)
                    free_at[k][c] = c < cores[k + 1]
                        ? (offload_gym_time)cores_free[(i * (OFFLOAD_GYM_NUM_LOCATIONS - 1) + k) * WIDTH + c] : 0;
            code = offload_gym_report(&device, free_at, (offload_gym_time)row[10], (int)row[9]);
            task.input_bits = (SIZE)row[5];
            task.output_bits = (SIZE)row[6];
            task.workload_cycles = (SIZE)row[7];
            task.DEADLINE = (offload_gym_time)row[8];
            before = device;
            if (code == 0)
                code = offload_gym_arrive(&device, &task, &where);
            decisions[i] = where;
            if (code == 0) {
                wrong += where != expected;
                device = before; /* and as is expected, whether it is the same or not */
                offload_gym_look(&device, &view);
#ifdef OFFLOAD_GYM_INFINITE
                offload_gym_observe(&device, &task, &view, read + NUM_READ * i);
#else
                (void)read;
#endif
                offload_gym_count(&device);
                if (expected >= 0)
                    offload_gym_put(&device, &task, expected);
            }
        }
    }
    return code == 0 ? wrong : -100 * i + code;
}
"""


def compiled(policy, folder, width, numbers="double", weights=None, **sizes):
    """The library of an exported header."""
    folder = Path(tempfile.mkdtemp(dir=folder))
    export_stream_c(policy, folder / "policy.h", numbers=numbers, weights=weights, **sizes)
    names = {"SIZE": numbers, "RATIO_TYPE": numbers, "RATIO_SCALE": "1", "ENDLESS": "INFINITY"}
    unit = "s"
    if numbers == "fixed":
        names = {"SIZE": "uint64_t", "RATIO_TYPE": "uint32_t", "RATIO_SCALE": "1000.0", "ENDLESS": "UINT64_MAX"}
        unit = "us"
    names |= {"PROPAGATION": f"propagation_{unit}", "DEADLINE": f"deadline_{unit}", "WIDTH": str(width)}
    names["NUM_READ"] = str(size_of(policy.network.num_locations))
    names |= {"RATIO": "rate_ratio" + "_permille" * (numbers == "fixed"), "COLUMNS": str(len(ROW))}
    (folder / "harness.c").write_text(HARNESS)
    defines = [f"-D{name}={value}" for name, value in names.items()]
    command = [COMPILER, *FLAGS, *defines, "-shared", "-fPIC", "harness.c", "-o", "harness.so", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "harness.so"))


def told(library, streams, happened, device, numbers):
    """Decisions of a device in C of all its jobs, those that were expected, and in integers what it read of each."""
    rows, cores_free = rows_of(streams, happened, device, numbers == "fixed")
    batch = streams.batch
    servers = np.stack(
        [batch.servers[0][name] for name in ("cpu_hz", "wired_bps", "propagation_s", "rate_ratio")], axis=-1
    )
    cores = np.array([batch.devices["cores"][0, device], *batch.servers["cores"][0]], dtype=np.int32)
    decisions = np.zeros(len(rows), dtype=np.int32)
    read = np.zeros((len(rows), size_of(streams.num_locations)), dtype=np.int32)
    arrays = [np.ascontiguousarray(array) for array in (rows, cores_free, servers, cores)]
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
    code = library.tell(
        len(rows),
        *pointers,
        ctypes.c_double(batch.devices["hz"][0, device]),
        streams.num_devices,
        ctypes.c_double(1e6 if numbers == "fixed" else 1.0),
        ctypes.c_void_p(decisions.ctypes.data),
        ctypes.c_void_p(read.ctypes.data),
    )
    assert code >= 0, (code, rows[-code // 100 - 1])
    arrive = rows[:, 0] == ARRIVE
    return decisions[arrive], rows[arrive, ROW.index("expected")].astype(int), read[arrive]


SCENARIOS = {
    "fresh": {},
    "bursts": {"arrivals": "bursty", "num_edges": 2},
    "old reports": {"report_s": 1.0},
    "deadlines": {"name": "stream_deadlines", "arrivals_per_s": 9.0},
    "devices": {"name": "stream_cell", "num_devices": 4, "report_s": 0.5},
    "long jobs": {"arrivals_per_s": 0.02, "workload_scale": (20.0, 200.0)},
    "a million seconds": {"arrivals_per_s": 1e-4, "workload_scale": (1.0, 2.0)},
    "outages": {"outages": True},
}


def played(changes, num_streams=12, num_jobs=120, seed=4):
    """Streams whose sizes are whole, and a network that sends jobs everywhere."""
    given = {"name": "stream", "num_jobs": num_jobs, **changes}
    outages = given.pop("outages", False)
    streams = offload_gym.sample_streams(given, num_streams, seed=seed)
    batch = streams.batch._replace(tasks=np.rint(streams.batch.tasks))
    if outages:
        uplink_bps, downlink_bps = batch.uplink_bps.copy(), batch.downlink_bps.copy()
        uplink_bps[:, :, 1::3] = downlink_bps[:, :, 2::5] = 0.0
        uplink_bps[: num_streams // 3, :, 0] = 0.0  # no rate was seen yet
        uplink_bps[:, :, -1] = downlink_bps[:, :, -1] = 1e7
        batch = batch._replace(uplink_bps=uplink_bps, downlink_bps=downlink_bps)
    streams = type(streams).from_batch(batch)
    can_drop = given["name"] == "stream_deadlines"
    fields = {"can_drop": True, "objective": "late"} if can_drop else {}
    network = random_network(16, num_locations=streams.num_locations, **fields)
    observations, *_ = played_states(streams, make_stream_policy("greedy").plan)
    return streams, balanced(network, observations.reshape(-1, observations.shape[2]))


@pytest.mark.parametrize("case", SCENARIOS)
@forms
def test_a_device_decides_from_its_own_books_as_the_simulated_one(case, numbers, weights, tmp_path):
    if (case, numbers) == ("a million seconds", "fixed"):
        pytest.skip("in whole microseconds a time between arrivals of hours counts as the longest")
    streams, network = played(SCENARIOS[case])
    library = compiled(network_policy(network), tmp_path, most_cores(streams), numbers, weights, max_pending=64)
    found, expected = [], []
    for b, happened in enumerate(happenings(streams, network_plan(network))):
        for device in range(min(streams.num_devices, 2)):
            decisions, wanted, _ = told(library, streams[b : b + 1], happened, device, numbers)
            found.append(decisions)
            expected.append(wanted)
    found, expected = np.concatenate(found), np.concatenate(expected)
    assert len(np.unique(expected)) == streams.num_locations + network.can_drop
    assert (found != expected).mean() <= (0.002 if weights == "float" else 0.25)


@pytest.mark.parametrize("case", [case for case in SCENARIOS if case != "a million seconds"])
def test_integers_read_what_the_kernel_reads(case, tmp_path):
    streams, network = played(SCENARIOS[case])
    library = compiled(network_policy(network), tmp_path, most_cores(streams), "fixed", max_pending=64)
    observations, *_ = played_states(streams, network_plan(network))
    for b, happened in enumerate(happenings(streams, network_plan(network))):
        *_, read = told(library, streams[b : b + 1], happened, 0, "fixed")
        mine = streams.batch.jobs["device"][b] == 0
        # Roots are steep where they begin: a microsecond is 0.001; and what is longer than a time can be counts as
        # the longest.
        wanted = np.minimum(observations[b, mine], LONGEST)
        np.testing.assert_allclose(np.minimum(read / 4096, LONGEST), wanted, rtol=1e-3, atol=2.5e-3)


@pytest.mark.parametrize("name", ["small-student", "student"])
@forms
def test_shipped_students_decide_50_streams_in_c(name, numbers, weights, tmp_path):
    scenario = {"name": "stream", "num_jobs": 100}
    streams = offload_gym.sample_streams(scenario, 50, seed=9)
    streams = type(streams).from_batch(streams.batch._replace(tasks=np.rint(streams.batch.tasks)))
    policy = make_stream_policy(name, "stream")
    library = compiled(policy, tmp_path, most_cores(streams), numbers, weights, max_pending=64)
    different = 0
    for b, happened in enumerate(happenings(streams, policy.plan)):
        decisions, wanted, _ = told(library, streams[b : b + 1], happened, 0, numbers)
        different += (decisions != wanted).sum()
    assert different / (50 * 100) <= (0.001 if weights == "float" else 0.03)


CALLS = """
#include <stdio.h>
#include "policy.h"
int main(void)
{
    static offload_gym_device device;
    offload_gym_server servers[2] = {{8000000000u, 1000000000u, 0, ONE}, {20000000000u, 100000000u, 0, ONE}};
    offload_gym_task task = {40000000, 1000, 100000000, OFFLOAD_GYM_NEVER};
    int cores[3] = {1, 2, 8}, i, k, where;
    offload_gym_start(&device, 1000000000, servers, cores, 1);
    offload_gym_tick(&device, 0, 0, 10000000, 20000000);
    /* Two transmissions of 40 Mbit, more than single precision has digits for, end in parts: one call ends both. */
    for (i = 0; i < 2; i++)
        offload_gym_put(&device, &task, 1 + i);
    for (i = 0; i < 7; i++)
        offload_gym_tick(&device, SECOND, 5500000, 10000000, 20000000);
    printf("%d%d ", device.pending[0].waits, device.pending[1].waits);
    offload_gym_tick(&device, SECOND, 1500000 + 40000000, 10000000, 20000000);
    printf("%d%d ", device.pending[0].waits, device.pending[1].waits);
    /* Where no report comes, what must have run long ago makes room. */
    for (i = 0; i < 3; i++)
        offload_gym_put(&device, &task, 2);
    offload_gym_make_room(&device);
    printf("%d ", device.num_pending);
    for (i = 0; i < 300; i++)
        offload_gym_tick(&device, 1000 * SECOND, 2000000000, 10000000, 20000000);
    offload_gym_make_room(&device);
    printf("%d ", device.num_pending);
    /* A queue of hours, longer than a time can be in integers, comes to its end. */
    task.workload_cycles = 500000000000u;
    for (i = 0; i < 8; i++)
        offload_gym_put(&device, &task, 0);
    for (i = 0; i < 5; i++)
        offload_gym_tick(&device, 1000 * SECOND, 0, 10000000, 20000000);
    printf("%d ", device.CORE_FREE[0][0] <= 0);
    /* The mean time between arrivals stays what it is, however many there are. */
    for (k = 0; k < 3000000; k++) {
        offload_gym_tick(&device, SECOND, 0, 10000000, 20000000);
        offload_gym_count(&device);
    }
    printf("%.3f\\n", GAP);
    (void)where;
    return 0;
}
"""


@pytest.mark.parametrize("numbers", ["double", "float", "fixed"])
def test_books_hold_for_large_jobs_long_queues_and_many_arrivals(numbers, tmp_path):
    policy = make_stream_policy("small-student", "stream")
    export_stream_c(policy, tmp_path / "policy.h", numbers=numbers, max_pending=5)
    names = {"ONE": "1", "SECOND": "1", "CORE_FREE": "core_free_s"}
    names["GAP"] = "(double)device.age_s/((double)device.radio.num_jobs+1.0)"
    if numbers == "fixed":
        names = {"ONE": "1000", "SECOND": "1000000", "CORE_FREE": "core_free_us"}
        names["GAP"] = "(double)device.age_us/1e6/((double)device.num_jobs+1.0)"
    options = [f"-D{name}={value}" for name, value in names.items()]
    done = compile_in(tmp_path, CALLS, "-std=c99", "-O2", *options, "-o", "main", "-lm")
    assert done.returncode == 0, done.stderr
    printed = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout.split()
    assert printed[:5] == ["11", "00", "5", "0", "1"]
    # 305,008 s before the first arrival count, too.
    assert float(printed[5]) == pytest.approx(1.0, abs=0.2)


def most_cores(streams):
    """Columns of cores that a simulated system has."""
    return max(int(streams.batch.servers["cores"].max()), int(streams.batch.devices["cores"].max()))


PROGRAM = """
#include "policy.h"
int use(offload_gym_device *device, const offload_gym_task *task, int *location);
int use(offload_gym_device *device, const offload_gym_task *task, int *location)
{
    static offload_gym_time free_at[OFFLOAD_GYM_NUM_LOCATIONS - 1][OFFLOAD_GYM_MAX_CORES];
    static offload_gym_server servers[OFFLOAD_GYM_NUM_LOCATIONS - 1];
    static const int cores[OFFLOAD_GYM_NUM_LOCATIONS] = {1};
    return offload_gym_start(device, 1, servers, cores, 1) + offload_gym_tick(device, 0, 0, 0, 0)
        + offload_gym_report(device, free_at, 0, 0) + offload_gym_arrive(device, task, location)
        + offload_gym_done(device);
}
"""


@forms
@pytest.mark.parametrize("preset", ["stream", "stream_deadlines"])
def test_no_compiler_warns(preset, numbers, weights, tmp_path):
    policy = make_stream_policy("student", preset)
    sizes = export_stream_c(policy, tmp_path / "policy.h", numbers=numbers, weights=weights)
    programs = [("gcc", "c", "-std=c99"), ("clang", "c", "-std=c99")]
    programs += [("g++", "cpp", "-std=c++17"), ("clang++", "cpp", "-std=c++17")]
    found = [given for given in programs if shutil.which(given[0])]
    assert found
    for program, suffix, standard in found:
        done = compile_in(tmp_path, PROGRAM, standard, *FLAGS[1:], "-c", program=program, suffix=suffix)
        assert done.returncode == 0, done.stderr
    if numbers == "float":
        done = compile_in(tmp_path, PROGRAM, *FLAGS, "-Wdouble-promotion", "-c")
        assert done.returncode == 0, done.stderr
    if numbers == "fixed":
        done = compile_in(tmp_path, PROGRAM, "-std=c99", "-O2", "-mgeneral-regs-only", "-c")
        assert done.returncode == 0 or "unrecognized" in done.stderr, done.stderr
    # AND a device is as large as the export says, but for padding
    text = f'#include "policy.h"\nint main(void) {{ return sizeof(offload_gym_device) > {sizes["ram"] + 100}'
    text += f" || sizeof(offload_gym_device) < {sizes['ram']}; }}"
    assert compile_in(tmp_path, text, "-std=c99", "-o", "main", "-lm").returncode == 0
    assert subprocess.run([tmp_path / "main"]).returncode == 0


CHECKS = """
#include <stdio.h>
#include <string.h>
#include "policy.h"
#define CHECK(wanted, call)               \\
    do {                                  \\
        int code = call;                  \\
        if (code != (wanted)) {           \\
            printf("%s: %d\\n", #call, code); \\
            return 1;                     \\
        }                                 \\
    } while (0)
int main(void)
{
    static offload_gym_device device, before;
    offload_gym_server servers[2] = {{8000000000u, 1000000000u, 0, ONE}, {20000000000u, 100000000u, 0, ONE}};
    offload_gym_time free_at[2][OFFLOAD_GYM_MAX_CORES] = {{0}};
    offload_gym_task task = {1000000, 1000, 100000000, OFFLOAD_GYM_NEVER}, wrong;
    int cores[3] = {1, 2, 8}, where = -7, i, full = 0;
    CHECK(-6, offload_gym_start(&device, 0, servers, cores, 1));
    cores[1] = 0;
    CHECK(-6, offload_gym_start(&device, 1000000000, servers, cores, 1));
    cores[1] = 9;
    CHECK(-6, offload_gym_start(&device, 1000000000, servers, cores, 1));
    cores[1] = 2;
    servers[1].wired_bps = 0;
    CHECK(-6, offload_gym_start(&device, 1000000000, servers, cores, 1));
    servers[1].wired_bps = 100000000u;
    CHECK(-10, offload_gym_start(&device, 1000000000, servers, cores, 0));
    CHECK(0, offload_gym_start(&device, 1000000000, servers, cores, 1));
    before = device;
    CHECK(-8, offload_gym_tick(&device, -1, 0, 1, 1));
    CHECK(-10, offload_gym_report(&device, free_at, 0, -1));
    CHECK(-8, offload_gym_report(&device, free_at, -1, 0));
    CHECK(-10, offload_gym_done(&device));
    BAD
    wrong = task;
    wrong.DEADLINE = -1;
    CHECK(-8, offload_gym_arrive(&device, &wrong, &where));
    if (memcmp(&device, &before, sizeof device) || where != -7)
        return 2;
    CHECK(0, offload_gym_tick(&device, 0, 0, 10000000, 20000000));
    /* The radio sends nothing: what goes to servers is under way until no more can be. */
    for (i = 0; i < 200; i++) {
        int code = offload_gym_arrive(&device, &task, &where);
        if (code < 0 || code > 1 || where < -1 || where > 2 || (code == 1 && where != 0))
            return 3;
        full += code == OFFLOAD_GYM_FULL;
    }
    if (device.num_pending > OFFLOAD_GYM_MAX_PENDING || device.num_in_system != 200)
        return 4;
    for (i = 0; i < 200; i++)
        CHECK(0, offload_gym_done(&device));
    CHECK(-10, offload_gym_done(&device));
    return full > 0 ? 0 : 5;
}
"""
BAD = """
    CHECK(-9, offload_gym_tick(&device, 0, 0, -1, 1));
    CHECK(-9, offload_gym_tick(&device, 0, 0, 1, NAN));
    CHECK(-8, offload_gym_tick(&device, NAN, 0, 1, 1));
    CHECK(-5, offload_gym_tick(&device, 0, -1, 1, 1));
    wrong = task;
    wrong.input_bits = NAN;
    CHECK(-5, offload_gym_arrive(&device, &wrong, &where));
    wrong = task;
    wrong.deadline_s = NAN;
    CHECK(-8, offload_gym_arrive(&device, &wrong, &where));
    free_at[1][7] = NAN;
    CHECK(-7, offload_gym_report(&device, free_at, 0, 0));
"""
BAD_WHOLE = """
    CHECK(-9, offload_gym_tick(&device, 0, 0, 1000000000001u, 1));
    CHECK(-8, offload_gym_tick(&device, 0x7fffffff, 0, 1, 1));
    wrong = task;
    wrong.workload_cycles = UINT64_MAX;
    CHECK(-5, offload_gym_arrive(&device, &wrong, &where));
    free_at[1][7] = -0x7fffffff;
    CHECK(-7, offload_gym_report(&device, free_at, 0, 0));
"""


@pytest.mark.parametrize("numbers", ["double", "float", "fixed"])
def test_bad_input_is_refused_by_a_code(numbers, tmp_path):
    export_stream_c(
        make_stream_policy("small-student", "stream"), tmp_path / "policy.h", numbers=numbers, max_pending=4
    )
    is_whole = numbers == "fixed"
    text = CHECKS.replace("BAD\n", BAD_WHOLE if is_whole else BAD)
    names = ["-DONE=1000" if is_whole else "-DONE=1", f"-DDEADLINE=deadline_{'us' if is_whole else 's'}"]
    done = compile_in(tmp_path, text, "-std=c99", *names, "-o", "main", "-lm")
    assert done.returncode == 0, done.stderr
    ran = subprocess.run([tmp_path / "main"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "")


FUZZER = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "policy.h"
RANDOM
#ifdef OFFLOAD_GYM_INFINITE
#define SIZE uint64_t
static SIZE size(void)
{
    return next() % 50 ? next() >> (20 + next() % 44) : next();
}
static offload_gym_time any_time(void)
{
    return next() % 50 ? (int32_t)(next() & 0x3fffffff) >> (next() % 30) : (int32_t)next();
}
#else
#define SIZE offload_gym_size
static SIZE size(void)
{
    uint64_t kind = next() % 200;
    SIZE x = (SIZE)(next() >> (20 + next() % 44));
    return kind == 0 ? -x : kind == 1 ? (SIZE)NAN : kind == 2 ? (SIZE)INFINITY : kind == 3 ? x * (SIZE)1e30 : x;
}
static offload_gym_time any_time(void)
{
    return size() / (offload_gym_time)1e6;
}
#endif
int main(int argc, char **argv)
{
    static offload_gym_device device;
    offload_gym_server servers[OFFLOAD_GYM_NUM_LOCATIONS - 1];
    offload_gym_time free_at[OFFLOAD_GYM_NUM_LOCATIONS - 1][OFFLOAD_GYM_MAX_CORES];
    int cores[OFFLOAD_GYM_NUM_LOCATIONS], k, c, begun = 0, good = 0;
    long call, calls = argc > 1 ? atol(argv[1]) : 1000;
    for (call = 0; call < calls; call++) {
        uint64_t what = begun ? next() % 64 : 0;
        int code = 0;
        if (what == 0) {
            for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++) {
                cores[k] = (int)(next() % 8) + (next() % 50 ? 1 : 0);
                if (k == 0)
                    continue;
                servers[k - 1].cpu_hz = size();
                servers[k - 1].wired_bps = size();
                servers[k - 1].PROPAGATION = any_time();
                servers[k - 1].RATIO = (RATIO_TYPE)(next() % 2000);
            }
            code = offload_gym_start(&device, size(), servers, cores, (int)(next() % 100));
            begun |= code == 0;
        } else if (what < 20) {
            code = offload_gym_tick(&device, any_time(), size(), next() % 4 ? size() : 0, size());
        } else if (what < 30) {
            for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS - 1; k++)
                for (c = 0; c < OFFLOAD_GYM_MAX_CORES; c++)
                    free_at[k][c] = any_time();
            code = offload_gym_report(&device, free_at, any_time(), (int)(next() % 50));
        } else if (what < 40) {
            code = offload_gym_done(&device);
        } else {
            offload_gym_task task;
            int where = -9;
            task.input_bits = size();
            task.output_bits = size();
            task.workload_cycles = size();
            task.DEADLINE = any_time();
            code = offload_gym_arrive(&device, &task, &where);
            if (code < 0 ? where != -9 : where < -1 || where >= OFFLOAD_GYM_NUM_LOCATIONS)
                return 2;
        }
        if (code > 1 || code < -10)
            return 1;
        good += code >= 0;
    }
    return good * 4L > calls ? 0 : 3;
}
"""


def fuzz(folder, numbers, weights, calls, preset="stream_deadlines"):
    is_whole = numbers == "fixed"
    path = folder / "policy.h"
    export_stream_c(make_stream_policy("small-student", preset), path, numbers=numbers, weights=weights, max_pending=5)
    names = {"PROPAGATION": "propagation_us", "RATIO": "rate_ratio_permille", "DEADLINE": "deadline_us"}
    if not is_whole:
        names = {"PROPAGATION": "propagation_s", "RATIO": "rate_ratio", "DEADLINE": "deadline_s"}
    names["RATIO_TYPE"] = "uint32_t" if is_whole else "offload_gym_size"
    options = [f"-D{name}={value}" for name, value in names.items()]
    options += ["-std=c99", "-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover=all", "-o", "main"]
    done = compile_in(folder, FUZZER.replace("RANDOM", RANDOM), *options, "-lm")
    if done.returncode and "sanitize" in done.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert done.returncode == 0, done.stderr
    ran = subprocess.run([folder / "main", str(calls)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


@forms
def test_random_calls_do_no_harm(numbers, weights, tmp_path):
    fuzz(tmp_path, numbers, weights, 20_000)


@pytest.mark.slow
@forms
def test_a_million_random_calls_do_no_harm(numbers, weights, tmp_path):
    fuzz(tmp_path, numbers, weights, 1_000_000)


def test_what_cannot_be_exported_is_refused(tmp_path):
    policy, path = make_stream_policy("small-student", "stream"), tmp_path / "policy.h"
    tanh = network_policy(random_network(4, activation="tanh"))
    for given, changes, message in (
        (policy, {"numbers": "half"}, "numbers is 'half'; it must be one of double, float, fixed"),
        (policy, {"numbers": "fixed", "weights": "float"}, "weights is 'float'; where numbers is 'fixed' it must be"),
        (policy, {"max_pending": 0}, "max_pending is 0; it must be"),
        (tanh, {"numbers": "fixed"}, "the network has tanh layers, which are not there in integers"),
    ):
        with pytest.raises(ValueError, match=message):
            export_stream_c(given, path, **changes)
    assert not list(tmp_path.iterdir())
