"""The quicker forms of steps of numba's front end give what numba's own give, and are in use only while compiling."""

import re

import numpy as np
import pytest
from numba import njit
from numba.core import analysis, compiler, ir
from numba.core.errors import TypingError

from offload_gym import compilation, front_end
from offload_gym.compilation import inlined, kernel
from offload_gym.networks.independent_kernel import decide_independent
from offload_gym.solvers.branch_and_bound import branch_and_bound
from offload_gym.streams.engine import advance_here
from offload_gym.streams.hindsight import search_streams
from offload_gym.streams.planner import plan_streams

NUMBAS_LIVE_MAP = analysis.compute_live_map


@inlined
def least(values):
    best = 0
    for i in range(1, len(values)):
        if values[i] < values[best]:
            best = i
    return best


@inlined
def two_least(values, room):
    first = least(values)
    for i in range(len(values)):
        room[i] = values[i] if i != first else np.inf
    return first, least(room)


def search(values):
    room, total = np.empty(len(values)), 0
    while values[0] > 0.0:
        first, second = two_least(values, room)
        total += first if room[second] < 3.0 else least(room)
        values[0] -= 1.0
    return total


def changing(x, n):
    """Names that are defined on some ways alone, in a loop, and after it."""
    for i in range(n):
        if x > i:
            y = i
        elif x < 0:
            continue
        if i > 2:
            x += y
        z = x
    return z


KERNELS = advance_here, branch_and_bound, decide_independent, plan_streams, search_streams


@pytest.mark.parametrize("function", [changing, *(kernel.py_func for kernel in KERNELS)])
def test_the_same_names_are_alive(function):
    blocks = compiler.run_frontend(function).blocks
    cfg, (used, defined) = analysis.compute_cfg_from_blocks(blocks), analysis.compute_use_defs(blocks)
    wanted = NUMBAS_LIVE_MAP(cfg, blocks, used, defined)
    assert front_end.compute_live_map(cfg, blocks, used, defined) == wanted
    assert any(wanted.values())


def machine_code(monkeypatch, quicker):
    """The machine code of ``search``, in which numbers count what was compiled before."""
    numbas = [(where, name, vars(where).get(name)) for where, name, _ in quicker]
    monkeypatch.setattr(compilation, "QUICKER", quicker)
    monkeypatch.setattr(compilation, "NUMBAS", numbas)
    compiled = kernel(search)
    compiled._cache._enabled = False
    # From 3, 2, 4, 1 and from 2, 2, 4, 1 the last one is the least, from 1, 2, 4, 1 the first one: 3 + 3 + 0.
    assert compiled(np.array([3.0, 2.0, 4.0, 1.0])) == 6
    return re.sub(r"\d+", "0", "".join(compiled.inspect_asm().values()))


def test_machine_code_is_the_same(monkeypatch):
    assert len(front_end.QUICKER) == 2  # with the version of numba that tests run with
    assert machine_code(monkeypatch, front_end.QUICKER) == machine_code(monkeypatch, [])


def test_numbas_own_steps_are_back_afterwards(monkeypatch):
    seen = []

    def watched(*given):
        seen.append("__deepcopy__" in vars(ir.Scope))
        return front_end.compute_live_map(*given)

    quicker = [*front_end.QUICKER[:1], (analysis, "compute_live_map", watched)]
    monkeypatch.setattr(compilation, "QUICKER", quicker)
    compiled = kernel(lambda x: x + 1)
    compiled._cache._enabled = False
    assert compiled(1) == 2
    assert seen
    assert all(seen)
    assert analysis.compute_live_map is NUMBAS_LIVE_MAP
    assert not hasattr(ir.Scope, "__deepcopy__")
    with pytest.raises(TypingError):
        kernel(lambda x: x.absent)(1)
    assert analysis.compute_live_map is NUMBAS_LIVE_MAP
    assert not hasattr(ir.Scope, "__deepcopy__")
    # AND what others compile is compiled with them
    count = len(seen)
    assert njit(lambda x: x - 1)(1) == 0
    assert len(seen) == count


def test_another_version_of_numba_does_its_own_steps(monkeypatch):
    monkeypatch.setattr(analysis, "compute_live_map", lambda cfg, blocks: {})
    assert [name for _, name, _ in front_end._quicker()] == ["__deepcopy__"]
    monkeypatch.setattr(ir.Scope, "__deepcopy__", lambda scope, memo: scope, raising=False)
    assert front_end._quicker() == []
