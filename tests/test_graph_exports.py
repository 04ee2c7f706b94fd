"""Networks of graphs in C decide as the package does."""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from test_pareto import whole_times

import offload_gym
from offload_gym.instances import CORES, CPU, DOWNLINK, LOCATION_FIELDS, PROPAGATION, UPLINK, WIRED
from offload_gym.networks.c_layers import in_single_precision
from offload_gym.networks.graph_header import export_graph_c
from offload_gym.networks.graph_network import GraphNetwork
from offload_gym.networks.graph_policy import GraphPolicy
from offload_gym.networks.graph_view import INPUTS

COMPILER = shutil.which("gcc") or shutil.which("cc")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
FLAGS = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-O2"]
HARNESS = """
#include "policy.h"
/* Decides applications of up to n tasks with k locations and up to m edges each; locations are k rows of five numbers,
 * cores, and backlogs. Returns the first code that is not 0. */
int decide_all(int count, int n, int k, int m, const int *counts, const double *tasks, const int *edge_start,
               const int *edge_parent, const double *edge_bits, const double *numbers, const double *radio_backlog_s,
               int *decisions)
{
    static offload_gym_memory memory;
    offload_gym_location locations[OFFLOAD_GYM_MAX_LOCATIONS];
    offload_gym_application given;
    int b, j, c, code;
    for (b = 0; b < count; b++) {
        for (j = 0; j < k && j < OFFLOAD_GYM_MAX_LOCATIONS; j++) {
            const double *row = numbers + (b * k + j) * (6 + OFFLOAD_GYM_MAX_CORES);
            locations[j].cpu_hz = row[0];
            locations[j].uplink_bps = row[1];
            locations[j].downlink_bps = row[2];
            locations[j].wired_bps = row[3];
            locations[j].propagation_s = row[4];
            locations[j].cores = (int)row[5];
            for (c = 0; c < OFFLOAD_GYM_MAX_CORES; c++)
                locations[j].backlog_s[c] = row[6 + c];
        }
        given.num_tasks = counts[b];
        given.num_locations = k;
        given.tasks = (const offload_gym_task *)(const void *)(tasks + b * n * 3);
        given.edge_start = edge_start + b * (n + 1);
        given.edge_parent = edge_parent + b * m;
        given.edge_bits = edge_bits + b * m;
        given.locations = locations;
        given.radio_backlog_s = radio_backlog_s[b];
        code = offload_gym_decide(&given, &memory, decisions + b * n);
        if (code)
            return code;
    }
    return 0;
}
unsigned long memory_size(void)
{
    return (unsigned long)sizeof(offload_gym_memory);
}
"""


def random_policy(*widths, num_starts=2, num_passes=2, num_sweeps=1, seed=0, **fields):
    """A network of random weights, whose scores differ enough to send tasks everywhere."""
    random, layers, inputs = np.random.default_rng(seed), [], INPUTS
    for width in (*widths, 1):
        weight = random.normal(0.0, 1.5 / np.sqrt(inputs), (width, inputs))
        layers.append((weight.astype(np.float32), random.normal(0.0, 0.1, width).astype(np.float32)))
        inputs = width
    return GraphPolicy(GraphNetwork(tuple(layers), num_starts, num_passes, num_sweeps, {}, **fields))


def compiled(policy, folder, *sizes, flags=FLAGS, **named):
    """The library of an exported header, and the bytes that the export tells."""
    folder = Path(tempfile.mkdtemp(dir=folder))  # a library is loaded once under each path
    told = export_graph_c(policy, folder / "policy.h", *sizes, **named)
    harness = HARNESS if named.get("numbers") != "float" else in_single_precision(HARNESS)
    (folder / "harness.c").write_text(harness)
    subprocess.run([COMPILER, *flags, "-shared", "-fPIC", "harness.c", "-o", "harness.so"], cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "harness.so")), told


def numbers_of(instances, max_cores=8):
    """What the harness takes of instances, by name."""
    batch = instances.batch
    columns = batch.locations[:, :, [CPU, UPLINK, DOWNLINK, WIRED, PROPAGATION, CORES]]
    backlog_s = np.repeat(batch.core_backlog_s, 1 if batch.core_backlog_s.shape[2] > 1 else max_cores, axis=2)
    room_s = np.full((*backlog_s.shape[:2], max_cores), np.nan)
    room_s[:, :, : backlog_s.shape[2]] = backlog_s
    return {
        "counts": batch.task_counts.astype(np.int32),
        "tasks": batch.tasks.copy(),
        "edge_start": batch.edge_start.astype(np.int32),
        "edge_parent": batch.edge_parent.astype(np.int32),
        "edge_bits": batch.edge_bits.copy(),
        "locations": np.concatenate([columns, room_s], axis=2),
        "radio_backlog_s": batch.radio_backlog_s.copy(),
    }


