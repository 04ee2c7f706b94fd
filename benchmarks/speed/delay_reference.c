/* The delay model for independent tasks in C: the yardstick of the numba kernel. Arrays are C-contiguous; times are in
 * seconds. B instances, n tasks, K locations, at most M cores at a location. The columns are those of
 * offload_gym/instances.py: tasks are input bits, output bits, workload cycles; locations are CPU hertz, cores, uplink,
 * downlink and wired rate, propagation delay. */

#include <stdint.h>
#include <string.h>

enum { INPUT, OUTPUT, WORKLOAD, TASK_FIELDS };
enum { CPU, CORES, UPLINK, DOWNLINK, WIRED, PROPAGATION, LOCATION_FIELDS };
enum { SEND, PATH, RUN, RETURN, STAGES };
enum { CYCLE, UP, DOWN, WIRE, DELAY, PACES }; /* seconds a cycle and a bit, and the propagation delay */

static inline int64_t first_free(const double *free_s, int64_t cores) {
    int64_t core = 0;
    for (int64_t m = 1; m < cores; m++)
        if (free_s[m] < free_s[core])
            core = m;
    return core;
}

/* Makespans (B,) of decisions (B, n): what offload_gym.latency computes. The backlog is (B, K, backlog_columns), one
 * column where all cores of a location are alike. */
void batch_makespan(int64_t B, int64_t n, int64_t K, int64_t M, int64_t backlog_columns, const double *restrict tasks,
                    const double *restrict locations, const double *restrict backlog_s,
                    const double *restrict radio_backlog_s, const int64_t *restrict decisions,
                    double *restrict makespan_s) {
    double free_s[K * M], pace[K * PACES];
    int64_t used[K];
    for (int64_t b = 0; b < B; b++) {
        const double *location = locations + b * K * LOCATION_FIELDS;
        const double *backlog = backlog_s + b * K * backlog_columns;
        for (int64_t k = 0; k < K; k++) {
            const double *at = location + k * LOCATION_FIELDS;
            double *p = pace + k * PACES;
            p[CYCLE] = 1.0 / at[CPU];
            p[UP] = k > 0 ? 1.0 / at[UPLINK] : 0.0;
            p[DOWN] = k > 0 ? 1.0 / at[DOWNLINK] : 0.0;
            p[WIRE] = k > 0 ? 1.0 / at[WIRED] : 0.0;
            p[DELAY] = k > 0 ? at[PROPAGATION] : 0.0;
            used[k] = 0;
            if (backlog_columns > 1) {
                used[k] = (int64_t)at[CORES];
                for (int64_t m = 0; m < used[k]; m++)
                    free_s[k * M + m] = backlog[k * backlog_columns + m];
            }
        }
        double radio_s = radio_backlog_s[b], largest_s = 0.0;
        for (int64_t i = 0; i < n; i++) {
            const double *task = tasks + (b * n + i) * TASK_FIELDS;
            int64_t k = decisions[b * n + i];
            const double *p = pace + k * PACES;
            double ready_s = 0.0, return_s = 0.0;
            if (k > 0) {
                radio_s += task[INPUT] * p[UP];
                ready_s = radio_s + (task[INPUT] * p[WIRE] + p[DELAY]);
                return_s = task[OUTPUT] * p[DOWN] + (task[OUTPUT] * p[WIRE] + p[DELAY]);
            }
            double *cores_s = free_s + k * M;
            int64_t core = used[k];
            double start_s = backlog[k * backlog_columns];
            if (core < (int64_t)location[k * LOCATION_FIELDS + CORES])
                used[k] = core + 1; /* cores that are alike are taken one after the other */
            else {
                core = first_free(cores_s, core);
                start_s = cores_s[core];
            }
            double finish_s = (ready_s > start_s ? ready_s : start_s) + task[WORKLOAD] * p[CYCLE];
            cores_s[core] = finish_s;
            double completion_s = finish_s + return_s;
            largest_s = completion_s > largest_s ? completion_s : largest_s;
        }
        makespan_s[b] = largest_s;
    }
}

/* Makespans (D,) of decisions (D, n) for one instance whose stage times (n, K, 4) are known, as a search evaluates
 * them: what offload_gym.delay.evaluate computes. The schedule before the first task is radio_start_s and start_s
 * (K, M); cores (K,) says how many of its columns there are. */
void search_makespan(int64_t D, int64_t n, int64_t K, int64_t M, const double *restrict times,
                     const int64_t *restrict cores, double radio_start_s, const double *restrict start_s,
                     const int64_t *restrict decisions, double *restrict makespan_s) {
    double free_s[K * M];
    for (int64_t d = 0; d < D; d++) {
        const int64_t *decision = decisions + d * n;
        memcpy(free_s, start_s, sizeof free_s);
        double radio_s = radio_start_s, largest_s = 0.0;
        for (int64_t i = 0; i < n; i++) {
            int64_t k = decision[i];
            const double *stage = times + (i * K + k) * STAGES;
            double ready_s = 0.0;
            if (k > 0) {
                radio_s += stage[SEND];
                ready_s = radio_s + stage[PATH];
            }
            double *cores_s = free_s + k * M;
            int64_t core = first_free(cores_s, cores[k]);
            double begin_s = ready_s > cores_s[core] ? ready_s : cores_s[core];
            double finish_s = begin_s + stage[RUN];
            cores_s[core] = finish_s;
            double completion_s = finish_s + stage[RETURN];
            largest_s = completion_s > largest_s ? completion_s : largest_s;
        }
        makespan_s[d] = largest_s;
    }
}
