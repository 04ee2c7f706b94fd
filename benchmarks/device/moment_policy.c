/* The policy alone: what its image takes is what a program grows by. */
#include "moment.h"

int policy_decide(const moment *one, int *decision)
{
    return offload_gym_decide(one->num_tasks, one->tasks, one->locations, one->radio_backlog, decision);
}
