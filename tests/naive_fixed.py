"""Decisions of a network in integers, in plain Python from what the header says of its numbers.

Times are exact here, rounded once to microseconds and once to shares of greedy's makespan; the header's may be off by
one, as it multiplies numbers of 32 bits.
"""

from fractions import Fraction

import numpy as np

from offload_gym.networks.c_layers import ONE, in_integers, largest_signal

UNIT = 1 << 16


def rounded(x):
    return int(x + Fraction(1, 2))


def span_us(amount, rate):
    """Microseconds of an amount at a rate."""
    return 0 if rate == np.inf else rounded(Fraction(int(amount)) * 1_000_000 / Fraction(int(rate)))


def squash(x):
    if x <= 2 * UNIT:
        return (x + UNIT // ONE // 2) // (UNIT // ONE)
    return 3 * ONE - ONE * UNIT // (x - UNIT)


def run(layers, x, last_is_linear, largest):
    for number, layer in enumerate(layers):
        whole, linear = in_integers(layer), last_is_linear and number == len(layers) - 1
        outputs = []
        for row, bias, factor, shift in zip(*(part.tolist() for part in whole), strict=True):
            total = bias + sum(w * value for w, value in zip(row, x, strict=True))
            assert abs(total) < 2**31
            size = min((abs(total) * factor) >> (16 + shift), largest)
            outputs.append(-size if linear and total < 0 else size if total > 0 else 0)
        x = outputs
    return x


class Schedule:
    def __init__(self, radio, cores):
        self.radio, self.cores, self.largest, self.total = radio, [sorted(row) for row in cores], 0, 0

    def copy(self):
        other = Schedule(self.radio, self.cores)
        other.largest, other.total = self.largest, self.total
        return other

    def finish(self, times, k):
        ready = self.radio + times[k][0] + times[k][1] if k else 0
        return max(ready, self.cores[k][0]) + times[k][2]

    def place(self, times, k):
        finish = self.finish(times, k)
        self.cores[k] = sorted([finish, *self.cores[k][1:]])
        self.radio += times[k][0]
        self.largest = max(self.largest, finish + times[k][3])
        self.total += finish + times[k][3]
        return self


def greedy(schedule, times):
    """Greedy earliest completion of these tasks: decision, and the schedule behind it."""
    schedule, decision = schedule.copy(), []
    for of_task in times:
        ends = [schedule.finish(of_task, k) + of_task[k][3] for k in range(len(of_task))]
        decision.append(ends.index(min(ends)))
        schedule.place(of_task, decision[-1])
    return decision, schedule


def stage_times_us(instances, b):
    """(send, path, run, return) in microseconds of each task at each location."""
    times = []
    for i in range(instances.num_tasks):
        sizes = [rounded(Fraction(float(getattr(instances, f)[b, i]))) for f in ("input_bits", "output_bits")]
        cycles, of_task = rounded(Fraction(float(instances.workload_cycles[b, i]))), []
        for k in range(instances.num_locations):
            rate = {
                f: np.rint(getattr(instances, f)[b, k]) for f in ("cpu_hz", "uplink_bps", "downlink_bps", "wired_bps")
            }
            run_us = span_us(cycles, rate["cpu_hz"])
            if k == 0:
                of_task.append((0, 0, run_us, 0))
                continue
            there_us, back_us = (
                span_us(size, rate["wired_bps"]) + rounded(Fraction(float(instances.propagation_s[b, k])) * 1_000_000)
                for size in sizes
            )
            back_us += span_us(sizes[1], rate["downlink_bps"])
            of_task.append((span_us(sizes[0], rate["uplink_bps"]), there_us, run_us, back_us))
        times.append(of_task)
    return times


def decide(policy, instances, b):
    """The decision of a network for independent tasks for one instance."""
    network, times = policy.network, stage_times_us(instances, b)
    largest = largest_signal((*network.encoder, *network.head))
    is_joint, is_mean = network.form == "joint", network.objective == "mean"
    value = (lambda s: s.total) if is_mean else (lambda s: s.largest)
    micro = lambda x: rounded(Fraction(float(x)) * 1_000_000)  # noqa: E731
    cores = [[micro(instances.backlog_s[b, k])] * count for k, count in enumerate(network.cores)]
    start = Schedule(micro(instances.radio_backlog_s[b]), cores)
    scale = greedy(start, times)[1].largest or 1_000_000
    share = lambda t: rounded(Fraction(t * UNIT, scale))  # noqa: E731
    times = [[tuple(map(share, of_location)) for of_location in of_task] for of_task in times]
    schedule = Schedule(share(start.radio), [[share(t) for t in row] for row in cores])
    n, num_locations = len(times), len(network.cores)
    rows = [[squash(row[0][2]), *(squash(t) for of in row[1:] for t in of)] for row in times]
    codes = [run(network.encoder, row, False, largest) for row in rows]
    later = [[0] * len(codes[0])]
    for code in reversed(codes):
        later.insert(0, [min(a + c, largest) for a, c in zip(later[0], code, strict=True)])
    best, whole = greedy(schedule, times)
    best_value, decision, state = value(whole), [], []
    for i in range(n):
        if i == 0 or not is_joint:
            state = [squash(schedule.radio), squash(schedule.largest), (n - i) * ONE // n]
            state += [squash(t) for row in schedule.cores for t in row]
            state += [squash(schedule.finish(times[i], k) + times[i][k][3]) for k in range(num_locations)]
            if policy.roll_outs:
                ends = []
                for k in range(num_locations):
                    trial, end = greedy(schedule.copy().place(times[i], k), times[i + 1 :])
                    if policy.keep_best and value(end) < best_value:
                        best, best_value = [*decision, k, *trial], value(end)
                    ends.append(end)
                if network.roll_outs:
                    state += [squash(end.largest) for end in ends] + [squash(end.total // n) for end in ends]
        before = [a - c for a, c in zip(later[0], later[i], strict=True)] if is_joint else []
        scores = run(network.head, [*before, *later[i + 1], *rows[i], *state], True, largest)
        decision.append(scores.index(max(scores)))
        if not is_joint:
            schedule.place(times[i], decision[-1])
    if is_joint:
        for of_task, k in zip(times, decision, strict=True):
            schedule.place(of_task, k)
    if not policy.keep_best:
        return decision
    return decision if value(schedule) < best_value else best
