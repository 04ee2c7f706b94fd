"""The C text of a device that keeps its own books, which ``offload_gym.networks.stream_header`` fills.

A device in C knows what happens to it: time passes, its radio sends, servers report, jobs arrive and come back. From
that follows what ``offload_gym.streams.outlook.look`` computes of a simulated device. All times in the books count from
now, below 0 what has passed, so that none of them loses precision however long the device runs. ``DEVICE`` is the same
in all numbers; ``REAL`` and ``FIXED`` have what depends on how a header counts. In ``FIXED`` the observation is written
a second time, in integers; in the other numbers it comes from the source of the kernels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from offload_gym.networks.c_layers import ONE
from offload_gym.streams.observing import BY_E, HIGH, LONG, MOST
from offload_gym.streams.outlook import SURE

SIGMOID_STEPS, SIGMOID_END = 32, 8.0  # of the table of ``likely_late`` in integers, which ends where nothing changes


class Parts(NamedTuple):
    """What depends on the numbers: text for the placeholders of the same names."""

    types: str
    arithmetic: str
    choose: str
    passed_parameter: str  # of offload_gym_tick
    unit: str  # that names of times end with


REAL = Parts(
    types="""\
typedef double offload_gym_time; /* seconds from now on; below 0: since then */
typedef double offload_gym_size; /* bits, cycles and rates */

/* A device: what it is, what it knows of the servers, and what it keeps of its jobs. offload_gym_start fills it. */
typedef struct {
    double device_hz;
    offload_gym_server servers[OFFLOAD_GYM_NUM_LOCATIONS - 1];
    int cores[OFFLOAD_GYM_NUM_LOCATIONS];
    int num_devices; /* that share the servers and the spectrum, this one included */
    double uplink_bps, downlink_bps; /* in an outage the last ones before it; 0 where there was none yet */
    int outage;
    double core_free_s[OFFLOAD_GYM_NUM_LOCATIONS][OFFLOAD_GYM_MAX_CORES];
    offload_gym_pending pending[OFFLOAD_GYM_MAX_PENDING];
    int num_pending, num_in_system, num_others;
    double report_age_s;
    offload_gym_radio radio; /* of its arrivals; moments count from now */
    double age_s, age_rest_s; /* since it began, and what its last digit does not hold */
} offload_gym_device;""",
    arithmetic="""\
#define OFFLOAD_GYM_NEVER INFINITY

static inline int offload_gym_is_time(double x)
{
    return x >= 0.0 && x <= 1e9; /* thirty years */
}

static inline int offload_gym_is_rate(double x)
{
    return x >= 0.0 && x <= DBL_MAX;
}

static inline int offload_gym_is_size(double x)
{
    return x >= 0.0 && x <= DBL_MAX;
}

static inline double offload_gym_sum(double a, double b)
{
    return a + b;
}

/* The fewest bits that are left of so many: a sum of parts in single precision is not more exact. */
static inline double offload_gym_something(double bits)
{
    return 1.0 + bits * 1e-6;
}

static inline double offload_gym_less(double a, double b)
{
    return a - b;
}

/* Nothing is to be brought up to date. */
static inline void offload_gym_refresh(offload_gym_device *device)
{
    (void)device;
}

static inline double offload_gym_send_time(const offload_gym_device *device, int k, double bits)
{
    double bps = device->uplink_bps / (double)(device->num_others + 1);
    return bits > 0.0 ? bits / (bps * device->servers[k - 1].rate_ratio) : 0.0;
}

static inline double offload_gym_path_time(const offload_gym_device *device, int k, double bits)
{
    const offload_gym_server *server = &device->servers[k - 1];
    return bits / server->wired_bps + server->propagation_s;
}

static inline double offload_gym_run_time(const offload_gym_device *device, int k, double cycles)
{
    return cycles / (k == 0 ? device->device_hz : device->servers[k - 1].cpu_hz);
}

static inline int offload_gym_is_server(const offload_gym_server *server)
{
    return server->cpu_hz > 0.0 && server->cpu_hz <= DBL_MAX && server->wired_bps > 0.0
        && offload_gym_is_time(server->propagation_s) && server->rate_ratio > 0.0 && server->rate_ratio <= DBL_MAX;
}

/* Lets the clocks that count up go on. A sum of many short times keeps what is too short for its last digit. */
static inline void offload_gym_age(offload_gym_device *device, double passed_s)
{
    double added_s = passed_s - device->age_rest_s, age_s = device->age_s + added_s;
    device->age_rest_s = (age_s - device->age_s) - added_s;
    device->age_s = age_s;
    device->radio.last_arrival_s -= passed_s;
    device->report_age_s += passed_s;
}

/* Counts a job that arrives now. */
static inline void offload_gym_count(offload_gym_device *device)
{
    if (device->radio.num_jobs >= OFFLOAD_GYM_MOST_JOBS) { /* half as many in half the time are as frequent */
        device->radio.num_jobs /= 2;
        device->age_s /= 2.0;
    }
    offload_gym_remember(&device->radio, 0.0);
    device->radio.last_arrival_s = 0.0;
}

