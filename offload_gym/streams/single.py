"""One decision, asked from Python, as a device does that runs a policy in a loop of its own."""

from __future__ import annotations

from offload_gym.compilation import kernel
from offload_gym.lending import lent
from offload_gym.streams.deciding import Plan, decide_from, new_values
from offload_gym.streams.outlook import look, new_outlook
from offload_gym.streams.streams import StreamBatch
from offload_gym.streams.system import DROPPED, System, system_of, world_of


@kernel
def decide_one(arrays, systems, plan, j, decision):
    """Decide job j of a stream, which has arrived and was not admitted yet.

    Args:
        arrays: ``StreamBatch`` of one stream as a plain tuple.
        systems: ``System`` with an axis of 1 in front, as a plain tuple: the stream at the arrival of the job.
        plan: ``Plan`` as a plain tuple.
        j: the job.
        decision: (n,) filled with the locations of its tasks, or DROPPED in all of them.
    """
    batch, system, plan = lent(StreamBatch(*arrays)), lent(system_of(System(*systems), 0)), lent(Plan(*plan))
    world, num_locations, n = lent(world_of(batch, 0)), batch.servers.shape[1] + 1, batch.tasks.shape[2]
    # Memory of this kernel, used once: lent, it would be freed before it is used.
    outlook, values = new_outlook(num_locations, system.core_free_s.shape[1], n), new_values(plan, num_locations)
    look(world, system, world.jobs[j].device, outlook)
    decide_from(plan, world, system, outlook, j, 0, values)
    for i in range(n):
        decision[i] = outlook.decision[i] if outlook.decision[0] != DROPPED else DROPPED
