"""``heal=`` of recipes: what to train a changed model with, before it is verified."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from ..errors import EvidenceError, InputError
from ..training import distil

Heal = int | Callable[[nn.Module, nn.Module], nn.Module]


def check_heal(heal: Any, data: Any) -> None:
    """Raise InputError unless it is a number of epochs ≥ 1, a function or None; EvidenceError for epochs of no data."""
    if isinstance(heal, int) and (isinstance(heal, bool) or heal < 1):
        raise InputError(
            f"heal={heal!r}: give a number of epochs ≥ 1, a function (edited, original) -> trained, or None"
        )
    if heal is not None and not isinstance(heal, int) and not callable(heal):
        raise InputError(
            f"heal is a {type(heal).__name__}; give a number of epochs or a function (edited, original) -> trained"
        )
    if isinstance(heal, int) and data is None:
        raise EvidenceError(f"heal={heal} distils on data, and none was given; give data")


def healed(
    edited: nn.Module,
    original: nn.Module,
    data: Iterable[Any] | None,
    heal: Heal,
    seed: int,
    progress: Callable[[int, int, Any], None],
) -> nn.Module:
    """The edited model after distillation from the original, or after the caller's own function; in eval mode."""
    if isinstance(heal, int):
        assert data is not None  # check_heal saw to it
        return distil(edited, original, data, epochs=heal, seed=seed, progress=progress)
    trained = heal(copy.deepcopy(edited), original)  # a function may train in place; the given model is a step too
    if not isinstance(trained, nn.Module):
        raise InputError(f"heal returned a {type(trained).__name__}; it must return the trained module")
    return trained.eval()
