"""Weighted averages of weights: what mergekit calls linear, and model soups."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..errors import InputError
from .chunks import Chunks, Kernel, Method, check_weights, merged


def average(tensors: Sequence[Tensor], weights: Sequence[float] | None = None, *, normalize: bool = True) -> Tensor:
    """Σ wᵢ·xᵢ / Σ wᵢ.

    Args:
        tensors: of one shape and of floating point.
        weights: one a tensor, finite; negative ones are taken as they are, as mergekit does: (2, -1) goes beyond the
            first, away from the second. None: all the same.
        normalize: divide by the sum of the weights.

    Returns:
        A tensor of the first one's dtype, computed in float32 (float64 for float64).

    Raises:
        InputError: tensors that do not fit each other, weights that do not fit them, or weights that sum to zero.

    Source: Wortsman et al., "Model soups", ICML 2022, arXiv:2203.05482; mergekit's ``linear``.
    """
    return merged(averaging(weights if weights is not None else [1.0] * len(tensors), normalize=normalize), tensors)


def averaging(weights: Sequence[float], *, normalize: bool = True) -> Method:
    """``average`` as a method."""

    def prepare(chunks: Chunks) -> tuple[Chunks, Kernel]:
        shares = check_weights(weights, len(chunks.sources))
        total = sum(shares)
        if normalize:
            if abs(total) < 1e-8:
                raise InputError(f"weights {shares} sum to zero; an average needs a sum to divide by")
            shares = [share / total for share in shares]

        def kernel(chunk: list[Tensor]) -> Tensor:
            result = chunk[0].to(chunks.work, copy=True).mul_(shares[0])
            for x, share in zip(chunk[1:], shares[1:], strict=True):
                result.add_(x.to(chunks.work), alpha=share)
            return result

        return chunks, kernel

    return prepare
