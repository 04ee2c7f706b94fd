"""Kernels written in C99, from their Python source, so that a C program computes what a kernel computes.

What a kernel may do: arithmetic, comparisons, ``min``, ``max``, ``len``, roots, exponentials, loops over ranges,
conditions, and calls of other kernels; it reads and writes numbers, fields of records, and arrays of known shape. What
each name is follows from the arguments of the first call. Anything else is refused, so that an edit of a kernel is
either in its C form, or seen.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from offload_gym.networks.c_kinds import PREFIX, Array, Kind, Record, as_local, declared

_NODES = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq, ast.Not, ast.USub)
_SIGNS = ("+", "-", "*", "/", "<", "<=", ">", ">=", "==", "!=", "!", "-")
_OPERATORS: dict[type[ast.AST], str] = dict(zip(_NODES, _SIGNS, strict=True))
_MATH = ("sqrt", "exp", "log")  # functions of both
_COMPOUND = (ast.BinOp, ast.Compare, ast.BoolOp, ast.IfExp)


class _Value(NamedTuple):
    code: str
    kind: Kind
    known: bool | None = None  # the truth of a condition that is known beforehand


class _Written(NamedTuple):
    """A kernel in C."""

    name: str
    parameters: tuple[Kind, ...]
    kind: Kind  # of what is returned


class Translator:
    """Writes kernels and those that they call in C, each once.

    Args:
        known: kernels whose value is known, such as whether a task has parents where there is no graph.
    """

    def __init__(self, known: Mapping[Any, bool]) -> None:
        self.known = known
        self.written: dict[Any, _Written] = {}
        self.functions: list[str] = []
        self.used: dict[str, set[str]] = {}  # by struct: the fields that are read or written

    def write(self, kernel: Any, parameters: Sequence[Kind]) -> _Written:
        """The C form of a kernel, appended to ``functions`` behind those that it calls."""
        done = self.written.get(kernel)
        if done is None:
            done = _Function(self, kernel, tuple(parameters)).write()
            self.written[kernel] = done
        for had, given in zip(done.parameters, parameters, strict=True):
            if had != given and (had, given) != ("double", "int"):
                raise NotImplementedError(f"{done.name} is called with {given}, and was called with {had}")
        return done

    def struct(self, record: Record) -> str:
        """The declaration of a struct with the fields that are used."""
        lines = [f"    {declared(kind, field)};" for field, kind in record.fields.items() if self.uses(record, field)]
        return "\n".join(("typedef struct {", *lines, f"}} {PREFIX}{record.name};"))

    def uses(self, record: Record, field: str) -> bool:
        """Whether a kernel reads or writes a field."""
        return field in self.used.get(record.name, ())


def _pointer(value: _Value) -> str:
    """A value as it is handed over: a struct by its address."""
    if not isinstance(value.kind, Record):
        return value.code
    return value.code[2:-1] if value.code.startswith("(*") else f"&{value.code}"


class _Function:
    """One kernel on its way into C."""

    def __init__(self, translator: Translator, kernel: Any, parameters: tuple[Kind, ...]) -> None:
        self.translator, self.parameters = translator, parameters
        function: Callable[..., Any] = getattr(kernel, "py_func", kernel)
        (self.tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
        self.globals, self.source = function.__globals__, function.__qualname__
        self.name = PREFIX + function.__name__.lstrip("_")
        assert isinstance(self.tree, ast.FunctionDef)
        self.given = dict(zip((given.arg for given in self.tree.args.args), parameters, strict=True))
        self.locals: dict[str, Kind] = {}
        self.returned: list[Kind] = []
        self.lines: list[tuple[str, str]] = []  # and which struct it points to, where it does nothing else
        self.read: set[str] = set()  # names

    def write(self) -> _Written:
        """Translate the kernel, and hand its text over."""
        assert isinstance(self.tree, ast.FunctionDef)
        self.block(self.tree.body, 1)
        count = len(self.returned)
        # A struct may be for branches that are never taken.
        lines = [line for line, pointed in self.lines if not pointed or pointed in self.read]
        kind: Kind = "void" if count == 0 else self.returned[0] if count == 1 else f"{self.name}_result"
        before = ""
        if count > 1:
            members = " ".join(f"double v{i};" for i in range(count))
            before = f"typedef struct {{ {members} }} {kind};\n\n"
        said = (ast.get_docstring(self.tree) or "").partition("\n")[0].replace("``", "")
        head = ", ".join(as_local(given, name) for name, given in self.given.items())
        variables = []
        for plain in ("double", "int"):
            if names := [name for name, local in self.locals.items() if local == plain]:
                variables.append(f"    {plain} {', '.join(names)};")
        for name, local in self.locals.items():
            if isinstance(local, Array) or (isinstance(local, Record) and name in self.read):
                variables.append(f"    {as_local(local, name)};")
        # A parameter may be for branches that are never taken, too.
        used = set(re.findall(r"\w+", " ".join(lines)))
        variables += [f"    (void){name};" for name in self.given if name not in used]
        text = [f"{before}/* {said} */", f"static inline {kind} {self.name}({head})", "{", *variables, *lines, "}"]
        self.translator.functions.append("\n".join(text))
        return _Written(self.name, self.parameters, kind)

    def refuse(self, node: ast.AST) -> NoReturn:
        """Something that cannot be written in C."""
        raise NotImplementedError(f"{self.source} has {ast.unparse(node)!r}, which cannot be written in C here")

    def block(self, statements: Sequence[ast.stmt], depth: int) -> bool:
        """Write statements; returns whether the last one that can be reached leaves the function."""
        return any(self.statement(statement, depth) for statement in statements)

    def put(self, depth: int, line: str, pointed: str = "") -> None:
        self.lines.append((f"{'    ' * depth}{line}", pointed))

    def statement(self, node: ast.stmt, depth: int) -> bool:
        """Write one statement; returns whether it leaves the function."""
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                pass
            case ast.Expr(value=ast.Call() as call):
                self.put(depth, f"{self.value(call).code};")
            case ast.Assign(targets=targets, value=value):
                self.assign(targets, value, depth)
            case ast.AugAssign(target=target, op=operator, value=value) if type(operator) in _OPERATORS:
                added = self.value(value)
                self.put(depth, f"{self.value(target).code} {_OPERATORS[type(operator)]}= {added.code};")
            case ast.Return(value=value):
                self.leave(value, depth)
                return True
            case ast.If(test=test, body=body, orelse=rest):
                return self.condition(test, body, rest, depth)
            case ast.For(target=ast.Name(id=name), iter=ast.Call(func=ast.Name(id="range"), args=bounds), body=body):
                ends = [self.value(bound).code for bound in bounds]
                if len(ends) > 2:
                    self.refuse(node)
                self.declare(name, "int", node)
                first, end = ends if len(ends) == 2 else ("0", ends[0])
                self.put(depth, f"for ({name} = {first}; {name} < {end}; {name}++) {{")
                self.block(body, depth + 1)
                self.put(depth, "}")
            case _:
                self.refuse(node)
        return False

    def condition(self, test: ast.expr, body: list[ast.stmt], rest: list[ast.stmt], depth: int) -> bool:
        """Write an if; only the branch that is taken, where that is known."""
        given = self.value(test)
        if given.known is not None:
            return self.block(body if given.known else rest, depth)
        self.put(depth, f"if ({given.code}) {{")
        leaves = self.block(body, depth + 1)
        if rest:
            self.put(depth, "} else {")
            leaves = self.block(rest, depth + 1) and leaves
        self.put(depth, "}")
        return bool(rest) and leaves

    def leave(self, value: ast.expr | None, depth: int) -> None:
        """Write a return of nothing, a number, or several."""
        values = [] if value is None else value.elts if isinstance(value, ast.Tuple) else [value]
        given = [self.value(element) for element in values]
        kinds = [element.kind for element in given]
        if self.returned and len(self.returned) != len(kinds):
            self.refuse(value or self.tree)
        pairs = zip(kinds, self.returned or kinds, strict=True)
        self.returned = ["double" if "double" in pair else pair[0] for pair in pairs]
        if len(given) > 1:
            self.put(depth, "{")  # without a compound literal, which C++ does not have
            self.put(depth + 1, f"{self.name}_result result;")
            for i, element in enumerate(given):
                self.put(depth + 1, f"result.v{i} = {element.code};")
            self.put(depth + 1, "return result;")
            self.put(depth, "}")
        else:
            self.put(depth, f"return {given[0].code};" if given else "return;")

    def assign(self, targets: list[ast.expr], value: ast.expr, depth: int) -> None:
        """Write an assignment: to one or several names, of a value, several, or those that a kernel returns."""
        if len(targets) == 1 and isinstance(targets[0], ast.Tuple):
            names = targets[0].elts
            if isinstance(value, ast.Call):
                return self.unpack(names, value, depth)
            sources = value.elts if isinstance(value, ast.Tuple) else []
            values = [self.value(source) for source in sources] or self.shape(value)
            for i, (name, element) in enumerate(zip(names, values, strict=True)):
                later = {ast.unparse(part) for source in sources[i + 1 :] for part in ast.walk(source)}
                if ast.unparse(name) in later:
                    self.refuse(value)  # in C it would be assigned already
                self.store(name, element, depth)
            return None
        for target in reversed(targets):
            self.store(target, self.value(value), depth)
        return None

    def unpack(self, names: list[ast.expr], call: ast.Call, depth: int) -> None:
        """Write an assignment of all that a kernel returns."""
        value = self.value(call)
        self.put(depth, "{")
        self.put(depth + 1, f"const {value.kind} result = {value.code};")
        for i, name in enumerate(names):
            self.store(name, _Value(f"result.v{i}", "double"), depth + 1)
        self.put(depth, "}")

    def declare(self, name: str, kind: Kind, node: ast.AST) -> None:
        """A local variable; one that was a whole number may become a number."""
        had = self.given.get(name, self.locals.get(name, kind))
        if had != kind and {str(had), str(kind)} != {"int", "double"}:
            self.refuse(node)
        if name not in self.given:
            self.locals[name] = "double" if "double" in (had, kind) else kind

    def store(self, target: ast.expr, value: _Value, depth: int) -> None:
        """Write one assignment."""
        if isinstance(target, ast.Name):
            self.declare(target.id, value.kind, target)
            pointed = target.id if isinstance(value.kind, Record) else ""
            self.put(depth, f"{target.id} = {_pointer(value)};", pointed)
            return
        place = self.value(target)
        code = f"(float)({value.code})" if place.kind == "float" else value.code
        self.put(depth, f"{place.code} = {code};")

    def shape(self, node: ast.expr) -> list[_Value]:
        """The sizes of an array."""
        match node:
            case ast.Attribute(value=array, attr="shape"):
                kind = self.value(array).kind
                if isinstance(kind, Array):
                    return [_Value(str(size), "int") for size in kind.shape]
        self.refuse(node)

    def inner(self, node: ast.expr) -> _Value:
        """A part of an expression, in parentheses where it has parts itself."""
        value = self.value(node)
        return value._replace(code=f"({value.code})") if isinstance(node, _COMPOUND) else value

    def value(self, node: ast.expr) -> _Value:
        """An expression."""
        match node:
            case ast.Constant(value=bool() | int() | float() as number):
                return _constant(number)
            case ast.Name(id=name):
                return self.name_value(node, name)
            case ast.Attribute(value=ast.Name(id="np"), attr="inf"):
                return _constant(np.inf)
            case ast.Attribute(value=base, attr=field):
                return self.field(node, self.value(base), field)
            case ast.Subscript(value=ast.Attribute(attr="shape"), slice=ast.Constant(value=int() as axis)):
                return self.shape(node.value)[axis]
            case ast.Subscript(value=base, slice=index):
                return self.element(node, self.value(base), index)
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
                a, b = self.inner(left), self.inner(right)
                both = "int" if a.kind == b.kind == "int" and not isinstance(operator, ast.Div) else "double"
                if both == "double":
                    a, b = _as_double(a), _as_double(b)
                return _Value(f"{a.code} {_OPERATORS[type(operator)]} {b.code}", both)
            case ast.UnaryOp(op=operator, operand=operand) if type(operator) in _OPERATORS:
                a = self.inner(operand)
                known = not a.known if isinstance(operator, ast.Not) and a.known is not None else None
                return _Value(f"{_OPERATORS[type(operator)]}{a.code}", a.kind, known)
            case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in _OPERATORS:
                a, b = self.inner(left), self.inner(right)
                if "double" in (a.kind, b.kind):
                    a, b = _as_double(a), _as_double(b)
                return _Value(f"{a.code} {_OPERATORS[type(operator)]} {b.code}", "int")
            case ast.BoolOp(op=operator, values=values):
                return self.truth(isinstance(operator, ast.And), [self.inner(part) for part in values])
            case ast.IfExp(test=test, body=body, orelse=rest):
                return self.choice(self.inner(test), self.inner(body), self.inner(rest))
            case ast.Call(func=ast.Attribute(value=ast.Name(id="math"), attr=name), args=[argument]) if name in _MATH:
                return _Value(f"{name}({self.value(argument).code})", "double")
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return self.call(node, name, [self.value(argument) for argument in arguments])
        self.refuse(node)

    def name_value(self, node: ast.expr, name: str) -> _Value:
        kind = self.given.get(name, self.locals.get(name))
        if kind is not None:
            self.read.add(name)
            return _Value(f"(*{name})" if isinstance(kind, Record) else name, kind)
        if isinstance(self.globals.get(name), bool | int | float):
            return _constant(self.globals[name])
        self.refuse(node)

    def field(self, node: ast.expr, base: _Value, field: str) -> _Value:
        if not isinstance(base.kind, Record) or field not in base.kind.fields:
            self.refuse(node)
        self.translator.used.setdefault(base.kind.name, set()).add(field)
        code = f"{base.code[2:-1]}->{field}" if base.code.startswith("(*") else f"{base.code}.{field}"
        return _Value(code, base.kind.fields[field])

    def element(self, node: ast.expr, base: _Value, index: ast.expr) -> _Value:
        indices = [self.value(part) for part in (index.elts if isinstance(index, ast.Tuple) else [index])]
        if not isinstance(base.kind, Array) or len(indices) > len(base.kind.shape):
            self.refuse(node)
        rest = base.kind.shape[len(indices) :]
        kind = base.kind._replace(shape=rest) if rest else base.kind.of
        return _Value(base.code + "".join(f"[{part.code}]" for part in indices), kind)

    def truth(self, is_and: bool, parts: list[_Value]) -> _Value:
        """An and, or an or: what is known beforehand decides it, or is left out."""
        if any(part.known is not None and part.known != is_and for part in parts):
            return _Value(str(int(not is_and)), "int", not is_and)
        left = [part for part in parts if part.known is None]
        if not left:
            return _Value(str(int(is_and)), "int", is_and)
        return _Value((" && " if is_and else " || ").join(part.code for part in left), "int")

    def choice(self, test: _Value, body: _Value, rest: _Value) -> _Value:
        if test.known is not None:
            return body if test.known else rest
        kind = "double" if "double" in (body.kind, rest.kind) else body.kind
        return _Value(f"{test.code} ? {body.code} : {rest.code}", kind)

    def call(self, node: ast.expr, name: str, arguments: list[_Value]) -> _Value:
        """A call of ``len``, ``min``, ``max``, or another kernel."""
        if name == "len" and isinstance(arguments[0].kind, Array):
            return _Value(str(arguments[0].kind.shape[0]), "int")
        if name in ("min", "max") and [argument.kind for argument in arguments] == ["int", "int"]:
            a, b = (argument.code for argument in arguments)
            return _Value(f"({a} {'<' if name == 'min' else '>'} {b} ? {a} : {b})", "int")
        if name in ("min", "max") and len(arguments) == 2:
            return _Value(f"{PREFIX}{name}({', '.join(_as_double(part).code for part in arguments)})", "double")
        kernel = self.globals.get(name)
        if kernel in self.translator.known:
            known = self.translator.known[kernel]
            return _Value(str(int(known)), "int", known)
        if not callable(kernel):
            self.refuse(node)
        written = self.translator.write(kernel, [argument.kind for argument in arguments])
        handed = (
            _as_double(argument) if wanted == "double" else argument
            for wanted, argument in zip(written.parameters, arguments, strict=True)
        )
        return _Value(f"{written.name}({', '.join(map(_pointer, handed))})", written.kind)


def _as_double(value: _Value) -> _Value:
    """A whole number as it is handed where a number is wanted: in single precision compilers ask for the cast."""
    if value.kind != "int" or value.code.lstrip("-").isdigit():
        return value
    return _Value(f"(double){value.code if value.code.isidentifier() else f'({value.code})'}", "double")


def _constant(number: float) -> _Value:
    if isinstance(number, int):
        return _Value(str(int(number)), "int")
    return _Value("INFINITY" if number == np.inf else repr(float(number)), "double")
