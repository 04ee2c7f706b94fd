/* The policy alone, with the books of one device. */
#include "stream.h"

static offload_gym_device device;

int policy_decide(const moment *one, int *decision)
{
    decision[0] = -2;
    switch (one->kind) {
        case START: return offload_gym_start(&device, one->device_hz, one->servers, one->cores, one->num_devices);
        case REPORT: return offload_gym_report(&device, (TIME (*)[OFFLOAD_GYM_MAX_CORES])(void *)one->core_free, one->age, one->num_others);
        case ARRIVE: return offload_gym_arrive(&device, &one->task, decision);
        case DONE: return offload_gym_done(&device);
        default:
            return offload_gym_tick(&device, one->passed, one->sent_bits, one->uplink_bps, one->downlink_bps);
    }
}
