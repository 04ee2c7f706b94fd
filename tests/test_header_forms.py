"""Headers in single precision and in integers, with weights of eight bits, and what they do with bad input."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import naive_fixed
import numpy as np
import pytest
from c_programs import COMPILER, RANDOM, compile_in
from test_networks import balanced, both_forms, random_network

import offload_gym
from offload_gym.command_line import main
from offload_gym.networks.c_layers import in_integers, in_single_precision, largest_signal, quantise
from offload_gym.networks.c_trial import decide_in_c, records, try_header
from offload_gym.networks.policy import NetworkPolicy

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
FORMS = [("double", "float"), ("double", "int8"), ("float", "float"), ("float", "int8"), ("fixed", "int8")]
forms = pytest.mark.parametrize(("numbers", "weights"), FORMS)
STRICT = ["-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-O2", "-c"]
PROGRAM = """
#include "policy.h"
int call(int n, const offload_gym_task *tasks, const offload_gym_location *locations, int *decision)
{
    return offload_gym_decide(n, tasks, locations, 0, decision);
}
"""
# Calls with random bytes, and with numbers of all sizes, some of them wrong; no decision may leave the locations.
FUZZER = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <math.h>
#include "policy.h"
RANDOM
static NUMBER any(void)
{
    uint64_t kind = next() % 40;
    if (kind == 0)
        return 0;
#ifdef OFFLOAD_GYM_INFINITE
    return next() >> (next() % 64);
#else
    if (kind == 1)
        return (NUMBER)INFINITY;
    if (kind == 2)
        return (NUMBER)NAN;
    if (kind == 3)
        return -1;
    return (NUMBER)ldexp((double)(next() >> 40), (int)(next() % 100) - 50 - (kind == 4) * 1000 + (kind == 5) * 900);
#endif
}
static TIME any_time(void)
{
#ifdef OFFLOAD_GYM_INFINITE
    return (uint32_t)next() >> (next() % 32);
#else
    return any();
#endif
}
int main(int argc, char **argv)
{
    offload_gym_task tasks[OFFLOAD_GYM_MAX_TASKS];
    offload_gym_location locations[OFFLOAD_GYM_NUM_LOCATIONS];
    int decision[OFFLOAD_GYM_MAX_TASKS], i, k, codes[9] = {0};
    long call, calls = argc > 1 ? atol(argv[1]) : 1000;
    for (call = 0; call < calls; call++) {
        int n = (int)(next() % (OFFLOAD_GYM_MAX_TASKS + 3)) - 1, code;
        TIME radio = any_time();
        unsigned char *bytes = (unsigned char *)locations;
        for (i = 0; i < OFFLOAD_GYM_MAX_TASKS; i++) {
            tasks[i].input_bits = any();
            tasks[i].output_bits = any();
            tasks[i].workload_cycles = any();
            decision[i] = -9;
        }
        for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++) {
            offload_gym_location *here = &locations[k];
            here->cpu_hz = any();
            here->uplink_bps = any();
            here->downlink_bps = any();
            here->wired_bps = any();
            here->PROPAGATION = any_time();
            here->BACKLOG = any_time();
            here->cores = next() % 4 ? 0 : (int)(next() % 12) - 1;
        }
        if (call % 4 == 0)
            for (i = 0; i < (int)sizeof locations; i++)
                bytes[i] = (unsigned char)next();
        code = offload_gym_decide(n, tasks, locations, radio, decision);
        if (code > 1 || code < -7)
            return 1;
        codes[code + 7]++;
        for (i = 0; i < OFFLOAD_GYM_MAX_TASKS; i++) {
            int decided = code >= 0 && i < n;
            if (decided ? decision[i] < 0 || decision[i] >= OFFLOAD_GYM_NUM_LOCATIONS : decision[i] != -9)
                return 2;
        }
    }
    for (i = 0; i < 9; i++)
        printf("%d ", codes[i]);
    return 0;
}
"""


