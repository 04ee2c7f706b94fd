"""Slots, and the servers' failures: in some of the slots a server is down, and its cores do nothing.

The future of a server's failures is known to the engine and must not be to a policy. So when a core is free is kept in
up time, the seconds in which the server has been up since time 0: what a core has still to do is the same whatever
fails later, and the moment at which it is done follows from up time and failures.
"""

from __future__ import annotations

from offload_gym.compilation import inlined


@inlined
def slot_at(world, time_s):
    """The slot of a moment: as many slots as have ended by then, at most the last one."""
    slot_s, last = world.common[0].slot_s, world.uplink_bps.shape[1] - 1
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
def is_down_in(world, k, slot):
    """Whether server ``k`` of a stream in which servers fail is down in a slot."""
    return world.down_slots[k - 1, slot + 1] > world.down_slots[k - 1, slot]


@inlined
def up_time_s(world, k, time_s):
    """Seconds until a moment in which location ``k`` has been up: all of them where it cannot fail."""
    if not can_fail(world, k):
        return time_s
    slot, slot_s = slot_at(world, time_s), world.common[0].slot_s
    down = world.down_slots[k - 1, slot]
    return (slot - down) * slot_s if is_down_in(world, k, slot) else time_s - down * slot_s


@inlined
def moment_of(world, k, up_s, from_s):
    """The first moment, not before ``from_s``, by which location ``k`` has been up for ``up_s`` seconds."""
    if not can_fail(world, k):
        return up_s
    if up_s <= up_time_s(world, k, from_s):
        return from_s
    slot, last, slot_s = slot_at(world, from_s), world.uplink_bps.shape[1] - 1, world.common[0].slot_s
    while True:
        time_s = up_s + world.down_slots[k - 1, slot] * slot_s
        if not is_down_in(world, k, slot) and (slot == last or time_s <= (slot + 1) * slot_s):
            return max(time_s, from_s)
        slot += 1
