"""The elements of an XML text, one after the other, without what makes XML dangerous."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from xml.parsers import expat

from offload_gym.checks import quoted

DEEPEST = 100  # elements within each other
PIECE = 1 << 16  # characters that are read first


class Element(NamedTuple):
    """An element that begins: its name without a namespace, its attributes, and how many elements it stands in."""

    name: str
    attributes: dict[str, str]
    depth: int


def elements(text: str) -> Iterator[Element]:
    """All elements in the order in which they begin.

    A document type is refused before anything in it is read, so that no entity can be declared, expanded or fetched.

    Raises:
        ValueError: the text is not XML, declares a document type, or is nested too deeply.
    """
    found: list[Element] = []
    depth = 0

    def begins(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        if depth >= DEEPEST:
            raise ValueError(f"elements stand in {DEEPEST} others; they must stand in fewer")
        found.append(Element(name.rpartition(":")[2], attributes, depth))
        depth += 1

    def ends(_: str) -> None:
        nonlocal depth
        depth -= 1

    def declares(name: str, *_: object) -> None:
        raise ValueError(f"it declares the document type {quoted(name)}; it must declare none, and no entities")

    parser = expat.ParserCreate("UTF-8")
    parser.StartElementHandler, parser.EndElementHandler = begins, ends
    parser.StartDoctypeDeclHandler = declares
    start, size = 0, PIECE
    while start <= len(text):
        piece = text[start : start + size].encode("utf-8", "surrogatepass")
        start += size
        size *= 2  # expat scans a token that is not at its end anew for each piece
        try:
            parser.Parse(piece, start > len(text))
        except expat.ExpatError as error:
            raise ValueError(f"it is not XML: {error}") from None
        yield from found
        found.clear()
