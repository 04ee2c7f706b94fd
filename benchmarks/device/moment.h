/* One moment to decide, as benchmarks/device/moments.py writes it. TIME is the type of the header's times. */
#include <stdint.h>
#include "policy.h"

typedef struct {
    offload_gym_task tasks[OFFLOAD_GYM_MAX_TASKS];
    offload_gym_location locations[OFFLOAD_GYM_NUM_LOCATIONS];
    TIME radio_backlog;
    int num_tasks;
} moment;

typedef char records_have_the_size_that_python_writes[sizeof(moment) == RECORD_BYTES ? 1 : -1];

#define BEFORE_DECISION
#define AFTER_DECISION
enum { NUM_RESULTS = OFFLOAD_GYM_MAX_TASKS };

int policy_decide(const moment *one, int *decision);