def header_of(policy, folder, numbers="double", weights=None, max_tasks=8):
    path = Path(folder) / "policy.h"
    offload_gym.export_c(policy, path, max_tasks, numbers=numbers, weights=weights)
    return path


@forms
def test_what_a_form_costs_in_decisions(numbers, weights, tmp_path):
    for scenario in ("default", "vision", "multi_edge"):
        instances = offload_gym.sample_instances(scenario, 2_000, seed=11)
        policy = offload_gym.make_policy("small-student", preset=scenario)
        trial = try_header(header_of(policy, tmp_path, numbers, weights), policy, instances, numbers)
        assert trial.greedy_share == 0.0
        exact = weights == "float"
        assert trial.differing_share < (0.002 if (numbers, exact) == ("double", True) else 0.15 if exact else 0.6)
        assert trial.gap_mean - trial.python_gap_mean < (1e-4 if exact else 1e-3)
        assert f"{100 * trial.gap_mean:.3f} %" in str(trial)


@pytest.mark.slow
def test_the_small_student_is_hardly_worse_in_other_numbers(tmp_path):
    instances = offload_gym.sample_instances("default", 10_000, seed=77)
    policy = offload_gym.make_policy("small-student")
    for numbers, most_points in (("float", 0.01), ("fixed", 0.10)):
        trial = try_header(header_of(policy, tmp_path, numbers), policy, instances, numbers)
        assert 100 * (trial.gap_mean - trial.python_gap_mean) <= most_points


@both_forms
@pytest.mark.parametrize("roll_outs", [True, False])
@pytest.mark.parametrize("objective", ["makespan", "mean"])
def test_integers_decide_as_their_plain_form(form, roll_outs, objective, tmp_path):
    instances = offload_gym.sample_instances("default", 150, seed=3)
    instances = instances.replace(radio_backlog_s=np.random.default_rng(0).exponential(0.3, len(instances)))
    network = balanced(random_network(form, roll_outs=roll_outs, objective=objective), instances)
    for policy in (NetworkPolicy(network), NetworkPolicy(network, keep_best=False)):
        decisions, _ = decide_in_c(header_of(policy, tmp_path, "fixed"), instances, "fixed")
        expected = np.array([naive_fixed.decide(policy, instances, b) for b in range(len(instances))])
        # A time may be off by a microsecond where its exact value is half way between two.
        assert (decisions == expected).all(axis=1).mean() >= 0.98
        assert len(np.unique(decisions)) == 3


def test_integers_decide_as_their_plain_form_where_sizes_are_extreme(tmp_path):
    random, size = np.random.default_rng(5), 200
    plain = offload_gym.sample_instances("default", size, seed=4)
    factors = 10 ** random.uniform(-4, 4, (size, 1))
    instances = plain.replace(
        input_bits=np.rint(plain.input_bits * factors * (random.random((size, 8)) > 0.1)),
        output_bits=np.rint(plain.output_bits * factors[::-1]),
        workload_cycles=np.rint(plain.workload_cycles * factors * (random.random((size, 8)) > 0.1)),
        uplink_bps=np.where(
            np.arange(3) > 0, np.rint(plain.uplink_bps * 10 ** random.uniform(-3, 6, (size, 3))), np.inf
        ),
        wired_bps=np.where(random.random((size, 3)) < 0.3, np.inf, plain.wired_bps),
    )
    policy = offload_gym.make_policy("student")
    path = header_of(policy, tmp_path, "fixed")
    longest_us = np.array([np.max(naive_fixed.stage_times_us(instances, b)) for b in range(size)])
    known = longest_us < (2**32 - 1) // (2 * 8 + 4)
    assert 50 < known.sum() < size
    decisions, num_greedy = decide_in_c(path, instances[known], "fixed")
    expected = np.array([naive_fixed.decide(policy, instances, b) for b in np.flatnonzero(known)])
    assert num_greedy == 0
    assert (decisions == expected).all(axis=1).mean() > 0.95


