"""Reading the DOT language: the nodes and edges of one directed graph, with their attributes.

The grammar is that of https://graphviz.org/doc/info/lang.html. pydot, the library that needs no Graphviz, takes some
3 ms an edge, nearly all of it in the parser generator below it; one pass over the tokens takes microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from offload_gym.applications.task_graph import check_size

Attributes = dict[str, str]
MOST_DEFAULTS = 200  # attributes of one default; Graphviz knows fewer


class Graph(NamedTuple):
    """The nodes in the order in which the text names them first, and the edges, with their attributes."""

    nodes: dict[str, Attributes]
    edges: list[tuple[str, str, Attributes]]


def parse(text: str) -> Graph:
    """The graph that a DOT text describes.

    Defaults (``node [...]``, ``edge [...]``) hold for what is named after them, in the braces where they stand.
    Attributes of the graph and of subgraphs, and ports, say nothing of nodes and edges, and are read over. Of two
    values that a node is given for one attribute the later holds, as in Graphviz.

    Raises:
        ValueError: the text is not DOT, or not one directed graph; with the line.
    """
    if "NODE_COUNT" in text and "digraph" not in text:
        raise ValueError("it is in daggen's own format; write it with daggen --dot")
    try:
        return _Reader(text).graph()
    except RecursionError:
        raise ValueError("its subgraphs are nested too deeply") from None


# A name without quotation marks is a word, which may be a keyword. Every character beyond ASCII counts as a letter.
_LETTER = r"A-Za-z_\x80-\U0010ffff"
_TOKEN = re.compile(
    rf"""
    (?P<space> [\ \t\r\n\f\v\ufeff]+ | //[^\n]* | /\*.*?\*/ | ^\#[^\n]* )
  | (?P<word> [{_LETTER}][{_LETTER}0-9]* )
  | (?P<number> -?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?) )
  | (?P<quoted> "(?:[^"\\]|\\.)*" )
  | (?P<mark> -> | -- | [{{}}\[\];,=:+] )
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_BADLY_ENDED = re.compile(rf"[{_LETTER}0-9.]+")
_UNCLOSED = {'"': "a quotation mark", "<": "a string in angle brackets", "/": "a comment"}


class _Token(NamedTuple):
    kind: str  # "word", "text" (what can be no keyword), "mark" or "end"
    text: str
    position: int


def _wrong(text: str, position: int, what: str) -> ValueError:
    return ValueError(f"it is not a DOT file: line {text.count(chr(10), 0, position) + 1}: {what}")


def _tokens(text: str) -> Iterator[_Token]:
    position, end = 0, len(text)
    while position < end:
        start = position
        if text[start] == "<":
            position = _html_end(text, start)
            yield _Token("text", text[start:position], start)
            continue
        match = _TOKEN.match(text, start)
        if match is None:
            if text[start] in _UNCLOSED:
                raise _wrong(text, start, f"{_UNCLOSED[text[start]]} is not closed")
            raise _wrong(text, start, f"{text[start]!r} is not understood")
        position, kind, found = match.end(), match.lastgroup, match.group()
        if kind == "number":
            rest = _BADLY_ENDED.match(text, position)
            if rest:  # Graphviz reads 1e9 as the two words 1 and e9
                number = found + rest.group()
                raise _wrong(text, start, f'{number} must be in quotation marks, "{number}"')
            yield _Token("text", found, start)
        elif kind == "quoted":
            unfolded = re.sub(r"\\\r?\n", "", found[1:-1])
            yield _Token("text", unfolded.replace('\\"', '"'), start)
        elif kind != "space":
            yield _Token(str(kind), found, start)
    yield _Token("end", "the end of the file", end)


def _html_end(text: str, start: int) -> int:
    """Where the string in angle brackets that begins at ``start`` ends; brackets in it come in pairs."""
    depth = 0
    for match in re.compile("[<>]").finditer(text, start):
        depth += 1 if match.group() == "<" else -1
        if depth == 0:
            return match.end()
    raise _wrong(text, start, f"{_UNCLOSED['<']} is not closed")


class _Scope(NamedTuple):
    """What holds between two braces."""

    node: Attributes  # defaults
    edge: Attributes
    names: dict[str, None]  # the nodes that stand there, as an ordered set


