"""Which attributes of the nodes and edges of a graph are read, which say how it is drawn, and which are refused."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

Rename = Mapping[str, str | None]  # the name that an attribute has in a graph: what it is here, None for nothing

# What Graphviz draws nodes and edges by (https://graphviz.org/docs/nodes and /docs/edges). Programs that know nothing
# of Graphviz use some of these names for sizes, "weight" above all: see the last check of ``read_attributes``.
_DRAWN_BY = """
    URL area arrowhead arrowsize arrowtail class color colorscheme comment constraint decorate dir distortion edgeURL
    edgehref edgetarget edgetooltip fillcolor fixedsize fontcolor fontname fontsize gradientangle group headURL
    head_lp headclip headhref headlabel headport headtarget headtooltip height href id image imagepos imagescale label
    labelURL labelangle labeldistance labelfloat labelfontcolor labelfontname labelfontsize labelhref labelloc
    labeltarget labeltooltip layer len lhead lp ltail margin minlen nojustify ordering orientation penwidth
    peripheries pin pos radius rects regular root samehead samplepoints sametail shape shapefile showboxes sides skew
    sortv style tailURL tail_lp tailclip tailhref taillabel tailport tailtarget tailtooltip target tooltip vertices
    weight width xlabel xlp z
"""
GRAPHVIZ = frozenset(_DRAWN_BY.split())


def checked_rename(rename: Rename | None, known: Sequence[str]) -> Rename:
    """``rename``, nothing where it is None; ValueError where it is not a mapping to names of ``known`` or None."""
    if rename is None:
        return {}
    if not isinstance(rename, Mapping):
        raise ValueError(f"rename is {rename!r}; it must be a dict, such as {{'weight': 'bits'}}")
    for name, meaning in rename.items():
        if meaning is not None and meaning not in known:
            raise ValueError(f"rename says that {name!r} is {meaning!r}; it must be one of {', '.join(known)}, or None")
    return rename


def read_attributes(
    label: str, attributes: Mapping[str, Any], known: Sequence[str], rename: Rename, needed: str | None = None
) -> dict[str, Any]:
    """Those of ``known`` that ``attributes`` has, under their names in ``known``.

    Args:
        label: what has the attributes, for messages.
        attributes: what stands in the graph. What only Graphviz knows is left out.
        known: the names that may stand there.
        rename: what other names mean; those that mean None are left out.
        needed: the one of ``known`` that must stand there if any attribute does.

    Raises:
        ValueError: an attribute is unknown, two mean the same, or ``needed`` is not there though others are.
    """
    given: dict[str, Any] = {}
    called: dict[str, Any] = {}  # as what each of them stands there
    for name, value in attributes.items():
        meaning = rename.get(name, name)
        if meaning is None:
            continue
        if meaning in given:
            raise ValueError(f"{label} has {meaning} twice, as {called[meaning]!r} and as {name!r}")
        if meaning not in known and meaning not in GRAPHVIZ:
            raise ValueError(f"{label} has the unknown attribute {meaning!r}; {_advice(meaning, known)}")
        given[meaning], called[meaning] = value, name
    if needed is not None and given and needed not in given:
        first = next(iter(given))
        raise ValueError(
            f"{label} has {', '.join(map(str, given))} and no {needed}; {needed}=0 says that it carries nothing, and "
            f"rename={{{first!r}: {needed!r}}} that {first} is its {needed}"
        )
    return {name: value for name, value in given.items() if name in known}


def _advice(name: Any, known: Sequence[str]) -> str:
    """What an attribute may be, and how to say so."""
    close = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0.5)
    meant = f", did you mean {close[0]!r}?" if close else ""
    guess = close[0] if close else known[0] if len(known) == 1 else None
    reads = f"rename={{{name!r}: {guess!r}}} says that it is {guess}, " if guess else ""
    says = "" if reads else "says "
    return f"it may have {', '.join(known)}{meant} ({reads}rename={{{name!r}: None}} {says}that it is nothing)"