@forms
@pytest.mark.parametrize("name", ["small-student", "teacher"])
def test_no_compiler_warns(name, numbers, weights, tmp_path):
    header_of(offload_gym.make_policy(name), tmp_path, numbers, weights)
    dialects = [("gcc", "c", "-std=c99"), ("clang", "c", "-std=c99")]
    dialects += [("g++", "cpp", "-std=c++17"), ("clang++", "cpp", "-std=c++17")]
    found = [dialect for dialect in dialects if shutil.which(dialect[0])]
    assert found
    for program, suffix, standard in found:
        done = compile_in(tmp_path, PROGRAM, standard, *STRICT, program=program, suffix=suffix)
        assert done.returncode == 0, done.stderr
    if numbers == "float":
        done = compile_in(tmp_path, PROGRAM, "-std=c99", *STRICT, "-Wdouble-promotion")
        assert done.returncode == 0, done.stderr


def test_single_precision_leaves_no_double():
    text = "double x = 1.0, y = 2e-3 * sqrt(3.5e+2); float f = 1.5f; int i = 3; x1.0 DBL_MAX 0x1.8 (0.5)"
    assert in_single_precision(text) == (
        "float x = 1.0f, y = 2e-3f * sqrtf(3.5e+2f); float f = 1.5f; int i = 3; x1.0 FLT_MAX 0x1.8 (0.5f)"
    )


def test_integers_need_no_floating_point(tmp_path):
    """The compiler refuses all floating point where it may use general registers alone."""
    if compile_in(tmp_path, "int main(void) { return 0; }", "-mgeneral-regs-only", "-c").returncode:
        pytest.skip("the compiler does not know -mgeneral-regs-only")
    for name in ("small-student", "student", "teacher"):
        header_of(offload_gym.make_policy(name), tmp_path, "fixed")
        done = compile_in(tmp_path, PROGRAM, "-std=c99", "-O2", "-mgeneral-regs-only", "-c")
        assert done.returncode == 0, done.stderr
    header_of(offload_gym.make_policy("small-student"), tmp_path, "float")
    assert compile_in(tmp_path, PROGRAM, "-std=c99", "-O2", "-mgeneral-regs-only", "-c").returncode != 0


def test_weights_in_eight_bits_are_as_near_as_they_can_be():
    random = np.random.default_rng(0)
    weight = random.normal(size=(5, 7)).astype(np.float32) * 10.0 ** np.arange(-3, 2)[:, None].astype(np.float32)
    weight[1] = 0.0
    bias = random.normal(size=5).astype(np.float32)
    whole, scales, _ = quantise((weight, bias))
    assert (np.abs(whole).max(axis=1) == [127, 0, 127, 127, 127]).all()
    assert (np.abs(whole * scales[:, None] - weight) <= 0.5001 * scales[:, None]).all()
    _, biases, factors, shifts = in_integers((weight, bias))
    assert ((factors >= 2**14) & (factors < 2**15)).all()
    found = factors / 2.0 ** (16 + shifts)
    np.testing.assert_allclose(found, scales, rtol=4e-5)
    np.testing.assert_allclose(biases * found / 4096, bias, rtol=1e-3, atol=1e-3)


def test_what_does_not_fit_into_integers_is_refused(tmp_path):
    network = random_network()
    (weight, bias), *others = network.encoder
    large = NetworkPolicy(network._replace(encoder=((weight * np.float32(1e4), bias), *others)))
    with pytest.raises(ValueError, match="weights or biases of the network are too large or too small for integers"):
        header_of(large, tmp_path, "fixed")
    wide = (np.ones((2, 600), dtype=np.float32), np.zeros(2, dtype=np.float32))
    with pytest.raises(ValueError, match="the network is too wide for sums of 32 bits"):
        largest_signal([wide])
    policy, path = NetworkPolicy(network), tmp_path / "policy.h"
    for changes, message in (
        ({"numbers": "half"}, "numbers is 'half'; it must be one of double, float, fixed"),
        ({"weights": "int4"}, "weights is 'int4'; it must be one of float, int8"),
        ({"numbers": "fixed", "weights": "float"}, "weights is 'float'; where numbers is 'fixed' it must be 'int8'"),
        ({"max_tasks": 1001}, "max_tasks is 1001; it must be at most 1000, as all arrays are on the stack"),
        ({"numbers": "fixed", "max_tasks": 33}, "max_tasks is 33; where numbers is 'fixed' it must be at most 32"),
    ):
        with pytest.raises(ValueError, match=message):
            offload_gym.export_c(policy, path, **changes)
    assert not list(tmp_path.iterdir())


