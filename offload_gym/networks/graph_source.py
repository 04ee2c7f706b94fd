"""The C text of networks of graphs, which ``offload_gym.networks.graph_header`` fills.

Its functions are those of ``graph_view``, ``graph_kernel``, ``solvers.local_search``, ``solvers.peft`` and ``delay``
under the same names, with additions in the same order, so that times agree to the last bit. What an edge moves is
computed where it is needed, since a table of all pairs of locations would take most of the memory.
"""

HEADER = """\
/* Task offloading decisions of a trained network of graphs. Written by offload_gym.export_c; do not edit.
 *
 * Scenario: $scenario; objective: makespan; $parameters parameters.
 * Memory: $flash bytes of weights and $ram bytes of offload_gym_memory, which the caller has; no allocation.
 * C99. Compile with -ffp-contract=off: fused products round in another way.
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
#define OFFLOAD_GYM_DECIDED 0
#define OFFLOAD_GYM_BAD_NUM_TASKS (-1)   /* not from 1 to OFFLOAD_GYM_MAX_TASKS */
#define OFFLOAD_GYM_BAD_NUM_LOCATIONS (-2) /* not from 2 to OFFLOAD_GYM_MAX_LOCATIONS */
#define OFFLOAD_GYM_BAD_NUM_EDGES (-3)   /* above OFFLOAD_GYM_MAX_EDGES, or edge_start falls or does not begin with 0 */
#define OFFLOAD_GYM_BAD_PARENT (-4)      /* not before its child, or parents of a task that do not increase */
#define OFFLOAD_GYM_BAD_SIZE (-5)        /* bits or cycles that are not finite or below 0 */
#define OFFLOAD_GYM_BAD_LOCATION (-6)    /* a rate not above 0, cores not from 1 to OFFLOAD_GYM_MAX_CORES, ... */
#define OFFLOAD_GYM_BAD_BACKLOG (-7)     /* not finite or below 0 */

typedef struct {
    double input_bits, output_bits; /* read of tasks without parents, and without children */
    double workload_cycles;
} offload_gym_task;

/* Location 0 is the device: its rates and its propagation time are not read. wired_bps may be INFINITY. */
typedef struct {
    double cpu_hz; /* of each core */
    double uplink_bps, downlink_bps, wired_bps, propagation_s;
    double backlog_s[OFFLOAD_GYM_MAX_CORES]; /* until each of its cores is free */
    int cores;
} offload_gym_location;

/* The edges into task i are edge_start[i], ..., edge_start[i + 1] - 1, by increasing parent; parents have lower
 * numbers than their children. */
typedef struct {
    int num_tasks, num_locations;
    const offload_gym_task *tasks;
    const int *edge_start;    /* num_tasks + 1 */
    const int *edge_parent;   /* of each edge; not read where there is none, as the next one */
    const double *edge_bits;
    const offload_gym_location *locations;
    double radio_backlog_s;
} offload_gym_application;

/* Seconds a cycle, seconds a bit, and seconds. */
typedef struct {
    double cycle_s, uplink_s, downlink_s, wired_s, propagation_s;
} offload_gym_pace;

/* When each core is free. */
typedef double offload_gym_free[OFFLOAD_GYM_MAX_LOCATIONS][OFFLOAD_GYM_MAX_CORES];

/* What a decision takes; nothing in it has to be set before, nor is kept between calls. */
typedef struct {
    double times[OFFLOAD_GYM_MAX_TASKS][OFFLOAD_GYM_MAX_LOCATIONS][4]; /* send, path, run and return time */
    double least_tail_s[OFFLOAD_GYM_MAX_TASKS][OFFLOAD_GYM_MAX_LOCATIONS];
    double pull_s[OFFLOAD_GYM_MAX_TASKS][OFFLOAD_GYM_MAX_LOCATIONS];
    double run_left_s[OFFLOAD_GYM_MAX_TASKS][OFFLOAD_GYM_MAX_LOCATIONS];
    double radio_left_s[OFFLOAD_GYM_MAX_TASKS];
    double tail_s[OFFLOAD_GYM_MAX_TASKS];
    double draft_finish_s[OFFLOAD_GYM_MAX_TASKS];
    double finish_s[OFFLOAD_GYM_MAX_TASKS]; /* of the schedule that is made */
    offload_gym_free core_s;                /* before the first task */
    offload_gym_free free_s;                /* of the schedule that is made */
    offload_gym_free before_s;              /* of that before the task that a sweep moves */
    offload_gym_pace paces[OFFLOAD_GYM_MAX_LOCATIONS];
    double end_s[OFFLOAD_GYM_MAX_LOCATIONS][3];
    double fixed_s[OFFLOAD_GYM_MAX_LOCATIONS];
    double unit_s, least_fixed_s, value_s; /* the last one of the draft */
    float of_task[OFFLOAD_GYM_MAX_TASKS][OFFLOAD_GYM_FOR_TASK];
    float x[OFFLOAD_GYM_MAX_LOCATIONS][OFFLOAD_GYM_INPUTS];
    float buffers[2][OFFLOAD_GYM_WIDEST]; /* what layers read and write */
    float scores[OFFLOAD_GYM_MAX_LOCATIONS];
    int draft[OFFLOAD_GYM_MAX_TASKS];
    int decision[OFFLOAD_GYM_MAX_TASKS]; /* that is made */
    int child_start[OFFLOAD_GYM_MAX_TASKS + 1]; /* the children of task i are child[child_start[i]], ... */
    int child[OFFLOAD_GYM_MAX_EDGES];
    int child_edge[OFFLOAD_GYM_MAX_EDGES]; /* the edge that leads to it */
} offload_gym_memory;

typedef struct {
    double radio_s, start_s, finish_s, completion_s;
    int core;
} offload_gym_placed;

typedef struct {
    double send_s, path_s;
} offload_gym_move;
$layers

static inline double offload_gym_max(double a, double b)
{
    return a > b ? a : b;
}

static inline double offload_gym_min(double a, double b)
{
    return a < b ? a : b;
}

/* x between -1 and 1: half way at 1. */
static inline float offload_gym_bounded(double x)
{
    return (float)(x / (1.0 + (x < 0.0 ? -x : x)));
}

static inline int offload_gym_not_negative(double x)
{
    return x >= 0.0 && x < INFINITY;
}

static inline int offload_gym_positive(double x)
{
    return x > 0.0 && x < INFINITY;
}

/* OFFLOAD_GYM_DECIDED, or what is wrong. */
static inline int offload_gym_check(const offload_gym_application *given)
{
    int n = given->num_tasks, i, k, e, m;
    if (n < 1 || n > OFFLOAD_GYM_MAX_TASKS)
        return OFFLOAD_GYM_BAD_NUM_TASKS;
    if (given->num_locations < 2 || given->num_locations > OFFLOAD_GYM_MAX_LOCATIONS)
        return OFFLOAD_GYM_BAD_NUM_LOCATIONS;
    if (given->edge_start[0] != 0)
        return OFFLOAD_GYM_BAD_NUM_EDGES;
    for (i = 0; i < n; i++)
        if (given->edge_start[i + 1] < given->edge_start[i] || given->edge_start[i + 1] > OFFLOAD_GYM_MAX_EDGES)
            return OFFLOAD_GYM_BAD_NUM_EDGES;
    for (i = 0; i < n; i++) {
        const offload_gym_task *task = &given->tasks[i];
        int before = -1;
        if (!offload_gym_not_negative(task->input_bits) || !offload_gym_not_negative(task->output_bits)
            || !offload_gym_not_negative(task->workload_cycles))
            return OFFLOAD_GYM_BAD_SIZE;
        for (e = given->edge_start[i]; e < given->edge_start[i + 1]; e++) {
            if (given->edge_parent[e] <= before || given->edge_parent[e] >= i)
                return OFFLOAD_GYM_BAD_PARENT;
            before = given->edge_parent[e];
            if (!offload_gym_not_negative(given->edge_bits[e]))
                return OFFLOAD_GYM_BAD_SIZE;
        }
    }
    for (k = 0; k < given->num_locations; k++) {
        const offload_gym_location *here = &given->locations[k];
        if (!offload_gym_positive(here->cpu_hz) || here->cores < 1 || here->cores > OFFLOAD_GYM_MAX_CORES)
            return OFFLOAD_GYM_BAD_LOCATION;
        if (k > 0
            && (!offload_gym_positive(here->uplink_bps) || !offload_gym_positive(here->downlink_bps)
                || !(here->wired_bps > 0.0) || !offload_gym_not_negative(here->propagation_s)))
            return OFFLOAD_GYM_BAD_LOCATION;
        for (m = 0; m < here->cores; m++)
            if (!offload_gym_not_negative(here->backlog_s[m]))
                return OFFLOAD_GYM_BAD_BACKLOG;
    }
    return offload_gym_not_negative(given->radio_backlog_s) ? OFFLOAD_GYM_DECIDED : OFFLOAD_GYM_BAD_BACKLOG;
}

/* Send time on the radio, and time from then on, of bits from one location to another. */
static inline offload_gym_move offload_gym_move_between(const offload_gym_memory *memory, double bits, int source,
                                                        int target)
{
    const offload_gym_pace *behind = &memory->paces[source], *ahead = &memory->paces[target];
    offload_gym_move move = {0.0, 0.0};
    if (source != target) {
        if (source == 0)
            move.send_s = bits * ahead->uplink_s;
        else
            move.path_s = bits * behind->wired_s + behind->propagation_s;
        if (target == 0)
            move.path_s += bits * behind->downlink_s;
        else
            move.path_s += bits * ahead->wired_s + ahead->propagation_s;
    }
    return move;
}

/* What the ends of an edge save by being at one place: its data on the first link. */
static inline double offload_gym_together(const offload_gym_memory *memory, double bits)
{
    offload_gym_move move = offload_gym_move_between(memory, bits, 0, 1);
    return move.send_s + move.path_s;
}

static inline void offload_gym_copy(const offload_gym_application *given, offload_gym_free source,
                                    offload_gym_free target)
{
    int k, m;
    for (k = 0; k < given->num_locations; k++)
        for (m = 0; m < given->locations[k].cores; m++)
            target[k][m] = source[k][m];
}

/* Task i at location k, next in a schedule whose radio is free from radio_s, and its cores from free_s. */
static inline offload_gym_placed offload_gym_place(const offload_gym_application *given,
                                                   const offload_gym_memory *memory, int i, int k, double radio_s,
                                                   const double *free_s)
{
    const double *times = memory->times[i][k];
    offload_gym_placed placed;
    double ready_s = 0.0, core_s;
    int first = given->edge_start[i], last = given->edge_start[i + 1], e, m;
    if (first == last) {
        radio_s += times[0];
        ready_s = k > 0 ? radio_s + times[1] : 0.0;
    }
    for (e = first; e < last; e++) {
        int parent = given->edge_parent[e], source = memory->decision[parent];
        offload_gym_move move = offload_gym_move_between(memory, given->edge_bits[e], source, k);
        double arrival_s = memory->finish_s[parent];
        if (source == 0 && k > 0) {
            radio_s = offload_gym_max(radio_s, arrival_s);
            radio_s += move.send_s;
            arrival_s = radio_s;
        }
        ready_s = offload_gym_max(ready_s, arrival_s + move.path_s);
    }
    placed.core = 0;
    core_s = free_s[0];
    for (m = 1; m < given->locations[k].cores; m++)
        if (free_s[m] < core_s) {
            placed.core = m;
            core_s = free_s[m];
        }
    placed.radio_s = radio_s;
    placed.start_s = offload_gym_max(ready_s, core_s);
    placed.finish_s = placed.start_s + times[2];
    placed.completion_s = placed.finish_s + times[3];
    return placed;
}

/* Keeps task i where it was placed. */
static inline void offload_gym_take(offload_gym_memory *memory, int i, const offload_gym_placed *placed, double *free_s)
{
    memory->finish_s[i] = placed->finish_s;
    free_s[placed->core] = placed->finish_s;
}

/* The makespan of the decision. */
static inline double offload_gym_evaluate(const offload_gym_application *given, offload_gym_memory *memory)
{
    double radio_s = given->radio_backlog_s, value_s = 0.0;
    int i;
    offload_gym_copy(given, memory->core_s, memory->free_s);
    for (i = 0; i < given->num_tasks; i++) {
        int k = memory->decision[i];
        offload_gym_placed placed = offload_gym_place(given, memory, i, k, radio_s, memory->free_s[k]);
        offload_gym_take(memory, i, &placed, memory->free_s[k]);
        radio_s = placed.radio_s;
        value_s = offload_gym_max(value_s, placed.completion_s);
    }
    return value_s;
}

/* Fills who follows from whom. */
static inline void offload_gym_fill_children(const offload_gym_application *given, offload_gym_memory *memory)
{
    int n = given->num_tasks, *child_start = memory->child_start, i, e;
    for (i = 0; i <= n; i++)
        child_start[i] = 0;
    for (e = 0; e < given->edge_start[n]; e++)
        child_start[given->edge_parent[e] + 1]++;
    for (i = 0; i < n; i++)
        child_start[i + 1] += child_start[i];
    /* Backwards, from the end of each task's children on, so that child_start is left at their beginning. */
    for (i = n - 1; i >= 0; i--)
        for (e = given->edge_start[i + 1] - 1; e >= given->edge_start[i]; e--) {
            int at = --child_start[given->edge_parent[e] + 1];
            memory->child[at] = i;
            memory->child_edge[at] = e;
        }
    for (i = 0; i < n; i++)
        child_start[i] = child_start[i + 1];
    child_start[n] = given->edge_start[n];
}

/* Fills paces, stage times, children, and when the cores are free. */
static inline void offload_gym_open(const offload_gym_application *given, offload_gym_memory *memory)
{
    int i, k, m;
    offload_gym_fill_children(given, memory);
    for (k = 0; k < given->num_locations; k++) {
        const offload_gym_location *here = &given->locations[k];
        offload_gym_pace *pace = &memory->paces[k];
        pace->cycle_s = 1.0 / here->cpu_hz;
        pace->uplink_s = k > 0 ? 1.0 / here->uplink_bps : 0.0;
        pace->downlink_s = k > 0 ? 1.0 / here->downlink_bps : 0.0;
        pace->wired_s = k > 0 ? 1.0 / here->wired_bps : 0.0;
        pace->propagation_s = k > 0 ? here->propagation_s : 0.0;
        for (m = 0; m < here->cores; m++)
            memory->core_s[k][m] = here->backlog_s[m];
        for (i = 0; i < given->num_tasks; i++) {
            const offload_gym_task *task = &given->tasks[i];
            double *times = memory->times[i][k];
            times[0] = times[1] = times[3] = 0.0;
            if (k > 0 && given->edge_start[i] == given->edge_start[i + 1]) {
                times[0] = task->input_bits * pace->uplink_s;
                times[1] = task->input_bits * pace->wired_s + pace->propagation_s;
            }
            if (k > 0 && memory->child_start[i] == memory->child_start[i + 1])
                times[3] = task->output_bits * pace->downlink_s
                    + (task->output_bits * pace->wired_s + pace->propagation_s);
            times[2] = task->workload_cycles * pace->cycle_s;
        }
    }
}

/* What follows a task at each location takes so long at the least, its return included. */
static inline void offload_gym_fill_least_tails(const offload_gym_application *given, offload_gym_memory *memory)
{
    int i, k, e, source;
    for (i = 0; i < given->num_tasks; i++)
        for (k = 0; k < given->num_locations; k++)
            memory->least_tail_s[i][k] = memory->times[i][k][3];
    for (i = given->num_tasks - 1; i >= 0; i--)
        for (e = given->edge_start[i]; e < given->edge_start[i + 1]; e++) {
            double *parent_s = memory->least_tail_s[given->edge_parent[e]];
            for (source = 0; source < given->num_locations; source++) {
                double least_s = INFINITY;
                for (k = 0; k < given->num_locations; k++) {
                    offload_gym_move move = offload_gym_move_between(memory, given->edge_bits[e], source, k);
                    double tail_s = move.send_s + move.path_s + memory->times[i][k][2] + memory->least_tail_s[i][k];
                    least_s = offload_gym_min(least_s, tail_s);
                }
                parent_s[source] = offload_gym_max(parent_s[source], least_s);
            }
        }
}

/* Fills what the network sees of each task in all passes, and the two times that others are divided by. */
static inline void offload_gym_fill_graph(const offload_gym_application *given, offload_gym_memory *memory)
{
    int n = given->num_tasks, num_locations = given->num_locations, i, k, e, column;
    double run_s = 0.0, moved_s = 0.0, sent_s = 0.0, on_device_s = 0.0, unit_s, whole_s;
    float sent, on_device;
    for (i = 0; i < n; i++) {
        for (k = 0; k < num_locations; k++)
            run_s += memory->times[i][k][2] / (double)num_locations;
        on_device_s += memory->times[i][0][2];
        for (column = 0; column < OFFLOAD_GYM_FOR_TASK; column++)
            memory->of_task[i][column] = 0.0f;
    }
    for (i = n - 1; i >= 0; i--) {
        float *child = memory->of_task[i];
        if (given->edge_start[i] == given->edge_start[i + 1])
            sent_s += memory->times[i][1][0];
        for (e = given->edge_start[i]; e < given->edge_start[i + 1]; e++) {
            float *parent = memory->of_task[given->edge_parent[e]];
            offload_gym_move last = offload_gym_move_between(memory, given->edge_bits[e], num_locations - 1, 0);
            double move_s = 0.5 * (offload_gym_together(memory, given->edge_bits[e]) + last.path_s);
            moved_s += move_s;
            child[0] += 1.0f;
            parent[1] += 1.0f;
            child[2] = (float)((double)child[2] + move_s);
            parent[3] = (float)((double)parent[3] + move_s);
        }
    }
    unit_s = (run_s + moved_s) / (double)n;
    unit_s = unit_s > OFFLOAD_GYM_LEAST_S ? unit_s : 1.0;
    memory->unit_s = unit_s;
    whole_s = memory->least_fixed_s > OFFLOAD_GYM_LEAST_S ? memory->least_fixed_s : 1.0;
    sent = offload_gym_bounded(sent_s / whole_s);
    on_device = offload_gym_bounded(on_device_s / (whole_s * (double)given->locations[0].cores));
    for (i = 0; i < n; i++) {
        float *of_task = memory->of_task[i];
        of_task[6] = given->edge_start[i] == given->edge_start[i + 1] ? 1.0f : 0.0f;
        of_task[0] = offload_gym_bounded(0.5 * (double)of_task[0]);
        of_task[1] = offload_gym_bounded(0.5 * (double)of_task[1]);
        of_task[2] = offload_gym_bounded((double)of_task[2] / unit_s);
        of_task[3] = offload_gym_bounded((double)of_task[3] / unit_s);
        of_task[4] = sent;
        of_task[5] = on_device;
        of_task[7] = (float)((double)n / ((double)n + OFFLOAD_GYM_MANY_TASKS));
    }
}

/* Fills tails: from the finish of each task to the end, as if nothing waited for radio or cores. */
static inline void offload_gym_fill_tails(const offload_gym_application *given, const int *decision,
                                          offload_gym_memory *memory)
{
    int i, e;
    for (i = 0; i < given->num_tasks; i++)
        memory->tail_s[i] = memory->times[i][decision[i]][3];
    for (i = given->num_tasks - 1; i > 0; i--) {
        double own_s = memory->times[i][decision[i]][2] + memory->tail_s[i];
        for (e = given->edge_start[i]; e < given->edge_start[i + 1]; e++) {
            int parent = given->edge_parent[e];
            offload_gym_move move
                = offload_gym_move_between(memory, given->edge_bits[e], decision[parent], decision[i]);
            memory->tail_s[parent] = offload_gym_max(memory->tail_s[parent], move.send_s + move.path_s + own_s);
        }
    }
}

/* Fills all that is known of the schedule of the draft. */
static inline void offload_gym_open_draft(const offload_gym_application *given, offload_gym_memory *memory)
{
    int n = given->num_tasks, i, k, e;
    for (i = 0; i < n; i++)
        memory->decision[i] = memory->draft[i];
    memory->value_s = offload_gym_evaluate(given, memory);
    offload_gym_fill_tails(given, memory->draft, memory);
    for (k = 0; k < given->num_locations; k++)
        memory->run_left_s[n - 1][k] = 0.0;
    memory->radio_left_s[n - 1] = 0.0;
    for (i = n - 1; i >= 0; i--) {
        memory->draft_finish_s[i] = memory->finish_s[i];
        if (i == 0)
            break;
        for (k = 0; k < given->num_locations; k++)
            memory->run_left_s[i - 1][k] = memory->run_left_s[i][k];
        k = memory->draft[i];
        memory->run_left_s[i - 1][k] += memory->times[i][k][2];
        memory->radio_left_s[i - 1] = memory->radio_left_s[i] + memory->times[i][k][0];
        for (e = given->edge_start[i]; k > 0 && e < given->edge_start[i + 1]; e++)
            if (memory->draft[given->edge_parent[e]] == 0)
                memory->radio_left_s[i - 1] += offload_gym_move_between(memory, given->edge_bits[e], 0, k).send_s;
    }
}

/* How much of the data of task i is, or will be, at each location: of its parents, of other parents of its children,
 * and of its children in the draft. */
static inline void offload_gym_write_shares(const offload_gym_application *given, int i, offload_gym_memory *memory)
{
    double total_s = 0.0, others_s = 0.0, children_s = 0.0, per_total, per_other, per_child;
    int e, c, k;
    for (e = given->edge_start[i]; e < given->edge_start[i + 1]; e++) {
        float *share = &memory->x[memory->decision[given->edge_parent[e]]][OFFLOAD_GYM_SHARED + 9];
        double together_s = offload_gym_together(memory, given->edge_bits[e]);
        *share = (float)((double)*share + together_s);
        total_s += together_s;
    }
    for (c = memory->child_start[i]; c < memory->child_start[i + 1]; c++) {
        int child = memory->child[c];
        float *share = &memory->x[memory->draft[child]][OFFLOAD_GYM_SHARED + 12];
        double together_s = offload_gym_together(memory, given->edge_bits[memory->child_edge[c]]);
        *share = (float)((double)*share + together_s);
        children_s += together_s;
        for (k = 0; k < given->num_locations; k++) {
            share = &memory->x[k][OFFLOAD_GYM_SHARED + 10];
            *share = (float)((double)*share + memory->pull_s[child][k]);
            others_s += memory->pull_s[child][k];
        }
    }
    per_total = total_s > 0.0 ? 1.0 / total_s : 0.0;
    per_other = others_s > 0.0 ? 1.0 / others_s : 0.0;
    per_child = children_s > 0.0 ? 1.0 / children_s : 0.0;
    for (k = 0; k < given->num_locations; k++) {
        float *own = &memory->x[k][OFFLOAD_GYM_SHARED];
        own[9] = (float)((double)own[9] * per_total);
        own[10] = (float)((double)own[10] * per_other);
        own[12] = (float)((double)own[12] * per_child);
    }
}

/* Fills the numbers of each location for task i, next in the schedule. */
static inline void offload_gym_write_inputs(const offload_gym_application *given, int i, double radio_s,
                                            offload_gym_memory *memory)
{
    int n = given->num_tasks, num_locations = given->num_locations, k, c, m, column;
    double per_unit = 1.0 / memory->unit_s, value_s = memory->value_s;
    double per_value = value_s > OFFLOAD_GYM_LEAST_S ? 1.0 / value_s : 1.0;
    double soonest_s = INFINITY, least_tail_s = INFINITY, least_end_s = INFINITY, least_drafted_s = INFINITY;
    double now_s = INFINITY, slack_s = value_s - memory->draft_finish_s[i] - memory->tail_s[i];
    float *shared = memory->x[0];
    for (k = 0; k < num_locations; k++) {
        offload_gym_placed placed = offload_gym_place(given, memory, i, k, radio_s, memory->free_s[k]);
        double drafted_s = memory->times[i][k][3], *end_s = memory->end_s[k];
        float *own = &memory->x[k][OFFLOAD_GYM_SHARED];
        for (c = memory->child_start[i]; c < memory->child_start[i + 1]; c++) {
            int child = memory->child[c], target = memory->draft[child];
            offload_gym_move move
                = offload_gym_move_between(memory, given->edge_bits[memory->child_edge[c]], k, target);
            double after_s = memory->times[child][target][2] + memory->tail_s[child];
            drafted_s = offload_gym_max(drafted_s, move.send_s + move.path_s + after_s);
        }
        end_s[0] = placed.completion_s;
        end_s[1] = placed.finish_s + memory->least_tail_s[i][k];
        end_s[2] = placed.finish_s + drafted_s;
        soonest_s = offload_gym_min(soonest_s, end_s[0]);
        least_end_s = offload_gym_min(least_end_s, end_s[1]);
        least_drafted_s = offload_gym_min(least_drafted_s, end_s[2]);
        now_s = offload_gym_min(now_s, placed.start_s);
        least_tail_s = offload_gym_min(least_tail_s, memory->least_tail_s[i][k]);
        own[6] = offload_gym_bounded((placed.radio_s - radio_s) * per_unit);
        own[9] = own[10] = own[12] = 0.0f;
    }
    offload_gym_write_shares(given, i, memory);
    for (column = 0; column < OFFLOAD_GYM_FOR_TASK; column++)
        shared[column] = memory->of_task[i][column];
    shared[OFFLOAD_GYM_FOR_TASK] = (float)((double)(n - i) / (double)n);
    shared[OFFLOAD_GYM_FOR_TASK + 1] = offload_gym_bounded(offload_gym_max(radio_s - now_s, 0.0) * per_unit);
    shared[OFFLOAD_GYM_FOR_TASK + 2] = offload_gym_bounded(least_end_s * per_value);
    shared[OFFLOAD_GYM_FOR_TASK + 3] = offload_gym_bounded(now_s * per_value);
    shared[OFFLOAD_GYM_FOR_TASK + 4] = offload_gym_bounded(slack_s * per_unit);
    shared[OFFLOAD_GYM_FOR_TASK + 5] = offload_gym_bounded((radio_s + memory->radio_left_s[i]) * per_value);
    shared[OFFLOAD_GYM_FOR_TASK + 6] = offload_gym_bounded((memory->least_fixed_s * per_value - 1.0) * 4.0);
    shared[OFFLOAD_GYM_FOR_TASK + 7] = offload_gym_bounded(slack_s * per_value * 4.0);
    for (k = 0; k < num_locations; k++) {
        const double *end_s = memory->end_s[k];
        float *own = &memory->x[k][OFFLOAD_GYM_SHARED];
        int cores = given->locations[k].cores;
        double busy_s = 0.0, per_core = per_value / (double)cores;
        for (column = 0; k > 0 && column < OFFLOAD_GYM_SHARED; column++)
            memory->x[k][column] = shared[column];
        for (m = 0; m < cores; m++)
            busy_s += memory->free_s[k][m];
        own[0] = k == 0 ? 1.0f : 0.0f;
        own[1] = k == num_locations - 1 ? 1.0f : 0.0f;
        own[2] = offload_gym_bounded((end_s[0] - soonest_s) * per_unit);
        own[3] = offload_gym_bounded((memory->least_tail_s[i][k] - least_tail_s) * per_unit);
        own[4] = offload_gym_bounded((end_s[1] - least_end_s) * per_unit);
        own[5] = offload_gym_bounded(memory->times[i][k][2] * per_unit);
        own[7] = offload_gym_bounded(end_s[1] * per_value);
        own[8] = offload_gym_bounded(busy_s * per_core);
        own[11] = memory->draft[i] == k ? 1.0f : 0.0f;
        own[13] = offload_gym_bounded((busy_s + memory->run_left_s[i][k]) * per_core);
        own[14] = offload_gym_bounded((end_s[2] - value_s) * per_unit);
        own[15] = offload_gym_bounded((end_s[2] - least_drafted_s) * per_unit);
    }
}

/* Fills the score of each location from its numbers. */
static inline void offload_gym_score(const offload_gym_application *given, offload_gym_memory *memory)
{
    int k, j;
    for (k = 0; k < given->num_locations; k++) {
        float *a = memory->buffers[0], *b = memory->buffers[1];
        for (j = 0; j < OFFLOAD_GYM_INPUTS; j++)
            a[j] = memory->x[k][j];
        $calls
        memory->scores[k] = a[0];
    }
}

/* Places each task where its score is highest, the first on a tie; returns the makespan. */
static inline double offload_gym_run_pass(const offload_gym_application *given, offload_gym_memory *memory)
{
    double radio_s = given->radio_backlog_s, value_s = 0.0;
    int n = given->num_tasks, i, k, c, other;
    for (i = 0; i < n; i++)
        for (k = 0; k < given->num_locations; k++)
            memory->pull_s[i][k] = 0.0;
    offload_gym_copy(given, memory->core_s, memory->free_s);
    for (i = 0; i < n; i++) {
        offload_gym_placed placed;
        offload_gym_write_inputs(given, i, radio_s, memory);
        offload_gym_score(given, memory);
        k = 0;
        for (other = 1; other < given->num_locations; other++)
            if (memory->scores[other] > memory->scores[k])
                k = other;
        placed = offload_gym_place(given, memory, i, k, radio_s, memory->free_s[k]);
        offload_gym_take(memory, i, &placed, memory->free_s[k]);
        for (c = memory->child_start[i]; c < memory->child_start[i + 1]; c++)
            memory->pull_s[memory->child[c]][k]
                += offload_gym_together(memory, given->edge_bits[memory->child_edge[c]]);
        memory->decision[i] = k;
        radio_s = placed.radio_s;
        value_s = offload_gym_max(value_s, placed.completion_s);
    }
    return value_s;
}

/* The makespan of the decision behind the schedule of the tasks before `first` in before_s; infinite as soon as it
 * cannot be below limit_s. */
static inline double offload_gym_value_within(const offload_gym_application *given, int first, double radio_s,
                                              double value_s, double limit_s, offload_gym_memory *memory)
{
    int i;
    offload_gym_copy(given, memory->before_s, memory->free_s);
    for (i = first; i < given->num_tasks; i++) {
        int k = memory->decision[i];
        offload_gym_placed placed = offload_gym_place(given, memory, i, k, radio_s, memory->free_s[k]);
        double least_s;
        offload_gym_take(memory, i, &placed, memory->free_s[k]);
        radio_s = placed.radio_s;
        value_s = offload_gym_max(value_s, placed.completion_s);
        least_s = i > first ? offload_gym_max(value_s, placed.finish_s + memory->tail_s[i]) : value_s;
        if (least_s * OFFLOAD_GYM_TOLERANCE >= limit_s)
            return INFINITY;
    }
    return value_s;
}

/* Goes through the tasks once and moves each wherever that shortens the schedule; returns the makespan. */
static inline double offload_gym_flip_sweep(const offload_gym_application *given, double value_s,
                                            offload_gym_memory *memory)
{
    double radio_s = given->radio_backlog_s, before_s = 0.0;
    int i, k;
    offload_gym_fill_tails(given, memory->decision, memory);
    offload_gym_copy(given, memory->core_s, memory->before_s);
    for (i = 0; i < given->num_tasks; i++) {
        offload_gym_placed placed;
        int here = memory->decision[i];
        for (k = 0; k < given->num_locations; k++) {
            double moved_s;
            if (k == here)
                continue;
            memory->decision[i] = k;
            moved_s = offload_gym_value_within(given, i, radio_s, before_s, value_s, memory);
            if (moved_s < value_s) {
                value_s = moved_s;
                here = k;
            }
        }
        memory->decision[i] = here;
        placed = offload_gym_place(given, memory, i, here, radio_s, memory->before_s[here]);
        offload_gym_take(memory, i, &placed, memory->before_s[here]);
        radio_s = placed.radio_s;
        before_s = offload_gym_max(before_s, placed.completion_s);
    }
    return value_s;
}

/* A pass over the draft and sweeps behind it; the draft is replaced where that is better, and then 1. */
static inline int offload_gym_better_draft(const offload_gym_application *given, offload_gym_memory *memory)
{
    double value_s = offload_gym_run_pass(given, memory);
    int sweep, i;
    for (sweep = 0; sweep < OFFLOAD_GYM_NUM_SWEEPS; sweep++) {
        double swept_s = offload_gym_flip_sweep(given, value_s, memory);
        if (swept_s >= value_s)
            break;
        value_s = swept_s;
    }
    if (value_s >= memory->value_s)
        return 0;
    for (i = 0; i < given->num_tasks; i++)
        memory->draft[i] = memory->decision[i];
    memory->value_s = value_s;
    return 1;
}

/* The place whose value is the least but for num_before others; of equals, the lower one comes first. */
static inline int offload_gym_best_fixed(const offload_gym_application *given, const offload_gym_memory *memory,
                                         int num_before)
{
    const double *fixed_s = memory->fixed_s;
    int k, other;
    for (k = 0; k < given->num_locations - 1; k++) {
        int better = 0;
        for (other = 0; other < given->num_locations; other++)
            better += fixed_s[other] < fixed_s[k] || (other < k && fixed_s[other] <= fixed_s[k]);
        if (better == num_before)
            break;
    }
    return k;
}

/* Fills decision[0], ..., decision[num_tasks - 1] with locations and returns OFFLOAD_GYM_DECIDED, or returns what is
 * wrong and decides nothing. */
static inline int offload_gym_decide(const offload_gym_application *given, offload_gym_memory *memory, int *decision)
{
    int n, num_locations, number, pass, i, k;
    double best_s = 0.0;
    int wrong = offload_gym_check(given);
    if (wrong)
        return wrong;
    n = given->num_tasks;
    num_locations = given->num_locations;
    offload_gym_open(given, memory);
    for (k = 0; k < num_locations; k++) {
        for (i = 0; i < n; i++)
            memory->decision[i] = k;
        memory->fixed_s[k] = offload_gym_evaluate(given, memory);
        if (k == 0 || memory->fixed_s[k] < memory->least_fixed_s)
            memory->least_fixed_s = memory->fixed_s[k];
    }
    offload_gym_fill_least_tails(given, memory);
    offload_gym_fill_graph(given, memory);
    for (number = 0; number < OFFLOAD_GYM_NUM_STARTS && number < num_locations; number++) {
        k = offload_gym_best_fixed(given, memory, number);
        for (i = 0; i < n; i++)
            memory->draft[i] = k;
        for (pass = 0; pass < OFFLOAD_GYM_NUM_PASSES; pass++) {
            offload_gym_open_draft(given, memory);
            if (!offload_gym_better_draft(given, memory))
                break;
        }
        if (number == 0 || memory->value_s < best_s) {
            best_s = memory->value_s;
            for (i = 0; i < n; i++)
                decision[i] = memory->draft[i];
        }
    }
    return OFFLOAD_GYM_DECIDED;
}

#endif
"""
