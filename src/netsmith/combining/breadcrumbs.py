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
        base: (...) what the models were trained from, of floating point.
        tensors: M of the models, M ≥ 1, each of the base's shape.
        weights: M finite numbers, one a model; negative ones take a model's differences away. None: 1 each.
        density: share of each model's differences that stay, 0..1; one for all, or M. With 1 all stay, whatever gamma.
        gamma: share of the largest magnitudes that go first, 0..1; less where else fewer than ``density`` stayed. One
            for all, or M.
        elect: elect signs as TIES does (mergekit's ``breadcrumbs_ties``).
        normalize: divide the sum by that of the weights; with ``elect``, of those that agree with the sign.
        rescale: bring each model's remaining differences back to their former sum of magnitudes.
        scale: of the sum, any finite number; mergekit's ``lambda``.

    Returns:
        (...) of the base's shape and dtype, computed in float32 (float64 for float64).

    Raises:
        InputError: no models; tensors of other shapes or of no floating point; as many weights, densities or gammas
            as there are not models; weights that are not finite; a density or gamma outside 0..1.

    Source: Davari & Belilovsky, ECCV 2024, arXiv:2312.06795; options as in mergekit's ``breadcrumbs``.
    """
    count = len(tensors)
    shares = weights if weights is not None else [1.0] * count
    thin = [middle(d, g) for d, g in zip(each(density, count, "density"), each(gamma, count, "gamma"), strict=True)]
    method = adding(shares, thin=thin, elect=elect, normalize=normalize, rescale=rescale, scale=scale)
    return merged(method, [base, *tensors])


def middle(density: float, gamma: float) -> Thin | None:
    """The largest go, then the smallest until ``density`` is left; None where all stay.

    Raises:
        InputError: a density or gamma outside 0..1.
    """
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