static inline void offload_gym_begin(offload_gym_device *device)
{
    device->radio.num_jobs = 0;
    device->radio.last_arrival_s = 0.0;
    device->radio.gap_s = 0.0;
    device->age_s = 0.0;
    device->age_rest_s = 0.0;
    device->report_age_s = 0.0;
}""",
    choose="""\
/* What the network chooses for a job that arrives now: a location, or OFFLOAD_GYM_NUM_LOCATIONS for none. */
static inline int offload_gym_choose(const offload_gym_device *device, const offload_gym_task *task,
                                     const offload_gym_view *view)
{
    offload_gym_state state;
    int k, c;
    state.now_s = 0.0;
    state.input_bits = task->input_bits;
    state.output_bits = task->output_bits;
    state.workload_cycles = task->workload_cycles;
    state.deadline_s = task->deadline_s;
    state.device_hz = device->device_hz;
    state.uplink_bps = device->uplink_bps / (double)(device->num_others + 1);
    state.downlink_bps = device->downlink_bps;
    state.outage = device->outage;
    state.radio_free_s = view->radio_s;
    state.num_in_system = device->num_in_system;
    state.num_devices = device->num_devices;
    state.num_others = device->num_others;
    state.report_age_s = device->report_age_s;
    state.radio = device->radio;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        for (c = 0; c < OFFLOAD_GYM_MAX_CORES; c++)
            state.core_free_s[k][c] = c < device->cores[k] ? view->core_free_s[k][c] : INFINITY;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS - 1; k++)
        state.servers[k] = device->servers[k];
    return offload_gym_network(&state, device->age_s / ((double)device->radio.num_jobs + 1.0));
}""",
    passed_parameter="double passed_s",
    unit="s",
)


def _sigmoid_table() -> str:
    """1 / (1 + exp(-x)) from 0 to its end, a half to 1."""
    x = np.linspace(0.0, SIGMOID_END, SIGMOID_STEPS + 1)
    return ", ".join(str(round(ONE / (1.0 + math.exp(-at)))) for at in x)


_MICRO = 1_000_000
#: ``scaled`` of x millionths is the root of x * ONE**2 / 1e6: whole part, and 32 bits behind the point.
_ROOT_WHOLE, _ROOT_REST = divmod(ONE**2 << 32, _MICRO << 32)[0], ((ONE**2 % _MICRO) << 32) // _MICRO

_LOG_LONG = round(math.log2(LONG * _MICRO) * 65536)

FIXED = Parts(
    types="""\
typedef int32_t offload_gym_time;  /* microseconds from now on; below 0: since then */
typedef uint64_t offload_gym_size; /* bits and cycles, below 2**48 */

/* What a device knows of a server. */
typedef struct {
    uint64_t cpu_hz, wired_bps; /* OFFLOAD_GYM_INFINITE takes no time */
    int32_t propagation_us;
    uint32_t rate_ratio_permille; /* radio rates to it, of 1,000 that the device has */
} offload_gym_server;

/* A device: what it is, what it knows of the servers, and what it keeps of its jobs. offload_gym_start fills it. */
typedef struct {
    uint64_t device_hz;
    offload_gym_server servers[OFFLOAD_GYM_NUM_LOCATIONS - 1];
    int cores[OFFLOAD_GYM_NUM_LOCATIONS];
    int num_devices; /* that share the servers and the spectrum, this one included */
    uint64_t uplink_bps, downlink_bps; /* in an outage the last ones before it; 0 where there was none yet */
    int outage;
    int32_t core_free_us[OFFLOAD_GYM_NUM_LOCATIONS][OFFLOAD_GYM_MAX_CORES];
    offload_gym_pending pending[OFFLOAD_GYM_MAX_PENDING];
    int num_pending, num_in_system, num_others;
    int32_t report_age_us;
    int num_jobs; /* that arrived */
    int32_t since_arrival_us, gap_us;
    uint64_t age_us; /* since it began */
    /* Microseconds of a cycle at each location, and of a bit on the path to each server. */
    offload_gym_scaled run_pace[OFFLOAD_GYM_NUM_LOCATIONS], path_pace[OFFLOAD_GYM_NUM_LOCATIONS - 1];
    offload_gym_scaled send_pace[OFFLOAD_GYM_NUM_LOCATIONS - 1]; /* on the radio; none where no rate was seen yet */
} offload_gym_device;""",
    arithmetic=f"""\
#define OFFLOAD_GYM_INFINITE UINT64_MAX
#define OFFLOAD_GYM_NEVER 0x3fffffff /* the longest time, {0x3FFFFFFF / 1e6:.0f} s */
#define OFFLOAD_GYM_LARGEST_RATE 1000000000000u
#define OFFLOAD_GYM_LARGEST_SIZE 281474976710656u

static inline int offload_gym_is_time(int32_t x)
{{
    return x >= 0 && x <= OFFLOAD_GYM_NEVER;
}}

static inline int offload_gym_is_rate(uint64_t x)
{{
    return x <= OFFLOAD_GYM_LARGEST_RATE;
}}

static inline int offload_gym_is_size(uint64_t x)
{{
    return x < OFFLOAD_GYM_LARGEST_SIZE;
}}

