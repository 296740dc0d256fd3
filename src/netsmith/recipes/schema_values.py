"""Single values as YAML gives them: what a recipe's options may be, and what is wrong with those that they may not."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field


def _number(value: Any) -> Any:
    """YAML reads 1e-3 as text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _amount(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError('must be a number, or a share such as 0.5 or "50%"')
    return value


def width(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError("must be a factor with a point (1.5) or a number of units (96)")
    return value


def where_to_insert(value: Any) -> Any:
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError("must be even, influence, or a list of blocks' names")
    return value if value in ("even", "influence") else names


def bare_no(value: Any) -> Any:
    """YAML reads a bare ``no`` as false."""
    return "no" if value is False else value


def shape(value: Any) -> Any:
    """``1,3,32,32`` or ``[1, 3, 32, 32]``."""
    numbers = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    found = [int(n) if isinstance(n, str) and n.strip().isdecimal() else n for n in numbers]
    if not all(type(n) is int and n > 0 for n in found):
        raise ValueError("must be a shape, batch first, such as 1,3,224,224")
    return tuple(found)


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Amount = Annotated[Any, AfterValidator(_amount)]
Several = Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else as_tuple(v))]
Numbers = Annotated[tuple[Number, ...], BeforeValidator(lambda v: as_tuple(v))]
Count = Annotated[int, Field(ge=1)]
Named = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")]


def as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
