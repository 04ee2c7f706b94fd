"""Trained networks as C99 headers for the device.

A header is ``_HEADER`` with the layers and sizes of one network. Its functions are the phases of
``offload_gym.networks.independent_kernel`` under the same names, in the same order.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from string import Template

from offload_gym.array_checks import check_count
from offload_gym.checks import quoted
from offload_gym.delay import MEAN, objective_code
from offload_gym.networks.c_layers import calls, check_name, comment, layer, write_header
from offload_gym.networks.graph_header import export_graph_c
from offload_gym.networks.graph_policy import GraphPolicy
from offload_gym.networks.independent_kernel import NOT_TRIED, SHOWN
from offload_gym.networks.onnx_model import exportable_network
from offload_gym.networks.policy import NetworkPolicy
from offload_gym.networks.policy_file import Network
from offload_gym.networks.stream_header import export_stream_c
from offload_gym.observation import BEFORE_CORES, row_size, state_size
from offload_gym.streams.policies import PlanPolicy

MAX_TASKS = 32


def export_c(
    policy: NetworkPolicy | GraphPolicy | PlanPolicy,
    path: str | Path,
    max_tasks: int | None = None,
    name: str = "offload_gym",
) -> dict[str, int]:
    """Write a network as one C99 header that depends on nothing and allocates nothing.

    The header defines ``<name>_decide``, which makes the decisions of ``policy.decide`` for one instance whose
    locations have one backlog each. Times are in double and the network in single precision, as here; sums of the
    network are in another order, so that two scores that are equal but for rounding may be told apart otherwise.

    Args:
        policy: a network for independent tasks, with an encoder, and without local search behind it; one of graphs,
            see ``offload_gym.networks.graph_header.export_graph_c``, which takes sizes other than these, too; or one of
            streams, whose header decides a job of one task when it arrives, see
            ``offload_gym.networks.stream_header.export_stream_c``.
        path: where to write; missing folders are made, an existing file is replaced.
        max_tasks: most tasks of one call; 32 where it is not given. Not for a network of streams.
        name: what all names in the header begin with, so that a program can have several networks.

    Returns:
        Bytes by use: "flash" of the weights, and "ram" of the arrays during a call: on the stack, but of a network of
        graphs in a struct that the caller has.

    Raises:
        ValueError: the policy is of another kind, max_tasks is below 1, or the name is no name in C.
    """
    if isinstance(policy, PlanPolicy):
        if max_tasks is not None:
            raise ValueError(f"max_tasks is {quoted(max_tasks)}; for a network of streams it must be None")
        return export_stream_c(policy, path, name=name)
    max_tasks = MAX_TASKS if max_tasks is None else max_tasks
    if isinstance(policy, GraphPolicy):
        return export_graph_c(policy, path, max_tasks, name=name)
    check_count("max_tasks", max_tasks)
    check_name(name)
    network = exportable_network(policy)
    sizes = _sizes(policy, max_tasks)
    memory = {"flash": 4 * network.num_parameters, "ram": _ram(network, sizes)}
    write_header(path, _fill(network, sizes, memory), name)
    return memory


def _sizes(policy: NetworkPolicy, max_tasks: int) -> dict[str, int]:
    """What the header defines as numbers."""
    network = policy.network
    num_locations, code = len(network.cores), len(network.encoder[-1][1])
    joint = network.form == "joint"
    features = row_size(num_locations) - 1
    state = state_size(sum(network.cores), num_locations, False, network.roll_outs)
    inputs = (1 + joint) * code + features + state  # of the head
    return {
        "MAX_TASKS": max_tasks,
        "NUM_LOCATIONS": num_locations,
        "MAX_CORES": max(network.cores),
        "CORES_AT": BEFORE_CORES,  # in the state
        "OPTIONS_AT": BEFORE_CORES + sum(network.cores),
        "CODE": code,
        "FEATURES": features,
        "STATE": state,
        "WIDEST": max(inputs, _widest_output(network)),
        "JOINT": int(joint),
        "KEEP_BEST": int(policy.keep_best),
        "TRIED": int(policy.roll_outs != NOT_TRIED),
        "SHOWN": int(policy.roll_outs == SHOWN),
        "MEAN": int(objective_code(network.objective) == MEAN),
    }


def _widest_output(network: Network) -> int:
    return max(len(bias) for _, bias in (*network.encoder, *network.head))


def _ram(network: Network, sizes: dict[str, int]) -> int:
    """Bytes of the arrays on the stack: those of ``offload_gym_memory``, of a roll-out, and the sums of a layer."""
    n, num_locations, tried = sizes["MAX_TASKS"], sizes["NUM_LOCATIONS"], sizes["TRIED"]
    doubles = 4 * n * num_locations + (2 + tried) * num_locations * sizes["MAX_CORES"] + 3 * num_locations
    floats = n * sizes["FEATURES"] + (n + 1) * sizes["CODE"] + sizes["STATE"] + 2 * sizes["WIDEST"]
    return 8 * doubles + 4 * (floats + _widest_output(network)) + 4 * (1 + tried) * n


def _fill(network: Network, sizes: dict[str, int], memory: dict[str, int]) -> str:
    """The header of a network."""
    last = len(network.head) - 1
    layers = [layer(f"encoder_{i}", *pair, "relu") for i, pair in enumerate(network.encoder)]
    layers += [layer(f"head_{i}", *pair, "relu" if i < last else "") for i, pair in enumerate(network.head)]
    cores = ", ".join(map(str, network.cores))
    # Equal for equal networks only, whatever their files say of where they come from.
    content = "\n".join((*map(str, sizes.items()), cores, *layers))
    return Template(_HEADER).substitute(
        memory,
        scenario=comment(network.scenario),
        objective=network.objective,
        cores=cores,
        parameters=network.num_parameters,
        max_tasks=sizes["MAX_TASKS"],
        defines="\n".join(f"#define OFFLOAD_GYM_{name} {value}" for name, value in sizes.items()),
        layers="\n".join(layers),
        checksum=f"{zlib.crc32(content.encode())}u",
        encoder=calls("encoder", len(network.encoder), 8),
        head=calls("head", len(network.head), 4),
    )


_HEADER = """\
/* Task offloading decisions of a trained network. Written by offload_gym.export_c; do not edit.
 *
 * Scenario: $scenario; objective: $objective; cores of the locations: $cores; $parameters parameters.
 * Memory: $flash bytes of weights, $ram bytes of arrays on the stack for up to $max_tasks tasks; no allocation.
 * C99, no other header is needed. Compile with -std=c99 or -ffp-contract=off: fused products round in another way.
 */
