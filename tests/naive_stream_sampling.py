"""Streams as they are drawn, in plain Python: the same numbers by the same rules, job by job and slot by slot."""

import heapq
import itertools
import math
from statistics import NormalDist

MASK, GOLDEN = 2**64 - 1, 0x9E3779B97F4A7C15
NORMAL = NormalDist()


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def begin(key, episode, epoch):
    start = mix((key + GOLDEN) & MASK)
    start = mix(start ^ ((episode * GOLDEN + 1) & MASK))
    return mix(start ^ ((epoch * GOLDEN + 2) & MASK))


class Numbers:
    """The random numbers of one purpose, by position and one after the other."""

    def __init__(self, start, purpose):
        self.start, self.position = begin(start, 0, purpose), 0

    def uniform(self, j):
        return (mix((self.start + (j + 1) * GOLDEN) & MASK) >> 11) / 2**53

    def next(self):
        self.position += 1
        return self.uniform(self.position - 1)

    def normal(self, j):
        first = j - j % 2
        radius, angle = math.sqrt(-2 * math.log(1 - self.uniform(first))), 2 * math.pi * self.uniform(first + 1)
        return radius * (math.sin(angle) if j % 2 else math.cos(angle))


def between(bounds, u):
    return bounds[0] + u * (bounds[1] - bounds[0])


def log_between(bounds, u):
    return bounds[0] * (bounds[1] / bounds[0]) ** u


def poisson(numbers, scenario, rate):
    t = 0.0
    while True:
        t += -math.log(1 - numbers.next()) / rate
        yield t


def bursty(numbers, scenario, rate):
    ratio, b, c = scenario.burst_ratio, scenario.burst_s, scenario.calm_s
    calm = rate * (b + c) / (ratio * b + c)
    bursting, t = numbers.next() < b / (b + c), 0.0
    while True:
        arrive, switch = (calm * ratio, 1 / b) if bursting else (calm, 1 / c)
        t += -math.log(1 - numbers.next()) / (arrive + switch)
        if numbers.next() * (arrive + switch) < arrive:
            yield t
        else:
            bursting = not bursting


def periodic(numbers, scenario, rate):
    nominal = (numbers.next() + scenario.jitter / 2) / rate
    while True:
        yield nominal + (numbers.next() - 0.5) * scenario.jitter / rate
        nominal += 1 / rate


PROCESSES = {"poisson": poisson, "bursty": bursty, "periodic": periodic}


def draw(scenario, key, episode, num_slots):
    """A stream of one-task jobs: (jobs: (arrival, device, task), devices: (hz, uplink, downlink ratio))."""
    start = begin(key, episode, 0)
    rate = scenario.arrivals_per_s
    if isinstance(rate, tuple):
        rate = log_between(rate, Numbers(start, 0).uniform(3 * scenario.num_locations))
    devices, arrivals = [], []
    correlation = scenario.correlation ** (scenario.slot_s / scenario.epoch_s)
    for d in range(scenario.num_devices):
        own, arriving, radio = (Numbers(start, 2 + 3 * d + purpose) for purpose in range(3))
        latent, uplink = radio.normal(0), []
        for s in range(num_slots):
            if s > 0:
                latent = correlation * latent + math.sqrt(1 - correlation**2) * radio.normal(s)
            uplink.append(log_between(scenario.uplink_bps, NORMAL.cdf(latent)))
        hz, ratio = between(scenario.device_hz, own.uniform(0)), between(scenario.downlink_ratio, own.uniform(1))
        devices.append((hz, uplink, ratio))
        arrivals.append(zip(PROCESSES[scenario.arrivals](arriving, scenario, rate), itertools.repeat(d)))
    numbers, jobs = Numbers(start, 1), []
    for j, (t, d) in zip(range(scenario.num_jobs), heapq.merge(*arrivals), strict=False):
        u = [numbers.uniform(5 * j + i) for i in range(3)]
        bits = between(scenario.input_bits, u[0])
        task = (bits, bits * between(scenario.output_ratio, u[2]), bits * between(scenario.cycles_per_bit, u[1]))
        jobs.append((t, d, task))
    return jobs, devices
