"""Prototype of sampled futures."""
import math
import numpy as np
from offload_gym.compilation import kernel, inlined
from offload_gym.random_numbers import fill_normal, fill_uniform, stream
from offload_gym.lending import lent

@kernel
def probit(p):
    # Newton on erf from a rational start (prototype)
    x = 0.0
    for _ in range(30):
        f = 0.5 * math.erfc(-x / math.sqrt(2.0)) - p
        d = math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
        s = f / max(d, 1e-12)
        x -= max(min(s, 1.0), -1.0)
        if abs(s) < 1e-9:
            break
    return x

@kernel
def draw_future(parameters, start, world, first, last, now_s, slot):
    world = lent(world)
    lam, rho, low, high = parameters[0], parameters[1], parameters[2], parameters[3]
    u = np.empty(4)
    t = now_s
    for j in range(first, last):
        fill_uniform(start, 4 * (j - first), u)
        t += -math.log(1.0 - u[0]) / lam
        job = world.jobs[j]
        job.arrival_s = t
        job.deadline_s = np.inf
        job.device = 0
        job.graph = 0
        job.num_tasks = 1
        bits = 8 * (50e3 + 450e3 * u[1])
        world.tasks[j, 0, 0] = bits
        world.tasks[j, 0, 2] = bits * (50 + 450 * u[2])
        world.tasks[j, 0, 1] = bits * (.02 + .28 * u[3])
    n = world.uplink_bps.shape[1] - slot - 1
    if n > 0:
        z = np.empty(n)
        fill_normal(start, 4 * (last - first) + 4, z)
        r = world.uplink_bps[0, slot]
        ratio = world.downlink_bps[0, slot] / r
        c = min(max(math.log(r / low) / math.log(high / low), 1e-6), 1 - 1e-6)
        x = probit(c)
        end = int(t / world.common[0].slot_s) + 40
        for s in range(n):
            if slot + 1 + s > end:
                world.uplink_bps[0, slot + 1 + s] = world.uplink_bps[0, slot + s]
                world.downlink_bps[0, slot + 1 + s] = world.downlink_bps[0, slot + s]
                continue
            x = rho * x + math.sqrt(1 - rho * rho) * z[s]
            v = low * (high / low) ** (0.5 * math.erfc(-x / math.sqrt(2.0)))
            world.uplink_bps[0, slot + 1 + s] = v
            world.downlink_bps[0, slot + 1 + s] = v * ratio
