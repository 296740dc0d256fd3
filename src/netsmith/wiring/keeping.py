"""Whether forward keeps something in a model's modules: then forwards of it must not be under way at the same time."""

from __future__ import annotations

from collections import deque
from typing import Any

from torch import nn

from .slots import modules_of

_HOLDERS = (list, tuple, set, frozenset, deque)


def held(model: nn.Module) -> list[Any]:
    """The objects that the modules' attributes hold, and those in containers among them."""
    found: list[Any] = []
    for _, module in modules_of(model):
        for value in module.__dict__.values():
            found.append(value)
            if isinstance(value, _HOLDERS):
                found += value
            elif isinstance(value, dict):
                found += value.values()
    return found


def same_objects(before: list[Any], after: list[Any]) -> bool:
    """Whether nothing was put in the place of anything, added or taken away."""
    return len(before) == len(after) and all(a is b for a, b in zip(before, after, strict=True))