#ifdef OFFLOAD_GYM_POLICY_H
#if OFFLOAD_GYM_POLICY_H != $checksum
#error "two policies have the same names: give export_c another name for one of them"
#endif
#else
#define OFFLOAD_GYM_POLICY_H $checksum

$defines

typedef struct {
    double input_bits, output_bits, workload_cycles;
} offload_gym_task;

/* Location 0 is the device: its rates and its propagation time are not read. A rate may be infinite. */
typedef struct {
    double cpu_hz, uplink_bps, downlink_bps, wired_bps, propagation_s;
    double backlog_s; /* until its cores are free, the same for all of them */
} offload_gym_location;

static const int offload_gym_cores[OFFLOAD_GYM_NUM_LOCATIONS] = {$cores};

/* Ascending times at which the cores of each location are free. A row has memory for the most cores that one has: where
 * it begins is then known without a look at a table, on which greedy earliest completion would wait at every task. */
typedef double offload_gym_free[OFFLOAD_GYM_NUM_LOCATIONS][OFFLOAD_GYM_MAX_CORES];

/* What the phases fill for one instance. Times are in seconds until offload_gym_start divides them by the scale. */
typedef struct {
    int num_tasks;                                                     /* of the instance */
    double times[OFFLOAD_GYM_MAX_TASKS][OFFLOAD_GYM_NUM_LOCATIONS][4]; /* send, path, run and return time */
    offload_gym_free core_s;                                          /* before the first task */
    offload_gym_free free_s;                                           /* after the tasks that are placed */
    float rows[OFFLOAD_GYM_MAX_TASKS][OFFLOAD_GYM_FEATURES];
    float later[OFFLOAD_GYM_MAX_TASKS + 1][OFFLOAD_GYM_CODE]; /* sums of the encodings from each task on */
    float state[OFFLOAD_GYM_STATE];
    float buffers[2][OFFLOAD_GYM_WIDEST];                     /* what layers read and write */
    int decision[OFFLOAD_GYM_MAX_TASKS];                      /* what the network itself chose */
    /* Of each location, if the next task goes there: */
    double finishes_s[OFFLOAD_GYM_NUM_LOCATIONS];
    double largest_s[OFFLOAD_GYM_NUM_LOCATIONS]; /* makespan so far, once roll-outs are tried of the whole schedule */
    double totals_s[OFFLOAD_GYM_NUM_LOCATIONS];  /* the same for the sum of completions */
} offload_gym_memory;