def decide(library, given):
    """Decisions of all instances and 0, or a code that says what is wrong with one."""
    size, n, _ = given["tasks"].shape
    arrays = [np.ascontiguousarray(array) for array in given.values()]
    arrays.append(np.zeros((size, n), dtype=np.int32))
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
    code = library.decide_all(size, n, given["locations"].shape[1], given["edge_parent"].shape[1], *pointers)
    return arrays[-1], code


def assert_decides_as(policy, instances, folder, *sizes, **named):
    library, told = compiled(policy, folder, *sizes, **named)
    assert told == {"flash": 4 * policy.num_parameters, "ram": library.memory_size()}
    decisions, code = decide(library, numbers_of(instances, named.get("max_cores", 8)))
    assert code == 0
    expected = policy.decide(instances)
    # Sums in another order may tell two scores apart otherwise that are equal but for rounding.
    different = (decisions != expected).any(axis=1)
    assert different.mean() <= 0.001, f"{different.sum()} of {len(different)} differ"
    assert len(np.unique(expected)) == instances.num_locations


@needs_compiler
@pytest.mark.parametrize(
    ("scenario", "size"),
    [
        ({"name": "dag"}, 2_000),
        ({"name": "dag", "num_tasks": 50}, 1_000),
        ({"name": "partitioning"}, 2_000),
        ({"name": "default"}, 2_000),
    ],
)
def test_c_decides_as_python(scenario, size, tmp_path):
    instances = offload_gym.sample_instances(scenario, size, seed=7)
    instances = instances.replace(radio_backlog_s=np.random.default_rng(0).exponential(0.3, len(instances)))
    assert_decides_as(random_policy(32, 32), instances, tmp_path, 50, 512)


@needs_compiler
def test_c_decides_as_python_with_backlogs_of_cores_and_other_uses(tmp_path):
    instances = offload_gym.Instances.concatenate(
        offload_gym.sample_instances({"name": "dag", "num_tasks": n}, 300, seed=n) for n in (1, 2, 12)
    )
    shape = (*instances.locations.shape[:2], 8)
    instances = instances.replace(backlog_s=np.random.default_rng(0).exponential(0.2, shape))
    for policy in (
        random_policy(num_starts=1, num_passes=1, num_sweeps=0),  # one layer
        random_policy(5, num_starts=3, num_passes=1, num_sweeps=3),
        random_policy(40, 7, 12, num_starts=9, num_passes=3, num_sweeps=0),  # more starts than places
    ):
        assert_decides_as(policy, instances, tmp_path, 12, max_cores=8)


@needs_compiler
def test_ties_are_decided_in_c_as_in_python(tmp_path):
    """Times are small whole numbers, sums of which are exact, and two locations are alike in all."""
    rng, edges = np.random.default_rng(4), ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4))
    instances = whole_times(1_000, 6, 4, rng, edges)
    alike = {name: getattr(instances, name).copy() for name in (*LOCATION_FIELDS, "backlog_s")}
    for values in alike.values():
        values[:, 2] = values[:, 1]
    assert_decides_as(random_policy(32, 32), instances.replace(**alike), tmp_path, 6, max_cores=16)


@needs_compiler
def test_c_says_what_does_not_fit(tmp_path):
    instances = offload_gym.sample_instances("dag", 1, seed=3)
    most_edges = int(instances.edge_start.max())
    policy = random_policy(4)
    library, _ = compiled(policy, tmp_path, 10, most_edges)
    good = numbers_of(instances)
    assert decide(library, good)[1] == 0
    child = next(i for i in range(10) if good["edge_start"][0, i + 1] > good["edge_start"][0, i])
    at = good["edge_start"][0, child]
    codes = {
        -1: [("counts", 0, 0), ("counts", 0, 11)],
        -3: [("edge_start", (0, 0), 1), ("edge_start", (0, 10), 10_000), ("edge_start", (0, child + 1), -1)],
        -4: [("edge_parent", (0, at), child), ("edge_parent", (0, at), -1), ("edge_parent", (0, at), 99)],
        -5: [("edge_bits", (0, at), np.nan), ("tasks", (0, 3, 2), -1.0), ("tasks", (0, 0, 0), np.inf)],
        -6: [
            *(("locations", (0, 1, column), value) for column in (0, 1, 2, 3) for value in (0.0, -1.0, np.nan)),
            ("locations", (0, 0, 0), np.inf),
            ("locations", (0, 2, 2), np.inf),
            ("locations", (0, 1, 4), -1.0),
            ("locations", (0, 1, 5), 0.0),
            ("locations", (0, 1, 5), 9.0),
        ],
        -7: [("locations", (0, 0, 6), np.nan), ("locations", (0, 1, 6), -1.0), ("radio_backlog_s", 0, np.inf)],
    }
    for code, changes in codes.items():
        for name, index, value in changes:
            given = good | {name: good[name].copy()}
            given[name][index] = value
            decisions, found = decide(library, given)
            assert (found, name, value) == (code, name, value)
            assert not decisions.any()
    # What is not read may be anything: rates of the device, and a wired path may take no time.
    for name, index, value in (("locations", (0, 0, 1), np.nan), ("locations", (0, 1, 3), np.inf)):
        given = good | {name: good[name].copy()}
        given[name][index] = value
        assert decide(library, given)[1] == 0
    for sizes, code in (((9,), 1), ((10, most_edges - 1), 3), ((10, most_edges, 3), 2), ((10, most_edges, 4, 1), 6)):
        library, _ = compiled(policy, tmp_path, *sizes)
        cores = sizes[3] if len(sizes) > 3 else 8
        assert decide(library, good | {"locations": good["locations"][:, :, : 6 + cores]})[1] == -code


