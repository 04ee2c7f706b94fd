"""The tool of mutation testing makes the mutants that it says, and lists as survivors only mutants that there are."""

import ast
import importlib
import os
from collections import Counter

import pytest
from mutants import MODULES, Mutant, brief, mutants, of_expression, of_statement, read_survivors, survives

from offload_gym.streams import system

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each mutant is tried in a fork")
KERNELS = [f"offload_gym.{name}" for names in MODULES.values() for name in names]


@pytest.mark.parametrize(
    ("expression", "others"),
    [
        ("a < b", ["a <= b", "a > b"]),
        ("a == b", ["a != b"]),
        ("a + b", ["a - b"]),
        ("a and b", ["a or b", "b", "a"]),
        ("not a", ["a"]),
        ("7", ["8"]),
        ("min(a, b)", ["max(a, b)"]),
        ("a if b else c", ["a if not b else c"]),
        ("NONE", ["NONE + 1"]),
        ("anything", []),
    ],
)
def test_mutants_of_expressions(expression, others):
    node = ast.parse(expression, mode="eval").body
    assert [brief(other) for other in of_expression(node, system)] == others


@pytest.mark.parametrize(
    ("statement", "others"),
    [
        ("x = 1", []),
        ("y = 1", ["pass"]),
        ("a[0] = 1", ["pass"]),
        ("x += 1", ["pass", "x -= 1"]),
        ("f(x)", ["pass"]),
        ("break", ["continue"]),
        ("while x < 1: pass", ["while not x < 1:"]),
    ],
)
def test_mutants_of_statements(statement, others):
    node = ast.parse(statement).body[0]
    assert [brief(other) for other in of_statement(node, Counter(x=1, y=2))] == others


def test_each_survivor_in_the_list_is_a_mutant_with_a_reason():
    made = {mutant.name for name in KERNELS for mutant in mutants(importlib.import_module(name))}
    reasons = read_survivors()
    assert len(made) > 2500
    assert reasons.keys() <= made
    assert all(reasons.values())


def one():
    return 1


def returns_one():
    assert one() == 1


def is_called():
    one()


def never_ends():
    while True:
        pass


@pytest.mark.parametrize(
    ("checks", "lives"), [((), True), ((is_called,), True), ((is_called, returns_one), False), ((never_ends,), False)]
)
def test_a_mutant_survives_where_no_check_fails_nor_goes_on_for_ever(checks, lives):
    returns_one()
    assert survives(Mutant(one, (lambda: 2).__code__, "another number", 1), checks, 0.2) == lives
    returns_one()  # the mutant was in a process of its own