static inline int32_t offload_gym_max(int32_t a, int32_t b)
{{
    return a > b ? a : b;
}}

/* No time is longer than OFFLOAD_GYM_NEVER, nor longer ago. */
static inline int32_t offload_gym_sum(int32_t a, int32_t b)
{{
    int32_t sum = a + b;
    return sum < OFFLOAD_GYM_NEVER ? sum : OFFLOAD_GYM_NEVER;
}}

static inline int32_t offload_gym_less(int32_t a, int32_t b)
{{
    return a - b > -OFFLOAD_GYM_NEVER ? a - b : -OFFLOAD_GYM_NEVER;
}}

/* The fewest bits that are left of so many. */
static inline uint64_t offload_gym_something(uint64_t bits)
{{
    (void)bits;
    return 1u;
}}

static inline offload_gym_scaled offload_gym_ratio(uint64_t a, uint64_t b)
{{
    offload_gym_scaled factor = offload_gym_scale(a);
    return offload_gym_divided(factor.mantissa, factor.exponent, offload_gym_scale(b));
}}

static inline int32_t offload_gym_product_time(uint64_t amount, offload_gym_scaled pace)
{{
    offload_gym_scaled given = offload_gym_scale(amount);
    return (int32_t)offload_gym_product(given.mantissa, pace, given.exponent, OFFLOAD_GYM_NEVER);
}}

static inline offload_gym_scaled offload_gym_pace(uint64_t rate)
{{
    offload_gym_scaled none = {{0, 0}};
    return rate == OFFLOAD_GYM_INFINITE ? none : offload_gym_ratio({_MICRO}u, rate);
}}

/* Microseconds of a bit on the radio to a server, at a rate of which `sharing` devices have a part each; none where
 * there is no rate. */
static inline offload_gym_scaled offload_gym_radio_pace(const offload_gym_device *device, int k, uint64_t bps,
                                                        int sharing)
{{
    offload_gym_scaled none = {{0, 0}};
    uint64_t rate = bps * device->servers[k - 1].rate_ratio_permille;
    return rate == 0u ? none : offload_gym_ratio(1000u * (uint64_t){_MICRO}u * (uint64_t)sharing, rate);
}}

static inline int32_t offload_gym_radio_time(uint64_t bits, offload_gym_scaled pace)
{{
    if (bits == 0u)
        return 0;
    return pace.mantissa == 0u ? OFFLOAD_GYM_NEVER : offload_gym_product_time(bits, pace);
}}

/* Brings up to date what many jobs are sent with. */
static inline void offload_gym_refresh(offload_gym_device *device)
{{
    int k;
    for (k = 1; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        device->send_pace[k - 1] = offload_gym_radio_pace(device, k, device->uplink_bps, device->num_others + 1);
}}

static inline int32_t offload_gym_send_time(const offload_gym_device *device, int k, uint64_t bits)
{{
    return offload_gym_radio_time(bits, device->send_pace[k - 1]);
}}

static inline int32_t offload_gym_path_time(const offload_gym_device *device, int k, uint64_t bits)
{{
    return offload_gym_sum(offload_gym_product_time(bits, device->path_pace[k - 1]),
                           device->servers[k - 1].propagation_us);
}}

static inline int32_t offload_gym_run_time(const offload_gym_device *device, int k, uint64_t cycles)
{{
    return offload_gym_product_time(cycles, device->run_pace[k]);
}}

static inline int offload_gym_is_server(const offload_gym_server *server)
{{
    return server->cpu_hz > 0u && server->wired_bps > 0u && offload_gym_is_time(server->propagation_us)
        && server->rate_ratio_permille > 0u && server->rate_ratio_permille <= {_MICRO}u;
}}

static inline void offload_gym_age(offload_gym_device *device, int32_t passed_us)
{{
    device->age_us += (uint64_t)passed_us;
    device->since_arrival_us = offload_gym_sum(device->since_arrival_us, passed_us);
    device->report_age_us = offload_gym_sum(device->report_age_us, passed_us);
}}

/* Mean time between the arrivals up to one now; the last ten count most. */
static inline int32_t offload_gym_recent_gap(const offload_gym_device *device)
{{
    int32_t weight = device->num_jobs < 9 ? device->num_jobs + 1 : 10;
    return device->gap_us + (device->since_arrival_us - device->gap_us) / weight;
}}

/* Counts a job that arrives now. */
static inline void offload_gym_count(offload_gym_device *device)
{{
    device->gap_us = offload_gym_recent_gap(device);
    device->since_arrival_us = 0;
    if (device->num_jobs >= OFFLOAD_GYM_MOST_JOBS) {{ /* half as many in half the time are as frequent */
        device->num_jobs /= 2;
        device->age_us /= 2u;
    }}
    device->num_jobs++;
}}

static inline void offload_gym_begin(offload_gym_device *device)
{{
    int k;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        device->run_pace[k] = offload_gym_pace(k == 0 ? device->device_hz : device->servers[k - 1].cpu_hz);
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS - 1; k++)
        device->path_pace[k] = offload_gym_pace(device->servers[k].wired_bps);
    device->num_jobs = 0;
    device->since_arrival_us = 0;
    device->gap_us = 0;
    device->report_age_us = 0;
    device->age_us = 0;
}}""",
    choose=f"""\
