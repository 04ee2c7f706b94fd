"""The structure of the code in figures, and the bounds it keeps: ``python tests/structure.py`` prints the table.

It reads the sources of offload_gym, agents and benchmarks as text and runs nothing. A room is a folder, or a file at
the top of a package; an import inside a function counts as any other.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGES = ("offload_gym", "agents", "benchmarks")
MANY = 10  # parameters
REFERENCES = {"benchmarks/speed/cp_sat_reference.py"}
REASON = "# Parameters:"  # what the comment above a function with many parameters begins with
OBJECTIVE_RULES = "offload_gym/delay.py"
# The top floor, which may import what the package shows.
TOP = {"offload_gym/__main__.py", "offload_gym/command_line", "offload_gym/interop"}


class Figure(NamedTuple):
    """What is measured, its value, the most it may be, and where it is reached."""

    what: str
    value: int
    most: int
    where: list[str]


class Function(NamedTuple):
    """A function or method: where it stands, its number of parameters, and the lines of its body."""

    where: str
    line: int
    parameters: int
    lines: int


def sources() -> dict[str, str]:
    """The text of each file by its path."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def functions(path: str, text: str) -> Iterator[Function]:
    """All functions of a file; a docstring is not part of a body."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            count = len(given.posonlyargs + given.args + given.kwonlyargs) + bool(given.vararg) + bool(given.kwarg)
            body = node.body[1:] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            lines = (body[-1].end_lineno or body[-1].lineno) - body[0].lineno + 1
            yield Function(f"{path}:{node.name}", first, count, lines)


def imports(text: str) -> set[str]:
    """The modules of this project that a file imports, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.partition(".")[0] in PACKAGES}


def arrows(texts: dict[str, str]) -> set[tuple[str, str]]:
    """(file, file that it imports)."""
    files = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in texts}
    return {
        (path, files[name])
        for path, text in texts.items()
        for name in imports(text)
        if name in files
        and files[name] != path
        and not path.endswith("/__init__.py")
        # A package's face hands names on; who imports a module of it imports that module.
        and not (files[name].endswith("/__init__.py") and any(other.startswith(f"{name}.") for other in imports(text)))
    }


def circles(edges: set[tuple[str, str]]) -> list[list[str]]:
    """The groups of more than one node in which each reaches every other."""
    ahead: dict[str, set[str]] = {}
    for source, target in edges:
        ahead.setdefault(source, set()).add(target)
        ahead.setdefault(target, set())

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        stack = [start]
        while stack:
            for target in ahead[stack.pop()] - seen:
                seen.add(target)
                stack.append(target)
        return seen

    reach = {node: reached(node) for node in ahead}
    groups = {frozenset({node} | {other for other in reach[node] if node in reach[other]}) for node in ahead}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def room(path: str) -> str:
    """The room that a file is, or stands in."""
    parts = path.split("/")
    return path if len(parts) == 2 else "/".join(parts[:2])


def _names_an_objective(test: ast.expr) -> bool:
    """Whether a condition compares with the number or the name of one objective."""
    return any(
        (isinstance(part, ast.Name) and part.id in ("MAKESPAN", "MEAN", "COST"))
        or (isinstance(part, ast.Constant) and part.value in ("makespan", "mean", "cost"))
        for compared in ast.walk(test)
        if isinstance(compared, ast.Compare)
        for part in ast.walk(compared)
    )


def objective_rules(path: str, text: str) -> Iterator[str]:
    """Where one of two values is chosen by an objective, outside of the rules: ``a if objective == MEAN else b``."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.IfExp) and _names_an_objective(node.test):
            words = all(isinstance(choice, ast.Constant) for choice in (node.body, node.orelse))
            # A solver that others are measured against has rules of its own.
            if not words and path not in REFERENCES:
                yield f"{path}:{node.lineno}"


def objective_methods(path: str, text: str) -> Iterator[str]:
    """Branches for one objective in the package: bounds and methods that hold for that one alone."""
    for node in ast.walk(ast.parse(text)):
        if path.startswith("offload_gym/") and isinstance(node, ast.If | ast.While) and _names_an_objective(node.test):
            yield f"{path}:{node.lineno}"


def figures() -> list[Figure]:
    """The table."""
    texts = sources()
    found = [function for path, text in texts.items() for function in functions(path, text)]
    many = [function for function in found if function.parameters >= MANY]
    unexplained = [
        function.where
        for function in many
        if REASON not in "\n".join(texts[function.where.split(":")[0]].splitlines()[: function.line - 1][-4:])
    ]
    longest = max(found, key=lambda function: function.lines)
    skips = [
        f"{path}:{number}"
        for path, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if re.search(r"# fmt: (skip|off)", line)
    ]
    edges = arrows(texts)
    rooms = {(room(source), room(target)) for source, target in edges if room(source) != room(target)}
    tangles = circles(rooms)
    up = [f"{a} -> {b}" for a, b in sorted(rooms) if any(a in group and b in group for group in tangles)]
    rules = [where for path, text in texts.items() if path != OBJECTIVE_RULES for where in objective_rules(path, text)]
    methods = [
        where for path, text in texts.items() if path != OBJECTIVE_RULES for where in objective_methods(path, text)
    ]
    faces = [
        path
        for path, text in texts.items()
        if path.startswith("offload_gym/") and room(path) not in TOP and "offload_gym" in imports(text)
    ]
    loops = [" -> ".join(group) for group in circles(edges)]
    return [
        Figure(f"functions with {MANY} or more parameters, of {len(found)}", len(many), 7, [f.where for f in many]),
        Figure("of these, without the reason beside it", len(unexplained), 0, unexplained),
        Figure("lines of the longest function body", longest.lines, 80, [longest.where]),
        Figure("fmt: skip", len(skips), 2, skips),
        Figure("arrows within circles of rooms", len(up), 0, up),
        Figure("circles of files", len(loops), 0, loops),
        Figure("imports of the package's face from inside", len(faces), 0, faces),
        Figure("values chosen by objective outside of its rules", len(rules), 0, rules),
        Figure("branches for one objective, its bounds and methods", len(methods), 9, methods),
    ]


def main() -> None:
    """Print the table; exit with 1 where a bound is broken."""
    table = figures()
    width = max(len(figure.what) for figure in table)
    for figure in table:
        broken = figure.value > figure.most
        print(f"{figure.what:{width}}  {figure.value:4} (at most {figure.most}){' BROKEN' if broken else ''}")
        if broken or "-v" in sys.argv[1:]:
            for where in figure.where:
                print(f"    {where}")
    sys.exit(any(figure.value > figure.most for figure in table))


if __name__ == "__main__":
    main()
