import random

import pytest

from offload_gym.applications.formats.dot_language import parse


@pytest.mark.parametrize(
    ("text", "nodes", "edges"),
    [
        ("digraph {}", {}, []),
        ("STRICT Digraph G { Node [a=1] x; NODE [a=2]; y }", {"x": {"a": "1"}, "y": {"a": "2"}}, []),
        (
            "digraph { a -> b -> c [k=1] ; }",
            {"a": {}, "b": {}, "c": {}},
            [("a", "b", {"k": "1"}), ("b", "c", {"k": "1"})],
        ),
        ("digraph { a -> {b c} }", {"a": {}, "b": {}, "c": {}}, [("a", "b", {}), ("a", "c", {})]),
        (
            "digraph { subgraph s { a; { b } } -> subgraph { c } }",
            {"a": {}, "b": {}, "c": {}},
            [("a", "c", {}), ("b", "c", {})],
        ),
        # Defaults end with the braces; a node keeps those from where it was named first.
        (
            "digraph { node [k=1] { node [k=2, m=3] a } b; a [n=4] }",
            {"a": {"k": "2", "m": "3", "n": "4"}, "b": {"k": "1"}},
            [],
        ),
        ("digraph { edge [k=1, m=2] a -> b [k=3] }", {"a": {}, "b": {}}, [("a", "b", {"k": "3", "m": "2"})]),
        ("digraph { rankdir=LR; graph [size=7] a:n -> b:port:sw }", {"a": {}, "b": {}}, [("a", "b", {})]),
        ('digraph { "a b" [k="x\\"y", m="c:\\\\d"] }', {"a b": {"k": 'x"y', "m": "c:\\\\d"}}, []),
        ('digraph { a [k="one" + " two"; m=.5 n=-3.] }', {"a": {"k": "one two", "m": ".5", "n": "-3."}}, []),
        ('digraph { a [k="one\\\ntwo"] }', {"a": {"k": "onetwo"}}, []),
        ("digraph { a [label=<<b>x</b>>] }", {"a": {"label": "<<b>x</b>>"}}, []),
        ("# 1 file\ndigraph { a // [k=1]\n /* b\n */ c [k=2][m=3] }", {"a": {}, "c": {"k": "2", "m": "3"}}, []),
        ('digraph { "node" -> "->" ; "=" ; é }', {"node": {}, "->": {}, "=": {}, "é": {}}, [("node", "->", {})]),
        ("digraph { 1->2;-1.5->2 }", {"1": {}, "2": {}, "-1.5": {}}, [("1", "2", {}), ("-1.5", "2", {})]),
    ],
)
def test_the_language(text, nodes, edges):
    graph = parse(text)
    assert graph.nodes == nodes
    assert list(graph.nodes) == list(nodes)
    assert graph.edges == edges


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "it is not a DOT file: line 1: digraph must come where the end of the file is"),
        ("hello", "it is not a DOT file: line 1: digraph must come where 'hello' is"),
        ("digraph {\n a\n", "it is not a DOT file: line 3: a name must come where the end of the file is"),
        ("digraph {\n\n a = }", "it is not a DOT file: line 3: a name must come where '}' is"),
        ("digraph { a [k=1 }", "it is not a DOT file: line 1: a name must come where '}' is"),
        ("digraph { a -> ; }", "it is not a DOT file: line 1: a name must come where ';' is"),
        ("digraph { a [k=<b] }", "it is not a DOT file: line 1: a string in angle brackets is not closed"),
        ("digraph { 1a }", 'it is not a DOT file: line 1: 1a must be in quotation marks, "1a"'),
        ("digraph { a ? b }", "it is not a DOT file: line 1: '?' is not understood"),
        ('digraph { a [k="x" + ] }', "it is not a DOT file: line 1: a string must come where ']' is"),
        ("graph { a -- b }", "it must hold one directed graph (digraph), and holds an undirected one"),
    ],
)
def test_what_is_not_the_language(text, sentence):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        parse(text)
    assert str(error.value) == sentence


class Writer:
    """A random graph, written in one of the many ways that the language has for it."""

    def __init__(self, seed: int, for_pydot: bool = False) -> None:
        self.for_pydot = for_pydot  # which reads neither negative numbers nor ; between attributes
        self.random = random.Random(seed)
        names = ["a", "_b1", "22", "-3.5", "two words", "semi;colon", "é", "c]", "x->y", "// z"]
        self.nodes = {name: self.drawn(5) for name in self.random.sample(names, self.random.randint(1, 8))}
        order = list(self.nodes)
        self.edges = [(a, b, self.drawn(2)) for a in order for b in order if a != b and self.random.random() < 0.3]

    def drawn(self, most: int) -> dict[str, str]:
        values = ["1", "2.5", "1e9", "a b", "red", "a=b", "{", "#x"]
        keys = [f"k{i}" for i in range(self.random.randint(0, most))]
        return {key: self.random.choice(values) for key in keys}

    def word(self, text: str) -> str:
        bare = text.isascii() and (text.isidentifier() or text.lstrip("-").replace(".", "").isdigit())
        bare = bare and not (self.for_pydot and text.startswith("-"))
        return text if bare and self.random.random() < 0.7 else f'"{text}"'

    def gap(self) -> str:
        return self.random.choice(["", " ", "\n", "\t ", " /* -> } */ ", " // { \n"])

    def attributes(self, given: dict[str, str]) -> str:
        if not given:
            return self.random.choice(["", " []"])
        pairs = [f"{self.word(key)}{self.gap()}={self.gap()}{self.word(value)}" for key, value in given.items()]
        between = ", " if self.for_pydot else self.random.choice([", ", ";", " "])
        return f"{self.gap()}[{between.join(pairs)}{self.gap()}]"

    def text(self) -> str:
        lines = [f"{self.word(name)}{self.attributes(given)}" for name, given in self.nodes.items()]
        lines += [
            f"{self.word(a)}{self.gap()}->{self.gap()}{self.word(b)}{self.attributes(given)}"
            for a, b, given in self.edges
        ]
        lines = [f"subgraph s{i} {{ {line} }}" if self.random.random() < 0.2 else line for i, line in enumerate(lines)]
        head = self.random.choice(["digraph", "strict digraph G", 'digraph "my graph"'])
        return f"{head} {{{self.gap()}" + "".join(f"{line};{self.gap()}\n" for line in lines) + "}"


@pytest.mark.parametrize("seed", range(200))
def test_random_graphs_come_back(seed):
    writer = Writer(seed)
    assert parse(writer.text()) == (writer.nodes, writer.edges)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what pydot calls
@pytest.mark.parametrize("seed", range(60))
def test_pydot_reads_the_same(seed):
    pydot = pytest.importorskip("pydot")
    text = Writer(seed, for_pydot=True).text()

    def plain(given):
        return {plain_word(key): plain_word(value) for key, value in given.items()}

    def plain_word(word):
        return word[1:-1] if word.startswith('"') else word

    def parts(graph):
        yield graph
        for subgraph in graph.get_subgraph_list():
            yield from parts(subgraph)

    (graph,) = pydot.graph_from_dot_data(text)
    nodes, edges = {}, []
    for part in parts(graph):
        nodes |= {plain_word(node.get_name()): plain(node.get_attributes()) for node in part.get_node_list()}
        for edge in part.get_edge_list():
            ends = plain_word(edge.get_source()), plain_word(edge.get_destination())
            edges.append((*ends, plain(edge.get_attributes())))
    ours = parse(text)
    assert ours.nodes == nodes
    assert sorted(ours.edges, key=str) == sorted(edges, key=str)
