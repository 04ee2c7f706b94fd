"""The C text of networks for independent tasks, which ``offload_gym.networks.c_header`` fills.

Its functions are the phases of ``offload_gym.networks.independent_kernel`` under the same names, in the same order.
What depends on how a header counts is in ``REAL`` and ``FIXED``: types, the arithmetic of what the network reads, how
times come out of sizes and rates, and how they become shares of greedy's makespan.
"""

from __future__ import annotations

from typing import NamedTuple


class Parts(NamedTuple):
    """What depends on the numbers: text for the placeholders of ``HEADER`` of the same names."""

    includes: str
    types: str
    arithmetic: str
    open: str
    radio_parameter: str  # of offload_gym_decide
    radio_name: str


REAL = Parts(
    includes="#include <float.h>",
    types="""\
typedef double offload_gym_time;
typedef float offload_gym_signal; /* what layers read and write */

typedef struct {
    double input_bits, output_bits, workload_cycles;
} offload_gym_task;

/* Location 0 is the device: its rates and its propagation time are not read. A rate may be infinite. */
typedef struct {
    double cpu_hz, uplink_bps, downlink_bps, wired_bps, propagation_s;
    double backlog_s; /* until its cores are free, the same for all of them */
    int cores;        /* 0 stands for those that the network was trained for */
} offload_gym_location;""",
    arithmetic="""\
static inline float offload_gym_squash(double x)
{
    return (float)(x <= 2.0 ? x : 3.0 - 1.0 / (x - 1.0));
}

static inline float offload_gym_share(int part, int whole)
{
    return (float)((double)part / (double)whole);
}

static inline float offload_gym_add(float a, float b)
{
    return a + b;
}

static inline int offload_gym_not_negative(double x)
{
    return x >= 0.0 && x <= DBL_MAX;
}

/* A code, or OFFLOAD_GYM_GREEDY where the network does not fit. */
static inline int offload_gym_check(int num_tasks, const offload_gym_task *tasks, const offload_gym_location *locations,
                                    double radio_backlog_s)
{
    int code = OFFLOAD_GYM_DECIDED, i, k;
    if (num_tasks < 1 || num_tasks > OFFLOAD_GYM_MAX_TASKS)
        return OFFLOAD_GYM_BAD_NUM_TASKS;
    for (i = 0; i < num_tasks; i++)
        if (!offload_gym_not_negative(tasks[i].input_bits) || !offload_gym_not_negative(tasks[i].output_bits)
            || !offload_gym_not_negative(tasks[i].workload_cycles))
            return OFFLOAD_GYM_BAD_SIZE;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++) {
        const offload_gym_location *here = &locations[k];
        if (!(here->cpu_hz > 0.0) || here->cores < 0 || here->cores > OFFLOAD_GYM_MAX_CORES)
            return OFFLOAD_GYM_BAD_LOCATION;
        if (k > 0
            && (!(here->uplink_bps > 0.0) || !(here->downlink_bps > 0.0) || !(here->wired_bps > 0.0)
                || !offload_gym_not_negative(here->propagation_s)))
            return OFFLOAD_GYM_BAD_LOCATION;
        if (!offload_gym_not_negative(here->backlog_s))
            return OFFLOAD_GYM_BAD_BACKLOG;
        if (here->cores != 0 && here->cores != offload_gym_cores[k])
            code = OFFLOAD_GYM_GREEDY;
    }
    return offload_gym_not_negative(radio_backlog_s) ? code : OFFLOAD_GYM_BAD_BACKLOG;
}""",
    open="""\
/* Fills the stage times of one instance and the times at which its cores are free. */
static inline void offload_gym_open(const offload_gym_task *tasks, const offload_gym_location *locations,
                                    offload_gym_memory *memory)
{
    int i, k, m;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++) {
        const offload_gym_location *here = &locations[k];
        int cores = here->cores > 0 ? here->cores : offload_gym_cores[k];
        double cycle_s = 1.0 / here->cpu_hz;
        double uplink_s = 0.0, downlink_s = 0.0, wired_s = 0.0, propagation_s = 0.0;
        if (k > 0) {
            uplink_s = 1.0 / here->uplink_bps;
            downlink_s = 1.0 / here->downlink_bps;
            wired_s = 1.0 / here->wired_bps;
            propagation_s = here->propagation_s;
        }
        for (m = 0; m < OFFLOAD_GYM_MAX_CORES; m++)
            memory->core_s[k][m] = m < cores ? here->backlog_s : DBL_MAX;
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

/* Whether greedy decided by times that are known. */
static inline int offload_gym_is_known(const offload_gym_memory *memory, const int *decision)
{
    (void)memory;
    (void)decision;
    return 1;
}

/* The times as shares of greedy's makespan, which is no scale where it or what it is to be divided by is infinite. */
static inline int offload_gym_rescale(double *radio_s, int *best, offload_gym_so_far *so_far,
                                      offload_gym_memory *memory)
{
    double scale_s = so_far->greedy.largest_s, per_s = scale_s > 0.0 ? 1.0 / scale_s : 1.0;
    int i, k, m, stage;
    (void)best; /* is the same in all units */
    if (!(per_s > 0.0 && per_s <= DBL_MAX))
        return 0;
    for (i = 0; i < memory->num_tasks; i++)
        for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
            for (stage = 0; stage < 4; stage++)
                memory->times[i][k][stage] *= per_s;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        for (m = 0; m < offload_gym_cores[k]; m++)
            memory->core_s[k][m] *= per_s;
    *radio_s *= per_s;
    so_far->greedy.largest_s *= per_s;
    so_far->greedy.total_s *= per_s;
    return 1;
}""",
    radio_parameter="double radio_backlog_s",
    radio_name="radio_backlog_s",
)