def loaded(policy, folder, numbers):
    header_of(policy, folder, numbers)
    compile_in(folder, PROGRAM, "-std=c99", "-O2", "-shared", "-fPIC", "-o", "main.so").check_returncode()
    return ctypes.CDLL(str(folder / "main.so"))


@pytest.mark.parametrize("numbers", ["double", "float", "fixed"])
def test_bad_input_is_refused_by_a_code(numbers, tmp_path):
    library = loaded(offload_gym.make_policy("small-student"), tmp_path, numbers)
    instances = offload_gym.sample_instances("default", 1, seed=0)
    wrong = [(None, None, 0)]
    if numbers == "fixed":
        wrong += [(f, 0, -6) for f in ("cpu_hz", "uplink_bps", "downlink_bps", "wired_bps")]
        wrong += [("propagation_us", 2**32 - 1, -6), ("backlog_us", 2**32 - 1, -7)]
    else:
        bad = (np.nan, -1.0, np.inf)
        wrong += [(f, value, -5) for f in ("input_bits", "output_bits", "workload_cycles") for value in bad]
        rates = ("cpu_hz", "uplink_bps", "downlink_bps", "wired_bps")
        wrong += [(f, value, -6) for f in rates for value in (np.nan, 0.0, -1.0)]
        wrong += [("propagation_s", value, -6) for value in bad] + [("backlog_s", value, -7) for value in bad]
    wrong += [("cores", 9, -6), ("cores", -1, -6), ("cores", 0, 0), ("cores", 3, 1)]
    for field, value, code in wrong:
        tasks, locations, _ = records(instances, numbers)
        if field is not None:
            (tasks if field in tasks.dtype.names else locations)[field][0, 1] = value
        decision = np.full(8, -9, dtype=np.int32)
        given = [ctypes.c_void_p(array.ctypes.data) for array in (tasks, locations, decision)]
        assert library.call(8, *given) == code, (field, value)
        assert (decision >= 0).all() if code >= 0 else (decision == -9).all()
    for n in (0, -1, 9, 2**31 - 1, -(2**31)):
        assert library.call(n, *given) == -1


@pytest.mark.parametrize("numbers", ["double", "float", "fixed"])
def test_greedy_decides_where_the_network_does_not_fit(numbers, tmp_path):
    instances = offload_gym.sample_instances("default", 500, seed=6)
    instances = instances.replace(cores=np.broadcast_to([2, 1, 4], (500, 3)))
    decisions, num_greedy = decide_in_c(
        header_of(offload_gym.make_policy("student"), tmp_path, numbers), instances, numbers
    )
    assert num_greedy == 500
    expected = offload_gym.make_policy("greedy").decide(instances)
    assert (decisions == expected).all(axis=1).mean() > (0.98 if numbers == "fixed" else 0.995)
    # AND where times leave the numbers: greedy's makespan is a thousand hours, or infinite
    rate = {"double": 1e-305, "float": 1e-38, "fixed": 1.0}[numbers]
    long = instances.replace(
        cores=np.broadcast_to([1, 2, 8], (500, 3)),
        cpu_hz=np.full((500, 3), rate),
        workload_cycles=np.full((500, 8), 1e9),
    )
    path = tmp_path / "policy.h"
    if numbers != "fixed":
        assert decide_in_c(path, long, numbers)[1] == 500
        return
    with pytest.raises(ValueError, match="with the code -5"):  # longer everywhere than a time can be
        decide_in_c(path, long, numbers)
    # AND where it is so at some locations alone, greedy is greedy
    rates = np.where(np.arange(3) == 1, 1e9, 1.0)
    decisions, num_greedy = decide_in_c(path, long.replace(cpu_hz=np.broadcast_to(rates, (500, 3))), numbers)
    assert num_greedy == 500
    assert (decisions == 1).all()


