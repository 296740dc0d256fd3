"""Model breadcrumbs: neither the smallest differences stay nor the very largest."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .chunks import Chunks, merged
from .selection import Smallest, magnitude_bits
from .task_vectors import Thin, adding, check_density, each


def breadcrumbs(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float] | None = None,
    *,
    density: float | Sequence[float] = 1.0,
    gamma: float | Sequence[float] = 0.01,
    elect: bool = False,
    normalize: bool = False,
    rescale: bool = False,
    scale: float = 1.0,
) -> Tensor:
    """base + scale · Σ wᵢ·(xᵢ - base without outliers and without small ones).

    Args:
        base: what the models were trained from.
        tensors: of the models, of the base's shape.
        weights: one a model; None: 1 each.
        density: share of each model's differences that stay.
        gamma: share of the largest that go first; less where else fewer than ``density`` stayed.
        elect: elect signs as TIES does (mergekit's ``breadcrumbs_ties``).
        normalize: divide by the weights that count.
        rescale: bring each model's remaining differences back to their former sum of magnitudes.
        scale: mergekit's ``lambda``.

    Returns:
        A tensor of the base's dtype, computed in float32 (float64 for float64).

    Raises:
        InputError: tensors, weights, densities or gammas that do not fit each other.

    Source: Davari & Belilovsky, ECCV 2024, arXiv:2312.06795; options as in mergekit's ``breadcrumbs``.
    """
    count = len(tensors)
    shares = weights if weights is not None else [1.0] * count
    thin = [middle(d, g) for d, g in zip(each(density, count, "density"), each(gamma, count, "gamma"), strict=True)]
    method = adding(shares, thin=thin, elect=elect, normalize=normalize, rescale=rescale, scale=scale)
    return merged(method, [base, *tensors])


def middle(density: float, gamma: float) -> Thin | None:
    """The largest go, then the smallest until ``density`` is left; None where all stay."""
    check_density(gamma, "gamma")
    if check_density(density) == 1:
        return None
    return lambda chunks, number: KeepMiddle(chunks, density, gamma)


class KeepMiddle:
    """Drops the smallest magnitudes of a tensor and some of the largest."""

    def __init__(self, chunks: Chunks, density: float, gamma: float) -> None:
        kept = int(density * chunks.numel)
        low = max(0, chunks.numel - kept - int(gamma * chunks.numel))
        self.low = Smallest(chunks.dtype, low, first_is_smaller=True)
        self.upto = Smallest(chunks.dtype, low + kept, first_is_smaller=True)
        self.passes = self.low.passes

    def survey(self, delta: Tensor) -> None:
        bits = magnitude_bits(delta)
        self.low.survey(bits)
        self.upto.survey(bits)

    def next_pass(self) -> None:
        self.low.next_pass()
        self.upto.next_pass()

    def kept(self, delta: Tensor) -> Tensor:
        bits = magnitude_bits(delta)
        return self.low.mask(bits).logical_not_().logical_and_(self.upto.mask(bits))