/* A schedule in two numbers: largest completion, and sum of completions. */
typedef struct {
    double largest_s, total_s;
} offload_gym_ends;

/* The schedule of the tasks that are placed. */
typedef struct {
    double radio_s, largest_s, total_s;
    offload_gym_ends greedy; /* of the schedule in which greedy earliest completion places the later tasks */
    double best_value;       /* of all whole schedules that were tried */
} offload_gym_so_far;
$layers

static float offload_gym_squash(double x)
{
    return (float)(x <= 2.0 ? x : 3.0 - 1.0 / (x - 1.0));
}

static double offload_gym_max(double a, double b)
{
    return a > b ? a : b;
}

/* What is minimised. */
static double offload_gym_value(offload_gym_ends ends)
{
    return OFFLOAD_GYM_MEAN ? ends.total_s : ends.largest_s;
}

static void offload_gym_copy(offload_gym_free source, offload_gym_free target)
{
    int k, m;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        for (m = 0; m < offload_gym_cores[k]; m++)
            target[k][m] = source[k][m];
}

/* Finish of a task of these times if it is placed at k next, where the first core is free at core_s. */
static double offload_gym_try_sorted(const double *times, int k, double radio_s, double core_s)
{
    double ready_s = k > 0 ? (radio_s + times[0]) + times[1] : 0.0;
    return offload_gym_max(ready_s, core_s) + times[2];
}

/* The first core of k is taken until finish_s; its times stay ascending. */
static void offload_gym_take_sorted(offload_gym_free free_s, int k, double finish_s)
{
    int m = 0;
    while (m + 1 < offload_gym_cores[k] && free_s[k][m + 1] < finish_s) {
        free_s[k][m] = free_s[k][m + 1];
        m++;
    }
    free_s[k][m] = finish_s;
}

/* Greedy earliest completion from task `first` on. */
static offload_gym_ends offload_gym_complete(const offload_gym_memory *memory, int first, double radio_s,
                                             offload_gym_free free_s, int *decision)
{
    offload_gym_ends ends = {0.0, 0.0};
    int i, k;
    for (i = first; i < memory->num_tasks; i++) {
        int best_k = 0;
        double best_s = 0.0, best_finish_s = 0.0;
        for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++) {
            const double *times = memory->times[i][k];
            double finish_s = offload_gym_try_sorted(times, k, radio_s, free_s[k][0]);
            double completion_s = finish_s + times[3];
            if (k == 0 || completion_s < best_s) {
                best_s = completion_s;
                best_finish_s = finish_s;
                best_k = k;
            }
        }
        radio_s += memory->times[i][best_k][0];
        offload_gym_take_sorted(free_s, best_k, best_finish_s);
        decision[i] = best_k;
        ends.largest_s = offload_gym_max(ends.largest_s, best_s);
        ends.total_s += best_s;
    }
    return ends;
}

