"""Single weights: the sum of absolute values, or of squares."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from ...errors import InputError, ModelError
from ..loop import Penalty


def l1(strength: float) -> Penalty:
    """strength · Σ |w| over matrices and kernels; many become almost zero.

    Source: Han et al., NeurIPS 2015, arXiv:1506.02626, who prune after it by a threshold.
    """
    check_strength(strength)
    return lambda model, step: strength * sum_over(model, lambda w: w.abs().sum())


def l2(strength: float) -> Penalty:
    """strength / 2 · Σ w² over matrices and kernels: weight decay as a part of the loss."""
    check_strength(strength)
    return lambda model, step: strength / 2 * sum_over(model, lambda w: w.square().sum())


def sum_over(model: nn.Module, each: Callable[[Tensor], Tensor]) -> Tensor:
    """The sum of a function over all trained matrices and kernels.

    Raises:
        ModelError: there are none.
    """

    parts = [each(p.float()) for p in model.parameters() if p.requires_grad and p.ndim > 1]
    if not parts:
        raise ModelError(f"{type(model).__name__} has no matrix or kernel to regularize")
    total: Tensor = sum(parts[1:], start=parts[0])
    return total


def check_strength(strength: float) -> None:
    """Raise InputError unless it is a number ≥ 0."""
    if not 0 <= strength < float("inf"):
        raise InputError(f"strength must be a number ≥ 0, not {strength}")