class _Reader:
    """A place in the tokens of a text, and what was read before it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.token, self.after = next(self.tokens), next(self.tokens, None)
        self.nodes: dict[str, Attributes] = {}
        self.edges: list[tuple[str, str, Attributes]] = []

    def graph(self) -> Graph:
        self._takes_word("strict")
        if self._takes_word("graph"):
            raise ValueError("it must hold one directed graph (digraph), and holds an undirected one")
        if not self._takes_word("digraph"):
            raise self._unexpected("digraph")
        if not self._next_is("{"):
            self._identifier()
        self._block(_Scope({}, {}, {}))
        if self.token.kind != "end":
            raise ValueError("it must hold one directed graph (digraph), and holds something after it")
        return Graph(self.nodes, self.edges)

    def _block(self, scope: _Scope) -> None:
        """Statements between braces."""
        self._expect("{")
        while not self._takes("}"):
            self._statement(scope)
            self._takes(";")

    def _statement(self, scope: _Scope) -> None:
        for word, defaults in (("node", scope.node), ("edge", scope.edge), ("graph", {})):
            if self._takes_word(word):
                defaults.update(self._attributes())
                if len(defaults) > MOST_DEFAULTS:  # each of the nodes and edges has a copy
                    raise self._wrong(f"{word} has {len(defaults)} attributes; it must have at most {MOST_DEFAULTS}")
                return
        if self._is_identifier() and self._marks_value():  # an attribute of the graph
            self._identifier()
            self._expect("=")
            self._identifier()
            return
        group, is_node = self._group(scope)
        if not self._next_is("->"):
            if self._next_is("--"):
                raise self._wrong("-- is the edge of an undirected graph; here it must be ->")
            attributes = self._attributes() if is_node else {}
            for name in group:
                self.nodes[name].update(attributes)
            return
        groups = [group]
        while self._takes("->"):
            groups.append(self._group(scope)[0])
        attributes = scope.edge | self._attributes()
        for parents, children in pairwise(groups):
            check_size(0, len(self.edges) + len(parents) * len(children))  # groups make many edges of few characters
            self.edges += [(parent, child, attributes) for parent in parents for child in children]

    def _group(self, scope: _Scope) -> tuple[list[str], bool]:
        """The nodes at one end of an edge: one, or those of a subgraph; and whether it is one."""
        is_subgraph = self._takes_word("subgraph")
        if is_subgraph and not self._next_is("{"):
            self._identifier()
        if is_subgraph or self._next_is("{"):
            inner = _Scope(dict(scope.node), dict(scope.edge), {})
            self._block(inner)
            scope.names.update(inner.names)
            return list(inner.names), False
        name = self._identifier()
        for _ in range(2):  # a port, and the side of it
            if self._takes(":"):
                self._identifier()
        if name not in self.nodes:
            self.nodes[name] = dict(scope.node)
            check_size(len(self.nodes))
        scope.names[name] = None
        return [name], True

    def _attributes(self) -> Attributes:
        found: Attributes = {}
        while self._takes("["):
            while not self._takes("]"):
                key = self._identifier()
                self._expect("=")
                found[key] = self._identifier()
                if not self._takes(";"):
                    self._takes(",")
        return found

    def _step(self) -> None:
        """Go on by one token; the last is that of the end."""
        if self.after is not None:
            self.token, self.after = self.after, next(self.tokens, None)

    def _marks_value(self) -> bool:
        """Whether an equals sign comes after the next token."""
        return self.after is not None and self.after[:2] == ("mark", "=")

    def _is_identifier(self) -> bool:
        return self.token.kind in ("word", "text")

    def _identifier(self) -> str:
        if not self._is_identifier():
            raise self._unexpected("a name")
        parts = [self.token.text]
        self._step()
        while self._takes("+"):
            if not self._is_identifier():
                raise self._unexpected("a string")
            parts.append(self.token.text)
            self._step()
        return "".join(parts)

    def _next_is(self, mark: str) -> bool:
        token = self.token
        return token.kind == "mark" and token.text == mark

    def _takes(self, mark: str) -> bool:
        found = self._next_is(mark)
        if found:
            self._step()
        return found

    def _takes_word(self, word: str) -> bool:
        """Whether a keyword comes next, which may be in capitals and is none in quotation marks."""
        found = self.token.kind == "word" and self.token.text.lower() == word
        if found:
            self._step()
        return found

    def _expect(self, mark: str) -> None:
        if not self._takes(mark):
            raise self._unexpected(repr(mark))

    def _unexpected(self, expected: str) -> ValueError:
        token = self.token
        found = token.text if token.kind == "end" else repr(token.text[:40])
        return self._wrong(f"{expected} must come where {found} is")

    def _wrong(self, what: str) -> ValueError:
        return _wrong(self.text, self.token.position, what)
