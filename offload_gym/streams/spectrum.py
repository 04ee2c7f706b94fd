"""How the radios that send share the spectrum of their site: who has sent first, and when that is.

A site's ``share_s`` goes on by one second over the number of its radios that send, so that the ``share_s`` at which a
transmission is sent does not change when others begin or end. By it those that have begun one stand in a heap.
"""

from __future__ import annotations

import numpy as np

from offload_gym.compilation import inlined, kernel
from offload_gym.streams.streams import NONE


@inlined
def share_by_now_s(clock, site):
    """How far ``share_s`` of a site is by now."""
    if site.num_sending == 0:
        return site.share_s
    return site.share_s + (clock.now_s - site.at_s) / site.num_sending


@inlined
def bring_up(system, site):
    """Let ``share_s`` of a site that is about to change be that of now; a single site is kept so at each moment."""
    if len(system.sites) > 1:
        site.share_s = share_by_now_s(system.clock[0], site)
    site.at_s = system.clock[0].now_s


@inlined
def foresee(clock, radios, site):
    """Fill when the first transmission at a site ends, if all goes on as now."""
    site.sent_s = np.inf
    if site.num_sending > 0:
        site.sent_s = clock.now_s + max(radios[site.first].due_s - site.share_s, 0.0) * site.num_sending


@inlined
def line_up(radios, site, d):
    """Put a radio that has begun a transmission into the heap of its site; those in an outage come last.

    It is a skew heap (Sleator and Tarjan, "Self-adjusting heaps", SIAM J. Comput. 1986), for which radios need no room
    beside their own: one among n is put in or taken out in O(log n) steps, amortized.
    """
    radios[d].left = radios[d].right = NONE
    site.first = d if site.first == NONE else joined(radios, site.first, d)


@inlined
def _sent_before(radios, d, other):
    """Whether of two radios at a site this one has sent first, on a tie the one of the lower number."""
    due_s, other_s = radios[d].due_s, radios[other].due_s
    return due_s < other_s or (due_s == other_s and d < other)


@kernel
def joined(radios, a, b):
    """The root of one heap made of those with the roots ``a`` and ``b``."""
    if _sent_before(radios, b, a):
        a, b = b, a
    root = a
    while True:  # what is below ``b`` and it itself come below ``a``
        below = radios[a].right
        radios[a].right = radios[a].left
        if below == NONE:
            radios[a].left = b
            return root
        if _sent_before(radios, b, below):
            below, b = b, below
        radios[a].left = below
        a = below


@inlined
def take_apart(radios, site, chain):
    """Put the radios of a site's heap before a chain along ``right``; returns the first. The site is left without any.

    What is left below a radio is moved above it until nothing is, so that no room for a stack is needed.
    """
    d = site.first
    site.first, site.num_sending, site.sent_s = NONE, 0, np.inf
    while d != NONE:
        left = radios[d].left
        if left == NONE:
            after = radios[d].right
            radios[d].right = chain
            chain, d = d, after
        else:
            radios[d].left = radios[left].right
            radios[left].right = d
            d = left
    return chain
