"""When servers fail: what is drawn for them, and what may follow from a moment on."""

from __future__ import annotations

from offload_gym.compilation import kernel
from offload_gym.random_numbers import stream, uniform


@kernel
def draw_failures(process, start, batch, b):
    """Fill in which slots the edge servers of stream ``b`` are down, from random numbers that begin at ``start``.

    A server is down in a share of the slots; it fails and is repaired from slot to slot with a constant probability, as
    outages of radios begin and end. The cloud server never fails.
    """
    slots = batch.down_slots.shape[2] - 1
    for k in range(batch.servers.shape[1]):
        batch.down_slots[b, k] = 0
        if slots > 0 and k < batch.servers.shape[1] - 1:
            chances = stream(start, 1, k)
            down = uniform(chances, 0) < process.failure_share
            _go_on(process, chances, down, batch.down_slots[b, k], 0, slots)


@kernel
def draw_future_failures(process, start, batch, b, from_slot, to_slot):
    """Fill in which slots the servers of stream ``b`` may be down after slot ``from_slot``, given how they are in it.

    From slot ``to_slot`` - 1 on all are up. What does not fail in the scenario goes on as it is said there of those
    that do: it is repaired.
    """
    if batch.down_slots.shape[2] == 1:
        return
    for k in range(batch.servers.shape[1]):
        down_slots = batch.down_slots[b, k]
        down = down_slots[from_slot + 1] > down_slots[from_slot]
        begins = k < batch.servers.shape[1] - 1
        if begins or down:
            _go_on(process, stream(start, 1, k), down, down_slots, from_slot + 1, to_slot)
        else:
            down_slots[from_slot + 1 :] = down_slots[from_slot + 1]


@kernel
def _go_on(process, chances, down, down_slots, first, last):
    """Fill ``down_slots`` (slots + 1,) behind slot ``first``, before which a server was down or not.

    In slot ``last`` - 1 and after it the server is up, as the last slot holds for ever.
    """
    for s in range(first, len(down_slots) - 1):
        chance = uniform(chances, s + 1)
        down = s < last - 1 and (chance >= process.failure_ends if down else chance < process.failure_begins)
        down_slots[s + 1] = down_slots[s] + down
