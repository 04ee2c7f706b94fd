"""Where devices are and to which sites they are attached, as a map in matplotlib axes.

A site is a triangle of a colour of its own, full where a server stands there. A device is a dot in the colour of its
site with a line to it, hollow in an outage, and behind it the way of the last seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offload_gym.envs.rendering import BACKLOG_COLOUR, CLOUD_COLOUR, DEVICE_COLOUR, EDGE_COLOURS, GRID_COLOUR, INK
from offload_gym.streams.streams import NONE, Streams

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

SITE_COLOURS = (*EDGE_COLOURS, CLOUD_COLOUR, DEVICE_COLOUR)
EDGE_OF_MAP = 0.06  # of its size, left free on each side
MOST_NAMED = 40  # devices that have their numbers beside them


class Map(NamedTuple):
    """Devices and sites at a moment."""

    sites_m: NDArray[np.float64]  # (A, 2)
    servers: dict[int, list[int]]  # the numbers of the edge servers at a site, where there are any
    ways_m: NDArray[np.float64]  # (m, slots, 2) in the last seconds; the last one is where a device is
    attached: NDArray[np.int64]  # (m,) the site of each device
    outage: NDArray[np.bool_]  # (m,)
    bounds_m: tuple[tuple[float, float], tuple[float, float]]  # least and largest x, and y, of the whole stream


def map_of(streams: Streams, sites_m: NDArray[np.float64], now_s: float, past_s: float) -> Map:
    """The map of a stream whose devices move, in the slot of a moment."""
    batch, slot_s = streams.batch, float(streams.batch.common["slot_s"][0])
    last = batch.positions.shape[2] - 1
    slot, first = (min(max(int(s / slot_s), 0), last) for s in (now_s, now_s - past_s))
    servers: dict[int, list[int]] = {}
    for k, site in enumerate(batch.servers["site"][0].tolist(), start=1):
        if site != NONE:
            servers.setdefault(site, []).append(k)
    ways_m, attached = batch.positions[0, :, first : slot + 1], batch.sites[0, :, slot]
    places_m = np.concatenate([sites_m, batch.positions[0].reshape(-1, 2)])
    bounds_m = [(float(axis.min()), float(axis.max())) for axis in places_m.T]
    return Map(sites_m, servers, ways_m, attached, batch.uplink_bps[0, :, slot] == 0.0, (bounds_m[0], bounds_m[1]))


def colour_of(site: int) -> str:
    """The colour of a site."""
    return SITE_COLOURS[site % len(SITE_COLOURS)]


def draw_map_axes(axes: Axes, shown: Map) -> None:
    """Draw what maps of the same stream share: sites and servers."""
    margin = EDGE_OF_MAP * max(1.0, *(high - low for low, high in shown.bounds_m))
    (left, right), (bottom, top) = shown.bounds_m
    axes.set_xlim(left - margin, right + margin)
    axes.set_ylim(bottom - margin, top + margin)
    axes.set_aspect("equal", anchor="N")
    axes.tick_params(labelsize=8)
    axes.set_xlabel("metres; triangles are sites, full ones have a server", fontsize=9)
    axes.grid(color=GRID_COLOUR, linewidth=0.6)
    axes.set_axisbelow(True)
    for a, (x, y) in enumerate(shown.sites_m):
        full = a in shown.servers
        axes.scatter(
            [x], [y], marker="^", s=90, c=colour_of(a) if full else "white", edgecolors=colour_of(a), linewidths=1.6
        )
        if full:
            names = ", ".join(f"edge {k}" for k in shown.servers[a])
            axes.annotate(names, (x, y), (0, -13), textcoords="offset points", ha="center", fontsize=7, color=INK)


def draw_map(axes: Axes, shown: Map) -> list[Artist]:
    """Draw the devices into axes that ``draw_map_axes`` prepared; returns all that was drawn."""
    from matplotlib.collections import LineCollection

    here_m, colours = shown.ways_m[:, -1], [colour_of(site) for site in shown.attached.tolist()]
    links = np.stack([here_m, shown.sites_m[shown.attached]], axis=1)
    drawn: list[Artist] = [
        axes.add_collection(LineCollection(list(shown.ways_m), colors=BACKLOG_COLOUR, linewidths=0.8, zorder=2)),
        axes.add_collection(LineCollection(list(links), colors=colours, linewidths=0.8, linestyles="dotted", zorder=2)),
        axes.scatter(
            here_m[:, 0],
            here_m[:, 1],
            s=30,
            c=["white" if out else colour for out, colour in zip(shown.outage, colours, strict=True)],
            edgecolors=colours,
            linewidths=1.4,
            zorder=3,
        ),
    ]
    style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "color": INK, "zorder": 4, "clip_on": True}
    for d, place in enumerate(here_m if len(here_m) <= MOST_NAMED else here_m[:0]):
        drawn.append(axes.annotate(str(d), tuple(place), (4, 3), **style))
    return drawn
