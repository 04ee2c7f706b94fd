"""Slots, and the servers' failures: in some of the slots a server is down, and its cores do nothing.

The future of a server's failures is known to the engine and must not be to a policy. So where tasks wait for their
server, when a core is free is kept in up time, the seconds in which the server has been up since time 0: what a core
has still to do is the same whatever fails later, and the moment at which it is done follows from up time and failures.
Where they are lost, nothing goes on after a failure, and all times are moments, see ``offload_gym.streams.losses``.
"""

from __future__ import annotations

import numpy as np

from offload_gym.compilation import inlined, kernel


@inlined
def slot_at(world, time_s):
    """The slot of a moment: as many slots as have ended by then, at most the last one."""
    return _slot_at(world.common[0].slot_s, world.uplink_bps.shape[1] - 1, time_s)


@inlined
def _slot_at(slot_s, last, time_s):
    slot = int(min(time_s / slot_s, last * 1.0))
    while slot < last and (slot + 1) * slot_s <= time_s:
        slot += 1
    while slot > 0 and slot * slot_s > time_s:
        slot -= 1
    return slot


@inlined
def can_fail(world, k):
    """Whether location ``k`` is a server of a stream in which servers fail."""
    return k > 0 and world.down_slots.shape[1] > 1


@inlined
def loses(world, k):
    """Whether location ``k`` is such a server, and what it holds is lost when it fails."""
    return can_fail(world, k) and world.common[0].loses_tasks != 0


@inlined
def is_down(world, k, time_s):
    """Whether server ``k``, which can fail, is down at a moment."""
    return up_time_and_state(world.down_slots[k - 1], world.common[0].slot_s, time_s)[1]


@inlined
def up_time_s(world, k, time_s):
    """Seconds until a moment in which location ``k`` has been up: all of them where no task waits until it is."""
    if not can_fail(world, k) or world.common[0].loses_tasks != 0:
        return time_s
    return up_time_and_state(world.down_slots[k - 1], world.common[0].slot_s, time_s)[0]


@inlined
def moment_of(world, k, up_s, from_s):
    """The first moment, not before ``from_s``, by which location ``k`` has been up for ``up_s`` seconds."""
    if not can_fail(world, k) or world.common[0].loses_tasks != 0:
        return up_s
    return _moment_of(world.down_slots[k - 1], world.common[0].slot_s, up_s, from_s)


# Calls, as their bodies would stand in every large kernel of streams, also of those without failures.


@kernel
def up_time_and_state(down_slots, slot_s, time_s):
    """From a server's ``down_slots`` (slots + 1,): (seconds up until a moment, whether it is down then)."""
    slot = _slot_at(slot_s, len(down_slots) - 2, time_s)
    down = down_slots[slot]
    if down_slots[slot + 1] > down:
        return (slot - down) * slot_s, True
    return time_s - down * slot_s, False


@kernel
def next_failure_s(down_slots, slot_s, slot):
    """When a server fails after a slot in which it is up or down; infinite where it never does."""
    for s in range(slot + 1, len(down_slots) - 1):
        if down_slots[s] == down_slots[s - 1] and down_slots[s + 1] > down_slots[s]:
            return s * slot_s
    return np.inf


@kernel
def _moment_of(down_slots, slot_s, up_s, from_s):
    if up_s <= up_time_and_state(down_slots, slot_s, from_s)[0]:
        return from_s
    last = len(down_slots) - 2
    slot = _slot_at(slot_s, last, from_s)
    while True:
        time_s = up_s + down_slots[slot] * slot_s
        if down_slots[slot + 1] == down_slots[slot] and (slot == last or time_s <= (slot + 1) * slot_s):
            return max(time_s, from_s)
        slot += 1
