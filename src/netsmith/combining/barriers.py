"""How high the loss rises on the straight line between two models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from ..errors import InputError
from .merging_modules import merge_models


@dataclass(frozen=True)
class Barrier:
    """Losses along a line.

    Attributes:
        shares: of the second model, from 0 to 1.
        losses: at these points.
        height: most by which a loss exceeds the line between the losses at both ends; may be negative.
        middle: the same halfway.
    """

    shares: tuple[float, ...]
    losses: tuple[float, ...]
    height: float
    middle: float


def barrier(
    a: nn.Module,
    b: nn.Module,
    loss: Callable[[nn.Module], float],
    *,
    points: int = 11,
    mend: Callable[[nn.Module], nn.Module] | None = None,
) -> Barrier:
    """Measure a loss at equally spaced points between two models of one structure.

    Args:
        a, b: the ends.
        loss: model -> loss.
        points: with both ends; odd, ≥ 3, so that the middle is one.
        mend: what to do with each model between the ends, e.g. ``repair``.

    Raises:
        InputError: points below 3 or even.

    Source: Frankle et al., ICML 2020, arXiv:1912.05671.
    """
    if points < 3 or points % 2 == 0:
        raise InputError(f"barrier: points={points} must be odd and at least 3")
    shares = [i / (points - 1) for i in range(points)]
    losses = [loss(a)]
    for share in shares[1:-1]:
        between = merge_models([a, b], each=[{"weight": 1 - share}, {"weight": share}])
        losses.append(loss(mend(between) if mend else between))
    losses.append(loss(b))
    rises = [v - (1 - s) * losses[0] - s * losses[-1] for s, v in zip(shares, losses, strict=True)]
    return Barrier(tuple(shares), tuple(losses), max(rises[1:-1]), rises[points // 2])
