"""Quicker forms of two steps of numba's front end, which are in use while kernels of this package are compiled.

They give what numba's own steps give, and so the same machine code. Numba's take time that grows with the square of a
function's length, and a kernel into which others are put is long. Where another version of numba does one of these
steps in another way, it does it itself.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from numba.core import analysis, ir

Blocks = dict[int, Any]
Names = dict[int, set[str]]  # by the number of a block


def _copied_scope(scope: Any, memo: dict[int, Any]) -> Any:
    """What ``deepcopy`` makes of the names of a function: they are copied, but not the variables that they stand for.

    Where a function is put in place of its call, numba copies it twice, block by block, and with each block all names
    of the function and of those that were put into it before.
    """
    copied = memo[id(scope)] = ir.Scope(scope.parent, scope.loc)
    copied.localvars._con.update(scope.localvars._con)
    copied.redefined.update(scope.redefined)
    copied.var_redefinitions.update((name, set(made)) for name, made in scope.var_redefinitions.items())
    return copied


def compute_live_map(cfg: Any, blocks: Blocks, var_use_map: Names, var_def_map: Names) -> Names:
    """The names that are alive at the entry of each block, as numba finds them, with the bits of a number as a set."""
    bits: dict[str, int] = {}
    for names in (*var_use_map.values(), *var_def_map.values()):
        for name in names:
            bits.setdefault(name, 1 << len(bits))
    used = {at: sum(bits[name] for name in names) for at, names in var_use_map.items()}
    defined = {at: sum(bits[name] for name in names) for at, names in var_def_map.items()}
    order, reached, alive, changed = cfg.topo_order(), dict.fromkeys(blocks, 0), dict(used), True
    while changed:
        changed = False
        for at in order:
            known = reached[at] = reached[at] | used[at] | defined[at]
            for after, _ in cfg.successors(at):
                if known | reached[after] != reached[after]:
                    reached[after] |= known
                    changed = True
    changed = True
    while changed:
        changed = False
        for at in reversed(order):
            for before, _ in cfg.predecessors(at):
                more = alive[at] & reached[before] & ~defined[before]
                if more | alive[before] != alive[before]:
                    alive[before] |= more
                    changed = True
    of_bit = list(bits)
    return {at: {of_bit[i] for i, bit in enumerate(reversed(bin(alive[at]))) if bit == "1"} for at in blocks}


def _quicker() -> list[tuple[Any, str, Callable[..., Any]]]:
    """(where, name, quicker form) of the steps that this version of numba does as these forms take it."""
    scope = ir.Scope(None, ir.unknown_loc)
    of_scope = {"parent", "localvars", "loc", "redefined", "var_redefinitions"}
    found: list[tuple[Any, str, Callable[..., Any]]] = []
    if set(vars(scope)) == of_scope and set(vars(scope.localvars)) == {"_con"} and not hasattr(scope, "__deepcopy__"):
        found.append((ir.Scope, "__deepcopy__", _copied_scope))
    given = getattr(analysis, "compute_live_map", None)
    if given is not None and [*signature(given).parameters] == [*signature(compute_live_map).parameters]:
        found.append((analysis, "compute_live_map", compute_live_map))
    return found


QUICKER = _quicker()
NUMBAS = [(where, name, vars(where).get(name)) for where, name, _ in QUICKER]


def exchange(forms: list[tuple[Any, str, Any]]) -> None:
    """Let numba take other forms of its steps: ``QUICKER``, or again ``NUMBAS``."""
    for where, name, form in forms:
        if form is None:
            delattr(where, name)
        else:
            setattr(where, name, form)
