"""DELLA: differences are dropped at random, the small ones of a row more often than the large ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError
from .chunks import Chunks, Kernel, Method, merged
from .dare import generator_for
from .task_vectors import Thin, adding, check_density, each


def della(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float] | None = None,
    *,
    density: float | Sequence[float] = 1.0,
    epsilon: float | Sequence[float] = 0.15,
    elect: bool = True,
    normalize: bool = True,
    rescale: bool = True,
    scale: float = 1.0,
    seed: int = 0,
) -> Tensor:
    """base + scale · the weighted mean of differences that stayed and have the elected sign.

    Args:
        base: (...) what the models were trained from, of floating point.
        tensors: M of the models, M ≥ 1, each of the base's shape.
        weights: M finite numbers, one a model; negative ones take a model's differences away. None: 1 each.
        density: mean probability with which a difference stays, 0..1; one for all, or M. With 0 none stays, with 1
            all, whatever epsilon.
        epsilon: the smallest of a row (along the last dimension) stays with ``density - epsilon``, the largest with
            ``density + epsilon``, those between linearly by their rank; both must lie in (0, 1). One for all, or M.
        elect: elect signs as TIES does; False, and normalize=False: mergekit's ``della_linear``.
        normalize: divide the sum by that of the weights; with ``elect``, of those that agree with the sign.
        rescale: bring each model's remaining differences back to their former sum of magnitudes.
        scale: of the sum, any finite number; mergekit's ``lambda``.
        seed: of what is dropped; the same for the same seed, place of the model and name of the tensor.

    Returns:
        (...) of the base's shape and dtype, computed in float32 (float64 for float64).

    Raises:
        InputError: no models; tensors of other shapes or of no floating point; as many weights, densities or epsilons
            as there are not models; weights that are not finite; a density outside 0..1, or an epsilon that takes it
            out of (0, 1).

    Source: Deep et al., 2024, arXiv:2406.11617; options as in mergekit's ``della``.
    """
    count = len(tensors)
    shares = weights if weights is not None else [1.0] * count
    pairs = zip(each(density, count, "density"), each(epsilon, count, "epsilon"), strict=True)
    thin = [by_rank(d, e, seed) for d, e in pairs]
    method = adding(shares, thin=thin, elect=elect, normalize=normalize, rescale=rescale, scale=scale)
    return merged(in_rows(method), [base, *tensors])


def in_rows(method: Method) -> Method:
    """The method on chunks of whole rows."""

    def prepare(chunks: Chunks) -> tuple[Chunks, Kernel]:
        return method(chunks.by_rows())

    return prepare


def by_rank(density: float, epsilon: float, seed: int) -> Thin | None:
    """Large ones of a row stay more often; None where all stay. Needs chunks of whole rows.

    Raises:
        InputError: a density outside 0..1, or an epsilon that takes it out of (0, 1).
    """
    if check_density(density) == 1:
        return None
    if density > 0 and (density + epsilon >= 1 or density - epsilon <= 0):
        raise InputError(
            f"epsilon={epsilon} with density={density}: both their sum and their difference must lie between 0 and 1"
        )
    return lambda chunks, number: KeepLikely(density, epsilon, chunks.row, generator_for(chunks, number, seed))


class KeepLikely:
    """Drops with a probability that falls with the magnitude's rank in its row."""

    passes = 0

    def __init__(self, density: float, epsilon: float, row: int, generator: torch.Generator) -> None:
        self.density, self.epsilon, self.row, self.generator = density, epsilon, row, generator

    def survey(self, delta: Tensor) -> None:
        """Nothing to see."""

    def next_pass(self) -> None:
        """Nothing was seen."""

    def kept(self, delta: Tensor) -> Tensor:
        if self.density == 0:
            return torch.zeros_like(delta, dtype=torch.bool)
        order = delta.abs().view(-1, self.row).argsort(dim=1, stable=True)
        ranks = torch.empty_like(order).scatter_(1, order, torch.arange(self.row, device=order.device).expand_as(order))
        share = ranks.view(-1).float().div_(max(self.row - 1, 1))  # 0 for the smallest of a row, 1 for the largest
        stay = share.mul_(2 * self.epsilon).add_(self.density - self.epsilon)
        return torch.rand(len(delta), generator=self.generator).to(delta.device) < stay
