/* The policy alone, with the books of one device. */
#include "stream.h"

static offload_gym_device device, kept;

static int report(const moment *one)
{
    TIME core_free[OFFLOAD_GYM_NUM_LOCATIONS - 1][OFFLOAD_GYM_MAX_CORES];
    int k, c;
    for (k = 0; k < OFFLOAD_GYM_NUM_LOCATIONS - 1; k++)
        for (c = 0; c < OFFLOAD_GYM_MAX_CORES; c++)
            core_free[k][c] = one->core_free[k][c];
    return offload_gym_report(&device, core_free, one->age, one->num_others);
}

int policy_decide(const moment *one, int *decision)
{
    decision[0] = -2;
    switch (one->kind) {
        case START: return offload_gym_start(&device, one->device_hz, one->servers, one->cores, one->num_devices);
        case REPORT: return report(one);
        case ARRIVE: return offload_gym_arrive(&device, &one->task, decision);
        case DONE: return offload_gym_done(&device);
        default:
            return offload_gym_tick(&device, one->passed, one->sent_bits, one->uplink_bps, one->downlink_bps);
    }
}

void policy_keep(void)
{
    kept = device;
}

void policy_put_right(const moment *one, int decided)
{
    offload_gym_view view;
    if (one->kind != ARRIVE || decided == one->expected)
        return;
    device = kept;
    offload_gym_look(&device, &view);
    offload_gym_count(&device);
    if (one->expected >= 0)
        offload_gym_put(&device, &one->task, one->expected);
}