@needs_compiler
@pytest.mark.parametrize(("numbers", "weights"), [("double", "int8"), ("float", "float"), ("float", "int8")])
def test_other_numbers_cost_little(numbers, weights, tmp_path):
    instances = offload_gym.sample_instances("dag", 1_000, seed=7)
    policy = offload_gym.make_policy("student", preset="dag")
    flags = [*FLAGS, "-Wdouble-promotion"] if numbers == "float" else FLAGS
    library, told = compiled(policy, tmp_path, 10, 45, flags=flags, numbers=numbers, weights=weights)
    assert told["ram"] == library.memory_size()
    assert told["flash"] == (4 * policy.num_parameters if weights == "float" else 1056 + 8 * 33)
    given = numbers_of(instances)
    if numbers == "float":
        given = {
            name: array.astype(np.float32) if array.dtype == np.float64 else array for name, array in given.items()
        }
    decisions, code = decide(library, given)
    assert code == 0
    best_s = offload_gym.solve(instances).latency_s
    gaps = [
        (offload_gym.latency(instances, made) / best_s - 1).mean() for made in (decisions, policy.decide(instances))
    ]
    assert gaps[0] - gaps[1] < (0.0005 if weights == "float" else 0.003)
    assert gaps[0] < 0.02
    with pytest.raises(ValueError, match="numbers is 'fixed'; for a network of graphs it must be 'double' or 'float'"):
        offload_gym.export_c(policy, tmp_path / "policy.h", numbers="fixed")


@needs_compiler
def test_a_program_can_have_two_networks_in_c_and_in_cpp(tmp_path):
    for name, seed in (("a", 1), ("b2", 2)):
        offload_gym.export_c(
            random_policy(4, seed=seed, scenario="my */ vélo\n.csv"), tmp_path / f"{name}.h", name=name
        )
    text = (
        '#include "a.h"\n#include "b2.h"\n#include "a.h"\n'
        "int main(void) { static a_memory m; static b2_memory o; static a_application g; static b2_application h;"
        " int d[1]; return a_decide(&g, &m, d) != A_BAD_NUM_TASKS || b2_decide(&h, &o, d) != B2_BAD_NUM_TASKS; }\n"
    )
    (tmp_path / "both.c").write_text(text)
    (tmp_path / "both.cpp").write_text(text)
    subprocess.run([COMPILER, *FLAGS, "both.c", "-o", "both"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "both"]).returncode == 0
    if (compiler := shutil.which("g++")) is not None:
        subprocess.run([compiler, "-pedantic", "-Wall", "-Wextra", "-Werror", "both.cpp"], cwd=tmp_path, check=True)


@needs_compiler
def test_the_program_of_the_docs_compiles_and_decides(tmp_path):
    text = (Path(__file__).parents[1] / "docs" / "applications.md").read_text(encoding="utf-8")
    (tmp_path / "main.c").write_text(text.split("```c\n")[1].split("```")[0])
    offload_gym.export_c(random_policy(4), tmp_path / "policy.h", 10, name="network")
    subprocess.run([COMPILER, *FLAGS, "main.c", "-o", "main"], cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "main"], capture_output=True, text=True).stdout
    assert set(printed) <= set("012 \n")
    assert len(printed.split()) == 3


def test_what_cannot_be_exported_is_refused(tmp_path):
    policy, path = random_policy(4), tmp_path / "out.h"
    for wrong, message in (
        (lambda: offload_gym.export_c(GraphPolicy(policy.network, "flip"), path), "refine is 'flip'; only a network"),
        (lambda: offload_gym.export_c(policy, path, max_tasks=0), "max_tasks is 0"),
        (lambda: offload_gym.export_c(policy, path, name="2b"), "name is '2b'; it must be letters"),
        (lambda: export_graph_c(policy, path, 3, 0), "max_edges is 0"),
        (lambda: export_graph_c(policy, path, 3, max_locations=1), "max_locations is 1"),
        (lambda: export_graph_c(policy, path, 3, max_cores=0), "max_cores is 0"),
        (lambda: export_graph_c(offload_gym.make_policy("student"), path, 3), "policy is a NetworkPolicy; it must"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()
    assert not list(tmp_path.iterdir())
