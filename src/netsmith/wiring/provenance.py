"""Integers that remember where they came from.

On the throw-away twin of a model, the ints held by modules and configuration objects are ``SourcedInt``s; so are the
entries of ``x.shape``. Arithmetic on them builds an expression, an equality that holds becomes a constraint. When a
``view(B, N, 3, self.num_heads, self.head_dim)`` runs, the recorder therefore knows which attribute must change with
which axis. ``int()``, ``/`` and ``len()`` lose the source; then the axis is frozen, never wrong.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from .spaces import Dim


@dataclass(frozen=True)
class Attribute:
    """The value of an integer attribute; ``key`` as in ``slots.IntSlot``."""

    key: str


@dataclass(frozen=True, eq=False)
class SizeOf:
    """The size of a dimension: of spaces while a model is read (a list), a layout afterwards (a tuple)."""

    dim: Any


@dataclass(frozen=True, eq=False)
class Operation:
    """Integer arithmetic, e.g. ``Operation("floordiv", SizeOf(channels), Attribute(":num_heads"))``."""

    name: str
    left: Expression
    right: Expression


Expression = int | Attribute | SizeOf | Operation

OPERATORS: dict[str, Callable[[int, int], int]] = {
    name: getattr(operator, name) for name in ("add", "sub", "mul", "floordiv", "mod")
}

equalities: ContextVar[list[tuple[Expression, Expression]] | None] = ContextVar("equalities", default=None)
"""Where comparisons that came out true are noted while a capture runs."""


class SourcedInt(int):
    """An int with an ``expression``. Behaves like the int everywhere else."""

    expression: Expression

    def __new__(cls, value: int, expression: Expression) -> SourcedInt:
        self = int.__new__(cls, value)
        self.expression = expression
        return self

    def __deepcopy__(self, memo: object) -> SourcedInt:
        return self

    def __copy__(self) -> SourcedInt:
        return self

    def __reduce_ex__(self, protocol: object) -> tuple[type, tuple[int]]:
        return int, (int(self),)

    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        result = int.__eq__(self, other)
        noted = equalities.get()
        if result is True and isinstance(other, SourcedInt) and noted is not None:
            noted.append((self.expression, other.expression))
        return result

    def __ne__(self, other: object) -> bool:
        result = self.__eq__(other)
        return result if result is NotImplemented else not result

    def __neg__(self) -> SourcedInt:
        return SourcedInt(-int(self), Operation("mul", self.expression, -1))


def source(value: int) -> Expression:
    """The expression of an int; an ordinary int stands for itself."""
    return value.expression if isinstance(value, SourcedInt) else int(value)


def _arithmetic(method: str, name: str, swapped: bool) -> Callable[[SourcedInt, Any], Any]:
    plain = getattr(int, method)

    def compute(self: SourcedInt, other: Any) -> Any:
        result = plain(self, other)
        if result is NotImplemented or not isinstance(other, int):
            return result
        left, right = (other, self) if swapped else (self, other)
        return SourcedInt(result, Operation(name, source(left), source(right)))

    return compute


for _name in OPERATORS:
    setattr(SourcedInt, f"__{_name}__", _arithmetic(f"__{_name}__", _name, swapped=False))
    setattr(SourcedInt, f"__r{_name}__", _arithmetic(f"__r{_name}__", _name, swapped=True))


def rewrite(expression: Expression, change: Callable[[Dim], Any]) -> Expression:
    """The same expression with every ``SizeOf`` dimension replaced (spaces become layouts once a model is read)."""
    if isinstance(expression, SizeOf):
        return SizeOf(change(expression.dim))
    if isinstance(expression, Operation):
        return Operation(expression.name, rewrite(expression.left, change), rewrite(expression.right, change))
    return expression


def evaluate(expression: Expression, size: Callable[[Any], int], attributes: dict[str, int]) -> int:
    """Value under new axis sizes and attribute values. May raise ZeroDivisionError."""
    if isinstance(expression, Attribute):
        return attributes[expression.key]
    if isinstance(expression, SizeOf):
        return size(expression.dim)
    if isinstance(expression, Operation):
        left = evaluate(expression.left, size, attributes)
        return OPERATORS[expression.name](left, evaluate(expression.right, size, attributes))
    return expression


def attributes_in(expression: Expression) -> set[str]:
    if isinstance(expression, Attribute):
        return {expression.key}
    if isinstance(expression, Operation):
        return attributes_in(expression.left) | attributes_in(expression.right)
    return set()


def dims_in(expression: Expression) -> list[Any]:
    if isinstance(expression, SizeOf):
        return [expression.dim]
    if isinstance(expression, Operation):
        return dims_in(expression.left) + dims_in(expression.right)
    return []


def spelled(expression: Expression) -> str:
    """The expression as text; equal texts are equal expressions."""
    if isinstance(expression, Attribute):
        return expression.key
    if isinstance(expression, SizeOf):
        return f"size{expression.dim!r}"
    if isinstance(expression, Operation):
        return f"{expression.name}({spelled(expression.left)}, {spelled(expression.right)})"
    return str(expression)
