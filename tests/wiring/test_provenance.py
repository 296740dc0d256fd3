"""Ints that remember where they came from."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsmith.wiring import provenance
from netsmith.wiring.provenance import (
    Attribute,
    Operation,
    SizeOf,
    SourcedFloat,
    SourcedInt,
    attributes_in,
    dims_in,
    evaluate,
    rewrite,
    source,
    spelled,
)

DIM: list = []
OPERATORS = [operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod]


def attribute(value: int, key: str = ":n") -> SourcedInt:
    return SourcedInt(value, Attribute(key))


@given(st.sampled_from(OPERATORS), st.integers(1, 999), st.integers(1, 999), st.integers(1, 999), st.integers(1, 999))
def test_arithmetic_is_remembered(function: Callable, a: int, b: int, new_a: int, new_b: int) -> None:
    for left, right in [
        (attribute(a, ":a"), attribute(b, ":b")),
        (attribute(a, ":a"), b),
        (a, attribute(b, ":b")),
    ]:
        result = function(left, right)
        assert result == function(a, b) and isinstance(result, SourcedInt)
        changed = {":a": new_a, ":b": new_b}
        expected = function(
            new_a if isinstance(left, SourcedInt) else a,
            new_b if isinstance(right, SourcedInt) else b,
        )
        assert evaluate(result.expression, lambda dim: 0, changed) == expected


def test_other_arithmetic_forgets() -> None:
    n = attribute(8)
    for forgotten in (int(n), n >> 1, float(n), abs(n), round(n), len(range(n))):
        assert not isinstance(forgotten, SourcedInt)
    assert source(int(n)) == 8
    assert isinstance(-n, SourcedInt) and -n == -8
    assert n + 1.5 == 9.5


def test_quotients_and_powers_are_floats_that_remember() -> None:
    n = attribute(16)
    for value, expected in ((n / 2, 8.0), (n**-0.5, 0.25), (1 / n**0.5, 0.25), (2.0 * (n / 4), 8.0), (-(n / 4), -4.0)):
        assert isinstance(value, SourcedFloat) and value == expected
        assert evaluate(value.expression, int, {":n": 16}) == expected
    assert evaluate((n**-0.5).expression, int, {":n": 4}) == 0.5
    assert isinstance(n**2, SourcedInt) and type(copy.deepcopy(n / 2)) is SourcedFloat


def test_it_is_the_int_everywhere_else() -> None:
    n = attribute(3)
    assert isinstance(n, int) and f"{n} {n:02d}" == "3 03" and [10, 20, 30, 40][n] == 40
    assert {3: "x"}[n] == "x" and hash(n) == hash(3) and n in (3,) and n < 4 and bool(n)
    assert (n != 3) is False and (n == "3") is False


def test_equality_that_holds_is_a_constraint() -> None:
    noted: list = []
    token = provenance.equalities.set(noted)
    try:
        a, b = attribute(4, ":a"), attribute(4, ":b")
        assert a == b
        assert not a != b  # noqa: SIM202  asks __ne__
        assert a != attribute(5, ":c")
        assert a == 4
    finally:
        provenance.equalities.reset(token)
    assert a == b  # not noted any more
    assert noted == [(Attribute(":a"), Attribute(":b"))] * 2


def test_copies() -> None:
    n = attribute(8)
    assert copy.deepcopy(n) is n and copy.copy(n) is n
    assert copy.deepcopy({"n": [n]})["n"][0] is n
    loaded = pickle.loads(pickle.dumps(n))
    assert loaded == 8 and type(loaded) is int


def test_expressions() -> None:
    expression = Operation("floordiv", SizeOf(DIM), Operation("mul", Attribute(":heads"), 2))
    assert evaluate(expression, lambda dim: 24, {":heads": 3}) == 4
    with pytest.raises(ZeroDivisionError):
        evaluate(expression, lambda dim: 24, {":heads": 0})
    assert attributes_in(expression) == {":heads"}
    assert dims_in(expression) == [DIM]
    assert spelled(expression) == "floordiv(size[], mul(:heads, 2))"
    renamed = rewrite(expression, lambda dim: ("x",))
    assert spelled(renamed) == "floordiv(size('x',), mul(:heads, 2))"
    assert evaluate(5, lambda dim: 0, {}) == 5 and attributes_in(5) == set() and dims_in(5) == []
