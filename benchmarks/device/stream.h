/* What a device is told, as benchmarks/device/streams.py writes it. TIME and SIZE are types of the header. */
#include <stdint.h>
#include "policy.h"

enum { TICK, ARRIVE, DONE, PASS, REPORT, START };
enum { NUM_RESULTS = 1 }; /* where a job goes */

typedef struct {
    SIZE device_hz, sent_bits, uplink_bps, downlink_bps;
    offload_gym_task task;
    offload_gym_server servers[OFFLOAD_GYM_NUM_LOCATIONS - 1];
    TIME passed, age;
    TIME core_free[OFFLOAD_GYM_NUM_LOCATIONS - 1][OFFLOAD_GYM_MAX_CORES];
    int cores[OFFLOAD_GYM_NUM_LOCATIONS];
    int kind, num_devices, num_others, expected;
} moment;

typedef char records_have_the_size_that_python_writes[sizeof(moment) == RECORD_BYTES ? 1 : -1];

/* What comes next is of the decisions that were expected: where another one is made, the books are put right. */
#define BEFORE_DECISION policy_keep();
#define AFTER_DECISION policy_put_right(&one, given.decision[0]);

int policy_decide(const moment *one, int *decision);
void policy_keep(void);
void policy_put_right(const moment *one, int decided);
