"""Trained networks as C99 headers for the device."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from offload_gym.delay import MEAN, objective_code
from offload_gym.export import exportable_network
from offload_gym.files import replacing
from offload_gym.inference import CHAINS, NOT_TRIED, SHOWN
from offload_gym.instances import check_count
from offload_gym.observation import row_size, state_size
from offload_gym.runtime import NetworkPolicy

Layers = Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]


def export_c(policy: NetworkPolicy, path: str | Path, max_tasks: int = 32, name: str = "offload_gym") -> dict[str, int]:
    """Write a network as one C99 header that depends on nothing and allocates nothing.

    The header defines ``<name>_decide``, which makes the decisions of ``policy.decide`` for one instance whose
    locations have one backlog each. Times are in double and the network in single precision, as here; sums of the
    network are in another order, so that two scores that are equal but for rounding may be told apart otherwise.

    Args:
        policy: a network for independent tasks, with an encoder, and without local search behind it.
        path: where to write; missing folders are made, an existing file is replaced.
        max_tasks: most tasks of one call.
        name: what all names in the header begin with, so that a program can have several networks.

    Returns:
        Bytes by use: "flash" of the weights, and "ram" of the arrays on the stack during a call.

    Raises:
        ValueError: the policy is of another kind, max_tasks is below 1, or the name is no name in C.
    """
    check_count("max_tasks", max_tasks)
    if not (name.isascii() and name.isidentifier()):
        raise ValueError(f"name is {name!r}; it must be letters, digits and underscores, and not begin with a digit")
    network = exportable_network(policy)
    cores = network.cores
    joint = network.form == "joint"
    num_locations, code = len(cores), len(network.encoder[-1][1])
    features, state = row_size(num_locations) - 1, state_size(sum(cores), num_locations, False, network.roll_outs)
    inputs = (1 + joint) * code + features + state
    outputs = [len(bias) for _, bias in (*network.encoder, *network.head)]
    widest = max(inputs, *outputs)
    tried = int(policy.roll_outs != NOT_TRIED)
    doubles = 4 * max_tasks * num_locations + (2 + tried) * num_locations * max(cores) + 3 * num_locations
    floats = max_tasks * features + (max_tasks + 1) * code + 2 * widest + state + max(outputs)
    ram = 8 * doubles + 4 * floats + 4 * (1 + tried) * max_tasks
    flash = 4 * network.num_parameters
    objective = network.objective
    defines = {
        "MAX_TASKS": max_tasks,
        "NUM_LOCATIONS": num_locations,
        "MAX_CORES": max(cores),
        "CODE": code,
        "FEATURES": features,
        "STATE": state,
        "INPUTS": inputs,
        "WIDEST": widest,
        "JOINT": int(joint),
        "KEEP_BEST": int(policy.keep_best),
        "TRIED": tried,
        "SHOWN": int(policy.roll_outs == SHOWN),
        "MEAN": int(objective_code(objective) == MEAN),
    }
    layers = [_layer(f"encoder_{i}", *layer, True) for i, layer in enumerate(network.encoder)]
    last = len(network.head) - 1
    layers += [_layer(f"head_{i}", *layer, i < last) for i, layer in enumerate(network.head)]
    text = _HEADER.format(
        scenario=_comment(network.scenario),
        objective=objective,
        cores=", ".join(map(str, cores)),
        parameters=network.num_parameters,
        flash=flash,
        ram=ram,
        max_tasks=max_tasks,
        defines="\n".join(f"#define OFFLOAD_GYM_{name} {value}" for name, value in defines.items()),
        layers="\n".join(layers),
        checksum=f"{zlib.crc32(chr(10).join((*map(str, defines.items()), *layers)).encode())}u",
        encoder=_calls("encoder", len(network.encoder)),
        head=_calls("head", len(network.head)),
    )
    text = text.replace("offload_gym_", f"{name}_").replace("OFFLOAD_GYM_", f"{name.upper()}_")
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="ascii")
    return {"flash": flash, "ram": ram}


def _comment(text: str) -> str:
    """What can stand inside a comment in C."""
    return text.encode("ascii", "backslashreplace").decode().replace("*/", "* /").replace("\n", " ")


def _layer(name: str, weight: NDArray[np.float32], bias: NDArray[np.float32], rectified: bool) -> str:
    outputs, inputs = weight.shape
    # Nine digits give each single-precision number back exactly.
    numbers = ", ".join(f"{value:.9e}f" for value in (*weight.T.ravel(), *bias))
    whole = inputs - inputs % CHAINS
    # Some inputs at a time, as each addition to a sum waits for the one before.
    terms = " + ".join(f"x[j + {c}] * weights[(j + {c}) * {outputs} + o]" for c in range(CHAINS))
    loops = []
    for first, end, step, added in (
        (0, whole, CHAINS, terms),
        (whole, inputs, 1, f"x[j] * weights[j * {outputs} + o]"),
    ):
        if first < end:
            loops.append(f"for (j = {first}; j < {end}; j += {step})\n        for (o = 0; o < {outputs}; o++)\n")
            loops[-1] += f"            sum[o] += {added};\n"
    result = "sum[o] > 0.0f ? sum[o] : 0.0f" if rectified else "sum[o]"
    return f"""