/* The root of a whole number, rounded down. */
static inline uint32_t offload_gym_root(uint32_t x)
{{
    uint32_t root = 0, bit;
    for (bit = 0x40000000u; bit != 0u; bit >>= 2) {{
        if (x >= root + bit) {{
            x -= root + bit;
            root = (root >> 1) + bit;
        }} else {{
            root >>= 1;
        }}
    }}
    return root;
}}

/* The logarithm to base 2 of x * 2**-31, which is from 1 to 2, in 16 bits behind the point. */
static inline uint32_t offload_gym_log(uint32_t x)
{{
    uint32_t log = 0;
    int bit;
    for (bit = 15; bit >= 0; bit--) {{
        uint64_t square = (uint64_t)x * x;
        if (square >= (uint64_t)1u << 63) {{
            log |= 1u << bit;
            x = (uint32_t)(square >> 32);
        }} else {{
            x = (uint32_t)(square >> 31);
        }}
    }}
    return log;
}}

/* The root of x millionths, and a logarithm where it is long, as layers read it. */
static inline int32_t offload_gym_seen(int32_t x)
{{
    if (x <= {int(LONG)} * {_MICRO}) {{
        uint32_t given = (uint32_t)x;
        uint32_t rest = (uint32_t)(((uint64_t)given * {_ROOT_REST}u) >> 32);
        return (int32_t)offload_gym_root(given * {_ROOT_WHOLE}u + rest);
    }}
    if (x < OFFLOAD_GYM_NEVER) {{
        offload_gym_scaled given = offload_gym_scale((uint64_t)x);
        /* {BY_E:g} * log(x / {LONG:g}) = {BY_E:g} * log(2) * (log2(x) - log2({LONG:g})), in 16 bits behind the point */
        int32_t log = ((given.exponent + 31) << 16) + (int32_t)offload_gym_log(given.mantissa) - {_LOG_LONG};
        uint64_t more = log > 0 ? ((uint64_t)log * {round(BY_E * math.log(2) * ONE)}u) >> 16 : 0u;
        return {round(math.sqrt(LONG) * ONE)} + (int32_t)more;
    }}
    return {round((math.sqrt(LONG) + BY_E * math.log(MOST / LONG)) * ONE)};
}}

/* The same of a count. */
static inline int32_t offload_gym_seen_count(int count, int32_t unit)
{{
    int32_t most = OFFLOAD_GYM_NEVER / unit;
    return offload_gym_seen(count < most ? count * unit : OFFLOAD_GYM_NEVER - 1);
}}

