"""Mutation testing of the kernels: ``python tests/mutants.py`` changes them one operation at a time.

Each mutant is a kernel in which one operator, number, name of a column, condition or statement is another one, or is
gone. The checks of ``tests/test_small_draws.py`` are to fail on it. Numba is told to leave functions as they are, so a
mutant is another ``__code__`` of a function that is there already: in a fork of this process, it takes what the checks
take until one fails. Mutants that take three times as long as the kernel itself, as those that loop
for ever do, count as killed.

``tests/mutants.txt`` has the mutants that survive, each with the reason. The command prints those that it does not
have, and fails where there are such, or where more than a tenth survives. ``--sample 150 --seed 1`` tries some of them.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

#: The modules of each kernel; ``KERNELS`` of ``test_small_draws`` has the checks of each.
MODULES = {
    "delay": ("delay",),
    "streams": tuple(f"streams.{name}" for name in ("engine", "system", "spectrum", "losses", "uptime", "responses")),
    "exact": tuple(f"solvers.{name}" for name in ("exact", "pareto", "branch_and_bound", "chain", "bounds")),
}
DECORATORS = {"kernel", "inlined", "register_jitable"}
SURVIVORS = Path(__file__).with_name("mutants.txt")
LEAST_SHARE = 0.9
SLOWER, GRACE_S = 3, 1.0  # how much longer than the kernel itself a mutant may take, in time of the processor

OPERATORS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.RShift: (ast.LShift,),
    ast.BitAnd: (ast.BitOr,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
NAMES = {"min": "max", "max": "min"}


class Mutant(NamedTuple):
    """A function with a change."""

    function: FunctionType
    code: CodeType
    name: str  # what ``mutants.txt`` calls it
    line: int


def other_operators(operator: ast.AST) -> list[ast.AST]:
    return [kind() for kind in OPERATORS.get(type(operator), ())]


def of_expression(node: ast.AST, module: ModuleType) -> Iterator[ast.AST]:
    """What may stand in the place of an expression."""
    match node:
        case ast.Compare(left, [operator], right):
            yield from (ast.Compare(left, [other], right) for other in other_operators(operator))
        case ast.BinOp(left, operator, right):
            yield from (ast.BinOp(left, other, right) for other in other_operators(operator))
        case ast.BoolOp(operator, values):
            yield from (ast.BoolOp(other, values) for other in other_operators(operator))
            yield from (ast.BoolOp(operator, [v for v in values if v is not left]) for left in values)
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.IfExp(test, body, orelse):
            yield ast.IfExp(negated(test), body, orelse)
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.Attribute(ast.Name("np"), "inf"):
            yield ast.Constant(0.0)
        case ast.Call(ast.Name(name), arguments, keywords) if name in NAMES:
            yield ast.Call(ast.Name(NAMES[name], ast.Load()), arguments, keywords)
        case ast.Name(name, ast.Load()) if name.isupper() and isinstance(getattr(module, name, None), int):
            yield ast.BinOp(node, ast.Add(), ast.Constant(1))


def negated(test: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), test)


def of_statement(node: ast.AST, stored: Counter[str]) -> Iterator[ast.AST]:
    """What may stand in the place of a statement; ``stored`` says how often the function sets each name.

    The only setting of a name stays: without it the function stops at the first use of the name.
    """
    match node:
        case ast.If(ast.Compare(_, [ast.Eq() | ast.NotEq()], _)):
            pass  # the comparison has the same mutant
        case ast.If(test, body, orelse):
            yield ast.If(negated(test), body, orelse)
        case ast.While(test, body, orelse) if not isinstance(test, ast.Constant):
            yield ast.While(negated(test), body, orelse)
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield from (ast.Break(), ast.Pass())
        case ast.Assign(targets):
            names = [part.id for part in ast.walk(ast.Tuple(targets)) if is_stored(part)]
            if all(stored[name] > 1 for name in names):
                yield ast.Pass()
        case ast.AugAssign(target, operator, value):
            yield ast.Pass()
            yield from (ast.AugAssign(target, other, value) for other in other_operators(operator))
        case ast.Expr(ast.Call()):
            yield ast.Pass()


def is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def replaced(node: Any, old: ast.AST, new: ast.AST) -> Any:
    """A copy of a tree with another node in the place of one."""
    if node is old:
        return new
    if isinstance(node, list):
        return [replaced(one, old, new) for one in node]
    if not isinstance(node, ast.AST):
        return node
    return type(node)(**{field: replaced(value, old, new) for field, value in ast.iter_fields(node)})


def mutants(module: ModuleType) -> Iterator[Mutant]:
    """All mutants of the kernels of a module, in the order of their lines."""
    seen: Counter[str] = Counter()
    for definition in ast.parse(inspect.getsource(module)).body:
        if not isinstance(definition, ast.FunctionDef):
            continue
        if not any(isinstance(one, ast.Name) and one.id in DECORATORS for one in definition.decorator_list):
            continue
        body = definition.body[1:] if ast.get_docstring(definition) is not None else definition.body
        parts = [part for statement in body for part in ast.walk(statement)]
        stored = Counter(part.id for part in parts if is_stored(part))
        bare = ast.FunctionDef(definition.name, definition.args, body, [], lineno=definition.lineno, col_offset=0)
        for part in parts:
            for new in (*of_expression(part, module), *of_statement(part, stored)):
                said = f"{module.__name__}.{definition.name}: {brief(part)} -> {brief(new)}"
                seen[said] += 1
                name = said if seen[said] == 1 else f"{said} ({seen[said]})"
                scope = dict(vars(module))
                exec(ast.unparse(ast.fix_missing_locations(replaced(bare, part, new))), scope)
                yield Mutant(getattr(module, definition.name), scope[definition.name].__code__, name, part.lineno)


def brief(node: ast.AST) -> str:
    """The first line of the source of a node."""
    return ast.unparse(ast.fix_missing_locations(node)).splitlines()[0]


def survives(mutant: Mutant, checks: Sequence[Callable[[], None]], limit_s: float) -> bool:
    """Whether no check fails, in a process of its own, which ends after ``limit_s`` of the processor's time."""
    child = os.fork()
    if child == 0:
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, limit_s)
            mutant.function.__code__ = mutant.code
            for check in checks:
                check()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def read_survivors() -> dict[str, str]:
    """The reason of each mutant of ``mutants.txt``: below a line with a reason stand those that it is of."""
    reasons, reason = {}, ""
    for line in SURVIVORS.read_text(encoding="utf-8").splitlines() if SURVIVORS.exists() else ():
        if line.startswith("    "):
            reasons[line.strip()] = reason
        elif line.strip():
            reason = line
    return reasons