static void offload_gym_{name}(const float *x, float *y)
{{
    static const float weights[{weight.size + bias.size}] = {{{numbers}}};
    float sum[{outputs}];
    int j, o;
    for (o = 0; o < {outputs}; o++)
        sum[o] = weights[{weight.size} + o];
    {"    ".join(loops)}    for (o = 0; o < {outputs}; o++)
        y[o] = {result};
}}"""


def _calls(part: str, count: int) -> str:
    """Calls of the layers in turn between ``a``, where the input and in the end the result is, and ``b``."""
    lines = []
    for i in range(count):
        lines.append(f"offload_gym_{part}_{i}({'a, b' if i % 2 == 0 else 'b, a'});")
    if count % 2:
        lines.append("{ float *swapped = a; a = b; b = swapped; }")
    return "\n            ".join(lines)


_HEADER = """\
/* Task offloading decisions of a trained network. Written by offload_gym.export_c; do not edit.
 *
 * Scenario: {scenario}; objective: {objective}; cores of the locations: {cores}; {parameters} parameters.
 * Memory: {flash} bytes of weights, {ram} bytes of arrays on the stack for up to {max_tasks} tasks; no allocation.
 * C99, no other header is needed. Compile with -std=c99 or -ffp-contract=off: fused products round in another way.
 */
#ifdef OFFLOAD_GYM_POLICY_H
#if OFFLOAD_GYM_POLICY_H != {checksum}
#error "two policies have the same names: give export_c another name for one of them"
#endif
#else
#define OFFLOAD_GYM_POLICY_H {checksum}

{defines}

typedef struct {{
    double input_bits, output_bits, workload_cycles;
}} offload_gym_task;

/* Location 0 is the device: its rates and its propagation time are not read. A rate may be infinite. */
typedef struct {{
    double cpu_hz, uplink_bps, downlink_bps, wired_bps, propagation_s;
    double backlog_s; /* until its cores are free, the same for all of them */
}} offload_gym_location;

static const int offload_gym_cores[OFFLOAD_GYM_NUM_LOCATIONS] = {{{cores}}};

/* Send, path, run and return time of each task at each location. */
typedef double offload_gym_times[OFFLOAD_GYM_NUM_LOCATIONS][4];
/* Ascending times at which the cores of each location are free. */
typedef double offload_gym_free[OFFLOAD_GYM_NUM_LOCATIONS][OFFLOAD_GYM_MAX_CORES];
{layers}

static float offload_gym_squash(double x)
{{
    return (float)(x <= 2.0 ? x : 3.0 - 1.0 / (x - 1.0));
}}

/* Finish of a task if it is placed at k next. */
static double offload_gym_try(const double *times, int k, double radio_s, double free_s)
{{
    double ready_s = k > 0 ? (radio_s + times[0]) + times[1] : 0.0;
    return (ready_s > free_s ? ready_s : free_s) + times[2];
}}

static void offload_gym_take(double *free_s, int cores, double finish_s)
{{
    int m = 1;
    while (m < cores && free_s[m] < finish_s) {{
        free_s[m - 1] = free_s[m];
        m++;
    }}
    free_s[m - 1] = finish_s;
}}

static void offload_gym_copy(offload_gym_free source, offload_gym_free target)
{{
    int k, m;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        for (m = 0; m < offload_gym_cores[k]; m++)
            target[k][m] = source[k][m];
}}

/* Greedy earliest completion from task `first` on. */
static void offload_gym_complete(offload_gym_times *times, int first, int num_tasks, double radio_s,
                                 offload_gym_free free_s, int *decision, double *largest_s, double *total_s)
{{
    int i, k;
    *largest_s = *total_s = 0.0;
    for (i = first; i < num_tasks; i++) {{
        int best_k = 0;
        double best_s = 0.0, best_finish_s = 0.0;
        for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++) {{
            double finish_s = offload_gym_try(times[i][k], k, radio_s, free_s[k][0]);
            double completion_s = finish_s + times[i][k][3];
            if (k == 0 || completion_s < best_s) {{
                best_s = completion_s;
                best_finish_s = finish_s;
                best_k = k;
            }}
        }}
        radio_s += times[i][best_k][0];
        offload_gym_take(free_s[best_k], offload_gym_cores[best_k], best_finish_s);
        decision[i] = best_k;
        *largest_s = *largest_s > best_s ? *largest_s : best_s;
        *total_s += best_s;
    }}
}}