/* How likely a completion is too late: a half at the deadline. A table of 1 / (1 + exp(-x)), and lines between. */
static inline int32_t offload_gym_likely_late(int32_t completion_us, int32_t deadline_us)
{{
    static const uint16_t table[{SIGMOID_STEPS + 1}] = {{{_sigmoid_table()}}};
    uint32_t ratio, beyond, x, at, rest;
    if (deadline_us == OFFLOAD_GYM_NEVER)
        return 0;
    if (completion_us == OFFLOAD_GYM_NEVER)
        return {ONE};
    if (deadline_us == 0)
        return completion_us > 0 ? {ONE} : {ONE // 2};
    /* in 16 bits behind the point, at most 2: beyond that nothing changes */
    ratio = offload_gym_product((uint32_t)completion_us, offload_gym_ratio(65536u, (uint64_t)deadline_us), 0, 131072u);
    beyond = ratio > 65536u ? ratio - 65536u : 65536u - ratio;
    x = beyond * {round(SURE * SIGMOID_STEPS / SIGMOID_END)}u; /* steps of the table */
    at = x >> 16;
    rest = x & 0xffffu;
    x = at < {SIGMOID_STEPS}u ? table[at] + ((uint32_t)(table[at + 1] - table[at]) * rest >> 16) : {ONE}u;
    return (int32_t)(ratio > 65536u ? x : {ONE}u - x);
}}

/* What the network reads of a job that arrives now, into x. */
static inline void offload_gym_observe(const offload_gym_device *device, const offload_gym_task *task,
                                       const offload_gym_view *view, int32_t *x)
{{
    int32_t radio_us = view->radio_us;
    int sharing = device->num_others + 1, k, c;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++, x += OFFLOAD_GYM_OF_LOCATION) {{
        int32_t first_us = OFFLOAD_GYM_NEVER, work_us = 0, ready_us = 0, send_us = 0, path_us = 0, return_us = 0;
        int32_t run_us = offload_gym_run_time(device, k, task->workload_cycles), completion_us;
        int num_cores = 0;
        for (c = 0; c < device->cores[k]; c++) {{
            int32_t free_us = view->core_free_us[k][c];
            if (free_us < OFFLOAD_GYM_NEVER) {{ /* else it waits for what never comes */
                first_us = free_us < first_us ? free_us : first_us;
                work_us = offload_gym_sum(work_us, offload_gym_max(free_us, 0));
                num_cores++;
            }}
        }}
        if (k > 0) {{
            send_us = offload_gym_send_time(device, k, task->input_bits);
            path_us = offload_gym_path_time(device, k, task->input_bits);
            ready_us = offload_gym_sum(offload_gym_sum(radio_us, send_us), path_us);
            return_us = offload_gym_sum(offload_gym_path_time(device, k, task->output_bits),
                                        offload_gym_radio_time(task->output_bits, offload_gym_radio_pace(
                                            device, k, device->downlink_bps, 1)));
        }}
        completion_us = offload_gym_sum(offload_gym_sum(offload_gym_max(ready_us, first_us), run_us), return_us);
        x[0] = offload_gym_seen(completion_us);
        x[1] = offload_gym_seen(run_us);
        x[2] = offload_gym_seen(offload_gym_max(first_us, 0));
        x[3] = num_cores > 0 ? offload_gym_seen(work_us / num_cores) : {round(HIGH * ONE)};
        x[4] = offload_gym_seen(send_us);
        x[5] = offload_gym_seen(offload_gym_sum(path_us, return_us));
        x[6] = offload_gym_seen(offload_gym_run_time(device, k, 1000000000u));
        x[7] = offload_gym_likely_late(completion_us, task->deadline_us);
    }}
    x[0] = offload_gym_seen(radio_us);
    x[1] = offload_gym_seen_count(device->num_in_system, {_MICRO});
    x[2] = offload_gym_seen((int32_t)offload_gym_product(
        1u, offload_gym_ratio(device->age_us, (uint64_t)device->num_jobs + 1u), 0, OFFLOAD_GYM_NEVER));
    x[3] = offload_gym_seen(offload_gym_recent_gap(device));
    x[4] = offload_gym_seen(task->deadline_us);
    x[5] = 0;
    x[6] = 0;
    x[7] = {ONE // 2}; /* the job is one task */
    x[8] = 0;
    x[9] = device->outage ? {ONE} : 0;
    x[10] = device->uplink_bps > 0u
        ? offload_gym_seen(offload_gym_product_time(
              1000000u, offload_gym_ratio((uint64_t){_MICRO}u * (uint64_t)sharing, device->uplink_bps)))
        : offload_gym_seen(OFFLOAD_GYM_NEVER);
    x[11] = offload_gym_seen_count(device->num_jobs < {int(LONG)} ? device->num_jobs : {int(LONG)}, {_MICRO});
    x[12] = offload_gym_seen_count(device->num_others, {_MICRO // 10});
    x[13] = offload_gym_seen_count(device->num_devices, {_MICRO // 10});
    x[14] = offload_gym_seen(device->report_age_us);
}}

/* What the network chooses for a job that arrives now: a location, or OFFLOAD_GYM_NUM_LOCATIONS for none. */
static inline int offload_gym_choose(const offload_gym_device *device, const offload_gym_task *task,
                                     const offload_gym_view *view)
{{
    int32_t buffers[2][OFFLOAD_GYM_WIDEST], *a = buffers[0], *b = buffers[1];
    int chosen = 0, k;
    offload_gym_observe(device, task, view, a);
    $calls
    for (k = 1; k < OFFLOAD_GYM_NUM_OUTPUTS; k++)
        if (a[k] > a[chosen])
            chosen = k;
    return chosen;
}}""",
    passed_parameter="int32_t passed_us",
    unit="us",
)

#: What the device is made of, before ``types``.
PENDING = """\
/* A job on a server that is under way for what the device knows. */
typedef struct {
    int location;
    int waits; /* for the radio, or is being sent */
    $size left_bits, input_bits;
    $time ready_$unit; /* when its data are there, or are expected to be */
    $time run_$unit;
} offload_gym_pending;

/* A job, which is one task. */
typedef struct {
    $size input_bits, output_bits, workload_cycles;
    $time deadline_$unit; /* from now on; OFFLOAD_GYM_NEVER where it has none */
} offload_gym_task;
"""

DEVICE = """\
/* What is expected when a job arrives: when the radio has sent all that waits, and when cores are free of all that was
 * decided before. */
typedef struct {
    offload_gym_time radio_$unit;
    offload_gym_time core_free_$unit[OFFLOAD_GYM_NUM_LOCATIONS][OFFLOAD_GYM_MAX_CORES];
} offload_gym_view;

$arithmetic

/* The core that is free first, the lowest one on a tie. */
static inline int offload_gym_first_core(const offload_gym_time *free_$unit, int cores)
{
    int core = 0, c;
    for (c = 1; c < cores; c++)
        if (free_$unit[c] < free_$unit[core])
            core = c;
    return core;
}

/* Sends on what the radio has sent: so many bits of what waits, in its order. What is left by rounding is nothing. */
static inline void offload_gym_drain(offload_gym_device *device, offload_gym_size sent_bits)
{
    int i;
    for (i = 0; i < device->num_pending; i++) {
        offload_gym_pending *job = &device->pending[i];
        if (!job->waits)
            continue;
        if (job->left_bits > sent_bits && job->left_bits - sent_bits >= offload_gym_something(job->input_bits)) {
            job->left_bits -= sent_bits;
            break;
        }
        sent_bits -= job->left_bits < sent_bits ? job->left_bits : sent_bits;
        job->left_bits = 0;
        job->waits = 0;
        job->ready_$unit = offload_gym_path_time(device, job->location, job->input_bits);
    }
}

/* Begins the books of a device: nothing is under way, all cores are free, and no rate was seen. Call
 * offload_gym_tick with what the radio has before the first job arrives. Returns 0, or what is wrong. */
static inline int offload_gym_start(offload_gym_device *device, $size device_hz, const offload_gym_server *servers,
                                    const int *cores, int num_devices)
{
    int k, c;
    if (!(device_hz > 0) || !offload_gym_is_size(device_hz))
        return OFFLOAD_GYM_BAD_LOCATION;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        if (cores[k] < 1 || cores[k] > OFFLOAD_GYM_MAX_CORES || (k > 0 && !offload_gym_is_server(&servers[k - 1])))
            return OFFLOAD_GYM_BAD_LOCATION;
    if (num_devices < 1 || num_devices > OFFLOAD_GYM_MOST_OTHERS)
        return OFFLOAD_GYM_BAD_COUNT;
    device->device_hz = device_hz;
    device->num_devices = num_devices;
    device->uplink_bps = 0;
    device->downlink_bps = 0;
    device->outage = 1;
    device->num_pending = 0;
    device->num_in_system = 0;
    device->num_others = 0;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++) {
        device->cores[k] = cores[k];
        if (k > 0)
            device->servers[k - 1] = servers[k - 1];
        for (c = 0; c < OFFLOAD_GYM_MAX_CORES; c++)
            device->core_free_$unit[k][c] = 0;
    }
    offload_gym_begin(device);
    return OFFLOAD_GYM_DECIDED;
}

/* Time has passed since the last call, and the radio has sent so many bits of the jobs' inputs in it; from now on it
 * has these rates for itself, before other devices share them; 0 in an outage. Call it when a transmission
 * ends, when a rate changes, and before the other functions. Returns 0, or what is wrong; nothing has changed then. */
static inline int offload_gym_tick(offload_gym_device *device, $passed_parameter, $size sent_bits, $size uplink_bps,
                                   $size downlink_bps)
{
    int i, k, c;
    if (device->num_devices < 1) /* it was not begun */
        return OFFLOAD_GYM_BAD_COUNT;
    if (!offload_gym_is_time(passed_$unit))
        return OFFLOAD_GYM_BAD_TIME;
    if (!offload_gym_is_rate(uplink_bps) || !offload_gym_is_rate(downlink_bps))
        return OFFLOAD_GYM_BAD_RATE;
    if (!offload_gym_is_size(sent_bits))
        return OFFLOAD_GYM_BAD_SIZE;
    offload_gym_age(device, passed_$unit);
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        for (c = 0; c < device->cores[k]; c++)
            device->core_free_$unit[k][c] = offload_gym_less(device->core_free_$unit[k][c], passed_$unit);
    for (i = 0; i < device->num_pending; i++)
        device->pending[i].ready_$unit = offload_gym_less(device->pending[i].ready_$unit, passed_$unit);
    offload_gym_drain(device, sent_bits);
    device->outage = !(uplink_bps > 0);
    if (uplink_bps > 0)
        device->uplink_bps = uplink_bps;
    if (downlink_bps > 0)
        device->downlink_bps = downlink_bps;
    return OFFLOAD_GYM_DECIDED;
}

/* The servers have reported, a while ago: when each of their cores is free of what had arrived there, from the moment
 * of the report on, in the order of the servers; and how many other devices were sending. Returns 0, or what is wrong;
 * nothing has changed then. */
static inline int offload_gym_report(offload_gym_device *device,
                                     $time core_free_$unit[][OFFLOAD_GYM_MAX_CORES], $time age_$unit,
                                     int num_others)
{
    int i, k, c, kept = 0;
    if (!offload_gym_is_time(age_$unit))
        return OFFLOAD_GYM_BAD_TIME;
    if (device->num_devices < 1 || num_others < 0 || num_others > OFFLOAD_GYM_MOST_OTHERS)
        return OFFLOAD_GYM_BAD_COUNT;
    for (k = 1; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        for (c = 0; c < device->cores[k]; c++)
            if (!(core_free_$unit[k - 1][c] >= -OFFLOAD_GYM_NEVER && core_free_$unit[k - 1][c] <= OFFLOAD_GYM_NEVER))
                return OFFLOAD_GYM_BAD_BACKLOG;
    for (k = 1; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        for (c = 0; c < device->cores[k]; c++)
            device->core_free_$unit[k][c] = offload_gym_less(core_free_$unit[k - 1][c], age_$unit);
    for (i = 0; i < device->num_pending; i++) /* what was there is in the report */
        if (device->pending[i].waits || device->pending[i].ready_$unit > -age_$unit)
            device->pending[kept++] = device->pending[i];
    device->num_pending = kept;
    device->num_others = num_others;
    device->report_age_$unit = age_$unit;
    return OFFLOAD_GYM_DECIDED;
}

/* A job is complete: its result is on the device, or it is given up. Returns 0, or what is wrong. */
static inline int offload_gym_done(offload_gym_device *device)
{
    if (device->num_in_system < 1)
        return OFFLOAD_GYM_BAD_COUNT;
    device->num_in_system--;
    return OFFLOAD_GYM_DECIDED;
}

/* Fills what is expected now. */
static inline void offload_gym_look(offload_gym_device *device, offload_gym_view *view)
{
    int i, k, c;
    offload_gym_refresh(device);
    view->radio_$unit = 0;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS; k++)
        for (c = 0; c < device->cores[k]; c++)
            view->core_free_$unit[k][c] = device->core_free_$unit[k][c];
    for (i = 0; i < device->num_pending; i++) {
        offload_gym_pending *job = &device->pending[i];
        offload_gym_time *free_$unit = view->core_free_$unit[job->location];
        int core = offload_gym_first_core(free_$unit, device->cores[job->location]);
        if (job->waits) {
            view->radio_$unit = offload_gym_sum(
                view->radio_$unit, offload_gym_send_time(device, job->location, job->left_bits));
            job->ready_$unit = offload_gym_sum(
                view->radio_$unit, offload_gym_path_time(device, job->location, job->input_bits));
        }
        free_$unit[core] = offload_gym_sum(offload_gym_max(job->ready_$unit, free_$unit[core]), job->run_$unit);
    }
}

$choose

/* Where no more jobs can be under way: forgets those that were sent and are expected to have run, as where no report
 * comes that says so. */
static inline void offload_gym_make_room(offload_gym_device *device)
{
    int i, kept = 0;
    if (device->num_pending < OFFLOAD_GYM_MAX_PENDING)
        return;
    for (i = 0; i < device->num_pending; i++) {
        offload_gym_pending job = device->pending[i];
        if (job.waits || offload_gym_sum(job.ready_$unit, job.run_$unit) > 0)
            device->pending[kept++] = job;
    }
    device->num_pending = kept;
}

/* Puts the job where it was decided to go. */
static inline void offload_gym_put(offload_gym_device *device, const offload_gym_task *task, int k)
{
    offload_gym_time run_$unit = offload_gym_run_time(device, k, task->workload_cycles);
    device->num_in_system++;
    if (k == 0) {
        int core = offload_gym_first_core(device->core_free_$unit[0], device->cores[0]);
        offload_gym_time *free_$unit = &device->core_free_$unit[0][core];
        *free_$unit = offload_gym_sum(offload_gym_max(*free_$unit, 0), run_$unit);
    } else {
        offload_gym_pending *job = &device->pending[device->num_pending++];
        job->location = k;
        job->waits = 1;
        job->left_bits = task->input_bits;
        job->input_bits = task->input_bits;
        job->ready_$unit = 0; /* offload_gym_look says when, as long as it waits */
        job->run_$unit = run_$unit;
        offload_gym_drain(device, 0);
    }
}

/* A job arrives now: fills where it goes, or OFFLOAD_GYM_DROP, and puts it there. Returns OFFLOAD_GYM_DECIDED;
 * OFFLOAD_GYM_FULL where OFFLOAD_GYM_MAX_PENDING jobs are under way, so that this one stays on the device; or what is
 * wrong, and then nothing is decided. */
static inline int offload_gym_arrive(offload_gym_device *device, const offload_gym_task *task, int *location)
{
    offload_gym_view view;
    int code = OFFLOAD_GYM_DECIDED, chosen;
    if (!offload_gym_is_size(task->input_bits) || !offload_gym_is_size(task->output_bits)
        || !offload_gym_is_size(task->workload_cycles))
        return OFFLOAD_GYM_BAD_SIZE;
    if (!(task->deadline_$unit >= 0 && task->deadline_$unit <= OFFLOAD_GYM_NEVER))
        return OFFLOAD_GYM_BAD_TIME;
    if (device->num_devices < 1 || device->num_in_system >= OFFLOAD_GYM_MOST_IN_SYSTEM)
        return OFFLOAD_GYM_BAD_COUNT;
    offload_gym_make_room(device);
    offload_gym_look(device, &view);
    chosen = offload_gym_choose(device, task, &view);
    if (chosen > 0 && chosen < OFFLOAD_GYM_NUM_LOCATIONS && device->num_pending >= OFFLOAD_GYM_MAX_PENDING) {
        chosen = 0;
        code = OFFLOAD_GYM_FULL;
    }
    offload_gym_count(device);
    *location = OFFLOAD_GYM_DROP;
    if (chosen < OFFLOAD_GYM_NUM_LOCATIONS) {
        *location = chosen;
        offload_gym_put(device, task, chosen);
    }
    return code;
}
"""

#: The state from which a device in C with floating point decides, and the structs of the user.
GIVEN = """\
$given

/* What a device knows when a job arrives. All moments are on one clock in seconds; those that have passed count as now.
 * A device that keeps its books fills it by itself. */
typedef struct {
    double now_s; /* since the device began */
    /* The job, which is one task. */
    double input_bits, output_bits, workload_cycles;
    double deadline_s; /* after now; INFINITY where it has none */
    /* The device. */
    double device_hz;
    double uplink_bps, downlink_bps; /* that the radio is expected to have; in an outage the last ones before it */
    int outage;                      /* whether the uplink is in an outage */
    double radio_free_s;             /* when the radio has sent all that waits */
    int num_in_system;               /* jobs of this device that arrived before and are not complete */
    int num_devices;                 /* that share the servers and the spectrum, this one included */
    int num_others;                  /* of them, others that were sending at the last report on the servers */
    double report_age_s;             /* since that report; 0 where news are always fresh */
    offload_gym_radio radio;         /* all 0 at first; offload_gym_arrived changes it */
    /* When each core of each location is free; INFINITY where it has no such core. Location 0 is the device, the
     * servers follow, the cloud last. What this device has decided before counts, though it may be on its way. */
    double core_free_s[OFFLOAD_GYM_NUM_LOCATIONS][OFFLOAD_GYM_MAX_CORES];
    offload_gym_server servers[OFFLOAD_GYM_NUM_LOCATIONS - 1];
} offload_gym_state;

$structs
"""

#: What it reads, and what the network says to it.
DECIDE = """\
static inline double offload_gym_max(double a, double b)
{
    return a > b ? a : b;
}

static inline double offload_gym_min(double a, double b)
{
    return a < b ? a : b;
}

$kernels
@layers

/* What the network chooses: a location, or OFFLOAD_GYM_NUM_LOCATIONS for none. The mean time between arrivals is given,
 * as moments may count from now. */
static inline int offload_gym_network(const offload_gym_state *state, double mean_gap_s)
{
    offload_gym_world world;
    offload_gym_system system;
    offload_gym_outlook outlook;
    float buffers[2][OFFLOAD_GYM_WIDEST], *a = buffers[0], *b = buffers[1];
    int chosen = 0, k;
    $filling
    offload_gym_weigh(&world, &outlook, 0, 0);
    offload_gym_observe(&world, &system, &outlook, 0, 0, a);
    a[$gap_at] = (float)offload_gym_scaled(mean_gap_s);
    $calls
    for (k = 1; k < OFFLOAD_GYM_NUM_OUTPUTS; k++)
        if (a[k] > a[chosen])
            chosen = k;
    return chosen;
}

/* The location of the job, or OFFLOAD_GYM_DROP, from a state that the caller fills; it is not checked. */
static inline int offload_gym_decide(const offload_gym_state *state)
{
    int chosen = offload_gym_network(state, state->now_s / ((double)state->radio.num_jobs + 1.0));
    return chosen < OFFLOAD_GYM_NUM_LOCATIONS ? chosen : OFFLOAD_GYM_DROP;
}

/* Counts a job that arrived now, in a state that the caller keeps, after it was decided, dropped or not. */
static inline void offload_gym_arrived(offload_gym_radio *radio, double now_s)
{
    offload_gym_remember(radio, now_s);
}
"""

HEADER = """\
/* Task offloading decisions of a trained network of streams. Written by offload_gym.export_c; do not edit.
 *
 * Scenario: $scenario; objective: $objective; $num_locations locations; $parameters parameters.
 * $form
 * Memory: $flash bytes of weights, about $ram of a device, about $stack of arrays on the stack; no allocation.
 * Time: a job that arrives takes $products multiplications of weights, and a look at up to $max_pending jobs under way.
 */
#ifdef OFFLOAD_GYM_POLICY_H
#if OFFLOAD_GYM_POLICY_H != $checksum
#error "two policies have the same names: give export_c another name for one of them"
#endif
#else
#define OFFLOAD_GYM_POLICY_H $checksum

$includes

$defines
#define OFFLOAD_GYM_OF_LOCATION $of_location /* numbers that the network reads of each location */
#define OFFLOAD_GYM_MOST_JOBS 1000000 /* that are counted */
#define OFFLOAD_GYM_MOST_IN_SYSTEM 1000000
#define OFFLOAD_GYM_MOST_OTHERS 10000
#define OFFLOAD_GYM_DROP (-1) /* in place of a location: the job is not worth its while */

/* What functions return. */
#define OFFLOAD_GYM_DECIDED 0
#define OFFLOAD_GYM_FULL 1            /* a job stays on the device, as no more can be under way */
#define OFFLOAD_GYM_BAD_SIZE (-5)     /* bits or cycles below 0, infinite, too large, or no number */
#define OFFLOAD_GYM_BAD_LOCATION (-6) /* a server or the device: a rate not above 0, or cores out of bounds */
#define OFFLOAD_GYM_BAD_BACKLOG (-7)  /* when a core is free is no time */
#define OFFLOAD_GYM_BAD_TIME (-8)     /* below 0, too long, or no number */
#define OFFLOAD_GYM_BAD_RATE (-9)     /* of the radio: below 0, too large, or no number */
#define OFFLOAD_GYM_BAD_COUNT (-10)   /* of devices or jobs: out of bounds, or there is none to be done */

$given

$pending

$types

$decide

$device

#endif
"""
