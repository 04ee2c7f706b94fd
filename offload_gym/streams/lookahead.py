"""What becomes of a whole job if a task goes to a location and what follows it is placed best.

A task that does not see what follows leaves the device too late: at the next task there is more to send, or another
one saves a way. So the tasks after it are looked at, in their order: each at each location, with the best of the
locations for each of its parents, and with the queues as they are foreseen. For a chain without prices this is the
shortest path through its cuts, and exact as far as queues are foreseen; a price may make a way best that comes later to
a core that both would wait for. Where tasks join, each parent is looked at alone and the one that costs most counts, as
in the optimistic cost table of PEFT (Arabnejad and Barbosa, IEEE TPDS 25(3), 2014); what is sent and run is that of its
path.
"""

from __future__ import annotations

import numpy as np

from offload_gym.compilation import inlined, kernel
from offload_gym.instances import INPUT, OUTPUT, WORKLOAD
from offload_gym.lending import lent
from offload_gym.streams.engine import is_entry, is_exit, path_s, run_s
from offload_gym.streams.outlook import moving_s, returning_s, sending_s
from offload_gym.streams.streams import PARENT

# Of the jobs in the system, those that are taken to wait while another one has the radio, or all cores of a place.
SHARE_THAT_WAITS = 0.25


@kernel
def look_ahead(world, outlook, j, i, second):
    """Fill what the options of task i of job j, which are weighed and which other tasks follow, say of the job.

    A second until the job is complete counts ``second``, and what is sent and run costs ``outlook.prices``.
    """
    world, outlook = lent(world), lent(outlook)
    for k in range(len(outlook.options)):
        _follow(world, outlook, j, i, k, second)


@inlined
def look_ahead_for_all(world, outlook, j, i):
    """Fill the same, where seconds of the radio and of cores cost what the other jobs of the device lose by them."""
    share_waits = SHARE_THAT_WAITS * outlook.foreseen[0].num_in_system
    for k in range(len(outlook.prices)):
        cores = world.devices[world.jobs[j].device].cores if k == 0 else world.servers[k - 1].cores
        outlook.prices[k].send, outlook.prices[k].run = share_waits, share_waits / cores
    look_ahead(world, outlook, j, i, 1.0)


@inlined
def _follow(world, outlook, j, i, k, second):
    """Place what follows task i, which is at location ``k``, and fill what its option says of the job."""
    foreseen, option, ahead, num_locations = (
        outlook.foreseen[0],
        outlook.options[k],
        outlook.ahead,
        len(outlook.options),
    )
    finish_s = foreseen.now_s + option.ready_s + option.core_wait_s + option.run_s
    for source in range(num_locations):
        start = ahead[i, source]
        start.value = np.inf
        start.finish_s, start.price, start.send_s, start.run_s = finish_s, 0.0, option.send_s, option.run_s
    ahead[i, k].value = second * (finish_s - foreseen.now_s)
    most = -np.inf
    for t in range(i + 1, world.jobs[j].num_tasks):
        least, best = np.inf, 0
        for there in range(num_locations):
            _reach(world, outlook, j, i, k, t, there, second)
            if is_exit(world, j, t):
                task = ahead[t, there]
                if there > 0:
                    bits_back_s = returning_s(world, foreseen, there, world.tasks[j, t, OUTPUT])
                    task.finish_s += bits_back_s
                    task.value += second * bits_back_s
                if task.value < least:
                    least, best = task.value, there
        # A job is complete with its last result. A value that is infinite everywhere has no best one.
        if is_exit(world, j, t) and least > most:
            most, last = least, ahead[t, best]
            option.job_s = max(last.finish_s, foreseen.done_s) - foreseen.now_s if least < np.inf else np.inf
            option.job_send_s, option.job_run_s, option.rest_price = last.send_s, last.run_s, last.price


@inlined
def _reach(world, outlook, j, i, k, t, there, second):
    """Fill what task ``t``, which is not placed yet, meets at location ``there`` if task i is at ``k``."""
    foreseen, task, graph = outlook.foreseen[0], outlook.ahead[t, there], world.jobs[j].graph
    now_s, radio_s, price = foreseen.now_s, outlook.options[k].radio_free_s, outlook.prices[there]
    task.finish_s, task.value, task.price, task.send_s, task.run_s = now_s, -np.inf, 0.0, 0.0, 0.0
    if is_entry(world, j, t):
        if there > 0:
            sent_s = sending_s(world, foreseen, there, world.tasks[j, t, INPUT])
            task.finish_s = radio_s + sent_s + path_s(world, foreseen.site, there, world.tasks[j, t, INPUT])
            task.send_s, task.price = sent_s, price.send * sent_s
        task.value = second * (task.finish_s - now_s) + task.price
    for e in range(world.graph_start[graph, t, 0], world.graph_start[graph, t + 1, 0]):
        parent, bits = world.graph_edges[graph, e, PARENT], world.edge_bits[j, e]
        placed = parent < i
        least, least_s, least_sent_s, source = np.inf, np.inf, 0.0, 0
        for at in range(len(outlook.options)):
            if placed and at != outlook.decision[parent]:
                continue
            value = second * (outlook.finish_s[parent] - now_s) if placed else outlook.ahead[parent, at].value
            if value == np.inf:
                continue
            finish_s = outlook.finish_s[parent] if placed else outlook.ahead[parent, at].finish_s
            there_s, sent_s = finish_s, 0.0
            if at == 0 and there > 0:
                sent_s = sending_s(world, foreseen, there, bits)
                there_s = max(radio_s, there_s) + sent_s
            there_s += moving_s(world, foreseen, at, there, bits)
            value += second * (there_s - finish_s) + price.send * sent_s
            if value < least:
                least, least_s, least_sent_s, source = value, there_s, sent_s, at
        if least > task.value or least == np.inf:  # the parent that keeps the task waiting
            task.value, task.price, task.send_s, task.run_s = least, price.send * least_sent_s, least_sent_s, 0.0
            if not placed and least < np.inf:
                before = outlook.ahead[parent, source]
                task.price += before.price
                task.send_s += before.send_s
                task.run_s = before.run_s
        task.finish_s = max(task.finish_s, least_s)
    free_s = np.inf
    for c in range(outlook.core_free_s.shape[1]):
        free_s = min(free_s, outlook.core_free_s[there, c])
    took_s = run_s(world, world.jobs[j].device, there, world.tasks[j, t, WORKLOAD])
    begin_s = max(task.finish_s, free_s)
    task.value += second * (begin_s + took_s - task.finish_s) + price.run * took_s
    task.price += price.run * took_s
    task.finish_s = begin_s + took_s
    if there == k:
        task.run_s += took_s
