"""TIES: small differences go, each element's sign is elected, and only those who agree are averaged."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .chunks import Chunks, merged
from .selection import Smallest, magnitude_bits
from .task_vectors import Thin, adding, check_density, each


def ties(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float] | None = None,
    *,
    density: float | Sequence[float] = 1.0,
    normalize: bool = True,
    rescale: bool = False,
    scale: float = 1.0,
) -> Tensor:
    """base + scale · the weighted mean of the largest differences that have the elected sign.

    Args:
        base: what the models were trained from.
        tensors: of the models, of the base's shape.
        weights: one a model; None: 1 each.
        density: share of each model's differences that stay, the largest of the tensor; exactly
            max(1, int(density · n)) of them, among equals those that come first.
        normalize: divide by the weights of those who agree; False: add up.
        rescale: bring each model's remaining differences back to their former sum of magnitudes.
        scale: mergekit's ``lambda``.

    Returns:
        A tensor of the base's dtype, computed in float32 (float64 for float64).

    Raises:
        InputError: tensors, weights or densities that do not fit each other.

    Source: Yadav et al., NeurIPS 2023, arXiv:2306.01708; options as in mergekit's ``ties``.
    """
    shares = weights if weights is not None else [1.0] * len(tensors)
    thin = [largest(d) for d in each(density, len(tensors), "density")]
    method = adding(shares, thin=thin, elect=True, normalize=normalize, rescale=rescale, scale=scale)
    return merged(method, [base, *tensors])


def largest(density: float) -> Thin | None:
    """Only the largest differences stay; None where all do."""
    if check_density(density) == 1:
        return None
    return lambda chunks, number: KeepLargest(chunks, density)


class KeepLargest:
    """Drops the smallest magnitudes of a tensor."""

    def __init__(self, chunks: Chunks, density: float) -> None:
        kept = max(1, int(density * chunks.numel)) if density > 0 else 0
        self.smallest = Smallest(chunks.dtype, max(chunks.numel - kept, 0), first_is_smaller=False)
        self.passes = self.smallest.passes

    def survey(self, delta: Tensor) -> None:
        self.smallest.survey(magnitude_bits(delta))

    def next_pass(self) -> None:
        self.smallest.next_pass()

    def kept(self, delta: Tensor) -> Tensor:
        return self.smallest.mask(magnitude_bits(delta)).logical_not_()