FIXED = Parts(
    includes="#include <stdint.h>",
    types="""\
typedef uint32_t offload_gym_time;  /* microseconds, then shares of greedy's makespan: OFFLOAD_GYM_UNIT is 1 */
typedef int32_t offload_gym_signal; /* what layers read and write: OFFLOAD_GYM_ONE is 1 */

/* A rate of OFFLOAD_GYM_INFINITE takes no time. */
#define OFFLOAD_GYM_INFINITE UINT64_MAX

typedef struct {
    uint64_t input_bits, output_bits, workload_cycles;
} offload_gym_task;

/* Location 0 is the device: its rates and its propagation time are not read. */
typedef struct {
    uint64_t cpu_hz, uplink_bps, downlink_bps, wired_bps;
    uint32_t propagation_us;
    uint32_t backlog_us; /* until its cores are free, the same for all of them; below OFFLOAD_GYM_LONGEST_US, as is the
                            time of the radio and of any step of a task that is decided */
    int cores;           /* 0 stands for those that the network was trained for */
} offload_gym_location;""",
    arithmetic="""\
/* x, 1 where it is OFFLOAD_GYM_UNIT, as layers read it: between 0 and 3. */
static inline int32_t offload_gym_squash(uint32_t x)
{
    if (x <= 2u * OFFLOAD_GYM_UNIT)
        return (int32_t)((x + OFFLOAD_GYM_UNIT / OFFLOAD_GYM_ONE / 2u) / (OFFLOAD_GYM_UNIT / OFFLOAD_GYM_ONE));
    return (int32_t)(3u * OFFLOAD_GYM_ONE - OFFLOAD_GYM_ONE * OFFLOAD_GYM_UNIT / (x - OFFLOAD_GYM_UNIT));
}

static inline int32_t offload_gym_share(int part, int whole)
{
    return (int32_t)((uint32_t)part * OFFLOAD_GYM_ONE / (uint32_t)whole);
}

static inline int32_t offload_gym_add(int32_t a, int32_t b)
{
    return a < OFFLOAD_GYM_LARGEST_SIGNAL - b ? a + b : OFFLOAD_GYM_LARGEST_SIGNAL;
}

/* Microseconds of an amount at a pace, at most OFFLOAD_GYM_LONGEST_US. */
static inline uint32_t offload_gym_span(offload_gym_scaled amount, offload_gym_scaled pace)
{
    return offload_gym_product(amount.mantissa, pace, amount.exponent, OFFLOAD_GYM_LONGEST_US);
}

/* Microseconds of one bit or cycle. */
static inline offload_gym_scaled offload_gym_pace(uint64_t rate)
{
    offload_gym_scaled none = {0, 0};
    /* 1e6 is 0xf4240000 / 2**12 */
    return rate == OFFLOAD_GYM_INFINITE ? none : offload_gym_divided(0xf4240000u, -12, offload_gym_scale(rate));
}

static inline uint32_t offload_gym_sum(uint32_t a, uint32_t b)
{
    return a < OFFLOAD_GYM_LONGEST_US - b ? a + b : OFFLOAD_GYM_LONGEST_US;
}

/* A code, or OFFLOAD_GYM_GREEDY where the network does not fit. */
static inline int offload_gym_check(int num_tasks, const offload_gym_task *tasks, const offload_gym_location *locations,
                                    uint32_t radio_backlog_us)
{
    int code = OFFLOAD_GYM_DECIDED, k;
    (void)tasks; /* all sizes are possible */
    if (num_tasks < 1 || num_tasks > OFFLOAD_GYM_MAX_TASKS)
        return OFFLOAD_GYM_BAD_NUM_TASKS;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++) {
        const offload_gym_location *here = &locations[k];
        if (here->cpu_hz == 0u || here->cores < 0 || here->cores > OFFLOAD_GYM_MAX_CORES)
            return OFFLOAD_GYM_BAD_LOCATION;
        if (k > 0
            && (here->uplink_bps == 0u || here->downlink_bps == 0u || here->wired_bps == 0u
                || here->propagation_us >= OFFLOAD_GYM_LONGEST_US))
            return OFFLOAD_GYM_BAD_LOCATION;
        if (here->backlog_us >= OFFLOAD_GYM_LONGEST_US)
            return OFFLOAD_GYM_BAD_BACKLOG;
        if (here->cores != 0 && here->cores != offload_gym_cores[k])
            code = OFFLOAD_GYM_GREEDY;
    }
    return radio_backlog_us < OFFLOAD_GYM_LONGEST_US ? code : OFFLOAD_GYM_BAD_BACKLOG;
}""",
    open="""\
/* Fills the stage times of one instance and the times at which its cores are free. */
static inline void offload_gym_open(const offload_gym_task *tasks, const offload_gym_location *locations,
                                    offload_gym_memory *memory)
{
    offload_gym_scaled paces[OFFLOAD_GYM_NUM_LOCATIONS][4]; /* of cycles, uplink, downlink and wired path */
    int i, k, m;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++) {
        const offload_gym_location *here = &locations[k];
        int cores = here->cores > 0 ? here->cores : offload_gym_cores[k];
        paces[k][0] = offload_gym_pace(here->cpu_hz);
        if (k > 0) {
            paces[k][1] = offload_gym_pace(here->uplink_bps);
            paces[k][2] = offload_gym_pace(here->downlink_bps);
            paces[k][3] = offload_gym_pace(here->wired_bps);
        }
        for (m = 0; m < OFFLOAD_GYM_MAX_CORES; m++)
            memory->core_s[k][m] = m < cores ? here->backlog_us : UINT32_MAX;
    }
    for (i = 0; i < memory->num_tasks; i++) {
        offload_gym_scaled input = offload_gym_scale(tasks[i].input_bits);
        offload_gym_scaled output = offload_gym_scale(tasks[i].output_bits);
        offload_gym_scaled workload = offload_gym_scale(tasks[i].workload_cycles);
        for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++) {
            uint32_t *times = memory->times[i][k];
            times[0] = 0u;
            times[1] = 0u;
            times[3] = 0u;
            times[2] = offload_gym_span(workload, paces[k][0]);
            if (k > 0) {
                uint32_t propagation_us = locations[k].propagation_us;
                times[0] = offload_gym_span(input, paces[k][1]);
                times[1] = offload_gym_sum(offload_gym_span(input, paces[k][3]), propagation_us);
                times[3] = offload_gym_sum(offload_gym_span(output, paces[k][3]), propagation_us);
                times[3] = offload_gym_sum(offload_gym_span(output, paces[k][2]), times[3]);
            }
        }
    }
}

/* Whether greedy decided by times that are known: the others count as the longest that there is, and are longer. */
static inline int offload_gym_is_known(const offload_gym_memory *memory, const int *decision)
{
    int i, stage;
    for (i = 0; i < memory->num_tasks; i++)
        for (stage = 0; stage < 4; stage++)
            if (memory->times[i][decision[i]][stage] >= OFFLOAD_GYM_LONGEST_US)
                return 0;
    return 1;
}

/* The times as shares of greedy's makespan, unless one of them is not known. What is far longer than the makespan
 * counts as OFFLOAD_GYM_LONGEST. Other units may make greedy decide otherwise: it decides again. */
static inline int offload_gym_rescale(uint32_t *radio_s, int *best, offload_gym_so_far *so_far,
                                      offload_gym_memory *memory)
{
    uint32_t scale_us = so_far->greedy.largest_s > 0u ? so_far->greedy.largest_s : 1000000u;
    offload_gym_scaled share =
        offload_gym_divided(0xffffffffu, OFFLOAD_GYM_UNIT_BITS - 32, offload_gym_scale(scale_us));
    int i, k, m, stage;
    for (i = 0; i < memory->num_tasks; i++)
        for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
            for (stage = 0; stage < 4; stage++)
                if (memory->times[i][k][stage] >= OFFLOAD_GYM_LONGEST_US)
                    return 0;
    for (i = 0; i < memory->num_tasks; i++)
        for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
            for (stage = 0; stage < 4; stage++)
                memory->times[i][k][stage] =
                    offload_gym_product(memory->times[i][k][stage], share, 0, OFFLOAD_GYM_LONGEST);
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        for (m = 0; m < offload_gym_cores[k]; m++)
            memory->core_s[k][m] = offload_gym_product(memory->core_s[k][m], share, 0, OFFLOAD_GYM_LONGEST);
    *radio_s = offload_gym_product(*radio_s, share, 0, OFFLOAD_GYM_LONGEST);
    offload_gym_copy(memory->core_s, memory->free_s);
    so_far->greedy = offload_gym_complete(memory, 0, *radio_s, memory->free_s, best);
    return 1;
}""",
    radio_parameter="uint32_t radio_backlog_us",
    radio_name="radio_backlog_us",
)