def try_kernel(kernel: str, sample: int | None, seed: int, reasons: dict[str, str]) -> tuple[int, list[Mutant]]:
    """How many mutants of a kernel were tried, and those that survived; prints those without a reason."""
    checks = importlib.import_module("test_small_draws").KERNELS[kernel]
    modules = [importlib.import_module(f"offload_gym.{name}") for name in MODULES[kernel]]
    tried = [mutant for module in modules for mutant in mutants(module)]
    if sample is not None and sample < len(tried):
        tried = random.Random(seed).sample(tried, sample)
    for check in checks:  # what is drawn, and what the twins make of it, is there from then on
        check()
    begun_s = time.process_time()
    for check in checks:
        check()
    taken_s = time.process_time() - begun_s
    print(f"{kernel}: {len(tried)} mutants, checks of {taken_s:.1f} s", flush=True)
    left = []
    for mutant in tried:
        if survives(mutant, checks, GRACE_S + SLOWER * taken_s):
            left.append(mutant)
            if mutant.name not in reasons:
                print(f"    line {mutant.line}: {mutant.name}", flush=True)
    return len(tried), left


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help=f"of {', '.join(MODULES)}; all by default")
    parser.add_argument("--sample", type=int, help="how many mutants of each kernel to try; all by default")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    given = parser.parse_args(arguments)
    if not set(given.kernels) <= set(MODULES):
        parser.error(f"KERNEL is {' '.join(given.kernels)}; each must be one of {', '.join(MODULES)}")
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    reasons, failed = read_survivors(), False
    for kernel in given.kernels or MODULES:
        tried, left = try_kernel(kernel, given.sample, given.seed, reasons)
        unexplained = [mutant for mutant in left if mutant.name not in reasons]
        share = 1 - len(left) / tried
        print(
            f"{kernel}: {share:.1%} of {tried} killed, {len(left)} survive, {len(unexplained)} of them without a reason"
        )
        failed = failed or share < LEAST_SHARE or bool(unexplained)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