/* Fills the stage times of one instance and the times at which its cores are free. */
static void offload_gym_open(const offload_gym_task *tasks, const offload_gym_location *locations,
                             offload_gym_memory *memory)
{
    int i, k, m;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++) {
        const offload_gym_location *here = &locations[k];
        double cycle_s = 1.0 / here->cpu_hz;
        double uplink_s = 0.0, downlink_s = 0.0, wired_s = 0.0, propagation_s = 0.0;
        if (k > 0) {
            uplink_s = 1.0 / here->uplink_bps;
            downlink_s = 1.0 / here->downlink_bps;
            wired_s = 1.0 / here->wired_bps;
            propagation_s = here->propagation_s;
        }
        for (m = 0; m < offload_gym_cores[k]; m++)
            memory->core_s[k][m] = here->backlog_s;
        for (i = 0; i < memory->num_tasks; i++) {
            const offload_gym_task *task = &tasks[i];
            double *times = memory->times[i][k];
            times[0] = task->input_bits * uplink_s;
            times[1] = task->input_bits * wired_s + propagation_s;
            times[2] = task->workload_cycles * cycle_s;
            times[3] = task->output_bits * downlink_s + (task->output_bits * wired_s + propagation_s);
        }
    }
}

/* Fills `best` with greedy earliest completion, and divides all times by its makespan, the scale. */
static offload_gym_so_far offload_gym_start(double radio_s, int *best, offload_gym_memory *memory)
{
    offload_gym_so_far so_far;
    double per_s;
    int i, k, m, stage;
    offload_gym_copy(memory->core_s, memory->free_s);
    so_far.greedy = offload_gym_complete(memory, 0, radio_s, memory->free_s, best);
    per_s = so_far.greedy.largest_s > 0.0 ? 1.0 / so_far.greedy.largest_s : 1.0;
    for (i = 0; i < memory->num_tasks; i++)
        for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
            for (stage = 0; stage < 4; stage++)
                memory->times[i][k][stage] *= per_s;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        for (m = 0; m < offload_gym_cores[k]; m++)
            memory->free_s[k][m] = memory->core_s[k][m] *= per_s;
    so_far.radio_s = radio_s * per_s;
    so_far.largest_s = so_far.total_s = 0.0;
    so_far.greedy.largest_s *= per_s;
    so_far.greedy.total_s *= per_s;
    so_far.best_value = offload_gym_value(so_far.greedy);
    return so_far;
}

/* Fills the task rows and the sums of the encodings from each task on. */
static void offload_gym_encode(offload_gym_memory *memory)
{
    int i, k, e, stage;
    for (e = 0; e < OFFLOAD_GYM_CODE; e++)
        memory->later[memory->num_tasks][e] = 0.0f;
    for (i = memory->num_tasks - 1; i >= 0; i--) {
        float *a = memory->buffers[0], *b = memory->buffers[1], *row = memory->rows[i];
        row[0] = offload_gym_squash(memory->times[i][0][2]);
        for (k = 1; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
            for (stage = 0; stage < 4; stage++)
                row[4 * k - 3 + stage] = offload_gym_squash(memory->times[i][k][stage]);
        for (e = 0; e < OFFLOAD_GYM_FEATURES; e++)
            a[e] = row[e];
        $encoder
        for (e = 0; e < OFFLOAD_GYM_CODE; e++)
            memory->later[i][e] = memory->later[i + 1][e] + a[e];
    }
}

/* Fills the state before task i is placed, up to the options. */
static void offload_gym_write_state(int i, const offload_gym_so_far *so_far, offload_gym_memory *memory)
{
    int at = OFFLOAD_GYM_CORES_AT, k, m;
    memory->state[0] = offload_gym_squash(so_far->radio_s);
    memory->state[1] = offload_gym_squash(so_far->largest_s);
    memory->state[2] = (float)((double)(memory->num_tasks - i) / memory->num_tasks);
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        for (m = 0; m < offload_gym_cores[k]; m++)
            memory->state[at++] = offload_gym_squash(memory->free_s[k][m]);
}

/* Tries task i at each location next; returns where it is complete first. Fills the ends of the schedules up to i, and
 * shows the completions to the network. */
static int offload_gym_try_next(int i, const offload_gym_so_far *so_far, offload_gym_memory *memory)
{
    float *shown = memory->state + OFFLOAD_GYM_OPTIONS_AT;
    double soonest_s = 0.0;
    int soonest_k = 0, k;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++) {
        const double *times = memory->times[i][k], core_s = memory->free_s[k][0];
        double finish_s = offload_gym_try_sorted(times, k, so_far->radio_s, core_s);
        double completion_s = finish_s + times[3];
        memory->finishes_s[k] = finish_s;
        memory->largest_s[k] = offload_gym_max(so_far->largest_s, completion_s);
        memory->totals_s[k] = so_far->total_s + completion_s;
        shown[k] = offload_gym_squash(completion_s);
        if (k == 0 || completion_s < soonest_s) {
            soonest_s = completion_s;
            soonest_k = k;
        }
    }
    return soonest_k;
}