HEADER = """\
/* Task offloading decisions of a trained network. Written by offload_gym.export_c; do not edit.
 *
 * Scenario: $scenario; objective: $objective; cores of the locations: $cores; $parameters parameters.
 * $form
 * Memory: $flash bytes of weights, $ram bytes of arrays on the stack for up to $max_tasks tasks; no allocation.
 * Time: at most $trials trials of a task at a location and $products multiplications of weights.
 * $measured
 */
#ifdef OFFLOAD_GYM_POLICY_H
#if OFFLOAD_GYM_POLICY_H != $checksum
#error "two policies have the same names: give export_c another name for one of them"
#endif
#else
#define OFFLOAD_GYM_POLICY_H $checksum

$includes

$defines

/* What offload_gym_decide returns. */
#define OFFLOAD_GYM_DECIDED 0          /* the network has decided */
#define OFFLOAD_GYM_GREEDY 1           /* greedy earliest completion has, as the network was trained for other cores,
                                          or times are out of the range of these numbers */
#define OFFLOAD_GYM_BAD_NUM_TASKS (-1) /* not from 1 to OFFLOAD_GYM_MAX_TASKS */
#define OFFLOAD_GYM_BAD_SIZE (-5)      /* bits or cycles below 0, infinite, or no number; in integers, a task that
                                          takes longer everywhere than a time can be */
#define OFFLOAD_GYM_BAD_LOCATION (-6)  /* a rate that is not above 0, cores beyond OFFLOAD_GYM_MAX_CORES, or a
                                          propagation time as no time can be */
#define OFFLOAD_GYM_BAD_BACKLOG (-7)   /* below 0, or too long */

$types

/* What the network was trained for. */
static const int offload_gym_cores[OFFLOAD_GYM_NUM_LOCATIONS] = {$cores};

/* Ascending times at which the cores of each location are free; never, where there are fewer than in its row. */
typedef offload_gym_time offload_gym_free[OFFLOAD_GYM_NUM_LOCATIONS][OFFLOAD_GYM_MAX_CORES];

/* What the phases fill for one instance. Times are divided by the scale in offload_gym_start. */
typedef struct {
    int num_tasks; /* of the instance */
    offload_gym_time times[OFFLOAD_GYM_MAX_TASKS][OFFLOAD_GYM_NUM_LOCATIONS][4]; /* send, path, run and return time */
    offload_gym_free core_s; /* before the first task */
    offload_gym_free free_s; /* after the tasks that are placed */
    offload_gym_signal rows[OFFLOAD_GYM_MAX_TASKS][OFFLOAD_GYM_FEATURES];
    offload_gym_signal later[OFFLOAD_GYM_MAX_TASKS + 1][OFFLOAD_GYM_CODE]; /* sums of the encodings from each task on */
    offload_gym_signal state[OFFLOAD_GYM_STATE];
    offload_gym_signal buffers[2][OFFLOAD_GYM_WIDEST]; /* what layers read and write */
    int decision[OFFLOAD_GYM_MAX_TASKS];               /* what the network itself chose */
    /* Of each location, if the next task goes there: */
    offload_gym_time finishes_s[OFFLOAD_GYM_NUM_LOCATIONS];
    offload_gym_time largest_s[OFFLOAD_GYM_NUM_LOCATIONS]; /* makespan so far, or of the whole schedule in roll-outs */
    offload_gym_time totals_s[OFFLOAD_GYM_NUM_LOCATIONS];  /* the same for the sum of completions */
} offload_gym_memory;

/* A schedule in two numbers: largest completion, and sum of completions. */
typedef struct {
    offload_gym_time largest_s, total_s;
} offload_gym_ends;

/* The schedule of the tasks that are placed. */
typedef struct {
    offload_gym_time radio_s, largest_s, total_s;
    offload_gym_ends greedy;     /* of the schedule in which greedy earliest completion places the later tasks */
    offload_gym_time best_value; /* of all whole schedules that were tried */
} offload_gym_so_far;

$arithmetic
$layers

static inline offload_gym_time offload_gym_max(offload_gym_time a, offload_gym_time b)
{
    return a > b ? a : b;
}

/* What is minimised. */
static inline offload_gym_time offload_gym_value(offload_gym_ends ends)
{
    return OFFLOAD_GYM_MEAN ? ends.total_s : ends.largest_s;
}

static inline void offload_gym_copy(offload_gym_free source, offload_gym_free target)
{
    int k, m;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        for (m = 0; m < OFFLOAD_GYM_MAX_CORES; m++)
            target[k][m] = source[k][m];
}

/* Finish of a task of these times if it is placed at k next, where the first core is free at core_s. */
static inline offload_gym_time offload_gym_try_sorted(const offload_gym_time *times, int k, offload_gym_time radio_s,
                                                      offload_gym_time core_s)
{
    offload_gym_time ready_s = k > 0 ? (radio_s + times[0]) + times[1] : 0;
    return offload_gym_max(ready_s, core_s) + times[2];
}

/* The first core of k is taken until finish_s; its times stay ascending. */
static inline void offload_gym_take_sorted(offload_gym_free free_s, int k, offload_gym_time finish_s)
{
    int m = 0;
    while (m + 1 < OFFLOAD_GYM_MAX_CORES && free_s[k][m + 1] < finish_s) {
        free_s[k][m] = free_s[k][m + 1];
        m++;
    }
    free_s[k][m] = finish_s;
}

/* Greedy earliest completion from task `first` on. */
static inline offload_gym_ends offload_gym_complete(const offload_gym_memory *memory, int first,
                                                    offload_gym_time radio_s, offload_gym_free free_s, int *decision)
{
    offload_gym_ends ends = {0, 0};
    int i, k;
    for (i = first; i < memory->num_tasks; i++) {
        int best_k = 0;
        offload_gym_time best_s = 0, best_finish_s = 0;
        for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++) {
            const offload_gym_time *times = memory->times[i][k];
            offload_gym_time finish_s = offload_gym_try_sorted(times, k, radio_s, free_s[k][0]);
            offload_gym_time completion_s = finish_s + times[3];
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

$open

/* Fills the task rows and the sums of the encodings from each task on. */
static inline void offload_gym_encode(offload_gym_memory *memory)
{
    int i, k, e, stage;
    for (e = 0; e < OFFLOAD_GYM_CODE; e++)
        memory->later[memory->num_tasks][e] = 0;
    for (i = memory->num_tasks - 1; i >= 0; i--) {
        offload_gym_signal *a = memory->buffers[0], *b = memory->buffers[1], *row = memory->rows[i];
        row[0] = offload_gym_squash(memory->times[i][0][2]);
        for (k = 1; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
            for (stage = 0; stage < 4; stage++)
                row[4 * k - 3 + stage] = offload_gym_squash(memory->times[i][k][stage]);
        for (e = 0; e < OFFLOAD_GYM_FEATURES; e++)
            a[e] = row[e];
        $encoder
        for (e = 0; e < OFFLOAD_GYM_CODE; e++)
            memory->later[i][e] = offload_gym_add(memory->later[i + 1][e], a[e]);
    }
}

/* Fills the state before task i is placed, up to the options. */
static inline void offload_gym_write_state(int i, const offload_gym_so_far *so_far, offload_gym_memory *memory)
{
    int at = OFFLOAD_GYM_CORES_AT, k, m;
    memory->state[0] = offload_gym_squash(so_far->radio_s);
    memory->state[1] = offload_gym_squash(so_far->largest_s);
    memory->state[2] = offload_gym_share(memory->num_tasks - i, memory->num_tasks);
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        for (m = 0; m < offload_gym_cores[k]; m++)
            memory->state[at++] = offload_gym_squash(memory->free_s[k][m]);
}

/* Tries task i at each location next; returns where it is complete first. Fills the ends of the schedules up to i, and
 * shows the completions to the network. */
static inline int offload_gym_try_next(int i, const offload_gym_so_far *so_far, offload_gym_memory *memory)
{
    offload_gym_signal *shown = memory->state + OFFLOAD_GYM_OPTIONS_AT;
    offload_gym_time soonest_s = 0;
    int soonest_k = 0, k;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++) {
        const offload_gym_time *times = memory->times[i][k], core_s = memory->free_s[k][0];
        offload_gym_time finish_s = offload_gym_try_sorted(times, k, so_far->radio_s, core_s);
        offload_gym_time completion_s = finish_s + times[3];
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
static inline offload_gym_ends offload_gym_roll_out(int i, int k, const offload_gym_so_far *so_far, int *trial,
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
static inline offload_gym_time offload_gym_try_choices(int i, int soonest_k, int *best,
                                                       const offload_gym_so_far *so_far, offload_gym_memory *memory)
{
    int trial[OFFLOAD_GYM_MAX_TASKS];
    offload_gym_time best_value = so_far->best_value;
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
            offload_gym_signal *shown = memory->state + OFFLOAD_GYM_OPTIONS_AT + OFFLOAD_GYM_NUM_LOCATIONS;
            shown[k] = offload_gym_squash(ends.largest_s);
            shown[OFFLOAD_GYM_NUM_LOCATIONS + k] =
                offload_gym_squash(ends.total_s / (offload_gym_time)memory->num_tasks);
        }
    }
    return best_value;
}

/* Runs the head for task i; returns its scores. */
static inline const offload_gym_signal *offload_gym_score(int i, offload_gym_memory *memory)
{
    offload_gym_signal *a = memory->buffers[0], *b = memory->buffers[1];
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
static inline int offload_gym_highest(const offload_gym_signal *scores)
{
    int chosen = 0, k;
    for (k = 1; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        if (scores[k] > scores[chosen])
            chosen = k;
    return chosen;
}

/* Places task i at k. */
static inline void offload_gym_extend(int i, int k, offload_gym_so_far *so_far, offload_gym_memory *memory)
{
    const offload_gym_time *times = memory->times[i][k], core_s = memory->free_s[k][0];
    offload_gym_time finish_s = offload_gym_try_sorted(times, k, so_far->radio_s, core_s);
    offload_gym_time completion_s = finish_s + times[3];
    offload_gym_take_sorted(memory->free_s, k, finish_s);
    so_far->radio_s += times[0];
    so_far->largest_s = offload_gym_max(so_far->largest_s, completion_s);
    so_far->total_s += completion_s;
}

/* Fills the decision of the network, and keeps the best schedule that is tried in `best`. In the joint form no task is
 * placed. */
static inline void offload_gym_choose(int *best, offload_gym_so_far *so_far, offload_gym_memory *memory)
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
static inline void offload_gym_commit(int *best, offload_gym_so_far *so_far, offload_gym_memory *memory)
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

/* Divides all times by the makespan of `best`, what greedy earliest completion decided, and begins a schedule. Returns
 * 0 where that cannot be done in these numbers. */
static inline int offload_gym_start(offload_gym_time radio_s, int *best, offload_gym_so_far *so_far,
                                    offload_gym_memory *memory)
{
    if (!offload_gym_rescale(&radio_s, best, so_far, memory))
        return 0;
    offload_gym_copy(memory->core_s, memory->free_s);
    so_far->radio_s = radio_s;
    so_far->largest_s = 0;
    so_far->total_s = 0;
    so_far->best_value = offload_gym_value(so_far->greedy);
    return 1;
}

/* Fills decision[0], ..., decision[num_tasks - 1] with locations; returns one of the codes above. Where it is negative,
 * nothing is decided. */
static inline int offload_gym_decide(int num_tasks, const offload_gym_task *tasks,
                                     const offload_gym_location *locations, $radio_parameter, int *decision)
{
    offload_gym_memory memory;
    offload_gym_so_far so_far;
    offload_gym_time radio_s = $radio_name;
    int i, code = offload_gym_check(num_tasks, tasks, locations, $radio_name);
    if (code < 0)
        return code;
    memory.num_tasks = num_tasks;
    offload_gym_open(tasks, locations, &memory);
    offload_gym_copy(memory.core_s, memory.free_s);
    so_far.greedy = offload_gym_complete(&memory, 0, radio_s, memory.free_s, memory.decision);
    if (!offload_gym_is_known(&memory, memory.decision))
        return OFFLOAD_GYM_BAD_SIZE;
    for (i = 0; i < num_tasks; i++)
        decision[i] = memory.decision[i];
    if (code != OFFLOAD_GYM_DECIDED || !offload_gym_start(radio_s, decision, &so_far, &memory))
        return OFFLOAD_GYM_GREEDY;
    offload_gym_encode(&memory);
    offload_gym_choose(decision, &so_far, &memory);
    offload_gym_commit(decision, &so_far, &memory);
    return OFFLOAD_GYM_DECIDED;
}

#endif
"""
