/* Streams of one device and one-task jobs in C: the yardstick of the event kernel. Arrays are C-contiguous; times are in
 * seconds. B streams of J jobs, S servers, at most M cores at a place, rates in `slots` slots. The structs are the dtypes
 * of offload_gym/streams/streams.py; tasks (B, J, 1, 3) are input bits, output bits, workload cycles. Nothing is dropped,
 * and no job has a deadline. */

#include <math.h>
#include <stdint.h>

typedef struct { double arrival_s, deadline_s; int64_t device, graph, num_tasks; } Job;
typedef struct { double hz; int64_t cores; } Device;
typedef struct {
    double cpu_hz;
    int64_t cores;
    double wired_bps, propagation_s, rate_ratio;
    int64_t site;
    double home_propagation_s;
} Server;
typedef struct {
    double slot_s, report_s, kappa, transmit_w, energy_weight_s_per_j, repair_s;
    int64_t loses_tasks;
} Common;
typedef struct { double time_s; int64_t job; int is_end; } Event; /* data are at a server, or the job is complete */

static inline double larger(double a, double b) { return a > b ? a : b; }

static inline double smaller(double a, double b) { return a < b ? a : b; }

static inline void push(Event *heap, int64_t *size, Event event) {
    int64_t at = (*size)++;
    while (at > 0 && heap[(at - 1) / 2].time_s > event.time_s) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = event;
}

static inline Event pop(Event *heap, int64_t *size) {
    Event first = heap[0], last = heap[--*size];
    int64_t at = 0;
    for (int64_t below = 1; below < *size; below = 2 * at + 1) {
        if (below + 1 < *size && heap[below + 1].time_s < heap[below].time_s)
            below++;
        if (heap[below].time_s >= last.time_s)
            break;
        heap[at] = heap[below];
        at = below;
    }
    heap[at] = last;
    return first;
}

/* Responses and joules (B, J) of decisions (B, J), and the jobs in the system integrated over time (B,). `heap` has room
 * for J events, `queue` for J jobs. */
void play(int64_t B, int64_t J, int64_t S, int64_t M, int64_t slots, const Job *restrict jobs,
          const double *restrict tasks, const Device *restrict devices, const Server *restrict servers,
          const double *restrict uplink_bps, const double *restrict downlink_bps, const Common *restrict common,
          const int64_t *restrict decisions, Event *restrict heap, int64_t *restrict queue, double *restrict response_s,
          double *restrict energy_j, double *restrict in_system_js) {
    double free_s[(S + 1) * M];
    for (int64_t b = 0; b < B; b++) {
        const Job *job = jobs + b * J;
        const Server *server = servers + b * S;
        const double *up = uplink_bps + b * slots, *down = downlink_bps + b * slots;
        const double slot_s = common[b].slot_s, joules_a_cycle = common[b].kappa * devices[b].hz * devices[b].hz;
        for (int64_t k = 0; k <= S; k++)
            for (int64_t c = 0; c < M; c++)
                free_s[k * M + c] = c < (k ? server[k - 1].cores : devices[b].cores) ? 0.0 : INFINITY;
        double now_s = 0.0, sent_s = INFINITY, left_bits = 0.0, since_s = 0.0, total_js = 0.0;
        int64_t size = 0, next = 0, head = 0, tail = 0, slot = 0, in_system = 0;
        int busy = 0;
        for (;;) {
            double then_s = next < J ? job[next].arrival_s : INFINITY;
            if (size > 0 && heap[0].time_s < then_s)
                then_s = heap[0].time_s;
            double end_s = busy && slot < slots - 1 ? (slot + 1) * slot_s : INFINITY;
            if (sent_s < then_s)
                then_s = sent_s;
            if (end_s < then_s)
                then_s = end_s;
            if (then_s == INFINITY)
                break;
            total_js += in_system * (then_s - now_s);
            now_s = then_s;
            if (sent_s <= now_s) { /* the transmission ends */
                int64_t j = queue[head++], k = decisions[b * J + j];
                if (up[slot] > 0.0)
                    energy_j[b * J + j] += common[b].transmit_w * (now_s - since_s);
                double path_s = tasks[(b * J + j) * 3] / server[k - 1].wired_bps + server[k - 1].propagation_s;
                push(heap, &size, (Event){now_s + path_s, j, 0});
                busy = 0;
                sent_s = INFINITY;
            }
            if (end_s <= now_s && busy) { /* the slot ends */
                if (up[slot] > 0.0) {
                    left_bits = larger(left_bits - (now_s - since_s) * up[slot], 0.0);
                    energy_j[b * J + queue[head]] += common[b].transmit_w * (now_s - since_s);
                }
                since_s = now_s;
                slot++;
                sent_s = up[slot] > 0.0 ? now_s + left_bits / up[slot] : INFINITY;
            }
            for (;;) { /* what arrives and ends at this moment */
                int64_t j;
                if (size > 0 && heap[0].time_s <= now_s) {
                    Event event = pop(heap, &size);
                    j = event.job;
                    if (event.is_end) {
                        in_system--;
                        continue;
                    }
                } else if (next < J && job[next].arrival_s <= now_s) {
                    j = next++;
                    in_system++;
                    energy_j[b * J + j] = 0.0;
                    if (decisions[b * J + j] > 0) {
                        queue[tail++] = j;
                        continue;
                    }
                } else
                    break;
                /* The job is ready: it takes the core that is free first. */
                const double *task = tasks + (b * J + j) * 3;
                int64_t k = decisions[b * J + j], core = 0;
                double *cores_s = free_s + k * M;
                for (int64_t c = 1; c < M; c++)
                    if (cores_s[c] < cores_s[core])
                        core = c;
                double done_s = larger(now_s, cores_s[core]) + task[2] / (k ? server[k - 1].cpu_hz : devices[b].hz);
                cores_s[core] = done_s;
                if (k > 0) { /* the way back */
                    double bits = task[1] / server[k - 1].rate_ratio;
                    done_s += task[1] / server[k - 1].wired_bps + server[k - 1].propagation_s;
                    int64_t s = (int64_t)smaller(done_s / slot_s, slots - 1.0);
                    while (bits > 0.0) {
                        double need_s = down[s] > 0.0 ? bits / down[s] : INFINITY;
                        if (s == slots - 1 || done_s + need_s <= (s + 1) * slot_s) {
                            done_s += need_s;
                            break;
                        }
                        bits -= ((s + 1) * slot_s - done_s) * down[s];
                        done_s = ++s * slot_s;
                    }
                } else
                    energy_j[b * J + j] += joules_a_cycle * task[2];
                response_s[b * J + j] = done_s - job[j].arrival_s;
                push(heap, &size, (Event){done_s, j, 1});
            }
            if (!busy && head < tail) { /* the radio begins what has waited longest */
                int64_t j = queue[head];
                slot = (int64_t)smaller(now_s / slot_s, slots - 1.0);
                left_bits = tasks[(b * J + j) * 3] / server[decisions[b * J + j] - 1].rate_ratio;
                since_s = now_s;
                sent_s = left_bits == 0.0 ? now_s : up[slot] > 0.0 ? now_s + left_bits / up[slot] : INFINITY;
                busy = 1;
            }
        }
        in_system_js[b] = total_js;
    }
}
