"""Layouts as JSON: an int, a string, or ``{"concat": [layout, ...]}``, in a list.

JSON has no tuples, and a file may come from anyone: decoding checks every part and stops at a depth that no model
reaches, so that a hostile file cannot exhaust the stack.
"""

from __future__ import annotations

import math
from typing import Any

from ..wiring.layouts import Concat, Layout, Part

MAX_UNITS = 2**31 - 1  # of one axis, one factor or one dimension; torch's own indices end here for most kernels
MAX_NAME = 512  # characters of an axis, tensor or attribute name
_MAX_DEPTH = 16  # concatenations inside concatenations


def encode_layout(layout: Layout) -> list[Any]:
    """The layout as JSON values; ``decode_layout`` is the inverse."""
    return [
        {"concat": [encode_layout(inner) for inner in part.parts]} if isinstance(part, Concat) else part
        for part in layout
    ]


def decode_layout(raw: object, depth: int = 0) -> Layout:
    """The layout that these JSON values describe.

    Raises:
        ValueError: anything but ints in 1..2³¹-1, names and concatenations of them, or nested too deep.
    """
    if depth > _MAX_DEPTH:
        raise ValueError(f"a layout nests deeper than {_MAX_DEPTH} concatenations")
    if not isinstance(raw, list):
        raise ValueError(f"a layout must be a list, not {type(raw).__name__}")
    return tuple(_decode_part(part, depth) for part in raw)


def _decode_part(part: object, depth: int) -> Part:
    if isinstance(part, bool):
        raise ValueError("a part of a layout must be an integer, a name or a concatenation, not a bool")
    if isinstance(part, int):
        if not 1 <= part <= MAX_UNITS:
            raise ValueError(f"a factor of a layout must lie in 1..{MAX_UNITS}")
        return part
    if isinstance(part, str):
        check_name(part)
        return part
    if isinstance(part, dict) and list(part) == ["concat"] and isinstance(part["concat"], list) and part["concat"]:
        return Concat(tuple(decode_layout(inner, depth + 1) for inner in part["concat"]))
    raise ValueError(f'a part of a layout must be an integer, a name or {{"concat": [...]}}, not {type(part).__name__}')


def check_number(value: Any) -> float:
    """An int in 0..2⁶², or a finite float."""
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**62:
        return value
    raise ValueError(f"should be an int from 0 to 2**62 or a finite float, not {value!r:.40}")


def check_name(name: str) -> str:
    """The name itself, if it can be the name of an axis, a tensor or an attribute.

    Raises:
        ValueError: empty, too long, with control characters, or reaching for a dunder attribute.
    """
    if not 0 < len(name) <= MAX_NAME:
        raise ValueError(f"a name must have 1 to {MAX_NAME} characters")
    check_printable(name)
    pieces = name.replace(":", ".").split(".")
    if any(piece.startswith("__") and piece.endswith("__") and len(piece) > 4 for piece in pieces):
        raise ValueError("a name reaches for a special attribute of Python (__…__)")
    return name


def check_printable(text: str) -> str:
    """The text itself, if no terminal would take part of it for a command; else ValueError."""
    if not text.isprintable():
        raise ValueError("the text holds characters that cannot be printed")
    return text