/* The ends of the schedule where task i goes to k and greedy earliest completion places the later tasks by `trial`. */
static offload_gym_ends offload_gym_roll_out(int i, int k, const offload_gym_so_far *so_far, int *trial,
                                             offload_gym_memory *memory)
{
    offload_gym_free free_s;
    offload_gym_ends ends;
    offload_gym_copy(memory->free_s, free_s);
    offload_gym_take_sorted(free_s, k, memory->finishes_s[k]);
    ends = offload_gym_complete(memory, i + 1, so_far->radio_s + memory->times[i][k][0], free_s, trial);
    ends.largest_s = offload_gym_max(memory->largest_s[k], ends.largest_s);
    ends.total_s = memory->totals_s[k] + ends.total_s;
    return ends;
}

/* Tries each location for task i with greedy earliest completion behind it; returns the best value so far. What placing
 * it at soonest_k leads to is known. Replaces the ends of the options, and shows them to the network. */
static double offload_gym_try_choices(int i, int soonest_k, int *best, const offload_gym_so_far *so_far,
                                      offload_gym_memory *memory)
{
    int trial[OFFLOAD_GYM_MAX_TASKS];
    double best_value = so_far->best_value;
    int k, j;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++) {
        offload_gym_ends ends = so_far->greedy;
        if (k != soonest_k) {
            ends = offload_gym_roll_out(i, k, so_far, trial, memory);
            if (OFFLOAD_GYM_KEEP_BEST && offload_gym_value(ends) < best_value) {
                best_value = offload_gym_value(ends);
                for (j = 0; j < i; j++)
                    best[j] = memory->decision[j];
                best[i] = k;
                for (j = i + 1; j < memory->num_tasks; j++)
                    best[j] = trial[j];
            }
        }
        memory->largest_s[k] = ends.largest_s;
        memory->totals_s[k] = ends.total_s;
        if (OFFLOAD_GYM_SHOWN) {
            float *shown = memory->state + OFFLOAD_GYM_OPTIONS_AT + OFFLOAD_GYM_NUM_LOCATIONS;
            shown[k] = offload_gym_squash(ends.largest_s);
            shown[OFFLOAD_GYM_NUM_LOCATIONS + k] = offload_gym_squash(ends.total_s / memory->num_tasks);
        }
    }
    return best_value;
}

/* Runs the head for task i; returns its scores. */
static const float *offload_gym_score(int i, offload_gym_memory *memory)
{
    float *a = memory->buffers[0], *b = memory->buffers[1];
    int e, at = 0;
    if (OFFLOAD_GYM_JOINT)
        for (e = 0; e < OFFLOAD_GYM_CODE; e++)
            a[at++] = memory->later[0][e] - memory->later[i][e];
    for (e = 0; e < OFFLOAD_GYM_CODE; e++)
        a[at++] = memory->later[i + 1][e];
    for (e = 0; e < OFFLOAD_GYM_FEATURES; e++)
        a[at++] = memory->rows[i][e];
    for (e = 0; e < OFFLOAD_GYM_STATE; e++)
        a[at++] = memory->state[e];
    $head
    return a;
}

