"""Numbers that remember where they came from.

On the throw-away twin of a model, the ints held by modules and configuration objects are ``SourcedInt``s; so are the
entries of ``x.shape``. Arithmetic on them builds an expression, an equality that holds becomes a constraint. When a
``view(B, N, 3, self.num_heads, self.head_dim)`` runs, the recorder therefore knows which attribute must change with
which axis. ``int()``, ``round()`` and ``len()`` lose the source; then the axis is frozen, never wrong. Quotients and
powers are ``SourcedFloat``s: a scale such as ``head_dim ** -0.5`` is known to depend on a width.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
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
    """Arithmetic, e.g. ``Operation("floordiv", SizeOf(channels), Attribute(":num_heads"))``."""

    name: str
    left: Expression
    right: Expression


Expression = int | float | Attribute | SizeOf | Operation

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, name) for name in ("add", "sub", "mul", "floordiv", "mod", "truediv", "pow")
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


class SourcedFloat(float):
    """A float with an ``expression``. Behaves like the float everywhere else."""

    expression: Expression

    def __new__(cls, value: float, expression: Expression) -> SourcedFloat:
        self = float.__new__(cls, value)
        self.expression = expression
        return self

    def __deepcopy__(self, memo: object) -> SourcedFloat:
        return self

    def __reduce_ex__(self, protocol: object) -> tuple[type, tuple[float]]:
        return float, (float(self),)

    def __neg__(self) -> SourcedFloat:
        return SourcedFloat(-float(self), Operation("mul", self.expression, -1))


def source(value: float) -> Expression:
    """The expression of a number; an ordinary one stands for itself."""
    if isinstance(value, (SourcedInt, SourcedFloat)):
        return value.expression
    return int(value) if isinstance(value, int) else float(value)


def sourced(value: Any, expression: Expression) -> Any:
    """The value, remembering an expression if it is a number."""
    if isinstance(value, int):
        return SourcedInt(value, expression)
    return SourcedFloat(value, expression) if isinstance(value, float) else value


def _arithmetic(name: str, swapped: bool) -> Callable[[Any, Any], Any]:
    def compute(self: Any, other: Any) -> Any:
        if not isinstance(other, (int, float)):
            return NotImplemented
        left, right = (other, self) if swapped else (self, other)
        plain = [int(v) if isinstance(v, int) else float(v) for v in (left, right)]
        return sourced(OPERATORS[name](*plain), Operation(name, source(left), source(right)))

    return compute


for _kind in (SourcedInt, SourcedFloat):
    for _name in OPERATORS:
        setattr(_kind, f"__{_name}__", _arithmetic(_name, swapped=False))
        setattr(_kind, f"__r{_name}__", _arithmetic(_name, swapped=True))


def rewrite(expression: Expression, change: Callable[[Dim], Any]) -> Expression:
    """The same expression with every ``SizeOf`` dimension replaced (spaces become layouts once a model is read)."""
    if isinstance(expression, SizeOf):
        return SizeOf(change(expression.dim))
    if isinstance(expression, Operation):
        return Operation(expression.name, rewrite(expression.left, change), rewrite(expression.right, change))
    return expression


def evaluate(expression: Expression, size: Callable[[Any], int], attributes: Mapping[str, float]) -> Any:
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