/* Fills decision[0], ..., decision[num_tasks - 1] with locations. num_tasks must be from 1 to OFFLOAD_GYM_MAX_TASKS;
 * returns 0, or -1 where it is not, and then decides nothing. */
static int offload_gym_decide(int num_tasks, const offload_gym_task *tasks, const offload_gym_location *locations,
                              double radio_backlog_s, int *decision)
{{
    offload_gym_times times[OFFLOAD_GYM_MAX_TASKS];
    offload_gym_free start_s, free_s, trial_free_s;
    double finishes_s[OFFLOAD_GYM_NUM_LOCATIONS], largest_s[OFFLOAD_GYM_NUM_LOCATIONS];
    double totals_s[OFFLOAD_GYM_NUM_LOCATIONS];
    float rows[OFFLOAD_GYM_MAX_TASKS][OFFLOAD_GYM_FEATURES], later[OFFLOAD_GYM_MAX_TASKS + 1][OFFLOAD_GYM_CODE];
    float buffers[2][OFFLOAD_GYM_WIDEST], state[OFFLOAD_GYM_STATE];
    int chosen[OFFLOAD_GYM_MAX_TASKS], trial[OFFLOAD_GYM_MAX_TASKS];
    double makespan_s, total_s, per_s, greedy_largest_s, greedy_total_s, best_value, radio_s;
    int i, j, k, m, e, at, stage;

    if (num_tasks < 1 || num_tasks > OFFLOAD_GYM_MAX_TASKS)
        return -1;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++) {{
        const offload_gym_location *here = &locations[k];
        double cycle_s = 1.0 / here->cpu_hz;
        double uplink_s = 0.0, downlink_s = 0.0, wired_s = 0.0, propagation_s = 0.0;
        if (k > 0) {{
            uplink_s = 1.0 / here->uplink_bps;
            downlink_s = 1.0 / here->downlink_bps;
            wired_s = 1.0 / here->wired_bps;
            propagation_s = here->propagation_s;
        }}
        for (m = 0; m < offload_gym_cores[k]; m++)
            start_s[k][m] = here->backlog_s;
        for (i = 0; i < num_tasks; i++) {{
            const offload_gym_task *task = &tasks[i];
            times[i][k][0] = task->input_bits * uplink_s;
            times[i][k][1] = task->input_bits * wired_s + propagation_s;
            times[i][k][2] = task->workload_cycles * cycle_s;
            times[i][k][3] = task->output_bits * downlink_s + (task->output_bits * wired_s + propagation_s);
        }}
    }}
    offload_gym_copy(start_s, free_s);
    offload_gym_complete(times, 0, num_tasks, radio_backlog_s, free_s, decision, &makespan_s, &total_s);

    /* From here on times are in terms of the makespan of greedy earliest completion. */
    per_s = makespan_s > 0.0 ? 1.0 / makespan_s : 1.0;
    greedy_largest_s = makespan_s * per_s;
    greedy_total_s = total_s * per_s;
    best_value = OFFLOAD_GYM_MEAN ? greedy_total_s : greedy_largest_s;
    for (i = 0; i < num_tasks; i++)
        for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
            for (stage = 0; stage < 4; stage++)
                times[i][k][stage] *= per_s;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        for (m = 0; m < offload_gym_cores[k]; m++)
            free_s[k][m] = start_s[k][m] * per_s;

    for (e = 0; e < OFFLOAD_GYM_CODE; e++)
        later[num_tasks][e] = 0.0f;
    for (i = num_tasks - 1; i >= 0; i--) {{
        float *a = buffers[0], *b = buffers[1];
        rows[i][0] = offload_gym_squash(times[i][0][2]);
        for (k = 1; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
            for (stage = 0; stage < 4; stage++)
                rows[i][4 * k - 3 + stage] = offload_gym_squash(times[i][k][stage]);
        for (e = 0; e < OFFLOAD_GYM_FEATURES; e++)
            a[e] = rows[i][e];
        {{
            {encoder}
        }}
        for (e = 0; e < OFFLOAD_GYM_CODE; e++)
            later[i][e] = later[i + 1][e] + a[e];
    }}

    radio_s = radio_backlog_s * per_s;
    makespan_s = total_s = 0.0;
    for (i = 0; i < num_tasks; i++) {{
        float *a = buffers[0], *b = buffers[1];
        int best_k = 0;
        if (i == 0 || !OFFLOAD_GYM_JOINT) {{
            int greedy_k = 0;
            double least_s = 0.0;
            state[0] = offload_gym_squash(radio_s);
            state[1] = offload_gym_squash(makespan_s);
            state[2] = (float)((double)(num_tasks - i) / num_tasks);
            at = 3;
            for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
                for (m = 0; m < offload_gym_cores[k]; m++)
                    state[at++] = offload_gym_squash(free_s[k][m]);
            for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++) {{
                double completion_s;
                finishes_s[k] = offload_gym_try(times[i][k], k, radio_s, free_s[k][0]);
                completion_s = finishes_s[k] + times[i][k][3];
                largest_s[k] = makespan_s > completion_s ? makespan_s : completion_s;
                totals_s[k] = total_s + completion_s;
                state[at++] = offload_gym_squash(completion_s);
                if (k == 0 || completion_s < least_s) {{
                    least_s = completion_s;
                    greedy_k = k;
                }}
            }}
            if (i == 0) /* times in other units may break a tie in another way */
                greedy_k = decision[0];
            for (k = 0; OFFLOAD_GYM_TRIED && k < OFFLOAD_GYM_NUM_LOCATIONS; k++) {{
                double reached_s = greedy_largest_s, reached_total_s = greedy_total_s;
                if (k != greedy_k) {{
                    double value;
                    offload_gym_copy(free_s, trial_free_s);
                    offload_gym_take(trial_free_s[k], offload_gym_cores[k], finishes_s[k]);
                    offload_gym_complete(times, i + 1, num_tasks, radio_s + times[i][k][0], trial_free_s, trial,
                                         &reached_s, &reached_total_s);
                    reached_s = reached_s > largest_s[k] ? reached_s : largest_s[k];
                    reached_total_s = totals_s[k] + reached_total_s;
                    value = OFFLOAD_GYM_MEAN ? reached_total_s : reached_s;
                    if (OFFLOAD_GYM_KEEP_BEST && value < best_value) {{
                        best_value = value;
                        for (j = 0; j < i; j++)
                            decision[j] = chosen[j];
                        decision[i] = k;
                        for (j = i + 1; j < num_tasks; j++)
                            decision[j] = trial[j];
                    }}
                }}
                largest_s[k] = reached_s;
                totals_s[k] = reached_total_s;
                if (OFFLOAD_GYM_SHOWN) {{
                    state[at + k] = offload_gym_squash(reached_s);
                    state[at + OFFLOAD_GYM_NUM_LOCATIONS + k] = offload_gym_squash(reached_total_s / num_tasks);
                }}
            }}
        }}
        at = 0;
        if (OFFLOAD_GYM_JOINT)
            for (e = 0; e < OFFLOAD_GYM_CODE; e++)
                a[at++] = later[0][e] - later[i][e];
        for (e = 0; e < OFFLOAD_GYM_CODE; e++)
            a[at++] = later[i + 1][e];
        for (e = 0; e < OFFLOAD_GYM_FEATURES; e++)
            a[at++] = rows[i][e];
        for (e = 0; e < OFFLOAD_GYM_STATE; e++)
            a[at++] = state[e];
        {{
            {head}
        }}
        for (k = 1; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
            if (a[k] > a[best_k])
                best_k = k;
        chosen[i] = best_k;
        if (!OFFLOAD_GYM_JOINT) {{
            double finish_s = offload_gym_try(times[i][best_k], best_k, radio_s, free_s[best_k][0]);
            double completion_s = finish_s + times[i][best_k][3];
            greedy_largest_s = largest_s[best_k];
            greedy_total_s = totals_s[best_k];
            radio_s += times[i][best_k][0];
            makespan_s = makespan_s > completion_s ? makespan_s : completion_s;
            total_s += completion_s;
            offload_gym_take(free_s[best_k], offload_gym_cores[best_k], finish_s);
        }}
    }}
    if (OFFLOAD_GYM_JOINT && OFFLOAD_GYM_KEEP_BEST) {{
        for (i = 0; i < num_tasks; i++) {{
            double finish_s, completion_s;
            k = chosen[i];
            finish_s = offload_gym_try(times[i][k], k, radio_s, free_s[k][0]);
            completion_s = finish_s + times[i][k][3];
            radio_s += times[i][k][0];
            makespan_s = makespan_s > completion_s ? makespan_s : completion_s;
            total_s += completion_s;
            offload_gym_take(free_s[k], offload_gym_cores[k], finish_s);
        }}
    }}
    /* What the network chose is one of the roll-outs of its last choice. */
    if (!OFFLOAD_GYM_KEEP_BEST ||
        ((OFFLOAD_GYM_JOINT || !OFFLOAD_GYM_TRIED) && (OFFLOAD_GYM_MEAN ? total_s : makespan_s) < best_value))
        for (i = 0; i < num_tasks; i++)
            decision[i] = chosen[i];
    return 0;
}}

#endif
"""