def test_the_program_of_the_docs_compiles_and_decides(tmp_path):
    text = (Path(__file__).parents[1] / "docs" / "device.md").read_text(encoding="utf-8")
    program = text.split("```c\n")[1].split("```")[0]
    path = tmp_path / "policy.h"
    assert (
        main(["export", "small-student", str(path), *["--max-tasks", "8", "--numbers", "fixed", "--name", "student"]])
        == 0
    )
    options = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-O2", "-o", "main"]
    done = compile_in(tmp_path, program, *options)
    assert done.returncode == 0, done.stderr
    decided = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout.split()
    assert len(decided) == 5
    assert set(decided) <= set("012")
    assert len(program.splitlines()) <= 42


@pytest.mark.parametrize("numbers", ["double", "float", "fixed"])
def test_vectors_are_what_the_header_decides(numbers, tmp_path, capsys):
    vectors, path = tmp_path / "vectors.h", tmp_path / "policy.h"
    given = ["export", "student", str(path), "--numbers", numbers, "--name", "net", "--vectors", str(vectors)]
    assert main([*given, "--max-tasks", "8", "--num-instances", "300", "--seed", "5"]) == 0
    printed = capsys.readouterr().out
    assert "of 300 instances of default (seed 5), " in printed
    # The comment says what was printed.
    said = " ".join(line.removeprefix(" * ") for line in path.read_text().splitlines()[:12])
    assert printed.split("(seed 5), ")[1].splitlines()[0] in said
    program = """
#include <string.h>
#include "policy.h"
#include "vectors.h"
int main(void)
{
    int decision[NET_VECTOR_TASKS], b;
    for (b = 0; b < NET_NUM_VECTORS; b++)
        if (net_decide(NET_VECTOR_TASKS, net_vector_tasks[b], net_vector_locations[b], net_vector_radio_backlog[b],
                       decision)
            || memcmp(decision, net_vector_decisions[b], sizeof decision))
            return 1;
    return 0;
}
"""
    assert compile_in(tmp_path, program, "-std=c99", "-Wall", "-Wextra", "-Werror", "-o", "main").returncode == 0
    assert subprocess.run([tmp_path / "main"]).returncode == 0
    # AND they fail where a decision is another
    text = vectors.read_text()
    at = text.rindex("{{") + 2
    vectors.write_text(f"{text[:at]}{(int(text[at]) + 1) % 3}{text[at + 1 :]}")
    compile_in(tmp_path, program, "-std=c99", "-o", "main")
    assert subprocess.run([tmp_path / "main"]).returncode == 1


def test_export_says_what_it_cannot_do(tmp_path, capsys):
    path = str(tmp_path / "policy.h")
    for given, sentence in (
        (
            ["greedy", path],
            "policy is 'greedy'; no file has this name, and the shipped networks are teacher, student, ",
        ),
        (["student", path, "--num-instances", "0"], "num_instances is 0; it must be"),
        (["student", path, "--preset", "dag", "--vectors", "v.h"], "vectors is 'v.h'; they need a network for indepen"),
        (["student", path, "--numbers", "fixed", "--weights", "float"], "weights is 'float'; where numbers is 'fixed'"),
    ):
        assert main(["export", *given]) == 2
        assert sentence in capsys.readouterr().err
    # Nothing is written before all is known to fit: what was trained for other locations, and one file for both
    weights = Path(offload_gym.__file__).parent / "weights"
    for given, sentence in (
        ([str(weights / "multi_edge-student.safetensors"), path, "--preset", "default"], "cores"),
        (["student", path, "--vectors", path], "it must be another file than the header"),
        (["student", path, "--seed", "-1"], "seed is -1"),
        (
            [str(weights / "default-student.safetensors"), path, "--preset", "stream"],
            "preset is 'stream'; for a network",
        ),
    ):
        assert main(["export", *given]) == 2
        assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:the policy")