/* Which score is highest, the first on a tie. */
static int offload_gym_highest(const float *scores)
{
    int chosen = 0, k;
    for (k = 1; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        if (scores[k] > scores[chosen])
            chosen = k;
    return chosen;
}

/* Places task i at k. */
static void offload_gym_extend(int i, int k, offload_gym_so_far *so_far, offload_gym_memory *memory)
{
    const double *times = memory->times[i][k], core_s = memory->free_s[k][0];
    double finish_s = offload_gym_try_sorted(times, k, so_far->radio_s, core_s);
    double completion_s = finish_s + times[3];
    offload_gym_take_sorted(memory->free_s, k, finish_s);
    so_far->radio_s += times[0];
    so_far->largest_s = offload_gym_max(so_far->largest_s, completion_s);
    so_far->total_s += completion_s;
}

/* Fills the decision of the network, and keeps the best schedule that is tried in `best`. In the joint form no task is
 * placed. */
static void offload_gym_choose(int *best, offload_gym_so_far *so_far, offload_gym_memory *memory)
{
    int i;
    for (i = 0; i < memory->num_tasks; i++) {
        int k;
        if (i == 0 || !OFFLOAD_GYM_JOINT) {
            int soonest_k;
            offload_gym_write_state(i, so_far, memory);
            soonest_k = offload_gym_try_next(i, so_far, memory);
            if (i == 0) /* times in other units may break a tie in another way */
                soonest_k = best[0];
            if (OFFLOAD_GYM_TRIED)
                so_far->best_value = offload_gym_try_choices(i, soonest_k, best, so_far, memory);
        }
        k = offload_gym_highest(offload_gym_score(i, memory));
        memory->decision[i] = k;
        if (!OFFLOAD_GYM_JOINT) {
            so_far->greedy.largest_s = memory->largest_s[k];
            so_far->greedy.total_s = memory->totals_s[k];
            offload_gym_extend(i, k, so_far, memory);
        }
    }
}

/* Puts what the network chose into `best`, unless the best schedule is kept and another one is better. */
static void offload_gym_commit(int *best, offload_gym_so_far *so_far, offload_gym_memory *memory)
{
    int takes = !OFFLOAD_GYM_KEEP_BEST, i;
    /* In the sequential form, with roll-outs, it is one of those of the last choice. */
    if (OFFLOAD_GYM_KEEP_BEST && (OFFLOAD_GYM_JOINT || !OFFLOAD_GYM_TRIED)) {
        if (OFFLOAD_GYM_JOINT)
            for (i = 0; i < memory->num_tasks; i++)
                offload_gym_extend(i, memory->decision[i], so_far, memory);
        takes = (OFFLOAD_GYM_MEAN ? so_far->total_s : so_far->largest_s) < so_far->best_value;
    }
    for (i = 0; takes && i < memory->num_tasks; i++)
        best[i] = memory->decision[i];
}

/* Fills decision[0], ..., decision[num_tasks - 1] with locations. num_tasks must be from 1 to OFFLOAD_GYM_MAX_TASKS;
 * returns 0, or -1 where it is not, and then decides nothing. */
static int offload_gym_decide(int num_tasks, const offload_gym_task *tasks, const offload_gym_location *locations,
                              double radio_backlog_s, int *decision)
{
    offload_gym_memory memory;
    offload_gym_so_far so_far;
    if (num_tasks < 1 || num_tasks > OFFLOAD_GYM_MAX_TASKS)
        return -1;
    memory.num_tasks = num_tasks;
    offload_gym_open(tasks, locations, &memory);
    so_far = offload_gym_start(radio_backlog_s, decision, &memory);
    offload_gym_encode(&memory);
    offload_gym_choose(decision, &so_far, &memory);
    offload_gym_commit(decision, &so_far, &memory);
    return 0;
}

#endif
"""