def test_export_tries_a_header_of_few_tasks_on_few_and_a_file_on_what_it_says(tmp_path, capsys):
    path = tmp_path / "policy.h"
    assert main(["export", "student", str(path), "--max-tasks", "3", "--num-instances", "50"]) == 0
    assert "of 50 instances of default with 3 tasks (seed 0), " in capsys.readouterr().out
    file = Path(offload_gym.__file__).parent / "weights" / "multi_edge-small-student.safetensors"
    assert main(["export", str(file), str(path), "--num-instances", "50"]) == 0
    assert "of 50 instances of multi_edge (seed 0), " in capsys.readouterr().out
    for preset in ("stream", "dag"):
        assert main(["export", "student", str(path), "--preset", preset]) == 0
        assert "not tried: that is for independent tasks only" in capsys.readouterr().out


@pytest.mark.device
@pytest.mark.parametrize("numbers", ["double", "float", "fixed"])
def test_deviations_from_misra_are_those_of_the_docs(numbers, tmp_path):
    if shutil.which("cppcheck") is None:
        pytest.fail("there is no cppcheck: on Debian, apt-get install cppcheck")
    header_of(offload_gym.make_policy("small-student"), tmp_path, numbers)
    (tmp_path / "main.c").write_text(PROGRAM)
    command = ["cppcheck", "--addon=misra", "--std=c99", "--enable=style", "main.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    found = set(re.findall(r"\[misra-c2012-([\d.]+)\]", done.stderr))
    assert "12.1" in found  # it looked
    text = (Path(__file__).parents[1] / "docs" / "device.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.split("## MISRA C")[1].splitlines() if line.startswith("| ")]
    told = {rule.strip() for row in rows for rule in row.split(",")}
    # Of the program, not of the header: 8.4, a function that others call has no declaration.
    assert found - {"8.4"} <= told


def fuzz(folder, numbers, weights, name, calls):
    header_of(offload_gym.make_policy(name), folder, numbers, weights)
    unit = "us" if numbers == "fixed" else "s"
    number = {"double": "double", "float": "float", "fixed": "uint64_t"}[numbers]
    text = (
        FUZZER.replace("RANDOM", RANDOM)
        .replace("NUMBER", number)
        .replace("TIME", "uint32_t" if numbers == "fixed" else number)
    )
    text = text.replace("PROPAGATION", f"propagation_{unit}").replace("BACKLOG", f"backlog_{unit}")
    options = ["-std=c99", "-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover=all", "-o", "main"]
    done = compile_in(folder, text, *options, "-lm")
    if done.returncode and "sanitize" in done.stderr:
        pytest.skip("the compiler has no sanitizers")
    done = subprocess.run([folder / "main", str(calls)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    codes = dict(zip(range(-7, 2), map(int, done.stdout.split()), strict=True))
    assert sum(codes.values()) == calls
    return codes


@forms
def test_random_input_does_no_harm(numbers, weights, tmp_path):
    codes = fuzz(tmp_path, numbers, weights, "student", 5_000)
    assert all(codes[code] for code in (0, 1, -1, -6))
    assert codes[-5] or numbers == "fixed"


@pytest.mark.slow
@forms
@pytest.mark.parametrize("name", ["small-student", "teacher"])  # half a million each
def test_a_million_calls_with_random_input_do_no_harm(name, numbers, weights, tmp_path):
    fuzz(tmp_path, numbers, weights, name, 500_000)
